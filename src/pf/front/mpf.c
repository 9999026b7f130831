#include "pf/front/mpf.h"

#include "pf/error.h"
#include "pf/front/cbpf_i.h"
#include "pf/front/front.h"
#include "pf/prove/smt.h"

static bool is(const struct pf_insn *insn, unsigned class, unsigned what)
{
	return insn->code == (class | what);
}

static bool is_key(const struct pf_insn *insn)
{
	return is(insn, CB_MISC, CB_KEY);
}

static bool asks(const struct pf_insn *insn)
{
	return is(insn, CB_RET, CB_MATCH_IMM) || is(insn, CB_JMP, CB_CKMATCH_IMM);
}

size_t pf_mpf_match(const struct pf_insn *insns, size_t n)
{
	size_t i = 0;

	while (i < n && !asks(&insns[i]))
		i++;
	return i;
}

unsigned pf_mpf_keys(const struct pf_insn *match)
{
	return is(match, CB_JMP, CB_CKMATCH_IMM) ? match->k : match->jt;
}

bool mpf_matches(const struct pf_insn *insns, size_t n)
{
	return pf_mpf_match(insns, n) < n;
}

/* --- rules ----------------------------------------------------------------------------------- */

/* Keys stand behind the one instruction that asks for them, as many as it says, and nowhere else. */
static int check_keys(const struct pf_insn *insns, size_t n, struct pf_error *error)
{
	size_t match = pf_mpf_match(insns, n), i;
	unsigned keys = match < n ? pf_mpf_keys(&insns[match]) : 0;

	if (match < n && (keys < 1 || keys > CB_WORDS))
		return pf_fail(error, EINVAL, "instruction %zu asks for %u keys; 1 to %u can be",
			       match, keys, CB_WORDS);
	for (i = match + 1; i <= match + keys && i < n && is_key(&insns[i]); i++)
		;
	if (i <= match + keys && match < n)
		return pf_fail(error, EINVAL,
			       "instruction %zu has %u keys, but only %zu stand behind it", match,
			       keys, i - match - 1);
	for (i = 0; i < n; i++) {
		bool own = i > match && i <= match + keys;

		if (is_key(&insns[i]) && !own)
			return pf_fail(error, EINVAL, "instruction %zu is a key of nothing", i);
		if (i > match && asks(&insns[i]))
			return pf_fail(error, EINVAL,
				       "instruction %zu: sessions are asked for once in a program", i);
	}
	return 0;
}

static int check_fields(const struct pf_insn *insn, size_t i, struct pf_error *error)
{
	bool timed = is(insn, CB_MISC, CB_REG_DATA) || is(insn, CB_MISC, CB_POSTPONE);
	bool words = is(insn, CB_MISC, CB_REG_DATA) || is(insn, CB_RET, CB_MATCH_DATA);

	if (words && (insn->jt < 1 || insn->jt > CB_WORDS))
		return pf_fail(error, EINVAL, "instruction %zu has %u words; 1 to %u can be", i,
			       insn->jt, CB_WORDS);
	if (timed && (insn->k < 1 || insn->k > MPF_MS_MAX))
		return pf_fail(error, EINVAL, "instruction %zu: %u ms; 1 to %u can be", i, insn->k,
			       MPF_MS_MAX);
	return 0;
}

/* What the state is behind the instruction. */
static int check_state(const struct pf_insn *insns, size_t i, bool matches, uint8_t *state,
		       struct pf_error *error)
{
	const struct pf_insn *insn = &insns[i];
	bool some = insn->code == (CB_RET | CB_A) || insn->k != 0;

	if (is(insn, CB_MISC, CB_REG_DATA)) {
		if (*state & MPF_UNMATCHED)
			return pf_fail(error, EINVAL,
				       "instruction %zu registers data, but no session need have been found",
				       i);
		if (*state & MPF_REGISTERED)
			return pf_fail(error, EINVAL,
				       "instruction %zu registers data for the second time", i);
		*state |= MPF_REGISTERED;
	}
	if (is(insn, CB_MISC, CB_POSTPONE)) {
		if (*state & MPF_POSTPONED)
			return pf_fail(error, EINVAL,
				       "instruction %zu postpones for the second time", i);
		*state |= MPF_POSTPONED;
	}
	if (matches && CB_CLASS(insn->code) == CB_RET && insn->code <= (CB_RET | CB_A) && some &&
	    (*state & MPF_UNMATCHED) && (*state & MPF_MATCHED))
		return pf_fail(error, EINVAL,
			       "instruction %zu accepts with a session and without one", i);
	return 0;
}

static int lead(const struct pf_insn *insns, size_t to, uint8_t *state, uint8_t bits,
		struct pf_error *error)
{
	if (is_key(&insns[to]))
		return pf_fail(error, EINVAL, "instruction %zu is a key, and something leads there",
			       to);
	state[to] |= bits;
	return 0;
}

int mpf_check(const struct pf_insn *insns, size_t n, uint8_t *state, struct pf_error *error)
{
	bool matches = mpf_matches(insns, n);
	int r = check_keys(insns, n, error);

	state[0] = MPF_UNMATCHED;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct pf_insn *insn = &insns[i];
		uint8_t yes, no;

		r = check_fields(insn, i, error);
		if (r < 0 || !state[i])
			continue;
		no = state[i];
		r = check_state(insns, i, matches, &no, error);
		yes = no;
		if (is(insn, CB_JMP, CB_CKMATCH_IMM))
			yes = (uint8_t)((no & ~MPF_UNMATCHED) | MPF_MATCHED);
		if (r < 0 || CB_CLASS(insn->code) == CB_RET)
			continue;
		if (CB_CLASS(insn->code) != CB_JMP) {
			r = lead(insns, i + 1, state, no, error);
		} else if (CB_OP(insn->code) == CB_JA) {
			r = lead(insns, i + 1 + insn->k, state, no, error);
		} else {
			r = lead(insns, i + 1 + insn->jt, state, yes, error);
			if (r == 0)
				r = lead(insns, i + 1 + insn->jf, state, no, error);
		}
	}
	return r;
}

/* --- as a language --------------------------------------------------------------------------- */

static int said_smt(const void *program, size_t n, const char *name, struct pfs_buf *out)
{
	return pf_smt_mpf(program, n, name, out);
}

static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n = 0;
	int r = pf_mpf_parse(text, len, &insns, &n, error);

	if (r == 0)
		r = pf_front_cbpf(u, insns, n, CBPF_MPF, error);
	if (r == 0)
		*ret_said = (struct pf_said){ TAKE_PTR(insns), n, said_smt };
	return r;
}

const struct pf_front pf_front_mpf = {
	.name = "mpf",
	.max = (size_t)16 << 20,
	.make = make,
};
