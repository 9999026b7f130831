/*
 * filter - what one filter, sink or view is
 *
 * A filter is one file with one `const struct pfs_filter`. It sees its state, a batch of refs, an emitter and the
 * layers found so far; it cannot reach the graph, a descriptor (sinks own theirs), the log or another filter.
 *
 * There are two shapes:
 *
 * - *inline* (batch): for each ref in, at most one ref out per output; runs in the batch of its parent. `ip`,
 *   `match`, `count`, classifiers, and sinks that never wait.
 * - *pulling* (pull): makes more records than it takes, or new bytes, or may have to wait. It has a cursor of its
 *   own on its parent's queue and its own run lock, and may stop at any point and be called again: `unpcap`,
 *   views, `transmit`, `file`, `stream`, later `lines`, `exec`.
 *
 * A filter may have both and say in `pulls` on which flows it pulls: `httpplus` picks packets inline, and puts the
 * messages of byte streams together pulling.
 *
 * Bytes: pfs_bytes() and pfs_meta(). A ref is narrowed by copying it and changing off/len (and only shrinking,
 * pfs_ref_narrow()); in a batch the layer fields (l3, l4, ethertype, proto) of the *input* may be filled in place,
 * since they only cache what the bytes say. Refs into one ring must be emitted in the order of their positions, each
 * while it is input: what is kept for later is copied.
 *
 * New bytes: pfs_emit_new() reserves in the filter's own ring (made when first used), the caller fills,
 * pfs_emit_commit() emits a ref to it.
 *
 * Streams: bytes of several streams may come mixed (ring/record.h); a filter that looks across the borders of records
 * keeps a state for each. pfs_meta() tells the stream, control() when one ends, a record with PFS_REF_GAP that bytes
 * are missing.
 *
 * Control refs (end of generation, end of one writer's stream) are not in batches: the engine forwards them by
 * itself, in order, after calling `control`, in which a filter may emit what it still holds.
 *
 * Threads: init, reconfigure, moved, fini, attach on the control thread, never while batch/pull/control run; batch,
 * pull and control on one thread at a time; stats and classes at any time from any thread (atomics).
 */
#ifndef PFS_GRAPH_FILTER_H
#define PFS_GRAPH_FILTER_H

#include "base/base.h"
#include "base/name.h"
#include "ring/ring.h"

#define PFS_BATCH 256

struct pfs_classes;
struct pfs_nth;
struct pf_unit;

/* What flows: for the check at mkdir ("this filter does not fit here"). */
enum pfs_flow {
	PFS_FLOW_PACKETS = 1 << 0, /* packets that start at their link layer */
	PFS_FLOW_IP = 1 << 1,	   /* packets that start at the IP header */
	PFS_FLOW_BYTES = 1 << 2,   /* a byte stream cut anywhere */
	PFS_FLOW_TEXT = 1 << 3,	   /* records that are text */
	PFS_FLOW_JSON = 1 << 4,	   /* ... and more: each is a line, a JSON object */
	PFS_FLOW_ANY_PACKET = PFS_FLOW_PACKETS | PFS_FLOW_IP,
	PFS_FLOW_ANY = 0xff,
	PFS_FLOW_SAME = 0, /* as out: what came in */
};

enum {
	PFS_FILTER_SINK = 1 << 0, /* a consumer by itself; has no output (no children but views of nothing) */
	PFS_FILTER_CONSUMER = 1 << 1, /* a consumer by itself, passes records on: count */
	PFS_FILTER_VIEW = 1 << 2,  /* a pipe file beside `all`: made when opened, never by mkdir */
	PFS_FILTER_LINK = 1 << 4,  /* needs a link-layer header: refused below netfilter_* */
	PFS_FILTER_ASYNC = 1 << 9, /* makes records by itself: pull comes with n == 0, too */
	PFS_FILTER_ARGV = 1 << 10, /* its argument is a command line (base/argv.h) */
};

/* What passed somewhere without coming to a filter. */
struct pfs_tally {
	uint64_t records;
	uint64_t bytes; /* as far as they would have been captured */
	uint64_t wire;	/* true lengths; where struct pfs_interest says `wire` */
};

/* What becomes of a packet that a sink below netfilter_* gets; the greatest of those that are given counts. */
enum pfs_verdict {
	PFS_VERDICT_NONE,
	PFS_VERDICT_DROP,
	PFS_VERDICT_PASS,
};

