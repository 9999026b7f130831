/*
 * serve - the process between `pipesfs portal` and its command: starts it, reaps it, watches the deciders
 */
#include "portal/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "portal/notify_i.h"
#include "portal/trap.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define WAKE_TIME 20 /* ms between two SIGCONT */

/* What is read of the command's memory, to know that it can be. */
static const char probe[] = "pipesfs portal";

struct serve {
	const struct pfs_serve_options *options;
	struct sigaction sigchld; /* what the command gets */
	int waiter;		  /* socket; -1: it has gone */
	int listener;
	int command_socket; /* until the command runs: the listener comes, an error of exec may */
	int opener_socket;
	int signals; /* signalfd */
	int wake;    /* the deciders' */
	pid_t parent, command, opener;
	struct pfs_deciders *deciders;
	int status;	/* of the command */
	bool stopped;	/* the waiter was told of a stop, once */
	bool waking;	/* and now must hear of something else, and has not */
	bool ended;	/* the command has */
	bool told;	/* the waiter knows */
	bool alone;	/* nothing is under the filter any more */
	bool drained;	/* no command is left that was written to, or nobody waits for it */
	bool finishing; /* the waiter knows that this is what it waits for */
};

/* --- messages ---------------------------------------------------------------------------- */

/* One message, with a descriptor if fd >= 0. */
static int message_send(int socket, const void *data, size_t len, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *head = &control.align;

		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Bytes of one message; 0: the end. *ret_fd is -1 without a descriptor. */
static ssize_t message_recv(int socket, void *data, size_t len, int *ret_fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	struct cmsghdr *head;
	ssize_t n;

	*ret_fd = -1;
	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	head = CMSG_FIRSTHDR(&msg);
	if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(head), sizeof(int));
	return n;
}

static void tell(struct serve *s, enum pfs_news_kind kind, int status, const char *text, int fd)
{
	struct pfs_news news = { .kind = kind, .status = status };

	if (text)
		snprintf(news.text, sizeof(news.text), "%s", text);
	if (s->waiter >= 0)
		message_send(s->waiter, &news, sizeof(news), fd);
}

/* --- the command, before it is one ------------------------------------------------------------ */

/* What the command says of itself before it runs. */
struct birth {
	int error; /* 0: the listener comes with this message */
	bool exec; /* it is exec's */
	char text[256];
};

_Noreturn static void command_run(const struct serve *s)
{
	struct birth birth = { 0 };
	struct pfs_diag diag = { "" };
	int listener = -1, r = pfs_trap_set(&listener, &diag);
	char go;

	birth.error = -r;
	memcpy(birth.text, diag.text, sizeof(birth.text));
	message_send(s->command_socket, &birth, sizeof(birth), listener);
	if (r < 0 || recv(s->command_socket, &go, 1, 0) != 1)
		_exit(PFS_SERVE_NOT_RUN);
	close(listener);
	sigaction(SIGCHLD, &s->sigchld, NULL);
	sigprocmask(SIG_SETMASK, s->options->mask, NULL);
	execvp(s->options->argv[0], s->options->argv);
	birth.error = errno;
	birth.exec = true;
	message_send(s->command_socket, &birth, sizeof(birth), -1);
	_exit(birth.error == ENOENT ? PFS_SERVE_NOT_FOUND : PFS_SERVE_NOT_RUN);
}

static int yama(void)
{
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = 0;

	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = 0;
		fclose(f);
	}
	return scope;
}

/* Can we read the command's memory? It is a copy of ours still. */
static int command_probe(pid_t pid, struct pfs_diag *diag)
{
	char got[sizeof(probe)] = { 0 };
	struct iovec local = { .iov_base = got, .iov_len = sizeof(got) };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)probe, .iov_len = sizeof(got) };
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (n == sizeof(got) && !memcmp(got, probe, sizeof(got)))
		return 0;
	if (n < 0 && errno == EPERM && yama() >= 2)
		return pfs_diag_set(
			diag, EPERM,
			"kernel.yama.ptrace_scope is %d, so the paths of opens cannot be read; 1 would do",
			yama());
	return pfs_diag_set(diag, EPERM,
			    "the memory of the command cannot be read, so paths cannot be seen: %s",
			    n < 0 ? strerror(errno) : "it is short");
}

static int command_start(struct serve *s, struct pfs_diag *diag)
{
	PFS_CLOSE int pidfd = -1;
	struct birth birth;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return pfs_diag_set(diag, errno, "socketpair: %s", strerror(errno));
	s->command = fork();
	s->command_socket = fds[s->command == 0];
	close(fds[s->command != 0]);
	if (s->command < 0)
		return pfs_diag_set(diag, errno, "cannot start a process: %s", strerror(errno));
	if (s->command == 0)
		command_run(s);
	if (message_recv(s->command_socket, &birth, sizeof(birth), &s->listener) != sizeof(birth))
		return pfs_diag_set(diag, EPERM, "seccomp is forbidden here: who tries is killed");
	if (birth.error)
		return pfs_diag_set(diag, birth.error, "%s", birth.text);
	pidfd = (int)syscall(SYS_pidfd_open, s->command, 0);
	if (pidfd < 0)
		return pfs_diag_set(diag, errno, "pidfd_open: %s", strerror(errno));
	tell(s, PFS_NEWS_STARTED, 0, NULL, pidfd);
	return command_probe(s->command, diag);
}

