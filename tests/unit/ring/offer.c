/*
 * offer - a ring of records from somebody else: against a plain list, over its end, by two threads that sleep and wake
 * each other, and with memory in which anything may stand
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "ring/offer.h"

#define SIZE 4096
#define RECORD_MAX (SIZE / 4)

static uint32_t rnd(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 8;
}

static struct pfs_offer *taker_make(uint64_t size)
{
	struct pfs_offer *offer;

	assert_int_equal(pfs_offer_new(size, &offer), 0);
	return offer;
}

static struct pfs_offer *giver_make(const struct pfs_offer *taker)
{
	struct pfs_offer *offer;

	assert_int_equal(pfs_offer_open(pfs_offer_memory(taker), &offer), 0);
	return offer;
}

/* A record whose bytes tell its number; ret_wakes: the taker rested. */
static int give(struct pfs_offer *offer, uint32_t n, size_t len, bool *ret_wakes)
{
	uint8_t *p;
	void *bytes;
	int r = pfs_offer_reserve(offer, len, &bytes);

	if (r < 0)
		return r;
	p = bytes;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(n * 13 + i);
	*ret_wakes = pfs_offer_commit(offer, len, NULL);
	return 0;
}

static void check(const void *bytes, size_t len, uint32_t n, size_t want)
{
	const uint8_t *p = bytes;
	bool wrong = len != want;

	for (size_t i = 0; i < len; i++)
		wrong |= p[i] != (uint8_t)(n * 13 + i);
	assert_false(wrong);
}

static void memory(void **state)
{
	static const uint64_t bad[] = { 0, 4095, 4097, 12288, PFS_OFFER_MAX * 2 };
	struct pfs_offer *taker = taker_make(SIZE), *giver;
	int fd = memfd_create("no such memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pfs_offer_new(bad[i], &giver), -EINVAL);
	assert_int_equal(ftruncate(pfs_offer_memory(taker), 4096), -1);
	assert_int_equal(ftruncate(pfs_offer_memory(taker), 1 << 20), -1);
	assert_int_equal(pfs_offer_open(fd, &giver), -EPROTO); /* not sealed */
	assert_int_equal(ftruncate(fd, 4096 + 5000), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(pfs_offer_open(fd, &giver), -EPROTO);
	assert_int_equal(pfs_offer_open(-1, &giver), -EPROTO);
	close(fd);
	pfs_offer_free(taker);
	pfs_offer_free(NULL);
}

static void one_by_one(void **state)
{
	struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
	const void *bytes;
	void *room, *again;
	size_t len;
	bool wakes;

	assert_int_equal(pfs_offer_reserve(giver, 0, &room), -EINVAL);
	assert_int_equal(pfs_offer_reserve(giver, RECORD_MAX + 1, &room), -EMSGSIZE);
	assert_int_equal(pfs_offer_peek(taker, &bytes, &len), 0);
	assert_false(pfs_offer_wait_empty(giver));
	assert_int_equal(pfs_offer_reserve(giver, RECORD_MAX, &room), 0);
	assert_int_equal(pfs_offer_reserve(giver, 10, &again), 0);
	assert_ptr_equal(room, again);
	assert_int_equal((uintptr_t)room % 8, 0);
	assert_int_equal(pfs_offer_peek(taker, &bytes, &len), 0); /* not committed */
	assert_int_equal(give(giver, 1, 5, &wakes), 0);
	assert_false(wakes);
	for (int i = 0; i < 2; i++) { /* it stays */
		assert_int_equal(pfs_offer_peek(taker, &bytes, &len), 1);
		check(bytes, len, 1, 5);
	}
	assert_false(pfs_offer_rest(taker));
	assert_true(pfs_offer_wait_empty(giver));
	assert_int_equal(pfs_offer_peek(taker, &bytes, &len), 1);
	assert_true(pfs_offer_take(taker));
	assert_true(pfs_offer_rest(taker));
	assert_int_equal(give(giver, 2, 1, &wakes), 0);
	assert_true(wakes);
	assert_int_equal(give(giver, 3, 1, &wakes), 0);
	assert_false(wakes); /* once is enough */
	pfs_offer_free(giver);
	pfs_offer_free(taker);
}

/* A time and a true length come as they were said, and are gone with their record. */
static void said(void **state)
{
	struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
	const struct pfs_said tell = { .time = UINT64_MAX - 3, .wire_len = UINT32_MAX };
	const void *bytes;
	void *room;
	size_t len;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pfs_offer_reserve(giver, 8, &room), 0);
		memset(room, 0xee, 8);
		pfs_offer_commit(giver, 8, i == 0 ? &tell : NULL);
		assert_int_equal(pfs_offer_peek(taker, &bytes, &len), 1);
		assert_int_equal(len, 8);
		assert_true(pfs_offer_said(taker)->time == (i == 0 ? tell.time : 0));
		assert_int_equal(pfs_offer_said(taker)->wire_len, i == 0 ? tell.wire_len : 0);
		pfs_offer_take(taker);
	}
	pfs_offer_free(giver);
	pfs_offer_free(taker);
}

