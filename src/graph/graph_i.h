/*
 * graph_i - how the graph is made inside
 *
 *	control lock	structure: nodes, children, consumers, plans being built, source threads' start and stop
 *	task run lock	data: one thread at a time runs a task's plan, and is the single writer of its queues, ring
 *			and counters
 *	inject lock	one writer at a time stores into an injection ring
 *
 *	places lock	which task runs a node, what is above it, its tree, the tasks of a tree: changed under control
 *			and the run locks of both tasks. For the data side where it holds no run lock
 *	names lock	a leaf: where nodes are and what they are called, changed under control as well
 *
 * Order: control, then run, then inject, then places or cursors. The data side never takes the control lock, and
 * waiters are woken with no run lock held. Only who has control holds several run locks.
 *
 * A *task* is the root of a run: a source (with the inline filters and classes under it) or a pulling filter (with
 * its own). It takes from injection rings, from its input cursor, or (sources) from pushes of its feed. A *plan* is
 * the immutable list of steps of a task that somebody consumes. Tasks are run by pfs_kick(): whichever thread made
 * something possible runs what became possible, one task after the other, never nested. The ticker's thread helps
 * out.
 */
#ifndef PFS_GRAPH_GRAPH_I_H
#define PFS_GRAPH_GRAPH_I_H

#include <pthread.h>

#include "graph/children.h"
#include "graph/decide.h"
#include "graph/graph.h"
#include "graph/source.h"
#include "graph/tables.h"
#include "graph/tally.h"
#include "ring/queue.h"

#define PFS_DEPTH_MAX 64
#define PFS_REASONS_MAX 8
#define PFS_QUEUE_RELIABLE ((size_t)16 << 10) /* refs */
#define PFS_QUEUE_LOSSY ((size_t)128 << 10)

struct pfs_plan;
struct pfs_sort;
struct pfs_task;
struct pfs_inject;
struct pfs_ticker;

/* Rings that were given up, until nobody looks into them any more. */
struct pfs_retired {
	pthread_mutex_t lock;	/* a leaf but for those of cursors */
	struct pfs_ring *first; /* lock; their owner is a reference to the domain */
	uint64_t look;		/* lock */
	uint64_t when, wait; /* lock; mono ns: the ticker's next look; ns until the one after it */
	_Atomic unsigned n;
};

/* What users have a limited amount of: users.c. */
enum pfs_due {
	PFS_DUE_NODES,	/* but for classes that are there without mkdir */
	PFS_DUE_MEMORY, /* bytes of rings and queues */
	PFS_DUE_PROCESSES,
	PFS_DUE_OPENS,
	PFS_DUE_SOCKETS, /* of directories, and their connections */
	PFS_DUES,
};

#define PFS_USERS_BUCKETS 64

struct pfs_users {
	pthread_mutex_t lock;			     /* a leaf */
	struct pfs_user *buckets[PFS_USERS_BUCKETS]; /* lock; who has something */
	uint64_t all[PFS_DUES];			     /* lock */
};

struct pfs_graph {
	pthread_mutex_t moves; /* comes before control: one mv at a time */
	pthread_mutex_t control;
	pthread_rwlock_t places;
	pthread_mutex_t names; /* a leaf: parent and name of every node, for who has not control */
	struct pfs_graph_options options;
	struct pfs_rings *rings;
	struct pfs_node *root;
	struct pfs_node *common;   /* the stages of all runs; equal names are allowed there */
	struct pfs_ticker *ticker; /* made when the first task waits for time or a descriptor */
	struct pfs_users users;
	const struct pfs_cred *asker; /* control; borrowed; for whom rules change, NULL: nobody (guard.h) */
	struct pfs_decider decider; /* control */
	struct pfs_node *sorting;   /* control: nodes with open class sets */
	uint64_t next_id;	    /* control */
	uint64_t next_serial;	    /* control */
	uint64_t next_walk;	    /* control */
	uint64_t rated_at;	    /* control: rates of all nodes were taken, ns, monotonic */
	uint64_t rated_over;	    /* control: of that time */
	struct pfs_joins *joins;    /* control */
	struct pfs_retired retired;
	_Atomic uint32_t next_stream;
	_Atomic bool spent; /* inputs have come to their end: queues may be without cursors */
	_Atomic bool shutdown;
};

struct pfs_loss {
	_Atomic(const char *) reason; /* a literal */
	pfs_counter n;
};

/* What a source's thread needs; part of the domain. */
struct pfs_feed {
	struct pfs_domain *domain; /* borrowed */
	pthread_t thread;
	bool started; /* control: thread to be joined */
	bool ending; /* control: instead; it has been, and what runs in the kernel may still count */
	unsigned ends;	      /* control: how often that began */
	_Atomic bool running; /* run() has not returned */
	_Atomic bool stopping;
	_Atomic bool over; /* writer: the source's thread; the end came last: who comes now wants another run */
	int stop_fd;	      /* eventfd */
	_Atomic bool decides; /* writer: control; the source decides by the list in force */
	pfs_counter unwanted; /* writer: the source's thread; records that came while nobody took any */
	struct pfs_plan *untold; /* the source's thread; owned: its readers do not know yet what was handed on */
	pthread_mutex_t lock; /* with cond: waiting for room */
	pthread_cond_t cond;
};

