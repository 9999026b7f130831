/*
 * redirfs - the directories of file filters: /p/redirfs/, /p/redirfs/FILTER/
 *
 *	mkdir /p/redirfs/NAME,so=%2flib%2fscan.so,priority=850000000
 *	echo /srv/data subtree > /p/redirfs/NAME/include
 *	echo 1 > /p/redirfs/NAME/active
 *	rmdir /p/redirfs/NAME
 *
 * After mkdir the directory is called NAME; the longer name finds it, too. What is in the registry is there: filters of
 * processes come and go by themselves, so the kernel asks each time. Who mounted owns all of it, a filter's own user
 * his.
 */
#include "mount/redirfs_i.h"

#define TREE "redirfs"
#define TIMEOUT 1.0 /* of the directory of filters, which is always there */
#define INOS ((uint64_t)5 << 60)

static const char *const program[] = { "/proc/self/exe", "redirect", NULL };

static uint64_t hash_of(const struct pfs_mount *mount, const char *text)
{
	return pfs_hash_bytes(&mount->redirfs->seed, 0, (const uint8_t *)text, strlen(text));
}

/* The first of the numbers of a filter and its files. */
static uint64_t ino_of(const struct pfs_mount *mount, const char *filter)
{
	return INOS | (hash_of(mount, filter) >> 4 & ~(uint64_t)31);
}

/* --- looking ---------------------------------------------------------------------------------------- */

struct found {
	const char *name;
	bool there;
	uid_t uid;
};

static void find(void *arg, const struct rd_registry *now)
{
	struct found *found = arg;
	const struct rd_registered *filter = rd_registry_find(now, found->name);

	found->there = filter;
	found->uid = filter ? filter->uid : 0;
}

/* An entry of a directory, text is its name in the table of inodes. */
static int named(struct pfs_mount *mount, const char *text, struct pfs_entry *like,
		 struct pfs_entry **ret_entry)
{
	int r;

	like->text = strdup(text);
	if (!like->text)
		return -ENOMEM;
	r = pfs_inode_named(mount, like, hash_of(mount, text), ret_entry);
	if (r < 0)
		free(like->text);
	return r;
}

int pfs_redirfs_lookup(struct pfs_mount *mount, const char *name, struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .kind = &pfs_kind_redirfs, .timeout = TIMEOUT, .ino = INOS };

	return strcmp(name, TREE) != 0 ? -ENOENT : named(mount, TREE, &like, ret_entry);
}

void pfs_redirfs_list(struct pfs_listing *listing)
{
	pfs_listing_add(listing, TREE, INOS, S_IFDIR);
}

static void tree_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	(void)mount;
	st->st_mode = S_IFDIR | 0755;
	st->st_uid = entry->kind == &pfs_kind_redirfs ? getuid() : (uid_t)entry->policy;
	st->st_gid = getgid();
}

static int filter_entry(struct pfs_mount *mount, const char *name, struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .kind = &pfs_kind_redir_filter, .ino = ino_of(mount, name) };
	struct found found = { .name = name };
	PFS_BUF struct pfs_buf text = { 0 };

	rd_herd_look(mount->redirfs->herd, find, &found);
	if (!found.there)
		return -ENOENT;
	like.policy = (int)found.uid;
	pfs_buf_printf(&text, TREE "/%s", name);
	return text.failed ? -ENOMEM : named(mount, text.data, &like, ret_entry);
}

static int tree_lookup(struct pfs_mount *mount, struct pfs_entry *dir, const char *text,
		       struct pfs_entry **ret_entry)
{
	char name[RD_NAME_MAX];

	(void)dir;
	return pfs_redir_name(text, name) ? filter_entry(mount, name, ret_entry) : -ENOENT;
}

struct tree_list {
	struct pfs_mount *mount;
	struct pfs_listing *listing;
};

static void list(void *arg, const struct rd_registry *now)
{
	struct tree_list *list = arg;

	for (size_t i = 0; i < now->n; i++)
		pfs_listing_add(list->listing, now->filter[i]->name,
				ino_of(list->mount, now->filter[i]->name), S_IFDIR);
}

static int tree_names(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing)
{
	struct tree_list arg = { mount, listing };

	(void)dir;
	rd_herd_look(mount->redirfs->herd, list, &arg);
	return 0;
}

const struct pfs_kind pfs_kind_redirfs = {
	.directory = true,
	.attr = tree_attr,
	.lookup = tree_lookup,
	.list = tree_names,
};

static const char *filter_name(const struct pfs_entry *dir)
{
	return dir->text + strlen(TREE "/");
}

static int filter_lookup(struct pfs_mount *mount, struct pfs_entry *dir, const char *name,
			 struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .kind = &pfs_kind_redir_file, .policy = dir->policy };
	struct found found = { .name = filter_name(dir) };
	int r;

	like.which = pfs_redir_file_name(name);
	if (like.which < 0)
		return -ENOENT;
	rd_herd_look(mount->redirfs->herd, find, &found);
	if (!found.there)
		return -ENOENT;
	like.ino = dir->ino + 1 + (unsigned)like.which;
	like.text = strdup(filter_name(dir));
	if (!like.text)
		return -ENOMEM;
	r = pfs_inode_file(mount, &like, ret_entry);
	if (r < 0)
		free(like.text);
	return r;
}

static int filter_names(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing)
{
	(void)mount;
	pfs_redir_files_list(dir->ino, listing);
	return 0;
}

const struct pfs_kind pfs_kind_redir_filter = {
	.directory = true,
	.attr = tree_attr,
	.lookup = filter_lookup,
	.list = filter_names,
};

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

	return pfs_redir_change(task->mount->redirfs, &tree->change, &tree->diag);
}

static void tree_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct tree_task *tree = task_of(task);
	struct pfs_entry *entry = NULL;

	if (result == 0 && tree->change.kind == PFS_REDIR_MAKE)
		result = filter_entry(task->mount, tree->change.name, &entry);
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
	(void)pfs_redir_change(task->mount->redirfs, &drop, &diag);
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
	if (!parent || parent->kind != &pfs_kind_redirfs)
		return false;
	tree_change(pfs_req_mount(req), req, name, true);
	return true;
}

bool pfs_redirfs_rmdir(fuse_req_t req, const struct pfs_entry *parent, const char *name)
{
	if (!parent || parent->kind != &pfs_kind_redirfs)
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

int pfs_redirfs_new(struct pfs_mount *mount)
{
	struct pfs_redirfs *redirfs = pfs_zalloc(1, sizeof(*redirfs));
	struct rd_herd_options options = {
		.spawner = mount->spawner,
		.program = program,
		.detach = detach,
		.say = say,
		.arg = mount,
	};
	int r;

	if (!redirfs)
		return -ENOMEM;
	pfs_seed_init(&redirfs->seed);
	r = rd_herd_new(&options, &redirfs->herd);
	if (r < 0) {
		free(redirfs);
		return r;
	}
	mount->redirfs = redirfs;
	return 0;
}

void pfs_redirfs_end(struct pfs_mount *mount)
{
	if (mount->redirfs)
		rd_herd_end(mount->redirfs->herd);
}

void pfs_redirfs_free(struct pfs_mount *mount)
{
	if (!mount->redirfs)
		return;
	rd_herd_free(mount->redirfs->herd);
	free(mount->redirfs);
	mount->redirfs = NULL;
}
