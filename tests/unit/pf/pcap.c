/*
 * pcap - expressions: options, direction, what is refused; and the known mistakes of libpcap's optimiser
 */
#include "help.h"

#include <pcap/pcap.h>

#include "pf/front/bpftext.h"
#include "pf/ir/verify.h"

static struct pf_prog *compile(const char *language, const char *text, const struct pf_options *options)
{
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;

	if (pf_compile(language, text, strlen(text), options, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return prog;
}

static uint32_t run_hex(const struct pf_prog *prog, const char *hex, const struct pf_aux *aux)
{
	uint8_t bytes[200];
	struct pf_packet p = { .data = bytes, .aux = aux };

	for (; hex[0] && hex[1]; hex += hex[2] == ' ' ? 3 : 2) {
		unsigned byte;

		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		bytes[p.caplen++] = (uint8_t)byte;
	}
	p.len = p.caplen;
	return pf_run(prog, &p);
}

#define MACS "020000000001 020000000002 "
#define IP4 "45000014 00000000 40060000 0a000001 0a000002 "

/* --- options ---------------------------------------------------------------------------------- */

static void test_link_types_and_snaplen(void **state)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *prog = compile("pcap", "ip", NULL);

	(void)state;
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, NULL), 262144);
	assert_int_equal(run_hex(prog, MACS "0806 " IP4, NULL), 0);
	pf_unref(prog);

	options.link_type = 101; /* raw */
	options.snaplen = 96;
	prog = compile("pcap", "ip", &options);
	assert_int_equal(run_hex(prog, IP4, NULL), 96);
	pf_unref(prog);

	options.link_type = 0; /* BSD loopback: in the byte order of the host that captured */
	prog = compile("pcap", "ip", &options);
	assert_int_equal(run_hex(prog, "02000000 " IP4, NULL), 96);
	assert_int_equal(run_hex(prog, "00000002 " IP4, NULL), 0);
	pf_unref(prog);
	options.big_endian = 1;
	prog = compile("pcap", "ip", &options);
	assert_int_equal(run_hex(prog, "00000002 " IP4, NULL), 96);
	pf_unref(prog);
}

static void test_direction_is_a_field(void **state)
{
	struct pf_prog *prog = compile("pcap", "outbound and ip", NULL);
	struct pf_aux aux = { .known = 1u << PF_AUX_PKTTYPE };

	(void)state;
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, NULL), 0);
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, &aux), 0);
	aux.value[PF_AUX_PKTTYPE] = 4;
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, &aux), 262144);
	aux.known = 0;
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, &aux), 0);
	pf_unref(prog);

	/* Not knowing is not the same as not being. */
	prog = compile("pcap", "not outbound", NULL);
	assert_int_equal(run_hex(prog, MACS "0800 " IP4, NULL), 0);
	pf_unref(prog);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "tcp prot 80", "'prot' is neither" },	 { "tcp port", "syntax error" },
		{ "host example.com", "not looked up" }, { "port nosuchport", "unknown port" },
		{ "ip[4:3] = 1", "data size" },		 { "ip[8] / 0 = 1", "division by zero" },
	};
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *prog;
	struct pf_error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error.text[0] = '\0';
		if (pf_compile("pcap", bad[i].text, strlen(bad[i].text), NULL, &prog, &error) !=
			    -EINVAL ||
		    !strstr(error.text, bad[i].words))
			fail_msg("%s: %s", bad[i].text, error.text);
	}
	assert_int_equal(pf_compile("pcap", "ip\0x", 4, NULL, &prog, &error), -EINVAL);
	assert_non_null(strstr(error.text, "NUL"));
	options.link_type = 65000;
	assert_int_equal(pf_compile("pcap", "ip", 2, &options, &prog, &error), -EINVAL);
	options = (struct pf_options)PF_OPTIONS_INIT;
	options.snaplen = 0;
	assert_int_equal(pf_compile("pcap", "ip", 2, &options, &prog, &error), -EINVAL);
	assert_non_null(strstr(error.text, "snapshot"));
}

