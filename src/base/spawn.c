#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/socket.h"
#include "base/thread.h"

#define KILL_GRACE 2000000000ULL /* ns from SIGTERM to SIGKILL */
#define HELPER_GRACE \
	8000000000ULL	 /* ns that a helper has to end its own affairs when the client has gone */
#define END_PATIENCE 300 /* ms that pfs_spawner_free() waits for the spawner */
#define MESSAGE_MAX ((size_t)160 << 10)
#define PIDFD_SIGNAL_GROUP 4U /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */
#define FDS_MAX 4	      /* stdio, network namespace */

/* --- the wire ---------------------------------------------------------------------------- */

enum ask {
	ASK_RUN,
	ASK_HELPER,
	ASK_SIGNAL, /* number */
	ASK_LEAVE,
};

/* Then: the groups, the directory, the words; each string with its NUL. */
struct ask_head {
	uint32_t type, id;
	int32_t number;
	uint32_t words, text_len;
	uint32_t uid, gid, ngroups, umask;
	uint32_t processes;
	bool no_new_privs, confined, has_netns, has_fd[3];
	struct rlimit limits[RLIM_NLIMITS];
};

enum answer {
	ANSWER_STARTED, /* value: pid or -errno */
	ANSWER_ENDED,	/* value: status */
	ANSWER_HELPER,	/* value: pid or -errno; with its descriptor */
};

struct answer_head {
	uint32_t type, id;
	int32_t value;
};

static void fds_close(int fds[FDS_MAX])
{
	for (size_t i = 0; i < FDS_MAX; i++)
		pfs_closep(&fds[i]);
}

/* --- the spawner --------------------------------------------------------------------------- */

/* What a confined command that has ended may have left running, for when its client lets go of it. */
struct group {
	uint32_t id;
	int fd; /* owned; pidfd of its leader, which keeps the number of the group from being another's */
	struct group *next;
};

struct child {
	uint32_t id;
	pid_t pid;
	int report_fd; /* it has not told yet whether it runs; else -1 */
	int group_fd;  /* owned; of a confined command: see struct group; else -1 */
	bool helper;
	bool left;	  /* nobody wants it any more */
	uint64_t kill_at; /* ns, monotonic; 0: no */
	struct child *next;
};

struct spawner {
	int fd, signal_fd;
	int (*helper)(int fd);
	void (*last)(void *arg);
	void *arg; /* borrowed, for last */
	struct group *groups;
	struct child *first;
	size_t n;
};

static void answer(struct spawner *s, enum answer type, uint32_t id, int value, int fd)
{
	struct answer_head head = { .type = type, .id = id, .value = value };
	struct iovec iov = { &head, sizeof(head) };

	/* Who does not hear us has died, which we see at the socket. */
	pfs_socket_send(s->fd, &iov, 1, 0, &fd, fd >= 0);
}

static void child_add(struct spawner *s, const struct child *like)
{
	struct child *child = malloc(sizeof(*child));

	/* One that we could not remember would be ended by nobody. */
	if (!child) {
		kill(like->pid, SIGKILL);
		return;
	}
	*child = *like;
	child->next = s->first;
	s->first = child;
	s->n++;
}

static void child_leave(struct child *child)
{
	child->left = true;
	/* A helper sees that its socket is closed. */
	if (!child->helper && kill(-child->pid, SIGTERM) < 0)
		kill(child->pid, SIGTERM);
	child->kill_at = pfs_clock_mono() + (child->helper ? HELPER_GRACE : KILL_GRACE);
}

/* Unpacks what was asked: strings point into text. */
struct asked {
	const struct ask_head *head;
	struct pfs_caller caller; /* its groups borrowed */
	const char *dir;
	char **words; /* owned */
};

static int asked_read(const char *bytes, size_t n, int fds[FDS_MAX], struct asked *asked)
{
	const struct ask_head *head = (const void *)bytes;
	const char *text;
	size_t at = 0;

	if (n < sizeof(*head) || n != sizeof(*head) + head->ngroups * sizeof(gid_t) + head->text_len ||
	    (head->text_len && bytes[n - 1]))
		return -EINVAL;
	asked->head = head;
	asked->caller = (struct pfs_caller){
		.uid = head->uid,
		.gid = head->gid,
		.ngroups = head->ngroups,
		.groups = (gid_t *)(bytes + sizeof(*head)),
		.umask = head->umask,
		.no_new_privs = head->no_new_privs,
		.confined = head->confined,
		.netns_fd = head->has_netns ? fds[head->has_fd[0] + head->has_fd[1] + head->has_fd[2]]
					    : -1,
	};
	memcpy(asked->caller.limits, head->limits, sizeof(head->limits));
	if (head->type != ASK_RUN)
		return 0;
	text = bytes + n - head->text_len;
	asked->dir = text;
	asked->words = pfs_zalloc(head->words + 1, sizeof(char *));
	if (!asked->words)
		return -ENOMEM;
	for (size_t i = 0; i < head->words; i++) {
		at += strlen(text + at) + 1;
		if (at >= head->text_len)
			return -EINVAL;
		asked->words[i] = (char *)text + at;
	}
	return 0;
}

