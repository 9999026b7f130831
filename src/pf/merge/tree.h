/*
 * tree - the filters of a tree of directories as one unit
 *
 * A filter sees what those above it have accepted. So a tree is walked from the top: the branches of a filter that
 * accepts are asked, those of one that rejects are not, and each is written once, however many have it above them.
 *
 * A filter may be *unsure* about a packet (an IPv6 packet with extension headers, say): its unit then gives PF_UNSURE
 * as its result, and the run is over with the last result of the tree set. Who runs the program has to ask the filters
 * themselves. Or the run goes *on*, as if that filter had rejected the packet: what the others say does not hang on it.
 */
#ifndef PFS_PF_MERGE_TREE_H
#define PFS_PF_MERGE_TREE_H

#include "pf/ir/ir.h"

#define PF_UNSURE 0xfffffffeu

#define PF_TREE_TOP UINT32_MAX
#define PF_TREE_SILENT UINT32_MAX

struct pf_branch {
	const struct pf_unit *unit; /* borrowed; one filter, no loops; NULL: accepts everything */
	uint32_t above; /* index of the one above, which comes before; PF_TREE_TOP: there is none */
	uint32_t result; /* which is 1 for the packets that it and all above it accept; PF_TREE_SILENT: none is */
	uint32_t cut; /* it sees so many bytes of a packet, as if no more had been captured; 0: all */
};

/*
 * Into an empty unit, with `results` + 1 results: the last is 1 when a filter was unsure, and then the others say
 * nothing; if `on`, they hold, and there are `results` + n: of each
 * branch whether its filter was unsure. -ENOTSUP: a unit with loops, memory or several filters; -ENOMEM, -E2BIG.
 */
int pf_tree(const struct pf_branch *branch, size_t n, uint32_t results, bool on,
	    struct pf_unit *ret_unit);

#endif
