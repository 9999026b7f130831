/*
 * httpplus - its two halves (private to src/filter)
 *
 *	httpplus.c		packets: which of them belong to messages; and the filter itself
 *	httpplus_bytes.c	byte streams: messages put together
 */
#ifndef PFS_FILTER_HTTPPLUS_I_H
#define PFS_FILTER_HTTPPLUS_I_H

#include "graph/streams.h"
#include "packet/lines.h"

struct pkt_http_head;

/* 0: it has none. */
uint16_t http_class(const struct pkt_http_head *head);

/* Messages out of byte streams. */
struct http_bytes {
	struct pfs_streams sides;
	struct pfs_budget budget;
	size_t message; /* bytes of the largest record that is put together */
	bool begun;	/* there is a record that is done in part */
	uint64_t pos;	/* ... that one */
	uint16_t ring;
	uint32_t at;	      /* ... so far */
	uint64_t dropped;     /* messages begun, of streams that were evicted */
	pfs_counter messages; /* these counters' writer is the worker */
	pfs_counter incomplete;
	pfs_counter skipped; /* bytes that are no message */
};

int http_bytes_init(struct http_bytes *h, size_t flows, size_t message, size_t memory);
void http_bytes_release(struct http_bytes *h); /* a zeroed one is fine */
size_t http_bytes_pull(struct http_bytes *h, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
bool http_bytes_control(struct http_bytes *h, const struct pfs_ref *ref,
			const struct pfs_meta *meta, struct pfs_emitter *out);
void http_bytes_stats(const struct http_bytes *h, struct pfs_buf *out);

extern const struct pkt_describe http_describe;

#endif
