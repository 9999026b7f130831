/*
 * generate - the parts of the generator (private to src/packet)
 *
 *	generate.c	which conversation when; the merge of their packets by time into a file
 *	generate_talk.c	what is said: one function a kind of conversation
 *	generate_wire.c	frames: Ethernet, VLAN, IP, UDP, TCP and their checksums
 *
 * A talk is one conversation, complete before its first packet is written: frames one after the other, each behind a
 * struct generate_frame, in the order of their times, which count from the talk's start.
 */
#ifndef PFS_PACKET_GENERATE_I_H
#define PFS_PACKET_GENERATE_I_H

#include "packet/generate.h"

#define GENERATE_POOL_SIZE 65536u /* of text, of noise */
#define GENERATE_HOSTS 24u	  /* names in the text of talks */

struct generate_rng {
	uint64_t s[2];
};

struct generate_frame {
	uint64_t time; /* ns from the start of the talk */
	uint32_t len;
	uint32_t classes; /* bit set of enum generate_class */
};

struct generate_end {
	uint8_t mac[6];
	uint8_t addr[16]; /* IPv4: the first 4 */
	uint16_t port;
	uint16_t ip_id;
	uint8_t ttl;
	uint32_t seq;
};

enum { CLIENT, SERVER }; /* who sends: index of ends */

struct generate_pools {
	uint8_t text[GENERATE_POOL_SIZE];
	uint8_t noise[GENERATE_POOL_SIZE];
};

struct generate_talk {
	/* Frames. */
	uint8_t *data; /* owned */
	size_t len;
	size_t cap;
	bool failed; /* no memory: nothing more is added */

	/* Where it is in the merge. */
	uint64_t start;
	size_t at;

	/* State while it is being made. */
	const struct generate_options *options; /* borrowed */
	const struct generate_pools *pools;	/* borrowed */
	struct generate_rng rng;
	uint64_t time;
	uint64_t rtt;
	bool ip6;
	int vlan[2]; /* outer, inner; -1: none */
	struct generate_end ends[2];
	unsigned host; /* index of the server's name */
};

/* --- generate.c ---- */

void generate_seed(struct generate_rng *rng, uint64_t seed, uint64_t stream);
uint64_t generate_random(struct generate_rng *rng);
/* 0 … n - 1 */
uint32_t generate_below(struct generate_rng *rng, uint32_t n);
bool generate_percent(struct generate_rng *rng, unsigned percent);
/* Log-uniform: as many of each order of magnitude. */
uint32_t generate_spread(struct generate_rng *rng, uint32_t min, uint32_t max);

/* --- generate_wire.c ---- */

#define WIRE_FIN 0x01
#define WIRE_SYN 0x02
#define WIRE_PSH 0x08
#define WIRE_ACK 0x10

/* A frame with len bytes behind its link header, all zero; NULL when the talk has failed. */
uint8_t *wire_frame(struct generate_talk *talk, int from, uint16_t ethertype, size_t len,
		    uint32_t classes);
void wire_udp(struct generate_talk *talk, int from, const void *payload, size_t len, uint32_t classes);
/* A datagram of any length up to 65,507, in fragments. IPv4 only. */
void wire_udp_fragments(struct generate_talk *talk, int from, const void *payload, size_t len);
/* A segment at sequence number seq; SYN brings options. Moves no sequence number. */
void wire_tcp(struct generate_talk *talk, int from, unsigned flags, uint32_t seq,
	      const void *payload, size_t len, uint32_t classes);
/* ICMP, or ICMPv6 in an IPv6 talk: the checksum is filled in. */
void wire_icmp(struct generate_talk *talk, int from, const uint8_t *message, size_t len);
/* An ICMPv6 message to another address than the other end's (multicast), with hop limit 255. */
void wire_neighbour(struct generate_talk *talk, int from, const uint8_t dst[16],
		    const uint8_t dst_mac[6], const uint8_t *message, size_t len);
size_t wire_mss(const struct generate_talk *talk);

/* --- generate_talk.c ---- */

/* Makes talk number `serial`; its rng, options and pools are set. */
void generate_talk_make(struct generate_talk *talk, uint64_t serial);

#endif
