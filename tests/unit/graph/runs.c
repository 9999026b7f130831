/*
 * runs - private pipelines: they wait for their start, share what is equal, and go without a trace
 */
#include "help.h"

#include "fakes.h"

static const struct pfs_cred ann = { .uid = 1000, .gid = 1000, .pid = 7 },
			     bob = { .uid = 1001, .gid = 1001, .pid = 8 };

static struct pfs_node *run_of(struct pfs_graph *graph, const struct pfs_cred *cred)
{
	struct pfs_node *run;

	assert_int_equal(pfs_run_make(graph, cred, &run), 0);
	return run;
}

/* mkdir below dir; a reference. */
static struct pfs_node *stage(struct pfs_node *dir, const char *name, const struct pfs_cred *cred)
{
	struct pfs_node *node;
	struct pfs_diag diag;
	int r = pfs_node_make(dir, name, cred, 0755, &node, &diag);

	if (r < 0)
		print_error("%s: %s\n", name, diag.text);
	assert_int_equal(r, 0);
	return node;
}

static void expect_refused(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
			   int want, const char *sentence)
{
	struct pfs_node *node;
	struct pfs_diag diag;

	assert_int_equal(pfs_node_make(dir, name, cred, 0755, &node, &diag), want);
	assert_string_equal(diag.text, sentence);
}

static void start(struct pfs_node *run)
{
	struct pfs_diag diag;

	assert_int_equal(pfs_run_start(run, &diag), 0);
}

static void end(struct pfs_node *run)
{
	pfs_run_end(run);
	pfs_node_unref(run);
}

static int count_one(void *arg, const char *name, const struct pfs_node_info *info)
{
	(void)name;
	(void)info;
	++*(unsigned *)arg;
	return 0;
}

static unsigned children(struct pfs_node *dir)
{
	unsigned n = 0;

	assert_int_equal(pfs_node_list(dir, count_one, &n), 0);
	return n;
}

static unsigned long long uses(struct pfs_node *node)
{
	return number_of(node, PFS_TEXT_STATS, "shared");
}

/* --- one run ------------------------------------------------------------------------------------ */

static void test_a_run_has_a_name_and_an_owner(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = run_of(graph, &ann), *b = run_of(graph, &ann), *found;
	struct pfs_node_info info;
	PFS_BUF struct pfs_buf path = { 0 };

	(void)state;
	assert_string_equal(pfs_node_name(a), "run:7");
	assert_string_equal(pfs_node_name(b), "run:7.2");
	pfs_node_info(a, &info);
	assert_int_equal(info.kind, PFS_NODE_RUN);
	assert_int_equal(info.uid, 1000);
	assert_int_equal(info.mode, 0700);
	assert_int_equal(pfs_node_lookup(pfs_graph_root(graph), "run:7", &found), 0);
	assert_ptr_equal(found, a);
	pfs_node_unref(found);

	pfs_node_unref(stage(a, "numbers:x", &ann));
	found = stage(a, "numbers", &ann);
	pfs_node_unref(stage(found, "relay", &ann));
	pfs_node_info(found, &info);
	assert_int_equal(info.kind, PFS_NODE_SOURCE);
	assert_int_equal(info.children, 1);
	assert_int_equal(info.uid, 1000);
	pfs_node_path(found, &path);
	assert_string_equal(path.data, "/run:7/numbers");
	assert_int_equal(children(a), 2);
	assert_int_equal(children(found), 1);
	assert_int_equal(children(b), 0);
	pfs_node_unref(found);
	end(b);
	end(a);
	assert_int_equal(pfs_node_lookup(pfs_graph_root(graph), "run:7", &found), -ENOENT);
	pfs_graph_free(graph);
}

