/*
 * join: branches that come together again, circles, targets that go
 */
#include "help.h"
#include "fakes.h"

#include <unistd.h>

static const struct pfs_cred alice = { .uid = 1001, .gid = 1001 }, bob = { .uid = 1002, .gid = 1002 };

static struct {
	pthread_mutex_t lock;
	unsigned n;
	char text[256], path[256];
} said = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void complain(void *arg, const struct pfs_complaint *complaint)
{
	PFS_BUF struct pfs_buf path = { 0 };

	(void)arg;
	pfs_node_path(complaint->node, &path);
	pthread_mutex_lock(&said.lock);
	said.n++;
	snprintf(said.text, sizeof(said.text), "%s", complaint->text);
	snprintf(said.path, sizeof(said.path), "%s", path.data);
	pthread_mutex_unlock(&said.lock);
}

static struct pfs_graph *new_graph(void)
{
	said.n = 0;
	return graph_of((struct pfs_graph_options){ .ring_size = 4 << 20, .complain = complain });
}

static int try_make(struct pfs_graph *graph, const char *dir, const char *name,
		    const struct pfs_cred *cred, struct pfs_diag *diag)
{
	struct pfs_node *node = make_path(graph, dir);
	int r = pfs_node_make(node, name, cred, 0755, NULL, diag);

	pfs_node_unref(node);
	return r;
}

static int try_remove(struct pfs_graph *graph, const char *dir, const char *name)
{
	struct pfs_node *node = make_path(graph, dir);
	int r = pfs_node_remove(node, name, &me, NULL);

	pfs_node_unref(node);
	return r;
}

static void write_text(struct pfs_writer *writer, const char *text)
{
	assert_int_equal(pfs_writer_write(writer, text, strlen(text)), strlen(text));
}

/* What is there up to an end of a generation, or -EAGAIN's place, as text. */
static ssize_t read_text(struct pfs_reader *reader, char *text, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while ((n = read_some(reader, text + at, size - 1 - at, false)) > 0)
		at += (size_t)n;
	text[at] = '\0';
	return n;
}

/* Both branches bring all of a generation, and it ends once, after the slower of them. */
static void test_branches_of_one_source(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *target = make_path(graph, "accept:x"), *source, *node;
	struct pfs_reader *reader = open_reader(target, NULL, -1);
	struct pfs_writer *writer;
	char text[64];

	node = make_path(graph, "accept:a/relay/into:accept:x");
	pfs_node_unref(node);
	node = make_path(graph, "accept:a/copy/relay/into:accept:x");
	pfs_node_unref(node);
	source = make_path(graph, "accept:a");
	for (int generation = 0; generation < 3; generation++) {
		writer = open_writer(source);
		write_text(writer, "ab");
		pfs_writer_close(writer);
		assert_int_equal(read_text(reader, text, sizeof(text)), 0);
		assert_string_equal(text, "abab");
		assert_int_equal(read_text(reader, text, sizeof(text)), 0);
		assert_string_equal(text, "");
	}
	assert_int_equal(number_of(target, PFS_TEXT_STATS, "in"), 6);
	pfs_reader_close(reader);
	pfs_node_unref(source);
	pfs_node_unref(target);
	pfs_graph_free(graph);
}

/* One branch ends early by itself: the other's are all there, then the end. */
static void test_an_early_end(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *target = make_path(graph, "accept:x"), *source, *node;
	struct pfs_reader *reader = open_reader(target, NULL, -1);
	struct pfs_writer *writer;
	char text[64];

	node = make_path(graph, "accept:a/head:1/into:accept:x");
	pfs_node_unref(node);
	node = make_path(graph, "accept:a/relay/into:accept:x");
	pfs_node_unref(node);
	source = make_path(graph, "accept:a");
	for (int generation = 0; generation < 2; generation++) {
		writer = open_writer(source);
		write_text(writer, "1");
		write_text(writer, "2");
		assert_int_equal(read_text(reader, text, sizeof(text)), -EAGAIN);
		/* head has counted to its end; the other branch has not changed */
		assert_int_equal(strlen(text), generation == 0 ? 3 : 2);
		write_text(writer, "3");
		pfs_writer_close(writer);
		assert_int_equal(read_text(reader, text, sizeof(text)), 0);
		assert_string_equal(text, "3");
	}
	pfs_reader_close(reader);
	pfs_node_unref(source);
	pfs_node_unref(target);
	pfs_graph_free(graph);
}