/* --- what libpcap's optimiser has got wrong ----------------------------------------------------- */

/* Programs that it was given, in the form in which its front end makes them; `aux` says whether there is a tag. */
struct bug {
	const char *name;
	const char *text;
	const char *packet;
	bool tag;
	bool match;
};

/*
 * `ether proto 0x8892 or (vlan and ether proto 0x8892)` on a device (#1513): where the tag is
 * beside the bytes, the type is at 12 still; where it is among them, at 16. The sum is kept in a
 * word.
 */
#define VLAN_TYPE                                                                                   \
	"ldh [12]\njeq #0x8892, yes\n"                                                              \
	"ld #0\nst M[0]\nst M[1]\nldb [vlan_avail]\njeq #1, tagged\n"                               \
	"ld M[0]\nadd #4\nst M[0]\nld M[1]\nadd #4\nst M[1]\n"                                      \
	"ldh [12]\njeq #0x8100, tagged\nldh [12]\njeq #0x88a8, tagged\nldh [12]\njne #0x9100, no\n" \
	"tagged: ldx M[1]\nldh [x + 12]\njne #0x8892, no\n"                                         \
	"yes: ret #262144\nno: ret #0\n"

/* `vlan and vlan` (#581): stores were taken for dead that another way reads. */
#define VLAN_VLAN                                                                             \
	"ld #0\nst M[0]\nst M[1]\nldb [vlan_avail]\njeq #1, one\n"                            \
	"ld M[0]\nadd #4\nst M[0]\nld M[1]\nadd #4\nst M[1]\n"                                \
	"ldh [12]\njeq #0x8100, one\nldh [12]\njeq #0x88a8, one\nldh [12]\njne #0x9100, no\n" \
	"one: ldx M[1]\nldh [x + 12]\njeq #0x8100, yes\nldx M[1]\nldh [x + 12]\n"             \
	"jeq #0x88a8, yes\nldx M[1]\nldh [x + 12]\njne #0x9100, no\n"                         \
	"yes: ret #262144\nno: ret #0\n"

/* `vxlan and ip` (#1670, #1726): a live `st M[1]` in front of a branch that reads it on one side. */
#define TUNNEL                                                                            \
	"ldh [12]\njne #0x800, no\nldb [23]\njne #17, no\nldxb 4*([14]&0xf)\n"            \
	"ldh [x + 16]\njne #4789, no\ntxa\nadd #30\nst M[0]\nadd #14\nst M[1]\n"          \
	"ldx M[0]\nldh [x + 12]\njne #0x800, no\nldx M[1]\nldb [x]\nrsh #4\njne #4, no\n" \
	"ret #262144\nno: ret #0\n"

#define UDP "45000040 00000000 40110000 05050505 06060606 12b512b5 002c0000 08000000 00001200 "

static const struct bug bugs[] = {
	{ "#1513 bare", VLAN_TYPE, MACS "8892 00000000 00000000", false, true },
	{ "#1513 beside", VLAN_TYPE, MACS "8892 00000000 00000000", true, true },
	{ "#1513 among", VLAN_TYPE, MACS "8100 0005 8892 00000000", false, true },
	{ "#1513 both", VLAN_TYPE, MACS "8100 0005 8892 00000000", true, false },
	{ "#1513 other", VLAN_TYPE, MACS "0800 0005 8892 00000000", true, false },
	{ "#581 one", VLAN_VLAN, MACS "8100 0005 0800 00000000", false, false },
	{ "#581 two", VLAN_VLAN, MACS "8100 0005 8100 00060800", false, true },
	{ "#581 beside and among", VLAN_VLAN, MACS "8100 0005 0800 00000000", true, true },
	{ "#581 beside alone", VLAN_VLAN, MACS "0800 0005 8100 00000000", true, false },
	{ "#1726 IPv4 inside", TUNNEL, MACS "0800 " UDP MACS "0800 45", false, true },
	{ "#1726 ARP inside", TUNNEL, MACS "0800 " UDP MACS "0806 00", false, false },
	{ "jset #-1", "ld [0]\njset #0xffffffff, y\nret #0\ny: ret #1\n", "00000100", false, true },
	{ "jset #-1, 0", "ld [0]\njset #0xffffffff, y\nret #0\ny: ret #1\n", "00000000", false, false },
	{ "a comparison that contradicts itself",
	  "ldb [0]\nand #0xf0\njeq #0x0f, y\nret #0\ny: ret #1", "0f", false, false },
};

