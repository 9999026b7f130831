/*
 * merge - many filters become one program
 *
 *	int pf_merge(units, n, &unit);
 *
 * Result i of the unit is that of filter i: the filters of units[0] come first, then those of units[1] ... Each unit is
 * run to its end, then the next, so a packet goes one way through the graph and every filter has its say on it. Equal
 * values are one in the whole graph, and what one filter has found out the next ones need not ask again: run
 * pf_optimise() over the unit, whose pass "thread" leads each way past the tests that are settled on it. No block is
 * ever made twice, so what comes out is never larger than the sum of what goes in.
 *
 * Each unit keeps memories of its own; in the merged one those of the last unit come first.
 *
 * The inputs are verified units, which stay as they are; what comes out is a verified unit, too. Back ends give its
 * results as a list of hits (back/run.h). Threads: pure.
 */
#ifndef PFS_PF_MERGE_MERGE_H
#define PFS_PF_MERGE_MERGE_H

#include "pf/ir/ir.h"

/* Into an uninitialised unit, to be released by the caller. 0; -ENOMEM, -E2BIG: ret_unit is not set. n > 0. */
int pf_merge(const struct pf_unit *const *units, size_t n, struct pf_unit *ret_unit);

/*
 * Puts unit `from` in front of what `to` holds already: where `from` stops, the entry that `to` had follows (none: the
 * run is over). Its results are numbered from `base` on, and the entry of `to` becomes that of `from`.
 */
int pf_merge_front(struct pf_unit *to, const struct pf_unit *from, uint32_t base);

/*
 * Now there is one result, that of the first filter which accepts: does anybody want the packet? 0;
 * -ENOTSUP: filters with memories; -ENOMEM, -E2BIG.
 */
int pf_merge_any(struct pf_unit *u);

#endif
