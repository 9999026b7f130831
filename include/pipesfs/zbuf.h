/*
 * zbuf - records in two blocks of shared memory: the contract of FreeBSD's zero-copy BPF, bpf(4)
 *
 * Each block begins with a header, and is one side's at a time: that of the mount ("kernel" in the names, which are
 * FreeBSD's) while both generations are equal, else yours. Zeroed blocks are the mount's. It hands a block over when
 * it has filled it, or when you ask for what is there (rotate): it says in bzh_kernel_len how many bytes of records
 * follow the header, and adds one to bzh_kernel_gen. You give it back by copying that generation:
 *
 *	struct pfs_zbuf_header *block = ...;
 *
 *	if (pfs_zbuf_yours(block)) {
 *		const unsigned char *p = (const unsigned char *)(block + 1), *end = p + block->bzh_kernel_len;
 *
 *		while (p < end) {
 *			const struct pfs_xhdr *h = (const struct pfs_xhdr *)p;
 *
 *			use(p + h->bh_hdrlen, h->bh_caplen);
 *			p += PFS_ZBUF_WORDALIGN(h->bh_hdrlen + h->bh_caplen);
 *		}
 *		pfs_zbuf_give(block);
 *	}
 *
 * The two are handed over in turn, the first one first. Both may be yours at the same time. Give each back as soon as
 * you are done with it: the mount needs one of them to go on.
 *
 * Threads: one that takes.
 */
#ifndef PIPESFS_ZBUF_H
#define PIPESFS_ZBUF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * At the beginning of each block; 32 bytes. struct bpf_zbuf_header, which has only the first three words, and padding.
 */
struct pfs_zbuf_header {
	uint32_t bzh_kernel_gen; /* written by the mount only, after the length */
	uint32_t bzh_kernel_len; /* bytes of records behind this header */
	uint32_t bzh_user_gen;	 /* written by you only */
	uint32_t bzh_link_type; /* of all records in it, LINKTYPE_* as in capture files; 65535: they are no packets */
	uint32_t bzh_state; /* of the first block, and of both: PFS_ZBUF_* */
	uint32_t bzh_reserved[3];
};

/* There is more, and no block to put it into: once you have given one back, ask (pfs_blocks_ack() does). */
#define PFS_ZBUF_WAITS 1u
/* Nothing comes any more, but for what is in blocks that are yours already. */
#define PFS_ZBUF_END 2u

/* struct bpf_ts */
struct pfs_zbuf_time {
	int64_t bt_sec;	  /* since 1970-01-01 UTC */
	uint64_t bt_frac; /* of a second, in 2^-64 of one */
};

/* In front of each record. struct bpf_xhdr */
struct pfs_xhdr {
	struct pfs_zbuf_time bh_tstamp;
	uint32_t bh_caplen;  /* bytes that are here */
	uint32_t bh_datalen; /* bytes it has, or had: of packets that were cut the larger one */
	/*
	 * From the beginning of this struct to the first of these bytes. No more than it needs to be: the network
	 * layer of an Ethernet frame begins at a multiple of PFS_ZBUF_ALIGNMENT, as in FreeBSD. So the bytes begin
	 * within what C takes for the end of this struct.
	 */
	uint16_t bh_hdrlen;
};

/* Records begin at multiples of it, counted from the end of the block's header. BPF_ALIGNMENT, BPF_WORDALIGN */
#define PFS_ZBUF_ALIGNMENT sizeof(long)
#define PFS_ZBUF_WORDALIGN(x) (((x) + (PFS_ZBUF_ALIGNMENT - 1)) & ~(PFS_ZBUF_ALIGNMENT - 1))

/* Is the block yours? If so, its length and its records may be looked at. */
__attribute__((unused)) static inline int pfs_zbuf_yours(const struct pfs_zbuf_header *block)
{
	return __atomic_load_n(&block->bzh_kernel_gen, __ATOMIC_ACQUIRE) != block->bzh_user_gen;
}

/* Gives a block back that is yours: nothing of it may be looked at any more. */
__attribute__((unused)) static inline void pfs_zbuf_give(struct pfs_zbuf_header *block)
{
	__atomic_store_n(&block->bzh_user_gen, block->bzh_kernel_gen, __ATOMIC_RELEASE);
}

/* --- of a path -------------------------------------------------------------------------------- */

/*
 * Opens a pipe file (".../all", or with ",policy=reliable" and the like) as a reader, whose records come in two blocks
 * of `size` bytes each: whole pages, at most 2 MiB; 0: 512 KiB. The kernel and the mount check the caller's rights as
 * for any open. What one open reads is shared with no other. why: NULL, or why_size bytes: when it fails, the
 * mount's sentence, or "".
 *
 * Returns 0, or: what open(2) says; -EINVAL: no such size, or no records are read there (views, tables); -EDQUOT and
 * -ENOMEM: the blocks are more than the mount, or this user's share of it, has; -ENOTTY: no file of pipesfs, or of a
 * mount that has no block mode; -EPROTO: nonsense was answered.
 */
struct pfs_blocks;
int pfs_blocks_open(const char *path, size_t size, char *why, size_t why_size,
		    struct pfs_blocks **ret_blocks);
/*
 * The next block: 1, in *ret_block, until pfs_blocks_ack(); -EAGAIN: none is yours yet; 0: that was all (a directory
 * whose writers have gone, or that was removed); -ENOTCONN: the mount has ended. Makes no system call while there is
 * one. Both blocks may be taken before either is given back.
 */
int pfs_blocks_next(struct pfs_blocks *blocks, struct pfs_zbuf_header **ret_block);
/* Gives a block back. As pfs_zbuf_give(), and tells the mount if that waits for it. */
void pfs_blocks_ack(struct pfs_blocks *blocks, struct pfs_zbuf_header *block);
/*
 * Asks for what is there, when poll(2) has timed out: BIOCROTZBUF. 1: a block was handed over, which pfs_blocks_next()
 * returns; 0: there is nothing, or one is handed over already; -errno. One system call.
 */
int pfs_blocks_rotate(struct pfs_blocks *blocks);
/* For poll(2), epoll(7): readable after -EAGAIN, when it is worth to look again. Belongs to `blocks`. */
int pfs_blocks_fd(const struct pfs_blocks *blocks);
/* NULL is fine. Its blocks are gone. */
void pfs_blocks_close(struct pfs_blocks *blocks);

#ifdef __cplusplus
}
#endif

#endif
