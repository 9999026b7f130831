/*
 * pipe_i - an open pipe file
 *
 *	pipe.c		names, open, release
 *	lane.c		who waits for the pipe, and wake-ups
 *	pipe_read.c	READ: answered from ring memory, or held until there is something
 *	pipe_write.c	WRITE: stored, answered, then the tree below runs; or held until there is room
 *	pipe_poll.c	poll, select, epoll
 *
 * A *lane* is one direction: its held requests in the order they came, and at most one thread that
 * serves them. What is served is taken first, so an interrupt cannot answer it too; what finds
 * nothing is put back to the front, and the lane is parked on the graph with one waiter however
 * many requests wait.
 *
 * A wake-up may come on any thread, deep inside the engine, and serves the lane right there; those
 * that come while one is being handled on the same thread wait in a list until it is done, so the
 * stack stays flat.
 *
 * Lifetime: the open file holds a reference, each held request one, each parked waiter one. The
 * last one hands the pipe to the pool, which closes reader and writer (a wake-up must not).
 */
#ifndef PFS_MOUNT_PIPE_I_H
#define PFS_MOUNT_PIPE_I_H

#include <poll.h>

#include "mount/mount_i.h"

struct pfs_pipe;
struct pfs_waiting;

struct pfs_parked {
	struct pfs_waiter waiter;
	struct pfs_pipe *pipe; /* a reference while parked */
	bool on;	       /* pipe lock: parked, or about to be */
	void (*woken)(struct pfs_pipe *pipe);
	struct pfs_parked *next; /* list of the waking thread */
};

struct pfs_lane {
	/* Answers the request and frees it: 0. Or -EAGAIN, and nothing has happened. */
	int (*serve)(struct pfs_pipe *pipe, struct pfs_waiting *waiting);
	/* Parks. False: there is something already. */
	bool (*park)(struct pfs_pipe *pipe, struct pfs_waiter *waiter, size_t size);
	struct pfs_held *first, *last; /* pipe lock */
	bool serving;		       /* pipe lock */
	bool again;		       /* pipe lock: woken while serving */
	struct pfs_parked parked;
};

struct pfs_pipe {
	struct pfs_file file;
	struct pfs_entry *entry;   /* pinned */
	struct pfs_reader *reader; /* owned; NULL: not open for reading */
	struct pfs_writer *writer; /* owned; NULL: not open for writing */
	pthread_mutex_t lock;
	_Atomic unsigned refs;
	_Atomic bool closing; /* RELEASE has come */
	struct pfs_lane read, write;
	struct pfs_parked poll_in, poll_out;
	_Atomic bool refused;	      /* EAGAIN was answered since poll was looked after */
	_Atomic bool polled;	      /* somebody has ever polled */
	struct fuse_pollhandle *poll; /* lock; owned */
	bool poll_armed;	      /* lock: the kernel wants to be told */
	struct pfs_job close;
};

/* A held READ or WRITE. */
struct pfs_waiting {
	struct pfs_held held;
	struct pfs_pipe *pipe; /* a reference */
	struct pfs_lane *lane; /* borrowed from pipe */
	size_t size;
	bool record;   /* READ: at most one record */
	bool nonblock; /* waits for its turn only: then EAGAIN */
	uid_t uid;
	size_t charged;	   /* WRITE: accounted to uid */
	const char *bytes; /* WRITE: its bytes, in `kept` or in `copy` */
	void *kept;	   /* the request's buffer */
	char copy[];
};

static inline struct pfs_pipe *pfs_pipe_of(struct pfs_file *file)
{
	return CONTAINER_OF(file, struct pfs_pipe, file);
}

void pfs_pipe_unref(struct pfs_pipe *pipe);
static inline void pfs_pipe_ref(struct pfs_pipe *pipe)
{
	atomic_fetch_add(&pipe->refs, 1);
}

void pfs_parked_init(struct pfs_parked *parked, struct pfs_pipe *pipe,
		     void (*woken)(struct pfs_pipe *pipe));
/* Takes a parked waiter back for good, if it can still be. */
void pfs_parked_cancel(struct pfs_parked *parked, bool unparked);

/* A request for a lane with room for n bytes. NULL: no memory. */
struct pfs_waiting *pfs_waiting_new(struct pfs_pipe *pipe, struct pfs_lane *lane, fuse_req_t req,
				    size_t n);
void pfs_waiting_free(struct pfs_waiting *waiting);

/*
 * Nobody serves the lane and nobody waits in it: 1, and the caller serves, until pfs_lane_leave(). 0:
 * somebody serves and will be done soon. -EAGAIN: others wait already.
 */
int pfs_lane_enter(struct pfs_pipe *pipe, struct pfs_lane *lane);
/* Lets a request wait its turn. front: the caller serves, and this request found nothing. */
void pfs_lane_wait(struct pfs_pipe *pipe, struct pfs_lane *lane, struct pfs_waiting *waiting,
		   bool front);
/* Serves who waits until somebody finds nothing. Returns how many were served. */
unsigned pfs_lane_leave(struct pfs_pipe *pipe, struct pfs_lane *lane);
/* The same for one who does not serve yet. */
unsigned pfs_lane_run(struct pfs_pipe *pipe, struct pfs_lane *lane);

void pfs_pipe_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags);
void pfs_pipe_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size, int flags);
void pfs_pipe_poll(struct pfs_file *file, fuse_req_t req, unsigned events,
		   struct fuse_pollhandle *handle);
void pfs_pipe_read_init(struct pfs_pipe *pipe);
void pfs_pipe_write_init(struct pfs_pipe *pipe);
void pfs_pipe_poll_init(struct pfs_pipe *pipe);
/* Answers EAGAIN. */
void pfs_pipe_refuse(struct pfs_pipe *pipe, fuse_req_t req);
/*
 * A READ or WRITE has changed what poll would say: the kernel shall hear of the next change. If it
 * found nothing (EAGAIN), what has come since is a change too.
 */
void pfs_pipe_poll_again(struct pfs_pipe *pipe);

/* Room that poll(2) waits for before it says that a write will not wait. */
#define PFS_POLL_ROOM PFS_WRITE_MAX

#endif
