/*
 * packetring - frames of a packet socket without eBPF
 *
 * For processes that may open a packet socket and may not load programs. The kernel copies each frame into a ring;
 * here it is copied once more, into a ring of the graph. A classic filter on the socket limits the length, and decides
 * what is copied at all if it is told what is wanted. What the kernel dropped is counted by the socket.
 *
 * The ring is one of TPACKET_V3: blocks of many frames, which the kernel hands over when they are full or `latency`
 * old, but not before a millisecond. Who asks for less gets TPACKET_V2: a slot for each frame, handed over at once, at
 * the price of a wake-up for each. What is longer than a slot waits in the socket's queue, whole; where that has no
 * room, either, it counts as lost.
 *
 * Threads: new and free on any, run on the source's.
 */
#ifndef PFS_SOURCE_PACKETRING_H
#define PFS_SOURCE_PACKETRING_H

#include <pipesfs/pf.h>

#include "graph/source.h"

struct packetring;

#define PACKETRING_SNAPLEN ((1u << 20) - 4096) /* a frame and its header in a block */

struct packetring_options {
	uint32_t snaplen;
	unsigned directions; /* PFS_REC_IN | PFS_REC_OUT */
	uint32_t loopback;   /* ifindex of `lo`, whose outgoing copy is dropped; 0: do not */
	uint64_t latency;    /* ns that the kernel may hold a frame */
	size_t bytes;	     /* of the kernel's ring */
	bool any; /* of several devices: filters are for those of Ethernet, from others all comes */
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

/*
 * Of all frames only those that this classic BPF accepts (PF_CBPF_LINUX) come into the ring from now on; n 0: all,
 * which cannot fail. What is in the ring already stays, and frames whose VLAN tag the adapter took off come whatever
 * the filter says, since it would not see the tag where the graph does: it lets through at least what is wanted, the
 * graph finishes. One call at a time, also beside run. -EINVAL: it returns something else than constants; -E2BIG:
 * more than the kernel takes; -errno of the kernel; the filter that was there stays then.
 */
int packetring_filter(struct packetring *p, const struct pf_insn *insns, size_t n);

/* The filter as it is, as a listing. */
void packetring_program(const struct packetring *p, struct pfs_buf *out);
/* kernel.copied: frames that the filter let into the ring; kernel.lost: there was no room for. On any thread. */
void packetring_text(const struct packetring *p, struct pfs_buf *out);

/* As bpfring_run(). */
int packetring_run(struct packetring *p, struct pfs_feed *feed, const struct packetring_ops *ops);

#endif
