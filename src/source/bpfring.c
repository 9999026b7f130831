#include "source/bpfring.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

#define PERIOD_MIN UINT64_C(50000) /* ns between looks in RUN, whatever the latency */
#define TOLD 16384		   /* records; then who sleeps is woken, though there are more */
#define RETRY UINT64_C(10000000) /* ns between looks while readers hold memory that we want back */

/* One CPU's ring. */
struct lane {
	struct pfs_ring *ring; /* borrowed: the graph's */
	_Atomic uint64_t *consumer;
	const _Atomic uint64_t *producer;
	struct kcap_slot *slot; /* borrowed */
	uint64_t pos;		/* next record to look at: its kernel header */
	uint64_t head;		/* producer position when we last looked */
	uint64_t freed;		/* consumer position */
	uint64_t clear;		/* no record that we have not seen is older than this (ns) */
	uint64_t busy_since; /* 0: not busy; else when we first saw the record at pos unfinished */
	const struct pfs_takers *takers; /* of the record at pos, in front of it */
	const struct pfs_record *rec;	 /* the record at pos; NULL: none ready */
	uint32_t front;			 /* bytes between the kernel's header and rec */
	uint32_t room;			 /* bytes reserved for it */
	uint64_t time;			 /* of rec */
};

enum state { RUN, DOZE, SLEEP };

struct bpfring {
	struct kcap *kcap;	       /* borrowed */
	struct pfs_feed *feed;	       /* borrowed */
	const struct bpfring_ops *ops; /* borrowed, while running */
	uint64_t latency;
	int epoll; /* owned */
	enum state state;
	bool busy; /* a record was not finished when we looked */
	unsigned nlane;
	struct lane *lane;  /* owned */
	uint64_t last_time; /* of the record handed on last */
	uint64_t lost_told; /* what the feed knows of */
	pfs_counter reordered, wakeups;
	size_t n;
	uint64_t bytes;	 /* of ring memory behind the batch */
	size_t untold_n; /* handed on while readers slept */
	uint64_t untold_bytes;
	struct pfs_ref batch[PFS_BATCH];
	const struct pfs_takers *takers[PFS_BATCH];
};

/* --- mapping ------------------------------------------------------------------------------ */

/* A BPF ring in memory: the consumer's page, then the producer's page and the data twice. */
struct mapping {
	void *consumer;
	void *producer;
	size_t bytes; /* from producer on */
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static void mapping_free(struct mapping *m)
{
	if (!m)
		return;
	if (m->consumer)
		munmap(m->consumer, page_size());
	if (m->producer)
		munmap(m->producer, m->bytes);
	free(m);
}

static void mapping_release(struct pfs_ring *ring)
{
	mapping_free(ring->priv);
}

static int mapping_new(int map, uint64_t size, struct mapping **ret_mapping)
{
	struct mapping *m = pfs_zalloc(1, sizeof(*m));
	void *p;
	int r;

	if (!m)
		return -ENOMEM;
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (p == MAP_FAILED)
		goto failed;
	m->consumer = p;
	m->bytes = page_size() + 2 * size;
	p = mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, map, (off_t)page_size());
	if (p == MAP_FAILED)
		goto failed;
	m->producer = p;
	*ret_mapping = m;
	return 0;
failed:
	r = -errno;
	mapping_free(m);
	return r;
}

static int lane_open(struct bpfring *b, struct lane *lane, const struct kcap_ring *from)
{
	uint64_t size = b->kcap->ring_size;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct mapping *m = NULL;
	int r;

	r = mapping_new(from->map, size, &m);
	if (r < 0)
		return r;
	assert(m);
	r = pfs_feed_adopt(b->feed, (uint8_t *)m->producer + page_size(), size, mapping_release, m,
			   &lane->ring);
	if (r < 0) {
		mapping_free(m);
		return r;
	}
	lane->consumer = m->consumer;
	lane->producer = m->producer;
	lane->slot = &b->kcap->slot[from->cpu];
	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, from->map, &event) < 0)
		return -errno;
	return 0;
}

