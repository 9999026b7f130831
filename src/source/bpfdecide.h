/*
 * bpfdecide - the filters of the graph as the body of a capture program
 *
 * Between graph/source.h (pfs_source.decide) and source/bpfcapture.h: the units of all filters become one, the passes
 * run over it, and the kernel's verifier has the last word. What it refuses is not decided in the kernel: all packets
 * come, as if nobody had asked. Where there are verdicts these are tried alone, and the engine asks the filters.
 *
 * Making takes its time and is done beside everything else: it has a reference to the kcap and a copy of what may
 * change there.
 */
#ifndef PFS_SOURCE_BPFDECIDE_H
#define PFS_SOURCE_BPFDECIDE_H

#include "source/bpfcapture.h"

struct kcap_making {
	struct pfs_making making;
	struct kcap *kcap;		       /* a reference */
	struct kcap view;		       /* as it was */
	const struct pfs_interests *interests; /* borrowed; NULL: none */
	uint16_t link_type;
	bool off; /* it is not to decide, whatever is asked */
	/* Of the interests with keys, one after the other; NULL: it has left. */
	struct ksorter *sorter[PFS_SORTERS_MAX];
	int unsorted; /* -errno: there are none for all of them */
	/* The same of those that keep every Nth. */
	uint32_t cell[PFS_NTHS_MAX];
	bool has_cell[PFS_NTHS_MAX];
	struct kcap_program program; /* owned; what was made */
	bool decides;		     /* what was made decides, */
	struct pfs_diag undecided;   /* or why it does not; also what of it does not */
};

/* link_type: of the packets that come. NULL: there is no memory. */
struct kcap_making *kcap_making_new(struct kcap *kcap, const struct pfs_interests *interests,
				    uint16_t link_type, bool off);
/* Puts it in the place of what runs. -ESTALE: the kcap is another one, or was set anew; -errno: that one stays. */
int kcap_making_commit(struct kcap_making *m, struct kcap *kcap, struct pfs_diag *diag);

#endif
