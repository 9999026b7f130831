#include "packet/dissect.h"

#include "base/bytes.h"
#include "packet/dns.h"
#include "packet/ether_i.h"
#include "packet/brief_i.h"

/* ,"name":"value" */
static void json_string(const char *name, const void *value, size_t len, struct pfs_buf *out)
{
	pkt_say(out, ",\"%s\":\"", name);
	pfs_buf_json(out, value, len);
	pfs_buf_add(out, "\"", 1);
}

static void json_head(const struct pkt_http_head *head, struct pfs_buf *out)
{
	if (head->kind == PKT_HTTP_RESPONSE) {
		pkt_say(out, ",\"http\":\"response\",\"status\":%u", head->status);
	} else {
		pfs_buf_str(out, ",\"http\":\"request\"");
		json_string("method", head->method_text, head->method_len, out);

		if (head->host)
			json_string("host", head->host, head->host_len, out);
		json_string("path", head->path, head->path_len, out);
	}
	if (head->content_length >= 0)
		pkt_say(out, ",\"content_length\":%zu", (size_t)head->content_length);
}

static bool json_http(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_http_head head;

	pkt_http(p, n, &head);
	if (head.kind == PKT_HTTP_NONE)
		return false;
	json_head(&head, out);
	return true;
}

void pkt_http_json(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_http_head head;
	size_t len;

	pkt_http(p, n, &head);
	if (head.kind == PKT_HTTP_NONE) {
		pfs_buf_str(out, ",\"http\":\"part\"");
		return;
	}
	len = head.complete ? head.head_len : n;
	json_head(&head, out);
	if (head.chunked)
		pfs_buf_str(out, ",\"chunked\":true");
	pkt_say(out, ",\"version\":\"1.%u\",\"head\":%zu,\"body\":%zu", head.minor, len, n - len);
}

/* "A 10.0.0.1": type, and what it says where that is an address or a name. */
static void json_answer(const uint8_t *p, size_t n, const struct pkt_dns_answer *a, struct pfs_buf *out)
{
	const char *type = pkt_dns_type(a->type);
	char addr[BRIEF_ADDR_MAX], name[PKT_DNS_NAME_MAX];
	size_t len;

	if (type)
		pkt_say(out, "\"%s", type);
	else
		pkt_say(out, "\"TYPE%u", a->type);
	if (a->type == 1 && a->len == 4) {
		pkt_brief_ip4(a->data, addr);
		pkt_say(out, " %s", addr);
	} else if (a->type == 28 && a->len == 16) {
		pkt_brief_ip6(a->data, addr);
		pkt_say(out, " %s", addr);
	} else if ((a->type == 2 || a->type == 5 || a->type == 12) &&
		   pkt_dns_name(p, n, a->at, name, &len)) {
		pfs_buf_add(out, " ", 1);
		pfs_buf_json(out, name, len);
	}
	pfs_buf_add(out, "\"", 1);
}

static void json_answers(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	struct pkt_dns_answer answers[PKT_DNS_ANSWERS_MAX];
	size_t count = pkt_dns_answers(p, n, answers, PKT_DNS_ANSWERS_MAX);

	if (count == 0)
		return;
	pfs_buf_str(out, ",\"answer\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			pfs_buf_add(out, ",", 1);
		json_answer(p, n, &answers[i], out);
	}
	pfs_buf_add(out, "]", 1);
}

void pkt_dns_json(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	const char *name;
	struct pkt_dns dns;

	if (!pkt_dns(p, n, &dns))
		return;
	pkt_say(out, ",\"dns\":\"%s\",\"id\":%u", dns.response ? "response" : "query", dns.id);
	if (dns.name_len > 0) {
		name = pkt_dns_type(dns.type);
		if (name)
			pkt_say(out, ",\"qtype\":\"%s\"", name);
		else
			pkt_say(out, ",\"qtype\":\"TYPE%u\"", dns.type); /* RFC 3597 */
		json_string("name", dns.name, dns.name_len, out);
		json_string("qname", dns.name, dns.name_len, out);
	}
	if (!dns.response)
		return;
	name = pkt_dns_rcode(dns.rcode);
	if (name)
		pkt_say(out, ",\"rcode\":\"%s\"", name);
	else
		pkt_say(out, ",\"rcode\":\"RCODE%u\"", dns.rcode);
	pkt_say(out, ",\"answers\":%u", dns.answers);
	json_answers(p, n, out);
}

