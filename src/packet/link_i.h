/*
 * link - below the network header: one table of link types (private to src/packet)
 *
 * A row says where the type of the network header stands and where that header begins, or names the function that
 * finds out. VLAN tags are walked wherever an EtherType may stand.
 *
 * Agreement with pcap-filter(7): on every link type that libpcap can filter, the EtherType found here is what its
 * `ip`, `ip6` and `arp` test, with these differences:
 *
 *	VLAN		libpcap's `ip` is false for tagged packets (it wants `vlan and ip`); tags are walked here
 *	802.11		headers with four addresses or HT control are measured too; LLC must say SNAP
 *	ARCnet		RFC 1051 packets have their short header, which libpcap mistakes for RFC 1201's
 *	Frame Relay	the network header is behind the two bytes of control and NLPID
 *	PPP		the ff 03 in front may be left out
 *	Juniper		nothing is known (libpcap matches anything with their magic number)
 *	NFLOG PKTAP EDSA PPP_WITH_DIR	are known here, libpcap cannot filter them
 *
 * IP in 802.3 frames with LLC (SNAP) on Ethernet is not looked for, as in libpcap.
 */
#ifndef PFS_PACKET_LINK_I_H
#define PFS_PACKET_LINK_I_H

#include "base/base.h"

struct pkt_link {
	size_t l3;	    /* offset of the network header, may be == n; valid when ethertype is */
	uint16_t ethertype; /* innermost; 0: not known */
	int vlan;	    /* outermost VLAN id, 0 when it is cut off; -1: no tag */
	uint16_t vlans[4];  /* the outermost ids */
	uint8_t nvlans;
	size_t mac; /* offset of destination and source, six bytes each; SIZE_MAX: none */
};

/* Pure; reads nothing outside [p, p + n). */
void pkt_link(const uint8_t *p, size_t n, uint16_t link_type, struct pkt_link *ret_link);

#endif
