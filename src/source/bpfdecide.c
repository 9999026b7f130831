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

	body->cut[item->number] = item->cut;
	body->plain &= !item->unit && !item->keys;
	body->rules |= item->verdict != PFS_VERDICT_NONE;
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

/* The next above item i that keeps every Nth, or i itself; 0: none does. */
static size_t thinned_by(const struct pfs_interests *interests, size_t i)
{
	while (i && !interests->item[i].every)
		i = interests->item[i].above;
	return i;
}

/* Is something below it that has to be asked? */
static bool has_below(const struct pfs_interests *interests, size_t i)
{
	for (size_t k = i + 1; k < interests->n; k++)
		if (interests->item[k].above == i)
			return true;
	return false;
}

static int build_unit(const struct pfs_interests *interests, struct kcap_body *body)
{
	PFS_FREE struct pf_branch *branch = pfs_zalloc(interests->n, sizeof(*branch));
	PFS_FREE bool *on = pfs_zalloc(interests->n, sizeof(*on));
	PFS_FREE bool *thin = pfs_zalloc(interests->n, sizeof(*thin));
	PFS_FREE uint32_t *at = pfs_zalloc(interests->n, sizeof(*at));
	struct pf_error error;
	size_t n = 0;
	int r;

	if (!branch || !on || !thin || !at)
		return -ENOMEM;
	body->plain = true;
	mark_rules(interests, on);
	for (size_t i = 0; i < interests->n; i++) {
		const struct pfs_interest *item = &interests->item[i];

		if (body->only_rules && !on[i])
			continue;
		note_number(item, body);
		/* A class that nothing is below is read through its cell. */
		if (item->class_ && !has_below(interests, i))
			continue;
		at[i] = (uint32_t)n;
		/* Whom every Nth is for is known when it was counted. */
		thin[i] = item->every || (i && thin[item->above]);
		if (thin[i])
			continue;
		branch[n++] = (struct pf_branch){ item->unit, i ? at[item->above] : PF_TREE_TOP,
						  item->number, item->cut };
	}
	r = pf_tree(branch, n, 32 * body->words, body->rules, &body->unit);
	return r == 0 ? pf_optimise(&body->unit, 0, NULL, NULL, &error) : r;
}

static int add_sort(const struct pfs_interest *item, struct ksorter *sorter, struct kcap_body *body)
{
	struct ksort *sort = &body->sort[body->nsort];
	struct pf_error error;
	int r;

	pf_unit_init(&sort->unit);
	sort->sorter = sorter;
	sort->number = item->number;
	sort->cut = item->cut;
	body->nsort++;
	r = pf_unit_copy(&sort->unit, item->keys);
	return r == 0 ? pf_optimise(&sort->unit, 0, NULL, NULL, &error) : r;
}

/* Who sorts, and the classes that are read through their cells. */
static int build_sorts(const struct kcap_making *m, struct kcap_body *body)
{
	const struct pfs_interests *interests = m->interests;
	unsigned next = 0;
	int r = m->unsorted;

	if (body->only_rules)
		return 0;
	body->class_ = pfs_zalloc(interests->n, sizeof(*body->class_));
	if (!body->class_)
		return -ENOMEM;
	for (size_t i = 0; i < interests->n && r == 0; i++) {
		const struct pfs_interest *item = &interests->item[i];

		if (item->keys && m->sorter[next++])
			r = add_sort(item, m->sorter[next - 1], body);
		if (!item->class_ || has_below(interests, i))
			continue;
		for (unsigned s = 0; s < body->nsort; s++)
			if (body->sort[s].number == interests->item[item->above].number)
				body->class_[body->nclass++] =
					(struct ksort_class){ body->sort[s].sorter, item->class_,
							      item->number };
	}
	return r;
}

/* Which of the body's keep every Nth is the next above item i; of such a one itself. NULL: none is. */
static struct knth *nth_of(const struct pfs_interests *interests, struct kcap_body *body, size_t i)
{
	i = thinned_by(interests, i);
	for (unsigned k = 0; k < body->nnth; k++)
		if (i && body->nth[k].number == interests->item[i].number)
			return &body->nth[k];
	return NULL;
}

/* Those that keep every Nth. Without one that has left nobody below it gets anything. */
static void build_nths(const struct kcap_making *m, struct kcap_body *body)
{
	const struct pfs_interests *interests = m->interests;
	unsigned next = 0;

	for (size_t i = 1; i < interests->n && !body->only_rules; i++) {
		const struct pfs_interest *item = &interests->item[i];
		struct knth *above = nth_of(interests, body, item->above), *nth;

		if (item->every && m->has_cell[next++] &&
		    (above || !thinned_by(interests, item->above))) {
			body->nth[body->nnth++] = (struct knth){ .number = item->number,
								 .every = item->every,
								 .phase = item->phase,
								 .cell = m->cell[next - 1] };
			for (size_t k = item->above; k; k = interests->item[k].above)
				if (interests->item[k].every)
					nth_of(interests, body, k)->below++;
		}
		nth = nth_of(interests, body, i);
		if (nth)
			nth->set[item->number / 32] |= UINT32_C(1) << item->number % 32;
	}
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
	if (r == 0)
		r = build_sorts(m, &body);
	if (r == 0)
		build_nths(m, &body);
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
	for (size_t i = 0; i < ARRAY_SIZE(m->sorter); i++)
		if (m->sorter[i])
			m->sorter[i]->makings--;
	for (size_t i = 0; i < ARRAY_SIZE(m->cell); i++)
		if (m->has_cell[i])
			m->kcap->nths->cell[m->cell[i]].makings--;
	kcap_free(m->kcap);
	free(m);
}

static int take_sorter(struct kcap_making *m, const struct pfs_interest *item, unsigned n)
{
	int r = 0;

	if (n == ARRAY_SIZE(m->sorter))
		return -E2BIG;
	/* Without a set it has left meanwhile, and nobody asks for its classes. */
	if (item->sorts)
		r = ksort_get(m->kcap, item->sorts, &m->sorter[n]);
	if (m->sorter[n])
		m->sorter[n]->makings++;
	return r;
}

static int take_cell(struct kcap_making *m, const struct pfs_interest *item, unsigned n)
{
	int r = 0;

	if (n == ARRAY_SIZE(m->cell))
		return -E2BIG;
	if (item->nth) {
		r = knth_get(m->kcap, item->nth, &m->cell[n]);
		m->has_cell[n] = r == 0;
	}
	if (m->has_cell[n])
		m->kcap->nths->cell[m->cell[n]].makings++;
	return r;
}

/*
 * The sorters, and the cells of those that keep every Nth, that the program will need are there from now on, and follow
 * their directories.
 */
static int take_places(struct kcap_making *m)
{
	unsigned sorters = 0, cells = 0;
	int r = 0;

	if (!m->interests || m->interests->only_rules || m->off)
		return 0;
	for (size_t i = 0; i < m->interests->n && r == 0; i++) {
		const struct pfs_interest *item = &m->interests->item[i];

		if (item->keys)
			r = take_sorter(m, item, sorters++);
		if (r == 0 && item->every)
			r = take_cell(m, item, cells++);
	}
	return r;
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
	m->interests = interests;
	m->link_type = link_type;
	m->off = off;
	m->program.fd = -1;
	m->unsorted = take_places(m);
	memcpy(&m->view, kcap, sizeof(*kcap));
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
