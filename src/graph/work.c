/*
 * work - who runs what
 *
 * A task is run in rounds under its run lock. A thread that wants it run while another is at it leaves a mark
 * (requests) and goes its way. What a round makes possible (pulling filters below, tasks that waited for room above)
 * goes onto the thread's own work list, which the outermost pfs_kick() empties: no recursion, however deep the tree.
 *
 * A task that finds no room says so in `stalled` *before* it looks at the holds; whoever lets go of a hold looks at
 * `stalled` afterwards (pfs_moved_on).
 *
 * A thread that others keep busy would never come back. Who brings data may well be held up, since that is what makes
 * him wait for the readers; who only changed the tree hands over to the ticker's thread after a while.
 */
#include "graph/graph_i.h"

#define WORK_SHORT UINT64_C(5000000) /* ns */

/* The tasks this thread still has to run. Thread-local: each is on one thread's list at most (task->queued). */
static _Thread_local struct {
	bool draining;
	uint64_t until; /* mono ns; then the ticker takes over. 0: never */
	struct pfs_task *first, **last;
} work;

/* --- kicks -------------------------------------------------------------------------------- */

static void work_add(struct pfs_task *task)
{
	if (atomic_exchange(&task->queued, true))
		return; /* on some thread's list and not started yet */
	pfs_node_ref(task->node);
	task->work_next = NULL;
	*work.last = task;
	work.last = &task->work_next;
}

void pfs_plan_wake(struct pfs_plan *plan)
{
	for (unsigned i = 0; i < plan->nsteps; i++) {
		struct pfs_step *step = plan->steps[i];

		if (!step->queue || !atomic_exchange(&step->touched, false))
			continue;
		for (unsigned t = 0; t < step->ntasks; t++)
			pfs_kick(step->tasks[t]);
		pfs_wait_wake(&step->queue->waiters);
	}
}

static void kick_if_stalled(struct pfs_task *task)
{
	if (atomic_load(&task->stalled))
		pfs_kick(task);
}

static void kick_stalled(struct pfs_domain *domain)
{
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		kick_if_stalled(t);
}

/* Domains whose `space` somebody waits for. */
struct waited_for {
	struct pfs_domain *domain[16]; /* references */
	unsigned n, skip;
};

static void waited_for_add(struct waited_for *list, struct pfs_domain *domain)
{
	if (!atomic_load(&domain->space.count))
		return;
	if (list->skip)
		list->skip--;
	else if (list->n < ARRAY_SIZE(list->domain))
		list->domain[list->n++] = pfs_domain_ref(domain);
}

/*
 * Below its own place a node holds up the tasks above it; what was moved may hold up some where it was before. Places are
 * held for reading, so kicks are only noted.
 */
static void look_for_waiting(struct pfs_node *node, bool task, struct waited_for *list)
{
	struct pfs_graph *graph = node->graph;

	pthread_rwlock_rdlock(&graph->places);
	for (struct pfs_task *t = task ? pfs_task_above(node->task) : node->owner; t;
	     t = pfs_task_above(t))
		kick_if_stalled(t);
	if (atomic_load(&node->domain->stirred))
		kick_stalled(node->domain);
	waited_for_add(list, node->domain);
	for (struct pfs_bond *b = graph->bonds; b; b = b->next) {
		if (b->to != node->domain)
			continue;
		kick_stalled(b->from);
		waited_for_add(list, b->from);
	}
	pthread_rwlock_unlock(&graph->places);
}

void pfs_moved_on(struct pfs_node *node, bool task)
{
	struct waited_for list = { .n = 0 };
	bool outermost = pfs_work_begin();
	unsigned done = 0;

	/* Twin: stalled is stored before the holds are looked at, in task_round(). */
	atomic_thread_fence(memory_order_seq_cst);
	do {
		list.n = 0;
		list.skip = done;
		look_for_waiting(node, task, &list);
		for (unsigned i = 0; i < list.n; i++) {
			pfs_wait_wake(&list.domain[i]->space);
			pfs_domain_unref(list.domain[i]);
		}
		done += list.n;
	} while (list.n == ARRAY_SIZE(list.domain));
	pfs_work_end(outermost);
}

