/*
 * opt - the passes: what they are for, that each can be left out, how many instructions are left
 *
 * The measure is classic BPF, against libpcap's own optimiser over the corpus. Where ours needs
 * more it is because libpcap's has changed what the program means: then a packet is shown about
 * which its two programs differ.
 */
#include "help.h"
#include "solver.h"

#include <pcap/pcap.h>

#include "pf/front/pcap.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"
#include "pf/opt/opt.h"

static unsigned passes(void)
{
	unsigned n = 0;

	while (pf_pass_name(n))
		n++;
	return n;
}

static uint64_t all_but(const char *name)
{
	for (unsigned i = 0; pf_pass_name(i); i++)
		if (strcmp(pf_pass_name(i), name) == 0)
			return ~(UINT64_C(1) << i);
	fail_msg("no pass %s", name);
	return 0;
}

static void expect_opt(const char *language, const char *text, uint64_t without, const char *want)
{
	struct pf_options options = PF_OPTIONS_INIT;
	PFS_FREE char *listing = NULL;
	struct pf_error error = { "" };
	struct pf_prog *prog;

	options.without = without;
	if (pf_compile(language, text, strlen(text), &options, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	assert_int_equal(pf_dump(prog, "opt", &listing, &error), 0);
	if (strcmp(listing, want) != 0)
		fail_msg("%s:\n%sinstead of\n%s", text, listing, want);
	pf_unref(prog);
}

/* --- each pass ------ */

static void test_all_passes(void **state)
{
	(void)state;
	expect_opt("pcap", "ip and tcp", 0,
		   "b0:\n\tif fits 24 go b1 else b4\n"
		   "b1:\n\tif load16[12] == 0x800 go b2 else b4\n"
		   "b2:\n\tif load8[23] == 6 go b3 else b4\n"
		   "b3:\n\tresult 0 = 0x40000\n\tstop\n"
		   "b4:\n\tstop\n");
	expect_opt("pcap", "ip and arp", 0, "b0:\n\tstop\n");
	expect_opt("pcap", "", 0, "b0:\n\tresult 0 = 0x40000\n\tstop\n");
	/* Even so a packet that is too short for the load is rejected. */
	expect_opt("pcap", "ether[20] >= 0", 0,
		   "b0:\n\tif fits 21 go b1 else b2\nb1:\n\tresult 0 = 0x40000\n\tstop\nb2:\n\tstop\n");
}

static void test_fold(void **state)
{
	(void)state;
	expect_opt("bpf", "ld len\nlsh #2\nrsh #2\nsub #5\nadd #2\nret a", all_but("fold"),
		   "b0:\n\tgo b1\nb1:\n\tresult 0 = (len & 0x3fffffff) + 0xfffffffd\n\tstop\n");
	expect_opt("bpf", "ld #6\nmul #7\njeq #42, y\nret #0\ny: ret #1", all_but("fold"),
		   "b0:\n\tgo b1\nb1:\n\tgo b2\nb2:\n\tresult 0 = 1\n\tstop\n");
}

static void test_assert(void **state)
{
	(void)state;
	/* Behind `len == 7` its value is 7, and what is asked of it again is settled. */
	expect_opt("bpf", "ld len\njeq #7, a\nret #0\na: jgt #9, b\nret a\nb: ret #1",
		   all_but("assert"),
		   "b0:\n\tgo b1\nb1:\n\tif len == 7 go b2 else b4\nb2:\n\tgo b3\nb3:\n\tresult 0 = 7\n\tstop\n"
		   "b4:\n\tstop\n");
}

static void test_bool(void **state)
{
	struct pf_unit u;
	PFS_BUF struct pfs_buf out = { 0 };
	pf_blk yes, no;
	pf_val len, a, b;

	(void)state;
	pf_unit_init(&u);
	u.entry = pf_block(&u);
	yes = pf_block(&u);
	no = pf_block(&u);
	len = pf_value(&u, PF_OP_LEN, 0, 0, 0);
	a = pf_binary(&u, PF_OP_LT, len, pf_const(&u, 5));
	b = pf_binary(&u, PF_OP_EQ, len, pf_const(&u, 9));
	pf_block_branch(&u, u.entry, pf_binary(&u, PF_OP_OR, a, b), yes, no);
	pf_block_result(&u, yes, 0, pf_const(&u, 1));
	pf_block_stop(&u, yes);
	pf_block_stop(&u, no);
	assert_int_equal(pf_optimise(&u, all_but("bool"), NULL, NULL, NULL), 0);
	assert_int_equal(pf_print(&u, &out), 0);
	assert_string_equal(out.data, "b0:\n\tif len < 5 go b2 else b1\n"
				      "b1:\n\tif len == 9 go b2 else b3\n"
				      "b2:\n\tresult 0 = 1\n\tstop\nb3:\n\tstop\n");
	pf_unit_release(&u);
}

static void test_bounds(void **state)
{
	(void)state;
	expect_opt("bpf", "ldb [3]\nldb [9]\nldb [5]\nret a", ~UINT64_C(0) ^ ((1u << passes()) - 1),
		   "b0:\n\tif fits 10 go b1 else b2\nb1:\n\tresult 0 = load8[5]\n\tstop\nb2:\n\tstop\n");
}

/*
 * Two bytes that must be there, a way out of the loop that asks for nothing, one that asks for 30: a packet of 20 may
 * leave by the first, on its second turn.
 */
static void test_bounds_of_loops(void **state)
{
	static const uint8_t bytes[40];
	struct pf_unit u;
	struct eval eval;
	pf_blk head, turn, first, test, far, back, yes, no;
	pf_val fuel, at;

	(void)state;
	pf_unit_init(&u);
	u.entry = pf_block(&u);
	head = pf_block(&u);
	turn = pf_block(&u);
	first = pf_block(&u);
	test = pf_block(&u);
	far = pf_block(&u);
	back = pf_block(&u);
	yes = pf_block(&u);
	no = pf_block(&u);
	fuel = pf_block_param(&u, head);
	at = pf_block_param(&u, head);
	u.blk[head].loop = true;
	pf_block_jump(&u, u.entry, head);
	pf_edge_arg(&u, &u.blk[u.entry].edge[0], pf_const(&u, 10));
	pf_edge_arg(&u, &u.blk[u.entry].edge[0], pf_const(&u, 0));
	pf_block_branch(&u, head, fuel, turn, no);
	pf_block_branch(&u, turn, pf_binary(&u, PF_OP_EQ, at, pf_const(&u, 1)), yes, first);
	pf_block_branch(&u, first, pf_fits(&u, 0, 0, 2), test, no);
	pf_block_branch(&u, test, pf_load(&u, 1, 0, 1), far, back);
	pf_block_branch(&u, far, pf_fits(&u, 0, 0, 30), yes, no);
	pf_block_jump(&u, back, head);
	pf_edge_arg(&u, &u.blk[back].edge[0],
		    pf_binary(&u, PF_OP_ADD, fuel, pf_const(&u, UINT32_MAX)));
	pf_edge_arg(&u, &u.blk[back].edge[0], pf_binary(&u, PF_OP_ADD, at, pf_const(&u, 1)));
	pf_block_result(&u, yes, 0, pf_const(&u, 1));
	pf_block_stop(&u, yes);
	pf_block_stop(&u, no);
	assert_int_equal(pf_verify(&u, NULL), 0);
	assert_int_equal(pf_unit_compact(&u), 0);
	assert_true(pf_pass_bounds.run(&u) >= 0);
	eval_init(&eval, &u);
	assert_int_equal(eval_run(&eval, &(struct pf_packet){ bytes, 20, 20, NULL }), 1);
	assert_int_equal(eval_run(&eval, &(struct pf_packet){ bytes, 1, 1, NULL }), 0);
	eval_release(&eval);
	pf_unit_release(&u);
}

/* A test that comes before the check leads out though the packet is too short; no later one may go in front of it. */
static void test_order_and_checks(void **state)
{
	const char *text =
		"ldb [0]\njeq #1, y\nld len\njeq #77, y\nldb [9]\njeq #1, y\nldb [0]\njeq #2, y\n"
		"ldb [9]\njeq #2, y\nldb [0]\njeq #3, y\nldb [9]\njeq #3, y\nldb [0]\njeq #4, y\n"
		"ldb [9]\njeq #4, y\nldb [0]\njeq #5, y\nret #0\ny: ret #1";
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *with, *without;
	uint8_t bytes[10] = { 0 };

	(void)state;
	assert_int_equal(pf_compile("bpf", text, strlen(text), NULL, &with, NULL), 0);
	options.without = PF_ALL_PASSES;
	assert_int_equal(pf_compile("bpf", text, strlen(text), &options, &without, NULL), 0);
	for (unsigned i = 0; i < 7u * 7 * 11 * 2; i++) {
		struct pf_packet p = { bytes, i / 49 % 11, i / 539 ? 77 : 60, NULL };

		bytes[0] = (uint8_t)(i % 7);
		bytes[9] = (uint8_t)(i / 7 % 7);
		if (pf_run(with, &p) != pf_run(without, &p))
			fail_msg("%u bytes of %u, which begin with %u", p.caplen, p.len, bytes[0]);
	}
	pf_unref(with);
	pf_unref(without);
}

static void test_order(void **state)
{
	/* The second and third source come to the first: who is too short for the destination is rejected still. */
	const char *text =
		"ldb [0]\njeq #1, y\nldb [9]\njeq #1, y\nldb [0]\njeq #2, y\nldb [9]\njeq #2, y\n"
		"ldb [0]\njeq #3, y\nldb [9]\njeq #3, y\nldb [0]\njeq #4, y\nret #0\ny: ret #1";

	(void)state;
	expect_opt("bpf", text, 0,
		   "b0:\n\tif fits 1 go b1 else b11\n"
		   "b1:\n\tif load8[0] == 1 go b10 else b2\n"
		   "b2:\n\tif load8[0] == 2 go b5 else b3\n"
		   "b3:\n\tif load8[0] == 3 go b5 else b4\n"
		   "b4:\n\tif load8[0] == 4 go b5 else b6\n"
		   "b5:\n\tif fits 10 go b10 else b11\n"
		   "b6:\n\tif fits 10 go b7 else b11\n"
		   "b7:\n\tif load8[9] == 1 go b10 else b8\n"
		   "b8:\n\tif load8[9] == 2 go b10 else b9\n"
		   "b9:\n\tif load8[9] == 3 go b10 else b11\n"
		   "b10:\n\tresult 0 = 1\n\tstop\nb11:\n\tstop\n");
}

static void test_widen(void **state)
{
	(void)state;
	expect_opt("pcap", "ip[8] = 5 and ip[9] = 6 and ip[10:2] = 7", 0,
		   "b0:\n\tif fits 26 go b1 else b4\n"
		   "b1:\n\tif load16[12] == 0x800 go b2 else b4\n"
		   "b2:\n\tif load32[22] == 0x5060007 go b3 else b4\n"
		   "b3:\n\tresult 0 = 0x40000\n\tstop\n"
		   "b4:\n\tstop\n");
}

/* --- all together ------ */

/* Leaving any pass out, or all, changes no verdict; whatever is left the verifier takes. */
static void test_each_can_be_left_out(void **state)
{
	struct dice dice = { 21 };
	struct packets packets = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus);

	(void)state;
	packets_generate(&packets, 9, 60);
	for (size_t i = 0; i < n; i += 5) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		size_t ninsns;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		for (unsigned p = 0; p <= passes(); p++) {
			struct pf_error error = { "" };
			struct pf_prog *prog;

			options.without = p < passes() ? UINT64_C(1) << p : PF_ALL_PASSES;
			if (pf_compile("pcap", corpus[i].text, strlen(corpus[i].text), &options,
				       &prog, &error) < 0)
				fail_msg("%s: %s", corpus[i].text, error.text);
			for (unsigned k = 0; k < 8; k++) {
				struct bytes b;
				struct pf_packet packet;
				uint32_t want;

				packet_for(insns, ninsns, &dice, &packets, &b);
				packet = (struct pf_packet){ b.data, roll(&dice, b.n + 1), b.n, NULL };
				want = bpf_filter((const struct bpf_insn *)insns, b.data, b.n,
						  packet.caplen);
				if (pf_run(prog, &packet) != want)
					fail_msg("%s without %s", corpus[i].text,
						 p < passes() ? pf_pass_name(p) : "any pass");
			}
			pf_unref(prog);
		}
		free(insns);
	}
	packets_release(&packets);
	corpus_release(corpus, n);
}

