/*
 * issues - expressions that libpcap's optimiser makes, or once made, wrong code of; each named by its number there
 *
 * What a packet is told by all that we make of them is what libpcap's interpreter says of the code that its optimiser
 * has not touched: for packets that go each way through that code, cut at every length. Where an issue says what is to
 * come out for which packet, that is said again here.
 */
#include "help.h"

#include <pcap/pcap.h>

#define ETHERNET 1
#define RAW 101
#define RADIOTAP 127

struct engines {
	struct pf_prog *native, *interp, *plain; /* plain: no passes */
	struct pf_insn *insns, *emitted; /* said, and made of the passes' result; NULL: none */
	size_t n, nemitted;
};

static struct pf_prog *compile(const char *language, uint16_t link_type, const char *text,
			       enum pf_engine engine, uint64_t without)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error;
	struct pf_prog *prog;

	options.link_type = link_type;
	options.engine = engine;
	options.without = without;
	if (pf_compile(language, text, strlen(text), &options, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return prog;
}

static void engines_make(struct engines *e, const char *language, uint16_t link_type, const char *text)
{
	*e = (struct engines){ .native = compile(language, link_type, text, PF_ENGINE_BEST, 0),
			       .interp = compile(language, link_type, text, PF_ENGINE_INTERP, 0),
			       .plain = compile(language, link_type, text, PF_ENGINE_INTERP,
						PF_ALL_PASSES) };
	assert_int_equal(pf_emit_cbpf(e->plain, 0, &e->insns, &e->n, NULL), 0);
	assert_int_equal(pf_emit_cbpf(e->native, 0, &e->emitted, &e->nemitted, NULL), 0);
	assert_true(e->nemitted <= e->n);
}

static void engines_release(struct engines *e)
{
	pf_unref(e->native);
	pf_unref(e->interp);
	pf_unref(e->plain);
	free(e->insns);
	free(e->emitted);
}

static uint32_t run(const struct engines *e, const struct pf_packet *p)
{
	uint32_t want = pf_run(e->plain, p);

	assert_int_equal(pf_run(e->native, p), want);
	assert_int_equal(pf_run(e->interp, p), want);
	return want;
}

/* libpcap's interpreter knows nothing beside the bytes. */
static bool asks(const struct pf_prog *prog)
{
	struct pf_info info = { .size = sizeof(info) };

	assert_int_equal(pf_get_info(prog, &info), 0);
	return info.fields;
}

/* Returns how often it has matched. */
static unsigned expect_all_same(const char *language, uint16_t link_type, const char *text)
{
	struct packets packets = { 0 };
	struct dice dice = { 5 };
	struct engines e;
	unsigned accepted = 0;

	engines_make(&e, language, link_type, text);
	packets_generate(&packets, 7, 100);
	for (unsigned i = 0; i < 400; i++) {
		struct pf_aux aux = { .known = UINT32_MAX };
		struct bytes b;

		packet_for(e.insns, e.n, &dice, &packets, &b);
		for (unsigned k = 0; k < PF_AUX_FIELDS; k++)
			aux.value[k] = roll(&dice, 2);
		for (uint32_t cut = i % 8 ? b.n : 0; cut <= b.n && cut < 200; cut++) {
			struct pf_packet p = { b.data, cut, b.n, &aux };
			uint32_t want = run(&e, &p);

			accepted += want != 0;
			if (asks(e.plain))
				continue;
			assert_int_equal(
				bpf_filter((const struct bpf_insn *)e.insns, b.data, b.n, cut), want);
			assert_int_equal(bpf_filter((const struct bpf_insn *)e.emitted, b.data, b.n,
						    cut),
					 want);
		}
	}
	packets_release(&packets);
	engines_release(&e);
	return accepted;
}

static void expect_same(const char *language, uint16_t link_type, const char *text)
{
	if (!expect_all_same(language, link_type, text))
		fail_msg("nothing matches %s", text);
}

static bool matches(const char *language, uint16_t link_type, const char *text, const void *bytes,
		    uint32_t n, const struct pf_aux *aux)
{
	struct engines e;
	bool yes;

	engines_make(&e, language, link_type, text);
	yes = run(&e, &(struct pf_packet){ bytes, n, n, aux });
	engines_release(&e);
	return yes;
}

/* An echo request from a to b, in a VLAN if vlan is not 0. */
static uint32_t make_ping(uint8_t *p, uint16_t vlan, uint32_t a, uint32_t b)
{
	uint32_t at = 12;

	memset(p, 0, 100);
	if (vlan) {
		be16_store(p + at, 0x8100);
		be16_store(p + at + 2, vlan);
		at += 4;
	}
	be16_store(p + at, 0x800);
	at += 2;
	p[at] = 0x45;
	be16_store(p + at + 2, 84);
	p[at + 9] = 1;
	be32_store(p + at + 12, a);
	be32_store(p + at + 16, b);
	return at + 84;
}

/* The first word of one address with the rest of another. */
static void test_33_and_38_addresses_of_several_words(void **state)
{
	static const char text[] = "dst host 1234:5678:9abc:def0:feed:babe:dead:beef or "
				   "dst host 1111:2222:3333:4444:5555:6666:7777:8888";
	uint8_t p[100] = { 0 };

	(void)state;
	expect_same("pcap", ETHERNET, text);
	expect_same("pcap", ETHERNET,
		    "ether proto 0x86dd and (ether[38:4] == 0x12345678 and ether[42:4] == 0x9abcdef0 and "
		    "ether[46:4] == 0xfeedbabe and ether[50:4] == 0xdeadbeef) or "
		    "(ether[38:4] == 0x11112222 and ether[42:4] == 0x33334444 and "
		    "ether[46:4] == 0x55556666 and ether[50:4] == 0x77778888)");
	be16_store(p + 12, 0x86dd);
	be32_store(p + 38, 0x11112222);
	be32_store(p + 42, 0x33334444);
	be32_store(p + 46, 0x55556666);
	be32_store(p + 50, 0x77778888);
	assert_true(matches("pcap", ETHERNET, text, p, 54, NULL));
	be32_store(p + 38, 0x12345678);
	assert_false(matches("pcap", ETHERNET, text, p, 54, NULL));
}

static void test_42_and_58_ranges_of_a_field(void **state)
{
	(void)state;
	expect_same("pcap", ETHERNET, "tcp[0:2]>=79 and tcp[0:2]<=81");
	expect_same("pcap", ETHERNET, "ip[4:2] & 0x0fff >= 2140 and ip[4:2] & 0x0fff <= 2147");
}

/* Two states of the code, each made into the other for ever. */
static void test_112_it_ends(void **state)
{
	(void)state;
	expect_same("pcap", ETHERNET,
		    "(ip[12:4] = 0x0a0a0a0a or ip[16:4] = 0x0a0a0a0a) and "
		    "(not ((ip[12:4] = 0x0a0a0a0b or ip[16:4] = 0x0a0a0a0b)))");
}

/* Stores that were thought to be dead. */
static void test_143_and_1076_stores_that_are_read(void **state)
{
	static const char *const texts[] = {
		"tcp[0:2] = tcp[4:2] and tcp[8:4] == 0 and src port 43707",
		"src port 43707 and tcp[0:2] = tcp[4:2] and tcp[8:4] == 0"
	};
	static const char gre[] =
		"ip proto 47 and ip[(ip[0] & 15) * 4 + 8] = 0x21 and "
		"ip[(ip[0] & 15) * 4 + 9 + (ip[(ip[0] & 15) * 4 + 9] & 15) * 4 + 8 : 4] = "
		"0x7fffffff";
	uint8_t p[110];
	uint32_t n = make_ping(p, 0, 1, 2);

	(void)state;
	p[14 + 9] = 6;
	be16_store(p + 34, 43707);
	be16_store(p + 38, 43707);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		expect_all_same("pcap", ETHERNET, texts[i]);
		p[39] = 43707 & 0xff;
		assert_true(matches("pcap", ETHERNET, texts[i], p, n, NULL));
		p[39]++;
		assert_false(matches("pcap", ETHERNET, texts[i], p, n, NULL));
	}
	/* GRE with a signature in what it carries, where each header says where the next begins. */
	expect_all_same("pcap", ETHERNET, gre);
	p[14 + 9] = 47;
	p[14 + 28] = 0x21;
	p[14 + 29] = 0x45;
	be32_store(p + 14 + 29 + 20 + 8, 0x7fffffff);
	assert_true(matches("pcap", ETHERNET, gre, p, n, NULL));
	p[14 + 29] = 0x46;
	assert_false(matches("pcap", ETHERNET, gre, p, n, NULL));
}

