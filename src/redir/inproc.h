/*
 * inproc - filters in this process: shared objects with an rfs_module (pipesfs/urfs.h)
 *
 * A file is loaded only when root or the user who made the mount owns it and nobody else may
 * write it. What runs is a copy, so it may be loaded twice, and replaced meanwhile. Its filters are
 * called on the thread that does the operation; nothing enforces their
 * deadline, and their mistakes are this process's. All accesses of this process are the filters'
 * own.
 */
#ifndef RD_INPROC_H
#define RD_INPROC_H

#include <pipesfs/urfs.h>

#include "redir/configured.h"

struct rd_module;

/*
 * Loads it and calls its start() with argv (argv[0]: the file), which registers filters with
 * config. user: who may own the file, too. -EACCES: it may not be trusted; -ENOEXEC: no shared
 * object, or no filter of this version; what start() returned.
 */
int rd_module_load(struct rd_config *config, const char *file, uid_t user, int argc, char **argv,
		   struct rd_module **ret_module, struct pfs_diag *diag);
/*
 * The same for a filter that config has already (rd_config_replace()): the one filter that start() registers is that,
 * whatever it calls itself, and what it says of priority, activity, policy and paths counts for nothing. -E2BIG: it
 * registers several; -ENOENT: none. rd_module_unload() leaves the configuration's filter there, without a hook.
 */
int rd_module_adopt(struct rd_config *config, const char *name, const char *file, uid_t user,
		    int argc, char **argv, struct rd_module **ret_module, struct pfs_diag *diag);
/*
 * Unregisters its filters; waits until nobody is in them. What they keep goes with its objects,
 * the code after that. NULL is fine.
 */
/*
 * Who hears what shared objects say after they have started (urfs_say()), with the name of a filter; on any thread.
 * Before any is loaded. Else it goes to the log.
 */
void rd_modules_hear(void (*hear)(void *arg, const char *filter, const char *sentence), void *arg);
void rd_module_unload(struct rd_module *module);
/* Asks the modifier callback of a filter. -ENOENT: not one of this module; -EOPNOTSUPP: it has none. */
int rd_module_modify(struct rd_module *module, const char *name, union rfs_mod *mod);

#endif
