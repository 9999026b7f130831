/*
 * detach - detaches and aborts mounts without asking the filesystem that is mounted
 *
 * A path that leads into a dead or stopped mount must not be touched: stat(2) on it may never
 * return. All that is needed stands in /proc/self/mountinfo (base/mountinfo.h), and neither open(2) with O_PATH of
 * what is mounted there nor umount2(2) asks.
 */
#include "base/detach.h"

#include "base/mountinfo.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MOUNTS_MAX 64 /* bind mounts of one filesystem that are detached together */

/* An ordinary user's mount is detached by fusermount3, which has the right to. */
static int fusermount(const char *dir)
{
	char *const argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-q", (char *)"-z",
			       (char *)"--",	      (char *)dir,  NULL };
	int status;
	pid_t pid;
	int r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/*
 * By a descriptor of this very mount: several may be about to detach it, and by its path the second would take away
 * what lay below.
 */
static int detach_one(const struct pfs_mountinfo *info, bool force)
{
	PFS_CLOSE int fd = open(info->dir, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[32];

	if (fd < 0)
		return -errno;
	/* Something else may have been mounted over it: that is not ours to take away. */
	if (pfs_mountinfo_of(fd) != info->id)
		return -EBUSY;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (umount2(path, MNT_DETACH | (force ? MNT_FORCE : 0)) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	if (force)
		pfs_mount_abort(info->minor);
	pfs_closep(&fd);
	return fusermount(info->dir);
}

int pfs_mount_detach(unsigned major, unsigned minor, bool force)
{
	struct pfs_mountinfo info = { .major = 0 };
	int r = pfs_mountinfo_dev(major, minor, &info);

	if (r < 0)
		return r;
	for (int i = 0; i < MOUNTS_MAX; i++) {
		r = detach_one(&info, force);
		/* Somebody else was faster: as good. */
		if (pfs_mountinfo_dev(major, minor, &info) == -ENOENT)
			return 0;
		if (r < 0)
			return r;
	}
	return -EBUSY;
}

/* Newer than the headers: statx(2), statmount(2). */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif

uint64_t pfs_mount_unique(const char *dir)
{
	struct statx st;

	if (statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID_UNIQUE, &st) < 0 ||
	    !(st.stx_mask & STATX_MNT_ID_UNIQUE))
		return 0;
	return st.stx_mnt_id;
}

bool pfs_mount_is_gone(uint64_t unique)
{
	struct {
		uint32_t size, spare;
		uint64_t id, wanted;
	} request = { .size = sizeof(request), .id = unique };
	char answer[512];

	return unique && syscall(SYS_statmount, &request, answer, sizeof(answer), 0) < 0 &&
	       errno == ENOENT;
}

int pfs_mount_abort(unsigned minor)
{
	PFS_CLOSE int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, "1\n", 2) == 2 ? 0 : -errno;
}
