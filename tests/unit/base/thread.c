/*
 * thread - what is started takes no signal of the process, and who starts it takes those it took before
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>

#include "base/thread.h"

static void *mask_take(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

static void test_blocks_all(void **state)
{
	sigset_t own, before, after;
	pthread_t thread;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(pfs_thread_start(mask_take, &own, &thread), 0);
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int signal = 1; signal < 32; signal++) {
		if (signal != SIGKILL && signal != SIGSTOP)
			assert_int_equal(sigismember(&own, signal), 1);
		assert_int_equal(sigismember(&after, signal), sigismember(&before, signal));
	}
}

static void *done(void *arg)
{
	atomic_store((_Atomic bool *)arg, true);
	return NULL;
}

static void test_detached(void **state)
{
	static _Atomic bool over;

	(void)state;
	assert_int_equal(pfs_thread_start(done, &over, NULL), 0);
	while (!atomic_load(&over))
		sched_yield();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_all),
		cmocka_unit_test(test_detached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
