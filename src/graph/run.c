/*
 * run - tasks: batches through the steps of a plan
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
#define WORK_SHORT UINT64_C(5000000)	  /* ns */

/* The tasks this thread still has to run. Thread-local: each is on one thread's list at most (task->queued). */
static _Thread_local struct {
	bool draining;
	uint64_t until; /* mono ns; then the ticker takes over. 0: never */
	struct pfs_task *first, **last;
} work;

static void mark_seen(struct pfs_node *node, const struct pfs_ref *refs, size_t n)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < n; i++)
		if (refs[i].class_ > 0 && refs[i].class_ <= 64)
			seen |= 1ull << (refs[i].class_ - 1);
	if (seen & ~atomic_load_explicit(&node->seen, memory_order_relaxed))
		atomic_fetch_or(&node->seen, seen);
}

/* --- emitting -------------------------------------------------------------------------------- */

static void step_flush(struct pfs_step *step);

static bool step_pulls(const struct pfs_step *step)
{
	return step->node->pulls;
}

/* Takes one record of room from a pulling filter. False: there is none, the record is lost (a bug of the filter). */
static bool take_room(struct pfs_emitter *out)
{
	if (!step_pulls(out->step))
		return true;
	if (out->room == 0) {
		pfs_node_lost(out->step->node, "no room", 1);
		return false;
	}
	out->room--;
	return true;
}

void pfs_emit(struct pfs_emitter *out, const struct pfs_ref *ref)
{
	struct pfs_step *step = out->step;

	if (!take_room(out))
		return;
	step->emitted = true;
	if (step->nout == PFS_BATCH)
		step_flush(step);
	step->out[step->nout++] = *ref;
}

void pfs_emit_all(struct pfs_emitter *out, const struct pfs_ref *refs, size_t n)
{
	struct pfs_step *step = out->step;

	if (!step_pulls(step) && step->nout + n <= PFS_BATCH) {
		memcpy(step->out + step->nout, refs, n * sizeof(*refs));
		step->nout += n;
		return;
	}
	for (size_t i = 0; i < n; i++)
		pfs_emit(out, &refs[i]);
}

void pfs_emit_class(struct pfs_emitter *out, const struct pfs_ref *ref)
{
	struct pfs_step *step = out->step;

	if (!step->extra) { /* nobody takes any of them */
		if (step->node->filter->classes)
			mark_seen(step->node, ref, 1);
		return;
	}
	if (step->nextra == PFS_BATCH)
		step_flush(step);
	step->extra_at[step->nextra] = (uint16_t)step->nout;
	step->extra[step->nextra++] = *ref;
}

uint32_t pfs_emit_streams(struct pfs_emitter *out)
{
	/* Of any three numbers in a row, two are an even one and the next. */
	uint32_t first = atomic_fetch_add(&out->step->node->graph->next_stream, 3) + 1;

	first += first & 1;
	return first ? first : pfs_emit_streams(out); /* 0 is no stream */
}

void pfs_emit_stream_end(struct pfs_emitter *out, uint32_t stream)
{
	struct pfs_step *step = out->step;
	struct pfs_ref end = pfs_control_ref(PFS_REF_STREAM_END, stream);

	assert(step_pulls(step));
	if (!take_room(out))
		return;
	step->emitted = true;
	step_flush(step);
	pfs_step_control(step, &end);
}

void pfs_emit_eof(struct pfs_emitter *out)
{
	out->step->eof = true;
}

int pfs_emit_origin(struct pfs_emitter *out, const struct pfs_origin *origin, uint16_t *ret_id)
{
	struct pfs_node *node = out->step->node;

	return pfs_origin_use(node->graph->rings, &node->domain->origins, origin, ret_id);
}

void pfs_emit_complain(struct pfs_emitter *out, pid_t pid, int error, const char *text)
{
	struct pfs_node *node = out->step->node;
	const struct pfs_graph_options *options = &node->graph->options;
	struct pfs_complaint complaint = {
		.node = node, .uid = node->payer, .pid = pid, .error = error, .text = text
	};

	if (options->complain)
		options->complain(options->complain_arg, &complaint);
}

void pfs_emit_lost(struct pfs_emitter *out, const char *reason, uint64_t n)
{
	pfs_node_lost(out->step->node, reason, n);
}