/* Everything below one source. Freed with its last node. */
struct pfs_domain {
	struct pfs_graph *graph; /* borrowed */
	struct pfs_node *source; /* borrowed */
	uid_t payer;		 /* of the source */
	bool lossy;
	_Atomic unsigned refs;
	struct pfs_cursors *cursors; /* a reference */
	struct pfs_waitlist space; /* parked writers and feeds: woken when a reader or a task moved on */
	struct pfs_task *tasks; /* places */
	_Atomic bool stirred; /* something was moved: rings here may be held up from anywhere in it and its kin */
	struct pfs_domain *kin; /* places; a circle: trees that have exchanged something, itself among them */
	uint64_t serial;	/* tells the ends of its generations from those of others */
	struct pfs_ring *rings; /* feed's lock; owned: of this run of the source */
	uint64_t looked;	/* lock of retired rings */
	struct pfs_feed feed;
	bool active;		     /* control: the source has a consumer */
	bool held;		     /* control: ... and does not start before its run */
	_Atomic bool standing;	     /* a sink or counter is in a plan: it takes every generation */
	_Atomic unsigned writers;    /* open pfs_writers */
	_Atomic uint32_t generation; /* ends of generations so far */
	struct pfs_origins origins;  /* the table's lock; of all records here */
	struct pfs_deciding deciding; /* control */
};

struct pfs_node {
	struct pfs_graph *graph;   /* borrowed */
	struct pfs_domain *domain; /* a reference; NULL for root and folders */
	struct pfs_node *parent;   /* borrowed while linked; NULL once removed */
	/*
	 * A reference for life to the node above, NULL for sources: refs in our queue may point into rings of any node
	 * above, and those have to be there for readers of a removed directory.
	 */
	struct pfs_node *above;	      /* places */
	struct pfs_node *anchor;      /* once removed: a reference to the node of `owner`, ... */
	struct pfs_node *root;	      /* ... and one to the source of its domain */
	struct pfs_children children; /* control; the tree's references */
	struct pfs_child child;
	_Atomic unsigned refs;
	_Atomic bool dead;
	enum pfs_node_kind kind;
	char *name;
	uint64_t id;
	unsigned depth;
	uid_t payer;	    /* whose share of nodes and memory this is of: who made it */
	unsigned processes; /* control: of that share, too */
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct timespec created;
	struct timespec changed;

	struct pfs_node *same; /* NAME: a reference to what it names */
	unsigned uses;	       /* control; of what has names: how many, classes aside */
	bool common;	       /* lies in graph->common */
	bool started;	       /* control; RUN */

	const struct pfs_filter *filter; /* FILTER, VIEW */
	const struct pfs_source *from;	 /* SOURCE; FOLDER of devices */
	struct pfs_args args;
	void *state; /* NULL once ended */
	uint16_t class_;
	unsigned flow;
	uint16_t link_type;
	bool pulls; /* FILTER, VIEW: a task of its own, fed by the queue above */

	unsigned readers;		 /* control: open readers here */
	unsigned reliable_readers;	 /* control: of them */
	struct pfs_reader *first_reader; /* control */
	bool wanted;   /* control: a consumer is here or below; as of the last plan */
	bool leaves;   /* control: the last one has left, and is not in the plan to come */
	bool reliable; /* control: a reliable reader is */
	struct pfs_queue *queue; /* control; kept from the first consumer on */
	bool queue_charged;	 /* control: it has cursors, or had them when last looked at */
	struct pfs_task *task;	 /* of sources and pulling filters */
	struct pfs_task *owner; /* places; borrowed: the task that runs this node, ours or of a node above */
	struct pfs_inject *inject; /* control; made by the first writer */
	struct pfs_join *join;	   /* control; borrowed from the state of a joining sink */
	struct pfs_keeps *keeps;   /* control; owned; NULL: nobody has asked yet */
	uint64_t walk;		   /* control: last walk that was here */

	pfs_counter in, out, bytes; /* writer: the run lock's holder */
	uint64_t delivered, missed; /* control: by readers that have left */
	uint64_t born;		    /* ns, monotonic */
	struct pfs_rates {
		uint64_t in, out, bytes, lost;			 /* when rates were taken last */
		double in_rate, out_rate, bytes_rate, lost_rate; /* a second, then */
	} rates;						 /* control */
	struct pfs_loss lost[PFS_REASONS_MAX];
	_Atomic bool ended;	     /* pfs_emit_eof() was called in this generation */
	_Atomic uint32_t eof_given;  /* writer: run; generation whose end went out last, ... */
	_Atomic uint64_t eof_serial; /* ... of the domain with this serial */
	_Atomic uint64_t seen;	     /* closed class sets: bit (class_ - 1) */

	/* Directories of open class sets (classdir.c); all of it control. */
	struct pfs_node **class_nodes; /* owned; borrowed nodes by class - 1, NULL: none */
	size_t nclass_nodes;
	struct pfs_node *next_sorting; /* graph->sorting */
	bool used;		       /* CLASS of such a set: it is among its parent's children */
	bool kept;		       /* ... it was made by mkdir */
	bool counted;		       /* among its payer's nodes */
};

