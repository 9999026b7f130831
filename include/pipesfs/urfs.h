/*
 * urfs - file filters: callbacks before and after what is done in a redirected tree
 *
 * The names and their meaning are RedirFS's; what is new is said so. One source makes both
 *
 *	a program	cc flt.c -o flt $(pkg-config --cflags --libs liburfs)
 *			a process of its own; its death or its mistakes end no other
 *	a shared object	cc -shared -fPIC -DRFS_MODULE flt.c -o flt.so $(pkg-config --cflags liburfs)
 *			loaded by `pipesfs redirect --load`, called without a switch of processes
 *
 * when it gives its beginning to RFS_MAIN():
 *
 *	static enum rfs_retv on_open(rfs_context context, struct rfs_args *args)
 *	{
 *		if (!strstr(args->path, "secret"))
 *			return RFS_CONTINUE;
 *		args->retv.rv_int = -EACCES;
 *		return RFS_STOP;
 *	}
 *
 *	static struct rfs_op_info ops[] = { { RFS_REG_FOP_OPEN, on_open, NULL }, { RFS_OP_END, NULL, NULL } };
 *	static struct rfs_filter_info info = { "secret", 850000000, 1 };
 *
 *	static int start(struct urfs_conn *conn, int argc, char **argv)
 *	{
 *		rfs_filter filter;
 *		struct rfs_path_info path = { "/srv", RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
 *
 *		return urfs_filter_alloc(&filter, conn) || rfs_register_filter(&filter, &info) ||
 *		       rfs_set_operations(filter, ops) || rfs_set_path(filter, &path);
 *	}
 *	RFS_MAIN(start)
 *
 * Order: filters have unique priorities. Callbacks before an operation (pre) come in ascending,
 * those after it (post) in descending order. A pre that returns RFS_STOP gives the result in
 * args->retv; neither filters of higher priority nor the operation follow, but the posts of those
 * whose pre was called do, its own among them. What a post leaves in args->retv and in the data
 * is what the caller gets; its return value means nothing.
 *
 * Threads: callbacks come on several threads at the same time, in a program on those of
 * urfs_main(). All functions may be called on any thread, in callbacks, too, but for urfs_main(),
 * urfs_close() and rfs_unregister_filter(). A filter is never asked about what its own process,
 * or a child of that, does.
 *
 * Time: a callback has the filter's deadline (5 s). What is late, or dies, ends as the filter's
 * policy says.
 *
 * Functions return 0 or a negative errno value.
 */
#ifndef PIPESFS_URFS_H
#define PIPESFS_URFS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rfs_err {
	RFS_ERR_OK = 0,
	RFS_ERR_INVAL = -EINVAL,
	RFS_ERR_NOMEM = -ENOMEM,
	RFS_ERR_NOENT = -ENOENT,
	RFS_ERR_EXIST = -EEXIST,	 /* the name or the priority is another filter's */
	RFS_ERR_NODEV = -ENODEV,	 /* no such filter, or the connection has ended */
	RFS_ERR_OPNOTSUPP = -EOPNOTSUPP, /* no modifier callback */
	RFS_ERR_PERM = -EPERM,
	RFS_ERR_AGAIN = -EAGAIN
};

enum rfs_retv { RFS_STOP, RFS_CONTINUE };

/* --- operations ------------------------------------------------------------------------------ */

/* What is done. The numbers never change. */
enum rfs_operation {
	RFS_LOOKUP,
	RFS_GETATTR,
	RFS_SETATTR,
	RFS_READLINK,
	RFS_MKNOD,
	RFS_MKDIR,
	RFS_UNLINK,
	RFS_RMDIR,
	RFS_SYMLINK,
	RFS_RENAME,
	RFS_LINK,
	RFS_OPEN,
	RFS_CREATE,
	RFS_READ,
	RFS_WRITE,
	RFS_FLUSH,
	RFS_RELEASE,
	RFS_FSYNC,
	RFS_OPENDIR,
	RFS_READDIR,
	RFS_RELEASEDIR,
	RFS_FSYNCDIR,
	RFS_STATFS,
	RFS_SETXATTR,
	RFS_GETXATTR,
	RFS_LISTXATTR,
	RFS_REMOVEXATTR,
	RFS_ACCESS,
	RFS_LOCK,
	RFS_FALLOCATE,
	RFS_COPY_FILE_RANGE,
	RFS_LSEEK,
	RFS_IOCTL,
	RFS_OPERATIONS
};

