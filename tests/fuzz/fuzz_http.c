/*
 * fuzz_http - any bytes as an HTTP/1.x message, its body whole and byte by byte
 *
 * The first byte says what it answers. Both ways the body must end at the same byte, for the same reason.
 */
#include "packet/httpbody.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

static size_t body_end(const struct pkt_http_head *head, enum httpbody_request request,
		       const uint8_t *p, size_t n, size_t piece, enum httpbody_end *ret_end)
{
	struct httpbody body;
	size_t at = 0;

	if (httpbody_begin(&body, head, request) < 0)
		return SIZE_MAX;
	do {
		size_t some = pfs_min(piece, n - at), used;

		used = httpbody_take(&body, p + at, some, ret_end);
		CHECK(used <= some && (used == some || *ret_end != HTTPBODY_MORE));
		at += used;
	} while (*ret_end == HTTPBODY_MORE && at < n);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum httpbody_end whole_end = HTTPBODY_MORE, piece_end = HTTPBODY_MORE;
	enum httpbody_request request;
	PFS_BUF struct pfs_buf out = { 0 };
	struct pkt_http_head head;
	size_t whole, pieces;

	if (size < 2)
		return 0;
	request = (enum httpbody_request)(data[0] % 3);
	data++;
	size--;
	pkt_http_json(data, size, &out);
	pkt_http_text(data, size, &out);
	for (size_t i = 0; i < out.len; i++)
		CHECK((unsigned char)out.data[i] >= 0x20);
	pkt_http(data, size, &head);
	if (!head.complete)
		return 0;
	whole = body_end(&head, request, data + head.head_len, size - head.head_len, size, &whole_end);
	pieces = body_end(&head, request, data + head.head_len, size - head.head_len, 1, &piece_end);
	CHECK(whole == pieces && whole_end == piece_end);
	return 0;
}
