/*
 * tidy - blocks that are the same become one, branches without a choice jumps, parameters without one values
 *
 * From the last block to the first: what a block leads to has been made one before the block is looked at. Every change
 * leaves fewer blocks, branches or parameters.
 */
#include "pf/ir/flow.h"
#include "pf/opt/opt.h"

struct tidying {
	struct pf_unit *u;
	struct pf_flow flow;
	pf_blk *same;  /* owned; by block: the one that stands for it */
	pf_blk *table; /* owned; open addressing */
	uint32_t mask;
	pf_val *alias; /* owned; by value */
	bool changed;
};

static void tidying_release(struct tidying *t)
{
	pf_flow_release(&t->flow);
	free(t->same);
	free(t->table);
	free(t->alias);
}

/* --- blocks ---------------------------------------------------------------------------------- */

static bool same_edge(const struct pf_edge *a, const struct pf_edge *b)
{
	if (a->to != b->to || a->nargs != b->nargs)
		return false;
	return !a->nargs || !memcmp(a->args, b->args, a->nargs * sizeof(*a->args));
}

static bool same_block(const struct pf_unit *u, const struct pf_block *a, const struct pf_block *b)
{
	if (a->end != b->end || a->npin != b->npin || (a->end == PF_END_BRANCH && a->cond != b->cond))
		return false;
	for (uint32_t i = 0; i < a->npin; i++) {
		const struct pf_value *x = &u->val[a->pin[i]], *y = &u->val[b->pin[i]];

		/* Each word that is read is another value. */
		if (x->op != y->op || x->k != y->k || x->a != y->a || x->b != y->b || x->op == PF_OP_GET)
			return false;
	}
	for (unsigned e = 0; e < pf_edges(a); e++)
		if (!same_edge(&a->edge[e], &b->edge[e]))
			return false;
	return true;
}

static uint32_t hash_block(const struct pf_unit *u, const struct pf_block *b)
{
	uint64_t h = b->end;

	if (b->end == PF_END_BRANCH)
		h = h * 31 + b->cond;
	for (uint32_t i = 0; i < b->npin; i++)
		h = (h * 31 + u->val[b->pin[i]].k) * 31 + u->val[b->pin[i]].a;
	for (unsigned e = 0; e < pf_edges(b); e++)
		h = h * 31 + b->edge[e].to;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

/* The block that does what b does: another that is found, or b itself. */
static pf_blk find_same(struct tidying *t, pf_blk b)
{
	const struct pf_unit *u = t->u;
	uint32_t at = hash_block(u, &u->blk[b]) & t->mask;

	if (u->blk[b].nparam || u->blk[b].loop)
		return b;
	for (; t->table[at]; at = (at + 1) & t->mask)
		if (same_block(u, &u->blk[t->table[at]], &u->blk[b]))
			return t->table[at];
	t->table[at] = b;
	return b;
}

/* Only a jump, and nothing that it passes on. */
static bool is_empty(const struct pf_block *b)
{
	return b->end == PF_END_JUMP && !b->npin && !b->nparam && !b->edge[0].nargs;
}

static void tidy_block(struct tidying *t, pf_blk b)
{
	struct pf_block *block = &t->u->blk[b];

	for (unsigned e = 0; e < pf_edges(block); e++) {
		/* An edge back leads to what has not come yet, and stays. */
		pf_blk to = t->same[block->edge[e].to];

		if (to && to != block->edge[e].to) {
			block->edge[e].to = to;
			t->changed = true;
		}
	}
	if (block->end == PF_END_BRANCH && !block->loop &&
	    same_edge(&block->edge[0], &block->edge[1])) {
		block->end = PF_END_JUMP;
		t->changed = true;
	}
	t->same[b] = is_empty(block) ? block->edge[0].to : find_same(t, b);
}

/* A block that only one jump leads to is the end of the block that jumps. */
static void join_blocks(struct tidying *t)
{
	for (uint32_t i = 0; i < t->flow.n; i++) {
		struct pf_block *b = &t->u->blk[t->flow.order[i]];

		while (b->end == PF_END_JUMP && !b->npin && !b->loop) {
			pf_blk to = b->edge[0].to;
			const struct pf_block *next = &t->u->blk[to];

			if (pf_flow_preds(&t->flow, to) != 1 || next->nparam || next->loop ||
			    to == t->flow.order[i])
				break;
			b->end = next->end;
			b->cond = next->cond;
			b->edge[0] = next->edge[0];
			b->edge[1] = next->edge[1];
			b->pin = next->pin;
			b->npin = next->npin;
			t->changed = true;
		}
	}
}

/* --- parameters ------------------------------------------------------------------------------ */

/* The one value that all ways bring, 0: there are several. */
static pf_val only_arg(const struct tidying *t, pf_blk b, uint32_t k)
{
	pf_val param = t->u->blk[b].param[k], only = 0;

	for (uint32_t p = t->flow.first[b]; p < t->flow.first[b + 1]; p++) {
		const struct pf_pred *pred = &t->flow.pred[p];
		pf_val arg = t->u->blk[pred->from].edge[pred->edge].args[k];

		if (arg == param || arg == only)
			continue;
		if (only)
			return 0;
		only = arg;
	}
	return only;
}

/* What stands for v by now. */
static pf_val resolve(const struct tidying *t, pf_val v)
{
	while (t->alias[v])
		v = t->alias[v];
	return v;
}

static void find_aliases(struct tidying *t)
{
	for (uint32_t i = 0; i < t->flow.n; i++) {
		pf_blk b = t->flow.order[i];
		const struct pf_block *block = &t->u->blk[b];

		for (uint32_t k = 0; k < block->nparam; k++) {
			pf_val only = block->loop && k == block->fuel ? 0 : only_arg(t, b, k);

			only = only ? resolve(t, only) : 0;
			/* Aliases must not lead round in a circle. */
			if (!only || only == block->param[k])
				continue;
			t->alias[block->param[k]] = only;
			t->changed = true;
		}
	}
}

static int tidy_blocks(struct tidying *t)
{
	struct pf_unit *u = t->u;
	int r = pf_flow_make(u, &t->flow);

	if (r < 0)
		return r;
	for (t->mask = 15; t->mask < u->nblk * 2; t->mask = t->mask * 2 + 1)
		;
	t->same = pfs_zalloc(u->nblk, sizeof(*t->same));
	t->table = pfs_zalloc((size_t)t->mask + 1, sizeof(*t->table));
	if (!t->same || !t->table)
		return -ENOMEM;
	for (uint32_t i = t->flow.n; i-- > 0;)
		tidy_block(t, t->flow.order[i]);
	if (!t->changed)
		return 0;
	pf_flow_release(&t->flow);
	r = pf_unit_compact(u);
	return r < 0 ? r : pf_flow_make(u, &t->flow);
}

static int tidy_run(struct pf_unit *u)
{
	PFS_CLEANUP(tidying_release) struct tidying t = { .u = u };
	int r = tidy_blocks(&t);

	if (r < 0)
		return r;
	t.alias = pfs_zalloc(u->nval, sizeof(*t.alias));
	if (!t.alias)
		return -ENOMEM;
	find_aliases(&t);
	join_blocks(&t);
	r = t.changed ? pf_unit_compact_as(u, t.alias) : 0;
	return r < 0 ? r : t.changed;
}

const struct pf_pass pf_pass_tidy = {
	.name = "tidy",
	.summary = "equal blocks are one, empty ones, needless branches and parameters are gone",
	.run = tidy_run,
};
