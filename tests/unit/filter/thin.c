/*
 * sample rate dedup: which records pass
 */
#include "../rig.h"

#include "../bytes_help.h"

#include "packet/generate.h"

#define MS UINT64_C(1000000)
#define NUMBERED 46 /* bytes of a numbered packet */

/* A packet of nothing known, with a number. */
static void numbered(struct pfs_buf *cap, uint64_t time, uint32_t number)
{
	uint8_t p[NUMBERED] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };

	be32_store(p + 14, number);
	cap_packet(cap, time, p, sizeof(p));
}

/* What passes a filter of the packets in cap, appended: numbers of numbered packets. */
static size_t passed(struct rig *rig, const char *filter, const struct pfs_buf *cap,
		     uint32_t *numbers, size_t max)
{
	PFS_BUF struct pfs_buf out = { 0 };
	char path[128];
	size_t n = 0;

	snprintf(path, sizeof(path), "accept/unpcap/%s", filter);
	rig_run(rig, path, NULL, cap->data, cap->len, 0, &out);
	for (size_t at = 0; at < out.len && n < max; at += NUMBERED)
		numbers[n++] = be32_load((uint8_t *)out.data + at + 14);
	return out.len / NUMBERED;
}

/* --- sample ------------------------------------------------------------------------------------------ */

static void assert_sample(const char *filter, uint32_t packets, uint32_t every, uint32_t first)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	static uint32_t numbers[4096];
	struct rig rig;
	size_t n;

	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 1; i <= packets; i++)
		numbered(&cap, RIG_TIME, i);
	n = passed(&rig, filter, &cap, numbers, ARRAY_SIZE(numbers));
	assert_int_equal(n, packets < first ? 0 : (packets - first) / every + 1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(numbers[i], first + i * every);
	assert_int_equal(rig_stat(&rig, "dropped"), rig_stat(&rig, "in") - n);
	assert_int_equal(rig_stat(&rig, "lost"), 0);
	rig_release(&rig);
}

static void test_sample_takes_every_nth(void **state)
{
	(void)state;
	assert_sample("sample:1", 1000, 1, 1);
	assert_sample("sample:3", 1000, 3, 3);
	assert_sample("sample:1000", 2500, 1000, 1000);
	assert_sample("sample:4000", 2500, 4000, 4000);
	assert_sample("sample:3,phase=0", 1000, 3, 3);
	assert_sample("sample:3,phase=1", 1000, 3, 1);
	assert_sample("sample:3,phase=2", 1000, 3, 2);
	assert_sample("sample:2/sample:5", 1000, 10, 10);
}

static void test_sample_begins_anew(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct pfs_diag diag;
	struct pfs_cred cred = rig_cred();
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/sample:3", NULL);
	writer = rig_writer(&rig);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pfs_writer_write(writer, &"abcde"[i], 1), 1);
	rig_wait(&rig, &out, 1);
	pfs_reader_close(TAKE_PTR(rig.reader));
	rig_read(&rig, NULL);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pfs_writer_write(writer, &"fghij"[i], 1), 1);
	rig_wait(&rig, &out, 2);
	assert_memory_equal(out.data, "ch", 2);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=2", 5, &cred, &diag), 0);
	for (int i = 0; i < 3; i++) /* its sixth, seventh and eighth */
		assert_int_equal(pfs_writer_write(writer, &"klm"[i], 1), 1);
	rig_wait(&rig, &out, 4);
	assert_memory_equal(out.data, "chkm", 4);
	pfs_writer_close(writer);
	rig_release(&rig);
}

static void test_sample_at_random(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	static uint32_t first[20000], second[20000];
	struct rig rig;
	size_t n;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 1; i <= 20000; i++)
		numbered(&cap, RIG_TIME, i);
	n = passed(&rig, "sample:10,random=1", &cap, first, ARRAY_SIZE(first));
	rig_release(&rig);
	/* 2000 +- 42: further than 7 times that it is seldom in the life of this program */
	assert_in_range(n, 1700, 2300);
	n = passed(&rig, "sample:10,random=1", &cap, second, ARRAY_SIZE(second));
	rig_release(&rig);
	assert_in_range(n, 1700, 2300);
	assert_memory_not_equal(first, second, 1700 * sizeof(first[0]));
}

