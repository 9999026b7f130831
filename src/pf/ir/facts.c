#include "pf/ir/facts.h"

void pf_extents_release(struct pf_extents *extents)
{
	free(extents->of);
	free(extents->span);
	*extents = (struct pf_extents){ 0 };
}

/* Blocks come in the order of the flow, so their lists are found by position while they are made. */
struct making {
	const struct pf_unit *u;
	const struct pf_flow *flow;
	struct pf_extent *of;
	uint32_t n, cap;
	uint32_t *first; /* by position; first[i + 1] is the end */
};

static bool add(struct making *m, struct pf_extent e)
{
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 64;
		void *p = reallocarray(m->of, cap, sizeof(*m->of));

		if (!p)
			return false;
		m->of = p;
		m->cap = cap;
	}
	m->of[m->n++] = e;
	return true;
}

/*
 * What holds on an edge for a base: what held at its source, and what its branch has shown. What fits behind any base
 * fits from the beginning on, too.
 */
static uint32_t along(const struct making *m, const struct pf_pred *pred, pf_val base)
{
	const struct pf_block *b = &m->u->blk[pred->from];
	uint32_t at = m->flow->pos[pred->from], end = 0;

	for (uint32_t i = m->first[at]; i < m->first[at + 1]; i++)
		if ((m->of[i].base == base || !base) && m->of[i].end > end)
			end = m->of[i].end;
	if (b->end == PF_END_BRANCH && pred->edge == 0) {
		const struct pf_value *v = &m->u->val[b->cond];

		if (v->op == PF_OP_FITS && (v->a == base || !base) && v->k > end)
			end = v->k;
	}
	return end;
}

static bool meet(struct making *m, const struct pf_pred *pred, uint32_t npred, pf_val base)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < npred; i++) {
		uint32_t end = along(m, &pred[i], base);

		if (end < least)
			least = end;
	}
	return !least || add(m, (struct pf_extent){ base, least });
}

/* The bases that the first edge knows are all that can be left after the others. */
static int make_block(struct making *m, pf_blk b)
{
	const struct pf_pred *pred = m->flow->pred + m->flow->first[b];
	uint32_t npred = pf_flow_preds(m->flow, b), at;
	const struct pf_block *from;
	pf_val tested = 0;
	bool ok;

	/* Edges that go back are the last, and carry what held at the head already. */
	while (npred && pf_flow_back(m->flow, pred[npred - 1].from, b))
		npred--;
	if (!npred)
		return 0;
	from = &m->u->blk[pred->from];
	at = m->flow->pos[pred->from];
	if (from->end == PF_END_BRANCH && pred->edge == 0 && m->u->val[from->cond].op == PF_OP_FITS)
		tested = m->u->val[from->cond].a;
	ok = meet(m, pred, npred, 0);
	for (uint32_t i = m->first[at]; ok && i < m->first[at + 1]; i++) {
		pf_val base = m->of[i].base;

		if (base == tested)
			tested = 0;
		if (base)
			ok = meet(m, pred, npred, base);
	}
	if (ok && tested)
		ok = meet(m, pred, npred, tested);
	return ok ? 0 : -ENOMEM;
}

int pf_extents_make(const struct pf_unit *u, const struct pf_flow *flow, struct pf_extents *ret_extents)
{
	PFS_FREE uint32_t *first = pfs_zalloc(flow->n + 1, sizeof(*first));
	uint32_t *by_block = pfs_zalloc((size_t)u->nblk * 2, sizeof(*by_block));
	struct making m = { .u = u, .flow = flow, .first = first };

	if (!first || !by_block)
		goto nomem;
	for (uint32_t i = 0; i < flow->n; i++) {
		pf_blk b = flow->order[i];

		if (make_block(&m, b) < 0)
			goto nomem;
		first[i + 1] = m.n;
		by_block[(size_t)b * 2] = first[i];
		by_block[(size_t)b * 2 + 1] = m.n;
	}
	*ret_extents = (struct pf_extents){ .of = m.of, .span = by_block };
	return 0;
nomem:
	free(m.of);
	free(by_block);
	return -ENOMEM;
}

uint32_t pf_extent_at(const struct pf_extents *extents, pf_blk b, pf_val base)
{
	for (uint32_t i = extents->span[(size_t)b * 2]; i < extents->span[(size_t)b * 2 + 1]; i++)
		if (extents->of[i].base == base)
			return extents->of[i].end;
	return 0;
}
