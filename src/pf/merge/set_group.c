/* Groups of a set: what their members' keys are, and who is behind each entry. */
#include "pf/merge/set_i.h"

/* --- answers --------------------------------------------------------------------------------- */

static struct pf_slots *slots_of(const struct pf_answers *a)
{
	return atomic_load_explicit(&a->slots, memory_order_relaxed);
}

static struct pf_slots *slots_new(uint32_t cap)
{
	struct pf_slots *s = pfs_zalloc(1, sizeof(*s) + cap * sizeof(struct pf_list * _Atomic));

	if (s)
		s->cap = cap;
	return s;
}

static void answers_free(struct pf_answers *a)
{
	struct pf_slots *s = a ? slots_of(a) : NULL;

	for (uint32_t i = 0; s && i < s->cap; i++)
		free(atomic_load_explicit(&s->of[i], memory_order_relaxed));
	free(s);
	free(a);
}

static struct pf_answers *answers_new(bool direct)
{
	struct pf_answers *a = pfs_zalloc(1, sizeof(*a));
	struct pf_slots *s = slots_new(2);

	if (!a || !s) {
		free(a);
		free(s);
		return NULL;
	}
	a->direct = direct;
	atomic_init(&a->slots, s);
	return a;
}

/* Room for that entry. */
static int answers_grow(struct pf_set *set, struct pf_answers *a, uint32_t entry)
{
	struct pf_slots *old = slots_of(a), *s;
	uint32_t cap = old->cap;

	if (entry < cap)
		return 0;
	while (cap <= entry)
		cap *= 2;
	s = slots_new(cap);
	if (!s)
		return -ENOMEM;
	for (uint32_t i = 0; i < old->cap; i++)
		atomic_init(&s->of[i], atomic_load_explicit(&old->of[i], memory_order_relaxed));
	/* Pairs with the load in answer() of set.c. */
	atomic_store_explicit(&a->slots, s, memory_order_release);
	pf_reclaim_memory(&set->reclaim, old);
	return 0;
}

static struct pf_list *list_at(const struct pf_answers *a, uint32_t entry)
{
	const struct pf_slots *s = slots_of(a);

	return entry < s->cap ? atomic_load_explicit(&s->of[entry], memory_order_relaxed) : NULL;
}

static void list_publish(struct pf_set *set, struct pf_answers *a, uint32_t entry, struct pf_list *list)
{
	struct pf_list *old = list_at(a, entry);

	/* Pairs with the load in answer() of set.c. */
	atomic_store_explicit(&slots_of(a)->of[entry], list, memory_order_release);
	pf_reclaim_memory(&set->reclaim, old);
}

static bool comes_before(const struct pf_match *a, const struct pf_inside *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->id < b->id;
}

static int list_add(struct pf_set *set, struct pf_answers *a, uint32_t entry, const struct pf_inside *m)
{
	const struct pf_list *old = list_at(a, entry);
	uint32_t n = old ? old->n : 0, at = 0;
	struct pf_list *list = pfs_zalloc(1, sizeof(*list) + (n + 1) * sizeof(list->of[0]));
	int r = list ? answers_grow(set, a, entry) : -ENOMEM;

	if (r < 0) {
		free(list);
		return r;
	}
	while (at < n && comes_before(&old->of[at], m))
		at++;
	list->n = n + 1;
	if (at)
		memcpy(list->of, old->of, at * sizeof(list->of[0]));
	list->of[at] = (struct pf_match){ m->id, m->keep, m->priority, m->consumes };
	if (at < n)
		memcpy(list->of + at + 1, old->of + at, (n - at) * sizeof(list->of[0]));
	list_publish(set, a, entry, list);
	return 0;
}

