/*
 * run_copy - from the pipes to the standard output
 *
 * One loop that never waits for one thing only. A single pipe is read in large pieces; several are read record by
 * record, so that each record goes out whole, in the order in which they were read. A stream of blocks or lines is
 * cut only between two of them, also when we are told to stop.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "cmd/cmd.h"
#include "cmd/run_i.h"

#define PIECE ((size_t)1 << 20) /* the largest read of a pipe */
#define HELD_MAX ((size_t)16 << 20)

static volatile sig_atomic_t stopped, asked;
static int wake_fd = -1;

/* --- signals --------------------------------------------------------------------------------------- */

static void on_signal(int number)
{
	int saved = errno;

	if (number == SIGUSR1)
		asked = 1;
	else
		stopped = 1;
	if (eventfd_write(wake_fd, 1) < 0)
		errno = saved; /* it is readable already */
	errno = saved;
}

int run_signals(void)
{
	struct sigaction ask = { .sa_handler = on_signal };
	/* The second of them ends us at once; the tree goes with its descriptor. */
	struct sigaction stop = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGUSR1, &ask, NULL);
	return 0;
}

bool run_stopped(void)
{
	return stopped;
}

static void answer(const struct run *run)
{
	eventfd_t count;

	if (!asked)
		return;
	asked = 0;
	if (eventfd_read(wake_fd, &count) == 0)
		run_goodbye(run);
	if (stopped)
		eventfd_write(wake_fd, 1);
}

/* --- out -------------------------------------------------------------------------------------------- */

/* All of it. -EPIPE: nobody reads it; -EINTR: we shall stop. */
static int put(const struct run *run, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n) {
		ssize_t done = write(STDOUT_FILENO, at, n);

		if (done >= 0) {
			at += done;
			n -= (size_t)done;
			continue;
		}
		if (errno == EAGAIN)
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
		else if (errno != EINTR)
			return -errno;
		answer(run);
		if (stopped)
			return -EINTR;
	}
	return 0;
}

/* How much of it may go out: a line or block that is not all there waits. */
static size_t whole(struct run *run, const char *bytes, size_t n)
{
	const char *last;

	if (run->format == RUN_PCAPNG)
		return run_ng_whole((const uint8_t *)bytes, n, &run->blocks);
	if (run->format != RUN_JSON)
		return n;
	last = memrchr(bytes, '\n', n);
	return last ? (size_t)(last - bytes) + 1 : 0;
}

/* The next piece of the only pipe. */
static int put_piece(struct run *run, struct run_end *end, const char *piece, size_t n)
{
	struct pfs_buf *held = &end->held;
	size_t out;
	int r;

	if (!held->len) {
		out = whole(run, piece, n);
		pfs_buf_add(held, piece + out, n - out);
		return held->failed ? -ENOMEM : put(run, piece, out);
	}
	pfs_buf_add(held, piece, n);
	if (held->failed)
		return -ENOMEM;
	out = held->len > HELD_MAX ? held->len : whole(run, held->data, held->len);
	r = put(run, held->data, out);
	held->len -= out;
	memmove(held->data, held->data + out, held->len);
	return r;
}

/* A record of one of several pipes. */
static int put_record(struct run *run, struct run_end *end, const char *record, size_t n)
{
	uint64_t packets = 0;

	if (run->format == RUN_PCAPNG) {
		PFS_BUF struct pfs_buf out = { 0 };

		(void)run_ng_whole((const uint8_t *)record, n, &packets);
		run->blocks += packets;
		run_ng_mix(run, end, (const uint8_t *)record, n, &out);
		return out.failed ? -ENOMEM : put(run, out.data, out.len);
	}
	if (run->format != RUN_RAW && n == PIECE && record[n - 1] != '\n') {
		run->cut++; /* its end is gone */
		return 0;
	}
	return put(run, record, n);
}

/* --- in --------------------------------------------------------------------------------------------- */

static char piece[PIECE] __attribute__((aligned(4096)));

static void end_close(struct run *run, struct run_end *end)
{
	run_count_end(run, end, &run->taken);
	close(end->fd);
	end->fd = -1;
}

