/*
 * run - batches through the steps of a plan
 *
 * A batch goes from filter to filter on one thread, under the run lock of the task whose plan it is (work.c). Nothing
 * is run that could not be pushed into every queue of the plan.
 */
#include "graph/classify.h"
#include "graph/graph_i.h"

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
		pfs_step_flush(step);
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
		pfs_step_flush(step);
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
	pfs_step_flush(step);
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

struct pfs_ring *pfs_task_ring(struct pfs_task *task)
{
	struct pfs_node *node = task->node;
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
	ring = pfs_task_ring(step->plan->task);
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

/* Was somebody here already when the records in hand were judged? Else most of them have not come. */
static bool is_there(const struct pfs_step *step)
{
	return !step->plan->judged || step->taker == PFS_NO_TAKER ||
	       (int32_t)(step->plan->generation - step->wanted_since) >= 0;
}

/* It does not go into the queue, but counts there. */
static void untold(struct pfs_step *step, const struct pfs_ref *ref, uint32_t len)
{
	struct pfs_meta meta;

	pfs_meta(&step->em, ref, &meta);
	step->untold.records++;
	step->untold.bytes += len;
	step->untold.wire += pfs_max(meta.wire_len, len);
}

static void tell(struct pfs_step *step)
{
	if (!step->untold.records)
		return;
	pfs_tally_step(step, &step->untold);
	step->untold = (struct pfs_tally){ 0 };
}

void pfs_step_deliver(struct pfs_step *step, struct pfs_ref *refs, size_t n)
{
	bool there = is_there(step);
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
	if (step->queue && n && there) {
		pfs_queue_push(step->queue, refs, n);
		step_touch(step);
	}
	for (size_t i = 0; i < n && step->ncounters && !there; i++)
		untold(step, &refs[i], refs[i].len);
	tell(step);
	for (unsigned i = 0; i < step->nchildren && n; i++)
		if (there || step->children[i]->taker != PFS_NO_TAKER)
			step_run(step->children[i], refs, n);
	/* Those of a filter that has a number have one each, and know themselves since when they are there. */
	if (step->nclasses && (there || step->taker != PFS_NO_TAKER))
		deliver_classes(step, refs, n);
}

/* What the filter of this step emitted goes on. */
void pfs_step_flush(struct pfs_step *step)
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

/* It is told of those on which the source gave no verdict, however many: which these are is nothing to it. */
static void run_verdict(struct pfs_step *step, struct pfs_ref *refs, size_t n)
{
	size_t ruled = pfs_min(n, step->taken);

	step->taken -= ruled;
	if (step->node->state)
		step->node->filter->batch(step->node->state, refs, n - ruled, &step->em);
}

/* Does the filter of this step accept the record, by what the source says? */
static bool takes(const struct pfs_step *step, const struct pfs_takers *t)
{
	unsigned n = step->taker;

	return n < 32u * t->words && (t->word[n / 32] >> n % 32 & 1) &&
	       (int32_t)(t->generation - step->since) >= 0;
}

/*
 * One that keeps every Nth, where the source counts: the records in hand are undecided, but it may have counted them,
 * and those from before it knew the filter are not for it, like others of that time. False: count them here.
 */
static bool run_every(struct pfs_step *step, const struct pfs_ref *refs, size_t n)
{
	const struct pfs_plan *plan = step->plan;

	if (!plan->judged || !step->every || step->taker == PFS_NO_TAKER)
		return false;
	if ((int32_t)(plan->generation - step->since) < 0)
		return true;
	if (!plan->counted)
		return false;
	pfs_counter_add(&step->node->in, n);
	if (takes(step, plan->counted))
		pfs_emit_all(&step->em, refs, n);
	pfs_step_flush(step);
	return true;
}

/* One inline filter (or a class, which passes everything). */
static void step_run(struct pfs_step *step, struct pfs_ref *refs, size_t n)
{
	struct pfs_node *node = step->node;

	if (step->verdict != PFS_VERDICT_NONE) {
		run_verdict(step, refs, n);
		return;
	}
	if (run_every(step, refs, n))
		return;
	pfs_counter_add(&node->in, n);
	if (node->kind == PFS_NODE_CLASS) {
		pfs_step_deliver(step, refs, n);
		return;
	}
	if (!node->state || atomic_load_explicit(&node->ended, memory_order_relaxed))
		return; /* finished already, and the plan without it could not be made yet; or its end was given */
	node->filter->batch(node->state, refs, n, &step->em);
	pfs_step_flush(step);
}

/* --- what the source has decided --------------------------------------------------------------------- */

/* len: what it passes of the record, which may have more, as others want it; and fewer, when it has passed less. */
static void take_cut(struct pfs_step *step, const struct pfs_ref *ref, uint32_t len)
{
	struct pfs_ref *out = &step->out[step->nout++];

	*out = *ref;
	if (ref->len < len)
		len = step->cut_before;
	out->len = (uint32_t)pfs_min(ref->len, len);
}

/* The record goes to everybody who takes it; those are noted in the order of their numbers. */
static void sort_taken(struct pfs_plan *plan, const struct pfs_ref *ref, const struct pfs_takers *t)
{
	uint32_t whole = (uint32_t)pfs_max(t->len, ref->len);

	for (unsigned w = 0; w < t->words && w < PFS_TAKERS_MAX / 32; w++) {
		for (uint32_t left = t->word[w]; left; left &= left - 1) {
			unsigned n = 32 * w + (unsigned)__builtin_ctz(left);
			struct pfs_step *step = plan->takers[n];
			uint32_t len;

			if (!step || step->verdict != PFS_VERDICT_NONE ||
			    (int32_t)(t->generation - step->since) < 0)
				continue;
			len = (uint32_t)pfs_min(whole, step->cut);
			step->taken++;
			step->taken_bytes += len;
			/* What came into a filter is what the one above it passed; so it is even if one was moved. */
			if (!step->above || !takes(step->above, t))
				step->taken_in++;
			if (step->wanted && (int32_t)(t->generation - step->wanted_since) >= 0)
				take_cut(step, ref, len);
			else if (step->ncounters)
				untold(step, ref, len);
		}
	}
}

/* The source has sorted the record, but for classes that have no number. */
static void deliver_rest(struct pfs_step *step, struct pfs_ref *ref)
{
	uint16_t classes[2] = { 0, 0 };

	if (step->node->state)
		pfs_classify_look(step->node->state, ref, &step->em, classes);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		unsigned at = classes[i] < step->nroute ? step->route[classes[i]] : 0;
		struct pfs_ref copy = *ref;

		copy.class_ = classes[i];
		if (at && step->classes[at - 1]->taker == PFS_NO_TAKER)
			step_run(step->classes[at - 1], &copy, 1);
	}
}

