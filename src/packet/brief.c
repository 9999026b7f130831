#include "packet/brief_i.h"

#include <stdio.h>

#include "base/bytes.h"
#include "packet/ether_i.h"
#include "packet/link_i.h"

struct name {
	uint16_t value;
	const char *name;
};

static const char *name_find(const struct name *names, size_t n, unsigned value)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].value == value)
			return names[i].name;
	return NULL;
}

const char *pkt_brief_ethertype(uint16_t ethertype)
{
	static const struct name names[] = {
		{ ETHER_IP, "ip" },	   { ETHER_IP6, "ip6" },
		{ ETHER_ARP, "arp" },	   { ETHER_RARP, "rarp" },
		{ ETHER_VLAN, "vlan" },	   { ETHER_QINQ, "vlan" },
		{ ETHER_LLDP, "lldp" },	   { ETHER_MPLS, "mpls" },
		{ ETHER_PPPOE, "pppoe" },  { ETHER_PPPOE_DISCOVERY, "pppoe-discovery" },
		{ ETHER_EAPOL, "eapol" },  { 0x8808, "pause" },
		{ 0x8809, "slow" },	   { 0x8906, "fcoe" },
		{ 0x88e5, "macsec" },	   { 0x88f7, "ptp" },
		{ 0x9000, "loopback" },	   { 0x8137, "ipx" },
		{ 0x809b, "appletalk" },   { 0x80f3, "aarp" },
		{ 0x8848, "mpls" },	   { 0x88a2, "aoe" },
		{ 0x0842, "wake-on-lan" },
	};

	return name_find(names, ARRAY_SIZE(names), ethertype);
}

const char *pkt_brief_proto(uint8_t proto)
{
	static const struct name names[] = {
		{ PROTO_TCP, "tcp" },	    { PROTO_UDP, "udp" },     { PROTO_ICMP, "icmp" },
		{ PROTO_ICMP6, "icmp6" },   { PROTO_IGMP, "igmp" },   { PROTO_IPIP, "ipip" },
		{ PROTO_IP6, "ip6-in-ip" }, { PROTO_GRE, "gre" },     { PROTO_ESP, "esp" },
		{ PROTO_AH, "ah" },	    { PROTO_EIGRP, "eigrp" }, { PROTO_OSPF, "ospf" },
		{ PROTO_PIM, "pim" },	    { PROTO_VRRP, "vrrp" },   { PROTO_SCTP, "sctp" },
		{ PROTO_NONE, "none" },	    { PROTO_DCCP, "dccp" },   { 46, "rsvp" },
		{ 108, "ipcomp" },	    { 115, "l2tp" },	      { PROTO_UDPLITE, "udplite" },
		{ 135, "mobility" },	    { 137, "mpls-in-ip" },
	};

	return name_find(names, ARRAY_SIZE(names), proto);
}

const char *pkt_brief_icmp(uint8_t type, uint8_t code)
{
	static const struct name unreachable[] = {
		{ 0, "net unreachable" },  { 1, "host unreachable" }, { 2, "protocol unreachable" },
		{ 3, "port unreachable" }, { 4, "need to fragment" }, { 13, "admin prohibited" },
	};
	static const struct name names[] = {
		{ 0, "echo reply" },	     { 3, "unreachable" },
		{ 4, "source quench" },	     { 5, "redirect" },
		{ 8, "echo request" },	     { 9, "router advertisement" },
		{ 10, "router solicit" },    { 11, "time exceeded" },
		{ 12, "parameter problem" }, { 13, "timestamp request" },
		{ 14, "timestamp reply" },
	};
	const char *name = NULL;

	if (type == 3)
		name = name_find(unreachable, ARRAY_SIZE(unreachable), code);
	return name ? name : name_find(names, ARRAY_SIZE(names), type);
}

const char *pkt_brief_icmp6(uint8_t type)
{
	static const struct name names[] = {
		{ 1, "unreachable" },
		{ 2, "packet too big" },
		{ 3, "time exceeded" },
		{ 4, "parameter problem" },
		{ 128, "echo request" },
		{ 129, "echo reply" },
		{ 130, "listener query" },
		{ 131, "listener report" },
		{ 132, "listener done" },
		{ 133, "router solicit" },
		{ 134, "router advertisement" },
		{ 135, "neighbor solicit" },
		{ 136, "neighbor advertisement" },
		{ 137, "redirect" },
		{ 143, "listener report v2" },
	};

	return name_find(names, ARRAY_SIZE(names), type);
}

void pkt_brief_tcp_flags(uint8_t flags, char ret_flags[BRIEF_FLAGS_MAX])
{
	static const char letters[] = "FSRP.UEW";
	size_t len = 0;

	for (unsigned i = 0; i < 8; i++)
		if (flags & 1u << i)
			ret_flags[len++] = letters[i];
	ret_flags[len] = '\0';
	if (len == 0)
		memcpy(ret_flags, "none", sizeof("none"));
}

void pkt_brief_mac(const uint8_t *mac, char ret_text[BRIEF_MAC_MAX])
{
	static const char hex[] = "0123456789abcdef";

	for (unsigned i = 0; i < 6; i++) {
		ret_text[i * 3] = hex[mac[i] >> 4];
		ret_text[i * 3 + 1] = hex[mac[i] & 15];
		ret_text[i * 3 + 2] = i < 5 ? ':' : '\0';
	}
}

bool pkt_brief_is_ip(const struct pkt_brief *brief)
{
	return brief->layers.ethertype == ETHER_IP || brief->layers.ethertype == ETHER_IP6;
}

static size_t minus(size_t a, size_t b)
{
	return a > b ? a - b : 0;
}

