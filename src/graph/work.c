/*
 * work - tasks: what their inputs have, in rounds
 *
 * A task is run in rounds under its run lock. A thread that wants it run while another is at it leaves a mark
 * (requests) and goes its way. What a round makes possible (pulling filters below, tasks that waited for room above)
 * goes onto the thread's own work list, which the outermost pfs_kick() empties: no recursion, however deep the tree.
 *
 * Room: nothing is run that could not be pushed into every queue of the plan. A task that finds no room says so in
 * `stalled` *before* it looks at the holds; whoever lets go of a hold looks at `stalled` afterwards (pfs_moved_on).
 *
 * A thread that others keep busy would never come back. Who brings data may well be held up, since that is what makes
 * him wait for the readers; who only changed the tree hands over to the ticker's thread after a while.
 */
#include "graph/graph_i.h"

#define ROUND_BATCHES 64 /* then others get their turn, ... */
#define ROUND_TIME \
	UINT64_C(2000000) /* ... or after so many ns: a filter may take long for a batch */
#define PULL_BYTES ((size_t)1 << 20)
#define REFUSED_RETRY UINT64_C(100000000) /* ns */

/* The tasks this thread still has to run. Thread-local: each is on one thread's list at most (task->queued). */
static _Thread_local struct {
	bool draining;
	uint64_t until; /* mono ns; then the ticker takes over. 0: never */
	struct pfs_task *first, **last;
} work;

/* --- inputs ----------------------------------------------------------------------------------------- */

/* What one look at an input said. */
enum step_result { IDLE, PROGRESS, BLOCKED };

struct pfs_ref pfs_control_ref(unsigned flags, uint32_t number)
{
	return (struct pfs_ref){
		.len = number, /* a control ref has no bytes: this is where its stream or generation is told */
		.flags = (uint8_t)(flags & PFS_REF_CONTROL),
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
	};
}

struct pfs_ref pfs_control_end(uint64_t serial, uint32_t generation)
{
	struct pfs_ref ref = pfs_control_ref(PFS_REF_EOF, generation);

	ref.pos = serial; /* likewise */
	return ref;
}

/*
 * Before the end is given, so that who sees it and reads on finds the gate closed and opens it. Once for a
 * generation: its end comes twice where processes write at several depths, and who read on after the first does not
 * see the second.
 */
static void gate_close(struct pfs_step *step, const struct pfs_ref *ref)
{
	struct pfs_task *task = step->plan->task;

	if (!(ref->flags & PFS_REF_EOF) ||
	    (ref->pos == task->gate_serial && (int32_t)(ref->len - task->gate_generation) <= 0))
		return;
	task->gate_serial = ref->pos;
	task->gate_generation = ref->len;
	atomic_store(&task->gated, true);
}

/*
 * The end of a generation whose readers took all of it and left before it was ended is nobody's: who comes later
 * waits for the next one.
 */
static bool end_is_stale(struct pfs_task *task, const struct pfs_ref *ref)
{
	bool stale = task->left || (ref->len && ref->len == task->stale_generation);

	if (!(ref->flags & PFS_REF_EOF))
		return false;
	if (stale)
		task->stale_generation =
			ref->len; /* it comes twice where processes write at several depths */
	task->begun = task->left = false;
	return stale;
}

bool pfs_gate_closed(const struct pfs_task *task)
{
	return atomic_load(&task->gated) && !atomic_load(&task->node->domain->standing);
}

void pfs_gate_open(struct pfs_node *node)
{
	struct pfs_graph *graph = node->graph;
	bool outermost = pfs_work_begin();

	pthread_rwlock_rdlock(&graph->places);
	for (; node; node = node->above)
		if (node->task && atomic_exchange(&node->task->gated, false))
			pfs_kick(node->task);
	pthread_rwlock_unlock(&graph->places);
	pfs_work_end(outermost);
}

static void inject_control(struct pfs_step *step, const struct pfs_ref *ref)
{
	if (end_is_stale(step->plan->task, ref))
		return;
	gate_close(step, ref);
	pfs_step_control(step, ref);
}

/* Ends that found no room in the ring come after everything in it. */
static enum step_result inject_ends(struct pfs_step *step, struct pfs_inject *inject)
{
	struct pfs_ref ref = { 0 };

	pthread_mutex_lock(&inject->lock);
	if (!inject->ring || atomic_load(&inject->scan) == atomic_load(&inject->ring->head))
		pfs_inject_take_end(inject, &ref);
	pthread_mutex_unlock(&inject->lock);
	if (!ref.flags)
		return IDLE;
	inject_control(step, &ref);
	return PROGRESS;
}

