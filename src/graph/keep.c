/*
 * keep - rings that nobody writes to any more, as long as somebody has yet to look into them
 *
 * Who gives up a ring does not know who still has refs into it: readers take their time. So it is put aside here, and
 * freed when no cursor of its tree has such a ref to come. The ticker looks after them now and then, and so does
 * who closes, removes, or needs the memory.
 */
#include "graph/graph_i.h"

#define LOOK_MIN UINT64_C(10000000)   /* ns between the ticker's looks, ... */
#define LOOK_MAX UINT64_C(1000000000) /* ... which come less often when they are in vain */

static pthread_mutex_t *lock_of(struct pfs_graph *graph)
{
	return &graph->retired.lock;
}

int pfs_retired_init(struct pfs_graph *graph)
{
	return -pthread_mutex_init(lock_of(graph), NULL);
}

void pfs_retired_release(struct pfs_graph *graph)
{
	pfs_graph_reap(graph); /* all cursors are gone */
	assert(!graph->retired.first);
	pthread_mutex_destroy(lock_of(graph));
}

void pfs_ring_retire(struct pfs_domain *domain, struct pfs_ring *ring)
{
	struct pfs_graph *graph = domain->graph;

	if (!ring)
		return;
	ring->owner = pfs_domain_ref(domain);
	ring->floor = NULL;
	pthread_mutex_lock(lock_of(graph));
	ring->next = graph->retired.first;
	graph->retired.first = ring;
	graph->retired.wait = LOOK_MIN;
	graph->retired.when = pfs_clock_mono() + LOOK_MIN;
	atomic_fetch_add(&graph->retired.n, 1);
	pthread_mutex_unlock(lock_of(graph));
	pfs_ticker_poke(graph->ticker);
}

/* The rings into which somebody in the trees of the retired ones has yet to look. Lock held. */
static void look_around(struct pfs_graph *graph, struct pfs_ring_set *set)
{
	graph->retired.look++;
	for (struct pfs_ring *r = graph->retired.first; r; r = r->next) {
		struct pfs_domain *domain = r->owner;

		if (domain->looked == graph->retired.look)
			continue;
		domain->looked = graph->retired.look;
		pfs_cursors_rings(domain->cursors, set);
	}
}

/* Takes those off the list that nobody looks into. Lock held. */
static struct pfs_ring *take_unseen(struct pfs_graph *graph, const struct pfs_ring_set *set)
{
	struct pfs_ring *gone = NULL;

	for (struct pfs_ring **at = &graph->retired.first; *at;) {
		struct pfs_ring *ring = *at;

		if (pfs_ring_set_has(set, ring->id)) {
			at = &ring->next;
			continue;
		}
		*at = ring->next;
		ring->next = gone;
		gone = ring;
		atomic_fetch_sub(&graph->retired.n, 1);
	}
	return gone;
}

void pfs_graph_reap(struct pfs_graph *graph)
{
	PFS_FREE struct pfs_ring_set *set = NULL;
	struct pfs_ring *gone;

	if (!atomic_load(&graph->retired.n))
		return;
	set = pfs_zalloc(1, sizeof(*set));
	if (!set)
		return;
	pthread_mutex_lock(lock_of(graph));
	look_around(graph, set);
	gone = take_unseen(graph, set);
	pthread_mutex_unlock(lock_of(graph));
	while (gone) {
		struct pfs_ring *ring = gone;
		struct pfs_domain *domain = ring->owner;

		gone = ring->next;
		pfs_domain_ring_free(domain, ring);
		pfs_domain_unref(domain);
	}
}

uint64_t pfs_graph_reap_due(struct pfs_graph *graph, uint64_t now)
{
	struct pfs_retired *retired = &graph->retired;
	uint64_t when;
	bool due;

	if (!atomic_load(&retired->n))
		return UINT64_MAX;
	pthread_mutex_lock(&retired->lock);
	due = now >= retired->when;
	if (due) {
		retired->when = now + retired->wait;
		retired->wait = pfs_min64(retired->wait * 2, LOOK_MAX);
	}
	when = retired->when;
	pthread_mutex_unlock(&retired->lock);
	if (due)
		pfs_graph_reap(graph);
	return atomic_load(&retired->n) ? when : UINT64_MAX;
}
