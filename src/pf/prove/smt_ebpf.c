/*
 * eBPF as formulas, for the programs that back/ebpf.c makes of one filter: instruction by instruction, as the kernel's
 * documentation says what each does, on a machine of little endian. Registers are numbers of 64 bits or addresses (of
 * the stack, of the context, of the memories), of which the constant part is known when this is written. The stack is
 * known byte by byte; what the beginning of a packet was copied onto is a layer above it, so that bytes at places that
 * are computed can be asked for as those of the packet.
 *
 * Whatever the kernel's verifier would have to refuse for sure (a place outside of the stack, a register without a
 * value) has no such form: -EINVAL. A place that may be outside makes NAME.bad true for packets for which it is.
 */
#include "pf/prove/smt_ebpf_i.h"

#include <stdarg.h>
#include <stdio.h>

#define WIDE 0x18
#define MAY_GOTO 0xe0

static uint32_t PFS_PRINTF(2, 3) condition(struct smt_ebpf *w, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pfs_buf_printf(w->out, "(define-fun %s.c%u () Bool %s)\n", w->name, ++w->conds, text);
	return w->conds;
}

static unsigned size_of(uint8_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

static void lead_to(struct smt_ebpf *w, size_t at, size_t to, uint32_t cond)
{
	if (to >= w->n)
		smt_ebpf_fail(w, -EINVAL);
	else if (to > at)
		smt_ebpf_add_way(w, &w->into[to], cond);
	else if (w->round == PF_SMT_ROUNDS)
		pfs_buf_printf(&w->cut, " %s.c%u", w->name, cond);
	else
		smt_ebpf_add_way(w, &w->back[to], cond);
}

/* --- the context ----------------------------------------------------------------------------- */

/* A field beside the bytes as the context has it. */
static struct reg context_field(struct smt_ebpf *w, int off)
{
	static const struct {
		int off, field;
		bool turn; /* two bytes, as they came */
	} fields[] = {
		{ offsetof(struct __sk_buff, protocol), PF_AUX_PROTOCOL, true },
		{ offsetof(struct __sk_buff, pkt_type), PF_AUX_PKTTYPE, false },
		{ offsetof(struct __sk_buff, ifindex), PF_AUX_IFINDEX, false },
		{ offsetof(struct __sk_buff, mark), PF_AUX_MARK, false },
		{ offsetof(struct __sk_buff, queue_mapping), PF_AUX_QUEUE, false },
		{ offsetof(struct __sk_buff, hash), PF_AUX_RXHASH, false },
		{ offsetof(struct __sk_buff, vlan_tci), PF_AUX_VLAN_TCI, false },
		{ offsetof(struct __sk_buff, vlan_present), PF_AUX_VLAN_PRESENT, false },
		{ offsetof(struct __sk_buff, vlan_proto), PF_AUX_VLAN_TPID, true },
	};

	if (off == offsetof(struct __sk_buff, len))
		return smt_ebpf_number(smt_ebpf_term(w, "(concat #x00000000 len)"), UINT32_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].off != off)
			continue;
		if (fields[i].turn)
			return smt_ebpf_number(smt_ebpf_term(w,
							     "(concat #x000000000000 ((_ extract 7 0) aux%d) "
							     "((_ extract 15 8) aux%d))",
							     fields[i].field, fields[i].field),
					       UINT16_MAX);
		return smt_ebpf_number(smt_ebpf_term(w, "(concat #x00000000 aux%d)", fields[i].field),
				       UINT32_MAX);
	}
	smt_ebpf_fail(w, -ENOTSUP);
	return smt_ebpf_constant(w, 0);
}

/* --- the memories ---------------------------------------------------------------------------- */

/* The number of a word; where it is none, or outside, that is bad. */
static void word_index(struct smt_ebpf *w, const struct reg *to, int off, unsigned size, char text[160])
{
	int64_t sum = (int64_t)to->off + off;
	uint32_t at;

	if (size != 4 || sum < 0)
		smt_ebpf_fail(w, -EINVAL);
	if (to->term)
		at = smt_ebpf_term(w, "(bvadd %s.d%u #x%016llx)", w->name, to->term,
				   (unsigned long long)sum);
	else
		at = smt_ebpf_constant(w, (uint64_t)sum).term;
	pfs_buf_printf(&w->bad,
		       " (and %s.c%u (or (distinct ((_ extract 1 0) %s.d%u) #b00) (bvuge %s.d%u #x%016llx)))",
		       w->name, w->s.cond, w->name, at, w->name, at, w->words * 4ULL);
	snprintf(text, 160, "((_ extract 33 2) %s.d%u)", w->name, at);
}

