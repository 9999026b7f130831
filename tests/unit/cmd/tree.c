/*
 * tree - directories and .stats as ls and stat see them, over plain files in a plain directory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cmd/tree.h"

static char top[] = "/tmp/unit-cmd-tree.XXXXXX";

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	file = fopen(full, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void make(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", top, path);
	assert_int_equal(mkdir(full, 0755), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	make("accept");
	put("accept/all", "not a directory");
	put("accept/.stats", "in 10\nout 9\ndropped 1\nlost 0\nbytes 5000\nreaders 2\nstate running\n");
	make("accept/unpcap");
	put("accept/unpcap/.stats", "in 9\nout 0\n\nnonsense\n leading\nbig 99999999999999999999\n");
	make("accept/unpcap/port10");
	make("accept/unpcap/port9");
	make(".filters");
	return 0;
}

static int tear_down(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", top);
	return system(command);
}

static void test_tree(void **state)
{
	TREE struct tree_dir *dir = NULL;
	const struct tree_dir *accept, *unpcap;

	(void)state;
	assert_int_equal(tree_read(top, 64, &dir), 0);
	assert_int_equal(dir->nchildren, 1); /* hidden directories are not part of the tree */
	accept = tree_at(dir, "accept");
	assert_ptr_equal(accept, dir->child[0]);
	assert_int_equal(accept->nchildren, 1);
	assert_int_equal(tree_number(accept, "bytes"), 5000);
	assert_int_equal(tree_number(accept, "no such"), 0);
	assert_int_equal(tree_number(accept, "state"), 0);
	assert_string_equal(tree_value(accept, "state")->text, "running");
	unpcap = tree_at(dir, "/accept//unpcap/");
	assert_ptr_equal(unpcap, accept->child[0]);
	assert_null(tree_at(dir, "accept/un"));
	assert_null(tree_at(dir, "accept/unpcap/port"));
	/* Numbers in names count as numbers. */
	assert_string_equal(unpcap->child[0]->name, "port9");
	assert_string_equal(unpcap->child[1]->name, "port10");
}

static void test_values(void **state)
{
	TREE struct tree_dir *dir = NULL;
	PFS_BUF struct pfs_buf json = { 0 };
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/accept/unpcap", top);
	assert_int_equal(tree_read_one(path, &dir), 0);
	assert_int_equal(dir->nchildren, 0);
	assert_true(dir->cut);
	assert_int_equal(dir->nvalues, 3); /* what is no `name value` line is passed over */
	assert_false(tree_value(dir, "big")->is_number);
	tree_json_values(dir, &json);
	assert_string_equal(json.data, "\"in\":9,\"out\":0,\"big\":\"99999999999999999999\"");
}

static void test_depth(void **state)
{
	TREE struct tree_dir *dir = NULL;

	(void)state;
	assert_int_equal(tree_read(top, 1, &dir), 0);
	assert_int_equal(dir->nchildren, 1);
	assert_false(dir->cut);
	assert_true(dir->child[0]->cut);
	assert_int_equal(dir->child[0]->nchildren, 0);
}

static void test_errors(void **state)
{
	struct tree_dir *dir = NULL;
	char path[256];

	(void)state;
	assert_int_equal(tree_read("/no/such/place", 1, &dir), -ENOENT);
	snprintf(path, sizeof(path), "%s/accept/all", top);
	assert_int_equal(tree_read(path, 1, &dir), -ENOTDIR);
	assert_null(dir);
	tree_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
