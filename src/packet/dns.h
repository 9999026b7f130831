/*
 * dns - the header and the first question of a DNS message (RFC 1035)
 *
 * Pure; nothing outside [p, p + n) is read, and compression pointers go backwards only, so that every name ends.
 */
#ifndef PFS_PACKET_DNS_H
#define PFS_PACKET_DNS_H

#include "base/base.h"

#define PKT_DNS_NAME_MAX 256 /* 255 and a NUL, as text may be longer: then it is cut */

struct pkt_dns {
	uint16_t id;
	bool response;
	uint8_t opcode;
	uint8_t rcode;
	bool truncated;
	uint16_t questions;
	uint16_t answers;
	uint16_t type; /* of the first question, 0: there is none */
	uint16_t class_;
	char name[PKT_DNS_NAME_MAX]; /* raw bytes of labels with dots between; "." is the root; "" none */
	size_t name_len;	     /* may hold NUL and any other byte */
};

/*
 * A message over UDP, or over TCP after its two bytes of length. False: too short, or not like DNS (more questions
 * than one message has, an opcode that does not exist).
 */
bool pkt_dns(const uint8_t *p, size_t n, struct pkt_dns *ret_dns);

/*
 * `,"dns":"query","id":7,"qtype":"A","name":"example.org","qname":…`; of responses rcode, answers (how many) and
 * answer, a list of the first of them, "A 10.0.0.1". And as words for a line, with a colon in front. Nothing when
 * it is no message.
 */
void pkt_dns_json(const uint8_t *p, size_t n, struct pfs_buf *out);
void pkt_dns_text(const uint8_t *p, size_t n, struct pfs_buf *out);

#define PKT_DNS_ANSWERS_MAX 16

/* One resource record of the answer section. Borrowed, but for the name. */
struct pkt_dns_answer {
	uint16_t type;
	uint32_t ttl;
	const uint8_t *data;
	size_t len;
	size_t at; /* of data in the message */
};

/* Up to max of them; how many could be read. */
size_t pkt_dns_answers(const uint8_t *p, size_t n, struct pkt_dns_answer *ret_answers, size_t max);
/* The name at `at` of the message. False: there is none. */
bool pkt_dns_name(const uint8_t *p, size_t n, size_t at, char ret_name[PKT_DNS_NAME_MAX],
		  size_t *ret_len);

/* "A", "AAAA", …; NULL: a type without a name here. */
const char *pkt_dns_type(uint16_t type);
/* "NOERROR", "NXDOMAIN", …; NULL likewise. */
const char *pkt_dns_rcode(uint8_t rcode);

#endif
