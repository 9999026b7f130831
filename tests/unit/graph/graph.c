/*
 * graph - through its public header: write into accept, read anywhere below
 */
#include "help.h"

#include "base/bytes.h"

static struct pfs_graph *graph_new(size_t ring)
{
	return graph_of((struct pfs_graph_options){ .ring_size = ring });
}

static void write_str(struct pfs_writer *writer, const char *s)
{
	assert_int_equal(pfs_writer_write(writer, s, strlen(s)), strlen(s));
}

static void expect_str(struct pfs_reader *reader, const char *s)
{
	char buf[4096] = "";
	ssize_t n = read_some(reader, buf, sizeof(buf) - 1, false);

	assert_int_equal(n, strlen(s));
	assert_string_equal(buf, s);
}

static void expect_nothing(struct pfs_reader *reader, ssize_t what)
{
	char buf[16];

	assert_int_equal(read_some(reader, buf, sizeof(buf), false), what);
}

static void test_every_reader_gets_everything_from_its_open_on(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	struct pfs_reader *a = open_reader(node, NULL, -1), *b;

	(void)state;
	write_str(writer, "one ");
	b = open_reader(node, NULL, -1);
	write_str(writer, "two ");
	expect_str(a, "one two ");
	expect_str(b, "two ");
	expect_nothing(a, -EAGAIN);
	pfs_writer_close(writer);
	expect_nothing(a, 0);
	expect_nothing(a, 0);
	expect_nothing(b, 0);
	writer = open_writer(node);
	expect_nothing(a, -EAGAIN);
	write_str(writer, "three");
	expect_str(a, "three");
	pfs_writer_close(writer);
	pfs_reader_close(a);
	pfs_reader_close(b);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_early_data_waits_and_flows_once(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	struct pfs_reader *reader;

	(void)state;
	write_str(writer, "early ");
	pfs_writer_close(writer);
	reader = open_reader(node, NULL, -1);
	expect_str(reader, "early ");
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	reader = open_reader(node, NULL, -1);
	expect_nothing(reader, -EAGAIN);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_each_early_generation_has_its_reader(void **state)
{
	static const char *const words[] = { "one", "two", "three" };
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer;
	struct pfs_reader *reader;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		writer = open_writer(node);
		write_str(writer, words[i]);
		pfs_writer_close(writer);
	}
	for (size_t i = 0; i < 2; i++) {
		reader = open_reader(node, NULL, -1);
		expect_str(reader, words[i]);
		expect_nothing(reader, 0);
		pfs_reader_close(reader);
	}
	/* Who reads on after the end gets the next. */
	writer = open_writer(node);
	write_str(writer, "four");
	reader = open_reader(node, NULL, -1);
	expect_str(reader, "three");
	expect_nothing(reader, 0);
	expect_str(reader, "four");
	pfs_writer_close(writer);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

/* What was written may still be at work on another thread when the file is closed, and the next one opens. */
static void test_a_writer_ends_before_it_is_closed(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *first = open_writer(node), *second;
	struct pfs_reader *reader = open_reader(node, NULL, -1);

	(void)state;
	write_str(first, "one");
	pfs_writer_end(first);
	second = open_writer(node);
	write_str(second, "two");
	pfs_writer_close(first);
	expect_str(reader, "one");
	expect_nothing(reader, 0);
	expect_str(reader, "two");
	expect_nothing(reader, -EAGAIN);
	pfs_writer_close(second);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_an_end_after_the_last_reader_is_for_nobody(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	struct pfs_reader *reader = open_reader(node, NULL, -1);

	(void)state;
	write_str(writer, "head -1 leaves here");
	expect_str(reader, "head -1 leaves here");
	pfs_reader_close(reader);
	pfs_writer_close(writer);
	reader = open_reader(node, NULL, -1);
	expect_nothing(reader, -EAGAIN);
	pfs_writer_close(open_writer(node)); /* an empty generation has its end */
	expect_nothing(reader, 0);
	writer = open_writer(node);
	write_str(writer, "next");
	expect_str(reader, "next");
	pfs_writer_close(writer);
	expect_nothing(reader, 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_a_full_ring_stops_the_writer(void **state)
{
	struct pfs_graph *graph = graph_new((size_t)4 << 20);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	static uint8_t block[65536];
	struct pfs_reader *reader;
	uint64_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	reader = open_reader(node, NULL, -1);
	while ((n = pfs_writer_write(writer, block, sizeof(block))) > 0)
		sent += (uint64_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_true(sent > (3u << 20));
	assert_false(pfs_writer_ready(writer, sizeof(block)));
	pfs_writer_close(writer);
	while ((n = read_some(reader, block, sizeof(block), false)) > 0)
		got += (uint64_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_a_lossy_reader_is_told(void **state)
{
	struct pfs_graph *graph = graph_new((size_t)4 << 20);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	struct pfs_reader *reader = open_reader(node, NULL, 0);
	PFS_BUF struct pfs_buf text = { 0 };
	unsigned long long delivered, lost;
	static uint8_t block[4096];
	uint64_t got = 0;
	ssize_t n;

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	pfs_writer_close(writer);
	/* A small read begins a record; it is finished whatever happens. */
	while ((n = read_some(reader, block, 1000, false)) > 0)
		got += (uint64_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(pfs_node_text(node, PFS_TEXT_READERS, &text), 0);
	assert_int_equal(sscanf(strstr(text.data, "delivered="), "delivered=%llu lost=%llu",
				&delivered, &lost),
			 2);
	assert_int_equal(delivered + lost, 5000);
	assert_int_equal(delivered * 4096, got);
	assert_true(lost > 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_one_read_one_record(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(node);
	struct pfs_reader *reader = open_reader(node, NULL, -1);
	char buf[16] = "";

	(void)state;
	write_str(writer, "first");
	write_str(writer, "second");
	write_str(writer, "third");
	assert_int_equal(read_some(reader, buf, 16, true), 5);
	assert_int_equal(read_some(reader, buf, 3, true), 3); /* the tail is gone, as with packet pipes */
	assert_int_equal(read_some(reader, buf, 16, true), 5);
	assert_memory_equal(buf, "third", 5);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_errors_are_said(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *accept = make_path(graph, "accept"), *node;
	struct pfs_diag diag;
	char name[400];

	(void)state;
	assert_int_equal(pfs_node_make(accept, "uncpap", &me, 0755, &node, &diag), -ENOENT);
	assert_non_null(strstr(diag.text, "unpcap"));
	assert_int_equal(pfs_node_make(accept, "pcap:x", &me, 0755, &node, &diag), -ENOENT);
	assert_non_null(strstr(diag.text, "is a source"));
	assert_int_equal(pfs_node_make(pfs_graph_root(graph), "tcp", &me, 0755, &node, &diag), -ENOENT);
	assert_non_null(strstr(diag.text, "is a filter"));
	assert_int_equal(pfs_node_make(accept, "drop", &me, 0755, &node, &diag), -EINVAL);
	assert_int_equal(pfs_node_make(accept, "head", &me, 0755, &node, &diag), -EINVAL);
	assert_int_equal(pfs_node_make(accept, "unpcap:3", &me, 0755, &node, &diag), -EINVAL);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(pfs_node_make(accept, name, &me, 0755, &node, &diag), -ENAMETOOLONG);
	assert_int_equal(pfs_node_make(pfs_graph_root(graph), "accept", &me, 0755, &node, &diag),
			 -EEXIST);
	node = make_path(graph, "accept/count");
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept", &me, &diag), -ENOTEMPTY);
	pfs_node_unref(node);
	assert_int_equal(pfs_node_remove(accept, "count", &me, &diag), 0);
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept", &me, &diag), 0);
	assert_int_equal(pfs_node_lookup(pfs_graph_root(graph), "accept", &node), -ENOENT);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_readers_of_a_removed_directory_drain(void **state)
{
	struct pfs_graph *graph = graph_new(0);
	struct pfs_node *node = make_path(graph, "accept/count"), *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(node, NULL, -1), *view = open_reader(node, "json", -1);
	struct pfs_writer *writer = open_writer(accept);
	char buf[512];

	(void)state;
	write_str(writer, "left over");
	assert_int_equal(pfs_node_remove(accept, "count", &me, NULL), 0);
	write_str(writer, "nobody sees this");
	expect_str(reader, "left over");
	expect_nothing(reader, 0);
	assert_true(read_some(view, buf, sizeof(buf), false) > 0);
	expect_nothing(view, 0);
	pfs_reader_close(reader);
	pfs_reader_close(view);
	pfs_writer_close(writer);
	pfs_node_unref(node);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- pcap through unpcap, by many threads ---------------------------------------------------- */

enum { PACKETS = 20000 };

static size_t make_pcap(uint8_t **ret)
{
	size_t cap = 24 + PACKETS * (16 + 128), at = 24;
	uint8_t *p = calloc(1, cap);

	le32_store(p, 0xa1b2c3d4);
	le16_store(p + 4, 2);
	le16_store(p + 6, 4);
	le32_store(p + 16, 262144);
	le32_store(p + 20, 1);
	for (uint32_t i = 0; i < PACKETS; i++) {
		uint32_t len = 60 + i % 64;

		le32_store(p + at, i);
		le32_store(p + at + 8, len);
		le32_store(p + at + 12, len);
		memset(p + at + 16, (int)(i & 0xff), len);
		be32_store(p + at + 16, i);
		at += 16 + len;
	}
	*ret = p;
	return at;
}

struct packet_reader {
	struct pfs_reader *reader;
	unsigned count;
	bool wrong;
};

static void *read_packets(void *arg)
{
	struct packet_reader *pr = arg;
	uint8_t buf[256] = { 0 };
	ssize_t n;

	while ((n = read_wait(pr->reader, buf, sizeof(buf), true)) != 0) {
		CHECK(n > 0);
		pr->wrong |= n != 60 + pr->count % 64 || be32_load(buf) != pr->count;
		pr->count++;
	}
	return NULL;
}

/* Pours the file in pieces of odd sizes while readers come at different depths. */
static void test_unpcap_with_readers_and_odd_pieces(void **state)
{
	enum { READERS = 4 };
	struct pfs_graph *graph = graph_new((size_t)4 << 20);
	struct pfs_node *node = make_path(graph, "accept/unpcap/count"),
			*accept = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(accept);
	struct packet_reader readers[READERS] = { 0 };
	pthread_t threads[READERS];
	struct signal s;
	uint8_t *pcap;
	size_t size = make_pcap(&pcap), piece = 1;

	(void)state;
	signal_init(&s);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].reader = open_reader(node, NULL, 1);
		pthread_create(&threads[i], NULL, read_packets, &readers[i]);
	}
	for (size_t at = 0; at < size;) {
		size_t n = pfs_min(piece, size - at);
		ssize_t r = pfs_writer_write(writer, pcap + at, n);

		if (r == -EAGAIN) {
			if (pfs_writer_park(writer, &s.waiter, n))
				assert_true(signal_wait(&s));
			continue;
		}
		assert_int_equal(r, n);
		at += n;
		piece = piece * 7 % 60013 + 1;
	}
	pfs_writer_close(writer);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].count, PACKETS);
		assert_false(readers[i].wrong);
		pfs_reader_close(readers[i].reader);
	}
	free(pcap);
	pfs_node_unref(node);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* Directories come and go beside a reader, who must not notice. */
static void test_changes_beside_a_reader(void **state)
{
	struct pfs_graph *graph = graph_new((size_t)4 << 20);
	struct pfs_node *unpcap = make_path(graph, "accept/unpcap"),
			*accept = make_path(graph, "accept");
	struct packet_reader reader = { .reader = open_reader(unpcap, NULL, 1) };
	struct pfs_writer *writer = open_writer(accept);
	struct signal s;
	pthread_t thread;
	uint8_t *pcap;
	size_t size = make_pcap(&pcap);

	(void)state;
	signal_init(&s);
	pthread_create(&thread, NULL, read_packets, &reader);
	for (size_t at = 0; at < size;) {
		size_t n = pfs_min(20011, size - at);
		struct pfs_reader *other;
		struct pfs_node *node;
		ssize_t r = pfs_writer_write(writer, pcap + at, n);

		if (r == -EAGAIN) {
			if (pfs_writer_park(writer, &s.waiter, n))
				assert_true(signal_wait(&s));
			continue;
		}
		at += n;
		assert_int_equal(pfs_node_make(unpcap, "count", &me, 0755, &node, NULL), 0);
		other = open_reader(node, at % 2 ? "pcapng" : NULL, -1);
		assert_int_equal(pfs_node_remove(unpcap, "count", &me, NULL), 0);
		pfs_reader_close(other);
		pfs_node_unref(node);
	}
	pfs_writer_close(writer);
	pthread_join(thread, NULL);
	assert_int_equal(reader.count, PACKETS);
	assert_false(reader.wrong);
	pfs_reader_close(reader.reader);
	free(pcap);
	pfs_node_unref(unpcap);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reader_gets_everything_from_its_open_on),
		cmocka_unit_test(test_early_data_waits_and_flows_once),
		cmocka_unit_test(test_each_early_generation_has_its_reader),
		cmocka_unit_test(test_a_writer_ends_before_it_is_closed),
		cmocka_unit_test(test_an_end_after_the_last_reader_is_for_nobody),
		cmocka_unit_test(test_a_full_ring_stops_the_writer),
		cmocka_unit_test(test_a_lossy_reader_is_told),
		cmocka_unit_test(test_one_read_one_record),
		cmocka_unit_test(test_errors_are_said),
		cmocka_unit_test(test_readers_of_a_removed_directory_drain),
		cmocka_unit_test(test_unpcap_with_readers_and_odd_pieces),
		cmocka_unit_test(test_changes_beside_a_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
