/*
 * brief - what summary.c and json.c say in the same words (private to src/packet)
 */
#ifndef PFS_PACKET_BRIEF_I_H
#define PFS_PACKET_BRIEF_I_H

#include "packet/dissect.h"

#define BRIEF_ADDR_MAX 64
#define BRIEF_FLAGS_MAX 10
#define BRIEF_MAC_MAX 18
#define BRIEF_NAME_MAX 16

/* What both say about a packet: decoded once, everything in bounds. */
struct pkt_brief {
	const uint8_t *p; /* borrowed */
	size_t n;
	uint16_t link_type;
	struct pfs_ref layers;
	int vlan;
	bool has_mac;
	bool has_addr;
	bool has_ports;
	bool has_payload;
	bool fragment;	   /* IP: part of a fragmented packet */
	uint32_t frag_off; /* in bytes */
	uint8_t ttl;
	char src_mac[BRIEF_MAC_MAX];
	char dst_mac[BRIEF_MAC_MAX];
	char src[BRIEF_ADDR_MAX];
	char dst[BRIEF_ADDR_MAX];
	uint16_t sport;
	uint16_t dport;
	const uint8_t *payload; /* of TCP or UDP: what was captured of it */
	size_t payload_len;
	size_t len; /* bytes the packet carried behind the last header known, captured or not */
};

/* Decodes; layers may be not dissected yet. */
void pkt_brief(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
	       struct pkt_brief *ret_brief);

bool pkt_brief_is_ip(const struct pkt_brief *brief);

/* "S.", in tcpdump's letters; "none" without any. Of the byte at offset 13 of a TCP header. */
void pkt_brief_tcp_flags(uint8_t flags, char ret_flags[BRIEF_FLAGS_MAX]);

/* "aa:bb:cc:dd:ee:ff" */
void pkt_brief_mac(const uint8_t *mac, char ret_text[BRIEF_MAC_MAX]);

/* As inet_ntop(3), several times as fast. */
void pkt_brief_ip4(const uint8_t *addr, char ret_text[BRIEF_ADDR_MAX]);
void pkt_brief_ip6(const uint8_t *addr, char ret_text[BRIEF_ADDR_MAX]);

/*
 * pfs_buf_printf() for what is said a million times a second: knows %s, %u and %zu only. Everything given to it is
 * clean.
 */
void pkt_say(struct pfs_buf *out, const char *fmt, ...) PFS_PRINTF(2, 3);

/* Names in lower case, of fixed tables; NULL: none. */
const char *pkt_brief_ethertype(uint16_t ethertype);
const char *pkt_brief_proto(uint8_t proto);
const char *pkt_brief_icmp(uint8_t type, uint8_t code);
const char *pkt_brief_icmp6(uint8_t type);

/* "tcp", "icmp6", "arp", "lldp", "0x88b5", "802.3", "unknown", "bytes": always something, clean. */
void pkt_brief_protocol(const struct pkt_brief *brief, char ret_name[BRIEF_NAME_MAX]);

/* Does the payload look like DNS, by its port? *ret_off: where the message begins. */
bool pkt_brief_is_dns(const struct pkt_brief *brief, size_t *ret_off);

#endif