static void do_run(struct spawner *s, const struct asked *asked, const int fds[FDS_MAX])
{
	struct pfs_child_options options = {
		.argv = asked->words,
		.dir = *asked->dir ? asked->dir : NULL,
		.caller = &asked->caller,
		.processes = asked->head->processes,
		.dies_with = getpid(),
	};
	struct child child = { .id = asked->head->id, .report_fd = -1, .group_fd = -1 };
	int r;

	for (int i = 0, j = 0; i < 3; i++)
		options.fd[i] = asked->head->has_fd[i] ? fds[j++] : -1;
	r = pfs_child_start(&options, &child.pid, &child.report_fd);
	if (r < 0)
		answer(s, ANSWER_STARTED, child.id, r, -1);
	if (r == 0 && asked->caller.confined)
		child.group_fd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	if (r == 0)
		child_add(s, &child);
}

/* In the child. All limits as wide as may be: commands that it starts get those of their callers. */
static int helper_main(struct spawner *s, const struct pfs_caller *caller, int fd)
{
	struct rlimit none = { 0, 0 };
	sigset_t empty;

	setsid();
	prctl(PR_SET_NAME, "pipesfs-helper");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		if (setrlimit((__rlimit_resource_t)i, &limit) < 0 &&
		    getrlimit((__rlimit_resource_t)i, &limit) == 0) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit((__rlimit_resource_t)i, &limit);
		}
	}
	if (getrlimit(RLIMIT_CORE, &none) == 0) {
		none.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &none);
	}
	if (pfs_caller_become(caller, false) < 0)
		return 1;
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	/* Nothing of the spawner's stays open; the socket becomes 3. */
	if (fd != 3 && dup3(fd, 3, O_CLOEXEC) < 0)
		return 1;
	close_range(4, ~0U, 0);
	return s->helper(3);
}

static void do_helper(struct spawner *s, const struct asked *asked)
{
	struct child child = { .id = asked->head->id, .report_fd = -1, .group_fd = -1, .helper = true };
	int pair[2];

	if (!s->helper || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		answer(s, ANSWER_HELPER, child.id, s->helper ? -errno : -ENOSYS, -1);
		return;
	}
	child.pid = fork();
	if (child.pid == 0) {
		close(pair[0]);
		_exit(helper_main(s, &asked->caller, pair[1]));
	}
	close(pair[1]);
	answer(s, ANSWER_HELPER, child.id, child.pid < 0 ? -errno : child.pid,
	       child.pid < 0 ? -1 : pair[0]);
	close(pair[0]);
	if (child.pid > 0)
		child_add(s, &child);
}

static struct child *child_find(struct spawner *s, uint32_t id)
{
	struct child *child = s->first;

	while (child && (child->id != id || child->helper))
		child = child->next;
	return child;
}

/* Before Linux 6.9 there is no way to be sure whose group that is: it is let be. */
static void group_end(struct group *group)
{
	(void)syscall(SYS_pidfd_send_signal, group->fd, SIGKILL, NULL, PIDFD_SIGNAL_GROUP);
	close(group->fd);
	free(group);
}

static void group_leave(struct spawner *s, uint32_t id)
{
	for (struct group **at = &s->groups; *at; at = &(*at)->next) {
		struct group *group = *at;

		if (group->id != id)
			continue;
		*at = group->next;
		group_end(group);
		return;
	}
}

static void group_add(struct spawner *s, struct child *child)
{
	struct group *group = malloc(sizeof(*group));

	if (!group)
		return;
	group->id = child->id;
	group->fd = TAKE_FD(child->group_fd);
	group->next = s->groups;
	s->groups = group;
}

