#include "packet/tunnel.h"

#include "base/bytes.h"
#include "packet/dissect.h"
#include "packet/ether_i.h"
#include "packet/link_i.h"

enum {
	GRE_CHECKSUM = 0x8000,
	GRE_ROUTING = 0x4000,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	GRE_ACK = 0x0080, /* version 1 */
	GRE_VERSION = 0x0007,

	GRE_PPP = 0x880b,
	GRE_ERSPAN = 0x88be, /* types I and II */
	GRE_ERSPAN3 = 0x22eb,
	ETHER_BRIDGED = 0x6558, /* transparent Ethernet bridging */
	ETHER_MPLS_MULTICAST = 0x8848,

	PORT_VXLAN = 4789,
	PORT_VXLAN_LINUX = 8472,
	PORT_VXLAN_GPE = 4790,
	PORT_GENEVE = 6081,
	PORT_MPLS = 6635,

	PROTO_MPLS = 137,
	LABELS_MAX = 16,
};

static const struct {
	const char *name;
	unsigned kinds;
} names[] = {
	{ "no", PKT_TUNNEL_NO },	 { "gre", PKT_TUNNEL_GRE },   { "vxlan", PKT_TUNNEL_VXLAN },
	{ "geneve", PKT_TUNNEL_GENEVE }, { "ipip", PKT_TUNNEL_IPIP }, { "mpls", PKT_TUNNEL_MPLS },
	{ "pppoe", PKT_TUNNEL_PPPOE },	 { "qinq", PKT_TUNNEL_QINQ }, { "yes", PKT_TUNNEL_YES },
	{ "any", PKT_TUNNEL_ANY },
};

unsigned pkt_tunnel_parse(const char *text)
{
	unsigned kinds = 0;

	for (;;) {
		size_t len = strcspn(text, "+"), i;

		for (i = 0; i < ARRAY_SIZE(names); i++)
			if (strlen(names[i].name) == len && memcmp(names[i].name, text, len) == 0)
				break;
		if (i == ARRAY_SIZE(names))
			return 0;
		kinds |= names[i].kinds;
		if (text[len] == '\0')
			return kinds;
		text += len + 1;
	}
}

/*
 * What is inside, as the header in front of it said: an EtherType, or a whole frame, or PPP. kind 0: nothing that we
 * know.
 */
struct inside {
	unsigned kind;
	size_t at; /* in the outermost packet */
	enum { INSIDE_ETHERTYPE, INSIDE_FRAME, INSIDE_PPP } form;
	uint16_t ethertype;
};

static bool has(size_t n, size_t at, size_t len)
{
	return at <= n && n - at >= len;
}

static struct inside of_ethertype(unsigned kind, size_t at, uint16_t ethertype)
{
	return (struct inside){
		.kind = kind,
		.at = at,
		.form = ethertype == ETHER_BRIDGED ? INSIDE_FRAME : INSIDE_ETHERTYPE,
		.ethertype = ethertype,
	};
}

static struct inside of_frame(unsigned kind, size_t at)
{
	return (struct inside){ .kind = kind, .at = at, .form = INSIDE_FRAME };
}

/* --- one header of each kind --------------------------------------------------------------------- */

/* What stands at `at` behind an ERSPAN header. */
static struct inside inside_erspan(const uint8_t *p, size_t n, size_t at, uint16_t flags, uint16_t type)
{
	if (type == GRE_ERSPAN)
		return of_frame(PKT_TUNNEL_GRE, flags & GRE_SEQUENCE ? at + 8 : at);
	if (!has(n, at, 12))
		return (struct inside){ 0 };
	return of_frame(PKT_TUNNEL_GRE, p[at + 11] & 1 ? at + 20 : at + 12);
}

/* RFC 2784 and 2890, RFC 2637 for version 1. Source routes (RFC 1701) are not followed. */
static struct inside inside_gre(const uint8_t *p, size_t n, size_t at)
{
	uint16_t flags, type;

	if (!has(n, at, 4))
		return (struct inside){ 0 };
	flags = be16_load(p + at);
	type = be16_load(p + at + 2);
	at += 4;
	if ((flags & GRE_ROUTING) || (flags & GRE_VERSION) > 1)
		return (struct inside){ 0 };
	at += flags & GRE_CHECKSUM ? 4 : 0;
	at += flags & GRE_KEY ? 4 : 0;
	at += flags & GRE_SEQUENCE ? 4 : 0;
	if (flags & GRE_VERSION) {
		at += flags & GRE_ACK ? 4 : 0;
		return (struct inside){
			.kind = type == GRE_PPP ? PKT_TUNNEL_GRE : 0,
			.at = at,
			.form = INSIDE_PPP,
		};
	}
	if (type == GRE_ERSPAN || type == GRE_ERSPAN3)
		return inside_erspan(p, n, at, flags, type);
	return of_ethertype(PKT_TUNNEL_GRE, at, type);
}

