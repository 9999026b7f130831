/*
 * fill - a reader's records in blocks: all of them for a reliable one that takes, sleeps and asks; nobody is held up by
 * a lossy one that does not; the books stay right; and it can go at any moment
 */
#include "help.h"

#include <poll.h>
#include <sys/mman.h>

#include "base/nudge.h"
#include "graph/fill.h"
#include "ring/zbuf.h"

#define SIZE 4096

struct process {
	struct pfs_reader *reader;
	struct pfs_fill *fill;
	int nudge[2]; /* the process's, the fill's */
	_Atomic unsigned lasts;
	uint8_t *memory;
	unsigned turn;
	uint64_t next; /* number that a record must have */
};

static void process_last(void *arg)
{
	struct process *p = arg;

	atomic_fetch_add(&p->lasts, 1);
}

static void process_open(struct process *p, struct pfs_node *node, int policy)
{
	struct pfs_diag diag = { 0 };
	int r;

	*p = (struct process){ .reader = open_reader(node, NULL, policy) };
	assert_int_equal(pfs_nudge_new(p->nudge), 0);
	r = pfs_fill_open(p->reader, SIZE, p->nudge[1], process_last, p, &p->fill, &diag);
	assert_string_equal(diag.text, "");
	assert_int_equal(r, 0);
	p->memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 pfs_fill_memory(p->fill), 0);
	assert_ptr_not_equal(p->memory, MAP_FAILED);
}

static void process_close(struct process *p)
{
	pfs_fill_close(p->fill);
	while (atomic_load(&p->lasts) == 0)
		sched_yield();
	munmap(p->memory, 2 * SIZE);
	pfs_nudge_release(p->nudge);
	pfs_reader_close(p->reader);
}

static struct pfs_zbuf_header *header(const struct process *p, unsigned i)
{
	return (struct pfs_zbuf_header *)(void *)(p->memory + i * SIZE);
}

static uint32_t state_of(const struct process *p)
{
	return __atomic_load_n(&header(p, 0)->bzh_state, __ATOMIC_SEQ_CST);
}

/* Takes what is the process's. False: nothing is. */
static bool take(struct process *p)
{
	struct pfs_zbuf_header *block = header(p, p->turn);
	const uint8_t *at = (const uint8_t *)(block + 1), *end;

	if (!pfs_zbuf_yours(block))
		return false;
	for (end = at + block->bzh_kernel_len; at < end;) {
		const struct pfs_xhdr *h = (const void *)at;
		uint64_t number;

		CHECK(h->bh_caplen == sizeof(number) && h->bh_datalen == sizeof(number));
		memcpy(&number, at + h->bh_hdrlen, sizeof(number));
		CHECK(number == p->next);
		p->next++;
		at += PFS_ZBUF_WORDALIGN(h->bh_hdrlen + h->bh_caplen);
	}
	CHECK(block->bzh_link_type == PFS_LINK_BYTES);
	pfs_zbuf_give(block);
	p->turn = !p->turn;
	return true;
}

