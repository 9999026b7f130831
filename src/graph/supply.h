/*
 * supply - records that a process offers in memory of its own (ring/offer.h), on their way into a writer
 *
 * One thread for each takes them, copies each once into the ring of the writer's directory, and runs the tree below: so
 * a slow tree, or a process that offers without end, is nobody else's affair. When the ring is full it waits for room
 * there, and the process finds its own ring full. Nothing that the process writes is believed: nonsense ends it, and
 * is complained about in a sentence; what came before it has been taken.
 *
 * Threads: opened and closed by anyone.
 */
#ifndef PFS_GRAPH_SUPPLY_H
#define PFS_GRAPH_SUPPLY_H

#include "graph/graph.h"

struct pfs_supply;

/*
 * From now on the writer is its: borrowed, until last(arg) is called, once, some time after pfs_supply_close(), on any
 * thread; its stream has ended then. nudge_fd and calls_fd (base/nudge.h) are borrowed likewise: by the one the process
 * is nudged when its ring says so, by the other it nudges when that says so; both ends of both stay open.
 * size: bytes of the process's ring, at most; no record is longer than the writer takes. -EINVAL,
 * -ENOMEM, -EAGAIN (no thread), -EDQUOT: its user pays for the ring.
 */
int pfs_supply_open(struct pfs_writer *writer, uint64_t size, int nudge_fd, int calls_fd,
		    void (*last)(void *arg), void *arg, struct pfs_supply **ret_supply,
		    struct pfs_diag *diag);
int pfs_supply_memory(const struct pfs_supply *supply);	   /* of pfs_offer_memory() */
uint64_t pfs_supply_size(const struct pfs_supply *supply); /* what its ring really has */
/*
 * What was committed is taken, then the stream ends: at once as far as there is room, as with what was written. Never
 * waits.
 */
void pfs_supply_close(struct pfs_supply *supply);

#endif
