/*
 * streams - a filter that makes byte streams out of packets: what the views below it say, and where they end
 */
#include "../rig.h"

#include "graph/tables.h"
#include "packet/lines.h"

extern const struct pfs_filter pfs_filter_unpcap, pfs_filter_snap, pfs_filter_view_json,
	pfs_filter_view_txt;
extern const struct pfs_source pfs_source_accept;

/* --- talk: of each packet its payload in place, then a copy of it, a gap of 7 and the end of its stream ----------- */

#define HEADERS 54

struct talk {
	uint32_t stream;
};

static void talk_copy(struct pfs_emitter *out, const struct pfs_ref *in, const struct pfs_ref *piece)
{
	struct pfs_record *rec;
	uint8_t *p = pfs_emit_new(out, in->len, &rec);
	struct pfs_ref copy = *piece;
	struct pfs_meta meta;

	assert_non_null(p);
	pfs_meta(out, in, &meta);
	memcpy(p, pfs_bytes(out, in), in->len);
	rec->time = pfs_record_time(pfs_origin_get(out->rings, in->origin), meta.time);
	rec->origin = in->origin;
	copy.offset += piece->len;
	pfs_emit_commit_as(out, rec, &copy);
}

static void talk_gap(struct pfs_emitter *out, const struct pfs_ref *in, const struct pfs_ref *piece)
{
	struct pfs_record *rec;
	struct pfs_ref gap = *piece;
	uint8_t *p = pfs_emit_new(out, HEADERS, &rec);

	assert_non_null(p);
	memcpy(p, pfs_bytes(out, in), HEADERS);
	rec->origin = in->origin;
	rec->wire_len = 7;
	gap.len = 0;
	gap.flags |= PFS_REF_GAP;
	gap.offset += 2 * piece->len;
	pfs_emit_commit_as(out, rec, &gap);
}

static size_t talk_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct talk *t = state;
	size_t i;

	(void)ret_wait;
	for (i = 0; i < n && out->room >= 4; i++) {
		struct pfs_ref piece = in[i];

		t->stream = pfs_emit_streams(out);
		assert_true(t->stream != 0 && t->stream % 2 == 0);
		piece.flags |= PFS_REF_IN_STREAM;
		piece.stream = t->stream + (i & 1);
		piece.offset = 0;
		pfs_ref_narrow(&piece, HEADERS, piece.len - HEADERS);
		piece.offset = 0;
		pfs_emit(out, &piece);
		talk_copy(out, &in[i], &piece);
		talk_gap(out, &in[i], &piece);
		pfs_emit_stream_end(out, piece.stream);
	}
	return i;
}

static void talk_json(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	(void)p;
	pfs_buf_printf(out, ",\"words\":%zu", n);
}

static void talk_text(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	(void)p;
	pfs_buf_printf(out, ": %zu words", n);
}

static const struct pkt_describe talk_describe = { .json = talk_json, .text = talk_text };

static const struct pfs_filter talk = {
	.name = "talk",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_BYTES,
	.state_size = sizeof(struct talk),
	.pull = talk_pull,
	.describe = &talk_describe,
};

/* --- ears: passes bytes on; says how many ends it heard; inline for packets, pulling for bytes -------------------- */

struct ears {
	_Atomic uint64_t batches, pulls, ends, gaps, streams;
};

static void ears_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct ears *e = state;

	e->batches++;
	pfs_emit_all(out, in, n);
}

static size_t ears_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct ears *e = state;
	size_t i;

	(void)ret_wait;
	e->pulls++;
	for (i = 0; i < n && out->room > 0; i++) {
		struct pfs_meta meta;

		pfs_meta(out, &in[i], &meta);
		assert_int_equal(meta.stream, in[i].stream);
		e->gaps += in[i].flags & PFS_REF_GAP ? meta.wire_len : 0;
		e->streams += in[i].len > 0 && in[i].offset == 0;
		pfs_emit(out, &in[i]);
	}
	return i;
}

static bool ears_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	struct ears *e = state;

	(void)out;
	e->ends += ref->flags & PFS_REF_STREAM_END && meta->stream != 0;
	return true;
}

static void ears_stats(void *state, struct pfs_buf *out)
{
	struct ears *e = state;

	pfs_buf_printf(out, "batches %d\npulls %d\nends %d\ngaps %d\nstreams %d\n", (int)e->batches,
		       (int)e->pulls, (int)e->ends, (int)e->gaps, (int)e->streams);
}

static const struct pfs_filter ears = {
	.name = "ears",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.state_size = sizeof(struct ears),
	.batch = ears_batch,
	.pull = ears_pull,
	.pulls = PFS_FLOW_BYTES,
	.control = ears_control,
	.stats = ears_stats,
};

