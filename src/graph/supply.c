#include "graph/supply.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "base/nudge.h"
#include "base/thread.h"
#include "graph/graph_i.h"
#include "ring/offer.h"

#define BATCH_RECORDS 256 /* before the tree below runs */
#define BATCH_BYTES ((size_t)1 << 20)

struct pfs_supply {
	struct pfs_writer *writer; /* borrowed */
	int nudge_fd;		   /* borrowed: there is room, for the process */
	int calls_fd;		   /* borrowed: the process has committed */
	int bell_fd; /* owned; an eventfd, of ours alone: there is room, or it is closed */
	void (*last)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	struct pfs_offer *offer; /* lock; owned */
	bool closing, ended;	 /* lock */
	struct pfs_waiter waiter;
	pthread_mutex_t bell;
	bool parked;		 /* bell: by the thread; not, once it is woken */
	struct pfs_graph *graph; /* borrowed */
	uid_t payer;
	uint64_t size; /* of its ring; charged */
};

/* --- taking ------------------------------------------------------------------------------------------ */

static void room_told(struct pfs_supply *supply, bool wakes)
{
	if (wakes)
		(void)pfs_nudge(supply->nudge_fd);
}

/*
 * Some of what is there. 0: that was all; 1: there may be more; -EAGAIN: no room for the next one, of *ret_len bytes;
 * or why nothing can be taken any more. Lock held.
 */
static int take_some(struct pfs_supply *supply, size_t *ret_len)
{
	size_t bytes = 0;

	for (unsigned n = 0; n < BATCH_RECORDS && bytes < BATCH_BYTES; n++) {
		const void *record;
		ssize_t stored;
		int r = pfs_offer_peek(supply->offer, &record, ret_len);

		if (r <= 0)
			return r;
		stored = pfs_writer_store_as(supply->writer, record, *ret_len,
					     pfs_offer_said(supply->offer));
		if (stored < 0)
			return (int)stored;
		bytes += *ret_len;
		room_told(supply, pfs_offer_take(supply->offer));
	}
	return 1;
}

static void complain(struct pfs_supply *supply)
{
	struct pfs_node *node = pfs_writer_node(supply->writer);
	const struct pfs_graph_options *options = &node->graph->options;
	const struct pfs_complaint complaint = {
		.node = node,
		.uid = pfs_writer_uid(supply->writer),
		.error = EPROTO,
		.text = "a producer's ring holds what is no record: it is taken from no more",
	};

	if (options->complain)
		options->complain(options->complain_arg, &complaint);
}

/* It is over: the process is told, and the stream ends. Lock held. */
static void end(struct pfs_supply *supply, int error)
{
	if (supply->ended)
		return;
	supply->ended = true;
	room_told(supply, pfs_offer_end(supply->offer, error));
	pfs_writer_end(supply->writer);
}

/* 0: nothing is there, and the bell will be rung; 1: go on; -EAGAIN: wait for room; -EPIPE: it is over. Lock held. */
static int step(struct pfs_supply *supply, size_t *ret_len)
{
	int r;

	if (supply->ended)
		return -EPIPE;
	r = take_some(supply, ret_len);
	if (r == 1 || r == -EAGAIN)
		return r;
	if (r == 0 && !supply->closing)
		return pfs_offer_rest(supply->offer) ? 0 : 1;
	if (r == -EPROTO)
		complain(supply);
	end(supply, r < 0 ? -r : EPIPE);
	return -EPIPE;
}

static void supply_free(struct pfs_supply *supply)
{
	pfs_offer_free(supply->offer);
	pfs_due_give(supply->graph, supply->payer, PFS_DUE_MEMORY, supply->size);
	pfs_closep(&supply->bell_fd);
	pthread_mutex_destroy(&supply->bell);
	pthread_mutex_destroy(&supply->lock);
	free(supply);
}

/* --- its thread -------------------------------------------------------------------------------------- */

static void supply_wake(struct pfs_waiter *waiter)
{
	struct pfs_supply *supply = CONTAINER_OF(waiter, struct pfs_supply, waiter);

	/* Together: who was rung for may park again at once, and who is not parked any more may be freed. */
	pthread_mutex_lock(&supply->bell);
	supply->parked = false;
	eventfd_write(supply->bell_fd, 1);
	pthread_mutex_unlock(&supply->bell);
}

static bool is_parked(struct pfs_supply *supply)
{
	bool parked;

	pthread_mutex_lock(&supply->bell);
	parked = supply->parked;
	pthread_mutex_unlock(&supply->bell);
	return parked;
}

static void set_parked(struct pfs_supply *supply, bool parked)
{
	pthread_mutex_lock(&supply->bell);
	supply->parked = parked;
	pthread_mutex_unlock(&supply->bell);
}

/* Nobody will ring for it any more. */
static void unpark(struct pfs_supply *supply)
{
	if (!is_parked(supply))
		return;
	if (pfs_writer_unpark(supply->writer, &supply->waiter))
		set_parked(supply, false);
	while (is_parked(supply))
		sched_yield(); /* its wake has been begun, and has only to come to the bell */
}

