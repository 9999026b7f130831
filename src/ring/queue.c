#include "ring/queue.h"

#include <fcntl.h>
#include <sys/mman.h>

#define WORDS 4 /* 8-byte words of a ref */
static_assert(sizeof(struct pfs_ref) == WORDS * sizeof(uint64_t), "a slot holds one ref");

/* --- slots -------------------------------------------------------------------------------- */

/* Word by word and atomic: a limit scan may look at a slot whose cursor has just moved on. */
static void slot_store(struct pfs_queue *queue, uint64_t index, const struct pfs_ref *ref)
{
	_Atomic uint64_t *slot = &queue->slots[(index & (queue->size - 1)) * WORDS];
	uint64_t words[WORDS];

	memcpy(words, ref, sizeof(words));
	for (int i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot[i], words[i], memory_order_relaxed);
}

static inline void slot_load(const struct pfs_queue *queue, uint64_t index, struct pfs_ref *ret_ref)
{
	_Atomic uint64_t *slot = &queue->slots[(index & (queue->size - 1)) * WORDS];

	for (size_t i = 0; i < WORDS; i++) {
		/* Word by word, too: a wider load of what has just been stored in pieces would wait for it. */
		uint64_t word = atomic_load_explicit(&slot[i], memory_order_relaxed);

		memcpy((uint8_t *)ret_ref + i * sizeof(word), &word, sizeof(word));
	}
}

/* --- the cursors of a tree ------------------------------------------------------------------ */

int pfs_cursors_new(const struct pfs_rings *rings, struct pfs_cursors **ret_cursors)
{
	struct pfs_cursors *all = pfs_zalloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->rings = rings;
	atomic_init(&all->refs, 1);
	pthread_mutex_init(&all->lock, NULL);
	*ret_cursors = all;
	return 0;
}

struct pfs_cursors *pfs_cursors_ref(struct pfs_cursors *all)
{
	atomic_fetch_add_explicit(&all->refs, 1, memory_order_relaxed);
	return all;
}

void pfs_cursors_unref(struct pfs_cursors *all)
{
	while (all && atomic_fetch_sub_explicit(&all->refs, 1, memory_order_acq_rel) == 1) {
		struct pfs_cursors *merged = all->merged;

		assert(!all->first);
		pthread_mutex_destroy(&all->lock);
		free(all);
		all = merged;
	}
}

/* Locks the list that this name means, and returns it. */
static struct pfs_cursors *list_lock(struct pfs_cursors *all)
{
	pthread_mutex_lock(&all->lock);
	while (all->merged) {
		struct pfs_cursors *merged = all->merged;

		pthread_mutex_lock(&merged->lock);
		pthread_mutex_unlock(&all->lock);
		all = merged;
	}
	return all;
}

static void list_unlock(struct pfs_cursors *all)
{
	pthread_mutex_unlock(&all->lock);
}

/* In its place by depth. Lock held. */
static void cursors_add(struct pfs_cursors *all, struct pfs_cursor *cursor)
{
	struct pfs_cursor **at;

	for (at = &all->first; *at && (*at)->depth <= cursor->depth; at = &(*at)->next_cursor)
		;
	cursor->next_cursor = *at;
	*at = cursor;
}

/* Lock held. */
static void cursors_del(struct pfs_cursors *all, struct pfs_cursor *cursor)
{
	for (struct pfs_cursor **at = &all->first; *at; at = &(*at)->next_cursor) {
		if (*at == cursor) {
			*at = cursor->next_cursor;
			return;
		}
	}
}

void pfs_cursors_merge(struct pfs_cursors *a, struct pfs_cursors *b)
{
	while (a->merged) /* nobody else merges */
		a = a->merged;
	while (b->merged)
		b = b->merged;
	if (a == b)
		return;
	pthread_mutex_lock(&a->lock);
	pthread_mutex_lock(&b->lock);
	while (a->first) {
		struct pfs_cursor *c = a->first;

		a->first = c->next_cursor;
		cursors_add(b, c);
	}
	a->merged = pfs_cursors_ref(b);
	pthread_mutex_unlock(&b->lock);
	pthread_mutex_unlock(&a->lock);
}

