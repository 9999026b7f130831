/*
 * dissect - layers, ports, payloads and text of packets built here, of all their truncations and of broken
 * ones; the verdicts of pcap-filter(7) on generated traffic and on the files of $PFS_PCAPS
 */
#include "bytes_help.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>
#include <cmocka.h>
#include <pcap/pcap.h>

#include "base/bytes.h"
#include "packet/capture.h"
#include "packet/dissect.h"
#include "packet/dns.h"
#include "packet/generate.h"

#define NONE PFS_LAYER_NONE

/* IPv4, UDP 1 > 2, four bytes; IPv6 likewise. */
#define IP4 "4500 0020 0001 0000 4011 0000 0a000001 0a000002"
#define UDP "0001 0002 000c 0000 61626364"
#define IP6 "6000 0000 000c 1140 20010db8000000000000000000000001 20010db8000000000000000000000002"
#define MACS "020000000002 020000000001"
#define SNAP "aaaa03 000000"

/* --- link types -------------------------------------------------------------------------- */

static const struct {
	uint16_t link;
	const char *header;
	bool six;
	int vlan; /* id + 1; 0: none */
} links[] = {
	{ 1, MACS "0800", false, 0 },
	{ 1, MACS "86dd", true, 0 },
	{ 1, MACS "8100 e00a 0800", false, 11 },
	{ 1, MACS "88a8 0064 8100 000a 86dd", true, 101 },
	{ 1, MACS "9100 0064 8100 000a 8100 0001 0800", false, 101 },
	{ 0, "02000000", false, 0 },
	{ 0, "00000002", false, 0 },
	{ 0, "1e000000", true, 0 },
	{ 0, "0000001c", true, 0 },
	{ 108, "00000002", false, 0 },
	{ 108, "00000018", true, 0 },
	{ 109, "02000000 00000000 00000000", false, 0 },
	{ 6, "1040 " MACS SNAP "0800", false, 0 },
	{ 7, "0102 d4 000000", false, 0 },
	{ 7, "0102 f0", false, 0 },
	{ 129, "0102 0000 d4 000000", false, 0 },
	{ 129, "0102 0000 f0", false, 0 },
	{ 129, "0102 0000 c4 000000", true, 0 },
	{ 8, "00 00000000000000 0000000000000000", false, 0 },
	{ 102, "0000000000000000 0000000000000000 0000000000000000", true, 0 },
	{ 9, "ff03 0021", false, 0 },
	{ 9, "ff03 0057", true, 0 },
	{ 9, "0021", false, 0 },
	{ 50, "0f00 0800", false, 0 },
	{ 51, "1100 0001 0022 0021", false, 0 },
	{ 166, "0003 0021", false, 0 },
	{ 204, "01 ff03 0057", true, 0 },
	{ 10, "50 " MACS SNAP "86dd", true, 0 },
	{ 12, "", false, 0 },
	{ 14, "", true, 0 },
	{ 101, "", false, 0 },
	{ 101, "", true, 0 },
	{ 228, "", false, 0 },
	{ 229, "", true, 0 },
	{ 99,
	  "000000000000 0800 000000000000000000000000000000000000000000000000000000000000"
	  "000000000000",
	  false, 0 },
	{ 100, SNAP "0800", false, 0 },
	{ 104, "0f00 0800", false, 0 },
	{ 107, "1841 03cc", false, 0 },
	{ 107, "1841 038e", true, 0 },
	{ 105, "0800 0000" MACS "020000000003 0000" SNAP "0800", false, 0 },
	{ 105, "8800 0000" MACS "020000000003 0000 0000" SNAP "0800", false, 0 },
	{ 105, "0803 0000" MACS "020000000003 0000 020000000004" SNAP "86dd", true, 0 },
	{ 105, "8880 0000" MACS "020000000003 0000 0000 00000000" SNAP "0800", false, 0 },
	{ 127, "0000 0800 00000000 0800 0000" MACS "020000000003 0000" SNAP "0800", false, 0 },
	{ 127, "0000 0900 02000000 20 8800 0000" MACS "020000000003 0000 0000 0000" SNAP "0800",
	  false, 0 },
	{ 163, "80211001 00000008 0800 0000" MACS "020000000003 0000" SNAP "0800", false, 0 },
	{ 119, "80211001 00000008 0800 0000" MACS "020000000003 0000" SNAP "0800", false, 0 },
	{ 192, "0000 0800 69000000 0800 0000" MACS "020000000003 0000" SNAP "0800", false, 0 },
	{ 113, "0000 0001 0006 020000000001 0000 0800", false, 0 },
	{ 113, "0000 0001 0006 020000000001 0000 8100 0005 0800", false, 6 },
	{ 276, "86dd 0000 00000001 0001 00 06 0200000000010000", true, 0 },
	{ 117, "0702 0000 00000000", false, 0 },
	{ 122, "0000000000000000 0000000000000000" SNAP "0800", false, 0 },
	{ 123, "02000000" SNAP "0800", false, 0 },
	{ 138, "0000000000000000 0000000000000000 0800", false, 0 },
	{ 226, "0102 0000 0000000000000000000000000000000000000000", false, 0 },
	{ 226, "011a 0000 0000000000000000000000000000000000000000", true, 0 },
	{ 239, "0200 0000 0800 0100 0800 0300 2400 0900", false, 0 },
	{ 239, "0a00 0000 0038 0009", true, 0 },
	{ 240, "00000000" MACS "0800", false, 0 },
	{ 241, "00000000 55555555555555d5" MACS "0800", false, 0 },
	{ 258, "10000000 00000000 01000000 00000000" MACS "0800", false, 0 },
	{ 258, "10000000 00000000 0c000000 00000000", true, 0 },
	{ 281, MACS "00000000 0800", false, 0 },
	{ 284, MACS "00000000 0800", false, 0 },
	{ 285, MACS "dada0000 00000000 0800", false, 0 },
};

