/*
 * fuzz_pf_bpf - any bytes as classic BPF: text of all forms, arrays of instructions
 *
 * What is accepted is verified (pf_compile() does it), runs over a packet without leaving it, and
 * can be listed. What is listed is read back as the same program.
 */
#include <pipesfs/pf.h>

#include "base/base.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const listings[] = { "ir", "opt", "dot", "cbpf", "ebpf", "x86", "smt" };
	struct pf_packet packet = { .data = data, .caplen = (uint32_t)pfs_min(size, 100), .len = 100 };
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL, *again = NULL;
	uint32_t result;

	if (size > 20000)
		return 0;
	if (pf_compile("bpf", (const char *)data, size, NULL, &prog, &error) < 0) {
		CHECK(error.text[0]);
		return 0;
	}
	result = pf_run(prog, &packet);
	for (size_t i = 0; i < ARRAY_SIZE(listings); i++) {
		char *text = NULL;
		int r = pf_dump(prog, listings[i], &text, &error);

		CHECK(r == 0 || r == -ENOTSUP || r == -E2BIG);
		if (r == 0 && i == 3) {
			CHECK(pf_compile("bpf", text, strlen(text), NULL, &again, &error) == 0);
			CHECK(pf_run(again, &packet) == result);
			pf_unref(again);
		}
		free(text);
	}
	pf_unref(prog);
	return 0;
}
