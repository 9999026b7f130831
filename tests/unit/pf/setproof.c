/*
 * setproof - that filters are in a set what they are alone, for all packets, decided by a solver; and that it finds
 * sets in which they are not
 */
#include "solver.h"

#include "pf/merge/set.h"
#include "pf/merge/set_i.h"

#define FILTERS 24u

struct proof {
	struct pf_set *set;
	struct pf_prog *prog[FILTERS];
	uint32_t id[FILTERS];
	size_t n;
};

static void proof_init(struct proof *p, const char *const *texts, size_t n)
{
	*p = (struct proof){ .n = n };
	assert_int_equal(pf_set_new(NULL, &p->set, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		struct pf_error error = { "" };

		if (pf_compile("pcap", texts[i], strlen(texts[i]), NULL, &p->prog[i], &error) < 0 ||
		    pf_set_add(p->set, p->prog[i], NULL, &p->id[i], &error) < 0)
			fail_msg("%s: %s", texts[i], error.text);
	}
}

static void proof_release(struct proof *p)
{
	pf_set_free(p->set);
	for (size_t i = 0; i < p->n; i++)
		pf_unref(p->prog[i]);
}

/* How many claims have which answer. */
static void ask(const struct proof *p, unsigned *ret_unsat, unsigned *ret_sat)
{
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };

	*ret_unsat = *ret_sat = 0;
	assert_int_equal(
		pf_set_smt(p->set, (const struct pf_prog *const *)p->prog, p->id, p->n, &text), 0);
	solver_ask(&text, &answer);
	for (const char *line = answer.data; *line; line += strcspn(line, "\n") + 1) {
		if (!strncmp(line, "(error", 6))
			fail_msg("%.200s", line);
		*ret_unsat += !strncmp(line, "unsat\n", 6);
		*ret_sat += !strncmp(line, "sat\n", 4);
	}
}

static const char *const endpoints[] = {
	"tcp dst port 80",
	"tcp dst port 443",
	"host 10.0.0.1 and port 80",
	"port 53",
	"port 80",
	"host 10.0.0.2 and port 80",
	"host 10.0.0.1",
	"host 10.0.0.2",
	"host 10.0.0.1 and port 81",
	"icmp",
	"not tcp",
	"src host 1.2.3.4 and udp src port 5",
	"ip[8] > ip[9]",
	"greater 200",
	"src host 1.2.3.5 and udp src port 6",
	"vlan 5 and ip",
	"vlan 6 and ip",
	"",
	"ip6 and tcp port 22",
	"ip6 and tcp port 23",
};

static void test_members_are_what_they_are_alone(void **state)
{
	unsigned unsat, sat;
	struct proof p;

	(void)state;
	if (!solver_is_here())
		skip();
	proof_init(&p, endpoints, ARRAY_SIZE(endpoints));
	ask(&p, &unsat, &sat);
	assert_int_equal(sat, 0);
	assert_int_equal(unsat, ARRAY_SIZE(endpoints));
	proof_release(&p);
}

/* Each branch of each group the wrong way round, and tables with the answers of others. */
static void test_wrong_sets_are_found(void **state)
{
	static const char *const few[] = { "tcp dst port 80", "tcp dst port 443", "port 53",
					   "port 54" };
	unsigned unsat, sat, wrong = 0;
	struct pf_unit merged;
	struct proof p;

	(void)state;
	if (!solver_is_here())
		skip();
	proof_init(&p, few, ARRAY_SIZE(few));
	for (size_t i = 1; i < p.n; i += 2) {
		struct pf_unit *u = &p.set->inside[p.id[i]].group->unit;

		for (pf_blk b = 1; b < u->nblk; b += 5) {
			struct pf_edge yes = u->blk[b].edge[0];

			if (u->blk[b].end != PF_END_BRANCH || u->val[u->blk[b].cond].op == PF_OP_FITS)
				continue;
			u->blk[b].edge[0] = u->blk[b].edge[1];
			u->blk[b].edge[1] = yes;
			/* Some are no unit any more: their loads lack their checks. */
			if (pf_set_unit(p.set, &merged) == 0) {
				pf_unit_release(&merged);
				ask(&p, &unsat, &sat);
				assert_true(sat > 0);
				wrong++;
			}
			u->blk[b].edge[1] = u->blk[b].edge[0];
			u->blk[b].edge[0] = yes;
		}
		assert_int_equal(pf_table_set(u->table[0], 0, i == 1 ? 443 : 54, 1), 0);
	}
	ask(&p, &unsat, &sat);
	assert_int_equal(sat, 4);
	assert_true(wrong > 0);
	print_message("%u sets with a branch that goes wrong are found\n", wrong);
	proof_release(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_are_what_they_are_alone),
		cmocka_unit_test(test_wrong_sets_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
