/*
 * show - .graph, .graph.dot, .graph.json, .metrics: what runs
 *
 * At the root they tell of everything that their reader may see. They can be opened in any other
 * directory, too, and tell of what is below it, but are not listed there. Made by the pool when they
 * are opened: a large graph takes its time.
 */
#include "mount/mount_i.h"

#define SHOW_SLOT 54

static const struct {
	const char *name;
	enum pfs_show which;
} shows[] = {
	{ ".graph", PFS_SHOW_GRAPH },
	{ ".graph.dot", PFS_SHOW_DOT },
	{ ".graph.json", PFS_SHOW_JSON },
	{ ".metrics", PFS_SHOW_METRICS },
};

int pfs_show_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like)
{
	for (size_t i = 0; i < ARRAY_SIZE(shows); i++) {
		if (strcmp(name, shows[i].name) != 0)
			continue;
		like->kind = &pfs_kind_show;
		like->which = (int)shows[i].which;
		like->ino = pfs_file_ino(info->id, SHOW_SLOT + shows[i].which);
		return 0;
	}
	return -ENOENT;
}

void pfs_show_list(const struct pfs_node_info *info, struct pfs_listing *listing)
{
	for (size_t i = 0; info->kind == PFS_NODE_ROOT && i < ARRAY_SIZE(shows); i++)
		pfs_listing_add(listing, shows[i].name,
				pfs_file_ino(info->id, SHOW_SLOT + shows[i].which), S_IFREG);
}

static void show_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	struct pfs_node_info info;

	pfs_node_info(entry->node, &info);
	st->st_mode = S_IFREG | (info.mode & 0444);
}

/* --- open ---------------------------------------------------------------------------------- */

struct show_task {
	struct pfs_task task;
	struct pfs_node *node; /* a reference */
	struct fuse_file_info fi;
	enum pfs_show which;
	struct pfs_buf text; /* owned until the request is answered */
};

static struct show_task *show_of(struct pfs_task *task)
{
	return CONTAINER_OF(task, struct show_task, task);
}

static int show_act(struct pfs_task *task)
{
	struct show_task *show = show_of(task);

	return pfs_graph_show(show->node, show->which, &task->cred, &show->text);
}

static void show_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct show_task *show = show_of(task);

	if (result < 0)
		fuse_reply_err(req, -result);
	else
		pfs_text_open(task->mount, req, &show->fi, &pfs_kind_show, NULL, &show->text);
}

static void show_undo(struct pfs_task *task)
{
	(void)task;
}

static void show_free(struct pfs_task *task)
{
	struct show_task *show = show_of(task);

	pfs_buf_release(&show->text);
	pfs_node_unref(show->node);
	free(show);
}

static void show_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		      struct fuse_file_info *fi)
{
	struct show_task *show = pfs_zalloc(1, sizeof(*show));

	if (!show) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	show->task.act = show_act;
	show->task.reply = show_reply;
	show->task.undo = show_undo;
	show->task.free = show_free;
	show->task.pool = &mount->open;
	show->node = pfs_node_ref(entry->node);
	show->fi = *fi;
	show->which = (enum pfs_show)entry->which;
	pfs_task_start(mount, &show->task, req);
}

const struct pfs_kind pfs_kind_show = {
	.attr = show_attr,
	.open = show_open,
	.read = pfs_text_read,
	.release = pfs_text_release,
};
