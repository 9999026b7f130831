/*
 * x86_asm - an assembler for the few x86-64 instructions that filters need
 *
 * A builder with a sticky error: instructions are appended, jumps name labels, x86_finish() gives
 * each jump the shortest form that reaches and fills in distances. Registers are 0 to 15 as the
 * machine numbers them. All arithmetic is on 32 bits, which clears the upper half of the register.
 *
 * With a listing wanted, each instruction is also noted in the words of `objdump -M intel`, so that
 * tests can compare what we say with what a disassembler reads.
 */
#ifndef PFS_PF_BACK_X86_ASM_H
#define PFS_PF_BACK_X86_ASM_H

#include "base/base.h"

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

#define X86_NONE 16u /* no index */

/* Condition codes, as in the opcode; unsigned. Odd is the opposite of even. */
enum x86_cc { CC_B = 2, CC_AE = 3, CC_E = 4, CC_NE = 5, CC_BE = 6, CC_A = 7, CC_ALWAYS = 16 };

/* The /digit of the arithmetic group. */
enum x86_alu {
	X86_ADD = 0,
	X86_OR = 1,
	X86_SBB = 3,
	X86_AND = 4,
	X86_SUB = 5,
	X86_XOR = 6,
	X86_CMP = 7
};

/* base + index + disp */
struct x86_mem {
	unsigned base, index;
	int32_t disp;
};

struct x86_jump {
	uint32_t at; /* bytes of code in front of it, jumps not counted */
	uint32_t label;
	enum x86_cc cc;
	bool near; /* needs 32 bits */
	uint32_t place;
};

struct x86_label {
	uint32_t at;
	uint32_t jumps; /* in front of it */
};

struct x86_note {
	uint32_t at, jumps;
	char text[64];
};

struct x86 {
	uint8_t *code; /* owned */
	uint32_t n, cap;
	struct x86_jump *jump; /* owned */
	uint32_t njump, capjump;
	struct x86_label *label; /* owned */
	uint32_t nlabel, caplabel;
	struct x86_note *note; /* owned */
	uint32_t nnote, capnote;
	bool listing;
	int err;
};

void x86_release(struct x86 *x);

uint32_t x86_label(struct x86 *x);
void x86_place(struct x86 *x, uint32_t label);
void x86_jump(struct x86 *x, enum x86_cc cc, uint32_t label);

void x86_mov(struct x86 *x, unsigned to, unsigned from); /* nothing if they are the same */
void x86_mov64(struct x86 *x, unsigned to, unsigned from);
void x86_mov_imm(struct x86 *x, unsigned to, uint32_t imm);
/* size 1, 2, 4: zero-extended, in the byte order of the machine */
void x86_load(struct x86 *x, unsigned size, unsigned to, struct x86_mem m);
void x86_store(struct x86 *x, struct x86_mem m, unsigned from);
void x86_store_imm(struct x86 *x, struct x86_mem m, uint32_t imm);
void x86_bswap(struct x86 *x, unsigned reg);
void x86_rol16(struct x86 *x, unsigned reg); /* swaps the bytes of its low half */

void x86_alu(struct x86 *x, enum x86_alu op, unsigned to, unsigned from);
void x86_alu_imm(struct x86 *x, enum x86_alu op, unsigned to, uint32_t imm);
void x86_alu_mem(struct x86 *x, enum x86_alu op, unsigned to, struct x86_mem m);
/* size 1, 2 or 4 bytes of memory against a number */
void x86_cmp_mem_imm(struct x86 *x, unsigned size, struct x86_mem m, uint32_t imm);
void x86_test(struct x86 *x, unsigned a, unsigned b);
void x86_test_imm(struct x86 *x, unsigned a, uint32_t imm);
void x86_test_mem_imm(struct x86 *x, unsigned size, struct x86_mem m, uint32_t imm);
void x86_cmp64(struct x86 *x, unsigned a, unsigned b);
void x86_add64_imm(struct x86 *x, unsigned to, int32_t imm);
/* All 64 bits of the address. */
void x86_lea64(struct x86 *x, unsigned to, struct x86_mem m);
void x86_lea(struct x86 *x, unsigned to, struct x86_mem m);
void x86_imul(struct x86 *x, unsigned to, unsigned from);
void x86_imul_imm(struct x86 *x, unsigned to, unsigned from, uint32_t imm);
void x86_div(struct x86 *x, unsigned by); /* edx:eax */
void x86_neg(struct x86 *x, unsigned reg);
void x86_shift(struct x86 *x, bool right, unsigned reg, unsigned by);
void x86_shift_cl(struct x86 *x, bool right, unsigned reg);
/* 64 bits. */
void x86_mov_imm64(struct x86 *x, unsigned to, uint64_t imm);
void x86_or64(struct x86 *x, unsigned to, unsigned from);
void x86_add64(struct x86 *x, unsigned to, unsigned from);
void x86_imul64_mem(struct x86 *x, unsigned to, struct x86_mem m);
void x86_shift64(struct x86 *x, bool right, unsigned reg, unsigned by);
void x86_shift64_cl(struct x86 *x, bool right, unsigned reg);
void x86_cmp64_mem(struct x86 *x, struct x86_mem m, unsigned reg);
void x86_setcc(struct x86 *x, enum x86_cc cc, unsigned to); /* by way of al */
void x86_cmov_mem(struct x86 *x, enum x86_cc cc, unsigned to, struct x86_mem m);
void x86_load64(struct x86 *x, unsigned to, struct x86_mem m);
void x86_test64(struct x86 *x, unsigned a, unsigned b);
void x86_cmov64(struct x86 *x, enum x86_cc cc, unsigned to, unsigned from);
void x86_push(struct x86 *x, unsigned reg);
void x86_pop(struct x86 *x, unsigned reg);
void x86_ret(struct x86 *x);
void x86_int3(struct x86 *x);

/*
 * Jumps get their distances. *ret_code is to be freed. The listing, if one was wanted, is appended to out (NULL: none).
 * 0, -ENOMEM, -E2BIG.
 */
int x86_finish(struct x86 *x, uint8_t **ret_code, size_t *ret_n, struct pfs_buf *out);

#endif
