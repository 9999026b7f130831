/*
 * change - mkdir, rmdir, rename, and all that is refused
 *
 * mkdir builds a filter, rmdir ends it and rename moves it; all are done by a pool. Whatever is refused leaves a
 * sentence in .errors. Removing a pipe or dot file succeeds and does nothing, so that `rm -r` can
 * walk a tree up.
 */
#include <stdio.h>

#include "mount/ops_i.h"

struct change {
	struct pfs_task task;
	struct pfs_node *dir;  /* a reference */
	struct pfs_node *made; /* a reference */
	struct pfs_diag diag;
	mode_t mode;
	char name[PFS_NAME_LIMIT + 1];
	struct pfs_node *to; /* rename; a reference */
	char new_name[PFS_NAME_LIMIT + 1];
};

static struct change *change_of(struct pfs_task *task)
{
	return CONTAINER_OF(task, struct change, task);
}

static void change_free(struct pfs_task *task)
{
	struct change *change = change_of(task);

	pfs_node_unref(change->made);
	pfs_node_unref(change->to);
	pfs_node_unref(change->dir);
	free(change);
}

/* Refuses and answers. dir may be NULL. */
static void refuse(fuse_req_t req, const struct pfs_entry *dir, const char *name, int error,
		   const char *sentence)
{
	struct pfs_cred cred = pfs_req_cred(req);
	struct pfs_diag diag;

	pfs_diag_set(&diag, error, "%s", sentence);
	if (dir && dir->node)
		pfs_refuse(pfs_req_mount(req), &cred, dir->node, name, error, &diag);
	fuse_reply_err(req, error);
}

/* Checks place and name; NULL: the request was answered. */
static struct change *change_new(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *dir = pfs_inode_get(mount, parent);
	struct change *change;

	if (!dir || dir->kind != &pfs_kind_dir) {
		refuse(req, dir, name, EPERM, "only directories of filters can be made and removed");
		return NULL;
	}
	if (strlen(name) > PFS_NAME_LIMIT) {
		refuse(req, dir, name, ENAMETOOLONG,
		       "a name has at most 255 bytes; split the pipeline or shorten its argument");
		return NULL;
	}
	change = pfs_zalloc(1, sizeof(*change));
	if (!change) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	change->dir = pfs_node_ref(dir->node);
	memcpy(change->name, name, strlen(name));
	change->task.free = change_free;
	return change;
}

static void reply_refusal(struct pfs_task *task, fuse_req_t req, int error)
{
	struct change *change = change_of(task);

	pfs_refuse(task->mount, &task->cred, change->dir, change->name, error, &change->diag);
	fuse_reply_err(req, error);
}

/* --- mkdir ----------------------------------------------------------------------------- */

static int mkdir_act(struct pfs_task *task)
{
	struct change *change = change_of(task);
	int r = pfs_node_make(change->dir, change->name, &task->cred, change->mode, &change->made,
			      &change->diag);

	if (r == 0)
		pfs_redirfs_settle(task->mount);
	return r;
}

static void mkdir_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct change *change = change_of(task);
	struct pfs_entry *entry = NULL;

	if (result == 0)
		result = pfs_inode_dir(task->mount, TAKE_PTR(change->made), &entry);
	if (result < 0)
		reply_refusal(task, req, -result);
	else
		pfs_reply_entry(task->mount, req, entry);
}

/* Nobody knows of it: away with it, unless somebody has made the same meanwhile. */
static void mkdir_undo(struct pfs_task *task)
{
	struct change *change = change_of(task);
	struct pfs_node *now;

	if (pfs_node_lookup(change->dir, change->name, &now) < 0)
		return;
	if (now == change->made)
		pfs_node_remove(change->dir, change->name, &task->cred, NULL);
	pfs_node_unref(now);
}

static void mkdir_late(struct pfs_task *task, int error)
{
	struct change *change = change_of(task);
	struct pfs_diag diag;

	pfs_diag_set(&diag, error, "%s",
		     error == EBUSY ? "files that you named did not answer lately; wait ten seconds"
				    : "it was not ready in time; a file that it opens, or a host that it connects to, "
				      "does not answer");
	pfs_refuse(task->mount, &task->cred, change->dir, change->name, error, &diag);
}

void pfs_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (pfs_redirfs_mkdir(req, pfs_inode_get(pfs_req_mount(req), parent), name))
		return;

	struct change *change = change_new(req, parent, name);
	struct pfs_mount *mount = pfs_req_mount(req);

	if (!change)
		return;
	change->mode = mode & 07777;
	change->task.act = mkdir_act;
	change->task.reply = mkdir_reply;
	change->task.undo = mkdir_undo;
	/* Without an argument it opens no file. */
	if (strchr(name, ':'))
		change->task.late = mkdir_late;
	change->task.pool = &mount->make;
	pfs_task_start(mount, &change->task, req);
}

/* --- rmdir --------------------------------------------------------------------------------- */

static int rmdir_act(struct pfs_task *task)
{
	struct change *change = change_of(task);
	struct pfs_node *node;
	bool links;
	int r = pfs_node_lookup(change->dir, change->name, &node);

	if (r < 0)
		return r;
	links = pfs_links_any(task->mount, node);
	pfs_node_unref(node);
	if (links)
		return pfs_diag_set(&change->diag, ENOTEMPTY, "there are symbolic links in it");
	r = pfs_node_remove(change->dir, change->name, &task->cred, &change->diag);
	if (r == 0)
		pfs_links_sweep(task->mount);
	return r;
}