/* Runs what was written into this step's directory. */
static enum step_result run_inject(struct pfs_step *step)
{
	struct pfs_inject *inject = step->node->inject;
	struct pfs_ring *ring = inject->ring;
	struct pfs_ref *batch = step->plan->task->batch;
	uint64_t pos = atomic_load_explicit(&inject->scan, memory_order_relaxed);
	struct pfs_record *rec = ring ? pfs_ring_scan(ring, &pos) : NULL;
	size_t room, n = 0, bytes = 0;

	if (!rec && !atomic_load(&inject->owed)) {
		pfs_inject_rest(inject);
		return IDLE;
	}
	if (pfs_gate_closed(step->plan->task))
		return IDLE;
	room = pfs_plan_room(step->plan, PFS_BATCH);
	if (room == 0)
		return BLOCKED;
	if (!rec)
		return inject_ends(step, inject);
	if (rec->flags & PFS_REF_CONTROL) {
		struct pfs_ref ref = pfs_control_ref(rec->flags, rec->stream);

		if (rec->flags & PFS_REF_EOF)
			ref = pfs_control_end(rec->time, rec->stream);
		inject_control(step, &ref);
		pos += rec->size;
	} else {
		step->plan->task->begun = true;
		step->plan->task->left = false;
		for (; rec && n < room && !(rec->flags & PFS_REF_CONTROL);
		     rec = pfs_ring_scan(ring, &pos)) {
			batch[n++] = pfs_ref_of_record(ring, rec, pos);
			bytes += rec->len;
			pos += rec->size;
		}
		pfs_counter_add(&inject->records, n);
		pfs_counter_add(&inject->bytes, bytes);
		pfs_counter_add(&step->node->in, n);
		pfs_step_deliver(step, batch, n);
	}
	/* Twin: pfs_domain_limit() reads scan before it looks at the cursors. */
	atomic_store(&inject->scan, pos);
	return PROGRESS;
}

static bool passes_stream_end(const struct pfs_filter *filter)
{
	return filter->out == PFS_FLOW_SAME || filter->out == PFS_FLOW_BYTES;
}

static void wait_for(struct pfs_task *task, uint64_t wait)
{
	struct pfs_node *node = task->node;
	bool async = node->filter->flags & PFS_FILTER_ASYNC;
	int fd = -1;

	if ((async || wait == UINT64_MAX) && node->state && node->filter->ready_fd)
		fd = node->filter->ready_fd(node->state);
	pfs_ticker_add(node->graph->ticker, task,
		       wait == UINT64_MAX ? UINT64_MAX : pfs_clock_mono() + wait, fd);
}

/* A control ref at the head of the input. Room for at least one record is there. */
static enum step_result pull_control(struct pfs_task *task, const struct pfs_ref *ref, size_t room)
{
	struct pfs_step *step = task->plan->steps[0];
	const struct pfs_filter *filter = step->node->filter;
	struct pfs_meta meta = { .stream = ref->len, .time = ref->pos };
	bool done = true;

	step->em.room = room - 1; /* one for the control ref itself */
	step->em.wait = 0;
	step->emitted = false;
	step->refused = NULL;
	if (filter->control && step->node->state)
		done = filter->control(step->node->state, ref, &meta, &step->em);
	pfs_step_flush(step);
	if (!done && step->refused) { /* what it wants to say will never fit: the end passes without */
		pfs_node_lost(step->node, step->refused, 1);
		done = true;
	}
	if (!done) {
		pfs_cursor_unpin(&task->input->cursor, 0);
		if (!step->emitted && step->em.wait)
			wait_for(task, step->em.wait);
		return step->emitted ? PROGRESS : BLOCKED;
	}
	if (ref->flags & PFS_REF_EOF) {
		atomic_store(&step->node->ended, false);
		pfs_step_control(step, ref);
	} else if (passes_stream_end(filter)) {
		pfs_step_control(step, ref);
	}
	pfs_cursor_unpin(&task->input->cursor, 1);
	return PROGRESS;
}

/* The filter wants to be called by then, if it is not sooner for another reason. */
static void call_later(struct pfs_task *task, uint64_t wait)
{
	if (!wait)
		return;
	task->due = pfs_clock_mono() + wait;
	pfs_ticker_add(task->node->graph->ticker, task, task->due, -1);
}

/* Nothing is there; but has the time come for which it asked? */
static enum step_result run_due(struct pfs_task *task)
{
	struct pfs_step *step = task->plan->steps[0];
	struct pfs_node *node = step->node;
	uint64_t wait = 0;

	if (!task->due || pfs_clock_mono() < task->due)
		return IDLE;
	step->em.room = pfs_plan_room(task->plan, PFS_BATCH);
	if (step->em.room == 0)
		return BLOCKED;
	task->due = 0;
	step->refused = NULL;
	if (node->state && !atomic_load(&node->ended))
		node->filter->pull(node->state, NULL, 0, &step->em, &wait);
	assert(!step->pending);
	pfs_step_flush(step);
	call_later(task, wait);
	return PROGRESS;
}

