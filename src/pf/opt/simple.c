/*
 * share - equal values are one: global value numbering, by making each value where an equal one may be already
 * fold - constants are computed, values and conditions said more simply
 * bool - logic becomes branches
 */
#include "pf/opt/opt.h"

static int share(struct pf_unit *u)
{
	if (u->share)
		return 0;
	u->share = true;
	return 1; /* compacting does it */
}

const struct pf_pass pf_pass_share = {
	.name = "share",
	.summary = "equal values are computed once (global value numbering)",
	.run = share,
};

/* --- conditions ------------------------------------------------------------------------------ */

static pf_val with(struct pf_unit *u, enum pf_op op, pf_val a, uint32_t k)
{
	return pf_binary(u, op, a, pf_const(u, k));
}

/* A simpler condition; *swap: yes and no change places. 0: there is none. */
static pf_val simpler(struct pf_unit *u, pf_val cond, bool *swap)
{
	const struct pf_value v = u->val[cond];
	bool right = pf_operands(&v) == 2 && pf_is_const(u, v.b);
	uint32_t k = right ? u->val[v.b].k : 0;

	*swap = false;
	switch (v.op) {
	case PF_OP_EQ:
		*swap = right && k == 0;
		if (*swap)
			return v.a;
		/* The only bit that can be set is set. */
		return right && u->val[v.a].may == k && !(k & (k - 1)) ? v.a : 0;
	case PF_OP_LT:
		if (pf_is(u, v.a, 0))
			return v.b;
		*swap = right && k > 0;
		return *swap ? pf_binary(u, PF_OP_LT, pf_const(u, k - 1), v.a) : 0;
	case PF_OP_SUB:
	case PF_OP_XOR:
		*swap = true;
		return pf_binary(u, PF_OP_EQ, v.a, v.b);
	case PF_OP_ADD:
		*swap = right;
		return right ? with(u, PF_OP_EQ, v.a, 0 - k) : 0;
	case PF_OP_SHR:
		return right && k < 32 ? with(u, PF_OP_AND, v.a, UINT32_MAX << k) : 0;
	case PF_OP_SHL:
		return right && k < 32 ? with(u, PF_OP_AND, v.a, UINT32_MAX >> k) : 0;
	case PF_OP_OR:
		return right && k ? pf_const(u, 1) : 0;
	default:
		return 0;
	}
}

static void fold_branch(struct pf_unit *u, pf_blk b)
{
	pf_val cond;
	bool swap;

	while (u->blk[b].end == PF_END_BRANCH && !u->blk[b].loop &&
	       (cond = simpler(u, u->blk[b].cond, &swap))) {
		struct pf_block *block = &u->blk[b];
		struct pf_edge yes = block->edge[0];

		block->cond = cond;
		if (swap) {
			block->edge[0] = block->edge[1];
			block->edge[1] = yes;
		}
	}
}

static int fold(struct pf_unit *u)
{
	uint64_t before = pf_unit_digest(u);
	int r;

	u->fold = true;
	r = pf_unit_compact(u);
	for (pf_blk b = 1; r == 0 && b < u->nblk; b++)
		fold_branch(u, b);
	/* Again, for branches on constants that this has made. */
	if (r == 0)
		r = pf_unit_compact(u);
	return r < 0 ? r : pf_unit_digest(u) != before;
}

const struct pf_pass pf_pass_fold = {
	.name = "fold",
	.summary = "constants are computed, values and conditions said more simply",
	.run = fold,
};

/* --- logic ----------------------------------------------------------------------------------- */

/* if (a & b) with two truth values is if (a) if (b); if (a | b) is if (a) else if (b). */
static bool split(struct pf_unit *u, pf_blk b)
{
	const struct pf_value v = u->val[u->blk[b].cond];
	bool both = v.op == PF_OP_AND;
	pf_blk second;

	if ((!both && v.op != PF_OP_OR) || !pf_is_bool(u, v.a) || !pf_is_bool(u, v.b))
		return false;
	second = pf_block(u);
	if (!second)
		return false;
	u->blk[second].end = PF_END_BRANCH;
	u->blk[second].cond = v.b;
	u->blk[second].edge[0] = u->blk[b].edge[0];
	u->blk[second].edge[1] = u->blk[b].edge[1];
	u->blk[b].cond = v.a;
	u->blk[b].edge[both ? 0 : 1] = (struct pf_edge){ .to = second };
	return true;
}

static int bool_run(struct pf_unit *u)
{
	int changed = 0;

	/* The second half comes later in the list, and may be split again. */
	for (pf_blk b = 1; b < u->nblk && !u->err; b++)
		while (u->blk[b].end == PF_END_BRANCH && !u->blk[b].loop && split(u, b))
			changed = 1;
	return u->err ? u->err : changed;
}

const struct pf_pass pf_pass_bool = {
	.name = "bool",
	.summary = "and, or of truth values become branches",
	.run = bool_run,
};
