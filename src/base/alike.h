/*
 * alike - has a caller exactly our rights?
 *
 * For a process that never becomes anybody else, and acts for whom it is: whoever has given up anything that it still
 * has (an id, a group, a capability, the right to gain privileges, a namespace, a root directory, freedom from a
 * seccomp filter, a security label) would get it back here, and is refused. base/caller.h is for those who can become
 * others.
 *
 * Quick: it stands between a caller and his descriptor. Reads /proc/TID only, and waits for nobody.
 */
#ifndef PFS_BASE_ALIKE_H
#define PFS_BASE_ALIKE_H

#include <sys/types.h>

#include "base/base.h"

struct pfs_alike; /* what we are; immutable */

/*
 * Takes down what this process is. filters: how many seccomp filters a caller is under besides ours. -errno: /proc is
 * not as it should be; -ENOMEM.
 */
int pfs_alike_new(unsigned filters, struct pfs_alike **ret_alike, struct pfs_diag *diag);
void pfs_alike_free(struct pfs_alike *alike);

/*
 * tid: a thread that waits for us; that it still does must be asked afterwards, for then all that was read was of it.
 * deep: in namespaces too that matter to processes alone (pid, ipc, uts, cgroup, time). *ret_umask is the caller's.
 *
 * -EPERM: no, and the sentence says in what. -EXDEV: in another root directory or mount namespace, where names mean
 * other things.
 */
int pfs_alike_check(const struct pfs_alike *alike, pid_t tid, bool deep, mode_t *ret_umask,
		    struct pfs_diag *diag);

#endif
