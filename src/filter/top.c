/*
 * top - the most frequent values of a field
 *
 * Synopsis:   …/top:FIELD[,by=packets|bytes][,n=N][,keep=K][,every=S]
 *
 * FIELD is host, srcip, dstip, port, srcport, dstport, proto, flow or len. Counts packets (or their bytes
 * on the wire) by its value, without a reader: the directory is a consumer by itself. A packet counts
 * for both its hosts, and both its ports, once where they are equal. Nothing passes. Its `all` (and
 * all.json) is lines of JSON: one at once for a reader who comes, one every S seconds while packets come,
 * and one when the stream ends:
 *
 *	{"time":…,"field":"port","by":"packets","total":9120,"error":0,
 *	 "top":[{"port":"443","packets":8000,"error":0}, …]}
 *
 * Memory is bounded: K values are counted (the Space-Saving algorithm of Metwally, Agrawal and El Abbadi,
 * 2005). As long as there are no more than K different ones, every number is exact. Beyond, a new value
 * takes the place of the least frequent and goes on from its count; then
 *
 *	a number is never too small, and too large by its `error` at most;
 *	`error` is never more than total / K, nor more than the `error` of the line, which is that of values not shown;
 *	every value that makes up more than total / K is there.
 *
 * Numbers are those since mkdir. total counts values: a packet with two of them counts twice.
 *
 * Stats:      total, keys (values being counted), error, unfit (packets without the field);
 *             top.VALUE, the N most frequent, the first one first
 * Parameters: by=packets|bytes  what is counted (default packets)
 *             n=N               how many are told, 1 to 1000 (default 10)
 *             keep=K            how many are counted, at least N, up to 64k (default 1000; 128 bytes each)
 *             every=S           seconds between two lines of numbers (default 1)
 *             n= and every= can be changed through .params.
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/top:host,by=bytes; cat /p/dev/eth0/top:host,by=bytes/all.json
 */
#include <pthread.h>

#include "base/hash.h"
#include "graph/proto.h"
#include "graph/report.h"
#include "packet/field.h"

#define N_DEFAULT 10
#define N_MAX 1000
#define KEEP_DEFAULT 1000
#define KEEP_MAX 65536

struct value {
	struct pkt_key key;
	uint64_t count;
	uint64_t error; /* of it was counted for another */
	uint32_t hash;
	uint32_t next; /* in its bucket: number + 1 */
	uint32_t heap; /* where it stands there */
};

/* Counts change under the lock; settings on the control thread, with the worker at rest. */
struct top {
	struct pfs_report report;
	const struct pkt_field *field;
	bool bytes;
	_Atomic uint32_t n;
	uint32_t keep;
	struct pfs_seed seed;
	pthread_mutex_t lock;
	struct value *values; /* lock; owned; keep of them, the first nvalues in use */
	uint32_t nvalues;     /* lock */
	uint32_t *heap;	      /* lock; owned; numbers of values, the least frequent on top */
	uint32_t *buckets;    /* lock; owned; number + 1 of the first value */
	uint32_t nbuckets;    /* a power of two */
	uint64_t total;	      /* lock */
	uint64_t unfit;	      /* lock */
	bool pushed;	      /* lock: a value had to make place for another */
};

/* --- the heap; lock held ------------------------------------------------------------------------------ */

static void heap_put(struct top *t, uint32_t at, uint32_t number)
{
	t->heap[at] = number;
	t->values[number].heap = at;
}

/* The value there has grown. */
static void heap_sink(struct top *t, uint32_t at)
{
	uint32_t number = t->heap[at];
	uint64_t count = t->values[number].count;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= t->nvalues)
			break;
		if (child + 1 < t->nvalues &&
		    t->values[t->heap[child + 1]].count < t->values[t->heap[child]].count)
			child++;
		if (t->values[t->heap[child]].count >= count)
			break;
		heap_put(t, at, t->heap[child]);
		at = child;
	}
	heap_put(t, at, number);
}

