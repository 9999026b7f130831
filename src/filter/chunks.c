/*
 * chunks - cut a byte stream into records of N bytes
 *
 * Synopsis:   …/chunks:N
 *
 * Each record has exactly N bytes; N may have a suffix k or M (1024-based). The bytes stay the same,
 * in the same order. What a writer leaves when it closes is its last record, which may be shorter.
 *
 * Every process that writes is a stream of its own. A record within one write is not copied.
 *
 * Stats:      streams (being cut), stitched (records put together from several writes),
 *             split (records that are short because others before them were lost)
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p /p/accept/chunks:512/head:1; cat disk.img > /p/accept/all
 */
#include "graph/cut.h"

static size_t chunk_end(size_t have, size_t max, const uint8_t *p, size_t n)
{
	(void)p;
	return max - have <= n ? max - have : 0;
}

static int chunks_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	const char *arg = args->arg ? args->arg : "";
	uint64_t n;

	(void)place;
	if (pfs_number_parse(arg, true, 1, CUT_MAX, &n) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "chunks:N takes the bytes of a record, 1 to 1M, not '%.32s'", arg);
	cut_init(state, chunk_end, (size_t)n);
	return 0;
}

static void chunks_fini(void *state)
{
	cut_release(state);
}

static size_t chunks_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			  uint64_t *ret_wait)
{
	(void)ret_wait;
	return cut_pull(state, in, n, out);
}

static bool chunks_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			   struct pfs_emitter *out)
{
	return cut_control(state, ref, meta, out);
}

static void chunks_stats(void *state, struct pfs_buf *out)
{
	cut_stats(state, out);
}

const struct pfs_filter pfs_filter_chunks = {
	.name = "chunks",
	.summary = "cut a byte stream into records of N bytes",
	.in = PFS_FLOW_BYTES | PFS_FLOW_TEXT,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.state_size = sizeof(struct cut),
	.ring_size = CUT_RING,
	.init = chunks_init,
	.fini = chunks_fini,
	.pull = chunks_pull,
	.control = chunks_control,
	.stats = chunks_stats,
};
