#include "graph/through.h"

const struct pfs_param pfs_through_params[] = {
	{ "tunnel",
	  "no, yes, any, or names joined by +: gre vxlan geneve ipip mpls pppoe qinq no; default no" },
	{ NULL, NULL },
};

int pfs_through_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct pfs_through *through = state;
	const char *text = pfs_args_get(args, "tunnel");
	unsigned kinds = text ? pkt_tunnel_parse(text) : PKT_TUNNEL_NO;

	if (!kinds)
		return pfs_diag_set(diag, EINVAL,
				    "tunnel= takes no, yes, any, or some of gre vxlan geneve ipip mpls pppoe qinq "
				    "joined by '+'; not '%.60s'",
				    text);
	through->kinds = kinds;
	through->ip = place->flow == PFS_FLOW_IP;
	return 0;
}

int pfs_through_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	struct pfs_through *through = state;

	(void)diag;
	through->ip = place->flow == PFS_FLOW_IP;
	return 0;
}

int pfs_through_keeps(const struct pfs_through *through, uint16_t link_type, unsigned layers,
		      int proto, struct pf_unit *ret_unit)
{
	if (through->kinds != PKT_TUNNEL_NO)
		return -ENOTSUP;
	return pkt_keep_layers(link_type, layers, proto, ret_unit);
}

/* What the outer packet's is but for the link type. -errno of pfs_emit_origin(). */
static int inner_origin(struct pfs_through *t, uint16_t outer, uint16_t link_type,
			struct pfs_emitter *out, uint16_t *ret_inner)
{
	struct pfs_origin origin;
	uint16_t inner;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(t->origins); i++) {
		if (t->origins[i].known && t->origins[i].outer == outer &&
		    t->origins[i].link_type == link_type) {
			*ret_inner = t->origins[i].inner;
			return 0;
		}
	}
	origin = *pfs_origin_get(out->rings, outer);
	origin.link_type = link_type;
	r = pfs_emit_origin(out, &origin, &inner);
	if (r < 0)
		return r;
	t->origins[t->next].outer = outer;
	t->origins[t->next].link_type = link_type;
	t->origins[t->next].inner = inner;
	t->origins[t->next].known = true;
	t->next = (t->next + 1) % ARRAY_SIZE(t->origins);
	*ret_inner = inner;
	return 0;
}

static void emit_inner(struct pfs_through *t, const struct pfs_ref *ref,
		       const struct pkt_walk *walk, struct pfs_emitter *out)
{
	struct pfs_ref inner = *ref;
	uint16_t link_type = walk->link_type, cut = 0;

	if (t->ip && link_type != PFS_LINK_RAW) {
		if (!pfs_is_ip(&walk->layers))
			return; /* no IP in that frame: it cannot be here */
		cut = walk->layers.l3;
		link_type = PFS_LINK_RAW;
	}
	if (inner_origin(t, ref->origin, link_type, out, &inner.origin) < 0) {
		pfs_emit_lost(out, "origins", 1);
		return;
	}
	pfs_ref_narrow(&inner, (uint32_t)walk->off + cut, ref->len - (uint32_t)walk->off - cut);
	inner.l3 = (uint16_t)(walk->layers.l3 == PFS_LAYER_NONE ? PFS_LAYER_NONE
								: walk->layers.l3 - cut);
	inner.l4 = (uint16_t)(walk->layers.l4 == PFS_LAYER_NONE ? PFS_LAYER_NONE
								: walk->layers.l4 - cut);
	inner.ethertype = walk->layers.ethertype;
	inner.proto = walk->layers.proto;
	pfs_emit(out, &inner);
}

static void through_ref(struct pfs_through *t, const struct pfs_ref *ref, struct pfs_emitter *out,
			pfs_through_fn keep, const void *arg)
{
	struct pkt_walk walk, kept;
	bool any;

	pkt_walk_start(&walk, pfs_bytes(out, ref), ref->len, pfs_link_type(out, ref), ref, t->kinds);
	any = keep(arg, &walk);
	kept = walk;
	while (pkt_walk_inside(&walk)) {
		if (keep(arg, &walk)) {
			any = true;
			kept = walk;
		}
	}
	if (any && kept.depth == 0)
		pfs_emit(out, ref);
	else if (any)
		emit_inner(t, ref, &kept, out);
}

void pfs_through_batch(struct pfs_through *through, struct pfs_ref *in, size_t n,
		       struct pfs_emitter *out, pfs_through_fn keep, const void *arg)
{
	for (size_t i = 0; i < n; i++) {
		pfs_layers(out, &in[i]);
		through_ref(through, &in[i], out, keep, arg);
	}
}

/* Keeps by the layers: the outermost packet if it may be in no tunnel, or is in two VLANs and may be in those. */
struct by_layers {
	bool (*keep)(const struct pfs_ref *layers);
};

static bool in_qinq(const struct pkt_walk *walk)
{
	uint16_t ids[PKT_VLANS_MAX];

	return pkt_vlans(walk->p, walk->n, walk->link_type, ids) > 1;
}

static bool keep_by_layers(const void *arg, const struct pkt_walk *walk)
{
	const struct by_layers *by = arg;

	if (!by->keep(&walk->layers))
		return false;
	return walk->depth > 0 || (walk->kinds & PKT_TUNNEL_NO) ||
	       ((walk->kinds & PKT_TUNNEL_QINQ) && in_qinq(walk));
}

void pfs_through_layers(struct pfs_through *through, struct pfs_ref *in, size_t n,
			struct pfs_emitter *out, bool (*keep)(const struct pfs_ref *layers))
{
	struct by_layers by = { .keep = keep };

	pfs_through_batch(through, in, n, out, keep_by_layers, &by);
}