static void rmdir_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	if (result < 0)
		reply_refusal(task, req, -result);
	else
		fuse_reply_err(req, 0);
}

static void rmdir_undo(struct pfs_task *task)
{
	(void)task;
}

void pfs_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (pfs_redirfs_rmdir(req, pfs_inode_get(pfs_req_mount(req), parent), name))
		return;

	struct change *change = change_new(req, parent, name);
	struct pfs_mount *mount = pfs_req_mount(req);

	if (!change)
		return;
	change->task.act = rmdir_act;
	change->task.reply = rmdir_reply;
	change->task.undo = rmdir_undo;
	change->task.pool = &mount->open;
	pfs_task_start(mount, &change->task, req);
}

/* --- rename ---------------------------------------------------------------------------------- */

static int rename_act(struct pfs_task *task)
{
	struct change *change = change_of(task);

	return pfs_node_move(change->dir, change->name, change->to, change->new_name, &task->cred,
			     &change->diag);
}

/* Interrupted: as with other filesystems, it may have happened all the same. */
static void rename_undo(struct pfs_task *task)
{
	(void)task;
}

/* Checks what the graph does not see. False: the request was answered. */
static bool rename_check(fuse_req_t req, struct change *change, const struct pfs_entry *to,
			 const char *new_name, unsigned flags)
{
	int error = 0;
	const char *sentence = NULL;

	if (flags & ~(unsigned)RENAME_NOREPLACE) {
		error = EINVAL;
		sentence = "two filters cannot change places: move one after the other";
	} else if (!to || to->kind != &pfs_kind_dir || change->name[0] == '.' ||
		   strcmp(change->name, "all") == 0 || strncmp(change->name, "all.", 4) == 0) {
		error = EPERM;
		sentence = "only directories of filters can be moved: their files go with them";
	} else if (strlen(new_name) > PFS_NAME_LIMIT) {
		error = ENAMETOOLONG;
		sentence = "a name has at most 255 bytes";
	}
	if (error) {
		pfs_diag_set(&change->diag, error, "%s", sentence);
		pfs_refuse(pfs_req_mount(req), &change->task.cred, change->dir, change->name, error,
			   &change->diag);
		change_free(&change->task);
		fuse_reply_err(req, error);
	}
	return !error;
}

void pfs_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		   const char *newname, unsigned flags)
{
	struct change *change = change_new(req, parent, name);
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *to = pfs_inode_get(mount, newparent);

	struct pfs_entry *link;

	if (!change)
		return;
	/* mv(1) then makes a link like it in the other place, and removes this one. */
	if (pfs_link_lookup(mount, change->dir, name, &link) == 0) {
		pfs_inode_forget(mount, link->id, 1);
		change_free(&change->task);
		fuse_reply_err(req, EXDEV);
		return;
	}
	change->task.cred = pfs_req_cred(req);
	if (!rename_check(req, change, to, newname, flags))
		return;
	change->to = pfs_node_ref(to->node);
	memcpy(change->new_name, newname, strlen(newname));
	change->task.act = rename_act;
	change->task.reply = rmdir_reply;
	change->task.undo = rename_undo;
	change->task.pool = &mount->open;
	pfs_task_start(mount, &change->task, req);
}

/* --- symbolic links --------------------------------------------------------------------------- */

/* Pipes and dot files stay where they are, and that is no error: `rm -r`. */
void pfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *dir = pfs_inode_get(mount, parent);

	if (dir && dir->kind == &pfs_kind_dir)
		pfs_link_remove(mount, dir->node, name);
	fuse_reply_err(req, 0);
}

void pfs_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_cred cred = pfs_req_cred(req);
	struct change *change = change_new(req, parent, name);
	struct pfs_entry *entry = NULL;
	int r;

	if (!change)
		return;
	/* The kernel has found nothing of that name; but what has not been asked for yet may be a portal. */
	if (parent == FUSE_ROOT_ID && pfs_portal_is(mount, name))
		r = -EEXIST;
	else
		r = pfs_link_make(mount, change->dir, name, target, &cred, &change->diag);
	if (r == 0)
		r = pfs_link_lookup(mount, change->dir, name, &entry);
	if (r < 0) {
		pfs_refuse(mount, &cred, change->dir, name, -r, &change->diag);
		fuse_reply_err(req, -r);
	} else {
		pfs_reply_entry(mount, req, entry);
	}
	change_free(&change->task);
}

/* --- the rest -------------------------------------------------------------------------------- */

void pfs_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	refuse(req, pfs_inode_get(pfs_req_mount(req), newparent), newname, EPERM,
	       "files here are the streams of their directories and have no second name");
}

#define NO_FILES                                                                            \
	"files cannot be made here: mkdir makes a filter, and its `all` is there at once; " \
	"is the name misspelt?"

void pfs_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	refuse(req, pfs_inode_get(pfs_req_mount(req), parent), name, EPERM, NO_FILES);
}

void pfs_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		   struct fuse_file_info *fi)
{
	refuse(req, pfs_inode_get(pfs_req_mount(req), parent), name, EPERM, NO_FILES);
}
