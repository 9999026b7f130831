/*
 * plan - what runs: built beside the old plan, published, and the old one freed when no thread can be in it
 *
 * Publishing takes the task's run lock for the swap: that is the quiescent point, since a plan is used under this lock
 * only. Inputs are attached before any plan that feeds them is published, and plans are published from the leaves to
 * the source, so that nothing flows past a branch that is about to be there.
 */
#include <sys/mman.h>

#include "graph/graph_i.h"

/* --- domain ------------------------------------------------------------------------------------ */

struct pfs_domain *pfs_domain_ref(struct pfs_domain *domain)
{
	atomic_fetch_add_explicit(&domain->refs, 1, memory_order_relaxed);
	return domain;
}

/* Out of the circle of its kin. */
static void leave_kin(struct pfs_domain *domain)
{
	struct pfs_domain *d;

	pthread_rwlock_wrlock(&domain->graph->places);
	for (d = domain; d->kin != domain; d = d->kin)
		;
	d->kin = domain->kin;
	domain->kin = domain;
	pthread_rwlock_unlock(&domain->graph->places);
}

static bool are_kin(const struct pfs_domain *a, const struct pfs_domain *b)
{
	const struct pfs_domain *d = a;

	do {
		if (d == b)
			return true;
		d = d->kin;
	} while (d != a);
	return false;
}

int pfs_domains_join(struct pfs_domain *a, struct pfs_domain *b)
{
	struct pfs_rings *rings = a->graph->rings;
	int r = pfs_origins_share(rings, &b->origins, &a->origins);

	if (r < 0)
		return r;
	pfs_cursors_merge(a->cursors, b->cursors);
	pthread_rwlock_wrlock(&a->graph->places);
	if (!are_kin(a, b)) {
		struct pfs_domain *next = a->kin;

		a->kin = b->kin;
		b->kin = next;
	}
	atomic_store(&a->stirred, true);
	atomic_store(&b->stirred, true);
	pthread_rwlock_unlock(&a->graph->places);
	return 0;
}

void pfs_domain_unref(struct pfs_domain *domain)
{
	if (!domain || atomic_fetch_sub_explicit(&domain->refs, 1, memory_order_acq_rel) != 1)
		return;
	leave_kin(domain);
	pfs_feed_release(domain);
	pfs_waitlist_release(&domain->space);
	pfs_cursors_unref(domain->cursors);
	pfs_origins_release(domain->graph->rings, &domain->origins);
	pfs_decide_release(domain);
	free(domain);
}

int pfs_domain_new(struct pfs_node *source, struct pfs_domain **ret_domain)
{
	struct pfs_domain *domain = pfs_zalloc(1, sizeof(*domain));
	int r;

	if (!domain)
		return -ENOMEM;
	domain->graph = source->graph;
	domain->source = source;
	domain->kin = domain;
	domain->serial = ++source->graph->next_serial;
	domain->payer = source->payer;
	domain->lossy = source->from->flags & PFS_SOURCE_LOSSY;
	atomic_init(&domain->refs, 1);
	r = pfs_cursors_new(source->graph->rings, &domain->cursors);
	if (r == 0)
		r = pfs_feed_init(domain);
	if (r < 0) {
		pfs_cursors_unref(domain->cursors);
		free(domain);
		return r;
	}
	pfs_waitlist_init(&domain->space);
	*ret_domain = domain;
	return 0;
}

/*
 * Upstream first: what a ring's own reader has not taken yet, then the cursors in order of depth. A ref that moves
 * down between two looks is seen at the second.
 */
uint64_t pfs_domain_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	struct pfs_domain *domain = owner;

	if (ring->floor)
		want = pfs_min64(want, atomic_load((_Atomic uint64_t *)ring->floor));
	return pfs_cursors_limit(domain->cursors, ring, want);
}

/* What was given up is given back first. */
static int charge(struct pfs_graph *graph, uid_t payer, uint64_t bytes)
{
	int r = pfs_due_take(graph, payer, PFS_DUE_MEMORY, bytes);

	if (r < 0) {
		pfs_graph_reap(graph);
		r = pfs_due_take(graph, payer, PFS_DUE_MEMORY, bytes);
	}
	return r;
}

