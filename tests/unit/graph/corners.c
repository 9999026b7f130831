/*
 * corners - what happens seldom: the order in which things go, no room, no memory, ends at several depths
 */
#include "help.h"

#include "fakes.h"

static void write_n(struct pfs_writer *writer, const void *bytes, size_t n)
{
	assert_int_equal(pfs_writer_write(writer, bytes, n), n);
}

/* --- lifetimes --------------------------------------------------------------------------------- */

/* What is queued points into rings of the nodes above, which are gone. */
static void test_a_reader_outlives_the_tree(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*relayed = make_path(graph, "accept/relay");
	struct pfs_reader *reader = open_reader(relayed, NULL, -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	write_n(writer, "kept", 4);
	assert_int_equal(pfs_node_remove(accept, "relay", &me, NULL), 0);
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept", &me, NULL), 0);
	pfs_writer_close(writer);
	pfs_node_unref(relayed);
	pfs_node_unref(accept);
	assert_int_equal(read_all(reader), 4);
	pfs_reader_close(reader);
	pfs_graph_free(graph);
}

/* The view is far behind when its directory goes: it still gets all that is queued for it. */
static void test_a_view_drains_a_removed_directory(void **state)
{
	enum { RECORDS = 24000 };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*count = make_path(graph, "accept/count");
	struct pfs_reader *view = open_reader(count, "txt", -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	for (int i = 0; i < RECORDS; i++)
		write_n(writer, "12345678", 8);
	assert_int_equal(pfs_node_remove(accept, "count", &me, NULL), 0);
	assert_int_equal(read_all(view), RECORDS * 8);
	pfs_reader_close(view);
	pfs_writer_close(writer);
	pfs_node_unref(count);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_classes_beyond_64_go(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *label_dir = make_path(graph, "accept/label"),
			*class_ = make_path(graph, "accept/label/150");

	(void)state;
	pfs_node_unref(class_);
	assert_int_equal(pfs_node_remove(label_dir, "150", &me, NULL), 0);
	pfs_node_unref(label_dir);
	pfs_graph_free(graph);
}

/* --- time ---------------------------------------------------------------------------------------- */

/* One thread runs a filter that takes its time for a long backlog; others change the tree meanwhile. */
static void *open_slow(void *arg)
{
	return open_reader(arg, NULL, -1);
}

static void test_nobody_waits_for_a_slow_filter(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, "accept/slow");
	struct pfs_writer *writer = open_writer(accept);
	struct pfs_reader *reader, *readers[20];
	struct timespec start, end;
	pthread_t thread;
	double took;
	void *got;

	(void)state;
	for (int i = 0; i < 3000; i++)
		write_n(writer, "x", 1);
	pthread_create(&thread, NULL, open_slow, dir);
	WAIT_WHILE(number_of(dir, PFS_TEXT_STATS, "in") < 1);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < 20; i++)
		readers[i] = open_reader(i % 2 ? dir : accept, NULL, -1);
	for (int i = 0; i < 20; i++)
		pfs_reader_close(readers[i]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	took = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	print_message("20 readers came and went in %.3f s, beside %llu records\n", took,
		      number_of(dir, PFS_TEXT_STATS, "in"));
	assert_true(took < 2);
	pthread_join(thread, &got);
	reader = got;
	pfs_reader_close(reader);
	pfs_writer_close(writer);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- room ---------------------------------------------------------------------------------------- */

/* A write does not wait where poll said that it would not: the ends that are owed need room as well. */
static void test_ready_means_room(void **state)
{
	static uint8_t block[4096];
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = (size_t)4 << 20 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 1);
	struct pfs_writer *writer = open_writer(accept), *others[64];

	(void)state;
	for (int i = 0; i < 64; i++)
		others[i] = open_writer(accept);
	while (pfs_writer_write(writer, block, 8) > 0)
		;
	for (int i = 0; i < 64; i++)
		pfs_writer_close(others[i]);
	for (int i = 0; i < 50; i++)
		assert_int_equal(read_some(reader, block, sizeof(block), true), 8);
	for (size_t n = sizeof(block); n >= 8; n -= 8)
		if (pfs_writer_ready(writer, n))
			write_n(writer, block, n);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_a_record_that_never_fits_is_lost(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, "accept/huge");
	struct pfs_reader *reader = open_reader(dir, NULL, -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	write_n(writer, "one", 3);
	write_n(writer, "two", 3);
	pfs_writer_close(writer);
	assert_int_equal(read_all(reader), 0);
	assert_int_equal(number_of(dir, PFS_TEXT_STATS, "lost.oversize"), 2);
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_without_memory_for_its_ring_a_filter_loses(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){
		.ring_size = (size_t)4 << 20, .memory_max = ((size_t)4 << 20) + (3 << 19) });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, "accept/huge");
	struct pfs_reader *reader = open_reader(dir, NULL, -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	write_n(writer, "one", 3);
	pfs_writer_close(writer);
	assert_int_equal(read_all(reader), 0);
	assert_int_equal(number_of(dir, PFS_TEXT_STATS, "lost.no-memory"), 1);
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* A ring is charged as large as it is, and what is charged is refunded. */
static void test_memory_is_counted_once(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){
		.ring_size = (size_t)5 << 20, .memory_max = (size_t)6 << 20 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_writer *writer;

	(void)state;
	assert_int_equal(pfs_writer_open(accept, &me, &writer, NULL), -ENOMEM);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
	graph = graph_of((struct pfs_graph_options){ .ring_size = (size_t)5 << 20,
						     .memory_max = (size_t)9 << 20 });
	for (int i = 0; i < 10; i++) {
		accept = make_path(graph, "accept");
		writer = open_writer(accept);
		assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept", &me, NULL), 0);
		pfs_writer_close(writer);
		pfs_node_unref(accept);
	}
	pfs_graph_free(graph);
}

/* What the last reader holds is memory of the first filter's: that one must hear of it. */
static void test_room_is_told_all_the_way_up(void **state)
{
	enum { RECORDS = 20000 };
	static uint8_t block[128];
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*dir = make_path(graph, "accept/copy/relay");
	struct pfs_reader *reader = open_reader(dir, NULL, -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	for (int i = 0; i < RECORDS; i++)
		write_n(writer, block, sizeof(block));
	pfs_writer_close(writer);
	assert_int_equal(read_all(reader), RECORDS * sizeof(block));
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Ends fill a queue as records do: taking them makes room. */
static void test_many_empty_generations(void **state)
{
	enum { GENERATIONS = 20000 };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, -1);
	struct pfs_writer *writer;
	char buf[16];
	int ends = 0;

	(void)state;
	for (int i = 0; i < GENERATIONS; i++)
		pfs_writer_close(open_writer(accept));
	writer = open_writer(accept);
	while (read_some(reader, buf, sizeof(buf), false) == 0)
		ends++;
	assert_int_equal(ends, GENERATIONS);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- ends ----------------------------------------------------------------------------------------- */

static void test_the_last_writer_ends_it_for_all(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*count = make_path(graph, "accept/count");
	struct pfs_reader *above = open_reader(accept, NULL, -1),
			  *below = open_reader(count, NULL, -1);
	struct pfs_writer *high, *low;
	char buf[16];

	(void)state;
	for (int i = 0; i < 3; i++) {
		high = open_writer(accept);
		low = open_writer(count);
		write_n(high, "high", 4);
		write_n(low, "lo", 2);
		pfs_writer_close(high);
		assert_int_equal(read_some(above, buf, sizeof(buf), false), 4);
		assert_int_equal(read_some(above, buf, sizeof(buf), false), -EAGAIN);
		pfs_writer_close(low);
		assert_int_equal(read_all(above), 0);
		assert_int_equal(read_all(below), 6);
		high = open_writer(accept);
		assert_int_equal(read_some(above, buf, sizeof(buf), false), -EAGAIN);
		assert_int_equal(read_some(below, buf, sizeof(buf), false), -EAGAIN);
		write_n(high, "more", 4);
		pfs_writer_close(high);
		assert_int_equal(read_all(above), 4);
		assert_int_equal(read_all(below), 4);
	}
	pfs_reader_close(above);
	pfs_reader_close(below);
	pfs_node_unref(count);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Both ends of a generation have passed when somebody waits for the next one. */
static void test_who_waits_after_two_ends_gets_the_next(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, "accept/label");
	struct pfs_reader *reader = open_reader(dir, NULL, -1);
	struct pfs_writer *high = open_writer(accept), *low = open_writer(dir);
	struct signal s;

	(void)state;
	signal_init(&s);
	pfs_writer_close(high);
	pfs_writer_close(low);
	high = open_writer(accept);
	assert_int_equal(read_all(reader), 0);
	assert_true(pfs_reader_park(reader, &s.waiter));
	write_n(high, "more", 4);
	assert_true(signal_wait(&s));
	pfs_writer_close(high);
	assert_int_equal(read_all(reader), 4);
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* The end came early; who reads on is told when the generation is really over, and so is who came since. */
static void test_after_an_early_end(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, "accept/head:1");
	struct pfs_reader *reader = open_reader(dir, NULL, -1), *late;
	struct pfs_writer *writer = open_writer(accept);
	struct signal s;

	(void)state;
	signal_init(&s);
	write_n(writer, "one", 3);
	write_n(writer, "two", 3);
	assert_int_equal(read_all(reader), 3);
	assert_true(pfs_reader_park(reader, &s.waiter));
	late = open_reader(dir, NULL, -1);
	pfs_writer_close(writer);
	assert_true(signal_wait(&s));
	assert_int_equal(read_all(reader), 0);
	assert_int_equal(read_all(late), 0);
	pfs_reader_close(late);
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

#define QUEUE (16u << 10) /* refs: PFS_QUEUE_RELIABLE, the graph's own matter */

static struct pfs_reader *parked_at_bundled(struct pfs_graph *graph, unsigned count, struct signal *s)
{
	struct pfs_node *dir = make_path(graph, "bundled:1");
	struct pfs_reader *reader;

	fake.count = count;
	fake.pushed = fake.step = 0;
	reader = open_reader(dir, NULL, -1);
	signal_init(s);
	assert_true(pfs_reader_park(reader, &s->waiter));
	pfs_node_unref(dir);
	fake.step = 1;
	return reader;
}

/* A source that has more to hand on wakes those who sleep once for all of it; what is there can be read before. */
static void test_sleepers_wake_when_the_source_says_so(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct signal s;
	struct pfs_reader *reader = parked_at_bundled(graph, 640, &s);
	uint8_t all[640 * 8];

	(void)state;
	WAIT_WHILE(fake.pushed < 640);
	assert_false(s.woken);
	fake.step = 2;
	assert_true(signal_wait(&s));
	for (size_t got = 0; got < sizeof(all);) {
		ssize_t n = read_some(reader, all + got, sizeof(all) - got, false);

		assert_true(n > 0);
		got += (size_t)n;
	}
	pfs_reader_close(reader);
	pfs_graph_free(graph);
}

/* ... but a source that has to wait for room tells them first. */
static void test_sleepers_wake_when_there_is_no_room(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	unsigned count = 2 * QUEUE;
	struct signal s;
	struct pfs_reader *reader = parked_at_bundled(graph, count, &s);
	uint8_t some[4096];
	size_t got = 0;

	(void)state;
	assert_true(signal_wait(&s));
	assert_true(fake.pushed < count);
	/* As much as has to go for the rest to fit; of the rest it is told nothing yet. */
	while (got < (size_t)(count - QUEUE) * 8) {
		ssize_t n = read_wait(reader, some, sizeof(some), false);

		assert_true(n > 0);
		got += (size_t)n;
	}
	WAIT_WHILE(fake.pushed < count);
	assert_int_equal(fake.pushed, count);
	fake.step = 2;
	while (got < (size_t)count * 8) {
		ssize_t n = read_wait(reader, some, sizeof(some), false);

		assert_true(n > 0);
		got += (size_t)n;
	}
	pfs_reader_close(reader);
	pfs_graph_free(graph);
}

struct closing {
	struct pfs_node *node;
	pthread_barrier_t *both;
};

static void *open_and_close(void *arg)
{
	struct closing *c = arg;

	for (int i = 0; i < 2000; i++) {
		struct pfs_writer *writer = open_writer(c->node);

		pthread_barrier_wait(c->both);
		pfs_writer_close(writer);
		pthread_barrier_wait(c->both);
		pthread_barrier_wait(c->both);
	}
	return NULL;
}

/* Two last writers at once: one of them ends it. */
static void test_writers_close_at_once(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*count = make_path(graph, "accept/count");
	struct pfs_reader *reader = open_reader(count, NULL, -1);
	pthread_barrier_t both;
	struct closing high = { accept, &both }, low = { count, &both };
	pthread_t a, b;

	(void)state;
	pthread_barrier_init(&both, NULL, 3);
	pthread_create(&a, NULL, open_and_close, &high);
	pthread_create(&b, NULL, open_and_close, &low);
	for (int i = 0; i < 2000; i++) {
		pthread_barrier_wait(&both);
		pthread_barrier_wait(&both);
		assert_int_equal(read_all(reader), 0);
		pthread_barrier_wait(&both);
	}
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	pthread_barrier_destroy(&both);
	pfs_reader_close(reader);
	pfs_node_unref(count);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- sources with a thread ------------------------------------------------------------------------- */

/* Whoever opens when the end has gone out but run() has not returned gets a run of its own. */
static void test_a_source_that_is_leaving_starts_again(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *dir = make_path(graph, "numbers");
	struct pfs_reader *reader;

	(void)state;
	fake.count = 100;
	fake.linger = 20000;
	for (int i = 0; i < 5; i++) {
		reader = open_reader(dir, NULL, -1);
		assert_int_equal(read_all(reader), 800);
		struct pfs_reader *second = open_reader(dir, NULL, -1);

		assert_int_equal(read_all(second), 800);
		assert_int_equal(read_all(reader), 800);
		pfs_reader_close(second);
		pfs_reader_close(reader);
	}
	pfs_node_unref(dir);
	pfs_graph_free(graph);
}

/* Runs beside a reader that stays use one ring. */
static void test_runs_do_not_pile_up_rings(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){
		.ring_size = (size_t)4 << 20, .memory_max = (size_t)10 << 20 });
	struct pfs_node *dir = make_path(graph, "numbers");
	struct pfs_reader *stays = open_reader(dir, NULL, -1), *other;

	(void)state;
	fake.count = 100;
	fake.linger = 0;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(read_all(stays), 800);
		other = open_reader(dir, NULL, -1);
		assert_int_equal(read_all(other), 800);
		pfs_reader_close(other);
	}
	pfs_reader_close(stays);
	pfs_node_unref(dir);
	pfs_graph_free(graph);
}

/* Until the source waits for room, or has ended. */
static void wait_until_it_rests(void)
{
	unsigned before;

	do {
		before = fake.pushed;
		usleep(20000);
	} while (before != fake.pushed);
}

/* Closed while the source waits for room. */
static void test_a_feed_waits_and_is_stopped(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *dir = make_path(graph, "numbers");
	struct pfs_reader *reader, *other;

	(void)state;
	fake.count = 300000;
	fake.linger = 0;
	for (int i = 0; i < 10; i++) {
		reader = open_reader(dir, NULL, -1);
		other = open_reader(dir, NULL, -1);
		wait_until_it_rests();
		pfs_reader_close(reader);
		/* It came when the first queue (16,384 records) may have been filled already. */
		if (i % 2)
			assert_true(read_all(other) >= 8 * (300000 - 16384));
		pfs_reader_close(other);
	}
	pfs_node_unref(dir);
	pfs_graph_free(graph);
}

static void test_a_reliable_view_of_a_lossy_source(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *dir = make_path(graph, "flood");
	struct pfs_reader *reader;

	(void)state;
	fake.count = 600000;
	fake.linger = 0;
	reader = open_reader(dir, "txt", 1);
	wait_until_it_rests();
	assert_true(read_all(reader) > 600000 * 8);
	assert_int_equal(number_of(dir, PFS_TEXT_READERS, "lost"), 0);
	assert_int_equal(number_of(dir, PFS_TEXT_READERS, "delivered"), 600000);
	pfs_reader_close(reader);
	pfs_node_unref(dir);
	pfs_graph_free(graph);
}

/* --- counting ---------------------------------------------------------------------------------------- */

/* delivered + lost + lag is what was written since the open, ends of streams or not. */
static void test_every_record_is_accounted_for(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 0);
	struct pfs_writer *stays =
		open_writer(accept); /* one generation: the next would wait for the reader */
	unsigned long long sent = 0, seed = 1, delivered, lost, lag; /* seed: Knuth's MMIX generator */
	char buf[64];

	(void)state;
	for (int i = 0; i < 60000; i++) {
		struct pfs_writer *writer = open_writer(accept);

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		for (unsigned n = seed >> 33 & 3; n; n--, sent++)
			write_n(writer, "record", 6);
		pfs_writer_close(writer);
		if (seed >> 40 & 1)
			(void)read_some(reader, buf, 1 + (seed >> 50 & 15), false);
		if (i % 1000)
			continue;
		delivered = number_of(accept, PFS_TEXT_READERS, "delivered");
		lost = number_of(accept, PFS_TEXT_READERS, "lost");
		lag = number_of(accept, PFS_TEXT_READERS, "lag");
		assert_int_equal(delivered + lost + lag, sent);
	}
	assert_true(number_of(accept, PFS_TEXT_READERS, "lost") > 0);
	pfs_writer_close(stays);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- the end of all ------------------------------------------------------------------------------------ */

static void *shut_down(void *arg)
{
	usleep(20000);
	pfs_graph_shutdown(arg);
	return NULL;
}

static void test_shutdown_wakes_everybody(void **state)
{
	static uint8_t block[65536];
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *other = make_path(graph, "accept:2");
	struct pfs_reader *reader = open_reader(accept, "txt", -1),
			  *holds = open_reader(other, NULL, 1);
	struct pfs_writer *writer = open_writer(other), *idle = open_writer(accept);
	struct signal s;
	pthread_t thread;

	(void)state;
	signal_init(&s);
	while (pfs_writer_write(writer, block, sizeof(block)) > 0)
		;
	pthread_create(&thread, NULL, shut_down, graph);
	assert_true(pfs_writer_park(writer, &s.waiter, sizeof(block)));
	assert_int_equal(read_all(reader), 0);
	assert_true(signal_wait(&s));
	assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), -EPIPE);
	pthread_join(thread, NULL);
	pfs_writer_close(idle);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_reader_close(holds);
	pfs_node_unref(accept);
	pfs_node_unref(other);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reader_outlives_the_tree),
		cmocka_unit_test(test_a_view_drains_a_removed_directory),
		cmocka_unit_test(test_classes_beyond_64_go),
		cmocka_unit_test(test_nobody_waits_for_a_slow_filter),
		cmocka_unit_test(test_ready_means_room),
		cmocka_unit_test(test_a_record_that_never_fits_is_lost),
		cmocka_unit_test(test_without_memory_for_its_ring_a_filter_loses),
		cmocka_unit_test(test_memory_is_counted_once),
		cmocka_unit_test(test_room_is_told_all_the_way_up),
		cmocka_unit_test(test_many_empty_generations),
		cmocka_unit_test(test_the_last_writer_ends_it_for_all),
		cmocka_unit_test(test_who_waits_after_two_ends_gets_the_next),
		cmocka_unit_test(test_after_an_early_end),
		cmocka_unit_test(test_sleepers_wake_when_the_source_says_so),
		cmocka_unit_test(test_sleepers_wake_when_there_is_no_room),
		cmocka_unit_test(test_writers_close_at_once),
		cmocka_unit_test(test_a_source_that_is_leaving_starts_again),
		cmocka_unit_test(test_runs_do_not_pile_up_rings),
		cmocka_unit_test(test_a_feed_waits_and_is_stopped),
		cmocka_unit_test(test_a_reliable_view_of_a_lossy_source),
		cmocka_unit_test(test_every_record_is_accounted_for),
		cmocka_unit_test(test_shutdown_wakes_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
