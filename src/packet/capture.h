/*
 * capture - reading capture files where they lie: pcap and pcapng, any byte order, any resolution
 *
 * A parser is fed contiguous bytes and says where the next packet is; it copies nothing and keeps nothing of the bytes.
 * The caller keeps what the parser did not consume and offers it again with more behind it.
 *
 * Formats: pcap with magic a1b2c3d4 (us), a1b23c4d (ns), a1b2cd34 (modified: 24-byte packet headers), each in
 * both byte orders; link type with FCS bits as libpcap reads it; pcapng with several sections of either byte order,
 * any if_tsresol and if_tsoffset, enhanced, simple and obsolete packet blocks (others are skipped, and need not be
 * there in one piece). Files of pcap versions before 2.4 have their two lengths swapped, or may have.
 * Sources: pcap-savefile(5), draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
 *
 * Packets are given as they lie in the file: bytes beyond the snaplen (capture_snapped() says where) and a frame check
 * sequence stay. A wire length below the captured one, in broken files, is given as the file says it.
 *
 *	capture_init(&capture, CAPTURE_ANY);
 *	while ((r = capture_next(&capture, p, n, &used, &packet, &need, &diag)) > 0) {
 *		use(p + packet.header + pfs_hdr_size(packet.hdr), packet.caplen,
 *		    &capture.interfaces[packet.interface].origin);
 *		p += used;
 *		n -= used;
 *	}
 *
 * Threads: one at a time for one struct capture.
 *
 * Input is hostile: every length is checked before it is used; a packet larger than CAPTURE_PACKET_MAX or a
 * block that does not add up is -EBADMSG, and the parser stays broken.
 */
#ifndef PFS_PACKET_CAPTURE_H
#define PFS_PACKET_CAPTURE_H

#include "base/base.h"
#include "ring/record.h"

#define CAPTURE_PACKET_MAX \
	(4u << 20) /* larger caplen: malformed (libpcap's limit is 256 KiB, BIG TCP goes above) */
#define CAPTURE_BLOCK_MAX (16u << 20) /* a pcapng block, as libpcap */
#define CAPTURE_INTERFACES_MAX 65535u /* of one section */
#define CAPTURE_LINK_UNKNOWN 0xfffe   /* a link type that no 16-bit LINKTYPE_ value stands for */

enum capture_format { CAPTURE_ANY, CAPTURE_PCAP, CAPTURE_PCAPNG };

struct capture_interface {
	struct pfs_origin origin; /* name from if_name, link type, snaplen, resolution, offset, byte order */
};

struct capture {
	enum capture_format wanted;
	enum capture_format format; /* CAPTURE_ANY until the magic was seen */
	bool big_endian;
	bool broken;
	bool first_block;	/* pcapng: a section header must come next */
	enum pfs_hdr hdr;	/* pcap: header kind */
	uint16_t version_major; /* pcap: says which length is which */
	uint16_t version_minor;
	uint32_t skip; /* bytes still to come that belong to a block of no interest */
	struct capture_interface *interfaces; /* owned; of this section */
	unsigned ninterfaces;
	unsigned cap_interfaces;
	unsigned generation; /* grows with each new section: interface numbers mean something else. 0: none yet */
};

struct capture_packet {
	size_t header; /* offset of the header (ref->hdr kind) from the start of the bytes given */
	enum pfs_hdr hdr;
	uint32_t caplen; /* bytes there */
	uint32_t wire_len;
	unsigned interface; /* index into interfaces */
	uint64_t time;	    /* ns since the epoch (0: the format has none) */
	uint8_t flags;	    /* PFS_REC_IN, PFS_REC_OUT */
};

/* CAPTURE_ANY: either format; the magic decides. */
void capture_init(struct capture *capture, enum capture_format wanted);
/* Frees what it holds; a zeroed one is fine. */
void capture_release(struct capture *capture);

/*
 * Looks at bytes[0..n). 1: *ret_packet found and *ret_consumed says how far to go on after it (past padding and
 * options);
 * 0: nothing complete is there: *ret_consumed bytes were headers and blocks to skip, offer the rest again with at
 * least *ret_need bytes in all behind the consumed ones; -EBADMSG with a sentence in diag; -ENOMEM. At the end of
 * a file capture_complete() says whether it was cut off.
 */
int capture_next(struct capture *capture, const uint8_t *bytes, size_t n, size_t *ret_consumed,
		 struct capture_packet *ret_packet, size_t *ret_need, struct pfs_diag *diag);

/*
 * Bytes of the packet that libpcap would show: a pcap file's snaplen is a promise, and what lies beyond it is cut off
 * (those of pcapng are taken as they are).
 */
static inline uint32_t capture_snapped(const struct capture *capture,
				       const struct capture_packet *packet)
{
	uint32_t snaplen = capture->interfaces[packet->interface].origin.snaplen;
	bool promised = capture->format == CAPTURE_PCAP && snaplen > 0 && snaplen <= INT32_MAX;

	return promised && snaplen < packet->caplen ? snaplen : packet->caplen;
}

/* May the bytes end here, with `left` bytes offered and not consumed? */
bool capture_complete(const struct capture *capture, size_t left);

#endif
