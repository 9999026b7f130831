/*
 * mpf_agree - MPF programs with their own keys as the only session: the same verdict from a plain interpreter of the
 * language to the kernel. As cspf_agree.
 */
#include "agree.h"
#include "mpf_plain.h"

static int compile(const void *program, const struct pf_options *options, struct pf_prog **ret_prog,
		   struct pf_error *error)
{
	const struct mpf_program *prog = program;

	return pf_compile("mpf", (const char *)prog->insn, prog->n * sizeof(prog->insn[0]), options,
			  ret_prog, error);
}

static void print(const void *program)
{
	const struct mpf_program *prog = program;

	for (size_t i = 0; i < prog->n; i++)
		print_error("{ 0x%x, %u, %u, 0x%08x },\n", prog->insn[i].code, prog->insn[i].jt,
			    prog->insn[i].jf, prog->insn[i].k);
}

static void make(struct dice *dice, const struct bytes *b, void *ret_program)
{
	mpf_random(dice, b, ret_program);
}

static const struct agree_language language = { compile, mpf_plain, print };

static const struct pf_options defaults = PF_OPTIONS_INIT;

static void test_random(void **state)
{
	struct mpf_program prog;

	(void)state;
	agree_random(&language, &defaults, make, &prog, 50);
}

/* Cut at every length, every packet of the captures. */
static void test_captures(void **state)
{
	bool full = getenv("PF_DIFF_FULL");
	struct packets packets = { 0 };
	struct dice dice = { 3 };
	uint64_t runs = 0, accepted = 0;

	(void)state;
	agree_captures(&packets);
	for (unsigned turn = 0; turn < 12; turn++) {
		const struct bytes *b = &packets.of[turn % 200];
		struct mpf_program prog;
		struct agree a;

		mpf_random(&dice, b, &prog);
		agree_init(&a, &language, &prog, &defaults, true);
		agree_kernel(&a);
		agree_cuts(&a, b, 0, 1);
		close(a.tc);
		a.tc = -1;
		for (size_t k = full ? 0 : turn; k < packets.n; k += full ? 1 : 12)
			agree_cuts(&a, &packets.of[k], (uint32_t)(full ? 0 : k % 23), full ? 1 : 23);
		runs += a.runs;
		accepted += a.accepted;
		agree_release(&a);
	}
	print_message("%zu packets, %llu runs, %llu accepted\n", packets.n,
		      (unsigned long long)runs, (unsigned long long)accepted);
	assert_true(accepted > 0);
	packets_release(&packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_captures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
