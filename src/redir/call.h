/*
 * call - one operation on its way through a chain
 *
 * The layer makes one for each request that some filter of the object's chain wants, fills it in,
 * and hands it to rd_call_run() (chain.h). From then on it belongs to the chain until complete()
 * is called, once, on whatever thread; the layer's threads do not wait for filters in other
 * processes. What no filter wants makes no call at all (rd_chain_wants()), and is done by the
 * layer at once.
 *
 *	rd_call_run ─▶ pre, ascending ─▶ perform() ─▶ post of those whose pre was called, descending ─▶ complete()
 *
 * A pre that stops gives the result and perform() is left out. perform() does the operation on
 * the original tree, never waits for a filter, and sets `result`. It may be called more than once
 * by a filter's subcall. complete() answers the kernel and frees; where perform() had opened or
 * made something (`performed`) and the result is an error nevertheless, it takes that back.
 *
 * Result: >= 0 what the operation returns (bytes for READ and WRITE, 0 for most), < 0 -errno.
 */
#ifndef RD_CALL_H
#define RD_CALL_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/base.h"
#include "redir/data.h"

enum rd_op {
#define OP(name, names, data, about) RD_##name,
#include "redir/ops.def"
#undef OP
	RD_OPS,
};

struct rd_chain;
struct rd_object;
struct rd_file;

/*
 * What filters keep about an object or an open file: a member of it, zeroed when it is made,
 * rd_slots_release() when it goes. Inside, the chain's.
 */
struct rd_slots {
	struct rd_slot *first;
};
void rd_slots_release(struct rd_slots *slots);

/* Who asks, as FUSE says it: pid is the thread's, 0 if it is not in our pid namespace. */
struct rd_caller {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

struct rd_call {
	/* The layer's, before rd_call_run(). */
	enum rd_op op;
	struct rd_caller caller;
	const struct rd_chain *chain; /* borrowed from the object: keep a reference till complete() */
	struct rd_object *object; /* what it is about; of LOOKUP, CREATE, UNLINK ...: the directory. Ref held */
	/*
	 * of RENAME and LINK: the new directory; of COPY_FILE_RANGE: the target. Ref held, or
	 * NULL
	 */
	struct rd_object *object2;
	struct rd_file *file;	     /* an open file or directory, or NULL */
	struct rd_slots *slots;	     /* in object; NULL: filters can keep nothing there */
	struct rd_slots *file_slots; /* in file; likewise */
	/*
	 * owned; absolute, as the caller's mount namespace has them, in full; "" for what has no
	 * name
	 */
	char *path, *path2;
	mode_t type; /* S_IFREG ...: of the file that it is about; 0: not known (it is not there) */
	union {
		struct {
			uint32_t flags;
			mode_t mode;
			struct stat stat;    /* after OPEN, CREATE, RELEASE: the original */
			uint64_t generation; /* likewise; 0: not known */
		} open; /* OPEN CREATE OPENDIR MKDIR MKNOD, RELEASE; flags: O_... */
		struct {
			uint64_t offset;
			uint64_t size;
		} io; /* READ WRITE FALLOCATE LSEEK COPY_FILE_RANGE */
		struct {
			struct stat stat;
			int valid;
		} attr; /* SETATTR (valid: FUSE_SET_ATTR_...), GETATTR afterwards: stat */
		struct {
			uint32_t flags;
		} rename;
		struct {
			int mask;
		} access;
		struct {
			const char *name;
		} xattr; /* borrowed from the request */
		struct {
			uint32_t cmd;
		} lock, ioctl;
	} arg;
	/*
	 * READ: room for io.size bytes, into which perform() reads and post may write, result
	 * says how many count. WRITE: the caller's bytes, which pre may change in place and
	 * perform() writes. Of rd_data_get() (data.h); .bytes is NULL for operations without
	 * data.
	 */
	struct rd_data data;

	/*
	 * READ or WRITE of the page cache, which everybody shares: nobody's own, whoever needed the
	 * page first
	 */
	bool shared;

	/* The layer's functions. */
	void (*perform)(struct rd_call *call);
	void (*complete)(struct rd_call *call);
	/*
	 * Before complete(), on any thread: the original to be read, of OPEN and CREATE afterwards
	 * what was opened. A descriptor, the caller's; -ENOENT: it is about no file. NULL: never.
	 */
	int (*open_file)(struct rd_call *call);

	/* Set on the way. */
	int64_t result;
	bool performed;		  /* perform() has been called, and its result was not an error */
	uint64_t start, duration; /* ns, monotonic: rd_call_run() to complete() */

	/* The chain's own. */
	void *way;
};

#endif
