/*
 * flow - the shape of a decision graph: order, edges back, dominators
 *
 * A snapshot: it is good until the graph changes. Blocks that cannot be reached have position PF_NOWHERE.
 */
#ifndef PFS_PF_IR_FLOW_H
#define PFS_PF_IR_FLOW_H

#include "pf/ir/ir.h"

#define PF_NOWHERE UINT32_MAX

struct pf_pred {
	pf_blk from;
	uint8_t edge; /* which of its edges */
};

struct pf_flow {
	uint32_t n; /* blocks that can be reached */
	pf_blk *order; /* owned; each before those it leads to, loops aside; the yes side of a branch follows it */
	uint32_t *pos; /* owned; by block: its place in order */
	uint32_t *first; /* owned; by block: where its edges begin in pred; first[b + 1] is their end */
	struct pf_pred *pred; /* owned */
	pf_blk *idom;	      /* owned; by block; of the entry: 0 */
	uint32_t *depth;      /* owned; by block: in the tree of dominators */
	uint32_t *enter;      /* owned; by block: its number in a walk through that tree, */
	uint32_t *below;      /* owned; by block: and how many blocks are at it or below */
};

/* 0, -ENOMEM; -ELOOP: an edge goes back to a block that is no loop or does not dominate its source. */
int pf_flow_make(const struct pf_unit *u, struct pf_flow *ret_flow);
void pf_flow_release(struct pf_flow *flow);
#define PF_FLOW PFS_CLEANUP(pf_flow_release)

static inline bool pf_flow_reached(const struct pf_flow *flow, pf_blk b)
{
	return flow->pos[b] != PF_NOWHERE;
}

static inline uint32_t pf_flow_preds(const struct pf_flow *flow, pf_blk b)
{
	return flow->first[b + 1] - flow->first[b];
}

/* An edge that goes back, into a loop? */
static inline bool pf_flow_back(const struct pf_flow *flow, pf_blk from, pf_blk to)
{
	return flow->pos[to] <= flow->pos[from];
}

/* Is every way to b through a? A block dominates itself. Both can be reached. */
static inline bool pf_flow_dominates(const struct pf_flow *flow, pf_blk a, pf_blk b)
{
	return flow->enter[b] - flow->enter[a] < flow->below[a];
}

#endif
