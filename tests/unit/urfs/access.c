/*
 * access - the rules of accessflt: what is a rule, what it decides, what is refused with which words
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "urfs/access.h"

static struct access_rules *parse(const char *text)
{
	char error[ACCESS_ERROR_SIZE];
	struct access_rules *rules;

	if (access_rules_parse(text, strlen(text), &rules, error) < 0)
		fail_msg("%s", error);
	return rules;
}

/* --- patterns ------------------------------------------------------------------------------------------ */

/* The definition, slowly. */
static bool match(const char *pattern, const char *text)
{
	if (pattern[0] == '*' && pattern[1] == '*')
		return match(pattern + 2, text) || (*text && match(pattern, text + 1));
	if (*pattern == '*')
		return match(pattern + 1, text) || (*text && *text != '/' && match(pattern, text + 1));
	if (!*pattern || !*text)
		return !*pattern && !*text;
	return (*pattern == '?' ? *text != '/' : *pattern == *text) && match(pattern + 1, text + 1);
}

/* The n-th word over an alphabet, shortest first. */
static void word(unsigned n, const char *alphabet, char *out)
{
	unsigned size = (unsigned)strlen(alphabet);

	for (; n; n = (n - 1) / size)
		*out++ = alphabet[(n - 1) % size];
	*out = '\0';
}

static void test_match(void **state)
{
	char pattern[16], text[16];

	(void)state;
	for (unsigned p = 0; p < 5461; p++) /* up to six of four letters */
		for (unsigned t = 0; t < 364; t++) {
			word(p, "a/*?", pattern);
			word(t, "ab/", text);
			if (access_match(pattern, text) != match(pattern, text))
				fail_msg("'%s' '%s'", pattern, text);
		}
	assert_true(access_match("/a\\*b", "/a*b"));
	assert_false(access_match("/a\\*b", "/axb"));
	assert_true(access_match("/a\\?", "/a?"));
	assert_true(access_match("/a\\\\", "/a\\"));
}

/* What makes careless matchers take for ever. */
static void test_match_long(void **state)
{
	char pattern[4001], text[4001];

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(pattern); i += 3)
		memcpy(pattern + i, "**a", 4);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 2] = 'b';
	text[sizeof(text) - 1] = '\0';
	assert_false(access_match(pattern, text));
}

/* --- deciding -------------------------------------------------------------------------------------------- */

static void test_decide(void **state)
{
	struct access_rules *rules =
		parse("# first match decides\n"
		      "allow uid=0 op=read\n"
		      "deny=EPERM log uid=33,1000-1999 op=write,create path=/srv/etc/\n"
		      "\n"
		      "allow exe=/usr/bin/backup op=read path=/srv/\n"
		      "deny exe!=/usr/sbin/* op=read path=\"/srv/my keys/**\" # why not\n"
		      "deny=EROFS gid!=5-7 op!=read,list path=/ro/**\n"
		      "default allow\n");
	static const struct {
		uid_t uid;
		gid_t gid;
		const char *exe;
		enum access_op op;
		const char *path;
		int error;
		unsigned line;
	} rows[] = {
		{ 0, 0, "", ACCESS_READ, "/srv/my keys/a", 0, 2 },
		{ 33, 33, "", ACCESS_WRITE, "/srv/etc/passwd", EPERM, 3 },
		{ 33, 33, "", ACCESS_CREATE, "/srv/etc/a/b", EPERM, 3 },
		{ 33, 33, "", ACCESS_WRITE, "/srv/etc", 0, 0 },
		{ 33, 33, "", ACCESS_WRITE, "/srv/etc2/a", 0, 0 },
		{ 33, 33, "", ACCESS_ATTR, "/srv/etc/a", 0, 0 },
		{ 1000, 9, "", ACCESS_WRITE, "/srv/etc/a", EPERM, 3 },
		{ 1999, 9, "", ACCESS_WRITE, "/srv/etc/a", EPERM, 3 },
		{ 2000, 9, "", ACCESS_WRITE, "/srv/etc/a", 0, 0 },
		{ 5, 5, "/usr/bin/backup", ACCESS_READ, "/srv/my keys/a", 0, 5 },
		{ 5, 5, "/usr/bin/backup2", ACCESS_READ, "/srv/my keys/a", EACCES, 6 },
		{ 5, 5, "/usr/sbin/nginx", ACCESS_READ, "/srv/my keys/a/b", 0, 0 },
		{ 5, 5, "/usr/sbin/x/y", ACCESS_READ, "/srv/my keys/a", EACCES, 6 },
		{ 5, 5, "", ACCESS_READ, "/srv/my keys/a", EACCES, 6 }, /* not known: no pattern fits */
		{ 5, 5, "/x", ACCESS_REMOVE, "/ro/a", 0, 0 },
		{ 8, 8, "/x", ACCESS_REMOVE, "/ro/a", EROFS, 7 },
		{ 8, 8, "/x", ACCESS_LIST, "/ro/a", 0, 0 },
		{ 8, 8, "/x", ACCESS_WRITE, "", 0, 0 }, /* a file without a name */
	};

	(void)state;
	assert_int_equal(access_rules_count(rules), 5);
	assert_true(access_rules_want_exe(rules));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct access_request request = { rows[i].uid, rows[i].gid, rows[i].exe,
						  rows[i].path, rows[i].op };
		struct access_verdict verdict = access_decide(rules, &request);

		if (verdict.error != rows[i].error || verdict.line != rows[i].line)
			fail_msg("row %zu: %d line %u", i, verdict.error, verdict.line);
		assert_int_equal(verdict.log, rows[i].line == 3);
	}
	access_rules_free(rules);
}

