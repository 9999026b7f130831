#include "pf/ir/flow.h"

void pf_flow_release(struct pf_flow *flow)
{
	free(flow->order);
	free(flow->pos);
	free(flow->first);
	free(flow->pred);
	free(flow->idom);
	free(flow->depth);
	free(flow->enter);
	free(flow->below);
	*flow = (struct pf_flow){ 0 };
}

struct visit {
	pf_blk block;
	unsigned next; /* edges that were followed */
};

/* Depth first, the no side before the yes side: then, backwards, yes comes right behind its branch. */
static int order_blocks(const struct pf_unit *u, struct pf_flow *flow)
{
	PFS_FREE struct visit *stack = pfs_zalloc(u->nblk, sizeof(*stack));
	PFS_FREE uint8_t *seen = pfs_zalloc(u->nblk, 1);
	uint32_t depth = 0, left = u->nblk;

	if (!stack || !seen)
		return -ENOMEM;
	stack[depth++].block = u->entry;
	seen[u->entry] = 1;
	while (depth > 0) {
		struct visit *top = &stack[depth - 1];
		const struct pf_block *b = &u->blk[top->block];

		if (top->next < pf_edges(b)) {
			pf_blk to = b->edge[pf_edges(b) - 1 - top->next++].to;

			if (!seen[to]) {
				seen[to] = 1;
				stack[depth++] = (struct visit){ .block = to };
			}
			continue;
		}
		flow->order[--left] = top->block;
		depth--;
	}
	flow->n = u->nblk - left;
	memmove(flow->order, flow->order + left, flow->n * sizeof(*flow->order));
	for (uint32_t i = 0; i < u->nblk; i++)
		flow->pos[i] = PF_NOWHERE;
	for (uint32_t i = 0; i < flow->n; i++)
		flow->pos[flow->order[i]] = i;
	return 0;
}

static void collect_preds(const struct pf_unit *u, struct pf_flow *flow)
{
	for (uint32_t i = 0; i < flow->n; i++) {
		const struct pf_block *b = &u->blk[flow->order[i]];

		for (unsigned e = 0; e < pf_edges(b); e++)
			flow->first[b->edge[e].to + 1]++;
	}
	for (uint32_t i = 0; i < u->nblk; i++)
		flow->first[i + 1] += flow->first[i];
	/* Filled from the ends: first[] of the next block counts down to its beginning, in order. */
	for (uint32_t i = flow->n; i-- > 0;) {
		pf_blk from = flow->order[i];
		const struct pf_block *b = &u->blk[from];

		for (unsigned e = pf_edges(b); e-- > 0;) {
			uint32_t at = --flow->first[b->edge[e].to + 1];

			flow->pred[at] = (struct pf_pred){ .from = from, .edge = (uint8_t)e };
		}
	}
	/* Now first[b + 1] is where b begins: move down. */
	for (uint32_t i = 0; i < u->nblk; i++)
		flow->first[i] = flow->first[i + 1];
	flow->first[u->nblk] = 0;
	for (uint32_t i = 0; i < flow->n; i++)
		flow->first[u->nblk] += pf_edges(&u->blk[flow->order[i]]);
}

/* --- dominators --------------------------------------------------------------------------- */

/*
 * Each block knows its dominator and one far above, such that any block above is a logarithmic number of steps away: a
 * filter of n tests that all reject alike would take n^2 steps otherwise.
 */
static pf_blk up_to(const struct pf_flow *flow, const pf_blk *far, pf_blk b, uint32_t depth)
{
	while (flow->depth[b] > depth)
		b = flow->depth[far[b]] >= depth ? far[b] : flow->idom[b];
	return b;
}

static pf_blk common(const struct pf_flow *flow, const pf_blk *far, pf_blk a, pf_blk b)
{
	a = up_to(flow, far, a, flow->depth[b]);
	b = up_to(flow, far, b, flow->depth[a]);
	while (a != b) {
		bool same = far[a] == far[b];

		a = same ? flow->idom[a] : far[a];
		b = same ? flow->idom[b] : far[b];
	}
	return a;
}

