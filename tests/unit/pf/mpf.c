/*
 * mpf - the language by cases: text and encodings, what is refused and how, what is proved
 */
#include "help.h"

#include "mpf_plain.h"
#include "pf/front/mpf.h"
#include "tests/unit/pf/solver.h"

static const char tcp[] = "	ldh [12]\n"
			  "	jne #0x800, fail\n"
			  "	ld [26]\n"
			  "	st M[0]\n"
			  "	ldh [34]\n"
			  "	st M[1]\n"
			  "	match_imm #96, 2	; bytes, keys\n"
			  "	key #0x0a000001\n"
			  "	key #80\n"
			  "fail:	ret #0\n";

static const char udp[] =
	"	ldh [20]\n	jset #0x1fff, later\n	ldh [36]\n	st M[0]\n"
	"	ckmatch_imm #1, found, fail\n	key #53\n"
	"found:	ld [26]\n	st M[0]\n	reg_data #30000, 1\n	ret #262144\n"
	"later:	ld [26]\n	st M[0]\n	postpone #5000\n	match_data #262144, 1\n"
	"fail:	ret #0\n";

static void test_text(void **state)
{
	static const struct pf_insn want[] = {
		{ 0x28, 0, 0, 20 },	{ 0x45, 8, 0, 0x1fff }, { 0x28, 0, 0, 36 },
		{ 0x02, 0, 0, 0 },	{ 0x55, 1, 9, 1 },	{ 0x17, 0, 0, 53 },
		{ 0x20, 0, 0, 26 },	{ 0x02, 0, 0, 0 },	{ 0x1f, 1, 0, 30000 },
		{ 0x06, 0, 0, 262144 }, { 0x20, 0, 0, 26 },	{ 0x02, 0, 0, 0 },
		{ 0x27, 0, 0, 5000 },	{ 0x26, 1, 0, 262144 }, { 0x06, 0, 0, 0 },
	};
	static const struct pf_insn by_keys[] = {
		{ 0x00, 0, 0, 7 }, { 0x02, 0, 0, 0 }, { 0x1e, 1, 0, 9 }, { 0x17, 0, 0, 7 }
	};
	static const char numbers[] = "4,0 0 0 7,2 0 0 0,30 1 0 9,23 0 0 7,";
	PFS_FREE struct pf_insn *insns = NULL, *again = NULL, *bytes = NULL;
	struct pf_error error = { "" };
	size_t n;

	(void)state;
	if (pf_mpf_parse(udp, strlen(udp), &insns, &n, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(n, ARRAY_SIZE(want));
	assert_memory_equal(insns, want, sizeof(want));
	assert_int_equal(pf_mpf_parse(numbers, strlen(numbers), &again, &n, &error), 0);
	assert_int_equal(n, ARRAY_SIZE(by_keys));
	assert_memory_equal(again, by_keys, sizeof(by_keys));
	assert_int_equal(pf_mpf_parse((const char *)by_keys, sizeof(by_keys), &bytes, &n, &error), 0);
	assert_memory_equal(bytes, by_keys, sizeof(by_keys));
	assert_int_equal(pf_mpf_match(insns, 15), 4);
	assert_int_equal(pf_mpf_keys(&insns[4]), 1);
	assert_int_equal(pf_mpf_keys(&by_keys[2]), 1);
}

static uint32_t run(const char *text, const uint8_t *p, uint32_t n)
{
	struct pf_packet packet = { .data = p, .caplen = n, .len = n };
	struct pf_error error = { "" };
	struct pf_prog *prog;
	uint32_t r;

	if (pf_compile("mpf", text, strlen(text), NULL, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	r = pf_run(prog, &packet);
	pf_unref(prog);
	return r;
}

/* Alone, a program is that of its own session. */
static void test_verdicts(void **state)
{
	uint8_t p[60] = { [12] = 8, [26] = 10, [29] = 1, [35] = 80, [37] = 53 };

	(void)state;
	assert_int_equal(run(tcp, p, 60), 96);
	assert_int_equal(run(tcp, p, 35), 0);
	assert_int_equal(run(udp, p, 60), 262144);
	p[35] = 81;
	assert_int_equal(run(tcp, p, 60), 0);
	p[37] = 54;
	assert_int_equal(run(udp, p, 60), 0);
	p[37] = 53;
	p[21] = 1; /* a later fragment: nothing is registered */
	assert_int_equal(run(udp, p, 60), 0);
	/* A program that asks for sessions accepts for one, or not at all. */
	assert_int_equal(
		run("ld #1\nst M[0]\nldb [0]\njeq #0, a, b\na: ret #7\nb: match_imm #9, 1\nkey #1",
		    p, 60),
		0);
	assert_int_equal(
		run("ld #1\nst M[0]\nldb [0]\njeq #1, a, b\na: ret #7\nb: match_imm #9, 1\nkey #1",
		    p, 60),
		9);
	/* One that asks for none is classic BPF. */
	assert_int_equal(run("ldb [12]\nret a", p, 60), 8);
	/* What a field has that its instruction does not use does not matter. */
	assert_int_equal(run("4,0 0 0 7,2 0 0 0,30 1 0 9,23 97 97 7,", p, 60), 9);
	assert_int_equal(run("5,0 0 0 7,39 97 97 5,2 0 0 0,30 1 0 9,23 0 0 7,", p, 60), 9);
	/* Without a second label it goes on behind the keys. */
	assert_int_equal(run("ld #1\nst M[0]\nckmatch_imm #1, y\nkey #2\nret #0\ny: ret #5", p, 60), 0);
	assert_int_equal(run("ld #2\nst M[0]\nckmatch_imm #1, y\nkey #2\nret #0\ny: ret #5", p, 60), 5);
}

static void refused(const char *text, const char *says)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;

	assert_int_equal(pf_compile("mpf", text, strlen(text), NULL, &prog, &error), -EINVAL);
	if (!strstr(error.text, says))
		fail_msg("%s: %s", text, error.text);
}

static void refused_insns(const struct pf_insn *insns, size_t n, const char *says)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;

	assert_int_equal(pf_compile("mpf", (const char *)insns, n * sizeof(*insns), NULL, &prog, &error),
			 -EINVAL);
	if (!strstr(error.text, says))
		fail_msg("%s, not %s", error.text, says);
	/* None of it is classic BPF. */
	assert_int_equal(pf_compile_insns(insns, n, NULL, &prog, &error), -EINVAL);
}

static void test_what_is_refused(void **state)
{
	static const struct pf_insn none[] = { { 0x1e, 0, 0, 9 }, { 0x06, 0, 0, 0 } };
	static const struct pf_insn many[] = { { 0x55, 1, 0, 0xffffffff },
					       { 0x17, 0, 0, 0 },
					       { 0x06, 0, 0, 0 } };
	static const struct pf_insn short_of[] = {
		{ 0, 0, 0, 1 }, { 2, 0, 0, 0 }, { 0x1e, 1, 0, 9 }, { 6, 0, 0, 0 }
	};
	static const struct pf_insn into[] = { { 0, 0, 0, 1 },	  { 2, 0, 0, 0 },
					       { 0x05, 0, 0, 1 }, { 0x1e, 1, 0, 9 },
					       { 0x17, 0, 0, 7 }, { 6, 0, 0, 0 } };
	static const struct pf_insn words[] = { { 0x26, 200, 0, 9 } };

	(void)state;
	refused("match_imm #9, 1\nkey #1", "reads M[0]");
	refused("ld #1\nst M[0]\nmatch_imm #9, 2\nkey #1\nkey #2", "reads M[1]");
	refused("match_imm #9, 17", "1 to 16");
	refused("ckmatch_imm #0, a", "1 to 16");
	refused("ld #1\nst M[0]\nmatch_imm #9, 1\nret #0", "has 1 keys, but only 0");
	refused("key #1\nret #0", "a key of nothing");
	refused("ld #1\nst M[0]\nmatch_imm #9, 1\nkey #1\nkey #2", "a key of nothing");
	refused("ld #1\nst M[0]\nckmatch_imm #1, y, n\nkey #1\ny: match_imm #9, 1\nkey #2\nn: ret #0",
		"asked for once");
	refused("ld #1\nst M[0]\nreg_data #1, 1\nmatch_imm #9, 1\nkey #2",
		"no session need have been found");
	refused("ld #1\nst M[0]\nckmatch_imm #1, y, y\nkey #1\ny: reg_data #1, 1\nret #1",
		"no session need");
	refused("ld #1\nst M[0]\nckmatch_imm #1, y, y\nkey #1\ny: ret #1",
		"with a session and without one");
	refused("ld #1\nst M[0]\nckmatch_imm #1, y, n\nkey #1\ny: reg_data #1, 1\nreg_data #1, 1\nret #1\nn: ret #0",
		"for the second time");
	refused("postpone #1\npostpone #1\nret #0", "postpones for the second time");
	refused("postpone #0\nret #0", "0 ms; 1 to 3600000");
	refused("postpone #3600001\nret #0", "3600001 ms");
	refused("match_data #1\n", "a , is missing");
	refused_insns(none, 2, "asks for 0 keys");
	refused_insns(many, 3, "asks for 4294967295 keys");
	refused_insns(short_of, 4, "only 0 stand behind it");
	refused_insns(into, 6, "is a key, and something leads there");
	refused_insns(words, 1, "200 words");
}

/* Other languages do not know them. */
static void test_bpf_is_still_bpf(void **state)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;

	(void)state;
	assert_int_equal(pf_compile("bpf", tcp, strlen(tcp), NULL, &prog, &error), -EINVAL);
	assert_non_null(strstr(error.text, "there is no instruction 'match_imm'"));
}

static void add_proofs(struct pfs_buf *all, const char *text, size_t len)
{
	PFS_FREE char *claims = NULL;
	struct pf_prog *prog;

	assert_int_equal(pf_compile("mpf", text, len, NULL, &prog, NULL), 0);
	assert_int_equal(pf_dump(prog, "smt", &claims, NULL), 0);
	pfs_buf_str(all, claims);
	pfs_buf_str(all, "(reset)\n");
	pf_unref(prog);
}

/* For all packets of up to 256 bytes: these, and some made at random, without products of what is not known. */
static void test_proof(void **state)
{
	PFS_BUF struct pfs_buf all = { 0 }, answer = { 0 };
	struct packets packets = { 0 };
	struct dice dice = { 4 };
	unsigned proved = 0, unknown = 0;

	(void)state;
	if (!solver_is_here())
		skip();
	packets_generate(&packets, 5, 20);
	add_proofs(&all, tcp, strlen(tcp));
	add_proofs(&all, udp, strlen(udp));
	for (unsigned n = 0; n < 12;) {
		struct mpf_program prog;
		bool hard = false;

		mpf_random(&dice, &packets.of[n], &prog);
		for (size_t i = 0; i < prog.n; i++)
			hard = hard || ((prog.insn[i].code & 0x0f) == 0x0c &&
					(prog.insn[i].code & 0xf0) != 0x00 &&
					(prog.insn[i].code & 0xf0) != 0x10);
		if (hard)
			continue;
		add_proofs(&all, (const char *)prog.insn, prog.n * sizeof(prog.insn[0]));
		n++;
	}
	solver_ask(&all, &answer);
	for (const char *line = answer.data; *line; line += strcspn(line, "\n") + 1) {
		if (!strncmp(line, "unsat\n", 6))
			proved++;
		else if (!strncmp(line, "unknown\n", 8) || !strncmp(line, "timeout", 7))
			unknown++;
		else
			fail_msg("claim %u: %.40s", proved + unknown, line);
	}
	print_message("%u claims proved, %u not decided\n", proved, unknown);
	assert_true(proved >= 38);
	packets_release(&packets);
}

/* A key taken for another is found. */
static void test_a_mistake_is_found(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n;

	(void)state;
	if (!solver_is_here())
		skip();
	assert_int_equal(pf_mpf_parse(tcp, strlen(tcp), &insns, &n, NULL), 0);
	pf_smt_packet(&text, SOLVER_BYTES);
	assert_int_equal(pf_smt_mpf(insns, n, "a", &text), 0);
	insns[8].k = 81;
	assert_int_equal(pf_smt_mpf(insns, n, "b", &text), 0);
	pf_smt_claim("a", "b", 0, &text);
	solver_ask(&text, &answer);
	assert_string_equal(answer.data, "sat\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_bpf_is_still_bpf),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_a_mistake_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