/* Writes into a directory: a ring and how far the task has read it. */
struct pfs_inject {
	struct pfs_node *node; /* borrowed */
	struct pfs_ring *ring; /* owned; run and lock to change; NULL: nobody writes and nothing waits in it */
	pthread_mutex_t lock;
	_Atomic uint64_t scan;	  /* writer: the task; records from here on are still to be run */
	_Atomic unsigned writers; /* lock to change */
	_Atomic unsigned clients; /* control and lock to add: readers who map the ring, which stays meanwhile */
	uint64_t since; /* control; of the node's queue: what came since the first of them is in the ring */
	/* Ends that found no room in the ring come after all that is in it: streams first, then the generation. */
	uint32_t *ends;		  /* lock; owned; streams; room for one of each open writer */
	uint32_t nends, cap_ends; /* lock */
	uint32_t eof;		  /* lock; 0: none */
	uint64_t eof_serial;	  /* lock; of the domain that it is a generation of */
	unsigned taking;	  /* lock: of its writers, who take part in the generation */
	_Atomic bool owed;	  /* lock to change: nends || eof */
	uint16_t origin;
	pfs_counter records, bytes; /* run so far; writer: the run lock's holder */
};

/* Scratch in which a step sorts what it emitted by the classes that somebody takes. */
struct pfs_sort {
	struct pfs_ref refs[2 * PFS_BATCH]; /* in order */
	uint16_t next[2 * PFS_BATCH];	    /* by ref: the next one of its class */
	uint16_t n;
	unsigned ntouched;
	struct pfs_ref pick[PFS_BATCH]; /* those of one class */
	/* by index in classes: */
	uint16_t *first, *last, *count; /* owned; count: 0 between batches */
	uint16_t *touched;		/* owned: classes with refs */
};

/* One node of a plan; structure is immutable, the batches are scratch of the run lock's holder. */
struct pfs_step {
	struct pfs_plan *plan;
	struct pfs_node *node;	 /* a reference */
	struct pfs_queue *queue; /* borrowed from node; NULL: nobody takes here */
	struct pfs_step **children;
	unsigned nchildren;
	struct pfs_step **classes; /* steps of class nodes */
	unsigned nclasses;
	unsigned nrest;	 /* of a step with a number: of these, that have none */
	uint16_t *route; /* by class: index in classes + 1; 0: nobody takes it */
	size_t nroute;
	struct pfs_task **tasks; /* pulling filters on this queue: kicked after a push; references to their nodes */
	unsigned ntasks;
	unsigned ncounters; /* of these: what does not go into the queue is told them as a number */
	bool read;	    /* somebody takes records from the queue, not numbers alone */
	struct pfs_emitter em;
	struct pfs_ref out[PFS_BATCH];
	size_t nout;
	struct pfs_ref *extra; /* pfs_emit_class(); PFS_BATCH refs, made when there are classes */
	size_t nextra;
	uint16_t *extra_at;	    /* by extra ref: how many of `out` come before it */
	struct pfs_sort *sort;	    /* scratch for the classes */
	struct pfs_record *pending; /* reserved in the task's ring */
	const char *refused; /* why pfs_emit_new() can never succeed as asked in this pull; NULL: it can */
	enum pfs_verdict verdict; /* of the filter: the source says how often, it takes no records */
	uint16_t taker; /* number under which the source decides about it, or PFS_NO_TAKER; then: */
	bool wanted;	/* something here takes records: not only those below that have a number */
	uint32_t since; /* first generation of its number, */
	uint32_t wanted_since; /* and in which all that it passes has come */
	bool every;	       /* the source counts which of all are its */
	uint32_t cut;	       /* bytes of a record that it passes; UINT32_MAX: all */
	uint32_t cut_before;   /* ... when records were made that have too few for that */
	struct pfs_step *above;
	uint64_t taken, taken_in, taken_bytes; /* of the batch in hand */
	struct pfs_tally untold; /* of these: not for the queue, though it has counters */
	bool eof;
	bool emitted;	      /* something was emitted since the last flush of a pull */
	_Atomic bool touched; /* its queue was pushed to since the last wake */
};

struct pfs_plan {
	_Atomic unsigned refs; /* the task's, and of who wakes its readers after the run lock was given up */
	struct pfs_task *task;	 /* borrowed */
	struct pfs_step **steps; /* [0] is the task's node */
	unsigned nsteps;
	struct pfs_step **injects; /* steps whose nodes have an injection ring */
	unsigned ninjects;
	bool rules;		  /* there are verdicts */
	struct pfs_step **takers; /* owned; by number, PFS_TAKERS_MAX; NULL: the source decides nothing */
	/* While records are brought to them that were judged by a generation before some of them were there: */
	bool judged;
	uint32_t generation;
	const struct pfs_takers *counted; /* what the source counted of the records in hand; or NULL */
};

/*
 * Where a pulling filter takes from. One that was moved first reads what waited for it at its old places, up to where
 * each was left, and then its new one.
 */
struct pfs_input {
	struct pfs_input *next; /* what comes after it */
	struct pfs_node *from;	/* a reference: it has the queue */
	struct pfs_cursor cursor;
};

