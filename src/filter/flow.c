/*
 * flow - sort packets by connection
 *
 * Synopsis:   …/flow[,max=N][,expire=S]
 *
 * Sorts packets by addresses, ports and protocol; both directions of a connection are one flow.
 * All packets pass; each is also in the directory of its flow, `10.0.0.1:5000-10.0.0.2:80` or
 * `[::1]:5-[::1]:80`. The end with the lower address comes first, where the addresses are equal
 * the one with the lower port, whoever began. Protocols without ports (ICMP, GRE ...) have one
 * flow for each pair of addresses, `10.0.0.1-10.0.0.2-icmp`.
 *
 * Where flows of two protocols have the same ends, as a resolver that asks over UDP and then TCP,
 * the later one has its protocol at the end of its name: `10.0.0.1:5000-10.0.0.2:53-tcp`. A name
 * made by hand without a protocol is the first flow's that comes.
 *
 * A class appears with its first packet, or with mkdir, so that it can be read before there is
 * any. Its .stats count what it has had since, read or not. Fragments after the first have no
 * ports: they are in no class. Flows are many: see max= and expire=.
 *
 * Stats:      classes; packets in no class: unclassed.full (there was none left), unclassed.fragment (after the
 *             first), unclassed.short (the header is cut off or wrong), unclassed.other (not IP)
 * Parameters: max=N     classes at once, 1 to 65535 (default 4096); what would need one more is in `all` alone
 *             expire=S  seconds without a packet after which a class goes, unless it is read, has filters or was made
 *                       by hand (default 0: never). Both can be changed through .params.
 * Classes:    the flow: `10.0.0.1:5000-10.0.0.2:80`, `[::1]:5-[::1]:80`
 * Example:    mkdir -p /p/dev/eth0/tcp/flow,expire=60; ls /p/dev/eth0/tcp/flow,expire=60
 */
#include "graph/classify.h"

static int flow_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)place;
	return pfs_classify_init(state, &pkt_field_flow, args, diag);
}

const struct pfs_filter pfs_filter_flow = {
	.name = "flow",
	.summary = "sort packets by connection",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_classify_params,
	.state_size = sizeof(struct pfs_classify),
	.init = flow_init,
	.reconfigure = pfs_classify_reconfigure,
	.fini = pfs_classify_fini,
	.batch = pfs_classify_batch,
	.stats = pfs_classify_stats,
	.open_classes = pfs_classify_classes,
};
