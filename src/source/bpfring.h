/*
 * bpfring - consuming the BPF rings of one capture
 *
 * The kernel writes a ring per CPU; here they become rings of the graph (adopted, not copied) and their
 * records one stream of refs in order of time.
 *
 * Order. A record's time is taken after its place was reserved. So at a moment T every record older than T is
 * visible as reserved, and all that can be missing are those still being written ("busy"). Whatever is older
 * than T and older than the first busy record is handed on at once; a busy one is waited for, at most
 * `latency`. One that comes later still is handed on and counted as reordered. Latency 0 waits for nothing.
 *
 * Waiting. Three states:
 *	RUN	there were records a moment ago: look again after one period; until then the kernel wakes us only
 *		when a good part of the ring has filled
 *	DOZE	nothing came: the kernel is to wake us for the next record; still look again after one period
 *	SLEEP	nothing came in that period either: wait without an end
 * DOZE is what excludes lost wake-ups without a barrier in the kernel's path: a program that read the old
 * `wake_at` just before we stored the new one has its record visible long before the period is over.
 *
 * Room. A BPF ring does not overwrite. Half of it is kept free by moving the consumer position along,
 * never past what readers hold; the other half is history for slow readers.
 *
 * Threads: new, run and free by the source's thread (or before and after it ran); stats by any.
 */
#ifndef PFS_SOURCE_BPFRING_H
#define PFS_SOURCE_BPFRING_H

#include "graph/source.h"
#include "source/bpfcapture.h"

struct bpfring;

struct bpfring_ops {
	/* The origin of a record's device; < 0: not known, the record is lost ("unknown device"). */
	int (*origin)(void *arg, const struct pfs_record *rec, uint16_t *ret_origin);
	/* Something happened on `fd`, or `timeout` passed (events 0). False: the capture is over. NULL: no fd. */
	bool (*event)(void *arg, uint32_t events);
	/* ns after which event() wants to be called anyway, UINT64_MAX: not. NULL: never. */
	uint64_t (*timeout)(void *arg);
	int fd; /* borrowed; polled for errors, edge-triggered; -1: none */
	void *arg;
};

/*
 * Maps the rings and gives them to the graph, which unmaps them when no ref is left. Borrows kcap and feed.
 * latency: ns. -ENOMEM, -errno of mmap and epoll.
 */
int bpfring_new(struct kcap *kcap, struct pfs_feed *feed, uint64_t latency,
		struct bpfring **ret_bpfring);
void bpfring_free(struct bpfring *b); /* NULL is fine */

/* Until the feed is stopped (0), event() said that it is over (1), or an error. */
int bpfring_run(struct bpfring *b, const struct bpfring_ops *ops);

struct bpfring_stats {
	uint64_t seen;	    /* packets that the programs looked at */
	uint64_t copied;    /* of these, which came */
	uint64_t lost;	    /* of these, for want of room */
	uint64_t reordered; /* handed on after a younger one */
	uint64_t wakeups;   /* times that the consumer was woken or looked */
};
void bpfring_stats(const struct bpfring *b, struct bpfring_stats *ret_stats);
/* The same as lines of .stats. */
void bpfring_text(const struct bpfring *b, struct pfs_buf *out);

#endif
