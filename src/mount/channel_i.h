/*
 * channel_i - an open file whose readers and writers may have to wait: a pipe file, a portal
 *
 *	channel.c	READ and WRITE: answered now, or held until there is something
 *	lane.c		who waits for the channel, and wake-ups
 *	channel_poll.c	poll, select, epoll
 *
 * What is read and written, and where one parks, is the kind's affair: struct pfs_channel_ops.
 *
 * A *lane* is one direction: its held requests in the order they came, and at most one thread that
 * serves them. What is served is taken first, so an interrupt cannot answer it too; what finds
 * nothing is put back to the front, and the lane is parked with one waiter however many requests wait.
 *
 * A wake-up may come on any thread, deep inside the engine, and serves the lane right there; those
 * that come while one is being handled on the same thread wait in a list until it is done, so the
 * stack stays flat.
 *
 * Lifetime: the open file holds a reference, each held request one, each parked waiter one. The
 * last one calls ops->last (a wake-up may be what drops it).
 */
#ifndef PFS_MOUNT_CHANNEL_I_H
#define PFS_MOUNT_CHANNEL_I_H

#include <poll.h>

#include "mount/mount_i.h"
#include "ring/wait.h"

struct pfs_channel;
struct pfs_waiting;

struct pfs_parked {
	struct pfs_waiter waiter;
	struct pfs_channel *channel; /* a reference while parked */
	bool on;		     /* channel lock: parked, or about to be */
	void (*woken)(struct pfs_channel *channel);
	struct pfs_parked *next; /* list of the waking thread */
};

struct pfs_lane {
	/* Answers the request and frees it: 0. Or -EAGAIN, and it may have got on, but is not done. */
	int (*serve)(struct pfs_channel *channel, struct pfs_waiting *waiting);
	/* Parks. False: there is something already. */
	bool (*park)(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size);
	struct pfs_held *first, *last; /* channel lock */
	bool serving;		       /* channel lock */
	bool again;		       /* channel lock: woken while serving */
	struct pfs_parked parked;
};

/* A READ. */
struct pfs_asked {
	size_t size;
	bool record;	 /* at most one */
	bool nonblock;	 /* waits for its turn only: then EAGAIN */
	uint64_t unique; /* the kernel's number of it */
};

/* What a kind of channel does. None of these waits. */
struct pfs_channel_ops {
	/* Answers with what is there: 0. -EAGAIN: nothing is there, nothing was answered. */
	int (*read)(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked);
	/*
	 * Takes bytes from *done on, adds to it, and answers when all are taken: 1. Answers an error: 0. -EAGAIN:
	 * not all of them, nothing was answered.
	 */
	int (*write)(struct pfs_channel *channel, fuse_req_t req, const char *bytes, size_t size,
		     size_t *done);
	/* Bytes were taken and answered: what is to be done about them now. NULL: nothing. */
	void (*wrote)(struct pfs_channel *channel);
	/* POLLIN, POLLOUT, POLLHUP ... of the directions that are open. */
	unsigned (*ready)(struct pfs_channel *channel);
	/* Park until there may be something to read, room for size bytes. False: there is already. */
	bool (*park_read)(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size);
	bool (*park_write)(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size);
	/* True: taken back, will not be woken. */
	bool (*unpark_read)(struct pfs_channel *channel, struct pfs_waiter *waiter);
	bool (*unpark_write)(struct pfs_channel *channel, struct pfs_waiter *waiter);
	/* Nobody refers to it any more: pfs_channel_release() and free. */
	void (*last)(struct pfs_channel *channel);
};

/* Kinds put it first in theirs. */
struct pfs_channel {
	struct pfs_file file;
	const struct pfs_channel_ops *ops;
	struct pfs_entry *entry; /* pinned */
	bool reads, writes;	 /* directions that are open; set before anybody can use it */
	pthread_mutex_t lock;
	_Atomic unsigned refs;
	_Atomic bool closing; /* RELEASE has come */
	struct pfs_lane read, write;
	struct pfs_parked poll_in, poll_out;
	_Atomic bool refused;	      /* EAGAIN was answered since poll was looked after */
	_Atomic bool polled;	      /* somebody has ever polled */
	struct fuse_pollhandle *poll; /* lock; owned */
	bool poll_armed;	      /* lock: the kernel wants to be told */
};

