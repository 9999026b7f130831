#include "packet/defrag.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "packet/ether_i.h"

#define BUCKETS 1024u
#define BLOCK 4096u
#define BLOCKS (65536u / BLOCK)
#define HEAD_MAX 2048u /* link, IP and extension headers: more is no packet but an attack */
#define IP6_HEADERS_MAX 16
#define IP_MAX 65535u

const char *const defrag_reasons[] = {
	[DEFRAG_MALFORMED] = "malformed", [DEFRAG_TRUNCATED] = "truncated",
	[DEFRAG_OVERLAP] = "overlap",	  [DEFRAG_OVERSIZE] = "oversize",
	[DEFRAG_TIMEOUT] = "timeout",	  [DEFRAG_MEMORY] = "memory",
	[DEFRAG_END] = "incomplete",
};
static_assert(ARRAY_SIZE(defrag_reasons) == DEFRAG_LOSSES_, "a word for each");

struct key {
	uint64_t addr[4]; /* source and destination; IPv4: the first 8 bytes */
	uint64_t id;	  /* identification, protocol, version */
	uint64_t place;	  /* origin, VLAN */
};

/* Data that is there without a hole, as it came: [start, end). */
struct run {
	uint16_t start, end;
};

struct defrag_datagram {
	struct defrag_datagram *next_in_bucket;
	struct defrag_datagram *older, *newer;
	struct key key;
	uint64_t began;
	size_t memory; /* all of it, as accounted */
	uint64_t fragments;
	bool six;
	bool has_last;
	uint8_t ecn;	   /* bit set of the codepoints seen */
	uint8_t next;	   /* IPv6: of the first fragment */
	uint32_t len;	   /* of the data: where it ends as far as is known */
	uint32_t present;  /* bytes of it that are there */
	uint32_t max_size; /* of the largest fragment with its header */
	uint32_t max_df;   /* of the largest one that had DF */
	uint32_t l3, next_at, head_len;
	uint8_t *head;	  /* owned; of the first fragment; NULL: not there yet */
	struct run *runs; /* owned; in order */
	uint32_t nruns, cap_runs;
	uint8_t *block[BLOCKS]; /* owned */
};

struct defrag_table {
	struct pfs_seed seed;
	struct defrag_datagram *bucket[BUCKETS];
	struct defrag_datagram *oldest, *newest;
};

/* --- look ---------------------------------------------------------------------------------------- */

static enum defrag_kind look_ip(const uint8_t *p, size_t n, size_t l3, struct defrag_fragment *f)
{
	const uint8_t *ip = p + l3;
	size_t header, total;
	uint16_t frag;

	if (n - l3 < 20 || ip[0] >> 4 != 4)
		return DEFRAG_WHOLE;
	frag = be16_load(ip + 6);
	if (!(frag & 0x3fff))
		return DEFRAG_WHOLE;
	header = (ip[0] & 0x0fu) * 4;
	total = be16_load(ip + 2);
	if (header < 20 || total <= header)
		return DEFRAG_WRONG;
	if (total > n - l3)
		return DEFRAG_CUT;
	f->more = frag & 0x2000;
	f->df = frag & 0x4000;
	f->tos = ip[1];
	f->proto = ip[9];
	f->id = be16_load(ip + 4);
	f->at = (uint16_t)((frag & 0x1fff) * 8);
	f->head_len = (uint32_t)(l3 + header);
	f->data = f->head_len;
	f->len = (uint16_t)(total - header);
	return f->head_len > HEAD_MAX ? DEFRAG_WRONG : DEFRAG_FRAGMENT;
}

/* The fragment header is at `at`; its number is at f->next_at. */
static enum defrag_kind look_ip6_fragment(const uint8_t *p, size_t n, size_t l3, size_t at,
					  struct defrag_fragment *f)
{
	size_t end = l3 + 40 + be16_load(p + l3 + 4);
	uint16_t frag;

	if (n - at < 8)
		return DEFRAG_CUT;
	frag = be16_load(p + at + 2);
	if (!(frag & 0xfff9))
		return DEFRAG_WHOLE; /* all in one */
	if (at + 8 >= end || at > HEAD_MAX)
		return DEFRAG_WRONG;
	if (end > n)
		return DEFRAG_CUT;
	f->more = frag & 1;
	f->at = frag & 0xfff8;
	f->tos = (uint8_t)(be16_load(p + l3) >> 4);
	f->next = p[at];
	f->id = be32_load(p + at + 4);
	f->head_len = (uint32_t)at;
	f->data = f->head_len + 8;
	f->len = (uint16_t)(end - f->data);
	return f->more && f->len % 8 ? DEFRAG_WRONG : DEFRAG_FRAGMENT;
}

