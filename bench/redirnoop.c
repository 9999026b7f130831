/*
 * redirnoop - a file filter that is asked before each open of a regular file, and says nothing to it
 *
 *	redirnoop DIRECTORY...
 */
#include <stddef.h>

#include <pipesfs/urfs.h>

static enum rfs_retv before(rfs_context context, struct rfs_args *args)
{
	(void)context;
	(void)args;
	return RFS_CONTINUE;
}

static struct rfs_op_info operations[] = {
	{ RFS_REG_FOP_OPEN, before, NULL },
	{ RFS_OP_END, NULL, NULL },
};

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = { .name = "redirnoop", .priority = 500000000, .active = 1 };
	rfs_filter filter;
	int r = urfs_filter_alloc(&filter, conn);

	if (r == 0)
		r = rfs_register_filter(&filter, &info);
	if (r == 0)
		r = rfs_set_operations(filter, operations);
	for (int i = 1; i < argc && r == 0; i++) {
		struct rfs_path_info path = { argv[i], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };

		r = rfs_set_path(filter, &path);
	}
	return r;
}

RFS_MAIN(start)
