/*
 * xpf - classic BPF with memory and loops: what is understood, what is refused, and the same verdict and the same
 * memory from everybody
 *
 * The plain interpreter is in xpf_plain.h. PF_AGREE_SECONDS=60 makes random programs for a minute, not two seconds.
 */
#include "agree.h"

#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/merge/merge.h"
#include "pf/opt/opt.h"
#include "pf/prog.h"
#include "tests/unit/pf/xpf_plain.h"

/* --- one program, everybody ------------------------------------------------------------------ */

struct subject {
	const char *name;		     /* or its text */
	const struct plain_xpf *xpf;	     /* NULL: what native code does is taken to be right */
	struct pf_state *state[AGREE_PROGS]; /* owned */
	char who[AGREE_PROGS][40];
	unsigned n;
	uint32_t words;
	uint32_t plain[PLAIN_WORDS + 1];
	int map, tc; /* owned; -1: not in the kernel */
	uint64_t runs, accepted, kernel;
};

static void subject_release(struct subject *s)
{
	for (unsigned i = 0; i < s->n; i++)
		pf_state_free(s->state[i]);
	if (s->tc >= 0)
		close(s->tc);
	if (s->map >= 0)
		close(s->map);
}

static void show(const struct subject *s, const struct pf_packet *p, const void *text, size_t len)
{
	struct pf_prog *prog;

	print_error("%s\n%u bytes of %u:", s->name, p->caplen, p->len);
	for (uint32_t i = 0; i < p->caplen && i < 128; i++)
		print_error(" %02x", p->data[i]);
	for (size_t i = 0; s->xpf && i < s->xpf->n + 2; i++)
		print_error("\n{ 0x%x, %u, %u, 0x%x },", s->xpf->insn[i].code, s->xpf->insn[i].jt,
			    s->xpf->insn[i].jf, s->xpf->insn[i].k);
	if (text && pf_compile("xpf", text, len, NULL, &prog, NULL) == 0) {
		for (unsigned i = 0; i < 5; i++) {
			char *listing;

			if (i != 2 && pf_dump(prog, pf_stage_name(i), &listing, NULL) == 0)
				print_error("\n%s", listing);
		}
	}
	print_error("\n");
}

/* 0, or what pf_compile() says. */
static int subject_add(struct subject *s, const void *text, size_t len, uint64_t without,
		       enum pf_engine engine, const char *who)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_info info = { .size = sizeof(info) };
	struct pf_error error = { "" };
	struct pf_prog *prog;
	int r;

	options.without = without;
	options.engine = engine;
	r = pf_compile("xpf", text, len, &options, &prog, &error);
	if (r < 0) {
		/* The form's own words are for mistakes of ours. */
		if (strstr(error.text, "intermediate")) {
			show(s, &(struct pf_packet){ 0 }, NULL, 0);
			fail_msg("%s", error.text);
		}
		assert_null(strstr(error.text, "pass "));
		return r;
	}
	assert_int_equal(pf_get_info(prog, &info), 0);
	s->words = info.memory;
	snprintf(s->who[s->n], sizeof(s->who[0]), "%s", who);
	assert_int_equal(pf_state_new(prog, &s->state[s->n++], &error), 0);
	pf_unref(prog);
	return 0;
}

static int subject_init(struct subject *s, const char *name, const struct plain_xpf *xpf,
			const void *text, size_t len)
{
	int r;

	*s = (struct subject){ .name = name, .xpf = xpf, .map = -1, .tc = -1 };
	r = subject_add(s, text, len, 0, PF_ENGINE_BEST, "native code");
	if (r < 0)
		return r;
	assert_int_equal(subject_add(s, text, len, 0, PF_ENGINE_INTERP, "the interpreter"), 0);
	assert_int_equal(subject_add(s, text, len, PF_ALL_PASSES, PF_ENGINE_BEST, "no passes"), 0);
	assert_int_equal(
		subject_add(s, text, len, PF_ALL_PASSES, PF_ENGINE_INTERP, "interp, no passes"), 0);
	for (unsigned i = 0; pf_pass_name(i); i++) {
		char who[40];

		snprintf(who, sizeof(who), "without %s", pf_pass_name(i));
		assert_int_equal(subject_add(s, text, len, UINT64_C(1) << i,
					     i % 2 ? PF_ENGINE_BEST : PF_ENGINE_INTERP, who),
				 0);
	}
	return 0;
}

