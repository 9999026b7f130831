/*
 * move - mv: what is moved goes on, what waits for its readers comes first, and nothing twice
 */
#include "help.h"

#include "base/bytes.h"
#include "fakes.h"

/* --- numbers ----------------------------------------------------------------------------------- */

static void write_numbers(struct pfs_writer *writer, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		uint8_t record[8];

		le64_store(record, i);
		assert_int_equal(pfs_writer_write(writer, record, sizeof(record)), sizeof(record));
	}
}

/* The next ones that the reader gets are those. */
static void expect_numbers(struct pfs_reader *reader, uint64_t from, uint64_t to)
{
	uint8_t record[8];

	for (uint64_t i = from; i < to; i++) {
		assert_int_equal(read_wait(reader, record, sizeof(record), true), sizeof(record));
		assert_int_equal(le64_load(record), i);
	}
}

/* What the reader gets rises, and does not reach `end`. */
static void expect_rising(struct pfs_reader *reader, uint64_t end)
{
	uint8_t record[8];
	int64_t last = -1;

	while (read_some(reader, record, sizeof(record), true) > 0) {
		assert_true((int64_t)le64_load(record) > last);
		last = (int64_t)le64_load(record);
	}
	assert_int_equal(last, end - 1);
}

static void expect_nothing(struct pfs_reader *reader, ssize_t what)
{
	char buf[16];

	assert_int_equal(read_some(reader, buf, sizeof(buf), true), what);
}

static int try_move(struct pfs_node *dir, const char *name, struct pfs_node *to,
		    const char *new_name, struct pfs_diag *diag)
{
	return pfs_node_move(dir, name, to, new_name, &me, diag);
}

static void move(struct pfs_node *dir, const char *name, struct pfs_node *to)
{
	struct pfs_diag diag;
	int r = try_move(dir, name, to, name, &diag);

	if (r < 0)
		print_error("mv %s: %s\n", name, diag.text);
	assert_int_equal(r, 0);
}

static void expect_path(struct pfs_node *node, const char *want)
{
	PFS_BUF struct pfs_buf path = { 0 };

	pfs_node_path(node, &path);
	assert_string_equal(path.data, want);
}

/* --- within a source ----------------------------------------------------------------------------- */

