/*
 * defrag - IP datagrams put together from their fragments, as Linux does it
 *
 *	look	Is this packet a fragment, and of what? Pure.
 *	add	Keeps the fragment; says when the datagram is complete.
 *	write	The packet as it was before it was cut: the headers of the first fragment (with the link
 *		layer's, without IPv6's fragment header), the data, right lengths, IPv4's checksum.
 *
 * What Linux does (net/ipv4/ip_fragment.c, net/ipv6/reassembly.c, net/ipv4/inet_fragment.c; RFC 5722):
 *
 *	A fragment inside of what is there is a duplicate and ignored; one that overlaps it in part ends the
 *	datagram. Inside means: of one fragment, or of several that came in order, one behind the other.
 *	A last fragment that ends before data which is there, or elsewhere than an earlier last one, ends the
 *	datagram. So does a fragment without data.
 *	IPv4: data beyond a multiple of eight in a fragment that is not the last is cut off. IPv6: that
 *	fragment is wrong.
 *	ECN: marks are merged (RFC 3168, 5.3); fragments with and without ECN do not fit together.
 *	DF is kept if the largest fragment had it. More than 65,535 bytes in all is no datagram.
 *	IPv6 packets with a fragment header of one fragment are whole (RFC 6946).
 *
 * Datagrams are told apart by addresses, identification, protocol (IPv4), interface (origin) and VLAN: where
 * Linux puts together what came in on several interfaces, a capture of them has each fragment several times.
 *
 * Bounded: `memory` bytes in all (the oldest datagram goes), `timeout` ns between the first fragment and a later
 * packet's time. Every fragment that was kept and does not end up in a packet is counted in lost[].
 *
 * Threads: one at a time for one struct defrag.
 */
#ifndef PFS_PACKET_DEFRAG_H
#define PFS_PACKET_DEFRAG_H

#include "base/base.h"
#include "ring/record.h"

enum defrag_kind {
	DEFRAG_WHOLE, /* not a fragment, or no IP */
	DEFRAG_FRAGMENT,
	DEFRAG_WRONG, /* a fragment whose lengths are wrong: DEFRAG_MALFORMED */
	DEFRAG_CUT,   /* a fragment whose end was not captured: DEFRAG_TRUNCATED */
};

enum defrag_loss {
	DEFRAG_MALFORMED, /* wrong lengths, ends that contradict each other, an ECN that does */
	DEFRAG_TRUNCATED, /* not captured to its end */
	DEFRAG_OVERLAP,
	DEFRAG_OVERSIZE, /* more than a datagram can hold */
	DEFRAG_TIMEOUT,
	DEFRAG_MEMORY, /* the limit, or there was none */
	DEFRAG_END,    /* incomplete at the end of the stream */
	DEFRAG_LOSSES_,
};
extern const char *const defrag_reasons[DEFRAG_LOSSES_];

/* Where things are in a fragment; offsets from the packet's first byte. */
struct defrag_fragment {
	bool six;
	bool more;     /* it is not the last */
	bool df;       /* IPv4 */
	uint8_t tos;   /* or traffic class */
	uint8_t proto; /* of the key: 0 in IPv6 */
	uint8_t next;  /* IPv6: what the fragment header says comes next */
	uint16_t at;   /* of its data in the datagram, in bytes */
	uint16_t len;  /* of its data */
	uint32_t id;
	uint32_t l3;	   /* of the IP header */
	uint32_t head_len; /* bytes in front of the data, without IPv6's fragment header */
	uint32_t next_at;  /* IPv6: where the number of the fragment header stands */
	uint32_t data;
};

enum defrag_kind defrag_look(const uint8_t *p, size_t n, const struct pfs_ref *layers,
			     struct defrag_fragment *ret_fragment);

struct defrag_options {
	size_t memory;	  /* bytes, at least DEFRAG_MEMORY_MIN */
	uint64_t timeout; /* ns */
};

#define DEFRAG_MEMORY_MIN ((size_t)128 << 10) /* one datagram of any size */

struct defrag_datagram;

struct defrag {
	struct defrag_options options;
	struct defrag_table *table;    /* owned */
	uint64_t lost[DEFRAG_LOSSES_]; /* fragments; the caller takes and zeroes them */
	uint64_t duplicates;	       /* fragments ignored as such */
	size_t memory;		       /* in use */
	size_t waiting;		       /* datagrams */
};

int defrag_init(struct defrag *d, const struct defrag_options *options);
void defrag_release(struct defrag *d); /* a zeroed one is fine */

/*
 * p is the packet that defrag_look() found to be a fragment. vlan: -1: none. Returns the datagram when this completes
 * it: it is then out of the table and the caller's, to be written and freed. NULL: it is kept, or lost.
 */
struct defrag_datagram *defrag_add(struct defrag *d, const uint8_t *p,
				   const struct defrag_fragment *fragment, uint16_t origin,
				   int vlan, uint64_t time);

/* Of the packet that defrag_write() makes. */
size_t defrag_size(const struct defrag_datagram *datagram);
void defrag_write(const struct defrag_datagram *datagram, uint8_t *to);
void defrag_free(struct defrag *d, struct defrag_datagram *datagram); /* NULL is fine */

/* What began more than the timeout before `time` is lost. */
void defrag_expire(struct defrag *d, uint64_t time);
/* Everything that is incomplete is lost: the end. */
void defrag_flush(struct defrag *d);

#endif
