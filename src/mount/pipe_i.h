/*
 * pipe_i - an open pipe file
 *
 *	pipe.c		names, open, release
 *	pipe_io.c	what is read and written, and where it waits
 *	pipe_share.c	clients that map what the reader gets
 *	pipe_lend.c	clients that are lent memory: producers, block mode
 */
#ifndef PFS_MOUNT_PIPE_I_H
#define PFS_MOUNT_PIPE_I_H

#include "graph/fill.h"
#include "graph/supply.h"
#include "mount/channel_i.h"
#include "mount/share.h"

struct pfs_pipe {
	struct pfs_channel channel;
	struct pfs_reader *reader; /* owned; NULL: not open for reading */
	struct pfs_writer *writer; /* owned; NULL: not open for writing */
	struct pfs_job close;
	struct pfs_given given; /* to its client */
	struct {		/* to its client, instead: pipe_lend.c */
		_Atomic(struct pfs_fill *) fill;
		_Atomic(struct pfs_supply *) supply;
		_Atomic bool reads, writes; /* that direction is the client's */
		_Atomic unsigned size;	    /* asked for; 0: nothing was */
		int nudge[2];		    /* owned; the client's, ours: wakes it */
		int calls[2];		    /* owned; ours, the client's: wakes us */
		struct pfs_shared_lent hello;
	} lent;
};

static inline struct pfs_pipe *pfs_pipe_of(struct pfs_channel *channel)
{
	return CONTAINER_OF(channel, struct pfs_pipe, channel);
}

int pfs_pipe_get(struct pfs_channel *channel, fuse_req_t req, const struct pfs_asked *asked);
int pfs_pipe_put(struct pfs_channel *channel, fuse_req_t req, const char *bytes, size_t size,
		 size_t *done);
/* References to the open file, for what a client has of it (struct pfs_share_kind). */
void pfs_pipe_hold(struct pfs_file *file);
void pfs_pipe_drop(struct pfs_file *file);
int pfs_pipe_answer(struct pfs_file *file, unsigned command, void *ret, size_t size);
/* ioctls of the client of what is lent. */
int pfs_pipe_size(struct pfs_file *file, unsigned command, int value);
int pfs_pipe_lend(struct pfs_file *file, unsigned command, void *ret, size_t size);
/* It is over, now or as soon as what was written has gone its way. True: that was a producer's, who ends the stream. */
bool pfs_pipe_reclaim(struct pfs_pipe *pipe);
void pfs_pipe_ran(struct pfs_channel *channel);
unsigned pfs_pipe_ready(struct pfs_channel *channel);
bool pfs_pipe_park_read(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size);
bool pfs_pipe_park_write(struct pfs_channel *channel, struct pfs_waiter *waiter, size_t size);
bool pfs_pipe_unpark_read(struct pfs_channel *channel, struct pfs_waiter *waiter);
bool pfs_pipe_unpark_write(struct pfs_channel *channel, struct pfs_waiter *waiter);

#endif
