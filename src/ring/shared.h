/*
 * shared - what a client of the mount maps, and how it comes by it
 *
 * A client (src/client) reads records where they lie. It opens a pipe file as anyone would, so that the kernel and the
 * mount check its rights; an ioctl on that file gives a *ticket*: a token, good once, and the name of a SOCK_SEQPACKET
 * socket of the mount. It connects, says the token, and is given a *hello* with the descriptors of what it maps.
 *
 *	descriptor		bytes in it						the client's
 *	PFS_GIVEN_QUEUE		a page (pfs_shared_queue), `slots` refs, `slots` u32		read-only
 *	PFS_GIVEN_RING		`ring_size` bytes of records, a page (pfs_shared_ring)		read-only
 *	PFS_GIVEN_PAGE		a page (pfs_shared_cursor)					read-write
 *	PFS_GIVEN_NUDGE		a pipe (base/nudge.h)						read-only
 *
 * All but the pipe are sealed memfds: none can shrink or grow under anybody, and of what is read-only nobody else gets
 * a writable mapping. A ref is struct pfs_ref (ring/record.h), a record struct pfs_record; the u32 of a slot says how
 * many records were pushed before it, modulo 2^32. Of a ring the client maps the records twice in a row, so that none
 * wraps.
 *
 * What the client writes is a claim. The server reads of it positions only, takes each once, and brings it into what
 * can be true; a wrong one harms who wrote it.
 *
 * A client that finds nothing sets `asleep` and then looks again; the server pushes and then looks at `asleep`, takes
 * it back and writes one byte into the pipe: so poll(2) on it waits. It is no eventfd because that would be one
 * description for both: the client could let it fill and make a write of the server's wait. The end of the pipe and of
 * the connection is that of the mount, or of the reader.
 *
 * A reliable reader holds: slots from `hold` on, and the bytes of their records, stay. When the server could not go on
 * for that it sets `wanted`; the client, having moved `hold`, looks at it and says so by PFS_IOC_ON. A lossy reader
 * holds nothing: it copies, then looks whether `claim` or `tail` has come by.
 *
 * A further kind of client: its own PFS_IOC_ number for the ticket, its own hello; see mount/share.h.
 */
#ifndef PFS_RING_SHARED_H
#define PFS_RING_SHARED_H

#include <sys/ioctl.h>

#include "ring/record.h"

#define PFS_SHARED_VERSION 2
#define PFS_SHARED_PAGE 4096

/* Positions of a queue (ring/queue.h). Writer: the queue's. */
struct pfs_shared_queue {
	_Atomic uint64_t claim;	  /* slots below claim - slots may be overwritten */
	_Atomic uint64_t records; /* pushed, before head */
	_Atomic uint64_t head;	  /* refs below are there */
};

/* Of a ring (ring/ring.h). Writer: the ring's. */
struct pfs_shared_ring {
	_Atomic uint64_t tail; /* bytes below may be overwritten */
};

/* Of a client. */
struct pfs_shared_cursor {
	_Atomic uint64_t next;	  /* client: the ref it takes next */
	_Atomic uint64_t hold;	  /* client, reliable: the first slot that must stay */
	_Atomic uint64_t lost;	  /* client: records that it did not get; stored before `records` */
	_Atomic uint64_t records; /* client: pushed before `next`, from the queue's first on */
	_Atomic uint32_t asleep;  /* client sets, server takes back and tells */
	_Atomic uint32_t wanted;  /* server sets, client takes back and says PFS_IOC_ON */
	_Atomic uint32_t over;	  /* server: what is before head is all there will ever be */
};

#define PFS_TOKEN_SIZE 16

/* All names end with NUL; one that is not there is empty. */
struct pfs_ticket {
	uint32_t version; /* PFS_SHARED_VERSION */
	uint32_t pad;
	uint8_t token[PFS_TOKEN_SIZE];
	char name[64];	/* an abstract name: the address is a NUL and this */
	char path[108]; /* the same socket by a path, for who is in another network namespace */
};

/* What the client says first, and nothing else. */
struct pfs_shared_word {
	uint32_t version;
	uint32_t pad;
	uint8_t token[PFS_TOKEN_SIZE];
};

/*
 * How the server's message begins; who is refused gets no more than this, and no descriptors.
 */
struct pfs_shared_head {
	uint32_t version;
	int32_t error; /* 0, or an errno, and `why` is a sentence */
	char why[256];
};

/* To a client that reads. */
struct pfs_shared_hello {
	struct pfs_shared_head head;
	uint32_t slots; /* of the queue, a power of two */
	uint32_t reliable;
	uint64_t ring_size; /* a power of two */
	uint32_t ring;	    /* its number in refs */
	uint32_t link_type; /* of all records; PFS_LINK_EACH: each says it in `ifindex` */
	uint64_t oldest;    /* refs before this one mean nothing to a client */
};
#define PFS_LINK_EACH 0x10000

enum {
	PFS_GIVEN_QUEUE,
	PFS_GIVEN_RING,
	PFS_GIVEN_PAGE,
	PFS_GIVEN_NUDGE,
	PFS_GIVEN_COUNT,
};

/* To a client that is lent memory: a ring for a producer (ring/offer.h), two blocks (pipesfs/zbuf.h). */
struct pfs_shared_lent {
	struct pfs_shared_head head;
	uint64_t size; /* of the ring, of one block */
};

enum {
	PFS_LENT_MEMORY,
	PFS_LENT_NUDGE,	 /* wakes the client (base/nudge.h) */
	PFS_LENT_CALLS,	 /* wakes the mount: to producers only, as the next */
	PFS_LENT_CALLED, /* the other end of that: who has both gets no SIGPIPE */
	PFS_LENT_COUNT,
};

/* What PFS_IOC_ROTATE has handed over: len 0, nothing. */
struct pfs_rotated {
	uint32_t block;
	uint32_t len;
};

/* On an open pipe file. */
#define PFS_IOC_READER _IOR(0xb7, 1, struct pfs_ticket) /* a ticket for its reader */
#define PFS_IOC_ON _IO(0xb7, 2) /* its client has moved on, or wants what comes after an end */
#define PFS_IOC_SIZE _IOW(0xb7, 3, int) /* bytes of the ring or of a block, before the ticket */
#define PFS_IOC_PRODUCER _IOR(0xb7, 4, struct pfs_ticket) /* a ticket for a producer's ring */
#define PFS_IOC_BLOCKS _IOR(0xb7, 5, struct pfs_ticket)	  /* a ticket for blocks */
#define PFS_IOC_ROTATE _IOR(0xb7, 6, struct pfs_rotated)  /* hand over what is there */

#endif
