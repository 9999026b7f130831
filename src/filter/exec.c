/*
 * exec - through a command: its stdin is this stream, its stdout what comes out
 *
 * Synopsis:   …/exec:CMD[,restart=no|yes|N][,as=raw|pcap]
 * Parameters: restart  when the command ends before its input does: no (default): the stream ends, too; yes: another
 *                      one goes on with the input; N: that at most N times, counted from the first reader on. One that
 *                      lived for less than a second is followed after 0.1 to 5 seconds
 *             as       what it is given of packets: raw (default): their bytes one after the other; pcap: a capture
 *                      file with nanoseconds (packets of another link type than the first are lost, "link type")
 * Stats:      command, pid (of the one that runs), started, restarts, exit or signal (of the last that ended), given
 *             (bytes), unread (of them, when it ended), ignored (records that came after that), stderr (lines)
 * Classes:    none
 * Example:    mkdir -p /p/accept/exec:gzip; cat /p/accept/exec:gzip/all > x.gz & cat x > /p/accept/all
 *             mkdir '/p/dev/eth0/tcp/exec:tshark -l -n -r -,as=pcap'
 *
 * CMD is words parted by blanks; quotes and backslashes keep a blank in a word, and nothing else means anything: there
 * is no shell. Slashes are %2f, commas %2c, percent signs %25. A name without a slash is looked for in PATH.
 *
 * The command runs as the maker of the directory: his uid, gid, groups, umask, limits and network namespace; in / ; in
 * a session of its own; with PATH, HOME, USER, LOGNAME, SHELL and LANG in its environment, and stdin, stdout and
 * stderr open. It has no capability, root's neither, and gains no rights (no_new_privs: sudo, ping and the like do not
 * work; tcpdump, which as root becomes another user first, works only for others). Who lives in a container,
 * or is confined, or has fewer rights than his uid implies, is refused (EPERM).
 *
 * It is started when somebody reads, or at once for a sink below; later ones with the first record of a generation.
 * At the end of a generation its stdin is closed; when its stdout is at its end, so is the generation. It ends when
 * nobody reads any more, and with the directory: SIGTERM to its process group, SIGKILL two seconds later. What it left
 * running there when it ended goes with it (Linux 6.9).
 *
 * What it writes to stderr comes to .errors and to syslog, line by line; so does a status other than 0, a signal, and
 * why it could not be started. A command that does not read holds up who writes to it, as the last of a shell's pipe
 * would; behind devices and hooks records are lost then, "overrun".
 *
 * The commands of one user are limited in number (mount option user_processes=), each counts as two; the processes that
 * they start are, too.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "graph/filter.h"
#include "packet/pour.h"

#define PIPE_SIZE (256 << 10)
#define CHUNK ((size_t)256 << 10) /* bytes of a record, at most */
#define STATUS_WAIT 1000000000ULL /* ns from the end of stdout to the status, at most */
#define QUICK 1000000000ULL	  /* ns: who lived shorter is followed later */
#define BACKOFF_MIN 100000000ULL  /* ns */
#define BACKOFF_MAX 5000000000ULL /* ns */
#define STDERR_LINE 200		  /* bytes; longer ones are cut */
#define STDERR_RATE 50		  /* lines a second */
#define RESTART_ALWAYS UINT64_MAX
static_assert(PFS_BATCH <= PKT_POUR_MAX, "a batch goes out at once");

enum phase {
	PHASE_NONE,    /* none runs, and none need run */
	PHASE_WANTED,  /* one is to be started, at start_at */
	PHASE_RUNS,    /* started, or being started; its stdout is open */
	PHASE_LEAVING, /* its stdout has ended; its status is waited for */
	PHASE_OVER,    /* nothing more comes out in this generation */
};

struct exec {
	struct pfs_argv argv;	     /* owned */
	char *line;		     /* owned: as it was named */
	struct pfs_caller caller;    /* owned */
	struct pfs_spawner *spawner; /* borrowed */
	unsigned processes;
	bool pcap;
	_Atomic uint64_t restart; /* how often */
	int epoll_fd;		  /* owned: of the three below and told_fd */
	int told_fd;		  /* owned; eventfd: started or ended */