void pfs_cursors_shift(struct pfs_cursors *all)
{
	struct pfs_cursor *moved = NULL;

	all = list_lock(all);
	for (struct pfs_cursor **at = &all->first; *at;) {
		struct pfs_cursor *c = *at;

		if (!c->queue->shift || c->depth == 0) { /* those with an end stay the first */
			at = &c->next_cursor;
			continue;
		}
		*at = c->next_cursor;
		c->next_cursor = moved;
		moved = c;
	}
	while (moved) {
		struct pfs_cursor *c = moved;

		moved = c->next_cursor;
		c->depth = (unsigned)((int)c->depth + 2 * c->queue->shift);
		cursors_add(all, c);
	}
	list_unlock(all);
}

/* --- queue ----------------------------------------------------------------------------------- */

static size_t queue_bytes(const struct pfs_queue *queue)
{
	return queue->size * (sizeof(struct pfs_ref) + sizeof(*queue->before));
}

/*
 * A page of positions and the slots, of which nobody else gets a writable mapping. at: NULL, or where the memory of
 * before is, whose place it takes.
 */
static int shared_map(struct pfs_queue *queue, void *at)
{
	size_t bytes = PFS_SHARED_PAGE + queue_bytes(queue);
	PFS_CLOSE int fd = memfd_create("pipesfs-queue", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *memory = MAP_FAILED;
	int r;

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0 ||
	    (at && mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED)) {
		r = -errno;
		munmap(memory, bytes);
		return r;
	}
	memory = at ? at : memory;
	pfs_closep(&queue->fd);
	queue->fd = TAKE_FD(fd);
	queue->shared = (struct pfs_shared_queue *)(void *)memory;
	queue->slots = (_Atomic uint64_t *)(void *)(memory + PFS_SHARED_PAGE);
	return 0;
}

