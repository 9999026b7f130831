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
		for (uint32_t n = (uint32_t)i % 5; truncated && n < b->n && n < 80; n += 5)
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

/* Whatever pass is left out, of the filters and of the set. */
static void test_without_passes(void **state)
{
	(void)state;
	for (unsigned pass = 0;; pass++) {
		uint64_t without = pf_pass_name(pass) ? UINT64_C(1) << pass : PF_ALL_PASSES;
		struct dice dice = { .state = pass };
		struct rig rig;
		char text[200];

		rig_init(&rig, PF_ENGINE_BEST, without);
		rig.options.without = without;
		for (unsigned i = 0; i < 45; i++) {
			endpoint(&dice, i % FAMILIES, text);
			rig_add(&rig, text);
		}
		rig_run_all(&rig, false);
		rig_release(&rig);
		if (!pf_pass_name(pass))
			break;
	}
}

/* Programs that have nothing in common: they are merged by eights. */
static void test_random_programs(void **state)
{
	struct dice dice = { .state = 77 };
	struct pf_insn insns[40];
	struct rig rig;

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	for (unsigned i = 0; i < 200; i++) {
		struct pf_prog *prog;
		size_t n = random_program(&dice, insns, ARRAY_SIZE(insns));

		if (pf_compile_insns(insns, n, &rig.options, &prog, NULL) < 0)
			continue;
		rig_add_prog(&rig, prog, 0, false);
	}
	assert_true(info_of(&rig).programs <= info_of(&rig).shapes / PART_GROUPS + PART_GROUPS);
	rig_run_all(&rig, true);
	for (uint32_t id = 1; id < rig.n; id++)
		if (roll(&dice, 2))
			rig_remove(&rig, id);
	rig_run_all(&rig, false);
	rig_release(&rig);
}

/* Real expressions, of which many are alike. */
static void test_corpus(void **state)
{
	struct expression *corpus;
	size_t n = corpus_load(&corpus);
	struct rig rig;

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	for (size_t i = 0; i < n; i += 3) {
		struct pf_prog *prog;

		if (corpus[i].link_type == 1 &&
		    pf_compile("pcap", corpus[i].text, strlen(corpus[i].text), &rig.options, &prog,
			       NULL) == 0)
			rig_add_prog(&rig, prog, 0, false);
	}
	print_message("%u expressions, %u shapes, %u programs\n", info_of(&rig).members,
		      info_of(&rig).shapes, info_of(&rig).programs);
	for (size_t i = 0; i < rig.packets.n; i += 4) {
		const struct bytes *b = &rig.packets.of[i];

		for (uint32_t len = b->n; len > 0; len = len * 3 / 4)
			rig_run(&rig, &(struct pf_packet){ b->data, len, b->n, NULL });
	}
	rig_release(&rig);
	corpus_release(corpus, n);
}

/* One more is a line in a table, however many there are. */
static void test_adding_compiles_nothing(void **state)
{
	struct rig rig;
	char text[60];
	uint64_t before;

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	for (unsigned i = 0; i < 3; i++) {
		sprintf(text, "tcp dst port %u", 10000 + i);
		rig_add(&rig, text);
	}
	before = info_of(&rig).compiled;
	for (unsigned i = 3; i < 2000; i++) {
		sprintf(text, "tcp dst port %u", 10000 + i);
		rig_add(&rig, text);
	}
	assert_int_equal(info_of(&rig).compiled, before);
	assert_int_equal(info_of(&rig).members, 2000);
	assert_int_equal(info_of(&rig).shapes, 1);
	assert_int_equal(info_of(&rig).programs, 1);
	for (unsigned i = 0; i < 40; i++) {
		struct bytes b = rig.packets.of[i % rig.packets.n];

		if (b.n >= 40)
			be16_store(b.data + 36, (uint16_t)(9990 + i * 55));
		rig_run(&rig, &(struct pf_packet){ b.data, b.n, b.n, NULL });
	}
	for (uint32_t id = 1; id <= 2000; id += 2)
		rig_remove(&rig, id);
	assert_int_equal(info_of(&rig).compiled, before);
	for (uint32_t id = 2; id <= 2000; id += 2)
		rig_remove(&rig, id);
	assert_int_equal(info_of(&rig).shapes, 0);
	assert_int_equal(info_of(&rig).programs, 0);
	rig_run_all(&rig, false);
	rig_release(&rig);
}

static void test_priorities(void **state)
{
	struct dice dice = { .state = 4 };
	struct pf_match none;
	struct rig rig;
	char text[200];

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	assert_int_equal(pf_set_run(rig.reader,
				    &(struct pf_packet){ rig.packets.of[0].data, 20, 20, NULL },
				    &none, 1),
			 0);
	for (unsigned i = 0; i < 150; i++) {
		struct pf_prog *prog;

		endpoint(&dice, i % FAMILIES, text);
		assert_int_equal(pf_compile("pcap", text, strlen(text), &rig.options, &prog, NULL), 0);
		rig_add_prog(&rig, prog, (int32_t)roll(&dice, 5) - 2, roll(&dice, 20) == 0);
	}
	rig_run_all(&rig, false);
	rig_release(&rig);
}

