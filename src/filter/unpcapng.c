/*
 * unpcapng - capture-file bytes to packets
 *
 * Synopsis:   …/unpcapng
 *
 * Reads what is written as pcapng files, in either byte order, any number of sections and interfaces; a
 * file in another format is malformed. Packets stay where they were written; nothing is copied.
 *
 * Every process that writes has its own parser. When it closes in the middle of a packet, that
 * packet is lost, "truncated"; what is no capture is lost, "malformed", with the rest of what that
 * process writes. Packets of several interfaces keep their link types and names.
 *
 * Stats:      streams (being parsed), stitched (packets put together from two writes),
 *             discarded (bytes after a fault)
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p /p/accept/unpcapng/tcp; cat trace.pcapng > /p/accept/all
 */
#include "graph/unpack.h"

static int unpcapng_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			 struct pfs_diag *diag)
{
	(void)args;
	(void)place;
	(void)diag;
	unpack_init(state, CAPTURE_PCAPNG);
	return 0;
}

static void unpcapng_fini(void *state)
{
	unpack_release(state);
}

static size_t unpcapng_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			    uint64_t *ret_wait)
{
	(void)ret_wait;
	return unpack_pull(state, in, n, out);
}

static bool unpcapng_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			     struct pfs_emitter *out)
{
	return unpack_control(state, ref, meta, out);
}

static void unpcapng_stats(void *state, struct pfs_buf *out)
{
	unpack_stats(state, out);
}

const struct pfs_filter pfs_filter_unpcapng = {
	.name = "unpcapng",
	.summary = "capture-file bytes (pcapng only) to packets",
	.in = PFS_FLOW_BYTES,
	.out = PFS_FLOW_PACKETS,
	.state_size = sizeof(struct unpack),
	.ring_size = UNPACK_RING,
	.init = unpcapng_init,
	.fini = unpcapng_fini,
	.pull = unpcapng_pull,
	.control = unpcapng_control,
	.stats = unpcapng_stats,
};
