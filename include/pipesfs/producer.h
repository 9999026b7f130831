/*
 * producer - records written into shared memory, without a system call for each
 *
 *	struct pfs_producer *producer;
 *	void *p;
 *
 *	if (pfs_producer_open("/p/accept/all", 0, NULL, 0, &producer) < 0)
 *		...
 *	while ((r = pfs_producer_reserve(producer, len, &p)) == -EAGAIN)
 *		poll(&(struct pollfd){ .fd = pfs_producer_fd(producer), .events = POLLIN }, 1, -1);
 *	if (r == 0) {
 *		memcpy(p, bytes, len);
 *		pfs_producer_commit(producer, len);
 *	}
 *	pfs_producer_close(producer);
 *
 * Each commit is a record, as one write(2) of these bytes to the same file would be: one packet where packets flow,
 * else the next piece of this producer's own byte stream. The mount copies it, once, into the ring of the directory, at
 * the pace at which that has room; meanwhile this producer's ring fills.
 *
 * Threads: one at a time for each producer. Functions return 0 or a negative errno value.
 */
#ifndef PIPESFS_PRODUCER_H
#define PIPESFS_PRODUCER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_producer;

/*
 * Opens a pipe file for writing; the kernel and the mount check the caller's rights as for any open. ring_size: bytes,
 * a power of two from 4096 to 64 MiB; 0: 1 MiB; the mount may take less. why: NULL, or why_size bytes: when it
 * fails, the mount's sentence, or "".
 *
 * What open(2) says; -EINVAL: no such size; -EDQUOT, -ENOMEM: the ring is more than the mount, or this user's share of
 * it, has; -ENOTTY: no file of pipesfs, or of a mount that knows no producers; -EPROTO: nonsense was answered.
 */
int pfs_producer_open(const char *path, size_t ring_size, char *why, size_t why_size,
		      struct pfs_producer **ret_producer);
/* Bytes of the longest record. */
size_t pfs_producer_max(const struct pfs_producer *producer);
/*
 * Room for a record of up to len bytes, aligned to 8, which stays until commit: *ret_bytes. -EAGAIN: the ring is full,
 * and the descriptor gets readable when there is room; -EMSGSIZE, -EINVAL (0); -EPIPE: the directory was removed, or
 * the mount has ended.
 */
int pfs_producer_reserve(struct pfs_producer *producer, size_t len, void **ret_bytes);
/* The first len bytes of what was reserved are a record. -EINVAL: 0, or more than was reserved. */
int pfs_producer_commit(struct pfs_producer *producer, size_t len);
/*
 * The same, of a packet that was somewhere else before. wire_len: its true length, if it was cut; 0: len. time: ns
 * since 1970 when it was there; 0, or later than now: when the mount takes it. Where bytes flow wire_len means nothing.
 * -EINVAL: also if wire_len is less than len and not 0.
 */
int pfs_producer_commit_as(struct pfs_producer *producer, size_t len, uint32_t wire_len, uint64_t time);
/*
 * 0: all that was committed is in the directory's ring. -EAGAIN: not yet, and the descriptor gets readable when it
 * is; -EPIPE: it will never be.
 */
int pfs_producer_flush(struct pfs_producer *producer);
/* For poll(2), epoll(7), POLLIN: after -EAGAIN, when it is worth trying again. Belongs to the producer. */
int pfs_producer_fd(const struct pfs_producer *producer);
/*
 * Ends the stream; NULL is fine. What was committed is still taken, in order, also if the process dies instead. Never
 * waits.
 */
void pfs_producer_close(struct pfs_producer *producer);

#ifdef __cplusplus
}
#endif

#endif
