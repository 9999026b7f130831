/*
 * accessflt - who may do what with which files, by rules: extended access control
 *
 * Synopsis:	accessflt [-p PRIORITY] [-n NAME] -r RULES [DIRECTORY...]
 *
 * Without directories it judges nothing until redirctl(8) gives it paths.
 *
 * RULES is a file (accessflt(8) has its language). It is looked at again when it has changed, at most once a second and
 * only when something is done: then all of it is taken, or, when a line is wrong, nothing, and the old rules stay. What
 * was wrong, and what rules with `log` decide, is said in syslog (authpriv).
 *
 * It denies more, never less: what the modes and owners of files forbid stays forbidden. Judged is what is done by
 * name or opened; who has a file open already goes on. A file that has lost its name has an empty path.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <pipesfs/urfs.h>

#include "urfs/access.h"
#include "urfs/filters/common.h"

#define EXEC_FLAG 040 /* the kernel's __FMODE_EXEC among the flags of an open */
#define SIZE_VALID 8  /* FUSE_SET_ATTR_SIZE */
#define EXCHANGE 2    /* RENAME_EXCHANGE */

static struct {
	struct urfs_conn conn; /* a copy, for urfs_say() */
	char file[4096];
	pthread_rwlock_t lock;
	struct access_rules *rules; /* lock */
	struct stat seen;	    /* lock, and only by whoever has `looking` */
	_Atomic time_t looked;	    /* s, monotonic */
	atomic_flag looking;
} state = { .lock = PTHREAD_RWLOCK_INITIALIZER, .looking = ATOMIC_FLAG_INIT };

/* --- the rules, as of now ---------------------------------------------------------------------------- */

static int take_rules(char error[ACCESS_ERROR_SIZE])
{
	struct access_rules *rules, *old;
	int r = access_rules_load(state.file, &rules, error);

	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&state.lock);
	old = state.rules;
	state.rules = rules;
	pthread_rwlock_unlock(&state.lock);
	access_rules_free(old);
	return 0;
}

static int same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void tell(const char *file, const char *what, const char *more)
{
	char sentence[ACCESS_ERROR_SIZE + sizeof(state.file) + 64];

	snprintf(sentence, sizeof(sentence), "accessflt: %s: %s%s", file, what, more);
	urfs_say(&state.conn, sentence);
}

/* A file that is not there at the moment is being replaced, or was lost: the rules stay. */
static void look_again(void)
{
	char error[ACCESS_ERROR_SIZE] = "";
	struct timespec now;
	struct stat st;
	int r;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == state.looked || atomic_flag_test_and_set(&state.looking))
		return;
	state.looked = now.tv_sec;
	if (stat(state.file, &st) == 0 && !same_file(&st, &state.seen)) {
		state.seen = st;
		r = take_rules(error);
		if (r < 0) {
			syslog(LOG_AUTHPRIV | LOG_ERR, "%s: %s; the rules before it stay",
			       state.file, error[0] ? error : strerror(-r));
			tell(state.file, error[0] ? error : strerror(-r), "; the rules before it stay");
		} else {
			syslog(LOG_AUTHPRIV | LOG_NOTICE, "%s: %zu rules", state.file,
			       access_rules_count(state.rules));
		}
	}
	atomic_flag_clear(&state.looking);
}

/* --- deciding --------------------------------------------------------------------------------------------- */

static void say(const struct rfs_args *args, const struct access_request *request,
		struct access_verdict verdict)
{
	char path[FILTER_SHOWN], exe[FILTER_SHOWN];
	const char *name = verdict.error ? strerrorname_np(verdict.error) : NULL;

	syslog(LOG_AUTHPRIV | LOG_NOTICE, "%s%s%s op=%s uid=%u pid=%d exe=%s path=%s line=%u",
	       verdict.error ? "deny" : "allow", name ? "=" : "", name ? name : "",
	       access_op_names[request->op], (unsigned)request->uid, (int)args->pid,
	       filter_show(request->exe, exe), filter_show(request->path, path), verdict.line);
}

/* 0, or the errno with which it is denied. */
static int judge(const struct rfs_args *args, const char *exe, const char *path, unsigned ops)
{
	int error = 0;

	for (int op = 0; op < ACCESS_OPS && !error; op++) {
		struct access_request request = { args->uid, args->gid, exe, path, (enum access_op)op };
		struct access_verdict verdict;

		if (!(ops & 1u << op))
			continue;
		verdict = access_decide(state.rules, &request);
		if (verdict.log)
			say(args, &request, verdict);
		error = verdict.error;
	}
	return error;
}

#define OP(name) (1u << ACCESS_##name)

static unsigned open_ops(uint32_t flags)
{
	unsigned ops = flags & O_TRUNC ? OP(WRITE) : 0;

	if (flags & EXEC_FLAG)
		return ops | OP(EXEC);
	if ((flags & O_ACCMODE) != O_WRONLY)
		ops |= OP(READ);
	if ((flags & O_ACCMODE) != O_RDONLY)
		ops |= OP(WRITE);
	return ops;
}

