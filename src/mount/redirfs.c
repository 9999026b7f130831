/*
 * redirfs - the directories of file filters: /p/redirfs/, /p/redirfs/FILTER/
 *
 *	mkdir /p/redirfs/NAME,so=%2flib%2fscan.so,priority=850000000
 *	echo /srv/data subtree > /p/redirfs/NAME/include
 *	echo 1 > /p/redirfs/NAME/active
 *	rmdir /p/redirfs/NAME
 *
 * They are directories of the graph, of the source redirfs (source/redirfs.c), and have the files that control them
 * beside the streams. After mkdir the directory is called NAME; the longer name finds it, too. What is in the registry
 * is there: filters of processes come and go by themselves, so the kernel asks each time.
 */
#include "mount/redirfs_i.h"

#include <limits.h>
#include <stdio.h>

#define TREE "redirfs"
#define SLOT 20	    /* of the first file */
#define SETTLE 2000 /* ms that open(2) waits for redirect processes */

static const char *const program[] = { "/proc/self/exe", "redirect", NULL };

/* --- looking ---------------------------------------------------------------------------------------- */

bool pfs_redirfs_is(const struct pfs_node_info *info)
{
	return info->source && !strcmp(info->source, TREE);
}

static bool is_folder(const struct pfs_entry *dir)
{
	struct pfs_node_info info;

	if (!dir || dir->kind != &pfs_kind_dir)
		return false;
	pfs_node_info(dir->node, &info);
	return info.kind == PFS_NODE_FOLDER && pfs_redirfs_is(&info);
}

/* Not a run's. */
static bool is_filter(struct pfs_node *node, const struct pfs_node_info *info)
{
	return info->kind == PFS_NODE_SOURCE && pfs_redirfs_is(info) &&
	       !strpbrk(pfs_node_name(node), ",:");
}

int pfs_redirfs_name(struct pfs_node *dir, const struct pfs_node_info *info, const char *name,
		     struct pfs_entry *like)
{
	int which = is_filter(dir, info) ? pfs_redir_file_name(name) : -ENOENT;

	if (which < 0)
		return which;
	like->kind = &pfs_kind_redir_file;
	like->which = which;
	like->ino = pfs_file_ino(info->id, SLOT + (unsigned)which);
	return 0;
}

void pfs_redirfs_list(struct pfs_node *dir, const struct pfs_node_info *info,
		      struct pfs_listing *listing)
{
	if (is_filter(dir, info))
		pfs_redir_files_list(info->id, SLOT, listing);
}

const char *pfs_redirfs_child(const struct pfs_node_info *info, const char *name,
			      char short_name[PFS_NAME_MAX + 1])
{
	if (info->kind != PFS_NODE_FOLDER || !pfs_redirfs_is(info))
		return name;
	return pfs_redir_name(name, short_name) ? short_name : name;
}

void pfs_redirfs_settle(struct pfs_mount *mount)
{
	(void)rd_herd_watched(mount->redirfs->herd, SETTLE);
}

/* --- mkdir, rmdir ---------------------------------------------------------------------------------------- */

struct tree_task {
	struct pfs_task task;
	struct pfs_redir_change change;
	struct pfs_diag diag;
	char text[];
};

static struct tree_task *task_of(struct pfs_task *task)
{
	return CONTAINER_OF(task, struct tree_task, task);
}

static int tree_act(struct pfs_task *task)
{
	struct tree_task *tree = task_of(task);

	return pfs_redir_change(task->mount, &tree->change, &tree->diag);
}

static void tree_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct tree_task *tree = task_of(task);
	struct pfs_entry *entry = NULL;
	struct pfs_node *node = NULL;

	if (result == 0 && tree->change.kind == PFS_REDIR_MAKE)
		result = pfs_node_lookup(task->mount->redirfs->folder, tree->change.name, &node);
	if (result == 0 && node)
		result = pfs_inode_dir(task->mount, node, &entry);
	if (result < 0) {
		pfs_redir_refuse(task->mount, &task->cred, tree->text, NULL, -result, &tree->diag);
		fuse_reply_err(req, -result);
	} else if (entry) {
		pfs_reply_entry(task->mount, req, entry);
	} else {
		fuse_reply_err(req, 0);
	}
}

/* Interrupted, and nobody knows of it. */
static void make_undo(struct pfs_task *task)
{
	struct pfs_redir_change drop = { .kind = PFS_REDIR_DROP };
	struct pfs_diag diag;

	memcpy(drop.name, task_of(task)->change.name, sizeof(drop.name));
	(void)pfs_redir_change(task->mount, &drop, &diag);
}

static void drop_undo(struct pfs_task *task)
{
	(void)task;
}

static void make_late(struct pfs_task *task, int error)
{
	struct pfs_diag diag;

	pfs_diag_set(&diag, error,
		     "the shared object's filesystem, or a redirect process, does not answer");
	pfs_redir_refuse(task->mount, &task->cred, task_of(task)->text, NULL, error, &diag);
}

static void tree_free(struct pfs_task *task)
{
	free(task_of(task));
}

