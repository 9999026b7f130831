/*
 * assert - what branches have shown is used: conditions that are settled become jumps, values that are known constants
 * thread - redundant predicates are gone round: an edge into a test whose outcome is settled on it goes on to that side
 *
 * Both make fewer branches on some way through the graph, and no more on any other.
 */
#include "pf/opt/known.h"
#include "pf/opt/opt.h"

#define HOPS_MAX 64 /* tests that one edge may be led past */

/* --- assert ---------------------------------------------------------------------------------- */

struct assertion {
	struct pf_unit *u;
	struct pf_flow flow;
	struct pf_facts facts;
	bool changed;
};

/* A constant if the facts say that v is one. */
static pf_val known_value(struct assertion *a, pf_val v)
{
	uint32_t k;

	if (pf_is_const(a->u, v) || !pf_facts_number(a->u, &a->facts, v, &k))
		return v;
	a->changed = true;
	return pf_const(a->u, k);
}

/* v with the parts that are known in their place; a few levels are what filters have. */
static pf_val known_parts(struct assertion *a, pf_val v, unsigned depth)
{
	pf_val known = known_value(a, v), x, y;
	const struct pf_value value = a->u->val[known];
	unsigned operands = pf_operands(&value);

	if (!operands || !depth || value.op == PF_OP_FITS || value.op == PF_OP_GET ||
	    pf_load_size(value.op))
		return known;
	x = known_parts(a, value.a, depth - 1);
	y = operands > 1 ? known_parts(a, value.b, depth - 1) : value.b;
	return x == value.a && y == value.b ? known : pf_value(a->u, value.op, x, y, value.k);
}

static void assert_end(struct assertion *a, pf_blk b)
{
	struct pf_unit *u = a->u;
	enum pf_answer answer = pf_facts_decide(u, &a->facts, u->blk[b].cond);
	pf_val cond;

	if (answer == PF_MAYBE) {
		cond = known_parts(a, u->blk[b].cond, 2);
		u->blk[b].cond = cond;
		return;
	}
	u->blk[b].edge[0] = u->blk[b].edge[answer == PF_YES ? 0 : 1];
	u->blk[b].end = PF_END_JUMP;
	a->changed = true;
}

static void assert_block(struct assertion *a, pf_blk b)
{
	struct pf_unit *u = a->u;

	pf_facts_at(u, &a->flow, b, &a->facts);
	for (uint32_t p = 0; p < u->blk[b].npin && a->facts.n; p++) {
		pf_val pin = u->blk[b].pin[p];
		unsigned operands = pf_operands(&u->val[pin]);
		pf_val x = operands > 0 ? known_parts(a, u->val[pin].a, 2) : 0;
		pf_val y = operands > 1 ? known_parts(a, u->val[pin].b, 2) : 0;

		u->val[pin].a = x;
		u->val[pin].b = y;
	}
	if (u->blk[b].end == PF_END_BRANCH && a->facts.n && !u->blk[b].loop)
		assert_end(a, b);
	for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++) {
		/* A loop's fuel must stay what it is. */
		if (u->blk[u->blk[b].edge[e].to].loop || !u->blk[b].edge[e].nargs)
			continue;
		pf_facts_on(u, &a->flow, b, e, &a->facts);
		for (uint32_t i = 0; i < u->blk[b].edge[e].nargs && a->facts.n; i++) {
			pf_val v = known_parts(a, u->blk[b].edge[e].args[i], 2);

			u->blk[b].edge[e].args[i] = v;
		}
	}
}

static int assert_run(struct pf_unit *u)
{
	struct assertion a = { .u = u };
	int r = pf_flow_make(u, &a.flow);

	for (uint32_t i = 0; r == 0 && i < a.flow.n && !u->err; i++)
		assert_block(&a, a.flow.order[i]);
	pf_flow_release(&a.flow);
	return r < 0 ? r : u->err ? u->err : a.changed;
}

const struct pf_pass pf_pass_assert = {
	.name = "assert",
	.summary = "what branches have shown settles conditions and values behind them",
	.run = assert_run,
};

/* --- thread ---------------------------------------------------------------------------------- */

