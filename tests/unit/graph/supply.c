/*
 * supply - what a process offers comes out as it was put in, beside what others write, however full it gets; nonsense
 * ends its own supply and no other; it can be closed at any moment and never waits
 */
#include "help.h"

#include <poll.h>
#include <sys/mman.h>

#include "base/nudge.h"
#include "graph/supply.h"
#include "ring/offer.h"

#define SIZE 4096

struct producer {
	struct pfs_writer *writer;
	struct pfs_supply *supply;
	struct pfs_offer *offer; /* the process's end */
	int nudge[2], calls[2];	 /* wakes the process, wakes the supply */
	_Atomic unsigned lasts;
};

static void producer_last(void *arg)
{
	struct producer *p = arg;

	atomic_fetch_add(&p->lasts, 1);
}

static void producer_open(struct producer *p, struct pfs_node *node)
{
	struct pfs_diag diag;

	*p = (struct producer){ .writer = open_writer(node) };
	assert_int_equal(pfs_nudge_new(p->nudge), 0);
	assert_int_equal(pfs_nudge_new(p->calls), 0);
	assert_int_equal(pfs_supply_open(p->writer, SIZE, p->nudge[1], p->calls[0], producer_last,
					 p, &p->supply, &diag),
			 0);
	assert_int_equal(pfs_offer_open(pfs_supply_memory(p->supply), &p->offer), 0);
}

static void producer_closed(struct producer *p)
{
	while (atomic_load(&p->lasts) == 0)
		sched_yield();
	assert_int_equal(p->lasts, 1);
	pfs_nudge_release(p->nudge);
	pfs_nudge_release(p->calls);
	pfs_offer_free(p->offer);
	pfs_writer_close(p->writer);
}

static void wait_nudged(struct producer *p)
{
	struct pollfd fd = { .fd = p->nudge[0], .events = POLLIN };

	CHECK(poll(&fd, 1, 60000) == 1);
	CHECK(pfs_nudge_clear(p->nudge[0]));
}

/* 0, or why not; waits for room. */
static int give(struct producer *p, const void *bytes, size_t len)
{
	void *room;
	int r;

	while ((r = pfs_offer_reserve(p->offer, len, &room)) == -EAGAIN)
		if (pfs_offer_wait(p->offer, len))
			wait_nudged(p);
	if (r < 0)
		return r;
	memcpy(room, bytes, len);
	if (pfs_offer_commit(p->offer, len, NULL))
		pfs_nudge(p->calls[1]);
	return 0;
}

static int flush(struct producer *p)
{
	int r;

	while ((r = pfs_offer_flushed(p->offer)) == -EAGAIN)
		if (pfs_offer_wait_empty(p->offer))
			wait_nudged(p);
	return r;
}

/* --- as it was put in --------------------------------------------------------------------------- */

#define MANY 100000

static size_t length(uint64_t n)
{
	return 8 + n * 2654435761u % (n % 50 ? 60 : 900);
}

static void record_make(uint8_t *bytes, uint64_t from, uint64_t n)
{
	memset(bytes, (int)(from * 31 + n), length(n));
	bytes[0] = (uint8_t)from;
	memcpy(bytes + 1, &n, 7);
}

static void *produce(void *arg)
{
	struct producer *p = arg;
	uint8_t bytes[1024];

	for (uint64_t n = 0; n < MANY; n++) {
		record_make(bytes, 1, n);
		CHECK(give(p, bytes, length(n)) == 0);
	}
	CHECK(flush(p) == 0);
	pfs_supply_close(p->supply);
	return NULL;
}

static void *write_beside(void *arg)
{
	struct pfs_writer *writer = arg;
	uint8_t bytes[1024];

	for (uint64_t n = 0; n < MANY; n++) {
		struct signal s;
		ssize_t r;

		record_make(bytes, 2, n);
		while ((r = pfs_writer_write(writer, bytes, length(n))) == -EAGAIN) {
			signal_init(&s);
			if (pfs_writer_park(writer, &s.waiter, length(n)))
				CHECK(signal_wait(&s));
		}
		CHECK(r == (ssize_t)length(n));
	}
	pfs_writer_close(writer);
	return NULL;
}

