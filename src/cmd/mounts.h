/*
 * mounts - which pipesfs are mounted here, and which of them a path belongs to
 *
 * From /proc/self/mountinfo and one stat(2): what any program could find out. A file system whose process has died or
 * was stopped is still in the table; it is asked first, so that nobody waits for it in vain.
 */
#ifndef PFS_CMD_MOUNTS_H
#define PFS_CMD_MOUNTS_H

#include "base/mountinfo.h"
#include "cmd/cmd.h"

#include <sys/types.h>

struct mounts_entry {
	char *point; /* owned; where it is mounted, absolute, unescaped */
	dev_t dev;   /* st_dev of everything in it */
};

struct mounts {
	struct mounts_entry *entry; /* owned, in the order of mounting */
	size_t n;
};

/* -errno of reading the table, -ENOMEM. */
int mounts_read(struct mounts *ret_mounts);
void mounts_release(struct mounts *mounts);

/*
 * Finds the mount that a path lies in. 0: *ret_path is its absolute path (owned by the caller), *ret_root the entry
 * (borrowed from mounts). -EXDEV: it lies elsewhere; -ENOTCONN: in one whose process is gone; -ETIMEDOUT: in one that
 * does not answer; or what stat(2) says. The sentence is in diag.
 */
int mounts_find(const struct mounts *mounts, const char *path, char **ret_path,
		const struct mounts_entry **ret_root, struct pfs_diag *diag);

/*
 * The pipesfs, or redirected tree, that the one argument of a command names. 0, or the exit status after the sentence
 * was said.
 */
int mounts_target(const struct pfs_command *cmd, int argc, char **argv, struct pfs_mountinfo *ret_info);

/*
 * Detaches what is dead among the pipesfs and redirected trees that a path is in, or that are mounted there, and says
 * so: their processes were killed all at once. 0, or the exit status after the sentence was said.
 */
int mounts_clear(const char *path);

#define MOUNTS PFS_CLEANUP(mounts_release)

#endif