static void test_inline_filters_go_on(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*count = make_path(graph, "accept/count"),
			*label_dir = make_path(graph, "accept/count/label"),
			*below_it = make_path(graph, "accept/count/label/head:1000000");
	struct pfs_reader *reader = open_reader(below_it, NULL, -1),
			  *other = open_reader(accept, NULL, -1);
	struct pfs_writer *writer = open_writer(accept);

	(void)state;
	write_numbers(writer, 0, 100);
	move(count, "label", accept);
	expect_path(below_it, "/accept/label/head:1000000");
	write_numbers(writer, 100, 200);
	expect_numbers(reader, 0, 200);
	expect_nothing(reader, -EAGAIN);
	expect_numbers(other, 0, 200);
	assert_int_equal(number_of(label_dir, PFS_TEXT_STATS, "in"), 200);
	assert_int_equal(number_of(count, PFS_TEXT_STATS, "in"), 200); /* a consumer by itself */
	move(accept, "label", count);
	write_numbers(writer, 200, 300);
	pfs_writer_close(writer);
	expect_numbers(reader, 200, 300);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_reader_close(other);
	pfs_node_unref(below_it);
	pfs_node_unref(label_dir);
	pfs_node_unref(count);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Many moves between places with tasks of their own, with a reader that is behind all the time. */
static void test_pulling_filters_keep_what_waits(void **state)
{
	static const char *const places[] = { "accept", "accept/relay", "accept/copy",
					      "accept/copy/relay", "accept/relay/count" };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *place[ARRAY_SIZE(places)], *mover, *leaf;
	struct pfs_reader *reader, *view, *untouched;
	struct pfs_writer *writer;
	uint64_t next = 0;
	unsigned at = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		place[i] = make_path(graph, places[i]);
	mover = make_path(graph, "accept/slow");
	leaf = make_path(graph, "accept/slow/copy/head:1000000");
	pfs_node_unref(mover);
	mover = leaf;
	reader = open_reader(leaf, NULL, -1);
	view = open_reader(leaf, "txt", -1);
	untouched = open_reader(place[1], NULL, -1);
	writer = open_writer(place[0]);
	for (unsigned round = 0; round < 20; round++) {
		unsigned to = (at + 1 + round % 4) % ARRAY_SIZE(places);

		write_numbers(writer, next, next + 20);
		move(place[at], "slow", place[to]);
		at = to;
		write_numbers(writer, next + 20, next + 30);
		next += 30;
		if (round % 3 == 0)
			expect_numbers(untouched,
				       (uint64_t)number_of(place[1], PFS_TEXT_READERS, "delivered"),
				       next);
	}
	pfs_writer_close(writer);
	expect_numbers(reader, 0, next);
	assert_int_equal(read_all(reader), 0);
	assert_true(read_all(view) > (ssize_t)next * 8);
	expect_numbers(untouched, (uint64_t)number_of(place[1], PFS_TEXT_READERS, "delivered"), next);
	pfs_reader_close(untouched);
	pfs_reader_close(view);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		pfs_node_unref(place[i]);
	pfs_graph_free(graph);
}

/* --- what is on the way ------------------------------------------------------------------------- */

struct mover {
	pthread_t thread;
	struct pfs_node *dir, *to;
	const char *name;
	int r;
	_Atomic bool done;
	struct pfs_diag diag;
};

static void *move_it(void *arg)
{
	struct mover *m = arg;

	m->r = try_move(m->dir, m->name, m->to, m->name, &m->diag);
	m->done = true;
	return NULL;
}

/* As much as goes in; how many. */
static uint64_t fill(struct pfs_writer *writer, uint64_t from, uint64_t max)
{
	uint8_t record[8];
	uint64_t n = from;

	for (; n < max; n++) {
		le64_store(record, n);
		if (pfs_writer_write(writer, record, sizeof(record)) < 0)
			break;
	}
	return n;
}

static const struct {
	const char *from, *name, *to, *rest;
} on_the_way[] = {
	{ "accept/copy/relay", "count", "accept", "" },
	{ "accept/copy/relay", "count", "accept/relay", "/copy/count" },
	{ "accept/copy", "relay", "accept", "/count" },
	{ "accept", "relay", "accept/copy/relay", "/count" },
	{ "accept/relay", "copy", "accept/copy", "/relay" },
	{ "accept/copy/relay", "count", "accept:other", "" },
	{ "accept/copy/relay", "copy", "accept:other/copy", "/count" },
	{ "accept", "count", "accept:other", "/label" },
	{ "accept", "copy", "accept:other/count", "/count" },
};

/* Full up to the source: mv waits until its reader has made room for all of it, and that comes first. */
static void test_what_is_on_the_way_comes_first(void **state)
{
	enum { BEFORE = 20000, AFTER = 10000 };

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(on_the_way); c++) {
		struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
		PFS_BUF struct pfs_buf path = { 0 };
		struct pfs_node *top = make_path(graph, "accept"), *leaf, *other;
		bool away = strncmp(on_the_way[c].to, "accept:", 7) == 0;
		struct pfs_writer *writer = open_writer(top);
		struct pfs_reader *reader;
		struct mover m = { .name = on_the_way[c].name };
		uint64_t sent, next = 0;

		pfs_buf_printf(&path, "%s/%s%s", on_the_way[c].from, m.name, on_the_way[c].rest);
		m.dir = make_path(graph, on_the_way[c].from);
		m.to = make_path(graph, on_the_way[c].to);
		leaf = make_path(graph, path.data);
		reader = open_reader(leaf, NULL, 1);
		sent = fill(writer, 0, BEFORE);
		pthread_create(&m.thread, NULL, move_it, &m);
		while (!m.done || next < sent) {
			uint8_t some[8 * 64];
			ssize_t n = read_some(reader, some, sizeof(some), false);

			for (ssize_t at = 0; at < n; at += 8)
				assert_int_equal(le64_load(some + at), next++);
		}
		pthread_join(m.thread, NULL);
		if (m.r < 0)
			print_error("%s: %s\n", path.data, m.diag.text);
		assert_int_equal(m.r, 0);
		if (away) {
			pfs_writer_close(writer);
			other = make_path(graph, "accept:other");
			writer = open_writer(other);
			pfs_node_unref(other);
		}
		for (uint64_t to = sent + AFTER; sent < to;) {
			uint64_t before = sent;

			sent = fill(writer, sent, pfs_min64(sent + 100, to));
			expect_numbers(reader, before, sent);
		}
		pfs_writer_close(writer);
		assert_int_equal(read_all(reader), 0);
		pfs_reader_close(reader);
		pfs_node_unref(leaf);
		pfs_node_unref(m.to);
		pfs_node_unref(m.dir);
		pfs_node_unref(top);
		pfs_graph_free(graph);
	}
}

