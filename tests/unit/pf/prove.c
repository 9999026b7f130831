/*
 * prove - a solver finds no packet about which two stages differ; and finds one where a pass is wrong
 *
 * Expressions of the corpus, each 57th; each 19th with PF_PROVE_SECONDS, all with PF_PROVE_FULL=1.
 *
 * Programs made at random, a few; or for so many seconds as PF_PROVE_SECONDS says. What the solver cannot decide in
 * ten seconds is named and counted, not believed. A packet that it finds for a mistake made on purpose is run by the
 * evaluator, which must differ, too.
 */
#include "help.h"

#include <time.h>

#include "pf/front/cbpf.h"
#include "pf/front/pcap.h"
#include "pf/ir/verify.h"
#include "pf/opt/opt.h"
#include "pf/prog.h"
#include "tests/unit/pf/solver.h"

static void test_the_corpus(void **state)
{
	size_t step = getenv("PF_PROVE_FULL")	   ? 1
		      : getenv("PF_PROVE_SECONDS") ? 19
						   : 57,
	       loops = 0, done = 0;
	struct proving proving = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus);

	(void)state;
	if (!solver_is_here()) {
		corpus_release(corpus, n);
		skip();
	}
	for (size_t i = 0; i < n; i += step) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_prog *prog;
		unsigned claims;

		options.link_type = corpus[i].link_type;
		options.engine = PF_ENGINE_INTERP;
		assert_int_equal(pf_compile("pcap", corpus[i].text, strlen(corpus[i].text),
					    &options, &prog, NULL),
				 0);
		claims = proving_add(&proving, prog, corpus[i].text);
		/* Neither classic BPF nor what the kernel does not see. */
		assert_in_range(claims, 3, 5);
		loops += pf_smt_has_loops(pf_prog_ir(prog));
		done++;
		pf_unref(prog);
		if (proving.text.len > 8 << 20)
			proving_ask(&proving);
	}
	proving_ask(&proving);
	print_message("%zu expressions, %zu with loops: %u claims proved, %u not decided\n", done,
		      loops, proving.proved, proving.unknown);
	assert_true(proving.proved > proving.unknown * 50 && proving.proved > done * 4);
	corpus_release(corpus, n);
}

/* The program: its seconds count from there. */
static time_t begun;

static void prove_some(struct dice *dice, struct proving *proving)
{
	for (unsigned done = 0; done < 20;) {
		struct pf_insn insns[24];
		char name[40];
		size_t n;
		struct pf_prog *prog;

		snprintf(name, sizeof(name), "random program %llx", (unsigned long long)dice->state);
		n = random_program(dice, insns, ARRAY_SIZE(insns));
		if (solver_is_lost(insns, n) || pf_cbpf_check(insns, n, 0, NULL) < 0)
			continue;
		assert_int_equal(pf_compile_insns(insns, n, NULL, &prog, NULL), 0);
		assert_in_range(proving_add(proving, prog, name), 3, 5);
		pf_unref(prog);
		done++;
	}
	proving_ask(proving);
}

static void test_random_programs(void **state)
{
	const char *seconds = getenv("PF_PROVE_SECONDS");
	time_t end = begun + (seconds ? atoi(seconds) : 0);
	struct dice dice = { 31 };
	struct proving proving = { 0 };

	(void)state;
	if (!solver_is_here())
		skip();
	do
		prove_some(&dice, &proving);
	while (time(NULL) < end);
	print_message("%u claims proved, %u not decided\n", proving.proved, proving.unknown);
	assert_true(proving.proved > proving.unknown * 10);
}

/* --- passes that are wrong, on purpose ------------------------------------------------------- */

/* "Less or equal" taken for "less". */
static void wrong_comparison(struct pf_unit *u)
{
	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == PF_OP_LT && pf_is_const(u, u->val[v].a)) {
			u->val[v].a = pf_const(u, u->val[u->val[v].a].k - 1);
			return;
		}
	fail_msg("nothing to compare");
}