/* To what: S_IFMT >> 12. NONE: it is not there, or not known yet; ANY is new and matches all. */
enum rfs_type {
	RFS_NONE = 0,
	RFS_FIFO = 1,
	RFS_CHR = 2,
	RFS_DIR = 4,
	RFS_BLK = 6,
	RFS_REG = 8,
	RFS_LNK = 10,
	RFS_SOCK = 12,
	RFS_ANY = 15
};

#define RFS_OP_ID(type, operation) ((operation)*16 + (type))
#define RFS_OP_ID_OPERATION(id) ((enum rfs_operation)((id) / 16))
#define RFS_OP_ID_TYPE(id) ((enum rfs_type)((id) % 16))

#define RFS_OF_FILES_(set, name, operation)                 \
	RFS_FIFO_##set##_##name = RFS_OP_ID(1, operation),  \
	RFS_CHR_##set##_##name = RFS_OP_ID(2, operation),   \
	RFS_BLK_##set##_##name = RFS_OP_ID(6, operation),   \
	RFS_REG_##set##_##name = RFS_OP_ID(8, operation),   \
	RFS_LNK_##set##_##name = RFS_OP_ID(10, operation),  \
	RFS_SOCK_##set##_##name = RFS_OP_ID(12, operation), \
	RFS_ANY_##set##_##name = RFS_OP_ID(15, operation)
#define RFS_OF_ALL_(set, name, operation)                  \
	RFS_NONE_##set##_##name = RFS_OP_ID(0, operation), \
	RFS_DIR_##set##_##name = RFS_OP_ID(4, operation), RFS_OF_FILES_(set, name, operation)

/* <type>_<set>_<operation>, as RedirFS has them. Those on names are of the directory. */
enum rfs_op_id {
	RFS_OP_END = -1,
	RFS_DIR_IOP_LOOKUP = RFS_OP_ID(4, RFS_LOOKUP),
	RFS_DIR_IOP_MKNOD = RFS_OP_ID(4, RFS_MKNOD),
	RFS_DIR_IOP_MKDIR = RFS_OP_ID(4, RFS_MKDIR),
	RFS_DIR_IOP_UNLINK = RFS_OP_ID(4, RFS_UNLINK),
	RFS_DIR_IOP_RMDIR = RFS_OP_ID(4, RFS_RMDIR),
	RFS_DIR_IOP_SYMLINK = RFS_OP_ID(4, RFS_SYMLINK),
	RFS_DIR_IOP_RENAME = RFS_OP_ID(4, RFS_RENAME),
	RFS_DIR_IOP_LINK = RFS_OP_ID(4, RFS_LINK),
	RFS_DIR_IOP_CREATE = RFS_OP_ID(4, RFS_CREATE),
	RFS_DIR_FOP_OPEN = RFS_OP_ID(4, RFS_OPENDIR),
	RFS_DIR_FOP_READDIR = RFS_OP_ID(4, RFS_READDIR),
	RFS_DIR_FOP_RELEASE = RFS_OP_ID(4, RFS_RELEASEDIR),
	RFS_DIR_FOP_FSYNC = RFS_OP_ID(4, RFS_FSYNCDIR),
	RFS_LNK_IOP_READLINK = RFS_OP_ID(10, RFS_READLINK),
	RFS_OF_FILES_(FOP, OPEN, RFS_OPEN),
	RFS_OF_FILES_(FOP, RELEASE, RFS_RELEASE),
	RFS_OF_FILES_(FOP, FLUSH, RFS_FLUSH),
	RFS_OF_FILES_(FOP, READ, RFS_READ),
	RFS_OF_FILES_(FOP, WRITE, RFS_WRITE),
	RFS_OF_FILES_(FOP, FSYNC, RFS_FSYNC),
	RFS_OF_FILES_(FOP, LLSEEK, RFS_LSEEK),
	RFS_OF_FILES_(FOP, FALLOCATE, RFS_FALLOCATE),
	RFS_OF_FILES_(FOP, COPY_FILE_RANGE, RFS_COPY_FILE_RANGE),
	RFS_OF_ALL_(FOP, LOCK, RFS_LOCK),
	RFS_OF_ALL_(FOP, IOCTL, RFS_IOCTL),
	RFS_OF_ALL_(IOP, GETATTR, RFS_GETATTR),
	RFS_OF_ALL_(IOP, SETATTR, RFS_SETATTR),
	RFS_OF_ALL_(IOP, PERMISSION, RFS_ACCESS),
	RFS_OF_ALL_(IOP, STATFS, RFS_STATFS),
	RFS_OF_ALL_(IOP, SETXATTR, RFS_SETXATTR),
	RFS_OF_ALL_(IOP, GETXATTR, RFS_GETXATTR),
	RFS_OF_ALL_(IOP, LISTXATTR, RFS_LISTXATTR),
	RFS_OF_ALL_(IOP, REMOVEXATTR, RFS_REMOVEXATTR)
};

