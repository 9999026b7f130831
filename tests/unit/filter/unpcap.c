/*
 * unpcap, unpcapng: packets out of bytes, however they are cut; several writers; faults
 */
#include "../rig.h"

#include "packet/capture_write.h"
#include "packet/generate.h"

static struct pfs_buf capture;
static struct generate_counts counts;

static int setup(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;

	(void)state;
	options.packets = 500;
	return capture_generate_buf(&options, &capture, &counts);
}

static int teardown(void **state)
{
	(void)state;
	pfs_buf_release(&capture);
	return 0;
}

static void test_any_cut_gives_the_same_packets(void **state)
{
	static const size_t chunks[] = { 1,  2,	 3,   15,   16,	  17,	 23, 24,
					 25, 40, 100, 1000, 4096, 65536, 0 };
	PFS_BUF struct pfs_buf want = { 0 };

	(void)state;
	rig_bare_packets(&capture, &want);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		PFS_BUF struct pfs_buf got = { 0 };
		struct rig rig;

		rig_run(&rig, "accept/unpcap", NULL, capture.data, capture.len, chunks[i], &got);
		rig_expect(&rig, "out", counts.packets);
		rig_expect(&rig, "lost", 0);
		rig_expect(&rig, "streams", 0);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, want.len);
		rig_release(&rig);
	}
}

static void test_whole_packets_stay_where_they_are(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	assert_true(capture.len < 1 << 20);
	rig_run(&rig, "accept/unpcap", NULL, capture.data, capture.len, 0, &out);
	rig_expect(&rig, "out", counts.packets);
	rig_expect(&rig, "stitched", 0);
	rig_release(&rig);
}

static void test_times_and_lengths_survive_the_stitching(void **state)
{
	PFS_BUF struct pfs_buf whole = { 0 }, pieces = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept/unpcap", "pcapng", capture.data, capture.len, 0, &whole);
	rig_release(&rig);
	rig_run(&rig, "accept/unpcap", "pcapng", capture.data, capture.len, 7, &pieces);
	rig_expect(&rig, "stitched", counts.packets);
	rig_release(&rig);
	assert_int_equal(whole.len, pieces.len);
	assert_memory_equal(whole.data, pieces.data, whole.len);
}

static void test_two_writers_do_not_mix(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 }, a = { 0 }, b = { 0 };
	struct pfs_writer *wa, *wb;
	struct rig rig;

	(void)state;
	cap_head(&a, 1);
	cap_packet(&a, RIG_TIME, "aaaaaaaaaaaaaaaaaaaa", 20);
	cap_head(&b, 1);
	cap_packet(&b, RIG_TIME, "bbbbbbbbbbbbbbbbbbbb", 20);
	rig_open(&rig, "accept/unpcap", NULL);
	wa = rig_writer(&rig);
	wb = rig_writer(&rig);
	for (size_t i = 0; i < a.len; i++) {
		rig_write(&rig, wa, a.data + i, 1, 0, &out);
		rig_write(&rig, wb, b.data + i, 1, 0, &out);
	}
	rig_wait(&rig, &out, 40);
	assert_memory_equal(out.data, "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb", 40);
	rig_expect(&rig, "streams", 2);
	pfs_writer_close(wa);
	rig_expect(&rig, "streams", 1);
	pfs_writer_close(wb);
	rig_finish(&rig, &out);
	rig_release(&rig);
}

static void test_a_truncated_capture_is_counted(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_packet(&cap, RIG_TIME, "0123456789", 10);
	/* Whole at 0 bytes, behind the head, and behind the packet. */
	for (size_t n = 0; n <= cap.len; n++) {
		PFS_BUF struct pfs_buf out = { 0 };
		bool whole = n == 0 || n == 24 || n == cap.len;
		struct rig rig;

		rig_run(&rig, "accept/unpcap", NULL, cap.data, n, 0, &out);
		assert_int_equal(out.len, n == cap.len ? 10 : 0);
		rig_expect(&rig, "lost", whole ? 0 : 1);
		if (!whole)
			rig_expect(&rig, "lost.truncated", 1);
		rig_release(&rig);
	}
}