	/* All of this is the run lock's. */
	enum phase phase;
	struct pfs_command *command;		 /* owned */
	int in_fd, out_fd, err_fd;		 /* owned; our ends; -1: closed */
	bool in_waits;				 /* its pipe was full: epoll tells when it is not */
	bool input_over;			 /* the end of the generation is here */
	uint16_t link_type;			 /* of the place */
	struct pkt_pour pour;			 /* into in_fd */
	uint64_t restarts;			 /* in this session */
	unsigned quick;				 /* that ended soon, in a row */
	uint64_t started_at, start_at, leave_by; /* ns, monotonic */
	char err[STDERR_LINE + 1];		 /* an unfinished line of stderr */
	size_t err_len;
	bool err_skip; /* the rest of a line that was too long */
	uint64_t err_second;
	unsigned err_lines, err_left; /* in that second: said, left out */
	bool said;		      /* of how the last one ended */
	struct pkt_pour_room room;

	/* Written by the spawner's thread. */
	_Atomic int result; /* of the start: 0: not known, pid, or -errno */
	_Atomic bool ended;
	_Atomic int status;

	pfs_counter started, restarted, given, unread, ignored, lines;
	_Atomic int pid;
	_Atomic int last_status; /* of waitpid; -1: none has ended */
};

/* --- told by the spawner ---------------------------------------------------------------------- */

