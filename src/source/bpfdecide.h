/*
 * bpfdecide - the filters of the graph as the body of a capture program
 *
 * Between graph/source.h (pfs_source.decide) and source/bpfcapture.h: the units of all filters become one, the passes
 * run over it, and the kernel's verifier has the last word. What it refuses is not decided in the kernel: all packets
 * come, as if nobody had asked.
 */
#ifndef PFS_SOURCE_BPFDECIDE_H
#define PFS_SOURCE_BPFDECIDE_H

#include "source/bpfcapture.h"

/*
 * Makes ready, as kcap_prepare(). off: it is not to decide, whatever is asked. link_type: of the packets that come.
 * *ret_yes: it will decide; else `why` says why not. -errno: there are
 * verdicts, and it will not; or not even a program that does not decide could be made.
 */
int kcap_decide(struct kcap *kcap, const struct pfs_interests *interests, uint16_t link_type,
		bool off, bool *ret_yes, struct pfs_diag *why);

#endif