int pfs_domain_ring(struct pfs_domain *domain, uid_t payer, size_t size,
		    const _Atomic uint64_t *floor, struct pfs_ring **ret_ring)
{
	struct pfs_graph *graph = domain->graph;
	int r;

	size = pfs_ring_round(size ? size : graph->options.ring_size);
	r = charge(graph, payer, size);
	if (r < 0)
		return r;
	r = pfs_ring_new(graph->rings, size, pfs_domain_limit, domain, ret_ring);
	if (r < 0) {
		pfs_due_give(graph, payer, PFS_DUE_MEMORY, size);
		return r;
	}
	(*ret_ring)->floor = floor;
	(*ret_ring)->charged = true;
	(*ret_ring)->payer = payer;
	return 0;
}

int pfs_domain_origin(struct pfs_domain *domain, const struct pfs_origin *origin, uint16_t *ret_id)
{
	return pfs_origin_use(domain->graph->rings, &domain->origins, origin, ret_id);
}

void pfs_domain_ring_free(struct pfs_domain *domain, struct pfs_ring *ring)
{
	if (ring->charged)
		pfs_due_give(domain->graph, ring->payer, PFS_DUE_MEMORY, ring->size);
	pfs_ring_free(ring);
}

/* --- task ---------------------------------------------------------------------------------------- */

int pfs_task_new(struct pfs_node *node)
{
	struct pfs_task *task = pfs_zalloc(1, sizeof(*task));
	struct pfs_task **at;

	if (!task)
		return -ENOMEM;
	task->node = node;
	pthread_mutex_init(&task->run, NULL);
	pthread_mutex_init(&task->turn, NULL);
	task->pull_max = PFS_BATCH;
	atomic_init(&task->unflushed, PFS_HOLD_NONE);
	pthread_rwlock_wrlock(&node->graph->places);
	node->task = node->owner = task;
	for (at = &node->domain->tasks; *at; at = &(*at)->next)
		;
	*at = task;
	pthread_rwlock_unlock(&node->graph->places);
	return 0;
}

void pfs_task_free(struct pfs_task *task)
{
	if (!task)
		return;
	assert(!task->plan && !task->input && !task->ticking);
	pfs_ring_retire(task->node->domain, task->ring);
	pthread_mutex_destroy(&task->turn);
	pthread_mutex_destroy(&task->run);
	free(task);
}

/* --- which nodes are wanted -------------------------------------------------------------------------- */

static bool mark_wanted(struct pfs_node *node)
{
	bool wanted = node->readers > 0;
	bool before = node->wanted;

	if (node->filter && (node->filter->flags & (PFS_FILTER_SINK | PFS_FILTER_CONSUMER)))
		wanted = true;
	node->reliable = node->reliable_readers > 0;
	for (struct pfs_node *c = node->children.first; c; c = c->child.next) {
		wanted |= mark_wanted(c);
		node->reliable |= c->reliable;
	}
	/* a view of a removed directory still drains what is queued for it */
	node->wanted = wanted && !atomic_load(&node->dead);
	if (node->wanted && !before) {
		struct pfs_task *owner = node->owner;

		pfs_task_lock(owner);
		atomic_store(&node->ended, false);
		if (node->filter && node->filter->attach && node->state)
			node->filter->attach(node->state);
		pfs_task_unlock(owner);
	}
	node->leaves |= before && !node->wanted;
	if (node->wanted)
		node->leaves = false;
	return node->wanted;
}

/* After the plans without them are out: nobody runs them. */
static void detach_left(struct pfs_node *node)
{
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		detach_left(c);
	if (!node->leaves)
		return;
	node->leaves = false;
	if (!node->filter || !node->filter->detach)
		return;
	pfs_task_lock(node->owner);
	if (node->state)
		node->filter->detach(node->state);
	pfs_task_unlock(node->owner);
}

