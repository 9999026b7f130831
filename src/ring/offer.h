/*
 * offer - records from a process that is not believed
 *
 * A ring in a sealed memfd, with one *giver*, a client's process, and one *taker*, which made it and copies each record
 * out of it once. The memory is the giver's to write, all of it and at any time: the taker reads the giver's position
 * and each record's length once, checks them against what it alone knows, and looks at nothing else. The bytes
 * themselves may change until they were copied, as if the giver had written something else. Nonsense is -EPROTO, once
 * and for all.
 *
 *	tail (taken) <= records <= head (given) <= tail + size
 *
 *	giver					taker
 *	reserve(len, &p): -EAGAIN, full		while (peek(&bytes, &len) == 1)
 *	fill p					copy; if (take()) wake the giver
 *	if (commit(len)) wake the taker		if (rest()) wait to be woken
 *
 * Nobody waits in here; how one wakes the other is theirs. Who sleeps says so in the memory first and looks again then
 * (pfs_offer_rest(), pfs_offer_wait()), so that no system call is made for who is awake; each is woken once. A giver
 * that waits for room is woken when half of the ring is free, not at each record.
 *
 * Threads: the giver's functions on one, the taker's on one; the two ends may be one struct.
 */
#ifndef PFS_RING_OFFER_H
#define PFS_RING_OFFER_H

#include "ring/record.h"

#define PFS_OFFER_MIN ((uint64_t)4096)
#define PFS_OFFER_MAX ((uint64_t)64 << 20)

struct pfs_offer;

/* The taker's end, of this many bytes for records: a power of two. -EINVAL, -ENOMEM, -errno. */
int pfs_offer_new(uint64_t size, struct pfs_offer **ret_offer);
int pfs_offer_memory(const struct pfs_offer *offer); /* the memfd, borrowed; only of the taker's end */
/* The giver's end; the descriptor is borrowed. -EPROTO: that is no such memory. */
int pfs_offer_open(int memory_fd, struct pfs_offer **ret_offer);
void pfs_offer_free(struct pfs_offer *offer); /* NULL is fine */

/* The longest record: a quarter of the ring. */
size_t pfs_offer_record_max(const struct pfs_offer *offer);

/* --- giver -------------------------------------------------------------------------------------- */

/*
 * Room for a record of up to len bytes, aligned to 8, until commit; asked again, it is the same room. -EAGAIN: the ring
 * is full; -EINVAL: len is 0; -EMSGSIZE; -EPROTO: the memory is not what it was; or what pfs_offer_end() said.
 */
int pfs_offer_reserve(struct pfs_offer *offer, size_t len, void **ret_bytes);
/* The first len bytes (not 0) of what was reserved are a record. said: or NULL. True: the taker rests: wake it. */
bool pfs_offer_commit(struct pfs_offer *offer, size_t len, const struct pfs_said *said);
/* From now on a take that leaves room for len bytes, or for more, wakes. False: there is room already. */
bool pfs_offer_wait(struct pfs_offer *offer, size_t len);
/* The same, for the take after which nothing is left. False: all was taken, or pfs_offer_end() was called. */
bool pfs_offer_wait_empty(struct pfs_offer *offer);
/* Has all that was committed been taken? -EAGAIN: no; or what pfs_offer_end() said. */
int pfs_offer_flushed(const struct pfs_offer *offer);

/* --- taker -------------------------------------------------------------------------------------- */

/* The oldest record, which stays: 1, 0: there is none, -EPROTO. */
int pfs_offer_peek(struct pfs_offer *offer, const void **ret_bytes, size_t *ret_len);
/* After peek said 1: what was said of that record, word for word. */
const struct pfs_said *pfs_offer_said(const struct pfs_offer *offer);
/* After peek said 1: that record was copied. True: the giver waits for this and must be woken. */
bool pfs_offer_take(struct pfs_offer *offer);
/* Nothing is taken any more: the giver is told why, a positive errno. True: it waits and must be woken. */
bool pfs_offer_end(struct pfs_offer *offer, int error);
/* From now on the next commit wakes. False: there is something already, or nonsense. */
bool pfs_offer_rest(struct pfs_offer *offer);

#endif
