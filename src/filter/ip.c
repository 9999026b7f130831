/*
 * ip - keep IPv4 packets
 *
 * Synopsis:   …/ip
 *
 * Passes packets whose network layer is IPv4, also behind VLAN tags and on every link type that
 * is known; finds where that layer begins for the filters below. Packets are passed whole, with
 * their link layer.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    cat /p/netfilter_out/ip/all.txt
 */
#include "graph/proto.h"

static bool ip_keep(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_IP;
}

static void ip_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, ip_keep);
}

const struct pfs_filter pfs_filter_ip = {
	.name = "ip",
	.summary = "keep IPv4 packets",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = ip_batch,
};
