/* Sets of filters: members come and go, readers run. set_i.h says how it is held. */
#include "pf/merge/set.h"

#include "pf/error.h"
#include "pf/ir/print.h"
#include "pf/merge/set_i.h"
#include "pf/prog.h"

#define MEMBERS_MAX (1u << 22)

static void unlockp(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

#define LOCKED(set)                                                                          \
	PFS_CLEANUP(unlockp) __attribute__((unused)) pthread_mutex_t *locked = &(set)->lock; \
	pthread_mutex_lock(locked)

int pf_set_new(const struct pf_options *options, struct pf_set **ret_set, struct pf_error *error)
{
	struct pf_options known;
	struct pf_version *v;
	struct pf_set *set;
	int r = pf_options_read(options, &known, error);

	if (r < 0)
		return r;
	set = pfs_zalloc(1, sizeof(*set));
	v = pfs_zalloc(1, sizeof(*v));
	if (!set || !v || pthread_mutex_init(&set->lock, NULL) != 0) {
		free(set);
		free(v);
		return pf_fail(error, ENOMEM, "no memory for the set");
	}
	set->options = known;
	pfs_seed_init(&set->seed);
	pf_reclaim_init(&set->reclaim);
	atomic_init(&set->version, v);
	*ret_set = set;
	return 0;
}

void pf_set_free(struct pf_set *set)
{
	struct pf_version *v;

	if (!set)
		return;
	assert(!set->reclaim.readers);
	v = atomic_load_explicit(&set->version, memory_order_relaxed);
	for (uint32_t i = 0; i < v->n; i++)
		pf_part_free(v->part[i]);
	for (uint32_t i = 0; i < set->ntable; i++) {
		for (struct pf_group *g = set->table[i], *next; g; g = next) {
			next = g->next;
			pf_group_free(set, g);
		}
	}
	pf_reclaim_release(&set->reclaim);
	pthread_mutex_destroy(&set->lock);
	free(v);
	free(set->table);
	free(set->inside);
	free(set->free);
	free(set);
}

/* --- numbers of members ---------------------------------------------------------------------- */

static int number_take(struct pf_set *set, uint32_t *ret_id)
{
	uint32_t cap = set->capinside ? set->capinside * 2 : 64;
	void *p;

	if (set->nfree) {
		*ret_id = set->free[--set->nfree];
		return 0;
	}
	if (set->ninside + 1 >= set->capinside) {
		if (cap > MEMBERS_MAX)
			return -E2BIG;
		p = reallocarray(set->inside, cap, sizeof(*set->inside));
		if (!p)
			return -ENOMEM;
		set->inside = p;
		p = reallocarray(set->free, cap, sizeof(*set->free));
		if (!p)
			return -ENOMEM;
		set->free = p;
		set->capinside = cap;
	}
	/* Number 0 is nobody. */
	set->ninside += set->ninside == 0;
	set->inside[0] = (struct pf_inside){ 0 };
	*ret_id = set->ninside++;
	set->inside[*ret_id] = (struct pf_inside){ 0 };
	return 0;
}

static void put_back(void *arg, void *p, uint32_t id)
{
	struct pf_set *set = arg;

	set->free[set->nfree++] = id;
}

/* --- groups ---------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct pf_set *set, const struct pf_shape *shape)
{
	return pfs_hash_bytes(&set->seed, 0, (const uint8_t *)shape->text.data, shape->text.len);
}

static struct pf_group *find_group(const struct pf_set *set, const struct pf_shape *shape)
{
	uint64_t hash = hash_of(set, shape);
	struct pf_group *g = set->ntable ? set->table[hash & (set->ntable - 1)] : NULL;

	while (g && (g->hash != hash || g->shape.text.len != shape->text.len ||
		     memcmp(g->shape.text.data, shape->text.data, shape->text.len) != 0))
		g = g->next;
	return g;
}

static int grow_table(struct pf_set *set)
{
	uint32_t n = set->ntable ? set->ntable * 2 : 64;
	struct pf_group **table;

	if (set->ngroup < set->ntable)
		return 0;
	table = pfs_zalloc(n, sizeof(struct pf_group *));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < set->ntable; i++) {
		for (struct pf_group *g = set->table[i], *next; g; g = next) {
			next = g->next;
			g->next = table[g->hash & (n - 1)];
			table[g->hash & (n - 1)] = g;
		}
	}
	free(set->table);
	set->table = table;
	set->ntable = n;
	return 0;
}

static int add_group(struct pf_set *set, struct pf_shape *shape, struct pf_group **ret_group)
{
	uint64_t hash = hash_of(set, shape);
	struct pf_group *g = NULL;
	int r = grow_table(set);

	if (r == 0)
		r = pf_group_make(set, shape, &g);
	if (r < 0)
		return r;
	assert(g);
	r = pf_part_add(set, g);
	if (r < 0) {
		pf_group_free(set, g);
		return r;
	}
	g->hash = hash;
	g->next = set->table[hash & (set->ntable - 1)];
	set->table[hash & (set->ntable - 1)] = g;
	set->ngroup++;
	*ret_group = g;
	return 0;
}

/* Where there is no memory it stays, without members. */
static void drop_group(struct pf_set *set, struct pf_group *g)
{
	struct pf_group **p = &set->table[g->hash & (set->ntable - 1)];

	if (pf_part_remove(set, g) < 0)
		return;
	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	set->ngroup--;
	pf_group_free(set, g);
}

/* --- members --------------------------------------------------------------------------------- */

static int enter_group(struct pf_set *set, struct pf_shape *shape, struct pf_inside *m)
{
	struct pf_group *g = find_group(set, shape);
	int r = g ? 0 : add_group(set, shape, &g);

	if (r == 0)
		r = pf_group_widen(set, g, m->key);
	if (r >= 0)
		r = pf_group_enter(set, g, m);
	if (r < 0) {
		if (g && !g->members)
			drop_group(set, g);
		return r;
	}
	m->group = g;
	return 0;
}

static int enter(struct pf_set *set, struct pf_shape *shape, const struct pf_member *how,
		 uint32_t *ret_id)
{
	struct pf_inside m = { .keep = shape->keep };
	int r;

	if (how) {
		m.priority = how->priority;
		m.consumes = how->consumes;
	}
	memcpy(m.key, shape->key, sizeof(m.key));
	pf_reclaim_poll(&set->reclaim);
	r = number_take(set, &m.id);
	if (r < 0)
		return r;
	r = enter_group(set, shape, &m);
	/* Too many ways through it: a program for this key alone. */
	if (r == -E2BIG && shape->words) {
		r = pf_shape_fix(shape);
		if (r == 0)
			r = enter_group(set, shape, &m);
	}
	if (r < 0) {
		put_back(set, NULL, m.id);
		return r;
	}
	set->inside[m.id] = m;
	set->members++;
	*ret_id = m.id;
	return 0;
}

int pf_set_add(struct pf_set *set, const struct pf_prog *prog, const struct pf_member *how,
	       uint32_t *ret_id, struct pf_error *error)
{
	const struct pf_unit *plain = pf_prog_plain(prog);
	PF_SHAPE struct pf_shape shape = { 0 };
	int r;

	if (how && how->size != sizeof(*how))
		return pf_fail(error, EINVAL, "a member of %zu bytes: made for another release",
			       how->size);
	if (pf_prog_ir(prog)->nmemory)
		return pf_fail(error, ENOTSUP,
			       "a filter with memory is in no set: its memory would have no place");
	r = pf_shape_make(plain ? plain : pf_prog_ir(prog), plain, &shape);
	if (r == 0) {
		LOCKED(set);

		r = enter(set, &shape, how, ret_id);
	}
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "the filter is too large for a set, or the set is full");
	return r < 0 ? pf_fail(error, -r, "no memory for the filter in its set") : 0;
}

