/*
 * Whose ids a thread of the layer works with.
 */
#include "redir/layer_i.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/fsuid.h>

#define SOMEBODY 65534

static struct rd_layer layer;

static uid_t fsuid_now(void)
{
	return (uid_t)setfsuid((uid_t)-1);
}

/* Started by a thread that works for somebody else. */
static void *inherits(void *arg)
{
	(void)arg;
	rd_thread_own();
	rd_become(&layer, 0, 0, 022, false);
	assert_int_equal(fsuid_now(), 0);
	assert_int_equal(setfsgid((gid_t)-1), 0);
	assert_int_equal(umask(0), 022);
	return NULL;
}

static void *works(void *arg)
{
	pthread_t other;

	(void)arg;
	rd_thread_own();
	rd_become(&layer, SOMEBODY, SOMEBODY, 077, true);
	assert_int_equal(fsuid_now(), SOMEBODY);
	assert_int_equal(pthread_create(&other, NULL, inherits, NULL), 0);
	pthread_join(other, NULL);
	/* The umask of one is not that of the other. */
	assert_int_equal(umask(0), 077);
	return NULL;
}

static void threads_do_not_inherit(void **state)
{
	pthread_t thread;

	(void)state;
	rd_caller_prepare(&layer);
	if (!layer.privileged)
		skip();
	assert_int_equal(pthread_create(&thread, NULL, works, NULL), 0);
	pthread_join(thread, NULL);
}

/* A thread of a filter, which does the operation for us, gets its own back. */
static void a_stranger_gets_its_own_back(void **state)
{
	(void)state;
	rd_caller_prepare(&layer);
	rd_become(&layer, layer.privileged ? SOMEBODY : geteuid(), getegid(), 0, false);
	rd_become_self(&layer);
	assert_int_equal(fsuid_now(), geteuid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_do_not_inherit),
		cmocka_unit_test(a_stranger_gets_its_own_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