/* False: the client has gone. */
static bool serve_client(struct spawner *s, char *buf)
{
	int fds[FDS_MAX];
	ssize_t n = pfs_socket_receive(s->fd, buf, MESSAGE_MAX, 0, fds, FDS_MAX);
	struct asked asked = { 0 };
	struct child *child;

	if (n <= 0)
		return false;
	if (asked_read(buf, (size_t)n, fds, &asked) == 0) {
		child = child_find(s, asked.head->id);
		if (asked.head->type == ASK_RUN)
			do_run(s, &asked, fds);
		else if (asked.head->type == ASK_HELPER)
			do_helper(s, &asked);
		else if (child && asked.head->type == ASK_LEAVE)
			child_leave(child);
		else if (child)
			kill(-child->pid, asked.head->number);
		else if (asked.head->type == ASK_LEAVE)
			group_leave(s, asked.head->id);
	}
	free(asked.words);
	fds_close(fds);
	return true;
}

static void child_told(struct spawner *s, struct child *child)
{
	int r = pfs_child_result(TAKE_FD(child->report_fd));

	answer(s, ANSWER_STARTED, child->id, r < 0 ? r : child->pid, -1);
	/* It ends by itself, and nobody is to hear of it. */
	if (r < 0)
		child->helper = true;
}

/* The leader is not waited for yet: its number, and its group's, is still its own. */
static void child_ended(struct spawner *s, struct child **at)
{
	struct child *child = *at;
	int status = 0;

	if (child->report_fd >= 0)
		child_told(s, child);
	if (child->left)
		kill(-child->pid, SIGKILL);
	waitpid(child->pid, &status, 0);
	if (!child->helper)
		answer(s, ANSWER_ENDED, child->id, status, -1);
	if (child->group_fd >= 0 && !child->helper && !child->left)
		group_add(s, child);
	*at = child->next;
	pfs_closep(&child->group_fd);
	free(child);
	s->n--;
}

static void children_reap(struct spawner *s)
{
	struct signalfd_siginfo seen;

	while (read(s->signal_fd, &seen, sizeof(seen)) == sizeof(seen))
		;
	for (;;) {
		siginfo_t info = { 0 };
		struct child **at = &s->first;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		while (*at && (*at)->pid != info.si_pid)
			at = &(*at)->next;
		if (*at)
			child_ended(s, at);
		else
			waitpid(info.si_pid, NULL, 0);
	}
}

/* SIGKILL for those that were told to end; ms until the next is due. */
static int children_kill(struct spawner *s)
{
	uint64_t now = pfs_clock_mono(), next = UINT64_MAX;

	for (struct child *child = s->first; child; child = child->next) {
		if (child->kill_at && child->kill_at <= now) {
			kill(-child->pid, SIGKILL);
			child->kill_at = 0;
		}
		if (child->kill_at)
			next = pfs_min64(next, child->kill_at);
	}
	return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

/* Client, signals, and children that have not told yet whether they run. */
static bool spawner_wait(struct spawner *s, char *buf, bool client)
{
	PFS_FREE struct pollfd *fds = pfs_zalloc(s->n + 2, sizeof(*fds));
	size_t n = 0;

	if (!fds)
		return false;
	fds[n++] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	fds[n++] = (struct pollfd){ .fd = client ? s->fd : -1, .events = POLLIN };
	for (struct child *child = s->first; child; child = child->next)
		if (child->report_fd >= 0)
			fds[n++] = (struct pollfd){ .fd = child->report_fd, .events = POLLIN };
	if (poll(fds, (nfds_t)n, children_kill(s)) < 0)
		return errno == EINTR;
	for (struct child *child = s->first; child; child = child->next)
		for (size_t i = 2; i < n; i++)
			if (child->report_fd == fds[i].fd && fds[i].revents && child->report_fd >= 0)
				child_told(s, child);
	if (fds[0].revents)
		children_reap(s);
	return !fds[1].revents || serve_client(s, buf);
}

static int spawner_main(struct spawner *s)
{
	PFS_FREE char *buf = malloc(MESSAGE_MAX);
	sigset_t mask;

	prctl(PR_SET_NAME, "pipesfs-spawn");
	setsid();
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0 || !buf)
		return 1;
	while (spawner_wait(s, buf, true))
		;
	/* The client has gone, or waits for us to go. */
	close(s->fd);
	while (s->groups)
		group_leave(s, s->groups->id);
	for (struct child *child = s->first; child; child = child->next)
		child_leave(child);
	if (s->last)
		s->last(s->arg);
	while (s->first && spawner_wait(s, buf, false))
		;
	return 0;
}

