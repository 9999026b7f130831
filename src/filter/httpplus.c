/*
  * httpplus - keep HTTP/1.x messages, one class a method
 *
 * Synopsis:   …/httpplus
 *             …/http
 *             …/stream/httpplus
 *
 * Of packets: passes the TCP packets that HTTP/1.x messages are made of: a packet whose payload begins with a
 * start line opens a message, and the packets that follow in the same direction of the same
 * connection belong to it until its end. The end is where content-length says (counted in
 * sequence numbers, so retransmissions do no harm), at the blank line of a message without a
 * body, or else at the next start line or when the connection ends. A packet that holds the end
 * of one message and the start of the next goes into the classes of both.
 *
 * Packets without payload are not HTTP and are dropped; so is what cannot be told to belong to a
 * message: connections seen from the middle, fragments after the first, TLS.
 *
  * Memory is fixed: connections beyond the table push out the one unused for longest in their set
 * of eight, and what follows of its message is dropped.
 *
 * Of byte streams, best below stream: a record is one message, head and body as they were sent (chunks,
 * gzip and all), whatever segments it came in. A body ends where its length or its last chunk says, or
 * with the connection; responses to HEAD and 1xx, 204 and 304 have none; pipelined requests and
 * their responses are told apart. A message that lies in one segment is not copied. One that
 * is longer than message= comes in several records, and so does one that bytes are missing of: the
 * later ones begin with no start line. After 101, and after CONNECT was answered, nothing
 * more of the connection is looked at. What is no HTTP is skipped; where messages were followed before,
 * each line is tried as the start of another.
 *
 * all.json:   (of byte streams) http ("request", "response", "part"), method host path or status,
 *             content_length, chunked, version, head and body (their bytes in this record)
 * Stats:      messages (start lines seen), flows (in the table), evicted (pushed out); of byte streams
 *             incomplete (messages that bytes are missing of), skipped (bytes that are no message)
 * Parameters: flows=N    connections (of byte streams: directions) to remember, 64 to 1M (default 16k)
 *             message=N  bytes of the largest record that is put together, 64k to 1M (default 1M)
 *             memory=N   bytes of messages in the making, 1M to 4G (default 64M); beyond, they go on in
 *                        several records
 * Classes:    get post put head delete options trace connect patch response
 *             (requests with another method are in `all` only)
  * Example:    mkdir -p /p/netfilter_out/ip/httpplus; cat /p/netfilter_out/ip/httpplus/get/all
 *             mkdir -p /p/dev/eth0/stream/http; jq .path /p/dev/eth0/stream/http/get/all.json
 *
 * Source:     RFC 9112
 */

#include <strings.h>

#include "base/bytes.h"
#include "filter/httpplus_i.h"
#include "graph/proto.h"

#define FLOWS_DEFAULT 16384
#define FLOWS_MIN 64
#define FLOWS_MAX (1u << 20)
#define WAYS 8
#define RING ((size_t)8 << 20) /* its largest record holds the largest message */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04

static const char *const http_classes[] = {
	"get",	 "post",    "put",   "head",	 "delete", "options",
	"trace", "connect", "patch", "response", NULL,
};

struct flow_key {
	uint64_t addr[4]; /* source and destination; IPv4 in the first word, the others 0 */
	uint32_t ports;
	uint32_t version; /* 4 or 6; 0: the entry is free */
};

struct flow {
	struct flow_key key;
	uint64_t used;	/* tick of its last packet */
	uint32_t start; /* sequence number of the message's first byte */
	uint32_t end;	/* bounded: the number behind its last */
	uint16_t class_;
	bool bounded;
};

struct http {
	bool bytes; /* of byte streams, and nothing of what is for packets */
	struct http_bytes in_bytes;
	struct flow *flows; /* owned; nsets * WAYS */
	uint64_t nsets;	    /* a power of two */
	struct pfs_seed seed;
	uint64_t tick;
	pfs_counter messages; /* the counters' writer is the worker */
	pfs_counter nflows;
	pfs_counter evicted;
};

/* One TCP payload on its way through the messages it is part of. */
struct segment {
	struct flow_key key;
	const uint8_t *p;
	size_t len;
	uint32_t seq; /* of p */
	uint8_t flags;
	uint16_t classes[ARRAY_SIZE(http_classes)]; /* without repetition, in order of appearance */
	size_t nclasses;
};

/* --- the table of flows ------------------------------------------------------------------ */

/* The set that the key lives in. Seeded, so that nobody can fill one set from outside. */
static struct flow *flow_set(const struct http *h, const struct flow_key *key)
{
	uint64_t words[sizeof(*key) / 8];

	memcpy(words, key, sizeof(words));
	return h->flows + (pfs_hash_words(&h->seed, words, ARRAY_SIZE(words)) & (h->nsets - 1)) * WAYS;
}

static struct flow *flow_find(struct http *h, const struct flow_key *key)
{
	struct flow *set = flow_set(h, key);

	for (int i = 0; i < WAYS; i++) {
		if (memcmp(&set[i].key, key, sizeof(*key)) == 0) {
			set[i].used = ++h->tick;
			return &set[i];
		}
	}
	return NULL;
}