/* The headers in front of the data of every fragment (RFC 8200, 4.5). */
static enum defrag_kind look_ip6(const uint8_t *p, size_t n, size_t l3, struct defrag_fragment *f)
{
	size_t at = l3 + 40;
	uint8_t next;

	if (n - l3 < 40 || p[l3] >> 4 != 6)
		return DEFRAG_WHOLE;
	f->six = true;
	f->next_at = (uint32_t)(l3 + 6);
	for (unsigned i = 0; i <= IP6_HEADERS_MAX; i++) {
		next = p[f->next_at];
		if (next == PROTO_FRAGMENT)
			return look_ip6_fragment(p, n, l3, at, f);
		if (next != PROTO_HOPOPT && next != PROTO_ROUTING && next != PROTO_DSTOPTS)
			return DEFRAG_WHOLE;
		if (n - at < 8)
			return DEFRAG_WHOLE;
		f->next_at = (uint32_t)at;
		at += ((size_t)p[at + 1] + 1) * 8;
		if (at > n)
			return DEFRAG_WHOLE;
	}
	return DEFRAG_WHOLE;
}

enum defrag_kind defrag_look(const uint8_t *p, size_t n, const struct pfs_ref *layers,
			     struct defrag_fragment *ret_fragment)
{
	size_t l3 = layers->l3;

	*ret_fragment = (struct defrag_fragment){ 0 };
	if (l3 == PFS_LAYER_NONE || l3 > n)
		return DEFRAG_WHOLE;
	ret_fragment->l3 = (uint32_t)l3;
	if (layers->ethertype == ETHER_IP)
		return look_ip(p, n, l3, ret_fragment);
	if (layers->ethertype == ETHER_IP6)
		return look_ip6(p, n, l3, ret_fragment);
	return DEFRAG_WHOLE;
}

/* --- the table ------------------------------------------------------------------------------------ */

int defrag_init(struct defrag *d, const struct defrag_options *options)
{
	*d = (struct defrag){ .options = *options };
	d->table = pfs_zalloc(1, sizeof(*d->table));
	if (!d->table)
		return -ENOMEM;
	pfs_seed_init(&d->table->seed);
	return 0;
}

static struct key key_of(const uint8_t *p, const struct defrag_fragment *f, uint16_t origin, int vlan)
{
	struct key key = { 0 };

	if (f->six)
		memcpy(key.addr, p + f->l3 + 8, 32);
	else
		memcpy(key.addr, p + f->l3 + 12, 8);
	key.id = (uint64_t)f->id << 16 | (uint64_t)f->proto << 8 | f->six;
	key.place = (uint64_t)origin << 32 | (uint32_t)vlan;
	return key;
}

static struct defrag_datagram **bucket_of(struct defrag_table *table, const struct key *key)
{
	uint64_t words[sizeof(*key) / 8];

	memcpy(words, key, sizeof(words));
	return &table->bucket[pfs_hash_words(&table->seed, words, ARRAY_SIZE(words)) % BUCKETS];
}

/* Out of the table; its memory stays accounted until it is freed. */
static void take_out(struct defrag *d, struct defrag_datagram *g)
{
	struct defrag_table *table = d->table;
	struct defrag_datagram **at = bucket_of(table, &g->key);

	while (*at != g)
		at = &(*at)->next_in_bucket;
	*at = g->next_in_bucket;
	*(g->older ? &g->older->newer : &table->oldest) = g->newer;
	*(g->newer ? &g->newer->older : &table->newest) = g->older;
	d->waiting--;
}

void defrag_free(struct defrag *d, struct defrag_datagram *datagram)
{
	if (!datagram)
		return;
	d->memory -= datagram->memory;
	for (size_t i = 0; i < BLOCKS; i++)
		free(datagram->block[i]);
	free(datagram->head);
	free(datagram->runs);
	free(datagram);
}

static void lose(struct defrag *d, struct defrag_datagram *g, enum defrag_loss why)
{
	d->lost[why] += g->fragments;
	take_out(d, g);
	defrag_free(d, g);
}

void defrag_expire(struct defrag *d, uint64_t time)
{
	struct defrag_datagram *g;

	while ((g = d->table->oldest)) {
		/* Time ran back: it is not waited for longer than if this were its beginning. */
		if (g->began > time)
			g->began = time;
		if (time - g->began <= d->options.timeout)
			return;
		lose(d, g, DEFRAG_TIMEOUT);
	}
}

void defrag_flush(struct defrag *d)
{
	while (d->table->oldest)
		lose(d, d->table->oldest, DEFRAG_END);
}

void defrag_release(struct defrag *d)
{
	if (d->table)
		defrag_flush(d);
	free(d->table);
	d->table = NULL;
}

