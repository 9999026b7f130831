/*
 * channel - READ and WRITE of what may have to wait
 *
 * What is there goes out at once; what is not is waited for: the request is held and no thread with it. While there
 * is no room a WRITE waits with its bytes (a copy of few, the buffer they came in of many), within what one user
 * may have waiting.
 */
#include "mount/channel_i.h"

#include <fcntl.h>

#define COPY_BELOW (PFS_REQUEST_MAX / 4) /* a buffer is as large as the largest request */

/* What the kernel understands in the answer to OPEN; libfuse has no name for STREAM. */
#define OPEN_DIRECT_IO (1U << 0)
#define OPEN_STREAM (1U << 4)
#define OPEN_NOFLUSH (1U << 5)
struct open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

/* --- lifetime ---------------------------------------------------------------------------- */

static int read_serve(struct pfs_channel *channel, struct pfs_waiting *waiting)
{
	int r = channel->ops->read(channel, waiting->held.req, &waiting->asked);

	if (r >= 0)
		pfs_waiting_free(waiting);
	return r;
}

static int write_serve(struct pfs_channel *channel, struct pfs_waiting *waiting)
{
	int r = channel->ops->write(channel, waiting->held.req, waiting->bytes, waiting->asked.size,
				    &waiting->done);

	if (r >= 0)
		pfs_waiting_free(waiting);
	return r;
}

static void read_woken(struct pfs_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	channel->read.parked.on = false;
	pthread_mutex_unlock(&channel->lock);
	if (pfs_lane_run(channel, &channel->read))
		pfs_channel_poll_again(channel);
}

static void wrote(struct pfs_channel *channel)
{
	if (channel->ops->wrote)
		channel->ops->wrote(channel);
}

static void write_woken(struct pfs_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	channel->write.parked.on = false;
	pthread_mutex_unlock(&channel->lock);
	if (pfs_lane_run(channel, &channel->write)) {
		wrote(channel);
		pfs_channel_poll_again(channel);
	}
}

void pfs_channel_init(struct pfs_channel *channel, struct pfs_mount *mount, struct pfs_entry *entry,
		      const struct pfs_kind *kind, const struct pfs_channel_ops *ops)
{
	channel->file.kind = kind;
	channel->file.mount = mount;
	channel->ops = ops;
	channel->entry = entry;
	channel->refs = 1;
	pthread_mutex_init(&channel->lock, NULL);
	channel->read.serve = read_serve;
	channel->read.park = ops->park_read;
	pfs_parked_init(&channel->read.parked, channel, read_woken);
	channel->write.serve = write_serve;
	channel->write.park = ops->park_write;
	pfs_parked_init(&channel->write.parked, channel, write_woken);
	pfs_channel_poll_init(channel);
	pfs_inode_pin(mount, entry);
}

void pfs_channel_release(struct pfs_channel *channel)
{
	if (channel->poll)
		fuse_pollhandle_destroy(channel->poll);
	pfs_inode_forget(channel->file.mount, channel->entry->id, 1);
	pthread_mutex_destroy(&channel->lock);
}

void pfs_channel_unref(struct pfs_channel *channel)
{
	if (atomic_fetch_sub(&channel->refs, 1) == 1)
		channel->ops->last(channel);
}

void pfs_channel_close(struct pfs_channel *channel)
{
	const struct pfs_channel_ops *ops = channel->ops;

	pfs_file_del(&channel->file);
	channel->closing = true;
	if (channel->reads) {
		pfs_parked_cancel(&channel->read.parked,
				  ops->unpark_read(channel, &channel->read.parked.waiter));
		pfs_parked_cancel(&channel->poll_in,
				  ops->unpark_read(channel, &channel->poll_in.waiter));
	}
	if (channel->writes) {
		pfs_parked_cancel(&channel->write.parked,
				  ops->unpark_write(channel, &channel->write.parked.waiter));
		pfs_parked_cancel(&channel->poll_out,
				  ops->unpark_write(channel, &channel->poll_out.waiter));
	}
	if (channel->reads && channel->writes)
		channel->entry->duplex--;
}