/* Without that member; with nobody left there is no list. */
static int list_remove(struct pf_set *set, struct pf_answers *a, uint32_t entry, uint32_t id)
{
	const struct pf_list *old = list_at(a, entry);
	struct pf_list *list = NULL;

	if (old->n > 1) {
		list = pfs_zalloc(1, sizeof(*list) + (old->n - 1) * sizeof(list->of[0]));
		if (!list)
			return -ENOMEM;
		for (uint32_t i = 0; i < old->n; i++)
			if (old->of[i].id != id)
				list->of[list->n++] = old->of[i];
	}
	list_publish(set, a, entry, list);
	return 0;
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The words that vary, one behind the other. */
static void tuple_of(uint32_t vary, const uint32_t *key, uint32_t *words)
{
	unsigned n = 0;

	for (unsigned j = 0; j < PF_SHAPE_WORDS; j++)
		if (vary >> j & 1)
			words[n++] = key[j];
}

static int enter(struct pf_set *set, uint32_t vary, struct pf_keyed *keyed, struct pf_answers *a,
		 const struct pf_inside *m)
{
	uint32_t words[PF_SHAPE_WORDS], entry = 1;
	int r = 0;

	tuple_of(vary, m->key, words);
	if (keyed)
		r = pf_keyed_add(keyed, words, &entry);
	if (r == 0)
		r = list_add(set, a, entry, m);
	if (r < 0 && keyed && entry && !list_at(a, entry))
		pf_keyed_remove(keyed, words);
	return r;
}

int pf_group_enter(struct pf_set *set, struct pf_group *g, const struct pf_inside *m)
{
	int r = enter(set, g->vary, g->keyed, g->answers, m);

	g->members += r == 0;
	return r;
}

uint32_t pf_group_entry(const struct pf_group *g, const uint32_t *key)
{
	uint32_t words[PF_SHAPE_WORDS];

	tuple_of(g->vary, key, words);
	return g->keyed ? pf_keyed_find(g->keyed, words) : 1;
}

int pf_group_leave(struct pf_set *set, struct pf_group *g, const struct pf_inside *m)
{
	uint32_t words[PF_SHAPE_WORDS], entry = pf_group_entry(g, m->key);
	const struct pf_list *list = list_at(g->answers, entry);
	int r;

	tuple_of(g->vary, m->key, words);
	assert(list);
	if (g->keyed && list->n == 1)
		pf_keyed_remove(g->keyed, words);
	r = list_remove(set, g->answers, entry, m->id);
	g->members -= r == 0;
	return r;
}

/* --- groups ---------------------------------------------------------------------------------- */

static void done_answers(void *arg, void *p, uint32_t k)
{
	answers_free(p);
}

static void done_keyed(void *arg, void *p, uint32_t k)
{
	pf_keyed_free(p);
}

/* The shape becomes the group's. */
int pf_group_make(struct pf_set *set, struct pf_shape *shape, struct pf_group **ret_group)
{
	struct pf_group *g = pfs_zalloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	pf_unit_init(&g->unit);
	g->answers = answers_new(!shape->keep);
	r = g->answers ? pf_ways_make(shape, 0, NULL, &g->unit) : -ENOMEM;
	if (r < 0) {
		answers_free(g->answers);
		pf_unit_release(&g->unit);
		free(g);
		return r;
	}
	g->shape = *shape;
	*shape = (struct pf_shape){ 0 };
	*ret_group = g;
	return 0;
}

void pf_group_free(struct pf_set *set, struct pf_group *g)
{
	pf_reclaim_later(&set->reclaim, done_answers, NULL, g->answers, 0);
	pf_reclaim_later(&set->reclaim, done_keyed, NULL, g->keyed, 0);
	pf_unit_release(&g->unit);
	pf_shape_release(&g->shape);
	free(g);
}

/* Everything that is other when other words vary. */
struct form {
	uint32_t vary;
	struct pf_keyed *keyed;
	struct pf_unit unit;
	struct pf_answers *answers;
};

static int form_make(struct pf_set *set, const struct pf_group *g, uint32_t vary, struct form *f)
{
	int r = pf_keyed_new((unsigned)__builtin_popcount(vary), &set->reclaim, &f->keyed);

	f->vary = vary;
	pf_unit_init(&f->unit);
	if (r == 0)
		r = pf_ways_make(&g->shape, vary, f->keyed, &f->unit);
	if (r < 0)
		return r;
	f->answers = answers_new(false);
	if (!f->answers)
		return -ENOMEM;
	for (uint32_t i = 0; i < set->ninside && r == 0; i++)
		if (set->inside[i].group == g)
			r = enter(set, vary, f->keyed, f->answers, &set->inside[i]);
	return r;
}

static void form_swap(struct pf_group *g, struct form *f)
{
	struct form was = { g->vary, g->keyed, g->unit, g->answers };

	g->vary = f->vary;
	g->keyed = f->keyed;
	g->unit = f->unit;
	g->answers = f->answers;
	*f = was;
}

int pf_group_widen(struct pf_set *set, struct pf_group *g, const uint32_t *key)
{
	struct form f = { 0 };
	uint32_t vary = g->vary;
	int r;

	for (unsigned j = 0; j < g->shape.words; j++)
		vary |= (uint32_t)(key[j] != g->shape.key[j]) << j;
	if (vary == g->vary)
		return 0;
	r = form_make(set, g, vary, &f);
	if (r == 0) {
		form_swap(g, &f);
		r = pf_part_remake(set, g);
		if (r < 0)
			form_swap(g, &f);
	}
	/* What is left over: the old ones, or those that came to nothing. */
	pf_unit_release(&f.unit);
	if (f.answers)
		pf_reclaim_later(&set->reclaim, done_answers, NULL, f.answers, 0);
	if (f.keyed)
		pf_reclaim_later(&set->reclaim, done_keyed, NULL, f.keyed, 0);
	return r < 0 ? r : 1;
}
