/*
 * order - tests of the same value are put next to each other, so that it is loaded once for all
 *
 * In `host a or host b` the source is asked for, then the destination, then the source again. The third test may come
 * second: which of several ways leads out does not matter. If a bounds check lies between, the test that has been moved
 * in front of it is followed by that check on its way out: who is too short for the destination is rejected though the
 * source matches, as before.
 *
 * Each time, tests of one value in a chain are together that were apart.
 */
#include "pf/opt/chain.h"
#include "pf/opt/opt.h"

#define MOVES_MAX 64u	      /* in one run of the pass, */
#define VISITS_MAX (1u << 18) /* and fewer in a very large filter: each looks at all blocks */
#define CHECK_COST 2u	      /* of a check behind a way out, in loads that must be saved */

/* Where links are put: behind this edge, where the value is at hand. */
struct place {
	pf_blk b;
	unsigned on;
	pf_val subject;
	uint32_t run; /* links of the chain that come before */
};

struct ordering {
	struct pf_unit *u;
	struct pf_flow flow;
	struct pf_chain *chain; /* owned */
	uint8_t *moves;		/* owned; by link: it goes to the front */
};

static void ordering_release(struct ordering *o)
{
	pf_flow_release(&o->flow);
	free(o->chain);
	free(o->moves);
}

/* A load, or something made of one: worth having once. */
static bool is_dear(const struct pf_unit *u, pf_val v)
{
	return v && (pf_load_size(u->val[v].op) || pf_operands(&u->val[v]) > 0);
}

static pf_blk out_of(const struct pf_unit *u, const struct pf_link *link)
{
	return u->blk[link->b].edge[!link->on].to;
}

/* Behind the links at the beginning that ask for the first's value. */
static struct place behind_run(const struct pf_chain *c)
{
	uint32_t n = 1;

	while (n < c->n && c->link[n].subject == c->link[0].subject)
		n++;
	return (struct place){ c->link[n - 1].b, c->link[n - 1].on, c->link[0].subject, n };
}

/*
 * May tests be moved over this check? If it comes before all that stays where it is (who is led out by a moved test
 * then fails it as before), or asks for no more than one that does. All must have one base and one way out.
 */
static bool allows(const struct pf_unit *u, const struct pf_link *l, bool stayed,
		   const struct pf_link **greatest)
{
	const struct pf_value *check = &u->val[u->blk[l->b].cond], *before;

	if (*greatest) {
		before = &u->val[u->blk[(*greatest)->b].cond];
		if (check->a != before->a || out_of(u, l) != out_of(u, *greatest))
			return false;
		if (check->k <= before->k)
			return true;
	}
	if (stayed)
		return false;
	*greatest = l;
	return true;
}

/*
 * Marks what goes to that place: what asks for its value after something else was asked for. Returns the loads that are
 * saved; *ret_check: a check with another way out lies between.
 */
static uint32_t plan(struct ordering *o, const struct place *to, bool *ret_check)
{
	const struct pf_chain *c = o->chain;
	uint32_t saved = 0;
	bool stayed = false, other = false, group = false;
	const struct pf_link *greatest = NULL;

	*ret_check = false;
	memset(o->moves, 0, c->n);
	for (uint32_t i = to->run; i < c->n; i++) {
		const struct pf_link *l = &c->link[i];

		if (l->check) {
			if (out_of(o->u, l) == c->out)
				stayed = true;
			else if (!allows(o->u, l, stayed, &greatest))
				break;
			continue;
		}
		if (l->subject != to->subject || !other) {
			/* Nothing has been asked in between: it is at hand still. */
			stayed = true;
			other = other || l->subject != to->subject;
			group = false;
			continue;
		}
		o->moves[i] = 1;
		saved += !group;
		group = true;
		*ret_check = greatest;
	}
	return saved;
}

/* A check like the greatest one in front of link `before`; its way out is theirs, its way on the chain's way out. */
static pf_blk check_for(struct ordering *o, uint32_t run, uint32_t before)
{
	const struct pf_chain *c = o->chain;
	struct pf_unit *u = o->u;
	pf_val greatest = 0;
	pf_blk out = 0, made;

	for (uint32_t i = run; i < before; i++) {
		pf_val cond = u->blk[c->link[i].b].cond;

		if (!c->link[i].check || out_of(u, &c->link[i]) == c->out)
			continue;
		if (greatest && u->val[cond].k <= u->val[greatest].k)
			continue;
		greatest = cond;
		out = out_of(u, &c->link[i]);
	}
	if (!greatest)
		return c->out;
	made = pf_block(u);
	pf_block_branch(u, made, greatest, c->out, out);
	return made;
}

