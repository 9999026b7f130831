/*
 * capture - files of every kind built here, cut into pieces of every size, broken in every way; and the same
 * answers as libpcap on the files of $PFS_PCAPS
 */
#include "bytes_help.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <pcap/pcap.h>

#include "base/bytes.h"
#include "packet/capture.h"
#include "packet/generate.h"

/* --- files, byte by byte ---------------------------------------------------------------- */

struct file {
	struct pfs_buf buf;
	bool big;
};

static void put16(struct file *f, uint16_t v)
{
	uint8_t b[2];

	be16_store(b, v);
	if (!f->big)
		le16_store(b, v);
	pfs_buf_add(&f->buf, b, 2);
}

static void put32(struct file *f, uint32_t v)
{
	uint8_t b[4];

	be32_store(b, v);
	if (!f->big)
		le32_store(b, v);
	pfs_buf_add(&f->buf, b, 4);
}

static void put64(struct file *f, uint64_t v)
{
	put32(f, (uint32_t)(f->big ? v >> 32 : v));
	put32(f, (uint32_t)(f->big ? v : v >> 32));
}

static void put_bytes(struct file *f, const void *p, size_t n)
{
	pfs_buf_add(&f->buf, p, n);
	while (f->buf.len % 4)
		pfs_buf_add(&f->buf, "", 1);
}

static void put_pcap(struct file *f, uint32_t magic, unsigned major, unsigned minor, uint32_t link)
{
	put32(f, magic);
	put16(f, (uint16_t)major);
	put16(f, (uint16_t)minor);
	put32(f, 0);
	put32(f, 0);
	put32(f, 65535);
	put32(f, link);
}

/* A block around what `body` puts between its two lengths. */
static size_t block_begin(struct file *f, uint32_t type)
{
	size_t at = f->buf.len;

	put32(f, type);
	put32(f, 0);
	return at;
}

static void block_end(struct file *f, size_t at)
{
	uint32_t total = (uint32_t)(f->buf.len - at + 4);
	struct file length = { .big = f->big };

	put32(f, total);
	put32(&length, total);
	memcpy(f->buf.data + at + 4, length.buf.data, 4);
	pfs_buf_release(&length.buf);
}

static void put_section(struct file *f)
{
	size_t at = block_begin(f, 0x0a0d0d0a);

	put32(f, 0x1a2b3c4d);
	put16(f, 1);
	put16(f, 0);
	put64(f, UINT64_MAX);
	block_end(f, at);
}

static void put_option(struct file *f, uint16_t code, const void *value, uint16_t len)
{
	put16(f, code);
	put16(f, len);
	put_bytes(f, value, len);
}

#define NO_RESOLUTION (-1)

static void put_interface(struct file *f, uint16_t link, const char *name, int resolution,
			  int64_t offset)
{
	size_t at = block_begin(f, 1);
	uint8_t r = (uint8_t)resolution;

	put16(f, link);
	put16(f, 0);
	put32(f, 0);
	if (name)
		put_option(f, 2, name, (uint16_t)strlen(name));
	if (resolution != NO_RESOLUTION)
		put_option(f, 9, &r, 1);
	if (offset) {
		put16(f, 14);
		put16(f, 8);
		put64(f, (uint64_t)offset);
	}
	put_option(f, 0, "", 0);
	block_end(f, at);
}

/* type 6: enhanced; 2: the obsolete one. flags 0: no option. */
static void put_packet(struct file *f, uint32_t type, uint16_t interface, uint64_t ticks,
		       const char *data, uint32_t wire_len, uint32_t flags)
{
	size_t at = block_begin(f, type);

	if (type == 6) {
		put32(f, interface);
	} else {
		put16(f, interface);
		put16(f, 7); /* drops */
	}
	put32(f, (uint32_t)(ticks >> 32));
	put32(f, (uint32_t)ticks);
	put32(f, (uint32_t)strlen(data));
	put32(f, wire_len);
	put_bytes(f, data, strlen(data));
	if (flags) {
		put_option(f, 1, "a comment", 9);
		put16(f, 2);
		put16(f, 4);
		put32(f, flags);
		put_option(f, 0, "", 0);
	}
	block_end(f, at);
}

