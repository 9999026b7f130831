/*
 * tcpstream - its two parts (private to src/packet)
 *
 *	tcpstream.c	connections: the table, who begins and ends, time
 *	tcphalf.c	one direction: what is held, holes, what comes next
 *
 * Sequence numbers are compared as signed distances from `next`; those of what is held stay within 2^30 of it.
 */
#ifndef PFS_PACKET_TCPSTREAM_I_H
#define PFS_PACKET_TCPSTREAM_I_H

#include "base/rbtree.h"
#include "packet/tcpstream.h"

#define TCPS_FAR (INT32_C(1) << 30) /* no window reaches further */

/* A segment that came too early: [seq, end), where FIN counts as one. */
struct tcps_hold {
	struct tcps_hold *next; /* of its run */
	uint32_t seq, end;
	uint32_t len; /* bytes of data */
	uint32_t cut; /* ... that come behind it and were not captured */
	uint32_t tag;
	uint32_t head_len;
	bool fin;
	uint64_t time;
	uint8_t bytes[]; /* head, data */
};

/* Segments of which each came after the one in front of it was there: one to all that come later. */
struct tcps_run {
	struct pfs_rb node;
	uint32_t seq, end;
	struct tcps_hold *first, *last; /* owned; what was delivered is not there any more */
};

/* The headers of the first packet, for what has no packet of its own. */
struct tcps_head {
	uint32_t tag;
	uint32_t len;
	uint8_t bytes[];
};

struct tcps_half {
	struct tcps_conn_i *conn; /* borrowed */
	struct tcps_half *hole_next, *hole_prev;
	uint64_t hole_time;
	uint32_t hole_at; /* `next` then */
	uint8_t hole_packets;
	uint8_t hole_list; /* 1 + index in tcps.holes; 0: none */
	bool synced;	   /* next is known */
	bool syn;	   /* isn is known */
	bool has_acked;
	bool blocked;	 /* data came with the SYN, and it is not known whether it was taken */
	bool finished;	 /* FIN and all before it was given */
	bool closing;	 /* every hole is given up, then the end */
	bool ended;	 /* TCPS_END was given */
	uint8_t strange; /* segments in a row that were nowhere near */
	uint32_t isn;
	uint32_t next;	  /* number of the next byte */
	uint32_t give_to; /* holes below are given up; >= next */
	uint32_t acked;	  /* by the other side */
	uint32_t jumped;  /* bytes that are missing in front of next, more than can be waited for */
	uint64_t offset;  /* of next in the stream */
	struct pfs_rb_tree runs; /* owned; by seq */
	size_t held;		 /* bytes of it all */

	struct tcps_head *head; /* owned */
};

enum { TCPS_OPEN, TCPS_EMBRYONIC, TCPS_OVER };

struct tcps_conn_i {
	struct tcps_conn pub;
	struct tcps_half half[2]; /* sides */
	struct tcps_key key;
	struct tcps_conn_i *next_in_bucket;
	struct tcps_conn_i *next, *prev; /* of its list */
	struct tcps_conn_i *next_pending;
	uint64_t last;	 /* time of the last packet */
	uint64_t queued; /* when it came to its place in the list */
	uint8_t list;
	uint8_t a;	/* end that is side a */
	bool dying;	/* out of the table; freed when it has no events */
	bool pending;	/* in that list */
	bool candidate; /* a SYN came that would begin another connection, */
	uint8_t candidate_side;
	uint32_t candidate_isn;
};

static inline struct tcps_run *tcps_run_of(struct pfs_rb *node)
{
	return node ? CONTAINER_OF(node, struct tcps_run, node) : NULL;
}

static inline int32_t tcps_ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* --- tcphalf.c ------------------------------------------------------------------------------ */

void tcps_half_start(struct tcps_half *half, uint32_t next);
void tcps_half_release(struct tcps *t, struct tcps_half *half);
/* Data, FIN or both of a segment; it may be TCPS_HERE. True: there may be more events. */
bool tcps_half_input(struct tcps *t, struct tcps_half *half, const struct tcps_segment *s,
		     struct tcps_event *ret_event);
/* The other side has acknowledged. True: there may be events. */
bool tcps_half_acked(struct tcps *t, struct tcps_half *half, uint32_t ack, bool with_syn);
bool tcps_half_peek(struct tcps *t, struct tcps_half *half, struct tcps_event *ret_event);
void tcps_half_pop(struct tcps *t, struct tcps_half *half, const struct tcps_event *event);
/* Holes that are due: of this half's packets, of all by time. True: there may be events. */
bool tcps_half_count(struct tcps *t, struct tcps_half *half);
struct tcps_half *tcps_hole_due(struct tcps *t);
/* Gives up holes until what is held in all is within the limit; NULL: it is. */
struct tcps_half *tcps_hole_for_memory(struct tcps *t, size_t *freed);

#endif
