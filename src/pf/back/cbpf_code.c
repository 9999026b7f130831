/* Code for values and for tests: everything goes through A, indices and second operands through X. */
#include "pf/back/cbpf_i.h"

#define LOOK_MAX 12 /* how deep it looks before it calls an expression difficult */

void cb_put(struct cb_gen *g, uint16_t code, uint32_t k)
{
	if (g->err)
		return;
	if (g->n >= g->max) {
		g->err = -E2BIG;
		return;
	}
	if (g->n == g->cap) {
		uint32_t cap = g->cap ? g->cap * 2 : 64;
		void *p = reallocarray(g->code, cap, sizeof(*g->code));

		if (!p) {
			g->err = -ENOMEM;
			return;
		}
		g->code = p;
		g->cap = cap;
	}
	g->code[g->n++] = (struct pf_insn){ .code = code, .k = k };
}

static const struct pf_value *value_of(const struct cb_gen *g, pf_val v)
{
	return &g->p->u.val[v];
}

/* --- words ----------------------------------------------------------------------------------- */

static int word_of(const struct cb_gen *g, pf_val v)
{
	for (int i = 0; i < CB_WORDS; i++)
		if (g->st.m[i] == v && v)
			return i;
	return -1;
}

/* A word whose content nobody wants any more; else one that was only used to compute something. */
static unsigned free_word(struct cb_gen *g)
{
	unsigned words = CB_WORDS - g->p->words;

	for (unsigned i = 0; i < words; i++) {
		pf_val v = g->st.m[i];

		if (!(g->busy & 1u << i) && (!v || g->p->last[v] < g->at + 1))
			return i;
	}
	for (unsigned i = 0; i < words; i++)
		if (!(g->busy & 1u << i) && !g->p->saved[g->st.m[i]])
			return i;
	if (!g->err)
		g->err = -E2BIG;
	return 0;
}

void cb_save_a(struct cb_gen *g, unsigned word)
{
	cb_put(g, CB_ST, word);
	g->st.m[word] = g->st.a;
}

void cb_settle(struct cb_gen *g)
{
	pf_val a = g->st.a, x = g->st.x;

	if (a && g->p->saved[a] && word_of(g, a) < 0)
		cb_save_a(g, free_word(g));
	if (x && g->p->saved[x] && word_of(g, x) < 0) {
		unsigned word = free_word(g);

		cb_put(g, CB_STX, word);
		g->st.m[word] = x;
	}
}

static void set_a(struct cb_gen *g, pf_val v)
{
	g->st.a = v;
	cb_settle(g);
}

static void set_x(struct cb_gen *g, pf_val v)
{
	g->st.x = v;
	cb_settle(g);
}

/* --- looking --------------------------------------------------------------------------------- */

/* 4 * (byte & 15), the length of an IP header, which X can load at once. */
static bool is_header_length(const struct cb_gen *g, pf_val v)
{
	const struct pf_unit *u = &g->p->u;
	const struct pf_value *shift = &u->val[v], *mask, *load;

	if (shift->op == PF_OP_MUL ? !pf_is(u, shift->b, 4)
				   : shift->op != PF_OP_SHL || !pf_is(u, shift->b, 2))
		return false;
	mask = &u->val[shift->a];
	if (mask->op != PF_OP_AND || !pf_is(u, mask->b, 15))
		return false;
	load = &u->val[mask->a];
	return load->op == PF_OP_LOAD8 && !load->a;
}

static uint32_t header_length_at(const struct cb_gen *g, pf_val v)
{
	return value_of(g, value_of(g, value_of(g, v)->a)->a)->k;
}

/* Can X have it at once, whatever A holds? */
static bool is_easy_for_x(const struct cb_gen *g, pf_val v)
{
	enum pf_op op = value_of(g, v)->op;

	return g->st.x == v || op == PF_OP_CONST || op == PF_OP_LEN || word_of(g, v) >= 0 ||
	       is_header_length(g, v);
}

/* Can it be made in A, from nothing, while X holds x and goes on to? */
static bool leaves_x(const struct cb_gen *g, pf_val v, pf_val x, unsigned depth)
{
	const struct pf_value *value = value_of(g, v);

	if (x == v || word_of(g, v) >= 0)
		return true;
	if (depth == LOOK_MAX)
		return false;
	if (pf_load_size(value->op))
		return !value->a || x == value->a;
	if (pf_operands(value) < 2)
		return value->op != PF_OP_PARAM;
	if (!pf_is_const(&g->p->u, value->b) && x != value->b)
		return false;
	return leaves_x(g, value->a, x, depth + 1);
}

