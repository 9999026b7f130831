/*
 * herd - the redirect processes of a mount: started, configured, watched, ended
 *
 * One process for each outermost tree (outer.h), started through the spawner with its end of the link (link.h) as
 * stdin:
 *
 *	pipesfs redirect --link 0 TREE
 *
 * A change is made on a copy of the registry; then the processes are brought there: those that stay get the new
 * configuration, trees that nobody wants any more are detached, new ones begin. Whoever refuses, or does not answer
 * within RD_HERD_PATIENCE, makes the change fail with its sentence, and the herd goes back to what was. So when
 * rd_herd_change() returns 0 what it changed is in force everywhere.
 *
 * A process that dies or talks nonsense leaves: what it has mounted is detached at once, so the originals are back,
 * nobody waits, and a sentence says so; the next change begins it again. One that was told to leave detaches, but
 * stays while files are open in it.
 *
 * Threads: all functions on any; changes wait for each other. Callbacks come on the herd's own thread, with no lock
 * held.
 */
#ifndef RD_HERD_H
#define RD_HERD_H

#include "redir/link.h"
#include "redir/registry.h"
#include "redir/watch.h"

#define RD_HERD_PATIENCE 5000 /* ms */

struct pfs_spawner;
struct rd_herd;

struct rd_herd_options {
	struct pfs_spawner *spawner; /* borrowed */
	const char *const *program; /* argv in front of "--link 0 TREE"; ends with NULL; borrowed */
	/* Detaches every mount of that device, lazily, for a process that cannot do it any more. */
	void (*detach)(void *arg, unsigned major, unsigned minor);
	void (*say)(void *arg, const char *sentence);
	/* What a filter says of itself; NULL: nobody is told. */
	void (*hear)(void *arg, const char *filter, const char *sentence);
	void *arg;
	unsigned patience; /* ms; 0: RD_HERD_PATIENCE */
};

int rd_herd_new(const struct rd_herd_options *options, struct rd_herd **ret_herd);
/* Every tree is detached, and nothing can be changed any more (-ESHUTDOWN). */
void rd_herd_end(struct rd_herd *herd);
/* The same, and every process is ended, those with open files, too. NULL is fine. */
void rd_herd_free(struct rd_herd *herd);

/* change() works on the copy; -errno from it, or from any process. */
int rd_herd_change(struct rd_herd *herd,
		   int (*change)(void *arg, struct rd_registry *next, struct pfs_diag *diag),
		   void *arg, struct pfs_diag *diag);
/* look() sees what is in force; it must not wait. */
void rd_herd_look(struct rd_herd *herd, void (*look)(void *arg, const struct rd_registry *now),
		  void *arg);
/* The numbers of one filter, of all processes together. -ENODEV; a process that does not answer is left out. */
int rd_herd_numbers(struct rd_herd *herd, const char *name, struct rd_link_number *ret_number);
/*
 * Filters in other processes (join.h): hand(arg, peer, fd, memory) gives that process its end of the channel to a
 * redirect process, without waiting. With it go changes under way. NULL: no more.
 */
void rd_herd_hand(struct rd_herd *herd, int (*hand)(void *arg, uint64_t peer, int fd, int memory),
		  void *arg);
/* That process has died. Its filters have none from now on, whatever redirect processes say to that. */
void rd_herd_lose(struct rd_herd *herd, uint64_t peer);
/*
 * The operations of a filter, whether there is one of that name or it comes: watch.h. Waits for nobody; what is done
 * once rd_herd_watched() has returned is seen. -ENOMEM, -errno.
 */
int rd_herd_watch(struct rd_herd *herd, const char *name, struct rd_watch **ret_watch);
void rd_herd_unwatch(struct rd_herd *herd, struct rd_watch *watch); /* it is freed */
/* Waits until every process has taken what is watched now. -ETIMEDOUT. */
int rd_herd_watched(struct rd_herd *herd, unsigned milliseconds);
/* A line for each process, "TREE PID STATE\n": running, leaving. */
void rd_herd_list(struct rd_herd *herd, struct pfs_buf *out);

#endif