/* Takes the marked links out of the chain and puts them at that place, in their order. */
static void move_links(struct ordering *o, const struct place *to)
{
	const struct pf_chain *c = o->chain;
	struct pf_unit *u = o->u;
	pf_blk before = to->b, last = before, rest;
	unsigned before_on = to->on, last_on = before_on;

	/* Ways on lead past them. */
	for (uint32_t i = to->run; i < c->n; i++) {
		const struct pf_link *l = &c->link[i];

		if (o->moves[i]) {
			u->blk[before].edge[before_on].to = u->blk[l->b].edge[l->on].to;
		} else {
			before = l->b;
			before_on = l->on;
		}
	}
	rest = u->blk[last].edge[last_on].to;
	for (uint32_t i = to->run; i < c->n && !u->err; i++) {
		const struct pf_link *l = &c->link[i];
		pf_blk out;

		if (!o->moves[i])
			continue;
		out = check_for(o, to->run, i);
		u->blk[l->b].edge[!l->on].to = out;
		u->blk[last].edge[last_on].to = l->b;
		last = l->b;
		last_on = l->on;
	}
	u->blk[last].edge[last_on].to = rest;
}

static bool order_at(struct ordering *o, const struct place *to)
{
	bool check;
	uint32_t saved = plan(o, to, &check);

	if (!saved || (check && saved <= CHECK_COST))
		return false;
	move_links(o, to);
	return true;
}

/* Does the chain from b on by that edge gain by another order? */
static bool order_chain(struct ordering *o, pf_blk b, unsigned on)
{
	struct place to;

	pf_chain_at(o->u, &o->flow, b, on, o->chain);
	if (o->chain->n < 3 || !is_dear(o->u, o->chain->link[0].subject))
		return false;
	to = behind_run(o->chain);
	return order_at(o, &to);
}

/* Does a chain behind a test of something gain if it begins with what the test has at hand? */
static bool order_behind(struct ordering *o, pf_blk b, unsigned e)
{
	const struct pf_unit *u = o->u;
	const struct pf_block *block = &u->blk[b];
	struct place to = { b, e, 0, 0 };
	pf_blk next = block->end == PF_END_BRANCH ? block->edge[e].to : 0;

	to.subject = next ? pf_subject(u, block->cond) : 0;
	if (!is_dear(u, to.subject) || block->edge[e].nargs)
		return false;
	/* Checks on the way leave it at hand. */
	while (pf_flow_preds(&o->flow, next) == 1 && u->blk[next].end == PF_END_BRANCH &&
	       !u->blk[next].nparam && u->val[u->blk[next].cond].op == PF_OP_FITS &&
	       !u->blk[next].edge[0].nargs && !u->blk[next].npin) {
		to.b = next;
		to.on = 0;
		next = u->blk[next].edge[0].to;
	}
	if (pf_flow_preds(&o->flow, next) != 1 || u->blk[next].npin || u->blk[next].nparam)
		return false;
	for (unsigned on = 0; on < 2; on++) {
		pf_chain_at(u, &o->flow, next, on, o->chain);
		if (o->chain->n > 1 && order_at(o, &to))
			return true;
	}
	return false;
}

static int order_run(struct pf_unit *u)
{
	PFS_CLEANUP(ordering_release) struct ordering o = { .u = u };
	unsigned moves = 0;
	bool again = true;

	o.chain = pfs_zalloc(1, sizeof(*o.chain));
	o.moves = pfs_zalloc(PF_LINKS_MAX, 1);
	if (!o.chain || !o.moves)
		return -ENOMEM;
	while (again && moves < MOVES_MAX && moves <= VISITS_MAX / u->nblk) {
		int r;

		pf_flow_release(&o.flow);
		r = pf_flow_make(u, &o.flow);
		if (r < 0)
			return r;
		again = false;
		for (uint32_t i = 0; i < o.flow.n && !again && !u->err; i++)
			again = order_chain(&o, o.flow.order[i], 0) ||
				order_chain(&o, o.flow.order[i], 1) ||
				order_behind(&o, o.flow.order[i], 0) ||
				order_behind(&o, o.flow.order[i], 1);
		moves += again;
		if (u->err)
			return u->err;
	}
	return moves > 0;
}

const struct pf_pass pf_pass_order = {
	.name = "order",
	.summary = "tests of one value come together, so that it is loaded once",
	.run = order_run,
};
