/*
 * layer_attr - attributes of files: stat, chmod, xattr ...
 */
#include "redir/layer_i.h"

#include <limits.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* --- looking -------------------------------------------------------------------------- */

static void getattr_do(struct rd_req *r)
{
	struct stat *st = &r->call.arg.attr.stat;

	if (r->call.file) {
		r->call.result = rd_errno_or(fstat(r->call.file->fd, st));
	} else {
		RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
		int err = rd_hold(r->layer, r->call.object, &hold);

		r->call.result = err < 0 ? err : rd_errno_or(fstatat(hold.fd, "", st, AT_EMPTY_PATH));
	}
	if (r->call.result == 0)
		r->entry.attr_timeout = rd_attr_told(r->layer, r->call.object, st);
}

static void attr_reply(struct rd_req *r)
{
	if (!r->call.performed)
		fuse_reply_err(r->req, EIO);
	else
		fuse_reply_attr(r->req, &r->call.arg.attr.stat, r->heap ? 0 : r->entry.attr_timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_GETATTR, ino);
	r.call.file = rd_file_of(fi);
	rd_req_start(&r, getattr_do, attr_reply);
}

#ifdef HAVE_FUSE_PASSTHROUGH
static void statx_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	int err = 0, fd = r->call.file ? r->call.file->fd : -1;

	if (fd < 0) {
		err = rd_hold(r->layer, r->call.object, &hold);
		fd = hold.fd;
	}
	if (err == 0)
		err = rd_errno_or(
			statx(fd, "", r->flags | AT_EMPTY_PATH, (unsigned)r->mask, &r->statx));
	if (err == 0) {
		struct stat *st = &r->call.arg.attr.stat;

		rd_stat_from_statx(&r->statx, st);
		st->st_dev = r->call.object->dev;
		r->entry.attr_timeout = rd_attr_told(r->layer, r->call.object, st);
		r->statx.stx_ino = st->st_ino;
	}
	r->call.result = err;
}

/* What filters made of it. */
static void statx_from_stat(const struct stat *st, struct statx *sx)
{
	sx->stx_mode = (uint16_t)st->st_mode;
	sx->stx_nlink = (uint32_t)st->st_nlink;
	sx->stx_uid = st->st_uid;
	sx->stx_gid = st->st_gid;
	sx->stx_size = (uint64_t)st->st_size;
	sx->stx_blocks = (uint64_t)st->st_blocks;
	sx->stx_atime.tv_sec = st->st_atim.tv_sec;
	sx->stx_atime.tv_nsec = (uint32_t)st->st_atim.tv_nsec;
	sx->stx_mtime.tv_sec = st->st_mtim.tv_sec;
	sx->stx_mtime.tv_nsec = (uint32_t)st->st_mtim.tv_nsec;
	sx->stx_ctime.tv_sec = st->st_ctim.tv_sec;
	sx->stx_ctime.tv_nsec = (uint32_t)st->st_ctim.tv_nsec;
}

static void statx_reply(struct rd_req *r)
{
	if (r->heap)
		statx_from_stat(&r->call.arg.attr.stat, &r->statx);
	if (!r->call.performed)
		fuse_reply_err(r->req, EIO);
	else
		fuse_reply_statx(r->req, 0, &r->statx, r->heap ? 0 : r->entry.attr_timeout);
}

static void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_GETATTR, ino);
	r.call.file = rd_file_of(fi);
	r.flags = flags & AT_STATX_SYNC_TYPE;
	/* The kernel keeps what it gets: everything that is asked for by stat(2), too. */
	r.mask = mask | (int)STATX_BASIC_STATS;
	rd_req_start(&r, statx_do, statx_reply);
}
#endif

static void readlink_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	int err = rd_hold(r->layer, r->call.object, &hold);
	ssize_t n = -1;

	free(r->out);
	r->out = malloc(PATH_MAX);
	if (!r->out)
		err = -ENOMEM;
	if (err == 0) {
		n = readlinkat(hold.fd, "", (char *)r->out, PATH_MAX - 1);
		err = n < 0 ? -errno : 0;
	}
	if (n >= 0)
		r->out[n] = '\0';
	r->call.result = err;
}

