/*
 * widen - two tests of fields that lie within four bytes become one
 *
 *	load8[23] == 6 and not load16[20] & 0x1fff        (load32[20] & 0x1fff00ff) == 6
 *
 * Both must have the same way out when they fail, and the bytes must be known to be there where the
 * first is. One branch less each time.
 */
#include "pf/ir/facts.h"
#include "pf/opt/chain.h"
#include "pf/opt/opt.h"

/* (bytes & mask) == value, of a field of up to four bytes, big endian. */
struct field {
	pf_val base;
	uint32_t at;
	unsigned size;
	uint32_t mask, value;
};

#define VISITS_MAX (1u << 20) /* in one run: each pair takes a look at all blocks */

struct widening {
	struct pf_unit *u;
	struct pf_flow flow;
	struct pf_extents extents;
	uint32_t *count;	/* owned; by value: tests that want it loaded */
	struct pf_chain *chain; /* borrowed */
};

static void widening_release(struct widening *w)
{
	pf_flow_release(&w->flow);
	pf_extents_release(&w->extents);
	free(w->count);
}

static uint32_t all_bits(unsigned size)
{
	return UINT32_MAX >> (32 - size * 8);
}

static bool field_of_load(const struct pf_unit *u, pf_val load, uint32_t mask, uint32_t value,
			  struct field *f)
{
	const struct pf_value *v = &u->val[load];
	unsigned size = pf_load_size(v->op);

	if (!size || (value & ~mask) || (value & ~all_bits(size)))
		return false;
	*f = (struct field){ v->a, v->k, size, mask & all_bits(size), value };
	return true;
}

/* Is it said by the condition (with `no`, by its opposite) that a field has a value? */
static bool field_of(const struct pf_unit *u, pf_val cond, bool no, struct field *f)
{
	const struct pf_value *v = &u->val[cond], *left;
	bool right = pf_operands(v) == 2 && pf_is_const(u, v->b);
	uint32_t k = right ? u->val[v->b].k : 0;

	if (no) {
		/* No bit of the mask, or nothing at all, is set. */
		if (v->op == PF_OP_AND && right)
			return field_of_load(u, v->a, k, 0, f);
		return field_of_load(u, cond, UINT32_MAX, 0, f);
	}
	/* One bit that is set. */
	if (v->op == PF_OP_AND && right && !(k & (k - 1)))
		return field_of_load(u, v->a, k, k, f);
	if (v->op != PF_OP_EQ || !right)
		return false;
	left = &u->val[v->a];
	if (left->op == PF_OP_AND && pf_is_const(u, left->b))
		return field_of_load(u, left->a, u->val[left->b].k, k, f);
	return field_of_load(u, v->a, UINT32_MAX, k, f);
}

/* The same bits in a window of `size` bytes from `at` on. */
static uint32_t in_window(uint32_t bits, const struct field *f, uint32_t at, unsigned size)
{
	return bits << ((at + size - f->at - f->size) * 8);
}

/* One field for two, inside of what is known to be there. */
static bool unite(const struct field *a, const struct field *b, uint32_t extent, struct field *f)
{
	uint32_t first = a->at < b->at ? a->at : b->at;
	uint32_t end = a->at + a->size > b->at + b->size ? a->at + a->size : b->at + b->size;
	uint32_t mask_a, mask_b, value_a, value_b;

	if (a->base != b->base || end - first > 4)
		return false;
	/* There are no loads of three bytes: one more in front, or behind. */
	if (end - first == 3 && first > 0)
		first--;
	else if (end - first == 3)
		end++;
	if (end > extent)
		return false;
	*f = (struct field){ .base = a->base, .at = first, .size = end - first };
	mask_a = in_window(a->mask, a, first, f->size);
	mask_b = in_window(b->mask, b, first, f->size);
	value_a = in_window(a->value, a, first, f->size);
	value_b = in_window(b->value, b, first, f->size);
	/* What both ask for must be the same: else nothing passes, which others will find. */
	if ((value_a ^ value_b) & mask_a & mask_b)
		return false;
	f->mask = mask_a | mask_b;
	f->value = value_a | value_b;
	return true;
}

/* Instructions for a test: the load, a mask if there must be one, the comparison. */
static unsigned cost(const struct field *f)
{
	bool single = f->value == f->mask && !(f->mask & (f->mask - 1));

	return f->mask != all_bits(f->size) && f->value != 0 && !single ? 3 : 2;
}

