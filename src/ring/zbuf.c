#include "ring/zbuf.h"

#include <fcntl.h>
#include <sys/mman.h>

/* What a record has in front of it; not sizeof, which is padded. */
#define HDR (offsetof(struct pfs_xhdr, bh_hdrlen) + sizeof(uint16_t))
#define LINK_MAX 256 /* longer ones are not aligned for */

static_assert(sizeof(struct pfs_zbuf_header) == 32, "as in FreeBSD");
static_assert(HDR == 26 && sizeof(struct pfs_xhdr) == 32, "as in FreeBSD");
static_assert(PFS_BLOCK_MIN > sizeof(struct pfs_zbuf_header) + sizeof(struct pfs_xhdr) + LINK_MAX,
	      "a byte of any record fits");

struct block {
	uint8_t *memory;     /* borrowed; the process writes there what it likes */
	uint32_t generation; /* what bzh_kernel_gen is, as far as we are concerned */
	bool assigned;	     /* handed over, and not taken back yet */
};

struct pfs_zbuf {
	struct block block[2];
	struct block *store, *hold, *free; /* hold and free: one of the two, the other NULL */
	size_t len;			   /* bytes of records in store */
	uint16_t link_type;		   /* of these */
	size_t size;			   /* of a block, with its header */
	uint8_t *memory;		   /* owned: the mapping of both */
	int fd;				   /* owned */
	bool handed;
};

/* --- memory ------------------------------------------------------------------------------------- */