/* Nothing of the process that we were forked from stays open: a mount's descriptor would keep it alive. */
static int spawner_enter(struct spawner *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	if (s->fd != 3 && dup3(s->fd, 3, O_CLOEXEC) < 0)
		return 1;
	s->fd = 3;
	close_range(4, ~0U, 0);
	return spawner_main(s);
}

/* --- the client ----------------------------------------------------------------------------- */

struct pfs_command {
	struct pfs_spawner *spawner; /* borrowed */
	uint32_t id;
	pid_t pid;
	bool group;	      /* what it leaves running ends with us */
	bool answered, ended; /* lock */
	int result;	      /* lock: of the start */
	int fd;		      /* lock: helper */
	void (*on_end)(void *arg, int status);
	void (*on_start)(void *arg, int result); /* NULL: somebody waits for it */
	void *arg;
	struct pfs_command *next; /* lock */
};

struct pfs_spawner {
	pid_t pid;
	int fd;
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool dead;		    /* lock */
	uint32_t next_id;	    /* lock */
	struct pfs_command *first;  /* lock */
	struct pfs_command *called; /* lock: its callback runs */
	unsigned sending;	    /* lock: who writes to fd */
};

int pfs_spawner_new(int (*helper)(int fd), void (*last)(void *arg), void *arg,
		    struct pfs_spawner **ret_spawner)
{
	struct pfs_spawner *spawner = pfs_zalloc(1, sizeof(*spawner));
	int size = 1 << 20, pair[2];

	if (!spawner || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int r = spawner ? -errno : -ENOMEM;

		free(spawner);
		return r;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	spawner->pid = fork();
	if (spawner->pid == 0) {
		struct spawner s = { .fd = pair[1], .helper = helper, .last = last, .arg = arg };

		close(pair[0]);
		_exit(spawner_enter(&s));
	}
	close(pair[1]);
	if (spawner->pid < 0) {
		int r = -errno;

		close(pair[0]);
		free(spawner);
		return r;
	}
	spawner->fd = pair[0];
	pthread_mutex_init(&spawner->lock, NULL);
	pthread_cond_init(&spawner->changed, NULL);
	*ret_spawner = spawner;
	return 0;
}

/* Lock held. */
static struct pfs_command *command_find(struct pfs_spawner *spawner, uint32_t id)
{
	struct pfs_command *command = spawner->first;

