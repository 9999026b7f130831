/*
 * decide - takes each system call that was trapped, and lets it go on or hands it to the opener
 *
 * Nearly all that arrives is an open of something else, and its caller waits: one thread does nothing but receive,
 * read the path, look (portal/where.h), answer. It is stuck when the path lies in memory whose page somebody
 * withholds (userfaultfd, a mapped file of a filesystem that hangs), or leads into such a filesystem. Then the others
 * must not wait: the server watches the beat of the thread, and when it has stood still within a call for STUCK,
 * another takes its place; the old one answers its call when it can, and ends.
 *
 * What is read here may change while it is read, and after. For what is let go on that is nothing: the kernel reads and
 * judges it anew. What is handed over is acted upon as read.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "portal/notify_i.h"
#include "portal/portal.h"
#include "portal/trap.h"
#include "portal/where.h"

/* Linux 6.6; older headers lack it. The caller and we run on one processor then, one after the other. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

#define FIRST_READ 512	   /* bytes of a path that are fetched at once: nearly all are shorter */
#define PAGE 4096	   /* what the next page could hold, the next page alone can tell */
#define TICK 10		   /* ms between two looks while calls come */
#define STUCK 20000000ULL  /* ns within one call */
#define QUIET 100000000ULL /* ns without a call: nobody looks until the next */
#define STACK (256 * 1024)
#define STUCK_MAX 256 /* threads; with so many stuck, all wait */

struct decider {
	struct pfs_deciders *all;
	_Atomic uint64_t beat; /* writer: its thread. Odd: within a call */
	atomic_bool retired; /* writer: the watch. Another has taken over; whoever reads it true frees the struct */
};

struct pfs_deciders {
	int listener, opener, wake; /* borrowed */
	const struct pfs_where *where;
	const struct pfs_portal_rules *rules;
	struct decider *current; /* the watch's */
	atomic_uint threads;
	atomic_bool asleep; /* the watch waits for `wake`; see busy() and pfs_deciders_watch() */
	uint64_t seen;	    /* the watch's: beat, and when it was seen to change */
	uint64_t seen_at;
};

/* --- reading ------------------------------------------------------------------------------ */

