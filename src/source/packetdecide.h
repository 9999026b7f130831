/*
 * packetdecide - the filters of the graph as one classic BPF filter of a packet socket
 *
 * Where no program may be loaded (source/packetring.h) the kernel can say yes or no to a packet and nothing else. So
 * the units of the filters become one question, "does anybody want it?", whose answer may be yes too often and never no
 * wrongly: the engine asks every filter again. What is wanted for its number alone has to come as well; directories in
 * between count what has come.
 *
 * Threads: pure.
 */
#ifndef PFS_SOURCE_PACKETDECIDE_H
#define PFS_SOURCE_PACKETDECIDE_H

#include <pipesfs/pf.h>

#include "graph/source.h"

/*
 * snaplen: bytes of a packet that the engine sees, where the kernel sees it whole. 0, and *ret_insns is to be freed by
 * free(3); -errno, and `why` says why all packets have to come.
 */
int packetdecide(const struct pfs_interests *interests, uint16_t link_type, uint32_t snaplen,
		 struct pf_insn **ret_insns, size_t *ret_n, struct pfs_diag *why);

#endif
