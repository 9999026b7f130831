/*
 * twice - the same memory mapped two times in a row, so that what goes over the end of a ring lies in one piece
 */
#ifndef PFS_BASE_TWICE_H
#define PFS_BASE_TWICE_H

#include "base/base.h"

/*
 * `size` bytes of fd from `offset` on, both whole pages; prot as of mmap(2). *ret_data is 2 * size bytes, the caller's
 * to munmap. -errno.
 */
int pfs_map_twice(int fd, uint64_t offset, uint64_t size, int prot, uint8_t **ret_data);

#endif
