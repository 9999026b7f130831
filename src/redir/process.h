/*
 * process - a redirected tree as two processes: a keeper, and the one that answers
 *
 *	the server dies		the keeper detaches the mount: who waits gets ECONNABORTED at
 *				once, the original is seen again
 *	it is stopped, or does
 *	not answer for stall	the keeper kills it; as above
 *	the keeper dies		the server detaches the mount, lets those that have files open
 *				finish for a moment, and ends
 *	SIGTERM, SIGINT		likewise
 *	umount(8)		both end
 *	a filter does not load	both end, which is said before anybody hears of ready_fd
 *	the link ends		the server detaches, as when the keeper dies
 */
#ifndef RD_PROCESS_H
#define RD_PROCESS_H

#include "redir/layer.h"

struct rd_process_options {
	struct rd_layer_options layer; /* its chains are the process's own, when there are filters */
	/*
	 * "FILE.so,argument,..." with an absolute path: loaded by the process that serves, while it
	 * does so already
	 */
	const char *const *load;
	size_t n_load;
	const char *listen; /* absolute: programs with filters connect there (serve.h); NULL: none */
	/*
	 * Owned: the link (link.h) through which the whole configuration comes, in place of load and listen. Nothing
	 * is mounted before the first. -1: none.
	 */
	int link_fd;
	uint64_t stall; /* ns; 0: never */
	bool foreground;
};

/* Becomes the keeper. The exit status. ready_fd gets one zero byte once the tree is redirected; -1: nobody waits. */
int rd_process_run(const struct rd_process_options *options, int ready_fd);

#endif
