/*
 * wait - a watch sees each change, and is freed once, after nobody looks any more, whenever it is closed
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ring/wait.h"

static struct pfs_waitlist list;
static _Atomic unsigned changed; /* what is watched */
static _Atomic unsigned freed;
static _Atomic bool over;

struct watched {
	struct pfs_watch watch;
	_Atomic unsigned seen;
};

static void look(struct pfs_watch *watch)
{
	struct watched *w = CONTAINER_OF(watch, struct watched, watch);

	atomic_store(&w->seen, atomic_load(&changed));
}

static void last(struct pfs_watch *watch)
{
	free(CONTAINER_OF(watch, struct watched, watch));
	atomic_fetch_add(&freed, 1);
}

static struct watched *watched_open(void)
{
	struct watched *w = pfs_zalloc(1, sizeof(*w));

	assert_non_null(w);
	pfs_watch_open(&w->watch, &list, look, last);
	return w;
}

static void sees_each(void **state)
{
	struct watched *w;

	(void)state;
	pfs_waitlist_init(&list);
	atomic_store(&freed, 0);
	w = watched_open();
	for (unsigned i = 0; i < 3; i++) {
		unsigned now = atomic_fetch_add(&changed, 1) + 1;

		pfs_wait_wake(&list);
		assert_int_equal(w->seen, now);
	}
	assert_int_equal(freed, 0);
	pfs_watch_close(&w->watch);
	assert_int_equal(freed, 1);
	pfs_wait_wake(&list);
	pfs_waitlist_release(&list);
}

static void *change(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		atomic_fetch_add(&changed, 1);
		pfs_wait_wake(&list);
	}
	return NULL;
}

#define ROUNDS 5000

/* Two threads wake while it is opened and closed. */
static void closed_meanwhile(void **state)
{
	pthread_t threads[2];

	(void)state;
	pfs_waitlist_init(&list);
	atomic_store(&freed, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, change, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct watched *w = watched_open();

		while (i % 4 == 0 && !atomic_load(&w->seen))
			sched_yield(); /* it is being woken all the time */
		pfs_watch_close(&w->watch);
	}
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(freed, ROUNDS);
	pfs_waitlist_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_each),
		cmocka_unit_test(closed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