/* 1: something was read; 0: nothing is there now, or the end. -errno. */
static int take(struct run *run, struct run_end *end)
{
	ssize_t n = read(end->fd, piece, sizeof(piece));
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) {
		r = end->held.len ? put(run, end->held.data, end->held.len) : 0;
		end_close(run, end);
		return r < 0 ? r : 1;
	}
	if (end->sink)
		return 1;
	r = run->nends > 1 ? put_record(run, end, piece, (size_t)n)
			   : put_piece(run, end, piece, (size_t)n);
	return r < 0 ? r : 1;
}

/* The standard input, into accept. The same. */
static int feed_on(struct run *run, bool readable)
{
	ssize_t n;
	char *to;

	if (run->fed_at < run->fed.len) {
		n = write(run->feed, run->fed.data + run->fed_at, run->fed.len - run->fed_at);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		run->fed_at += (size_t)n;
		return 1;
	}
	if (!readable)
		return 0;
	run->fed.len = run->fed_at = 0;
	to = pfs_buf_reserve(&run->fed, PIECE);
	if (!to)
		return -ENOMEM;
	n = read(STDIN_FILENO, to, PIECE);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) {
		close(run->feed);
		run->feed = -1;
	}
	run->fed.len = (size_t)n;
	return 1;
}

/* --- the loop ------------------------------------------------------------------------------------------ */

enum { WAKE, OUTPUT, INPUT, FEED, FIRST_END };

/* Waits until something can go on. 0, or -EPIPE: nobody reads our output. */
static int wait_for(const struct run *run, struct pollfd *fds)
{
	bool full = run->fed_at < run->fed.len;

	fds[WAKE] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
	/* Without an event: errors are told. */
	fds[OUTPUT] = (struct pollfd){ .fd = STDOUT_FILENO };
	fds[INPUT] = (struct pollfd){ .fd = run->feed >= 0 && !full ? STDIN_FILENO : -1,
				      .events = POLLIN };
	fds[FEED] = (struct pollfd){ .fd = full ? run->feed : -1, .events = POLLOUT };
	for (size_t i = 0; i < run->nends; i++)
		fds[FIRST_END + i] = (struct pollfd){ .fd = run->ends[i].fd, .events = POLLIN };
	if (poll(fds, FIRST_END + run->nends, -1) < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	return fds[OUTPUT].revents & (POLLERR | POLLHUP) ? -EPIPE : 0;
}

bool run_over(const struct run *run)
{
	for (size_t i = 0; i < run->nends; i++)
		if (run->ends[i].fd >= 0)
			return false;
	return true;
}

/* One turn for each. 1: there may be more at once. */
static int turn(struct run *run, const struct pollfd *fds)
{
	int moved = 0, r;

	if (run->feed >= 0) {
		r = feed_on(run, fds[INPUT].revents);
		if (r < 0) {
			pfs_say("the standard input: %s", strerror(-r));
			return r;
		}
		moved |= r;
	}
	for (size_t i = 0; i < run->nends; i++) {
		if (run->ends[i].fd < 0)
			continue;
		r = take(run, &run->ends[i]);
		if (r < 0)
			return r;
		moved |= r;
	}
	return moved;
}

bool run_mount_ended(const struct run *run, int error)
{
	bool ended = error == ENOTCONN || error == ECONNABORTED || error == ENODEV;

	if (ended)
		pfs_say("the mount at %s has ended", run->place.root);
	return ended;
}

int run_copy(struct run *run)
{
	PFS_FREE struct pollfd *fds = pfs_zalloc(FIRST_END + run->nends, sizeof(*fds));
	int r = fds ? 0 : -ENOMEM;

	while (r >= 0 && !stopped && !run_over(run)) {
		answer(run);
		r = turn(run, fds);
		if (r == 0) {
			r = wait_for(run, fds);
		} else if (r > 0) {
			fds[INPUT].revents =
				0; /* one read of the standard input for each time it was asked */
		}
	}
	if (r >= 0 || r == -EPIPE || r == -EINTR)
		return 0;
	return run_mount_ended(run, -r) ? PFS_EXIT_FAILED : pfs_fail("cannot go on: %s", strerror(-r));
}
