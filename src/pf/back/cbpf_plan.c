/*
 * What the emitter knows before it writes code: who needs what how long, where parameters live,
 * which checks are needless.
 */
#include "pf/back/cbpf_i.h"
#include "pf/back/legal.h"
#include "pf/ir/walk.h"

void cb_plan_release(struct cb_plan *p)
{
	pf_unit_release(&p->u);
	pf_flow_release(&p->flow);
	free(p->last);
	free(p->is_base);
	free(p->home);
	free(p->wish);
	free(p->top);
	free(p->early);
	free(p->saved);
	free(p->weight);
	free(p->times);
	pf_extents_release(&p->extents);
	free(p->reach);
	free(p->span);
	free(p->seen);
	free(p->stack);
}

/* --- who needs what -------------------------------------------------------------------------- */

struct needing {
	struct cb_plan *p;
	struct pf_walk walk;
	uint32_t at;
	uint32_t cap;
};

static int add_extent(struct needing *n, pf_val base, uint32_t end)
{
	struct cb_plan *p = n->p;

	if (p->nreach == n->cap) {
		uint32_t cap = n->cap ? n->cap * 2 : 64;
		void *grown = reallocarray(p->reach, cap, sizeof(*p->reach));

		if (!grown)
			return -ENOMEM;
		p->reach = grown;
		n->cap = cap;
	}
	p->reach[p->nreach++] = (struct pf_extent){ base, end };
	return 0;
}

/* The nearest block that dominates both, by positions. */
static uint32_t common(const struct cb_plan *p, uint32_t a, uint32_t b)
{
	while (a != b) {
		uint32_t *later = a > b ? &a : &b;

		*later = p->flow.pos[p->flow.idom[p->flow.order[*later]]];
	}
	return a;
}

/* The block needs v and all that it is made of. */
static int need(struct needing *n, pf_val root)
{
	struct cb_plan *p = n->p;
	pf_val v;
	int r = 0;

	pf_walk_root(&n->walk, root);
	while (r == 0 && (v = pf_walk_next(&n->walk))) {
		const struct pf_value *value = &p->u.val[v];
		unsigned size = pf_load_size(value->op);

		p->top[v] = p->last[v] ? common(p, p->top[v], n->at) : n->at;
		if (p->last[v] < n->at + 1)
			p->last[v] = n->at + 1;
		if (size)
			r = add_extent(n, value->a, value->k + size);
	}
	return r;
}

static bool is_check(const struct cb_plan *p, const struct pf_block *b)
{
	enum pf_op op = p->u.val[b->cond].op;

	return b->end == PF_END_BRANCH && (op == PF_OP_FITS || op == PF_OP_KNOWN);
}

/* Parameters that nobody needs want no arguments; the blocks below have said which. */
static int need_args(struct needing *n, const struct pf_edge *edge)
{
	const struct pf_block *to = &n->p->u.blk[edge->to];
	int r = 0;

	for (uint32_t i = 0; i < edge->nargs && r == 0; i++)
		if (n->p->last[to->param[i]])
			r = need(n, edge->args[i]);
	return r;
}

/* From the last block to the first. */
static int find_needs(struct cb_plan *p)
{
	struct needing n = { .p = p };
	int r = pf_walk_init(&n.walk, &p->u);

	for (uint32_t i = p->flow.n; i-- > 0 && r == 0;) {
		const struct pf_block *b = &p->u.blk[p->flow.order[i]];

		memset(n.walk.done, 0, n.walk.nval);
		n.at = i;
		p->span[(size_t)i * 2] = p->nreach;
		if (b->npin)
			r = need(&n, p->u.val[b->pin[0]].a);
		if (r == 0 && b->end == PF_END_BRANCH && !is_check(p, b))
			r = need(&n, b->cond);
		for (unsigned e = 0; e < pf_edges(b) && r == 0; e++)
			r = need_args(&n, &b->edge[e]);
		p->span[(size_t)i * 2 + 1] = p->nreach;
	}
	pf_walk_release(&n.walk);
	return r;
}

/* --- parameters ------------------------------------------------------------------------------ */

/* One alone comes in a register; several have words of their own. */
int cb_plan_homes(struct cb_plan *p)
{
	for (uint32_t i = 0; i < p->flow.n; i++) {
		const struct pf_block *b = &p->u.blk[p->flow.order[i]];
		uint32_t used = 0;

		for (uint32_t k = 0; k < b->nparam; k++)
			used += p->last[b->param[k]] != 0;
		for (uint32_t k = 0; k < b->nparam; k++) {
			pf_val v = b->param[k];

			if (!p->last[v])
				continue;
			if (used == 1 && p->home[v] != CB_HOME_WORD && p->wish[v] != CB_HOME_WORD)
				p->home[v] = p->wish[v]	     ? p->wish[v]
					     : p->is_base[v] ? CB_HOME_X
							     : CB_HOME_A;
			else if (p->words == CB_WORDS)
				return -E2BIG;
			else
				p->home[v] = (uint8_t)(CB_WORDS - ++p->words);
		}
	}
	return 0;
}

