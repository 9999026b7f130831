/*
 * fuzz_pf_merge - sets of programs made of the fuzzer's bytes: each member says in them what it says alone
 *
 * The bytes are what the generator of the unit tests rolls: some programs, of each some copies with other
 * constants, then packets, and which members go in between.
 */
#include "tests/unit/pf/random.h"

#define MEMBERS 12u
#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct member {
	struct pf_prog *prog;
	uint32_t id; /* 0: it is not in the set */
};

/* Another number where one is compared with. */
static void vary(struct dice *dice, struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (CB_JMP | CB_JEQ | CB_K) && roll(dice, 2))
			insns[i].k = roll_number(dice);
}

static void compare(struct pf_set_reader *reader, const struct member *m, unsigned n,
		    const struct pf_packet *p)
{
	struct pf_match match[MEMBERS];
	size_t found = pf_set_run(reader, p, match, MEMBERS), want = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t keep = m[i].id ? pf_run(m[i].prog, p) : 0;
		size_t at = 0;

		while (keep && at < found && match[at].id != m[i].id)
			at++;
		CHECK(!keep || (at < found && match[at].keep == keep));
		want += keep != 0;
	}
	CHECK(found == want);
}

static void run(struct dice *dice, struct pf_set_reader *reader, const struct member *m, unsigned n,
		const struct pf_insn *insns, size_t ninsns)
{
	struct packets none = { 0 };

	for (unsigned i = 0; i < 6; i++) {
		struct bytes b;
		uint8_t *exact;

		packet_for(insns, ninsns, dice, &none, &b);
		exact = malloc(b.n ? b.n : 1);
		CHECK(exact);
		memcpy(exact, b.data, b.n);
		compare(reader, m, n,
			&(struct pf_packet){ exact, b.n, i % 3 ? b.n : roll_number(dice), NULL });
		free(exact);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice dice = { .state = 1, .bytes = data, .n = size };
	struct pf_options options = PF_OPTIONS_INIT;
	struct member m[MEMBERS] = { { 0 } };
	struct pf_set_reader *reader;
	struct pf_insn insns[40];
	struct pf_set *set;
	unsigned n = 0;
	size_t ninsns = 0;

	options.engine = roll(&dice, 2) ? PF_ENGINE_INTERP : PF_ENGINE_BEST;
	CHECK(pf_set_new(&options, &set, NULL) == 0);
	CHECK(pf_set_reader_new(set, &reader) == 0);
	options.engine = PF_ENGINE_INTERP;
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (!ninsns || !roll(&dice, 3))
			ninsns = random_program(&dice, insns, ARRAY_SIZE(insns));
		else
			vary(&dice, insns, ninsns);
		if (pf_compile_insns(insns, ninsns, &options, &m[n].prog, NULL) < 0)
			continue;
		CHECK(pf_set_add(set, m[n].prog, NULL, &m[n].id, NULL) == 0);
		n++;
		if (i % 4 == 3)
			run(&dice, reader, m, n, insns, ninsns);
		if (n && !roll(&dice, 4)) {
			struct member *gone = &m[roll(&dice, n)];

			CHECK(pf_set_remove(set, gone->id) == (gone->id ? 0 : -ENOENT));
			gone->id = 0;
		}
	}
	run(&dice, reader, m, n, insns, ninsns);
	pf_set_reader_free(reader);
	pf_set_free(set);
	for (unsigned i = 0; i < n; i++)
		pf_unref(m[i].prog);
	return 0;
}
