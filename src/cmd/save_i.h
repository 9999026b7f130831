/*
 * save_i - the text in which `pipesfs save` writes a tree and `pipesfs restore` reads it
 *
 *	# a comment
 *	0755 root:root accept/unpcap/match:tcp dst port 443
 *		snaplen=96
 *
 *	link root:root errors
 *		accept/lines/grep:error
 *
 * A line for each directory: mode, owner, path below the mount point, up to the end of the line, in which only a
 * backslash and control characters are escaped, as \xNN. An indented line below it is a parameter that is not what
 * the name says, as in .params. A directory comes after the one it lies in. A symbolic link has `link` for its mode,
 * and below it what it says, escaped as a path is, and so is a space or # at its beginning.
 */
#ifndef PFS_CMD_SAVE_I_H
#define PFS_CMD_SAVE_I_H

#include <sys/stat.h>

#include "base/base.h"

/* "root:wheel", numbers where there is no name. */
void save_owner(uid_t uid, gid_t gid, struct pfs_buf *out);
/* -EINVAL: no such user or group. */
int restore_owner(const char *text, size_t len, uid_t *ret_uid, gid_t *ret_gid);

void save_path(const char *path, struct pfs_buf *out);
/* -EINVAL: a backslash without \xNN, "..", an empty path. */
int restore_path(const char *text, size_t len, struct pfs_buf *ret_path);

/* The lines of .params (descriptor of the directory); none where there is no such file. -errno. */
int params_read(int dir, struct pfs_buf *ret_text);
/* Is that one of the lines of text? */
bool params_has(const char *text, const char *line, size_t len);

#endif
