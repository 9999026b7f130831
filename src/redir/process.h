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
 */
#ifndef RD_PROCESS_H
#define RD_PROCESS_H

#include "redir/layer.h"

struct rd_process_options {
	struct rd_layer_options layer;
	uint64_t stall; /* ns; 0: never */
	bool foreground;
};

/* Becomes the keeper. The exit status. ready_fd gets one zero byte once the tree is redirected; -1: nobody waits. */
int rd_process_run(const struct rd_process_options *options, int ready_fd);

#endif
