#include "graph/decide.h"

#include "graph/classify.h"
#include "graph/graph_i.h"
#include "graph/guard.h"
#include "graph/nth.h"
#include "graph/verdict.h"
#include "packet/keys.h"
#include "pf/ir/ir.h"

/* --- what a node keeps ---------------------------------------------------------------------------- */

static struct pfs_kept *kept_ref(struct pfs_kept *kept)
{
	if (kept)
		atomic_fetch_add_explicit(&kept->refs, 1, memory_order_relaxed);
	return kept;
}

static struct pf_unit *unit_new(void)
{
	struct pf_unit *unit = pfs_zalloc(1, sizeof(*unit));

	if (unit)
		pf_unit_init(unit);
	return unit;
}

static void unit_free(struct pf_unit *unit)
{
	if (unit)
		pf_unit_release(unit);
	free(unit);
}

static void kept_unref(struct pfs_kept *kept)
{
	if (!kept || atomic_fetch_sub_explicit(&kept->refs, 1, memory_order_acq_rel) != 1)
		return;
	unit_free(kept->unit);
	unit_free(kept->keys);
	free(kept);
}

static struct pfs_kept *kept_new(void)
{
	struct pfs_kept *kept = pfs_zalloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	atomic_init(&kept->refs, 1);
	kept->unit = unit_new();
	kept->keys = unit_new();
	if (!kept->unit || !kept->keys) {
		kept_unref(kept);
		return NULL;
	}
	return kept;
}

/* The set of a filter that passes everything, each packet in the class of its field; NULL: it is none. */
static struct pfs_classes *sorts(const struct pfs_node *node)
{
	return node->filter && node->filter->batch == pfs_classify_batch ? pfs_class_set(node) : NULL;
}

struct pfs_nth *pfs_decide_nth(const struct pfs_node *node)
{
	return node->filter && node->filter->nth && node->state ? node->filter->nth(node->state)
								: NULL;
}

/* What the node keeps, into an initialised unit: as pfs_filter.keeps. */
static int ask(struct pfs_node *node, uint16_t link_type, struct pf_unit *unit, struct pf_unit *keys)
{
	struct pfs_classes *set = sorts(node);
	struct pkt_key key = { 0 };
	int r;

	if (set) {
		r = pkt_keys_unit(set->field, link_type, keys);
		return r < 0 ? r : 1;
	}
	if (node->kind == PFS_NODE_CLASS) {
		set = node->parent ? sorts(node->parent) : NULL;
		r = set ? pfs_classes_key(set, node->class_, &key) : -ENOTSUP;
		return r < 0 ? r : pkt_keys_keeps(set->field, link_type, &key, unit);
	}
	if (!node->filter || !node->filter->keeps || !node->state || node->pulls)
		return -ENOTSUP;
	/* Its records say their class, which nobody else could tell. */
	if (node->filter->classes || node->filter->open_classes)
		return -ENOTSUP;
	return node->filter->keeps(node->state, link_type, unit);
}

/* Asks the node, once. False: it cannot say, or there is no memory for it. */
static bool learn(struct pfs_node *node, uint16_t link_type)
{
	struct pfs_keeps *k = node->keeps;
	struct pfs_kept *kept;
	int r;

	if (k && k->asked)
		return k->known;
	if (!k) {
		k = node->keeps = pfs_zalloc(1, sizeof(*k));
		if (!k)
			return false;
		k->number = PFS_NO_TAKER;
	}
	kept = kept_new();
	if (!kept)
		return false;
	r = ask(node, link_type, kept->unit, kept->keys);
	k->asked = true;
	k->known = r >= 0;
	if (r == 0)
		unit_free(TAKE_PTR(kept->keys));
	else
		unit_free(TAKE_PTR(kept->unit));
	if (r == 0 || (r == 1 && sorts(node)))
		k->kept = TAKE_PTR(kept);
	kept_unref(kept);
	return k->known;
}

bool pfs_decide_knows(struct pfs_node *node)
{
	return learn(node, node->parent->link_type);
}

/* --- lists ------------------------------------------------------------------------------------------ */

void pfs_list_free(struct pfs_list *list)
{
	for (size_t i = 0; list->kept && i < list->in.n; i++)
		kept_unref(list->kept[i]);
	free(list->kept);
	free(list->nodes);
	free((void *)list->in.item);
	*list = (struct pfs_list){ .in.generation = list->in.generation };
}

