/*
 * processes - how many a user has, as /proc shows them
 */
#ifndef PFS_BASE_PROCESSES_H
#define PFS_BASE_PROCESSES_H

#include <sys/types.h>

#include "base/base.h"

/*
 * Threads of all processes with this real uid, but for those below `except` (its children, theirs, and so on): what
 * RLIMIT_NPROC counts. They come and go meanwhile. -errno of /proc, -ENOMEM.
 */
int pfs_processes_count(uid_t uid, pid_t except, uint64_t *ret_n);

#endif
