#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/nudge.h"
#include "client/client_i.h"

#define WORDS 4 /* 8-byte words of a ref */
#define COPIES_MIN ((size_t)256 << 10)

/* What the two say of a record is the same. */
static_assert(PFS_IN == PFS_REC_IN && PFS_OUT == PFS_REC_OUT && PFS_CSUM == PFS_REC_CSUM &&
		      PFS_IN_STREAM == PFS_REF_IN_STREAM && PFS_GAP == PFS_REF_GAP &&
		      PFS_STREAM_END == PFS_REF_STREAM_END && PFS_LINK_NONE == PFS_LINK_BYTES,
	      "pipesfs/pipesfs.h");

/* --- refs ------------------------------------------------------------------------------------ */

static uint32_t records_before(const struct pfs_client *client, uint64_t index)
{
	return atomic_load_explicit(
		&((struct pfs_client *)client)->before[index & (client->hello.slots - 1)],
		memory_order_relaxed);
}

static const _Atomic uint64_t *slot_of(const struct pfs_client *client, uint64_t index)
{
	return &client->slots[(index & (client->hello.slots - 1)) * WORDS];
}

static uint64_t word_load(const _Atomic uint64_t *slot, size_t i)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&slot[i], memory_order_relaxed);
}

/* Was it overwritten, or is it about to be? Twin: claim is stored before the slots, in pfs_queue_room(). */
static bool ref_gone(const struct pfs_client *client, uint64_t index)
{
	atomic_thread_fence(memory_order_acquire);
	return index + client->hello.slots <
	       atomic_load_explicit(&client->queue->claim, memory_order_relaxed);
}

/* False: it is overwritten. What is held is not. */
static bool ref_load(const struct pfs_client *client, uint64_t index, struct pfs_ref *ret_ref,
		     uint32_t *ret_before)
{
	const _Atomic uint64_t *slot = slot_of(client, index);

	for (size_t i = 0; i < WORDS; i++) { /* as slot_load() in ring/queue.c */
		uint64_t word = word_load(slot, i);

		memcpy((uint8_t *)ret_ref + i * sizeof(word), &word, sizeof(word));
	}
	*ret_before = records_before(client, index);
	return !ref_gone(client, index);
}

/* Goes on where the queue still is; what is between is lost. */
static void step_over(struct pfs_client *client)
{
	uint64_t next, claim;
	uint32_t before, passed;

	do {
		claim = atomic_load(&client->queue->claim);
		next = pfs_max64(client->next,
				 claim > client->hello.slots ? claim - client->hello.slots : 0);
		before = records_before(client, next);
	} while (ref_gone(client, next));
	passed = before - (uint32_t)client->records;
	client->next = next;
	client->records += passed;
	client->lost += passed;
	/* What was given in place before is gone, too. */
	client->torn += client->given;
	client->given = 0;
	client->first = next;
}

/* --- records -------------------------------------------------------------------------------------- */

static const struct pfs_record *record_of(const struct pfs_client *client, const struct pfs_ref *ref)
{
	return (const void *)(client->data + (ref->pos & (client->hello.ring_size - 1)));
}

/* Does it lie in the ring? The server says so; nothing is read elsewhere should it be wrong. */
static bool ref_fits(const struct pfs_client *client, const struct pfs_ref *ref)
{
	return ref->ring == client->hello.ring && ref->hdr == PFS_HDR_RECORD &&
	       ref->len <= client->hello.ring_size / 2 && ref->off <= client->hello.ring_size / 4 &&
	       ref->pos % 8 == 0;
}

static void record_fill(const struct pfs_client *client, const struct pfs_ref *ref, struct pfs_rec *rec)
{
	const struct pfs_record *record = record_of(client, ref);

	*rec = (struct pfs_rec){
		.data = (const uint8_t *)(record + 1) + ref->off,
		.len = ref->len,
		.wire_len = record->wire_len,
		.time = record->time,
		.stream = ref->flags & PFS_REF_IN_STREAM ? ref->stream : record->stream,
		.offset = ref->flags & PFS_REF_IN_STREAM ? ref->offset : 0,
		.mark = record->mark,
		.link_type = (uint16_t)(client->hello.link_type == PFS_LINK_EACH
						? record->ifindex
						: client->hello.link_type),
		.flags = ref->flags & (PFS_REC_FLAGS | PFS_REF_IN_STREAM | PFS_REF_GAP),
	};
}

