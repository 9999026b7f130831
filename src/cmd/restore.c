/*
 * restore - makes the tree that `pipesfs save` wrote
 *
 * What is there already is brought in line: owner, mode and parameters where they differ. A directory that cannot be
 * made yet, for one that comes later, is tried again while others can. At the end it says what could not be made. A
 * symbolic link that says something else is made anew.
 */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>

#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/place.h"
#include "cmd/save_i.h"
#include "cmd/stages.h"

#define TEXT_MAX ((size_t)16 << 20)

struct entry {
	unsigned line;
	bool link; /* params: what it says, as it is written */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct pfs_buf path;
	struct pfs_buf params; /* lines */
	bool done;
};

struct restoring {
	const char *file;
	struct entry *entry; /* owned */
	size_t n;
	int root; /* owned */
	bool dry;
	unsigned made, there, failed;
};

static void restoring_release(struct restoring *r)
{
	for (size_t i = 0; i < r->n; i++) {
		pfs_buf_release(&r->entry[i].path);
		pfs_buf_release(&r->entry[i].params);
	}
	free(r->entry);
	pfs_closep(&r->root);
}

/* --- reading --------------------------------------------------------------------------------------- */

static int find_id(const char *text, size_t len, bool group, unsigned *ret_id)
{
	PFS_FREE char *name = strndup(text, len);
	struct passwd *user = name && !group ? getpwnam(name) : NULL;
	struct group *found = name && group ? getgrnam(name) : NULL;
	uint64_t id;

	if (user)
		*ret_id = user->pw_uid;
	else if (found)
		*ret_id = found->gr_gid;
	else if (name && pfs_number_parse(name, false, 0, UINT32_MAX - 1, &id) == 0)
		*ret_id = (unsigned)id;
	else
		return -EINVAL;
	return 0;
}

int restore_owner(const char *text, size_t len, uid_t *ret_uid, gid_t *ret_gid)
{
	const char *colon = memchr(text, ':', len);
	unsigned uid, gid;

	if (!colon || find_id(text, (size_t)(colon - text), false, &uid) < 0 ||
	    find_id(colon + 1, (size_t)(text + len - colon - 1), true, &gid) < 0)
		return -EINVAL;
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

/* No part of it is empty, "." or "..", or hidden. */
static bool path_is_good(const char *path)
{
	for (;; path++) {
		if (*path == '.' || *path == '/' || !*path)
			return false;
		path = strchr(path, '/');
		if (!path)
			return true;
	}
}

/* What save_path() has escaped. */
static int restore_text(const char *text, size_t len, struct pfs_buf *ret_text)
{
	for (size_t i = 0; i < len; i++) {
		unsigned byte;
		char c = text[i];

		if (c == '\\') {
			if (len - i < 4 || text[i + 1] != 'x' ||
			    sscanf(text + i + 2, "%2x", &byte) != 1 || byte == 0)
				return -EINVAL;
			c = (char)byte;
			i += 3;
		}
		pfs_buf_add(ret_text, &c, 1);
	}
	return ret_text->failed ? -ENOMEM : 0;
}

int restore_path(const char *text, size_t len, struct pfs_buf *ret_path)
{
	int r = restore_text(text, len, ret_path);

	if (r < 0)
		return r;
	return ret_path->data && path_is_good(ret_path->data) ? 0 : -EINVAL;
}

static const char *word(const char **at, size_t *ret_len)
{
	const char *begin = *at + strspn(*at, " ");

	*ret_len = strcspn(begin, " ");
	*at = begin + *ret_len;
	return begin;
}

/* "0755 root:root accept/unpcap" */
static int parse_dir(struct restoring *r, const char *text, unsigned line)
{
	struct entry entry = { .line = line };
	const char *at = text, *mode, *owner;
	size_t mode_len, owner_len;
	char *end;
	int error = 0;

	mode = word(&at, &mode_len);
	owner = word(&at, &owner_len);
	entry.link = mode_len == 4 && !memcmp(mode, "link", 4);
	entry.mode = (mode_t)strtoul(mode, &end, 8);
	if (!entry.link && (end != mode + mode_len || !mode_len || entry.mode > 07777))
		error = pfs_fail("%s:%u: '%.*s' is no mode; a line is MODE OWNER:GROUP PATH",
				 r->file, line, (int)mode_len, mode);
	else if (restore_owner(owner, owner_len, &entry.uid, &entry.gid) < 0)
		error = pfs_fail("%s:%u: '%.*s' is no user and group of this machine", r->file,
				 line, (int)owner_len, owner);
	else if (*at != ' ' || restore_path(at + 1, strlen(at + 1), &entry.path) < 0)
		error = pfs_fail("%s:%u: '%s' is no path in a pipesfs", r->file, line,
				 *at ? at + 1 : "");
	if (!error) {
		struct entry *grown = reallocarray(r->entry, r->n + 1, sizeof(*grown));

		if (grown) {
			r->entry = grown;
			grown[r->n++] = entry;
			return 0;
		}
		error = pfs_fail("not enough memory");
	}
	pfs_buf_release(&entry.path);
	return error;
}

/* Lines of the text; a bad one is said, and the others are taken. Exit status. */
static int parse(struct restoring *r, char *text)
{
	bool lost = false; /* the line above was bad: what is below it belongs to nothing */
	unsigned line = 0;
	int worst = 0;

	for (char *at = text, *next; at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next++ = '\0';
		line++;
		if (*at == '\t' || *at == ' ') {
			at += strspn(at, " \t");
			if (*at && *at != '#' && r->n && !lost)
				pfs_buf_printf(&r->entry[r->n - 1].params, "%s\n", at);
			else if (*at && *at != '#' && !lost)
				worst = pfs_fail("%s:%u: a parameter stands below its directory",
						 r->file, line);
			continue;
		}
		if (!*at || *at == '#')
			continue;
		lost = parse_dir(r, at, line) != 0;
		worst = lost ? PFS_EXIT_FAILED : worst;
	}
	return worst;
}

static int read_all(const char *file, struct pfs_buf *ret_text)
{
	PFS_CLOSE int fd = strcmp(file, "-") != 0 ? open(file, O_RDONLY | O_CLOEXEC)
						  : dup(STDIN_FILENO);
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && ret_text->len < TEXT_MAX) {
		char *to = pfs_buf_reserve(ret_text, 65536);

		n = to ? read(fd, to, 65536) : -1;
		ret_text->len += n > 0 ? (size_t)n : 0;
	}
	pfs_buf_str(ret_text, "");
	if (fd < 0 || n < 0)
		return pfs_fail("%s: %s", file, strerror(errno));
	if (memchr(ret_text->data, '\0', ret_text->len))
		return pfs_fail("%s: this is no text", file);
	return 0;
}

