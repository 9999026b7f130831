/*
 * cbpf - classic BPF out of the intermediate form
 */
#ifndef PFS_PF_BACK_CBPF_H
#define PFS_PF_BACK_CBPF_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/* As pf_emit_cbpf(), for a verified unit. */
int pf_cbpf_make(const struct pf_unit *u, unsigned flags, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error);

/* The listing that tcpdump -d prints. */
void pf_cbpf_print(const struct pf_insn *insns, size_t n, struct pfs_buf *out);

#endif
