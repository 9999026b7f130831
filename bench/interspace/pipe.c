/*
 * pipe - a pipe of 1 MiB between two processes, written as usual (two copies) or with vmsplice(2) (one)
 *
 * vmsplice puts pages of the writer into the pipe; they may not change until they were read, so its writer here
 * always sends the same. The reader copies in both cases: splice(2) to somewhere else is no reading.
 */
#include "study.h"

#include <fcntl.h>
#include <sys/uio.h>

#define ROOM (1 << 20)

struct pipes {
	int way[2][2]; /* to end 0, to end 1 */
};

static void *pipe_open(const struct mechanism *m)
{
	static struct pipes both[2];
	struct pipes *p = &both[m->variant];

	for (int i = 0; i < 2; i++) {
		if (pipe2(p->way[i], O_CLOEXEC) < 0)
			return study_why(errno, "pipe");
		if (fcntl(p->way[i][1], F_SETPIPE_SZ, ROOM) < 0)
			return study_why(errno, "a pipe of 1 MiB");
	}
	return p;
}

static void pipe_close(void *state)
{
	struct pipes *p = state;

	for (int i = 0; i < 4; i++)
		close(p->way[i / 2][i % 2]);
}

static const uint8_t *pipe_get(void *state, int end, uint8_t *into, size_t len)
{
	study_read_all(((struct pipes *)state)->way[end][0], into, len);
	return into;
}

static void pipe_put(void *state, int end, const uint8_t *from, size_t len)
{
	study_write_all(((struct pipes *)state)->way[!end][1], from, len);
}

static void vmsplice_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)from, .iov_len = len };

	while (v.iov_len) {
		ssize_t n = vmsplice(((struct pipes *)state)->way[!end][1], &v, 1, 0);

		if (n < 0)
			study_die("vmsplice");
		v.iov_base = (uint8_t *)v.iov_base + n;
		v.iov_len -= (size_t)n;
	}
}

const struct mechanism mechanism_pipe = {
	.name = "pipe",
	.stands_for = "pipe(2) with F_SETPIPE_SZ 1 MiB between two processes (two copies)",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = pipe_open,
	.close = pipe_close,
	.get = pipe_get,
	.put = pipe_put,
};

const struct mechanism mechanism_vmsplice = {
	.name = "vmsplice",
	.stands_for = "the same pipe written with vmsplice(2), read with read(2) (one copy); the "
		      "writer may not touch its "
		      "pages until they were read, which nobody tells it",
	.peer = true,
	.unstamped = true,
	.variant = 1,
	.read = true,
	.write = true,
	.trips = true,
	.open = pipe_open,
	.close = pipe_close,
	.get = pipe_get,
	.put = vmsplice_put,
};
