/*
 * where - does a path that somebody opens lead below the prefix, and to which portal path?
 *
 * The prefix (/p) is taken as if it were there, whether or not something is mounted on it. A path leads below it
 * when it says so itself (/p/tcp/host/80), or when the kernel's walk would come there: from the caller's working
 * directory or a descriptor, by `..`, through symbolic links (views) and through /proc/self, root, cwd and fd.
 *
 * Nothing is decided by this but whether the kernel is told to go on: what leads elsewhere is walked again, and
 * judged, by the kernel itself; so it does no harm that the answer may be out of date. What leads below the prefix
 * is used as it was read here. Names are looked up as this process sees them: the answer is for callers in the same
 * root and mount namespace, which whoever acts on it must check (base/caller.h).
 *
 * Cheap for what leads elsewhere: one statx(2), three for a name that is not there. Never follows an automount, never
 * opens anything. It may wait as long as a filesystem lets statx wait.
 *
 * Threads: any; no allocation, no lock, no state but the struct, which is constant after init.
 */
#ifndef PFS_PORTAL_WHERE_H
#define PFS_PORTAL_WHERE_H

#include <limits.h>
#include <sys/types.h>

#include "base/base.h"

struct pfs_where {
	char prefix[PATH_MAX]; /* absolute, no symbolic links where it exists, no slash at the end */
	size_t len;
	/* What is there, if anything: a name that leads to it is ours too, and into it if something is mounted. */
	bool exists, mounted;
	unsigned major, minor;
	uint64_t ino;
	int proc; /* owned; O_PATH of /proc, which shows our pid namespace */
	/*
	 * Set by who serves a mount, after init: what is mounted as this device is its own, wherever it is (a bind
	 * mount), and is never asked anything. The root of it is the prefix; what else a way leads to there is
	 * elsewhere.
	 */
	bool has_own;
	unsigned own_major, own_minor;
};

/*
 * -EINVAL: not absolute, or the root itself; -ENAMETOOLONG; -ENOENT: /proc is not there, or is that of another pid
 * namespace. The sentence says which.
 */
int pfs_where_init(struct pfs_where *where, const char *prefix, struct pfs_diag *diag);
void pfs_where_release(struct pfs_where *where);

enum {
	PFS_WHERE_NOFOLLOW = 1, /* O_NOFOLLOW: a symbolic link at the end is not followed */
	PFS_WHERE_NOLINKS = 2,	/* RESOLVE_NO_SYMLINKS: none is */
	PFS_WHERE_WALK = 4, /* not the short way, which asks what is at the path: it may be the asker's own mount */
};

/*
 * open(dirfd, path) by thread tid. 1: it leads below the prefix, and ret_rest (PATH_MAX bytes) is what comes after:
 * no slash in front, `.` and `..` taken out, and slashes in a row made one but for those after a colon
 * (ftp://host/x), up to the first blank; from there on, where arguments stand, the text is as it came. 0: it leads
 * elsewhere, to the prefix itself, or nowhere.
 */
int pfs_where_find(const struct pfs_where *where, pid_t tid, int dirfd, const char *path,
		   unsigned flags, char *ret_rest);

/*
 * Takes `.`, `..` and spare slashes out of text (what follows the prefix), as told above. 1: the result is in
 * ret_rest ("" for the prefix itself). 0: it can only be a directory (it ends in a slash, `.` or `..`), or is too
 * long. -1: it climbs out; *ret_out is where in text it has done so.
 */
int pfs_where_clean(const char *text, char *ret_rest, const char **ret_out);

#endif