/* Its own reader holds up what is on the way: refused, and nothing has changed. */
static void test_held_up_for_long_is_refused(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*copy_dir = make_path(graph, "accept/copy"),
			*leaf = make_path(graph, "accept/copy/relay/count");
	struct pfs_reader *reader = open_reader(leaf, NULL, 1);
	struct pfs_writer *writer = open_writer(accept);
	struct pfs_diag diag;
	uint64_t sent;

	(void)state;
	sent = fill(writer, 0, 60000);
	assert_int_equal(try_move(copy_dir, "relay", accept, "relay", &diag), -EBUSY);
	assert_non_null(strstr(diag.text, "copy"));
	expect_path(leaf, "/accept/copy/relay/count");
	expect_numbers(reader, 0, sent);
	expect_nothing(reader, -EAGAIN);
	move(copy_dir, "relay", accept);
	write_numbers(writer, sent, sent + 10);
	expect_numbers(reader, sent, sent + 10);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(copy_dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Where nothing is between the source and it, it goes whether its reader reads or not: what waits goes along. */
static void test_what_waits_goes_along(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *place[3] = { accept };
	struct pfs_node *leaf = make_path(graph, "accept/copy/count");
	struct pfs_reader *reader = open_reader(leaf, NULL, 1);
	struct pfs_writer *writer = open_writer(accept);
	uint64_t sent = 0;
	unsigned at = 0;

	(void)state;
	place[1] = make_path(graph, "accept/head:1000000");
	place[2] = make_path(graph, "accept/head:1000001/label");
	for (unsigned i = 0; i < 20; i++) {
		unsigned to = (at + 1 + i % 2) % 3;

		sent = fill(writer, sent, sent + 5000);
		move(place[at], "copy", place[to]);
		at = to;
	}
	expect_numbers(reader, 0, sent);
	expect_nothing(reader, -EAGAIN);
	pfs_writer_close(writer);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	for (unsigned i = 0; i < 3; i++)
		pfs_node_unref(place[i]);
	pfs_graph_free(graph);
}

/* A filter that could not be made in the circle that a join closes cannot be moved into it either. */
static void test_a_circle_is_refused(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = make_path(graph, "accept:a"), *b = make_path(graph, "accept:b"),
			*mover = make_path(graph, "accept:a/relay"), *sink;
	struct pfs_diag diag;
	int r = pfs_node_make(mover, "into:accept%3ab", &me, 0755, &sink, &diag);

	(void)state;
	if (r < 0)
		print_error("%s\n", diag.text);
	assert_int_equal(r, 0);
	pfs_node_unref(sink);
	assert_int_equal(try_move(a, "relay", b, "relay", &diag), -ELOOP);
	assert_non_null(strstr(diag.text, "circle"));
	pfs_node_unref(mover);
	pfs_node_unref(b);
	pfs_node_unref(a);
	pfs_graph_free(graph);
}

/* --- between sources ------------------------------------------------------------------------------ */

/* What waits for the readers lies in rings of a source that is gone by then. */
static void test_what_waits_outlives_its_source(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){
		.ring_size = (size_t)4 << 20, .memory_max = (size_t)64 << 20 });
	struct pfs_node *from = make_path(graph, "accept:from/copy"),
			*to = make_path(graph, "accept:to"), *top = make_path(graph, "accept:from"),
			*leaf = make_path(graph, "accept:from/copy/relay/copy/label"), *other;
	struct pfs_reader *reader = open_reader(leaf, NULL, -1),
			  *lossy = open_reader(leaf, NULL, 0), *third;
	struct pfs_writer *writer = open_writer(top), *flood_writer;
	static uint8_t block[65536];

	(void)state;
	write_numbers(writer, 0, 2000);
	move(from, "relay", to);
	expect_path(leaf, "/accept:to/relay/copy/label");
	pfs_writer_close(writer);
	assert_int_equal(pfs_node_remove(top, "copy", &me, NULL), 0);
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept:from", &me, NULL), 0);
	pfs_node_unref(from);
	pfs_node_unref(top);
	/* Rings come and go: one would take the place of what is needed still. */
	for (int i = 0; i < 10; i++) {
		other = make_path(graph, "accept:other");
		third = open_reader(other, NULL, -1);
		flood_writer = open_writer(other);
		for (int n = 0; n < 100; n++) {
			assert_int_equal(pfs_writer_write(flood_writer, block, sizeof(block)),
					 sizeof(block));
			assert_int_equal(read_some(third, block, sizeof(block), true), sizeof(block));
		}
		pfs_writer_close(flood_writer);
		pfs_reader_close(third);
		assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept:other", &me, NULL), 0);
		pfs_node_unref(other);
	}
	writer = open_writer(to);
	write_numbers(writer, 2000, 2100);
	expect_numbers(reader, 0, 2100);
	expect_rising(lossy, 2100);
	pfs_writer_close(writer);
	expect_nothing(reader, 0);
	pfs_reader_close(lossy);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(to);
	WAIT_WHILE(pfs_graph_memory(graph));
	assert_int_equal(pfs_graph_memory(graph), 0);
	pfs_graph_free(graph);
}

