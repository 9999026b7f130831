/*
 * notify_i - what the processes of `pipesfs portal` say to each other
 *
 *	the waiter	`pipesfs portal` itself (cmd/portal.c): stands for the command: its signals, its stops, its end
 *	   └─ server	(serve.c) holds the listener; parent of the command, and as subreaper of all that it leaves:
 *	        │	a system that lets a process read the memory of its descendants alone (Yama) allows it to us.
 *	        │	Its deciders (decide.c) take each call that was trapped, and let it go on or hand it over
 *	        ├─ opener	(opener.c) opens portals; one thread, as portal/portal.h asks
 *	        └─ command	under the filter, with all that it starts
 *
 * When the waiter is killed, the server kills the command, as if the signal had come there. When the server dies, its
 * listener goes with it: every open of the command is ENOSYS from then on, and the opener ends. When the opener dies,
 * opens of portals are EIO and all others go on. Without tasks under the filter the server and the opener end by
 * themselves.
 */
#ifndef PFS_PORTAL_NOTIFY_I_H
#define PFS_PORTAL_NOTIFY_I_H

#include <limits.h>
#include <sys/types.h>

#include "base/base.h"

struct pfs_where;
struct pfs_portal_rules;

/* --- to the opener ------------------------------------------------------------------------ */

enum pfs_ask_kind {
	PFS_ASK_OPEN,
	PFS_ASK_CONFINED, /* the process of this thread confines itself; told before its call goes on */
	PFS_ASK_QUIET, /* the command has ended: stderr is not ours any longer */
};

/* SOCK_SEQPACKET: one message each, without what is behind the text. */
struct pfs_ask {
	enum pfs_ask_kind kind;
	pid_t tid;
	uint64_t id; /* of the notification */
	int flags;   /* of open(2) */
	mode_t mode;
	char rest[PATH_MAX]; /* the path below the prefix */
};

struct pfs_opener_options {
	int listener; /* owned */
	int socket; /* owned; end of file: end. We shut our half down when no command is left that is written to */
	const struct pfs_portal_rules *rules;
	const char *prefix; /* for sentences */
	pid_t server;	    /* above all that are under the filter */
	pid_t command;
	bool verbose; /* say on stderr why an open was refused, and what commands say */
};

/* Serves until the end of the socket; the exit status. */
int pfs_opener_run(const struct pfs_opener_options *options);

/* --- deciders ------------------------------------------------------------------------------- */

struct pfs_deciders;

/* Starts the first. All is borrowed. wake: an eventfd. */
int pfs_deciders_start(int listener, int opener, int wake, const struct pfs_where *where,
		       const struct pfs_portal_rules *rules, struct pfs_deciders **ret_deciders);
/*
 * Looks whether the one that takes calls is stuck (memory that cannot be read yet, a filesystem that hangs), and puts
 * another in its place. Returns after how many ms it wants to be called again, at the latest; -1: when wake is
 * readable.
 */
int pfs_deciders_watch(struct pfs_deciders *deciders);

/* Reads a path from a thread's memory: its length, -errno: -EFAULT, -ENAMETOOLONG, -EPERM, -ESRCH. */
ssize_t pfs_decider_read_path(pid_t tid, uint64_t address, char path[PATH_MAX]);

#endif
