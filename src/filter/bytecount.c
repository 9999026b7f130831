/*
 * bytecount - count bytes, and say how many
 *
 * Synopsis:   …/bytecount[,every=S]
 *
 * Counts bytes, without a reader: the directory is a consumer by itself, so a source above it runs
 * as long as it exists. Nothing passes. Its `all` (and all.json) is lines of JSON,
 * {"time":…,"bytes":N,"captured":M}: one at once for a reader who comes, one every S seconds while
 * something comes, and one when the stream ends. Numbers are those since mkdir.
 *
 * Of packets `bytes` are those on the wire, with the link layer, whether they were captured or cut
 * off (snap, snaplen); `captured` are those that are here. Of other records the two are equal. The
 * line `bytes` of any directory's .stats counts those that went out of it, as `captured` does.
 *
 * Where the kernel decides what the directory above keeps, below dev/ and netfilter_*, it counts as
 * well: only numbers leave it, unless somebody else wants the packets.
 *
 * Stats:      wire, captured
 * Parameters: every=S  seconds between two lines of numbers (default 1); can be changed through .params
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/udp/bytecount; cat /p/dev/eth0/udp/bytecount/all.json
 */
#include "graph/report.h"

struct bytecount {
	struct pfs_report report;
	pfs_counter wire; /* these counters' writer is the worker */
	pfs_counter captured;
};

static void bytecount_text(void *state, struct pfs_buf *out)
{
	const struct bytecount *c = state;

	pfs_buf_printf(out, "\"bytes\":%llu,\"captured\":%llu",
		       (unsigned long long)pfs_counter_get(&c->wire),
		       (unsigned long long)pfs_counter_get(&c->captured));
}

static int bytecount_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			  struct pfs_diag *diag)
{
	struct bytecount *c = state;

	(void)place;
	return pfs_report_set(&c->report, args, diag);
}

static void bytecount_fini(void *state)
{
	struct bytecount *c = state;

	pfs_report_release(&c->report);
}

static size_t bytecount_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			     uint64_t *ret_wait)
{
	struct bytecount *c = state;
	uint64_t wire = 0, captured = 0;

	for (size_t i = 0; i < n; i++) {
		struct pfs_meta meta;

		pfs_meta(out, &in[i], &meta);
		wire += pfs_max(meta.wire_len, in[i].len);
		captured += in[i].len;
	}
	pfs_counter_add(&c->wire, wire);
	pfs_counter_add(&c->captured, captured);
	return pfs_report(&c->report, bytecount_text, c, n, out, ret_wait);
}

static void bytecount_passed(void *state, const struct pfs_tally *tally)
{
	struct bytecount *c = state;

	pfs_counter_add(&c->wire, tally->wire);
	pfs_counter_add(&c->captured, tally->bytes);
	c->report.news |= tally->records > 0;
}

static bool bytecount_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			      struct pfs_emitter *out)
{
	struct bytecount *c = state;

	(void)meta;
	return pfs_report_end(&c->report, bytecount_text, c, ref, out);
}

static void bytecount_stats(void *state, struct pfs_buf *out)
{
	const struct bytecount *c = state;

	pfs_buf_printf(out, "wire %llu\n", (unsigned long long)pfs_counter_get(&c->wire));
	pfs_buf_printf(out, "captured %llu\n", (unsigned long long)pfs_counter_get(&c->captured));
}

static int bytecount_preamble(void *state, const struct pfs_emitter *out,
			      const struct pfs_record *at, uint64_t lost, struct pfs_buf *ret_bytes)
{
	(void)out;
	return pfs_report_line(bytecount_text, state, ret_bytes);
}

static const struct pfs_param bytecount_params[] = { PFS_REPORT_PARAM, { NULL, NULL } };

const struct pfs_filter pfs_filter_bytecount = {
	.name = "bytecount",
	.summary = "count bytes, and say how many",
	.flags = PFS_FILTER_CONSUMER,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_TEXT | PFS_FLOW_JSON,
	.params = bytecount_params,
	.state_size = sizeof(struct bytecount),
	.ring_size = PFS_REPORT_RING,
	.init = bytecount_init,
	.reconfigure = bytecount_init,
	.fini = bytecount_fini,
	.pull = bytecount_pull,
	.passed = bytecount_passed,
	.control = bytecount_control,
	.stats = bytecount_stats,
	.preamble = bytecount_preamble,
};