static void readlink_reply(struct rd_req *r)
{
	if (r->out)
		fuse_reply_readlink(r->req, (const char *)r->out);
	else
		fuse_reply_err(r->req, EIO);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_READLINK, ino);
	rd_req_start(&r, readlink_do, readlink_reply);
}

/* The kernel above has judged the mode; a filter may say more. */
static void access_do(struct rd_req *r)
{
	r->call.result = 0;
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_ACCESS, ino);
	r.call.arg.access.mask = mask;
	rd_req_start(&r, access_do, rd_reply_ok);
}

static void statfs_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	int err = rd_hold(r->layer, r->call.object, &hold);
	struct statvfs *st = malloc(sizeof(*st));

	if (err == 0)
		err = st ? rd_errno_or(fstatvfs(hold.fd, st)) : -ENOMEM;
	free(r->out);
	r->out = (uint8_t *)st;
	r->call.result = err;
}

static void statfs_reply(struct rd_req *r)
{
	if (r->out)
		fuse_reply_statfs(r->req, (const struct statvfs *)r->out);
	else
		fuse_reply_err(r->req, EIO);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_STATFS, ino);
	/* A filter that takes its time is no reason to think that we do not answer. */
	r.unasked = r.layer->keeper > 0 && r.call.caller.pid > 0 &&
		    syscall(SYS_tgkill, r.layer->keeper, r.call.caller.pid, 0) == 0;
	rd_req_start(&r, statfs_do, statfs_reply);
}

/* --- changing ------------------------------------------------------------------------- */

static struct timespec time_of(int valid, int set, int now, struct timespec ts)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return valid & set ? ts : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_size(struct rd_req *r, int fd, off_t size)
{
	char path[RD_PROC_SIZE];
	struct rd_file *file = r->call.file;

	if (file && (file->flags & O_ACCMODE) != O_RDONLY)
		return rd_errno_or(ftruncate(file->fd, size));
	return rd_errno_or(truncate(rd_proc(fd, path), size));
}

/* In the order in which one of them may undo another: chown takes set-id bits away, all of them the times. */
static int set_all(struct rd_req *r, int fd)
{
	const struct stat *st = &r->call.arg.attr.stat;
	int valid = r->call.arg.attr.valid, err = 0;
	char path[RD_PROC_SIZE];

	if (valid & FUSE_SET_ATTR_SIZE)
		err = set_size(r, fd, st->st_size);
	if (err == 0 && valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		err = rd_errno_or(fchownat(fd, "", valid & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1,
					   valid & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1,
					   AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
	if (err == 0 && valid & FUSE_SET_ATTR_MODE)
		err = rd_errno_or(chmod(rd_proc(fd, path), st->st_mode & 07777));
	if (err == 0 && valid & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)) {
		const struct timespec times[] = {
			time_of(valid, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, st->st_atim),
			time_of(valid, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, st->st_mtim),
		};

		err = rd_errno_or(utimensat(fd, "", times, AT_EMPTY_PATH));
	}
	return err;
}

static void setattr_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	struct stat wanted = r->call.arg.attr.stat;
	int err = rd_hold(r->layer, r->call.object, &hold);

	if (err == 0)
		err = set_all(r, hold.fd);
	if (err == 0) {
		err = rd_errno_or(fstatat(hold.fd, "", &r->call.arg.attr.stat, AT_EMPTY_PATH));
		r->entry.attr_timeout = rd_attr_told(r->layer, r->call.object, &r->call.arg.attr.stat);
	}
	if (err < 0)
		r->call.arg.attr.stat = wanted;
	r->call.result = err;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int valid,
		       struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_SETATTR, ino);
	r.call.file = rd_file_of(fi);
	r.call.arg.attr.stat = *st;
	r.call.arg.attr.valid = valid;
	rd_req_start(&r, setattr_do, attr_reply);
}

