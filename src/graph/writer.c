/*
 * writer - one open for writing: records into the injection ring of a directory; and who else keeps that ring
 *
 * store() only copies into the ring; run() lets the tree below take it, on this thread or on the one that is at it. An
 * end (of a writer's stream, of a generation) is a control record in the same ring, so that it comes after the data;
 * when the ring is full at close, it waits in `ends` instead, since close never waits.
 *
 * A join writes in the same way, but begins and ends its streams and generations from the data side (join.c); as
 * long as it is there the ring is kept for it.
 */
#include "graph/graph_i.h"

struct pfs_writer {
	struct pfs_node *node; /* a reference; it is one of its inject's writers */
	uid_t uid;	       /* who opened it */
	uint32_t stream;
	bool packets;
	bool ended; /* pfs_writer_end() */
};

/* --- open and close ----------------------------------------------------------------------------- */

static int inject_origin(struct pfs_node *node, uint16_t *ret_origin)
{
	struct pfs_origin origin = { .link_type = node->link_type };

	if (node->flow & (PFS_FLOW_BYTES | PFS_FLOW_TEXT))
		origin.link_type = PFS_LINK_BYTES;
	return pfs_origin_use(node->graph->rings, &node->domain->origins, &origin, ret_origin);
}

void pfs_inject_relabel(struct pfs_inject *inject)
{
	uint16_t origin;

	if (inject_origin(inject->node, &origin) < 0)
		return; /* no number left: what is written there goes on as what it was */
	pthread_mutex_lock(&inject->lock);
	inject->origin = origin;
	pthread_mutex_unlock(&inject->lock);
}

static int inject_new(struct pfs_node *node, struct pfs_inject **ret_inject)
{
	PFS_FREE struct pfs_inject *inject = pfs_zalloc(1, sizeof(*inject));
	int r;

	if (!inject)
		return -ENOMEM;
	r = inject_origin(node, &inject->origin);
	if (r < 0)
		return r;
	inject->node = node;
	pthread_mutex_init(&inject->lock, NULL);
	*ret_inject = TAKE_PTR(inject);
	return 0;
}

void pfs_inject_free(struct pfs_inject *inject)
{
	if (!inject)
		return;
	pfs_ring_retire(inject->node->domain, inject->ring);
	pthread_mutex_destroy(&inject->lock);
	free(inject->ends);
	free(inject);
}

/* Room to note the ends of all open writers, should the ring be full when they close. Inject lock. */
static int ends_reserve(struct pfs_inject *inject)
{
	uint32_t need = inject->nends + inject->writers + 1;
	void *p;

	if (need <= inject->cap_ends)
		return 0;
	p = reallocarray(inject->ends, (size_t)need * 2, sizeof(*inject->ends));
	if (!p)
		return -ENOMEM;
	inject->ends = p;
	inject->cap_ends = need * 2;
	return 0;
}

static int no_ring(const struct pfs_node *node, int r, struct pfs_diag *diag)
{
	if (r == -ENOMEM || r == -EDQUOT)
		return pfs_due_refused(node->graph, PFS_DUE_MEMORY, r, diag);
	return pfs_diag_set(diag, -r, "no ring for what is written: %s", strerror(-r));
}

/* One more of these; the ring is made, or made again if it was given up meanwhile. Control. */
static int inject_enter(struct pfs_node *node, bool client, struct pfs_diag *diag)
{
	struct pfs_task *owner = node->owner;
	struct pfs_inject *inject = node->inject;
	int r = 0;

	if (!inject) {
		r = inject_new(node, &inject);
		if (r < 0)
			return no_ring(node, r, diag);
		node->inject = inject;
		r = pfs_domain_replan(node->domain);
		if (r < 0) { /* no plan has it */
			node->inject = NULL;
			pfs_inject_free(inject);
			return no_ring(node, r, diag);
		}
	}
	pfs_task_lock(owner);
	pthread_mutex_lock(&inject->lock);
	if (!inject->ring)
		r = pfs_domain_ring(inject->node->domain, inject->node->payer, 0, &inject->scan,
				    &inject->ring);
	if (r == 0)
		r = ends_reserve(inject);
	if (r == 0)
		atomic_fetch_add(client ? &inject->clients : &inject->writers, 1);
	pthread_mutex_unlock(&inject->lock);
	pfs_task_unlock(owner);
	return r < 0 ? no_ring(node, r, diag) : 0;
}

