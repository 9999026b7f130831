#include "urfs/filters/common.h"

#include <stdio.h>

const char *filter_show(const char *text, char out[FILTER_SHOWN])
{
	size_t n = 0;

	for (; *text && n < FILTER_SHOWN - 5; text++)
		if (*text > ' ' && *text < 0x7f && *text != '\\')
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, 5, "\\%03o", (unsigned char)*text);
	out[n] = '\0';
	return out;
}

int filter_begin(struct urfs_conn *conn, struct rfs_filter_info *info,
		 struct rfs_op_info *operations, int n, char *const *dirs)
{
	rfs_filter filter = NULL;
	int r = urfs_filter_alloc(&filter, conn);

	if (r == 0)
		r = rfs_register_filter(&filter, info);
	if (r == 0)
		r = rfs_set_operations(filter, operations);
	if (r == 0)
		r = rfs_set_mod_filter_cb(filter, rfs_modify);
	for (int i = 0; i < n && r == 0; i++) {
		struct rfs_path_info path = { dirs[i], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };

		r = rfs_set_path(filter, &path);
	}
	return r;
}