int pf_set_remove(struct pf_set *set, uint32_t id)
{
	struct pf_group *g;
	int r;
	LOCKED(set);

	g = id < set->ninside ? set->inside[id].group : NULL;
	if (!g)
		return -ENOENT;
	r = pf_group_leave(set, g, &set->inside[id]);
	if (r < 0)
		return r;
	set->inside[id].group = NULL;
	set->members--;
	if (!g->members)
		drop_group(set, g);
	pf_reclaim_later(&set->reclaim, put_back, set, NULL, id);
	pf_reclaim_poll(&set->reclaim);
	return 0;
}

/* --- readers --------------------------------------------------------------------------------- */

int pf_set_reader_new(struct pf_set *set, struct pf_set_reader **ret_reader)
{
	struct pf_set_reader *reader = aligned_alloc(64, sizeof(*reader));
	LOCKED(set);

	if (!reader)
		return -ENOMEM;
	*reader = (struct pf_set_reader){ .set = set };
	pf_reader_join(&set->reclaim, &reader->reader);
	*ret_reader = reader;
	return 0;
}

void pf_set_reader_free(struct pf_set_reader *reader)
{
	if (!reader)
		return;
	{
		LOCKED(reader->set);

		pf_reader_part(&reader->set->reclaim, &reader->reader);
	}
	free(reader);
}

void pf_set_enter(struct pf_set_reader *reader)
{
	pf_reader_enter(&reader->set->reclaim, &reader->reader);
	reader->inside = true;
}

void pf_set_leave(struct pf_set_reader *reader)
{
	reader->inside = false;
	pf_reader_leave(&reader->reader);
}

/* --- running --------------------------------------------------------------------------------- */

/* What was found so far: `n` in all, the first of them in ret. */
struct finding {
	struct pf_match *ret;
	size_t max, n;
};

