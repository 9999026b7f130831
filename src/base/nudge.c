#include "base/nudge.h"

#include <fcntl.h>

#define BYTES \
	4096 /* a pipe of one page, which counts least among those of a user; and all that is in it */

int pfs_nudge_new(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	(void)fcntl(fds[1], F_SETPIPE_SZ, BYTES);
	return 0;
}

void pfs_nudge_release(int fds[2])
{
	pfs_closep(&fds[0]);
	pfs_closep(&fds[1]);
}

bool pfs_nudge(int fd)
{
	const char byte = 0;

	return write(fd, &byte, 1) > 0 || errno != EPIPE; /* full: it has yet to look */
}

bool pfs_nudge_clear(int fd)
{
	char bytes[BYTES];

	/* Once: what comes meanwhile wakes again, and who writes without end keeps nobody here. */
	return read(fd, bytes, sizeof(bytes)) != 0;
}
