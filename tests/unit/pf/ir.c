/*
 * ir - what the verifier refuses, what folding may do, how units are printed, and that docs/ir.md says the same
 */
#include "help.h"

#include "pf/ir/flow.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"
#include "pf/ir/walk.h"

/* Ethernet and IPv4: two checks, two loads, a result. */
static void build(struct pf_unit *u, pf_blk *ret_last)
{
	pf_blk a, b, c, d, no;

	pf_unit_init(u);
	u->entry = a = pf_block(u);
	b = pf_block(u);
	c = pf_block(u);
	d = pf_block(u);
	no = pf_block(u);
	pf_block_branch(u, a, pf_fits(u, 0, 12, 2), b, no);
	pf_block_branch(u, b, pf_binary(u, PF_OP_EQ, pf_load(u, 2, 0, 12), pf_const(u, 0x800)), c, no);
	pf_block_branch(u, c, pf_fits(u, 0, 23, 1), d, no);
	pf_block_result(u, d, 0, pf_load(u, 1, 0, 23));
	pf_block_stop(u, d);
	pf_block_stop(u, no);
	*ret_last = d;
}

static void test_printed_form(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pf_unit u;
	pf_blk last;

	(void)state;
	build(&u, &last);
	assert_int_equal(pf_verify(&u, NULL), 0);
	assert_int_equal(pf_print(&u, &out), 0);
	assert_string_equal(out.data, "b0:\n\tif fits 14 go b1 else b4\n"
				      "b1:\n\tif load16[12] == 0x800 go b2 else b4\n"
				      "b2:\n\tif fits 24 go b3 else b4\n"
				      "b3:\n\tresult 0 = load8[23]\n\tstop\n"
				      "b4:\n\tstop\n");
	out.len = 0;
	assert_int_equal(pf_print_dot(&u, &out), 0);
	assert_non_null(strstr(out.data, "b1 -> b4 [style=dashed]"));
	pf_unit_release(&u);
}

/* A value that is used twice gets a name; one that is deep gets several. */
static void test_names(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pf_unit u;
	pf_val v;

	(void)state;
	pf_unit_init(&u);
	u.entry = pf_block(&u);
	v = pf_value(&u, PF_OP_LEN, 0, 0, 0);
	for (uint32_t i = 0; i < 50000; i++)
		v = pf_binary(&u, i % 2 ? PF_OP_XOR : PF_OP_MUL, v, pf_const(&u, 3 + i));
	v = pf_binary(&u, PF_OP_ADD, v, v);
	pf_block_result(&u, u.entry, 0, v);
	pf_block_stop(&u, u.entry);
	assert_int_equal(pf_verify(&u, NULL), 0);
	assert_int_equal(pf_print(&u, &out), 0);
	assert_non_null(strstr(out.data, "v1 = "));
	assert_non_null(strstr(out.data, "v500 = "));
	assert_null(strstr(out.data, "v600 = "));
	pf_unit_release(&u);
}

/* --- the verifier -------------------------------------------------------------------------- */

static void refused(struct pf_unit *u, const char *words)
{
	struct pf_error error = { "" };

	assert_int_equal(pf_verify(u, &error), -EINVAL);
	if (!strstr(error.text, words))
		fail_msg("'%s' says nothing of '%s'", error.text, words);
	pf_unit_release(u);
}

static void test_loads_need_checks(void **state)
{
	struct pf_unit u;
	pf_val x, deep;
	pf_blk last, join;

	(void)state;
	/* none, too small, on the wrong side, for another base, deep in an expression */
	build(&u, &last);
	u.blk[u.entry].end = PF_END_JUMP;
	refused(&u, "bounds check");

	build(&u, &last);
	u.blk[u.entry].cond = pf_fits(&u, 0, 11, 2);
	refused(&u, "bounds check");

	build(&u, &last);
	u.blk[u.entry].edge[1] = u.blk[u.entry].edge[0];
	refused(&u, "bounds check");

	build(&u, &last);
	x = pf_load(&u, 1, 0, 3);
	pf_block_result(&u, last, 0, pf_load(&u, 1, x, 0));
	refused(&u, "bounds check");

	build(&u, &last);
	deep = pf_load(&u, 4, 0, 21);
	for (int i = 0; i < 20; i++)
		deep = pf_binary(&u, PF_OP_ADD, pf_value(&u, PF_OP_LEN, 0, 0, 0), deep);
	u.val[u.blk[last].pin[0]].a = deep;
	u.val[u.blk[last].pin[0]].op = PF_OP_RESULT;
	refused(&u, "stands before"); /* the result is older than its operand is no matter; the operand is */

	/* one of two ways has checked */
	build(&u, &last);
	join = pf_block(&u);
	pf_block_result(&u, join, 0, pf_load(&u, 2, 0, 12));
	pf_block_stop(&u, join);
	u.blk[last].npin = 0;
	pf_block_jump(&u, last, join);
	u.blk[u.entry].edge[1].to = join;
	refused(&u, "bounds check");
}