static int list_alloc(struct pfs_list *list)
{
	list->in.item = pfs_zalloc(PFS_TAKERS_MAX, sizeof(struct pfs_interest));
	list->kept = pfs_zalloc(PFS_TAKERS_MAX, sizeof(*list->kept));
	list->nodes = pfs_zalloc(PFS_TAKERS_MAX, sizeof(*list->nodes));
	if (list->in.item && list->kept && list->nodes)
		return 0;
	pfs_list_free(list);
	return -ENOMEM;
}

int pfs_list_copy(const struct pfs_list *list, uint32_t generation, struct pfs_list *ret_list)
{
	struct pfs_list copy = { .in.generation = generation };

	if (list_alloc(&copy) < 0)
		return -ENOMEM;
	copy.in.link_type = list->in.link_type;
	copy.in.left_out = list->in.left_out;
	copy.in.n = list->in.n;
	for (size_t i = 0; i < list->in.n; i++) {
		((struct pfs_interest *)copy.in.item)[i] = list->in.item[i];
		copy.kept[i] = kept_ref(list->kept[i]);
		copy.nodes[i] = list->nodes[i];
	}
	*ret_list = copy;
	return 0;
}

static bool same_item(const struct pfs_interest *x, const struct pfs_interest *y)
{
	return x->unit == y->unit && x->above == y->above && x->number == y->number &&
	       x->wanted == y->wanted && x->counted == y->counted && x->wire == y->wire &&
	       x->verdict == y->verdict && x->cut == y->cut && x->nth == y->nth &&
	       x->every == y->every && x->phase == y->phase && x->keys == y->keys &&
	       x->sorts == y->sorts && x->class_ == y->class_;
}

bool pfs_list_same(const struct pfs_list *a, const struct pfs_list *b)
{
	if (a->in.n != b->in.n || a->in.link_type != b->in.link_type ||
	    a->in.only_rules != b->in.only_rules || a->in.left_out != b->in.left_out)
		return false;
	for (size_t i = 0; i < a->in.n; i++)
		if (!same_item(&a->in.item[i], &b->in.item[i]))
			return false;
	return true;
}

/* The next verdict from *at on; false: there is none. */
static bool next_rule(const struct pfs_list *list, size_t *at)
{
	while (*at < list->in.n && list->in.item[*at].verdict == PFS_VERDICT_NONE)
		(*at)++;
	return *at < list->in.n;
}

/* Does a verdict here judge the same packets as one there? */
static bool same_way(const struct pfs_list *a, size_t i, const struct pfs_list *b, size_t j)
{
	for (;;) {
		const struct pfs_interest *x = &a->in.item[i], *y = &b->in.item[j];

		if (x->unit != y->unit || x->cut != y->cut || x->number != y->number ||
		    x->verdict != y->verdict)
			return false;
		if (i == 0 || j == 0)
			return i == j;
		i = x->above;
		j = y->above;
	}
}

static bool same_rules(const struct pfs_list *a, const struct pfs_list *b)
{
	for (size_t i = 0, j = 0;; i++, j++) {
		bool x = next_rule(a, &i), y = next_rule(b, &j);

		if (!x || !y)
			return x == y;
		if (!same_way(a, i, b, j))
			return false;
	}
}

uint32_t pfs_list_cost(const struct pfs_list *list)
{
	uint32_t cost = 0;

	for (size_t i = 0; i < list->in.n; i++)
		cost += list->nodes[i] ? list->nodes[i]->keeps->cost : 0;
	return cost;
}

static void set_snap(struct pfs_deciding *d)
{
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++)
		if (d->owner[n])
			d->owner[n]->keeps->snap = d->owner[n]->keeps->snap &&
						   d->owner[n]->keeps->listed;
}

void pfs_list_note(struct pfs_deciding *d, const struct pfs_list *list)
{
	for (size_t i = 0; i < list->in.n; i++)
		if (list->nodes[i])
			list->nodes[i]->keeps->listed = true;
	set_snap(d);
	for (size_t i = 0; i < list->in.n; i++) {
		struct pfs_keeps *k = list->nodes[i] ? list->nodes[i]->keeps : NULL;
		bool wanted = list->in.item[i].wanted;

		if (!k)
			continue;
		if (wanted && !(k->snap && k->snap_wanted))
			k->wanted_since = list->in.generation;
		k->snap_wanted = wanted;
		k->snap = true;
		k->listed = false;
	}
	d->snapshot = list->in.generation;
}

