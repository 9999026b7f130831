/*
 * socket - messages with descriptors, over AF_UNIX
 */
#ifndef PFS_BASE_SOCKET_H
#define PFS_BASE_SOCKET_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/base.h"

#define PFS_SOCKET_FDS_MAX 8

/* One message with up to PFS_SOCKET_FDS_MAX descriptors. flags as of sendmsg(2). Bytes sent, -errno; no SIGPIPE. */
ssize_t pfs_socket_send(int fd, const struct iovec *iov, size_t niov, int flags, const int *fds,
			size_t nfds);

/*
 * One message. Bytes received (0: the other end is closed, or an empty message), -errno. fds gets up to nfds
 * descriptors, O_CLOEXEC, the callee's; those that did not come are -1.
 */
ssize_t pfs_socket_receive(int fd, void *buf, size_t size, int flags, int *fds, size_t nfds);

/*
 * Two ends of one connection, SOCK_SEQPACKET, by which each may wake the other from poll(2): that is all they are for.
 * An eventfd would do between friends; its writer waits when it is full, and whoever has the other end can fill it, and
 * make it one that waits, at any time.
 */
int pfs_nudge_pair(int fds[2]);
/* Wakes who polls the other end. Never waits: who has not seen many nudges yet will see one. */
void pfs_nudge(int fd);
/* Takes the nudges that have come, never waits. False: the other end is closed. */
bool pfs_nudge_clear(int fd);

#endif
