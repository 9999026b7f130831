/*
 * Places for values: linear scan over the blocks in order.
 *
 * A value is alive from the first point at which it is computed to the last at which it is used. In
 * a graph without ways back, laid out in order, nothing that runs between two points lies outside
 * of them, so this is safe; holes are not used. What comes into a loop and is used there stays
 * until the loop's last way back.
 */
#include "pf/back/lower_i.h"

struct span {
	uint32_t from, to; /* points; from 0: none */
	pf_val v;
};

struct placing {
	struct pf_lower *l;
	struct span *span; /* owned; by value, then sorted */
	uint32_t *head;	   /* owned; by position of a block: its first point */
	uint32_t n;
};

static void placing_release(struct placing *p)
{
	free(p->span);
	free(p->head);
}

static void define(struct placing *p, pf_val v, uint32_t point)
{
	struct span *s = &p->span[v];

	if (!s->from || point < s->from)
		s->from = point;
	if (point > s->to)
		s->to = point;
	s->v = v;
}

static void use(struct placing *p, pf_val v, uint32_t point)
{
	if (v && !pf_is_const(&p->l->u, v) && point > p->span[v].to)
		p->span[v].to = point;
}

/* Through what comparisons do themselves, to what must be in a place. */
static void use_operand(struct placing *p, pf_val v, uint32_t point)
{
	while (v && (p->l->flags[v] & PF_LOWER_FOLDED))
		v = p->l->u.val[v].a;
	use(p, v, point);
}

static void use_cond(struct placing *p, pf_val cond, uint32_t point)
{
	const struct pf_value *v = &p->l->u.val[cond];

	if (p->l->flags[cond] & PF_LOWER_USED) {
		use(p, cond, point);
		return;
	}
	if (pf_operands(v) > 0)
		use_operand(p, v->a, point);
	if (pf_operands(v) > 1)
		use_operand(p, v->b, point);
}

static void find_spans(struct placing *p)
{
	const struct pf_unit *u = &p->l->u;
	uint32_t point = 1;

	for (uint32_t i = 0; i < p->l->flow.n; i++) {
		const struct pf_block *b = &u->blk[p->l->flow.order[i]];

		p->head[i] = point;
		for (uint32_t k = 0; k < b->nparam; k++)
			define(p, b->param[k], point);
		for (uint32_t s = p->l->first[i]; s < p->l->first[i + 1]; s++) {
			const struct pf_value *v = &u->val[p->l->step[s]];

			point++;
			if (pf_operands(v) > 0)
				use_operand(p, v->a, point);
			if (pf_operands(v) > 1)
				use_operand(p, v->b, point);
			if (v->op != PF_OP_SET)
				define(p, p->l->step[s], point);
		}
		point++;
		for (uint32_t k = 0; k < b->npin; k++)
			if (u->val[b->pin[k]].op == PF_OP_RESULT)
				use(p, u->val[b->pin[k]].a, point);
		if (b->end == PF_END_BRANCH)
			use_cond(p, b->cond, point);
		for (unsigned e = 0; e < pf_edges(b); e++)
			for (uint32_t k = 0; k < b->edge[e].nargs; k++)
				use(p, b->edge[e].args[k], point);
		point++;
	}
	p->head[p->l->flow.n] = point;
}

/* Inner loops come later in the order and end earlier; from the last head on, what is kept for one is kept for all. */
static void extend_loops(struct placing *p)
{
	const struct pf_flow *flow = &p->l->flow;

	for (uint32_t i = flow->n; i-- > 0;) {
		pf_blk b = flow->order[i];
		uint32_t end = 0;

		if (!p->l->u.blk[b].loop)
			continue;
		for (uint32_t k = flow->first[b]; k < flow->first[b + 1]; k++) {
			pf_blk from = flow->pred[k].from;

			if (pf_flow_back(flow, from, b) && p->head[flow->pos[from] + 1] > end)
				end = p->head[flow->pos[from] + 1];
		}
		for (pf_val v = 1; v < p->l->u.nval; v++) {
			struct span *s = &p->span[v];

			if (s->from && s->from < p->head[i] && s->to >= p->head[i] && s->to < end)
				s->to = end;
		}
	}
}

static int by_start(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
				  : (x->v > y->v) - (x->v < y->v);
}

/*
 * Free places are taken from the lowest number up, so registers come first; a value that finds none
 * of them free goes to memory. (Filters have few values alive at a time.)
 */
static int assign(struct placing *p)
{
	uint32_t busy[PF_PLACES_MAX] = { 0 }; /* by place: the point up to which it is taken */
	struct pf_lower *l = p->l;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct span *s = &p->span[i];
		unsigned place = 0;

		while (place < PF_PLACES_MAX && busy[place] > s->from)
			place++;
		if (place == PF_PLACES_MAX)
			return -E2BIG;
		busy[place] = s->to;
		l->place[s->v] = (uint16_t)place;
		if (place >= l->nplace)
			l->nplace = place + 1;
	}
	return 0;
}

int pf_lower_places(struct pf_lower *lower)
{
	PFS_CLEANUP(placing_release) struct placing p = { .l = lower };
	uint32_t nval = lower->u.nval;

	p.span = pfs_zalloc(nval, sizeof(*p.span));
	p.head = pfs_zalloc(lower->flow.n + 1, sizeof(*p.head));
	lower->place = malloc(nval * sizeof(*lower->place));
	if (!p.span || !p.head || !lower->place)
		return -ENOMEM;
	memset(lower->place, 0xff, nval * sizeof(*lower->place));
	find_spans(&p);
	extend_loops(&p);
	for (pf_val v = 1; v < nval; v++) {
		/* A parameter that nobody looks at. */
		if (p.span[v].from && p.span[v].to > p.span[v].from)
			p.span[p.n++] = p.span[v];
	}
	if (p.n)
		qsort(p.span, p.n, sizeof(*p.span), by_start);
	return assign(&p);
}
