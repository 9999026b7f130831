/*
 * save - a tree as a text that can be edited, and made anew
 *
 * What is there without anybody's doing is left out: sources behind the kernel that are as they always are, classes
 * that were only seen, runs.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>

#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/place.h"
#include "cmd/save_i.h"
#include "cmd/tree.h"
#include "graph/tables.h"

#define DEPTH_MAX 80

/* --- the text ------------------------------------------------------------------------------------- */

void save_owner(uid_t uid, gid_t gid, struct pfs_buf *out)
{
	struct passwd *user = getpwuid(uid);
	struct group *group = getgrgid(gid);

	if (user)
		pfs_buf_str(out, user->pw_name);
	else
		pfs_buf_printf(out, "%u", uid);
	if (group)
		pfs_buf_printf(out, ":%s", group->gr_name);
	else
		pfs_buf_printf(out, ":%u", gid);
}

void save_path(const char *path, struct pfs_buf *out)
{
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (c < 0x20 || c == 0x7f || c == '\\')
			pfs_buf_printf(out, "\\x%02x", c);
		else
			pfs_buf_add(out, path, 1);
	}
}

int params_read(int dir, struct pfs_buf *ret_text)
{
	int r = tree_read_hidden(dir, ".params", ret_text);

	return r == -ENOENT ? 0 : r;
}

bool params_has(const char *text, const char *line, size_t len)
{
	for (const char *at = text; at && *at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, line, len) && (at[len] == '\n' || !at[len]))
			return true;
	}
	return false;
}

/* --- what a name says --------------------------------------------------------------------------------- */

static const struct pfs_filter *filter_of(const char *name)
{
	return pfs_filter_find(name, pfs_name_type_len(name), false);
}

static bool is_folder(const char *name)
{
	const struct pfs_source *source = pfs_source_find(name, strlen(name));

	return source && (source->flags & PFS_SOURCE_DEVICES);
}

/* There without mkdir, below this parent ("": the root). */
static bool is_static(const char *parent, const char *name)
{
	const struct pfs_source *source = pfs_source_find(name, strlen(name));

	if (!*parent)
		return source && (source->flags & (PFS_SOURCE_STATIC | PFS_SOURCE_DEVICES));
	return is_folder(parent) && !strchr(name, ',');
}

/* At the root lies what is no part of the graph, too: portals, and what programs run. */
static bool is_source(const char *name)
{
	size_t len = pfs_name_type_len(name);
	const struct pfs_source *source = pfs_source_find(name, len);

	/* `unix` is the portal, `unix:PATH` the source. */
	return source && (name[len] || !source->needs_arg || (source->flags & PFS_SOURCE_DEVICES));
}

/* As far as one can tell from outside. */
static bool is_class(const char *parent, const char *name)
{
	const struct pfs_filter *filter = filter_of(parent);

	for (size_t i = 0; filter && filter->classes && filter->classes[i]; i++)
		if (!strcmp(filter->classes[i], name))
			return true;
	return filter && filter->open_classes && !filter_of(name);
}

/* The lines that .params has when nobody has changed it. */
static void params_of_name(const char *parent, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	PFS_BUF struct pfs_buf full = { 0 };
	const struct pfs_filter *filter = filter_of(name);
	const struct pfs_source *source;

	pfs_buf_printf(&full, "%s%s%s", is_folder(parent) ? parent : "",
		       is_folder(parent) ? ":" : "", name);
	if (full.failed)
		return;
	source = pfs_source_find(full.data, pfs_name_type_len(full.data));
	if (pfs_args_parse(full.data,
			   *parent && !is_folder(parent) ? (filter ? filter->params : NULL)
							 : (source ? source->params : NULL),
			   &args, NULL) < 0)
		return;
	if (args.arg) {
		pfs_buf_str(out, "arg=");
		pfs_name_escape(out, args.arg, args.arg_len);
		pfs_buf_str(out, "\n");
	}
	for (size_t i = 0; i < args.n; i++) {
		pfs_buf_printf(out, "%s=", args.param[i].key);
		pfs_name_escape(out, args.param[i].value, strlen(args.param[i].value));
		pfs_buf_str(out, "\n");
	}
}

