/*
 * join - filters of other processes are filters of the registry
 *
 * Listens for liburfs (control.h). What a process says about its filters is a change of the registry, in force in all
 * redirect processes when the answer comes. The channels that calls go over are between those and the process; here
 * their ends are only handed on (herd.h).
 *
 * A process that unregisters its filters, or closes, takes them along. When it dies they stay, without a process, until
 * one of their name joins or they are unregistered (docs/decisions/026).
 */
#ifndef RD_JOIN_H
#define RD_JOIN_H

#include <pipesfs/urfs.h>

#include "redir/herd.h"

struct rd_join;

struct rd_join_options {
	struct rd_herd *herd; /* borrowed */
	const char *path;     /* where to listen */
	/* A path that a process names, as the registry wants it: its path and tree are then the caller's, allocated. */
	int (*place)(void *arg, struct rd_rule_new *rule, struct pfs_diag *diag);
	void (*left)(void *arg, const char *name); /* that filter has gone for good */
	void (*say)(void *arg, const char *sentence);
	void *arg;
};

/* -EADDRINUSE: somebody listens there. */
int rd_join_new(const struct rd_join_options *options, struct rd_join **ret_join,
		struct pfs_diag *diag);
/* Whoever is connected is hung up on. NULL is fine. */
void rd_join_free(struct rd_join *join);
/*
 * May this be done to a filter? Asks its process, for at most the filter's deadline; 0 for all that have none now.
 * -EPERM: it has no modifier callback; -errno: what that says.
 */
int rd_join_modify(struct rd_join *join, const char *name, const union rfs_mod *mod,
		   struct pfs_diag *diag);

#endif
