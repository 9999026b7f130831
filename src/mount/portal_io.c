/*
 * portal_io - the relay: READ, WRITE and poll of a portal's descriptor
 *
 * Sockets and pipes do not block: what is there is read and answered on the thread that asks, what is not is waited
 * for by the gate's thread for all. Files may wait for their disk or server, so a pool reads and writes them, at
 * the offset that the caller has.
 *
 * Of a stream that flows, large answers go through a tube (portal_tube.c), so that their bytes are copied once.
 *
 * Nothing is read ahead and nothing kept: what the caller has not taken stays in the socket, whose window or buffer
 * then stops the other side.
 */
#include "mount/portal_i.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define FLOWING ((ssize_t)16384) /* bytes of a read that is one of many */
#define WIDE ((ssize_t)65536)	 /* ... and that is worth a tube */

/* --- descriptors ------------------------------------------------------------------------- */

static bool is_socket(const struct pfs_portal *portal)
{
	return portal->type == PFS_PORTAL_STREAM || portal->type == PFS_PORTAL_PACKETS;
}

static ssize_t fd_read(const struct pfs_portal *portal, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = is_socket(portal) ? recv(portal->fd, buf, size, MSG_DONTWAIT)
				      : read(portal->fd, buf, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t fd_write(const struct pfs_portal *portal, const void *buf, size_t size)
{
	ssize_t n;

	do {
		n = is_socket(portal) ? send(portal->fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL)
				      : write(portal->fd, buf, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static bool fd_ready(const struct pfs_portal *portal, short events)
{
	struct pollfd fd = { .fd = portal->fd, .events = events };

	return poll(&fd, 1, 0) != 0;
}

static ssize_t take(const struct pfs_portal *portal, struct pfs_tube *tube, uint8_t *buf, size_t size)
{
	return tube ? pfs_tube_take(tube, portal->fd, size) : fd_read(portal, buf, size);
}

/*
 * Into a tube, or into buf. The kernel cuts a large read(2) into requests of its maximum and asks on as long as each
 * comes back full: the reader would wait in the middle of data that it has. So a request of the maximum is filled only
 * if more is there.
 */
static ssize_t read_request(const struct pfs_portal *portal, struct pfs_tube *tube, uint8_t *buf,
			    size_t size)
{
	bool largest = size > portal->channel.file.mount->read_max - 4096 &&
		       portal->type != PFS_PORTAL_PACKETS;
	ssize_t n = take(portal, tube, buf, size - largest), more;
	int left = 0;

	if (!largest || n != (ssize_t)size - 1 || ioctl(portal->fd, FIONREAD, &left) < 0 || left < 2)
		return n;
	more = take(portal, tube, tube ? NULL : buf + n, 1);
	return more > 0 ? n + more : n;
}

/* Something to read within a moment. */
static bool soon(const struct pfs_portal *portal)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	struct pollfd fd = { .fd = portal->fd, .events = POLLIN };

	return ppoll(&fd, 1, &moment, NULL) > 0;
}

/* --- read ------------------------------------------------------------------------------------- */

/* The end of a command's output: 0, or -EIO when it has failed, or -EAGAIN as long as it runs. */
static int command_end(struct pfs_portal *portal)
{
	if (!portal->ended) {
		portal->eof = true;
		return -EAGAIN;
	}
	return portal->status ? -EIO : 0;
}

/* What is there, and in the middle of a stream what comes within a moment: to park and be woken takes longer. */
static ssize_t read_soon(const struct pfs_portal *portal, struct pfs_tube *tube, uint8_t *buf,
			 size_t size)
{
	ssize_t n = read_request(portal, tube, buf, size);

	if (n == -EAGAIN && portal->before >= FLOWING && soon(portal))
		n = read_request(portal, tube, buf, size);
	return n;
}

/* Small pieces fill a tube before they are much: then every other answer goes through one. */
static bool is_wide(const struct pfs_portal *portal, size_t size)
{
	return portal->before >= WIDE && (ssize_t)size >= WIDE &&
	       (portal->type == PFS_PORTAL_STREAM || portal->command);
}

/* How many bytes were answered; -errno: nothing was. 0: nothing was, and it has to be read without a tube. */
static ssize_t tube_get(struct pfs_portal *portal, fuse_req_t req, const struct pfs_asked *asked,
			size_t size)
{
	struct pfs_tube *tube = is_wide(portal, size) ? pfs_tube_get() : NULL;
	ssize_t n = tube ? read_soon(portal, tube, NULL, size) : 0;

	if (n > 0)
		pfs_tube_answer(tube, portal->channel.file.mount, req, asked->unique);
	if (tube)
		pfs_tube_put(tube);
	/* Nothing need not be the end: splice(2) stops in front of an urgent byte. */
	return n;
}

/* The same for what is in the buffer, with the end. */
static ssize_t buffer_get(struct pfs_portal *portal, fuse_req_t req, size_t size)
{
	uint8_t *buf = pfs_buffer_get();
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = portal->eof ? 0 : read_soon(portal, NULL, buf, size);
	if (n == 0 && portal->command)
		n = command_end(portal);
	if (n >= 0)
		fuse_reply_buf(req, (const char *)buf, (size_t)n);
	pfs_buffer_put(buf);
	return n;
}

static int portal_get(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked)
{
	struct pfs_portal *portal = pfs_portal_of(channel);
	size_t size = pfs_min(asked->size, PFS_REQUEST_MAX);
	ssize_t n = portal->eof ? 0 : tube_get(portal, req, asked, size);

	if (n == 0)
		n = buffer_get(portal, req, size);
	portal->before = n;
	if (n < 0 && n != -EAGAIN)
		fuse_reply_err(req, (int)-n);
	return n == -EAGAIN ? -EAGAIN : 0;
}

/* --- write ------------------------------------------------------------------------------------- */

static int portal_put(struct pfs_channel *channel, fuse_req_t req, const char *bytes, size_t size,
		      size_t *done)
{
	struct pfs_portal *portal = pfs_portal_of(channel);

	do {
		ssize_t n = fd_write(portal, bytes + *done, size - *done);

		if (n == -EAGAIN)
			return -EAGAIN;
		if (n < 0 && !*done) {
			fuse_reply_err(req, (int)-n);
			return 0;
		}
		if (n <= 0)
			break; /* what was taken is told first */
		*done += (size_t)n;
	} while (*done < size);
	fuse_reply_write(req, *done);
	return 1;
}

/* --- waiting ------------------------------------------------------------------------------------- */

static unsigned waited_for(struct pfs_portal *portal)
{
	unsigned events = 0;

	/* A pipe whose other end is closed would say so for ever: its command's end is waited for. */
	if (atomic_load(&portal->in.count) && !portal->eof)
		events |= EPOLLIN;
	if (atomic_load(&portal->out.count))
		events |= EPOLLOUT;
	return events;
}

/* Asks for one event, if anybody waits. What has happened already is told, too. */
static void arm(struct pfs_portal *portal)
{
	struct epoll_event event = { .data.ptr = portal };

	pthread_mutex_lock(&portal->arm);
	event.events = waited_for(portal);
	if (event.events) {
		event.events |= EPOLLONESHOT;
		if (epoll_ctl(portal->gate->epoll_fd, portal->polled_fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
			      portal->fd, &event) == 0)
			portal->polled_fd = true;
	}
	pthread_mutex_unlock(&portal->arm);
}

void pfs_portal_event(struct pfs_portal *portal, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		pfs_wait_wake(&portal->in);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		pfs_wait_wake(&portal->out);
	arm(portal);
}

void pfs_portal_command_ended(struct pfs_portal *portal)
{
	pfs_wait_wake(&portal->in);
	arm(portal);
}

static bool park(struct pfs_portal *portal, struct pfs_waitlist *list, struct pfs_waiter *waiter,
		 bool there)
{
	if (there && pfs_wait_remove(list, waiter))
		return false;
	arm(portal);
	return true;
}

static bool read_is_ready(const struct pfs_portal *portal)
{
	return portal->eof ? portal->ended : fd_ready(portal, POLLIN);
}

static bool park_read(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size)
{
	struct pfs_portal *portal = pfs_portal_of(channel);

	(void)size;
	pfs_wait_add(&portal->in, waiter);
	return park(portal, &portal->in, waiter, read_is_ready(portal));
}

static bool park_write(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size)
{
	struct pfs_portal *portal = pfs_portal_of(channel);

	(void)size;
	pfs_wait_add(&portal->out, waiter);
	return park(portal, &portal->out, waiter, fd_ready(portal, POLLOUT));
}

static bool unpark_read(struct pfs_channel *channel, struct pfs_waiter *waiter)
{
	return pfs_wait_remove(&pfs_portal_of(channel)->in, waiter);
}

static bool unpark_write(struct pfs_channel *channel, struct pfs_waiter *waiter)
{
	return pfs_wait_remove(&pfs_portal_of(channel)->out, waiter);
}

static unsigned ready(struct pfs_channel *channel)
{
	struct pfs_portal *portal = pfs_portal_of(channel);
	struct pollfd fd = { .fd = portal->fd, .events = POLLIN | POLLOUT };
	unsigned events = 0;

	if (portal->type == PFS_PORTAL_SEEKABLE)
		return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
	poll(&fd, 1, 0);
	/* As for a socket and a pipe: the end can be read, an error can be written into. */
	if (channel->reads &&
	    (portal->eof ? portal->ended : (fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0))
		events |= POLLIN | POLLRDNORM;
	if (channel->writes && fd.revents & (POLLOUT | POLLERR))
		events |= POLLOUT | POLLWRNORM;
	return events | (unsigned)(fd.revents & (POLLHUP | POLLERR));
}

static void last(struct pfs_channel *channel)
{
	pfs_gate_bury(pfs_portal_of(channel));
}

const struct pfs_channel_ops pfs_portal_ops = {
	.read = portal_get,
	.write = portal_put,
	.ready = ready,
	.park_read = park_read,
	.park_write = park_write,
	.unpark_read = unpark_read,
	.unpark_write = unpark_write,
	.last = last,
};

int pfs_portal_ioctl(struct pfs_file *file, unsigned command, int value)
{
	struct pfs_portal *portal = pfs_portal_of(pfs_channel_of(file));

	if (command != PFS_PORTAL_SHUTDOWN)
		return -ENOTTY;
	if (!is_socket(portal))
		return -ENOTSOCK;
	return shutdown(portal->fd, value) < 0 ? -errno : 0;
}

/* --- files --------------------------------------------------------------------------------------- */

struct file_io {
	struct pfs_task task;
	struct pfs_portal *portal; /* a reference */
	bool write;
	size_t size;
	off_t off;
	uint8_t *buf; /* owned */
	ssize_t n;
};

static int file_act(struct pfs_task *task)
{
	struct file_io *io = CONTAINER_OF(task, struct file_io, task);

	if (!io->write)
		io->n = pread(io->portal->fd, io->buf, io->size, io->off);
	else if (io->portal->flags & O_APPEND)
		io->n = write(io->portal->fd, io->buf, io->size);
	else
		io->n = pwrite(io->portal->fd, io->buf, io->size, io->off);
	return io->n < 0 ? -errno : 0;
}

static void file_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct file_io *io = CONTAINER_OF(task, struct file_io, task);

	if (result < 0)
		fuse_reply_err(req, -result);
	else if (io->write)
		fuse_reply_write(req, (size_t)io->n);
	else
		fuse_reply_buf(req, (const char *)io->buf, (size_t)io->n);
}

static void file_undo(struct pfs_task *task)
{
	(void)task;
}

static void file_free(struct pfs_task *task)
{
	struct file_io *io = CONTAINER_OF(task, struct file_io, task);

	pfs_buffer_put(io->buf);
	pfs_channel_unref(&io->portal->channel);
	free(io);
}

static void file_request(struct pfs_portal *portal, fuse_req_t req, const char *bytes, size_t size,
			 off_t off)
{
	struct file_io *io = pfs_zalloc(1, sizeof(*io));
	uint8_t *buf = pfs_buffer_get();

	if (!io || !buf) {
		free(io);
		if (buf)
			pfs_buffer_put(buf);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	io->task.act = file_act;
	io->task.reply = file_reply;
	io->task.undo = file_undo;
	io->task.free = file_free;
	io->task.pool = &portal->gate->pool;
	io->portal = portal;
	io->size = pfs_min(size, PFS_REQUEST_MAX);
	io->off = off;
	io->buf = buf;
	io->write = bytes;
	if (bytes)
		memcpy(buf, bytes, io->size);
	pfs_channel_ref(&portal->channel);
	pfs_task_start(portal->channel.file.mount, &io->task, req);
}

void pfs_portal_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	struct pfs_portal *portal = pfs_portal_of(pfs_channel_of(file));

	if (portal->type != PFS_PORTAL_SEEKABLE)
		pfs_channel_read(file, req, size, off, flags);
	else if (!portal->channel.reads)
		fuse_reply_err(req, EBADF);
	else
		file_request(portal, req, NULL, size, off);
}

void pfs_portal_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size,
		      off_t off, int flags)
{
	struct pfs_portal *portal = pfs_portal_of(pfs_channel_of(file));

	if (portal->type != PFS_PORTAL_SEEKABLE)
		pfs_channel_write(file, req, bytes, size, flags);
	else if (!portal->channel.writes)
		fuse_reply_err(req, EBADF);
	else
		file_request(portal, req, bytes, size, off);
}