/* A held READ or WRITE. */
struct pfs_waiting {
	struct pfs_held held;
	struct pfs_channel *channel; /* a reference */
	struct pfs_lane *lane;	     /* borrowed from channel */
	struct pfs_asked asked;	     /* WRITE: its size and nonblock */
	uid_t uid;
	size_t charged;	   /* WRITE: accounted to uid */
	size_t done;	   /* WRITE: bytes that were taken */
	const char *bytes; /* WRITE: its bytes, in `kept` or in `copy` */
	void *kept;	   /* the request's buffer */
	char copy[];
};

static inline struct pfs_channel *pfs_channel_of(struct pfs_file *file)
{
	return CONTAINER_OF(file, struct pfs_channel, file);
}

/* One reference; pins the entry. */
void pfs_channel_init(struct pfs_channel *channel, struct pfs_mount *mount, struct pfs_entry *entry,
		      const struct pfs_kind *kind, const struct pfs_channel_ops *ops);
void pfs_channel_release(struct pfs_channel *channel);
void pfs_channel_unref(struct pfs_channel *channel);
static inline void pfs_channel_ref(struct pfs_channel *channel)
{
	atomic_fetch_add(&channel->refs, 1);
}

/*
 * The last close: nothing is held any more, but waiters may be parked, a poll's, or that of a read that was
 * interrupted. Takes them back; the open file's reference is the caller's to drop.
 */
void pfs_channel_close(struct pfs_channel *channel);

/* Operations of a kind. */
void pfs_channel_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags);
void pfs_channel_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size,
		       int flags);
void pfs_channel_poll(struct pfs_file *file, fuse_req_t req, unsigned events,
		      struct fuse_pollhandle *handle);

/*
 * Answers an OPEN: direct I/O, no FLUSH unless it is asked for, and a stream in the kernel's sense if both
 * directions are open. Once it is answered the file may be closed.
 */
int pfs_channel_reply_open(struct pfs_channel *channel, fuse_req_t req, bool flush);

/* --- within --------------------------------------------------------------------------------- */

void pfs_parked_init(struct pfs_parked *parked, struct pfs_channel *channel,
		     void (*woken)(struct pfs_channel *channel));
/* Takes a parked waiter back for good, if it can still be. */
void pfs_parked_cancel(struct pfs_parked *parked, bool unparked);

/* A request for a lane with room for n bytes. NULL: no memory. */
struct pfs_waiting *pfs_waiting_new(struct pfs_channel *channel, struct pfs_lane *lane,
				    fuse_req_t req, size_t n);
void pfs_waiting_free(struct pfs_waiting *waiting);

/*
 * Nobody serves the lane and nobody waits in it: 1, and the caller serves, until pfs_lane_leave(). 0:
 * somebody serves and will be done soon. -EAGAIN: others wait already.
 */
int pfs_lane_enter(struct pfs_channel *channel, struct pfs_lane *lane);
/* Lets a request wait its turn. front: the caller serves, and this request found nothing. */
void pfs_lane_wait(struct pfs_channel *channel, struct pfs_lane *lane, struct pfs_waiting *waiting,
		   bool front);
/* Serves who waits until somebody finds nothing. Returns how many were served. */
unsigned pfs_lane_leave(struct pfs_channel *channel, struct pfs_lane *lane);
/* The same for one who does not serve yet. */
unsigned pfs_lane_run(struct pfs_channel *channel, struct pfs_lane *lane);

void pfs_channel_poll_init(struct pfs_channel *channel);
/* Answers EAGAIN. */
void pfs_channel_refuse(struct pfs_channel *channel, fuse_req_t req);
/*
 * A READ or WRITE has changed what poll would say: the kernel shall hear of the next change. If it
 * found nothing (EAGAIN), what has come since is a change too.
 */
void pfs_channel_poll_again(struct pfs_channel *channel);

/* Room that poll(2) waits for before it says that a write will not wait. */
#define PFS_POLL_ROOM PFS_WRITE_MAX

#endif
