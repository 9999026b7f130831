/*
 * facts - how much of the packet is known to be there, at the head of each block
 *
 * Every way into a block has passed FITS branches; what all of them have shown holds there. For each base (0: the
 * packet's beginning) that is one number, the end of what fits.
 */
#ifndef PFS_PF_IR_FACTS_H
#define PFS_PF_IR_FACTS_H

#include "pf/ir/flow.h"

struct pf_extent {
	pf_val base;
	uint32_t end; /* base + end <= captured length */
};

struct pf_extents {
	struct pf_extent *of; /* all blocks', one after the other */
	uint32_t *span;	      /* by block, two each: first and end */
};

/* 0, -ENOMEM; -E2BIG: more is known than filters have a use for. */
int pf_extents_make(const struct pf_unit *u, const struct pf_flow *flow,
		    struct pf_extents *ret_extents);
void pf_extents_release(struct pf_extents *extents);
#define PF_EXTENTS PFS_CLEANUP(pf_extents_release)

/* The end of what fits from base on in block b; 0: nothing is known. */
uint32_t pf_extent_at(const struct pf_extents *extents, pf_blk b, pf_val base);

#endif
