/*
 * table - keys come and go, floods find no bucket; FIND says the same in every back end, the kernel's maps too
 */
#include "help.h"

#include "pf/back/ebpf.h"
#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"
#include "source/bpf.h"
#include "source/bpftables.h"

/* --- the table ------------------------------------------------------------------------------- */

#define KEYS 3000u

struct pairs {
	uint32_t a[KEYS], b[KEYS], value[KEYS];
	uint32_t seen;
};

static void test_keys_come_and_go(void **state)
{
	struct dice dice = { .state = 3 };
	struct pairs *p = pfs_zalloc(1, sizeof(*p));
	struct pf_table *t;

	(void)state;
	assert_non_null(p);
	assert_int_equal(pf_table_new(&t), 0);
	assert_int_equal(pf_table_find(t, 0, 0), 0);
	for (uint32_t i = 0; i < KEYS; i++) {
		p->a[i] = i % 7 ? roll(&dice, 5) : i << 20;
		p->b[i] = i;
	}
	for (uint32_t turn = 0; turn < 40000; turn++) {
		uint32_t i = roll(&dice, turn < 20000 ? KEYS : 50), value = roll(&dice, 3);

		assert_int_equal(pf_table_set(t, p->a[i], p->b[i], value), 0);
		p->value[i] = value;
		i = roll(&dice, KEYS);
		assert_int_equal(pf_table_find(t, p->a[i], p->b[i]), p->value[i]);
		assert_int_equal(pf_table_find(t, p->a[i] + 9, p->b[i]), 0);
	}
	for (uint32_t i = 0; i < KEYS; i++) {
		assert_int_equal(pf_table_find(t, p->a[i], p->b[i]), p->value[i]);
		p->seen += p->value[i] != 0;
	}
	assert_int_equal(t->live, p->seen);
	pf_table_unref(t);
	free(p);
}

/* How far a key lies from where it belongs, at most, and how many are asked before none is found. */
static uint32_t longest_run(const struct pf_table *t)
{
	const struct pf_table_rows *rows = atomic_load(&t->rows);
	uint32_t run = 0, longest = 0;

	for (uint32_t i = 0; i < rows->cap + PF_TABLE_PROBES; i++) {
		run = rows->slot[i].used ? run + 1 : 0;
		longest = (uint32_t)pfs_max(longest, run);
	}
	return longest;
}

/* Keys as who floods would choose them: in a row, in big steps, all of one half, powers of two. */
static void test_floods(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 6; kind++) {
		struct pf_table *t;

		assert_int_equal(pf_table_new(&t), 0);
		for (uint32_t i = 0; i < 20000; i++) {
			uint32_t a = kind == 0	 ? 0
				     : kind == 1 ? i << 16
				     : kind == 2 ? i
						 : i * 65536u + 1;
			uint32_t b = kind == 0	 ? i
				     : kind == 3 ? i * 4096
				     : kind == 4 ? 1u << i % 32
						 : 5;

			assert_int_equal(pf_table_set(t, a, b, i + 1), 0);
			if (kind == 5) /* taken out again, over and over */
				assert_int_equal(pf_table_set(t, a, b, 0), 0);
		}
		assert_true(longest_run(t) < 200);
		assert_true(atomic_load(&t->rows)->cap <= 262144);
		if (kind == 5)
			assert_true(atomic_load(&t->rows)->cap <= 64);
		pf_table_unref(t);
	}
}

/* --- FIND ------------------------------------------------------------------------------------ */

/* find t1[find t0[0, load32[14]], load16[18]]: a trie of two words. */
static void build(struct pf_unit *u, struct pf_table **t)
{
	pf_blk entry, yes, no;
	pf_val first, second;

	pf_unit_init(u);
	assert_int_equal(pf_table_new(&t[0]), 0);
	assert_int_equal(pf_table_new(&t[1]), 0);
	entry = pf_block(u);
	yes = pf_block(u);
	no = pf_block(u);
	first = pf_find(u, t[0], pf_const(u, 0), pf_load(u, 4, 0, 14));
	second = pf_find(u, t[1], first, pf_load(u, 2, 0, 18));
	pf_block_branch(u, entry, pf_fits(u, 0, 0, 20), yes, no);
	pf_block_result(u, yes, 0, second);
	pf_block_stop(u, yes);
	pf_block_stop(u, no);
	u->entry = entry;
	assert_int_equal(pf_verify(u, NULL), 0);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(pf_table_set(t[0], 0, 0x0a000000 + i, i + 1), 0);
		assert_int_equal(pf_table_set(t[1], i + 1, i % 10, 1000 + i), 0);
	}
}

