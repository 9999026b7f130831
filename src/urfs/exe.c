#include "urfs/exe.h"

#include <stdio.h>
#include <unistd.h>

#include <pipesfs/urfs.h>

int urfs_exe_read(pid_t pid, unsigned operation, char *buf, size_t size)
{
	char link[48];
	ssize_t n;

	if (pid <= 0 || operation == RFS_FLUSH || operation == RFS_LOCK)
		return -ENOENT;
	if (size < 2)
		return -EINVAL;
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}
