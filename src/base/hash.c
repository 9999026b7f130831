#include "base/hash.h"

#include <sys/random.h>

void pfs_seed_init(struct pfs_seed *seed)
{
	if (getrandom(seed, sizeof(*seed), GRND_NONBLOCK) == (ssize_t)sizeof(*seed))
		return;
	seed->a = pfs_clock_real() * UINT64_C(0x9e3779b97f4a7c15);
	seed->b = pfs_hash_fold(seed->a, pfs_clock_mono() | 1);
}
