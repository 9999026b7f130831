#include "pf/back/lower.h"

#include "pf/back/lower_i.h"

void pf_lower_release(struct pf_lower *lower)
{
	pf_unit_release(&lower->u);
	pf_flow_release(&lower->flow);
	free(lower->step);
	free(lower->first);
	free(lower->flags);
	free(lower->place);
	*lower = (struct pf_lower){ 0 };
}

/* --- tests ----------------------------------------------------------------------------------- */

static bool is_test(enum pf_op op)
{
	return op == PF_OP_EQ || op == PF_OP_LT || op == PF_OP_AND || op == PF_OP_FITS ||
	       op == PF_OP_KNOWN;
}

/* May a branch have it without a place? */
static bool is_branchable(enum pf_op op)
{
	return is_test(op) || pf_load_size(op);
}

struct pf_test pf_lower_test(const struct pf_lower *lower, pf_val cond)
{
	if (is_test(lower->u.val[cond].op) && !pf_lower_has_place(lower, cond))
		return pf_lower_compare(lower, cond);
	return (struct pf_test){ .op = PF_OP_NONE, .left = cond };
}

struct pf_test pf_lower_compare(const struct pf_lower *lower, pf_val cond)
{
	const struct pf_unit *u = &lower->u;
	const struct pf_value *v = &u->val[cond];
	struct pf_test test = { .left = cond };

	test.op = v->op;
	test.left = v->a;
	test.right = v->b;
	if (v->op == PF_OP_FITS || v->op == PF_OP_KNOWN)
		test.right = 0;
	if (v->op == PF_OP_EQ && (lower->flags[v->a] & PF_LOWER_FOLDED) &&
	    u->val[v->a].op == PF_OP_AND) {
		test.masked = true;
		test.mask = u->val[u->val[v->a].b].k;
		test.left = u->val[v->a].a;
	}
	return test;
}

/* Added for a branch that takes its condition apart; the rest are uses of the number. */
#define TAKEN_APART (1u << 31)

/* By blocks. */
static void count_block(const struct pf_unit *u, const struct pf_block *b, uint32_t *uses)
{
	for (uint32_t p = 0; p < b->npin; p++) {
		unsigned operands = pf_operands(&u->val[b->pin[p]]);

		if (operands > 0)
			uses[u->val[b->pin[p]].a]++;
		if (operands > 1)
			uses[u->val[b->pin[p]].b]++;
	}
	for (unsigned e = 0; e < pf_edges(b); e++)
		for (uint32_t a = 0; a < b->edge[e].nargs; a++)
			uses[b->edge[e].args[a]]++;
	if (b->end == PF_END_BRANCH)
		uses[b->cond] = is_branchable(u->val[b->cond].op) ? uses[b->cond] | TAKEN_APART
								  : uses[b->cond] + 1;
}

/* A load that nobody but its only user wants? */
static bool folds(const struct pf_unit *u, const uint32_t *uses, pf_val v)
{
	return uses[v] == 1 && pf_load_size(u->val[v].op);
}

/* What the comparison t of something with a constant does by itself. */
static void fold_test(struct pf_lower *l, const uint32_t *uses, const struct pf_value *t)
{
	const struct pf_unit *u = &l->u;
	pf_val left = t->a;

	if (t->op == PF_OP_LT && pf_is_const(u, t->a) && folds(u, uses, t->b))
		l->flags[t->b] |= PF_LOWER_FOLDED;
	if (!pf_is_const(u, t->b))
		return;
	if (t->op == PF_OP_EQ && uses[left] == 1 && u->val[left].op == PF_OP_AND &&
	    pf_is_const(u, u->val[left].b)) {
		l->flags[left] |= PF_LOWER_FOLDED;
		left = u->val[left].a;
	}
	if (folds(u, uses, left))
		l->flags[left] |= PF_LOWER_FOLDED;
}