/* How many of the refs are for one pull: up to a control ref, and no more bytes than it can deal with in time. */
static size_t pull_len(const struct pfs_ref *refs, size_t n)
{
	size_t bytes = n > 0 ? refs[0].len : 0, i;

	for (i = 1; i < n && !(refs[i].flags & PFS_REF_CONTROL); i++) {
		bytes += refs[i].len;
		if (bytes > PULL_BYTES)
			break;
	}
	return pfs_min(i, n);
}

/*
 * What the filter makes of n refs. Few are given to one that takes long, so that a round comes to its end, and to one
 * that has no room for more: behind a reader who makes room for one at a time, looking at all is most of the work.
 */
static size_t pull(struct pfs_task *task, struct pfs_step *step, size_t n, uint64_t *wait)
{
	struct pfs_node *node = step->node;
	bool async = node->filter->flags & PFS_FILTER_ASYNC;
	uint64_t start, took;
	size_t used;

	if (!node->state || (atomic_load(&node->ended) && !async))
		return n;
	start = pfs_clock_mono();
	used = node->filter->pull(node->state, task->batch, n, &step->em, wait);
	took = pfs_clock_mono() - start;
	if (took > ROUND_TIME / 2)
		task->pull_max = pfs_max(task->pull_max / 2, 1);
	else if (used < n)
		task->pull_max = pfs_max(pfs_min(2 * used, PFS_BATCH), 8);
	else if (took < ROUND_TIME / 8)
		task->pull_max = pfs_min(task->pull_max * 2, PFS_BATCH);
	return used;
}

/* Lets the pulling filter take from its input. */
static enum step_result run_pull(struct pfs_task *task)
{
	struct pfs_step *step = task->plan->steps[0];
	struct pfs_node *node = step->node;
	struct pfs_cursor *input = &task->input->cursor;
	uint64_t wait = 0, lost = pfs_counter_get(&input->lost);
	bool async = node->filter->flags & PFS_FILTER_ASYNC;
	size_t n, used, room;

	pfs_tally_take(task);
	if (pfs_inputs_next(task))
		return PROGRESS;
	if (!pfs_cursor_ready(input) && !async)
		return run_due(task);
	room = pfs_plan_room(task->plan, PFS_BATCH);
	if (room == 0)
		return BLOCKED;
	n = pfs_cursor_pin(input, task->batch, task->pull_max);
	lost = pfs_counter_get(&input->lost) - lost;
	if (lost)
		pfs_node_lost(node, "overrun", lost);
	if (n == 0 && (lost || !async))
		return PROGRESS; /* it was all lost: who saw us hold it meanwhile is told that we moved on */
	if (n > 0 && (task->batch[0].flags & PFS_REF_CONTROL))
		return pull_control(task, &task->batch[0], room);
	n = pull_len(task->batch, n);
	step->em.room = room;
	step->emitted = false;
	step->refused = NULL;
	used = pull(task, step, n, &wait);
	assert(used <= n && !step->pending);
	pfs_step_flush(step);
	if (used < n && step->refused) { /* waiting would be for ever */
		pfs_node_lost(node, step->refused, 1);
		used++;
	}
	pfs_counter_add(&node->in, used);
	if (n > 0)
		pfs_cursor_unpin(input, used);
	if (async && used == 0 && !step->emitted) {
		if (step->refused)
			wait = REFUSED_RETRY; /* there may be memory for it later */
		if (wait)
			wait_for(task, wait);
		return n > 0 || !wait ? BLOCKED : IDLE;
	}
	if (used < n && wait && !async) {
		wait_for(task, wait);
		return BLOCKED;
	}
	if (!async)
		call_later(task, wait);
	/* Nothing taken and nothing made: its ring is full. Else look again, at what room there is now. */
	return used > 0 || step->emitted ? PROGRESS : BLOCKED;
}

/* --- rounds ------------------------------------------------------------------------------------------- */

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

static void kick_stalled(struct pfs_task *task)
{
	if (atomic_load(&task->stalled))
		pfs_kick(task);
}

/*
 * The next in the circle, with a reference; with places. One that nobody holds any more is going, though it has not
 * left the circle yet.
 */
static struct pfs_domain *next_kin(const struct pfs_domain *domain)
{
	struct pfs_domain *d = domain->kin;
	unsigned refs;

	for (;; d = d->kin) {
		refs = atomic_load_explicit(&d->refs, memory_order_relaxed);
		while (refs && !atomic_compare_exchange_weak_explicit(&d->refs, &refs, refs + 1,
								      memory_order_relaxed,
								      memory_order_relaxed))
			;
		if (refs)
			return d;
	}
}

