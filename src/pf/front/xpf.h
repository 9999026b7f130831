/*
 * xpf - xPF to the intermediate form: classic BPF with memory that stays and jumps that go back
 *
 * xPF (Ioannidis et al., 2002) made a monitor out of a filter: what it counts stays in the kernel, and only numbers
 * leave it. No text of its encoding is left, so this is one of ours (docs/decisions/016, man/pf-xpf.7), an extension of
 * that of classic BPF:
 *
 *	.memory 4		four words, P[0] to P[3], zero at first, that stay from packet to packet
 *	.loops 100		jumps back that one run may make, of all loops together
 *	.name64 bytes 0		P[0] and P[1] are one number, lower half first, and have a name
 *	ld P[k]  ld P[x+k]	ldx likewise;  st P[k]  st P[x+k];  stx P[k]
 *	addm P[k]		P[k] += A, and so P[x+k]
 *	addm64 P[k]		P[k + 1]:P[k] += A, and so P[x+k]
 *	jeq #1, above		a jump may go back
 *
 *   - A place outside of the memory rejects, as a load outside of the packet does. What was written before stays.
 *   - One jump back more than `.loops` allows (1024 if it is not said) rejects: every run ends. Conditional jumps back
 *     are said by two instructions.
 *   - Programs have at most 4096 instructions, and these times (.loops + 1) are at most 2^18.
 *
 * As bytes and as numbers, declarations are instructions at the beginning: { 0x47, 0, 0, words }, { 0x4f, 0, 0,
 * loops }.
 *
 * Into the form: the memory is the unit's memory 0; a test of the index, which rejects, stands before GET and SET;
 * loops are those of docs/ir.md, and where there are several a number that all of them count down.
 */
#ifndef PFS_PF_FRONT_XPF_H
#define PFS_PF_FRONT_XPF_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

#define XPF_INSNS_MAX 4096u
#define XPF_LOOPS_DEFAULT 1024u
#define XPF_LOOPS_MAX (PF_FUEL_MAX - 1)
#define XPF_STEPS_MAX (1u << 18)
#define XPF_CELLS_MAX 256u

/* What a text declares. */
struct xpf_said {
	uint32_t words;
	uint32_t loops;
	bool says_loops;
	struct pf_cell *cell; /* owned */
	uint32_t ncell;
};

/* A program, in one piece of memory. */
struct xpf {
	uint32_t words, loops;
	uint32_t n;
	struct pf_insn insn[]; /* without declarations */
};

#endif
