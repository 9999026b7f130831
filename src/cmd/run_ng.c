/*
 * run_ng - several pcapng streams as one
 *
 * The view writes what is read here, in the byte order of this machine's file formats: little-endian sections,
 * interface descriptions, enhanced packets, interface statistics. Others pass as they are.
 */
#include "base/bytes.h"
#include "cmd/run_i.h"
#include "packet/capture_write.h"

#define BLOCK_SECTION 0x0a0d0d0aU
#define BLOCK_INTERFACE 1U
#define BLOCK_STATISTICS 5U
#define BLOCK_PACKET 6U
#define BLOCK_MIN 12

/* Length of the block at p, 0: not all of it is there. What cannot be a block ends the stream's order: all of it. */
static size_t block_len(const uint8_t *p, size_t n)
{
	size_t len;

	if (n < BLOCK_MIN)
		return 0;
	len = le32_load(p + 4);
	if (len < BLOCK_MIN || len % 4)
		return n;
	return len <= n ? len : 0;
}

size_t run_ng_whole(const uint8_t *bytes, size_t n, uint64_t *packets)
{
	size_t at = 0, len;

	while ((len = block_len(bytes + at, n - at))) {
		*packets += le32_load(bytes + at) == BLOCK_PACKET;
		at += len;
	}
	return at;
}

/* Interface `number` of this end gets the next number of the output. */
static void interface_add(struct run *run, struct run_end *end)
{
	pfs_buf_add(&end->map, &run->interfaces, sizeof(run->interfaces));
	run->interfaces++;
}

static uint32_t interface_of(const struct run_end *end, uint32_t number)
{
	uint32_t mapped = 0;

	if (number < end->map.len / sizeof(mapped))
		memcpy(&mapped, end->map.data + number * sizeof(mapped), sizeof(mapped));
	return mapped;
}

static void mix_block(struct run *run, struct run_end *end, const uint8_t *p, size_t len,
		      struct pfs_buf *out)
{
	size_t at = out->len;
	uint32_t type = le32_load(p);

	if (type == BLOCK_SECTION) {
		end->map.len = 0;
		if (run->head)
			return;
		run->head = true;
	}
	if (type == BLOCK_INTERFACE)
		interface_add(run, end);
	pfs_buf_add(out, p, len);
	if ((type == BLOCK_PACKET || type == BLOCK_STATISTICS) && len >= BLOCK_MIN + 4 && !out->failed)
		le32_store((uint8_t *)out->data + at + 8, interface_of(end, le32_load(p + 8)));
}

void run_ng_mix(struct run *run, struct run_end *end, const uint8_t *bytes, size_t n,
		struct pfs_buf *out)
{
	size_t len;

	for (size_t at = 0; (len = block_len(bytes + at, n - at)); at += len)
		mix_block(run, end, bytes + at, len, out);
}
