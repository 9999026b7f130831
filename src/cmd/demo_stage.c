/*
 * demo_stage - runs what a demo shows, waits for it, and cleans up behind it
 */
#include "cmd/cmd.h"
#include "cmd/demo_i.h"
#include "cmd/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define STEP_SECONDS 20
#define SECOND ((uint64_t)1000000000)

static void signals_taken(sigset_t *ret_set)
{
	static const int list[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD };

	sigemptyset(ret_set);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		sigaddset(ret_set, list[i]);
}

bool demo_ok(const struct demo *demo)
{
	return !demo->error && !demo->signal;
}

void demo_fail(struct demo *demo, int error, const char *fmt, ...)
{
	char text[DEMO_COMMAND_MAX + 64];
	va_list ap;

	if (!demo_ok(demo))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	pfs_say("%s", text);
	demo->error = error ? error : -EIO;
}

void demo_say(const struct demo *demo, const char *fmt, ...)
{
	va_list ap;

	if (!demo_ok(demo))
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* --- begin ----------------------------------------------------------------------------- */

/* `pipesfs` is found first in bin/, and is this program, whatever it is called and wherever it lies. */
static void make_program(struct demo *demo)
{
	PFS_BUF struct pfs_buf path = { 0 };
	const char *old = getenv("PATH");
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0) {
		demo_fail(demo, -errno, "/proc/self/exe: %s", strerror(errno));
		return;
	}
	self[n] = '\0';
	if (mkdir("bin", 0755) < 0 || symlink(self, "bin/pipesfs") < 0) {
		demo_fail(demo, -errno, "cannot make bin/pipesfs: %s", strerror(errno));
		return;
	}
	pfs_buf_printf(&path, "%s/bin:%s:/usr/sbin:/sbin", demo->dir, old ? old : "/usr/bin:/bin");
	if (path.failed || setenv("PATH", path.data, 1) < 0)
		demo_fail(demo, -ENOMEM, "not enough memory");
}

void demo_begin(struct demo *demo)
{
	const char *tmp = getenv("TMPDIR");
	sigset_t block;

	*demo = (struct demo){ .home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (!tmp || *tmp != '/' || strlen(tmp) > 30)
		tmp = "/tmp";
	snprintf(demo->dir, sizeof(demo->dir), "%s/pipesfs-demo.XXXXXX", tmp);
	signals_taken(&block);
	sigprocmask(SIG_BLOCK, &block, &demo->before);
	if (!mkdtemp(demo->dir)) {
		demo_fail(demo, -errno, "cannot make a directory in %s: %s", tmp, strerror(errno));
		demo->dir[0] = '\0';
		return;
	}
	/* Others may look on: what is in it is nobody's secret, and tcpdump gives up root before it reads. */
	if (chmod(demo->dir, 0755) < 0 || chdir(demo->dir) < 0)
		demo_fail(demo, -errno, "%s: %s", demo->dir, strerror(errno));
	else
		make_program(demo);
	demo_say(demo, "$ cd %s", demo->dir);
}

/* --- children --------------------------------------------------------------------------- */

/* In the child: a process group of its own, the caller's signals, and not left over when we are killed. */
static void become_child(const struct demo *demo, bool quiet)
{
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out = quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigprocmask(SIG_SETMASK, &demo->before, NULL);
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
}

/* command, or else run(arg). Returns the index. */
static size_t start(struct demo *demo, const char *what, bool quiet, int (*run)(void *arg), void *arg)
{
	struct demo_child *child = &demo->child[demo->nchildren];
	pid_t pid;

	if (!demo_ok(demo))
		return SIZE_MAX;
	if (demo->nchildren == DEMO_CHILDREN) {
		demo_fail(demo, -EMFILE, "too many processes at a time for a demo");
		return SIZE_MAX;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		demo_fail(demo, -errno, "cannot start a process: %s", strerror(errno));
		return SIZE_MAX;
	}
	if (!pid) {
		become_child(demo, quiet);
		if (run)
			_exit(run(arg));
		execl("/bin/sh", "sh", "-c", what, (char *)NULL);
		_exit(127);
	}
	setpgid(pid, pid); /* here too: whoever comes first */
	*child = (struct demo_child){ .pid = pid };
	snprintf(child->what, sizeof(child->what), "%s", what);
	return demo->nchildren++;
}

size_t demo_spawn(struct demo *demo, const char *what, int (*run)(void *arg), void *arg)
{
	return start(demo, what, false, run, arg);
}

static void reap(struct demo *demo)
{
	for (size_t i = 0; i < demo->nchildren; i++) {
		struct demo_child *child = &demo->child[i];

		if (child->pid && waitpid(child->pid, &child->status, WNOHANG) == child->pid)
			child->pid = 0;
	}
}

/* Sleeps until a child ended, another signal came, or `until` (CLOCK_MONOTONIC, ns). */
static void rest(struct demo *demo, uint64_t until)
{
	uint64_t now = pfs_clock_mono();
	uint64_t left = until > now ? until - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left / SECOND),
		.tv_nsec = (long)(left % SECOND),
	};
	sigset_t set;
	int sig;

	signals_taken(&set);
	sig = sigtimedwait(&set, NULL, &timeout);
	if (sig > 0 && sig != SIGCHLD && !demo->signal && !demo->deaf)
		demo->signal = sig;
	reap(demo);
}

