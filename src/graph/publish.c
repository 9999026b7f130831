/*
 * publish - plans are built beside the old ones and published; the old ones are freed when no thread can be in them
 *
 * Publishing takes the task's run lock for the swap: that is the quiescent point, since a plan is used under this lock
 * only. Inputs are attached before any plan that feeds them is published, and plans are published from the leaves to
 * the source, so that nothing flows past a branch that is about to be there.
 */
#include "graph/graph_i.h"

struct pfs_change {
	struct pfs_task *task;
	struct pfs_plan *plan;	 /* owned: the new one; once published, the old one */
	struct pfs_input *input; /* owned: if it needs one */
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

static int deeper_first(const void *a, const void *b)
{
	const struct pfs_change *x = a, *y = b;

	return x->task->node->depth < y->task->node->depth ? 1 : -1;
}

static int change_build(struct pfs_change *change)
{
	struct pfs_task *task = change->task;
	int r = 0;

	if (!task_wanted(task))
		return 0;
	if (task->node->above && !task->attached)
		r = pfs_input_new(&change->input);
	return r < 0 ? r : pfs_plan_build(task, &change->plan);
}

int pfs_replan_build(struct pfs_domain *domain, struct pfs_replan *replan)
{
	size_t n = 0;
	int r = 0;

	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		n++;
	replan->changes = pfs_zalloc(n, sizeof(*replan->changes));
	if (!replan->changes)
		return -ENOMEM;
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		replan->changes[replan->n++].task = t;
	qsort(replan->changes, n, sizeof(*replan->changes), deeper_first);
	for (size_t i = 0; i < n && r == 0; i++)
		r = change_build(&replan->changes[i]);
	return r;
}

void pfs_replan_release(struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++) {
		pfs_plan_unref(replan->changes[i].plan);
		pfs_input_free(replan->changes[i].input);
	}
	free(replan->changes);
	*replan = (struct pfs_replan){ 0 };
}

/*
 * Behind what cannot wait a pulling filter may be lapped, unless a reliable reader depends on it. Run locks of the task
 * and of the one above are held: nothing is pushed there while the cursor attaches.
 */
static void attach_input(struct pfs_change *change)
{
	struct pfs_task *task = change->task;
	struct pfs_node *node = task->node;
	bool reliable = !node->domain->lossy || node->reliable;

	if (!task_wanted(task) || !node->above)
		return;
	if (task->attached)
		pfs_cursor_set_reliable(&pfs_input_last(task)->cursor, reliable);
	else
		pfs_input_attach(task, TAKE_PTR(change->input), reliable);
}

/* Run lock. The old plan takes the new one's place. */
static void publish(struct pfs_change *change)
{
	struct pfs_task *task = change->task;
	struct pfs_plan *old = task->plan;

	task->plan = change->plan;
	task->left |= !task->plan && task->begun;
	if (!task->plan)
		pfs_ring_retire(task->node->domain, TAKE_PTR(task->ring));
	change->plan = old;
}

static bool is_over(const struct pfs_change *change)
{
	return !task_wanted(change->task) && !task_drains(change->task);
}

void pfs_replan_publish(struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++)
		attach_input(&replan->changes[i]);
	for (size_t i = 0; i < replan->n; i++)
		if (!task_drains(replan->changes[i].task))
			publish(&replan->changes[i]);
	for (size_t i = 0; i < replan->n; i++)
		if (is_over(&replan->changes[i]))
			pfs_inputs_drop(replan->changes[i].task);
}

void pfs_replan_wake(struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++)
		if (replan->changes[i].plan)
			pfs_plan_wake(replan->changes[i].plan);
}

void pfs_domain_stop(struct pfs_domain *domain)
{
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		pfs_task_lock(t);
}

void pfs_domain_go(struct pfs_domain *domain)
{
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		pfs_task_unlock(t);
}

/* One after the other, so that nobody is stopped who has nothing to do with it. */
static void publish_each(struct pfs_replan *replan)
{
	for (size_t i = 0; i < replan->n; i++) {
		struct pfs_task *task = replan->changes[i].task;
		struct pfs_task *above = pfs_task_above(task);

		if (above)
			pfs_task_lock(above);
		pfs_task_lock(task);
		attach_input(&replan->changes[i]);
		pfs_task_unlock(task);
		if (above)
			pfs_task_unlock(above);
	}
	for (size_t i = 0; i < replan->n; i++) {
		struct pfs_change *change = &replan->changes[i];

		if (task_drains(change->task))
			continue;
		pfs_task_lock(change->task);
		publish(change);
		pfs_task_unlock(change->task);
	}
	for (size_t i = 0; i < replan->n; i++) {
		struct pfs_change *change = &replan->changes[i];

		if (!is_over(change))
			continue;
		pfs_task_lock(change->task);
		pfs_inputs_drop(change->task);
		pfs_task_unlock(change->task);
	}
}

int pfs_domain_replan(struct pfs_domain *domain)
{
	PFS_CLEANUP(pfs_replan_release) struct pfs_replan replan = { 0 };
	int r;

	pfs_domain_mark(domain);
	r = pfs_replan_build(domain, &replan);
	if (r == 0)
		publish_each(&replan);
	domain->graph->generation++;
	if (!domain->active)
		pfs_feed_stop(domain);
	pfs_bonds_undo(domain->graph, false);
	return r;
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
	pfs_task_lock(task);
	pfs_inputs_drop(task);
	old = TAKE_PTR(task->plan);
	pfs_task_unlock(task);
	pfs_plan_unref(old);
}
