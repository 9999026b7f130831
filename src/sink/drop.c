/*
 * drop - a verdict: drop the packets that come here
 *
 * Synopsis:   /p/netfilter_in/…/drop
 *
 * A packet that gets here is dropped: the host does not get it, or does not send it. The verdict
 * is made by the program that runs in the kernel, so it fits only below netfilter_*, and acts without
 * any reader. The compiler of such programs is not part of this version: mkdir says so (EOPNOTSUPP).
 *
 * Stats:      none
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p '/p/netfilter_in/match:tcp dst port 23/drop'
 */
#include "graph/filter.h"

static int drop_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)state;
	(void)args;
	(void)place;
	return pfs_diag_set(diag, EOPNOTSUPP,
			    "drop: verdicts come with the compiler of kernel programs, which this "
			    "version does not have yet");
}

/* Never reached: init says no. */
static void drop_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	(void)in;
	(void)n;
	(void)out;
}

const struct pfs_filter pfs_filter_drop = {
	.name = "drop",
	.summary = "a verdict: drop the packets that come here",
	.flags = PFS_FILTER_VERDICT | PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.init = drop_init,
	.batch = drop_batch,
};
