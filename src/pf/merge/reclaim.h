/*
 * reclaim - memory that readers without locks may still be looking at
 *
 * Who reads says so (pf_reader_enter), follows published pointers, and says when it is done. Who changes publishes
 * what is new first, then gives up what was there before: it goes when every reader who was inside at that time has
 * left.
 *
 * Threads: a reader belongs to one thread at a time. Everything else is for who changes, one at a time (the
 * caller's lock).
 *
 * A reader stores the epoch it came in, then loads pointers; who changes stores pointers, then loads the epochs of the
 * readers. Both have a sequentially consistent fence between, so that one of them sees what the other has stored.
 * What is given up goes in the order in which it was, also where there is no memory to note it down.
 */
#ifndef PFS_PF_MERGE_RECLAIM_H
#define PFS_PF_MERGE_RECLAIM_H

#include "base/base.h"

struct pf_reader {
	_Alignas(64) _Atomic uint64_t at; /* the epoch it came in, 0: it is outside; writer: the reader */
	struct pf_reader *next;
};

struct pf_retired;

struct pf_reclaim {
	_Atomic uint64_t epoch; /* from 1; writer: who changes */
	struct pf_reader *readers;
	struct pf_retired *first, **last; /* the oldest first */
};

void pf_reclaim_init(struct pf_reclaim *r);
/* Everything goes; nobody may be inside. */
void pf_reclaim_release(struct pf_reclaim *r);

void pf_reader_join(struct pf_reclaim *r, struct pf_reader *reader);
void pf_reader_part(struct pf_reclaim *r, struct pf_reader *reader);

static inline void pf_reader_enter(const struct pf_reclaim *r, struct pf_reader *reader)
{
	/* Acquire: pairs with the store in pf_reclaim_later(). */
	uint64_t now = atomic_load_explicit(&r->epoch, memory_order_acquire);

	/* An exchange is a full barrier, and cheaper than a store and a fence. Its twin is in oldest(). */
	atomic_exchange_explicit(&reader->at, now, memory_order_seq_cst);
}

static inline void pf_reader_leave(struct pf_reader *reader)
{
	/* Release: what was read inside was read before. Pairs with the load in oldest(). */
	atomic_store_explicit(&reader->at, 0, memory_order_release);
}

/* done(arg, p, k) is called when no reader can see it any more, maybe at once. */
void pf_reclaim_later(struct pf_reclaim *r, void (*done)(void *arg, void *p, uint32_t k), void *arg,
		      void *p, uint32_t k);
/* free(p), then; arg is a struct pf_reclaim. Fits pf_table.retire. */
void pf_reclaim_memory(void *arg, void *p);
/* Calls what is due. */
void pf_reclaim_poll(struct pf_reclaim *r);

#endif
