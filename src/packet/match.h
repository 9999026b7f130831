/*
 * match - strings and regular expressions, also across the borders of pieces
 *
 * This is the one place that knows Vectorscan (Hyperscan). Without it strings are searched with an automaton of our own
 * (Knuth, Morris, Pratt), and regular expressions are refused with a sentence.
 *
 * Threads: one at a time for one struct pkt_match and its streams.
 */
#ifndef PFS_PACKET_MATCH_H
#define PFS_PACKET_MATCH_H

#include "base/base.h"

struct pkt_match;
struct pkt_match_stream;

#define PKT_MATCH_NONE UINT64_MAX
#define PKT_MATCH_UNBOUNDED UINT32_MAX

/* -EINVAL with a sentence: empty, or no expression; -ENOTSUP: without the library; -ENOMEM. */
int pkt_match_new(const char *text, size_t len, bool regex, bool nocase,
		  struct pkt_match **ret_match, struct pfs_diag *diag);
void pkt_match_free(struct pkt_match *match); /* NULL is fine; its streams are gone */

/* Bytes of the longest match, at least 1; PKT_MATCH_UNBOUNDED. */
uint32_t pkt_match_longest(const struct pkt_match *match);

/* Where the first match ends in these bytes alone, or PKT_MATCH_NONE. */
uint64_t pkt_match_first(struct pkt_match *match, const uint8_t *p, size_t n);

/* NULL: no memory. */
struct pkt_match_stream *pkt_match_stream_new(struct pkt_match *match);
void pkt_match_stream_free(struct pkt_match *match, struct pkt_match_stream *stream); /* NULL is fine */
void pkt_match_stream_reset(struct pkt_match *match, struct pkt_match_stream *stream);
/* The next n bytes of the stream: where in them the first match ends that ends there. */
uint64_t pkt_match_next(struct pkt_match *match, struct pkt_match_stream *stream, const uint8_t *p,
			size_t n);

#endif
