/*
 * graph - the tree of sources, filters, classes and views, and its streams
 *
 * The tree is what the filesystem shows. Structure is changed under one lock (the control side: make, remove, open,
 * close, parameters); data moves on other threads (workers: a source's own thread, or whichever thread brought the
 * data or made room for it). They meet at *publish*: a change builds a new immutable plan for the part of the tree that
 * it touches, publishes it with one release store, and frees the old one after the worker was seen outside of it.
 *
 * Only what somebody consumes runs: a plan holds the nodes with an open reader, a sink or a counter at or below
 * them; a source without consumers is stopped.
 *
 * The mount (or a test) is the only user of this header. It calls in; the graph calls back only through struct
 * pfs_waiter and the complaints of filters.
 *
 * Errors are -errno; the sentence is in the diag. Names in the tree follow base/name.h.
 *
 * Lifetime: nodes are reference-counted. A removed node lives on as "dead" while referenced: its readers drain what is
 * queued and get EOF; everything else says -ESTALE or -ENOENT.
 */
#ifndef PFS_GRAPH_GRAPH_H
#define PFS_GRAPH_GRAPH_H

#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "graph/filter.h"
#include "ring/wait.h"

struct pfs_graph;
struct pfs_home;
struct pfs_node;
struct pfs_reader;
struct pfs_writer;

struct pfs_complaint;
struct rd_herd;

struct pfs_graph_options {
	size_t ring_size;   /* bytes per source or writer ring; 0: 16 MiB */
	size_t memory_max;  /* bytes of rings and queues in all; 0: 2 GiB; beyond: ENOMEM */
	unsigned nodes_max; /* nodes in all; 0: 20,000; beyond: ENOSPC */
	/* What one user may have who is neither root nor `uid`; beyond: EDQUOT. 0: the default. */
	unsigned user_nodes;	 /* a quarter of nodes_max */
	size_t user_memory;	 /* a quarter of memory_max */
	unsigned user_processes; /* of commands; 256 */
	unsigned user_opens;	 /* open pipes; 256 */
	unsigned user_sockets;	 /* of directories; 1024 */
	/* ns of what a change of the tree makes possible that its thread does itself; the rest is another's. 0: 5 ms */
	uint64_t patience;
	uint64_t latency; /* ns that kernel sources may hold records to merge CPUs in order; default 1 ms */
	uid_t uid; /* owner of the static nodes: who mounted */
	gid_t gid;
	struct pfs_spawner *spawner; /* borrowed; who starts commands (base/spawn.h). NULL: there are none */
	struct rd_herd *herd; /* borrowed; filters of files, for the source redirfs. NULL: there are none */
	const struct pfs_home *home; /* borrowed; whom callers are compared with before one runs as them */
	dev_t dev; /* st_dev of the mount: which absolute paths are ours; 0: none */
	/*
	 * A filter has something to say to the maker of its directory, in words. Called on any thread, with locks held:
	 * it must neither wait nor call the graph, but for pfs_node_path(). NULL: nobody listens.
	 */
	void (*complain)(void *arg, const struct pfs_complaint *complaint);
	void *complain_arg;
};

struct pfs_complaint {
	struct pfs_node *node; /* borrowed */
	uid_t uid;	       /* of its maker */
	pid_t pid;	       /* of a command of his; 0: none */
	int error;	       /* an errno that fits */
	const char *text;
};

/* Who makes the call. */
struct pfs_cred {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* 0: unknown */
};

int pfs_graph_new(const struct pfs_graph_options *options, struct pfs_graph **ret_graph);
/* Stops everything and frees. No reader, writer or node reference is left. NULL is fine. */
void pfs_graph_free(struct pfs_graph *graph);

/* Ends all streams: every parked reader and writer is woken and gets EOF or -EIO. Before unmounting. */
void pfs_graph_shutdown(struct pfs_graph *graph);

/* Bytes of rings and queues that are charged now. */
uint64_t pfs_graph_memory(const struct pfs_graph *graph);

/* --- the tree -------------------------------------------------------------------------- */

