#include "pf/back/cbpf.h"

#include "pf/back/cbpf_i.h"
#include "pf/error.h"

#define INSNS_MAX 65536u
#define TRIES_MAX 64	    /* for parameters that were not at hand */
#define SAVED_TRIES_MAX 32  /* for values that may be worth a word */
#define SAVED_SIZE_MAX 1024 /* instructions up to which that is tried */

static void gen_release(struct cb_gen *g)
{
	free(g->code);
	free(g->block);
	free(g->left);
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* What every edge into the block brings. */
static void enter(struct cb_gen *g)
{
	const struct pf_flow *flow = &g->p->flow;
	pf_blk b = flow->order[g->at];
	uint32_t first = flow->first[b];

	g->st = (struct cb_state){ 0 };
	for (uint32_t i = first; i < flow->first[b + 1]; i++) {
		const struct cb_state *left = &g->left[flow->pos[flow->pred[i].from]];

		if (i == first)
			g->st = *left;
		g->st.a = g->st.a == left->a ? left->a : 0;
		g->st.x = g->st.x == left->x ? left->x : 0;
		for (unsigned w = 0; w < CB_WORDS; w++)
			g->st.m[w] = g->st.m[w] == left->m[w] ? left->m[w] : 0;
	}
	cb_settle(g);
}

static bool rejects(const struct cb_plan *p, pf_blk b)
{
	while (p->u.blk[b].end == PF_END_JUMP && !p->u.blk[b].npin)
		b = p->u.blk[b].edge[0].to;
	return pf_is_reject(&p->u.blk[b]);
}

/* A load for nothing but its bounds check, into the register that is missed less. */
static void load_for_nothing(struct cb_gen *g, pf_val base, uint32_t end)
{
	bool a_is_wanted = g->st.a && g->p->last[g->st.a] > g->at + 1;
	bool x_is_wanted = g->st.x && g->p->last[g->st.x] > g->at + 1;

	if (base) {
		cb_into_x(g, base);
		cb_put(g, CB_LD | CB_B | CB_IND, end - 1);
		g->st.a = 0;
	} else if (a_is_wanted && !x_is_wanted) {
		cb_put(g, CB_LDX | CB_B | CB_MSH, end - 1);
		g->st.x = 0;
	} else {
		cb_put(g, CB_LD | CB_B | CB_ABS, end - 1);
		g->st.a = 0;
	}
}

static void write_branch(struct cb_gen *g, struct cb_block *out, const struct pf_block *b)
{
	const struct pf_value *cond = &g->p->u.val[b->cond];
	pf_blk yes = b->edge[0].to, no = b->edge[1].to;

	if (cond->op != PF_OP_CONST && cond->op != PF_OP_FITS && cond->op != PF_OP_KNOWN) {
		cb_test(g, out, b->cond, yes, no);
		return;
	}
	out->end = CB_END_GO;
	out->yes = cond->op == PF_OP_CONST && !cond->k ? no : yes;
	if (cond->op == PF_OP_CONST)
		return;
	if (!rejects(g->p, no) && !g->err)
		g->err = -ENOTSUP;
	else if (cond->op == PF_OP_FITS && !cb_plan_covers(g->p, yes, cond->a, cond->k))
		load_for_nothing(g, cond->a, cond->k);
}

/* What several blocks below need, if trying has shown that it is better made here. */
static void make_early(struct cb_gen *g)
{
	const struct cb_plan *p = g->p;

	for (pf_val v = 1; v < p->u.nval && p->nearly; v++)
		if (p->early[v] && p->top[v] == g->at)
			cb_into_x(g, v);
}

/* Arguments that have words first: they go through A. */
static void write_jump(struct cb_gen *g, struct cb_block *out, const struct pf_edge *edge)
{
	const struct pf_block *to = &g->p->u.blk[edge->to];

	for (uint32_t i = 0; i < edge->nargs; i++) {
		pf_val param = to->param[i];
		unsigned word = g->p->home[param];

		if (!g->p->last[param] || word >= CB_WORDS)
			continue;
		if (g->st.m[word] != edge->args[i]) {
			cb_into_a(g, edge->args[i]);
			cb_save_a(g, word);
		}
	}
	for (uint32_t i = 0; i < edge->nargs; i++) {
		pf_val param = to->param[i];

		if (!g->p->last[param])
			continue;
		if (g->p->home[param] == CB_HOME_X) {
			cb_into_x(g, edge->args[i]);
			g->st.x = param;
		} else if (g->p->home[param] == CB_HOME_A) {
			cb_into_a(g, edge->args[i]);
			g->st.a = param;
		} else {
			g->st.m[g->p->home[param]] = param;
		}
	}
	out->end = CB_END_GO;
	out->yes = edge->to;
}

static void write_block(struct cb_gen *g)
{
	const struct cb_plan *p = g->p;
	const struct pf_block *b = &p->u.blk[p->flow.order[g->at]];
	struct cb_block *out = &g->block[g->at];

	out->first = g->n;
	enter(g);
	make_early(g);
	if (b->npin) {
		pf_val v = p->u.val[b->pin[0]].a;

		out->end = pf_is_const(&p->u, v) ? CB_END_RET : CB_END_RET_A;
		out->k = p->u.val[v].k;
		if (out->end == CB_END_RET_A)
			cb_into_a(g, v);
	} else if (b->end == PF_END_BRANCH) {
		write_branch(g, out, b);
	} else if (b->end == PF_END_JUMP) {
		write_jump(g, out, &b->edge[0]);
	} else {
		out->end = CB_END_RET;
		out->k = 0;
	}
	out->n = g->n - out->first;
	g->left[g->at] = g->st;
}

/* --- tries ----------------------------------------------------------------------------------- */

/* All blocks, once; *ret_insns is to be freed. -EAGAIN: with what was found out, again. */
static int write_all(struct cb_plan *p, uint32_t max, struct pf_insn **ret_insns, size_t *ret_n)
{
	PFS_CLEANUP(gen_release) struct cb_gen g = { .p = p, .max = max };

	g.block = pfs_zalloc(p->flow.n, sizeof(*g.block));
	g.left = pfs_zalloc(p->flow.n, sizeof(*g.left));
	if (!g.block || !g.left)
		return -ENOMEM;
	memset(p->weight, 0, p->u.nval * sizeof(*p->weight));
	memset(p->times, 0, p->u.nval * sizeof(*p->times));
	for (; g.at < p->flow.n && !g.err; g.at++)
		write_block(&g);
	return g.err ? g.err : cb_layout(&g, ret_insns, ret_n);
}

static void save_shared(struct cb_plan *p)
{
	PFS_FREE uint8_t *uses = pfs_zalloc(p->u.nval, 1);

	for (pf_val v = 1; uses && v < p->u.nval; v++) {
		const struct pf_value *value = &p->u.val[v];
		unsigned operands = pf_operands(value);

		if (operands > 0 && uses[value->a]++ && pf_operands(&p->u.val[value->a]) > 0)
			p->saved[value->a] = 1;
		if (operands > 1 && uses[value->b]++ && pf_operands(&p->u.val[value->b]) > 0)
			p->saved[value->b] = 1;
	}
}

/* Until every parameter is at hand where it is needed. */
static int write_until_done(struct cb_plan *p, uint32_t max, struct pf_insn **ret_insns, size_t *ret_n)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES_MAX && r == -EAGAIN; i++) {
		p->words = 0;
		r = cb_plan_homes(p);
		if (r == 0)
			r = write_all(p, max, ret_insns, ret_n);
	}
	return r == -EAGAIN ? -E2BIG : r;
}