static void brief_ip(const uint8_t *ip, size_t room, struct pkt_brief *brief)
{
	uint16_t frag, total;

	if (room < 20)
		return;
	pkt_brief_ip4(ip + 12, brief->src);
	pkt_brief_ip4(ip + 16, brief->dst);
	brief->has_addr = true;
	frag = be16_load(ip + 6);
	brief->fragment = frag & 0x3fff;
	brief->frag_off = (frag & 0x1fffu) * 8;
	brief->ttl = ip[8];
	total = be16_load(ip + 2);
	brief->len = minus(total ? total : room, (ip[0] & 15u) * 4);
}

static void brief_ip6(const uint8_t *ip, size_t room, struct pkt_brief *brief)
{
	uint16_t len;

	if (room < 40)
		return;
	pkt_brief_ip6(ip + 8, brief->src);
	pkt_brief_ip6(ip + 24, brief->dst);
	brief->has_addr = true;
	brief->ttl = ip[7];
	len = be16_load(ip + 4);
	brief->len = len ? len : room - 40;
	if (ip[6] == PROTO_FRAGMENT && room >= 48) {
		brief->fragment = true;
		brief->frag_off = be16_load(ip + 42) & 0xfff8;
	}
	if (brief->layers.l4 != PFS_LAYER_NONE) /* extension headers are none of it */
		brief->len = minus(brief->len, minus(brief->layers.l4, brief->layers.l3 + 40u));
}

/* Ports, and what TCP or UDP carry. */
static void brief_transport(struct pkt_brief *brief)
{
	size_t off, len, stated;

	brief->has_ports = pkt_ports(brief->p, brief->n, &brief->layers, &brief->sport, &brief->dport);
	brief->has_payload = pkt_payload(brief->p, brief->n, &brief->layers, &off, &len);
	if (!brief->has_payload)
		return;
	brief->payload = brief->p + off;
	brief->payload_len = len;
	stated = minus(brief->len, off - brief->layers.l4);
	brief->len = pfs_max(stated, len);
	if (brief->layers.proto == PROTO_UDP && be16_load(brief->p + brief->layers.l4 + 4))
		brief->len = be16_load(brief->p + brief->layers.l4 + 4) - 8u;
}

/* A ref may have been narrowed after its layers were found. */
static void layers_clip(struct pfs_ref *layers, size_t n)
{
	if (layers->l4 > n)
		layers->l4 = PFS_LAYER_NONE;
	if (layers->l3 > n) {
		layers->l3 = layers->l4 = PFS_LAYER_NONE;
		layers->ethertype = ETHER_UNKNOWN;
	}
}

void pkt_brief(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
	       struct pkt_brief *ret_brief)
{
	struct pkt_brief *brief = ret_brief;
	struct pkt_link link;
	size_t l3;

	*brief = (struct pkt_brief){ .p = p, .n = n, .link_type = link_type, .vlan = -1, .len = n };
	brief->layers = *layers;
	if (layers->ethertype == 0)
		pkt_dissect(p, n, link_type, &brief->layers);
	layers_clip(&brief->layers, n);
	pkt_link(p, n, link_type, &link);
	brief->vlan = link.vlan;
	if (link.mac != SIZE_MAX) {
		brief->has_mac = true;
		pkt_brief_mac(p + link.mac, brief->dst_mac);
		pkt_brief_mac(p + link.mac + 6, brief->src_mac);
	}
	l3 = brief->layers.l3;
	if (l3 == PFS_LAYER_NONE)
		return;
	brief->len = n - l3;
	if (brief->layers.ethertype == ETHER_IP)
		brief_ip(p + l3, n - l3, brief);
	else if (brief->layers.ethertype == ETHER_IP6)
		brief_ip6(p + l3, n - l3, brief);
	if (pkt_brief_is_ip(brief) && brief->has_addr)
		brief_transport(brief);
}

/* 802.3: a length in place of the EtherType. */
static bool is_8023(const struct pkt_brief *brief)
{
	return brief->link_type == PFS_LINK_ETHERNET && brief->n >= 14 &&
	       be16_load(brief->p + 12) <= ETHER_LENGTH_MAX;
}

void pkt_brief_protocol(const struct pkt_brief *brief, char ret_name[BRIEF_NAME_MAX])
{
	uint16_t ethertype = brief->layers.ethertype;
	const char *name;

	if (pkt_brief_is_ip(brief) && brief->has_addr) {
		name = pkt_brief_proto(brief->layers.proto);
		if (name)
			memccpy(ret_name, name, 0, BRIEF_NAME_MAX);
		else
			snprintf(ret_name, BRIEF_NAME_MAX, "%u", brief->layers.proto);
		return;
	}
	name = pkt_brief_ethertype(ethertype);
	if (ethertype == ETHER_UNKNOWN || ethertype == 0)
		name = brief->link_type == PFS_LINK_BYTES ? "bytes"
		       : is_8023(brief)			  ? "802.3"
							  : "unknown";
	if (name)
		memccpy(ret_name, name, 0, BRIEF_NAME_MAX);
	else
		snprintf(ret_name, BRIEF_NAME_MAX, "0x%04x", ethertype);
}

bool pkt_brief_is_dns(const struct pkt_brief *brief, size_t *ret_off)
{
	uint16_t s = brief->sport, d = brief->dport;

	if (!brief->has_payload || !brief->has_ports)
		return false;
	if (brief->layers.proto == PROTO_UDP) {
		*ret_off = 0;
		return s == 53 || d == 53 || s == 5353 || d == 5353 || s == 5355 || d == 5355;
	}
	*ret_off = 2;
	return (s == 53 || d == 53) && brief->payload_len >= 2;
}