/* Two sources are two writers: the end comes with the last of them. */
static void test_two_sources(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *target = make_path(graph, "accept:x"), *a, *b;
	struct pfs_reader *reader = open_reader(target, NULL, -1);
	struct pfs_writer *first, *second;
	char text[64];

	pfs_node_unref(make_path(graph, "accept:a/into:accept:x"));
	pfs_node_unref(make_path(graph, "accept:b/into:accept:x"));
	a = make_path(graph, "accept:a");
	b = make_path(graph, "accept:b");
	first = open_writer(a);
	second = open_writer(b);
	write_text(first, "a");
	write_text(second, "b");
	pfs_writer_close(first);
	assert_int_equal(read_text(reader, text, sizeof(text)), -EAGAIN);
	assert_string_equal(text, "ab");
	pfs_writer_close(second);
	assert_int_equal(read_text(reader, text, sizeof(text)), 0);
	pfs_reader_close(reader);
	pfs_node_unref(a);
	pfs_node_unref(b);
	pfs_node_unref(target);
	pfs_graph_free(graph);
}

static void test_circles(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_diag diag;

	pfs_node_unref(make_path(graph, "accept:a/relay"));
	pfs_node_unref(make_path(graph, "accept:b/relay"));
	pfs_node_unref(make_path(graph, "accept:c"));
	assert_int_equal(try_make(graph, "accept:a/relay", "into:accept:a", &me, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "same source"));
	pfs_node_unref(make_path(graph, "accept:a/relay/into:accept:b"));
	assert_int_equal(try_make(graph, "accept:b", "into:accept:a", &me, &diag), -ELOOP);
	assert_int_equal(try_make(graph, "accept:b/relay", "into:accept:a%2frelay", &me, &diag),
			 -ELOOP);
	assert_non_null(strstr(diag.text, "circle"));
	pfs_node_unref(make_path(graph, "accept:b/relay/into:accept:c"));
	assert_int_equal(try_make(graph, "accept:c", "into:accept:a", &me, &diag), -ELOOP);
	/* Not everything below a leads on: beside the join a circle is not closed. */
	pfs_node_unref(make_path(graph, "accept:d"));
	assert_int_equal(try_make(graph, "accept:c", "into:accept:d", &me, &diag), 0);
	assert_int_equal(try_remove(graph, "accept:b/relay", "into:accept:c"), 0);
	assert_int_equal(try_make(graph, "accept:c", "into:accept:a", &me, &diag), 0);
	pfs_graph_free(graph);
}

/* Behind what has no generations a join may stay below its source, but not come back to itself. */
static void test_below_one_lossy_source(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_diag diag;

	pfs_node_unref(make_path(graph, "flood/copy"));
	pfs_node_unref(make_path(graph, "flood/relay"));
	fake.count = 0;
	assert_int_equal(try_make(graph, "flood/copy", "into:flood%2fcopy", &me, &diag), -ELOOP);
	assert_int_equal(try_make(graph, "flood/copy", "into:flood%2frelay", &me, &diag), 0);
	assert_int_equal(try_make(graph, "flood/relay", "into:flood%2fcopy", &me, &diag), -ELOOP);
	pfs_graph_free(graph);
}

static void test_refused(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_diag diag;
	struct pfs_node *x;

	pfs_node_unref(make_path(graph, "accept:a"));
	x = make_path(graph, "accept:x/unpcap");
	assert_int_equal(try_make(graph, "accept:a", "into:", &me, &diag), -EINVAL);
	assert_int_equal(try_make(graph, "accept:a", "into:nowhere", &me, &diag), -ENOENT);
	assert_int_equal(try_make(graph, "accept:a", "into:.", &me, &diag), -EINVAL);
	assert_int_equal(try_make(graph, "accept:a", "into:accept:x%2f..%2faccept:a", &me, &diag),
			 -EINVAL);
	assert_int_equal(try_make(graph, "accept:a", "into:accept:x%2funpcap", &me, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "packets"));
	assert_int_equal(try_make(graph, "accept:a", "into:accept:x,policy=no", &me, &diag), -EINVAL);
	assert_int_equal(try_make(graph, "accept:a", "into:numbers", &me, &diag), -ENOENT);
	pfs_node_unref(make_path(graph, "numbers"));
	assert_int_equal(try_make(graph, "accept:a", "into:numbers", &me, &diag), -EINVAL);
	assert_int_equal(try_make(graph, "accept:x/unpcap", "into:accept:a", &me, &diag), 0);
	pfs_node_unref(x);
	pfs_graph_free(graph);
}