/*
 * Back and forth, while the readers read by and by: each of its own numbers,
 * in order, and the end of each generation.
 */
static void test_back_and_forth(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = (size_t)4 << 20 });
	struct pfs_node *top[2] = { make_path(graph, "accept:a"), make_path(graph, "accept:b") };
	struct pfs_node *place[2] = { make_path(graph, "accept:a/relay"),
				      make_path(graph, "accept:b/copy") };
	struct pfs_node *leaf = make_path(graph, "accept:a/relay/copy/relay");
	struct pfs_reader *reader = open_reader(leaf, NULL, -1), *stays[2];
	struct pfs_writer *writer[2];
	uint64_t next[2] = { 0, 0 }, total[2] = { 0, 0 }, got = 0, sent = 0;
	uint8_t record[8];

	(void)state;
	for (int i = 0; i < 2; i++) {
		stays[i] = open_reader(top[i], NULL, -1);
		writer[i] = open_writer(top[i]);
	}
	for (unsigned round = 0; round < 200; round++) {
		unsigned at = round % 2;

		write_numbers(writer[0], total[0], total[0] + 7);
		write_numbers(writer[1], total[1], total[1] + 7);
		total[0] += 7;
		total[1] += 7;
		sent += 7;
		move(place[at], "copy", place[!at]);
		for (unsigned n = round % 13; n > 0 && got < sent; n--, got++)
			assert_int_equal(read_wait(reader, record, sizeof(record), true), 8);
	}
	while (got < sent) {
		assert_int_equal(read_wait(reader, record, sizeof(record), true), 8);
		got++;
	}
	expect_nothing(reader, -EAGAIN);
	for (int i = 0; i < 2; i++) {
		expect_numbers(stays[i], next[i], total[i]);
		pfs_writer_close(writer[i]);
		expect_nothing(stays[i], 0);
	}
	expect_nothing(reader, 0); /* the end of the place where it is */
	for (int i = 0; i < 2; i++) {
		pfs_reader_close(stays[i]);
		pfs_node_unref(place[i]);
		pfs_node_unref(top[i]);
	}
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_graph_free(graph);
}

