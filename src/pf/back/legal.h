/*
 * legal - a unit in the words that classic BPF has
 *
 * Classic BPF computes with A and X, compares in branches only, and rejects by itself when a load does not fit or a
 * divisor is 0. Afterwards:
 *   - EQ and LT are conditions of branches and nothing else
 *   - a divisor that could be 0 where it is used is made 1, and the result masked
 *   - nothing follows a result, since nothing could change it
 * and for Linux, where it computes differently from libpcap (docs/ir.md): shifts are by less than 32, and a base that
 * could make an index of 2^31 or more is tested before.
 */
#ifndef PFS_PF_BACK_LEGAL_H
#define PFS_PF_BACK_LEGAL_H

#include "pf/ir/ir.h"

/* Into an empty unit. 0, -ENOMEM; -ENOTSUP: FITS or KNOWN as numbers, loops, memories, several filters. */
int pf_legal_cbpf(struct pf_unit *to, const struct pf_unit *from, bool linux_rules);

#endif
