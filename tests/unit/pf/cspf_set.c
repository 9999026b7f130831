/*
 * cspf_set - CSPF filters with priorities, as members of a set: who gets a packet is who got it from a kernel
 *
 * The kernel is a plain one: it offers each packet to its filters in descending priority, those of one priority in
 * order, makes a copy for each that accepts, and stops at one of high priority.
 */
#include "help.h"

#include "cspf_plain.h"

#define FILTERS 12

struct installed {
	struct cspf_program prog;
	struct pf_member how;
	uint32_t id; /* 0: it is not */
};

static size_t offer(const struct installed *filters, const struct pf_packet *p, uint32_t *got)
{
	size_t n = 0;

	for (int priority = 255; priority >= 0; priority--) {
		for (uint32_t id = 1; id <= FILTERS; id++) {
			for (size_t i = 0; i < FILTERS; i++) {
				const struct installed *f = &filters[i];

				if (f->id != id || f->how.priority != priority ||
				    !cspf_plain(&f->prog, p))
					continue;
				got[n++] = id;
				if (f->how.consumes)
					return n;
			}
		}
	}
	return n;
}

static void install(struct dice *dice, struct pf_set *set, struct installed *f,
		    const struct bytes *b, bool first)
{
	struct pf_options options = PF_OPTIONS_INIT;
	uint32_t priority = roll(dice, 2) ? roll(dice, 4) + 98 : roll(dice, 256);
	struct pf_prog *prog;

	cspf_random(dice, b, &f->prog);
	f->how = (struct pf_member)PF_MEMBER_CSPF((int32_t)priority);
	assert_int_equal(f->how.consumes, priority >= 100);
	if (first)
		f->how.consumes = 1;
	options.link_type = f->prog.link_type;
	options.little_words = f->prog.little;
	assert_int_equal(pf_compile_words(f->prog.word, f->prog.n, &options, &prog, NULL), 0);
	assert_int_equal(pf_set_add(set, prog, &f->how, &f->id, NULL), 0);
	pf_unref(prog);
}

static void test_as_a_kernel_does(void **state)
{
	struct packets packets = { 0 };
	struct dice dice = { 7 };
	unsigned one = 0, many = 0;

	(void)state;
	packets_generate(&packets, 5, 100);
	for (unsigned turn = 0; turn < 40; turn++) {
		const struct bytes *b = &packets.of[turn];
		struct installed filters[FILTERS] = { 0 };
		struct pf_set_reader *reader;
		struct pf_set *set;

		assert_int_equal(pf_set_new(NULL, &set, NULL), 0);
		for (size_t i = 0; i < FILTERS; i++)
			install(&dice, set, &filters[i], b, turn % 4 == 3);
		/* One leaves, another comes in its place. */
		assert_int_equal(pf_set_remove(set, filters[3].id), 0);
		install(&dice, set, &filters[3], b, turn % 4 == 3);
		assert_int_equal(pf_set_reader_new(set, &reader), 0);
		for (size_t k = 0; k < packets.n; k++) {
			struct pf_packet p = { packets.of[k].data, packets.of[k].n, packets.of[k].n,
					       NULL };
			struct pf_match match[FILTERS];
			uint32_t got[FILTERS];
			size_t n = offer(filters, &p, got);

			assert_int_equal(pf_set_run(reader, &p, match, FILTERS), n);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(match[i].id, got[i]);
			one += n == 1;
			many += n > 1;
		}
		pf_set_reader_free(reader);
		pf_set_free(set);
	}
	print_message("%u packets for one filter, %u for several\n", one, many);
	assert_true(one > 100 && many > 100);
	packets_release(&packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_a_kernel_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