/* --- values ---------------------------------------------------------------------------------- */

static uint16_t load_code(enum pf_op op, bool indexed)
{
	uint16_t size = op == PF_OP_LOAD8 ? CB_B : op == PF_OP_LOAD16 ? CB_H : CB_W;

	return CB_LD | size | (indexed ? CB_IND : CB_ABS);
}

/* A parameter that is at no place where it could be: it must be saved at the head of its block, or have a word. */
static void miss(struct cb_gen *g, pf_val v)
{
	if (g->p->saved[v])
		g->p->home[v] = CB_HOME_WORD;
	g->p->saved[v] = 1;
	g->try_again = true;
	if (!g->err)
		g->err = -EAGAIN;
}

/* a in A and b in X. How many instructions more than making the two this takes is how hard it is. */
static unsigned pair_hardness(const struct cb_gen *g, pf_val a, pf_val b)
{
	if (is_easy_for_x(g, b) && (g->st.x != b || g->st.a == a || leaves_x(g, a, b, 0)))
		return 0;
	return a == b || leaves_x(g, a, b, 0) ? 1 : 3;
}

/* The first into a word, so that the other can be made. Returns the word. */
static unsigned put_aside(struct cb_gen *g, pf_val v)
{
	int word = word_of(g, v);

	if (word < 0) {
		cb_into_a(g, v);
		word = word_of(g, v);
	}
	if (word < 0) {
		word = (int)free_word(g);
		cb_save_a(g, (unsigned)word);
	}
	g->busy |= 1u << word;
	return (unsigned)word;
}

static void pair(struct cb_gen *g, pf_val a, pf_val b)
{
	unsigned busy = g->busy; /* what a pair outside of this one has put aside stays so */
	unsigned word;

	if (g->st.a == a && g->st.x == b)
		return;
	if (a == b || (is_easy_for_x(g, b) && g->st.x != b)) {
		cb_into_a(g, a);
		cb_into_x(g, b);
	} else if (leaves_x(g, a, b, 0)) {
		cb_into_x(g, b);
		g->keep_x++;
		cb_into_a(g, a);
		g->keep_x--;
	} else {
		word = put_aside(g, g->st.a == a ? a : b);
		if (g->st.m[word] == a) {
			cb_into_x(g, b);
			cb_into_a(g, a);
		} else {
			cb_into_a(g, a);
			cb_into_x(g, b);
		}
		g->busy = busy;
	}
	if (!g->err && (g->st.a != a || g->st.x != b))
		g->err = -E2BIG;
}

static void binary(struct cb_gen *g, pf_val v)
{
	static const uint8_t codes[PF_OPS] = {
		[PF_OP_ADD] = CB_ADD, [PF_OP_SUB] = CB_SUB, [PF_OP_MUL] = CB_MUL,
		[PF_OP_DIV] = CB_DIV, [PF_OP_MOD] = CB_MOD, [PF_OP_AND] = CB_AND,
		[PF_OP_OR] = CB_OR,   [PF_OP_XOR] = CB_XOR, [PF_OP_SHL] = CB_LSH,
		[PF_OP_SHR] = CB_RSH,
	};
	const struct pf_value *value = value_of(g, v);
	pf_val a = value->a, b = value->b;
	uint16_t code = CB_ALU | codes[value->op];
	bool commutes = value->op == PF_OP_ADD || value->op == PF_OP_MUL ||
			value->op == PF_OP_AND || value->op == PF_OP_OR || value->op == PF_OP_XOR;

	if (pf_is_const(&g->p->u, b)) {
		cb_into_a(g, a);
		cb_put(g, code | CB_K, value_of(g, b)->k);
		return;
	}
	if (value->op == PF_OP_SUB && pf_is(&g->p->u, a, 0)) {
		cb_into_a(g, b);
		cb_put(g, CB_ALU | CB_NEG, 0);
		return;
	}
	if (commutes && pair_hardness(g, b, a) < pair_hardness(g, a, b))
		pair(g, b, a);
	else
		pair(g, a, b);
	cb_put(g, code | CB_X, 0);
}

static void load(struct cb_gen *g, const struct pf_value *value)
{
	if (value->a)
		cb_into_x(g, value->a);
	cb_put(g, load_code(value->op, value->a), value->k);
}

