/*
 * udummyflt - the thesis's first demonstration: says what is done, and changes nothing
 *
 * Synopsis:	udummyflt [-o FILE] DIRECTORY...
 *
 * A line for each operation below the directories, before and after it:
 *
 *	pre REG_FOP_OPEN pid=812 uid=1000 /srv/a
 *	post REG_FOP_OPEN pid=812 uid=1000 /srv/a = 0
 */
#include <stdio.h>
#include <string.h>

#include <pipesfs/urfs.h>

static FILE *out;

static enum rfs_retv show(rfs_context context, struct rfs_args *args)
{
	char name[40];

	(void)context;
	if (!rfs_op_name(args->type.id, name, sizeof(name)))
		return RFS_CONTINUE;
	flockfile(out);
	fprintf(out, "%s %s pid=%d uid=%u %s", args->type.call == RFS_PRECALL ? "pre" : "post",
		name, (int)args->pid, (unsigned)args->uid, args->path);
	if (args->path2[0])
		fprintf(out, " %s", args->path2);
	if (args->type.call == RFS_POSTCALL)
		fprintf(out, " = %lld", (long long)args->retv.rv_ssize);
	fputc('\n', out);
	fflush(out);
	funlockfile(out);
	return RFS_CONTINUE;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = {
		.name = "udummyflt", .priority = 500000000, .active = 1, .policy = RFS_FAIL_OPEN
	};
	struct rfs_op_info operations[RFS_OPERATIONS + 1];
	rfs_filter filter;
	int first = 1, r;

	out = stdout;
	if (argc > 2 && strcmp(argv[1], "-o") == 0) {
		out = fopen(argv[2], "ae");
		if (!out)
			return -errno;
		first = 3;
	}
	for (int i = 0; i < RFS_OPERATIONS; i++)
		operations[i] =
			(struct rfs_op_info){ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, i), show, show };
	operations[RFS_OPERATIONS].op_id = RFS_OP_END;
	r = urfs_filter_alloc(&filter, conn);
	if (r == 0)
		r = rfs_register_filter(&filter, &info);
	if (r == 0)
		r = rfs_set_operations(filter, operations);
	for (int i = first; i < argc && r == 0; i++) {
		struct rfs_path_info path = { argv[i], RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };

		r = rfs_set_path(filter, &path);
	}
	return r;
}

RFS_MAIN(start)