enum rfs_op_call { RFS_PRECALL, RFS_POSTCALL };

struct rfs_op_type {
	enum rfs_op_id id; /* with the type of the file, never ANY */
	enum rfs_op_call call;
};

union rfs_op_args {
	struct {
		uint32_t flags; /* O_... */
		mode_t mode;
		/*
		 * New: after OPEN, CREATE and RELEASE, of the file, as it lies below; zeros else.
		 * generation: another for another file that has got the same st_ino; 0: not known.
		 */
		struct stat stat;
		uint64_t generation;
	} f_open; /* OPEN CREATE OPENDIR MKDIR MKNOD; new, of RELEASE: flags of the open */
	/*
	 * Of a READ after it: retv.rv_ssize bytes (when that is > 0), of a WRITE before it count
	 * bytes, which may be changed in place; of a READ before it room for count bytes, for one
	 * that stops it. NULL else.
	 */
	struct {
		char *buf;
		size_t count; /* asked for */
		int64_t pos;
	} f_read, f_write;
	struct {
		int64_t pos;
		uint64_t count;
	} f_range; /* FALLOCATE LSEEK COPY_FILE_RANGE */
	struct {
		struct stat stat;
		int valid; /* of SETATTR: FUSE_SET_ATTR_... */
	} i_attr;	   /* SETATTR before, GETATTR after it */
	struct {
		int mask;
	} i_permission; /* R_OK, W_OK, X_OK */
	struct {
		uint32_t flags;
	} i_rename; /* RENAME_... */
	struct {
		const char *name;
	} i_xattr;
	struct {
		uint32_t cmd;
	} f_lock, f_ioctl;
};

/* What the operation returns, or a negative errno value. rv_int and rv_ssize are the same. */
union rfs_op_retv {
	int64_t rv_ssize;
	int64_t rv_loff;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	struct {
		int rv_high_;
		int rv_int;
	};
#else
	int rv_int;
#endif
};

/*
 * Lives as long as the callback. Strings and numbers are to be read, args.f_write.buf and so on,
 * and retv, are changed.
 */
struct rfs_args {
	struct rfs_op_type type;
	union rfs_op_args args;
	union rfs_op_retv retv;
	/* New: */
	const char *path;  /* in full; "" for what has no name any more */
	const char *path2; /* of RENAME, LINK, COPY_FILE_RANGE; else "" */
	pid_t pid;	   /* the caller's thread; 0: not known */
	uid_t uid;
	gid_t gid;
	uint64_t id; /* of the call: the same before and after */
};

typedef void *rfs_filter;
typedef void *rfs_context;
typedef enum rfs_retv (*rfs_callback)(rfs_context context, struct rfs_args *args);

