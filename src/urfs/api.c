#include "urfs/filter.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "urfs/exe.h"

/* <set>_<name> of each operation. */
static const char *const op_names[RFS_OPERATIONS] = {
	[RFS_LOOKUP] = "IOP_LOOKUP",
	[RFS_GETATTR] = "IOP_GETATTR",
	[RFS_SETATTR] = "IOP_SETATTR",
	[RFS_READLINK] = "IOP_READLINK",
	[RFS_MKNOD] = "IOP_MKNOD",
	[RFS_MKDIR] = "IOP_MKDIR",
	[RFS_UNLINK] = "IOP_UNLINK",
	[RFS_RMDIR] = "IOP_RMDIR",
	[RFS_SYMLINK] = "IOP_SYMLINK",
	[RFS_RENAME] = "IOP_RENAME",
	[RFS_LINK] = "IOP_LINK",
	[RFS_OPEN] = "FOP_OPEN",
	[RFS_CREATE] = "IOP_CREATE",
	[RFS_READ] = "FOP_READ",
	[RFS_WRITE] = "FOP_WRITE",
	[RFS_FLUSH] = "FOP_FLUSH",
	[RFS_RELEASE] = "FOP_RELEASE",
	[RFS_FSYNC] = "FOP_FSYNC",
	[RFS_OPENDIR] = "FOP_OPEN",
	[RFS_READDIR] = "FOP_READDIR",
	[RFS_RELEASEDIR] = "FOP_RELEASE",
	[RFS_FSYNCDIR] = "FOP_FSYNC",
	[RFS_STATFS] = "IOP_STATFS",
	[RFS_SETXATTR] = "IOP_SETXATTR",
	[RFS_GETXATTR] = "IOP_GETXATTR",
	[RFS_LISTXATTR] = "IOP_LISTXATTR",
	[RFS_REMOVEXATTR] = "IOP_REMOVEXATTR",
	[RFS_ACCESS] = "IOP_PERMISSION",
	[RFS_LOCK] = "FOP_LOCK",
	[RFS_FALLOCATE] = "FOP_FALLOCATE",
	[RFS_COPY_FILE_RANGE] = "FOP_COPY_FILE_RANGE",
	[RFS_LSEEK] = "FOP_LLSEEK",
	[RFS_IOCTL] = "FOP_IOCTL",
};

static const char *const type_names[16] = {
	[RFS_NONE] = "NONE", [RFS_FIFO] = "FIFO", [RFS_CHR] = "CHR",
	[RFS_DIR] = "DIR",   [RFS_BLK] = "BLK",	  [RFS_REG] = "REG",
	[RFS_LNK] = "LNK",   [RFS_SOCK] = "SOCK", [RFS_ANY] = "ANY",
};

static bool id_is_known(int id)
{
	return id >= 0 && id < RFS_OP_ID(0, RFS_OPERATIONS) && type_names[id % 16];
}

const char *rfs_op_name(enum rfs_op_id id, char *buf, size_t size)
{
	if (!id_is_known((int)id))
		return NULL;
	snprintf(buf, size, "%s_%s", type_names[id % 16], op_names[id / 16]);
	return buf;
}

/* Names are looked up, made and removed in a directory, whatever they are of. */
static bool is_of_names(unsigned operation)
{
	switch (operation) {
	case RFS_LOOKUP:
	case RFS_MKNOD:
	case RFS_MKDIR:
	case RFS_UNLINK:
	case RFS_RMDIR:
	case RFS_SYMLINK:
	case RFS_RENAME:
	case RFS_LINK:
	case RFS_CREATE:
		return true;
	default:
		return false;
	}
}

/* --- links --------------------------------------------------------------------------------------- */

void urfs_link_init(struct urfs_link *link, const struct urfs_link_ops *ops)
{
	link->ops = ops;
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->left, NULL);
}

void urfs_link_release(struct urfs_link *link)
{
	while (link->filters)
		urfs_filter_free(link->filters);
	pthread_cond_destroy(&link->left);
	pthread_mutex_destroy(&link->lock);
}

struct urfs_filter *urfs_link_enter(struct urfs_link *link, uint32_t id)
{
	struct urfs_filter *filter;