/* --- against libpcap's ------ */

/* libpcap keeps some memory of an expression that its optimiser takes for one that nothing matches. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcap.so";
}

static pcap_t *capture_open(uint16_t link_type)
{
	char said[PCAP_ERRBUF_SIZE];
	uint8_t header[24] = { 0 };

	le32_store(header, 0xa1b2c3d4);
	le32_store(header + 4, 4 << 16 | 2);
	le32_store(header + 16, 262144);
	le32_store(header + 20, link_type);
	return pcap_fopen_offline(fmemopen(header, sizeof(header), "r"), said);
}

/* libpcap's optimised program; false: it refuses to make one (it thinks that nothing matches). */
static bool their_program(const struct expression *e, struct bpf_program *ret_program)
{
	pcap_t *file = capture_open(e->link_type), *device;
	int r = pcap_compile(file, ret_program, e->text, 1, 0);

	if (r < 0) {
		device = pcap_open_dead(pcap_datalink(file), 262144);
		r = pcap_compile(device, ret_program, e->text, 1, 0);
		pcap_close(device);
	}
	pcap_close(file);
	return r == 0;
}

/* Is there a packet about which libpcap's two programs do not agree? */
static bool they_differ(const struct pf_insn *insns, size_t n, const struct bpf_program *theirs,
			const struct packets *packets, struct dice *dice)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct bytes b;

		/* Ways through theirs, too. */
		packet_for(i % 2 ? insns : (const struct pf_insn *)theirs->bf_insns,
			   i % 2 ? n : theirs->bf_len, dice, packets, &b);
		for (uint32_t cut = 0; cut <= b.n && cut < 200; cut++)
			if (bpf_filter((const struct bpf_insn *)insns, b.data, b.n, cut) !=
			    bpf_filter(theirs->bf_insns, b.data, b.n, cut))
				return true;
	}
	return solver_is_here() &&
	       solver_differ(insns, n, (const struct pf_insn *)theirs->bf_insns, theirs->bf_len);
}

