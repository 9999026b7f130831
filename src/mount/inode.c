/*
 * inode - what the kernel's nodeids mean
 *
 * A directory has the nodeid of its node as long as it lives. A file gets a fresh nodeid with every
 * LOOKUP and keeps its st_ino: the kernel holds the inode's lock while a direct write waits, and
 * with one inode for all openers nobody else could write, truncate or chmod the file until then,
 * nor be killed while trying.
 */
#include "mount/mount_i.h"

#define BUCKETS_MIN 256
#define FILE_IDS ((uint64_t)1 << 61) /* nodeids of files begin here, those of nodes are small */
#define FRESH_INOS ((uint64_t)3 << 60)
#define NAMED_IDS ((uint64_t)1 << 62) /* nodeids of directories that are known by their text */

/*
 * Directories change only through us: a second of caching makes `find` three times faster. A run goes without a call of
 * the kernel's.
 */
#define DIR_TIMEOUT 1.0

static struct pfs_entry **bucket(struct pfs_inodes *inodes, uint64_t id)
{
	return &inodes->buckets[(id * 0x9e3779b97f4a7c15ULL >> 20) & (inodes->size - 1)];
}

int pfs_inodes_init(struct pfs_mount *mount)
{
	struct pfs_inodes *inodes = &mount->inodes;
	struct pfs_node *root = pfs_graph_root(mount->graph);
	struct pfs_entry *entry;
	int r;

	inodes->size = BUCKETS_MIN;
	inodes->buckets = pfs_zalloc(inodes->size, sizeof(struct pfs_entry *));
	inodes->next_file = FILE_IDS;
	inodes->next_ino = FRESH_INOS;
	pthread_mutex_init(&inodes->lock, NULL);
	if (!inodes->buckets)
		return -ENOMEM;
	r = pfs_inode_dir(mount, pfs_node_ref(root), &entry);
	if (r == 0 && entry->id != FUSE_ROOT_ID)
		r = -EINVAL;
	return r;
}

static void entry_free(struct pfs_entry *entry)
{
	pfs_node_unref(entry->node);
	free(entry->text);
	free(entry->raw);
	free(entry);
}

void pfs_inodes_release(struct pfs_mount *mount)
{
	struct pfs_inodes *inodes = &mount->inodes;

	for (size_t i = 0; inodes->buckets && i < inodes->size; i++)
		while (inodes->buckets[i]) {
			struct pfs_entry *entry = inodes->buckets[i];

			inodes->buckets[i] = entry->next;
			entry_free(entry);
		}
	free(inodes->buckets);
	inodes->buckets = NULL;
	pthread_mutex_destroy(&inodes->lock);
}

static struct pfs_entry *find(struct pfs_inodes *inodes, uint64_t id)
{
	struct pfs_entry *entry = *bucket(inodes, id);

	while (entry && entry->id != id)
		entry = entry->next;
	return entry;
}

/* Lock held. A table that cannot grow only gets slower. */
static void insert(struct pfs_inodes *inodes, struct pfs_entry *entry)
{
	struct pfs_entry **at;

	if (inodes->n >= inodes->size) {
		struct pfs_inodes bigger = { .size = inodes->size * 2 };

		bigger.buckets = pfs_zalloc(bigger.size, sizeof(struct pfs_entry *));
		for (size_t i = 0; bigger.buckets && i < inodes->size; i++)
			while (inodes->buckets[i]) {
				struct pfs_entry *moved = inodes->buckets[i];

				inodes->buckets[i] = moved->next;
				at = bucket(&bigger, moved->id);
				moved->next = *at;
				*at = moved;
			}
		if (bigger.buckets) {
			free(inodes->buckets);
			inodes->buckets = bigger.buckets;
			inodes->size = bigger.size;
		}
	}
	at = bucket(inodes, entry->id);
	entry->next = *at;
	*at = entry;
	inodes->n++;
}

struct pfs_entry *pfs_inode_get(struct pfs_mount *mount, uint64_t id)
{
	struct pfs_entry *entry;

	pthread_mutex_lock(&mount->inodes.lock);
	entry = find(&mount->inodes, id);
	pthread_mutex_unlock(&mount->inodes.lock);
	return entry;
}

