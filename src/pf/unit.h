/*
 * unit - what a program of the library is behind the passes, for those who make other programs of it
 */
#ifndef PFS_PF_UNIT_H
#define PFS_PF_UNIT_H

#include "pf/ir/ir.h"

struct pf_prog;

/* Borrowed from the program. */
const struct pf_unit *pf_prog_unit(const struct pf_prog *prog);

#endif
