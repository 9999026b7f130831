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
