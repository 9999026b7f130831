/*
 * layer_i - inside of the stacking layer (layer.h)
 *
 * Threads: libfuse's loop has some; each request is one function call on one of them, or, when its chain works
 * elsewhere, ends on whatever thread calls complete(). Locks, none held while the filesystem below is asked: a
 * shard of the table; object->lock; names (a rwlock: parent and name of all objects); kept.lock. Taken alone or in
 * that order.
 */
#ifndef RD_LAYER_I_H
#define RD_LAYER_I_H

#include "redir/layer.h"

#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/hash.h"

#define RD_SHARDS 64
#define RD_HANDLE_MAX 128
#define RD_REQUEST_MAX ((size_t)1 << 20)
#define RD_THREADS_MAX 16
#define RD_CALLS_MAX 12 /* threads that are in chains at the same time */

/* What makes two looks at a file looks at one file. */
struct rd_identity {
	struct stat st;
	uint64_t btime; /* ns; 0: the filesystem does not know */
	struct {
		unsigned len; /* 0: there is none */
		int type;
		unsigned char bytes[RD_HANDLE_MAX];
	} handle;
};

struct rd_object {
	struct rd_object *next; /* of the shard */
	uint64_t hash;
	_Atomic uint64_t refs; /* the kernel's lookups and ours; 0 only under the shard's lock */
	uint64_t generation;
	dev_t dev;
	ino_t ino; /* below */
	uint64_t btime;
	mode_t type;
	_Atomic unsigned writers; /* that write past us: attributes are not to be kept */
	_Atomic uint64_t listed; /* of a directory: ns, when its entries were last told from the first on; 0: never */

	struct rd_object *parent; /* names; ref held; NULL: the root, or without a name */
	char *name;		  /* names; owned */

	pthread_mutex_t lock;
	struct rd_file *files;	      /* lock: open ones */
	unsigned cached, passed;      /* lock: how many are open in which way */
	int backing;		      /* lock: id of passthrough, while passed */
	bool backing_keeps;	      /* lock: who writes by that keeps set-id bits */
	const struct rd_chain *chain; /* lock; ref held */
	uint64_t chain_serial;	      /* lock */
	uint64_t cache_serial;	      /* lock: whose data the pages above hold */
	struct rd_slots slots;	      /* what filters keep here */
	int pin;	      /* lock: O_PATH, when it can no longer be found otherwise; -1 */
	struct rd_kept *kept; /* kept.lock */

	int handle_type;
	unsigned handle_len;
	unsigned char handle[];
};

/* An O_PATH descriptor of a directory that is kept for a while. */
struct rd_kept {
	struct rd_kept *prev, *next; /* used last is first */
	struct rd_object *object;    /* borrowed: it takes us along */
	int fd;
	unsigned users;
};

struct rd_file {
	struct rd_file *prev, *next;  /* object->lock */
	struct rd_object *object;     /* ref held */
	const struct rd_chain *chain; /* ref held; that of the open, NULL: none */
	int fd;
	int flags;
	struct rd_slots slots; /* what filters keep here */
	bool passed;	       /* the kernel reads and writes the original itself */
	bool own;	       /* a filter's: past the page cache */
	/* Directories. */
	pthread_mutex_t lock;
	uint8_t *entries; /* lock: owned */
	size_t at, len;	  /* lock */
	off_t pos;	  /* lock: of entries[at] */
	bool plain;	  /* no names are looked up on the way: somebody wants to see that */
};

struct rd_shard {
	pthread_mutex_t lock;
	struct rd_object **bucket;
	size_t buckets, count; /* a power of two */
};

