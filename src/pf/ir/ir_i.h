/*
 * ir_i - what the files of the intermediate form share among themselves
 */
#ifndef PFS_PF_IR_IR_I_H
#define PFS_PF_IR_IR_I_H

#include "pf/ir/ir.h"

/* A value exactly as it is said, shared if the unit shares. */
pf_val pf_value_plain(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k);
/* The same value said more simply; 0 when there is nothing to simplify. Operands are simple already. */
pf_val pf_fold(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k);
/* Bounds of a new value from those of its operands. */
void pf_bound(const struct pf_unit *u, struct pf_value *v);

#endif
