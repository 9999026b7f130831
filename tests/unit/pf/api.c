/*
 * api - the library as its users see it: what it refuses and how, what it tells of a program
 */
#include "help.h"

static int try(const char *language, const char *text, size_t len, const struct pf_options *options,
	       struct pf_error *error)
{
	struct pf_prog *prog = NULL;
	int r;

	*error = (struct pf_error){ "" };
	r = pf_compile(language, text, len, options, &prog, error);
	if (r == 0)
		pf_unref(prog);
	else
		assert_true(!prog && error->text[0]);
	return r;
}

static void test_options_of_another_release(void **state)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error;

	(void)state;
	options.size = sizeof(options) + 8;
	assert_int_equal(try("pcap", "ip", 2, &options, &error), -EINVAL);
	assert_non_null(strstr(error.text, "another release"));
	options.size = 0;
	assert_int_equal(try("pcap", "ip", 2, &options, &error), -EINVAL);
	/* An older one, that knew of passes but of nothing behind them: the rest is as by default. */
	options.size = offsetof(struct pf_options, link_type);
	options.link_type = 0xfff0;
	assert_int_equal(try("pcap", "ip", 2, &options, &error), 0);
	options = (struct pf_options)PF_OPTIONS_INIT;
	options.engine = (enum pf_engine)17;
	assert_int_equal(try("pcap", "ip", 2, &options, &error), -EINVAL);
	assert_int_equal(pf_compile_insns(NULL, 0, &options, NULL, &error), -EINVAL);
}

static void test_what_is_no_filter(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_error error;

	(void)state;
	assert_int_equal(try("lisp", "ip", 2, NULL, &error), -ENOENT);
	assert_int_equal(try("pcap", "ip and", 6, NULL, &error), -EINVAL);
	assert_int_equal(try("pcap", "ip\0and", 6, NULL, &error), -EINVAL);
	assert_int_equal(try("pcap", "", 0, NULL, &error), 0);
	assert_int_equal(try("bpf", "", 0, NULL, &error), -EINVAL);
	assert_int_equal(pf_compile_insns(NULL, 0, NULL, NULL, &error), -EINVAL);
	while (text.len < 4096)
		pfs_buf_str(&text, " ");
	assert_int_equal(try("pcap", text.data, 4096, NULL, &error), 0);
	pfs_buf_str(&text, " ");
	assert_int_equal(try("pcap", text.data, text.len, NULL, &error), -E2BIG);
	assert_int_equal(try("pcap", "", SIZE_MAX, NULL, &error), -E2BIG);
	assert_int_equal(try("bpf", "", SIZE_MAX, NULL, &error), -E2BIG);
}

/* Each byte tells where the next one is: all those places would have to be remembered. */
static void test_too_many_places(void **state)
{
	static struct pf_insn insns[60001];
	uint64_t begin = pfs_clock_mono();
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;

	(void)state;
	for (unsigned i = 0; i < 60000; i += 2) {
		insns[i] = (struct pf_insn){ 0xb1, 0, 0, i };	      /* ldxb 4*([i]&0xf) */
		insns[i + 1] = (struct pf_insn){ 0x50, 0, 0, i % 9 }; /* ldb [x+1] */
	}
	insns[60000] = (struct pf_insn){ 0x16, 0, 0, 0 }; /* ret a */
	assert_int_equal(pf_compile_insns(insns, 60001, NULL, &prog, &error), -E2BIG);
	assert_non_null(strstr(error.text, "computed places"));
	/* A few hundred are fine. */
	insns[600] = insns[60000];
	assert_int_equal(pf_compile_insns(insns, 601, NULL, &prog, &error), 0);
	pf_unref(prog);
	assert_true(pfs_clock_mono() - begin < UINT64_C(30000000000));
}