/* Does v compare what it has not got a place for? Else only tests that are nothing but tests do. */
static bool compares(const struct pf_lower *l, pf_val v)
{
	enum pf_op op = l->u.val[v].op;

	if (l->selecting && (op == PF_OP_EQ || op == PF_OP_LT))
		return true;
	return !(l->flags[v] & PF_LOWER_USED) && (op == PF_OP_EQ || op == PF_OP_LT || op == PF_OP_AND);
}

/*
 * What branches take apart, and what their comparisons do by themselves. Everything in the copy is used by something,
 * and operands stand before their users.
 */
static int find_folded(struct pf_lower *l)
{
	const struct pf_unit *u = &l->u;
	PFS_FREE uint32_t *uses = pfs_zalloc(u->nval, sizeof(*uses));

	if (!uses)
		return -ENOMEM;
	for (pf_blk b = 1; b < u->nblk; b++)
		count_block(u, &u->blk[b], uses);
	for (pf_val v = u->nval; v-- > 1;) {
		unsigned operands = pf_operands(&u->val[v]);

		if (u->val[v].op == PF_OP_GET)
			l->flags[v] |= PF_LOWER_USED;
		if (pf_ops[u->val[v].op].effect)
			continue;
		if ((uses[v] & ~TAKEN_APART) || !is_branchable(u->val[v].op))
			l->flags[v] |= PF_LOWER_USED;
		else if (pf_load_size(u->val[v].op))
			l->flags[v] |= PF_LOWER_FOLDED;
		if (operands > 0)
			uses[u->val[v].a]++;
		if (operands > 1)
			uses[u->val[v].b]++;
	}
	for (pf_val v = 1; v < u->nval; v++)
		if (compares(l, v))
			fold_test(l, uses, &u->val[v]);
	return 0;
}

/* A value that is compared in another way than for equality with a constant must have its bytes in order. */
static void find_raw(struct pf_lower *l)
{
	const struct pf_unit *u = &l->u;

	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == PF_OP_LOAD16 || u->val[v].op == PF_OP_LOAD32)
			l->flags[v] |= PF_LOWER_RAW;
	for (pf_val v = 1; v < u->nval; v++) {
		const struct pf_value *t = &u->val[v];
		bool test = compares(l, v) || (l->flags[v] & PF_LOWER_FOLDED);
		bool ok = test && (t->op == PF_OP_EQ || t->op == PF_OP_AND) && pf_is_const(u, t->b);

		/* The AND of a masked test is as good as the test. */
		if (pf_operands(t) > 0 && !ok)
			l->flags[t->a] &= (uint8_t)~PF_LOWER_RAW;
		if (pf_operands(t) > 1)
			l->flags[t->b] &= (uint8_t)~PF_LOWER_RAW;
	}
	for (pf_blk b = 1; b < u->nblk; b++)
		for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++)
			for (uint32_t a = 0; a < u->blk[b].edge[e].nargs; a++)
				l->flags[u->blk[b].edge[e].args[a]] &= (uint8_t)~PF_LOWER_RAW;
}

/* --- order ----------------------------------------------------------------------------------- */

struct ordering {
	struct pf_lower *l;
	pf_val *stack; /* owned */
	pf_blk *at;    /* owned; by value: the last block in which it is computed */
	uint32_t n, cap;
	pf_blk block;
};

static void ordering_release(struct ordering *o)
{
	free(o->stack);
	free(o->at);
}

/* Known here already, or never computed by itself? */
static bool is_here(struct ordering *o, pf_val v)
{
	const struct pf_value *value = &o->l->u.val[v];

	if (value->op == PF_OP_CONST || value->op == PF_OP_PARAM)
		return true;
	return o->at[v] && pf_flow_dominates(&o->l->flow, o->at[v], o->block);
}

