/*
 * tunnel - packets inside of packets
 *
 * A walk begins with a packet whose layers are known and goes to the packet inside it, and on, up to PKT_WALK_DEPTH
 * headers deep:
 *
 *	gre	GRE (also NVGRE, PPTP's, ERSPAN I to III) that holds IP, Ethernet, MPLS or PPP
 *	vxlan	UDP to port 4789 or 8472, and VXLAN-GPE to 4790, without NSH
 *	geneve	UDP to port 6081
 *	ipip	IPv4 or IPv6 in IPv4 or IPv6
 *	mpls	labels over Ethernet and PPP, in GRE, in IP, and UDP to port 6635; below them IP, or Ethernet behind a
 *		control word (a pseudowire without one looks like anything)
 *	pppoe	session packets
 *	qinq	no packet inside: two VLAN tags or more
 *
 * The packet inside is a whole one: an Ethernet frame (PFS_LINK_ETHERNET) or what begins with an IP header
 * (PFS_LINK_RAW). It goes to the end of the bytes; its own lengths say where it ends, as with any packet. Of fragments
 * only the first shows what is inside.
 *
 * Others: tcpdump's `vlan`, `mpls`, `pppoes`, `geneve` move the offsets of what follows them in the expression, one
 * header at a time, and give the whole packet; so do Wireshark's display filters, which match a protocol at any depth.
 * Here the packet inside is what the filters, views and tools below see; who wants the whole one reads the directory
 * above. Not looked into: NSH, PIM registers, samples of sFlow, GTP, L2TP.
 *
 * Pure; nothing outside [p, p + n) is read. Threads: any.
 */
#ifndef PFS_PACKET_TUNNEL_H
#define PFS_PACKET_TUNNEL_H

#include "base/base.h"
#include "ring/record.h"

#define PKT_WALK_DEPTH 8

enum {
	PKT_TUNNEL_NO = 1 << 0, /* in none */
	PKT_TUNNEL_GRE = 1 << 1,
	PKT_TUNNEL_VXLAN = 1 << 2,
	PKT_TUNNEL_GENEVE = 1 << 3,
	PKT_TUNNEL_IPIP = 1 << 4,
	PKT_TUNNEL_MPLS = 1 << 5,
	PKT_TUNNEL_PPPOE = 1 << 6,
	PKT_TUNNEL_QINQ = 1 << 7,
	PKT_TUNNEL_YES = 0xfe, /* in any */
	PKT_TUNNEL_ANY = 0xff, /* in any or none */
};

/* "no", "yes", "any", or names joined by '+': "gre+vxlan". 0: that is none of it. */
unsigned pkt_tunnel_parse(const char *text);

struct pkt_walk {
	const uint8_t *p; /* the outermost packet; borrowed */
	size_t n;
	unsigned kinds; /* of tunnels to look into */
	unsigned depth; /* headers passed; 0: the outermost packet */
	/* Where the walk is: */
	size_t off; /* first byte of the packet */
	uint16_t link_type;
	struct pfs_ref layers; /* l3, l4, ethertype, proto, counted from off */
};

/* layers: dissected. */
void pkt_walk_start(struct pkt_walk *walk, const uint8_t *p, size_t n, uint16_t link_type,
		    const struct pfs_ref *layers, unsigned kinds);
/* To the packet inside. False: there is none, and the walk is where it was. */
bool pkt_walk_inside(struct pkt_walk *walk);

/* VLAN ids of a packet, outermost first (0 where one is cut off); how many, at most PKT_VLANS_MAX. */
#define PKT_VLANS_MAX 4
unsigned pkt_vlans(const uint8_t *p, size_t n, uint16_t link_type, uint16_t ret_ids[PKT_VLANS_MAX]);

#endif