/* Full: -EAGAIN; woken once, when half of it is free. */
static void full(void **state)
{
	struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
	uint32_t n = 0, took = 0, woken = 0;
	const void *bytes;
	size_t len;
	bool wakes;

	while (give(giver, n, 48, &wakes) == 0)
		n++;
	assert_int_equal(n, SIZE / 64);
	assert_true(pfs_offer_wait(giver, 48));
	while (pfs_offer_peek(taker, &bytes, &len) == 1) {
		check(bytes, len, took++, 48);
		if (pfs_offer_take(taker)) {
			woken++;
			assert_int_equal(took, n / 2);
		}
	}
	assert_int_equal(took, n);
	assert_int_equal(woken, 1);
	assert_false(pfs_offer_wait(giver, 48));
	pfs_offer_free(giver);
	pfs_offer_free(taker);
}

/* Who waits for room hears that there will be none, and why. */
static void over(void **state)
{
	struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
	const void *bytes;
	void *room;
	size_t len;
	bool wakes;

	while (give(giver, 1, 500, &wakes) == 0)
		;
	assert_int_equal(pfs_offer_flushed(giver), -EAGAIN);
	assert_true(pfs_offer_wait(giver, 500));
	assert_true(pfs_offer_end(taker, EPIPE));
	assert_false(pfs_offer_end(taker, EPIPE));
	assert_int_equal(pfs_offer_reserve(giver, 1, &room), -EPIPE);
	assert_int_equal(pfs_offer_flushed(giver), -EPIPE);
	assert_false(pfs_offer_wait(giver, 500));
	assert_false(pfs_offer_wait_empty(giver));
	assert_int_equal(pfs_offer_peek(taker, &bytes, &len), -EPROTO);
	pfs_offer_free(giver);
	pfs_offer_free(taker);
}

/* A list of lengths is the model. */
static void against_model(void **state)
{
	for (uint32_t seed = 1; seed <= 100; seed++) {
		struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
		uint32_t x = seed, given = 0, taken = 0, lens[SIZE / 16], biased = seed % 5;
		size_t used = 0, len;
		const void *bytes;
		bool wakes;

		for (unsigned i = 0; i < 5000; i++) {
			if (rnd(&x) % 6 > biased) {
				len = 1 + rnd(&x) % (rnd(&x) % 8 ? 60 : RECORD_MAX);
				if (give(giver, given, len, &wakes) == 0) {
					lens[given++ % ARRAY_SIZE(lens)] = (uint32_t)len;
					used += 16 + (len + 7) / 8 * 8;
				} else {
					assert_true(used + 16 + (len + 7) / 8 * 8 > SIZE);
				}
			} else {
				uint32_t want = lens[taken % ARRAY_SIZE(lens)];

				assert_int_equal(pfs_offer_peek(taker, &bytes, &len), taken < given);
				if (taken == given)
					continue;
				check(bytes, len, taken++, want);
				pfs_offer_take(taker);
				used -= 16 + (len + 7) / 8 * 8;
			}
			assert_true(used <= SIZE);
		}
		pfs_offer_free(giver);
		pfs_offer_free(taker);
	}
}

/* --- threads: one struct, as ThreadSanitizer goes by addresses ---------------------------------------- */

#define MANY 300000

static struct {
	struct pfs_offer *offer;
	int bell, room; /* eventfds */
} both;

static size_t length(uint32_t n)
{
	return 1 + n * 2654435761u % (n % 100 ? 50 : RECORD_MAX);
}

static void *giver_main(void *arg)
{
	eventfd_t count;
	bool wakes = false;

	for (uint32_t n = 0; n < MANY; n++) {
		while (give(both.offer, n, length(n), &wakes) == -EAGAIN)
			if (pfs_offer_wait(both.offer, length(n)))
				eventfd_read(both.room, &count);
		if (wakes)
			eventfd_write(both.bell, 1);
	}
	if (pfs_offer_wait_empty(both.offer))
		eventfd_read(both.room, &count);
	assert_false(pfs_offer_wait_empty(both.offer));
	return arg;
}

/* Nobody is left asleep: else this never ends. */
static void threads(void **state)
{
	pthread_t thread;
	eventfd_t count;
	uint32_t n = 0;
	size_t len;

	both.offer = taker_make(SIZE);
	both.bell = eventfd(0, EFD_CLOEXEC);
	both.room = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pthread_create(&thread, NULL, giver_main, NULL), 0);
	while (n < MANY) {
		const void *bytes;
		int r = pfs_offer_peek(both.offer, &bytes, &len);

		assert_true(r >= 0);
		if (r == 0) {
			if (pfs_offer_rest(both.offer))
				eventfd_read(both.bell, &count);
			continue;
		}
		check(bytes, len, n, length(n));
		n++;
		if (pfs_offer_take(both.offer))
			eventfd_write(both.room, 1);
	}
	pthread_join(thread, NULL);
	close(both.bell);
	close(both.room);
	pfs_offer_free(both.offer);
}