static void test_shape_is_checked(void **state)
{
	struct pf_unit u;
	pf_blk last, other;
	pf_val param;

	(void)state;
	build(&u, &last);
	u.blk[last].end = PF_END_NONE;
	refused(&u, "without an end");

	build(&u, &last);
	u.blk[last].end = PF_END_JUMP;
	u.blk[last].edge[0].to = 4711;
	refused(&u, "nowhere");

	build(&u, &last);
	pf_block_jump(&u, last, u.entry);
	refused(&u, "goes back");

	build(&u, &last);
	pf_block_result(&u, last, 0, pf_const(&u, 1));
	refused(&u, "second result");

	/* a parameter that comes with no argument, and one where it is not known */
	build(&u, &last);
	pf_block_param(&u, last);
	refused(&u, "argument for each parameter");

	build(&u, &last);
	other = pf_block(&u);
	param = pf_block_param(&u, other);
	pf_block_stop(&u, other);
	u.blk[last].npin = 0;
	pf_block_result(&u, last, 0, param);
	refused(&u, "not known");
}

/* A loop that adds the bytes of the packet: with fuel, and with each thing that it needs missing. */
static void build_loop(struct pf_unit *u, pf_blk *ret_head, pf_blk *ret_body)
{
	pf_blk head, more, body, done, no;
	pf_val fuel, at, sum;

	pf_unit_init(u);
	u->entry = pf_block(u);
	head = pf_block(u);
	more = pf_block(u);
	body = pf_block(u);
	done = pf_block(u);
	no = pf_block(u);
	fuel = pf_block_param(u, head);
	at = pf_block_param(u, head);
	sum = pf_block_param(u, head);
	u->blk[head].loop = true;
	pf_block_jump(u, u->entry, head);
	pf_edge_arg(u, &u->blk[u->entry].edge[0], pf_const(u, 10));
	pf_edge_arg(u, &u->blk[u->entry].edge[0], pf_const(u, 0));
	pf_edge_arg(u, &u->blk[u->entry].edge[0], pf_const(u, 0));
	pf_block_branch(u, head, fuel, more, no);
	pf_block_branch(u, more, pf_fits(u, at, 0, 1), body, done);
	pf_block_jump(u, body, head);
	pf_edge_arg(u, &u->blk[body].edge[0], pf_binary(u, PF_OP_ADD, fuel, pf_const(u, UINT32_MAX)));
	pf_edge_arg(u, &u->blk[body].edge[0], pf_binary(u, PF_OP_ADD, at, pf_const(u, 1)));
	pf_edge_arg(u, &u->blk[body].edge[0], pf_binary(u, PF_OP_ADD, sum, pf_load(u, 1, at, 0)));
	pf_block_result(u, done, 0, sum);
	pf_block_stop(u, done);
	pf_block_stop(u, no);
	*ret_head = head;
	*ret_body = body;
}

static void test_loops_burn_fuel(void **state)
{
	static const uint8_t bytes[20] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	struct pf_unit u;
	struct eval eval;
	pf_blk head, body;

	(void)state;
	build_loop(&u, &head, &body);
	assert_int_equal(pf_verify(&u, NULL), 0);
	eval_init(&eval, &u);
	assert_int_equal(eval_run(&eval, &(struct pf_packet){ bytes, 9, 9, NULL }), 45);
	assert_int_equal(eval_run(&eval, &(struct pf_packet){ bytes, 10, 10, NULL }), 0);
	eval_release(&eval);
	pf_unit_release(&u);

	build_loop(&u, &head, &body);
	u.blk[head].loop = false;
	refused(&u, "goes back");
	build_loop(&u, &head, &body);
	u.blk[head].cond = u.blk[head].param[1];
	refused(&u, "look at its fuel");
	build_loop(&u, &head, &body);
	u.blk[body].edge[0].args[0] = u.blk[head].param[0];
	refused(&u, "burn its fuel");
	build_loop(&u, &head, &body);
	u.blk[u.entry].edge[0].args[0] = pf_const(&u, PF_FUEL_MAX + 1);
	refused(&u, "too much fuel");
	build_loop(&u, &head, &body);
	pf_block_result(&u, body, 0, pf_const(&u, 1));
	refused(&u, "result");
}

/* --- folding -------------------------------------------------------------------------------- */