void pfs_list_enter(struct pfs_deciding *d, struct pfs_list *list)
{
	for (size_t i = 0; i < d->now.in.n; i++)
		if (d->now.nodes[i])
			d->now.nodes[i]->keeps->used = false;
	pfs_list_free(&d->now);
	d->now = *list;
	*list = (struct pfs_list){ 0 };
	for (size_t i = 0; i < d->now.in.n; i++)
		if (d->now.nodes[i])
			d->now.nodes[i]->keeps->used = true;
}

/* --- what is wanted ----------------------------------------------------------------------------------- */

struct listing {
	struct pfs_domain *domain;
	struct pfs_plan *plan;
	uint32_t generation;	   /* of the program that will be made of it */
	bool unruled;		   /* a verdict cannot be given */
	bool busy[PFS_TAKERS_MAX]; /* numbers that mean something to a program that may still run */
	unsigned numbers;	   /* that are taken */
	uint32_t cost;		   /* of those that were there before, and those that have come */
	uint64_t most;		   /* that it may be */
	unsigned sorters;	   /* of these that have a place */
	unsigned nths;		   /* the same of those that keep every Nth */
	/* By item: it, or one above it, asks about packets; it keeps every Nth, or one above it does. */
	bool asks[PFS_TAKERS_MAX], thin[PFS_TAKERS_MAX];
};

static struct pfs_deciding *deciding_of(const struct listing *l)
{
	return &l->domain->deciding;
}

static void note_busy(struct listing *l, const struct pfs_list *list)
{
	for (size_t i = 0; i < list->in.n; i++)
		l->busy[list->in.item[i].number] = true;
}

/* In a program, or promised to be in the next. */
static bool has_place(const struct pfs_deciding *d, const struct pfs_keeps *k)
{
	return k->number != PFS_NO_TAKER && (k->snap || (d->listing && k->listed_at == d->listing));
}

static bool is_sorter(const struct pfs_keeps *k)
{
	return k->kept && k->kept->keys;
}

/* A class that nothing is below is a mark in the memory of who sorts. */
static void set_cost(const struct pfs_step *step)
{
	struct pfs_keeps *k = step->node->keeps;
	const struct pfs_kept *kept = k->kept;
	const struct pf_unit *unit = !kept ? NULL : kept->keys ? kept->keys : kept->unit;

	if (step->node->kind == PFS_NODE_CLASS && !step->nchildren && !step->nclasses)
		unit = NULL;
	k->cost = unit ? unit->nval + unit->nblk : 0;
}

/* Those that are in the program keep their places; what is left is for others. */
static void note_before(struct listing *l, const struct pfs_step *step)
{
	const struct pfs_keeps *k = step->node->keeps;

	for (unsigned i = 0; i < step->nchildren; i++)
		note_before(l, step->children[i]);
	for (unsigned i = 0; i < step->nclasses; i++)
		note_before(l, step->classes[i]);
	if (!k || !has_place(deciding_of(l), k))
		return;
	set_cost(step);
	l->numbers++;
	l->sorters += is_sorter(k);
	l->nths += pfs_decide_nth(step->node) != NULL;
	l->cost += k->cost;
}

/* A free one, of those that were left the longest ago. PFS_NO_TAKER: there is none. */
static uint16_t free_number(const struct listing *l)
{
	struct pfs_deciding *d = deciding_of(l);

	for (unsigned i = 0; i < PFS_TAKERS_MAX; i++) {
		unsigned n = (d->turn + i) % PFS_TAKERS_MAX;

		if (n == 0 || l->busy[n] || (d->owner[n] && d->owner[n]->keeps->listed))
			continue;
		d->turn = n + 1;
		return (uint16_t)n;
	}
	return PFS_NO_TAKER;
}

/* What a program may cost. */
static uint64_t most_cost(const struct pfs_deciding *d)
{
	uint64_t c = d->took_cost;

	if (!c)
		return PFS_DECIDE_COST;
	/* The root of TIME / took, a step at a time: there are few of them. */
	while (c < PFS_DECIDE_COST_MAX &&
	       (c * c / d->took_cost) * d->took / d->took_cost < PFS_DECIDE_TIME)
		c += d->took_cost / 8;
	return c;
}

