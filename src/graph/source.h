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

struct pfs_classes;
struct pfs_feed;
struct pf_unit;
struct rd_herd; /* redir/herd.h */

/*
 * What a source can do for the graph before a record is copied: decide which of the filters below it accept it. The
 * graph numbers the filters that can say what they keep (pfs_filter.keeps); the source tells of each record which of
 * them accept it, and need not make records that are for none that is `wanted`, but counts them (pfs_source.passed).
 *
 * A number belongs to one filter for as long as that is among the interests. Each list has a generation, and a record
 * says by which it was judged: the graph knows from which generation on a number means what it means now.
 */
#define PFS_TAKERS_MAX 256

/* Stands in front of a record (struct pfs_record) in ring memory. Layout is shared with kernel programs. */
struct pfs_takers {
	uint32_t generation;
	uint16_t words;	  /* that follow */
	uint16_t decided; /* enum pfs_decided */
	uint32_t len; /* as it would have been captured: more than the record has where nobody takes the rest */
	uint32_t unused;
	uint32_t word[]; /* bit k % 32 of word k / 32: the filter with number k accepts it */
};
static_assert(sizeof(struct pfs_takers) == 16, "shared with kernel programs");

enum pfs_decided {
	PFS_UNDECIDED, /* the words say nothing, the filters have to be asked; */
	PFS_DECIDED,
	PFS_COUNTED, /* ... but for those that keep every Nth: of them they do */
};

#define PFS_SORTERS_MAX 4 /* filters that sort, among the interests */

struct pfs_interest {
	const struct pf_unit *unit; /* borrowed; what the filter keeps (pf/merge/tree.h); NULL: everything */
	uint32_t above; /* index of the one above it, which comes before; of the first, the source: itself */
	uint16_t number; /* of the first: 0 */
	bool wanted;	 /* records that it accepts have to come */
	bool counted; /* their number is what it is for: they have to come, or passed() says it, ... */
	bool wire;    /* ... and their true lengths */
	enum pfs_verdict verdict; /* on packets that it accepts */
	/*
	 * It, and those below it, see and get so many bytes of a packet, as if no more had been captured; no more than
	 * the one above. 0: all.
	 */
	uint32_t cut;
	/*
	 * It keeps every Nth of the packets that come to it; all above it keep everything or every Nth, and so do those
	 * below. The source counts in its place, or leaves all packets undecided. NULL: it does not, or has left; then
	 * `every` is not 0. At most PFS_NTHS_MAX.
	 */
	struct pfs_nth *nth;
	uint32_t every, phase; /* 0: it is none of these */
	/*
	 * One that sorts what it accepts into classes: by the keys that this unit finds (packet/keys.h). The source
	 * counts packets in the classes of the set, which it follows (graph/classes.h); those of a class that is not
	 * there are undecided. NULL: it does not.
	 */
	const struct pf_unit *keys;
	struct pfs_classes *sorts;
	uint16_t class_; /* it is a class of the one above: the packets that have its key; 0: it is none */
};

struct pfs_interests {
	uint32_t generation;
	uint16_t link_type; /* that the units are for */
	size_t n;	    /* 0: nobody is there */
	const struct pfs_interest *item;
	bool only_rules; /* of these only the verdicts, for now: all packets come, undecided */
	size_t left_out; /* filters that are not among them, because there would be too many, or too much of them */
};

/* What a source makes while others go on (pfs_source.decide); the rest of it is the source's. */
struct pfs_making {
	int (*make)(struct pfs_making *making, struct pfs_diag *diag);
	void (*free)(struct pfs_making *making);
};

