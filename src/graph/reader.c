/*
 * reader - one open of a pipe: a cursor, and what of a record is still owed
 *
 * get() pins, done() unpins; in between the mount copies from ring memory to the reader. A record of which only a part
 * went out is kept in the cursor (begun, rest), where the limit scan saves its bytes if a lossy reader is lapped.
 */
#include <stdio.h>

#include "graph/reader_i.h"

#define GATHER_BELOW 4096 /* smaller pieces are copied together: cheaper than an iovec each */
#define PIN_MAX 2048

const char *const pfs_view_names[] = { "pcapng", "json", "txt", NULL };

/* --- open ------------------------------------------------------------------------------------- */

/* The view's node below dir; made when it is not there. */
static int view_node(struct pfs_node *dir, const char *view, struct pfs_node **ret_node,
		     struct pfs_diag *diag)
{
	const struct pfs_filter *filter = pfs_filter_find(view, strlen(view), true);
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	struct pfs_cred cred = { .uid = dir->uid, .gid = dir->gid };

	for (struct pfs_node *c = dir->children.first; c; c = c->child.next) {
		if (c->kind == PFS_NODE_VIEW && c->filter == filter) {
			*ret_node = c;
			return 0;
		}
	}
	if (!filter)
		return pfs_diag_set(diag, ENOENT, "there is no view '%s'", view);
	return pfs_build_filter(dir, filter, view, &args, &cred, 0, ret_node, diag);
}

/* A view without readers goes. Should there be no memory for new plans, the old ones do without us. */
static void replan_without(struct pfs_node *node)
{
	bool drop = node->kind == PFS_NODE_VIEW && node->readers == 0;

	if (drop)
		atomic_store(&node->dead, true);
	(void)pfs_domain_replan(node->domain);
	if (!drop)
		return;
	pfs_node_finish(node);
	if (node->parent)
		pfs_node_unlink(node);
}

/*
 * What the view says before the stream, in step with where the cursor stands: at NULL at its end, else at this
 * record, after a loss. The view's run lock is held.
 */
static int take_preamble(struct pfs_reader *reader, const struct pfs_record *at, uint64_t lost)
{
	struct pfs_node *node = reader->node;
	struct pfs_emitter em = { .rings = node->graph->rings };
	int r;

	if (node->kind == PFS_NODE_VIEW && !node->filter->preamble)
		node = node->parent;
	if (!node->filter || !node->filter->preamble || !node->state)
		return 0;
	pfs_buf_release(&reader->preamble);
	reader->preamble_sent = 0;
	r = node->filter->preamble(node->state, &em, at, lost, &reader->preamble);
	reader->has_preamble = r == 0 && reader->preamble.len > 0;
	return r;
}

/*
 * From where on records are for this reader. What a view has not taken yet is for its readers as well: they count
 * in the records that go into it.
 */
static void books_open(struct pfs_reader *reader)
{
	struct pfs_node *node = reader->node;

	reader->first = reader->cursor_first = atomic_load(&reader->cursor.records);
	if (node->kind != PFS_NODE_VIEW)
		return;
	if (node->task->input) /* else it gets one right away */
		reader->first = atomic_load(&node->task->input->cursor.records);
	reader->lost_first = pfs_node_lost_sum(node);
}

static int attach(struct pfs_reader *reader, struct pfs_node *node, bool reliable, struct pfs_diag *diag)
{
	bool begins = node->kind == PFS_NODE_VIEW && !node->task->attached;
	int r = pfs_node_queue(node);

	if (r < 0)
		return pfs_due_refused(node->graph, PFS_DUE_MEMORY, r, diag);
	pfs_decide_sync(node->domain); /* a counter's preamble is its numbers */
	/* With the run lock nothing is pushed between the preamble and the attachment. */
	pfs_task_lock(node->owner);
	r = take_preamble(reader, NULL, 0);
	if (r == 0)
		r = pfs_cursor_init(&reader->cursor, node->queue, node->depth * 2 + 1, reliable);
	if (r == 0)
		books_open(reader);
	pfs_task_unlock(node->owner);
	if (r < 0)
		return r;
	pfs_class_use(node);
	reader->next = node->first_reader;
	node->first_reader = reader;
	node->readers++;
	node->reliable_readers += reliable;
	r = pfs_domain_replan(node->domain);
	if (r < 0)
		return r;
	if (begins) /* the view got its input now */
		reader->first = node->task->input_first;
	return pfs_feed_start(node->domain, diag);
}

