/*
 * dedup - drop records that were there a moment ago
 *
 * Synopsis:   …/dedup:MS[,compare=ip|all]
 *
 * Drops a record that is equal to one of the last MS milliseconds, dropped ones among them: what a mirror port,
 * `dev/any` or two taps show twice. The time is that of the records. When the stream ends, or the first reader
 * comes, all is forgotten.
 *
 * Packets are compared from the IP header on to the end that it states, without TTL (hop limit)
 * and header checksum: a packet seen before and after a router, with other addresses in its link
 * layer, another VLAN tag or padding, is the same. What is not IP, and with compare=all
 * everything, is compared byte by byte from the first on, as `editcap -w` does. Two packets that
 * a host really sent twice within MS, equal in every bit of IP, are told apart by nothing: keep
 * MS below the time of a retransmission.
 *
 * Compared are hashes of 64 bits, with a secret; two different records out of some 10^14 may be
 * taken for equal. The last max= records are remembered. When more come within MS, the oldest are
 * forgotten early, and counted.
 *
 * Stats:      forgotten (records that were not remembered for MS)
 * Parameters: compare=ip|all  what is compared (default ip)
 *             max=N           records to remember, 256 to 4M (default 64k; 32 bytes each). The others can be
 *                             changed through .params, MS as arg=MS.
 * Classes:    none
 * Example:    mkdir -p /p/dev/any/dedup:20; tcpdump -r /p/dev/any/dedup:20/all.pcapng
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "graph/proto.h"

#define MAX_DEFAULT 65536
#define MAX_MIN 256
#define MAX_MAX (4u << 20)
#define WINDOW_MAX 3600000 /* ms */

/* A record that was seen; its number says where it stands and whether it was overwritten. */
struct seen {
	uint64_t hash;
	uint64_t time;
	uint64_t before; /* number of the one before it in its bucket; 0: none */
};

struct dedup {
	struct seen *seen; /* owned; size of them, the last ones, by number */
	uint64_t *buckets; /* owned; size of them: number of the last one */
	uint64_t size;	   /* a power of two */
	uint64_t number;   /* of the last record, from 1 */
	uint64_t begin;	   /* number of the last one of an earlier stream */
	uint64_t window;   /* ns */
	bool all;
	struct pfs_seed seed;
	pfs_counter forgotten; /* writer: the worker */
};

/* All but the memory. */
static int dedup_parse(const struct pfs_args *args, struct dedup *ret_dedup, struct pfs_diag *diag)
{
	const char *arg = args->arg ? args->arg : "", *compare = pfs_args_get(args, "compare");
	const char *max = pfs_args_get(args, "max");
	uint64_t ms, n = MAX_DEFAULT;

	if (pfs_number_parse(arg, false, 1, WINDOW_MAX, &ms) < 0)
		return pfs_diag_set(diag, EINVAL, "dedup:MS takes milliseconds, 1 to %d, not '%.32s'",
				    WINDOW_MAX, arg);
	if (compare && strcmp(compare, "ip") != 0 && strcmp(compare, "all") != 0)
		return pfs_diag_set(diag, EINVAL, "compare= takes ip or all, not '%.32s'", compare);
	if (max && pfs_number_parse(max, true, MAX_MIN, MAX_MAX, &n) < 0)
		return pfs_diag_set(diag, EINVAL, "max= takes a number from %d to 4M, not '%.32s'",
				    MAX_MIN, max);
	ret_dedup->window = ms * 1000000;
	ret_dedup->all = compare && strcmp(compare, "all") == 0;
	for (ret_dedup->size = MAX_MIN; ret_dedup->size < n;)
		ret_dedup->size *= 2;
	return 0;
}

static int dedup_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	struct dedup *d = state;
	int r = dedup_parse(args, d, diag);

	(void)place;
	if (r < 0)
		return r;
	d->seen = pfs_zalloc(d->size, sizeof(*d->seen));
	d->buckets = pfs_zalloc(d->size, sizeof(*d->buckets));
	if (!d->seen || !d->buckets) {
		free(d->seen);
		free(d->buckets);
		return pfs_diag_set(diag, ENOMEM, "no memory to remember %zu records", (size_t)d->size);
	}
	pfs_seed_init(&d->seed);
	return 0;
}

static int dedup_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag)
{
	struct dedup *d = state, fresh = { 0 };
	int r = dedup_parse(args, &fresh, diag);

	(void)place;
	if (r < 0)
		return r;
	if (fresh.size != d->size)
		return pfs_diag_set(diag, EINVAL, "max= cannot be changed while dedup remembers");
	d->window = fresh.window;
	d->all = fresh.all;
	return 0;
}

