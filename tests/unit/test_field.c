/*
 * field - keys and names of packets built here, whole and cut off at every length
 */
#include "bytes_help.h"

#include <arpa/inet.h>

#include "packet/dissect.h"
#include "packet/field.h"

#define MACS "020000000002 020000000001"
#define IP4(proto) "4500 0028 0001 0000 40" proto "0000 0a000001 0a000002"
#define IP4_FRAGMENT(proto) "4500 0028 0001 2001 40" proto "0000 0a000001 0a000002"
#define IP6(next) \
	"6000 0000 0014" next "40 20010db8000000000000000000000002 20010db8000000000000000000000001"
#define PORTS "1388 0050" /* 5000 > 80 */
#define REST "0000 0000 0000 0000 5000 0000 0000 0000"
#define ARP(hlen, mac) "0001 0800" hlen "04 0001" mac "0a000001" mac "0a000002"

enum { ETHERNET = 1, RAW = 101 };

/* What each field says: names, "-other" and the like where it says nothing. */
static const struct {
	uint16_t link_type;
	const char *packet;
	const char *srcport, *dstport, *port, *srcip, *dstip, *host, *proto, *flow;
} packets[] = {
	{ ETHERNET, MACS "0800" IP4("06") PORTS REST, "5000", "80", "5000 80", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "tcp", "10.0.0.1:5000-10.0.0.2:80-tcp" },
	{ ETHERNET, MACS "8100 0064 0800" IP4("11") PORTS REST, "5000", "80", "5000 80", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "udp", "10.0.0.1:5000-10.0.0.2:80-udp" },
	/* the other way round it is the same flow */
	{ RAW, "4500 0028 0001 0000 4006 0000 0a000002 0a000001 0050 1388" REST, "80", "5000", "80 5000",
	  "10.0.0.2", "10.0.0.1", "10.0.0.2 10.0.0.1", "tcp", "10.0.0.1:5000-10.0.0.2:80-tcp" },
	/* equal ports, equal addresses: one */
	{ RAW, "4500 0028 0001 0000 4084 0000 7f000001 7f000001 0007 0007" REST, "7", "7", "7",
	  "127.0.0.1", "127.0.0.1", "127.0.0.1", "sctp", "127.0.0.1:7-127.0.0.1:7-sctp" },
	{ RAW, "4500 0028 0001 0000 4021 0000 7f000001 7f000001 0009 0007" REST, "9", "7", "9 7",
	  "127.0.0.1", "127.0.0.1", "127.0.0.1", "dccp", "127.0.0.1:7-127.0.0.1:9-dccp" },
	{ RAW, IP6("88") PORTS REST, "5000", "80", "5000 80", "2001:db8::2", "2001:db8::1",
	  "2001:db8::2 2001:db8::1", "udplite", "[2001:db8::1]:80-[2001:db8::2]:5000-udplite" },
	/* behind hop-by-hop options */
	{ RAW, IP6("00") "0600 0000 0000 0000" PORTS REST, "5000", "80", "5000 80", "2001:db8::2",
	  "2001:db8::1", "2001:db8::2 2001:db8::1", "tcp", "[2001:db8::1]:80-[2001:db8::2]:5000-tcp" },
	/* no ports */
	{ RAW, IP4("01") "0800 0000 0001 0001", "-other", "-other", "-other", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "icmp", "10.0.0.1-10.0.0.2-icmp" },
	{ RAW, IP6("3a") "8000 0000 0001 0001", "-other", "-other", "-other", "2001:db8::2",
	  "2001:db8::1", "2001:db8::2 2001:db8::1", "icmp6", "[2001:db8::1]-[2001:db8::2]-icmp6" },
	{ RAW, IP4("c8") "00", "-other", "-other", "-other", "10.0.0.1", "10.0.0.2",
	  "10.0.0.1 10.0.0.2", "200", "10.0.0.1-10.0.0.2-200" },
	{ RAW, IP4("00") "00", "-other", "-other", "-other", "10.0.0.1", "10.0.0.2",
	  "10.0.0.1 10.0.0.2", "0", "10.0.0.1-10.0.0.2-0" },
	/* later fragments; of a protocol without ports nothing is missing */
	{ RAW, IP4_FRAGMENT("11") PORTS REST, "-fragment", "-fragment", "-fragment", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "udp", "-fragment" },
	{ RAW, IP4_FRAGMENT("01") PORTS REST, "-other", "-other", "-other", "10.0.0.1", "10.0.0.2",
	  "10.0.0.1 10.0.0.2", "icmp", "10.0.0.1-10.0.0.2-icmp" },
	{ RAW, IP6("2c") "1100 0009 0000 0001" PORTS REST, "-fragment", "-fragment", "-fragment",
	  "2001:db8::2", "2001:db8::1", "2001:db8::2 2001:db8::1", "udp", "-fragment" },
	/* cut off: what is there is said */
	{ RAW, IP4("06") "1388 00", "5000", "-short", "5000", "10.0.0.1", "10.0.0.2",
	  "10.0.0.1 10.0.0.2", "tcp", "-short" },
	{ RAW, IP4("06") "13", "-short", "-short", "-short", "10.0.0.1", "10.0.0.2",
	  "10.0.0.1 10.0.0.2", "tcp", "-short" },
	{ RAW, "4500 0028 0001 0000 4006 0000 0a000001 0a00", "-short", "-short", "-short",
	  "10.0.0.1", "-short", "10.0.0.1", "tcp", "-short" },
	{ RAW, "4500 0028 0001 0000 40", "-other", "-other", "-other", "-short", "-short", "-short",
	  "-short", "-short" },
	{ RAW, "6000 0000 0014 11", "-short", "-short", "-short", "-short", "-short", "-short",
	  "udp", "-short" },
	/* a header length that cannot be */
	{ RAW, "4100 0028 0001 0000 4006 0000 0a000001 0a000002" PORTS REST, "-short", "-short",
	  "-short", "10.0.0.1", "10.0.0.2", "10.0.0.1 10.0.0.2", "tcp", "-short" },
	/* ARP has addresses, whatever the hardware's look like */
	{ ETHERNET, MACS "0806" ARP("06", "020000000001"), "-other", "-other", "-other", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "-other", "-other" },
	{ ETHERNET, MACS "8035" ARP("01", "02"), "-other", "-other", "-other", "10.0.0.1",
	  "10.0.0.2", "10.0.0.1 10.0.0.2", "-other", "-other" },
	{ ETHERNET, MACS "0806 0001 86dd 06 10 0001" REST, "-other", "-other", "-other", "-other",
	  "-other", "-other", "-other", "-other" },
	{ ETHERNET, MACS "88b5 0000", "-other", "-other", "-other", "-other", "-other", "-other",
	  "-other", "-other" },
	{ ETHERNET, "02", "-other", "-other", "-other", "-other", "-other", "-other", "-other",
	  "-other" },
};

