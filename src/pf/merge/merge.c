#include "pf/merge/merge.h"

int pf_merge_front(struct pf_unit *to, const struct pf_unit *from, uint32_t base)
{
	pf_blk next = to->nblk > 1 ? to->entry : 0, first = to->nblk;
	pf_val value = to->nval;
	uint32_t nresult = base + from->nresult > to->nresult ? base + from->nresult : to->nresult;
	int r = pf_unit_copy(to, from);

	if (r < 0)
		return r;
	for (pf_val v = value; v < to->nval; v++)
		if (to->val[v].op == PF_OP_RESULT)
			to->val[v].k += base;
	to->nresult = nresult;
	for (pf_blk b = first; next && b < to->nblk; b++)
		if (to->blk[b].end == PF_END_STOP)
			pf_block_jump(to, b, next);
	return to->err;
}

/* From the last to the first: then it is known where each goes on. */
int pf_merge(const struct pf_unit *const *units, size_t n, struct pf_unit *ret_unit)
{
	struct pf_unit merged;
	uint64_t base = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		base += units[i]->nresult;
	if (base > UINT32_MAX)
		return -E2BIG;
	pf_unit_init(&merged);
	for (size_t i = n; i-- > 0 && r == 0;) {
		base -= units[i]->nresult;
		r = pf_merge_front(&merged, units[i], (uint32_t)base);
	}
	if (r < 0) {
		pf_unit_release(&merged);
		return r;
	}
	*ret_unit = merged;
	return 0;
}

/* Accepts with the first of the block's results that is not 0; else it goes on where it did. */
static void first_of(struct pf_unit *u, pf_blk b)
{
	const struct pf_block was = u->blk[b];
	pf_blk at = b, rest = pf_block(u);

	if (u->err)
		return;
	u->blk[rest].end = was.end;
	u->blk[rest].cond = was.cond;
	u->blk[rest].edge[0] = was.edge[0];
	u->blk[rest].edge[1] = was.edge[1];
	u->blk[b].npin = 0;
	for (uint32_t p = 0; p < was.npin && !u->err; p++) {
		pf_blk accept = pf_block(u), next = p + 1 < was.npin ? pf_block(u) : rest;

		pf_block_result(u, accept, 0, u->val[was.pin[p]].a);
		pf_block_stop(u, accept);
		pf_block_branch(u, at, u->val[was.pin[p]].a, accept, next);
		at = next;
	}
}

int pf_merge_any(struct pf_unit *u)
{
	/* Who writes must not be left out. */
	if (u->nmemory)
		return -ENOTSUP;
	for (pf_blk b = 1, n = u->nblk; b < n && !u->err; b++)
		if (u->blk[b].npin)
			first_of(u, b);
	u->nresult = 1;
	return u->err ? u->err : pf_unit_compact(u);
}
