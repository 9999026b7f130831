/*
 * layer_file - open files and their data
 */
#include "redir/layer_i.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

/* --- files ---------------------------------------------------------------------------- */

int rd_file_new(struct rd_req *r, struct rd_object *object, int fd, int flags, struct rd_file **ret_file)
{
	struct rd_file *file = pfs_zalloc(1, sizeof(*file));

	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	file->object = object;
	rd_object_ref(object);
	file->fd = fd;
	file->flags = flags;
	file->chain = rd_object_chain(r->layer, object);
	if (r->layer->chains && !file->chain) {
		rd_object_unref(r->layer, object, 1);
		close(fd);
		free(file);
		return -ENOMEM;
	}
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_lock(&object->lock);
	file->next = object->files;
	if (file->next)
		file->next->prev = file;
	object->files = file;
	pthread_mutex_unlock(&object->lock);
	*ret_file = file;
	return 0;
}

static bool wants(const struct rd_layer *layer, const struct rd_file *file, enum rd_op op)
{
	return file->chain && layer->chains->wants(file->chain, op, file->object->type);
}

static bool writes(const struct rd_file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

/* The attributes that the kernel above keeps are no longer, or again, as it thinks. */
static void attr_forget(struct rd_layer *layer, struct rd_object *object)
{
	fuse_lowlevel_notify_inval_inode(layer->se, rd_ino_of(layer, object), -1, 0);
}

#ifdef HAVE_FUSE_PASSTHROUGH
/*
 * Written past us set-id bits are kept or taken away as the rights say with which the backing was opened, by the
 * first of those who share it. A writer of whom that would be wrong reads and writes by us, and only maps the backing.
 *
 * object->lock is held.
 */
static bool pass(struct rd_req *r, struct rd_file *file, bool data)
{
	struct rd_object *object = file->object;
	bool keeps;

	if (!object->passed && (data || object->cached || !r->layer->passthrough))
		return false;
	/* Who only reads: what the next writer is likely to be like. */
	keeps = writes(file) ? rd_keeps_setid(r->layer, r->call.caller.pid)
			     : r->layer->privileged && r->call.caller.uid == 0;
	if (!object->passed) {
		rd_become(r->layer, r->call.caller.uid, r->call.caller.gid, r->umask, !keeps);
		object->backing = rd_backing_open(r->layer, file->fd);
		object->backing_keeps = keeps;
		if (object->backing <= 0)
			return false;
	}
	object->passed++;
	object->cache_serial = 0;
	file->passed = true;
	r->fi.backing_id = object->backing;
	r->fi.direct_io = data || (writes(file) && keeps != object->backing_keeps);
	return true;
}
#else
static bool pass(struct rd_req *r, struct rd_file *file, bool data)
{
	(void)r, (void)file, (void)data;
	return false;
}
#endif

void rd_file_way(struct rd_req *r, struct rd_file *file, bool fresh)
{
	struct rd_layer *layer = r->layer;
	struct rd_object *object = file->object;
	uint64_t serial = layer->chains ? layer->chains->serial(layer->config) + 1 : 1;
	bool data = file->chain && layer->chains->wants_data(file->chain), first = false;
	bool own = data && layer->chains->own(file->chain, r->call.caller.pid);

	r->fi.fh = (uintptr_t)file;
	pthread_mutex_lock(&object->lock);
	if (pass(r, file, data)) {
		if (writes(file))
			first = atomic_fetch_add(&object->writers, 1) == 0;
		atomic_fetch_add_explicit(&layer->passed_opens, 1, memory_order_relaxed);
	} else if (own) {
		file->own = true;
		r->fi.direct_io = 1;
		atomic_fetch_add_explicit(&layer->other_opens, 1, memory_order_relaxed);
	} else {
		object->cached++;
		r->fi.keep_cache = object->cache_serial == serial;
		object->cache_serial = serial;
		atomic_fetch_add_explicit(&layer->other_opens, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&object->lock);
	/* What is written by way of the page cache is there before the last close is; nothing is left to say. */
	r->fi.noflush = (file->passed || !writes(file)) && !wants(layer, file, RD_FLUSH);
	if (first && !fresh)
		attr_forget(layer, object);
}

void rd_file_free(struct rd_layer *layer, struct rd_file *file)
{
	struct rd_object *object = file->object;
	bool last = false;
	int backing = 0;

	pthread_mutex_lock(&object->lock);
	*(file->prev ? &file->prev->next : &object->files) = file->next;
	if (file->next)
		file->next->prev = file->prev;
	if (file->passed) {
		if (--object->passed == 0)
			backing = object->backing;
		if (writes(file))
			last = atomic_fetch_sub(&object->writers, 1) == 1;
	} else if (file->own) {
		object->cache_serial = 0; /* it may have mapped, or written past, what others see there */
	} else if (!S_ISDIR(object->type)) {
		object->cached--;
	}
	pthread_mutex_unlock(&object->lock);
	if (file->own && layer->running)
		fuse_lowlevel_notify_inval_inode(layer->se, rd_ino_of(layer, object), 0, 0);
	if (backing > 0)
		rd_backing_close(layer, backing);
	if (last && layer->running)
		attr_forget(layer, object);
	if (layer->chains) {
		layer->chains->slots_release(&file->slots);
		if (file->chain)
			layer->chains->unref(file->chain);
	}
	pthread_mutex_destroy(&file->lock);
	free(file->entries);
	close(file->fd);
	free(file);
	if (layer->running)
		rd_object_unref(layer, object, 1);
}

/* --- opening and closing -------------------------------------------------------------- */

static void open_do(struct rd_req *r)
{
	int flags = (int)r->call.arg.open.flags &
		    ~(O_APPEND | O_DIRECT | O_NOFOLLOW | O_CREAT | O_EXCL);
	int fd = rd_object_open(r->layer, r->call.object, flags), err;

	/* One that can only grow (chattr +a). Else the kernel above knows where the end is, and writes there. */
	if (fd == -EPERM && r->call.arg.open.flags & O_APPEND)
		fd = rd_object_open(r->layer, r->call.object, flags | O_APPEND);
	if (fd < 0) {
		r->call.result = fd;
		return;
	}
	err = rd_file_new(r, r->call.object, fd, (int)r->call.arg.open.flags, &r->opened);
	if (err == 0)
		rd_file_way(r, r->opened, false);
	r->call.result = err;
}

void rd_reply_open(struct rd_req *r)
{
	struct rd_file *file = TAKE_PTR(r->opened);

	/* A filter may say that it is open, but there is nothing to read. */
	if (!file)
		fuse_reply_err(r->req, EIO);
	else if (fuse_reply_open(r->req, &r->fi) == -ENOENT)
		rd_file_free(r->layer, file);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_OPEN, ino);
	r.fi = *fi;
	r.call.arg.open.flags = (uint32_t)fi->flags;
	rd_req_start(&r, open_do, rd_reply_open);
}

static void nothing_do(struct rd_req *r)
{
	r->call.result = 0;
}

void rd_release(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, enum rd_op op)
{
	struct rd_file *file = (struct rd_file *)(uintptr_t)fi->fh;
	struct rd_req r;

	rd_req_init(&r, req, op, ino);
	r.call.file = r.closing = file;
	r.call.arg.open.flags = (uint32_t)file->flags;
	rd_req_start(&r, nothing_do, rd_reply_ok);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	rd_release(req, ino, fi, RD_RELEASE);
}

/* Filesystems that tell at close(2) what went wrong before tell it now. */
static void flush_do(struct rd_req *r)
{
	int fd = fcntl(r->call.file->fd, F_DUPFD_CLOEXEC, 0);

	r->call.result = fd < 0 || close(fd) < 0 ? -errno : 0;
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_FLUSH, ino);
	r.call.file = rd_file_of(fi);
	rd_req_start(&r, flush_do, rd_reply_ok);
}

