/*
 * portal_open - OPEN of a portal, as its caller, and its end
 *
 * The request is held from the beginning, so that a signal ends it at any point: while the caller is looked at,
 * while a helper connects, while nobody comes to a listener. A thread of the pool finds out who the caller is and
 * tells a helper what to open; the answer comes on the gate's thread. Whoever takes the held request answers it.
 *
 * References: the open file, or until then the OPEN; the job while it runs. What is given up is buried, and the
 * gate's thread tells the helper.
 */
#include "mount/portal_i.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct pfs_portal *portal_of_opening(struct pfs_portal_opening *opening)
{
	return CONTAINER_OF(opening, struct pfs_portal, opening);
}

static const char *text_of(const struct pfs_portal *portal)
{
	const struct pfs_entry *entry = portal->channel.entry;

	return entry->raw ? entry->raw : entry->text;
}

static void refuse(struct pfs_portal *portal, int error, const struct pfs_diag *diag)
{
	struct pfs_mount *mount = portal->gate->mount;

	pfs_refuse(mount, &portal->cred, pfs_graph_root(mount->graph), text_of(portal), error, diag);
}

/* The OPEN is ours: it fails. Drops its reference. */
static void fail(struct pfs_portal *portal, int result, const struct pfs_diag *diag)
{
	refuse(portal, -result, diag);
	fuse_reply_err(portal->held.req, -result);
	pfs_channel_unref(&portal->channel);
}

/* --- the helper's answers: the gate's thread ------------------------------------------------- */

static void on_done(struct pfs_portal_opening *opening, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct pfs_portal *portal = portal_of_opening(opening);
	int mode = portal->flags & O_ACCMODE;

	if (result == 0) {
		portal->fd = res->fd;
		portal->type = res->type;
		/* Nobody waits in a system call for it, whatever was opened. */
		if (res->type != PFS_PORTAL_SEEKABLE)
			fcntl(res->fd, F_SETFL, fcntl(res->fd, F_GETFL) | O_NONBLOCK);
	}
	/* Interrupted: it has been answered, and will be buried. */
	if (!pfs_held_take(portal->gate->mount, &portal->held))
		return;
	if (result < 0) {
		fail(portal, result, diag);
		return;
	}
	portal->channel.reads = mode != O_WRONLY;
	portal->channel.writes = mode != O_RDONLY;
	if (pfs_channel_reply_open(&portal->channel, portal->held.req,
				   portal->command && mode == O_WRONLY) < 0)
		pfs_portal_release(&portal->channel.file);
}

static void on_said(struct pfs_portal_opening *opening, const char *said, size_t len)
{
	struct pfs_portal *portal = portal_of_opening(opening);
	PFS_BUF struct pfs_buf path = { 0 }, text = { 0 }, line = { 0 };
	struct pfs_diag diag;

	pfs_buf_clean(&path, text_of(portal), strlen(text_of(portal)));
	pfs_buf_clean(&text, said, len);
	if (path.failed || text.failed)
		return;
	snprintf(diag.text, sizeof(diag.text), "%s", text.data ? text.data : "");
	refuse(portal, EIO, &diag);
	/* All portals' thread must not wait for a syslog that does not read. */
	pfs_buf_printf(&line, "uid %lu, %.300s: %s", (unsigned long)portal->cred.uid,
		       path.data ? path.data : "", text.data ? text.data : "");
	if (!line.failed)
		pfs_log_try(line.data);
}

