/*
 * udp - keep UDP packets, over IPv4 and IPv6
 *
 * Synopsis:   …/udp
 *
 * Passes packets that carry UDP: all fragments of them too, though only the first one has ports,
 * and IPv6 packets with extension headers before it. Packets are passed whole.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    cat /p/dev/eth0/udp/all.json
 */
#include "graph/proto.h"

static bool udp_keep(const struct pfs_ref *ref)
{
	return pfs_is_ip(ref) && ref->proto == PFS_PROTO_UDP;
}

static void udp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, udp_keep);
}

const struct pfs_filter pfs_filter_udp = {
	.name = "udp",
	.summary = "keep UDP packets, over IPv4 and IPv6",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = udp_batch,
};