/* --- making ------------------------------------------------------------------------------------------- */

/* The directory that the path lies in; *ret_name: its last part. -errno. */
static int open_parent(int root, const char *path, const char **ret_name)
{
	int fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *slash;

	assert(path); /* restore_path() */
	for (; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		PFS_FREE char *name = strndup(path, (size_t)(slash - path));
		int below = name ? openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		int error = errno;

		close(fd);
		fd = below;
		errno = error;
	}
	*ret_name = path;
	return fd < 0 ? -errno : fd;
}

/* -errno; *ret_made: it was not there. */
static int make_dir(const struct restoring *r, const struct entry *entry, bool *ret_made)
{
	const char *name;
	PFS_CLOSE int parent = open_parent(r->root, entry->path.data, &name);
	int fd;

	if (parent < 0)
		return parent;
	*ret_made = mkdirat(parent, name, entry->mode) == 0;
	if (!*ret_made && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void say_why(const struct restoring *r, const struct entry *entry, const char *what,
		    const char *file, int error)
{
	PFS_BUF struct pfs_buf path = { 0 }, sentence = { 0 };

	pfs_buf_printf(&path, "/%s%s", entry->path.data, file);
	stages_reason(r->root, path.data ? path.data : "", error, &sentence);
	pfs_say("%s:%u: %s%s: %s", r->file, entry->line, entry->path.data, what,
		sentence.data ? sentence.data : strerror(error));
}

/* Owner first: it takes away bits of the mode. 0, or 1 after it was said. */
static unsigned bring_in_line(const struct restoring *r, const struct entry *entry, int fd)
{
	unsigned failed = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 1;
	if ((st.st_uid != entry->uid || st.st_gid != entry->gid) &&
	    fchown(fd, entry->uid, entry->gid) < 0) {
		say_why(r, entry, ": its owner", "", errno);
		failed++;
	}
	if ((st.st_mode & 07777) != entry->mode && fchmod(fd, entry->mode) < 0) {
		say_why(r, entry, ": its mode", "", errno);
		failed++;
	}
	return failed ? 1 : 0;
}

/* All lines that differ at once: one may only make sense with another. */
static unsigned set_params(const struct restoring *r, const struct entry *entry, int fd)
{
	PFS_BUF struct pfs_buf now = { 0 }, want = { 0 };
	PFS_CLOSE int params = -1;
	const char *end;

	if (!entry->params.len || params_read(fd, &now) < 0)
		return 0;
	for (const char *at = entry->params.data; (end = strchr(at, '\n')); at = end + 1)
		if (!params_has(now.data, at, (size_t)(end - at)))
			pfs_buf_add(&want, at, (size_t)(end - at) + 1);
	if (!want.len)
		return 0;
	params = openat(fd, ".params", O_WRONLY | O_CLOEXEC);
	if (params >= 0 && write(params, want.data, want.len) == (ssize_t)want.len)
		return 0;
	say_why(r, entry, ": its parameters", "/.params", errno);
	return 1;
}

static bool is_there(const struct restoring *r, const struct entry *entry)
{
	const char *name;
	PFS_CLOSE int parent = open_parent(r->root, entry->path.data, &name);

	return parent >= 0 && faccessat(parent, name, F_OK, 0) == 0;
}

/* -errno, and nothing was done. */
static int restore_entry(struct restoring *r, struct entry *entry)
{
	PFS_CLOSE int fd = -1;
	bool made = false;

	if (r->dry) {
		if (!is_there(r, entry))
			printf("mkdir %s\n", entry->path.data);
		return 0;
	}
	fd = make_dir(r, entry, &made);
	if (fd < 0)
		return fd;
	r->made += made;
	r->there += !made;
	if (bring_in_line(r, entry, fd) + set_params(r, entry, fd))
		r->failed++;
	return 0;
}

/* What it says, unescaped. -EINVAL, after it was said. */
static int link_target(const struct restoring *r, const struct entry *entry, struct pfs_buf *ret_target)
{
	size_t len = entry->params.len ? strcspn(entry->params.data, "\n") : 0;

	if (len && entry->params.len == len + 1 &&
	    restore_text(entry->params.data, len, ret_target) == 0 && ret_target->len)
		return 0;
	pfs_say("%s:%u: %s: below a link stands what it says, in one line", r->file, entry->line,
		entry->path.data);
	return -EINVAL;
}

/* -errno: it cannot be there. *ret_made: it was not, or was another one. */
static int make_link(struct restoring *r, const struct entry *entry, const char *target, bool *ret_made)
{
	const char *name;
	PFS_CLOSE int parent = open_parent(r->root, entry->path.data, &name);
	char now[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (parent < 0)
		return parent;
	n = readlinkat(parent, name, now, sizeof(now));
	*ret_made = n < 0 || (size_t)n != strlen(target) || memcmp(now, target, (size_t)n) != 0;
	if (r->dry)
		return 0;
	if (*ret_made && n >= 0 && unlinkat(parent, name, 0) < 0)
		return -errno;
	if (*ret_made && symlinkat(target, parent, name) < 0)
		return -errno;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ((st.st_uid != entry->uid || st.st_gid != entry->gid) &&
	     fchownat(parent, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)) {
		say_why(r, entry, ": its owner", "", errno);
		r->failed++;
	}
	return 0;
}

static int restore_link(struct restoring *r, const struct entry *entry)
{
	PFS_BUF struct pfs_buf target = { 0 };
	bool made = false;
	int error = link_target(r, entry, &target);

	if (error < 0) {
		r->failed++;
		return 0; /* nothing will make it better */
	}
	error = make_link(r, entry, target.data, &made);
	if (error < 0 && !(r->dry && error == -ENOENT))
		return error;
	if (r->dry) {
		if (made || error < 0)
			printf("ln -s %s %s\n", target.data, entry->path.data);
		return 0;
	}
	r->made += made;
	r->there += !made;
	return 0;
}

/* Again and again while it helps; then what cannot be made is said. */
static void restore_all(struct restoring *r)
{
	bool last = false, moved = true;

	while (moved || !last) {
		last = !moved;
		moved = false;
		for (size_t i = 0; i < r->n; i++) {
			struct entry *entry = &r->entry[i];
			int error = entry->done	  ? 0
				    : entry->link ? restore_link(r, entry)
						  : restore_entry(r, entry);

			moved |= !entry->done && error == 0;
			entry->done |= error == 0;
			if (error < 0 && last) {
				say_why(r, entry, "", "", -error);
				r->failed++;
			}
		}
	}
}

static int restore_run(int argc, char **argv)
{
	PFS_CLEANUP(restoring_release) struct restoring r = { .file = "-", .root = -1 };
	PFS_CLEANUP(place_release) struct place place = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	int c, status, worst;

	while ((c = pfs_getopt(&pfs_cmd_restore, argc, argv)) != -1) {
		if (c == 'f')
			r.file = optarg;
		else if (c == 'n')
			r.dry = true;
		else
			return pfs_usage(&pfs_cmd_restore, NULL);
	}
	if (argc - optind > 1)
		return pfs_usage(&pfs_cmd_restore, "one mount at a time");
	status = read_all(r.file, &text);
	if (status)
		return status;
	status = place_mounted(optind < argc ? argv[optind] : NULL, &place);
	if (status)
		return status;
	r.root = open(place.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.root < 0)
		return pfs_fail("%s: %s", place.root, strerror(errno));
	worst = parse(&r, text.data);
	umask(0);
	restore_all(&r);
	if (!r.dry)
		printf("%u made, %u there already, %zu not made\n", r.made, r.there,
		       r.n - r.made - r.there);
	return r.failed ? PFS_EXIT_FAILED : worst;
}

static const struct pfs_option restore_options[] = {
	{ .key = 'f',
	  .letter = true,
	  .name = "file",
	  .value = "FILE",
	  .words = PFS_WORDS_FILE,
	  .help = "read FILE instead of the standard input" },
	{ .key = 'n', .letter = true, .name = "dry-run", .help = "only print what would be made" },
	{ 0 },
};

const struct pfs_command pfs_cmd_restore = {
	.name = "restore",
	.summary = "make the tree that `pipesfs save` printed",
	.options = restore_options,
	.operands = "[DIR]",
	.words = PFS_WORDS_MOUNT,
	.help = "What is there already is brought in line, so it can be done again. What cannot be made is\n"
		"said, and all else is made. Without DIR: in the mounted tree.\n",
	.run = restore_run,
};
