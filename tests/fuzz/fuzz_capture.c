/*
 * fuzz_capture - any bytes as a capture file, whole and in pieces
 *
 * The first byte says how large the pieces are. Both readings must find the same packets, inside the bytes
 * they were given, and end the same way.
 */
#include "packet/capture.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

struct reading {
	uint64_t packets;
	uint64_t sum; /* over what was said of them */
	int end;
	size_t left; /* not consumed */
};

/* Packets in [file + from, file + to); the bytes stand in memory of exactly that size. */
static int read_some(struct capture *capture, const uint8_t *file, size_t *from, size_t to,
		     struct reading *reading)
{
	PFS_FREE uint8_t *p = malloc(to - *from ? to - *from : 1);
	size_t at = 0, n = to - *from;
	int r;

	CHECK(p);
	memcpy(p, file + *from, n);
	for (;;) {
		struct capture_packet packet = { 0 };
		struct pfs_diag diag = { "" };
		size_t consumed = 0, need = 0;

		r = capture_next(capture, p + at, n - at, &consumed, &packet, &need, &diag);
		if (r < 0) {
			CHECK(r == -EBADMSG && diag.text[0]);
			break;
		}
		CHECK(consumed <= n - at);
		if (r == 0) {
			CHECK(need > n - at - consumed);
			at += consumed;
			break;
		}
		CHECK(packet.interface < capture->ninterfaces);
		CHECK(packet.caplen <= CAPTURE_PACKET_MAX);
		CHECK(packet.header + pfs_hdr_size(packet.hdr) + packet.caplen <= consumed);
		for (size_t i = 0; i < packet.caplen; i++)
			reading->sum += p[at + packet.header + pfs_hdr_size(packet.hdr) + i];
		reading->sum = reading->sum * 31 + packet.time + packet.wire_len + packet.flags +
			       capture->interfaces[packet.interface].origin.link_type;
		reading->packets++;
		at += consumed;
	}
	*from += at;
	return r;
}

static struct reading read_file(const uint8_t *file, size_t len, size_t piece)
{
	struct reading reading = { 0 };
	struct capture capture;
	size_t from = 0, to = 0;

	capture_init(&capture, CAPTURE_ANY);
	do {
		to = pfs_min(len, to + piece);
		reading.end = read_some(&capture, file, &from, to, &reading);
	} while (reading.end >= 0 && to < len);
	reading.left = reading.end < 0 ? 0 : len - from;
	if (reading.end >= 0)
		reading.end = capture_complete(&capture, len - from);
	capture_release(&capture);
	return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading whole, pieces;

	if (size < 1 || size > 16384)
		return 0;
	whole = read_file(data + 1, size - 1, size);
	pieces = read_file(data + 1, size - 1, 1u + data[0] * 3u);
	CHECK(whole.packets == pieces.packets && whole.sum == pieces.sum);
	CHECK(whole.end == pieces.end && whole.left == pieces.left);
	return 0;
}
