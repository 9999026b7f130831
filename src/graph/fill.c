#include "graph/fill.h"

#include "base/nudge.h"
#include "graph/graph_i.h"
#include "ring/zbuf.h"

#define BATCH 256

struct pfs_fill {
	struct pfs_reader *reader; /* borrowed */
	const struct pfs_rings *rings;
	struct pfs_zbuf *blocks; /* lock; owned */
	struct pfs_watch watch;	 /* of the reader's queue; frees it */
	int nudge_fd;		 /* borrowed */
	void (*last)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	bool running;	     /* lock: somebody fills */
	bool again;	     /* lock: and is to look again */
	bool closing;	     /* lock */
	bool ended;	     /* by who runs */
	bool waits;	     /* by who runs: for a block */
	struct pfs_ref part; /* by who runs: bytes of a stream that go into several blocks */
	uint32_t part_done;
	struct pfs_graph *graph; /* borrowed */
	uid_t payer;
	size_t charged; /* of memory */
};

static void fill_free(struct pfs_watch *watch)
{
	struct pfs_fill *fill = CONTAINER_OF(watch, struct pfs_fill, watch);
	void (*last)(void *arg) = fill->last;
	void *arg = fill->arg;

	pfs_zbuf_free(fill->blocks);
	pfs_due_give(fill->graph, fill->payer, PFS_DUE_MEMORY, fill->charged);
	pthread_mutex_destroy(&fill->lock);
	free(fill);
	last(arg);
}

/* --- one record ----------------------------------------------------------------------------------- */

