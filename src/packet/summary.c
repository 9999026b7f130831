#include "packet/dissect.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/bytes.h"
#include "packet/dns.h"
#include "packet/ether_i.h"
#include "packet/text_i.h"

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
		pfs_buf_printf(out, ": HTTP %u", head.status);
		return;
	}
	pfs_buf_printf(out, ": HTTP %s ", head.method);
	summary_string(head.host, head.host_len, out);
	summary_string(head.path, head.path_len, out);
}

static void summary_dns(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_dns dns;
	const char *rcode, *type;

	if (!pkt_dns(p, n, &dns))
		return;
	type = pkt_dns_type(dns.type);
	rcode = pkt_dns_rcode(dns.rcode);
	if (dns.response && rcode)
		pfs_buf_printf(out, ": dns %u %s", dns.id, rcode);
	else if (dns.response)
		pfs_buf_printf(out, ": dns %u error %u", dns.id, dns.rcode);
	else
		pfs_buf_printf(out, ": dns %u query", dns.id);
	if (dns.name_len > 0) {
		if (type)
			pfs_buf_printf(out, " %s ", type);
		else
			pfs_buf_printf(out, " type %u ", dns.type);
		summary_string((const uint8_t *)dns.name, dns.name_len, out);
	}
	if (dns.response)
		pfs_buf_printf(out, ", %u answer%s", dns.answers, dns.answers == 1 ? "" : "s");
}

static void summary_tcp(const struct pkt_text *text, struct pfs_buf *out)
{
	const uint8_t *tcp = text->p + text->layers.l4;
	char flags[TEXT_FLAGS_MAX];
	size_t off;

	if (text->n - text->layers.l4 < 20) {
		pfs_buf_str(out, "tcp, cut off");
		return;
	}
	pkt_text_tcp_flags(tcp[13], flags);
	pfs_buf_printf(out, "tcp [%s] seq %u", flags, be32_load(tcp + 4));
	if (tcp[13] & 0x10)
		pfs_buf_printf(out, " ack %u", be32_load(tcp + 8));
	pfs_buf_printf(out, " win %u", be16_load(tcp + 14));
	if (!text->has_payload) {
		pfs_buf_str(out, ", wrong length");
		return;
	}
	pfs_buf_printf(out, " len %zu", text->len);
	if (pkt_text_is_dns(text, &off) && text->payload_len > 0)
		summary_dns(text->payload + off, text->payload_len - off, out);
	else
		summary_http(text->payload, text->payload_len, out);
}

static void summary_udp(const struct pkt_text *text, struct pfs_buf *out)
{
	size_t off;

	if (!text->has_payload) {
		pfs_buf_str(out, "udp, cut off or wrong length");
		return;
	}
	pfs_buf_printf(out, "udp len %zu", text->len);
	if (pkt_text_is_dns(text, &off))
		summary_dns(text->payload, text->payload_len, out);
	else
		summary_http(text->payload, text->payload_len, out); /* SSDP */
}

static void summary_icmp(const struct pkt_text *text, bool six, struct pfs_buf *out)
{
	const uint8_t *icmp = text->p + text->layers.l4;
	size_t room = text->n - text->layers.l4;
	const char *name;
	bool echo;

	pfs_buf_str(out, six ? "icmp6" : "icmp");
	if (room < 2) {
		pfs_buf_str(out, ", cut off");
		return;
	}
	name = six ? pkt_text_icmp6(icmp[0]) : pkt_text_icmp(icmp[0], icmp[1]);
	echo = six ? icmp[0] == 128 || icmp[0] == 129 : icmp[0] == 8 || icmp[0] == 0;
	if (name)
		pfs_buf_printf(out, " %s", name);
	else
		pfs_buf_printf(out, " type %u code %u", icmp[0], icmp[1]);
	if (echo && room >= 8)
		pfs_buf_printf(out, " id %u seq %u", be16_load(icmp + 4), be16_load(icmp + 6));
	if (six && (icmp[0] == 135 || icmp[0] == 136) && room >= 24) {
		char target[TEXT_ADDR_MAX];

		inet_ntop(AF_INET6, icmp + 8, target, sizeof(target));
		pfs_buf_printf(out, " %s", target);
	}
	pfs_buf_printf(out, " len %zu", text->len);
}

