/*
 * control - the control end of liburfs's wire (urfs/wire.h): who connects, what he asks for, what he is asked
 *
 * What a request does is the owner's: serve.h (filters of this process's chains), join.h (filters of the registry).
 *
 *	rd_control_new(&ops, arg, "/run/pipesfs/urfs", &control, &diag)
 *
 * Only root and the user that this process runs as may connect. Each connection has a thread. One that says nothing is
 * hung up on after RD_CONTROL_GREETING, one that says nonsense or does not read at once, and there are at most
 * RD_CONTROL_MAX.
 *
 * Threads: any. begin(), command() and end() of a connection come on its own thread, with no lock held, and may wait.
 */
#ifndef RD_CONTROL_H
#define RD_CONTROL_H

#include <pipesfs/urfs.h>
#include <sys/socket.h>

#include "base/base.h"

#define RD_CONTROL_MAX 256
#define RD_CONTROL_GREETING 2 /* s */

struct rd_control;

/* A connection, as its owner may see it. */
struct rd_peer {
	uint64_t number; /* > 0; no other one of this control ever has it */
	pid_t pid;
	uid_t uid;
	void *session; /* the owner's */
};

struct rd_control_ops {
	/* It has greeted. -errno refuses it; then there is no end(). */
	int (*begin)(void *arg, struct rd_peer *peer);
	/*
	 * UW_REGISTER, UW_UNREGISTER, UW_ACTIVATE, UW_PATH, UW_WANT, UW_READY: its result. The filter of REGISTER is
	 * none that is registered, that of the others is one (-ENODEV, -EEXIST said nobody else); name is its name.
	 */
	int (*command)(void *arg, struct rd_peer *peer, int type, const char *name,
		       const void *message, struct pfs_diag *diag);
	/* It has gone. */
	void (*end)(void *arg, struct rd_peer *peer);
};

/*
 * path: where to listen (mode 0600; what was there is replaced if nobody listens there), NULL: nowhere. -EADDRINUSE:
 * somebody does.
 */
int rd_control_new(const struct rd_control_ops *ops, void *arg, const char *path,
		   struct rd_control **ret_control, struct pfs_diag *diag);
/* One more connection, over a socket (SOCK_SEQPACKET) that is there; owned. */
int rd_control_connect(struct rd_control *control, int fd);
/* Hands a channel to it, without waiting. Descriptors are borrowed. -ENODEV: it has gone. */
int rd_control_channel(struct rd_control *control, uint64_t number, int fd, int memory);
/*
 * Asks the modifier callback of a filter, of that connection (0: of whichever has it), for at most a deadline in ns.
 * -ENOENT: no such filter here; -EOPNOTSUPP: it has none; -ETIMEDOUT; -EBUSY: it is being asked; else what it says.
 */
int rd_control_modify(struct rd_control *control, uint64_t number, const char *name,
		      const union rfs_mod *mod, uint64_t deadline);
/* Ends all connections, then waits for their end(). NULL is fine. */
void rd_control_free(struct rd_control *control);

#endif