static int private_map(struct pfs_queue *queue)
{
	void *slots = mmap(NULL, queue_bytes(queue), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (slots == MAP_FAILED)
		return -ENOMEM;
	queue->slots = slots;
	return 0;
}

static void queue_unmap(struct pfs_queue *queue)
{
	if (queue->shared)
		munmap(queue->shared, PFS_SHARED_PAGE + queue_bytes(queue));
	else if (queue->slots)
		munmap(queue->slots, queue_bytes(queue));
	pfs_closep(&queue->fd);
}

static int queue_new(size_t size, struct pfs_cursors *all, bool shared, struct pfs_queue **ret_queue)
{
	PFS_FREE struct pfs_queue *queue = pfs_zalloc(1, sizeof(*queue));
	int r;

	if (!queue)
		return -ENOMEM;
	queue->fd = -1;
	for (queue->size = 512; queue->size < size;)
		queue->size *= 2;
	r = shared ? shared_map(queue, NULL) : private_map(queue);
	if (r < 0) {
		queue_unmap(queue);
		return r;
	}
	queue->before = (_Atomic uint32_t *)(queue->slots + queue->size * WORDS);
	queue->cursors = pfs_cursors_ref(all);
	queue->rings = all->rings;
	pfs_waitlist_init(&queue->waiters);
	*ret_queue = TAKE_PTR(queue);
	return 0;
}

int pfs_queue_new(size_t size, struct pfs_cursors *all, struct pfs_queue **ret_queue)
{
	return queue_new(size, all, false, ret_queue);
}

int pfs_queue_new_shared(size_t size, struct pfs_cursors *all, struct pfs_queue **ret_queue)
{
	return queue_new(size, all, true, ret_queue);
}

void pfs_queue_free(struct pfs_queue *queue)
{
	if (!queue)
		return;
	pfs_cursors_unref(queue->cursors);
	pfs_waitlist_release(&queue->waiters);
	queue_unmap(queue);
	free(queue);
}

bool pfs_queue_trim(struct pfs_queue *queue)
{
	struct pfs_cursors *all = list_lock(queue->cursors);
	bool used = false;

	for (struct pfs_cursor *c = all->first; c; c = c->next_cursor)
		used |= c->queue == queue;
	if (!used && queue->shared) /* of a sealed one no pages can be given back: another takes its place */
		used = shared_map(queue, queue->shared) < 0;
	else if (!used)
		madvise(queue->slots, queue_bytes(queue), MADV_DONTNEED);
	list_unlock(all);
	return !used;
}

/* --- what a client says --- */

/* Its next ref, as far as that can be: not beyond head, nor overwritten long ago. */
static uint64_t client_next(const struct pfs_cursor *cursor)
{
	const struct pfs_queue *queue = cursor->queue;
	uint64_t next = atomic_load(&cursor->client->next);
	uint64_t head = atomic_load_explicit(&((struct pfs_queue *)queue)->head, memory_order_acquire);

	if (next > head)
		return head;
	return head - next > queue->size ? head - queue->size : next;
}

/* The first slot that must stay. Of a client's read once: it may say something else each time. */
static uint64_t cursor_hold(const struct pfs_cursor *cursor)
{
	const struct pfs_queue *queue = cursor->queue;
	uint64_t hold, head;

	if (!cursor->client)
		return atomic_load(&cursor->hold);
	if (!cursor->reliable)
		return PFS_HOLD_NONE;
	hold = atomic_load(&cursor->client->hold);
	head = atomic_load_explicit(&((struct pfs_queue *)queue)->head, memory_order_acquire);
	if (hold > head)
		return head;
	return head - hold > queue->size ? head - queue->size : hold;
}

/* Its client is to say when it has moved on. Twin: hold_move() in client/client.c. */
static void client_want(struct pfs_cursor *cursor)
{
	atomic_store(&cursor->client->wanted, 1);
	atomic_thread_fence(memory_order_seq_cst);
}

void pfs_cursor_share(struct pfs_cursor *cursor, struct pfs_shared_cursor *page)
{
	struct pfs_cursors *all = list_lock(cursor->queue->cursors);
	uint64_t next = atomic_load(&cursor->next);

	assert(cursor->queue->shared && !cursor->client);
	/* Its page may be another since they were stored there; nothing is pushed. */
	atomic_store(&cursor->queue->shared->claim, atomic_load(&cursor->queue->claim));
	atomic_store(&cursor->queue->shared->records, atomic_load(&cursor->queue->records));
	atomic_store(&cursor->queue->shared->head, atomic_load(&cursor->queue->head));
	atomic_store(&page->next, next);
	atomic_store(&page->hold, next);
	atomic_store(&page->records, atomic_load(&cursor->records));
	atomic_store(&page->lost, pfs_counter_get(&cursor->lost));
	cursor->client = page;
	list_unlock(all);
}

void pfs_cursor_follow(struct pfs_cursor *cursor)
{
	uint64_t was, records, lost, lost_was;

	pthread_mutex_lock(&cursor->lock);
	was = atomic_load(&cursor->records);
	lost_was = pfs_counter_get(&cursor->lost);
	/* In this order: of what is taken for delivered nothing turns out to be lost. */
	records = atomic_load(&cursor->client->records);
	lost = atomic_load(&cursor->client->lost);
	records = pfs_max64(was, pfs_min64(records, atomic_load(&cursor->queue->records)));
	lost = pfs_max64(lost_was, pfs_min64(lost, lost_was + (records - was)));
	atomic_store(&cursor->records, records);
	atomic_store(&cursor->lost, lost);
	atomic_store(&cursor->next, pfs_max64(atomic_load(&cursor->next), client_next(cursor)));
	pthread_mutex_unlock(&cursor->lock);
}

/* --- room --- */

/* Smallest held index of this queue's cursors; lock held. */
static uint64_t lowest_hold(const struct pfs_queue *queue, const struct pfs_cursors *all)
{
	uint64_t lowest = PFS_HOLD_NONE;

	for (struct pfs_cursor *c = all->first; c; c = c->next_cursor)
		if (c->queue == queue)
			lowest = pfs_min64(lowest, cursor_hold(c));
	return lowest;
}

/* How far the queue may be filled, `to` at most, with this lowest hold. */
static uint64_t room_below(const struct pfs_queue *queue, uint64_t hold, uint64_t to)
{
	return hold == PFS_HOLD_NONE ? to : pfs_min64(to, hold + queue->size);
}

/* Clients that hold up the queue are to say when they do not any more; lock held. */
static void want_room(const struct pfs_queue *queue, const struct pfs_cursors *all)
{
	for (struct pfs_cursor *c = all->first; c; c = c->next_cursor)
		if (c->queue == queue && c->client && c->reliable)
			client_want(c);
}

/*
 * A good step at once: what has been claimed and was not held then stays free, as a cursor that comes to hold looks at
 * claim afterwards. So the common case takes no lock.
 */
size_t pfs_queue_room(struct pfs_queue *queue, size_t want)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	uint64_t to = head + pfs_max(want, queue->size / 16);
	struct pfs_cursors *all;

	if (head + want <= queue->room_to)
		return want;
	all = list_lock(queue->cursors);
	to = room_below(queue, lowest_hold(queue, all), to);
	if (to > atomic_load_explicit(&queue->claim, memory_order_relaxed)) {
		/* Twin: hold is stored before claim is loaded, in hold_valid(). */
		atomic_store(&queue->claim, to);
		if (queue->shared) /* twin: ref_load() in client/client.c */
			atomic_store(&queue->shared->claim, to);
		atomic_thread_fence(memory_order_seq_cst);
	}
	queue->room_to = pfs_max64(queue->room_to, room_below(queue, lowest_hold(queue, all), to));
	if (queue->shared && queue->room_to < head + want) {
		want_room(queue, all);
		queue->room_to =
			pfs_max64(queue->room_to, room_below(queue, lowest_hold(queue, all), to));
	}
	list_unlock(all);
	return pfs_min(want, queue->room_to - head);
}