/* Room for the bytes of one more record among the copies. False: those given before would have to go. */
static bool copies_room(struct pfs_client *client, size_t len)
{
	size_t size = pfs_max(COPIES_MIN, len);
	uint8_t *copies;

	if (client->copied + len <= client->copies_size)
		return true;
	if (client->copied)
		return false;
	copies = realloc(client->copies, size);
	if (!copies)
		return false;
	client->copies = copies;
	client->copies_size = size;
	return true;
}

/* Bytes at this position may have been overwritten. Twin: tail is stored first, in pfs_ring_reclaim(). */
static bool ring_gone(const struct pfs_client *client, uint64_t pos)
{
	atomic_thread_fence(memory_order_acquire);
	return pos < atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)&client->ring->tail,
					  memory_order_relaxed);
}

/* 1: it is the client's own. 0: it was overwritten. -EAGAIN: no room before a release. */
static int record_copy(struct pfs_client *client, const struct pfs_ref *ref, struct pfs_rec *rec)
{
	uint8_t *to;

	if (!copies_room(client, ref->len))
		return -EAGAIN;
	record_fill(client, ref, rec);
	to = client->copies + client->copied;
	memcpy(to, rec->data, ref->len);
	rec->data = to;
	if (ring_gone(client, ref->pos))
		return 0;
	client->copied += ref->len;
	return 1;
}

/* 1: a record. 0: there was none to be seen in this ref. -EAGAIN: no room before a release. */
static int take(struct pfs_client *client, const struct pfs_ref *ref, struct pfs_rec *rec)
{
	int r;

	if (ref->flags & PFS_REF_STREAM_END) {
		*rec = (struct pfs_rec){ .stream = ref->len, .flags = PFS_STREAM_END };
		return 1;
	}
	if (!ref_fits(client, ref))
		return 0;
	if (ref->len == 0 && !(ref->flags & PFS_REF_GAP))
		return 0;
	if (client->hello.reliable || client->in_place) {
		record_fill(client, ref, rec);
		client->given += pfs_ref_weight(ref);
		return 1;
	}
	r = record_copy(client, ref, rec);
	if (r == 0)
		client->lost += pfs_ref_weight(ref);
	return r;
}

/* --- runs of records ---------------------------------------------------------------------------------- */

#define AHEAD 16 /* records whose lines are asked for before they are looked at */

/*
 * The third word of a ref: by its ring, flags and header it is plain or not; origin, class and REC_* do not matter.
 * Where the bytes of a word are the other way round, nothing is plain: refs are taken apart one by one there.
 */
static uint64_t plain_word(uint16_t ring, uint8_t flags, uint8_t hdr)
{
	struct pfs_ref ref = { .ring = ring, .flags = flags, .hdr = hdr };
	uint64_t word;

	memcpy(&word, (const uint8_t *)&ref + offsetof(struct pfs_ref, ring), sizeof(word));
	return word;
}

/*
 * Most refs are plain: to a record of the ring with its bytes. As many of those as follow each other, where they lie,
 * with no look at the positions: the caller looks whether all were there. (The client's fields are in locals, because
 * the compiler must think that a record given may change them.)
 */
static int fill_run(const struct pfs_client *client, struct pfs_rec *recs, int max)
{
	const uint64_t mask = plain_word(UINT16_MAX, (uint8_t)~PFS_REC_FLAGS, UINT8_MAX);
	const uint64_t plain = plain_word((uint16_t)client->hello.ring, 0, PFS_HDR_RECORD);
	const uint64_t next = client->next, slot_mask = client->hello.slots - 1;
	const uint64_t ring_size = client->hello.ring_size, pos_mask = ring_size - 8;
	const uint32_t link_type = client->hello.link_type;
	const _Atomic uint64_t *slots = client->slots;
	const uint8_t *data = client->data;
	int n;

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return 0;
	for (n = 0; n < max; n++) {
		const _Atomic uint64_t *slot = &slots[((next + (uint64_t)n) & slot_mask) * WORDS];
		const uint64_t pos = word_load(slot, 0), where = word_load(slot, 1),
			       what = word_load(slot, 2);
		const uint64_t off = (uint32_t)where, len = where >> 32;
		const struct pfs_record *record = (const void *)(data + (pos & pos_mask));
		const uint8_t *soon;

		if ((what & mask) != plain || len == 0 || off + len > ring_size / 2)
			break;
		slot = &slots[((next + (uint64_t)n + AHEAD) & slot_mask) * WORDS];
		soon = data + (word_load(slot, 0) & pos_mask);
		__builtin_prefetch(soon);
		__builtin_prefetch(soon + 64);
		recs[n] = (struct pfs_rec){
			.data = (const uint8_t *)(record + 1) + off,
			.len = (uint32_t)len,
			.wire_len = record->wire_len,
			.time = record->time,
			.stream = record->stream,
			.mark = record->mark,
			.link_type =
				(uint16_t)(link_type == PFS_LINK_EACH ? record->ifindex : link_type),
			.flags = what >> 48 & PFS_REC_FLAGS,
		};
	}
	return n;
}

