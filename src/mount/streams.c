/*
 * streams - the process that serves the mount and runs the graph
 *
 * It ends when it is told to (SIGTERM, SIGINT, `end` in .control), when the keeper has
 * died, and when the mount is gone and its last file closed. Being told, it detaches the mount,
 * gives every reader EOF and every waiting writer an error, serves those that still have files open
 * for a moment, and exits; the kernel then aborts what is left.
 */
#include "mount/share.h"

#include <fcntl.h>
#include <poll.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "portal/helper.h"

#define LINGER 500  /* ms for clients to read their EOF and close */
#define FINISH 1000 /* ms for threads to end */
#define MAKE_THREADS 16
#define OPEN_THREADS 8
#define PIPE_THREADS 128 /* most wait for a program that serves them all: graph/decide.h */

/*
 * NET_RAW, NET_ADMIN, BPF, PERFMON: packet sockets, netfilter and kernel programs. SYS_ADMIN:
 * netns=, and detaching the mount. The rest: to open a user's file as that user, in his root and
 * working directory.
 */
static const int caps_kept[] = {
	CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF,	    CAP_PERFMON,	 CAP_SYS_ADMIN,
	CAP_SETUID,  CAP_SETGID,    CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
};

struct streams {
	struct pfs_mount *mount;
	struct pfs_session *session;
	int keeper_fd;
	int signal_fd;
	int ended_fd; /* the session is over */
	bool ready;
};

static void nothing(int number)
{
	(void)number;
}

