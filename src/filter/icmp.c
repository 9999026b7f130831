/*
 * icmp - keep ICMP packets of IPv4
 *
 * Synopsis:   …/icmp
 *
 * Passes packets that carry ICMP over IPv4, as the word means in pcap-filter(7). ICMPv6 is another
 * protocol: match:icmp6 keeps that.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    cat /p/netfilter_in/icmp/all.txt
 */
#include "graph/proto.h"

static bool icmp_keep(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_IP && ref->proto == PFS_PROTO_ICMP;
}

static void icmp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, icmp_keep);
}

const struct pfs_filter pfs_filter_icmp = {
	.name = "icmp",
	.summary = "keep ICMP packets of IPv4",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = icmp_batch,
};
