/* The text of save and restore: paths and owners there and back, and what is refused. */
#include "cmd/save_i.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void paths_come_back(void **state)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
		{ "accept", "accept" },
		{ "accept/match:tcp dst port 443", "accept/match:tcp dst port 443" },
		{ "accept:a\nb\\c\x1b/\xc3\xa4 ", "accept:a\\x0ab\\x5cc\\x1b/\xc3\xa4 " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		PFS_BUF struct pfs_buf text = { 0 }, path = { 0 };

		save_path(cases[i].path, &text);
		assert_string_equal(text.data, cases[i].text);
		assert_int_equal(restore_path(text.data, text.len, &path), 0);
		assert_string_equal(path.data, cases[i].path);
	}
}

static void bad_paths_are_refused(void **state)
{
	static const char *const bad[] = { "",	   "/",	    "/accept", "accept/", "a//b",
					   "..",   "a/..",  ".stats",  "a/.",	  "a\\",
					   "a\\x", "a\\x4", "a\\xg1",  "a\\x00",  "a\\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		PFS_BUF struct pfs_buf path = { 0 };

		if (restore_path(bad[i], strlen(bad[i]), &path) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void owners(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	uid_t uid = 9;
	gid_t gid = 9;

	(void)state;
	save_owner(0, 0, &text);
	assert_string_equal(text.data, "root:root");
	assert_int_equal(restore_owner(text.data, text.len, &uid, &gid), 0);
	assert_true(uid == 0 && gid == 0);
	text.len = 0;
	save_owner(4000000001u, 4000000002u, &text);
	assert_string_equal(text.data, "4000000001:4000000002");
	assert_int_equal(restore_owner(text.data, text.len, &uid, &gid), 0);
	assert_true(uid == 4000000001u && gid == 4000000002u);
	assert_int_equal(restore_owner("root", 4, &uid, &gid), -EINVAL);
	assert_int_equal(restore_owner("no-such-user:root", 17, &uid, &gid), -EINVAL);
	assert_int_equal(restore_owner("root:", 5, &uid, &gid), -EINVAL);
	assert_int_equal(restore_owner("0:4294967295", 12, &uid, &gid), -EINVAL);
}

static void lines_of_parameters(void **state)
{
	static const char text[] = "arg=tcp port 80\nsnaplen=96\n";

	(void)state;
	assert_true(params_has(text, "snaplen=96", 10));
	assert_true(params_has(text, "arg=tcp port 80", 15));
	assert_false(params_has(text, "arg=tcp port 8", 14));
	assert_false(params_has(text, "len=96", 6));
	assert_false(params_has(NULL, "len=96", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_come_back),
		cmocka_unit_test(bad_paths_are_refused),
		cmocka_unit_test(owners),
		cmocka_unit_test(lines_of_parameters),
	};

	return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
