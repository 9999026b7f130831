#include "pf/back/flat.h"

#include "pf/back/search.h"
#include "pf/ir/flow.h"
#include "pf/ir/verify.h"

#define TESTS_MAX \
	2u /* that are made whether they are needed or not: more of them cost more than they save */
#define BLOCKS_MAX 16u

struct region {
	pf_blk blk[BLOCKS_MAX]; /* in order; the first is the way in */
	pf_val value[BLOCKS_MAX];
	uint32_t n, tests;
	pf_blk out[2]; /* yes and no */
};

struct flat {
	struct pf_unit *u;
	struct pf_flow flow;
	bool *done; /* owned; by block: it has become part of a region */
};

static void flat_release(struct flat *f)
{
	pf_flow_release(&f->flow);
	free(f->done);
}

static uint32_t find(const struct region *r, pf_blk b)
{
	uint32_t i = 0;

	while (i < r->n && r->blk[i] != b)
		i++;
	return i;
}

/* A load, or a mask of one, that can be compared with a constant. */
static bool is_field(const struct pf_unit *u, pf_val v)
{
	if (u->val[v].op == PF_OP_AND && pf_is_const(u, u->val[v].b))
		v = u->val[v].a;
	return pf_load_size(u->val[v].op);
}

static bool is_cheap(const struct pf_unit *u, pf_val cond)
{
	const struct pf_value *v = &u->val[cond];

	if (v->op == PF_OP_EQ)
		return pf_is_const(u, v->b) && is_field(u, v->a);
	if (v->op == PF_OP_LT)
		return (pf_is_const(u, v->b) && is_field(u, v->a)) ||
		       (pf_is_const(u, v->a) && is_field(u, v->b));
	return is_field(u, cond);
}

static bool joins(const struct flat *f, const struct region *r, pf_blk b)
{
	const struct pf_block *block = &f->u->blk[b];

	if (block->end != PF_END_BRANCH || block->npin || block->nparam || f->done[b] ||
	    block->edge[0].nargs || block->edge[1].nargs)
		return false;
	if (f->u->val[block->cond].op != PF_OP_FITS && !is_cheap(f->u, block->cond))
		return false;
	for (uint32_t i = f->flow.first[b]; i < f->flow.first[b + 1] && r->n; i++)
		if (find(r, f->flow.pred[i].from) == r->n)
			return false;
	return true;
}

/* The ways out of what has been found, if there are just two; `no` is where failed checks go. */
static bool find_outs(const struct pf_unit *u, struct region *r)
{
	pf_blk out[2] = { 0 }, failed = 0;
	unsigned n = 0;

	for (uint32_t i = 0; i < r->n; i++)
		for (unsigned e = 0; e < 2; e++) {
			const struct pf_block *b = &u->blk[r->blk[i]];
			pf_blk to = b->edge[e].to;

			if (find(r, to) < r->n)
				continue;
			if (e == 1 && u->val[b->cond].op == PF_OP_FITS)
				failed = to;
			if (to == out[0] || to == out[1])
				continue;
			if (n == 2)
				return false;
			out[n++] = to;
		}
	if (n < 2 || u->blk[out[0]].nparam || u->blk[out[1]].nparam)
		return false;
	if (!failed)
		failed = pf_is_reject(&u->blk[out[0]]) ? out[0] : out[1];
	r->out[0] = out[0] == failed ? out[1] : out[0];
	r->out[1] = failed;
	/* Failed checks have one way. */
	for (uint32_t i = 0; i < r->n; i++)
		if (u->val[u->blk[r->blk[i]].cond].op == PF_OP_FITS &&
		    u->blk[r->blk[i]].edge[1].to != failed)
			return false;
	return true;
}

/* All blocks that only the first leads to, as long as they are tests. */
static bool find_region(const struct flat *f, uint32_t at, struct region *r)
{
	*r = (struct region){ 0 };
	for (uint32_t i = at; i < f->flow.n && i < at + 64; i++) {
		pf_blk b = f->flow.order[i];

		if (!joins(f, r, b)) {
			if (i == at)
				return false;
			continue;
		}
		r->tests += f->u->val[f->u->blk[b].cond].op != PF_OP_FITS;
		if (r->n == BLOCKS_MAX || r->tests > TESTS_MAX)
			return false;
		r->blk[r->n++] = b;
	}
	return find_outs(f->u, r);
}

/* --- as a number ----------------------------------------------------------------------------- */

/* A constant that a way out has for the only result? */
static bool is_told(const struct pf_unit *u, pf_blk b, uint32_t *ret_k)
{
	const struct pf_block *block = &u->blk[b];

	*ret_k = 0;
	if (u->nresult != 1 || block->npin > 1)
		return false;
	if (block->npin &&
	    (u->val[block->pin[0]].op != PF_OP_RESULT || !pf_is_const(u, u->val[block->pin[0]].a)))
		return false;
	if (block->npin)
		*ret_k = u->val[u->val[block->pin[0]].a].k;
	return block->npin || block->end == PF_END_STOP;
}

/* 1 if the way from the i-th block on leads to yes; 0: it cannot be said by AND and OR. */
static pf_val say_edge(struct pf_unit *u, const struct region *r, pf_blk to)
{
	uint32_t i = find(r, to);

	if (i < r->n)
		return r->value[i];
	return pf_const(u, to == r->out[0]);
}

