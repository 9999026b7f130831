/*
 * keep - what is needed as long as somebody has yet to look into it: rings that nobody writes to any more, and what binds
 * trees together between which something was moved
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

/*
 * The rings into which somebody who can have refs into those of this domain has yet to look. Those with an end first, of
 * all trees: what they pass on goes to cursors of another tree.
 */
static void look_from(struct pfs_domain *domain, struct pfs_ring_set *set)
{
	struct pfs_graph *graph = domain->graph;

	for (int going = 0; going < 2; going++) {
		enum pfs_cursors_which which = going ? PFS_CURSORS_GOING : PFS_CURSORS_ENDING;

		pfs_cursors_rings(&domain->cursors, which, set);
		for (struct pfs_bond *b = graph->bonds; b; b = b->next)
			if (b->from == domain)
				pfs_cursors_rings(&b->to->cursors, which, set);
	}
}

/* The rings into which somebody has yet to look, as far as it is about retired ones. Lock held. */
static void look_around(struct pfs_graph *graph, struct pfs_ring_set *set)
{
	graph->retired.look++;
	pthread_rwlock_rdlock(&graph->places);
	for (struct pfs_ring *r = graph->retired.first; r; r = r->next) {
		struct pfs_domain *domain = r->owner;

		if (domain->looked == graph->retired.look)
			continue;
		domain->looked = graph->retired.look;
		look_from(domain, set);
	}
	pthread_rwlock_unlock(&graph->places);
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

/* --- bonds -------------------------------------------------------------------------------- */

static bool is_bound(const struct pfs_domain *from, const struct pfs_domain *to)
{
	for (const struct pfs_bond *b = from->graph->bonds; b; b = b->next)
		if (b->from == from && b->to == to)
			return true;
	return false;
}

int pfs_bond_make(struct pfs_domain *from, struct pfs_domain *to)
{
	struct pfs_graph *graph = from->graph;
	struct pfs_bond *bond;

	if (from == to || is_bound(from, to))
		return 0;
	bond = pfs_zalloc(1, sizeof(*bond));
	if (!bond)
		return -ENOMEM;
	bond->from = pfs_domain_ref(from);
	bond->to = pfs_domain_ref(to);
	pthread_rwlock_wrlock(&graph->places);
	bond->next = graph->bonds;
	graph->bonds = bond;
	pthread_rwlock_unlock(&graph->places);
	return 0;
}

/* Is nothing of the one tree to come for anybody of the other? */
static bool is_idle(const struct pfs_bond *bond, struct pfs_ring_set *set)
{
	const struct pfs_rings *rings = bond->from->graph->rings;

	*set = (struct pfs_ring_set){ 0 };
	pfs_cursors_rings(&bond->to->cursors, PFS_CURSORS_ALL, set);
	for (unsigned id = 0; id < 65536; id++)
		if (pfs_ring_set_has(set, (uint16_t)id) &&
		    pfs_ring_get(rings, (uint16_t)id)->owner == bond->from)
			return false;
	return true;
}

static void bond_undo(struct pfs_graph *graph, struct pfs_bond **at)
{
	struct pfs_bond *bond = *at;

	pthread_rwlock_wrlock(&graph->places);
	*at = bond->next;
	pthread_rwlock_unlock(&graph->places);
	pfs_domain_unref(bond->from);
	pfs_domain_unref(bond->to);
	free(bond);
}

void pfs_bonds_undo(struct pfs_graph *graph, bool all)
{
	PFS_FREE struct pfs_ring_set *set = NULL;

	/* What an input with an end passes on goes to the other tree yet. */
	if (!graph->bonds || (!all && atomic_load(&graph->ending)))
		return;
	set = pfs_zalloc(1, sizeof(*set));
	for (struct pfs_bond **at = &graph->bonds; *at && set;) {
		if (all || is_idle(*at, set))
			bond_undo(graph, at);
		else
			at = &(*at)->next;
	}
}