/* The task's own ring, made when it is first written to. */
static struct pfs_ring *own_ring(struct pfs_step *step)
{
	struct pfs_task *task = step->plan->task;
	struct pfs_node *node = step->node;
	struct pfs_origin bytes = { .link_type = PFS_LINK_BYTES };

	if (!task->ring &&
	    pfs_origin_use(node->graph->rings, &node->domain->origins, &bytes, &task->origin) == 0)
		(void)pfs_domain_ring(node->domain, node->payer, node->filter->ring_size,
				      &task->unflushed, &task->ring);
	if (task->ring)
		atomic_store_explicit(&task->ring_size, task->ring->size, memory_order_relaxed);
	return task->ring;
}

void *pfs_emit_new(struct pfs_emitter *out, size_t len, struct pfs_record **ret_rec)
{
	struct pfs_step *step = out->step;
	struct pfs_ring *ring;
	struct pfs_record *rec;
	int r;

	assert(step_pulls(step) && !step->pending);
	if (out->room == 0)
		return NULL;
	ring = own_ring(step);
	r = ring ? pfs_ring_reserve(ring, len, &rec) : -ENOMEM;
	if (r < 0) {
		if (r != -EAGAIN)
			step->refused = ring ? "oversize" : "no memory";
		out->room = 0;
		return NULL;
	}
	rec->origin = step->plan->task->origin;
	step->pending = rec;
	*ret_rec = rec;
	return rec + 1;
}

void pfs_emit_shrink(struct pfs_emitter *out, struct pfs_record *rec, size_t len)
{
	pfs_ring_shrink(out->step->plan->task->ring, rec, len);
}

/* Publishes the pending record; a ref to all of it. */
static struct pfs_ref commit(struct pfs_step *step, struct pfs_record *rec)
{
	struct pfs_task *task = step->plan->task;
	struct pfs_ring *ring = task->ring;
	uint64_t pos = atomic_load_explicit(&ring->head, memory_order_relaxed) - rec->size;

	assert(step->pending == rec);
	step->pending = NULL;
	pfs_ring_commit(ring, rec);
	if (atomic_load_explicit(&task->unflushed, memory_order_relaxed) == PFS_HOLD_NONE)
		atomic_store(&task->unflushed, pos);
	return pfs_ref_of_record(ring, rec, pos);
}

void pfs_emit_commit(struct pfs_emitter *out, struct pfs_record *rec)
{
	struct pfs_ref ref = commit(out->step, rec);

	pfs_emit(out, &ref);
}

void pfs_emit_commit_of(struct pfs_emitter *out, struct pfs_record *rec, size_t n)
{
	struct pfs_ref ref = commit(out->step, rec);

	assert(n <= PFS_WEIGHT_MAX);
	if (n == 0)
		ref.flags |= PFS_REF_PART;
	else
		ref.more = (uint8_t)(n - 1);
	pfs_emit(out, &ref);
}

void pfs_emit_commit_as(struct pfs_emitter *out, struct pfs_record *rec, const struct pfs_ref *like)
{
	struct pfs_ref whole = commit(out->step, rec), ref = *like;

	assert(like->off <= whole.len && like->len <= whole.len - like->off);
	ref.pos = whole.pos;
	ref.ring = whole.ring;
	ref.origin = whole.origin;
	ref.hdr = whole.hdr;
	pfs_emit(out, &ref);
}

/* --- delivering ---------------------------------------------------------------------------------- */

static void step_run(struct pfs_step *step, struct pfs_ref *refs, size_t n);

static void step_touch(struct pfs_step *step)
{
	/* Pairs with the exchange in pfs_plan_wake(): who wakes for this push has seen it. */
	atomic_store_explicit(&step->touched, true, memory_order_release);
}

/* Appends the ref to the bucket of its class, if somebody takes that. */
static void sort_add(struct pfs_step *step, const struct pfs_ref *ref)
{
	struct pfs_sort *sort = step->sort;
	unsigned c = ref->class_ < step->nroute ? step->route[ref->class_] : 0;

	if (!c--)
		return;
	if (!sort->count[c]++) {
		sort->first[c] = sort->n;
		sort->touched[sort->ntouched++] = (uint16_t)c;
	} else {
		sort->next[sort->last[c]] = sort->n;
	}
	sort->last[c] = sort->n;
	sort->refs[sort->n++] = *ref;
}