struct rfs_op_info {
	enum rfs_op_id op_id;
	rfs_callback pre_cb, post_cb; /* NULL: none */
};

/* --- filters --------------------------------------------------------------------------------- */

struct rfs_filter_info {
	const char *name; /* unique: a letter, then letters, digits, "_", "-", "."; < 64 bytes */
	int priority;	  /* unique, >= 0 */
	int active;
	/* New; 0: what the administrator says, else -EIO and 5 s. */
	int policy; /* < 0: this error; RFS_FAIL_OPEN: as if it had not been asked; RFS_FAIL_CLOSED */
	unsigned deadline_ms;
};
#define RFS_FAIL_OPEN 1
#define RFS_FAIL_CLOSED (-EPERM)

#define RFS_PATH_SINGLE 1
#define RFS_PATH_SUBTREE 2
#define RFS_PATH_INCLUDE 4
#define RFS_PATH_EXCLUDE 8

struct rfs_path_info {
	const char *path; /* absolute, without ".", "..", "//" */
	int flags;	  /* one of SINGLE and SUBTREE, one of INCLUDE and EXCLUDE */
};

/* What redirctl would like to change. */
enum rfs_mod_id { RFS_ACTIVATE, RFS_DEACTIVATE, RFS_SET_PATH };
union rfs_mod {
	enum rfs_mod_id id;
	struct {
		enum rfs_mod_id id;
		struct rfs_path_info path_info;
	} set_path;
};

/* -EEXIST: name or priority is taken; -EINVAL. *filter is what urfs_filter_alloc() gave. */
enum rfs_err rfs_register_filter(rfs_filter *filter, struct rfs_filter_info *filter_info);
/* It is not asked any more. Returns when no callback of it runs, however late. */
enum rfs_err rfs_unregister_filter(rfs_filter filter);
enum rfs_err rfs_activate_filter(rfs_filter filter);
enum rfs_err rfs_deactivate_filter(rfs_filter filter);
/* Ends with RFS_OP_END. Calls add up, a later one of an operation wins; NULL and NULL takes it away. */
enum rfs_err rfs_set_operations(rfs_filter filter, struct rfs_op_info *op_info);
enum rfs_err rfs_set_path(rfs_filter filter, struct rfs_path_info *path_info);
/*
 * Without one, redirctl may not change the filter. It does what was asked for
 * (rfs_activate_filter() ...), or refuses.
 */
enum rfs_err rfs_set_mod_cb(rfs_filter filter, enum rfs_err (*mod_cb)(union rfs_mod *));
/* New: with the filter. The later of both wins. */
enum rfs_err rfs_set_mod_filter_cb(rfs_filter filter,
				   enum rfs_err (*mod_cb)(rfs_filter, union rfs_mod *));
/* New: does what is asked for; for rfs_set_mod_filter_cb() of a filter that lets redirctl change everything. */
enum rfs_err rfs_modify(rfs_filter filter, union rfs_mod *mod);

/* Of the filter; in a callback its context leads there. */
enum rfs_err rfs_set_private_data(rfs_filter filter, void *private_data);
enum rfs_err rfs_get_context_flt_private_data(rfs_context context, void **private_data);

/*
 * What the filter keeps. OBJECT: of the file or directory, as long as it is known; FILE: of the
 * open file; CALL: from pre to post. One of each. free_cb (may be NULL) is called once when it
 * goes, on any thread.
 */
enum rfs_keep { RFS_KEEP_OBJECT, RFS_KEEP_FILE, RFS_KEEP_CALL };
/*
 * -EEXIST: there is one, in *exist (may be NULL), and data stays the caller's. -ENOENT: nothing
 * to keep it in.
 */
enum rfs_err rfs_attach_data(rfs_context context, enum rfs_keep where, void *data,
			     void (*free_cb)(void *), void **exist);
/* NULL: none. */
void *rfs_get_data(rfs_context context, enum rfs_keep where);
/* Takes it away without calling free_cb. */
void *rfs_detach_data(rfs_context context, enum rfs_keep where);