/* All keys, as text. */
static void field_text(const struct pkt_field *field, const uint8_t *p, size_t n,
		       uint16_t link_type, char ret_text[2 * PKT_FIELD_NAME_SIZE])
{
	static const char *const unfit[] = {
		[PKT_UNFIT_OTHER] = "-other", [PKT_UNFIT_FRAGMENT] = "-fragment", [PKT_UNFIT_SHORT] = "-short"
	};
	struct pfs_ref layers = { 0 };
	struct pkt_key keys[2] = { 0 };
	char second[PKT_FIELD_NAME_SIZE];
	int r;

	pkt_dissect(p, n, link_type, &layers);
	r = field->get(p, n, (uint32_t)n, &layers, keys);
	if (r < 0) {
		strcpy(ret_text, unfit[-r]);
		return;
	}
	assert_in_range(r, 1, 2);
	field->text(&keys[0], false, ret_text);
	if (r == 2) {
		field->text(&keys[1], false, second);
		strcat(ret_text, " ");
		strcat(ret_text, second);
	}
}

static void assert_field(const struct pkt_field *field, const uint8_t *p, size_t n,
			 uint16_t link_type, const char *want)
{
	char text[2 * PKT_FIELD_NAME_SIZE];

	field_text(field, p, n, link_type, text);
	assert_string_equal(text, want);
}

