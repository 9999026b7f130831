/* Include and exclude, single and subtree: a table, and the same answers from the definition, path by path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "redir/rules.h"

#define I true
#define X false
#define SUB true
#define ONE false

struct row {
	const char *about;
	struct rd_rule_desc rule[6];
	const char *in[6], *out[8];
};

static const struct row table[] = {
	{ "nothing", { { 0 } }, { 0 }, { "/", "/a", "/a/b" } },
	{ "a subtree", { { "/a", I, SUB } }, { "/a", "/a/b", "/a/b/c" }, { "/", "/ab", "/b", "/b/a" } },
	{ "one path", { { "/a/b", I, ONE } }, { "/a/b" }, { "/", "/a", "/a/b/c", "/a/bc" } },
	{ "the root", { { "/", I, SUB } }, { "/", "/a", "/a/b/c" }, { 0 } },
	{ "the root alone", { { "/", I, ONE } }, { "/" }, { "/a", "/a/b" } },
	{ "all but the root", { { "/", I, SUB }, { "/", X, ONE } }, { "/a", "/a/b" }, { "/" } },
	{ "a hole",
	  { { "/a", I, SUB }, { "/a/b", X, SUB } },
	  { "/a", "/a/c", "/a/bb" },
	  { "/a/b", "/a/b/c" } },
	{ "a hole first", { { "/a/b", X, SUB }, { "/a", I, SUB } }, { "/a", "/a/c" }, { "/a/b", "/a/b/c" } },
	{ "a hole of one", { { "/a", I, SUB }, { "/a/b", X, ONE } }, { "/a", "/a/b/c" }, { "/a/b" } },
	{ "an island in a hole",
	  { { "/a", I, SUB }, { "/a/b", X, SUB }, { "/a/b/c", I, SUB } },
	  { "/a", "/a/b/c", "/a/b/c/d" },
	  { "/a/b", "/a/b/d" } },
	{ "four deep",
	  { { "/a", I, SUB }, { "/a/b", X, SUB }, { "/a/b/c", I, SUB }, { "/a/b/c/d", X, SUB } },
	  { "/a/x", "/a/b/c", "/a/b/c/x" },
	  { "/a/b/x", "/a/b/c/d", "/a/b/c/d/e" } },
	{ "later wins", { { "/a", I, SUB }, { "/a", X, SUB } }, { 0 }, { "/a", "/a/b" } },
	{ "later wins again",
	  { { "/a", I, SUB }, { "/a", X, SUB }, { "/a", I, SUB } },
	  { "/a", "/a/b" },
	  { "/" } },
	{ "single and subtree of one path are two rules",
	  { { "/a", X, ONE }, { "/a", I, SUB } },
	  { "/a/b" },
	  { "/a" } },
	{ "names with what sorts before a slash",
	  { { "/a", I, SUB }, { "/a-b", X, SUB }, { "/a b", I, ONE }, { "/a.d/x", I, SUB } },
	  { "/a", "/a/b", "/a b", "/a.d/x", "/a.d/x/y" },
	  { "/a-b", "/a-b/c", "/a.d", "/a b/c" } },
	{ "bytes above ASCII", { { "/\xc3\xa9", I, SUB } }, { "/\xc3\xa9/a" }, { "/\xc3", "/\xc3\xa8" } },
};

static struct rd_rules *make(const struct rd_rule_desc *rule, size_t n)
{
	struct rd_rules *rules;
	struct pfs_diag diag = { "" };

	assert_int_equal(rd_rules_new(rule, n, &rules, &diag), 0);
	return rules;
}

static void test_table(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct row *row = &table[i];
		size_t n = 0;
		struct rd_rules *rules;

		while (n < ARRAY_SIZE(row->rule) && row->rule[n].path)
			n++;
		rules = make(row->rule, n);
		for (size_t j = 0; j < ARRAY_SIZE(row->in) && row->in[j]; j++)
			if (!rd_rules_cover(rules, row->in[j]))
				fail_msg("%s: %s is out", row->about, row->in[j]);
		for (size_t j = 0; j < ARRAY_SIZE(row->out) && row->out[j]; j++)
			if (rd_rules_cover(rules, row->out[j]))
				fail_msg("%s: %s is in", row->about, row->out[j]);
		rd_rules_unref(rules);
	}
}

/* The definition, rule by rule, without order and search. */
static bool defined(const struct rd_rule_desc *rule, size_t n, const char *path)
{
	size_t best = 0;
	bool include = false, single = false;

	for (size_t i = 0; i < n; i++) {
		size_t len = strcmp(rule[i].path, "/") == 0 ? 0 : strlen(rule[i].path);
		bool same = strcmp(rule[i].path, path) == 0;

		if (!same &&
		    !(rule[i].subtree && strncmp(rule[i].path, path, len) == 0 && path[len] == '/'))
			continue;
		if (len + 1 < best || (len + 1 == best && single && rule[i].subtree))
			continue;
		best = len + 1;
		single = !rule[i].subtree;
		include = rule[i].include;
	}
	return include;
}

