/*
 * share - clients that are given descriptors: tickets, the socket, and who is on it
 *
 * ring/shared.h says what passes between a client and the mount. Here is what is the same for all kinds of clients: an
 * ioctl on an open file makes a ticket for it (pfs_share_ticket()); who connects and says its token, once, within two
 * seconds and as the user who opened the file, is *given* a hello and descriptors by the file's kind of client; the
 * connection stays until the file is closed, and says so by its end.
 *
 * A further kind of client is a struct pfs_share_kind beside that of pipe_share.c, an ioctl number in ring/shared.h
 * whose answer calls pfs_share_ticket() with it, and a hello of its own:
 *
 *	static int producer_give(file, ret_gift, diag)	makes what is given
 *	static void producer_mute(file)			the connection is about to be closed
 *	static const struct pfs_share_kind producers = { .give = producer_give, .mute = producer_mute, ... };
 *
 * Threads: one for all connections, which gives; it waits for nobody but run locks. A message of more than no bytes
 * from a client that was given something goes to `said`, if there is one.
 */
#ifndef PFS_MOUNT_SHARE_H
#define PFS_MOUNT_SHARE_H

#include "base/nudge.h"
#include "base/socket.h"
#include "mount/mount_i.h"

/* What a client is sent: a hello of any layout that begins with struct pfs_shared_head, and descriptors. */
struct pfs_gift {
	const void *hello; /* borrowed from the file, or static */
	size_t size;
	int fds[PFS_SOCKET_FDS_MAX]; /* borrowed */
	size_t nfds;
};

struct pfs_share_kind {
	/* -errno, with the sentence. The file is open meanwhile. */
	int (*give)(struct pfs_file *file, struct pfs_gift *ret_gift, struct pfs_diag *diag);
	/* The connection is about to be closed. After give() had succeeded. */
	void (*mute)(struct pfs_file *file);
	/* It has sent something. False: the connection is closed. NULL: nothing may be said. */
	bool (*said)(struct pfs_file *file, const void *message, size_t size);
	/* References to the open file, so that it is not closed during give(). */
	void (*hold)(struct pfs_file *file);
	void (*drop)(struct pfs_file *file);
};

/* After the spawner was started. -errno */
int pfs_shares_new(struct pfs_mount *mount);
void pfs_shares_free(struct pfs_mount *mount); /* all files are closed */

/*
 * A ticket for this file, instead of one it had. uid: who may use it. -ENOTCONN: there is no socket; -EBUSY: it is used
 * already; -ENOMEM.
 */
int pfs_share_ticket(struct pfs_file *file, const struct pfs_share_kind *kind, uid_t uid,
		     struct pfs_ticket *ret_ticket);
/* The file is being closed: its ticket and its connection go. Of a file without either nothing happens. */
void pfs_share_end(struct pfs_file *file);

#endif
