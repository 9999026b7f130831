/*
 * dns: messages in UDP, and over TCP however they are cut
 */
#include "../bytes_help.h"
#include "../rig.h"

#include "packet/generate.h"

#define QUERY "1234 0100 0001 0000 0000 0000 03777777 07 6578 01 6d 706c 65 03636f6d 00 0001 0001"
#define ANSWER                                                                                                       \
	"1234 8180 0001 0003 0000 0000 03777777 03636f6d 00 0001 0001 c00c 0005 0001 00000e10 0006 0361 0a 62 c010 " \
	"c00c 0001 0001 00000e10 0004 0a000001 c00c 001c 0001 00000e10 0010 fd000000000000000000000000000001"

static size_t message(const char *hex, uint8_t *to)
{
	return from_hex(hex, to, 512);
}

static void add_framed(struct pfs_buf *out, const char *hex)
{
	uint8_t p[514];
	size_t n = message(hex, p + 2);

	be16_store(p, (uint16_t)n);
	pfs_buf_add(out, p, n + 2);
}

static void test_over_tcp(void **state)
{
	static const size_t chunks[] = { 0, 1, 2, 3, 10, 33 };
	PFS_BUF struct pfs_buf in = { 0 };
	uint8_t want[1024];
	size_t n;

	(void)state;
	add_framed(&in, QUERY);
	add_framed(&in, ANSWER);
	pfs_buf_add(&in, "\0\0", 2); /* a length of nothing */
	pfs_buf_add(&in, "\0\3abc", 5);
	add_framed(&in, QUERY);
	n = message(QUERY, want);
	n += message(ANSWER, want + n);
	n += message(QUERY, want + n);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;

		rig_run(&rig, "accept/dns", NULL, in.data, in.len, chunks[i], &out);
		assert_int_equal(out.len, n);
		assert_memory_equal(out.data, want, n);
		rig_expect(&rig, "messages", 3);
		rig_expect(&rig, "lost.malformed", 1);
		rig_expect(&rig, "lost", 1);
		rig_expect(&rig, "flows", 0);
		rig_release(&rig);
		out.len = 0;
		rig_run(&rig, "accept/dns/response", "json", in.data, in.len, chunks[i], &out);
		pfs_buf_add(&out, "", 1);
		assert_non_null(strstr(
			out.data,
			"\"dns\":\"response\",\"id\":4660,\"qtype\":\"A\",\"name\":\"www.com\",\"qname\":\"www.com\","
			"\"rcode\":\"NOERROR\",\"answers\":3,\"answer\":[\"CNAME a\\u000ab"));
		rig_release(&rig);
	}
}

static void test_answers_are_told(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	add_framed(&in,
		   "0001 8180 0000 0003 0000 0000 00 0005 0001 00000000 0003 01 22 00 "
		   "00 0001 0001 00000000 0004 0a000001 00 001c 0001 00000000 0010 fd000000000000000000000000000001");
	add_framed(&in, "0002 8183 0000 ffff 0000 0000 00 0005 0001 00000000 ffff"); /* cut off */
	rig_run(&rig, "accept/dns", "json", in.data, in.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	assert_non_null(strstr(
		out.data,
		"\"answers\":3,\"answer\":[\"CNAME \\\"\",\"A 10.0.0.1\",\"AAAA fd00::1\"]}\n"));
	assert_non_null(strstr(out.data, "\"id\":2,\"rcode\":\"NXDOMAIN\",\"answers\":65535}\n"));
	rig_release(&rig);
}

/* cap_tcp() makes ports of host numbers. */
#define SERVER (65536 + 53 - 1000)

static void test_below_stream(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	/* "\1\1" and 257 letters, which is no message; what it is does not matter in another port's connection. */
	cap_tcp(&cap, 1, 2, 1, 0x10, "\1\1abcdefgh");
	/* A query without questions, whose bytes are letters: opcode 0 needs bits that letters have not. */
	cap_tcp(&cap, 1, SERVER, 1, 0x10, "\1\1abcdefgh");
	rig_run(&rig, "accept/unpcap/stream/dns", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "skipped", 10);
	rig_expect(&rig, "lost.truncated", 1);
	assert_int_equal(out.len, 0);
	rig_release(&rig);
}

static void test_udp(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct generate_options options = GENERATE_DEFAULTS;
	struct generate_counts counts;
	static const struct {
		const char *path;
		enum generate_class class_;
	} cases[] = {
		{ "accept/unpcap/dns/query/count", GENERATE_DNS_QUERY },
		{ "accept/unpcap/dns/response/count", GENERATE_DNS_RESPONSE },
	};
	struct rig rig;

	(void)state;
	options.packets = 5000;
	assert_int_equal(capture_generate_buf(&options, &cap, &counts), 0);
	assert_true(counts.of[GENERATE_DNS_QUERY] > 50);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_run(&rig, cases[i].path, "", cap.data, cap.len, 0, NULL);
		rig_expect(&rig, "records", counts.of[cases[i].class_]);
		rig_release(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_over_tcp),
		cmocka_unit_test(test_answers_are_told),
		cmocka_unit_test(test_below_stream),
		cmocka_unit_test(test_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
