/*
 * proveloops - programs with loops, with memory, and their code for the kernel, before a solver; and mistakes made on
 * purpose, which it finds
 *
 * A few programs of people (the longer ones with PF_PROVE_SECONDS), and random ones, for half as many seconds as
 * PF_PROVE_SECONDS says.
 */
#include "help.h"

#include <time.h>

#include "pf/back/ebpf.h"
#include "pf/ir/verify.h"
#include "pf/prog.h"
#include "tests/unit/pf/solver.h"
#include "tests/unit/pf/xpf_plain.h"

static const char *const texts[] = {
	/* What a monitor counts. */
	".memory 4\nld #1\naddm P[0]\nld len\naddm64 P[1]\nldx P[3]\njgt x, more, done\n"
	"more: st P[3]\ndone: ret #0\n",
	/* What was written before a packet is too short stays. */
	".memory 1\nldb [0]\nld #1\naddm P[0]\nldb [9]\nldb [20]\nret #1\n",
	/* A histogram; places outside reject. */
	".memory 16\nldb [9]\ntax\nld #1\naddm P[x+2]\nret #1\n",
	/* A loop, and one that is cut by its own bound. */
	".loops 3\nldx #0\nagain: ldb [x+14]\njeq #0x81, yes\ntxa\nadd #1\ntax\njlt #4, again\nret #0\n"
	"yes: ret #100\n",
	".memory 8\n.loops 2\nldx #0\nagain: ldb [x+14]\naddm P[x]\ntxa\nadd #1\ntax\njlt #6, again\n"
	"ld P[3]\nret a\n",
	/* One in the other, which share what they may do. */
	".memory 1\n.loops 4\nouter: ld #1\naddm P[0]\ninner: ldb [0]\nadd #1\njset #4, inner\nld P[0]\n"
	"jset #1, outer\nret a\n",
};

static struct pf_prog *compile(const char *language, const void *text, size_t len)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;

	options.engine = PF_ENGINE_INTERP;
	if (pf_compile(language, text, len, &options, &prog, &error) < 0)
		fail_msg("%s", error.text);
	return prog;
}

static void test_programs_of_people(void **state)
{
	size_t n = getenv("PF_PROVE_SECONDS") ? ARRAY_SIZE(texts) : 4;
	struct proving proving = { 0 };

	(void)state;
	if (!solver_is_here())
		skip();
	for (size_t i = 0; i < n; i++) {
		struct pf_prog *prog = compile("xpf", texts[i], strlen(texts[i]));

		/* Said, made, optimised, machine code's form, the kernel's; no classic BPF but of the fourth. */
		assert_in_range(proving_add(&proving, prog, texts[i]), 4, 5);
		pf_unref(prog);
	}
	proving_ask(&proving);
	print_message("%u claims proved\n", proving.proved);
	assert_int_equal(proving.unknown, 0);
}

/* The program: its seconds count from there. */
static time_t begun;

static void prove_some(struct dice *dice, struct proving *proving)
{
	for (unsigned done = 0; done < 6;) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct plain_xpf xpf;
		struct pf_prog *prog;
		char name[40];

		snprintf(name, sizeof(name), "random program %llx", (unsigned long long)dice->state);
		plain_xpf_random(dice, &xpf);
		options.engine = PF_ENGINE_INTERP;
		/* Long ones are formulas that take a solver longer than we have. */
		if (solver_is_lost(xpf.insn + 2, xpf.n) || xpf.n > 20 ||
		    pf_compile("xpf", (const char *)xpf.insn, (xpf.n + 2) * sizeof(xpf.insn[0]),
			       &options, &prog, NULL) < 0)
			continue;
		assert_in_range(proving_add(proving, prog, name), 3, 5);
		pf_unref(prog);
		done++;
	}
	proving_ask(proving);
}

static void test_random_programs(void **state)
{
	const char *seconds = getenv("PF_PROVE_SECONDS");
	time_t end = begun + (seconds ? atoi(seconds) / 2 : 0);
	struct dice dice = { 47 };
	struct proving proving = { 0 };

	(void)state;
	if (!solver_is_here())
		skip();
	do
		prove_some(&dice, &proving);
	while (time(NULL) < end);
	print_message("%u claims proved, %u not decided\n", proving.proved, proving.unknown);
	assert_true(proving.proved > proving.unknown * 5);
}

/* --- mistakes -------------------------------------------------------------------------------- */

/* The first value with that operation. */
static struct pf_value *first(struct pf_unit *u, enum pf_op op)
{
	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == op)
			return &u->val[v];
	fail_msg("there is no %s", pf_ops[op].name);
	return NULL;
}

/* Two writes to memory change places. */
static void wrong_order(struct pf_unit *u)
{
	for (pf_blk b = 1; b < u->nblk; b++)
		for (uint32_t i = 0; i + 1 < u->blk[b].npin; i++) {
			pf_val *pin = &u->blk[b].pin[i];
			pf_val v = pin[0];

			if (u->val[v].op != PF_OP_SET || u->val[pin[1]].op != PF_OP_SET)
				continue;
			pin[0] = pin[1];
			pin[1] = v;
			return;
		}
	fail_msg("no two writes");
}

static void wrong_place(struct pf_unit *u)
{
	first(u, PF_OP_SET)->k ^= 1;
}

