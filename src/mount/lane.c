/*
 * lane - who waits for a channel, in which order, and what a wake-up does
 */
#include "mount/channel_i.h"

/* --- wake-ups -------------------------------------------------------------------------- */

/* Wake-ups that came while one was being handled on this thread. */
static _Thread_local struct {
	bool busy;
	struct pfs_parked *first, **last;
} woken;

static void handle(struct pfs_parked *parked)
{
	struct pfs_channel *channel = parked->channel;

	parked->woken(channel);
	pfs_channel_unref(channel);
}

static void wake(struct pfs_waiter *waiter)
{
	struct pfs_parked *parked = CONTAINER_OF(waiter, struct pfs_parked, waiter);

	if (woken.busy) {
		parked->next = NULL;
		*woken.last = parked;
		woken.last = &parked->next;
		return;
	}
	woken.busy = true;
	woken.last = &woken.first;
	handle(parked);
	while (woken.first) {
		parked = woken.first;
		woken.first = parked->next;
		if (!woken.first)
			woken.last = &woken.first;
		handle(parked);
	}
	woken.busy = false;
}

void pfs_parked_init(struct pfs_parked *parked, struct pfs_channel *channel,
		     void (*on_wake)(struct pfs_channel *channel))
{
	parked->waiter.wake = wake;
	parked->channel = channel;
	parked->woken = on_wake;
}

void pfs_parked_cancel(struct pfs_parked *parked, bool unparked)
{
	struct pfs_channel *channel = parked->channel;

	/* Not unparked: it was not parked, or its wake-up is on the way and drops the reference. */
	if (!unparked)
		return;
	pthread_mutex_lock(&channel->lock);
	parked->on = false;
	pthread_mutex_unlock(&channel->lock);
	pfs_channel_unref(channel);
}

/* --- held requests ------------------------------------------------------------------------ */

static void unlink_held(struct pfs_lane *lane, struct pfs_held *held)
{
	if (held->before)
		held->before->after = held->after;
	else
		lane->first = held->after;
	if (held->after)
		held->after->before = held->before;
	else
		lane->last = held->before;
}

static void link_held(struct pfs_lane *lane, struct pfs_held *held, bool front)
{
	held->before = front ? NULL : lane->last;
	held->after = front ? lane->first : NULL;
	if (held->before)
		held->before->after = held;
	else
		lane->first = held;
	if (held->after)
		held->after->before = held;
	else
		lane->last = held;
}

/* As of a socket: what was taken is told. */
static void reply_interrupted(const struct pfs_waiting *waiting)
{
	if (waiting->done)
		fuse_reply_write(waiting->held.req, waiting->done);
	else
		fuse_reply_err(waiting->held.req, EINTR);
}

static void interrupted(struct pfs_held *held)
{
	struct pfs_waiting *waiting = CONTAINER_OF(held, struct pfs_waiting, held);
	struct pfs_channel *channel = waiting->channel;

	pthread_mutex_lock(&channel->lock);
	unlink_held(waiting->lane, held);
	pthread_mutex_unlock(&channel->lock);
	reply_interrupted(waiting);
	pfs_waiting_free(waiting);
}

struct pfs_waiting *pfs_waiting_new(struct pfs_channel *channel, struct pfs_lane *lane,
				    fuse_req_t req, size_t n)
{
	struct pfs_waiting *waiting = malloc(sizeof(*waiting) + n);

	if (!waiting)
		return NULL;
	*waiting = (struct pfs_waiting){
		.held = { .req = req, .interrupted = interrupted },
		.channel = channel,
		.lane = lane,
		.asked.size = n,
		.uid = fuse_req_ctx(req)->uid,
	};
	pfs_channel_ref(channel);
	return waiting;
}

void pfs_waiting_free(struct pfs_waiting *waiting)
{
	if (waiting->charged)
		pfs_held_uncharge(waiting->channel->file.mount, waiting->uid, waiting->charged);
	pfs_channel_unref(waiting->channel);
	pfs_request_free(waiting->kept);
	free(waiting);
}

/* Lock held. False: it was interrupted while it was not in the table. */
static bool put(struct pfs_channel *channel, struct pfs_lane *lane, struct pfs_waiting *waiting,
		bool front)
{
	link_held(lane, &waiting->held, front);
	if (pfs_held_put(channel->file.mount, &waiting->held))
		return true;
	unlink_held(lane, &waiting->held);
	return false;
}

/*
 * Lock held. The first one that can be taken; the others are being interrupted and unlink
 * themselves.
 */
static struct pfs_waiting *take(struct pfs_channel *channel, struct pfs_lane *lane)
{
	for (struct pfs_held *held = lane->first; held; held = held->after)
		if (pfs_held_take(channel->file.mount, held)) {
			unlink_held(lane, held);
			return CONTAINER_OF(held, struct pfs_waiting, held);
		}
	return NULL;
}