static int compare(const void *a, const void *b)
{
	const struct pf_match *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void sort(struct pf_match *m, size_t n)
{
	if (n > 16) {
		qsort(m, n, sizeof(*m), compare);
		return;
	}
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0 && compare(&m[k - 1], &m[k]) > 0; k--) {
			struct pf_match x = m[k];

			m[k] = m[k - 1];
			m[k - 1] = x;
		}
}

/* There is no room for all: only the first ones stay, in order. */
static void squeeze(struct finding *f, const struct pf_match *m)
{
	size_t at = f->max;

	if (f->n == f->max)
		sort(f->ret, f->max);
	while (at > 0 && compare(m, &f->ret[at - 1]) < 0)
		at--;
	if (at == f->max)
		return;
	memmove(&f->ret[at + 1], &f->ret[at], (f->max - at - 1) * sizeof(*m));
	f->ret[at] = *m;
}

static void answer(struct finding *f, const struct pf_answers *a, uint32_t value)
{
	/* Pair with the stores in set_group.c. */
	const struct pf_slots *slots = atomic_load_explicit(&a->slots, memory_order_acquire);
	uint32_t entry = a->direct ? 1 : value;
	const struct pf_list *list =
		entry < slots->cap ? atomic_load_explicit(&slots->of[entry], memory_order_acquire)
				   : NULL;

	for (uint32_t i = 0; list && i < list->n; i++, f->n++) {
		struct pf_match m = list->of[i];

		if (a->direct)
			m.keep = value;
		if (f->n < f->max)
			f->ret[f->n] = m;
		else if (f->max)
			squeeze(f, &m);
	}
}

static uint32_t run_part(const struct pf_part *part, const struct pf_packet *packet, struct pf_hit *hits)
{
	uint32_t n = part->native ? pf_native_run(part->native, packet, hits)
				  : pf_interp_run(part->interp, packet, hits);

	if (part->nresult > 1)
		return n;
	hits[0] = (struct pf_hit){ 0, n };
	return n != 0;
}

/* In order, and nobody behind the first who consumes. */
static size_t finish(const struct finding *f)
{
	size_t have = pfs_min(f->n, f->max);

	if (f->n <= f->max)
		sort(f->ret, f->n);
	for (size_t i = 0; i < have; i++)
		if (f->ret[i].consumes)
			return i + 1;
	return f->n;
}

size_t pf_set_run(struct pf_set_reader *reader, const struct pf_packet *packet,
		  struct pf_match *ret, size_t max)
{
	struct finding f = { .ret = ret, .max = max };
	struct pf_hit hits[PART_RESULTS];
	const struct pf_version *v;
	bool inside = reader->inside;

	if (!inside)
		pf_reader_enter(&reader->set->reclaim, &reader->reader);
	/* Pairs with the store in publish(). */
	v = atomic_load_explicit(&reader->set->version, memory_order_acquire);
	for (uint32_t i = 0; i < v->n; i++) {
		uint32_t n = run_part(v->part[i], packet, hits);

		for (uint32_t k = 0; k < n; k++)
			answer(&f, v->part[i]->of_result[hits[k].id], hits[k].value);
	}
	if (!inside)
		pf_reader_leave(&reader->reader);
	return f.n ? finish(&f) : 0;
}

/* --- looking --------------------------------------------------------------------------------- */

int pf_set_get_info(struct pf_set *set, struct pf_set_info *info)
{
	struct pf_set_info all = { .size = info->size };
	LOCKED(set);

	if (info->size < sizeof(info->size) || info->size > sizeof(all))
		return -EINVAL;
	all.members = set->members;
	all.shapes = set->ngroup;
	all.programs = atomic_load_explicit(&set->version, memory_order_relaxed)->n;
	all.compiled = set->compiled;
	memcpy(info, &all, info->size);
	return 0;
}

int pf_set_unit(struct pf_set *set, struct pf_unit *ret_unit)
{
	LOCKED(set);

	return pf_part_merge_all(set, ret_unit);
}

int pf_set_dump(struct pf_set *set, const char *stage, char **ret_text, struct pf_error *error)
{
	PFS_BUF struct pfs_buf out = { 0 };
	bool dot = strcmp(stage, "dot") == 0;
	struct pf_unit u;
	int r;

	if (!dot && strcmp(stage, "merged") != 0)
		return pf_fail(error, ENOENT, "there is no stage '%.40s' of a set", stage);
	r = pf_set_unit(set, &u);
	if (r == -ENOENT)
		return pf_fail(error, ENOENT, "the set is empty");
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "the set is too large for one program");
	if (r == 0) {
		r = dot ? pf_print_dot(&u, &out) : pf_print(&u, &out);
		pf_unit_release(&u);
	}
	if (r < 0 || out.failed || !out.data)
		return pf_fail(error, ENOMEM, "no memory for the listing");
	*ret_text = TAKE_PTR(out.data);
	return 0;
}
