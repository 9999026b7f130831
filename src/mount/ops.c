/*
 * ops - what FUSE asks
 *
 * Each request finds its entry and hands it to the entry's kind. Looking (lookup, getattr, readdir,
 * statfs) does nothing else. xattr, locks and the rest are not implemented on purpose: the kernel
 * remembers ENOSYS and does not ask again.
 */
#include "mount/ops_i.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

/* --- init ------------------------------------------------------------------------------ */

/* Pages that the kernel allows in one request; libfuse does not tell what came of its offer. */
static size_t kernel_max(void)
{
	unsigned long pages = 256;
	FILE *f = fopen("/proc/sys/fs/fuse/max_pages_limit", "re");

	if (f) {
		if (fscanf(f, "%lu", &pages) != 1 || !pages)
			pages = 256;
		fclose(f);
	}
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void caps_clear(struct fuse_conn_info *conn, uint64_t caps)
{
#ifdef HAVE_FUSE_PASSTHROUGH
	fuse_unset_feature_flag(conn, caps);
#else
	conn->want &= ~(unsigned)caps;
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct pfs_mount *mount = userdata;

	/*
	 * A reply is one writev(2), the fastest way; asynchronous direct reads could not be
	 * interrupted.
	 */
	caps_clear(conn, FUSE_CAP_SPLICE_WRITE);
	caps_clear(conn, FUSE_CAP_SPLICE_MOVE);
	caps_clear(conn, FUSE_CAP_SPLICE_READ);
	caps_clear(conn, FUSE_CAP_ASYNC_DIO);
	conn->max_write = (unsigned)pfs_min(conn->max_write, PFS_REQUEST_MAX);
	/* RELEASE travels in the background: it must not queue behind anything. */
	conn->max_background = 1024;
	mount->read_max = pfs_min(conn->max_write, kernel_max());
	eventfd_write(mount->init_fd, 1);
}

/* --- names -------------------------------------------------------------------------------- */

static void param_of(struct pfs_mount *mount, struct pfs_entry *entry,
		     struct fuse_entry_param *ret_param)
{
	*ret_param = (struct fuse_entry_param){
		.ino = entry->id,
		.attr_timeout = entry->timeout,
		.entry_timeout = entry->timeout,
	};
	pfs_inode_stat(mount, entry, &ret_param->attr);
}

void pfs_reply_entry(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry)
{
	struct fuse_entry_param param;
	uint64_t id = entry->id;

	param_of(mount, entry, &param);
	if (fuse_reply_entry(req, &param) < 0)
		pfs_inode_forget(mount, id, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *dir = pfs_inode_get(mount, parent), *entry;
	int r = -ENOTDIR;

	if (!dir)
		r = -ESTALE;
	else if (dir->kind == &pfs_kind_portal_dir)
		r = 1;
	else if (strlen(name) > PFS_NAME_LIMIT)
		r = -ENAMETOOLONG;
	else if (dir->kind->lookup)
		r = dir->kind->lookup(mount, dir, name, &entry);
	/* Nothing else is called so: a portal, perhaps. */
	if (r == -ENOENT && parent == FUSE_ROOT_ID)
		r = 1;
	if (r == 1)
		pfs_portal_lookup(mount, req, dir, name);
	else if (r < 0)
		fuse_reply_err(req, -r);
	else
		pfs_reply_entry(mount, req, entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	pfs_inode_forget(pfs_req_mount(req), ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		pfs_inode_forget(pfs_req_mount(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* --- attributes ----------------------------------------------------------------------------- */

static void reply_attr(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry)
{
	struct stat st;

	pfs_inode_stat(mount, entry, &st);
	/* cat refuses to read and write one file: seen through one descriptor, it is two. */
	if (entry->duplex)
		st.st_ino = atomic_fetch_add(&mount->inodes.next_ino, 1);
	fuse_reply_attr(req, &st, entry->timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *entry = pfs_inode_get(mount, ino);

	if (entry)
		reply_attr(mount, req, entry);
	else
		fuse_reply_err(req, ESTALE);
}

/*
 * Truncating, touching and even chmod of a pipe succeed and do nothing: `>`, tee, touch and cp -p
 * do it in passing, and a pipe's rights are those of its directory.
 */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *entry = pfs_inode_get(mount, ino);
	int r = 0;

	if (!entry)
		r = -ESTALE;
	else if (entry->kind->setattr)
		r = entry->kind->setattr(mount, entry, attr, to_set);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		reply_attr(mount, req, entry);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_namemax = PFS_NAME_LIMIT,
	};

	fuse_reply_statfs(req, &st);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct pfs_entry *entry = pfs_inode_get(pfs_req_mount(req), ino);

	if (entry && entry->kind == &pfs_kind_link)
		fuse_reply_readlink(req, entry->text);
	else
		fuse_reply_err(req, entry ? EINVAL : ESTALE);
}

/*
 * --- files --------------------------------------------------------------------------------------
 */

#define ANSWER_MAX 256 /* bytes that an ioctl of ours gives */

static struct pfs_file *file_of(const struct fuse_file_info *fi)
{
	return (struct pfs_file *)(uintptr_t)fi->fh;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_mount *mount = pfs_req_mount(req);
	struct pfs_entry *entry = pfs_inode_get(mount, ino);

	if (!entry || !entry->kind->open)
		fuse_reply_err(req, entry ? EISDIR : ESTALE);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY && !entry->kind->write)
		fuse_reply_err(req, EACCES); /* the mode says so, but root does not heed it */
	else
		entry->kind->open(mount, req, entry, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct pfs_file *file = file_of(fi);

	if (file->kind->read)
		file->kind->read(file, req, size, off, fi->flags);
	else
		fuse_reply_err(req, EBADF);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct pfs_file *file = file_of(fi);

	if (file->kind->write_at)
		file->kind->write_at(file, req, buf, size, off, fi->flags);
	else if (file->kind->write)
		file->kind->write(file, req, buf, size, fi->flags);
	else
		fuse_reply_err(req, EBADF);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct pfs_file *file = file_of(fi);

	if (file->kind->poll) {
		file->kind->poll(file, req, fi->poll_events, ph);
		return;
	}
	if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
		     size_t out_size)
{
	struct pfs_file *file = file_of(fi);
	uint8_t answer[ANSWER_MAX] = { 0 };
	size_t size = 0;
	int value, r = -ENOTTY;

	/* Directories have no descriptor of ours that answers. */
	if (!(flags & FUSE_IOCTL_DIR) && file->kind->ioctl && in_size == sizeof(value)) {
		memcpy(&value, in, sizeof(value));
		r = file->kind->ioctl(file, command, value);
	} else if (!(flags & FUSE_IOCTL_DIR) && file->kind->answer && !in_size &&
		   out_size <= sizeof(answer)) {
		size = out_size;
		r = file->kind->answer(file, command, answer, size);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, answer, size);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_file *file = file_of(fi);

	if (file->kind->flush)
		file->kind->flush(file, req);
	else
		fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pfs_file *file = file_of(fi);

	fuse_reply_err(req, 0);
	if (file->kind->release)
		file->kind->release(file);
}

const struct fuse_lowlevel_ops pfs_mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.statfs = op_statfs,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.poll = op_poll,
	.ioctl = op_ioctl,
	.flush = op_flush,
	.release = op_release,
	.opendir = pfs_op_opendir,
	.readdir = pfs_op_readdir,
	.readdirplus = pfs_op_readdirplus,
	.releasedir = pfs_op_releasedir,
	.mkdir = pfs_op_mkdir,
	.rmdir = pfs_op_rmdir,
	.unlink = pfs_op_unlink,
	.rename = pfs_op_rename,
	.symlink = pfs_op_symlink,
	.link = pfs_op_link,
	.mknod = pfs_op_mknod,
	.create = pfs_op_create,
};
