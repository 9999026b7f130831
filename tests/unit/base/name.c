/*
 * name - types, arguments, parameters, escapes, numbers
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/name.h"

static const struct pfs_param params[] = {
	{ "speed", "" },
	{ "keep", "" },
	{ NULL, NULL },
};

static void test_parse(void **state)
{
	static const struct {
		const char *name, *arg, *speed, *keep;
		int r;
	} rows[] = {
		{ "tcp", NULL, NULL, NULL, 0 },
		{ "tcp:", "", NULL, NULL, 0 },
		{ "match:tcp dst port 443", "tcp dst port 443", NULL, NULL, 0 },
		{ "match:ip[0,1]", "ip[0,1]", NULL, NULL, 0 },
		{ "file:%2ftmp%2fa%2cb", "/tmp/a,b", NULL, NULL, 0 },
		{ "transmit:eth0,speed=1x", "eth0", "1x", NULL, 0 },
		{ "transmit,speed=1x", NULL, "1x", NULL, 0 },
		{ "file:x,keep=3,speed=a,b", "x", "a,b", "3", 0 },
		{ "file:x,other=3", "x,other=3", NULL, NULL, 0 },
		{ "file:x%2ckeep=3", "x,keep=3", NULL, NULL, 0 },
		{ "tcp,other=3", NULL, NULL, NULL, -EINVAL },
		{ "file:x,keep=1,keep=2", NULL, NULL, NULL, -EINVAL },
		{ "file:50%", NULL, NULL, NULL, -EINVAL },
		{ "file:%zz", NULL, NULL, NULL, -EINVAL },
		{ "file:%00", NULL, NULL, NULL, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
		struct pfs_diag diag = { "" };
		int r = pfs_args_parse(rows[i].name, params, &args, &diag);

		if (r != rows[i].r)
			print_error("%s: %d %s\n", rows[i].name, r, diag.text);
		assert_int_equal(r, rows[i].r);
		if (r < 0) {
			assert_true(diag.text[0] != '\0');
			continue;
		}
		assert_int_equal(!args.arg, !rows[i].arg);
		if (args.arg)
			assert_string_equal(args.arg, rows[i].arg);
		assert_int_equal(!pfs_args_get(&args, "speed"), !rows[i].speed);
		if (rows[i].speed)
			assert_string_equal(pfs_args_get(&args, "speed"), rows[i].speed);
		if (rows[i].keep)
			assert_string_equal(pfs_args_get(&args, "keep"), rows[i].keep);
	}
}

static void test_merge_is_all_or_nothing(void **state)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	struct pfs_diag diag;

	(void)state;
	assert_int_equal(pfs_args_parse("file:x,keep=1", params, &args, &diag), 0);
	assert_int_equal(pfs_args_merge(&args, params, "keep=2\nwrong=1\n", 15, &diag), -EINVAL);
	assert_string_equal(pfs_args_get(&args, "keep"), "1");
	assert_int_equal(pfs_args_merge(&args, params, "keep=2\nspeed=9\narg=y\n", 21, &diag), 0);
	assert_string_equal(pfs_args_get(&args, "keep"), "2");
	assert_string_equal(pfs_args_get(&args, "speed"), "9");
	assert_string_equal(args.arg, "y");
	assert_int_equal(pfs_args_merge(&args, params, "no sign", 7, &diag), -EINVAL);
}

static void test_numbers(void **state)
{
	uint64_t n = 0;

	(void)state;
	assert_int_equal(pfs_number_parse("10k", false, 0, UINT64_MAX, &n), 0);
	assert_int_equal(n, 10000);
	assert_int_equal(pfs_number_parse("2M", true, 0, UINT64_MAX, &n), 0);
	assert_int_equal(n, 2 << 20);
	assert_int_equal(pfs_number_parse("0", false, 1, 5, &n), -ERANGE);
	assert_int_equal(pfs_number_parse("6", false, 1, 5, &n), -ERANGE);
	assert_int_equal(pfs_number_parse("99999999999999999999", false, 0, UINT64_MAX, &n), -ERANGE);
	assert_int_equal(pfs_number_parse("20000000T", true, 0, UINT64_MAX, &n), -ERANGE);
	assert_int_equal(pfs_number_parse("-1", false, 0, 5, &n), -EINVAL);
	assert_int_equal(pfs_number_parse("", false, 0, 5, &n), -EINVAL);
	assert_int_equal(pfs_number_parse("5x", false, 0, 5, &n), -EINVAL);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ns;
	} cases[] = {
		{ "2", 0, 2000000000 },
		{ "1.000000001s", 0, 1000000001 },
		{ "1.5ms", 0, 1500000 },
		{ "0.5us", 0, 500 },
		{ "7ns", 0, 7 },
		{ "15m", 0, UINT64_C(900000000000) },
		{ "1.5h", 0, UINT64_C(5400000000000) },
		{ "0.999999999h", 0, UINT64_C(3599999996400) },
		{ "9999999h", -ERANGE, 0 },
		{ "1M", -EINVAL, 0 },
		{ "m", -EINVAL, 0 },
		{ "1min", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ns = 0;
		int r = pfs_time_parse(cases[i].text, &ns);

		if (r != cases[i].r || ns != cases[i].ns)
			fail_msg("%s: %d, %llu", cases[i].text, r, (unsigned long long)ns);
	}
}

static void test_text_has_no_control_characters(void **state)
{
	PFS_BUF struct pfs_buf json = { 0 }, clean = { 0 };
	char all[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	pfs_buf_json(&json, all, sizeof(all));
	pfs_buf_clean(&clean, all, sizeof(all));
	pfs_buf_json(&json, "\xc2\x9b", 2);
	assert_null(strstr(json.data, "\xc2\x9b"));
	for (size_t i = 0; i < json.len; i++)
		assert_true((unsigned char)json.data[i] >= 0x20);
	for (size_t i = 0; i < clean.len; i++)
		assert_in_range(clean.data[i], 0x20, 0x7e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_merge_is_all_or_nothing),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_text_has_no_control_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
