/*
 * What scans have said: one scan for many who ask, nothing kept of another state, of other rules, of another
 * file with the same number, or of what may not be kept; and never more than there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "urfs/scan_cache.h"

static const struct scan_result clean = { .found = false }, bad = { .found = true, .rule = "evil" };

static uint64_t in_ms(unsigned ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000;
}

static struct scan_key key_of(uint64_t ino)
{
	return (struct scan_key){ 1, ino, 7, 100, 1000, 2000, 1 };
}

/* What it says of that key; scans when it must, with what `result` says. 1: it was known. */
static int ask(struct scan_cache *cache, struct scan_key key, const struct scan_result *result,
	       struct scan_result *ret_result)
{
	struct scan_claim *claim;
	int r = scan_cache_begin(cache, &key, in_ms(60000), ret_result, &claim);

	if (r == 0) {
		assert_non_null(claim);
		scan_cache_end(cache, claim, result);
	}
	return r;
}

static void test_known(void **state)
{
	struct scan_cache *cache;
	struct scan_result got;
	struct scan_key key = key_of(10), other;

	(void)state;
	assert_int_equal(scan_cache_new(100, &cache), 0);
	assert_int_equal(ask(cache, key, &clean, &got), 0);
	assert_int_equal(ask(cache, key, &bad, &got), 1);
	assert_false(got.found);
	assert_int_equal(ask(cache, key_of(2), &bad, &got), 0);
	assert_int_equal(ask(cache, key_of(2), &clean, &got), 1);
	assert_true(got.found);
	assert_string_equal(got.rule, "evil");
	/* Whatever differs is something else. */
	for (size_t i = 0; i < sizeof(key) / 8; i++) {
		other = key;
		((uint64_t *)&other)[i]++;
		assert_int_equal(ask(cache, key, &clean, &got) >= 0, 1);
		assert_int_equal(ask(cache, key, &clean, &got), 1);
		assert_int_equal(ask(cache, other, NULL, &got), 0);
	}
	scan_cache_free(cache);
}

/* A newer state of a file takes the place of the older one. */
static void test_newer(void **state)
{
	struct scan_cache_numbers numbers;
	struct scan_cache *cache;
	struct scan_result got;
	struct scan_key key = key_of(1);

	(void)state;
	assert_int_equal(scan_cache_new(100, &cache), 0);
	for (key.ctime = 0; key.ctime < 1000; key.ctime++)
		assert_int_equal(ask(cache, key, &clean, &got), 0);
	scan_cache_numbers(cache, &numbers);
	assert_int_equal(numbers.entries, 1);
	assert_int_equal(numbers.evicted, 0);
	scan_cache_free(cache);
}

/* Room for ten: those that were asked for last. */
static void test_full(void **state)
{
	struct scan_cache_numbers numbers;
	struct scan_cache *cache;
	struct scan_result got;

	(void)state;
	assert_int_equal(scan_cache_new(10, &cache), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(ask(cache, key_of(i), i % 2 ? &bad : &clean, &got), 0);
		assert_int_equal(ask(cache, key_of(0), &clean, &got), 1); /* used, so it stays */
	}
	scan_cache_numbers(cache, &numbers);
	assert_int_equal(numbers.entries, 10);
	assert_int_equal(numbers.evicted, 990);
	for (uint64_t i = 991; i < 1000; i++) {
		assert_int_equal(ask(cache, key_of(i), NULL, &got), 1);
		assert_int_equal(got.found, i % 2);
	}
	assert_int_equal(ask(cache, key_of(990), NULL, &got), 0);
	scan_cache_free(cache);
	/* No room at all. */
	assert_int_equal(scan_cache_new(0, &cache), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(cache, key_of(1), &clean, &got), 0);
	scan_cache_numbers(cache, &numbers);
	assert_int_equal(numbers.entries, 0);
	scan_cache_free(cache);
}

/* --- many ------------------------------------------------------------------------------------------- */

static struct scan_cache *shared;
static _Atomic int scans, alone, late, found;

static void *asker(void *arg)
{
	struct scan_key key = key_of(5);
	struct scan_claim *claim;
	struct scan_result got;
	int r = scan_cache_begin(shared, &key, in_ms(*(unsigned *)arg), &got, &claim);

	if (r == 0 && claim) {
		scans++;
		scan_cache_end(shared, claim, &bad);
	}
	alone += r == 0 && !claim;
	late += r == -ETIMEDOUT;
	found += r == 1 && got.found && strcmp(got.rule, "evil") == 0;
	return NULL;
}

/* Twenty who ask while one scans; how that ends. */
static void with_waiters(const struct scan_result *result, unsigned ms, bool end_first)
{
	struct scan_key key = key_of(5);
	struct scan_claim *claim;
	struct scan_result got;
	pthread_t threads[20];

	scans = alone = late = found = 0;
	assert_int_equal(scan_cache_new(10, &shared), 0);
	assert_int_equal(scan_cache_begin(shared, &key, in_ms(60000), &got, &claim), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, asker, &ms), 0);
	if (end_first)
		scan_cache_end(shared, claim, result);
	for (int i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
	if (!end_first)
		scan_cache_end(shared, claim, result);
	scan_cache_free(shared);
}

static void test_waiters(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		with_waiters(&bad, 60000, true);
		assert_int_equal(found, 20);
		/* A result that may not be kept is nobody else's: each finds out for himself. */
		with_waiters(NULL, 60000, true);
		assert_int_equal(scans + alone + found, 20);
		assert_true(found == 0 || scans > 0);
	}
	with_waiters(&bad, 20, false);
	assert_int_equal(late, 20);
}

/* Random claims of few keys by many threads: what is said of a key is always what was found out about it. */
static void *mill(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (int i = 0; i < 20000; i++) {
		struct scan_key key = key_of((uint64_t)rand_r(&seed) % 30);
		struct scan_result got, result;
		struct scan_claim *claim;
		int r;

		key.ctime = (uint64_t)rand_r(&seed) % 3;
		r = scan_cache_begin(shared, &key, in_ms(60000), &got, &claim);
		result = (key.ino + key.ctime) % 2 ? bad : clean;
		if (r == 0)
			scan_cache_end(shared, claim, rand_r(&seed) % 4 ? &result : NULL);
		else if (r != 1 || got.found != result.found)
			found++;
	}
	return NULL;
}

static void test_mill(void **state)
{
	unsigned seeds[6] = { 1, 2, 3, 4, 5, 6 };
	struct scan_cache_numbers numbers;
	pthread_t threads[6];

	(void)state;
	found = 0;
	assert_int_equal(scan_cache_new(8, &shared), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, mill, &seeds[i]), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(found, 0);
	scan_cache_numbers(shared, &numbers);
	assert_true(numbers.entries <= 8);
	assert_true(numbers.hits > 0 && numbers.evicted > 0);
	scan_cache_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known), cmocka_unit_test(test_newer),
		cmocka_unit_test(test_full),  cmocka_unit_test(test_waiters),
		cmocka_unit_test(test_mill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
