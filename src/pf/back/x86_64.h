/*
 * x86_64 - machine code for x86-64 and the System V calling convention
 *
 *	uint64_t code(const uint8_t *data, uint64_t caplen, uint64_t len, const struct pf_aux *aux, struct pf_hit *hits)
 *
 * aux is never NULL. A program with one filter returns its result; one with several returns the
 * address behind the last hit.
 */
#ifndef PFS_PF_BACK_X86_64_H
#define PFS_PF_BACK_X86_64_H

#include "pf/ir/ir.h"

/*
 * From a verified unit. *ret_code is to be freed; a listing is appended to `listing` unless that is NULL. 0, -ENOMEM,
 * -E2BIG. It only makes bytes, so it does that on any machine.
 */
int pf_x86_64_emit(const struct pf_unit *u, uint8_t **ret_code, size_t *ret_n, struct pfs_buf *listing);

#endif
