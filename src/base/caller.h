/*
 * caller - who asks, and being him
 *
 * What is done for a user must be done as that user: uid, gid, groups, umask, limits, no_new_privs, network
 * namespace. A caller is taken down once, from /proc, while he waits for our answer (so his id stays his); it can
 * be kept and used later, when he has gone.
 *
 *	pfs_home_get(&home)				early, while all privileges are there
 *	pfs_caller_get(&home, tid, uid, gid, &caller)	in the daemon, which may read /proc/TID
 *	pfs_caller_become(&caller, true)		in a child of a process that may change its ids; for good
 *
 * Refused (-EPERM, with a sentence) is whom we cannot be: who lives in another mount, user, pid, ipc, uts, cgroup
 * or time namespace or has another root directory; who has fewer capabilities than his uid implies (root without
 * all of ours, or anybody whose bounding set is smaller than ours); who is confined by a seccomp filter that we are
 * not under; whom the kernel does not show us.
 */
#ifndef PFS_BASE_CALLER_H
#define PFS_BASE_CALLER_H

#include <sys/resource.h>
#include <sys/types.h>

#include "base/base.h"

struct pfs_caller {
	uid_t uid;
	gid_t gid;
	size_t ngroups;
	gid_t *groups; /* owned */
	mode_t umask;
	bool no_new_privs;
	bool confined; /* to become: without any capability, root too, and with no_new_privs. _get() says no */
	struct rlimit limits[RLIM_NLIMITS];
	int netns_fd;	/* owned; -1: ours */
	uint64_t netns; /* number of his network namespace */
};

#define PFS_CALLER PFS_CLEANUP(pfs_caller_release)

/* What callers are compared with: this process, its namespaces, its privileges. Plain data. */
struct pfs_home {
	char ns[8][40]; /* as /proc/self/ns/NAME reads */
	uint64_t netns;
	uint64_t root_dev, root_ino, root_mnt;
	uint64_t cap_prm, cap_bnd;
	unsigned seccomp; /* filters */
};

/* Before privileges are given up. -errno: /proc is not as it should be. */
int pfs_home_get(struct pfs_home *ret_home);

/*
 * tid: the thread that waits for us; uid and gid as the kernel told them (its fsuid and fsgid). -EPERM, -ENOMEM.
 * Reads /proc only: waits for nobody.
 */
int pfs_caller_get(const struct pfs_home *home, pid_t tid, uid_t uid, gid_t gid,
		   struct pfs_caller *ret_caller, struct pfs_diag *diag);
/* The process that calls. */
int pfs_caller_self(struct pfs_caller *ret_caller);
int pfs_caller_copy(const struct pfs_caller *caller, struct pfs_caller *ret_caller);
void pfs_caller_release(struct pfs_caller *caller);

/* The same rights: uid, gid, groups, no_new_privs, network namespace. What may be done for one may be for the other. */
bool pfs_caller_same(const struct pfs_caller *a, const struct pfs_caller *b);

/*
 * Turns the calling process, which has one thread, into the caller, with no way back: network namespace, groups, gid,
 * uid, no capability that the uid does not imply, a session keyring of its own, no_new_privs, umask. Limits only when
 * asked for. -EPERM: we may not, and nothing may go on.
 */
int pfs_caller_become(const struct pfs_caller *caller, bool limits);

#endif