const struct pfs_filter *const pfs_filters[] = { &ears,
						 &pfs_filter_snap,
						 &talk,
						 &pfs_filter_unpcap,
						 &pfs_filter_view_json,
						 &pfs_filter_view_txt,
						 NULL };
const struct pfs_source *const pfs_sources[] = { &pfs_source_accept, NULL };
const struct pfs_manual pfs_manuals[] = { { NULL, NULL } };

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void two_packets(struct pfs_buf *cap)
{
	cap_head(cap, 1);
	cap_tcp(cap, 1, 2, 100, 0x10, "abc\n");
	cap_tcp(cap, 2, 1, 100, 0x10, "\x1b\"z");
}

/* Numbers of streams are not for tests to know. */
static void mask_streams(struct pfs_buf *text)
{
	for (char *at = text->data; (at = strstr(at, "stream"));) {
		for (at += 6; strchr("\": ", *at); at++)
			;
		for (; *at >= '0' && *at <= '9'; at++)
			*at = 'N';
	}
}

static void run(const char *path, const char *view, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct rig rig;

	two_packets(&cap);
	rig_run(&rig, path, view, cap.data, cap.len, 0, out);
	pfs_buf_add(out, "", 1);
	mask_streams(out);
	rig_release(&rig);
}

#define TIME "{\"time\":\"2023-11-14T22:13:20.123456789Z\""
#define AB \
	",\"src\":\"10.0.0.1\",\"sport\":1001,\"dst\":\"10.0.0.2\",\"dport\":1002,\"stream\":N,\"side\":\"a\""
#define BA \
	",\"src\":\"10.0.0.2\",\"sport\":1002,\"dst\":\"10.0.0.1\",\"dport\":1001,\"stream\":N,\"side\":\"b\""

static void test_json_tells_whose_bytes(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };

	(void)state;
	run("accept/unpcap/talk", "json", &out);
	assert_string_equal(out.data, TIME AB
			    ",\"offset\":0,\"len\":4,\"words\":4,\"data\":\"abc\\u000a\"}\n" TIME AB
			    ",\"offset\":4,\"len\":4,\"words\":4,\"data\":\"abc\\u000a\"}\n"
			    "{\"time\":\"1970-01-01T00:00:00.000000000Z\"" AB
			    ",\"offset\":8,\"len\":0,\"gap\":7}\n" TIME BA
			    ",\"offset\":0,\"len\":3,\"words\":3,\"data\":\"\\u001b\\\"z\"}\n" TIME BA
			    ",\"offset\":3,\"len\":3,\"words\":3,\"data\":\"\\u001b\\\"z\"}\n"
			    "{\"time\":\"1970-01-01T00:00:00.000000000Z\"" BA
			    ",\"offset\":6,\"len\":0,\"gap\":7}\n");
}

static void test_text_tells_whose_bytes(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };

	(void)state;
	run("accept/unpcap/talk/snap:2", "txt", &out);
	assert_non_null(strstr(out.data,
			       "2023-11-14 22:13:20.123456789 10.0.0.1.1001 > 10.0.0.2.1002: "
			       "stream N a offset 4 len 2: 2 words\n        0x0000:  6162 "));
	assert_non_null(strstr(out.data, "stream N a offset 8 gap 7"));
	assert_non_null(strstr(out.data, "stream N b offset 3 len 2"));
	for (size_t i = 0; i + 1 < out.len; i++)
		assert_true(out.data[i] == '\n' || (out.data[i] >= ' ' && out.data[i] <= '~'));
}

static void test_bytes_are_in_order(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };

	(void)state;
	run("accept/unpcap/talk/ears/snap:3", NULL, &out);
	assert_string_equal(out.data, "abcabc\x1b\"z\x1b\"z");
}

static void test_filters_below_hear_ends_and_gaps(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	two_packets(&cap);
	rig_run(&rig, "accept/unpcap/talk/ears", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "ends", 2);
	rig_expect(&rig, "gaps", 14);
	rig_expect(&rig, "streams", 2);
	rig_expect(&rig, "batches", 0);
	assert_true(rig_stat(&rig, "pulls") > 0);
	rig_release(&rig);
}

static void test_a_filter_of_both_shapes_is_inline_elsewhere(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	two_packets(&cap);
	rig_run(&rig, "accept/unpcap/ears", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "pulls", 0);
	assert_true(rig_stat(&rig, "batches") > 0);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_tells_whose_bytes),
		cmocka_unit_test(test_text_tells_whose_bytes),
		cmocka_unit_test(test_bytes_are_in_order),
		cmocka_unit_test(test_filters_below_hear_ends_and_gaps),
		cmocka_unit_test(test_a_filter_of_both_shapes_is_inline_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