static void detach(struct pfs_reader *reader)
{
	struct pfs_node *node = reader->node;

	for (struct pfs_reader **at = &node->first_reader; *at; at = &(*at)->next) {
		if (*at == reader) {
			*at = reader->next;
			break;
		}
	}
	node->readers--;
	node->reliable_readers -= reader->cursor.reliable;
	pfs_share_follow(reader);
	node->delivered += pfs_counter_get(&reader->delivered);
	node->missed += pfs_counter_get(&reader->cursor.lost);
	pfs_cursor_release(&reader->cursor);
	pfs_share_free(reader);
	replan_without(node);
	pfs_node_queue_trim(node);
}

/* Who may not make others wait is lossy, unless he insists. */
static int policy_of(const struct pfs_reader_options *options, const struct pfs_node *dir,
		     bool *ret_reliable, struct pfs_diag *diag)
{
	bool may = pfs_may_hold(&options->cred, dir);

	if (options->policy > 0 && !may)
		return pfs_diag_set(diag, EACCES,
				    "only who may write here may make the writers wait: read `all`");
	*ret_reliable = may && (options->policy < 0 ? !dir->domain->lossy : options->policy > 0);
	return 0;
}

static int open_locked(struct pfs_reader *reader, struct pfs_node *dir,
		       const struct pfs_reader_options *options, struct pfs_diag *diag)
{
	bool sink = dir->filter && (dir->filter->flags & PFS_FILTER_SINK);
	const char *view = options->view;
	struct pfs_node *node = dir;
	bool reliable = false;
	int r;

	if (atomic_load(&dir->dead))
		return -ENOENT;
	if (!dir->domain || (sink && (!options->end || options->view)))
		return pfs_diag_set(diag, EINVAL, "nothing comes out of '%s'", dir->name);
	if (options->end && !sink)
		return pfs_diag_set(diag, EINVAL, "'%s' is no sink: its stream is `all`", dir->name);
	r = policy_of(options, dir, &reliable, diag);
	if (r < 0)
		return r;
	if (options->client && !view && pfs_inject_maps(dir)) {
		r = pfs_inject_join(dir, diag);
		if (r < 0)
			return r;
		reader->maps = true;
	} else if (options->client && !view) {
		view = "copy";
	}
	if (view) {
		r = view_node(dir, view, &node, diag);
		if (r < 0)
			return r;
	}
	reader->node = pfs_node_ref(node);
	r = attach(reader, node, reliable, diag);
	if (r == 0 && reader->maps && atomic_load(&node->inject->clients) == 1)
		node->inject->since = atomic_load(&reader->cursor.next);
	if (r < 0 && reader->cursor.queue)
		detach(reader);
	else if (r < 0)
		replan_without(node);
	return r;
}

int pfs_reader_open(struct pfs_node *node, const struct pfs_reader_options *options,
		    struct pfs_reader **ret_reader, struct pfs_diag *diag)
{
	struct pfs_graph *graph = node->graph;
	struct pfs_reader *reader = pfs_zalloc(1, sizeof(*reader));
	int r;

	if (diag)
		diag->text[0] = '\0';
	if (!reader)
		return -ENOMEM;
	reader->cred = options->cred;
	r = pfs_due_take(graph, reader->cred.uid, PFS_DUE_OPENS, 1);
	if (r < 0) {
		free(reader);
		return pfs_due_refused(graph, PFS_DUE_OPENS, r, diag);
	}
	pthread_mutex_lock(&graph->control);
	r = atomic_load(&node->dead) ? -ENOENT
				     : open_locked(reader, pfs_node_real(node), options, diag);
	if (r == 0) {
		assert(reader->node); /* set on success, and errors are negative */
		r = pfs_decide_settle(reader->node->domain, diag);
		if (r < 0)
			detach(reader);
	}
	pthread_mutex_unlock(&graph->control);
	if (r < 0) {
		if (reader->maps)
			pfs_inject_leave(reader->node);
		pfs_due_give(graph, reader->cred.uid, PFS_DUE_OPENS, 1);
		if (diag && !diag->text[0])
			pfs_due_refused(graph, PFS_DUE_NODES, r, diag); /* of the view */
		pfs_node_unref(reader->node);
		pfs_buf_release(&reader->preamble);
		free(reader);
		return r;
	}
	assert(reader->node);
	*ret_reader = reader;
	pfs_gate_open(reader->node);
	pfs_node_kick_all(reader->node);
	return 0;
}

