/*
 * cspf - the language by cases: each action and each operator, what is refused and how, text and words
 */
#include "help.h"

#include "pf/front/cspf.h"
#include "tests/unit/pf/solver.h"

/* Ethernet and what follows: word n is 0x(2n)(2n+1), but for the type; 41 bytes, so that the last is in no word. */
static const uint8_t frame[41] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x08, 0x00,
	0x0e, 0x0f, 0x10, 0x11, 0xff, 0xff, 0x14, 0x15, 0x00, 0x05, 0x18, 0x19, 0x00, 0x00,
	0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
};

static uint32_t run(const char *text, const struct pf_options *options)
{
	struct pf_packet p = { .data = frame, .caplen = sizeof(frame), .len = sizeof(frame) };
	struct pf_error error = { "" };
	struct pf_prog *prog;
	uint32_t r;

	if (pf_compile("cspf", text, strlen(text), options, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	r = pf_run(prog, &p);
	pf_unref(prog);
	return r;
}

static void expect(const char *text, bool accepted)
{
	if ((run(text, NULL) != 0) != accepted)
		fail_msg("%s: %s", text, accepted ? "rejects" : "accepts");
}

static void test_operators(void **state)
{
	static const struct {
		const char *text;
		bool accepted;
	} cases[] = {
		{ "PUSHLIT 5, PUSHLIT|EQ 5", true },
		{ "PUSHLIT 5, PUSHLIT|EQ 6", false },
		{ "PUSHLIT 5, PUSHLIT|NEQ 5", false },
		{ "PUSHLIT 5, PUSHLIT|NEQ 6", true },
		/* T op argument: T is what was there before. */
		{ "PUSHLIT 5, PUSHLIT|LT 6", true },
		{ "PUSHLIT 6, PUSHLIT|LT 5", false },
		{ "PUSHLIT 5, PUSHLIT|LT 5", false },
		{ "PUSHLIT 5, PUSHLIT|LE 5", true },
		{ "PUSHLIT 6, PUSHLIT|LE 5", false },
		{ "PUSHLIT 6, PUSHLIT|GT 5", true },
		{ "PUSHLIT 5, PUSHLIT|GT 5", false },
		{ "PUSHLIT 5, PUSHLIT|GE 5", true },
		{ "PUSHLIT 4, PUSHLIT|GE 5", false },
		{ "PUSHLIT 6, PUSHLIT|AND 3, PUSHLIT|EQ 2", true },
		{ "PUSHLIT 6, PUSHLIT|OR 3, PUSHLIT|EQ 7", true },
		{ "PUSHLIT 6, PUSHLIT|XOR 3, PUSHLIT|EQ 5", true },
		{ "PUSHLIT 6, PUSHLIT|ADD 3, PUSHLIT|EQ 9", true },
		{ "PUSHLIT 6, PUSHLIT|SUB 3, PUSHLIT|EQ 3", true },
		{ "PUSHLIT 6, PUSHLIT|LSH 3, PUSHLIT|EQ 48", true },
		{ "PUSHLIT 48, PUSHLIT|RSH 3, PUSHLIT|EQ 6", true },
		/* 32 bits: 0xffff + 1 is not 0. */
		{ "PUSHLIT 0xffff, PUSHLIT|ADD 1", true },
		{ "PUSHLIT 0xffff, PUSHLIT|ADD 1, PUSHLIT|RSH 16, PUSHLIT|EQ 1", true },
		{ "PUSHLIT 1, PUSHLIT|LSH 32", false },
		{ "PUSHLIT 1, PUSHLIT|LSH 0xffff", false },
		/* The sign moves in, but numbers are compared without one. */
		{ "PUSHZERO, PUSHLIT|SUB 1, PUSHLIT|RSH 40", true },
		{ "PUSHZERO, PUSHLIT|SUB 8, PUSHLIT|RSH 2, PUSHLIT|ADD 2", false },
		{ "PUSHZERO, PUSHLIT|SUB 1, PUSHLIT|GT 0xffff", true },
		{ "PUSHLIT 0xffff, PUSHLIT|RSH 32", false },
		/* Both operands from the stack. */
		{ "PUSHLIT 6, PUSHLIT 5, NOPUSH|GT", true },
		{ "PUSHLIT 6, PUSHLIT 5, GT", true },
		{ "PUSHLIT 5, PUSHLIT 6, NOPUSH|SUB, PUSHLIT|ADD 1", false },
		/* The TRUE at the bottom. */
		{ "", true },
		{ "PUSHLIT|EQ 1", true },
		{ "PUSHLIT|EQ 2", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].text, cases[i].accepted);
}

static void test_actions(void **state)
{
	struct pf_options options = PF_OPTIONS_INIT;

	(void)state;
	expect("PUSHWORD+6, PUSHLIT|EQ 0x0800", true);
	expect("PUSHWORD, PUSHLIT|EQ 0x0001", true);
	expect("PUSHWORD+19, PUSHLIT|EQ 0x2627", true);
	expect("PUSHWORD+20, PUSHONE", false); /* the odd byte */
	expect("PUSHWORD+943, PUSHONE", false);
	expect("PUSHZERO", false);
	/* Word 11 is 5, and word 5 is 0x0a0b. */
	expect("PUSHWORD+11, PUSHIND, PUSHLIT|EQ 0x0a0b", true);
	expect("PUSHLIT 19, PUSHIND", true);
	expect("PUSHLIT 20, PUSHIND, PUSHONE", false);
	/* Twice this number is 2 in 32 bits, and there is a byte 2. */
	expect("PUSHLIT 0x8000, PUSHLIT|LSH 16, PUSHLIT|ADD 1, PUSHIND, PUSHONE", false);
	expect("PUSHZERO, PUSHLIT|SUB 1, PUSHIND, PUSHONE", false);
	/* The header has 7 words, and nothing else. */
	expect("PUSHHDR+6, PUSHLIT|EQ 0x0800", true);
	expect("PUSHHDR+7, PUSHONE", false);
	expect("PUSHHDR+31, PUSHONE", false);
	expect("PUSHLIT 6, PUSHHDRIND, PUSHLIT|EQ 0x0800", true);
	expect("PUSHLIT 7, PUSHHDRIND, PUSHONE", false);
	expect("PUSHLIT 1, PUSHLIT 2, PUSHLIT 3, PUSHSTK, PUSHLIT|EQ 3", true);
	expect("PUSHLIT 1, PUSHLIT 2, PUSHLIT 3, PUSHSTK+2, PUSHLIT|EQ 1", true);
	expect("PUSHLIT 7, PUSHSTK+1|EQ", false);
	expect("PUSHLIT 7, PUSHSTK+0|EQ", true);
	/* Without a link header. */
	options.link_type = 101;
	assert_int_equal(run("PUSHHDR+0, PUSHONE", &options), 0);
	assert_int_equal(run("PUSHZERO, PUSHHDRIND, PUSHONE", &options), 0);
	assert_int_equal(run("PUSHWORD+6, PUSHLIT|EQ 0x0800", &options), 262144);
	/* One of 16 bytes, and what is returned. */
	options.link_type = 113;
	options.snaplen = 96;
	assert_int_equal(run("PUSHHDR+7, PUSHLIT|EQ 0x0e0f", &options), 96);
	assert_int_equal(run("PUSHHDR+8, PUSHONE", &options), 0);
}

static void test_ends(void **state)
{
	(void)state;
	expect("PUSHLIT 5, PUSHLIT|COR 5, PUSHZERO", true);
	expect("PUSHLIT 5, PUSHLIT|COR 6, PUSHZERO", false);
	expect("PUSHLIT 5, PUSHLIT|CAND 6, PUSHONE", false);
	expect("PUSHLIT 5, PUSHLIT|CAND 5, PUSHZERO", false);
	expect("PUSHLIT 5, PUSHLIT|CAND 5, PUSHONE", true);
	expect("PUSHLIT 5, PUSHLIT|CNOR 5, PUSHONE", false);
	expect("PUSHLIT 5, PUSHLIT|CNOR 6, PUSHONE", true);
	expect("PUSHLIT 5, PUSHLIT|CNAND 6, PUSHZERO", true);
	expect("PUSHLIT 5, PUSHLIT|CNAND 5, PUSHZERO", false);
	/* They leave nothing behind: what is on top then was below, here the TRUE. */
	expect("PUSHLIT 5, PUSHLIT|COR 6", true);
	expect("PUSHLIT 9, PUSHLIT 5, PUSHLIT|CNAND 5, PUSHLIT|EQ 9", true);
	/* What ends the program first counts: nothing outside of the packet is looked at any more. */
	expect("PUSHLIT 5, PUSHLIT|COR 5, PUSHWORD+900", true);
}

static void test_text(void **state)
{
	static const uint16_t words[] = { 0x0016, 0x2801, 0x0800, 0x001b, 0x1801, 0x00ff, 0x0401, 5 };
	static const char *const texts[] = {
		"PUSHWORD+6\nPUSHLIT|CAND, 0x0800\nPUSHWORD+11\nPUSHLIT|AND, 0x00ff\nPUSHLIT|EQ, 5\n",
		"pushword + 6 cand|pushlit 2048 PushWord+11 push00ff | and pushlit|eq 5",
		"NETF_PUSHWORD+6, NETF_PUSHLIT|NETF_CAND, 0x0800, ENF_PUSHWORD+11, ENF_PUSH00FF|ENF_AND,\n"
		"ENF_PUSHLIT|ENF_EQ, 5,",
		"0x0016 0x2801 0x0800\n0x001b, 0x1801, 255, 02001 0x5",
		"; IP\nPUSHWORD+6 # type\nPUSHLIT|CAND /* is\n it */ 0x800 // yes\n\n\t.order big\n27,"
		"PUSHLIT|AND\n\n255\nPUSHLIT|EQ,,5\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct pf_error error = { "" };
		uint16_t *got;
		unsigned *lines, flags;
		size_t n;

		if (pf_cspf_parse(texts[i], strlen(texts[i]), &got, &lines, &n, &flags, &error) < 0)
			fail_msg("%s: %s", texts[i], error.text);
		assert_int_equal(n, ARRAY_SIZE(words));
		assert_memory_equal(got, words, sizeof(words));
		assert_int_equal(flags, 0);
		free(got);
		free(lines);
		expect(texts[i], true);
	}
	expect("PUSHWORD+6, PUSHLIT|EQ 0x0008", false);
	expect(".order little\nPUSHWORD+6, PUSHLIT|EQ 0x0008", true);
	expect("PUSHHDR+6, PUSHLIT|EQ 0x0008\n.order little", true);
}

static void test_words(void **state)
{
	static const uint16_t words[] = { 0x0016, 0x0401, 0x0800 };
	struct pf_packet p = { .data = frame, .caplen = sizeof(frame), .len = sizeof(frame) };
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error = { "" };
	struct pf_prog *prog;

	(void)state;
	assert_int_equal(pf_compile_words(words, 3, NULL, &prog, &error), 0);
	assert_int_equal(pf_run(prog, &p), 262144);
	pf_unref(prog);
	options.little_words = 1;
	assert_int_equal(pf_compile_words(words, 3, &options, &prog, &error), 0);
	assert_int_equal(pf_run(prog, &p), 0);
	pf_unref(prog);
	/* As bytes, in the order of this machine. */
	assert_int_equal(pf_compile("cspf", (const char *)words, sizeof(words), NULL, &prog, &error),
			 0);
	assert_int_equal(pf_run(prog, &p), 262144);
	pf_unref(prog);
	assert_int_equal(pf_compile("cspf", (const char *)words, 5, NULL, &prog, &error), -EINVAL);
	assert_int_equal(pf_compile_words(NULL, 0, NULL, &prog, &error), 0);
	assert_int_equal(pf_run(prog, &p), 262144);
	pf_unref(prog);
}

/* line 0: any */
static void refused_at(const char *text, unsigned line, int code, const char *says)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;
	int r = pf_compile("cspf", text, strlen(text), NULL, &prog, &error);

	if (r != code || !strstr(error.text, says) || (line && error.line != line))
		fail_msg("%s: %d, line %u: %s", text, r, error.line, error.text);
}

static void refused(const char *text, int code, const char *says)
{
	refused_at(text, 0, code, says);
}

static void test_what_is_refused(void **state)
{
	static uint16_t many[CSPF_MAX + 1];
	PFS_BUF struct pfs_buf deep = { 0 };
	struct pf_error error = { "" };
	struct pf_prog *prog;

	(void)state;
	refused_at("NOPUSH, NOPUSH|EQ", 1, -EINVAL, "the stack is empty here");
	refused_at("PUSHLIT 1\nPUSHLIT|CAND 1\nPUSHLIT|CAND 1\nPUSHLIT|EQ 1", 4, -EINVAL,
		   "the stack is empty");
	refused("PUSHLIT|CAND 1", -EINVAL, "nothing is on the stack at the end");
	refused("PUSHLIT|CAND 1, PUSHIND", -EINVAL, "the stack is empty here");
	refused("PUSHSTK+1", -EINVAL, "no word 1 of the stack, which has 1");
	refused("PUSHLIT", -EINVAL, "PUSHLIT without a word");
	refused("PUSHLIT|EQ,", -EINVAL, "PUSHLIT without a word");
	refused("PUSHLIT EQ", -EINVAL, "a number is missing");
	refused("PUSHLIT 0x10000", -EINVAL, "above 65535");
	refused("PUSHLIT 99999999999999999999999999", -EINVAL, "not a number");
	refused("PUSHLIT 08", -EINVAL, "not a number");
	refused("PUSHWORD+944", -EINVAL, "above 943");
	refused("PUSHHDR+32", -EINVAL, "above 31");
	refused("PUSHSTK+32", -EINVAL, "above 31");
	refused("PUSHWORD+", -EINVAL, "a number is missing");
	refused("PUSHLIT|PUSHZERO", -EINVAL, "two actions");
	refused("EQ|NE", -EINVAL, "there is no 'NE'");
	refused("EQ|NEQ", -EINVAL, "two operators");
	refused_at("\n\nPUSHWARD+6", 3, -EINVAL, "there is no 'PUSHWARD'");
	refused("PUSHWORD+6 |", -EINVAL, "a name is missing");
	refused("%", -EINVAL, "a name is missing");
	refused(".order", -EINVAL, "big or little");
	refused(".word 3", -EINVAL, "only .order");
	refused("/* PUSHLIT", 0, "");
	refused("3", -EINVAL, "there is no action 3");
	refused("0x4816", -EINVAL, "there is no operator 18");
	refused("0xfc16", -EINVAL, "a BPF program");
	for (unsigned i = 0; i < 31; i++)
		pfs_buf_str(&deep, "PUSHZERO\n");
	refused(deep.data, 0, "");
	pfs_buf_str(&deep, "PUSHZERO\n");
	refused_at(deep.data, 32, -EINVAL, "more than 32 values");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = 0x1802; /* PUSHZERO|AND */
	assert_int_equal(pf_compile_words(many, CSPF_MAX, NULL, &prog, &error), 0);
	pf_unref(prog);
	assert_int_equal(pf_compile_words(many, CSPF_MAX + 1, NULL, &prog, &error), -E2BIG);
	assert_int_equal(pf_compile_words(many, SIZE_MAX / 2, NULL, &prog, &error), -E2BIG);
}

/* The largest programs that do something with each word. */
static void test_large(void **state)
{
	static uint16_t words[CSPF_MAX];
	uint64_t begin = pfs_clock_mono();
	struct pf_error error = { "" };
	struct pf_prog *prog;
	int r;

	(void)state;
	/* Where each word is depends on the one before. */
	words[0] = CSPF_PUSHWORD;
	for (size_t i = 1; i < ARRAY_SIZE(words); i++)
		words[i] = i % 2 ? CSPF_PUSHIND : CSPF_RSH << 10 | CSPF_PUSHWORD;
	r = pf_compile_words(words, ARRAY_SIZE(words), NULL, &prog, &error);
	assert_true(r == 0 || r == -E2BIG);
	if (r == 0)
		pf_unref(prog);
	assert_true(pfs_clock_mono() - begin < UINT64_C(20000000000));
}

/* What the words mean, said a third time, is what becomes of them: for all packets of up to 256 bytes. */
static void test_proof(void **state)
{
	static const char *const texts[] = {
		"PUSHWORD+6, PUSHLIT|CAND, 0x0800, PUSHWORD+11, PUSH00FF|AND, PUSHLIT|EQ, 17",
		"PUSHWORD+7, PUSHLIT|RSH, 8, PUSHLIT|AND, 15, PUSHLIT|LSH, 1, PUSHIND, PUSHLIT|EQ 53",
		".order little, PUSHHDR+6, PUSHLIT|COR 8, PUSHHDR+7, PUSHZERO",
		"PUSHWORD+1, PUSHHDRIND, PUSHWORD+2|SUB, PUSHWORD+3|RSH, PUSHWORD+4|CNAND, PUSHSTK|LE, PUSHONE|GE",
	};
	PFS_BUF struct pfs_buf all = { 0 }, answer = { 0 };
	unsigned claims = 0;

	(void)state;
	if (!solver_is_here())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		PFS_FREE char *text = NULL;
		struct pf_prog *prog;

		assert_int_equal(pf_compile("cspf", texts[i], strlen(texts[i]), NULL, &prog, NULL), 0);
		assert_int_equal(pf_dump(prog, "smt", &text, NULL), 0);
		pfs_buf_str(&all, text);
		pfs_buf_str(&all, "(reset)\n");
		pf_unref(prog);
	}
	solver_ask(&all, &answer);
	for (const char *line = answer.data; *line; line += strcspn(line, "\n") + 1, claims++)
		if (strncmp(line, "unsat\n", 6) != 0)
			fail_msg("claim %u: %.40s", claims, line);
	assert_true(claims >= 3 * ARRAY_SIZE(texts));
}