struct pfs_task {
	struct pfs_node *node; /* borrowed: the task is part of it */
	struct pfs_task *next; /* domain->tasks; places */
	pthread_mutex_t run;
	pthread_mutex_t turn;	    /* who waits for `run` holds it: pfs_task_lock() */
	struct pfs_plan *plan;	    /* run; NULL: nothing to do */
	_Atomic unsigned requests;  /* > 0: somebody is running it and will look again */
	_Atomic bool queued;	    /* on the work list of some thread */
	struct pfs_task *work_next; /* that thread's */
	bool begun;		    /* run: some of this generation has flowed */
	bool left;		    /* run: ... and since the last of it nobody is there */
	uint32_t stale_generation;  /* run: its end was for nobody */
	_Atomic bool gated; /* a generation ended here: the next waits for who reads on or comes (pfs_gate_open) */
	uint32_t gate_generation; /* run: which ended here last, ... */
	uint64_t gate_serial;	  /* ... of which domain */
	_Atomic bool stalled;	  /* it may have had no room: kick it when there is some */
	struct pfs_input *input;  /* run; owned: the one it reads, before those that come then */
	bool attached;		  /* control: the last of them is of the node above, and goes on */
	uint64_t input_first;	  /* control: of the records there, the first that it gets */
	uint64_t input_lost;	  /* run: by inputs that have come to their end */
	uint64_t source_lost; /* run: by sources of which it is no more, less what those after had lost before */
	unsigned paused;	    /* run: it takes nothing for now */
	struct pfs_ring *ring;	    /* run; owned: for new bytes */
	_Atomic uint64_t ring_size; /* writer: run; of that, 0: there is none */
	uint16_t origin;	    /* of its records */
	_Atomic uint64_t unflushed; /* in that ring: first record whose ref is not in the queues yet */
	uint64_t due; /* run: mono ns; then it wants to be called, even with nothing there. 0: no time */
	struct {
		_Atomic uint64_t records, bytes, wire;
	} told; /* of a counter: passed above and is not in its books yet; any thread adds, a run takes */
	struct pfs_ref batch[PFS_BATCH]; /* run: what is being pulled or injected */
	size_t pull_max; /* run: records that its filter is given at a time; fewer when they take long or do not fit */
	struct pfs_task *tick_next; /* ticker's lock, and what follows: */
	bool ticking;		    /* on its list */
	uint64_t tick_when;	    /* mono ns; UINT64_MAX: no time */
	uint64_t tick_round;	    /* it was taken in this one */
	int tick_fd;		    /* borrowed; -1: none */
};

/*
 * The run lock. A thread that runs a busy task lets go of it for moments only, between two rounds, and a waiter who has
 * to be woken first would hardly ever come in time: it waits with `turn` in its hand, which the other needs first.
 */
static inline void pfs_task_lock(struct pfs_task *task)
{
	pthread_mutex_lock(&task->turn);
	pthread_mutex_lock(&task->run);
	pthread_mutex_unlock(&task->turn);
}

static inline void pfs_task_unlock(struct pfs_task *task)
{
	pthread_mutex_unlock(&task->run);
}

/* The task that feeds this one, NULL for a source's. Control or places. */
static inline struct pfs_task *pfs_task_above(const struct pfs_task *task)
{
	return task->node->above ? task->node->above->owner : NULL;
}

/* --- node.c ------------------------------------------------------------------------------- */

/* As pfs_node_lookup(); control. */
int pfs_node_find(struct pfs_node *dir, const char *name, struct pfs_node **ret_node);
/* Its path, appended; the root's is "/". Any thread: parents and names change under graph->names too. */
void pfs_node_path_add(const struct pfs_node *node, struct pfs_buf *out);
/* Control; unlinked, one reference. -EDQUOT and -ENOSPC: pfs_due_refused(PFS_DUE_NODES). */
int pfs_node_new(struct pfs_graph *graph, struct pfs_node *parent, enum pfs_node_kind kind,
		 const char *name, uid_t payer, struct pfs_node **ret_node);
void pfs_node_link(struct pfs_node *parent, struct pfs_node *node); /* takes the reference */
void pfs_node_unlink(struct pfs_node *node); /* gives up the tree's reference */
/* Ends a node that has no filters below, with its classes and views: rmdir. -ENOMEM, and nothing has changed. */
int pfs_node_drop(struct pfs_node *node);
bool pfs_node_is_static(const struct pfs_node *node); /* it is always there */
void pfs_node_lost(struct pfs_node *node, const char *reason, uint64_t n);
uint64_t pfs_node_lost_sum(const struct pfs_node *node);
/* Kicks every task: data that waited for a consumer flows. No lock held. */
void pfs_domain_kick(struct pfs_domain *domain);
void pfs_node_kick_all(struct pfs_node *node);			   /* of the tree in which it is */
void pfs_readers_text(struct pfs_node *node, struct pfs_buf *out); /* control */
/*
 * A reader that is given refs, not bytes, by one thread at a time: up to max, some perhaps control refs, of which it
 * needs nothing; 0: the end; -EAGAIN. After a return > 0 they are pinned; unpin says how many of them were taken.
 */
