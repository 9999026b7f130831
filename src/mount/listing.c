/*
 * listing - opendir, readdir
 *
 * A listing is made at the first readdir and again after rewinddir(3); between them it does not
 * change, so that no name comes twice or is missed while others make and remove directories.
 * Offsets count names.
 */
#include "mount/ops_i.h"

struct dir_file {
	struct pfs_file file;
	struct pfs_entry *entry; /* the kernel holds it while the directory is open */
	pthread_mutex_t lock;
	bool made;
	struct pfs_listing listing; /* lock */
	size_t *at;		    /* lock; owned: where name i stands in listing.names */
};

/*
 * Nothing but the place in the list of open files: directories are closed by their own operation.
 */
static void dir_file_release(struct pfs_file *file);
static const struct pfs_kind kind_open_dir = { .directory = true, .release = dir_file_release };

void pfs_listing_add(struct pfs_listing *listing, const char *name, uint64_t ino, mode_t type)
{
	size_t len = strlen(name) + 1;
	size_t size = pfs_align8(sizeof(struct pfs_listed) + len);
	struct pfs_listed *item = pfs_buf_reserve(&listing->names, size);

	if (!item)
		return;
	*item = (struct pfs_listed){ .ino = ino, .type = type, .size = (uint32_t)size };
	memcpy(item->name, name, len);
	listing->names.len += size;
	listing->n++;
}

static void listing_clear(struct dir_file *dir)
{
	pfs_buf_release(&dir->listing.names);
	free(dir->at);
	dir->at = NULL;
	dir->listing = (struct pfs_listing){ 0 };
	dir->made = false;
}

/* Lock held. */
static int listing_make(struct pfs_mount *mount, struct dir_file *dir)
{
	struct pfs_listing *listing = &dir->listing;
	size_t at = 0;
	int r;

	listing_clear(dir);
	pfs_listing_add(listing, ".", dir->entry->ino, S_IFDIR);
	pfs_listing_add(listing, "..", dir->entry->ino, S_IFDIR);
	r = dir->entry->kind->list(mount, dir->entry, listing);
	if (r < 0)
		return r;
	dir->at = pfs_zalloc(listing->n, sizeof(*dir->at));
	if (listing->names.failed || !dir->at)
		return -ENOMEM;
	for (size_t i = 0; i < listing->n; i++) {
		dir->at[i] = at;
		at += ((struct pfs_listed *)(void *)(listing->names.data + at))->size;
	}
	dir->made = true;
	return 0;
}

static void dir_file_release(struct pfs_file *file)
{
	struct dir_file *dir = CONTAINER_OF(file, struct dir_file, file);

	pfs_file_del(file);
	listing_clear(dir);
	pthread_mutex_destroy(&dir->lock);
	free(dir);
}

void pfs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *entry = pfs_inode_get(mount, ino);
	struct dir_file *dir;

	if (!entry || !entry->kind->list) {
		fuse_reply_err(req, entry ? ENOTDIR : ESTALE);
		return;
	}
	if (pfs_portal_flip(mount, req, entry, fi->flags)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	dir = pfs_zalloc(1, sizeof(*dir));
	if (!dir) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	dir->entry = entry;
	pthread_mutex_init(&dir->lock, NULL);
	pfs_file_add(&dir->file, &kind_open_dir, mount);
	fi->fh = (uintptr_t)&dir->file;
	if (fuse_reply_open(req, fi) < 0)
		dir_file_release(&dir->file);
}

void pfs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
	dir_file_release((struct pfs_file *)(uintptr_t)fi->fh);
}

/*
 * One name with attributes, for directories: a walk then needs no LOOKUP for each. Files get none:
 * they are looked up anew when opened anyway.
 */
static size_t add_plus(struct pfs_mount *mount, struct dir_file *dir, fuse_req_t req, char *to,
		       size_t room, const struct pfs_listed *item, off_t off)
{
	struct fuse_entry_param param = { 0 };
	struct pfs_entry *entry = NULL;
	size_t need;

	if (S_ISDIR(item->type) && item->name[0] != '.' && dir->entry->kind == &pfs_kind_dir &&
	    dir->entry->kind->lookup(mount, dir->entry, item->name, &entry) == 0) {
		param.ino = entry->id;
		param.attr_timeout = param.entry_timeout = entry->timeout;
		pfs_inode_stat(mount, entry, &param.attr);
	}
	param.attr.st_ino = item->ino;
	if (!entry)
		param.attr.st_mode = item->type;
	need = fuse_add_direntry_plus(req, to, room, item->name, &param, off);
	if (need > room && entry)
		pfs_inode_forget(mount, entry->id, 1);
	return need;
}

static size_t add_plain(fuse_req_t req, char *to, size_t room, const struct pfs_listed *item, off_t off)
{
	struct stat st = { .st_ino = item->ino, .st_mode = item->type };

	return fuse_add_direntry(req, to, room, item->name, &st, off);
}

static void read_names(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct dir_file *dir =
		CONTAINER_OF((struct pfs_file *)(uintptr_t)fi->fh, struct dir_file, file);
	PFS_FREE char *out = malloc(size);
	size_t len = 0, i = (size_t)off;
	int r = 0;

	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&dir->lock);
	if (off == 0 || !dir->made)
		r = listing_make(mount, dir);
	for (; r == 0 && i < dir->listing.n; i++) {
		const struct pfs_listed *item = (void *)(dir->listing.names.data + dir->at[i]);
		size_t need =
			plus ? add_plus(mount, dir, req, out + len, size - len, item, (off_t)i + 1)
			     : add_plain(req, out + len, size - len, item, (off_t)i + 1);

		if (need > size - len)
			break;
		len += need;
	}
	pthread_mutex_unlock(&dir->lock);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, out, len);
}

void pfs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_names(req, size, off, fi, false);
}

void pfs_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	read_names(req, size, off, fi, true);
}