/* One of these has left. */
static void inject_left(struct pfs_node *node)
{
	struct pfs_task *owner;
	bool locked;

	pthread_rwlock_rdlock(&node->graph->places);
	owner = node->owner; /* and stays that as long as its lock is held */
	locked = pthread_mutex_trylock(&owner->run) == 0;
	pthread_rwlock_unlock(&node->graph->places);
	/* Who is at the task now looks at it himself, at the end. */
	if (locked) {
		pfs_inject_rest(node->inject);
		pfs_task_unlock(owner);
	}
	pfs_graph_reap(node->graph);
}

bool pfs_inject_maps(const struct pfs_node *node)
{
	return node->kind == PFS_NODE_SOURCE && (node->from->flags & PFS_SOURCE_WRITABLE);
}

int pfs_inject_join(struct pfs_node *node, struct pfs_diag *diag)
{
	return inject_enter(node, true, diag);
}

void pfs_inject_leave(struct pfs_node *node)
{
	atomic_fetch_sub(&node->inject->clients, 1);
	inject_left(node);
}

int pfs_stream_begin(struct pfs_writer *writer)
{
	struct pfs_inject *inject = writer->node->inject;
	int r;

	pthread_mutex_lock(&inject->lock);
	r = ends_reserve(inject);
	pthread_mutex_unlock(&inject->lock);
	if (r == 0)
		writer->stream = atomic_fetch_add(&writer->node->graph->next_stream, 1) + 1;
	return r;
}

void pfs_generation_begin(struct pfs_node *node)
{
	pthread_mutex_lock(&node->inject->lock);
	node->inject->taking++;
	atomic_fetch_add(&node->domain->writers, 1);
	pthread_mutex_unlock(&node->inject->lock);
}

int pfs_writer_new(struct pfs_node *node, struct pfs_writer **ret_writer, struct pfs_diag *diag)
{
	PFS_FREE struct pfs_writer *writer = pfs_zalloc(1, sizeof(*writer));
	struct pfs_domain *domain = node->domain;
	int r = writer ? 0 : -ENOMEM;

	if (r < 0)
		return r;

	if (atomic_load(&node->dead))
		return -ENOENT;
	if (node->uses > 1)
		return pfs_diag_set(diag, EBUSY,
				    "%u equal pipelines share '%s': nothing can be written to it",
				    node->uses, node->name);
	if (!domain || node->kind == PFS_NODE_VIEW ||
	    (node->filter && (node->filter->flags & PFS_FILTER_SINK)))
		return pfs_diag_set(diag, EINVAL, "nothing can be written to '%s'", node->name);
	if (node->kind == PFS_NODE_SOURCE && node->flow == PFS_FLOW_BYTES &&
	    !(node->from->flags & PFS_SOURCE_WRITABLE))
		return pfs_diag_set(diag, EINVAL, "'%s' is not for writing", node->name);
	pfs_class_use(node);
	r = inject_enter(node, false, diag);
	if (r < 0)
		return r;
	writer->node = pfs_node_ref(node);
	writer->packets = node->flow & PFS_FLOW_ANY_PACKET;
	*ret_writer = TAKE_PTR(writer);
	return 0;
}

void pfs_writer_free(struct pfs_writer *writer)
{
	if (!writer)
		return;
	atomic_fetch_sub(&writer->node->inject->writers, 1);
	inject_left(writer->node);
	pfs_node_unref(writer->node);
	free(writer);
}

