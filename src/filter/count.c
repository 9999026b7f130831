/*
 * count - pass everything, count records and bytes
 *
 * Synopsis:   …/count
 *
 * Counts what passes, without a reader: the directory is a consumer by itself, so a source above
 * it runs as long as it exists. Numbers are those since mkdir.
 *
 * Stats:      records; bytes, as far as they were captured, is counted for every directory
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/tcp/count; sleep 10; cat /p/dev/eth0/tcp/count/.stats
 *
 * Threads:    batch() runs on one worker; counters have one writer, so relaxed atomics are enough for
 *             readers.
 * Invariant:  refs leave in the order they came; none is dropped.
 */
#include "graph/filter.h"

struct count {
	pfs_counter records; /* writer: the worker */
};

static void count_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct count *c = state;

	pfs_counter_add(&c->records, n);
	pfs_emit_all(out, in, n);
}

/* Where nobody reads them, the source need not make them: their number does. */
static int count_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	(void)state;
	(void)link_type;
	(void)ret_unit;
	return 1;
}

static void count_passed(void *state, const struct pfs_tally *tally)
{
	struct count *c = state;

	pfs_counter_add(&c->records, tally->records);
}

static void count_stats(void *state, struct pfs_buf *out)
{
	const struct count *c = state;

	pfs_buf_printf(out, "records %llu\n", (unsigned long long)pfs_counter_get(&c->records));
}

const struct pfs_filter pfs_filter_count = {
	.name = "count",
	.summary = "count records and bytes",
	.flags = PFS_FILTER_CONSUMER,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.state_size = sizeof(struct count),
	.batch = count_batch,
	.keeps = count_keeps,
	.passed = count_passed,
	.stats = count_stats,
};