static void fsync_do(struct rd_req *r)
{
	int fd = r->call.file->fd;

	r->call.result = (r->flags ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static void fsync_start(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi,
			enum rd_op op)
{
	struct rd_req r;

	rd_req_init(&r, req, op, ino);
	r.call.file = rd_file_of(fi);
	r.flags = datasync;
	rd_req_start(&r, fsync_do, rd_reply_ok);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fsync_start(req, ino, datasync, fi, RD_FSYNC);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fsync_start(req, ino, datasync, fi, RD_FSYNCDIR);
}

/* --- data ----------------------------------------------------------------------------- */

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void buffer_key_make(void)
{
	pthread_key_create(&buffer_key, free);
}

/* Of this thread, RD_REQUEST_MAX bytes: to read into. */
static uint8_t *buffer_get(void)
{
	uint8_t *buffer;

	pthread_once(&buffer_once, buffer_key_make);
	buffer = pthread_getspecific(buffer_key);
	if (!buffer) {
		buffer = malloc(RD_REQUEST_MAX);
		pthread_setspecific(buffer_key, buffer);
	}
	return buffer;
}

static void read_do(struct rd_req *r)
{
	size_t want = pfs_min(r->call.arg.io.size, RD_REQUEST_MAX), have = 0;
	ssize_t n = 0;

	if (!r->heap)
		r->call.data.bytes = buffer_get();
	if (!r->call.data.bytes) {
		r->call.result = -ENOMEM;
		return;
	}
	while (have < want) {
		n = pread(r->call.file->fd, r->call.data.bytes + have, want - have,
			  (off_t)(r->call.arg.io.offset + have));
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	r->call.result = n < 0 && !have ? -errno : (int64_t)have;
}

static void read_reply(struct rd_req *r)
{
	fuse_reply_buf(r->req, (const char *)r->call.data.bytes,
		       pfs_min((size_t)r->call.result, r->call.arg.io.size));
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_READ, ino);
	r.call.file = rd_file_of(fi);
	r.call.shared = !r.call.file->own;
	r.call.arg.io.offset = (uint64_t)offset;
	r.call.arg.io.size = size;
	rd_req_start(&r, read_do, read_reply);
}

static void write_do(struct rd_req *r)
{
	size_t size = r->call.arg.io.size, done = 0;
	ssize_t n = 0;

	while (done < size) {
		n = pwrite(r->call.file->fd, r->call.data.bytes + done, size - done,
			   (off_t)(r->call.arg.io.offset + done));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	r->call.result = n < 0 && !done ? -errno : (int64_t)done;
}

static void write_reply(struct rd_req *r)
{
	fuse_reply_write(r->req, pfs_min((size_t)r->call.result, r->call.arg.io.size));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_WRITE, ino);
	r.fi = *fi;
	r.call.file = rd_file_of(fi);
	r.call.shared = !r.call.file->own;
	r.call.arg.io.offset = (uint64_t)offset;
	r.call.arg.io.size = size;
	r.call.data.bytes = (uint8_t *)bytes;
	r.call.data.size = size;
	rd_req_start(&r, write_do, write_reply);
}

/* --- room, holes, copies -------------------------------------------------------------- */

static void fallocate_do(struct rd_req *r)
{
	r->call.result = fallocate(r->call.file->fd, r->mask, (off_t)r->call.arg.io.offset,
				   (off_t)r->call.arg.io.size) < 0
				 ? -errno
				 : 0;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_FALLOCATE, ino);
	r.call.file = rd_file_of(fi);
	r.mask = mode;
	r.call.arg.io.offset = (uint64_t)offset;
	r.call.arg.io.size = (uint64_t)length;
	rd_req_start(&r, fallocate_do, rd_reply_ok);
}

static void lseek_do(struct rd_req *r)
{
	off_t at = lseek(r->call.file->fd, (off_t)r->call.arg.io.offset, r->mask);

	r->call.result = at < 0 ? -errno : at;
}

static void lseek_reply(struct rd_req *r)
{
	fuse_reply_lseek(r->req, r->call.result);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_LSEEK, ino);
	r.call.file = rd_file_of(fi);
	r.call.arg.io.offset = (uint64_t)offset;
	r.mask = whence;
	rd_req_start(&r, lseek_do, lseek_reply);
}