static void put_simple(struct file *f, const char *data, uint32_t wire_len)
{
	size_t at = block_begin(f, 3);

	put32(f, wire_len);
	put_bytes(f, data, strlen(data));
	block_end(f, at);
}

/* --- reading ------------------------------------------------------------------------------ */

/* What a test sees of a packet. */
struct seen {
	uint64_t time;
	uint32_t caplen;
	uint32_t wire_len;
	uint16_t link_type;
	uint16_t flags; /* no padding: compared by memcmp */
	uint32_t hash;	/* of its bytes */
};

static uint32_t hash(const uint8_t *p, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

/*
 * Reads a file that arrives `piece` bytes at a time, keeping what was not consumed in memory of exactly that
 * size. Returns how many packets were seen, *ret_end is 0, 1 (cut off) or the error.
 */
static size_t read_pieces(const uint8_t *file, size_t len, size_t piece, struct seen *seen,
			  size_t max, int *ret_end)
{
	struct capture capture;
	struct pfs_diag diag = { "" };
	size_t from = 0, to = 0, count = 0, need = 0;
	int r = 0;

	capture_init(&capture, CAPTURE_ANY);
	while (to < len) {
		size_t consumed = 0;

		to = pfs_min(len, pfs_max(to + piece, need > piece && piece > 64 ? from + need : 0));
		for (;;) {
			PFS_FREE uint8_t *copy = malloc(to - from ? to - from : 1);
			struct capture_packet packet;

			memcpy(copy, file + from, to - from);
			r = capture_next(&capture, copy, to - from, &consumed, &packet, &need, &diag);
			if (r < 0)
				break;
			assert_true(consumed <= to - from);
			if (r == 0) {
				assert_true(need > to - from - consumed); /* or it would have gone on */
				from += consumed;
				break;
			}
			assert_true(packet.header + pfs_hdr_size(packet.hdr) + packet.caplen <=
				    consumed);
			assert_true(packet.interface < capture.ninterfaces);
			if (count < max)
				seen[count] = (struct seen){
					packet.time,
					packet.caplen,
					packet.wire_len,
					capture.interfaces[packet.interface].origin.link_type,
					packet.flags,
					hash(copy + packet.header + pfs_hdr_size(packet.hdr), packet.caplen),
				};
			count++;
			from += consumed;
		}
		if (r < 0)
			break;
	}
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		assert_true(diag.text[0]);
		assert_null(strchr(diag.text, '\n'));
	}
	*ret_end = r < 0 ? r : !capture_complete(&capture, len - from);
	capture_release(&capture);
	return count;
}

static size_t read_all(const struct file *f, struct seen *seen, size_t max, int *ret_end)
{
	return read_pieces((const uint8_t *)f->buf.data, f->buf.len, f->buf.len, seen, max, ret_end);
}

/* The same in pieces of many sizes, and cut off anywhere. */
static void check_pieces(const struct file *f)
{
	static const size_t sizes[] = { 1, 2, 3, 5, 7, 8, 13, 16, 24, 31, 64, 100, 999, 4096 };
	const uint8_t *p = (const uint8_t *)f->buf.data;
	struct seen whole[64], got[64];
	int end, end_got;
	size_t n = read_all(f, whole, ARRAY_SIZE(whole), &end);

	assert_true(n <= ARRAY_SIZE(whole));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t k = read_pieces(p, f->buf.len, sizes[i], got, ARRAY_SIZE(got), &end_got);

		assert_int_equal(k, n);
		assert_int_equal(end_got, end);
		assert_memory_equal(got, whole, n * sizeof(*got));
	}
	for (size_t len = 0; len < f->buf.len; len++) {
		size_t k = read_pieces(p, len, len ? len : 1, got, ARRAY_SIZE(got), &end_got);

		assert_true(k <= n);
		assert_memory_equal(got, whole, k * sizeof(*got));
	}
}

/* --- pcap --------------------------------------------------------------------------------- */

