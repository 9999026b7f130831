/*
 * Copying a unit: what can be reached, in order. A unit that folds gets jumps for branches on
 * constants; what only they led to is reached no more, and the next copy leaves it out. Values are
 * made anew by pf_value(), so the copy shares and folds as the unit it goes into says; this is how
 * sharing and folding are passes.
 */
#include "pf/ir/flow.h"

struct copy {
	struct pf_unit *to;
	const struct pf_unit *from;
	struct pf_flow flow;
	pf_val *val; /* owned; new value by old one */
	pf_blk *blk; /* owned; new block by old one */
};

static void copy_release(struct copy *c)
{
	pf_flow_release(&c->flow);
	free(c->val);
	free(c->blk);
}

static void mark(const struct copy *c, pf_val *stack, uint32_t *n, pf_val v)
{
	if (v && !c->val[v]) {
		c->val[v] = 1;
		stack[(*n)++] = v;
	}
}

/* Which values are used? val[] becomes 1 for those. */
static int mark_values(struct copy *c)
{
	PFS_FREE pf_val *stack = pfs_zalloc(c->from->nval, sizeof(*stack));
	uint32_t n = 0;

	if (!stack)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->flow.n; i++) {
		const struct pf_block *b = &c->from->blk[c->flow.order[i]];

		for (uint32_t p = 0; p < b->npin; p++)
			mark(c, stack, &n, b->pin[p]);
		if (b->end == PF_END_BRANCH)
			mark(c, stack, &n, b->cond);
		for (unsigned e = 0; e < pf_edges(b); e++)
			for (uint32_t a = 0; a < b->edge[e].nargs; a++)
				mark(c, stack, &n, b->edge[e].args[a]);
		while (n > 0) {
			const struct pf_value *v = &c->from->val[stack[--n]];
			unsigned operands = pf_operands(v);

			if (operands > 0)
				mark(c, stack, &n, v->a);
			if (operands > 1)
				mark(c, stack, &n, v->b);
		}
	}
	return 0;
}

/* Operands stand before what uses them. */
static void copy_values(struct copy *c)
{
	for (pf_val v = 1; v < c->from->nval; v++) {
		const struct pf_value *old = &c->from->val[v];

		if (!c->val[v] || old->op == PF_OP_PARAM || pf_ops[old->op].effect)
			continue;
		c->val[v] = pf_value(c->to, old->op, c->val[old->a], c->val[old->b], old->k);
	}
}

static void copy_edge(struct copy *c, const struct pf_edge *old, pf_blk from, unsigned e)
{
	for (uint32_t a = 0; a < old->nargs; a++)
		pf_edge_arg(c->to, &c->to->blk[from].edge[e], c->val[old->args[a]]);
}

static void copy_block(struct copy *c, pf_blk b)
{
	const struct pf_block *old = &c->from->blk[b];
	pf_blk new = c->blk[b];

	for (uint32_t p = 0; p < old->npin; p++) {
		const struct pf_value *pin = &c->from->val[old->pin[p]];

		pf_block_result(c->to, new, pin->k, c->val[pin->a]);
	}
	if (old->end == PF_END_BRANCH && c->to->fold && pf_is_const(c->to, c->val[old->cond])) {
		unsigned e = c->to->val[c->val[old->cond]].k ? 0 : 1;

		pf_block_jump(c->to, new, c->blk[old->edge[e].to]);
		copy_edge(c, &old->edge[e], new, 0);
		return;
	}
	if (old->end == PF_END_BRANCH)
		pf_block_branch(c->to, new, c->val[old->cond], c->blk[old->edge[0].to],
				c->blk[old->edge[1].to]);
	else if (old->end == PF_END_JUMP)
		pf_block_jump(c->to, new, c->blk[old->edge[0].to]);
	else
		pf_block_stop(c->to, new);
	for (unsigned e = 0; e < pf_edges(old); e++)
		copy_edge(c, &old->edge[e], new, e);
}

int pf_unit_copy(struct pf_unit *to, const struct pf_unit *from)
{
	PFS_CLEANUP(copy_release) struct copy c = { .to = to, .from = from };
	int r;

	c.val = pfs_zalloc(from->nval, sizeof(*c.val));
	c.blk = pfs_zalloc(from->nblk, sizeof(*c.blk));
	if (!c.val || !c.blk)
		return -ENOMEM;
	r = pf_flow_make(from, &c.flow);
	if (r < 0)
		return r;
	r = mark_values(&c);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < c.flow.n; i++) {
		pf_blk b = c.flow.order[i];
		const struct pf_block *old = &from->blk[b];

		c.blk[b] = pf_block(to);
		if (to->err)
			return to->err;
		to->blk[c.blk[b]].loop = old->loop;
		to->blk[c.blk[b]].fuel = old->fuel;
		for (uint32_t p = 0; p < old->nparam; p++)
			c.val[old->param[p]] = pf_block_param(to, c.blk[b]);
	}
	copy_values(&c);
	for (uint32_t i = 0; i < c.flow.n && !to->err; i++)
		copy_block(&c, c.flow.order[i]);
	to->entry = c.blk[from->entry];
	if (to->nresult < from->nresult)
		to->nresult = from->nresult;
	return to->err;
}

int pf_unit_compact(struct pf_unit *u)
{
	struct pf_unit new;
	int r;

	if (u->err)
		return u->err;
	pf_unit_init(&new);
	new.share = u->share;
	new.fold = u->fold;
	r = pf_unit_copy(&new, u);
	if (r < 0) {
		pf_unit_release(&new);
		return r;
	}
	pf_unit_release(u);
	*u = new;
	return 0;
}
