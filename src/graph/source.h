/*
 * source - where records come from
 *
 * One file, one `const struct pfs_source`. A source with `run` gets a thread while it has a consumer: run() makes
 * records until pfs_feed_stopping() and returns; the graph starts and stops it. A source without `run` (accept) lives
 * from what processes write into its directory.
 *
 * run() either writes into rings of its own (pfs_feed_ring(), then pfs_feed_reserve/commit) and pushes refs, or adopts
 * foreign rings (BPF) and pushes refs into them. Refs of one push are in order of time; a push runs the whole tree
 * below on the caller's thread and returns when the refs have been handed on.
 *
 * policy: behind the kernel lossy, everywhere else reliable: then a push waits for reliable readers (and returns -EINTR
 * when the source is being stopped).
 */
#ifndef PFS_GRAPH_SOURCE_H
#define PFS_GRAPH_SOURCE_H

#include "graph/filter.h"

struct pfs_feed;

enum {
	PFS_SOURCE_WRITABLE = 1 << 0, /* processes may write byte streams into its `all` */
	PFS_SOURCE_LOSSY = 1 << 1,    /* cannot wait: readers are lossy unless they say otherwise */
	PFS_SOURCE_STATIC = 1 << 2,   /* is there without mkdir (netfilter_in) */
	PFS_SOURCE_DEVICES = 1 << 3, /* a directory of devices: `dev`; the argument is the child's name */
};

struct pfs_source {
	const char *name;
	const char *alias; /* or NULL */
	const char *summary;
	unsigned flags;
	unsigned out; /* PFS_FLOW_* */
	bool has_arg;
	bool needs_arg;
	const struct pfs_param *params;
	size_t state_size;

	/*
	 * args->arg is the argument (the device's name for PFS_SOURCE_DEVICES); `name` the whole type name, for files
	 * that register several (netfilter_in, netfilter_out). Acts on nothing: no descriptor of the kernel's
	 * network, no capture. Files are opened here, as the maker.
	 */
	int (*init)(void *state, const char *name, const struct pfs_args *args,
		    const struct pfs_place *place, struct pfs_diag *diag);
	/* New parameters. A source with start() is stopped meanwhile; one without may be in run(). */
	int (*reconfigure)(void *state, const struct pfs_args *args, const struct pfs_place *place,
			   struct pfs_diag *diag);
	/*
	 * New parameters while it is attached, without a gap. 0: they are in force; 1: these need reconfigure, stopped;
	 * -errno: nothing has changed. On the control thread, beside run(). NULL: always 1.
	 */
	int (*retune)(void *state, const struct pfs_args *args, struct pfs_diag *diag);
	void (*fini)(void *state);
	/*
	 * A consumer has come: attach to the kernel. Called on the control thread before run(), so that open(2)
	 * returns the error. NULL: nothing to do.
	 */
	int (*start)(void *state, struct pfs_feed *feed, struct pfs_diag *diag);
	int (*run)(void *state, struct pfs_feed *feed);
	void (*stop)(void *state); /* after run() returned */
	void (*stats)(void *state, struct pfs_buf *out);
	/* .program: the code that runs in the kernel. NULL: none. */
	void (*program)(void *state, struct pfs_buf *out);
	/* PFS_SOURCE_DEVICES: is there a device of that name (looking only); calls back for each device. */
	bool (*device_exists)(const char *name);
	void (*devices)(void (*each)(void *arg, const char *name), void *arg);
};

/* --- what run() may use ------------------------------------------------------------- */

/* eventfd that becomes readable when run() should return; poll it beside one's own descriptors. */
int pfs_feed_stop_fd(const struct pfs_feed *feed);
bool pfs_feed_stopping(const struct pfs_feed *feed);

const struct pfs_rings *pfs_feed_rings(const struct pfs_feed *feed);

/* Mount option ring=: bytes of memory for this source. */
size_t pfs_feed_ring_size(const struct pfs_feed *feed);

/* Mount option latency=: ns that records may be held back to merge CPUs in order; 0: not at all. */
uint64_t pfs_feed_latency(const struct pfs_feed *feed);

/* A memfd ring of this tree; freed by the graph after stop(), when no ref can be left. size 0: the default. */
int pfs_feed_ring(struct pfs_feed *feed, size_t size, struct pfs_ring **ret_ring);
/* Adopts foreign memory as pfs_ring_adopt(); the graph calls release when no ref can be left (after stop()). */
int pfs_feed_adopt(struct pfs_feed *feed, uint8_t *data, uint64_t size,
		   void (*release)(struct pfs_ring *), void *priv, struct pfs_ring **ret_ring);

int pfs_feed_origin(struct pfs_feed *feed, const struct pfs_origin *origin, uint16_t *ret_id);

/* As pfs_ring_reserve(), but waits for room. -EINTR: the source is being stopped. */
int pfs_feed_reserve(struct pfs_feed *feed, struct pfs_ring *ring, size_t len,
		     struct pfs_record **ret_rec);

/*
 * Hands n refs on. Waits for reliable readers. Returns 0, or -EINTR when stopped before all were taken (the rest is
 * lost on purpose: nobody wants it any more).
 */
int pfs_feed_push(struct pfs_feed *feed, struct pfs_ref *refs, size_t n);
/* End of this generation: readers get EOF. A file source returns from run() afterwards. */
int pfs_feed_eof(struct pfs_feed *feed);

/* Counts what was lost before the tree: "ring full", "truncated" ... (a literal). */
void pfs_feed_lost(struct pfs_feed *feed, const char *reason, uint64_t n);

#endif
