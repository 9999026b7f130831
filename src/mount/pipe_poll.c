/*
 * pipe_poll - poll, select, epoll
 *
 * The kernel asks and, when nothing is ready, gives a handle by which it wants to be told. One
 * notification answers one handle; then it asks again. Edge-triggered epoll asks no more once it
 * has been told, but reads until EAGAIN: so each READ and WRITE looks whether the next change must
 * be told.
 */
#include "mount/pipe_i.h"

static unsigned ready(struct pfs_pipe *pipe)
{
	unsigned events = 0;

	if (pipe->reader && pfs_reader_ready(pipe->reader))
		events |= POLLIN | POLLRDNORM;
	if (pipe->writer && pfs_writer_ready(pipe->writer, PFS_POLL_ROOM))
		events |= POLLOUT | POLLWRNORM;
	return events;
}

static bool park_in(struct pfs_pipe *pipe)
{
	return pfs_reader_park(pipe->reader, &pipe->poll_in.waiter);
}

static bool park_out(struct pfs_pipe *pipe)
{
	return pfs_writer_park(pipe->writer, &pipe->poll_out.waiter, PFS_POLL_ROOM);
}

/* Parks unless it is parked. False: it is ready. */
static bool arm_one(struct pfs_pipe *pipe, struct pfs_parked *parked,
		    bool (*park)(struct pfs_pipe *pipe))
{
	pthread_mutex_lock(&pipe->lock);
	if (parked->on || pipe->closing) {
		pthread_mutex_unlock(&pipe->lock);
		return true;
	}
	parked->on = true;
	pfs_pipe_ref(pipe);
	pthread_mutex_unlock(&pipe->lock);
	if (park(pipe))
		return true;
	pthread_mutex_lock(&pipe->lock);
	parked->on = false;
	pthread_mutex_unlock(&pipe->lock);
	pfs_pipe_unref(pipe);
	return false;
}

/* Both directions. False: one of them is ready. */
static bool arm(struct pfs_pipe *pipe)
{
	bool ok = true;

	if (pipe->reader)
		ok = arm_one(pipe, &pipe->poll_in, park_in) && ok;
	if (pipe->writer)
		ok = arm_one(pipe, &pipe->poll_out, park_out) && ok;
	return ok;
}

static void tell(struct pfs_pipe *pipe)
{
	struct fuse_pollhandle *handle = NULL;

	pthread_mutex_lock(&pipe->lock);
	if (pipe->poll_armed && !pipe->closing)
		handle = TAKE_PTR(pipe->poll);
	pipe->poll_armed = false;
	pthread_mutex_unlock(&pipe->lock);
	if (handle) {
		fuse_lowlevel_notify_poll(handle);
		fuse_pollhandle_destroy(handle);
	}
}

static void in_woken(struct pfs_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->poll_in.on = false;
	pthread_mutex_unlock(&pipe->lock);
	tell(pipe);
}

static void out_woken(struct pfs_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->poll_out.on = false;
	pthread_mutex_unlock(&pipe->lock);
	tell(pipe);
}

void pfs_pipe_poll_init(struct pfs_pipe *pipe)
{
	pfs_parked_init(&pipe->poll_in, pipe, in_woken);
	pfs_parked_init(&pipe->poll_out, pipe, out_woken);
}

void pfs_pipe_refuse(struct pfs_pipe *pipe, fuse_req_t req)
{
	pipe->refused = true;
	fuse_reply_err(req, EAGAIN);
}

void pfs_pipe_poll_again(struct pfs_pipe *pipe)
{
	bool refused = atomic_exchange(&pipe->refused, false);
	bool armed;

	if (!pipe->polled)
		return;
	pthread_mutex_lock(&pipe->lock);
	armed = pipe->poll_armed;
	pthread_mutex_unlock(&pipe->lock);
	if (armed && !arm(pipe) && refused)
		tell(pipe);
}

void pfs_pipe_poll(struct pfs_file *file, fuse_req_t req, unsigned events,
		   struct fuse_pollhandle *handle)
{
	struct pfs_pipe *pipe = pfs_pipe_of(file);
	struct fuse_pollhandle *old = NULL;

	pfs_pipe_ref(pipe);
	if (handle) {
		pipe->polled = true;
		pthread_mutex_lock(&pipe->lock);
		old = pipe->poll;
		pipe->poll = handle;
		pipe->poll_armed = true;
		pthread_mutex_unlock(&pipe->lock);
		/* Armed first, then looked: what comes between is told. */
		if (!(ready(pipe) & events))
			arm(pipe);
	}
	if (old)
		fuse_pollhandle_destroy(old);
	fuse_reply_poll(req, ready(pipe));
	pfs_pipe_unref(pipe);
}
