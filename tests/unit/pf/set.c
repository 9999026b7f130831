/*
 * set - sets of filters name those members whose filters accept, whoever came and went, and whoever runs meanwhile
 */
#include "help.h"

#include <pthread.h>
#include <time.h>

#include "pf/merge/set_i.h"

/* --- filters of all kinds -------------------------------------------------------------------- */

/* An address that our generator makes, or one beside them. */
static const char *address(struct dice *dice, char *text)
{
	sprintf(text, "10.%u.%u.%u", roll(dice, 2), roll(dice, 3), 1 + roll(dice, 20));
	return text;
}

static uint32_t port(struct dice *dice)
{
	static const uint32_t known[] = { 53, 80, 443, 22, 8080, 123, 5353 };

	return roll(dice, 2) ? known[roll(dice, ARRAY_SIZE(known))] : roll(dice, 65536);
}

/* Of families that differ in constants, as those who watch endpoints write them. */
static void endpoint(struct dice *dice, unsigned family, char *text)
{
	char a[20], b[20];

	switch (family) {
	case 0:
		sprintf(text, "tcp dst port %u", port(dice));
		break;
	case 1:
		sprintf(text, "host %s and port %u", address(dice, a), port(dice));
		break;
	case 2:
		sprintf(text, "src host %s and dst host %s and tcp src port %u and dst port %u",
			address(dice, a), address(dice, b), port(dice), port(dice));
		break;
	case 3:
		sprintf(text, "port %u", port(dice));
		break;
	case 4:
		sprintf(text, "udp and host %s", address(dice, a));
		break;
	case 5:
		sprintf(text, "host %s and host %s", address(dice, a), address(dice, b));
		break;
	case 6:
		sprintf(text, "not port %u", port(dice));
		break;
	case 7:
		sprintf(text, "net 10.%u.0.0/16 and greater %u", roll(dice, 3), roll(dice, 400));
		break;
	default:
		sprintf(text, "vlan %u and ip host %s", roll(dice, 20), address(dice, a));
		break;
	}
}

#define FAMILIES 9u

/* --- a set, and each of its members alone ---------------------------------------------------- */

struct alone {
	struct pf_prog *prog; /* owned; NULL: a free number */
	struct pf_member how;
};

struct rig {
	struct pf_set *set;
	struct pf_set_reader *reader;
	struct alone *of; /* owned; by number */
	uint32_t n;
	struct packets packets;
	struct pf_options options;
};

static void rig_init(struct rig *rig, enum pf_engine engine, uint64_t without)
{
	*rig = (struct rig){ .options = PF_OPTIONS_INIT };
	rig->options.engine = engine;
	rig->options.without = without;
	assert_int_equal(pf_set_new(&rig->options, &rig->set, NULL), 0);
	assert_int_equal(pf_set_reader_new(rig->set, &rig->reader), 0);
	rig->options.engine = PF_ENGINE_INTERP;
	rig->options.without = 0;
	packets_generate(&rig->packets, 5, 60);
}

static void rig_release(struct rig *rig)
{
	pf_set_reader_free(rig->reader);
	pf_set_free(rig->set);
	for (uint32_t i = 0; i < rig->n; i++)
		pf_unref(rig->of[i].prog);
	free(rig->of);
	packets_release(&rig->packets);
}

static uint32_t rig_add_prog(struct rig *rig, struct pf_prog *prog, int32_t priority, bool consumes)
{
	struct pf_member how = { .size = sizeof(how), .priority = priority, .consumes = consumes };
	struct pf_error error = { "" };
	uint32_t id;

	if (pf_set_add(rig->set, prog, &how, &id, &error) < 0)
		fail_msg("%s", error.text);
	if (id >= rig->n) {
		rig->of = reallocarray(rig->of, id + 1, sizeof(*rig->of));
		assert_non_null(rig->of);
		memset(rig->of + rig->n, 0, (id + 1 - rig->n) * sizeof(*rig->of));
		rig->n = id + 1;
	}
	assert_null(rig->of[id].prog);
	rig->of[id] = (struct alone){ prog, how };
	return id;
}

