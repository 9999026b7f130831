/*
 * txt - the stream of a directory as text
 *
 * Synopsis:   …/all.txt
 *
 * Packets as the inspect filter prints them: a summary line, then hex and ASCII. Pieces of reassembled
 * connections likewise, with the connection's number, side and offset. Other byte streams and text as they
 * are, but for what a terminal would obey: control characters (newlines stay, tabs become
 * spaces) and bytes beyond ASCII are written \xNN.
 *
 * Example:    cat /p/dev/eth0/tcp/all.txt
 */
#include "graph/render.h"

struct txt {
	struct pfs_render render;
	bool packets;
};

static int txt_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	struct txt *t = state;

	(void)args;
	(void)diag;
	t->packets = place->flow & PFS_FLOW_ANY_PACKET;
	t->render.describe = place->describe;
	return 0;
}

static int txt_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	return txt_init(state, NULL, place, diag);
}

static size_t txt_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		       uint64_t *ret_wait)
{
	struct txt *t = state;

	(void)ret_wait;
	if (t->packets)
		return pfs_render_packets(&t->render, pkt_lines_text, in, n, out);
	return pfs_render_bytes(&t->render, pkt_lines_text_bytes, in, n, out);
}

static void txt_fini(void *state)
{
	struct txt *t = state;

	pfs_render_release(&t->render);
}

const struct pfs_filter pfs_filter_view_txt = {
	.name = "txt",
	.summary = "the stream as text, without control characters",
	.flags = PFS_FILTER_VIEW,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_TEXT,
	.state_size = sizeof(struct txt),
	.ring_size = PFS_RENDER_RING,
	.init = txt_init,
	.moved = txt_moved,
	.pull = txt_pull,
	.fini = txt_fini,
};
