#include "pf/ir/verify.h"

#include "pf/error.h"
#include "pf/ir/facts.h"

struct check {
	const struct pf_unit *u;
	struct pf_flow flow;
	struct pf_extents extents;
	pf_blk *anchor; /* owned; by value: the deepest block whose parameters and words it is made of */
	uint32_t *pinned; /* owned; by value: of GET, 1 + its place among the effects of its block */
	uint32_t *seen;	  /* owned; by value: the last place whose uses reached it */
	uint32_t place;	  /* a block, or one of its edges */
	pf_val tested;	  /* on the yes edge of FITS: its base, */
	uint32_t fits;	  /* and how far it has shown; 0: not there */
	uint32_t pins;	  /* effects of the block that stand before the use */
	pf_val *stack;	  /* owned */
	struct pf_error *error; /* borrowed */
};

static void check_release(struct check *c)
{
	pf_flow_release(&c->flow);
	pf_extents_release(&c->extents);
	free(c->anchor);
	free(c->pinned);
	free(c->seen);
	free(c->stack);
}

static int wrong(struct check *c, const char *what, uint32_t where)
{
	return pf_fail(c->error, EINVAL, "intermediate form: %s (%u)", what, where);
}

/* --- values ---------------------------------------------------------------------------------- */

static int check_operand(struct check *c, pf_val v, pf_val operand)
{
	if (!operand || operand >= v)
		return wrong(c, "a value stands before its operand", v);
	if (!pf_is_number(&c->u->val[operand]))
		return wrong(c, "an effect is no operand", v);
	return 0;
}

static bool is_param_of(const struct pf_unit *u, pf_val v)
{
	const struct pf_value *p = &u->val[v];

	return p->a > 0 && p->a < u->nblk && p->k < u->blk[p->a].nparam &&
	       u->blk[p->a].param[p->k] == v;
}

/* The blocks whose parameters a value needs must lie one below the other; the deepest counts. */
static int anchor_value(struct check *c, pf_val v)
{
	const struct pf_value *value = &c->u->val[v];
	unsigned operands = pf_operands(value);
	pf_blk a, b;
	int r;

	if (value->op == PF_OP_NONE || value->op >= PF_OPS)
		return wrong(c, "no such operation", v);
	if (value->op == PF_OP_PARAM) {
		if (!is_param_of(c->u, v))
			return wrong(c, "a parameter that its block does not have", v);
		c->anchor[v] = value->a;
		return 0;
	}
	if (pf_is_memory(value) && pf_place_memory(value) >= c->u->nmemory)
		return wrong(c, "no such memory", v);
	if ((value->op == PF_OP_AUX || value->op == PF_OP_KNOWN) && value->k > 31)
		return wrong(c, "no such field", v);
	if (value->op == PF_OP_FIND && value->k >= c->u->ntable)
		return wrong(c, "no such table", v);
	if (pf_load_size(value->op) && value->k > UINT32_MAX - pf_load_size(value->op))
		return wrong(c, "an offset at which nothing can be", v);
	r = operands > 0 ? check_operand(c, v, value->a) : 0;
	if (r == 0 && operands > 1)
		r = check_operand(c, v, value->b);
	if (r < 0)
		return r;
	/* That of a word is where it stands; what it is made of is a use there. */
	if (value->op == PF_OP_GET)
		return 0;
	a = operands > 0 ? c->anchor[value->a] : c->u->entry;
	b = operands > 1 ? c->anchor[value->b] : c->u->entry;
	/* Something that only an unreachable block could use. */
	if (!a || !b || !pf_flow_reached(&c->flow, a) || !pf_flow_reached(&c->flow, b))
		return 0;
	if (pf_flow_dominates(&c->flow, a, b))
		c->anchor[v] = b;
	else if (pf_flow_dominates(&c->flow, b, a))
		c->anchor[v] = a;
	return 0;
}

/* How much fits from base on, here. */
static uint32_t extent(const struct check *c, pf_blk b, pf_val base)
{
	uint32_t end = pf_extent_at(&c->extents, b, base);

	return (base == c->tested || !base) && c->fits > end ? c->fits : end;
}

/* By a check of its own base, or because even from the greatest base on it lies inside of what is there. */
static bool covered(const struct check *c, pf_blk b, const struct pf_value *load, unsigned size)
{
	uint32_t end = load->k + size;

	if (extent(c, b, load->a) >= end)
		return true;
	return load->a && (uint64_t)c->u->val[load->a].max + end <= extent(c, b, 0);
}