enum pfs_node_kind {
	PFS_NODE_ROOT,
	PFS_NODE_FOLDER, /* `dev`: holds devices, is no filter */
	PFS_NODE_SOURCE,
	PFS_NODE_FILTER,
	PFS_NODE_CLASS,
	PFS_NODE_VIEW, /* never listed; made by opening all.pcapng and the like */
	PFS_NODE_RUN,  /* `run:PID`: holds sources, is no filter */
	PFS_NODE_NAME, /* inside only: a stage of a run; info has the kind of what it names */
};

struct pfs_node_info {
	enum pfs_node_kind kind;
	uint64_t id; /* stable, unique, > 1; the root is 1 */
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits of the directory */
	struct timespec created;
	unsigned flow; /* PFS_FLOW_* of its output */
	bool sink;     /* no output */
	bool writable; /* processes may write to its `all` */
	bool alive;
	bool params_writable;
	bool program;	    /* has a .program */
	const char *source; /* SOURCE, FOLDER: its name in the tables; else NULL */
	unsigned children;
};

struct pfs_node *pfs_graph_root(struct pfs_graph *graph); /* borrowed */
struct pfs_node *pfs_node_ref(struct pfs_node *node);
void pfs_node_unref(struct pfs_node *node); /* NULL is fine */
void pfs_node_info(struct pfs_node *node, struct pfs_node_info *ret_info);
/* "/accept/unpcap": path below the root, escaped as in the tree. From complaints too. */
void pfs_node_path(struct pfs_node *node, struct pfs_buf *out);

/*
 * Child of a directory. Looks only: finds existing nodes, static sources, devices that exist, classes (of closed sets
 * at once, of open sets once seen). -ENOENT. *ret_node is a new reference.
 */
int pfs_node_lookup(struct pfs_node *dir, const char *name, struct pfs_node **ret_node);

/*
 * mkdir. -EEXIST, -ENOENT (unknown filter; near misses in diag), -EINVAL (bad argument or expression, impossible
 * place), -EACCES/-EPERM, -ENOSPC, -EDQUOT (limits), -ENAMETOOLONG, -ENOMEM, -ELOOP (too deep: 64; a join that would
 * close a circle), what init of the filter says.
 */
int pfs_node_make(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		  struct pfs_node **ret_node, struct pfs_diag *diag);

/* rmdir. -ENOENT, -ENOTEMPTY (child filters), -EBUSY (always there), -EPERM. Readers drain, then EOF. */
int pfs_node_remove(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
		    struct pfs_diag *diag);

/*
 * rename. A running subtree goes from dir/name to to/new_name with its state, counters, parameters, classes, readers
 * and writers. Its readers get what came to the old place, then what comes to the new one: where both get the records
 * of one source, each once and in order; between sources, all that was written before the call, and all that comes to
 * the new one after the return. Nothing is replaced.
 * -ENOENT; -EEXIST, -ENOTEMPTY: that name is taken; -EINVAL: it would be another filter, does not fit there, goes below
 * itself, or is a class or a source; -ELOOP: too deep, or a join would close a circle; -EPERM; -EBUSY: it is always
 * there, or readers hold up what is on the way to it; -ENAMETOOLONG, -ENOMEM, and what starting the source there says.
 * On an error nothing has changed.
 */
int pfs_node_move(struct pfs_node *dir, const char *name, struct pfs_node *to, const char *new_name,
		  const struct pfs_cred *cred, struct pfs_diag *diag);

/* chmod/chown (-1: unchanged). The caller checked the right to. */
int pfs_node_chown(struct pfs_node *node, uid_t uid, gid_t gid);
int pfs_node_chmod(struct pfs_node *node, mode_t mode);

/*
 * --- runs: private pipelines that go with whoever made them ---
 *
 * A run is the directory `run:PID` at the root, for its maker alone. Sources are made in it, and stages below them,
 * with pfs_node_make(); nothing of it has a name elsewhere. Its sources wait until pfs_run_start(), so that every
 * reader can be there before the first record.
 *
 * Each of its directories is a *name* of a node that may have several: a run that makes a stage which an equal run of
 * the same user has made at an equal place gets that node, as far as what comes out of it does not depend on who came
 * when (docs/decisions/005). A node that has several names is used by all: its parameters are fixed (-EBUSY), nothing
 * can be written into it, and it ends with the last of them.
 */
