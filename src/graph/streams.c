#include "graph/streams.h"

#define BUCKETS 64u
#define KEPT 4096u /* bytes that an empty gather keeps, for the next */

/* --- the table --------------------------------------------------------------------------------- */

static struct pfs_stream **bucket_of(const struct pfs_streams *table, uint32_t stream)
{
	uint64_t word = stream;

	return &table->bucket[pfs_hash_words(&table->seed, &word, 1) & (table->nbuckets - 1)];
}

int pfs_streams_init(struct pfs_streams *table, size_t size, size_t max,
		     void (*release)(void *owner, struct pfs_stream *stream), void *owner)
{
	*table = (struct pfs_streams){
		.nbuckets = BUCKETS, .size = size, .max = max, .release = release, .owner = owner
	};
	table->bucket = pfs_zalloc(BUCKETS, sizeof(struct pfs_stream *));
	if (!table->bucket)
		return -ENOMEM;
	pfs_seed_init(&table->seed);
	return 0;
}

void pfs_streams_release(struct pfs_streams *table)
{
	while (table->oldest)
		pfs_streams_forget(table, table->oldest);
	free(TAKE_PTR(table->bucket));
}

static void unlink_age(struct pfs_streams *table, struct pfs_stream *s)
{
	*(s->older ? &s->older->newer : &table->oldest) = s->newer;
	*(s->newer ? &s->newer->older : &table->newest) = s->older;
}

static void link_newest(struct pfs_streams *table, struct pfs_stream *s)
{
	s->older = table->newest;
	s->newer = NULL;
	*(s->older ? &s->older->newer : &table->oldest) = s;
	table->newest = s;
}

struct pfs_stream *pfs_streams_find(const struct pfs_streams *table, uint32_t stream)
{
	struct pfs_stream *s = *bucket_of(table, stream);

	while (s && s->stream != stream)
		s = s->next_in_bucket;
	return s;
}

void pfs_streams_forget(struct pfs_streams *table, struct pfs_stream *stream)
{
	struct pfs_stream **at;

	if (!stream)
		return;
	for (at = bucket_of(table, stream->stream); *at != stream;)
		at = &(*at)->next_in_bucket;
	*at = stream->next_in_bucket;
	unlink_age(table, stream);
	table->release(table->owner, stream);
	free(stream);
	pfs_counter_add(&table->count, (uint64_t)-1);
}

/* Without memory the chains grow. */
static void grow(struct pfs_streams *table)
{
	struct pfs_stream **old = table->bucket, **bucket;
	size_t n = table->nbuckets;

	bucket = pfs_counter_get(&table->count) >= n ? pfs_zalloc(2 * n, sizeof(struct pfs_stream *))
						     : NULL;
	if (!bucket)
		return;
	table->bucket = bucket;
	table->nbuckets = 2 * n;
	for (size_t i = 0; i < n; i++) {
		for (struct pfs_stream *s = old[i], *next; s; s = next) {
			next = s->next_in_bucket;
			s->next_in_bucket = *bucket_of(table, s->stream);
			*bucket_of(table, s->stream) = s;
		}
	}
	free(old);
}

struct pfs_stream *pfs_streams_get(struct pfs_streams *table, uint32_t stream)
{
	struct pfs_stream *s = pfs_streams_find(table, stream);

	if (s) {
		if (s != table->newest) {
			unlink_age(table, s);
			link_newest(table, s);
		}
		return s;
	}
	if (pfs_counter_get(&table->count) >= table->max) {
		pfs_counter_add(&table->evicted, 1);
		pfs_streams_forget(table, table->oldest);
	}
	grow(table);
	s = pfs_zalloc(1, table->size);
	if (!s)
		return NULL;
	s->stream = stream;
	s->next_in_bucket = *bucket_of(table, stream);
	*bucket_of(table, stream) = s;
	link_newest(table, s);
	pfs_counter_add(&table->count, 1);
	return s;
}

/* --- gather -------------------------------------------------------------------------------------- */

static int reserve(struct pfs_gather *gather, struct pfs_budget *budget, size_t len)
{
	size_t cap = pfs_max(gather->cap, 512);
	uint8_t *data;

	while (cap < len)
		cap *= 2;
	if (cap == gather->cap)
		return 0;
	if (cap - gather->cap > budget->max - pfs_min(budget->used, budget->max))
		return -ENOMEM;
	data = realloc(gather->data, cap);
	if (!data)
		return -ENOMEM;
	budget->used += cap - gather->cap;
	gather->data = data;
	gather->cap = cap;
	return 0;
}

int pfs_gather_begin(struct pfs_gather *gather, struct pfs_budget *budget,
		     const struct pfs_emitter *out, const struct pfs_ref *ref)
{
	uint32_t head_len = ref->flags & PFS_REF_IN_STREAM ? ref->off : 0;
	int r = reserve(gather, budget, head_len);

	if (r < 0)
		return r;
	if (head_len)
		memcpy(gather->data, pfs_bytes(out, ref) - head_len, head_len);
	gather->head_len = head_len;
	gather->len = 0;
	gather->ref = *ref;
	gather->active = true;
	pfs_meta(out, ref, &gather->meta);
	return 0;
}

int pfs_gather_add(struct pfs_gather *gather, struct pfs_budget *budget, const uint8_t *p, size_t n)
{
	int r = reserve(gather, budget, gather->head_len + gather->len + n);

	if (r < 0)
		return r;
	memcpy(gather->data + gather->head_len + gather->len, p, n);
	gather->len += n;
	return 0;
}

void pfs_gather_drop(struct pfs_gather *gather, struct pfs_budget *budget)
{
	gather->active = false;
	gather->len = 0;
	if (gather->cap <= KEPT)
		return;
	budget->used -= gather->cap;
	gather->cap = 0;
	free(TAKE_PTR(gather->data));
}

bool pfs_gather_emit(struct pfs_gather *gather, struct pfs_budget *budget, uint16_t class_,
		     struct pfs_emitter *out)
{
	struct pfs_ref ref = gather->ref;
	struct pfs_record *rec;
	void *p = pfs_emit_new(out, gather->head_len + gather->len, &rec);

	if (!p)
		return false;
	memcpy(p, gather->data, gather->head_len + gather->len);
	rec->time = pfs_record_time(pfs_origin_get(out->rings, ref.origin), gather->meta.time);
	rec->stream = gather->meta.stream;
	rec->mark = gather->meta.mark;
	rec->origin = ref.origin;
	rec->flags = ref.flags & PFS_REC_FLAGS;
	ref.off = gather->head_len;
	ref.len = (uint32_t)gather->len;
	ref.class_ = class_;
	pfs_emit_commit_as(out, rec, &ref);
	pfs_gather_drop(gather, budget);
	return true;
}
