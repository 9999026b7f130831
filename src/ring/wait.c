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
