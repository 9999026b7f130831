#include "pf/front/cbpf.h"

#include "pf/classic.h"
#include "pf/error.h"
#include "pf/front/cbpf_i.h"
#include "pf/front/front.h"
#include "pf/front/mpf.h"
#include "pf/prove/smt.h"

/* Registers as bits of a set and as entries of a row: the scratch words, then these. */
#define REG_A CB_WORDS
#define REG_X (CB_WORDS + 1)
#define REG_LOOPS (CB_WORDS + 2) /* jumps back that are left */
#define REGS (CB_WORDS + 3)
#define BIT(reg) (1u << (reg))

static const struct {
	uint32_t offset;
	enum pf_aux_field field;
} fields[] = {
	{ CB_AD_PROTOCOL, PF_AUX_PROTOCOL },   { CB_AD_PKTTYPE, PF_AUX_PKTTYPE },
	{ CB_AD_IFINDEX, PF_AUX_IFINDEX },     { CB_AD_MARK, PF_AUX_MARK },
	{ CB_AD_QUEUE, PF_AUX_QUEUE },	       { CB_AD_HATYPE, PF_AUX_HATYPE },
	{ CB_AD_RXHASH, PF_AUX_RXHASH },       { CB_AD_CPU, PF_AUX_CPU },
	{ CB_AD_VLAN_TCI, PF_AUX_VLAN_TCI },   { CB_AD_VLAN_PRESENT, PF_AUX_VLAN_PRESENT },
	{ CB_AD_VLAN_TPID, PF_AUX_VLAN_TPID }, { CB_AD_PAYLOAD, PF_AUX_PAYLOAD },
	{ CB_AD_RANDOM, PF_AUX_RANDOM },
};
static_assert(ARRAY_SIZE(fields) == PF_AUX_FIELDS, "every field has an offset");

int pf_aux_of_offset(uint32_t k)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (k == CB_AD_OFF + fields[i].offset)
			return (int)fields[i].field;
	return -1;
}

uint32_t pf_offset_of_aux(unsigned field)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].field == field)
			return CB_AD_OFF + fields[i].offset;
	assert(0 && "a field");
	return 0;
}

/* --- the graph ------------------------------------------------------------------------------- */

/* An edge into an instruction, and what the registers held on it. */
struct incoming {
	struct incoming *next;
	pf_blk from;
	unsigned edge;
	pf_val reg[REGS];
};

struct making {
	struct pf_unit *u;
	const struct pf_insn *insn;
	size_t n;
	uint32_t *live; /* owned; by instruction: registers that are read before they are written */
	uint8_t *target;	/* owned; by instruction: TARGET_ bits */
	struct incoming **into; /* owned array; by instruction */
	pf_blk *head;		/* owned; by instruction: the block that begins there, of loops */
	pf_blk reject;
	const struct cbpf_more *more; /* NULL: none */
	bool budget;		      /* several loops share what more->loops says */
	bool lost;		      /* something jumps back to where nothing leads from above */
	unsigned flags;
	bool matches;	/* MPF: only a session accepts */
	uint8_t *state; /* owned; MPF: by instruction, MPF_ bits */
	/* now: */
	pf_blk at; /* 0: nothing leads here */
	pf_val reg[REGS];
};

#define TARGET_JUMP 1u
#define TARGET_LOOP 2u

static void making_release(struct making *m)
{
	free(m->live);
	free(m->target);
	free(m->into);
	free(m->head);
	free(m->state);
}

/* Where an instruction goes on: up to two places. Returns how many. */
static unsigned successors(const struct pf_insn *insn, size_t at, size_t ret_next[2])
{
	unsigned class = CB_CLASS(insn->code);

	if (class == CB_RET || insn->code == (CB_MISC | CB_KEY))
		return 0;
	if (class != CB_JMP) {
		ret_next[0] = at + 1;
		return 1;
	}
	if (CB_OP(insn->code) == CB_JA) {
		ret_next[0] = at + 1 + (size_t)(int64_t)(int32_t)insn->k;
		return 1;
	}
	ret_next[0] = at + 1 + insn->jt;
	ret_next[1] = at + 1 + insn->jf;
	return insn->jt == insn->jf ? 1 : 2;
}

