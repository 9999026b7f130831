/*
 * setmixed - sets of 1 to 2,000 filters that have nothing in common, of all languages, name those members who would
 * accept alone
 *
 * What a member says alone is asked of the plain interpreters of the tests and of libpcap's, not of the library. The
 * seeds are fixed; PF_AGREE_SECONDS=60 goes on with others for a minute, PF_AGREE_SEED=HEX begins with that one.
 */
#include "help.h"

#include "cspf_plain.h"
#include "dpf_plain.h"
#include "mpf_plain.h"
#include "xpf_plain.h"

#include <pcap/pcap.h>

#define KEEP 262144u

enum kind { EXPRESSION, CLASSIC, CSPF, MPF, DPF, XPF, KINDS };

struct member {
	enum kind kind;
	struct pf_prog *prog; /* owned; NULL: it is in no set (any more) */
	uint32_t id;
	size_t n; /* instructions, atoms */
	union {
		struct bpf_program expression; /* owned */
		struct pf_insn classic[40];
		struct cspf_program cspf;
		struct mpf_program mpf;
		struct plain_atom dpf[PLAIN_ATOMS];
		struct plain_xpf xpf;
	};
};

struct mixed {
	struct dice dice;
	struct packets packets;
	struct expression *corpus; /* owned */
	size_t ncorpus;
	pcap_t *dead;
	struct member *of; /* owned */
	size_t n;
	uint64_t runs, accepted;
};

static const struct pf_options defaults = PF_OPTIONS_INIT;

static const struct bytes *any_packet(struct mixed *m)
{
	return &m->packets.of[roll(&m->dice, (uint32_t)m->packets.n)];
}

/* --- members --------------------------------------------------------------------------------- */

static int make_expression(struct mixed *m, struct member *member)
{
	const struct expression *e = &m->corpus[roll(&m->dice, (uint32_t)m->ncorpus)];

	if (e->link_type != 1 ||
	    pf_compile("pcap", e->text, strlen(e->text), &defaults, &member->prog, NULL) < 0)
		return -EINVAL;
	/* Not optimised: its optimiser is wrong about some. */
	if (pcap_compile(m->dead, &member->expression, e->text, 0, 0) == 0)
		return 0;
	pf_unref(member->prog);
	return -EINVAL;
}

/* About half of them begin as the last one does. */
static int make_dpf(struct mixed *m, struct member *member)
{
	PFS_BUF struct pfs_buf text = { 0 };
	const struct member *last = m->n ? member - 1 : member;
	size_t same = 0, n;

	if (m->n && last->kind == DPF && last->n && roll(&m->dice, 2)) {
		same = 1 + roll(&m->dice, (uint32_t)last->n);
		memcpy(member->dpf, last->dpf, same * sizeof(member->dpf[0]));
	}
	n = plain_random(&m->dice, member->dpf + same, PLAIN_ATOMS - same);
	member->n = same + n;
	plain_say(&m->dice, member->dpf, member->n, &text);
	return pf_compile("dpf", text.data, strlen(text.data), &defaults, &member->prog, NULL);
}

/* Without memory, which no set takes: what is left are the loops. */
static int make_xpf(struct mixed *m, struct member *member)
{
	struct plain_xpf *xpf = &member->xpf;
	struct pf_insn *insn = xpf->insn + 2;

	xpf->words = 0;
	xpf->loops = 1 + roll(&m->dice, 20);
	xpf->insn[1] = (struct pf_insn){ .code = 0x4f, .k = xpf->loops };
	xpf->n = random_program(&m->dice, insn, PLAIN_INSNS);
	if (xpf->n > 6) {
		size_t from = 3 + roll(&m->dice, (uint32_t)xpf->n - 4),
		       to = roll(&m->dice, (uint32_t)from);

		insn[from] = (struct pf_insn){ .code = 0x05, .k = (uint32_t)(to - from - 1) };
	}
	return pf_compile("xpf", (const char *)&xpf->insn[1], (xpf->n + 1) * sizeof(xpf->insn[0]),
			  &defaults, &member->prog, NULL);
}

