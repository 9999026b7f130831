/*
 * blocks - two blocks of memory that are filled and handed to a process in turn, as FreeBSD's zero-copy BPF does
 *
 * The contract with that process is include/pipesfs/zbuf.h. Here are the three places that a block can have:
 *
 *	store	is being filled. When a record does not fit any more and no block is free, it is handed over early
 *		and stays here until there is one (buffull)
 *	hold	was filled and handed over (bufheld); comes back when the process gave it back (canfreebuf)
 *	free	waits to be filled (reclaimed)
 *
 *	put:	hold given back? hold -> free
 *		fits, and store is ours (canwritebuf)?	append
 *		something free?				rotate: store -> hold, free -> store; append
 *		else					buffull, -EAGAIN
 *
 * Nothing in this memory is believed. The process can write to all of it at any time; what it writes there is its own
 * loss. Of all of it, only the two user generations are ever read, and compared with what only we know: which blocks
 * are handed over, and with which generation, is kept apart.
 *
 * Threads: one at a time, whichever; the process on the other side is one more.
 */
#ifndef PFS_RING_BLOCKS_H
#define PFS_RING_BLOCKS_H

#include <pipesfs/zbuf.h>

#include "base/base.h"

/* Bytes of one block, header included: whole pages. The limits are FreeBSD's but for the lower one. */
#define PFS_BLOCK_MIN ((size_t)4096)
#define PFS_BLOCK_MAX ((size_t)2 << 20)

struct pfs_blocks;

/* A record to be put. */
struct pfs_blocks_record {
	uint64_t time; /* ns since the epoch */
	uint32_t len;
	uint32_t wire_len;  /* if it is more than len */
	uint16_t link_type; /* as in capture files; a block has records of one only */
	uint16_t link_len; /* of the link-layer header: what follows it will be aligned. 0: none, or not known */
};

/* Of `size` bytes each (-EINVAL: no whole pages, or too few or too many). A sealed memfd. -ENOMEM, -errno. */
int pfs_blocks_new(size_t size, struct pfs_blocks **ret_blocks);
void pfs_blocks_free(struct pfs_blocks *blocks);	/* NULL is fine */
int pfs_blocks_memory(const struct pfs_blocks *blocks); /* the memfd, borrowed: both blocks in a row */
/* The first or the second one, as this process has it mapped; borrowed. Whose it is says pfs_zbuf_yours(). */
struct pfs_zbuf_header *pfs_blocks_header(const struct pfs_blocks *blocks, unsigned which);
/* The most bytes of a record, with this link_len, that one block holds. */
size_t pfs_blocks_record_max(const struct pfs_blocks *blocks, uint32_t link_len);

/* Copies it, cut if no block could hold it. -EAGAIN: no block is ours. Either way look at pfs_blocks_handed(). */
int pfs_blocks_put(struct pfs_blocks *blocks, const struct pfs_blocks_record *record,
		   const void *bytes);
/*
 * Hands over what is in store, if there is something and no block is held. What was given back meanwhile is taken
 * before that, where FreeBSD leaves it until the next packet: who waits for no other would never get the last ones.
 */
bool pfs_blocks_rotate(struct pfs_blocks *blocks, unsigned *ret_block, size_t *ret_len);
/* Hands over what is in store, come what may: nothing will be put any more. */
void pfs_blocks_end(struct pfs_blocks *blocks);
/* Writes bzh_state (sequentially consistent). */
void pfs_blocks_state(struct pfs_blocks *blocks, uint32_t state);
/* Was a block handed over since this was asked last? Whoever waits for one is woken then. */
bool pfs_blocks_handed(struct pfs_blocks *blocks);
/* After -EAGAIN: may it be worth trying again? */
bool pfs_blocks_room(struct pfs_blocks *blocks);

#endif