/* Is there somebody below who takes whatever comes, without opening anything? */
static bool has_standing(const struct pfs_node *node)
{
	bool standing = node->wanted && node->filter &&
			(node->filter->flags & (PFS_FILTER_SINK | PFS_FILTER_CONSUMER));

	for (const struct pfs_node *c = node->children.first; c && !standing; c = c->child.next)
		standing = has_standing(c);
	return standing;
}

int pfs_node_queue(struct pfs_node *node)
{
	size_t size = node->domain->lossy ? PFS_QUEUE_LOSSY : PFS_QUEUE_RELIABLE;
	int r = 0;

	if (node->queue)
		size = node->queue->size;
	if (!node->queue_charged)
		r = charge(node->graph, node->payer, size * sizeof(struct pfs_ref));
	if (r < 0)
		return r;
	node->queue_charged = true;
	if (node->queue)
		return 0;
	/* Of these clients map the queue: share.c. */
	r = node->kind == PFS_NODE_VIEW || pfs_inject_maps(node)
		    ? pfs_queue_new_shared(size, node->domain->cursors, &node->queue)
		    : pfs_queue_new(size, node->domain->cursors, &node->queue);
	if (r < 0) {
		pfs_due_give(node->graph, node->payer, PFS_DUE_MEMORY, size * sizeof(struct pfs_ref));
		node->queue_charged = false;
	}
	return r;
}

void pfs_node_queue_trim(struct pfs_node *node)
{
	if (!node->queue_charged || !pfs_queue_trim(node->queue))
		return;
	pfs_due_give(node->graph, node->payer, PFS_DUE_MEMORY,
		     node->queue->size * sizeof(struct pfs_ref));
	node->queue_charged = false;
}

/* --- building ------------------------------------------------------------------------------------------- */

static void sort_free(struct pfs_sort *sort)
{
	if (!sort)
		return;
	free(sort->first);
	free(sort->last);
	free(sort->count);
	free(sort->touched);
	free(sort);
}

static void step_free(struct pfs_step *step)
{
	if (!step)
		return;
	for (unsigned i = 0; i < step->ntasks; i++)
		pfs_node_unref(step->tasks[i]->node);
	free(step->children);
	free(step->classes);
	free(step->tasks);
	free(step->extra);
	free(step->extra_at);
	free(step->route);
	sort_free(step->sort);
	pfs_node_unref(step->node);
	free(step);
}

void pfs_plan_unref(struct pfs_plan *plan)
{
	if (!plan || atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < plan->nsteps; i++)
		step_free(plan->steps[i]);
	free(plan->steps);
	free(plan->injects);
	free(plan->takers);
	free(plan);
}

