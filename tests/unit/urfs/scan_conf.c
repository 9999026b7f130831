/* The configuration of scanflt: what its words mean, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "urfs/scan_conf.h"

static struct scan_conf parse(const char *text)
{
	char error[ACCESS_ERROR_SIZE];
	struct scan_conf conf;

	if (scan_conf_parse(text, strlen(text), &conf, error) < 0)
		fail_msg("%s: %s", text, error);
	return conf;
}

static void test_settings(void **state)
{
	struct scan_conf conf = parse("rules /r\n");

	(void)state;
	assert_int_equal(conf.max_size, 32 << 20);
	assert_int_equal(conf.max_time, 10);
	assert_int_equal(conf.scans, 4);
	assert_int_equal(conf.cache, 65536);
	assert_true(!conf.deny_large && conf.deny_expired && conf.deny_failed);
	scan_conf_release(&conf);
	conf = parse("# all of them\nrules /a b \r\n\trules /c\nmax-size 2G\non-large deny\nmax-time 3\n"
		     "on-expiry allow\non-failure allow\nscans 16\ncache 0");
	assert_int_equal(conf.n_rules, 2);
	assert_string_equal(conf.rules[0], "/a b");
	assert_string_equal(conf.rules[1], "/c");
	assert_int_equal(conf.max_size, (uint64_t)2 << 30);
	assert_int_equal(conf.max_time, 3);
	assert_int_equal(conf.scans, 16);
	assert_int_equal(conf.cache, 0);
	assert_true(conf.deny_large && !conf.deny_expired && !conf.deny_failed);
	scan_conf_release(&conf);
}

static bool wants(const struct scan_conf *conf, uid_t uid, const char *exe, const char *path,
		  enum access_op op, uid_t owner)
{
	const struct access_request request = { uid, uid, exe, path, op };

	return scan_conf_wants(conf, &request, owner);
}

static void test_choices(void **state)
{
	struct scan_conf conf = parse("rules /r\nscan path=/srv/skipped/but/ owner!=0 # one\n"
				      "skip path=/srv/skipped/\nskip exe=/usr/bin/backup op=read\n"
				      "skip \"path=/a b\"\nskip owner=root,daemon uid=5\n"
				      "skip owner=1000-1999,7\n");
	static const struct {
		uid_t uid;
		const char *exe, *path;
		enum access_op op;
		uid_t owner;
		bool want;
	} table[] = {
		{ 0, "", "/srv/x", ACCESS_READ, 0, true },
		{ 0, "", "/srv/skipped/x", ACCESS_READ, 0, false },
		{ 0, "", "/srv/skipped/but/x", ACCESS_READ, 0, false },
		{ 0, "", "/srv/skipped/but/x", ACCESS_READ, 1, true },
		{ 0, "/usr/bin/backup", "/srv/x", ACCESS_READ, 0, false },
		{ 0, "/usr/bin/backup", "/srv/x", ACCESS_EXEC, 0, true },
		{ 0, "", "/a b", ACCESS_EXEC, 0, false },
		{ 5, "", "/x", ACCESS_READ, 0, false },
		{ 5, "", "/x", ACCESS_READ, 1, false },
		{ 5, "", "/x", ACCESS_READ, 2, true },
		{ 6, "", "/x", ACCESS_READ, 1, true },
		{ 0, "", "/x", ACCESS_READ, 1000, false },
		{ 0, "", "/x", ACCESS_READ, 1999, false },
		{ 0, "", "/x", ACCESS_READ, 2000, true },
		{ 0, "", "/x", ACCESS_READ, 7, false },
	};

	(void)state;
	assert_true(conf.want_exe);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (wants(&conf, table[i].uid, table[i].exe, table[i].path, table[i].op,
			  table[i].owner) != table[i].want)
			fail_msg("row %zu", i);
	scan_conf_release(&conf);
	conf = parse("rules /r\nskip\n");
	assert_false(conf.want_exe);
	assert_false(wants(&conf, 0, "", "/x", ACCESS_READ, 0));
	scan_conf_release(&conf);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *say;
	} table[] = {
		{ "", "there are no rules" },
		{ "rules r", "line 1: rules r: an absolute path is needed" },
		{ "rules", "line 1: 'rules' needs a value" },
		{ "rules /r\nmaxsize 1", "line 2: there is no setting 'maxsize'" },
		{ "rules /r\nmax-size 1T",
		  "line 2: max-size 1T: a number from 1 to 4294967296 is needed" },
		{ "rules /r\nmax-size 5G", "a number from" },
		{ "rules /r\nmax-size 0", "a number from" },
		{ "rules /r\nmax-size 99999999999999999999", "a number from" },
		{ "rules /r\nmax-size 999999999999G", "a number from" },
		{ "rules /r\nmax-time 1K", "max-time 1K: a number from 1 to 3600" },
		{ "rules /r\nscans 17", "a number from 1 to 16" },
		{ "rules /r\ncache -1", "a number from 0" },
		{ "rules /r\non-large maybe", "line 2: on-large is allow or deny, not 'maybe'" },
		{ "rules /r\nscans 1\nscans 1", "line 3: scans is there twice" },
		{ "rules /r\nskip x", "line 2: 'x' is no KEY=VALUE" },
		{ "rules /r\nskip x=1", "line 2: there is no key 'x'" },
		{ "rules /r\nskip log", "'log' is no KEY=VALUE" },
		{ "rules /r\nskip op=write", "line 2: op= has read and exec here" },
		{ "rules /r\nskip op=read,", "line 2: op= has an empty value" },
		{ "rules /r\nskip owner=0 owner=1", "line 2: owner is there twice" },
		{ "rules /r\nskip owner=", "line 2: user= has an empty value" },
		{ "rules /r\nskip owner=nosuchuser", "line 2: there is no user 'nosuchuser'" },
		{ "rules /r\nskip path=\"/x", "line 2: a quote is not closed" },
		{ "rules /r\nskip path=x", "line 2: path=x: a pattern begins with" },
		{ "rules /r\nskip \x1b=1", "line 2: there is no key '?'" },
	};
	char error[ACCESS_ERROR_SIZE];
	struct scan_conf conf;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (scan_conf_parse(table[i].text, strlen(table[i].text), &conf, error) != -EINVAL ||
		    !strstr(error, table[i].say))
			fail_msg("%s: %s", table[i].text, error);
	}
	assert_int_equal(scan_conf_parse("rules /r\n\0x", 11, &conf, error), -EINVAL);
	assert_non_null(strstr(error, "line 2: there is a NUL byte"));
	assert_int_equal(scan_conf_load("/nosuchfile", &conf, error), -ENOENT);
	assert_int_equal(scan_conf_load("/", &conf, error), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_settings),
					    cmocka_unit_test(test_choices),
					    cmocka_unit_test(test_wrong) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