static void fill_packet(struct dice *dice, uint8_t *b)
{
	be32_store(b + 14, 0x0a000000 + roll(dice, 110));
	be16_store(b + 18, (uint16_t)roll(dice, 11));
}

static void test_find_agrees(void **state)
{
	struct dice dice = { .state = 8 };
	uint8_t b[60] = { 0 };
	struct pf_table *t[2];
	struct pf_interp *interp;
	struct pf_native *native = NULL;
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_unit u;
	struct eval e;
	unsigned hits = 0;

	(void)state;
	build(&u, t);
	assert_int_equal(pf_print(&u, &text), 0);
	assert_non_null(strstr(text.data, "result 0 = find t1[find t0[0, load32[14]], load16[18]]"));
	assert_int_equal(pf_interp_make(&u, &interp), 0);
	if (pf_native_make(&u, &native) < 0)
		print_message("no native code here\n");
	eval_init(&e, &u);
	for (unsigned i = 0; i < 3000; i++) {
		struct pf_packet p = { b, roll(&dice, 10) ? 60 : roll(&dice, 24), 60, NULL };
		uint32_t want;

		fill_packet(&dice, b);
		want = eval_run(&e, &p);
		hits += want != 0;
		assert_int_equal(pf_interp_run(interp, &p, NULL), want);
		if (native)
			assert_int_equal(pf_native_run(native, &p, NULL), want);
		/* Programs that are made already see what changes. */
		assert_int_equal(
			pf_table_set(t[0], 0, 0x0a000000 + roll(&dice, 130), roll(&dice, 120)), 0);
	}
	assert_true(hits > 200 && hits < 2800);
	eval_release(&e);
	pf_interp_free(interp);
	pf_native_free(native);
	pf_unit_release(&u);
	pf_table_unref(t[0]);
	pf_table_unref(t[1]);
}

/* --- in the kernel --------------------------------------------------------------------------- */

static int load_program(const struct pf_unit *u, struct kbpf_tables *tables)
{
	KCODE_CLEANUP struct kcode c = { 0 };
	struct kbpf_prog_spec prog = { .type = BPF_PROG_TYPE_SCHED_CLS, .name = "pf_find" };
	struct pfs_diag diag = { "" };
	int fd;

	assert_int_equal(pf_ebpf_program_with(u, -1, kbpf_tables_where, tables, &c), 0);
	prog.insns = c.insn;
	prog.n = c.n;
	fd = kbpf_prog_load(&prog, &diag);
	if (fd < 0)
		fail_msg("%s", diag.text);
	return fd;
}

static void test_find_in_the_kernel(void **state)
{
	struct dice dice = { .state = 8 };
	uint8_t b[60] = { 0 };
	struct pf_table *t[2];
	struct kbpf_tables tables;
	struct pf_unit u;
	unsigned hits = 0;
	int fd;

	(void)state;
	build(&u, t);
	if (kbpf_tables_make(&tables, &u, 200) < 0) {
		pf_unit_release(&u);
		pf_table_unref(t[0]);
		pf_table_unref(t[1]);
		print_message("needs the right to load programs\n");
		skip();
	}
	fd = load_program(&u, &tables);
	for (unsigned i = 0; i < 500; i++) {
		uint32_t got, want;

		fill_packet(&dice, b);
		want = eval_find(t[0], 0, be32_load(b + 14));
		want = eval_find(t[1], want, be16_load(b + 18));
		hits += want != 0;
		assert_int_equal(kbpf_prog_run(fd, b, sizeof(b), &got), 0);
		assert_int_equal(got, want);
		assert_int_equal(
			pf_table_set(t[0], 0, 0x0a000000 + roll(&dice, 130), roll(&dice, 120)), 0);
	}
	assert_true(hits > 30);
	close(fd);
	assert_int_equal(kbpf_tables_lost(&tables), 0);
	/* There is no room for so many. */
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(pf_table_set(t[0], 7, i, 1), 0);
	assert_true(kbpf_tables_lost(&tables) >= 100);
	kbpf_tables_release(&tables);
	pf_unit_release(&u);
	pf_table_unref(t[0]);
	pf_table_unref(t[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_come_and_go),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_find_agrees),
		cmocka_unit_test(test_find_in_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