/* True: the program is there, and the kernel ran it as it should. */
static void kernel_init(struct subject *s, const void *text, size_t len)
{
	struct kbpf_map_spec map = {
		.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .entries = 1, .inner = -1
	};
	struct kbpf_prog_spec spec = { .type = BPF_PROG_TYPE_SCHED_CLS, .name = "pf_xpf" };
	PFS_FREE uint64_t *insns = NULL;
	struct pfs_diag diag = { "" };
	struct pf_prog *prog;

	map.value_size = s->words * 4;
	map.name = "pf_xpf";
	s->map = kbpf_map_new(&map);
	if (s->map == -EPERM || s->map == -ENOSYS)
		return;
	assert_true(s->map >= 0);
	assert_int_equal(pf_compile("xpf", text, len, NULL, &prog, NULL), 0);
	assert_int_equal(pf_emit_ebpf_map(prog, s->map, &insns, &spec.n, NULL), 0);
	spec.insns = (const struct bpf_insn *)insns;
	s->tc = kbpf_prog_load(&spec, &diag);
	pf_unref(prog);
	/* Too complex for the verifier: it follows each way through a program. */
	if (s->tc == -E2BIG || strstr(diag.text, "too large") || strstr(diag.text, "too complex"))
		s->tc = -1;
	else if (s->tc < 0 && s->tc != -EPERM) {
		show(s, &(struct pf_packet){ 0 }, text, len);
		fail_msg("the kernel refuses it: %s", diag.text);
	}
}

static void same_memory(const struct subject *s, const char *who, const struct pf_packet *p,
			const uint32_t *got, const uint32_t *want, const void *text, size_t len)
{
	for (uint32_t i = 0; i < s->words; i++)
		if (got[i] != want[i]) {
			show(s, p, text, len);
			fail_msg("%s: P[%u] is %u, not %u", who, i, got[i], want[i]);
		}
}

static void run(struct subject *s, const struct pf_packet *p, const void *text, size_t len)
{
	uint32_t want = plain_xpf_run(s->xpf, s->plain, p), words[PLAIN_WORDS + 1];

	for (unsigned i = 0; i < s->n; i++) {
		uint32_t got = pf_run_state(s->state[i], p);

		if (got != want) {
			show(s, p, text, len);
			fail_msg("%s: %u, not %u", s->who[i], got, want);
		}
		for (uint32_t k = 0; k < s->words; k++)
			assert_int_equal(pf_state_read(s->state[i], k, &words[k]), 0);
		assert_int_equal(pf_state_read(s->state[i], s->words, &words[0]), -ERANGE);
		pf_state_read(s->state[i], 0, &words[0]);
		same_memory(s, s->who[i], p, words, s->plain, text, len);
	}
	s->runs++;
	s->accepted += want != 0;
}

/* The same packets from the beginning: both start with zeros. */
static void run_kernel(struct subject *s, const struct bytes *packets, unsigned n, const void *text,
		       size_t len)
{
	uint32_t memory[PLAIN_WORDS + 1] = { 0 }, words[PLAIN_WORDS + 1] = { 0 }, key = 0;

	for (unsigned i = 0; i < n && s->tc >= 0; i++) {
		const struct bytes *b = &packets[i];
		struct pf_packet p = { b->data, b->n, b->n, NULL };
		uint32_t want, got;

		if (b->n < agree_frame_min(&p))
			continue;
		want = plain_xpf_run(s->xpf, memory, &p);
		assert_int_equal(kbpf_prog_run(s->tc, b->data, b->n, &got), 0);
		assert_int_equal(kbpf_map_get(s->map, &key, words), 0);
		if (got != want) {
			show(s, &p, text, len);
			fail_msg("the kernel: %u, not %u", got, want);
		}
		same_memory(s, "the kernel", &p, words, memory, text, len);
		s->kernel++;
	}
}

/* --- random programs ------------------------------------------------------------------------- */

#define PACKETS 12

static void random_packet(struct dice *dice, const struct packets *from, struct bytes *b)
{
	if (roll(dice, 3) == 0) {
		*b = from->of[roll(dice, (uint32_t)from->n)];
		return;
	}
	*b = (struct bytes){ .n = roll(dice, 129) };
	for (uint32_t i = 0; i < b->n; i++)
		b->data[i] = (uint8_t)roll(dice, roll(dice, 4) ? 6 : 256);
}