int pfs_run_make(struct pfs_graph *graph, const struct pfs_cred *cred, struct pfs_node **ret_run);
/* The sources may start. The first error of those that have consumers already; the others have started. */
int pfs_run_start(struct pfs_node *run, struct pfs_diag *diag);
/* Removes the run and all in it. Readers drain, then EOF. More than once does nothing. */
void pfs_run_end(struct pfs_node *run);
/* The name of a node, "run:4711"; valid as long as the node is. */
const char *pfs_node_name(const struct pfs_node *node);

/*
 * Listing: calls each() for every subdirectory (children, classes seen, devices), under no lock that each() could want.
 * Stops when each() returns non-zero.
 */
int pfs_node_list(struct pfs_node *dir,
		  int (*each)(void *arg, const char *name, const struct pfs_node_info *info),
		  void *arg);

/* --- the hidden files -------------------------------------------------------------------- */

enum pfs_text {
	PFS_TEXT_STATS, /* .stats: name value lines: in out dropped lost bytes lost.<reason> ..., readers */
	PFS_TEXT_PARAMS,  /* .params: name=value lines, argument as `arg=` */
	PFS_TEXT_READERS, /* .readers: uid pid command policy delivered lost lag, one line each */
	PFS_TEXT_PROGRAM, /* .program */
	PFS_TEXT_MANUAL,  /* of the filter of this node */
};
int pfs_node_text(struct pfs_node *node, enum pfs_text which, struct pfs_buf *out);
/* Writing .params: merges key=value lines. -EINVAL and nothing changed. */
int pfs_node_params_set(struct pfs_node *node, const char *text, size_t len,
			const struct pfs_cred *cred, struct pfs_diag *diag);

/* What runs, as one user may see it: docs/formats.md. */
enum pfs_show {
	PFS_SHOW_GRAPH,	  /* .graph, for people */
	PFS_SHOW_DOT,	  /* .graph.dot */
	PFS_SHOW_JSON,	  /* .graph.json */
	PFS_SHOW_METRICS, /* .metrics */
};
/* Of `top` and all below it. -ENOMEM, also when it is more than a pfs_buf holds. */
int pfs_graph_show(struct pfs_node *top, enum pfs_show which, const struct pfs_cred *cred,
		   struct pfs_buf *out);

/* --- reading ------------------------------------------------------------------------------ */

struct pfs_reader_options {
	const char *view; /* "pcapng", "json", "txt"; NULL: the bytes themselves */
	int policy;	  /* -1: the source's default, 0: lossy, 1: reliable */
	bool end;	  /* of a sink: no bytes, only the end, when it has done with the stream */
	bool client;	  /* pfs_reader_share() is to follow */
	struct pfs_cred cred;
};

/* Names of the views in order, ends with NULL: for listing all.<view>. */
extern const char *const pfs_view_names[];

/*
 * Attaches: everything from now on. May start the source: its error is ours (-EPERM, -ENODEV, ...).
 * -EINVAL: the directory has no such stream (a sink, unless its end is all that is asked for; a packet view of bytes).
 */
int pfs_reader_open(struct pfs_node *node, const struct pfs_reader_options *options,
		    struct pfs_reader **ret_reader, struct pfs_diag *diag);
void pfs_reader_close(struct pfs_reader *reader);

#define PFS_IOV_MAX 512
#define PFS_GATHER_MAX ((size_t)256 << 10)

/*
 * Takes up to `size` bytes for one reply; record: at most one record, the tail that does not fit is dropped as by
 * packet pipes. Fills iov (pointing into ring memory, or into `gather`, a buffer of at least min(size,
 * PFS_GATHER_MAX) bytes, into which small neighbouring records are copied) and returns the number of bytes; 0: end of
 * the stream; -EAGAIN: nothing now.
 * keep_short: if the bytes would fill size exactly and no more is ready, leave the last one for the next call (a short
 * reply ends the kernel's splitting of a large read).
 * After a return > 0 the bytes are pinned: reply, then pfs_reader_done(). One get at a time per reader.
 */
