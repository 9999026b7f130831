/*
 * proto - sort packets by IP protocol
 *
 * Synopsis:   …/proto[,max=N][,expire=S]
 *
 * Sorts packets by the protocol that IPv4 carries, or IPv6 behind its extension headers. All
 * packets pass; each is also in the directory of its protocol: `tcp udp icmp icmp6 igmp gre esp ah
 * sctp ospf ...`, those without a name here by number. A name of a class is that class: for the
 * filter `tcp` below `proto`, say `tcp:`.
 *
 * A class appears with its first packet, or with mkdir, so that it can be read before there is
 * any. Its .stats count what it has had since, read or not. Fragments are in the class of the
 * protocol they are of.
 *
 * Below dev/ and netfilter_* it runs in the kernel: packets of a class that is known are counted there,
 * and copied only if somebody reads it. For up to 16384 classes a directory, four directories that sort.
 *
 * Stats:      classes; packets in no class: unclassed.full (there was none left), unclassed.short (the header is
 *             cut off or wrong), unclassed.other (not IP), unclassed.fragment (none: they are classed too)
 * Parameters: max=N     classes at once, 1 to 65535 (default 4096); what would need one more is in `all` alone
 *             expire=S  seconds without a packet after which a class goes, unless it is read, has filters or was made
 *                       by hand (default 0: never). Both can be changed through .params.
 * Classes:    the protocol: `udp`, `tcp`, `icmp`, `200`
 * Example:    mkdir -p /p/netfilter_in/proto/gre; cat /p/netfilter_in/proto/gre/all.txt
 */
#include "graph/classify.h"

static int proto_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	(void)place;
	return pfs_classify_init(state, &pkt_field_proto, args, diag);
}

const struct pfs_filter pfs_filter_proto = {
	.name = "proto",
	.summary = "sort packets by IP protocol",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_classify_params,
	.state_size = sizeof(struct pfs_classify),
	.init = proto_init,
	.reconfigure = pfs_classify_reconfigure,
	.fini = pfs_classify_fini,
	.batch = pfs_classify_batch,
	.stats = pfs_classify_stats,
	.open_classes = pfs_classify_classes,
};
