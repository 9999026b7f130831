/*
 * keeper - watches who serves a mount, and ends the mount with it
 *
 * What it watches for, and how long that may last:
 *
 *	it has ended		at once (SIGCHLD). Status 0: the mount was ended by somebody; else it is detached here.
 *	it was stopped		STOP_GRACE, for whoever stops it by mistake; then it is killed.
 *	no answer		stall=, counted in STALL_STEPS of silence, so that time in which the keeper itself did
 *				not run does not count.
 *
 * Killing the child aborts the connection: all that wait get ECONNABORTED. A thread of the child that
 * waits for an answer from this very mount could delay its end for ever; umount2(MNT_FORCE) aborts
 * before.
 */
#include "base/keeper.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/caps.h"
#include "base/detach.h"
#include "base/log.h"
#include "base/probe.h"

#define STOP_GRACE 400000000ULL /* ns */
#define END_GRACE 5000000000ULL /* ns from SIGTERM to SIGKILL */
#define START_GRACE 20000	/* ms until the child must be ready */
#define STALL_STEPS 4

/* SYS_ADMIN to unmount, DAC_READ_SEARCH to reach a mount point in somebody's private directory. */
static const int caps_kept[] = { CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH };

struct keeper {
	const struct pfs_kept *kept;
	pid_t child;
	int child_fd; /* the socket to the child */
	int signal_fd;
	struct pfs_probe *probe;
	uint64_t probe_at;   /* ns, monotonic: the next question */
	unsigned silent;     /* questions in a row that were not answered */
	uint64_t stopped_at; /* the child was seen stopped then; 0: it runs */
	uint64_t end_at;     /* it was told to end: kill it then; 0: not told */
	bool ended;
	int status; /* of waitid, once ended */
	int code;
};

/* --- the child ------------------------------------------------------------------------ */

static int child_start(struct keeper *keeper)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	keeper->child = fork();
	if (keeper->child < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (keeper->child == 0) {
		close(fds[0]);
		close(keeper->signal_fd);
		/* Ctrl-Z and Ctrl-C in the terminal are for the keeper. */
		setpgid(0, 0);
		_exit(keeper->kept->serve(keeper->kept->arg, fds[1]));
	}
	close(fds[1]);
	keeper->child_fd = fds[0];
	keeper->kept->leave(keeper->kept->arg);
	return 0;
}

/* Takes what waitid knows of the child: its end, a stop, a continuation. */
static void child_look(struct keeper *keeper)
{
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_PID, (id_t)keeper->child, &info,
			   WEXITED | WSTOPPED | WCONTINUED | WNOHANG) < 0 ||
		    info.si_pid == 0)
			return;
		if (info.si_code == CLD_STOPPED) {
			keeper->stopped_at = pfs_clock_mono();
		} else if (info.si_code == CLD_CONTINUED) {
			keeper->stopped_at = 0;
		} else {
			keeper->ended = true;
			keeper->code = info.si_code;
			keeper->status = info.si_status;
			return;
		}
	}
}

/* Whether it is stopped now, whatever was missed: 'T' in its state. */
static bool child_is_stopped(const struct keeper *keeper)
{
	char path[64], line[512], state = '?';
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)keeper->child);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f) && (end = strrchr(line, ')')) && end[1])
		state = end[2];
	fclose(f);
	return state == 'T';
}

static void kill_and_detach(struct keeper *keeper)
{
	const struct pfs_kept *kept = keeper->kept;
	int r;

	kill(keeper->child, SIGKILL);
	/* What has our device number now may be another's. */
	if (pfs_mount_is_gone(kept->unique))
		return;
	r = pfs_mount_detach(kept->dev_major, kept->dev_minor, true);
	if (r < 0 && r != -ENOENT)
		pfs_log("cannot detach %s: %s; `umount -l %s` does", keeper->kept->dir,
			strerror(-r), keeper->kept->dir);
}

/* --- watching ------------------------------------------------------------------------- */

static void signals_read(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		/* Sent by somebody: read portal.conf again. By the kernel: the terminal has gone. */
		if (info.ssi_signo == SIGHUP && info.ssi_code <= 0) {
			kill(keeper->child, SIGHUP);
			continue;
		}
		kill(keeper->child, SIGTERM);
		if (!keeper->end_at)
			keeper->end_at = pfs_clock_mono() + END_GRACE;
	}
	child_look(keeper);
}