/* One stream after the other, for a reader that stays. */
static void test_each_stream_is_thinned_alike(void **state)
{
	static const char *const filters[] = { "sample:3", "rate:2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		PFS_BUF struct pfs_buf cap = { 0 };
		PFS_BUF struct pfs_buf first = { 0 };
		PFS_BUF struct pfs_buf again = { 0 };
		struct pfs_writer *writer;
		struct rig rig;
		char path[64];

		cap_head(&cap, PFS_LINK_ETHERNET);
		for (uint32_t n = 0; n < 10; n++)
			numbered(&cap, RIG_TIME + n * MS, n);
		snprintf(path, sizeof(path), "accept/unpcap/%s", filters[i]);
		rig_run(&rig, path, NULL, cap.data, cap.len, 0, &first);
		writer = rig_writer(&rig);
		rig_write(&rig, writer, cap.data, cap.len, 0, &again);
		pfs_writer_close(writer);
		rig_finish(&rig, &again);
		assert_true(first.len >= 2 * NUMBERED);
		assert_int_equal(first.len, again.len);
		assert_memory_equal(first.data, again.data, first.len);
		rig_release(&rig);
	}
}

/* --- rate ---------------------------------------------------------------------------------------------- */

static size_t rate_of(const char *filter, size_t packets, uint64_t step)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	uint32_t numbers[1];
	struct rig rig;
	size_t n;

	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < packets; i++)
		numbered(&cap, RIG_TIME + i * step, i);
	n = passed(&rig, filter, &cap, numbers, 1);
	assert_int_equal(rig_stat(&rig, "dropped"), packets - n);
	assert_int_equal(rig_stat(&rig, "lost"), 0);
	rig_release(&rig);
	return n;
}

static void test_rate_by_the_time_of_records(void **state)
{
	(void)state;
	/* 10 s, 1000 a second: the bucket, then what comes in */
	assert_in_range(rate_of("rate:100", 10000, MS), 1098, 1100);
	assert_in_range(rate_of("rate:100%2fs", 10000, MS), 1098, 1100);
	assert_in_range(rate_of("rate:100,burst=1", 10000, MS), 999, 1001);
	assert_in_range(rate_of("rate:600%2fm,burst=10", 10000, MS), 109, 110);
	assert_in_range(rate_of("rate:3600%2fh,burst=1", 10000, MS), 10, 11);
	/* below it nothing is dropped */
	assert_int_equal(rate_of("rate:1000,burst=1", 10000, MS), 10000);
	assert_int_equal(rate_of("rate:2000", 10000, MS), 10000);
	/* all at once */
	assert_int_equal(rate_of("rate:100", 10000, 0), 100);
	assert_int_equal(rate_of("rate:100,burst=7", 10000, 0), 7);
	assert_int_equal(rate_of("rate:4G,burst=1", 10000, 0) <= 1, 1);
}

static void test_rate_when_time_jumps(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	uint32_t numbers[64];
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < 5; i++)
		numbered(&cap, RIG_TIME, i); /* 0 and 1 pass */
	for (uint32_t i = 5; i < 10; i++)
		numbered(&cap, RIG_TIME - 100 * MS, i); /* a little older: no new token */
	for (uint32_t i = 10; i < 15; i++)
		numbered(&cap, RIG_TIME - 3600000 * MS, i);	/* another recording: 10 and 11 */
	numbered(&cap, RIG_TIME - 3600000 * MS + 500 * MS, 15); /* half a second: a token */
	numbered(&cap, UINT32_MAX * UINT64_C(1000000000), 16); /* long after: a full bucket, no overflow */
	numbered(&cap, UINT32_MAX * UINT64_C(1000000000), 17);
	numbered(&cap, UINT32_MAX * UINT64_C(1000000000), 18);
	assert_int_equal(passed(&rig, "rate:2", &cap, numbers, ARRAY_SIZE(numbers)), 7);
	assert_int_equal(numbers[0], 0);
	assert_int_equal(numbers[1], 1);
	assert_int_equal(numbers[2], 10);
	assert_int_equal(numbers[3], 11);
	assert_int_equal(numbers[4], 15);
	assert_int_equal(numbers[5], 16);
	assert_int_equal(numbers[6], 17);
	rig_release(&rig);
}

/* --- dedup ----------------------------------------------------------------------------------------------- */

#define MACS_A "020000000002 020000000001"
#define MACS_B "020000000004 020000000003"
#define IP4(ttl, sum, id) "4500 0020" id "0000" ttl "11" sum "0a000001 0a000002"
#define UDP(last) "0001 0002 000c 0000 616263" last
#define IP6(hops) \
	"6000 0000 000c 11" hops "20010db8000000000000000000000001 20010db8000000000000000000000002"

static void hex_packet(struct pfs_buf *cap, uint64_t time, const char *hex)
{
	uint8_t p[256];

	cap_packet(cap, time, p, from_hex(hex, p, sizeof(p)));
}

