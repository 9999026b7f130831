/*
 * pipe - the pipe files: all, all.<view>, all,policy=reliable|lossy, and of sinks all,end
 *
 * With `,client` at its end each is for libpipesfs, which does not read but maps: pipe_share.c.
 *
 * Regular files of size 0 whose reads come to us (direct_io), because a FIFO's open would never
 * reach us. How they are opened depends on the access mode:
 *
 *	O_RDONLY, O_WRONLY	seekable, the offset ignored: `head -1`, `dd` and `tail -c` want that
 *	O_RDWR			a stream in the kernel's sense, or a blocked read would block every write on the same
 *				descriptor; and a new st_ino each time, or `cat <&3 >&3` refuses
 *
 * None of them sends FLUSH: the kernel takes the inode's lock for it, and a close in one process
 * would wait for a write in another that shares the file.
 */
#include "mount/pipe_i.h"

#include <stdio.h>

#include "graph/tables.h"

#define PIPE_NAME "all"
#define POLICY_KEY ",policy="
#define END_KEY ",end"
#define CLIENT_KEY ",client"

/* --- names ------------------------------------------------------------------------------- */

static const struct pfs_filter *view_filter(const char *name)
{
	for (size_t i = 0; pfs_filters[i]; i++)
		if ((pfs_filters[i]->flags & PFS_FILTER_VIEW) && !strcmp(pfs_filters[i]->name, name))
			return pfs_filters[i];
	return NULL;
}

static bool view_fits(const struct pfs_node_info *info, int view)
{
	const struct pfs_filter *filter = view_filter(pfs_view_names[view]);

	return filter && (filter->in & info->flow);
}

static unsigned pipe_slot(int view, int policy)
{
	return (unsigned)((view + 1) * 3 + policy + 1);
}

static void pipe_name(int view, char *name, size_t size)
{
	if (view < 0)
		snprintf(name, size, PIPE_NAME);
	else
		snprintf(name, size, PIPE_NAME ".%s", pfs_view_names[view]);
}

static int view_parse(const char *name, size_t len)
{
	for (int i = 0; pfs_view_names[i]; i++)
		if (strlen(pfs_view_names[i]) == len && !memcmp(pfs_view_names[i], name, len))
			return i;
	return -ENOENT;
}

/*
 * Also finds what is not listed: the pipes of a sink, packet views of bytes. Opening those is
 * refused by the graph, with a sentence that says why; "no such file" would not.
 */

int pfs_pipe_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like)
{
	const size_t key = strlen(POLICY_KEY);
	size_t len;

	if (strncmp(name, PIPE_NAME, 3) != 0)
		return -ENOENT;
	name += 3;
	like->which = -1;
	like->policy = -1;
	if (*name == '.') {
		len = strcspn(++name, ",");
		like->which = view_parse(name, len);
		if (like->which < 0)
			return -ENOENT;
		name += len;
	}
	if (!strncmp(name, POLICY_KEY, key)) {
		name += key;
		len = strcspn(name, ",");
		if (len == 8 && !memcmp(name, "reliable", len))
			like->policy = 1;
		else if (len == 5 && !memcmp(name, "lossy", len))
			like->policy = 0;
		else
			return -ENOENT;
		name += len;
	}
	if (!strcmp(name, CLIENT_KEY)) {
		like->client = true;
	} else if (!strcmp(name, END_KEY) && like->which < 0 && like->policy < 0) {
		like->end = true;
	} else if (*name) {
		return -ENOENT;
	}
	like->kind = &pfs_kind_pipe;
	/* The same st_ino whatever the policy: it is the same stream. */
	like->ino = pfs_file_ino(info->id, pipe_slot(like->which, -1));
	return 0;
}

void pfs_pipe_list(const struct pfs_node_info *info, struct pfs_listing *listing)
{
	char name[64];

	if (info->sink)
		return;
	pfs_listing_add(listing, PIPE_NAME, pfs_file_ino(info->id, pipe_slot(-1, -1)), S_IFREG);
	for (int i = 0; pfs_view_names[i]; i++) {
		if (!view_fits(info, i))
			continue;
		pipe_name(i, name, sizeof(name));
		pfs_listing_add(listing, name, pfs_file_ino(info->id, pipe_slot(i, -1)), S_IFREG);
	}
}

static void pipe_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	struct pfs_node_info info;

	pfs_node_info(entry->node, &info);
	st->st_mode = S_IFREG | (info.mode & 0444);
	if (info.writable && entry->which < 0)
		st->st_mode |= info.mode & 0222;
	/* cat reads in pieces of this size: the kernel's largest request. */
	st->st_blksize = PFS_REQUEST_MAX;
}

/* --- lifetime -------------------------------------------------------------------------------- */

static void pipe_close(struct pfs_job *job)
{
	struct pfs_pipe *pipe = CONTAINER_OF(job, struct pfs_pipe, close);

	if (pipe->writer)
		pfs_writer_close(pipe->writer);
	if (pipe->reader)
		pfs_reader_close(pipe->reader);
	pfs_channel_release(&pipe->channel);
	pfs_nudge_release(pipe->lent.nudge);
	pfs_nudge_release(pipe->lent.calls);
	free(pipe);
}

/* A wake-up, which may have dropped the last reference, must not close a reader. */
static void pipe_last(struct pfs_channel *channel)
{
	pfs_pool_submit(&channel->file.mount->open, &pfs_pipe_of(channel)->close);
}

