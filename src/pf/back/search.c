#include "pf/back/search.h"

#include "pf/ir/flow.h"

#define CHAIN_MIN 7u /* shorter ones are as quick as they are */
#define CHAIN_MAX 4096u
#define ONE_BY_ONE 3u

/* `if v == k go yes` */
struct link {
	pf_val k;
	pf_blk yes;
	uint32_t at; /* in the chain: of two with one constant the first counts */
};

struct searching {
	struct pf_unit *u;
	struct pf_flow flow;
	bool *done;	   /* owned; by block: part of a chain already */
	struct link *link; /* owned; of a chain */
	uint32_t n;
	pf_val v;
	pf_blk no;
};

static void searching_release(struct searching *s)
{
	pf_flow_release(&s->flow);
	free(s->done);
	free(s->link);
}

/* `if v == constant` and nothing else? */
static bool is_link(const struct pf_unit *u, pf_blk b)
{
	const struct pf_block *block = &u->blk[b];
	const struct pf_value *cond = &u->val[block->cond];

	return block->end == PF_END_BRANCH && !block->npin && !block->edge[0].nargs &&
	       !block->edge[1].nargs && cond->op == PF_OP_EQ && pf_is_const(u, cond->b);
}

static void take(struct searching *s, pf_blk b)
{
	s->link[s->n] = (struct link){ s->u->val[s->u->blk[b].cond].b, s->u->blk[b].edge[0].to, s->n };
	s->n++;
	s->no = s->u->blk[b].edge[1].to;
	s->done[b] = true;
}

static void find_chain(struct searching *s, pf_blk b)
{
	const struct pf_unit *u = s->u;

	s->n = 0;
	s->v = u->val[u->blk[b].cond].a;
	take(s, b);
	for (pf_blk next = s->no; s->n < CHAIN_MAX; next = s->no) {
		if (pf_flow_preds(&s->flow, next) != 1 || u->blk[next].nparam ||
		    !is_link(u, next) || u->val[u->blk[next].cond].a != s->v)
			break;
		take(s, next);
	}
}

/* Constants are numbered as they were made; here they come in the order of what they say, equal ones as they were. */
static int by_constant(const void *a, const void *b, void *arg)
{
	const struct pf_value *val = arg;
	const struct link *l = a, *m = b;
	uint32_t x = val[l->k].k, y = val[m->k].k;

	return x != y ? (x > y) - (x < y) : (l->at > m->at) - (l->at < m->at);
}

/* Of equal constants, which stand side by side now. */
static void keep_first(struct searching *s)
{
	uint32_t n = 1;

	for (uint32_t i = 1; i < s->n; i++)
		if (s->u->val[s->link[i].k].k != s->u->val[s->link[n - 1].k].k)
			s->link[n++] = s->link[i];
	s->n = n;
}

/* Block b becomes the search among constants first .. end - 1. */
static void search(struct searching *s, pf_blk b, uint32_t first, uint32_t end)
{
	struct pf_unit *u = s->u;

	while (end - first > ONE_BY_ONE && !u->err) {
		uint32_t mid = first + (end - first) / 2;
		pf_blk below = pf_block(u), above = pf_block(u);

		pf_block_branch(u, b, pf_binary(u, PF_OP_LT, s->v, s->link[mid].k), below, above);
		search(s, below, first, mid); /* as deep as a binary search is */
		b = above;
		first = mid;
	}
	for (; first < end && !u->err; first++) {
		pf_blk next = first + 1 < end ? pf_block(u) : s->no;

		pf_block_branch(u, b, pf_binary(u, PF_OP_EQ, s->v, s->link[first].k),
				s->link[first].yes, next);
		b = next;
	}
}

static int search_all(struct searching *s)
{
	struct pf_unit *u = s->u;
	int r = pf_flow_make(u, &s->flow);
	bool changed = false;

	s->done = pfs_zalloc(u->nblk, sizeof(*s->done));
	s->link = pfs_zalloc(CHAIN_MAX, sizeof(*s->link));
	if (r < 0 || !s->done || !s->link)
		return r < 0 ? r : -ENOMEM;
	for (uint32_t i = 0; i < s->flow.n && !u->err; i++) {
		pf_blk b = s->flow.order[i];

		if (s->done[b] || !is_link(u, b))
			continue;
		find_chain(s, b);
		if (s->n < CHAIN_MIN)
			continue;
		qsort_r(s->link, s->n, sizeof(*s->link), by_constant, u->val);
		keep_first(s);
		u->blk[b].end = PF_END_NONE;
		search(s, b, 0, s->n);
		changed = true;
	}
	return u->err ? u->err : changed ? pf_unit_compact(u) : 0;
}

int pf_search(struct pf_unit *u)
{
	PFS_CLEANUP(searching_release) struct searching s = { .u = u };

	return search_all(&s);
}