/* Both see the first record, whoever opened first. */
static void test_sources_wait_for_the_start(void **state)
{
	enum { COUNT = 5000 };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *run = run_of(graph, &ann), *numbers_ = stage(run, "numbers", &ann),
			*relayed = stage(numbers_, "relay", &ann), *late;
	struct pfs_reader *one = open_reader(numbers_, NULL, -1), *two;
	uint8_t byte;

	(void)state;
	fake.count = COUNT;
	fake.pushed = 0;
	assert_int_equal(read_some(one, &byte, 1, false), -EAGAIN);
	two = open_reader(relayed, NULL, -1);
	assert_int_equal(fake.pushed, 0);
	start(run);
	assert_int_equal(read_all(one), COUNT * 8);
	assert_int_equal(read_all(two), COUNT * 8);
	pfs_reader_close(one);
	pfs_reader_close(two);

	/* What is made in it later waits for nothing. */
	late = stage(run, "numbers:late", &ann);
	one = open_reader(late, NULL, -1);
	assert_int_equal(read_all(one), COUNT * 8);
	pfs_reader_close(one);
	pfs_node_unref(late);
	pfs_node_unref(relayed);
	pfs_node_unref(numbers_);
	end(run);
	pfs_graph_free(graph);
}

static void test_what_mkdir_and_rmdir_say(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *run = run_of(graph, &ann), *source = stage(run, "flood", &ann),
			*relayed = stage(source, "relay", &ann),
			*labelled = stage(source, "label", &ann), *class_, *again;
	struct pfs_node_info info;
	struct pfs_diag diag;

	(void)state;
	expect_refused(run, "numbrs", &ann, -ENOENT,
		       "there is no source 'numbrs'; did you mean 'numbers'?");
	expect_refused(run, "relay", &ann, -ENOENT,
		       "'relay' is a filter: it goes below a source, as in accept/relay");
	expect_refused(source, "labl", &ann, -ENOENT,
		       "there is no filter 'labl'; did you mean 'label'?");
	expect_refused(source, "relay:x", &ann, -EINVAL, "'relay' takes no argument");
	expect_refused(source, "relay", &ann, -EEXIST, "");
	expect_refused(run, "flood", &ann, -EEXIST, "");

	/* Classes, as in the tree; one that a filter hangs on cannot go. */
	assert_int_equal(pfs_node_lookup(labelled, "17", &class_), -ENOENT);
	class_ = stage(labelled, "17", &ann);
	expect_refused(labelled, "17", &ann, -EEXIST, "");
	assert_int_equal(pfs_node_lookup(labelled, "17", &again), 0);
	assert_ptr_equal(class_, again);
	pfs_node_unref(again);
	pfs_node_info(class_, &info);
	assert_int_equal(info.kind, PFS_NODE_CLASS);
	assert_int_equal(pfs_node_lookup(labelled, "900", &again), -ENOENT);
	pfs_node_unref(stage(class_, "relay", &ann));
	assert_int_equal(pfs_node_remove(source, "label", &ann, &diag), -ENOTEMPTY);
	assert_int_equal(pfs_node_remove(class_, "relay", &ann, &diag), 0);
	assert_int_equal(pfs_node_remove(source, "label", &ann, &diag), 0);
	assert_int_equal(pfs_node_remove(source, "label", &ann, &diag), -ENOENT);
	assert_int_equal(pfs_node_remove(run, "flood", &ann, &diag), -ENOTEMPTY);
	assert_int_equal(pfs_node_remove(source, "relay", &ann, &diag), 0);
	assert_int_equal(pfs_node_remove(run, "flood", &ann, &diag), 0);
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "run:7", &ann, &diag), -EBUSY);
	assert_string_equal(diag.text, "'run:7' goes when the program that made it ends");
	pfs_node_unref(class_);
	pfs_node_unref(labelled);
	pfs_node_unref(relayed);
	pfs_node_unref(source);
	end(run);
	pfs_graph_free(graph);
}

/* --- two runs -------------------------------------------------------------------------------------- */

