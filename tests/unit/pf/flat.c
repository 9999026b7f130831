/*
 * flat - decisions as numbers and searches say what the branches said, in fewer steps
 *
 * The plain evaluator runs the units before and behind, over packets cut at every length.
 */
#include "help.h"

#include "pf/back/flat.h"
#include "pf/back/search.h"
#include "pf/front/cbpf.h"
#include "pf/front/pcap.h"
#include "pf/ir/verify.h"
#include "pf/opt/opt.h"

static void make(struct pf_unit *u, const char *text, uint16_t link_type,
		 struct pf_insn **ret_insns, size_t *ret_n)
{
	struct pf_options options = PF_OPTIONS_INIT;

	options.link_type = link_type;
	assert_int_equal(pf_pcap_parse(text, &options, ret_insns, ret_n, NULL), 0);
	pf_unit_init(u);
	assert_int_equal(pf_front_cbpf(u, *ret_insns, *ret_n, CBPF_LOOPS, NULL), 0);
	assert_int_equal(pf_optimise(u, 0, NULL, NULL, NULL), 0);
}

static unsigned branches(const struct pf_unit *u)
{
	unsigned n = 0;

	for (pf_blk b = 1; b < u->nblk; b++)
		n += u->blk[b].end == PF_END_BRANCH;
	return n;
}

/* The most branches on one way from b on. */
static unsigned depth(const struct pf_unit *u, pf_blk b)
{
	unsigned most = 0;

	for (unsigned e = 0; e < pf_edges(&u->blk[b]); e++) {
		unsigned d = depth(u, u->blk[b].edge[e].to);

		most = d > most ? d : most;
	}
	return most + (u->blk[b].end == PF_END_BRANCH);
}

static void test_the_corpus(void **state)
{
	struct dice dice = { 11 };
	struct packets packets = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus);
	unsigned changed = 0;

	(void)state;
	packets_generate(&packets, 3, 200);
	for (size_t i = 0; i < n; i += 3) {
		PFS_FREE struct pf_insn *insns = NULL;
		struct pf_unit u, flat;
		struct eval a, b;
		size_t ninsns;

		make(&u, corpus[i].text, corpus[i].link_type, &insns, &ninsns);
		pf_unit_init(&flat);
		assert_int_equal(pf_flat(&u, &flat), 0);
		assert_int_equal(pf_verify(&flat, NULL), 0);
		changed += pf_unit_digest(&u) != pf_unit_digest(&flat);
		eval_init(&a, &u);
		eval_init(&b, &flat);
		for (unsigned k = 0; k < 6; k++) {
			struct bytes bytes;

			packet_for(insns, ninsns, &dice, &packets, &bytes);
			for (uint32_t cut = 0; cut <= bytes.n && cut < 90; cut++) {
				struct pf_packet p = { bytes.data, cut, bytes.n, NULL };

				if (eval_run(&a, &p) != eval_run(&b, &p))
					fail_msg("%s: other behind, %u bytes", corpus[i].text, cut);
			}
		}
		eval_release(&a);
		eval_release(&b);
		pf_unit_release(&u);
		pf_unit_release(&flat);
	}
	print_message("%u of %zu have become others\n", changed, n / 3);
	assert_true(changed > n / 6);
	packets_release(&packets);
	corpus_release(corpus, n);
}

/* Of all tests of `src or dst port`, one decision is left, made without a branch. */
static void test_ports(void **state)
{
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_unit u, flat;
	size_t n;

	(void)state;
	make(&u, "tcp port 80", 1, &insns, &n);
	pf_unit_init(&flat);
	assert_int_equal(pf_flat(&u, &flat), 0);
	/* Too short, IPv6, TCP there; IP, TCP; the checks and, for each of them, the old way. */
	assert_int_equal(depth(&u, u.entry), 8);
	assert_true(depth(&flat, flat.entry) <= 9);
	for (pf_blk b = 1, results = 0; b < flat.nblk; b++)
		if (flat.blk[b].npin && !pf_is_const(&flat, flat.val[flat.blk[b].pin[0]].a))
			assert_true(++results <= 2);
	pf_unit_release(&u);
	pf_unit_release(&flat);
}

static void test_long_chains(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_unit u, before;
	struct eval a, b;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		pfs_buf_printf(&text, "%sether[%u] = %u", i ? " or " : "", 20, i % 2 ? i : 255 - i);
	make(&u, text.data, 1, &insns, &n);
	pf_unit_init(&before);
	assert_int_equal(pf_unit_copy(&before, &u), 0);
	assert_true(depth(&u, u.entry) > 90);
	assert_int_equal(pf_search(&u), 0);
	assert_int_equal(pf_verify(&u, NULL), 0);
	assert_true(depth(&u, u.entry) < 14);
	assert_true(branches(&u) < 2 * branches(&before));
	eval_init(&a, &before);
	eval_init(&b, &u);
	for (unsigned i = 0; i < 256; i++) {
		uint8_t bytes[64] = { [20] = (uint8_t)i };
		struct pf_packet p = { bytes, 64, 64, NULL };

		assert_int_equal(eval_run(&a, &p), eval_run(&b, &p));
		p.caplen = 20;
		assert_int_equal(eval_run(&b, &p), 0);
	}
	eval_release(&a);
	eval_release(&b);
	pf_unit_release(&u);
	pf_unit_release(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_corpus),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_long_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
