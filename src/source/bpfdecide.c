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

static int build_unit(const struct pfs_interests *interests, struct kcap_body *body)
{
	PFS_FREE struct pf_branch *branch = pfs_zalloc(interests->n, sizeof(*branch));
	struct pf_error error;
	int r;

	if (!branch)
		return -ENOMEM;
	body->plain = true;
	for (size_t i = 0; i < interests->n; i++) {
		const struct pfs_interest *item = &interests->item[i];
		uint32_t bit = UINT32_C(1) << item->number % 32;

		branch[i] = (struct pf_branch){ item->unit, i ? item->above : PF_TREE_TOP,
						item->number };
		body->plain &= !item->unit;
		body->rules |= item->verdict != PFS_VERDICT_NONE;
		if (item->verdict == PFS_VERDICT_DROP)
			body->drops[item->number / 32] |= bit;
		else if (item->verdict == PFS_VERDICT_PASS)
			body->passes[item->number / 32] |= bit;
		else if (item->wanted)
			body->wanted[item->number / 32] |= bit;
		else
			body->counted[item->number / 32] |= bit;
	}
	r = pf_tree(branch, interests->n, 32 * body->words, body->rules, &body->unit);
	return r == 0 ? pf_optimise(&body->unit, 0, NULL, NULL, &error) : r;
}

static int prepare(struct kcap *kcap, const struct pfs_interests *interests, struct pfs_diag *why)
{
	PFS_CLEANUP(kcap_body_release)
	struct kcap_body body = {
		.generation = interests->generation,
		.words = words_of(interests),
	};
	int r;

	pf_unit_init(&body.unit);
	r = build_unit(interests, &body);
	if (r < 0)
		return pfs_diag_set(why, -r, "no program of %zu filters: %s", interests->n,
				    strerror(-r));
	return kcap_prepare(kcap, &body, why);
}

static bool has_verdicts(const struct pfs_interests *interests)
{
	for (size_t i = 0; interests && i < interests->n; i++)
		if (interests->item[i].verdict != PFS_VERDICT_NONE)
			return true;
	return false;
}

int kcap_decide(struct kcap *kcap, const struct pfs_interests *interests, uint16_t link_type,
		bool off, bool *ret_yes, struct pfs_diag *why)
{
	struct kcap_body none = { .generation = interests ? interests->generation : 0 };
	struct pfs_diag diag = { "" };
	int r;

	*ret_yes = fits(interests, link_type, off, why) && prepare(kcap, interests, why) == 0;
	if (*ret_yes)
		return 0;
	if (has_verdicts(interests)) {
		diag = *why;
		return pfs_diag_set(why, EOPNOTSUPP,
				    "drop and pass need the kernel to decide, and it does not: %s",
				    diag.text);
	}
	r = kcap_prepare(kcap, &none, &diag);
	if (r < 0)
		*why = diag;
	return r;
}
