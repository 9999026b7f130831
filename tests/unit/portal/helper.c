/*
 * helper - portals opened by processes of their callers
 *
 * As root the caller is nobody; an ordinary user is his own caller.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "../until.h"
#include "portal/helper.h"

#define NOBODY 65534
#define PATIENCE 20000 /* ms: not until a test should pass, but until it has failed */
#define PORTALS_MAX 40
#define COMMANDS_MAX 10

static struct pfs_spawner *spawner;
static struct pfs_helpers *helpers;
static struct pfs_portal_rules *rules;
static struct pfs_caller caller = { .netns_fd = -1 };

struct probe {
	struct pfs_portal_opening opening;
	_Atomic bool done, ended;
	int result, status;
	int fd;
	pid_t pid;
	char why[256], where[64], line[100];
};

static struct probe *probe_of(struct pfs_portal_opening *opening)
{
	return CONTAINER_OF(opening, struct probe, opening);
}

static void on_done(struct pfs_portal_opening *opening, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct probe *probe = probe_of(opening);

	assert_false(probe->done);
	probe->result = result;
	memcpy(probe->why, diag->text, sizeof(probe->why));
	if (res) {
		probe->fd = res->fd;
		probe->pid = res->pid;
	}
	probe->done = true;
}

static void on_waits(struct pfs_portal_opening *opening, const char *where)
{
	snprintf(probe_of(opening)->where, sizeof(probe_of(opening)->where), "%s", where);
}

static void on_said(struct pfs_portal_opening *opening, const char *line, size_t len)
{
	assert_true(probe_of(opening)->done);
	snprintf(probe_of(opening)->line, sizeof(probe_of(opening)->line), "%.*s", (int)len, line);
}

static void on_ended(struct pfs_portal_opening *opening, int status)
{
	assert_true(probe_of(opening)->done);
	probe_of(opening)->status = status;
	probe_of(opening)->ended = true;
}

static int try(struct probe *probe, const char *path, int flags)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	struct pfs_diag diag = { "" };
	int r;

	*probe = (struct probe){ .fd = -1 };
	if (pfs_portal_parse(rules, path, false, flags & O_ACCMODE, &plan, &diag) < 0)
		fail_msg("%s: %s", path, diag.text);
	probe->opening = (struct pfs_portal_opening){
		.plan = &plan,
		.flags = flags,
		.umask = 022,
		.limits = caller.limits,
		.done = on_done,
		.waits = on_waits,
		.said = on_said,
		.ended = on_ended,
	};
	r = pfs_helper_open(helpers, &caller, &probe->opening, &diag);
	if (r < 0) {
		assert_true(diag.text[0]);
		memcpy(probe->why, diag.text, sizeof(probe->why));
	}
	return r;
}

static void begin(struct probe *probe, const char *path, int flags)
{
	if (try(probe, path, flags) < 0)
		fail_msg("%s: %s", path, probe->why);
}

static void turn(void)
{
	struct pollfd fd = { .fd = pfs_helpers_fd(helpers), .events = POLLIN };

	assert_int_equal(poll(&fd, 1, PATIENCE), 1);
	pfs_helpers_run(helpers);
}

static int open_now(struct probe *probe, const char *path, int flags)
{
	begin(probe, path, flags);
	while (!probe->done)
		turn();
	return probe->result;
}

static void end(struct probe *probe)
{
	pfs_closep(&probe->fd);
	pfs_helper_end(helpers, &probe->opening);
}