struct threading {
	struct pf_unit *u;
	struct pf_flow flow;
	uint8_t *inside; /* owned; by block: its parameters are looked at by its own end alone */
	struct pf_facts facts;
	bool changed;
};

static void threading_release(struct threading *t)
{
	pf_flow_release(&t->flow);
	free(t->inside);
}

/* v as it is on the edge: a parameter of the block that it leads to is the argument. */
static pf_val on_edge(const struct pf_unit *u, pf_blk b, const struct pf_edge *edge, pf_val v)
{
	const struct pf_value *value = &u->val[v];

	return value->op == PF_OP_PARAM && value->a == b ? edge->args[value->k] : v;
}

/* Somebody other than the end of block `by` looks at v; 0: anybody. */
static void look_at(struct threading *t, pf_val v, pf_blk by)
{
	const struct pf_value *value = &t->u->val[v];

	if (value->op == PF_OP_PARAM && value->a != by)
		t->inside[value->a] = 0;
}

/* inside[b] stays set if b's parameters are only used as they are, in its own condition and arguments. */
static void find_inside(struct threading *t)
{
	const struct pf_unit *u = t->u;

	memset(t->inside, 1, u->nblk);
	for (pf_val v = 1; v < u->nval; v++) {
		unsigned operands = pf_operands(&u->val[v]);

		if (operands > 0)
			look_at(t, u->val[v].a, 0);
		if (operands > 1)
			look_at(t, u->val[v].b, 0);
	}
	for (pf_blk b = 1; b < u->nblk; b++) {
		const struct pf_block *block = &u->blk[b];

		if (block->end == PF_END_BRANCH)
			look_at(t, block->cond, b);
		for (unsigned e = 0; e < pf_edges(block); e++)
			for (uint32_t i = 0; i < block->edge[e].nargs; i++)
				look_at(t, block->edge[e].args[i], b);
	}
}

/* The edge goes to a side of the test it led to, with the arguments that it would have had there. */
static void redirect(struct pf_unit *u, struct pf_edge *edge, const struct pf_edge *side)
{
	struct pf_edge new = { .to = side->to };

	for (uint32_t i = 0; i < side->nargs; i++)
		pf_edge_arg(u, &new, on_edge(u, edge->to, edge, side->args[i]));
	*edge = new;
}

/* Leads one edge past one test. False: nothing is settled there. */
static bool pass_test(struct threading *t, pf_blk from, unsigned e)
{
	struct pf_unit *u = t->u;
	struct pf_edge *edge = &u->blk[from].edge[e];
	const struct pf_block *test = &u->blk[edge->to];
	enum pf_answer answer;

	if (test->npin || test->loop || !t->inside[edge->to] || !pf_edges(test) ||
	    u->blk[test->edge[0].to].loop)
		return false;
	if (test->end == PF_END_JUMP) {
		redirect(u, edge, &test->edge[0]);
		return true;
	}
	if (u->blk[test->edge[1].to].loop)
		return false;
	answer = pf_facts_decide(u, &t->facts, on_edge(u, edge->to, edge, test->cond));
	if (answer == PF_MAYBE)
		return false;
	redirect(u, edge, &test->edge[answer == PF_YES ? 0 : 1]);
	return true;
}

/*
 * Facts and shape are those of before the pass: who is led past a test comes to its side with the outcome that the test
 * would have had, so what was known there holds still.
 */
static int thread_run(struct pf_unit *u)
{
	PFS_CLEANUP(threading_release) struct threading t = { .u = u };
	int r = pf_flow_make(u, &t.flow);

	if (r < 0)
		return r;
	t.inside = pfs_zalloc(u->nblk, 1);
	if (!t.inside)
		return -ENOMEM;
	find_inside(&t);
	for (uint32_t i = 0; i < t.flow.n && !u->err; i++) {
		pf_blk b = t.flow.order[i];

		for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++) {
			pf_facts_on(u, &t.flow, b, e, &t.facts);
			for (unsigned hops = 0; hops < HOPS_MAX && pass_test(&t, b, e); hops++)
				t.changed = true;
		}
	}
	return u->err ? u->err : t.changed;
}

const struct pf_pass pf_pass_thread = {
	.name = "thread",
	.summary = "edges are led past tests that are settled on them (redundant predicates)",
	.run = thread_run,
};
