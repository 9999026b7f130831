/*
 * alike - who has given something up is not alike
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/alike.h"

/* What a child gives up; 0, or errno when it cannot here. */
static int nothing(void)
{
	umask(0137);
	return 0;
}

static int user(void)
{
	return setresuid(65533, 65533, 65533) ? errno : 0;
}

static int real_user(void)
{
	return setresuid(65533, 0, 0) ? errno : 0;
}

static int group(void)
{
	return setresgid(65533, 65533, 65533) ? errno : 0;
}

static int groups(void)
{
	gid_t one = 12345;

	return setgroups(1, &one) ? errno : 0;
}

static int no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? errno : 0;
}

static int bounding(void)
{
	return prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0) ? errno : 0;
}

static int effective(void)
{
	cap_t caps = cap_get_proc();
	cap_value_t one = CAP_NET_RAW;
	cap_flag_value_t had = CAP_CLEAR;
	int r;

	cap_get_flag(caps, one, CAP_EFFECTIVE, &had);
	r = had == CAP_CLEAR								  ? EPERM
	    : cap_set_flag(caps, CAP_EFFECTIVE, 1, &one, CAP_CLEAR) || cap_set_proc(caps) ? errno
											  : 0;

	cap_free(caps);
	return r;
}

static int filtered(void)
{
	struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { .len = 1, .filter = allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? errno : 0;
}

static int filtered_as_root(void)
{
	struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { .len = 1, .filter = allow };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? errno : 0;
}

static int network(void)
{
	return unshare(CLONE_NEWNET) ? errno : 0;
}

static int mounts(void)
{
	return unshare(CLONE_NEWNS) ? errno : 0;
}

static int names(void)
{
	return unshare(CLONE_NEWUTS) ? errno : 0;
}

static int users(void)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

static int root_directory(void)
{
	return chroot("/tmp") || chdir("/") ? errno : 0;
}

static const struct {
	const char *name;
	int (*give_up)(void);
	int shallow, deep;
	const char *word; /* in the sentence */
} cases[] = {
	{ "nothing", nothing, 0, 0, "" },
	{ "user", user, -EPERM, -EPERM, "Uid" },
	{ "real_user", real_user, -EPERM, -EPERM, "Uid" },
	{ "group", group, -EPERM, -EPERM, "Gid" },
	{ "groups", groups, -EPERM, -EPERM, "Groups" },
	{ "no_new_privs", no_new_privs, -EPERM, -EPERM, "no_new_privs" },
	{ "bounding set", bounding, -EPERM, -EPERM, "CapBnd" },
	{ "effective", effective, -EPERM, -EPERM, "CapEff" },
	{ "filter", filtered, -EPERM, -EPERM, "" },
	{ "filter alone", filtered_as_root, -EPERM, -EPERM, "seccomp" },
	{ "network", network, -EPERM, -EPERM, "net" },
	{ "mounts", mounts, -EXDEV, -EXDEV, "root" },
	{ "host name", names, 0, -EPERM, "uts" },
	{ "user namespace", users, -EPERM, -EPERM, "" },
	{ "root", root_directory, -EXDEV, -EXDEV, "root" },
};

/* A child that has given it up, and waits to be killed. 0: it cannot. */
static pid_t start(int (*give_up)(void))
{
	int ready[2], r = -1;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		r = give_up();
		if (write(ready[1], &r, sizeof(r)) != sizeof(r))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &r, sizeof(r)), sizeof(r));
	close(ready[0]);
	close(ready[1]);
	if (r) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return 0;
	}
	return pid;
}

static void test_given_up(void **state)
{
	struct pfs_alike *self;
	mode_t mask;

	(void)state;
	assert_int_equal(pfs_alike_new(0, &self, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t pid = start(cases[i].give_up);
		struct pfs_diag diag = { "" };
		int r;

		if (!pid) {
			print_message("%s: cannot be given up here\n", cases[i].name);
			continue;
		}
		r = pfs_alike_check(self, pid, false, &mask, &diag);
		if (r != cases[i].shallow || (r && !strstr(diag.text, cases[i].word)))
			fail_msg("%s: %d %s", cases[i].name, r, diag.text);
		r = pfs_alike_check(self, pid, true, &mask, &diag);
		if (r != cases[i].deep || (r && !strstr(diag.text, cases[i].word)))
			fail_msg("%s: %d %s", cases[i].name, r, diag.text);
		if (!r)
			assert_int_equal(mask, 0137);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		/* And who has gone is nobody. */
		assert_int_equal(pfs_alike_check(self, pid, false, &mask, &diag), -EPERM);
	}
	pfs_alike_free(self);
}

/* One filter more is what all callers have. */
static void test_filters(void **state)
{
	struct pfs_alike *self;
	struct pfs_diag diag = { "" };
	pid_t pid = start(geteuid() == 0 ? filtered_as_root : filtered);
	mode_t mask;
	int r;

	(void)state;
	if (!pid)
		skip();
	assert_int_equal(pfs_alike_new(1, &self, NULL), 0);
	r = pfs_alike_check(self, pid, true, &mask, &diag);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pfs_alike_free(self);
	if (geteuid() == 0)
		assert_int_equal(r, 0);
	else
		assert_non_null(strstr(diag.text, "no_new_privs"));
}

static void test_self(void **state)
{
	struct pfs_alike *self;
	struct pfs_diag diag = { "" };
	mode_t mask = umask(027);

	(void)state;
	assert_int_equal(pfs_alike_new(0, &self, NULL), 0);
	assert_int_equal(pfs_alike_check(self, getpid(), true, &mask, &diag), 0);
	assert_int_equal(mask, 027);
	assert_int_equal(pfs_alike_check(self, 0, true, &mask, &diag), -EPERM);
	assert_int_equal(pfs_alike_check(self, -1, true, &mask, &diag), -EPERM);
	pfs_alike_free(self);
	pfs_alike_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