static bool nudged(const struct process *p)
{
	struct pollfd poll_fd = { .fd = p->nudge[0], .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1 && pfs_nudge_clear(p->nudge[0]);
}

static void write_number(struct pfs_writer *writer, uint64_t number)
{
	CHECK(pfs_writer_write(writer, &number, sizeof(number)) == sizeof(number));
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void test_on_demand_and_the_end(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(accept);
	struct process p;
	unsigned which;
	size_t len;

	process_open(&p, accept, -1);
	assert_int_equal(pfs_fill_rotate(p.fill, &which, &len), 0);
	write_number(writer, 0);
	assert_false(take(&p));
	assert_false(nudged(&p));
	assert_int_equal(pfs_fill_rotate(p.fill, &which, &len), 1);
	assert_int_equal(which, 0);
	assert_int_equal(len, 40);
	assert_true(take(&p));
	write_number(writer, 1);
	assert_int_equal(state_of(&p), 0);
	pfs_writer_close(writer);
	assert_int_equal(state_of(&p), PFS_ZBUF_END);
	assert_true(nudged(&p));
	assert_true(take(&p));
	assert_int_equal(p.next, 2);
	assert_int_equal(number_of(accept, PFS_TEXT_READERS, "delivered"), 2);
	process_close(&p);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* It holds its writer up as any reader does, and nothing is lost. */
static void test_full_and_asked(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 65536 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(accept);
	struct process p;
	uint64_t n = 0;
	unsigned which;
	size_t len;

	process_open(&p, accept, 1);
	while (pfs_writer_write(writer, &n, sizeof(n)) == sizeof(n))
		n++;
	assert_int_equal(state_of(&p), PFS_ZBUF_WAITS);
	assert_false(pfs_writer_ready(writer, 8));
	pfs_writer_close(writer);
	for (;;) {
		if (take(&p))
			continue;
		if (state_of(&p) & PFS_ZBUF_END && !pfs_zbuf_yours(header(&p, p.turn)))
			break;
		assert_int_equal(state_of(&p), PFS_ZBUF_WAITS);
		(void)pfs_fill_rotate(p.fill, &which, &len);
	}
	assert_true(n > 1000);
	assert_int_equal(p.next, n);
	process_close(&p);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* A lossy one that never gives anything back: the others get all, and it goes on when it comes to itself. */
static void test_stuck(void **state)
{
	enum { RECORDS = 100000 };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 1 << 20 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(accept);
	struct pfs_reader *other = open_reader(accept, NULL, 1);
	static uint8_t buf[65536];
	unsigned long long delivered, lost, lag;
	struct process p;
	ssize_t all = 0, n;

	process_open(&p, accept, 0);
	for (uint64_t i = 0; i < RECORDS; i++) {
		write_number(writer, i);
		while ((n = read_some(other, buf, sizeof(buf), false)) > 0)
			all += n;
	}
	assert_int_equal(all, RECORDS * 8);
	assert_int_equal(state_of(&p), PFS_ZBUF_WAITS);
	delivered = number_of(accept, PFS_TEXT_READERS, "lossy delivered");
	lost = number_of(accept, PFS_TEXT_READERS, "lost");
	assert_true(take(&p) && take(&p));
	assert_int_equal(p.next, delivered);
	assert_true(delivered > 100);
	write_number(writer, RECORDS); /* whoever pushes sees that there is room */
	delivered = number_of(accept, PFS_TEXT_READERS, "lossy delivered");
	lost = number_of(accept, PFS_TEXT_READERS, "lost");
	lag = number_of(accept, PFS_TEXT_READERS, "lag");
	assert_true(delivered > p.next);
	assert_true(lost > 0);
	assert_int_equal(delivered + lost + lag, RECORDS + 1);
	pfs_writer_close(writer);
	process_close(&p);
	pfs_reader_close(other);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* What does not fit a block: bytes go on in the next one. What has a beginning has no blocks. */
static void test_long_and_refused(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_writer *writer = open_writer(accept);
	struct pfs_reader *view = open_reader(accept, "txt", -1);
	static uint8_t out[100000], back[100000];
	struct pfs_fill *fill;
	struct pfs_diag diag;
	struct process p;
	size_t at = 0, len;
	uint64_t memory;
	unsigned which;

	assert_int_equal(pfs_fill_open(view, SIZE, -1, process_last, NULL, &fill, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "beginning"));
	pfs_reader_close(view);
	memory = pfs_graph_memory(graph);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	process_open(&p, accept, 1);
	assert_in_range(pfs_graph_memory(graph), memory + 2 * SIZE, memory + (4 << 20));
	assert_int_equal(pfs_fill_open(p.reader, 4095, -1, process_last, NULL, &fill, &diag), -EINVAL);
	assert_int_equal(pfs_writer_write(writer, out, sizeof(out)), sizeof(out));
	while (at < sizeof(out)) {
		struct pfs_zbuf_header *block = header(&p, p.turn);
		const struct pfs_xhdr *h = (const void *)(block + 1);

		if (!pfs_zbuf_yours(block)) {
			(void)pfs_fill_rotate(p.fill, &which, &len);
			assert_true(pfs_zbuf_yours(block));
			continue;
		}
		memcpy(back + at, (const uint8_t *)h + h->bh_hdrlen, h->bh_caplen);
		at += h->bh_caplen;
		pfs_zbuf_give(block);
		p.turn = !p.turn;
	}
	assert_memory_equal(out, back, sizeof(out));
	(void)pfs_fill_rotate(p.fill, &which, &len);
	assert_int_equal(number_of(accept, PFS_TEXT_READERS, "delivered"), 1);
	pfs_writer_close(writer);
	process_close(&p);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- threads ---------------------------------------------------------------------------------------- */

#define MANY 200000

static void *write_many(void *arg)
{
	struct pfs_writer *writer = open_writer(arg);

	for (uint64_t n = 0; n < MANY; n++) {
		struct signal s;
		ssize_t r;

		while ((r = pfs_writer_write(writer, &n, sizeof(n))) == -EAGAIN) {
			signal_init(&s);
			if (pfs_writer_park(writer, &s.waiter, sizeof(n)))
				CHECK(signal_wait(&s));
		}
		CHECK(r == sizeof(n));
	}
	pfs_writer_close(writer);
	return NULL;
}

/* Sleeps without a time limit: a block, the end, or PFS_ZBUF_WAITS is always said. */
static void test_threads(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 65536 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct process p;
	pthread_t thread;
	unsigned which;
	size_t len;

	process_open(&p, accept, 1);
	assert_int_equal(pthread_create(&thread, NULL, write_many, accept), 0);
	for (;;) {
		struct pollfd poll_fd = { .fd = p.nudge[0], .events = POLLIN };

		if (take(&p)) {
			atomic_thread_fence(memory_order_seq_cst);
			if (state_of(&p) & PFS_ZBUF_WAITS)
				(void)pfs_fill_rotate(p.fill, &which, &len);
			continue;
		}
		assert_true(pfs_nudge_clear(p.nudge[0]));
		if (take(&p) || pfs_zbuf_yours(header(&p, p.turn)))
			continue;
		if (state_of(&p) & PFS_ZBUF_END) {
			if (take(&p))
				continue;
			break;
		}
		if (state_of(&p) & PFS_ZBUF_WAITS)
			(void)pfs_fill_rotate(p.fill, &which, &len);
		else
			assert_int_equal(poll(&poll_fd, 1, 60000), 1);
	}
	pthread_join(thread, NULL);
	assert_int_equal(p.next, MANY);
	process_close(&p);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* It goes while it is being filled: once, and only then is its reader closed. */
static void test_goes_at_any_moment(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *other = open_reader(accept, NULL, 0);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, write_many, accept), 0);
	for (unsigned i = 0; i < 2000; i++) {
		struct process p;

		process_open(&p, accept, 0);
		if (i % 3) {
			p.next = UINT64_MAX;
			for (unsigned k = 0; k < i % 5; k++)
				sched_yield();
		}
		process_close(&p);
		assert_int_equal(p.lasts, 1);
	}
	pthread_join(thread, NULL);
	pfs_reader_close(other);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand_and_the_end),
		cmocka_unit_test(test_full_and_asked),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_long_and_refused),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_goes_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
