/*
 * queue - a ring of refs with one writer and many cursors
 *
 * A directory has one queue however many read it. The writer never waits for a lossy cursor; it must not push
 * past a *held* slot (pfs_queue_room() tells how many refs may be pushed). A reliable cursor holds from its next
 * ref on, always; a lossy one only while pinned, that is while a reply is being made from ring memory.
 *
 *	claim	writer: slots below claim - size may be overwritten (stored before writing them)
 *	head	writer: refs below are published
 *	next	cursor: the first ref not yet taken
 *	hold	cursor: first slot (and the records of it and of later ones) that must stay; UINT64_MAX: none
 *	until	cursor: it gets what is below; UINT64_MAX: everything
 *
 * A cursor that was overtaken counts exactly the records it will not see: those overwritten in the queue, and those
 * whose bytes were reclaimed from their ring. A ref may stand for none (control refs) or for many (of a view): so
 * that a cursor can tell how many it did not see, each slot knows how many were pushed before it.
 *
 * Threads: push by the holder of the writing task's run lock; each cursor by one thread at a time (its
 * reader's lock); attach/detach/limit under the domain's cursor lock (pfs_cursors).
 */
#ifndef PFS_RING_QUEUE_H
#define PFS_RING_QUEUE_H

#include "ring/ring.h"
#include "ring/wait.h"

#define PFS_HOLD_NONE UINT64_MAX

struct pfs_queue {
	_Atomic uint64_t *slots; /* size * 4 words: refs, read and written word by word */
	_Atomic uint32_t *before; /* by slot: records pushed before this one (pfs_ref_weight), modulo 2^32 */
	uint64_t size;		  /* a power of two */
	uint64_t room_to;	  /* writer only: no slot below is held, nor can be; <= claim */
	_Atomic uint64_t records; /* writer: records pushed, before head */
	_Atomic uint64_t claim;
	_Atomic uint64_t head;
	struct pfs_cursors *cursors; /* a reference */
	int shift; /* how many levels its directory goes down at the next pfs_cursors_shift() */
	const struct pfs_rings *rings;	 /* borrowed */
	struct pfs_waitlist waiters;	 /* parked readers and polls */
	struct pfs_shared_queue *shared; /* in front of the slots, for clients; NULL: it has none */
	int fd;				 /* memfd of these and the slots, or -1 */
};

/*
 * All cursors of one tree, upstream before downstream; limits are computed over it. Refs go down from one to the
 * next: a look in that order misses none. Cursors with an end come first: nothing is pushed for them any more.
 *
 * Once something was moved from one tree into another, either may have refs into rings of the other: the lists become
 * one, for good, which both names mean.
 */
struct pfs_cursors {
	pthread_mutex_t lock;
	struct pfs_cursor *first;      /* lock; ascending depth */
	const struct pfs_rings *rings; /* borrowed */
	struct pfs_cursors *merged; /* lock; a reference: the list that this one went into. NULL: none */
	_Atomic unsigned refs;
};

#define PFS_CURSOR_LOOKS 16 /* a ring for each CPU of most machines */

struct pfs_cursor {
	struct pfs_queue *queue; /* borrowed */
	/* Borrowed, or NULL: a client says next, hold, records and lost there. pfs_cursors.lock to set */
	_Atomic(struct pfs_shared_cursor *) client;
	struct pfs_cursor *next_cursor; /* pfs_cursors.lock */
	unsigned depth;			/* pfs_cursors.lock; 0: it has an end */
	uint64_t until;		/* pfs_cursors.lock to change, and the cursor's thread rests */
	uint64_t until_records; /* likewise: pushed before that */
	_Atomic bool reliable;
	_Atomic uint64_t next;
	_Atomic uint64_t hold;
	_Atomic uint64_t records; /* pushed before `next`; writer: the cursor's thread */
	pfs_counter lost; /* records; writer: the cursor's thread; of a client's, under `lock` */
	/* By ring: held slots below `index` have no ref into it. A long lag is looked through once. */
	struct {
		uint64_t index;
		uint16_t ring;
	} looked[PFS_CURSOR_LOOKS]; /* pfs_cursors.lock */

	/* The record that was handed out in part: kept apart from the queue. */
	pthread_mutex_t lock;
	_Atomic bool begun;   /* lock; writer: the cursor's thread */
	struct pfs_ref rest;  /* lock: what is left of it */
	uint8_t *rescued;     /* lock; owned: its bytes, copied when the ring needed the room */
	uint32_t rescued_off; /* lock; rest.off when they were copied */
};

