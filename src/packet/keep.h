/*
 * keep - what filters of one protocol keep, as a unit of the packet-filter compiler
 *
 * The same as pkt_dissect() finds, for those link types for which it can be said; where a packet has headers that take
 * more than a few steps to walk (VLAN tags, extension headers of IPv6) the unit is unsure (pf/merge/tree.h).
 */
#ifndef PFS_PACKET_KEEP_H
#define PFS_PACKET_KEEP_H

#include "base/base.h"

struct pf_unit;

/* Network layers. */
enum {
	PKT_KEEP_IP = 1 << 0,
	PKT_KEEP_IP6 = 1 << 1,
	PKT_KEEP_ARP = 1 << 2,
	PKT_KEEP_VLAN = 1 << 3, /* a tag, whatever is behind it: where there is one, it is unsure */
};

#define PKT_KEEP_ANY_PROTO (-1)

/*
 * Into an initialised, empty unit: packets of one of these layers and, where that is IP, of that protocol. -ENOTSUP:
 * not for this link type; -ENOMEM.
 */
int pkt_keep_layers(uint16_t link_type, unsigned layers, int proto, struct pf_unit *ret_unit);

#endif
