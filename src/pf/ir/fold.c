/*
 * Simpler ways to say a value: constants computed, identities applied, one form for what can be
 * said in several.
 *
 * Each rule makes the value smaller (fewer operations), or moves a constant to the right, or
 * replaces an operation by one that is earlier in this list: AND SHR SHL ADD. So folding ends.
 */
#include "pf/ir/ir_i.h"

static bool commutes(enum pf_op op)
{
	return op == PF_OP_ADD || op == PF_OP_MUL || op == PF_OP_AND || op == PF_OP_OR ||
	       op == PF_OP_XOR || op == PF_OP_EQ;
}

static bool power_of_two(uint32_t k)
{
	return k && !(k & (k - 1));
}

static pf_val with_const(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	return pf_binary(u, op, a, pf_const(u, k));
}

/* x op x */
static pf_val fold_same(struct pf_unit *u, enum pf_op op, pf_val a)
{
	switch (op) {
	case PF_OP_SUB:
	case PF_OP_XOR:
	case PF_OP_LT:
	case PF_OP_MOD: /* 0 modulo 0 is 0 */
		return pf_const(u, 0);
	case PF_OP_AND:
	case PF_OP_OR:
		return a;
	case PF_OP_EQ:
		return pf_const(u, 1);
	default:
		return 0;
	}
}

/* (x op' c) op k with op' = op, where the two constants become one. */
static pf_val fold_twice(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	const struct pf_value *v = &u->val[a];
	pf_val x = v->a;
	uint32_t c;

	if (v->op != op || !pf_is_const(u, v->b))
		return 0;
	c = u->val[v->b].k;
	switch (op) {
	case PF_OP_ADD:
	case PF_OP_MUL:
	case PF_OP_AND:
	case PF_OP_OR:
	case PF_OP_XOR:
		return with_const(u, op, x, pf_compute(op, c, k));
	case PF_OP_SHL:
	case PF_OP_SHR:
		return with_const(u, op, x, k > 31 || c > 31 || c + k > 31 ? 32 : c + k);
	default:
		return 0;
	}
}

/* The low bits of a load are a smaller load, whose last byte is the same: no bounds check changes. */
static pf_val fold_low_bytes(struct pf_unit *u, pf_val a, uint32_t mask)
{
	const struct pf_value *v = &u->val[a];
	unsigned size = pf_load_size(v->op);

	if (mask == UINT16_MAX && size == 4)
		return pf_load(u, 2, v->a, v->k + 2);
	if (mask == UINT8_MAX && size > 1)
		return pf_load(u, 1, v->a, v->k + size - 1);
	return 0;
}

static pf_val fold_and(struct pf_unit *u, pf_val a, uint32_t k)
{
	const struct pf_value *v = &u->val[a];
	uint32_t may = v->may;
	pf_val low;

	if (!(may & k))
		return pf_const(u, 0);
	if ((may & ~k) == 0)
		return a;
	low = fold_low_bytes(u, a, k);
	if (low)
		return low;
	/* Bits that cannot be set need not be asked for; one mask for all ways to say it. */
	return (k & may) != k ? with_const(u, PF_OP_AND, a, k & may) : 0;
}

static pf_val fold_shift(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	const struct pf_value *v = &u->val[a];

	if (k > 31 || (op == PF_OP_SHR && !(v->may >> k)) || (op == PF_OP_SHL && !(v->may << k)))
		return pf_const(u, 0);
	if (k == 0)
		return a;
	/* Away and back: a mask. */
	if ((v->op == PF_OP_SHL || v->op == PF_OP_SHR) && v->op != op && pf_is(u, v->b, k))
		return with_const(u, PF_OP_AND, v->a,
				  op == PF_OP_SHL ? UINT32_MAX << k : UINT32_MAX >> k);
	return 0;
}

/* x * k, x / k, x % k */
static pf_val fold_scale(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	uint32_t bits;

	if (op == PF_OP_MUL && k == 0)
		return pf_const(u, 0);
	if (k == 0)
		return op == PF_OP_DIV ? pf_const(u, 0) : a;
	if (op != PF_OP_MUL && u->val[a].max < k)
		return op == PF_OP_DIV ? pf_const(u, 0) : a;
	if (!power_of_two(k))
		return 0;
	bits = (uint32_t)__builtin_ctz(k);
	if (op == PF_OP_MOD)
		return with_const(u, PF_OP_AND, a, k - 1);
	return with_const(u, op == PF_OP_MUL ? PF_OP_SHL : PF_OP_SHR, a, bits);
}

