#include "packet/dissect.h"

#include <stdio.h>

#include "base/bytes.h"
#include "packet/dns.h"
#include "packet/ether_i.h"
#include "packet/brief_i.h"

#define SUMMARY_STRING_MAX 160 /* of a path or a name */

static void summary_string(const uint8_t *p, size_t len, struct pfs_buf *out)
{
	pfs_buf_clean(out, (const char *)p, pfs_min(len, SUMMARY_STRING_MAX));
	if (len > SUMMARY_STRING_MAX)
		pfs_buf_str(out, "...");
}

static void summary_http(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_http_head head;

	pkt_http(p, n, &head);
	if (head.kind == PKT_HTTP_NONE)
		return;
	if (head.kind == PKT_HTTP_RESPONSE) {
		pkt_say(out, ": HTTP %u", head.status);
		return;
	}
	pfs_buf_str(out, ": HTTP ");
	summary_string(head.method_text, head.method_len, out);
	pfs_buf_add(out, " ", 1);
	summary_string(head.host, head.host_len, out);
	summary_string(head.path, head.path_len, out);
}

void pkt_http_text(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	summary_http(p, n, out);
}

void pkt_dns_text(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_dns dns;
	const char *rcode, *type;

	if (!pkt_dns(p, n, &dns))
		return;
	type = pkt_dns_type(dns.type);
	rcode = pkt_dns_rcode(dns.rcode);
	if (dns.response && rcode)
		pkt_say(out, ": dns %u %s", dns.id, rcode);
	else if (dns.response)
		pkt_say(out, ": dns %u error %u", dns.id, dns.rcode);
	else
		pkt_say(out, ": dns %u query", dns.id);
	if (dns.name_len > 0) {
		if (type)
			pkt_say(out, " %s ", type);
		else
			pkt_say(out, " type %u ", dns.type);
		summary_string((const uint8_t *)dns.name, dns.name_len, out);
	}
	if (dns.response)
		pkt_say(out, ", %u answer%s", dns.answers, dns.answers == 1 ? "" : "s");
}

static void summary_tcp(const struct pkt_brief *brief, struct pfs_buf *out)
{
	const uint8_t *tcp = brief->p + brief->layers.l4;
	char flags[BRIEF_FLAGS_MAX];
	size_t off;

	if (brief->n - brief->layers.l4 < 20) {
		pfs_buf_str(out, "tcp, cut off");
		return;
	}
	pkt_brief_tcp_flags(tcp[13], flags);
	pkt_say(out, "tcp [%s] seq %u", flags, be32_load(tcp + 4));
	if (tcp[13] & 0x10)
		pkt_say(out, " ack %u", be32_load(tcp + 8));
	pkt_say(out, " win %u", be16_load(tcp + 14));
	if (!brief->has_payload) {
		pfs_buf_str(out, ", wrong length");
		return;
	}
	pkt_say(out, " len %zu", brief->len);
	if (pkt_brief_is_dns(brief, &off) && brief->payload_len > 0)
		pkt_dns_text(brief->payload + off, brief->payload_len - off, out);
	else
		summary_http(brief->payload, brief->payload_len, out);
}

static void summary_udp(const struct pkt_brief *brief, struct pfs_buf *out)
{
	size_t off;

	if (!brief->has_payload) {
		pfs_buf_str(out, "udp, cut off or wrong length");
		return;
	}
	pkt_say(out, "udp len %zu", brief->len);
	if (pkt_brief_is_dns(brief, &off))
		pkt_dns_text(brief->payload, brief->payload_len, out);
	else
		summary_http(brief->payload, brief->payload_len, out); /* SSDP */
}

static void summary_icmp(const struct pkt_brief *brief, bool six, struct pfs_buf *out)
{
	const uint8_t *icmp = brief->p + brief->layers.l4;
	size_t room = brief->n - brief->layers.l4;
	const char *name;
	bool echo;

	pfs_buf_str(out, six ? "icmp6" : "icmp");
	if (room < 2) {
		pfs_buf_str(out, ", cut off");
		return;
	}
	name = six ? pkt_brief_icmp6(icmp[0]) : pkt_brief_icmp(icmp[0], icmp[1]);
	echo = six ? icmp[0] == 128 || icmp[0] == 129 : icmp[0] == 8 || icmp[0] == 0;
	if (name)
		pkt_say(out, " %s", name);
	else
		pkt_say(out, " type %u code %u", icmp[0], icmp[1]);
	if (echo && room >= 8)
		pkt_say(out, " id %u seq %u", be16_load(icmp + 4), be16_load(icmp + 6));
	if (six && (icmp[0] == 135 || icmp[0] == 136) && room >= 24) {
		char target[BRIEF_ADDR_MAX];

		pkt_brief_ip6(icmp + 8, target);
		pkt_say(out, " %s", target);
	}
	pkt_say(out, " len %zu", brief->len);
}

