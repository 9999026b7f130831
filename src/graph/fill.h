/*
 * fill - the records of a reader, put into blocks that a process has mapped (ring/zbuf.h)
 *
 * Whoever pushes records for the reader's directory fills the blocks, on his thread; nothing is asked of the process.
 * When no block is ours, what comes stays where it is for any reader: a reliable one holds its writers up, a lossy
 * one is lapped. The next push looks again, and so does whoever asks (pfs_fill_rotate()); that the process is to ask is
 * said in the blocks (PFS_ZBUF_WAITS). The end of a generation ends the blocks, too.
 *
 * Threads: any; filling is by one at a time. The process is nudged (base/nudge.h) when a block was handed over,
 * and at the end.
 */
#ifndef PFS_GRAPH_FILL_H
#define PFS_GRAPH_FILL_H

#include "graph/graph.h"

struct pfs_fill;

/*
 * From now on the reader is its: borrowed, until last(arg) is called, once, some time after pfs_fill_close(), on
 * any thread. nudge_fd is borrowed likewise. size: bytes of one block. -EINVAL: no such size; or what is read there
 * does not consist of records (views, tables). -ENOMEM, -EDQUOT: its user pays for the blocks.
 */
int pfs_fill_open(struct pfs_reader *reader, size_t size, int nudge_fd, void (*last)(void *arg),
		  void *arg, struct pfs_fill **ret_fill, struct pfs_diag *diag);
void pfs_fill_close(struct pfs_fill *fill);
int pfs_fill_memory(const struct pfs_fill *fill); /* of pfs_zbuf_memory() */
/* The process has given a block back, and something waited for that. */
void pfs_fill_on(struct pfs_fill *fill);
/* First it is filled, if something waits; then handed over what is there: 1, see pfs_zbuf_rotate(). 0: nothing is. */
int pfs_fill_rotate(struct pfs_fill *fill, unsigned *ret_block, size_t *ret_len);

#endif