static void tell(struct exec *x)
{
	uint64_t one = 1;

	if (write(x->told_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* it is readable already */
}

static void on_started(void *arg, int result)
{
	struct exec *x = arg;

	atomic_store(&x->result, result);
	tell(x);
}

static void on_ended(void *arg, int status)
{
	struct exec *x = arg;

	atomic_store(&x->status, status);
	atomic_store(&x->ended, true);
	tell(x);
}

/* --- descriptors --------------------------------------------------------------------------------- */

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int fd_watch(struct exec *x, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* A pipe of which `ours` is our end, not blocking; both are close-on-exec. */
static int pipe_make(bool we_write, int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = fds[we_write];
	*ret_theirs = fds[!we_write];
	/* Without it things are slower. */
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void input_close(struct exec *x)
{
	int unread = 0;

	if (x->in_fd < 0)
		return;
	/* What it was given and has not read is lost with it; while it runs nobody can say. */
	if (atomic_load(&x->ended) && ioctl(x->in_fd, FIONREAD, &unread) == 0)
		pfs_counter_add(&x->unread, (uint64_t)unread);
	fd_close(&x->in_fd);
	x->in_waits = false;
}

static void stop(struct exec *x)
{
	input_close(x);
	fd_close(&x->out_fd);
	fd_close(&x->err_fd);
	pfs_command_free(TAKE_PTR(x->command));
	atomic_store(&x->result, 0); /* no callback comes any more */
	atomic_store(&x->ended, false);
	atomic_store(&x->pid, 0);
	x->phase = PHASE_NONE;
	x->err_len = 0;
	x->err_skip = false;
}

/* --- what it has to say ---------------------------------------------------------------------------- */

static void say(struct exec *x, struct pfs_emitter *out, int error, const char *text)
{
	pfs_emit_complain(out, atomic_load(&x->result) > 0 ? atomic_load(&x->result) : 0, error, text);
}

static void say_line(struct exec *x, struct pfs_emitter *out)
{
	uint64_t second = pfs_clock_mono() / 1000000000;
	char text[64];

	x->err[x->err_len] = '\0';
	x->err_len = 0;
	pfs_counter_add(&x->lines, 1);
	if (second != x->err_second && x->err_left) {
		snprintf(text, sizeof(text), "... %u more lines in that second", x->err_left);
		say(x, out, 0, text);
	}
	if (second != x->err_second)
		x->err_lines = x->err_left = 0;
	x->err_second = second;
	if (x->err_lines++ < STDERR_RATE)
		say(x, out, 0, x->err);
	else
		x->err_left++;
}

static void stderr_take(struct exec *x, struct pfs_emitter *out, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			if (!x->err_skip)
				say_line(x, out);
			x->err_skip = false;
		} else if (!x->err_skip) {
			x->err[x->err_len++] = bytes[i];
			x->err_skip = x->err_len == STDERR_LINE;
			if (x->err_skip)
				say_line(x, out);
		}
	}
}

static void stderr_read(struct exec *x, struct pfs_emitter *out)
{
	char bytes[4096];

	/* A quick one has written before we are told its number, without which nobody logs what it says. */
	if (atomic_load(&x->result) == 0)
		return;
	for (int i = 0; x->err_fd >= 0 && i < 4; i++) {
		ssize_t n = read(x->err_fd, bytes, sizeof(bytes));

		if (n < 0)
			return;
		if (n == 0) {
			if (x->err_len)
				say_line(x, out);
			fd_close(&x->err_fd);
			return;
		}
		stderr_take(x, out, bytes, (size_t)n);
	}
}

/* How the last one ended, once: said when it is nothing that a command should do. */
static void say_end(struct exec *x, struct pfs_emitter *out)
{
	int result = atomic_load(&x->result), status = atomic_load(&x->status);
	char text[160];

	if (x->said || (result >= 0 && !atomic_load(&x->ended)))
		return;
	x->said = true;
	if (result < 0) {
		snprintf(text, sizeof(text), "%.100s cannot be started: %s", x->argv.v[0],
			 strerrordesc_np(-result));
		say(x, out, -result, text);
		return;
	}
	atomic_store(&x->last_status, status);
	atomic_store(&x->pid, 0);
	if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "%.100s was killed by signal %d, %s", x->argv.v[0],
			 WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
		say(x, out, EIO, text);
	} else if (WEXITSTATUS(status) != 0) {
		snprintf(text, sizeof(text), "%.100s ended with status %d", x->argv.v[0],
			 WEXITSTATUS(status));
		say(x, out, EIO, text);
	}
}

/* --- start ------------------------------------------------------------------------------------------- */

static int begin(struct exec *x, struct pfs_diag *diag)
{
	PFS_CLOSE int in = -1, out = -1, err = -1;
	struct pfs_command_options options = {
		.argv = &x->argv,
		.caller = &x->caller,
		.processes = x->processes,
		.started = on_started,
		.ended = on_ended,
		.arg = x,
	};
	int r = pipe_make(true, &x->in_fd, &in);

	if (r == 0)
		r = pipe_make(false, &x->out_fd, &out);
	if (r == 0)
		r = pipe_make(false, &x->err_fd, &err);
	if (r == 0)
		r = fd_watch(x, x->out_fd, EPOLLIN);
	if (r == 0)
		r = fd_watch(x, x->err_fd, EPOLLIN);
	if (r < 0)
		return pfs_diag_set(diag, -r, "%s", strerrordesc_np(-r));
	options.fd[0] = in;
	options.fd[1] = out;
	options.fd[2] = err;
	return pfs_command_launch(x->spawner, &options, &x->command, diag);
}

static void start(struct exec *x)
{
	struct pfs_diag diag;
	int r;

	stop(x); /* of the one before */
	x->said = false;
	x->started_at = pfs_clock_mono();
	pfs_counter_add(&x->started, 1);
	x->phase = PHASE_RUNS;
	r = begin(x, &diag);
	pkt_pour_init(&x->pour, x->in_fd, x->pcap, x->link_type);
	if (r < 0)
		atomic_store(&x->result, r);
}

/* --- input --------------------------------------------------------------------------------------------- */

static void input_wait(struct exec *x, bool wait)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.fd = x->in_fd };

	if (wait == x->in_waits)
		return;
	x->in_waits = wait;
	epoll_ctl(x->epoll_fd, wait ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, x->in_fd, &event);
}

/* What is there no command for any more. */
static size_t ignore(struct exec *x, size_t n)
{
	pfs_counter_add(&x->ignored, n);
	x->pour.part = 0;
	return n;
}

static size_t feed(struct exec *x, const struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t done = 0, run, bytes;
	ssize_t wrote;

	while (done < n && x->phase == PHASE_RUNS && x->in_fd >= 0) {
		run = pkt_pour_fit(&x->pour, out->rings, in + done, n - done);
		if (run == 0) {
			pfs_emit_lost(out, "link type", 1);
			done++;
			continue;
		}
		wrote = pkt_pour_write(&x->pour, out->rings, in + done, run, &x->room, &bytes);
		if (wrote < 0 && wrote != -EAGAIN) {
			input_close(x); /* EPIPE: it reads no more */
			break;
		}
		pfs_counter_add(&x->given, wrote < 0 ? 0 : bytes);
		done += wrote < 0 ? 0 : (size_t)wrote;
		input_wait(x, wrote < (ssize_t)run);
		if (wrote < (ssize_t)run)
			return done;
	}
	/* With another one to come, the input is for that one. */
	if (x->phase == PHASE_OVER ||
	    (x->phase == PHASE_RUNS && x->in_fd < 0 && !atomic_load(&x->restart)))
		return done + ignore(x, n - done);
	return done;
}

