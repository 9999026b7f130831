/*
 * bench-interspace - how the kernel and processes hand each other bytes: bandwidth by size, and round trips
 *
 *	bench-interspace [-r ROUNDS] [-m MS] [-s SIZE,...] [MECHANISM...]
 *
 * ROUNDS (1): all mechanisms once in each, in an order shuffled anew for each size. MS (0: as little as possible):
 * what one measurement takes. SIZE: 64 to 2097152, powers of two (all of them). Prints lines of fields with tabs
 * between:
 *
 *	info     MECHANISM  thesis|today  what it is here
 *	missing  MECHANISM  why
 *	figure   MECHANISM  read|write|other|same  SIZE  ROUND  NS of one transfer
 *
 * bench/interspace makes tables and plots of them. Needs root for some, which is said; has a mount and a network
 * namespace of its own then.
 */
#include "study.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define MECHANISMS_MAX 64

static const struct mechanism *current; /* who is at work, for those who complain */
static char reason[512];
static int cpus[2];
static pid_t main_pid, others[2 * MECHANISMS_MAX];
static unsigned nothers;
static void (*undo_last)(void);

const char *study_reason(void)
{
	return reason;
}

void *study_why(int error, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	if (error && n >= 0 && (size_t)n < sizeof(reason))
		snprintf(reason + n, sizeof(reason) - (size_t)n, ": %s", strerror(error));
	return NULL;
}

void study_undo(void (*undo)(void))
{
	undo_last = undo;
}

static void undo_all(void)
{
	if (undo_last && getpid() == main_pid)
		undo_last();
}

__attribute__((noreturn)) void study_die(const char *what)
{
	fprintf(stderr, "bench-interspace: %s: %s: %s\n", current ? current->name : "", what,
		strerror(errno));
	undo_all();
	_exit(1);
}