/*
 * Memory for a datagram, within the limit: older ones go for it. NULL: there is none.
 */
static void *allot(struct defrag *d, struct defrag_datagram *g, size_t len)
{
	void *p;

	while (d->memory + len > d->options.memory) {
		struct defrag_datagram *old = d->table->oldest;

		if (old == g && old)
			old = old->newer;
		if (!old)
			return NULL;
		lose(d, old, DEFRAG_MEMORY);
	}
	p = pfs_zalloc(1, len);
	if (p) {
		d->memory += len;
		if (g)
			g->memory += len;
	}
	return p;
}

static struct defrag_datagram *datagram_get(struct defrag *d, const struct key *key, bool six,
					    uint64_t time)
{
	struct defrag_table *table = d->table;
	struct defrag_datagram *g;

	for (g = *bucket_of(table, key); g; g = g->next_in_bucket)
		if (memcmp(&g->key, key, sizeof(*key)) == 0)
			return g;
	g = allot(d, NULL, sizeof(*g));
	if (!g)
		return NULL;
	g->memory = sizeof(*g);
	g->key = *key;
	g->six = six;
	g->began = time;
	g->next_in_bucket = *bucket_of(table, key);
	*bucket_of(table, key) = g;
	g->older = table->newest;
	*(g->older ? &g->older->newer : &table->oldest) = g;
	table->newest = g;
	d->waiting++;
	return g;
}

/* --- fragments -------------------------------------------------------------------------------------- */

/* What became of a fragment. */
enum verdict { KEPT, DUPLICATE, BAD_OVERLAP, BAD_END, NO_MEMORY };

/* Where does the datagram end, now that this fragment is known? */
static enum verdict take_end(struct defrag_datagram *g, const struct defrag_fragment *f, uint32_t end)
{
	if (!f->more) {
		if (end < g->len || (g->has_last && end != g->len))
			return BAD_END;
		g->has_last = true;
		g->len = end;
	} else if (end > g->len) {
		if (g->has_last)
			return BAD_END;
		g->len = end;
	}
	return KEPT;
}

