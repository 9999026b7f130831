/*
 * fuzz_pf_cspf - any bytes as a CSPF program: text, words in bytes
 *
 * What is accepted is verified (pf_compile() does it), runs over a packet without leaving it, is listed in all stages,
 * and says what a plain interpreter of the language says, with passes and without.
 */
#include <pipesfs/pf.h>

#include "base/base.h"
#include "pf/front/cspf.h"
#include "tests/unit/pf/cspf_plain.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_listings(const struct pf_prog *prog)
{
	for (unsigned i = 0; pf_stage_name(i); i++) {
		struct pf_error error = { "" };
		char *text = NULL;
		int r = pf_dump(prog, pf_stage_name(i), &text, &error);

		CHECK(r == 0 || r == -ENOTSUP || r == -E2BIG);
		free(text);
	}
}

/* The same words, by the interpreter of the tests. */
static void check_words(const uint16_t *words, size_t n, unsigned flags, const struct pf_prog *prog,
			const struct pf_packet *packet)
{
	struct cspf_program plain = {
		.n = n, .little = flags & CSPF_LITTLE, .header = 14, .accept = 262144
	};
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *unchanged = NULL;
	uint32_t want;

	if (n > CSPF_PLAIN_WORDS)
		return;
	memcpy(plain.word, words, n * sizeof(*words));
	want = cspf_plain(&plain, packet);
	CHECK(pf_run(prog, packet) == want);
	options.without = PF_ALL_PASSES;
	options.engine = PF_ENGINE_INTERP;
	options.little_words = plain.little;
	CHECK(pf_compile_words(words, n, &options, &unchanged, NULL) == 0);
	CHECK(pf_run(unchanged, packet) == want);
	pf_unref(unchanged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pf_packet packet = { .data = data, .caplen = (uint32_t)pfs_min(size, 101), .len = 101 };
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;
	uint16_t *words = NULL;
	unsigned *lines = NULL, flags = 0;
	size_t n = size / 2;

	if (size > 8000)
		return 0;
	if (pf_compile("cspf", (const char *)data, size, NULL, &prog, &error) < 0) {
		CHECK(error.text[0]);
		return 0;
	}
	pf_run(prog, &packet);
	check_listings(prog);
	if (!memchr(data, 0, size)) {
		CHECK(pf_cspf_parse((const char *)data, size, &words, &lines, &n, &flags, NULL) == 0);
	} else {
		words = malloc(size + 2);
		CHECK(words);
		memcpy(words, data, size);
	}
	check_words(words, n, flags, prog, &packet);
	free(words);
	free(lines);
	pf_unref(prog);
	return 0;
}