/* The test once more, so that the branches of the old way stay tests that nobody else wants. */
static pf_val again(struct pf_unit *u, pf_val v)
{
	const struct pf_value value = u->val[v];

	if (value.op == PF_OP_CONST)
		return v;
	if (pf_load_size(value.op))
		return pf_value(u, value.op, value.a, 0, value.k);
	return pf_binary(u, value.op, again(u, value.a), again(u, value.b));
}

static pf_val say_test(struct pf_unit *u, pf_val cond, bool yes)
{
	bool is_bool = pf_is_bool(u, cond);
	pf_val v = again(u, cond), zero = pf_const(u, 0);

	if (yes && is_bool)
		return v;
	v = pf_binary(u, PF_OP_EQ, v, zero);
	return yes ? pf_binary(u, PF_OP_XOR, v, pf_const(u, 1)) : v;
}

static pf_val say_block(struct pf_unit *u, const struct region *r, pf_blk b)
{
	const struct pf_block *block = &u->blk[b];
	pf_val yes = say_edge(u, r, block->edge[0].to), no = say_edge(u, r, block->edge[1].to), test;

	if (!yes || !no)
		return 0;
	if (u->val[block->cond].op == PF_OP_FITS)
		return yes;
	if (pf_is(u, yes, 1) || pf_is(u, no, 0)) {
		test = say_test(u, block->cond, true);
		if (pf_is(u, yes, 1) && pf_is(u, no, 0))
			return test;
		return pf_is(u, yes, 1) ? pf_binary(u, PF_OP_OR, test, no)
					: pf_binary(u, PF_OP_AND, test, yes);
	}
	if (!pf_is(u, yes, 0) && !pf_is(u, no, 1))
		return 0;
	test = say_test(u, block->cond, false);
	if (pf_is(u, yes, 0) && pf_is(u, no, 1))
		return test;
	return pf_is(u, no, 1) ? pf_binary(u, PF_OP_OR, test, yes) : pf_binary(u, PF_OP_AND, test, no);
}

/* --- instead of the branches ----------------------------------------------------------------- */

/* The greatest check of each base in the region, in front of `to`; who fails goes to the region's first block. */
static pf_blk check(struct pf_unit *u, const struct region *r, pf_blk to)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct pf_value *c = &u->val[u->blk[r->blk[i]].cond], *other;
		bool greatest = c->op == PF_OP_FITS;
		pf_blk made;

		for (uint32_t k = 0; k < r->n && greatest; k++) {
			other = &u->val[u->blk[r->blk[k]].cond];
			if (k != i && other->op == PF_OP_FITS && other->a == c->a)
				greatest = other->k < c->k || (other->k == c->k && k > i);
		}
		if (!greatest)
			continue;
		made = pf_block(u);
		pf_block_branch(u, made, u->blk[r->blk[i]].cond, to, r->blk[0]);
		to = made;
	}
	return to;
}

/* Is it worth it? */
static bool replace(struct flat *f, struct region *r)
{
	struct pf_unit *u = f->u;
	uint32_t yes, no;
	bool told = is_told(u, r->out[0], &yes) && is_told(u, r->out[1], &no) && (!yes || !no);
	pf_blk made, in = r->blk[0];
	pf_val all;

	if (r->tests < (told ? 1 : 2))
		return false;
	for (uint32_t i = r->n; i-- > 0;) {
		r->value[i] = say_block(u, r, r->blk[i]);
		if (!r->value[i])
			return false;
	}
	all = r->value[0];
	made = pf_block(u);
	if (told) {
		if (no)
			all = pf_binary(u, PF_OP_EQ, all, pf_const(u, 0));
		pf_block_result(u, made, 0, pf_binary(u, PF_OP_MUL, all, pf_const(u, yes | no)));
		pf_block_stop(u, made);
	} else {
		pf_block_branch(u, made, all, r->out[0], r->out[1]);
	}
	made = check(u, r, made);
	if (u->err)
		return false;
	for (uint32_t i = f->flow.first[in]; i < f->flow.first[in + 1]; i++)
		u->blk[f->flow.pred[i].from].edge[f->flow.pred[i].edge].to = made;
	if (u->entry == in)
		u->entry = made;
	for (uint32_t i = 0; i < r->n; i++)
		f->done[r->blk[i]] = true;
	return true;
}

static int flatten(struct pf_unit *u)
{
	PFS_CLEANUP(flat_release) struct flat f = { .u = u };
	struct region region;
	int r = pf_flow_make(u, &f.flow);

	if (r < 0)
		return r;
	f.done = pfs_zalloc(u->nblk, sizeof(*f.done));
	if (!f.done)
		return -ENOMEM;
	for (uint32_t i = 0; i < f.flow.n && !u->err; i++)
		if (find_region(&f, i, &region))
			replace(&f, &region);
	return u->err ? u->err : pf_unit_compact(u);
}

int pf_flat(const struct pf_unit *u, struct pf_unit *ret_unit)
{
	int r;

	r = pf_unit_copy(ret_unit, u);
	if (r == 0)
		r = pf_search(ret_unit);
	ret_unit->share = false;
	if (r == 0)
		r = flatten(ret_unit);
	/* A base may be known only behind a test that would come later now: then as it was. */
	if (r == 0 && pf_verify(ret_unit, NULL) == 0)
		return 0;
	if (r == -ENOMEM)
		return r;
	pf_unit_release(ret_unit);
	pf_unit_init(ret_unit);
	r = pf_unit_copy(ret_unit, u);
	return r == 0 ? pf_search(ret_unit) : r;
}