/* --- output -------------------------------------------------------------------------------------------------- */

/* True: there may be more. */
static bool output_read(struct exec *x, struct pfs_emitter *out)
{
	struct pfs_record *rec;
	int there = 0;
	char byte;
	ssize_t n;
	void *to;

	if (ioctl(x->out_fd, FIONREAD, &there) < 0 || there <= 0) {
		n = read(x->out_fd, &byte, 1); /* only we read: there is nothing, or the end */
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			fd_close(&x->out_fd);
		if (n <= 0)
			return false;
		there = 0;
	} else {
		n = 0;
	}
	to = pfs_emit_new(out, pfs_min((size_t)there + (size_t)n, CHUNK), &rec);
	if (!to)
		return false;
	if (n)
		memcpy(to, &byte, 1);
	else
		n = read(x->out_fd, to, rec->len);
	rec->time = pfs_clock_real();
	pfs_emit_shrink(out, rec, n > 0 ? (size_t)n : 0);
	pfs_emit_commit(out, rec);
	return n > 0;
}

static bool may_restart(const struct exec *x)
{
	uint64_t restart = atomic_load(&x->restart);

	return !x->input_over && (restart == RESTART_ALWAYS || x->restarts < restart);
}

/* The command, and what it had to say, are at their end. */
static void finish(struct exec *x, struct pfs_emitter *out)
{
	uint64_t now = pfs_clock_mono(), pause = BACKOFF_MIN;
	bool lived = now - x->started_at >= QUICK;

	stderr_read(x, out);
	say_end(x, out);
	input_close(x);
	x->pour.part = 0;
	if (!may_restart(x)) {
		x->phase = PHASE_OVER;
		if (!x->input_over)
			pfs_emit_eof(out);
		return;
	}
	x->quick = lived ? 0 : x->quick + 1;
	for (unsigned i = 1; i < x->quick && pause < BACKOFF_MAX; i++)
		pause *= 2;
	x->start_at = lived ? now : now + pfs_min64(pause, BACKOFF_MAX);
	x->phase = PHASE_WANTED;
	x->restarts++;
	pfs_counter_add(&x->restarted, 1);
}

static void told(struct exec *x)
{
	int result = atomic_load(&x->result);
	uint64_t count;

	if (read(x->told_fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	if (result > 0 && !atomic_load(&x->ended))
		atomic_store(&x->pid, result);
	if (x->phase != PHASE_RUNS || result >= 0)
		return;
	/* It never ran. */
	fd_close(&x->out_fd);
	input_close(x);
}

/* All but the input. Returns how long it can wait for what happens next, in ns. */
static uint64_t pump(struct exec *x, struct pfs_emitter *out)
{
	uint64_t now;

	told(x);
	stderr_read(x, out);
	if (x->phase == PHASE_RUNS) {
		while (x->out_fd >= 0 && output_read(x, out))
			;
		if (x->out_fd < 0) {
			x->phase = PHASE_LEAVING;
			x->leave_by = pfs_clock_mono() + STATUS_WAIT;
		}
	}
	if (x->phase != PHASE_LEAVING)
		say_end(x, out);
	now = pfs_clock_mono();
	if (x->phase == PHASE_LEAVING) {
		bool known = atomic_load(&x->ended) || atomic_load(&x->result) < 0;

		if (!known && now < x->leave_by)
			return x->leave_by - now;
		finish(x, out);
	}
	if (x->phase == PHASE_WANTED && now >= x->start_at)
		start(x);
	return x->phase == PHASE_WANTED ? x->start_at - now : UINT64_MAX;
}

/* --- the filter ------------------------------------------------------------------------------------------------- */

static size_t exec_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct exec *x = state;
	size_t done;

	if (x->phase == PHASE_NONE && n > 0) {
		x->phase = PHASE_WANTED;
		x->start_at = 0;
	}
	*ret_wait = pump(x, out);
	done = feed(x, in, n, out);
	if (x->out_fd >= 0 && out->room == 0)
		*ret_wait = 0; /* called again when there is room */
	return done;
}

static bool exec_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	struct exec *x = state;

	(void)meta;
	if (!(ref->flags & PFS_REF_EOF))
		return true;
	if (x->phase == PHASE_NONE) {
		x->phase = PHASE_WANTED;
		x->start_at = 0;
	}
	/* One that was to be started anew need not: there is no input for it. */
	if (x->phase == PHASE_WANTED && x->start_at)
		x->phase = PHASE_OVER;
	if (x->phase == PHASE_WANTED)
		start(x);
	x->input_over = true;
	if (x->in_fd >= 0)
		(void)pkt_pour_header(&x->pour);
	input_close(x);
	out->wait = pump(x, out);
	if (x->phase != PHASE_OVER) {
		if (x->out_fd >= 0 && out->room == 0)
			out->wait = 0;
		return false;
	}
	x->input_over = false;
	x->phase = PHASE_NONE;
	return true;
}