/* Absolute paths: this process is the caller, and no mount is ours. */
static void test_other_files(void **state)
{
	const struct pfs_cred self = { .uid = geteuid(), .gid = getegid(), .pid = getpid() };
	struct pfs_graph *graph = new_graph();
	struct pfs_diag diag;

	pfs_node_unref(make_path(graph, "accept:a"));
	assert_int_equal(try_make(graph, "accept:a", "into:%2ftmp", &self, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "not in this pipesfs"));
	assert_int_equal(try_make(graph, "accept:a", "into:%2fproc%2fself%2fexe", &self, &diag),
			 -EINVAL);
	assert_int_equal(try_make(graph, "accept:a", "into:%2fno%2fsuch", &self, &diag), -ENOENT);
	assert_int_equal(try_make(graph, "accept:a", "into:%2ftmp", &me, &diag), -EPERM);
	pfs_graph_free(graph);
}

/* To join is to write: only where one may. */
static void test_whose(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *root = pfs_graph_root(graph), *hers, *his, *deep;
	struct pfs_diag diag;

	assert_int_equal(pfs_node_make(root, "accept:hers", &alice, 0700, &hers, &diag), 0);
	assert_int_equal(pfs_node_make(hers, "relay", &alice, 0777, &deep, &diag), 0);
	assert_int_equal(pfs_node_make(root, "accept:his", &bob, 0700, &his, &diag), 0);
	assert_int_equal(pfs_node_make(his, "into:accept:hers", &bob, 0700, NULL, &diag), -EACCES);
	assert_non_null(strstr(diag.text, "not yours"));
	assert_int_equal(pfs_node_make(his, "into:accept:hers%2frelay", &bob, 0700, NULL, &diag),
			 -EACCES);
	pfs_node_chmod(hers, 0755);
	assert_int_equal(pfs_node_make(his, "into:accept:hers", &bob, 0700, NULL, &diag), -EACCES);
	assert_int_equal(pfs_node_make(his, "into:accept:hers%2frelay", &bob, 0700, NULL, &diag), 0);
	pfs_node_chmod(hers, 0733);
	assert_int_equal(pfs_node_make(his, "into:accept:hers", &bob, 0700, NULL, &diag), 0);
	pfs_node_unref(deep);
	pfs_node_unref(hers);
	pfs_node_unref(his);
	pfs_graph_free(graph);
}