/* What a step got of the batch. Those above come first: `taken` of a step counts as what came into those below. */
static void deliver_taken(struct pfs_step *step)
{
	struct pfs_node *node = step->node;
	size_t n = step->nout;
	struct pfs_tally tally = { .records = step->taken, .bytes = step->taken_bytes };

	if (step->verdict != PFS_VERDICT_NONE)
		return;
	pfs_counter_add(&node->in, step->taken_in + (step->above ? step->above->taken : 0));
	pfs_counter_add(&node->out, step->taken);
	pfs_counter_add(&node->bytes, step->taken_bytes);
	if (step->taken && node->filter && node->filter->passed && node->state)
		node->filter->passed(node->state, &tally);
	tell(step);
	if (step->queue && n) {
		pfs_queue_push(step->queue, step->out, n);
		step_touch(step);
	}
	for (unsigned i = 0; i < step->nchildren; i++) {
		struct pfs_step *child = step->children[i];

		if (child->taker != PFS_NO_TAKER)
			deliver_taken(child);
		else if (n)
			step_run(child, step->out, n);
	}
	for (unsigned i = 0; i < step->nclasses; i++)
		if (step->classes[i]->taker != PFS_NO_TAKER)
			deliver_taken(step->classes[i]);
	for (size_t i = 0; i < n && step->nrest; i++)
		deliver_rest(step, &step->out[i]);
	step->nout = 0;
	step->taken = step->taken_in = step->taken_bytes = 0;
}

static bool is_alike(const struct pfs_takers *a, const struct pfs_takers *b)
{
	if (a->generation != b->generation || a->decided != b->decided)
		return false;
	return a->decided != PFS_COUNTED ||
	       memcmp(a->word, b->word, a->words * sizeof(a->word[0])) == 0;
}

/* How many, from the first on, were judged by the same generation, and are decided or not, or counted for the same. */
static size_t alike(const struct pfs_takers *const *takers, size_t n)
{
	size_t i = 1;

	while (i < n && is_alike(takers[i], takers[0]))
		i++;
	return i;
}

/* Of records that are undecided: about how many of these the source did say something to filters with a verdict. */
static void count_ruled(const struct pfs_plan *plan, const struct pfs_takers *const *takers, size_t n)
{
	for (unsigned s = 0; s < plan->nsteps; s++) {
		struct pfs_step *step = plan->steps[s];

		step->taken = 0;
		for (size_t i = 0; i < n && step->verdict != PFS_VERDICT_NONE; i++)
			step->taken += takes(step, takers[i]);
	}
}

void pfs_plan_take(struct pfs_plan *plan, struct pfs_ref *refs,
		   const struct pfs_takers *const *takers, size_t n)
{
	struct pfs_step *root = plan->steps[0];

	while (n > 0) {
		size_t some = alike(takers, n);

		if (takers[0]->decided == PFS_DECIDED) {
			for (size_t i = 0; i < some; i++)
				sort_taken(plan, &refs[i], takers[i]);
			deliver_taken(root);
		} else {
			plan->counted = takers[0]->decided == PFS_COUNTED ? takers[0] : NULL;
			if (plan->rules)
				count_ruled(plan, takers, some);
			plan->judged = true;
			plan->generation = takers[0]->generation;
			pfs_counter_add(&root->node->in, some);
			pfs_step_deliver(root, refs, some);
			plan->judged = false;
			plan->counted = NULL;
		}
		refs += some;
		takers += some;
		n -= some;
	}
}

/* --- control ------------------------------------------------------------------------------------------ */

/* The control ref arrives at an inline step. */
static void control_in(struct pfs_step *step, const struct pfs_ref *ref)
{
	const struct pfs_filter *filter = step->node->filter;
	struct pfs_meta meta = { .stream = ref->len, .time = ref->pos };

	if (filter && filter->control && step->node->state) {
		filter->control(step->node->state, ref, &meta, &step->em);
		pfs_step_flush(step);
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
	if (ref->pos == node->eof_serial && (int32_t)(ref->len - node->eof_given) <= 0)
		return true;
	node->eof_serial = ref->pos;
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