/* --- how short a program can be -------------------------------------------------------------- */

#define BOUND_PACKETS 16
#define BOUND_BYTES 64u /* flipped in each */

/* What of a packet a verdict depends on: bytes that, changed alone, change it. */
struct need {
	bool byte[BOUND_BYTES];
	bool high[BOUND_BYTES]; /* not only its lower half, which `ldxb 4*([k]&0xf)` is about */
};

static void find_need(const struct pf_insn *insns, const struct bytes *packet, uint32_t len,
		      struct need *need)
{
	static const uint8_t flips[] = { 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80 };
	const struct bpf_insn *program = (const struct bpf_insn *)insns;
	struct bytes b = *packet;
	uint32_t was = bpf_filter(program, b.data, len, b.n);

	*need = (struct need){ 0 };
	for (uint32_t at = 0; at < b.n && at < BOUND_BYTES; at++)
		for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
			b.data[at] ^= flips[i];
			if (bpf_filter(program, b.data, len, b.n) != was) {
				need->byte[at] = true;
				need->high[at] |= flips[i] > 0x08;
			}
			b.data[at] ^= flips[i];
		}
}

/*
 * At least so many instructions has every program that returns two constants and means the same. The run over this
 * packet must load all bytes that it needs, four at most at a time, and do something with A behind each load before
 * the next one; the lower half of a byte can be had in X by one instruction. Without a loop none is run twice. One
 * return ends the run, another one is for other packets.
 */
