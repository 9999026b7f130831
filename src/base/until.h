/*
 * until - points of the monotonic clock, for those who wait until then
 */
#ifndef PFS_BASE_UNTIL_H
#define PFS_BASE_UNTIL_H

#include <time.h>

#include "base/base.h"

/* So many ns from now on, for pthread_cond_clockwait() and the like. */
static inline struct timespec pfs_clock_in(uint64_t ns)
{
	ns += pfs_clock_mono();
	return (struct timespec){ (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
}

#endif