static void link_types(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		uint8_t p[256];
		size_t l3 = from_hex(links[i].header, p, sizeof(p)), l4 = l3, n;
		struct pfs_ref ref = { .pos = 77, .class_ = 5 };
		uint16_t src, dst;
		size_t off, len;

		l4 += from_hex(links[i].six ? IP6 : IP4, p + l4, sizeof(p) - l4);
		n = l4 + from_hex(UDP, p + l4, sizeof(p) - l4);
		pkt_dissect(p, n, links[i].link, &ref);
		if (ref.l3 != l3 || ref.l4 != l4)
			print_message("row %zu, link type %u: %u %u\n", i, links[i].link, ref.l3,
				      ref.l4);
		assert_int_equal(ref.ethertype, links[i].six ? 0x86dd : 0x0800);
		assert_int_equal(ref.l3, l3);
		assert_int_equal(ref.l4, l4);
		assert_int_equal(ref.proto, 17);
		assert_int_equal(ref.pos, 77); /* not touched */
		assert_int_equal(ref.class_, 5);
		assert_true(pkt_ports(p, n, &ref, &src, &dst));
		assert_int_equal(src, 1);
		assert_int_equal(dst, 2);
		assert_true(pkt_payload(p, n, &ref, &off, &len));
		assert_memory_equal(p + off, "abcd", len);
		assert_int_equal(len, 4);
		assert_int_equal(pkt_vlan(p, n, links[i].link), links[i].vlan - 1);
	}
}

/* --- IP -------------------------------------------------------------------------------------- */

