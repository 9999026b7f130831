/*
 * mount_i - how the filesystem is made inside
 *
 *	ops.c		what FUSE asks, handed to the kind of the entry
 *	inode.c		entries: what a nodeid of the kernel's means
 *	dir.c text.c show.c pipe.c errors.c manuals.c control.c runs.c links.c redirfs.c	the kinds
 *	held.c		requests that are answered later, exactly once
 *	work.c		threads for what may wait
 *	session.c	threads that take requests from the kernel
 *
 * Locks, outermost first: that of links, a pipe's lock, the table of held requests, libfuse's own. The lock of the
 * inode table, of the refusals and of a pool are leaves. The graph is called with none of them
 * held but the first.
 *
 * A session thread never waits: what may wait for others (mkdir opens files as its caller, open may
 * start a source) is done by a pool, and what must wait (a read with nothing there) is held.
 */
#ifndef PFS_MOUNT_MOUNT_I_H
#define PFS_MOUNT_MOUNT_I_H

#include "config.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/caps.h"
#include "base/keeper.h"
#include "base/log.h"
#include "base/spawn.h"
#include "graph/graph.h"
#include "mount/mount.h"
#include "portal/where.h"

struct pfs_mount;
struct pfs_entry;
struct pfs_file;
struct pfs_gate;

/* --- entries and kinds --------------------------------------------------------------- */

#define PFS_REQUEST_MAX ((size_t)1 << 20) /* largest READ and WRITE that is negotiated */

/* A name in a listing. */
struct pfs_listing {
	struct pfs_buf names; /* struct pfs_listed, name, NUL; each 8-byte aligned */
	size_t n;
};
struct pfs_listed {
	uint64_t ino;
	uint32_t type; /* S_IFDIR, S_IFREG, S_IFLNK */
	uint32_t size; /* of this item */
	char name[];
};
void pfs_listing_add(struct pfs_listing *listing, const char *name, uint64_t ino, mode_t type);

/*
 * One kind of entry, one file, one of these. NULL: not possible, or nothing to do. Errors that a
 * user should understand go through pfs_refuse().
 */
struct pfs_kind {
	bool directory;
	/* st_ino is there already. */
	void (*attr)(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st);
	/* chmod, chown; entry's own rights are checked by the kernel. */
	int (*setattr)(struct pfs_mount *mount, struct pfs_entry *entry, const struct stat *st,
		       int which);
	/* Directories: *ret_entry has been looked up once more. Looks only. */
	int (*lookup)(struct pfs_mount *mount, struct pfs_entry *dir, const char *name,
		      struct pfs_entry **ret_entry);
	int (*list)(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing);
	/* Files: answers the request. */
	void (*open)(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
		     struct fuse_file_info *fi);
	void (*read)(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags);
	void (*write)(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags);
	/* Instead, where the offset counts. */
	void (*write_at)(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size,
			 off_t off, int flags);
	void (*poll)(struct pfs_file *file, fuse_req_t req, unsigned events,
		     struct fuse_pollhandle *handle);
	/* ioctl(2) with an int of the caller's; -errno. */
	int (*ioctl)(struct pfs_file *file, unsigned command, int value);
	/* ioctl(2) that fills *ret of so many bytes, or none; -errno. */
	int (*answer)(struct pfs_file *file, unsigned command, void *ret, size_t size);
	/* A close of a copy of the descriptor, of files whose OPEN asked for it. */
	void (*flush)(struct pfs_file *file, fuse_req_t req);
	/* The last close. Does not answer. */
	void (*release)(struct pfs_file *file);
};

extern const struct pfs_kind pfs_kind_dir;	  /* directories of the graph */
extern const struct pfs_kind pfs_kind_pipe;	  /* all, all.<view> */
extern const struct pfs_kind pfs_kind_text;	  /* .stats .params .readers .program */
extern const struct pfs_kind pfs_kind_show;	  /* .graph .graph.dot .graph.json .metrics */
extern const struct pfs_kind pfs_kind_errors;	  /* .errors */
extern const struct pfs_kind pfs_kind_manuals;	  /* .filters */
extern const struct pfs_kind pfs_kind_manual;	  /* .filters/<name> */
extern const struct pfs_kind pfs_kind_control;	  /* .control */
extern const struct pfs_kind pfs_kind_portal_dir; /* tcp, tcp/HOST, pipe/usr ... */
extern const struct pfs_kind pfs_kind_portal;	  /* tcp/HOST/PORT ... */
extern const struct pfs_kind pfs_kind_run;	  /* .run */
extern const struct pfs_kind pfs_kind_link;	  /* symbolic links */

