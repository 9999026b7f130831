/*
 * registry - filters by name and priority, what can be said of them, and their rules as text
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "redir/registry.h"

static int add(struct rd_registry *registry, const char *name, const char *priority,
	       struct pfs_diag *diag)
{
	struct rd_registering what = {
		.name = name, .priority = priority, .object = "/lib/f.so", .modifier = true
	};

	diag->text[0] = '\0';
	return rd_registry_add(registry, &what, diag);
}

static int setup(void **state)
{
	struct rd_registry *registry;
	struct pfs_diag diag;

	assert_int_equal(rd_registry_new(&registry), 0);
	assert_int_equal(add(registry, "scan", "850000000", &diag), 0);
	assert_int_equal(add(registry, "dummy", "500000000", &diag), 0);
	*state = registry;
	return 0;
}

static int teardown(void **state)
{
	rd_registry_free(*state);
	return 0;
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *priority;
		int error;
		const char *says;
	} rows[] = {
		{ "scan", "1", EEXIST, "a filter 'scan' already" },
		{ "other", "850000000", EEXIST, "'scan' has priority 850000000" },
		{ "other", "-1", EINVAL, "a priority is" },
		{ "other", "2147483648", EINVAL, "a priority is" },
		{ "other", "", EINVAL, "a priority is" },
		{ "other", "sekurity", EINVAL, "a priority is" },
		{ "", "1", EINVAL, "name is a letter" },
		{ ".stats", "1", EINVAL, "name is a letter" },
		{ "a/b", "1", EINVAL, "name is a letter" },
		{ "a b", "1", EINVAL, "name is a letter" },
		{ "a123456789012345678901234567890123456789012345678901234567890123", "1", EINVAL,
		  "name is" },
		{ "a12345678901234567890123456789012345678901234567890123456789012", "1", 0, "" },
		{ "last", "2147483647", 0, "" },
	};
	struct rd_registry *registry = *state;
	struct pfs_diag diag;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(add(registry, rows[i].name, rows[i].priority, &diag), -rows[i].error);
		if (!strstr(diag.text, rows[i].says))
			print_error("'%s': %s\n", rows[i].name, diag.text);
		assert_non_null(strstr(diag.text, rows[i].says));
	}
}

/* Smaller priorities come first; a group gives the first that is free. */
static void test_order(void **state)
{
	struct rd_registry *registry = *state;
	struct pfs_diag diag;

	assert_int_equal(add(registry, "first", "transparent", &diag), 0);
	assert_int_equal(add(registry, "sec", "security", &diag), 0);
	assert_int_equal(registry->n, 4);
	assert_string_equal(registry->filter[0]->name, "dummy");
	assert_int_equal(registry->filter[1]->priority, 500000001);
	assert_string_equal(registry->filter[2]->name, "sec");
	assert_string_equal(registry->filter[3]->name, "scan");
	assert_int_equal(rd_registry_set(registry, "scan", RD_SETTING_PRIORITY, "1\n", &diag), 0);
	assert_string_equal(registry->filter[0]->name, "scan");
	/* Its own priority is no obstacle. */
	assert_int_equal(rd_registry_set(registry, "scan", RD_SETTING_PRIORITY, "1", &diag), 0);
	assert_int_equal(rd_registry_set(registry, "scan", RD_SETTING_PRIORITY, "500000000", &diag),
			 -EEXIST);
}

static void test_settings(void **state)
{
	static const struct {
		enum rd_setting setting;
		const char *text;
		int error;
		const char *reads;
	} rows[] = {
		{ RD_SETTING_ACTIVE, "1\n", 0, "1\n" },
		{ RD_SETTING_ACTIVE, "0", 0, "0\n" },
		{ RD_SETTING_ACTIVE, "2", EINVAL, NULL },
		{ RD_SETTING_ACTIVE, "", EINVAL, NULL },
		{ RD_SETTING_ACTIVE, "yes", EINVAL, NULL },
		{ RD_SETTING_DEADLINE, "500ms\n", 0, "500ms\n" },
		{ RD_SETTING_DEADLINE, "5", 0, "5s\n" },
		{ RD_SETTING_DEADLINE, "1.5s", 0, "1500ms\n" },
		{ RD_SETTING_DEADLINE, "1h", 0, "3600s\n" },
		{ RD_SETTING_DEADLINE, "61m", EINVAL, NULL },
		{ RD_SETTING_DEADLINE, "0", EINVAL, NULL },
		{ RD_SETTING_DEADLINE, "soon", EINVAL, NULL },
		{ RD_SETTING_POLICY, "open", 0, "open\n" },
		{ RD_SETTING_POLICY, "EACCES\n", 0, "EACCES\n" },
		{ RD_SETTING_POLICY, "EWHAT", EINVAL, NULL },
	};
	struct rd_registry *registry = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PFS_BUF struct pfs_buf text = { 0 };
		RD_REGISTRY struct rd_registry *next = NULL;
		struct pfs_diag diag = { "" };

		assert_int_equal(rd_registry_copy(registry, &next), 0);
		if (rd_registry_set(next, "scan", rows[i].setting, rows[i].text, &diag) !=
		    -rows[i].error)
			fail_msg("'%s': %s", rows[i].text, diag.text);
		if (rows[i].error) {
			assert_string_not_equal(diag.text, "");
			continue;
		}
		rd_registered_say(rd_registry_find(next, "scan"), rows[i].setting, &text);
		assert_string_equal(text.data, rows[i].reads);
	}
	assert_int_equal(rd_registry_set(registry, "none", RD_SETTING_ACTIVE, "1", NULL), -ENODEV);
}

