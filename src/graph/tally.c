#include "graph/tally.h"

#include "graph/graph_i.h"

#define LOOK UINT64_C(1000000000)    /* ns: every= has whole seconds */
#define LOOK_BUSY UINT64_C(10000000) /* somebody else is changing the tree */

bool pfs_is_counter(const struct pfs_node *node)
{
	return node->pulls && node->filter && node->filter->passed;
}

/* --- putting down and taking ---------------------------------------------------------------------- */

static void put_down(struct pfs_task *task, const struct pfs_tally *tally)
{
	atomic_fetch_add_explicit(&task->told.bytes, tally->bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&task->told.wire, tally->wire, memory_order_relaxed);
	/* Release: pairs with the exchange in pfs_tally_take(), which then finds the bytes of these as well. */
	atomic_fetch_add_explicit(&task->told.records, tally->records, memory_order_release);
}

void pfs_tally_children(const struct pfs_node *dir, const struct pfs_tally *tally)
{
	for (const struct pfs_node *c = dir->children.first; c && tally->records; c = c->child.next)
		if (pfs_is_counter(c) && c->task && c->task->attached)
			put_down(c->task, tally);
}

void pfs_tally_step(const struct pfs_step *step, const struct pfs_tally *tally)
{
	for (unsigned i = 0; i < step->ntasks && tally->records; i++)
		if (pfs_is_counter(step->tasks[i]->node))
			put_down(step->tasks[i], tally);
}

void pfs_tally_take(struct pfs_task *task)
{
	struct pfs_node *node = task->node;
	struct pfs_tally tally;

	if (!atomic_load_explicit(&task->told.records, memory_order_relaxed))
		return;
	/* Acquire: pairs with put_down(). */
	tally.records = atomic_exchange_explicit(&task->told.records, 0, memory_order_acquire);
	tally.bytes = atomic_exchange_explicit(&task->told.bytes, 0, memory_order_relaxed);
	tally.wire = atomic_exchange_explicit(&task->told.wire, 0, memory_order_relaxed);
	pfs_counter_add(&node->in, tally.records);
	if (node->state)
		node->filter->passed(node->state, &tally);
}

/* --- looking ---------------------------------------------------------------------------------------- */

/* Does somebody get its lines? */
static bool is_read(const struct pfs_node *node)
{
	bool read = node->readers > 0;

	for (const struct pfs_node *c = node->children.first; c && !read; c = c->child.next)
		read = c->wanted;
	return read;
}

/* Its filter is called, although nothing has come. */
static void wake(struct pfs_task *task)
{
	pfs_task_lock(task);
	task->due = pfs_clock_mono();
	pfs_task_unlock(task);
	pfs_kick(task);
}

void pfs_tally_sync(struct pfs_domain *domain)
{
	for (struct pfs_task *t = domain->tasks; t; t = t->next) {
		if (!pfs_is_counter(t->node) || !atomic_load(&t->told.records))
			continue;
		pfs_task_lock(t);
		pfs_tally_take(t);
		pfs_task_unlock(t);
	}
}

/* Tells the readers of the domain's counters. False: there are none. */
static bool look_at(struct pfs_domain *domain)
{
	bool any = false;

	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		any |= t->attached && pfs_is_counter(t->node) && is_read(t->node);
	if (any)
		pfs_decide_sync(domain);
	for (struct pfs_task *t = domain->tasks; t && any; t = t->next)
		if (t->attached && pfs_is_counter(t->node) && is_read(t->node))
			wake(t);
	return any;
}

static bool look_below(struct pfs_node *node)
{
	bool any = false;

	if (node->kind == PFS_NODE_SOURCE)
		return node->from->decide && node->domain->active && look_at(node->domain);
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		any |= look_below(c);
	return any;
}

static uint64_t look(void *arg)
{
	struct pfs_graph *graph = arg;
	bool outermost, any;

	/* The ticker has others to serve than who holds this. */
	if (pthread_mutex_trylock(&graph->control) != 0)
		return pfs_clock_mono() + LOOK_BUSY;
	outermost = pfs_work_begin(); /* who is woken runs when the lock was given up */
	any = look_below(graph->root);
	any |= look_below(graph->common);
	pthread_mutex_unlock(&graph->control);
	pfs_work_end(outermost);
	return any ? pfs_clock_mono() + LOOK : UINT64_MAX;
}

void pfs_tally_watch(struct pfs_domain *domain)
{
	struct pfs_graph *graph = domain->graph;
	bool any = false;

	if (!domain->source->from->decide)
		return;
	for (struct pfs_task *t = domain->tasks; t && !any; t = t->next)
		any = t->attached && pfs_is_counter(t->node) && is_read(t->node);
	if (any)
		pfs_ticker_chore(graph->ticker, PFS_CHORE_TALLY, look, graph, pfs_clock_mono() + LOOK);
}
