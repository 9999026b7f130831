/*
 * Registers: RDI data, RSI captured length, R8 where the next hit goes (with several filters), or the next result of a
 * batch; RAX, RCX and RDX are for moments; the length is in R10 and the address of what is known beside the bytes in
 * R9, if they are asked for; R11 has that of the memories of a unit with some. In a batch RBX is the packet, RBP how
 * many are left, R12 what is known of those without aux. All others are for values, those that the caller wants back
 * last. Values that find none have four bytes below the stack pointer.
 *
 * Short decisions are made without branches (flat.h). Comparing with a constant leaves a load's bytes in memory order
 * and turns the constant round.
 */
#include "pf/back/x86_64.h"

#include <pipesfs/pf.h>

#include "pf/back/flat.h"
#include "pf/back/lower.h"
#include "pf/back/run.h"
#include "pf/back/x86_asm.h"

#define DATA RDI
#define CAPLEN RSI
#define HITS R8
#define AUX R9
#define LEN R10
#define WORDS R11
#define RESULTS R8
#define PACKET RBX
#define LEFT RBP
#define NOTHING R12
#define ENTRY_ALIGN 16u
#define RED_ZONE 128u /* bytes below the stack pointer that are ours without asking */

struct gen {
	struct pf_lower *l;
	struct x86 x;
	unsigned reg[16]; /* of places */
	unsigned nreg;
	unsigned saved[6]; /* that the caller wants back */
	unsigned nsaved;
	uint32_t frame;	 /* bytes taken from the stack */
	uint32_t *label; /* owned; by position of a block */
	bool *rejects;	 /* owned; by position of a block: it stands in front of the entry */
	bool only;
	bool batch, has_aux, has_len, has_words;
	uint32_t next; /* label: of a batch, where a result is taken */
};

static void gen_release(struct gen *g)
{
	x86_release(&g->x);
	free(g->label);
	free(g->rejects);
}

static const struct pf_value *value_of(const struct gen *g, pf_val v)
{
	return &g->l->u.val[v];
}

static bool is_const(const struct gen *g, pf_val v)
{
	return pf_is_const(&g->l->u, v);
}

/* --- places ---------------------------------------------------------------------------------- */

static bool in_register(const struct gen *g, uint16_t place)
{
	return place < g->nreg;
}

static struct x86_mem slot(const struct gen *g, uint16_t place)
{
	int32_t at = 4 * (int32_t)(place - g->nreg);

	return (struct x86_mem){ RSP, X86_NONE, g->frame ? at : -4 - at };
}

/* The register that holds v: its own, or `temp`, into which it is loaded. */
static unsigned get(struct gen *g, pf_val v, unsigned temp)
{
	uint16_t place = g->l->place[v];

	if (is_const(g, v)) {
		x86_mov_imm(&g->x, temp, value_of(g, v)->k);
		return temp;
	}
	if (in_register(g, place))
		return g->reg[place];
	x86_load(&g->x, 4, temp, slot(g, place));
	return temp;
}

/* Where a value for this place is made: its register, or RAX, from which put() stores it. */
static unsigned target(const struct gen *g, uint16_t place)
{
	return in_register(g, place) ? g->reg[place] : RAX;
}

static void put(struct gen *g, uint16_t place, unsigned from)
{
	if (!in_register(g, place))
		x86_store(&g->x, slot(g, place), from);
	else
		x86_mov(&g->x, g->reg[place], from);
}

/* --- loads ----------------------------------------------------------------------------------- */

/* The bytes at base + k; may use temp. */
static struct x86_mem bytes_at(struct gen *g, pf_val base, uint32_t k, unsigned temp)
{
	struct x86_mem m = { DATA, X86_NONE, (int32_t)k };

	if (k > INT32_MAX - 4) {
		/* Too far for a displacement. */
		x86_mov_imm(&g->x, temp, k);
		if (base) {
			x86_lea64(&g->x, temp, (struct x86_mem){ temp, get(g, base, RDX), 0 });
		}
		return (struct x86_mem){ DATA, temp, 0 };
	}
	if (base)
		m.index = get(g, base, temp);
	return m;
}

