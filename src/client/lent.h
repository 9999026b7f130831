/*
 * lent - memory that the mount lends to who has a pipe file open: how a client comes by it
 *
 * The ticket of ring/shared.h is asked for and redeemed; of what is given there is one memfd, and the end of a pipe
 * by which it wakes us; to a producer also both of one by which we wake it.
 */
#ifndef PFS_CLIENT_LENT_H
#define PFS_CLIENT_LENT_H

#include "ring/shared.h"

struct pfs_lent {
	int memory_fd, nudge_fd; /* the caller's */
	int calls_fd, called_fd; /* the caller's, both ends of a pipe, for `wanted` 4; else -1 */
	uint64_t size;
};

/*
 * command: which ticket, on the open file fd; size: bytes wanted; wanted: how many descriptors of PFS_LENT_*. why: as
 * of pfs_ticket_redeem(). -ENOTTY, -EPROTO, -ENOTCONN, and what the mount says.
 */
int pfs_lent_get(int fd, unsigned long command, size_t size, size_t wanted, char *why,
		 size_t why_size, struct pfs_lent *ret_lent);

#endif
