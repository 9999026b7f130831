#include "portal/where.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mountinfo.h"

#define LINKS_MAX 40 /* as in the kernel */
#define NAME_ROOM 64 /* bytes for "PID/task/TID/fd/N/" */

static int look(int dir, const char *path, struct statx *ret_stat)
{
	return statx(dir, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO | STATX_TYPE, ret_stat);
}

/* --- the prefix ---------------------------------------------------------------------------- */

static int open_proc(struct pfs_diag *diag)
{
	PFS_CLOSE int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char self[32] = "";
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "self", self, sizeof(self) - 1);

	if (n < 0)
		return pfs_diag_set(diag, ENOENT,
				    "/proc is needed to see what callers mean, and is not mounted here");
	if (strtol(self, NULL, 10) != (long)getpid())
		return pfs_diag_set(
			diag, ENOENT,
			"/proc shows the processes of another pid namespace: mount one of this");
	return TAKE_FD(fd);
}

int pfs_where_init(struct pfs_where *where, const char *prefix, struct pfs_diag *diag)
{
	char real[PATH_MAX];
	struct pfs_mountinfo info;
	struct statx st = { 0 };
	const char *out;

	*where = (struct pfs_where){ .proc = -1 };
	if (prefix[0] != '/')
		return pfs_diag_set(diag, EINVAL, "a prefix begins with a slash, unlike '%.100s'",
				    prefix);
	if (strlen(prefix) >= sizeof(where->prefix) / 2)
		return pfs_diag_set(diag, ENAMETOOLONG, "the prefix is too long");
	/* What is there has its links taken out, so that it is what a walk comes to. */
	if (!realpath(prefix, real))
		snprintf(real, sizeof(real), "%s", prefix);
	where->len = strlen(real);
	while (where->len > 0 && real[where->len - 1] == '/')
		real[--where->len] = '\0';
	memcpy(where->prefix, "/", 2);
	if (pfs_where_clean(real, where->prefix + 1, &out) != 1 || !where->prefix[1])
		return pfs_diag_set(diag, EINVAL, "'%.100s' cannot be the prefix", prefix);
	where->len = strlen(where->prefix);
	where->mounted = pfs_mountinfo_at(where->prefix, &info) == 0;
	/* A mount may hang: its number is known without asking it. */
	where->exists = where->mounted || look(AT_FDCWD, where->prefix, &st) == 0;
	where->major = where->mounted ? info.major : st.stx_dev_major;
	where->minor = where->mounted ? info.minor : st.stx_dev_minor;
	where->ino = where->mounted ? 0 : st.stx_ino;
	where->proc = open_proc(diag);
	return where->proc < 0 ? where->proc : 0;
}

void pfs_where_release(struct pfs_where *where)
{
	pfs_closep(&where->proc);
	where->proc = -1;
}

/* --- text ------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The end of the component that begins here, or of all of the text if a blank is in it. */
static const char *component_end(const char *text, bool *ret_blank)
{
	*ret_blank = false;
	for (; *text && *text != '/'; text++) {
		if (is_blank(*text)) {
			*ret_blank = true;
			return text + strlen(text);
		}
	}
	return text;
}

/* Takes the last component off; where it begins. */
static size_t drop_last(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 0 && path[len - 1] == '/')
		len--;
	return len;
}

int pfs_where_clean(const char *text, char *ret_rest, const char **ret_out)
{
	size_t len = 0, slashes;
	bool blank, directory = false;
	const char *end;

	for (;; text = end) {
		for (slashes = 0; *text == '/'; slashes++)
			text++;
		if (!*text) {
			ret_rest[len] = '\0';
			return !len || !(slashes || directory);
		}
		end = component_end(text, &blank);
		directory = true;
		if (end - text == 1 && text[0] == '.')
			continue;
		if (end - text == 2 && text[0] == '.' && text[1] == '.') {
			if (len == 0) {
				*ret_out = end;
				return -1;
			}
			len = drop_last(ret_rest, len);
			continue;
		}
		directory = false;
		if (len == 0)
			slashes = 0;
		else if (ret_rest[len - 1] != ':')
			slashes = 1;
		if (len + slashes + (size_t)(end - text) >= PATH_MAX)
			return 0;
		memset(ret_rest + len, '/', slashes);
		memcpy(ret_rest + len + slashes, text, (size_t)(end - text));
		len += slashes + (size_t)(end - text);
		if (blank) {
			ret_rest[len] = '\0';
			return 1;
		}
	}
}

/* Is `path`, len bytes, the prefix itself or a directory on the way to it? */
static bool on_the_way(const struct pfs_where *where, const char *path, size_t len)
{
	return len <= where->len && !memcmp(path, where->prefix, len) &&
	       (where->prefix[len] == '/' || where->prefix[len] == '\0');
}

static bool is_below(const struct pfs_where *where, const char *path)
{
	return !strncmp(path, where->prefix, where->len) && path[where->len] == '/';
}

