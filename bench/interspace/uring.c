/*
 * uring - io_uring: the memory file of "syscall" again, one request at a time, and 32 of them together
 *
 * READ_FIXED and WRITE_FIXED with a registered file and registered buffers, which is the least that a request
 * costs; submitted and waited for with one system call for each, or for 32 (then a transfer is over when all 32
 * are). The trip is a NOP.
 */
#include "study.h"

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <sys/uio.h>

struct uring {
	struct io_uring ring;
	int file;
	unsigned batch, waiting;
	size_t len;
	uint8_t *in, *out; /* registered, 2 MiB each */
};

static int uring_start(struct uring *u)
{
	struct iovec buffers[2] = { { u->in, STUDY_MAX }, { u->out, STUDY_MAX } };
	int r = io_uring_queue_init(64, &u->ring, 0);

	r = r < 0 ? r : io_uring_register_buffers(&u->ring, buffers, 2);
	return r < 0 ? r : io_uring_register_files(&u->ring, &u->file, 1);
}

static void *uring_open(const struct mechanism *m)
{
	static struct uring both[2];
	struct uring *u = &both[m->variant > 1];
	int r;

	u->batch = (unsigned)m->variant;
	u->file = study_memfd("interspace", STUDY_MAX);
	u->in = study_shared(STUDY_MAX);
	u->out = study_shared(STUDY_MAX);
	r = uring_start(u);
	return r < 0 ? study_why(-r, "io_uring") : u;
}

static void uring_close(void *state)
{
	struct uring *u = state;

	io_uring_queue_exit(&u->ring);
	close(u->file);
}

static void uring_flush(void *state, int end)
{
	struct uring *u = state;
	struct io_uring_cqe *done;
	unsigned n = u->waiting;

	(void)end;
	if (!n)
		return;
	if (io_uring_submit_and_wait(&u->ring, n) < 0)
		study_die("io_uring_enter");
	for (; n; n--) {
		int r = io_uring_wait_cqe(&u->ring, &done);

		errno = -r;
		if (r < 0)
			study_die("a completion");
		errno = done->res < 0 ? -done->res : EBADMSG;
		if (done->res != (int)u->len)
			study_die("a request");
		io_uring_cqe_seen(&u->ring, done);
	}
	u->waiting = 0;
}

static void uring_sent(struct uring *u, struct io_uring_sqe *sqe, size_t len)
{
	sqe->flags |= IOSQE_FIXED_FILE;
	u->len = len;
	if (++u->waiting == u->batch)
		uring_flush(u, 0);
}

static const uint8_t *uring_get(void *state, int end, uint8_t *into, size_t len)
{
	struct uring *u = state;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	(void)end;
	(void)into;
	io_uring_prep_read_fixed(sqe, 0, u->in, (unsigned)len, 0, 0);
	uring_sent(u, sqe, len);
	return u->in;
}

static void uring_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct uring *u = state;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	(void)end;
	(void)from;
	io_uring_prep_write_fixed(sqe, 0, u->out, (unsigned)len, 0, 1);
	uring_sent(u, sqe, len);
}

static uint8_t *uring_source(void *state)
{
	return ((struct uring *)state)->out;
}

static void uring_trip(void *state, int end)
{
	struct uring *u = state;

	(void)end;
	io_uring_prep_nop(io_uring_get_sqe(&u->ring));
	u->len = 0;
	u->waiting = 1;
	uring_flush(u, 0);
}

static const uint8_t *uring_load(void *state, const uint8_t *pattern, size_t len)
{
	if (pwrite(((struct uring *)state)->file, pattern, len, 0) != (ssize_t)len)
		study_die("pwrite");
	return pattern;
}

static void uring_fetch(void *state, uint8_t *into, size_t len)
{
	if (pread(((struct uring *)state)->file, into, len, 0) != (ssize_t)len)
		study_die("pread");
}

#else

static void *uring_open(const struct mechanism *m)
{
	(void)m;
	return study_why(0, "built without liburing (liburing-dev)");
}

#define uring_close NULL
#define uring_source NULL
#define uring_get NULL
#define uring_put NULL
#define uring_trip NULL
#define uring_flush NULL
#define uring_load NULL
#define uring_fetch NULL

#endif

const struct mechanism mechanism_uring = {
	.name = "io_uring",
	.stands_for =
		"READ_FIXED and WRITE_FIXED of the same memory file, a system call for each; the trip is a NOP",
	.variant = 1,
	.read = true,
	.write = true,
	.trips = true,
	.open = uring_open,
	.close = uring_close,
	.source = uring_source,
	.get = uring_get,
	.put = uring_put,
	.trip = uring_trip,
	.flush = uring_flush,
	.load = uring_load,
	.fetch = uring_fetch,
};

const struct mechanism mechanism_uring_many = {
	.name = "io_uring x32",
	.stands_for = "the same, 32 requests with one system call",
	.variant = 32,
	.read = true,
	.write = true,
	.open = uring_open,
	.close = uring_close,
	.source = uring_source,
	.get = uring_get,
	.put = uring_put,
	.flush = uring_flush,
	.load = uring_load,
	.fetch = uring_fetch,
};
