/*
 * nudge - waking a process that is not believed, and being woken by it
 *
 * A pipe: who is woken polls its reading end, who wakes writes a byte. Each end is an open file description of its own,
 * so whoever has the one can make no call on the other wait: not by filling the pipe, nor by clearing O_NONBLOCK. An
 * eventfd is one description for both sides, and a pair of sockets costs more (docs/decisions/028).
 */
#ifndef PFS_BASE_NUDGE_H
#define PFS_BASE_NUDGE_H

#include "base/base.h"

/* fds[0] is polled, fds[1] wakes. -errno */
int pfs_nudge_new(int fds[2]);
void pfs_nudge_release(int fds[2]); /* what is -1 already is fine */
/*
 * Wakes who polls the other end. Never waits: who has not seen many nudges yet will see one. False: the other end is
 * closed everywhere, and that is a SIGPIPE, too; who keeps both ends gets none.
 */
bool pfs_nudge(int fd);
/* Takes the nudges that have come, never waits. False: the other end is closed. */
bool pfs_nudge_clear(int fd);

#endif
