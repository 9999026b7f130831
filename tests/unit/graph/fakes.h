/*
 * fakes - sources and filters that no user wants, in tables that stand in for the real ones
 *
 *	numbers, numbers:lossy	a thread that makes `fake.count` records of 8 bytes, each the next number, then the end
 *	bundled			numbers that begin when fake.step is 1, and of which who sleeps is told when it is 2
 *	locked			numbers that nobody may have
 *	huge			pulls; its record never fits its ring
 *	wrap			inline; makes `packets` of bytes, which are none
 *	copy			pulls; new bytes for each record
 *	relay			pulls; passes refs on; has a parameter `note` that may change
 *	slow			pulls; passes refs on and takes a millisecond for each
 *	label			inline; an open set of classes: the record's length
 */
#ifndef TESTS_GRAPH_FAKES_H
#define TESTS_GRAPH_FAKES_H

#include "graph/classify.h"
#include "graph/source.h"
#include "graph/tables.h"

static struct {
	_Atomic unsigned count;
	_Atomic unsigned linger; /* us in run() after the end */
	_Atomic unsigned runs;
	_Atomic unsigned pushed;
	_Atomic unsigned step;
} fake;

static int numbers_init(void *state, const char *name, const struct pfs_args *args,
			const struct pfs_place *place, struct pfs_diag *diag)
{
	return 0;
}

static int numbers_batch(struct pfs_feed *feed, struct pfs_ring *ring, uint64_t first, size_t n,
			 bool tell)
{
	struct pfs_origin bytes = { .link_type = PFS_LINK_BYTES };
	struct pfs_ref refs[PFS_BATCH];
	struct pfs_record *rec;
	uint16_t origin;
	int r = pfs_feed_origin(feed, &bytes, &origin);

	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t number = first + i;

		r = pfs_feed_reserve(feed, ring, sizeof(number), &rec);
		if (r < 0)
			break;
		memcpy(rec + 1, &number, sizeof(number));
		rec->origin = origin;
		pfs_ring_commit(ring, rec);
		refs[i] = pfs_ref_of_record(ring, rec, atomic_load(&ring->head) - rec->size);
	}
	if (r == 0)
		r = tell ? pfs_feed_push(feed, refs, n) : pfs_feed_push_taken(feed, refs, NULL, n);
	return r;
}

static int numbers_make(struct pfs_feed *feed, bool tell)
{
	uint64_t count = fake.count;
	struct pfs_ring *ring;
	int r = pfs_feed_ring(feed, 0, &ring);

	for (uint64_t at = 0; at < count && r == 0; at += 64) {
		size_t n = pfs_min(64, count - at);

		r = numbers_batch(feed, ring, at, n, tell);
		if (r == 0)
			fake.pushed += (unsigned)n;
	}
	return r;
}

static int numbers_run(void *state, struct pfs_feed *feed)
{
	int r = numbers_make(feed, true);

	if (r == 0)
		r = pfs_feed_eof(feed);
	usleep(fake.linger);
	fake.runs++;
	return r;
}

static const struct pfs_source numbers = {
	.name = "numbers",
	.out = PFS_FLOW_BYTES,
	.has_arg = true,
	.init = numbers_init,
	.run = numbers_run,
};

static int bundled_run(void *state, struct pfs_feed *feed)
{
	int r;

	WAIT_WHILE(fake.step < 1);
	r = numbers_make(feed, false);
	WAIT_WHILE(fake.step < 2 && !pfs_feed_stopping(feed));
	pfs_feed_wake(feed);
	return r;
}

static const struct pfs_source bundled = {
	.name = "bundled",
	.out = PFS_FLOW_BYTES,
	.has_arg = true,
	.init = numbers_init,
	.run = bundled_run,
};

static const struct pfs_source flood = {
	.name = "flood",
	.flags = PFS_SOURCE_LOSSY,
	.out = PFS_FLOW_BYTES,
	.has_arg = true,
	.init = numbers_init,
	.run = numbers_run,
};

static size_t huge_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct pfs_record *rec;

	assert(!pfs_emit_new(out, 2 << 20, &rec));
	return 0;
}

static const struct pfs_filter huge = {
	.name = "huge",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_BYTES,
	.ring_size = 4 << 20,
	.pull = huge_pull,
};

static size_t copy_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct pfs_record *rec;
		void *p = pfs_emit_new(out, in[i].len, &rec);

		if (!p)
			break;
		memcpy(p, pfs_bytes(out, &in[i]), in[i].len);
		pfs_emit_commit(out, rec);
	}
	return i;
}

static const struct pfs_filter copy = {
	.name = "copy",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_BYTES,
	.ring_size = 64 << 10,
	.pull = copy_pull,
};

static size_t relay_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			 uint64_t *ret_wait)
{
	n = pfs_min(n, out->room);
	pfs_emit_all(out, in, n);
	return n;
}

static const struct pfs_param relay_params[] = { { "note", "" }, { NULL, NULL } };

static int relay_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag)
{
	return 0;
}

static const struct pfs_filter relay = {
	.name = "relay",
	.params = relay_params,
	.reconfigure = relay_reconfigure,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_BYTES,
	.pull = relay_pull,
};

static size_t slow_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	n = pfs_min(n, out->room);
	usleep((useconds_t)n * 1000);
	pfs_emit_all(out, in, n);
	return n;
}

static const struct pfs_filter slow = {
	.name = "slow",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_BYTES,
	.pull = slow_pull,
};

static int label_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	return pfs_classify_init(state, &pkt_field_len, args, diag);
}

static const struct pfs_filter label = {
	.name = "label",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.params = pfs_classify_params,
	.state_size = sizeof(struct pfs_classify),
	.init = label_init,
	.reconfigure = pfs_classify_reconfigure,
	.fini = pfs_classify_fini,
	.batch = pfs_classify_batch,
	.stats = pfs_classify_stats,
	.open_classes = pfs_classify_classes,
};

static int locked_start(void *state, struct pfs_feed *feed, struct pfs_diag *diag)
{
	return pfs_diag_set(diag, EPERM, "these are locked");
}

static const struct pfs_source locked = {
	.name = "locked",
	.out = PFS_FLOW_BYTES,
	.has_arg = true,
	.init = numbers_init,
	.start = locked_start,
	.run = numbers_run,
};

static void wrap_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	pfs_emit_all(out, in, n);
}

static const struct pfs_filter wrap = {
	.name = "wrap",
	.in = PFS_FLOW_BYTES,
	.out = PFS_FLOW_PACKETS,
	.batch = wrap_batch,
};

extern const struct pfs_source pfs_source_accept;
extern const struct pfs_filter pfs_filter_count, pfs_filter_head, pfs_filter_into,
	pfs_filter_unpcap, pfs_filter_view_json, pfs_filter_view_txt;

const struct pfs_source *const pfs_sources[] = { &pfs_source_accept, &bundled, &flood, &locked,
						 &numbers,	     NULL };
const struct pfs_filter *const pfs_filters[] = { &copy,
						 &pfs_filter_count,
						 &pfs_filter_head,
						 &huge,
						 &pfs_filter_into,
						 &pfs_filter_view_json,
						 &label,
						 &relay,
						 &slow,
						 &pfs_filter_view_txt,
						 &pfs_filter_unpcap,
						 &wrap,
						 NULL };
const struct pfs_manual pfs_manuals[] = { { NULL, NULL } };

#endif