static void test_after_a_fault_the_rest_is_discarded(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_packet(&cap, RIG_TIME, "0123456789", 10);
	pfs_buf_add(&cap, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	cap_packet(&cap, RIG_TIME, "0123456789", 10);
	rig_open(&rig, "accept/unpcap", NULL);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	rig_wait(&rig, &out, 10);
	rig_expect(&rig, "lost.malformed", 1);
	rig_expect(&rig, "discarded", 16 + 26 + cap.len);
	pfs_writer_close(writer);
	rig_expect(&rig, "lost", 1);
	/* Another writer begins anew. */
	writer = rig_writer(&rig);
	rig_write(&rig, writer, cap.data, 24 + 26, 0, &out);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	rig_wait(&rig, &out, 20);
	rig_release(&rig);
}

static void test_what_is_no_capture_is_malformed(void **state)
{
	static const struct {
		const char *path, *bytes;
	} cases[] = {
		{ "accept/unpcap", "GET / HTTP/1.0\r\n\r\n" },
		{ "accept/unpcapng", "\xd4\xc3\xb2\xa1\2\0\4\0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;

		rig_run(&rig, cases[i].path, NULL, cases[i].bytes, 8, 0, &out);
		assert_int_equal(out.len, 0);
		rig_expect(&rig, "lost.malformed", 1);
		rig_release(&rig);
	}
}

/* A section of two interfaces, then one of one interface: numbers mean something else. */
static void make_pcapng(struct pfs_buf *cap)
{
	struct pfs_origin a = { .name = "one", .link_type = 1 },
			  b = { .name = "two", .link_type = 101 };
	struct ng_packet packet;
	uint8_t p[64];

	ng_section(NULL, cap);
	ng_interface(&a, cap);
	ng_interface(&b, cap);
	for (uint32_t i = 0; i < 3; i++) {
		if (i == 2) {
			ng_section(NULL, cap);
			ng_interface(&b, cap);
		}
		packet = (struct ng_packet){
			.interface = i % 2,
			.caplen = 5,
			.wire_len = 50,
			.time = RIG_TIME + i,
			.flags = i == 0 ? PFS_REC_IN : PFS_REC_OUT,
		};
		ng_packet_header(&packet, p);
		memset(p + NG_PACKET_HEADER, 'x', 5);
		ng_packet_trailer(&packet, p + NG_PACKET_HEADER + 5);
		pfs_buf_add(cap, p, ng_packet_size(&packet));
	}
}

static void test_pcapng_keeps_interfaces_and_directions(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	make_pcapng(&cap);
	for (size_t chunk = 0; chunk < 40; chunk++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;
		const char *p;

		rig_run(&rig, "accept/unpcapng", "json", cap.data, cap.len, chunk, &out);
		p = strstr(out.data,
			   "\"interface\":\"one\",\"direction\":\"in\",\"len\":50,\"caplen\":5");
		assert_non_null(p);
		p = strstr(p, "\"interface\":\"two\",\"direction\":\"out\",\"len\":50");
		assert_non_null(p);
		p = strstr(p + 1, "\"interface\":\"two\",\"direction\":\"out\",\"len\":50");
		assert_non_null(p);
		assert_non_null(strstr(out.data, "2023-11-14T22:13:20.123456791Z"));
		rig_expect(&rig, "lost", 0);
		rig_release(&rig);
	}
}

static void test_a_packet_beyond_the_snaplen_is_cut(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	le32_store((uint8_t *)cap.data + 16, 4);
	cap_packet(&cap, RIG_TIME, "0123456789", 10);
	cap_packet(&cap, RIG_TIME, "abcdefghij", 10);
	rig_run(&rig, "accept/unpcap", NULL, cap.data, cap.len, 60, &out);
	assert_int_equal(out.len, 8);
	assert_memory_equal(out.data, "0123abcd", 8);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_cut_gives_the_same_packets),
		cmocka_unit_test(test_whole_packets_stay_where_they_are),
		cmocka_unit_test(test_times_and_lengths_survive_the_stitching),
		cmocka_unit_test(test_two_writers_do_not_mix),
		cmocka_unit_test(test_a_truncated_capture_is_counted),
		cmocka_unit_test(test_after_a_fault_the_rest_is_discarded),
		cmocka_unit_test(test_what_is_no_capture_is_malformed),
		cmocka_unit_test(test_pcapng_keeps_interfaces_and_directions),
		cmocka_unit_test(test_a_packet_beyond_the_snaplen_is_cut),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