ssize_t pfs_reader_pin(struct pfs_reader *reader, struct pfs_ref *refs, size_t max);
void pfs_reader_unpin(struct pfs_reader *reader, const struct pfs_ref *refs, size_t n);
bool pfs_reader_begins(const struct pfs_reader *reader); /* there is something before its first record */
struct pfs_node *pfs_reader_node(struct pfs_reader *reader); /* borrowed */
struct pfs_node *pfs_writer_node(struct pfs_writer *writer); /* borrowed */
uid_t pfs_reader_uid(const struct pfs_reader *reader);
uid_t pfs_writer_uid(const struct pfs_writer *writer);
size_t pfs_writer_max(const struct pfs_writer *writer); /* bytes of a record */
/* Control. What its own readers got and missed, those that have left too, and what waits for the slowest. */
void pfs_readers_sum(const struct pfs_node *node, uint64_t *delivered, uint64_t *missed, uint64_t *lag);
uint64_t pfs_node_dropped(const struct pfs_node *node);
/* Control. Records that came and went, and their bytes; of classes as they count. */
void pfs_node_counts(struct pfs_node *node, uint64_t *ret_in, uint64_t *ret_out, uint64_t *ret_bytes);
void pfs_node_own_stats(struct pfs_node *node,
			struct pfs_buf *out); /* control: the filter's lines of .stats */
void pfs_node_reason(const char *reason, struct pfs_buf *out); /* of a loss, as it is shown */
void pfs_graph_near(struct pfs_node *dir, const char *name, struct pfs_diag *diag);
/*
 * A ring of this tree, which `payer` pays for; size 0: the default. floor: what its owner's reader has not taken yet,
 * or NULL.
 */
int pfs_domain_ring(struct pfs_domain *domain, uid_t payer, size_t size,
		    const _Atomic uint64_t *floor, struct pfs_ring **ret_ring);
void pfs_domain_ring_free(struct pfs_domain *domain, struct pfs_ring *ring); /* nobody looks into it */
/* The id of an origin of records in this tree. */
int pfs_domain_origin(struct pfs_domain *domain, const struct pfs_origin *origin, uint16_t *ret_id);

/* --- keep.c ------------------------------------------------------------------------------- */

int pfs_retired_init(struct pfs_graph *graph);
void pfs_retired_release(struct pfs_graph *graph); /* no cursor is left */
/* Nobody writes to it any more: it goes when nobody looks into it. NULL is fine. */
void pfs_ring_retire(struct pfs_domain *domain, struct pfs_ring *ring);
/* Frees those that nobody looks into. Under any lock but those of cursors. */
void pfs_graph_reap(struct pfs_graph *graph);
/* The same when it is time to; returns when the next time is (mono ns), UINT64_MAX: never. */
uint64_t pfs_graph_reap_due(struct pfs_graph *graph, uint64_t now);

/* --- users.c: any thread -------------------------------------------------------------------- */

/* -EDQUOT: beyond this user's share; -ENOSPC (nodes), -ENOMEM: beyond what there is for all. */
int pfs_due_take(struct pfs_graph *graph, uid_t uid, enum pfs_due due, uint64_t n);
void pfs_due_give(struct pfs_graph *graph, uid_t uid, enum pfs_due due, uint64_t n);
/* Says why r was returned; returns r. */
int pfs_due_refused(const struct pfs_graph *graph, enum pfs_due due, int r, struct pfs_diag *diag);
uint64_t pfs_due_limit(const struct pfs_graph *graph, enum pfs_due due); /* UINT64_MAX: none */
uint64_t pfs_due_share(const struct pfs_graph *graph, enum pfs_due due);
uint64_t pfs_due_all(struct pfs_graph *graph, enum pfs_due due);
void pfs_users_each(struct pfs_graph *graph,
		    void (*each)(void *arg, uid_t uid, const uint64_t has[PFS_DUES]), void *arg);
void pfs_users_release(struct pfs_graph *graph);

/* --- access.c: control --------------------------------------------------------------------- */

enum { PFS_MAY_SEARCH = 1, PFS_MAY_WRITE = 2, PFS_MAY_READ = 4 };

/* May he, as the kernel would say of this one directory? */
bool pfs_may(const struct pfs_cred *cred, const struct pfs_node *node, unsigned want);
/* May he be a reader that the producers of this directory wait for? */
bool pfs_may_hold(const struct pfs_cred *cred, const struct pfs_node *node);

/* --- build.c: making nodes of filters and sources ------------------------------------------ */

int pfs_build_filter(struct pfs_node *parent, const struct pfs_filter *filter, const char *name,
		     struct pfs_args *args, const struct pfs_cred *cred, mode_t mode,
		     struct pfs_node **ret_node, struct pfs_diag *diag);
int pfs_build_source(struct pfs_node *parent, const struct pfs_source *source, const char *name,
		     struct pfs_args *args, const struct pfs_cred *cred, mode_t mode,
		     struct pfs_node **ret_node, struct pfs_diag *diag);
void pfs_node_finish(struct pfs_node *node); /* control, unplanned: fini of its state */
int pfs_place_of(struct pfs_node *parent, const struct pfs_cred *cred, struct pfs_place *ret_place);

/* What a node gives to those below it. */
struct pfs_flows {
	unsigned flow;
	uint16_t link_type;
	const struct pkt_describe *describe;
};
void pfs_flow_below(const struct pfs_filter *filter, const struct pfs_flows *above,
		    struct pfs_flows *ret_flows);
const char *pfs_flow_word(unsigned flow);
const struct pkt_describe *pfs_describe_of(const struct pfs_node *node);
bool pfs_filter_pulls(const struct pfs_filter *filter, unsigned flow); /* where that flows */
/* -EINVAL, with the sentence. `above` is the name of the directory in which that flows. */
int pfs_filter_fits(const struct pfs_filter *filter, const struct pfs_node *source, unsigned flow,
		    const char *above, struct pfs_diag *diag);