void pfs_gate_open(struct pfs_node *node)
{
	bool outermost = pfs_work_begin();
	struct pfs_graph *graph = node->graph;

	pthread_rwlock_rdlock(&graph->places);
	for (; node; node = node->above)
		if (node->task && atomic_exchange(&node->task->gated, false))
			pfs_kick(node->task);
	pthread_rwlock_unlock(&graph->places);
	pfs_work_end(outermost);
}

void pfs_kick_owner(struct pfs_node *node)
{
	bool outermost = pfs_work_begin();

	pthread_rwlock_rdlock(&node->graph->places);
	if (node->owner)
		pfs_kick(node->owner);
	pthread_rwlock_unlock(&node->graph->places);
	pfs_work_end(outermost);
}

/* --- rounds ------------------------------------------------------------------------------- */

void pfs_task_settle(struct pfs_task *task, uint64_t until)
{
	bool progress = true;

	while (task->plan && progress && pfs_clock_mono() < until)
		pfs_task_batches(task, &progress);
}

/* A bounded run of the task. True: there is more to do at once. */
static bool task_round(struct pfs_task *task)
{
	struct pfs_node *node = task->node;
	struct pfs_plan *plan;
	bool moved, progress;

	pfs_task_lock(task);
	plan = task->plan;
	if (!plan) {
		pfs_task_unlock(task);
		return false;
	}
	atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
	/* Twin: the holds are let go of before stalled is looked at, in pfs_moved_on(). */
	atomic_store(&task->stalled, true);
	atomic_thread_fence(memory_order_seq_cst);
	moved = pfs_task_batches(task, &progress);
	pfs_task_unlock(task);
	pfs_plan_wake(plan);
	pfs_plan_unref(plan);
	if (moved)
		pfs_moved_on(node, true);
	if (moved && atomic_load(&node->dead) && node->queue)
		pfs_wait_wake(&node->queue->waiters); /* a view has drained: its readers are at the end */
	return progress;
}

/* The ticker runs it as soon as it can. */
static bool hand_over(struct pfs_task *task)
{
	pfs_task_lock(task);
	if (task->plan)
		pfs_ticker_add(task->node->graph->ticker, task, 0, -1);
	pfs_task_unlock(task);
	return false;
}

static void task_run(struct pfs_task *task)
{
	unsigned seen;

	if (atomic_fetch_add(&task->requests, 1) != 0)
		return; /* the thread that is at it will look again */
	do {
		seen = atomic_load(&task->requests);
		if (work.until && pfs_clock_mono() > work.until ? hand_over(task) : task_round(task)) {
			/* let those below take their part before more is made for them */
			atomic_store(&task->requests, 0);
			pfs_kick(task);
			return;
		}
	} while (atomic_fetch_sub(&task->requests, seen) != seen);
}

bool pfs_work_begin(void)
{
	if (work.draining)
		return false;
	work.draining = true;
	work.until = 0;
	work.last = &work.first;
	return true;
}

bool pfs_work_begin_short(void)
{
	bool outermost = pfs_work_begin();

	if (outermost)
		work.until = pfs_clock_mono() + WORK_SHORT;
	return outermost;
}

void pfs_work_end(bool outermost)
{
	while (outermost && work.first) {
		struct pfs_task *task = work.first;
		struct pfs_node *node = task->node;

		work.first = task->work_next;
		if (!work.first)
			work.last = &work.first;
		/* An exchange: it sees what was done before the kick that found the task queued. */
		atomic_exchange(&task->queued, false);
		task_run(task);
		pfs_node_unref(node);
	}
	if (outermost)
		work.draining = false;
}

void pfs_kick(struct pfs_task *task)
{
	bool outermost = pfs_work_begin();

	work_add(task);
	pfs_work_end(outermost);
}