enum {
	PFS_SOURCE_WRITABLE = 1 << 0, /* processes may write byte streams into its `all` */
	PFS_SOURCE_LOSSY = 1 << 1,    /* cannot wait: readers are lossy unless they say otherwise */
	PFS_SOURCE_STATIC = 1 << 2,   /* is there without mkdir (netfilter_in) */
	PFS_SOURCE_VERDICTS = 1 << 4, /* gives the verdicts of filters (pfs_filter.verdict) */
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
	const struct pkt_describe *describe; /* what all.json says of records that are no packets, or NULL */

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
	/*
	 * How it comes to decide by other interests, in three steps, since the second takes its time. Control thread,
	 * beside run(): notes what has to be made; NULL: nothing, it is not attached, and start() will ask for what is
	 * in force with pfs_feed_interests(). Then making->make(), on any thread, whatever happens to the source: a
	 * source may find that it cannot decide by these; then all records are to come, undecided, as of a source
	 * without this function, unless there are verdicts among them. The interests stay until it is freed. -errno:
	 * nothing has changed, the sentence is in diag; -EOPNOTSUPP: a verdict cannot be given.
	 *
	 * A filter with a verdict is no taker of records: passed() tells of all packets on which its verdict was given,
	 * also of those that came. About those of which a filter above it is unsure it has none, whatever others say.
	 */
	int (*decide)(void *state, const struct pfs_interests *interests,
		      struct pfs_making **ret_making, struct pfs_diag *diag);
	/*
	 * Control thread: what was made is in force from now on. -ESTALE: the source has changed since decide(), ask
	 * again; -errno: what was in force stays.
	 */
	int (*decided)(void *state, struct pfs_making *making, struct pfs_diag *diag);
	/*
	 * Control thread, soon after a class was forgotten: what was given up in the kernel. make() waits, on the
	 * thread that makes programs, until nobody there uses it any more, free() has it used again. NULL: nothing.
	 */
	struct pfs_making *(*rest)(void *state);
	/*
	 * Nothing new is counted in the kernel, passed() still knows what was; stop() comes next. NULL: stop() does
	 * it.
	 */
	void (*detach)(void *state);
	/*
	 * After detach(), on any thread, nothing held: until what runs in the kernel has ended, and has counted. NULL:
	 * detach() has waited.
	 */
	void (*quiesce)(void);
	/* Records that the filter with this number accepted and that did not come, since start(). */
	void (*passed)(void *state, unsigned number, struct pfs_tally *ret_tally);
	void (*stats)(void *state, struct pfs_buf *out);
	/* .program: the code that runs in the kernel. NULL: none. */
	void (*program)(void *state, struct pfs_buf *out);
	/*
	 * PFS_SOURCE_DEVICES: what they are ("network device"); is there one of that name (looking only), whose is it,
	 * if not the folder's owner's; calls back for each. herd: that of the graph, or NULL.
	 */
	const char *device;
	bool (*device_exists)(struct rd_herd *herd, const char *name, uid_t *ret_uid);
	void (*devices)(struct rd_herd *herd, void (*each)(void *arg, const char *name), void *arg);
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
/*
 * The same of records about which somebody may have decided: takers[i] says it of refs[i]. Who sleeps is not woken
 * before pfs_feed_wake(), or before this has to wait for room: many readers who wake for a few records each cost more
 * than the records do.
 */
int pfs_feed_push_taken(struct pfs_feed *feed, struct pfs_ref *refs,
			const struct pfs_takers *const *takers, size_t n);
/* Wakes whoever sleeps for what was handed on; soon after the last push, and always before the source itself sleeps. */
void pfs_feed_wake(struct pfs_feed *feed);
/* What is in force; in start(). */
const struct pfs_interests *pfs_feed_interests(const struct pfs_feed *feed);
/* From now on the source decides by what is in force, or it does not; in start(), decided() and retune(). */
void pfs_feed_decides(struct pfs_feed *feed, bool yes);
/* End of this generation: readers get EOF. A file source returns from run() afterwards. */
int pfs_feed_eof(struct pfs_feed *feed);

/* Counts what was lost before the tree: "ring full", "truncated" ... (a literal). */
void pfs_feed_lost(struct pfs_feed *feed, const char *reason, uint64_t n);

#endif