int pfs_channel_reply_open(struct pfs_channel *channel, fuse_req_t req, bool flush)
{
	struct open_out out = {
		.fh = (uintptr_t)&channel->file,
		.open_flags = OPEN_DIRECT_IO | (flush ? 0 : OPEN_NOFLUSH),
	};

	if (channel->reads && channel->writes) {
		out.open_flags |= OPEN_STREAM;
		channel->entry->duplex++;
	}
	pfs_file_add(&channel->file, channel->file.kind, channel->file.mount);
	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* --- read --------------------------------------------------------------------------------------- */

/* Holds it. front: we serve. */
static void hold_read(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked,
		      bool front)
{
	struct pfs_waiting *waiting = pfs_waiting_new(channel, &channel->read, req, 0);

	if (!waiting) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting->asked = *asked;
	pfs_lane_wait(channel, &channel->read, waiting, front);
}

static void read_request(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked)
{
	int enter = pfs_lane_enter(channel, &channel->read);

	if (enter == -EAGAIN && asked->nonblock) {
		pfs_channel_refuse(channel, req);
	} else if (enter != 1) {
		hold_read(channel, req, asked, false);
		pfs_lane_run(channel, &channel->read);
	} else {
		if (channel->ops->read(channel, req, asked) < 0) {
			if (asked->nonblock)
				pfs_channel_refuse(channel, req);
			else
				hold_read(channel, req, asked, true);
		}
		pfs_lane_leave(channel, &channel->read);
	}
}

void pfs_channel_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	struct pfs_channel *channel = pfs_channel_of(file);
	const struct pfs_asked asked = {
		.size = size,
		.record = flags & O_DIRECT,
		.nonblock = flags & O_NONBLOCK,
		.unique = pfs_request_unique(),
	};

	if (!channel->reads) {
		fuse_reply_err(req, EBADF);
		return;
	}
	/* Once it is answered the file may be closed. */
	pfs_channel_ref(channel);
	read_request(channel, req, &asked);
	pfs_channel_poll_again(channel);
	pfs_channel_unref(channel);
}

/* --- write ---------------------------------------------------------------------------------------- */

/* A WRITE: what is to be taken, and how. */
struct writing {
	const char *bytes;
	size_t size, done;
	bool nonblock;
};

static void hold_write(struct pfs_channel *channel, fuse_req_t req, const struct writing *w, bool front)
{
	struct pfs_mount *mount = channel->file.mount;
	uid_t uid = fuse_req_ctx(req)->uid;
	bool copy = w->size < COPY_BELOW;
	size_t charge = copy ? w->size : PFS_REQUEST_MAX;
	struct pfs_waiting *waiting;

	if (!pfs_held_charge(mount, uid, charge)) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting = pfs_waiting_new(channel, &channel->write, req, copy ? w->size : 0);
	if (waiting)
		waiting->kept = copy ? NULL : pfs_request_keep();
	if (!waiting || (!copy && !waiting->kept)) {
		pfs_held_uncharge(mount, uid, charge);
		if (waiting)
			pfs_waiting_free(waiting);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	waiting->asked.size = w->size;
	waiting->done = w->done;
	waiting->charged = charge;
	waiting->asked.nonblock = w->nonblock;
	waiting->bytes = copy ? memcpy(waiting->copy, w->bytes, w->size) : w->bytes;
	pfs_lane_wait(channel, &channel->write, waiting, front);
}

static void write_request(struct pfs_channel *channel, fuse_req_t req, struct writing *w)
{
	struct pfs_lane *lane = &channel->write;
	int enter = pfs_lane_enter(channel, lane);
	unsigned stored = 0;
	int r;

	r = enter == 1 ? channel->ops->write(channel, req, w->bytes, w->size, &w->done) : -EAGAIN;
	/* Nobody but us: there is no room. Others wait: there is none either. */
	if (r == -EAGAIN && w->nonblock && w->done)
		fuse_reply_write(req, w->done);
	else if (r == -EAGAIN && w->nonblock && enter != 0)
		pfs_channel_refuse(channel, req);
	else if (r == -EAGAIN)
		hold_write(channel, req, w, enter == 1);
	else
		stored = (unsigned)r;
	stored += enter == 1 ? pfs_lane_leave(channel, lane) : pfs_lane_run(channel, lane);
	if (stored)
		wrote(channel);
}

void pfs_channel_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags)
{
	struct pfs_channel *channel = pfs_channel_of(file);
	struct writing w = { .bytes = bytes, .size = size, .nonblock = flags & O_NONBLOCK };

	if (!channel->writes) {
		fuse_reply_err(req, EBADF);
		return;
	}
	/* Once it is answered the file may be closed. */
	pfs_channel_ref(channel);
	write_request(channel, req, &w);
	pfs_channel_poll_again(channel);
	pfs_channel_unref(channel);
}