static void test_known_bugs_as_programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bugs); i++) {
		struct pf_prog *prog = compile("bpf", bugs[i].text, NULL);
		struct pf_aux aux = { .known = 1u << PF_AUX_VLAN_PRESENT };

		aux.value[PF_AUX_VLAN_PRESENT] = bugs[i].tag;
		if ((run_hex(prog, bugs[i].packet, &aux) != 0) != bugs[i].match)
			fail_msg("%s", bugs[i].name);
		pf_unref(prog);
	}
}

static void test_known_bugs_as_expressions(void **state)
{
	static const struct {
		const char *text, *packet;
		bool match;
	} cases[] = {
		/* #58: rejected what it should accept */
		{ "ip[4:2] & 0x0fff >= 2140 and ip[4:2] & 0x0fff <= 2147",
		  MACS "0800 45000014 085f0000 40060000 0a000001 0a000002", true },
		{ "ip[4:2] & 0x0fff >= 2140 and ip[4:2] & 0x0fff <= 2147",
		  MACS "0800 45000014 085b0000 40060000 0a000001 0a000002", false },
		/* #1162 */
		{ "vlan and ether[len - 4:4] = 0x01020304", MACS "8100 0005 0800 00000000 01020304",
		  true },
		{ "vlan and ether[len - 4:4] = 0x01020304", MACS "8100 0005 0800 00000000 01020305",
		  false },
		/* #798: what `vlan` shifts stays shifted to the right of it; that is what it says */
		{ "ether proto 0x8892 or (vlan and ether proto 0x8892)", MACS "8100 0005 8892 0000",
		  true },
		{ "ether proto 0x8892 or (vlan and ether proto 0x8892)", MACS "8892 0000 0000 0000",
		  true },
		{ "ether proto 0x8892 or (vlan and ether proto 0x8892)", MACS "0800 0000 8892 0000",
		  false },
		/* satisfiable, and said to reject all packets */
		{ "ether[0] & 1 = 0 and ether[0] = 2", MACS "0800", true },
		{ "ip and ip[0] & 0xf = 5 and ip[0] & 0xf0 = 0x40", MACS "0800 " IP4, true },
		{ "len >= 14 and len <= 14", MACS "0800", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pf_prog *prog = compile("pcap", cases[i].text, NULL);

		if ((run_hex(prog, cases[i].packet, NULL) != 0) != cases[i].match)
			fail_msg("%s", cases[i].text);
		pf_unref(prog);
	}
}

/* #112: branches that were moved for ever. */
static void test_everything_ends(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	uint64_t begin = pfs_clock_mono();

	(void)state;
	for (int i = 0; i < 100; i++)
		pfs_buf_printf(&text, "%s(host 10.%d.0.%d and not port %d)", i ? " or " : "", i % 7,
			       i % 256, i);
	pf_unref(compile("pcap", text.data, NULL));
	text.len = 0;
	for (int i = 0; i < 80; i++)
		pfs_buf_printf(&text, "%snot (tcp[%d] & %d = 0 or udp[%d:2] > ip[%d:2])",
			       i ? " and " : "", i % 20, i % 256, i % 9, i % 12);
	pf_unref(compile("pcap", text.data, NULL));
	assert_true(pfs_clock_mono() - begin < UINT64_C(60000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_types_and_snaplen),
		cmocka_unit_test(test_direction_is_a_field),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_known_bugs_as_programs),
		cmocka_unit_test(test_known_bugs_as_expressions),
		cmocka_unit_test(test_everything_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