static void test_equal_prefixes_are_one(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = run_of(graph, &ann), *b = run_of(graph, &ann), *c = run_of(graph, &bob);
	struct pfs_node *in_a[5], *in_b[5], *in_c;

	(void)state;
	in_a[0] = stage(a, "flood", &ann);
	in_a[1] = stage(in_a[0], "label", &ann);
	in_a[2] = stage(in_a[1], "17", &ann);
	in_a[3] = stage(in_a[2], "relay", &ann);
	in_a[4] = stage(in_a[3], "head:2", &ann);
	in_b[0] = stage(b, "flood", &ann);
	assert_int_equal(uses(in_a[0]), 2);
	assert_int_equal(children(in_b[0]), 0); /* of the other run nothing is seen */
	in_b[1] = stage(in_b[0], "label", &ann);
	assert_int_equal(pfs_node_lookup(in_b[1], "17", &in_b[2]), 0);
	in_b[3] = stage(in_b[2], "relay", &ann);
	in_b[4] = stage(in_b[3], "head:2", &ann);
	for (int i = 0; i < 4; i++)
		assert_int_equal(uses(in_a[i]), i == 2 ? 0 : 2); /* classes are not counted */
	assert_int_equal(uses(in_a[4]), 1); /* each begins to count when it comes */
	assert_int_equal(uses(in_b[4]), 1);

	/* Not those of another argument, of somebody else, or what begins at its beginning for each. */
	pfs_node_unref(stage(b, "flood:other", &ann));
	assert_int_equal(uses(in_b[0]), 2);
	in_c = stage(c, "flood", &bob);
	assert_int_equal(uses(in_c), 1);
	pfs_node_unref(in_c);
	pfs_node_unref(stage(a, "numbers", &ann));
	in_c = stage(b, "numbers", &ann);
	assert_int_equal(uses(in_c), 1);
	pfs_node_unref(in_c);

	pfs_run_end(a);
	for (int i = 0; i < 4; i++)
		assert_int_equal(uses(in_b[i]), i == 2 ? 0 : 1);
	for (int i = 0; i < 5; i++) {
		pfs_node_unref(in_a[i]);
		pfs_node_unref(in_b[i]);
	}
	pfs_node_unref(a);
	end(b);
	end(c);
	pfs_graph_free(graph);
}

/* A consumer counts for whoever made it; two equal names below one directory live beside each other unseen. */
static void test_counters_are_not_shared(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = run_of(graph, &ann), *b = run_of(graph, &ann), *one, *two, *source;

	(void)state;
	fake.count = 640;
	source = stage(a, "flood", &ann);
	one = stage(source, "count", &ann);
	pfs_node_unref(source);
	start(a);
	WAIT_WHILE(number_of(one, PFS_TEXT_STATS, "records") < 640);
	fake.count = 0; /* the source is at its end and begins anew for who comes */
	source = stage(b, "flood", &ann);
	two = stage(source, "count", &ann);
	assert_int_equal(uses(source), 2);
	assert_int_equal(number_of(two, PFS_TEXT_STATS, "records"), 0);
	pfs_node_unref(source);
	pfs_node_unref(one);
	pfs_node_unref(two);
	end(a);
	end(b);
	pfs_graph_free(graph);
}

static void test_what_is_shared_stays_as_it_is(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = run_of(graph, &ann), *b = run_of(graph, &ann);
	struct pfs_node *source = stage(a, "flood", &ann), *relayed = stage(source, "relay", &ann),
			*other, *others;
	struct pfs_writer *writer;
	struct pfs_node_info info;
	struct pfs_diag diag;

	(void)state;
	assert_int_equal(pfs_node_params_set(relayed, "note=1", 6, &ann, &diag), 0);
	other = stage(b, "flood", &ann);
	others = stage(other, "relay", &ann);
	assert_int_equal(uses(relayed), 1); /* it is no longer what its name says */
	assert_int_equal(pfs_node_params_set(others, "note=1", 6, &ann, &diag), 0);
	pfs_node_unref(others);
	assert_int_equal(pfs_node_remove(other, "relay", &ann, &diag), 0);
	others = stage(other, "relay,note=1", &ann);
	assert_int_equal(uses(relayed), 2);
	assert_int_equal(pfs_node_params_set(relayed, "note=2", 6, &ann, &diag), -EBUSY);
	assert_string_equal(diag.text, "2 equal pipelines share 'relay': it stays as it is");
	assert_int_equal(pfs_writer_open(relayed, &ann, &writer, &diag), -EBUSY);
	assert_string_equal(diag.text, "2 equal pipelines share 'relay': nothing can be written to it");
	pfs_node_info(relayed, &info);
	assert_false(info.writable);
	pfs_node_unref(others);
	pfs_node_unref(other);
	end(b);
	pfs_node_info(relayed, &info);
	assert_true(info.writable);
	assert_int_equal(pfs_writer_open(relayed, &ann, &writer, &diag), 0);

	/* Who writes would write for both. */
	b = run_of(graph, &ann);
	other = stage(b, "flood", &ann);
	assert_int_equal(uses(other), 1);
	pfs_node_unref(other);
	end(b);
	pfs_writer_close(writer);
	pfs_node_unref(relayed);
	pfs_node_unref(source);
	end(a);
	pfs_graph_free(graph);
}

