#include "packet/link_i.h"

#include "base/bytes.h"
#include "packet/ether_i.h"

struct link_row {
	uint16_t link_type;
	uint8_t type;	 /* offset of a 16-bit EtherType */
	uint8_t payload; /* offset of what it describes, or where `find` starts */
	bool mac;	 /* destination and source address stand 12 bytes before the type */
	/* Instead: the packet is at p + at, the answer goes to *link. */
	void (*find)(const uint8_t *p, size_t n, size_t at, struct pkt_link *link);
};

/* Are there len bytes at p + off? Never computes off + len. */
static bool has(size_t n, size_t off, size_t len)
{
	return off <= n && n - off >= len;
}

/* An EtherType at p + type, its payload at p + payload: walks VLAN tags. */
static void find_ethertype(const uint8_t *p, size_t n, size_t type, size_t payload,
			   struct pkt_link *link)
{
	uint16_t ethertype;

	if (!has(n, type, 2) || payload > n)
		return;
	ethertype = be16_load(p + type);
	while (ethertype == ETHER_VLAN || ethertype == ETHER_QINQ || ethertype == ETHER_QINQ_OLD) {
		uint16_t id = has(n, payload, 2) ? be16_load(p + payload) & 0xfff : 0;

		if (link->vlan < 0)
			link->vlan = id;
		if (link->nvlans < ARRAY_SIZE(link->vlans))
			link->vlans[link->nvlans++] = id;
		if (!has(n, payload, 4))
			break;
		ethertype = be16_load(p + payload + 2);
		payload += 4;
	}
	if (ethertype <= ETHER_LENGTH_MAX)
		return; /* 802.3: a length */
	link->ethertype = ethertype;
	link->l3 = payload;
}

static void find_llc(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	static const uint8_t snap[] = { 0xaa, 0xaa, 0x03, 0, 0, 0 };

	if (has(n, at, 8) && memcmp(p + at, snap, sizeof(snap)) == 0)
		find_ethertype(p, n, at + 6, at + 8, link);
}

static void find_version(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (!has(n, at, 1))
		return;
	if (p[at] >> 4 == 4)
		link->ethertype = ETHER_IP;
	else if (p[at] >> 4 == 6)
		link->ethertype = ETHER_IP6;
	link->l3 = at;
}

static void find_ip(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	link->ethertype = ETHER_IP;
	link->l3 = at;
}

static void find_ip6(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	link->ethertype = ETHER_IP6;
	link->l3 = at;
}

/* The systems agree on AF_INET only. */
static uint16_t family_ethertype(uint32_t family)
{
	switch (family) {
	case 2:
		return ETHER_IP;
	case 24: /* NetBSD, OpenBSD, Npcap */
	case 28: /* FreeBSD */
	case 30: /* Darwin */
		return ETHER_IP6;
	default:
		return 0;
	}
}

/* A family of 4 bytes in the byte order of the machine that captured: both are tried. */
static void find_family_any(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (!has(n, at, 0) || n < 4)
		return;
	link->ethertype = family_ethertype(le32_load(p));
	if (!link->ethertype)
		link->ethertype = family_ethertype(be32_load(p));
	link->l3 = at;
}

static void find_family_big(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < 4)
		return;
	link->ethertype = family_ethertype(be32_load(p));
	link->l3 = at;
}

static void find_ppp_protocol(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (!has(n, at, 2))
		return;
	switch (be16_load(p + at)) {
	case 0x0021:
		link->ethertype = ETHER_IP;
		break;
	case 0x0057:
		link->ethertype = ETHER_IP6;
		break;
	case 0x0281:
	case 0x0283:
		link->ethertype = ETHER_MPLS;
		break;
	default:
		return;
	}
	link->l3 = at + 2;
}

/* RFC 1662: address and control may be compressed away. 0f 00 and 8f 00 are Cisco's, with EtherTypes. */
static void find_ppp(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (!has(n, at, 2))
		return;
	if (p[at] == 0x0f || p[at] == 0x8f)
		find_ethertype(p, n, at + 2, at + 4, link);
	else if ((p[at] == 0xff || p[at] <= 1) && p[at + 1] == 0x03)
		find_ppp_protocol(p, n, at + 2, link);
	else
		find_ppp_protocol(p, n, at, link);
}