void pfs_reader_close(struct pfs_reader *reader)
{
	struct pfs_node *node;
	struct pfs_graph *graph;

	if (!reader)
		return;
	node = reader->node;
	graph = node->graph;
	pthread_mutex_lock(&graph->control);
	detach(reader);
	pthread_mutex_unlock(&graph->control);
	if (reader->maps)
		pfs_inject_leave(node);
	pfs_node_kick_all(node);
	pfs_due_give(graph, reader->cred.uid, PFS_DUE_OPENS, 1);
	pfs_buf_release(&reader->preamble);
	free(reader);
	pfs_node_unref(node);
}

/* --- get --------------------------------------------------------------------------------------------- */

/* A reply in the making. */
struct reply {
	struct iovec *iov;
	unsigned niov;
	uint8_t *gather;
	size_t gathered;
	size_t size, total;
};

/* Adds n bytes at p; how many fitted. */
static size_t reply_add(struct reply *reply, const uint8_t *p, size_t n)
{
	bool copy = n < GATHER_BELOW;
	struct iovec *last = reply->niov ? &reply->iov[reply->niov - 1] : NULL;
	uint8_t *to = reply->gather + reply->gathered;

	n = pfs_min(n, reply->size - reply->total);
	if (copy)
		n = pfs_min(n, PFS_GATHER_MAX - reply->gathered);
	if (n == 0)
		return 0;
	if (copy) {
		memcpy(to, p, n);
		reply->gathered += n;
		p = to;
	}
	if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += n;
	} else {
		if (reply->niov == PFS_IOV_MAX) {
			if (copy)
				reply->gathered -= n;
			return 0;
		}
		reply->iov[reply->niov++] = (struct iovec){ (void *)(uintptr_t)p, n };
	}
	reply->total += n;
	return n;
}

/* The reply shall not be full to the last byte: takes one back. */
static void reply_shorten(struct reply *reply)
{
	struct iovec *last = &reply->iov[reply->niov - 1];

	last->iov_len--;
	reply->total--;
	if (last->iov_len == 0)
		reply->niov--;
}

static ssize_t get_preamble(struct pfs_reader *reader, struct reply *reply)
{
	reader->from = FROM_PREAMBLE;
	reader->pinned = false;
	reader->sent = reply_add(reply, (uint8_t *)reader->preamble.data + reader->preamble_sent,
				 reader->preamble.len - reader->preamble_sent);
	return (ssize_t)reply->total;
}

/* What is left of a record that was begun. */
static ssize_t get_rest(struct pfs_reader *reader, struct reply *reply)
{
	struct pfs_cursor *cursor = &reader->cursor;
	const uint8_t *bytes;

	pfs_cursor_hold(cursor); /* before the lock: see limit_begun() */
	pthread_mutex_lock(&cursor->lock);
	bytes = cursor->rescued ? cursor->rescued + (cursor->rest.off - cursor->rescued_off)
				: pfs_ref_bytes(cursor->queue->cursors->rings, &cursor->rest);
	pthread_mutex_unlock(&cursor->lock);
	reader->from = FROM_REST;
	reader->pinned = true;
	reader->sent = reply_add(reply, bytes, cursor->rest.len);
	return (ssize_t)reply->total;
}

/*
 * A stream that has a beginning begins again where its reader goes on after a loss: what was said in the part that it
 * missed (pcapng's interfaces) has to be there. 1: it does, and nothing is pinned any more; 0: nothing to do.
 */
static int begin_again(struct pfs_reader *reader, const struct pfs_ref *next)
{
	struct pfs_node *node = reader->node;
	uint64_t lost = pfs_counter_get(&reader->cursor.lost) - reader->lost_told;
	const struct pfs_ring *ring;
	int r;

	if (!lost || node->kind != PFS_NODE_VIEW || !node->filter->preamble ||
	    (next->flags & PFS_REF_CONTROL))
		return 0;
	ring = pfs_ring_get(node->graph->rings, next->ring);
	pfs_task_lock(node->task);
	r = take_preamble(reader, (const void *)pfs_ring_at(ring, next->pos), lost);
	pfs_task_unlock(node->task);
	pfs_cursor_unpin(&reader->cursor, 0);
	reader->moved = true;
	if (r < 0)
		return r;
	reader->lost_told += lost;
	return reader->has_preamble;
}

/* Nothing to read there: the end of a stream, an empty record. */
static bool is_silent(const struct pfs_ref *ref)
{
	return ref->flags & PFS_REF_CONTROL ? !(ref->flags & PFS_REF_EOF) : ref->len == 0;
}