/* The last value is new. */
static void heap_rise(struct top *t, uint32_t at)
{
	uint32_t number = t->heap[at];
	uint64_t count = t->values[number].count;

	while (at > 0 && t->values[t->heap[(at - 1) / 2]].count > count) {
		heap_put(t, at, t->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(t, at, number);
}

/* --- counting; lock held -------------------------------------------------------------------------------- */

static uint32_t *bucket_of(const struct top *t, uint32_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

static struct value *value_find(struct top *t, uint32_t hash, const struct pkt_key *key)
{
	size_t size = t->field->words * sizeof(key->word[0]);

	for (uint32_t at = *bucket_of(t, hash); at; at = t->values[at - 1].next) {
		struct value *v = &t->values[at - 1];

		if (v->hash == hash && memcmp(&v->key, key, size) == 0)
			return v;
	}
	return NULL;
}

static void bucket_add(struct top *t, uint32_t number, uint32_t hash)
{
	t->values[number].next = *bucket_of(t, hash);
	*bucket_of(t, hash) = number + 1;
}

static void bucket_remove(struct top *t, uint32_t number)
{
	uint32_t *at = bucket_of(t, t->values[number].hash);

	while (*at != number + 1)
		at = &t->values[*at - 1].next;
	*at = t->values[number].next;
}

static void top_add(struct top *t, const struct pkt_key *key, uint64_t weight)
{
	uint32_t hash = (uint32_t)pfs_hash_words(&t->seed, key->word, t->field->words), number;
	struct value *v = value_find(t, hash, key);

	t->total += weight;
	if (v) {
		v->count += weight;
		heap_sink(t, v->heap);
		return;
	}
	if (t->nvalues < t->keep) {
		number = t->nvalues++;
		v = &t->values[number];
		*v = (struct value){ .key = *key, .count = weight, .hash = hash };
		bucket_add(t, number, hash);
		t->heap[number] = number;
		heap_rise(t, number);
		return;
	}
	t->pushed = true;
	number = t->heap[0];
	v = &t->values[number];
	bucket_remove(t, number);
	v->key = *key;
	v->hash = hash;
	v->error = v->count;
	v->count += weight;
	bucket_add(t, number, hash);
	heap_sink(t, 0);
}

static void top_ref(struct top *t, struct pfs_ref *ref, const struct pfs_emitter *out)
{
	struct pkt_key keys[2] = { 0 };
	uint32_t wire_len = ref->len;
	struct pfs_meta meta;
	int n;

	if (t->bytes || t->field->wire_len) {
		pfs_meta(out, ref, &meta);
		wire_len = meta.wire_len > ref->len ? meta.wire_len : ref->len;
	}
	pfs_layers(out, ref);
	n = t->field->get(pfs_bytes(out, ref), ref->len, wire_len, ref, keys);
	t->unfit += n < 0;
	for (int i = 0; i < n; i++)
		top_add(t, &keys[i], t->bytes ? wire_len : 1);
}

/* --- telling ---------------------------------------------------------------------------------------------- */

/* What is told: a copy of the counts, the most frequent first. */
struct ranking {
	struct value *values; /* owned */
	size_t n;
	uint64_t total, error, keys, unfit;
};

static void ranking_release(struct ranking *ranking)
{
	free(ranking->values);
}

static int more_first(const void *a, const void *b)
{
	const struct value *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key)); /* so that equal ones do not change places */
}

/* Empty when there is no memory for it. */
static void ranking_take(struct top *t, struct ranking *ret_ranking)
{
	struct ranking *r = ret_ranking;

	r->values = pfs_zalloc(t->keep, sizeof(*r->values));
	pthread_mutex_lock(&t->lock);
	r->total = t->total;
	r->unfit = t->unfit;
	r->keys = t->nvalues;
	/* Whatever is not here was counted less often than the least of those that are. */
	r->error = t->pushed ? t->values[t->heap[0]].count : 0;
	if (r->values)
		memcpy(r->values, t->values, t->nvalues * sizeof(*r->values));
	pthread_mutex_unlock(&t->lock);
	if (!r->values)
		return;
	qsort(r->values, r->keys, sizeof(*r->values), more_first);
	r->n = pfs_min(r->keys, t->n);
}

static void top_text(void *state, struct pfs_buf *out)
{
	struct top *t = state;
	const char *by = t->bytes ? "bytes" : "packets", *field = t->field->name;
	PFS_CLEANUP(ranking_release) struct ranking r = { 0 };

	ranking_take(t, &r);
	pfs_buf_printf(out, "\"field\":\"%s\",\"by\":\"%s\",\"total\":%llu,\"error\":%llu,\"top\":[",
		       field, by, (unsigned long long)r.total, (unsigned long long)r.error);
	for (size_t i = 0; i < r.n; i++) {
		char text[PKT_FIELD_NAME_SIZE];

		t->field->text(&r.values[i].key, false, text);
		pfs_buf_printf(out, "%s{\"%s\":\"%s\",\"%s\":%llu,\"error\":%llu}", i ? "," : "",
			       field, text, by, (unsigned long long)r.values[i].count,
			       (unsigned long long)r.values[i].error);
	}
	pfs_buf_str(out, "]");
}

static void top_stats(void *state, struct pfs_buf *out)
{
	struct top *t = state;
	PFS_CLEANUP(ranking_release) struct ranking r = { 0 };

	ranking_take(t, &r);
	pfs_buf_printf(out, "total %llu\nkeys %llu\nerror %llu\nunfit %llu\n",
		       (unsigned long long)r.total, (unsigned long long)r.keys,
		       (unsigned long long)r.error, (unsigned long long)r.unfit);
	for (size_t i = 0; i < r.n; i++) {
		char text[PKT_FIELD_NAME_SIZE];

		t->field->text(&r.values[i].key, false, text);
		pfs_buf_printf(out, "top.%s %llu\n", text, (unsigned long long)r.values[i].count);
	}
}

static int top_preamble(void *state, const struct pfs_emitter *out, const struct pfs_record *at,
			uint64_t lost, struct pfs_buf *ret_bytes)
{
	(void)out;
	return pfs_report_line(top_text, state, ret_bytes);
}

/* --- the filter ------------------------------------------------------------------------------------------- */

static int top_field(const char *name, const struct pkt_field **ret_field, struct pfs_diag *diag)
{
	for (size_t i = 0; pkt_fields[i]; i++) {
		if (strcmp(pkt_fields[i]->name, name) == 0) {
			*ret_field = pkt_fields[i];
			return 0;
		}
	}
	return pfs_diag_set(diag, EINVAL,
			    "top:FIELD takes host, srcip, dstip, port, srcport, dstport, proto, flow or len; "
			    "not '%.32s'",
			    name);
}

/* All but the memory. */
static int top_parse(const struct pfs_args *args, struct top *ret_top, struct pfs_diag *diag)
{
	const char *by = pfs_args_get(args, "by"), *keep = pfs_args_get(args, "keep"),
		   *n = pfs_args_get(args, "n");
	uint64_t kept = KEEP_DEFAULT, told;
	size_t most;
	int r = top_field(args->arg ? args->arg : "", &ret_top->field, diag);

	if (r < 0)
		return r;
	if (by && strcmp(by, "packets") != 0 && strcmp(by, "bytes") != 0)
		return pfs_diag_set(diag, EINVAL, "by= takes packets or bytes, not '%.32s'", by);
	if (keep && pfs_number_parse(keep, true, 1, KEEP_MAX, &kept) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "keep= takes how many values are counted, 1 to %d, not '%.32s'",
				    KEEP_MAX, keep);
	most = pfs_min(N_MAX, kept);
	told = pfs_min(N_DEFAULT, kept);
	if (n && pfs_number_parse(n, false, 1, most, &told) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "n= takes how many values are told, 1 to %zu, not '%.32s'",
				    most, n);
	ret_top->bytes = by && strcmp(by, "bytes") == 0;
	ret_top->keep = (uint32_t)kept;
	ret_top->n = (uint32_t)told;
	return pfs_report_set(&ret_top->report, args, diag);
}

static int top_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	struct top *t = state;
	int r = top_parse(args, t, diag);

	(void)place;
	if (r < 0)
		return r;
	for (t->nbuckets = 64; t->nbuckets < t->keep;)
		t->nbuckets *= 2;
	t->values = pfs_zalloc(t->keep, sizeof(*t->values));
	t->heap = pfs_zalloc(t->keep, sizeof(*t->heap));
	t->buckets = pfs_zalloc(t->nbuckets, sizeof(*t->buckets));
	if (!t->values || !t->heap || !t->buckets) {
		free(t->values);
		free(t->heap);
		free(t->buckets);
		return pfs_diag_set(diag, ENOMEM, "no memory to count %u values", t->keep);
	}
	pfs_seed_init(&t->seed);
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

static int top_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			   struct pfs_diag *diag)
{
	struct top *t = state, fresh = { 0 };
	int r = top_parse(args, &fresh, diag);

	(void)place;
	if (r < 0)
		return r;
	if (fresh.field != t->field || fresh.bytes != t->bytes || fresh.keep != t->keep)
		return pfs_diag_set(diag, EINVAL, "only n= and every= can be changed while top counts");
	t->n = fresh.n;
	t->report.every = fresh.report.every;
	return 0;
}