/* What FreeBSD knows of the interface. */
static uint16_t link_len(uint16_t link_type)
{
	static const struct {
		uint16_t type, len;
	} table[] = {
		{ 0, 4 }, { PFS_LINK_ETHERNET, 14 }, { 108, 4 }, { 113, 16 }, { 276, 20 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == link_type)
			return table[i].len;
	return 0;
}

static bool is_part(const struct pfs_fill *fill, const struct pfs_ref *ref)
{
	return fill->part_done && fill->part.pos == ref->pos && fill->part.ring == ref->ring &&
	       fill->part.off == ref->off;
}

/* Packets are cut to what a block holds, bytes of a stream go into several. Lock held. */
static int fill_one(struct pfs_fill *fill, const struct pfs_ref *ref)
{
	const struct pfs_origin *origin = pfs_origin_get(fill->rings, ref->origin);
	const uint8_t *bytes = pfs_ref_bytes(fill->rings, ref);
	struct pfs_meta meta;
	struct pfs_zbuf_record record = {
		.link_type = ref->flags & PFS_REF_IN_STREAM ? PFS_LINK_BYTES : origin->link_type,
	};
	size_t done = is_part(fill, ref) ? fill->part_done : 0, max;
	int r = 0;

	pfs_ref_meta(fill->rings, ref, &meta);
	record.time = meta.time;
	record.link_len = link_len(record.link_type);
	max = pfs_zbuf_record_max(fill->blocks, record.link_len);
	if (record.link_type != PFS_LINK_BYTES || ref->len <= max) {
		record.len = ref->len;
		record.wire_len = meta.wire_len;
		return pfs_zbuf_put(fill->blocks, &record, bytes);
	}
	while (r == 0 && done < ref->len) {
		record.len = (uint32_t)pfs_min(ref->len - done, max);
		r = pfs_zbuf_put(fill->blocks, &record, bytes + done);
		done += r == 0 ? record.len : 0;
	}
	fill->part = *ref;
	fill->part_done = r == 0 ? 0 : (uint32_t)done;
	return r;
}

/* --- filling ---------------------------------------------------------------------------------------- */

/* Puts what is there. -EAGAIN: there is no more; -ENOBUFS: no block is ours; 0: it is the end. */
static int fill_all(struct pfs_fill *fill)
{
	struct pfs_ref refs[BATCH];
	ssize_t n;
	int r = 0;

	while (r == 0) {
		ssize_t i = 0;

		n = pfs_reader_pin(fill->reader, refs, BATCH);
		if (n <= 0)
			return (int)n;
		pthread_mutex_lock(&fill->lock);
		for (; i < n && r == 0; i += r == 0)
			if (!(refs[i].flags & PFS_REF_CONTROL))
				r = fill_one(fill, &refs[i]);
		pthread_mutex_unlock(&fill->lock);
		pfs_reader_unpin(fill->reader, refs, (size_t)i);
	}
	return -ENOBUFS;
}

static void tell(struct pfs_fill *fill, uint32_t state)
{
	bool handed;

	pthread_mutex_lock(&fill->lock);
	if (state & PFS_ZBUF_END)
		pfs_zbuf_end(fill->blocks);
	pfs_zbuf_state(fill->blocks, state);
	handed = pfs_zbuf_handed(fill->blocks);
	pthread_mutex_unlock(&fill->lock);
	if (handed || (state & PFS_ZBUF_END))
		(void)pfs_nudge(fill->nudge_fd);
}

/* Is a block ours after all? It was given back while PFS_ZBUF_WAITS was not yet there to be seen. */
static bool room(struct pfs_fill *fill)
{
	bool yes;

	pthread_mutex_lock(&fill->lock);
	yes = pfs_zbuf_room(fill->blocks);
	pthread_mutex_unlock(&fill->lock);
	return yes;
}

/* By who runs. True: there is more to do at once. */
static bool fill_round(struct pfs_fill *fill)
{
	int r = fill->waits && !room(fill) ? -ENOBUFS : fill_all(fill);

	if (r == 0) {
		fill->ended = true;
		tell(fill, PFS_ZBUF_END);
		return false;
	}
	fill->waits = r == -ENOBUFS;
	tell(fill, fill->waits ? PFS_ZBUF_WAITS : 0);
	/* Twins: the push, whose waker looks for us, who are parked; the process that gives back before it looks. */
	atomic_thread_fence(memory_order_seq_cst);
	return fill->waits ? room(fill) : pfs_reader_ready(fill->reader);
}

static void fill_run(struct pfs_fill *fill)
{
	bool more = false;

	pthread_mutex_lock(&fill->lock);
	fill->again = true;
	while (!fill->running && (fill->again || more) && !fill->closing && !fill->ended) {
		fill->running = true;
		fill->again = false;
		pthread_mutex_unlock(&fill->lock);
		more = fill_round(fill);
		pthread_mutex_lock(&fill->lock);
		fill->running = false;
	}
	pthread_mutex_unlock(&fill->lock);
}

static void fill_look(struct pfs_watch *watch)
{
	fill_run(CONTAINER_OF(watch, struct pfs_fill, watch));
}

/* --- open, close, ask ------------------------------------------------------------------------------- */

int pfs_fill_open(struct pfs_reader *reader, size_t size, int nudge_fd, void (*last)(void *arg),
		  void *arg, struct pfs_fill **ret_fill, struct pfs_diag *diag)
{
	struct pfs_node *node = pfs_reader_node(reader);
	struct pfs_fill *fill;
	int r;

	if (node->kind == PFS_NODE_VIEW || pfs_reader_begins(reader))
		return pfs_diag_set(diag, EINVAL,
				    "what is read there has a beginning: blocks hold records");
	if (size > PFS_BLOCK_MAX)
		return pfs_diag_set(diag, EINVAL, "a block has at most %zu bytes", PFS_BLOCK_MAX);
	r = pfs_due_take(node->graph, pfs_reader_uid(reader), PFS_DUE_MEMORY, 2 * size);
	if (r < 0)
		return pfs_due_refused(node->graph, PFS_DUE_MEMORY, r, diag);
	fill = pfs_zalloc(1, sizeof(*fill));
	r = fill ? pfs_zbuf_new(size, &fill->blocks) : -ENOMEM;
	if (r < 0) {
		pfs_due_give(node->graph, pfs_reader_uid(reader), PFS_DUE_MEMORY, 2 * size);
		free(fill);
		return pfs_diag_set(diag, -r, "no blocks of %zu bytes: %s", size, strerror(-r));
	}
	pthread_mutex_init(&fill->lock, NULL);
	fill->reader = reader;
	fill->graph = node->graph;
	fill->payer = pfs_reader_uid(reader);
	fill->charged = 2 * size;
	fill->rings = node->graph->rings;
	fill->nudge_fd = nudge_fd;
	fill->last = last;
	fill->arg = arg;
	*ret_fill = fill;
	pfs_watch_open(&fill->watch, &node->queue->waiters, fill_look, fill_free);
	fill_run(fill);
	return 0;
}

void pfs_fill_close(struct pfs_fill *fill)
{
	if (!fill)
		return;
	pthread_mutex_lock(&fill->lock);
	fill->closing = true;
	pthread_mutex_unlock(&fill->lock);
	pfs_watch_close(&fill->watch);
}

int pfs_fill_memory(const struct pfs_fill *fill)
{
	return pfs_zbuf_memory(fill->blocks);
}

void pfs_fill_on(struct pfs_fill *fill)
{
	fill_run(fill);
}

int pfs_fill_rotate(struct pfs_fill *fill, unsigned *ret_block, size_t *ret_len)
{
	bool rotated;

	fill_run(fill);
	pthread_mutex_lock(&fill->lock);
	rotated = pfs_zbuf_rotate(fill->blocks, ret_block, ret_len);
	(void)pfs_zbuf_handed(fill->blocks); /* who asks is told by this */
	pthread_mutex_unlock(&fill->lock);
	return rotated;
}