void demo_stop(struct demo *demo, size_t index)
{
	struct demo_child *child = index < demo->nchildren ? &demo->child[index] : NULL;

	for (int round = 0; child && child->pid && round < 20; round++) {
		kill(-child->pid, round < 10 ? SIGTERM : SIGKILL);
		rest(demo, pfs_clock_mono() + SECOND / 10);
	}
}

void demo_join(struct demo *demo, size_t index, unsigned seconds)
{
	uint64_t until = pfs_clock_mono() + seconds * SECOND;
	struct demo_child *child;

	if (!demo_ok(demo) || index >= demo->nchildren)
		return;
	child = &demo->child[index];
	reap(demo);
	while (child->pid && !demo->signal && pfs_clock_mono() < until)
		rest(demo, until);
	if (demo->signal)
		return;
	if (child->pid)
		demo_fail(demo, -ETIME, "not done after %u s: %s", seconds, child->what);
	else if (WIFSIGNALED(child->status))
		demo_fail(demo, -EPROTO, "ended by signal %d: %s", WTERMSIG(child->status),
			  child->what);
	else if (WEXITSTATUS(child->status))
		demo_fail(demo, -EPROTO, "exit status %d from: %s", WEXITSTATUS(child->status),
			  child->what);
}

static void run(struct demo *demo, const char *command, bool quiet)
{
	size_t child = start(demo, command, quiet, NULL, NULL);

	demo_join(demo, child, STEP_SECONDS);
	demo_stop(demo, child);
	/* Its place is free again: it was the last one. */
	if (child < demo->nchildren && !demo->child[child].pid)
		demo->nchildren--;
}

/* Formats a command; false when it does not fit or the demo is over. */
static bool format(struct demo *demo, char command[DEMO_COMMAND_MAX], const char *fmt, va_list ap)
{
	int n = vsnprintf(command, DEMO_COMMAND_MAX, fmt, ap);

	if (n < 0 || n >= DEMO_COMMAND_MAX)
		demo_fail(demo, -ENAMETOOLONG, "a command is too long: %s", command);
	return demo_ok(demo);
}

void demo_do(struct demo *demo, const char *fmt, ...)
{
	char command[DEMO_COMMAND_MAX];
	va_list ap;
	bool go;

	va_start(ap, fmt);
	go = format(demo, command, fmt, ap);
	va_end(ap);
	if (!go)
		return;
	demo_say(demo, "$ %s", command);
	run(demo, command, false);
}

size_t demo_start(struct demo *demo, const char *fmt, ...)
{
	char command[DEMO_COMMAND_MAX];
	va_list ap;
	bool go;

	va_start(ap, fmt);
	go = format(demo, command, fmt, ap);
	va_end(ap);
	if (!go)
		return SIZE_MAX;
	demo_say(demo, "$ %s &", command);
	return start(demo, command, false, NULL, NULL);
}

void demo_wait_for(struct demo *demo, const char *what, unsigned seconds, bool (*ready)(void *arg),
		   void *arg)
{
	uint64_t until = pfs_clock_mono() + seconds * SECOND;

	while (demo_ok(demo) && !ready(arg)) {
		rest(demo, pfs_clock_mono() + SECOND / 100);
		if (pfs_clock_mono() >= until)
			demo_fail(demo, -ETIME, "waited %u s in vain for %s", seconds, what);
	}
}

