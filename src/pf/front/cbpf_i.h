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

#endif
