/*
 * client_i - a reader of libpipesfs
 *
 *	open.c		the file, its ticket, the socket, the mappings
 *	client.c	records
 *
 * ring/shared.h says what is mapped. Two ways, by what the reader is:
 *
 * - reliable: records are given in place; `hold` keeps them until they are released.
 * - lossy: nothing is held. Records are copied into `copies`, and counted as lost if they were overwritten meanwhile.
 *   Or they are given in place, and what was overwritten is found when they are released.
 */
#ifndef PFS_CLIENT_CLIENT_I_H
#define PFS_CLIENT_CLIENT_I_H

#include <pipesfs/pipesfs.h>

#include "base/base.h"
#include "ring/shared.h"

struct pfs_client {
	int file;     /* the open pipe file: the reader is its */
	int socket;   /* the connection: without it the mount takes us for gone */
	int nudge_fd; /* bytes that wake; its end is the mount's */
	struct pfs_shared_hello hello;
	struct pfs_shared_queue *queue; /* read-only, with the slots behind */
	const _Atomic uint64_t *slots;
	const _Atomic uint32_t *before;
	const uint8_t *data; /* of the ring, read-only, twice in a row */
	const struct pfs_shared_ring *ring;
	struct pfs_shared_cursor *page;
	uint64_t next;	  /* ref to be taken next */
	uint64_t records; /* pushed before it */
	uint64_t lost;
	uint8_t *copies; /* owned; lossy */
	size_t copied, copies_size;
	bool in_place;	/* lossy, and not copied */
	uint64_t first; /* ref behind the last release */
	uint64_t given; /* records since then that lie in the ring */
	uint64_t torn;	/* of records since then, those overwritten as far as is known */
	bool armed;	/* `asleep` was set: a byte may have come */
	bool ended;	/* an end was given: what comes after it has to be asked for */
	bool dead;	/* the pipe has come to its end */
};

/* What the hello in it says, of these descriptors, which stay the caller's. -EPROTO: it cannot be; -ENOMEM, ... */
int pfs_client_map(struct pfs_client *client, const int fds[PFS_GIVEN_COUNT]);

#endif