/* What a copy changes the other does not see, and either may go first. */
static void test_copies(void **state)
{
	struct rd_registry *registry = *state, *next = NULL;
	struct rd_rule_new rule = { { "/srv", true, true }, "/srv" };
	struct pfs_diag diag;

	assert_int_equal(rd_registry_rule_add(registry, "scan", &rule, &diag), 0);
	assert_int_equal(rd_registry_copy(registry, &next), 0);
	assert_true(next->serial > registry->serial);
	assert_int_equal(rd_registry_set(next, "scan", RD_SETTING_ACTIVE, "1", &diag), 0);
	assert_int_equal(rd_registry_rule_remove(next, "scan", "/srv", &diag), 0);
	assert_int_equal(rd_registry_remove(next, "dummy", &diag), 0);
	assert_false(rd_registry_find(registry, "scan")->active);
	assert_int_equal(rd_registry_find(registry, "scan")->n_rules, 1);
	assert_non_null(rd_registry_find(registry, "dummy"));
	rd_registry_free(registry);
	assert_true(rd_registry_find(next, "scan")->active);
	assert_null(rd_registry_find(next, "dummy"));
	assert_int_equal(rd_registry_remove(next, "dummy", &diag), -ENODEV);
	*state = next;
}

static void test_modifier(void **state)
{
	struct rd_registering what = { .name = "mine", .priority = "7" };
	struct rd_rule_new rule = { { "/srv", true, true }, "/srv" };
	struct rd_registry *registry = *state;
	struct pfs_diag diag;

	assert_int_equal(rd_registry_add(registry, &what, &diag), 0);
	assert_int_equal(rd_registry_set(registry, "mine", RD_SETTING_ACTIVE, "1", &diag), -EPERM);
	assert_non_null(strstr(diag.text, "modifier callback"));
	assert_int_equal(rd_registry_rule_add(registry, "mine", &rule, &diag), -EPERM);
	assert_int_equal(rd_registry_rule_remove(registry, "mine", "/srv", &diag), -EPERM);
	/* What is not the filter's affair. */
	assert_int_equal(rd_registry_set(registry, "mine", RD_SETTING_DEADLINE, "1s", &diag), 0);
}

static void test_rules(void **state)
{
	static const struct rd_rule_new rules[] = {
		{ { "/srv", true, true }, "/srv" },
		{ { "/srv/tmp", false, true }, "/srv/tmp" },
		{ { "/etc/pass wd", true, false }, "/etc" },
		{ { "/srv", false, true }, "/srv" }, /* takes the place of the first */
		{ { "/srv", true, false }, "/srv" }, /* another kind, beside it */
	};
	PFS_BUF struct pfs_buf paths = { 0 }, include = { 0 }, exclude = { 0 };
	struct rd_rule_new bad = { { "/a/../b", true, true }, "/b" };
	struct rd_registry *registry = *state;
	struct pfs_diag diag;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		assert_int_equal(rd_registry_rule_add(registry, "scan", &rules[i], &diag), 0);
	assert_int_equal(rd_registry_rule_add(registry, "scan", &bad, &diag), -EINVAL);
	rd_registered_paths(rd_registry_find(registry, "scan"), &paths);
	assert_string_equal(paths.data, "/srv/tmp 0xa\n/etc/pass wd 0x5\n/srv 0xa\n/srv 0x5\n");
	rd_registered_rules(rd_registry_find(registry, "scan"), true, &include);
	assert_string_equal(include.data, "/etc/pass wd single\n/srv single\n");
	rd_registered_rules(rd_registry_find(registry, "scan"), false, &exclude);
	assert_string_equal(exclude.data, "/srv/tmp subtree\n/srv subtree\n");
	assert_int_equal(rd_registry_rule_remove(registry, "scan", "/srv", &diag), 0);
	assert_int_equal(rd_registry_find(registry, "scan")->n_rules, 2);
	assert_int_equal(rd_registry_rule_remove(registry, "scan", "/srv", &diag), -ENOENT);
}

