#include "pf/ir/facts.h"

#define PREDS_MAX 16
#define EXTENTS_MAX (1u << 22) /* in all: who counts from so many places is up to something */

void pf_extents_release(struct pf_extents *extents)
{
	free(extents->of);
	free(extents->span);
	*extents = (struct pf_extents){ 0 };
}

/* One base, while the edges into a block are looked at. */
struct entry {
	uint32_t listed; /* the block, 1 + its position, that has it among its bases */
	uint32_t edge;	 /* the last edge that says something of it, */
	uint32_t end;	 /* and what */
};

/* Blocks come in the order of the flow, so their lists are found by position while they are made. */
struct making {
	const struct pf_unit *u;
	const struct pf_flow *flow;
	struct pf_extent *of;
	uint32_t n, cap;
	uint32_t *first;     /* owned; by position; first[i + 1] is the end */
	struct entry *entry; /* owned; by value */
	uint32_t edges;	     /* that were looked at */
};

static void making_release(struct making *m)
{
	free(m->of);
	free(m->first);
	free(m->entry);
}

static int add(struct making *m, struct pf_extent e)
{
	if (m->n >= EXTENTS_MAX)
		return -E2BIG;
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 64;
		void *p = reallocarray(m->of, cap, sizeof(*m->of));

		if (!p)
			return -ENOMEM;
		m->of = p;
		m->cap = cap;
	}
	m->of[m->n++] = e;
	return 0;
}

/* What the branch of an edge shows: a FITS of which this is the yes side; NULL: nothing. */
static const struct pf_value *shown(const struct making *m, const struct pf_pred *pred)
{
	const struct pf_block *b = &m->u->blk[pred->from];
	const struct pf_value *v = &m->u->val[b->cond];

	return b->end == PF_END_BRANCH && pred->edge == 0 && v->op == PF_OP_FITS ? v : NULL;
}

static void say(struct making *m, pf_val base, uint32_t end)
{
	struct entry *e = &m->entry[base];

	if (e->edge != m->edges || e->end < end)
		e->end = end;
	e->edge = m->edges;
}

/* Notes what holds on an edge. What fits behind any base fits from the beginning on. Returns how much does. */
static uint32_t look_along(struct making *m, const struct pf_pred *pred)
{
	uint32_t at = m->flow->pos[pred->from], whole = 0;
	const struct pf_value *v = shown(m, pred);

	m->edges++;
	for (uint32_t i = m->first[at]; i < m->first[at + 1]; i++) {
		say(m, m->of[i].base, m->of[i].end);
		whole = (uint32_t)pfs_max(whole, m->of[i].end);
	}
	if (v) {
		say(m, v->a, v->k);
		whole = (uint32_t)pfs_max(whole, v->k);
	}
	say(m, 0, whole);
	return whole;
}

/* What fits from that base on, on that edge: also what must, since the base itself is not so large. */
static uint32_t along(const struct making *m, pf_val base, uint32_t whole)
{
	uint32_t end = m->entry[base].edge == m->edges ? m->entry[base].end : 0;
	uint32_t max = base ? m->u->val[base].max : 0;

	return base && whole > max ? (uint32_t)pfs_max(end, whole - max) : end;
}

static int list(struct making *m, uint32_t at, pf_val base)
{
	if (m->entry[base].listed == at + 1)
		return 0;
	m->entry[base].listed = at + 1;
	return add(m, (struct pf_extent){ base, UINT32_MAX });
}

/* All bases that some edge knows: another may know them, too, without their being listed there. */
static int list_bases(struct making *m, uint32_t at, const struct pf_pred *pred, uint32_t npred)
{
	int r = list(m, at, 0);

	/* A block that very many lead to is where they reject; what else it knows is of no use. */
	for (uint32_t p = 0; p < npred && p < PREDS_MAX; p++) {
		uint32_t from = m->flow->pos[pred[p].from];
		const struct pf_value *v = shown(m, &pred[p]);

		for (uint32_t i = m->first[from]; r == 0 && i < m->first[from + 1]; i++)
			r = list(m, at, m->of[i].base);
		if (r == 0 && v)
			r = list(m, at, v->a);
	}
	return r;
}

/* The least of what the edges know. */
static int make_block(struct making *m, uint32_t at)
{
	pf_blk b = m->flow->order[at];
	const struct pf_pred *pred = m->flow->pred + m->flow->first[b];
	uint32_t npred = pf_flow_preds(m->flow, b), begin = m->n, kept = begin;
	int r;

	/* Edges that go back are the last, and carry what held at the head already. */
	while (npred && pf_flow_back(m->flow, pred[npred - 1].from, b))
		npred--;
	r = npred ? list_bases(m, at, pred, npred) : 0;
	for (uint32_t p = 0; p < npred && r == 0 && m->n > begin; p++) {
		uint32_t whole = look_along(m, &pred[p]);

		kept = begin;
		for (uint32_t i = begin; i < m->n; i++) {
			uint32_t end = along(m, m->of[i].base, whole);

			end = (uint32_t)pfs_min(end, m->of[i].end);
			if (end)
				m->of[kept++] = (struct pf_extent){ m->of[i].base, end };
		}
		m->n = kept;
	}
	m->first[at + 1] = m->n;
	return r;
}

int pf_extents_make(const struct pf_unit *u, const struct pf_flow *flow, struct pf_extents *ret_extents)
{
	PFS_CLEANUP(making_release)
	struct making m = {
		.u = u,
		.flow = flow,
		.first = pfs_zalloc(flow->n + 1, sizeof(*m.first)),
		.entry = pfs_zalloc(u->nval, sizeof(*m.entry)),
	};
	PFS_FREE uint32_t *by_block = pfs_zalloc((size_t)u->nblk * 2, sizeof(*by_block));
	int r = m.first && m.entry && by_block ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < flow->n && r == 0; i++) {
		r = make_block(&m, i);
		by_block[(size_t)flow->order[i] * 2] = m.first[i];
		by_block[(size_t)flow->order[i] * 2 + 1] = m.first[i + 1];
	}
	if (r < 0)
		return r;
	ret_extents->of = TAKE_PTR(m.of);
	ret_extents->span = TAKE_PTR(by_block);
	return 0;
}

uint32_t pf_extent_at(const struct pf_extents *extents, pf_blk b, pf_val base)
{
	for (uint32_t i = extents->span[(size_t)b * 2]; i < extents->span[(size_t)b * 2 + 1]; i++)
		if (extents->of[i].base == base)
			return extents->of[i].end;
	return 0;
}
