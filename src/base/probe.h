/*
 * probe - does a mount answer? Asked by a thread that nobody waits for
 */
#ifndef PFS_BASE_PROBE_H
#define PFS_BASE_PROBE_H

#include "base/base.h"

/* Asks through the mount, from a thread that may wait for ever, whether it answers. */
struct pfs_probe;
int pfs_probe_start(const char *dir, struct pfs_probe **ret_probe);
/*
 * Starts a question if none is open. Returns true when one has been open all the time since the
 * last call, which has not been answered.
 */
bool pfs_probe_ask(struct pfs_probe *probe);

#endif
