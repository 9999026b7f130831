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
 * Making a program takes its time: the more filters, the longer. So a plan is published with the numbers of the *next*
 * generation will have, and a thread of its own (decider.c) makes the program of what is wanted by then, without the
 * control lock; what changes meanwhile waits for the one after it, all together. Who opens a pipe waits for the
 * generation that knows it, by pfs_decide_settle(); who closes waits for nothing. A verdict is given or refused before
 * mkdir returns: its program is made at once, if need be of the verdicts alone.
 *
 * Filters that would make the program too large run in the engine for as long as somebody is there.
 *
 * Threads: control, but for what the source's task does under its run lock.
 */
#ifndef PFS_GRAPH_DECIDE_H
#define PFS_GRAPH_DECIDE_H

#include <pthread.h>

#include "graph/source.h"

struct pfs_domain;
struct pfs_graph;
struct pfs_node;
struct pfs_plan;

#define PFS_NO_TAKER UINT16_MAX
/*
 * Cost is values and blocks of all units. What the verifier makes of it differs: 2,000 may take it 0.1 s, and it grows
 * with the square. So when it is known how long a larger program took, those that come have a place as long as one
 * is made in PFS_DECIDE_TIME.
 */
#define PFS_DECIDE_COST 2000
#define PFS_DECIDE_COST_MAX 12000
#define PFS_DECIDE_TIME UINT64_C(200000000) /* ns of this thread and the kernel's work for it */
#define PFS_DECIDE_KNOWN 1000		    /* of a smaller one it says little */
#define PFS_DECIDE_AT_ONCE 300		    /* made by who attaches, or makes a verdict */
#define PFS_DECIDE_RESERVE \
	64 /* numbers that only verdicts get, with what is above them; and as much again to cost */

/* What a filter keeps, or sorts by; lists know it, whatever becomes of the filter. */
struct pfs_kept {
	_Atomic unsigned refs;
	struct pf_unit *unit; /* owned; NULL: everything */
	struct pf_unit *keys; /* owned; NULL: it does not sort */
};

struct pfs_list {
	struct pfs_interests in; /* items owned; their units are of: */
	struct pfs_kept **kept;	 /* owned; references, by item; NULL: it keeps everything */
	struct pfs_node **nodes; /* owned; borrowed nodes, by item; NULL: it is no more */
};

struct pfs_deciding {
	struct pfs_list now;	   /* in force, or what start() has begun with */
	struct pfs_list want;	   /* as the plans are */
	struct pfs_list next;	   /* between begin and publish: what will be wanted */
	struct pfs_list made;	   /* what the thread is making; generation 0: nothing */
	struct pfs_making *making; /* owned; of `next`, made before the plan is published */
	struct pfs_node *owner[PFS_TAKERS_MAX]; /* borrowed; by number: who has it, or has had it last */
	unsigned turn;				/* where the next free one is looked for */
	uint32_t snapshot; /* generation of the latest list that is, was, or will be in force */
	uint32_t listing;  /* plans published */
	uint64_t changes;  /* of what is wanted, so far: programs serve several of them together */
	uint32_t failed;   /* generation that could not be put in place, ... */
	int error;	   /* ... and why */
	bool dirty;	   /* the thread is to make a program of what is wanted */
	bool rest;	   /* it is to wait for what the source has given up */
	bool end;	   /* it is to wait for what counts in a source that was detached */
	bool queued;	   /* one of these; next_queued */
	struct pfs_domain *next_queued;
	uint64_t took;	     /* ns to make a program ... */
	uint32_t took_cost;  /* ... of this cost; 0: it is not known */
	struct pfs_diag why; /* of the last that failed */
};