/* How many of them have become the client's own; 0: no room, or the first was overwritten meanwhile. */
static int copy_run(struct pfs_client *client, struct pfs_rec *recs, int n, uint64_t first_pos)
{
	size_t copied = client->copied;
	int i;

	for (i = 0; i < n && copied + recs[i].len <= client->copies_size; i++) {
		recs[i].data = memcpy(client->copies + copied, recs[i].data, recs[i].len);
		copied += recs[i].len;
	}
	if (ring_gone(client, first_pos)) /* none behind it was, unless it was */
		return 0;
	client->copied = copied;
	return i;
}

/* How many plain records were taken; 0: one at a time has to say what is there. */
static int take_run(struct pfs_client *client, struct pfs_rec *recs, int max)
{
	bool stays = client->hello.reliable || client->in_place;
	size_t copied = client->copied;
	uint64_t records = client->records, pos = word_load(slot_of(client, client->next), 0);
	struct pfs_ref last;
	uint32_t before;
	int n;

	if (!stays && !ref_gone(client, client->next) && ring_gone(client, pos))
		return 0; /* none of the run would come of it */
	n = fill_run(client, recs, max);
	if (n == 0 || ref_gone(client, client->next)) /* none behind it is gone, unless it is */
		return 0;
	n = stays ? n : copy_run(client, recs, n, pos);
	if (n == 0)
		return 0;
	if (!ref_load(client, client->next + (uint64_t)n - 1, &last, &before)) {
		client->copied = copied;
		return 0;
	}
	client->next += (uint64_t)n;
	client->records += (uint32_t)(before + pfs_ref_weight(&last) - (uint32_t)records);
	if (stays)
		client->given += client->records - records;
	return n;
}

static void say(struct pfs_client *client)
{
	struct pfs_shared_cursor *page = client->page;

	atomic_store_explicit(&page->next, client->next, memory_order_relaxed);
	atomic_store_explicit(&page->lost, client->lost, memory_order_relaxed);
	/* Last: pfs_cursor_follow(). */
	atomic_store_explicit(&page->records, client->records, memory_order_release);
}

static int take_some(struct pfs_client *client, struct pfs_rec *recs, int max, uint64_t head)
{
	int n = 0;

	while (n < max && client->next < head) {
		struct pfs_ref ref;
		uint32_t before;
		int r = take_run(client, recs + n,
				 (int)pfs_min64((uint64_t)(max - n), head - client->next));

		if (r > 0) {
			n += r;
			continue;
		}
		if (!ref_load(client, client->next, &ref, &before)) {
			step_over(client);
			continue;
		}
		if (ref.flags & PFS_REF_EOF) {
			if (n > 0)
				break;
			client->next++;
			client->ended = true;
			return 0;
		}
		r = take(client, &ref, &recs[n]);
		if (r < 0)
			return n > 0 ? n : -ENOBUFS;
		n += r;
		client->next++;
		client->records +=
			(uint32_t)(before + pfs_ref_weight(&ref) - (uint32_t)client->records);
	}
	return n > 0 ? n : -EAGAIN;
}

/* --- waiting ---------------------------------------------------------------------------------------- */

/* A byte that woke. */
static void drain(struct pfs_client *client)
{
	client->armed = false;
	client->dead = !pfs_nudge_clear(client->nudge_fd);
}

static bool is_ready(struct pfs_client *client)
{
	return client->next < atomic_load_explicit(&client->queue->head, memory_order_acquire) ||
	       client->dead || atomic_load(&client->page->over);
}

/* True: there is nothing, and a byte comes when there is. */
static bool sleep_prepare(struct pfs_client *client)
{
	if (client->ended) { /* as who reads on after the end of a FIFO */
		client->ended = false;
		ioctl(client->file, PFS_IOC_ON);
	}
	atomic_store(&client->page->asleep, 1);
	atomic_thread_fence(memory_order_seq_cst); /* twin: tell() in graph/share.c */
	client->armed = true;
	if (!is_ready(client))
		return true;
	atomic_store(&client->page->asleep, 0);
	return false;
}

