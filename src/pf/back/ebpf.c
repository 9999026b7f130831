/*
 * Registers: R6 context; R7 to R9 for values, the others for moments: R0 results, R1 to R5
 * arguments. The stack, downwards from the caller's offset: values without a register, a random
 * number if one is asked for, eight bytes for what is fetched from beyond, the copy.
 */
#include "pf/back/ebpf.h"

#include <pipesfs/pf.h>

#include "pf/back/ebpf_i.h"
#include "pf/back/lower.h"
#include "pf/back/search.h"

#define STACK_MAX 512
#define COPY_MIN 16u
#define LABELS_MAX 30000u /* numbers of 16 bits until they are placed */
#define NREG 3u
#define FETCH_MAX 0x10000u /* offsets from there on are in no packet's copy */

struct gen {
	struct pf_lower *l;
	struct pf_ebpf_spec *spec;
	struct kcode *c;
	unsigned *label; /* owned; by position of a block */
	int slots;	 /* stack offset of values: slot 0 */
	int random;
	int fetch;
	int copy;      /* stack offset of the packet's first byte */
	uint32_t size; /* of the copy */
	int err;
};

static void gen_release(struct gen *g)
{
	free(g->label);
}

static const struct pf_value *value_of(const struct gen *g, pf_val v)
{
	return &g->l->u.val[v];
}

static bool is_const(const struct gen *g, pf_val v)
{
	return pf_is_const(&g->l->u, v);
}

