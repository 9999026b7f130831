/*
 * redirctl_top - `redirctl top`: what filters of files are asked, again and again: rates, durations, answers
 *
 * Reads the streams of operations (the manual of redirfs has their lines) and counts each line for the interval in
 * which it comes. A stream that ends, and a filter that comes, are seen at the end of the interval.
 */
#include "cmd/redirctl_i.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "cmd/keys.h"
#include "cmd/tree.h"
#include "cmd/units.h"
#include "redir/tap.h"

#define HEAD_MAX 32768 /* of a line; a program's path fits, what is behind the verdict need not */

/* Of one operation, in this interval. */
struct asked {
	char op[32];
	uint64_t n, seen[RD_SEENS];
	double total, greatest; /* seconds */
};

struct stream {
	char *name; /* owned: the filter's */
	int fd;	    /* -1: it is not there */
	char *line; /* owned: what has come of one that has not ended */
	size_t len;
	struct asked *asked; /* owned */
	size_t n;
	uint64_t lost, lost_now; /* what .stats said before the interval, and since */
};

struct tops {
	const struct redirctl *ctl;
	char *const *named; /* ends with NULL; none: all */
	struct stream *stream;
	size_t n;
	double elapsed;
	int keys; /* a descriptor; -1: there are none */
	bool quit;
};

struct shown {
	const struct stream *stream;
	const struct asked *asked;
};

static void stream_release(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream->name);
	free(stream->line);
	free(stream->asked);
}

static void tops_release(struct tops *tops)
{
	for (size_t i = 0; i < tops->n; i++)
		stream_release(&tops->stream[i]);
	free(tops->stream);
}

/* --- which there are ------------------------------------------------------------------------------------ */

static uint64_t read_lost(const struct tops *tops, const char *name)
{
	PFS_BUF struct pfs_buf path = { 0 }, text = { 0 };
	char *save = NULL;

	pfs_buf_printf(&path, REDIRCTL_TREE "/%s/.stats", name);
	if (path.failed || tree_read_file(tops->ctl->root, path.data, &text) < 0 || !text.data)
		return 0;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, "lost ", 5))
			return strtoull(line + 5, NULL, 10);
	return 0;
}

