/*
 * runs - .run: a private place for pipelines, as long as somebody holds it open
 *
 * Opening it for reading and writing makes the directory run:PID, of the caller alone; what is read from it is that
 * name. The last close of the open file removes the directory and all in it, however the process ended. Two words may
 * be written:
 *
 *	start	the sources may begin; an error is that of opening the first one that cannot
 *	end	remove it now, and return when that is done
 */
#include "mount/mount_i.h"

#include <fcntl.h>

struct run_file {
	struct pfs_file file;
	_Atomic unsigned refs; /* the open file, each request that is being done */
	struct pfs_node *run;  /* a reference */
	struct pfs_job close;
};

static struct run_file *run_of(struct pfs_file *file)
{
	return CONTAINER_OF(file, struct run_file, file);
}

static void run_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	(void)mount;
	(void)entry;
	st->st_mode = S_IFREG | 0666;
}

/* --- lifetime ----------------------------------------------------------------------------------- */

static void run_close(struct pfs_job *job)
{
	struct run_file *file = CONTAINER_OF(job, struct run_file, close);

	pfs_run_end(file->run);
	pfs_links_sweep(file->file.mount);
	pfs_node_unref(file->run);
	free(file);
}

/* Ending it stops sources, which may take a moment. */
static void run_unref(struct run_file *file)
{
	if (atomic_fetch_sub(&file->refs, 1) == 1)
		pfs_pool_submit(&file->file.mount->open, &file->close);
}

static void run_release(struct pfs_file *file)
{
	pfs_file_del(file);
	run_unref(run_of(file));
}

static void refuse(struct pfs_mount *mount, fuse_req_t req, int error, const char *sentence)
{
	struct pfs_cred cred = pfs_req_cred(req);
	struct pfs_diag diag;

	pfs_diag_set(&diag, error, "%s", sentence);
	pfs_refuse(mount, &cred, pfs_graph_root(mount->graph), ".run", error, &diag);
	fuse_reply_err(req, error);
}

static void run_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		     struct fuse_file_info *fi)
{
	struct pfs_cred cred = pfs_req_cred(req);
	struct run_file *file;
	int r;

	(void)entry;
	if ((fi->flags & O_ACCMODE) != O_RDWR) {
		refuse(mount, req, EINVAL,
		       "opened for reading and writing it makes a run, which ends when it is closed");
		return;
	}
	file = pfs_zalloc(1, sizeof(*file));
	r = file ? pfs_run_make(mount->graph, &cred, &file->run) : -ENOMEM;
	if (r < 0) {
		free(file);
		refuse(mount, req, -r,
		       r == -ENOSPC ? "there are too many directories (mount option nodes=)"
				    : "no memory for a run");
		return;
	}
	file->refs = 1;
	file->close.run = run_close;
	file->close.uid = cred.uid;
	pfs_file_add(&file->file, &pfs_kind_run, mount);
	fi->fh = (uintptr_t)&file->file;
	fi->direct_io = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) < 0)
		run_release(&file->file);
}

static void run_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	const char *name = pfs_node_name(run_of(file)->run);
	size_t len = strlen(name), from = pfs_min((size_t)pfs_max64((uint64_t)off, 0), len);

	(void)flags;
	fuse_reply_buf(req, name + from, pfs_min(size, len - from));
}

/* --- start, end ------------------------------------------------------------------------------------ */

struct run_task {
	struct pfs_task task;
	struct run_file *file; /* a reference */
	struct pfs_diag diag;
	bool end;
	size_t size;
};

static int run_act(struct pfs_task *task)
{
	struct run_task *run = CONTAINER_OF(task, struct run_task, task);

	if (!run->end)
		return pfs_run_start(run->file->run, &run->diag);
	pfs_run_end(run->file->run);
	return 0;
}

static void run_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct run_task *run = CONTAINER_OF(task, struct run_task, task);

	if (result < 0) {
		pfs_refuse(task->mount, &task->cred, run->file->run, NULL, -result, &run->diag);
		fuse_reply_err(req, -result);
	} else {
		fuse_reply_write(req, run->size);
	}
}

static void run_undo(struct pfs_task *task)
{
	(void)task;
}

static void run_free(struct pfs_task *task)
{
	struct run_task *run = CONTAINER_OF(task, struct run_task, task);

	run_unref(run->file);
	free(run);
}

static bool is_word(const char *bytes, size_t size, const char *word)
{
	while (size && bytes[size - 1] == '\n')
		size--;
	return size == strlen(word) && memcmp(bytes, word, size) == 0;
}

static void run_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags)
{
	bool start = is_word(bytes, size, "start"), end = is_word(bytes, size, "end");
	struct run_task *run;

	(void)flags;
	if (!start && !end) {
		refuse(file->mount, req, EINVAL, "a run understands start and end");
		return;
	}
	run = pfs_zalloc(1, sizeof(*run));
	if (!run) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	run->task.act = run_act;
	run->task.reply = run_reply;
	run->task.undo = run_undo;
	run->task.free = run_free;
	run->task.pool = &file->mount->open;
	run->file = run_of(file);
	run->file->refs++;
	run->end = end;
	run->size = size;
	pfs_task_start(file->mount, &run->task, req);
}

const struct pfs_kind pfs_kind_run = {
	.attr = run_attr,
	.open = run_open,
	.read = run_read,
	.write = run_write,
	.release = run_release,
};
