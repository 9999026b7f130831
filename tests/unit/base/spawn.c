/*
 * spawn - commands and helpers as other users
 *
 * As root they become nobody and see what he may see; an ordinary user runs the same as himself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/spawn.h"

#define NOBODY 65534
#define ENDED_WAIT 10000 /* ms */

static gid_t his_groups[] = { 1234, 4321 };
static struct pfs_spawner *spawner;

/* Who the tests run as: nobody with two groups, or the user himself. */
static void caller_make(struct pfs_caller *ret_caller)
{
	struct pfs_caller him = { .netns_fd = -1 };

	assert_int_equal(pfs_caller_self(ret_caller), 0);
	if (geteuid() != 0)
		return;
	him = *ret_caller;
	him.uid = him.gid = NOBODY;
	him.umask = 027;
	him.groups = his_groups;
	him.ngroups = 2;
	him.limits[RLIMIT_NOFILE] = (struct rlimit){ 50, 60 };
	pfs_caller_release(ret_caller);
	assert_int_equal(pfs_caller_copy(&him, ret_caller), 0);
}

/* A command's end, waited for. */
struct end {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
	int status;
};

static void end_init(struct end *end)
{
	pthread_mutex_init(&end->lock, NULL);
	pthread_cond_init(&end->changed, NULL);
	end->over = false;
}

static void on_end(void *arg, int status)
{
	struct end *end = arg;

	pthread_mutex_lock(&end->lock);
	assert_false(end->over);
	end->over = true;
	end->status = status;
	pthread_cond_broadcast(&end->changed);
	pthread_mutex_unlock(&end->lock);
}

static int end_wait(struct end *end)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ENDED_WAIT / 1000;
	pthread_mutex_lock(&end->lock);
	while (!end->over)
		assert_int_equal(pthread_cond_timedwait(&end->changed, &end->lock, &until), 0);
	pthread_mutex_unlock(&end->lock);
	return end->status;
}

static int start(const char *line, const int fd[3], struct end *end,
		 struct pfs_command **ret_command, struct pfs_diag *diag)
{
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	PFS_ARGV struct pfs_argv argv = { 0 };
	struct pfs_command_options options = { .argv = &argv, .caller = &caller };

	caller_make(&caller);
	assert_int_equal(pfs_argv_split(line, &argv, NULL), 0);
	memcpy(options.fd, fd, sizeof(options.fd));
	if (end) {
		options.ended = on_end;
		options.arg = end;
	}
	return pfs_command_start(spawner, &options, ret_command, diag);
}

