/*
 * fuse_uring - a FUSE server whose requests come as completions of io_uring: register an entry, take, commit and
 * fetch the next
 *
 * One entry for each CPU that there could be: the kernel asks on the queue of the client's CPU, and begins when
 * all are there.
 */
#include "fuse_help.h"

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>

#define ENTRIES_MAX 256

enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH = 2 };

struct uring_header {
	union {
		struct fuse_in_header in;
		struct fuse_out_header out;
		uint8_t in_out[128];
	};
	union {
		struct fuse_read_in read;
		struct fuse_write_in write;
		uint8_t op_in[128];
	};
	uint64_t flags, commit_id;
	uint32_t payload, padding;
	uint64_t reserved;
};
static_assert(sizeof(struct uring_header) == 288, "shared with the kernel");

struct uring_command {
	uint64_t flags, commit_id;
	uint16_t queue;
	uint8_t padding[6];
};

struct entry {
	struct uring_header head;
	uint8_t *payload;
	struct iovec v[2];
};

static void command(struct io_uring *ring, const struct fusefile *f, struct entry *e,
		    uint16_t queue, uint32_t what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct uring_command c = { .commit_id = e->head.commit_id, .queue = queue };

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, f->dev, what == CMD_REGISTER ? e->v : NULL,
			 what == CMD_REGISTER ? 2 : 0, 0);
	sqe->cmd_op = what;
	sqe->user_data = queue;
	memcpy(sqe->cmd, &c, sizeof(c));
}

static void answer(struct fusefile *f, struct entry *e)
{
	struct fuse_in_header h = e->head.in;
	int r;

	if (h.opcode == FUSE_READ) {
		r = (int)e->head.read.size;
		memcpy(e->payload, f->far + e->head.read.offset, (size_t)r);
	} else if (h.opcode == FUSE_WRITE) {
		struct fuse_write_out done = { .size = e->head.write.size };

		/* They lie in the entry's buffer, where the server sees them. */
		if (f->shared->keep)
			memcpy(f->landed + e->head.write.offset, e->payload, done.size);
		memcpy(e->payload, &done, sizeof(done));
		r = sizeof(done);
	} else {
		r = fuse_answer(f, &h, e->head.op_in, e->payload);
	}
	e->head.out = (struct fuse_out_header){ .len = (uint32_t)(sizeof(e->head.out) +
								  (r < 0 ? 0 : (size_t)r)),
						.error = r < 0 ? r : 0,
						.unique = h.unique };
	e->head.payload = r < 0 ? 0 : (uint32_t)r;
}

void fuse_uring_serve(struct fusefile *f)
{
	static struct entry entries[ENTRIES_MAX];
	unsigned n = (unsigned)get_nprocs_conf();
	struct io_uring ring;

	errno = E2BIG;
	if (n > ENTRIES_MAX)
		study_die("more CPUs than this bench can serve");
	errno = -io_uring_queue_init(2 * n, &ring, IORING_SETUP_SQE128);
	if (errno)
		study_die("io_uring");
	for (unsigned i = 0; i < n; i++) {
		entries[i].payload = study_shared(REQUEST_MAX + 4096);
		entries[i].v[0] = (struct iovec){ &entries[i].head, sizeof(entries[i].head) };
		entries[i].v[1] = (struct iovec){ entries[i].payload, REQUEST_MAX };
		command(&ring, f, &entries[i], (uint16_t)i, CMD_REGISTER);
	}
	for (;;) {
		struct io_uring_cqe *done;
		uint64_t queue;
		int r = io_uring_submit_and_wait(&ring, 1);

		if (r < 0 && r != -EINTR)
			_exit(1);
		while (io_uring_peek_cqe(&ring, &done) == 0) {
			queue = done->user_data;
			r = done->res;
			io_uring_cqe_seen(&ring, done);
			if (r == -ENOTCONN)
				_exit(0); /* unmounted */
			errno = -r;
			if (r < 0)
				study_die("a request of FUSE over io_uring");
			answer(f, &entries[queue]);
			command(&ring, f, &entries[queue], (uint16_t)queue, CMD_COMMIT_AND_FETCH);
		}
	}
}

#endif
