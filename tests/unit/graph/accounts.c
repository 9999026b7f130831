/*
 * accounts - the sums of docs/accounting.md, where nothing runs any more
 */
#include "help.h"

#include "fakes.h"

/* What the source makes after its last reader has left is for nobody, and is told so. */
static void test_what_nobody_wants_is_counted(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *dir = make_path(graph, "numbers");
	static uint8_t buf[4096];

	(void)state;
	fake.count = 200000;
	fake.linger = 0;
	for (int i = 0; i < 5; i++) {
		struct pfs_reader *reader = open_reader(dir, NULL, 1);
		unsigned long long in, unwanted;

		assert_true(read_wait(reader, buf, sizeof(buf), false) > 0);
		pfs_reader_close(reader);
		in = number_of(dir, PFS_TEXT_STATS, "in");
		unwanted = number_of(dir, PFS_TEXT_STATS, "unwanted");
		assert_int_equal(number_of(dir, PFS_TEXT_STATS, "\nseen"), in + unwanted);
		assert_int_equal(in + unwanted, (i + 1) * 200000);
		assert_true(unwanted > 0);
		assert_int_equal(number_of(dir, PFS_TEXT_STATS, "active"), 0);
	}
	pfs_node_unref(dir);
	pfs_graph_free(graph);
}

/* A reader who does not read: what its filters have yet to take waits for them, at each. */
static void test_what_waits_is_counted(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*copy_dir = make_path(graph, "accept/copy"),
			*relay_dir = make_path(graph, "accept/copy/relay");
	struct pfs_reader *reader = open_reader(relay_dir, NULL, 1);
	struct pfs_writer *writer = open_writer(accept);
	static uint8_t buf[65536];

	(void)state;
	for (int i = 0; i < 40000; i++)
		if (pfs_writer_write(writer, "eight...", 8) < 0)
			break;
	assert_true(number_of(copy_dir, PFS_TEXT_STATS, "waiting") > 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(number_of(copy_dir, PFS_TEXT_STATS, "in") +
					 number_of(copy_dir, PFS_TEXT_STATS, "waiting"),
				 number_of(accept, PFS_TEXT_STATS, "out"));
		assert_int_equal(number_of(relay_dir, PFS_TEXT_STATS, "in") +
					 number_of(relay_dir, PFS_TEXT_STATS, "waiting"),
				 number_of(copy_dir, PFS_TEXT_STATS, "out"));
		while (read_some(reader, buf, sizeof(buf), false) > 0)
			;
	}
	assert_int_equal(number_of(copy_dir, PFS_TEXT_STATS, "waiting"), 0);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(relay_dir);
	pfs_node_unref(copy_dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* What was moved keeps its books: what waits at the old place is still to be taken. */
static void test_what_waits_moves(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = make_path(graph, "accept:a"), *b = make_path(graph, "accept:b"),
			*copy_dir = make_path(graph, "accept:a/copy");
	struct pfs_reader *reader = open_reader(copy_dir, NULL, 1);
	struct pfs_writer *writer = open_writer(a), *other = open_writer(b);
	struct pfs_diag diag;

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(pfs_writer_write(writer, "eight...", 8), 8);
	assert_true(number_of(copy_dir, PFS_TEXT_STATS, "waiting") > 0);
	assert_int_equal(pfs_node_move(a, "copy", b, "copy", &me, &diag), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pfs_writer_write(other, "eight...", 8), 8);
	assert_int_equal(number_of(copy_dir, PFS_TEXT_STATS, "in") +
				 number_of(copy_dir, PFS_TEXT_STATS, "waiting"),
			 10100);
	pfs_writer_close(other);
	pfs_writer_close(writer);
	assert_int_equal(read_all(reader), 10100 * 8);
	assert_int_equal(number_of(copy_dir, PFS_TEXT_STATS, "in"), 10100);
	pfs_reader_close(reader);
	pfs_node_unref(copy_dir);
	pfs_node_unref(b);
	pfs_node_unref(a);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_nobody_wants_is_counted),
		cmocka_unit_test(test_what_waits_is_counted),
		cmocka_unit_test(test_what_waits_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