static void copy_do(struct rd_req *r)
{
	off_t in = r->offset, out = r->offset2;
	ssize_t n;

	n = copy_file_range(r->call.file->fd, &in, r->file2->fd, &out, r->call.arg.io.size,
			    (unsigned)r->mask);
	r->call.result = n < 0 ? -errno : n;
}

static void copy_reply(struct rd_req *r)
{
	fuse_reply_write(r->req, (size_t)r->call.result);
}

/* Does a chain change the data of that file on its way? Then the bytes below are not those that are seen. */
static bool has_data(const struct rd_layer *layer, const struct rd_file *file)
{
	return file->chain && layer->chains->wants_data(file->chain);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			       struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_COPY_FILE_RANGE, ino_in);
	r.call.file = rd_file_of(fi_in);
	r.file2 = rd_file_of(fi_out);
	if (has_data(r.layer, r.call.file) || has_data(r.layer, r.file2)) {
		/* The kernel reads and writes then. */
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	r.call.object2 = rd_object_of(r.layer, ino_out);
	r.offset = off_in;
	r.offset2 = off_out;
	r.call.arg.io.offset = (uint64_t)off_in;
	r.call.arg.io.size = pfs_min(len, (size_t)1 << 30);
	r.mask = flags;
	rd_req_start(&r, copy_do, copy_reply);
}

