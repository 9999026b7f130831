#include "urfs/wire.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"

static const uint8_t side_of[] = {
	[UW_HELLO] = 1 << UW_CONTROL_FROM_FILTER,      [UW_REGISTER] = 1 << UW_CONTROL_FROM_FILTER,
	[UW_UNREGISTER] = 1 << UW_CONTROL_FROM_FILTER, [UW_ACTIVATE] = 1 << UW_CONTROL_FROM_FILTER,
	[UW_WANT] = 1 << UW_CONTROL_FROM_FILTER,       [UW_PATH] = 1 << UW_CONTROL_FROM_FILTER,
	[UW_READY] = 1 << UW_CONTROL_FROM_FILTER,      [UW_MODIFIED] = 1 << UW_CONTROL_FROM_FILTER,
	[UW_REPLY] = 1 << UW_CONTROL_TO_FILTER,	       [UW_CHANNEL] = 1 << UW_CONTROL_TO_FILTER,
	[UW_MODIFY] = 1 << UW_CONTROL_TO_FILTER,       [UW_CALL] = 1 << UW_CHANNEL_TO_FILTER,
	[UW_SUBDONE] = 1 << UW_CHANNEL_TO_FILTER,      [UW_FORGET] = 1 << UW_CHANNEL_TO_FILTER,
	[UW_ANSWER] = 1 << UW_CHANNEL_FROM_FILTER,     [UW_SUBCALL] = 1 << UW_CHANNEL_FROM_FILTER,
	[UW_OPEN] = 1 << UW_CHANNEL_FROM_FILTER,       [UW_OPENED] = 1 << UW_CHANNEL_TO_FILTER,
};

/* n bytes that end with their only NUL. */
static bool is_string(const char *text, size_t n)
{
	return n > 0 && memchr(text, '\0', n) == text + n - 1;
}

static bool check_command(const struct uw_command *command, size_t size, bool with_text)
{
	if (size < sizeof(*command) || command->text_size != size - sizeof(*command))
		return false;
	if (command->filter >= URFS_FILTERS_MAX || command->text_size > PATH_MAX)
		return false;
	return with_text ? is_string(command->text, command->text_size)
			 : command->text_size == 0 || is_string(command->text, command->text_size);
}

/* The bytes that a callback may touch lie in what it is given. */
static bool check_bytes(const struct uw_call *call)
{
	unsigned op = call->op_id / 16;

	if (call->slot == UW_NO_SLOT)
		return call->data_size == 0;
	if (call->slot >= UW_SLOTS || call->data_size > UW_SLOT_SIZE)
		return false;
	if (op != RFS_READ && op != RFS_WRITE)
		return true;
	return call->post ? call->result <= (int64_t)call->data_size : call->count <= call->data_size;
}

static bool check_call(const struct uw_call *call, size_t size)
{
	size_t left = size - sizeof(*call);

	if (size < sizeof(*call) || call->path_size > PATH_MAX || call->path2_size > PATH_MAX ||
	    call->name_size > UW_NAME_MAX)
		return false;
	if (left != (size_t)call->path_size + call->path2_size + call->name_size)
		return false;
	if (!is_string(call->text, call->path_size) ||
	    !is_string(call->text + call->path_size, call->path2_size) ||
	    !is_string(call->text + call->path_size + call->path2_size, call->name_size))
		return false;
	if (call->filter >= URFS_FILTERS_MAX || call->op_id >= RFS_OP_ID(0, RFS_OPERATIONS) ||
	    call->post > 1)
		return false;
	return check_bytes(call);
}

int uw_check(enum uw_side side, const void *message, size_t size)
{
	const struct uw_head *head = message;
	bool good = false;

	if (size < sizeof(*head) || head->size != size || head->type >= ARRAY_SIZE(side_of) ||
	    (side_of[head->type] & 1u << side) == 0)
		return -EPROTO;
	switch ((enum uw_type)head->type) {
	case UW_HELLO:
		good = size == sizeof(struct uw_hello);
		break;
	case UW_REGISTER:
	case UW_PATH:
		good = check_command(message, size, true);
		break;
	case UW_UNREGISTER:
	case UW_ACTIVATE:
	case UW_READY:
	case UW_MODIFY:
	case UW_MODIFIED:
		good = check_command(message, size, false);
		break;
	case UW_WANT:
		good = size == sizeof(struct uw_want) &&
		       ((const struct uw_want *)message)->filter < URFS_FILTERS_MAX;
		break;
	case UW_REPLY:
		good = size == sizeof(struct uw_reply) &&
		       memchr(((const struct uw_reply *)message)->text, '\0',
			      sizeof(((const struct uw_reply *)message)->text));
		break;
	case UW_CHANNEL:
		good = size == sizeof(struct uw_channel);
		break;
	case UW_CALL:
		good = check_call(message, size);
		break;
	case UW_FORGET:
		good = size == sizeof(struct uw_forget);
		break;
	case UW_SUBDONE:
	case UW_OPENED:
		good = size == sizeof(struct uw_answer);
		break;
	case UW_ANSWER:
	case UW_SUBCALL:
	case UW_OPEN:
		good = size == sizeof(struct uw_answer) &&
		       ((const struct uw_answer *)message)->verdict <= RFS_CONTINUE;
		break;
	}
	return good ? (int)head->type : -EPROTO;
}