struct pfs_entry {
	uint64_t id;  /* the kernel's nodeid: a node's id, or a fresh number for files */
	uint64_t ino; /* st_ino */
	const struct pfs_kind *kind;
	struct pfs_node *node; /* a reference; NULL: not of the graph */
	int which; /* pipes: view or -1; texts, shows: their enum; manuals: index; portals: flags of open(2) */
	int policy;		 /* pipes: as in struct pfs_reader_options */
	bool end;		 /* pipes: the same */
	bool client;		 /* pipes: to be mapped */
	_Atomic unsigned duplex; /* pipes: read-write opens */
	double timeout;		 /* seconds for which the kernel may believe that it is there */
	char *text, *raw; /* portals: the path, and as it was written or NULL; links: the target; owned */
	uint64_t lookups;	/* table lock */
	struct pfs_entry *next; /* table lock */
};

/* An open file; kinds put it first in theirs. */
struct pfs_file {
	const struct pfs_kind *kind;
	struct pfs_mount *mount;      /* borrowed */
	struct pfs_file *prev, *next; /* files lock */
	_Atomic bool shared;	      /* a client may have a ticket for it: share.h */
};

/* st_ino of a file in a directory; slot < 64. */
static inline uint64_t pfs_file_ino(uint64_t dir, unsigned slot)
{
	return (uint64_t)1 << 60 | dir << 6 | slot;
}

struct pfs_inodes {
	pthread_mutex_t lock;
	struct pfs_entry **buckets; /* lock; size a power of two */
	size_t size, n;		    /* lock */
	uint64_t next_file;	    /* lock */
	_Atomic uint64_t next_ino;  /* for read-write opens */
};

int pfs_inodes_init(struct pfs_mount *mount);
void pfs_inodes_release(struct pfs_mount *mount);
/*
 * What a nodeid of the kernel's stands for; stays until it was forgotten. NULL: nothing (only after
 * a bug).
 */
struct pfs_entry *pfs_inode_get(struct pfs_mount *mount, uint64_t id);
/* The entry of a directory, looked up once more. Takes over the node reference in any case. */
int pfs_inode_dir(struct pfs_mount *mount, struct pfs_node *node, struct pfs_entry **ret_entry);
/* The entry of a directory with this text, which is taken over (unless -ENOMEM). */
int pfs_inode_named(struct pfs_mount *mount, const struct pfs_entry *like, uint64_t hash,
		    struct pfs_entry **ret_entry);
/* A new entry with a nodeid of its own (made from `like`, whose node is referenced again). */
int pfs_inode_file(struct pfs_mount *mount, const struct pfs_entry *like, struct pfs_entry **ret_entry);
/*
 * The kernel's FORGET may overtake what is still being done with a file: pinned it stays until
 * forgotten once more.
 */
void pfs_inode_pin(struct pfs_mount *mount, struct pfs_entry *entry);
void pfs_inode_forget(struct pfs_mount *mount, uint64_t id, uint64_t lookups);
void pfs_inode_stat(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *ret_st);

/* Open files are listed, so that what an aborted connection left open can be closed. */
void pfs_file_add(struct pfs_file *file, const struct pfs_kind *kind, struct pfs_mount *mount);
void pfs_file_del(struct pfs_file *file);

/* --- requests that are answered later -------------------------------------------------- */

/*
 * Whoever takes a held request answers it; everybody else finds it gone. An interrupt is one of the
 * takers. Requests are found by their address, which libfuse keeps from reuse while the interrupt
 * runs.
 *
 *	pfs_held_prepare(mount, req);	     once, before the first put
 *	if (!pfs_held_put(mount, held))	     from here on anybody may take it
 *		it was interrupted before: answer EINTR
 */
struct pfs_held {
	fuse_req_t req;
	/* The request was interrupted and is now the callee's: unlink, answer, free. */
	void (*interrupted)(struct pfs_held *held);
	struct pfs_held *next;		 /* table lock */
	struct pfs_held *after, *before; /* for the owner's queue */
};

