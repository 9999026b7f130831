/*
 * dial - sockets of directories: `tcp:HOST:PORT` and its like, as sources and as sinks
 *
 * Such a directory has a socket for as long as it exists, opened with the rights of its maker: by a helper process
 * (portal/helper.h) that is there while it opens, and has gone afterwards. Names are resolved there, too.
 *
 *	pfs_dial_parse(kind, listen, "example.org:80", &plan, diag)
 *	pfs_dial_init(&dial, spawner, &caller, &plan)
 *	pfs_dial_wait(&dial, timeout, &fd, diag)		mkdir: the caller waits
 *
 *	pfs_dial_begin(&dial, diag)				later: nobody waits
 *	poll(pfs_dial_fd(&dial)); pfs_dial_run(&dial, &fd, diag)
 *
 * Threads: one at a time; whoever has the dial.
 */
#ifndef PFS_PORTAL_DIAL_H
#define PFS_PORTAL_DIAL_H

#include "portal/helper.h"

struct pfs_dial {
	struct pfs_spawner *spawner; /* borrowed */
	struct pfs_caller caller;
	struct pfs_portal_plan plan;
	struct pfs_helpers *helpers; /* NULL: nothing is under way */
	struct pfs_portal_opening opening;
	uint64_t deadline; /* ns, monotonic; of what is under way */
	bool done;
	int result;
	int fd; /* owned, between done and taken */
	enum pfs_portal_type type;
	struct pfs_diag diag;
	char what[128]; /* of the last one that succeeded: "LOCAL PEER", or where it listens */
};

/*
 * What the argument of such a directory means: HOST:PORT, [V6]:PORT, HOST PORT, and where one listens ANY:PORT or just
 * PORT; of unix: an absolute path, or @NAME. text is the argument as it was named, without escapes. -EINVAL,
 * -ENAMETOOLONG, -ENOMEM, with a sentence.
 */
int pfs_dial_parse(enum pfs_portal_kind kind, bool listen, const char *text,
		   struct pfs_portal_plan *ret_plan, struct pfs_diag *diag);

/* Takes over what caller and plan own; who calls has filled the plan. */
void pfs_dial_init(struct pfs_dial *dial, struct pfs_spawner *spawner, struct pfs_caller *caller,
		   struct pfs_portal_plan *plan);
/* Gives up what is under way. Zeroed is fine. */
void pfs_dial_release(struct pfs_dial *dial);

/* Begins to open. Nothing is under way. -errno with a sentence. May take some ms: a process is started. */
int pfs_dial_begin(struct pfs_dial *dial, struct pfs_diag *diag);
bool pfs_dial_busy(const struct pfs_dial *dial);
/* Readable: pfs_dial_run() has something to do. While busy. */
int pfs_dial_fd(const struct pfs_dial *dial);
/* When pfs_dial_run() wants to be called at the latest, ns on the monotonic clock. While busy. */
uint64_t pfs_dial_due(const struct pfs_dial *dial);
/*
 * -EAGAIN: not yet. 0: *ret_fd is open, not blocking, the callee's; or -errno and the sentence: what open(2) of the
 * portal says, -ETIMEDOUT if that took too long. Then it is not busy any more.
 */
int pfs_dial_run(struct pfs_dial *dial, int *ret_fd, struct pfs_diag *diag);
void pfs_dial_cancel(struct pfs_dial *dial);

/* Begins and waits. -EINTR: a signal came. */
int pfs_dial_wait(struct pfs_dial *dial, int *ret_fd, struct pfs_diag *diag);

#endif