/* --- serving --------------------------------------------------------------------------------- */

int pfs_lane_enter(struct pfs_channel *channel, struct pfs_lane *lane)
{
	int r = 0;

	pthread_mutex_lock(&channel->lock);
	if (lane->first)
		r = -EAGAIN;
	else if (!lane->serving)
		r = 1;
	if (r == 1) {
		lane->serving = true;
		lane->again = false;
	}
	pthread_mutex_unlock(&channel->lock);
	return r;
}

void pfs_lane_wait(struct pfs_channel *channel, struct pfs_lane *lane, struct pfs_waiting *waiting,
		   bool front)
{
	bool waits;

	pfs_held_prepare(channel->file.mount, waiting->held.req);
	pthread_mutex_lock(&channel->lock);
	waits = put(channel, lane, waiting, front);
	pthread_mutex_unlock(&channel->lock);
	if (!waits) {
		reply_interrupted(waiting);
		pfs_waiting_free(waiting);
	}
}

/*
 * Lock held, the caller serves; the first one found nothing. Parks unless that was done, or
 * something has come. True: look again.
 */
static bool park(struct pfs_channel *channel, struct pfs_lane *lane, size_t size)
{
	bool parked;

	if (lane->again)
		return true;
	if (lane->parked.on)
		return false;
	lane->parked.on = true;
	pfs_channel_ref(channel);
	pthread_mutex_unlock(&channel->lock);
	parked = lane->park(channel, &lane->parked.waiter, size);
	pthread_mutex_lock(&channel->lock);
	if (parked)
		return lane->again; /* it may have been woken before we came back */
	lane->parked.on = false;
	pfs_channel_unref(channel); /* the caller has one */
	return true;
}

/* EAGAIN, unless something was taken. */
static void refuse(struct pfs_channel *channel, const struct pfs_waiting *waiting)
{
	if (waiting->done)
		fuse_reply_write(waiting->held.req, waiting->done);
	else
		pfs_channel_refuse(channel, waiting->held.req);
}

/* Lock held, the caller serves. Who would not wait had only to wait for us. */
static void refuse_all(struct pfs_channel *channel, struct pfs_lane *lane)
{
	struct pfs_held *held = lane->first;

	while (held) {
		struct pfs_waiting *waiting = CONTAINER_OF(held, struct pfs_waiting, held);

		if (!waiting->asked.nonblock || !pfs_held_take(channel->file.mount, held)) {
			held = held->after;
			continue;
		}
		unlink_held(lane, held);
		pthread_mutex_unlock(&channel->lock);
		refuse(channel, waiting);
		pfs_waiting_free(waiting);
		pthread_mutex_lock(&channel->lock);
		held = lane->first;
	}
}

/* Lock held, the caller serves; this one found nothing. True: look again. */
static bool put_back(struct pfs_channel *channel, struct pfs_lane *lane, struct pfs_waiting *waiting)
{
	size_t size = waiting->asked.size;

	if (!waiting->asked.nonblock && put(channel, lane, waiting, true)) {
		refuse_all(channel, lane);
		return park(channel, lane, size);
	}
	pthread_mutex_unlock(&channel->lock);
	if (waiting->asked.nonblock)
		refuse(channel, waiting);
	else
		reply_interrupted(waiting);
	pfs_waiting_free(waiting);
	pthread_mutex_lock(&channel->lock);
	return true;
}

/* Lock held, the caller serves. */
static unsigned serve(struct pfs_channel *channel, struct pfs_lane *lane)
{
	struct pfs_waiting *waiting;
	unsigned served = 0;
	int r;

	for (;;) {
		lane->again = false;
		waiting = take(channel, lane);
		if (!waiting)
			break;
		pthread_mutex_unlock(&channel->lock);
		r = lane->serve(channel, waiting);
		pthread_mutex_lock(&channel->lock);
		if (r != -EAGAIN)
			served++;
		else if (!put_back(channel, lane, waiting))
			break;
	}
	lane->serving = false;
	return served;
}

unsigned pfs_lane_leave(struct pfs_channel *channel, struct pfs_lane *lane)
{
	unsigned served;

	pthread_mutex_lock(&channel->lock);
	served = serve(channel, lane);
	pthread_mutex_unlock(&channel->lock);
	return served;
}

unsigned pfs_lane_run(struct pfs_channel *channel, struct pfs_lane *lane)
{
	unsigned served = 0;

	pthread_mutex_lock(&channel->lock);
	if (lane->serving) {
		lane->again = true;
	} else {
		lane->serving = true;
		served = serve(channel, lane);
	}
	pthread_mutex_unlock(&channel->lock);
	return served;
}
