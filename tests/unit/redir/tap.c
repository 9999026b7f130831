/*
 * tap - operations through a ring that two processes share: none is invented, none is lost without being counted,
 * nobody waits, and nonsense in the ring is only nonsense
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "redir/watch.h"

struct pair {
	int wake_fd;
	struct rd_tap *in, *out; /* who puts, who reads */
};

static void pair_make(struct pair *pair)
{
	pair->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(rd_tap_new(pair->wake_fd, &pair->out), 0);
	assert_int_equal(rd_tap_open(rd_tap_memory(pair->out), pair->wake_fd, &pair->in), 0);
}

static void pair_release(struct pair *pair)
{
	rd_tap_unref(pair->in);
	rd_tap_unref(pair->out);
	close(pair->wake_fd);
}

static struct rd_operation operation(uint64_t n, const char *path)
{
	return (struct rd_operation){ .op = RD_OPEN,
				      .seen = RD_SEEN_STOPPED,
				      .pid = 7,
				      .uid = 1000,
				      .time = 1,
				      .duration = 2,
				      .result = (int64_t)n,
				      .exe = "/bin/x",
				      .exe_len = 6,
				      .path = path,
				      .path_len = strlen(path),
				      .path2 = "b",
				      .path2_len = 1 };
}

static bool woken(const struct pair *pair)
{
	eventfd_t count;

	return eventfd_read(pair->wake_fd, &count) == 0;
}

static void test_one(void **state)
{
	struct rd_operation got, put = operation(3, "/srv/a");
	struct pair pair;

	(void)state;
	pair_make(&pair);
	assert_int_equal(rd_tap_read(pair.out, &got), 0);
	rd_tap_put(pair.in, &put);
	assert_false(woken(&pair)); /* nobody rests */
	assert_false(rd_tap_rest(pair.out));
	assert_int_equal(rd_tap_read(pair.out, &got), 1);
	assert_int_equal(got.op, RD_OPEN);
	assert_int_equal(got.seen, RD_SEEN_STOPPED);
	assert_int_equal(got.pid, 7);
	assert_int_equal(got.uid, 1000);
	assert_int_equal(got.result, 3);
	assert_int_equal(got.exe_len, 6);
	assert_memory_equal(got.path, "/srv/a", got.path_len);
	assert_memory_equal(got.path2, "b", got.path2_len);
	assert_true(rd_tap_rest(pair.out));
	rd_tap_put(pair.in, &put);
	assert_true(woken(&pair));
	rd_tap_put(pair.in, &put);
	assert_false(woken(&pair)); /* once is enough */
	pair_release(&pair);
}

/* Full: counted, and those before are whole; what is too long is counted, too. */
static void test_full(void **state)
{
	PFS_FREE char *path = malloc(RD_TAP_RECORD_MAX + 1);
	struct rd_operation got, put;
	uint64_t sent = 0, came = 0;
	struct pair pair;

	(void)state;
	pair_make(&pair);
	memset(path, 'p', RD_TAP_RECORD_MAX);
	path[RD_TAP_RECORD_MAX] = '\0';
	put = operation(0, path);
	rd_tap_put(pair.in, &put);
	assert_int_equal(rd_tap_lost(pair.out), 1);
	path[5000] = '\0';
	while (rd_tap_lost(pair.out) == 1) {
		put = operation(sent, path);
		rd_tap_put(pair.in, &put);
		sent++;
	}
	while (rd_tap_read(pair.out, &got) == 1) {
		assert_int_equal(got.result, came);
		assert_int_equal(got.path_len, 5000);
		came++;
	}
	assert_int_equal(came, sent - 1);
	assert_in_range(came, RD_TAP_SIZE / 5200, RD_TAP_SIZE / 5000);
	/* There is room again, beyond the end of the ring. */
	for (unsigned i = 0; i < 2000; i++) {
		path[i] = '\0';
		put = operation(i, path);
		rd_tap_put(pair.in, &put);
		assert_int_equal(rd_tap_read(pair.out, &got), 1);
		assert_int_equal(got.path_len, i);
		path[i] = 'p';
	}
	assert_int_equal(rd_tap_lost(pair.out), 2);
	pair_release(&pair);
}

#define WRITERS 3
#define EACH 30000

static void *writer(void *arg)
{
	static const char *const paths[] = { "/a", "/srv/some/longer/path", "/srv/x" };

	for (uint64_t i = 0; i < EACH; i++) {
		struct rd_operation put = operation(i, paths[i % 3]);

		rd_tap_put(arg, &put);
	}
	return NULL;
}

