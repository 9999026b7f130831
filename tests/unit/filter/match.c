/*
 * match and the expressions below it: what is refused and how; other link types; direction
 */
#include "../rig.h"

#include "packet/expr.h"

static void test_names_are_not_looked_up(void **state)
{
	static const char *const refused[] = {
		"host example.com",
		"example.com",
		"src foo",
		"net loopback",
		"gateway gw",
		"ether host gw",
		"port 80 or ip host foo",
		"a:b",
		"1-2",
		"host beef",
		"10.0.0.1.example.com",
		"not foo",
		"tcp and (foo)",
		"host \\foo",
		"type mgt or host foo",
		"10.0.0.1-2",
		"len-4",
		"icmp-foo",
		"host 1.2.3.4.5",
		"port http and src foo",
		"host ::1x",
		"1:2:3:4:5:6:7:8:9:x",
	};
	static const char *const fine[] = {
		"",
		"tcp port http",
		"port http or https or 8080",
		"host 10.0.0.1 and not src net 10.1",
		"ip6 host ::1 or ::ffff:10.0.0.1",
		"ether host 0:1:2:a:b:ff or 00-11-22-33-44-55 or 0011.2233.4455 or 001122334455",
		"ip proto \\tcp or \\udp",
		"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and icmp[icmptype] = icmp-echo",
		"ether[0:2] = 0x0800 and tcp[0:2]-tcp[2:2]=0",
		"icmp6[icmp6type] == icmp6-neighborsolicit",
		"vlan 5 && pppoes || arp",
		"portrange 20-30 or 40-50",
		"ether proto 0x88cc or aarp",
		"len <= 100 and greater 60",
		"net 10.0.0.0/8 or net 192.168.0.0 mask 255.255.0.0",
	};
	struct pfs_diag diag;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (pkt_expr_names(refused[i], &diag) == 0)
			print_error("'%s' would be looked up\n", refused[i]);
		assert_int_equal(pkt_expr_names(refused[i], &diag), -EINVAL);
		assert_non_null(strstr(diag.text, "not looked up"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		struct pkt_expr *expr = NULL;
		int r = pkt_expr_compile(fine[i], PFS_LINK_ETHERNET, false, &expr, &diag);

		if (r < 0)
			print_error("'%s': %s\n", fine[i], diag.text);
		assert_int_equal(r, 0);
		pkt_expr_free(expr);
	}
}

static bool matches(const char *text, uint16_t link_type, bool big, const char *bytes, uint32_t n,
		    uint32_t wire_len, unsigned flags)
{
	struct pkt_expr *expr;
	struct pfs_diag diag = { "" };
	bool match;

	if (pkt_expr_compile(text, link_type, big, &expr, &diag) < 0)
		print_error("'%s': %s\n", text, diag.text);
	assert_string_equal(diag.text, "");
	match = pkt_expr_match(expr, (const uint8_t *)bytes, n, wire_len, flags);
	pkt_expr_free(expr);
	return match;
}

static void test_direction_is_the_recorded_one(void **state)
{
	static const char frame[14] = { 0 };

	(void)state;
	assert_true(matches("inbound", 1, false, frame, 14, 14, PFS_REC_IN));
	assert_false(matches("inbound", 1, false, frame, 14, 14, PFS_REC_OUT));
	assert_false(matches("outbound", 1, false, frame, 14, 14, PFS_REC_IN));
	assert_true(matches("outbound", 1, false, frame, 14, 14, PFS_REC_OUT));
	assert_false(matches("outbound", 1, false, frame, 14, 14, 0));
	assert_false(matches("inbound", 1, false, frame, 14, 14, 0));
	assert_false(matches("not outbound and len = 14", 1, false, frame, 14, 14, 0));
	assert_true(matches("not outbound and len = 14", 1, false, frame, 14, 14, PFS_REC_IN));
}

static void test_len_is_the_true_length(void **state)
{
	static const char frame[14] = { 0 };

	(void)state;
	assert_true(matches("len = 1500", 1, false, frame, 14, 1500, 0));
	assert_false(matches("ether[20] = 0", 1, false, frame, 14, 1500, 0));
}

static void test_link_types(void **state)
{
	static const char ip[20] = { 0x45 };
	static const char null_little[24] = { 2, 0, 0, 0, 0x45 };
	static const char null_big[24] = { 0, 0, 0, 2, 0x45 };

	(void)state;
	/* LINKTYPE_RAW is 101 in files, another number in programs */
	assert_true(matches("ip", 101, false, ip, 20, 20, 0));
	assert_true(matches("ip", 228, false, ip, 20, 20, 0));
	assert_true(matches("ip", 0, false, null_little, 24, 24, 0));
	assert_false(matches("ip", 0, true, null_little, 24, 24, 0));
	assert_true(matches("ip", 0, true, null_big, 24, 24, 0));
}

static void expect_refused(const char *path, const char *words)
{
	struct pfs_diag diag;
	struct rig rig;

	assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
	if (!strstr(diag.text, words))
		print_error("%s: %s\n", path, diag.text);
	assert_non_null(strstr(diag.text, words));
	rig_release(&rig);
}

static void test_mkdir_says_what_is_wrong(void **state)
{
	(void)state;
	expect_refused("accept/unpcap/match:tcp prot 80", "'prot' is neither");
	expect_refused("accept/unpcap/match:tcp port", "syntax error");
	expect_refused("accept/unpcap/match:port nosuchport", "unknown port");
	expect_refused("accept/unpcap/match:", "needs an expression");
	expect_refused("accept/unpcap/match", "needs an argument");
	expect_refused("accept/match:tcp", "does not fit");
}

static void test_an_expression_of_another_link_type_is_fine_below_unpcap(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, 0x10, "x");
	rig_run(&rig, "accept/unpcap/match:wlan type mgt", NULL, cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "out", 0);
	rig_expect(&rig, "lost.link-type", 1);
	rig_release(&rig);
}