static void count_given(struct pfs_reader *reader, const struct pfs_ref *refs, size_t n)
{
	uint64_t empty = 0;

	for (size_t i = 0; i < n; i++)
		empty += pfs_ref_weight(&refs[i]);
	pfs_counter_add(&reader->delivered, empty);
}

/* Steps over stream ends at the front; true when an EOF was there (and is taken). */
static bool take_controls(struct pfs_reader *reader, const struct pfs_ref *refs, size_t n)
{
	size_t i = 0;

	while (i < n && is_silent(&refs[i]))
		i++;
	if (i < n && (refs[i].flags & PFS_REF_EOF)) {
		count_given(reader, refs, i);
		pfs_cursor_unpin(&reader->cursor, i + 1);
		reader->moved = true;
		reader->generation_over = true;
		return true;
	}
	reader->full = i;
	return false;
}

bool pfs_reader_drained(struct pfs_reader *reader)
{
	struct pfs_node *node = reader->node;

	if (atomic_load(&node->dead)) {
		struct pfs_task *task = node->task;
		bool drained = true;

		/* a view of a directory that was removed: is there input left for it? */
		if (node->kind == PFS_NODE_VIEW && task) {
			pfs_task_lock(task);
			drained = !pfs_inputs_ready(task);
			pfs_task_unlock(task);
		}
		return drained;
	}
	return atomic_load(&node->graph->shutdown);
}

/* Is the end of the stream reached for good, or for this generation, when nothing is queued? */
static bool at_end(struct pfs_reader *reader)
{
	struct pfs_node *node = reader->node;
	struct pfs_domain *domain;
	uint32_t given;
	bool over;

	if (pfs_reader_drained(reader))
		return !atomic_load(&node->dead) || !pfs_cursor_ready(&reader->cursor);
	if (atomic_load(&node->dead))
		return false;
	/*
	 * As with a FIFO: after the end it stays the end until somebody opens for writing, or data comes. The last
	 * writer may have gone while what he wrote is still on its way, with its end behind it.
	 */
	if (!reader->generation_over)
		return false;
	pthread_rwlock_rdlock(&node->graph->places);
	domain = node->domain;
	given = atomic_load(&node->eof_serial) == domain->serial ? atomic_load(&node->eof_given) : 0;
	over = atomic_load(&domain->writers) == 0 && given == atomic_load(&domain->generation);
	pthread_rwlock_unlock(&node->graph->places);
	return over;
}

/* Twice as many refs as will probably fit: looking at many more than are used would be most of the work. */
static size_t pin_count(const struct pfs_reader *reader, const struct reply *reply)
{
	return pfs_min(PIN_MAX, 2 * reply->size / pfs_max(reader->usual, 32) + 16);
}

static ssize_t get_queued(struct pfs_reader *reader, struct reply *reply, bool record)
{
	struct pfs_ref refs[PIN_MAX];
	size_t n = pfs_cursor_pin(&reader->cursor, refs, record ? 16 : pin_count(reader, reply));
	const struct pfs_rings *rings = reader->node->graph->rings;
	int again;

	if (n == 0) {
		reader->moved = true; /* past lost ones perhaps, and somebody saw us hold them */
		return at_end(reader) ? 0 : -EAGAIN;
	}
	again = begin_again(reader, &refs[0]);
	if (again)
		return again < 0 ? again : get_preamble(reader, reply);
	if (take_controls(reader, refs, n))
		return 0;
	reader->from = FROM_QUEUE;
	for (size_t i = reader->full; i < n; i++) {
		size_t took;

		if (refs[i].flags & PFS_REF_EOF)
			break;
		if (is_silent(&refs[i])) {
			reader->full++;
			reader->records += pfs_ref_weight(&refs[i]);
			continue;
		}
		took = reply_add(reply, pfs_ref_bytes(rings, &refs[i]), refs[i].len);
		if (took == 0)
			break;
		reader->full++;
		reader->records += pfs_ref_weight(&refs[i]);
		if (record)
			break;
		if (took < refs[i].len) {
			reader->part = refs[i];
			reader->part.off += (uint32_t)took;
			reader->part.len -= (uint32_t)took;
			reader->records -= pfs_ref_weight(&refs[i]);
			break;
		}
		reader->last_given = refs[i];
	}
	if (reply->total == 0) { /* nothing to read was there */
		count_given(reader, refs, reader->full);
		pfs_cursor_unpin(&reader->cursor, reader->full);
		reader->moved = true;
		return -EAGAIN;
	}
	reader->pinned = true;
	reader->generation_over = false;
	assert(reader->full > 0); /* what the reply holds came from refs */
	reader->usual = reply->total / reader->full;
	return (ssize_t)reply->total;
}

