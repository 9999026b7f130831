/*
 * feed - a feed without a graph, for the tests of sources: it keeps a copy of every record
 *
 * Takes the place of graph/source.c's. Needs cmocka.h before it.
 */
#ifndef UNIT_FEED_H
#define UNIT_FEED_H

#include <sys/eventfd.h>

#include "graph/source.h"

#define RECORDS_MAX 4096

struct kept {
	uint8_t *bytes;
	uint32_t len;
	struct pfs_meta meta;
	uint16_t link_type;
	uint8_t flags;
	char name[64];
};

struct pfs_feed {
	struct pfs_rings *rings;
	struct pfs_origins origins;
	int stop_fd;
	_Atomic bool stopping;
	_Atomic size_t n;
	struct kept kept[RECORDS_MAX];
	size_t stop_after; /* records; 0: never */
	uint64_t lost;
	bool eof;
	struct pfs_ring *adopted[256];
	size_t nadopted;
};

static void feed_stop(struct pfs_feed *feed)
{
	atomic_store(&feed->stopping, true);
	eventfd_write(feed->stop_fd, 1);
}

int pfs_feed_stop_fd(const struct pfs_feed *feed)
{
	return feed->stop_fd;
}

bool pfs_feed_stopping(const struct pfs_feed *feed)
{
	return atomic_load(&((struct pfs_feed *)(uintptr_t)feed)->stopping);
}

size_t pfs_feed_ring_size(const struct pfs_feed *feed)
{
	(void)feed;
	return 1 << 20;
}

uint64_t pfs_feed_latency(const struct pfs_feed *feed)
{
	(void)feed;
	return 1000000;
}

static uint64_t no_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	(void)owner;
	(void)ring;
	return want;
}

static void feed_own(struct pfs_feed *feed, struct pfs_ring *ring)
{
	assert_true(feed->nadopted < ARRAY_SIZE(feed->adopted));
	feed->adopted[feed->nadopted++] = ring;
}

int pfs_feed_ring(struct pfs_feed *feed, size_t size, struct pfs_ring **ret_ring)
{
	int r = pfs_ring_new(feed->rings, size ? size : 1 << 20, no_limit, feed, ret_ring);

	if (r == 0)
		feed_own(feed, *ret_ring);
	return r;
}

int pfs_feed_adopt(struct pfs_feed *feed, uint8_t *data, uint64_t size,
		   void (*release)(struct pfs_ring *), void *priv, struct pfs_ring **ret_ring)
{
	int r = pfs_ring_adopt(feed->rings, data, size, release, priv, no_limit, feed, ret_ring);

	if (r == 0)
		feed_own(feed, *ret_ring);
	return r;
}

int pfs_feed_origin(struct pfs_feed *feed, const struct pfs_origin *origin, uint16_t *ret_id)
{
	return pfs_origin_use(feed->rings, &feed->origins, origin, ret_id);
}

int pfs_feed_reserve(struct pfs_feed *feed, struct pfs_ring *ring, size_t len,
		     struct pfs_record **ret_rec)
{
	(void)feed;
	return pfs_ring_reserve(ring, len, ret_rec);
}

int pfs_feed_push(struct pfs_feed *feed, struct pfs_ref *refs, size_t n)
{
	size_t at = atomic_load(&feed->n);

	for (size_t i = 0; i < n && at < RECORDS_MAX; i++, at++) {
		const struct pfs_origin *origin = pfs_origin_get(feed->rings, refs[i].origin);
		struct kept *kept = &feed->kept[at];

		kept->bytes = malloc(refs[i].len + 1);
		kept->len = refs[i].len;
		memcpy(kept->bytes, pfs_ref_bytes(feed->rings, &refs[i]), kept->len);
		pfs_ref_meta(feed->rings, &refs[i], &kept->meta);
		kept->link_type = origin->link_type;
		memcpy(kept->name, origin->name, sizeof(kept->name));
		kept->flags = refs[i].flags;
	}
	atomic_store(&feed->n, at);
	if (feed->stop_after && at >= feed->stop_after)
		feed_stop(feed);
	return 0;
}

int pfs_feed_push_taken(struct pfs_feed *feed, struct pfs_ref *refs,
			const struct pfs_takers *const *takers, size_t n)
{
	(void)takers;
	return pfs_feed_push(feed, refs, n);
}

void pfs_feed_wake(struct pfs_feed *feed)
{
	(void)feed;
}

const struct pfs_interests *pfs_feed_interests(const struct pfs_feed *feed)
{
	static const struct pfs_interests none;

	(void)feed;
	return &none;
}

void pfs_feed_decides(struct pfs_feed *feed, bool yes)
{
	(void)feed;
	(void)yes;
}

int pfs_feed_eof(struct pfs_feed *feed)
{
	feed->eof = true;
	return 0;
}

void pfs_feed_lost(struct pfs_feed *feed, const char *reason, uint64_t n)
{
	(void)reason;
	feed->lost += n;
}

static struct pfs_feed *feed_new(void)
{
	struct pfs_feed *feed = calloc(1, sizeof(*feed));

	assert_non_null(feed);
	assert_int_equal(pfs_rings_new(&feed->rings), 0);
	feed->stop_fd = eventfd(0, EFD_CLOEXEC);
	return feed;
}

static void feed_free(struct pfs_feed *feed)
{
	for (size_t i = 0; i < feed->nadopted; i++)
		pfs_ring_free(feed->adopted[i]);
	for (size_t i = 0; i < atomic_load(&feed->n); i++)
		free(feed->kept[i].bytes);
	pfs_origins_release(feed->rings, &feed->origins);
	pfs_rings_free(feed->rings);
	close(feed->stop_fd);
	free(feed);
}

#endif
