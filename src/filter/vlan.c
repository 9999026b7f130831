/*
 * vlan - keep packets with a VLAN tag
 *
 * Synopsis:   …/vlan[,tunnel=KINDS]
 *             …/vlan:ID[,tunnel=KINDS]
 *
 * Passes packets with an 802.1Q or 802.1ad tag; with an argument only those whose outermost tag is
 * that id (0 to 4095). The tag stays in the packet. Filters like `ip` look behind tags by
 * themselves. Needs a link layer, so it is refused below netfilter_*.
 *
 * With tunnel=qinq the tags behind the outermost one count instead, with tunnel=no+qinq all of them:
 * `vlan:100/vlan:7,tunnel=qinq` is customer 7 in the provider's 100. Other names look at the tags of
 * frames carried in such tunnels (see `ip`), and what passes is the innermost frame with that tag.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: tunnel=KINDS  no, yes, any, or some of gre vxlan geneve ipip mpls pppoe qinq no (default no); it and
 *             the id (as arg=ID) can be changed through .params
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/vlan:100/ip; cat /p/dev/eth0/vlan:100/ip/all.txt
 */
#include "graph/through.h"

#define VLAN_ANY (-1)

struct vlan {
	struct pfs_through through; /* first */
	int id;			    /* or VLAN_ANY */
};

static int vlan_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct vlan *v = state;
	uint64_t id = 0;
	int r;

	if (args->arg && args->arg_len > 0 && pfs_number_parse(args->arg, false, 0, 4095, &id) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "vlan:ID takes a VLAN id from 0 to 4095, not '%.32s'", args->arg);
	r = pfs_through_init(&v->through, args, place, diag);
	if (r < 0)
		return r;
	v->id = args->arg && args->arg_len > 0 ? (int)id : VLAN_ANY;
	return 0;
}

/* Has the frame such a tag, among those that count? */
static bool vlan_keep(const void *arg, const struct pkt_walk *walk)
{
	const struct vlan *v = arg;
	uint16_t ids[PKT_VLANS_MAX];
	unsigned n = pkt_vlans(walk->p + walk->off, walk->n - walk->off, walk->link_type, ids);
	bool first = walk->depth > 0 || (walk->kinds & PKT_TUNNEL_NO);

	for (unsigned i = 0; i < n; i++) {
		if (i == 0 ? !first : !(walk->kinds & PKT_TUNNEL_QINQ))
			continue;
		if (v->id == VLAN_ANY || v->id == ids[i])
			return true;
	}
	return false;
}

static void vlan_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct vlan *v = state;

	pfs_through_batch(&v->through, in, n, out, vlan_keep, v);
}

static int vlan_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	return pfs_through_keeps(state, link_type, PKT_KEEP_VLAN, PKT_KEEP_ANY_PROTO, ret_unit);
}

const struct pfs_filter pfs_filter_vlan = {
	.name = "vlan",
	.summary = "keep packets with a VLAN tag",
	.flags = PFS_FILTER_LINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = pfs_through_params,
	.state_size = sizeof(struct vlan),
	.init = vlan_init,
	.reconfigure = vlan_init,
	.batch = vlan_batch,
	.keeps = vlan_keeps,
};