/* RFC 7348; with gpe draft-ietf-nvo3-vxlan-gpe. The flag says that there is a network id. */
static struct inside inside_vxlan(const uint8_t *p, size_t n, size_t at, bool gpe)
{
	if (!has(n, at, 8) || !(p[at] & 0x08))
		return (struct inside){ 0 };
	if (gpe && (p[at] & 0x04) && p[at + 3] == 1)
		return of_ethertype(PKT_TUNNEL_VXLAN, at + 8, ETHER_IP);
	if (gpe && (p[at] & 0x04) && p[at + 3] == 2)
		return of_ethertype(PKT_TUNNEL_VXLAN, at + 8, ETHER_IP6);
	if (gpe && (p[at] & 0x04) && p[at + 3] != 3)
		return (struct inside){ 0 };
	return of_frame(PKT_TUNNEL_VXLAN, at + 8);
}

/* RFC 8926 */
static struct inside inside_geneve(const uint8_t *p, size_t n, size_t at)
{
	if (!has(n, at, 8) || p[at] >> 6 != 0)
		return (struct inside){ 0 };
	return of_ethertype(PKT_TUNNEL_GENEVE, at + 8 + (p[at] & 0x3fu) * 4, be16_load(p + at + 2));
}

static struct inside inside_udp(const uint8_t *p, size_t n, size_t at)
{
	if (!has(n, at, 8))
		return (struct inside){ 0 };
	switch (be16_load(p + at + 2)) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
		return inside_vxlan(p, n, at + 8, false);
	case PORT_VXLAN_GPE:
		return inside_vxlan(p, n, at + 8, true);
	case PORT_GENEVE:
		return inside_geneve(p, n, at + 8);
	case PORT_MPLS:
		return of_ethertype(PKT_TUNNEL_MPLS, at + 8, ETHER_MPLS);
	default:
		return (struct inside){ 0 };
	}
}

/* Behind a control word (RFC 4448): is there something that looks like a frame? */
static bool is_frame(const uint8_t *p, size_t n, size_t at)
{
	uint16_t type;

	if (!has(n, at, 14))
		return false;
	type = be16_load(p + at + 12);
	return type <= ETHER_LENGTH_MAX || type == ETHER_IP || type == ETHER_IP6 ||
	       type == ETHER_ARP || type == ETHER_VLAN || type == ETHER_QINQ ||
	       type == ETHER_MPLS || type == ETHER_PPPOE || type == ETHER_PPPOE_DISCOVERY;
}

/* RFC 3032: labels up to the one with the bottom bit; the first nibble behind it tells what follows (RFC 4928). */
static struct inside inside_mpls(const uint8_t *p, size_t n, size_t at)
{
	bool bottom = false;

	for (unsigned i = 0; i < LABELS_MAX && !bottom; i++, at += 4) {
		if (!has(n, at, 4))
			return (struct inside){ 0 };
		bottom = p[at + 2] & 1;
	}
	if (!bottom || !has(n, at, 1))
		return (struct inside){ 0 };
	if (p[at] >> 4 == 4)
		return of_ethertype(PKT_TUNNEL_MPLS, at, ETHER_IP);
	if (p[at] >> 4 == 6)
		return of_ethertype(PKT_TUNNEL_MPLS, at, ETHER_IP6);
	if (p[at] >> 4 == 0 && is_frame(p, n, at + 4))
		return of_frame(PKT_TUNNEL_MPLS, at + 4);
	return (struct inside){ 0 };
}

/* RFC 2516 */
static struct inside inside_pppoe(const uint8_t *p, size_t n, size_t at)
{
	if (!has(n, at, 6) || p[at] != 0x11 || p[at + 1] != 0)
		return (struct inside){ 0 };
	return (struct inside){ .kind = PKT_TUNNEL_PPPOE, .at = at + 6, .form = INSIDE_PPP };
}

/* RFC 1661 and 1662: address and control may be there, the protocol may have one byte. */
static struct inside inside_ppp(const uint8_t *p, size_t n, struct inside ppp)
{
	size_t at = ppp.at;
	uint16_t protocol;