/* What a class gets is in the order in which it was emitted. */
static void sort_all(struct pfs_step *step, const struct pfs_ref *refs, size_t n)
{
	size_t e = 0;

	for (size_t i = 0; i < n; i++) {
		for (; e < step->nextra && step->extra_at[e] <= i; e++)
			sort_add(step, &step->extra[e]);
		sort_add(step, &refs[i]);
	}
	for (; e < step->nextra; e++)
		sort_add(step, &step->extra[e]);
}

static void deliver_classes(struct pfs_step *step, const struct pfs_ref *refs, size_t n)
{
	struct pfs_sort *sort = step->sort;
	struct pfs_ref *pick = sort->pick;

	sort->n = 0;
	sort->ntouched = 0;
	sort_all(step, refs, n);
	for (unsigned t = 0; t < sort->ntouched; t++) {
		unsigned c = sort->touched[t], at = sort->first[c];
		size_t picked = 0, left = sort->count[c];

		sort->count[c] = 0;
		for (; left > 0; left--, at = sort->next[at]) {
			pick[picked++] = sort->refs[at];
			if (picked == PFS_BATCH || left == 1) {
				step_run(step->classes[c], pick, picked);
				picked = 0;
			}
		}
	}
}

void pfs_step_deliver(struct pfs_step *step, struct pfs_ref *refs, size_t n)
{
	struct pfs_node *node = step->node;
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += refs[i].len;
	pfs_counter_add(&node->out, n);
	pfs_counter_add(&node->bytes, bytes);
	if (node->filter && node->filter->classes) {
		mark_seen(node, refs, n);
		mark_seen(node, step->extra, step->nextra);
	}
	if (step->queue && n) {
		pfs_queue_push(step->queue, refs, n);
		step_touch(step);
	}
	for (unsigned i = 0; i < step->nchildren && n; i++)
		step_run(step->children[i], refs, n);
	if (step->nclasses)
		deliver_classes(step, refs, n);
}

/* What the filter of this step emitted goes on. */
static void step_flush(struct pfs_step *step)
{
	struct pfs_task *task = step->plan->task;
	size_t n = step->nout;

	if (n || step->nextra)
		pfs_step_deliver(step, step->out, n);
	step->nout = step->nextra = 0;
	if (step == step->plan->steps[0])
		atomic_store(&task->unflushed, PFS_HOLD_NONE);
	if (step->eof) {
		struct pfs_ref eof = pfs_control_ref(PFS_REF_EOF, 0);

		step->eof = false;
		if (!atomic_exchange(&step->node->ended, true))
			pfs_step_control(step, &eof);
	}
}

/* One inline filter (or a class, which passes everything). */
static void step_run(struct pfs_step *step, struct pfs_ref *refs, size_t n)
{
	struct pfs_node *node = step->node;

	pfs_counter_add(&node->in, n);
	if (node->kind == PFS_NODE_CLASS) {
		pfs_step_deliver(step, refs, n);
		return;
	}
	if (!node->state || atomic_load_explicit(&node->ended, memory_order_relaxed))
		return; /* finished already, and the plan without it could not be made yet; or its end was given */
	node->filter->batch(node->state, refs, n, &step->em);
	step_flush(step);
}

/* The control ref arrives at an inline step. */
static void control_in(struct pfs_step *step, const struct pfs_ref *ref)
{
	const struct pfs_filter *filter = step->node->filter;
	struct pfs_meta meta = { .stream = ref->len };

	if (filter && filter->control && step->node->state) {
		filter->control(step->node->state, ref, &meta, &step->em);
		step_flush(step);
	}
	/* Where an end was given early it comes again: readers who read on, or came since, wait for this one. */
	if (ref->flags & PFS_REF_EOF)
		atomic_store(&step->node->ended, false);
	pfs_step_control(step, ref);
}

/* Was this generation's end given here before? It comes twice where processes write at several depths. */
static bool eof_repeats(struct pfs_node *node, const struct pfs_ref *ref)
{
	if (!(ref->flags & PFS_REF_EOF) || ref->len == 0)
		return false;
	if ((int32_t)(ref->len - node->eof_given) <= 0)
		return true;
	node->eof_given = ref->len;
	return false;
}