/* Keeps what is better. True: it was. */
static bool try_write(struct cb_plan *p, struct pf_insn **insns, size_t *n)
{
	struct pf_insn *better = NULL;
	size_t m = 0;

	if (write_until_done(p, (uint32_t)*n, &better, &m) < 0 || m >= *n) {
		free(better);
		return false;
	}
	free(*insns);
	*insns = better;
	*n = m;
	return true;
}

/* Is v worth a word, or better made before ways part, or both? */
static void try_value(struct cb_plan *p, pf_val v, struct pf_insn **insns, size_t *n)
{
	p->saved[v] = 1;
	if (try_write(p, insns, n))
		return;
	if (!cb_plan_can_make(p, v, p->top[v])) {
		p->saved[v] = 0;
		return;
	}
	p->early[v] = 1;
	p->nearly++;
	if (try_write(p, insns, n))
		return;
	p->saved[v] = 0;
	if (try_write(p, insns, n))
		return;
	p->early[v] = 0;
	p->nearly--;
}

/*
 * Parameters whose home is not yet the best: another register, a word; or a word that was given to them while another
 * home had been tried and that they no longer need. Misses change more than one value, so all is put back where that
 * was no use.
 */
static void try_homes(struct cb_plan *p, struct pf_insn **insns, size_t *n)
{
	static const uint8_t homes[] = { 0, CB_HOME_X, CB_HOME_A, CB_HOME_WORD };
	PFS_FREE uint8_t *before = malloc((size_t)p->u.nval * 2);
	unsigned tries = 0;

	for (pf_val v = 1; v < p->u.nval && before; v++) {
		if (p->u.val[v].op != PF_OP_PARAM || !p->last[v])
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(homes) && tries < SAVED_TRIES_MAX; i++, tries++) {
			uint8_t wish = p->wish[v];

			memcpy(before, p->saved, p->u.nval);
			memcpy(before + p->u.nval, p->home, p->u.nval);
			p->wish[v] = homes[i];
			p->home[v] = 0;
			p->saved[v] = 0;
			if (try_write(p, insns, n))
				continue;
			p->wish[v] = wish;
			memcpy(p->saved, before, p->u.nval);
			memcpy(p->home, before + p->u.nval, p->u.nval);
		}
	}
}