/* A producer and a writer, a small ring: each one's records are whole and in order, and then it is the end. */
static void test_beside_a_writer(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 32768 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 1);
	uint64_t next[3] = { 0 };
	uint8_t bytes[1024], want[1024];
	struct producer p;
	pthread_t threads[2];
	ssize_t n;

	producer_open(&p, accept);
	assert_int_equal(pthread_create(&threads[0], NULL, produce, &p), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, write_beside, open_writer(accept)), 0);
	while ((n = read_wait(reader, bytes, sizeof(bytes), true)) > 0) {
		unsigned from = bytes[0];

		assert_in_range(from, 1, 2);
		record_make(want, from, next[from]);
		assert_int_equal(n, length(next[from]));
		assert_memory_equal(bytes, want, (size_t)n);
		next[from]++;
	}
	assert_int_equal(n, 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(next[1], MANY);
	assert_int_equal(next[2], MANY);
	producer_closed(&p);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- full --------------------------------------------------------------------------------------- */

/* The ring of the directory is full and the process's own one, too: as nobody reads, that stays so. */
static bool is_full(struct producer *p, size_t len)
{
	void *room;

	if (!pfs_writer_ready(p->writer, len) && pfs_offer_reserve(p->offer, len, &room) == -EAGAIN)
		return true;
	sched_yield();
	return false;
}

/* Nobody reads: both rings are full, and it is closed without waiting. Who comes then gets all of it, and the end. */
static void test_closed_while_full(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 16384 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader;
	struct producer p;
	uint8_t bytes[512];
	size_t given = 0, got = 0;
	void *room;
	ssize_t n;

	producer_open(&p, accept);
	while (!is_full(&p, sizeof(bytes))) {
		memset(bytes, (int)given, sizeof(bytes));
		if (pfs_offer_reserve(p.offer, sizeof(bytes), &room) < 0)
			continue;
		assert_int_equal(give(&p, bytes, sizeof(bytes)), 0);
		given++;
	}
	assert_true(given > 2 * SIZE / sizeof(bytes)); /* the directory's has some, and the process's own */
	pfs_supply_close(p.supply);
	reader = open_reader(accept, NULL, 1);
	while ((n = read_wait(reader, bytes, sizeof(bytes), true)) > 0) {
		assert_int_equal(n, sizeof(bytes));
		assert_int_equal(bytes[0], (uint8_t)got);
		assert_int_equal(bytes[511], (uint8_t)got);
		got++;
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, given);
	producer_closed(&p);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* What was committed when it is closed is there for who reads on, before the next one's. */
static void test_closed_in_order(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 1);
	char bytes[16];

	for (int i = 0; i < 200; i++) {
		struct producer p;

		producer_open(&p, accept);
		assert_int_equal(give(&p, "one", 3), 0);
		assert_int_equal(give(&p, "two", 3), 0);
		pfs_supply_close(p.supply);
		assert_int_equal(read_wait(reader, bytes, sizeof(bytes), true), 3);
		assert_memory_equal(bytes, "one", 3);
		assert_int_equal(read_wait(reader, bytes, sizeof(bytes), true), 3);
		assert_memory_equal(bytes, "two", 3);
		assert_int_equal(read_wait(reader, bytes, sizeof(bytes), true), 0);
		producer_closed(&p);
	}
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- ends ----------------------------------------------------------------------------------------- */

static struct {
	_Atomic unsigned n;
	int error;
	char text[128];
} heard;

static void hear(void *arg, const struct pfs_complaint *complaint)
{
	heard.error = complaint->error;
	snprintf(heard.text, sizeof(heard.text), "%s", complaint->text);
	atomic_fetch_add(&heard.n, 1);
}

/* One lies: what it gave before comes out, it is told, somebody hears of it, and the other goes on. */
static void test_nonsense(void **state)
{
	struct pfs_graph *graph =
		graph_of((struct pfs_graph_options){ .complain = hear, .complain_arg = NULL });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 1);
	struct producer bad, good;
	uint64_t *words;
	char bytes[64];
	ssize_t n;

	producer_open(&bad, accept);
	producer_open(&good, accept);
	words = mmap(NULL, 4096 + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     pfs_supply_memory(bad.supply), 0);
	assert_ptr_not_equal(words, MAP_FAILED);
	assert_int_equal(give(&bad, "before", 6), 0);
	assert_int_equal(flush(&bad), 0);
	words[512 + 3] = UINT64_MAX; /* the length of the next one */
	words[0] += 64;
	pfs_nudge(bad.calls[1]);
	while (pfs_offer_flushed(bad.offer) != -EPROTO)
		sched_yield();
	assert_int_equal(give(&bad, "after", 5), -EPROTO);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.error, EPROTO);
	assert_non_null(strstr(heard.text, "no record"));
	assert_int_equal(give(&good, "well", 4), 0);
	assert_int_equal(read_wait(reader, bytes, sizeof(bytes), true), 6);
	assert_int_equal(read_wait(reader, bytes, sizeof(bytes), true), 4);
	pfs_supply_close(bad.supply);
	producer_closed(&bad);
	pfs_supply_close(good.supply);
	n = read_wait(reader, bytes, sizeof(bytes), true);
	assert_int_equal(n, 0);
	producer_closed(&good);
	munmap(words, 4096 + SIZE);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* The directory goes: the producer hears EPIPE, also one that waits for room. */
static void test_directory_goes(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 16384 });
	struct pfs_node *accept = make_path(graph, "accept:gone");
	static const uint8_t bytes[1000];
	struct producer p;
	void *room;

	producer_open(&p, accept);
	while (!is_full(&p, sizeof(bytes)))
		if (pfs_offer_reserve(p.offer, sizeof(bytes), &room) == 0)
			assert_int_equal(give(&p, bytes, sizeof(bytes)), 0);
	assert_true(pfs_offer_wait(p.offer, sizeof(bytes)));
	assert_int_equal(pfs_node_remove(pfs_graph_root(graph), "accept:gone", &me, NULL), 0);
	while (give(&p, bytes, sizeof(bytes)) == 0)
		;
	assert_int_equal(give(&p, bytes, sizeof(bytes)), -EPIPE);
	pfs_supply_close(p.supply);
	producer_closed(&p);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* The process is gone in the middle of everything: its end of the pipe, and then the file. */
static void test_dies(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 16384 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *reader = open_reader(accept, NULL, 0);

	for (int i = 0; i < 500; i++) {
		struct producer p;
		void *room;

		producer_open(&p, accept);
		for (int k = 0; k < i % 7; k++)
			if (pfs_offer_reserve(p.offer, 100, &room) == 0 &&
			    pfs_offer_commit(p.offer, 100, NULL) && i % 2)
				pfs_nudge(p.calls[1]);
		if (i % 3)
			pfs_closep(&p.calls[1]);
		pfs_supply_close(p.supply);
		producer_closed(&p);
	}
	pfs_reader_close(reader);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside_a_writer), cmocka_unit_test(test_closed_while_full),
		cmocka_unit_test(test_closed_in_order), cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_directory_goes),	cmocka_unit_test(test_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