static bool big_endian(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* --- places ---------------------------------------------------------------------------------- */

static int slot(const struct gen *g, uint16_t place)
{
	return g->slots - 8 * (int)(place - NREG);
}

static void mov32_imm(struct gen *g, unsigned to, uint32_t imm)
{
	kcode_alu32_imm(g->c, BPF_MOV, to, imm);
}

static void mov32(struct gen *g, unsigned to, unsigned from)
{
	if (to != from)
		kcode_alu32(g->c, BPF_MOV, to, from);
}

/* The register that holds v: its own, or `temp`, into which it is loaded. */
static unsigned get(struct gen *g, pf_val v, unsigned temp)
{
	uint16_t place = g->l->place[v];

	if (is_const(g, v))
		mov32_imm(g, temp, value_of(g, v)->k);
	else if (place < NREG)
		return R7 + place;
	else
		kcode_load(g->c, BPF_DW, temp, R10, slot(g, place));
	return temp;
}

static void put(struct gen *g, uint16_t place, unsigned from)
{
	if (place < NREG)
		mov32(g, R7 + place, from);
	else
		kcode_store(g->c, BPF_DW, R10, slot(g, place), from);
}

/* To the caller's label, which must not stand where nothing leads. */
static void reject(struct gen *g)
{
	kcode_jump(g->c, g->spec->reject);
	g->spec->rejects = true;
}

static void reject_if(struct gen *g, unsigned op)
{
	kcode_jump_imm(g->c, op, R0, 0, g->spec->reject);
	g->spec->rejects = true;
}

/* The packet could not be read, whatever its length says. */
static void fail_if(struct gen *g, unsigned op)
{
	if (!g->spec->many) {
		reject_if(g, op);
		return;
	}
	kcode_jump_imm(g->c, op, R0, 0, g->spec->unsure);
	g->spec->unsures = true;
}

/* --- the packet ------------------------------------------------------------------------------ */

static unsigned size_code(unsigned size)
{
	return size == 1 ? BPF_B : size == 2 ? BPF_H : BPF_W;
}

/* From `reg` + off, in the order of the machine if it can be loaded at once; returns whether it could. */
static bool load_aligned(struct gen *g, unsigned size, unsigned to, unsigned reg, int off, bool aligned)
{
	if (!aligned)
		return false;
	kcode_load(g->c, size_code(size), to, reg, off);
	return true;
}

/* Big endian, byte by byte; to is not reg. */
static void load_bytes(struct gen *g, unsigned size, unsigned to, unsigned reg, int off)
{
	kcode_load(g->c, BPF_B, to, reg, off);
	for (unsigned i = 1; i < size; i++) {
		kcode_alu_imm(g->c, BPF_LSH, to, 8);
		kcode_load(g->c, BPF_B, R5, reg, off + (int)i);
		kcode_alu(g->c, BPF_OR, to, R5);
	}
}

static void order(struct gen *g, unsigned size, unsigned reg, bool raw)
{
	if (size > 1 && !raw)
		kcode_be(g->c, reg, (int)size * 8);
}

/* What the copy has at reg + off; the bytes in memory order if raw. */
static void load_copy(struct gen *g, unsigned size, unsigned to, unsigned reg, int off,
		      bool aligned, bool raw)
{
	if (load_aligned(g, size, to, reg, off, aligned)) {
		order(g, size, to, raw);
		return;
	}
	load_bytes(g, size, to, reg, off);
	if (raw && size > 1 && !big_endian())
		kcode_be(g->c, to, (int)size * 8); /* to what memory order would have given */
}

/* R4 bytes from offset R2 to the stack at `at`; 0 in R0 if they were there. */
static void read_packet(struct gen *g, int at)
{
	if (g->spec->dynptr) {
		kcode_mov(g->c, R0, R2);
		kcode_mov(g->c, R1, R10);
		kcode_alu_imm(g->c, BPF_ADD, R1, at);
		kcode_mov(g->c, R2, R4);
		kcode_mov(g->c, R3, R10);
		kcode_alu_imm(g->c, BPF_ADD, R3, g->spec->dynptr);
		kcode_mov(g->c, R4, R0);
		kcode_mov_imm(g->c, R5, 0);
		kcode_call(g->c, BPF_FUNC_dynptr_read);
		return;
	}
	kcode_mov(g->c, R1, R6);
	kcode_mov(g->c, R3, R10);
	kcode_alu_imm(g->c, BPF_ADD, R3, at);
	kcode_call(g->c, BPF_FUNC_skb_load_bytes);
}

static void load_len(struct gen *g, unsigned to, int at)
{
	if (at)
		kcode_load(g->c, BPF_W, to, R10, at);
	else
		kcode_load(g->c, BPF_W, to, R6, offsetof(struct __sk_buff, len));
}

/* R2 is the offset. From beyond the copy. */
static void fetch(struct gen *g, unsigned size, unsigned to, bool raw)
{
	kcode_mov_imm(g->c, R4, (int32_t)size);
	read_packet(g, g->fetch);
	fail_if(g, BPF_JNE);
	kcode_load(g->c, size_code(size), to, R10, g->fetch);
	order(g, size, to, raw);
}

/* Low bits that the value cannot have. */
static bool is_multiple(const struct gen *g, pf_val v, unsigned size)
{
	return !(value_of(g, v)->may & (size - 1));
}

/*
 * The bytes behind a base, from the copy if they are there. The verifier follows the comparison: what is added to the
 * stack's address is small.
 */
static void load_indexed(struct gen *g, const struct pf_value *v, unsigned size, unsigned to, bool raw)
{
	unsigned beyond = kcode_label(g->c), done = kcode_label(g->c);
	bool fits = v->k + size <= g->size;
	int off = g->copy + (int)v->k;
	bool aligned = is_multiple(g, v->a, size) && !((unsigned)off & (size - 1));

	mov32(g, R2, get(g, v->a, R2));
	if (fits) {
		/*
		 * A value of its own for the verifier: else it brings what this comparison says to the base as
		 * well, and what several leave of a multiple is a range that has none, where it goes on with
		 * nonsense.
		 */
		kcode_alu_imm(g->c, BPF_AND, R2, -(int32_t)(aligned ? size : 1));
		kcode_jump_imm(g->c, BPF_JGT, R2, (int32_t)(g->size - size - v->k), beyond);
		kcode_mov(g->c, R1, R10);
		kcode_alu(g->c, BPF_ADD, R1, R2);
		load_copy(g, size, to, R1, off, aligned, raw);
		kcode_jump(g->c, done);
	}
	kcode_place(g->c, beyond);
	if (v->k > INT32_MAX) {
		mov32_imm(g, R1, v->k);
		kcode_alu(g->c, BPF_ADD, R2, R1);
	} else if (v->k) {
		kcode_alu_imm(g->c, BPF_ADD, R2, (int32_t)v->k);
	}
	fetch(g, size, to, raw);
	kcode_place(g->c, done);
}

static void load(struct gen *g, pf_val val, unsigned to, bool raw)
{
	const struct pf_value *v = value_of(g, val);
	unsigned size = pf_load_size(v->op);

	if (v->a) {
		load_indexed(g, v, size, to, raw);
	} else if (v->k + size <= g->size) {
		int off = g->copy + (int)v->k;

		load_copy(g, size, to, R10, off, !((unsigned)off & (size - 1)), raw);
	} else {
		mov32_imm(g, R2, v->k);
		fetch(g, size, to, raw);
	}
}

/* A constant in the order in which a raw load has its bytes. */
static uint32_t turned(const struct gen *g, pf_val v, uint32_t k)
{
	unsigned size = pf_load_size(value_of(g, v)->op);

	if (big_endian() || size == 1)
		return k;
	return size == 4 ? __builtin_bswap32(k) : __builtin_bswap16((uint16_t)k);
}

/* --- values ---------------------------------------------------------------------------------- */

static unsigned alu_code(enum pf_op op)
{
	static const uint8_t codes[PF_OPS] = {
		[PF_OP_ADD] = BPF_ADD, [PF_OP_SUB] = BPF_SUB, [PF_OP_MUL] = BPF_MUL,
		[PF_OP_DIV] = BPF_DIV, [PF_OP_MOD] = BPF_MOD, [PF_OP_AND] = BPF_AND,
		[PF_OP_OR] = BPF_OR,   [PF_OP_XOR] = BPF_XOR, [PF_OP_SHL] = BPF_LSH,
		[PF_OP_SHR] = BPF_RSH,
	};

	return codes[op];
}

/* to = a op b; R0 if `to` is where b lies. Dividing by 0 gives what the form says; shifts by more than 31 do not. */
static unsigned binary(struct gen *g, const struct pf_value *v, unsigned to)
{
	unsigned right, done;

	if (v->op == PF_OP_EQ || v->op == PF_OP_LT) {
		done = kcode_label(g->c);
		mov32(g, R2, get(g, v->a, R2));
		mov32(g, R3, get(g, v->b, R3));
		mov32_imm(g, R0, 1);
		kcode_jump32_reg(g->c, v->op == PF_OP_EQ ? BPF_JEQ : BPF_JLT, R2, R3, done);
		mov32_imm(g, R0, 0);
		kcode_place(g->c, done);
		return R0;
	}
	if (is_const(g, v->b)) {
		/* Folding has left no shift that is too far and no division by 0. */
		mov32(g, to, get(g, v->a, to));
		kcode_alu32_imm(g->c, alu_code(v->op), to, value_of(g, v->b)->k);
		return to;
	}
	right = get(g, v->b, R2);
	to = to == right ? R0 : to;
	mov32(g, to, get(g, v->a, to));
	kcode_alu32(g->c, alu_code(v->op), to, right);
	if ((v->op == PF_OP_SHL || v->op == PF_OP_SHR) && value_of(g, v->b)->max > 31) {
		done = kcode_label(g->c);
		kcode_jump32_imm(g->c, BPF_JLE, right, 31, done);
		mov32_imm(g, to, 0);
		kcode_place(g->c, done);
	}
	return to;
}

static void field(struct gen *g, uint32_t k)
{
	bool turn;
	int off = g->spec->dynptr ? -1 : ebpf_field(k, &turn);

	if (k == PF_AUX_CPU) {
		kcode_call(g->c, BPF_FUNC_get_smp_processor_id);
	} else if (k == PF_AUX_RANDOM) {
		kcode_load(g->c, BPF_W, R0, R10, g->random);
	} else if (off < 0) {
		g->err = -ENOTSUP;
	} else {
		kcode_load(g->c, BPF_W, R0, R6, off);
		if (turn)
			kcode_be(g->c, R0, 16);
	}
}

/* Goes to `no` if base + end is more than the length. Sums have 64 bits. */
static void check_end(struct gen *g, pf_val base, uint32_t end, unsigned no)
{
	load_len(g, R0, g->spec->caplen);
	if (!base) {
		kcode_jump32_imm(g->c, BPF_JLT, R0, end, no);
		return;
	}
	mov32(g, R2, get(g, base, R2));
	if (end > INT32_MAX) {
		mov32_imm(g, R3, end);
		kcode_alu(g->c, BPF_ADD, R2, R3);
	} else {
		kcode_alu_imm(g->c, BPF_ADD, R2, (int32_t)end);
	}
	kcode_jump_reg(g->c, BPF_JGT, R2, R0, no);
}

/* Goes to `none` if the bit of the pair is not set. The verifier knows how large what is left of a shift can be. */
static void look_at_bit(struct gen *g, const struct pf_value *v, const struct pf_ebpf_table *t,
			unsigned none)
{
	mov32(g, R1, get(g, v->b, R1));
	kcode_alu32_imm(g->c, BPF_MUL, R1, t->m_b);
	if (!pf_is(&g->l->u, v->a, 0)) {
		mov32(g, R2, get(g, v->a, R2));
		kcode_alu32_imm(g->c, BPF_MUL, R2, t->m_a);
		kcode_alu32(g->c, BPF_XOR, R1, R2);
	}
	kcode_alu32_imm(g->c, BPF_RSH, R1, 32 - t->log);
	kcode_alu32(g->c, BPF_MOV, R3, R1);
	kcode_alu32_imm(g->c, BPF_RSH, R3, 3);
	kcode_map_value(g->c, R2, t->bits);
	kcode_alu(g->c, BPF_ADD, R2, R3);
	kcode_load(g->c, BPF_B, R4, R2, 0);
	kcode_alu32_imm(g->c, BPF_AND, R1, 7);
	kcode_alu32(g->c, BPF_RSH, R4, R1);
	kcode_alu32_imm(g->c, BPF_AND, R4, 1);
	kcode_mov_imm(g->c, R0, 0);
	kcode_jump_imm(g->c, BPF_JEQ, R4, 0, none);
}

/* Asks the map. What it has may be taken out at any time, but not while this runs. */
static void find(struct gen *g, const struct pf_value *v)
{
	unsigned none = kcode_label(g->c);
	struct pf_ebpf_table t = { .map = -1 };

	if (g->spec->table)
		t = g->spec->table(g->spec->arg, g->l->u.table[v->k]);
	if (t.map < 0) {
		g->err = -ENOTSUP;
		return;
	}
	if (t.bits >= 0)
		look_at_bit(g, v, &t, none);
	kcode_store(g->c, BPF_W, R10, g->fetch, get(g, v->a, R0));
	kcode_store(g->c, BPF_W, R10, g->fetch + 4, get(g, v->b, R0));
	kcode_map(g->c, R1, t.map);
	kcode_mov(g->c, R2, R10);
	kcode_alu_imm(g->c, BPF_ADD, R2, g->fetch);
	kcode_call(g->c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(g->c, BPF_JEQ, R0, 0, none);
	kcode_load(g->c, BPF_W, R0, R0, 0);
	kcode_place(g->c, none);
}

/* --- memories -------------------------------------------------------------------------------- */

/*
 * R1 + *ret_off is the word; with a base, who is outside goes to the label. The verifier wants to see that comparison,
 * whatever is known of the base.
 */
static void word_at(struct gen *g, const struct pf_value *v, unsigned outside, int *ret_off)
{
	const struct pf_unit *u = &g->l->u;
	pf_val base = pf_place_base(v);
	uint32_t at = g->spec->words_at + (pf_memory_at(u, pf_place_memory(v)) + pf_place_at(v)) * 4;

	kcode_load(g->c, BPF_DW, R1, R10, g->spec->words);
	if (base) {
		mov32(g, R2, get(g, base, R2));
		kcode_jump_imm(g->c, BPF_JGE, R2, (int32_t)pf_place_limit(u, v), outside);
		kcode_alu_imm(g->c, BPF_LSH, R2, 2);
		kcode_alu(g->c, BPF_ADD, R1, R2);
	}
	*ret_off = (int)at;
	if (at <= INT16_MAX)
		return;
	kcode_alu_imm(g->c, BPF_ADD, R1, (int32_t)at);
	*ret_off = 0;
}

/* Is there anything to do? Places that are outside whatever the base is are not. */
static bool reaches(const struct gen *g, const struct pf_value *v)
{
	return pf_place_base(v) ? pf_place_limit(&g->l->u, v) > 0 : pf_place_fits(&g->l->u, v);
}

/* Into R0, or 0. */
static void get_word(struct gen *g, const struct pf_value *v)
{
	unsigned outside = kcode_label(g->c);
	int off;

	if (v->a || !reaches(g, v))
		mov32_imm(g, R0, 0);
	if (reaches(g, v)) {
		word_at(g, v, outside, &off);
		kcode_load(g->c, BPF_W, R0, R1, off);
	}
	kcode_place(g->c, outside);
}

static void set_word(struct gen *g, const struct pf_value *v)
{
	unsigned outside = kcode_label(g->c);
	int off;

	if (!reaches(g, v))
		return;
	word_at(g, v, outside, &off);
	kcode_store(g->c, BPF_W, R1, off, get(g, v->a, R3));
	kcode_place(g->c, outside);
}

static void make_value(struct gen *g, pf_val val)
{
	const struct pf_value *v = value_of(g, val);
	uint16_t place = g->l->place[val];
	unsigned no, to = place < NREG ? R7 + place : R0, made = R0;

	if (g->c->nlabel > LABELS_MAX) {
		g->err = -E2BIG;
		return;
	}
	if (v->op == PF_OP_SET) {
		set_word(g, v);
		return;
	}
	switch (v->op) {
	case PF_OP_GET:
		get_word(g, v);
		break;
	case PF_OP_LEN:
		load_len(g, R0, g->spec->len);
		break;
	case PF_OP_AUX:
		field(g, v->k);
		break;
	case PF_OP_FITS:
		no = kcode_label(g->c);
		mov32_imm(g, R4, 0);
		check_end(g, v->a, v->k, no);
		mov32_imm(g, R4, 1);
		kcode_place(g->c, no);
		mov32(g, R0, R4);
		break;
	case PF_OP_LOAD8:
	case PF_OP_LOAD16:
	case PF_OP_LOAD32:
		load(g, val, R0, g->l->flags[val] & PF_LOWER_RAW);
		break;
	case PF_OP_FIND:
		find(g, v);
		break;
	default:
		made = binary(g, v, to);
		break;
	}
	put(g, place, made);
}

/* --- branches -------------------------------------------------------------------------------- */

/* An operand of a comparison; *ret_turned: its bytes are in memory order. */
static unsigned operand(struct gen *g, pf_val v, bool ordered, unsigned temp, bool *ret_turned)
{
	bool folded = g->l->flags[v] & PF_LOWER_FOLDED;

	*ret_turned = !ordered && (folded || (g->l->flags[v] & PF_LOWER_RAW));
	if (!folded)
		return get(g, v, temp);
	load(g, v, R0, *ret_turned);
	return R0;
}

static unsigned opposite(unsigned op)
{
	switch (op) {
	case BPF_JEQ:
		return BPF_JNE;
	case BPF_JNE:
		return BPF_JEQ;
	case BPF_JLT:
		return BPF_JGE;
	default:
		return BPF_JLE; /* of JGT */
	}
}

static unsigned jump_code(const struct gen *g, const struct pf_test *t)
{
	if (t->op == PF_OP_LT)
		return is_const(g, t->left) ? BPF_JGT : BPF_JLT;
	return t->op == PF_OP_EQ ? BPF_JEQ : t->op == PF_OP_AND ? BPF_JSET : BPF_JNE;
}

/* Jumps if the test says yes, or with the opposite code, if it says no. */
static void compare(struct gen *g, const struct pf_test *t, unsigned op, unsigned to)
{
	bool ordered = t->op == PF_OP_LT, turn;
	unsigned left, right;
	uint32_t k = 0;

	/* k < x */
	if (ordered && is_const(g, t->left)) {
		left = operand(g, t->right, true, R0, &turn);
		kcode_jump32_imm(g->c, op, left, value_of(g, t->left)->k, to);
		return;
	}
	left = operand(g, t->left, ordered, R0, &turn);
	if (t->right && !is_const(g, t->right)) {
		right = get(g, t->right, R2);
		kcode_jump32_reg(g->c, op, left, right, to);
		return;
	}
	if (t->right)
		k = turn ? turned(g, t->left, value_of(g, t->right)->k) : value_of(g, t->right)->k;
	if (t->masked) {
		mov32(g, R0, left);
		kcode_alu32_imm(g->c, BPF_AND, R0, turn ? turned(g, t->left, t->mask) : t->mask);
		left = R0;
	}
	kcode_jump32_imm(g->c, op, left, k, to);
}

/* Who rejects goes to the caller's label at once. */
static unsigned label_of(struct gen *g, pf_blk b)
{
	if (!pf_is_reject(&g->l->u.blk[b]))
		return g->label[g->l->flow.pos[b]];
	g->spec->rejects = true;
	return g->spec->reject;
}

/* The block that is written behind the one at this place. */
static pf_blk follower(const struct gen *g, uint32_t at)
{
	const struct pf_flow *flow = &g->l->flow;

	do
		at++;
	while (at < flow->n && pf_is_reject(&g->l->u.blk[flow->order[at]]));
	return at < flow->n ? flow->order[at] : 0;
}

static void go(struct gen *g, uint32_t at, pf_blk to)
{
	if (to != follower(g, at))
		kcode_jump(g->c, label_of(g, to));
}

static void branch(struct gen *g, uint32_t at, const struct pf_block *b)
{
	const struct pf_value *cond = value_of(g, b->cond);
	struct pf_test t = pf_lower_test(g->l, b->cond);
	unsigned op = jump_code(g, &t);

	if (t.op == PF_OP_FITS) {
		check_end(g, cond->a, cond->k, label_of(g, b->edge[1].to));
		go(g, at, b->edge[0].to);
	} else if (b->edge[0].to == follower(g, at) && op != BPF_JSET) {
		compare(g, &t, opposite(op), label_of(g, b->edge[1].to));
	} else {
		compare(g, &t, op, label_of(g, b->edge[0].to));
		go(g, at, b->edge[1].to);
	}
}

/*
 * The same number, of which the verifier knows nothing: it would follow a loop round by round from a constant, and
 * finds that one round is like the other from a number.
 */
static void veil(struct gen *g, unsigned reg)
{
	load_len(g, R3, g->spec->caplen);
	load_len(g, R4, g->spec->caplen);
	kcode_alu32(g->c, BPF_SUB, R3, R4);
	kcode_alu32(g->c, BPF_ADD, reg, R3);
}

static int jump(struct gen *g, uint32_t at, const struct pf_edge *edge)
{
	PFS_FREE struct pf_move *moves = NULL;
	const struct pf_flow *flow = &g->l->flow;
	bool begins = g->l->u.blk[edge->to].loop && flow->pos[edge->to] > at;
	int n = pf_lower_moves(g->l, edge, &moves);

	for (int i = 0; i < n; i++) {
		const struct pf_move *m = &moves[i];
		unsigned from = R2;

		if (m->from == PF_NO_PLACE) {
			from = R0;
			mov32_imm(g, R0, m->k);
			if (begins)
				veil(g, R0);
		} else if (m->from != PF_MOVE_TEMP && m->from < NREG) {
			from = R7 + m->from;
		} else if (m->from != PF_MOVE_TEMP) {
			from = R0;
			kcode_load(g->c, BPF_DW, R0, R10, slot(g, m->from));
		}
		if (m->to == PF_MOVE_TEMP)
			mov32(g, R2, from);
		else
			put(g, m->to, from);
	}
	go(g, at, edge->to);
	return n < 0 ? n : 0;
}

/* Filter `id` accepts, if v is not 0. */
static void take(struct gen *g, uint32_t id, pf_val v)
{
	int word = g->spec->set + (int)(id / 32) * 4;
	unsigned none = kcode_label(g->c);

	if (g->spec->values && id < g->spec->undecided) {
		kcode_store(g->c, BPF_W, R10, g->spec->set + 4 * (int)id, get(g, v, R0));
		return;
	}
	if (pf_is(&g->l->u, v, 0))
		return;
	if (!is_const(g, v))
		kcode_jump32_imm(g->c, BPF_JEQ, get(g, v, R0), 0, none);
	if (id >= g->spec->undecided && g->spec->undecided_at) {
		kcode_store_imm(g->c, BPF_W, R10, g->spec->undecided_at, 0);
	} else if (id >= g->spec->undecided) {
		kcode_jump(g->c, g->spec->unsure);
		g->spec->unsures = true;
	} else {
		kcode_load(g->c, BPF_W, R1, R10, word);
		kcode_alu32_imm(g->c, BPF_ADD, R1, UINT32_C(1) << id % 32);
		kcode_store(g->c, BPF_W, R10, word, R1);
	}
	kcode_place(g->c, none);
}

static void stop_many(struct gen *g, const struct pf_block *b)
{
	/* Behind that nothing is written. */
	for (uint32_t p = 0; p < b->npin && !g->spec->undecided_at; p++)
		if (value_of(g, b->pin[p])->k == g->spec->undecided &&
		    is_const(g, value_of(g, b->pin[p])->a))
			return;
	kcode_jump(g->c, g->spec->accept);
	g->spec->accepts = true;
}

static void stop(struct gen *g, const struct pf_block *b)
{
	pf_val v = pf_lower_result(g->l, b);

	if (!v || pf_is(&g->l->u, v, 0)) {
		reject(g);
		return;
	}
	mov32(g, R0, get(g, v, R0));
	if (!is_const(g, v))
		reject_if(g, BPF_JEQ);
	kcode_jump(g->c, g->spec->accept);
	g->spec->accepts = true;
}

static int write_block(struct gen *g, uint32_t at)
{
	const struct pf_block *b = &g->l->u.blk[g->l->flow.order[at]];

	/* The entry may be such a block, and there is nothing else then. */
	if (pf_is_reject(b) && at)
		return 0;
	kcode_place(g->c, g->label[at]);
	/* It has fuel of its own, which is less than the kernel's patience. */
	if (b->loop)
		fail_if(g, KCODE_MAY_GOTO);
	for (uint32_t s = g->l->first[at]; s < g->l->first[at + 1] && !g->err; s++)
		make_value(g, g->l->step[s]);
	for (uint32_t p = 0; p < b->npin && g->spec->many; p++)
		take(g, value_of(g, b->pin[p])->k, value_of(g, b->pin[p])->a);
	if (g->c->nlabel > LABELS_MAX)
		g->err = -E2BIG;
	if (g->err)
		return g->err;
	if (b->end == PF_END_BRANCH)
		branch(g, at, b);
	else if (b->end == PF_END_JUMP)
		return jump(g, at, &b->edge[0]);
	else if (g->spec->many)
		stop_many(g, b);
	else
		stop(g, b);
	return g->err;
}

/* --- the frame ------------------------------------------------------------------------------- */

static int plan_frame(struct gen *g)
{
	const struct pf_unit *u = &g->l->u;
	uint32_t bytes = ebpf_wanted(u), shift = ebpf_shift(u);
	int at = g->spec->stack;
	unsigned nslot = g->l->nplace > NREG ? g->l->nplace - NREG : 0;

	/* Eight bytes each: of those the verifier remembers what it knows. */
	if (nslot > STACK_MAX / 8)
		return -E2BIG;
	g->slots = at - 8;
	at -= (int)nslot * 8;
	if (ebpf_asks_for(u, PF_AUX_RANDOM)) {
		at -= 8;
		g->random = at;
	}
	at -= 8;
	g->fetch = at;
	g->size = bytes ? (uint32_t)pfs_align8(pfs_max(bytes, COPY_MIN)) : 0;
	/* Whole words from an aligned address; what is in front of the packet's first byte is not used. */
	at -= (int)pfs_align8(g->size + shift);
	g->copy = at + (int)shift;
	return at < -STACK_MAX ? -E2BIG : 0;
}

/*
 * Copies the beginning. A packet that is shorter is copied as far as it goes, onto zeros, since the
 * verifier wants to know what is there.
 */
static void copy_packet(struct gen *g)
{
	unsigned whole = kcode_label(g->c), some = kcode_label(g->c), empty = kcode_label(g->c);
	int begin = g->copy & ~7;

	if (!g->size)
		return;
	load_len(g, R4, g->spec->caplen);
	kcode_jump_imm(g->c, BPF_JGE, R4, (int32_t)g->size, whole);
	for (int at = begin; at < g->copy + (int)g->size; at += 8)
		kcode_store_imm(g->c, BPF_DW, R10, at, 0);
	kcode_jump_imm(g->c, BPF_JEQ, R4, 0, empty);
	kcode_jump(g->c, some);
	kcode_place(g->c, whole);
	kcode_mov_imm(g->c, R4, (int32_t)g->size);
	kcode_place(g->c, some);
	kcode_mov_imm(g->c, R2, 0);
	read_packet(g, g->copy);
	fail_if(g, BPF_JNE);
	kcode_place(g->c, empty);
}

static int check(const struct pf_lower *l, const struct pf_ebpf_spec *spec)
{
	if ((l->u.nresult != 1 && !spec->many) || (l->u.nmemory && !spec->words))
		return -ENOTSUP;
	return l->flow.n > LABELS_MAX ? -E2BIG : 0;
}

static int emit(struct gen *g)
{
	int r = check(g->l, g->spec);

	if (r == 0)
		r = plan_frame(g);
	if (r < 0)
		return r;
	g->label = pfs_zalloc(g->l->flow.n, sizeof(*g->label));
	if (!g->label)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->l->flow.n; i++)
		g->label[i] = kcode_label(g->c);
	copy_packet(g);
	if (ebpf_asks_for(&g->l->u, PF_AUX_RANDOM)) {
		kcode_call(g->c, BPF_FUNC_get_prandom_u32);
		kcode_store(g->c, BPF_W, R10, g->random, R0);
	}
	for (uint32_t i = 0; i < g->l->flow.n && r == 0; i++)
		r = write_block(g, i);
	return r < 0 ? r : g->c->err;
}

int pf_ebpf_emit(const struct pf_unit *u, struct pf_ebpf_spec *spec, struct kcode *c)
{
	PF_LOWER struct pf_lower l = { 0 };
	PFS_CLEANUP(gen_release) struct gen g = { .l = &l, .spec = spec, .c = c };
	struct pf_unit known;
	int r;

	pf_unit_init(&known);
	r = ebpf_know(&known, u);
	if (r == 0)
		r = pf_unit_compact(&known);
	if (r == 0)
		r = pf_search(&known);
	if (r == 0)
		r = pf_lower(&known, NREG, &l);
	pf_unit_release(&known);
	return r < 0 ? r : emit(&g);
}

/* The address of the memories, at the top of the stack; who has none is rejected. */
static void find_words(struct pf_ebpf_spec *spec, int map, struct kcode *c)
{
	kcode_store_imm(c, BPF_W, R10, -8, 0);
	kcode_map(c, R1, map);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, -8);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, spec->reject);
	spec->rejects = true;
	kcode_store(c, BPF_DW, R10, -8, R0);
	spec->words = -8;
	spec->stack = -8;
}

int pf_ebpf_program_with(const struct pf_unit *u, int map,
			 struct pf_ebpf_table (*table)(void *arg, const struct pf_table *table),
			 void *arg, struct kcode *c)
{
	struct pf_ebpf_spec spec = {
		.accept = kcode_label(c), .reject = kcode_label(c), .table = table, .arg = arg
	};
	int r;

	kcode_mov(c, R6, R1);
	if (u->nmemory && map >= 0)
		find_words(&spec, map, c);
	r = pf_ebpf_emit(u, &spec, c);
	if (r < 0)
		return r;
	kcode_place(c, spec.reject);
	if (spec.rejects)
		kcode_alu32_imm(c, BPF_MOV, R0, 0);
	kcode_place(c, spec.accept);
	kcode_exit(c);
	return kcode_finish(c);
}

int pf_ebpf_program(const struct pf_unit *u, int map, struct kcode *c)
{
	return pf_ebpf_program_with(u, map, NULL, NULL, c);
}
