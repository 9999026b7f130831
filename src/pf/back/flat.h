/*
 * flat - short decisions as one number instead of many branches
 *
 * A branch that goes now this way, now that, costs a machine more than all that a filter computes. Where a few tests
 * lead to two ways out, all of them are made and what they say is put together by AND and OR:
 *
 *	if A go yes else b1			if A | (B & C) go yes else no
 *	b1: if B go b2 else no
 *	b2: if C go yes else no
 *
 * and where the two ways out are "accept" and "reject", the result is computed, too. What lies behind a bounds check
 * can only be read where that has been passed: the greatest of each base comes first, and who fails it goes the old
 * way, test by test, which stays beside. Nothing that a packet is told changes.
 *
 * For back ends that make numbers of comparisons without branches. Long chains of comparisons become searches
 * (search.h).
 */
#ifndef PFS_PF_BACK_FLAT_H
#define PFS_PF_BACK_FLAT_H

#include "pf/ir/ir.h"

/* A flat copy of a verified unit into an empty one, verified again. 0, -ENOMEM, -E2BIG. */
int pf_flat(const struct pf_unit *u, struct pf_unit *ret_unit);

#endif