static void test_packets_of_two_link_types(void **state)
{
	PFS_BUF struct pfs_buf a = { 0 }, b = { 0 }, out = { 0 };
	static const char raw[21] = { 0x45, 0, 0, 21, 0, 0, 0, 0, 64, 6 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	cap_head(&a, 1);
	cap_tcp(&a, 1, 2, 1, 0x10, "x");
	cap_head(&b, 101);
	cap_packet(&b, RIG_TIME, raw, sizeof(raw));
	rig_open(&rig, "accept/unpcap/match:tcp", NULL);
	for (int i = 0; i < 2; i++) {
		writer = rig_writer(&rig);
		rig_write(&rig, writer, a.data, a.len, 0, &out);
		pfs_writer_close(writer);
		rig_finish(&rig, &out);
		writer = rig_writer(&rig);
		rig_write(&rig, writer, b.data, b.len, 0, &out);
		pfs_writer_close(writer);
		rig_finish(&rig, &out);
	}
	rig_expect(&rig, "out", 4);
	rig_expect(&rig, "programs", 2);
	rig_release(&rig);
}

static void test_a_new_expression_or_none(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct pfs_cred cred = rig_cred();
	struct pfs_writer *writer;
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	cap_tcp(&cap, 1, 2, 1, 0x10, "x");
	rig_open(&rig, "accept/unpcap/match:udp", NULL);
	writer = rig_writer(&rig);
	{
		PFS_BUF struct pfs_buf head = { 0 };

		cap_head(&head, 1);
		rig_write(&rig, writer, head.data, head.len, 0, &out);
	}
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "in", 1);
	rig_expect(&rig, "out", 0);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=tcp prot", 12, &cred, &diag), -EINVAL);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "in", 2);
	rig_expect(&rig, "out", 0);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=tcp", 7, &cred, &diag), 0);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "out", 1);
	rig_expect(&rig, "in", 3);
	pfs_writer_close(writer);
	rig_release(&rig);
}

/* arg= and "port 1 or port 1 or ... " up to n bytes behind it, of which `end` is the last. */
static void long_text(struct pfs_buf *out, size_t n, const char *end)
{
	pfs_buf_str(out, "arg=port 1");
	while (out->len + strlen(" or port 1") + strlen(end) <= n + 4)
		pfs_buf_str(out, " or port 1");
	while (out->len + strlen(end) < n + 4)
		pfs_buf_str(out, " ");
	pfs_buf_str(out, end);
	assert_int_equal(out->len, n + 4);
}

/* The compiler's time grows with the square of the text, and whoever changes the tree waits for it. */
static void test_long_expressions(void **state)
{
	const struct pfs_cred cred = { .uid = getuid(), .gid = getgid() };
	PFS_BUF struct pfs_buf longest = { 0 }, longer = { 0 }, bad = { 0 };
	struct pfs_diag diag = { "" };
	struct rig rig;
	clock_t begin;

	(void)state;
	rig_open(&rig, "accept/unpcap/match:udp", NULL);
	long_text(&longest, 1024, "");
	long_text(&longer, 1025, "");
	long_text(&bad, 1024, " or (");
	assert_int_equal(pfs_node_params_set(rig.node, longest.data, longest.len, &cred, &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, longer.data, longer.len, &cred, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "may have 1024 bytes"));
	begin = clock();
	assert_int_equal(pfs_node_params_set(rig.node, bad.data, bad.len, &cred, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "syntax error"));
	assert_true(clock() - begin < 3 * CLOCKS_PER_SEC);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_expressions),
		cmocka_unit_test(test_names_are_not_looked_up),
		cmocka_unit_test(test_direction_is_the_recorded_one),
		cmocka_unit_test(test_len_is_the_true_length),
		cmocka_unit_test(test_link_types),
		cmocka_unit_test(test_mkdir_says_what_is_wrong),
		cmocka_unit_test(test_an_expression_of_another_link_type_is_fine_below_unpcap),
		cmocka_unit_test(test_packets_of_two_link_types),
		cmocka_unit_test(test_a_new_expression_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