static int make_member(struct mixed *m, struct member *member, enum kind kind)
{
	struct pf_options options = defaults;

	*member = (struct member){ .kind = kind };
	switch (kind) {
	case EXPRESSION:
		return make_expression(m, member);
	case CLASSIC:
		member->n = random_program(&m->dice, member->classic, ARRAY_SIZE(member->classic));
		return pf_compile_insns(member->classic, member->n, &defaults, &member->prog, NULL);
	case CSPF:
		cspf_random(&m->dice, any_packet(m), &member->cspf);
		options.link_type = member->cspf.link_type;
		options.little_words = member->cspf.little;
		options.snaplen = member->cspf.accept;
		return pf_compile_words(member->cspf.word, member->cspf.n, &options, &member->prog,
					NULL);
	case MPF:
		mpf_random(&m->dice, any_packet(m), &member->mpf);
		return pf_compile("mpf", (const char *)member->mpf.insn,
				  member->mpf.n * sizeof(member->mpf.insn[0]), &defaults,
				  &member->prog, NULL);
	case DPF:
		return make_dpf(m, member);
	default:
		return make_xpf(m, member);
	}
}

static uint32_t alone(const struct member *member, const struct pf_packet *p)
{
	switch (member->kind) {
	case EXPRESSION:
		return bpf_filter(member->expression.bf_insns, p->data, p->len, p->caplen);
	case CLASSIC:
		return bpf_filter((const struct bpf_insn *)member->classic, p->data, p->len, p->caplen);
	case CSPF:
		return cspf_plain(&member->cspf, p);
	case MPF:
		return mpf_plain(&member->mpf, p);
	case DPF:
		return plain_matches(member->dpf, member->n, p->data, p->caplen) ? KEEP : 0;
	default:
		return plain_xpf_run(&member->xpf, NULL, p);
	}
}

static void member_release(struct member *member)
{
	pf_unref(member->prog);
	member->prog = NULL;
	if (member->kind == EXPRESSION && member->expression.bf_insns)
		pcap_freecode(&member->expression);
}

/* --- sets ------------------------------------------------------------------------------------ */

/* Ids are small numbers, which are given again. */
static void mixed_run(struct mixed *m, struct pf_set_reader *reader, const struct pf_packet *p)
{
	PFS_FREE struct pf_match *match = pfs_zalloc(m->n + 1, sizeof(*match));
	PFS_FREE uint32_t *got = pfs_zalloc(m->n + 1, sizeof(*got));
	size_t found, accepted = 0;

	assert_true(match && got);
	found = pf_set_run(reader, p, match, m->n + 1);
	assert_true(found <= m->n);
	for (size_t i = 0; i < found; i++) {
		assert_in_range(match[i].id, 1, m->n);
		assert_int_equal(got[match[i].id], 0);
		got[match[i].id] = match[i].keep;
	}
	for (size_t i = 0; i < m->n; i++) {
		const struct member *member = &m->of[i];
		uint32_t want = member->prog ? alone(member, p) : 0;

		if (member->prog && got[member->id] != want)
			fail_msg("of %zu filters number %zu (kind %d) says %u alone, %u in the set: "
				 "packet of %u of %u bytes",
				 m->n, i, (int)member->kind, want, got[member->id], p->caplen, p->len);
		accepted += want > 0;
	}
	assert_int_equal(found, accepted);
	m->accepted += accepted;
	m->runs++;
}

/* Cut at every so manieth length; half of them claim another length on the wire. */
static void mixed_run_all(struct mixed *m, struct pf_set_reader *reader, unsigned packets)
{
	for (unsigned i = 0; i < packets; i++) {
		const struct bytes *b = any_packet(m);
		uint32_t caplen = roll(&m->dice, 2) ? b->n : roll(&m->dice, b->n + 1);
		uint8_t *exact = malloc(pfs_max(caplen, 1u));

		assert_non_null(exact);
		memcpy(exact, b->data, caplen);
		mixed_run(m, reader, &(struct pf_packet){ exact, caplen, b->n, NULL });
		free(exact);
	}
}

