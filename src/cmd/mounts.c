/*
 * mounts - the pipesfs among the mounts, and who is asked before a path is touched
 */
#include "cmd/mounts.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "mount/mount.h"

#define ANSWER_MS 3000
#define CLEAR_MAX 16 /* mounts that lie one in the other */

static int add(void *arg, const struct pfs_mountinfo *info)
{
	struct mounts *mounts = arg;
	struct mounts_entry *grown;

	if (strcmp(info->type, PFS_MOUNT_TYPE) != 0 &&
	    (strcmp(info->type, "fuse") != 0 || strcmp(info->source, "pipesfs") != 0))
		return 0;
	grown = reallocarray(mounts->entry, mounts->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	mounts->entry = grown;
	grown[mounts->n].point = strdup(info->dir);
	grown[mounts->n].dev = makedev(info->major, info->minor);
	if (!grown[mounts->n].point)
		return -ENOMEM;
	mounts->n++;
	return 0;
}

int mounts_read(struct mounts *ret_mounts)
{
	MOUNTS struct mounts mounts = { 0 };
	int r = pfs_mountinfo_each(add, &mounts);

	if (r < 0)
		return r;
	*ret_mounts = mounts;
	mounts = (struct mounts){ 0 };
	return 0;
}

void mounts_release(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++)
		free(mounts->entry[i].point);
	free(mounts->entry);
	*mounts = (struct mounts){ 0 };
}

/* The mount whose point is the longest beginning of the path, among those of that device (0: all). */
static const struct mounts_entry *longest(const struct mounts *mounts, const char *path, dev_t dev)
{
	const struct mounts_entry *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < mounts->n; i++) {
		const struct mounts_entry *entry = &mounts->entry[i];
		size_t len = strlen(entry->point);

		if (dev && entry->dev != dev)
			continue;
		if (strncmp(path, entry->point, len) != 0 || (path[len] && path[len] != '/'))
			continue;
		if (len >= best_len) {
			best = entry;
			best_len = len;
		}
	}
	return best;
}

/* The absolute path, by its text alone. False: it cannot be told. */
static bool full_path(const char *path, struct pfs_buf *full)
{
	PFS_FREE char *here = *path == '/' ? strdup("") : getcwd(NULL, 0);

	pfs_buf_printf(full, "%s/%s", here ? here : "", path + (*path == '/'));
	if (!here || full->failed)
		return false;
	while (full->len > 1 && full->data[full->len - 1] == '/')
		full->data[--full->len] = '\0';
	return true;
}

/*
 * A path into a mount whose process is dead or stopped must not be touched, so what it names is first guessed from its
 * text: then the mount is asked whether it answers.
 */
static int check_answers(const struct mounts *mounts, const char *path, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf full = { 0 };
	const struct mounts_entry *guess;
	int r;

	if (!full_path(path, &full))
		return 0;
	guess = longest(mounts, full.data, 0);
	r = guess ? pfs_mount_answers(guess->point, ANSWER_MS) : 0;
	if (r == -ENOTCONN || r == -ECONNABORTED)
		return pfs_diag_set(diag, ENOTCONN,
				    "the process behind %s is gone; `pipesfs umount %s` clears it away",
				    guess->point, guess->point);
	if (r == -ETIMEDOUT)
		return pfs_diag_set(diag, ETIMEDOUT, "%s does not answer; `pipesfs abort %s` ends it",
				    guess->point, guess->point);
	return 0;
}

int mounts_find(const struct mounts *mounts, const char *path, char **ret_path,
		const struct mounts_entry **ret_root, struct pfs_diag *diag)
{
	PFS_FREE char *real = NULL;
	const struct mounts_entry *root;
	struct stat st;
	int r = check_answers(mounts, path, diag);

	if (r < 0)
		return r;
	real = realpath(path, NULL);
	if (!real || stat(real, &st) < 0)
		return pfs_diag_set(diag, errno, "%s: %s", path, strerror(errno));
	root = longest(mounts, real, st.st_dev);
	if (!root)
		return pfs_diag_set(
			diag, EXDEV,
			"%s is not in a pipesfs; `pipesfs ls` without a directory shows what is mounted",
			path);
	*ret_path = TAKE_PTR(real);
	*ret_root = root;
	return 0;
}

/* The last mount of ours that the path is in; minor 0: none. */
struct covering {
	const char *path; /* borrowed; absolute */
	struct pfs_mountinfo info;
};

static int cover(void *arg, const struct pfs_mountinfo *info)
{
	struct covering *covering = arg;
	size_t len = strlen(info->dir);

	if (strcmp(info->type, PFS_MOUNT_TYPE) != 0 && strcmp(info->type, PFS_REDIRECT_TYPE) != 0)
		return 0;
	if (strncmp(covering->path, info->dir, len) != 0 ||
	    (covering->path[len] && covering->path[len] != '/'))
		return 0;
	covering->info = *info;
	return 0;
}

/* Which mount of ours covers a path, unless it is hidden itself. False: none. */
static bool find_covering(const char *path, struct pfs_mountinfo *ret_info)
{
	PFS_BUF struct pfs_buf full = { 0 };
	PFS_FREE char *real = realpath(path, NULL);
	struct covering covering = { .path = real };
	struct pfs_mountinfo top;

	/* What cannot be resolved because it is dead is taken as it was said. */
	if (!real && (errno == ENOTCONN || errno == ECONNABORTED) && full_path(path, &full))
		covering.path = full.data;
	if (!covering.path || pfs_mountinfo_each(cover, &covering) < 0 || !covering.info.minor)
		return false;
	*ret_info = covering.info;
	return pfs_mountinfo_at(ret_info->dir, &top) == 0 && top.id == ret_info->id;
}

int mounts_clear(const char *path)
{
	struct pfs_mountinfo info;
	int r;

	for (int i = 0; i < CLEAR_MAX && find_covering(path, &info); i++) {
		r = pfs_mount_answers(info.dir, ANSWER_MS);
		if (r == -ETIMEDOUT)
			return pfs_fail("what is mounted on %s does not answer; end it with "
					"`pipesfs abort %s`",
					info.dir, info.dir);
		if (r != -ENOTCONN && r != -ECONNABORTED)
			return 0;
		r = pfs_mount_detach(info.major, info.minor, false);
		if (r < 0)
			return pfs_fail("what is mounted on %s is dead and cannot be detached: %s",
					info.dir, strerror(-r));
		pfs_say("removed a dead mount from %s", info.dir);
	}
	return 0;
}

int mounts_target(const struct pfs_command *cmd, int argc, char **argv, struct pfs_mountinfo *ret_info)
{
	PFS_FREE char *dir = NULL;

	if (argc != 2 || argv[1][0] == '-')
		return pfs_usage(cmd, "one directory is needed");
	dir = realpath(argv[1], NULL);
	if (!dir)
		return pfs_fail("%s: %s", argv[1], strerror(errno));
	if (pfs_mountinfo_at(dir, ret_info) < 0 || (strcmp(ret_info->type, PFS_MOUNT_TYPE) != 0 &&
						    strcmp(ret_info->type, PFS_REDIRECT_TYPE) != 0))
		return pfs_fail(
			"no pipesfs is mounted on %s; `mount -t fuse.pipesfs,fuse.redirfs` lists them",
			argv[1]);
	return 0;
}
