/*
 * dissect - where the layers of a packet are, and what is in their headers
 *
 * Pure functions over bytes: nothing outside [p, p + n) is read, truncated packets give as many layers as are
 * there. Link types: every LINKTYPE_ of the captures people have (Ethernet, SLL, SLL2, RAW, IPV4, IPV6, NULL, LOOP,
 * PPP, 802.11 with and without radiotap, ...; the table in link.c); unknown ones give no layers.
 *
 * Filters decide on ethertype and proto alone, and then agree with pcap-filter(7):
 *
 *	ip	ethertype == 0x0800		as `ip`, but also below VLAN tags (link_i.h has the list)
 *	ip6	ethertype == 0x86dd		as `ip6`
 *	arp	ethertype == 0x0806		as `arp`
 *	tcp	proto == 6 and (ip or ip6)	as `tcp`: fragments after the first and packets with
 *						a broken IP header too (their l4 is PFS_LAYER_NONE)
 *	udp icmp ...				likewise
 *	vlan	pkt_vlan() >= 0			as `vlan`
 *
 * Behind IPv6 extension headers the last protocol is found however many stand before it (up to 16); libpcap looks at
 * the first header and behind a fragment header only. AH is a protocol in both, IPv4 and IPv6: what is behind it is
 * not looked at, as in libpcap.
 *
 * Threads: any.
 */
#ifndef PFS_PACKET_DISSECT_H
#define PFS_PACKET_DISSECT_H

#include "base/base.h"
#include "ring/record.h"

/*
 * Fills l3, l4, ethertype and proto of *layers from the packet bytes (its other fields are not touched). ethertype is
 * 0xffff when nothing is known ("dissected, found nothing"), so that it is not done twice. VLAN tags (802.1Q, 802.1ad,
 * stacked) are walked; IPv6 extension headers too; l4 is PFS_LAYER_NONE for fragments after the first, for IP headers
 * that are cut off or wrong. proto is 0 when it is not known (and for IPv6's hop-by-hop options, cut off). l3 and l4
 * are at most n: nothing need be there.
 */
void pkt_dissect(const uint8_t *p, size_t n, uint16_t link_type, struct pfs_ref *layers);

/* Protocols whose header begins with two ports: TCP, UDP, SCTP, DCCP, UDP-Lite. */
bool pkt_has_ports(uint8_t proto);

/* Is it a fragment after the first, whose transport header was in that one? */
bool pkt_later_fragment(const uint8_t *p, size_t n, const struct pfs_ref *layers);

/* Transport ports of these; false when the packet has none or they are cut off. */
bool pkt_ports(const uint8_t *p, size_t n, const struct pfs_ref *layers, uint16_t *ret_src,
	       uint16_t *ret_dst);

/*
 * Payload of TCP or UDP: offset and length inside [p, p + n), limited by the lengths that IP and UDP state (0 there:
 * the whole rest, as in frames of segmentation offload). May be empty. False: there is none known.
 */
bool pkt_payload(const uint8_t *p, size_t n, const struct pfs_ref *layers, size_t *ret_off,
		 size_t *ret_len);

/* The outermost VLAN id (0 when it is cut off), -1: there is no tag. */
int pkt_vlan(const uint8_t *p, size_t n, uint16_t link_type);

/* A line for people, without control characters and newline: "10.0.0.1.5000 > 10.0.0.2.80: tcp …". */
void pkt_summary(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
		 struct pfs_buf *out);

/*
 * `"proto":"tcp","payload":5,"src":"10.0.0.1","dst":…,"sport":…` … without braces, each value valid JSON, never
 * empty. Names:
 *
 *	always		proto ("tcp", "arp", "lldp", "0x88b5", "802.3", "unknown", "bytes"), payload (how many bytes
 *			the packet had behind the last header known, captured or not)
 *	link		src_mac dst_mac vlan
 *	IP		src dst ttl fragment (its offset)
 *	transport	sport dport flags seq ack win; type code icmp id seq
 *	ARP		src dst op
 *	HTTP		http ("request", "response") method host path status content_length
 *	DNS		dns ("query", "response") id qtype name rcode answers
 *
 * Neither of the two needs dissected layers (ethertype may be 0).
 */
void pkt_json(const uint8_t *p, size_t n, uint16_t link_type, const struct pfs_ref *layers,
	      struct pfs_buf *out);

/* --- HTTP/1.x start lines -------------------------------------------------------------- */

enum pkt_http {
	PKT_HTTP_NONE,
	PKT_HTTP_REQUEST,
	PKT_HTTP_RESPONSE,
};

struct pkt_http_head {
	enum pkt_http kind;
	unsigned minor;	    /* HTTP/1.minor */
	const char *method; /* "GET"; borrowed from a static table; NULL: none of those */
	const uint8_t *method_text; /* the same in the packet, and any other: capital letters, digits, '-', '_' */
	size_t method_len;
	const uint8_t *path; /* borrowed from the packet */
	size_t path_len;
	const uint8_t *host; /* NULL when there is no Host header in these bytes */
	size_t host_len;
	unsigned status;	/* responses */
	bool complete;		/* the blank line was seen */
	size_t head_len;	/* bytes up to and with the blank line when complete */
	int64_t content_length; /* -1: not said */
	bool chunked;		/* the last transfer coding is */
	bool coded;		/* there is one that is not */
	bool contradictory;	/* several lengths that differ */
};

/* "GET" "POST" … ends with NULL; lower case is the class name. Others are methods when all of the line is there. */
extern const char *const pkt_http_methods[];

/* Does a message start at p? */
void pkt_http(const uint8_t *p, size_t n, struct pkt_http_head *ret_head);

/*
 * Of a whole message, or what is there of it: `,"http":"request","method":"GET","host":"h","path":"/","version":"1.1",
 * "head":120,"body":0`; responses have status; content_length, chunked where they are said. What is no beginning of a
 * message is `,"http":"part"`. And as words for a line, with a colon in front.
 */
void pkt_http_json(const uint8_t *p, size_t n, struct pfs_buf *out);
void pkt_http_text(const uint8_t *p, size_t n, struct pfs_buf *out);

#endif