/* Takes the last byte back from a reply that is full while nothing more is there. */
static void keep_one(struct pfs_reader *reader, struct reply *reply)
{
	bool more = pfs_cursor_ready(&reader->cursor) > reader->full || reader->part.len > 0;

	if (reply->total < reply->size || more || reply->total < 2)
		return;
	if (reader->from == FROM_REST) {
		if (reader->sent == reader->cursor.rest.len) {
			reply_shorten(reply);
			reader->sent--;
		}
		return;
	}
	if (reader->from == FROM_QUEUE && reader->last_given.len) {
		reply_shorten(reply);
		reader->part = reader->last_given;
		reader->part.off += reader->part.len - 1;
		reader->part.len = 1;
		reader->records -= pfs_ref_weight(&reader->part);
	}
}

ssize_t pfs_reader_get(struct pfs_reader *reader, size_t size, bool record, bool keep_short,
		       uint8_t *gather, struct iovec iov[PFS_IOV_MAX], unsigned *ret_niov)
{
	struct reply reply = { .iov = iov, .gather = gather, .size = size };
	ssize_t n;

	if (reader->share)
		return -EBUSY;
	assert(!reader->pinned && size > 0);
	if (reader->generation_over)
		pfs_gate_open(reader->node); /* it reads on */
	reader->moved = false;
	reader->full = reader->records = reader->sent = 0;
	reader->part = reader->last_given = (struct pfs_ref){ 0 };
	do {
		if (reader->has_preamble)
			n = get_preamble(reader, &reply);
		else if (reader->cursor.begun)
			n = get_rest(reader, &reply);
		else
			n = get_queued(reader, &reply, record);
	} while (n == -EAGAIN && pfs_reader_ready(reader));
	if (n > 0 && keep_short && !record)
		keep_one(reader, &reply);
	*ret_niov = reply.niov;
	if (reader->moved)
		pfs_moved_on(reader->node, false);
	return n > 0 ? (ssize_t)reply.total : n;
}

/* --- done ----------------------------------------------------------------------------------------------- */

static void done_rest(struct pfs_reader *reader, bool delivered)
{
	struct pfs_cursor *cursor = &reader->cursor;

	pthread_mutex_lock(&cursor->lock);
	if (delivered) {
		cursor->rest.off += (uint32_t)reader->sent;
		cursor->rest.len -= (uint32_t)reader->sent;
		if (cursor->rest.len == 0) {
			cursor->begun = false;
			free(TAKE_PTR(cursor->rescued));
			pfs_counter_add(&reader->delivered, pfs_ref_weight(&cursor->rest));
		}
	}
	pthread_mutex_unlock(&cursor->lock);
	pfs_cursor_unpin(cursor, 0);
}

static void done_queued(struct pfs_reader *reader, bool delivered)
{
	struct pfs_cursor *cursor = &reader->cursor;

	if (!delivered) {
		pfs_cursor_unpin(cursor, 0);
		return;
	}
	pfs_counter_add(&reader->delivered, reader->records);
	if (reader->part.len) {
		pthread_mutex_lock(&cursor->lock);
		cursor->begun = true;
		cursor->rest = reader->part;
		pthread_mutex_unlock(&cursor->lock);
	}
	pfs_cursor_unpin(cursor, reader->full);
}

void pfs_reader_done(struct pfs_reader *reader, bool delivered)
{
	struct pfs_node *node = reader->node;

	if (reader->from == FROM_PREAMBLE) {
		if (delivered)
			reader->preamble_sent += reader->sent;
		reader->has_preamble = reader->preamble_sent < reader->preamble.len;
		reader->sent = 0;
		return;
	}
	if (!reader->pinned)
		return;
	reader->pinned = false;
	if (reader->from == FROM_REST)
		done_rest(reader, delivered);
	else
		done_queued(reader, delivered);
	pfs_moved_on(node, false);
}

/* --- refs instead of bytes -------------------------------------------------------------------------- */

struct pfs_node *pfs_reader_node(struct pfs_reader *reader)
{
	return reader->node;
}

uid_t pfs_reader_uid(const struct pfs_reader *reader)
{
	return reader->cred.uid;
}

