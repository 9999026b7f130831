/*
 * print - units as text for people, and as a drawing
 *
 * The printed form is part of docs/ir.md. Blocks stand in order and are numbered by it, so equal graphs print alike.
 */
#ifndef PFS_PF_IR_PRINT_H
#define PFS_PF_IR_PRINT_H

#include "pf/ir/ir.h"

/* 0 or -ENOMEM (also in out->failed). */
int pf_print(const struct pf_unit *u, struct pfs_buf *out);
/* For dot(1). */
int pf_print_dot(const struct pf_unit *u, struct pfs_buf *out);

/* "proto", "vlan_tci": the name of a field beside the bytes, as the assembler spells it; NULL behind the last. */
const char *pf_aux_name(unsigned field);

#endif
