/*
 * opener - opens the portals that callers under the filter ask for, and puts the descriptors where they wait
 *
 * It runs as who started `pipesfs portal`, and callers must be alike (base/alike.h), and in no Landlock domain: who has
 * given something up would get it back here, so he is refused (EPERM). In another root directory or mount namespace
 * /p is nothing of ours: there the kernel goes on.
 *
 * A caller who is interrupted leaves the call, and nobody says so: each call that waits is asked after (ID_VALID),
 * and what was begun for one that has gone is given up. The descriptor is put and returned in one step: what is put
 * arrives.
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>

#include "base/alike.h"
#include "portal/notify_i.h"
#include "portal/portals_i.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

#define OPENINGS_MAX 1024 /* at a time */
#define CONFINED_MAX \
	256 /* processes remembered; beyond that, all are taken for confined whose parents have ended */
#define ASK_SOON 10	  /* ms between two looks at calls that have begun to wait, */
#define ASK_LATER 50	  /* and at those that have waited for: */
#define SOON 100000000ULL /* ns */
#define END_TIME 5000	  /* ms */

struct opening {
	struct pfs_portal_opening portal;
	struct pfs_portal_plan plan;
	struct opener *opener;
	struct opening *next;
	uint64_t id;
	uint64_t since;
	int flags;
	bool answered;
	bool over; /* to be taken off the list */
	struct rlimit limits[RLIM_NLIMITS];
	char rest[]; /* for sentences */
};

/* A process that has confined itself: it and what it starts get nothing here. */
struct confined {
	pid_t pid;
	unsigned long long start;
};

struct opener {
	const struct pfs_opener_options *options;
	struct pfs_portals *portals;
	struct pfs_alike *self;
	struct opening *openings;
	size_t n;	/* of them */
	size_t waiting; /* not answered */
	bool ending;	/* nobody is left to ask */
	bool ever_confined;
	size_t nconfined;
	struct confined confined[CONFINED_MAX];
};

/* --- words --------------------------------------------------------------------------------- */

static void say(const struct opener *o, const char *rest, const char *sentence)
{
	PFS_BUF struct pfs_buf line = { 0 };

	pfs_buf_printf(&line, "pipesfs: %s/", o->options->prefix);
	pfs_buf_clean(&line, rest, strlen(rest));
	pfs_buf_printf(&line, ": %s\n", sentence);
	if (!line.failed && write(STDERR_FILENO, line.data, line.len) < 0)
		return; /* nobody reads it */
}

