/*
 * exe - which program a caller runs
 *
 * execve(2) closes files, and locks that they held go, while nobody may look at what the process is about to become:
 * /proc gives exe when that is over, and it is over when who is told of the close has answered. Each would wait for the
 * other (t133, t158). So nobody asks in an operation that a close may be the reason of.
 */
#ifndef URFS_EXE_H
#define URFS_EXE_H

#include <sys/types.h>

/*
 * Its path, with a NUL, as much of it as there is room for. operation: RFS_FLUSH ... (enum rd_op is the same).
 * -ENOENT: no such process, or nobody may ask; -EINVAL: no room.
 */
int urfs_exe_read(pid_t pid, unsigned operation, char *buf, size_t size);

#endif