/* --- being the server ---------------------------------------------------------------------------- */

/* Closes all descriptors above 2 but those, which are in no order; -1 stands for none. */
static void close_others(int *keep, size_t n)
{
	unsigned from = 3;

	for (;;) {
		int next = -1;

		for (size_t i = 0; i < n; i++)
			if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			break;
		if ((unsigned)next > from)
			close_range(from, (unsigned)next - 1, 0);
		from = (unsigned)next + 1;
	}
	close_range(from, ~0U, 0);
}

/*
 * In the background, holding nothing of what the caller has but its process group: a process in another one would keep
 * the caller's group from being orphaned, and when it ends, the kernel hangs up on a group that has a stopped member.
 */
static void go_apart(const char *name, int last_of_stdio)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_NAME, name);
	for (int fd = 0; null >= 0 && fd <= last_of_stdio; fd++)
		dup2(null, fd);
	if (chdir("/") < 0)
		return; /* then it holds the working directory of the caller: no harm but to umount */
}

static int opener_start(struct serve *s, struct pfs_diag *diag)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return pfs_diag_set(diag, errno, "socketpair: %s", strerror(errno));
	s->opener = fork();
	s->opener_socket = fds[s->opener == 0];
	if (s->opener == 0) {
		struct pfs_opener_options options = {
			.listener = s->listener,
			.socket = s->opener_socket,
			.rules = s->options->rules,
			.prefix = s->options->where->prefix,
			.server = getppid(),
			.command = s->command,
			.verbose = s->options->verbose,
		};
		int keep[] = { options.listener, options.socket };

		go_apart("pipesfs-opener", STDOUT_FILENO);
		close_others(keep, ARRAY_SIZE(keep));
		_exit(pfs_opener_run(&options));
	}
	close(fds[s->opener != 0]);
	return s->opener < 0
		       ? pfs_diag_set(diag, errno, "cannot start a process: %s", strerror(errno))
		       : 0;
}

static int serve_prepare(struct serve *s, struct pfs_diag *diag)
{
	sigset_t mask;
	int r;

	s->parent = getppid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->signals < 0 || s->wake < 0)
		return pfs_diag_set(diag, errno, "cannot start: %s", strerror(errno));
	r = command_start(s, diag);
	if (r == 0)
		r = opener_start(s, diag);
	if (r < 0)
		return r;

	int keep[] = { s->waiter,  s->listener, s->command_socket,	s->opener_socket,
		       s->signals, s->wake,	s->options->where->proc };

	go_apart("pipesfs-portal", STDERR_FILENO);
	close_others(keep, ARRAY_SIZE(keep));
	r = pfs_deciders_start(s->listener, s->opener_socket, s->wake, s->options->where,
			       s->options->rules, &s->deciders);
	if (r < 0)
		return pfs_diag_set(diag, -r, "cannot start a thread: %s", strerror(-r));
	return send(s->command_socket, "", 1, MSG_NOSIGNAL) < 0
		       ? pfs_diag_set(diag, errno, "the command was killed")
		       : 0;
}

/* --- events ------------------------------------------------------------------------------------- */

/*
 * The waiter may have stopped itself, or be about to, and hears nothing then: it is sent SIGCONT until it has said
 * that it is awake.
 */
static void waiter_wake(struct serve *s)
{
	if (s->waking && s->waiter >= 0)
		kill(s->parent, SIGCONT);
}

static void command_news(struct serve *s, const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_STOPPED:
	case CLD_TRAPPED:
		s->stopped = true;
		s->waking = false;
		tell(s, PFS_NEWS_STOPPED, info->si_status, NULL, -1);
		break;
	case CLD_CONTINUED:
		s->waking = s->stopped;
		tell(s, PFS_NEWS_CONTINUED, 0, NULL, -1);
		break;
	default:
		s->waking = s->stopped;
		s->ended = true;
		s->status = info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status;
	}
}

/* Everybody's children end up here. */
static void reap(struct serve *s)
{
	struct signalfd_siginfo seen[8];

	while (read(s->signals, seen, sizeof(seen)) > 0)
		;
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) < 0 ||
		    info.si_pid == 0)
			return;
		if (info.si_pid == s->command)
			command_news(s, &info);
		else if (info.si_pid == s->opener && info.si_code != CLD_STOPPED &&
			 info.si_code != CLD_CONTINUED)
			s->opener = 0;
	}
}

static void waiter_look(struct serve *s)
{
	char byte;
	ssize_t n = recv(s->waiter, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (byte == PFS_SERVE_AWAKE)
			s->waking = false;
		else
			s->drained = s->finishing;
		return;
	}
	close(s->waiter);
	s->waiter = -1;
	/* It was killed: so is what it stood for. */
	if (!s->ended)
		kill(s->command, SIGKILL);
}

