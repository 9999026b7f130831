/*
 * thread - threads that no signal is delivered to
 *
 * A signal to the process is taken by any thread that does not block it: one in the middle of the engine's work would
 * have its system calls interrupted, and handlers run where nobody expects them. What is started here blocks all.
 */
#ifndef PFS_BASE_THREAD_H
#define PFS_BASE_THREAD_H

#include <pthread.h>

#include "base/base.h"

/* ret_thread NULL: it is detached, and nobody joins it. -EAGAIN: there are too many. */
int pfs_thread_start(void *(*run)(void *arg), void *arg, pthread_t *ret_thread);

#endif
