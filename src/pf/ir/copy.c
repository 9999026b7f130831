/*
 * Copying a unit: what can be reached and is used, in order.
 *
 * Values are made anew by pf_value(), so the copy shares and folds as the unit it goes into says;
 * this is how sharing and folding are passes. A unit that folds gets jumps for branches on
 * constants; what only they led to is reached no more, and the next copy leaves it out. Parameters
 * that nobody looks at are left out with their arguments.
 */
#include "pf/ir/flow.h"

struct copy {
	struct pf_unit *to;
	const struct pf_unit *from;
	const pf_val *alias; /* borrowed; by value: another to take for it, or 0; may be NULL */
	struct pf_flow flow;
	uint8_t *used; /* owned; by value */
	pf_val *val;   /* owned; new value by old one */
	pf_blk *blk;   /* owned; new block by old one */
	pf_val *stack; /* owned */
	uint32_t n;
	uint32_t memory; /* number of the first memory in the copy */
};

static void copy_release(struct copy *c)
{
	pf_flow_release(&c->flow);
	free(c->used);
	free(c->val);
	free(c->blk);
	free(c->stack);
}

static pf_val resolve(const struct copy *c, pf_val v)
{
	while (c->alias && c->alias[v])
		v = c->alias[v];
	return v;
}

static void mark(struct copy *c, pf_val v)
{
	v = resolve(c, v);
	if (v && !c->used[v]) {
		c->used[v] = 1;
		c->stack[c->n++] = v;
	}
}

/* A parameter is worth what its arguments cost only when somebody looks at it. */
static void mark_args(struct copy *c, const struct pf_value *param)
{
	for (uint32_t p = c->flow.first[param->a]; p < c->flow.first[param->a + 1]; p++) {
		const struct pf_pred *pred = &c->flow.pred[p];

		mark(c, c->from->blk[pred->from].edge[pred->edge].args[param->k]);
	}
}

static void mark_used(struct copy *c)
{
	for (uint32_t i = 0; i < c->flow.n; i++) {
		const struct pf_block *b = &c->from->blk[c->flow.order[i]];

		/* A word is read for who wants it. */
		for (uint32_t p = 0; p < b->npin; p++)
			if (c->from->val[b->pin[p]].op != PF_OP_GET)
				mark(c, b->pin[p]);
		if (b->end == PF_END_BRANCH)
			mark(c, b->cond);
		while (c->n > 0) {
			const struct pf_value *v = &c->from->val[c->stack[--c->n]];
			unsigned operands = pf_operands(v);

			if (v->op == PF_OP_PARAM)
				mark_args(c, v);
			if (operands > 0)
				mark(c, v->a);
			if (operands > 1)
				mark(c, v->b);
		}
	}
}

static uint32_t copied_place(const struct copy *c, const struct pf_value *v)
{
	return pf_place(c->memory + pf_place_memory(v), pf_place_at(v));
}

static pf_val make_value(struct copy *c, const struct pf_value *old, pf_val a, pf_val b)
{
	switch (old->op) {
	case PF_OP_FIND:
		return pf_find(c->to, c->from->table[old->k], a, b);
	case PF_OP_GET:
		return pf_effect(c->to, PF_OP_GET, a, 0, copied_place(c, old));
	default:
		return pf_value(c->to, old->op, a, b, old->k);
	}
}

/* In the copy; what it is made of first. An alias may be younger than those that use it. */
static void copy_value(struct copy *c, pf_val root)
{
	c->stack[c->n++] = root;
	while (c->n > 0) {
		pf_val v = c->stack[c->n - 1];
		const struct pf_value *old = &c->from->val[v];
		unsigned operands = pf_operands(old);
		pf_val a = operands > 0 ? resolve(c, old->a) : 0;
		pf_val b = operands > 1 ? resolve(c, old->b) : 0;

		if (a && !c->val[a]) {
			c->stack[c->n++] = a;
		} else if (b && !c->val[b]) {
			c->stack[c->n++] = b;
		} else {
			c->n--;
			c->val[v] = make_value(c, old, c->val[a], c->val[b]);
			if (c->to->err)
				return;
		}
	}
}

static void copy_values(struct copy *c)
{
	for (pf_val v = 1; v < c->from->nval && !c->to->err; v++)
		if (c->used[v] && !c->val[v] && !pf_ops[c->from->val[v].op].effect)
			copy_value(c, v);
}

static pf_val copied(const struct copy *c, pf_val v)
{
	return c->val[resolve(c, v)];
}

static void copy_edge(struct copy *c, const struct pf_edge *old, pf_blk from, unsigned e)
{
	const struct pf_block *to = &c->from->blk[old->to];

	for (uint32_t a = 0; a < old->nargs; a++)
		if (c->used[to->param[a]])
			pf_edge_arg(c->to, &c->to->blk[from].edge[e], copied(c, old->args[a]));
}

static void copy_end(struct copy *c, const struct pf_block *old, pf_blk new)
{
	pf_val cond = old->end == PF_END_BRANCH ? copied(c, old->cond) : 0;
	unsigned only = 0;

	if (c->to->err)
		return;
	if (old->end == PF_END_BRANCH && !(c->to->fold && pf_is_const(c->to, cond))) {
		pf_block_branch(c->to, new, cond, c->blk[old->edge[0].to], c->blk[old->edge[1].to]);
		copy_edge(c, &old->edge[0], new, 0);
		copy_edge(c, &old->edge[1], new, 1);
	} else if (old->end == PF_END_STOP) {
		pf_block_stop(c->to, new);
	} else if (old->end != PF_END_NONE) {
		only = old->end == PF_END_BRANCH && !c->to->val[cond].k;
		pf_block_jump(c->to, new, c->blk[old->edge[only].to]);
		copy_edge(c, &old->edge[only], new, 0);
	}
}