/* May v be computed in block b: are its parameters known, are its bytes there? */
static int check_use(struct check *c, pf_blk b, pf_val v)
{
	uint32_t n = 0;

	if (!v || v >= c->u->nval || !pf_is_number(&c->u->val[v]))
		return wrong(c, "a use of no value, block", b);
	c->stack[n++] = v;
	while (n > 0) {
		const struct pf_value *value;
		unsigned operands, size;

		v = c->stack[--n];
		if (c->seen[v] == c->place)
			continue;
		c->seen[v] = c->place;
		value = &c->u->val[v];
		operands = pf_operands(value);
		size = pf_load_size(value->op);
		if (!c->anchor[v] || !pf_flow_reached(&c->flow, c->anchor[v]) ||
		    !pf_flow_dominates(&c->flow, c->anchor[v], b))
			return wrong(c, "a parameter is used where it is not known, value", v);
		if (size && !covered(c, b, value, size))
			return wrong(c, "a load without its bounds check, value", v);
		if (value->op == PF_OP_GET) {
			/* Computed where it stands: before, in this block. */
			if (c->anchor[v] == b && c->pinned[v] > c->pins)
				return wrong(c, "a word is used before it is read, value", v);
			continue;
		}
		if (operands > 1)
			c->stack[n++] = value->b;
		if (operands > 0)
			c->stack[n++] = value->a;
	}
	return 0;
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* Arguments are computed on the edge, where its branch has shown what it has. */
static int check_edge(struct check *c, pf_blk from, unsigned e)
{
	const struct pf_block *block = &c->u->blk[from];
	const struct pf_edge *edge = &block->edge[e];
	int r = 0;

	if (edge->nargs != c->u->blk[edge->to].nparam)
		return wrong(c, "an edge without an argument for each parameter, block", from);
	c->place++;
	if (block->end == PF_END_BRANCH && e == 0 && c->u->val[block->cond].op == PF_OP_FITS) {
		c->tested = c->u->val[block->cond].a;
		c->fits = c->u->val[block->cond].k;
	}
	for (uint32_t i = 0; i < edge->nargs && r == 0; i++)
		r = check_use(c, from, edge->args[i]);
	c->tested = 0;
	c->fits = 0;
	return r;
}

/* An effect: what it is made of must be known before it. */
static int check_pin(struct check *c, pf_blk b, uint32_t i)
{
	const struct pf_block *block = &c->u->blk[b];
	const struct pf_value *pin;
	unsigned operands;
	int r;

	if (!block->pin[i] || block->pin[i] >= c->u->nval || !pf_ops[c->u->val[block->pin[i]].op].effect)
		return wrong(c, "only an effect stands in a block", b);
	pin = &c->u->val[block->pin[i]];
	if (pin->op == PF_OP_RESULT && pin->k >= c->u->nresult)
		return wrong(c, "a result of no filter, block", b);
	/* Behind the result of the only filter nothing more happens: back ends end there. */
	if (pin->op == PF_OP_RESULT && c->u->nmemory && c->u->nresult == 1 &&
	    (i + 1 < block->npin || block->end != PF_END_STOP))
		return wrong(c, "a result with something behind it, block", b);
	c->pins = i;
	operands = pf_operands(pin);
	r = operands > 0 ? check_use(c, b, pin->a) : 0;
	return r == 0 && operands > 1 ? check_use(c, b, pin->b) : r;
}

static int check_block(struct check *c, pf_blk b)
{
	const struct pf_block *block = &c->u->blk[b];
	int r = 0;

	for (uint32_t i = 0; i < block->npin && r == 0; i++) {
		c->place++;
		r = check_pin(c, b, i);
	}
	c->pins = block->npin;
	c->place++;
	if (r == 0 && block->end == PF_END_BRANCH)
		r = check_use(c, b, block->cond);
	for (unsigned e = 0; e < pf_edges(block) && r == 0; e++)
		r = check_edge(c, b, e);
	return r;
}

/* Where each word is read: in one place. */
static int place_words(struct check *c)
{
	const struct pf_unit *u = c->u;

	for (uint32_t k = 0; k < u->nmemory; k++)
		if (!u->memory[k] || u->memory[k] > PF_MEMORY_MAX)
			return wrong(c, "a memory of no or too many words", k);
	for (uint32_t k = 0; k < c->flow.n; k++) {
		const struct pf_block *b = &u->blk[c->flow.order[k]];

		for (uint32_t i = 0; i < b->npin; i++) {
			pf_val v = b->pin[i];

			if (!v || v >= u->nval || u->val[v].op != PF_OP_GET)
				continue;
			if (c->pinned[v])
				return wrong(c, "a word that is read in two places, value", v);
			c->pinned[v] = i + 1;
			c->anchor[v] = c->flow.order[k];
		}
	}
	return 0;
}

/* Counts down: from a constant, one less each time round, and only while it is not 0. */
static int check_loop(struct check *c, pf_blk b)
{
	const struct pf_block *head = &c->u->blk[b];
	pf_val fuel;

	if (head->fuel >= head->nparam)
		return wrong(c, "a loop without fuel, block", b);
	fuel = head->param[head->fuel];
	/* The head itself looks at the gauge, so that nothing in the loop is done without. */
	if (head->end != PF_END_BRANCH || head->cond != fuel)
		return wrong(c, "a loop that does not look at its fuel, block", b);
	for (uint32_t p = c->flow.first[b]; p < c->flow.first[b + 1]; p++) {
		const struct pf_pred *pred = &c->flow.pred[p];
		pf_val arg = c->u->blk[pred->from].edge[pred->edge].args[head->fuel];
		const struct pf_value *v = &c->u->val[arg];
		bool back = pf_flow_back(&c->flow, pred->from, b);

		if (!back && (v->op != PF_OP_CONST || v->k > PF_FUEL_MAX))
			return wrong(c, "a loop that begins with too much fuel, block", b);
		if (back && (v->op != PF_OP_ADD || v->a != fuel || !pf_is(c->u, v->b, UINT32_MAX)))
			return wrong(c, "a loop that does not burn its fuel, block", b);
		/* On the side without fuel nothing goes round. */
		if (back && !pf_flow_dominates(&c->flow, head->edge[0].to, pred->from))
			return wrong(c, "a loop that goes on without fuel, block", b);
	}
	return 0;
}

/*
 * A filter has one result on every way. set[] is a row of bits for each block: the results that
 * some way to its head, and then through it, has had.
 */
static int check_results(struct check *c)
{
	const struct pf_unit *u = c->u;
	size_t row = ((size_t)u->nresult + 63) / 64;
	PFS_FREE uint64_t *set = pfs_zalloc(c->flow.n, row * sizeof(*set));

	if (!set)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->flow.n; i++) {
		pf_blk b = c->flow.order[i];

		for (uint32_t p = c->flow.first[b]; p < c->flow.first[b + 1]; p++) {
			uint32_t from = c->flow.pos[c->flow.pred[p].from];

			/* Back into a loop: what is set inside would be set again. */
			for (size_t w = 0; from < i && w < row; w++)
				set[i * row + w] |= set[from * row + w];
		}
		for (uint32_t p = 0; p < u->blk[b].npin; p++) {
			uint32_t id = u->val[u->blk[b].pin[p]].k;
			uint64_t *word, bit = UINT64_C(1) << id % 64;

			if (u->val[u->blk[b].pin[p]].op != PF_OP_RESULT)
				continue;
			word = &set[i * row + id / 64];
			if (*word & bit)
				return wrong(c, "a second result on one way, filter", id);
			*word |= bit;
		}
		for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++) {
			uint32_t to = c->flow.pos[u->blk[b].edge[e].to];

			if (to <= i && memcmp(&set[to * row], &set[i * row], row * sizeof(*set)) != 0)
				return wrong(c, "a result inside of a loop, block", b);
		}
	}
	return 0;
}