/* What is done with the first path, and with the second. */
static void ops_of(const struct rfs_args *args, unsigned *ret_one, unsigned *ret_two)
{
	const union rfs_op_args *a = &args->args;
	unsigned one = 0, two = 0;

	switch (RFS_OP_ID_OPERATION(args->type.id)) {
	case RFS_OPEN:
		one = open_ops(a->f_open.flags);
		break;
	case RFS_CREATE:
		one = OP(CREATE) | open_ops(a->f_open.flags);
		break;
	case RFS_MKNOD:
	case RFS_MKDIR:
	case RFS_SYMLINK:
		one = OP(CREATE);
		break;
	case RFS_LINK:
		two = OP(CREATE);
		break;
	case RFS_RENAME:
		one = OP(REMOVE) | (a->i_rename.flags & EXCHANGE ? OP(CREATE) : 0);
		two = OP(CREATE) | (a->i_rename.flags & EXCHANGE ? OP(REMOVE) : 0);
		break;
	case RFS_UNLINK:
	case RFS_RMDIR:
		one = OP(REMOVE);
		break;
	case RFS_OPENDIR:
		one = OP(LIST);
		break;
	case RFS_SETATTR:
		one = (a->i_attr.valid & SIZE_VALID ? OP(WRITE) : 0) |
		      (a->i_attr.valid & ~SIZE_VALID ? OP(ATTR) : 0);
		break;
	case RFS_SETXATTR:
	case RFS_REMOVEXATTR:
		one = OP(ATTR);
		break;
	case RFS_FALLOCATE:
		one = OP(WRITE);
		break;
	case RFS_COPY_FILE_RANGE:
		two = OP(WRITE);
		break;
	default:
		break;
	}
	*ret_one = one;
	*ret_two = two;
}

static enum rfs_retv decide(rfs_context context, struct rfs_args *args)
{
	char exe[4096] = "";
	unsigned one, two;
	int error;

	(void)context;
	look_again();
	ops_of(args, &one, &two);
	pthread_rwlock_rdlock(&state.lock);
	if (access_rules_want_exe(state.rules) && rfs_caller_exe(args, exe, sizeof(exe)) < 0)
		exe[0] = '\0';
	error = judge(args, exe, args->path, one);
	if (!error)
		error = judge(args, exe, args->path2, two);
	pthread_rwlock_unlock(&state.lock);
	if (!error)
		return RFS_CONTINUE;
	args->retv.rv_ssize = -error;
	return RFS_STOP;
}

/* --- the filter ------------------------------------------------------------------------------------------------ */

static const enum rfs_operation judged[] = {
	RFS_OPEN,    RFS_CREATE,   RFS_MKNOD,	    RFS_MKDIR,	   RFS_SYMLINK,
	RFS_LINK,    RFS_RENAME,   RFS_UNLINK,	    RFS_RMDIR,	   RFS_OPENDIR,
	RFS_SETATTR, RFS_SETXATTR, RFS_REMOVEXATTR, RFS_FALLOCATE, RFS_COPY_FILE_RANGE,
};
#define JUDGED (sizeof(judged) / sizeof(judged[0]))

static int usage(void)
{
	urfs_say(&state.conn, "usage: accessflt [-p PRIORITY] [-n NAME] -r RULES [DIRECTORY...]");
	return -EINVAL;
}

static bool to_priority(const char *text, int *ret_priority)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || *end || end == text || value < 0 || value > INT_MAX)
		return false;
	*ret_priority = (int)value;
	return true;
}

static int begin_rules(const char *file)
{
	char error[ACCESS_ERROR_SIZE] = "";
	int r;

	if (strlen(file) >= sizeof(state.file))
		return -ENAMETOOLONG;
	memcpy(state.file, file, strlen(file) + 1);
	r = stat(file, &state.seen) < 0 ? -errno : take_rules(error);
	if (r < 0)
		tell(file, r == -EINVAL && error[0] ? error : strerror(-r), "");
	return r;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = {
		.name = "accessflt", .priority = 870000000, .active = 1, .policy = RFS_FAIL_CLOSED
	};
	struct rfs_op_info operations[JUDGED + 1];
	const char *rules = NULL;
	int at = 1, r;

	state.conn = *conn;
	for (; at + 1 < argc && argv[at][0] == '-'; at += 2)
		if (!strcmp(argv[at], "-r"))
			rules = argv[at + 1];
		else if (!strcmp(argv[at], "-n"))
			info.name = argv[at + 1];
		else if (strcmp(argv[at], "-p") != 0 || !to_priority(argv[at + 1], &info.priority))
			return usage();
	if (!rules || (at < argc && argv[at][0] == '-'))
		return usage();
	openlog("accessflt", LOG_PID, LOG_AUTHPRIV);
	r = begin_rules(rules);
	for (size_t i = 0; i < JUDGED; i++)
		operations[i] = (struct rfs_op_info){ (enum rfs_op_id)RFS_OP_ID(RFS_ANY, judged[i]),
						      decide, NULL };
	operations[JUDGED] = (struct rfs_op_info){ .op_id = RFS_OP_END };
	return r < 0 ? r : filter_begin(conn, &info, operations, argc - at, argv + at);
}

/* The shared object goes: nobody is in it. */
__attribute__((destructor)) static void finish(void)
{
	access_rules_free(state.rules);
	state.rules = NULL;
}

RFS_MAIN(start)