int bpfring_new(struct kcap *kcap, struct pfs_feed *feed, uint64_t latency, struct bpfring **ret_bpfring)
{
	struct bpfring *b = pfs_zalloc(1, sizeof(*b));
	struct epoll_event event = { .events = EPOLLIN };
	int r = 0;

	if (!b)
		return -ENOMEM;
	b->kcap = kcap;
	b->feed = feed;
	b->latency = latency;
	b->lane = pfs_zalloc(kcap->nring, sizeof(*b->lane));
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!b->lane || b->epoll < 0)
		r = b->lane ? -errno : -ENOMEM;
	else if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, pfs_feed_stop_fd(feed), &event) < 0)
		r = -errno;
	for (; r == 0 && b->nlane < kcap->nring; b->nlane++)
		r = lane_open(b, &b->lane[b->nlane], &kcap->ring[b->nlane]);
	if (r < 0) {
		bpfring_free(b);
		return r;
	}
	*ret_bpfring = b;
	return 0;
}

void bpfring_free(struct bpfring *b)
{
	if (!b)
		return;
	if (b->epoll >= 0)
		close(b->epoll);
	free(b->lane);
	free(b);
}

/* --- room ------------------------------------------------------------------------------------ */

/* Gives the kernel back what is behind the half that is history, in steps. */
static void lane_reclaim(struct lane *lane)
{
	uint64_t half = lane->ring->size / 2;
	uint64_t freed;

	if (lane->pos - lane->freed < half + half / 16)
		return;
	freed = pfs_ring_reclaim(lane->ring, lane->pos - half);
	if (freed <= lane->freed)
		return;
	lane->freed = freed;
	/* Twin: the kernel's acquire load of the consumer position when it reserves. */
	atomic_store_explicit(lane->consumer, freed, memory_order_release);
}

/* Readers hold so much that the kernel may run out of room. */
static bool lane_held(const struct lane *lane)
{
	return lane->pos - lane->freed > lane->ring->size / 2 + lane->ring->size / 8;
}

/* --- taking records --------------------------------------------------------------------------- */

static bool is_late(const struct bpfring *b, const struct lane *lane, uint64_t now)
{
	return b->latency == 0 || now - lane->busy_since >= b->latency;
}

/* Looks at the record at pos, past discarded ones. */
static void lane_look(struct lane *lane, uint64_t now)
{
	lane->rec = NULL;
	while (lane->pos < lane->head) {
		const uint8_t *p = pfs_ring_at(lane->ring, lane->pos);
		/* Twin: the exchange with which the kernel clears the busy bit. */
		uint32_t word = atomic_load_explicit((const _Atomic uint32_t *)(const void *)p,
						     memory_order_acquire);
		uint32_t room = word & ~(KCAP_RING_BUSY | KCAP_RING_DISCARD);

		if (word & KCAP_RING_BUSY) {
			if (!lane->busy_since)
				lane->busy_since = now;
			return;
		}
		lane->busy_since = 0;
		if (!(word & KCAP_RING_DISCARD) && room >= sizeof(*lane->takers)) {
			lane->takers = (const void *)(p + KCAP_RING_HEADER);
			lane->front = (uint32_t)sizeof(*lane->takers) + 4u * lane->takers->words;
			lane->rec = (const void *)((const uint8_t *)lane->takers + lane->front);
			lane->room = room;
			lane->time = lane->rec->time;
			return;
		}
		lane->pos += pfs_align8(KCAP_RING_HEADER + room);
	}
}

static void tell(struct bpfring *b)
{
	b->untold_n = 0;
	b->untold_bytes = 0;
	pfs_feed_wake(b->feed);
}

/* Hands the batch on, and only then gives back memory: its refs may be older than the history. */
static int flush(struct bpfring *b)
{
	size_t n = b->n;
	int r = 0;

	b->untold_n += n;
	b->untold_bytes += b->bytes;
	b->n = 0;
	b->bytes = 0;
	if (n > 0)
		r = pfs_feed_push_taken(b->feed, b->batch, b->takers, n);
	if (b->untold_n >= TOLD || b->untold_bytes >= b->lane->ring->size / 16)
		tell(b);
	for (unsigned i = 0; i < b->nlane; i++)
		lane_reclaim(&b->lane[i]);
	return r;
}