/* --- fit.c: may a subtree live at another place? Control ------------------------------------- */

/* Calls fn for what is below, also for classes that are no children (classdir.c); until it returns non-zero. */
int pfs_each_below(struct pfs_node *dir, int (*fn)(struct pfs_node *node, void *arg), void *arg);
/* -EINVAL: what flows there is nothing for `node` or something below it. */
int pfs_fit_check(struct pfs_node *node, struct pfs_node *to, struct pfs_diag *diag);
/*
 * Tells the filters for which other records will flow. -errno with the sentence, and then those that have been told are
 * told that they stay.
 */
int pfs_fit_tell(struct pfs_node *node, struct pfs_node *from, struct pfs_node *to,
		 struct pfs_diag *diag);
/* It is there now: what flows in it is that. */
void pfs_fit_set(struct pfs_node *node);

/* --- classdir.c: directories of classes ------------------------------------------------------ */

/*
 * Classes of closed sets are made when they are looked up, and are children like others. An open set may have
 * thousands: a directory that was only looked at is not among the children, and costs a plan nothing. It goes there
 * with its first reader, writer or filter, or because mkdir made it.
 */
struct pfs_classes *pfs_class_set(const struct pfs_node *dir); /* NULL: no open set */
/* The number of that name, made by hand when `make`. -ENOENT, -EINVAL, -ENOSPC: as pfs_classes_find(). */
int pfs_class_find(struct pfs_node *dir, const char *name, bool make, uint16_t *ret_class,
		   struct pfs_diag *diag);
/* Of an open set: the directory that there is, borrowed; or NULL. */
struct pfs_node *pfs_class_known(const struct pfs_node *dir, uint16_t class_);
/* mkdir of a class: -EEXIST; -ENOENT: it is none; else it stays, and *ret_node is borrowed. */
int pfs_class_make(struct pfs_node *dir, const char *name, struct pfs_node **ret_node,
		   struct pfs_diag *diag);
/* The directory of a class that was found, borrowed; made when there is none. */
int pfs_class_dir(struct pfs_node *dir, const char *name, uint16_t class_, struct pfs_node **ret_node);
void pfs_class_forget(struct pfs_node *dir, uint16_t class_); /* it has no directory */
int pfs_class_keep(struct pfs_node *node);  /* made by mkdir: stays. -EDQUOT, -ENOSPC */
void pfs_class_use(struct pfs_node *node);  /* from now on it is a child; other nodes are let be */
void pfs_class_gone(struct pfs_node *node); /* a node is being unlinked */
/* The set is there, or is about to go with all its directories. Other nodes are let be. */
void pfs_class_begin(struct pfs_node *dir);
void pfs_class_end(struct pfs_node *dir);
void pfs_class_watch(struct pfs_graph *graph); /* expire= may have changed */

/* --- runs.c: what differs below a run ------------------------------------------------------- */

static inline struct pfs_node *pfs_node_real(struct pfs_node *node)
{
	return node->same ? node->same : node;
}
static inline bool pfs_in_run(const struct pfs_node *dir)
{
	return dir->kind == PFS_NODE_RUN || dir->kind == PFS_NODE_NAME;
}
/* As pfs_node_make() and so on; control. */
int pfs_stage_make(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		   struct pfs_node **ret_node, struct pfs_diag *diag);
int pfs_stage_lookup(struct pfs_node *dir, const char *name, struct pfs_node **ret_node);
int pfs_stage_remove(struct pfs_node *node, struct pfs_diag *diag);

/* --- plan.c -------------------------------------------------------------------------------- */

/* Rebuilds what runs in this domain and publishes it. Control lock. On -ENOMEM the old plans stay. */
int pfs_domain_replan(struct pfs_domain *domain);
/* The same in two steps. After begin() either publish() or cancel(). */
struct pfs_replan {
	struct pfs_domain *domain; /* borrowed */
	struct pfs_change *changes;
	size_t n;
};
int pfs_replan_begin(struct pfs_domain *domain, struct pfs_replan *ret_replan);
int pfs_replan_publish(struct pfs_replan *replan); /* -errno: see pfs_decide_publish() */
void pfs_replan_cancel(struct pfs_replan *replan); /* one that has not begun is fine */
/* Is there something that it has yet to take? Run lock. */
bool pfs_inputs_ready(const struct pfs_task *task);
/* The first input has come to its end: the next one. False: it has not. Run lock. */
bool pfs_inputs_next(struct pfs_task *task);
unsigned pfs_inputs_count(struct pfs_task *task); /* control */
int pfs_node_queue(struct pfs_node *node);	  /* makes node->queue */
void pfs_node_queue_trim(struct pfs_node *node); /* control: gives its memory back when no cursor is there */
int pfs_task_new(struct pfs_node *node);
void pfs_task_retire(struct pfs_task *task); /* control: off the domain's list, without plan and input */
void pfs_task_free(struct pfs_task *task);
void pfs_plan_unref(struct pfs_plan *plan); /* NULL is fine */
struct pfs_domain *pfs_domain_ref(struct pfs_domain *domain);
void pfs_domain_unref(struct pfs_domain *domain);
int pfs_domain_new(struct pfs_node *source, struct pfs_domain **ret_domain);
/* Something is about to go from a to b: from now on either may have refs into rings of the other. -ENOMEM. */
int pfs_domains_join(struct pfs_domain *a, struct pfs_domain *b);
uint64_t pfs_domain_limit(void *domain, struct pfs_ring *ring, uint64_t want); /* pfs_ring_limit_fn */