static size_t bound_of(const struct need *need)
{
	size_t least[BOUND_BYTES + 4] = { 0 }; /* for the bytes from there on */

	for (uint32_t at = BOUND_BYTES; at-- > 0;) {
		least[at] = least[at + 1];
		if (need->byte[at])
			least[at] = pfs_min(2 + least[at + 4],
					    need->high[at] ? SIZE_MAX : 1 + least[at + 1]);
	}
	return least[0] ? least[0] + 2 : 0;
}

static size_t shortest(const struct pf_insn *insns, size_t n, const struct packets *packets,
		       struct dice *dice)
{
	size_t most = 0;

	for (unsigned i = 0; i < BOUND_PACKETS; i++) {
		struct need need;
		struct bytes b;

		packet_for(insns, n, dice, packets, &b);
		find_need(insns, &b, b.n, &need);
		most = pfs_max(most, bound_of(&need));
	}
	return most;
}

/* By the length of libpcap's code. */
struct row {
	uint32_t up_to;
	unsigned fewer, equal, least, more;
	size_t ours, theirs;
};

static void show_rows(const struct row *row, size_t n)
{
	print_message("libpcap has  expressions  fewer  equal  (none is shorter)  more  ours/theirs\n");
	for (size_t i = 0; i < n; i++)
		print_message("%10u  %11u  %5u  %5u  %17u  %4u  %11.2f\n", row[i].up_to,
			      row[i].fewer + row[i].equal + row[i].more, row[i].fewer, row[i].equal,
			      row[i].least, row[i].more, (double)row[i].ours / (double)row[i].theirs);
}

