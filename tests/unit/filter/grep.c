/*
 * grep: in packets, in text, and across the borders of records of a stream
 */
#include "../rig.h"

#include "config.h"

#define ACK 0x10

static void expect(const char *path, const char *in, size_t chunk, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	rig_run(&rig, path, NULL, in, strlen(in), chunk, &out);
	pfs_buf_add(&out, "", 1);
	assert_string_equal(out.data, want);
	rig_release(&rig);
}

static void test_across_borders(void **state)
{
	(void)state;
	/* Pieces of four: "xxse", "cret", "xxxx", ... */
	expect("accept/grep:secret", "xxsecretxxxx", 4, "xxsecret");
	expect("accept/grep:secret", "xxxxsecretxx", 4, "xsecretxx");
	expect("accept/grep:secret", "xxxxxxxxxxse", 4, "");
	expect("accept/grep:cre", "xxsecretxxxx", 4, "cret");
	expect("accept/grep:SECret,i=yes", "xxsecretxxxx", 4, "xxsecret");
	expect("accept/grep:SECret", "xxsecretxxxx", 4, "");
	expect("accept/grep:secret,v=yes", "xxsecretxxxx", 4, "xxsexxxx");
	/* One byte at a time: what came before is put together, up to the longest match. */
	expect("accept/grep:secret", "an old secret, secretly", 1, "secretsecret");
	expect("accept/grep:aab", "aaaaab", 1, "aab");
}

static void test_regular_expressions(void **state)
{
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
#ifdef HAVE_HS
	expect("accept/grep:%2fpass(word|phrase)=[0-9]+%2f", "no password=12 here", 5,
	       "no password=12 ");
	expect("accept/grep:%2f^GET .*HTTP%2f", "x GET a HTTP\nGET a HTTP\n", 0,
	       "x GET a HTTP\nGET a HTTP\n");
	expect("accept/grep:%2fcolou?r%2f,i=yes", "a COLOR", 1, " COLOR");
	assert_int_equal(rig_try(&rig, "accept/grep:%2f(%2f", &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "'(': "));
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/grep:%2fa*%2f", &diag), -EINVAL);
	rig_release(&rig);
#else
	assert_int_equal(rig_try(&rig, "accept/grep:%2fa+%2f", &diag), -ENOTSUP);
	assert_non_null(strstr(diag.text, "libhs"));
	rig_release(&rig);
#endif
}

/* Connections are apart, gaps separate, and what was before a match is shown where it was. */
static void test_below_stream(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "one se");
	cap_tcp(&cap, 3, 4, 1, ACK, "two se");
	cap_tcp(&cap, 5, 6, 1, ACK, "six se");
	cap_tcp(&cap, 3, 4, 7, ACK, "rious");
	cap_tcp(&cap, 1, 2, 7, ACK, "cret end");
	cap_tcp(&cap, 5, 6, 8, ACK, "cret behind a gap");
	rig_run(&rig, "accept/unpcap/stream/grep:secret", "json", cap.data, cap.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	rig_expect(&rig, "out", 2);
	rig_expect(&rig, "matches", 1);
	assert_non_null(strstr(out.data, "\"sport\":1001,"));
	assert_non_null(
		strstr(out.data, "\"side\":\"a\",\"offset\":1,\"len\":5,\"data\":\"ne se\"}\n"));
	assert_non_null(
		strstr(out.data, "\"side\":\"a\",\"offset\":6,\"len\":8,\"data\":\"cret end\"}\n"));
	rig_release(&rig);
}

static void test_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "one needle");
	cap_tcp(&cap, 1, 2, 11, ACK, "two");
	cap_tcp(&cap, 1, 2, 0x6e656564, ACK, "its number is need"); /* headers are not searched */
	rig_run(&rig, "accept/unpcap/grep:needle", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(out.len, 54 + 10);
	rig_release(&rig);
	out.len = 0;
	rig_run(&rig, "accept/unpcap/grep:needle,v=yes", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(out.len, 54 + 3 + 54 + 18);
	rig_release(&rig);
	out.len = 0;
	/* Text: each record by itself. */
	rig_run(&rig, "accept/unpcap/inspect/grep:10.0.0.1.1001", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "out", 3);
	rig_release(&rig);
}

static void test_arguments(void **state)
{
	static const char *const wrong[] = { "grep", "grep:", "grep:x,i=perhaps", "grep:x,v=1",
					     "grep:x,flows=1" };
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char path[64];

		snprintf(path, sizeof(path), "accept/%s", wrong[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_true(diag.text[0]);
		rig_release(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_across_borders), cmocka_unit_test(test_regular_expressions),
		cmocka_unit_test(test_below_stream),   cmocka_unit_test(test_packets),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