/* Collects what a filter emits. Opaque but for the two tables. */
struct pfs_emitter {
	const struct pfs_rings *rings; /* borrowed */
	struct pfs_step *step;	       /* graph internals */
	size_t room;		       /* pull: records that may still be emitted in this call */
	uint64_t wait; /* control: why false was returned, if not for want of room: as *ret_wait of pull */
};

static inline const uint8_t *pfs_bytes(const struct pfs_emitter *out, const struct pfs_ref *ref)
{
	return pfs_ref_bytes(out->rings, ref);
}

static inline void pfs_meta(const struct pfs_emitter *out, const struct pfs_ref *ref,
			    struct pfs_meta *ret_meta)
{
	pfs_ref_meta(out->rings, ref, ret_meta);
}

static inline uint16_t pfs_link_type(const struct pfs_emitter *out, const struct pfs_ref *ref)
{
	return pfs_origin_get(out->rings, ref->origin)->link_type;
}

/* To the output: the directory's pipe, its child filters, and the class directory ref->class_ if there is one. */
void pfs_emit(struct pfs_emitter *out, const struct pfs_ref *ref);
void pfs_emit_all(struct pfs_emitter *out, const struct pfs_ref *refs, size_t n);
/*
 * Only into the class directory ref->class_ (a packet of two classes goes once to each, once into the parent). Comes
 * after what was emitted before it, also in that directory; at most once for each class and record emitted.
 */
void pfs_emit_class(struct pfs_emitter *out, const struct pfs_ref *ref);
/* Ends this generation here: readers get EOF; what follows in this generation is not passed on. */
void pfs_emit_eof(struct pfs_emitter *out);

/*
 * A record of len bytes in the filter's own ring. Returns its memory (len bytes), NULL when there is no room now:
 * a pulling filter then returns and is called again when there is. Inline filters may not call it. Set time,
 * wire_len, flags, origin of *ret_rec; defaults are 0, len, 0, the filter's byte origin.
 */
void *pfs_emit_new(struct pfs_emitter *out, size_t len, struct pfs_record **ret_rec);
/* Shortens what pfs_emit_new() gave. */
void pfs_emit_shrink(struct pfs_emitter *out, struct pfs_record *rec, size_t len);
/* Publishes it and emits a ref to it (counts against room). */
void pfs_emit_commit(struct pfs_emitter *out, struct pfs_record *rec);
/* The same, and off, len, class, flags, layers or stream of the ref are those of *like. */
void pfs_emit_commit_as(struct pfs_emitter *out, struct pfs_record *rec, const struct pfs_ref *like);

/* Numbers for two new streams, the directions of a connection: the even one; the other is one more. */
uint32_t pfs_emit_streams(struct pfs_emitter *out);
/* Of a pulling filter: the stream has ended (counts against room). */
void pfs_emit_stream_end(struct pfs_emitter *out, uint32_t stream);
/*
 * The same for views, whose readers are told in records of the directory what they got and lost: it says n of them, at
 * most PFS_WEIGHT_MAX. 0: nobody's (statistics), or a piece of one whose last piece comes later.
 */
void pfs_emit_commit_of(struct pfs_emitter *out, struct pfs_record *rec, size_t n);

/* An id for refs' origin field. Equal origins give the same id. -ENOSPC: this source has too many. */
int pfs_emit_origin(struct pfs_emitter *out, const struct pfs_origin *origin, uint16_t *ret_id);

/*
 * Records that the source of this tree and this (pulling) filter's own input have lost so far: for streams that tell
 * their readers about gaps.
 */
uint64_t pfs_emit_source_lost(const struct pfs_emitter *out);

/* Says something to the maker of the directory, in .errors. pid: of a command of his, or 0. */
void pfs_emit_complain(struct pfs_emitter *out, pid_t pid, int error, const char *text);

/* Counts records that this filter lost, with the reason shown in .stats ("malformed", "truncated", "oversize"). */
void pfs_emit_lost(struct pfs_emitter *out, const char *reason, uint64_t n);

/* Whose share pays for what a directory has open. May be copied; good until fini has returned. */
struct pfs_purse {
	struct pfs_graph *graph; /* borrowed; NULL: nothing is counted */
	uid_t uid;
};

struct pfs_caller;
struct pfs_join;
struct pfs_spawner;
struct pkt_describe; /* packet/lines.h */
struct rd_herd;	     /* redir/herd.h */