/* Its own, or a new one. PFS_NO_TAKER: the engine runs it, and goes on doing so as long as somebody is there. */
static uint16_t number_for(struct listing *l, struct pfs_node *node)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = node->keeps;
	unsigned most = PFS_TAKERS_MAX - PFS_DECIDE_RESERVE;
	uint64_t cost = l->most;
	uint16_t number = PFS_NO_TAKER;

	if (has_place(d, k))
		return k->number;
	if (pfs_has_verdict(node)) {
		most = PFS_TAKERS_MAX;
		cost *= 2;
	}
	if (l->numbers < most && l->cost + k->cost <= cost &&
	    l->sorters + is_sorter(k) <= PFS_SORTERS_MAX &&
	    l->nths + (pfs_decide_nth(node) != NULL) <= PFS_NTHS_MAX &&
	    !(d->listing && k->left_out == d->listing))
		number = k->number != PFS_NO_TAKER ? k->number : free_number(l);
	if (number == PFS_NO_TAKER) {
		k->left_out = d->listing + 1;
		d->next.in.left_out++;
		return number;
	}
	l->numbers++;
	l->sorters += is_sorter(k);
	l->nths += pfs_decide_nth(node) != NULL;
	l->cost += k->cost;
	return number;
}

/* Are there numbers of what passes in the source? */
static bool counts(const struct pfs_domain *domain)
{
	const struct pfs_feed *feed = &domain->feed;

	return (feed->started || feed->ending) && domain->source->from->passed;
}

static void number_take(struct listing *l, struct pfs_node *node, uint16_t number)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = node->keeps;
	const struct pfs_source *from = l->domain->source->from;

	if (d->owner[number] && d->owner[number] != node)
		d->owner[number]->keeps->number = PFS_NO_TAKER;
	if (d->owner[number] != node) {
		d->owner[number] = node;
		k->number = number;
		k->books = (struct pfs_tally){ 0 };
		if (counts(l->domain))
			from->passed(l->domain->source->state, number, &k->books);
	}
	if (!k->snap)
		k->since = l->generation;
	k->listed = true;
	k->listed_at = d->listing + 1;
}

static bool is_wanted(const struct pfs_step *step)
{
	bool wanted = step->read;

	if (step->verdict != PFS_VERDICT_NONE)
		return false;
	for (unsigned i = 0; i < step->nchildren && !wanted; i++)
		wanted = step->children[i]->taker == PFS_NO_TAKER;
	for (unsigned i = 0; i < step->nclasses && !wanted; i++)
		wanted = step->classes[i]->taker == PFS_NO_TAKER;
	return wanted;
}

static void list_step(struct listing *l, struct pfs_step *step, uint32_t above);

/* How much of a packet it passes. Those above are in the list already. */
static uint32_t cut_of(const struct listing *l, struct pfs_node *node, uint32_t above, bool first)
{
	uint32_t all = first ? 0 : deciding_of(l)->next.in.item[above].cut;
	uint32_t own = node->filter && node->filter->cuts ? node->filter->cuts(node->state) : 0;

	return !all || (own && own < all) ? own : all;
}

static void set_cut(struct pfs_step *step, uint32_t cut)
{
	struct pfs_keeps *k = step->node->keeps;

	if (k->cut != cut)
		k->cut_before = k->cut;
	k->cut = cut;
	step->cut = cut ? cut : UINT32_MAX;
	step->cut_before = k->cut_before ? k->cut_before : UINT32_MAX;
}

/*
 * Every Nth of all packets can be counted in the source, also of those that it leaves undecided. Behind a filter that
 * may be unsure it cannot: two would count, in another order. What asks about packets goes on in the engine below:
 * being unsure of those that do not pass would make these undecided.
 */
static bool fits_place(const struct listing *l, struct pfs_node *node, uint32_t above)
{
	if (pfs_decide_nth(node))
		return !l->asks[above];
	return !l->thin[above] || (!node->keeps->kept && node->kind != PFS_NODE_CLASS);
}