/* A process comes, dies and comes again: what the registry says counts then, and its paths are there. */
static void test_join(void **state)
{
	struct rd_registry *registry = *state;
	struct rd_joining what = { .name = "far",
				   .priority = 7,
				   .active = true,
				   .policy = -EACCES,
				   .deadline = RD_SECOND,
				   .peer = 3,
				   .pid = 99,
				   .id = 5 };
	struct rd_rule_new rule = { { "/srv", true, true }, "/srv" };
	struct rd_registered *filter = NULL;
	struct pfs_diag diag = { "" };

	assert_int_equal(rd_registry_join(registry, &what, &diag), 0);
	assert_int_equal(rd_registry_join(registry, &what, &diag), -EEXIST);
	assert_int_equal(rd_registry_joined(registry, 4, "far", &filter, &diag), -ENODEV);
	assert_int_equal(rd_registry_joined(registry, 3, "scan", &filter, &diag), -ENODEV);
	assert_int_equal(rd_registry_joined(registry, 3, "far", &filter, &diag), 0);
	assert_int_equal(rd_registered_rule_add(filter, &rule, &diag), 0);
	assert_false(filter->ready);
	assert_int_equal(rd_registry_ready(registry, 3, true), 0);
	assert_true(rd_registry_find(registry, "far")->ready);
	assert_int_equal(rd_registry_set(registry, "far", RD_SETTING_PRIORITY, "9", &diag), 0);
	assert_int_equal(rd_registry_lose(registry, 4), 0);
	assert_int_equal(rd_registry_lose(registry, 3), 1);
	assert_true(rd_registry_find(registry, "far")->missed);
	what.peer = 8;
	what.active = false;
	what.policy = RD_FAIL_OPEN;
	assert_int_equal(rd_registry_join(registry, &what, &diag), 0);
	filter = (struct rd_registered *)rd_registry_find(registry, "far");
	assert_int_equal(filter->priority, 9);
	assert_int_equal(filter->policy, -EACCES);
	assert_true(filter->active);
	assert_int_equal(filter->n_rules, 1);
	assert_true(filter->missed); /* until it is ready */
	assert_int_equal(rd_registry_ready(registry, 8, true), 0);
	assert_false(rd_registry_find(registry, "far")->missed);
	what.name = "scan"; /* of a shared object */
	assert_int_equal(rd_registry_join(registry, &what, &diag), -EEXIST);
}

static void test_parse(void **state)
{
	static const struct {
		const char *line, *path; /* NULL: refused */
		bool subtree;
	} rows[] = {
		{ "/srv", "/srv", true },
		{ "/srv subtree\n", "/srv", true },
		{ "/srv/ single", "/srv", false },
		{ "/", "/", true },
		{ "/a b  single", "/a b", false },
		{ "/a single subtree", "/a single", true },
		{ "/a\\040 subtree", "/a ", true },
		{ "/a\\012b", "/a\nb", true },
		{ "/a\\134", "/a\\", true },
		{ "/singlet", "/singlet", true },
		{ "/subtree", "/subtree", true },
		{ "", NULL, false },
		{ "\n", NULL, false },
		{ " single", NULL, false },
		{ "single", NULL, false },
		{ "srv", NULL, false },
		{ "/a/../b", NULL, false },
		{ "/a//b", NULL, false },
		{ "/a\\", NULL, false },
		{ "/a\\12", NULL, false },
		{ "/a\\000", NULL, false },
		{ "/a\\777", NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PFS_FREE char *path = NULL;
		struct pfs_diag diag = { "" };
		bool subtree = false;
		int r = rd_rule_parse(rows[i].line, strlen(rows[i].line), &path, &subtree, &diag);

		if ((r == 0) != (rows[i].path != NULL))
			fail_msg("'%s': %d", rows[i].line, r);
		if (r < 0) {
			assert_string_not_equal(diag.text, "");
			continue;
		}
		assert_string_equal(path, rows[i].path);
		assert_int_equal(subtree, rows[i].subtree);
	}
}

/* Whatever a path holds, what is printed is one line, and says that path when it is read. */
static void test_say(void **state)
{
	(void)state;
	for (unsigned c = 1; c < 256; c++)
		for (unsigned where = 0; where < 2; where++) {
			char path[] = { '/', where ? 'x' : (char)c, where ? (char)c : 'x', '\0' };
			PFS_BUF struct pfs_buf line = { 0 };
			PFS_FREE char *back = NULL;
			bool subtree;

			if (c == '/')
				continue;
			rd_path_say(&line, path);
			pfs_buf_str(&line, " single");
			for (size_t i = 0; i < line.len; i++)
				assert_true(line.data[i] >= ' ' && line.data[i] < 0x7f);
			assert_int_equal(rd_rule_parse(line.data, line.len, &back, &subtree, NULL), 0);
			assert_string_equal(back, path);
			assert_false(subtree);
		}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_names), T(test_order), T(test_settings), T(test_copies), T(test_modifier),
		T(test_rules), T(test_join),  T(test_parse),	T(test_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