/* What init may know of its place. All borrowed, valid during the call unless said otherwise. */
struct pfs_place {
	enum pfs_flow flow; /* what the parent gives */
	uint16_t link_type; /* usual link type there; PFS_LINK_BYTES for byte streams */
	uid_t uid;	    /* of the maker; files are opened as this user */
	gid_t gid;
	struct pfs_purse purse; /* the maker's */
	/*
	 * Opens a file as the maker, in the maker's own root and working directory (refused with EPERM when the maker
	 * lives in another root or mount namespace). Valid during init only.
	 */
	int (*open_file)(const struct pfs_place *place, const char *path, int flags, mode_t mode,
			 struct pfs_diag *diag);
	/*
	 * The way into another directory of this filesystem: path is relative to its root, or absolute. Judges whether
	 * the maker may write there; a circle is found when the node is put into the tree (-ELOOP). During init only;
	 * at most once.
	 */
	int (*join)(const struct pfs_place *place, const char *path, struct pfs_join **ret_join,
		    struct pfs_diag *diag);
	/*
	 * Who the maker is, for commands that run as him, confined, and who starts them (base/spawn.h). During init
	 * only. -EPERM: he cannot be taken for himself; -ENOSYS: no commands here.
	 */
	int (*identify)(const struct pfs_place *place, struct pfs_caller *ret_caller,
			struct pfs_spawner **ret_spawner, struct pfs_diag *diag);
	struct rd_herd *herd; /* filters of files, for as long as the directory is there; or NULL */
	unsigned processes;   /* that a user's commands may be, all together */
	const void *caller;   /* for these */
	struct pfs_node *node; /* for these */
	const struct pkt_describe *describe; /* views: how the records here that are no packets are told of, or NULL */
};

/*
 * One more socket of a directory, from the share of its maker: before it is opened or accepted. -EDQUOT, with a
 * sentence if diag is not NULL; -ENOMEM. From any thread.
 */
int pfs_sockets_take(const struct pfs_purse *purse, struct pfs_diag *diag);
void pfs_sockets_give(const struct pfs_purse *purse); /* it is closed */
/* Bytes that it keeps beyond its ring, from the same share as rings. -EDQUOT, -ENOMEM. From any thread. */
int pfs_bytes_take(const struct pfs_purse *purse, size_t n);
void pfs_bytes_give(const struct pfs_purse *purse, size_t n);

/* --- joins: for sinks that write into another directory; in pull and control ---------------- */

/*
 * Writes one record there, as a process would: bytes, or a packet with what is known of it. -EAGAIN: no room there, and
 * -EBUSY: others of this source have to bring what comes first; pull is called again when that has changed. -EPIPE: the
 * target is gone; -EMSGSIZE: longer than a record there may be; -ENOMEM, -ENOSPC.
 */
int pfs_join_put(struct pfs_join *join, const struct pfs_ref *ref);
void pfs_join_run(struct pfs_join *join); /* after some puts: what is below there runs, before long */
void pfs_join_end(struct pfs_join *join,
		  const struct pfs_meta *end); /* from control, for the end of a generation */
void pfs_join_close(struct pfs_join *join);    /* from fini, or when init fails; NULL is fine */
void pfs_join_target(const struct pfs_join *join,
		     struct pfs_buf *out); /* from stats: its path; nothing: gone */

struct pfs_filter {
	const char *name;
	const char *alias; /* or NULL */
	const char *summary;
	unsigned flags;
	unsigned in;	    /* PFS_FLOW_* it takes */
	unsigned out;	    /* PFS_FLOW_* it gives; PFS_FLOW_SAME */
	unsigned processes; /* of its maker's share, while the directory exists: commands */
	bool has_arg;	    /* `name:ARG`; without it an argument is refused with EINVAL */
	bool needs_arg;
	const struct pfs_param *params; /* NULL, or ends with a NULL key */
	const char *const *classes; /* closed set, NULL-terminated; class_ = index + 1. NULL: none or open */
	size_t state_size;
	/*
	 * A sink that gives a verdict: fits only below PFS_SOURCE_VERDICTS, and only where all above it can be decided
	 * there. passed() tells of packets on which it was given, batch() gets what could not be decided.
	 */
	enum pfs_verdict verdict;
	size_t ring_size; /* of its own ring if it makes bytes; 0: the mount's default */

