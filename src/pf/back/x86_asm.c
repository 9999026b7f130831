#include "pf/back/x86_asm.h"

#include <stdarg.h>
#include <stdio.h>

#define CODE_MAX (16u << 20)

static const char *const names64[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
				       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const names32[] = { "eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
				       "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d" };
static const char *const names16[] = { "ax",  "cx",  "dx",   "bx",   "sp",   "bp",   "si",   "di",
				       "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w" };
static const char *const conditions[] = { "o", "no", "b", "ae", "e", "ne", "be", "a" };
static const char *const alus[] = { "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp" };

void x86_release(struct x86 *x)
{
	free(x->code);
	free(x->jump);
	free(x->label);
	free(x->note);
	*x = (struct x86){ 0 };
}

/* Room for one more of n; NULL and a sticky error when there is none. */
static void *grow(struct x86 *x, void *array, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (x->err || n < *cap)
		return x->err ? NULL : array;
	p = want > CODE_MAX ? NULL : reallocarray(array, want, size);
	if (!p) {
		x->err = want > CODE_MAX ? -E2BIG : -ENOMEM;
		return NULL;
	}
	*cap = want;
	return p;
}

static void byte(struct x86 *x, unsigned value)
{
	uint8_t *p = grow(x, x->code, x->n, &x->cap, 1);

	if (!p)
		return;
	x->code = p;
	x->code[x->n++] = (uint8_t)value;
}

static void imm32(struct x86 *x, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		byte(x, value >> i * 8 & 0xff);
}

/* Before the bytes of the instruction. */
static PFS_PRINTF(2, 3) void note(struct x86 *x, const char *fmt, ...)
{
	struct x86_note *p;
	va_list ap;

	if (!x->listing)
		return;
	p = grow(x, x->note, x->nnote, &x->capnote, sizeof(*p));
	if (!p)
		return;
	x->note = p;
	p = &x->note[x->nnote++];
	*p = (struct x86_note){ .at = x->n, .jumps = x->njump };
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
}

/* --- operands -------------------------------------------------------------------------------- */

static bool is_byte(uint32_t value)
{
	return (int32_t)value >= -128 && (int32_t)value <= 127;
}

/* The prefix for registers from R8 on and for 64 bits; none if it would say nothing. */
static void rex(struct x86 *x, bool wide, unsigned reg, unsigned index, unsigned base)
{
	unsigned value = (wide ? 8u : 0) | (reg >> 3 & 1) << 2 |
			 (index < X86_NONE ? index >> 3 & 1 : 0) << 1 | (base >> 3 & 1);

	if (value)
		byte(x, 0x40 | value);
}

static void modrm_reg(struct x86 *x, unsigned reg, unsigned rm)
{
	byte(x, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void modrm_mem(struct x86 *x, unsigned reg, struct x86_mem m)
{
	bool sib = m.index != X86_NONE || (m.base & 7) == RSP;
	/* RBP and R13 have no form without a displacement. */
	unsigned mod = !m.disp && (m.base & 7) != RBP ? 0 : is_byte((uint32_t)m.disp) ? 1 : 2;

	byte(x, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (m.base & 7)));
	if (sib)
		byte(x, (m.index == X86_NONE ? 4 : (m.index & 7)) << 3 | (m.base & 7));
	if (mod == 1)
		byte(x, (uint32_t)m.disp & 0xff);
	else if (mod == 2)
		imm32(x, (uint32_t)m.disp);
}

struct text {
	char s[48];
};

static struct text mem_text(struct x86_mem m)
{
	struct text t;
	uint32_t disp = (uint32_t)m.disp;
	char number[16] = "";

	/* A base that has no form without one shows it. */
	if (disp || (m.base & 7) == RBP)
		snprintf(number, sizeof(number), "%c0x%x", m.disp < 0 ? '-' : '+',
			 m.disp < 0 ? 0 - disp : disp);
	snprintf(t.s, sizeof(t.s), "[%s%s%s%s%s]", names64[m.base], m.index == X86_NONE ? "" : "+",
		 m.index == X86_NONE ? "" : names64[m.index], m.index == X86_NONE ? "" : "*1", number);
	return t;
}

static const char *size_text(unsigned size)
{
	return size == 1 ? "BYTE" : size == 2 ? "WORD" : "DWORD";
}

static void op_reg(struct x86 *x, unsigned opcode, unsigned reg, unsigned rm)
{
	rex(x, false, reg, X86_NONE, rm);
	byte(x, opcode);
	modrm_reg(x, reg, rm);
}

static void op_mem(struct x86 *x, unsigned opcode, unsigned reg, struct x86_mem m)
{
	rex(x, false, reg, m.index, m.base);
	byte(x, opcode);
	modrm_mem(x, reg, m);
}

/* --- moves ----------------------------------------------------------------------------------- */

void x86_mov(struct x86 *x, unsigned to, unsigned from)
{
	if (to == from)
		return;
	note(x, "mov    %s,%s", names32[to], names32[from]);
	op_reg(x, 0x89, from, to);
}

void x86_mov64(struct x86 *x, unsigned to, unsigned from)
{
	note(x, "mov    %s,%s", names64[to], names64[from]);
	rex(x, true, from, X86_NONE, to);
	byte(x, 0x89);
	modrm_reg(x, from, to);
}

void x86_mov_imm(struct x86 *x, unsigned to, uint32_t imm)
{
	if (!imm) {
		x86_alu(x, X86_XOR, to, to);
		return;
	}
	note(x, "mov    %s,0x%x", names32[to], imm);
	rex(x, false, 0, X86_NONE, to);
	byte(x, 0xb8 | (to & 7));
	imm32(x, imm);
}

void x86_load(struct x86 *x, unsigned size, unsigned to, struct x86_mem m)
{
	note(x, "%s  %s,%s PTR %s", size == 4 ? "mov  " : "movzx", names32[to], size_text(size),
	     mem_text(m).s);
	if (size == 4) {
		op_mem(x, 0x8b, to, m);
		return;
	}
	rex(x, false, to, m.index, m.base);
	byte(x, 0x0f);
	byte(x, size == 1 ? 0xb6 : 0xb7);
	modrm_mem(x, to, m);
}

void x86_store(struct x86 *x, struct x86_mem m, unsigned from)
{
	note(x, "mov    DWORD PTR %s,%s", mem_text(m).s, names32[from]);
	op_mem(x, 0x89, from, m);
}

void x86_store_imm(struct x86 *x, struct x86_mem m, uint32_t imm)
{
	note(x, "mov    DWORD PTR %s,0x%x", mem_text(m).s, imm);
	op_mem(x, 0xc7, 0, m);
	imm32(x, imm);
}

void x86_bswap(struct x86 *x, unsigned reg)
{
	note(x, "bswap  %s", names32[reg]);
	rex(x, false, 0, X86_NONE, reg);
	byte(x, 0x0f);
	byte(x, 0xc8 | (reg & 7));
}

void x86_rol16(struct x86 *x, unsigned reg)
{
	note(x, "rol    %s,0x8", names16[reg]);
	byte(x, 0x66);
	op_reg(x, 0xc1, 0, reg);
	byte(x, 8);
}

/* --- arithmetic ------------------------------------------------------------------------------ */

void x86_alu(struct x86 *x, enum x86_alu op, unsigned to, unsigned from)
{
	note(x, "%-6s %s,%s", alus[op], names32[to], names32[from]);
	op_reg(x, (unsigned)op << 3 | 1, from, to);
}

void x86_alu_imm(struct x86 *x, enum x86_alu op, unsigned to, uint32_t imm)
{
	note(x, "%-6s %s,0x%x", alus[op], names32[to], imm);
	if (is_byte(imm)) {
		op_reg(x, 0x83, op, to);
		byte(x, imm & 0xff);
	} else if (to == RAX) {
		byte(x, (unsigned)op << 3 | 5);
		imm32(x, imm);
	} else {
		op_reg(x, 0x81, op, to);
		imm32(x, imm);
	}
}

void x86_alu_mem(struct x86 *x, enum x86_alu op, unsigned to, struct x86_mem m)
{
	note(x, "%-6s %s,DWORD PTR %s", alus[op], names32[to], mem_text(m).s);
	op_mem(x, (unsigned)op << 3 | 3, to, m);
}

void x86_cmp_mem_imm(struct x86 *x, unsigned size, struct x86_mem m, uint32_t imm)
{
	note(x, "cmp    %s PTR %s,0x%x", size_text(size), mem_text(m).s, imm);
	if (size == 2)
		byte(x, 0x66);
	if (size == 1 || is_byte(size == 2 ? (uint32_t)(int16_t)imm : imm)) {
		op_mem(x, size == 1 ? 0x80 : 0x83, X86_CMP, m);
		byte(x, imm & 0xff);
	} else if (size == 2) {
		op_mem(x, 0x81, X86_CMP, m);
		byte(x, imm & 0xff);
		byte(x, imm >> 8 & 0xff);
	} else {
		op_mem(x, 0x81, X86_CMP, m);
		imm32(x, imm);
	}
}

void x86_test(struct x86 *x, unsigned a, unsigned b)
{
	note(x, "test   %s,%s", names32[a], names32[b]);
	op_reg(x, 0x85, b, a);
}

void x86_test_imm(struct x86 *x, unsigned a, uint32_t imm)
{
	note(x, "test   %s,0x%x", names32[a], imm);
	if (a == RAX)
		byte(x, 0xa9);
	else
		op_reg(x, 0xf7, 0, a);
	imm32(x, imm);
}

void x86_test_mem_imm(struct x86 *x, unsigned size, struct x86_mem m, uint32_t imm)
{
	note(x, "test   %s PTR %s,0x%x", size_text(size), mem_text(m).s, imm);
	op_mem(x, size == 1 ? 0xf6 : 0xf7, 0, m);
	if (size == 1)
		byte(x, imm & 0xff);
	else
		imm32(x, imm);
}

void x86_cmp64(struct x86 *x, unsigned a, unsigned b)
{
	note(x, "cmp    %s,%s", names64[a], names64[b]);
	rex(x, true, b, X86_NONE, a);
	byte(x, 0x39);
	modrm_reg(x, b, a);
}

void x86_add64_imm(struct x86 *x, unsigned to, int32_t imm)
{
	note(x, "%s    %s,0x%x", imm < 0 ? "sub" : "add", names64[to],
	     imm < 0 ? 0 - (uint32_t)imm : (uint32_t)imm);
	rex(x, true, 0, X86_NONE, to);
	/* Subtracting is said as such. */
	byte(x, is_byte((uint32_t)imm) ? 0x83 : 0x81);
	modrm_reg(x, imm < 0 ? X86_SUB : X86_ADD, to);
	if (is_byte((uint32_t)imm))
		byte(x, (imm < 0 ? 0 - (uint32_t)imm : (uint32_t)imm) & 0xff);
	else
		imm32(x, imm < 0 ? 0 - (uint32_t)imm : (uint32_t)imm);
}

void x86_lea64(struct x86 *x, unsigned to, struct x86_mem m)
{
	note(x, "lea    %s,%s", names64[to], mem_text(m).s);
	rex(x, true, to, m.index, m.base);
	byte(x, 0x8d);
	modrm_mem(x, to, m);
}

void x86_lea(struct x86 *x, unsigned to, struct x86_mem m)
{
	note(x, "lea    %s,%s", names32[to], mem_text(m).s);
	op_mem(x, 0x8d, to, m);
}

void x86_imul(struct x86 *x, unsigned to, unsigned from)
{
	note(x, "imul   %s,%s", names32[to], names32[from]);
	rex(x, false, to, X86_NONE, from);
	byte(x, 0x0f);
	byte(x, 0xaf);
	modrm_reg(x, to, from);
}

void x86_imul_imm(struct x86 *x, unsigned to, unsigned from, uint32_t imm)
{
	note(x, "imul   %s,%s,0x%x", names32[to], names32[from], imm);
	op_reg(x, is_byte(imm) ? 0x6b : 0x69, to, from);
	if (is_byte(imm))
		byte(x, imm & 0xff);
	else
		imm32(x, imm);
}

void x86_div(struct x86 *x, unsigned by)
{
	note(x, "div    %s", names32[by]);
	op_reg(x, 0xf7, 6, by);
}

void x86_neg(struct x86 *x, unsigned reg)
{
	note(x, "neg    %s", names32[reg]);
	op_reg(x, 0xf7, 3, reg);
}

void x86_shift(struct x86 *x, bool right, unsigned reg, unsigned by)
{
	note(x, "%s    %s,0x%x", right ? "shr" : "shl", names32[reg], by);
	op_reg(x, 0xc1, right ? 5 : 4, reg);
	byte(x, by);
}

void x86_shift_cl(struct x86 *x, bool right, unsigned reg)
{
	note(x, "%s    %s,cl", right ? "shr" : "shl", names32[reg]);
	op_reg(x, 0xd3, right ? 5 : 4, reg);
}

void x86_mov_imm64(struct x86 *x, unsigned to, uint64_t imm)
{
	note(x, "movabs %s,0x%llx", names64[to], (unsigned long long)imm);
	rex(x, true, 0, X86_NONE, to);
	byte(x, 0xb8 | (to & 7));
	imm32(x, (uint32_t)imm);
	imm32(x, (uint32_t)(imm >> 32));
}

/* With a 64-bit operand in memory. */
static void op64_mem(struct x86 *x, unsigned opcode, unsigned reg, struct x86_mem m)
{
	rex(x, true, reg, m.index, m.base);
	if (opcode > 0xff)
		byte(x, opcode >> 8);
	byte(x, opcode & 0xff);
	modrm_mem(x, reg, m);
}

void x86_or64(struct x86 *x, unsigned to, unsigned from)
{
	note(x, "or     %s,%s", names64[to], names64[from]);
	rex(x, true, from, X86_NONE, to);
	byte(x, 0x09);
	modrm_reg(x, from, to);
}

void x86_add64(struct x86 *x, unsigned to, unsigned from)
{
	note(x, "add    %s,%s", names64[to], names64[from]);
	rex(x, true, from, X86_NONE, to);
	byte(x, 0x01);
	modrm_reg(x, from, to);
}

void x86_imul64_mem(struct x86 *x, unsigned to, struct x86_mem m)
{
	note(x, "imul   %s,QWORD PTR %s", names64[to], mem_text(m).s);
	op64_mem(x, 0x0faf, to, m);
}

void x86_shift64(struct x86 *x, bool right, unsigned reg, unsigned by)
{
	note(x, "%s    %s,0x%x", right ? "shr" : "shl", names64[reg], by);
	rex(x, true, 0, X86_NONE, reg);
	byte(x, 0xc1);
	modrm_reg(x, right ? 5 : 4, reg);
	byte(x, by);
}

void x86_shift64_cl(struct x86 *x, bool right, unsigned reg)
{
	note(x, "%s    %s,cl", right ? "shr" : "shl", names64[reg]);
	rex(x, true, 0, X86_NONE, reg);
	byte(x, 0xd3);
	modrm_reg(x, right ? 5 : 4, reg);
}

void x86_cmp64_mem(struct x86 *x, struct x86_mem m, unsigned reg)
{
	note(x, "cmp    QWORD PTR %s,%s", mem_text(m).s, names64[reg]);
	op64_mem(x, 0x39, reg, m);
}

void x86_setcc(struct x86 *x, enum x86_cc cc, unsigned to)
{
	char name[8];

	snprintf(name, sizeof(name), "set%s", conditions[cc]);
	note(x, "%-6s al", name);
	byte(x, 0x0f);
	byte(x, 0x90 | cc);
	modrm_reg(x, 0, RAX);
	note(x, "movzx  %s,al", names32[to]);
	rex(x, false, to, X86_NONE, RAX);
	byte(x, 0x0f);
	byte(x, 0xb6);
	modrm_reg(x, to, RAX);
}

void x86_cmov_mem(struct x86 *x, enum x86_cc cc, unsigned to, struct x86_mem m)
{
	char name[8];

	snprintf(name, sizeof(name), "cmov%s", conditions[cc]);
	note(x, "%-6s %s,DWORD PTR %s", name, names32[to], mem_text(m).s);
	rex(x, false, to, m.index, m.base);
	byte(x, 0x0f);
	byte(x, 0x40 | cc);
	modrm_mem(x, to, m);
}

void x86_load64(struct x86 *x, unsigned to, struct x86_mem m)
{
	note(x, "mov    %s,QWORD PTR %s", names64[to], mem_text(m).s);
	rex(x, true, to, m.index, m.base);
	byte(x, 0x8b);
	modrm_mem(x, to, m);
}

void x86_test64(struct x86 *x, unsigned a, unsigned b)
{
	note(x, "test   %s,%s", names64[a], names64[b]);
	rex(x, true, b, X86_NONE, a);
	byte(x, 0x85);
	modrm_reg(x, b, a);
}

void x86_cmov64(struct x86 *x, enum x86_cc cc, unsigned to, unsigned from)
{
	char name[8];

	snprintf(name, sizeof(name), "cmov%s", conditions[cc]);
	note(x, "%-6s %s,%s", name, names64[to], names64[from]);
	rex(x, true, to, X86_NONE, from);
	byte(x, 0x0f);
	byte(x, 0x40 | cc);
	modrm_reg(x, to, from);
}

void x86_push(struct x86 *x, unsigned reg)
{
	note(x, "push   %s", names64[reg]);
	rex(x, false, 0, X86_NONE, reg);
	byte(x, 0x50 | (reg & 7));
}

void x86_pop(struct x86 *x, unsigned reg)
{
	note(x, "pop    %s", names64[reg]);
	rex(x, false, 0, X86_NONE, reg);
	byte(x, 0x58 | (reg & 7));
}

void x86_ret(struct x86 *x)
{
	note(x, "ret");
	byte(x, 0xc3);
}

void x86_int3(struct x86 *x)
{
	note(x, "int3");
	byte(x, 0xcc);
}

/* --- jumps ----------------------------------------------------------------------------------- */

uint32_t x86_label(struct x86 *x)
{
	struct x86_label *p = grow(x, x->label, x->nlabel, &x->caplabel, sizeof(*p));

	if (!p)
		return 0;
	x->label = p;
	p[x->nlabel] = (struct x86_label){ .at = UINT32_MAX };
	return x->nlabel++;
}

void x86_place(struct x86 *x, uint32_t label)
{
	if (!x->err)
		x->label[label] = (struct x86_label){ x->n, x->njump };
}

void x86_jump(struct x86 *x, enum x86_cc cc, uint32_t label)
{
	struct x86_jump *p = grow(x, x->jump, x->njump, &x->capjump, sizeof(*p));

	if (!p)
		return;
	x->jump = p;
	p[x->njump++] = (struct x86_jump){ .at = x->n, .label = label, .cc = cc };
}

static uint32_t jump_size(const struct x86_jump *j)
{
	return !j->near ? 2 : j->cc == CC_ALWAYS ? 5 : 6;
}

/* Where the byte that stands behind `at` bytes and so many jumps comes to lie. */
static uint32_t placed(const struct x86 *x, uint32_t at, uint32_t jumps)
{
	const struct x86_jump *last = jumps ? &x->jump[jumps - 1] : NULL;

	return last ? last->place + jump_size(last) + (at - last->at) : at;
}

static int32_t distance(const struct x86 *x, const struct x86_jump *j)
{
	const struct x86_label *l = &x->label[j->label];

	return (int32_t)(placed(x, l->at, l->jumps) - j->place - jump_size(j));
}

/* Jumps begin short and become near when they must; nothing ever gets shorter again, so it ends. */
static void relax(struct x86 *x)
{
	bool again;

	do {
		again = false;
		for (uint32_t i = 0; i < x->njump; i++)
			x->jump[i].place = placed(x, x->jump[i].at, i);
		for (uint32_t i = 0; i < x->njump; i++) {
			struct x86_jump *j = &x->jump[i];

			if (j->near || is_byte((uint32_t)distance(x, j)))
				continue;
			j->near = true;
			again = true;
		}
	} while (again);
}

static uint8_t *write_jump(const struct x86 *x, const struct x86_jump *j, uint8_t *out)
{
	uint32_t to = (uint32_t)distance(x, j);
	unsigned bytes = j->near ? 4 : 1;

	if (j->near && j->cc != CC_ALWAYS)
		*out++ = 0x0f;
	if (j->cc == CC_ALWAYS)
		*out++ = j->near ? 0xe9 : 0xeb;
	else
		*out++ = (uint8_t)((j->near ? 0x80u : 0x70u) | (unsigned)j->cc);
	for (unsigned i = 0; i < bytes; i++)
		*out++ = (uint8_t)(to >> i * 8);
	return out;
}

/* Notes and jumps, in the order of their places. */
static void print(const struct x86 *x, struct pfs_buf *out)
{
	uint32_t note = 0, jump = 0;

	while (note < x->nnote || jump < x->njump) {
		bool is_jump = jump < x->njump && (note == x->nnote || x->note[note].jumps > jump);
		const struct x86_jump *j = is_jump ? &x->jump[jump] : NULL;
		uint32_t at = is_jump ? j->place : placed(x, x->note[note].at, x->note[note].jumps);

		if (is_jump)
			pfs_buf_printf(out, "%4x: %s%-*s 0x%x\n", at,
				       j->cc == CC_ALWAYS ? "jmp" : "j", j->cc == CC_ALWAYS ? 3 : 5,
				       j->cc == CC_ALWAYS ? "" : conditions[j->cc],
				       at + jump_size(j) + (uint32_t)distance(x, j));
		else
			pfs_buf_printf(out, "%4x: %s\n", at, x->note[note].text);
		note += !is_jump;
		jump += is_jump;
	}
}

int x86_finish(struct x86 *x, uint8_t **ret_code, size_t *ret_n, struct pfs_buf *out)
{
	PFS_FREE uint8_t *code = NULL;
	uint32_t from = 0, n;
	uint8_t *p;

	if (x->err)
		return x->err;
	relax(x);
	n = placed(x, x->n, x->njump);
	p = code = malloc(n ? n : 1);
	if (!code)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->njump; i++) {
		memcpy(p, x->code + from, x->jump[i].at - from);
		p = write_jump(x, &x->jump[i], p + (x->jump[i].at - from));
		from = x->jump[i].at;
	}
	memcpy(p, x->code + from, x->n - from);
	if (out)
		print(x, out);
	*ret_code = TAKE_PTR(code);
	*ret_n = n;
	return 0;
}