void pfs_queue_push(struct pfs_queue *queue, const struct pfs_ref *refs, size_t n)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	uint64_t records = atomic_load_explicit(&queue->records, memory_order_relaxed);

	assert(head + n <= queue->room_to);
	for (size_t i = 0; i < n; i++) {
		slot_store(queue, head + i, &refs[i]);
		atomic_store_explicit(&queue->before[(head + i) & (queue->size - 1)],
				      (uint32_t)records, memory_order_relaxed);
		records += pfs_ref_weight(&refs[i]);
	}
	atomic_store_explicit(&queue->records, records, memory_order_relaxed);
	/* Pairs with the acquire loads of head: slots are there before they are counted. */
	atomic_store_explicit(&queue->head, head + n, memory_order_release);
	if (queue->shared) {
		atomic_store_explicit(&queue->shared->records, records, memory_order_relaxed);
		atomic_store_explicit(&queue->shared->head, head + n, memory_order_release);
	}
}

/* --- cursor ------------------------------------------------------------------------------------ */

int pfs_cursor_init(struct pfs_cursor *cursor, struct pfs_queue *queue, unsigned depth, bool reliable)
{
	struct pfs_cursors *all;
	uint64_t head;

	*cursor = (struct pfs_cursor){
		.queue = queue, .depth = depth, .until = UINT64_MAX, .reliable = reliable
	};
	pthread_mutex_init(&cursor->lock, NULL);
	all = list_lock(queue->cursors);
	head = atomic_load_explicit(&queue->head, memory_order_acquire);
	atomic_init(&cursor->next, head);
	atomic_init(&cursor->records, atomic_load(&queue->records));
	atomic_init(&cursor->hold, reliable ? head : PFS_HOLD_NONE);
	cursors_add(all, cursor);
	list_unlock(all);
	return 0;
}

