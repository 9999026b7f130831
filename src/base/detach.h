/*
 * detach - ends mounts of FUSE without asking those that serve them
 *
 * Nothing here waits for the daemon of a mount, which may be dead or stopped.
 */
#ifndef PFS_BASE_DETACH_H
#define PFS_BASE_DETACH_H

#include "base/base.h"

/*
 * Detaches all mounts of that device from this namespace, lazily. force: aborts the connection
 * first, so that whoever waits for an answer gets ECONNABORTED. Never waits for the daemon.
 * -ENOENT: there was none; -EPERM; -EBUSY: hidden below another mount.
 */
int pfs_mount_detach(unsigned major, unsigned minor, bool force);
/*
 * Device numbers are given to the next mount as soon as one has gone; this number never is. 0: not known
 * (before Linux
 * 6.8). dir: where it was mounted a moment ago; nothing is asked of it.
 */
uint64_t pfs_mount_unique(const char *dir);
/* Is the mount of that number gone for certain? */
bool pfs_mount_is_gone(uint64_t unique);
/* Aborts a FUSE connection through fusectl. -ENOENT: fusectl is not mounted. */
int pfs_mount_abort(unsigned minor);

#endif
