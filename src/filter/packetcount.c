/*
 * packetcount - count packets, and say how many
 *
 * Synopsis:   …/packetcount[,every=S]
 *
 * Counts packets, without a reader: the directory is a consumer by itself, so a source above it
 * runs as long as it exists. Nothing passes. Its `all` (and all.json) is lines of JSON,
 * {"time":…,"packets":N}: one at once for a reader who comes, one every S seconds while packets
 * come, and one when the stream ends. Numbers are those since mkdir.
 *
 * `count` counts records of any kind and passes them on; bytecount counts bytes on the wire.
 *
 * Where the kernel decides what the directory above keeps, below dev/ and netfilter_*, it counts as
 * well: only numbers leave it, unless somebody else wants the packets.
 *
 * Stats:      packets
 * Parameters: every=S  seconds between two lines of numbers (default 1); can be changed through .params
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/tcp/packetcount; cat /p/dev/eth0/tcp/packetcount/all.json
 */
#include "graph/report.h"

struct packetcount {
	struct pfs_report report;
	pfs_counter packets; /* writer: the worker */
};

static void packetcount_text(void *state, struct pfs_buf *out)
{
	const struct packetcount *c = state;

	pfs_buf_printf(out, "\"packets\":%llu", (unsigned long long)pfs_counter_get(&c->packets));
}

static int packetcount_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	struct packetcount *c = state;

	(void)place;
	return pfs_report_set(&c->report, args, diag);
}

static void packetcount_fini(void *state)
{
	struct packetcount *c = state;

	pfs_report_release(&c->report);
}

static size_t packetcount_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			       uint64_t *ret_wait)
{
	struct packetcount *c = state;

	(void)in;
	pfs_counter_add(&c->packets, n);
	return pfs_report(&c->report, packetcount_text, c, n, out, ret_wait);
}

static void packetcount_passed(void *state, const struct pfs_tally *tally)
{
	struct packetcount *c = state;

	pfs_counter_add(&c->packets, tally->records);
	c->report.news |= tally->records > 0;
}

static bool packetcount_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
				struct pfs_emitter *out)
{
	struct packetcount *c = state;

	(void)meta;
	return pfs_report_end(&c->report, packetcount_text, c, ref, out);
}

static void packetcount_stats(void *state, struct pfs_buf *out)
{
	const struct packetcount *c = state;

	pfs_buf_printf(out, "packets %llu\n", (unsigned long long)pfs_counter_get(&c->packets));
}

static int packetcount_preamble(void *state, const struct pfs_emitter *out,
				const struct pfs_record *at, uint64_t lost, struct pfs_buf *ret_bytes)
{
	(void)out;
	return pfs_report_line(packetcount_text, state, ret_bytes);
}

static const struct pfs_param packetcount_params[] = { PFS_REPORT_PARAM, { NULL, NULL } };

const struct pfs_filter pfs_filter_packetcount = {
	.name = "packetcount",
	.summary = "count packets, and say how many",
	.flags = PFS_FILTER_CONSUMER,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_TEXT | PFS_FLOW_JSON,
	.params = packetcount_params,
	.state_size = sizeof(struct packetcount),
	.ring_size = PFS_REPORT_RING,
	.init = packetcount_init,
	.reconfigure = packetcount_init,
	.fini = packetcount_fini,
	.pull = packetcount_pull,
	.passed = packetcount_passed,
	.control = packetcount_control,
	.stats = packetcount_stats,
	.preamble = packetcount_preamble,
};
