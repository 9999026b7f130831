/*
 * ip6 - keep IPv6 packets
 *
 * Synopsis:   …/ip6
 *
 * Passes packets whose network layer is IPv6, also behind VLAN tags; finds where that layer and,
 * past extension headers, the transport layer begin. Packets are passed whole.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    cat /p/dev/eth0/ip6/all.txt
 */
#include "graph/proto.h"

static bool ip6_keep(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_IP6;
}

static void ip6_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, ip6_keep);
}

const struct pfs_filter pfs_filter_ip6 = {
	.name = "ip6",
	.summary = "keep IPv6 packets",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = ip6_batch,
};