	pthread_mutex_lock(&link->lock);
	filter = link->filters;
	while (filter && (filter->id != id || filter->leaving))
		filter = filter->next;
	if (filter)
		filter->inside++;
	pthread_mutex_unlock(&link->lock);
	return filter;
}

void urfs_filter_leave(struct urfs_filter *filter)
{
	struct urfs_link *link = filter->link;

	pthread_mutex_lock(&link->lock);
	filter->inside--;
	pthread_cond_broadcast(&link->left);
	pthread_mutex_unlock(&link->lock);
}

void urfs_close(struct urfs_conn *conn)
{
	if (conn->link && conn->link->ops->close)
		conn->link->ops->close(conn->link);
	conn->link = NULL;
	conn->fd = -1;
}

int urfs_set_threads(struct urfs_conn *conn, unsigned threads)
{
	if (!conn->link || threads > 256)
		return -EINVAL;
	conn->link->threads = threads;
	return 0;
}

int urfs_main(struct urfs_conn *conn, rfs_filter filter)
{
	(void)filter;
	return conn->link && conn->link->ops->main ? conn->link->ops->main(conn->link) : -EOPNOTSUPP;
}

void urfs_say(const struct urfs_conn *conn, const char *sentence)
{
	if (conn->link && conn->link->ops->say)
		conn->link->ops->say(conn->link, sentence);
	else
		fprintf(stderr, "%s\n", sentence);
}

int urfs_dispatch(struct urfs_conn *conn)
{
	return conn->link && conn->link->ops->dispatch ? conn->link->ops->dispatch(conn->link)
						       : -EOPNOTSUPP;
}

void urfs_stop(struct urfs_conn *conn)
{
	if (conn->link && conn->link->ops->stop)
		conn->link->ops->stop(conn->link);
}

/* --- filters ------------------------------------------------------------------------------------- */

int urfs_filter_alloc(rfs_filter *filter, struct urfs_conn *conn)
{
	struct urfs_link *link = conn->link;
	struct urfs_filter *new;

	if (!link)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	pthread_mutex_lock(&link->lock);
	while (new->id < URFS_FILTERS_MAX && (link->ids & (uint64_t)1 << new->id) != 0)
		new->id++;
	if (new->id == URFS_FILTERS_MAX) {
		pthread_mutex_unlock(&link->lock);
		free(new);
		return -ENOSPC;
	}
	link->ids |= (uint64_t)1 << new->id;
	new->link = link;
	new->next = link->filters;
	link->filters = new;
	pthread_mutex_unlock(&link->lock);
	*filter = new;
	return 0;
}

/*
 * It is not asked any more, what has been sent and not begun included; waits for callbacks that run. Only here it is
 * known that they have ended: of one that was late the other side knows nothing.
 */
static void filter_leaves(struct urfs_filter *filter)
{
	pthread_mutex_lock(&filter->link->lock);
	filter->leaving = true;
	while (filter->inside > 0)
		pthread_cond_wait(&filter->link->left, &filter->link->lock);
	pthread_mutex_unlock(&filter->link->lock);
}

void urfs_filter_free(rfs_filter handle)
{
	struct urfs_filter *filter = handle, **at;

	if (!filter)
		return;
	if (filter->registered)
		rfs_unregister_filter(filter);
	filter_leaves(filter);
	pthread_mutex_lock(&filter->link->lock);
	for (at = &filter->link->filters; *at != filter;)
		at = &(*at)->next;
	*at = filter->next;
	filter->link->ids &= ~((uint64_t)1 << filter->id);
	pthread_mutex_unlock(&filter->link->lock);
	free(filter);
}

enum rfs_err rfs_register_filter(rfs_filter *handle, struct rfs_filter_info *info)
{
	struct urfs_filter *filter = handle ? *handle : NULL;
	int r;

	if (!filter || !info || !info->name || filter->registered || info->priority < 0 ||
	    strlen(info->name) >= sizeof(filter->name))
		return RFS_ERR_INVAL;
	snprintf(filter->name, sizeof(filter->name), "%s", info->name);
	pthread_mutex_lock(&filter->link->lock);
	filter->leaving = false;
	pthread_mutex_unlock(&filter->link->lock);
	r = filter->link->ops->add(filter, info);
	filter->registered = r == 0;
	return (enum rfs_err)r;
}

