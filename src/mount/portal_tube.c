/*
 * portal_tube - bytes of a socket or a command on their way to the kernel, without passing our memory
 *
 * A tube is a pipe(2) whose first bytes are the head of an answer. The kernel takes references to the pages of a
 * socket's buffer or a command's pipe into it, and copies them once, from there into the reader's memory. The head is
 * in memory that we share with the kernel, so what is not known before the bytes have come, how many they are and
 * which request they answer, is written into it afterwards. A tube into which nothing came is as before.
 */
#include "mount/portal_i.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define KEEP 4 /* as of buffers: as many as threads answer at the same time */

struct pfs_tube {
	int in, out;		      /* owned; do not block */
	struct fuse_out_header *head; /* owned, a page of its own; the first bytes of the pipe */
	size_t page;
	size_t n; /* bytes behind the head */
};

static struct {
	pthread_mutex_t lock;
	struct pfs_tube *kept[KEEP]; /* lock */
	unsigned n;		     /* lock */
} tubes = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void tube_free(struct pfs_tube *tube)
{
	if (!tube)
		return;
	pfs_closep(&tube->in);
	pfs_closep(&tube->out);
	if (tube->head != MAP_FAILED)
		munmap(tube->head, tube->page);
	free(tube);
}

/* The head into the empty pipe. */
static bool tube_begin(struct pfs_tube *tube)
{
	struct iovec head = { tube->head, sizeof(*tube->head) };

	if (vmsplice(tube->in, &head, 1, SPLICE_F_NONBLOCK) != (ssize_t)sizeof(*tube->head))
		return false;
	tube->n = 0;
	return true;
}

static struct pfs_tube *tube_new(void)
{
	struct pfs_tube *tube = pfs_zalloc(1, sizeof(*tube));
	int ends[2] = { -1, -1 };

	if (!tube)
		return NULL;
	tube->page = (size_t)sysconf(_SC_PAGESIZE);
	/* Shared: a fork must not make us write into a copy. */
	tube->head = mmap(NULL, tube->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		ends[0] = ends[1] = -1;
	tube->out = ends[0];
	tube->in = ends[1];
	if (tube->in < 0 || tube->head == MAP_FAILED || !tube_begin(tube)) {
		tube_free(tube);
		return NULL;
	}
	/* As much as is allowed; a smaller one makes smaller answers. */
	fcntl(tube->in, F_SETPIPE_SZ, PFS_REQUEST_MAX);
	return tube;
}

struct pfs_tube *pfs_tube_get(void)
{
	struct pfs_tube *tube = NULL;

	pthread_mutex_lock(&tubes.lock);
	if (tubes.n)
		tube = tubes.kept[--tubes.n];
	pthread_mutex_unlock(&tubes.lock);
	return tube ? tube : tube_new();
}

void pfs_tube_put(struct pfs_tube *tube)
{
	/* What could not be answered goes with its pipe. */
	if (tube->n == 0) {
		pthread_mutex_lock(&tubes.lock);
		if (tubes.n < KEEP)
			tubes.kept[tubes.n++] = TAKE_PTR(tube);
		pthread_mutex_unlock(&tubes.lock);
	}
	tube_free(tube);
}

ssize_t pfs_tube_take(struct pfs_tube *tube, int fd, size_t size)
{
	ssize_t n;

	do {
		n = splice(fd, NULL, tube->in, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		tube->n += (size_t)n;
	return n < 0 ? -errno : n;
}

void pfs_tube_answer(struct pfs_tube *tube, struct pfs_mount *mount, fuse_req_t req, uint64_t unique)
{
	size_t len = sizeof(*tube->head) + tube->n;

	*tube->head = (struct fuse_out_header){ .len = (uint32_t)len, .unique = unique };
	/* Fails when the mount is gone: nobody waits for an answer. */
	if (splice(tube->out, NULL, fuse_session_fd(mount->se), NULL, len, 0) == (ssize_t)len)
		tube_begin(tube);
	fuse_reply_none(req);
}

void pfs_tubes_drop(void)
{
	pthread_mutex_lock(&tubes.lock);
	while (tubes.n)
		tube_free(tubes.kept[--tubes.n]);
	pthread_mutex_unlock(&tubes.lock);
}