	if (has(n, at, 2) && p[at] == 0xff && p[at + 1] == 0x03)
		at += 2;
	if (!has(n, at, 2))
		return (struct inside){ 0 };
	protocol = p[at] & 1 ? p[at] : be16_load(p + at);
	at += p[at] & 1 ? 1 : 2;
	switch (protocol) {
	case 0x0021:
		return of_ethertype(ppp.kind, at, ETHER_IP);
	case 0x0057:
		return of_ethertype(ppp.kind, at, ETHER_IP6);
	case 0x0281:
	case 0x0283:
		return of_ethertype(ppp.kind, at, ETHER_MPLS);
	default:
		return (struct inside){ 0 };
	}
}

/* --- walking --------------------------------------------------------------------------------------- */

static struct inside inside_ip(const struct pkt_walk *walk)
{
	size_t at = walk->off + walk->layers.l4;

	if (walk->layers.l4 == PFS_LAYER_NONE)
		return (struct inside){ 0 };
	switch (walk->layers.proto) {
	case PROTO_IPIP:
		return of_ethertype(PKT_TUNNEL_IPIP, at, ETHER_IP);
	case PROTO_IP6:
		return of_ethertype(PKT_TUNNEL_IPIP, at, ETHER_IP6);
	case PROTO_GRE:
		return inside_gre(walk->p, walk->n, at);
	case PROTO_UDP:
		return inside_udp(walk->p, walk->n, at);
	case PROTO_MPLS:
		return of_ethertype(PKT_TUNNEL_MPLS, at, ETHER_MPLS);
	default:
		return (struct inside){ 0 };
	}
}

/* What is behind a header of this type. */
static struct inside inside_type(const struct pkt_walk *walk, uint16_t ethertype, size_t at)
{
	switch (ethertype) {
	case ETHER_MPLS:
	case ETHER_MPLS_MULTICAST:
		return inside_mpls(walk->p, walk->n, at);
	case ETHER_PPPOE:
		return inside_pppoe(walk->p, walk->n, at);
	default:
		return (struct inside){ 0 };
	}
}

static bool is_packet(const struct inside *inside)
{
	return inside->form == INSIDE_FRAME ||
	       (inside->form == INSIDE_ETHERTYPE &&
		(inside->ethertype == ETHER_IP || inside->ethertype == ETHER_IP6));
}

void pkt_walk_start(struct pkt_walk *walk, const uint8_t *p, size_t n, uint16_t link_type,
		    const struct pfs_ref *layers, unsigned kinds)
{
	*walk = (struct pkt_walk){
		.p = p, .n = n, .kinds = kinds, .link_type = link_type, .layers = *layers
	};
}

bool pkt_walk_inside(struct pkt_walk *walk)
{
	const struct pfs_ref *layers = &walk->layers;
	unsigned depth = walk->depth;
	struct inside inside;

	if (!(walk->kinds & ~(unsigned)(PKT_TUNNEL_NO | PKT_TUNNEL_QINQ)))
		return false;
	if (layers->l3 == PFS_LAYER_NONE || walk->off + layers->l3 > walk->n)
		return false;
	if (layers->ethertype == ETHER_IP || layers->ethertype == ETHER_IP6)
		inside = inside_ip(walk);
	else
		inside = inside_type(walk, layers->ethertype, walk->off + layers->l3);
	/* Headers that are no packets by themselves: PPP, and labels in something else. */
	while (inside.kind && !is_packet(&inside)) {
		if (!(inside.kind & walk->kinds) || ++depth >= PKT_WALK_DEPTH)
			return false;
		inside = inside.form == INSIDE_PPP ? inside_ppp(walk->p, walk->n, inside)
						   : inside_type(walk, inside.ethertype, inside.at);
	}
	if (!(inside.kind & walk->kinds) || inside.at > walk->n || ++depth > PKT_WALK_DEPTH)
		return false;
	walk->depth = depth;
	walk->off = inside.at;
	walk->link_type = inside.form == INSIDE_FRAME ? PFS_LINK_ETHERNET : PFS_LINK_RAW;
	pkt_dissect(walk->p + walk->off, walk->n - walk->off, walk->link_type, &walk->layers);
	return true;
}

unsigned pkt_vlans(const uint8_t *p, size_t n, uint16_t link_type, uint16_t ret_ids[PKT_VLANS_MAX])
{
	struct pkt_link link;

	pkt_link(p, n, link_type, &link);
	memcpy(ret_ids, link.vlans, sizeof(link.vlans));
	return link.nvlans;
}
