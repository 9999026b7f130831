/*
 * pipe_io - what is read from and written to a pipe file
 *
 * READ: what is there goes out at once, from ring memory, in one writev(2). The kernel cuts a large
 * read(2) into requests of its maximum and asks for the next part as long as each comes back full. The
 * reader would then wait in the middle of data it has. So a request of the maximum is only filled to
 * the end when more is there.
 *
 * WRITE: the bytes are copied once, into the ring; then the writer is answered, and only then the tree
 * below runs on this thread, so that the writer makes the next bytes meanwhile.
 */
#include "mount/pipe_i.h"

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

uint8_t *pfs_buffer_get(void)
{
	uint8_t *buf = NULL;

	pthread_mutex_lock(&gather.lock);
	if (gather.n)
		buf = gather.kept[--gather.n];
	pthread_mutex_unlock(&gather.lock);
	return buf ? buf : malloc(PFS_REQUEST_MAX);
}

void pfs_buffer_put(uint8_t *buf)
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

int pfs_pipe_get(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked)
{
	struct pfs_pipe *pipe = pfs_pipe_of(channel);
	/*
	 * A buffer that does not begin at a page leaves the kernel's largest request a page short.
	 */
	bool largest = asked->size > channel->file.mount->read_max - 4096;
	size_t size = pfs_min(asked->size, PFS_REQUEST_MAX);
	struct iovec iov[PFS_IOV_MAX];
	uint8_t *buf = pfs_buffer_get();
	unsigned niov = 0;
	ssize_t n;
	int r;

	if (!buf || pipe->lent.reads) {
		pfs_buffer_put(buf);
		fuse_reply_err(req, pipe->lent.reads ? EBUSY : ENOMEM);
		return 0;
	}
	n = pfs_reader_get(pipe->reader, size, asked->record, largest, buf, iov, &niov);
	if (n > 0) {
		r = fuse_reply_iov(req, iov, (int)niov);
		pfs_buffer_put(buf);
		pfs_reader_done(pipe->reader, r == 0);
		return 0;
	}
	pfs_buffer_put(buf);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == 0)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_err(req, (int)-n);
	return 0;
}

int pfs_pipe_put(struct pfs_channel *channel, fuse_req_t req, const char *bytes, size_t size,
		 size_t *done)
{
	struct pfs_pipe *pipe = pfs_pipe_of(channel);
	ssize_t n = pipe->lent.writes ? -EBUSY : pfs_writer_store(pipe->writer, bytes, size);

	/* All or nothing. */
	(void)done;
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return 0;
	}
	fuse_reply_write(req, (size_t)n);
	return 1;
}

void pfs_pipe_ran(struct pfs_channel *channel)
{
	pfs_writer_run(pfs_pipe_of(channel)->writer);
}

unsigned pfs_pipe_ready(struct pfs_channel *channel)
{
	struct pfs_pipe *pipe = pfs_pipe_of(channel);
	unsigned events = 0;

	if (pipe->reader && (pipe->lent.reads || pfs_reader_ready(pipe->reader)))
		events |= POLLIN | POLLRDNORM;
	if (pipe->writer && pfs_writer_ready(pipe->writer, PFS_POLL_ROOM))
		events |= POLLOUT | POLLWRNORM;
	return events;
}

bool pfs_pipe_park_read(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size)
{
	(void)size;
	return pfs_reader_park(pfs_pipe_of(channel)->reader, waiter);
}

bool pfs_pipe_park_write(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size)
{
	return pfs_writer_park(pfs_pipe_of(channel)->writer, waiter, size);
}

bool pfs_pipe_unpark_read(struct pfs_channel *channel, struct pfs_waiter *waiter)
{
	return pfs_reader_unpark(pfs_pipe_of(channel)->reader, waiter);
}

bool pfs_pipe_unpark_write(struct pfs_channel *channel, struct pfs_waiter *waiter)
{
	return pfs_writer_unpark(pfs_pipe_of(channel)->writer, waiter);
}
