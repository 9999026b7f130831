/* The listing of a program, in the manner of the kernel's own disassembler. */
#include "pf/back/kcode.h"

static const char *const sizes[] = {
	[BPF_W >> 3] = "u32",
	[BPF_H >> 3] = "u16",
	[BPF_B >> 3] = "u8",
	[BPF_DW >> 3] = "u64",
};

static const char *size_name(uint8_t code)
{
	return sizes[BPF_SIZE(code) >> 3];
}

static const char *alu_op(uint8_t code)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return "+=";
	case BPF_SUB:
		return "-=";
	case BPF_MUL:
		return "*=";
	case BPF_DIV:
		return "/=";
	case BPF_MOD:
		return "%=";
	case BPF_OR:
		return "|=";
	case BPF_AND:
		return "&=";
	case BPF_XOR:
		return "^=";
	case BPF_LSH:
		return "<<=";
	case BPF_RSH:
		return ">>=";
	case BPF_ARSH:
		return "s>>=";
	case BPF_MOV:
		return "=";
	default:
		return "?=";
	}
}

static const char *jump_op(uint8_t code)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return "==";
	case BPF_JNE:
		return "!=";
	case BPF_JGT:
		return ">";
	case BPF_JGE:
		return ">=";
	case BPF_JLT:
		return "<";
	case BPF_JLE:
		return "<=";
	case BPF_JSET:
		return "&";
	case BPF_JSGT:
		return "s>";
	case BPF_JSGE:
		return "s>=";
	case BPF_JSLT:
		return "s<";
	case BPF_JSLE:
		return "s<=";
	default:
		return "?";
	}
}

/* The helpers that our generators use, by name. */
static const char *helper_name(int32_t id)
{
	switch (id) {
	case BPF_FUNC_map_lookup_elem:
		return "map_lookup_elem";
	case BPF_FUNC_tail_call:
		return "tail_call";
	case BPF_FUNC_ktime_get_ns:
		return "ktime_get_ns";
	case BPF_FUNC_get_smp_processor_id:
		return "get_smp_processor_id";
	case BPF_FUNC_get_prandom_u32:
		return "get_prandom_u32";
	case BPF_FUNC_skb_load_bytes:
		return "skb_load_bytes";
	case BPF_FUNC_ringbuf_reserve:
		return "ringbuf_reserve";
	case BPF_FUNC_ringbuf_submit:
		return "ringbuf_submit";
	case BPF_FUNC_ringbuf_discard:
		return "ringbuf_discard";
	case BPF_FUNC_ringbuf_query:
		return "ringbuf_query";
	case BPF_FUNC_dynptr_read:
		return "dynptr_read";
	default:
		return NULL;
	}
}

static void print_alu(const struct bpf_insn *i, struct pfs_buf *out)
{
	char w = BPF_CLASS(i->code) == BPF_ALU ? 'w' : 'r';

	if (BPF_OP(i->code) == BPF_END)
		pfs_buf_printf(out, "r%u = be%d r%u", i->dst_reg, i->imm, i->dst_reg);
	else if (BPF_OP(i->code) == BPF_NEG)
		pfs_buf_printf(out, "%c%u = -%c%u", w, i->dst_reg, w, i->dst_reg);
	else if (BPF_SRC(i->code) == BPF_X)
		pfs_buf_printf(out, "%c%u %s %c%u", w, i->dst_reg, alu_op(i->code), w, i->src_reg);
	else
		pfs_buf_printf(out, "%c%u %s %d", w, i->dst_reg, alu_op(i->code), i->imm);
}

static void print_call(const struct bpf_insn *i, struct pfs_buf *out)
{
	const char *name = helper_name(i->imm);

	if (i->src_reg == BPF_PSEUDO_KFUNC_CALL)
		pfs_buf_printf(out, "call kernel function %d", i->imm);
	else if (name)
		pfs_buf_printf(out, "call %s", name);
	else
		pfs_buf_printf(out, "call helper %d", i->imm);
}

static void print_jump(const struct bpf_insn *i, size_t at, struct pfs_buf *out)
{
	long to = (long)at + 1 + i->off;
	char w = BPF_CLASS(i->code) == BPF_JMP32 ? 'w' : 'r';

	switch (BPF_OP(i->code)) {
	case BPF_EXIT:
		pfs_buf_str(out, "exit");
		return;
	case BPF_CALL:
		print_call(i, out);
		return;
	case BPF_JA:
		pfs_buf_printf(out, "goto %ld", to);
		return;
	case KCODE_MAY_GOTO:
		pfs_buf_printf(out, "may_goto %ld", to);
		return;
	default:
		break;
	}
	if (BPF_SRC(i->code) == BPF_X)
		pfs_buf_printf(out, "if %c%u %s %c%u goto %ld", w, i->dst_reg, jump_op(i->code), w,
			       i->src_reg, to);
	else
		pfs_buf_printf(out, "if %c%u %s %d goto %ld", w, i->dst_reg, jump_op(i->code),
			       i->imm, to);
}

static void print_insn(const struct bpf_insn *i, size_t at, struct pfs_buf *out)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		print_alu(i, out);
		break;
	case BPF_JMP:
	case BPF_JMP32:
		print_jump(i, at, out);
		break;
	case BPF_LD:
		if (i->src_reg == BPF_PSEUDO_MAP_FD)
			pfs_buf_printf(out, "r%u = map %d", i->dst_reg, i->imm);
		else if (i->src_reg == BPF_PSEUDO_MAP_VALUE)
			pfs_buf_printf(out, "r%u = value of map %d", i->dst_reg, i->imm);
		else
			pfs_buf_printf(out, "r%u = 0x%08x%08x", i->dst_reg, (unsigned)i[1].imm,
				       (unsigned)i->imm);
		break;
	case BPF_LDX:
		pfs_buf_printf(out, "r%u = *(%s *)(r%u %+d)", i->dst_reg, size_name(i->code),
			       i->src_reg, i->off);
		break;
	case BPF_STX:
		pfs_buf_printf(out, "*(%s *)(r%u %+d) %s r%u", size_name(i->code), i->dst_reg,
			       i->off, BPF_MODE(i->code) == BPF_ATOMIC ? "+=" : "=", i->src_reg);
		break;
	default:
		pfs_buf_printf(out, "*(%s *)(r%u %+d) = %d", size_name(i->code), i->dst_reg, i->off,
			       i->imm);
		break;
	}
}

void kcode_print(const struct kcode *c, struct pfs_buf *out)
{
	size_t note = 0;

	for (size_t at = 0; at < c->n; at++) {
		for (; note < c->nnote && c->note[note].at <= at; note++)
			pfs_buf_printf(out, "; %s\n", c->note[note].text);
		pfs_buf_printf(out, "%5zu: ", at);
		print_insn(&c->insn[at], at, out);
		pfs_buf_str(out, "\n");
		if (c->insn[at].code == KCODE_WIDE)
			at++;
	}
}
