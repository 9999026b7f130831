/*
 * unpack - what unpcap and unpcapng share: capture-file bytes in, packets out
 *
 * Each write-open is a stream with a parser of its own, so several captures can be poured in at once. Packets stay
 * where they lie: a ref points at the packet header inside the record that was written. Only a packet cut in two by the
 * borders of records is put together, in the filter's own ring.
 *
 * A stream ends with its writer (control), cleanly or "truncated"; after the first byte that is no capture it is
 * "malformed", and the rest of it is discarded.
 *
 * Limits: UNPACK_STREAMS parsers, UNPACK_TAILS bytes waiting to be put together, in all.
 */
#ifndef PFS_GRAPH_UNPACK_H
#define PFS_GRAPH_UNPACK_H

#include "graph/filter.h"
#include "packet/capture.h"

#define UNPACK_STREAMS 4096
#define UNPACK_TAILS ((size_t)64 << 20)
/* The largest record of a ring is a quarter of it. */
#define UNPACK_RING ((size_t)4 * CAPTURE_PACKET_MAX)

struct unpack_stream;

struct unpack {
	enum capture_format format;
	struct unpack_stream *streams; /* owned list; the one used last is first */
	unsigned nstreams;
	size_t tails;	       /* bytes allocated for tails */
	uint64_t pos;	       /* of the input record that is done in part */
	uint16_t ring;	       /* where that is */
	size_t at;	       /* how far, in bytes */
	bool begun;	       /* there is such a record */
	pfs_counter open;      /* parsers; these counters' writer is the worker */
	pfs_counter discarded; /* bytes after a fault */
	pfs_counter stitched;  /* packets put together */
};

void unpack_init(struct unpack *unpack, enum capture_format format);
void unpack_release(struct unpack *unpack);

/* Bodies of pull, control and stats. */
size_t unpack_pull(struct unpack *unpack, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
bool unpack_control(struct unpack *unpack, const struct pfs_ref *ref, const struct pfs_meta *meta,
		    struct pfs_emitter *out);
void unpack_stats(const struct unpack *unpack, struct pfs_buf *out);

#endif
