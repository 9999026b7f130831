/*
 * wait - parking without threads
 *
 * Whoever finds nothing to do adds a waiter to a list and returns; whoever makes something to do wakes the list.
 * A waiter is woken at most once per pfs_wait_add(), outside the list's lock, on the waker's thread, and is
 * off the list by then; its callback must be short or hand the work on.
 *
 * Lost wake-ups are excluded in pairs: the waiter adds itself and *then* looks again; the waker changes the
 * state and *then* looks for waiters (both fences are sequentially consistent).
 */
#ifndef PFS_RING_WAIT_H
#define PFS_RING_WAIT_H

#include <pthread.h>

#include "base/base.h"

struct pfs_waiter {
	void (*wake)(struct pfs_waiter *waiter);
	struct pfs_waiter *next;	     /* list lock */
	_Atomic(struct pfs_waitlist *) list; /* list lock to change; NULL: not parked */
};

struct pfs_waitlist {
	pthread_mutex_t lock;
	_Atomic unsigned count;
	struct pfs_waiter *first, **last; /* lock; FIFO */
};

void pfs_waitlist_init(struct pfs_waitlist *list);
void pfs_waitlist_release(struct pfs_waitlist *list); /* must be empty */

void pfs_wait_add(struct pfs_waitlist *list, struct pfs_waiter *waiter);
/* True: it was parked and is not any more (it will not be woken). False: somebody is waking it or did. */
bool pfs_wait_remove(struct pfs_waitlist *list, struct pfs_waiter *waiter);
/* Wakes all that are parked now. Cheap when there are none. */
void pfs_wait_wake(struct pfs_waitlist *list);

/*
 * A waiter that parks again each time it is woken, and then looks: what is changed from there on wakes it again. It may
 * be closed while it is being woken, and is freed by who is the last to have to do with it.
 */
struct pfs_watch {
	struct pfs_waiter waiter;
	struct pfs_waitlist *list; /* borrowed, until it is closed */
	/* On the waker's thread, several may be at it; still once, perhaps, after pfs_watch_close(). */
	void (*look)(struct pfs_watch *watch);
	void (*free)(struct pfs_watch *watch); /* nobody has it any more */
	pthread_mutex_t lock;
	bool closed;	       /* lock */
	_Atomic unsigned refs; /* its owner's, and one each of who is parked, who looks */
};

/* Parks it. It is there until pfs_watch_close(), which gives up the owner's reference. */
void pfs_watch_open(struct pfs_watch *watch, struct pfs_waitlist *list,
		    void (*look)(struct pfs_watch *watch), void (*free)(struct pfs_watch *watch));
void pfs_watch_close(struct pfs_watch *watch);

#endif