static int blocks_map(struct pfs_zbuf *blocks)
{
	const size_t size = 2 * blocks->size;
	void *p;

	blocks->fd = memfd_create("pipesfs-blocks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (blocks->fd < 0 || ftruncate(blocks->fd, (off_t)size) < 0 ||
	    fcntl(blocks->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, blocks->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	blocks->memory = p;
	return 0;
}

int pfs_zbuf_new(size_t size, struct pfs_zbuf **ret_blocks)
{
	struct pfs_zbuf *blocks;
	int r;

	if (size < PFS_BLOCK_MIN || size > PFS_BLOCK_MAX || size % (size_t)sysconf(_SC_PAGESIZE))
		return -EINVAL;
	blocks = pfs_zalloc(1, sizeof(*blocks));
	if (!blocks)
		return -ENOMEM;
	blocks->size = size;
	r = blocks_map(blocks);
	if (r < 0) {
		pfs_zbuf_free(blocks);
		return r;
	}
	for (size_t i = 0; i < 2; i++)
		blocks->block[i].memory = blocks->memory + i * size;
	blocks->store = &blocks->block[0];
	blocks->free = &blocks->block[1];
	*ret_blocks = blocks;
	return 0;
}

void pfs_zbuf_free(struct pfs_zbuf *blocks)
{
	if (!blocks)
		return;
	if (blocks->memory)
		munmap(blocks->memory, 2 * blocks->size);
	pfs_closep(&blocks->fd);
	free(blocks);
}

int pfs_zbuf_memory(const struct pfs_zbuf *blocks)
{
	return blocks->fd;
}

struct pfs_zbuf_header *pfs_zbuf_header(const struct pfs_zbuf *blocks, unsigned which)
{
	return (struct pfs_zbuf_header *)(void *)blocks->block[which].memory;
}

/* --- whose it is -------------------------------------------------------------------------------- */

/* The length first, then the generation: its twin is in pfs_zbuf_yours(). */
static void block_assign(struct pfs_zbuf *blocks, struct block *block)
{
	struct pfs_zbuf_header *header = (struct pfs_zbuf_header *)(void *)block->memory;

	if (block->assigned)
		return;
	block->assigned = true;
	block->generation++;
	__atomic_store_n(&header->bzh_kernel_len, (uint32_t)blocks->len, __ATOMIC_RELAXED);
	__atomic_store_n(&header->bzh_link_type, blocks->link_type, __ATOMIC_RELAXED);
	__atomic_store_n(&header->bzh_kernel_gen, block->generation, __ATOMIC_RELEASE);
	blocks->handed = true;
}

/* Its twin is in pfs_zbuf_give(): what is written there from now on, nobody looks at. */
static bool block_given_back(const struct block *block)
{
	const struct pfs_zbuf_header *header = (const void *)block->memory;

	return __atomic_load_n(&header->bzh_user_gen, __ATOMIC_ACQUIRE) == block->generation;
}

static void reclaim(struct pfs_zbuf *blocks)
{
	if (!blocks->hold || !block_given_back(blocks->hold))
		return;
	blocks->free = TAKE_PTR(blocks->hold);
	blocks->free->assigned = false;
}

static void rotate(struct pfs_zbuf *blocks)
{
	block_assign(blocks, blocks->store);
	blocks->hold = blocks->store;
	blocks->store = TAKE_PTR(blocks->free);
	blocks->len = 0;
}

bool pfs_zbuf_rotate(struct pfs_zbuf *blocks, unsigned *ret_block, size_t *ret_len)
{
	size_t len = blocks->len;
	bool known = blocks->store->assigned;

	reclaim(blocks);
	if (blocks->hold || len == 0)
		return false;
	rotate(blocks);
	if (known)
		return false; /* it was handed over before, and may even have come back */
	*ret_block = blocks->hold == &blocks->block[1];
	*ret_len = len;
	return true;
}

void pfs_zbuf_end(struct pfs_zbuf *blocks)
{
	if (blocks->len)
		block_assign(blocks, blocks->store);
}

void pfs_zbuf_state(struct pfs_zbuf *blocks, uint32_t state)
{
	__atomic_store_n(&pfs_zbuf_header(blocks, 0)->bzh_state, state, __ATOMIC_SEQ_CST);
}

bool pfs_zbuf_handed(struct pfs_zbuf *blocks)
{
	bool handed = blocks->handed;

	blocks->handed = false;
	return handed;
}

bool pfs_zbuf_room(struct pfs_zbuf *blocks)
{
	reclaim(blocks);
	return blocks->free || !blocks->store->assigned;
}

/* --- records ------------------------------------------------------------------------------------ */

/* FreeBSD's bpf_hdrlen(): so long that what follows the link-layer header is aligned. */
static size_t header_len(uint32_t link_len)
{
	link_len = link_len > LINK_MAX ? 0 : link_len;
	return PFS_ZBUF_WORDALIGN(HDR + link_len) - link_len;
}

size_t pfs_zbuf_record_max(const struct pfs_zbuf *blocks, uint32_t link_len)
{
	return blocks->size - sizeof(struct pfs_zbuf_header) - header_len(link_len);
}

/*
 * To 2^-32 s, rounded up: so FreeBSD's way back to nanoseconds, bintime2timespec(), which looks at the upper half only
 * and rounds down, ends where this began.
 */
static struct pfs_zbuf_time time_of(uint64_t ns)
{
	return (struct pfs_zbuf_time){
		.bt_sec = (int64_t)(ns / 1000000000),
		.bt_frac = (((ns % 1000000000 << 32) + 999999999) / 1000000000) << 32,
	};
}

/* Records begin at multiples of PFS_ZBUF_ALIGNMENT. What lies between them is zero. */
static void append(struct pfs_zbuf *blocks, const struct pfs_zbuf_record *record, size_t header,
		   size_t caplen, const void *bytes)
{
	const size_t at = PFS_ZBUF_WORDALIGN(blocks->len);
	uint8_t *data = blocks->store->memory + sizeof(struct pfs_zbuf_header);
	struct pfs_xhdr h = {
		.bh_tstamp = time_of(record->time),
		.bh_caplen = (uint32_t)caplen,
		.bh_datalen = (uint32_t)pfs_max(record->len, record->wire_len),
		.bh_hdrlen = (uint16_t)header,
	};

	memset(data + blocks->len, 0, at - blocks->len);
	memcpy(data + at, &h, HDR);
	memset(data + at + HDR, 0, header - HDR);
	memcpy(data + at + header, bytes, caplen);
	blocks->len = at + header + caplen;
}

int pfs_zbuf_put(struct pfs_zbuf *blocks, const struct pfs_zbuf_record *record, const void *bytes)
{
	const size_t room = blocks->size - sizeof(struct pfs_zbuf_header);
	const size_t header = header_len(record->link_len);
	const size_t caplen = pfs_min(record->len, room - header);
	const size_t end = PFS_ZBUF_WORDALIGN(blocks->len) + header + caplen;
	const bool other = blocks->len && record->link_type != blocks->link_type;

	reclaim(blocks);
	if (end > room || other || blocks->store->assigned) {
		if (!blocks->free) {
			block_assign(blocks, blocks->store);
			return -EAGAIN;
		}
		rotate(blocks);
	}
	blocks->link_type = record->link_type;
	append(blocks, record, header, caplen, bytes);
	return 0;
}
