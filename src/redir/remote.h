/*
 * remote - filters in another process, asked over a channel (urfs/wire.h)
 *
 * One remote is one channel: a socket and shared memory, for all filters of one process. Whatever
 * that process does, only its own filters' calls feel it, and by their policy: what it sends is
 * checked, who does not answer is late, and when its end of the socket closes, everything that it
 * held has failed at once.
 *
 * Threads: asks come on any thread. Answers are read by some threads of the remote's own, which
 * then go on with the call; one more looks after deadlines and what did not fit into the socket.
 *
 * Bytes: READ and WRITE have them in a slot (rd_data_get()), or they are copied into one and
 * back. A slot that the process may still be writing into is not used again before it has
 * answered, however late.
 */
#ifndef RD_REMOTE_H
#define RD_REMOTE_H

#include "redir/hook.h"

struct rd_remote;

/*
 * pid: the filter's process, as the kernel says (SO_PEERCRED); its accesses and its children's
 * are the filter's own. *ret_fd and *ret_memory are what goes to it, the caller's.
 */
int rd_remote_new(pid_t pid, struct rd_remote **ret_remote, int *ret_fd, int *ret_memory);
/*
 * Ends the channel: what it holds has failed. Its hooks may live on. NULL is fine. Not on a
 * thread of its own.
 */
void rd_remote_free(struct rd_remote *remote);
/*
 * Is asked from now on, or not; before the first time everything goes on as if there were no
 * filter (urfs_main()).
 */
void rd_remote_ready(struct rd_remote *remote, bool ready);
/* The hook of filter `id` there: a reference. -ENOMEM. */
int rd_remote_hook(struct rd_remote *remote, uint32_t id, struct rd_hook **ret_hook);

struct rd_remote_stat {
	bool alive;
	uint64_t asked, answered, strange; /* strange: messages that say nothing known */
	unsigned pending;
};
void rd_remote_stat(struct rd_remote *remote, struct rd_remote_stat *ret_stat);

#endif
