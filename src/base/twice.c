#include "base/twice.h"

#include <sys/mman.h>

int pfs_map_twice(int fd, uint64_t offset, uint64_t size, int prot, uint8_t **ret_data)
{
	uint8_t *data = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return -errno;
	for (int half = 0; half < 2; half++) {
		if (mmap(data + (uint64_t)half * size, size, prot, MAP_SHARED | MAP_FIXED, fd,
			 (off_t)offset) == MAP_FAILED) {
			int r = -errno;

			munmap(data, 2 * size);
			return r;
		}
	}
	*ret_data = data;
	return 0;
}
