/*
 * layer_name - what is done to names in a directory
 */
#include "redir/layer_i.h"

#include <stdio.h>
#include <sys/syscall.h>

/* --- entries -------------------------------------------------------------------------- */

double rd_attr_told(struct rd_layer *layer, struct rd_object *object, struct stat *st)
{
	bool keep = !(S_ISREG(st->st_mode) && st->st_mode & (S_ISUID | S_ISGID)) &&
		    !atomic_load(&object->writers);

	st->st_ino = rd_ino_told(layer, st->st_dev, st->st_ino);
	return keep ? layer->timeout : 0;
}

void rd_entry_drop(struct rd_req *r)
{
	if (r->found)
		rd_object_unref(r->layer, TAKE_PTR(r->found), 1);
}

/* What somebody wants to be asked about each time is not kept. */
static void entry_times(struct rd_req *r)
{
	const struct rd_chains *chains = r->layer->chains;
	const struct rd_chain *chain = chains ? rd_object_chain(r->layer, r->found) : NULL;

	if (!chain)
		return;
	if (chains->wants(chain, RD_LOOKUP, 0))
		r->entry.entry_timeout = 0;
	if (chains->wants(chain, RD_GETATTR, r->found->type))
		r->entry.attr_timeout = 0;
	chains->unref(chain);
}

int rd_entry_fill(struct rd_req *r, int dirfd, const char *name, struct rd_object *parent,
		  const char *seen)
{
	struct rd_identity id;
	int err = rd_identify(r->layer, dirfd, name, &id);

	if (err < 0)
		return err;
	r->found = rd_object_get(r->layer, &id, parent, seen);
	if (!r->found)
		return -ENOMEM;
	r->entry = (struct fuse_entry_param){
		.ino = rd_ino_of(r->layer, r->found),
		.generation = r->found->generation,
		.attr = id.st,
		.entry_timeout = r->layer->timeout,
	};
	r->entry.attr_timeout = rd_attr_told(r->layer, r->found, &r->entry.attr);
	entry_times(r);
	return 0;
}

/* What is at that name, if the kernel knows it, with a reference. */
static struct rd_object *known(struct rd_layer *layer, int dirfd, const char *name)
{
	struct rd_identity id;

	return rd_identify(layer, dirfd, name, &id) == 0 ? rd_object_find(layer, &id) : NULL;
}

/*
 * The same of what is to be taken away. Somebody may have it as his working directory, or be about to open it: until
 * the kernel above has forgotten it, it can be reached.
 */
static struct rd_object *going(struct rd_layer *layer, int dirfd, const char *name)
{
	struct rd_identity id;
	struct rd_object *object;

	if (rd_identify(layer, dirfd, name, &id) < 0)
		return NULL;
	object = rd_object_find(layer, &id);
	if (object && (!id.handle.len || S_ISDIR(id.st.st_mode) || id.st.st_nlink < 2))
		rd_object_pin(layer, object, dirfd, name);
	return object;
}

/* It was at parent/name and is not there any more. */
static void lost(struct rd_layer *layer, struct rd_object *object, const struct rd_object *parent,
		 const char *name)
{
	bool ours;

	pthread_rwlock_rdlock(&layer->names);
	ours = object->parent == parent && !strcmp(object->name, name);
	pthread_rwlock_unlock(&layer->names);
	if (ours)
		rd_object_rename(layer, object, NULL, NULL);
}

void rd_entry_undo(struct rd_req *r)
{
	bool link = r->call.op == RD_LINK;
	struct rd_object *dir = link ? r->call.object2 : r->call.object;
	const char *name = link ? r->name2 : r->name;
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	struct rd_object *there;

	r->made = false;
	if (!name || !r->found || rd_hold(r->layer, dir, &hold) < 0)
		return;
	there = known(r->layer, hold.fd, name);
	if (there == r->found &&
	    unlinkat(hold.fd, name, r->call.op == RD_MKDIR ? AT_REMOVEDIR : 0) == 0)
		lost(r->layer, there, dir, name);
	if (there)
		rd_object_unref(r->layer, there, 1);
}

/* Begins: what is done in that directory. */
static int begin(struct rd_req *r, struct rd_hold *dir)
{
	return rd_hold(r->layer, r->call.object, dir);
}

static void lookup_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold dir = RD_HOLD_INIT;
	int err = begin(r, &dir);

	r->call.result = err < 0 ? err : rd_entry_fill(r, dir.fd, r->name, r->call.object, r->name);
}