static void test_434_and_437_numbers_at_the_edge(void **state)
{
	uint8_t p[66] = { 0 };

	(void)state;
	expect_same("pcap", ETHERNET, "len >= 2147483648 & 2147483648 or len < 0 | 2147483648");
	assert_true(matches("pcap", ETHERNET,
			    "len >= 2147483648 & 2147483648 or len < 0 | 2147483648", p, 66, NULL));
	assert_false(matches("pcap", ETHERNET,
			     "len <= 4294967295 & 2147483647 and len > 2147483647 + 0", p, 66, NULL));
	assert_true(matches("pcap", ETHERNET,
			    "(1 = 0) || (2147483648 / 4294967295 = 0) and (0 & 4294967295 = 0)", p,
			    66, NULL));
}

/* Listings with the VLAN tag beside the bytes, as libpcap makes them for devices; not optimised. */
static const char vlan_and_vlan[] = "	ld #0\n"
				    "	st M[0]\n"
				    "	st M[1]\n"
				    "	ldb vlan_avail\n"
				    "	jeq #1, inner\n"
				    "	ld M[0]\n"
				    "	add #4\n"
				    "	st M[0]\n"
				    "	ld M[1]\n"
				    "	add #4\n"
				    "	st M[1]\n"
				    "	ldh [12]\n"
				    "	jeq #0x8100, inner\n"
				    "	ldh [12]\n"
				    "	jeq #0x88a8, inner, no\n"
				    "inner:	ldx M[1]\n"
				    "	ldh [x + 12]\n"
				    "	jeq #0x8100, yes, no\n"
				    "yes:	ret #262144\n"
				    "no:	ret #0\n";
