/*
 * redir - what is done to a directory in the benchmarks of redirected trees; prints seconds
 *
 *	redir walk DIR			every file's attributes, as find -size has to
 *	redir opens FILE COUNT		open and close it
 *	redir write|read FILE BYTES BLOCK	from the beginning to the end; write ends with fsync
 *	redir randwrite|randread FILE BYTES BLOCK	the same many blocks, anywhere
 *	redir map FILE			every page, mapped shared, read once
 *	redir permit DIR		says "ready", and allows each open there (fanotify), until it is killed
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "redir: %s: %s\n", what, strerror(errno));
	return 1;
}

static int done(double start, uint64_t what)
{
	printf("%.9f %" PRIu64 "\n", now() - start, what);
	return 0;
}

static int walk(char *dir)
{
	char *dirs[] = { dir, NULL };
	double start = now();
	uint64_t files = 0;
	FTS *fts = fts_open(dirs, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	const FTSENT *e;

	if (!fts)
		return fail(dir);
	while ((e = fts_read(fts)))
		files += e->fts_info == FTS_F;
	fts_close(fts);
	return done(start, files);
}

static int opens(const char *file, uint64_t count)
{
	double start = now();

	for (uint64_t i = 0; i < count; i++) {
		int fd = open(file, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return fail(file);
		close(fd);
	}
	return done(start, count);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static int move(const char *how, const char *file, uint64_t bytes, size_t size)
{
	int writes = strstr(how, "write") != NULL, anywhere = strncmp(how, "rand", 4) == 0;
	uint8_t *block = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
	uint64_t n = bytes / size, state = 1;
	double start;
	int fd;

	fd = open(file, writes ? (anywhere ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC) : O_RDONLY, 0600);
	if (fd < 0 || !block)
		return fail(file);
	memset(block, 'x', size);
	start = now();
	for (uint64_t i = 0; i < n; i++) {
		off_t at = (off_t)((anywhere ? next_random(&state) % n : i) * size);
		ssize_t got = writes ? pwrite(fd, block, size, at) : pread(fd, block, size, at);

		if (got != (ssize_t)size)
			return fail(how);
	}
	if (writes && fsync(fd) < 0)
		return fail("fsync");
	close(fd);
	return done(start, n * size);
}

static int map(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	const volatile uint64_t *p;
	uint64_t sum = 0;
	double start = now();

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(file);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return fail("mmap");
	for (size_t i = 0; i < (size_t)st.st_size / sizeof(*p); i++)
		sum += p[i];
	return done(start, sum ? (uint64_t)st.st_size : 0);
}

static int permit(const char *dir)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	struct fanotify_event_metadata events[64];
	ssize_t n;

	if (fd < 0 ||
	    fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, dir) < 0)
		return fail("fanotify");
	puts("ready");
	fflush(stdout);
	while ((n = read(fd, events, sizeof(events))) > 0)
		for (const struct fanotify_event_metadata *e = events; FAN_EVENT_OK(e, n);
		     e = FAN_EVENT_NEXT(e, n)) {
			struct fanotify_response response = { .fd = e->fd, .response = FAN_ALLOW };

			if (write(fd, &response, sizeof(response)) < 0)
				return fail("write");
			close(e->fd);
		}
	return fail("read");
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "walk") == 0)
		return walk(argv[2]);
	if (argc == 3 && strcmp(argv[1], "map") == 0)
		return map(argv[2]);
	if (argc == 3 && strcmp(argv[1], "permit") == 0)
		return permit(argv[2]);
	if (argc == 4 && strcmp(argv[1], "opens") == 0)
		return opens(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 5)
		return move(argv[1], argv[2], strtoull(argv[3], NULL, 10),
			    (size_t)strtoull(argv[4], NULL, 10));
	fputs("redir: see the head of redir.c\n", stderr);
	return 2;
}