static void pcap_matrix(void **state)
{
	static const struct {
		uint32_t magic;
		uint64_t unit;
		bool modified;
	} kinds[] = {
		{ 0xa1b2c3d4, 1000000, false },
		{ 0xa1b23c4d, 1000000000, false },
		{ 0xa1b2cd34, 1000000, true },
	};
	static const struct {
		unsigned major, minor;
		bool swapped;
	} versions[] = {
		{ 2, 4, false }, { 2, 3, false }, { 2, 3, true }, { 2, 2, true }, { 543, 0, true }
	};

	for (size_t k = 0; k < ARRAY_SIZE(kinds) * ARRAY_SIZE(versions) * 2; k++) {
		size_t kind = k / 2 % ARRAY_SIZE(kinds), v = k / 2 / ARRAY_SIZE(kinds);
		struct file f = { .big = k % 2 };
		struct seen seen[3] = { 0 };
		int end;

		put_pcap(&f, kinds[kind].magic, versions[v].major, versions[v].minor, 0x34000001);
		for (uint32_t i = 0; i < 2; i++) {
			uint32_t sec = i ? UINT32_MAX : 1700000000, caplen = 10, len = 10 + i * 50;

			put32(&f, sec);
			put32(&f, 999999);
			put32(&f, versions[v].swapped ? len : caplen);
			put32(&f, versions[v].swapped ? caplen : len);
			if (kinds[kind].modified) {
				put32(&f, 3);
				put16(&f, 0x0800);
				pfs_buf_add(&f.buf, i ? "\4" : "\0", 2);
			}
			pfs_buf_add(&f.buf, "0123456789", 10);
		}
		assert_int_equal(read_all(&f, seen, 3, &end), 2);
		assert_int_equal(end, 0);
		for (uint32_t i = 0; i < 2; i++) {
			uint64_t sec = i ? UINT32_MAX : 1700000000;

			assert_int_equal(seen[i].time,
					 sec * 1000000000 + 999999 * (1000000000 / kinds[kind].unit));
			assert_int_equal(seen[i].caplen, 10);
			assert_int_equal(seen[i].wire_len, 10 + i * 50);
			assert_int_equal(seen[i].link_type, 1); /* without the bits of the FCS */
			assert_int_equal(seen[i].hash, hash((const uint8_t *)"0123456789", 10));
			assert_int_equal(seen[i].flags, !kinds[kind].modified ? 0
							: i		      ? PFS_REC_OUT
									      : PFS_REC_IN);
		}
		check_pieces(&f);
		pfs_buf_release(&f.buf);
	}
}

