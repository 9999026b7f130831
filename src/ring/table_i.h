/*
 * table_i - how rings get into their table
 */
#ifndef PFS_RING_TABLE_I_H
#define PFS_RING_TABLE_I_H

#include "ring/ring.h"

/* Gives the ring a number and makes it known. -ENOSPC: all are taken. */
int pfs_rings_enter(struct pfs_rings *table, struct pfs_ring *ring);
/* Takes that back, if there was one. */
void pfs_rings_leave(struct pfs_ring *ring);

#endif
