/*
 * setnomem - allocations of a set fail, a sample of them each alone: nothing breaks or leaks, and members are found
 */
#include "help.h"

#include "pf/merge/reclaim.h"
#include "tests/unit/nomem.h"

/* --- what is given up ------------------------------------------------------------------------ */

static unsigned order[8], norder;

static void done(void *arg, void *p, uint32_t k)
{
	(void)arg;
	(void)p;
	order[norder++] = k;
}

/* A number that goes back into its list stands before the list itself. */
static void test_order(void **state)
{
	struct pf_reclaim r;
	struct pf_reader reader;

	(void)state;
	if (!INTERPOSED)
		skip();
	norder = 0;
	pf_reclaim_init(&r);
	pf_reader_join(&r, &reader);
	pf_reader_enter(&r, &reader);
	for (uint32_t k = 0; k < 3; k++)
		pf_reclaim_later(&r, done, NULL, NULL, k);
	pf_reader_leave(&reader);
	assert_int_equal(norder, 0);
	left = 1;
	pf_reclaim_later(&r, done, NULL, NULL, 3);
	assert_int_equal(left, 0);
	assert_int_equal(norder, 4);
	for (unsigned k = 0; k < norder; k++)
		assert_int_equal(order[k], k);
	pf_reader_part(&r, &reader);
	pf_reclaim_release(&r);
}

/* --- sets ------------------------------------------------------------------------------------ */

#define MEMBERS 40u

struct members {
	struct pf_prog *prog[MEMBERS];
	uint32_t id[MEMBERS]; /* 0: it is none */
};

/* Endpoints, whose tables grow, and filters with graphs of their own. */
static void make_programs(struct members *m)
{
	char text[80];

	for (unsigned i = 0; i < MEMBERS; i++) {
		if (i % 4 == 3)
			sprintf(text, "ip[%u] = %u", 20 + i, i);
		else
			sprintf(text, "ip src host 10.0.%u.1 and tcp dst port %u", i % 4, 1000 + i);
		assert_int_equal(pf_compile("pcap", text, strlen(text), NULL, &m->prog[i], NULL), 0);
	}
}

static void add(struct pf_set *set, struct members *m, unsigned i)
{
	if (!m->id[i] && pf_set_add(set, m->prog[i], NULL, &m->id[i], NULL) < 0)
		m->id[i] = 0;
}

static void take_out(struct pf_set *set, struct members *m, unsigned i)
{
	if (m->id[i] && pf_set_remove(set, m->id[i]) == 0)
		m->id[i] = 0;
}

static void check(struct pf_set_reader *reader, const struct members *m)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		uint8_t bytes[80] = { [12] = 8, [14] = 0x45, [23] = 6 };
		struct pf_packet packet = { bytes, sizeof(bytes), sizeof(bytes), NULL };
		struct pf_match match[MEMBERS];
		size_t n, want = 0;

		if (i % 4 == 3) {
			bytes[14 + 20 + i] = (uint8_t)i;
		} else {
			memcpy(bytes + 26, (uint8_t[]){ 10, 0, (uint8_t)(i % 4), 1 }, 4);
			bytes[36] = (uint8_t)((1000 + i) >> 8);
			bytes[37] = (uint8_t)(1000 + i);
		}
		n = pf_set_run(reader, &packet, match, MEMBERS);
		assert_true(n <= MEMBERS);
		for (unsigned k = 0; k < MEMBERS; k++) {
			bool named = false;

			for (size_t j = 0; j < n; j++)
				named |= m->id[k] && match[j].id == m->id[k];
			assert_int_equal(named, m->id[k] && pf_run(m->prog[k], &packet) > 0);
			want += named;
		}
		assert_int_equal(n, want);
	}
}

/* Allocation `nth` fails, or it and all behind it. False: there were not so many. */
static bool round_fails(struct members *m, unsigned nth, bool forever)
{
	struct pf_set_reader *reader;
	struct pf_set *set;
	bool failed;

	memset(m->id, 0, sizeof(m->id));
	assert_int_equal(pf_set_new(NULL, &set, NULL), 0);
	assert_int_equal(pf_set_reader_new(set, &reader), 0);
	for (unsigned i = 0; i < MEMBERS / 2; i++)
		add(set, m, i);
	left = nth;
	all_fail = forever;
	for (unsigned i = 0; i < MEMBERS / 2; i += 3)
		take_out(set, m, i);
	for (unsigned i = MEMBERS / 2; i < MEMBERS / 2 + 6; i++)
		add(set, m, i);
	failed = forever ? left == 1 : left == 0;
	left = 0;
	check(reader, m);
	for (unsigned i = 0; i < MEMBERS; i++)
		add(set, m, i);
	check(reader, m);
	for (unsigned i = 0; i < MEMBERS; i++)
		take_out(set, m, i);
	check(reader, m);
	pf_set_reader_free(reader);
	pf_set_free(set);
	return failed;
}

static void fail_each(bool forever, unsigned step)
{
	struct members m = { { NULL } };
	long before;

	if (!INTERPOSED)
		skip();
	make_programs(&m);
	round_fails(&m, 0, false);
	before = live;
	for (unsigned nth = 1; round_fails(&m, nth, forever); nth += step)
		assert_int_equal(live, before);
	assert_int_equal(live, before);
	for (unsigned i = 0; i < MEMBERS; i++)
		pf_unref(m.prog[i]);
}

static void test_one_fails(void **state)
{
	(void)state;
	fail_each(false, 13);
}

static void test_all_fail(void **state)
{
	(void)state;
	fail_each(true, 37);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_one_fails),
		cmocka_unit_test(test_all_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
