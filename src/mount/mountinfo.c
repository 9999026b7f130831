/*
 * mountinfo - finds, detaches and aborts mounts without asking the filesystem that is mounted
 *
 * A path that leads into a dead or stopped mount must not be touched: stat(2) on it may never
 * return. All that is needed stands in /proc/self/mountinfo, and umount2(2) with UMOUNT_NOFOLLOW
 * does not ask either.
 */
#include "mount/mount.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define MOUNTS_MAX 64 /* bind mounts of one filesystem that are detached together */

/* Undoes the kernel's \040 for blanks, tabs, newlines and backslashes, in place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* "36 35 0:49 / /p rw,relatime shared:1 - fuse.pipesfs pipesfs rw,user_id=0,group_id=0" */
static int line_parse(char *line, struct pfs_mountinfo *ret_info)
{
	char *fields[6], *rest = line, *type, *user;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i] || !rest)
			return -EINVAL;
	}
	type = strstr(rest, "- ");
	if (!type || strlen(fields[4]) >= sizeof(ret_info->dir) ||
	    sscanf(fields[2], "%u:%u", &ret_info->major, &ret_info->minor) != 2)
		return -EINVAL;
	unescape(fields[4]);
	memcpy(ret_info->dir, fields[4], strlen(fields[4]) + 1);
	user = strstr(type, "user_id=");
	ret_info->user = user ? (uid_t)strtoul(user + 8, NULL, 10) : 0;
	type += 2;
	snprintf(ret_info->type, sizeof(ret_info->type), "%.*s", (int)strcspn(type, " "), type);
	return 0;
}

/*
 * The last line that `dir` or (dir NULL) the device matches: later mounts lie on top of earlier
 * ones.
 */
static int find(const char *dir, unsigned major, unsigned minor, struct pfs_mountinfo *ret_info)
{
	struct pfs_mountinfo *info;
	PFS_FREE char *line = NULL;
	size_t size = 0;
	int r = -ENOENT;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return -errno;
	info = malloc(sizeof(*info));
	if (!info)
		r = -ENOMEM;
	while (info && getline(&line, &size, f) > 0) {
		if (line_parse(line, info) < 0)
			continue;
		if (dir ? strcmp(dir, info->dir) != 0 : info->major != major || info->minor != minor)
			continue;
		*ret_info = *info;
		r = 0;
	}
	free(info);
	fclose(f);
	return r;
}

int pfs_mountinfo_at(const char *dir, struct pfs_mountinfo *ret_info)
{
	return find(dir, 0, 0, ret_info);
}

int pfs_mountinfo_dev(unsigned major, unsigned minor, struct pfs_mountinfo *ret_info)
{
	return find(NULL, major, minor, ret_info);
}

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

static int detach_one(const struct pfs_mountinfo *info, bool force)
{
	struct pfs_mountinfo top = { .major = 0, .minor = 0 };
	int flags = MNT_DETACH | UMOUNT_NOFOLLOW | (force ? MNT_FORCE : 0);

	/* Something else may have been mounted over it: that is not ours to take away. */
	if (pfs_mountinfo_at(info->dir, &top) < 0 || top.major != info->major ||
	    top.minor != info->minor)
		return -EBUSY;
	if (umount2(info->dir, flags) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	if (force)
		pfs_mount_abort(info->minor);
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