struct pfs_held_table {
	pthread_mutex_t lock;
	struct pfs_held *buckets[256]; /* lock */
	uint64_t bytes;		       /* lock: copies of parked WRITEs */
	struct {
		uid_t uid;
		uint64_t bytes;
	} users[128]; /* lock; bytes 0: free */
};

void pfs_held_prepare(struct pfs_mount *mount, fuse_req_t req);
bool pfs_held_put(struct pfs_mount *mount, struct pfs_held *held);
bool pfs_held_take(struct pfs_mount *mount, struct pfs_held *held);
/*
 * Accounts memory for a parked WRITE. False: this user, or the mount, has too much parked already.
 */
bool pfs_held_charge(struct pfs_mount *mount, uid_t uid, size_t bytes);
void pfs_held_uncharge(struct pfs_mount *mount, uid_t uid, size_t bytes);

/* --- work that may wait ------------------------------------------------------------------ */

struct pfs_job {
	void (*run)(struct pfs_job *job);
	uid_t uid;
	struct pfs_job *next; /* pool lock */
};

/*
 * Threads that come when there is work and go when there is none; at most half of them for one
 * user.
 */
struct pfs_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct pfs_job *first, **last; /* lock: waiting jobs, in order */
	unsigned threads, idle, max;   /* lock */
	unsigned queued;	       /* lock */
	bool stopping;		       /* lock */
	struct pfs_running {
		struct pfs_job *job; /* NULL: free; only compared, it may have been freed */
		uid_t uid;
		pthread_t thread;
	} * running; /* lock: max of them */
};

int pfs_pool_init(struct pfs_pool *pool, unsigned max);
void pfs_pool_submit(struct pfs_pool *pool, struct pfs_job *job);
/* True: it had not begun and never will. */
bool pfs_pool_cancel(struct pfs_pool *pool, struct pfs_job *job);
/* If it is running: ends the system call it waits in (EINTR). */
void pfs_pool_poke(struct pfs_pool *pool, struct pfs_job *job);
/*
 * Ends the threads when all jobs are done. -ETIMEDOUT: some wait for ever; the pool must not be
 * freed.
 */
int pfs_pool_stop(struct pfs_pool *pool, unsigned milliseconds);
void pfs_pool_release(struct pfs_pool *pool);

/*
 * A request that is done by a pool. act() runs on a thread of the pool and returns 0 or -errno;
 * then reply() is called with that, or, when the caller was interrupted or had waited too long and
 * has got an answer already, undo() if act() had succeeded. Both free nothing: free() comes last.
 */
struct pfs_task {
	struct pfs_held held;
	struct pfs_job job;
	struct pfs_mount *mount; /* borrowed */
	struct pfs_pool *pool;	 /* borrowed */
	struct pfs_cred cred;
	_Atomic unsigned refs;
	uint64_t deadline;	      /* lock of mount->tasks */
	struct pfs_task *prev, *next; /* lock of mount->tasks */
	int (*act)(struct pfs_task *task);
	void (*reply)(struct pfs_task *task, fuse_req_t req, int result);
	void (*undo)(struct pfs_task *task);
	/*
	 * For tasks during which others wait: says why it was given up (ETIMEDOUT, act() may still be
	 * running) or refused (EBUSY: this user's have been late too often).
	 */
	void (*late)(struct pfs_task *task, int error);
	void (*free)(struct pfs_task *task);
};

/* Callbacks and pool are set; the task is owned by this from here on. */
void pfs_task_start(struct pfs_mount *mount, struct pfs_task *task, fuse_req_t req);
/*
 * Answers ETIMEDOUT for those that have waited too long; returns ms until it should be called
 * again, -1: never.
 */
int pfs_tasks_expire(struct pfs_mount *mount);

/* --- refusals: .errors --------------------------------------------------------------------- */

struct pfs_refusals;
int pfs_refusals_new(struct pfs_refusals **ret_refusals);
void pfs_refusals_free(struct pfs_refusals *refusals);
/* What .errors shows to a user; root sees all. */
void pfs_refusals_text(struct pfs_refusals *refusals, uid_t uid, struct pfs_buf *out);
/*
 * Remembers why a call on dir/name (name NULL: on dir itself) was refused with -error. diag NULL or
 * empty: the errno's own text.
 */
void pfs_refuse(struct pfs_mount *mount, const struct pfs_cred *cred, struct pfs_node *dir,
		const char *name, int error, const struct pfs_diag *diag);

