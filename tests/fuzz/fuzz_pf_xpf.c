/*
 * fuzz_pf_xpf - any bytes as xPF; and programs made of the fuzzer's bytes, about whose verdicts and memory a plain
 * interpreter and everybody else agree
 *
 * What is accepted is verified (pf_compile() does it), ends, and can be listed.
 */
#include "tests/unit/pf/xpf_plain.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void any_bytes(const uint8_t *data, size_t size)
{
	struct pf_packet packet = { .data = data, .caplen = (uint32_t)pfs_min(size, 100), .len = 100 };
	struct pf_error error = { "" };
	struct pf_state *state;
	struct pf_prog *prog = NULL;

	if (pf_compile("xpf", (const char *)data, size, NULL, &prog, &error) < 0) {
		CHECK(error.text[0]);
		CHECK(!strstr(error.text, "intermediate form"));
		return;
	}
	CHECK(pf_state_new(prog, &state, NULL) == 0);
	pf_run_state(state, &packet);
	pf_run_state(state, &packet);
	pf_state_free(state);
	for (unsigned i = 0; pf_stage_name(i); i++) {
		PFS_FREE char *text = NULL;
		int r = pf_dump(prog, pf_stage_name(i), &text, &error);

		CHECK(r == 0 || r == -ENOTSUP || r == -E2BIG);
	}
	pf_unref(prog);
}

static struct pf_state *instance(const struct plain_xpf *xpf, enum pf_engine engine, uint64_t without)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_state *state = NULL;
	struct pf_prog *prog;

	options.engine = engine;
	options.without = without;
	if (pf_compile("xpf", (const char *)xpf->insn, (xpf->n + 2) * sizeof(xpf->insn[0]),
		       &options, &prog, NULL) < 0)
		return NULL;
	CHECK(pf_state_new(prog, &state, NULL) == 0);
	pf_unref(prog);
	return state;
}

static void a_program(struct dice *dice)
{
	uint32_t memory[PLAIN_WORDS + 1] = { 0 };
	struct pf_state *state[2];
	struct plain_xpf xpf;

	plain_xpf_random(dice, &xpf);
	state[0] = instance(&xpf, PF_ENGINE_BEST, 0);
	state[1] = instance(&xpf, PF_ENGINE_INTERP, PF_ALL_PASSES);
	CHECK(!state[0] == !state[1]);
	for (unsigned i = 0; i < 8 && state[0]; i++) {
		uint8_t bytes[64];
		struct pf_packet packet = { bytes, roll(dice, sizeof(bytes) + 1), roll_number(dice),
					    NULL };
		uint32_t want, word;

		for (uint32_t k = 0; k < packet.caplen; k++)
			bytes[k] = (uint8_t)roll(dice, 6);
		want = plain_xpf_run(&xpf, memory, &packet);
		for (unsigned e = 0; e < 2; e++) {
			CHECK(pf_run_state(state[e], &packet) == want);
			for (uint32_t k = 0; k < xpf.words; k++)
				CHECK(pf_state_read(state[e], k, &word) == 0 && word == memory[k]);
		}
	}
	pf_state_free(state[0]);
	pf_state_free(state[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = { .state = 1, .bytes = data + 1, .n = size - 1 };

	if (size > 20000)
		return 0;
	if (size > 0 && data[0] == 1)
		a_program(&dice);
	else
		any_bytes(data, size);
	return 0;
}