/* Ends are told apart: one source has had many generations, the other few. */
static void test_ends_of_the_new_place_come(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *old = make_path(graph, "accept:old"),
			*young = make_path(graph, "accept:young"),
			*leaf = make_path(graph, "accept:old/relay/count");
	struct pfs_reader *reader = open_reader(leaf, NULL, -1);
	struct pfs_writer *writer;

	(void)state;
	for (uint64_t i = 0; i < 50; i++) {
		writer = open_writer(old);
		write_numbers(writer, i, i + 1);
		pfs_writer_close(writer);
		expect_numbers(reader, i, i + 1);
		expect_nothing(reader, 0);
	}
	move(old, "relay", young);
	for (uint64_t i = 0; i < 5; i++) {
		writer = open_writer(young);
		write_numbers(writer, i, i + 1);
		pfs_writer_close(writer);
		expect_numbers(reader, i, i + 1);
		expect_nothing(reader, 0);
	}
	move(young, "relay", old);
	writer = open_writer(old);
	write_numbers(writer, 7, 8);
	pfs_writer_close(writer);
	expect_numbers(reader, 7, 8);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(young);
	pfs_node_unref(old);
	pfs_graph_free(graph);
}

/* Writers go along: what they write comes out where they are, and the generation that they left is over. */
static void test_writers_go_along(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *from = make_path(graph, "accept:from"), *to = make_path(graph, "accept:to"),
			*leaf = make_path(graph, "accept:from/relay/count");
	struct pfs_reader *above, *reader = open_reader(leaf, NULL, -1);
	struct pfs_writer *writer;

	(void)state;
	pfs_writer_close(open_writer(from)); /* the source has had a writer */
	expect_nothing(reader, 0);
	above = open_reader(from, NULL, -1);
	writer = open_writer(leaf);
	write_numbers(writer, 0, 10);
	move(from, "relay", to);
	write_numbers(writer, 10, 20);
	expect_numbers(reader, 0, 20);
	expect_nothing(above, 0);
	expect_nothing(reader, -EAGAIN);
	pfs_writer_close(writer);
	expect_nothing(reader, 0);
	pfs_reader_close(above);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(to);
	pfs_node_unref(from);
	pfs_graph_free(graph);
}

struct parked {
	struct pfs_writer *writer;
	pthread_t thread;
};

static void *write_until_done(void *arg)
{
	struct parked *p = arg;
	static uint8_t block[65536];
	struct signal s;

	signal_init(&s);
	for (int i = 0; i < 300;) {
		ssize_t n = pfs_writer_write(p->writer, block, sizeof(block));

		if (n > 0)
			i++;
		else if (pfs_writer_park(p->writer, &s.waiter, sizeof(block)))
			CHECK(signal_wait(&s));
	}
	return NULL;
}

/* A writer that waits for room is woken where it is then. */
static void test_a_parked_writer_goes_along(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = (size_t)4 << 20 });
	struct pfs_node *a = make_path(graph, "accept:a"), *b = make_path(graph, "accept:b"),
			*leaf = make_path(graph, "accept:a/count");
	struct pfs_reader *reader = open_reader(leaf, NULL, 1);
	struct parked p = { .writer = open_writer(leaf) };
	static uint8_t block[65536];
	ssize_t n, got = 0;

	(void)state;
	pthread_create(&p.thread, NULL, write_until_done, &p);
	for (int i = 0; got < 300 * 65536; i++) {
		if (i < 40)
			move(i % 2 ? b : a, "count", i % 2 ? a : b);
		n = read_wait(reader, block, sizeof(block), true);
		assert_true(n > 0);
		got += n;
	}
	pthread_join(p.thread, NULL);
	pfs_writer_close(p.writer);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(b);
	pfs_node_unref(a);
	pfs_graph_free(graph);
}