/* --- the tree ------------------------------------------------------------------------------------------ */

struct saving {
	struct stat root; /* of the mount point */
	struct pfs_buf out;
	struct pfs_buf path;
	unsigned closed; /* directories that we may not enter */
};

static void put_params(int dir, const char *parent, const char *name, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf now = { 0 }, said = { 0 };
	char *save = NULL;

	if (params_read(dir, &now) < 0 || !now.data)
		return;
	params_of_name(parent, name, &said);
	for (char *line = strtok_r(now.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!params_has(said.data, line, strlen(line)))
			pfs_buf_printf(out, "\t%s\n", line);
}

static void put_line(struct saving *s, const struct stat *st)
{
	pfs_buf_printf(&s->out, "%04o ", st->st_mode & 07777);
	save_owner(st->st_uid, st->st_gid, &s->out);
	pfs_buf_str(&s->out, " ");
	save_path(s->path.data, &s->out);
	pfs_buf_str(&s->out, "\n");
}

static int save_children(struct saving *s, int fd, const char *name, unsigned depth);

static int save_link(struct saving *s, int above, const char *name)
{
	size_t path = s->path.len;
	char target[PATH_MAX];
	struct stat st;
	bool escape;
	ssize_t n = readlinkat(above, name, target, sizeof(target) - 1);

	if (n < 0 || fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone since */
	target[n] = '\0';
	escape = *target == ' ' || *target == '#';
	pfs_buf_printf(&s->path, "%s%s", path ? "/" : "", name);
	if (s->path.failed)
		return -ENOMEM;
	pfs_buf_str(&s->out, "link ");
	save_owner(st.st_uid, st.st_gid, &s->out);
	pfs_buf_str(&s->out, " ");
	save_path(s->path.data, &s->out);
	pfs_buf_str(&s->out, "\n\t");
	if (escape) /* else it would be indentation, or a comment */
		pfs_buf_printf(&s->out, "\\x%02x", (unsigned char)*target);
	save_path(target + escape, &s->out);
	pfs_buf_str(&s->out, "\n");
	s->path.len = path;
	s->path.data[path] = '\0';
	return 0;
}

/* A class has both from its parent, unless somebody gave it away. */
static bool is_as_above(int above, const struct stat *st)
{
	struct stat up;

	return !fstat(above, &up) && ((up.st_mode ^ st->st_mode) & 07777) == 0 &&
	       up.st_uid == st->st_uid && up.st_gid == st->st_gid;
}

/* Its line, and those below it; unless there is nothing to say. */
static int save_dir(struct saving *s, int above, const char *parent, const char *name, unsigned depth)
{
	PFS_CLOSE int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t line = s->out.len, path = s->path.len, params, below;
	struct stat st;
	bool usual;
	int r;

	if (fd < 0 && errno == EACCES)
		s->closed++;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* gone since */
	pfs_buf_printf(&s->path, "%s%s", path ? "/" : "", name);
	if (s->path.failed)
		return -ENOMEM;
	put_line(s, &st);
	params = s->out.len;
	put_params(fd, parent, name, &s->out);
	below = s->out.len;
	r = save_children(s, fd, name, depth + 1);
	usual = below == params &&
		(st.st_mode & 07777) == (!*parent && is_folder(name) ? 0755 : 0700) &&
		st.st_uid == s->root.st_uid && st.st_gid == s->root.st_gid;
	if (r == 0 && is_static(parent, name) && usual && !s->out.failed) {
		memmove(s->out.data + line, s->out.data + below, s->out.len - below);
		s->out.len -= below - line;
	} else if (is_class(parent, name) && s->out.len == params && is_as_above(above, &st)) {
		s->out.len = line;
	}
	s->path.len = path;
	s->path.data[path] = '\0';
	return r;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static int is_child(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_LNK) && entry->d_name[0] != '.';
}

static int save_children(struct saving *s, int fd, const char *name, unsigned depth)
{
	struct dirent **found = NULL;
	int n = depth < DEPTH_MAX ? scandirat(fd, ".", &found, is_child, by_name) : 0, r = 0;

	for (int i = 0; i < n; i++) {
		if (r == 0 && found[i]->d_type == DT_LNK)
			r = save_link(s, fd, found[i]->d_name);
		else if (r == 0 && (depth || is_source(found[i]->d_name)))
			r = save_dir(s, fd, name, found[i]->d_name, depth);
		free(found[i]);
	}
	free(found);
	return n < 0 ? -errno : r;
}

static void put_head(struct saving *s, const char *path)
{
	char when[40];
	time_t now = time(NULL);
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	pfs_buf_str(&s->out, "# ");
	save_path(path, &s->out);
	pfs_buf_printf(&s->out, " at %s; `pipesfs restore DIR` makes it again\n", when);
}

/* The directories above the one that was asked for, and its own name, are part of the paths. */
static int save_from(struct saving *s, const char *root, const char *path)
{
	PFS_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PFS_FREE char *rest = strdup(path + strlen(root)), *parent = strdup("");
	char *save = NULL, *name;

	if (fd < 0 || !rest || !parent || fstat(fd, &s->root) < 0)
		return fd < 0 ? -errno : -ENOMEM;
	name = strtok_r(rest, "/", &save);
	pfs_buf_str(&s->path, "");
	if (!name)
		return save_children(s, fd, "", 0);
	for (unsigned depth = 0;; depth++) {
		char *next = strtok_r(NULL, "/", &save);
		int below;

		if (!next)
			return save_dir(s, fd, parent, name, depth);
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below < 0)
			return -errno;
		close(fd);
		fd = below;
		pfs_buf_printf(&s->path, "%s%s", depth ? "/" : "", name);
		free(parent);
		parent = strdup(name);
		if (!parent)
			return -ENOMEM;
		name = next;
	}
}

static int save_tree(const char *root, const char *path)
{
	struct saving saving = { 0 };
	int r;

	put_head(&saving, path);
	r = save_from(&saving, root, path);
	if (r == 0 && saving.out.failed)
		r = -ENOMEM;
	if (r == 0)
		fwrite(saving.out.data, 1, saving.out.len, stdout);
	if (saving.closed)
		pfs_say("%u directories are closed to you and were left out", saving.closed);
	pfs_buf_release(&saving.out);
	pfs_buf_release(&saving.path);
	if (r < 0)
		return pfs_fail("%s: %s", path, strerror(-r));
	return saving.closed ? PFS_EXIT_FAILED : 0;
}

static int save_run(int argc, char **argv)
{
	PFS_CLEANUP(place_release) struct place place = { 0 };
	PFS_FREE char *path = NULL;
	int r;

	if (pfs_getopt(&pfs_cmd_save, argc, argv) != -1)
		return pfs_usage(&pfs_cmd_save, NULL);
	if (argc - optind > 1)
		return pfs_usage(&pfs_cmd_save, "one directory at a time");
	r = place_mounted(argv[optind], &place);
	if (r)
		return r;
	path = realpath(optind < argc ? argv[optind] : place.root, NULL);
	return path ? save_tree(place.root, path) : pfs_fail("%s: %s", argv[optind], strerror(errno));
}

const struct pfs_command pfs_cmd_save = {
	.name = "save",
	.summary = "print a tree as a text that can be edited and restored",
	.operands = "[DIR]",
	.words = PFS_WORDS_TREE,
	.help = "A line for each directory that somebody made or changed: mode, owner, path; below it,\n"
		"indented, the parameters that are not what its name says. For a symbolic link: `link`, owner,\n"
		"path, and below it what it says. Without DIR: the mounted tree.\n",
	.run = save_run,
};
