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

static const struct agree_language language = { compile, mpf_plain, print };

static const struct pf_options defaults = PF_OPTIONS_INIT;

static void test_random(void **state)
{
	struct packets packets = { 0 };
	struct dice dice = { agree_seed() };
	uint64_t end = agree_end(), runs = 0, accepted = 0, kernel = 0;
	unsigned n = 0, both = 0;

	(void)state;
	packets_generate(&packets, 5, 100);
	do {
		const struct bytes *b = &packets.of[roll(&dice, (uint32_t)packets.n)];
		struct mpf_program prog;
		struct agree a;

		mpf_random(&dice, b, &prog);
		agree_init(&a, &language, &prog, &defaults, n % 4 == 0);
		if (n % 8 == 0)
			agree_kernel(&a);
		for (unsigned k = 0; k < 12; k++) {
			const struct bytes *other =
				k % 2 ? b : &packets.of[roll(&dice, (uint32_t)packets.n)];

			agree_run(&a, other, roll(&dice, (uint32_t)pfs_min(other->n, 128) + 1),
				  roll_number(&dice));
			agree_run(&a, other, other->n, other->n);
		}
		runs += a.runs;
		accepted += a.accepted;
		both += a.accepted && a.accepted < a.runs;
		kernel += a.kernel;
		agree_release(&a);
		n++;
	} while (n < 200 || pfs_clock_mono() < end);
	print_message("%u random programs, %llu runs, %llu accepted, %llu in the kernel; %u say both\n",
		      n, (unsigned long long)runs, (unsigned long long)accepted,
		      (unsigned long long)kernel, both);
	assert_true(accepted * 50 > runs && both * 5 > n);
	packets_release(&packets);
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
