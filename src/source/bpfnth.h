/*
 * bpfnth - filters that keep every Nth packet, in a capture program
 *
 * The numbers of the last packets (graph/nth.h) lie in the only value of an array, one cell each, in which the program
 * and the engine count, by atomic additions. A cell is taken before a program is made that needs it, and free for
 * another when the filter has left and no program has it.
 *
 * The program counts before it asks anything about the packet, so each is counted, also those about which others are
 * unsure: these are copied as PFS_COUNTED.
 *
 * Threads: those of struct kcap.
 */
#ifndef PFS_SOURCE_BPFNTH_H
#define PFS_SOURCE_BPFNTH_H

#include "graph/nth.h"
#include "graph/source.h"
#include "pf/back/kcode.h"

#define KNTH_CELLS (4 * PFS_NTHS_MAX) /* those that are leaving have theirs, too */

struct kcap;
struct kcap_body;

struct knth_cell {
	struct pfs_nth *nth; /* borrowed; NULL: it has left */
	unsigned makings;    /* that will need it; control */
	bool used;	     /* it has had a filter, and a program may know it */
};

/* Of a kcap. */
struct knths {
	int map;		  /* owned */
	_Atomic uint64_t *number; /* owned; mapped, KNTH_CELLS */
	size_t bytes;
	unsigned turn; /* where the next free cell is looked for: one that was left just now may still be counted in */
	struct knth_cell cell[KNTH_CELLS];
};

/* In a body, those above before those below. */
struct knth {
	uint16_t number; /* of the filter */
	uint32_t every, phase, cell;
	unsigned below;			   /* how many of those that follow are below it */
	uint32_t set[PFS_TAKERS_MAX / 32]; /* itself, and those that get what it passes */
};

/* Where that filter's packets are counted from now on: the number of a cell. -ENOSPC, -ENOMEM, the kernel's. */
int knth_get(struct kcap *kcap, struct pfs_nth *nth, uint32_t *ret_cell);
/* Those cells are free that no program needs and whose filter has left. */
void knth_prune(struct kcap *kcap);
void knth_free_all(struct knths *nths); /* NULL is fine */

/* Counts the packet, and adds those that it is for to the set, at this stack offset. Changes R0 to R5. */
void knth_emit(const struct knths *nths, const struct kcap_body *body, int set, struct kcode *c);

#endif
