#include "pf/merge/ways.h"

#include "pf/ir/flow.h"

#define MEMO_MAX 16384u
#define NOTS_MAX 6u /* values that one word may be compared with on one way */

/* What is known of the key on a way. */
struct known {
	pf_val is[PF_SHAPE_WORDS]; /* the value that the word is; 0: it is not known yet */
	pf_val not [PF_SHAPE_WORDS][NOTS_MAX]; /* it is none of these; 0: no more. Only where it is not known. */
	unsigned node;			       /* of the table, */
	pf_val found;			       /* and what it has found there */
};

/* A place in the shape, with what is known there and where to go on after the end. */
struct place {
	struct known known;
	pf_blk b;
	uint32_t next; /* 1 + the index of the place where it goes on, 0: the run is over */
	pf_blk made;
};

struct making {
	const struct pf_shape *shape;
	uint32_t vary;
	struct pf_keyed *keyed;
	struct pf_unit *u;
	pf_val *val;	     /* owned; of the shape: the one in u */
	struct place *place; /* owned */
	uint32_t n, cap;
	uint32_t *todo; /* owned; places whose block is empty still */
	uint32_t ntodo;
	int err;
};

static void making_release(struct making *m)
{
	free(m->val);
	free(m->place);
	free(m->todo);
}

/* --- places ---------------------------------------------------------------------------------- */

static bool grow(struct making *m)
{
	uint32_t cap = m->cap ? m->cap * 2 : 64;
	void *p;

	if (m->n < m->cap)
		return true;
	p = cap > MEMO_MAX ? NULL : reallocarray(m->place, cap, sizeof(*m->place));
	if (p)
		m->place = p;
	else
		m->err = cap > MEMO_MAX ? -E2BIG : -ENOMEM;
	p = p ? reallocarray(m->todo, cap, sizeof(*m->todo)) : NULL;
	if (p)
		m->todo = p;
	else
		m->err = m->err ? m->err : -ENOMEM;
	if (!p)
		return false;
	m->cap = cap;
	return true;
}

/* 1 + the index of that place; it is made when there is none. 0 and an error. */
static uint32_t place_of(struct making *m, pf_blk b, const struct known *known, uint32_t next)
{
	struct place *p;

	for (uint32_t i = 0; i < m->n; i++)
		if (m->place[i].b == b && m->place[i].next == next &&
		    !memcmp(&m->place[i].known, known, sizeof(*known)))
			return i + 1;
	if (m->err || !grow(m))
		return 0;
	p = &m->place[m->n];
	*p = (struct place){ .known = *known, .b = b, .next = next };
	p->made = pf_block(m->u);
	if (m->u->nblk > PF_WAYS_BLOCKS)
		m->err = -E2BIG;
	m->todo[m->ntodo++] = m->n;
	return ++m->n;
}

/* The block at a place; for none, where the run is over, a block that stops. */
static pf_blk block_of(struct making *m, uint32_t place)
{
	pf_blk b;

	if (place)
		return m->place[place - 1].made;
	b = pf_block(m->u);
	pf_block_stop(m->u, b);
	return b;
}

static pf_blk go(struct making *m, pf_blk b, const struct known *known, uint32_t next)
{
	uint32_t place = place_of(m, b, known, next);

	return m->err ? 0 : m->place[place - 1].made;
}

/* --- words ----------------------------------------------------------------------------------- */

/* The word of the key that a condition compares with, negative: none that varies. */
static int word_of(const struct making *m, pf_val cond)
{
	const struct pf_value *v = &m->shape->u.val[cond];
	int word = v->op == PF_OP_EQ ? pf_shape_word(m->shape, v->b) : -1;

	return word >= 0 && (m->vary >> word & 1) ? word : -1;
}

static unsigned index_of(const struct making *m, int word)
{
	return (unsigned)__builtin_popcount(m->vary & ((1u << word) - 1));
}

/* Asks for what is known by now. Returns the block that is to branch on it, 0 where asking waits for the next word. */
static pf_blk ask(struct making *m, int word, pf_val x, struct known *known)
{
	struct pf_unit *u = m->u;
	pf_val before = known->found;
	int node = pf_keyed_step(m->keyed, known->node, index_of(m, word), m->shape->small[word]);

	if (node < 0) {
		m->err = node;
		return 0;
	}
	known->node = (unsigned)node;
	known->found = x;
	if (pf_keyed_waits(m->keyed, (unsigned)node))
		return 0;
	known->found = pf_keyed_ask(u, m->keyed, (unsigned)node, before, x);
	return pf_block(u);
}

/* The word is x from here on. */
static pf_blk found_word(struct making *m, const struct place *at, int word, pf_val x, pf_blk yes,
			 uint32_t next)
{
	struct known known = at->known;
	struct pf_unit *u = m->u;
	pf_blk asking, to;

	memset(known.not [word], 0, sizeof(known.not [word]));
	known.is[word] = x;
	asking = ask(m, word, x, &known);
	to = go(m, yes, &known, next);
	if (asking)
		pf_block_branch(u, asking, known.found, to, block_of(m, next));
	to = asking ? asking : to;
	/* A key that was here before is not here again. */
	for (unsigned i = 0; i < NOTS_MAX && at->known.not [word][i] && !m->err; i++) {
		pf_blk first = pf_block(u);

		pf_block_branch(u, first, pf_binary(u, PF_OP_EQ, x, at->known.not [word][i]),
				block_of(m, next), to);
		to = first;
	}
	return to;
}