int pfs_writer_open(struct pfs_node *node, const struct pfs_cred *cred,
		    struct pfs_writer **ret_writer, struct pfs_diag *diag)
{
	struct pfs_graph *graph = node->graph;
	struct pfs_writer *writer = NULL;
	int r;

	if (diag)
		diag->text[0] = '\0';
	r = pfs_due_take(graph, cred->uid, PFS_DUE_OPENS, 1);
	if (r < 0)
		return pfs_due_refused(graph, PFS_DUE_OPENS, r, diag);
	pthread_mutex_lock(&graph->control);
	r = atomic_load(&node->dead) ? -ENOENT : pfs_writer_new(pfs_node_real(node), &writer, diag);
	assert(r < 0 || writer);
	if (r == 0)
		r = pfs_stream_begin(writer);
	if (r == 0)
		pfs_generation_begin(writer->node);
	pthread_mutex_unlock(&graph->control);
	if (r < 0) {
		pfs_writer_free(writer);
		pfs_due_give(graph, cred->uid, PFS_DUE_OPENS, 1);
		return r;
	}
	assert(writer); /* set on success, and errors are negative */
	writer->uid = cred->uid;
	*ret_writer = writer;
	return 0;
}

/* A control record. Inject lock. */
static int store_end(struct pfs_inject *inject, uint16_t flags, uint32_t number, uint64_t serial)
{
	struct pfs_record *rec;
	int r = inject->ring ? pfs_ring_reserve(inject->ring, 0, &rec) : -EAGAIN;

	if (r < 0)
		return r;
	rec->flags = flags;
	rec->stream = number;
	rec->time = serial;
	rec->origin = inject->origin;
	pfs_ring_commit(inject->ring, rec);
	return 0;
}

static void drop_end(struct pfs_inject *inject)
{
	if (inject->nends)
		memmove(inject->ends, inject->ends + 1, --inject->nends * sizeof(*inject->ends));
	else
		inject->eof = 0;
	atomic_store(&inject->owed, inject->nends || inject->eof);
}

void pfs_inject_take_end(struct pfs_inject *inject, struct pfs_ref *ret_ref)
{
	if (!atomic_load(&inject->owed))
		return;
	*ret_ref = inject->nends ? pfs_control_ref(PFS_REF_STREAM_END, inject->ends[0])
				 : pfs_control_end(inject->eof_serial, inject->eof);
	drop_end(inject);
}

/* How many ends of streams wait in the ring, with at most one of a generation; -EBUSY: more than that. Inject lock. */
static int count_ends(struct pfs_inject *inject, uint32_t *ret_eof, uint64_t *ret_serial)
{
	uint64_t pos = atomic_load(&inject->scan), serial = inject->eof_serial;
	struct pfs_record *rec;
	uint32_t eof = inject->eof;
	int n = 0;

	for (; (rec = pfs_ring_scan(inject->ring, &pos)); pos += rec->size) {
		if (!(rec->flags & PFS_REF_CONTROL) || ((rec->flags & PFS_REF_EOF) && eof))
			return -EBUSY;
		if (rec->flags & PFS_REF_EOF) {
			eof = rec->stream;
			serial = rec->time;
		} else {
			n++;
		}
	}
	*ret_serial = serial;
	*ret_eof = eof;
	return n;
}