static struct reg load_word(struct smt_ebpf *w, const struct reg *to, int off, unsigned size)
{
	char index[160];

	word_index(w, to, off, size, index);
	if (w->s.mem)
		return smt_ebpf_number(smt_ebpf_term(w, "(concat #x00000000 (select %s.d%u %s))",
						     w->name, w->s.mem, index),
				       UINT32_MAX);
	return smt_ebpf_number(smt_ebpf_term(w, "(concat #x00000000 (select mem %s))", index),
			       UINT32_MAX);
}

static void store_word(struct smt_ebpf *w, const struct reg *to, int off, unsigned size, struct reg from)
{
	char index[160];

	if (from.kind != NUMBER)
		smt_ebpf_fail(w, -EINVAL);
	word_index(w, to, off, size, index);
	pfs_buf_printf(w->out, "(define-fun %s.d%u () " MEMORY_SORT " (store ", w->name, w->terms + 1);
	smt_ebpf_put_memory(w, w->s.mem, w->out);
	pfs_buf_printf(w->out, " %s ((_ extract 31 0) %s.d%u)))\n", index, w->name, from.term);
	w->s.mem = ++w->terms;
}

/* --- instructions ---------------------------------------------------------------------------- */

static struct reg operand(struct smt_ebpf *w, const struct bpf_insn *insn)
{
	if (BPF_SRC(insn->code) == BPF_X)
		return w->s.reg[insn->src_reg];
	return smt_ebpf_constant(w, (uint64_t)(int64_t)insn->imm);
}

/* An address and a number. */
static void move_place(struct smt_ebpf *w, struct reg *dst, const struct bpf_insn *insn)
{
	const struct reg *by = &w->s.reg[insn->src_reg];

	if (BPF_OP(insn->code) != BPF_ADD) {
		smt_ebpf_fail(w, -EINVAL);
	} else if (BPF_SRC(insn->code) == BPF_K) {
		dst->off += insn->imm;
	} else if (by->kind != NUMBER || dst->term) {
		smt_ebpf_fail(w, -EINVAL);
	} else {
		dst->term = by->term;
		dst->max = by->max;
	}
}

/* The greatest that can come out, if that is plain. */
static uint64_t greatest(unsigned op, uint64_t a, uint64_t b, uint64_t most)
{
	switch (op) {
	case BPF_AND:
		return pfs_min(a, b);
	case BPF_MOV:
		return pfs_min(b, most);
	case BPF_RSH:
	case BPF_DIV:
	case BPF_MOD:
		return pfs_min(a, most);
	default:
		return most;
	}
}

static void put_alu(struct smt_ebpf *w, unsigned op, bool wide, const char *a, const char *b,
		    char text[400])
{
	static const char *const names[16] = {
		[BPF_ADD >> 4] = "bvadd",  [BPF_SUB >> 4] = "bvsub",  [BPF_MUL >> 4] = "bvmul",
		[BPF_DIV >> 4] = "bvudiv", [BPF_MOD >> 4] = "bvurem", [BPF_OR >> 4] = "bvor",
		[BPF_AND >> 4] = "bvand",  [BPF_XOR >> 4] = "bvxor",  [BPF_LSH >> 4] = "bvshl",
		[BPF_RSH >> 4] = "bvlshr",
	};
	const char *zero = wide ? "#x0000000000000000" : "#x00000000";

	if (op == BPF_MOV)
		snprintf(text, 400, "%s", b);
	else if (op == BPF_DIV)
		snprintf(text, 400, "(ite (= %s %s) %s (bvudiv %s %s))", b, zero, zero, a, b);
	else if (op == BPF_LSH || op == BPF_RSH)
		snprintf(text, 400, "(%s %s (bvand %s %s))", names[op >> 4], a, b,
			 wide ? "#x000000000000003f" : "#x0000001f");
	else if (names[op >> 4])
		snprintf(text, 400, "(%s %s %s)", names[op >> 4], a, b);
	else
		smt_ebpf_fail(w, -ENOTSUP);
}

