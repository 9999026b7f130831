/*
 * relay - the kernel's trace buffer: one of each CPU, sub-buffers, read as they are from trace_pipe_raw
 *
 * relay's own channels need a module, or blktrace, whose files in debugfs a kernel that is locked down lets nobody
 * open. The trace buffer is relay's successor, with the same contract: buffers of each CPU made of sub-buffers,
 * filled by the kernel, handed to the reader whole. An instance of our own (mkdir in tracefs), sub-buffers of 64
 * KiB, filled by writing to its trace_marker_raw; that is not counted, the thesis had an ioctl for it which was.
 * read(2) of trace_pipe_raw takes a sub-buffer out of the ring and copies it, always a whole one: smaller pieces
 * are what the reader then takes from its buffer. Bytes are those of the sub-buffers, headers included. One way
 * only, as in the thesis. It is checked before each measurement: known records are read, and all must be there in
 * order.
 */
#include "study.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define INSTANCES "/sys/kernel/tracing/instances"
#define TEXT 3900u	/* of one record */
#define FILL (6u << 20) /* bytes of records, of the buffer's 8 MiB */
#define CHECKED 40u	/* records */
#define SUBBUFFER (64u << 10)
#define BUFFER_KB "8192" /* of each CPU */

struct relay {
	char dir[96];
	int marker, raw;
	struct {
		uint32_t id;
		uint8_t text[TEXT];
	} record;
	size_t used;   /* of the sub-buffer in page, by get() */
	uint8_t *page; /* what was read */
};

static int set(const struct relay *r, const char *file, const char *value)
{
	char path[160];
	PFS_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", r->dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* What was killed has left its instance. One that somebody uses is busy. */
static void remove_stale(void)
{
	DIR *dir = opendir(INSTANCES);
	char path[sizeof(INSTANCES) + 300];
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, "interspace-", 11) == 0) {
			snprintf(path, sizeof(path), INSTANCES "/%s", e->d_name);
			rmdir(path);
		}
	if (dir)
		closedir(dir);
}

static int relay_files(struct relay *r)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/trace_marker_raw", r->dir);
	r->marker = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/per_cpu/cpu%d/trace_pipe_raw", r->dir, study_cpu(0));
	r->raw = r->marker < 0 ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return r->raw < 0 ? -errno : 0;
}

static void relay_close(void *state)
{
	struct relay *r = state;

	close(r->marker);
	close(r->raw);
	rmdir(r->dir);
}

static void *relay_open(const struct mechanism *m)
{
	static struct relay r = { .marker = -1, .raw = -1 };
	int error;

	(void)m;
	if (!study_root())
		return study_why(0, "root is needed for tracefs");
	if (access(INSTANCES, F_OK) < 0 &&
	    mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL) < 0)
		return study_why(errno, "tracefs");
	remove_stale();
	snprintf(r.dir, sizeof(r.dir), INSTANCES "/interspace-%d", (int)getpid());
	if (mkdir(r.dir, 0700) < 0)
		return study_why(errno, "an instance of the trace buffer");
	r.page = study_shared(STUDY_MAX);
	error = set(&r, "buffer_subbuf_size_kb", "64"); /* Linux 6.8 */
	error = error ? error : set(&r, "buffer_size_kb", BUFFER_KB);
	error = error ? error : relay_files(&r);
	if (!error)
		return &r;
	relay_close(&r);
	return study_why(-error, "the trace buffer's files");
}

static void records(struct relay *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		r->record.id = i;
		if (write(r->marker, &r->record, sizeof(r->record)) < 0)
			study_die("trace_marker_raw");
	}
}

/* At least one byte, or 0: the buffer is empty. */
static size_t take(const struct relay *r, uint8_t *into, size_t len)
{
	ssize_t n = read(r->raw, into, len);

	if (n < 0 && errno != EAGAIN)
		study_die("trace_pipe_raw");
	return n < 0 ? 0 : (size_t)n;
}

static void next_subbuffer(struct relay *r, uint8_t *into)
{
	while (take(r, into, SUBBUFFER) != SUBBUFFER) {
		study_pause();
		records(r, FILL / sizeof(r->record));
		study_resume();
	}
}

static const uint8_t *relay_get(void *state, int end, uint8_t *into, size_t len)
{
	struct relay *r = state;

	(void)end;
	if (len < SUBBUFFER) {
		if (r->used == SUBBUFFER) {
			next_subbuffer(r, r->page);
			r->used = 0;
		}
		r->used += len;
		return r->page + r->used - len;
	}
	for (size_t at = 0; at < len; at += SUBBUFFER)
		next_subbuffer(r, into + at);
	return into;
}

static const uint8_t *relay_load(void *state, const uint8_t *pattern, size_t len)
{
	struct relay *r = state;
	size_t got = 0, n;
	const uint8_t *at = r->page;

	while (take(r, r->page, SUBBUFFER))
		;
	r->used = SUBBUFFER;
	for (size_t i = 0; i < TEXT; i++)
		r->record.text[i] = pattern[i % len];
	records(r, CHECKED);
	while ((n = take(r, r->page + got, SUBBUFFER)) > 0)
		got += n;
	errno = EBADMSG;
	for (uint32_t i = 0; i < CHECKED; i++) {
		r->record.id = i;
		at = memmem(at, got - (size_t)(at - r->page), &r->record, sizeof(r->record));
		if (!at)
			study_die("a record is missing, or not as it was written");
		at += sizeof(r->record);
	}
	return NULL;
}

const struct mechanism mechanism_relay = {
	.name = "relay",
	.stands_for = "trace_pipe_raw of a trace instance with sub-buffers of 64 KiB (relay's "
		      "files are closed to all where the kernel "
		      "is locked down); filling it is not counted; one way only",
	.thesis = true,
	.read = true,
	.open = relay_open,
	.close = relay_close,
	.get = relay_get,
	.load = relay_load,
};