static void test_random(void **state)
{
	static const char *const names[] = { "a", "b", "a-", "a!", "aa" };
	unsigned seed = 1;
	char paths[200][32];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int depth = rand_r(&seed) % 4;

		strcpy(paths[i], depth ? "" : "/");
		for (int d = 0; d < depth; d++) {
			strcat(paths[i], "/");
			strcat(paths[i], names[(unsigned)rand_r(&seed) % ARRAY_SIZE(names)]);
		}
	}
	for (int round = 0; round < 2000; round++) {
		struct rd_rule_desc rule[12];
		size_t n = (unsigned)rand_r(&seed) % ARRAY_SIZE(rule);
		struct rd_rules *rules;

		for (size_t i = 0; i < n; i++)
			rule[i] = (struct rd_rule_desc){
				paths[(unsigned)rand_r(&seed) % ARRAY_SIZE(paths)],
				rand_r(&seed) % 2, rand_r(&seed) % 2
			};
		rules = make(rule, n);
		for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
			if (rd_rules_cover(rules, paths[i]) != defined(rule, n, paths[i]))
				fail_msg("round %d: %s", round, paths[i]);
		rd_rules_unref(rules);
	}
}

static void test_touch(void **state)
{
	const struct rd_rule_desc rule[] = { { "/a/b", I, ONE }, { "/c", I, SUB }, { "/c/d", X, SUB } };
	struct rd_rules *rules = make(rule, ARRAY_SIZE(rule));

	assert_true(rd_rules_touch(rules, "/"));
	assert_true(rd_rules_touch(rules, "/a"));
	assert_true(rd_rules_touch(rules, "/a/b"));
	assert_true(rd_rules_touch(rules, "/c/x/y"));
	assert_false(rd_rules_touch(rules, "/a/b/c"));
	assert_false(rd_rules_touch(rules, "/a/bb"));
	assert_false(rd_rules_touch(rules, "/c/d/e"));
	rd_rules_unref(rules);
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "",	 "a",	"a/b",	"/a/",	   "//",    "/a//b",
					   "/.", "/..", "/a/.", "/a/../b", "/a/./b" };
	static const char *const good[] = { "/", "/a", "/...", "/.a", "/..a", "/a/.b/..c" };
	struct pfs_diag diag;
	struct rd_rules *rules = NULL;
	char *longest = malloc(5000);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct rd_rule_desc rule = { bad[i], I, SUB };

		diag.text[0] = '\0';
		if (rd_rules_new(&rule, 1, &rules, &diag) != -EINVAL || !strstr(diag.text, bad[i]))
			fail_msg("\"%s\": %s", bad[i], diag.text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(rd_path_is_clean(good[i]));
	memset(longest, 'x', 4999);
	longest[0] = '/';
	longest[4096] = '\0';
	assert_false(rd_path_is_clean(longest));
	longest[4095] = '\0';
	assert_true(rd_path_is_clean(longest));
	free(longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_touch),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
