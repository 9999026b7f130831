/*
 * libpipesfs - a reader through the library, and the same with read(2)
 *
 *	libpipesfs map PATH RECORDS SUM		through libpipesfs
 *	libpipesfs place PATH RECORDS SUM	the same, where they lie, which may be written over
 *	libpipesfs read PATH RECORDS SUM BYTES	with read(2) of 1 MiB; so many bytes are a record
 *	libpipesfs one PATH RECORDS SUM BYTES	with read(2) of one record each
 *	libpipesfs produce PATH CHUNKS		writes chunks of 1 MiB there through libpipesfs, and ends
 *	libpipesfs memory MIB			memcpy and reading of memory that no cache holds
 *
 * SUM 1 looks at every byte, as who works on it must; 0 at the first eight of each record.
 *
 * Says "open", and for each line of input takes RECORDS records (0: what is there; all until SIGINT or the end,
 * if fewer) and prints {"seconds", "end" (CLOCK_MONOTONIC), "cpu" (of this process), "records", "bytes", "lost"}.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <pipesfs/pipesfs.h>

enum { BLOCK = 1 << 20, BATCH = 32, PIECE = 1 << 20 };

static volatile uint64_t kept; /* so that nothing is left out */
static volatile sig_atomic_t enough;

static void on_signal(int signal)
{
	(void)signal;
	enough = 1;
}

static int fail(const char *what)
{
	fprintf(stderr, "libpipesfs: %s: %s\n", what, strerror(errno));
	return 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t sum(const uint8_t *p, size_t n)
{
	uint64_t total = 0, word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		total += word;
	}
	return total;
}

struct taken {
	double start, busy;
	uint64_t records, bytes, lost;
};

static bool asked(struct taken *taken)
{
	char line[8];

	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	*taken = (struct taken){ .start = now(), .busy = cpu() };
	return true;
}

static void tell(const struct taken *taken)
{
	printf("{\"seconds\":%.9f,\"end\":%.9f,\"cpu\":%.9f,\"records\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64 "}\n",
	       now() - taken->start, now(), cpu() - taken->busy, taken->records, taken->bytes,
	       taken->lost);
}

/* Takes them as they come. */
static int take_mapped(struct pfs_client *client, uint64_t want, bool all, struct taken *taken)
{
	uint64_t lost = pfs_lost(client);
	struct pfs_rec recs[BATCH];
	int n = 1;

	while (n != 0 && !enough && (!want || taken->records + taken->lost < want)) {
		n = pfs_next(client, recs, BATCH);
		if (n == -EAGAIN && !want)
			break;
		if (n == -EAGAIN) {
			n = pfs_wait(client, -1) < 0 && !enough ? -EIO : 1;
			continue;
		}
		if (n < 0)
			return fail("pfs_next");
		for (int i = 0; i < n; i++) {
			kept += sum(recs[i].data, all || recs[i].len < 8 ? recs[i].len : 8);
			taken->bytes += recs[i].len;
		}
		taken->records += (uint64_t)n;
		taken->lost = pfs_lost(client) - lost;
		pfs_release(client);
	}
	return 0;
}

static int run_map(const char *path, uint32_t policy, uint64_t want, bool all)
{
	char why[256] = "";
	struct pfs_options options = {
		.size = sizeof(options), .policy = policy, .why = why, .why_size = sizeof(why)
	};
	struct pfs_client *client;
	struct taken taken;
	int r = pfs_open(path, &options, &client);

	if (r < 0) {
		fprintf(stderr, "libpipesfs: %s: %s\n", path, why[0] ? why : strerror(-r));
		return 1;
	}
	puts("open");
	while (r == 0 && asked(&taken)) {
		r = take_mapped(client, want, all, &taken);
		tell(&taken);
	}
	pfs_close(client);
	return r;
}