static void json_tcp(const struct pkt_brief *brief, struct pfs_buf *out)
{
	const uint8_t *tcp = brief->p + brief->layers.l4;
	char flags[BRIEF_FLAGS_MAX];

	if (brief->n - brief->layers.l4 < 20)
		return;
	pkt_brief_tcp_flags(tcp[13], flags);
	pkt_say(out, ",\"flags\":\"%s\",\"seq\":%u", flags, be32_load(tcp + 4));
	if (tcp[13] & 0x10)
		pkt_say(out, ",\"ack\":%u", be32_load(tcp + 8));
	pkt_say(out, ",\"win\":%u", be16_load(tcp + 14));
}

static void json_icmp(const struct pkt_brief *brief, bool six, struct pfs_buf *out)
{
	const uint8_t *icmp = brief->p + brief->layers.l4;
	size_t room = brief->n - brief->layers.l4;
	const char *name;

	if (room < 2)
		return;
	name = six ? pkt_brief_icmp6(icmp[0]) : pkt_brief_icmp(icmp[0], icmp[1]);
	pkt_say(out, ",\"type\":%u,\"code\":%u", icmp[0], icmp[1]);
	if (name)
		pkt_say(out, ",\"icmp\":\"%s\"", name);
	if (room >= 8 && (six ? icmp[0] == 128 || icmp[0] == 129 : icmp[0] == 8 || icmp[0] == 0))
		pkt_say(out, ",\"id\":%u,\"seq\":%u", be16_load(icmp + 4), be16_load(icmp + 6));
}

/* What the transport says and what it carries. */
static void json_transport(const struct pkt_brief *brief, struct pfs_buf *out)
{
	size_t off;

	if (brief->layers.l4 == PFS_LAYER_NONE)
		return;
	if (brief->layers.proto == PROTO_TCP)
		json_tcp(brief, out);
	else if (brief->layers.proto == PROTO_ICMP)
		json_icmp(brief, false, out);
	else if (brief->layers.proto == PROTO_ICMP6)
		json_icmp(brief, true, out);
	if (!brief->has_payload || json_http(brief->payload, brief->payload_len, out))
		return;
	if (pkt_brief_is_dns(brief, &off))
		pkt_dns_json(brief->payload + off, brief->payload_len - off, out);
}

static void json_arp(const struct pkt_brief *brief, struct pfs_buf *out)
{
	const uint8_t *arp = brief->p + brief->layers.l3;
	char sender[BRIEF_ADDR_MAX], target[BRIEF_ADDR_MAX];

	if (brief->n - brief->layers.l3 < 28 || be16_load(arp + 2) != ETHER_IP || arp[4] != 6 ||
	    arp[5] != 4)
		return;
	pkt_brief_ip4(arp + 14, sender);
	pkt_brief_ip4(arp + 24, target);
	pkt_say(out, ",\"src\":\"%s\",\"dst\":\"%s\",\"op\":%u", sender, target, be16_load(arp + 6));
}

static void json_ip(const struct pkt_brief *brief, struct pfs_buf *out)
{
	pkt_say(out, ",\"src\":\"%s\",\"dst\":\"%s\"", brief->src, brief->dst);
	if (brief->has_ports)
		pkt_say(out, ",\"sport\":%u,\"dport\":%u", brief->sport, brief->dport);
	pkt_say(out, ",\"ttl\":%u", brief->ttl);
	if (brief->fragment)
		pkt_say(out, ",\"fragment\":%u", brief->frag_off);
	json_transport(brief, out);
}

void pkt_json(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
	      struct pfs_buf *out)
{
	struct pkt_brief brief;
	char name[BRIEF_NAME_MAX];

	if (link_type == PFS_LINK_BYTES) {
		pkt_say(out, "\"proto\":\"bytes\",\"payload\":%zu", n);
		json_http(p, n, out);
		return;
	}
	pkt_brief(p, n, link_type, layers, &brief);
	pkt_brief_protocol(&brief, name);
	pkt_say(out, "\"proto\":\"%s\",\"payload\":%zu", name, brief.len);
	if (brief.has_mac)
		pkt_say(out, ",\"src_mac\":\"%s\",\"dst_mac\":\"%s\"", brief.src_mac, brief.dst_mac);
	if (brief.vlan >= 0)
		pkt_say(out, ",\"vlan\":%u", (unsigned)brief.vlan);
	if (pkt_brief_is_ip(&brief) && brief.has_addr)
		json_ip(&brief, out);
	else if (brief.layers.ethertype == ETHER_ARP)
		json_arp(&brief, out);
}
