/*
 * linked - the end of the link (link.h) that is in a redirect process
 *
 *	struct rd_linked linked = { .fd = 0, .ops = &ops, .arg = process };
 *
 *	poll(linked.fd); r = rd_linked_handle(&linked);		1: go on; 0, -errno: detach and end
 *
 * Threads: one.
 */
#ifndef RD_LINKED_H
#define RD_LINKED_H

#include "redir/link.h"

struct rd_linked_ops {
	/* The whole configuration, in place of the one before; on an error nothing has changed. Borrowed. */
	int (*configure)(void *arg, const struct rd_link_config *config, struct pfs_diag *diag);
	/* Detach; -errno when that was not possible. What is open is served until it is closed. */
	int (*end)(void *arg);
	/* One after the other; false: there are no more. */
	bool (*number)(void *arg, size_t index, struct rd_link_number *ret_number);
	/* Puts operations of that filter, whether there is one or it comes, into the tap. Descriptors are borrowed. */
	int (*watch)(void *arg, int64_t watch, const char *name, int memory_fd, int wake_fd);
	void (*unwatch)(void *arg, int64_t watch);
	/* Filters of the next configuration may be in that process. *ret_fd, *ret_memory: for it; the callee's. */
	int (*join)(void *arg, uint64_t peer, pid_t pid, int *ret_fd, int *ret_memory,
		    struct pfs_diag *diag);
};

struct rd_linked {
	int fd; /* borrowed */
	const struct rd_linked_ops *ops;
	void *arg;
};

/* Does all that has been asked so far. 1: go on; 0: the other end has gone; -EPROTO, -errno: hang up. */
int rd_linked_handle(struct rd_linked *linked);

#endif
