/*
 * field - what a packet can be sorted by: ports, addresses, protocol, flow, length
 *
 * A field finds its value in a packet whose layers are known and gives it as a key: a few words that are equal when
 * the values are. Every key has one name, every name one key; a name that means a key but is not its name ("0443" for
 * "443", "::0001" for "::1") is told apart from one that means nothing.
 *
 *	srcport dstport port	TCP, UDP, SCTP, DCCP, UDP-Lite: "443"
 *	srcip dstip host	IPv4, IPv6, and the two protocol addresses of ARP and RARP: "10.0.0.1", "fe80::1"
 *	proto			of IPv4, and IPv6 behind its extension headers: "tcp"; nameless: "200"
 *	len			of the packet on the wire: "1514"
 *	flow			both directions of a connection: "10.0.0.1:5000-10.0.0.2:80",
 *				"[::1]:5-[::1]:80"; protocols without ports: "10.0.0.1-10.0.0.2-icmp"
 *
 * In a flow the end with the lower address comes first; where the addresses are equal, that with the lower port.
 * Its name leaves the protocol out as long as no flow of another protocol between the same two ports has that name:
 * the later one gets it at its end, "10.0.0.1:5000-10.0.0.2:53-udp" (`loose`, and who keeps the names decides).
 *
 * Pure functions, any thread. Nothing outside [p, p + n) is read.
 */
#ifndef PFS_PACKET_FIELD_H
#define PFS_PACKET_FIELD_H

#include "base/base.h"
#include "ring/record.h"

#define PKT_KEY_WORDS 5
#define PKT_FIELD_NAME_SIZE 128 /* of the longest name, with its NUL */

struct pkt_key {
	uint64_t word[PKT_KEY_WORDS];
};

/* Why a packet has no such field. */
enum pkt_unfit {
	PKT_UNFIT_OTHER = 1, /* it is of another protocol */
	PKT_UNFIT_FRAGMENT,  /* a fragment after the first: its transport header was in that one */
	PKT_UNFIT_SHORT,     /* the header is cut off or wrong */
	PKT_UNFIT_COUNT_,
};

struct pkt_field {
	const char *name;
	size_t words; /* of its keys; the others are not looked at */
	/*
	 * Bits of the last word that a name may leave out. A key with none of them set stands for the first that
	 * comes, and pkt_field.text() leaves them out when `brief`. 0: none.
	 */
	uint64_t loose;
	bool wire_len; /* get() needs it */
	/*
	 * How many keys the packet has, 1 or 2 (two that are equal are one), or -enum pkt_unfit. Where only the first
	 * half of two is there, that one.
	 */
	int (*get)(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		   struct pkt_key ret_keys[2]);
	void (*text)(const struct pkt_key *key, bool brief, char ret_text[PKT_FIELD_NAME_SIZE]);
	/* The key that the name means, in whatever way it is written. False: none. */
	bool (*parse)(const char *name, struct pkt_key *ret_key);
};

extern const struct pkt_field pkt_field_srcport, pkt_field_dstport, pkt_field_port;
extern const struct pkt_field pkt_field_srcip, pkt_field_dstip, pkt_field_host;
extern const struct pkt_field pkt_field_proto, pkt_field_len, pkt_field_flow;

/* All of them; ends with NULL. */
extern const struct pkt_field *const pkt_fields[];

#endif