/* Hands the lane's record on. */
static int take(struct bpfring *b, struct lane *lane)
{
	const struct pfs_record *rec = lane->rec;
	uint32_t len = (uint32_t)pfs_min(rec->len, lane->room - lane->front - sizeof(*rec));
	uint64_t pos = lane->pos + KCAP_RING_HEADER + lane->front;
	uint16_t origin;

	lane->pos += pfs_align8(KCAP_RING_HEADER + lane->room);
	if (lane->time < b->last_time)
		pfs_counter_add(&b->reordered, 1);
	else
		b->last_time = lane->time;
	if (b->ops->origin(b->ops->arg, rec, &origin) < 0) {
		pfs_feed_lost(b->feed, "unknown device", 1);
		return 0;
	}
	b->takers[b->n] = lane->takers;
	b->batch[b->n++] = (struct pfs_ref){
		.pos = pos,
		.len = (uint32_t)pfs_min(len, b->kcap->spec.snaplen),
		.ring = lane->ring->id,
		.origin = origin,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
		.flags = (uint8_t)(rec->flags & (PFS_REC_IN | PFS_REC_OUT | PFS_REC_CSUM)),
		.hdr = PFS_HDR_RECORD,
	};
	b->bytes += lane->room;
	return b->n == PFS_BATCH || b->bytes >= lane->ring->size / 16 ? flush(b) : 0;
}

/* Nothing older than this can still turn up in the lane. */
static uint64_t lane_horizon(const struct bpfring *b, const struct lane *lane, uint64_t now)
{
	if (lane->rec || !lane->busy_since || is_late(b, lane, now))
		return UINT64_MAX;
	return lane->clear;
}

/* The lane with the oldest record; *ret_second is the time up to which it stays the oldest. */
static struct lane *oldest(struct bpfring *b, uint64_t *ret_second)
{
	struct lane *first = NULL;

	*ret_second = UINT64_MAX;
	for (unsigned i = 0; i < b->nlane; i++) {
		struct lane *lane = &b->lane[i];

		if (!lane->rec)
			continue;
		if (!first || lane->time < first->time) {
			if (first)
				*ret_second = first->time;
			first = lane;
		} else if (lane->time < *ret_second) {
			*ret_second = lane->time;
		}
	}
	return first;
}

/* Takes a lane's records as long as they are the oldest. */
static int take_run(struct bpfring *b, struct lane *lane, uint64_t second, uint64_t now,
		    uint64_t *horizon)
{
	int r;

	do {
		lane->clear = pfs_max64(lane->clear, lane->time);
		r = take(b, lane);
		if (r < 0)
			return r;
		lane_look(lane, now);
		*horizon = pfs_min64(*horizon, lane_horizon(b, lane, now));
	} while (lane->rec && lane->time <= second && lane->time <= *horizon);
	return 0;
}

static void tell_lost(struct bpfring *b)
{
	uint64_t lost = 0;

	for (unsigned cpu = 0; cpu < b->kcap->ncpu; cpu++)
		lost += atomic_load_explicit(&b->kcap->slot[cpu].lost, memory_order_relaxed);
	if (lost > b->lost_told)
		pfs_feed_lost(b->feed, "ring full", lost - b->lost_told);
	b->lost_told = lost;
}

/* One look at all rings: hands on what is there. Returns whether there was anything, or -errno. */
static int drain(struct bpfring *b)
{
	uint64_t now = pfs_clock_mono();
	uint64_t horizon = b->latency ? now : UINT64_MAX;
	uint64_t second, moved = 0;
	struct lane *lane;
	int r = 0;

	for (unsigned i = 0; i < b->nlane; i++) {
		lane = &b->lane[i];
		lane->head = atomic_load_explicit(lane->producer, memory_order_acquire);
		atomic_store_explicit(&lane->ring->head, lane->head, memory_order_release);
		lane->rec = NULL;
		if (lane->pos == lane->head) {
			lane->clear = now;
			continue;
		}
		moved++;
		lane_look(lane, now);
		horizon = pfs_min64(horizon, lane_horizon(b, lane, now));
	}
	while (r == 0 && (lane = oldest(b, &second)) && lane->time <= horizon)
		r = take_run(b, lane, second, now, &horizon);
	if (r == 0)
		r = flush(b);
	tell(b);
	b->busy = false;
	for (unsigned i = 0; i < b->nlane; i++)
		b->busy |= b->lane[i].busy_since != 0;
	tell_lost(b);
	return r < 0 ? r : moved > 0;
}

/* --- waiting ------------------------------------------------------------------------------------- */