static void lookup_plain(struct rd_req *r)
{
	lookup_do(r);
	/* That it is not there may be remembered, too. */
	if (r->call.result == -ENOENT && !r->heap) {
		r->entry = (struct fuse_entry_param){ .entry_timeout = r->layer->timeout };
		r->call.result = 0;
	}
}

static void lookup_reply(struct rd_req *r)
{
	if (!r->found && !r->heap)
		fuse_reply_entry(r->req, &r->entry);
	else
		rd_reply_entry(r);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_LOOKUP, parent);
	r.name = name;
	r.call.type = 0;
	rd_req_start(&r, lookup_plain, lookup_reply);
}

/* --- making --------------------------------------------------------------------------- */

static void make_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold dir = RD_HOLD_INIT;
	mode_t mode = r->call.arg.open.mode;
	int err = begin(r, &dir);

	if (err == 0 && r->call.op == RD_MKDIR)
		err = rd_errno_or(mkdirat(dir.fd, r->name, mode));
	else if (err == 0 && r->call.op == RD_SYMLINK)
		err = rd_errno_or(symlinkat(r->name2, dir.fd, r->name));
	else if (err == 0)
		err = rd_errno_or(mknodat(dir.fd, r->name, mode, r->rdev));
	r->made = err == 0;
	if (err == 0)
		err = rd_entry_fill(r, dir.fd, r->name, r->call.object, r->name);
	r->call.result = err;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_MKNOD, parent);
	r.name = name;
	r.call.type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
	r.call.arg.open.mode = mode;
	r.rdev = rdev;
	rd_req_start(&r, make_do, rd_reply_entry);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_MKDIR, parent);
	r.name = name;
	r.call.type = S_IFDIR;
	r.call.arg.open.mode = mode;
	rd_req_start(&r, make_do, rd_reply_entry);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_SYMLINK, parent);
	r.name = name;
	r.name2 = target;
	r.call.type = S_IFLNK;
	rd_req_start(&r, make_do, rd_reply_entry);
}

static void link_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold file = RD_HOLD_INIT, dir = RD_HOLD_INIT;
	char path[RD_PROC_SIZE];
	int err = begin(r, &file);

	if (err == 0)
		err = rd_hold(r->layer, r->call.object2, &dir);
	if (err == 0)
		err = rd_errno_or(linkat(AT_FDCWD, rd_proc(file.fd, path), dir.fd, r->name2,
					 AT_SYMLINK_FOLLOW));
	r->made = err == 0;
	if (err == 0)
		err = rd_entry_fill(r, dir.fd, r->name2, r->call.object2, r->name2);
	r->call.result = err;
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_LINK, ino);
	r.call.object2 = rd_object_of(r.layer, parent);
	r.name2 = name;
	rd_req_start(&r, link_do, rd_reply_entry);
}

/* --- making and opening --------------------------------------------------------------- */

/* A file without a name (O_TMPFILE) has the chain of its directory's files: it may get one there. */
static int unnamed_chain(struct rd_req *r)
{
	const struct rd_chains *chains = r->layer->chains;
	const struct rd_chain *chain;
	PFS_FREE char *path = NULL;

	if (!chains)
		return 0;
	path = rd_object_path(r->layer, r->call.object, ".");
	chain = path ? chains->find(r->layer->config, path) : NULL;
	if (!chain)
		return -ENOMEM;
	pthread_mutex_lock(&r->found->lock);
	if (r->found->chain)
		chains->unref(r->found->chain);
	r->found->chain = chain;
	pthread_mutex_unlock(&r->found->lock);
	return 0;
}

/* The descriptor of a file that was just made, as an open one. */
static int opened(struct rd_req *r, int fd, struct rd_object *parent, const char *name)
{
	int err = rd_entry_fill(r, fd, "", parent, name);

	if (err < 0) {
		close(fd);
		return err;
	}
	if (!name)
		err = unnamed_chain(r);
	if (err == 0)
		err = rd_file_new(r, r->found, TAKE_FD(fd), (int)r->call.arg.open.flags, &r->opened);
	pfs_closep(&fd);
	if (err < 0)
		return err;
	rd_file_way(r, r->opened, true);
	/* It may be written past us from now on. */
	if (atomic_load(&r->found->writers))
		r->entry.attr_timeout = 0;
	return 0;
}