/* Several put while one reads, and sleeps: all of it arrives or is counted. */
static void test_threads(void **state)
{
	pthread_t threads[WRITERS];
	struct rd_operation got;
	uint64_t came = 0;
	struct pair pair;

	(void)state;
	pair_make(&pair);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, pair.in), 0);
	while (came + rd_tap_lost(pair.out) < WRITERS * EACH) {
		struct pollfd fd = { .fd = pair.wake_fd, .events = POLLIN };

		while (rd_tap_read(pair.out, &got) == 1)
			came++;
		if (came + rd_tap_lost(pair.out) < WRITERS * EACH && rd_tap_rest(pair.out))
			assert_int_equal(poll(&fd, 1, 10000), 1);
		(void)woken(&pair);
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(came + rd_tap_lost(pair.out), WRITERS * EACH);
	pair_release(&pair);
}

/* Whatever the other end writes into the memory, we survive it; a fixed seed. */
static void test_garbage(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct rd_operation got, put = operation(round, "/srv/a");
		struct pair pair;
		uint8_t *map;

		pair_make(&pair);
		map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, rd_tap_memory(pair.out), 0);
		assert_ptr_not_equal(map, MAP_FAILED);
		for (unsigned i = 0; i < 10; i++)
			rd_tap_put(pair.in, &put);
		for (unsigned i = 0; i < 6; i++) {
			random = random * 1664525 + 1013904223;
			map[round % 3 ? 4096 + (random >> 8) % 900 : (random >> 8) % 24] =
				(uint8_t)random;
		}
		for (unsigned i = 0; i < 200000 && rd_tap_read(pair.out, &got) == 1; i++)
			assert_in_range(got.path_len + got.path2_len + got.exe_len, 0,
					RD_TAP_RECORD_MAX);
		munmap(map, 8192);
		pair_release(&pair);
	}
}

/* Who says that there is something, and then that there is not, over and over, keeps nobody. */
static void test_liar(void **state)
{
	struct rd_operation got;
	_Atomic uint64_t *put;
	struct pair pair;

	(void)state;
	pair_make(&pair);
	put = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rd_tap_memory(pair.out), 0);
	assert_ptr_not_equal(put, MAP_FAILED);
	assert_int_equal(rd_tap_read(pair.out, &got), 0);
	*put = 64;
	assert_false(rd_tap_rest(pair.out));
	*put = 0;
	assert_int_equal(rd_tap_read(pair.out, &got), -EPROTO);
	assert_true(rd_tap_rest(pair.out));
	munmap(put, 4096);
	pair_release(&pair);
	/* A whole ring of nothing. */
	pair_make(&pair);
	put = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, rd_tap_memory(pair.out), 0);
	assert_ptr_not_equal(put, MAP_FAILED);
	put[4096 / 8] = UINT32_MAX;
	*put = RD_TAP_SIZE;
	assert_int_equal(rd_tap_read(pair.out, &got), -EPROTO);
	munmap(put, 8192);
	pair_release(&pair);
}

/* Memory that is not sealed, or of another size, is none. */
static void test_memory(void **state)
{
	PFS_CLOSE int fd = memfd_create("no", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct rd_tap *tap;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096 + (off_t)RD_TAP_SIZE), 0);
	assert_int_equal(rd_tap_open(fd, fd, &tap), -EPROTO);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(rd_tap_open(fd, fd, &tap), -EPROTO);
}

/* A process that has gone leaves what it had put, and its number of lost ones. */
static void test_watch(void **state)
{
	struct rd_watch *watch;
	struct rd_operation got, put = operation(1, "/srv/a");
	struct rd_tap *one, *two;
	int a, b;

	(void)state;
	assert_int_equal(rd_watch_new("scan", &watch), 0);
	assert_int_equal(rd_watch_add(watch, 1, &a), 0);
	assert_int_equal(rd_watch_add(watch, 2, &b), 0);
	assert_int_equal(rd_tap_open(a, rd_watch_fd(watch), &one), 0);
	assert_int_equal(rd_tap_open(b, rd_watch_fd(watch), &two), 0);
	assert_int_equal(rd_watch_read(watch, &got), 0);
	rd_tap_put(one, &put);
	rd_tap_put(two, &put);
	rd_tap_put(two, &put);
	rd_watch_gone(watch, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rd_watch_read(watch, &got), 1);
	assert_int_equal(rd_watch_read(watch, &got), 0);
	assert_int_equal(watch->n, 1);
	assert_int_equal(rd_watch_lost(watch), 0);
	rd_tap_put(one, &put);
	assert_int_equal(poll(&(struct pollfd){ .fd = rd_watch_fd(watch), .events = POLLIN }, 1, 0), 1);
	rd_watch_free(watch);
	rd_tap_unref(one);
	rd_tap_unref(two);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),	cmocka_unit_test(test_full),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_liar),	cmocka_unit_test(test_memory),
		cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests_name("tap", tests, NULL, NULL);
}