static const struct {
	const char *packet; /* of link type RAW, or of `ether` behind two addresses */
	uint16_t ether;
	uint16_t ethertype, l4;
	uint8_t proto;
	int payload; /* length, -1: none known */
} packets[] = {
	{ "4600 0024 0001 0000 4011 0000 0a000001 0a000002 01010101" UDP, 0, 0x800, 24, 17, 4 },
	{ "4500 0020 0001 2000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, 20, 17, 4 }, /* first fragment */
	{ "4500 0020 0001 2001 4011 0000 0a000001 0a000002" UDP, 0, 0x800, NONE, 17, -1 },
	{ "4500 0020 0001 0001 4011 0000 0a000001 0a000002" UDP, 0, 0x800, NONE, 17, -1 },
	{ "4400 0020 0001 0000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, NONE, 17, -1 },
	{ "4f00 0020 0001 0000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, NONE, 17, -1 },
	{ "4500 0013 0001 0000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, NONE, 17, -1 },
	{ "4500 0000 0001 0000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, 20, 17, 4 }, /* GSO */
	{ "4500 001e 0001 0000 4011 0000 0a000001 0a000002" UDP, 0, 0x800, 20, 17, 2 }, /* IP is shorter */
	{ IP4 UDP "0000000000000000", 0, 0x800, 20, 17, 4 }, /* padding */
	{ IP4 "0001 0002 000a 0000 61626364", 0, 0x800, 20, 17, 2 },
	{ IP4 "0001 0002 0000 0000 61626364", 0, 0x800, 20, 17, 4 },
	{ IP4 "0001 0002 0007 0000 61626364", 0, 0x800, 20, 17, -1 },
	{ IP4 "0001 0002 ffff 0000 61626364", 0, 0x800, 20, 17, 4 },
	{ "4500 0029 0001 0000 4006 0000 0a000001 0a000002"
	  "0050 0051 00000000 00000000 5018 0000 0000 0000 78",
	  0, 0x800, 20, 6, 1 },
	{ "4500 0029 0001 0000 4006 0000 0a000001 0a000002"
	  "0050 0051 00000000 00000000 4018 0000 0000 0000 78",
	  0, 0x800, 20, 6, -1 },
	{ "4500 0029 0001 0000 4006 0000 0a000001 0a000002"
	  "0050 0051 00000000 00000000 6018 0000 0000 0000 78",
	  0, 0x800, 20, 6, -1 },
	{ "4500 0018 0001 0000 4084 0000 0a000001 0a000002 0001 0002", 0, 0x800, 20, 132, -1 },
	{ IP4 UDP, 0x0800, 0x800, 34, 17, 4 },
	{ IP6 UDP, 0x0800, 0x800, NONE, 1, -1 }, /* says IPv4 and is not */
	{ IP6 UDP, 0x86dd, 0x86dd, 54, 17, 4 },
	{ IP4 UDP, 0x86dd, 0x86dd, NONE, 0, -1 },
	{ "", 0x0800, 0x800, NONE, 0, -1 },
	{ "4500", 0x0800, 0x800, NONE, 0, -1 },
	{ "", 0x0806, 0x806, NONE, 0, -1 },
	{ "", 0x88cc, 0x88cc, NONE, 0, -1 },
	{ "42420300", 0x0040, 0xffff, NONE, 0, -1 }, /* 802.3 */
	{ "", 0, 0xffff, NONE, 0, -1 },
	{ "55", 0, 0xffff, NONE, 0, -1 },
	/* hop by hop, routing, destination options, fragment, UDP */
	{ "6000 0000 002c 0040 20010db8000000000000000000000001 20010db8000000000000000000000002"
	  "2b00 000000000000 3c00 000000000000 2c00 000000000000 1100 0001 00000000" UDP,
	  0, 0x86dd, 72, 17, 4 },
	/* a later fragment; its own protocol is known, its header is not there */
	{ "6000 0000 0014 2c40 20010db8000000000000000000000001 20010db8000000000000000000000002"
	  "1100 0008 00000000" UDP,
	  0, 0x86dd, NONE, 17, -1 },
	/* options that are longer than the packet */
	{ "6000 0000 0014 0040 20010db8000000000000000000000001 20010db8000000000000000000000002"
	  "11ff 0008 00000000" UDP,
	  0, 0x86dd, NONE, 17, -1 },
	{ "6000 0000 0004 0040 20010db8000000000000000000000001 20010db8000000000000000000000002"
	  "1100 0000",
	  0, 0x86dd, NONE, 0, -1 },
	/* jumbogram: length 0 */
	{ "6000 0000 0000 1140 20010db8000000000000000000000001 20010db8000000000000000000000002" UDP,
	  0, 0x86dd, 40, 17, 4 },
	{ "6000 0000 000c 3340 20010db8000000000000000000000001 20010db8000000000000000000000002" UDP,
	  0, 0x86dd, 40, 51, -1 }, /* AH is looked at no further */
};

static void network_layer(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		struct pfs_ref ref = { 0 };
		uint8_t p[256] = { 0 };
		size_t at = 0, n, off, len;
		bool known;

		if (packets[i].ether) {
			be16_store(p + 12, packets[i].ether);
			at = 14;
		}
		n = at + from_hex(packets[i].packet, p + at, sizeof(p) - at);
		pkt_dissect(p, n, packets[i].ether ? 1 : 101, &ref);
		known = pkt_payload(p, n, &ref, &off, &len);
		if (ref.ethertype != packets[i].ethertype || ref.l4 != packets[i].l4 ||
		    ref.proto != packets[i].proto || (known ? (int)len : -1) != packets[i].payload)
			fail_msg("row %zu: ethertype %x l4 %u proto %u payload %d", i,
				 ref.ethertype, ref.l4, ref.proto, known ? (int)len : -1);
	}
}

static void endless_extensions(void **state)
{
	uint8_t p[40 + 8 * 100] = { 0x60, [6] = 60 };
	struct pfs_ref ref;

	for (size_t i = 40; i < sizeof(p); i += 8)
		p[i] = 60;
	p[40 + 8 * 15] = 17; /* sixteen of them may be */
	pkt_dissect(p, sizeof(p), 101, &ref);
	assert_int_equal(ref.l4, 40 + 8 * 16);
	assert_int_equal(ref.proto, 17);
	p[40 + 8 * 15] = 60;
	p[40 + 8 * 16] = 17;
	pkt_dissect(p, sizeof(p), 101, &ref);
	assert_int_equal(ref.l4, NONE);
}

/* --- text ---------------------------------------------------------------------------------------- */

static const char *json_string_end(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		assert_true((unsigned char)*p >= 0x20);
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u') {
			for (int i = 0; i < 4; i++)
				assert_non_null(strchr("0123456789abcdefABCDEF", *++p));
		} else {
			assert_non_null(strchr("\"\\/bfnrt", *p));
		}
		assert_true(*p);
	}
	assert_int_equal(*p, '"');
	return p + 1;
}

static void check_utf8(const char *s)
{
	mbstate_t mb = { 0 };
	size_t n;

	for (; *s; s += n) {
		n = (unsigned char)*s < 0x80 ? 1 : mbrtowc(NULL, s, 8, &mb);
		assert_true(n > 0 && n < 8);
	}
}

/* A string, a number, or a list of strings. */
static const char *json_value_end(const char *p)
{
	size_t digits;

	if (*p == '"')
		return json_string_end(p);
	if (*p == '[') {
		do {
			p++;
			assert_int_equal(*p, '"');
			p = json_string_end(p);
		} while (*p == ',');
		assert_int_equal(*p, ']');
		return p + 1;
	}
	digits = strspn(p, "0123456789");
	assert_true(digits > 0 && (digits == 1 || *p != '0'));
	return p + digits;
}

/* `"name":value` again and again, each name once. */
static void check_json(const struct pfs_buf *buf)
{
	const char *p = buf->data, *names[40];
	size_t lens[40], n = 0;

	assert_non_null(p);
	assert_int_equal(strlen(p), buf->len);
	check_utf8(p);
	for (;;) {
		const char *end;

		assert_int_equal(*p, '"');
		end = json_string_end(p);
		for (size_t i = 0; i < n; i++)
			assert_false(lens[i] == (size_t)(end - p) && memcmp(names[i], p, lens[i]) == 0);
		assert_true(n < 40);
		names[n] = p;
		lens[n++] = (size_t)(end - p);
		p = end;
		assert_int_equal(*p++, ':');
		p = json_value_end(p);
		if (!*p)
			return;
		assert_int_equal(*p++, ',');
	}
}

/* Everything there is, on a copy of exactly this size. */
static void check_any(const uint8_t *bytes, size_t n, uint16_t link_type)
{
	PFS_FREE uint8_t *p = malloc(n ? n : 1);
	PFS_BUF struct pfs_buf summary = { 0 };
	PFS_BUF struct pfs_buf json = { 0 };
	struct pfs_ref ref = { 0 }, narrow;
	struct pkt_http_head head;
	struct pkt_dns d;
	uint16_t src, dst;
	size_t off, len;

	memcpy(p, bytes, n);
	pkt_dissect(p, n, link_type, &ref);
	assert_int_not_equal(ref.ethertype, 0);
	assert_true(ref.l3 == NONE || ref.l3 <= n);
	assert_true(ref.l4 == NONE || (ref.l4 <= n && ref.l4 >= ref.l3));
	pkt_ports(p, n, &ref, &src, &dst);
	if (pkt_payload(p, n, &ref, &off, &len))
		assert_true(off <= n && len <= n - off);
	assert_in_range(pkt_vlan(p, n, link_type) + 1, 0, 4096);
	pkt_http(p, n, &head);
	pkt_dns(p, n, &d);
	pkt_summary(p, n, link_type, &ref, &summary);
	assert_true(summary.len > 0);
	for (size_t i = 0; i < summary.len; i++)
		assert_in_range((unsigned char)summary.data[i], 0x20, 0x7e);
	pkt_json(p, n, link_type, &ref, &json);
	check_json(&json);
	/* Layers found before the record was narrowed. */
	for (size_t cut = 0; cut < n; cut += 1 + n / 8) {
		PFS_FREE uint8_t *less = malloc(cut ? cut : 1);

		memcpy(less, p, cut);
		narrow = ref;
		pkt_ports(less, cut, &narrow, &src, &dst);
		if (pkt_payload(less, cut, &narrow, &off, &len))
			assert_true(off <= cut && len <= cut - off);
		summary.len = 0;
		pkt_summary(less, cut, link_type, &narrow, &summary);
		json.len = 0;
		pkt_json(less, cut, link_type, &narrow, &json);
		check_json(&json);
	}
}

static void summaries(void **state)
{
	static const struct {
		uint16_t link;
		const char *packet;
		const char *summary;
	} table[] = {
		{ 101, IP4 UDP, "10.0.0.1.1 > 10.0.0.2.2: udp len 4" },
		{ 1, MACS "8100 000a 86dd" IP6 UDP, "vlan 10 2001:db8::1.1 > 2001:db8::2.2: udp len 4" },
		{ 101,
		  "4500 0028 0001 0000 4006 0000 0a000001 0a000002 1388 0050 00000001 00000002 5012 0100"
		  "0000 0000",
		  "10.0.0.1.5000 > 10.0.0.2.80: tcp [S.] seq 1 ack 2 win 256 len 0" },
		{ 101,
		  "4500 003c 0001 0000 4006 0000 0a000001 0a000002 1388 0050 00000001 00000002 5018 0100"
		  "0000 0000"
		  "474554202f1b782048545450 2f312e310d0a0d0a",
		  "10.0.0.1.5000 > 10.0.0.2.80: tcp [P.] seq 1 ack 2 win 256 len 20" }, /* an escape: not HTTP */
		{ 101,
		  "4500 003e 0001 0000 4006 0000 0a000001 0a000002 1388 0050 00000001 00000002 5018 0100"
		  "0000 0000"
		  "474554202fc3a4782048545450 2f312e310d0a0d0a",
		  "10.0.0.1.5000 > 10.0.0.2.80: tcp [P.] seq 1 ack 2 win 256 len 22: HTTP GET /\\xc3\\xa4x" },
		{ 1, "ffffffffffff 020000000001 0806 0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002",
		  "arp who-has 10.0.0.2 tell 10.0.0.1" },
		{ 101, "4500 001c 0001 0000 4001 0000 0a000001 0a000002 0800 0000 0007 0001",
		  "10.0.0.1 > 10.0.0.2: icmp echo request id 7 seq 1 len 8" },
		{ 101, "4500 001c 0001 0000 4001 0000 0a000001 0a000002 0303 0000 0000 0000",
		  "10.0.0.1 > 10.0.0.2: icmp port unreachable len 8" },
		{ 101,
		  "4500 0039 0001 0000 4011 0000 0a000001 0a000035 1388 0035 0025 0000"
		  "002a 0100 0001 0000 0000 0000 0361091b 076578616d706c65 00 0001 0001",
		  "10.0.0.1.5000 > 10.0.0.53.53: udp len 29: dns 42 query A a\\x09\\x1b.example" },
		{ 101, "4500 0030 0001 00b9 4011 0000 0a000001 0a000002 00",
		  "10.0.0.1 > 10.0.0.2: udp fragment at 1480 len 28" },
		{ 101, "4500 0030 0001 0000 40c8 0000 0a000001 0a000002 00",
		  "10.0.0.1 > 10.0.0.2: ip proto 200 len 28" },
		{ 101, "4500 0030 0001", "ip, cut off after 6 bytes" },
		{ 1, MACS "88cc 00", "02:00:00:00:00:01 > 02:00:00:00:00:02: lldp len 1" },
		{ 1, MACS "88b5 00", "02:00:00:00:00:01 > 02:00:00:00:00:02: 0x88b5 len 1" },
		{ 1, MACS "0001 00", "02:00:00:00:00:01 > 02:00:00:00:00:02: 802.3 len 15" },
		{ 195, "0102", "link type 195 len 2" },
		{ PFS_LINK_BYTES, "010203", "3 bytes" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct pfs_ref ref = { 0 };
		uint8_t p[256];
		size_t n = from_hex(table[i].packet, p, sizeof(p));

		pkt_summary(p, n, table[i].link, &ref, &out);
		assert_string_equal(out.data, table[i].summary);
		check_any(p, n, table[i].link);
	}
}

static void json(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_ref ref = { 0 };
	uint8_t p[256];
	size_t n = from_hex(MACS "8100 0005 0800 4500 0045 0001 0000 4006 0000 0a000001 0a000002 1388 0050"
				 "00000001 00000002 5018 0100"
				 "0000 0000"
				 "474554202f22ff78 20485454502f312e310d0a 486f73743a2061 0d0a0d0a",
			    p, sizeof(p));

	pkt_dissect(p, n, 1, &ref);
	pkt_json(p, n, 1, &ref, &out);
	assert_string_equal(
		out.data,
		"\"proto\":\"tcp\",\"payload\":29,\"src_mac\":\"02:00:00:00:00:01\","
		"\"dst_mac\":\"02:00:00:00:00:02\",\"vlan\":5,\"src\":\"10.0.0.1\","
		"\"dst\":\"10.0.0.2\",\"sport\":5000,\"dport\":80,\"ttl\":64,\"flags\":\"P.\",\"seq\":1,"
		"\"ack\":2,\"win\":256,\"http\":\"request\",\"method\":\"GET\",\"host\":\"a\","
		"\"path\":\"/\\\"\\u00ffx\"");
}

/* Addresses read as inet_ntop(3) writes them, wherever their zeros are. */
static void addresses(void **state)
{
	uint8_t p[48] = { 0x60, [5] = 8, [6] = 59 };

	for (unsigned zeros = 0; zeros < 512; zeros++) {
		PFS_BUF struct pfs_buf out = { 0 };
		char src[64], dst[64], want[160];
		struct pfs_ref ref = { 0 };

		for (unsigned i = 0; i < 8; i++) {
			uint32_t word = zeros & 256 ? 0xffff : i * 0x1111 >> (zeros + i) % 13;

			be16_store(p + 8 + i * 2, zeros >> i & 1 ? 0 : (uint16_t)word);
			be16_store(p + 24 + i * 2, zeros >> (7 - i) & 1 ? (uint16_t)(0xabcd + i) : 0);
		}
		inet_ntop(AF_INET6, p + 8, src, sizeof(src));
		inet_ntop(AF_INET6, p + 24, dst, sizeof(dst));
		snprintf(want, sizeof(want), "%s > %s: none len 8", src, dst);
		pkt_summary(p, sizeof(p), 101, &ref, &out);
		assert_string_equal(out.data, want);
	}
}

/* --- truncated, broken, random ---------------------------------------------------------------------- */

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* Calls fn for each packet of a capture in memory. */
static size_t each_packet(const uint8_t *file, size_t len,
			  void (*fn)(void *arg, const uint8_t *p, size_t n, uint16_t link_type),
			  void *arg)
{
	struct capture capture;
	struct capture_packet packet;
	size_t at = 0, used, need, count = 0;

	capture_init(&capture, CAPTURE_ANY);
	while (capture_next(&capture, file + at, len - at, &used, &packet, &need, NULL) > 0) {
		fn(arg, file + at + packet.header + pfs_hdr_size(packet.hdr), packet.caplen,
		   capture.interfaces[packet.interface].origin.link_type);
		at += used;
		count++;
	}
	capture_release(&capture);
	return count;
}

static void truncate_packet(void *arg, const uint8_t *p, size_t n, uint16_t link_type)
{
	for (size_t len = 0; len <= n; len++)
		check_any(p, len, link_type);
}

/* Of many files, the first bytes will do. */
static void truncate_short_packet(void *arg, const uint8_t *p, size_t n, uint16_t link_type)
{
	check_any(p, n, link_type);
	truncate_packet(arg, p, pfs_min(n, 80), link_type);
}

static void every_truncation(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf buf = { 0 };

	options.packets = 150;
	options.snaplen = 300;
	options.vlan = 20;
	options.mix = GENERATE_TALK_ALL & ~GENERATE_TALK_TLS;
	assert_int_equal(capture_generate_buf(&options, &buf, NULL), 0);
	assert_int_equal(each_packet((uint8_t *)buf.data, buf.len, truncate_packet, NULL), 150);
}

static void mutate_packet(void *arg, const uint8_t *p, size_t n, uint16_t link_type)
{
	static const uint16_t any_links[] = {
		0,   1,	  6,   7,   8,	 9,   10,  12,	   50,
		51,  99,  100, 101, 102, 104, 105, 107,	   108,
		109, 113, 117, 119, 122, 123, 127, 129,	   138,
		163, 166, 192, 195, 204, 226, 228, 229,	   239,
		240, 241, 258, 276, 281, 284, 285, 0xfffe, PFS_LINK_BYTES
	};
	uint32_t *x = arg;
	uint8_t copy[400];

	n = pfs_min(n, sizeof(copy));
	memcpy(copy, p, n);
	for (int i = 0; i < 20; i++) {
		size_t at = n ? random_next(x) % pfs_min(n, 100) : 0;

		copy[at] = (uint8_t)random_next(x);
		check_any(copy, n, link_type);
		check_any(copy, n, any_links[random_next(x) % ARRAY_SIZE(any_links)]);
	}
}

static void mutations(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf buf = { 0 };
	uint32_t x = 2463534242u;

	options.packets = 400;
	options.snaplen = 200;
	assert_int_equal(capture_generate_buf(&options, &buf, NULL), 0);
	each_packet((uint8_t *)buf.data, buf.len, mutate_packet, &x);
}

/* --- pcap-filter(7) ----------------------------------------------------------------------------------- */

/* What filters decide, as documented in dissect.h, and the expression that means it. */
static const struct verdict {
	const char *expr;
	int ethertype; /* 0: IPv4 or IPv6 */
	int proto;     /* -1: any */
	int class_;    /* of the generator, -1: none */
} verdicts[] = {
	{ "ip", 0x0800, -1, GENERATE_IP },	 { "ip6", 0x86dd, -1, GENERATE_IP6 },
	{ "arp", 0x0806, -1, GENERATE_ARP },	 { "tcp", 0, 6, GENERATE_TCP },
	{ "udp", 0, 17, GENERATE_UDP },		 { "icmp", 0x0800, 1, GENERATE_ICMP },
	{ "icmp6", 0x86dd, 58, GENERATE_ICMP6 }, { "sctp", 0, 132, -1 },
};

static bool verdict_ours(const struct verdict *v, const struct pfs_ref *ref)
{
	bool is_ip = ref->ethertype == 0x0800 || ref->ethertype == 0x86dd;

	return (v->ethertype ? ref->ethertype == v->ethertype : is_ip) &&
	       (v->proto < 0 || ref->proto == v->proto);
}

struct tally {
	uint64_t of[GENERATE_CLASSES_];
	uint64_t http[3]; /* by enum pkt_http */
	uint64_t dns[2];
};

static void tally_packet(void *arg, const uint8_t *p, size_t n, uint16_t link_type)
{
	struct tally *t = arg;
	struct pfs_ref ref;
	uint16_t src, dst;
	size_t off, len;

	pkt_dissect(p, n, link_type, &ref);
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
		if (verdicts[i].class_ >= 0)
			t->of[verdicts[i].class_] += verdict_ours(&verdicts[i], &ref);
	t->of[GENERATE_VLAN] += pkt_vlan(p, n, link_type) >= 0;
	if (!pkt_payload(p, n, &ref, &off, &len) || !pkt_ports(p, n, &ref, &src, &dst))
		return;
	if (ref.proto == 6) {
		struct pkt_http_head head;

		pkt_http(p + off, len, &head);
		t->http[head.kind]++;
		t->of[GENERATE_HTTP_GET] += head.method && strcmp(head.method, "GET") == 0;
		t->of[GENERATE_HTTP_POST] += head.method && strcmp(head.method, "POST") == 0;
		t->of[GENERATE_TLS] += (src == 443 || dst == 443) && len > 0;
	} else if (src == 53 || dst == 53) {
		struct pkt_dns d;

		assert_true(pkt_dns(p + off, len, &d));
		assert_non_null(strstr(d.name, "example"));
		t->dns[d.response]++;
	}
}

static void counts(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf buf = { 0 };
	struct generate_counts want;
	struct tally got = { 0 };

	options.packets = 30000;
	assert_int_equal(capture_generate_buf(&options, &buf, &want), 0);
	assert_int_equal(each_packet((uint8_t *)buf.data, buf.len, tally_packet, &got), 30000);
	for (int i = GENERATE_IP; i <= GENERATE_VLAN; i++)
		assert_int_equal(got.of[i], want.of[i]);
	assert_int_equal(got.http[PKT_HTTP_REQUEST], want.of[GENERATE_HTTP_REQUEST]);
	assert_int_equal(got.http[PKT_HTTP_RESPONSE], want.of[GENERATE_HTTP_RESPONSE]);
	assert_int_equal(got.of[GENERATE_HTTP_GET], want.of[GENERATE_HTTP_GET]);
	assert_int_equal(got.of[GENERATE_HTTP_POST], want.of[GENERATE_HTTP_POST]);
	assert_int_equal(got.of[GENERATE_TLS], want.of[GENERATE_TLS]);
	assert_int_equal(got.dns[0], want.of[GENERATE_DNS_QUERY]);
	assert_int_equal(got.dns[1], want.of[GENERATE_DNS_RESPONSE]);
	assert_true(want.of[GENERATE_HTTP_GET] > 100 && want.of[GENERATE_VLAN] > 100);
}

/* Differences that are meant: link_i.h and dissect.h have the list. */
static bool meant(uint16_t link_type, const uint8_t *p, size_t n, const struct pfs_ref *ref)
{
	if (pkt_vlan(p, n, link_type) >= 0)
		return true;
	switch (link_type) {
	case 127: /* HT control */
		return n > 24 && ref->l3 != NONE;
	case 129: /* RFC 1051 */
		return n > 4 && (p[4] == 240 || p[4] == 241);
	default: /* Juniper's */
		return n >= 3 && memcmp(p, "MGC", 3) == 0;
	}
}

struct agreement {
	pcap_t *pcap; /* owned */
	struct bpf_program programs[ARRAY_SIZE(verdicts)];
	size_t nprograms; /* all, or libpcap cannot filter this link type */
	uint64_t same, different;
};

static void agreement_release(struct agreement *a)
{
	while (a->nprograms > 0)
		pcap_freecode(&a->programs[--a->nprograms]);
	if (a->pcap)
		pcap_close(a->pcap);
	a->pcap = NULL;
}

static void agree_packet(void *arg, const uint8_t *p, size_t n, uint16_t link_type)
{
	struct agreement *a = arg;
	struct pcap_pkthdr h = { .caplen = (uint32_t)n, .len = (uint32_t)n };
	struct pfs_ref ref;

	if (a->nprograms < ARRAY_SIZE(verdicts))
		return;
	pkt_dissect(p, n, link_type, &ref);
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		bool ours = verdict_ours(&verdicts[i], &ref);
		bool theirs = pcap_offline_filter(&a->programs[i], &h, p) != 0;

		if (ours != theirs && !meant(link_type, p, n, &ref))
			fail_msg("link type %u, %zu bytes, %s: %d, libpcap %d", link_type, n,
				 verdicts[i].expr, ours, theirs);
		a->same += ours == theirs;
		a->different += ours != theirs;
	}
}

/* A file through libpcap, for its link type and its programs, and through our own reader. */
static bool agree_file(const char *path, struct agreement *a)
{
	char error[PCAP_ERRBUF_SIZE];
	size_t n;
	PFS_FREE uint8_t *file = read_file(path, &n);

	if (!file)
		return false;
	a->pcap = pcap_open_offline(path, error);
	if (!a->pcap)
		return false;
	while (a->nprograms < ARRAY_SIZE(verdicts) &&
	       pcap_compile(a->pcap, &a->programs[a->nprograms], verdicts[a->nprograms].expr, 1,
			    PCAP_NETMASK_UNKNOWN) == 0)
		a->nprograms++;
	each_packet(file, n, agree_packet, a);
	each_packet(file, n, truncate_short_packet, NULL);
	agreement_release(a);
	return true;
}

static void as_pcap_filter(void **state)
{
	const char *dir = getenv("PFS_PCAPS");
	struct agreement a = { 0 };
	struct dirent *entry;
	DIR *d = dir ? opendir(dir) : NULL;
	size_t files = 0;

	if (!d) {
		print_message("PFS_PCAPS names no directory of captures\n");
		skip();
	}
	while (d && (entry = readdir(d))) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (strstr(entry->d_name, ".pcap"))
			files += agree_file(path, &a);
	}
	if (d)
		closedir(d);
	assert_true(files > 0);
	print_message("%zu files: %llu verdicts as libpcap's, %llu meant to differ\n", files,
		      (unsigned long long)a.same, (unsigned long long)a.different);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_types),
		cmocka_unit_test(network_layer),
		cmocka_unit_test(endless_extensions),
		cmocka_unit_test(addresses),

		cmocka_unit_test(summaries),
		cmocka_unit_test(json),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(mutations),
		cmocka_unit_test(counts),
		cmocka_unit_test(as_pcap_filter),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
