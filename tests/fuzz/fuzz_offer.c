/*
 * fuzz_offer - a ring of records whose giver writes what it likes, wherever it likes
 *
 * Steps of one byte and what it needs: words are written into the head or into the ring, near what is taken next;
 * records are given as a good one does; they are taken, and every byte of them is looked at.
 */
#include <string.h>
#include <sys/mman.h>

#include "ring/offer.h"

#define HEAD 4096
#define SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum; /* of all bytes: nothing leaves them out */

static void take_one(struct pfs_offer *taker, bool rests)
{
	const void *bytes;
	size_t len;
	int r;

	if (rests && pfs_offer_rest(taker))
		return;
	r = pfs_offer_peek(taker, &bytes, &len);
	if (r == 1) {
		if (len == 0 || len > pfs_offer_record_max(taker))
			abort();
		for (size_t i = 0; i < len; i++)
			sum += ((const uint8_t *)bytes)[i];
		sum += pfs_offer_said(taker)->time + pfs_offer_said(taker)->wire_len;
		(void)pfs_offer_take(taker);
	} else if (r < 0 && (pfs_offer_peek(taker, &bytes, &len) != r || pfs_offer_rest(taker))) {
		abort();
	}
}

static void give_one(struct pfs_offer *giver, size_t len)
{
	void *bytes;

	if (pfs_offer_reserve(giver, len, &bytes) == 0) {
		memset(bytes, (int)len, len);
		(void)pfs_offer_commit(giver, len, &(struct pfs_said){ len, (uint32_t)len });
	}
}

static void steps(struct pfs_offer *taker, struct pfs_offer *giver, uint8_t *memory,
		  const uint8_t *data, size_t size)
{
	uint64_t taken;

	while (size >= 10) {
		size_t at = data[1], used = data[0] & 2 ? 2 : 10;

		switch (data[0] & 3) {
		case 0:
			memcpy(memory + at % 88, data + 2, 8);
			break;
		case 1:
			memcpy(&taken, memory + 64, 8);
			memcpy(memory + HEAD + (taken + at) % (SIZE - 8), data + 2, 8);
			break;
		case 2:
			give_one(giver, at * 5);
			break;
		default:
			take_one(taker, at & 1);
			break;
		}
		data += used;
		size -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_offer *taker, *giver;
	uint8_t *memory;

	if (pfs_offer_new(SIZE, &taker) < 0 || pfs_offer_open(pfs_offer_memory(taker), &giver) < 0)
		abort();
	memory = mmap(NULL, HEAD + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      pfs_offer_memory(taker), 0);
	if (memory == MAP_FAILED)
		abort();
	steps(taker, giver, memory, data, size);
	munmap(memory, HEAD + SIZE);
	pfs_offer_free(giver);
	pfs_offer_free(taker);
	return 0;
}