static void link_types(void **state)
{
	static const struct {
		uint32_t file;
		uint16_t link;
	} table[] = {
		{ 1, 1 },
		{ 276, 276 },
		{ 65533, 65533 },
		{ 65534, CAPTURE_LINK_UNKNOWN },
		{ 65535, CAPTURE_LINK_UNKNOWN }, /* PFS_LINK_BYTES is ours */
		{ 65536 + 1, CAPTURE_LINK_UNKNOWN },
		{ 0x03ffffff, CAPTURE_LINK_UNKNOWN },
		{ 0xfc000071, 0x71 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct file f = { 0 };
		struct seen seen;
		int end;

		put_pcap(&f, 0xa1b2c3d4, 2, 4, table[i].file);
		for (int k = 0; k < 4; k++)
			put32(&f, 0); /* a packet of no bytes */
		assert_int_equal(read_all(&f, &seen, 1, &end), 1);
		assert_int_equal(seen.link_type, table[i].link);
		pfs_buf_release(&f.buf);
	}
}

/* --- pcapng ------------------------------------------------------------------------------- */

static void times(void **state)
{
	static const struct {
		int resolution;
		int64_t offset;
		uint64_t ticks;
		uint64_t time;
	} table[] = {
		{ NO_RESOLUTION, 0, 1700000000123456, 1700000000123456000 },
		{ 0, 0, 1700000000, 1700000000000000000 },
		{ 3, 0, 1700000000123, 1700000000123000000 },
		{ 6, 0, 1700000000123456, 1700000000123456000 },
		{ 6, 0, UINT64_MAX, UINT64_MAX }, /* the year 586512: as late as ns can say */
		{ 7, 0, 17000000001234567, 1700000000123456700 },
		{ 9, 0, 1700000000123456789, 1700000000123456789 },
		{ 9, 0, UINT64_MAX, UINT64_MAX },
		{ 12, 0, 1700000000123456789, 1700000000123456 },
		{ 19, 0, 15000000000000000000u, 1500000000 },
		{ 0x80, 0, 1700000000, 1700000000000000000 },
		{ 0x80 | 1, 0, 3400000001, 1700000000500000000 },
		{ 0x80 | 10, 0, 1700000000 * 1024ull + 512, 1700000000500000000 },
		{ 0x80 | 30, 0, 1700000000ull << 30 | 1u << 28, 1700000000250000000 },
		{ 0x80 | 32, 0, 1700000000ull << 32 | 0x80000000, 1700000000500000000 },
		{ 0x80 | 63, 0, 0xc000000000000000, 1500000000 },
		{ 0x80 | 63, 0, UINT64_MAX, 1999999999 },
		{ 6, 3600, 1700000000000000, 1700003600000000000 },
		{ 6, -3600, 1700000000000000, 1699996400000000000 },
		{ 9, -1, 999999999, 0 }, /* before 1970 */
		{ 9, -1, 1000000000, 0 },
		{ 9, -1, 1000000001, 1 },
		{ 9, INT64_MAX, 5, (uint64_t)INT64_MAX + 5 },
		{ 9, INT64_MIN, UINT64_MAX, INT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table) * 2; i++) {
		struct file f = { .big = i % 2 };
		struct seen seen;
		int end;

		put_section(&f);
		put_interface(&f, 1, NULL, table[i / 2].resolution, table[i / 2].offset);
		put_packet(&f, 6, 0, table[i / 2].ticks, "abc", 3, 0);
		assert_int_equal(read_all(&f, &seen, 1, &end), 1);
		if (seen.time != table[i / 2].time)
			print_message("row %zu\n", i / 2);
		assert_int_equal(seen.time, table[i / 2].time);
		pfs_buf_release(&f.buf);
	}
}

/* Two sections of different byte order with everything in them. */
static void everything(struct file *f, bool big)
{
	for (int section = 0; section < 2; section++) {
		size_t at;

		f->big = big ^ section;
		put_section(f);
		put_interface(f, 1, "eth0", 9, 0);
		put_interface(f, 276, "any", 6, 0);
		put_packet(f, 6, 1, 1700000000000001, "one", 3, 0);
		at = block_begin(f, 4); /* names */
		put32(f, 0);
		block_end(f, at);
		put_packet(f, 6, 0, 1700000000000000002, "two++", 100, 1);
		put_packet(f, 2, 1, 1700000000000003, "three", 5, 2);
		put_simple(f, "four", 4);
		put_simple(f, "five", 1500); /* cut, and not said how much: the block's room */
		put_interface(f, 101, NULL, NO_RESOLUTION, 0);
		at = block_begin(f, 0x80000bad); /* somebody's own */
		put_bytes(f, "0123456789abcdef", 16);
		block_end(f, at);
		put_packet(f, 6, 2, 6, "", 6, 3);
		at = block_begin(f, 5); /* statistics */
		put32(f, 0);
		put64(f, 0);
		block_end(f, at);
	}
}

static void pcapng_everything(void **state)
{
	static const struct seen want[] = {
		{ 1700000000000001000, 3, 3, 276, 0, 0 },
		{ 1700000000000000002, 5, 100, 1, PFS_REC_IN, 0 },
		{ 1700000000000003000, 5, 5, 276, PFS_REC_OUT, 0 },
		{ 0, 4, 4, 1, 0, 0 },
		{ 0, 4, 1500, 1, 0, 0 },
		{ 6000, 0, 6, 101, 0, 0 },
	};

	for (int big = 0; big < 2; big++) {
		struct file f = { 0 };
		struct seen seen[13];
		int end;

		everything(&f, big);
		assert_int_equal(read_all(&f, seen, 13, &end), 12);
		assert_int_equal(end, 0);
		for (size_t i = 0; i < 12; i++) {
			seen[i].hash = 0;
			assert_memory_equal(&seen[i], &want[i % 6], sizeof(seen[i]));
		}
		check_pieces(&f);
		pfs_buf_release(&f.buf);
	}
}

static void origins(void **state)
{
	struct file f = { .big = true };
	struct capture_packet packet;
	struct capture capture;
	size_t used, need;
	char longname[100];
	const struct pfs_origin *o;

	/* 61 ASCII, then two characters of three bytes: the second would be cut in half */
	memset(longname, 'x', 58);
	memcpy(longname + 58, "\xe2\x82\xac\xe2\x82\xac", 7);
	put_section(&f);
	put_interface(&f, 1, "wl\nan\x1b[0m", 9, -5);
	put_interface(&f, 113, longname, 0x80 | 20, 0);
	put_packet(&f, 6, 0, 1, "x", 1, 0);
	put_section(&f);
	put_interface(&f, 127, NULL, NO_RESOLUTION, 0);
	put_packet(&f, 6, 0, 1, "x", 1, 0);
	capture_init(&capture, CAPTURE_PCAPNG);
	assert_int_equal(capture.generation, 0);
	assert_int_equal(capture_next(&capture, (uint8_t *)f.buf.data, f.buf.len, &used, &packet,
				      &need, NULL),
			 1);
	assert_int_equal(capture.generation, 1);
	assert_int_equal(capture.ninterfaces, 2);
	o = &capture.interfaces[0].origin;
	assert_string_equal(o->name, "wl?an?[0m");
	assert_int_equal(o->link_type, 1);
	assert_int_equal(o->big_endian, 1);
	assert_int_equal(o->time_unit, 1000000000);
	assert_int_equal(o->time_offset, -5000000000);
	o = &capture.interfaces[1].origin;
	assert_int_equal(strlen(o->name), 61);
	assert_int_equal(o->time_unit, 1 << 20);
	assert_int_equal(capture_next(&capture, (uint8_t *)f.buf.data + used, f.buf.len - used,
				      &used, &packet, &need, NULL),
			 1);
	assert_int_equal(capture.generation, 2);
	assert_int_equal(capture.ninterfaces, 1);
	assert_int_equal(capture.interfaces[0].origin.link_type, 127);
	assert_string_equal(capture.interfaces[0].origin.name, "");
	capture_release(&capture);
	pfs_buf_release(&f.buf);
}

/* --- what is wrong ------------------------------------------------------------------------ */

/* Changes one 32-bit field of a good file; it must be refused after so many packets. */
static void broken(void **state)
{
	enum { PCAP, NG };
	static const struct {
		int file;
		size_t at;
		uint32_t value;
		size_t packets;
	} table[] = {
		{ PCAP, 0, 0x11223344, 0 },
		{ PCAP, 4, 0x00050002, 0 }, /* version 2.5 */
		{ PCAP, 24 + 8, CAPTURE_PACKET_MAX + 1, 0 },
		{ PCAP, 24 + 8, UINT32_MAX, 0 },
		{ NG, 0, 6, 0 },
		{ NG, 8, 0x12345678, 0 }, /* no byte order */
		{ NG, 12, 2, 0 },	  /* version 2.0 */
		{ NG, 4, 24, 0 },
		{ NG, 4, 29, 0 },
		{ NG, 28 + 4, 0, 0 }, /* a block that would never end */
		{ NG, 28 + 4, 8, 0 },
		{ NG, 28 + 4, 21, 0 },
		{ NG, 28 + 4, 16, 0 },
		{ NG, 28 + 4, CAPTURE_BLOCK_MAX + 4, 0 },
		{ NG, 28 + 28, 99, 0 },		/* the length again */
		{ NG, 28 + 16, 0x01000009, 0 }, /* an option longer than the block */
		{ NG, 28 + 16, 0x00020009, 0 }, /* a resolution of two bytes */
		{ NG, 28 + 20, 20, 0 },		/* 10^20 */
		{ NG, 28 + 20, 0xc0, 0 },	/* 2^64 */
		{ NG, 28 + 32 + 8, 1, 0 },	/* no such interface */
		{ NG, 28 + 32 + 8, UINT32_MAX, 0 },
		{ NG, 28 + 32 + 20, 5, 0 }, /* more than there is room for */
		{ NG, 28 + 32 + 20, UINT32_MAX, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct file f = { 0 };
		struct capture capture;
		struct capture_packet packet;
		struct pfs_diag diag = { "" };
		size_t used, need;
		int end;

		if (table[i].file == PCAP) {
			put_pcap(&f, 0xa1b2c3d4, 2, 4, 1);
			for (int k = 0; k < 4; k++)
				put32(&f, k >= 2 ? 4 : 0);
			put_bytes(&f, "data", 4);
		} else {
			put_section(&f);
			put_interface(&f, 1, NULL, 6, 0);
			put_packet(&f, 6, 0, 0, "data", 4, 0);
		}
		le32_store((uint8_t *)f.buf.data + table[i].at, table[i].value);
		if (read_all(&f, NULL, 0, &end) != table[i].packets || end != -EBADMSG)
			print_message("row %zu: %d\n", i, end);
		assert_int_equal(end, -EBADMSG);
		/* ... and stays refused, whatever comes. */
		capture_init(&capture, CAPTURE_ANY);
		while (capture_next(&capture, (uint8_t *)f.buf.data, f.buf.len, &used, &packet,
				    &need, &diag) > 0)
			;
		assert_true(diag.text[0]);
		diag.text[0] = '\0';
		assert_int_equal(capture_next(&capture, NULL, 0, &used, &packet, &need, &diag),
				 -EBADMSG);
		assert_true(diag.text[0]);
		capture_release(&capture);
		pfs_buf_release(&f.buf);
	}
}

static int first(enum capture_format wanted, const char *bytes, size_t n, struct pfs_diag *diag)
{
	struct capture_packet packet;
	struct capture capture;
	size_t used, need;
	int r;

	capture_init(&capture, wanted);
	r = capture_next(&capture, (const uint8_t *)bytes, n, &used, &packet, &need, diag);
	capture_release(&capture);
	return r;
}

static void wrong_format(void **state)
{
	struct pfs_diag diag;

	assert_int_equal(first(CAPTURE_PCAPNG, "\xd4\xc3\xb2\xa1", 4, &diag), -EBADMSG);
	assert_non_null(strstr(diag.text, "pcapng"));
	assert_int_equal(first(CAPTURE_PCAP, "\x0a\x0d\x0d\x0a", 4, &diag), -EBADMSG);
	assert_int_equal(first(CAPTURE_ANY, "\x1f\x8b\x08\0", 4, &diag), -EBADMSG);
	assert_non_null(strstr(diag.text, "compressed"));
	assert_int_equal(first(CAPTURE_ANY, "GET ", 4, &diag), -EBADMSG);
	assert_int_equal(first(CAPTURE_ANY, "\xd4\xc3", 2, &diag), 0);
	assert_int_equal(first(CAPTURE_ANY, "", 0, &diag), 0);
}

static void many_interfaces(void **state)
{
	struct file f = { 0 };
	int end;

	put_section(&f);
	for (unsigned i = 0; i <= CAPTURE_INTERFACES_MAX; i++)
		put_interface(&f, 1, NULL, NO_RESOLUTION, 0);
	read_all(&f, NULL, 0, &end);
	assert_int_equal(end, -EBADMSG);
	pfs_buf_release(&f.buf);
}

/* --- what the generator writes ---------------------------------------------------------------- */

static void generated(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct generate_options options = GENERATE_DEFAULTS;
		struct generate_counts counts;
		struct seen *seen = pfs_zalloc(3000, sizeof(*seen));
		struct file f = { 0 };
		uint64_t last = 0;
		size_t n;
		int end;

		options.seed = i + 1;
		options.packets = 3000;
		options.micro = i & 1;
		options.snaplen = i & 2 ? 96 : 0;
		assert_int_equal(capture_generate_buf(&options, &f.buf, &counts), 0);
		assert_int_equal(f.buf.len, counts.bytes);
		n = read_pieces((uint8_t *)f.buf.data, f.buf.len, i & 1 ? 65536 : 1500, seen, 3000,
				&end);
		assert_int_equal(n, 3000);
		assert_int_equal(counts.packets, 3000);
		assert_int_equal(end, 0);
		assert_int_equal(seen[0].time, counts.first / (i & 1 ? 1000 : 1) * (i & 1 ? 1000 : 1));
		for (size_t k = 0; k < n; k++) {
			assert_true(seen[k].time >= last);
			assert_true(!(i & 2) || seen[k].caplen <= 96);
			last = seen[k].time;
		}
		free(seen);
		pfs_buf_release(&f.buf);
	}
}

/* --- libpcap ---------------------------------------------------------------------------------- */

static size_t compare_packets(const char *path, const uint8_t *file, size_t len, pcap_t *pcap)
{
	struct capture capture;
	struct pfs_diag diag = { "" };
	size_t at = 0, count = 0;
	int r, lr;

	capture_init(&capture, CAPTURE_ANY);
	for (;;) {
		struct capture_packet packet;
		struct pcap_pkthdr *h;
		const u_char *data;
		size_t used = 0, need;
		uint64_t time;

		r = capture_next(&capture, file + at, len - at, &used, &packet, &need, &diag);
		lr = pcap_next_ex(pcap, &h, &data);
		if (r <= 0 || lr <= 0)
			break;
		time = (uint64_t)h->ts.tv_sec * 1000000000u + (uint64_t)h->ts.tv_usec;
		if (capture.format == CAPTURE_PCAP) /* libpcap reads seconds above 2^31 as negative */
			time = (uint32_t)h->ts.tv_sec * UINT64_C(1000000000) + (uint64_t)h->ts.tv_usec;
		assert_int_equal(packet.time, time);
		assert_int_equal(pfs_min(packet.caplen, (unsigned)pcap_snapshot(pcap)), h->caplen);
		assert_int_equal(packet.wire_len, h->len);
		assert_memory_equal(file + at + packet.header + pfs_hdr_size(packet.hdr), data,
				    h->caplen);
		at += used;
		count++;
	}
	/* libpcap takes one link type and one snaplen a file; we take all. */
	if (lr == -1 && r == 1 &&
	    (strstr(pcap_geterr(pcap), "different from") || strstr(pcap_geterr(pcap), "snaplen")))
		print_message("%s: libpcap gives up: %s\n", path, pcap_geterr(pcap));
	else if ((r == 0) != (lr == PCAP_ERROR_BREAK))
		fail_msg("%s: after %zu packets %d (%s), libpcap %d (%s)", path, count, r,
			 diag.text, lr, pcap_geterr(pcap));
	capture_release(&capture);
	return count;
}

static void as_libpcap(void **state)
{
	const char *dir = getenv("PFS_PCAPS");
	size_t files = 0, packets = 0, refused = 0;
	struct dirent *entry;
	DIR *d = dir ? opendir(dir) : NULL;

	if (!d) {
		print_message("PFS_PCAPS names no directory of captures\n");
		skip();
	}
	while (d && (entry = readdir(d))) {
		char path[4096], error[PCAP_ERRBUF_SIZE];
		PFS_FREE uint8_t *file = NULL;
		pcap_t *pcap;
		size_t len;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] == '.' || !strstr(entry->d_name, ".pcap"))
			continue;
		file = read_file(path, &len);
		pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, error);
		if (!file || !pcap) {
			int end = 0;

			if (file)
				read_pieces(file, len, len, NULL, 0, &end);
			refused += end != 0;
			continue;
		}
		packets += compare_packets(path, file, len, pcap);
		files++;
		pcap_close(pcap);
	}
	if (d)
		closedir(d);
	assert_true(files > 0);
	print_message("%zu files, %zu packets as libpcap reads them, %zu files refused by both\n",
		      files, packets, refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap_matrix),	cmocka_unit_test(link_types),
		cmocka_unit_test(times),	cmocka_unit_test(pcapng_everything),
		cmocka_unit_test(origins),	cmocka_unit_test(broken),
		cmocka_unit_test(wrong_format), cmocka_unit_test(many_interfaces),
		cmocka_unit_test(generated),	cmocka_unit_test(as_libpcap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
