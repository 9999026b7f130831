/*
 * data - memory for the bytes of READ and WRITE
 *
 * Where one filter in another process is the only one of a chain that wants data, the bytes are
 * in a slot of the memory shared with it, and nobody copies them. Else, and when its slots are
 * taken, they are in memory of our own, and a filter in another process gets a copy. That process
 * may change its slots at any time: nothing in them is to be trusted, or read twice.
 */
#ifndef RD_DATA_H
#define RD_DATA_H

#include "base/base.h"

struct rd_chain;

struct rd_data {
	uint8_t *bytes; /* NULL: none */
	size_t size;
	/* Where it goes back to; data.c's. home is NULL for memory of our own. */
	void *home;
	uint32_t slot;
};

#define RD_DATA_MAX ((size_t)1 << 20) /* of one call: FUSE's largest request */

/* For a READ or WRITE of size <= RD_DATA_MAX bytes with this chain. Any thread. -ENOMEM, -EINVAL. */
int rd_data_get(const struct rd_chain *chain, size_t size, struct rd_data *ret_data);
void rd_data_put(struct rd_data *data);

#endif