static void mark_targets(struct making *m)
{
	unsigned loops = 0;

	for (size_t i = 0; i < m->n; i++) {
		size_t next[2] = { 0 };
		unsigned count = successors(&m->insn[i], i, next);

		for (unsigned e = 0; e < count; e++) {
			if (CB_CLASS(m->insn[i].code) == CB_JMP)
				m->target[next[e]] |= TARGET_JUMP;
			if (next[e] > i)
				continue;
			loops += !(m->target[next[e]] & TARGET_LOOP);
			m->target[next[e]] |= TARGET_LOOP;
		}
	}
	/* One is bounded by its fuel: nothing comes to its beginning twice but by the jump back. */
	m->budget = loops > 1 && m->more && m->more->loops;
}

/* Backwards, again while something on a way back has changed. */
static void find_live(struct making *m)
{
	bool again;

	do {
		again = false;
		for (size_t i = m->n; i-- > 0;) {
			struct cbpf_effect effect = cbpf_effect(&m->insn[i]);
			uint32_t live = 0;
			size_t next[2] = { 0 };
			unsigned count = successors(&m->insn[i], i, next);

			if (m->budget && count == 1 && next[0] <= i)
				effect.reads |= BIT(REG_LOOPS);

			for (unsigned e = 0; e < count; e++)
				live |= m->live[next[e]];
			live = (live & ~effect.writes) | effect.reads;
			if (live != m->live[i] && (m->target[i] & TARGET_LOOP))
				again = true;
			m->live[i] = live;
		}
	} while (again);
}

/* An edge of the current block, which has its end, to an instruction. */
static void lead_to(struct making *m, unsigned edge, size_t to)
{
	struct incoming *in = pf_unit_alloc(m->u, 1, sizeof(*in));

	if (!in)
		return;
	in->next = m->into[to];
	in->from = m->at;
	in->edge = edge;
	memcpy(in->reg, m->reg, sizeof(in->reg));
	m->into[to] = in;
}

/* The current block goes on on the yes side of cond, rejects on the other. */
static void need(struct making *m, pf_val cond)
{
	pf_blk next = pf_block(m->u);

	pf_block_branch(m->u, m->at, cond, next, m->reject);
	m->at = next;
}

static pf_val load(struct making *m, unsigned size, pf_val base, uint32_t k)
{
	need(m, pf_fits(m->u, base, k, size));
	return k > UINT32_MAX - size ? pf_const(m->u, 0) : pf_load(m->u, size, base, k);
}

static unsigned load_size(uint16_t code)
{
	return CB_SIZE(code) == CB_W ? 4 : CB_SIZE(code) == CB_H ? 2 : 1;
}

/* --- joining ways ---------------------------------------------------------------------------- */

/* The value of a register at the head of block b: that of all edges, or a parameter. */
static pf_val join(struct making *m, pf_blk b, const struct incoming *into, unsigned reg, bool loop)
{
	const struct incoming *in;

	for (in = into->next; in && !loop && in->reg[reg] == into->reg[reg]; in = in->next)
		;
	return in || loop ? pf_block_param(m->u, b) : into->reg[reg];
}

static void pass_args(struct making *m, const struct incoming *into, unsigned reg)
{
	for (const struct incoming *in = into; in; in = in->next)
		pf_edge_arg(m->u, &m->u->blk[in->from].edge[in->edge], in->reg[reg]);
}

/* Parameters of a loop's head: the fuel, then every register that is read in it. */
static void begin_loop(struct making *m, size_t i, const struct incoming *into)
{
	pf_blk head = m->at, body = pf_block(m->u);
	pf_val fuel = pf_block_param(m->u, head);
	/* What is left is looked at before each round, the first, too. */
	uint32_t full = m->more && m->more->loops ? m->more->loops + 1 : PF_FUEL_MAX;

	if (m->u->err)
		return;
	m->u->blk[head].loop = true;
	m->head[i] = head;
	for (const struct incoming *in = into; in; in = in->next)
		pf_edge_arg(m->u, &m->u->blk[in->from].edge[in->edge], pf_const(m->u, full));
	pf_block_branch(m->u, head, fuel, body, m->reject);
	m->at = body;
}

