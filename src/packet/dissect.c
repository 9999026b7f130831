#include "packet/dissect.h"

#include "base/bytes.h"
#include "packet/ether_i.h"
#include "packet/link_i.h"

#define IP6_HEADERS_MAX 16 /* extension headers: more are no packet but an attack */

/* Where the packet of the network layer ends: inside [l3, n], by its own length unless that is 0. */
static size_t ip_end(size_t l3, size_t n, size_t len)
{
	return len && len < n - l3 ? l3 + len : n;
}

static void dissect_ip(const uint8_t *p, size_t n, size_t l3, struct pfs_ref *layers)
{
	const uint8_t *ip = p + l3;
	size_t room = n - l3;
	size_t header, total;

	if (room < 10)
		return;
	layers->proto = ip[9];
	header = (ip[0] & 0x0fu) * 4;
	total = be16_load(ip + 2);
	if (ip[0] >> 4 != 4 || header < 20 || header > room || (total && total < header))
		return;
	if (be16_load(ip + 6) & 0x1fff)
		return; /* a later fragment */
	layers->l4 = (uint16_t)(l3 + header);
}

/* Length of an IPv6 extension header, 0: it is none. *ret_later: a fragment after the first. */
static size_t ip6_extension(uint8_t type, const uint8_t *p, bool *ret_later)
{
	switch (type) {
	case PROTO_HOPOPT:
	case PROTO_ROUTING:
	case PROTO_DSTOPTS:
		return ((size_t)p[1] + 1) * 8;
	case PROTO_FRAGMENT:
		*ret_later = be16_load(p + 2) & 0xfff8;
		return 8;
	default:
		return 0;
	}
}

/* *ret_later: set for a fragment after the first. */
static void dissect_ip6(const uint8_t *p, size_t n, size_t l3, struct pfs_ref *layers, bool *ret_later)
{
	size_t at = l3 + 40;

	if (n - l3 < 7)
		return;
	layers->proto = p[l3 + 6];
	if (n - l3 < 40)
		return;
	for (unsigned i = 0; i <= IP6_HEADERS_MAX; i++) {
		static const uint8_t none[8];
		bool there = n - at >= 8;
		size_t len = ip6_extension(layers->proto, there ? p + at : none, ret_later);

		if (len == 0) {
			if (p[l3] >> 4 == 6 && at <= UINT16_MAX - 1)
				layers->l4 = (uint16_t)at;
			return;
		}
		if (!there)
			return;
		layers->proto = p[at];
		if (*ret_later || len > n - at)
			return;
		at += len;
	}
}

void pkt_dissect(const uint8_t *p, size_t n, uint16_t link_type, struct pfs_ref *layers)
{
	struct pkt_link link;
	bool later = false;

	layers->l3 = layers->l4 = PFS_LAYER_NONE;
	layers->ethertype = ETHER_UNKNOWN;
	layers->proto = 0;
	pkt_link(p, n, link_type, &link);
	/* Both headers with all their options must be where 16 bits can point. */
	if (!link.ethertype || link.l3 > UINT16_MAX - 64)
		return;
	layers->l3 = (uint16_t)link.l3;
	layers->ethertype = link.ethertype;
	if (link.ethertype == ETHER_IP)
		dissect_ip(p, n, link.l3, layers);
	else if (link.ethertype == ETHER_IP6)
		dissect_ip6(p, n, link.l3, layers, &later);
}

bool pkt_has_ports(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP ||
	       proto == PROTO_DCCP || proto == PROTO_UDPLITE;
}

bool pkt_later_fragment(const uint8_t *p, size_t n, const struct pfs_ref *layers)
{
	size_t l3 = layers->l3;
	struct pfs_ref again = *layers;
	bool later = false;

	if (layers->l4 != PFS_LAYER_NONE || l3 == PFS_LAYER_NONE || l3 > n)
		return false;
	if (layers->ethertype == ETHER_IP)
		return n - l3 >= 20 && (be16_load(p + l3 + 6) & 0x1fff);
	if (layers->ethertype == ETHER_IP6)
		dissect_ip6(p, n, l3, &again, &later);
	return later;
}

bool pkt_ports(const uint8_t *p, size_t n, const struct pfs_ref *layers, uint16_t *ret_src,
	       uint16_t *ret_dst)
{
	size_t l4 = layers->l4;

	if (l4 == PFS_LAYER_NONE || l4 > n || n - l4 < 4)
		return false;
	if (!pkt_has_ports(layers->proto))
		return false;
	*ret_src = be16_load(p + l4);
	*ret_dst = be16_load(p + l4 + 2);
	return true;
}

/* End of the network layer's packet; false: l3 is nowhere. */
static bool network_end(const uint8_t *p, size_t n, const struct pfs_ref *layers, size_t *ret_end)
{
	size_t l3 = layers->l3;
	size_t len;

	if (l3 == PFS_LAYER_NONE || l3 > n)
		return false;
	if (layers->ethertype == ETHER_IP && n - l3 >= 20) {
		*ret_end = ip_end(l3, n, be16_load(p + l3 + 2));
		return true;
	}
	if (layers->ethertype == ETHER_IP6 && n - l3 >= 40) {
		len = be16_load(p + l3 + 4);
		*ret_end = ip_end(l3, n, len ? len + 40 : 0);
		return true;
	}
	return false;
}

bool pkt_payload(const uint8_t *p, size_t n, const struct pfs_ref *layers, size_t *ret_off,
		 size_t *ret_len)
{
	size_t l4 = layers->l4;
	size_t end, header, len;

	if (l4 == PFS_LAYER_NONE || !network_end(p, n, layers, &end) || l4 > end)
		return false;
	if (layers->proto == PROTO_TCP) {
		if (end - l4 < 20)
			return false;
		header = (size_t)(p[l4 + 12] >> 4) * 4;
		if (header < 20)
			return false;
	} else if (layers->proto == PROTO_UDP) {
		header = 8;
		if (end - l4 < header)
			return false;
		len = be16_load(p + l4 + 4);
		if (len && len < header)
			return false;
		end = ip_end(l4, end, len);
	} else {
		return false;
	}
	if (end - l4 < header)
		return false;
	*ret_off = l4 + header;
	*ret_len = end - l4 - header;
	return true;
}

int pkt_vlan(const uint8_t *p, size_t n, uint16_t link_type)
{
	struct pkt_link link;

	pkt_link(p, n, link_type, &link);
	return link.vlan;
}
