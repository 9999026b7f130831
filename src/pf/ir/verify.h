/*
 * verify - is a unit well formed, and is every load safe?
 *
 * The rules are in docs/ir.md, Verification. Back ends rely on them and on nothing else: code made from a verified unit
 * reads no byte outside of the packet and ends.
 */
#ifndef PFS_PF_IR_VERIFY_H
#define PFS_PF_IR_VERIFY_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/* 0; -EINVAL and the sentence (a mistake of ours: a front end or a pass made it); -E2BIG, -ENOMEM. */
int pf_verify(const struct pf_unit *u, struct pf_error *error);

#endif
