/*
 * capture_write - capture files, block by block
 *
 * The blocks of pcapng (draft-ietf-opsawg-pcapng) and the headers of pcap with nanoseconds, little-endian. Rare ones go
 * to a growing buffer, packets into memory that the caller has; what is around a packet's bytes is apart from
 * them, so that a writer of files need not copy them.
 *
 *	header (28)   packet bytes   trailer: padding, options, total length
 *
 * Invariants: caplen <= wire_len; ng_packet_size() is 28 + caplen + what ng_packet_trailer() returns.
 */
#ifndef PFS_PACKET_CAPTURE_WRITE_H
#define PFS_PACKET_CAPTURE_WRITE_H

#include "base/base.h"
#include "ring/record.h"

#define NG_PACKET_HEADER 28
#define NG_PACKET_TRAILER_MAX 32
#define NG_INTERFACE_MAX 128 /* of ng_interface(), whatever the origin's name */

/* Snaplen that every interface states, see ng_interface(). */
#define NG_SNAPLEN (4u << 20)

/* Section header: must come first; interfaces are numbered from 0 in each section. comment: or NULL. */
void ng_section(const char *comment, struct pfs_buf *out);

/*
 * Interface description: link type, name, nanoseconds. All state the same snaplen, larger than any packet: libpcap
 * refuses a file whose interfaces differ in it, and a packet longer than it. How much of a packet is there is said with
 * each.
 */
void ng_interface(const struct pfs_origin *origin, struct pfs_buf *out);

/* Interface statistics. delivered: packets in this file; dropped: by the source. UINT64_MAX: not known. */
void ng_statistics(uint32_t interface, uint64_t time, uint64_t delivered, uint64_t dropped,
		   struct pfs_buf *out);

/* An enhanced packet block, but for the bytes. */
struct ng_packet {
	uint32_t interface;
	uint32_t caplen;
	uint32_t wire_len;
	unsigned flags;	  /* PFS_REC_IN, PFS_REC_OUT */
	uint64_t time;	  /* ns */
	uint64_t dropped; /* packets lost before this one; 0 is not written */
};

/* Bytes of the whole block. */
size_t ng_packet_size(const struct ng_packet *packet);
/* Writes NG_PACKET_HEADER bytes. */
void ng_packet_header(const struct ng_packet *packet, uint8_t *p);
/* Writes what follows the bytes; returns how much (at most NG_PACKET_TRAILER_MAX). */
size_t ng_packet_trailer(const struct ng_packet *packet, uint8_t *p);

#define PCAP_FILE_HEADER 24
#define PCAP_PACKET_HEADER 16

void pcap_file_header(uint8_t p[PCAP_FILE_HEADER], uint16_t link_type);
void pcap_packet_header(uint8_t p[PCAP_PACKET_HEADER], uint64_t time, uint32_t caplen,
			uint32_t wire_len);

#endif
