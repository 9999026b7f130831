/*
 * httpplus: which packets belong to which message
 */
#include "../rig.h"

#include "packet/generate.h"

#define ACK 0x10
#define FIN_ACK 0x11
#define SYN 0x02

/* What the class gets, as the payloads one after the other (the headers are 54 bytes each). */
static void expect(const struct pfs_buf *cap, const char *path, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 }, payloads = { 0 };
	struct rig rig;

	rig_run(&rig, path, NULL, cap->data, cap->len, 0, &out);
	for (size_t at = 0; at < out.len;) {
		size_t len = be16_load((const uint8_t *)out.data + at + 16) - 40u;

		pfs_buf_add(&payloads, out.data + at + 54, len);
		pfs_buf_add(&payloads, "|", 1);
		at += 54 + len;
	}
	assert_string_equal(payloads.len ? payloads.data : "", want);
	rig_release(&rig);
}

#define BASE "accept/unpcap/httpplus"

static void test_a_message_is_its_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 99, SYN, "");
	cap_tcp(&cap, 1, 2, 100, ACK, "");
	cap_tcp(&cap, 1, 2, 100, ACK, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	cap_tcp(&cap, 2, 1, 500, ACK, "");
	cap_tcp(&cap, 2, 1, 500, ACK, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
	cap_tcp(&cap, 2, 1, 545, ACK, "56789");
	cap_tcp(&cap, 2, 1, 550, ACK, "left over");
	cap_tcp(&cap, 3, 4, 1, ACK, "SSH-2.0-x\r\n");
	cap_tcp(&cap, 1, 2, 128, FIN_ACK, "");
	expect(&cap, BASE "/get", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n|");
	expect(&cap, BASE "/response", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234|56789|");
	expect(&cap, BASE,
	       "GET /a HTTP/1.1\r\nHost: x\r\n\r\n|"
	       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234|56789|");
	expect(&cap, BASE "/post", "");
	expect(&cap, "accept/unpcap/http/get", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n|");
}

static void test_retransmissions_and_disorder_do_no_harm(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	static const char head[] = "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
	uint32_t body = 0xfffffff0u + (uint32_t)strlen(head); /* the numbers wrap within the message */

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 0xfffffff0u, ACK, head);
	cap_tcp(&cap, 1, 2, body, ACK, "aaa");
	cap_tcp(&cap, 1, 2, body, ACK, "aaa");
	cap_tcp(&cap, 1, 2, body + 6, ACK, "ccc");
	cap_tcp(&cap, 1, 2, body + 3, ACK, "bbb");
	cap_tcp(&cap, 1, 2, body + 9, ACK, "xxx");
	expect(&cap, BASE "/post", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n|aaa|aaa|ccc|bbb|");
}

static void test_one_packet_of_two_messages_is_in_both_classes(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
	cap_tcp(&cap, 1, 2, 41, ACK, "cdGET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n");
	expect(&cap, BASE "/get", "cdGET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n|");
	expect(&cap, BASE "/head", "cdGET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n|");
	expect(&cap, BASE "/post",
	       "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab|"
	       "cdGET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n|");
	expect(&cap, BASE,
	       "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab|"
	       "cdGET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n|");
}

static void test_without_a_length_it_ends_at_the_next_start_line(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	cap_tcp(&cap, 1, 2, 50, ACK, "3\r\nabc\r\n");
	cap_tcp(&cap, 1, 2, 58, ACK, "0\r\n\r\n");
	cap_tcp(&cap, 1, 2, 63, ACK, "none of it");
	cap_tcp(&cap, 1, 2, 73, ACK, "HTTP/1.0 200 OK\r\n\r\n");
	cap_tcp(&cap, 1, 2, 92, ACK, "until the end");
	cap_tcp(&cap, 1, 2, 105, FIN_ACK, "last");
	cap_tcp(&cap, 1, 2, 110, ACK, "not any more");
	expect(&cap, BASE "/response",
	       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|3\r\nabc\r\n|0\r\n\r\n|"
	       "HTTP/1.0 200 OK\r\n\r\n|until the end|last|");
}

static void test_a_head_in_two_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "GET /long HTTP/1.1\r\nCookie: a");
	cap_tcp(&cap, 1, 2, 30, ACK, "b\r\n\r\n");
	cap_tcp(&cap, 1, 2, 35, ACK, "PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	expect(&cap, BASE "/get", "GET /long HTTP/1.1\r\nCookie: a|b\r\n\r\n|");
	expect(&cap, BASE "/put", "PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n|");
}

static void test_memory_is_bounded(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	for (unsigned i = 0; i < 1000; i++)
		cap_tcp(&cap, i, i + 1, 1, ACK, "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
	rig_run(&rig, "accept/unpcap/httpplus,flows=64/count", "", cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "records", 1000);
	rig_release(&rig);
}

static void test_the_oldest_flow_goes(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	for (unsigned i = 0; i < 1000; i++)
		cap_tcp(&cap, i, i + 1, 1, ACK, "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
	rig_run(&rig, "accept/unpcap/httpplus,flows=64", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "messages", 1000);
	assert_true(rig_stat(&rig, "flows") <= 64);
	assert_int_equal(rig_stat(&rig, "flows") + rig_stat(&rig, "evicted"), 1000);
	rig_release(&rig);
}

/* Every start line of a generated capture opens a message, in its class. */
static void test_generated_traffic(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct generate_options options = GENERATE_DEFAULTS;
	struct generate_counts counts;
	static const struct {
		const char *path;
		enum generate_class class_;
	} cases[] = {
		{ BASE "/get/count", GENERATE_HTTP_GET },
		{ BASE "/get/httpplus/get/count", GENERATE_HTTP_GET },
	};
	struct rig rig;

	(void)state;
	options.packets = 5000;
	options.mix = GENERATE_TALK_HTTP;
	assert_int_equal(capture_generate_buf(&options, &cap, &counts), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_run(&rig, cases[i].path, "", cap.data, cap.len, 0, NULL);
		rig_expect(&rig, "records", counts.of[cases[i].class_]);
		rig_release(&rig);
	}
}

static void test_all_packets_of_generated_bodies(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, all = { 0 }, by_class = { 0 };
	struct generate_options options = GENERATE_DEFAULTS;
	struct generate_counts counts;
	struct rig rig;

	(void)state;
	options.packets = 5000;
	options.mix = GENERATE_TALK_HTTP;
	assert_int_equal(capture_generate_buf(&options, &cap, &counts), 0);
	/* TCP with payload is HTTP and nothing else here. */
	rig_run(&rig,
		"accept/unpcap/match:tcp and (((ip[2:2] - ((ip[0]&0xf)<<2)) "
		"- ((tcp[12]&0xf0)>>2)) != 0)",
		NULL, cap.data, cap.len, 0, &all);
	rig_release(&rig);
	rig_run(&rig, "accept/unpcap/ip/httpplus/match:not vlan", NULL, cap.data, cap.len, 0,
		&by_class);
	rig_release(&rig);
	assert_true(all.len > 0);
	assert_int_equal(all.len, by_class.len);
	assert_memory_equal(all.data, by_class.data, all.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_is_its_packets),
		cmocka_unit_test(test_retransmissions_and_disorder_do_no_harm),
		cmocka_unit_test(test_one_packet_of_two_messages_is_in_both_classes),
		cmocka_unit_test(test_without_a_length_it_ends_at_the_next_start_line),
		cmocka_unit_test(test_a_head_in_two_packets),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_the_oldest_flow_goes),
		cmocka_unit_test(test_generated_traffic),
		cmocka_unit_test(test_all_packets_of_generated_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