void uw_hello_make(struct uw_hello *hello)
{
	*hello = (struct uw_hello){
		.head = { UW_HELLO, sizeof(*hello) },
		.version = UW_VERSION,
		.call_size = sizeof(struct uw_call),
		.wants_size = sizeof(struct urfs_wants),
	};
}

bool uw_hello_same(const struct uw_hello *hello)
{
	struct uw_hello mine;

	uw_hello_make(&mine);
	return hello->version == mine.version && hello->call_size == mine.call_size &&
	       hello->wants_size == mine.wants_size;
}

static size_t put_string(char *to, const char *text, size_t max)
{
	size_t n = strnlen(text, max) + 1;

	if (n > max)
		return 0;
	memcpy(to, text, n);
	return n;
}

int uw_call_put(const struct rfs_args *args, struct uw_call *call)
{
	unsigned op = (unsigned)args->type.id / 16;
	bool has_name = op == RFS_SETXATTR || op == RFS_GETXATTR || op == RFS_REMOVEXATTR;
	const char *name = has_name && args->args.i_xattr.name ? args->args.i_xattr.name : "";

	call->op_id = (uint32_t)args->type.id;
	call->post = args->type.call == RFS_POSTCALL;
	call->result = args->retv.rv_ssize;
	call->id = args->id;
	call->pid = args->pid;
	call->uid = args->uid;
	call->gid = args->gid;
	call->flags = call->mode = 0;
	call->pos = 0;
	call->count = 0;
	memset(&call->stat, 0, sizeof(call->stat));
	switch (op) {
	case RFS_READ:
	case RFS_WRITE:
		call->pos = args->args.f_read.pos;
		call->count = args->args.f_read.count;
		break;
	case RFS_FALLOCATE:
	case RFS_LSEEK:
	case RFS_COPY_FILE_RANGE:
		call->pos = args->args.f_range.pos;
		call->count = args->args.f_range.count;
		break;
	case RFS_GETATTR:
	case RFS_SETATTR:
		call->stat = args->args.i_attr.stat;
		call->flags = (uint32_t)args->args.i_attr.valid;
		break;
	case RFS_OPEN:
	case RFS_CREATE:
	case RFS_RELEASE:
		call->stat = args->args.f_open.stat;
		call->count = args->args.f_open.generation;
		call->flags = args->args.f_open.flags;
		call->mode = args->args.f_open.mode;
		break;
	default:
		if (!has_name) {
			/* All others begin with one 32-bit word; those that open have a mode behind it. */
			call->flags = args->args.f_open.flags;
			call->mode = args->args.f_open.mode;
		}
		break;
	}
	call->path_size = (uint32_t)put_string(call->text, args->path, PATH_MAX);
	call->path2_size = (uint32_t)put_string(call->text + call->path_size, args->path2, PATH_MAX);
	call->name_size = (uint32_t)put_string(call->text + call->path_size + call->path2_size,
					       name, UW_NAME_MAX);
	if (call->path_size == 0 || call->path2_size == 0 || call->name_size == 0)
		return -ENAMETOOLONG;
	call->head.type = UW_CALL;
	call->head.size =
		(uint32_t)(sizeof(*call) + call->path_size + call->path2_size + call->name_size);
	return 0;
}

void uw_call_get(const struct uw_call *call, uint8_t *data, struct rfs_args *args)
{
	memset(args, 0, sizeof(*args));
	args->type.id = (enum rfs_op_id)call->op_id;
	args->type.call = call->post ? RFS_POSTCALL : RFS_PRECALL;
	args->retv.rv_ssize = call->result;
	args->id = call->id;
	args->pid = call->pid;
	args->uid = call->uid;
	args->gid = call->gid;
	args->path = call->text;
	args->path2 = call->text + call->path_size;
	switch (call->op_id / 16) {
	case RFS_READ:
	case RFS_WRITE:
		args->args.f_read.pos = call->pos;
		args->args.f_read.count = (size_t)call->count;
		args->args.f_read.buf = call->slot != UW_NO_SLOT ? (char *)data : NULL;
		break;
	case RFS_FALLOCATE:
	case RFS_LSEEK:
	case RFS_COPY_FILE_RANGE:
		args->args.f_range.pos = call->pos;
		args->args.f_range.count = call->count;
		break;
	case RFS_GETATTR:
	case RFS_SETATTR:
		args->args.i_attr.stat = call->stat;
		args->args.i_attr.valid = (int)call->flags;
		break;
	case RFS_SETXATTR:
	case RFS_GETXATTR:
	case RFS_REMOVEXATTR:
		args->args.i_xattr.name = call->text + call->path_size + call->path2_size;
		break;
	case RFS_OPEN:
	case RFS_CREATE:
	case RFS_RELEASE:
		args->args.f_open.stat = call->stat;
		args->args.f_open.generation = call->count;
		args->args.f_open.flags = call->flags;
		args->args.f_open.mode = call->mode;
		break;
	default:
		args->args.f_open.flags = call->flags;
		args->args.f_open.mode = call->mode;
		break;
	}
}
