/*
 * tcp - keep TCP packets, over IPv4 and IPv6
 *
 * Synopsis:   …/tcp
 *
 * Passes packets that carry TCP: all fragments of them too, though only the first one has ports,
 * and IPv6 packets with extension headers before it. Packets are passed whole.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    tshark -r /p/dev/eth0/tcp/all.pcapng
 */
#include "graph/proto.h"

static bool tcp_keep(const struct pfs_ref *ref)
{
	return pfs_is_ip(ref) && ref->proto == PFS_PROTO_TCP;
}

static void tcp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	(void)state;
	pfs_keep_batch(in, n, out, tcp_keep);
}

const struct pfs_filter pfs_filter_tcp = {
	.name = "tcp",
	.summary = "keep TCP packets, over IPv4 and IPv6",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.batch = tcp_batch,
};