/* A target that nobody reads: who writes here waits, until it is read. */
static void test_back_pressure(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *target = make_path(graph, "accept:x"), *source, *node;
	static char block[512 << 10];
	struct pfs_reader *reader;
	struct pfs_writer *writer;
	size_t written = 0, got = 0;
	ssize_t n;

	node = make_path(graph, "accept:a/into:accept:x");
	source = make_path(graph, "accept:a");
	writer = open_writer(source);
	while ((n = pfs_writer_write(writer, block, sizeof(block))) > 0)
		written += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_true(written >= 6 << 20); /* about the two rings */
	assert_int_equal(number_of(node, PFS_TEXT_STATS, "lost"), 0);
	reader = open_reader(target, NULL, -1);
	while ((n = read_some(reader, block, sizeof(block), false)) > 0)
		got += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(got, written);
	assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	assert_int_equal(read_some(reader, block, sizeof(block), false), sizeof(block));
	pfs_writer_close(writer);
	assert_int_equal(read_some(reader, block, sizeof(block), false), 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_node_unref(source);
	pfs_node_unref(target);
	pfs_graph_free(graph);
}

static void test_lossy(void **state)
{
	struct pfs_graph *graph = new_graph();
	struct pfs_node *target = make_path(graph, "accept:x"), *source, *node;
	static char block[512 << 10];
	struct pfs_writer *writer;

	node = make_path(graph, "accept:a/into:accept:x,policy=lossy");
	source = make_path(graph, "accept:a");
	writer = open_writer(source);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	assert_int_equal(number_of(node, PFS_TEXT_STATS, "lost.full") +
				 number_of(node, PFS_TEXT_STATS, "joined"),
			 100);
	assert_true(number_of(node, PFS_TEXT_STATS, "joined") >= 6);
	pfs_writer_close(writer);
	pfs_node_unref(node);
	pfs_node_unref(source);
	pfs_node_unref(target);
	pfs_graph_free(graph);
}

/* The target goes, full as it is and with who waits for it: a clear end, and its memory is given back. */
static void test_target_removed(void **state)
{
	struct pfs_graph *graph = new_graph();
	static char block[512 << 10];
	struct pfs_node *source, *node;
	struct pfs_writer *writer;
	unsigned long long joined;

	pfs_node_unref(make_path(graph, "accept:x"));
	node = make_path(graph, "accept:a/into:accept:x");
	source = make_path(graph, "accept:a");
	writer = open_writer(source);
	while (pfs_writer_write(writer, block, sizeof(block)) > 0)
		;
	joined = number_of(node, PFS_TEXT_STATS, "joined");
	assert_int_equal(try_remove(graph, "", "accept:x"), 0);
	/* What was full then is emptied by another thread, before long. */
	for (int i = 0, tries = 0; i < 50 && tries < 20000; tries++) {
		if (pfs_writer_write(writer, block, sizeof(block)) > 0)
			i++;
		else
			usleep(1000);
	}
	WAIT_WHILE(number_of(node, PFS_TEXT_STATS, "lost.target-removed") < 50);
	assert_int_equal(number_of(node, PFS_TEXT_STATS, "joined"), joined);
	assert_true(number_of(node, PFS_TEXT_STATS, "lost.target-removed") >= 50);
	assert_int_equal(said.n, 1);
	assert_non_null(strstr(said.text, "removed"));
	assert_string_equal(said.path, "/accept:a/into:accept:x");
	/* One of the same name is another one. */
	pfs_node_unref(make_path(graph, "accept:x"));
	pfs_writer_close(writer);
	pfs_node_unref(node);
	pfs_node_unref(source);
	pfs_graph_free(graph);
}

/* --- changes under load: threads ------------------------------------------------------------------ */

static struct {
	struct pfs_graph *graph;
	struct pfs_node *source;
	struct pfs_node *target;
	_Atomic bool stop;
	_Atomic uint64_t got;
} load;

static void *keep_writing(void *arg)
{
	static char block[64 << 10];

	(void)arg;
	while (!load.stop) {
		struct pfs_writer *writer = open_writer(load.source);

		for (int i = 0; i < 20 && !load.stop; i++)
			if (pfs_writer_write(writer, block, sizeof(block)) < 0)
				usleep(100);
		pfs_writer_close(writer);
	}
	return NULL;
}

static void *keep_reading(void *arg)
{
	static _Thread_local char block[256 << 10];
	struct pfs_reader *reader = arg;

	while (!load.stop) {
		ssize_t n = read_some(reader, block, sizeof(block), false);

		if (n <= 0)
			usleep(100);
		else
			load.got += (uint64_t)n;
	}
	return NULL;
}

static void test_changes_under_load(void **state)
{
	pthread_t threads[3];
	struct pfs_reader *readers[2];
	struct pfs_diag diag;

	load.graph = new_graph();
	load.source = make_path(load.graph, "accept:a");
	load.target = make_path(load.graph, "accept:x");
	load.stop = false;
	pfs_node_unref(make_path(load.graph, "accept:a/into:accept:x"));
	for (int i = 0; i < 2; i++)
		readers[i] = open_reader(load.target, NULL, -1);
	pthread_create(&threads[0], NULL, keep_writing, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[1 + i], NULL, keep_reading, readers[i]);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(try_make(load.graph, "accept:a/relay", "into:accept:x", &me, &diag),
				 0);
		assert_int_equal(try_make(load.graph, "", "accept:y", &me, &diag), 0);
		assert_int_equal(try_make(load.graph, "accept:a/copy", "into:accept:y", &me, &diag), 0);
		assert_int_equal(try_make(load.graph, "accept:x", "into:accept:y", &me, &diag), 0);
		assert_int_equal(try_make(load.graph, "accept:y", "into:accept:a", &me, &diag), -ELOOP);
		assert_int_equal(try_remove(load.graph, i % 2 ? "accept:a/relay" : "accept:x",
					    i % 2 ? "into:accept:x" : "into:accept:y"),
				 0);
		assert_int_equal(try_remove(load.graph, "", "accept:y"), 0);
		assert_int_equal(try_remove(load.graph, i % 2 ? "accept:x" : "accept:a/relay",
					    i % 2 ? "into:accept:y" : "into:accept:x"),
				 0);
		assert_int_equal(try_remove(load.graph, "accept:a/copy", "into:accept:y"), 0);
	}
	load.stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_true(load.got > 0);
	for (int i = 0; i < 2; i++)
		pfs_reader_close(readers[i]);
	pfs_node_unref(load.source);
	pfs_node_unref(load.target);
	pfs_graph_free(load.graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_branches_of_one_source),
		cmocka_unit_test(test_an_early_end),
		cmocka_unit_test(test_two_sources),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_below_one_lossy_source),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_target_removed),
		cmocka_unit_test(test_changes_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
