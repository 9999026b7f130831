/*
 * text - the dot files: .stats .params .readers .program
 *
 * The text is made when the file is opened and does not change while it is open. Its size is not
 * known before, so stat says 0 and reads go to us (direct_io), as in /proc. `.params` can be
 * written: each write merges key=value lines at once, and fails with EINVAL when one of them makes
 * no sense.
 */
#include "mount/mount_i.h"

#include <fcntl.h>
#include <stdio.h>

#define PARAMS_MAX ((size_t)64 << 10)
#define TEXT_SLOT 40
#define TEXT_LONG ((size_t)16 << 10) /* bytes */

static const struct {
	const char *name;
	enum pfs_text which;
} texts[] = {
	{ ".stats", PFS_TEXT_STATS },
	{ ".params", PFS_TEXT_PARAMS },
	{ ".readers", PFS_TEXT_READERS },
	{ ".program", PFS_TEXT_PROGRAM },
};

struct text_file {
	struct pfs_file file;
	_Atomic unsigned refs; /* the open file, each READ that is being answered */
	char *text;	       /* owned */
	size_t len;
	uid_t uid;
	size_t charged;	       /* to uid */
	struct pfs_node *node; /* a reference; NULL: not of a node */
};

static bool has_text(const struct pfs_node_info *info, enum pfs_text which)
{
	if (info->kind == PFS_NODE_ROOT || info->kind == PFS_NODE_FOLDER || info->kind == PFS_NODE_RUN)
		return false;
	return which != PFS_TEXT_PROGRAM || info->program;
}

int pfs_text_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like)
{
	if (name[0] != '.')
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(name, texts[i].name) != 0 || !has_text(info, texts[i].which))
			continue;
		like->kind = &pfs_kind_text;
		like->which = (int)texts[i].which;
		like->ino = pfs_file_ino(info->id, TEXT_SLOT + texts[i].which);
		return 0;
	}
	return -ENOENT;
}

void pfs_text_list(const struct pfs_node_info *info, struct pfs_listing *listing)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		/* A filter of files has .stats of its own. */
		if (has_text(info, texts[i].which) &&
		    !(texts[i].which == PFS_TEXT_STATS && pfs_redirfs_is(info)))
			pfs_listing_add(listing, texts[i].name,
					pfs_file_ino(info->id, TEXT_SLOT + texts[i].which), S_IFREG);
}

static void text_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	struct pfs_node_info info;

	pfs_node_info(entry->node, &info);
	st->st_mode = S_IFREG | (info.mode & 0444);
	if (entry->which == PFS_TEXT_PARAMS && info.params_writable)
		st->st_mode |= info.mode & 0222;
}

/* --- open, read ---------------------------------------------------------------------------- */

static void text_unref(struct text_file *file)
{
	if (atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	if (file->charged)
		pfs_held_uncharge(file->file.mount, file->uid, file->charged);
	pfs_node_unref(file->node);
	free(file->text);
	free(file);
}

/* Long texts are of what a user may make us keep. Root's are not counted. */
static bool text_charge(struct pfs_mount *mount, struct text_file *file, uid_t uid)
{
	if (uid == 0 || file->len < TEXT_LONG)
		return true;
	if (!pfs_held_charge(mount, uid, file->len))
		return false;
	file->uid = uid;
	file->charged = file->len;
	return true;
}

void pfs_text_open(struct pfs_mount *mount, fuse_req_t req, struct fuse_file_info *fi,
		   const struct pfs_kind *kind, struct pfs_node *node, struct pfs_buf *text)
{
	struct text_file *file = pfs_zalloc(1, sizeof(*file));

	if (file)
		file->len = text->len;
	if (!file || text->failed || !text_charge(mount, file, fuse_req_ctx(req)->uid)) {
		free(file);
		pfs_buf_release(text);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	file->refs = 1;
	file->text = TAKE_PTR(text->data);
	file->node = node ? pfs_node_ref(node) : NULL;
	pfs_file_add(&file->file, kind, mount);
	fi->fh = (uintptr_t)&file->file;
	fi->direct_io = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) < 0)
		pfs_text_release(&file->file);
}

void pfs_text_release(struct pfs_file *file)
{
	pfs_file_del(file);
	text_unref(CONTAINER_OF(file, struct text_file, file));
}

void pfs_text_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags)
{
	struct text_file *text = CONTAINER_OF(file, struct text_file, file);
	size_t from = pfs_min((size_t)pfs_max64((uint64_t)off, 0), text->len);

	/* Once it is answered the file may be closed, on another thread. */
	text->refs++;
	fuse_reply_buf(req, text->text + from, pfs_min(size, text->len - from));
	text_unref(text);
}

static void text_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		      struct fuse_file_info *fi)
{
	struct pfs_buf text = { 0 };
	int mode = fi->flags & O_ACCMODE;
	int r = 0;

	if (mode != O_RDONLY && entry->which != PFS_TEXT_PARAMS)
		r = -EACCES; /* root's too */
	else if (mode != O_WRONLY)
		r = pfs_node_text(entry->node, (enum pfs_text)entry->which, &text);
	if (r < 0) {
		pfs_buf_release(&text);
		fuse_reply_err(req, -r);
		return;
	}
	pfs_text_open(mount, req, fi, &pfs_kind_text, entry->node, &text);
}

/* --- writing .params ------------------------------------------------------------------------- */

struct params_task {
	struct pfs_task task;
	struct pfs_node *node; /* a reference */
	struct pfs_diag diag;
	size_t len;
	char text[];
};

static int params_act(struct pfs_task *task)
{
	struct params_task *params = CONTAINER_OF(task, struct params_task, task);

	return pfs_node_params_set(params->node, params->text, params->len, &task->cred, &params->diag);
}

static void params_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct params_task *params = CONTAINER_OF(task, struct params_task, task);

	if (result < 0) {
		pfs_refuse(task->mount, &task->cred, params->node, ".params", -result, &params->diag);
		fuse_reply_err(req, -result);
	} else {
		fuse_reply_write(req, params->len);
	}
}

/* Like a write that was interrupted after it had arrived. */
static void params_undo(struct pfs_task *task)
{
	(void)task;
}

static void params_free(struct pfs_task *task)
{
	struct params_task *params = CONTAINER_OF(task, struct params_task, task);

	pfs_node_unref(params->node);
	free(params);
}

static void refuse_large(const struct pfs_file *file, fuse_req_t req, struct pfs_node *node, size_t size)
{
	struct pfs_cred cred = pfs_req_cred(req);
	struct pfs_diag diag;

	pfs_diag_set(&diag, EFBIG, "%zu bytes; parameters have %zu at most", size, PARAMS_MAX);
	pfs_refuse(file->mount, &cred, node, ".params", EFBIG, &diag);
	fuse_reply_err(req, EFBIG);
}

static void text_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags)
{
	struct text_file *text = CONTAINER_OF(file, struct text_file, file);
	struct params_task *params;

	if (size > PARAMS_MAX) {
		refuse_large(file, req, text->node, size);
		return;
	}
	params = pfs_zalloc(1, sizeof(*params) + size + 1);
	if (!params) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	params->task.act = params_act;
	params->task.reply = params_reply;
	params->task.undo = params_undo;
	params->task.free = params_free;
	params->task.pool = &file->mount->make;
	params->node = pfs_node_ref(text->node);
	params->len = size;
	memcpy(params->text, bytes, size);
	pfs_task_start(file->mount, &params->task, req);
}

const struct pfs_kind pfs_kind_text = {
	.attr = text_attr,
	.open = text_open,
	.read = pfs_text_read,
	.write = text_write,
	.release = pfs_text_release,
};