static void wait_for_bell(struct pfs_supply *supply)
{
	struct pollfd fds[] = {
		{ .fd = supply->bell_fd, .events = POLLIN },
		{ .fd = supply->calls_fd, .events = POLLIN },
	};
	eventfd_t count;

	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return;
	if (fds[0].revents)
		(void)!eventfd_read(supply->bell_fd, &count);
	if (fds[1].revents)
		(void)pfs_nudge_clear(supply->calls_fd); /* its end is said by a close */
}

/* False: there is room already. */
static bool park(struct pfs_supply *supply, size_t len)
{
	if (is_parked(supply))
		return true; /* rung for something else */
	set_parked(supply, true);
	if (pfs_writer_park(supply->writer, &supply->waiter, len))
		return true;
	set_parked(supply, false);
	return false;
}

static void *supply_main(void *arg)
{
	struct pfs_supply *supply = arg;
	void (*last)(void *arg) = supply->last;
	int r = 1;

	arg = supply->arg;
	while (r != -EPIPE) {
		size_t len = 0;

		pthread_mutex_lock(&supply->lock);
		r = step(supply, &len);
		pthread_mutex_unlock(&supply->lock);
		pfs_writer_run(supply->writer);
		if (r == 0 || (r == -EAGAIN && park(supply, len)))
			wait_for_bell(supply);
	}
	/* It may have ended by itself: the process still has it open. */
	for (bool closing = false; !closing;) {
		pthread_mutex_lock(&supply->lock);
		closing = supply->closing;
		pthread_mutex_unlock(&supply->lock);
		if (!closing)
			wait_for_bell(supply);
	}
	unpark(supply);
	/* Who closes gives the lock up last of all. */
	pthread_mutex_lock(&supply->lock);
	pthread_mutex_unlock(&supply->lock);
	supply_free(supply);
	last(arg);
	return NULL;
}

/* --- open and close ---------------------------------------------------------------------------------- */

int pfs_supply_open(struct pfs_writer *writer, uint64_t size, int nudge_fd, int calls_fd,
		    void (*last)(void *arg), void *arg, struct pfs_supply **ret_supply,
		    struct pfs_diag *diag)
{
	struct pfs_graph *graph = pfs_writer_node(writer)->graph;
	struct pfs_supply *supply;
	int r;

	if (size < PFS_OFFER_MIN || size > PFS_OFFER_MAX || (size & (size - 1)))
		return pfs_diag_set(diag, EINVAL,
				    "a producer's ring has a power of two from %llu to %llu bytes",
				    (unsigned long long)PFS_OFFER_MIN,
				    (unsigned long long)PFS_OFFER_MAX);
	while (size > PFS_OFFER_MIN && size / 4 > pfs_writer_max(writer))
		size /= 2;
	r = pfs_due_take(graph, pfs_writer_uid(writer), PFS_DUE_MEMORY, size);
	if (r < 0)
		return pfs_due_refused(graph, PFS_DUE_MEMORY, r, diag);
	supply = pfs_zalloc(1, sizeof(*supply));
	if (!supply) {
		pfs_due_give(graph, pfs_writer_uid(writer), PFS_DUE_MEMORY, size);
		return -ENOMEM;
	}
	supply->graph = graph;
	supply->payer = pfs_writer_uid(writer);
	supply->size = size;
	supply->writer = writer;
	supply->nudge_fd = nudge_fd;
	supply->calls_fd = calls_fd;
	supply->last = last;
	supply->arg = arg;
	supply->waiter.wake = supply_wake;
	pthread_mutex_init(&supply->lock, NULL);
	pthread_mutex_init(&supply->bell, NULL);
	supply->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = supply->bell_fd < 0 ? -errno : pfs_offer_new(size, &supply->offer);
	if (r == 0)
		r = pfs_thread_start(supply_main, supply, NULL);
	if (r < 0) {
		supply_free(supply);
		return pfs_diag_set(diag, -r, "no producer's ring of %llu bytes: %s",
				    (unsigned long long)size, strerror(-r));
	}
	*ret_supply = supply;
	return 0;
}

uint64_t pfs_supply_size(const struct pfs_supply *supply)
{
	return supply->size;
}

int pfs_supply_memory(const struct pfs_supply *supply)
{
	return pfs_offer_memory(supply->offer);
}

void pfs_supply_close(struct pfs_supply *supply)
{
	size_t len;
	int r = 1;

	if (!supply)
		return;
	pthread_mutex_lock(&supply->lock);
	supply->closing = true;
	/* No more than the ring holds: it is nobody's to write to now, or his own loss. */
	for (uint64_t taken = 0; r == 1 && taken <= PFS_OFFER_MAX;
	     taken += BATCH_RECORDS * sizeof(uint64_t))
		r = step(supply, &len);
	/* Within the lock: the thread may end, and the descriptors go, as soon as it is given up. */
	eventfd_write(supply->bell_fd, 1);
	pthread_mutex_unlock(&supply->lock);
}
