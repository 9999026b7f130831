/*
 * keeper - the process that outlives the one that serves a mount
 *
 *	signal_fd = pfs_keeper_prepare();	this process becomes the keeper
 *	... mount ...
 *	return pfs_keeper_keep(&kept, signal_fd, ready_fd);
 *
 * The keeper forks the child that serves, and holds no descriptor of /dev/fuse itself: it could only delay the
 * abort that frees
 * who waits. When the child has ended, is stopped or does not answer, it is killed, the mount is detached, and
 * that is said.
 * SIGTERM and SIGINT end both, SIGHUP is handed on. It gives up all privileges but those to unmount.
 */
#ifndef PFS_BASE_KEEPER_H
#define PFS_BASE_KEEPER_H

#include "base/base.h"

/* Sent on the socket between the two: READY, or a sentence why not. */
#define PFS_KEEPER_READY "ready"

struct pfs_kept {
	const char *dir;
	unsigned dev_major, dev_minor;
	uint64_t unique;  /* pfs_mount_unique() */
	uint64_t stall;	  /* ns without an answer until the child is killed; 0: never */
	bool foreground;  /* speak on stderr */
	const char *lost; /* what its death means: "its pipelines are gone: mount again" */
	int (*serve)(void *arg, int keeper_fd); /* in the child: its exit status */
	void (*leave)(void *arg); /* in the keeper, once the child is there: closes /dev/fuse */
	void (*ready)(void *arg); /* in the keeper, once the child serves; may be NULL */
	void *arg;
};

/* Signals blocked, "/" the working directory. A descriptor for pfs_keeper_keep(), or -errno, which was said. */
int pfs_keeper_prepare(void);
/*
 * Until the end; the exit status. ready_fd gets one zero byte once the mount can be used, and
 * is closed; -1: nobody waits.
 */
int pfs_keeper_keep(const struct pfs_kept *kept, int signal_fd, int ready_fd);

#endif
