/*
 * cbpf - classic BPF to the intermediate form
 *
 * What is accepted is what both libpcap and Linux accept: known instructions, jumps forward and inside, the last
 * instruction a return, scratch words written before they are read on every way. (libpcap reads what is on its stack
 * there; Linux refuses.) With CBPF_LOOPS, `ja` may also go back, as in libpcap's code for `ip6 protochain`.
 *
 *   - A load outside of the packet, a division by zero, a field that is not known: the filter rejects.
 *   - Shifts by 32 and more give 0, as in libpcap. Constants like that are refused by Linux; here they are fine.
 *   - Loads at the offsets from which Linux counts from the network or link header (negative ones) are refused with a
 *     sentence, and so are the two that search netlink attributes.
 */
#ifndef PFS_PF_FRONT_CBPF_H
#define PFS_PF_FRONT_CBPF_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

#define CBPF_LOOPS 1u
/*
 * The instructions of the Mach packet filter, too. Alone: what the program says with its own keys as the only session,
 * when nothing has been registered. With one of the others: what a dispatcher needs (pf/front/mpf.h), provided that
 * CKMATCH_IMM finds a session, or that it finds none.
 */
#define CBPF_MPF 2u
#define CBPF_MPF_HIT 4u
#define CBPF_MPF_MISS 8u

#define CBPF_MAX 65536u /* instructions */

/* Into an empty unit. 0; -EINVAL, -E2BIG, -ENOMEM and the sentence, which names the instruction, from 0. */
int pf_front_cbpf(struct pf_unit *u, const struct pf_insn *insns, size_t n, unsigned flags,
		  struct pf_error *error);

/* Is it a program that is accepted? 0, -EINVAL, -E2BIG, -ENOMEM and the sentence. */
int pf_cbpf_check(const struct pf_insn *insns, size_t n, unsigned flags, struct pf_error *error);

/* The field that an absolute load from CB_AD_OFF on names: enum pf_aux_field, or -1. */
int pf_aux_of_offset(uint32_t k);
/* And back. */
uint32_t pf_offset_of_aux(unsigned field);

#endif
