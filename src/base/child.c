#include "base/child.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/processes.h"

#define PATH_USER "/usr/local/bin:/usr/bin:/bin"
#define PATH_ROOT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int pfs_child_environment(uid_t uid, struct pfs_argv *ret_env)
{
	const char *lang = getenv("LANG"), *words[6];
	struct passwd *user = getpwuid(uid);
	char number[24], text[5][4200];
	size_t n = 0;

	snprintf(number, sizeof(number), "%lu", (unsigned long)uid);
	snprintf(text[0], sizeof(text[0]), "HOME=%s", user && user->pw_dir ? user->pw_dir : "/");
	snprintf(text[1], sizeof(text[1]), "USER=%s", user && user->pw_name ? user->pw_name : number);
	snprintf(text[2], sizeof(text[2]), "LOGNAME=%s",
		 user && user->pw_name ? user->pw_name : number);
	snprintf(text[3], sizeof(text[3]), "SHELL=%s",
		 user && user->pw_shell && *user->pw_shell ? user->pw_shell : "/bin/sh");
	snprintf(text[4], sizeof(text[4]), "LANG=%s", lang ? lang : "");
	words[n++] = uid == 0 ? "PATH=" PATH_ROOT : "PATH=" PATH_USER;
	for (size_t i = 0; i < (lang ? 5 : 4); i++)
		words[n++] = text[i];
	return pfs_argv_make(words, n, ret_env);
}

/* --- in the child -------------------------------------------------------------------------- */

/*
 * By the kernel's own calls: libc keeps two signals for itself, and whoever started us may have left them ignored or
 * blocked.
 */
static void signals_default(void)
{
	const struct {
		unsigned long handler, flags, restorer, mask;
	} by_default = { 0 };
	const uint64_t none = 0;

	for (int i = 1; i <= 64; i++)
		syscall(SYS_rt_sigaction, i, &by_default, NULL, sizeof(none));
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/* 0, 1, 2 as told; all else is closed by execv, or now. */
static int stdio_take(const int fd[3], int report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[3];

	for (int i = 0; i < 3; i++) {
		/* Out of the way of what dup2 will overwrite. */
		high[i] = fcntl(fd[i] < 0 ? null : fd[i], F_DUPFD_CLOEXEC, 3);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	/* Ours are all close-on-exec; what a library opened may not be. */
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0 && fcntl(report, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

/* What a user runs by itself is none of ours, so his limit is that and ours on top. */
static void limit_processes(unsigned n)
{
	struct rlimit limit;
	uint64_t others;

	if (getrlimit(RLIMIT_NPROC, &limit) < 0 ||
	    pfs_processes_count(geteuid(), getppid(), &others) < 0)
		return;
	limit.rlim_max = pfs_min64(limit.rlim_max, others + n);
	limit.rlim_cur = pfs_min64(limit.rlim_cur, limit.rlim_max);
	setrlimit(RLIMIT_NPROC, &limit);
}

/* When memory is short it goes before the mount that many others use. */
static void offer_to_the_oom_killer(void)
{
	PFS_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "500", 3) != 3)
		return; /* it was higher already, and may not be lowered */
}

static int child_prepare(const struct pfs_child_options *options, int report)
{
	int r;

	setsid();
	r = stdio_take(options->fd, report);
	signals_default();
	if (r == 0 && options->caller)
		r = pfs_caller_become(options->caller, true);
	if (r < 0)
		return r;
	if (options->processes)
		limit_processes(options->processes);
	if (options->caller && options->caller->confined)
		offer_to_the_oom_killer();
	if (!options->caller) {
		umask(options->umask);
		for (int i = 0; options->limits && i < RLIM_NLIMITS; i++)
			setrlimit((__rlimit_resource_t)i, &options->limits[i]);
	}
	/* A change of ids forgets it: so now. */
	if (options->dies_with) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != options->dies_with)
			return -ESRCH;
	}
	return chdir(options->dir ? options->dir : "/") < 0 ? -errno : 0;
}

/* Looks for a name without a slash in PATH. Unlike execvp(3) it never hands a text file to a shell. */
static int exec_search(char *const *argv, char *const *env)
{
	const char *path = PATH_USER;
	int r = -ENOENT;

	for (char *const *e = env; *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			path = *e + 5;
	while (*path) {
		const char *dir = path;
		size_t n = strcspn(path, ":");
		char file[4096];

		path += n + (path[n] == ':');
		if (snprintf(file, sizeof(file), "%.*s/%s", (int)n, dir, argv[0]) >= (int)sizeof(file))
			continue;
		execve(file, argv, env);
		if (errno != ENOENT && errno != ENOTDIR)
			r = -errno;
	}
	return r;
}

static int child_exec(const struct pfs_child_options *options)
{
	PFS_ARGV struct pfs_argv env = { 0 };
	char *const *envp = options->env;
	int r;

	if (!envp) {
		r = pfs_child_environment(geteuid(), &env);
		if (r < 0)
			return r;
		envp = env.v;
	}
	if (!strchr(options->argv[0], '/'))
		return exec_search(options->argv, envp);
	execve(options->argv[0], options->argv, envp);
	return -errno;
}

/* --- in the parent --------------------------------------------------------------------------- */

int pfs_child_start(const struct pfs_child_options *options, pid_t *ret_pid, int *ret_fd)
{
	PFS_CLOSE int from = -1, to = -1;
	sigset_t all, old;
	int fds[2], r;
	pid_t pid;

	if (!options->argv[0])
		return -ENOENT;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	to = fds[1];
	/* Our handlers must not run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		/* 0 to 2 are the program's: the report must not lie there. */
		int report = fcntl(to, F_DUPFD_CLOEXEC, 3);

		r = child_prepare(options, report);
		if (r == 0)
			r = child_exec(options);
		_exit(write(report, &r, sizeof(r)) == sizeof(r) ? 127 : 126);
	}
	r = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return r;
	*ret_pid = pid;
	*ret_fd = TAKE_FD(from);
	return 0;
}

int pfs_child_result(int fd)
{
	PFS_CLOSE int from = fd;
	int r = 0;
	ssize_t n;

	do {
		n = read(from, &r, sizeof(r));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == sizeof(r) && r < 0 ? r : 0;
}