/* A check that asks for one byte more than is needed: the verifier likes it. */
static void wrong_check(struct pf_unit *u)
{
	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == PF_OP_FITS) {
			u->val[v].k++;
			return;
		}
	fail_msg("nothing to check");
}

/* A test believed to be settled. */
static void wrong_branch(struct pf_unit *u)
{
	pf_blk last = 0;

	for (pf_blk b = 1; b < u->nblk; b++)
		if (u->blk[b].end == PF_END_BRANCH && u->val[u->blk[b].cond].op == PF_OP_EQ)
			last = b;
	assert_true(last);
	u->blk[last].end = PF_END_JUMP;
}

static void expect_counterexample(const char *expression, void (*wrong)(struct pf_unit *u))
{
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };
	struct pf_options options = PF_OPTIONS_INIT;
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_counterexample c;
	struct pf_unit right, other;
	struct eval a, b;
	uint32_t said, says;
	size_t n;

	assert_int_equal(pf_pcap_parse(expression, &options, &insns, &n, NULL), 0);
	pf_unit_init(&right);
	pf_unit_init(&other);
	assert_int_equal(pf_front_cbpf(&right, insns, n, 0, NULL), 0);
	assert_int_equal(pf_unit_copy(&other, &right), 0);
	assert_int_equal(pf_optimise(&other, 0, NULL, NULL, NULL), 0);
	wrong(&other);
	/* Operands may be younger now: in order again. Still nothing that the verifier would find. */
	assert_int_equal(pf_unit_compact_as(&other, NULL), 0);
	assert_int_equal(pf_verify(&other, NULL), 0);
	pf_smt_packet(&text, SOLVER_BYTES);
	assert_int_equal(pf_smt_insns(insns, n, "said", &text), 0);
	assert_int_equal(pf_smt_unit(&other, "wrong", &text), 0);
	pfs_buf_str(&text, "(assert (distinct said.result wrong.result))\n(check-sat)\n");
	pf_smt_ask_packet(SOLVER_BYTES, &text);
	solver_ask(&text, &answer);
	if (strncmp(answer.data, "sat\n", 4) != 0)
		fail_msg("%s: not found: %.100s", expression, answer.data);
	assert_int_equal(pf_smt_read_packet(answer.data, SOLVER_BYTES, &c), 0);
	eval_init(&a, &right);
	eval_init(&b, &other);
	said = eval_run(&a, &(struct pf_packet){ c.bytes, c.caplen, c.len, &c.aux });
	says = eval_run(&b, &(struct pf_packet){ c.bytes, c.caplen, c.len, &c.aux });
	print_message("%s: %u bytes of %u: %u and %u\n", expression, c.caplen, c.len, said, says);
	assert_true(said != says);
	eval_release(&a);
	eval_release(&b);
	pf_unit_release(&right);
	pf_unit_release(&other);
}

static void test_a_wrong_pass_is_caught(void **state)
{
	(void)state;
	if (!solver_is_here())
		skip();
	expect_counterexample("ip[8] > 5", wrong_comparison);
	expect_counterexample("len > 100", wrong_comparison);
	expect_counterexample("tcp port 80", wrong_check);
	expect_counterexample("tcp port 80", wrong_branch);
	expect_counterexample("ip6 and udp src port 53", wrong_branch);
	expect_counterexample("outbound and ip", wrong_branch);
}

static void test_answers_that_are_none(void **state)
{
	struct pf_counterexample c;

	(void)state;
	assert_int_equal(pf_smt_read_packet("", SOLVER_BYTES, &c), -EBADMSG);
	assert_int_equal(pf_smt_read_packet("((caplen #x00000010) (len #xzz))", SOLVER_BYTES, &c),
			 -EBADMSG);
	assert_int_equal(pf_smt_read_packet("((caplen #x00000010) (len #x00000010))", SOLVER_BYTES, &c),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_wrong_pass_is_caught),
		cmocka_unit_test(test_answers_that_are_none),
		cmocka_unit_test(test_the_corpus),
		cmocka_unit_test(test_random_programs),
	};

	begun = time(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
