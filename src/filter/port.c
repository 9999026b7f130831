/*
 * port - sort packets by their ports
 *
 * Synopsis:   …/port[,max=N][,expire=S]
 *
 * Sorts packets by both ports of TCP, UDP, SCTP, DCCP or UDP-Lite, over IPv4 and IPv6, behind VLAN
 * tags and IPv6 extension headers too. All packets pass, once; each is also in the directories of
 * its source and its destination port, once where the two are equal. So `port/443` has both
 * directions of a connection, in order.
 *
 * A class appears with its first packet, or with mkdir, so that it can be read before there is
 * any. Its .stats count what it has had since, read or not. Names are decimal without leading
 * zeros. Fragments after the first have no ports: they are in no class.
 *
 * Below dev/ and netfilter_* it runs in the kernel: packets of a class that is known are counted there,
 * and copied only if somebody reads it. For up to 16384 classes a directory, four directories that sort.
 *
 * Stats:      classes; packets in no class: unclassed.full (there was none left), unclassed.fragment (after the
 *             first), unclassed.short (the header is cut off or wrong), unclassed.other (no ports)
 * Parameters: max=N     classes at once, 1 to 65535 (default 4096); what would need one more is in `all` alone
 *             expire=S  seconds without a packet after which a class goes, unless it is read, has filters or was made
 *                       by hand (default 0: never). Both can be changed through .params.
 * Classes:    the ports: `443`, `50000`
 * Example:    mkdir -p /p/dev/eth0/port/53; cat /p/dev/eth0/port/53/all.json
 */
#include "graph/classify.h"

static int port_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)place;
	return pfs_classify_init(state, &pkt_field_port, args, diag);
}

const struct pfs_filter pfs_filter_port = {
	.name = "port",
	.summary = "sort packets by their ports",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_classify_params,
	.state_size = sizeof(struct pfs_classify),
	.init = port_init,
	.reconfigure = pfs_classify_reconfigure,
	.fini = pfs_classify_fini,
	.batch = pfs_classify_batch,
	.stats = pfs_classify_stats,
	.open_classes = pfs_classify_classes,
};
