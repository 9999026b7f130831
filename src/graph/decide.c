#include "graph/decide.h"

#include "graph/graph_i.h"
#include "graph/verdict.h"
#include "pf/ir/ir.h"

/* --- what a node keeps ---------------------------------------------------------------------------- */

static void unit_free(struct pf_unit *unit)
{
	if (unit)
		pf_unit_release(unit);
	free(unit);
}

/* Asks the filter, once. False: it cannot say, or there is no memory for it. */
static bool learn(struct pfs_node *node, uint16_t link_type)
{
	struct pfs_keeps *k = node->keeps;
	struct pf_unit *unit;
	int r;

	if (k && k->asked)
		return k->known;
	if (!node->filter || !node->filter->keeps || !node->state || node->pulls)
		return false;
	/* Its records say their class, which nobody else could tell. */
	if (node->filter->classes || node->filter->open_classes)
		return false;
	if (!k) {
		k = node->keeps = pfs_zalloc(1, sizeof(*k));
		if (!k)
			return false;
		k->number = PFS_NO_TAKER;
	}
	unit = pfs_zalloc(1, sizeof(*unit));
	if (!unit)
		return false;
	pf_unit_init(unit);
	r = node->filter->keeps(node->state, link_type, unit);
	k->asked = true;
	k->known = r >= 0;
	if (r == 0)
		k->unit = TAKE_PTR(unit);
	unit_free(unit);
	return k->known;
}

bool pfs_decide_knows(struct pfs_node *node)
{
	return learn(node, node->parent->link_type);
}

/* --- the list ----------------------------------------------------------------------------------------- */

struct listing {
	struct pfs_domain *domain;
	struct pfs_plan *plan;
	uint32_t generation; /* of the list that is being made */
	bool unruled;	     /* a verdict cannot be given */
};

static struct pfs_deciding *deciding_of(const struct listing *l)
{
	return &l->domain->deciding;
}

/* What is its own, or free, or was left by another one the longest ago. PFS_NO_TAKER: there is none. */
static uint16_t number_for(const struct listing *l, struct pfs_node *node)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = node->keeps;

	if (k->number != PFS_NO_TAKER)
		return k->number;
	for (unsigned i = 0; i < PFS_TAKERS_MAX; i++) {
		unsigned n = (d->turn + i) % PFS_TAKERS_MAX;

		if (n == 0 ||
		    (d->owner[n] && (d->owner[n]->keeps->used || d->owner[n]->keeps->listed)))
			continue;
		d->turn = n + 1;
		return (uint16_t)n;
	}
	return PFS_NO_TAKER;
}

static void number_take(const struct listing *l, struct pfs_node *node, uint16_t number)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = node->keeps;
	const struct pfs_source *from = l->domain->source->from;

	if (d->owner[number] && d->owner[number] != node)
		d->owner[number]->keeps->number = PFS_NO_TAKER;
	if (d->owner[number] != node) {
		d->owner[number] = node;
		k->number = number;
		k->records = k->bytes = 0;
		if (l->domain->feed.started && from->passed)
			from->passed(l->domain->source->state, number, &k->records, &k->bytes);
	}
	if (!k->used)
		k->since = l->generation;
	k->listed = true;
}

static bool is_wanted(const struct pfs_step *step)
{
	bool wanted = step->queue || step->nclasses > 0;

	if (step->verdict != PFS_VERDICT_NONE)
		return false;
	for (unsigned i = 0; i < step->nchildren && !wanted; i++)
		wanted = step->children[i]->taker == PFS_NO_TAKER;
	return wanted;
}

/* The step and what can be decided below it. */
static void list_step(struct listing *l, struct pfs_step *step, uint32_t above)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_keeps *k = step->node->keeps;
	struct pfs_interest *items = (struct pfs_interest *)d->next.item;
	uint32_t index = (uint32_t)d->next.n++;

	step->taker = k->number;
	step->since = k->since;
	d->next_nodes[index] = step->node;
	l->plan->takers[k->number] = step;
	for (unsigned i = 0; i < step->nchildren; i++) {
		struct pfs_step *child = step->children[i];
		uint16_t number = PFS_NO_TAKER;

		if (learn(child->node, d->next.link_type))
			number = number_for(l, child->node);
		if (number == PFS_NO_TAKER) {
			l->unruled |= pfs_has_verdict(child->node);
			continue;
		}
		number_take(l, child->node, number);
		child->above = step;
		list_step(l, child, index);
	}
	step->wanted = is_wanted(step);
	step->wanted_since = k->used && k->wanted ? k->wanted_since : l->generation;
	items[index] = (struct pfs_interest){
		k->unit,
		above,
		k->number,
		step->wanted,
		step->node->filter && step->node->filter->passed,
		step->verdict,
	};
}