/* Of a tree out of which or into which something was moved: what it held may be of a place where it is no more. */
static void kick_kin(struct pfs_node *node)
{
	struct pfs_graph *graph = node->graph;
	struct pfs_domain *first, *d, *next;

	pthread_rwlock_rdlock(&graph->places);
	first = pfs_domain_ref(node->domain);
	d = pfs_domain_ref(first);
	do {
		for (struct pfs_task *t = d->tasks; t; t = t->next)
			kick_stalled(t);
		pthread_rwlock_unlock(&graph->places);
		pfs_wait_wake(&d->space);
		pthread_rwlock_rdlock(&graph->places);
		next = next_kin(d); /* which has its place in the circle as long as it is held */
		pthread_rwlock_unlock(&graph->places);
		pfs_domain_unref(d);
		pthread_rwlock_rdlock(&graph->places);
		d = next;
	} while (d != first);
	pthread_rwlock_unlock(&graph->places);
	pfs_domain_unref(d);
	pfs_domain_unref(first);
}

void pfs_moved_on(struct pfs_node *node, bool above)
{
	bool outermost = pfs_work_begin(); /* who is kicked runs at its end, with no lock held */
	struct pfs_graph *graph = node->graph;
	struct pfs_domain *domain = NULL;

	/* Twin: stalled is stored before the holds are looked at, in task_round(). */
	atomic_thread_fence(memory_order_seq_cst);
	pthread_rwlock_rdlock(&graph->places);
	if (!atomic_load(&node->domain->stirred)) {
		domain = pfs_domain_ref(node->domain);
		for (struct pfs_task *t = above ? pfs_task_above(node->task) : node->owner; t;
		     t = pfs_task_above(t))
			kick_stalled(t);
	}
	pthread_rwlock_unlock(&graph->places);
	if (domain)
		pfs_wait_wake(&domain->space);
	else
		kick_kin(node);
	pfs_domain_unref(domain);
	pfs_work_end(outermost);
}

/* Takes what the inputs have, for a while. True: something moved. */
static bool task_batches(struct pfs_task *task, bool *ret_progress)
{
	bool blocked = false, progress = true, moved = false;
	uint64_t until = pfs_clock_mono() + ROUND_TIME;

	for (unsigned n = 0; progress && n < ROUND_BATCHES; n++) {
		if (n > 0 && pfs_clock_mono() > until)
			break;
		progress = blocked = false;
		for (unsigned i = 0; i < task->plan->ninjects; i++) {
			enum step_result result = run_inject(task->plan->injects[i]);

			progress |= result == PROGRESS;
			blocked |= result == BLOCKED;
		}
		if (task->input) {
			enum step_result result = run_pull(task);

			progress |= result == PROGRESS;
			blocked |= result == BLOCKED;
		}
		moved |= progress;
	}
	if (!blocked && !progress)
		atomic_store(&task->stalled, false);
	*ret_progress = progress;
	return moved;
}

/* A bounded run of the task. True: there is more to do at once. */
static bool task_round(struct pfs_task *task)
{
	struct pfs_node *node = task->node;
	struct pfs_plan *plan;
	bool moved, progress;

	pfs_task_lock(task);
	plan = task->plan;
	if (!plan || task->paused) {
		pfs_task_unlock(task);
		return false;
	}
	atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
	/* Twin: the holds are let go of before stalled is looked at, in pfs_moved_on(). */
	atomic_store(&task->stalled, true);
	atomic_thread_fence(memory_order_seq_cst);
	moved = task_batches(task, &progress);
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

bool pfs_work_begin_short(uint64_t patience)
{
	bool outermost = pfs_work_begin();

	if (outermost)
		work.until = pfs_clock_mono() + patience;
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

void pfs_node_kick(struct pfs_node *node)
{
	bool outermost = pfs_work_begin();

	pthread_rwlock_rdlock(&node->graph->places);
	work_add(node->owner);
	pthread_rwlock_unlock(&node->graph->places);
	pfs_work_end(outermost);
}

void pfs_node_space_add(struct pfs_node *node, struct pfs_waiter *waiter)
{
	pthread_rwlock_rdlock(&node->graph->places);
	pfs_wait_add(&node->domain->space, waiter);
	pthread_rwlock_unlock(&node->graph->places);
}

bool pfs_node_space_remove(struct pfs_node *node, struct pfs_waiter *waiter)
{
	bool was;

	pthread_rwlock_rdlock(&node->graph->places);
	was = pfs_wait_remove(&node->domain->space, waiter);
	pthread_rwlock_unlock(&node->graph->places);
	return was;
}
