/*
 * tree - the directories of a mounted pipesfs and their numbers, as anybody may read them
 *
 * Lists directories and reads their .stats; opens no pipe and no portal and makes nothing, so it changes nothing it
 * looks at.
 * Directories may come and go meanwhile: what vanished is left out, what may not be read carries its errno.
 */
#ifndef PFS_CMD_TREE_H
#define PFS_CMD_TREE_H

#include "base/base.h"

#include <stdio.h>

/* One `name value` line. */
struct tree_value {
	char *name; /* owned */
	char *text; /* owned */
	uint64_t number;
	bool is_number;
};

struct tree_dir {
	char *name;		  /* owned, as in the tree; of the top: the path it was read by */
	int error;		  /* errno of listing it, or 0 */
	struct tree_value *value; /* owned, in the order of the file; none where there is no .stats */
	size_t nvalues;
	struct tree_dir **child; /* owned, sorted by name */
	size_t nchildren;
	bool cut; /* has subdirectories that were not read, for the depth */
};

/* Reads the tree below path, `depth` levels of it. -errno of the top, -ENOMEM. */
int tree_read(const char *path, unsigned depth, struct tree_dir **ret_dir);
void tree_free(struct tree_dir *dir); /* NULL is fine */

/* The value of that name, or NULL. */
const struct tree_value *tree_value(const struct tree_dir *dir, const char *name);
/* As a number; 0 when there is none. */
uint64_t tree_number(const struct tree_dir *dir, const char *name);
/* The subdirectory at a relative path ("accept/unpcap"), or NULL. */
const struct tree_dir *tree_at(const struct tree_dir *dir, const char *path);

/* The numbers of one directory, without those below. -errno. */
int tree_read_one(const char *path, struct tree_dir **ret_dir);

/* A whole file (up to 32 MiB) below directory fd `at`. -errno. */
int tree_read_file(int at, const char *path, struct pfs_buf *ret_text);

/* The same of .stats and its like, which not every directory has: -ENOENT unless directory fd `at` lists it. */
int tree_read_hidden(int at, const char *name, struct pfs_buf *ret_text);

/* The stats as JSON members: "in":1,"out":1 (no braces). */
void tree_json_values(const struct tree_dir *dir, struct pfs_buf *out);

static inline void tree_freep(struct tree_dir **dir)
{
	tree_free(*dir);
}

#define TREE PFS_CLEANUP(tree_freep)

#endif
