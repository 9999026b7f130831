/*
 * trap - which system calls are brought before us, and what they ask
 *
 * A seccomp filter cannot read memory, so it cannot see a path. What it can see already spares most of what needs no
 * answer, and everything else that opens by path waits for the holder of the listener:
 *
 *	open openat openat2 creat	wait, but for opens of directories (O_DIRECTORY), opens that look only (O_PATH)
 *					and opens that make a new file (O_CREAT with O_EXCL): these go on at once, since
 *					no portal can answer them
 *	landlock_restrict_self		waits: who confines himself is no longer who we are (portal/opener.h)
 *	io_uring_setup			ENOSYS: what is opened through a ring is not seen. Programs then do without
 *
 * Calls of other kinds cost nothing. 32-bit programs (i386, x32) on x86-64 are understood; on other machines programs
 * of another word size are left alone, and see no portals.
 *
 * Threads: any; no state.
 */
#ifndef PFS_PORTAL_TRAP_H
#define PFS_PORTAL_TRAP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/types.h>

#include "base/base.h"

#define PFS_TRAP_MAX 96 /* instructions are never more */

enum pfs_trap_kind {
	PFS_TRAP_OPEN,
	PFS_TRAP_OPENAT2, /* flags are in memory: at `how` */
	PFS_TRAP_CONFINE, /* landlock_restrict_self */
};

struct pfs_trap_call {
	enum pfs_trap_kind kind;
	int dirfd;     /* AT_FDCWD for open and creat */
	uint64_t path; /* address in the caller's memory */
	int flags;     /* of open(2); 0 for openat2 */
	mode_t mode;   /* of open(2), as it was given; 0 for openat2 */
	uint64_t how;  /* openat2: address of a struct open_how ... */
	uint64_t how_size;
};

/* The filter, PFS_TRAP_MAX instructions at most; how many. 0: this machine is not known here. */
size_t pfs_trap_program(struct sock_filter *ret_program);

/* What a call that was trapped asks. -EINVAL: none of ours. */
int pfs_trap_decode(const struct seccomp_data *data, struct pfs_trap_call *ret_call);

/* Could a portal answer an open with these flags? The same question that the filter asks. */
bool pfs_trap_wants(int flags);

/*
 * Puts the calling thread, and all that it starts from now on, under the filter. *ret_listener: where the calls arrive
 * (O_CLOEXEC); while nobody answers there, they wait, and when it is closed they fail with ENOSYS.
 *
 * -EBUSY: there is a listener already, and Linux allows one; -EACCES: neither no_new_privs nor CAP_SYS_ADMIN; -ENOSYS:
 * no seccomp, or not this machine; -EPERM: a container forbids it. The sentence says so.
 */
int pfs_trap_set(int *ret_listener, struct pfs_diag *diag);

#endif
