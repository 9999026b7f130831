/*
 * search - a long chain of comparisons of one value with constants becomes a binary search
 *
 *	if v == 7 go b7 else b1				if v < 20 go b1 else b2
 *	b1: if v == 3 go b3 else b2 ...			b1: if v == 3 go b3 else ... no
 *
 * For back ends that run the code as it stands; in classic BPF it would be longer.
 */
#ifndef PFS_PF_BACK_SEARCH_H
#define PFS_PF_BACK_SEARCH_H

#include "pf/ir/ir.h"

/* 0, or -ENOMEM, -E2BIG. The unit is compact before and verifies behind it. */
int pf_search(struct pf_unit *u);

#endif