enum rfs_err rfs_unregister_filter(rfs_filter handle)
{
	struct urfs_filter *filter = handle;
	int r;

	if (!filter || !filter->registered)
		return RFS_ERR_INVAL;
	r = filter->link->ops->remove(filter);
	filter_leaves(filter);
	filter->registered = false;
	return (enum rfs_err)r;
}

static enum rfs_err activate(struct urfs_filter *filter, bool active)
{
	if (!filter || !filter->registered)
		return RFS_ERR_INVAL;
	return (enum rfs_err)filter->link->ops->activate(filter, active);
}

enum rfs_err rfs_activate_filter(rfs_filter handle)
{
	return activate(handle, true);
}

enum rfs_err rfs_deactivate_filter(rfs_filter handle)
{
	return activate(handle, false);
}

static uint16_t wanted(struct urfs_filter *filter, enum rfs_op_call call, unsigned operation)
{
	unsigned mask = 0;

	for (unsigned type = 0; type < 16; type++)
		if (filter->callback[call][operation][type])
			mask |= type == RFS_ANY || is_of_names(operation) ? 0xffffu : 1u << type;
	return (uint16_t)mask;
}

enum rfs_err rfs_set_operations(rfs_filter handle, struct rfs_op_info *info)
{
	struct urfs_filter *filter = handle;
	struct urfs_wants wants;

	if (!filter || !filter->registered || !info)
		return RFS_ERR_INVAL;
	for (const struct rfs_op_info *op = info; op->op_id != RFS_OP_END; op++)
		if (!id_is_known((int)op->op_id))
			return RFS_ERR_INVAL;
	for (const struct rfs_op_info *op = info; op->op_id != RFS_OP_END; op++) {
		filter->callback[RFS_PRECALL][op->op_id / 16][op->op_id % 16] = op->pre_cb;
		filter->callback[RFS_POSTCALL][op->op_id / 16][op->op_id % 16] = op->post_cb;
	}
	for (unsigned operation = 0; operation < RFS_OPERATIONS; operation++) {
		wants.pre[operation] = wanted(filter, RFS_PRECALL, operation);
		wants.post[operation] = wanted(filter, RFS_POSTCALL, operation);
	}
	return (enum rfs_err)filter->link->ops->want(filter, &wants);
}

static bool flags_are_known(int flags)
{
	int extent = flags & (RFS_PATH_SINGLE | RFS_PATH_SUBTREE);
	int way = flags & (RFS_PATH_INCLUDE | RFS_PATH_EXCLUDE);

	return (flags & ~15) == 0 && (extent == RFS_PATH_SINGLE || extent == RFS_PATH_SUBTREE) &&
	       (way == RFS_PATH_INCLUDE || way == RFS_PATH_EXCLUDE);
}

enum rfs_err rfs_set_path(rfs_filter handle, struct rfs_path_info *info)
{
	struct urfs_filter *filter = handle;

	if (!filter || !filter->registered || !info || !info->path ||
	    !flags_are_known(info->flags) || strlen(info->path) >= PATH_MAX)
		return RFS_ERR_INVAL;
	return (enum rfs_err)filter->link->ops->set_path(filter, info);
}

enum rfs_err rfs_set_mod_cb(rfs_filter handle, enum rfs_err (*mod_cb)(union rfs_mod *))
{
	struct urfs_filter *filter = handle;

	if (!filter)
		return RFS_ERR_INVAL;
	filter->mod_filter_cb = NULL;
	filter->mod_cb = mod_cb;
	return RFS_ERR_OK;
}

enum rfs_err rfs_set_mod_filter_cb(rfs_filter handle,
				   enum rfs_err (*mod_cb)(rfs_filter, union rfs_mod *))
{
	struct urfs_filter *filter = handle;

	if (!filter)
		return RFS_ERR_INVAL;
	filter->mod_cb = NULL;
	filter->mod_filter_cb = mod_cb;
	return RFS_ERR_OK;
}

