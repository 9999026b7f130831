/*
 * ruling - what the sinks that give verdicts share
 */
#ifndef PFS_SINK_RULING_H
#define PFS_SINK_RULING_H

#include "graph/filter.h"

struct pfs_ruling {
	pfs_counter packets;   /* writer: the source's task */
	pfs_counter undecided; /* writer: likewise */
};

int pfs_ruling_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit);
void pfs_ruling_passed(void *state, const struct pfs_tally *tally);
void pfs_ruling_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
void pfs_ruling_stats(void *state, struct pfs_buf *out);

#endif