/* False: it cannot be decided about, or has no number. */
static bool list_below(struct listing *l, struct pfs_step *step, struct pfs_step *above, uint32_t index)
{
	struct pfs_node *node = step->node;
	uint16_t number;

	if (!learn(node, deciding_of(l)->next.in.link_type) || !fits_place(l, node, index))
		return false;
	set_cost(step);
	number = number_for(l, node);
	if (number == PFS_NO_TAKER)
		return false;
	number_take(l, node, number);
	step->above = above;
	list_step(l, step, index);
	return true;
}

/* The step and what can be decided below it. */
static void list_step(struct listing *l, struct pfs_step *step, uint32_t above)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = step->node->keeps;
	struct pfs_interest *items = (struct pfs_interest *)d->next.in.item;
	uint32_t index = (uint32_t)d->next.in.n++;
	struct pfs_nth *nth = pfs_decide_nth(step->node);

	step->every = nth;
	l->asks[index] = k->kept || step->node->kind == PFS_NODE_CLASS || (index && l->asks[above]);
	l->thin[index] = nth || (index && l->thin[above]);
	set_cut(step, cut_of(l, step->node, above, index == 0));
	items[index].cut = k->cut; /* those below look there */
	step->taker = k->number;
	step->since = k->since;
	d->next.nodes[index] = step->node;
	d->next.kept[index] = kept_ref(k->kept);
	l->plan->takers[k->number] = step;
	for (unsigned i = 0; i < step->nchildren; i++)
		if (!list_below(l, step->children[i], step, index))
			l->unruled |= pfs_has_verdict(step->children[i]->node);
	for (unsigned i = 0; i < step->nclasses; i++)
		step->nrest += !list_below(l, step->classes[i], step, index);
	step->wanted = is_wanted(step);
	step->wanted_since = k->snap && k->snap_wanted ? k->wanted_since : l->generation;
	items[index] = (struct pfs_interest){
		k->kept ? k->kept->unit : NULL,
		above,
		k->number,
		step->wanted,
		is_sorter(k) || step->ncounters || (step->node->filter && step->node->filter->passed),
		step->ncounters,
		step->verdict,
		k->cut,
		nth,
		nth ? nth->every : 0,
		nth ? nth->phase : 0,
		k->kept ? k->kept->keys : NULL,
		is_sorter(k) ? sorts(step->node) : NULL,
		step->node->kind == PFS_NODE_CLASS ? step->node->class_ : 0,
	};
}

static int list_make(struct listing *l)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_node *source = l->domain->source;

	if (!source->keeps)
		source->keeps = pfs_zalloc(1, sizeof(*source->keeps));
	l->plan->takers = pfs_zalloc(PFS_TAKERS_MAX, sizeof(struct pfs_step *));
	if (!source->keeps || !l->plan->takers || list_alloc(&d->next) < 0)
		return -ENOMEM;
	d->next.in.generation = l->generation;
	d->next.in.link_type = source->link_type;
	source->keeps->asked = source->keeps->known = true;
	l->most = most_cost(d);
	note_busy(l, &d->now);
	note_busy(l, &d->made);
	note_before(l, l->plan->steps[0]);
	number_take(l, source, 0);
	list_step(l, l->plan->steps[0], 0);
	return l->unruled ? -EOPNOTSUPP : 0;
}

/* --- changes ---------------------------------------------------------------------------------------------- */

/* A verdict is there, or away, when its plan is out: made at once, if need be of the verdicts alone. */
static int make_rules(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_node *source = domain->source;
	int r;

	d->next.in.only_rules = pfs_list_cost(&d->next) > PFS_DECIDE_AT_ONCE;
	r = source->from->decide(source->state, &d->next.in, &d->making, &d->why);
	if (r == 0 && d->making)
		r = d->making->make(d->making, &d->why);
	return r;
}

static int change_rules(struct pfs_domain *domain)
{
	static const struct pfs_list none;
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_list *before = domain->feed.started ? &d->now : &none;
	int r;

	if (same_rules(before, &d->next))
		return 0;
	r = pfs_guard_check(domain, before, &d->next, &d->why);
	return r == 0 && domain->feed.started ? make_rules(domain) : r;
}

