/*
 * generate - the same bytes for a seed, right checksums and lengths by another way of counting, every option
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "packet/capture.h"
#include "packet/dissect.h"
#include "packet/generate.h"

/* The sum of RFC 1071, a byte at a time: 0xffff when a stored checksum is right. */
static uint32_t sum(uint32_t s, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void check_transport(const uint8_t *ip, const uint8_t *l4, size_t len, uint8_t proto, bool six)
{
	uint32_t s = 0;

	if (proto != 1) {
		uint8_t tail[4] = { 0, proto, (uint8_t)(len >> 8), (uint8_t)len };

		s = sum(0, six ? ip + 8 : ip + 12, six ? 32 : 8);
		s = sum(s, tail, sizeof(tail));
	}
	assert_int_equal(sum(s, l4, len), 0xffff);
	if (proto == 17)
		assert_int_equal(be16_load(l4 + 4), len);
}

static void check_packet(const uint8_t *p, size_t n)
{
	struct pfs_ref ref;
	const uint8_t *ip;
	size_t len;

	pkt_dissect(p, n, 1, &ref);
	assert_int_not_equal(ref.ethertype, 0xffff);
	ip = p + ref.l3;
	if (ref.ethertype == 0x0800) {
		len = be16_load(ip + 2);
		assert_int_equal(sum(0, ip, 20), 0xffff);
		assert_true(len <= n - ref.l3);
		assert_true(len == n - ref.l3 || n == 60); /* or padded */
		if (be16_load(ip + 6) & 0x3fff)
			return; /* a fragment: the sum is over all of them */
		len -= 20;
	} else if (ref.ethertype == 0x86dd) {
		len = be16_load(ip + 4);
		assert_true(len + 40 == n - ref.l3);
	} else {
		assert_int_equal(ref.ethertype, 0x0806);
		return;
	}
	assert_int_not_equal(ref.l4, PFS_LAYER_NONE);
	check_transport(ip, p + ref.l4, len, ref.proto, ref.ethertype == 0x86dd);
}

static size_t check_file(const struct pfs_buf *buf)
{
	struct capture capture;
	struct capture_packet packet;
	size_t at = 0, used, need, count = 0;
	uint64_t last = 0;

	capture_init(&capture, CAPTURE_PCAP);
	while (capture_next(&capture, (uint8_t *)buf->data + at, buf->len - at, &used, &packet,
			    &need, NULL) > 0) {
		if (packet.caplen == packet.wire_len)
			check_packet((uint8_t *)buf->data + at + packet.header + 16, packet.caplen);
		assert_true(packet.time >= last);
		last = packet.time;
		at += used;
		count++;
	}
	assert_true(capture_complete(&capture, buf->len - at));
	capture_release(&capture);
	return count;
}

static void checksums(void **state)
{
	for (unsigned seed = 1; seed <= 6; seed++) {
		struct generate_options options = GENERATE_DEFAULTS;
		PFS_BUF struct pfs_buf buf = { 0 };

		options.seed = seed;
		options.packets = 5000;
		options.vlan = 10;
		if (seed % 2)
			options.disorder = options.lost = 100;
		if (seed == 6) {
			options.mix = GENERATE_TALK_FRAGMENTS | GENERATE_TALK_ARP;
			options.rate = 100000;
		}
		assert_int_equal(capture_generate_buf(&options, &buf, NULL), 0);
		assert_int_equal(check_file(&buf), 5000);
	}
}

static void deterministic(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf a = { 0 };
	PFS_BUF struct pfs_buf b = { 0 };
	PFS_BUF struct pfs_buf c = { 0 };

	options.packets = 2000;
	assert_int_equal(capture_generate_buf(&options, &a, NULL), 0);
	assert_int_equal(capture_generate_buf(&options, &b, NULL), 0);
	options.seed = 2;
	assert_int_equal(capture_generate_buf(&options, &c, NULL), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_true(a.len != c.len || memcmp(a.data, c.data, a.len) != 0);
}

static void limits(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_CLOSE int fd = memfd_create("capture", MFD_CLOEXEC);
	PFS_BUF struct pfs_buf buf = { 0 };
	struct generate_counts counts;

	assert_int_equal(capture_generate_buf(&options, &buf, NULL), -EINVAL); /* how much? */
	options.bytes = 3000000;
	options.mix = 0;
	assert_int_equal(capture_generate_buf(&options, &buf, NULL), -EINVAL);
	options.mix = GENERATE_TALK_HTTP;
	options.rate = 0;
	assert_int_equal(capture_generate_buf(&options, &buf, NULL), -EINVAL);
	options.rate = 10;
	options.snaplen = 80;
	options.micro = true;
	assert_int_equal(capture_generate_fd(&options, fd, &counts), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), counts.bytes);
	assert_in_range(counts.bytes, 3000000 - 16 - 80, 3000000);
	assert_int_equal(counts.of[GENERATE_TCP], counts.packets);
	assert_int_equal(counts.of[GENERATE_IP] + counts.of[GENERATE_IP6], counts.packets);
	options.bytes = 100;
	assert_int_equal(capture_generate_fd(&options, -1, &counts), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums),
		cmocka_unit_test(deterministic),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