/* What cannot wait gives, what can wait takes: a view of a moved directory goes on. */
static void test_sources_start_and_stop(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *source = make_path(graph, "numbers"),
			*leaf = make_path(graph, "accept/count");
	struct pfs_reader *reader = open_reader(leaf, NULL, 1);
	uint8_t record[8];
	uint64_t n = 0;

	(void)state;
	fake.count = 5000;
	fake.linger = 0;
	assert_int_equal(number_of(source, PFS_TEXT_STATS, "active"), 0);
	move(accept, "count", source);
	assert_int_equal(number_of(source, PFS_TEXT_STATS, "active"), 1);
	while (read_wait(reader, record, sizeof(record), true) > 0)
		assert_int_equal(le64_load(record), n++);
	assert_int_equal(n, 5000);
	move(source, "count", accept);
	assert_int_equal(number_of(source, PFS_TEXT_STATS, "active"), 0);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(source);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_a_source_that_does_not_start_refuses(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"), *source = make_path(graph, "locked"),
			*leaf = make_path(graph, "accept/relay/copy");
	struct pfs_reader *reader = open_reader(leaf, NULL, 1);
	struct pfs_writer *writer = open_writer(accept);
	struct pfs_diag diag;

	(void)state;
	write_numbers(writer, 0, 10);
	assert_int_equal(try_move(accept, "relay", source, "relay", &diag), -EPERM);
	assert_string_equal(diag.text, "these are locked");
	expect_path(leaf, "/accept/relay/copy");
	assert_int_equal(number_of(source, PFS_TEXT_STATS, "active"), 0);
	write_numbers(writer, 10, 20);
	expect_numbers(reader, 0, 20);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(leaf);
	pfs_node_unref(source);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Removed while its readers have not read all; then what it lay in is moved away, and the rest removed. */
static void test_what_was_removed_drains_wherever_the_rest_goes(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = (size_t)4 << 20 });
	struct pfs_node *a = make_path(graph, "accept:a"), *b = make_path(graph, "accept:b"),
			*dir = make_path(graph, "accept:a/copy"),
			*gone = make_path(graph, "accept:a/copy/count");
	struct pfs_reader *reader = open_reader(gone, NULL, -1), *view = open_reader(gone, "txt", -1);
	struct pfs_writer *writer = open_writer(a);

	(void)state;
	write_numbers(writer, 0, 500);
	assert_int_equal(pfs_node_remove(dir, "count", &me, NULL), 0);
	move(a, "copy", b);
	pfs_writer_close(writer);
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept:a", &me, NULL), 0);
	assert_int_equal(pfs_node_remove(b, "copy", &me, NULL), 0);
	pfs_node_unref(a);
	pfs_node_unref(dir);
	pfs_node_unref(gone);
	expect_numbers(reader, 0, 500);
	assert_int_equal(read_all(reader), 0);
	assert_true(read_all(view) > 4000);
	pfs_reader_close(view);
	pfs_reader_close(reader);
	pfs_node_unref(b);
	pfs_graph_free(graph);
}

/* --- what is refused ---------------------------------------------------------------------------------- */

static void test_what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *dir, *name, *to, *new_name;
		int error;
		const char *why;
	} cases[] = {
		{ "accept", "no such", "accept:b", "no such", -ENOENT, "" },
		{ "accept", "count", "accept/count/copy", "count", -EINVAL, "below itself" },
		{ "accept", "count", "accept/count", "count", -EINVAL, "below itself" },
		{ "accept", "count", "", "count", -EINVAL, "goes below a source" },
		{ "", "accept", "accept:b", "accept", -EINVAL, "is a source" },
		{ "", "accept", "", "accept:c", -EINVAL, ".params" },
		{ "", "accept", "", "numbers", -EINVAL, "is another" },
		{ "accept", "head:5", "accept:b", "head:6", -EINVAL, ".params" },
		{ "accept", "head:5", "accept:b", "count", -EINVAL, "is another" },
		{ "accept", "head:5", "accept", "head:6", -EINVAL, ".params" },
		{ "accept/label", "8", "accept:b", "8", -EINVAL, "is a class" },
		{ "accept", "count", "accept/label", "8", -EEXIST, "" },
		{ "accept", "relay", "accept:b/wrap", "relay", -EINVAL, "a byte stream" },
		{ "accept:b/wrap", "huge", "accept", "huge", -EINVAL, "packets" },
		{ "accept:b", "wrap", "accept:b/wrap/count", "wrap", -EINVAL, "below itself" },
		{ "accept", "copy", "accept:b", "copy", -ENOTEMPTY, "rmdir" },
		{ "accept", "relay", "accept:b", "relay", -EEXIST, "rmdir" },
	};
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	static const char *const paths[] = { "accept/count/copy",   "accept/head:5",
					     "accept/label/8",	    "accept/copy",
					     "accept:b/wrap/count", "accept:b/copy/count",
					     "accept:b/relay",	    "accept/relay",
					     "accept:b/wrap/huge" };
	struct pfs_diag diag;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		pfs_node_unref(make_path(graph, paths[i]));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pfs_node *dir = make_path(graph, cases[i].dir),
				*to = make_path(graph, cases[i].to);
		int r = try_move(dir, cases[i].name, to, cases[i].new_name, &diag);

		if (r != cases[i].error || !strstr(diag.text, cases[i].why))
			print_error("mv %s/%s %s/%s: %d %s\n", cases[i].dir, cases[i].name,
				    cases[i].to, cases[i].new_name, r, diag.text);
		assert_int_equal(r, cases[i].error);
		assert_non_null(strstr(diag.text, cases[i].why));
		pfs_node_unref(dir);
		pfs_node_unref(to);
	}
	pfs_graph_free(graph);
}