/* Ends of streams that wait in the ring are noted instead: they are older than those that are noted. Inject lock. */
static int note_ends(struct pfs_inject *inject)
{
	uint64_t pos = atomic_load(&inject->scan), serial;
	struct pfs_record *rec;
	uint32_t eof, *ends;
	int n = count_ends(inject, &eof, &serial), i = 0;

	if (n < 0)
		return n;
	ends = reallocarray(inject->ends, inject->nends + (size_t)n + 1, sizeof(*ends));
	if (!ends)
		return -ENOMEM;
	memmove(ends + n, ends, inject->nends * sizeof(*ends));
	for (; (rec = pfs_ring_scan(inject->ring, &pos)); pos += rec->size)
		if (!(rec->flags & PFS_REF_EOF))
			ends[i++] = rec->stream;
	inject->ends = ends;
	inject->nends += (uint32_t)n;
	inject->cap_ends = inject->nends + 1;
	inject->eof = eof;
	inject->eof_serial = serial;
	atomic_store(&inject->owed, inject->nends || inject->eof);
	return 0;
}

bool pfs_inject_waits(struct pfs_inject *inject, uint64_t to, uint64_t *ret_to)
{
	struct pfs_task *owner = inject->node->owner;
	bool flows = false, waits;

	pfs_task_lock(owner);
	for (unsigned i = 0; owner->plan && i < owner->plan->ninjects; i++)
		flows |= owner->plan->injects[i]->node == inject->node;
	flows = flows && !pfs_gate_closed(owner);
	pfs_task_unlock(owner);
	pthread_mutex_lock(&inject->lock);
	*ret_to = to ? to : inject->ring ? atomic_load(&inject->ring->head) : 0;
	waits = flows && inject->ring && atomic_load(&inject->scan) < *ret_to &&
		*ret_to <= atomic_load(&inject->ring->head);
	pthread_mutex_unlock(&inject->lock);
	return waits;
}

static bool is_used(struct pfs_inject *inject)
{
	return atomic_load(&inject->writers) || atomic_load(&inject->clients);
}

void pfs_inject_rest(struct pfs_inject *inject)
{
	struct pfs_ring *ring = NULL;

	if (is_used(inject))
		return;
	pthread_mutex_lock(&inject->lock);
	if (inject->ring && !is_used(inject) && note_ends(inject) == 0) {
		ring = TAKE_PTR(inject->ring);
		atomic_store(&inject->scan, 0);
	}
	pthread_mutex_unlock(&inject->lock);
	pfs_ring_retire(inject->node->domain, ring);
}

/* Ends that were noted go into the ring before anything newer. False: still no room. Inject lock. */
static bool flush_ends(struct pfs_inject *inject)
{
	while (atomic_load(&inject->owed)) {
		int r = inject->nends
				? store_end(inject, PFS_REF_STREAM_END, inject->ends[0], 0)
				: store_end(inject, PFS_REF_EOF, inject->eof, inject->eof_serial);

		if (r < 0)
			return false;
		drop_end(inject);
	}
	return true;
}

static void add_stream_end(struct pfs_inject *inject, uint32_t stream)
{
	if (flush_ends(inject) && store_end(inject, PFS_REF_STREAM_END, stream, 0) == 0)
		return;
	assert(inject->nends < inject->cap_ends);
	inject->ends[inject->nends++] = stream;
	atomic_store(&inject->owed, true);
}

/* Generations that end while the ring is full are one: nothing can have been written in the later ones. */
static void add_eof(struct pfs_inject *inject, uint32_t generation, uint64_t serial)
{
	if (flush_ends(inject) && store_end(inject, PFS_REF_EOF, generation, serial) == 0)
		return;
	inject->eof = generation;
	inject->eof_serial = serial;
	atomic_store(&inject->owed, true);
}

void pfs_stream_end(struct pfs_writer *writer)
{
	struct pfs_inject *inject = writer->node->inject;

	if (writer->packets)
		return;
	pthread_mutex_lock(&inject->lock);
	add_stream_end(inject, writer->stream);
	pthread_mutex_unlock(&inject->lock);
}

/* The last writer has gone: the number of the generation that is over. 0: here there are none. */
static uint32_t next_generation(struct pfs_domain *domain)
{
	if (!(domain->source->from->flags & PFS_SOURCE_WRITABLE))
		return 0;
	return atomic_fetch_add(&domain->generation, 1) + 1;
}

