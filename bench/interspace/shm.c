/*
 * shm - memory that two processes share, and an eventfd to wake who sleeps (one copy: the sender's into it)
 *
 * One ring of 4 MiB each way. Who finds nothing, or no room, says that it sleeps, looks again, and reads its eventfd;
 * the other writes there only then. The receiver looks at the bytes where they are.
 */
#include "study.h"

#include <sys/eventfd.h>

#define RING (4u << 20)

struct ring {
	_Atomic uint64_t written; /* writer: the sender */
	_Atomic uint32_t wants;	  /* the receiver sleeps; writers: both */
	uint8_t unused[52];
	_Atomic uint64_t taken; /* writer: the receiver */
	_Atomic uint32_t full;	/* the sender sleeps; writers: both */
	uint8_t unused_too[52];
	uint8_t bytes[RING];
};

struct shm {
	struct ring *to[2];
	int data[2], room[2]; /* eventfds of the ring to an end */
	size_t lent[2];	      /* what the last get() of an end gave out */
};

static void *shm_open_rings(const struct mechanism *m)
{
	static struct shm s;

	(void)m;
	for (int i = 0; i < 2; i++) {
		s.to[i] = (struct ring *)(void *)study_shared(sizeof(struct ring));
		s.data[i] = eventfd(0, EFD_CLOEXEC);
		s.room[i] = eventfd(0, EFD_CLOEXEC);
		if (s.data[i] < 0 || s.room[i] < 0)
			return study_why(errno, "eventfd");
	}
	return &s;
}

static void shm_close(void *state)
{
	struct shm *s = state;

	for (int i = 0; i < 2; i++) {
		close(s->data[i]);
		close(s->room[i]);
	}
}

static void wake(_Atomic uint32_t *sleeps, int fd)
{
	/* Twin: the exchange in doze(); what we stored before is seen by who said it sleeps after. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(sleeps, memory_order_relaxed) && atomic_exchange(sleeps, 0) &&
	    eventfd_write(fd, 1) < 0)
		study_die("eventfd");
}

/* Say that one sleeps, look again, sleep. May come back early. */
static void doze(_Atomic uint32_t *sleeps, int fd, _Atomic uint64_t *watched, uint64_t seen)
{
	eventfd_t value;

	atomic_exchange(sleeps, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(watched) != seen && atomic_exchange(sleeps, 0))
		return; /* it came meanwhile, and nobody has written the eventfd */
	if (eventfd_read(fd, &value) < 0)
		study_die("eventfd");
}

static const uint8_t *shm_get(void *state, int end, uint8_t *into, size_t len)
{
	struct shm *s = state;
	struct ring *r = s->to[end];
	uint64_t at = atomic_load_explicit(&r->taken, memory_order_relaxed) + s->lent[end], written;

	(void)into;
	if (s->lent[end]) {
		atomic_store_explicit(&r->taken, at, memory_order_release);
		wake(&r->full, s->room[end]);
	}
	if (RING - at % RING < len)
		at += RING - at % RING; /* the sender has left that out, too */
	while ((written = atomic_load_explicit(&r->written, memory_order_acquire)) < at + len)
		doze(&r->wants, s->data[end], &r->written, written);
	s->lent[end] = at + len - atomic_load_explicit(&r->taken, memory_order_relaxed);
	return r->bytes + at % RING;
}

static void shm_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct shm *s = state;
	struct ring *r = s->to[!end];
	uint64_t at = atomic_load_explicit(&r->written, memory_order_relaxed), taken;

	if (RING - at % RING < len)
		at += RING - at % RING;
	while ((taken = atomic_load_explicit(&r->taken, memory_order_acquire)) + RING < at + len)
		doze(&r->full, s->room[!end], &r->taken, taken);
	memcpy(r->bytes + at % RING, from, len);
	atomic_store_explicit(&r->written, at + len, memory_order_release);
	wake(&r->wants, s->data[!end]);
}

const struct mechanism mechanism_shm = {
	.name = "eventfd + shm",
	.stands_for =
		"rings of 4 MiB in shared memory, eventfd(2) when somebody sleeps (one copy, none by the receiver)",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = shm_open_rings,
	.close = shm_close,
	.get = shm_get,
	.put = shm_put,
};