static void test_too_deep_is_refused(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	PFS_BUF struct pfs_buf path = { 0 };
	struct pfs_node *deep, *low, *accept;
	struct pfs_diag diag;

	(void)state;
	pfs_buf_str(&path, "accept:b");
	for (int i = 0; i < 40; i++)
		pfs_buf_str(&path, "/count");
	deep = make_path(graph, path.data);
	path.len = 0;
	pfs_buf_str(&path, "accept");
	for (int i = 0; i < 30; i++)
		pfs_buf_str(&path, "/relay");
	low = make_path(graph, path.data);
	accept = make_path(graph, "accept");
	assert_int_equal(try_move(accept, "relay", deep, "relay", &diag), -ELOOP);
	assert_non_null(strstr(diag.text, "64"));
	pfs_node_unref(accept);
	pfs_node_unref(low);
	pfs_node_unref(deep);
	pfs_graph_free(graph);
}

/* Without consumers it is a matter of the tree alone. */
static void test_idle_trees_move_too(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *a = make_path(graph, "accept:a"),
			*b = make_path(graph, "accept:b/relay/label/8"),
			*leaf = make_path(graph, "accept:a/relay/copy/label/8");
	struct pfs_reader *reader;
	struct pfs_writer *writer;
	struct pfs_node *top = make_path(graph, "accept:b");

	(void)state;
	move(a, "relay", b);
	expect_path(leaf, "/accept:b/relay/label/8/relay/copy/label/8");
	reader = open_reader(leaf, NULL, -1);
	writer = open_writer(top);
	write_numbers(writer, 0, 10);
	expect_numbers(reader, 0, 10);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(top);
	pfs_node_unref(leaf);
	pfs_node_unref(b);
	pfs_node_unref(a);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inline_filters_go_on),
		cmocka_unit_test(test_pulling_filters_keep_what_waits),
		cmocka_unit_test(test_what_is_on_the_way_comes_first),
		cmocka_unit_test(test_held_up_for_long_is_refused),
		cmocka_unit_test(test_what_waits_goes_along),
		cmocka_unit_test(test_a_circle_is_refused),
		cmocka_unit_test(test_what_waits_outlives_its_source),
		cmocka_unit_test(test_back_and_forth),
		cmocka_unit_test(test_ends_of_the_new_place_come),
		cmocka_unit_test(test_writers_go_along),
		cmocka_unit_test(test_a_parked_writer_goes_along),
		cmocka_unit_test(test_sources_start_and_stop),
		cmocka_unit_test(test_a_source_that_does_not_start_refuses),
		cmocka_unit_test(test_what_was_removed_drains_wherever_the_rest_goes),
		cmocka_unit_test(test_what_cannot_be_is_refused),
		cmocka_unit_test(test_too_deep_is_refused),
		cmocka_unit_test(test_idle_trees_move_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