/* The books are made up to the moment of the change: what is counted later is counted for those who are there then. */
int pfs_decide_begin(struct pfs_domain *domain, struct pfs_plan *plan)
{
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_source *from = domain->source->from;
	struct listing l = { .domain = domain, .plan = plan, .generation = d->snapshot + 1 };
	int r;

	d->why.text[0] = '\0';
	if (!from->decide)
		return 0;
	pfs_decide_sync(domain);
	pfs_list_free(&d->next);
	r = plan ? list_make(&l) : 0;
	if (r == -EOPNOTSUPP)
		pfs_diag_set(&d->why, EOPNOTSUPP,
			     "drop and pass need the kernel to decide, and there are more than %d filters, or "
			     "too large ones",
			     PFS_TAKERS_MAX - 1);
	if (r == 0 && plan)
		r = change_rules(domain);
	if (r < 0)
		pfs_decide_cancel(domain);
	return r;
}

void pfs_decide_why(const struct pfs_domain *domain, struct pfs_diag *diag)
{
	if (diag && domain->deciding.why.text[0])
		*diag = domain->deciding.why;
}

static void unlist(struct pfs_deciding *d)
{
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++)
		if (d->owner[n])
			d->owner[n]->keeps->listed = false;
}

static void making_free(struct pfs_making *making)
{
	if (making)
		making->free(making);
}

void pfs_decide_cancel(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;

	if (!domain->source->from->decide)
		return;
	making_free(TAKE_PTR(d->making));
	unlist(d);
	pfs_list_free(&d->next);
}

/* The program that was made before the plan. */
static int publish_rules(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_making *making = TAKE_PTR(d->making);
	struct pfs_list list;
	int r = pfs_list_copy(&d->want, d->snapshot + 1, &list);

	if (r == 0) {
		list.in.only_rules = d->want.in.only_rules;
		r = domain->source->from->decided(domain->source->state, making, &d->why);
		if (r == 0) {
			pfs_list_note(d, &list);
			pfs_list_enter(d, &list);
		} else {
			pfs_list_free(&list);
		}
	}
	making_free(making);
	return r;
}

/*
 * Is it in the plan, or in the one that is about to be published? A program that still runs may count for filters that
 * have left.
 */
static bool is_planned(const struct pfs_deciding *d, const struct pfs_node *node)
{
	return node->keeps->listed_at - d->listing <= 1;
}

/* Those that sort and have left the plan have no classes to count in, whatever still runs. */
static void heed_sorters(struct pfs_deciding *d)
{
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++) {
		struct pfs_node *node = d->owner[n];
		struct pfs_classes *set = node && is_sorter(node->keeps) ? sorts(node) : NULL;

		if (set)
			pfs_classes_heed(set, is_planned(d, node));
	}
}

int pfs_decide_publish(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_list *last = d->made.in.generation ? &d->made : &d->now;
	int r = 0;

	if (!domain->source->from->decide)
		return 0;
	pfs_decide_sync(domain); /* until now it was counted for those who were there */
	unlist(d);
	d->changes += !pfs_list_same(&d->want, &d->next);
	pfs_list_free(&d->want);
	d->want = d->next;
	d->next = (struct pfs_list){ 0 };
	d->listing++;
	heed_sorters(d);
	if (d->making) {
		r = publish_rules(domain);
		last = &d->now;
		d->want.in.only_rules = false;
	}
	if (r == 0 && domain->feed.started && domain->active &&
	    (d->failed || !pfs_list_same(last, &d->want)))
		pfs_decider_ask(domain);
	return r;
}

/* It may be in lists, which know it no more. */
static void strike(struct pfs_list *list, const struct pfs_node *node)
{
	for (size_t i = 0; i < list->in.n; i++)
		if (list->nodes[i] == node) {
			list->nodes[i] = NULL;
			((struct pfs_interest *)list->in.item)[i].sorts = NULL;
			((struct pfs_interest *)list->in.item)[i].nth = NULL;
		}
}

void pfs_decide_changed(struct pfs_node *node)
{
	struct pfs_keeps *k = node->keeps;

	if (!k)
		return;
	kept_unref(TAKE_PTR(k->kept));
	k->asked = k->known = false;
	k->cost = 0;
}