/* One more value that the word is not. False: it was known, or there are too many. */
static bool add_not(struct making *m, struct known *known, int word, pf_val x)
{
	for (unsigned i = 0; i < NOTS_MAX; i++) {
		if (known->not [word][i] == x)
			return false;
		if (known->not [word][i])
			continue;
		known->not [word][i] = x;
		return true;
	}
	m->err = -E2BIG;
	return false;
}

static void write_comparison(struct making *m, const struct place *at, const struct pf_block *b,
			     int word)
{
	struct pf_unit *u = m->u;
	pf_val x = m->val[m->shape->u.val[b->cond].a];
	struct known other = at->known;
	uint32_t no;

	if (at->known.is[word]) {
		pf_blk yes = go(m, b->edge[0].to, &at->known, at->next);

		pf_block_branch(u, at->made, pf_binary(u, PF_OP_EQ, x, at->known.is[word]), yes,
				go(m, b->edge[1].to, &at->known, at->next));
		return;
	}
	if (!add_not(m, &other, word, x)) {
		pf_block_jump(u, at->made, go(m, b->edge[1].to, &at->known, at->next));
		return;
	}
	no = place_of(m, b->edge[1].to, &other, at->next);
	pf_block_jump(u, at->made, found_word(m, at, word, x, b->edge[0].to, no));
}

/* --- blocks ---------------------------------------------------------------------------------- */

static void write_stop(struct making *m, const struct place *at, const struct pf_block *b)
{
	struct pf_unit *u = m->u;
	pf_val result = b->npin ? m->shape->u.val[b->pin[0]].a : 0;

	if (result && !pf_is(&m->shape->u, result, 0))
		pf_block_result(u, at->made, 0, at->known.found);
	if (at->next)
		pf_block_jump(u, at->made, block_of(m, at->next));
	else
		pf_block_stop(u, at->made);
}

static void write_place(struct making *m, uint32_t i)
{
	const struct place at = m->place[i]; /* places move when there are more */
	const struct pf_block *b = &m->shape->u.blk[at.b];
	struct pf_unit *u = m->u;
	int word = b->end == PF_END_BRANCH ? word_of(m, b->cond) : -1;

	if (word >= 0) {
		write_comparison(m, &at, b, word);
	} else if (b->end == PF_END_BRANCH) {
		pf_blk yes = go(m, b->edge[0].to, &at.known, at.next);

		pf_block_branch(u, at.made, m->val[b->cond], yes,
				go(m, b->edge[1].to, &at.known, at.next));
	} else if (b->end == PF_END_JUMP) {
		pf_block_jump(u, at.made, go(m, b->edge[0].to, &at.known, at.next));
	} else {
		write_stop(m, &at, b);
	}
}

/* In a compact unit operands stand before their users. */
static void make_values(struct making *m)
{
	const struct pf_unit *from = &m->shape->u;

	for (pf_val v = 1; v < from->nval; v++) {
		const struct pf_value *old = &from->val[v];
		unsigned operands = pf_operands(old);

		if (!pf_ops[old->op].effect)
			m->val[v] = pf_value(m->u, old->op, operands > 0 ? m->val[old->a] : 0,
					     operands > 1 ? m->val[old->b] : 0, old->k);
	}
}

/* Shapes that have no words are taken as they are. */
static int make_plain(const struct pf_shape *shape, struct pf_unit *u)
{
	int r = pf_unit_copy(u, &shape->u);
	pf_val one = r == 0 && shape->keep ? pf_const(u, 1) : 0;

	for (pf_blk b = 1; one && b < u->nblk; b++)
		for (uint32_t p = 0; p < u->blk[b].npin; p++)
			if (!pf_is(u, u->val[u->blk[b].pin[p]].a, 0))
				u->val[u->blk[b].pin[p]].a = one;
	return r < 0 ? r : pf_unit_compact(u);
}

/* Results that come one behind the other get numbers that go up. */
static int number_results(struct pf_unit *u)
{
	PF_FLOW struct pf_flow flow = { 0 };
	PFS_FREE uint32_t *before = pfs_zalloc(u->nblk, sizeof(*before));
	int r = before ? pf_flow_make(u, &flow) : -ENOMEM;

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < flow.n; i++) {
		pf_blk b = flow.order[i];

		for (uint32_t p = flow.first[b]; p < flow.first[b + 1]; p++) {
			pf_blk from = flow.pred[p].from;

			before[b] =
				(uint32_t)pfs_max(before[b], before[from] + (u->blk[from].npin > 0));
		}
		if (!u->blk[b].npin)
			continue;
		u->val[u->blk[b].pin[0]].k = before[b];
		u->nresult = (uint32_t)pfs_max(u->nresult, before[b] + 1);
	}
	return u->nresult > PF_WAYS_MAX ? -E2BIG : 0;
}

int pf_ways_make(const struct pf_shape *shape, uint32_t vary, struct pf_keyed *keyed, struct pf_unit *u)
{
	PFS_CLEANUP(making_release)
	struct making m = { .shape = shape, .vary = vary, .keyed = keyed, .u = u };
	const struct known nothing = { .node = PF_KEYED_ROOT };
	int r;

	if (!vary)
		return make_plain(shape, u);
	m.val = pfs_zalloc(shape->u.nval, sizeof(*m.val));
	if (!m.val)
		return -ENOMEM;
	make_values(&m);
	u->entry = go(&m, shape->u.entry, &nothing, 0);
	while (m.ntodo && !m.err && !u->err)
		write_place(&m, m.todo[--m.ntodo]);
	if (m.err || u->err)
		return m.err ? m.err : u->err;
	r = pf_unit_compact(u);
	return r < 0 ? r : number_results(u);
}
