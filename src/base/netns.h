/*
 * netns - doing something in a named network namespace
 *
 * A socket or link belongs to the network namespace of the thread that makes it, and stays there. So the thread
 * that makes it moves, and no other: a thread of its own, which ends.
 */
#ifndef PFS_BASE_NETNS_H
#define PFS_BASE_NETNS_H

#include "base/base.h"

/*
 * Calls fn(arg) in the namespace /run/netns/<name> (see ip-netns(8)) and returns what it returned. NULL or "": in the
 * caller's own, on the caller's thread. -ENOENT: there is no such namespace; -EPERM: no right to enter it
 * (CAP_SYS_ADMIN); -EINVAL: not a name; -EAGAIN: no thread.
 */
int pfs_netns_call(const char *name, int (*fn)(void *arg), void *arg, struct pfs_diag *diag);
/* Could it be entered? The same errors. */
int pfs_netns_check(const char *name, struct pfs_diag *diag);

#endif
