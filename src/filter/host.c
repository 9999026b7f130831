/*
 * host - sort packets by their addresses
 *
 * Synopsis:   …/host[,max=N][,expire=S]
 *
 * Sorts packets by the source and the destination address of IPv4 and IPv6, and by the two
 * protocol addresses of ARP and RARP, as `host` of pcap-filter(7) does, and
 * behind VLAN tags too. All packets pass, once; each is also in the directories of both its addresses, once
 * where the two are equal.
 *
 * A class appears with its first packet, or with mkdir, so that it can be read before there is
 * any. Its .stats count what it has had since, read or not. Names are as inet_ntop(3) writes them:
 * `::1`, not `0::1`.
 *
 * Below dev/ and netfilter_* it runs in the kernel: packets of a class that is known are counted there,
 * and copied only if somebody reads it. For up to 16384 classes a directory, four directories that sort.
 *
 * Stats:      classes; packets in no class: unclassed.full (there was none left), unclassed.short (the header is
 *             cut off or wrong), unclassed.other (neither IP nor ARP), unclassed.fragment (none: they are classed too)
 * Parameters: max=N     classes at once, 1 to 65535 (default 4096); what would need one more is in `all` alone
 *             expire=S  seconds without a packet after which a class goes, unless it is read, has filters or was made
 *                       by hand (default 0: never). Both can be changed through .params.
 * Classes:    the addresses: `10.0.0.1`, `fe80::1`
 * Example:    mkdir -p /p/netfilter_out/host/192.0.2.7; cat /p/netfilter_out/host/192.0.2.7/all.txt
 */
#include "graph/classify.h"

static int host_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)place;
	return pfs_classify_init(state, &pkt_field_host, args, diag);
}

const struct pfs_filter pfs_filter_host = {
	.name = "host",
	.summary = "sort packets by their addresses",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_classify_params,
	.state_size = sizeof(struct pfs_classify),
	.init = host_init,
	.reconfigure = pfs_classify_reconfigure,
	.fini = pfs_classify_fini,
	.batch = pfs_classify_batch,
	.stats = pfs_classify_stats,
	.open_classes = pfs_classify_classes,
};