	/* state is zeroed. -errno with the sentence in diag; then fini is not called. */
	int (*init)(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag);
	/* New parameters, counters stay. NULL: .params cannot be written. On error nothing has changed. */
	int (*reconfigure)(void *state, const struct pfs_args *args, const struct pfs_place *place,
			   struct pfs_diag *diag);
	/*
	 * It is about to go to a place where other records flow (flow, link_type or describe of the place are others;
	 * packets stay packets and bytes bytes): mv. -errno with the sentence: it cannot be there, and nothing has
	 * changed. NULL: it does not mind.
	 */
	int (*moved)(void *state, const struct pfs_place *place, struct pfs_diag *diag);
	void (*fini)(void *state);
	/* The first consumer has come: a new session begins (head starts to count anew). Optional. */
	void (*attach)(void *state);
	/* The last consumer has left; pull is not called until attach. As attach, but not when it goes. Optional. */
	void (*detach)(void *state);

	/* inline shape */
	void (*batch)(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out);

	/*
	 * Pulling shape: takes refs in order, emits up to out->room records, returns how many refs of `in` it is
	 * completely done with (the next call starts with the one after those). Returning less than n means: no room
	 * (out->room is 0, or pfs_emit_new() said NULL), or "not now" for sinks (set *ret_wait to the ns until it
	 * should be called again, UINT64_MAX: when `ready_fd` polls ready). Returning n with *ret_wait set: call again
	 * by then, with n = 0 if nothing has come.
	 *
	 * PFS_FILTER_ASYNC: also called with n == 0, when a consumer has come, when there is room again, and when
	 * what *ret_wait names has happened; it sets that each time it has made nothing. It goes on being called
	 * after pfs_emit_eof(), and takes what still comes of that generation.
	 */
	size_t (*pull)(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		       uint64_t *ret_wait);
	unsigned pulls; /* of filters with both shapes: PFS_FLOW_* on which pull is used */
	/*
	 * A control ref is about to pass: emit what is held. True: done. False (pulling shape only): no room, or what
	 * out->wait says; call again. NULL: nothing to do.
	 */
	bool (*control)(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			struct pfs_emitter *out);

	/*
	 * What it keeps, for who can decide before a record is made (graph/source.h): into an initialised unit with one
	 * result, that of exactly the records that batch() would emit unchanged, of this link type; or PF_UNSURE, where
	 * batch() has to be asked. 1: it keeps everything, and the unit stays empty. -ENOTSUP: it cannot be said, or
	 * records do not pass unchanged. On the control thread, as reconfigure. NULL: it cannot be said.
	 */
	int (*keeps)(void *state, uint16_t link_type, struct pf_unit *ret_unit);
	/*
	 * Of one that keeps everything: records pass as if no more than so many bytes had been captured, at least 1.
	 * On the control thread, as keeps. NULL: as they are.
	 */
	uint32_t (*cuts)(void *state);
	/* Of one whose keeps() says 1: it does not, but every Nth (graph/nth.h), unchanged. As keeps. NULL: all. */
	struct pfs_nth *(*nth)(void *state);
	/*
	 * That many more records passed that batch() did not see. On the thread of batch(). Optional. A pulling filter
	 * that has it is a *counter*: it needs no records, their number does (graph/tally.h); on the thread of pull().
	 */
	void (*passed)(void *state, const struct pfs_tally *tally);

	/* `name value` lines beyond the engine's own (in out dropped lost bytes). */
	void (*stats)(void *state, struct pfs_buf *out);
	/* .program: the code that runs. Never while reconfigure runs. NULL: there is none. */
	void (*program)(void *state, struct pfs_buf *out);
	/* What all.json and all.txt say of records that are no packets; NULL: as above, if the flow is the same. */
	const struct pkt_describe *describe;
	/*
	 * The bytes that a reader gets before the stream (pcapng's section and interfaces, the numbers of a
	 * counter), as of its end; a view that has none gives those of its directory. Of a view also for a reader
	 * that was lapped, before it goes on at this record of ours, having missed `lost` records of the directory
	 * since it was here last. May be called while batch, pull or control of the directory run, of a view not.
	 */
	int (*preamble)(void *state, const struct pfs_emitter *out, const struct pfs_record *at,
			uint64_t lost, struct pfs_buf *ret_bytes);
	/* Descriptor that says when a waiting sink may go on, or -1. */
	int (*ready_fd)(void *state);

	/* open class sets: the state's set (graph/classes.h); NULL: there is none */
	struct pfs_classes *(*open_classes)(void *state);
};

#endif
