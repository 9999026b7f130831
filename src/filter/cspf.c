/*
 * cspf - keep packets that a CSPF program accepts
 *
 * Synopsis:   …/cspf:PROGRAM
 *
 * PROGRAM is one for the CMU/Stanford packet filter of 1987, as words for its stack machine:
 * `PUSHWORD+6, PUSHLIT|EQ, 0x0800` keeps IPv4 on Ethernet. The language is in pf-cspf(7). Words are divided
 * by commas or blanks; a newline in a name is written %0a. PUSHWORD counts the 16-bit words of the packet
 * from its first byte; PUSHHDR those of its link header, and keeps nothing where there is none, as below
 * netfilter_*.
 *
 * A program may have 16384 bytes (a name only 255: make the directory, then write the long one to .params).
 * `.program` shows the graph and the machine code that it has become.
 *
 * Stats:      programs (compiled, one a link type), tests (branches of the first one)
 * Parameters: program= the program, instead of the argument; may be changed in .params, and nothing
 *             changes if it is bad
 * Classes:    none
 * Example:    mkdir -p '/p/dev/eth0/cspf:PUSHWORD+6, PUSHLIT|EQ, 0x0806'
 *
 * Threads:    graph/programs.h
 */
#include "graph/programs.h"

static int cspf_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	return pfs_programs_init(state, "cspf", args, place, diag);
}

const struct pfs_filter pfs_filter_cspf = {
	.name = "cspf",
	.summary = "keep packets that a CSPF program accepts",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = pfs_programs_params,
	.state_size = sizeof(struct pfs_programs),
	.init = cspf_init,
	.reconfigure = pfs_programs_reconfigure,
	.fini = pfs_programs_fini,
	.batch = pfs_programs_batch,
	.keeps = pfs_programs_keeps,
	.stats = pfs_programs_stats,
	.program = pfs_programs_print,
};
