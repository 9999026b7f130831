/*
 * layer_dir - open directories
 *
 * Offsets are those of the filesystem below, so telldir(3) and seekdir(3) are its own. With each entry goes what a
 * lookup of it would find (readdirplus); the kernel keeps the list as long as the directory's mtime is the same
 * (cache_readdir) and what was told with it is believed.
 */
#include "redir/layer_i.h"

#include <sys/syscall.h>

#define ENTRIES_SIZE 32768

struct entry {
	uint64_t ino;
	int64_t off; /* of the next one */
	uint16_t len;
	uint8_t type;
	char name[];
};

static bool is_watched(const struct rd_layer *layer, const struct rd_file *file)
{
	static const enum rd_op ops[] = { RD_LOOKUP, RD_GETATTR, RD_READDIR };

	for (size_t i = 0; file->chain && i < ARRAY_SIZE(ops); i++)
		if (layer->chains->wants(file->chain, ops[i], i == 1 ? 0 : S_IFDIR))
			return true;
	return false;
}

/* What was told with the names is still believed: else each would be asked for again, one after the other. */
static bool is_fresh(const struct rd_layer *layer, struct rd_object *dir)
{
	return (double)(pfs_clock_mono() - atomic_load(&dir->listed)) < layer->timeout * 1e9;
}

static void opendir_do(struct rd_req *r)
{
	int fd = rd_object_open(r->layer, r->call.object, O_RDONLY | O_DIRECTORY), err;

	if (fd < 0) {
		r->call.result = fd;
		return;
	}
	err = rd_file_new(r, r->call.object, fd, O_RDONLY, &r->opened);
	if (err == 0) {
		r->opened->plain = is_watched(r->layer, r->opened);
		r->fi.fh = (uintptr_t)r->opened;
		r->fi.cache_readdir = !r->opened->plain;
		r->fi.keep_cache = !r->opened->plain && is_fresh(r->layer, r->call.object);
	}
	r->call.result = err;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_OPENDIR, ino);
	r.fi = *fi;
	r.call.arg.open.flags = (uint32_t)fi->flags;
	rd_req_start(&r, opendir_do, rd_reply_open);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	rd_release(req, ino, fi, RD_RELEASEDIR);
}

/* --- reading -------------------------------------------------------------------------- */

/* file->lock is held. The next entry, or NULL at the end; *ret_err: why not. */
static const struct entry *entry_next(struct rd_file *file, int *ret_err)
{
	long n;

	if (file->at < file->len)
		return (const void *)(file->entries + file->at);
	n = syscall(SYS_getdents64, file->fd, file->entries, ENTRIES_SIZE);
	if (n < 0)
		*ret_err = -errno;
	if (n <= 0)
		return NULL;
	file->at = 0;
	file->len = (size_t)n;
	return (const void *)file->entries;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Everything about one entry; no node for those that nobody may look up here. */
static void entry_look(struct rd_req *r, const struct entry *entry)
{
	struct rd_file *file = r->call.file;

	if (r->flags && !file->plain && !is_dots(entry->name) &&
	    rd_entry_fill(r, file->fd, entry->name, file->object, entry->name) == 0)
		return;
	r->entry = (struct fuse_entry_param){
		.attr = {
			.st_ino = rd_ino_told(r->layer, file->object->dev, entry->ino),
			.st_mode = (mode_t)entry->type << 12,
		},
	};
}

static size_t entry_add(struct rd_req *r, char *to, size_t room, const struct entry *entry)
{
	if (r->flags)
		return fuse_add_direntry_plus(r->req, to, room, entry->name, &r->entry, entry->off);
	return fuse_add_direntry(r->req, to, room, entry->name, &r->entry.attr, entry->off);
}

/* file->lock is held. */
static int seek_to(struct rd_file *file, off_t offset)
{
	if (!file->entries && !(file->entries = malloc(ENTRIES_SIZE)))
		return -ENOMEM;
	if (offset != file->pos || offset == 0) {
		if (lseek(file->fd, offset, SEEK_SET) < 0)
			return -errno;
		file->at = file->len = 0;
		file->pos = offset;
	}
	return 0;
}

static void readdir_do(struct rd_req *r)
{
	struct rd_file *file = r->call.file;
	size_t size = r->value_size, used = 0;
	const struct entry *entry;
	int err;

	free(r->out);
	r->out = malloc(size);
	if (r->flags && r->offset == 0)
		atomic_store(&file->object->listed, pfs_clock_mono());
	pthread_mutex_lock(&file->lock);
	err = r->out ? seek_to(file, r->offset) : -ENOMEM;
	while (err == 0 && (entry = entry_next(file, &err))) {
		size_t n;

		entry_look(r, entry);
		n = entry_add(r, (char *)r->out + used, size - used, entry);
		if (n > size - used) {
			rd_entry_drop(r);
			break;
		}
		r->found = NULL; /* the kernel's */
		used += n;
		file->at += entry->len;
		file->pos = entry->off;
	}
	pthread_mutex_unlock(&file->lock);
	r->call.result = err < 0 && !used ? err : (int64_t)used;
}

static void readdir_reply(struct rd_req *r)
{
	fuse_reply_buf(r->req, (const char *)r->out, r->out ? (size_t)r->call.result : 0);
}

static void readdir_start(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			  struct fuse_file_info *fi, bool plus)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_READDIR, ino);
	r.call.file = rd_file_of(fi);
	r.value_size = pfs_min(size, RD_REQUEST_MAX);
	r.offset = offset;
	r.flags = plus;
	rd_req_start(&r, readdir_do, readdir_reply);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	readdir_start(req, ino, size, offset, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	readdir_start(req, ino, size, offset, fi, true);
}

void rd_ops_dir(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
}
