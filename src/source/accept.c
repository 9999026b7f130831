/*
 * accept - what processes write
 *
 * Synopsis:   /p/accept
 *             /p/accept:NAME
 *
 * A source without a capture: what is written into its `all` flows down. Each process that opens it
 * is a byte stream of its own; when the last one closes, readers get end of file. The writer
 * waits when readers or sinks do not keep up, and what is written before there is one waits for
 * the first. NAME tells several of them apart.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Example:    mkdir -p /p/accept/unpcap/tcp; cat trace.pcap > /p/accept/all
 */
#include "graph/source.h"

static int accept_init(void *state, const char *name, const struct pfs_args *args,
		       const struct pfs_place *place, struct pfs_diag *diag)
{
	(void)state;
	(void)name;
	(void)args;
	(void)place;
	(void)diag;
	return 0;
}

const struct pfs_source pfs_source_accept = {
	.name = "accept",
	.summary = "what processes write",
	.flags = PFS_SOURCE_WRITABLE,
	.out = PFS_FLOW_BYTES,
	.has_arg = true,
	.init = accept_init,
};
