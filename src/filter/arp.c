/*
 * arp - keep ARP packets
 *
 * Synopsis:   …/arp
 *
 * Passes packets of the Address Resolution Protocol (not RARP). Needs a link layer, so it is
 * refused below netfilter_*, where packets begin at IP.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    cat /p/dev/eth0/arp/all.txt
 */
#include "graph/proto.h"

static bool arp_keep(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_ARP;
}

static void arp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, arp_keep);
}

const struct pfs_filter pfs_filter_arp = {
	.name = "arp",
	.summary = "keep ARP packets",
	.flags = PFS_FILTER_LINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = arp_batch,
};