	while (command && command->id != id)
		command = command->next;
	return command;
}

/* Lock held; given up during the callback. */
static void call(struct pfs_spawner *spawner, struct pfs_command *command,
		 void (*callback)(void *arg, int value), int value)
{
	if (!callback)
		return;
	spawner->called = command;
	pthread_mutex_unlock(&spawner->lock);
	callback(command->arg, value);
	pthread_mutex_lock(&spawner->lock);
	spawner->called = NULL;
	pthread_cond_broadcast(&spawner->changed);
}

/* Lock held. */
static void command_ended(struct pfs_spawner *spawner, struct pfs_command *command, int status)
{
	if (command->ended)
		return;
	command->ended = true;
	call(spawner, command, command->on_end, status);
}

/* Lock held. One that does not run has ended, too, and nobody is told so twice. */
static void command_answered(struct pfs_spawner *spawner, struct pfs_command *command, int value)
{
	command->answered = true;
	command->result = value < 0 ? value : 0;
	command->pid = value > 0 ? value : 0;
	pthread_cond_broadcast(&spawner->changed);
	if (!command->on_start)
		return;
	command->ended = value < 0;
	call(spawner, command, command->on_start, value);
}

static void spawner_heard(struct pfs_spawner *spawner, const struct answer_head *head, int *fd)
{
	struct pfs_command *command;

	pthread_mutex_lock(&spawner->lock);
	command = command_find(spawner, head->id);
	if (command && head->type == ANSWER_ENDED) {
		command_ended(spawner, command, head->value);
	} else if (command) {
		command->fd = TAKE_FD(*fd);
		command_answered(spawner, command, head->value);
	}
	pthread_mutex_unlock(&spawner->lock);
}

/* Those that run are killed with the spawner. */
static void spawner_died(struct pfs_spawner *spawner)
{
	struct pfs_command *command;

	pthread_mutex_lock(&spawner->lock);
	spawner->dead = true;
	pthread_cond_broadcast(&spawner->changed);
	do {
		for (command = spawner->first; command; command = command->next)
			if ((command->answered || command->on_start) && !command->ended)
				break;
		if (command && !command->answered)
			command_answered(spawner, command, -ESHUTDOWN);
		else if (command)
			command_ended(spawner, command, SIGKILL);
	} while (command);
	pthread_mutex_unlock(&spawner->lock);
}

static void *spawner_thread(void *arg)
{
	struct pfs_spawner *spawner = arg;
	struct answer_head head = { 0 };
	int fds[FDS_MAX];

	while (pfs_socket_receive(spawner->fd, &head, sizeof(head), 0, fds, FDS_MAX) == sizeof(head)) {
		spawner_heard(spawner, &head, &fds[0]);
		fds_close(fds);
	}
	spawner_died(spawner);
	return NULL;
}

int pfs_spawner_start(struct pfs_spawner *spawner)
{
	int r = pfs_thread_start(spawner_thread, spawner, &spawner->thread);

	spawner->threaded = r == 0;
	return r;
}

/* One that still has children to end does so alone, and is whoever's who inherits it. */
static void spawner_reap(pid_t pid)
{
	PFS_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = { .fd = fd, .events = POLLIN };

	if (fd < 0 || poll(&end, 1, END_PATIENCE) > 0)
		waitpid(pid, NULL, WNOHANG);
}

void pfs_spawner_free(struct pfs_spawner *spawner)
{
	if (!spawner)
		return;
	/* The spawner reads the end of the socket and closes it; then it ends its children and itself. */
	shutdown(spawner->fd, SHUT_WR);
	if (spawner->threaded)
		pthread_join(spawner->thread, NULL);
	close(spawner->fd);
	spawner_reap(spawner->pid);
	pthread_mutex_destroy(&spawner->lock);
	pthread_cond_destroy(&spawner->changed);
	free(spawner);
}

/* --- asking ------------------------------------------------------------------------------------ */

struct question {
	struct ask_head head;
	const struct pfs_caller *caller; /* NULL: nobody's affair */
	const struct pfs_argv *argv;
	const char *dir;
	int fds[FDS_MAX];
	size_t nfds;
};

static int question_send(struct pfs_spawner *spawner, struct question *q)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct iovec iov[3];
	ssize_t n;

	if (q->caller) {
		q->head.uid = q->caller->uid;
		q->head.gid = q->caller->gid;
		q->head.ngroups = (uint32_t)q->caller->ngroups;
		q->head.umask = q->caller->umask;
		q->head.no_new_privs = q->caller->no_new_privs;
		q->head.confined = q->caller->confined;
		memcpy(q->head.limits, q->caller->limits, sizeof(q->head.limits));
		q->head.has_netns = q->caller->netns_fd >= 0;
		if (q->head.has_netns)
			q->fds[q->nfds++] = q->caller->netns_fd;
	}
	if (q->argv) {
		pfs_buf_add(&text, q->dir ? q->dir : "", q->dir ? strlen(q->dir) + 1 : 1);
		for (size_t i = 0; i < q->argv->n; i++)
			pfs_buf_add(&text, q->argv->v[i], strlen(q->argv->v[i]) + 1);
		q->head.words = (uint32_t)q->argv->n;
	}
	if (text.failed)
		return -ENOMEM;
	q->head.text_len = (uint32_t)text.len;
	iov[0] = (struct iovec){ &q->head, sizeof(q->head) };
	iov[1] = (struct iovec){ q->caller ? q->caller->groups : NULL,
				 q->head.ngroups * sizeof(gid_t) };
	iov[2] = (struct iovec){ text.data, text.len };
	if (iov[0].iov_len + iov[1].iov_len + iov[2].iov_len > MESSAGE_MAX)
		return -E2BIG;
	n = pfs_socket_send(spawner->fd, iov, 3, 0, q->fds, q->nfds);
	return n == -EPIPE || n == -ECONNRESET ? -ESHUTDOWN : n < 0 ? (int)n : 0;
}

static void command_unlist(struct pfs_command *command)
{
	struct pfs_spawner *spawner = command->spawner;

	for (struct pfs_command **at = &spawner->first; *at; at = &(*at)->next)
		if (*at == command) {
			*at = command->next;
			break;
		}
}

