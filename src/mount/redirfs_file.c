/*
 * redirfs_file - the files of a file filter: /p/redirfs/FILTER/FILE
 *
 *	active		0, 1
 *	priority	a number; a group's name may be written
 *	policy		what a call gets when the filter cannot answer: open, closed, an errno's name
 *	deadline	how long it may take for an answer: 500ms, 5s
 *	include		paths, one a line, PATH single or PATH subtree; what is written is added
 *	exclude		the same
 *	remove		the paths written here are no longer included or excluded
 *	paths		all of them, as redirctl prints them: PATH 0xFLAGS
 *	from		the shared object that the filter is, or its process: pid N, or gone
 *	hooks		what one in a process is asked about: pre REG_FOP_OPEN, post ...
 *	.stats		numbers, then those of the stream
 *	unregister	whatever is written: the filter goes
 *
 * A write is one change, however many lines it has: all of it is in force when it returns, in every redirect
 * process, or nothing has changed and .errors says why.
 */
#include "mount/redirfs_i.h"

#include <fcntl.h>
#include <stdio.h>

#define WRITE_MAX ((size_t)256 << 10)

static const struct {
	const char *name;
	mode_t mode;
} files[PFS_REDIR_FILES] = {
	[PFS_REDIR_ACTIVE] = { "active", 0644 },   [PFS_REDIR_PRIORITY] = { "priority", 0644 },
	[PFS_REDIR_POLICY] = { "policy", 0644 },   [PFS_REDIR_DEADLINE] = { "deadline", 0644 },
	[PFS_REDIR_INCLUDE] = { "include", 0644 }, [PFS_REDIR_EXCLUDE] = { "exclude", 0644 },
	[PFS_REDIR_REMOVE] = { "remove", 0200 },   [PFS_REDIR_PATHS] = { "paths", 0444 },
	[PFS_REDIR_FROM] = { "from", 0444 },	   [PFS_REDIR_HOOKS] = { "hooks", 0444 },
	[PFS_REDIR_STATS] = { ".stats", 0444 },	   [PFS_REDIR_UNREGISTER] = { "unregister", 0200 },
};

struct redir_file {
	struct pfs_file file;
	_Atomic unsigned refs; /* the open file, each request that is being answered */
	struct pfs_node *node; /* a reference */
	char filter[RD_NAME_MAX];
	enum pfs_redir_file which;
	struct pfs_buf text; /* what it says, as of the open */
};

int pfs_redir_file_name(const char *name)
{
	for (int i = 0; i < PFS_REDIR_FILES; i++)
		if (!strcmp(name, files[i].name))
			return i;
	return -ENOENT;
}

void pfs_redir_files_list(uint64_t dir, unsigned slot, struct pfs_listing *listing)
{
	for (unsigned i = 0; i < PFS_REDIR_FILES; i++)
		pfs_listing_add(listing, files[i].name, pfs_file_ino(dir, slot + i), S_IFREG);
}

void pfs_redir_refuse(struct pfs_mount *mount, const struct pfs_cred *cred, const char *filter,
		      const char *file, int error, const struct pfs_diag *diag)
{
	char path[512];

	snprintf(path, sizeof(path), "redirfs/%s%s%s", filter, file ? "/" : "", file ? file : "");
	pfs_refuse(mount, cred, pfs_graph_root(mount->graph), path, error, diag);
}

static void file_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	(void)mount;
	st->st_mode = S_IFREG | files[entry->which].mode;
}

/* --- reading ------------------------------------------------------------------------------------------ */

static void file_unref(struct redir_file *file)
{
	if (atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	pfs_buf_release(&file->text);
	pfs_node_unref(file->node);
	free(file);
}

static struct redir_file *file_of(struct pfs_file *file)
{
	return CONTAINER_OF(file, struct redir_file, file);
}

static void file_release(struct pfs_file *file)
{
	pfs_file_del(file);
	file_unref(file_of(file));
}

struct said {
	struct redir_file *file;
	int result;
};

static void say(void *arg, const struct rd_registry *now)
{
	struct said *said = arg;
	struct redir_file *file = said->file;
	const struct rd_registered *filter = rd_registry_find(now, file->filter);

	said->result = filter ? 0 : -ENODEV;
	if (!filter)
		return;
	if (file->which <= PFS_REDIR_DEADLINE)
		rd_registered_say(filter, (enum rd_setting)file->which, &file->text);
	else if (file->which <= PFS_REDIR_EXCLUDE)
		rd_registered_rules(filter, file->which == PFS_REDIR_INCLUDE, &file->text);
	else if (file->which == PFS_REDIR_PATHS)
		rd_registered_paths(filter, &file->text);
	else if (file->which == PFS_REDIR_HOOKS)
		rd_registered_hooks(filter, &file->text);
	else if (file->which == PFS_REDIR_FROM && filter->process && filter->peer)
		pfs_buf_printf(&file->text, "pid %ld\n", (long)filter->pid);
	else if (file->which == PFS_REDIR_FROM && filter->process)
		pfs_buf_str(&file->text, "gone\n");
	else if (file->which == PFS_REDIR_FROM && filter->object)
		pfs_buf_printf(&file->text, "%s%s%s\n", filter->object, filter->args ? "," : "",
			       filter->args ? filter->args : "");
}

static int say_stats(struct pfs_redirfs *redirfs, struct redir_file *file)
{
	struct rd_link_number number;
	int r = rd_herd_numbers(redirfs->herd, file->filter, &number);

	if (r < 0)
		return r;
	pfs_buf_printf(&file->text, "hooked %llu\npres %llu\nposts %llu\nstops %llu\n",
		       (unsigned long long)number.hooked, (unsigned long long)number.pres,
		       (unsigned long long)number.posts, (unsigned long long)number.stops);
	pfs_buf_printf(&file->text, "failures %llu\nlate %llu\nskipped %llu\ntime_ns %llu\n",
		       (unsigned long long)number.failures, (unsigned long long)number.late,
		       (unsigned long long)number.skipped, (unsigned long long)number.time_ns);
	return pfs_node_text(file->node, PFS_TEXT_STATS, &file->text);
}

/* Opening: numbers are asked of other processes. Writing: so are changes. */
struct redir_task {
	struct pfs_task task;
	struct redir_file *file; /* a reference; of an open: the file to be */
	struct fuse_file_info fi;
	struct pfs_diag diag;
	size_t len;
	char text[]; /* with a NUL */
};

static struct redir_task *task_of(struct pfs_task *task)
{
	return CONTAINER_OF(task, struct redir_task, task);
}

static void task_free(struct pfs_task *task)
{
	struct redir_task *redir = task_of(task);

	file_unref(redir->file);
	free(redir);
}

static void task_undo(struct pfs_task *task)
{
	(void)task;
}

static int open_act(struct pfs_task *task)
{
	struct redir_file *file = task_of(task)->file;
	struct said said = { .file = file };

	if (file->which == PFS_REDIR_STATS)
		return say_stats(task->mount->redirfs, file);
	rd_herd_look(task->mount->redirfs->herd, say, &said);
	return said.result;
}

static void open_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct redir_task *open = task_of(task);
	struct redir_file *file = open->file;

	if (result == 0 && file->text.failed)
		result = -ENOMEM;
	if (result < 0) {
		fuse_reply_err(req, -result);
		return;
	}
	file->refs++;
	pfs_file_add(&file->file, &pfs_kind_redir_file, task->mount);
	open->fi.fh = (uintptr_t)&file->file;
	open->fi.direct_io = 1;
	open->fi.noflush = 1;
	if (fuse_reply_open(req, &open->fi) < 0)
		file_release(&file->file);
}

