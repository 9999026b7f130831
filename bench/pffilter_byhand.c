#include "pffilter.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define KEEP 262144u

static inline uint32_t be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

/* Where the ports of this protocol stand; 0: it is not of this protocol, or a later fragment, or too short. */
static inline uint32_t find_ports(const uint8_t *p, uint32_t caplen, uint8_t protocol)
{
	uint32_t at;

	if (caplen < 14)
		return 0;
	if (be16(p + 12) == 0x86dd) {
		if (caplen < 54 || p[20] != protocol)
			return 0;
		return 54;
	}
	if (be16(p + 12) != 0x800 || caplen < 34 || p[23] != protocol || be16(p + 20) & 0x1fff)
		return 0;
	at = 14 + 4 * (p[14] & 15u);
	return at < caplen ? at : 0;
}

/* Either of them; the destination may be cut off when the source is it. */
static inline uint32_t has_port(const uint8_t *p, uint32_t caplen, uint32_t at, uint32_t port)
{
	if (at + 4 <= caplen)
		return be16(p + at) == port || be16(p + at + 2) == port ? KEEP : 0;
	return at + 2 <= caplen && be16(p + at) == port ? KEEP : 0;
}

static uint32_t tcp_port_80(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t at = find_ports(p, caplen, 6);

	return at ? has_port(p, caplen, at, 80) : 0;
}

static uint32_t udp_port_53(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t at = find_ports(p, caplen, 17);

	return at ? has_port(p, caplen, at, 53) : 0;
}

static uint32_t host_and_port(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t host = 0xc000020b, at;

	if (caplen < 34 || be16(p + 12) != 0x800)
		return 0;
	if (be32(p + 26) != host && be32(p + 30) != host)
		return 0;
	if (p[23] != 6 || be16(p + 20) & 0x1fff)
		return 0;
	at = 14 + 4 * (p[14] & 15u);
	return has_port(p, caplen, at, 80);
}

static uint32_t tcp_syn(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t at;

	if (caplen < 34 || be16(p + 12) != 0x800 || p[23] != 6 || be16(p + 20) & 0x1fff)
		return 0;
	at = 14 + 4 * (p[14] & 15u) + 13;
	return at < caplen && (p[at] & 0x12) == 2 ? KEEP : 0;
}

static bool is_host(uint32_t address)
{
	switch (address) {
	case 0xc000020a:
	case 0xc000020b:
	case 0xc000020c:
	case 0xc000020d:
	case 0xc000020e:
	case 0xc000020f:
	case 0xc0000210:
	case 0xc0000211:
	case 0xc0000212:
	case 0xc0000213:
	case 0xc6336414:
	case 0xc6336417:
	case 0xc633641a:
	case 0xc633641d:
	case 0xc6336420:
	case 0xc6336423:
	case 0xc6336426:
	case 0xc6336429:
	case 0xc633642c:
	case 0xc633642f:
	case 0x0a000101:
	case 0x0a000108:
	case 0x0a00010f:
	case 0x0a000116:
	case 0x0a00011d:
	case 0x0a000124:
	case 0x0a00012b:
	case 0x0a000132:
	case 0x0a000139:
	case 0x0a000140:
		return true;
	default:
		return false;
	}
}

static uint32_t hosts_30(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t at;

	if (caplen < 14)
		return 0;
	switch (be16(p + 12)) {
	case 0x800:
		if (caplen >= 34)
			return is_host(be32(p + 26)) || is_host(be32(p + 30)) ? KEEP : 0;
		at = 26;
		break;
	case 0x806:
	case 0x8035:
		if (caplen >= 42)
			return is_host(be32(p + 28)) || is_host(be32(p + 38)) ? KEEP : 0;
		at = 28;
		break;
	default:
		return 0;
	}
	return at + 4 <= caplen && is_host(be32(p + at)) ? KEEP : 0;
}

static bool is_port(uint32_t port)
{
	switch (port) {
	case 21:
	case 22:
	case 23:
	case 25:
	case 80:
	case 88:
	case 110:
	case 111:
	case 119:
	case 135:
	case 139:
	case 143:
	case 179:
	case 389:
	case 443:
	case 445:
	case 465:
	case 514:
	case 554:
	case 587:
	case 631:
	case 636:
	case 873:
	case 990:
	case 993:
	case 995:
	case 3306:
	case 5432:
	case 8080:
	case 8443:
		return true;
	default:
		return false;
	}
}

static uint32_t ports_30(const struct pf_packet *packet, const void *self)
{
	const uint8_t *p = packet->data;
	uint32_t caplen = packet->caplen;
	uint32_t at = find_ports(p, caplen, 6);

	if (!at || at + 2 > caplen)
		return 0;
	if (is_port(be16(p + at)))
		return KEEP;
	return at + 4 <= caplen && is_port(be16(p + at + 2)) ? KEEP : 0;
}

const struct byhand_filter byhand_filters[] = {
	{ "tcp port 80", "tcp port 80", tcp_port_80 },
	{ "udp port 53", "udp port 53", udp_port_53 },
	{ "host and port", "ip host 192.0.2.11 and tcp port 80", host_and_port },
	{ "tcp syn", "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn", tcp_syn },
	{ "30 hosts",
	  "host 192.0.2.10 or host 192.0.2.11 or host 192.0.2.12 or host "
	  "192.0.2.13 or host 192.0.2.14 or host 192.0.2.15 or host 192.0.2.16 or"
	  " host 192.0.2.17 or host 192.0.2.18 or host 192.0.2.19 or host "
	  "198.51.100.20 or host 198.51.100.23 or host 198.51.100.26 or host "
	  "198.51.100.29 or host 198.51.100.32 or host 198.51.100.35 or host "
	  "198.51.100.38 or host 198.51.100.41 or host 198.51.100.44 or host "
	  "198.51.100.47 or host 10.0.1.1 or host 10.0.1.8 or host 10.0.1.15 or "
	  "host 10.0.1.22 or host 10.0.1.29 or host 10.0.1.36 or host 10.0.1.43 "
	  "or host 10.0.1.50 or host 10.0.1.57 or host 10.0.1.64",
	  hosts_30 },
	{ "30 ports",
	  "tcp port 21 or tcp port 22 or tcp port 23 or tcp port 25 or tcp port "
	  "80 or tcp port 88 or tcp port 110 or tcp port 111 or tcp port 119 or "
	  "tcp port 135 or tcp port 139 or tcp port 143 or tcp port 179 or tcp "
	  "port 389 or tcp port 443 or tcp port 445 or tcp port 465 or tcp port "
	  "514 or tcp port 554 or tcp port 587 or tcp port 631 or tcp port 636 or"
	  " tcp port 873 or tcp port 990 or tcp port 993 or tcp port 995 or tcp "
	  "port 3306 or tcp port 5432 or tcp port 8080 or tcp port 8443",
	  ports_30 },
	{ NULL, NULL, NULL },
};
