/*
 * mountinfo - the mounts of this namespace, as /proc/self/mountinfo tells them
 *
 * Reading it asks no filesystem, so it never hangs, whatever is mounted.
 */
#ifndef PFS_BASE_MOUNTINFO_H
#define PFS_BASE_MOUNTINFO_H

#include <limits.h>
#include <sys/types.h>

#include "base/base.h"

#define PFS_MOUNT_TYPE "fuse.pipesfs"
#define PFS_REDIRECT_TYPE "fuse.redirfs" /* of a redirected tree */

/* A line of the table. */
struct pfs_mountinfo {
	long id;	     /* as mnt_id in /proc/PID/fdinfo */
	char root[PATH_MAX]; /* which directory of the filesystem is seen at dir; "" is its root */
	char dir[PATH_MAX];
	unsigned major, minor; /* minor is also the number of a FUSE connection */
	char type[64];	       /* "fuse.pipesfs" */
	char source[64];       /* "pipesfs" */
	uid_t user;	       /* who mounted (user_id= of FUSE mounts) */
};

/*
 * Calls each() for every mount, earlier ones first, until it returns other than 0, and returns that; 0 at the end.
 * -errno of opening the table, -ENOMEM, -EIO.
 */
int pfs_mountinfo_each(int (*each)(void *arg, const struct pfs_mountinfo *info), void *arg);

/*
 * Is that in a pipesfs, any that is mounted in this namespace? A device number, the number of a mount (mnt_id in
 * fdinfo), or the beginning of an absolute path. Who opens files for a pipesfs must ask: to wait for an answer from
 * itself could last for ever.
 */
bool pfs_in_pipesfs_device(dev_t device);
bool pfs_in_pipesfs_mount(long id);
bool pfs_in_pipesfs_path(const char *path);

/* What is mounted at dir (absolute, resolved), topmost. -ENOENT: nothing. */
int pfs_mountinfo_at(const char *dir, struct pfs_mountinfo *ret_info);
/* The number (id) of the mount that an O_PATH descriptor is on; -1. Asks the kernel, never the filesystem. */
long pfs_mountinfo_of(int fd);
/* The last mount of a device, wherever it is now. -ENOENT. */
int pfs_mountinfo_dev(unsigned major, unsigned minor, struct pfs_mountinfo *ret_info);

#endif