/* x == k */
static pf_val fold_eq(struct pf_unit *u, pf_val a, uint32_t k)
{
	const struct pf_value *v = &u->val[a];
	uint32_t c;

	if (k > v->max || (k & ~v->may))
		return pf_const(u, 0);
	if (k == 1 && v->max == 1)
		return a;
	if (pf_ops[v->op].operands != 2 || !pf_is_const(u, v->b))
		return 0;
	c = u->val[v->b].k;
	switch (v->op) {
	case PF_OP_EQ:
		/* not (y == c), where y is one bit: y == 1 - c */
		return u->val[v->a].max == 1 && c <= 1 && k == 0
			       ? with_const(u, PF_OP_EQ, v->a, 1 - c)
			       : 0;
	case PF_OP_ADD:
		return with_const(u, PF_OP_EQ, v->a, k - c);
	case PF_OP_XOR:
		return with_const(u, PF_OP_EQ, v->a, k ^ c);
	case PF_OP_SHL:
		return with_const(u, PF_OP_EQ, with_const(u, PF_OP_AND, v->a, UINT32_MAX >> c), k >> c);
	case PF_OP_SHR:
		return with_const(u, PF_OP_EQ, with_const(u, PF_OP_AND, v->a, UINT32_MAX << c), k << c);
	default:
		return 0;
	}
}

/* x < k and k < x */
static pf_val fold_lt(struct pf_unit *u, pf_val a, pf_val b)
{
	if (pf_is_const(u, b)) {
		uint32_t k = u->val[b].k;

		if (k == 0)
			return pf_const(u, 0);
		if (u->val[a].max < k)
			return pf_const(u, 1);
		if (k == 1)
			return pf_not(u, a);
	}
	if (pf_is_const(u, a)) {
		uint32_t k = u->val[a].k;

		if (u->val[b].max <= k)
			return pf_const(u, 0);
		if (u->val[b].max - 1 == k)
			return with_const(u, PF_OP_EQ, b, k + 1);
		if (k == 0 && pf_is_bool(u, b))
			return b;
	}
	return 0;
}

static pf_val fold_const(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	pf_val same;

	switch (op) {
	case PF_OP_SUB:
		return with_const(u, PF_OP_ADD, a, 0 - k);
	case PF_OP_ADD:
	case PF_OP_OR:
	case PF_OP_XOR:
		if (k == 0)
			return a;
		if (op == PF_OP_OR && k == UINT32_MAX)
			return pf_const(u, k);
		break;
	case PF_OP_AND:
		same = fold_and(u, a, k);
		if (same)
			return same;
		break;
	case PF_OP_SHL:
	case PF_OP_SHR:
		same = fold_shift(u, op, a, k);
		if (same)
			return same;
		break;
	case PF_OP_MUL:
	case PF_OP_DIV:
	case PF_OP_MOD:
		same = fold_scale(u, op, a, k);
		if (same)
			return same;
		break;
	case PF_OP_EQ:
		return fold_eq(u, a, k);
	default:
		break;
	}
	return fold_twice(u, op, a, k);
}

static pf_val fold_binary(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b)
{
	if (pf_is_const(u, a) && pf_is_const(u, b))
		return pf_const(u, pf_compute(op, u->val[a].k, u->val[b].k));
	if (a == b) {
		pf_val same = fold_same(u, op, a);

		if (same)
			return same;
	}
	if (commutes(op) && (pf_is_const(u, a) || (a > b && !pf_is_const(u, b))))
		return pf_binary(u, op, b, a);
	if (op == PF_OP_LT)
		return fold_lt(u, a, b);
	/* Nothing shifted, divided or masked is nothing still. */
	if (pf_is(u, a, 0) &&
	    (op == PF_OP_SHL || op == PF_OP_SHR || op == PF_OP_DIV || op == PF_OP_MOD))
		return a;
	return pf_is_const(u, b) ? fold_const(u, op, a, u->val[b].k) : 0;
}

/* A constant in the base of a load or of its check goes into the offset, if neither addition can wrap. */
static pf_val fold_base(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	const struct pf_value *v = &u->val[a];
	unsigned size = pf_load_size(op);
	pf_val base = 0;
	uint32_t c;

	if (v->op == PF_OP_CONST) {
		c = v->k;
	} else if (v->op == PF_OP_ADD && pf_is_const(u, v->b)) {
		c = u->val[v->b].k;
		base = v->a;
		if (u->val[base].max > UINT32_MAX - c)
			return 0;
	} else {
		return 0;
	}
	if (c > UINT32_MAX - size || k > UINT32_MAX - size - c)
		return op == PF_OP_FITS ? pf_const(u, 0) : 0;
	return pf_value(u, op, base, 0, c + k);
}

pf_val pf_fold(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k)
{
	/* What a table has may change. */
	if (op == PF_OP_FIND)
		return 0;
	if (pf_ops[op].operands == 2)
		return fold_binary(u, op, a, b);
	if (op == PF_OP_FITS && !a && !k)
		return pf_const(u, 1);
	if (a && (op == PF_OP_FITS || pf_load_size(op)))
		return fold_base(u, op, a, k);
	return 0;
}
