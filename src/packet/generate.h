/*
 * generate - captures of plausible traffic, out of nothing but a seed
 *
 * For the demo, tests and benchmarks: what a capture on a client's Ethernet would hold. HTTP over TCP with handshakes,
 * several requests a connection, bodies that span packets, acknowledgements, FINs; DNS before it; pings, ARP, TLS-like
 * records, UDP streams, fragmented datagrams; IPv4 and IPv6; some in VLANs. Lengths and checksums are right, received
 * frames are padded to 60 bytes, conversations overlap, times are in order and have ns. The same options give the same
 * bytes on every machine. A GiB takes less than a second.
 *
 *	struct generate_options options = GENERATE_DEFAULTS;
 *	PFS_BUF struct pfs_buf capture = { 0 };
 *
 *	options.packets = 1000;
 *	r = capture_generate_buf(&options, &capture, &counts);
 *	assert(counts.of[GENERATE_TCP] == …);
 *
 * Threads: any, nothing is shared.
 */
#ifndef PFS_PACKET_GENERATE_H
#define PFS_PACKET_GENERATE_H

#include "base/base.h"

/* Kinds of conversations, for options.mix. */
enum {
	GENERATE_TALK_HTTP = 1 << 0,
	GENERATE_TALK_DNS = 1 << 1,  /* lookups; HTTP brings its own besides when both are chosen */
	GENERATE_TALK_PING = 1 << 2, /* ICMP and ICMPv6 echo */
	GENERATE_TALK_ARP = 1 << 3,  /* IPv6: neighbour discovery */
	GENERATE_TALK_TLS = 1 << 4,  /* TCP port 443, application data of random bytes */
	GENERATE_TALK_UDP = 1 << 5,  /* one-way streams of datagrams */
	GENERATE_TALK_FRAGMENTS = 1 << 6, /* datagrams above the MTU */
	GENERATE_TALK_ALL = (1 << 7) - 1,
};

struct generate_options {
	uint64_t seed;
	uint64_t packets; /* stop after so many; 0: no limit */
	uint64_t bytes; /* stop before the file is longer; 0: no limit. One of the two must be given */
	bool micro;	/* pcap with microseconds (cut) instead of nanoseconds */
	unsigned mix;  /* GENERATE_TALK_*: at least one */
	unsigned ip6;  /* percent of the conversations in IPv6 */
	unsigned vlan; /* percent in VLANs, a few of them in two */
	unsigned disorder; /* per mille of the segments inside HTTP bodies that come twice or too late */
	unsigned lost;	   /* per mille of them that are not in the capture */
	uint32_t body_max; /* bytes of an HTTP body, 0: no bodies */
	uint32_t snaplen;  /* 0: whole packets */
	uint64_t start;	   /* ns since the epoch */
	unsigned rate;	   /* new conversations in a second, at least 1 */
};

#define GENERATE_DEFAULTS                                                                      \
	{                                                                                      \
		.seed = 1, .mix = GENERATE_TALK_ALL, .ip6 = 25, .vlan = 5, .body_max = 200000, \
		.start = UINT64_C(1700000000123456789), .rate = 50                             \
	}

/* What a packet can count as; most count as several. */
enum generate_class {
	GENERATE_IP, /* in VLANs too; likewise all that follow */
	GENERATE_IP6,
	GENERATE_ARP,
	GENERATE_TCP,
	GENERATE_UDP,
	GENERATE_ICMP,
	GENERATE_ICMP6,
	GENERATE_VLAN,
	GENERATE_FRAGMENT,     /* any fragment, the first too */
	GENERATE_HTTP_REQUEST, /* packets that begin with one: each does */
	GENERATE_HTTP_GET,
	GENERATE_HTTP_POST,
	GENERATE_HTTP_RESPONSE,
	GENERATE_DNS_QUERY,
	GENERATE_DNS_RESPONSE,
	GENERATE_TLS, /* TCP port 443 with data */
	GENERATE_CLASSES_
};

struct generate_counts {
	uint64_t packets;
	uint64_t bytes; /* of the file */
	uint64_t first; /* time of the first packet, ns */
	uint64_t last;
	uint64_t of[GENERATE_CLASSES_];
};

/* Takes the next bytes of the file; < 0 ends the generation with that error. */
typedef int (*generate_write_fn)(void *context, const void *data, size_t len);

/*
 * Writes a pcap file. ret_counts may be NULL. -EINVAL: options that make no sense; -ENOMEM; what write returned.
 */
int capture_generate(const struct generate_options *options, generate_write_fn write, void *context,
		     struct generate_counts *ret_counts);

/* To a descriptor (blocking); -errno of write(2). */
int capture_generate_fd(const struct generate_options *options, int fd,
			struct generate_counts *ret_counts);

/* Appends; the buffer's limit (PFS_BUF_MAX) is -ENOMEM. */
int capture_generate_buf(const struct generate_options *options, struct pfs_buf *buf,
			 struct generate_counts *ret_counts);

#endif