void pfs_cursor_release(struct pfs_cursor *cursor)
{
	struct pfs_cursors *all;

	if (!cursor->queue)
		return;
	all = list_lock(cursor->queue->cursors);
	cursors_del(all, cursor);
	list_unlock(all);
	free(cursor->rescued);
	pthread_mutex_destroy(&cursor->lock);
	cursor->rescued = NULL;
	cursor->queue = NULL;
}

/* Where it comes to an end for now. */
static uint64_t cursor_end(const struct pfs_cursor *cursor)
{
	return pfs_min64(atomic_load_explicit(&cursor->queue->head, memory_order_acquire),
			 cursor->until);
}

uint64_t pfs_cursor_ready(const struct pfs_cursor *cursor)
{
	if (cursor->client)
		return cursor_end(cursor) - client_next(cursor);
	return cursor_end(cursor) -
	       atomic_load_explicit(&((struct pfs_cursor *)cursor)->next, memory_order_relaxed);
}

void pfs_cursor_end(struct pfs_cursor *cursor)
{
	struct pfs_cursors *all = list_lock(cursor->queue->cursors);

	cursor->until_records = atomic_load(&cursor->queue->records);
	cursor->until = atomic_load(&cursor->queue->head);
	cursors_del(all, cursor);
	cursor->depth = 0;
	cursors_add(all, cursor);
	list_unlock(all);
}

uint64_t pfs_cursor_lag(struct pfs_cursor *cursor)
{
	uint64_t taken = atomic_load(&cursor->records);
	uint64_t waiting = atomic_load(&cursor->queue->records) - taken;
	uint32_t begun;

	if (cursor->until != UINT64_MAX)
		waiting = cursor->until_records - taken;
	pthread_mutex_lock(&cursor->lock);
	begun = cursor->begun ? pfs_ref_weight(&cursor->rest) : 0;
	pthread_mutex_unlock(&cursor->lock);
	return waiting + begun;
}

/* The tail of the ring looked at last: with the hold published, one look tells about all refs. */
struct tail {
	uint64_t pos;
	int ring; /* -1: none looked at yet */
};

/* Are the bytes still there? Control refs have none. */
static inline bool ref_alive(const struct pfs_rings *rings, const struct pfs_ref *ref, struct tail *tail)
{
	if (ref->flags & PFS_REF_CONTROL)
		return true;
	if (tail->ring != ref->ring) {
		tail->ring = ref->ring;
		tail->pos = atomic_load(&pfs_ring_get(rings, ref->ring)->tail);
	}
	return ref->pos >= tail->pos;
}

/* Moves on to this index, with so many more records than were pushed before the slot `index`; returns how many. */
static uint64_t cursor_go(struct pfs_cursor *cursor, uint64_t next, uint64_t index, uint32_t more)
{
	const struct pfs_queue *queue = cursor->queue;
	uint64_t records = atomic_load_explicit(&cursor->records, memory_order_relaxed);
	uint32_t before = atomic_load_explicit(&queue->before[index & (queue->size - 1)],
					       memory_order_relaxed);
	uint32_t passed = before + more - (uint32_t)records;

	atomic_store_explicit(&cursor->records, records + passed, memory_order_relaxed);
	/* Pairs with the load in cursor_rings(): who sees it may free what was read before. */
	atomic_store_explicit(&cursor->next, next, memory_order_release);
	return passed;
}

/* Past this ref, which stands at `index`. */
static uint64_t cursor_pass(struct pfs_cursor *cursor, uint64_t index, const struct pfs_ref *ref)
{
	return cursor_go(cursor, index + 1, index, pfs_ref_weight(ref));
}

