/*
 * Each unit is copied block by block. Where it says its result the copy goes on: to what is below, to what is beside,
 * or to the end.
 */
#include "pf/merge/tree.h"

#include "pf/ir/flow.h"

struct tree {
	struct pf_unit *to;
	const struct pf_branch *branch;
	size_t n;
	pf_blk unsure; /* 0: goes on */
	uint32_t results;
	uint32_t *child, *sibling; /* owned; by branch: index + 1; 0: none */
	uint32_t top;		   /* the first without one above */
};

/* One unit on its way into the tree. */
struct graft {
	struct pf_unit *to;
	const struct pf_unit *from;
	struct pf_flow flow;
	pf_val *val; /* owned; new value by old one */
	pf_blk *blk; /* owned; new block by old one */
	uint32_t result;
	uint32_t cut;		  /* as in struct pf_branch */
	pf_blk below, no, unsure; /* 0: not made yet */
	uint32_t unsure_result;
};

static void graft_release(struct graft *g)
{
	pf_flow_release(&g->flow);
	free(g->val);
	free(g->blk);
}

static bool is_narrowed(const struct graft *g, const struct pf_value *v)
{
	return v->op == PF_OP_FITS && g->cut && (v->a || v->k > g->cut);
}

/* Where no more than so many bytes are seen: is the end behind that base among them? k <= cut */
static pf_val in_sight(struct graft *g, const struct pf_value *old)
{
	return pf_binary(g->to, PF_OP_LT, g->val[old->a], pf_const(g->to, g->cut - old->k + 1));
}

/* Of one that is narrowed. */
static pf_val graft_fits(struct graft *g, const struct pf_value *old)
{
	if (old->k > g->cut)
		return pf_const(g->to, 0);
	return pf_binary(g->to, PF_OP_AND, pf_value(g->to, PF_OP_FITS, g->val[old->a], 0, old->k),
			 in_sight(g, old));
}

/* Operands stand before their users. Parameters have theirs already. */
static void graft_values(struct graft *g)
{
	for (pf_val v = 1; v < g->from->nval && !g->to->err; v++) {
		const struct pf_value *old = &g->from->val[v];
		unsigned operands = pf_operands(old);

		if (g->val[v] || pf_ops[old->op].effect || old->op == PF_OP_PARAM)
			continue;
		g->val[v] = is_narrowed(g, old)
				    ? graft_fits(g, old)
				    : pf_value(g->to, old->op, operands > 0 ? g->val[old->a] : 0,
					       operands > 1 ? g->val[old->b] : 0, old->k);
	}
}

/* A block of its own for each place where the filter accepts: what is known there is not known everywhere. */
static pf_blk accept(struct pf_unit *to, uint32_t result, pf_blk below)
{
	pf_blk b;

	if (result == PF_TREE_SILENT)
		return below;
	b = pf_block(to);
	pf_block_result(to, b, result, pf_const(to, 1));
	pf_block_jump(to, b, below);
	return b;
}

static pf_blk unsure(struct graft *g)
{
	if (!g->unsure)
		g->unsure = accept(g->to, g->unsure_result, g->no);
	return g->unsure;
}

/* Where an edge to this block of the filter leads. */
static pf_blk graft_target(struct graft *g, pf_blk old)
{
	const struct pf_block *b = &g->from->blk[old];
	const struct pf_value *result = b->npin ? &g->from->val[g->from->val[b->pin[0]].a] : NULL;

	if (!result && b->end == PF_END_STOP)
		return g->no;
	if (!result || result->op != PF_OP_CONST || b->nparam)
		return g->blk[old];
	return result->k == PF_UNSURE ? unsure(g)
	       : result->k	      ? accept(g->to, g->result, g->below)
				      : g->no;
}

static void graft_result(struct graft *g, pf_blk at, pf_val value)
{
	const struct pf_value *v = &g->from->val[value];
	pf_blk yes = accept(g->to, g->result, g->below);

	if (v->op != PF_OP_CONST)
		pf_block_branch(g->to, at, g->val[value], yes, g->no);
	else
		pf_block_jump(g->to, at, v->k == PF_UNSURE ? unsure(g) : v->k ? yes : g->no);
}

static void graft_edge(struct graft *g, const struct pf_edge *old, pf_blk at, unsigned e)
{
	for (uint32_t a = 0; a < old->nargs && !g->to->err; a++)
		pf_edge_arg(g->to, &g->to->blk[at].edge[e], g->val[old->args[a]]);
}

/* By a condition that is narrowed. What shows that bytes are there stays a branch of its own. */
static void graft_narrowed(struct graft *g, const struct pf_block *old, pf_blk at)
{
	const struct pf_value *v = &g->from->val[old->cond];
	pf_blk no = graft_target(g, old->edge[1].to), seen;

	if (v->k > g->cut) {
		pf_block_jump(g->to, at, no);
		graft_edge(g, &old->edge[1], at, 0);
		return;
	}
	seen = pf_block(g->to);
	pf_block_branch(g->to, at, pf_value(g->to, PF_OP_FITS, g->val[v->a], 0, v->k), seen, no);
	graft_edge(g, &old->edge[1], at, 1);
	pf_block_branch(g->to, seen, in_sight(g, v), graft_target(g, old->edge[0].to), no);
	graft_edge(g, &old->edge[0], seen, 0);
	graft_edge(g, &old->edge[1], seen, 1);
}