static struct redir_task *task_new(struct pfs_mount *mount, struct redir_file *file, size_t len)
{
	struct redir_task *task = pfs_zalloc(1, sizeof(*task) + len + 1);

	if (!task)
		return NULL;
	task->file = file;
	task->len = len;
	task->task.undo = task_undo;
	task->task.free = task_free;
	task->task.pool = &mount->make;
	return task;
}

static void file_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		      struct fuse_file_info *fi)
{
	bool reads = (fi->flags & O_ACCMODE) != O_WRONLY, writes = (fi->flags & O_ACCMODE) != O_RDONLY;
	struct redir_file *file;
	struct redir_task *task;

	if ((reads && !(files[entry->which].mode & 0444)) ||
	    (writes && !(files[entry->which].mode & 0222))) {
		fuse_reply_err(req, EACCES); /* root's, too */
		return;
	}
	file = pfs_zalloc(1, sizeof(*file));
	task = file ? task_new(mount, file, 0) : NULL;
	if (!task) {
		free(file);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	file->refs = 1;
	file->which = (enum pfs_redir_file)entry->which;
	file->node = pfs_node_ref(entry->node);
	snprintf(file->filter, sizeof(file->filter), "%s", pfs_node_name(entry->node));
	task->fi = *fi;
	task->task.act = open_act;
	task->task.reply = open_reply;
	pfs_task_start(mount, &task->task, req);
}

static void file_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	struct redir_file *redir = file_of(file);
	size_t from = pfs_min((size_t)pfs_max64((uint64_t)off, 0), redir->text.len);

	(void)flags;
	redir->refs++;
	fuse_reply_buf(req, redir->text.data ? redir->text.data + from : NULL,
		       pfs_min(size, redir->text.len - from));
	file_unref(redir);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int write_act(struct pfs_task *task)
{
	struct redir_task *write = task_of(task);
	struct pfs_redir_change change = {
		.kind = PFS_REDIR_WRITE,
		.file = write->file->which,
		.text = write->text,
		.len = write->len,
		.uid = task->cred.uid,
	};

	memcpy(change.name, write->file->filter, sizeof(change.name));
	return pfs_redir_change(task->mount, &change, &write->diag);
}

static void write_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct redir_task *write = task_of(task);

	if (result < 0) {
		pfs_redir_refuse(task->mount, &task->cred, write->file->filter,
				 files[write->file->which].name, -result, &write->diag);
		fuse_reply_err(req, -result);
	} else {
		fuse_reply_write(req, write->len);
	}
}

static void refuse_large(const struct redir_file *redir, struct pfs_mount *mount, fuse_req_t req,
			 size_t size)
{
	struct pfs_cred cred = pfs_req_cred(req);
	struct pfs_diag diag;

	pfs_diag_set(&diag, EFBIG, "%zu bytes; there are %zu at most", size, WRITE_MAX);
	pfs_redir_refuse(mount, &cred, redir->filter, files[redir->which].name, EFBIG, &diag);
	fuse_reply_err(req, EFBIG);
}

static void file_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags)
{
	struct redir_file *redir = file_of(file);
	struct redir_task *task;

	(void)flags;
	if (size > WRITE_MAX) {
		refuse_large(redir, file->mount, req, size);
		return;
	}
	task = task_new(file->mount, redir, size);
	if (!task) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	redir->refs++;
	memcpy(task->text, bytes, size);
	task->task.act = write_act;
	task->task.reply = write_reply;
	pfs_task_start(file->mount, &task->task, req);
}

const struct pfs_kind pfs_kind_redir_file = {
	.attr = file_attr,
	.open = file_open,
	.read = file_read,
	.write = file_write,
	.release = file_release,
};
