/*
 * udummyflt - the thesis's first demonstration: says what is done, and changes nothing
 *
 * Synopsis:	udummyflt [-o FILE] [-p open|closed|error] [-t MILLISECONDS] DIRECTORY...
 *
 * A line for each operation below the directories, before and after it:
 *
 *	pre REG_FOP_OPEN pid=812 uid=1000 /srv/a
 *	post REG_FOP_OPEN pid=812 uid=1000 /srv/a = 0
 *
 * -p says what becomes of what it cannot be asked about, or does not answer within -t: it is done all the same
 * (open, which is the default), or not (closed: EPERM, error: EIO).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "urfs/filters/common.h"

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

static int policy_of(const char *word, int *ret_policy)
{
	static const struct {
		const char *word;
		int policy;
	} known[] = { { "open", RFS_FAIL_OPEN }, { "closed", RFS_FAIL_CLOSED }, { "error", -EIO } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(word, known[i].word) == 0) {
			*ret_policy = known[i].policy;
			return 0;
		}
	return -EINVAL;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = {
		.name = "udummyflt", .priority = 500000000, .active = 1, .policy = RFS_FAIL_OPEN
	};
	struct rfs_op_info operations[RFS_OPERATIONS + 1];
	int c;

	out = stdout;
	optind = 0; /* this program's, or that which has loaded us, may have used it */
	while ((c = getopt(argc, argv, "o:p:t:")) != -1) {
		if (c == 'o' && !(out = fopen(optarg, "ae")))
			return -errno;
		if (c == 't')
			info.deadline_ms = (unsigned)strtoul(optarg, NULL, 10);
		if (c == '?' || (c == 'p' && policy_of(optarg, &info.policy) < 0))
			return -EINVAL;
	}
	for (int i = 0; i < RFS_OPERATIONS; i++)
		operations[i] =
			(struct rfs_op_info){ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, i), show, show };
	operations[RFS_OPERATIONS].op_id = RFS_OP_END;
	return filter_begin(conn, &info, operations, argc - optind, argv + optind);
}

RFS_MAIN(start)
