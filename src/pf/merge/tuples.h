/*
 * tuples - tuples of numbers that come from outside, each with an entry of the caller's; bounded
 *
 * A hash with a secret seed and chains. Entries are numbered from 1; a number is free for another tuple after it was
 * removed. Words beyond n do not count. Threads: one at a time.
 */
#ifndef PFS_PF_MERGE_TUPLES_H
#define PFS_PF_MERGE_TUPLES_H

#include "base/hash.h"

#define TUPLE_WORDS 16u

struct tuple {
	uint32_t word[TUPLE_WORDS];
	uint32_t n; /* 0: free */
	uint32_t hash;
	uint32_t next; /* in its bucket, or among the free ones */
};

struct tuples {
	struct tuple *of; /* owned; by number - 1 */
	uint32_t cap, used, n, free;
	uint32_t max;
	uint32_t *bucket; /* owned; numbers; as many as cap, which is a power of two */
	struct pfs_seed seed;
};

void tuples_init(struct tuples *t, uint32_t max);
void tuples_release(struct tuples *t);

/* 0: it is not there. */
uint32_t tuples_find(const struct tuples *t, const uint32_t *words, uint32_t n);
/* One that is not there. 0, -ENOSPC: there are max; -ENOMEM. cap may have grown. */
int tuples_add(struct tuples *t, const uint32_t *words, uint32_t n, uint32_t *ret_number);
void tuples_remove(struct tuples *t, uint32_t number);

#endif