static void exec_attach(void *state)
{
	struct exec *x = state;

	x->phase = PHASE_WANTED;
	x->start_at = 0;
	x->restarts = x->quick = 0;
}

static void exec_detach(void *state)
{
	struct exec *x = state;

	stop(x);
	x->input_over = false;
	x->pour.part = 0;
}

static int exec_ready_fd(void *state)
{
	struct exec *x = state;

	return x->epoll_fd;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static int parse_restart(const struct pfs_args *args, uint64_t *ret_restart, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "restart");

	*ret_restart = 0;
	if (!text || strcmp(text, "no") == 0)
		return 0;
	*ret_restart = RESTART_ALWAYS;
	if (strcmp(text, "yes") == 0 || pfs_number_parse(text, false, 0, 1000000, ret_restart) == 0)
		return 0;
	return pfs_diag_set(diag, EINVAL, "restart= is no, yes or how often, not '%.32s'", text);
}

static int parse_as(const struct pfs_args *args, unsigned flow, bool *ret_pcap, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "as");

	*ret_pcap = text && strcmp(text, "pcap") == 0;
	if (text && !*ret_pcap && strcmp(text, "raw") != 0)
		return pfs_diag_set(diag, EINVAL, "as= is raw or pcap, not '%.32s'", text);
	if (*ret_pcap && !(flow & PFS_FLOW_ANY_PACKET))
		return pfs_diag_set(diag, EINVAL, "as=pcap: there are no packets here");
	return 0;
}

/* Is there a command of that name? Whether he may run it is seen when he does. */
static int command_look(const struct pfs_place *place, const char *name, struct pfs_diag *diag)
{
	static const char *const path[] = { "/usr/local/bin",  "/usr/bin",  "/bin",
					    "/usr/local/sbin", "/usr/sbin", "/sbin" };
	size_t dirs = name[0] == '/' ? 1 : place->uid == 0 ? ARRAY_SIZE(path) : 3;
	struct pfs_diag none;
	char file[PATH_MAX];

	if (strchr(name, '/') && name[0] != '/')
		return pfs_diag_set(diag, EINVAL,
				    "%.100s: name a command in PATH, or with its whole path", name);
	for (size_t i = 0; i < dirs; i++) {
		PFS_CLOSE int fd = -1;

		if (name[0] == '/')
			snprintf(file, sizeof(file), "%s", name);
		else
			snprintf(file, sizeof(file), "%s/%s", path[i], name);
		fd = place->open_file(place, file, O_PATH, 0, &none);
		if (fd >= 0)
			return 0;
		if (fd != -ENOENT && fd != -ENOTDIR)
			return pfs_diag_set(diag, -fd, "%s", none.text);
	}
	return pfs_diag_set(diag, ENOENT, "there is no command %.100s%s", name,
			    name[0] == '/' ? "" : " in PATH");
}