/* A write that is done only when the packet is not rejected further on. */
static void wrong_late(struct pf_unit *u)
{
	for (pf_blk b = 1; b < u->nblk; b++)
		for (uint32_t i = 0; i < u->blk[b].npin; i++)
			if (u->val[u->blk[b].pin[i]].op == PF_OP_SET) {
				u->blk[b].npin = i;
				return;
			}
}

/* A round less. */
static void wrong_fuel(struct pf_unit *u)
{
	for (pf_blk b = 1; b < u->nblk; b++)
		for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++) {
			struct pf_edge *edge = &u->blk[b].edge[e];
			const struct pf_block *to = &u->blk[edge->to];

			if (!to->loop || !pf_is_const(u, edge->args[to->fuel]))
				continue;
			edge->args[to->fuel] = pf_const(u, u->val[edge->args[to->fuel]].k - 1);
			return;
		}
	fail_msg("no loop");
}

/* What one finds about the program that it was, and what was made of it. */
static void expect_found(const char *text, void (*wrong)(struct pf_unit *u))
{
	PFS_BUF struct pfs_buf smt = { 0 }, answer = { 0 };
	struct pf_prog *prog = compile("xpf", text, strlen(text));
	struct pf_unit other;

	pf_unit_init(&other);
	assert_int_equal(pf_unit_copy(&other, pf_prog_opt(prog)), 0);
	wrong(&other);
	assert_int_equal(pf_unit_compact_as(&other, NULL), 0);
	/* The verifier likes it. */
	assert_int_equal(pf_verify(&other, NULL), 0);
	pf_smt_packet(&smt, SOLVER_BYTES);
	assert_int_equal(pf_smt_unit(pf_prog_ir(prog), "right", &smt), 0);
	assert_int_equal(pf_smt_unit(&other, "wrong", &smt), 0);
	pf_smt_claim("right", "wrong", PF_SMT_LOOPS | PF_SMT_MEMORY, &smt);
	solver_ask(&smt, &answer);
	if (strcmp(answer.data, "sat\n") != 0)
		fail_msg("%s: not found: %.100s", text, answer.data);
	pf_unit_release(&other);
	pf_unref(prog);
}

static void test_wrong_units_are_found(void **state)
{
	(void)state;
	if (!solver_is_here())
		skip();
	expect_found(".memory 2\nldb [0]\nst P[0]\nld #1\nst P[0]\nret #1\n", wrong_order);
	expect_found(texts[1], wrong_late);
	expect_found(texts[0], wrong_place);
	expect_found(texts[2], wrong_place);
	expect_found(texts[3], wrong_fuel);
	expect_found(texts[4], wrong_fuel);
}

/*
 * Each instruction of code for the kernel made another one: what is found, or refused since nobody could read what is
 * asked for, must be most of it.
 */
static void test_wrong_code_is_found(void **state)
{
	const char *text = getenv("PF_PROVE_SECONDS") ? "tcp port 80 or ip[8] < 4" : "tcp[12] < 4";
	KCODE_CLEANUP struct kcode code = { 0 };
	struct pf_prog *prog = compile("pcap", text, strlen(text));
	unsigned found = 0, refused = 0, equal = 0;

	(void)state;
	if (!solver_is_here()) {
		pf_unref(prog);
		skip();
	}
	assert_int_equal(pf_ebpf_program(pf_prog_opt(prog), -1, &code), 0);
	for (size_t i = 0; i < code.n; i++) {
		PFS_BUF struct pfs_buf smt = { 0 }, answer = { 0 };
		struct bpf_insn *insn = &code.insn[i], was = *insn;
		int r;

		if (BPF_CLASS(insn->code) == BPF_JMP32 || BPF_CLASS(insn->code) == BPF_ALU ||
		    BPF_CLASS(insn->code) == BPF_ALU64)
			insn->imm ^= 1;
		else if (BPF_CLASS(insn->code) == BPF_LDX)
			insn->off ^= 1;
		if (!memcmp(insn, &was, sizeof(was)) || BPF_SRC(insn->code) == BPF_X)
			continue;
		pf_smt_packet(&smt, SOLVER_BYTES);
		assert_int_equal(pf_smt_unit(pf_prog_opt(prog), "opt", &smt), 0);
		r = pf_smt_ebpf(code.insn, code.n, 0, "ebpf", &smt);
		pf_smt_claim_ebpf("opt", "ebpf", 0, &smt);
		if (r == 0)
			solver_ask(&smt, &answer);
		refused += r < 0;
		found += r == 0 && !strcmp(answer.data, "sat\n");
		equal += r == 0 && !strcmp(answer.data, "unsat\n");
		if (r == 0 && !strcmp(answer.data, "unsat\n"))
			print_message("instruction %zu does not matter\n", i);
		*insn = was;
	}
	print_message("%u mistakes are found, %u have no form, %u do not matter\n", found, refused,
		      equal);
	assert_true(found > 10 && found + refused > 4 * equal);
	pf_unref(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs_of_people),
		cmocka_unit_test(test_wrong_units_are_found),
		cmocka_unit_test(test_wrong_code_is_found),
		cmocka_unit_test(test_random_programs),
	};

	begun = time(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
