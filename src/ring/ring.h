/*
 * ring - memory where records are written once, by one writer, and read by many
 *
 * A ring is a power-of-two run of memory mapped twice in a row, so that nothing wraps visibly, and three
 * positions that only grow:
 *
 *	tail <= (records) <= head <= tail + size
 *
 *	head	writer: end of what was reserved
 *	tail	writer: everything below may be overwritten. A reader checks it before *and* after use.
 *
 * The memory is a sealed memfd of ours or a BPF ring that the kernel fills (one per CPU; then head is the
 * kernel's producer position and advancing tail moves the consumer position: ring/bpfring.h).
 *
 * Reclaiming: when the writer needs room it asks `limit` (given by the owner, who knows the readers)
 * up to where it may move tail. It stores tail first and asks afterwards, while a reader publishes its pin first
 * and checks tail afterwards: both sequentially consistent, so at least one of the two sees the other
 * (the twins are ring_reclaim() in ring.c and pfs_cursor_pin() in queue.c). Memory below tail is not handed
 * out before the last pin below it is gone.
 *
 * Threads: reserve/commit/scan by the holder of the owner's write lock; bytes by anyone who holds a pin.
 *
 *	void *p;
 *	if (pfs_ring_reserve(ring, len, &rec) == 0) {
 *		memcpy(rec + 1, bytes, len);
 *		pfs_ring_commit(ring, rec);
 *	}
 */
#ifndef PFS_RING_RING_H
#define PFS_RING_RING_H

#include "ring/shared.h"

struct pfs_ring;
struct pfs_rings;

/*
 * Up to which position may tail move, when `want` is wished? Called by the writer during reserve. Returns a
 * position <= want; the ring hands out memory only below it.
 */
typedef uint64_t (*pfs_ring_limit_fn)(void *owner, struct pfs_ring *ring, uint64_t want);

struct pfs_ring {
	uint8_t *data; /* mapped twice in a row; size bytes each */
	uint64_t size; /* a power of two */
	uint16_t id;
	int fd;		       /* memfd, or -1 */
	_Atomic uint64_t head; /* writer: the ring's writer */
	_Atomic uint64_t tail; /* writer: the ring's writer */
	uint64_t free_to;      /* writer only: memory below is free of pins; <= tail */
	struct pfs_shared_ring *shared; /* its positions for clients, in the memfd behind data; NULL: it has none */
	const _Atomic uint64_t *floor; /* borrowed, or NULL: of the owner's, for its limit function */
	pfs_ring_limit_fn limit;       /* borrowed with owner */
	void *owner;
	struct pfs_ring *next;			/* owner's: of the rings that it has given up */
	bool charged;				/* owner's: counted against its limit of memory */
	uint32_t payer;				/* owner's: and against whose share */
	void (*release)(struct pfs_ring *ring); /* other than memfd: unmaps; NULL for ours */
	void *priv;
	struct pfs_rings *table; /* borrowed */
};

/* Largest record that fits a ring of this size: a quarter of it. */
size_t pfs_ring_max_record(const struct pfs_ring *ring);

/* What a ring of at least `size` bytes really has: a power of two, min one page. */
uint64_t pfs_ring_round(size_t size);

/*
 * A memfd ring of at least `size` bytes (pfs_ring_round()). -ENOMEM, -ENOSPC (id
 * table full), -errno of memfd_create or mmap.
 */
int pfs_ring_new(struct pfs_rings *table, size_t size, pfs_ring_limit_fn limit, void *owner,
		 struct pfs_ring **ret_ring);

/* Wraps foreign double-mapped memory (a BPF ring). `release` is called from pfs_ring_free(). */
int pfs_ring_adopt(struct pfs_rings *table, uint8_t *data, uint64_t size,
		   void (*release)(struct pfs_ring *), void *priv, pfs_ring_limit_fn limit,
		   void *owner, struct pfs_ring **ret_ring);