ssize_t pfs_reader_get(struct pfs_reader *reader, size_t size, bool record, bool keep_short,
		       uint8_t *gather, struct iovec iov[PFS_IOV_MAX], unsigned *ret_niov);
/*
 * The reply was made (delivered) or failed (the bytes stay for the next get). Unpins; may run tasks that waited for
 * room.
 */
void pfs_reader_done(struct pfs_reader *reader, bool delivered);

/* Data, EOF or end: true when get would not say -EAGAIN. */
bool pfs_reader_ready(struct pfs_reader *reader);
/*
 * Parks until there may be something to get. Returns false, not parked, when there is already. waiter->wake is
 * called once, on any thread, and must not call pfs_reader_close.
 */
bool pfs_reader_park(struct pfs_reader *reader, struct pfs_waiter *waiter);
/* True: taken back, will not be woken. */
bool pfs_reader_unpark(struct pfs_reader *reader, struct pfs_waiter *waiter);

/*
 * --- reading by a client, from memory (ring/shared.h) ---
 *
 * A reader of a view can be given to a client, which maps the view's queue and ring: `copy` stands for the bytes
 * themselves. From then on its page is what tells how far it is, and get says -EBUSY.
 */
struct pfs_given {
	struct pfs_shared_hello hello;
	int fds[PFS_GIVEN_COUNT]; /* borrowed from the reader, which closes them */
};

/*
 * What a client of this reader is given; once: a client that sleeps is nudged (base/nudge.h) when it has
 * something to look at. -EINVAL: not of such a stream; -EBUSY: it has one, or was read from; -ENOMEM, -EDQUOT.
 */
int pfs_reader_share(struct pfs_reader *reader, struct pfs_given *ret_given, struct pfs_diag *diag);
/* Nobody listens any more; a client that does will see the end. */
void pfs_reader_mute(struct pfs_reader *reader);
/* Its client has moved on, or wants what comes after the end of a generation. */
void pfs_reader_on(struct pfs_reader *reader);

/* --- writing -------------------------------------------------------------------------------- */

/* Largest record: 1 MiB, the largest request of the kernel's. */
#define PFS_WRITE_MAX ((size_t)1 << 20)

/* -EINVAL: nothing can be written there (sinks, views, classes of them); -ENOMEM. */
int pfs_writer_open(struct pfs_node *node, const struct pfs_cred *cred,
		    struct pfs_writer **ret_writer, struct pfs_diag *diag);
/*
 * Its stream ends, and the generation with its last writer: EOF goes after what was written. Nothing is stored any
 * more, but pfs_writer_run() may still be at work on another thread; close does the rest. Never waits.
 */
void pfs_writer_end(struct pfs_writer *writer);
/* Ends it if that was not done. Never waits. */
void pfs_writer_close(struct pfs_writer *writer);
/*
 * All n bytes as one record (packet directories) or as the next piece of this open's byte stream. Returns n; -EAGAIN:
 * the ring is full; -EMSGSIZE: too long for a record; -EPIPE: the node is gone. Runs the tree below unless another
 * thread is at it.
 */
ssize_t pfs_writer_write(struct pfs_writer *writer, const void *bytes, size_t n);
/* The same in two steps, so that a reply can be sent between them: store, then run. */
ssize_t pfs_writer_store(struct pfs_writer *writer, const void *bytes, size_t n);
/* Believed are a time that has been, and the length of packets; for the rest it is as with store. */
ssize_t pfs_writer_store_as(struct pfs_writer *writer, const void *bytes, size_t n,
			    const struct pfs_said *said);
void pfs_writer_run(struct pfs_writer *writer);
bool pfs_writer_ready(struct pfs_writer *writer, size_t n);
bool pfs_writer_park(struct pfs_writer *writer, struct pfs_waiter *waiter, size_t n);
bool pfs_writer_unpark(struct pfs_writer *writer, struct pfs_waiter *waiter);

#endif