/* SIGUSR1 only ends a system call that a thread waits in. */
static int signals_prepare(void)
{
	struct sigaction poke = { .sa_handler = nothing };
	sigset_t mask;

	sigaction(SIGUSR1, &poke, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file sink at its limit is told by EFBIG */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

/*
 * Buffers of requests come and go on any thread: with an arena for each and a threshold that grows, what was freed
 * would stay, and memory would follow the number of readers that ever were.
 */
static void memory_prepare(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

/*
 * A descriptor for each reader is not needed, but sources, sinks and files of users' have theirs.
 */
static void limits_prepare(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	umask(022);
}

static void complain(void *arg, const struct pfs_complaint *complaint)
{
	struct pfs_cred cred = { .uid = complaint->uid, .pid = complaint->pid };
	PFS_BUF struct pfs_buf line = { 0 };
	struct pfs_diag diag;

	pfs_diag_set(&diag, complaint->error, "%s", complaint->text);
	pfs_refuse(arg, &cred, complaint->node, NULL, complaint->error, &diag);
	if (!complaint->pid)
		return;
	pfs_buf_printf(&line, "uid %lu, pid %ld, ", (unsigned long)complaint->uid,
		       (long)complaint->pid);
	pfs_node_path(complaint->node, &line);
	pfs_buf_str(&line, ": ");
	pfs_buf_clean(&line, complaint->text, strlen(complaint->text));
	if (!line.failed)
		pfs_log_try(line.data);
}

static int mount_prepare(struct pfs_mount *mount, const struct pfs_mount_options *options)
{
	struct pfs_graph_options graph = {
		.ring_size = options->ring,
		.memory_max = options->memory,
		.nodes_max = (unsigned)options->nodes,
		.user_nodes = (unsigned)options->user_nodes,
		.user_memory = options->user_memory,
		.user_processes = (unsigned)options->user_processes,
		.user_opens = (unsigned)options->user_opens,
		.user_sockets = (unsigned)options->user_sockets,
		.latency = options->latency,
		.uid = getuid(),
		.gid = getgid(),
		.dev = makedev(mount->dev_major, mount->dev_minor),
		.spawner = mount->spawner,
		.home = &mount->home,
		.herd = pfs_redirfs_herd(mount),
		.complain = complain,
		.complain_arg = mount,
	};
	int r;

	mount->options = options;
	pthread_mutex_init(&mount->held.lock, NULL);
	pthread_mutex_init(&mount->tasks.lock, NULL);
	pthread_mutex_init(&mount->files.lock, NULL);
	pfs_links_init(mount);
	mount->init_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mount->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mount->tasks.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mount->init_fd < 0 || mount->end_fd < 0 || mount->tasks.wake_fd < 0)
		return -errno;
	r = pfs_pool_init(&mount->make, MAKE_THREADS);
	if (r == 0)
		r = pfs_pool_init(&mount->open, OPEN_THREADS);
	if (r == 0)
		r = pfs_pool_init(&mount->pipes, PIPE_THREADS);
	if (r == 0)
		r = pfs_refusals_new(&mount->refusals);
	if (r == 0)
		r = pfs_graph_new(&graph, &mount->graph);
	if (r == 0)
		r = pfs_inodes_init(mount);
	return r;
}

/* Everybody is gone: what an aborted connection left open is closed, then the graph goes. */
static void mount_release(struct pfs_mount *mount)
{
	struct pfs_file *file;
	int r;

	pthread_mutex_lock(&mount->files.lock);
	while ((file = mount->files.first)) {
		pthread_mutex_unlock(&mount->files.lock);
		file->kind->release(file); /* takes it off the list */
		pthread_mutex_lock(&mount->files.lock);
	}
	pthread_mutex_unlock(&mount->files.lock);
	pfs_shares_free(mount);
	r = pfs_gate_free(mount);
	if (r == 0)
		r = pfs_pipe_supplies_wait(FINISH);
	if (r == 0)
		r = pfs_pool_stop(&mount->make, FINISH);
	if (r == 0)
		r = pfs_pool_stop(&mount->open, FINISH);
	if (r == 0)
		r = pfs_pool_stop(&mount->pipes, FINISH);
	/* A thread that waits for ever, a file opened this moment: the process ends anyway. */
	if (r < 0 || mount->files.first)
		return;
	pfs_pipe_finish();
	pfs_inodes_release(mount);
	pfs_links_release(mount);
	pfs_graph_free(mount->graph);
	pfs_redirfs_free(mount);
	pfs_spawner_free(mount->spawner);
	pfs_refusals_free(mount->refusals);
	pfs_pool_release(&mount->make);
	pfs_pool_release(&mount->open);
	pfs_pool_release(&mount->pipes);
	close(mount->init_fd);
	close(mount->end_fd);
	close(mount->tasks.wake_fd);
}

/* --- what happens -------------------------------------------------------------------------- */

static bool consume(int fd)
{
	eventfd_t value;

	return eventfd_read(fd, &value) == 0;
}

static void say_ready(struct streams *streams)
{
	static const char word[] = PFS_KEEPER_READY;

	/* From here on nobody may be looking at stderr. */
	if (!streams->mount->options->foreground)
		pfs_log_to_syslog();
	streams->ready = true;
	send(streams->keeper_fd, word, sizeof(word), MSG_NOSIGNAL);
}

/* Of two times in ms, of which -1 is never. */
static int sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* SIGHUP from somebody only lets portal.conf be read again. */
static bool signal_ends(struct streams *streams)
{
	struct signalfd_siginfo info;

	if (read(streams->signal_fd, &info, sizeof(info)) != sizeof(info) ||
	    info.ssi_signo != SIGHUP || info.ssi_code > 0)
		return true;
	pfs_gate_reload(streams->mount);
	return false;
}

/* Waits for an end, which is returned: true when the mount has ended by itself. */
static bool wait_for_end(struct streams *streams)
{
	struct pfs_mount *mount = streams->mount;
	enum { SIGNAL, KEEPER, ENDED, END, INIT, TASKS, STARVED, COUNT };
	struct pollfd fds[COUNT] = {
		[SIGNAL] = { .fd = streams->signal_fd, .events = POLLIN },
		[KEEPER] = { .fd = streams->keeper_fd, .events = POLLIN },
		[ENDED] = { .fd = streams->ended_fd, .events = POLLIN },
		[END] = { .fd = mount->end_fd, .events = POLLIN },
		[INIT] = { .fd = mount->init_fd, .events = POLLIN },
		[TASKS] = { .fd = mount->tasks.wake_fd, .events = POLLIN },
		[STARVED] = { .fd = pfs_session_starved_fd(streams->session), .events = POLLIN },
	};
	int timeout = -1;

	for (;;) {
		if (poll(fds, COUNT, timeout) < 0 && errno != EINTR)
			return false;
		if (fds[ENDED].revents)
			return true;
		/* The keeper says nothing: readable means that it has died. */
		if (fds[SIGNAL].revents && signal_ends(streams))
			return false;
		if (fds[KEEPER].revents || fds[END].revents)
			return false;
		if (fds[INIT].revents && consume(mount->init_fd) && !streams->ready)
			say_ready(streams);
		if (fds[TASKS].revents)
			consume(mount->tasks.wake_fd);
		timeout = sooner(pfs_tasks_expire(mount), pfs_session_relieve(streams->session));
	}
}

static void detach(const struct pfs_mount *mount)
{
	int r = pfs_mount_detach(mount->dev_major, mount->dev_minor, false);

	if (r < 0 && r != -ENOENT)
		pfs_log("cannot detach %s: %s; `umount -l %s` does", mount->options->dir,
			strerror(-r), mount->options->dir);
}

/* In the spawner, which outlives us. Should the keeper have died with us, nobody else takes a dead mount away. */
static void detach_dead(void *arg)
{
	const struct pfs_mount *mount = arg;

	/* Without that number it cannot be told from a later one with our device number. */
	if (mount->unique && !pfs_mount_is_gone(mount->unique))
		(void)pfs_mount_detach(mount->dev_major, mount->dev_minor, false);
}

/*
 * The mount has been detached: the session ends when the last file is closed, or we lose patience.
 */
static void linger(struct streams *streams)
{
	struct pollfd fd = { .fd = streams->ended_fd, .events = POLLIN };
	uint64_t end = pfs_clock_mono() + LINGER * 1000000ULL;

	for (;;) {
		uint64_t now = pfs_clock_mono();

		if (now >= end || poll(&fd, 1, (int)((end - now) / 1000000) + 1) > 0)
			return;
	}
}

/*
 * A keeper that was stopped would stay when we are gone; continued, it sees that we have ended, and
 * ends.
 */
static void keeper_wake(struct streams *streams)
{
	char byte;

	/* Its end is still open, so the process is still ours to signal. */
	if (recv(streams->keeper_fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN)
		kill(streams->mount->keeper, SIGCONT);
}

static int serve(struct streams *streams)
{
	struct pfs_mount *mount = streams->mount;
	bool by_itself;

	by_itself = wait_for_end(streams);
	/* Also what an abort has left; but once unmounted, our device number may be that of another mount. */
	if (!by_itself || !pfs_mount_is_gone(mount->unique))
		detach(mount);
	pfs_redirfs_end(mount);
	pfs_graph_shutdown(mount->graph);
	if (!by_itself)
		linger(streams);
	if (pfs_session_stop(streams->session, FINISH) == 0) {
		mount_release(mount);
		pfs_session_free(streams->session);
		fuse_session_destroy(mount->se);
	}
	keeper_wake(streams);
	return 0;
}

int pfs_streams_run(const struct pfs_mount_options *options, struct pfs_mount *mount, int keeper_fd)
{
	struct streams streams = { .mount = mount, .keeper_fd = keeper_fd };
	int r;

	prctl(PR_SET_NAME, "pipesfs-streams");
	streams.signal_fd = signals_prepare();
	streams.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (streams.signal_fd < 0 || streams.ended_fd < 0)
		r = -errno;
	else
		r = 0;
	limits_prepare();
	memory_prepare();
	/* While there is one thread, and all of the privileges that its commands' users may have. */
	if (r == 0)
		r = pfs_home_get(&mount->home);
	if (r == 0)
		r = pfs_spawner_new(pfs_helper_main, detach_dead, mount, &mount->spawner);
	if (r == 0)
		r = pfs_caps_keep(caps_kept, ARRAY_SIZE(caps_kept));
	if (r == 0)
		r = pfs_spawner_start(mount->spawner);
	if (r == 0)
		r = pfs_redirfs_new(mount);
	if (r == 0)
		r = mount_prepare(mount, options);
	if (r == 0)
		r = pfs_redirfs_begin(mount);
	if (r == 0)
		r = pfs_gate_new(mount);
	if (r == 0)
		r = pfs_shares_new(mount);
	if (r == 0)
		r = pfs_session_start(mount->se, streams.ended_fd, &streams.session);
	if (r < 0) {
		char text[200];

		snprintf(text, sizeof(text), "cannot start: %s", strerror(-r));
		send(keeper_fd, text, strlen(text) + 1, MSG_NOSIGNAL);
		return 1;
	}
	return serve(&streams);
}