enum rfs_err rfs_modify(rfs_filter handle, union rfs_mod *mod)
{
	switch (mod->id) {
	case RFS_ACTIVATE:
		return rfs_activate_filter(handle);
	case RFS_DEACTIVATE:
		return rfs_deactivate_filter(handle);
	case RFS_SET_PATH:
		return rfs_set_path(handle, &mod->set_path.path_info);
	default:
		return RFS_ERR_INVAL;
	}
}

int urfs_filter_modify(struct urfs_filter *filter, union rfs_mod *mod)
{
	enum rfs_err (*with_filter)(rfs_filter, union rfs_mod *) = filter->mod_filter_cb;
	enum rfs_err (*alone)(union rfs_mod *) = filter->mod_cb;

	if (with_filter)
		return with_filter(filter, mod);
	return alone ? (int)alone(mod) : -EOPNOTSUPP;
}

/* --- callbacks ------------------------------------------------------------------------------------ */

static rfs_callback find_callback(struct urfs_filter *filter, enum rfs_op_call call, int id)
{
	_Atomic(rfs_callback) *of = filter->callback[call][id / 16];
	rfs_callback exact = of[id % 16], any = of[RFS_ANY];

	if (exact || any)
		return exact ? exact : any;
	if (id % 16 != RFS_NONE && !is_of_names((unsigned)id / 16))
		return NULL;
	/* Of what is not known yet, or where the type does not matter: whatever there is. */
	for (unsigned type = 0; type < 16; type++) {
		rfs_callback some = of[type];

		if (some)
			return some;
	}
	return NULL;
}

enum rfs_retv urfs_filter_call(struct urfs_filter *filter, struct urfs_context *context,
			       struct rfs_args *args)
{
	rfs_callback callback = find_callback(filter, args->type.call, (int)args->type.id);

	enum rfs_retv retv;

	if (!callback)
		return RFS_CONTINUE;
	retv = callback(context, args);
	/* Who has set rv_int has not set what is above it. All but offsets are ints. */
	if (args->type.id / 16 != RFS_LSEEK)
		args->retv.rv_ssize = args->retv.rv_int;
	return retv == RFS_STOP ? RFS_STOP : RFS_CONTINUE;
}

enum rfs_err rfs_set_private_data(rfs_filter handle, void *private_data)
{
	struct urfs_filter *filter = handle;

	if (!filter)
		return RFS_ERR_INVAL;
	filter->private_data = private_data;
	return RFS_ERR_OK;
}

enum rfs_err rfs_get_context_flt_private_data(rfs_context handle, void **private_data)
{
	struct urfs_context *context = handle;

	if (!context || !private_data)
		return RFS_ERR_INVAL;
	*private_data = context->filter->private_data;
	return RFS_ERR_OK;
}

enum rfs_err rfs_attach_data(rfs_context handle, enum rfs_keep where, void *data,
			     void (*free_cb)(void *), void **exist)
{
	struct urfs_context *context = handle;

	if (!context || !data || (unsigned)where > RFS_KEEP_CALL)
		return RFS_ERR_INVAL;
	return (enum rfs_err)context->ops->attach(context, where, data, free_cb, exist);
}

void *rfs_get_data(rfs_context handle, enum rfs_keep where)
{
	struct urfs_context *context = handle;

	return context && (unsigned)where <= RFS_KEEP_CALL ? context->ops->get(context, where, false)
							   : NULL;
}

void *rfs_detach_data(rfs_context handle, enum rfs_keep where)
{
	struct urfs_context *context = handle;

	return context && (unsigned)where <= RFS_KEEP_CALL ? context->ops->get(context, where, true)
							   : NULL;
}

enum rfs_err rfs_subcall(rfs_context handle, struct rfs_args *args)
{
	struct urfs_context *context = handle;

	if (!context || !args || args->type.call != RFS_PRECALL)
		return RFS_ERR_INVAL;
	if (args->type.id / 16 != RFS_LSEEK)
		args->retv.rv_ssize = args->retv.rv_int;
	return (enum rfs_err)context->ops->subcall(context, args);
}

int rfs_open_file(rfs_context handle)
{
	struct urfs_context *context = handle;

	return context ? context->ops->open_file(context) : -EINVAL;
}

int rfs_caller_exe(const struct rfs_args *args, char *buf, size_t size)
{
	return urfs_exe_read(args->pid, (unsigned)args->type.id / 16, buf, size);
}
