#include "client/lent.h"

#include <limits.h>

#include "client/ticket.h"

int pfs_lent_get(int fd, unsigned long command, size_t size, char *why, size_t why_size,
		 struct pfs_lent *ret_lent)
{
	PFS_CLOSE int socket = -1; /* needed no more: the pair says when the mount has ended */
	struct pfs_shared_lent hello;
	int fds[PFS_LENT_COUNT], wanted, r;
	struct pfs_ticket ticket;

	if (size > INT_MAX)
		return -EINVAL;
	wanted = (int)size;
	if (ioctl(fd, PFS_IOC_SIZE, &wanted) < 0 || ioctl(fd, command, &ticket) < 0)
		return -errno;
	r = pfs_ticket_redeem(&ticket, &hello.head, sizeof(hello), fds, PFS_LENT_COUNT, &socket,
			      why, why_size);
	if (r == 0 && (fds[PFS_LENT_MEMORY] < 0 || fds[PFS_LENT_NUDGE] < 0))
		r = -EPROTO;
	if (r < 0) {
		for (int i = 0; i < PFS_LENT_COUNT; i++)
			pfs_closep(&fds[i]);
		return r;
	}
	*ret_lent = (struct pfs_lent){ .memory_fd = fds[PFS_LENT_MEMORY],
				       .nudge_fd = fds[PFS_LENT_NUDGE],
				       .calls_fd = fds[PFS_LENT_CALLS],
				       .size = hello.size };
	return 0;
}
