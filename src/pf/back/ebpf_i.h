/*
 * ebpf_i - what the files of the eBPF emitter share among themselves
 */
#ifndef PFS_PF_BACK_EBPF_I_H
#define PFS_PF_BACK_EBPF_I_H

#include "pf/ir/ir.h"

/* Where a field is in the context, and how it is stored; -1: nowhere. */
int ebpf_field(uint32_t field, bool *ret_turn);
bool ebpf_asks_for(const struct pf_unit *u, uint32_t field);
/* A copy into an empty unit in which everything is known that can be seen at all. 0, -ENOMEM, -E2BIG; -ENOTSUP. */
int ebpf_know(struct pf_unit *to, const struct pf_unit *from);

/* How much of the packet's beginning the filter looks at, as far as can be said. */
uint32_t ebpf_wanted(const struct pf_unit *u);
/* The beginning of the copy, modulo 4, for which most loads are aligned. */
unsigned ebpf_shift(const struct pf_unit *u);

#endif