/* Why the child must die now; NULL: it need not. */
static const char *verdict(struct keeper *keeper, uint64_t now)
{
	if (keeper->stopped_at && now >= keeper->stopped_at + STOP_GRACE) {
		if (child_is_stopped(keeper))
			return "was stopped";
		keeper->stopped_at = 0;
	}
	if (keeper->end_at && now >= keeper->end_at)
		return "did not end when it was told to";
	if (keeper->probe && now >= keeper->probe_at) {
		keeper->silent = pfs_probe_ask(keeper->probe) ? keeper->silent + 1 : 0;
		keeper->probe_at = now + keeper->kept->stall / STALL_STEPS;
		if (keeper->silent >= STALL_STEPS)
			return "has not answered for too long (mount option stall=)";
	}
	return NULL;
}

static int next_timeout(const struct keeper *keeper, uint64_t now)
{
	uint64_t at = UINT64_MAX;

	if (keeper->stopped_at)
		at = pfs_min64(at, keeper->stopped_at + STOP_GRACE);
	if (keeper->end_at)
		at = pfs_min64(at, keeper->end_at);
	if (keeper->probe)
		at = pfs_min64(at, keeper->probe_at);
	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0 : (int)pfs_min64((at - now) / 1000000 + 1, 600000);
}

static int ended(struct keeper *keeper, const char *why)
{
	const char *dir = keeper->kept->dir;

	if (!why && keeper->code == CLD_EXITED && keeper->status == 0) {
		if (!pfs_mount_is_gone(keeper->kept->unique))
			pfs_mount_detach(keeper->kept->dev_major, keeper->kept->dev_minor, false);
		return 0;
	}
	kill_and_detach(keeper);
	if (why)
		pfs_log("the process that served %s %s; %s", dir, why, keeper->kept->lost);
	else if (keeper->code == CLD_EXITED)
		pfs_log("the process that served %s failed with status %d; %s", dir, keeper->status,
			keeper->kept->lost);
	else
		pfs_log("the process that served %s was killed by signal %d (%s); %s", dir,
			keeper->status, strsignal(keeper->status), keeper->kept->lost);
	return 1;
}

static int watch(struct keeper *keeper)
{
	struct pollfd fd = { .fd = keeper->signal_fd, .events = POLLIN };

	for (;;) {
		uint64_t now = pfs_clock_mono();
		const char *why;

		if (keeper->ended)
			return ended(keeper, NULL);
		why = verdict(keeper, now);
		if (why)
			return ended(keeper, why);
		poll(&fd, 1, next_timeout(keeper, now));
		if (fd.revents)
			signals_read(keeper);
	}
}

/* --- start ---------------------------------------------------------------------------- */

int pfs_keeper_prepare(void)
{
	sigset_t mask;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	prctl(PR_SET_NAME, "pipesfs-keeper");
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || chdir("/") < 0) {
		int r = -errno;

		pfs_log("cannot start: %s", strerror(errno));
		return r;
	}
	return fd;
}

/* Until the child says that the kernel and it understand each other. */
static int wait_ready(struct keeper *keeper)
{
	char text[256] = "";
	struct pollfd fd = { .fd = keeper->child_fd, .events = POLLIN };
	ssize_t n = 0;

	if (poll(&fd, 1, START_GRACE) > 0)
		n = recv(keeper->child_fd, text, sizeof(text) - 1, 0);
	if (n > 0 && !strcmp(text, PFS_KEEPER_READY))
		return 0;
	kill_and_detach(keeper);
	pfs_log("cannot mount on %s: the process that serves it %s", keeper->kept->dir,
		n > 0 ? text : "has died or does not answer");
	return -EIO;
}

static void say_ready(int ready_fd)
{
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "", 1) != 1)
		pfs_log("nobody waited for the mount");
	close(ready_fd);
}

int pfs_keeper_keep(const struct pfs_kept *kept, int signal_fd, int ready_fd)
{
	struct keeper keeper = { .kept = kept, .child_fd = -1, .signal_fd = signal_fd };
	int r = child_start(&keeper);

	if (r < 0) {
		pfs_log("cannot start a process: %s", strerror(-r));
		pfs_mount_detach(kept->dev_major, kept->dev_minor, true);
		return 1;
	}
	r = pfs_caps_keep(caps_kept, ARRAY_SIZE(caps_kept));
	if (r < 0)
		pfs_log("the keeper cannot give up its privileges: %s", strerror(-r));
	if (wait_ready(&keeper) < 0)
		return 1;
	if (kept->ready)
		kept->ready(kept->arg);
	/* The terminal, and whoever waits for our output to end, are left alone. */
	if (!kept->foreground)
		pfs_log_to_syslog();
	say_ready(ready_fd);
	if (kept->stall && pfs_probe_start(kept->dir, &keeper.probe) < 0)
		pfs_log("cannot watch whether %s answers", kept->dir);
	/* It has just answered; and who unmounts at once should not find a question in his way (EBUSY). */
	keeper.probe_at = pfs_clock_mono() + kept->stall / STALL_STEPS;
	return watch(&keeper);
}