static const char profinet[] = "	ld #0\n"
			       "	st M[0]\n"
			       "	ldh [12]\n"
			       "	jeq #0x8892, yes\n"
			       "	ldb vlan_avail\n"
			       "	jeq #1, inner\n"
			       "	ld M[0]\n"
			       "	add #4\n"
			       "	st M[0]\n"
			       "	ldh [12]\n"
			       "	jeq #0x8100, inner\n"
			       "	ldh [12]\n"
			       "	jeq #0x88a8, inner, no\n"
			       "inner:	ldx M[0]\n"
			       "	ldh [x + 12]\n"
			       "	jeq #0x8892, yes, no\n"
			       "yes:	ret #262144\n"
			       "no:	ret #0\n";

static void test_581_and_1513_vlan_tags_beside_the_bytes(void **state)
{
	struct pf_aux tagged = { .known = UINT32_MAX }, plain = { .known = UINT32_MAX };
	uint8_t p[60] = { 0 };

	(void)state;
	tagged.value[PF_AUX_VLAN_PRESENT] = 1;
	expect_same("bpf", ETHERNET, vlan_and_vlan);
	expect_same("bpf", ETHERNET, profinet);
	be16_store(p + 12, 0x8100);
	assert_true(matches("bpf", ETHERNET, vlan_and_vlan, p, 60, &tagged));
	assert_false(matches("bpf", ETHERNET, vlan_and_vlan, p, 60, &plain));
	be16_store(p + 16, 0x8100);
	assert_true(matches("bpf", ETHERNET, vlan_and_vlan, p, 60, &plain));
	/* With the tag beside the bytes the type stands at 12, and what is at 16 is no type. */
	be16_store(p + 12, 0x800);
	be16_store(p + 16, 0x8892);
	assert_false(matches("bpf", ETHERNET, profinet, p, 60, &tagged));
	be16_store(p + 12, 0x8100);
	assert_true(matches("bpf", ETHERNET, profinet, p, 60, &plain));
}

