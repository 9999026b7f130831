#include "pf/opt/known.h"

static void add_fact(struct pf_facts *facts, pf_val cond, bool yes)
{
	if (facts->n < PF_FACTS_MAX)
		facts->of[facts->n++] = (struct pf_fact){ cond, yes };
}

static void add_edge(const struct pf_unit *u, pf_blk from, unsigned edge, struct pf_facts *facts)
{
	const struct pf_block *b = &u->blk[from];

	if (b->end == PF_END_BRANCH && b->edge[0].to != b->edge[1].to)
		add_fact(facts, b->cond, edge == 0);
}

static void add_block(const struct pf_unit *u, const struct pf_flow *flow, pf_blk b,
		      struct pf_facts *facts)
{
	/* The only edge into a block dominates it; where several come in, what dominates the block does. */
	while (b != u->entry && facts->n < PF_FACTS_MAX) {
		const struct pf_pred *pred = &flow->pred[flow->first[b]];

		if (pf_flow_preds(flow, b) == 1)
			add_edge(u, pred->from, pred->edge, facts);
		b = flow->idom[b];
	}
}

void pf_facts_at(const struct pf_unit *u, const struct pf_flow *flow, pf_blk b,
		 struct pf_facts *ret_facts)
{
	ret_facts->n = 0;
	add_block(u, flow, b, ret_facts);
}

void pf_facts_on(const struct pf_unit *u, const struct pf_flow *flow, pf_blk from, unsigned edge,
		 struct pf_facts *ret_facts)
{
	ret_facts->n = 0;
	add_edge(u, from, edge, ret_facts);
	add_block(u, flow, from, ret_facts);
}

/* --- one value ------------------------------------------------------------------------------- */

/* What a value can be: between two numbers, with bits that are surely set or surely not. */
struct domain {
	uint32_t low, high;
	uint32_t ones, zeros;
	bool never; /* the facts contradict each other: nothing ever comes here */
};

static void at_least(struct domain *d, uint32_t k)
{
	if (k > d->low)
		d->low = k;
}

static void at_most(struct domain *d, uint32_t k)
{
	if (k < d->high)
		d->high = k;
}

static void exactly(struct domain *d, uint32_t k)
{
	at_least(d, k);
	at_most(d, k);
	d->ones |= k;
	d->zeros |= ~k;
}

static void not_equal(struct domain *d, uint32_t k)
{
	if (d->low == k && k < UINT32_MAX)
		d->low++;
	if (d->high == k && k > 0)
		d->high--;
}

static bool single_bit(uint32_t mask)
{
	return mask && !(mask & (mask - 1));
}

static void learn_equal(const struct pf_unit *u, struct domain *d, const struct pf_value *c,
			pf_val x, bool yes)
{
	const struct pf_value *left = &u->val[c->a];
	uint32_t k = u->val[c->b].k;

	if (c->a == x) {
		if (yes)
			exactly(d, k);
		else
			not_equal(d, k);
	} else if (yes && left->op == PF_OP_AND && left->a == x && pf_is_const(u, left->b)) {
		d->ones |= k;
		d->zeros |= u->val[left->b].k & ~k;
	}
}

/* Does the condition say something of x alone? */
static void learn(const struct pf_unit *u, struct domain *d, pf_val cond, bool yes, pf_val x)
{
	const struct pf_value *c = &u->val[cond];

	if (cond == x) {
		if (yes)
			not_equal(d, 0);
		else
			exactly(d, 0);
	} else if (c->op == PF_OP_EQ && pf_is_const(u, c->b)) {
		learn_equal(u, d, c, x, yes);
	} else if (c->op == PF_OP_LT && c->b == x && pf_is_const(u, c->a)) {
		if (yes && u->val[c->a].k < UINT32_MAX)
			at_least(d, u->val[c->a].k + 1);
		else if (!yes)
			at_most(d, u->val[c->a].k);
	} else if (c->op == PF_OP_LT && c->a == x && pf_is_const(u, c->b)) {
		if (yes && u->val[c->b].k > 0)
			at_most(d, u->val[c->b].k - 1);
		else if (!yes)
			at_least(d, u->val[c->b].k);
	} else if (c->op == PF_OP_AND && c->a == x && pf_is_const(u, c->b)) {
		uint32_t mask = u->val[c->b].k;

		if (!yes)
			d->zeros |= mask;
		else if (single_bit(mask))
			d->ones |= mask;
		else
			at_least(d, mask & (0 - mask));
	}
}

static struct domain domain_of(const struct pf_unit *u, const struct pf_facts *facts, pf_val x)
{
	const struct pf_value *v = &u->val[x];
	struct domain d = { .high = v->max, .zeros = ~v->may };

