#include "pf/merge/reclaim.h"

#include <sched.h>

struct pf_retired {
	struct pf_retired *next;
	uint64_t epoch; /* who came in later cannot see it */
	void (*done)(void *arg, void *p, uint32_t k);
	void *arg, *p;
	uint32_t k;
};

void pf_reclaim_init(struct pf_reclaim *r)
{
	*r = (struct pf_reclaim){ .last = &r->first };
	atomic_init(&r->epoch, 1);
}

void pf_reader_join(struct pf_reclaim *r, struct pf_reader *reader)
{
	atomic_init(&reader->at, 0);
	reader->next = r->readers;
	r->readers = reader;
}

void pf_reader_part(struct pf_reclaim *r, struct pf_reader *reader)
{
	struct pf_reader **p = &r->readers;

	while (*p && *p != reader)
		p = &(*p)->next;
	if (*p)
		*p = reader->next;
}

/* The epoch of the reader that has been inside for longest; UINT64_MAX: nobody is inside. */
static uint64_t oldest(const struct pf_reclaim *r)
{
	uint64_t least = UINT64_MAX;

	/* What was published comes before what is loaded here: the twin is in pf_reader_enter(). */
	atomic_thread_fence(memory_order_seq_cst);
	for (const struct pf_reader *reader = r->readers; reader; reader = reader->next) {
		/* seq_cst, so that it takes part in the order above; acquire, of who has left. */
		uint64_t at = atomic_load_explicit(&reader->at, memory_order_seq_cst);

		if (at && at < least)
			least = at;
	}
	return least;
}

void pf_reclaim_poll(struct pf_reclaim *r)
{
	uint64_t least = r->first ? oldest(r) : 0;

	while (r->first && r->first->epoch < least) {
		struct pf_retired *first = r->first;

		r->first = first->next;
		if (!r->first)
			r->last = &r->first;
		first->done(first->arg, first->p, first->k);
		free(first);
	}
}

void pf_reclaim_later(struct pf_reclaim *r, void (*done)(void *arg, void *p, uint32_t k), void *arg,
		      void *p, uint32_t k)
{
	uint64_t now = atomic_load_explicit(&r->epoch, memory_order_relaxed);
	struct pf_retired *retired = pfs_zalloc(1, sizeof(*retired));

	/* Who comes in by this epoch sees what was published before. Pairs with the load in pf_reader_enter(). */
	atomic_store_explicit(&r->epoch, now + 1, memory_order_release);
	if (!retired) {
		/* No memory to note it down. Readers are inside for the time of a batch. */
		while (oldest(r) <= now)
			sched_yield();
		/* What was given up before is part of it, maybe, and goes first. */
		pf_reclaim_poll(r);
		done(arg, p, k);
		return;
	}
	*retired = (struct pf_retired){ .epoch = now, .done = done, .arg = arg, .p = p, .k = k };
	*r->last = retired;
	r->last = &retired->next;
}

static void free_memory(void *arg, void *p, uint32_t k)
{
	free(p);
}

void pf_reclaim_memory(void *arg, void *p)
{
	if (p)
		pf_reclaim_later(arg, free_memory, NULL, p, 0);
}

void pf_reclaim_release(struct pf_reclaim *r)
{
	pf_reclaim_poll(r);
	assert(!r->first);
}