static int exec_setup(struct exec *x, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	uint64_t restart = 0;
	int r = parse_restart(args, &restart, diag);

	if (r == 0)
		r = parse_as(args, place->flow, &x->pcap, diag);
	if (r == 0)
		r = pfs_argv_split(args->arg, &x->argv, diag);
	if (r == 0 && x->argv.n == 0)
		r = pfs_diag_set(diag, ENOENT, "exec:CMD needs a command");
	if (r == 0)
		r = command_look(place, x->argv.v[0], diag);
	if (r == 0)
		r = place->identify(place, &x->caller, &x->spawner, diag);
	if (r < 0)
		return r;
	atomic_store(&x->restart, restart);
	x->processes = place->processes;
	x->link_type = place->link_type;
	x->line = strdup(args->arg);
	x->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	x->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!x->line || x->told_fd < 0 || x->epoll_fd < 0)
		return x->line ? -errno : -ENOMEM;
	return fd_watch(x, x->told_fd, EPOLLIN);
}

static void exec_fini(void *state)
{
	struct exec *x = state;

	stop(x);
	fd_close(&x->told_fd);
	fd_close(&x->epoll_fd);
	pfs_caller_release(&x->caller);
	pfs_argv_release(&x->argv);
	free(x->line);
}

static int exec_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct exec *x = state;
	int r;

	x->in_fd = x->out_fd = x->err_fd = x->epoll_fd = x->told_fd = x->caller.netns_fd = -1;
	atomic_store(&x->last_status, -1);
	r = exec_setup(x, args, place, diag);
	if (r < 0)
		exec_fini(x);
	return r;
}

static int exec_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	struct exec *x = state;
	uint64_t restart;
	bool pcap;
	int r = parse_restart(args, &restart, diag);

	if (r == 0)
		r = parse_as(args, place->flow, &pcap, diag);
	if (r == 0 && (!args->arg || strcmp(args->arg, x->line) != 0 || pcap != x->pcap))
		r = pfs_diag_set(diag, EINVAL,
				 "only restart= can be changed while it runs: make another one");
	if (r == 0)
		atomic_store(&x->restart, restart);
	return r;
}

/* A capture file that has been begun says in its head what its packets begin with. */
static int exec_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	const struct exec *x = state;

	if (!x->pcap || place->link_type == x->link_type)
		return 0;
	return pfs_diag_set(
		diag, EINVAL,
		"packets there begin otherwise than what the command was told: make another one");
}

static void exec_stats(void *state, struct pfs_buf *out)
{
	const struct exec *x = state;
	int pid = atomic_load(&x->pid), status = atomic_load(&x->last_status);

	pfs_buf_str(out, "command ");
	pfs_buf_clean(out, x->line, strlen(x->line));
	pfs_buf_printf(out, "\npid %d\nstarted %llu\nrestarts %llu\n", pid,
		       (unsigned long long)pfs_counter_get(&x->started),
		       (unsigned long long)pfs_counter_get(&x->restarted));
	if (status >= 0 && WIFEXITED(status))
		pfs_buf_printf(out, "exit %d\n", WEXITSTATUS(status));
	else if (status >= 0)
		pfs_buf_printf(out, "signal %d\n", WTERMSIG(status));
	pfs_buf_printf(out, "given %llu\nunread %llu\nignored %llu\nstderr %llu\n",
		       (unsigned long long)pfs_counter_get(&x->given),
		       (unsigned long long)pfs_counter_get(&x->unread),
		       (unsigned long long)pfs_counter_get(&x->ignored),
		       (unsigned long long)pfs_counter_get(&x->lines));
}

static const struct pfs_param exec_params[] = {
	{ "restart", "no (default), yes, or how often: when it ends before its input" },
	{ "as", "raw (default): the packets' bytes; pcap: a capture file" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_exec = {
	.name = "exec",
	.summary = "through a command: its stdin is this stream, its stdout what comes out",
	.flags = PFS_FILTER_ASYNC | PFS_FILTER_ARGV,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_BYTES,
	.processes = 2,
	.has_arg = true,
	.needs_arg = true,
	.params = exec_params,
	.state_size = sizeof(struct exec),
	.ring_size = (size_t)4 << 20,
	.init = exec_init,
	.reconfigure = exec_reconfigure,
	.fini = exec_fini,
	.moved = exec_moved,
	.attach = exec_attach,
	.detach = exec_detach,
	.pull = exec_pull,
	.control = exec_control,
	.stats = exec_stats,
	.ready_fd = exec_ready_fd,
};