/* What v needs: its operands, or the bases of the loads that it does itself. */
static pf_val operand(const struct ordering *o, pf_val v)
{
	while (v && (o->l->flags[v] & PF_LOWER_FOLDED))
		v = o->l->u.val[v].a; /* of the mask, of the load */
	return v;
}

static int add_step(struct ordering *o, pf_val v)
{
	if (o->n == o->cap) {
		uint32_t cap = o->cap ? o->cap * 2 : 64;
		void *p = reallocarray(o->l->step, cap, sizeof(*o->l->step));

		if (!p)
			return -ENOMEM;
		o->l->step = p;
		o->cap = cap;
	}
	o->l->step[o->n++] = v;
	return 0;
}

/* Everything that root needs here and that is not here yet, then root. Operands have smaller numbers than users. */
static int order_value(struct ordering *o, pf_val root)
{
	const struct pf_unit *u = &o->l->u;
	uint32_t n = 0;
	int r = 0;

	if (!root || is_here(o, root))
		return 0;
	o->stack[n++] = root;
	while (n > 0 && r == 0) {
		pf_val v = o->stack[n - 1];
		const struct pf_value *value = &u->val[v];
		unsigned operands = pf_operands(value);
		pf_val a = operands > 0 ? operand(o, value->a) : 0;
		pf_val b = operands > 1 ? operand(o, value->b) : 0;

		if (a && !is_here(o, a)) {
			o->stack[n++] = a;
		} else if (b && !is_here(o, b)) {
			o->stack[n++] = b;
		} else {
			n--;
			o->at[v] = o->block;
			r = add_step(o, v);
		}
	}
	return r;
}

/* An effect where it stands: what it is made of, and, of a memory, it itself. Results come at the end of the block. */
static int order_pin(struct ordering *o, pf_val pin)
{
	const struct pf_value *v = &o->l->u.val[pin];
	unsigned operands = pf_operands(v);
	int r = operands > 0 ? order_value(o, v->a) : 0;

	if (r == 0 && operands > 1)
		r = order_value(o, v->b);
	if (r < 0 || !pf_is_memory(v))
		return r;
	o->at[pin] = o->block;
	return add_step(o, pin);
}

static int order_cond(struct ordering *o, pf_val cond)
{
	const struct pf_value *v = &o->l->u.val[cond];
	int r;

	if (o->l->flags[cond] & PF_LOWER_USED)
		return order_value(o, cond);
	r = pf_operands(v) > 0 ? order_value(o, operand(o, v->a)) : 0;
	return r == 0 && pf_operands(v) > 1 ? order_value(o, operand(o, v->b)) : r;
}

static int order_all(struct pf_lower *l)
{
	PFS_CLEANUP(ordering_release) struct ordering o = { .l = l };
	const struct pf_unit *u = &l->u;
	int r = 0;

	o.at = pfs_zalloc(u->nval, sizeof(*o.at));
	o.stack = pfs_zalloc(u->nval, sizeof(*o.stack));
	l->first = pfs_zalloc(l->flow.n + 1, sizeof(*l->first));
	if (!o.at || !o.stack || !l->first)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->flow.n && r == 0; i++) {
		const struct pf_block *b = &u->blk[l->flow.order[i]];

		o.block = l->flow.order[i];
		for (uint32_t p = 0; p < b->npin && r == 0; p++)
			r = order_pin(&o, b->pin[p]);
		if (b->end == PF_END_BRANCH && r == 0)
			r = order_cond(&o, b->cond);
		for (unsigned e = 0; e < pf_edges(b) && r == 0; e++)
			for (uint32_t a = 0; a < b->edge[e].nargs && r == 0; a++)
				r = order_value(&o, b->edge[e].args[a]);
		l->first[i + 1] = o.n;
	}
	return r;
}

/* Nothing behind the result of the only filter could change it; and with memories nothing is there (pf_verify()). */
static void end_at_result(struct pf_unit *u)
{
	for (pf_blk b = 1; b < u->nblk && u->nresult == 1 && !u->nmemory; b++)
		if (u->blk[b].npin)
			u->blk[b].end = PF_END_STOP;
}

