/*
 * args - a call as a filter sees it, and what it leaves there
 */
#ifndef RD_ARGS_H
#define RD_ARGS_H

#include <pipesfs/urfs.h>

#include "redir/hook.h"

/*
 * Strings are borrowed from the call; the bytes are `data` (of a WRITE before, a READ after it,
 * room for them before it), or none.
 */
void rd_args_fill(const struct rd_ask *ask, uint8_t *data, struct rfs_args *ret_args);
/* The bytes that count when the filter is asked: 0 for what has none. */
size_t rd_args_data_size(const struct rd_ask *ask);
/*
 * The result, and the attributes where they count. -EINVAL: no operation returns that; nothing was taken.
 */
int rd_args_take(struct rd_ask *ask, const struct rfs_args *args);

#endif