/*
 * In a pre: does the operation, as args say now, with the filters of higher priority alone. Its
 * result is in args->retv; return RFS_STOP with it, or ask again.
 */
enum rfs_err rfs_subcall(rfs_context context, struct rfs_args *args);

/*
 * New: of the file that the callback is about, a descriptor for reading, the caller's to close. It is
 * the file itself, whatever its name is by now, below all filters: nobody is asked about what is read
 * there, and what other filters make of the bytes is not in it. After OPEN and CREATE: what was
 * opened. -ENOENT: it is not about a file, or there is none; -errno of opening it.
 */
int rfs_open_file(rfs_context context);

/*
 * Of args->pid: its program, at most size bytes with the NUL. -ENOENT: it has ended, or is not
 * known; or it closes a file (FLUSH, LOCK), which exec(2) does, too, and what /proc has of a process
 * then comes after the exec alone.
 */
int rfs_caller_exe(const struct rfs_args *args, char *buf, size_t size);
/* "REG_FOP_OPEN"; NULL: no such operation. */
const char *rfs_op_name(enum rfs_op_id id, char *buf, size_t size);

/* --- connections ----------------------------------------------------------------------------- */

struct urfs_link;
struct urfs_conn {
	int fd; /* to be polled for reading by a loop of one's own; -1 in process */
	struct urfs_link *link;
};

#define URFS_FILTERS_MAX 64 /* of one connection */

/*
 * To pipesfs, at $PIPESFS_URFS or where it listens. -ENOENT, -ECONNREFUSED: none; -EPROTO: of
 * another version; -EACCES.
 */
int urfs_open(struct urfs_conn *conn);
/* The same over a socket (SOCK_SEQPACKET) that is there already, which it then owns. */
int urfs_open_fd(struct urfs_conn *conn, int fd);
/* Unregisters what is left, frees all filters; in process that is left to who loaded the shared object. */
void urfs_close(struct urfs_conn *conn);

/*
 * New: a sentence for people, without a newline: why it does not start, what is wrong with rules that were replaced.
 * A program says it on stderr; of a shared object it is what redirctl says of the failure of start(), later a line
 * of .errors and the log. conn may be a copy.
 */
void urfs_say(const struct urfs_conn *conn, const char *sentence);

int urfs_filter_alloc(rfs_filter *filter, struct urfs_conn *conn);
void urfs_filter_free(rfs_filter filter);

/*
 * Calls callbacks until SIGHUP, SIGINT or SIGTERM (0), urfs_stop() (0), or the connection ends
 * (-ENODEV). `filter` is not looked at: it serves all of the connection.
 */
int urfs_main(struct urfs_conn *conn, rfs_filter filter);
/* New: how many threads; 0: as many as processors, at least 2. Before urfs_main(). */
int urfs_set_threads(struct urfs_conn *conn, unsigned threads);
void urfs_stop(struct urfs_conn *conn);
/*
 * New: for a loop of one's own instead of urfs_main(): does what has come, waits for nothing.
 * -ENODEV: it has ended.
 */
int urfs_dispatch(struct urfs_conn *conn);

/* --- one source, a program and a shared object ------------------------------------------------ */

typedef int (*rfs_start)(struct urfs_conn *conn, int argc, char **argv);
/* main() of a program: opens, starts, urfs_main(), closes. An exit status; says on stderr what went wrong. */
int urfs_run(int argc, char **argv, rfs_start start);

/* start() of a shared object of another version is not called. */
#define RFS_MODULE_VERSION 1
struct rfs_module {
	unsigned version;
	rfs_start start;
};

#ifdef RFS_MODULE
#define RFS_MAIN(function)                         \
	extern const struct rfs_module rfs_module; \
	__attribute__((visibility("default")))     \
	const struct rfs_module rfs_module = { RFS_MODULE_VERSION, function };
#else
#define RFS_MAIN(function)                             \
	int main(int argc, char **argv)                \
	{                                              \
		return urfs_run(argc, argv, function); \
	}
#endif

#ifdef __cplusplus
}
#endif

#endif