/* Asks, and waits until it is answered unless somebody else does. */
static int start(struct pfs_spawner *spawner, struct question *q, struct pfs_command *command)
{
	bool wait = !command->on_start;
	int r;

	pthread_mutex_lock(&spawner->lock);
	if (spawner->dead) {
		pthread_mutex_unlock(&spawner->lock);
		return -ESHUTDOWN;
	}
	command->spawner = spawner;
	command->id = q->head.id = ++spawner->next_id;
	command->next = spawner->first;
	spawner->first = command;
	pthread_mutex_unlock(&spawner->lock);
	r = question_send(spawner, q);
	pthread_mutex_lock(&spawner->lock);
	while (wait && r == 0 && !command->answered && !spawner->dead)
		pthread_cond_wait(&spawner->changed, &spawner->lock);
	if (wait && r == 0)
		r = command->answered ? command->result : -ESHUTDOWN;
	while (r < 0 && spawner->called == command) /* the spawner died while we asked */
		pthread_cond_wait(&spawner->changed, &spawner->lock);
	if (r < 0)
		command_unlist(command);
	pthread_mutex_unlock(&spawner->lock);
	return r;
}

static int command_ask(struct pfs_spawner *spawner, const struct pfs_command_options *options,
		       void (*on_start)(void *arg, int result), struct pfs_command **ret_command,
		       struct pfs_diag *diag)
{
	struct pfs_command *command = pfs_zalloc(1, sizeof(*command));
	struct question q = {
		.head = { .type = ASK_RUN, .processes = options->processes },
		.caller = options->caller,
		.argv = options->argv,
		.dir = options->dir,
	};
	int r;

	if (!command)
		return -ENOMEM;
	command->fd = -1;
	command->on_end = options->ended;
	command->on_start = on_start;
	command->group = options->caller->confined;
	command->arg = options->arg;
	for (int i = 0; i < 3; i++) {
		q.head.has_fd[i] = options->fd[i] >= 0;
		if (q.head.has_fd[i])
			q.fds[q.nfds++] = options->fd[i];
	}
	r = options->argv->n ? start(spawner, &q, command) : -ENOENT;
	if (r < 0) {
		free(command);
		return pfs_diag_set(diag, -r, "%.150s: %s",
				    options->argv->n ? options->argv->v[0] : "no command",
				    r == -ESHUTDOWN
					    ? "the process that starts others has died; mount again"
					    : strerror(-r));
	}
	*ret_command = command;
	return 0;
}

int pfs_command_start(struct pfs_spawner *spawner, const struct pfs_command_options *options,
		      struct pfs_command **ret_command, struct pfs_diag *diag)
{
	return command_ask(spawner, options, NULL, ret_command, diag);
}

int pfs_command_launch(struct pfs_spawner *spawner, const struct pfs_command_options *options,
		       struct pfs_command **ret_command, struct pfs_diag *diag)
{
	return command_ask(spawner, options, options->started, ret_command, diag);
}

static int tell(struct pfs_command *command, enum ask type, int number)
{
	struct question q = { .head = { .type = type, .id = command->id, .number = number } };
	bool ended;

	pthread_mutex_lock(&command->spawner->lock);
	ended = command->ended;
	pthread_mutex_unlock(&command->spawner->lock);
	if (ended && !(command->group && type == ASK_LEAVE))
		return -ESRCH;
	return question_send(command->spawner, &q);
}

int pfs_command_signal(struct pfs_command *command, int number)
{
	return tell(command, ASK_SIGNAL, number);
}

pid_t pfs_command_pid(const struct pfs_command *command)
{
	return command->pid;
}

void pfs_command_free(struct pfs_command *command)
{
	struct pfs_spawner *spawner;

	if (!command)
		return;
	spawner = command->spawner;
	tell(command, ASK_LEAVE, 0);
	pthread_mutex_lock(&spawner->lock);
	while (spawner->called == command && !pthread_equal(pthread_self(), spawner->thread))
		pthread_cond_wait(&spawner->changed, &spawner->lock);
	command_unlist(command);
	pthread_mutex_unlock(&spawner->lock);
	free(command);
}

int pfs_helper_start(struct pfs_spawner *spawner, const struct pfs_caller *caller, int *ret_fd)
{
	struct pfs_command helper = { .fd = -1 };
	struct question q = { .head = { .type = ASK_HELPER }, .caller = caller };
	int r = start(spawner, &q, &helper);

	if (r < 0)
		return r;
	pthread_mutex_lock(&spawner->lock);
	command_unlist(&helper);
	pthread_mutex_unlock(&spawner->lock);
	if (helper.fd < 0)
		return -EIO;
	*ret_fd = helper.fd;
	return 0;
}