static void summary_ip(const struct pkt_text *text, struct pfs_buf *out)
{
	char name[16];

	pkt_text_protocol(text, name);
	if (name[0] >= '0' && name[0] <= '9')
		snprintf(name, sizeof(name), "ip proto %u", text->layers.proto);
	if (text->has_ports)
		pfs_buf_printf(out, "%s.%u > %s.%u: ", text->src, text->sport, text->dst, text->dport);
	else
		pfs_buf_printf(out, "%s > %s: ", text->src, text->dst);
	if (text->fragment && text->frag_off > 0) {
		pfs_buf_printf(out, "%s fragment at %u len %zu", name, text->frag_off, text->len);
		return;
	}
	if (text->layers.l4 == PFS_LAYER_NONE || text->layers.l4 > text->n)
		pfs_buf_printf(out, "%s, wrong IP header", name);
	else if (text->layers.proto == PROTO_TCP)
		summary_tcp(text, out);
	else if (text->layers.proto == PROTO_UDP)
		summary_udp(text, out);
	else if (text->layers.proto == PROTO_ICMP)
		summary_icmp(text, false, out);
	else if (text->layers.proto == PROTO_ICMP6)
		summary_icmp(text, true, out);
	else
		pfs_buf_printf(out, "%s len %zu", name, text->len);
	if (text->fragment)
		pfs_buf_str(out, ", first fragment");
}

static void summary_arp(const struct pkt_text *text, struct pfs_buf *out)
{
	const uint8_t *arp = text->p + text->layers.l3;
	char sender[TEXT_ADDR_MAX], target[TEXT_ADDR_MAX], mac[TEXT_MAC_MAX];

	if (text->n - text->layers.l3 < 28 || be16_load(arp + 2) != ETHER_IP || arp[4] != 6 ||
	    arp[5] != 4) {
		pfs_buf_printf(out, "arp len %zu", text->len);
		return;
	}
	inet_ntop(AF_INET, arp + 14, sender, sizeof(sender));
	inet_ntop(AF_INET, arp + 24, target, sizeof(target));
	pkt_text_mac(arp + 8, mac);
	if (be16_load(arp + 6) == 1)
		pfs_buf_printf(out, "arp who-has %s tell %s", target, sender);
	else if (be16_load(arp + 6) == 2)
		pfs_buf_printf(out, "arp reply %s is-at %s", sender, mac);
	else
		pfs_buf_printf(out, "arp op %u %s %s", be16_load(arp + 6), sender, target);
}

static void summary_other(const struct pkt_text *text, struct pfs_buf *out)
{
	char name[16];

	pkt_text_protocol(text, name);
	if (text->has_mac)
		pfs_buf_printf(out, "%s > %s: ", text->src_mac, text->dst_mac);
	if (pkt_text_is_ip(text))
		pfs_buf_printf(out, "%s, cut off after %zu bytes", name, text->len);
	else if (text->layers.ethertype == ETHER_UNKNOWN && !text->has_mac)
		pfs_buf_printf(out, "link type %u len %zu", text->link_type, text->len);
	else
		pfs_buf_printf(out, "%s len %zu", name, text->len);
}

void pkt_summary(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
		 struct pfs_buf *out)
{
	struct pkt_text text;

	if (link_type == PFS_LINK_BYTES) {
		pfs_buf_printf(out, "%zu bytes", n);
		summary_http(p, n, out);
		return;
	}
	pkt_text(p, n, link_type, layers, &text);
	if (text.vlan >= 0)
		pfs_buf_printf(out, "vlan %d ", text.vlan);
	if (pkt_text_is_ip(&text) && text.has_addr)
		summary_ip(&text, out);
	else if (text.layers.ethertype == ETHER_ARP)
		summary_arp(&text, out);
	else
		summary_other(&text, out);
}
