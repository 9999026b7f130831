/*
 * pour - records as the bytes of a pipe or socket, as many as it takes
 *
 * As bare bytes, one after the other, or as a capture file of one link type. A descriptor that takes a part of a record
 * gets the rest of it first the next time, so records are never torn.
 *
 *	pkt_pour_init(&pour, fd, pcap, link_type)
 *	while there are refs:
 *		n = pkt_pour_fit(&pour, ...)		0: the first of them does not fit this file
 *		done = pkt_pour_write(&pour, ..., n)	as far as it takes them
 *
 * Threads: one at a time. SIGPIPE is ignored.
 */
#ifndef PFS_PACKET_POUR_H
#define PFS_PACKET_POUR_H

#include <sys/uio.h>

#include "packet/capture_write.h"
#include "ring/ring.h"

#define PKT_POUR_MAX 256 /* records at a time */

/* Room to work in; may be shared. */
struct pkt_pour_room {
	uint8_t headers[PKT_POUR_MAX][PCAP_PACKET_HEADER];
	struct iovec iov[PKT_POUR_MAX * 2];
	size_t size[PKT_POUR_MAX];
};

struct pkt_pour {
	int fd; /* borrowed; not blocking */
	bool pcap;
	bool header_due; /* pcap: nothing was written yet */
	uint16_t link_type;
	size_t part; /* bytes of the first record (and header) that were written */
};

/* link_type: of a capture of no records. */
void pkt_pour_init(struct pkt_pour *pour, int fd, bool pcap, uint16_t link_type);

/* How many of the leading records can go out together: a capture file has one link type, that of its first record. */
size_t pkt_pour_fit(struct pkt_pour *pour, const struct pfs_rings *rings,
		    const struct pfs_ref *refs, size_t n);

/*
 * Writes what it takes of n records (at most PKT_POUR_MAX), which fit. Returns how many of them are done with now, and
 * *ret_bytes; -EAGAIN: nothing, it is full; -errno of write.
 */
ssize_t pkt_pour_write(struct pkt_pour *pour, const struct pfs_rings *rings,
		       const struct pfs_ref *refs, size_t n, struct pkt_pour_room *room,
		       size_t *ret_bytes);

/* A capture of no records is one, too: its header, if it is due. -EAGAIN, -errno. */
int pkt_pour_header(struct pkt_pour *pour);

#endif
