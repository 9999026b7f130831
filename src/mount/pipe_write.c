/*
 * pipe_write - WRITE
 *
 * The bytes are copied once, into the ring; then the writer is answered, and only then the tree
 * below runs on this thread, so that the writer makes the next bytes meanwhile. While the ring is
 * full the request waits with its bytes (a copy of few, the buffer they came in of many), within
 * what one user may have waiting.
 */
#include "mount/pipe_i.h"

#include <fcntl.h>

#define COPY_BELOW (PFS_REQUEST_MAX / 4) /* a buffer is as large as the largest request */

/* Stores and answers: 1; refuses: 0. -EAGAIN: there is no room, nothing was answered. */
static int store_now(struct pfs_pipe *pipe, fuse_req_t req, const char *bytes, size_t size)
{
	ssize_t n = pfs_writer_store(pipe->writer, bytes, size);

	if (n == -EAGAIN)
		return -EAGAIN;
	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return 0;
	}
	fuse_reply_write(req, (size_t)n);
	return 1;
}

static int write_serve(struct pfs_pipe *pipe, struct pfs_waiting *waiting)
{
	int r = store_now(pipe, waiting->held.req, waiting->bytes, waiting->size);

	if (r >= 0)
		pfs_waiting_free(waiting);
	return r;
}

static bool write_park(struct pfs_pipe *pipe, struct pfs_waiter *waiter, size_t size)
{
	return pfs_writer_park(pipe->writer, waiter, size);
}

static void write_woken(struct pfs_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->write.parked.on = false;
	pthread_mutex_unlock(&pipe->lock);
	if (pfs_lane_run(pipe, &pipe->write)) {
		pfs_writer_run(pipe->writer);
		pfs_pipe_poll_again(pipe);
	}
}

void pfs_pipe_write_init(struct pfs_pipe *pipe)
{
	pipe->write.serve = write_serve;
	pipe->write.park = write_park;
	pfs_parked_init(&pipe->write.parked, pipe, write_woken);
}

static void hold(struct pfs_pipe *pipe, fuse_req_t req, const char *bytes, size_t size,
		 bool nonblock, bool front)
{
	struct pfs_mount *mount = pipe->file.mount;
	uid_t uid = fuse_req_ctx(req)->uid;
	bool copy = size < COPY_BELOW;
	size_t charge = copy ? size : PFS_REQUEST_MAX;
	struct pfs_waiting *waiting;

	if (!pfs_held_charge(mount, uid, charge)) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting = pfs_waiting_new(pipe, &pipe->write, req, copy ? size : 0);
	if (waiting)
		waiting->kept = copy ? NULL : pfs_request_keep();
	if (!waiting || (!copy && !waiting->kept)) {
		pfs_held_uncharge(mount, uid, charge);
		if (waiting)
			pfs_waiting_free(waiting);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting->size = size;
	waiting->charged = charge;
	waiting->nonblock = nonblock;
	waiting->bytes = copy ? memcpy(waiting->copy, bytes, size) : bytes;
	pfs_lane_wait(pipe, &pipe->write, waiting, front);
}

static void write_request(struct pfs_pipe *pipe, fuse_req_t req, const char *bytes, size_t size,
			  bool nonblock)
{
	struct pfs_lane *lane = &pipe->write;
	int enter = pfs_lane_enter(pipe, lane);
	unsigned stored = 0;
	int r;

	r = enter == 1 ? store_now(pipe, req, bytes, size) : -EAGAIN;
	/* Nobody but us: there is no room. Others wait: there is none either. */
	if (r == -EAGAIN && nonblock && enter != 0)
		pfs_pipe_refuse(pipe, req);
	else if (r == -EAGAIN)
		hold(pipe, req, bytes, size, nonblock, enter == 1);
	else
		stored = (unsigned)r;
	stored += enter == 1 ? pfs_lane_leave(pipe, lane) : pfs_lane_run(pipe, lane);
	if (stored)
		pfs_writer_run(pipe->writer);
}

void pfs_pipe_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags)
{
	struct pfs_pipe *pipe = pfs_pipe_of(file);

	if (!pipe->writer) {
		fuse_reply_err(req, EBADF);
		return;
	}
	/* Once it is answered the file may be closed. */
	pfs_pipe_ref(pipe);
	write_request(pipe, req, bytes, size, flags & O_NONBLOCK);
	pfs_pipe_poll_again(pipe);
	pfs_pipe_unref(pipe);
}