/* Two steps of the same length make one of twice the length. */
static pf_blk far_above(const struct pf_flow *flow, const pf_blk *far, pf_blk dom)
{
	uint32_t first = flow->depth[dom] - flow->depth[far[dom]];
	uint32_t second = flow->depth[far[dom]] - flow->depth[far[far[dom]]];

	return first == second ? far[far[dom]] : dom;
}

/*
 * In one pass: when a block comes, all edges into it but those that go back have been seen, and an edge that goes back
 * comes from below the block, so it changes nothing.
 */
static int find_dominators(struct pf_flow *flow, uint32_t nblk)
{
	PFS_FREE pf_blk *far = pfs_zalloc(nblk, sizeof(*far));

	if (!far)
		return -ENOMEM;
	far[flow->order[0]] = flow->order[0];
	for (uint32_t i = 1; i < flow->n; i++) {
		pf_blk b = flow->order[i], dom = 0;

		for (uint32_t p = flow->first[b]; p < flow->first[b + 1]; p++) {
			pf_blk from = flow->pred[p].from;

			if (!pf_flow_back(flow, from, b))
				dom = dom ? common(flow, far, dom, from) : from;
		}
		flow->idom[b] = dom;
		flow->depth[b] = flow->depth[dom] + 1;
		far[b] = far_above(flow, far, dom);
	}
	return 0;
}

/* A block comes behind its dominator, so sizes add up from the end, and numbers are given out from the beginning. */
static int number_tree(struct pf_flow *flow, uint32_t nblk)
{
	PFS_FREE uint32_t *next = pfs_zalloc(nblk, sizeof(*next));

	if (!next)
		return -ENOMEM;
	for (uint32_t i = flow->n; i-- > 0;) {
		pf_blk b = flow->order[i];

		flow->below[b]++;
		if (i)
			flow->below[flow->idom[b]] += flow->below[b];
	}
	for (uint32_t i = 0; i < flow->n; i++) {
		pf_blk b = flow->order[i], dom = flow->idom[b];

		if (i) {
			flow->enter[b] = next[dom];
			next[dom] += flow->below[b];
		}
		next[b] = flow->enter[b] + 1;
	}
	return 0;
}

static int check_back(const struct pf_unit *u, const struct pf_flow *flow)
{
	for (uint32_t i = 0; i < flow->n; i++) {
		const struct pf_block *b = &u->blk[flow->order[i]];

		for (unsigned e = 0; e < pf_edges(b); e++) {
			pf_blk to = b->edge[e].to;

			if (pf_flow_back(flow, flow->order[i], to) &&
			    (!u->blk[to].loop || !pf_flow_dominates(flow, to, flow->order[i])))
				return -ELOOP;
		}
	}
	return 0;
}

int pf_flow_make(const struct pf_unit *u, struct pf_flow *ret_flow)
{
	PF_FLOW struct pf_flow flow = {
		.order = pfs_zalloc(u->nblk, sizeof(*flow.order)),
		.pos = pfs_zalloc(u->nblk, sizeof(*flow.pos)),
		.first = pfs_zalloc(u->nblk + 1, sizeof(*flow.first)),
		.pred = pfs_zalloc((size_t)u->nblk * 2, sizeof(*flow.pred)),
		.idom = pfs_zalloc(u->nblk, sizeof(*flow.idom)),
		.depth = pfs_zalloc(u->nblk, sizeof(*flow.depth)),
		.enter = pfs_zalloc(u->nblk, sizeof(*flow.enter)),
		.below = pfs_zalloc(u->nblk, sizeof(*flow.below)),
	};
	int r;

	if (!flow.order || !flow.pos || !flow.first || !flow.pred || !flow.idom || !flow.depth ||
	    !flow.enter || !flow.below)
		return -ENOMEM;
	r = order_blocks(u, &flow);
	if (r < 0)
		return r;
	collect_preds(u, &flow);
	r = find_dominators(&flow, u->nblk);
	if (r == 0)
		r = number_tree(&flow, u->nblk);
	if (r == 0)
		r = check_back(u, &flow);
	if (r < 0)
		return r;
	*ret_flow = flow;
	flow = (struct pf_flow){ 0 };
	return 0;
}