static void test_bad_calls(void **state)
{
	static const char counts[] = ".memory 1\nld #1\naddm P[0]\nret #1\n";
	struct pf_member how = { .size = 3 };
	struct pf_prog *prog;
	uint32_t none;
	struct pf_error error = { "" };
	char *listing;
	struct rig rig;
	uint32_t id;

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	id = rig_add(&rig, "ip");
	assert_int_equal(pf_set_add(rig.set, rig.of[id].prog, &how, &id, &error), -EINVAL);
	assert_string_equal(error.text, "a member of 3 bytes: made for another release");
	/* What one packet leaves behind would be everybody's. */
	assert_int_equal(pf_compile("xpf", counts, strlen(counts), NULL, &prog, &error), 0);
	assert_int_equal(pf_set_add(rig.set, prog, NULL, &none, &error), -ENOTSUP);
	assert_string_equal(error.text,
			    "a filter with memory is in no set: its memory would have no place");
	pf_unref(prog);
	assert_int_equal(pf_set_remove(rig.set, 0), -ENOENT);
	assert_int_equal(pf_set_remove(rig.set, id + 1), -ENOENT);
	assert_int_equal(pf_set_remove(rig.set, UINT32_MAX), -ENOENT);
	assert_int_equal(pf_set_dump(rig.set, "ir", &listing, &error), -ENOENT);
	rig_add(&rig, "tcp dst port 80");
	rig_add(&rig, "tcp dst port 81");
	assert_int_equal(pf_set_dump(rig.set, "merged", &listing, &error), 0);
	assert_non_null(strstr(listing, "find t0[0, "));
	free(listing);
	assert_int_equal(pf_set_dump(rig.set, "dot", &listing, &error), 0);
	free(listing);
	for (id = 1; id <= 3; id++)
		rig_remove(&rig, id);
	assert_int_equal(pf_set_remove(rig.set, 1), -ENOENT);
	assert_int_equal(pf_set_dump(rig.set, "merged", &listing, &error), -ENOENT);
	rig_release(&rig);
}

/* --- while others run ------------------------------------------------------------------------ */

struct runner {
	struct pf_set *set;
	const struct packets *packets;
	const uint32_t *always; /* members that stay */
	unsigned nalways;
	struct pf_prog **prog; /* of those */
	_Atomic bool stop;
	_Atomic uint64_t runs, wrong;
};

static bool has(const struct pf_match *match, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (match[i].id == id)
			return true;
	return false;
}

/* Members that stay are named by every run, whatever happens to the others. */
static void *run_on(void *arg)
{
	struct runner *r = arg;
	struct pf_set_reader *reader;
	struct pf_match match[600];

	if (pf_set_reader_new(r->set, &reader) < 0)
		return NULL;
	for (size_t at = 0; !atomic_load(&r->stop); at++) {
		const struct bytes *b = &r->packets->of[at % r->packets->n];
		struct pf_packet p = { b->data, b->n, b->n, NULL };
		bool batch = at % 64 < 32;
		size_t n;

		if (batch)
			pf_set_enter(reader);
		n = pf_set_run(reader, &p, match, 600);
		for (unsigned i = 0; i < r->nalways; i++)
			if (has(match, n, r->always[i]) != (pf_run(r->prog[i], &p) != 0))
				atomic_fetch_add(&r->wrong, 1);
		if (batch)
			pf_set_leave(reader);
		atomic_fetch_add(&r->runs, 1);
	}
	pf_set_reader_free(reader);
	return NULL;
}

static double seconds(void)
{
	const char *s = getenv("PF_DIFF_SECONDS");
	double n = s ? atof(s) : 2;

	return n < 2 ? n : 0.7 * n / 2;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Members of all families come and go at random, so programs are made and tables grow, until the time is over. */
static uint64_t change_until(struct rig *rig, struct dice *dice, double end, struct runner *r)
{
	uint32_t id[400];
	uint32_t n = 0;
	uint64_t changes = 0;
	char text[200];

	while (now() < end || atomic_load(&r->runs) < 2000) {
		if (n == 400 || (n > 50 && roll(dice, 2))) {
			uint32_t at = roll(dice, n);

			rig_remove(rig, id[at]);
			id[at] = id[--n];
		} else {
			endpoint(dice, roll(dice, FAMILIES), text);
			id[n++] = rig_add(rig, text);
		}
		changes++;
	}
	return changes;
}

static void test_changes_while_others_run(void **state)
{
	struct dice dice = { .state = 21 };
	struct rig rig;
	struct runner r = { 0 };
	uint32_t always[FAMILIES * 2];
	struct pf_prog *prog[FAMILIES * 2];
	pthread_t thread[2];
	uint64_t changes;
	char text[200];

	(void)state;
	rig_init(&rig, PF_ENGINE_BEST, 0);
	for (unsigned i = 0; i < FAMILIES * 2; i++) {
		endpoint(&dice, i % FAMILIES, text);
		always[i] = rig_add(&rig, text);
		prog[i] = rig.of[always[i]].prog;
	}
	r.set = rig.set;
	r.packets = &rig.packets;
	r.always = always;
	r.nalways = ARRAY_SIZE(always);
	r.prog = prog;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_on, &r), 0);
	changes = change_until(&rig, &dice, now() + seconds(), &r);
	atomic_store(&r.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	print_message("%llu changes, %llu runs beside them\n", (unsigned long long)changes,
		      (unsigned long long)r.runs);
	assert_int_equal(r.wrong, 0);
	rig_run_all(&rig, false);
	rig_release(&rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_shape),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_without_passes),
		cmocka_unit_test(test_random_programs),
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_adding_compiles_nothing),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_bad_calls),
		cmocka_unit_test(test_changes_while_others_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
