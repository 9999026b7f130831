/*
 * lines - cut a byte stream into one record a line
 *
 * Synopsis:   …/lines[,max=N]
 *
 * Each line becomes a record, its newline included: `head:N`, `grep` and `sample:N` below count
 * lines then, and with O_DIRECT a read gives one. The bytes stay the same, in the same order. What
 * a writer leaves without a newline when it closes is its last line.
 *
 * Every process that writes is a stream of its own, so lines of several are never mixed. A line
 * within one write is not copied. A line longer than max= is cut there, and counted.
 *
 * Stats:      streams (being cut), stitched (lines put together from several writes),
 *             split (lines cut because they were too long, or records before them were lost)
 * Parameters: max=N  bytes of the longest line, 1 to 1M (default 64k)
 * Classes:    none
 * Example:    mkdir -p /p/accept/lines/sample:100; journalctl -f > /p/accept/all
 */
#include "graph/cut.h"

#define MAX_DEFAULT 65536

static size_t line_end(size_t have, size_t max, const uint8_t *p, size_t n)
{
	/* No further than a line may be: who writes a MiB of zeros does not make us look through it again and again. */
	const uint8_t *newline = memchr(p, '\n', pfs_min(n, max - have));

	return newline ? (size_t)(newline - p) + 1 : 0;
}

static int lines_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "max");
	uint64_t max = MAX_DEFAULT;

	(void)place;
	if (text && pfs_number_parse(text, true, 1, CUT_MAX, &max) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "max= takes bytes of the longest line, 1 to 1M, not '%.32s'",
				    text);
	cut_init(state, line_end, (size_t)max);
	return 0;
}

static void lines_fini(void *state)
{
	cut_release(state);
}

static size_t lines_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			 uint64_t *ret_wait)
{
	(void)ret_wait;
	return cut_pull(state, in, n, out);
}

static bool lines_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			  struct pfs_emitter *out)
{
	return cut_control(state, ref, meta, out);
}

static void lines_stats(void *state, struct pfs_buf *out)
{
	cut_stats(state, out);
}

static const struct pfs_param lines_params[] = {
	{ "max", "bytes of the longest line, 1 to 1M; default 64k" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_lines = {
	.name = "lines",
	.summary = "cut a byte stream into one record a line",
	.in = PFS_FLOW_BYTES | PFS_FLOW_TEXT,
	.out = PFS_FLOW_SAME,
	.params = lines_params,
	.state_size = sizeof(struct cut),
	.ring_size = CUT_RING,
	.init = lines_init,
	.fini = lines_fini,
	.pull = lines_pull,
	.control = lines_control,
	.stats = lines_stats,
};
