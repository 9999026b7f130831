/*
 * spawn - the process that starts others as other users
 *
 * A process with many threads must not fork, and one that serves a filesystem should not hold all of root's
 * privileges. So the *spawner* is forked early, while there is one thread and privileges are whole. It has one
 * thread, one socket to its client, no other descriptor, reads nothing but what its client tells, and starts two
 * kinds of children, each as its caller (base/caller.h):
 *
 *	commands	execv(2): `exec:gzip -9`
 *	helpers		a function of this program, with a socket to the client: opens portals as that user
 *
 * When the client dies the spawner ends its children, does what it was told to do last, and ends itself; when the
 * spawner dies, commands get SIGKILL, helpers see their socket close, and every further start is -ESHUTDOWN.
 *
 * Clients: any thread, any time. Callbacks come on the thread of the client's own.
 */
#ifndef PFS_BASE_SPAWN_H
#define PFS_BASE_SPAWN_H

#include "base/argv.h"
#include "base/caller.h"

struct pfs_spawner;
struct pfs_command;

/*
 * Forks the spawner. helper: what a helper does with its end of the socket, and its exit status; NULL: no helpers.
 * last: what the spawner does with arg, as it was when it was forked, once its client has gone; NULL: nothing.
 * The calling process has one thread. -errno of socketpair, fork.
 */
int pfs_spawner_new(int (*helper)(int fd), void (*last)(void *arg), void *arg,
		    struct pfs_spawner **ret_spawner);
/* Starts the thread that callbacks come on, in the process that forked the spawner. */
int pfs_spawner_start(struct pfs_spawner *spawner);
/* Ends all commands (SIGTERM, two seconds later SIGKILL), helpers, and the spawner itself. NULL is fine. */
void pfs_spawner_free(struct pfs_spawner *spawner);

struct pfs_command_options {
	const struct pfs_argv *argv;	 /* argv[0] with a slash, or looked for in the clean PATH */
	const struct pfs_caller *caller; /* whose rights, limits, umask */
	unsigned processes; /* what all commands of this user may be together, see base/child.h; 0: no limit */
	int fd[3];	 /* its stdin, stdout, stderr; borrowed; -1: /dev/null */
	const char *dir; /* its working directory; NULL: "/" */
	/*
	 * It has ended, with status as from waitpid(2); called once, unless pfs_command_free() came before. On the
	 * client's thread; must not wait.
	 */
	void (*ended)(void *arg, int status);
	/* For pfs_command_launch(): its process id, or why it does not run. As above, and before it. */
	void (*started)(void *arg, int result);
	void *arg;
};

/*
 * Starts a command in a session and process group of its own, with the environment of base/child.h. Returns when
 * the program runs, or why it does not: -ENOENT, -EACCES, -ENOEXEC, -E2BIG, ... of execv; -EAGAIN: no more
 * processes; -ESHUTDOWN.
 */
int pfs_command_start(struct pfs_spawner *spawner, const struct pfs_command_options *options,
		      struct pfs_command **ret_command, struct pfs_diag *diag);
/* The same without waiting: what would be returned is told to options->started. -ENOMEM, -ESHUTDOWN, -E2BIG. */
int pfs_command_launch(struct pfs_spawner *spawner, const struct pfs_command_options *options,
		       struct pfs_command **ret_command, struct pfs_diag *diag);
/* To its process group. -ESRCH: it has ended. */
int pfs_command_signal(struct pfs_command *command, int number);
pid_t pfs_command_pid(const struct pfs_command *command);
/*
 * No callback from here on (one that runs right now is waited for). Still running: SIGTERM, then SIGKILL.
 * What a confined command has left running in its process group when it ended is killed.
 */
void pfs_command_free(struct pfs_command *command);

/* Starts a helper as caller. *ret_fd is our end of its socket (SOCK_SEQPACKET); closing it ends the helper. */
int pfs_helper_start(struct pfs_spawner *spawner, const struct pfs_caller *caller, int *ret_fd);

#endif
