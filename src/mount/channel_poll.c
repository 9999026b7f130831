/*
 * channel_poll - poll, select, epoll
 *
 * The kernel asks and, when nothing is ready, gives a handle by which it wants to be told. One
 * notification answers one handle; then it asks again. Edge-triggered epoll asks no more once it
 * has been told, but reads until EAGAIN: so each READ and WRITE looks whether the next change must
 * be told.
 */
#include "mount/channel_i.h"

/* Parks unless it is parked. False: it is ready. */
static bool arm_one(struct pfs_channel *channel, struct pfs_parked *parked,
		    bool (*park)(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size))
{
	pthread_mutex_lock(&channel->lock);
	if (parked->on || channel->closing) {
		pthread_mutex_unlock(&channel->lock);
		return true;
	}
	parked->on = true;
	pfs_channel_ref(channel);
	pthread_mutex_unlock(&channel->lock);
	if (park(channel, &parked->waiter, PFS_POLL_ROOM))
		return true;
	pthread_mutex_lock(&channel->lock);
	parked->on = false;
	pthread_mutex_unlock(&channel->lock);
	pfs_channel_unref(channel);
	return false;
}

/* Both directions. False: one of them is ready. */
static bool arm(struct pfs_channel *channel)
{
	bool ok = true;

	if (channel->reads)
		ok = arm_one(channel, &channel->poll_in, channel->ops->park_read) && ok;
	if (channel->writes)
		ok = arm_one(channel, &channel->poll_out, channel->ops->park_write) && ok;
	return ok;
}

static void tell(struct pfs_channel *channel)
{
	struct fuse_pollhandle *handle = NULL;

	pthread_mutex_lock(&channel->lock);
	if (channel->poll_armed && !channel->closing)
		handle = TAKE_PTR(channel->poll);
	channel->poll_armed = false;
	pthread_mutex_unlock(&channel->lock);
	if (handle) {
		fuse_lowlevel_notify_poll(handle);
		fuse_pollhandle_destroy(handle);
	}
}

static void in_woken(struct pfs_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	channel->poll_in.on = false;
	pthread_mutex_unlock(&channel->lock);
	tell(channel);
}

static void out_woken(struct pfs_channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	channel->poll_out.on = false;
	pthread_mutex_unlock(&channel->lock);
	tell(channel);
}

void pfs_channel_poll_init(struct pfs_channel *channel)
{
	pfs_parked_init(&channel->poll_in, channel, in_woken);
	pfs_parked_init(&channel->poll_out, channel, out_woken);
}

void pfs_channel_refuse(struct pfs_channel *channel, fuse_req_t req)
{
	channel->refused = true;
	fuse_reply_err(req, EAGAIN);
}

void pfs_channel_poll_again(struct pfs_channel *channel)
{
	bool refused = atomic_exchange(&channel->refused, false);
	bool armed;

	if (!channel->polled)
		return;
	pthread_mutex_lock(&channel->lock);
	armed = channel->poll_armed;
	pthread_mutex_unlock(&channel->lock);
	if (armed && !arm(channel) && refused)
		tell(channel);
}

void pfs_channel_poll(struct pfs_file *file, fuse_req_t req, unsigned events,
		      struct fuse_pollhandle *handle)
{
	struct pfs_channel *channel = pfs_channel_of(file);
	struct fuse_pollhandle *old = NULL;

	pfs_channel_ref(channel);
	if (handle) {
		channel->polled = true;
		pthread_mutex_lock(&channel->lock);
		old = channel->poll;
		channel->poll = handle;
		channel->poll_armed = true;
		pthread_mutex_unlock(&channel->lock);
		/* Armed first, then looked: what comes between is told. */
		if (!(channel->ops->ready(channel) & events))
			arm(channel);
	}
	if (old)
		fuse_pollhandle_destroy(old);
	fuse_reply_poll(req, channel->ops->ready(channel));
	pfs_channel_unref(channel);
}
