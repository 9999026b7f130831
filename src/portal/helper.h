/*
 * helper - portals opened with the rights of others
 *
 * One helper process per caller (same uid, gid, groups, no_new_privs, network namespace), started by the spawner,
 * ended when it has had nothing to do for a while. It runs a loop of portal/portal.h and hands descriptors over.
 * The client trusts it no more than it trusts the caller: a helper belongs to a user, who may stop or kill it.
 *
 *	spawner = pfs_spawner_new(pfs_helper_main, ...)		early
 *	helpers = pfs_helpers_new(spawner, &options)
 *	pfs_helper_open(helpers, caller, opening)		any thread; may wait some ms for a process
 *	poll(pfs_helpers_fd(helpers)); pfs_helpers_run(helpers)	one thread; callbacks come from here
 *	pfs_helper_end(helpers, opening)			any thread
 *
 * Openings and their callbacks are those of portal.h. pfs_helper_end() waits for a callback of this opening that
 * runs on another thread: hold no lock that a callback takes.
 */
#ifndef PFS_PORTAL_HELPER_H
#define PFS_PORTAL_HELPER_H

#include "base/spawn.h"
#include "portal/portal.h"

struct pfs_helpers;

struct pfs_helpers_options {
	unsigned portals_max;  /* of one user at a time: beyond it EMFILE */
	unsigned commands_max; /* of these, commands: EAGAIN */
};

/* What a helper does; for pfs_spawner_new(). */
int pfs_helper_main(int fd);

/* spawner: borrowed. */
int pfs_helpers_new(struct pfs_spawner *spawner, const struct pfs_helpers_options *options,
		    struct pfs_helpers **ret_helpers);
/* Closes all helpers' sockets; they end their commands and themselves. Every opening has been ended. NULL is fine. */
void pfs_helpers_free(struct pfs_helpers *helpers);

int pfs_helpers_fd(const struct pfs_helpers *helpers);
void pfs_helpers_run(struct pfs_helpers *helpers);

/*
 * Begins. plan and limits are used during the call only. 0: done() will come. Else it will not: -EMFILE, -EAGAIN (too
 * many, or no process), -ESHUTDOWN (the spawner is gone), -ENOMEM; the sentence is in diag.
 */
int pfs_helper_open(struct pfs_helpers *helpers, const struct pfs_caller *caller,
		    struct pfs_portal_opening *opening, struct pfs_diag *diag);
/* As pfs_portal_end(). Also for one that was never begun. */
void pfs_helper_end(struct pfs_helpers *helpers, struct pfs_portal_opening *opening);

#endif
