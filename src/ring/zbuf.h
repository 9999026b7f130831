/*
 * zbuf - two blocks of memory that are filled and handed to a process in turn, as FreeBSD's zero-copy BPF does
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
#ifndef PFS_RING_ZBUF_H
#define PFS_RING_ZBUF_H

#include <pipesfs/zbuf.h>

#include "base/base.h"

/* Bytes of one block, header included: whole pages. The limits are FreeBSD's but for the lower one. */
#define PFS_BLOCK_MIN ((size_t)4096)
#define PFS_BLOCK_MAX ((size_t)2 << 20)

struct pfs_zbuf;

/* A record to be put. */
struct pfs_zbuf_record {
	uint64_t time; /* ns since the epoch */
	uint32_t len;
	uint32_t wire_len;  /* if it is more than len */
	uint16_t link_type; /* as in capture files; a block has records of one only */
	uint16_t link_len; /* of the link-layer header: what follows it will be aligned. 0: none, or not known */
};

/* Of `size` bytes each (-EINVAL: no whole pages, or too few or too many). A sealed memfd. -ENOMEM, -errno. */
int pfs_zbuf_new(size_t size, struct pfs_zbuf **ret_blocks);
void pfs_zbuf_free(struct pfs_zbuf *blocks);	    /* NULL is fine */
int pfs_zbuf_memory(const struct pfs_zbuf *blocks); /* the memfd, borrowed: both blocks in a row */
/* The first or the second one, as this process has it mapped; borrowed. Whose it is says pfs_zbuf_yours(). */
struct pfs_zbuf_header *pfs_zbuf_header(const struct pfs_zbuf *blocks, unsigned which);
/* The most bytes of a record, with this link_len, that one block holds. */
size_t pfs_zbuf_record_max(const struct pfs_zbuf *blocks, uint32_t link_len);

/* Copies it, cut if no block could hold it. -EAGAIN: no block is ours. Either way look at pfs_zbuf_handed(). */
int pfs_zbuf_put(struct pfs_zbuf *blocks, const struct pfs_zbuf_record *record, const void *bytes);
/*
 * Hands over what is in store, if there is something and no block is held. What was given back meanwhile is taken
 * before that, where FreeBSD leaves it until the next packet: who waits for no other would never get the last ones.
 */
bool pfs_zbuf_rotate(struct pfs_zbuf *blocks, unsigned *ret_block, size_t *ret_len);
/* Hands over what is in store, come what may: nothing will be put any more. */
void pfs_zbuf_end(struct pfs_zbuf *blocks);
/* Writes bzh_state (sequentially consistent). */
void pfs_zbuf_state(struct pfs_zbuf *blocks, uint32_t state);
/* Was a block handed over since this was asked last? Whoever waits for one is woken then. */
bool pfs_zbuf_handed(struct pfs_zbuf *blocks);
/* After -EAGAIN: may it be worth trying again? */
bool pfs_zbuf_room(struct pfs_zbuf *blocks);

#endif