static void test_what_packets_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		uint8_t p[256];
		size_t n = from_hex(packets[i].packet, p, sizeof(p));
		uint16_t link_type = packets[i].link_type;
		char len[16];

		snprintf(len, sizeof(len), "%zu", n);
		assert_field(&pkt_field_srcport, p, n, link_type, packets[i].srcport);
		assert_field(&pkt_field_dstport, p, n, link_type, packets[i].dstport);
		assert_field(&pkt_field_port, p, n, link_type, packets[i].port);
		assert_field(&pkt_field_srcip, p, n, link_type, packets[i].srcip);
		assert_field(&pkt_field_dstip, p, n, link_type, packets[i].dstip);
		assert_field(&pkt_field_host, p, n, link_type, packets[i].host);
		assert_field(&pkt_field_proto, p, n, link_type, packets[i].proto);
		assert_field(&pkt_field_flow, p, n, link_type, packets[i].flow);
		assert_field(&pkt_field_len, p, n, link_type, len);
	}
}

/* In memory of exactly that length, with layers of the whole packet and with its own. */
static void test_cut_off_at_every_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		uint8_t p[256];
		size_t n = from_hex(packets[i].packet, p, sizeof(p));
		struct pfs_ref whole = { 0 };

		pkt_dissect(p, n, packets[i].link_type, &whole);
		for (size_t cut = 0; cut < n; cut++) {
			PFS_FREE uint8_t *copy = malloc(cut ? cut : 1);
			struct pfs_ref layers = { 0 };
			struct pkt_key keys[2];

			memcpy(copy, p, cut);
			pkt_dissect(copy, cut, packets[i].link_type, &layers);
			for (size_t f = 0; pkt_fields[f]; f++) {
				pkt_fields[f]->get(copy, cut, 0, &layers, keys);
				pkt_fields[f]->get(copy, cut, 0, &whole, keys);
			}
		}
	}
}

/* --- names --------------------------------------------------------------------------------------- */

