/*
 * bpfsort - filters that sort into classes, in a capture program
 *
 *	key of the packet ──▶ hash map: number of its class ──▶ cell: packets, bytes, last; who takes the class
 *
 * A filter that sorts (port, host ...) has a *sorter*: a map from keys to the numbers of the classes that there are in
 * its set (graph/classes.h), and memory with a cell for each number, which the program and we share. The set tells of
 * classes that come and go. Sorters are there from the first program that asks for one until the set or the capture
 * goes; programs come and go and count in the same cells. One that is to be replaced counts on for a filter that has
 * left: the graph does not heed it then (pfs_classes_heed()). Sorters are taken before a program is made, on the
 * control thread; who makes it, on any thread, knows their maps (source/bpfdecide.h).
 *
 * A packet whose key is not in the map is copied undecided: so the engine learns the class, once. What has no room in
 * a sorter stays unknown, and is the engine's for ever.
 *
 * A class that goes leaves its cell, which *rests* until nobody in the kernel can still count in it (ksort_rest()); the
 * next class takes another cell, even if it gets the same number. There are as many cells more as may rest. The kernel
 * gives elements of the map to other keys while somebody looks at them, so each says its key before its cell: who finds
 * another one takes it for unknown.
 *
 * Which class somebody takes is in its cell: a bit of the set of takers. So it costs nothing how many classes are read,
 * and nothing is compiled for them; what is below a class is compiled (pf/merge/tree.h), and its class with it.
 *
 * Threads: those of struct kcap; the set's callbacks under its lock.
 */
#ifndef PFS_SOURCE_BPFSORT_H
#define PFS_SOURCE_BPFSORT_H

#include "graph/classes.h"
#include "graph/source.h"
#include "packet/keys.h"
#include "pf/back/kcode.h"
#include "pf/ir/ir.h"

#define KSORT_CLASSES_MAX 16384u /* that a sorter has room for, whatever max= says */
#define KSORT_SPARE \
	256u /* cells for classes that come while others rest, beside one for each class */

struct kcap;
struct kcap_body;

struct ksort_cell {
	_Atomic uint64_t packets, bytes; /* writer: kernel; and who enters a class */
	_Atomic uint64_t last; /* the same; ns, CLOCK_MONOTONIC or that but coarse; 0: none */
	_Atomic uint64_t takers; /* writer: control; a word of the set << 32 | the bits in it that take the class */
};
static_assert(sizeof(struct ksort_cell) == 32, "shared with kernel programs");

struct ksorter {
	struct ksorter *next_sorter;
	struct pfs_classes *set; /* borrowed; NULL: it has left */
	unsigned words;		 /* of its keys */
	int map, cells;		 /* owned; maps: numbers by key; cells by number */
	struct ksort_cell *cell; /* owned; mapped */
	size_t cell_bytes;
	unsigned makings; /* that will need it; control */
	uint32_t classes; /* that it has room for */
	uint32_t entries; /* cells: those of classes from 1 on, then those of reasons */
	uint32_t *at;	  /* the set's lock; owned; by number: its cell; 0: none */
	/* Lists of cells, 0 ends them. The set's lock. */
	uint32_t *next;		       /* owned; by cell */
	uint32_t spare, left, resting; /* free; given up; the same, and the kernel is waited for */
};

/* In a body: a filter that sorts what it accepts. */
struct ksort {
	struct ksorter *sorter; /* borrowed from the kcap */
	struct pf_unit unit;	/* owned; as pkt_keys_unit() */
	uint16_t number;	/* of the filter */
	uint32_t cut;		/* bytes of a packet that it sees; 0: all */
};

/* In a body: a class that is read through its cell. */
struct ksort_class {
	struct ksorter *sorter; /* borrowed */
	uint16_t class_, number;
};

/* The sorter of that set, which it follows from now on. */
int ksort_get(struct kcap *kcap, struct pfs_classes *set, struct ksorter **ret_sorter);
/*
 * The program with this body is about to be in force: cells say who takes them. What the one before it says by them is
 * of numbers that it does not know, and the graph does not ask it for these.
 */
void ksort_enter(const struct kcap_body *body);
/* The old one is in force no more. */
void ksort_leave(const struct kcap_body *old, const struct kcap_body *now);
/* Those go that no body needs and whose set has left. */
void ksort_prune(struct kcap *kcap);
/* For pfs_source.rest: of the cells that were given up. NULL: of none, or there is no memory. */
struct pfs_making *ksort_rest(struct kcap *kcap);
void ksort_free_all(struct kcap *kcap);

/* Where what on the stack is, and what there is beside. */
struct ksort_spec {
	int set;	  /* u32[] of takers, PFS_TAKERS_MAX bits, all of them written */
	int keys;	  /* u32[2 + 2 * PKT_KEYS_WORDS], scratch */
	int found;	  /* u32[2 * PFS_SORTERS_MAX], scratch, below it all is free */
	int len, wire;	  /* u32 */
	int seen;	  /* u32, scratch: what a filter sees of len */
	int slot;	  /* u64, address of the slot */
	int zero;	  /* in the slot: a u32 that is 0 */
	int dynptr;	  /* 0: it is a socket buffer's program */
	unsigned unknown; /* label: for the engine */
	bool unsure;	  /* filled in: something leads there */
};

/* Counts the packet in its classes, and adds those who take them to the set. On exit R7 is the slot. 0 or -errno. */
int ksort_emit(const struct kcap_body *body, struct ksort_spec *spec, struct kcode *c);

#endif