static void top_fini(void *state)
{
	struct top *t = state;

	pfs_report_release(&t->report);
	pthread_mutex_destroy(&t->lock);
	free(t->values);
	free(t->heap);
	free(t->buckets);
}

static size_t top_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		       uint64_t *ret_wait)
{
	struct top *t = state;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++)
		top_ref(t, &in[i], out);
	pthread_mutex_unlock(&t->lock);
	return pfs_report(&t->report, top_text, t, n, out, ret_wait);
}

static bool top_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			struct pfs_emitter *out)
{
	struct top *t = state;

	(void)meta;
	return pfs_report_end(&t->report, top_text, t, ref, out);
}

static const struct pfs_param top_params[] = {
	{ "by", "packets or bytes; default packets" },
	{ "n", "values that are told, 1 to 1000; default 10" },
	{ "keep", "values that are counted, up to 64k; default 1000" },
	PFS_REPORT_PARAM,
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_top = {
	.name = "top",
	.summary = "the most frequent values of a field",
	.flags = PFS_FILTER_CONSUMER,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_TEXT | PFS_FLOW_JSON,
	.has_arg = true,
	.needs_arg = true,
	.params = top_params,
	.state_size = sizeof(struct top),
	.ring_size = PFS_REPORT_RING,
	.init = top_init,
	.reconfigure = top_reconfigure,
	.fini = top_fini,
	.pull = top_pull,
	.control = top_control,
	.stats = top_stats,
	.preamble = top_preamble,
};
