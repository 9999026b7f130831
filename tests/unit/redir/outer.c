/*
 * outer - which trees are redirected, and how one set becomes another
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "redir/outer.h"

#define MAX 8

static size_t length(const char *const *list)
{
	size_t n = 0;

	while (n < MAX && list[n])
		n++;
	return n;
}

static void test_holds(void **state)
{
	(void)state;
	assert_true(rd_tree_holds("/srv", "/srv"));
	assert_true(rd_tree_holds("/srv", "/srv/a"));
	assert_false(rd_tree_holds("/srv", "/srv2"));
	assert_false(rd_tree_holds("/srv/a", "/srv"));
	assert_true(rd_tree_holds("/", "/srv"));
}

static const struct {
	const char *paths[MAX], *trees[MAX];
} sets[] = {
	{ { NULL }, { NULL } },
	{ { "/srv" }, { "/srv" } },
	{ { "/srv", "/srv" }, { "/srv" } },
	{ { "/srv/a", "/srv" }, { "/srv" } },
	{ { "/srv/a/b/c", "/srv/a", "/srv/b" }, { "/srv/a", "/srv/b" } },
	{ { "/srv2", "/srv" }, { "/srv", "/srv2" } },
	/* In the order of bytes "/a-b" stands between the other two. */
	{ { "/a/c", "/a-b", "/a" }, { "/a", "/a-b" } },
	{ { "/a b/c", "/a!", "/a b", "/a b/d" }, { "/a b", "/a!" } },
	{ { "/\xff/x", "/\xff", "/\x01" }, { "/\x01", "/\xff" } },
	{ { "/", "/srv" }, { "/" } },
};

static void test_outermost(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		RD_TREES struct rd_trees trees = { 0 };

		assert_int_equal(rd_trees_outermost(sets[i].paths, length(sets[i].paths), &trees), 0);
		assert_int_equal(trees.n, length(sets[i].trees));
		for (size_t j = 0; j < trees.n; j++)
			assert_string_equal(trees.path[j], sets[i].trees[j]);
	}
}

/* "-/srv" ends, "+/srv" begins. */
static const struct {
	const char *old[MAX], *next[MAX], *steps[MAX];
} plans[] = {
	{ { "/srv" }, { "/srv" }, { NULL } },
	{ { NULL }, { "/srv", "/home" }, { "+/home", "+/srv" } },
	{ { "/srv", "/home" }, { NULL }, { "-/home", "-/srv" } },
	/* An outer tree comes over two that are there ... */
	{ { "/srv/a", "/srv/b", "/x" },
	  { "/srv", "/srv/a", "/srv/b", "/x" },
	  { "-/srv/a", "-/srv/b", "+/srv" } },
	/* ... and goes again. */
	{ { "/srv", "/x" }, { "/srv/a", "/srv/b", "/x" }, { "-/srv", "+/srv/a", "+/srv/b" } },
	/* Neighbours whose names begin alike are left alone. */
	{ { "/srv2" }, { "/srv", "/srv2" }, { "+/srv" } },
};

static void test_plan(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		RD_TREES struct rd_trees old = { 0 }, next = { 0 };
		struct rd_step steps[2 * MAX];
		size_t n;

		assert_int_equal(rd_trees_outermost(plans[i].old, length(plans[i].old), &old), 0);
		assert_int_equal(rd_trees_outermost(plans[i].next, length(plans[i].next), &next), 0);
		n = rd_trees_plan(&old, &next, steps);
		assert_int_equal(n, length(plans[i].steps));
		for (size_t j = 0; j < n; j++) {
			assert_int_equal(steps[j].kind == RD_STEP_BEGIN, plans[i].steps[j][0] == '+');
			assert_string_equal(steps[j].path, plans[i].steps[j] + 1);
		}
	}
}

/* Only what an active filter includes. */
static void test_registry(void **state)
{
	static const struct {
		const char *name, *priority, *path;
		bool active, include;
	} rows[] = {
		{ "a", "1", "/srv/a", true, true },   { "b", "2", "/srv", false, true },
		{ "c", "3", "/srv/a/b", true, true }, { "d", "4", "/home", true, false },
		{ "e", "5", "/home/u", true, true },
	};
	RD_REGISTRY struct rd_registry *registry = NULL;
	RD_TREES struct rd_trees trees = { 0 };
	struct pfs_diag diag;

	(void)state;
	assert_int_equal(rd_registry_new(&registry), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rd_registering what = { .name = rows[i].name,
					       .priority = rows[i].priority,
					       .object = "/f.so",
					       .active = rows[i].active,
					       .modifier = true };
		struct rd_rule_new rule = { { rows[i].path, rows[i].include, true }, rows[i].path };

		assert_int_equal(rd_registry_add(registry, &what, &diag), 0);
		assert_int_equal(rd_registry_rule_add(registry, rows[i].name, &rule, &diag), 0);
	}
	assert_int_equal(rd_trees_of(registry, &trees), 0);
	assert_int_equal(trees.n, 2);
	assert_string_equal(trees.path[0], "/home/u");
	assert_string_equal(trees.path[1], "/srv/a");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_outermost),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