static void begin_block(struct making *m, size_t i)
{
	const struct incoming *into = m->into[i];
	bool loop = m->target[i] & TARGET_LOOP;

	m->at = into ? pf_block(m->u) : 0;
	if (!m->at)
		return;
	for (const struct incoming *in = into; in; in = in->next)
		m->u->blk[in->from].edge[in->edge].to = m->at;
	if (loop)
		begin_loop(m, i, into);
	for (unsigned reg = 0; reg < REGS && !m->u->err; reg++) {
		pf_blk head = loop ? m->head[i] : m->at;
		uint32_t before;

		/* Its value does not matter; none could be named for a way that has not come yet. */
		if (!(m->live[i] & BIT(reg))) {
			m->reg[reg] = loop ? pf_const(m->u, 0) : into->reg[reg];
			continue;
		}
		before = m->u->blk[head].nparam;
		m->reg[reg] = join(m, head, into, reg, loop);
		if (m->u->blk[head].nparam > before)
			pass_args(m, into, reg);
	}
}

/* Back to a loop's head: its parameters stand in the order in which begin_block() made them. */
static void jump_back(struct making *m, size_t to)
{
	pf_blk head = m->head[to];
	struct pf_edge *edge;
	pf_val fuel;

	if (!head)
		m->lost = true;
	if (m->u->err || !head)
		return;
	if (m->budget) {
		need(m, m->reg[REG_LOOPS]);
		m->reg[REG_LOOPS] =
			pf_binary(m->u, PF_OP_ADD, m->reg[REG_LOOPS], pf_const(m->u, UINT32_MAX));
	}
	if (m->u->err)
		return;
	pf_block_jump(m->u, m->at, head);
	edge = &m->u->blk[m->at].edge[0];
	fuel = m->u->blk[head].param[0];
	pf_edge_arg(m->u, edge, pf_binary(m->u, PF_OP_ADD, fuel, pf_const(m->u, UINT32_MAX)));
	for (unsigned reg = 0; reg < REGS; reg++)
		if (m->live[to] & BIT(reg))
			pf_edge_arg(m->u, edge, m->reg[reg]);
}

/* --- instructions ---------------------------------------------------------------------------- */

static void make_load(struct making *m, const struct pf_insn *insn)
{
	unsigned size = load_size(insn->code), reg = CB_CLASS(insn->code) == CB_LD ? REG_A : REG_X;
	pf_val v = 0;
	int field;

	switch (CB_MODE(insn->code)) {
	case CB_IMM:
		v = pf_const(m->u, insn->k);
		break;
	case CB_ABS:
		field = pf_aux_of_offset(insn->k);
		if (insn->k == CB_AD_OFF + CB_AD_XOR_X) {
			v = pf_binary(m->u, PF_OP_XOR, m->reg[REG_A], m->reg[REG_X]);
		} else if (field >= 0) {
			need(m, pf_value(m->u, PF_OP_KNOWN, 0, 0, (uint32_t)field));
			v = pf_value(m->u, PF_OP_AUX, 0, 0, (uint32_t)field);
		} else {
			v = load(m, size, 0, insn->k);
		}
		break;
	case CB_IND:
		v = load(m, size, m->reg[REG_X], insn->k);
		break;
	case CB_MEM:
		v = m->reg[insn->k];
		break;
	case CB_LEN:
		v = pf_value(m->u, PF_OP_LEN, 0, 0, 0);
		break;
	default: /* MSH: the length of an IP header */
		v = load(m, 1, 0, insn->k);
		v = pf_binary(m->u, PF_OP_AND, v, pf_const(m->u, 15));
		v = pf_binary(m->u, PF_OP_SHL, v, pf_const(m->u, 2));
		break;
	}
	m->reg[reg] = v;
}