int pfs_inode_dir(struct pfs_mount *mount, struct pfs_node *node, struct pfs_entry **ret_entry)
{
	struct pfs_inodes *inodes = &mount->inodes;
	struct pfs_node_info info;
	struct pfs_entry *entry;

	pfs_node_info(node, &info);
	pthread_mutex_lock(&inodes->lock);
	entry = find(inodes, info.id);
	if (!entry) {
		entry = pfs_zalloc(1, sizeof(*entry));
		if (entry) {
			entry->id = entry->ino = info.id;
			entry->kind = &pfs_kind_dir;
			entry->timeout = info.kind == PFS_NODE_RUN || (info.kind == PFS_NODE_SOURCE &&
								       pfs_redirfs_is(&info))
						 ? 0
						 : DIR_TIMEOUT;
			entry->node = pfs_node_ref(node);
			insert(inodes, entry);
		}
	}
	if (entry)
		entry->lookups++;
	pthread_mutex_unlock(&inodes->lock);
	pfs_node_unref(node);
	if (!entry)
		return -ENOMEM;
	*ret_entry = entry;
	return 0;
}

int pfs_inode_file(struct pfs_mount *mount, const struct pfs_entry *like, struct pfs_entry **ret_entry)
{
	struct pfs_inodes *inodes = &mount->inodes;
	struct pfs_entry *entry = malloc(sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	*entry = *like;
	if (entry->node)
		pfs_node_ref(entry->node);
	entry->lookups = 1;
	pthread_mutex_lock(&inodes->lock);
	entry->id = inodes->next_file++;
	insert(inodes, entry);
	pthread_mutex_unlock(&inodes->lock);
	*ret_entry = entry;
	return 0;
}

int pfs_inode_named(struct pfs_mount *mount, const struct pfs_entry *like, uint64_t hash,
		    struct pfs_entry **ret_entry)
{
	struct pfs_inodes *inodes = &mount->inodes;
	struct pfs_entry *entry, *made = malloc(sizeof(*made));
	uint64_t id = NAMED_IDS | (hash >> 3);

	if (!made)
		return -ENOMEM;
	pthread_mutex_lock(&inodes->lock);
	entry = find(inodes, id);
	if (entry && !strcmp(entry->text, like->text)) {
		entry->lookups++;
	} else {
		/* Two texts with one hash: the second gets a number like a file's. */
		id = entry ? inodes->next_file++ : id;
		entry = TAKE_PTR(made);
		*entry = *like;
		entry->id = id;
		entry->lookups = 1;
		insert(inodes, entry);
	}
	pthread_mutex_unlock(&inodes->lock);
	if (made) {
		free(like->text);
		free(like->raw);
		free(made);
	}
	*ret_entry = entry;
	return 0;
}

void pfs_inode_pin(struct pfs_mount *mount, struct pfs_entry *entry)
{
	pthread_mutex_lock(&mount->inodes.lock);
	entry->lookups++;
	pthread_mutex_unlock(&mount->inodes.lock);
}

void pfs_inode_forget(struct pfs_mount *mount, uint64_t id, uint64_t lookups)
{
	struct pfs_inodes *inodes = &mount->inodes;
	struct pfs_entry **at, *entry;

	if (id == FUSE_ROOT_ID)
		return;
	pthread_mutex_lock(&inodes->lock);
	for (at = bucket(inodes, id); (entry = *at) && entry->id != id; at = &entry->next)
		;
	if (entry) {
		entry->lookups -= pfs_min64(lookups, entry->lookups);
		if (entry->lookups) {
			entry = NULL;
		} else {
			*at = entry->next;
			inodes->n--;
		}
	}
	pthread_mutex_unlock(&inodes->lock);
	if (entry)
		entry_free(entry);
}

void pfs_inode_stat(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *ret_st)
{
	struct pfs_node_info info;

	*ret_st = (struct stat){
		.st_ino = entry->ino,
		/*
		 * 1 for directories too: no program may conclude from it how many of them there
		 * are.
		 */
		.st_nlink = 1,
		.st_blksize = 4096,
	};
	if (entry->node) {
		pfs_node_info(entry->node, &info);
		ret_st->st_uid = info.uid;
		ret_st->st_gid = info.gid;
		ret_st->st_mtim = ret_st->st_ctim = ret_st->st_atim = info.created;
	}
	entry->kind->attr(mount, entry, ret_st);
}

void pfs_file_add(struct pfs_file *file, const struct pfs_kind *kind, struct pfs_mount *mount)
{
	file->kind = kind;
	file->mount = mount;
	file->prev = NULL;
	pthread_mutex_lock(&mount->files.lock);
	file->next = mount->files.first;
	if (file->next)
		file->next->prev = file;
	mount->files.first = file;
	pthread_mutex_unlock(&mount->files.lock);
}

void pfs_file_del(struct pfs_file *file)
{
	struct pfs_mount *mount = file->mount;

	pthread_mutex_lock(&mount->files.lock);
	if (file->next)
		file->next->prev = file->prev;
	if (file->prev)
		file->prev->next = file->next;
	else
		mount->files.first = file->next;
	pthread_mutex_unlock(&mount->files.lock);
}
