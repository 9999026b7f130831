/*
 * inspect - packets as text
 *
 * Synopsis:   …/inspect
 *             …/iinspect
 *
 * Each packet becomes one record of text: a summary line (time in UTC, interface and direction when
 * they are known, addresses, protocol, lengths), then its bytes from the first one on in hex and
 * ASCII, as `tcpdump -XX` prints them. Beyond 64 KiB bytes are counted, not shown. The text has
 * no control character but the newlines. `all.txt` of a directory is the same text.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p /p/netfilter_in/iinspect; cat /p/netfilter_in/iinspect/all
 */
#include "graph/render.h"

static size_t inspect_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			   uint64_t *ret_wait)
{
	(void)ret_wait;
	return pfs_render_packets(state, pkt_lines_text, in, n, out);
}

static void inspect_fini(void *state)
{
	pfs_render_release(state);
}

const struct pfs_filter pfs_filter_inspect = {
	.name = "inspect",
	.alias = "iinspect",
	.summary = "packets as text: a summary line, then hex and ASCII",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_TEXT,
	.state_size = sizeof(struct pfs_render),
	.ring_size = PFS_RENDER_RING,
	.pull = inspect_pull,
	.fini = inspect_fini,
};
