/*
 * arp - keep ARP packets
 *
 * Synopsis:   …/arp[,tunnel=KINDS]
 *
 * Passes packets of the Address Resolution Protocol (not RARP). Needs a link layer, so it is
 * refused below netfilter_*, where packets begin at IP.
 *
 * With tunnel= it looks into tunnels: `yes` keeps ARP carried in one, `any` those in a tunnel or in
 * none, names joined by '+' those in just these, `gre+vxlan`. What passes is then the innermost packet
 * that is ARP, as if it had come by itself: nothing is copied, but what was around it is not seen below.
 * gre is also NVGRE, PPTP, ERSPAN; vxlan VXLAN-GPE; ipip IP in IP, 4 or 6; mpls labels with IP or a
 * pseudowire's frame below; qinq two VLAN tags, which stay. Eight headers deep at most.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: tunnel=KINDS  no, yes, any, or some of gre vxlan geneve ipip mpls pppoe qinq no (default no); can be
 *             changed through .params
 * Classes:    none
 * Example:    cat /p/dev/eth0/arp/all.txt
 */
#include "graph/through.h"

static bool arp_keep(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_ARP;
}

static void arp_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	pfs_through_keep(state, in, n, out, arp_keep);
}

static int arp_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	return pfs_through_keeps(state, link_type, PKT_KEEP_ARP, PKT_KEEP_ANY_PROTO, ret_unit);
}

const struct pfs_filter pfs_filter_arp = {
	.name = "arp",
	.summary = "keep ARP packets",
	.flags = PFS_FILTER_LINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = pfs_through_params,
	.state_size = sizeof(struct pfs_through),
	.init = pfs_through_init,
	.moved = pfs_through_moved,
	.reconfigure = pfs_through_init,
	.batch = arp_batch,
	.keeps = arp_keeps,
};
