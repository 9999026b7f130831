/*
 * chain - tests one behind the other, with the same way out
 *
 * `a or b or c` is a chain whose way out is "yes", `a and b and c` one whose way out is "no". Each
 * link but the first is led to by the one before it alone; between the links there may be bounds
 * checks, whose way out is their own.
 */
#ifndef PFS_PF_OPT_CHAIN_H
#define PFS_PF_OPT_CHAIN_H

#include "pf/ir/flow.h"

#define PF_LINKS_MAX 512u

struct pf_link {
	pf_blk b;
	uint8_t on;	/* the edge that goes on; the other is the way out */
	bool check;	/* a bounds check, with a way out of its own */
	pf_val subject; /* what is compared: two links with the same one want it only once */
};

struct pf_chain {
	pf_blk out; /* the way out */
	struct pf_link link[PF_LINKS_MAX];
	uint32_t n;
};

/* The chain that begins at b and goes on by its edge `on`; n is 0 if b is no test. */
void pf_chain_at(const struct pf_unit *u, const struct pf_flow *flow, pf_blk b, unsigned on,
		 struct pf_chain *ret_chain);

/* What a condition compares with a constant, 0: nothing of the kind. */
pf_val pf_subject(const struct pf_unit *u, pf_val cond);

#endif
