/*
 * keep - memory goes back when nobody needs it: rings of writers, of sources and of filters, and queues
 */
#include "help.h"

#include "fakes.h"

#define RING ((size_t)4 << 20)

static struct pfs_graph *small_graph(unsigned rings)
{
	return graph_of((struct pfs_graph_options){ .ring_size = RING, .memory_max = rings * RING });
}

static struct pfs_node *numbered(struct pfs_graph *graph, const char *path, int number)
{
	char name[64];

	snprintf(name, sizeof(name), path, number);
	return make_path(graph, name);
}

/* Becomes 0 when all is given back. */
static unsigned long long memory_of(struct pfs_graph *graph)
{
	unsigned long long n = 0;

	WAIT_WHILE((n = pfs_graph_memory(graph)) != 0);
	return n;
}

static void write_and_close(struct pfs_node *node, const char *text)
{
	struct pfs_writer *writer = open_writer(node);

	assert_int_equal(pfs_writer_write(writer, text, strlen(text)), strlen(text));
	pfs_writer_close(writer);
}

static void test_used_writers_cost_nothing(void **state)
{
	enum { SOURCES = 300 };
	struct pfs_graph *graph = small_graph(8);
	struct pfs_node *node[SOURCES];
	struct pfs_reader *reader[SOURCES];

	(void)state;
	for (int i = 0; i < SOURCES; i++) {
		char text[16];

		node[i] = numbered(graph, "accept:%d", i);
		reader[i] = open_reader(node[i], NULL, -1);
		snprintf(text, sizeof(text), "number %d", i);
		write_and_close(node[i], text);
		assert_int_equal(read_all(reader[i]), strlen(text));
		pfs_reader_close(reader[i]);
	}
	assert_int_equal(memory_of(graph), 0);
	/* Any of them can be used again. */
	for (int i = 0; i < SOURCES; i += 50) {
		reader[i] = open_reader(node[i], NULL, -1);
		write_and_close(node[i], "again");
		assert_int_equal(read_all(reader[i]), 5);
		pfs_reader_close(reader[i]);
	}
	for (int i = 0; i < SOURCES; i++)
		pfs_node_unref(node[i]);
	pfs_graph_free(graph);
}