static void on_said(struct pfs_portal_opening *portal, const char *text, size_t len)
{
	const struct opening *opening = portal->arg;
	PFS_BUF struct pfs_buf line = { 0 };

	pfs_buf_clean(&line, text, len);
	if (line.failed)
		return;
	syslog(LOG_ERR, "exec: %s", line.data ? line.data : "");
	if (opening->opener->options->verbose)
		say(opening->opener, opening->rest, line.data ? line.data : "");
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool still_waits(const struct opener *o, uint64_t id)
{
	return ioctl(o->options->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void answer_error(const struct opener *o, uint64_t id, int error)
{
	struct seccomp_notif_resp response = { .id = id, .error = error };

	ioctl(o->options->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void answer_go_on(const struct opener *o, uint64_t id)
{
	struct seccomp_notif_resp response = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	ioctl(o->options->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* Puts it into the caller and ends his call, or neither. */
static int answer_fd(const struct opener *o, uint64_t id, int fd, int flags)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.srcfd = (unsigned)fd,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.newfd_flags = flags & O_CLOEXEC,
	};

	return ioctl(o->options->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno : 0;
}

/* --- who asks ----------------------------------------------------------------------------------- */

/* Parent and start of a process (of the thread group that tid is in, for a thread that leads one). */
static int stat_of(pid_t tid, pid_t *ret_parent, unsigned long long *ret_start)
{
	char name[40], text[1024], *at;
	PFS_CLOSE int fd = -1;
	long parent;
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%ld/stat", (long)tid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	at = strrchr(text, ')');
	if (!at ||
	    sscanf(at + 1,
		   " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &parent, ret_start) != 2)
		return -ESRCH;
	*ret_parent = (pid_t)parent;
	return 0;
}

static pid_t leader_of(pid_t tid)
{
	char name[40], line[128];
	long pid = -1;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%ld/status", (long)tid);
	f = fopen(name, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %ld", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return (pid_t)pid;
}

static void note_confined(struct opener *o, pid_t tid)
{
	struct confined new = { .pid = leader_of(tid) };
	pid_t parent;

	o->ever_confined = true;
	if (new.pid <= 0 || stat_of(new.pid, &parent, &new.start) < 0)
		return; /* it has gone: what it leaves are orphans */
	for (size_t i = 0; i < o->nconfined; i++) {
		struct confined *old = &o->confined[i];
		unsigned long long start;

		if (stat_of(old->pid, &parent, &start) < 0 || start != old->start) {
			*old = new;
			return;
		}
	}
	if (o->nconfined < CONFINED_MAX)
		o->confined[o->nconfined++] = new;
}

static bool is_confined(const struct opener *o, pid_t pid, unsigned long long start)
{
	for (size_t i = 0; i < o->nconfined; i++)
		if (o->confined[i].pid == pid && o->confined[i].start == start)
			return true;
	return o->nconfined == CONFINED_MAX;
}

/*
 * Landlock says of nobody whether he is in a domain, but domains are inherited and begin with a call that was seen.
 * Orphans come to the server: theirs is not known.
 */
static int check_confined(const struct opener *o, pid_t tid, struct pfs_diag *diag)
{
	pid_t pid = o->ever_confined ? leader_of(tid) : 0, parent;
	unsigned long long start;

	while (o->ever_confined) {
		if (pid <= 0 || stat_of(pid, &parent, &start) < 0 || is_confined(o, pid, start))
			return pfs_diag_set(
				diag, EPERM,
				"the caller has confined itself (Landlock), which would not hold here");
		if (pid == o->options->command)
			return 0;
		if (parent == o->options->server)
			return pfs_diag_set(
				diag, EPERM,
				"the caller may be confined (Landlock): a process was, and its parent has ended");
		pid = parent;
	}
	return 0;
}

/* --- openings ------------------------------------------------------------------------------------- */

static void over(struct opening *opening)
{
	if (opening->over)
		return;
	if (!opening->answered)
		opening->opener->waiting--;
	opening->answered = true;
	opening->over = true;
	pfs_portal_end(opening->opener->portals, &opening->portal);
}

static void sweep(struct opener *o)
{
	for (struct opening **at = &o->openings; *at;) {
		struct opening *opening = *at;

		if (!opening->over) {
			at = &opening->next;
			continue;
		}
		*at = opening->next;
		o->n--;
		pfs_portal_plan_release(&opening->plan);
		free(opening);
	}
}

/* Gives up what was begun for callers that have gone. */
static void look_after(struct opener *o)
{
	for (struct opening *opening = o->openings; opening; opening = opening->next)
		if (!opening->answered && !still_waits(o, opening->id))
			over(opening);
	sweep(o);
}

static void refuse(const struct opener *o, uint64_t id, const char *rest, int r,
		   const struct pfs_diag *diag)
{
	if (o->options->verbose)
		say(o, rest, diag && diag->text[0] ? diag->text : strerror(-r));
	answer_error(o, id, r);
}

static void on_done(struct pfs_portal_opening *portal, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct opening *opening = portal->arg;
	struct opener *o = opening->opener;
	PFS_CLOSE int fd = result == 0 ? res->fd : -1;
	struct pfs_diag said = { "" };
	int r = result;

	opening->answered = true;
	o->waiting--;
	if (r == 0) {
		r = answer_fd(o, opening->id, fd, opening->flags);
		if (r == -EBADF)
			r = -EMFILE;
		if (r < 0)
			pfs_diag_set(&said, -r, "the descriptor cannot be put into the caller: %s",
				     strerror(-r));
		diag = &said;
	}
	/* Who has left the call is told nothing. */
	if (r < 0 && still_waits(o, opening->id))
		refuse(o, opening->id, opening->rest, r, diag);
	/* A command is heard until it ends; of a socket there is nothing more to know. */
	if (r < 0 || opening->plan.kind != PFS_PORTAL_COMMAND)
		over(opening);
}

static bool is_written(const struct opening *opening)
{
	return opening->answered && (opening->flags & O_ACCMODE) == O_WRONLY;
}

static void on_ended(struct pfs_portal_opening *portal, int status)
{
	struct opening *opening = portal->arg;
	char how[64] = "";

	/* Who reads a command sees its output end early, or closes before the end: then SIGPIPE is how it ends. */
	if (is_written(opening) && WIFSIGNALED(status))
		snprintf(how, sizeof(how), "the command was killed by signal %d", WTERMSIG(status));
	else if (is_written(opening) && WEXITSTATUS(status))
		snprintf(how, sizeof(how), "the command failed with status %d", WEXITSTATUS(status));
	if (how[0]) {
		syslog(LOG_ERR, "exec: %s: %s", opening->rest, how);
		say(opening->opener, opening->rest, how);
	}
	over(opening);
}

/* Sockets are of the network namespace alone; what else is done, is done in all. */
static int check_caller(const struct opener *o, const struct pfs_ask *ask,
			enum pfs_portal_kind kind, mode_t *ret_umask, struct pfs_diag *diag)
{
	bool deep = kind == PFS_PORTAL_FILE || kind == PFS_PORTAL_COMMAND;
	int r = pfs_alike_check(o->self, ask->tid, deep, ret_umask, diag);

	return r < 0 ? r : check_confined(o, ask->tid, diag);
}

static int begin(struct opener *o, const struct pfs_ask *ask, struct pfs_diag *diag)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	size_t len = strlen(ask->rest) + 1;
	struct opening *opening;
	mode_t umask = 0;
	int r;

	if (o->n >= OPENINGS_MAX)
		return pfs_diag_set(diag, EAGAIN, "%d portals are being opened or run already",
				    OPENINGS_MAX);
	r = pfs_portal_parse(o->options->rules, ask->rest, false, ask->flags & O_ACCMODE, &plan, diag);
	if (r == 0)
		r = check_caller(o, ask, plan.kind, &umask, diag);
	if (r < 0)
		return r;
	/* Who was interrupted may be calling again: the next connection is not for the call that he has left. */
	if (plan.kind == PFS_PORTAL_TCPLISTEN)
		look_after(o);
	opening = pfs_zalloc(1, sizeof(*opening) + len);
	if (!opening)
		return -ENOMEM;
	opening->opener = o;
	opening->plan = plan;
	plan = (struct pfs_portal_plan){ 0 };
	opening->id = ask->id;
	opening->flags = ask->flags;
	opening->since = pfs_clock_mono();
	memcpy(opening->rest, ask->rest, len);
	for (unsigned i = 0; opening->plan.kind == PFS_PORTAL_COMMAND && i < RLIM_NLIMITS; i++)
		if (prlimit(ask->tid, (enum __rlimit_resource)i, NULL, &opening->limits[i]) < 0)
			getrlimit((enum __rlimit_resource)i, &opening->limits[i]);
	opening->portal = (struct pfs_portal_opening){
		.plan = &opening->plan,
		.flags = ask->flags & ~O_CLOEXEC,
		/* What the caller's mode leaves out must not come in. */
		.umask = (umask | (ask->flags & O_CREAT ? ~ask->mode : 0)) & 0777,
		.terse = true,
		.limits = opening->limits,
		.done = on_done,
		.said = on_said,
		.ended = on_ended,
		.arg = opening,
	};
	opening->next = o->openings;
	o->openings = opening;
	o->n++;
	o->waiting++;
	r = pfs_portal_open(o->portals, &opening->portal);
	if (r < 0)
		over(opening);
	return r;
}

/* Whoever waits for the end of the command's stderr must not wait for us. */
static void be_quiet(void)
{
	PFS_CLOSE int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
	else
		close(STDERR_FILENO);
}

static void asked(struct opener *o, const struct pfs_ask *ask)
{
	struct pfs_diag diag = { "" };
	int r;

	if (ask->kind == PFS_ASK_CONFINED) {
		note_confined(o, ask->tid);
		return;
	}
	if (ask->kind == PFS_ASK_QUIET) {
		be_quiet();
		return;
	}
	r = begin(o, ask, &diag);
	/* What was read of /proc was the caller's if he waits still. */
	if (!still_waits(o, ask->id)) {
		if (r == 0)
			over(o->openings);
		return;
	}
	if (r == -EXDEV)
		answer_go_on(o, ask->id);
	else if (r < 0)
		refuse(o, ask->id, ask->rest, r, &diag);
}

/* --- the process ------------------------------------------------------------------------------------- */

/* ms until calls are asked after again. */
static int patience(const struct opener *o)
{
	uint64_t now = pfs_clock_mono();

	if (!o->waiting)
		return -1;
	for (const struct opening *opening = o->openings; opening; opening = opening->next)
		if (!opening->answered && now - opening->since < SOON)
			return ASK_SOON;
	return ASK_LATER;
}

/* Nobody is left under the filter. What was written to runs on to its end, all else ends now. */
static void end_begin(struct opener *o)
{
	o->ending = true;
	for (struct opening *opening = o->openings; opening; opening = opening->next)
		if (!is_written(opening))
			over(opening);
	sweep(o);
}

/* Those that were read get SIGTERM, and two seconds. */
static void end_wait(struct opener *o)
{
	struct pollfd fd = { .fd = pfs_portals_fd(o->portals), .events = POLLIN };

	pfs_portals_terminate(o->portals);
	while (!pfs_portals_idle(o->portals) && (poll(&fd, 1, END_TIME) > 0 || errno == EINTR))
		pfs_portals_run(o->portals);
}

static void listen_to_server(struct opener *o)
{
	struct pfs_ask ask;

	for (;;) {
		ssize_t n = recv(o->options->socket, &ask, sizeof(ask), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < (ssize_t)offsetof(struct pfs_ask, rest)) {
			end_begin(o);
			return;
		}
		o->portals->turning = true;
		asked(o, &ask);
		pfs_portals_run(o->portals);
	}
}

static int opener_loop(struct opener *o)
{
	uint64_t last = 0;

	while (!o->ending || o->n) {
		struct pollfd fds[] = {
			{ .fd = pfs_portals_fd(o->portals), .events = POLLIN },
			{ .fd = o->ending ? -1 : o->options->socket, .events = POLLIN },
		};
		int wait = patience(o);

		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents)
			listen_to_server(o);
		pfs_portals_run(o->portals);
		sweep(o);
		if (wait >= 0 && pfs_clock_mono() - last >= (uint64_t)wait * 1000000) {
			look_after(o);
			last = pfs_clock_mono();
		}
	}
	return 0;
}

int pfs_opener_run(const struct pfs_opener_options *options)
{
	struct opener *o = pfs_zalloc(1, sizeof(*o));
	struct rlimit limit;
	int r = o ? 0 : -ENOMEM;

	if (r == 0) {
		o->options = options;
		r = pfs_portals_new(&o->portals);
	}
	/* As many as we may: commands get their callers' limits. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* The filter through which they ask is theirs, and not ours. */
	if (r == 0)
		r = pfs_alike_new(1, &o->self, NULL);
	if (r < 0)
		return 1;
	openlog("pipesfs", LOG_PID, LOG_DAEMON);
	r = opener_loop(o);
	shutdown(options->socket, SHUT_WR);
	end_wait(o);
	pfs_portals_free(o->portals);
	pfs_alike_free(o->self);
	free(o);
	return r;
}
