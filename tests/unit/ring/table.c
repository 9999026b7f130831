/*
 * table - origins: equal ones are one, nobody's are given to others, and nobody can take them all
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ring/ring.h"

static struct pfs_origin origin_of(unsigned number)
{
	struct pfs_origin origin = { .link_type = (uint16_t)(1 + number % 3), .ifindex = number };

	snprintf(origin.name, sizeof(origin.name), "if%u", number);
	return origin;
}

/* Asks for origins [from, from + n); how many were given. */
static unsigned use_many(struct pfs_rings *table, struct pfs_origins *set, unsigned from, unsigned n)
{
	unsigned given = 0;

	for (unsigned i = from; i < from + n; i++) {
		struct pfs_origin origin = origin_of(i);
		uint16_t id;
		int r = pfs_origin_use(table, set, &origin, &id);

		if (r < 0) {
			assert_int_equal(r, -ENOSPC);
			continue;
		}
		assert_string_equal(pfs_origin_get(table, id)->name, origin.name);
		given++;
	}
	return given;
}

static void test_equal_origins_are_one(void **state)
{
	struct pfs_origins a = { 0 }, b = { 0 };
	struct pfs_origin origin = origin_of(7), other = origin_of(7);
	struct pfs_rings *table;
	uint16_t first, id;

	(void)state;
	other.time_offset = 1;
	assert_int_equal(pfs_rings_new(&table), 0);
	assert_int_equal(pfs_origin_use(table, &a, &origin, &first), 0);
	assert_int_equal(pfs_origin_use(table, &b, &origin, &id), 0);
	assert_int_equal(id, first);
	assert_int_equal(pfs_origin_use(table, &a, &origin, &id), 0);
	assert_int_equal(id, first);
	assert_int_equal(a.n, 1);
	assert_int_equal(pfs_origin_use(table, &a, &other, &id), 0);
	assert_int_not_equal(id, first);
	/* It stays while one of them has it. */
	pfs_origins_release(table, &a);
	assert_string_equal(pfs_origin_get(table, first)->name, "if7");
	pfs_origins_release(table, &b);
	assert_null(pfs_origin_get(table, first));
	pfs_rings_free(table);
}

static void test_numbers_are_given_again(void **state)
{
	struct pfs_origins kept = { 0 };
	struct pfs_rings *table;

	(void)state;
	assert_int_equal(pfs_rings_new(&table), 0);
	assert_int_equal(use_many(table, &kept, 0, 10), 10);
	for (unsigned round = 0; round < 40; round++) {
		struct pfs_origins set = { 0 };

		assert_int_equal(use_many(table, &set, 100 + round * 3000, 3000), 3000);
		pfs_origins_release(table, &set);
	}
	assert_int_equal(use_many(table, &kept, 0, 10), 10);
	assert_int_equal(kept.n, 10);
	pfs_origins_release(table, &kept);
	pfs_rings_free(table);
}

/* A file with an interface for each packet, and many of them: there is something left for the others. */
static void test_one_source_cannot_take_all(void **state)
{
	enum { GREEDY = 20 };
	struct pfs_origins greedy[GREEDY] = { 0 }, modest = { 0 };
	struct pfs_rings *table;
	unsigned all = 0;

	(void)state;
	assert_int_equal(pfs_rings_new(&table), 0);
	assert_int_equal(use_many(table, &greedy[0], 0, 70000), PFS_ORIGINS_MAX);
	for (unsigned i = 1; i < GREEDY; i++)
		all += use_many(table, &greedy[i], i * 70000, 5000);
	assert_true(all > 20000 && all <= 32768 + GREEDY * PFS_ORIGINS_SURE);
	assert_int_equal(use_many(table, &modest, 9999999, PFS_ORIGINS_SURE), PFS_ORIGINS_SURE);
	/* What it has already it is given whatever the bound. */
	assert_int_equal(use_many(table, &greedy[0], 0, PFS_ORIGINS_MAX), PFS_ORIGINS_MAX);
	for (unsigned i = 0; i < GREEDY; i++)
		pfs_origins_release(table, &greedy[i]);
	pfs_origins_release(table, &modest);
	assert_int_equal(use_many(table, &modest, 0, 70000), PFS_ORIGINS_MAX);
	pfs_origins_release(table, &modest);
	pfs_rings_free(table);
}

static void test_all_numbers_can_be_used(void **state)
{
	enum { SETS = 65535 / PFS_ORIGINS_SURE + 2 };
	static struct pfs_origins sets[SETS];
	struct pfs_rings *table;
	unsigned all = 0;

	(void)state;
	assert_int_equal(pfs_rings_new(&table), 0);
	for (unsigned i = 0; i < SETS; i++)
		all += use_many(table, &sets[i], i * 100, PFS_ORIGINS_SURE);
	assert_int_equal(all, 65535);
	for (unsigned i = 0; i < SETS; i++)
		pfs_origins_release(table, &sets[i]);
	pfs_rings_free(table);
}

static void test_a_set_takes_over_another(void **state)
{
	struct pfs_origins from = { 0 }, to = { 0 };
	struct pfs_origin origin = origin_of(3);
	struct pfs_rings *table;
	uint16_t id;

	(void)state;
	assert_int_equal(pfs_rings_new(&table), 0);
	assert_int_equal(use_many(table, &from, 0, 1000), 1000);
	assert_int_equal(use_many(table, &to, 500, 1000), 1000);
	assert_int_equal(pfs_origins_share(table, &to, &from), 0);
	assert_int_equal(to.n, 1500);
	pfs_origins_release(table, &from);
	assert_int_equal(pfs_origin_use(table, &to, &origin, &id), 0);
	assert_int_equal(to.n, 1500);
	for (size_t i = 1; i < to.n; i++)
		assert_true(to.ids[i - 1] < to.ids[i]);
	pfs_origins_release(table, &to);
	pfs_rings_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_origins_are_one),
		cmocka_unit_test(test_numbers_are_given_again),
		cmocka_unit_test(test_one_source_cannot_take_all),
		cmocka_unit_test(test_all_numbers_can_be_used),
		cmocka_unit_test(test_a_set_takes_over_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