static void output_of(const char *path, char *out, size_t size)
{
	struct probe probe;
	size_t len = 0;
	ssize_t n;

	if (open_now(&probe, path, O_RDONLY) < 0)
		fail_msg("%s: %s", path, probe.why);
	while ((n = read(probe.fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	while (!probe.ended)
		turn();
	end(&probe);
}

static void test_rights(void **state)
{
	struct probe probe;
	char out[200];

	(void)state;
	output_of("pipe/usr/bin/id -u", out, sizeof(out));
	assert_int_equal(atol(out), caller.uid);
	output_of("pipe/bin/sh -c 'ulimit -Sn'", out, sizeof(out));
	assert_int_equal(atol(out), caller.limits[RLIMIT_NOFILE].rlim_cur);
	assert_int_equal(open_now(&probe, "fs/etc/shadow", O_RDONLY), -EACCES);
	assert_non_null(strstr(probe.why, "/etc/shadow: Permission denied"));
	end(&probe);
	assert_int_equal(open_now(&probe, "fs/etc/passwd", O_RDONLY), 0);
	end(&probe);
	assert_int_equal(open_now(&probe, "tcp/127.0.0.1/1/priv", O_RDWR), -EPERM);
	end(&probe);
}

static void test_command(void **state)
{
	struct probe probe;

	(void)state;
	assert_int_equal(open_now(&probe, "pipe/bin/sh -c 'echo word >&2; exit 5'", O_RDONLY), 0);
	assert_true(probe.pid > 1);
	while (!probe.ended)
		turn();
	assert_string_equal(probe.line, "word");
	assert_int_equal(WEXITSTATUS(probe.status), 5);
	end(&probe);
	begin(&probe, "tcplisten/127.0.0.1/0", O_RDWR);
	while (!probe.where[0])
		turn();
	assert_ptr_equal(strstr(probe.where, "127.0.0.1:"), probe.where);
	end(&probe);
}

static void test_limits(void **state)
{
	static struct probe probe[PORTALS_MAX], more;

	(void)state;
	for (int i = 0; i < PORTALS_MAX; i++)
		begin(&probe[i], "fs/etc/passwd", O_RDONLY);
	assert_int_equal(try(&more, "fs/etc/passwd", O_RDONLY), -EMFILE);
	for (int i = 0; i < PORTALS_MAX; i++)
		end(&probe[i]);
	for (int i = 0; i < COMMANDS_MAX; i++)
		begin(&probe[i], "pipe/bin/sleep 1000", O_RDONLY);
	assert_int_equal(try(&more, "pipe/bin/true", O_RDONLY), -EAGAIN);
	assert_int_equal(open_now(&more, "fs/etc/passwd", O_RDONLY), 0);
	end(&more);
	for (int i = 0; i < COMMANDS_MAX; i++)
		end(&probe[i]);
}

/* The parent of a command is its helper. */
static pid_t helper_pid(void)
{
	char out[100];

	output_of("pipe/bin/sh -c 'ps -o ppid= -p $$'", out, sizeof(out));
	assert_true(atol(out) > 1);
	return (pid_t)atol(out);
}

static void test_killed(void **state)
{
	struct probe waits, runs, next;

	(void)state;
	begin(&waits, "tcplisten/127.0.0.1/0", O_RDWR);
	assert_int_equal(open_now(&runs, "pipe/bin/sleep 1000", O_RDONLY), 0);
	assert_int_equal(kill(helper_pid(), SIGKILL), 0);
	while (!waits.done || !runs.ended)
		turn();
	assert_int_equal(waits.result, -EIO);
	assert_int_equal(WTERMSIG(runs.status), SIGKILL);
	end(&waits);
	assert_int_equal(open_now(&next, "fs/etc/passwd", O_RDONLY), 0);
	end(&next);
	end(&runs);
}

/* A user may stop his helper: nobody else waits for it. */
static void test_stopped(void **state)
{
	struct probe probe;
	pid_t pid = helper_pid();
	int refused = 0;

	(void)state;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 10000 && !refused; i++) {
		int r = try(&probe, "fs/etc/passwd", O_RDONLY);

		if (r == 0)
			end(&probe);
		refused = r;
	}
	/* Where it was an end that found no room, he has lost his place, and the next one opens. */
	assert_true(refused == -EAGAIN || (!refused && helper_pid() != pid));
	kill(pid, SIGKILL);
	do {
		turn();
	} while (try(&probe, "fs/etc/passwd", O_RDONLY) < 0);
	while (!probe.done)
		turn();
	end(&probe);
}

static _Atomic bool stopping;

static void *runs(void *arg)
{
	while (!stopping) {
		struct pollfd fd = { .fd = pfs_helpers_fd(helpers), .events = POLLIN };

		if (poll(&fd, 1, 50) > 0)
			pfs_helpers_run(helpers);
	}
	return arg;
}

static void *opens(void *arg)
{
	static const char *const paths[] = { "fs/etc/passwd", "pipe/bin/true", "tcp/127.0.0.1/1",
					     "fs/no/such" };

	for (int i = 0; i < 40; i++) {
		struct probe probe;

		if (try(&probe, paths[i % 4], O_RDONLY) < 0)
			continue;
		WAIT_WHILE(i % 3 && !probe.done);
		end(&probe);
	}
	return arg;
}

static void test_threads(void **state)
{
	pthread_t runner, thread[4];

	(void)state;
	pthread_create(&runner, NULL, runs, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_create(&thread[i], NULL, opens, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	stopping = true;
	pthread_join(runner, NULL);
}

static int setup(void **state)
{
	(void)state;
	if (pfs_caller_self(&caller) < 0 || pfs_portal_rules_default(&rules) < 0)
		return -1;
	if (geteuid() == 0) {
		caller.uid = caller.gid = NOBODY;
		caller.ngroups = 0;
		caller.limits[RLIMIT_NOFILE].rlim_cur = 77;
	}
	return pfs_helpers_new(spawner,
			       &(struct pfs_helpers_options){ .portals_max = PORTALS_MAX,
							      .commands_max = COMMANDS_MAX },
			       &helpers);
}

static int teardown(void **state)
{
	(void)state;
	pfs_helpers_free(helpers);
	pfs_caller_release(&caller);
	pfs_portal_rules_unref(rules);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),	cmocka_unit_test(test_command),
		cmocka_unit_test(test_limits),	cmocka_unit_test(test_killed),
		cmocka_unit_test(test_stopped), cmocka_unit_test(test_threads),
	};
	int r;

	if (pfs_spawner_new(pfs_helper_main, NULL, NULL, &spawner) < 0 ||
	    pfs_spawner_start(spawner) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, setup, teardown);
	pfs_spawner_free(spawner);
	return r;
}