/* A free entry of its set, or the one unused for longest. */
static struct flow *flow_make(struct http *h, const struct flow_key *key)
{
	struct flow *set = flow_set(h, key), *best = set;

	for (int i = 0; i < WAYS && best->key.version; i++)
		if (!set[i].key.version || set[i].used < best->used)
			best = &set[i];
	if (best->key.version == 0)
		pfs_counter_add(&h->nflows, 1);
	else
		pfs_counter_add(&h->evicted, 1);
	*best = (struct flow){ .key = *key, .used = ++h->tick };
	return best;
}

static void flow_forget(struct http *h, struct flow *flow)
{
	if (!flow)
		return;
	*flow = (struct flow){ 0 };
	pfs_counter_add(&h->nflows, (uint64_t)-1);
}

/* --- messages ------------------------------------------------------------------------------- */

uint16_t http_class(const struct pkt_http_head *head)
{
	const char *name = head->kind == PKT_HTTP_RESPONSE ? "response" : head->method;

	for (uint16_t i = 0; name && http_classes[i]; i++)
		if (strcasecmp(name, http_classes[i]) == 0)
			return (uint16_t)(i + 1);
	return 0;
}

static void segment_class(struct segment *s, uint16_t class_)
{
	for (size_t i = 0; i < s->nclasses; i++)
		if (s->classes[i] == class_)
			return;
	s->classes[s->nclasses++] = class_;
}

/* Where does the message end, as far as its head says? False: at the next start line. */
static bool message_bound(const struct pkt_http_head *head, uint64_t *ret_len)
{
	bool response = head->kind == PKT_HTTP_RESPONSE;

	if (!head->complete)
		return false;
	*ret_len = head->head_len;
	if (response && (head->status / 100 == 1 || head->status == 204 || head->status == 304))
		return true;
	if (head->chunked)
		return false;
	if (head->content_length >= 0) {
		*ret_len += (uint64_t)head->content_length;
		/* Further than sequence numbers can be compared: the next start line has to do. */
		return *ret_len < INT32_MAX;
	}
	return !response; /* a response without a length ends with its connection */
}

/* Opens the message that starts at offset `at`. NULL: none does. */
static struct flow *message_open(struct http *h, struct segment *s, size_t at, struct flow *flow)
{
	struct pkt_http_head head;
	uint64_t len = 0;

	pkt_http(s->p + at, s->len - at, &head);
	if (head.kind == PKT_HTTP_NONE)
		return NULL;
	if (!flow)
		flow = flow_make(h, &s->key);
	flow->class_ = http_class(&head);
	flow->start = s->seq + (uint32_t)at;
	flow->bounded = message_bound(&head, &len);
	flow->end = flow->start + (uint32_t)len;
	pfs_counter_add(&h->messages, 1);
	return flow;
}

/*
 * How many of the bytes from `at` on belong to the message; 0: none. A message whose end was seen stays until the next
 * one begins: a part of it may have been overtaken.
 */
static size_t message_take(struct flow *flow, const struct segment *s, size_t at)
{
	static const char last_chunk[] = "0\r\n\r\n";
	uint32_t seq = s->seq + (uint32_t)at;
	size_t left = s->len - at;
	int32_t to_end = (int32_t)(flow->end - seq);

	if ((int32_t)(seq - flow->start) < 0)
		return 0;
	if (flow->bounded)
		return to_end <= 0 ? 0 : pfs_min((uint32_t)to_end, left);
	if (left >= 5 && memcmp(s->p + s->len - 5, last_chunk, 5) == 0) {
		flow->bounded = true;
		flow->end = s->seq + (uint32_t)s->len;
	}
	return left;
}

/* Finds the classes of the segment. */
static void segment_walk(struct http *h, struct segment *s)
{
	struct flow *flow = flow_find(h, &s->key);

	for (size_t at = 0, taken; at < s->len; at += taken) {
		struct flow *opened = NULL;

		/* A packet that begins with a start line begins a message, whatever was thought before. */
		taken = at > 0 && flow ? message_take(flow, s, at) : 0;
		if (taken == 0)
			opened = message_open(h, s, at, flow);
		if (opened)
			flow = opened;
		if (taken == 0 && flow)
			taken = message_take(flow, s, at);
		if (taken == 0)
			break;
		segment_class(s, flow->class_);
	}
	if (s->flags & (TCP_FIN | TCP_RST))
		flow_forget(h, flow);
}

/* --- packets ------------------------------------------------------------------------------------ */

static bool segment_key(const uint8_t *p, const struct pfs_ref *ref, struct flow_key *ret_key)
{
	uint16_t src, dst;

	*ret_key = (struct flow_key){ 0 };
	if (!pkt_ports(p, ref->len, ref, &src, &dst))
		return false;
	ret_key->ports = (uint32_t)src << 16 | dst;
	if (ref->ethertype == PFS_ETHER_IP && (size_t)ref->l3 + 20 <= ref->len) {
		memcpy(ret_key->addr, p + ref->l3 + 12, 8);
		ret_key->version = 4;
	} else if (ref->ethertype == PFS_ETHER_IP6 && (size_t)ref->l3 + 40 <= ref->len) {
		memcpy(ret_key->addr, p + ref->l3 + 8, 32);
		ret_key->version = 6;
	}
	return ret_key->version != 0;
}

