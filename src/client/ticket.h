/*
 * ticket - a client's side of the handshake (ring/shared.h): the token is said, and what is given is taken
 */
#ifndef PFS_CLIENT_TICKET_H
#define PFS_CLIENT_TICKET_H

#include "ring/shared.h"

/*
 * hello: `size` bytes of a layout that begins with it; fds: nfds of them, the caller's whatever is returned, -1 those
 * that did not come; *ret_socket: the connection, likewise. why: the mount's sentence, when it refuses; NULL and
 * 0: it is not asked for. -ENOTCONN, -ETIMEDOUT, -EPROTO, and what the mount says.
 */
int pfs_ticket_redeem(const struct pfs_ticket *ticket, struct pfs_shared_head *hello, size_t size,
		      int *fds, size_t nfds, int *ret_socket, char *why, size_t why_size);

#endif