static void dedup_fini(void *state)
{
	struct dedup *d = state;

	free(d->seen);
	free(d->buckets);
}

/* --- what is equal --------------------------------------------------------------------------------- */

/* Where the IP packet ends, by its own length; n when that says nothing. */
static size_t ip_end(size_t l3, size_t n, size_t stated)
{
	return stated && stated < n - l3 ? l3 + stated : n;
}

/* Copies the header without what routers change. Its length; 0: this is no whole IP header. */
static size_t ip_header(const uint8_t *ip, size_t there, uint16_t ethertype, uint8_t to[60],
			size_t *ret_stated)
{
	size_t len = ethertype == PFS_ETHER_IP ? (ip[0] & 15u) * 4u : 40;

	if (len < 20 || len > there)
		return 0;
	memcpy(to, ip, len);
	if (ethertype == PFS_ETHER_IP) {
		to[8] = to[10] = to[11] = 0;
		*ret_stated = be16_load(ip + 2);
	} else {
		to[7] = 0;
		*ret_stated = be16_load(ip + 4) ? be16_load(ip + 4) + 40u : 0;
	}
	return len;
}

static uint64_t hash_ref(const struct dedup *d, const uint8_t *p, const struct pfs_ref *ref)
{
	size_t n = ref->len, l3 = ref->l3, header, stated, end;
	uint8_t copy[60];
	uint64_t h;

	if (d->all || !pfs_is_ip(ref) || l3 > n || n - l3 < 20)
		return pfs_hash_bytes(&d->seed, 0, p, n);
	header = ip_header(p + l3, n - l3, ref->ethertype, copy, &stated);
	if (!header)
		return pfs_hash_bytes(&d->seed, 0, p, n);
	end = pfs_max(ip_end(l3, n, stated), l3 + header);
	h = pfs_hash_bytes(&d->seed, 1, copy, header);
	return pfs_hash_bytes(&d->seed, h, p + l3 + header, end - l3 - header);
}

/* --- what was seen ------------------------------------------------------------------------------------ */

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Was an equal one seen within the window? Remembers this one. */
static bool dedup_seen(struct dedup *d, uint64_t hash, uint64_t time)
{
	uint64_t *bucket = &d->buckets[hash & (d->size - 1)], at = *bucket;
	uint64_t number = ++d->number;
	struct seen *slot = &d->seen[number & (d->size - 1)];
	bool equal = false;

	/* The latest of a kind decides. */
	for (; at > d->begin && number - at < d->size; at = d->seen[at & (d->size - 1)].before) {
		const struct seen *seen = &d->seen[at & (d->size - 1)];

		if (seen->hash == hash) {
			equal = apart(seen->time, time) <= d->window;
			break;
		}
	}
	if (number > d->begin + d->size && time - pfs_min64(slot->time, time) < d->window)
		pfs_counter_add(&d->forgotten, 1);
	*slot = (struct seen){ .hash = hash, .time = time, .before = *bucket };
	*bucket = number;
	return equal;
}

static void dedup_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct dedup *d = state;
	struct pfs_meta meta;

	for (size_t i = 0; i < n; i++) {
		if (!d->all)
			pfs_layers(out, &in[i]);
		pfs_meta(out, &in[i], &meta);
		if (!dedup_seen(d, hash_ref(d, pfs_bytes(out, &in[i]), &in[i]), meta.time))
			pfs_emit(out, &in[i]);
	}
}

/* What comes next is another stream: the same capture once more is no duplicate. */
static bool dedup_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			  struct pfs_emitter *out)
{
	struct dedup *d = state;

	(void)meta;
	(void)out;
	if (ref->flags & PFS_REF_EOF)
		d->begin = d->number;
	return true;
}

static void dedup_attach(void *state)
{
	struct dedup *d = state;

	d->begin = d->number;
}

static void dedup_stats(void *state, struct pfs_buf *out)
{
	const struct dedup *d = state;

	pfs_buf_printf(out, "forgotten %llu\n", (unsigned long long)pfs_counter_get(&d->forgotten));
}

static const struct pfs_param dedup_params[] = {
	{ "compare",
	  "ip: from the IP header on, without TTL and checksum; all: every byte; default ip" },
	{ "max", "records to remember, 256 to 4M; default 64k" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_dedup = {
	.name = "dedup",
	.summary = "drop records that were there a moment ago",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = dedup_params,
	.state_size = sizeof(struct dedup),
	.init = dedup_init,
	.reconfigure = dedup_reconfigure,
	.fini = dedup_fini,
	.attach = dedup_attach,
	.batch = dedup_batch,
	.control = dedup_control,
	.stats = dedup_stats,
};
