/*
 * table - what the small numbers in refs stand for: rings and origins
 *
 * Looking up is lock-free; everything else takes the table's lock. Origins are found by a hash and counted by
 * their users; the number of one that nobody uses is given to the next.
 */
#include <pthread.h>

#include "ring/table_i.h"

#define TABLE_SIZE 65536
#define BUCKETS 4096
#define NONE UINT16_MAX /* no origin has this number */

struct pfs_rings {
	pthread_mutex_t lock; /* changes; reading is lock-free */
	unsigned next;	      /* lock */
	_Atomic(struct pfs_ring *) ring[TABLE_SIZE];

	_Atomic(struct pfs_origin *) origin[TABLE_SIZE];
	uint32_t users[TABLE_SIZE]; /* lock; of each origin */
	uint16_t chain[TABLE_SIZE]; /* lock; the next one in the bucket, or among the free ones */
	uint16_t bucket[BUCKETS];   /* lock */
	uint16_t free;		    /* lock; first of the numbers that are free again */
	unsigned norigins, origins_to; /* lock; in use; numbers below were given out */
};

int pfs_rings_new(struct pfs_rings **ret_table)
{
	struct pfs_rings *table = pfs_zalloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	memset(table->bucket, 0xff, sizeof(table->bucket));
	table->free = NONE;
	*ret_table = table;
	return 0;
}

void pfs_rings_free(struct pfs_rings *table)
{
	if (!table)
		return;
	for (unsigned i = 0; i < table->origins_to; i++)
		free(atomic_load(&table->origin[i]));
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* --- rings --------------------------------------------------------------------------------- */

struct pfs_ring *pfs_ring_get(const struct pfs_rings *table, uint16_t id)
{
	return atomic_load_explicit(&((struct pfs_rings *)table)->ring[id], memory_order_acquire);
}

int pfs_rings_enter(struct pfs_rings *table, struct pfs_ring *ring)
{
	int r = -ENOSPC;

	pthread_mutex_lock(&table->lock);
	for (unsigned i = 0; i < TABLE_SIZE; i++) {
		unsigned id = (table->next + i) % TABLE_SIZE;

		if (!atomic_load(&table->ring[id])) {
			ring->id = (uint16_t)id;
			ring->table = table;
			table->next = id + 1;
			atomic_store_explicit(&table->ring[id], ring, memory_order_release);
			r = 0;
			break;
		}
	}
	pthread_mutex_unlock(&table->lock);
	return r;
}

void pfs_rings_leave(struct pfs_ring *ring)
{
	if (ring->table)
		atomic_store_explicit(&ring->table->ring[ring->id], NULL, memory_order_release);
	ring->table = NULL;
}

/* --- origins ------------------------------------------------------------------------------- */

const struct pfs_origin *pfs_origin_get(const struct pfs_rings *table, uint16_t id)
{
	return atomic_load_explicit(&((struct pfs_rings *)table)->origin[id], memory_order_acquire);
}

static bool origin_equal(const struct pfs_origin *a, const struct pfs_origin *b)
{
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 && a->link_type == b->link_type &&
	       a->big_endian == b->big_endian && a->snaplen == b->snaplen &&
	       a->lengths_swapped == b->lengths_swapped && a->time_unit == b->time_unit &&
	       a->time_offset == b->time_offset && a->ifindex == b->ifindex;
}

static uint32_t mix(uint32_t hash, uint64_t value)
{
	for (; value; value >>= 8)
		hash = (hash ^ (uint32_t)(value & 0xff)) * 16777619u; /* FNV-1a */
	return hash * 16777619u;
}

static unsigned origin_bucket(const struct pfs_origin *o)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(o->name) && o->name[i]; i++)
		hash = mix(hash, (uint8_t)o->name[i]);
	hash = mix(hash, o->link_type);
	hash = mix(hash, (uint64_t)o->ifindex << 32 | o->snaplen);
	hash = mix(hash, (uint64_t)o->time_offset);
	hash = mix(hash, o->time_unit);
	return (hash ^ hash >> 16) % BUCKETS;
}

