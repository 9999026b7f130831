/*
 * bpf - classic BPF as text and as bytes: every form of the same program, what is refused and with what words
 */
#include "help.h"

#include <pcap/pcap.h>

#include "pf/back/cbpf.h"
#include "pf/front/cbpf.h"
#include "pf/front/bpftext.h"
#include "pf/front/pcap.h"

/* --- forms ----------------------------------------------------------------------------------- */

static const struct pf_insn tcp_syn[] = {
	{ 0x28, 0, 0, 12 }, { 0x15, 0, 6, 0x800 },  { 0x30, 0, 0, 23 },
	{ 0x15, 0, 4, 6 },  { 0xb1, 0, 0, 14 },	    { 0x50, 0, 0, 27 },
	{ 0x45, 0, 1, 2 },  { 0x6, 0, 0, 0x40000 }, { 0x6, 0, 0, 0 },
};

static void expect_parsed(const char *text, size_t len, const struct pf_insn *want, size_t n)
{
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_error error = { "" };
	size_t got = 0;

	if (pf_bpf_parse(text, len, &insns, &got, &error) < 0)
		fail_msg("%s\n%s", text, error.text);
	assert_int_equal(got, n);
	assert_memory_equal(insns, want, n * sizeof(*want));
}

static void test_forms(void **state)
{
	static const char *const forms[] = {
		/* tcpdump -d */
		"(000) ldh      [12]\n(001) jeq      #0x800           jt 2\tjf 8\n"
		"(002) ldb      [23]\n(003) jeq      #0x6             jt 4\tjf 8\n"
		"(004) ldxb     4*([14]&0xf)\n(005) ldb      [x + 27]\n"
		"(006) jset     #0x2             jt 7\tjf 8\n(007) ret      #262144\n(008) ret      #0\n",
		/* -dd */
		"{ 0x28, 0, 0, 0x0000000c },\n{ 0x15, 0, 6, 0x00000800 },\n{ 0x30, 0, 0, 0x00000017 },\n"
		"{ 0x15, 0, 4, 0x00000006 },\n{ 0xb1, 0, 0, 0x0000000e },\n{ 0x50, 0, 0, 0x0000001b },\n"
		"{ 0x45, 0, 1, 0x00000002 },\n{ 0x6, 0, 0, 0x00040000 },\n{ 0x6, 0, 0, 0x00000000 },\n",
		/* -ddd */
		"9\n40 0 0 12\n21 0 6 2048\n48 0 0 23\n21 0 4 6\n177 0 0 14\n80 0 0 27\n69 0 1 2\n"
		"6 0 0 262144\n6 0 0 0\n",
		/* iptables and bpf_asm */
		"9,40 0 0 12,21 0 6 2048,48 0 0 23,21 0 4 6,177 0 0 14,80 0 0 27,69 0 1 2,6 0 0 262144,6 0 0 0,",
		/* assembler */
		"/* SYNs */\n ldh [12]\n jne #0x800, drop ; not IP\n ldb [23]\n jneq #6, drop\n"
		"ldx 4*([14]&0xf)\nldb [%x+27]\n JSET #0b10, keep, drop\nkeep: ret #0x40000\ndrop: ret #0\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		/* jne with one label has its no side next. */
		expect_parsed(forms[i], strlen(forms[i]), tcp_syn, ARRAY_SIZE(tcp_syn));
	}
	expect_parsed((const char *)tcp_syn, sizeof(tcp_syn), tcp_syn, ARRAY_SIZE(tcp_syn));
}