/* A front end that took one word for another would be found. */
static void test_a_mistake_is_found(void **state)
{
	static const uint16_t right[] = { 0x0016, 0x0c01, 0x0800 },
			      wrong[] = { 0x0016, 0x0801, 0x0800 };
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };
	struct pf_options options = PF_OPTIONS_INIT;
	PFS_FREE struct cspf *a = pf_cspf_new(right, 3, &options, 0),
			     *b = pf_cspf_new(wrong, 3, &options, 0);
	struct pf_counterexample c;
	struct pf_unit u;

	(void)state;
	if (!solver_is_here())
		skip();
	pf_unit_init(&u);
	assert_int_equal(pf_cspf_make(&u, b, NULL, NULL), 0);
	pf_smt_packet(&text, SOLVER_BYTES);
	assert_int_equal(pf_smt_cspf(a, "said", &text), 0);
	assert_int_equal(pf_smt_unit(&u, "ir", &text), 0);
	pfs_buf_str(&text, "(assert (distinct said.result ir.result))\n(check-sat)\n");
	pf_smt_ask_packet(SOLVER_BYTES, &text);
	solver_ask(&text, &answer);
	assert_memory_equal(answer.data, "sat\n", 4);
	assert_int_equal(pf_smt_read_packet(answer.data, SOLVER_BYTES, &c), 0);
	assert_int_equal(be16_load(c.bytes + 12), 0x800); /* less or equal, and less */
	pf_unit_release(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_a_mistake_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