static void load(struct gen *g, pf_val v, unsigned to, bool raw)
{
	const struct pf_value *value = value_of(g, v);
	unsigned size = pf_load_size(value->op);

	x86_load(&g->x, size, to, bytes_at(g, value->a, value->k, RCX));
	if (raw || size == 1)
		return;
	if (size == 2)
		x86_rol16(&g->x, to);
	else
		x86_bswap(&g->x, to);
}

/* A constant in the order in which a raw load has its bytes. */
static uint32_t turned(const struct gen *g, pf_val v, uint32_t k)
{
	unsigned size = pf_load_size(value_of(g, v)->op);

	return size == 4 ? __builtin_bswap32(k) : size == 2 ? __builtin_bswap16((uint16_t)k) : k;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static bool commutes(enum pf_op op)
{
	return op == PF_OP_ADD || op == PF_OP_AND || op == PF_OP_OR || op == PF_OP_XOR ||
	       op == PF_OP_MUL;
}

static enum x86_alu alu_of(enum pf_op op)
{
	switch (op) {
	case PF_OP_ADD:
		return X86_ADD;
	case PF_OP_SUB:
		return X86_SUB;
	case PF_OP_AND:
		return X86_AND;
	case PF_OP_OR:
		return X86_OR;
	default:
		return X86_XOR;
	}
}

/* a op b, where b is a constant. */
static void with_const(struct gen *g, enum pf_op op, unsigned to, pf_val a, uint32_t k)
{
	unsigned from;

	if (op == PF_OP_MUL) {
		x86_imul_imm(&g->x, to, get(g, a, RAX), k);
		return;
	}
	if (op == PF_OP_SHL || op == PF_OP_SHR) {
		x86_mov(&g->x, to, get(g, a, to));
		if (k > 31)
			x86_mov_imm(&g->x, to, 0);
		else if (k)
			x86_shift(&g->x, op == PF_OP_SHR, to, k);
		return;
	}
	from = get(g, a, to);
	if (op == PF_OP_ADD && from != to) {
		x86_lea(&g->x, to, (struct x86_mem){ from, X86_NONE, (int32_t)k });
		return;
	}
	x86_mov(&g->x, to, from);
	x86_alu_imm(&g->x, alu_of(op), to, k);
}

/* x / 0 is 0, x % 0 is x. */
static void divide(struct gen *g, enum pf_op op, unsigned to, pf_val a, pf_val b)
{
	unsigned by = get(g, b, RCX);
	uint32_t zero = x86_label(&g->x), done = x86_label(&g->x);
	bool checked = is_const(g, b) && value_of(g, b)->k;

	x86_mov(&g->x, RAX, get(g, a, RAX));
	if (!checked) {
		x86_test(&g->x, by, by);
		x86_jump(&g->x, CC_E, zero);
	}
	x86_mov_imm(&g->x, RDX, 0);
	x86_div(&g->x, by);
	if (!checked) {
		x86_jump(&g->x, CC_ALWAYS, done);
		x86_place(&g->x, zero);
		x86_mov(&g->x, RDX, RAX);
		x86_mov_imm(&g->x, RAX, 0);
		x86_place(&g->x, done);
	}
	x86_mov(&g->x, to, op == PF_OP_DIV ? RAX : RDX);
}

/* By 32 and more: 0. The machine looks at five bits only. */
static void shift(struct gen *g, enum pf_op op, unsigned to, pf_val a, pf_val b)
{
	x86_mov(&g->x, RDX, get(g, a, RDX));
	x86_mov(&g->x, RCX, get(g, b, RCX));
	x86_shift_cl(&g->x, op == PF_OP_SHR, RDX);
	if (value_of(g, b)->max > 31) {
		x86_alu_imm(&g->x, X86_CMP, RCX, 32);
		x86_alu(&g->x, X86_SBB, RAX, RAX);
		x86_alu(&g->x, X86_AND, RDX, RAX);
	}
	x86_mov(&g->x, to, RDX);
}

/* RAX = the pair, by way of RCX. */
static void pair(struct gen *g, const struct pf_value *v)
{
	bool zero = is_const(g, v->a) && !value_of(g, v->a)->k;
	unsigned right;

	if (zero) {
		x86_mov(&g->x, RAX, get(g, v->b, RAX));
		return;
	}
	right = get(g, v->b, RCX);
	x86_mov(&g->x, RAX, get(g, v->a, RAX));
	x86_shift64(&g->x, false, RAX, 32);
	x86_or64(&g->x, RAX, right);
}

/* As pf_table_find(). The rows are asked for each time: they may have been made anew. */
static void find(struct gen *g, const struct pf_value *v, unsigned to)
{
	uint32_t probe = x86_label(&g->x), hit = x86_label(&g->x), done = x86_label(&g->x);
	struct x86_mem rows = { RDX, X86_NONE, 0 };
	const struct pf_table *table = g->l->u.table[v->k];
	uintptr_t at = (uintptr_t)&table->rows;

	pair(g, v);
	x86_mov_imm64(&g->x, RDX, at);
	x86_load64(&g->x, RDX, rows);
	rows.disp = offsetof(struct pf_table_rows, m);
	x86_imul64_mem(&g->x, RAX, rows);
	rows.disp = offsetof(struct pf_table_rows, shift);
	x86_load(&g->x, 4, RCX, rows);
	x86_shift64_cl(&g->x, true, RAX);
	x86_shift64(&g->x, false, RAX, 4);
	x86_add64(&g->x, RDX, RAX);
	pair(g, v);
	x86_add64_imm(&g->x, RDX, offsetof(struct pf_table_rows, slot));
	x86_place(&g->x, probe);
	x86_cmp64_mem(&g->x, (struct x86_mem){ RDX, X86_NONE, offsetof(struct pf_table_slot, key) },
		      RAX);
	x86_jump(&g->x, CC_E, hit);
	x86_cmp_mem_imm(&g->x, 4,
			(struct x86_mem){ RDX, X86_NONE, offsetof(struct pf_table_slot, used) }, 0);
	x86_lea64(&g->x, RDX, (struct x86_mem){ RDX, X86_NONE, sizeof(struct pf_table_slot) });
	x86_jump(&g->x, CC_NE, probe);
	x86_mov_imm(&g->x, to, 0);
	x86_jump(&g->x, CC_ALWAYS, done);
	x86_place(&g->x, hit);
	x86_load(&g->x, 4, to,
		 (struct x86_mem){ RDX, X86_NONE, offsetof(struct pf_table_slot, value) });
	x86_place(&g->x, done);
}

static_assert(sizeof(struct pf_table_slot) == 16, "find() says 4 bits");

static void binary(struct gen *g, const struct pf_value *v, unsigned to)
{
	pf_val a = v->a, b = v->b;
	unsigned right;

	if (v->op == PF_OP_DIV || v->op == PF_OP_MOD) {
		divide(g, v->op, to, a, b);
		return;
	}
	if (is_const(g, b)) {
		with_const(g, v->op, to, a, value_of(g, b)->k);
		return;
	}
	if (v->op == PF_OP_SHL || v->op == PF_OP_SHR) {
		shift(g, v->op, to, a, b);
		return;
	}
	right = get(g, b, RCX);
	/* The result may lie where the right operand is. */
	if (right == to && commutes(v->op)) {
		right = get(g, a, RCX);
	} else if (right == to) {
		x86_mov(&g->x, RAX, get(g, a, RAX));
		x86_alu(&g->x, alu_of(v->op), RAX, right);
		x86_mov(&g->x, to, RAX);
		return;
	} else {
		x86_mov(&g->x, to, get(g, a, to));
	}
	if (v->op == PF_OP_MUL)
		x86_imul(&g->x, to, right);
	else
		x86_alu(&g->x, alu_of(v->op), to, right);
}

/* --- fields and bounds ----------------------------------------------------------------------- */

static struct x86_mem aux_known(void)
{
	return (struct x86_mem){ AUX, X86_NONE, offsetof(struct pf_aux, known) };
}

static void aux_value(struct gen *g, uint32_t field, unsigned to)
{
	x86_mov_imm(&g->x, RAX, 0);
	x86_test_mem_imm(&g->x, 4, aux_known(), 1u << field);
	x86_cmov_mem(&g->x, CC_NE, RAX,
		     (struct x86_mem){ AUX, X86_NONE,
				       (int32_t)(offsetof(struct pf_aux, value) + 4 * field) });
	x86_mov(&g->x, to, RAX);
}

/* Compares base + end with the captured length; not above: it fits. Sums have 64 bits and do not wrap. */
static void compare_end(struct gen *g, pf_val base, uint32_t end)
{
	unsigned reg;

	if (!base) {
		x86_alu_imm(&g->x, X86_CMP, CAPLEN, end);
		return;
	}
	reg = get(g, base, RAX);
	if (end > INT32_MAX) {
		x86_mov_imm(&g->x, RCX, end);
		x86_lea64(&g->x, RAX, (struct x86_mem){ reg, RCX, 0 });
	} else {
		x86_lea64(&g->x, RAX, (struct x86_mem){ reg, X86_NONE, (int32_t)end });
	}
	x86_cmp64(&g->x, RAX, CAPLEN);
}

static enum x86_cc fits_cc(pf_val base)
{
	return base ? CC_BE : CC_AE;
}

/* Sets flags; the condition code says yes. */
static enum x86_cc make_test(struct gen *g, const struct pf_test *t, const struct pf_value *v);

/* --- memories -------------------------------------------------------------------------------- */

/* The bytes of a word. With a base its index is in RCX then, and who is outside of the memory goes to `outside`. */
static struct x86_mem word_at(struct gen *g, const struct pf_value *v, uint32_t outside)
{
	const struct pf_unit *u = &g->l->u;
	uint32_t at = pf_memory_at(u, pf_place_memory(v)) + pf_place_at(v);

	if (!pf_place_base(v))
		return (struct x86_mem){ WORDS, X86_NONE, (int32_t)(at * 4) };
	x86_mov(&g->x, RCX, get(g, pf_place_base(v), RCX));
	if (!pf_place_fits(u, v)) {
		x86_alu_imm(&g->x, X86_CMP, RCX, pf_place_limit(u, v));
		x86_jump(&g->x, CC_AE, outside);
	}
	x86_shift(&g->x, false, RCX, 2);
	return (struct x86_mem){ WORDS, RCX, (int32_t)(at * 4) };
}

/* By way of RAX: the base may lie where the word goes. */
static void get_word(struct gen *g, const struct pf_value *v, unsigned to)
{
	uint32_t outside = x86_label(&g->x);

	if (!pf_place_fits(&g->l->u, v))
		x86_mov_imm(&g->x, RAX, 0);
	if (v->a || pf_place_fits(&g->l->u, v))
		x86_load(&g->x, 4, RAX, word_at(g, v, outside));
	x86_place(&g->x, outside);
	x86_mov(&g->x, to, RAX);
}

static void set_word(struct gen *g, const struct pf_value *v)
{
	uint32_t outside = x86_label(&g->x);
	struct x86_mem m;

	if (!v->b && !pf_place_fits(&g->l->u, v))
		return;
	m = word_at(g, v, outside);
	if (is_const(g, v->a))
		x86_store_imm(&g->x, m, value_of(g, v->a)->k);
	else
		x86_store(&g->x, m, get(g, v->a, RDX));
	x86_place(&g->x, outside);
}

static void make_value(struct gen *g, pf_val v)
{
	struct pf_test test;
	const struct pf_value *value = value_of(g, v);
	uint16_t place = g->l->place[v];
	unsigned to = target(g, place);

	if (value->op == PF_OP_SET) {
		set_word(g, value);
		return;
	}
	switch (value->op) {
	case PF_OP_GET:
		get_word(g, value, to);
		break;
	case PF_OP_LEN:
		x86_mov(&g->x, to, LEN);
		break;
	case PF_OP_AUX:
		aux_value(g, value->k, to);
		break;
	case PF_OP_KNOWN:
	case PF_OP_FITS:
	case PF_OP_EQ:
	case PF_OP_LT:
		test = pf_lower_compare(g->l, v);
		x86_setcc(&g->x, make_test(g, &test, value), to);
		break;
	case PF_OP_LOAD8:
	case PF_OP_LOAD16:
	case PF_OP_LOAD32:
		load(g, v, to, g->l->flags[v] & PF_LOWER_RAW);
		break;
	case PF_OP_FIND:
		find(g, value, to);
		break;
	default:
		binary(g, value, to);
		break;
	}
	put(g, place, to);
}

/* --- branches -------------------------------------------------------------------------------- */

static bool folded(const struct gen *g, pf_val v)
{
	return v && (g->l->flags[v] & PF_LOWER_FOLDED);
}

/* A load's bytes, where they lie. */
static struct x86_mem bytes_of(struct gen *g, pf_val v)
{
	return bytes_at(g, value_of(g, v)->a, value_of(g, v)->k, RCX);
}

/* v in a register, in order: for comparisons of size. */
static unsigned ordered(struct gen *g, pf_val v, unsigned temp)
{
	if (!folded(g, v))
		return get(g, v, temp);
	load(g, v, temp, false);
	return temp;
}

/* v in a register, in the order of the machine if it is a load that is compared so. */
static unsigned raw(struct gen *g, pf_val v, bool *ret_turned)
{
	*ret_turned = folded(g, v) || (g->l->flags[v] & PF_LOWER_RAW);
	if (!folded(g, v))
		return get(g, v, RAX);
	load(g, v, RAX, true);
	return RAX;
}

static void test_equal(struct gen *g, pf_val v, uint32_t k)
{
	unsigned size = pf_load_size(value_of(g, v)->op), reg;
	bool turn;

	if (folded(g, v)) {
		x86_cmp_mem_imm(&g->x, size, bytes_of(g, v), turned(g, v, k));
		return;
	}
	reg = raw(g, v, &turn);
	if (!k)
		x86_test(&g->x, reg, reg);
	else
		x86_alu_imm(&g->x, X86_CMP, reg, turn ? turned(g, v, k) : k);
}

static void test_masked_equal(struct gen *g, pf_val v, uint32_t mask, uint32_t k)
{
	bool turn;
	unsigned reg = raw(g, v, &turn);

	x86_mov(&g->x, RAX, reg);
	x86_alu_imm(&g->x, X86_AND, RAX, turn ? turned(g, v, mask) : mask);
	x86_alu_imm(&g->x, X86_CMP, RAX, turn ? turned(g, v, k) : k);
}

/* Bits of v: of a load that nobody else wants, in the one byte that has them if there is one. */
static void test_bits(struct gen *g, pf_val v, uint32_t mask)
{
	unsigned size = pf_load_size(value_of(g, v)->op), reg;
	struct x86_mem m;
	bool turn;

	for (unsigned i = 0; folded(g, v) && i < size; i++) {
		unsigned shift = (size - 1 - i) * 8;

		if (mask & ~(UINT32_C(0xff) << shift))
			continue;
		m = bytes_of(g, v);
		m.disp += (int32_t)i;
		x86_test_mem_imm(&g->x, 1, m, mask >> shift);
		return;
	}
	if (folded(g, v) && size == 4) {
		x86_test_mem_imm(&g->x, 4, bytes_of(g, v), turned(g, v, mask));
		return;
	}
	reg = raw(g, v, &turn);
	x86_test_imm(&g->x, reg, turn ? turned(g, v, mask) : mask);
}

static enum x86_cc test_less(struct gen *g, pf_val a, pf_val b)
{
	pf_val v = is_const(g, a) ? b : a, k = is_const(g, a) ? a : is_const(g, b) ? b : 0;

	if (!k) {
		unsigned left = ordered(g, a, RAX);

		x86_alu(&g->x, X86_CMP, left, ordered(g, b, RDX));
		return CC_B;
	}
	if (folded(g, v) && value_of(g, v)->op == PF_OP_LOAD8)
		x86_cmp_mem_imm(&g->x, 1, bytes_of(g, v), value_of(g, k)->k);
	else
		x86_alu_imm(&g->x, X86_CMP, ordered(g, v, RAX), value_of(g, k)->k);
	return k == a ? CC_A : CC_B;
}

static enum x86_cc make_test(struct gen *g, const struct pf_test *t, const struct pf_value *v)
{
	switch (t->op) {
	case PF_OP_FITS:
		compare_end(g, v->a, v->k);
		return fits_cc(v->a);
	case PF_OP_KNOWN:
		x86_test_mem_imm(&g->x, 4, aux_known(), 1u << v->k);
		return CC_NE;
	case PF_OP_LT:
		return test_less(g, t->left, t->right);
	case PF_OP_EQ:
		if (t->masked)
			test_masked_equal(g, t->left, t->mask, value_of(g, t->right)->k);
		else if (is_const(g, t->right))
			test_equal(g, t->left, value_of(g, t->right)->k);
		else
			x86_alu(&g->x, X86_CMP, get(g, t->left, RAX), get(g, t->right, RDX));
		return CC_E;
	case PF_OP_AND:
		if (is_const(g, t->right))
			test_bits(g, t->left, value_of(g, t->right)->k);
		else
			x86_test(&g->x, get(g, t->left, RAX), get(g, t->right, RDX));
		return CC_NE;
	default:
		test_equal(g, t->left, 0);
		return CC_NE;
	}
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* What enter() has done is undone. */
static void restore(struct gen *g)
{
	if (g->frame)
		x86_add64_imm(&g->x, RSP, (int32_t)g->frame);
	for (unsigned i = g->nsaved; i-- > 0;)
		x86_pop(&g->x, g->saved[i]);
	x86_ret(&g->x);
}

static void leave(struct gen *g)
{
	if (g->batch) {
		x86_jump(&g->x, CC_ALWAYS, g->next);
		return;
	}
	restore(g);
}

static void hit(struct gen *g, uint32_t id, pf_val v)
{
	uint32_t skip = x86_label(&g->x);
	struct x86_mem value = { HITS, X86_NONE, offsetof(struct pf_hit, value) };

	if (is_const(g, v) && !value_of(g, v)->k)
		return;
	if (is_const(g, v)) {
		x86_store_imm(&g->x, value, value_of(g, v)->k);
	} else {
		unsigned reg = get(g, v, RAX);

		x86_store(&g->x, value, reg);
		x86_test(&g->x, reg, reg);
		x86_jump(&g->x, CC_E, skip);
	}
	x86_store_imm(&g->x, (struct x86_mem){ HITS, X86_NONE, offsetof(struct pf_hit, id) }, id);
	x86_add64_imm(&g->x, HITS, sizeof(struct pf_hit));
	x86_place(&g->x, skip);
}

static void stop(struct gen *g, const struct pf_block *b)
{
	pf_val result = pf_lower_result(g->l, b);

	if (!g->only)
		x86_mov64(&g->x, RAX, HITS);
	else if (!result)
		x86_mov_imm(&g->x, RAX, 0);
	else
		x86_mov(&g->x, RAX, get(g, result, RAX));
	leave(g);
}

/* Does the code of block `to` come next behind that of `at`? */
static bool follows(const struct gen *g, uint32_t at, uint32_t to)
{
	do
		at++;
	while (at < g->l->flow.n && g->rejects[at]);
	return at == to;
}

static void go(struct gen *g, uint32_t at, uint32_t to)
{
	if (!follows(g, at, to))
		x86_jump(&g->x, CC_ALWAYS, g->label[to]);
}

static int jump(struct gen *g, uint32_t at, const struct pf_edge *edge)
{
	PFS_FREE struct pf_move *moves = NULL;
	int n = pf_lower_moves(g->l, edge, &moves);

	for (int i = 0; i < n; i++) {
		const struct pf_move *m = &moves[i];
		unsigned from = RDX, to = m->to == PF_MOVE_TEMP ? RDX : target(g, m->to);

		if (m->from == PF_NO_PLACE) {
			x86_mov_imm(&g->x, to, m->k);
			from = to;
		} else if (m->from != PF_MOVE_TEMP) {
			from = in_register(g, m->from) ? g->reg[m->from] : to;
			if (!in_register(g, m->from))
				x86_load(&g->x, 4, from, slot(g, m->from));
		}
		if (m->to == PF_MOVE_TEMP)
			x86_mov(&g->x, RDX, from);
		else
			put(g, m->to, from);
	}
	go(g, at, g->l->flow.pos[edge->to]);
	return n < 0 ? n : 0;
}

static void branch(struct gen *g, uint32_t at, const struct pf_block *b)
{
	uint32_t yes = g->l->flow.pos[b->edge[0].to], no = g->l->flow.pos[b->edge[1].to];
	struct pf_test test;
	enum x86_cc cc;

	if (is_const(g, b->cond)) {
		go(g, at, value_of(g, b->cond)->k ? yes : no);
		return;
	}
	test = pf_lower_test(g->l, b->cond);
	cc = make_test(g, &test, value_of(g, b->cond));
	if (follows(g, at, yes)) {
		x86_jump(&g->x, cc ^ 1, g->label[no]);
		return;
	}
	x86_jump(&g->x, cc, g->label[yes]);
	go(g, at, no);
}

static int write_block(struct gen *g, uint32_t at)
{
	const struct pf_block *b = &g->l->u.blk[g->l->flow.order[at]];

	x86_place(&g->x, g->label[at]);
	for (uint32_t s = g->l->first[at]; s < g->l->first[at + 1]; s++)
		make_value(g, g->l->step[s]);
	for (uint32_t i = 0; i < b->npin && !g->only; i++) {
		if (value_of(g, b->pin[i])->op != PF_OP_RESULT)
			continue;
		hit(g, value_of(g, b->pin[i])->k, value_of(g, b->pin[i])->a);
	}
	if (b->end == PF_END_BRANCH)
		branch(g, at, b);
	else if (b->end == PF_END_JUMP)
		return jump(g, at, &b->edge[0]);
	else
		stop(g, b);
	return 0;
}

static bool uses(const struct pf_unit *u, enum pf_op a, enum pf_op b)
{
	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == a || u->val[v].op == b)
			return true;
	return false;
}

/* Which registers are for values; the caller's first. Returns how many those are. */
static unsigned choose_registers(struct gen *g)
{
	static const unsigned kept[] = { RBX, RBP, R12, R13, R14, R15 };
	unsigned n;

	if (!g->has_words)
		g->reg[g->nreg++] = WORDS;
	if (!g->has_len)
		g->reg[g->nreg++] = LEN;
	if (!g->has_aux)
		g->reg[g->nreg++] = AUX;
	if (g->only && !g->batch)
		g->reg[g->nreg++] = HITS;
	n = g->nreg;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (!g->batch || (kept[i] != PACKET && kept[i] != LEFT && kept[i] != NOTHING))
			g->reg[g->nreg++] = kept[i];
	return n;
}

/* What of the caller's is used: registers, room on the stack. */
static void choose_saved(struct gen *g, unsigned free_ones)
{
	if (g->batch) {
		g->saved[g->nsaved++] = PACKET;
		g->saved[g->nsaved++] = LEFT;
		g->saved[g->nsaved++] = NOTHING;
	}
	for (unsigned i = free_ones; i < g->nreg && i < g->l->nplace; i++)
		g->saved[g->nsaved++] = g->reg[i];
	if (g->l->nplace > g->nreg && (g->l->nplace - g->nreg) * 4 > RED_ZONE)
		g->frame = ((g->l->nplace - g->nreg) * 4 + 15) & ~15u;
}

static struct x86_mem field(unsigned packet, size_t offset)
{
	return (struct x86_mem){ packet, X86_NONE, (int32_t)offset };
}

/* From struct pf_packet. */
static void take_packet(struct gen *g, unsigned packet, unsigned nothing)
{
	if (g->has_aux) {
		x86_load64(&g->x, AUX, field(packet, offsetof(struct pf_packet, aux)));
		x86_test64(&g->x, AUX, AUX);
		x86_cmov64(&g->x, CC_E, AUX, nothing);
	}
	if (g->has_len)
		x86_load(&g->x, 4, LEN, field(packet, offsetof(struct pf_packet, len)));
	x86_load(&g->x, 4, CAPLEN, field(packet, offsetof(struct pf_packet, caplen)));
	x86_load64(&g->x, DATA, field(packet, offsetof(struct pf_packet, data)));
}

static void enter(struct gen *g, uint32_t *ret_again)
{
	for (unsigned i = 0; i < g->nsaved; i++)
		x86_push(&g->x, g->saved[i]);
	if (g->frame)
		x86_add64_imm(&g->x, RSP, -(int32_t)g->frame);
	if (!g->batch) {
		if (!g->only)
			x86_mov64(&g->x, HITS, RDX);
		if (g->has_words)
			x86_mov64(&g->x, WORDS, RCX);
		take_packet(g, RDI, RSI);
		return;
	}
	x86_mov64(&g->x, PACKET, RDI);
	x86_mov64(&g->x, NOTHING, RSI);
	x86_mov64(&g->x, RESULTS, RDX);
	x86_mov64(&g->x, LEFT, RCX);
	*ret_again = x86_label(&g->x);
	g->next = x86_label(&g->x);
	x86_place(&g->x, *ret_again);
	take_packet(g, PACKET, NOTHING);
}

/* Of a batch: the result is taken, the next packet's turn comes. */
static void take_result(struct gen *g, uint32_t again)
{
	x86_place(&g->x, g->next);
	x86_store(&g->x, field(RESULTS, 0), RAX);
	x86_add64_imm(&g->x, RESULTS, sizeof(uint32_t));
	x86_add64_imm(&g->x, PACKET, sizeof(struct pf_packet));
	x86_add64_imm(&g->x, LEFT, -1);
	x86_jump(&g->x, CC_NE, again);
	restore(g);
}

/* In front of everything, where short jumps reach it, in the entry's line of the cache: "rejected". */
static size_t write_reject(struct gen *g)
{
	const struct pf_flow *flow = &g->l->flow;
	bool any = false;

	for (uint32_t i = 1; i < flow->n; i++) {
		if (!pf_is_reject(&g->l->u.blk[flow->order[i]]))
			continue;
		g->rejects[i] = true;
		x86_place(&g->x, g->label[i]);
		any = true;
	}
	if (!any)
		return 0;
	x86_mov_imm(&g->x, RAX, 0);
	restore(g);
	while (g->x.n % ENTRY_ALIGN && !g->x.err)
		x86_int3(&g->x);
	return g->x.n;
}

static int write_code(struct gen *g, unsigned free_ones, size_t *ret_entry)
{
	uint32_t again = 0;
	int r = 0;

	g->label = pfs_zalloc(g->l->flow.n, sizeof(*g->label));
	g->rejects = pfs_zalloc(g->l->flow.n, sizeof(*g->rejects));
	if (!g->label || !g->rejects)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->l->flow.n; i++)
		g->label[i] = x86_label(&g->x);
	choose_saved(g, free_ones);
	if (g->only && !g->batch)
		*ret_entry = write_reject(g);
	enter(g, &again);
	for (uint32_t i = 0; i < g->l->flow.n && r == 0; i++)
		if (!g->rejects[i])
			r = write_block(g, i);
	if (g->batch)
		take_result(g, again);
	return r;
}