/* Tests were taken for others once code had been moved. */
static void test_945_hosts_and_not_hosts(void **state)
{
	static const char text[] = "host 192.168.1.1 and not ((host 1.2.3.4 or host 5.6.7.8) and icmp) "
				   "and not (host 5.6.7.8 or host 192.168.1.1)";
	uint8_t p[110];
	uint32_t n = make_ping(p, 0, 0xc0a80101, 0xc0a80133);

	(void)state;
	assert_false(matches("pcap", ETHERNET, text, p, n, NULL));
	assert_true(matches("pcap", ETHERNET,
			    "host 192.168.1.1 and not ((host 1.2.3.4 or host 5.6.7.8) and icmp) and not "
			    "(host 5.6.7.8 or host 192.168.1.2)",
			    p, n, NULL));
	expect_same("pcap", ETHERNET,
		    "host 192.168.1.1 and not ((host 1.2.3.4 or host 5.6.7.8) and icmp) and not "
		    "(host 5.6.7.8 or host 192.168.1.2)");
}

static void test_1162_the_end_of_a_packet_and_vlan(void **state)
{
	static const char text[] = "(ether[len - 4:4] == 0x1d10c0da) and not (icmp or (vlan and icmp))";
	uint8_t p[110];
	uint32_t n = make_ping(p, 7, 1, 2);

	(void)state;
	expect_same("pcap", ETHERNET, text);
	be32_store(p + n - 4, 0x1d10c0da);
	assert_false(matches("pcap", ETHERNET, text, p, n, NULL));
	p[18 + 9] = 17;
	assert_true(matches("pcap", ETHERNET, text, p, n, NULL));
	p[n - 1]++;
	assert_false(matches("pcap", ETHERNET, text, p, n, NULL));
}

static void test_1192_radiotap_and_a_subtype(void **state)
{
	(void)state;
	expect_same("pcap", RADIOTAP, "(radio[16] & 0x40) == 0 and subtype probe-req");
}

/* `vxlan and ip` has the shape of `geneve and ip`, which this libpcap knows: offsets in words, set on two ways. */
static void test_1670_and_1726_offsets_that_are_set_on_two_ways(void **state)
{
	(void)state;
	expect_same("pcap", ETHERNET, "geneve and ip");
	expect_same("pcap", ETHERNET, "geneve and arp");
	expect_same("pcap", ETHERNET, "geneve and tcp port 80");
}

static void test_1698_all_bits(void **state)
{
	static const uint16_t links[] = { ETHERNET, RAW };
	uint8_t p[20] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		p[0] = 0;
		assert_false(matches("pcap", links[i], "link[0:1] & 0xffffffff != 0", p, 20, NULL));
		assert_true(matches("pcap", links[i], "link[0:1] & 0xffffffff == 0", p, 20, NULL));
		p[0] = 4;
		assert_true(matches("pcap", links[i], "link[0:1] & 0xffffffff != 0", p, 20, NULL));
		assert_true(matches("pcap", links[i], "link[0:4] & 0xffffffff != 0", p, 20, NULL));
		assert_false(matches("pcap", links[i], "link[0:2] & 0xffffffff == 0", p, 20, NULL));
	}
}

static void test_1699_constants_that_are_equal(void **state)
{
	uint8_t p[20] = { 0 };

	(void)state;
	assert_true(matches("pcap", ETHERNET, "1/2=1/3&&1>4/5&&1>6/7", p, 20, NULL));
	assert_false(matches("pcap", ETHERNET, "1/2=1/3&&0>4/5&&1>6/7", p, 20, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_33_and_38_addresses_of_several_words),
		cmocka_unit_test(test_42_and_58_ranges_of_a_field),
		cmocka_unit_test(test_112_it_ends),
		cmocka_unit_test(test_143_and_1076_stores_that_are_read),
		cmocka_unit_test(test_434_and_437_numbers_at_the_edge),
		cmocka_unit_test(test_581_and_1513_vlan_tags_beside_the_bytes),
		cmocka_unit_test(test_945_hosts_and_not_hosts),
		cmocka_unit_test(test_1162_the_end_of_a_packet_and_vlan),
		cmocka_unit_test(test_1192_radiotap_and_a_subtype),
		cmocka_unit_test(test_1670_and_1726_offsets_that_are_set_on_two_ways),
		cmocka_unit_test(test_1698_all_bits),
		cmocka_unit_test(test_1699_constants_that_are_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