static void alu(struct smt_ebpf *w, const struct bpf_insn *insn)
{
	bool wide = BPF_CLASS(insn->code) == BPF_ALU64;
	unsigned op = BPF_OP(insn->code);
	struct reg *dst = &w->s.reg[insn->dst_reg], by = operand(w, insn);
	uint64_t most = wide ? UINT64_MAX : UINT32_MAX, max;
	char a[80], b[80], text[400] = "";

	if (op == BPF_MOV && wide && by.kind != NUMBER && by.kind != NOTHING) {
		*dst = by;
		return;
	}
	if (wide && (dst->kind == ON_STACK || dst->kind == MEMORY) && op != BPF_MOV) {
		move_place(w, dst, insn);
		return;
	}
	if (by.kind != NUMBER || (op != BPF_MOV && dst->kind != NUMBER)) {
		smt_ebpf_fail(w, -EINVAL);
		return;
	}
	snprintf(a, sizeof(a), wide ? "%s.d%u" : "((_ extract 31 0) %s.d%u)", w->name, dst->term);
	snprintf(b, sizeof(b), wide ? "%s.d%u" : "((_ extract 31 0) %s.d%u)", w->name, by.term);
	put_alu(w, op, wide, a, b, text);
	max = greatest(op, dst->max, by.max, most);
	*dst = smt_ebpf_number(smt_ebpf_term(w, wide ? "%s" : "(concat #x00000000 %s)", text), max);
}

