#include "pf/merge/shape.h"

#include "pf/ir/flow.h"
#include "pf/opt/opt.h"

#define CANDIDATES 32u

struct looking {
	const struct pf_unit *u;
	struct pf_flow flow;
	uint8_t *other; /* owned; by value: it is good for something else than being a word */
	uint8_t *which; /* owned; by value: 1 + its number among the candidates */
	pf_val candidate[CANDIDATES];
	unsigned n;
	uint32_t *bound; /* owned; by block: bit i: every way to its head has found candidate i */
};

static void looking_release(struct looking *l)
{
	pf_flow_release(&l->flow);
	free(l->other);
	free(l->which);
	free(l->bound);
}

void pf_shape_release(struct pf_shape *shape)
{
	pf_unit_release(&shape->u);
	pfs_buf_release(&shape->text);
}

int pf_shape_word(const struct pf_shape *shape, pf_val v)
{
	for (unsigned j = 0; j < shape->words; j++)
		if (shape->word[j] == v)
			return (int)j;
	return -1;
}

/* A condition that compares with a constant, to whose yes side being equal leads. */
static bool is_comparison(const struct pf_unit *u, pf_val cond)
{
	const struct pf_value *v = &u->val[cond];

	return v->op == PF_OP_EQ && pf_is_const(u, v->b) && !pf_is_const(u, v->a);
}

/* --- may it have words? ---------------------------------------------------------------------- */

/* Results only where the run is over: 0, or always the same number. */
static bool results_suit(const struct pf_unit *u, uint32_t *ret_keep)
{
	uint32_t keep = 0;

	for (pf_blk b = 1; b < u->nblk; b++) {
		const struct pf_block *block = &u->blk[b];
		pf_val v = block->npin ? u->val[block->pin[0]].a : 0;

		if (!block->npin)
			continue;
		if (block->npin > 1 || block->end != PF_END_STOP || !pf_is_const(u, v))
			return false;
		if (u->val[v].k && keep && u->val[v].k != keep)
			return false;
		keep = u->val[v].k ? u->val[v].k : keep;
	}
	*ret_keep = keep;
	return keep != 0;
}

static bool graph_suits(const struct pf_unit *u)
{
	if (u->nblk > PF_SHAPE_BLOCKS || u->ntable)
		return false;
	for (pf_blk b = 1; b < u->nblk; b++)
		if (u->blk[b].loop || u->blk[b].nparam)
			return false;
	return true;
}

/* --- words ----------------------------------------------------------------------------------- */

static void find_other_uses(struct looking *l)
{
	const struct pf_unit *u = l->u;

	for (pf_val v = 1; v < u->nval; v++) {
		unsigned operands = pf_operands(&u->val[v]);

		if (operands > 0)
			l->other[u->val[v].a] = 1;
		if (operands > 1 && !is_comparison(u, v))
			l->other[u->val[v].b] = 1;
		if (pf_ops[u->val[v].op].effect)
			l->other[u->val[v].a] = 1;
	}
	/* A comparison that is a number for something else than a branch. */
	for (pf_val v = 1; v < u->nval; v++)
		if (l->other[v] && is_comparison(u, v))
			l->other[u->val[v].b] = 1;
}

static void find_candidates(struct looking *l)
{
	const struct pf_unit *u = l->u;

	for (pf_val v = 1; v < u->nval; v++) {
		pf_val k = is_comparison(u, v) ? u->val[v].b : 0;

		if (!k || l->other[k] || l->which[k] || l->n == CANDIDATES)
			continue;
		l->candidate[l->n++] = k;
		l->which[k] = (uint8_t)l->n;
	}
}

/* What an edge finds beside what its block knows. */
static uint32_t found_on(const struct looking *l, const struct pf_block *b, unsigned e)
{
	unsigned which = 0;

	if (b->end == PF_END_BRANCH && e == 0 && is_comparison(l->u, b->cond))
		which = l->which[l->u->val[b->cond].b];
	return which ? 1u << (which - 1) : 0;
}

/* The candidates that every way to accepting has found. */
static uint32_t find_bound(struct looking *l)
{
	const struct pf_unit *u = l->u;
	uint32_t all = UINT32_MAX;

	for (uint32_t i = 0; i < l->flow.n; i++) {
		pf_blk b = l->flow.order[i];
		uint32_t first = l->flow.first[b], end = l->flow.first[b + 1];

		l->bound[b] = first < end ? UINT32_MAX : 0;
		for (uint32_t p = first; p < end; p++) {
			const struct pf_pred *pred = &l->flow.pred[p];

			l->bound[b] &= l->bound[pred->from] |
				       found_on(l, &u->blk[pred->from], pred->edge);
		}
		if (u->blk[b].npin && u->val[u->val[u->blk[b].pin[0]].a].k)
			all &= l->bound[b];
	}
	return all;
}

