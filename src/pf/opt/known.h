/*
 * known - what the branches on the way to a place have shown, and what follows from it
 *
 * A fact is a condition and its outcome. Which facts hold at a block is read off the edges that dominate it.
 */
#ifndef PFS_PF_OPT_KNOWN_H
#define PFS_PF_OPT_KNOWN_H

#include "pf/ir/flow.h"

struct pf_fact {
	pf_val cond;
	bool yes;
};

#define PF_FACTS_MAX 192u /* the nearest; on very long ways the first ones are forgotten */

struct pf_facts {
	struct pf_fact of[PF_FACTS_MAX];
	uint32_t n;
};

enum pf_answer { PF_NO, PF_YES, PF_MAYBE };

/* What holds at the head of a block. */
void pf_facts_at(const struct pf_unit *u, const struct pf_flow *flow, pf_blk b,
		 struct pf_facts *ret_facts);
/* What holds on an edge of a block. */
void pf_facts_on(const struct pf_unit *u, const struct pf_flow *flow, pf_blk from, unsigned edge,
		 struct pf_facts *ret_facts);

/* Does cond hold? */
enum pf_answer pf_facts_decide(const struct pf_unit *u, const struct pf_facts *facts, pf_val cond);
/* Is x known to be one number? */
bool pf_facts_number(const struct pf_unit *u, const struct pf_facts *facts, pf_val x,
		     uint32_t *ret_number);

#endif