static void command_look(struct serve *s)
{
	struct birth birth;
	int none;

	if (message_recv(s->command_socket, &birth, sizeof(birth), &none) == sizeof(birth))
		tell(s, PFS_NEWS_EXEC, birth.error, NULL, -1);
	close(s->command_socket);
	s->command_socket = -1;
}

/* The opener's side of the socket ends when nothing is left that is written to, or with it. */
static void opener_look(struct serve *s)
{
	char byte;

	if (recv(s->opener_socket, &byte, 1, MSG_DONTWAIT) == 0)
		s->drained = true;
}

/* The command has ended: the waiter may know when what was written through portals has arrived. */
static void finish(struct serve *s)
{
	struct pollfd fd = { .fd = s->listener };
	struct pfs_ask ask = { .kind = PFS_ASK_QUIET };

	if (!s->alone && poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP)) {
		s->alone = true;
		shutdown(s->opener_socket, SHUT_WR);
	}
	if (!s->ended || s->told)
		return;
	if (s->alone && !s->drained && s->waiter >= 0) {
		if (!s->finishing)
			tell(s, PFS_NEWS_FINISHING, s->status, NULL, -1);
		s->finishing = true;
		return;
	}
	s->told = true;
	tell(s, s->alone && s->drained ? PFS_NEWS_LAST : PFS_NEWS_ENDED, s->status, NULL, -1);
	send(s->opener_socket, &ask, offsetof(struct pfs_ask, rest), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int serve_loop(struct serve *s)
{
	while (!s->alone || !s->told || s->opener || (s->waking && s->waiter >= 0)) {
		struct pollfd fds[] = {
			{ .fd = s->signals, .events = POLLIN },
			{ .fd = s->wake, .events = POLLIN },
			{ .fd = s->waiter, .events = POLLIN },
			{ .fd = s->command_socket, .events = POLLIN },
			{ .fd = s->drained ? -1 : s->opener_socket, .events = POLLIN },
			{ .fd = s->alone ? -1 : s->listener }, /* until nobody is left */
		};
		int wait = s->alone ? -1 : pfs_deciders_watch(s->deciders);
		eventfd_t woken;

		waiter_wake(s);
		if (s->waking && (wait < 0 || wait > WAKE_TIME))
			wait = WAKE_TIME;
		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents)
			eventfd_read(s->wake, &woken);
		if (fds[3].revents)
			command_look(s);
		if (fds[0].revents)
			reap(s);
		if (fds[2].revents)
			waiter_look(s);
		if (fds[4].revents)
			opener_look(s);
		finish(s);
	}
	return 0;
}

_Noreturn static void serve_run(struct serve *s)
{
	struct pfs_diag diag = { "" };

	if (serve_prepare(s, &diag) < 0) {
		tell(s, PFS_NEWS_FAILED, 0, diag.text, -1);
		if (s->command > 0)
			kill(s->command, SIGKILL);
		_exit(1);
	}
	_exit(serve_loop(s));
}

/* --- for the waiter --------------------------------------------------------------------------------- */

/* Who has CAP_SYS_ADMIN needs no promise, and set-user-ID programs work for him as before. */
static int promise(void)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t caps = cap_get_proc();

	if (caps) {
		cap_get_flag(caps, CAP_SYS_ADMIN, CAP_EFFECTIVE, &value);
		cap_free(caps);
	}
	if (value == CAP_SET)
		return 0;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int pfs_serve_start(const struct pfs_serve_options *options, struct pfs_server *ret_server,
		    struct pfs_diag *diag)
{
	struct serve s = { .options = options,
			   .waiter = -1,
			   .listener = -1,
			   .command_socket = -1,
			   .opener_socket = -1,
			   .signals = -1,
			   .wake = -1 };
	struct sigaction deflt = { .sa_handler = SIG_DFL };
	int fds[2];
	pid_t pid;
	int r = promise();

	if (r < 0)
		return pfs_diag_set(diag, -r, "no_new_privs: %s", strerror(-r));
	/* Ignored, children would leave without a word. */
	sigaction(SIGCHLD, &deflt, &s.sigchld);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return pfs_diag_set(diag, errno, "socketpair: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		s.waiter = fds[1];
		serve_run(&s);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return pfs_diag_set(diag, errno, "cannot start a process: %s", strerror(errno));
	}
	ret_server->pid = pid;
	ret_server->socket = fds[0];
	return 0;
}

int pfs_serve_news(const struct pfs_server *server, struct pfs_news *ret_news, int *ret_pidfd)
{
	int fd;
	ssize_t n = message_recv(server->socket, ret_news, sizeof(*ret_news), &fd);

	if (n != sizeof(*ret_news)) {
		pfs_closep(&fd);
		return 0;
	}
	ret_news->text[sizeof(ret_news->text) - 1] = '\0';
	if (fd >= 0)
		*ret_pidfd = fd;
	return 1;
}

void pfs_serve_say(const struct pfs_server *server, char what)
{
	send(server->socket, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}
