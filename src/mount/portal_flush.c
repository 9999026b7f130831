/*
 * portal_flush - the close of a command's input tells how the command has ended
 *
 * close(2) of a pipe to a command should wait for it and fail when it did, as pclose(3). The kernel tells of every
 * close of every copy of a descriptor and not which is the last, and the command only ends when it has got the end
 * of its input. So at each close all descriptors of all processes are looked through: is there another of this
 * file? If not, the command's input ends here, and the close is answered when the command has ended; a signal ends
 * that wait. A process that closes by exiting hears nothing, and is not held.
 *
 * Not looked at is what the links in /proc/PID/fd say: they wait for an execve to end, and an execve that closes a
 * descriptor of ours waits for us.
 *
 * What this cannot see is a descriptor on its way between two processes (SCM_RIGHTS): who receives it would get
 * EPIPE.
 */
#include "mount/portal_i.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

struct pfs_flush {
	struct pfs_held held;
	struct pfs_job job;
	struct pfs_portal *portal; /* a reference */
	pid_t pid;
	unsigned number;
	_Atomic unsigned refs;
	struct pfs_flush *next; /* lock of the channel */
};

/* --- who else has it? -------------------------------------------------------------------- */

static bool fdinfo_is(int dir, const char *name, uint64_t ino)
{
	char text[400], *at;
	PFS_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	at = strstr(text, "ino:");
	return at && strtoull(at + 4, NULL, 10) == ino;
}

/* Has that process one? -1: it has none at all. Numbers of portals are larger than those of other files. */
static int process_has(const char *pid, const struct pfs_portal *portal)
{
	char path[40];
	struct dirent *d;
	int found = -1;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
	fds = opendir(path);
	if (!fds)
		return -1;
	while (found < 1 && (d = readdir(fds)))
		if (d->d_name[0] != '.')
			found = fdinfo_is(dirfd(fds), d->d_name, portal->channel.entry->ino);
	closedir(fds);
	return found;
}

static bool anybody_has(const struct pfs_portal *portal)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	bool found = false;

	if (!proc)
		return true;
	while (!found && (d = readdir(proc)))
		if (d->d_name[0] >= '1' && d->d_name[0] <= '9')
			found = process_has(d->d_name, portal) == 1;
	closedir(proc);
	return found;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void flush_unref(struct pfs_flush *flush)
{
	struct pfs_portal *portal = flush->portal;

	if (atomic_fetch_sub(&flush->refs, 1) != 1)
		return;
	free(flush);
	pfs_channel_unref(&portal->channel);
}

/* Whoever may have taken it before; drops the request's reference if it was there. */
static void answer(struct pfs_flush *flush, int error)
{
	if (!pfs_held_take(flush->portal->gate->mount, &flush->held))
		return;
	fuse_reply_err(flush->held.req, error);
	flush_unref(flush);
}

void pfs_portal_flushed(struct pfs_portal *portal)
{
	struct pfs_flush *flush;

	pthread_mutex_lock(&portal->channel.lock);
	while ((flush = portal->flushes)) {
		portal->flushes = flush->next;
		pthread_mutex_unlock(&portal->channel.lock);
		answer(flush, portal->status ? EIO : 0);
		flush_unref(flush);
		pthread_mutex_lock(&portal->channel.lock);
	}
	pthread_mutex_unlock(&portal->channel.lock);
}

/* The command's input ends. Who should still write after all gets EPIPE. */
static void input_end(struct pfs_portal *portal)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	close(ends[0]);
	dup3(ends[1], portal->fd, O_CLOEXEC);
	close(ends[1]);
}

static void flush_job(struct pfs_job *job)
{
	struct pfs_flush *flush = CONTAINER_OF(job, struct pfs_flush, job);
	struct pfs_portal *portal = flush->portal;
	char pid[24];

	snprintf(pid, sizeof(pid), "%ld", (long)flush->pid);
	/* It is exiting; or another copy is there; or one was closed meanwhile, which then may be the last. */
	if (process_has(pid, portal) < 0 || anybody_has(portal) || portal->flushed != flush->number) {
		answer(flush, 0);
	} else {
		pthread_mutex_lock(&portal->channel.lock);
		flush->refs++;
		flush->next = portal->flushes;
		portal->flushes = flush;
		pthread_mutex_unlock(&portal->channel.lock);
		input_end(portal);
		if (portal->ended)
			pfs_portal_flushed(portal);
	}
	flush_unref(flush); /* the job's */
}

static void interrupted(struct pfs_held *held)
{
	struct pfs_flush *flush = CONTAINER_OF(held, struct pfs_flush, held);

	fuse_reply_err(held->req, EINTR);
	flush_unref(flush);
}

void pfs_portal_flush(struct pfs_file *file, fuse_req_t req)
{
	struct pfs_portal *portal = pfs_portal_of(pfs_channel_of(file));
	struct pfs_flush *flush = portal->ended ? NULL : pfs_zalloc(1, sizeof(*flush));

	if (!flush) {
		fuse_reply_err(req, portal->ended && portal->status ? EIO : 0);
		return;
	}
	flush->held = (struct pfs_held){ .req = req, .interrupted = interrupted };
	flush->job = (struct pfs_job){ .run = flush_job, .uid = fuse_req_ctx(req)->uid };
	flush->portal = portal;
	flush->pid = fuse_req_ctx(req)->pid;
	flush->number = ++portal->flushed;
	flush->refs = 2; /* the request's, the job's */
	pfs_channel_ref(&portal->channel);
	pfs_held_prepare(portal->gate->mount, req);
	if (!pfs_held_put(portal->gate->mount, &flush->held)) {
		fuse_reply_err(req, EINTR);
		flush_unref(flush);
		flush_unref(flush);
		return;
	}
	pfs_pool_submit(&portal->gate->pool, &flush->job);
}