/* Does the second of two packets, ms apart, pass? */
static bool second_passes(const char *filter, const char *one, const char *two, int ms)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	char path[64];
	struct rig rig;
	uint64_t n;

	cap_head(&cap, PFS_LINK_ETHERNET);
	hex_packet(&cap, RIG_TIME, one);
	hex_packet(&cap, (uint64_t)((int64_t)RIG_TIME + ms * (int64_t)MS), two);
	snprintf(path, sizeof(path), "accept/unpcap/%s", filter);
	rig_run(&rig, path, NULL, cap.data, cap.len, 0, &out);
	n = rig_stat(&rig, "out");
	assert_in_range(n, 1, 2);
	assert_int_equal(rig_stat(&rig, "dropped"), 2 - n);
	rig_release(&rig);
	return n == 2;
}

static const char packet[] = MACS_A "0800" IP4("40", "1111", "0001") UDP("64");

static void test_dedup_within_its_time(void **state)
{
	(void)state;
	assert_false(second_passes("dedup:20", packet, packet, 0));
	assert_false(second_passes("dedup:20", packet, packet, 20));
	assert_true(second_passes("dedup:20", packet, packet, 21));
	assert_false(second_passes("dedup:20", packet, packet, -20));
	assert_true(second_passes("dedup:20", packet, packet, -21));
	assert_false(second_passes("dedup:20,compare=all", packet, packet, 20));
}

/* What routers and taps change is no difference; all else is. */
static void test_dedup_from_the_ip_header(void **state)
{
	static const struct {
		const char *other;
		bool differs;
	} cases[] = {
		{ MACS_B "0800" IP4("40", "1111", "0001") UDP("64"), false },
		{ MACS_A "8100 0005 0800" IP4("40", "1111", "0001") UDP("64"), false },
		{ MACS_A "0800" IP4("3f", "1211", "0001") UDP("64"), false },
		{ MACS_A "0800" IP4("40", "1111", "0001") UDP("64") "000000000000", false }, /* padding */
		{ MACS_A "0800" IP4("40", "1111", "0002") UDP("64"), true },
		{ MACS_A "0800" IP4("40", "1111", "0001") UDP("65"), true },
		{ MACS_A "0800"
			 "4500 0020 0001 0000 4011 1111 0a000001 0a000003" UDP("64"),
		  true },
		{ MACS_A "0800"
			 "4500 0020 0001 0000 4006 1111 0a000001 0a000002" UDP("64"),
		  true },
		{ MACS_A "88b5" IP4("40", "1111", "0001") UDP("64"), true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(second_passes("dedup:20", packet, cases[i].other, 1),
				 cases[i].differs);
		assert_true(second_passes("dedup:20,compare=all", packet, cases[i].other, 1));
	}
	assert_false(second_passes("dedup:20", MACS_A "86dd" IP6("40") UDP("64"),
				   MACS_B "86dd" IP6("3f") UDP("64"), 1));
	assert_true(second_passes("dedup:20", MACS_A "86dd" IP6("40") UDP("64"),
				  MACS_B "86dd" IP6("40") UDP("65"), 1));
}

/* Broken headers are compared as they are, and never beyond their end. */
static void test_dedup_of_what_is_cut_off(void **state)
{
	static const char *const broken[] = {
		MACS_A "0800",
		MACS_A "0800 45",
		MACS_A "0800 4500 0020 0001 0000 4011 1111 0a000001 0a0000",
		MACS_A "0800 4f00 0020 0001 0000 4011 1111 0a000001 0a000002",
		MACS_A "0800 4500 0001 0001 0000 4011 1111 0a000001 0a000002",
		MACS_A "86dd 6000 0000 000c 1140 20010db8",
		"02",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		assert_false(second_passes("dedup:20", broken[i], broken[i], 1));
		assert_true(second_passes("dedup:20", broken[i], packet, 1));
	}
}

/* A dropped record is remembered too; another kind between two of them does no harm. */
static void test_dedup_chains(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	static uint32_t numbers[8];
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < 30; i++) {
		numbered(&cap, RIG_TIME + i * 15 * MS, 1);
		numbered(&cap, RIG_TIME + i * 15 * MS + MS, 2);
	}
	assert_int_equal(passed(&rig, "dedup:20", &cap, numbers, ARRAY_SIZE(numbers)), 2);
	rig_release(&rig);
	assert_int_equal(passed(&rig, "dedup:14", &cap, numbers, ARRAY_SIZE(numbers)), 60);
	rig_release(&rig);
}

