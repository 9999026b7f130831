#include "pf/back/legal.h"

#include "pf/ir/flow.h"
#include "pf/ir/walk.h"

/* No index from 2^31 on is inside of a packet, in Linux. */
#define INDEX_BITS 0x80000000u

struct legal {
	struct pf_unit *u;
	struct pf_flow flow;
	pf_val *made; /* owned; by value: what it becomes where it is a number; 0: not known yet */
	pf_val *cond; /* owned; by block: its condition as it was */
	pf_val *nonzero; /* owned stack: divisors that the branches above the block have tested */
	uint32_t nnonzero;
	struct pf_walk walk;
	bool linux_rules;
	bool differs; /* there are divisors: what is made of them depends on where */
};

static void legal_release(struct legal *l)
{
	pf_flow_release(&l->flow);
	pf_walk_release(&l->walk);
	free(l->made);
	free(l->cond);
	free(l->nonzero);
}

static pf_val k(struct legal *l, uint32_t value)
{
	return pf_const(l->u, value);
}

static pf_val op(struct legal *l, enum pf_op name, pf_val a, pf_val b)
{
	return pf_binary(l->u, name, a, b);
}

/* 1 if a is 0, else 0, without a comparison: the sign of a | -a is set for all but 0. */
static pf_val is_zero(struct legal *l, pf_val a)
{
	pf_val sign = op(l, PF_OP_OR, a, op(l, PF_OP_SUB, k(l, 0), a));

	return op(l, PF_OP_XOR, op(l, PF_OP_SHR, sign, k(l, 31)), k(l, 1));
}

/* The borrow of a - b. */
static pf_val is_less(struct legal *l, pf_val a, pf_val b)
{
	pf_val not_a = op(l, PF_OP_XOR, a, k(l, UINT32_MAX));
	pf_val sure = op(l, PF_OP_AND, not_a, b);
	pf_val maybe = op(l, PF_OP_AND, op(l, PF_OP_OR, not_a, b), op(l, PF_OP_SUB, a, b));

	return op(l, PF_OP_SHR, op(l, PF_OP_OR, sure, maybe), k(l, 31));
}

/* All bits if a is 0, none if it is 1. */
static pf_val mask_unless(struct legal *l, pf_val a)
{
	return op(l, PF_OP_ADD, a, k(l, UINT32_MAX));
}

static bool is_nonzero(const struct legal *l, pf_val v)
{
	for (uint32_t i = 0; i < l->nnonzero; i++)
		if (l->nonzero[i] == v)
			return true;
	return false;
}

/* a / b, a % b with b made harmless; a % 0 is a. */
static pf_val make_division(struct legal *l, enum pf_op name, pf_val a, pf_val b)
{
	pf_val zero = is_zero(l, b);
	pf_val result = op(l, name, a, op(l, PF_OP_OR, b, zero));

	if (name == PF_OP_DIV)
		return op(l, PF_OP_AND, result, mask_unless(l, zero));
	/* a % 1 is 0 */
	return op(l, PF_OP_OR, result, op(l, PF_OP_AND, a, op(l, PF_OP_SUB, k(l, 0), zero)));
}

/* What Linux would take modulo 32. */
static pf_val make_shift(struct legal *l, enum pf_op name, pf_val a, pf_val b)
{
	pf_val result = op(l, name, a, op(l, PF_OP_AND, b, k(l, 31)));
	pf_val fits = is_zero(l, op(l, PF_OP_SHR, b, k(l, 5)));

	return op(l, PF_OP_AND, result, op(l, PF_OP_SUB, k(l, 0), fits));
}

static pf_val make_number(struct legal *l, pf_val v)
{
	const struct pf_value value = l->u->val[v];
	unsigned operands = pf_operands(&value);
	pf_val a = operands > 0 ? l->made[value.a] : value.a;
	pf_val b = operands > 1 ? l->made[value.b] : value.b;
	bool wide;

	switch (value.op) {
	case PF_OP_EQ:
		return is_zero(l, op(l, PF_OP_XOR, a, b));
	case PF_OP_LT:
		return is_less(l, a, b);
	case PF_OP_DIV:
	case PF_OP_MOD:
		if (pf_is_const(l->u, value.b) ? l->u->val[value.b].k : is_nonzero(l, value.b))
			break;
		return make_division(l, value.op, a, b);
	case PF_OP_SHL:
	case PF_OP_SHR:
		wide = pf_is_const(l->u, b) ? false : l->u->val[b].max > 31;
		if (pf_is_const(l->u, b) && l->u->val[b].k > 31)
			return k(l, 0);
		if (l->linux_rules && wide)
			return make_shift(l, value.op, a, b);
		break;
	case PF_OP_FIND:
	case PF_OP_FITS:
	case PF_OP_KNOWN:
		l->u->err = -ENOTSUP;
		return 0;
	default:
		break;
	}
	return a == value.a && b == value.b ? v : pf_value(l->u, value.op, a, b, value.k);
}

/* v as a number. Only values that were there from the beginning are asked for. */
static pf_val number(struct legal *l, pf_val v)
{
	pf_val next;

	pf_walk_root(&l->walk, v);
	while (!l->u->err && (next = pf_walk_next(&l->walk)))
		l->made[next] = make_number(l, next);
	return l->u->err ? 0 : l->made[v];
}

/*
 * A condition keeps its comparison; what is compared are numbers. How often it is negated is
 * bounded by the walk's depth.
 */