/* --- the session ----------------------------------------------------------------------------- */

struct pfs_session;
/*
 * Threads that serve se until it ends; at least one is always listening. ended_fd (eventfd): the
 * session is over.
 */
int pfs_session_start(struct fuse_session *se, int ended_fd, struct pfs_session **ret_session);
/*
 * In a handler, on a session's thread: the buffer of this request becomes the caller's, with the bytes of a WRITE in
 * it, until pfs_request_free(). NULL: no memory.
 */
void *pfs_request_keep(void);
void pfs_request_free(void *buffer); /* NULL is fine */
/* There, too: the kernel's number of this request. */
uint64_t pfs_request_unique(void);
/* Readable: all threads are in handlers. Then pfs_session_relieve() is to be called. */
int pfs_session_starved_fd(const struct pfs_session *session);
/* Starts another thread when they do not come back. Returns ms until the next call, -1: none. */
int pfs_session_relieve(struct pfs_session *session);
/* Ends them. -ETIMEDOUT: a handler does not return. */
int pfs_session_stop(struct pfs_session *session, unsigned milliseconds);
void pfs_session_free(struct pfs_session *session);

/*
 * --- all of it ----------------------------------------------------------------------------------
 */

struct pfs_mount {
	const struct pfs_mount_options *options; /* borrowed */
	struct fuse_session *se;		 /* owned by streams */
	struct pfs_graph *graph;
	struct pfs_spawner *spawner; /* owned by streams */
	struct pfs_home home;
	struct pfs_gate *gate; /* portals; NULL: there are none */
	struct pfs_redirfs *redirfs;
	struct pfs_shares *shares; /* clients that map; NULL: there are none */
	struct pfs_where where;
	bool knows_where;
	pid_t keeper;
	unsigned dev_major, dev_minor;
	uint64_t unique; /* as of pfs_mount_unique() */
	size_t read_max; /* bytes of the kernel's largest READ */
	int init_fd;	 /* eventfd: the kernel's INIT has come */
	int end_fd;	 /* eventfd: end streams */
	struct pfs_inodes inodes;
	struct pfs_held_table held;
	struct pfs_refusals *refusals;
	struct pfs_pool make;  /* mkdir, .params: may open files of users' */
	struct pfs_pool open;  /* closes streams, removes, shows: waits for the graph's lock only */
	struct pfs_pool pipes; /* opens streams: waits for the program that takes the reader in */
	struct {
		pthread_mutex_t lock;
		struct pfs_task *first;
		int wake_fd; /* eventfd: the first task has come */
		struct pfs_strikes {
			uid_t uid;
			unsigned n;
			uint64_t last; /* ns, monotonic */
		} strikes[64];	       /* lock: whose tasks were given up lately */
	} tasks;
	struct {
		pthread_mutex_t lock;
		struct pfs_file *first;
	} files;
	struct {
		pthread_mutex_t lock;
		struct pfs_link *first; /* lock */
		unsigned n;		/* lock */
		uint64_t next;		/* lock */
	} links;
};

extern const struct fuse_lowlevel_ops pfs_mount_ops;

static inline struct pfs_mount *pfs_req_mount(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct pfs_cred pfs_req_cred(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct pfs_cred){ .uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid };
}

/* portal_gate.c: the thread of portals. After the spawner was started. -errno */
int pfs_gate_new(struct pfs_mount *mount);
/* All files are released. -ETIMEDOUT: something waits for ever. */
int pfs_gate_free(struct pfs_mount *mount);
/* Reads portal.conf again; says what came of it. */
void pfs_gate_reload(struct pfs_mount *mount);
/* portal.c: a LOOKUP in the root (of what nothing else is called) or below a portal directory; answers. */
void pfs_portal_lookup(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *dir,
		       const char *name);
/* OPENDIR of what was taken for a directory but is opened as a file: true, and ESTALE lets the kernel ask again. */
bool pfs_portal_flip(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry, int flags);
/* Does a name in the root belong to portals? */
bool pfs_portal_is(struct pfs_mount *mount, const char *name);
void pfs_portal_names(struct pfs_mount *mount, struct pfs_listing *listing);

/* links.c: symbolic links, by directory and name. */
void pfs_links_init(struct pfs_mount *mount);
void pfs_links_release(struct pfs_mount *mount);
int pfs_link_lookup(struct pfs_mount *mount, struct pfs_node *dir, const char *name,
		    struct pfs_entry **ret_entry);