/* What is made several times is tried, one after the other. */
static void improve(struct cb_plan *p, struct pf_insn **insns, size_t *n)
{
	PFS_FREE uint32_t *weight = NULL, *times = NULL;
	unsigned tries = 0;

	if (*n > SAVED_SIZE_MAX)
		return;
	weight = malloc(p->u.nval * sizeof(*weight));
	times = malloc(p->u.nval * sizeof(*times));
	if (!weight || !times)
		return;
	memcpy(weight, p->weight, p->u.nval * sizeof(*weight));
	memcpy(times, p->times, p->u.nval * sizeof(*times));
	for (pf_val v = p->u.nval; v-- > 1 && tries < SAVED_TRIES_MAX;) {
		/* A store and two loads are three. */
		if (p->saved[v] || times[v] < 2 || weight[v] < 4)
			continue;
		tries++;
		try_value(p, v, insns, n);
	}
}

static int emit(const struct pf_unit *u, unsigned flags, struct pf_insn **ret_insns, size_t *ret_n)
{
	uint32_t max = flags & PF_CBPF_LINUX ? CB_KERNEL_MAX : INSNS_MAX;
	PFS_CLEANUP(cb_plan_release) struct cb_plan p = { 0 };
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n = 0;
	int r = cb_plan_make(&p, u, flags);

	if (r < 0)
		return r;
	r = write_until_done(&p, max, &insns, &n);
	if (r == -E2BIG) {
		/* Expressions that are their own operands double with each step if nothing is saved. */
		save_shared(&p);
		r = write_until_done(&p, max, &insns, &n);
	}
	if (r < 0)
		return r;
	improve(&p, &insns, &n);
	if (n <= SAVED_SIZE_MAX)
		try_homes(&p, &insns, &n);
	if (n > max)
		return -E2BIG;
	*ret_insns = TAKE_PTR(insns);
	*ret_n = n;
	return 0;
}

int pf_cbpf_make(const struct pf_unit *u, unsigned flags, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error)
{
	int r = emit(u, flags, ret_insns, ret_n);

	if (r == -ENOTSUP)
		return pf_fail(error, ENOTSUP, "classic BPF cannot say this filter");
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "in classic BPF the filter is too large");
	if (r < 0)
		return pf_fail(error, -r, "no memory for the filter");
	/* A program that its own front end refuses would be refused by kernels. */
	assert(pf_cbpf_check(*ret_insns, *ret_n, 0, NULL) == 0);
	return 0;
}