/* --- extended attributes -------------------------------------------------------------- */

#define GROUPS_MAX 256

static bool is_member(struct rd_req *r, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	int n = r->call.caller.gid == gid ? 0 : fuse_req_getgroups(r->req, GROUPS_MAX, groups);

	for (int i = 0; i < n && i < GROUPS_MAX; i++)
		if (groups[i] == gid)
			return true;
	return r->call.caller.gid == gid;
}

/* An ACL that is a mode, too, given by somebody who may not set the set-gid bit, takes it away. */
static void acl_kills(struct rd_req *r, int fd)
{
	struct stat st;

	if (strcmp(r->name, "system.posix_acl_access") == 0 && fstat(fd, &st) == 0 &&
	    st.st_mode & S_ISGID && !rd_keeps_setid(r->layer, r->call.caller.pid) &&
	    !is_member(r, st.st_gid))
		rd_become(r->layer, r->call.caller.uid, r->call.caller.gid, r->umask, true);
}

static void setxattr_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	char path[RD_PROC_SIZE];
	int err = rd_hold(r->layer, r->call.object, &hold);

	if (err == 0)
		acl_kills(r, hold.fd);
	if (err == 0 && r->call.op == RD_SETXATTR)
		err = rd_errno_or(setxattr(rd_proc(hold.fd, path), r->name, r->value, r->value_size,
					   r->flags));
	else if (err == 0)
		err = rd_errno_or(removexattr(rd_proc(hold.fd, path), r->name));
	r->call.result = err;
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_SETXATTR, ino);
	r.name = r.call.arg.xattr.name = name;
	r.value = value;
	r.value_size = size;
	r.flags = flags;
	rd_req_start(&r, setxattr_do, rd_reply_ok);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_REMOVEXATTR, ino);
	r.name = r.call.arg.xattr.name = name;
	rd_req_start(&r, setxattr_do, rd_reply_ok);
}

/* r->value_size: the room the caller has; 0: asks how much is needed. */
static void getxattr_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	size_t size = r->value_size;
	char path[RD_PROC_SIZE];
	ssize_t n = -1;
	int err = rd_hold(r->layer, r->call.object, &hold);

	free(TAKE_PTR(r->out));
	if (err == 0 && size && !(r->out = malloc(size)))
		err = -ENOMEM;
	if (err == 0) {
		n = r->call.op == RD_GETXATTR
			    ? getxattr(rd_proc(hold.fd, path), r->name, r->out, size)
			    : listxattr(rd_proc(hold.fd, path), (char *)r->out, size);
		err = n < 0 ? -errno : 0;
	}
	r->call.result = err < 0 ? err : n;
}

static void getxattr_reply(struct rd_req *r)
{
	size_t n = (size_t)r->call.result;

	if (!r->value_size)
		fuse_reply_xattr(r->req, n);
	else
		fuse_reply_buf(r->req, (const char *)r->out, r->out ? pfs_min(n, r->value_size) : 0);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_GETXATTR, ino);
	r.name = r.call.arg.xattr.name = name;
	r.value_size = size;
	rd_req_start(&r, getxattr_do, getxattr_reply);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_LISTXATTR, ino);
	r.value_size = size;
	rd_req_start(&r, getxattr_do, getxattr_reply);
}

/* --- the kernel forgets --------------------------------------------------------------- */

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	if (ino != FUSE_ROOT_ID)
		rd_object_unref(rd_layer_of(req), (struct rd_object *)ino, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct rd_layer *layer = rd_layer_of(req);

	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			rd_object_unref(layer, (struct rd_object *)forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void rd_ops_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
#ifdef HAVE_FUSE_PASSTHROUGH
	ops->statx = op_statx;
#endif
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->access = op_access;
	ops->statfs = op_statfs;
	ops->setxattr = op_setxattr;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->removexattr = op_removexattr;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
}