static int append(void *array_ptr, unsigned n, void *item)
{
	void ***array = array_ptr;
	void **p;

	if (n && (n & (n - 1))) { /* room up to the next power of two is there */
		(*array)[n] = item;
		return 0;
	}
	p = reallocarray(*array, n ? 2 * (size_t)n : 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p[n] = item;
	*array = p;
	return 0;
}

static int step_build(struct pfs_plan *plan, struct pfs_node *node, struct pfs_step **ret_step);

/* A wanted child: a pulling one is another task, fed by our queue; others are steps of this plan. */
static int step_add_child(struct pfs_plan *plan, struct pfs_step *step, struct pfs_node *child)
{
	struct pfs_step *sub;
	int r;

	if (child->task) {
		r = append(&step->tasks, step->ntasks, child->task);
		if (r < 0)
			return r;
		step->ntasks++;
		step->ncounters += pfs_is_counter(child);
		pfs_node_ref(child);
		return 0;
	}
	r = step_build(plan, child, &sub);
	if (r < 0)
		return r;
	if (child->kind == PFS_NODE_CLASS) {
		r = append(&step->classes, step->nclasses, sub);
		if (r == 0)
			step->nclasses++;
	} else {
		r = append(&step->children, step->nchildren, sub);
		if (r == 0)
			step->nchildren++;
	}
	return r;
}

/* What it takes to bring refs to the classes that are wanted. */
static int step_route(struct pfs_step *step)
{
	size_t n = step->nclasses;
	struct pfs_sort *sort = pfs_zalloc(1, sizeof(*sort));

	if (!sort)
		return -ENOMEM;
	step->sort = sort;
	sort->first = pfs_zalloc(n, sizeof(*sort->first));
	sort->last = pfs_zalloc(n, sizeof(*sort->last));
	sort->count = pfs_zalloc(n, sizeof(*sort->count));
	sort->touched = pfs_zalloc(n, sizeof(*sort->touched));
	for (size_t i = 0; i < n; i++)
		step->nroute = pfs_max(step->nroute, step->classes[i]->node->class_ + 1u);
	step->route = pfs_zalloc(step->nroute, sizeof(*step->route));
	step->extra = pfs_zalloc(PFS_BATCH, sizeof(*step->extra));
	step->extra_at = pfs_zalloc(PFS_BATCH, sizeof(*step->extra_at));
	if (!sort->first || !sort->last || !sort->count || !sort->touched || !step->route ||
	    !step->extra || !step->extra_at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		step->route[step->classes[i]->node->class_] = (uint16_t)(i + 1);
	return 0;
}

static int step_build(struct pfs_plan *plan, struct pfs_node *node, struct pfs_step **ret_step)
{
	struct pfs_step *step = pfs_zalloc(1, sizeof(*step));
	int r;

	if (!step)
		return -ENOMEM;
	step->plan = plan;
	step->taker = PFS_NO_TAKER;
	step->verdict = node->filter ? node->filter->verdict : PFS_VERDICT_NONE;
	plan->rules |= step->verdict != PFS_VERDICT_NONE;
	step->node = pfs_node_ref(node);
	step->em = (struct pfs_emitter){ .rings = node->graph->rings, .step = step };
	r = append(&plan->steps, plan->nsteps, step);
	if (r < 0) {
		step_free(step);
		return r;
	}
	plan->nsteps++;
	for (struct pfs_node *c = node->children.first; c && r == 0; c = c->child.next)
		if (c->wanted)
			r = step_add_child(plan, step, c);
	if (r == 0 && (node->readers > 0 || step->ntasks > 0)) {
		r = pfs_node_queue(node);
		step->queue = node->queue;
		step->read = node->readers > 0 || step->ntasks > step->ncounters;
	}
	if (r == 0 && node->inject) {
		r = append(&plan->injects, plan->ninjects, step);
		if (r == 0)
			plan->ninjects++;
	}
	if (r == 0 && step->nclasses)
		r = step_route(step);
	*ret_step = step;
	return r;
}

static int plan_build(struct pfs_task *task, struct pfs_plan **ret_plan)
{
	struct pfs_plan *plan = pfs_zalloc(1, sizeof(*plan));
	struct pfs_step *root;
	int r;

	if (!plan)
		return -ENOMEM;
	atomic_init(&plan->refs, 1);
	plan->task = task;
	r = step_build(plan, task->node, &root);
	if (r < 0) {
		pfs_plan_unref(plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

/* --- inputs ------------------------------------------------------------------------------------------------ */

static struct pfs_input **last_input(struct pfs_task *task)
{
	struct pfs_input **at = &task->input;

	while (*at && (*at)->next)
		at = &(*at)->next;
	return at;
}

/* Takes the first one off. Run lock. */
static struct pfs_input *first_off(struct pfs_task *task)
{
	struct pfs_input *input = task->input;

	task->input = input->next;
	task->input_lost += pfs_counter_get(&input->cursor.lost);
	pfs_cursor_release(&input->cursor);
	return input;
}

static void input_free(struct pfs_input *input)
{
	if (input)
		pfs_node_unref(input->from);
	free(input);
}

/* Does it read from the node above? Control. */
static bool is_attached(struct pfs_task *task)
{
	struct pfs_input *last = *last_input(task);

	return task->attached && last && last->from == task->node->above;
}

bool pfs_inputs_ready(const struct pfs_task *task)
{
	for (const struct pfs_input *i = task->input; i; i = i->next)
		if (pfs_cursor_ready(&i->cursor))
			return true;
	return false;
}

bool pfs_inputs_next(struct pfs_task *task)
{
	struct pfs_input *input = task->input;

	if (!input->next || pfs_cursor_ready(&input->cursor))
		return false;
	atomic_store(&task->node->graph->spent, true);
	input_free(first_off(task));
	return true;
}

/* What it reads from goes on without it: it gets what is there now and no more. Nothing is pushed there. */
static void inputs_end(struct pfs_task *task)
{
	struct pfs_input **last;

	pfs_task_lock(task);
	last = last_input(task);
	if (task->attached && pfs_cursor_ready(&(*last)->cursor)) {
		pfs_cursor_end(&(*last)->cursor);
	} else if (task->attached) {
		struct pfs_input *input = *last;

		assert(input); /* attached */
		*last = NULL;
		task->input_lost += pfs_counter_get(&input->cursor.lost);
		pfs_cursor_release(&input->cursor);
		pfs_node_queue_trim(input->from);
		input_free(input);
	}
	task->attached = false;
	pfs_task_unlock(task);
}

unsigned pfs_inputs_count(struct pfs_task *task)
{
	unsigned n = 0;

	pfs_task_lock(task);
	for (const struct pfs_input *i = task->input; i; i = i->next)
		n++;
	pfs_task_unlock(task);
	return n;
}

/* --- publishing -------------------------------------------------------------------------------------------- */

struct pfs_change {
	struct pfs_task *task;
	struct pfs_plan *plan;	 /* new */
	struct pfs_input *input; /* new, should it need one */
};

static bool task_wanted(const struct pfs_task *task)
{
	return task->node->wanted;
}

/* A view whose directory was removed keeps its input until its readers have drained it. */
static bool task_drains(const struct pfs_task *task)
{
	return task->node->kind == PFS_NODE_VIEW && atomic_load(&task->node->dead) &&
	       task->node->readers > 0;
}

/*
 * Behind what cannot wait a pulling filter may be lapped, unless a reliable reader depends on it. Nothing is pushed
 * above while the cursor attaches.
 */
static void attach_input(struct pfs_change *change)
{
	struct pfs_task *task = change->task;
	struct pfs_node *node = task->node, *above = node->above;
	bool reliable = !node->domain->lossy || node->reliable;
	struct pfs_input *input = change->input;

	if (!above || !task_wanted(task))
		return;
	if (!is_attached(task)) {
		inputs_end(task); /* it was moved */
		input->from = pfs_node_ref(above);
		pfs_task_lock(above->owner);
		pfs_cursor_init(&input->cursor, above->queue, above->depth * 2, reliable);
		task->input_first = atomic_load(&input->cursor.records);
		pfs_task_unlock(above->owner);
	}
	pfs_task_lock(task);
	if (!task->attached) {
		struct pfs_input **last = last_input(task);

		*(*last ? &(*last)->next : last) = TAKE_PTR(change->input);
	}
	task->attached = true;
	for (struct pfs_input *i = task->input; i; i = i->next)
		pfs_cursor_set_reliable(&i->cursor, reliable);
	pfs_task_unlock(task);
}

static void detach_input(struct pfs_task *task)
{
	pfs_task_lock(task);
	while (task->input) {
		struct pfs_input *input = first_off(task);

		pfs_node_queue_trim(input->from);
		input_free(input);
	}
	task->attached = false;
	pfs_task_unlock(task);
}

void pfs_task_retire(struct pfs_task *task)
{
	struct pfs_domain *domain = task->node->domain;
	struct pfs_plan *old;

	pthread_rwlock_wrlock(&domain->graph->places);
	for (struct pfs_task **at = &domain->tasks; *at; at = &(*at)->next) {
		if (*at == task) {
			*at = task->next;
			break;
		}
	}
	pthread_rwlock_unlock(&domain->graph->places);
	detach_input(task);
	pfs_task_lock(task);
	old = TAKE_PTR(task->plan);
	pfs_task_unlock(task);
	pfs_plan_unref(old);
}

static void publish(struct pfs_change *change)
{
	struct pfs_task *task = change->task;
	struct pfs_plan *old;

	pfs_task_lock(task);
	old = task->plan;
	task->plan = change->plan;
	task->left |= !task->plan && task->begun;
	if (!task->plan) {
		pfs_ring_retire(task->node->domain, TAKE_PTR(task->ring));
		atomic_store_explicit(&task->ring_size, 0, memory_order_relaxed);
	}
	pfs_task_unlock(task);
	change->plan = NULL;
	pfs_plan_unref(old);
}

static int deeper_first(const void *a, const void *b)
{
	const struct pfs_change *x = a, *y = b;

	return x->task->node->depth < y->task->node->depth ? 1 : -1;
}

static int build(struct pfs_change *change)
{
	struct pfs_task *task = change->task;

	if (!task_wanted(task))
		return 0;
	if (task->node->above && !is_attached(task)) {
		change->input = pfs_zalloc(1, sizeof(*change->input));
		if (!change->input)
			return -ENOMEM;
	}
	return plan_build(task, &change->plan);
}

static void replan_free(struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++) {
		pfs_plan_unref(replan->changes[i].plan);
		free(replan->changes[i].input); /* not attached */
	}
	free(TAKE_PTR(replan->changes));
	replan->n = 0;
}

void pfs_replan_cancel(struct pfs_replan *replan)
{
	if (replan->n)
		pfs_decide_cancel(replan->domain);
	replan_free(replan);
}

/* The source's, among the new plans; NULL: nobody is there. */
static struct pfs_plan *plan_of_source(const struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++)
		if (replan->changes[i].task == replan->domain->source->task)
			return replan->changes[i].plan;
	return NULL;
}

int pfs_replan_begin(struct pfs_domain *domain, struct pfs_replan *ret_replan)
{
	struct pfs_replan replan = { .domain = domain };
	size_t n = 0;
	int r = 0;

	domain->active = mark_wanted(domain->source);
	atomic_store(&domain->standing, has_standing(domain->source));
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		n++;
	replan.changes = pfs_zalloc(n, sizeof(*replan.changes));
	if (!replan.changes)
		return -ENOMEM;
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		replan.changes[replan.n++].task = t;
	qsort(replan.changes, n, sizeof(*replan.changes), deeper_first);
	for (size_t i = 0; i < n && r == 0; i++)
		r = build(&replan.changes[i]);
	if (r == 0)
		r = pfs_decide_begin(domain, plan_of_source(&replan));
	if (r < 0)
		replan_free(&replan);
	else
		*ret_replan = replan;
	return r;
}

/* Queues that were left by their last cursor while nobody held the control lock. */
static void trim_all(struct pfs_node *node)
{
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		trim_all(c);
	pfs_node_queue_trim(node);
}

int pfs_replan_publish(struct pfs_replan *replan)
{
	struct pfs_domain *domain = replan->domain;
	int r;

	for (size_t i = 0; i < replan->n; i++)
		attach_input(&replan->changes[i]);
	for (size_t i = 0; i < replan->n; i++)
		if (!task_drains(replan->changes[i].task))
			publish(&replan->changes[i]);
	for (size_t i = 0; i < replan->n; i++) {
		struct pfs_task *task = replan->changes[i].task;

		if (!task_wanted(task) && !task_drains(task))
			detach_input(task);
	}
	r = pfs_decide_publish(domain);
	pfs_tally_watch(domain);
	replan_free(replan); /* what is left of it */
	detach_left(domain->source);
	if (atomic_exchange(&domain->graph->spent, false)) {
		trim_all(domain->graph->root);
		trim_all(domain->graph->common);
	}
	return r;
}

int pfs_domain_replan(struct pfs_domain *domain)
{
	struct pfs_replan replan;
	int r = pfs_replan_begin(domain, &replan);

	if (r == 0)
		r = pfs_replan_publish(&replan);
	if (!domain->active)
		pfs_feed_end(domain);
	return r;
}