void pfs_decide_forget(struct pfs_node *node)
{
	struct pfs_keeps *k = node->keeps;
	struct pfs_domain *domain = node->domain;
	struct pfs_deciding *d;

	if (!k)
		return;
	d = &domain->deciding;
	pfs_decide_sync(domain);
	strike(&d->now, node);
	strike(&d->want, node);
	strike(&d->next, node);
	strike(&d->made, node);
	if (k->number != PFS_NO_TAKER && d->owner[k->number] == node)
		d->owner[k->number] = NULL;
	/* Who counts beside does so no more; it is still what it was. */
	if (sorts(node))
		pfs_classes_follow(sorts(node), NULL, NULL);
	if (pfs_decide_nth(node))
		pfs_nth_follow(pfs_decide_nth(node), NULL, NULL, NULL);
	kept_unref(k->kept);
	free(TAKE_PTR(node->keeps));
}

void pfs_decide_release(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;

	assert(!d->making && !d->made.in.item);
	pfs_list_free(&d->now);
	pfs_list_free(&d->want);
	pfs_list_free(&d->next);
}

bool pfs_decides(const struct pfs_node *node)
{
	bool rule = node->filter && node->filter->verdict != PFS_VERDICT_NONE;

	return node->keeps && node->keeps->used && node->domain->active &&
	       node->domain->feed.started && (rule || atomic_load(&node->domain->feed.decides));
}

/* --- the books -------------------------------------------------------------------------------------------- */

/* What the source says, less what is in the books already. */
static struct pfs_tally take_news(struct pfs_domain *domain, struct pfs_node *node)
{
	struct pfs_keeps *k = node->keeps;
	struct pfs_tally was = k->books;

	domain->source->from->passed(domain->source->state, k->number, &k->books);
	return (struct pfs_tally){
		.records = k->books.records - was.records,
		.bytes = k->books.bytes - was.bytes,
		.wire = k->books.wire - was.wire,
	};
}

static void enter_news(struct pfs_node *node, uint64_t in, const struct pfs_tally *news)
{
	enum pfs_verdict verdict = node->filter ? node->filter->verdict : PFS_VERDICT_NONE;
	uint64_t out = news->records;

	/* That on which it gave its verdict came in. */
	if (verdict != PFS_VERDICT_NONE)
		in = out;
	if (verdict == PFS_VERDICT_DROP)
		out = 0;
	pfs_counter_add(&node->in, in);
	pfs_counter_add(&node->out, out);
	pfs_counter_add(&node->bytes, news->bytes);
	if (news->records && node->filter && node->filter->passed && node->state)
		node->filter->passed(node->state, news);
	/* Without true lengths it was counted before somebody wanted these, who waits for the program that knows. */
	if (news->wire)
		pfs_tally_children(node, news);
}

/* In order of the list: what came into a filter is what passed the one above it. */
void pfs_decide_sync(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_node *source = domain->source;
	uint64_t passed[PFS_TAKERS_MAX] = { 0 };
	struct pfs_tally news;

	if (!source->from->decide)
		return;
	if (!counts(domain)) {
		pfs_tally_sync(domain);
		return;
	}
	pfs_task_lock(source->task);
	for (size_t i = 0; i < d->now.in.n; i++) {
		if (!d->now.nodes[i])
			continue;
		news = take_news(domain, d->now.nodes[i]);
		passed[i] = news.records;
		if (is_planned(d, d->now.nodes[i]))
			enter_news(d->now.nodes[i], passed[d->now.in.item[i].above], &news);
	}
	/* What a program counted that was just being replaced. */
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++) {
		if (!d->owner[n] || d->owner[n]->keeps->used)
			continue;
		news = take_news(domain, d->owner[n]);
		if (is_planned(d, d->owner[n]))
			enter_news(d->owner[n], news.records, &news);
	}
	pfs_task_unlock(source->task);
	pfs_tally_sync(domain);
}

void pfs_decide_restart(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_list list;

	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++) {
		struct pfs_node *node = d->owner[n];

		if (node)
			node->keeps->books = (struct pfs_tally){ 0 };
	}
	/* Without memory it begins by an empty list, undecided. */
	if (!domain->source->from->decide || !d->want.in.item ||
	    pfs_list_copy(&d->want, d->snapshot + 1, &list) < 0)
		list = (struct pfs_list){ .in.generation = d->snapshot + 1 };
	list.in.only_rules = pfs_list_cost(&list) > PFS_DECIDE_AT_ONCE;
	pfs_list_note(d, &list);
	pfs_list_enter(d, &list);
}

void pfs_decide_started(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;

	if (domain->source->from->decide && domain->active && !pfs_list_same(&d->now, &d->want))
		pfs_decider_ask(domain);
}
