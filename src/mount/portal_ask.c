/*
 * portal_ask - the path that a caller gave to its system call
 *
 * /proc/TID/syscall tells the call and its arguments, which cannot change while the caller waits for us; the path
 * itself is in its memory, where another thread may change it. It decides between directory and file, and where
 * slashes stood, and nothing else: what is done is done with the caller's rights whatever it says.
 */
#include "mount/portal_i.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define NONE (-1)

/* Where a call has its path, the descriptor that it is relative to, and the flags of an open. */
static const struct call {
	long number;
	int path, dir, flags;
} calls[] = {
#ifdef SYS_open
	{ SYS_open, 0, NONE, 1 },
	{ SYS_creat, 0, NONE, NONE },
	{ SYS_stat, 0, NONE, NONE },
	{ SYS_lstat, 0, NONE, NONE },
	{ SYS_access, 0, NONE, NONE },
	{ SYS_readlink, 0, NONE, NONE },
	{ SYS_chmod, 0, NONE, NONE },
	{ SYS_chown, 0, NONE, NONE },
	{ SYS_lchown, 0, NONE, NONE },
	{ SYS_unlink, 0, NONE, NONE },
	{ SYS_mkdir, 0, NONE, NONE },
	{ SYS_mknod, 0, NONE, NONE },
	{ SYS_utime, 0, NONE, NONE },
	{ SYS_utimes, 0, NONE, NONE },
	{ SYS_futimesat, 1, 0, NONE },
#endif
	{ SYS_openat, 1, 0, 2 },
	{ SYS_openat2, 1, 0, NONE },
#ifdef SYS_newfstatat
	{ SYS_newfstatat, 1, 0, NONE },
#endif
	{ SYS_statx, 1, 0, NONE },
	{ SYS_faccessat, 1, 0, NONE },
	{ SYS_faccessat2, 1, 0, NONE },
	{ SYS_readlinkat, 1, 0, NONE },
	{ SYS_fchmodat, 1, 0, NONE },
	{ SYS_fchownat, 1, 0, NONE },
	{ SYS_unlinkat, 1, 0, NONE },
	{ SYS_mkdirat, 1, 0, NONE },
	{ SYS_mknodat, 1, 0, NONE },
	{ SYS_utimensat, 1, 0, NONE },
	{ SYS_name_to_handle_at, 1, 0, NONE },
	{ SYS_inotify_add_watch, 1, NONE, NONE },
	{ SYS_truncate, 0, NONE, NONE },
	{ SYS_chdir, 0, NONE, NONE },
	{ SYS_execve, 0, NONE, NONE },
	{ SYS_execveat, 1, 0, NONE },
	{ SYS_statfs, 0, NONE, NONE },
	{ SYS_getxattr, 0, NONE, NONE },
	{ SYS_lgetxattr, 0, NONE, NONE },
	{ SYS_listxattr, 0, NONE, NONE },
	{ SYS_llistxattr, 0, NONE, NONE },
};

struct asked {
	const struct call *call;
	int dirfd, flags;
	unsigned long path;
};

static bool call_read(pid_t tid, struct asked *ret_asked)
{
	unsigned long long args[6];
	char name[40], line[200];
	long number;
	FILE *f;
	bool ok;

	snprintf(name, sizeof(name), "/proc/%ld/syscall", (long)tid);
	f = fopen(name, "re");
	if (!f)
		return false;
	ok = fgets(line, sizeof(line), f) &&
	     sscanf(line, "%ld %llx %llx %llx %llx %llx %llx", &number, &args[0], &args[1],
		    &args[2], &args[3], &args[4], &args[5]) == 7;
	fclose(f);
	for (size_t i = 0; ok && i < ARRAY_SIZE(calls); i++)
		if (calls[i].number == number) {
			*ret_asked = (struct asked){
				.call = &calls[i],
				.dirfd = calls[i].dir == NONE ? AT_FDCWD : (int)args[calls[i].dir],
				.flags = calls[i].flags == NONE ? 0 : (int)args[calls[i].flags],
				.path = (unsigned long)args[calls[i].path],
			};
			return true;
		}
	return false;
}

/* A string in another's memory: up to the end of a page, then the next. */
static bool string_read(pid_t tid, unsigned long from, char path[PATH_MAX])
{
	size_t len = 0;

	while (len < PATH_MAX) {
		size_t page = 4096 - (from + len) % 4096;
		struct iovec to = { path + len, pfs_min(page, PATH_MAX - len) };
		struct iovec at = { (void *)(from + len), to.iov_len };
		ssize_t n = process_vm_readv(tid, &to, 1, &at, 1, 0);

		if (n <= 0)
			return false;
		if (memchr(path + len, '\0', (size_t)n))
			return true;
		len += (size_t)n;
	}
	return false;
}

/* text, without slashes in a row, in front of rest, with or without: *ret_end is what comes after it. */
static bool begins_with(const char *rest, const char *text, const char **ret_end)
{
	while (*text) {
		if (*rest != *text)
			return false;
		if (*rest == '/')
			while (rest[1] == '/')
				rest++;
		rest++;
		text++;
	}
	*ret_end = rest;
	return *rest == '\0' || *rest == '/';
}

/* We never ask what our own asking is about. */
static bool is_ours(pid_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/task/%ld", (long)tid);
	return tid <= 0 || access(path, F_OK) == 0;
}

enum pfs_answer pfs_portal_asked(struct pfs_gate *gate, pid_t tid, const char *text, char **ret_raw,
				 int *ret_flags)
{
	PFS_FREE char *path = malloc(PATH_MAX), *rest = malloc(PATH_MAX);
	struct asked asked;
	const char *end;

	if (!path || !rest || !gate->mount->knows_where || is_ours(tid) ||
	    !call_read(tid, &asked) || !string_read(tid, asked.path, path))
		return PFS_ANSWER_UNKNOWN;
	/* What ends in a slash can only be a directory. */
	if (pfs_where_find(&gate->mount->where, tid, asked.dirfd, path, PFS_WHERE_WALK, rest) != 1)
		return *path && path[strlen(path) - 1] == '/' ? PFS_ANSWER_DIR : PFS_ANSWER_UNKNOWN;
	if (!pfs_link_follow(gate->mount, rest) || !begins_with(rest, text, &end))
		return PFS_ANSWER_UNKNOWN;
	/* It goes on, or the call is one for directories. */
	if (*end || asked.call->number == SYS_chdir || asked.flags & O_DIRECTORY)
		return PFS_ANSWER_DIR;
	*ret_raw = TAKE_PTR(rest);
	*ret_flags = asked.flags;
	return PFS_ANSWER_FILE;
}