/* Where the chain leads to it, or ends. Lock held. */
static uint16_t *origin_find(struct pfs_rings *table, const struct pfs_origin *origin)
{
	uint16_t *at = &table->bucket[origin_bucket(origin)];

	while (*at != NONE && !origin_equal(atomic_load(&table->origin[*at]), origin))
		at = &table->chain[*at];
	return at;
}

/* A number for the new one, at the end of its chain. Lock held. */
static int origin_add(struct pfs_rings *table, const struct pfs_origin *origin, uint16_t *at)
{
	uint16_t id = table->free;
	struct pfs_origin *copy;

	if (id == NONE && table->origins_to == NONE)
		return -ENOSPC;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *origin;
	copy->name[sizeof(copy->name) - 1] = '\0';
	if (id == NONE)
		id = (uint16_t)table->origins_to++;
	else
		table->free = table->chain[id];
	table->chain[id] = NONE;
	table->norigins++;
	atomic_store_explicit(&table->origin[id], copy, memory_order_release);
	*at = id;
	return 0;
}

/* One user less. Lock held. */
static void origin_put(struct pfs_rings *table, uint16_t id)
{
	struct pfs_origin *origin = atomic_load(&table->origin[id]);
	uint16_t *at;

	assert(table->users[id] > 0);
	if (--table->users[id])
		return;
	at = origin_find(table, origin);
	assert(*at == id);
	*at = table->chain[id];
	table->chain[id] = table->free;
	table->free = id;
	table->norigins--;
	atomic_store(&table->origin[id], NULL);
	free(origin);
}

/* Where the set has the number, or would have it. */
static size_t set_find(const struct pfs_origins *set, uint16_t id)
{
	size_t from = 0, to = set->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (set->ids[middle] < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool set_has(const struct pfs_origins *set, uint16_t id)
{
	size_t at = set_find(set, id);

	return at < set->n && set->ids[at] == id;
}

/* Room for one more. */
static int set_reserve(struct pfs_origins *set)
{
	size_t cap = set->cap ? set->cap * 2 : 8;
	uint16_t *ids;

	if (set->n < set->cap)
		return 0;
	ids = reallocarray(set->ids, cap, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	set->ids = ids;
	set->cap = cap;
	return 0;
}

static void set_add(struct pfs_rings *table, struct pfs_origins *set, uint16_t id)
{
	size_t at = set_find(set, id);

	memmove(set->ids + at + 1, set->ids + at, (set->n - at) * sizeof(*set->ids));
	set->ids[at] = id;
	set->n++;
	table->users[id]++;
}

static int origin_use(struct pfs_rings *table, struct pfs_origins *set,
		      const struct pfs_origin *origin, uint16_t *ret_id)
{
	size_t max = table->norigins > TABLE_SIZE / 2 ? PFS_ORIGINS_SURE : PFS_ORIGINS_MAX;
	uint16_t *at = origin_find(table, origin);
	int r = 0;

	if (*at != NONE && set_has(set, *at)) {
		*ret_id = *at;
		return 0;
	}
	if (set->n >= max)
		return -ENOSPC;
	r = set_reserve(set);
	if (r == 0 && *at == NONE)
		r = origin_add(table, origin, at);
	if (r < 0)
		return r;
	*ret_id = *at;
	set_add(table, set, *at);
	return 0;
}

int pfs_origin_use(struct pfs_rings *table, struct pfs_origins *set,
		   const struct pfs_origin *origin, uint16_t *ret_id)
{
	int r;

	pthread_mutex_lock(&table->lock);
	r = origin_use(table, set, origin, ret_id);
	pthread_mutex_unlock(&table->lock);
	return r;
}

int pfs_origins_share(struct pfs_rings *table, struct pfs_origins *to, const struct pfs_origins *from)
{
	int r = 0;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < from->n && r == 0; i++) {
		if (set_has(to, from->ids[i]))
			continue;
		r = set_reserve(to);
		if (r == 0)
			set_add(table, to, from->ids[i]);
	}
	pthread_mutex_unlock(&table->lock);
	return r;
}

void pfs_origins_release(struct pfs_rings *table, struct pfs_origins *set)
{
	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < set->n; i++)
		origin_put(table, set->ids[i]);
	pthread_mutex_unlock(&table->lock);
	free(set->ids);
	*set = (struct pfs_origins){ 0 };
}