static int lower(const struct pf_unit *u, unsigned nreg, bool selecting, struct pf_lower *ret_lower)
{
	PF_LOWER struct pf_lower l = { .nreg = nreg, .selecting = selecting };
	int r;

	pf_unit_init(&l.u);
	/* Constants on the right, none compared with another: so that there is one way to say a test. */
	l.u.fold = true;
	l.u.share = !selecting;
	r = pf_unit_copy(&l.u, u);
	if (r == 0) {
		end_at_result(&l.u);
		r = pf_unit_compact(&l.u);
	}
	if (r < 0)
		return r;
	pf_unit_split(&l.u);
	if (l.u.err)
		return l.u.err;
	r = pf_flow_make(&l.u, &l.flow);
	if (r < 0)
		return r;
	l.flags = pfs_zalloc(l.u.nval, sizeof(*l.flags));
	if (!l.flags)
		return -ENOMEM;
	r = find_folded(&l);
	if (r < 0)
		return r;
	find_raw(&l);
	r = order_all(&l);
	if (r == 0)
		r = pf_lower_places(&l);
	if (r < 0)
		return r;
	*ret_lower = l;
	l = (struct pf_lower){ 0 };
	return 0;
}

int pf_lower(const struct pf_unit *u, unsigned nreg, struct pf_lower *ret_lower)
{
	return lower(u, nreg, false, ret_lower);
}

int pf_lower_selecting(const struct pf_unit *u, unsigned nreg, struct pf_lower *ret_lower)
{
	return lower(u, nreg, true, ret_lower);
}

/* --- moves ----------------------------------------------------------------------------------- */

/* Does a move that is still to come, other than i, read this place? */
static bool wanted(const struct pf_move *left, uint32_t n, uint32_t i, uint16_t place)
{
	for (uint32_t k = 0; k < n; k++)
		if (k != i && left[k].from == place)
			return true;
	return false;
}

/* Moves whose target nobody wants any more go first; when there is none, the rest are circles: one is opened. */
static int order_moves(struct pf_move *left, uint32_t n, struct pf_move *out)
{
	uint32_t done = 0;

	while (n > 0) {
		uint32_t i = 0;

		while (i < n && wanted(left, n, i, left[i].to))
			i++;
		if (i < n) {
			out[done++] = left[i];
			left[i] = left[--n];
			continue;
		}
		out[done++] = (struct pf_move){ .to = PF_MOVE_TEMP, .from = left[0].to };
		for (uint32_t k = 0; k < n; k++)
			if (left[k].from == left[0].to)
				left[k].from = PF_MOVE_TEMP;
	}
	return (int)done;
}

int pf_lower_moves(const struct pf_lower *lower, const struct pf_edge *edge, struct pf_move **ret_moves)
{
	const struct pf_unit *u = &lower->u;
	const struct pf_block *to = &u->blk[edge->to];
	PFS_FREE struct pf_move *left = pfs_zalloc(edge->nargs, sizeof(*left));
	/* Each circle, of two at least, costs one more. */
	PFS_FREE struct pf_move *out = pfs_zalloc((size_t)edge->nargs * 2, sizeof(*out));
	uint32_t n = 0;
	int r;

	if (!left || !out)
		return -ENOMEM;
	for (uint32_t i = 0; i < edge->nargs; i++) {
		struct pf_move move = { .to = lower->place[to->param[i]],
					.from = lower->place[edge->args[i]] };

		if (pf_is_const(u, edge->args[i])) {
			move.from = PF_NO_PLACE;
			move.k = u->val[edge->args[i]].k;
		}
		if (move.to != PF_NO_PLACE && move.to != move.from)
			left[n++] = move;
	}
	r = order_moves(left, n, out);
	*ret_moves = TAKE_PTR(out);
	return r;
}
