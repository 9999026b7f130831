/*
 * streams - what filters share that look across the borders of records
 *
 * A table with a state for each stream, the caller's behind ours; and a gather, which puts the bytes of several records
 * together into one.
 *
 *	struct side {
 *		struct pfs_stream base;
 *		...
 *	};
 *
 *	pfs_streams_init(&table, sizeof(struct side), 1000, side_release);
 *	s = (struct side *)pfs_streams_get(&table, meta.stream, out);
 *
 * Bounded: at most so many states; for one more that goes which was unused for longest. States are made with the first
 * record of a stream and go with its end (control()).
 *
 * Threads: one at a time, as the filter they belong to.
 */
#ifndef PFS_GRAPH_STREAMS_H
#define PFS_GRAPH_STREAMS_H

#include "base/hash.h"
#include "graph/filter.h"

struct pfs_stream {
	struct pfs_stream *next_in_bucket;
	struct pfs_stream *older, *newer;
	uint32_t stream;
};

struct pfs_streams {
	struct pfs_seed seed;
	struct pfs_stream **bucket; /* owned */
	size_t nbuckets;	    /* a power of two */
	struct pfs_stream *oldest, *newest;
	size_t size; /* of the caller's struct */
	size_t max;
	pfs_counter count;   /* writer: the worker; so for the next */
	pfs_counter evicted; /* for others */
	/* What the caller's struct owns, but not itself. `owner` is what init was given. */
	void (*release)(void *owner, struct pfs_stream *stream);
	void *owner;
};

int pfs_streams_init(struct pfs_streams *table, size_t size, size_t max,
		     void (*release)(void *owner, struct pfs_stream *stream), void *owner);
void pfs_streams_release(struct pfs_streams *table); /* a zeroed one is fine */

/* NULL: it has none. */
struct pfs_stream *pfs_streams_find(const struct pfs_streams *table, uint32_t stream);
/* Zeroed when it is new. The one used last. NULL: no memory. */
struct pfs_stream *pfs_streams_get(struct pfs_streams *table, uint32_t stream);
void pfs_streams_forget(struct pfs_streams *table, struct pfs_stream *stream); /* NULL is fine */

/* --- gather ---------------------------------------------------------------------------------- */

/* Bytes of a stream, in the making of a record. Zeroed is empty. */
struct pfs_gather {
	uint8_t *data; /* owned: packet headers, then bytes */
	size_t cap;    /* of data */
	size_t len;    /* of the bytes */
	uint32_t head_len;
	struct pfs_ref ref; /* where it began; its off, len and ring mean nothing any more */
	struct pfs_meta meta;
	bool active;
};

/* Bytes of memory that gathers of one filter hold, and may. */
struct pfs_budget {
	size_t used, max;
};

/* Begins with nothing, where *ref is. -ENOMEM, also beyond the budget. */
int pfs_gather_begin(struct pfs_gather *gather, struct pfs_budget *budget,
		     const struct pfs_emitter *out, const struct pfs_ref *ref);
int pfs_gather_add(struct pfs_gather *gather, struct pfs_budget *budget, const uint8_t *p, size_t n);
static inline const uint8_t *pfs_gather_bytes(const struct pfs_gather *gather)
{
	return gather->data + gather->head_len;
}
/* One record of all its bytes, in class class_; then it is empty. False: no room now. */
bool pfs_gather_emit(struct pfs_gather *gather, struct pfs_budget *budget, uint16_t class_,
		     struct pfs_emitter *out);
void pfs_gather_drop(struct pfs_gather *gather, struct pfs_budget *budget);

#endif