/* --- checks ---------------------------------------------------------------------------------- */

/* What is loaded behind any base lies behind the beginning, too. */
static bool block_covers(const struct cb_plan *p, uint32_t at, pf_val base, uint32_t end)
{
	for (uint32_t i = p->span[(size_t)at * 2]; i < p->span[(size_t)at * 2 + 1]; i++)
		if ((p->reach[i].base == base || !base) && p->reach[i].end >= end)
			return true;
	return false;
}

bool cb_plan_covers(struct cb_plan *p, pf_blk b, pf_val base, uint32_t end)
{
	uint32_t n = 0;

	p->mark++;
	p->stack[n++] = b;
	while (n > 0) {
		const struct pf_block *block = &p->u.blk[p->stack[--n]];
		uint32_t at = p->flow.pos[p->stack[n]];

		if (p->seen[at] == p->mark || block_covers(p, at, base, end))
			continue;
		p->seen[at] = p->mark;
		if (block->end == PF_END_STOP && block->npin &&
		    !pf_is(&p->u, p->u.val[block->pin[0]].a, 0))
			return false;
		for (unsigned e = 0; e < pf_edges(block); e++)
			if (p->seen[p->flow.pos[block->edge[e].to]] != p->mark)
				p->stack[n++] = block->edge[e].to;
	}
	return true;
}

bool cb_plan_can_make(const struct cb_plan *p, pf_val v, uint32_t at)
{
	PF_WALK struct pf_walk walk;
	pf_blk b = p->flow.order[at];
	bool ok = pf_walk_init(&walk, &p->u) == 0;

	pf_walk_root(&walk, ok ? v : 0);
	while (ok && (v = pf_walk_next(&walk))) {
		const struct pf_value *value = &p->u.val[v];
		unsigned size = pf_load_size(value->op);

		if (size && pf_extent_at(&p->extents, b, value->a) < value->k + size)
			ok = false;
		if ((value->op == PF_OP_DIV || value->op == PF_OP_MOD) && !pf_is_const(&p->u, value->b))
			ok = false;
	}
	return ok;
}

int cb_plan_make(struct cb_plan *p, const struct pf_unit *u, unsigned flags)
{
	int r;

	pf_unit_init(&p->u);
	p->linux_rules = flags & PF_CBPF_LINUX;
	r = pf_legal_cbpf(&p->u, u, p->linux_rules);
	if (r < 0)
		return r;
	pf_unit_split(&p->u);
	if (p->u.err)
		return p->u.err;
	r = pf_flow_make(&p->u, &p->flow);
	if (r < 0)
		return r;
	p->last = pfs_zalloc(p->u.nval, sizeof(*p->last));
	p->is_base = pfs_zalloc(p->u.nval, sizeof(*p->is_base));
	p->home = pfs_zalloc(p->u.nval, sizeof(*p->home));
	p->wish = pfs_zalloc(p->u.nval, sizeof(*p->wish));
	p->top = pfs_zalloc(p->u.nval, sizeof(*p->top));
	p->early = pfs_zalloc(p->u.nval, sizeof(*p->early));
	p->saved = pfs_zalloc(p->u.nval, sizeof(*p->saved));
	p->weight = pfs_zalloc(p->u.nval, sizeof(*p->weight));
	p->times = pfs_zalloc(p->u.nval, sizeof(*p->times));
	p->span = pfs_zalloc((size_t)p->flow.n * 2, sizeof(*p->span));
	p->seen = pfs_zalloc(p->flow.n, sizeof(*p->seen));
	/* Two edges for each block that is looked at once. */
	p->stack = pfs_zalloc((size_t)p->flow.n * 2 + 1, sizeof(*p->stack));
	if (!p->last || !p->is_base || !p->home || !p->wish || !p->top || !p->early || !p->saved ||
	    !p->weight || !p->times || !p->span || !p->seen || !p->stack)
		return -ENOMEM;
	for (pf_val v = 1; v < p->u.nval; v++)
		if (pf_load_size(p->u.val[v].op))
			p->is_base[p->u.val[v].a] = 1;
	r = pf_extents_make(&p->u, &p->flow, &p->extents);
	return r < 0 ? r : find_needs(p);
}