/* `n` filters of the kinds in turn, in a set; then without half of them; then, if wanted, with others for those */
static void mixed_set(struct mixed *m, size_t n, enum pf_engine engine, bool others, unsigned packets)
{
	struct pf_set_info info = { .size = sizeof(info) };
	struct pf_options options = defaults;
	struct pf_set_reader *reader;
	struct pf_set *set;

	options.engine = engine;
	m->of = pfs_zalloc(n, sizeof(*m->of));
	m->n = 0;
	assert_non_null(m->of);
	assert_int_equal(pf_set_new(&options, &set, NULL), 0);
	assert_int_equal(pf_set_reader_new(set, &reader), 0);
	for (unsigned turn = 0; turn < (others ? 3 : 2); turn++) {
		for (size_t i = 0; i < n; i++) {
			struct member *member = &m->of[i];

			if (turn == 1 && member->prog && roll(&m->dice, 2)) {
				assert_int_equal(pf_set_remove(set, member->id), 0);
				member_release(member);
			}
			if (turn == 1 || member->prog)
				continue;
			member_release(member);
			while (make_member(m, member, (enum kind)(i % KINDS)) < 0)
				;
			assert_int_equal(pf_set_add(set, member->prog, NULL, &member->id, NULL), 0);
			m->n = pfs_max(m->n, i + 1);
		}
		mixed_run_all(m, reader, packets);
	}
	assert_int_equal(pf_set_get_info(set, &info), 0);
	assert_true(others ? info.members == n : info.members < n || n < 20);
	print_message("%zu filters: %u shapes, %u programs\n", n, info.shapes, info.programs);
	for (size_t i = 0; i < n; i++)
		member_release(&m->of[i]);
	pf_set_reader_free(reader);
	pf_set_free(set);
	free(m->of);
}

static void mixed_init(struct mixed *m, uint64_t seed)
{
	*m = (struct mixed){ .dice = { seed } };
	packets_generate(&m->packets, 5, 100);
	m->ncorpus = corpus_load(&m->corpus);
	m->dead = pcap_open_dead(DLT_EN10MB, KEEP);
	assert_non_null(m->dead);
}

static void mixed_release(struct mixed *m)
{
	print_message("%llu runs, %llu verdicts were yes\n", (unsigned long long)m->runs,
		      (unsigned long long)m->accepted);
	assert_true(m->accepted > m->runs);
	pcap_close(m->dead);
	corpus_release(m->corpus, m->ncorpus);
	packets_release(&m->packets);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 1, 2, 7, 8, 9, 17, 65, 200 };
	struct mixed m;

	(void)state;
	mixed_init(&m, 42);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		mixed_set(&m, sizes[i], i % 2 ? PF_ENGINE_INTERP : PF_ENGINE_BEST, true, 30);
	mixed_release(&m);
}

static void test_two_thousand(void **state)
{
	struct mixed m;

	(void)state;
	mixed_init(&m, 43);
	mixed_set(&m, 2000, PF_ENGINE_BEST, false, 10);
	mixed_release(&m);
}

/* As long as is asked for. */
static void test_other_seeds(void **state)
{
	uint64_t end = getenv("PF_AGREE_SECONDS") ? agree_end() : 0;
	struct mixed m;

	(void)state;
	mixed_init(&m, agree_seed());
	do {
		print_message("seed %llx\n", (unsigned long long)m.dice.state);
		mixed_set(&m, 1 + roll(&m.dice, roll(&m.dice, 4) ? 100 : 2000), PF_ENGINE_BEST,
			  true, 20);
	} while (pfs_clock_mono() < end);
	mixed_release(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_two_thousand),
		cmocka_unit_test(test_other_seeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