void pfs_links_list(struct pfs_mount *mount, struct pfs_node *dir, struct pfs_listing *listing);
bool pfs_links_any(struct pfs_mount *mount, struct pfs_node *dir);
/* A path below the mount, of PATH_MAX bytes: links in the root are replaced by what they say. False: it leads out. */
bool pfs_link_follow(struct pfs_mount *mount, char *rest);
/* After directories have gone: their links go, too. */
void pfs_links_sweep(struct pfs_mount *mount);
int pfs_link_make(struct pfs_mount *mount, struct pfs_node *dir, const char *name,
		  const char *target, const struct pfs_cred *cred, struct pfs_diag *diag);
/* False: there is none. */
bool pfs_link_remove(struct pfs_mount *mount, struct pfs_node *dir, const char *name);

/* redirfs.c: filters of files. After the spawner was started, before there is a graph. -errno */
int pfs_redirfs_new(struct pfs_mount *mount);
struct rd_herd *pfs_redirfs_herd(const struct pfs_mount *mount); /* the graph's, from then on */
int pfs_redirfs_begin(struct pfs_mount *mount);			 /* there is a graph */
/* Every tree is detached. Waits for redirect processes, a few seconds each at most. */
void pfs_redirfs_end(struct pfs_mount *mount);
void pfs_redirfs_free(struct pfs_mount *mount);
/* A directory of the source redirfs: the folder, a filter, or its name in a run. */
bool pfs_redirfs_is(const struct pfs_node_info *info);
/* The files beside the streams of a filter. -ENOENT: that is none. */
int pfs_redirfs_name(struct pfs_node *dir, const struct pfs_node_info *info, const char *name,
		     struct pfs_entry *like);
void pfs_redirfs_list(struct pfs_node *dir, const struct pfs_node_info *info,
		      struct pfs_listing *listing);
/* What the graph calls that child: in the folder NAME,so=... is NAME. */
const char *pfs_redirfs_child(const struct pfs_node_info *info, const char *name,
			      char short_name[PFS_NAME_MAX + 1]);
/* Waits, not for long, until redirect processes know who reads. On a thread of a pool. */
void pfs_redirfs_settle(struct pfs_mount *mount);
/* True: it was there, and is or will be answered. */
bool pfs_redirfs_mkdir(fuse_req_t req, const struct pfs_entry *parent, const char *name);
bool pfs_redirfs_rmdir(fuse_req_t req, const struct pfs_entry *parent, const char *name);

/* Answers a LOOKUP or MKDIR; forgets the entry when nobody got it. */
void pfs_reply_entry(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry);

/* Files whose text is made when they are opened. Takes over text's memory. Answers the OPEN. */
void pfs_text_open(struct pfs_mount *mount, fuse_req_t req, struct fuse_file_info *fi,
		   const struct pfs_kind *kind, struct pfs_node *node, struct pfs_buf *text);
void pfs_text_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags);
void pfs_text_release(struct pfs_file *file);

/* Which pipe and dot file a name is: fills `like` (no node) for pfs_inode_file(). -ENOENT. */
int pfs_pipe_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like);
/*
 * Buffers of PFS_REQUEST_MAX bytes for replies: as many as threads reply at the same time, the last one used is used
 * first. NULL: no memory.
 */
uint8_t *pfs_buffer_get(void);
void pfs_buffer_put(uint8_t *buf);
/* At the very end: frees them. */
void pfs_pipe_finish(void);
/* All files are closed, and the graph is shut down: until nobody is in it on behalf of a producer. -ETIMEDOUT */
int pfs_pipe_supplies_wait(unsigned ms);
void pfs_pipe_list(const struct pfs_node_info *info, struct pfs_listing *listing);
int pfs_text_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like);
void pfs_text_list(const struct pfs_node_info *info, struct pfs_listing *listing);
int pfs_show_name(const struct pfs_node_info *info, const char *name, struct pfs_entry *like);
void pfs_show_list(const struct pfs_node_info *info, struct pfs_listing *listing);

/*
 * --- streams and keeper
 * -------------------------------------------------------------------------------
 */

/* In the child: serves the session until the end; returns the exit status. */
int pfs_streams_run(const struct pfs_mount_options *options, struct pfs_mount *mount, int keeper_fd);

#endif
