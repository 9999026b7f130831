#include "source/bpfdecide.h"

#include "pf/merge/tree.h"
#include "pf/opt/opt.h"

static bool fits(const struct pfs_interests *interests, uint16_t link_type, bool off,
		 struct pfs_diag *why)
{
	if (off)
		pfs_diag_set(why, EPERM, "kernel=off");
	else if (!interests || interests->n == 0)
		pfs_diag_set(why, EINVAL, "nothing was asked");
	else if (interests->link_type != link_type)
		pfs_diag_set(why, EINVAL, "the filters are for link type %u, packets are of %u",
			     interests->link_type, link_type);
	else
		return true;
	return false;
}

/* Words that hold the highest number; an even number of them, so that records stay aligned. */
static uint32_t words_of(const struct pfs_interests *interests)
{
	uint32_t most = 0;

	for (size_t i = 0; i < interests->n; i++)
		most = (uint32_t)pfs_max(most, interests->item[i].number);
	return (most / 64 + 1) * 2;
}

/* Which of the branches lead to a verdict. */
static void mark_rules(const struct pfs_interests *interests, bool *on)
{
	for (size_t i = interests->n; i-- > 0;) {
		const struct pfs_interest *item = &interests->item[i];

		on[i] |= item->verdict != PFS_VERDICT_NONE;
		on[item->above] |= on[i];
	}
}

static void note_number(const struct pfs_interest *item, struct kcap_body *body)
{
	uint32_t bit = UINT32_C(1) << item->number % 32;

	if (item->verdict == PFS_VERDICT_DROP)
		body->drops[item->number / 32] |= bit;
	else if (item->verdict == PFS_VERDICT_PASS)
		body->passes[item->number / 32] |= bit;
	else if (item->wanted)
		body->wanted[item->number / 32] |= bit;
	else
		body->counted[item->number / 32] |= bit;
	if (item->wire)
		body->wire[item->number / 32] |= bit;
}

static int build_unit(const struct pfs_interests *interests, struct kcap_body *body)
{
	PFS_FREE struct pf_branch *branch = pfs_zalloc(interests->n, sizeof(*branch));
	PFS_FREE bool *on = pfs_zalloc(interests->n, sizeof(*on));
	PFS_FREE uint32_t *at = pfs_zalloc(interests->n, sizeof(*at));
	struct pf_error error;
	size_t n = 0;
	int r;

	if (!branch || !on || !at)
		return -ENOMEM;
	body->plain = true;
	mark_rules(interests, on);
	for (size_t i = 0; i < interests->n; i++) {
		const struct pfs_interest *item = &interests->item[i];

		if (body->only_rules && !on[i])
			continue;
		at[i] = (uint32_t)n;
		branch[n++] = (struct pf_branch){ item->unit, i ? at[item->above] : PF_TREE_TOP,
						  item->number };
		body->plain &= !item->unit;
		body->rules |= item->verdict != PFS_VERDICT_NONE;
		note_number(item, body);
	}
	r = pf_tree(branch, n, 32 * body->words, body->rules, &body->unit);
	return r == 0 ? pf_optimise(&body->unit, 0, NULL, NULL, &error) : r;
}

static int prepare(struct kcap_making *m, bool only_rules, struct pfs_diag *why)
{
	PFS_CLEANUP(kcap_body_release)
	struct kcap_body body = {
		.generation = m->interests->generation,
		.words = words_of(m->interests),
		.only_rules = only_rules,
	};
	int r;

	pf_unit_init(&body.unit);
	r = build_unit(m->interests, &body);
	if (r < 0)
		return pfs_diag_set(why, -r, "no program of %zu filters: %s", m->interests->n,
				    strerror(-r));
	return kcap_make(&m->view, &body, &m->program, why);
}

static bool has_verdicts(const struct pfs_interests *interests)
{
	for (size_t i = 0; interests && i < interests->n; i++)
		if (interests->item[i].verdict != PFS_VERDICT_NONE)
			return true;
	return false;
}

/* The verdicts at least. */
static int make_rules(struct kcap_making *m, bool fit, struct pfs_diag *diag)
{
	struct pfs_diag why = m->undecided;

	if (fit && prepare(m, true, &why) == 0)
		return 0;
	return pfs_diag_set(diag, EOPNOTSUPP,
			    "drop and pass need the kernel to decide, and it does not: %s", why.text);
}

static int make(struct pfs_making *making, struct pfs_diag *diag)
{
	struct kcap_making *m = CONTAINER_OF(making, struct kcap_making, making);
	const struct pfs_interests *interests = m->interests;
	struct kcap_body none = { .generation = interests ? interests->generation : 0 };
	bool fit = fits(interests, m->link_type, m->off, &m->undecided);

	if (fit && interests->only_rules)
		pfs_diag_set(&m->undecided, EAGAIN, "the program for them is being made");
	m->decides = fit && !interests->only_rules && prepare(m, false, &m->undecided) == 0;
	if (m->decides && interests->left_out)
		pfs_diag_set(&m->undecided, E2BIG,
			     "%zu filters run in the engine: with them it would be too large",
			     interests->left_out);
	if (m->decides)
		return 0;
	if (has_verdicts(interests))
		return make_rules(m, fit, diag);
	return kcap_make(&m->view, &none, &m->program, diag);
}

static void making_free(struct pfs_making *making)
{
	struct kcap_making *m = CONTAINER_OF(making, struct kcap_making, making);

	kcap_program_release(&m->program);
	kcap_free(m->kcap);
	free(m);
}

struct kcap_making *kcap_making_new(struct kcap *kcap, const struct pfs_interests *interests,
				    uint16_t link_type, bool off)
{
	struct kcap_making *m = pfs_zalloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->making.make = make;
	m->making.free = making_free;
	m->kcap = kcap_ref(kcap);
	memcpy(&m->view, kcap, sizeof(*kcap));
	m->interests = interests;
	m->link_type = link_type;
	m->off = off;
	m->program.fd = -1;
	return m;
}

int kcap_making_commit(struct kcap_making *m, struct kcap *kcap, struct pfs_diag *diag)
{
	int r;

	if (m->kcap != kcap || m->view.tuned != kcap->tuned)
		return -ESTALE;
	kcap_take(kcap, &m->program);
	r = kcap_commit(kcap);
	if (r < 0) {
		kcap_cancel(kcap);
		return pfs_diag_set(diag, -r, "cannot put the program in place: %s", strerror(-r));
	}
	return 0;
}