static void test_default(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
		{ "", 0 },
		{ "default allow", 0 },
		{ "default deny", EACCES },
		{ "default deny=EPERM log\n", EPERM },
		{ "default deny\nallow op=read", 0 },
	};
	struct access_request request = { 1, 1, NULL, "/a", ACCESS_READ };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct access_rules *rules = parse(rows[i].text);

		assert_int_equal(access_decide(rules, &request).error, rows[i].error);
		assert_false(access_rules_want_exe(rules));
		access_rules_free(rules);
	}
}

/* Names are those of the system. */
static void test_names(void **state)
{
	struct access_rules *rules = parse("deny user=root\ndeny=EPERM group=root\n");
	struct access_request request = { 0, 0, NULL, "/a", ACCESS_READ };

	(void)state;
	assert_int_equal(access_decide(rules, &request).line, 1);
	request.uid = 12345;
	assert_int_equal(access_decide(rules, &request).line, 2);
	request.gid = 12345;
	assert_int_equal(access_decide(rules, &request).line, 0);
	access_rules_free(rules);
}

/* --- refused ------------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "permit op=read", "line 1: a rule begins with" },
		{ "allow\n\n# x\nallow op=red", "line 4: there is no operation 'red'" },
		{ "allow op=", "line 1: op= has an empty value" },
		{ "allow op=read,", "op= has an empty value" },
		{ "allow op=read op=write", "op is there twice" },
		{ "allow uid=0 uid!=1", "uid is there twice" },
		{ "allow uid=root", "uid=root: numbers" },
		{ "allow uid=-1", "uid=-1: numbers" },
		{ "allow uid=5-3", "uid=5-3 is no range" },
		{ "allow uid=5-", "is no range" },
		{ "allow uid=1x", "numbers" },
		{ "allow uid=4294967295", "numbers" },
		{ "allow uid=99999999999", "numbers" },
		{ "allow user=no-such-user-here", "there is no user 'no-such-user-here'" },
		{ "allow group=no-such-group-here", "there is no group" },
		{ "allow path=srv", "begins with a slash" },
		{ "allow path=", "begins with a slash" },
		{ "allow path", "'path' is no KEY=VALUE" },
		{ "allow =x", "there is no key ''" },
		{ "allow colour=red", "there is no key 'colour'" },
		{ "deny=EWHAT", "there is no errno 'EWHAT'" },
		{ "deny=", "there is no errno ''" },
		{ "allow \"op=read", "a quote is not closed" },
		{ "allow log log", "log is there twice" },
		{ "default", "default needs" },
		{ "default allow op=read", "the default has no keys" },
		{ "default allow\ndefault deny", "line 2: there is a default already" },
		{ "\x1b[31m", "not with '?[31m'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char error[ACCESS_ERROR_SIZE];
		struct access_rules *rules = NULL;
		int r = access_rules_parse(rows[i].text, strlen(rows[i].text), &rules, error);

		if (r != -EINVAL || !strstr(error, rows[i].says))
			fail_msg("'%s': %d %s", rows[i].text, r, error);
		assert_null(rules);
	}
}

static void test_limits(void **state)
{
	char error[ACCESS_ERROR_SIZE], line[ACCESS_LINE_MAX + 8];
	struct access_rules *rules;
	PFS_BUF struct pfs_buf text = { 0 };

	(void)state;
	assert_int_equal(access_rules_parse("allow\0op=read", 13, &rules, error), -EINVAL);
	memset(line, 'x', sizeof(line));
	memcpy(line, "allow path=/", 12);
	assert_int_equal(access_rules_parse(line, sizeof(line), &rules, error), -EINVAL);
	assert_non_null(strstr(error, "a line has at most"));
	assert_int_equal(access_rules_parse(line, ACCESS_LINE_MAX, &rules, error), 0);
	access_rules_free(rules);
	for (int i = 0; i < ACCESS_RULES_MAX; i++)
		pfs_buf_str(&text, "deny\n");
	assert_int_equal(access_rules_parse(text.data, text.len, &rules, error), 0);
	access_rules_free(rules);
	pfs_buf_str(&text, "deny\n");
	assert_int_equal(access_rules_parse(text.data, text.len, &rules, error), -E2BIG);
	assert_int_equal(access_rules_load("/", &rules, error), -EINVAL);
	assert_int_equal(access_rules_load("/nowhere", &rules, error), -ENOENT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),  cmocka_unit_test(test_match_long),
		cmocka_unit_test(test_decide), cmocka_unit_test(test_default),
		cmocka_unit_test(test_names),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
