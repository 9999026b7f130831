/*
 * latency - how old a message is when it comes out of the other end: pipe(2), a Unix socket, a pipesfs directory
 *
 *	bench-latency pipe|unix|write|producer IN OUT N SIZE US
 *
 * N messages of SIZE bytes, one each US microseconds, so that who takes them sleeps in between; each says when it was
 * sent. write: write(2) into IN, read(2) of one record each from OUT (O_DIRECT). producer: libpipesfs on both sides.
 * Prints the median, the 99.9 % point, the least and the most, in ns.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <pipesfs/pipesfs.h>

static size_t count, size;

static void die(const char *what, int error)
{
	fprintf(stderr, "latency: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* --- taking --------------------------------------------------------------------------------------- */

static uint64_t *ages;
static size_t taken;

static void take(const void *message, size_t n)
{
	uint64_t sent;

	if (n != size)
		die("a message of another length", EPROTO);
	memcpy(&sent, message, sizeof(sent));
	ages[taken++] = now() - sent;
}

static void take_fd(int fd)
{
	char *message = malloc(size);

	while (message && taken < count) {
		ssize_t n = read(fd, message, size);

		if (n < 0)
			die("read", errno);
		take(message, (size_t)n);
	}
	free(message);
}

static void take_client(struct pfs_client *client)
{
	struct pfs_rec recs[64];

	while (taken < count) {
		int n = pfs_next(client, recs, 64);

		if (n == -EAGAIN)
			n = pfs_wait(client, -1) < 0 ? -errno : 0;
		else if (n == 0)
			n = -EPIPE;
		if (n < 0)
			die("pfs_next", -n);
		for (int i = 0; i < n; i++)
			take(recs[i].data, recs[i].len);
		pfs_release(client);
	}
}

/* --- sending -------------------------------------------------------------------------------------- */

static void send_all(int fd, struct pfs_producer *producer, uint64_t each)
{
	char *message = calloc(1, size);
	uint64_t next = now();
	void *room;
	int r;

	for (size_t i = 0; message && i < count; i++) {
		struct timespec until;
		uint64_t sent;

		next += each;
		until = (struct timespec){ (time_t)(next / 1000000000), (long)(next % 1000000000) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		sent = now();
		memcpy(message, &sent, sizeof(sent));
		if (!producer) {
			if (write(fd, message, size) != (ssize_t)size)
				die("write", errno);
			continue;
		}
		r = pfs_producer_reserve(producer, size, &room);
		if (r < 0)
			die("pfs_producer_reserve", -r);
		memcpy(room, message, size);
		pfs_producer_commit(producer, size);
	}
	free(message);
}

int main(int argc, char **argv)
{
	struct pfs_producer *producer = NULL;
	struct pfs_client *client = NULL;
	int fds[2] = { -1, -1 }, r = 0, status;
	pid_t child;

	if (argc != 7)
		return 2;
	count = strtoul(argv[4], NULL, 0);
	size = strtoul(argv[5], NULL, 0);
	ages = calloc(count, sizeof(*ages));
	if (!ages || !count || size < sizeof(uint64_t))
		return 2;
	if (!strcmp(argv[1], "pipe"))
		r = pipe2(fds, O_CLOEXEC);
	else if (!strcmp(argv[1], "unix"))
		r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
	else if (!strcmp(argv[1], "write"))
		r = (fds[0] = open(argv[3], O_RDONLY | O_DIRECT)) < 0 ||
				    (fds[1] = open(argv[2], O_WRONLY)) < 0
			    ? -1
			    : 0;
	else if ((r = -pfs_open(argv[3], NULL, &client)) ||
		 (r = -pfs_producer_open(argv[2], 0, NULL, 0, &producer)))
		die("open", r);
	if (r < 0)
		die("open", errno);
	child = fork();
	if (child < 0)
		die("fork", errno);
	if (child == 0) {
		send_all(fds[1], producer, strtoull(argv[6], NULL, 0) * 1000);
		_exit(0);
	}
	if (client)
		take_client(client);
	else
		take_fd(fds[0]);
	waitpid(child, &status, 0);
	pfs_producer_close(producer);
	pfs_close(client);
	qsort(ages, count, sizeof(*ages), compare);
	printf("%llu %llu %llu %llu\n", (unsigned long long)ages[count / 2],
	       (unsigned long long)ages[count - 1 - count / 1000], (unsigned long long)ages[0],
	       (unsigned long long)ages[count - 1]);
	return status != 0;
}