static void find_80211(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	size_t len = 24;

	if (!has(n, at, 2) || (p[at] & 0x0c) != 0x08)
		return; /* not data */
	if ((p[at + 1] & 0x03) == 0x03)
		len += 6; /* the fourth address */
	if (p[at] & 0x80) {
		len += 2; /* QoS */
		if (p[at + 1] & 0x80)
			len += 4; /* HT control */
	}
	if (has(n, at, len))
		find_llc(p, n, at + len, link);
}

/* Atheros cards pad the MAC header to a multiple of 4 and say so in the flags of radiotap. */
static bool radiotap_padded(const uint8_t *p, size_t n)
{
	uint32_t present = le32_load(p + 4);
	size_t flags = present & 1 ? 16 : 8; /* behind the time */

	return (present & 0x80000002) == 2 && has(n, flags, 1) && p[flags] & 0x20;
}

static void find_radiotap(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	size_t len;

	if (n < 8)
		return;
	len = le16_load(p + 2);
	if (len < 8 || len > n)
		return;
	find_80211(p, n, len, link);
	if (!link->ethertype && radiotap_padded(p, n) && has(n, len, 28) && p[len] & 0x80)
		find_llc(p, n, len + 28, link);
}

static void find_avs(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n >= 8)
		find_80211(p, n, be32_load(p + 4), link);
}

/* Linux drivers write AVS headers under the type of Prism. */
static void find_prism(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < 4)
		return;
	if ((be32_load(p) & 0xfffff000) == 0x80211000)
		find_avs(p, n, at, link);
	else
		find_80211(p, n, 144, link);
}

static void find_ppi(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n >= 8 && le32_load(p + 4) == 105)
		find_80211(p, n, le16_load(p + 2), link);
}

static void find_sunatm(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n >= 4 && (p[0] & 0x0f) == 2)
		find_llc(p, n, at, link);
}

/* `at` is where the system code stands; RFC 1201 puts a flag and a sequence number behind it. */
static void find_arcnet(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	size_t l3 = at + 4;

	if (!has(n, at, 1))
		return;
	switch (p[at]) {
	case 240: /* RFC 1051 */
		link->ethertype = ETHER_IP;
		l3 = at + 1;
		break;
	case 241:
		link->ethertype = ETHER_ARP;
		l3 = at + 1;
		break;
	case 212: /* RFC 1201 */
		link->ethertype = ETHER_IP;
		break;
	case 213:
		link->ethertype = ETHER_ARP;
		break;
	case 196:
		link->ethertype = ETHER_IP6;
		break;
	default:
		return;
	}
	link->l3 = pfs_min(l3, n);
}

static void find_frame_relay(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < 4 || p[2] != 0x03)
		return;
	if (p[3] == 0xcc)
		link->ethertype = ETHER_IP;
	else if (p[3] == 0x8e)
		link->ethertype = ETHER_IP6;
	link->l3 = at;
}

static void find_pflog(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < 2)
		return;
	link->l3 = ((size_t)p[0] + 3) & ~(size_t)3;
	if (link->l3 <= n)
		link->ethertype = family_ethertype(p[1]);
}

static void find_ipnet(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < at)
		return;
	link->ethertype = p[1] == 2 ? ETHER_IP : p[1] == 26 ? ETHER_IP6 : 0;
	link->l3 = at;
}

/* Options of length and type, in the byte order of the machine that captured; type 9 is the packet. */
static void find_nflog(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	if (n < 4)
		return;
	while (has(n, at, 4)) {
		bool big = be16_load(p + at + 2) < 256; /* types are small */
		uint16_t len = u16_load(p + at, big);

		if (len < 4)
			return;
		if (u16_load(p + at + 2, big) == 9) {
			link->ethertype = p[0] == 10 ? ETHER_IP6 : family_ethertype(p[0]); /* Linux */
			link->l3 = at + 4;
			return;
		}
		at += ((size_t)len + 3) & ~(size_t)3;
	}
}

/* Darwin's: a header of stated length, then a packet of a stated DLT_, not another of these. */
static void find_pktap(const uint8_t *p, size_t n, size_t at, struct pkt_link *link)
{
	size_t len, mac;
	uint32_t dlt;

	if (n < 12)
		return;
	len = le32_load(p);
	dlt = le32_load(p + 8);
	if (len < 12 || len > n || dlt > UINT8_MAX)
		return;
	pkt_link(p + len, n - len, (uint16_t)dlt, link);
	mac = link->mac;
	link->l3 += len;
	link->mac = mac == SIZE_MAX ? mac : mac + len;
}