/* --- ioctl ---------------------------------------------------------------------------- */

static bool changes(unsigned cmd)
{
	return cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR;
}

static void ioctl_do(struct rd_req *r)
{
	free(r->out);
	r->out = pfs_zalloc(1, pfs_max(r->value_size, (size_t)r->offset));
	if (!r->out) {
		r->call.result = -ENOMEM;
		return;
	}
	memcpy(r->out, r->value, r->value_size);
	r->call.result = ioctl(r->call.file->fd, r->call.arg.ioctl.cmd, r->out) < 0 ? -errno : 0;
	/* ctime is another, which the kernel above does not know. */
	if (r->call.result == 0 && changes(r->call.arg.ioctl.cmd))
		attr_forget(r->layer, r->call.object);
}

static void ioctl_reply(struct rd_req *r)
{
	fuse_reply_ioctl(r->req, 0, r->out, r->out ? (size_t)r->offset : 0);
}

/* Those of chattr and lsattr, whose argument's size the kernel knows; of others it may be anything. */
static bool is_known(unsigned cmd)
{
	return cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSGETXATTR ||
	       cmd == FS_IOC_FSSETXATTR || cmd == FS_IOC_GETVERSION;
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
		     size_t out_size)
{
	struct rd_req r;

	(void)arg;
	if (!is_known(cmd) || flags & FUSE_IOCTL_UNRESTRICTED || !fi) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	rd_req_init(&r, req, RD_IOCTL, ino);
	r.call.file = rd_file_of(fi);
	r.call.arg.ioctl.cmd = cmd;
	r.value = in;
	r.value_size = in_size;
	r.offset = (off_t)pfs_min(out_size, RD_REQUEST_MAX);
	rd_req_start(&r, ioctl_do, ioctl_reply);
}

void rd_ops_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->release = op_release;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->fsyncdir = op_fsyncdir;
	ops->read = op_read;
	ops->write = op_write;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
	ops->ioctl = op_ioctl;
}