/* --- judging -------------------------------------------------------------------------------- */

void demo_check(struct demo *demo, const char *what, uint64_t got, uint64_t want)
{
	bool right = got == want;

	if (!demo_ok(demo))
		return;
	demo->checks++;
	demo->wrong += !right;
	if (right)
		demo_say(demo, "  ok     %s: %llu", what, (unsigned long long)got);
	else
		demo_say(demo, "  WRONG  %s: %llu instead of %llu", what, (unsigned long long)got,
			 (unsigned long long)want);
}

uint64_t demo_count_lines(const char *path, const char *part)
{
	FILE *file = fopen(path, "re");
	size_t cap = 0, part_len = strlen(part);
	uint64_t count = 0;
	char *line = NULL;
	ssize_t n;

	/* Not strstr(): the line may hold packets. */
	while (file && (n = getline(&line, &cap, file)) > 0)
		count += memmem(line, (size_t)n, part, part_len) != NULL;
	free(line);
	if (file)
		fclose(file);
	return count;
}

uint64_t demo_readers(const char *path)
{
	TREE struct tree_dir *dir = NULL;

	return tree_read_one(path, &dir) < 0 ? 0 : tree_number(dir, "readers");
}

bool demo_has(const char *program)
{
	const char *dirs = getenv("PATH");

	while (dirs && *dirs) {
		int len = (int)strcspn(dirs, ":");
		char path[4096];

		snprintf(path, sizeof(path), "%.*s/%s", len, dirs, program);
		if (len && !access(path, X_OK))
			return true;
		dirs += len + (dirs[len] == ':');
	}
	return false;
}

/* --- end ------------------------------------------------------------------------------------- */

void demo_undo(struct demo *demo, const char *fmt, ...)
{
	char command[DEMO_COMMAND_MAX];
	va_list ap;
	bool go;

	va_start(ap, fmt);
	go = format(demo, command, fmt, ap);
	va_end(ap);
	if (!go)
		return;
	assert(demo->nundo < DEMO_UNDO);
	demo->undo[demo->nundo] = strdup(command);
	if (demo->undo[demo->nundo])
		demo->nundo++;
	else
		demo_fail(demo, -ENOMEM, "not enough memory");
}

/* Files and links of one directory; never goes into another, least of all into a mount that would not go away. */
static void empty(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_type != DT_DIR)
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}

static void remove_dir(const char *path)
{
	PFS_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir >= 0) {
		empty(dir, "bin");
		unlinkat(dir, "bin", AT_REMOVEDIR);
		unlinkat(dir, "p", AT_REMOVEDIR);
		empty(dir, ".");
	}
	if (rmdir(path) < 0)
		pfs_say("%s could not be removed: %s", path, strerror(errno));
}

static int exit_status(const struct demo *demo)
{
	if (demo->signal) {
		pfs_say("ended by signal %d (%s); what the demo made is removed", demo->signal,
			strsignal(demo->signal));
		return 128 + demo->signal;
	}
	if (demo->error)
		return PFS_EXIT_FAILED; /* why has been said */
	if (demo->wrong)
		return pfs_fail("%u of %u numbers are wrong", demo->wrong, demo->checks);
	return 0;
}

int demo_end(struct demo *demo)
{
	/* A second Ctrl-C must not leave half of it behind. */
	struct demo deaf = { .before = demo->before, .deaf = true };

	for (size_t i = demo->nchildren; i > 0; i--)
		demo_stop(demo, i - 1);
	while (demo->nundo) {
		char *command = demo->undo[--demo->nundo];

		run(&deaf, command, true);
		free(command);
		deaf.error = 0;
	}
	if (demo->home >= 0 && fchdir(demo->home) < 0)
		demo_fail(demo, -errno, "cannot go back to where the demo was started: %s",
			  strerror(errno));
	pfs_closep(&demo->home);
	if (*demo->dir)
		remove_dir(demo->dir);
	fflush(stdout);
	sigprocmask(SIG_SETMASK, &demo->before, NULL);
	return exit_status(demo);
}
