#include "packet/generate_i.h"

#include "base/bytes.h"
#include "packet/ether_i.h"

#define WIRE_MTU 1500u
#define FRAME_MIN 60u /* Ethernet pads to it; who captures sees the padding of what it received */

/* --- checksums (RFC 1071) ------------------------------------------------------------- */

/* Sums in the machine's byte order: the result is the same, swapped, and so is its place. */
static uint64_t sum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	uint64_t a = sum & 0xffffffff, b = sum >> 32;
	uint16_t last = 0;

	while (n >= 8) {
		uint32_t w[2];

		memcpy(w, p, 8);
		a += w[0];
		b += w[1];
		p += 8;
		n -= 8;
	}
	while (n >= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		a += w;
		p += 2;
		n -= 2;
	}
	if (n > 0)
		memcpy(&last, p, 1);
	a += last;
	a = (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32);
	return (a & 0xffffffff) + (a >> 32);
}

static void sum_store(uint64_t sum, uint8_t *at)
{
	uint16_t folded;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	memcpy(at, &folded, 2);
}

/* The pseudo-header of TCP, UDP and ICMPv6. */
static uint64_t sum_pseudo(const uint8_t *src, const uint8_t *dst, size_t addr_len, uint8_t proto,
			   size_t len)
{
	uint8_t tail[8] = { 0 };
	uint64_t sum = 0;

	be32_store(tail, (uint32_t)len);
	tail[7] = proto;
	sum = sum_add(sum, src, addr_len);
	sum = sum_add(sum, dst, addr_len);
	return sum_add(sum, tail, sizeof(tail));
}

/* --- frames ----------------------------------------------------------------------------- */

static uint8_t *talk_reserve(struct generate_talk *talk, size_t len)
{
	size_t cap = talk->cap ? talk->cap : 4096;
	uint8_t *p;

	if (talk->failed)
		return NULL;
	if (talk->cap - talk->len < len) {
		while (cap - talk->len < len)
			cap *= 2;
		p = realloc(talk->data, cap);
		if (!p) {
			talk->failed = true;
			return NULL;
		}
		talk->data = p;
		talk->cap = cap;
	}
	p = talk->data + talk->len;
	talk->len += len;
	return p;
}

static uint8_t *put_vlan(uint8_t *p, uint16_t ethertype, int id)
{
	be16_store(p, ethertype);
	be16_store(p + 2, (uint16_t)id);
	return p + 4;
}

/* Everything up to the network header; the payload is not cleared. */
static uint8_t *frame_new(struct generate_talk *talk, int from, const uint8_t *dst_mac,
			  uint16_t ethertype, size_t len, uint32_t classes)
{
	size_t header = 14 + (talk->vlan[0] >= 0 ? 4u : 0u) + (talk->vlan[1] >= 0 ? 4u : 0u);
	size_t pad = from == SERVER && header + len < FRAME_MIN ? FRAME_MIN - header - len : 0;
	struct generate_frame frame = { .time = talk->time, .classes = classes };
	uint8_t *p;

	frame.len = (uint32_t)(header + len + pad);
	if (talk->vlan[0] >= 0)
		frame.classes |= 1u << GENERATE_VLAN;
	p = talk_reserve(talk, sizeof(frame) + frame.len);
	if (!p)
		return NULL;
	memcpy(p, &frame, sizeof(frame));
	p += sizeof(frame);
	memset(p + header + len, 0, pad);
	memcpy(p, dst_mac, 6);
	memcpy(p + 6, talk->ends[from].mac, 6);
	p += 12;
	if (talk->vlan[1] >= 0)
		p = put_vlan(p, ETHER_QINQ, talk->vlan[0]);
	else if (talk->vlan[0] >= 0)
		p = put_vlan(p, ETHER_VLAN, talk->vlan[0]);
	if (talk->vlan[1] >= 0)
		p = put_vlan(p, ETHER_VLAN, talk->vlan[1]);
	be16_store(p, ethertype);
	return p + 2;
}