static void take_words(struct pf_shape *shape, const struct looking *l, uint32_t all)
{
	const struct pf_unit *u = &shape->u;

	for (unsigned i = 0; i < l->n && shape->words < PF_SHAPE_WORDS; i++) {
		unsigned j = shape->words;

		if (!(all >> i & 1))
			continue;
		shape->word[j] = l->candidate[i];
		shape->key[j] = u->val[l->candidate[i]].k;
		shape->small[j] = true;
		for (pf_val v = 1; v < u->nval; v++)
			if (is_comparison(u, v) && u->val[v].b == shape->word[j] &&
			    u->val[u->val[v].a].max > UINT16_MAX)
				shape->small[j] = false;
		shape->words++;
	}
}

static int find_words(struct pf_shape *shape)
{
	PFS_CLEANUP(looking_release) struct looking l = { .u = &shape->u };
	int r = pf_flow_make(l.u, &l.flow);

	if (r < 0)
		return r;
	l.other = pfs_zalloc(l.u->nval, 1);
	l.which = pfs_zalloc(l.u->nval, 1);
	l.bound = pfs_zalloc(l.u->nblk, sizeof(*l.bound));
	if (!l.other || !l.which || !l.bound)
		return -ENOMEM;
	find_other_uses(&l);
	find_candidates(&l);
	take_words(shape, &l, find_bound(&l));
	return 0;
}

/* --- the text -------------------------------------------------------------------------------- */

static void put(struct pf_shape *shape, uint32_t number)
{
	pfs_buf_add(&shape->text, &number, sizeof(number));
}

static void write_values(struct pf_shape *shape)
{
	const struct pf_unit *u = &shape->u;

	for (pf_val v = 1; v < u->nval; v++) {
		int word = pf_shape_word(shape, v);

		put(shape, word < 0 ? u->val[v].op : PF_OPS + (uint32_t)word);
		put(shape, word < 0 ? u->val[v].k : 0);
		put(shape, u->val[v].a);
		put(shape, u->val[v].b);
	}
}

static int write_text(struct pf_shape *shape)
{
	const struct pf_unit *u = &shape->u;

	put(shape, u->nval);
	put(shape, u->nblk);
	put(shape, shape->keep);
	write_values(shape);
	for (pf_blk b = 1; b < u->nblk; b++) {
		const struct pf_block *block = &u->blk[b];

		put(shape, block->end | (uint32_t)block->loop << 8);
		put(shape, block->end == PF_END_BRANCH ? block->cond : 0);
		put(shape, block->nparam);
		put(shape, block->fuel);
		put(shape, block->npin);
		for (uint32_t p = 0; p < block->npin; p++)
			put(shape, block->pin[p]);
		for (unsigned e = 0; e < pf_edges(block); e++) {
			put(shape, block->edge[e].to);
			for (uint32_t a = 0; a < block->edge[e].nargs; a++)
				put(shape, block->edge[e].args[a]);
		}
	}
	return shape->text.failed ? -ENOMEM : 0;
}

int pf_shape_fix(struct pf_shape *shape)
{
	for (unsigned j = 0; j < shape->words; j++)
		put(shape, shape->key[j]);
	shape->words = 0;
	return shape->text.failed ? -ENOMEM : 0;
}

/* --- all of it ------------------------------------------------------------------------------- */

static int make(const struct pf_unit *filter, bool plain, struct pf_shape *shape)
{
	int r = pf_unit_copy(&shape->u, filter);

	/* Numbers that say two things at once would be no good words. */
	if (r == 0 && !plain)
		r = pf_optimise(&shape->u, pf_pass_bit(&pf_pass_widen), NULL, NULL, NULL);
	if (r == 0)
		r = pf_unit_compact(&shape->u);
	if (r < 0)
		return r;
	if (graph_suits(&shape->u) && results_suit(&shape->u, &shape->keep))
		r = find_words(shape);
	return r < 0 ? r : write_text(shape);
}

int pf_shape_make(const struct pf_unit *filter, bool plain, struct pf_shape *ret_shape)
{
	struct pf_shape shape = { 0 };
	int r;

	pf_unit_init(&shape.u);
	r = make(filter, plain, &shape);
	if (r < 0) {
		pf_shape_release(&shape);
		return r;
	}
	*ret_shape = shape;
	return 0;
}
