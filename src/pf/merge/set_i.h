/*
 * set_i - how a set is held
 *
 * Members with equal shapes (shape.h) are a *group*: one program (ways.h), whose results are entries, and a list of
 * members for each entry. Words of the key that all members have alike are part of the program; when one comes that
 * differs the group gets another program, in which that word is asked for. So in the long run adding changes tables
 * only.
 *
 * A *part* is what is run: the merged program of some groups. A group begins as a part of its own; when there are
 * PART_GROUPS of those they become one. Thus each is compiled about twice, however many there are.
 *
 * Readers see the *version*, the list of parts, and below it what a part's results stand for: `answers`, whose
 * slots have the lists. All of it is published by one store each and goes through reclaim.h. Everything else is
 * under the lock.
 */
#ifndef PFS_PF_MERGE_SET_I_H
#define PFS_PF_MERGE_SET_I_H

#include <pthread.h>

#include <pipesfs/pf.h>

#include "base/hash.h"
#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/merge/ways.h"

#define PART_GROUPS 8u
#define PART_RESULTS 256u

/* Members with one key, in their order. Immutable. */
struct pf_list {
	uint32_t n;
	struct pf_match of[];
};

struct pf_slots {
	uint32_t cap;
	struct pf_list *_Atomic of[]; /* owned; by entry; writer: who changes */
};

struct pf_answers {
	struct pf_slots *_Atomic slots; /* owned; writer: who changes */
	bool direct;			/* results are what to keep; the entry is 1 */
};

struct pf_part;

struct pf_group {
	struct pf_group *next; /* in its chain of the table */
	struct pf_shape shape; /* owned */
	uint64_t hash;
	uint32_t vary;
	struct pf_keyed *keyed;	    /* owned; NULL: nothing varies */
	struct pf_unit unit;	    /* owned; its program */
	struct pf_answers *answers; /* owned */
	struct pf_part *part;
	uint32_t members;
};

/* What readers need of it never changes; the groups are for who changes. */
struct pf_part {
	struct pf_native *native; /* owned; NULL: the interpreter runs it */
	struct pf_interp *interp; /* owned */
	uint32_t nresult;
	struct pf_answers **of_result; /* owned; borrowed each */
	struct pf_group *group[PART_GROUPS];
	unsigned ngroup;
	bool alone; /* one group, too large to be put together with others */
};

struct pf_version {
	uint32_t n;
	struct pf_part *part[];
};

struct pf_inside {
	uint32_t id;
	struct pf_group *group; /* NULL: a free number */
	uint32_t key[PF_SHAPE_WORDS];
	uint32_t keep;
	int32_t priority;
	bool consumes;
};

struct pf_set {
	pthread_mutex_t lock;
	struct pf_options options;
	struct pfs_seed seed;
	struct pf_reclaim reclaim;
	struct pf_version *_Atomic version; /* owned; writer: who holds the lock */
	struct pf_group **table;	    /* owned; chains of groups */
	uint32_t ntable, ngroup;
	struct pf_inside *inside; /* owned; by number */
	uint32_t ninside, capinside;
	uint32_t *free; /* owned; numbers */
	uint32_t nfree;
	uint32_t members;
	uint64_t compiled;
};

struct pf_set_reader {
	struct pf_reader reader; /* first: it is aligned */
	struct pf_set *set;	 /* borrowed */
	bool inside;
};

/* set_group.c: groups and what their entries stand for. Under the lock. */
int pf_group_make(struct pf_set *set, struct pf_shape *shape, struct pf_group **ret_group);
void pf_group_free(struct pf_set *set, struct pf_group *g);
/* Makes room for another member: where its key differs in a new word the group gets a new program. 1: it has. */
int pf_group_widen(struct pf_set *set, struct pf_group *g, const uint32_t *key);
int pf_group_enter(struct pf_set *set, struct pf_group *g, const struct pf_inside *m);
/* The number by which results say that key; 0: nobody has it. */
uint32_t pf_group_entry(const struct pf_group *g, const uint32_t *key);
/* -ENOMEM: it is still there. */
int pf_group_leave(struct pf_set *set, struct pf_group *g, const struct pf_inside *m);

/* set_part.c: programs and versions. Under the lock. */
int pf_part_add(struct pf_set *set, struct pf_group *g);
int pf_part_remake(struct pf_set *set, struct pf_group *g);
/* -ENOMEM: it is still there. */
int pf_part_remove(struct pf_set *set, struct pf_group *g);
void pf_part_free(struct pf_part *part);
/* All groups as one unit, behind the passes; results are those of the groups one behind the other. */
int pf_part_merge_all(const struct pf_set *set, struct pf_unit *ret_unit);

#endif