/* Made, if it is not there yet; whether it was is known then. */
static int make_open(struct rd_req *r, int dirfd, int flags)
{
	mode_t mode = r->call.arg.open.mode & 07777;
	int fd = openat(dirfd, r->name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	r->made = fd >= 0;
	if (fd < 0 && errno == EEXIST && !(flags & O_EXCL))
		fd = openat(dirfd, r->name, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd;
}

static void create_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold dir = RD_HOLD_INIT;
	int flags = (int)r->call.arg.open.flags & ~(O_APPEND | O_DIRECT | O_NOFOLLOW), fd = -1;
	int err = begin(r, &dir);

	if (err == 0 && r->name)
		fd = make_open(r, dir.fd, flags);
	else if (err == 0)
		fd = openat(dir.fd, ".", flags | O_TMPFILE | O_CLOEXEC, r->call.arg.open.mode & 07777);
	if (err == 0)
		err = fd < 0 ? -errno : opened(r, fd, r->name ? r->call.object : NULL, r->name);
	r->call.result = err;
}

static void create_reply(struct rd_req *r)
{
	struct rd_object *object = TAKE_PTR(r->found);
	struct rd_file *file = TAKE_PTR(r->opened);

	if (!file) {
		fuse_reply_err(r->req, EIO);
		return;
	}
	if (fuse_reply_create(r->req, &r->entry, &r->fi) == -ENOENT) {
		rd_file_free(r->layer, file);
		rd_object_unref(r->layer, object, 1);
	}
}

static void create_start(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			 struct fuse_file_info *fi)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_CREATE, parent);
	r.name = name;
	r.fi = *fi;
	r.call.type = S_IFREG;
	r.call.arg.open.mode = mode;
	r.call.arg.open.flags = (uint32_t)fi->flags;
	rd_req_start(&r, create_do, create_reply);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	create_start(req, parent, name, mode, fi);
}

#ifdef HAVE_FUSE_PASSTHROUGH
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	create_start(req, parent, NULL, mode, fi);
}
#endif

/* --- taking away ---------------------------------------------------------------------- */

static void remove_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold dir = RD_HOLD_INIT;
	struct rd_object *object = NULL;
	int err = begin(r, &dir);

	if (err == 0) {
		object = going(r->layer, dir.fd, r->name);
		err = rd_errno_or(unlinkat(dir.fd, r->name, r->call.op == RD_RMDIR ? AT_REMOVEDIR : 0));
	}
	if (object) {
		if (err == 0)
			lost(r->layer, object, r->call.object, r->name);
		rd_object_unref(r->layer, object, 1);
	}
	r->call.result = err;
}

static void remove_start(fuse_req_t req, fuse_ino_t parent, const char *name, enum rd_op op)
{
	struct rd_req r;

	rd_req_init(&r, req, op, parent);
	r.name = name;
	r.call.type = op == RD_RMDIR ? S_IFDIR : 0;
	rd_req_start(&r, remove_do, rd_reply_ok);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_start(req, parent, name, RD_UNLINK);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_start(req, parent, name, RD_RMDIR);
}

/* --- moving --------------------------------------------------------------------------- */

/* What is now at that name is told so. */
static void moved(struct rd_req *r, int dirfd, struct rd_object *parent, const char *name)
{
	struct rd_object *object = known(r->layer, dirfd, name);

	if (!object)
		return;
	rd_object_rename(r->layer, object, parent, name);
	rd_object_unref(r->layer, object, 1);
}

static void rename_do(struct rd_req *r)
{
	RD_HOLD struct rd_hold from = RD_HOLD_INIT, to = RD_HOLD_INIT;
	unsigned flags = r->call.arg.rename.flags;
	struct rd_object *replaced = NULL;
	int err = begin(r, &from);

	if (err == 0)
		err = rd_hold(r->layer, r->call.object2, &to);
	if (err == 0) {
		replaced = flags & RENAME_EXCHANGE ? NULL : going(r->layer, to.fd, r->name2);
		err = rd_errno_or(renameat2(from.fd, r->name, to.fd, r->name2, flags));
	}
	if (err == 0) {
		if (replaced)
			lost(r->layer, replaced, r->call.object2, r->name2);
		moved(r, to.fd, r->call.object2, r->name2);
		if (flags & RENAME_EXCHANGE)
			moved(r, from.fd, r->call.object, r->name);
	}
	if (replaced)
		rd_object_unref(r->layer, replaced, 1);
	r->call.result = err;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned flags)
{
	struct rd_req r;

	rd_req_init(&r, req, RD_RENAME, parent);
	r.call.object2 = rd_object_of(r.layer, newparent);
	r.name = name;
	r.name2 = newname;
	r.call.type = 0;
	r.call.arg.rename.flags = flags;
	rd_req_start(&r, rename_do, rd_reply_ok);
}

void rd_ops_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->create = op_create;
#ifdef HAVE_FUSE_PASSTHROUGH
	ops->tmpfile = op_tmpfile;
#endif
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