static void make_alu(struct making *m, const struct pf_insn *insn)
{
	static const uint8_t ops[16] = {
		[CB_ADD >> 4] = PF_OP_ADD, [CB_SUB >> 4] = PF_OP_SUB, [CB_MUL >> 4] = PF_OP_MUL,
		[CB_DIV >> 4] = PF_OP_DIV, [CB_OR >> 4] = PF_OP_OR,   [CB_AND >> 4] = PF_OP_AND,
		[CB_LSH >> 4] = PF_OP_SHL, [CB_RSH >> 4] = PF_OP_SHR, [CB_MOD >> 4] = PF_OP_MOD,
		[CB_XOR >> 4] = PF_OP_XOR,
	};
	unsigned op = CB_OP(insn->code);
	pf_val b;

	if (op == CB_NEG) {
		m->reg[REG_A] = pf_binary(m->u, PF_OP_SUB, pf_const(m->u, 0), m->reg[REG_A]);
		return;
	}
	b = CB_SRC(insn->code) == CB_X ? m->reg[REG_X] : pf_const(m->u, insn->k);
	if ((op == CB_DIV || op == CB_MOD) && CB_SRC(insn->code) == CB_X)
		need(m, b);
	m->reg[REG_A] = pf_binary(m->u, ops[op >> 4], m->reg[REG_A], b);
}

/* --- MPF ------------------------------------------------------------------------------------- */

static bool dispatches(const struct making *m)
{
	return m->flags & (CBPF_MPF_HIT | CBPF_MPF_MISS);
}

static void say(struct making *m, uint32_t id, pf_val value)
{
	pf_block_result(m->u, m->at, id, value);
}

static void say_words(struct making *m, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		say(m, first + i, m->reg[i]);
}

/* Are the first n words the keys that stand behind instruction i? */
static pf_val keys_equal(struct making *m, size_t i, uint32_t n)
{
	pf_val differ = pf_const(m->u, 0);

	for (uint32_t k = 0; k < n; k++)
		differ = pf_binary(m->u, PF_OP_OR, differ,
				   pf_binary(m->u, PF_OP_XOR, m->reg[k],
					     pf_const(m->u, m->insn[i + 1 + k].k)));
	return pf_not(m->u, differ);
}

static void make_ckmatch(struct making *m, size_t i)
{
	const struct pf_insn *insn = &m->insn[i];

	if (dispatches(m)) {
		say(m, MPF_CHECKED, pf_const(m->u, 1));
		say_words(m, MPF_KEYS, insn->k);
		pf_block_jump(m->u, m->at, 0);
		lead_to(m, 0, i + 1 + (m->flags & CBPF_MPF_HIT ? insn->jt : insn->jf));
	} else {
		pf_block_branch(m->u, m->at, keys_equal(m, i, insn->k), 0, 0);
		lead_to(m, 0, i + 1 + insn->jt);
		lead_to(m, 1, i + 1 + insn->jf);
	}
	m->at = 0;
}

/* Accepts value bytes, in that way. */
static void accept(struct making *m, enum mpf_kind kind, pf_val value)
{
	if (dispatches(m))
		say(m, MPF_KIND, pf_const(m->u, kind));
	if (!pf_is(m->u, value, 0))
		say(m, MPF_ACCEPT, value);
}

static void make_match(struct making *m, size_t i)
{
	const struct pf_insn *insn = &m->insn[i];
	bool data = insn->code == (CB_RET | CB_MATCH_DATA);

	if (dispatches(m)) {
		say_words(m, data ? MPF_DATA : MPF_KEYS, insn->jt);
		if (data)
			say(m, MPF_DATA_WORDS, pf_const(m->u, insn->jt));
		accept(m, data ? MPF_BY_DATA : MPF_BY_KEYS, pf_const(m->u, insn->k));
	} else if (!data) {
		need(m, keys_equal(m, i, insn->jt));
		accept(m, MPF_BY_KEYS, pf_const(m->u, insn->k));
	}
	pf_block_stop(m->u, m->at);
	m->at = 0;
}

