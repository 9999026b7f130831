/*
 * record - a run of bytes with a header, and refs: small pointers to (a part of) one
 *
 * Bytes are written once, into a ring, behind a header. What travels through the graph is a
 * ref. Four kinds of header can stand in front of the bytes, so that capture files and
 * kernel rings are used where they lie:
 *
 *	PFS_HDR_RECORD	struct pfs_record: what our own writers and our kernel programs write
 *	PFS_HDR_PCAP	the 16 bytes of a pcap file's packet header
 *	PFS_HDR_PCAP24	the 24 bytes of the "modified" (Kuznetzov) pcap variant
 *	PFS_HDR_EPB	the 28 bytes before the data of a pcapng enhanced packet block (or of the obsolete
 *			packet block: what is decoded lies at the same places)
 *	PFS_HDR_SPB	the 12 bytes before the data of a pcapng simple packet block (no time)
 *
 * ref->pos is the ring position of that header, the bytes start at pos + header size + off.
 * pfs_ref_meta() decodes it with the help of the ref's origin.
 *
 * Control refs (PFS_REF_EOF, PFS_REF_STREAM_END) travel in order between the others and hold
 * no bytes; filters never see them in a batch.
 *
 * Records of several byte streams may be mixed in one directory: each says its stream, in its header
 * (what a writer wrote) or in the ref itself (PFS_REF_IN_STREAM: a piece of a reassembled connection, that lies
 * in a packet). The latter come in pairs: streams n and n ^ 1 are the two directions of one connection, the even
 * one is that of its first sender. The packet's headers stand in front of the bytes, from the record's first byte on,
 * in the link type of the origin. Where bytes are missing stands a record without bytes, PFS_REF_GAP, whose wire_len
 * says how many.
 */
#ifndef PFS_RING_RECORD_H
#define PFS_RING_RECORD_H

#include "base/base.h"

enum pfs_hdr {
	PFS_HDR_RECORD,
	PFS_HDR_PCAP,
	PFS_HDR_PCAP24,
	PFS_HDR_EPB,
	PFS_HDR_SPB,
	PFS_HDR_COUNT_
};

/* Flags of records and refs. */
enum {
	PFS_REC_IN = 1 << 0,	     /* the packet came in; neither IN nor OUT: not known */
	PFS_REC_OUT = 1 << 1,	     /* the packet went out */
	PFS_REC_CSUM = 1 << 2,	     /* checksum not filled in yet (offload), or a GSO frame */
	PFS_REF_IN_STREAM = 1 << 3,  /* bytes of ref->stream, at ref->offset of it; no layers */
	PFS_REF_GAP = 1 << 4,	     /* no bytes; wire_len of them are missing here */
	PFS_REF_EOF = 1 << 5,	     /* control: end of a generation */
	PFS_REF_STREAM_END = 1 << 6, /* control: one write-open was closed; `stream` of its record */
	PFS_REF_PART = 1 << 7, /* a piece of what is said of a record, whose last piece comes later */
	PFS_REF_CONTROL = PFS_REF_EOF | PFS_REF_STREAM_END,
	PFS_REC_FLAGS = PFS_REC_IN | PFS_REC_OUT | PFS_REC_CSUM, /* what a record says of its packet */
};

/* What a writer says of its record. */
struct pfs_said {
	uint64_t time;	   /* ns since 1970; 0: when it is stored */
	uint32_t wire_len; /* at most len: len */
};

/* In ring memory, 8-byte aligned. Layout is shared with kernel programs: do not reorder. */
struct pfs_record {
	_Atomic uint32_t state; /* PFS_RECORD_*; in BPF rings unused (their own header has the busy bit) */
	uint32_t size;		/* bytes to the next record of a memfd ring, a multiple of 8 */
	uint64_t time;		/* ns; of the clock that the origin names */
	uint32_t len;		/* bytes that follow */
	uint32_t wire_len; /* true length of the packet, >= len */
	uint32_t stream;   /* serial of the write-open it came through, 0: none */
	uint32_t mark;	   /* skb mark, or 0 */
	uint16_t origin;   /* id of its origin (memfd rings) */
	uint16_t flags;	   /* PFS_REC_*, PFS_REF_* */
	uint32_t ifindex;  /* kernel programs: device; else 0 */
};
static_assert(sizeof(struct pfs_record) == 40, "shared with kernel programs");