static uint32_t rig_add(struct rig *rig, const char *text)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;

	if (pf_compile("pcap", text, strlen(text), &rig->options, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return rig_add_prog(rig, prog, 0, false);
}

static void rig_remove(struct rig *rig, uint32_t id)
{
	assert_int_equal(pf_set_remove(rig->set, id), 0);
	pf_unref(rig->of[id].prog);
	rig->of[id].prog = NULL;
}

/* By priority, then by number; nobody behind who consumes. */
static size_t expected(const struct rig *rig, const struct pf_packet *p, struct pf_match *want)
{
	size_t n = 0;

	for (uint32_t id = 1; id < rig->n; id++) {
		const struct alone *a = &rig->of[id];
		uint32_t keep = a->prog ? pf_run(a->prog, p) : 0;
		size_t at = n;

		if (!keep)
			continue;
		while (at > 0 && want[at - 1].priority < a->how.priority)
			at--;
		memmove(want + at + 1, want + at, (n - at) * sizeof(*want));
		want[at] = (struct pf_match){ id, keep, a->how.priority, a->how.consumes };
		n++;
	}
	for (size_t i = 0; i < n; i++)
		if (want[i].consumes)
			return i + 1;
	return n;
}

static void rig_run(const struct rig *rig, const struct pf_packet *p)
{
	PFS_FREE struct pf_match *want = pfs_zalloc(rig->n + 1, sizeof(*want));
	PFS_FREE struct pf_match *got = pfs_zalloc(rig->n + 1, sizeof(*got));
	size_t n, found;

	assert_true(want && got);
	n = expected(rig, p, want);
	found = pf_set_run(rig->reader, p, got, rig->n + 1);
	if (found != n)
		fail_msg("%zu members accept %u bytes, the set says %zu", n, p->caplen, found);
	for (size_t i = 0; i < n; i++)
		if (memcmp(&want[i], &got[i], sizeof(*got)) != 0)
			fail_msg("match %zu of %zu is %u, not %u", i, n, got[i].id, want[i].id);
	/* The first ones, where there is no room for all. */
	found = pf_set_run(rig->reader, p, got, 2);
	assert_int_equal(found, n);
	assert_memory_equal(got, want, pfs_min(n, 2) * sizeof(*got));
}

static void rig_run_all(const struct rig *rig, bool truncated)
{
	for (size_t i = 0; i < rig->packets.n; i++) {
		const struct bytes *b = &rig->packets.of[i];

		rig_run(rig, &(struct pf_packet){ b->data, b->n, b->n, NULL });
		for (uint32_t n = i % 5; truncated && n < b->n && n < 80; n += 5)
			rig_run(rig, &(struct pf_packet){ b->data, n, b->n, NULL });
	}
}

static struct pf_set_info info_of(const struct rig *rig)
{
	struct pf_set_info info = { .size = sizeof(info) };

	assert_int_equal(pf_set_get_info(rig->set, &info), 0);
	return info;
}

/* --- tests ----------------------------------------------------------------------------------- */

/* Each family is one shape, as long as its members have different numbers in the same places. */
static void test_one_shape(void **state)
{
	(void)state;
	for (unsigned family = 0; family < 6; family++) {
		struct dice dice = { .state = family };
		struct rig rig;
		char text[200];

		rig_init(&rig, PF_ENGINE_BEST, 0);
		rig_add(&rig, family == 2 ? "src host 10.0.0.1 and dst host 10.0.0.2 and tcp src "
					    "port 1000 and dst port 1001"
					  : "ip");
		for (unsigned i = 0; i < 60; i++) {
			endpoint(&dice, family, text);
			rig_add(&rig, text);
		}
		/* Equal numbers in two places are another shape: `host A and host A`. */
		if (family != 5 && info_of(&rig).shapes > 4)
			fail_msg("%s: %u shapes", text, info_of(&rig).shapes);
		rig_run_all(&rig, true);
		rig_release(&rig);
	}
}

static void test_families(void **state)
{
	(void)state;
	for (unsigned engine = PF_ENGINE_INTERP; engine <= PF_ENGINE_NATIVE; engine++) {
		struct dice dice = { .state = engine };
		struct rig rig;
		char text[200];

		rig_init(&rig, (enum pf_engine)engine, 0);
		for (unsigned i = 0; i < 300; i++) {
			endpoint(&dice, i % FAMILIES, text);
			rig_add(&rig, text);
			if (i == 0 || i == 1 || i == 30 || i == 299)
				rig_run_all(&rig, i != 299);
		}
		for (uint32_t id = 1; id < rig.n; id += 3)
			rig_remove(&rig, id);
		rig_run_all(&rig, false);
		rig_release(&rig);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_shape),
		cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