/* Its first bytes, behind which there is nothing: who reads on is found out. */
static void run_cut(struct subject *s, const struct bytes *b, uint32_t caplen, uint32_t wire,
		    const void *text, size_t len)
{
	uint8_t *exact = malloc(pfs_max(caplen, 1u));

	assert_non_null(exact);
	memcpy(exact, b->data, caplen);
	run(s, &(struct pf_packet){ exact, caplen, wire, NULL }, text, len);
	free(exact);
}

/* Returns whether it was a program. */
static bool run_random(struct dice *dice, const struct packets *from, bool kernel, bool all_lengths,
		       struct subject *sum)
{
	static struct bytes packets[PACKETS];
	struct plain_xpf xpf;
	struct subject s;
	char name[40];
	size_t len;

	snprintf(name, sizeof(name), "random program %llx", (unsigned long long)dice->state);
	plain_xpf_random(dice, &xpf);
	len = (xpf.n + 2) * sizeof(xpf.insn[0]);
	if (subject_init(&s, name, &xpf, xpf.insn, len) < 0)
		return false;
	assert_int_equal(s.words, xpf.words);
	for (unsigned i = 0; i < PACKETS; i++) {
		struct bytes *b = &packets[i];

		random_packet(dice, from, b);
		run_cut(&s, b, b->n, roll(dice, 3) ? b->n : roll_number(dice), xpf.insn, len);
	}
	/* One of them at every length: what was written before stays, so each finds another memory. */
	for (uint32_t n = 0; all_lengths && n <= pfs_min(packets[0].n, 128u); n++)
		run_cut(&s, &packets[0], n, packets[0].n, xpf.insn, len);
	if (kernel) {
		kernel_init(&s, xpf.insn, len);
		run_kernel(&s, packets, PACKETS, xpf.insn, len);
	}
	sum->runs += s.runs;
	sum->kernel += s.kernel;
	sum->accepted += s.accepted > 0;
	sum->n += s.tc >= 0;
	subject_release(&s);
	return true;
}

static void test_random(void **state)
{
	uint64_t end = agree_end();
	struct dice dice = { agree_seed() };
	struct packets packets = { 0 };
	struct subject sum = { 0 };
	unsigned n = 0, refused = 0, loops = 0;

	(void)state;
	packets_generate(&packets, 11, 60);
	do {
		if (getenv("PF_AGREE_TRACE"))
			print_message("%llx\n", (unsigned long long)dice.state);
		if (run_random(&dice, &packets, n % 4 == 0, n % 2 == 0, &sum))
			n++;
		else
			refused++;
		loops++;
	} while (pfs_clock_mono() < end);
	print_message("%u random programs, %u refused; %llu accept something, %llu runs; %u in the kernel, %llu runs\n",
		      n, refused, (unsigned long long)sum.accepted, (unsigned long long)sum.runs,
		      sum.n, (unsigned long long)sum.kernel);
	assert_true(n > 10 && n * 4 > refused && sum.accepted * 4 > n);
	packets_release(&packets);
}

/* --- text ------------------------------------------------------------------------------------ */

static struct pf_prog *compile(const char *text)
{
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;

