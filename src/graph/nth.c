#include "graph/nth.h"

void pfs_nth_init(struct pfs_nth *nth)
{
	pthread_mutex_init(&nth->lock, NULL);
	nth->number = &nth->own;
}

void pfs_nth_release(struct pfs_nth *nth)
{
	pfs_nth_follow(nth, NULL, NULL, NULL);
	pthread_mutex_destroy(&nth->lock);
}

void pfs_nth_lock(struct pfs_nth *nth)
{
	pthread_mutex_lock(&nth->lock);
}

void pfs_nth_unlock(struct pfs_nth *nth)
{
	pthread_mutex_unlock(&nth->lock);
}

void pfs_nth_restart(struct pfs_nth *nth)
{
	pthread_mutex_lock(&nth->lock);
	atomic_store(nth->number, 0);
	pthread_mutex_unlock(&nth->lock);
}

void pfs_nth_follow(struct pfs_nth *nth, _Atomic uint64_t *number, void (*left)(void *arg), void *arg)
{
	_Atomic uint64_t *to = number ? number : &nth->own;

	pthread_mutex_lock(&nth->lock);
	if (to != nth->number)
		atomic_store(to, atomic_load(nth->number));
	nth->number = to;
	if (nth->left)
		nth->left(nth->arg);
	nth->left = left;
	nth->arg = arg;
	pthread_mutex_unlock(&nth->lock);
}
