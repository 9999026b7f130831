/*
 * A mount that several detach at the same time goes, and what lay below it stays. Needs root, for mounts of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/detach.h"
#include "base/mountinfo.h"

#define ROUNDS 300

static char dir[] = "/tmp/detach-XXXXXX";
static pthread_barrier_t barrier;
static struct pfs_mountinfo over;

static void *detach_run(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		pfs_mount_detach(over.major, over.minor, i % 2);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void test_two(void **state)
{
	struct pfs_mountinfo under, top;
	pthread_t thread[2];

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		skip();
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("below", dir, "tmpfs", 0, NULL), 0);
	assert_int_equal(pfs_mountinfo_at(dir, &under), 0);
	pthread_barrier_init(&barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, detach_run, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(mount("over", dir, "tmpfs", 0, NULL), 0);
		assert_int_equal(pfs_mountinfo_at(dir, &over), 0);
		assert_int_not_equal(over.id, under.id);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		assert_int_equal(pfs_mountinfo_at(dir, &top), 0);
		assert_int_equal(top.id, under.id);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* What another one is mounted over is not to be had, and that one stays. */
static void test_hidden(void **state)
{
	struct pfs_mountinfo under, top;

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		skip();
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("below", dir, "tmpfs", 0, NULL), 0);
	assert_int_equal(pfs_mountinfo_at(dir, &under), 0);
	assert_int_equal(mount("over", dir, "tmpfs", 0, NULL), 0);
	assert_int_equal(pfs_mountinfo_at(dir, &top), 0);
	assert_int_equal(pfs_mount_detach(under.major, under.minor, true), -EBUSY);
	assert_int_equal(pfs_mountinfo_at(dir, &under), 0);
	assert_int_equal(under.id, top.id);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_two), cmocka_unit_test(test_hidden) };
	int r;

	if (!mkdtemp(dir))
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}
