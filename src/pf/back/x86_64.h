/*
 * x86_64 - machine code for x86-64 and the System V calling convention
 *
 *	uint64_t code(const struct pf_packet *packet, const struct pf_aux *nothing, struct pf_hit *hits,
 *		      uint32_t *words)
 *	void batch(const struct pf_packet *packets, const struct pf_aux *nothing, uint32_t *results, size_t n)
 *
 * A packet without aux has `nothing`. A program with one filter returns its result; one with several returns the
 * address behind the last hit, and knows no batches, nor does one with memories, which are at `words`. n is at least 1.
 */
#ifndef PFS_PF_BACK_X86_64_H
#define PFS_PF_BACK_X86_64_H

#include "pf/ir/ir.h"

/*
 * From a verified unit. ret->code is to be freed; a listing is appended to `listing` unless that is NULL. 0, -ENOMEM,
 * -E2BIG. It only makes bytes, so it does that on any machine.
 */
#define PF_X86_64_BATCH 1u

struct pf_x86_64 {
	uint8_t *code; /* owned by the caller */
	size_t n;
	size_t entry; /* where it begins; in front of it is the way out of those that reject */
};

int pf_x86_64_emit(const struct pf_unit *u, unsigned flags, struct pf_x86_64 *ret,
		   struct pfs_buf *listing);

#endif
