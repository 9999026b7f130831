#include "client/lent.h"

#include <limits.h>

#include "client/ticket.h"

int pfs_lent_get(int fd, unsigned long command, size_t size, size_t wanted, char *why,
		 size_t why_size, struct pfs_lent *ret_lent)
{
	PFS_CLOSE int socket = -1; /* needed no more: the pipe says when the mount has ended */
	struct pfs_shared_lent hello;
	int fds[PFS_LENT_COUNT] = { -1, -1, -1, -1 }, bytes, r;
	struct pfs_ticket ticket;

	if (size > INT_MAX)
		return -EINVAL;
	bytes = (int)size;
	if (ioctl(fd, PFS_IOC_SIZE, &bytes) < 0 || ioctl(fd, command, &ticket) < 0)
		return -errno;
	r = pfs_ticket_redeem(&ticket, &hello.head, sizeof(hello), fds, wanted, &socket, why, why_size);
	for (size_t i = 0; i < wanted && r == 0; i++)
		if (fds[i] < 0)
			r = -EPROTO;
	if (r < 0) {
		for (int i = 0; i < PFS_LENT_COUNT; i++)
			pfs_closep(&fds[i]);
		return r;
	}
	*ret_lent = (struct pfs_lent){ .memory_fd = fds[PFS_LENT_MEMORY],
				       .nudge_fd = fds[PFS_LENT_NUDGE],
				       .calls_fd = fds[PFS_LENT_CALLS],
				       .called_fd = fds[PFS_LENT_CALLED],
				       .size = hello.size };
	return 0;
}
