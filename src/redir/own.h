/*
 * own - is a thread one of a process, or of a child of it?
 *
 * FUSE names a caller by its thread. Threads of the process itself are found by one system call;
 * children by their parents in /proc, remembered for a moment: a number is not used again so
 * soon.
 */
#ifndef RD_OWN_H
#define RD_OWN_H

#include <pthread.h>
#include <sys/types.h>

#include "base/base.h"

#define RD_OWN_REMEMBERED 64

struct rd_own {
	pid_t pid;
	pthread_mutex_t lock;
	struct {
		pid_t pid;
		bool own;
		uint64_t until;
	} seen[RD_OWN_REMEMBERED];
};

void rd_own_init(struct rd_own *own, pid_t pid);
void rd_own_release(struct rd_own *own);
bool rd_own_is(struct rd_own *own, pid_t thread);

#endif
