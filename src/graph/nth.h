/*
 * nth - which record is the next, of those that come to a place: every Nth passes, whatever is in it
 *
 * The filter that lets them through (sample) owns one. Somebody beside its worker may count, too, before there are
 * records (source/bpfnth.h): then the number of the last one lies in memory of his, and both count there, one at a
 * time. So none is counted twice or passed over, whoever sees it, and when that changes. When he leaves, the number
 * comes back.
 *
 * Threads: the worker holds the lock while it counts a batch; everything else takes it itself. It is a leaf.
 */
#ifndef PFS_GRAPH_NTH_H
#define PFS_GRAPH_NTH_H

#include <pthread.h>

#include "base/base.h"

#define PFS_NTHS_MAX 16 /* that may be counted beside, of one source */
#define PFS_NTH_RANDOM UINT32_MAX

struct pfs_nth {
	/*
	 * The record with number n passes if n % every == phase; with PFS_NTH_RANDOM any does with a chance of one in
	 * `every`. Writer: control, the worker at rest.
	 */
	uint32_t every, phase;
	pthread_mutex_t lock;
	_Atomic uint64_t own;
	_Atomic uint64_t *number; /* lock; of the last record, from 1: own, or his */
	void (*left)(void *arg); /* lock; writer: control; the nth has nothing to do with him any more; NULL: nobody */
	void *arg;
};

void pfs_nth_init(struct pfs_nth *nth);
void pfs_nth_release(struct pfs_nth *nth);

/* --- the worker ---------------------------------------------------------------------------------- */

/* Around the questions about one batch. */
void pfs_nth_lock(struct pfs_nth *nth);
void pfs_nth_unlock(struct pfs_nth *nth);
/* Counts a record: its number. */
static inline uint64_t pfs_nth_count(struct pfs_nth *nth)
{
	/* Twin: the addition in the program. Nothing hangs on what is counted but the number. */
	return atomic_fetch_add_explicit(nth->number, 1, memory_order_relaxed) + 1;
}

/* --- the control side ---------------------------------------------------------------------------- */

void pfs_nth_restart(struct pfs_nth *nth); /* the next is the first; also by the worker */
/* From now on it is counted there; NULL: here. Who was told before is told that it has left. */
void pfs_nth_follow(struct pfs_nth *nth, _Atomic uint64_t *number, void (*left)(void *arg), void *arg);

#endif
