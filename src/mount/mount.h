/*
 * mount - a graph as a mounted filesystem, and the two processes that hold it up
 *
 * This folder is the only code that knows FUSE. It is used by the commands:
 *
 *	struct pfs_mount_options options;
 *
 *	pfs_mount_options_init(&options);
 *	pfs_mount_options_parse(&options, "ring=4M,stall=5", &diag);
 *	options.dir = realpath(...);
 *	return pfs_keeper_run(&options, -1);		the calling process becomes the keeper
 *
 * Two processes. The *keeper* mounts, forks *streams* and watches it; streams holds /dev/fuse, the
 * graph and every byte. Each ends the mount when the other is gone:
 *
 *	streams dies		the kernel aborts the connection when its descriptor closes: all waiters get
 *				ECONNABORTED at once. The keeper detaches the mount and says so.
 *	streams is stopped	or does not answer for stall= seconds: the keeper kills it; as above.
 *	the keeper dies		streams sees the socket between them close: readers get EOF, the mount is detached.
 *	the keeper is stopped	nothing depends on it.
 *
 * The keeper does not keep a descriptor of /dev/fuse: it could only delay the abort that frees the
 * waiters, above all while the keeper itself is stopped.
 */
#ifndef PFS_MOUNT_MOUNT_H
#define PFS_MOUNT_MOUNT_H

#include <limits.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/detach.h"
#include "base/mountinfo.h"

#define PFS_MOUNT_OPTION_SIZE 40 /* of a name */

/* --- options ------------------------------------------------------------------------ */

struct pfs_mount_options {
	char *dir;	 /* owned; absolute, resolved */
	bool foreground; /* stay with the terminal, speak on stderr */
	bool allow_other;
	uint64_t ring;	 /* bytes of each ring, 0: default */
	uint64_t memory; /* bytes in all, 0: default */
	uint64_t nodes;	 /* 0: default */
	/* What one user may have who neither is root nor mounted; 0: default. */
	uint64_t user_nodes, user_memory, user_processes, user_opens, user_sockets;
	uint64_t user_portals, user_commands; /* the same, at a time */
	uint64_t latency;		      /* ns */
	uint64_t stall;	       /* ns without an answer until streams is killed; 0: never */
	char *portals;	       /* portal.conf; owned; NULL: the usual one */
	struct pfs_buf kernel; /* what mount(2) gets: "ro,noatime" */
	char *redirections;    /* owned; folder of commands of redirctl; as pipelines */
	char *pipelines; /* owned; folder of pipelines that the command makes; "": none, NULL: the usual one */
};

void pfs_mount_options_init(struct pfs_mount_options *options);
void pfs_mount_options_release(struct pfs_mount_options *options);
/* Adds "name=value,name,..." to options. -EINVAL: the sentence says which one and why. -ENOMEM. */
int pfs_mount_options_parse(struct pfs_mount_options *options, const char *text, struct pfs_diag *diag);
/* The options of the manual one by one, "ring=" or "ro", from 0 on. False: there are no more. */
bool pfs_mount_option(size_t index, char ret_name[PFS_MOUNT_OPTION_SIZE], const char **ret_summary);
/* One line an option, for the manual. */
void pfs_mount_options_help(struct pfs_buf *out);

/* --- the processes ------------------------------------------------------------------- */

/*
 * Mounts at options->dir, forks streams, watches it until the end. Returns the exit status of the
 * process. ready_fd gets one zero byte once the mount can be used, and is closed; -1: nobody waits.
 */
int pfs_keeper_run(struct pfs_mount_options *options, int ready_fd);

/* --- ending one ------------------------------------------------------------------------- */

/*
 * Sends a signal to the processes that hold the other end of a FUSE connection. -ESRCH: none was
 * found, or the kernel does not tell (before Linux 6.18), or it may not be sent.
 */
int pfs_mount_signal(unsigned minor, int number);

/*
 * Does the mount at dir answer? Asked in a child of its own: 0, -ENOTCONN (its daemon is gone),
 * -ETIMEDOUT.
 */
int pfs_mount_answers(const char *dir, unsigned milliseconds);

/*
 * Tells the daemon of the mount at dir to end its streams and itself, through the mount's .control
 * file, in a child. ret_keeper and ret_streams: their process ids, 0 when not told. -ETIMEDOUT,
 * -ENOTCONN, -EACCES, -EROFS (it is mounted read-only; the ids are there), ...
 */
int pfs_mount_end(const char *dir, unsigned milliseconds, pid_t *ret_keeper, pid_t *ret_streams);

#endif
