/*
 * produce - write standard input into a pipesfs directory, in records of so many bytes, from memory
 *
 *	cc produce.c $(pkg-config --cflags --libs libpipesfs) -o produce && ./produce /p/accept/all 100 <file
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipesfs/pipesfs.h>

static void wait_for_room(const struct pfs_producer *producer)
{
	struct pollfd fd = { .fd = pfs_producer_fd(producer), .events = POLLIN };

	poll(&fd, 1, -1);
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 0) : 4096, n = 1;
	struct pfs_producer *producer;
	char why[256] = "";
	void *room;
	int r = argc > 1 ? pfs_producer_open(argv[1], argc > 3 ? strtoul(argv[3], NULL, 0) : 0, why,
					     sizeof(why), &producer)
			 : -EINVAL;

	if (r < 0) {
		fprintf(stderr, "produce: %s\n", why[0] ? why : strerror(-r));
		return 1;
	}
	while (r == 0 && n > 0) {
		while ((r = pfs_producer_reserve(producer, size, &room)) == -EAGAIN)
			wait_for_room(producer);
		n = r == 0 ? fread(room, 1, size, stdin) : 0;
		if (n > 0)
			r = pfs_producer_commit(producer, n);
	}
	while (r == 0 && (r = pfs_producer_flush(producer)) == -EAGAIN) {
		wait_for_room(producer);
		r = 0;
	}
	if (r < 0)
		fprintf(stderr, "produce: %s\n", strerror(-r));
	pfs_producer_close(producer);
	return r < 0;
}