/* NULL is fine. The caller knows that no ref into it is left. */
void pfs_ring_free(struct pfs_ring *ring);

/*
 * Room for one record of len bytes after its header. *ret_rec has size and len set, everything else zero.
 * -EAGAIN: no room (readers hold it); -EMSGSIZE: more than pfs_ring_max_record().
 */
int pfs_ring_reserve(struct pfs_ring *ring, size_t len, struct pfs_record **ret_rec);

/* Would pfs_ring_reserve() find room for `bytes` bytes of records, headers included? Reserves nothing. */
bool pfs_ring_room(struct pfs_ring *ring, uint64_t bytes);

/* Shortens the record reserved last, before commit: a producer that learns the length by reading. */
void pfs_ring_shrink(struct pfs_ring *ring, struct pfs_record *rec, size_t len);

/* Publishes the record. Pairs with the acquire load in pfs_ring_scan(). */
void pfs_ring_commit(struct pfs_ring *ring, struct pfs_record *rec);

/* The record at position *pos (skipping discarded ones), NULL when none is ready; *pos is left at it. */
struct pfs_record *pfs_ring_scan(struct pfs_ring *ring, uint64_t *pos);

/* Position of a record or of any byte in the first mapping, given a position close by (within size). */
uint64_t pfs_ring_pos(const struct pfs_ring *ring, const void *p, uint64_t near_pos);

static inline uint8_t *pfs_ring_at(const struct pfs_ring *ring, uint64_t pos)
{
	return ring->data + (pos & (ring->size - 1));
}

/*
 * Moves tail to `to` if nobody holds it (asks limit); returns how far memory is free now. For writers of
 * adopted rings, which free by themselves.
 */
uint64_t pfs_ring_reclaim(struct pfs_ring *ring, uint64_t to);

/* --- tables: ids of rings and origins, as refs carry them ----------------------------- */

int pfs_rings_new(struct pfs_rings **ret_table);
void pfs_rings_free(struct pfs_rings *table); /* all rings are gone by then */

struct pfs_ring *pfs_ring_get(const struct pfs_rings *table, uint16_t id);

/*
 * The origins that one tree uses: their numbers stay as long as a set has them, and are given to others afterwards.
 * Zeroed is empty. The content is of the table's; a set is bounded, so that one file with an interface for each packet
 * leaves numbers for the others: PFS_ORIGINS_MAX, or only PFS_ORIGINS_SURE once half of all 65,535 are taken.
 */
struct pfs_origins {
	uint16_t *ids; /* ascending */
	size_t n, cap;
};
#define PFS_ORIGINS_MAX 4096
#define PFS_ORIGINS_SURE 64

/* The number of the origin equal to *origin, which is made when there is none. -ENOSPC, -ENOMEM. Any thread. */
int pfs_origin_use(struct pfs_rings *table, struct pfs_origins *set,
		   const struct pfs_origin *origin, uint16_t *ret_id);
/* What one set has the other has from now on too, whatever its bound. -ENOMEM. Neither is released meanwhile. */
int pfs_origins_share(struct pfs_rings *table, struct pfs_origins *to, const struct pfs_origins *from);
void pfs_origins_release(struct pfs_rings *table, struct pfs_origins *set);
/* A number that some set has. */
const struct pfs_origin *pfs_origin_get(const struct pfs_rings *table, uint16_t id);

/* First byte that the ref means. */
const uint8_t *pfs_ref_bytes(const struct pfs_rings *table, const struct pfs_ref *ref);
/* Decodes the header in front of it. */
void pfs_ref_meta(const struct pfs_rings *table, const struct pfs_ref *ref, struct pfs_meta *ret_meta);
/* A ref to a whole committed record of a memfd ring. */
struct pfs_ref pfs_ref_of_record(const struct pfs_ring *ring, const struct pfs_record *rec,
				 uint64_t pos);

#endif
