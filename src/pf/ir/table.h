/*
 * table - keys of two numbers, found by a seeded hash: what FIND looks into
 *
 * A program asks for pairs of numbers, the table says which number stands for each; 0 for those that it does not have.
 * Keys come and go while programs run: what is compiled is the question, never the answers.
 *
 * Threads: one changes, any number ask, without a lock. A slot gets its key once, for the life of its rows; a key
 * that is taken out keeps its slot, with 0. When rows fill up, bigger ones are made beside them and published by
 * one store; the old ones go to `retire`, since somebody may still be looking at them.
 *
 * Floods: the function is (key * m) >> s with a secret odd m, for which any two keys meet with a probability of
 * 2/rows. Keys are set at most PF_TABLE_PROBES slots from where they belong: where there is no room the rows are
 * made anew, with another m, and twice as many if that does not help. At most half of them are used.
 */
#ifndef PFS_PF_IR_TABLE_H
#define PFS_PF_IR_TABLE_H

#include "base/base.h"

#define PF_TABLE_PROBES 32u
#define PF_TABLE_MAX (1u << 22) /* keys */

/* Native code knows where these lie. */
struct pf_table_slot {
	_Atomic uint64_t key;	/* writer: who changes; once */
	_Atomic uint32_t value; /* writer: who changes */
	_Atomic uint32_t used;	/* writer: who changes; 0: no key, and none behind it */
};

struct pf_table_rows {
	uint64_t m;
	uint32_t shift;
	uint32_t cap;
	uint32_t used; /* slots with a key, be it taken out; writer's */
	uint32_t unused[3];
	struct pf_table_slot slot[]; /* cap + PF_TABLE_PROBES; the last one never has a key */
};

struct pf_table {
	struct pf_table_rows *_Atomic rows; /* owned; writer: who changes */
	_Atomic unsigned refs;
	uint32_t live; /* keys; writer's */
	/*
	 * Borrowed; rows that nobody new finds, to be freed by free(3) when no run that began earlier goes on;
	 * NULL: at once.
	 */
	void (*retire)(void *arg, void *rows);
	void *retire_arg;
	/* A pair got another value; for a copy elsewhere. NULL: nobody listens. */
	void (*changed)(void *arg, uint32_t a, uint32_t b, uint32_t value);
	void *changed_arg;
};

/* 0 or -ENOMEM. */
int pf_table_new(struct pf_table **ret_table);
struct pf_table *pf_table_ref(struct pf_table *t);
void pf_table_unref(struct pf_table *t); /* NULL is fine */

/* The pair (a, b) stands for `value`; 0: for nothing any more. 0, -ENOMEM; -E2BIG: too many keys. */
int pf_table_set(struct pf_table *t, uint32_t a, uint32_t b, uint32_t value);

/* Each key that is there. Only for who changes. */
void pf_table_each(const struct pf_table *t,
		   void (*each)(void *arg, uint32_t a, uint32_t b, uint32_t value), void *arg);

static inline uint64_t pf_table_key(uint32_t a, uint32_t b)
{
	return (uint64_t)a << 32 | b;
}

/* What the pair stands for, 0: nothing. */
static inline uint32_t pf_table_find(const struct pf_table *t, uint32_t a, uint32_t b)
{
	/* Pairs with the store in publish(): the rows are filled. */
	const struct pf_table_rows *rows = atomic_load_explicit(&t->rows, memory_order_acquire);
	uint64_t key = pf_table_key(a, b);
	const struct pf_table_slot *s = &rows->slot[key * rows->m >> rows->shift];

	for (;; s++) {
		/* Acquire, with the stores in fill(): a slot that is used has its key, and its value. */
		uint32_t used = atomic_load_explicit(&s->used, memory_order_acquire);

		if (!used)
			return 0;
		if (atomic_load_explicit(&s->key, memory_order_relaxed) == key)
			return atomic_load_explicit(&s->value, memory_order_relaxed);
	}
}

#endif
