/*
 * shape - what filters have in common that differ in numbers only
 *
 * `tcp dst port 80` and `tcp dst port 443` are one graph but for a constant. A shape is a unit in which such constants
 * have been taken for *words* of a key: numbers that values of the packet are compared with for equality and that are
 * good for nothing else, and of which every way to accepting has found each one equal to something. So at every place
 * where a filter accepts it is known which key it must have.
 *
 * Two filters have the same shape if everything but their keys is the same; then one program does for both. Filters
 * with loops or parameters, or very large ones, are shapes without words: the same only if they are equal.
 *
 * Threads: pure.
 */
#ifndef PFS_PF_MERGE_SHAPE_H
#define PFS_PF_MERGE_SHAPE_H

#include "pf/ir/ir.h"

#define PF_SHAPE_WORDS 8u
#define PF_SHAPE_BLOCKS 200u /* in a graph of more no words are looked for */

struct pf_shape {
	struct pf_unit u; /* owned; a filter of this shape, behind the passes that suit */
	unsigned words;
	pf_val word[PF_SHAPE_WORDS];  /* the constant that is word j, in u */
	uint32_t key[PF_SHAPE_WORDS]; /* and its number, in this filter */
	bool small[PF_SHAPE_WORDS];   /* what it is compared with has no more than 16 bits */
	uint32_t keep;		      /* what accepting returns; 0: not always the same */
	struct pfs_buf text;	      /* owned; equal for equal shapes, for no others */
};

/* Of a verified unit with one filter; plain: as pf_optimise_in_two() gives it. 0, -ENOMEM, -E2BIG. */
int pf_shape_make(const struct pf_unit *filter, bool plain, struct pf_shape *ret_shape);
void pf_shape_release(struct pf_shape *shape);
#define PF_SHAPE PFS_CLEANUP(pf_shape_release)

/* The key becomes part of the shape. 0, -ENOMEM. */
int pf_shape_fix(struct pf_shape *shape);

/* Which word of the key a value of the unit is; negative: none. */
int pf_shape_word(const struct pf_shape *shape, pf_val v);

#endif
