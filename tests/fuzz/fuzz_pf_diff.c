/*
 * fuzz_pf_diff - programs made of the fuzzer's bytes: everybody gives the same verdict
 *
 * The bytes are what the generator of the unit tests rolls: first a program, then packets for it.
 */
#include <pcap/pcap.h>

#include "pf/front/cbpf.h"
#include "tests/unit/pf/random.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(struct pf_prog *prog, struct pf_prog *interp, const struct pf_insn *insns,
		    const struct pf_insn *emitted, const struct pf_packet *p)
{
	uint32_t want = bpf_filter((const struct bpf_insn *)insns, p->data, p->len, p->caplen);

	CHECK(pf_run(prog, p) == want);
	CHECK(pf_run(interp, p) == want);
	if (emitted)
		CHECK(bpf_filter((const struct bpf_insn *)emitted, p->data, p->len, p->caplen) == want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = { .state = 1, .bytes = data, .n = size };
	PFS_FREE struct pf_insn *emitted = NULL;
	struct pf_insn insns[60];
	struct packets none = { 0 };
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *prog = NULL, *interp = NULL;
	size_t n = random_program(&dice, insns, ARRAY_SIZE(insns)), nemitted;

	if (pf_cbpf_check(insns, n, 0, NULL) < 0)
		return 0;
	CHECK(pf_compile_insns(insns, n, NULL, &prog, NULL) == 0);
	options.engine = PF_ENGINE_INTERP;
	CHECK(pf_compile_insns(insns, n, &options, &interp, NULL) == 0);
	if (pf_emit_cbpf(prog, 0, &emitted, &nemitted, NULL) < 0)
		emitted = NULL;
	for (unsigned i = 0; i < 8; i++) {
		struct bytes b;
		uint8_t *exact;

		packet_for(insns, n, &dice, &none, &b);
		exact = malloc(b.n ? b.n : 1);
		CHECK(exact);
		memcpy(exact, b.data, b.n);
		compare(prog, interp, insns, emitted,
			&(struct pf_packet){ exact, b.n, i % 3 ? b.n : roll_number(&dice), NULL });
		free(exact);
	}
	pf_unref(prog);
	pf_unref(interp);
	return 0;
}
