#include "packet/httpbody.h"

#define LINE_MAX_ 8192u /* of a chunk's size with its extensions */
#define TRAILERS_MAX 65536u
#define CHUNK_MAX (UINT64_C(1) << 48)

enum { SIZE, EXTENSION, DATA, DATA_END, TRAILER, TRAILER_LINE };

static bool has_no_body(const struct pkt_http_head *head, enum httpbody_request request)
{
	return request == HTTPBODY_HEAD || head->status / 100 == 1 || head->status == 204 ||
	       head->status == 304 || httpbody_tunnel(head, request);
}

int httpbody_begin(struct httpbody *body, const struct pkt_http_head *head,
		   enum httpbody_request request)
{
	bool response = head->kind == PKT_HTTP_RESPONSE;

	*body = (struct httpbody){ .mode = response ? HTTPBODY_CLOSE : HTTPBODY_NONE };
	if (response && has_no_body(head, request)) {
		body->mode = HTTPBODY_NONE;
	} else if (head->chunked) {
		body->mode = HTTPBODY_CHUNKED;
	} else if (head->coded) {
		return response ? 0 : -EBADMSG;
	} else if (head->contradictory) {
		return -EBADMSG;
	} else if (head->content_length >= 0) {
		body->mode = head->content_length > 0 ? HTTPBODY_LENGTH : HTTPBODY_NONE;
		body->left = (uint64_t)head->content_length;
	}
	return 0;
}

static int hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The size in front of a chunk. */
static enum httpbody_end take_size(struct httpbody *body, uint8_t c)
{
	int digit = hex_of(c);

	if (digit >= 0) {
		if (body->left >= CHUNK_MAX / 16)
			return HTTPBODY_WRONG;
		body->left = body->left * 16 + (uint64_t)digit;
		body->line++;
		return HTTPBODY_MORE;
	}
	if (body->line == 0 || !strchr(" \t;\r\n", c) || c == '\0')
		return HTTPBODY_WRONG;
	body->state = EXTENSION;
	return HTTPBODY_MORE;
}

/* One byte between data and data. */
static enum httpbody_end take_byte(struct httpbody *body, uint8_t c)
{
	if (body->state == SIZE) {
		enum httpbody_end end = take_size(body, c);

		if (end != HTTPBODY_MORE || body->state == SIZE)
			return end;
	}
	switch (body->state) {
	case EXTENSION:
		if (c == '\n') {
			body->state = body->left ? DATA : TRAILER;
			body->line = 0;
		} else if (++body->line > LINE_MAX_) {
			return HTTPBODY_WRONG;
		}
		return HTTPBODY_MORE;
	case DATA_END:
		if (c == '\r' && body->line++ == 0)
			return HTTPBODY_MORE;
		*body = (struct httpbody){ .mode = HTTPBODY_CHUNKED, .state = SIZE };
		return c == '\n' ? HTTPBODY_MORE : HTTPBODY_WRONG;
	case TRAILER:
		if (c == '\n')
			return HTTPBODY_DONE;
		if (c != '\r')
			body->state = TRAILER_LINE;
		break;
	case TRAILER_LINE:
		if (c == '\n')
			body->state = TRAILER;
		break;
	}
	return ++body->line > TRAILERS_MAX ? HTTPBODY_WRONG : HTTPBODY_MORE;
}

static size_t take_chunks(struct httpbody *body, const uint8_t *p, size_t n, enum httpbody_end *ret_end)
{
	size_t at = 0;

	*ret_end = HTTPBODY_MORE;
	while (at < n && *ret_end == HTTPBODY_MORE) {
		if (body->state == DATA) {
			size_t some = body->left < n - at ? (size_t)body->left : n - at;

			at += some;
			body->left -= some;
			if (body->left == 0)
				body->state = DATA_END;
		} else {
			*ret_end = take_byte(body, p[at]);
			if (*ret_end != HTTPBODY_WRONG)
				at++;
		}
	}
	return at;
}

size_t httpbody_take(struct httpbody *body, const uint8_t *p, size_t n, enum httpbody_end *ret_end)
{
	size_t some;

	switch ((enum httpbody_mode)body->mode) {
	case HTTPBODY_CHUNKED:
		return take_chunks(body, p, n, ret_end);
	case HTTPBODY_LENGTH:
		some = body->left < n ? (size_t)body->left : n;
		body->left -= some;
		*ret_end = body->left ? HTTPBODY_MORE : HTTPBODY_DONE;
		return some;
	case HTTPBODY_CLOSE:
		*ret_end = HTTPBODY_MORE;
		return n;
	case HTTPBODY_NONE:
		break;
	}
	*ret_end = HTTPBODY_DONE;
	return 0;
}

enum httpbody_end httpbody_skip(struct httpbody *body, uint64_t n)
{
	bool inside = body->mode == HTTPBODY_LENGTH ||
		      (body->mode == HTTPBODY_CHUNKED && body->state == DATA);

	if (body->mode == HTTPBODY_CLOSE)
		return HTTPBODY_MORE;
	if (!inside || n > body->left)
		return HTTPBODY_WRONG;
	body->left -= n;
	if (body->left)
		return HTTPBODY_MORE;
	if (body->mode == HTTPBODY_LENGTH)
		return HTTPBODY_DONE;
	body->state = DATA_END;
	return HTTPBODY_MORE;
}
