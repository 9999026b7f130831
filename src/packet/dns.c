#include "packet/dns.h"

#include "base/bytes.h"

#define DNS_HEADER_SIZE 12

static void name_add(struct pkt_dns *dns, const uint8_t *label, size_t len)
{
	size_t room = sizeof(dns->name) - 1 - dns->name_len;

	if (dns->name_len > 0 && room > 0) {
		dns->name[dns->name_len++] = '.';
		room--;
	}
	len = pfs_min(len, room);
	memcpy(dns->name + dns->name_len, label, len);
	dns->name_len += len;
}

/* The name at `at`; *ret_end is behind it. A pointer must go further back than all before it. */
static bool name_read(const uint8_t *p, size_t n, size_t at, struct pkt_dns *dns, size_t *ret_end)
{
	size_t lowest = at;
	bool jumped = false;

	for (;;) {
		size_t len;

		if (at >= n)
			return false;
		len = p[at];
		if (len >= 0xc0) {
			if (n - at < 2)
				return false;
			if (!jumped)
				*ret_end = at + 2;
			jumped = true;
			at = be16_load(p + at) & 0x3fff;
			if (at >= lowest)
				return false;
			lowest = at;
			continue;
		}
		if (len > 63 || len >= n - at)
			return false;
		at++;
		if (len == 0)
			break;
		name_add(dns, p + at, len);
		at += len;
	}
	if (!jumped)
		*ret_end = at;
	if (dns->name_len == 0)
		dns->name[dns->name_len++] = '.';
	return true;
}

bool pkt_dns(const uint8_t *p, size_t n, struct pkt_dns *ret_dns)
{
	struct pkt_dns dns = { 0 };
	size_t at = 0;

	if (n < DNS_HEADER_SIZE)
		return false;
	dns.id = be16_load(p);
	dns.response = p[2] & 0x80;
	dns.opcode = (p[2] >> 3) & 15;
	dns.truncated = p[2] & 0x02;
	dns.rcode = p[3] & 15;
	dns.questions = be16_load(p + 4);
	dns.answers = be16_load(p + 6);
	if (dns.opcode > 6 || dns.questions > 64)
		return false;
	if (dns.questions > 0) {
		if (!name_read(p, n, DNS_HEADER_SIZE, &dns, &at)) {
			dns.name_len = 0;
			memset(dns.name, 0, sizeof(dns.name));
		} else if (n - at >= 4) {
			dns.type = be16_load(p + at);
			dns.class_ = be16_load(p + at + 2);
		}
	}
	*ret_dns = dns;
	return true;
}

bool pkt_dns_name(const uint8_t *p, size_t n, size_t at, char ret_name[PKT_DNS_NAME_MAX],
		  size_t *ret_len)
{
	struct pkt_dns dns = { 0 };
	size_t end;

	if (!name_read(p, n, at, &dns, &end))
		return false;
	memcpy(ret_name, dns.name, sizeof(dns.name));
	*ret_len = dns.name_len;
	return true;
}

/* Behind the name at `at`; 0: it does not end. */
static size_t name_skip(const uint8_t *p, size_t n, size_t at)
{
	while (at < n && p[at] > 0 && p[at] < 0xc0)
		at += 1u + p[at];
	if (at >= n)
		return 0;
	return at + (p[at] ? 2 : 1);
}

size_t pkt_dns_answers(const uint8_t *p, size_t n, struct pkt_dns_answer *ret_answers, size_t max)
{
	size_t at = DNS_HEADER_SIZE, count = 0;

	if (n < DNS_HEADER_SIZE)
		return 0;
	for (unsigned i = 0; i < be16_load(p + 4) && at; i++) {
		at = name_skip(p, n, at);
		at = at ? at + 4 : 0;
	}
	for (unsigned i = 0; i < be16_load(p + 6) && at && count < max; i++) {
		struct pkt_dns_answer *a = &ret_answers[count];

		at = name_skip(p, n, at);
		if (!at || at + 10 > n || be16_load(p + at + 8) > n - at - 10)
			break;
		*a = (struct pkt_dns_answer){ .type = be16_load(p + at),
					      .ttl = be32_load(p + at + 4),
					      .len = be16_load(p + at + 8),
					      .data = p + at + 10,
					      .at = at + 10 };
		at += 10 + a->len;
		count++;
	}
	return count;
}

const char *pkt_dns_type(uint16_t type)
{
	static const struct {
		uint16_t type;
		const char *name;
	} types[] = {
		{ 1, "A" },	{ 2, "NS" },	  { 5, "CNAME" },  { 6, "SOA" },
		{ 12, "PTR" },	{ 13, "HINFO" },  { 15, "MX" },	   { 16, "TXT" },
		{ 28, "AAAA" }, { 33, "SRV" },	  { 35, "NAPTR" }, { 39, "DNAME" },
		{ 41, "OPT" },	{ 43, "DS" },	  { 44, "SSHFP" }, { 46, "RRSIG" },
		{ 47, "NSEC" }, { 48, "DNSKEY" }, { 50, "NSEC3" }, { 52, "TLSA" },
		{ 64, "SVCB" }, { 65, "HTTPS" },  { 251, "IXFR" }, { 252, "AXFR" },
		{ 255, "ANY" }, { 257, "CAA" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

const char *pkt_dns_rcode(uint8_t rcode)
{
	static const char *const names[] = {
		"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
		"YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",
	};

	return rcode < ARRAY_SIZE(names) ? names[rcode] : NULL;
}