enum {
	PFS_RECORD_FREE = 0, /* not written yet: the scan stops here */
	PFS_RECORD_READY = 1,
	PFS_RECORD_DISCARD = 2, /* skip it */
};

#define PFS_LAYER_NONE 0xffff

struct pfs_ref {
	uint64_t pos;	 /* ring position of the header */
	uint32_t off;	 /* first byte wanted, counted from the end of the header */
	uint32_t len;	 /* bytes wanted */
	uint16_t ring;	 /* id in the ring table */
	uint16_t origin; /* id in the origin table */
	uint16_t class_; /* what the last classifying filter said; 0 = none */
	uint8_t flags;
	uint8_t hdr; /* enum pfs_hdr */
	union {
		struct {
			uint16_t l3; /* offset from the first byte of the network header, or PFS_LAYER_NONE */
			uint16_t l4; /* ... of the transport header */
			uint16_t ethertype; /* what l3 is: 0x0800, 0x86dd, 0x0806 ...; 0 = not dissected yet */
			uint8_t proto; /* what l4 is: IP protocol number */
			uint8_t more;  /* of a view: it says this many records more than one */
		};
		struct { /* PFS_REF_IN_STREAM */
			uint32_t stream;
			uint32_t offset; /* of the first byte in the stream, modulo 2^32 */
		};
	};
};
static_assert(sizeof(struct pfs_ref) == 32, "refs are small");

/* Leaves `len` bytes from `from` on; from + len <= ref->len. Layers of packets are the caller's. */
static inline void pfs_ref_narrow(struct pfs_ref *ref, uint32_t from, uint32_t len)
{
	ref->off += from;
	ref->len = len;
	if (ref->flags & PFS_REF_IN_STREAM)
		ref->offset += from;
}

/* How many records it is in the books: of a view, how many of its directory it says; all else is one. */
static inline uint32_t pfs_ref_weight(const struct pfs_ref *ref)
{
	if (ref->flags & (PFS_REF_CONTROL | PFS_REF_PART))
		return 0;
	return ref->flags & PFS_REF_IN_STREAM ? 1 : 1u + ref->more;
}
#define PFS_WEIGHT_MAX 256

/*
 * Where records come from: a device, a hook, an interface of a capture file, a writer. Immutable once
 * made; equal origins are one.
 */
struct pfs_origin {
	char name[64]; /* "eth0", "netfilter_in", "accept"; "" for an unnamed interface of a file */
	uint16_t link_type;  /* LINKTYPE_* value as in capture files; PFS_LINK_BYTES: not packets */
	uint16_t big_endian; /* of PCAP, EPB and SPB headers */
	uint32_t snaplen;    /* 0: no limit known */
	uint32_t lengths_swapped; /* pcap before 2.4: the larger of the two lengths is the true one */
	uint64_t time_unit; /* EPB, PCAP: units per second (1000000, 1000000000, 1 << n ...) */
	int64_t time_offset; /* ns added to the decoded time: clock difference, or pcapng's if_tsoffset */
	uint32_t ifindex; /* 0: none */
};

#define PFS_LINK_BYTES 0xffff /* a byte stream, not packets */
#define PFS_LINK_ETHERNET 1
#define PFS_LINK_RAW 101 /* LINKTYPE_RAW: starts at the IP header */

struct pfs_meta {
	uint64_t time; /* ns since the epoch */
	uint32_t wire_len;
	uint32_t stream;
	uint32_t mark;
};

/* Bytes from the start of the header to the first byte it describes. */
size_t pfs_hdr_size(enum pfs_hdr hdr);

/* What a record's time has to be, so that with the origin's time_offset it means `time`. */
uint64_t pfs_record_time(const struct pfs_origin *origin, uint64_t time);

/*
 * What the header (pfs_hdr_size() bytes) says, with the origin's byte order, time unit and offset. Pure; nothing is
 * trusted: any bytes give a result. Times outside 1970..2554 stop at the ends; PFS_HDR_SPB has no time (0).
 */
void pfs_hdr_decode(enum pfs_hdr hdr, const uint8_t *header, const struct pfs_origin *origin,
		    struct pfs_meta *ret_meta);

#endif