void pfs_step_control(struct pfs_step *step, const struct pfs_ref *ref)
{
	if (eof_repeats(step->node, ref))
		return;
	if (step->queue) {
		pfs_queue_push(step->queue, ref, 1);
		step_touch(step);
	}
	for (unsigned i = 0; i < step->nchildren; i++)
		control_in(step->children[i], ref);
	for (unsigned i = 0; i < step->nclasses; i++)
		control_in(step->classes[i], ref);
}

/* Refs that may go into every queue of the plan; inline filters never make more of them. */
size_t pfs_plan_room(struct pfs_plan *plan, size_t want)
{
	for (unsigned i = 0; i < plan->nsteps && want; i++)
		if (plan->steps[i]->queue)
			want = pfs_min(want, pfs_queue_room(plan->steps[i]->queue, want));
	return want;
}

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

/*
 * Before the end is given, so that who sees it and reads on finds the gate closed and opens it. Once for a
 * generation: its end comes twice where processes write at several depths, and who read on after the first does not
 * see the second.
 */
static void gate_close(struct pfs_step *step, const struct pfs_ref *ref)
{
	struct pfs_task *task = step->plan->task;

	if (!(ref->flags & PFS_REF_EOF) || (int32_t)(ref->len - task->gate_generation) <= 0)
		return;
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

static bool gate_is_closed(const struct pfs_task *task)
{
	return atomic_load(&task->gated) && !atomic_load(&task->node->domain->standing);
}

void pfs_gate_open(struct pfs_node *node)
{
	for (; node; node = node->above)
		if (node->task && atomic_exchange(&node->task->gated, false))
			pfs_kick(node->task);
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
	if (gate_is_closed(step->plan->task))
		return IDLE;
	room = pfs_plan_room(step->plan, PFS_BATCH);
	if (room == 0)
		return BLOCKED;
	if (!rec)
		return inject_ends(step, inject);
	if (rec->flags & PFS_REF_CONTROL) {
		struct pfs_ref ref = pfs_control_ref(rec->flags, rec->stream);

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
	struct pfs_meta meta = { .stream = ref->len };
	bool done = true;

	step->em.room = room - 1; /* one for the control ref itself */
	step->em.wait = 0;
	step->emitted = false;
	step->refused = NULL;
	if (filter->control && step->node->state)
		done = filter->control(step->node->state, ref, &meta, &step->em);
	step_flush(step);
	if (!done && step->refused) { /* what it wants to say will never fit: the end passes without */
		pfs_node_lost(step->node, step->refused, 1);
		done = true;
	}
	if (!done) {
		pfs_cursor_unpin(&task->input, 0);
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
	pfs_cursor_unpin(&task->input, 1);
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
	step_flush(step);
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

/* What the filter makes of n refs. Few are given to one that takes long, so that a round comes to its end. */
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
	else if (took < ROUND_TIME / 8)
		task->pull_max = pfs_min(task->pull_max * 2, PFS_BATCH);
	return used;
}

/* Lets the pulling filter take from its input. */
static enum step_result run_pull(struct pfs_task *task)
{
	struct pfs_step *step = task->plan->steps[0];
	struct pfs_node *node = step->node;
	uint64_t wait = 0, lost = pfs_counter_get(&task->input.lost);
	bool async = node->filter->flags & PFS_FILTER_ASYNC;
	size_t n, used, room;

	if (!pfs_cursor_ready(&task->input) && !async)
		return run_due(task);
	room = pfs_plan_room(task->plan, PFS_BATCH);
	if (room == 0)
		return BLOCKED;
	n = pfs_cursor_pin(&task->input, task->batch, task->pull_max);
	lost = pfs_counter_get(&task->input.lost) - lost;
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
	step_flush(step);
	if (used < n && step->refused) { /* waiting would be for ever */
		pfs_node_lost(node, step->refused, 1);
		used++;
	}
	pfs_counter_add(&node->in, used);
	if (n > 0)
		pfs_cursor_unpin(&task->input, used);
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

void pfs_moved_on(struct pfs_domain *domain, struct pfs_task *owner)
{
	bool outermost = pfs_work_begin();

	/* Twin: stalled is stored before the holds are looked at, in task_round(). */
	atomic_thread_fence(memory_order_seq_cst);
	for (struct pfs_task *t = owner; t; t = pfs_task_above(t))
		if (atomic_load(&t->stalled))
			pfs_kick(t);
	pfs_wait_wake(&domain->space);
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
		if (task->has_input) {
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
	if (!plan) {
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
		pfs_moved_on(node->domain, pfs_task_above(task));
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
