#include <pipesfs/zbuf.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "base/nudge.h"
#include "client/lent.h"

#define BLOCK_USUAL ((size_t)512 << 10)

struct pfs_blocks {
	uint8_t *memory; /* owned: the mapping of both */
	size_t size;	 /* of one */
	int fd;		 /* owned: the open file, which is the reader */
	int nudge_fd;	 /* owned */
	unsigned turn;	 /* which one is to come */
};

static int blocks_lend(struct pfs_blocks *blocks, size_t size, char *why, size_t why_size)
{
	PFS_CLOSE int memory_fd = -1;
	struct pfs_lent lent;
	void *p;
	int r = pfs_lent_get(blocks->fd, PFS_IOC_BLOCKS, size, PFS_LENT_CALLS, why, why_size, &lent);

	if (r < 0)
		return r;
	memory_fd = lent.memory_fd;
	blocks->nudge_fd = lent.nudge_fd;
	if (lent.size != size)
		return -EPROTO;
	p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	blocks->memory = p;
	blocks->size = size;
	return 0;
}

int pfs_blocks_open(const char *path, size_t size, char *why, size_t why_size,
		    struct pfs_blocks **ret_blocks)
{
	struct pfs_blocks *blocks = pfs_zalloc(1, sizeof(*blocks));
	int r;

	why_size = why ? why_size : 0;
	if (why_size)
		*why = '\0';
	if (!blocks)
		return -ENOMEM;
	blocks->nudge_fd = -1;
	blocks->fd = open(path, O_RDONLY | O_CLOEXEC);
	r = blocks->fd < 0 ? -errno : blocks_lend(blocks, size ? size : BLOCK_USUAL, why, why_size);
	if (r < 0) {
		pfs_blocks_close(blocks);
		return r;
	}
	*ret_blocks = blocks;
	return 0;
}

static struct pfs_zbuf_header *block_at(const struct pfs_blocks *blocks, unsigned which)
{
	return (struct pfs_zbuf_header *)(void *)(blocks->memory + which * blocks->size);
}

static uint32_t state_of(const struct pfs_blocks *blocks)
{
	return __atomic_load_n(&block_at(blocks, 0)->bzh_state, __ATOMIC_SEQ_CST);
}

/* The mount waits for a block: does it see that there is one? */
static void go_on(const struct pfs_blocks *blocks)
{
	if (state_of(blocks) & PFS_ZBUF_WAITS)
		(void)ioctl(blocks->fd, PFS_IOC_ON);
}

int pfs_blocks_next(struct pfs_blocks *blocks, struct pfs_zbuf_header **ret_block)
{
	struct pfs_zbuf_header *block = block_at(blocks, blocks->turn);
	bool there = true, over;

	if (!pfs_zbuf_yours(block)) {
		/* What woke us is old news: from now on it wakes for what we do not see. */
		there = pfs_nudge_clear(blocks->nudge_fd);
		go_on(blocks);
		over = state_of(blocks) & PFS_ZBUF_END;
		if (!pfs_zbuf_yours(block))
			return over ? 0 : there ? -EAGAIN : -ENOTCONN;
	}
	blocks->turn = !blocks->turn;
	*ret_block = block;
	return 1;
}

void pfs_blocks_ack(struct pfs_blocks *blocks, struct pfs_zbuf_header *block)
{
	pfs_zbuf_give(block);
	/* Then a look at the state; its twin is in fill_round(), graph/fill.c. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	go_on(blocks);
}

int pfs_blocks_rotate(struct pfs_blocks *blocks)
{
	struct pfs_rotated rotated;

	if (ioctl(blocks->fd, PFS_IOC_ROTATE, &rotated) < 0)
		return -errno;
	return rotated.len > 0;
}

int pfs_blocks_fd(const struct pfs_blocks *blocks)
{
	return blocks->nudge_fd;
}

void pfs_blocks_close(struct pfs_blocks *blocks)
{
	if (!blocks)
		return;
	if (blocks->memory)
		munmap(blocks->memory, 2 * blocks->size);
	pfs_closep(&blocks->fd);
	pfs_closep(&blocks->nudge_fd);
	free(blocks);
}
