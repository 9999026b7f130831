/*
 * decide - which filters a source is asked to decide about (graph/source.h); private to src/graph
 *
 * From the source's directory on downwards, as far as filters can say what they keep (pfs_filter.keeps), each gets a
 * number. Those that have to get records (because somebody reads there, or because what is below has to see them) are
 * *wanted*. The engine then brings a record to those that its set names, and runs no filter that has a number; of what
 * was not copied the source gives numbers, which are put into the books here.
 *
 * Exactness over a change: a record says by which generation of the program it was judged. A number is good for a
 * record if its filter has had it since that generation or an earlier one; records from before somebody began to read
 * are not for him, since most of them were not copied. So plans are published before the program is put in place.
 *
 * Threads: control, but for what the source's task does under its run lock.
 */
#ifndef PFS_GRAPH_DECIDE_H
#define PFS_GRAPH_DECIDE_H

#include "graph/source.h"

struct pfs_domain;
struct pfs_node;
struct pfs_plan;

#define PFS_NO_TAKER UINT16_MAX

struct pfs_deciding {
	struct pfs_interests now, next;		   /* items owned */
	struct pfs_node **now_nodes, **next_nodes; /* owned; borrowed nodes, by item */
	struct pfs_node *owner[PFS_TAKERS_MAX]; /* borrowed; by number: who has it, or has had it last */
	unsigned turn;				/* where the next free one is looked for */
	bool pending;				/* next is there, and the source is ready for it */
	bool changed;				/* a filter keeps something else than it did */
	struct pfs_diag why;			/* of the last pfs_decide_begin(), if it failed */
};

/* Of a node: what it keeps, and since when it has its number. */
struct pfs_keeps {
	struct pf_unit *unit; /* owned; NULL: everything */
	bool asked, known;
	bool used;	 /* it is in the list in force, ... */
	bool wanted;	 /* ... and wanted */
	bool listed;	 /* it is in the list that is being made */
	uint16_t number; /* PFS_NO_TAKER: none */
	uint32_t since, wanted_since;
	uint64_t records, bytes; /* of what the source says, is in the books */
};

/* The plan that is to be the source's gets its numbers; the source gets ready. -errno: nothing has changed. */
int pfs_decide_begin(struct pfs_domain *domain, struct pfs_plan *plan);
void pfs_decide_publish(struct pfs_domain *domain); /* the plan is out */
void pfs_decide_cancel(struct pfs_domain *domain);
/* What passed in the source and did not come goes into the books. */
void pfs_decide_sync(struct pfs_domain *domain);
/* The source begins to count anew. */
void pfs_decide_restart(struct pfs_domain *domain);
/* The node keeps something else; or it leaves its tree, or goes. */
void pfs_decide_changed(struct pfs_node *node);
void pfs_decide_forget(struct pfs_node *node);
void pfs_decide_release(struct pfs_domain *domain);
/* The sentence, when a plan could not be made because of what the source says. */
void pfs_decide_why(const struct pfs_domain *domain, struct pfs_diag *diag);
/* Can the source decide about this filter, as it is now? */
bool pfs_decide_knows(struct pfs_node *node);
/* Is it decided about in the source now? */
bool pfs_decides(const struct pfs_node *node);

#endif
