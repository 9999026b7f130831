/*
 * background - starts a keeper and waits until its mount can be used
 */
#include "cmd/background.h"

#include <fcntl.h>

int pfs_background(int (*keep)(void *arg, int ready_fd), void *arg)
{
	char byte;
	ssize_t n;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return pfs_fail("no pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return pfs_fail("no process: %s", strerror(errno));
	if (pid == 0) {
		close(fds[0]);
		setsid();
		_exit(keep(arg, fds[1]));
	}
	close(fds[1]);
	/* End of file without a byte: it has died, and has said why. */
	do {
		n = read(fds[0], &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return pfs_fail("no answer: %s", strerror(errno));
	return n == 1 ? 0 : PFS_EXIT_FAILED;
}
