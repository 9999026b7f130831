/*
 * tally - counters need no records, their number does; private to src/graph
 *
 * A counter is a pulling filter that can be told numbers (pfs_filter.passed): packetcount, bytecount. Where the source
 * decides what the directory above it keeps (graph/decide.h), records need not come there for the counter's sake. What
 * passes there and does not go into the directory's queue, from which the counter pulls, is told to it as a number. So
 * each record is counted once, by one way or the other, whoever reads beside it.
 *
 * Numbers are put down at the counter's task by whoever has them and taken by the task's next run. Those of the source
 * come when somebody looks at the tree, and every second while the counter has readers: they get lines of numbers.
 *
 * Threads: pfs_tally_add() any; pfs_tally_take() under the task's run lock; the others control.
 */
#ifndef PFS_GRAPH_TALLY_H
#define PFS_GRAPH_TALLY_H

#include "graph/filter.h"

struct pfs_domain;
struct pfs_graph;
struct pfs_node;
struct pfs_step;
struct pfs_task;

bool pfs_is_counter(const struct pfs_node *node);

/* The counters right below this directory that pull from it. */
void pfs_tally_children(const struct pfs_node *dir, const struct pfs_tally *tally);
/* The counters of this step; the run lock of its task is held. */
void pfs_tally_step(const struct pfs_step *step, const struct pfs_tally *tally);
/* What was put down for this task goes to its filter. */
void pfs_tally_take(struct pfs_task *task);
/* The same for all counters of the domain, after the source's numbers were put down. No run lock is held. */
void pfs_tally_sync(struct pfs_domain *domain);
/* There is a new plan: from now on lines of numbers may be wanted. */
void pfs_tally_watch(struct pfs_domain *domain);

#endif