static void graft_block(struct graft *g, pf_blk b)
{
	const struct pf_block *old = &g->from->blk[b];
	pf_blk at = g->blk[b];

	if (old->npin) {
		graft_result(g, at, g->from->val[old->pin[0]].a);
	} else if (old->end == PF_END_BRANCH && is_narrowed(g, &g->from->val[old->cond])) {
		graft_narrowed(g, old, at);
	} else if (old->end == PF_END_BRANCH) {
		pf_block_branch(g->to, at, g->val[old->cond], graft_target(g, old->edge[0].to),
				graft_target(g, old->edge[1].to));
		graft_edge(g, &old->edge[0], at, 0);
		graft_edge(g, &old->edge[1], at, 1);
	} else if (old->end == PF_END_JUMP) {
		pf_block_jump(g->to, at, graft_target(g, old->edge[0].to));
		graft_edge(g, &old->edge[0], at, 0);
	} else {
		pf_block_jump(g->to, at, g->no);
	}
}

/* Returns its entry in *ret_entry. */
static int graft(struct tree *t, const struct pf_branch *b, pf_blk below, pf_blk no, pf_blk *ret_entry)
{
	const struct pf_unit *from = b->unit;
	PFS_CLEANUP(graft_release)
	struct graft g = { t->to, from, .result = b->result, .cut = b->cut, .below = below, .no = no };
	int r = from->nresult == 1 && !from->nmemory ? 0 : -ENOTSUP;

	g.unsure = t->unsure;
	g.unsure_result = t->results + (uint32_t)(b - t->branch);
	g.val = pfs_zalloc(from->nval, sizeof(*g.val));
	g.blk = pfs_zalloc(from->nblk, sizeof(*g.blk));
	if (!g.val || !g.blk)
		return -ENOMEM;
	if (r == 0)
		r = pf_flow_make(from, &g.flow);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < g.flow.n && !t->to->err; i++) {
		const struct pf_block *old = &from->blk[g.flow.order[i]];

		if (old->loop)
			return -ENOTSUP;
		g.blk[g.flow.order[i]] = pf_block(t->to);
		for (uint32_t p = 0; p < old->nparam && !t->to->err; p++)
			g.val[old->param[p]] = pf_block_param(t->to, g.blk[g.flow.order[i]]);
	}
	graft_values(&g);
	for (uint32_t i = 0; i < g.flow.n && !t->to->err; i++)
		graft_block(&g, g.flow.order[i]);
	*ret_entry = g.blk[from->entry];
	return t->to->err;
}

/* The block that asks branch i and all below it, and goes on at `next`. */
static int plant(struct tree *t, uint32_t i, pf_blk next, pf_blk *ret_entry)
{
	const struct pf_branch *b = &t->branch[i];
	pf_blk below = next;
	int r = 0;

	/* The last first: each goes on at the one made before. Depth is bounded by that of directories. */
	for (uint32_t c = t->child[i]; c && r == 0; c = t->sibling[c - 1])
		r = plant(t, c - 1, below, &below);
	if (r < 0)
		return r;
	if (b->unit)
		return graft(t, b, below, next, ret_entry);
	*ret_entry = accept(t->to, b->result, below);
	return t->to->err;
}

/* Who is below whom; lists are backwards. */
static int link_all(struct tree *t)
{
	t->child = pfs_zalloc(t->n, sizeof(*t->child));
	t->sibling = pfs_zalloc(t->n, sizeof(*t->sibling));
	if (!t->child || !t->sibling)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t above = t->branch[i].above;
		uint32_t *list = above == PF_TREE_TOP ? &t->top : &t->child[above];

		assert(above == PF_TREE_TOP || above < i);
		t->sibling[i] = *list;
		*list = i + 1;
	}
	return 0;
}

static void tree_release(struct tree *t)
{
	free(t->child);
	free(t->sibling);
}

int pf_tree(const struct pf_branch *branch, size_t n, uint32_t results, bool on,
	    struct pf_unit *ret_unit)
{
	PFS_CLEANUP(tree_release)
	struct tree t = { .to = ret_unit, .branch = branch, .n = n, .results = results };
	pf_blk end;
	int r = link_all(&t);

	if (r < 0)
		return r;
	ret_unit->nresult = results + (on ? (uint32_t)n : 1);
	end = pf_block(ret_unit);
	pf_block_stop(ret_unit, end);
	if (!on) {
		t.unsure = pf_block(ret_unit);
		pf_block_result(ret_unit, t.unsure, results, pf_const(ret_unit, 1));
		pf_block_stop(ret_unit, t.unsure);
	}
	for (uint32_t c = t.top; c && r == 0; c = t.sibling[c - 1])
		r = plant(&t, c - 1, end, &end);
	if (r < 0)
		return r;
	ret_unit->entry = end;
	return ret_unit->err;
}
