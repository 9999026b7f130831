/*
 * dpf - DPF's atoms: what is understood, what is refused and with what words, and the same verdict from everybody
 *
 * The plain interpreter is in dpf_plain.h. PF_AGREE_SECONDS=60 makes random filters for a minute, not two
 * seconds; PFS_PCAPS=DIR runs the examples over every capture there as well.
 */
#include "agree.h"

#include "pf/front/dpf.h"
#include "tests/unit/pf/dpf_plain.h"
#include "tests/unit/pf/solver.h"

#define KEEP 262144u

/* --- the text -------------------------------------------------------------------------------- */

static void expect_atoms(const char *text, const struct dpf_atom *want, size_t n)
{
	PFS_FREE struct dpf *dpf = NULL;
	struct pf_error error = { "" };

	if (pf_dpf_parse(text, strlen(text), 1, &dpf, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	assert_int_equal(dpf->n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(dpf->atom[i].kind, want[i].kind);
		assert_int_equal(dpf->atom[i].size, want[i].size);
		assert_int_equal(dpf->atom[i].offset, want[i].offset);
		assert_int_equal(dpf->atom[i].mask, want[i].mask);
		assert_int_equal(dpf->atom[i].value, want[i].value);
	}
}

static void test_forms(void **state)
{
	static const struct dpf_atom http[] = {
		{ DPF_EQ, 2, 12, 0xffff, 0x800 }, { DPF_EQ, 1, 14, 0xf0, 0x40 },
		{ DPF_SKIP, 0, 0, 0, 14 },	  { DPF_SHIFT, 1, 0, 15, 2 },
		{ DPF_EQ, 2, 2, 0xffff, 80 },
	};
	static const char *const forms[] = {
		"(12:16 == 0x800) && (14:8 & 0xf0 == 0x40) && SHIFT(14) && SHIFT((0:8 & 0xf) << 2) &&"
		"(2:16 == 80)",
		"12:16 == 2048, (14:8 & 0xf0) == 64, shift 14, shift (0:8 & 0xf) << 2, 2:16 == 0x50",
		"((12:16)) == 0x800 and ((14:8) & 0xf0 == 0x40) and shift(14) and "
		"shift((0:8) & 15 << 2) and\n(2:16)==80",
		"# web\n\n12:16==0x800 # IP\n(14 : 8)&0xF0==0b1000000\nShift 14\nSHIFT 0:8&0XF<<2\n 2:16 == 80\n\n",
		"12:16 == 0x800 && 14:8&0xf0 == 0x40 && shift 14 && shift ((0:8 & 0xf)) << 2 && ((((2:16)) == 80))",
	};
	static const struct dpf_atom address[] = { { DPF_EQ, 4, 30, 0xffffff00, 0x0a000100 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		expect_atoms(forms[i], http, ARRAY_SIZE(http));
	expect_atoms("30:32 & 255.255.255.0 == 10.0.1.0", address, 1);
	expect_atoms("", NULL, 0);
	expect_atoms(" # nothing\n", NULL, 0);
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} cases[] = {
		{ "12:16", 1, 6, "== is missing" },
		{ "12:16 & 3", 1, 10, "== is missing" },
		{ "12:16 = 3", 1, 7, "== is missing" },
		{ "12 == 3", 1, 4, "OFFSET:BITS" },
		{ "12:17 == 3", 1, 6, "8, 16 or 32" },
		{ "12:64 == 3", 1, 5, "8, 16 or 32" },
		{ "0:8 == 256", 1, 11, "never have this value" },
		{ "0:8 & 0xf == 0x10", 1, 18, "never have this value" },
		{ "0:8 & 0x100 == 0", 1, 12, "more bits than the field" },
		{ "0:8 & 0 == 0", 1, 8, "a mask of 0" },
		{ "0:8 & 1 & 2 == 0", 1, 9, "== is missing" },
		{ "0:32 == 4294967296", 1, 18, "more than 32 bits" },
		{ "65536:8 == 1", 1, 5, "an offset of more" },
		{ "0:8 == 010", 1, 8, "a 0 in front" },
		{ "0:8 == 9x", 1, 9, "not a number" },
		{ "0:32 == 10.0.0", 1, 15, "four bytes" },
		{ "0:32 == 256.0.0.1", 1, 12, "at most 255" },
		{ "0:32 == 10.0.0.256", 1, 18, "at most 255" },
		{ "0:8 == 1\n1:8 == 1 2:8 == 2", 2, 10, "between atoms" },
		{ "0:8 == 1 &&", 1, 12, "missing at the end" },
		{ "&& 0:8 == 1", 1, 1, "a number is missing" },
		{ "0:8 == 1 && && 1:8 == 1", 1, 13, "a number is missing" },
		{ "(0:8 == 1", 1, 10, "a ) is missing" },
		{ "0:8 == 1)", 1, 9, "between atoms" },
		{ "((((((((((((((((((0:8 == 1", 1, 18, "too many parentheses" },
		{ "shift", 1, 6, "a number is missing" },
		{ "shift 65536", 1, 11, "a shift by more" },
		{ "shift (0:8 == 1)", 1, 12, "a ) is missing" },
		{ "shift 0:8 << 32", 1, 15, "at most 31" },
		{ "shift 0:8 << 2 == 4", 1, 16, "between atoms" },
		{ "shifty 0:8", 1, 1, "not a number" },
		{ "0:8 == 1 or 1:8 == 1", 1, 10, "between atoms" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pf_error error = { "" };
		struct pf_prog *prog = NULL;
		int r = pf_compile("dpf", cases[i].text, strlen(cases[i].text), NULL, &prog, &error);

		if (r != -EINVAL || !strstr(error.text, cases[i].says) ||
		    error.line != cases[i].line || error.column != cases[i].column)
			fail_msg("%s: %d, %u:%u %s", cases[i].text, r, error.line, error.column,
				 error.text);
	}
}

static void test_limits(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error;
	struct pf_prog *prog;

	(void)state;
	for (unsigned i = 0; i < DPF_ATOMS_MAX; i++)
		pfs_buf_printf(&text, "shift 0:32 << 31\n");
	assert_int_equal(pf_compile("dpf", text.data, text.len, NULL, &prog, &error), 0);
	/* The first word moves the position beyond everything, or 512 zeros leave it. */
	assert_int_equal(pf_run(prog, &(struct pf_packet){ (const uint8_t *)"\0\0\0", 4, 4, NULL }),
			 KEEP);
	assert_int_equal(pf_run(prog, &(struct pf_packet){ (const uint8_t *)"\0\0\1", 4, 4, NULL }), 0);
	pf_unref(prog);
	pfs_buf_str(&text, "0:8 == 1");
	assert_int_equal(pf_compile("dpf", text.data, text.len, NULL, &prog, &error), -E2BIG);
	assert_int_equal(error.line, DPF_ATOMS_MAX + 1);
	assert_int_equal(pf_compile("dpf", "0:8 == 1\0 ", 10, NULL, &prog, &error), -EINVAL);
	assert_int_equal(pf_compile("dpf", "", SIZE_MAX, NULL, &prog, &error), -E2BIG);
	options.snaplen = 0;
	assert_int_equal(pf_compile("dpf", "", 0, &options, &prog, &error), -EINVAL);
	options.snaplen = 77;
	assert_int_equal(pf_compile("dpf", "", 0, &options, &prog, &error), 0);
	assert_int_equal(pf_run(prog, &(struct pf_packet){ 0 }), 77);
	pf_unref(prog);
}

/* In another order between shifts, and written in another way: the same graph, which merging needs. */
static void test_one_form(void **state)
{
	static const char *const texts[] = {
		"23:8 == 6 && 12:16 == 0x800 && shift 14 && shift (0:8 & 0xf) << 2 && 2:16 == 80 && 0:16 == 9",
		"(12:16 == 2048), (23:8 == 6), SHIFT((14:8 & 15) << 2), 14:16 == 9, 16:16 == 80",
	};
	PFS_FREE char *first = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		PFS_FREE char *text = NULL;
		struct pf_prog *prog;

		assert_int_equal(pf_compile("dpf", texts[i], strlen(texts[i]), NULL, &prog, NULL), 0);
		assert_int_equal(pf_dump(prog, "ir", &text, NULL), 0);
		if (first)
			assert_string_equal(text, first);
		else
			first = TAKE_PTR(text);
		pf_unref(prog);
	}
	assert_non_null(strstr(first, "== 0x800 go"));
}

/* --- verdicts -------------------------------------------------------------------------------- */

struct subject {
	const struct plain_atom *atoms;
	size_t natoms;
	const char *text;
};

static int subject_compile(const void *program, const struct pf_options *options,
			   struct pf_prog **ret_prog, struct pf_error *error)
{
	const struct subject *s = program;

	return pf_compile("dpf", s->text, strlen(s->text), options, ret_prog, error);
}

static uint32_t subject_plain(const void *program, const struct pf_packet *packet)
{
	const struct subject *s = program;

	return plain_matches(s->atoms, s->natoms, packet->data, packet->caplen) ? KEEP : 0;
}

static void subject_print(const void *program)
{
	print_error("%s\n", ((const struct subject *)program)->text);
}

static const struct agree_language language = { subject_compile, subject_plain, subject_print };

static void run_random(struct dice *dice, const struct packets *packets, bool kernel, struct agree *sum)
{
	static const struct pf_options options = PF_OPTIONS_INIT;
	struct plain_atom atoms[PLAIN_ATOMS];
	PFS_BUF struct pfs_buf text = { 0 };
	struct subject s = { .atoms = atoms, .natoms = plain_random(dice, atoms, PLAIN_ATOMS) };
	struct agree a;

	plain_say(dice, atoms, s.natoms, &text);
	s.text = text.data;
	agree_init(&a, &language, &s, &options, true);
	if (kernel)
		agree_kernel(&a);
	for (unsigned i = 0; i < 8; i++) {
		struct bytes b;

		plain_packet(dice, atoms, s.natoms, packets, &b);
		agree_cuts(&a, &b, i, i || kernel ? 17 : 1);
	}
	sum->runs += a.runs;
	sum->kernel += a.kernel;
	sum->accepted += a.accepted > 0;
	agree_release(&a);
}

static void test_random(void **state)
{
	uint64_t end = agree_end();
	struct dice dice = { agree_seed() };
	struct packets packets = { 0 };
	struct agree sum = { 0 };
	unsigned n = 0;

	(void)state;
	packets_generate(&packets, 11, 60);
	do {
		if (getenv("PF_AGREE_TRACE"))
			print_message("%llx\n", (unsigned long long)dice.state);
		run_random(&dice, &packets, n % 4 == 0, &sum);
		n++;
	} while (pfs_clock_mono() < end);
	print_message("%u random filters, %llu matched something; %llu runs, %llu in the kernel\n",
		      n, (unsigned long long)sum.accepted, (unsigned long long)sum.runs,
		      (unsigned long long)sum.kernel);
	assert_true(n > 10 && sum.accepted * 3 > n);
	packets_release(&packets);
}

/* What man/pf-dpf.7 shows, as the atoms that it means. */
static const struct {
	const char *text;
	struct plain_atom atoms[8];
	size_t n;
} examples[] = {
	{ "12:16 == 0x800 && 23:8 == 6 && 26:32 == 10.0.0.1",
	  { { PLAIN_EQUAL, 16, 12, 0xffff, 0x800 },
	    { PLAIN_EQUAL, 8, 23, 0xff, 6 },
	    { PLAIN_EQUAL, 32, 26, 0xffffffff, 0x0a000001 } },
	  3 },
	{ "12:16 == 0x800, 23:8 == 17, 20:16 & 0x1fff == 0, shift 14, shift (0:8 & 0xf) << 2, 2:16 == 53",
	  { { PLAIN_EQUAL, 16, 12, 0xffff, 0x800 },
	    { PLAIN_EQUAL, 8, 23, 0xff, 17 },
	    { PLAIN_EQUAL, 16, 20, 0x1fff, 0 },
	    { PLAIN_MOVE, 0, 0, 0, 14 },
	    { PLAIN_SHIFT, 8, 0, 0xf, 2 },
	    { PLAIN_EQUAL, 16, 2, 0xffff, 53 } },
	  6 },
	{ "12:16 == 0x86dd && 20:8 == 6 && 56:16 == 80",
	  { { PLAIN_EQUAL, 16, 12, 0xffff, 0x86dd },
	    { PLAIN_EQUAL, 8, 20, 0xff, 6 },
	    { PLAIN_EQUAL, 16, 56, 0xffff, 80 } },
	  3 },
	{ "", { { 0 } }, 0 },
};

/* Every packet, cut at every length up to 128. */
static void test_examples(void **state)
{
	static const struct pf_options options = PF_OPTIONS_INIT;
	struct packets packets = { 0 };
	uint64_t matched = 0;

	(void)state;
	agree_captures(&packets);
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct subject s = { examples[i].atoms, examples[i].n, examples[i].text };
		struct agree a;

		agree_init(&a, &language, &s, &options, false);
		for (size_t k = 0; k < packets.n; k++)
			agree_cuts(&a, &packets.of[k], 0, k < 400 ? 1 : 9);
		matched += a.accepted;
		agree_release(&a);
	}
	print_message("%zu packets, %llu matches\n", packets.n, (unsigned long long)matched);
	assert_true(matched > packets.n);
	packets_release(&packets);
}

/* Comparisons of one base that leave nothing possible, which the kernel's verifier does not see: it must take them. */
static void test_verifier(void **state)
{
	static const char text[] =
		"shift(10:8&0x7 << 2) && (21:16 & 0xffff)==25371 && (36:32)==0.0.0.32 && shift(256:32 << 22) &&"
		" (25:32)==2 && shift((14:8) << 26) && (2:8&3)==1 && shift 4 && (22:8&8)==8 && shift(34:8 & 7 << 1)";
	struct pf_error error = { "" };
	struct pfs_diag diag = { "" };
	struct agree a = { 0 };
	int fd;

	(void)state;
	assert_int_equal(pf_compile("dpf", text, sizeof(text) - 1, NULL, &a.prog[0], &error), 0);
	fd = agree_load(&a, BPF_PROG_TYPE_SCHED_CLS, &diag);
	pf_unref(a.prog[0]);
	if (fd == -EPERM || fd == -ENOSYS)
		skip();
	if (fd < 0)
		fail_msg("the kernel refuses it: %s", diag.text);
	close(fd);
}

/* A thousand endpoints, written in two ways: few shapes with tables of constants; nothing is compiled for the rest. */
static void test_a_set(void **state)
{
	struct pf_set_info info = { .size = sizeof(info) };
	struct pf_set_reader *reader;
	struct pf_match match[4];
	uint8_t bytes[60] = { [12] = 8, [14] = 0x45, [23] = 6 };
	struct pf_packet packet = { bytes, sizeof(bytes), sizeof(bytes), NULL };
	uint32_t ids[1000];
	struct pf_set *set;

	(void)state;
	assert_int_equal(pf_set_new(NULL, &set, NULL), 0);
	assert_int_equal(pf_set_reader_new(set, &reader), 0);
	for (unsigned i = 0; i < 1000; i++) {
		struct pf_prog *prog;
		char text[120];

		snprintf(text, sizeof(text),
			 i % 2 ? "12:16 == 0x800, 23:8 == 6, shift (14:8 & 0xf) << 2, 16:16 == %u"
			       : "shift 14 && 9:8 == 6 && shift (0:8 & 0xf) << 2 && 2:16 == %u",
			 i + 1);
		assert_int_equal(pf_compile("dpf", text, strlen(text), NULL, &prog, NULL), 0);
		assert_int_equal(pf_set_add(set, prog, NULL, &ids[i], NULL), 0);
		pf_unref(prog);
	}
	assert_int_equal(pf_set_get_info(set, &info), 0);
	print_message("%u members, %u shapes, %u programs, %llu compiled\n", info.members,
		      info.shapes, info.programs, (unsigned long long)info.compiled);
	assert_int_equal(info.members, 1000);
	/* Some ports are also other constants of their filter: a shape of its own. */
	assert_in_range(info.shapes, 2, 8);
	assert_true(info.compiled < 20);
	for (unsigned i = 0; i < 1002; i++) {
		be16_store(bytes + 36, (uint16_t)i);
		assert_int_equal(pf_set_run(reader, &packet, match, 4), i > 0 && i <= 1000);
		if (i > 0 && i <= 1000)
			assert_int_equal(match[0].id, ids[i - 1]);
	}
	bytes[23] = 17;
	be16_store(bytes + 36, 5);
	assert_int_equal(pf_set_run(reader, &packet, match, 4), 0);
	pf_set_reader_free(reader);
	pf_set_free(set);
}

/* The atoms as formulas, the graph, behind the passes, as classic BPF: no packet about which two differ. */
static void test_proofs(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };
	struct dice dice = { 5 };
	unsigned n = 0, proved = 0, claims = 0;

	(void)state;
	if (!solver_is_here())
		skip();
	while (n < 25) {
		struct plain_atom atoms[PLAIN_ATOMS];
		PFS_BUF struct pfs_buf filter = { 0 };
		PFS_FREE char *smt = NULL;
		struct pf_prog *prog;

		plain_say(&dice, atoms, plain_random(&dice, atoms, 8), &filter);
		assert_int_equal(pf_compile("dpf", filter.data, filter.len, NULL, &prog, NULL), 0);
		assert_int_equal(pf_dump(prog, "smt", &smt, NULL), 0);
		pfs_buf_str(&text, "(reset)\n");
		pfs_buf_str(&text, smt);
		pf_unref(prog);
		n++;
	}
	solver_ask(&text, &answer);
	for (char *line = strtok(answer.data, "\n"); line; line = strtok(NULL, "\n"), claims++) {
		if (strcmp(line, "unsat") != 0 && strcmp(line, "timeout") != 0 &&
		    strcmp(line, "unknown") != 0)
			fail_msg("%s", line);
		proved += !strcmp(line, "unsat");
	}
	print_message("%u of %u claims proved\n", proved, claims);
	assert_true(claims >= n * 2 && proved * 10 > claims * 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	 cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_limits),	 cmocka_unit_test(test_one_form),
		cmocka_unit_test(test_examples), cmocka_unit_test(test_random),
		cmocka_unit_test(test_proofs),	 cmocka_unit_test(test_a_set),
		cmocka_unit_test(test_verifier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