static void end_at(struct pfs_node *source, uint32_t generation)
{
	struct pfs_inject *inject = source->inject;

	if (!inject)
		return;
	pthread_mutex_lock(&inject->lock);
	add_eof(inject, generation, source->domain->serial);
	pthread_mutex_unlock(&inject->lock);
	pfs_kick(source->task);
}

/*
 * Processes may write at several depths below one source. The last of them ends the generation, behind what it wrote
 * and at the source, so that it comes to everybody; where both ends meet, the second is not passed on.
 */
void pfs_generation_end(struct pfs_node *node)
{
	struct pfs_inject *inject = node->inject;
	struct pfs_node *source = NULL;
	struct pfs_domain *domain;
	uint32_t generation = 0;

	pthread_mutex_lock(&inject->lock);
	domain = pfs_domain_ref(node->domain);
	inject->taking--;
	if (atomic_fetch_sub(&domain->writers, 1) == 1)
		generation = next_generation(domain);
	if (generation) {
		add_eof(inject, generation, domain->serial);
		source = pfs_node_ref(domain->source); /* above us now, if not for long */
	}
	pthread_mutex_unlock(&inject->lock);
	if (source && source != node)
		end_at(source, generation);
	pfs_node_unref(source);
	pfs_domain_unref(domain);
}

bool pfs_inject_move(struct pfs_inject *inject, struct pfs_domain *from, struct pfs_domain *to)
{
	unsigned n = inject->taking;

	if (inject->ring)
		inject->ring->owner = to;
	atomic_fetch_add(&to->writers, n);
	return n && atomic_fetch_sub(&from->writers, n) == n;
}

void pfs_generation_over(struct pfs_domain *domain)
{
	uint32_t generation = next_generation(domain);

	if (generation)
		end_at(domain->source, generation);
}

void pfs_writer_end(struct pfs_writer *writer)
{
	if (writer->ended)
		return;
	writer->ended = true;
	pfs_stream_end(writer);
	pfs_generation_end(writer->node);
}

void pfs_writer_close(struct pfs_writer *writer)
{
	struct pfs_graph *graph;
	uid_t uid;

	if (!writer)
		return;
	graph = writer->node->graph;
	uid = writer->uid;
	pfs_writer_end(writer);
	pfs_writer_run(writer);
	pfs_writer_free(writer);
	pfs_due_give(graph, uid, PFS_DUE_OPENS, 1);
}

struct pfs_node *pfs_writer_node(struct pfs_writer *writer)
{
	return writer->node;
}

size_t pfs_writer_max(const struct pfs_writer *writer)
{
	return pfs_min(PFS_WRITE_MAX, pfs_ring_max_record(writer->node->inject->ring));
}

uid_t pfs_writer_uid(const struct pfs_writer *writer)
{
	return writer->uid;
}

/* --- writing ------------------------------------------------------------------------------------------ */

/* A record of n bytes, not committed yet, with what all of a writer's have. Inject lock. */
static int store_begin(struct pfs_writer *writer, size_t n, struct pfs_record **ret_rec)
{
	struct pfs_inject *inject = writer->node->inject;
	int r = flush_ends(inject) ? pfs_ring_reserve(inject->ring, n, ret_rec) : -EAGAIN;

	if (r < 0)
		return r;
	(*ret_rec)->stream = writer->stream;
	(*ret_rec)->origin = inject->origin;
	return 0;
}

static int store_refused(const struct pfs_writer *writer, size_t n)
{
	if (n > pfs_writer_max(writer))
		return -EMSGSIZE;
	if (atomic_load(&writer->node->dead) || atomic_load(&writer->node->graph->shutdown))
		return -EPIPE;
	return 0;
}

/*
 * Of a time that is not there yet nothing good could come: what waits below for time to pass, of others' records, too,
 * would be over.
 */
