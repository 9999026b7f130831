/*
 * session - the TCP sessions by which somebody is here
 *
 * Whoever asks runs below something that holds the connection he came by: sshd, a server of his own. So these are
 * the established sockets of his process and of all above it, as /proc shows them; where it shows none, what his
 * SSH_CONNECTION says.
 *
 * Threads: any. Reads /proc only: waits for nobody.
 */
#ifndef PFS_BASE_SESSION_H
#define PFS_BASE_SESSION_H

#include <sys/types.h>

#include "base/base.h"

struct pfs_session {
	unsigned version;	       /* 4, 6 */
	uint8_t local[16], remote[16]; /* of version 4 the first four bytes */
	uint16_t local_port, remote_port;
	uint64_t netns; /* number of the network namespace it is in */
	pid_t pid;	/* of the nearest process that holds it */
};

/* Up to `max` of them; how many. 0 also where /proc shows nothing of that process. */
size_t pfs_sessions_of(pid_t pid, struct pfs_session *sessions, size_t max);
/* "10.0.0.1:22 - 10.0.0.2:5000 of sshd (pid 17)": ours first. */
void pfs_session_text(const struct pfs_session *session, char *text, size_t size);
/* Of this process's network namespace, or of one that ip-netns(8) knows by that name; 0: there is none. */
uint64_t pfs_session_netns(const char *name);

#endif