static void test_dedup_is_bounded(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	static uint32_t numbers[8];
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < 200; i++)
		numbered(&cap, RIG_TIME, i);
	for (uint32_t i = 0; i < 200; i++)
		numbered(&cap, RIG_TIME, i); /* all still known */
	for (uint32_t i = 1000; i < 1300; i++)
		numbered(&cap, RIG_TIME, i);
	numbered(&cap, RIG_TIME, 0); /* forgotten */
	numbered(&cap, RIG_TIME, 1299);
	assert_int_equal(passed(&rig, "dedup:1000,max=256", &cap, numbers, ARRAY_SIZE(numbers)), 501);
	assert_true(rig_stat(&rig, "forgotten") > 0);
	rig_release(&rig);
	assert_int_equal(passed(&rig, "dedup:1000", &cap, numbers, ARRAY_SIZE(numbers)), 500);
	assert_int_equal(rig_stat(&rig, "forgotten"), 0);
	rig_release(&rig);
}

/* The same once more, after the end, is new. */
static void test_dedup_forgets_at_the_end(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	numbered(&cap, RIG_TIME, 1);
	rig_run(&rig, "accept/unpcap/dedup:20", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(out.len, NUMBERED);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	assert_int_equal(out.len, 2 * NUMBERED);
	rig_release(&rig);
}

/* A capture, and the same poured in twice at once. */
static void test_dedup_of_two_taps(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf twice = { 0 };
	PFS_BUF struct pfs_buf once = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct generate_counts counts;
	struct rig rig;

	(void)state;
	options.packets = 3000;
	assert_int_equal(capture_generate_buf(&options, &cap, &counts), 0);
	pfs_buf_add(&twice, cap.data, 24);
	for (size_t at = 24; at < cap.len;) {
		size_t len = 16 + le32_load((uint8_t *)cap.data + at + 8);

		pfs_buf_add(&twice, cap.data + at, len);
		pfs_buf_add(&twice, cap.data + at, len);
		at += len;
	}
	rig_run(&rig, "accept/unpcap/dedup:1", NULL, cap.data, cap.len, 0, &once);
	rig_release(&rig);
	rig_run(&rig, "accept/unpcap/dedup:1", NULL, twice.data, twice.len, 0, &out);
	assert_int_equal(out.len, once.len);
	assert_memory_equal(out.data, once.data, out.len);
	rig_release(&rig);
}

/* --- arguments --------------------------------------------------------------------------------------------- */

static void test_bad_arguments_are_refused(void **state)
{
	static const struct {
		const char *name, *says;
	} bad[] = {
		{ "sample", "needs an argument" },
		{ "sample:", "sample:N" },
		{ "sample:0", "sample:N" },
		{ "sample:x", "sample:N" },
		{ "sample:3,phase=3", "phase=" },
		{ "sample:3,random=2", "random=" },
		{ "sample:3,phase=1,random=1", "not both" },
		{ "rate:", "rate:N" },
		{ "rate:0", "rate:N" },
		{ "rate:10%2fd", "rate:N" },
		{ "rate:%2fs", "rate:N" },
		{ "rate:10%2f", "rate:N" },
		{ "rate:10,burst=0", "burst=" },
		{ "rate:99999999999999999999999999999", "rate:N" },
		{ "dedup:", "dedup:MS" },
		{ "dedup:0", "dedup:MS" },
		{ "dedup:99999999", "dedup:MS" },
		{ "dedup:5,compare=x", "compare=" },
		{ "dedup:5,max=1", "max=" },
		{ "dedup:5,max=1G", "max=" },
	};
	struct pfs_diag diag;
	struct rig rig;
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "accept/%s", bad[i].name);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_non_null(strstr(diag.text, bad[i].says));
		rig_release(&rig);
	}
}

static void test_what_cannot_change_is_refused(void **state)
{
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	assert_int_equal(rig_try(&rig, "accept/dedup:5", &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, "max=512", 7, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=7\ncompare=all", 17, &cred, &diag), 0);
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/rate:5", &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=x", 5, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=9%2fm", 9, &cred, &diag), 0);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample_takes_every_nth),
		cmocka_unit_test(test_sample_begins_anew),
		cmocka_unit_test(test_sample_at_random),
		cmocka_unit_test(test_each_stream_is_thinned_alike),
		cmocka_unit_test(test_rate_by_the_time_of_records),
		cmocka_unit_test(test_rate_when_time_jumps),
		cmocka_unit_test(test_dedup_within_its_time),
		cmocka_unit_test(test_dedup_from_the_ip_header),
		cmocka_unit_test(test_dedup_of_what_is_cut_off),
		cmocka_unit_test(test_dedup_chains),
		cmocka_unit_test(test_dedup_is_bounded),
		cmocka_unit_test(test_dedup_forgets_at_the_end),
		cmocka_unit_test(test_dedup_of_two_taps),
		cmocka_unit_test(test_bad_arguments_are_refused),
		cmocka_unit_test(test_what_cannot_change_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