static void test_every_instruction(void **state)
{
	static const struct {
		const char *text;
		struct pf_insn insn;
	} lines[] = {
		{ "ld [4]", { 0x20, 0, 0, 4 } },
		{ "ldh [0x10]", { 0x28, 0, 0, 16 } },
		{ "ldb [010]", { 0x30, 0, 0, 8 } },
		{ "ld [x + 4]", { 0x40, 0, 0, 4 } },
		{ "ldh [x]", { 0x48, 0, 0, 0 } },
		{ "ldb [x-1]", { 0x50, 0, 0, 0xffffffff } },
		{ "ld #-1", { 0x00, 0, 0, 0xffffffff } },
		{ "ldi 7", { 0x00, 0, 0, 7 } },
		{ "ld M[3]", { 0x60, 0, 0, 3 } },
		{ "ld len", { 0x80, 0, 0, 0 } },
		{ "ld #pktlen", { 0x80, 0, 0, 0 } },
		{ "ldx #9", { 0x01, 0, 0, 9 } },
		{ "ldxi #9", { 0x01, 0, 0, 9 } },
		{ "ldx M[15]", { 0x61, 0, 0, 15 } },
		{ "ldx #len", { 0x81, 0, 0, 0 } },
		{ "ldxb 4*([14]&0xf)", { 0xb1, 0, 0, 14 } },
		{ "st M[1]", { 0x02, 0, 0, 1 } },
		{ "stx M[2]", { 0x03, 0, 0, 2 } },
		{ "add #1", { 0x04, 0, 0, 1 } },
		{ "sub x", { 0x1c, 0, 0, 0 } },
		{ "mul %x", { 0x2c, 0, 0, 0 } },
		{ "div #3", { 0x34, 0, 0, 3 } },
		{ "mod #3", { 0x94, 0, 0, 3 } },
		{ "and #0xff", { 0x54, 0, 0, 255 } },
		{ "or 1", { 0x44, 0, 0, 1 } },
		{ "xor x", { 0xac, 0, 0, 0 } },
		{ "lsh #2", { 0x64, 0, 0, 2 } },
		{ "rsh x", { 0x7c, 0, 0, 0 } },
		{ "neg", { 0x84, 0, 0, 0 } },
		{ "tax", { 0x07, 0, 0, 0 } },
		{ "txa", { 0x87, 0, 0, 0 } },
		{ "ret a", { 0x16, 0, 0, 0 } },
		{ "ret %a", { 0x16, 0, 0, 0 } },
		{ "ret", { 0x16, 0, 0, 0 } },
		{ "ret #-1", { 0x06, 0, 0, 0xffffffff } },
		{ "ja z", { 0x05, 0, 0, 0 } },
		{ "jmp z", { 0x05, 0, 0, 0 } },
		{ "jeq x, z", { 0x1d, 0, 0, 0 } },
		{ "jgt #1, z", { 0x25, 0, 0, 1 } },
		{ "jge %x, z", { 0x3d, 0, 0, 0 } },
		{ "jlt #1, z, z", { 0x35, 0, 0, 1 } },
		{ "jle #1, z, z", { 0x25, 0, 0, 1 } },
		{ "ldh [vlan_tci]", { 0x28, 0, 0, 0xfffff02c } },
		{ "ldb [vlanp]", { 0x30, 0, 0, 0xfffff030 } },
		{ "ld vlan_avail", { 0x20, 0, 0, 0xfffff030 } },
		{ "ld #proto", { 0x20, 0, 0, 0xfffff000 } },
		{ "ld rand", { 0x20, 0, 0, 0xfffff038 } },
		{ "ldb [-4048]", { 0x30, 0, 0, 0xfffff030 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct pf_insn want[2] = { lines[i].insn, { 0x06, 0, 0, 0 } };
		char text[100];

		snprintf(text, sizeof(text), "%s\nz: ret #0", lines[i].text);
		expect_parsed(text, strlen(text), want, 2);
	}
}

/* What we list is what we read: everything that the corpus compiles to, and random programs. */
static void round_trip(const struct pf_insn *insns, size_t n)
{
	PFS_BUF struct pfs_buf out = { 0 };

	pf_cbpf_print(insns, n, &out);
	expect_parsed(out.data, out.len, insns, n);
}

static void test_listings_are_read_back(void **state)
{
	struct dice dice = { 11 };
	struct expression *corpus;
	size_t ncorpus = corpus_load(&corpus);

	(void)state;
	for (size_t i = 0; i < ncorpus; i++) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		size_t n;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &n, NULL), 0);
		if (pf_cbpf_check(insns, n, 0, NULL) == 0) /* no way back */
			round_trip(insns, n);
		free(insns);
	}
	for (unsigned i = 0; i < 2000; i++) {
		struct pf_insn insns[60];

		round_trip(insns, random_program(&dice, insns, 60));
	}
	corpus_release(corpus, ncorpus);
}

/* tcpdump's own listing, through libpcap's printer. */
static void test_reads_libpcaps_listing(void **state)
{
	struct expression *corpus;
	size_t ncorpus = corpus_load(&corpus);

	(void)state;
	for (size_t i = 0; i < ncorpus; i += 3) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		size_t n;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &n, NULL), 0);
		for (size_t k = 0; k < n; k++)
			pfs_buf_printf(&out, "%s\n",
				       bpf_image((const struct bpf_insn *)&insns[k], (int)k));
		if (pf_cbpf_check(insns, n, 0, NULL) == 0)
			expect_parsed(out.data, out.len, insns, n);
		free(insns);
	}
	corpus_release(corpus, ncorpus);
}