/* Holds from `next` on and steps over what was overwritten in the queue. */
static uint64_t hold_valid(struct pfs_cursor *cursor)
{
	struct pfs_queue *queue = cursor->queue;
	uint64_t next = atomic_load_explicit(&cursor->next, memory_order_relaxed), first = next;
	uint64_t claim;

	if (first >= cursor->until)
		return first;
	for (;;) {
		atomic_store(&cursor->hold,
			     next); /* twins: claim in pfs_queue_room(), tail in pfs_ring_reclaim() */
		atomic_thread_fence(memory_order_seq_cst);
		claim = atomic_load(&queue->claim);
		if (next + queue->size >= claim)
			break;
		next = claim - queue->size; /* below head: nobody claims as much as the queue holds */
	}
	if (next >= cursor->until) { /* all that it was to get is gone */
		pfs_counter_add(&cursor->lost,
				cursor->until_records - atomic_load_explicit(&cursor->records,
									     memory_order_relaxed));
		atomic_store_explicit(&cursor->records, cursor->until_records, memory_order_relaxed);
		atomic_store_explicit(&cursor->next, cursor->until, memory_order_release);
		return cursor->until;
	}
	if (next != first)
		pfs_counter_add(&cursor->lost, cursor_go(cursor, next, next, 0));
	return next;
}

void pfs_cursor_hold(struct pfs_cursor *cursor)
{
	hold_valid(cursor);
}

static void hold_drop(struct pfs_cursor *cursor)
{
	uint64_t next = atomic_load_explicit(&cursor->next, memory_order_relaxed);

	atomic_store(&cursor->hold, cursor->reliable ? next : PFS_HOLD_NONE);
}

void pfs_cursor_set_reliable(struct pfs_cursor *cursor, bool reliable)
{
	if (cursor->reliable == reliable)
		return;
	cursor->reliable = reliable;
	if (reliable)
		hold_valid(cursor);
	else
		hold_drop(cursor);
}

size_t pfs_cursor_pin(struct pfs_cursor *cursor, struct pfs_ref *refs, size_t max)
{
	struct pfs_queue *queue = cursor->queue;
	struct tail tail = { .ring = -1 };
	uint64_t head, next;
	size_t n = 0;

	if (pfs_cursor_ready(cursor) == 0)
		return 0;
	next = hold_valid(cursor);
	head = cursor_end(cursor);
	while (n < max && next + n < head) {
		slot_load(queue, next + n, &refs[n]);
		if (ref_alive(queue->rings, &refs[n], &tail)) {
			n++;
			continue;
		}
		if (n > 0) /* per-CPU rings are reclaimed apart: the dead one is dealt with next time */
			break;
		pfs_counter_add(&cursor->lost, cursor_pass(cursor, next++, &refs[n]));
	}
	if (n == 0)
		hold_drop(cursor);
	return n;
}

void pfs_cursor_unpin(struct pfs_cursor *cursor, size_t n)
{
	uint64_t next = atomic_load_explicit(&cursor->next, memory_order_relaxed) + n;
	struct pfs_ref last;

	if (n > 0) {
		slot_load(cursor->queue, next - 1, &last);
		cursor_pass(cursor, next - 1, &last);
	}
	hold_drop(cursor);
}

/* --- limits ------------------------------------------------------------------------------------- */

/* Keeps the rest of a begun record, or saves it from a ring that needs its room. Returns the lowered limit. */
static uint64_t limit_begun(struct pfs_cursor *cursor, const struct pfs_rings *rings,
			    const struct pfs_ring *ring, uint64_t want)
{
	bool held;

	pthread_mutex_lock(&cursor->lock);
	/* A reader stores hold, then takes the lock and looks at rescued: one of us sees the other. */
	held = atomic_load(&cursor->hold) != PFS_HOLD_NONE;
	if (cursor->begun && !cursor->rescued && cursor->rest.ring == ring->id &&
	    cursor->rest.pos < want) {
		if (!cursor->reliable && !held)
			cursor->rescued = malloc(cursor->rest.len ? cursor->rest.len : 1);
		if (cursor->rescued) {
			memcpy(cursor->rescued, pfs_ref_bytes(rings, &cursor->rest), cursor->rest.len);
			cursor->rescued_off = cursor->rest.off;
		} else {
			want = cursor->rest.pos; /* held, or no memory: the record stays where it is */
		}
	}
	pthread_mutex_unlock(&cursor->lock);
	return want;
}