/* Of a node: what it keeps, and since when it has its number. */
struct pfs_keeps {
	struct pfs_kept *kept; /* a reference; NULL: everything */
	uint32_t cost;
	bool asked, known;
	bool used;   /* it is in the list in force */
	bool listed; /* it is in the list that is being made */
	bool snap, snap_wanted; /* it is in the latest list that a program was made of, or is being; and wanted there */
	uint16_t number; /* PFS_NO_TAKER: none */
	uint32_t since, wanted_since;
	uint32_t listed_at,
		left_out; /* the listing in which it got a place; in which there was none for it */
	uint32_t cut, cut_before; /* as in struct pfs_interest, in the latest plan; and what it was before that */
	struct pfs_tally books; /* of what the source says, is in the books */
};

/* The thread that makes programs. */
struct pfs_decider {
	pthread_t thread;
	bool running, stop;
	pthread_cond_t work, done;	  /* with the control lock */
	struct pfs_domain *first, **last; /* that are queued; each a reference, and one to its source */
};

/* The plan that is to be the source's gets its numbers. -errno: nothing has changed. */
int pfs_decide_begin(struct pfs_domain *domain, struct pfs_plan *plan);
/* The plan is out. -errno: what it takes could not be put in place; make another plan. */
int pfs_decide_publish(struct pfs_domain *domain);
void pfs_decide_cancel(struct pfs_domain *domain);
/*
 * Waits until what is wanted now is in force; gives up the control lock meanwhile. -errno: it could not be put in
 * place. At once when the source is not attached. If the program takes longer than 2 s, all records come until it is
 * there, and the engine runs all filters.
 */
int pfs_decide_settle(struct pfs_domain *domain, struct pfs_diag *diag);
/* What passed in the source and did not come goes into the books. */
void pfs_decide_sync(struct pfs_domain *domain);
/* The source is about to attach: it begins to count anew, by what is wanted now; and it has. */
void pfs_decide_restart(struct pfs_domain *domain);
void pfs_decide_started(struct pfs_domain *domain);
/* The node keeps something else; or it leaves its tree, or goes. */
void pfs_decide_changed(struct pfs_node *node);
void pfs_decide_forget(struct pfs_node *node);
void pfs_decide_release(struct pfs_domain *domain);
/* The sentence, when a plan could not be made because of what the source says. */
void pfs_decide_why(const struct pfs_domain *domain, struct pfs_diag *diag);
/* Can the source decide about this filter, as it is now? */
bool pfs_decide_knows(struct pfs_node *node);
/* Does it keep every Nth? NULL: it does not, or not so that another could say it. */
struct pfs_nth *pfs_decide_nth(const struct pfs_node *node);
/* Is it decided about in the source now? */
bool pfs_decides(const struct pfs_node *node);

/* --- between decide.c and decider.c ------------------------------------------------------------ */

void pfs_list_free(struct pfs_list *list);
/* The same once more, with this generation. -ENOMEM. */
int pfs_list_copy(const struct pfs_list *list, uint32_t generation, struct pfs_list *ret_list);
bool pfs_list_same(const struct pfs_list *a, const struct pfs_list *b);
/* Of this list a program was made, or is being: from now on its filters have what they were promised. */
void pfs_list_note(struct pfs_deciding *d, const struct pfs_list *list);
/* It is in force. */
void pfs_list_enter(struct pfs_deciding *d, struct pfs_list *list);
uint32_t pfs_list_cost(const struct pfs_list *list);

/* The source may have given up something: struct pfs_source's rest(). Without such a source nothing happens. */
void pfs_decider_rest(struct pfs_domain *domain);
bool pfs_decider_serves(const struct pfs_graph *graph); /* it has not been told to end */
/* The source was detached: pfs_feed_ended(), once what is in the kernel has ended. */
void pfs_decider_end(struct pfs_domain *domain);
int pfs_decider_new(struct pfs_graph *graph);
void pfs_decider_free(struct pfs_graph *graph); /* without the control lock */
void pfs_decider_ask(struct pfs_domain *domain); /* what is wanted is not what is in force, or being made */

#endif