/* Bytes that have no boundary are looked at where records would begin. */
static int run_read(const char *path, uint64_t want, bool all, size_t record, size_t block)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | (want ? 0 : O_NONBLOCK));
	uint8_t *p = aligned_alloc(4096, BLOCK);
	struct taken taken;

	if (fd < 0 || !p)
		return fail(path);
	memset(p, 0, BLOCK);
	puts("open");
	while (asked(&taken)) {
		while (!want || taken.bytes < want * record) {
			ssize_t n = read(fd, p, block);

			if (n == 0 || (n < 0 && errno == EAGAIN))
				break;
			if (n < 0)
				return fail("read");
			for (size_t at = 0; all || at + 8 <= (size_t)n; at += record) {
				kept += sum(p + at, all ? (size_t)n : 8);
				if (all)
					break;
			}
			taken.bytes += (uint64_t)n;
		}
		taken.records = taken.bytes / record;
		tell(&taken);
	}
	close(fd);
	free(p);
	return 0;
}

static int run_produce(const char *path, uint64_t chunks)
{
	struct pfs_producer *producer;
	struct pollfd fd = { .events = POLLIN };
	int r = pfs_producer_open(path, 4 * PIECE, NULL, 0, &producer);

	if (r < 0) {
		errno = -r;
		return fail(path);
	}
	fd.fd = pfs_producer_fd(producer);
	for (uint64_t i = 0; i < chunks && r == 0; i++) {
		void *p;

		while ((r = pfs_producer_reserve(producer, PIECE, &p)) == -EAGAIN)
			poll(&fd, 1, -1);
		if (r == 0) {
			memset(p, (int)i, PIECE);
			r = pfs_producer_commit(producer, PIECE);
		}
	}
	pfs_producer_close(producer);
	errno = -r;
	return r < 0 ? fail(path) : 0;
}

/* The best of five: what the machine can, not what the others left of it. */
static int run_memory(size_t mib)
{
	size_t size = mib << 20;
	uint8_t *from = aligned_alloc(4096, size), *to = aligned_alloc(4096, size);
	double copy = 0, read_rate = 0;

	if (!from || !to)
		return fail("memory");
	memset(from, 1, size);
	memset(to, 2, size);
	for (int round = 0; round < 5; round++) {
		double start = now(), end;

		for (size_t at = 0; at < size; at += PIECE)
			memcpy(to + at, from + at, PIECE);
		end = now();
		kept += to[size / 2];
		copy = (double)size / (end - start) > copy ? (double)size / (end - start) : copy;
		start = now();
		for (size_t at = 0; at < size; at += PIECE)
			kept += sum(from + at, PIECE);
		end = now();
		read_rate = (double)size / (end - start) > read_rate ? (double)size / (end - start)
								     : read_rate;
	}
	printf("{\"copy\":%.3f,\"read\":%.3f}\n", copy / 1e9, read_rate / 1e9);
	free(from);
	free(to);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	uint64_t want = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	struct sigaction action = { .sa_handler = on_signal };
	bool all = argc > 4 && atoi(argv[4]);
	size_t record = argc > 5 ? strtoul(argv[5], NULL, 0) : 0;

	sigaction(SIGINT, &action, NULL);
	if (!strcmp(how, "map") && argc == 5)
		return run_map(argv[2], PFS_POLICY_DEFAULT, want, all);
	if (!strcmp(how, "place") && argc == 5)
		return run_map(argv[2], PFS_POLICY_IN_PLACE, want, all);
	if (!strcmp(how, "read") && argc == 6 && record)
		return run_read(argv[2], want, all, record, BLOCK);
	if (!strcmp(how, "one") && argc == 6 && record)
		return run_read(argv[2], want, all, record, record);
	if (!strcmp(how, "produce") && argc == 4)
		return run_produce(argv[2], want);
	if (!strcmp(how, "memory") && argc == 3)
		return run_memory(strtoul(argv[2], NULL, 0));
	fputs("usage: libpipesfs map|place|read|one PATH RECORDS SUM [BYTES] | produce PATH CHUNKS | memory MIB\n",
	      stderr);
	return 2;
}
