#include "ring/wait.h"

void pfs_waitlist_init(struct pfs_waitlist *list)
{
	pthread_mutex_init(&list->lock, NULL);
	atomic_init(&list->count, 0);
	list->first = NULL;
	list->last = &list->first;
}

void pfs_waitlist_release(struct pfs_waitlist *list)
{
	assert(!list->first);
	pthread_mutex_destroy(&list->lock);
}

void pfs_wait_add(struct pfs_waitlist *list, struct pfs_waiter *waiter)
{
	pthread_mutex_lock(&list->lock);
	assert(!waiter->list);
	waiter->next = NULL;
	waiter->list = list;
	*list->last = waiter;
	list->last = &waiter->next;
	atomic_fetch_add(&list->count, 1); /* twin: the load in pfs_wait_wake() */
	pthread_mutex_unlock(&list->lock);
	atomic_thread_fence(memory_order_seq_cst);
}

bool pfs_wait_remove(struct pfs_waitlist *list, struct pfs_waiter *waiter)
{
	bool parked = false;

	pthread_mutex_lock(&list->lock);
	for (struct pfs_waiter **at = &list->first; waiter->list == list && *at; at = &(*at)->next) {
		if (*at != waiter)
			continue;
		*at = waiter->next;
		if (list->last == &waiter->next)
			list->last = at;
		waiter->list = NULL;
		atomic_fetch_sub(&list->count, 1);
		parked = true;
		break;
	}
	pthread_mutex_unlock(&list->lock);
	return parked;
}

/* Off the list with the first waiter, so that the ones behind it can still be removed meanwhile. */
static struct pfs_waiter *wait_pop(struct pfs_waitlist *list)
{
	struct pfs_waiter *w;

	pthread_mutex_lock(&list->lock);
	w = list->first;
	if (w) {
		list->first = w->next;
		if (!list->first)
			list->last = &list->first;
		w->list = NULL;
		atomic_fetch_sub(&list->count, 1);
	}
	pthread_mutex_unlock(&list->lock);
	return w;
}

void pfs_wait_wake(struct pfs_waitlist *list)
{
	struct pfs_waiter *w;
	unsigned n;

	atomic_thread_fence(memory_order_seq_cst);
	/* Those that park again while we are at it are for the next wake. */
	for (n = atomic_load(&list->count); n > 0; n--) {
		w = wait_pop(list);
		if (!w)
			break;
		w->wake(w);
	}
}

/* --- watches --------------------------------------------------------------------------------------- */

static void watch_unref(struct pfs_watch *watch)
{
	if (atomic_fetch_sub(&watch->refs, 1) > 1)
		return;
	pthread_mutex_destroy(&watch->lock);
	watch->free(watch);
}

static void watch_woken(struct pfs_waiter *waiter)
{
	struct pfs_watch *watch = CONTAINER_OF(waiter, struct pfs_watch, waiter);
	bool closed;

	pthread_mutex_lock(&watch->lock);
	closed = watch->closed;
	if (!closed) {
		atomic_fetch_add(&watch->refs, 1); /* ours while we look; that of who is parked stays */
		pfs_wait_add(watch->list, waiter);
	}
	pthread_mutex_unlock(&watch->lock);
	if (!closed)
		watch->look(watch);
	watch_unref(watch);
}

void pfs_watch_open(struct pfs_watch *watch, struct pfs_waitlist *list,
		    void (*look)(struct pfs_watch *watch), void (*free)(struct pfs_watch *watch))
{
	*watch = (struct pfs_watch){
		.waiter.wake = watch_woken,
		.list = list,
		.look = look,
		.free = free,
		.refs = 2,
	};
	pthread_mutex_init(&watch->lock, NULL);
	pfs_wait_add(list, &watch->waiter);
}

void pfs_watch_close(struct pfs_watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	watch->closed = true;
	if (pfs_wait_remove(watch->list, &watch->waiter))
		atomic_fetch_sub(&watch->refs,
				 1); /* else who is waking it finds that it is closed; ours is left */
	pthread_mutex_unlock(&watch->lock);
	watch_unref(watch);
}
