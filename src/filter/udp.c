/*
 * udp - keep UDP packets, over IPv4 and IPv6
 *
 * Synopsis:   …/udp[,tunnel=KINDS]
 *
 * Passes packets that carry UDP: all fragments of them too, though only the first one has ports,
 * and IPv6 packets with extension headers before it. Packets are passed whole.
 *
 * With tunnel= it looks into tunnels: `yes` keeps UDP carried in one, `any` those in a tunnel or in
 * none, names joined by '+' those in just these, `gre+vxlan`. What passes is then the innermost packet
 * that is UDP, as if it had come by itself: nothing is copied, but what was around it is not seen below.
 * gre is also NVGRE, PPTP, ERSPAN; vxlan VXLAN-GPE; ipip IP in IP, 4 or 6; mpls labels with IP or a
 * pseudowire's frame below; qinq two VLAN tags, which stay. Eight headers deep at most.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: tunnel=KINDS  no, yes, any, or some of gre vxlan geneve ipip mpls pppoe qinq no (default no); can be
 *             changed through .params
 * Classes:    none
 * Example:    cat /p/dev/eth0/udp/all.json
 */
#include "graph/through.h"

static bool udp_keep(const struct pfs_ref *ref)
{
	return pfs_is_ip(ref) && ref->proto == PFS_PROTO_UDP;
}

static void udp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	pfs_through_keep(state, in, n, out, udp_keep);
}

static int udp_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	return pfs_through_keeps(state, link_type, PKT_KEEP_IP | PKT_KEEP_IP6, PFS_PROTO_UDP, ret_unit);
}

const struct pfs_filter pfs_filter_udp = {
	.name = "udp",
	.summary = "keep UDP packets, over IPv4 and IPv6",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_through_params,
	.state_size = sizeof(struct pfs_through),
	.init = pfs_through_init,
	.moved = pfs_through_moved,
	.reconfigure = pfs_through_init,
	.batch = udp_batch,
	.keeps = udp_keeps,
};
