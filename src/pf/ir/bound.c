/* How large a value can be, and which bits it can have, from what its operands can be. */
#include "pf/ir/ir_i.h"

/* All bits up to the highest one of v. */
static uint32_t bits_below(uint32_t v)
{
	return v ? UINT32_MAX >> __builtin_clz(v) : 0;
}

static void bound_shift(const struct pf_unit *u, struct pf_value *v, const struct pf_value *a)
{
	uint32_t n = u->val[v->b].k;

	if (!pf_is_const(u, v->b)) {
		if (v->op == PF_OP_SHR)
			v->max = a->max;
		return;
	}
	if (v->op == PF_OP_SHR) {
		v->max = pf_compute(PF_OP_SHR, a->max, n);
		v->may = pf_compute(PF_OP_SHR, a->may, n);
		return;
	}
	v->may = pf_compute(PF_OP_SHL, a->may, n);
	if (n < 32 && a->max <= UINT32_MAX >> n)
		v->max = a->max << n;
	else if (n >= 32)
		v->max = 0;
}

static void bound_binary(const struct pf_unit *u, struct pf_value *v)
{
	const struct pf_value *a = &u->val[v->a], *b = &u->val[v->b];

	switch (v->op) {
	case PF_OP_ADD:
		if (a->max <= UINT32_MAX - b->max)
			v->max = a->max + b->max;
		break;
	case PF_OP_MUL:
		if (!b->max || a->max <= UINT32_MAX / b->max)
			v->max = a->max * b->max;
		break;
	case PF_OP_DIV:
		v->max = b->op == PF_OP_CONST && b->k ? a->max / b->k : a->max;
		break;
	case PF_OP_MOD:
		v->max = a->max;
		if (b->op == PF_OP_CONST && b->k && b->k - 1 < a->max)
			v->max = b->k - 1;
		break;
	case PF_OP_AND:
		v->max = a->max < b->max ? a->max : b->max;
		v->may = a->may & b->may;
		break;
	case PF_OP_OR:
	case PF_OP_XOR:
		v->may = a->may | b->may;
		break;
	case PF_OP_EQ:
	case PF_OP_LT:
		v->max = 1;
		break;
	case PF_OP_SHL:
	case PF_OP_SHR:
		bound_shift(u, v, a);
		break;
	default:
		break;
	}
}

void pf_bound(const struct pf_unit *u, struct pf_value *v)
{
	v->max = UINT32_MAX;
	v->may = UINT32_MAX;
	switch (v->op) {
	case PF_OP_CONST:
		v->max = v->may = v->k;
		return;
	case PF_OP_KNOWN:
	case PF_OP_FITS:
		v->max = 1;
		break;
	case PF_OP_LOAD8:
		v->max = UINT8_MAX;
		break;
	case PF_OP_LOAD16:
		v->max = UINT16_MAX;
		break;
	default:
		if (pf_ops[v->op].operands == 2)
			bound_binary(u, v);
		break;
	}
	v->may &= bits_below(v->max);
	if (v->max > v->may)
		v->max = v->may; /* no sum of its bits is larger */
}