static void copy_pin(struct copy *c, pf_val v, pf_blk to)
{
	const struct pf_value *pin = &c->from->val[v];

	switch (pin->op) {
	case PF_OP_GET:
		if (!c->used[v])
			return;
		if (!c->val[v])
			copy_value(c, v);
		pf_block_pin(c->to, to, c->val[v]);
		break;
	case PF_OP_SET:
		pf_block_pin(c->to, to,
			     pf_effect(c->to, PF_OP_SET, copied(c, pin->a),
				       pin->b ? copied(c, pin->b) : 0, copied_place(c, pin)));
		break;
	default:
		pf_block_result(c->to, to, pin->k, copied(c, pin->a));
		break;
	}
}

static void copy_block(struct copy *c, pf_blk b)
{
	const struct pf_block *old = &c->from->blk[b];

	for (uint32_t p = 0; p < old->npin && !c->to->err; p++)
		copy_pin(c, old->pin[p], c->blk[b]);
	copy_end(c, old, c->blk[b]);
}

/* Blocks in their order, with those parameters that are used. */
static void make_blocks(struct copy *c)
{
	for (uint32_t i = 0; i < c->flow.n && !c->to->err; i++) {
		pf_blk b = c->flow.order[i], new = pf_block(c->to);
		const struct pf_block *old = &c->from->blk[b];

		c->blk[b] = new;
		if (!new)
			return;
		c->to->blk[new].loop = old->loop;
		for (uint32_t p = 0; p < old->nparam; p++) {
			if (!c->used[old->param[p]])
				continue;
			if (old->loop && p == old->fuel)
				c->to->blk[new].fuel = c->to->blk[new].nparam;
			c->val[old->param[p]] = pf_block_param(c->to, new);
		}
	}
}

int pf_unit_copy_as(struct pf_unit *to, const struct pf_unit *from, const pf_val *alias)
{
	PFS_CLEANUP(copy_release) struct copy c = { .to = to, .from = from, .alias = alias };
	int r;

	c.used = pfs_zalloc(from->nval, 1);
	c.val = pfs_zalloc(from->nval, sizeof(*c.val));
	c.blk = pfs_zalloc(from->nblk, sizeof(*c.blk));
	c.stack = pfs_zalloc((size_t)from->nval * 2, sizeof(*c.stack));
	if (!c.used || !c.val || !c.blk || !c.stack)
		return -ENOMEM;
	r = pf_flow_make(from, &c.flow);
	if (r < 0)
		return r;
	c.memory = to->nmemory;
	for (uint32_t i = 0; i < from->nmemory; i++)
		pf_memory(to, from->memory[i]);
	mark_used(&c);
	make_blocks(&c);
	copy_values(&c);
	for (uint32_t i = 0; i < c.flow.n && !to->err; i++)
		copy_block(&c, c.flow.order[i]);
	to->entry = c.blk[from->entry];
	if (to->nresult < from->nresult)
		to->nresult = from->nresult;
	return to->err;
}

int pf_unit_copy(struct pf_unit *to, const struct pf_unit *from)
{
	return pf_unit_copy_as(to, from, NULL);
}

int pf_unit_compact_as(struct pf_unit *u, const pf_val *alias)
{
	struct pf_unit new;
	int r;

	if (u->err)
		return u->err;
	pf_unit_init(&new);
	new.share = u->share;
	new.fold = u->fold;
	r = pf_unit_copy_as(&new, u, alias);
	if (r < 0) {
		pf_unit_release(&new);
		return r;
	}
	pf_unit_release(u);
	*u = new;
	return 0;
}

int pf_unit_compact(struct pf_unit *u)
{
	return pf_unit_compact_as(u, NULL);
}

static void mix(uint64_t *h, uint64_t x)
{
	*h = (*h ^ x) * UINT64_C(0xff51afd7ed558ccd);
	*h ^= *h >> 29;
}

uint64_t pf_unit_digest(const struct pf_unit *u)
{
	uint64_t h = u->nval * UINT64_C(0x9e3779b97f4a7c15) + u->nblk;

	for (pf_val v = 1; v < u->nval; v++) {
		mix(&h, u->val[v].op);
		mix(&h, u->val[v].k);
		mix(&h, u->val[v].a);
		mix(&h, u->val[v].b);
	}
	for (uint32_t i = 0; i < u->nmemory; i++)
		mix(&h, u->memory[i]);
	for (pf_blk b = 1; b < u->nblk; b++) {
		const struct pf_block *block = &u->blk[b];

		mix(&h, block->end);
		mix(&h, block->end == PF_END_BRANCH ? block->cond : 0);
		mix(&h, block->npin);
		for (unsigned e = 0; e < pf_edges(block); e++) {
			mix(&h, block->edge[e].to);
			for (uint32_t a = 0; a < block->edge[e].nargs; a++)
				mix(&h, block->edge[e].args[a]);
		}
		for (uint32_t p = 0; p < block->npin; p++)
			mix(&h, block->pin[p]);
	}
	return h;
}