static void ended(int signal_number)
{
	undo_all();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void hangs(int signal_number)
{
	static const char text[] = ": no end within 30 s\n";

	(void)signal_number;
	undo_all();
	if (write(2, current->name, strlen(current->name)) < 0 || write(2, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* A process that we do not end ourselves is gone: then nobody would answer. */
static void gone(int signal_number, siginfo_t *info, void *context)
{
	static const char text[] = ": the process at the other end is gone\n";

	(void)signal_number;
	(void)context;
	if (info->si_code == CLD_EXITED && !info->si_status)
		return;
	for (unsigned i = 0; i <= nothers; i++) {
		if (i == nothers)
			return; /* a program that was run */
		if (others[i] == info->si_pid)
			break;
	}
	undo_all();
	if (write(2, current->name, strlen(current->name)) < 0 || write(2, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

uint64_t study_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

pid_t study_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid > 0 && nothers < ARRAY_SIZE(others))
		others[nothers++] = pid;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

void study_end(pid_t pid)
{
	if (pid > 0) {
		signal(SIGCHLD, SIG_DFL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

int study_cpu(int end)
{
	return cpus[end];
}

bool study_root(void)
{
	return !geteuid();
}

int study_run(const char *const argv[])
{
	extern char **environ;
	pid_t pid;
	int status, r = posix_spawnp(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ);

	if (r)
		return -r;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static void no_ipv6(const char *device)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", device);
	f = fopen(path, "we");
	if (f) {
		fputs("1\n", f);
		fclose(f);
	}
}

int study_veth(const char *near_end, const char *far_end, unsigned mtu)
{
	char size[12];
	const char *const add[] = { "ip",   "link", "add",  near_end, "mtu", size, "type",
				    "veth", "peer", "name", far_end,  "mtu", size, NULL };
	const char *const up[] = { "ip", "link", "set", near_end, "up", NULL };
	const char *const up_too[] = { "ip", "link", "set", far_end, "up", NULL };
	int r;

	snprintf(size, sizeof(size), "%u", mtu);
	no_ipv6("default"); /* nobody else speaks there */
	no_ipv6("all");
	r = study_run(add);
	r = r ? r : study_run(up);
	return r ? r : study_run(up_too);
}

int study_memfd(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		study_die("memory file");
	return fd;
}

uint8_t *study_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		study_die("memory");
	return p;
}

void study_read_all(int fd, uint8_t *into, size_t len)
{
	while (len) {
		ssize_t n = read(fd, into, len);

		if (n == 0)
			errno = EPIPE;
		if (n <= 0)
			study_die("read");
		into += n;
		len -= (size_t)n;
	}
}

void study_write_all(int fd, const uint8_t *from, size_t len)
{
	while (len) {
		ssize_t n = write(fd, from, len);

		if (n < 0)
			study_die("write");
		from += n;
		len -= (size_t)n;
	}
}

/* --- rounds ----------------------------------------------------------------------------------------------------- */

struct study {
	unsigned rounds;
	double ms;
	size_t size[16];
	unsigned nsizes;
	struct running *running[MECHANISMS_MAX];
	const struct mechanism *m[MECHANISMS_MAX];
	unsigned n;
	unsigned seed;
};

static void shuffle(struct study *s, unsigned *turn)
{
	for (unsigned i = 0; i < s->n; i++)
		turn[i] = i;
	for (unsigned i = s->n; i > 1; i--) {
		unsigned j = (unsigned)rand_r(&s->seed) % i, t = turn[i - 1];

		turn[i - 1] = turn[j];
		turn[j] = t;
	}
}

static void measure(struct study *s, enum study_what what, size_t size, unsigned round)
{
	static const char *const names[] = { "read", "write", "other", "same" };
	unsigned turn[MECHANISMS_MAX];

	shuffle(s, turn);
	for (unsigned i = 0; i < s->n; i++) {
		struct running *r = s->running[turn[i]];

		current = s->m[turn[i]];
		if (running_can(r, what))
			printf("figure\t%s\t%s\t%zu\t%u\t%.1f\n", current->name, names[what], size,
			       round, running_measure(r, what, size, s->ms));
	}
}

static void begin(struct study *s, char **wanted)
{
	for (const struct mechanism *const *m = mechanisms; *m; m++) {
		bool is_wanted = !*wanted;

		for (char **w = wanted; *w; w++)
			is_wanted = is_wanted || strcmp(*w, (*m)->name) == 0;
		if (!is_wanted)
			continue;
		current = *m;
		printf("info\t%s\t%s\t%s\n", (*m)->name, (*m)->thesis ? "thesis" : "today",
		       (*m)->stands_for);
		fflush(stdout);
		s->m[s->n] = *m;
		s->running[s->n] = running_new(*m);
		if (s->running[s->n])
			s->n++;
		else
			printf("missing\t%s\t%s\n", (*m)->name, reason);
	}
}

static void options(struct study *s, int argc, char **argv)
{
	int key;

	while ((key = getopt(argc, argv, "r:m:s:")) != -1) {
		if (key == 'r')
			s->rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (key == 'm')
			s->ms = strtod(optarg, NULL);
		else if (key == 's')
			for (char *p = optarg; *p && s->nsizes < ARRAY_SIZE(s->size); p += *p == ',')
				s->size[s->nsizes++] = strtoul(p, &p, 10);
		else
			exit(2);
	}
	for (size_t size = s->nsizes ? STUDY_MAX + 1 : 64; size <= STUDY_MAX; size *= 2)
		s->size[s->nsizes++] = size;
	for (unsigned i = 0; i < s->nsizes; i++)
		if (s->size[i] < 64 || s->size[i] > STUDY_MAX || (s->size[i] & (s->size[i] - 1))) {
			fprintf(stderr, "bench-interspace: sizes are powers of two from 64 to %u\n",
				STUDY_MAX);
			exit(2);
		}
}

/* What is made below is seen by nobody else and goes with us. */
static void namespaces(void)
{
	const char *const up[] = { "ip", "link", "set", "lo", "up", NULL };

	if (!study_root())
		return;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		study_die("namespaces");
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0) /* that of our network */
		study_die("sysfs");

	study_run(up);
}

static void choose_cpus(void)
{
	cpu_set_t set, ours;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		study_die("CPUs");
	cpus[0] = -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET((size_t)i, &set)) {
			cpus[0] = cpus[0] < 0 ? i : cpus[0];
			cpus[1] = i;
		}
	CPU_ZERO(&ours);
	CPU_SET((size_t)cpus[0], &ours);
	if (sched_setaffinity(0, sizeof(ours), &ours) < 0)
		study_die("pinning");
}

int main(int argc, char **argv)
{
	static struct study s;
	struct sigaction child = { .sa_sigaction = gone,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP };

	s.rounds = 1;
	s.seed = (unsigned)study_now();
	options(&s, argc, argv);
	signal(SIGALRM, hangs);
	sigaction(SIGCHLD, &child, NULL);
	signal(SIGINT, ended);
	signal(SIGTERM, ended);
	signal(SIGHUP, ended);
	signal(SIGPIPE, SIG_IGN);
	main_pid = getpid();
	choose_cpus();
	namespaces();
	begin(&s, argv + optind);
	for (unsigned round = 0; round < s.rounds; round++) {
		for (unsigned i = 0; i < s.nsizes; i++) {
			measure(&s, STUDY_READ, s.size[i], round);
			measure(&s, STUDY_WRITE, s.size[i], round);
		}
		measure(&s, STUDY_OTHER, STUDY_TRIP, round);
		measure(&s, STUDY_SAME, STUDY_TRIP, round);
		fflush(stdout);
	}
	for (unsigned i = s.n; i-- > 0;) {
		current = s.m[i];
		running_free(s.running[i]);
	}
	return fflush(stdout) == EOF;
}
