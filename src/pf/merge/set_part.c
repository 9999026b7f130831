/* Parts of a set: merged programs, and the version that readers see. */
#include "pf/merge/merge.h"
#include "pf/merge/set_i.h"
#include "pf/opt/opt.h"

void pf_part_free(struct pf_part *part)
{
	if (!part)
		return;
	pf_native_free(part->native);
	pf_interp_free(part->interp);
	free(part->of_result);
	free(part);
}

static void done_part(void *arg, void *p, uint32_t k)
{
	pf_part_free(p);
}

static int make_engine(const struct pf_set *set, const struct pf_unit *u, struct pf_part *part)
{
	int r = -ENOTSUP;

	if (set->options.engine != PF_ENGINE_INTERP)
		r = pf_native_make(u, &part->native);
	if (r < 0 && set->options.engine != PF_ENGINE_NATIVE)
		r = pf_interp_make(u, &part->interp);
	return r;
}

static int merge(const struct pf_set *set, struct pf_group *const *groups, unsigned n,
		 struct pf_unit *ret_unit)
{
	const struct pf_unit *units[PART_GROUPS];
	int r;

	for (unsigned i = 0; i < n; i++)
		units[i] = &groups[i]->unit;
	r = pf_merge(units, n, ret_unit);
	if (r < 0)
		return r;
	r = pf_optimise(ret_unit, set->options.without, NULL, NULL, NULL);
	if (r < 0)
		pf_unit_release(ret_unit);
	return r;
}

static int part_make(struct pf_set *set, struct pf_group *const *groups, unsigned n,
		     struct pf_part **ret_part)
{
	struct pf_part *part = pfs_zalloc(1, sizeof(*part));
	struct pf_unit u;
	int r;

	if (!part)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		part->nresult += groups[i]->unit.nresult;
	part->of_result = pfs_zalloc(part->nresult, sizeof(struct pf_answers *));
	r = part->nresult > PART_RESULTS ? -E2BIG : part->of_result ? 0 : -ENOMEM;
	if (r == 0)
		r = merge(set, groups, n, &u);
	if (r == 0) {
		r = make_engine(set, &u, part);
		pf_unit_release(&u);
	}
	if (r < 0) {
		pf_part_free(part);
		return r;
	}
	for (unsigned i = 0, at = 0; i < n; i++) {
		part->group[part->ngroup++] = groups[i];
		for (uint32_t k = 0; k < groups[i]->unit.nresult; k++)
			part->of_result[at++] = groups[i]->answers;
	}
	set->compiled++;
	*ret_part = part;
	return 0;
}

/* A part and those whose groups it has: they go when it is published. */
static bool replaces(const struct pf_part *part, const struct pf_part *old)
{
	for (unsigned i = 0; part && i < part->ngroup; i++)
		for (unsigned k = 0; k < old->ngroup; k++)
			if (part->group[i] == old->group[k])
				return true;
	return false;
}

static bool goes(struct pf_part *const *new, unsigned n, const struct pf_part *old,
		 const struct pf_part *gone)
{
	bool yes = old == gone;

	for (unsigned i = 0; i < n; i++)
		yes = yes || replaces(new[i], old);
	return yes;
}

/* With n new parts in the place of `gone` (may be NULL) and of all that they replace. */
static int publish(struct pf_set *set, struct pf_part *const *new, unsigned n, struct pf_part *gone)
{
	struct pf_version *old = atomic_load_explicit(&set->version, memory_order_relaxed);
	struct pf_version *v = pfs_zalloc(1, sizeof(*v) + (old->n + n) * sizeof(struct pf_part *));

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < old->n; i++)
		if (!goes(new, n, old->part[i], gone))
			v->part[v->n++] = old->part[i];
	for (unsigned i = 0; i < n; i++)
		v->part[v->n++] = new[i];
	/* Pairs with the load in pf_set_run(). */
	atomic_store_explicit(&set->version, v, memory_order_release);
	for (uint32_t i = 0; i < old->n; i++)
		if (goes(new, n, old->part[i], gone))
			pf_reclaim_later(&set->reclaim, done_part, NULL, old->part[i], 0);
	pf_reclaim_memory(&set->reclaim, old);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < new[i]->ngroup; k++)
			new[i]->group[k]->part = new[i];
	return 0;
}

static int make_and_publish(struct pf_set *set, struct pf_group *const *groups, unsigned n,
			    struct pf_part *gone)
{
	struct pf_part *part = NULL;
	int r = n ? part_make(set, groups, n, &part) : 0;

	if (r == 0)
		r = publish(set, &part, n ? 1 : 0, gone);
	if (r < 0)
		pf_part_free(part);
	return r;
}

/* Parts with one group become one when there are enough; where that is too large they stay as they are. */
static void gather(struct pf_set *set)
{
	const struct pf_version *v = atomic_load_explicit(&set->version, memory_order_relaxed);
	struct pf_group *groups[PART_GROUPS];
	unsigned n = 0;

	for (uint32_t i = 0; i < v->n && n < PART_GROUPS; i++)
		if (v->part[i]->ngroup == 1 && !v->part[i]->alone)
			groups[n++] = v->part[i]->group[0];
	if (n < PART_GROUPS || make_and_publish(set, groups, n, NULL) == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		groups[i]->part->alone = true;
}

int pf_part_add(struct pf_set *set, struct pf_group *g)
{
	int r = make_and_publish(set, &g, 1, NULL);

	if (r == 0)
		gather(set);
	return r;
}

static unsigned others_of(const struct pf_group *g, struct pf_group **ret_others)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->part->ngroup; i++)
		if (g->part->group[i] != g)
			ret_others[n++] = g->part->group[i];
	return n;
}

/* What a group has more may not fit beside the others: then it is a part of its own again. */
int pf_part_remake(struct pf_set *set, struct pf_group *g)
{
	struct pf_group *others[PART_GROUPS];
	struct pf_part *both[2] = { NULL, NULL };
	unsigned n = others_of(g, others);
	int r = make_and_publish(set, g->part->group, g->part->ngroup, NULL);

	if (r != -E2BIG || !n)
		return r;
	r = part_make(set, others, n, &both[0]);
	if (r == 0)
		r = part_make(set, &g, 1, &both[1]);
	if (r == 0) {
		both[1]->alone = true;
		r = publish(set, both, 2, NULL);
	}
	if (r < 0) {
		pf_part_free(both[0]);
		pf_part_free(both[1]);
	}
	return r;
}

int pf_part_remove(struct pf_set *set, struct pf_group *g)
{
	struct pf_group *others[PART_GROUPS];
	unsigned n = others_of(g, others);

	return make_and_publish(set, others, n, g->part);
}

int pf_part_merge_all(const struct pf_set *set, struct pf_unit *ret_unit)
{
	const struct pf_version *v = atomic_load_explicit(&set->version, memory_order_relaxed);
	PFS_FREE const struct pf_unit **units = pfs_zalloc(set->ngroup, sizeof(*units));
	size_t n = 0;
	int r;

	if (!units)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->n; i++)
		for (unsigned k = 0; k < v->part[i]->ngroup; k++)
			units[n++] = &v->part[i]->group[k]->unit;
	if (!n)
		return -ENOENT;
	r = pf_merge(units, n, ret_unit);
	if (r < 0)
		return r;
	r = pf_optimise(ret_unit, set->options.without, NULL, NULL, NULL);
	if (r < 0)
		pf_unit_release(ret_unit);
	return r;
}