/* --- work.c --------------------------------------------------------------------------------- */

/* Runs the task and all that becomes possible by that, on this thread, or leaves it to the thread that is at it. */
void pfs_kick(struct pfs_task *task);
/* The task that runs this node, from outside of a run. */
void pfs_node_kick(struct pfs_node *node);
/* The list of its tree on which those are who wait for somebody to move on. */
void pfs_node_space_add(struct pfs_node *node, struct pfs_waiter *waiter);
bool pfs_node_space_remove(struct pfs_node *node, struct pfs_waiter *waiter);
void pfs_node_space_wake(struct pfs_node *node);
/*
 * A reader moved on in the queue of `node`, or (above) its task in its inputs: whoever waited for room goes on, that is
 * the tasks above, whose rings its refs may point into, and writers.
 */
void pfs_moved_on(struct pfs_node *node, bool above);
struct pfs_ref pfs_control_ref(unsigned flags, uint32_t number); /* of a stream, or an early end */
struct pfs_ref pfs_control_end(uint64_t serial, uint32_t generation); /* of the domain with that serial */
/*
 * Somebody at this node wants the next generation: what was written after the end of the last one flows. Without the
 * gate it would follow at once and be gone with readers who leave at the end, as they should.
 */
void pfs_gate_open(struct pfs_node *node);
bool pfs_gate_closed(const struct pfs_task *task);
/* Kicks the pulling filters and wakes the readers of queues that were pushed to. Inside of work; no run lock held. */
void pfs_plan_wake(struct pfs_plan *plan);

/* Kicks between begin and end are run at end; pairs nest. No lock may be held at end. */
bool pfs_work_begin(void);
#define PFS_PATIENCE UINT64_C(5000000) /* ns */
bool pfs_work_begin_short(uint64_t patience); /* what is not done after so many ns is left to the ticker's thread */
void pfs_work_end(bool outermost);

/* --- run.c ---------------------------------------------------------------------------------- */

size_t pfs_plan_room(struct pfs_plan *plan, size_t want);		      /* run lock */
void pfs_step_deliver(struct pfs_step *step, struct pfs_ref *refs, size_t n); /* run lock; n <= room */
void pfs_step_control(struct pfs_step *step, const struct pfs_ref *ref); /* run lock; room for 1 */
/* The same of the source's records, as far as it has decided about them. n <= room */
void pfs_plan_take(struct pfs_plan *plan, struct pfs_ref *refs,
		   const struct pfs_takers *const *takers, size_t n);
/* A pulling task's ring, made when there is none. Run lock, with a plan. NULL: no memory, or no share of it. */
struct pfs_ring *pfs_task_ring(struct pfs_task *task);
void pfs_step_flush(struct pfs_step *step); /* run lock: what its filter emitted goes on */

/* --- feed.c -------------------------------------------------------------------------------- */

int pfs_feed_init(struct pfs_domain *domain);
void pfs_feed_release(struct pfs_domain *domain);
int pfs_feed_start(struct pfs_domain *domain, struct pfs_diag *diag); /* control */
void pfs_feed_stop(struct pfs_domain *domain);			      /* control; joins */
/* The same, but what there is to wait for in the kernel the decider's thread waits for (pfs_source.quiesce). */
void pfs_feed_end(struct pfs_domain *domain); /* control; joins */
/* It has waited: the end of that number is complete, unless there is a later one. Control. */
void pfs_feed_ended(struct pfs_domain *domain, unsigned ends);

/* --- join.c -------------------------------------------------------------------------------- */

/*
 * Control. Would what leaves `dir` come back to it, if it went into `below` (of the tree or through a join)? For mkdir
 * of a join and for mv: a subtree must not be moved below what it leads to.
 */
bool pfs_node_would_loop(struct pfs_node *below, const struct pfs_node *dir);
/*
 * mv to another tree: what the joins of a subtree will need there. -EINVAL: a join in it, or into it, would be into its
 * own tree; -ENOMEM. Then, with the run lock of each and its new domain: it leaves its group and enters that of the new
 * tree.
 */
int pfs_joins_reserve(struct pfs_node *node, struct pfs_domain *to, struct pfs_joins **ret_spare,
		      struct pfs_diag *diag);
void pfs_join_follow(struct pfs_node *node, struct pfs_joins **spare);
void pfs_joins_free(struct pfs_joins *spare);		     /* what is left */
struct pfs_node *pfs_join_node(const struct pfs_join *join); /* control; borrowed; NULL: cut */
/* Control. The sink is about to be in the tree: its join takes part. -ENOMEM. */
int pfs_join_link(struct pfs_join *join);
/* Control. The target goes: what is joined into it ends there. */
void pfs_joins_cut(struct pfs_node *target);
int pfs_place_join(const struct pfs_place *place, const char *path, struct pfs_join **ret_join,
		   struct pfs_diag *diag);