struct rd_layer {
	struct fuse_session *se;
	const struct rd_chains *chains;
	struct rd_config *config;
	char *dir;
	int root_fd;  /* O_PATH */
	int mount_fd; /* the same, for open_by_handle_at(2); -1: no handles */
	int proc_fd;  /* /proc/self/fd */
	int ready_fd, ended_fd;
	bool privileged; /* may take on the caller's ids */
	bool want_passthrough;
	_Atomic bool passthrough;
	bool killpriv;
	bool stacked;	/* what is below is a stack itself */
	double timeout; /* s, of names and attributes */
	pid_t keeper;	/* asks whether we answer; 0: nobody */
	struct rd_object *root;
	struct pfs_seed seed;
	struct rd_shard shard[RD_SHARDS];
	_Atomic uint64_t generation, objects, requests, asked, passed_opens, other_opens;
	_Atomic unsigned pins; /* objects with one */
	pthread_rwlock_t names;
	struct {
		pthread_mutex_t lock;
		struct rd_kept *first, *last;
		unsigned count, max;
	} kept;
	struct {
		pthread_mutex_t lock;
		unsigned running;	     /* lock: threads that are in chains */
		struct rd_req *first, **end; /* lock: calls that wait for one of these to be done */
	} calls;
	struct {
		pthread_mutex_t lock;
		dev_t *dev;
		size_t count;
	} devices; /* those other than the root's */
	struct {
		int fd; /* a copy of the mount */
		char *path;
	} * submount;
	size_t submounts;
	pthread_t thread; /* libfuse's loop */
	_Atomic bool running;
};

/* --- one request (layer_request.c) ---------------------------------------------------- */

struct rd_req {
	struct rd_call call; /* first */
	struct rd_layer *layer;
	struct rd_req *next; /* layer->calls.lock */
	fuse_req_t req;
	mode_t umask;
	bool heap;    /* it and its strings are its own */
	bool unasked; /* no filter is asked: whether we answer is the question */
	bool made;    /* call.object/name (of LINK: object2/name2) was not there before */
	const char *name, *name2; /* of name2: the second name, the target of a link */
	const void *value;	  /* of an attribute; owned on the heap */
	size_t value_size;
	int flags, mask;
	dev_t rdev;
	off_t offset, offset2;
	struct fuse_file_info fi;
	struct rd_file *file2;
	struct fuse_entry_param entry;
	struct rd_object *found; /* that entry tells of; ref held for the kernel */
	struct rd_file *opened;	 /* not yet told to the kernel */
	struct rd_file *closing; /* goes when this is done, whatever comes of it */
	uint8_t *out;		 /* owned */
	void (*perform)(struct rd_req *r);
	void (*reply)(struct rd_req *r); /* the result is not an error */
#ifdef HAVE_FUSE_PASSTHROUGH
	struct statx statx;
#endif
};

/* r is zeroed and filled in: who asks and about what. */
void rd_req_init(struct rd_req *r, fuse_req_t req, enum rd_op op, fuse_ino_t ino);
/* Does it, or lets the chain do it; the kernel is answered here or later. */
void rd_req_start(struct rd_req *r, void (*perform)(struct rd_req *), void (*reply)(struct rd_req *));
/* Replies that several share. */
void rd_reply_ok(struct rd_req *r);
void rd_reply_entry(struct rd_req *r);
void rd_reply_open(struct rd_req *r);
/* A file or directory is closed by the last who had it. */
void rd_release(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, enum rd_op op);

static inline struct rd_layer *rd_layer_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct rd_object *rd_object_of(struct rd_layer *layer, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? layer->root : (struct rd_object *)ino;
}

static inline fuse_ino_t rd_ino_of(const struct rd_layer *layer, const struct rd_object *object)
{
	return object == layer->root ? FUSE_ROOT_ID : (fuse_ino_t)object;
}

static inline struct rd_file *rd_file_of(const struct fuse_file_info *fi)
{
	return fi ? (struct rd_file *)(uintptr_t)fi->fh : NULL;
}

/* --- whose rights (layer_caller.c) ---------------------------------------------------- */

/* May that thread write to a file without taking set-id bits away? Not, where it cannot be known. */
bool rd_keeps_setid(const struct rd_layer *layer, pid_t thread);
/* For this thread, until the next call: the caller's ids, and CAP_FSETID unless set-id bits are to go. */
void rd_become(const struct rd_layer *layer, uid_t uid, gid_t gid, mode_t umask, bool kill);
/* A thread that is not ours gets its own back. */
void rd_become_self(const struct rd_layer *layer);
/* This thread is one of the layer's. */
void rd_thread_own(void);
/* Once, while there is one thread. */
void rd_caller_prepare(struct rd_layer *layer);

/* --- objects (layer_object.c) --------------------------------------------------------- */