static void test_what_it_tells(void **state)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_info info = { .size = sizeof(info) };
	struct pf_error error;
	struct pf_prog *prog;
	char *text;

	(void)state;
	options.engine = PF_ENGINE_INTERP;
	assert_int_equal(pf_compile("pcap", "inbound and ip", 14, &options, &prog, &error), 0);
	assert_int_equal(pf_get_info(prog, &info), 0);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.fields, 1u << PF_AUX_PKTTYPE);
	assert_int_equal(info.native, 0);
	assert_int_equal(pf_dump(prog, "nothing", &text, &error), -ENOENT);
	assert_non_null(strstr(error.text, "nothing"));
	pf_unref(prog);

	assert_int_equal(pf_compile("pcap", "ip or ip6", 9, NULL, &prog, &error), 0);
	assert_int_equal(pf_get_info(prog, &info), 0);
	assert_int_equal(info.fields, 0);
	assert_int_equal(info.tests, 3); /* that the type is there, one, the other */
#if defined(__x86_64__)
	assert_true(info.native > 0);
#endif
	info = (struct pf_info){ .size = sizeof(info) + 1 };
	assert_int_equal(pf_get_info(prog, &info), -EINVAL);
	info.size = offsetof(struct pf_info, tests);
	assert_int_equal(pf_get_info(prog, &info), 0);
	assert_int_equal(info.tests, 0);
	pf_unref(pf_ref(prog));
	assert_int_equal(pf_run(prog, &(struct pf_packet){ 0 }), 0);
	pf_unref(prog);
	pf_unref(pf_ref(NULL));
}

/* Many packets at once, and without pf_run() in between: the same answers, with and without aux, from both engines. */
static void test_batches(void **state)
{
	static const enum pf_engine engines[] = { PF_ENGINE_BEST, PF_ENGINE_INTERP };
	static const char *const texts[] = { "ether[20] = 3 or len > 90", "inbound and ip",
					     "ether[20] * ether[21] = 12 or ether[22] / ether[23] = 2" };
	uint8_t bytes[257][64];
	struct pf_packet packets[257];
	struct pf_aux aux = { .known = 1u << PF_AUX_PKTTYPE };
	uint32_t results[258];

	(void)state;
	for (unsigned i = 0; i < 257; i++) {
		for (unsigned k = 0; k < 64; k++)
			bytes[i][k] = (uint8_t)((i + k) % 7);
		bytes[i][12] = 8;
		bytes[i][13] = 0;
		packets[i] = (struct pf_packet){ bytes[i], i % 65, i, i % 3 ? &aux : NULL };
	}
	for (unsigned t = 0; t < ARRAY_SIZE(texts); t++)
		for (unsigned e = 0; e < ARRAY_SIZE(engines); e++) {
			struct pf_options options = PF_OPTIONS_INIT;
			unsigned yes = 0;
			struct pf_prog *prog;
			const void *self;
			pf_code_fn *code;

			options.engine = engines[e];
			assert_int_equal(pf_compile("pcap", texts[t], strlen(texts[t]), &options,
						    &prog, NULL),
					 0);
			code = pf_get_code(prog, &self);
			memset(results, 0x55, sizeof(results));
			pf_run_batch(prog, packets, 257, results);
			pf_run_batch(prog, NULL, 0, NULL);
			for (unsigned i = 0; i < 257; i++) {
				assert_int_equal(results[i], pf_run(prog, &packets[i]));
				assert_int_equal(results[i], code(&packets[i], self));
				yes += results[i] != 0;
			}
			assert_int_equal(results[257], 0x55555555);
			assert_true(yes > 10 && yes < 250);
			pf_unref(prog);
		}
}

/* Every stage of a program says something, and no stage is forgotten. */
static void test_stages(void **state)
{
	static const char *const says[] = { "load16[12]", "load16[12]", "digraph",    "ldh",
					    "r6 = r1",	  "ret",	"(check-sat)" };
	struct pf_prog *prog;
	unsigned n = 0;

	(void)state;
	assert_int_equal(pf_compile("pcap", "ip", 2, NULL, &prog, NULL), 0);
	for (; pf_stage_name(n); n++) {
		PFS_FREE char *text = NULL;

		assert_true(n < ARRAY_SIZE(says));
		assert_int_equal(pf_dump(prog, pf_stage_name(n), &text, NULL), 0);
		if (!strstr(text, says[n]))
			fail_msg("%s: %s", pf_stage_name(n), text);
	}
	assert_int_equal(n, ARRAY_SIZE(says));
	pf_unref(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_of_another_release),
		cmocka_unit_test(test_what_is_no_filter),
		cmocka_unit_test(test_too_many_places),
		cmocka_unit_test(test_what_it_tells),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_stages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
