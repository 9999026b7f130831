/*
 * openas - opens a file with the rights of the user who asked
 *
 * The daemon may be root; the file is the user's affair. The calling thread takes the caller's filesystem uid, gid and
 * groups (raw system calls: libc would change all threads), and starts from the caller's working directory. A caller in
 * another root or mount namespace means other files by the same names and is refused.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/mountinfo.h"
#include "graph/graph_i.h"

static bool same_link(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

int pfs_same_files(const struct pfs_cred *cred, struct pfs_diag *diag)
{
	char path[64];

	if (cred->pid == 0)
		return pfs_diag_set(
			diag, EPERM,
			"files are opened as their user, and this caller cannot be seen from here");
	if (cred->pid == getpid())
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)cred->pid);
	if (!same_link(path, "/proc/self/ns/mnt"))
		return pfs_diag_set(
			diag, EPERM,
			"the caller lives in another mount namespace: its files are not ours");
	snprintf(path, sizeof(path), "/proc/%d/root", (int)cred->pid);
	if (!same_link(path, "/proc/self/root"))
		return pfs_diag_set(diag, EPERM, "the caller has another root directory");
	return 0;
}

/* The fourth of the numbers behind Uid and Gid is the one of the filesystem: what a request tells. */
static bool is_id(const char *line, const char *name, unsigned id)
{
	size_t n = strlen(name);
	unsigned fs;

	return strncmp(line, name, n) != 0 || line[n] != ':' ||
	       (sscanf(line + n + 1, "%*u %*u %*u %u", &fs) == 1 && fs == id);
}

int pfs_groups_of(const struct pfs_cred *cred, gid_t groups[PFS_GROUPS_MAX], size_t *ret_n)
{
	PFS_FREE char *line = NULL;
	char path[64], *p;
	size_t cap = 0, n = 0;
	int r = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)cred->pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && getline(&line, &cap, f) > 0) {
		/* He may have been killed meanwhile, and his number be another's. */
		if (!is_id(line, "Uid", cred->uid) || !is_id(line, "Gid", cred->gid))
			r = -ESRCH;
		if (strncmp(line, "Groups:", 7) != 0)
			continue;
		for (p = line + 7;;) {
			char *end;
			unsigned long gid = strtoul(p, &end, 10);

			if (end == p)
				break;
			if (n == PFS_GROUPS_MAX)
				r = -E2BIG;
			else
				groups[n++] = (gid_t)gid;
			p = end;
		}
		break;
	}
	fclose(f);
	*ret_n = n;
	return r;
}

struct identity {
	bool taken;
	size_t ngroups;
	gid_t groups[PFS_GROUPS_MAX];
};

static int identity_take(const struct pfs_cred *cred, struct identity *old)
{
	gid_t groups[PFS_GROUPS_MAX];
	size_t n = 0;
	int r;

	old->taken = false;
	if (geteuid() != 0 || cred->uid == 0)
		return cred->uid == geteuid() || geteuid() == 0 ? 0 : -EPERM;
	r = pfs_groups_of(cred, groups, &n);
	if (r < 0)
		return r;
	r = getgroups(PFS_GROUPS_MAX, old->groups);
	if (r < 0)
		return -errno;
	old->ngroups = (size_t)r;
	if (syscall(SYS_setgroups, n, groups) < 0)
		return -errno;
	old->taken = true;
	setfsgid(cred->gid);
	setfsuid(cred->uid);
	return (uid_t)setfsuid((uid_t)-1) == cred->uid ? 0 : -EPERM;
}

static void identity_give_back(struct identity *old)
{
	if (!old->taken)
		return;
	setfsuid(0);
	setfsgid(getegid());
	if (syscall(SYS_setgroups, old->ngroups, old->groups) < 0)
		abort(); /* nothing may go on with the groups of somebody else */
}

static int open_from(const struct pfs_cred *cred, const char *path, int flags, mode_t mode,
		     struct pfs_diag *diag)
{
	PFS_CLOSE int dir = -1;
	char cwd[64];
	int fd;

	if (path[0] != '/' && cred->pid != getpid()) {
		snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", (int)cred->pid);
		dir = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		if (pfs_in_pipesfs_mount(pfs_mountinfo_of(dir)))
			return pfs_diag_set(diag, EINVAL,
					    "'%.80s' is relative and the working directory is in "
					    "pipesfs (mkdir -p goes there): use mkdir, or the whole "
					    "path with %%2f for /",
					    path);
	}
	if (path[0] == '/' && pfs_in_pipesfs_path(path))
		return pfs_diag_set(diag, ELOOP, "%.150s is in pipesfs itself", path);
	/* O_NONBLOCK: a FIFO must not hold us. */
	fd = openat(dir >= 0 ? dir : AT_FDCWD, path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
	return fd < 0 ? -errno : fd;
}

ssize_t pfs_readlink_as(const struct pfs_cred *cred, const char *path, char *to, size_t size)
{
	struct identity old;
	ssize_t r = identity_take(cred, &old);

	if (r == 0) {
		r = readlink(path, to, size);
		r = r < 0 ? -errno : r;
	}
	identity_give_back(&old);
	return r;
}

int pfs_open_as(const struct pfs_place *place, const char *path, int flags, mode_t mode,
		struct pfs_diag *diag)
{
	const struct pfs_cred *cred = place->caller;
	PFS_CLOSE int fd = -1;
	struct pfs_diag none = { "" };
	struct identity old;
	struct stat st;
	int r;

	diag = diag ? diag : &none;
	diag->text[0] = '\0';
	r = pfs_same_files(cred, diag);

	if (r < 0)
		return r;
	r = identity_take(cred, &old);
	fd = r < 0 ? r : open_from(cred, path, flags, mode, diag);
	identity_give_back(&old);
	if (fd < 0) {
		r = TAKE_FD(fd);
		return diag->text[0] ? r : pfs_diag_set(diag, -r, "%.150s: %s", path, strerror(-r));
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && (flags & O_ACCMODE) != O_RDONLY))
		return pfs_diag_set(diag, EINVAL, "%.150s is not a regular file", path);
	if (pfs_in_pipesfs_device(st.st_dev))
		return pfs_diag_set(diag, ELOOP, "%.150s is in pipesfs itself", path);
	return TAKE_FD(fd);
}