int pfs_next(struct pfs_client *client, struct pfs_rec *recs, int max)
{
	uint64_t head;
	int n;

	if (client->armed)
		drain(client);
	do {
		/* In this order: what was pushed before the end is seen. */
		bool over = atomic_load(&client->page->over);

		head = atomic_load_explicit(&client->queue->head, memory_order_acquire);
		n = take_some(client, recs, max, head);
		if (n == -EAGAIN && over)
			n = 0;
		else if (n == -EAGAIN && client->dead)
			n = -ENOTCONN;
	} while (n == -EAGAIN && !sleep_prepare(client));
	say(client);
	return n;
}

/*
 * Lets go of what was held. Twin: client_want() in ring/queue.c. The server is told when half of the queue is free, not
 * for every few slots: each time costs a system call, and makes it run.
 */
static void hold_move(struct pfs_client *client)
{
	struct pfs_shared_cursor *page = client->page;

	if (atomic_load_explicit(&page->hold, memory_order_relaxed) == client->next)
		return;
	atomic_store(&page->hold, client->next);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&client->queue->head, memory_order_relaxed) - client->next >
	    client->hello.slots / 2)
		return;
	if (atomic_load_explicit(&page->wanted, memory_order_relaxed) &&
	    atomic_exchange(&page->wanted, 0))
		ioctl(client->file, PFS_IOC_ON);
}

/* Of what was given in place, what may have been overwritten before now. Twin: tail, in pfs_ring_reclaim(). */
static uint64_t overwritten(const struct pfs_client *client)
{
	uint64_t n = 0, tail;

	atomic_thread_fence(memory_order_acquire);
	tail = atomic_load_explicit(&((struct pfs_client *)client)->ring->tail, memory_order_relaxed);
	for (uint64_t i = client->first; i < client->next && n < client->given; i++) {
		struct pfs_ref ref;
		uint32_t before;

		if (!ref_load(client, i, &ref, &before))
			n++;
		else if (ref.flags & PFS_REF_CONTROL)
			continue;
		else if (ref.pos < tail)
			n += pfs_ref_weight(&ref);
		else
			break; /* it and all behind it are there */
	}
	return pfs_min64(n, client->given);
}

int pfs_release(struct pfs_client *client)
{
	uint64_t torn = client->torn;

	client->copied = 0;
	if (client->hello.reliable)
		hold_move(client);
	else if (client->in_place && client->given)
		torn += overwritten(client);
	client->lost += torn;
	client->torn = client->given = 0;
	client->first = client->next;
	return (int)pfs_min64(torn, INT_MAX);
}

/* Goes to the first ref from `index` on whose record is still there. */
static void go_back(struct pfs_client *client, uint64_t index)
{
	for (; index < client->next; index++) {
		struct pfs_ref ref;
		uint32_t before;

		if (!ref_load(client, index, &ref, &before) || (ref.flags & PFS_REF_CONTROL) ||
		    ref.pos < atomic_load((_Atomic uint64_t *)(uintptr_t)&client->ring->tail))
			continue;
		client->records -= (uint32_t)client->records - before;
		client->next = client->first = index;
		client->ended = false;
		return;
	}
}

int pfs_seek_oldest(struct pfs_client *client)
{
	uint64_t claim = atomic_load(&client->queue->claim);
	uint64_t oldest = claim > client->hello.slots ? claim - client->hello.slots : 0;

	(void)pfs_release(client);
	if (client->hello.reliable)
		return -EOPNOTSUPP;
	go_back(client, pfs_max64(oldest, client->hello.oldest));
	return 0;
}

int pfs_wait(struct pfs_client *client, int timeout)
{
	struct pollfd fd = { .fd = client->nudge_fd, .events = POLLIN };
	int n;

	if (client->next < atomic_load_explicit(&client->queue->head, memory_order_acquire))
		return 1;
	if (!client->armed && !sleep_prepare(client))
		return 1;
	n = poll(&fd, 1, timeout);
	return n < 0 ? -errno : n;
}

int pfs_fd(const struct pfs_client *client)
{
	return client->nudge_fd;
}

uint64_t pfs_lost(const struct pfs_client *client)
{
	return client->lost;
}
