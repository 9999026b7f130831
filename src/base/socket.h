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

#endif