void cb_into_a(struct cb_gen *g, pf_val v)
{
	const struct pf_value *value = value_of(g, v);
	uint32_t before = g->n;
	int word = word_of(g, v);

	if (g->err || g->st.a == v)
		return;
	if (g->st.x == v) {
		cb_put(g, CB_MISC | CB_TXA, 0);
	} else if (word >= 0) {
		cb_put(g, CB_LD | CB_W | CB_MEM, (uint32_t)word);
	} else if (value->op == PF_OP_CONST) {
		cb_put(g, CB_LD | CB_W | CB_IMM, value->k);
	} else if (value->op == PF_OP_LEN) {
		cb_put(g, CB_LD | CB_W | CB_LEN, 0);
	} else if (value->op == PF_OP_AUX) {
		cb_put(g, CB_LD | CB_B | CB_ABS, pf_offset_of_aux(value->k));
	} else if (value->op == PF_OP_PARAM) {
		miss(g, v);
	} else if (is_header_length(g, v) && !g->keep_x) {
		cb_into_x(g, v);
		cb_put(g, CB_MISC | CB_TXA, 0);
	} else if (pf_load_size(value->op)) {
		load(g, value);
	} else {
		binary(g, v);
	}
	g->p->weight[v] += g->n - before;
	g->p->times[v]++;
	set_a(g, v);
}

void cb_into_x(struct cb_gen *g, pf_val v)
{
	const struct pf_value *value = value_of(g, v);
	int word = word_of(g, v);

	if (g->err || g->st.x == v)
		return;
	if (g->st.a == v) {
		cb_put(g, CB_MISC | CB_TAX, 0);
	} else if (word >= 0) {
		cb_put(g, CB_LDX | CB_W | CB_MEM, (uint32_t)word);
	} else if (value->op == PF_OP_CONST) {
		cb_put(g, CB_LDX | CB_IMM, value->k);
	} else if (value->op == PF_OP_LEN) {
		cb_put(g, CB_LDX | CB_W | CB_LEN, 0);
	} else if (is_header_length(g, v)) {
		cb_put(g, CB_LDX | CB_B | CB_MSH, header_length_at(g, v));
	} else {
		cb_into_a(g, v);
		cb_put(g, CB_MISC | CB_TAX, 0);
	}
	set_x(g, v);
}

/* --- tests ----------------------------------------------------------------------------------- */

/* a against b, which may be a constant. */
static void compare(struct cb_gen *g, struct cb_block *block, uint16_t code, pf_val a, pf_val b)
{
	if (pf_is_const(&g->p->u, b)) {
		cb_into_a(g, a);
		block->test = (struct pf_insn){ .code = CB_JMP | code | CB_K, .k = value_of(g, b)->k };
	} else {
		pair(g, a, b);
		block->test = (struct pf_insn){ .code = CB_JMP | code | CB_X };
	}
}

/* a < b is b > a, or not a >= b. */
static void compare_less(struct cb_gen *g, struct cb_block *block, pf_val a, pf_val b)
{
	pf_blk yes = block->yes;

	if (pf_is_const(&g->p->u, a) ||
	    (!pf_is_const(&g->p->u, b) && pair_hardness(g, b, a) < pair_hardness(g, a, b))) {
		compare(g, block, CB_JGT, b, a);
		return;
	}
	compare(g, block, CB_JGE, a, b);
	block->yes = block->no;
	block->no = yes;
}

static void compare_either(struct cb_gen *g, struct cb_block *block, uint16_t code, pf_val a, pf_val b)
{
	if (!pf_is_const(&g->p->u, b) && pair_hardness(g, b, a) < pair_hardness(g, a, b))
		compare(g, block, code, b, a);
	else
		compare(g, block, code, a, b);
}

void cb_test(struct cb_gen *g, struct cb_block *block, pf_val cond, pf_blk yes, pf_blk no)
{
	const struct pf_value *value = value_of(g, cond);

	/* x == 0 is not x, and a mask of x may be tested without being made. */
	while (value->op == PF_OP_EQ && pf_is(&g->p->u, value->b, 0)) {
		pf_blk swap = yes;

		cond = value->a;
		value = value_of(g, cond);
		yes = no;
		no = swap;
	}
	block->end = CB_END_TEST;
	block->yes = yes;
	block->no = no;
	if (value->op == PF_OP_EQ) {
		compare_either(g, block, CB_JEQ, value->a, value->b);
	} else if (value->op == PF_OP_LT) {
		compare_less(g, block, value->a, value->b);
	} else if (value->op == PF_OP_AND && g->st.a != cond) {
		compare_either(g, block, CB_JSET, value->a, value->b);
	} else {
		cb_into_a(g, cond);
		block->test = (struct pf_insn){ .code = CB_JMP | CB_JEQ | CB_K, .k = 0 };
		block->yes = no;
		block->no = yes;
	}
}
