/*
 * cut - what `lines` and `chunks` share: a byte stream in, one record for each piece of it out
 *
 * Each write-open, and each direction of a reassembled connection, is a stream with a cutter of its own. A piece that
 * lies within one record is a narrowed ref to it; only what spans records is put together, in the filter's own ring.
 * When a stream ends, what is left of it is its last piece. Nothing is ever lost: a piece longer than `max`, or for
 * which there is no memory to wait, is cut there, and counted.
 *
 * Bytes may be missing in the middle. What was begun before the gap is a piece of its own then, never joined to what
 * comes behind it.
 *
 * Limits: CUT_STREAMS streams, CUT_TAILS bytes waiting to be put together, in all.
 */
#ifndef PFS_GRAPH_CUT_H
#define PFS_GRAPH_CUT_H

#include "graph/filter.h"

#define CUT_STREAMS 4096
#define CUT_TAILS ((size_t)64 << 20)
#define CUT_MAX ((size_t)1 << 20) /* bytes of a piece, at most */
#define CUT_RING \
	(8 * CUT_MAX) /* the largest record of a ring is a quarter of it; headers may be in front */

struct cut_stream;

/*
 * How many of the n bytes at p belong to the piece of which `have` bytes came before, its end among them; 0: its end is
 * further on. n > 0.
 */
typedef size_t (*cut_end_fn)(size_t have, size_t max, const uint8_t *p, size_t n);

struct cut {
	cut_end_fn end;
	size_t max;
	struct cut_stream *streams; /* owned list; the one used last is first */
	unsigned nstreams;
	size_t tails;	      /* bytes allocated for tails */
	struct pfs_ref part;  /* the input that is done in part */
	size_t at;	      /* how far, in bytes */
	bool begun;	      /* there is such an input */
	uint64_t lost;	      /* records that the input had lost when we looked last */
	bool gap;	      /* it has lost more: what is held goes out first */
	pfs_counter open;     /* streams; these counters' writer is the worker */
	pfs_counter split;    /* pieces cut where they do not end */
	pfs_counter stitched; /* pieces put together */
};

void cut_init(struct cut *cut, cut_end_fn end, size_t max);
void cut_release(struct cut *cut);

/* Bodies of pull, control and stats. */
size_t cut_pull(struct cut *cut, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
bool cut_control(struct cut *cut, const struct pfs_ref *ref, const struct pfs_meta *meta,
		 struct pfs_emitter *out);
void cut_stats(const struct cut *cut, struct pfs_buf *out);

#endif