bool pfs_reader_begins(const struct pfs_reader *reader)
{
	return reader->has_preamble;
}

ssize_t pfs_reader_pin(struct pfs_reader *reader, struct pfs_ref *refs, size_t max)
{
	size_t n = pfs_cursor_pin(&reader->cursor, refs, max), i = 0;

	if (n == 0) {
		pfs_moved_on(reader->node, false);
		return at_end(reader) ? 0 : -EAGAIN;
	}
	if (take_controls(reader, refs, n)) {
		pfs_moved_on(reader->node, false);
		return 0;
	}
	while (i < n && !(refs[i].flags & PFS_REF_EOF))
		i++;
	reader->generation_over = false;
	return (ssize_t)i;
}

void pfs_reader_unpin(struct pfs_reader *reader, const struct pfs_ref *refs, size_t n)
{
	count_given(reader, refs, n);
	pfs_cursor_unpin(&reader->cursor, n);
	pfs_moved_on(reader->node, false);
}

/* --- waiting ------------------------------------------------------------------------------------------------ */

bool pfs_reader_ready(struct pfs_reader *reader)
{
	return reader->share || reader->has_preamble || reader->cursor.begun ||
	       pfs_cursor_ready(&reader->cursor) > 0 || at_end(reader);
}

bool pfs_reader_park(struct pfs_reader *reader, struct pfs_waiter *waiter)
{
	struct pfs_waitlist *list = &reader->node->queue->waiters;

	if (reader->generation_over)
		pfs_gate_open(reader->node);
	pfs_wait_add(list, waiter);
	if (!pfs_reader_ready(reader))
		return true;
	/* Somebody may be waking it already: then it is as good as parked. */
	return !pfs_wait_remove(list, waiter);
}

bool pfs_reader_unpark(struct pfs_reader *reader, struct pfs_waiter *waiter)
{
	return pfs_wait_remove(&reader->node->queue->waiters, waiter);
}

void pfs_readers_sum(const struct pfs_node *node, uint64_t *delivered, uint64_t *missed, uint64_t *lag)
{
	*delivered = node->delivered;
	*missed = node->missed;
	*lag = 0;
	for (struct pfs_reader *r = node->first_reader; r; r = r->next) {
		pfs_share_follow(r);
		*delivered += pfs_counter_get(&r->delivered);
		*missed += pfs_counter_get(&r->cursor.lost);
		*lag = pfs_max64(*lag, pfs_cursor_lag(&r->cursor));
	}
}

/* --- .readers ------------------------------------------------------------------------------------------------- */

static void command_of(pid_t pid, char *name, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(name, size, "?");
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = pid ? fopen(path, "re") : NULL;
	if (f && fgets(name, (int)size, f))
		name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* In records of the directory: seen = delivered + lost + lag. */
static void reader_text(const struct pfs_reader *r, struct pfs_buf *out)
{
	const struct pfs_node *node = r->node;
	const struct pfs_queue *queue = node->kind == PFS_NODE_VIEW ? node->above->queue : node->queue;
	uint64_t delivered = pfs_counter_get(&r->delivered);
	uint64_t lost = pfs_counter_get(&r->cursor.lost);
	uint64_t seen;

	if (node->kind == PFS_NODE_VIEW)
		lost += pfs_node_lost_sum(node) - r->lost_first;
	/* Last, so that it is not less than what became of it. */
	seen = atomic_load(&queue->records) - r->first;
	pfs_buf_printf(out, " policy=%s delivered=%llu lost=%llu lag=%llu seen=%llu\n",
		       r->cursor.reliable ? "reliable" : "lossy", (unsigned long long)delivered,
		       (unsigned long long)lost, (unsigned long long)(seen - delivered - lost),
		       (unsigned long long)seen);
}

void pfs_readers_text(struct pfs_node *node, struct pfs_buf *out)
{
	for (struct pfs_reader *r = node->first_reader; r; r = r->next) {
		char command[32];

		command_of(r->cred.pid, command, sizeof(command));
		pfs_buf_printf(out, "uid=%u pid=%d command=", (unsigned)r->cred.uid, (int)r->cred.pid);
		pfs_buf_clean(out, command, strlen(command));
		if (node->kind == PFS_NODE_VIEW)
			pfs_buf_printf(out, " view=%s", node->name);
		pfs_share_follow(r);
		reader_text(r, out);
	}
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		if (c->kind == PFS_NODE_VIEW)
			pfs_readers_text(c, out);
}