/* --- refusals ---------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
	static const struct {
		const char *text;
		const char *words;
		unsigned line;
	} bad[] = {
		{ "", "empty", 0 },
		{ " ; nothing\n", "empty", 0 },
		{ "ldh [12]", "no return", 0 },
		{ "ret #0\nldq [3]\n", "no instruction 'ldq'", 2 },
		{ "ld\nret #0", "what should be loaded", 2 },
		{ "ld [12\nret #0", "a ] is missing", 2 },
		{ "ld [99999999999]\nret #0", "32 bits", 1 },
		{ "ld [0x]\nret #0", "number is missing", 1 },
		{ "ld [0b12]\nret #0", "not a number", 1 },
		{ "ld M[16]\nret #0", "no M[16]", 0 },
		{ "ld M[3]\nret a", "may not have been written", 0 },
		{ "ldb [0]\njeq #1, a, b\na: st M[0]\nb: ld M[0]\nret a",
		  "may not have been written", 0 },
		{ "div #0\nret a", "divides by 0", 0 },
		{ "jeq #1, far\nret #0", "no label 'far'", 1 },
		{ "a: ret #0\na: ret #1", "second time", 2 },
		{ "a: ldb [0]\njeq #1, a\nret #0", "only go forward", 2 },
		{ "a: ldb [0]\nja a\nret #0", "only go forward", 2 },
		{ "jeq #1 jt 0 jf 2\nret #0\nret #1", "too far, or back", 1 },
		{ "jeq #1 jt 1\nret #0", "jf is missing", 1 },
		{ "ja 5\nret #0", "out of the program", 0 },
		{ "jeq #1, end\nret #0\nend:", "", 3 },
		{ "ldx 5*([14]&0xf)\nret #0", "only 4*([k]&0xf)", 1 },
		{ "ldx 4*([14]&0xe)\nret #0", "only 4*([k]&0xf)", 1 },
		{ "ld nla\nret a", "netlink", 0 },
		{ "ldh [-0x100000]\nret a", "network header", 0 },
		{ "ldh [0xffe00003]\nret a", "link header", 0 },
		{ "ldh [-4000]\nret a", "nothing is known", 0 },
		{ "(001) ret #0", "not numbered in order", 1 },
		{ "{ 0x6, 0, 0 }", "comma is missing", 1 },
		{ "{ 0x6, 0, 256, 0 }", "too large for its field", 1 },
		{ "{ 0x6, 0, 0, 0", "} is missing", 1 },
		{ "{ 0xe, 0, 0, 0 }", "no code 0xe", 0 },
		{ "{ 0x106, 0, 0, 0 }", "no code 0x106", 0 },
		{ "2\n6 0 0 0\n", "announced", 3 },
		{ "1\n6 0 0\n", "number is missing", 3 },
	};
	struct pf_prog *prog;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pf_error error = { "" };
		int r = pf_compile("bpf", bad[i].text, strlen(bad[i].text), NULL, &prog, &error);

		if (r != -EINVAL || !strstr(error.text, bad[i].words) ||
		    (bad[i].line && error.line != bad[i].line))
			fail_msg("%s\n%d, line %u: %s", bad[i].text, r, error.line, error.text);
	}
	assert_int_equal(pf_compile("bpf", "\6\0\0\0\0\0\0", 7, NULL, &prog, NULL), -EINVAL);
	assert_int_equal(pf_compile("perl", "1", 1, NULL, &prog, NULL), -ENOENT);
}

/* Large, deep, doubling: bounded in time and memory, and refused in words when it is too much. */
static void test_hostile_programs(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_packet p = { (const uint8_t *)"abcdefgh", 8, 8, NULL };
	struct pf_error error;
	struct pf_insn *insns;
	struct pf_prog *prog;
	size_t n;

	(void)state;
	/* x = x * x, over and over: as a tree it would have 2^60000 leaves */
	pfs_buf_str(&text, "ldb [0]\n");
	for (int i = 0; i < 60000; i++)
		pfs_buf_str(&text, i % 2 ? "add #3\n" : "tax\nmul x\n");
	pfs_buf_str(&text, "ret a\n");
	assert_int_equal(pf_compile("bpf", text.data, text.len, NULL, &prog, &error), -E2BIG);
	text.len = 0;
	pfs_buf_str(&text, "ldb [0]\n");
	for (int i = 0; i < 20000; i++)
		pfs_buf_str(&text, i % 2 ? "add #3\n" : "tax\nmul x\n");
	pfs_buf_str(&text, "ret a\n");
	assert_int_equal(pf_compile("bpf", text.data, text.len, NULL, &prog, &error), 0);
	pf_run(prog, &p);
	assert_int_equal(pf_emit_cbpf(prog, PF_CBPF_LINUX, &insns, &n, &error), -E2BIG);
	pf_unref(prog);

	/* ten thousand branches to one place, each with another value of A */
	text.len = 0;
	for (int i = 0; i < 10000; i++)
		pfs_buf_printf(&text, "ldb [%d]\njeq #%d, l%d\nadd #%d\nl%d: tax\n", i % 8, i % 256,
			       i, i, i);
	pfs_buf_str(&text, "ret a\n");
	assert_int_equal(pf_compile("bpf", text.data, text.len, NULL, &prog, &error), 0);
	pf_run(prog, &p);
	pf_unref(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_every_instruction),
		cmocka_unit_test(test_listings_are_read_back),
		cmocka_unit_test(test_reads_libpcaps_listing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hostile_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