/* The writer has gone, the reader has not read: its bytes stay until it has. */
static void test_what_waits_for_a_reader_stays(void **state)
{
	static char block[65536], got[65536];
	struct pfs_graph *graph = small_graph(4);
	struct pfs_node *node = make_path(graph, "accept"), *other = make_path(graph, "accept:other");
	struct pfs_reader *reader = open_reader(node, NULL, -1),
			  *lossy = open_reader(node, NULL, 0), *elsewhere;
	struct pfs_writer *writer = open_writer(node);

	(void)state;
	for (int i = 0; i < 20; i++) {
		memset(block, 'a' + i, sizeof(block));
		assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	}
	pfs_writer_close(writer);
	elsewhere = open_reader(other, NULL, -1);
	for (int i = 0; i < 20; i++) {
		write_and_close(other, "in a ring that may take the place of one that is gone");
		assert_true(read_all(elsewhere) > 0);
	}
	pfs_reader_close(elsewhere);
	for (int i = 0; i < 20; i++) {
		memset(block, 'a' + i, sizeof(block));
		assert_int_equal(read_some(reader, got, sizeof(got), true), sizeof(got));
		assert_memory_equal(got, block, sizeof(got));
		assert_int_equal(read_some(lossy, got, sizeof(got), true), sizeof(got));
		assert_memory_equal(got, block, sizeof(got));
	}
	assert_int_equal(read_some(reader, got, sizeof(got), true), 0);
	pfs_reader_close(reader);
	pfs_reader_close(lossy);
	assert_int_equal(memory_of(graph), 0);
	pfs_node_unref(other);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

/* A part of a record was read: the rest is still there. */
static void test_a_record_that_was_begun_stays(void **state)
{
	static char block[65536], got[65536];
	struct pfs_graph *graph = small_graph(4);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(node, NULL, -1);
	struct pfs_writer *writer = open_writer(node);

	(void)state;
	memset(block, 'x', sizeof(block));
	assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	assert_int_equal(read_some(reader, got, 100, false), 100);
	pfs_writer_close(writer);
	usleep(50000); /* the ticker looks, and looks again */
	assert_int_equal(read_some(reader, got, sizeof(got), false), sizeof(block) - 100);
	assert_memory_equal(got, block, sizeof(block) - 100);
	assert_int_equal(read_some(reader, got, sizeof(got), false), 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_ends_alone_need_no_ring(void **state)
{
	struct pfs_graph *graph = small_graph(4);
	struct pfs_node *node[20];
	struct pfs_reader *reader;

	(void)state;
	for (int i = 0; i < 20; i++) {
		node[i] = numbered(graph, "accept:%d", i);
		pfs_writer_close(open_writer(node[i]));
	}
	assert_int_equal(memory_of(graph), 0);
	for (int i = 0; i < 20; i++) { /* and each is there for who comes */
		reader = open_reader(node[i], NULL, -1);
		assert_int_equal(read_all(reader), 0);
		pfs_reader_close(reader);
		pfs_node_unref(node[i]);
	}
	pfs_graph_free(graph);
}

static void test_the_limit_is_told_and_ends(void **state)
{
	struct pfs_graph *graph = small_graph(4);
	struct pfs_node *node[8];
	struct pfs_writer *writer;
	struct pfs_reader *reader;
	struct pfs_diag diag;
	int n, r = 0;

	(void)state;
	for (n = 0; n < 8; n++) {
		node[n] = numbered(graph, "accept:%d", n);
		r = pfs_writer_open(node[n], &me, &writer, &diag);
		if (r < 0)
			break;
		assert_int_equal(pfs_writer_write(writer, "early", 5), 5);
		pfs_writer_close(writer);
	}
	assert_int_equal(n, 4);
	assert_int_equal(r, -ENOMEM);
	assert_non_null(strstr(diag.text, "memory="));
	/* A reader needs little: but there is none. */
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept:3", &me, NULL), 0);
	pfs_node_unref(node[3]);
	for (int i = 0; i < 3; i++) {
		reader = open_reader(node[i], NULL, -1);
		assert_int_equal(read_all(reader), 5);
		pfs_reader_close(reader);
	}
	write_and_close(node[4], "again");
	for (int i = 0; i < 5; i++)
		if (i != 3)
			pfs_node_unref(node[i]);
	pfs_graph_free(graph);
}

static void test_queues_and_runs_cost_nothing_when_over(void **state)
{
	enum { ALL = 60 };
	struct pfs_graph *graph = small_graph(5);

	(void)state;
	fake.count = 1000;
	fake.linger = 0;
	for (int i = 0; i < ALL; i++) {
		struct pfs_node *node = numbered(graph, "numbers:%d/copy", i);
		struct pfs_node *lossy = numbered(graph, "flood:%d/relay", i);
		struct pfs_reader *reader = open_reader(node, NULL, -1);

		assert_int_equal(read_all(reader), 8000);
		pfs_reader_close(reader);
		reader = open_reader(lossy, NULL, -1);
		assert_true(read_all(reader) > 0);
		pfs_reader_close(reader);
		pfs_node_unref(node);
		pfs_node_unref(lossy);
	}
	assert_int_equal(memory_of(graph), 0);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used_writers_cost_nothing),
		cmocka_unit_test(test_what_waits_for_a_reader_stays),
		cmocka_unit_test(test_a_record_that_was_begun_stays),
		cmocka_unit_test(test_ends_alone_need_no_ring),
		cmocka_unit_test(test_the_limit_is_told_and_ends),
		cmocka_unit_test(test_queues_and_runs_cost_nothing_when_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
