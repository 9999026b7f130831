/*
 * httpbody - where an HTTP/1.x message ends (RFC 9112, section 6)
 *
 *	if (httpbody_begin(&body, &head, request) == 0)
 *		while (more) {
 *			used = httpbody_take(&body, p, n, &end);
 *			if (end != HTTPBODY_MORE) ...
 *		}
 *
 * Pure: keeps nothing of the bytes. Lengths of lines are bounded.
 */
#ifndef PFS_PACKET_HTTPBODY_H
#define PFS_PACKET_HTTPBODY_H

#include "packet/dissect.h"

/* What a response answers. */
enum httpbody_request {
	HTTPBODY_OTHER, /* or not known */
	HTTPBODY_HEAD,
	HTTPBODY_CONNECT,
};

enum httpbody_mode {
	HTTPBODY_NONE,
	HTTPBODY_LENGTH,
	HTTPBODY_CHUNKED,
	HTTPBODY_CLOSE, /* to the end of the connection */
};

enum httpbody_end {
	HTTPBODY_MORE,
	HTTPBODY_DONE,
	HTTPBODY_WRONG, /* chunks that are none: where it ends is not known */
};

struct httpbody {
	uint8_t mode;
	uint8_t state; /* of chunks */
	uint32_t line; /* bytes of the line, or of all trailers */
	uint64_t left; /* bytes of the body, or of the chunk */
};

/* The head is complete. -EBADMSG: it says two lengths, or a coding that no request can have. */
int httpbody_begin(struct httpbody *body, const struct pkt_http_head *head,
		   enum httpbody_request request);

/* How many of the n bytes at p are its. HTTPBODY_DONE may come with 0 bytes taken. */
size_t httpbody_take(struct httpbody *body, const uint8_t *p, size_t n, enum httpbody_end *ret_end);

/* n bytes of the stream are missing here. */
enum httpbody_end httpbody_skip(struct httpbody *body, uint64_t n);

/* Does a tunnel begin behind this response (101, or 2xx to CONNECT)? */
static inline bool httpbody_tunnel(const struct pkt_http_head *head, enum httpbody_request request)
{
	return head->kind == PKT_HTTP_RESPONSE &&
	       (head->status == 101 || (request == HTTPBODY_CONNECT && head->status / 100 == 2));
}

#endif
