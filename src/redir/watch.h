/*
 * watch - somebody reads the operations of a filter, of all redirect processes together
 *
 * Made and ended by the herd (rd_herd_watch()), which hands a tap (tap.h) of it to each process, also to those that
 * begin later. A process that has gone leaves what it had put; then its tap goes.
 *
 *	rd_herd_watch(herd, "scan", &watch);
 *	do {
 *		while (rd_watch_read(watch, &operation) == 1)
 *			...
 *	} while (poll(rd_watch_fd(watch)) ...);
 *	rd_herd_unwatch(herd, watch);
 *
 * Threads: rd_watch_read() on one at a time, the rest on any. Its lock is a leaf.
 */
#ifndef RD_WATCH_H
#define RD_WATCH_H

#include <pthread.h>

#include "redir/configured.h"
#include "redir/tap.h"

#define RD_WATCH_TAPS 512

struct rd_watch_tap {
	struct rd_tap *tap; /* a reference */
	uint64_t process;   /* who puts into it; 0: it has gone */
};

/* The herd's to make; else only the functions below. */
struct rd_watch {
	char name[RD_NAME_MAX];
	uint64_t serial;       /* herd: of it; those of a process are told apart by that */
	struct rd_watch *next; /* herd */
	int wake_fd;	       /* owned */
	pthread_mutex_t lock;
	struct rd_watch_tap tap[RD_WATCH_TAPS]; /* lock; n of them */
	size_t n, at;				/* lock; at: who is read */
	uint64_t lost;				/* lock: of taps that have gone */
	struct rd_tap *reading; /* a reference: of the operation that was given last */
};

int rd_watch_fd(const struct rd_watch *watch); /* readable: there may be something */
/* 1: one, whose texts stay until the next call; 0: none now, and the descriptor will say when there is. */
int rd_watch_read(struct rd_watch *watch, struct rd_operation *ret_operation);
/* Operations that found no room, so far, and one for each process of which nothing, or nonsense, can be had. */
uint64_t rd_watch_lost(struct rd_watch *watch);

/* --- the herd's ------------------------------------------------------------------------------- */

int rd_watch_new(const char *name, struct rd_watch **ret_watch);
void rd_watch_free(struct rd_watch *watch); /* NULL is fine */
/* A tap for that process. *ret_memory_fd is the caller's. -ENOSPC, -ENOMEM. */
int rd_watch_add(struct rd_watch *watch, uint64_t process, int *ret_memory_fd);
void rd_watch_gone(struct rd_watch *watch, uint64_t process);
void rd_watch_fail(struct rd_watch *watch, uint64_t process); /* it will put nothing */

#endif
