/*
 * pass - a verdict: let the packets that come here pass
 *
 * Synopsis:   /p/netfilter_in/…/pass
 *
 * A packet that gets here is accepted, and no verdict further down is asked. The verdict
 * is made by the program that runs in the kernel, so it fits only below netfilter_*, and acts without
 * any reader. The compiler of such programs is not part of this version: mkdir says so (EOPNOTSUPP).
 *
 * Stats:      none
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p '/p/netfilter_in/match:tcp dst port 23/pass'
 */
#include "graph/filter.h"

static int pass_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)state;
	(void)args;
	(void)place;
	return pfs_diag_set(diag, EOPNOTSUPP,
			    "pass: verdicts come with the compiler of kernel programs, which this "
			    "version does not have yet");
}

/* Never reached: init says no. */
static void pass_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	(void)in;
	(void)n;
	(void)out;
}

const struct pfs_filter pfs_filter_pass = {
	.name = "pass",
	.summary = "a verdict: let the packets that come here pass",
	.flags = PFS_FILTER_VERDICT | PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.init = pass_init,
	.batch = pass_batch,
};