/* False: not TCP, or nothing of it is there. */
static bool segment_of(const uint8_t *p, const struct pfs_ref *ref, struct segment *ret_segment)
{
	size_t off, len;

	if (!pfs_is_ip(ref) || ref->proto != PFS_PROTO_TCP || ref->l4 == PFS_LAYER_NONE)
		return false;
	if ((size_t)ref->l4 + 14 > ref->len || !segment_key(p, ref, &ret_segment->key))
		return false;
	if (!pkt_payload(p, ref->len, ref, &off, &len))
		return false;
	ret_segment->p = p + off;
	ret_segment->len = len;
	ret_segment->seq = be32_load(p + ref->l4 + 4);
	ret_segment->flags = p[ref->l4 + 13];
	if (ret_segment->flags & TCP_SYN)
		ret_segment->seq++; /* SYN has a number of its own */
	ret_segment->nclasses = 0;
	return true;
}

static void http_ref(struct http *h, struct pfs_ref *ref, struct pfs_emitter *out)
{
	struct segment segment;
	struct pfs_ref copy;

	pfs_layers(out, ref);
	if (!segment_of(pfs_bytes(out, ref), ref, &segment))
		return;
	if (segment.len == 0) {
		if (segment.flags & (TCP_SYN | TCP_FIN | TCP_RST))
			flow_forget(h, flow_find(h, &segment.key));
		return;
	}
	segment_walk(h, &segment);
	copy = *ref;
	for (size_t i = 0; i < segment.nclasses; i++) {
		copy.class_ = segment.classes[i];
		if (i == 0)
			pfs_emit(out, &copy);
		else if (copy.class_)
			pfs_emit_class(out, &copy);
	}
}

static void http_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct http *h = state;

	for (size_t i = 0; i < n; i++)
		http_ref(h, &in[i], out);
}

static size_t http_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct http *h = state;

	(void)ret_wait;
	return http_bytes_pull(&h->in_bytes, in, n, out);
}

static bool http_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	struct http *h = state;

	return !h->bytes || http_bytes_control(&h->in_bytes, ref, meta, out);
}

static int http_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	uint64_t flows = FLOWS_DEFAULT, message = 1 << 20, memory = 64 << 20;
	struct http *h = state;
	int r;

	r = pfs_args_number(args, "flows", true, FLOWS_MIN, FLOWS_MAX, &flows, diag);
	if (r == 0)
		r = pfs_args_number(args, "message", true, 65536, 1 << 20, &message, diag);
	if (r == 0)
		r = pfs_args_number(args, "memory", true, 1 << 20, UINT64_C(4) << 30, &memory, diag);
	if (r < 0)
		return r;
	h->bytes = place->flow & PFS_FLOW_BYTES;
	if (h->bytes)
		return http_bytes_init(&h->in_bytes, flows, message, memory);
	for (h->nsets = 1; h->nsets * WAYS < flows;)
		h->nsets *= 2;
	h->flows = pfs_zalloc(h->nsets * WAYS, sizeof(*h->flows));
	if (!h->flows)
		return pfs_diag_set(diag, ENOMEM, "no memory for %llu flows",
				    (unsigned long long)flows);
	pfs_seed_init(&h->seed);
	return 0;
}

static void http_fini(void *state)
{
	struct http *h = state;

	http_bytes_release(&h->in_bytes);
	free(h->flows);
}

static void http_stats(void *state, struct pfs_buf *out)
{
	const struct http *h = state;

	if (h->bytes) {
		http_bytes_stats(&h->in_bytes, out);
		return;
	}
	pfs_buf_printf(out, "messages %llu\n", (unsigned long long)pfs_counter_get(&h->messages));
	pfs_buf_printf(out, "flows %llu\n", (unsigned long long)pfs_counter_get(&h->nflows));
	pfs_buf_printf(out, "evicted %llu\n", (unsigned long long)pfs_counter_get(&h->evicted));
}

static const struct pfs_param http_params[] = {
	{ "flows", "connections to remember, 64 to 1M; default 16k" },
	{ "message",
	  "of byte streams: bytes of the largest record that is put together, 64k to 1M; default 1M" },
	{ "memory", "of byte streams: bytes of messages in the making, 1M to 4G; default 64M" },

	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_httpplus = {
	.name = "httpplus",
	.alias = "http",
	.summary = "keep HTTP/1.x messages, one class a method",
	.in = PFS_FLOW_ANY_PACKET | PFS_FLOW_BYTES,
	.out = PFS_FLOW_SAME,
	.params = http_params,
	.classes = http_classes,
	.state_size = sizeof(struct http),
	.init = http_init,
	.fini = http_fini,
	.batch = http_batch,
	.pull = http_pull,
	.pulls = PFS_FLOW_BYTES,
	.control = http_control,
	.ring_size = RING,
	.describe = &http_describe,

	.stats = http_stats,
};
