/*
 * child - starts a program in a child of this process
 *
 * The program gets stdin, stdout and stderr and no other descriptor, a session and process group of its own,
 * default signals, none blocked, and the environment that it is given. Whether it runs is told on a descriptor: it
 * reads as the end of the file once execv(2) has succeeded, and as an int, -errno, when it has not; so who must not
 * wait can poll.
 *
 * The calling process has one thread: the child does not only what is allowed after a fork of many.
 */
#ifndef PFS_BASE_CHILD_H
#define PFS_BASE_CHILD_H

#include "base/argv.h"
#include "base/caller.h"

struct pfs_child_options {
	char *const *argv; /* argv[0] with a slash, or looked for in env's PATH */
	char *const *env;  /* NULL: that of pfs_child_environment(), made in the child */
	int fd[3];	   /* borrowed; -1: /dev/null */
	const char *dir;   /* NULL: "/" */
	const struct pfs_caller *caller; /* becomes that first; NULL: as we are */
	const struct rlimit *limits; /* RLIM_NLIMITS of them; NULL: as they are. Of a caller: its own are taken */
	mode_t umask;		     /* without a caller */
	/*
	 * All commands of this user, which are below our process, may be so many processes and threads together; what
	 * else he has running is not counted, as of now. 0: no limit; root has none (setrlimit(2): RLIMIT_NPROC).
	 */
	unsigned processes;
	pid_t dies_with; /* SIGKILL when this process, our own, has died; 0: no */
};

/* -errno of fork, pipe. *ret_fd: as said above. */
int pfs_child_start(const struct pfs_child_options *options, pid_t *ret_pid, int *ret_fd);
/* What the descriptor says, waiting for it: 0, or why the program does not run. Closes it. */
int pfs_child_result(int fd);

/*
 * All of the environment of a command: PATH (/usr/local/bin:/usr/bin:/bin, for root with the sbin's in front), HOME,
 * USER, LOGNAME and SHELL of the uid, LANG as ours. May ask name services, so it may wait. -ENOMEM.
 */
int pfs_child_environment(uid_t uid, struct pfs_argv *ret_env);

#endif
