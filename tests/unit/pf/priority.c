/*
 * priority - who gets a packet that several filters accept: against a kernel that offers it to one after the other
 */
#include "help.h"

#define FILTERS 12

/* As a kernel would: its list is in order; each is asked, copies are made until one of high priority has it. */
static size_t offer(const uint8_t *priorities, bool consumes, const uint32_t *ids, size_t n,
		    uint32_t *got)
{
	size_t taken = 0;

	for (int p = 255; p >= 0; p--) {
		for (size_t i = 0; i < n; i++) {
			if (priorities[ids[i]] != p)
				continue;
			got[taken++] = ids[i];
			if (p >= 100 || consumes)
				return taken;
		}
	}
	return taken;
}

static void test_as_a_kernel_does(void **state)
{
	struct dice dice = { 7 };
	unsigned one = 0, many = 0;

	(void)state;
	for (unsigned turn = 0; turn < 20000; turn++) {
		uint8_t priorities[FILTERS];
		uint32_t ids[FILTERS], got[FILTERS];
		bool consumes = !roll(&dice, 4);
		size_t n = 0, want;

		for (uint32_t i = 0; i < FILTERS; i++) {
			priorities[i] =
				(uint8_t)(roll(&dice, 2) ? roll(&dice, 102) : roll(&dice, 256));
			if (roll(&dice, 3) == 0)
				ids[n++] = i;
		}
		want = offer(priorities, consumes, ids, n, got);
		assert_int_equal(
			pf_priority_take(priorities, consumes ? PF_FIRST_CONSUMES : 0, ids, n), want);
		assert_memory_equal(ids, got, want * sizeof(*ids));
		one += want == 1 && n > 1;
		many += want > 1;
	}
	assert_true(one > 1000 && many > 1000);
}

static void test_the_border(void **state)
{
	static const uint8_t priorities[] = { 99, 100, 100, 255, 0 };
	uint32_t low[] = { 4, 0 }, high[] = { 0, 2, 1 }, highest[] = { 0, 1, 3 }, first[] = { 4, 0 };

	(void)state;
	assert_int_equal(pf_priority_take(priorities, 0, low, 2), 2);
	assert_true(low[0] == 0 && low[1] == 4);
	assert_int_equal(pf_priority_take(priorities, 0, high, 3), 1);
	assert_int_equal(high[0], 2);
	assert_int_equal(pf_priority_take(priorities, 0, highest, 3), 1);
	assert_int_equal(highest[0], 3);
	assert_int_equal(pf_priority_take(priorities, PF_FIRST_CONSUMES, first, 2), 1);
	assert_int_equal(first[0], 0);
	assert_int_equal(pf_priority_take(priorities, 0, low, 0), 0);
	assert_int_equal(pf_priority_take(priorities, 0, low, SIZE_MAX), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_a_kernel_does),
		cmocka_unit_test(test_the_border),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