/* By LINKTYPE_ value; Ethernet, first, is most of what there is. */
static const struct link_row link_table[] = {
	{ 1, .type = 12, .payload = 14, .mac = true },	 /* ETHERNET */
	{ 0, .find = find_family_any, .payload = 4 },	 /* NULL */
	{ 6, .find = find_llc, .payload = 14 },		 /* IEEE802_5 */
	{ 7, .find = find_arcnet, .payload = 2 },	 /* ARCNET_BSD */
	{ 8, .find = find_version, .payload = 16 },	 /* SLIP */
	{ 9, .find = find_ppp },			 /* PPP */
	{ 10, .find = find_llc, .payload = 13 },	 /* FDDI */
	{ 12, .find = find_version },			 /* DLT_RAW */
	{ 14, .find = find_version },			 /* DLT_RAW of OpenBSD */
	{ 50, .find = find_ppp },			 /* PPP_HDLC */
	{ 51, .find = find_ppp_protocol, .payload = 6 }, /* PPP_ETHER */
	{ 99, .type = 6, .payload = 44 },		 /* SYMANTEC_FIREWALL */
	{ 100, .find = find_llc },			 /* ATM_RFC1483 */
	{ 101, .find = find_version },			 /* RAW */
	{ 102, .find = find_version, .payload = 24 },	 /* SLIP_BSDOS */
	{ 104, .type = 2, .payload = 4 },		 /* C_HDLC */
	{ 105, .find = find_80211 },			 /* IEEE802_11 */
	{ 106, .find = find_llc },			 /* ATM_CLIP */
	{ 107, .find = find_frame_relay, .payload = 4 }, /* FRELAY */
	{ 108, .find = find_family_big, .payload = 4 },	 /* LOOP */
	{ 109, .find = find_family_any, .payload = 12 }, /* ENC */
	{ 113, .type = 14, .payload = 16 },		 /* LINUX_SLL */
	{ 117, .find = find_pflog },			 /* PFLOG */
	{ 119, .find = find_prism },			 /* IEEE802_11_PRISM */
	{ 122, .find = find_llc, .payload = 16 },	 /* IP_OVER_FC */
	{ 123, .find = find_sunatm, .payload = 4 },	 /* SUNATM */
	{ 127, .find = find_radiotap },			 /* IEEE802_11_RADIOTAP */
	{ 129, .find = find_arcnet, .payload = 4 },	 /* ARCNET_LINUX */
	{ 138, .type = 16, .payload = 18 },		 /* APPLE_IP_OVER_IEEE1394 */
	{ 163, .find = find_avs },			 /* IEEE802_11_AVS */
	{ 166, .find = find_ppp },			 /* PPP_PPPD */
	{ 192, .find = find_ppi },			 /* PPI */
	{ 204, .find = find_ppp, .payload = 1 },	 /* PPP_WITH_DIR */
	{ 226, .find = find_ipnet, .payload = 24 },	 /* IPNET */
	{ 228, .find = find_ip },			 /* IPV4 */
	{ 229, .find = find_ip6 },			 /* IPV6 */
	{ 239, .find = find_nflog, .payload = 4 },	 /* NFLOG */
	{ 240, .type = 16, .payload = 18, .mac = true }, /* NETANALYZER */
	{ 241, .type = 24, .payload = 26, .mac = true }, /* NETANALYZER_TRANSPARENT */
	{ 258, .find = find_pktap },			 /* PKTAP */
	{ 276, .type = 0, .payload = 20 },		 /* LINUX_SLL2 */
	{ 281, .type = 16, .payload = 18 }, /* DSA_TAG_BRCM: the addresses are further up */
	{ 284, .type = 16, .payload = 18 }, /* DSA_TAG_DSA */
	{ 285, .type = 20, .payload = 22 }, /* DSA_TAG_EDSA */
};

void pkt_link(const uint8_t *p, size_t n, uint16_t link_type, struct pkt_link *ret_link)
{
	*ret_link = (struct pkt_link){ .vlan = -1, .mac = SIZE_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(link_table); i++) {
		const struct link_row *row = &link_table[i];

		if (row->link_type != link_type)
			continue;
		if (row->find)
			row->find(p, n, row->payload, ret_link);
		else
			find_ethertype(p, n, row->type, row->payload, ret_link);
		if (row->mac && has(n, row->type - 12u, 12))
			ret_link->mac = row->type - 12u;
		break;
	}
	/* A header that is cut off or far behind what a ref can say is none. */
	if (ret_link->l3 > n && ret_link->ethertype)
		ret_link->ethertype = 0;
}