static void make_jump(struct making *m, size_t i)
{
	const struct pf_insn *insn = &m->insn[i];
	size_t next[2] = { 0 };
	unsigned count = successors(insn, i, next), op = CB_OP(insn->code);
	pf_val a = m->reg[REG_A], b, cond;
	bool swap = op == CB_JGE;

	if (count == 1) {
		if (next[0] <= i) {
			jump_back(m, next[0]);
		} else {
			pf_block_jump(m->u, m->at, 0);
			lead_to(m, 0, next[0]);
		}
		m->at = 0;
		return;
	}
	b = CB_SRC(insn->code) == CB_X ? m->reg[REG_X] : pf_const(m->u, insn->k);
	switch (op) {
	case CB_JEQ:
		cond = pf_binary(m->u, PF_OP_EQ, a, b);
		break;
	case CB_JGT:
		cond = pf_binary(m->u, PF_OP_LT, b, a);
		break;
	case CB_JGE:
		cond = pf_binary(m->u, PF_OP_LT, a, b);
		break;
	default:
		cond = pf_binary(m->u, PF_OP_AND, a, b);
		break;
	}
	pf_block_branch(m->u, m->at, cond, 0, 0);
	lead_to(m, swap, next[0]);
	lead_to(m, !swap, next[1]);
	m->at = 0;
}

static void make_return(struct making *m, size_t i)
{
	const struct pf_insn *insn = &m->insn[i];
	bool a = (insn->code & 0x18) == CB_A;

	if (!m->matches || (m->state[i] & MPF_MATCHED))
		accept(m, MPF_BY_CHECK, a ? m->reg[REG_A] : pf_const(m->u, insn->k));
	pf_block_stop(m->u, m->at);
	m->at = 0;
}

static void make_misc(struct making *m, const struct pf_insn *insn)
{
	switch (insn->code & 0xf8) {
	case CB_TAX:
		m->reg[REG_X] = m->reg[REG_A];
		break;
	case CB_TXA:
		m->reg[REG_A] = m->reg[REG_X];
		break;
	case CB_REG_DATA:
		if (!dispatches(m))
			break;
		say(m, MPF_REGISTER, pf_const(m->u, insn->k));
		say(m, MPF_REGISTER_WORDS, pf_const(m->u, insn->jt));
		say_words(m, MPF_REGISTERS, insn->jt);
		break;
	case CB_POSTPONE:
		if (dispatches(m))
			say(m, MPF_WAIT, pf_const(m->u, insn->k));
		break;
	default: /* a key is none that is run */
		break;
	}
}

/* P[k + 1] as the upper half: what the lower one carries. */
static void carry(struct making *m, pf_val base, uint32_t k, pf_val sum)
{
	pf_val high = pf_block_get(m->u, m->at, 0, base, k + 1);
	pf_val over = pf_binary(m->u, PF_OP_LT, sum, m->reg[REG_A]);

	pf_block_set(m->u, m->at, 0, base, k + 1, pf_binary(m->u, PF_OP_ADD, high, over));
}

/* What is outside of the memory rejects, as what is outside of the packet does. */
static void make_persistent(struct making *m, const struct pf_insn *insn)
{
	bool wide = CB_CLASS(insn->code) == CB_ST && (insn->code & 0x18) == CB_ADDM64;
	pf_val base = CB_MODE(insn->code) == CB_PERSISTX ? m->reg[REG_X] : 0, sum;

	if (base)
		need(m, pf_binary(m->u, PF_OP_LT, base,
				  pf_const(m->u, m->more->words - insn->k - wide)));
	switch (CB_CLASS(insn->code)) {
	case CB_LD:
		m->reg[REG_A] = pf_block_get(m->u, m->at, 0, base, insn->k);
		return;
	case CB_LDX:
		m->reg[REG_X] = pf_block_get(m->u, m->at, 0, base, insn->k);
		return;
	case CB_STX:
		pf_block_set(m->u, m->at, 0, base, insn->k, m->reg[REG_X]);
		return;
	default:
		break;
	}
	if (!(insn->code & 0x18)) {
		pf_block_set(m->u, m->at, 0, base, insn->k, m->reg[REG_A]);
		return;
	}
	sum = pf_binary(m->u, PF_OP_ADD, pf_block_get(m->u, m->at, 0, base, insn->k), m->reg[REG_A]);
	pf_block_set(m->u, m->at, 0, base, insn->k, sum);
	if (wide)
		carry(m, base, insn->k, sum);
}

