#include "redir/data.h"

#include "redir/chain_i.h"

/* The one filter of the chain that wants bytes; NULL: none, or several. */
static struct rd_filter *only_one(const struct rd_chain *chain)
{
	struct rd_filter *one = NULL;

	for (size_t i = 0; i < chain->n; i++) {
		const struct rd_wants *wants = &chain->entry[i].wants;

		if (!rd_mask_has(wants->post[RD_READ] | wants->pre[RD_WRITE], S_IFREG))
			continue;
		if (one)
			return NULL;
		one = chain->entry[i].filter;
	}
	return one;
}

int rd_data_get(const struct rd_chain *chain, size_t size, struct rd_data *ret_data)
{
	struct rd_filter *filter = only_one(chain);
	struct rd_hook *hook = filter ? rd_filter_hook(filter) : NULL;
	void *bytes;

	if (size > RD_DATA_MAX) {
		rd_hook_unref(hook);
		return -EINVAL;
	}
	if (hook && hook->ops->data_get && hook->ops->data_get(hook, size, ret_data)) {
		ret_data->home = hook; /* with the reference */
		return 0;
	}
	rd_hook_unref(hook);
	bytes = malloc(size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	*ret_data = (struct rd_data){ .bytes = bytes, .size = size };
	return 0;
}

void rd_data_put(struct rd_data *data)
{
	struct rd_hook *hook = data->home;

	if (hook) {
		hook->ops->data_put(hook, data);
		rd_hook_unref(hook);
	} else {
		free(data->bytes);
	}
	*data = (struct rd_data){ 0 };
}