/* Tells the kernel when to wake us: at the next record, or when a good part of the ring is new. */
static void arm(struct bpfring *b)
{
	bool next = b->state != RUN || b->latency == 0;

	/* CPUs that came after us share a ring; they wake us for the next record always. */
	for (unsigned cpu = 0; next && cpu < b->kcap->ncpu; cpu++)
		atomic_store_explicit(&b->kcap->slot[cpu].wake_at, 1, memory_order_relaxed);
	for (unsigned i = 0; i < b->nlane; i++) {
		struct lane *lane = &b->lane[i];
		uint64_t at = lane->head + (next ? 1 : lane->ring->size / 8);

		atomic_store_explicit(&lane->slot->wake_at, at, memory_order_relaxed);
	}
}

static uint64_t period(const struct bpfring *b)
{
	uint64_t ns = b->latency ? pfs_max64(b->latency, PERIOD_MIN) : UINT64_C(1000000);

	if (b->state != SLEEP)
		return b->busy ? PERIOD_MIN : ns;
	for (unsigned i = 0; i < b->nlane; i++)
		if (lane_held(&b->lane[i]))
			return RETRY;
	return UINT64_MAX;
}

/* 0: look again; 1: over; -EINTR: the source is being stopped. */
static int wait(struct bpfring *b)
{
	uint64_t ns = period(b);
	uint64_t own = b->ops->timeout ? b->ops->timeout(b->ops->arg) : UINT64_MAX;
	struct timespec ts;
	struct epoll_event event[8];
	int n;

	ns = pfs_min64(ns, own);
	ts.tv_sec = (time_t)(ns / 1000000000);
	ts.tv_nsec = (long)(ns % 1000000000);
	n = epoll_pwait2(b->epoll, event, ARRAY_SIZE(event), ns == UINT64_MAX ? NULL : &ts, NULL);
	pfs_counter_add(&b->wakeups, 1);
	if (pfs_feed_stopping(b->feed))
		return -EINTR;
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		if (event[i].data.ptr == b && !b->ops->event(b->ops->arg, event[i].events))
			return 1;
	if (n == 0 && own != UINT64_MAX && !b->ops->event(b->ops->arg, 0))
		return 1;
	return 0;
}

int bpfring_run(struct bpfring *b, const struct bpfring_ops *ops)
{
	struct epoll_event event = { .events = EPOLLERR | EPOLLET, .data.ptr = b };
	int r = 0;

	b->ops = ops;
	b->state = DOZE;
	if (ops->fd >= 0 && epoll_ctl(b->epoll, EPOLL_CTL_ADD, ops->fd, &event) < 0)
		return -errno;
	while (r == 0) {
		r = drain(b);
		if (r < 0)
			break;
		if (r > 0)
			b->state = RUN;
		else if (b->state == RUN)
			b->state = DOZE;
		else
			b->state = SLEEP;
		if (b->state != SLEEP)
			arm(b);
		r = wait(b);
	}
	if (r == 1)
		drain(b);
	b->ops = NULL;
	return r == -EINTR ? 0 : r;
}

void bpfring_stats(const struct bpfring *b, struct bpfring_stats *ret_stats)
{
	struct bpfring_stats s = { 0 };

	for (unsigned cpu = 0; cpu < b->kcap->ncpu; cpu++) {
		const struct kcap_slot *slot = &b->kcap->slot[cpu];

		s.seen += atomic_load_explicit(&slot->seen, memory_order_relaxed);
		s.lost += atomic_load_explicit(&slot->lost, memory_order_relaxed);
		s.copied += atomic_load_explicit(&slot->copied, memory_order_relaxed);
	}
	s.reordered = pfs_counter_get(&b->reordered);
	s.wakeups = pfs_counter_get(&b->wakeups);
	*ret_stats = s;
}

void bpfring_text(const struct bpfring *b, struct pfs_buf *out)
{
	struct bpfring_stats s;

	bpfring_stats(b, &s);
	pfs_buf_printf(out,
		       "kernel.seen %llu\nkernel.copied %llu\nkernel.lost %llu\nkernel.generation "
		       "%llu\nreordered %llu\nwakeups %llu\n",
		       (unsigned long long)s.seen, (unsigned long long)s.copied,
		       (unsigned long long)s.lost, (unsigned long long)b->kcap->generation,
		       (unsigned long long)s.reordered, (unsigned long long)s.wakeups);
}
