/*
 * cbpf_i - what the files of the classic BPF front end share among themselves
 */
#ifndef PFS_PF_FRONT_CBPF_I_H
#define PFS_PF_FRONT_CBPF_I_H

#include "pf/front/cbpf.h"

/* Registers as bits: the scratch words, then A, then X. */
struct cbpf_effect {
	uint32_t reads, writes;
};

/* Of a valid instruction. */
struct cbpf_effect cbpf_effect(const struct pf_insn *insn);

/* How the ways to an instruction can be: */
#define MPF_UNMATCHED 1u /* no session was found */
#define MPF_MATCHED 2u	 /* behind the yes side of CKMATCH_IMM */
#define MPF_REGISTERED 4u
#define MPF_POSTPONED 8u

/*
 * The rules for MPF's instructions, where the others are fine already. state: by instruction, MPF_ bits; zeroed by the
 * caller. 0, -EINVAL and the sentence.
 */
int mpf_check(const struct pf_insn *insns, size_t n, uint8_t *state, struct pf_error *error);
/* Does it ask for a session at all? */
bool mpf_matches(const struct pf_insn *insns, size_t n);

#endif