static ssize_t fetch(pid_t tid, uint64_t address, void *to, size_t len)
{
	struct iovec local = { .iov_base = to, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = len };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

ssize_t pfs_decider_read_path(pid_t tid, uint64_t address, char path[PATH_MAX])
{
	size_t have = 0, want = FIRST_READ;

	while (have < PATH_MAX) {
		size_t len = pfs_min(pfs_min(want, PATH_MAX - have),
				     PAGE - (size_t)((address + have) % PAGE));
		ssize_t n = fetch(tid, address + have, path + have, len);
		const char *end;

		if (n <= 0)
			return n < 0 ? n : -EFAULT;
		end = memchr(path + have, '\0', (size_t)n);
		if (end)
			return end - path;
		have += (size_t)n;
		want = PAGE;
	}
	return -ENAMETOOLONG;
}

/* The flags of openat2 are in memory. 0: a portal may answer it; what they say of links is in *ret_links. */
static int read_how(pid_t tid, struct pfs_trap_call *call, unsigned *ret_links)
{
	struct open_how how = { 0 };

	/* What is longer asks for what is not known here. */
	if (call->how_size != sizeof(how) || fetch(tid, call->how, &how, sizeof(how)) != sizeof(how))
		return -EINVAL;
	if ((how.flags >> 31) ||
	    (how.resolve & ~(uint64_t)(RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)))
		return -EINVAL;
	call->flags = (int)how.flags;
	call->mode = (mode_t)how.mode;
	if (how.resolve)
		*ret_links |= PFS_WHERE_NOLINKS;
	return pfs_trap_wants(call->flags) ? 0 : -EINVAL;
}

/* --- answering ------------------------------------------------------------------------------ */

static void answer(const struct pfs_deciders *d, uint64_t id, int error)
{
	struct seccomp_notif_resp response = { .id = id, .error = error };

	if (!error)
		response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	/* -ENOENT: the caller was interrupted, and has left the call. */
	ioctl(d->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static bool is_portal(const struct pfs_deciders *d, pid_t tid, struct pfs_trap_call *call, char *rest)
{
	unsigned links = 0;
	char path[PATH_MAX];

	if (pfs_decider_read_path(tid, call->path, path) <= 0)
		return false; /* the kernel finds the right words */
	if (call->kind == PFS_TRAP_OPENAT2 && read_how(tid, call, &links) < 0)
		return false;
	if (call->flags & O_NOFOLLOW)
		links |= PFS_WHERE_NOFOLLOW;
	if (!pfs_where_find(d->where, tid, call->dirfd, path, links, rest))
		return false;
	switch (pfs_portal_shape(d->rules, rest)) {
	case PFS_SHAPE_FILE:
	case PFS_SHAPE_EITHER:
	case PFS_SHAPE_OPEN:
		return true;
	default:
		return false;
	}
}

static void decide(const struct pfs_deciders *d, const struct seccomp_notif *n)
{
	struct pfs_trap_call call;
	struct pfs_ask ask; /* large: filled in when there is something to ask */
	size_t len = offsetof(struct pfs_ask, rest);

	if (pfs_trap_decode(&n->data, &call) < 0) {
		answer(d, n->id, 0);
		return;
	}
	if (call.kind == PFS_TRAP_CONFINE) {
		ask.kind = PFS_ASK_CONFINED;
	} else if (is_portal(d, (pid_t)n->pid, &call, ask.rest)) {
		ask.kind = PFS_ASK_OPEN;
		len += strlen(ask.rest) + 1;
	} else {
		answer(d, n->id, 0);
		return;
	}
	ask.tid = (pid_t)n->pid;
	ask.id = n->id;
	ask.flags = call.flags;
	ask.mode = call.mode;
	if (send(d->opener, &ask, len, MSG_NOSIGNAL) < 0)
		answer(d, n->id, ask.kind == PFS_ASK_OPEN ? -EIO : 0);
	else if (ask.kind == PFS_ASK_CONFINED)
		answer(d, n->id, 0);
}

/* --- the threads -------------------------------------------------------------------------------- */

/* Pairs with pfs_deciders_watch(): it stores asleep, then looks at beat; here beat is stored, then asleep looked at. */
static void busy(struct decider *self)
{
	struct pfs_deciders *d = self->all;

	atomic_fetch_add(&self->beat, 1);
	if (atomic_load(&d->asleep) && atomic_exchange(&d->asleep, false))
		eventfd_write(d->wake, 1);
}

static bool hung_up(int listener)
{
	struct pollfd fd = { .fd = listener };

	return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void *decider_run(void *arg)
{
	struct decider *self = arg;
	struct pfs_deciders *d = self->all;

	while (!atomic_load(&self->retired)) {
		struct seccomp_notif n;

		memset(&n, 0, sizeof(n));
		if (ioctl(d->listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0) {
			if (hung_up(d->listener))
				return NULL;
			/* -ENOENT: who called has gone. What is worse must not leave callers waiting for ever. */
			if (errno != EINTR && errno != ENOENT)
				_exit(1);
			continue;
		}
		busy(self);
		decide(d, &n);
		atomic_fetch_add(&self->beat, 1);
	}
	atomic_fetch_sub(&d->threads, 1);
	free(self);
	return NULL;
}

static int decider_start(struct pfs_deciders *d)
{
	PFS_FREE struct decider *new = pfs_zalloc(1, sizeof(*new));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!new)
		return -ENOMEM;
	new->all = d;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, decider_run, new);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	atomic_fetch_add(&d->threads, 1);
	if (d->current)
		atomic_store(&d->current->retired, true);
	d->current = TAKE_PTR(new);
	d->seen = 0;
	d->seen_at = pfs_clock_mono();
	return 0;
}

int pfs_deciders_start(int listener, int opener, int wake, const struct pfs_where *where,
		       const struct pfs_portal_rules *rules, struct pfs_deciders **ret_deciders)
{
	PFS_FREE struct pfs_deciders *d = pfs_zalloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->listener = listener;
	d->opener = opener;
	d->wake = wake;
	d->where = where;
	d->rules = rules;
	/* Older kernels do without, and are slower. */
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	r = decider_start(d);
	if (r < 0)
		return r;
	*ret_deciders = TAKE_PTR(d);
	return 0;
}

int pfs_deciders_watch(struct pfs_deciders *d)
{
	uint64_t beat = atomic_load(&d->current->beat), now = pfs_clock_mono();

	if (beat != d->seen) {
		d->seen = beat;
		d->seen_at = now;
		return TICK;
	}
	if (beat % 2) {
		if (now - d->seen_at >= STUCK && atomic_load(&d->threads) < STUCK_MAX)
			decider_start(d);
		return TICK;
	}
	if (now - d->seen_at < QUIET)
		return TICK;
	/* Pairs with busy(). */
	atomic_store(&d->asleep, true);
	if (atomic_load(&d->current->beat) == beat)
		return -1;
	atomic_store(&d->asleep, false);
	return TICK;
}