uint8_t *wire_frame(struct generate_talk *talk, int from, uint16_t ethertype, size_t len,
		    uint32_t classes)
{
	uint8_t *p = frame_new(talk, from, talk->ends[!from].mac, ethertype, len, classes);

	if (p)
		memset(p, 0, len);
	return p;
}

/* --- IP ------------------------------------------------------------------------------- */

/* The header of an IPv4 packet of len bytes behind it; frag is the field of flags and offset. */
static uint8_t *ip4_new(struct generate_talk *talk, int from, uint8_t proto, size_t len,
			uint16_t id, uint16_t frag, uint32_t classes)
{
	const struct generate_end *end = &talk->ends[from];
	uint8_t *ip = frame_new(talk, from, talk->ends[!from].mac, ETHER_IP, 20 + len,
				classes | 1u << GENERATE_IP);

	if (!ip)
		return NULL;
	ip[0] = 0x45;
	ip[1] = 0;
	be16_store(ip + 2, (uint16_t)(20 + len));
	be16_store(ip + 4, id);
	be16_store(ip + 6, frag);
	ip[8] = end->ttl;
	ip[9] = proto;
	be16_store(ip + 10, 0);
	memcpy(ip + 12, end->addr, 4);
	memcpy(ip + 16, talk->ends[!from].addr, 4);
	sum_store(sum_add(0, ip, 20), ip + 10);
	return ip + 20;
}

static uint8_t *ip6_new(struct generate_talk *talk, int from, const uint8_t *dst,
			const uint8_t *dst_mac, uint8_t proto, size_t len, uint32_t classes)
{
	const struct generate_end *end = &talk->ends[from];
	uint8_t *ip =
		frame_new(talk, from, dst_mac, ETHER_IP6, 40 + len, classes | 1u << GENERATE_IP6);

	if (!ip)
		return NULL;
	be32_store(ip, 0x60000000);
	be16_store(ip + 4, (uint16_t)len);
	ip[6] = proto;
	ip[7] = end->ttl;
	memcpy(ip + 8, end->addr, 16);
	memcpy(ip + 24, dst, 16);
	return ip + 40;
}

static uint8_t *ip_new(struct generate_talk *talk, int from, uint8_t proto, size_t len, uint32_t classes)
{
	const struct generate_end *to = &talk->ends[!from];

	if (talk->ip6)
		return ip6_new(talk, from, to->addr, to->mac, proto, len, classes);
	return ip4_new(talk, from, proto, len, talk->ends[from].ip_id++, 0x4000, classes);
}

static uint64_t sum_ends(const struct generate_talk *talk, int from, uint8_t proto, size_t len)
{
	return sum_pseudo(talk->ends[from].addr, talk->ends[!from].addr, talk->ip6 ? 16 : 4, proto,
			  len);
}

size_t wire_mss(const struct generate_talk *talk)
{
	return WIRE_MTU - (talk->ip6 ? 60 : 40);
}

/* --- transport -------------------------------------------------------------------------- */

static void put_udp(const struct generate_talk *talk, int from, uint8_t *udp, const void *payload,
		    size_t len)
{
	be16_store(udp, talk->ends[from].port);
	be16_store(udp + 2, talk->ends[!from].port);
	be16_store(udp + 4, (uint16_t)(8 + len));
	be16_store(udp + 6, 0);
	memcpy(udp + 8, payload, len);
	sum_store(sum_add(sum_ends(talk, from, PROTO_UDP, 8 + len), udp, 8 + len), udp + 6);
	if (udp[6] == 0 && udp[7] == 0)
		udp[6] = udp[7] = 0xff; /* 0 would say that there is none */
}

void wire_udp(struct generate_talk *talk, int from, const void *payload, size_t len, uint32_t classes)
{
	uint8_t *udp = ip_new(talk, from, PROTO_UDP, 8 + len, classes | 1u << GENERATE_UDP);

	if (udp)
		put_udp(talk, from, udp, payload, len);
}

