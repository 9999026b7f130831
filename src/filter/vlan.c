/*
 * vlan - keep packets with a VLAN tag
 *
 * Synopsis:   …/vlan
 *             …/vlan:ID
 *
 * Passes packets with an 802.1Q or 802.1ad tag; with an argument only those whose outermost tag is
 * that id (0 to 4095). The tag stays in the packet. Filters like `ip` look behind tags by
 * themselves. Needs a link layer, so it is refused below netfilter_*.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/vlan:100/ip; cat /p/dev/eth0/vlan:100/ip/all.txt
 */
#include "graph/proto.h"

#define VLAN_ANY (-1)

struct vlan {
	int id; /* or VLAN_ANY */
};

static int vlan_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct vlan *v = state;
	uint64_t id;

	(void)place;
	v->id = VLAN_ANY;
	if (!args->arg || args->arg_len == 0)
		return 0;
	if (pfs_number_parse(args->arg, false, 0, 4095, &id) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "vlan:ID takes a VLAN id from 0 to 4095, not '%.32s'", args->arg);
	v->id = (int)id;
	return 0;
}

static void vlan_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	const struct vlan *v = state;

	for (size_t i = 0; i < n; i++) {
		int id = pkt_vlan(pfs_bytes(out, &in[i]), in[i].len, pfs_link_type(out, &in[i]));

		if (id >= 0 && (v->id == VLAN_ANY || v->id == id))
			pfs_emit(out, &in[i]);
	}
}

const struct pfs_filter pfs_filter_vlan = {
	.name = "vlan",
	.summary = "keep packets with a VLAN tag",
	.flags = PFS_FILTER_LINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.state_size = sizeof(struct vlan),
	.init = vlan_init,
	.batch = vlan_batch,
};