/* --- find.c -------------------------------------------------------------------------------- */

/*
 * The directory that a path names: relative to the root of the tree, or absolute on this machine, through any mount of
 * this filesystem and any link on the way there. Judges the right to walk there and `want` at its end. A new reference.
 * -ENOENT, -EACCES, -EINVAL (it leads elsewhere), -ELOOP, -EPERM (the caller's files are not ours).
 */
int pfs_graph_find(struct pfs_graph *graph, const struct pfs_cred *cred, const char *path,
		   unsigned want, struct pfs_node **ret_node, struct pfs_diag *diag);

/* --- writer.c ------------------------------------------------------------------------------ */

/* pfs_writer_open() is all of new, stream_begin and generation_begin; close is their end. */
int pfs_writer_new(struct pfs_node *node, struct pfs_writer **ret_writer,
		   struct pfs_diag *diag);	 /* control */
void pfs_writer_free(struct pfs_writer *writer); /* NULL is fine */
/* Data side. -ENOMEM. What follows is of a new stream; its end needs no memory. */
int pfs_stream_begin(struct pfs_writer *writer);
void pfs_stream_end(struct pfs_writer *writer);
/* Data side. One more, or less, that the generation of this tree waits for; node: which was written to. */
void pfs_generation_begin(struct pfs_node *node);
void pfs_generation_end(struct pfs_node *node);
/*
 * mv: its node goes from one tree to another, with those of its writers that take part in the generation. True: they
 * were the last of the old one, which pfs_generation_over() ends. Inject lock.
 */
bool pfs_inject_move(struct pfs_inject *inject, struct pfs_domain *from, struct pfs_domain *to);
void pfs_generation_over(struct pfs_domain *domain);
/*
 * As pfs_writer_store(), of a record of another tree. origin: of packets, with their metadata; NULL: bytes.
 */
int pfs_writer_copy(struct pfs_writer *writer, const struct pfs_ref *ref, const uint16_t *origin);
/* The next end that found no room in the ring, if there is one. Inject lock. */
void pfs_inject_take_end(struct pfs_inject *inject, struct pfs_ref *ret_ref);
/*
 * Is something on its way from the ring to the queues that was written before position `to`? 0: before now, which
 * *ret_to says. What nobody wants, or waits behind the end of a generation, is not on its way. Nothing is moved
 * meanwhile.
 */
bool pfs_inject_waits(struct pfs_inject *inject, uint64_t to, uint64_t *ret_to);
void pfs_inject_relabel(struct pfs_inject *inject); /* control: the link type of its node is another */
/* Gives its ring up when nobody writes and nothing waits in it but ends. Run lock. */
void pfs_inject_rest(struct pfs_inject *inject);
/*
 * May clients of this directory map the ring into which processes write (its inject's), with the queue of refs into it?
 * Nothing else comes there then.
 */
bool pfs_inject_maps(const struct pfs_node *node);
int pfs_inject_join(struct pfs_node *node,
		    struct pfs_diag *diag);   /* control: one client more. -ENOMEM, -EDQUOT, ... */
void pfs_inject_leave(struct pfs_node *node); /* control is free */
void pfs_inject_free(struct pfs_inject *inject); /* NULL is fine */

/* --- ticker.c ------------------------------------------------------------------------------- */

int pfs_ticker_new(struct pfs_graph *graph, struct pfs_ticker **ret_ticker);
void pfs_ticker_free(struct pfs_ticker *ticker);
/* Kick the task at `when` (mono ns), or when fd polls writable or readable (fd >= 0). */
void pfs_ticker_add(struct pfs_ticker *ticker, struct pfs_task *task, uint64_t when, int fd); /* run lock */
enum pfs_chore {
	PFS_CHORE_CLASSES, /* forget idle ones */
	PFS_CHORE_TALLY,   /* tell counters what the source has counted */
	PFS_CHORES,
};
/* Call fn(arg) at `when` (mono ns) or before; it returns when next, UINT64_MAX: when asked again. One at a time. */
void pfs_ticker_chore(struct pfs_ticker *ticker, enum pfs_chore which, uint64_t (*fn)(void *arg),
		      void *arg, uint64_t when);
void pfs_ticker_poke(struct pfs_ticker *ticker); /* what it waits for has changed */
/* Forgets the task and waits until the ticker is not running it. */
void pfs_ticker_remove(struct pfs_ticker *ticker, struct pfs_task *task);

/* --- openas.c -------------------------------------------------------------------------------- */

#define PFS_GROUPS_MAX 1024

/* Is the caller where we are: same root, same mounts? -EPERM. */
int pfs_same_files(const struct pfs_cred *cred, struct pfs_diag *diag);
/* Supplementary groups of a caller. -ESRCH: he is gone, or another process has his number; -E2BIG. */
int pfs_groups_of(const struct pfs_cred *cred, gid_t groups[PFS_GROUPS_MAX], size_t *ret_n);
/*
 * What a link of the caller's says, as he reads it. Returns its length; -EINVAL: it is no link.
 */
ssize_t pfs_readlink_as(const struct pfs_cred *cred, const char *path, char *to, size_t size);
int pfs_open_as(const struct pfs_place *place, const char *path, int flags, mode_t mode,
		struct pfs_diag *diag);

#endif
