/*
 * hash - seeded hashing of what comes from outside
 *
 * Tables whose keys a stranger chooses (addresses, ports, payloads) are seeded, so that nobody can aim at one bucket.
 * The function is a multiply-and-fold over 16 bytes at a time with the secret on both sides of each multiplication: it
 * spreads well and is quick, but is no cryptographic hash: never show its results to anybody.
 *
 *	struct pfs_seed seed;
 *
 *	pfs_seed_init(&seed);
 *	bucket = pfs_hash_words(&seed, key, 3) & mask;
 */
#ifndef PFS_BASE_HASH_H
#define PFS_BASE_HASH_H

#include "base/base.h"
#include "base/bytes.h"

struct pfs_seed {
	uint64_t a, b;
};

/* From the kernel's random numbers; early at boot, where there are none, from the clock. */
void pfs_seed_init(struct pfs_seed *seed);

static inline uint64_t pfs_hash_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t pfs_hash_words(const struct pfs_seed *seed, const uint64_t *words, size_t n)
{
	uint64_t h = seed->b ^ n, last;
	size_t i;

	for (i = 0; i + 2 <= n; i += 2)
		h = pfs_hash_fold(words[i] ^ seed->a, words[i + 1] ^ h) ^ seed->b;
	last = i < n ? words[i] : 0;
	return pfs_hash_fold(last ^ seed->a ^ UINT64_C(0xa0761d6478bd642f),
			     h ^ UINT64_C(0xe7037ed1a0b428db));
}

/* Of n bytes, whatever they are aligned to; `h` goes on from the hash of what stands before them, or 0. */
static inline uint64_t pfs_hash_bytes(const struct pfs_seed *seed, uint64_t h, const uint8_t *p,
				      size_t n)
{
	uint8_t rest[16] = { 0 };

	h ^= seed->b ^ n;
	for (; n >= 16; n -= 16, p += 16)
		h = pfs_hash_fold(le64_load(p) ^ seed->a, le64_load(p + 8) ^ h) ^ seed->b;
	memcpy(rest, p, n);
	return pfs_hash_fold(le64_load(rest) ^ seed->a ^ UINT64_C(0xa0761d6478bd642f),
			     le64_load(rest + 8) ^ h);
}

#endif
