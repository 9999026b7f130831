/*
 * cbpf_i - what the files of the classic BPF front end share among themselves
 */
#ifndef PFS_PF_FRONT_CBPF_I_H
#define PFS_PF_FRONT_CBPF_I_H

#include "pf/classic.h"
#include "pf/front/cbpf.h"

/* What xPF has beyond classic BPF. */
struct cbpf_more {
	uint32_t words; /* that stay from packet to packet; 0: none */
	uint32_t loops; /* jumps back that a run may make, of all together; 0: that is not what bounds them */
};

/* more may be NULL, for both. */
int cbpf_check(const struct pf_insn *insns, size_t n, unsigned flags, const struct cbpf_more *more,
	       struct pf_error *error);
int cbpf_make(struct pf_unit *u, const struct pf_insn *insns, size_t n, unsigned flags,
	      const struct cbpf_more *more, struct pf_error *error);

/* A load, a store or an addition of a word that stays? */
static inline bool cbpf_persists(const struct pf_insn *insn)
{
	return CB_CLASS(insn->code) <= CB_STX && (insn->code & CB_PERSIST) == CB_PERSIST;
}

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