int pf_x86_64_emit(const struct pf_unit *u, unsigned flags, struct pf_x86_64 *ret,
		   struct pfs_buf *listing)
{
	struct pf_x86_64 made = { 0 };
	PF_LOWER struct pf_lower l = { 0 };
	PFS_CLEANUP(gen_release)
	struct gen g = { .l = &l, .x.listing = listing != NULL, .only = u->nresult == 1 };
	PFS_CLEANUP(pf_unit_release) struct pf_unit flat;
	unsigned free_ones;
	int r;

	assert(!u->nmemory || !(flags & PF_X86_64_BATCH));
	g.batch = flags & PF_X86_64_BATCH;
	g.has_words = u->nmemory > 0;
	g.has_len = uses(u, PF_OP_LEN, PF_OP_LEN);
	g.has_aux = uses(u, PF_OP_AUX, PF_OP_KNOWN);
	free_ones = choose_registers(&g);
	pf_unit_init(&flat);
	r = pf_flat(u, &flat);
	if (r == 0)
		r = pf_lower_selecting(&flat, g.nreg, &l);
	if (r == 0)
		r = write_code(&g, free_ones, &made.entry);
	if (r == 0)
		r = x86_finish(&g.x, &made.code, &made.n, listing);
	if (r == 0)
		*ret = made;
	return r;
}
