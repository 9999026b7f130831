/*
 * bpfring: what becomes of records that two CPUs finish in another order than they began them
 *
 * A kernel does that when it likes. Here the rings are files, which look as BPF rings do in memory, and the test is the
 * kernel: it reserves, finishes, and has the consumer look in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <cmocka.h>

#include "source/bpfring.h"
#include "../feed.h"

enum {
	LANES = 2,
	RING = 1 << 16,
	RECORD = 64,
	ROOM = sizeof(struct pfs_takers) + sizeof(struct pfs_record) + RECORD
};

/* In the place of libc's: a file cannot be polled, and nobody wakes here. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* --- the kernel ------------------------------------------------------------------------------ */

struct kernel {
	struct kcap kcap;
	struct kcap_ring ring[LANES];
	struct kcap_slot slot[LANES];
	uint8_t *memory[LANES]; /* consumer's page, producer's page, data */
	uint64_t head[LANES];
	size_t page;
	struct pfs_feed *feed;
	struct bpfring *consumer;
	bool (*step)(struct kernel *k); /* between two looks; false: that was all */
	unsigned at;
	uint64_t pos, older; /* the test's: a record that is not finished, and its time */
};

static void kernel_init(struct kernel *k, uint64_t latency)
{
	*k = (struct kernel){ .page = (size_t)sysconf(_SC_PAGESIZE), .feed = feed_new() };
	k->kcap = (struct kcap){
		.spec.snaplen = KCAP_SNAPLEN,
		.ncpu = LANES,
		.nring = LANES,
		.ring = k->ring,
		.ring_size = RING,
		.slot = k->slot,
	};
	for (unsigned i = 0; i < LANES; i++) {
		size_t size = 2 * k->page + 2 * RING;
		int fd = memfd_create("ring", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		k->ring[i] = (struct kcap_ring){ .map = fd, .cpu = i };
		k->memory[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(k->memory[i], MAP_FAILED);
	}
	assert_int_equal(bpfring_new(&k->kcap, k->feed, latency, &k->consumer), 0);
}

static void kernel_release(struct kernel *k)
{
	bpfring_free(k->consumer);
	feed_free(k->feed);
	for (unsigned i = 0; i < LANES; i++) {
		munmap(k->memory[i], 2 * k->page + 2 * RING);
		close(k->ring[i].map);
	}
}

static uint8_t *at(struct kernel *k, unsigned cpu, uint64_t pos)
{
	return k->memory[cpu] + 2 * k->page + pos;
}

/* Its place; the record is busy. */
static uint64_t reserve(struct kernel *k, unsigned cpu)
{
	uint64_t pos = k->head[cpu];
	_Atomic uint64_t *producer = (_Atomic uint64_t *)(void *)(k->memory[cpu] + k->page);

	k->head[cpu] += pfs_align8(KCAP_RING_HEADER + ROOM);
	assert_true(k->head[cpu] <= RING);
	*(uint32_t *)(void *)at(k, cpu, pos) = ROOM | KCAP_RING_BUSY;
	atomic_store(producer, k->head[cpu]);
	return pos;
}

/* Its time was taken after its place. */
static void finish(struct kernel *k, unsigned cpu, uint64_t pos, uint64_t time)
{
	uint8_t *p = at(k, cpu, pos);
	struct pfs_record *rec =
		(struct pfs_record *)(void *)(p + KCAP_RING_HEADER + sizeof(struct pfs_takers));

	rec->time = time;
	rec->len = rec->wire_len = RECORD;
	memset(rec + 1, (int)cpu, RECORD);
	atomic_store((_Atomic uint32_t *)(void *)p, ROOM);
}

static uint64_t record(struct kernel *k, unsigned cpu)
{
	uint64_t pos = reserve(k, cpu), time = pfs_clock_mono();

	finish(k, cpu, pos, time);
	return time;
}

static int any_origin(void *arg, const struct pfs_record *rec, uint16_t *ret_origin)
{
	static const struct pfs_origin origin = { .name = "cpu", .link_type = PFS_LINK_ETHERNET };
	struct kernel *k = arg;

	(void)rec;
	return pfs_feed_origin(k->feed, &origin, ret_origin);
}

static bool next_step(void *arg, uint32_t events)
{
	struct kernel *k = arg;

	assert_int_equal(events, 0);
	return k->step(k);
}

static uint64_t at_once(void *arg)
{
	(void)arg;
	return 0;
}

/* Looks, step, looks, step ... looks. */
static void run(struct kernel *k, bool (*step)(struct kernel *k))
{
	struct bpfring_ops ops = {
		.origin = any_origin, .event = next_step, .timeout = at_once, .fd = -1, .arg = k
	};

	k->step = step;
	assert_int_equal(bpfring_run(k->consumer, &ops), 1);
}

static uint64_t reordered(struct kernel *k)
{
	struct bpfring_stats stats;

	bpfring_stats(k->consumer, &stats);
	return stats.reordered;
}

/* How many came behind one with a later time. */
static size_t late(const struct kernel *k)
{
	uint64_t newest = 0;
	size_t n = 0;

	for (size_t i = 0; i < atomic_load(&k->feed->n); i++) {
		n += k->feed->kept[i].meta.time < newest;
		newest = pfs_max64(newest, k->feed->kept[i].meta.time);
	}
	return n;
}

/* --- the tests ------------------------------------------------------------------------------- */

/* Latency 0: five are begun on CPU 0, one is finished on CPU 1 and handed on; then come the five, and one more each. */
static bool five_late(struct kernel *k)
{
	static uint64_t pos[5], time[5];

	switch (k->at++) {
	case 0:
		for (int i = 0; i < 5; i++) {
			pos[i] = reserve(k, 0);
			time[i] = pfs_clock_mono();
		}
		record(k, 1);
		return true;
	case 1: /* was handed on, for all that lies in the other ring */
		assert_int_equal(k->feed->n, 1);
		assert_int_equal(reordered(k), 0);
		/* The last of the five is finished before the first: within a ring nothing overtakes. */
		for (int i = 4; i > 0; i--)
			finish(k, 0, pos[i], time[i]);
		return true;
	case 2:
		assert_int_equal(k->feed->n, 1);
		finish(k, 0, pos[0], time[0]);
		return true;
	case 3:
		assert_int_equal(k->feed->n, 6);
		assert_int_equal(reordered(k), 5);
		for (int i = 1; i < 5; i++)
			assert_int_equal(k->feed->kept[1 + i].meta.time, time[i]);
		record(k, 0);
		record(k, 1);
		return true;
	default:
		return false;
	}
}

static void what_comes_late_is_counted(void **state)
{
	struct kernel k;

	(void)state;
	kernel_init(&k, 0);
	run(&k, five_late);
	assert_int_equal(k.feed->n, 8);
	assert_int_equal(late(&k), 5);
	assert_int_equal(reordered(&k), 5);
	kernel_release(&k);
}

/* It is waited for, however often one looks, and its elders in the other ring go on meanwhile. */
static bool waited_for(struct kernel *k)
{
	switch (k->at++) {
	case 0:
		record(k, 1);
		k->pos = reserve(k, 0);
		k->older = pfs_clock_mono();
		record(k, 1);
		return true;
	case 10:
		finish(k, 0, k->pos, k->older);
		return true;
	case 11:
		return false;
	default:
		/* The second one of CPU 1 may be younger than what is being written: it stays. */
		assert_true(k->feed->n <= 1);
		return true;
	}
}

static void within_the_latency_it_is_put_in_order(void **state)
{
	struct kernel k;

	(void)state;
	kernel_init(&k, UINT64_C(3600000000000));
	run(&k, waited_for);
	assert_int_equal(k.feed->n, 3);
	assert_int_equal(k.feed->kept[1].meta.time, k.older);
	assert_int_equal(late(&k), 0);
	assert_int_equal(reordered(&k), 0);
	kernel_release(&k);
}

/* After the latency the others go on without it. */
static bool waited_for_in_vain(struct kernel *k)
{
	if (k->at == 0) {
		k->at = 1;
		k->pos = reserve(k, 0);
		k->older = pfs_clock_mono();
		record(k, 1);
	} else if (k->at == 1 && k->feed->n == 1) {
		k->at = 2;
		assert_int_equal(reordered(k), 0);
		finish(k, 0, k->pos, k->older);
	} else if (k->at == 2) {
		return false;
	}
	assert_true(pfs_clock_mono() - k->older < UINT64_C(20000000000)); /* not for ever */
	return true;
}

static void after_the_latency_it_is_late(void **state)
{
	uint64_t start = pfs_clock_mono();
	struct kernel k;

	(void)state;
	kernel_init(&k, 2000000);
	run(&k, waited_for_in_vain);
	assert_true(pfs_clock_mono() - start >= 2000000);
	assert_int_equal(k.feed->n, 2);
	assert_int_equal(k.feed->kept[1].meta.time, k.older);
	assert_int_equal(late(&k), 1);
	assert_int_equal(reordered(&k), 1);
	kernel_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_late_is_counted),
		cmocka_unit_test(within_the_latency_it_is_put_in_order),
		cmocka_unit_test(after_the_latency_it_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