	if (v->op == PF_OP_CONST) {
		exactly(&d, v->k);
		return d;
	}
	/* Twice, so that what one fact excludes at an end can be followed by another. */
	for (unsigned turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < facts->n; i++)
			learn(u, &d, facts->of[i].cond, facts->of[i].yes, x);
	/* A mask of something of which more is known. */
	if (v->op == PF_OP_AND && pf_is_const(u, v->b)) {
		struct domain inner = { .high = u->val[v->a].max, .zeros = ~u->val[v->a].may };
		uint32_t mask = u->val[v->b].k;

		for (uint32_t i = 0; i < facts->n; i++)
			learn(u, &inner, facts->of[i].cond, facts->of[i].yes, v->a);
		d.ones |= inner.ones & mask;
		d.zeros |= inner.zeros & mask;
	}
	at_least(&d, d.ones);
	at_most(&d, ~d.zeros);
	d.never = d.low > d.high || (d.ones & d.zeros);
	return d;
}

bool pf_facts_number(const struct pf_unit *u, const struct pf_facts *facts, pf_val x,
		     uint32_t *ret_number)
{
	struct domain d = domain_of(u, facts, x);

	if (d.never || d.low != d.high)
		return false;
	*ret_number = d.low;
	return true;
}

/* --- deciding -------------------------------------------------------------------------------- */

static bool excluded(const struct pf_unit *u, const struct pf_facts *facts, pf_val x, uint32_t k)
{
	for (uint32_t i = 0; i < facts->n; i++) {
		const struct pf_value *c = &u->val[facts->of[i].cond];

		if (!facts->of[i].yes && c->op == PF_OP_EQ && c->a == x && pf_is(u, c->b, k))
			return true;
	}
	return false;
}

static enum pf_answer decide_equal(const struct pf_unit *u, const struct pf_facts *facts, pf_val x,
				   uint32_t k)
{
	struct domain d = domain_of(u, facts, x);

	if (d.never)
		return PF_MAYBE;
	if (k < d.low || k > d.high || (k & d.zeros) || (d.ones & ~k) || excluded(u, facts, x, k))
		return PF_NO;
	return d.low == d.high ? PF_YES : PF_MAYBE;
}

static enum pf_answer decide_less(const struct pf_unit *u, const struct pf_facts *facts, pf_val a,
				  pf_val b)
{
	struct domain x = domain_of(u, facts, a), y = domain_of(u, facts, b);

	if (x.never || y.never)
		return PF_MAYBE;
	if (x.high < y.low)
		return PF_YES;
	return x.low >= y.high ? PF_NO : PF_MAYBE;
}

static enum pf_answer decide_bits(const struct pf_unit *u, const struct pf_facts *facts, pf_val x,
				  uint32_t mask)
{
	struct domain d = domain_of(u, facts, x);

	if (d.never)
		return PF_MAYBE;
	if (!(mask & ~d.zeros))
		return PF_NO;
	if ((mask & d.ones) || (d.low > 0 && !(~d.zeros & ~mask)))
		return PF_YES;
	return d.low == d.high ? (d.low & mask ? PF_YES : PF_NO) : PF_MAYBE;
}

/*
 * What fits behind a base fits from the beginning, too; what does not fit from the beginning does not fit behind any
 * base.
 */
static enum pf_answer decide_fits(const struct pf_unit *u, const struct pf_facts *facts,
				  const struct pf_value *v)
{
	uint64_t farthest = v->a ? (uint64_t)u->val[v->a].max + v->k : v->k;

	for (uint32_t i = 0; i < facts->n; i++) {
		const struct pf_value *c = &u->val[facts->of[i].cond];

		if (c->op != PF_OP_FITS)
			continue;
		if (facts->of[i].yes && (c->a == v->a ? c->k >= v->k : c->k >= farthest))
			return PF_YES;
		if (!facts->of[i].yes && (c->a == v->a || !c->a) && c->k <= v->k)
			return PF_NO;
	}
	return PF_MAYBE;
}

enum pf_answer pf_facts_decide(const struct pf_unit *u, const struct pf_facts *facts, pf_val cond)
{
	const struct pf_value *v = &u->val[cond];
	enum pf_answer answer;

	for (uint32_t i = 0; i < facts->n; i++)
		if (facts->of[i].cond == cond)
			return facts->of[i].yes ? PF_YES : PF_NO;
	switch (v->op) {
	case PF_OP_FITS:
		return decide_fits(u, facts, v);
	case PF_OP_EQ:
		if (pf_is_const(u, v->b))
			return decide_equal(u, facts, v->a, u->val[v->b].k);
		break;
	case PF_OP_LT:
		return decide_less(u, facts, v->a, v->b);
	case PF_OP_AND:
		if (!pf_is_const(u, v->b))
			break;
		answer = decide_bits(u, facts, v->a, u->val[v->b].k);
		if (answer != PF_MAYBE)
			return answer;
		break;
	default:
		break;
	}
	return decide_bits(u, facts, cond, UINT32_MAX);
}