static void make_insn(struct making *m, size_t i)
{
	const struct pf_insn *insn = &m->insn[i];

	if (cbpf_persists(insn)) {
		make_persistent(m, insn);
		return;
	}
	switch (CB_CLASS(insn->code)) {
	case CB_LD:
	case CB_LDX:
		make_load(m, insn);
		break;
	case CB_ST:
		m->reg[insn->k] = m->reg[REG_A];
		break;
	case CB_STX:
		m->reg[insn->k] = m->reg[REG_X];
		break;
	case CB_ALU:
		make_alu(m, insn);
		break;
	case CB_JMP:
		if (insn->code == (CB_JMP | CB_CKMATCH_IMM))
			make_ckmatch(m, i);
		else
			make_jump(m, i);
		break;
	case CB_RET:
		if (insn->code == (CB_RET | CB_MATCH_IMM) || insn->code == (CB_RET | CB_MATCH_DATA))
			make_match(m, i);
		else
			make_return(m, i);
		break;
	default:
		make_misc(m, insn);
		break;
	}
}

static void make_all(struct making *m)
{
	struct pf_unit *u = m->u;

	u->nresult = dispatches(m) ? MPF_RESULTS : 1;
	u->entry = pf_block(u);
	m->reject = pf_block(u);
	pf_block_stop(u, m->reject);
	m->at = u->entry;
	for (unsigned reg = 0; reg < REGS; reg++)
		m->reg[reg] = pf_const(u, reg == REG_LOOPS && m->more ? m->more->loops : 0);
	if (m->more && m->more->words)
		pf_memory(u, m->more->words);
	for (size_t i = 0; i < m->n && !u->err; i++) {
		if (m->target[i] || (i == 0 && m->at)) {
			if (m->at) {
				pf_block_jump(u, m->at, 0);
				lead_to(m, 0, i);
			}
			begin_block(m, i);
		}
		if (m->at)
			make_insn(m, i);
	}
}

int cbpf_make(struct pf_unit *u, const struct pf_insn *insns, size_t n, unsigned flags,
	      const struct cbpf_more *more, struct pf_error *error)
{
	PFS_CLEANUP(making_release)
	struct making m = { .u = u, .insn = insns, .n = n, .flags = flags, .more = more };
	int r = cbpf_check(insns, n, flags, more, error);

	if (r < 0)
		return r;
	m.live = pfs_zalloc(n, sizeof(*m.live));
	m.target = pfs_zalloc(n, 1);
	m.into = pfs_zalloc(n, sizeof(struct incoming *));
	m.head = pfs_zalloc(n, sizeof(*m.head));
	m.state = pfs_zalloc(n, 1);
	if (!m.live || !m.target || !m.into || !m.head || !m.state)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	if (flags & CBPF_MPF) {
		mpf_check(insns, n, m.state, NULL);
		m.matches = mpf_matches(insns, n);
	}
	mark_targets(&m);
	find_live(&m);
	make_all(&m);
	if (m.lost)
		return pf_fail(error, EINVAL, "a jump back to where nothing leads from above");
	if (u->err)
		return pf_fail(error, -u->err, "%s",
			       u->err == -E2BIG ? "the filter is too large"
						: "no memory for the filter");
	return 0;
}

int pf_front_cbpf(struct pf_unit *u, const struct pf_insn *insns, size_t n, unsigned flags,
		  struct pf_error *error)
{
	return cbpf_make(u, insns, n, flags, NULL, error);
}

static int said_smt(const void *program, size_t n, const char *name, struct pfs_buf *out)
{
	return pf_smt_insns(program, n, name, out);
}

struct pf_said pf_said_insns(struct pf_insn *insns, size_t n)
{
	return (struct pf_said){ insns, n, said_smt };
}
