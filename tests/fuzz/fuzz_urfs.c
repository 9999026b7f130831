/*
 * What the ends of liburfs's wire are sent: each message is checked before anything looks at it,
 * and then is what it says. The first byte says at which end it comes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "urfs/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte that a string has, and every argument: in a message that has passed, all of it lies inside. */
static void use_call(const struct uw_call *call)
{
	_Alignas(8) static uint8_t room[UW_CALL_MAX];
	struct uw_call *again = (struct uw_call *)room;
	struct rfs_args args;

	uw_call_get(call, room, &args);
	if (call->slot != UW_NO_SLOT && args.type.id / 16 == RFS_WRITE && !call->post &&
	    args.args.f_write.count > UW_SLOT_SIZE)
		abort();
	if (strlen(args.path) + 1 != call->path_size || strlen(args.path2) + 1 != call->path2_size)
		abort();
	/* There and back. */
	if (uw_call_put(&args, again) < 0)
		abort();
	if (again->path_size != call->path_size || again->op_id != call->op_id ||
	    again->result != call->result)
		abort();
	again->slot = call->slot;
	again->data_size = call->data_size;
	again->filter = call->filter;
	if (uw_check(UW_CHANNEL_TO_FILTER, again, again->head.size) != UW_CALL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uw_head *head;
	int type;

	if (size < 1 + sizeof(*head))
		return 0;
	head = malloc(size - 1);
	if (!head)
		return 0;
	memcpy(head, data + 1, size - 1);
	if ((data[0] & 4) != 0)
		head->size = (uint32_t)(size - 1);
	type = uw_check((enum uw_side)(data[0] & 3), head, size - 1);
	if (type == UW_CALL)
		use_call((const struct uw_call *)head);
	if (type == UW_REGISTER || type == UW_PATH)
		if (strlen(((const struct uw_command *)head)->text) + 1 !=
		    ((const struct uw_command *)head)->text_size)
			abort();
	free(head);
	return 0;
}