static bool is_same(const struct pfs_interests *a, const struct pfs_interests *b)
{
	if (a->n != b->n || a->link_type != b->link_type)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct pfs_interest *x = &a->item[i], *y = &b->item[i];

		if (x->unit != y->unit || x->above != y->above || x->number != y->number ||
		    x->wanted != y->wanted || x->counted != y->counted || x->verdict != y->verdict)
			return false;
	}
	return true;
}

static void list_free(struct pfs_interests *list, struct pfs_node ***nodes)
{
	free((void *)list->item);
	free(*nodes);
	*nodes = NULL;
	*list = (struct pfs_interests){ .generation = list->generation };
}

static int list_make(struct listing *l)
{
	struct pfs_deciding *d = deciding_of(l);
	struct pfs_node *source = l->domain->source;

	if (!source->keeps)
		source->keeps = pfs_zalloc(1, sizeof(*source->keeps));
	l->plan->takers = pfs_zalloc(PFS_TAKERS_MAX, sizeof(struct pfs_step *));
	d->next.item = pfs_zalloc(PFS_TAKERS_MAX, sizeof(struct pfs_interest));
	d->next_nodes = pfs_zalloc(PFS_TAKERS_MAX, sizeof(struct pfs_node *));
	if (!source->keeps || !l->plan->takers || !d->next.item || !d->next_nodes)
		return -ENOMEM;
	d->next.generation = l->generation;
	d->next.link_type = source->link_type;
	source->keeps->asked = source->keeps->known = true;
	number_take(l, source, 0);
	list_step(l, l->plan->steps[0], 0);
	return l->unruled ? -EOPNOTSUPP : 0;
}

/* --- changes ---------------------------------------------------------------------------------------------- */