/* Expressions of all sorts, with and without folding, over the same packet: the same number. */
static pf_val random_value(struct pf_unit *u, struct dice *dice, unsigned depth)
{
	enum pf_op op = PF_OP_ADD + roll(dice, PF_OP_LT - PF_OP_ADD + 1);
	pf_val a, b;

	switch (depth ? roll(dice, 8) : roll(dice, 4)) {
	case 0:
		return pf_const(u, roll_number(dice));
	case 1:
		return pf_value(u, PF_OP_LEN, 0, 0, 0);
	case 2:
	case 3:
		return pf_load(u, 1u << roll(dice, 3), 0, roll(dice, 40));
	case 4:
		return pf_value(u, PF_OP_FITS, random_value(u, dice, depth - 1), 0, roll(dice, 80));
	default:
		a = random_value(u, dice, depth - 1);
		b = roll(dice, 3) ? pf_const(u, roll(dice, 4) ? roll_number(dice) : roll(dice, 40))
				  : random_value(u, dice, depth - 1);
		return roll(dice, 6) ? pf_binary(u, op, a, b) : pf_binary(u, op, b, a);
	}
}

static unsigned size_of(const struct pf_unit *u, pf_val root)
{
	PF_WALK struct pf_walk walk;
	unsigned n = 0;

	assert_int_equal(pf_walk_init(&walk, u), 0);
	pf_walk_root(&walk, root);
	while (pf_walk_next(&walk))
		n++;
	return n;
}

static void test_folding_changes_nothing(void **state)
{
	struct dice dice = { 5 };
	uint8_t bytes[64];
	unsigned smaller = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		uint64_t seed = dice.state;
		struct pf_packet p = { bytes, sizeof(bytes), roll_number(&dice), NULL };
		struct dice again = { seed };
		struct pf_unit u, folded;
		struct eval one, two;
		pf_val v, w;

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)roll(&dice, roll(&dice, 2) ? 256 : 3);
		again = dice;
		pf_unit_init(&u);
		pf_unit_init(&folded);
		folded.fold = true;
		v = random_value(&u, &dice, 4);
		w = random_value(&folded, &again, 4);
		eval_init(&one, &u);
		eval_init(&two, &folded);
		one.packet = two.packet = &p;
		one.turn = two.turn = 1;
		if (eval_value(&one, v) != eval_value(&two, w)) {
			pf_block_result(&u, u.entry = pf_block(&u), 0, v);
			pf_block_result(&folded, folded.entry = pf_block(&folded), 0, w);
			fail_msg("seed %llx: %u, folded %u", (unsigned long long)seed,
				 eval_value(&one, v), eval_value(&two, w));
		}
		assert_true(size_of(&folded, w) <= size_of(&u, v) + 1);
		smaller += size_of(&folded, w) < size_of(&u, v);
		eval_release(&one);
		eval_release(&two);
		pf_unit_release(&u);
		pf_unit_release(&folded);
	}
	print_message("%u of 60000 are smaller\n", smaller);
	assert_true(smaller > 10000);
}

/* --- copies ---------------------------------------------------------------------------------- */

static void test_copies_leave_out_what_is_not_reached(void **state)
{
	PFS_BUF struct pfs_buf before = { 0 }, after = { 0 };
	struct pf_unit u;
	pf_blk last;

	(void)state;
	build(&u, &last);
	for (int i = 0; i < 100; i++)
		pf_block_stop(&u, pf_block(&u));
	assert_int_equal(pf_print(&u, &before), 0);
	assert_int_equal(pf_unit_compact(&u), 0);
	assert_int_equal(u.nblk, 6);
	assert_int_equal(pf_print(&u, &after), 0);
	assert_string_equal(before.data, after.data);
	assert_int_equal(pf_verify(&u, NULL), 0);
	pf_unit_release(&u);
}

/* --- the manual ------------------------------------------------------------------------------- */

static void test_the_manual_has_every_value(void **state)
{
	const char *top = getenv("SRCDIR");
	PFS_FREE char *line = NULL;
	char path[4096];
	size_t cap = 0;
	unsigned op = 0;
	bool inside = false;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/docs/ir.md", top ? top : ".");
	f = fopen(path, "re");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		char name[40], want[200];

		if (strncmp(line, "<!-- ops -->", 12) == 0)
			inside = true;
		if (!inside || sscanf(line, "| %39[A-Z0-9] |", name) != 1)
			continue;
		op++;
		assert_true(op < PF_OPS);
		assert_string_equal(name, pf_ops[op].name);
		snprintf(want, sizeof(want), "| %s |\n", pf_ops[op].meaning);
		if (!strstr(line, want))
			fail_msg("docs/ir.md says of %s: %s", name, line);
	}
	assert_int_equal(op, PF_OPS - 1);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printed_form),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_loads_need_checks),
		cmocka_unit_test(test_shape_is_checked),
		cmocka_unit_test(test_loops_burn_fuel),
		cmocka_unit_test(test_folding_changes_nothing),
		cmocka_unit_test(test_copies_leave_out_what_is_not_reached),
		cmocka_unit_test(test_the_manual_has_every_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