static const struct {
	const struct pkt_field *field;
	const char *name;
	const char *is; /* its one name; NULL: it means nothing */
} names[] = {
	{ &pkt_field_port, "0", "0" },
	{ &pkt_field_port, "65535", "65535" },
	{ &pkt_field_port, "0443", "443" },
	{ &pkt_field_port, "00000000000000000000443", "443" },
	{ &pkt_field_port, "65536", NULL },
	{ &pkt_field_port, "18446744073709551617", NULL },
	{ &pkt_field_port, "+1", NULL },
	{ &pkt_field_port, " 1", NULL },
	{ &pkt_field_port, "1 ", NULL },
	{ &pkt_field_port, "0x50", NULL },
	{ &pkt_field_port, "http", NULL },
	{ &pkt_field_host, "10.0.0.1", "10.0.0.1" },
	{ &pkt_field_host, "10.0.0.01", NULL }, /* octal to some, decimal to others */
	{ &pkt_field_host, "10.1", NULL },
	{ &pkt_field_host, "::1", "::1" },
	{ &pkt_field_host, "::0001", "::1" },
	{ &pkt_field_host, "0:0:0:0:0:0:0:1", "::1" },
	{ &pkt_field_host, "FE80::A", "fe80::a" },
	{ &pkt_field_host, "::ffff:10.0.0.1", "::ffff:10.0.0.1" },
	{ &pkt_field_host, "1::2::3", NULL },
	{ &pkt_field_host, "fe80::1%lo", NULL },
	{ &pkt_field_host, "localhost", NULL },
	{ &pkt_field_proto, "tcp", "tcp" },
	{ &pkt_field_proto, "6", "tcp" },
	{ &pkt_field_proto, "200", "200" },
	{ &pkt_field_proto, "256", NULL },
	{ &pkt_field_proto, "TCP", NULL },
	{ &pkt_field_len, "1514", "1514" },
	{ &pkt_field_flow, "10.0.0.1:5000-10.0.0.2:80", "10.0.0.1:5000-10.0.0.2:80" },
	{ &pkt_field_flow, "10.0.0.2:80-10.0.0.1:5000", "10.0.0.1:5000-10.0.0.2:80" },
	{ &pkt_field_flow, "10.0.0.9:1-10.0.0.10:2", "10.0.0.9:1-10.0.0.10:2" },
	{ &pkt_field_flow, "[::1]:5-[::1]:80", "[::1]:5-[::1]:80" },
	{ &pkt_field_flow, "[::1]:80-[::1]:5", "[::1]:5-[::1]:80" },
	{ &pkt_field_flow, "[::0001]:5-[::1]:80", "[::1]:5-[::1]:80" },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2:80-udp", "10.0.0.1:5-10.0.0.2:80-udp" },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2:80-17", "10.0.0.1:5-10.0.0.2:80-udp" },
	{ &pkt_field_flow, "10.0.0.1-10.0.0.2-icmp", "10.0.0.1-10.0.0.2-icmp" },
	{ &pkt_field_flow, "[::1]-[::2]-mpls-in-ip", "[::1]-[::2]-mpls-in-ip" },
	{ &pkt_field_flow, "10.0.0.1-10.0.0.2", NULL },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2", NULL },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2:80-icmp", NULL }, /* it has no ports */
	{ &pkt_field_flow, "10.0.0.1-10.0.0.2-tcp", NULL },
	{ &pkt_field_flow, "10.0.0.1:5-[::1]:80", NULL },
	{ &pkt_field_flow, "::1:5-::1:80", NULL },
	{ &pkt_field_flow, "[10.0.0.1]:5-[10.0.0.2]:80", NULL },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2:80-", NULL },
	{ &pkt_field_flow, "10.0.0.1:5-10.0.0.2:", NULL },
	{ &pkt_field_flow, "10.0.0.1:5", NULL },
	{ &pkt_field_flow, "[::1", NULL },
	{ &pkt_field_flow, "[", NULL },
	{ &pkt_field_flow, "-", NULL },
	{ &pkt_field_flow, "10.0.0.1:500000000000000000000-10.0.0.2:80", NULL },
	{ &pkt_field_flow,
	  "[1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1]", NULL },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char text[PKT_FIELD_NAME_SIZE];
		struct pkt_key key = { 0 };
		bool good = names[i].field->parse(names[i].name, &key);

		if (good != (names[i].is != NULL))
			print_error("%s %s\n", names[i].field->name, names[i].name);
		assert_int_equal(good, names[i].is != NULL);
		if (!good)
			continue;
		names[i].field->text(&key, false, text);
		assert_string_equal(text, names[i].is);
	}
	for (size_t f = 0; pkt_fields[f]; f++) {
		struct pkt_key key;

		assert_false(pkt_fields[f]->parse("", &key));
	}
}

/* Every key's name is parsed to that key again. */
static void test_names_and_keys_are_one_to_one(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t p[44] = { 0x60 };
		struct pfs_ref layers = { 0 };
		char text[PKT_FIELD_NAME_SIZE], want[INET6_ADDRSTRLEN];

		for (size_t b = 6; b < sizeof(p); b++)
			p[b] = rand_r(&seed) % 3 ? (uint8_t)rand_r(&seed) : 0;
		pkt_dissect(p, sizeof(p), RAW, &layers);
		for (size_t f = 0; pkt_fields[f]; f++) {
			struct pkt_key keys[2] = { 0 }, again = { 0 };

			if (pkt_fields[f]->get(p, sizeof(p), 44, &layers, keys) < 0)
				continue;
			pkt_fields[f]->text(&keys[0], false, text);
			assert_true(strlen(text) < sizeof(text) - 1);
			assert_true(pkt_fields[f]->parse(text, &again));
			assert_memory_equal(&keys[0], &again, pkt_fields[f]->words * sizeof(uint64_t));
			if (pkt_fields[f] == &pkt_field_srcip)
				assert_string_equal(text,
						    inet_ntop(AF_INET6, p + 8, want, sizeof(want)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_packets_say),
		cmocka_unit_test(test_cut_off_at_every_length),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_and_keys_are_one_to_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
