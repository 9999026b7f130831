/*
 * lane - who waits for a pipe, in which order, and what a wake-up does
 */
#include "mount/pipe_i.h"

/* --- wake-ups -------------------------------------------------------------------------- */

/* Wake-ups that came while one was being handled on this thread. */
static _Thread_local struct {
	bool busy;
	struct pfs_parked *first, **last;
} woken;

static void handle(struct pfs_parked *parked)
{
	struct pfs_pipe *pipe = parked->pipe;

	parked->woken(pipe);
	pfs_pipe_unref(pipe);
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

void pfs_parked_init(struct pfs_parked *parked, struct pfs_pipe *pipe,
		     void (*on_wake)(struct pfs_pipe *pipe))
{
	parked->waiter.wake = wake;
	parked->pipe = pipe;
	parked->woken = on_wake;
}

void pfs_parked_cancel(struct pfs_parked *parked, bool unparked)
{
	struct pfs_pipe *pipe = parked->pipe;

	/* Not unparked: it was not parked, or its wake-up is on the way and drops the reference. */
	if (!unparked)
		return;
	pthread_mutex_lock(&pipe->lock);
	parked->on = false;
	pthread_mutex_unlock(&pipe->lock);
	pfs_pipe_unref(pipe);
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

static void interrupted(struct pfs_held *held)
{
	struct pfs_waiting *waiting = CONTAINER_OF(held, struct pfs_waiting, held);
	struct pfs_pipe *pipe = waiting->pipe;

	pthread_mutex_lock(&pipe->lock);
	unlink_held(waiting->lane, held);
	pthread_mutex_unlock(&pipe->lock);
	fuse_reply_err(held->req, EINTR);
	pfs_waiting_free(waiting);
}

struct pfs_waiting *pfs_waiting_new(struct pfs_pipe *pipe, struct pfs_lane *lane, fuse_req_t req,
				    size_t n)
{
	struct pfs_waiting *waiting = malloc(sizeof(*waiting) + n);

	if (!waiting)
		return NULL;
	*waiting = (struct pfs_waiting){
		.held = { .req = req, .interrupted = interrupted },
		.pipe = pipe,
		.lane = lane,
		.size = n,
		.uid = fuse_req_ctx(req)->uid,
	};
	pfs_pipe_ref(pipe);
	return waiting;
}

void pfs_waiting_free(struct pfs_waiting *waiting)
{
	if (waiting->charged)
		pfs_held_uncharge(waiting->pipe->file.mount, waiting->uid, waiting->charged);
	pfs_pipe_unref(waiting->pipe);
	pfs_request_free(waiting->kept);
	free(waiting);
}

/* Lock held. False: it was interrupted while it was not in the table. */
static bool put(struct pfs_pipe *pipe, struct pfs_lane *lane, struct pfs_waiting *waiting, bool front)
{
	link_held(lane, &waiting->held, front);
	if (pfs_held_put(pipe->file.mount, &waiting->held))
		return true;
	unlink_held(lane, &waiting->held);
	return false;
}

/*
 * Lock held. The first one that can be taken; the others are being interrupted and unlink
 * themselves.
 */
static struct pfs_waiting *take(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	for (struct pfs_held *held = lane->first; held; held = held->after)
		if (pfs_held_take(pipe->file.mount, held)) {
			unlink_held(lane, held);
			return CONTAINER_OF(held, struct pfs_waiting, held);
		}
	return NULL;
}

/* --- serving --------------------------------------------------------------------------------- */

int pfs_lane_enter(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	int r = 0;

	pthread_mutex_lock(&pipe->lock);
	if (lane->first)
		r = -EAGAIN;
	else if (!lane->serving)
		r = 1;
	if (r == 1) {
		lane->serving = true;
		lane->again = false;
	}
	pthread_mutex_unlock(&pipe->lock);
	return r;
}

void pfs_lane_wait(struct pfs_pipe *pipe, struct pfs_lane *lane, struct pfs_waiting *waiting, bool front)
{
	bool waits;

	pfs_held_prepare(pipe->file.mount, waiting->held.req);
	pthread_mutex_lock(&pipe->lock);
	waits = put(pipe, lane, waiting, front);
	pthread_mutex_unlock(&pipe->lock);
	if (!waits) {
		fuse_reply_err(waiting->held.req, EINTR);
		pfs_waiting_free(waiting);
	}
}

/*
 * Lock held, the caller serves; the first one found nothing. Parks unless that was done, or
 * something has come. True: look again.
 */
static bool park(struct pfs_pipe *pipe, struct pfs_lane *lane, size_t size)
{
	bool parked;

	if (lane->again)
		return true;
	if (lane->parked.on)
		return false;
	lane->parked.on = true;
	pfs_pipe_ref(pipe);
	pthread_mutex_unlock(&pipe->lock);
	parked = lane->park(pipe, &lane->parked.waiter, size);
	pthread_mutex_lock(&pipe->lock);
	if (parked)
		return lane->again; /* it may have been woken before we came back */
	lane->parked.on = false;
	pfs_pipe_unref(pipe); /* the caller has one */
	return true;
}

/* Lock held, the caller serves. Who would not wait had only to wait for us. */
static void refuse_all(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	struct pfs_held *held = lane->first;

	while (held) {
		struct pfs_waiting *waiting = CONTAINER_OF(held, struct pfs_waiting, held);

		if (!waiting->nonblock || !pfs_held_take(pipe->file.mount, held)) {
			held = held->after;
			continue;
		}
		unlink_held(lane, held);
		pthread_mutex_unlock(&pipe->lock);
		pfs_pipe_refuse(pipe, waiting->held.req);
		pfs_waiting_free(waiting);
		pthread_mutex_lock(&pipe->lock);
		held = lane->first;
	}
}

/* Lock held, the caller serves; this one found nothing. True: look again. */
static bool put_back(struct pfs_pipe *pipe, struct pfs_lane *lane, struct pfs_waiting *waiting)
{
	size_t size = waiting->size;

	if (!waiting->nonblock && put(pipe, lane, waiting, true)) {
		refuse_all(pipe, lane);
		return park(pipe, lane, size);
	}
	pthread_mutex_unlock(&pipe->lock);
	if (waiting->nonblock)
		pfs_pipe_refuse(pipe, waiting->held.req);
	else
		fuse_reply_err(waiting->held.req, EINTR);
	pfs_waiting_free(waiting);
	pthread_mutex_lock(&pipe->lock);
	return true;
}

/* Lock held, the caller serves. */
static unsigned serve(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	struct pfs_waiting *waiting;
	unsigned served = 0;
	int r;

	for (;;) {
		lane->again = false;
		waiting = take(pipe, lane);
		if (!waiting)
			break;
		pthread_mutex_unlock(&pipe->lock);
		r = lane->serve(pipe, waiting);
		pthread_mutex_lock(&pipe->lock);
		if (r != -EAGAIN)
			served++;
		else if (!put_back(pipe, lane, waiting))
			break;
	}
	lane->serving = false;
	return served;
}

unsigned pfs_lane_leave(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	unsigned served;

	pthread_mutex_lock(&pipe->lock);
	served = serve(pipe, lane);
	pthread_mutex_unlock(&pipe->lock);
	return served;
}

unsigned pfs_lane_run(struct pfs_pipe *pipe, struct pfs_lane *lane)
{
	unsigned served = 0;

	pthread_mutex_lock(&pipe->lock);
	if (lane->serving) {
		lane->again = true;
	} else {
		lane->serving = true;
		served = serve(pipe, lane);
	}
	pthread_mutex_unlock(&pipe->lock);
	return served;
}
