#include "redir/args.h"

#include "urfs/filter.h"

#define OP(name, names, data, about) \
	static_assert((int)RD_##name == (int)RFS_##name, "urfs.h and ops.def");
#include "redir/ops.def"
#undef OP
static_assert((int)RD_OPS == (int)RFS_OPERATIONS, "urfs.h and ops.def");
static_assert(sizeof(struct urfs_wants) == sizeof(struct rd_wants), "the same");
static_assert((int)RD_KEEP_CALL == (int)RFS_KEEP_CALL && (int)RD_KEEP_FILE == (int)RFS_KEEP_FILE,
	      "the same");

static int op_type(const struct rd_call *call)
{
	switch (call->op) {
	case RD_LOOKUP:
	case RD_MKNOD:
	case RD_MKDIR:
	case RD_UNLINK:
	case RD_RMDIR:
	case RD_SYMLINK:
	case RD_RENAME:
	case RD_LINK:
	case RD_CREATE:
	case RD_OPENDIR:
	case RD_READDIR:
	case RD_RELEASEDIR:
	case RD_FSYNCDIR:
		return RFS_DIR;
	default:
		return (int)((call->type & S_IFMT) >> 12);
	}
}

size_t rd_args_data_size(const struct rd_ask *ask)
{
	const struct rd_call *call = ask->call;

	if (!call->data.bytes)
		return 0;
	if (call->op == RD_WRITE && !ask->post)
		return call->arg.io.size < call->data.size ? (size_t)call->arg.io.size
							   : call->data.size;
	if (call->op == RD_READ && ask->post && call->result > 0)
		return (size_t)call->result < call->data.size ? (size_t)call->result : call->data.size;
	return 0;
}

void rd_args_fill(const struct rd_ask *ask, uint8_t *data, struct rfs_args *args)
{
	const struct rd_call *call = ask->call;

	memset(args, 0, sizeof(*args));
	args->type.id = (enum rfs_op_id)RFS_OP_ID(op_type(call), (int)call->op);
	args->type.call = ask->post ? RFS_POSTCALL : RFS_PRECALL;
	args->retv.rv_ssize = call->result;
	args->path = call->path ? call->path : "";
	args->path2 = call->path2 ? call->path2 : "";
	args->pid = call->caller.pid;
	args->uid = call->caller.uid;
	args->gid = call->caller.gid;
	args->id = (uint64_t)(uintptr_t)call ^ call->start << 16;
	switch (call->op) {
	case RD_OPEN:
	case RD_CREATE:
	case RD_OPENDIR:
	case RD_MKDIR:
	case RD_MKNOD:
	case RD_RELEASE:
		args->args.f_open.flags = call->arg.open.flags;
		args->args.f_open.mode = call->arg.open.mode;
		args->args.f_open.stat = call->arg.open.stat;
		args->args.f_open.generation = call->arg.open.generation;
		break;
	case RD_READ:
	case RD_WRITE:
		args->args.f_read.buf = rd_args_data_size(ask) > 0 ? (char *)data : NULL;
		args->args.f_read.count = (size_t)call->arg.io.size;
		args->args.f_read.pos = (int64_t)call->arg.io.offset;
		break;
	case RD_FALLOCATE:
	case RD_LSEEK:
	case RD_COPY_FILE_RANGE:
		args->args.f_range.pos = (int64_t)call->arg.io.offset;
		args->args.f_range.count = call->arg.io.size;
		break;
	case RD_GETATTR:
	case RD_SETATTR:
		args->args.i_attr.stat = call->arg.attr.stat;
		args->args.i_attr.valid = call->arg.attr.valid;
		break;
	case RD_ACCESS:
		args->args.i_permission.mask = call->arg.access.mask;
		break;
	case RD_RENAME:
		args->args.i_rename.flags = call->arg.rename.flags;
		break;
	case RD_SETXATTR:
	case RD_GETXATTR:
	case RD_REMOVEXATTR:
		args->args.i_xattr.name = call->arg.xattr.name;
		break;
	case RD_LOCK:
		args->args.f_lock.cmd = call->arg.lock.cmd;
		break;
	case RD_IOCTL:
		args->args.f_ioctl.cmd = call->arg.ioctl.cmd;
		break;
	default:
		break;
	}
}

int rd_args_take(struct rd_ask *ask, const struct rfs_args *args)
{
	struct rd_call *call = ask->call;
	int64_t result = args->retv.rv_ssize;

	if (result < -4095)
		return -EINVAL;
	/* Bytes that there is no room for, or that nobody has written. */
	if ((call->op == RD_READ || call->op == RD_WRITE) && result > (int64_t)call->arg.io.size)
		return -EINVAL;
	if (call->op == RD_READ && result > 0 &&
	    (!call->data.bytes || (size_t)result > call->data.size))
		return -EINVAL;
	call->result = result;
	if ((call->op == RD_GETATTR && ask->post) || (call->op == RD_SETATTR && !ask->post))
		call->arg.attr.stat = args->args.i_attr.stat;
	return 0;
}