static void count_row(struct row *row, size_t ours, size_t theirs, size_t least)
{
	while (row->up_to < theirs)
		row++;
	row->fewer += ours < theirs;
	row->equal += ours == theirs;
	row->least += ours == theirs && least >= ours;
	row->more += ours > theirs;
	row->ours += ours;
	row->theirs += theirs;
}

static void test_never_more_than_libpcap(void **state)
{
	struct row row[] = { { 4 }, { 6 }, { 8 }, { 12 }, { 16 }, { 24 }, { 40 }, { UINT32_MAX } };
	struct dice dice = { 4 };
	struct packets packets = { 0 }, none = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus), ours = 0, theirs = 0;
	unsigned fewer = 0, equal = 0, more = 0, refused = 0, worse = 0;

	(void)state;
	packets_generate(&packets, 2, 100);
	for (size_t i = 0; i < n; i++) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct bpf_program program;
		struct pf_insn *insns, *emitted;
		struct pf_prog *prog;
		size_t ninsns, nemitted;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		assert_int_equal(pf_compile("pcap", corpus[i].text, strlen(corpus[i].text),
					    &options, &prog, NULL),
				 0);
		if (!their_program(&corpus[i], &program)) {
			refused++;
		} else if (pf_emit_cbpf(prog, 0, &emitted, &nemitted, NULL) == 0) {
			ours += nemitted;
			theirs += program.bf_len;
			fewer += nemitted < program.bf_len;
			equal += nemitted == program.bf_len;
			more += nemitted > program.bf_len;
			count_row(row, nemitted, program.bf_len,
				  nemitted == program.bf_len
					  ? shortest(emitted, nemitted, i % 2 ? &packets : &none, &dice)
					  : 0);
			if (nemitted > program.bf_len &&
			    !they_differ(insns, ninsns, &program, &packets, &dice)) {
				print_message("%u\t%s: %zu instructions, libpcap has %u\n",
					      corpus[i].link_type, corpus[i].text, nemitted,
					      program.bf_len);
				worse++;
			}
			free(emitted);
			pcap_freecode(&program);
		}
		pf_unref(prog);
		free(insns);
	}
	print_message("instructions: %zu, libpcap %zu; fewer %u, equal %u, more %u (%u of them though "
		      "libpcap's two programs agree); libpcap refuses %u\n",
		      ours, theirs, fewer, equal, more, worse, refused);
	show_rows(row, ARRAY_SIZE(row));
	assert_int_equal(worse, 0);
	assert_true(fewer > 400 && ours * 100 < theirs * 84);
	packets_release(&packets);
	corpus_release(corpus, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_passes),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_assert),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_bounds_of_loops),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_and_checks),
		cmocka_unit_test(test_widen),
		cmocka_unit_test(test_each_can_be_left_out),
		cmocka_unit_test(test_never_more_than_libpcap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