/* --- the end ----------------------------------------------------------------------------------------- */

static void test_nothing_is_left(void **state)
{
	struct pfs_graph *graph =
		graph_of((struct pfs_graph_options){ .nodes_max = 40, .user_nodes = 30 });

	(void)state;
	fake.count = 64;
	for (int i = 0; i < 200; i++) {
		struct pfs_node *a = run_of(graph, &ann), *b = run_of(graph, &ann);
		struct pfs_node *one = stage(a, "flood", &ann), *two = stage(b, "flood", &ann);
		struct pfs_reader *reader;

		pfs_node_unref(stage(one, "copy", &ann));
		pfs_node_unref(stage(one, "head:3", &ann));
		pfs_node_unref(stage(one, "count", &ann));
		pfs_node_unref(stage(two, "copy", &ann));
		reader = open_reader(two, "txt", -1);
		start(b);
		pfs_reader_close(reader);
		pfs_node_unref(one);
		pfs_node_unref(two);
		end(i & 1 ? a : b);
		end(i & 1 ? b : a);
	}
	pfs_graph_free(graph);
}

static void test_readers_get_their_end(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *run = run_of(graph, &ann), *source = stage(run, "numbers", &ann), *node;
	struct pfs_reader_options options = { .policy = -1, .cred = ann };
	struct pfs_reader *reader = open_reader(source, NULL, -1), *none;
	struct pfs_diag diag;

	(void)state;
	pfs_run_end(run); /* it never started */
	pfs_run_end(run);
	assert_int_equal(read_wait(reader, &options, sizeof(options), false), 0);
	pfs_reader_close(reader);
	assert_int_equal(pfs_reader_open(source, &options, &none, &diag), -ENOENT);
	assert_int_equal(pfs_node_make(source, "relay", &ann, 0755, &node, &diag), -ENOENT);
	assert_int_equal(pfs_node_make(run, "numbers", &ann, 0755, &node, &diag), -ENOENT);
	assert_int_equal(pfs_node_lookup(source, "relay", &node), -ENOENT);
	pfs_node_unref(source);
	pfs_node_unref(run);
	pfs_graph_free(graph);
}

/* A graph goes with its runs in it. */
static void test_a_graph_ends_with_runs(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *run = run_of(graph, &ann), *source = stage(run, "flood", &ann);

	(void)state;
	pfs_node_unref(stage(source, "count", &ann));
	start(run);
	pfs_node_unref(source);
	pfs_node_unref(run);
	pfs_graph_shutdown(graph);
	pfs_graph_free(graph);
}

/* --- all at once --------------------------------------------------------------------------------------- */

static void *make_and_end(void *arg)
{
	struct pfs_graph *graph = arg;

	for (int i = 0; i < 300; i++) {
		struct pfs_node *run, *source, *relayed;
		struct pfs_reader_options options = { .policy = -1, .cred = ann };
		struct pfs_reader *reader;
		struct pfs_diag diag;

		CHECK(pfs_run_make(graph, &ann, &run) == 0);
		CHECK(pfs_node_make(run, "flood", &ann, 0755, &source, &diag) == 0);
		CHECK(pfs_node_make(source, "relay", &ann, 0755, &relayed, &diag) == 0);
		CHECK(pfs_reader_open(relayed, &options, &reader, &diag) == 0);
		CHECK(pfs_run_start(run, &diag) == 0);
		CHECK(uses(relayed) >= 1);
		pfs_reader_close(reader);
		pfs_node_unref(relayed);
		pfs_node_unref(source);
		end(run);
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	pthread_t threads[4];

	(void)state;
	fake.count = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_and_end, graph), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run_has_a_name_and_an_owner),
		cmocka_unit_test(test_sources_wait_for_the_start),
		cmocka_unit_test(test_what_mkdir_and_rmdir_say),
		cmocka_unit_test(test_equal_prefixes_are_one),
		cmocka_unit_test(test_counters_are_not_shared),
		cmocka_unit_test(test_what_is_shared_stays_as_it_is),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_readers_get_their_end),
		cmocka_unit_test(test_a_graph_ends_with_runs),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