int rd_objects_init(struct rd_layer *layer);
void rd_objects_release(struct rd_layer *layer);
void rd_stat_from_statx(const struct statx *sx, struct stat *st);
/* Looks at dirfd/name, or at dirfd itself if name is "". -errno. */
int rd_identify(const struct rd_layer *layer, int dirfd, const char *name, struct rd_identity *ret_id);
/* The object, with a reference; new or known. parent, name: where it was seen; NULL: nowhere. NULL: no memory. */
struct rd_object *rd_object_get(struct rd_layer *layer, const struct rd_identity *id,
				struct rd_object *parent, const char *name);
/* If it is known. */
struct rd_object *rd_object_find(struct rd_layer *layer, const struct rd_identity *id);
static inline void rd_object_ref(struct rd_object *object)
{
	atomic_fetch_add(&object->refs, 1);
}
void rd_object_unref(struct rd_layer *layer, struct rd_object *object, uint64_t n);
/* From now on it is there; parent NULL: it has no name any more. */
void rd_object_rename(struct rd_layer *layer, struct rd_object *object, struct rd_object *parent,
		      const char *name);
/* Absolute, as the caller has it, owned; with name if that is not NULL. "": has none. NULL: no memory. */
char *rd_object_path(struct rd_layer *layer, const struct rd_object *object, const char *name);
/* st_ino as told: that below, told apart from those of other devices. */
ino_t rd_ino_told(struct rd_layer *layer, dev_t dev, ino_t ino);

/* A descriptor of the object while it is needed: rd_hold() sets it, it is given back at the end of its block. */
struct rd_hold {
	struct rd_layer *layer;
	struct rd_kept *kept;
	int fd;
	bool own;
};
#define RD_HOLD PFS_CLEANUP(rd_unhold)
#define RD_HOLD_INIT     \
	{                \
		.fd = -1 \
	}
/* O_PATH, checked to be the object. -ESTALE: it is gone. */
int rd_hold(struct rd_layer *layer, struct rd_object *object, struct rd_hold *hold);
void rd_unhold(struct rd_hold *hold);
/* A descriptor with flags. */
int rd_object_open(struct rd_layer *layer, struct rd_object *object, int flags);
/* Its last name may go now: it is to be found all the same, unless too many are pinned already. */
void rd_object_pin(struct rd_layer *layer, struct rd_object *object, int dirfd, const char *name);

/* The chain of an object: with a reference; NULL: there are no chains at all, or no memory. */
const struct rd_chain *rd_object_chain(struct rd_layer *layer, struct rd_object *object);

/* --- what operations share ------------------------------------------------------------ */

/* Of a system call: 0 or -errno. */
static inline int rd_errno_or(int result)
{
	return result < 0 ? -errno : 0;
}

#define RD_PROC_SIZE 32
/* "/proc/self/fd/N", for calls that know paths only. */
static inline const char *rd_proc(int fd, char text[RD_PROC_SIZE])
{
	char digits[12];
	size_t n = 0, at = sizeof("/proc/self/fd/") - 1;

	memcpy(text, "/proc/self/fd/", at);
	do {
		digits[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (n)
		text[at++] = digits[--n];
	text[at] = '\0';
	return text;
}

/* st as told, and for how long it may be kept. */
double rd_attr_told(struct rd_layer *layer, struct rd_object *object, struct stat *st);
/* r->entry and r->found: what is at dirfd/name now ("": dirfd itself). -errno. */
int rd_entry_fill(struct rd_req *r, int dirfd, const char *name, struct rd_object *parent,
		  const char *seen);
void rd_entry_drop(struct rd_req *r);
/* Made, but to be told as an error: takes it back, if it is what stands there. */
void rd_entry_undo(struct rd_req *r);
/* A file on that descriptor, which it takes over even on failure. */
int rd_file_new(struct rd_req *r, struct rd_object *object, int fd, int flags,
		struct rd_file **ret_file);
/* How the kernel is to use it: passthrough or not, into r->fi. */
void rd_file_way(struct rd_req *r, struct rd_file *file, bool fresh);
void rd_file_free(struct rd_layer *layer, struct rd_file *file);
/* An id of passthrough for an open file; 0: it cannot be. */
int rd_backing_open(struct rd_layer *layer, int fd);
void rd_backing_close(struct rd_layer *layer, int id);

/* The tables of operations. */
void rd_ops_name(struct fuse_lowlevel_ops *ops);
void rd_ops_attr(struct fuse_lowlevel_ops *ops);
void rd_ops_file(struct fuse_lowlevel_ops *ops);
void rd_ops_dir(struct fuse_lowlevel_ops *ops);

#endif