/* Index of the first run that ends behind `start`. */
static uint32_t run_behind(const struct defrag_datagram *g, uint32_t start)
{
	uint32_t low = 0, high = g->nruns;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (g->runs[middle].end > start)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool runs_grow(struct defrag *d, struct defrag_datagram *g)
{
	uint32_t cap = g->cap_runs ? 2 * g->cap_runs : 4;
	struct run *runs;

	if (g->nruns < g->cap_runs)
		return true;
	runs = allot(d, g, cap * sizeof(*runs));
	if (!runs)
		return false;
	if (g->runs)
		memcpy(runs, g->runs, g->nruns * sizeof(*runs));
	d->memory -= g->cap_runs * sizeof(*runs);
	g->memory -= g->cap_runs * sizeof(*runs);
	free(g->runs);
	g->runs = runs;
	g->cap_runs = cap;
	return true;
}

/* Enters [start, end) if nothing of it is there. Only what comes in order joins a run, as in Linux. */
static enum verdict run_enter(struct defrag *d, struct defrag_datagram *g, uint16_t start, uint16_t end)
{
	uint32_t i = run_behind(g, start);

	if (i < g->nruns && g->runs[i].start < end)
		return start >= g->runs[i].start && end <= g->runs[i].end ? DUPLICATE : BAD_OVERLAP;
	if (i == g->nruns && i > 0 && g->runs[i - 1].end == start) {
		g->runs[i - 1].end = end;
		return KEPT;
	}
	if (!runs_grow(d, g))
		return NO_MEMORY;
	memmove(g->runs + i + 1, g->runs + i, (g->nruns - i) * sizeof(*g->runs));
	g->runs[i] = (struct run){ start, end };
	g->nruns++;
	return KEPT;
}

static bool store(struct defrag *d, struct defrag_datagram *g, uint32_t at, const uint8_t *p, size_t n)
{
	while (n > 0) {
		uint8_t **block = &g->block[at / BLOCK];
		size_t some = pfs_min(n, BLOCK - at % BLOCK);

		if (!*block)
			*block = allot(d, g, BLOCK);
		if (!*block)
			return false;
		memcpy(*block + at % BLOCK, p, some);
		at += (uint32_t)some;
		p += some;
		n -= some;
	}
	return true;
}

static bool store_head(struct defrag *d, struct defrag_datagram *g, const uint8_t *p,
		       const struct defrag_fragment *f)
{
	g->head = allot(d, g, f->head_len);
	if (!g->head)
		return false;
	memcpy(g->head, p, f->head_len);
	g->head_len = f->head_len;
	g->l3 = f->l3;
	g->next_at = f->next_at;
	g->next = f->next;
	return true;
}

static enum verdict fragment_add(struct defrag *d, struct defrag_datagram *g, const uint8_t *p,
				 const struct defrag_fragment *f)
{
	uint32_t len = f->more ? f->len & ~7u : f->len, end = f->at + len;
	uint32_t size = f->len + (f->data - f->l3);
	enum verdict verdict;

	verdict = take_end(g, f, end);
	if (verdict != KEPT)
		return verdict;
	if (len == 0)
		return BAD_END;
	verdict = run_enter(d, g, f->at, (uint16_t)end);
	if (verdict != KEPT)
		return verdict;
	if (!store(d, g, f->at, p + f->data, len) || (f->at == 0 && !store_head(d, g, p, f)))
		return NO_MEMORY;
	g->present += len;
	g->ecn |= (uint8_t)(1u << (f->tos & 3));
	g->max_size = (uint32_t)pfs_max(g->max_size, size);
	if (f->df)
		g->max_df = (uint32_t)pfs_max(g->max_df, size);
	return KEPT;
}

/* --- complete ------------------------------------------------------------------------------------------ */

enum { ECN_NOT = 1 << 0, ECN_CE = 1 << 3 };

static bool ecn_fits(const struct defrag_datagram *g)
{
	return !(g->ecn & ECN_NOT) || g->ecn == ECN_NOT;
}

static enum defrag_loss why_not(const struct defrag_datagram *g, bool *ret_fits)
{
	size_t head = g->six ? g->head_len - g->l3 - 40 : g->head_len - g->l3;

	*ret_fits = false;
	if (head + g->len > IP_MAX)
		return DEFRAG_OVERSIZE;
	*ret_fits = ecn_fits(g);
	return DEFRAG_MALFORMED;
}

struct defrag_datagram *defrag_add(struct defrag *d, const uint8_t *p,
				   const struct defrag_fragment *fragment, uint16_t origin,
				   int vlan, uint64_t time)
{
	struct key key = key_of(p, fragment, origin, vlan);
	struct defrag_datagram *g;
	enum defrag_loss why;
	bool fits;

	defrag_expire(d, time);
	if ((uint32_t)fragment->at + fragment->len > IP_MAX) {
		d->lost[DEFRAG_OVERSIZE]++;
		return NULL;
	}
	g = datagram_get(d, &key, fragment->six, time);
	if (!g) {
		d->lost[DEFRAG_MEMORY]++;
		return NULL;
	}
	g->fragments++;
	switch (fragment_add(d, g, p, fragment)) {
	case KEPT:
		break;
	case DUPLICATE:
		g->fragments--;
		d->duplicates++;
		return NULL;
	case BAD_OVERLAP:
		lose(d, g, DEFRAG_OVERLAP);
		return NULL;
	case BAD_END:
		lose(d, g, DEFRAG_MALFORMED);
		return NULL;
	case NO_MEMORY:
		lose(d, g, DEFRAG_MEMORY);
		return NULL;
	}
	if (!g->has_last || g->present < g->len)
		return NULL;
	why = why_not(g, &fits);
	if (!fits) {
		lose(d, g, why);
		return NULL;
	}
	take_out(d, g);
	return g;
}

size_t defrag_size(const struct defrag_datagram *datagram)
{
	return datagram->head_len + datagram->len;
}

static uint16_t checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += be16_load(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void finish_ip(const struct defrag_datagram *g, uint8_t *ip, bool ce)
{
	size_t header = g->head_len - g->l3;

	be16_store(ip + 2, (uint16_t)(header + g->len));
	be16_store(ip + 6, g->max_df && g->max_df == g->max_size ? 0x4000 : 0);
	if (ce)
		ip[1] |= 3;
	be16_store(ip + 10, 0);
	be16_store(ip + 10, checksum(ip, header));
}

static void finish_ip6(const struct defrag_datagram *g, uint8_t *p, bool ce)
{
	p[g->next_at] = g->next;
	be16_store(p + g->l3 + 4, (uint16_t)(g->head_len - g->l3 - 40 + g->len));
	if (ce)
		p[g->l3 + 1] |= 0x30;
}

void defrag_write(const struct defrag_datagram *datagram, uint8_t *to)
{
	const struct defrag_datagram *g = datagram;
	bool ce = (g->ecn & ECN_CE) && g->ecn != ECN_CE;

	memcpy(to, g->head, g->head_len);
	for (uint32_t at = 0; at < g->len; at += BLOCK)
		memcpy(to + g->head_len + at, g->block[at / BLOCK], pfs_min(BLOCK, g->len - at));
	if (g->six)
		finish_ip6(g, to, ce);
	else
		finish_ip(g, to + g->l3, ce);
}
