/*
 * fuzz_pf_dpf - any bytes as DPF's atoms; and lists of atoms made of the fuzzer's bytes, about which a plain
 * interpreter and everybody else agree
 *
 * What is accepted is verified (pf_compile() does it), runs over a packet without leaving it, and can be listed.
 */
#include "tests/unit/pf/dpf_plain.h"

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
	struct pf_prog *prog = NULL;

	if (pf_compile("dpf", (const char *)data, size, NULL, &prog, &error) < 0) {
		CHECK(error.text[0]);
		return;
	}
	pf_run(prog, &packet);
	for (unsigned i = 0; pf_stage_name(i); i++) {
		PFS_FREE char *text = NULL;
		int r = pf_dump(prog, pf_stage_name(i), &text, &error);

		CHECK(r == 0 || r == -ENOTSUP || r == -E2BIG);
	}
	pf_unref(prog);
}

static void a_list(struct dice *dice)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct plain_atom atoms[PLAIN_ATOMS];
	struct packets none = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_prog *prog, *interp;
	size_t n = plain_random(dice, atoms, PLAIN_ATOMS);

	plain_say(dice, atoms, n, &text);
	CHECK(!text.failed);
	CHECK(pf_compile("dpf", text.data, text.len, &options, &prog, NULL) == 0);
	options.engine = PF_ENGINE_INTERP;
	options.without = PF_ALL_PASSES;
	CHECK(pf_compile("dpf", text.data, text.len, &options, &interp, NULL) == 0);
	for (unsigned i = 0; i < 8; i++) {
		struct bytes b;
		struct pf_packet packet;
		uint32_t want;

		plain_packet(dice, atoms, n, &none, &b);
		packet = (struct pf_packet){ b.data, b.n, b.n, NULL };
		want = plain_matches(atoms, n, b.data, b.n) ? options.snaplen : 0;
		CHECK(pf_run(prog, &packet) == want);
		CHECK(pf_run(interp, &packet) == want);
	}
	pf_unref(prog);
	pf_unref(interp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = { .state = 1, .bytes = data + 1, .n = size - 1 };

	if (size > 0 && data[0] < ' ' && data[0] != '\n' && data[0] != '\t')
		a_list(&dice);
	else
		any_bytes(data, size);
	return 0;
}