static void say(const struct pfs_writer *writer, const struct pfs_said *said, struct pfs_record *rec)
{
	rec->time = pfs_clock_real();
	if (said->time)
		rec->time = pfs_min64(said->time, rec->time);
	if (writer->packets)
		rec->wire_len = (uint32_t)pfs_max(said->wire_len, rec->len);
}

ssize_t pfs_writer_store_as(struct pfs_writer *writer, const void *bytes, size_t n,
			    const struct pfs_said *said)
{
	struct pfs_inject *inject = writer->node->inject;
	struct pfs_record *rec;
	int r = store_refused(writer, n);

	if (r < 0 || n == 0)
		return r;
	pthread_mutex_lock(&inject->lock);
	r = store_begin(writer, n, &rec);
	if (r == 0) {
		say(writer, said, rec);
		memcpy(rec + 1, bytes, n);
		pfs_ring_commit(inject->ring, rec);
	}
	pthread_mutex_unlock(&inject->lock);
	return r < 0 ? r : (ssize_t)n;
}

ssize_t pfs_writer_store(struct pfs_writer *writer, const void *bytes, size_t n)
{
	static const struct pfs_said nothing;

	return pfs_writer_store_as(writer, bytes, n, &nothing);
}

int pfs_writer_copy(struct pfs_writer *writer, const struct pfs_ref *ref, const uint16_t *origin)
{
	struct pfs_inject *inject = writer->node->inject;
	const struct pfs_rings *rings = writer->node->graph->rings;
	struct pfs_record *rec;
	struct pfs_meta meta;
	int r = store_refused(writer, ref->len);

	if (r < 0)
		return r;
	pfs_ref_meta(rings, ref, &meta);
	pthread_mutex_lock(&inject->lock);
	r = store_begin(writer, ref->len, &rec);
	if (r == 0) {
		rec->time = meta.time;
		rec->mark = meta.mark;
		if (origin) {
			rec->origin = *origin;
			rec->wire_len = (uint32_t)pfs_max(meta.wire_len, ref->len);
			rec->flags = ref->flags & (PFS_REC_IN | PFS_REC_OUT | PFS_REC_CSUM);
		}
		memcpy(rec + 1, pfs_ref_bytes(rings, ref), ref->len);
		pfs_ring_commit(inject->ring, rec);
	}
	pthread_mutex_unlock(&inject->lock);
	return r;
}

void pfs_writer_run(struct pfs_writer *writer)
{
	pfs_node_kick(writer->node);
}

ssize_t pfs_writer_write(struct pfs_writer *writer, const void *bytes, size_t n)
{
	ssize_t r = pfs_writer_store(writer, bytes, n);

	if (r > 0)
		pfs_writer_run(writer);
	return r;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

bool pfs_writer_ready(struct pfs_writer *writer, size_t n)
{
	struct pfs_inject *inject = writer->node->inject;
	uint64_t bytes;
	bool ready;

	if (atomic_load(&writer->node->dead) || atomic_load(&writer->node->graph->shutdown) ||
	    n > pfs_ring_max_record(inject->ring))
		return true; /* a write would not wait */
	pthread_mutex_lock(&inject->lock);
	bytes = (inject->nends + (inject->eof != 0)) * sizeof(struct pfs_record);
	ready = pfs_ring_room(inject->ring, bytes + sizeof(struct pfs_record) + pfs_align8(n));
	pthread_mutex_unlock(&inject->lock);
	return ready;
}

bool pfs_writer_park(struct pfs_writer *writer, struct pfs_waiter *waiter, size_t n)
{
	pfs_node_space_add(writer->node, waiter);
	if (!pfs_writer_ready(writer, n))
		return true;
	return !pfs_node_space_remove(writer->node, waiter);
}

bool pfs_writer_unpark(struct pfs_writer *writer, struct pfs_waiter *waiter)
{
	return pfs_node_space_remove(writer->node, waiter);
}
