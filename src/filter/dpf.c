/*
 * dpf - keep packets for which a list of atoms holds
 *
 * Synopsis:   …/dpf:ATOMS
 *
 * ATOMS are separated by `&&`, `and`, commas or ends of lines: `12:16 == 0x800` asks for the 16 bits at byte 12,
 * `20:16 & 0x1fff == 0` for some of their bits; `shift 14` and `shift (0:8 & 0xf) << 2` move on the place from
 * which the fields behind it are counted. pf-dpf(7) is the manual of the language. Fields are counted from the first
 * byte of the packet as it is here: from the link header on, below netfilter_* from the IP header on.
 *
 * A slash in it is written %2f, the end of a line %0a. A list may have 16384 bytes (a name only 255: make the
 * directory, then write the long one to .params). `.program` shows the graph and the machine code that it has become.
 *
 * Stats:      programs (compiled, one a link type), tests (branches of the first one)
 * Parameters: program= the list, instead of the argument; may be changed in .params, and nothing changes if it
 *             is bad
 * Classes:    none
 * Example:    mkdir -p '/p/dev/eth0/dpf:12:16 == 0x800, 23:8 == 6'
 *
 * Threads:    graph/programs.h
 */
#include "graph/programs.h"

static int dpf_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	return pfs_programs_init(state, "dpf", args, place, diag);
}

const struct pfs_filter pfs_filter_dpf = {
	.name = "dpf",
	.summary = "keep packets for which a list of atoms holds (DPF)",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = pfs_programs_params,
	.state_size = sizeof(struct pfs_programs),
	.init = dpf_init,
	.reconfigure = pfs_programs_reconfigure,
	.fini = pfs_programs_fini,
	.batch = pfs_programs_batch,
	.keeps = pfs_programs_keeps,
	.stats = pfs_programs_stats,
	.program = pfs_programs_print,
};
