/*
 * verdict - filters that say what becomes of a packet (pfs_filter.verdict); private to src/graph
 *
 * A verdict is given by the source's program, or not at all: so all between it and the source has to be decided there.
 * Threads: control.
 */
#ifndef PFS_GRAPH_VERDICT_H
#define PFS_GRAPH_VERDICT_H

#include "graph/graph.h"

struct pfs_node;

/* Is it one, or is one below it? */
bool pfs_has_verdict(const struct pfs_node *node);
/* May a verdict be below `above`? -EINVAL: not below this filter, which the sentence names. */
int pfs_verdict_fits(struct pfs_node *above, struct pfs_diag *diag);

#endif
