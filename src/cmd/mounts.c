/*
 * mounts - reads /proc/self/mountinfo
 */
#include "cmd/mounts.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "mount/mount.h"

#define ANSWER_MS 3000

static void close_stdio(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* Space, tab, newline and backslash come as \ooo. Works in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/*
 * "36 35 0:52 / /mnt/p rw,nosuid shared:1 - fuse.pipesfs pipesfs rw,user_id=0": false when the line is of another
 * file system or not a line of this table. Cuts the line into pieces.
 */
static bool parse_line(char *line, struct mounts_entry *ret_entry)
{
	char *tail = strstr(line, " - ");
	char *save = NULL, *word = NULL;
	unsigned major = 0, minor = 0;

	if (!tail)
		return false;
	*tail = '\0';

	char *type = strtok_r(tail + 3, " \n", &save);
	char *source = strtok_r(NULL, " \n", &save);

	if (!type || !source)
		return false;
	if (strcmp(type, "fuse.pipesfs") != 0 &&
	    (strcmp(type, "fuse") != 0 || strcmp(source, "pipesfs") != 0))
		return false;
	word = strtok_r(line, " ", &save);
	for (int i = 0; word && i < 4; i++) {
		word = strtok_r(NULL, " ", &save);
		if (i == 1 && (!word || sscanf(word, "%u:%u", &major, &minor) != 2))
			return false;
	}
	if (!word)
		return false;
	unescape(word);
	ret_entry->point = word;
	ret_entry->dev = makedev(major, minor);
	return true;
}

int mounts_read(struct mounts *ret_mounts)
{
	MOUNTS struct mounts mounts = { 0 };
	PFS_CLEANUP(close_stdio) FILE *file = fopen("/proc/self/mountinfo", "re");
	PFS_FREE char *line = NULL;
	size_t cap = 0;

	if (!file)
		return -errno;
	while (getline(&line, &cap, file) > 0) {
		struct mounts_entry entry, *grown;

		if (!parse_line(line, &entry))
			continue;
		grown = realloc(mounts.entry, (mounts.n + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		mounts.entry = grown;
		entry.point = strdup(entry.point);
		if (!entry.point)
			return -ENOMEM;
		mounts.entry[mounts.n++] = entry;
	}
	if (ferror(file))
		return -EIO;
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

/*
 * A path into a mount whose process is dead or stopped must not be touched, so what it names is first guessed from its
 * text: then the mount is asked whether it answers.
 */
static int check_answers(const struct mounts *mounts, const char *path, struct pfs_diag *diag)
{
	PFS_FREE char *here = *path == '/' ? strdup("") : getcwd(NULL, 0);
	PFS_BUF struct pfs_buf full = { 0 };
	const struct mounts_entry *guess;
	int r;

	pfs_buf_printf(&full, "%s/%s", here ? here : "", path + (*path == '/'));
	if (!here || full.failed)
		return 0;
	while (full.len > 1 && full.data[full.len - 1] == '/')
		full.data[--full.len] = '\0';
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