static int check_shape(struct check *c)
{
	const struct pf_unit *u = c->u;

	if (!u->entry || u->entry >= u->nblk)
		return wrong(c, "no entry", 0);
	for (pf_blk b = 1; b < u->nblk; b++)
		for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++)
			if (!u->blk[b].edge[e].to || u->blk[b].edge[e].to >= u->nblk)
				return wrong(c, "an edge to nowhere, block", b);
	return 0;
}

static int check_all(struct check *c)
{
	int r = check_shape(c);

	if (r == 0)
		r = pf_flow_make(c->u, &c->flow);
	if (r == -ELOOP)
		return wrong(c, "an edge goes back to what is no loop", 0);
	if (r < 0)
		return r;
	assert(c->flow.first);
	if (c->u->blk[c->u->entry].nparam || pf_flow_preds(&c->flow, c->u->entry))
		return wrong(c, "an entry with parameters or edges into it", c->u->entry);
	r = pf_extents_make(c->u, &c->flow, &c->extents);
	if (r == -E2BIG)
		return pf_fail(c->error, E2BIG, "the filter loads from too many computed places");
	if (r == 0)
		r = place_words(c);
	for (pf_val v = 1; v < c->u->nval && r == 0; v++)
		r = anchor_value(c, v);
	for (uint32_t i = 0; i < c->flow.n && r == 0; i++) {
		pf_blk b = c->flow.order[i];

		if (c->u->blk[b].end == PF_END_NONE)
			return wrong(c, "a block without an end", b);
		r = check_block(c, b);
		if (r == 0 && c->u->blk[b].loop)
			r = check_loop(c, b);
	}
	return r == 0 ? check_results(c) : r;
}

int pf_verify(const struct pf_unit *u, struct pf_error *error)
{
	PFS_CLEANUP(check_release) struct check c = { .u = u, .error = error };
	int r;

	if (u->err)
		return pf_fail(error, -u->err, "%s",
			       u->err == -E2BIG ? "the filter is too large"
						: "no memory for the filter");
	c.anchor = pfs_zalloc(u->nval, sizeof(*c.anchor));
	c.seen = pfs_zalloc(u->nval, sizeof(*c.seen));
	/* Two for each value that is taken off, which is taken once a block. */
	c.stack = pfs_zalloc((size_t)u->nval * 2 + 2, sizeof(*c.stack));
	c.pinned = pfs_zalloc(u->nval, sizeof(*c.pinned));
	if (!c.anchor || !c.seen || !c.stack || !c.pinned)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	r = check_all(&c);
	return r == -ENOMEM ? pf_fail(error, ENOMEM, "no memory for the filter") : r;
}
