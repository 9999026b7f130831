/*
 * listen - the sockets at which clients come (mount/share.h)
 *
 * One has an abstract name, which who is in our network namespace can reach, whatever files he sees. The other is a
 * file, PFS_LISTEN_DIR/<the same name>, for who is in another; he is asked for his token there, too. A mount that may
 * not make the file goes without.
 */
#ifndef PFS_MOUNT_LISTEN_H
#define PFS_MOUNT_LISTEN_H

#include "ring/shared.h"

#define PFS_LISTEN_DIR "/run/pipesfs/clients"

struct pfs_listen {
	int fd;	     /* of the abstract name */
	int file_fd; /* of the file, or -1 */
	char name[sizeof(((struct pfs_ticket *)0)->name)];
	char path[sizeof(((struct pfs_ticket *)0)->path)]; /* "": there is none */
};

/* Non-blocking, listening. Files of those that died without removing theirs are removed. -errno */
int pfs_listen_open(struct pfs_listen *listen);
void pfs_listen_close(struct pfs_listen *listen);

#endif