int pfs_cursors_new(const struct pfs_rings *rings, struct pfs_cursors **ret_cursors);
struct pfs_cursors *pfs_cursors_ref(struct pfs_cursors *all);
void pfs_cursors_unref(struct pfs_cursors *all); /* NULL is fine; with the last one no cursor is left */
/* From now on both are one list. One at a time. */
void pfs_cursors_merge(struct pfs_cursors *a, struct pfs_cursors *b);

/* size is rounded up to a power of two, at least 512. Memory is touched as it is used. -ENOMEM. */
int pfs_queue_new(size_t size, struct pfs_cursors *all, struct pfs_queue **ret_queue);
/* The same in a memfd that clients may map read-only. */
int pfs_queue_new_shared(size_t size, struct pfs_cursors *all, struct pfs_queue **ret_queue);
void pfs_queue_free(struct pfs_queue *queue); /* no cursor is attached */

/* If no cursor is on it, its pages are given back (true). Its indices go on. */
bool pfs_queue_trim(struct pfs_queue *queue);

/* Refs that may be pushed now without touching a held slot; up to `want`, which is at most half of its size. */
size_t pfs_queue_room(struct pfs_queue *queue, size_t want);
/* n <= room. Does not wake: the caller does, once per batch, with pfs_wait_wake(&queue->waiters). */
void pfs_queue_push(struct pfs_queue *queue, const struct pfs_ref *refs, size_t n);

/*
 * Attaches at the head: it sees everything pushed from now on (nothing is being pushed meanwhile). depth orders the
 * cursors of a tree: twice that of the queue's directory, and one more for those of readers.
 */
int pfs_cursor_init(struct pfs_cursor *cursor, struct pfs_queue *queue, unsigned depth, bool reliable);
void pfs_cursor_release(struct pfs_cursor *cursor);

/*
 * From now on a client moves it, by what it says in `page`, which is told where it stands. Of a queue that is shared;
 * the cursor's thread and the queue's writer rest.
 */
void pfs_cursor_share(struct pfs_cursor *cursor, struct pfs_shared_cursor *page);
/* Brings what its client says into the books: next, records, lost. */
void pfs_cursor_follow(struct pfs_cursor *cursor);

/* It gets what is in the queue now and no more. Its thread and the queue's writer rest meanwhile. */
void pfs_cursor_end(struct pfs_cursor *cursor);

/* On the cursor's thread: from now on, the writer waits for it or not. */
void pfs_cursor_set_reliable(struct pfs_cursor *cursor, bool reliable);

/* Refs waiting (0 when it is at the head); may count refs that will turn out lost. */
uint64_t pfs_cursor_ready(const struct pfs_cursor *cursor);
/* Records not delivered or lost yet: those waiting, and the one begun. Exact while nothing moves. */
uint64_t pfs_cursor_lag(struct pfs_cursor *cursor);

/*
 * Pins and copies out up to max refs from `next` on, skipping (and counting) lost ones first. Until
 * pfs_cursor_unpin() their bytes stay. Returns how many; 0: nothing there (then nothing is pinned).
 */
size_t pfs_cursor_pin(struct pfs_cursor *cursor, struct pfs_ref *refs, size_t max);
/* The first n of the pinned refs are done with; unpins. */
void pfs_cursor_unpin(struct pfs_cursor *cursor, size_t n);

/* Holds from `next` on without taking refs (what was overwritten is counted); pfs_cursor_unpin() lets go. */
void pfs_cursor_hold(struct pfs_cursor *cursor);

/*
 * The limit function's work: how far may ring's tail move towards want as far as these cursors of this tree go?
 * Rescues what a lossy cursor began and has not finished.
 */
uint64_t pfs_cursors_limit(struct pfs_cursors *all, const struct pfs_ring *ring, uint64_t want);

/* A bit for each ring. */
struct pfs_ring_set {
	uint64_t bits[65536 / 64];
};
static inline bool pfs_ring_set_has(const struct pfs_ring_set *set, uint16_t ring)
{
	return set->bits[ring / 64] >> (ring % 64) & 1;
}

/* Adds the rings into which these cursors have yet to look, held or not. */
void pfs_cursors_rings(struct pfs_cursors *all, struct pfs_ring_set *set);

/* The cursors of all queues with a shift get their new places, at once for whoever looks through the list. */
void pfs_cursors_shift(struct pfs_cursors *all);

#endif