static void tree_change(struct pfs_mount *mount, fuse_req_t req, const char *name, bool make)
{
	struct tree_task *tree = pfs_zalloc(1, sizeof(*tree) + strlen(name) + 1);

	if (!tree) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(tree->text, name, strlen(name));
	tree->change.kind = make ? PFS_REDIR_MAKE : PFS_REDIR_DROP;
	tree->change.text = tree->text;
	tree->change.len = strlen(name);
	tree->change.uid = fuse_req_ctx(req)->uid;
	(void)pfs_redir_name(name, tree->change.name);
	tree->task.act = tree_act;
	tree->task.reply = tree_reply;
	tree->task.undo = make ? make_undo : drop_undo;
	tree->task.late = make ? make_late : NULL;
	tree->task.free = tree_free;
	tree->task.pool = &mount->make;
	pfs_task_start(mount, &tree->task, req);
}

bool pfs_redirfs_mkdir(fuse_req_t req, const struct pfs_entry *parent, const char *name)
{
	if (!is_folder(parent))
		return false;
	tree_change(pfs_req_mount(req), req, name, true);
	return true;
}

bool pfs_redirfs_rmdir(fuse_req_t req, const struct pfs_entry *parent, const char *name)
{
	if (!is_folder(parent))
		return false;
	tree_change(pfs_req_mount(req), req, name, false);
	return true;
}

/* --- beginning, end ----------------------------------------------------------------------------------------- */

static void detach(void *arg, unsigned major, unsigned minor)
{
	(void)arg;
	(void)pfs_mount_detach(major, minor, true);
}

static void say(void *arg, const char *sentence)
{
	(void)arg;
	pfs_log_try(sentence);
}

/* For whoever looks why a filter does something else than its file says: its owner, and root. */
static void hear(void *arg, const char *filter, const char *sentence)
{
	static const struct pfs_cred root = { .uid = 0 };
	struct pfs_mount *mount = arg;
	PFS_BUF struct pfs_buf line = { 0 };
	struct pfs_diag diag;

	pfs_diag_set(&diag, EINVAL, "%.240s", sentence);
	if (mount->graph)
		pfs_redir_refuse(mount, &root, filter, NULL, EINVAL, &diag);
	pfs_buf_printf(&line, "%s: ", filter);
	pfs_buf_clean(&line, sentence, strlen(sentence));
	if (!line.failed)
		pfs_log_try(line.data);
}

int pfs_redirfs_new(struct pfs_mount *mount)
{
	struct pfs_redirfs *redirfs = pfs_zalloc(1, sizeof(*redirfs));
	struct rd_herd_options options = {
		.spawner = mount->spawner,
		.program = program,
		.detach = detach,
		.say = say,
		.hear = hear,
		.arg = mount,
	};
	int r;

	if (!redirfs)
		return -ENOMEM;
	r = rd_herd_new(&options, &redirfs->herd);
	if (r < 0) {
		free(redirfs);
		return r;
	}
	mount->redirfs = redirfs;
	return 0;
}

struct rd_herd *pfs_redirfs_herd(const struct pfs_mount *mount)
{
	return mount->redirfs->herd;
}

/* --- filters of other processes ----------------------------------------------------------------------------- */

static int place(void *arg, struct rd_rule_new *rule, struct pfs_diag *diag)
{
	(void)arg;
	return pfs_redir_place(rule, diag);
}

/* Readers drain what there is, then get the end. */
static void left(void *arg, const char *name)
{
	static const struct pfs_cred nobody = { .uid = 0 };
	const struct pfs_mount *mount = arg;

	(void)pfs_node_remove(mount->redirfs->folder, name, &nobody, NULL);
}

/* Where liburfs looks for us. The mount does without, and says so. */
static void listen_for_filters(struct pfs_mount *mount)
{
	const char *wanted = getenv("PIPESFS_URFS"), *runtime = getenv("XDG_RUNTIME_DIR");
	struct rd_join_options options = {
		.herd = mount->redirfs->herd, .place = place, .left = left, .say = say, .arg = mount
	};
	struct pfs_diag diag = { "" };
	char path[PATH_MAX];
	int r;

	if (wanted && *wanted)
		snprintf(path, sizeof(path), "%s", wanted);
	else if (geteuid() != 0 && runtime && runtime[0] == '/')
		snprintf(path, sizeof(path), "%s/pipesfs/urfs", runtime);
	else if (geteuid() == 0)
		snprintf(path, sizeof(path), "/run/pipesfs/urfs");
	else
		return; /* there is no such place for him */
	options.path = path;
	r = path[0] == '/' ? rd_join_new(&options, &mount->redirfs->join, &diag)
			   : pfs_diag_set(&diag, EINVAL, "PIPESFS_URFS is no absolute path");
	if (r < 0)
		pfs_log("filters of other processes cannot join this mount: %s",
			diag.text[0] ? diag.text : strerror(-r));
}

int pfs_redirfs_begin(struct pfs_mount *mount)
{
	struct pfs_node *node;
	int r = pfs_node_lookup(pfs_graph_root(mount->graph), TREE, &node);

	if (r < 0)
		return r;
	mount->redirfs->folder = node; /* which is there as long as the graph */
	pfs_node_unref(node);
	listen_for_filters(mount);
	return 0;
}

void pfs_redirfs_end(struct pfs_mount *mount)
{
	if (!mount->redirfs)
		return;
	rd_join_free(TAKE_PTR(mount->redirfs->join));
	rd_herd_end(mount->redirfs->herd);
}

void pfs_redirfs_free(struct pfs_mount *mount)
{
	if (!mount->redirfs)
		return;
	rd_join_free(mount->redirfs->join);
	rd_herd_free(mount->redirfs->herd);
	free(mount->redirfs);
	mount->redirfs = NULL;
}