/* --- the walk ------------------------------------------------------------------------------------ */

struct walk {
	const struct pfs_where *where;
	pid_t tid;
	unsigned flags;
	char *rest;			 /* the answer */
	size_t len;			 /* of at */
	char at[PATH_MAX];		 /* where it has come: absolute, "" is the root */
	char todo[NAME_ROOM + PATH_MAX]; /* what is left */
	char link[PATH_MAX];
	unsigned links;
};

enum step {
	STEP_ON,
	STEP_ELSEWHERE,
	STEP_PORTAL,
};

static pid_t process_of(const struct pfs_where *where, pid_t tid)
{
	char name[32], text[4096], *at;
	PFS_CLOSE int fd = -1;
	ssize_t n;

	snprintf(name, sizeof(name), "%ld/status", (long)tid);
	fd = openat(where->proc, name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strstr(text, "\nTgid:");
	return at ? (pid_t)strtol(at + 6, NULL, 10) : -1;
}

/* /proc/self means the caller, not us. */
static void mind_self(struct walk *w)
{
	pid_t pid;

	if (strcmp(w->at, "/proc/self") != 0 && strcmp(w->at, "/proc/thread-self") != 0)
		return;
	pid = process_of(w->where, w->tid);
	if (w->at[6] == 's')
		w->len = (size_t)snprintf(w->at, sizeof(w->at), "/proc/%ld", (long)pid);
	else
		w->len = (size_t)snprintf(w->at, sizeof(w->at), "/proc/%ld/task/%ld", (long)pid,
					  (long)w->tid);
}

/* at is the prefix: what is left is a portal path, unless it climbs out again. */
static enum step arrive(struct walk *w)
{
	const char *out;
	int r = pfs_where_clean(w->todo, w->rest, &out);

	if (r >= 0)
		return r && w->rest[0] ? STEP_PORTAL : STEP_ELSEWHERE;
	memmove(w->todo, out, strlen(out) + 1);
	w->len = drop_last(w->at, w->len);
	w->at[w->len] = '\0';
	return STEP_ON;
}

/* at is a symbolic link with this text: it takes its place. */
static enum step follow(struct walk *w, size_t parent, size_t n)
{
	size_t left = strlen(w->todo);

	if ((w->flags & PFS_WHERE_NOLINKS) ||
	    (!w->todo[strspn(w->todo, "/")] && (w->flags & PFS_WHERE_NOFOLLOW)))
		return STEP_ELSEWHERE;
	if (++w->links > LINKS_MAX || n + 1 + left >= sizeof(w->todo))
		return STEP_ELSEWHERE;
	memmove(w->todo + n + (left > 0), w->todo, left + 1);
	if (left)
		w->todo[n] = '/';
	memcpy(w->todo, w->link, n);
	w->len = w->link[0] == '/' ? 0 : parent;
	w->at[w->len] = '\0';
	return STEP_ON;
}

static bool is_directory(const char *path)
{
	struct statx st;

	return look(AT_FDCWD, path, &st) == 0 && S_ISDIR(st.stx_mode);
}

/* Is path on the mount that asks? Its root is the prefix. Asks no filesystem. */
static bool is_own(const struct pfs_where *where, int dir, const char *path, int flags, bool *ret_root)
{
	struct statx st;

	if (!where->has_own ||
	    statx(dir, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st) < 0 ||
	    st.stx_dev_major != where->own_major || st.stx_dev_minor != where->own_minor)
		return false;
	*ret_root = st.stx_ino == 1;
	return true;
}

/* One component of todo. */
static enum step walk_on(struct walk *w)
{
	size_t start = strspn(w->todo, "/"), n = strcspn(w->todo + start, "/"), parent = w->len;
	ssize_t linked;
	bool root;

	if (n == 0)
		return STEP_ELSEWHERE; /* it has arrived, and not with us */
	if (n == 1 && w->todo[start] == '.') {
		memmove(w->todo, w->todo + start + n, strlen(w->todo + start + n) + 1);
		return STEP_ON;
	}
	if (n == 2 && !strncmp(w->todo + start, "..", 2)) {
		if (!on_the_way(w->where, w->at, w->len) && !is_directory(w->at))
			return STEP_ELSEWHERE;
		w->len = drop_last(w->at, w->len);
	} else {
		if (w->len + 1 + n + NAME_ROOM >= sizeof(w->at))
			return STEP_ELSEWHERE;
		w->at[w->len++] = '/';
		memcpy(w->at + w->len, w->todo + start, n);
		w->len += n;
	}
	w->at[w->len] = '\0';
	memmove(w->todo, w->todo + start + n, strlen(w->todo + start + n) + 1);
	if (w->len <= parent || on_the_way(w->where, w->at, w->len))
		return STEP_ON;
	mind_self(w);
	if (is_own(w->where, AT_FDCWD, w->at, AT_SYMLINK_NOFOLLOW, &root)) {
		memcpy(w->at, w->where->prefix, w->where->len + 1);
		w->len = w->where->len;
		return root ? STEP_ON : STEP_ELSEWHERE;
	}
	linked = readlink(w->at, w->link, sizeof(w->link));
	if (linked < 0)
		return errno == EINVAL ? STEP_ON : STEP_ELSEWHERE;
	if ((size_t)linked == sizeof(w->link))
		return STEP_ELSEWHERE;
	return follow(w, parent, (size_t)linked);
}

/* Where a relative path begins. */
static int start_of(struct walk *w, int dirfd)
{
	char name[NAME_ROOM];
	bool root = false;
	ssize_t n;

	if (dirfd == AT_FDCWD)
		snprintf(name, sizeof(name), "%ld/cwd", (long)w->tid);
	else
		snprintf(name, sizeof(name), "%ld/fd/%d", (long)w->tid, dirfd);
	n = readlinkat(w->where->proc, name, w->at, sizeof(w->at) - 1);
	if (n <= 0 || w->at[0] != '/')
		return -ENOENT;
	w->len = n == 1 ? 0 : (size_t)n;
	w->at[w->len] = '\0';
	if (is_below(w->where, w->at) || !is_own(w->where, w->where->proc, name, 0, &root))
		return 0;
	memcpy(w->at, w->where->prefix, w->where->len + 1);
	w->len = w->where->len;
	return root ? 0 : -ENOENT;
}

static int walk(struct walk *w, int dirfd, const char *path)
{
	enum step step = STEP_ON;

	snprintf(w->todo, sizeof(w->todo), "%s", path);
	if (path[0] != '/' && start_of(w, dirfd) < 0)
		return 0;
	if (is_below(w->where, w->at)) {
		/* The directory is in the mount: its path goes in front. */
		size_t n = w->len - w->where->len, left = strlen(w->todo);

		if (n + 1 + left >= sizeof(w->todo))
			return 0;
		memmove(w->todo + n + 1, w->todo, left + 1);
		memcpy(w->todo, w->at + w->where->len, n);
		w->todo[n] = '/';
		w->len = w->where->len;
		w->at[w->len] = '\0';
	}
	while (step == STEP_ON)
		step = w->len == w->where->len && !strcmp(w->at, w->where->prefix) ? arrive(w)
										   : walk_on(w);
	return step == STEP_PORTAL;
}

/* --- the short way ---------------------------------------------------------------------------------- */

static bool is_ours(const struct pfs_where *where, const struct statx *st)
{
	return where->exists && st->stx_dev_major == where->major &&
	       st->stx_dev_minor == where->minor && (where->mounted || st->stx_ino == where->ino);
}

/*
 * Is it plain that the kernel comes to something that is not ours, or to nothing? A name that is missing in a directory
 * that is there is nothing; one whose directory is missing may be a link that leads to the prefix where nothing is
 * mounted. path is scratch; before base stands a directory that is there.
 */
static bool is_elsewhere(const struct pfs_where *where, int dir, char *path, size_t base)
{
	struct statx st;
	char link[2], *slash;

	if (look(dir, path, &st) == 0)
		return !is_ours(where, &st);
	if (errno == EACCES)
		return true;
	if (errno != ENOENT || readlinkat(dir, path, link, sizeof(link)) >= 0 || errno != ENOENT)
		return false;
	slash = strrchr(path, '/');
	if (!slash || slash == path || (slash < path + base && !where->exists))
		return true;
	*slash = '\0';
	return look(dir, path, &st) == 0 && !is_ours(where, &st);
}

/* What we see there is of us, and says nothing of the caller. */
static bool is_of_self(const char *path)
{
	return !strncmp(path, "/proc/self/", 11) || !strncmp(path, "/proc/thread-self/", 18);
}

int pfs_where_find(const struct pfs_where *where, pid_t tid, int dirfd, const char *path,
		   unsigned flags, char *ret_rest)
{
	int base = 0;
	struct walk w;

	if (!path[0])
		return 0;
	/* todo is free until the walk begins. */
	if (path[0] != '/' && dirfd == AT_FDCWD)
		base = snprintf(w.todo, sizeof(w.todo), "%ld/cwd/", (long)tid);
	else if (path[0] != '/')
		base = snprintf(w.todo, sizeof(w.todo), "%ld/fd/%d/", (long)tid, dirfd);
	snprintf(w.todo + base, sizeof(w.todo) - (size_t)base, "%s", path);
	if (!(flags & PFS_WHERE_WALK) && !is_below(where, path) && !is_of_self(path) &&
	    is_elsewhere(where, path[0] == '/' ? AT_FDCWD : where->proc, w.todo, (size_t)base))
		return 0;
	w.where = where;
	w.tid = tid;
	w.flags = flags;
	w.rest = ret_rest;
	w.len = 0;
	w.at[0] = '\0';
	w.links = 0;
	return walk(&w, dirfd, path);
}
