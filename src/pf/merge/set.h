/*
 * set - what else of the compiler may ask a set (include/pipesfs/pf.h)
 */
#ifndef PFS_PF_MERGE_SET_H
#define PFS_PF_MERGE_SET_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/*
 * All programs of the set as one, behind the passes, into an uninitialised unit. It asks the tables of the set,
 * which go on changing; when pf_set_info.compiled has changed it is out of date. 0; -ENOENT: the set is empty;
 * -E2BIG, -ENOMEM.
 */
int pf_set_unit(struct pf_set *set, struct pf_unit *ret_unit);

/*
 * That members are in the set what they are alone, said to a solver (prove/smt.h): for each of them a claim that its
 * program, as its front end made it, and the merged programs differ about it. -ENOTSUP: a filter with a loop.
 */
int pf_set_smt(struct pf_set *set, const struct pf_prog *const *progs, const uint32_t *ids,
	       size_t n, struct pfs_buf *out);

#endif