/* The books are made up to the moment of the change: what is counted later is counted for those who are there then. */
int pfs_decide_begin(struct pfs_domain *domain, struct pfs_plan *plan)
{
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_source *from = domain->source->from;
	struct listing l = { .domain = domain, .plan = plan, .generation = d->now.generation + 1 };
	int r;

	d->why.text[0] = '\0';
	if (!from->decide)
		return 0;
	pfs_decide_sync(domain);
	list_free(&d->next, &d->next_nodes);
	r = plan ? list_make(&l) : 0;
	if (r == -EOPNOTSUPP)
		pfs_diag_set(&d->why, EOPNOTSUPP,
			     "drop and pass need the kernel to decide, and there are more than %d filters",
			     PFS_TAKERS_MAX - 1);
	if (r == 0 && !d->changed && is_same(&d->now, &d->next))
		return 0;
	d->next.generation = l.generation;
	if (r == 0)
		r = from->decide(domain->source->state, &d->next, &d->why);
	if (r < 0) {
		pfs_decide_cancel(domain);
		return r;
	}
	d->pending = true;
	return 0;
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

void pfs_decide_cancel(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;

	if (!domain->source->from->decide)
		return;
	if (d->pending)
		domain->source->from->decided(domain->source->state, false);
	d->pending = false;
	unlist(d);
	list_free(&d->next, &d->next_nodes);
}

/* The next list is that in force. */
static void enter(struct pfs_deciding *d)
{
	for (size_t i = 0; i < d->now.n; i++) {
		struct pfs_keeps *k = d->now_nodes[i] ? d->now_nodes[i]->keeps : NULL;

		if (k && !k->listed)
			k->used = k->wanted = false;
	}
	for (size_t i = 0; i < d->next.n; i++) {
		struct pfs_keeps *k = d->next_nodes[i]->keeps;
		bool wanted = d->next.item[i].wanted;

		if (wanted && !k->wanted)
			k->wanted_since = d->next.generation;
		k->wanted = wanted;
		k->used = true;
	}
	list_free(&d->now, &d->now_nodes);
	d->now = d->next;
	d->now_nodes = TAKE_PTR(d->next_nodes);
	d->next = (struct pfs_interests){ 0 };
}

void pfs_decide_publish(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;

	if (!domain->source->from->decide)
		return;
	if (d->pending) {
		domain->source->from->decided(domain->source->state, true);
		enter(d);
	}
	d->pending = d->changed = false;
	unlist(d);
	list_free(&d->next, &d->next_nodes);
}

/* It may be in the list in force, which knows it no more. */
static void strike(struct pfs_deciding *d, const struct pfs_node *node)
{
	for (size_t i = 0; i < d->now.n; i++) {
		if (d->now_nodes[i] != node)
			continue;
		d->now_nodes[i] = NULL;
		((struct pfs_interest *)d->now.item)[i].unit = NULL;
		d->changed = true;
	}
}

void pfs_decide_changed(struct pfs_node *node)
{
	struct pfs_keeps *k = node->keeps;
	struct pfs_deciding *d = &node->domain->deciding;

	if (!k)
		return;
	/* Whoever starts by the old list decides nothing. */
	d->changed = true;
	d->now.link_type = PFS_LINK_BYTES;
	unit_free(TAKE_PTR(k->unit));
	k->asked = k->known = false;
}

void pfs_decide_forget(struct pfs_node *node)
{
	struct pfs_keeps *k = node->keeps;
	struct pfs_domain *domain = node->domain;

	if (!k)
		return;
	pfs_decide_sync(domain);
	strike(&domain->deciding, node);
	if (k->number != PFS_NO_TAKER && domain->deciding.owner[k->number] == node)
		domain->deciding.owner[k->number] = NULL;
	unit_free(k->unit);
	free(TAKE_PTR(node->keeps));
}

void pfs_decide_release(struct pfs_domain *domain)
{
	list_free(&domain->deciding.now, &domain->deciding.now_nodes);
	list_free(&domain->deciding.next, &domain->deciding.next_nodes);
}

bool pfs_decides(const struct pfs_node *node)
{
	return node->keeps && node->keeps->used && node->domain->active &&
	       atomic_load(&node->domain->feed.decides);
}

/* --- the books -------------------------------------------------------------------------------------------- */

/* What the source says, less what is in the books already. */
static void take_news(struct pfs_domain *domain, struct pfs_node *node, uint64_t *ret_records,
		      uint64_t *ret_bytes)
{
	struct pfs_keeps *k = node->keeps;
	uint64_t records = k->records, bytes = k->bytes;

	domain->source->from->passed(domain->source->state, k->number, &records, &bytes);
	*ret_records = records - k->records;
	*ret_bytes = bytes - k->bytes;
	k->records = records;
	k->bytes = bytes;
}

static void enter_news(struct pfs_node *node, uint64_t in, uint64_t out, uint64_t bytes)
{
	enum pfs_verdict verdict = node->filter ? node->filter->verdict : PFS_VERDICT_NONE;
	uint64_t passed = out;

	/* That on which it gave its verdict came in. */
	if (verdict != PFS_VERDICT_NONE)
		in = out;
	if (verdict == PFS_VERDICT_DROP)
		out = 0;
	pfs_counter_add(&node->in, in);
	pfs_counter_add(&node->out, out);
	pfs_counter_add(&node->bytes, bytes);
	if (passed && node->filter && node->filter->passed && node->state)
		node->filter->passed(node->state, passed, bytes);
}

/* In order of the list: what came into a filter is what passed the one above it. */
void pfs_decide_sync(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_node *source = domain->source;
	uint64_t passed[PFS_TAKERS_MAX] = { 0 }, bytes;

	if (!domain->feed.started || !source->from->passed)
		return;
	pfs_task_lock(source->task);
	for (size_t i = 0; i < d->now.n; i++) {
		if (!d->now_nodes[i])
			continue;
		take_news(domain, d->now_nodes[i], &passed[i], &bytes);
		enter_news(d->now_nodes[i], passed[d->now.item[i].above], passed[i], bytes);
	}
	/* What a program counted that was just being replaced. */
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++) {
		if (!d->owner[n] || d->owner[n]->keeps->used)
			continue;
		take_news(domain, d->owner[n], &passed[0], &bytes);
		enter_news(d->owner[n], passed[0], passed[0], bytes);
	}
	pfs_task_unlock(source->task);
}

void pfs_decide_restart(struct pfs_domain *domain)
{
	for (unsigned n = 0; n < PFS_TAKERS_MAX; n++) {
		struct pfs_node *node = domain->deciding.owner[n];

		if (node)
			node->keeps->records = node->keeps->bytes = 0;
	}
}
