/*
 * file - fs and unix: a child opens, connects or listens
 *
 * Both may wait: for a FIFO's other end, a file server, a socket's full queue. The child has our rights, so the
 * kernel checks them. First it takes hold of the file without opening it (O_PATH): what lies in a pipesfs is
 * refused before anything is asked of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/mountinfo.h"
#include "portal/portals_i.h"

/* What open(2) may be told by the caller. */
#define FLAGS_TAKEN (O_ACCMODE | O_APPEND | O_TRUNC | O_NONBLOCK | O_DIRECT | O_SYNC | O_DSYNC)

struct answer {
	int result; /* 0 or -errno */
	enum pfs_portal_type type;
	char why[200];
};

static int refuse(struct answer *answer, int error, const char *path, const char *why)
{
	snprintf(answer->why, sizeof(answer->why), "%.120s%s: %s", path,
		 strlen(path) > 120 ? "..." : "", why ? why : strerror(error));
	answer->result = -error;
	return -error;
}

/* A hold on the file at path. -ELOOP: it lies in a pipesfs. */
static int hold(const char *path, int flags, struct answer *answer)
{
	PFS_CLOSE int fd = open(path, O_PATH | O_CLOEXEC | flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(answer, errno, path, NULL);
	if (pfs_in_pipesfs_device(st.st_dev))
		return refuse(answer, ELOOP, path, "it lies in a pipesfs, and would wait for itself");
	return TAKE_FD(fd);
}

static void held_path(int fd, char path[40])
{
	snprintf(path, 40, "/proc/self/fd/%d", fd);
}

/* --- files ------------------------------------------------------------------------------------- */

static enum pfs_portal_type type_of(int fd, const struct stat *st)
{
	if (S_ISSOCK(st->st_mode))
		return PFS_PORTAL_STREAM;
	if ((S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) && lseek(fd, 0, SEEK_CUR) >= 0)
		return PFS_PORTAL_SEEKABLE;
	return PFS_PORTAL_PIPE;
}

/* There is no such file: make it, unless its directory is in a pipesfs. */
static int file_create(const char *path, int flags, struct answer *answer)
{
	PFS_FREE char *copy = strdup(path);
	PFS_CLOSE int dir = -1;
	char *slash = copy ? strrchr(copy, '/') : NULL;
	int fd;

	if (!slash)
		return refuse(answer, ENOMEM, path, NULL);
	*slash = '\0';
	dir = hold(*copy ? copy : "/", O_DIRECTORY, answer);
	if (dir < 0)
		return dir;
	fd = openat(dir, slash + 1, flags | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	return fd < 0 ? refuse(answer, errno, path, NULL) : fd;
}

static int file_open(const struct pfs_portal_opening *opening, struct answer *answer)
{
	const char *path = opening->plan->path;
	int flags = opening->flags & FLAGS_TAKEN, fd;
	PFS_CLOSE int held = -1;
	char again[40];
	struct stat st;

	held = hold(path, opening->flags & O_NOFOLLOW, answer);
	if (held == -ENOENT && opening->flags & O_CREAT) {
		answer->result = 0;
		return file_create(path, flags | (opening->flags & O_NOFOLLOW), answer);
	}
	if (held < 0)
		return held;
	if ((opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return refuse(answer, EEXIST, path, NULL);
	if (fstat(held, &st) < 0)
		return refuse(answer, errno, path, NULL);
	if (S_ISLNK(st.st_mode))
		return refuse(answer, ELOOP, path, NULL);
	if (S_ISDIR(st.st_mode))
		return refuse(answer, EISDIR, path, NULL);
	held_path(held, again);
	fd = open(again, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? refuse(answer, errno, path, NULL) : fd;
}

static void file_run(const void *arg, int sock)
{
	const struct pfs_portal_opening *opening = arg;
	struct answer answer = { 0 };
	struct stat st;
	int fd;

	umask(opening->umask);
	fd = file_open(opening, &answer);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		answer.type = type_of(fd, &st);
		/* A link may have been put in its place meanwhile. */
		if (pfs_in_pipesfs_device(st.st_dev))
			refuse(&answer, ELOOP, opening->plan->path, "it lies in a pipesfs");
	}
	pfs_errand_answer(sock, &answer, sizeof(answer), answer.result < 0 ? -1 : fd);
}

/* --- sockets in the filesystem ------------------------------------------------------------------ */

static int unix_address(const char *path, int held, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*ret_size = sizeof(*ret_address);
	if (path[0] != '@') {
		/* Whatever its length, and whatever is put in its place now. */
		held_path(held, ret_address->sun_path);
		return 0;
	}
	if (strlen(path) > sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret_address->sun_path + 1, path + 1, strlen(path) - 1);
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	return 0;
}

static int unix_connect(const struct pfs_portal_opening *opening, struct answer *answer)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	const char *path = opening->plan->path;
	PFS_CLOSE int held = path[0] == '@' ? -1 : hold(path, 0, answer);
	struct sockaddr_un address;
	socklen_t size;
	int r;

	if (answer->result < 0)
		return answer->result;
	r = unix_address(path, held, &address, &size);
	if (r < 0)
		return refuse(answer, -r, path, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		PFS_CLOSE int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return refuse(answer, errno, path, NULL);
		if (connect(fd, (const void *)&address, size) == 0) {
			answer->type = types[i] == SOCK_STREAM ? PFS_PORTAL_STREAM
							       : PFS_PORTAL_PACKETS;
			return TAKE_FD(fd);
		}
		if (errno != EPROTOTYPE)
			break;
	}
	return refuse(answer, errno, path, NULL);
}

/*
 * No program has it any more, but its name was left behind. A socket of datagrams disturbs nobody when it asks: one of
 * another type refuses it by that, and one of its own does not notice.
 */
static bool is_left_behind(int dir, const char *name, const struct sockaddr_un *address)
{
	PFS_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st;

	return fd >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, (const void *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

/* The name as found through the directory that is held. */
static int name_in(int dir, const char *name, struct sockaddr_un *ret_address)
{
	int n;

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "/proc/self/fd/%d/%s",
		     dir, name);
	return n >= (int)sizeof(ret_address->sun_path) ? -ENAMETOOLONG : 0;
}

static int unix_bind(int fd, const char *path, struct answer *answer)
{
	PFS_FREE char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	PFS_CLOSE int dir = -1;
	struct sockaddr_un address;
	int r;

	if (!slash)
		return refuse(answer, ENOMEM, path, NULL);
	*slash = '\0';
	dir = hold(*copy ? copy : "/", O_DIRECTORY, answer);
	if (dir < 0)
		return dir;
	r = name_in(dir, slash + 1, &address);
	if (r < 0)
		return refuse(answer, -r, path, NULL);
	r = bind(fd, (const void *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (r == -EADDRINUSE && is_left_behind(dir, slash + 1, &address) &&
	    unlinkat(dir, slash + 1, 0) == 0)
		r = bind(fd, (const void *)&address, sizeof(address)) < 0 ? -errno : 0;
	return r < 0 ? refuse(answer, -r, path, NULL) : 0;
}

static int unix_listen(const struct pfs_portal_opening *opening, struct answer *answer)
{
	const char *path = opening->plan->path;
	PFS_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t size;
	int r;

	if (fd < 0)
		return refuse(answer, errno, path, NULL);
	umask(opening->umask);
	if (path[0] == '@') {
		r = unix_address(path, -1, &address, &size);
		if (r == 0 && bind(fd, (const void *)&address, size) < 0)
			r = -errno;
		if (r < 0)
			return refuse(answer, -r, path, NULL);
	} else if (unix_bind(fd, path, answer) < 0) {
		return answer->result;
	}
	if (listen(fd, SOMAXCONN) < 0)
		return refuse(answer, errno, path, NULL);
	answer->type = PFS_PORTAL_LISTENER;
	return TAKE_FD(fd);
}

static void unix_run(const void *arg, int sock)
{
	const struct pfs_portal_opening *opening = arg;
	struct answer answer = { 0 };
	int fd = opening->plan->listen ? unix_listen(opening, &answer)
				       : unix_connect(opening, &answer);

	pfs_errand_answer(sock, &answer, sizeof(answer), fd < 0 ? -1 : fd);
}

/* --- in the parent --------------------------------------------------------------------------------- */

static void answered(struct pfs_errand *errand, int result, const void *bytes, size_t n, int fd)
{
	struct pfs_portal_work *work = CONTAINER_OF(errand, struct pfs_portal_work, errand);
	struct answer answer;

	if (result < 0 || n != sizeof(answer)) {
		pfs_closep(&fd);
		pfs_work_fail(work, EIO, "the process that opened it has died");
		return;
	}
	memcpy(&answer, bytes, sizeof(answer));
	if (answer.result < 0) {
		pfs_closep(&fd);
		pfs_work_fail(work, -answer.result, "%s", answer.why);
		return;
	}
	if (fd < 0) {
		pfs_work_fail(work, EMFILE, "no descriptor is left");
		return;
	}
	if (work->opening->flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	work->fd = fd;
	work->res.type = answer.type;
	snprintf(work->res.what, sizeof(work->res.what), "%.120s", work->opening->plan->path);
	pfs_work_done(work, 0);
}

static void begin(struct pfs_portal_work *work, void (*run)(const void *arg, int sock))
{
	int r;

	work->errand.answered = answered;
	r = pfs_errand_begin(work->portals, &work->errand, run, work->opening);
	if (r < 0)
		pfs_work_fail(work, -r, "cannot start a process to open it: %s", strerror(-r));
}

void pfs_file_begin(struct pfs_portal_work *work)
{
	begin(work, file_run);
}

void pfs_unix_begin(struct pfs_portal_work *work)
{
	begin(work, unix_run);
}
