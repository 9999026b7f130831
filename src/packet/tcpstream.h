/*
 * tcpstream - TCP connections back into two streams of bytes each
 *
 * Segments go in as they were captured: out of order, twice, overlapping, with some missing. Out come events: the
 * bytes of each direction in order, gaps where bytes will not come any more, and ends. Bytes in order are not
 * copied: the event says which of the segment just given they are. What comes too early is copied and held.
 *
 *	tcps_input(t, &segment, &event);		the segment itself, if it is next
 *	for (; tcps_peek(t, &event); tcps_pop(t))	and what follows from it
 *		use(&event);
 *
 * All events must be taken before the next segment goes in.
 *
 * Who is who: side a is who sent the SYN, else whose segment was seen first; b is the other.
 *
 * Where segments overlap with different bytes, those count that Linux gives to its programs
 * (net/ipv4/tcp_input.c):
 *
 *	what was delivered stays		tcp_data_queue(): of a segment that began before rcv_nxt, what is
 *						behind it
 *	the segment that is next wins		over all that waits, since that is delivered after it
 *	of two that wait, the one that		tcp_ofo_queue(), in the order of sequence numbers
 *	begins earlier wins
 *	a waiting one that holds all of		tcp_data_queue_ofo(): the later one is dropped
 *	a later one wins
 *	a later one that covers it wins		... and the earlier is dropped, also when both begin at one number
 *
 * Windows, checksums and time stamps (PAWS) are not looked at: a capture lacks packets that moved them.
 *
 * A hole is given up, and becomes a gap, when
 *
 *	its other end has acknowledged it, and TCPS_REORDER_PACKETS packets of the connection or TCPS_REORDER_TIME
 *	later it is still there (it was not captured; for a moment the acknowledgement may merely have come first),
 *	`gap` ns after it opened without an acknowledgement (only one direction was captured),
 *	more than `half` bytes are held behind it, or more than `memory` in all and it is the oldest,
 *	its bytes were cut off by the capture's snaplen,
 *	the connection is over.
 *
 * A connection is over when both sides have sent FIN and all before it came, with a RST at a number that its
 * receiver takes, `idle` ns after its last packet (it may take up to twice as long), when a new one with the same
 * ports is agreed on, or when there are too many (over ones first, then half-open ones, then the one unused for
 * longest). For TCPS_LINGER after that its late packets are known as such. Times are those of the packets.
 *
 * Segments of unknown connections open one in the middle if they have data; offset 0 is then what was seen first.
 *
 * Threads: one at a time for one struct tcps.
 */
#ifndef PFS_PACKET_TCPSTREAM_H
#define PFS_PACKET_TCPSTREAM_H

#include "base/base.h"
#include "base/hash.h"

#define TCPS_REORDER_PACKETS 16
#define TCPS_REORDER_TIME UINT64_C(1000000000) /* ns */
#define TCPS_LINGER UINT64_C(60000000000)
#define TCPS_HALF_OPEN UINT64_C(60000000000)
#define TCPS_HEAD_MAX 512 /* bytes of packet headers that are kept; longer ones are not */

enum { /* of the TCP header */
       TCPS_FIN = 0x01,
       TCPS_SYN = 0x02,
       TCPS_RST = 0x04,
       TCPS_ACK = 0x10,
};

struct tcps_options {
	unsigned connections; /* at most, at least 16 */
	size_t half;	      /* bytes held of one direction, with what they are kept in */
	size_t memory;	      /* ... in all */
	uint64_t idle;	      /* ns */
	uint64_t gap;	      /* ns */
};

/* Both ends; the same for both directions: end 0 is the lower. */
struct tcps_key {
	uint64_t addr[2][2]; /* IPv4: in the first word */
	uint64_t ports;	     /* port of end 0 << 32 | port of end 1 << 16 | IP version */
};

struct tcps_segment {
	struct tcps_key key;
	unsigned from; /* end that sent it */
	uint32_t seq, ack;
	uint8_t flags;
	bool hold; /* not to be given as TCPS_HERE: it is held and copied even when it is next */
	const uint8_t *data;
	uint32_t len;	     /* bytes of it that were captured */
	uint32_t full_len;   /* bytes that were sent, >= len */
	const uint8_t *head; /* the packet's headers, for events that come later */
	uint32_t head_len;
	uint64_t time; /* ns */
	uint32_t tag;  /* the caller's; comes back with the event */
};

struct tcps_conn {
	uint32_t stream; /* the caller's; 0 at first */
};

enum tcps_kind {
	TCPS_NONE,
	TCPS_HERE, /* len bytes of the segment just given, from `from` on */
	TCPS_HELD, /* len bytes at data */
	TCPS_GAP,  /* len bytes are missing */
	TCPS_END,  /* no more of this side */
};

struct tcps_event {
	enum tcps_kind kind;
	struct tcps_conn *conn; /* borrowed */
	unsigned side;		/* 0: a, 1: b */
	uint64_t offset;	/* in the stream; gaps count as if they were there */
	uint32_t from;
	uint32_t len;
	/* TCPS_HELD, TCPS_GAP: of the packet, or the nearest one. Borrowed until tcps_pop(). */
	const uint8_t *data;
	const uint8_t *head;
	uint32_t head_len;
	uint64_t time;
	uint32_t tag;
};

struct tcps_counts {
	uint64_t connections; /* now, with those that linger */
	uint64_t opened;      /* so far */
	uint64_t evicted;     /* too many */
	uint64_t held;	      /* bytes now, with what they are kept in */
	uint64_t old;	      /* bytes that had been delivered, or were dropped for others */
	uint64_t late;	      /* bytes behind the end of their side */
	uint64_t gaps;	      /* how many */
	uint64_t missing;     /* bytes in them */
	uint64_t ignored;     /* SYN and RST that no receiver takes, segments from elsewhere */
	uint64_t no_memory;   /* segments */
};

struct tcps_conn_i;
struct tcps_half;

struct tcps_list {
	struct tcps_conn_i *first, *last;
};

struct tcps_holes {
	struct tcps_half *first, *last;
};

struct tcps {
	struct tcps_options options;
	struct tcps_counts counts;
	struct pfs_seed seed;
	struct tcps_conn_i **bucket; /* owned */
	size_t nbuckets;	     /* a power of two */
	size_t in_table;	     /* connections */
	struct tcps_list lists[3];   /* by state, the one queued first is first */
	struct tcps_holes holes[2];  /* 0: not acknowledged, 1: acknowledged; by time */
	struct tcps_list pending;    /* may have events */
	uint64_t now;
};

int tcps_init(struct tcps *t, const struct tcps_options *options);
void tcps_release(struct tcps *t); /* a zeroed one is fine */

/* *ret_event is TCPS_HERE or TCPS_NONE. The segment's data is not looked at later. */
void tcps_input(struct tcps *t, const struct tcps_segment *segment, struct tcps_event *ret_event);

/* The next event; false: there is none. The same again until tcps_pop(). */
bool tcps_peek(struct tcps *t, struct tcps_event *ret_event);
void tcps_pop(struct tcps *t);

/* The end of the capture: every connection is over. */
void tcps_flush(struct tcps *t);

/*
 * A key of two ends (addresses of 4 or 16 bytes); returns which of them is the first one: 0 or 1.
 */
unsigned tcps_key(const uint8_t *src, const uint8_t *dst, bool six, uint16_t src_port,
		  uint16_t dst_port, struct tcps_key *ret_key);

#endif
