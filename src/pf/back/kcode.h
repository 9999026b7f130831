/*
 * kcode - writing eBPF instructions at run time
 *
 * A builder with a sticky error: emit, then ask once (kcode_finish). Jumps name labels, which are placed
 * before or after; kcode_finish() fills in the distances. Registers are plain numbers, R0 to R10.
 *
 *	struct kcode c = {0};
 *	unsigned out = kcode_label(&c);
 *
 *	kcode_load(&c, BPF_W, R0, R1, offsetof(struct __sk_buff, len));
 *	kcode_jump_imm(&c, BPF_JEQ, R0, 0, out);
 *	...
 *	kcode_place(&c, out);
 *	kcode_mov_imm(&c, R0, 0);
 *	kcode_exit(&c);
 *	err = kcode_finish(&c);
 *
 * Notes (kcode_note) become lines of the listing, so that .program can be read.
 */
#ifndef PFS_PF_BACK_KCODE_H
#define PFS_PF_BACK_KCODE_H

#include <linux/bpf.h>

#include "base/base.h"

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

#define KCODE_WIDE 0x18 /* BPF_LD | BPF_IMM | BPF_DW: the one that takes two instructions */
#define KCODE_MAY_GOTO \
	0xe0 /* BPF_JCOND: a jump that is taken when the kernel has had enough of a loop; Linux 6.9 */
#define KCODE_MAX 65536u /* instructions; far above what we generate */

struct kcode_note {
	uint32_t at; /* index of the instruction it stands before */
	char text[60];
};

struct kcode {
	struct bpf_insn *insn; /* owned */
	size_t n, cap;
	int32_t *label; /* owned; index of the instruction, -1: not placed yet */
	size_t nlabel, caplabel;
	struct kcode_note *note; /* owned */
	size_t nnote, capnote;
	int err; /* 0, or the first error */
};

void kcode_release(struct kcode *c);
#define KCODE_CLEANUP PFS_CLEANUP(kcode_release)

unsigned kcode_label(struct kcode *c);
void kcode_place(struct kcode *c, unsigned label);
void kcode_note(struct kcode *c, const char *fmt, ...) PFS_PRINTF(2, 3);

/* 32-bit arithmetic, which clears the upper half. */
void kcode_alu32(struct kcode *c, unsigned op, unsigned dst, unsigned src);
void kcode_alu32_imm(struct kcode *c, unsigned op, unsigned dst, uint32_t imm);

/* 64-bit arithmetic: op is BPF_ADD, BPF_AND, BPF_MOV ... */
void kcode_alu(struct kcode *c, unsigned op, unsigned dst, unsigned src);
void kcode_alu_imm(struct kcode *c, unsigned op, unsigned dst, int32_t imm);
void kcode_mov(struct kcode *c, unsigned dst, unsigned src);
void kcode_mov_imm(struct kcode *c, unsigned dst, int32_t imm);
/* The low `bits` of dst from the CPU's order to big endian. */
void kcode_be(struct kcode *c, unsigned dst, int bits);

/* size: BPF_B, BPF_H, BPF_W, BPF_DW. dst = *(src + off); *(dst + off) = src or imm. */
void kcode_load(struct kcode *c, unsigned size, unsigned dst, unsigned src, int off);
void kcode_store(struct kcode *c, unsigned size, unsigned dst, int off, unsigned src);
void kcode_store_imm(struct kcode *c, unsigned size, unsigned dst, int off, int32_t imm);
/* *(u64 *)(dst + off) += src, atomically. */
void kcode_atomic_add(struct kcode *c, unsigned dst, int off, unsigned src);
void kcode_atomic_fetch_add(struct kcode *c, unsigned dst, int off,
			    unsigned src); /* what it was, into src */

/* op: BPF_JEQ, BPF_JGT ...; unsigned 64-bit compares. */
void kcode_jump(struct kcode *c, unsigned label);
void kcode_jump_imm(struct kcode *c, unsigned op, unsigned dst, int32_t imm, unsigned label);
void kcode_jump_reg(struct kcode *c, unsigned op, unsigned dst, unsigned src, unsigned label);

/* The same of the lower halves. */
void kcode_jump32_imm(struct kcode *c, unsigned op, unsigned dst, uint32_t imm, unsigned label);
void kcode_jump32_reg(struct kcode *c, unsigned op, unsigned dst, unsigned src, unsigned label);

void kcode_map(struct kcode *c, unsigned dst, int map);
/* The address of the only value that an array has. */
void kcode_map_value(struct kcode *c, unsigned dst, int map);
void kcode_call(struct kcode *c, int helper);
void kcode_kfunc(struct kcode *c, int32_t btf_id); /* of the running kernel */
void kcode_exit(struct kcode *c);

/* What is in the register becomes `most`, if it is more. 0: nothing is more. */
void kcode_most(struct kcode *c, unsigned reg, uint32_t most);

/* Resolves the labels. 0, -ENOMEM, -E2BIG, -EINVAL (a label that was never placed: our mistake). */
int kcode_finish(struct kcode *c);

/* A listing for people: notes, then "  12: r0 = *(u32 *)(r1 +0)". */
void kcode_print(const struct kcode *c, struct pfs_buf *out);

#endif