static pf_val condition(struct pf_unit *u, const struct field *f)
{
	pf_val load = pf_load(u, f->size, f->base, f->at);

	if (f->mask != all_bits(f->size))
		load = pf_binary(u, PF_OP_AND, load, pf_const(u, f->mask));
	return pf_binary(u, PF_OP_EQ, load, pf_const(u, f->value));
}

/* What a condition wants loaded. */
static pf_val loaded(const struct pf_unit *u, pf_val cond)
{
	pf_val v = pf_subject(u, cond);

	return v && u->val[v].op == PF_OP_AND ? u->val[v].a : v;
}

/* A value that other tests want, too, is loaded anyway. */
static void count_loads(struct widening *w)
{
	for (uint32_t i = 0; i < w->flow.n; i++) {
		const struct pf_block *b = &w->u->blk[w->flow.order[i]];

		if (b->end == PF_END_BRANCH)
			w->count[loaded(w->u, b->cond)]++;
	}
}

static bool is_alone(const struct widening *w, pf_blk b)
{
	return w->count[loaded(w->u, w->u->blk[b].cond)] == 1;
}

/* The test at b asks for both now, link i is led past; the way out is that of "no". */
static void join(struct widening *w, pf_blk b, unsigned on, uint32_t i, const struct field *both)
{
	struct pf_unit *u = w->u;
	const struct pf_link *l = &w->chain->link[i], *before = &w->chain->link[i - 1];
	pf_val cond = condition(u, both);

	if (u->err)
		return;
	u->blk[before->b].edge[before->on].to = u->blk[l->b].edge[l->on].to;
	u->blk[b].cond = cond;
	if (on == 1) {
		u->blk[b].edge[0].to = u->blk[b].edge[1].to;
		u->blk[b].edge[1].to = w->chain->out;
	}
}

/* The test at b and one further on in its chain. */
static bool widen_at(struct widening *w, pf_blk b, unsigned on)
{
	struct pf_unit *u = w->u;
	struct field a, other, both;

	pf_chain_at(u, &w->flow, b, on, w->chain);
	if (w->chain->n < 2 || !is_alone(w, b) || !field_of(u, u->blk[b].cond, on == 1, &a))
		return false;
	for (uint32_t i = 1; i < w->chain->n; i++) {
		const struct pf_link *l = &w->chain->link[i];

		/* A check in front of the other has another way out: it would come too late. */
		if (l->check && u->blk[l->b].edge[1].to != w->chain->out)
			return false;
		if (l->check || !is_alone(w, l->b) ||
		    !field_of(u, u->blk[l->b].cond, l->on == 1, &other) ||
		    !unite(&a, &other, pf_extent_at(&w->extents, b, a.base), &both) ||
		    cost(&both) >= cost(&a) + cost(&other))
			continue;
		join(w, b, on, i, &both);
		return true;
	}
	return false;
}

/* One pair; 1 if there was one. */
static int widen_once(struct pf_unit *u, struct pf_chain *chain)
{
	PFS_CLEANUP(widening_release) struct widening w = { .u = u, .chain = chain };
	int r = pf_flow_make(u, &w.flow);

	if (r == 0)
		r = pf_extents_make(u, &w.flow, &w.extents);
	w.count = pfs_zalloc(u->nval, sizeof(*w.count));
	if (r == 0 && !w.count)
		r = -ENOMEM;
	if (r < 0)
		return r;
	count_loads(&w);
	for (uint32_t i = 0; i < w.flow.n && !u->err; i++)
		if (widen_at(&w, w.flow.order[i], 0) || widen_at(&w, w.flow.order[i], 1))
			return u->err ? u->err : 1;
	return u->err;
}

static int widen_run(struct pf_unit *u)
{
	struct pf_chain *chain = pfs_zalloc(1, sizeof(*chain));
	int r = chain ? 1 : -ENOMEM;
	unsigned times = 0;

	for (; r == 1 && times <= VISITS_MAX / u->nblk; times++)
		r = widen_once(u, chain);
	free(chain);
	return r < 0 ? r : times > 1 || r == 1;
}

const struct pf_pass pf_pass_widen = {
	.name = "widen",
	.summary = "tests of fields within four bytes become one",
	.run = widen_run,
};