void wire_udp_fragments(struct generate_talk *talk, int from, const void *payload, size_t len)
{
	enum { ROOM = (WIRE_MTU - 20) & ~7u };
	uint16_t id = talk->ends[from].ip_id++;
	PFS_FREE uint8_t *datagram = malloc(8 + len);

	assert(!talk->ip6 && len <= 65507);
	if (!datagram) {
		talk->failed = true;
		return;
	}
	put_udp(talk, from, datagram, payload, len);
	for (size_t off = 0; off < 8 + len; off += ROOM) {
		size_t piece = pfs_min(ROOM, 8 + len - off);
		bool more = off + piece < 8 + len;
		uint8_t *p = ip4_new(talk, from, PROTO_UDP, piece, id,
				     (uint16_t)(off / 8 | (more ? 0x2000 : 0)),
				     1u << GENERATE_UDP | 1u << GENERATE_FRAGMENT);

		if (p)
			memcpy(p, datagram + off, piece);
		talk->time += 12000;
	}
}

/* Maximum segment size, SACK permitted, window scale 7. */
static void put_syn_options(const struct generate_talk *talk, uint8_t *p)
{
	static const uint8_t options[12] = { 2, 4, 0, 0, 1, 1, 4, 2, 1, 3, 3, 7 };

	memcpy(p, options, sizeof(options));
	be16_store(p + 2, (uint16_t)wire_mss(talk));
}

void wire_tcp(struct generate_talk *talk, int from, unsigned flags, uint32_t seq,
	      const void *payload, size_t len, uint32_t classes)
{
	size_t header = flags & WIRE_SYN ? 32 : 20;
	uint8_t *tcp = ip_new(talk, from, PROTO_TCP, header + len, classes | 1u << GENERATE_TCP);

	if (!tcp)
		return;
	be16_store(tcp, talk->ends[from].port);
	be16_store(tcp + 2, talk->ends[!from].port);
	be32_store(tcp + 4, seq);
	be32_store(tcp + 8, flags & WIRE_ACK ? talk->ends[!from].seq : 0);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = (uint8_t)flags;
	be16_store(tcp + 14, flags & WIRE_SYN ? 64240 : 8212);
	be32_store(tcp + 16, 0);
	if (flags & WIRE_SYN)
		put_syn_options(talk, tcp + 20);
	if (len)
		memcpy(tcp + header, payload, len);
	sum_store(sum_add(sum_ends(talk, from, PROTO_TCP, header + len), tcp, header + len), tcp + 16);
}

void wire_icmp(struct generate_talk *talk, int from, const uint8_t *message, size_t len)
{
	uint8_t proto = talk->ip6 ? PROTO_ICMP6 : PROTO_ICMP;
	uint8_t *p =
		ip_new(talk, from, proto, len, 1u << (talk->ip6 ? GENERATE_ICMP6 : GENERATE_ICMP));

	if (!p)
		return;
	memcpy(p, message, len);
	be16_store(p + 2, 0);
	sum_store(sum_add(talk->ip6 ? sum_ends(talk, from, proto, len) : 0, p, len), p + 2);
}

void wire_neighbour(struct generate_talk *talk, int from, const uint8_t dst[16],
		    const uint8_t dst_mac[6], const uint8_t *message, size_t len)
{
	uint8_t *p = ip6_new(talk, from, dst, dst_mac, PROTO_ICMP6, len, 1u << GENERATE_ICMP6);

	if (!p)
		return;
	p[-33] = 255; /* hop limit: routers do not forward it */
	memcpy(p, message, len);
	be16_store(p + 2, 0);
	sum_store(sum_add(sum_pseudo(talk->ends[from].addr, dst, 16, PROTO_ICMP6, len), p, len), p + 2);
}
