/*
 * scrambleflt - the thesis's demonstration: files are kept with the halves of each byte swapped
 *
 * Synopsis:	scrambleflt DIRECTORY...
 *
 * What is written below the directories lies there scrambled, and is read as it was written. A byte's place
 * does not matter, so any offset and length, truncation and holes are right: a hole reads as zeros, whose
 * halves are alike.
 */
#include <stdio.h>

#include "urfs/filters/common.h"

static void swap(char *bytes, size_t n)
{
	unsigned char *p = (unsigned char *)bytes;

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(p[i] << 4 | p[i] >> 4);
}

static enum rfs_retv before_write(rfs_context context, struct rfs_args *args)
{
	(void)context;
	if (args->args.f_write.buf)
		swap(args->args.f_write.buf, args->args.f_write.count);
	return RFS_CONTINUE;
}

static enum rfs_retv after_read(rfs_context context, struct rfs_args *args)
{
	(void)context;
	if (args->args.f_read.buf && args->retv.rv_ssize > 0)
		swap(args->args.f_read.buf, (size_t)args->retv.rv_ssize);
	return RFS_CONTINUE;
}

/*
 * From one file to another: what is there is scrambled already. Where only one of them is, it has
 * to go by read and write.
 */
static enum rfs_retv before_copy(rfs_context context, struct rfs_args *args)
{
	(void)context;
	args->retv.rv_ssize = -EXDEV;
	return RFS_STOP;
}

static struct rfs_op_info operations[] = {
	{ RFS_REG_FOP_WRITE, before_write, NULL },
	{ RFS_REG_FOP_READ, NULL, after_read },
	{ RFS_REG_FOP_COPY_FILE_RANGE, before_copy, NULL },
	{ RFS_OP_END, NULL, NULL },
};

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = { .name = "scrambleflt", .priority = 1900000000, .active = 1 };

	return filter_begin(conn, &info, operations, argc - 1, argv + 1);
}

RFS_MAIN(start)
