/*
 * background - the keeper of a mount in a process of its own
 */
#ifndef PFS_CMD_BACKGROUND_H
#define PFS_CMD_BACKGROUND_H

#include "cmd/cmd.h"

/*
 * keep() in a process and session of its own, with a descriptor that gets one byte once the mount can be used.
 * Returns
 * when it can, or when that process has ended, having said why: the exit status.
 */
int pfs_background(int (*keep)(void *arg, int ready_fd), void *arg);

#endif