/* Opens the stream of one, if that is not open. -ENODEV: it is not there. */
static int tops_open(struct tops *tops, const char *name)
{
	struct stream *stream = NULL, *more;
	PFS_BUF struct pfs_buf path = { 0 };
	PFS_CLOSE int fd = -1;

	for (size_t i = 0; i < tops->n; i++)
		if (!strcmp(tops->stream[i].name, name))
			stream = &tops->stream[i];
	if (stream && stream->fd >= 0)
		return 0;
	pfs_buf_printf(&path, REDIRCTL_TREE "/%s/all", name);
	if (path.failed)
		return -ENOMEM;
	fd = openat(tops->ctl->root, path.data, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENODEV : -errno;
	if (!stream) {
		more = reallocarray(tops->stream, tops->n + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		tops->stream = more;
		stream = &more[tops->n];
		*stream = (struct stream){ .fd = -1, .name = strdup(name), .line = malloc(HEAD_MAX) };
		if (!stream->name || !stream->line) {
			stream_release(stream);
			return -ENOMEM;
		}
		tops->n++;
	}
	stream->lost = read_lost(tops, name);
	stream->len = 0;
	stream->fd = fd;
	fd = -1;
	return 0;
}

/* Those that the caller may read. */
static int open_all(struct tops *tops)
{
	int fd = openat(tops->ctl->root, REDIRCTL_TREE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int r = dir ? 0 : -errno;

	while (dir && r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		r = tops_open(tops, entry->d_name);
		if (r == -EACCES || r == -EPERM || r == -ENODEV)
			r = 0;
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return r;
}

/* `first`: who is named is there. */
static int open_streams(struct tops *tops, bool first, struct pfs_diag *diag)
{
	int r = 0;

	if (!tops->named[0])
		return open_all(tops);
	for (char *const *name = tops->named; r == 0 && *name; name++) {
		r = redirctl_is_name(*name) ? tops_open(tops, *name) : -ENODEV;
		if (r == -ENODEV && !first)
			r = 0;
		else if (r == -ENODEV)
			pfs_diag_set(diag, 0, "there is no filter '%.64s'", *name);
		else if (r < 0)
			pfs_diag_set(diag, 0, "%.64s: %s", *name, strerror(-r));
	}
	return r;
}

/* --- counting --------------------------------------------------------------------------------------------- */

static struct asked *asked_of(struct stream *stream, const char *op)
{
	struct asked *more;

	for (size_t i = 0; i < stream->n; i++)
		if (!strcmp(stream->asked[i].op, op))
			return &stream->asked[i];
	more = reallocarray(stream->asked, stream->n + 1, sizeof(*more));
	if (!more)
		return NULL;
	stream->asked = more;
	more += stream->n++;
	*more = (struct asked){ 0 };
	snprintf(more->op, sizeof(more->op), "%s", op);
	return more;
}

/* TIME PID UID EXE OPERATION RESULT DURATION VERDICT ... */
static int count_line(struct stream *stream, char *line)
{
	char *field[8], *save = NULL;
	struct asked *asked;
	double duration;

	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return 0;
	}
	asked = asked_of(stream, field[4]);
	if (!asked)
		return -ENOMEM;
	duration = strtod(field[6], NULL);
	asked->n++;
	asked->total += duration;
	if (duration > asked->greatest)
		asked->greatest = duration;
	for (size_t i = RD_SEEN_CONTINUED; i < RD_SEENS; i++)
		asked->seen[i] += !strcmp(field[7], rd_seen_names[i]);
	return 0;
}

static int count(struct stream *stream, const char *text, size_t n)
{
	int r = 0;

	while (n && r == 0) {
		const char *end = memchr(text, '\n', n);
		size_t len = end ? (size_t)(end - text) : n;
		size_t take = pfs_min(len, HEAD_MAX - 1 - stream->len);

		memcpy(stream->line + stream->len, text, take);
		stream->len += take;
		if (end) {
			stream->line[stream->len] = '\0';
			r = count_line(stream, stream->line);
			stream->len = 0;
			len++;
		}
		text += len;
		n -= len;
	}
	return r;
}

/* What is there, but no more than one read: others have their turn. */
static int take(struct stream *stream)
{
	char text[65536];
	ssize_t n = read(stream->fd, text, sizeof(text));

	if (n > 0)
		return count(stream, text, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	close(stream->fd); /* the filter has gone, or the mount, of which the next interval hears */
	stream->fd = -1;
	return 0;
}

static void take_key(struct tops *tops)
{
	int key = keys_read();

	tops->quit = key == 'q' || key == 'Q';
	if (key < 0)
		tops->keys = -1;
}

static int count_interval(struct tops *tops)
{
	uint64_t start = pfs_clock_mono(), now = start;
	uint64_t end = start + (uint64_t)(tops->ctl->interval * 1e9);
	PFS_FREE struct pollfd *fds = pfs_zalloc(tops->n + 1, sizeof(*fds));
	struct pollfd *keys = fds + tops->n;
	int r = fds ? 0 : -ENOMEM;

	for (; r == 0 && now < end && !tops->quit; now = pfs_clock_mono()) {
		for (size_t i = 0; i < tops->n; i++)
			fds[i] = (struct pollfd){ .fd = tops->stream[i].fd, .events = POLLIN };
		*keys = (struct pollfd){ .fd = tops->keys, .events = POLLIN };
		if (poll(fds, tops->n + 1, (int)((end - now) / 1000000 + 1)) < 0 && errno != EINTR)
			return -errno;
		if (keys->revents)
			take_key(tops);
		for (size_t i = 0; r == 0 && i < tops->n; i++)
			if (fds[i].revents && tops->stream[i].fd >= 0)
				r = take(&tops->stream[i]);
	}
	tops->elapsed = (double)(now - start) / 1e9;
	for (size_t i = 0; i < tops->n; i++) {
		struct stream *stream = &tops->stream[i];
		uint64_t lost = stream->fd < 0 ? 0 : read_lost(tops, stream->name);

		stream->lost_now = lost > stream->lost ? lost - stream->lost : 0;
		stream->lost = lost;
	}
	return r;
}

/* The next interval has counts of its own; who has gone is forgotten. */
static void forget(struct tops *tops)
{
	for (size_t i = 0; i < tops->n;) {
		struct stream *stream = &tops->stream[i];

		stream->n = 0;
		if (stream->fd >= 0) {
			i++;
			continue;
		}
		stream_release(stream);
		*stream = tops->stream[--tops->n];
	}
}

/* --- the table ---------------------------------------------------------------------------------------------- */

static int by_rate(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;
	int by_name = strcmp(x->stream->name, y->stream->name);

	if (x->asked->n != y->asked->n)
		return x->asked->n < y->asked->n ? 1 : -1;
	return by_name ? by_name : strcmp(x->asked->op, y->asked->op);
}

static void put_row(const struct tops *tops, const struct shown *row, struct pfs_buf *out)
{
	const struct asked *asked = row->asked;
	double rate = (double)asked->n / tops->elapsed, mean = asked->total / (double)asked->n;
	char text[UNITS_SIZE];

	if (tops->ctl->json) {
		pfs_buf_printf(out,
			       "{\"filter\":\"%s\",\"operation\":\"%s\",\"count\":%llu,\"rate\":%.3f",
			       row->stream->name, asked->op, (unsigned long long)asked->n, rate);
		pfs_buf_printf(out, ",\"mean\":%.9f,\"greatest\":%.9f", mean, asked->greatest);
		for (size_t i = RD_SEEN_CONTINUED; i < RD_SEENS; i++)
			pfs_buf_printf(out, ",\"%s\":%llu", rd_seen_names[i],
				       (unsigned long long)asked->seen[i]);
		pfs_buf_str(out, "}\n");
		return;
	}
	units_rate(rate, text);
	pfs_buf_printf(out, "%-16s %-16s %7s %10.6f %10.6f", row->stream->name, asked->op, text,
		       mean, asked->greatest);
	for (size_t i = RD_SEEN_CONTINUED; i < RD_SEENS; i++)
		pfs_buf_printf(out, " %8llu", (unsigned long long)asked->seen[i]);
	pfs_buf_str(out, "\n");
}

static void put_table(const struct tops *tops, const struct shown *row, size_t n, struct pfs_buf *out)
{
	bool json = tops->ctl->json;

	if (!json) {
		if (!tops->ctl->once && isatty(STDOUT_FILENO))
			pfs_buf_str(out, "\033[H\033[J");
		pfs_buf_printf(out, "%-16s %-16s %7s %10s %10s", "filter", "operation", "ops/s",
			       "mean s", "greatest s");
		for (size_t i = RD_SEEN_CONTINUED; i < RD_SEENS; i++)
			pfs_buf_printf(out, " %8s", rd_seen_names[i]);
		pfs_buf_str(out, "\n");
	}
	for (size_t i = 0; i < n; i++)
		put_row(tops, &row[i], out);
	for (size_t i = 0; i < tops->n; i++)
		if (tops->stream[i].lost_now)
			pfs_buf_printf(
				out,
				json ? "{\"filter\":\"%s\",\"lost\":%llu}\n" : "%-16s lost %llu\n",
				tops->stream[i].name, (unsigned long long)tops->stream[i].lost_now);
	if (!json && !tops->ctl->once)
		pfs_buf_str(out, "\n");
}

static int print(const struct tops *tops)
{
	PFS_BUF struct pfs_buf out = { 0 };
	PFS_FREE struct shown *row = NULL;
	size_t n = 0;

	for (size_t i = 0; i < tops->n; i++)
		n += tops->stream[i].n;
	row = pfs_zalloc(n + 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < tops->n; i++)
		for (size_t j = 0; j < tops->stream[i].n; j++)
			row[n++] = (struct shown){ &tops->stream[i], &tops->stream[i].asked[j] };
	qsort(row, n, sizeof(*row), by_rate);
	put_table(tops, row, n, &out);
	if (out.failed)
		return -ENOMEM;
	fwrite(out.data ? out.data : "", 1, out.len, stdout);
	return fflush(stdout) == 0 ? 0 : -errno;
}

int redirctl_top(const struct redirctl *ctl, char *const *named, struct pfs_diag *diag)
{
	PFS_CLEANUP(tops_release) struct tops tops = { .ctl = ctl, .named = named, .keys = -1 };
	int r = open_streams(&tops, true, diag);

	if (r == 0 && !ctl->once)
		tops.keys = keys_begin();
	while (r == 0) {
		r = count_interval(&tops);
		if (r == 0 && !tops.quit)
			r = print(&tops);
		if (r < 0 || ctl->once || tops.quit)
			break;
		forget(&tops);
		r = open_streams(&tops, false, diag);
	}
	keys_end();
	return r;
}