static void on_ended(struct pfs_portal_opening *opening, int status)
{
	struct pfs_portal *portal = portal_of_opening(opening);
	struct pfs_diag diag;

	portal->status = status;
	portal->ended = true;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		pfs_diag_set(&diag, EIO, "the command failed with status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		pfs_diag_set(&diag, EIO, "the command was ended by signal %d", WTERMSIG(status));
	if (status)
		refuse(portal, EIO, &diag);
	pfs_portal_command_ended(portal);
	pfs_portal_flushed(portal);
}

/* --- beginning: a thread of the pool ------------------------------------------------------------- */

static int begin(struct pfs_portal *portal, struct pfs_diag *diag)
{
	struct pfs_gate *gate = portal->gate;
	struct pfs_entry *entry = portal->channel.entry;
	struct pfs_portal_rules *rules = pfs_gate_rules(gate);
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	int r;

	r = pfs_portal_parse(rules, text_of(portal), !entry->raw, portal->flags & O_ACCMODE, &plan,
			     diag);
	pfs_portal_rules_unref(rules);
	if (r == 0)
		r = pfs_caller_get(&gate->mount->home, portal->cred.pid, portal->cred.uid,
				   portal->cred.gid, &caller, diag);
	if (r < 0)
		return r;
	portal->command = plan.kind == PFS_PORTAL_COMMAND;
	portal->opening = (struct pfs_portal_opening){
		.plan = &plan,
		.flags = portal->flags | (entry->which & (O_CREAT | O_EXCL)),
		.umask = caller.umask,
		.limits = caller.limits,
		.done = on_done,
		.said = on_said,
		.ended = on_ended,
	};
	return pfs_helper_open(gate->helpers, &caller, &portal->opening, diag);
}

static void begin_job(struct pfs_job *job)
{
	struct pfs_portal *portal = CONTAINER_OF(job, struct pfs_portal, job);
	struct pfs_diag diag = { "" };
	int r = begin(portal, &diag);

	if (r < 0 && pfs_held_take(portal->gate->mount, &portal->held))
		fail(portal, r, &diag);
	pfs_channel_unref(&portal->channel); /* the job's */
}

/* A signal to the caller. */
static void interrupted(struct pfs_held *held)
{
	struct pfs_portal *portal = CONTAINER_OF(held, struct pfs_portal, held);

	fuse_reply_err(held->req, EINTR);
	/* Not begun yet, the job goes with its reference; else the last one is this, and the helper is told. */
	if (pfs_pool_cancel(&portal->gate->pool, &portal->job))
		pfs_channel_unref(&portal->channel);
	pfs_channel_unref(&portal->channel);
}

void pfs_portal_open_request(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
			     struct fuse_file_info *fi)
{
	struct pfs_portal *portal = pfs_zalloc(1, sizeof(*portal));
	struct pfs_gate *gate = mount->gate;

	if (!portal) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pfs_channel_init(&portal->channel, mount, entry, &pfs_kind_portal, &pfs_portal_ops);
	pfs_waitlist_init(&portal->in);
	pfs_waitlist_init(&portal->out);
	pthread_mutex_init(&portal->arm, NULL);
	portal->gate = gate;
	portal->fd = -1;
	portal->cred = pfs_req_cred(req);
	portal->flags = fi->flags;
	portal->job.run = begin_job;
	portal->job.uid = portal->cred.uid;
	portal->held.req = req;
	portal->held.interrupted = interrupted;
	pthread_mutex_lock(&gate->lock);
	gate->open++;
	pthread_mutex_unlock(&gate->lock);

	pfs_channel_ref(&portal->channel); /* the job's */
	pfs_held_prepare(mount, req);
	if (!pfs_held_put(mount, &portal->held)) {
		fuse_reply_err(req, EINTR);
		pfs_channel_unref(&portal->channel);
		pfs_channel_unref(&portal->channel);
		return;
	}
	pfs_pool_submit(&gate->pool, &portal->job);
}

/* --- the end -------------------------------------------------------------------------------------- */

void pfs_portal_release(struct pfs_file *file)
{
	struct pfs_channel *channel = pfs_channel_of(file);

	pfs_channel_close(channel);
	pfs_channel_unref(channel);
}

static void close_job(struct pfs_job *job)
{
	struct pfs_portal *portal = CONTAINER_OF(job, struct pfs_portal, job);
	struct pfs_gate *gate = portal->gate;

	pfs_closep(&portal->fd);
	pfs_channel_release(&portal->channel);
	pfs_waitlist_release(&portal->in);
	pfs_waitlist_release(&portal->out);
	pthread_mutex_destroy(&portal->arm);
	free(portal);
	pthread_mutex_lock(&gate->lock);
	if (--gate->open == 0)
		pfs_tubes_drop(); /* before the end of the gate is told */
	pthread_mutex_unlock(&gate->lock);
}

void pfs_portal_free(struct pfs_portal *portal)
{
	/* First, so that a command sees the end of its input, and a peer that of the connection. */
	if (portal->fd >= 0 && portal->type != PFS_PORTAL_SEEKABLE) {
		close(portal->fd);
		portal->fd = -1;
	}
	pfs_helper_end(portal->gate->helpers, &portal->opening);
	/* The close of a file may wait for its server. */
	portal->job.run = close_job;
	if (portal->fd >= 0)
		pfs_pool_submit(&portal->gate->pool, &portal->job);
	else
		close_job(&portal->job);
}
