/*
 * bounds - a check of what will be needed anyway comes first, for all: the later ones are settled
 * then
 *
 * Where every way on to a result passes a check of at least E, a check of less may as well be one
 * of E: a packet between the two would be rejected later. Checks only grow, up to what some way
 * asks for.
 */
#include "pf/ir/flow.h"
#include "pf/opt/opt.h"

#define NEVER UINT32_MAX /* no way on has a result */
#define BASES_MAX 32u

struct raising {
	struct pf_unit *u;
	struct pf_flow flow;
	uint32_t *least; /* owned; by block: what all ways from its head to a result ask for */
	pf_val base;
};

static void raising_release(struct raising *r)
{
	pf_flow_release(&r->flow);
	free(r->least);
}

/* Where an edge back leads has not been looked at yet: it may ask for nothing. */
static uint32_t beyond(const struct raising *r, pf_blk from, unsigned e)
{
	pf_blk to = r->u->blk[from].edge[e].to;

	return pf_flow_back(&r->flow, from, to) ? 0 : r->least[to];
}

static uint32_t least_of(const struct raising *r, pf_blk b)
{
	const struct pf_block *block = &r->u->blk[b];
	const struct pf_value *cond = &r->u->val[block->cond];
	uint32_t yes, no;

	/* What is written before a packet is found to be too short stays written. */
	if (block->npin)
		return 0;
	switch (block->end) {
	case PF_END_JUMP:
		return beyond(r, b, 0);
	case PF_END_BRANCH:
		yes = beyond(r, b, 0);
		no = beyond(r, b, 1);
		/* What fits behind a base fits from the beginning on. */
		if (cond->op == PF_OP_FITS && (cond->a == r->base || !r->base) && cond->k > yes)
			yes = cond->k;
		return yes < no ? yes : no;
	default:
		return NEVER;
	}
}

/* From the last block to the first; checks of this base are raised on the way. */
static bool raise_checks(struct raising *r)
{
	struct pf_unit *u = r->u;
	bool changed = false;

	for (uint32_t i = r->flow.n; i-- > 0;) {
		pf_blk b = r->flow.order[i];
		const struct pf_value cond = u->val[u->blk[b].cond];
		bool check = u->blk[b].end == PF_END_BRANCH && cond.op == PF_OP_FITS &&
			     cond.a == r->base;
		uint32_t end = check && beyond(r, b, 1) == NEVER ? beyond(r, b, 0) : 0;

		if (end != NEVER && end > cond.k) {
			pf_val higher = pf_value(u, PF_OP_FITS, cond.a, 0, end);

			u->blk[b].cond = higher;
			changed = true;
		}
		r->least[b] = least_of(r, b);
	}
	return changed;
}

static int bounds_run(struct pf_unit *u)
{
	PFS_CLEANUP(raising_release) struct raising r = { .u = u };
	pf_val base[BASES_MAX] = { 0 }; /* the beginning is the first */
	unsigned n = 1;
	int changed = 0, e = pf_flow_make(u, &r.flow);

	if (e < 0)
		return e;
	r.least = pfs_zalloc(u->nblk, sizeof(*r.least));
	if (!r.least)
		return -ENOMEM;
	for (uint32_t i = 0; i < r.flow.n && n < BASES_MAX; i++) {
		const struct pf_block *b = &u->blk[r.flow.order[i]];
		unsigned k = 0;

		if (b->end != PF_END_BRANCH || u->val[b->cond].op != PF_OP_FITS)
			continue;
		while (k < n && base[k] != u->val[b->cond].a)
			k++;
		if (k == n)
			base[n++] = u->val[b->cond].a;
	}
	for (unsigned k = 0; k < n && !u->err; k++) {
		r.base = base[k];
		changed |= raise_checks(&r);
	}
	return u->err ? u->err : changed;
}

const struct pf_pass pf_pass_bounds = {
	.name = "bounds",
	.summary = "bounds checks are merged: what all ways need is checked at once",
	.run = bounds_run,
};