static pf_val condition(struct legal *l, pf_val v)
{
	const struct pf_value value = l->u->val[v];
	pf_val a, b;

	switch (value.op) {
	case PF_OP_FITS:
		/* No packet is that long, and offsets from there on mean something else. */
		if (value.k >= INDEX_BITS)
			return k(l, 0);
		a = value.a ? number(l, value.a) : 0;
		return l->u->err ? 0 : pf_value(l->u, PF_OP_FITS, a, 0, value.k);
	case PF_OP_KNOWN:
		return v;
	case PF_OP_EQ:
	case PF_OP_LT:
		/* Not this condition. */
		if (value.op == PF_OP_EQ && pf_is(l->u, value.b, 0)) {
			a = condition(l, value.a);
			return l->u->err ? 0 : pf_not(l->u, a);
		}
		a = number(l, value.a);
		b = number(l, value.b);
		return l->u->err ? 0 : pf_binary(l->u, value.op, a, b);
	default:
		return number(l, v);
	}
}

/* Divisors that are known not to be 0 in b, from the branches that it lies behind. */
static void find_nonzero(struct legal *l, pf_blk b)
{
	const struct pf_flow *flow = &l->flow;

	l->nnonzero = 0;
	for (; b; b = flow->idom[b]) {
		const struct pf_pred *pred = &flow->pred[flow->first[b]];
		const struct pf_value *from;

		if (pf_flow_preds(flow, b) != 1)
			continue;
		if (!l->cond[pred->from])
			continue;
		from = &l->u->val[l->cond[pred->from]];
		if (pred->edge == 0)
			l->nonzero[l->nnonzero++] = l->cond[pred->from];
		else if (from->op == PF_OP_EQ && pf_is(l->u, from->b, 0))
			l->nonzero[l->nnonzero++] = from->a;
	}
}

/* Behind FITS with a base that may be too large, another branch. */
static void test_base(struct legal *l, pf_blk b)
{
	pf_val cond = l->u->blk[b].cond, base = l->u->val[cond].a, large;
	pf_blk small;

	if (l->u->val[cond].op != PF_OP_FITS || !base || !(l->u->val[base].may & INDEX_BITS))
		return;
	large = pf_binary(l->u, PF_OP_AND, base, k(l, INDEX_BITS));
	small = pf_block(l->u);
	if (l->u->err)
		return;
	/* The test comes first, and goes where the packet that is too short goes. */
	l->u->blk[small] = l->u->blk[b];
	l->u->blk[small].param = NULL;
	l->u->blk[small].nparam = 0;
	l->u->blk[small].npin = 0;
	l->u->blk[b].cond = large;
	l->u->blk[b].edge[0] = l->u->blk[small].edge[1];
	l->u->blk[b].edge[1] = (struct pf_edge){ .to = small };
}

static void legal_block(struct legal *l, pf_blk b)
{
	struct pf_unit *u = l->u;

	if (l->differs) {
		memset(l->walk.done, 0, l->walk.nval);
		find_nonzero(l, b);
	}
	if (u->blk[b].npin) {
		pf_val pin = u->blk[b].pin[0], v = number(l, u->val[pin].a);

		u->val[pin].a = v;
		u->blk[b].end = PF_END_STOP;
		return;
	}
	if (u->blk[b].end == PF_END_BRANCH) {
		pf_val cond = condition(l, u->blk[b].cond);

		u->blk[b].cond = cond;
	}
	for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++)
		for (uint32_t i = 0; i < u->blk[b].edge[e].nargs && !u->err; i++) {
			pf_val v = number(l, u->blk[b].edge[e].args[i]);

			u->blk[b].edge[e].args[i] = v;
		}
}

static int check(struct legal *l)
{
	if (l->u->nresult != 1 || l->u->nmemory)
		return -ENOTSUP;
	for (uint32_t i = 0; i < l->flow.n; i++)
		if (l->u->blk[l->flow.order[i]].loop)
			return -ENOTSUP;
	for (pf_val v = 1; v < l->u->nval; v++) {
		const struct pf_value *value = &l->u->val[v];

		if ((value->op == PF_OP_DIV || value->op == PF_OP_MOD) && !pf_is_const(l->u, value->b))
			l->differs = true;
	}
	return 0;
}

int pf_legal_cbpf(struct pf_unit *to, const struct pf_unit *from, bool linux_rules)
{
	PFS_CLEANUP(legal_release) struct legal l = { .u = to, .linux_rules = linux_rules };
	int r;

	to->fold = true;
	r = pf_unit_copy(to, from);
	if (r == 0)
		r = pf_flow_make(to, &l.flow);
	if (r == 0)
		r = check(&l);
	if (r == 0)
		r = pf_walk_init(&l.walk, to);
	if (r < 0)
		return r;
	l.made = pfs_zalloc(to->nval, sizeof(*l.made));
	l.nonzero = pfs_zalloc(to->nblk, sizeof(*l.nonzero));
	l.cond = pfs_zalloc(to->nblk, sizeof(*l.cond));
	if (!l.made || !l.nonzero || !l.cond)
		return -ENOMEM;
	for (pf_blk b = 1; b < to->nblk; b++)
		l.cond[b] = to->blk[b].end == PF_END_BRANCH ? to->blk[b].cond : 0;
	to->fold = true;
	for (uint32_t i = 0; i < l.flow.n && !to->err; i++) {
		legal_block(&l, l.flow.order[i]);
		if (linux_rules && !to->err && to->blk[l.flow.order[i]].end == PF_END_BRANCH)
			test_base(&l, l.flow.order[i]);
	}
	/* What followed results is gone now. */
	return to->err ? to->err : pf_unit_compact(to);
}
