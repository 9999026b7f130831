/* The listing of tcpdump -d. */
#include <stdio.h>

#include "pf/back/cbpf_i.h"
#include "pf/ir/print.h"

static const char *const alu[16] = {
	[CB_ADD >> 4] = "add", [CB_SUB >> 4] = "sub", [CB_MUL >> 4] = "mul", [CB_DIV >> 4] = "div",
	[CB_OR >> 4] = "or",   [CB_AND >> 4] = "and", [CB_LSH >> 4] = "lsh", [CB_RSH >> 4] = "rsh",
	[CB_MOD >> 4] = "mod", [CB_XOR >> 4] = "xor",
};

static const char *const jumps[16] = {
	[CB_JEQ >> 4] = "jeq",
	[CB_JGT >> 4] = "jgt",
	[CB_JGE >> 4] = "jge",
	[CB_JSET >> 4] = "jset",
};

static const char *load_name(uint16_t code)
{
	if (CB_CLASS(code) == CB_LDX)
		return CB_MODE(code) == CB_MSH ? "ldxb" : "ldx";
	return CB_SIZE(code) == CB_B ? "ldb" : CB_SIZE(code) == CB_H ? "ldh" : "ld";
}

static void load_text(const struct pf_insn *insn, char *operand, size_t size)
{
	int field = pf_aux_of_offset(insn->k);

	switch (CB_MODE(insn->code)) {
	case CB_IMM:
		snprintf(operand, size, "#0x%x", insn->k);
		break;
	case CB_ABS:
		if (field >= 0)
			snprintf(operand, size, "[%s]", pf_aux_name((unsigned)field));
		else
			snprintf(operand, size, "[%u]", insn->k);
		break;
	case CB_IND:
		snprintf(operand, size, "[x + %u]", insn->k);
		break;
	case CB_MEM:
		snprintf(operand, size, "M[%u]", insn->k);
		break;
	case CB_LEN:
		snprintf(operand, size, "#pktlen");
		break;
	default:
		snprintf(operand, size, "4*([%u]&0xf)", insn->k);
		break;
	}
}

/* Number or X, as the second operand of arithmetic and jumps. */
static void operand_text(const struct pf_insn *insn, char *operand, size_t size)
{
	if (CB_SRC(insn->code) == CB_X)
		snprintf(operand, size, "x");
	else if (CB_CLASS(insn->code) == CB_ALU && CB_OP(insn->code) != CB_AND)
		snprintf(operand, size, "#%u", insn->k);
	else
		snprintf(operand, size, "#0x%x", insn->k);
}

static const char *name_of(const struct pf_insn *insn, size_t at, char *operand, size_t size)
{
	switch (CB_CLASS(insn->code)) {
	case CB_LD:
	case CB_LDX:
		load_text(insn, operand, size);
		return load_name(insn->code);
	case CB_ST:
	case CB_STX:
		snprintf(operand, size, "M[%u]", insn->k);
		return CB_CLASS(insn->code) == CB_ST ? "st" : "stx";
	case CB_ALU:
		if (CB_OP(insn->code) == CB_NEG)
			return "neg";
		operand_text(insn, operand, size);
		return alu[CB_OP(insn->code) >> 4];
	case CB_JMP:
		if (CB_OP(insn->code) == CB_JA) {
			snprintf(operand, size, "%zu", at + 1 + insn->k);
			return "ja";
		}
		operand_text(insn, operand, size);
		return jumps[CB_OP(insn->code) >> 4];
	case CB_RET:
		if ((insn->code & 0x18) == CB_A)
			snprintf(operand, size, "a");
		else
			snprintf(operand, size, "#%u", insn->k);
		return "ret";
	default:
		return (insn->code & 0xf8) == CB_TAX ? "tax" : "txa";
	}
}

void pf_cbpf_print(const struct pf_insn *insns, size_t n, struct pfs_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		char operand[40] = "";
		const char *name = name_of(&insns[i], i, operand, sizeof(operand));

		if (CB_CLASS(insns[i].code) == CB_JMP && CB_OP(insns[i].code) != CB_JA)
			pfs_buf_printf(out, "(%03zu) %-8s %-16s jt %zu\tjf %zu\n", i, name, operand,
				       i + 1 + insns[i].jt, i + 1 + insns[i].jf);
		else if (operand[0])
			pfs_buf_printf(out, "(%03zu) %-8s %s\n", i, name, operand);
		else
			pfs_buf_printf(out, "(%03zu) %s\n", i, name);
	}
}
