/*
 * packetring - frames of a packet socket without eBPF
 *
 * For processes that may open a packet socket and may not load programs. The kernel copies each frame into a
 * TPACKET_V3 ring; here it is copied once more, into a ring of the graph. A classic filter on the socket
 * limits the length (later: decides). What the kernel dropped is counted by the socket.
 *
 * Threads: new and free on any, run on the source's.
 */
#ifndef PFS_SOURCE_PACKETRING_H
#define PFS_SOURCE_PACKETRING_H

#include "graph/source.h"

struct packetring;

struct packetring_options {
	uint32_t snaplen;
	unsigned directions; /* PFS_REC_IN | PFS_REC_OUT */
	uint32_t loopback;   /* ifindex of `lo`, whose outgoing copy is dropped; 0: do not */
	uint64_t latency;    /* ns that the kernel may hold a block */
	size_t bytes;	     /* of the kernel's ring */
};

struct packetring_ops {
	int (*origin)(void *arg, const struct pfs_record *rec, uint16_t *ret_origin);
	bool (*event)(void *arg, uint32_t events);
	uint64_t (*timeout)(void *arg);
	void *arg;
};

/* Before the socket is bound: sets it up and maps its ring. The socket stays the caller's. -errno. */
int packetring_new(int sock, const struct packetring_options *options, struct packetring **ret_ring);
void packetring_free(struct packetring *p); /* NULL is fine */

/* As bpfring_run(). */
int packetring_run(struct packetring *p, struct pfs_feed *feed, const struct packetring_ops *ops);

#endif