static const struct pfs_channel_ops pipe_ops = {
	.read = pfs_pipe_get,
	.write = pfs_pipe_put,
	.wrote = pfs_pipe_ran,
	.ready = pfs_pipe_ready,
	.park_read = pfs_pipe_park_read,
	.park_write = pfs_pipe_park_write,
	.unpark_read = pfs_pipe_unpark_read,
	.unpark_write = pfs_pipe_unpark_write,
	.last = pipe_last,
};

static struct pfs_pipe *pipe_new(struct pfs_mount *mount, struct pfs_entry *entry, uid_t uid)
{
	struct pfs_pipe *pipe = pfs_zalloc(1, sizeof(*pipe));

	if (!pipe)
		return NULL;
	pfs_channel_init(&pipe->channel, mount, entry, &pfs_kind_pipe, &pipe_ops);
	pipe->lent.nudge[0] = pipe->lent.nudge[1] = -1;
	pipe->lent.calls[0] = pipe->lent.calls[1] = -1;
	pipe->close.run = pipe_close;
	pipe->close.uid = uid;
	return pipe;
}

static void pipe_release(struct pfs_file *file)
{
	struct pfs_channel *channel = pfs_channel_of(file);
	struct pfs_pipe *pipe = pfs_pipe_of(channel);

	pfs_share_end(file);
	pfs_channel_close(channel);
	/*
	 * A writer ends here and now, which never waits, even if what it wrote is still at work on another thread:
	 * who opens next in the same shell would else be counted first, and the generations of the two be one.
	 */
	if (!pfs_pipe_reclaim(pipe) && pipe->writer)
		pfs_writer_end(pipe->writer);
	if (atomic_fetch_sub(&channel->refs, 1) > 1)
		return;
	if (pipe->reader)
		pipe_last(channel);
	else
		pipe_close(&pipe->close);
}

/*
 * --- open ---------------------------------------------------------------------------------------
 */

struct open_task {
	struct pfs_task task;
	struct pfs_node *node; /* a reference */
	struct pfs_pipe *pipe; /* owned until the request is answered */
	struct fuse_file_info fi;
	struct pfs_reader_options options;
	struct pfs_diag diag;
};

static struct open_task *open_of(struct pfs_task *task)
{
	return CONTAINER_OF(task, struct open_task, task);
}

static int open_act(struct pfs_task *task)
{
	struct open_task *open = open_of(task);
	int mode = open->fi.flags & O_ACCMODE;
	int r = 0;

	if (mode != O_RDONLY && open->options.view)
		return pfs_diag_set(&open->diag, EINVAL,
				    "a view is only read; what is written goes into `all`");
	open->options.cred = task->cred;
	if (mode != O_WRONLY)
		r = pfs_reader_open(open->node, &open->options, &open->pipe->reader, &open->diag);
	if (r == 0 && mode != O_RDONLY)
		r = pfs_writer_open(open->node, &task->cred, &open->pipe->writer, &open->diag);
	if (r == 0)
		pfs_redirfs_settle(task->mount);
	return r;
}

static void open_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct open_task *open = open_of(task);
	struct pfs_pipe *pipe;
	char name[64];

	if (result < 0) {
		pipe_name(open->pipe->channel.entry->which, name, sizeof(name));
		pfs_refuse(task->mount, &task->cred, open->node, name, -result, &open->diag);
		fuse_reply_err(req, -result);
		return;
	}
	/* Once it is answered the file may be closed, on another thread. */
	pipe = TAKE_PTR(open->pipe);
	pipe->channel.reads = pipe->reader;
	pipe->channel.writes = pipe->writer;
	if (pfs_channel_reply_open(&pipe->channel, req, false) < 0)
		pipe_release(&pipe->channel.file);
}

static void open_undo(struct pfs_task *task)
{
	(void)task;
}

/* Refused, interrupted, or never begun: what was opened is closed again. */
static void open_free(struct pfs_task *task)
{
	struct open_task *open = open_of(task);

	if (open->pipe)
		pfs_channel_unref(&open->pipe->channel);
	pfs_node_unref(open->node);
	free(open);
}

static void pipe_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		      struct fuse_file_info *fi)
{
	struct open_task *open = pfs_zalloc(1, sizeof(*open));
	struct pfs_pipe *pipe = pipe_new(mount, entry, fuse_req_ctx(req)->uid);

	if (!open || !pipe) {
		if (pipe)
			pfs_channel_unref(&pipe->channel);
		free(open);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	open->task.act = open_act;
	open->task.reply = open_reply;
	open->task.undo = open_undo;
	open->task.free = open_free;
	open->task.pool = &mount->pipes;
	open->node = pfs_node_ref(entry->node);
	open->pipe = pipe;
	open->fi = *fi;
	open->options.view = entry->which < 0 ? NULL : pfs_view_names[entry->which];
	open->options.client = entry->client;
	open->options.policy = entry->policy;
	open->options.end = entry->end;
	pfs_task_start(mount, &open->task, req);
}

const struct pfs_kind pfs_kind_pipe = {
	.attr = pipe_attr,
	.open = pipe_open,
	.read = pfs_channel_read,
	.write = pfs_channel_write,
	.poll = pfs_channel_poll,
	.ioctl = pfs_pipe_size,
	.answer = pfs_pipe_answer,
	.release = pipe_release,
};