	if (pf_compile("xpf", text, strlen(text), NULL, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return prog;
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{ "ld P[0]\nret a", "no memory is declared" },
		{ ".memory 2\nld P[2]\nret a", "there is no P[2], only 0 to 1" },
		{ ".memory 2\naddm64 P[1]\nret a", "there is no P[2], only 0 to 1" },
		{ ".memory 2\nst P[0xffffffff]\nret a", "there is no P[4294967295]" },
		{ ".memory 0\nret a", "1 to 65536 words" },
		{ ".memory 65537\nret a", "1 to 65536 words" },
		{ ".memory 1\n.memory 1\nret a", "declared twice" },
		{ ".loops 65536\nret a", "at most 65535" },
		{ ".loops 1\n.loops 1\nret a", "declared twice" },
		{ ".loops 0\nx: jeq #1, x\nret a", ".loops says never" },
		{ ".memory 1\n.name a 1\nret a", "'a' is P[1], which is not there" },
		{ ".memory 1\n.name64 a 0\nret a", "'a' is P[1], which is not there" },
		{ ".memory 1\n.name a 0\n.name a 0\nret a", "given twice" },
		{ ".memory 1\n.name abcdefghijabcdefghijabcdefghijkl 0\nret a", "more than 31" },
		{ ".memory 1\n.name 0\nret a", "a name is missing" },
		{ ".memo 1\nret a", "there are .memory" },
		{ ".memory 1\naddm M[0]\nret a", "P[k] is missing" },
		{ ".memory 1\nstx P[x]\nret a", "there is no code 0xe3" },
		{ ".memory 1\nld P[x-1]\nret a", "a ] is missing" },
		{ "x: ja x", "no return" },
		{ "", "an empty program" },
		{ ".memory 1\n", "an empty program" },
		{ "ja a\nb: ja c\na: ld #1\nc: jeq #1, b\nret a", "nothing leads from above" },
		{ "ld len\njeq #1, into\nhead: add #1\ninto: sub #1\njeq #0, head\nret #1",
		  "a loop has one way in" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pf_error error = { "" };
		struct pf_prog *prog = NULL;
		int r = pf_compile("xpf", cases[i].text, strlen(cases[i].text), NULL, &prog, &error);

		if (r != -EINVAL || !strstr(error.text, cases[i].says))
			fail_msg("%s: %d, %s", cases[i].text, r, error.text);
		/* Classic BPF has nothing of it. */
		assert_int_equal(pf_compile("bpf", cases[i].text, strlen(cases[i].text), NULL,
					    &prog, NULL),
				 -EINVAL);
	}
}

/* Programs that want too much time or room are refused; what is accepted ends soon. */
static void test_hostile(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;
	uint64_t begin;

	(void)state;
	pfs_buf_str(&text, ".loops 65535\n");
	for (unsigned i = 0; i < 300; i++)
		pfs_buf_printf(&text, "l%u: add #1\n", i);
	for (unsigned i = 300; i-- > 0;)
		pfs_buf_printf(&text, "jset #%u, l%u\n", i + 1, i);
	pfs_buf_str(&text, "ret #1\n");
	assert_int_equal(pf_compile("xpf", text.data, text.len, NULL, &prog, &error), -E2BIG);
	assert_non_null(strstr(error.text, "too long: say fewer"));
	/* A nest of 60 loops: all of them share what one may do. */
	pfs_buf_release(&text);
	pfs_buf_str(&text, ".memory 1\n.loops 1000\n");
	for (unsigned i = 0; i < 60; i++)
		pfs_buf_printf(&text, "l%u: ld #1\naddm P[0]\n", i);
	for (unsigned i = 60; i-- > 0;)
		pfs_buf_printf(&text, "jeq #1, l%u\n", i);
	pfs_buf_str(&text, "ret #1\n");
	begin = pfs_clock_mono();
	for (unsigned engine = PF_ENGINE_INTERP; engine <= PF_ENGINE_NATIVE; engine++) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_state *instance;
		uint32_t turns;

		options.engine = (enum pf_engine)engine;
		if (pf_compile("xpf", text.data, text.len, &options, &prog, &error) == -ENOTSUP)
			continue;
		assert_int_equal(pf_state_new(prog, &instance, NULL), 0);
		assert_int_equal(pf_run_state(instance, &(struct pf_packet){ 0 }), 0);
		assert_int_equal(pf_state_read(instance, 0, &turns), 0);
		/* The innermost goes round until nothing is left. */
		assert_int_equal(turns, 60 + 1000);
		pf_state_free(instance);
		pf_unref(prog);
	}
	assert_true(pfs_clock_mono() - begin < UINT64_C(10000000000));
	assert_int_equal(pf_compile("xpf", "", SIZE_MAX, NULL, &prog, &error), -E2BIG);
}

/* Instances, names, pairs that carry. */
static void test_instances(void **state)
{
	static const char text[] = ".memory 5\n.name packets 0\n.name64 bytes 2\n.name most 4\n"
				   "ld #1\naddm P[0]\nld len\naddm64 P[2]\nldx P[4]\njgt x, more, done\n"
				   "more: st P[4]\ndone: ld P[0]\nret a\n";
	struct pf_info info = { .size = sizeof(info) };
	struct pf_prog *prog = compile(text);
	struct pf_state *one, *other;
	uint64_t value;

	(void)state;
	assert_int_equal(pf_get_info(prog, &info), 0);
	assert_int_equal(info.memory, 5);
	assert_string_equal(pf_cell_name(prog, 0), "packets");
	assert_string_equal(pf_cell_name(prog, 2), "most");
	assert_null(pf_cell_name(prog, 3));
	assert_int_equal(pf_state_new(prog, &one, NULL), 0);
	assert_int_equal(pf_state_new(prog, &other, NULL), 0);
	/* Without an instance each packet is the first. */
	assert_int_equal(pf_run(prog, &(struct pf_packet){ .len = 7 }), 1);
	assert_int_equal(pf_run(prog, &(struct pf_packet){ .len = 7 }), 1);
	pf_unref(prog);
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(pf_run_state(one, &(struct pf_packet){ .len = 0xf0000000u - i }),
				 i + 1);
	assert_int_equal(pf_run_state(other, &(struct pf_packet){ .len = 60 }), 1);
	assert_int_equal(pf_state_cell(one, "bytes", &value), 0);
	assert_int_equal(value, 9 * UINT64_C(0xf0000000) - 36);
	assert_int_equal(pf_state_cell(one, "most", &value), 0);
	assert_int_equal(value, 0xf0000000u);
	assert_int_equal(pf_state_cell(other, "bytes", &value), 0);
	assert_int_equal(value, 60);
	assert_int_equal(pf_state_cell(other, "packets", &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(pf_state_cell(other, "pakets", &value), -ENOENT);
	pf_state_free(one);
	pf_state_free(other);
	pf_state_free(NULL);
}

/* What was written before a packet turns out to be too short stays, whatever passes do with checks. */
static void test_writes_stay(void **state)
{
	struct pf_prog *prog =
		compile(".memory 1\nldb [0]\nld #1\naddm P[0]\nldb [9]\nldb [20]\nret #1\n");
	static const uint8_t bytes[30];
	struct pf_state *instance;
	uint32_t value;

	(void)state;
	assert_int_equal(pf_state_new(prog, &instance, NULL), 0);
	for (uint32_t n = 0; n <= 30; n++)
		assert_int_equal(pf_run_state(instance, &(struct pf_packet){ bytes, n, n, NULL }),
				 n > 20);
	assert_int_equal(pf_state_read(instance, 0, &value), 0);
	assert_int_equal(value, 30);
	pf_state_free(instance);
	pf_unref(prog);
}

/* Merged, each filter has a memory of its own; and sets take none. */
static void test_merged(void **state)
{
	static const char *const texts[] = {
		".memory 2\nld #1\naddm P[1]\nld P[1]\nret a\n",
		".memory 1\nld #10\naddm P[0]\nldb [3]\nret #5\n",
		".memory 3\nld len\ntax\nld #100\naddm P[x]\nret #0\n",
	};
	/* Those of the last come first. */
	static const uint32_t want[6] = { 0, 200, 0, 30, 0, 3 };
	const struct pf_unit *units[3];
	struct pf_prog *prog[3];
	struct pf_hit hits[3];
	struct pf_unit merged;
	struct pf_error error;
	struct pf_interp *interp;
	struct pf_native *native = NULL;
	struct pf_set *set;
	uint32_t words[2][6] = { { 0 } }, id;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		prog[i] = compile(texts[i]);
		units[i] = pf_prog_opt(prog[i]);
	}
	assert_int_equal(pf_merge(units, 3, &merged), 0);
	assert_int_equal(pf_optimise(&merged, 0, NULL, NULL, &error), 0);
	assert_int_equal(pf_interp_make(&merged, &interp), 0);
	pf_native_make(&merged, &native);
	for (uint32_t i = 0; i < 3; i++) {
		uint8_t bytes[4] = { 0 };
		/* The second is too short for the second filter, the third writes outside for the third. */
		struct pf_packet p = { bytes, i == 1 ? 3 : 4, i == 2 ? 3 : 1, NULL };
		uint32_t n = i == 1 ? 1 : 2;

		assert_int_equal(pf_interp_run_words(interp, &p, hits, words[0]), n);
		assert_int_equal(hits[0].value, i + 1);
		if (native)
			assert_int_equal(pf_native_run_words(native, &p, hits, words[1]), n);
	}
	assert_memory_equal(words[0], want, sizeof(want));
	if (native)
		assert_memory_equal(words[1], want, sizeof(want));
	assert_int_equal(pf_set_new(NULL, &set, NULL), 0);
	assert_int_equal(pf_set_add(set, prog[0], NULL, &id, &error), -ENOTSUP);
	pf_set_free(set);
	pf_interp_free(interp);
	pf_native_free(native);
	pf_unit_release(&merged);
	for (unsigned i = 0; i < 3; i++)
		pf_unref(prog[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_instances),	cmocka_unit_test(test_writes_stay),
		cmocka_unit_test(test_merged),		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
