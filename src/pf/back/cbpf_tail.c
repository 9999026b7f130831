/*
 * Ends that are alike: what stands in front of `ja L` and in front of L is done once.
 *
 *	add #26; tax; ja L; ...; add #24; tax; L:	add #26; ja T; ...; add #24; T: tax; L:
 *
 * Distances only become shorter.
 */
#include "pf/back/cbpf_i.h"

struct tails {
	struct pf_insn *insns; /* borrowed */
	uint32_t n;
	uint32_t *jumps; /* owned; by instruction: jumps that lead to it */
	uint32_t *to;	 /* owned; by instruction: where its `ja` leads */
	bool *gone;	 /* owned */
};

static void tails_release(struct tails *t)
{
	free(t->jumps);
	free(t->to);
	free(t->gone);
}

static bool is_ja(const struct pf_insn *insn)
{
	return insn->code == (CB_JMP | CB_JA);
}

/* Does control go on behind it, and nowhere else? */
static bool is_straight(const struct pf_insn *insn)
{
	return CB_CLASS(insn->code) != CB_JMP && CB_CLASS(insn->code) != CB_RET;
}

static void count_jumps(struct tails *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct pf_insn *insn = &t->insns[i];

		if (is_ja(insn)) {
			t->to[i] = i + 1 + insn->k;
			t->jumps[t->to[i]]++;
		} else if (CB_CLASS(insn->code) == CB_JMP) {
			t->jumps[i + 1 + insn->jt]++;
			t->jumps[i + 1 + insn->jf]++;
		}
	}
}

/* Takes away what `ja` at i and its target have in front of them alike. */
static bool merge_at(struct tails *t, uint32_t i)
{
	uint32_t from = i, to = t->to[i];
	bool any = false;

	while (from > 0 && to > i + 1 && !t->jumps[from] && !t->gone[from - 1] &&
	       !t->gone[to - 1] && is_straight(&t->insns[from - 1]) &&
	       memcmp(&t->insns[from - 1], &t->insns[to - 1], sizeof(*t->insns)) == 0) {
		t->gone[--from] = true;
		to--;
		/* Who jumped to what is gone goes on with the jump, so both places are led to. */
		t->jumps[i] += t->jumps[from];
		any = true;
	}
	t->jumps[t->to[i]]--;
	t->to[i] = to;
	t->jumps[to]++;
	return any;
}

static uint32_t close_up(struct tails *t)
{
	PFS_FREE uint32_t *at = pfs_zalloc(t->n + 1, sizeof(*at));
	uint32_t n = 0;

	if (!at)
		return t->n;
	for (uint32_t i = 0; i < t->n; i++) {
		at[i] = n;
		n += !t->gone[i];
	}
	at[t->n] = n;
	for (uint32_t i = 0; i < t->n; i++) {
		struct pf_insn insn = t->insns[i];

		if (t->gone[i])
			continue;
		if (is_ja(&insn)) {
			insn.k = at[t->to[i]] - at[i] - 1;
		} else if (CB_CLASS(insn.code) == CB_JMP) {
			insn.jt = (uint8_t)(at[i + 1 + insn.jt] - at[i] - 1);
			insn.jf = (uint8_t)(at[i + 1 + insn.jf] - at[i] - 1);
		}
		t->insns[at[i]] = insn;
	}
	return n;
}

uint32_t cb_merge_tails(struct pf_insn *insns, uint32_t n)
{
	PFS_CLEANUP(tails_release)
	struct tails t = {
		.insns = insns,
		.n = n,
		.jumps = pfs_zalloc(n + 1, sizeof(*t.jumps)),
		.to = pfs_zalloc(n + 1, sizeof(*t.to)),
		.gone = pfs_zalloc(n + 1, sizeof(*t.gone)),
	};
	bool any = false;

	if (!t.jumps || !t.to || !t.gone)
		return n;
	count_jumps(&t);
	for (uint32_t i = n; i-- > 0;)
		if (is_ja(&insns[i]))
			any = merge_at(&t, i) || any;
	return any ? close_up(&t) : n;
}