static void summary_ip(const struct pkt_brief *brief, struct pfs_buf *out)
{
	char name[BRIEF_NAME_MAX];

	pkt_brief_protocol(brief, name);
	if (name[0] >= '0' && name[0] <= '9')
		snprintf(name, sizeof(name), "ip proto %u", brief->layers.proto);
	if (brief->has_ports)
		pkt_say(out, "%s.%u > %s.%u: ", brief->src, brief->sport, brief->dst, brief->dport);
	else
		pkt_say(out, "%s > %s: ", brief->src, brief->dst);
	if (brief->fragment && brief->frag_off > 0) {
		pkt_say(out, "%s fragment at %u len %zu", name, brief->frag_off, brief->len);
		return;
	}
	if (brief->layers.l4 == PFS_LAYER_NONE)
		pkt_say(out, "%s, wrong IP header", name);
	else if (brief->layers.proto == PROTO_TCP)
		summary_tcp(brief, out);
	else if (brief->layers.proto == PROTO_UDP)
		summary_udp(brief, out);
	else if (brief->layers.proto == PROTO_ICMP)
		summary_icmp(brief, false, out);
	else if (brief->layers.proto == PROTO_ICMP6)
		summary_icmp(brief, true, out);
	else
		pkt_say(out, "%s len %zu", name, brief->len);
	if (brief->fragment)
		pfs_buf_str(out, ", first fragment");
}

static void summary_arp(const struct pkt_brief *brief, struct pfs_buf *out)
{
	const uint8_t *arp = brief->p + brief->layers.l3;
	char sender[BRIEF_ADDR_MAX], target[BRIEF_ADDR_MAX], mac[BRIEF_MAC_MAX];

	if (brief->n - brief->layers.l3 < 28 || be16_load(arp + 2) != ETHER_IP || arp[4] != 6 ||
	    arp[5] != 4) {
		pkt_say(out, "arp len %zu", brief->len);
		return;
	}
	pkt_brief_ip4(arp + 14, sender);
	pkt_brief_ip4(arp + 24, target);
	pkt_brief_mac(arp + 8, mac);
	if (be16_load(arp + 6) == 1)
		pkt_say(out, "arp who-has %s tell %s", target, sender);
	else if (be16_load(arp + 6) == 2)
		pkt_say(out, "arp reply %s is-at %s", sender, mac);
	else
		pkt_say(out, "arp op %u %s %s", be16_load(arp + 6), sender, target);
}

static void summary_other(const struct pkt_brief *brief, struct pfs_buf *out)
{
	char name[BRIEF_NAME_MAX];

	pkt_brief_protocol(brief, name);
	if (brief->has_mac)
		pkt_say(out, "%s > %s: ", brief->src_mac, brief->dst_mac);
	if (pkt_brief_is_ip(brief))
		pkt_say(out, "%s, cut off after %zu bytes", name, brief->len);
	else if (brief->layers.ethertype == ETHER_UNKNOWN && !brief->has_mac)
		pkt_say(out, "link type %u len %zu", brief->link_type, brief->len);
	else
		pkt_say(out, "%s len %zu", name, brief->len);
}

void pkt_summary(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
		 struct pfs_buf *out)
{
	struct pkt_brief brief;

	if (link_type == PFS_LINK_BYTES) {
		pkt_say(out, "%zu bytes", n);
		summary_http(p, n, out);
		return;
	}
	pkt_brief(p, n, link_type, layers, &brief);
	if (brief.vlan >= 0)
		pkt_say(out, "vlan %u ", (unsigned)brief.vlan);
	if (pkt_brief_is_ip(&brief) && brief.has_addr)
		summary_ip(&brief, out);
	else if (brief.layers.ethertype == ETHER_ARP)
		summary_arp(&brief, out);
	else
		summary_other(&brief, out);
}
