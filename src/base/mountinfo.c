#include "base/mountinfo.h"

#include <stdio.h>
#include <sys/sysmacros.h>

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
static bool line_parse(char *line, struct pfs_mountinfo *info)
{
	char *fields[6], *rest = line, *type, *source, *user;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i] || !rest)
			return false;
	}
	type = strstr(rest, "- ");
	if (!type || strlen(fields[3]) >= sizeof(info->root) ||
	    strlen(fields[4]) >= sizeof(info->dir) ||
	    sscanf(fields[2], "%u:%u", &info->major, &info->minor) != 2)
		return false;
	info->id = strtol(fields[0], NULL, 10);
	unescape(fields[3]);
	snprintf(info->root, sizeof(info->root), "%s", strcmp(fields[3], "/") != 0 ? fields[3] : "");
	unescape(fields[4]);
	memcpy(info->dir, fields[4], strlen(fields[4]) + 1);
	user = strstr(type, "user_id=");
	info->user = user ? (uid_t)strtoul(user + 8, NULL, 10) : 0;
	type += 2;
	source = type + strcspn(type, " ");
	snprintf(info->type, sizeof(info->type), "%.*s", (int)(source - type), type);
	source += *source == ' ';
	snprintf(info->source, sizeof(info->source), "%.*s", (int)strcspn(source, " \n"), source);
	return true;
}

int pfs_mountinfo_each(int (*each)(void *arg, const struct pfs_mountinfo *info), void *arg)
{
	PFS_FREE struct pfs_mountinfo *info = malloc(sizeof(*info));
	FILE *f = info ? fopen("/proc/self/mountinfo", "re") : NULL;
	PFS_FREE char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (!info)
		return -ENOMEM;
	if (!f)
		return -errno;
	while (r == 0 && getline(&line, &size, f) > 0)
		if (line_parse(line, info))
			r = each(arg, info);
	if (r == 0 && ferror(f))
		r = -EIO;
	fclose(f);
	return r;
}

/* --- is it in a pipesfs? ------------------------------------------------------------------- */

struct place_asked {
	const dev_t *device;
	const char *path;
	long mount_id;
};

static int is_in(void *arg, const struct pfs_mountinfo *info)
{
	const struct place_asked *asked = arg;
	size_t n = strlen(info->dir);

	if (strcmp(info->type, PFS_MOUNT_TYPE) != 0)
		return 0;
	if (asked->path)
		return strncmp(asked->path, info->dir, n) == 0 &&
		       (asked->path[n] == '/' || asked->path[n] == '\0');
	if (asked->device)
		return makedev(info->major, info->minor) == *asked->device;
	return info->id == asked->mount_id;
}

bool pfs_in_pipesfs_device(dev_t device)
{
	return pfs_mountinfo_each(is_in, &(struct place_asked){ .device = &device }) > 0;
}

bool pfs_in_pipesfs_mount(long id)
{
	return pfs_mountinfo_each(is_in, &(struct place_asked){ .mount_id = id }) > 0;
}

bool pfs_in_pipesfs_path(const char *path)
{
	return pfs_mountinfo_each(is_in, &(struct place_asked){ .path = path }) > 0;
}

/* --- what is mounted where ----------------------------------------------------------------- */

struct search {
	const char *dir; /* NULL: by device */
	unsigned major, minor;
	struct pfs_mountinfo *ret_info;
	bool found;
};

/* The last line that matches: later mounts lie on top of earlier ones. */
static int look(void *arg, const struct pfs_mountinfo *info)
{
	struct search *search = arg;

	if (search->dir ? strcmp(search->dir, info->dir) != 0
			: info->major != search->major || info->minor != search->minor)
		return 0;
	*search->ret_info = *info;
	search->found = true;
	return 0;
}

static int find(struct search *search)
{
	int r = pfs_mountinfo_each(look, search);

	return r < 0 || search->found ? r : -ENOENT;
}

int pfs_mountinfo_at(const char *dir, struct pfs_mountinfo *ret_info)
{
	return find(&(struct search){ .dir = dir, .ret_info = ret_info });
}

int pfs_mountinfo_dev(unsigned major, unsigned minor, struct pfs_mountinfo *ret_info)
{
	return find(&(struct search){ .major = major, .minor = minor, .ret_info = ret_info });
}

long pfs_mountinfo_of(int fd)
{
	char path[64], line[128];
	long id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "mnt_id: %ld", &id) == 1)
			break;
	if (f)
		fclose(f);
	return id;
}
