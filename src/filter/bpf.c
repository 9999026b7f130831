/*
 * bpf - keep packets that a classic BPF program accepts
 *
 * Synopsis:   …/bpf:PROGRAM
 *
 * PROGRAM is classic BPF as people and tools write it: assembler with labels (`ldh [12]`, one instruction
 * a line; a newline in a name is written %0a), and the listings of tcpdump -d, -dd and -ddd. It accepts by
 * returning something else than 0; the packet passes whole. Of what Linux knows beside the bytes there is
 * the direction alone (`ld type`).
 *
 * A program may have 16384 bytes (a name only 255: make the directory, then write the long one to .params).
 * `.program` shows the graph and the machine code that it has become.
 *
 * Stats:      programs (compiled, one a link type), tests (branches of the first one)
 * Parameters: program= the program, instead of the argument; may be changed in .params, and nothing
 *             changes if it is bad
 * Classes:    none
 * Example:    mkdir -p "/p/dev/eth0/bpf:$(tcpdump -ddd tcp | tr '
' ,)"
 *
 * Threads:    graph/programs.h
 */
#include "graph/programs.h"

static int bpf_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	return pfs_programs_init(state, "bpf", args, place, diag);
}

const struct pfs_filter pfs_filter_bpf = {
	.name = "bpf",
	.summary = "keep packets that a classic BPF program accepts",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = pfs_programs_params,
	.state_size = sizeof(struct pfs_programs),
	.init = bpf_init,
	.reconfigure = pfs_programs_reconfigure,
	.fini = pfs_programs_fini,
	.batch = pfs_programs_batch,
	.keeps = pfs_programs_keeps,
	.stats = pfs_programs_stats,
	.program = pfs_programs_print,
};