/* What a command prints. */
static void output_of(const char *line, char *out, size_t size)
{
	struct pfs_command *command;
	struct pfs_diag diag = { "" };
	struct end end;
	size_t len = 0;
	ssize_t n;
	int pipe_fd[2];

	end_init(&end);
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	if (start(line, (int[]){ -1, pipe_fd[1], pipe_fd[1] }, &end, &command, &diag) < 0)
		fail_msg("%s: %s", line, diag.text);
	close(pipe_fd[1]);
	while ((n = read(pipe_fd[0], out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(pipe_fd[0]);
	assert_int_equal(end_wait(&end), 0);
	pfs_command_free(command);
}

static void test_rights(void **state)
{
	char out[8192];

	(void)state;
	if (geteuid() != 0)
		skip();
	output_of("/usr/bin/id -u", out, sizeof(out));
	assert_string_equal(out, "65534\n");
	output_of("id -G", out, sizeof(out));
	assert_string_equal(out, "65534 1234 4321\n");
	output_of("grep -hE '^(Uid|Gid|Cap...|NoNewPrivs|SigBlk|SigIgn):' /proc/self/status", out,
		  sizeof(out));
	assert_non_null(strstr(out, "Uid:\t65534\t65534\t65534\t65534\n"));
	assert_non_null(strstr(out, "Gid:\t65534\t65534\t65534\t65534\n"));
	assert_non_null(strstr(
		out,
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"));
	assert_non_null(strstr(out, "CapAmb:\t0000000000000000\n"));
	assert_non_null(strstr(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
	output_of("sh -c 'umask; ulimit -Sn; ulimit -Hn; pwd'", out, sizeof(out));
	assert_string_equal(out, "0027\n50\n60\n/\n");
	output_of("sh -c 'setpriv --reuid 0 true || echo refused'", out, sizeof(out));
	assert_non_null(strstr(out, "refused"));
}

static void test_clean(void **state)
{
	long pgid, sid, pid;
	char out[8192];

	(void)state;
	setenv("LD_PRELOAD_LIKE", "leaks", 1);
	output_of("env", out, sizeof(out));
	assert_null(strstr(out, "leaks"));
	assert_non_null(strstr(out, "PATH=/usr/local/"));
	assert_non_null(strstr(out, "HOME=/"));
	assert_non_null(strstr(out, "LOGNAME="));
	/* ls itself has one for the directory. */
	output_of("ls /proc/self/fd", out, sizeof(out));
	assert_string_equal(out, "0\n1\n2\n3\n");
	/* A session and group of its own. */
	output_of("sh -c 'ps -o pgid= -o sid= -p $$; echo $$'", out, sizeof(out));
	assert_int_equal(sscanf(out, "%ld %ld %ld", &pgid, &sid, &pid), 3);
	assert_int_equal(pgid, pid);
	assert_int_equal(sid, pid);
}

static void test_not_started(void **state)
{
	static const struct {
		const char *line;
		int r;
	} rows[] = {
		{ "/no/such/program", -ENOENT },
		{ "no-such-program", -ENOENT },
		{ "/etc/passwd", -EACCES },
		{ "/etc", -EACCES },
		{ "", -ENOENT },
		{ "/etc/passwd/x", -ENOTDIR },
	};
	struct pfs_command *command;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pfs_diag diag = { "" };
		int r = start(rows[i].line, (int[]){ -1, -1, -1 }, NULL, &command, &diag);

		if (r != rows[i].r)
			print_error("%s: %d\n", rows[i].line, r);
		assert_int_equal(r, rows[i].r);
		assert_true(diag.text[0]);
	}
}

static void test_status(void **state)
{
	struct pfs_command *command;
	struct end end;

	(void)state;
	end_init(&end);
	assert_int_equal(start("sh -c 'exit 7'", (int[]){ -1, -1, -1 }, &end, &command, NULL), 0);
	assert_int_equal(WEXITSTATUS(end_wait(&end)), 7);
	assert_int_equal(pfs_command_signal(command, SIGTERM), -ESRCH);
	pfs_command_free(command);

	end_init(&end);
	assert_int_equal(start("sleep 1000", (int[]){ -1, -1, -1 }, &end, &command, NULL), 0);
	assert_true(pfs_command_pid(command) > 0);
	assert_int_equal(pfs_command_signal(command, SIGUSR1), 0);
	assert_int_equal(WTERMSIG(end_wait(&end)), SIGUSR1);
	pfs_command_free(command);
}

/* Until the end of the file: all that had the writing end have gone. */
static void wait_eof(int fd)
{
	struct pollfd poll_fd = { .fd = fd };
	char byte;

	assert_int_equal(poll(&poll_fd, 1, ENDED_WAIT), 1);
	while (read(fd, &byte, 1) > 0)
		;
}

/* Given up: it is ended, and so is what it has started; one that will not is killed. */
static void test_given_up(void **state)
{
	static const char *const lines[] = {
		"sleep 1000", "sh -c 'sleep 1000 & sleep 1000'",
		"sh -c 'trap \"\" TERM; sleep 1000 & while :; do sleep 1000; done'"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct pfs_command *command;
		int pipe_fd[2];

		assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
		assert_int_equal(start(lines[i], (int[]){ -1, pipe_fd[1], -1 }, NULL, &command, NULL),
				 0);
		close(pipe_fd[1]);
		pfs_command_free(command);
		wait_eof(pipe_fd[0]);
		close(pipe_fd[0]);
	}
}

static void *starts_many(void *arg)
{
	for (int i = 0; i < 20; i++) {
		struct pfs_command *command;
		struct end end;

		end_init(&end);
		assert_int_equal(start("true", (int[]){ -1, -1, -1 }, &end, &command, NULL), 0);
		if (i % 2)
			assert_int_equal(end_wait(&end), 0);
		pfs_command_free(command);
	}
	return arg;
}

static void test_threads(void **state)
{
	pthread_t thread[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, starts_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
}

/* Says who it is, then repeats what it hears. */
static int helper(int fd)
{
	char buf[100];
	ssize_t n = snprintf(buf, sizeof(buf), "%ld", (long)geteuid());

	do {
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) < 0)
			return 1;
		n = recv(fd, buf, sizeof(buf), 0);
	} while (n > 0);
	return 0;
}

static void test_helper(void **state)
{
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	PFS_CLOSE int fd = -1;
	char buf[100] = "";

	(void)state;
	caller_make(&caller);
	assert_int_equal(pfs_helper_start(spawner, &caller, &fd), 0);
	assert_true(recv(fd, buf, sizeof(buf), 0) > 0);
	assert_int_equal(atol(buf), caller.uid);
	assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
}

/* What the kernel lets us see of a child: we wait for its end when the pipe is closed. */
static pid_t child_of(void (*change)(void), int *ret_fd)
{
	int go[2], ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (change)
			change();
		if (write(ready[1], "", 1) == 1 && read(go[0], &byte, 1) == 0)
			_exit(0);
		_exit(1);
	}
	close(go[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	*ret_fd = go[1];
	return pid;
}

static void to_nobody(void)
{
	if (setgroups(2, his_groups) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
	umask(077);
}

static void drop_bound(void)
{
	prctl(PR_CAPBSET_DROP, 0, 0, 0, 0);
}

static void other_root(void)
{
	if (chroot("/usr") < 0)
		_exit(1);
}

static void other_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0)
		_exit(1);
}

static void other_names(void)
{
	if (unshare(CLONE_NEWUTS) < 0)
		_exit(1);
}

static void other_net(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		_exit(1);
}

static void no_new(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void test_caller(void **state)
{
	static const struct {
		void (*change)(void);
		uid_t uid;
		const char *sentence; /* NULL: accepted */
	} rows[] = {
		{ NULL, 0, NULL },
		{ to_nobody, NOBODY, NULL },
		{ no_new, 0, NULL },
		{ other_net, 0, NULL },
		{ to_nobody, 0, "who it is" }, /* the number of another process */
		{ drop_bound, 0, "bounding" },
		{ other_root, 0, "root directory" },
		{ other_mounts, 0, "mnt namespace" },
		{ other_names, 0, "uts namespace" },
	};
	struct pfs_home home;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pfs_home_get(&home), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
		struct pfs_diag diag = { "" };
		int fd;
		pid_t pid = child_of(rows[i].change, &fd);
		int r = pfs_caller_get(&home, pid, rows[i].uid, rows[i].uid, &caller, &diag);

		if (rows[i].sentence) {
			assert_int_equal(r, -EPERM);
			assert_non_null(strstr(diag.text, rows[i].sentence));
		} else {
			assert_string_equal(diag.text, "");
			assert_int_equal(r, 0);
			assert_int_equal(caller.no_new_privs, rows[i].change == no_new);
			assert_int_equal(caller.netns_fd >= 0, rows[i].change == other_net);
		}
		if (rows[i].change == to_nobody && r == 0) {
			assert_int_equal(caller.ngroups, 2);
			assert_memory_equal(caller.groups, his_groups, sizeof(his_groups));
			assert_int_equal(caller.umask, 077);
		}
		close(fd);
		waitpid(pid, NULL, 0);
	}
	assert_int_equal(pfs_caller_get(&home, 0, 0, 0, &(struct pfs_caller){ 0 }, NULL), -EPERM);
}

static pid_t spawner_pid(void)
{
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	char out[64];

	caller_make(&caller);
	output_of("sh -c 'ps -o ppid= -p $$'", out, sizeof(out));
	return (pid_t)atol(out);
}

/* The last test: commands die with the spawner, nobody waits for it, and nothing more is started. */
static void test_spawner_dies(void **state)
{
	struct pfs_command *command, *none;
	pid_t pid = spawner_pid();
	struct end end;
	int pipe_fd[2];

	(void)state;
	end_init(&end);
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	assert_int_equal(start("sleep 1000", (int[]){ -1, pipe_fd[1], -1 }, &end, &command, NULL), 0);
	close(pipe_fd[1]);
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(WTERMSIG(end_wait(&end)), SIGKILL);
	wait_eof(pipe_fd[0]);
	close(pipe_fd[0]);
	assert_int_equal(start("true", (int[]){ -1, -1, -1 }, NULL, &none, NULL), -ESHUTDOWN);
	pfs_command_free(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),	     cmocka_unit_test(test_clean),
		cmocka_unit_test(test_not_started),  cmocka_unit_test(test_status),
		cmocka_unit_test(test_given_up),     cmocka_unit_test(test_threads),
		cmocka_unit_test(test_helper),	     cmocka_unit_test(test_caller),
		cmocka_unit_test(test_spawner_dies),
	};
	int r;

	if (pfs_spawner_new(helper, NULL, NULL, &spawner) < 0 || pfs_spawner_start(spawner) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	pfs_spawner_free(spawner);
	return r;
}
