/*
 * stream - the producer and the reader of the pipe benchmark
 *
 *	stream write PATH BYTES BLOCK	writes BYTES in blocks of BLOCK, prints the times of start and end
 *	stream read PATH BLOCK		reads to the end, prints how much and when the end came
 *
 * PATH "-" is standard output or input, so that the same program serves pipe(2), FIFOs and pipe files. Times are
 * CLOCK_MONOTONIC in ns: processes of one machine compare them. A reader prints "open" as soon as it has opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Page-aligned and touched: the first round pays no page faults. */
static uint8_t *block_new(size_t size)
{
	uint8_t *block = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	if (block)
		memset(block, 'x', size);
	return block;
}

static int stream_write(const char *path, uint64_t bytes, size_t size)
{
	int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open(path, O_WRONLY | O_CLOEXEC);
	uint8_t *block = block_new(size);
	uint64_t start, left = bytes;

	if (fd < 0 || !block)
		return fail(path);
	start = now();
	while (left > 0) {
		size_t want = left < size ? (size_t)left : size;
		ssize_t n = write(fd, block, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail("write");
		left -= (uint64_t)n;
	}
	close(fd);
	fprintf(stderr, "%" PRIu64 " %" PRIu64 "\n", start, now());
	free(block);
	return 0;
}

static int stream_read(const char *path, size_t size)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *block = block_new(size);
	uint64_t total = 0;

	if (fd < 0 || !block)
		return fail(path);
	puts("open");
	fflush(stdout);
	for (;;) {
		ssize_t n = read(fd, block, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail("read");
		if (n == 0)
			break;
		total += (uint64_t)n;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", total, now());
	free(block);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "write") == 0)
		return stream_write(argv[2], strtoull(argv[3], NULL, 0),
				    (size_t)strtoull(argv[4], NULL, 0));
	if (argc == 4 && strcmp(argv[1], "read") == 0)
		return stream_read(argv[2], (size_t)strtoull(argv[3], NULL, 0));
	fputs("usage: stream write PATH BYTES BLOCK | stream read PATH BLOCK\n", stderr);
	return 2;
}