/* To big endian: bytes in the other order, and nothing above them. */
static void turn(struct smt_ebpf *w, const struct bpf_insn *insn)
{
	struct reg *dst = &w->s.reg[insn->dst_reg];
	struct cell bytes[4];
	unsigned size = (unsigned)insn->imm / 8;

	if (insn->code != (BPF_ALU | BPF_END | BPF_TO_BE) || (size != 2 && size != 4) ||
	    dst->kind != NUMBER) {
		smt_ebpf_fail(w, -ENOTSUP);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (struct cell){ dst->term, size - 1 - i };
	*dst = smt_ebpf_bytes(w, bytes, size);
}

static void load(struct smt_ebpf *w, const struct bpf_insn *insn)
{
	struct reg from = w->s.reg[insn->src_reg], *dst = &w->s.reg[insn->dst_reg];
	unsigned size = size_of(insn->code);
	int at;

	if (from.kind == CONTEXT && size == 4)
		*dst = context_field(w, (int)from.off + insn->off);
	else if (from.kind == MEMORY)
		*dst = load_word(w, &from, insn->off, size);
	else if (smt_ebpf_place(w, &from, insn->off, size, &at))
		*dst = smt_ebpf_load(w, &from, at, size);
}

static void write_to(struct smt_ebpf *w, const struct bpf_insn *insn)
{
	const struct reg *to = &w->s.reg[insn->dst_reg];
	struct reg from = BPF_CLASS(insn->code) == BPF_STX
				  ? w->s.reg[insn->src_reg]
				  : smt_ebpf_constant(w, (uint64_t)(int64_t)insn->imm);

	if (BPF_MODE(insn->code) != BPF_MEM)
		smt_ebpf_fail(w, -ENOTSUP);
	else if (to->kind == MEMORY)
		store_word(w, to, insn->off, size_of(insn->code), from);
	else
		smt_ebpf_store(w, to, insn->off, size_of(insn->code), from);
}

/* What a comparison with a constant says of the register, where it holds. */
static void learn(struct reg *reg, unsigned op, uint64_t k)
{
	if (op == BPF_JEQ || op == BPF_JLE)
		reg->max = pfs_min(reg->max, k);
	else if (op == BPF_JLT && k)
		reg->max = pfs_min(reg->max, k - 1);
}

static unsigned opposite(unsigned op)
{
	static const uint8_t to[16] = {
		[BPF_JEQ >> 4] = BPF_JNE, [BPF_JNE >> 4] = BPF_JEQ, [BPF_JGT >> 4] = BPF_JLE,
		[BPF_JGE >> 4] = BPF_JLT, [BPF_JLT >> 4] = BPF_JGE, [BPF_JLE >> 4] = BPF_JGT,
	};

	return to[op >> 4];
}

static void branch(struct smt_ebpf *w, const struct bpf_insn *insn, size_t at)
{
	static const char *const names[16] = {
		[BPF_JEQ >> 4] = "=",	  [BPF_JNE >> 4] = "distinct", [BPF_JGT >> 4] = "bvugt",
		[BPF_JGE >> 4] = "bvuge", [BPF_JLT >> 4] = "bvult",    [BPF_JLE >> 4] = "bvule",
	};
	bool wide = BPF_CLASS(insn->code) == BPF_JMP, constant_is = BPF_SRC(insn->code) == BPF_K;
	unsigned op = BPF_OP(insn->code);
	size_t yes_to = (size_t)((int64_t)at + 1 + insn->off);
	struct reg *dst = &w->s.reg[insn->dst_reg], by = operand(w, insn), before = *dst;
	const char *part = wide ? "%s.d%u" : "((_ extract 31 0) %s.d%u)";
	uint32_t here = w->s.cond, yes, no;
	char a[80], b[80];

	/* An array has the value that is asked for: the address is not 0. */
	if (dst->kind == MEMORY && op == BPF_JEQ && constant_is && !insn->imm) {
		lead_to(w, at, at + 1, here);
		return;
	}
	if (dst->kind != NUMBER || by.kind != NUMBER || (!names[op >> 4] && op != BPF_JSET)) {
		smt_ebpf_fail(w, -EINVAL);
		return;
	}
	snprintf(a, sizeof(a), part, w->name, dst->term);
	snprintf(b, sizeof(b), part, w->name, by.term);
	if (op == BPF_JSET)
		yes = condition(w, "(and %s.c%u (distinct (bvand %s %s) #x%0*x))", w->name, here, a,
				b, wide ? 16 : 8, 0);
	else
		yes = condition(w, "(and %s.c%u (%s %s %s))", w->name, here, names[op >> 4], a, b);
	no = condition(w, "(and %s.c%u (not %s.c%u))", w->name, here, w->name, yes);
	if (constant_is && (wide || dst->max <= UINT32_MAX)) {
		uint64_t k = wide ? (uint64_t)(int64_t)insn->imm : (uint32_t)insn->imm;

		learn(dst, op, k);
		lead_to(w, at, yes_to, yes);
		*dst = before;
		learn(dst, opposite(op), k);
	} else {
		lead_to(w, at, yes_to, yes);
	}
	lead_to(w, at, at + 1, no);
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Few bytes, so many as is known: onto the stack. */
static void read_few(struct smt_ebpf *w, int at, unsigned size, uint32_t from, uint32_t ok)
{
	for (unsigned i = 0; i < size; i++) {
		uint32_t byte = smt_ebpf_term(
			w,
			"(concat #x00000000000000 (ite (= %s.d%u #x0000000000000001) (select p (bvadd "
			"((_ extract 31 0) %s.d%u) #x%08x)) #x00))",
			w->name, ok, w->name, from, i);

		w->s.cell[at + (int)i] = (struct cell){ byte, 0 };
		w->s.place[(at + (int)i) / 8].kind = NOTHING;
	}
}

/* skb_load_bytes(context, offset, to, size): all of them, or an error and zeros. */
static void read_packet(struct smt_ebpf *w)
{
	struct reg from = w->s.reg[2], to = w->s.reg[3], size = w->s.reg[4];
	uint32_t ok;
	int at;

	if (w->s.reg[1].kind != CONTEXT || from.kind != NUMBER || size.kind != NUMBER || to.term ||
	    size.max > SMT_STACK) {
		smt_ebpf_fail(w, -EINVAL);
		return;
	}
	if (!smt_ebpf_place(w, &to, 0, (unsigned)size.max, &at))
		return;
	ok = smt_ebpf_term(w,
			   "(ite (bvule (bvadd (concat #x00000000 ((_ extract 31 0) %s.d%u)) %s.d%u) "
			   "(concat #x00000000 caplen)) #x0000000000000001 #x0000000000000000)",
			   w->name, from.term, w->name, size.term);
	if (size.max <= 8) {
		if (smt_ebpf_in_layer(w, at) || smt_ebpf_in_layer(w, at + (int)size.max - 1))
			smt_ebpf_fail(w, -ENOTSUP);
		read_few(w, at, (unsigned)size.max, from.term, ok);
	} else if (w->s.layer.n) {
		smt_ebpf_fail(w, -ENOTSUP);
	} else {
		w->s.layer = (struct layer){
			.lo = at, .n = (uint32_t)size.max, .from = from.term, .size = size.term, .ok = ok
		};
	}
	w->s.reg[0] = smt_ebpf_number(
		smt_ebpf_term(w, "(ite (= %s.d%u #x0000000000000001) #x0000000000000000 #xfffffffffffffff2)",
			      w->name, ok),
		UINT64_MAX);
}

/* The only value of an array. */
static void look_up(struct smt_ebpf *w)
{
	struct reg key = w->s.reg[2];
	int at;

	if (w->s.reg[1].kind != MAP || !smt_ebpf_place(w, &key, 0, 4, &at))
		smt_ebpf_fail(w, -EINVAL);
	w->s.reg[0] = (struct reg){ .kind = MEMORY };
}

static void call(struct smt_ebpf *w, int helper)
{
	if (helper == BPF_FUNC_skb_load_bytes)
		read_packet(w);
	else if (helper == BPF_FUNC_map_lookup_elem)
		look_up(w);
	else if (helper == BPF_FUNC_get_prandom_u32)
		w->s.reg[0] = smt_ebpf_number(
			smt_ebpf_term(w, "(concat #x00000000 aux%d)", PF_AUX_RANDOM), UINT32_MAX);
	else if (helper == BPF_FUNC_get_smp_processor_id)
		w->s.reg[0] = smt_ebpf_number(
			smt_ebpf_term(w, "(concat #x00000000 aux%d)", PF_AUX_CPU), UINT32_MAX);
	else
		smt_ebpf_fail(w, -ENOTSUP);
	for (unsigned i = 1; i <= 5; i++)
		w->s.reg[i].kind = NOTHING;
}

static void leave(struct smt_ebpf *w)
{
	if (w->s.reg[0].kind != NUMBER)
		smt_ebpf_fail(w, -EINVAL);
	pfs_buf_printf(&w->result, "(ite %s.c%u ((_ extract 31 0) %s.d%u) ", w->name, w->s.cond,
		       w->name, w->s.reg[0].term);
	w->returns++;
	if (!w->s.mem)
		return;
	pfs_buf_printf(&w->end, "(ite %s.c%u %s.d%u ", w->name, w->s.cond, w->name, w->s.mem);
	w->ends++;
}

/* True: the next instruction comes behind it. */
static bool jump(struct smt_ebpf *w, const struct bpf_insn *insn, size_t at)
{
	if (insn->code == (BPF_JMP | BPF_CALL)) {
		call(w, insn->imm);
		return true;
	}
	if (insn->code == (BPF_JMP | BPF_EXIT))
		leave(w);
	else if (insn->code == (BPF_JMP | BPF_JA))
		lead_to(w, at, (size_t)((int64_t)at + 1 + insn->off), w->s.cond);
	else if (insn->code == (BPF_JMP | MAY_GOTO))
		return true; /* the kernel is more patient than any fuel */
	else
		branch(w, insn, at);
	return false;
}

static void walk_insn(struct smt_ebpf *w, size_t at)
{
	const struct bpf_insn *insn = &w->insn[at];
	size_t next = at + 1;

	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
		w->s.reg[insn->dst_reg] = (struct reg){ .kind = MAP };
		if (insn->code != WIDE || insn->src_reg != BPF_PSEUDO_MAP_FD)
			smt_ebpf_fail(w, -ENOTSUP);
		next = at + 2;
		break;
	case BPF_LDX:
		load(w, insn);
		break;
	case BPF_ST:
	case BPF_STX:
		write_to(w, insn);
		break;
	case BPF_JMP:
	case BPF_JMP32:
		if (!jump(w, insn, at))
			return;
		break;
	default:
		if (BPF_OP(insn->code) == BPF_END)
			turn(w, insn);
		else
			alu(w, insn);
		break;
	}
	lead_to(w, at, next, w->s.cond);
}

static bool walk_round(struct smt_ebpf *w)
{
	struct way **into = w->into;
	bool any = false;

	for (size_t i = 0; i < w->n && !w->err; i++) {
		if (!smt_ebpf_arrive(w, i))
			continue;
		any = true;
		walk_insn(w, i);
		smt_ebpf_ways_free(w->into[i]);
		w->into[i] = NULL;
		if (w->out->len > PF_SMT_TEXT_MAX)
			smt_ebpf_fail(w, -E2BIG);
	}
	w->into = w->back;
	w->back = into;
	return any && !w->err;
}

static void put_chain(struct smt_ebpf *w, const struct pfs_buf *chain, uint32_t n, const char *last)
{
	if (chain->len)
		pfs_buf_add(w->out, chain->data, chain->len);
	pfs_buf_str(w->out, last);
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
}

static void put_any(struct smt_ebpf *w, const char *what, const struct pfs_buf *conds)
{
	pfs_buf_printf(w->out, "(define-fun %s.%s () Bool (or false", w->name, what);
	if (conds->len)
		pfs_buf_add(w->out, conds->data, conds->len);
	pfs_buf_str(w->out, "))\n");
}

static void begin(struct smt_ebpf *w)
{
	w->terms = FREE_TERM;
	pfs_buf_printf(w->out,
		       "(declare-const %s.free (_ BitVec 8))\n"
		       "(define-fun %s.d%u () (_ BitVec 64) ((_ repeat 8) %s.free))\n",
		       w->name, w->name, FREE_TERM, w->name);
	for (int i = 0; i < SMT_STACK; i++)
		w->s.cell[i] = (struct cell){ FREE_TERM, 0 };
	w->s.reg[1].kind = CONTEXT;
	w->s.reg[10].kind = ON_STACK;
	w->s.cond = condition(w, "true");
	smt_ebpf_add_way(w, &w->into[0], w->s.cond);
}

int pf_smt_ebpf(const struct bpf_insn *insns, size_t n, uint32_t words, const char *name,
		struct pfs_buf *out)
{
	PFS_CLEANUP(smt_ebpf_release)
	struct smt_ebpf w = { .insn = insns, .n = n, .words = words, .name = name, .out = out };

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return -ENOTSUP;
	if (n > PF_SMT_INSNS_MAX)
		return -E2BIG;
	w.into = pfs_zalloc(n, sizeof(struct way *));
	w.back = pfs_zalloc(n, sizeof(struct way *));
	if (!w.into || !w.back)
		return -ENOMEM;
	begin(&w);
	while (walk_round(&w))
		w.round++;
	if (w.err < 0)
		return w.err;
	pfs_buf_printf(out, "(define-fun %s.result () (_ BitVec 32) ", name);
	put_chain(&w, &w.result, w.returns, "#x00000000");
	pfs_buf_printf(out, "(define-fun %s.mem () " MEMORY_SORT " ", name);
	put_chain(&w, &w.end, w.ends, "mem");
	put_any(&w, "cut", &w.cut);
	put_any(&w, "bad", &w.bad);
	return out->failed || w.result.failed || w.end.failed || w.cut.failed || w.bad.failed ? -ENOMEM
											      : 0;
}

/* What is true in the kernel: one length, and all fields are known, those of two bytes have no more. */
void pf_smt_claim_ebpf(const char *a, const char *b, unsigned flags, struct pfs_buf *out)
{
	pfs_buf_printf(out,
		       "(push 1)\n(assert (and (= len caplen) (= known #xffffffff) (bvule aux%d #x0000ffff) "
		       "(bvule aux%d #x0000ffff)))\n",
		       PF_AUX_PROTOCOL, PF_AUX_VLAN_TPID);
	if (flags & PF_SMT_LOOPS)
		pfs_buf_printf(out, "(assert (not (or %s.cut %s.cut)))\n", a, b);
	pfs_buf_printf(out, "(assert (or %s.bad (distinct %s.result %s.result)", b, a, b);
	if (flags & PF_SMT_MEMORY)
		pfs_buf_printf(out, " (distinct (select %s.mem where) (select %s.mem where))", a, b);
	pfs_buf_str(out, "))\n(check-sat)\n(pop 1)\n");
}