/* Position of the first held ref into ring, or `want`. */
static uint64_t limit_held(struct pfs_cursor *cursor, const struct pfs_ring *ring, uint64_t hold,
			   uint64_t want)
{
	uint64_t head = cursor_end(cursor);
	unsigned slot = ring->id % PFS_CURSOR_LOOKS;
	uint64_t i = hold;
	struct pfs_ref ref;

	if (cursor->looked[slot].ring == ring->id)
		i = pfs_max64(hold, cursor->looked[slot].index);
	for (; i < head; i++) {
		slot_load(cursor->queue, i, &ref);
		if (ref.ring == ring->id && !(ref.flags & PFS_REF_CONTROL)) {
			want = pfs_min64(want, ref.pos);
			break;
		}
	}
	cursor->looked[slot].ring = ring->id;
	cursor->looked[slot].index = i;
	return want;
}

/*
 * Of a queue that is shared the refs are all into one ring. While its writer asks, refs may be pushed by another
 * thread, but no slot from the client's `hold` on changes: claim goes on under the lock of the list only, which is held
 * here. So the client's word is taken as it is, and once more when it was found to be in the way.
 */
static uint64_t limit_client(struct pfs_cursor *cursor, const struct pfs_ring *ring, uint64_t want)
{
	uint64_t hold = cursor_hold(cursor), limit;

	if (hold == PFS_HOLD_NONE)
		return want;
	limit = limit_held(cursor, ring, hold, want);
	if (limit == want)
		return want;
	client_want(cursor);
	return limit_held(cursor, ring, cursor_hold(cursor), want);
}

uint64_t pfs_cursors_limit(struct pfs_cursors *all, const struct pfs_ring *ring, uint64_t want)
{
	all = list_lock(all);
	for (struct pfs_cursor *c = all->first; c; c = c->next_cursor) {
		uint64_t hold, limit;

		if (c->client) {
			want = limit_client(c, ring, want);
			continue;
		}
		do { /* a cursor that moved on meanwhile may have left a slot that was overwritten under us */
			hold = atomic_load(&c->hold);
			limit = limit_begun(c, all->rings, ring, want);
			if (hold != PFS_HOLD_NONE)
				limit = limit_held(c, ring, hold, limit);
		} while (atomic_load(&c->hold) != hold);
		want = limit;
	}
	list_unlock(all);
	return want;
}

/* --- who looks where ---------------------------------------------------------------------------- */

static void ring_set_add(struct pfs_ring_set *set, const struct pfs_ref *ref)
{
	if (!(ref->flags & PFS_REF_CONTROL))
		set->bits[ref->ring / 64] |= UINT64_C(1) << (ref->ring % 64);
}

/*
 * A cursor that moves on meanwhile has what it took in hand, or in `rest`, which is looked at last: it is stored before
 * `next`. What was overwritten under us was lost to it.
 */
static void cursor_rings(struct pfs_cursor *cursor, struct pfs_ring_set *set)
{
	uint64_t i = cursor->client ? client_next(cursor) : atomic_load(&cursor->next);
	uint64_t end = cursor_end(cursor);
	struct pfs_ref ref;

	if (end > i + cursor->queue->size)
		i = end - cursor->queue->size;
	for (; i < end; i++) {
		slot_load(cursor->queue, i, &ref);
		ring_set_add(set, &ref);
	}
	pthread_mutex_lock(&cursor->lock);
	if (cursor->begun)
		ring_set_add(set, &cursor->rest);
	pthread_mutex_unlock(&cursor->lock);
}

void pfs_cursors_rings(struct pfs_cursors *all, struct pfs_ring_set *set)
{
	all = list_lock(all);
	for (struct pfs_cursor *c = all->first; c; c = c->next_cursor)
		cursor_rings(c, set);
	list_unlock(all);
}