/* --- garbage ------------------------------------------------------------------------------------------ */

/* Every byte of it, or a signal. */
static bool readable(const void *bytes, size_t len)
{
	unsigned sum = 1;

	for (size_t i = 0; i < len; i++)
		sum += ((const volatile uint8_t *)bytes)[i];
	return sum > 0;
}

/* What stands there: at most the length of a record, or the end. */
static void anything(void **state)
{
	unsigned good = 0, broken = 0;
	uint32_t x = 3;

	for (unsigned round = 0; round < 3000; round++) {
		struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
		uint64_t *words = mmap(NULL, 4096 + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				       pfs_offer_memory(taker), 0);
		const void *bytes = NULL;
		size_t len = 0;
		bool wakes;
		int r = 0;

		assert_ptr_not_equal(words, MAP_FAILED);
		for (unsigned i = 0; i < 40 && r >= 0; i++) {
			unsigned where = rnd(&x) % 4;

			(void)give(giver, i, 1 + rnd(&x) % 200, &wakes);
			if (where == 0)
				words[rnd(&x) % 10] = rnd(&x) % 2 ? rnd(&x) % 0x3000
								  : UINT64_MAX - rnd(&x);
			else if (where == 1)
				words[512 + rnd(&x) % 512] = rnd(&x) % 2 ? rnd(&x) % 0x500
									 : (uint64_t)rnd(&x) << 32;
			r = pfs_offer_rest(taker) && rnd(&x) % 2
				    ? 0
				    : pfs_offer_peek(taker, &bytes, &len);
			if (r == 1) {
				good++;
				assert_in_range(len, 1, RECORD_MAX);
				assert_true(readable(bytes, len));
				pfs_offer_take(taker);
			}
		}
		broken += r < 0;
		if (r < 0) {
			words[0] = 0;
			assert_int_equal(pfs_offer_peek(taker, &bytes, &len), -EPROTO);
			assert_false(pfs_offer_rest(taker));
		}
		munmap(words, 4096 + SIZE);
		pfs_offer_free(giver);
		pfs_offer_free(taker);
	}
	assert_true(good > 1000 && broken > 1000);
}

/* A position and the length of the first record: what is whole and what is not. */
static void nonsense(void **state)
{
	static const struct {
		uint64_t given, header;
		int want;
	} table[] = {
		{ 0, 5, 0 },
		{ 24, 5, 1 },
		{ 24, 8, 1 },
		{ 24, 9, -EPROTO }, /* longer than what is there */
		{ 32, 9, 1 },
		{ 32, 0, -EPROTO },
		{ 16, 1, -EPROTO },
		{ 8, 1, -EPROTO },
		{ 4, 1, -EPROTO },
		{ 25, 1, -EPROTO },
		{ SIZE, RECORD_MAX, 1 },
		{ SIZE, RECORD_MAX + 1, -EPROTO },
		{ SIZE, SIZE - 16, -EPROTO },
		{ SIZE + 8, 1, -EPROTO },
		{ SIZE, UINT32_MAX, -EPROTO },
		{ SIZE, UINT32_MAX - 6, -EPROTO },
		{ SIZE, UINT64_MAX, -EPROTO },
		{ SIZE, (9ull << 32) + 1, 1 },
		{ SIZE, 1ull << 32, -EPROTO },
		{ UINT64_MAX - 7, 1, -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pfs_offer *taker = taker_make(SIZE);
		uint64_t *words = mmap(NULL, 4096 + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				       pfs_offer_memory(taker), 0);
		const void *bytes;
		size_t len;

		assert_ptr_not_equal(words, MAP_FAILED);
		words[0] = table[i].given;
		words[512] = table[i].header;
		assert_int_equal(pfs_offer_peek(taker, &bytes, &len), table[i].want);
		if (table[i].want == 1)
			assert_int_equal(len, (uint32_t)table[i].header);
		munmap(words, 4096 + SIZE);
		pfs_offer_free(taker);
	}
}

/* A position that goes back and forth keeps nobody busy. */
static void promises(void **state)
{
	struct pfs_offer *taker = taker_make(SIZE), *giver = giver_make(taker);
	uint64_t *words =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, pfs_offer_memory(taker), 0);
	const void *bytes;
	size_t len;

	assert_ptr_not_equal(words, MAP_FAILED);
	words[0] = 64;
	assert_false(pfs_offer_rest(taker));
	words[0] = 0;
	assert_int_equal(pfs_offer_peek(taker, &bytes, &len), -EPROTO);
	munmap(words, 4096);
	pfs_offer_free(giver);
	pfs_offer_free(taker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory),   cmocka_unit_test(one_by_one),
		cmocka_unit_test(said),	    cmocka_unit_test(full),
		cmocka_unit_test(over),	    cmocka_unit_test(threads),
		cmocka_unit_test(anything), cmocka_unit_test(nonsense),
		cmocka_unit_test(promises), cmocka_unit_test(against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
