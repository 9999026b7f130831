#include "pf/ir/table.h"

#include "base/hash.h"

#define CAP_MIN 16u
#define TRIES 4u /* other functions, before there are more rows */

static struct pf_table_rows *rows_new(uint32_t cap)
{
	struct pf_table_rows *rows;
	struct pfs_seed seed;

	rows = pfs_zalloc(1, sizeof(*rows) + (size_t)(cap + PF_TABLE_PROBES) *
						     sizeof(struct pf_table_slot));
	if (!rows)
		return NULL;
	pfs_seed_init(&seed);
	rows->m = seed.a | 1;
	rows->cap = cap;
	rows->shift = 64 - (uint32_t)__builtin_ctz(cap);
	return rows;
}

static struct pf_table_rows *rows_of(const struct pf_table *t)
{
	return atomic_load_explicit(&t->rows, memory_order_relaxed);
}

/* The key's slot, or the free one where it belongs; NULL: there is none. */
static struct pf_table_slot *place(struct pf_table_rows *rows, uint64_t key)
{
	struct pf_table_slot *s = &rows->slot[key * rows->m >> rows->shift];

	for (unsigned i = 0; i + 1 < PF_TABLE_PROBES; i++, s++)
		if (!atomic_load_explicit(&s->used, memory_order_relaxed) ||
		    atomic_load_explicit(&s->key, memory_order_relaxed) == key)
			return s;
	return NULL;
}

static void fill(struct pf_table_rows *rows, struct pf_table_slot *s, uint64_t key, uint32_t value)
{
	if (atomic_load_explicit(&s->used, memory_order_relaxed)) {
		atomic_store_explicit(&s->value, value, memory_order_relaxed);
		return;
	}
	atomic_store_explicit(&s->key, key, memory_order_relaxed);
	atomic_store_explicit(&s->value, value, memory_order_relaxed);
	/* Pairs with the load in pf_table_find(). */
	atomic_store_explicit(&s->used, 1, memory_order_release);
	rows->used++;
}

/* All keys into other rows; false: some key has no room. */
static bool move_all(const struct pf_table_rows *from, struct pf_table_rows *to)
{
	for (uint32_t i = 0; i < from->cap + PF_TABLE_PROBES; i++) {
		uint32_t value = atomic_load_explicit(&from->slot[i].value, memory_order_relaxed);
		uint64_t key = atomic_load_explicit(&from->slot[i].key, memory_order_relaxed);
		struct pf_table_slot *s = value ? place(to, key) : NULL;

		if (value && !s)
			return false;
		if (value)
			fill(to, s, key, value);
	}
	return true;
}

static void publish(struct pf_table *t, struct pf_table_rows *rows)
{
	struct pf_table_rows *old = rows_of(t);

	/* Pairs with the load in pf_table_find(). */
	atomic_store_explicit(&t->rows, rows, memory_order_release);
	if (t->retire)
		t->retire(t->retire_arg, old);
	else
		free(old);
}

/* Rows with all keys and one more. */
static int make_anew(struct pf_table *t, uint64_t key, uint32_t value)
{
	const struct pf_table_rows *old = rows_of(t);
	uint32_t cap = CAP_MIN;

	/* A quarter full, so that there is room for as many again. */
	while (cap < (t->live + 1) * 4)
		cap *= 2;
	for (unsigned tries = 0; cap <= PF_TABLE_MAX * 4; cap *= ++tries % TRIES ? 1 : 2) {
		struct pf_table_rows *rows = rows_new(cap);
		struct pf_table_slot *s;

		if (!rows)
			return -ENOMEM;
		s = move_all(old, rows) ? place(rows, key) : NULL;
		if (s) {
			fill(rows, s, key, value);
			publish(t, rows);
			return 0;
		}
		free(rows);
	}
	return -E2BIG;
}

int pf_table_new(struct pf_table **ret_table)
{
	struct pf_table *t = pfs_zalloc(1, sizeof(*t));
	struct pf_table_rows *rows = rows_new(CAP_MIN);

	if (!t || !rows) {
		free(t);
		free(rows);
		return -ENOMEM;
	}
	atomic_init(&t->refs, 1);
	atomic_init(&t->rows, rows);
	*ret_table = t;
	return 0;
}

struct pf_table *pf_table_ref(struct pf_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void pf_table_unref(struct pf_table *t)
{
	/* The acquire pairs with the releases of the others: see pf_unref(). */
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(rows_of(t));
	free(t);
}

int pf_table_set(struct pf_table *t, uint32_t a, uint32_t b, uint32_t value)
{
	struct pf_table_rows *rows = rows_of(t);
	uint64_t key = pf_table_key(a, b);
	struct pf_table_slot *s = place(rows, key);
	bool there = s && atomic_load_explicit(&s->used, memory_order_relaxed);
	uint32_t before = there ? atomic_load_explicit(&s->value, memory_order_relaxed) : 0;
	int r = 0;

	if (value == before)
		return 0;
	if (!before && t->live == PF_TABLE_MAX)
		return -E2BIG;
	if (s && (there || rows->used < rows->cap / 2))
		fill(rows, s, key, value);
	else
		r = make_anew(t, key, value);
	if (r < 0)
		return r;
	t->live += !before;
	t->live -= !value;
	if (t->changed)
		t->changed(t->changed_arg, a, b, value);
	return 0;
}

void pf_table_each(const struct pf_table *t,
		   void (*each)(void *arg, uint32_t a, uint32_t b, uint32_t value), void *arg)
{
	const struct pf_table_rows *rows = rows_of(t);

	for (uint32_t i = 0; i < rows->cap + PF_TABLE_PROBES; i++) {
		uint32_t value = atomic_load_explicit(&rows->slot[i].value, memory_order_relaxed);
		uint64_t key = atomic_load_explicit(&rows->slot[i].key, memory_order_relaxed);

		if (value)
			each(arg, (uint32_t)(key >> 32), (uint32_t)key, value);
	}
}
