/*
 * pipe_read - READ
 *
 * What is there goes out at once, from ring memory, in one writev(2). What is not there is waited
 * for: the request is held and no thread with it.
 *
 * The kernel cuts a large read(2) into requests of its maximum and asks for the next part as long
 * as each comes back full. The reader would then wait in the middle of data it has. So a request of
 * the maximum is only filled to the end when more is there.
 */
#include "mount/pipe_i.h"

#include <fcntl.h>

/*
 * Buffers in which small records are gathered. As many as threads reply at the same time, touched
 * only as far as they are filled, the last one used is used first: their number does not grow with
 * the number of readers.
 */
#define GATHER_KEEP 4

static struct {
	pthread_mutex_t lock;
	uint8_t *kept[GATHER_KEEP]; /* lock */
	unsigned n;		    /* lock */
} gather = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint8_t *gather_get(void)
{
	uint8_t *buf = NULL;

	pthread_mutex_lock(&gather.lock);
	if (gather.n)
		buf = gather.kept[--gather.n];
	pthread_mutex_unlock(&gather.lock);
	return buf ? buf : malloc(PFS_REQUEST_MAX);
}

static void gather_put(uint8_t *buf)
{
	pthread_mutex_lock(&gather.lock);
	if (gather.n < GATHER_KEEP) {
		gather.kept[gather.n++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&gather.lock);
	free(buf);
}

void pfs_pipe_finish(void)
{
	while (gather.n)
		free(gather.kept[--gather.n]);
}

/* Answers with what is there: 0. -EAGAIN: nothing is there, nothing was answered. */
static int reply_now(struct pfs_pipe *pipe, fuse_req_t req, size_t size, bool record)
{
	/*
	 * A buffer that does not begin at a page leaves the kernel's largest request a page short.
	 */
	bool largest = size > pipe->file.mount->read_max - 4096;
	struct iovec iov[PFS_IOV_MAX];
	uint8_t *buf = gather_get();
	unsigned niov = 0;
	ssize_t n;
	int r;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return 0;
	}
	size = pfs_min(size, PFS_REQUEST_MAX);
	n = pfs_reader_get(pipe->reader, size, record, largest, buf, iov, &niov);
	if (n > 0) {
		r = fuse_reply_iov(req, iov, (int)niov);
		gather_put(buf);
		pfs_reader_done(pipe->reader, r == 0);
		return 0;
	}
	gather_put(buf);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == 0)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_err(req, (int)-n);
	return 0;
}

static int read_serve(struct pfs_pipe *pipe, struct pfs_waiting *waiting)
{
	int r = reply_now(pipe, waiting->held.req, waiting->size, waiting->record);

	if (r == 0)
		pfs_waiting_free(waiting);
	return r;
}

static bool read_park(struct pfs_pipe *pipe, struct pfs_waiter *waiter, size_t size)
{
	return pfs_reader_park(pipe->reader, waiter);
}

static void read_woken(struct pfs_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->read.parked.on = false;
	pthread_mutex_unlock(&pipe->lock);
	if (pfs_lane_run(pipe, &pipe->read))
		pfs_pipe_poll_again(pipe);
}

void pfs_pipe_read_init(struct pfs_pipe *pipe)
{
	pipe->read.serve = read_serve;
	pipe->read.park = read_park;
	pfs_parked_init(&pipe->read.parked, pipe, read_woken);
}

/* Holds a request like that. front: we serve. */
static void hold(struct pfs_pipe *pipe, fuse_req_t req, const struct pfs_waiting *like, bool front)
{
	struct pfs_waiting *waiting = pfs_waiting_new(pipe, &pipe->read, req, 0);

	if (!waiting) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting->size = like->size;
	waiting->record = like->record;
	waiting->nonblock = like->nonblock;
	pfs_lane_wait(pipe, &pipe->read, waiting, front);
}

static void read_request(struct pfs_pipe *pipe, fuse_req_t req, const struct pfs_waiting *like)
{
	int enter = pfs_lane_enter(pipe, &pipe->read);

	if (enter == -EAGAIN && like->nonblock) {
		pfs_pipe_refuse(pipe, req);
	} else if (enter != 1) {
		hold(pipe, req, like, false);
		pfs_lane_run(pipe, &pipe->read);
	} else {
		if (reply_now(pipe, req, like->size, like->record) < 0) {
			if (like->nonblock)
				pfs_pipe_refuse(pipe, req);
			else
				hold(pipe, req, like, true);
		}
		pfs_lane_leave(pipe, &pipe->read);
	}
}

void pfs_pipe_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	struct pfs_pipe *pipe = pfs_pipe_of(file);
	const struct pfs_waiting like = {
		.size = size,
		.record = flags & O_DIRECT,
		.nonblock = flags & O_NONBLOCK,
	};

	if (!pipe->reader) {
		fuse_reply_err(req, EBADF);
		return;
	}
	/* Once it is answered the file may be closed. */
	pfs_pipe_ref(pipe);
	read_request(pipe, req, &like);
	pfs_pipe_poll_again(pipe);
	pfs_pipe_unref(pipe);
}
