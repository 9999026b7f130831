/*
 * dns - DNS messages
 *
 * Synopsis:   …/dns
 *             …/stream/dns
 *
 * Of packets: passes UDP from and to ports 53, 5353 (multicast) and 5355 (LLMNR) whose payload is a
 * DNS message; it has to have all its header, and a first question that can be read.
 *
 * Of byte streams, best below stream: the messages of DNS over TCP, one a record, without the two
 * bytes of length in front; below stream of connections with port 53. A message that lies in one segment
 * is not copied. Behind a gap the next segment that begins with a message is where it goes on.
 *
 * all.json:   dns ("query", "response"), id, qtype, qname (also as name), rcode, answers (how many), answer (the
 *             first sixteen, as "A 10.0.0.1")
 * Stats:      messages; of byte streams flows (in the table), evicted (pushed out), skipped (bytes that
 *             are no message)
 * Parameters: flows=N  of byte streams: directions to remember, 64 to 1M (default 16k)
 * Classes:    query response
 * Example:    mkdir -p /p/dev/eth0/dns; jq -r .qname /p/dev/eth0/dns/query/all.json
 *
 * Source:     RFC 1035, RFC 7766
 */
#include "base/bytes.h"
#include "graph/proto.h"
#include "graph/streams.h"
#include "packet/dns.h"
#include "packet/lines.h"

#define RING ((size_t)1 << 20)
#define MEMORY ((size_t)64 << 20)
#define MESSAGE_MIN 12u

static const char *const dns_classes[] = { "query", "response", NULL };
enum { QUERY = 1, RESPONSE = 2 };

/* One direction of a connection. */
struct side {
	struct pfs_stream base;
	struct pfs_gather gather;
	bool foreign; /* of another port */
	bool looked;
	bool lost;	   /* where messages begin is not known */
	bool ready;	   /* the gather is a message */
	uint8_t prefix[2]; /* of the message: its length */
	uint8_t have;	   /* bytes of that */
};

struct dns {
	struct pfs_streams sides;
	struct pfs_budget budget;
	bool bytes;
	bool begun; /* the record at pos is done up to `at` */
	uint16_t ring;
	uint32_t at;
	uint64_t pos;
	pfs_counter messages; /* these counters' writer is the worker */
	pfs_counter skipped;
};

/* 0: no message. */
static uint16_t class_of(const uint8_t *p, size_t n)
{
	struct pkt_dns dns;

	if (!pkt_dns(p, n, &dns) || (dns.questions > 0 && dns.name_len == 0))
		return 0;
	return dns.response ? RESPONSE : QUERY;
}

/* --- packets ------------------------------------------------------------------------------------ */

static bool is_port(uint16_t port)
{
	return port == 53 || port == 5353 || port == 5355;
}

static void dns_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct dns *d = state;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = pfs_bytes(out, &in[i]);
		struct pfs_ref copy;
		uint16_t src, dst;
		size_t off, len;

		pfs_layers(out, &in[i]);
		if (!pfs_is_ip(&in[i]) || in[i].proto != PFS_PROTO_UDP ||
		    !pkt_ports(p, in[i].len, &in[i], &src, &dst) || !(is_port(src) || is_port(dst)) ||
		    !pkt_payload(p, in[i].len, &in[i], &off, &len))
			continue;
		copy = in[i];
		copy.class_ = class_of(p + off, len);
		if (!copy.class_)
			continue;
		pfs_counter_add(&d->messages, 1);
		pfs_emit(out, &copy);
	}
}

/* --- byte streams --------------------------------------------------------------------------------- */

static struct side *side_of(struct pfs_stream *stream)
{
	return stream ? CONTAINER_OF(stream, struct side, base) : NULL;
}

static void side_release(void *owner, struct pfs_stream *stream)
{
	struct dns *d = owner;
	struct side *s = side_of(stream);

	pfs_gather_drop(&s->gather, &d->budget);
	d->budget.used -= s->gather.cap;
	free(s->gather.data);
}

/* The packet's headers are in front of the bytes. */
static bool is_foreign(const struct pfs_emitter *out, const struct pfs_ref *ref)
{
	struct pfs_ref layers = { 0 };
	const uint8_t *p = pfs_bytes(out, ref) - ref->off;
	uint16_t src, dst;

	if (!(ref->flags & PFS_REF_IN_STREAM))
		return false;
	pkt_dissect(p, ref->off, pfs_link_type(out, ref), &layers);
	return pkt_ports(p, ref->off, &layers, &src, &dst) && src != 53 && dst != 53;
}

static void skip(struct dns *d, uint32_t to)
{
	pfs_counter_add(&d->skipped, to - d->at);
	d->at = to;
}

/* A message in one piece. False: no room now. */
static bool emit_here(struct dns *d, const struct pfs_ref *ref, const uint8_t *p, uint32_t len,
		      struct pfs_emitter *out)
{
	struct pfs_ref piece = *ref;

	if (out->room == 0)
		return false;
	piece.class_ = class_of(p + d->at, len);
	pfs_ref_narrow(&piece, d->at, len);
	if (piece.class_) {
		pfs_counter_add(&d->messages, 1);
		pfs_emit(out, &piece);
		d->at += len;
	} else {
		pfs_emit_lost(out, "malformed", 1);
		skip(d, d->at + len);
	}
	return true;
}

/* False: no room now. */
static bool emit_gathered(struct dns *d, struct side *s, struct pfs_emitter *out)
{
	uint16_t class_ = class_of(pfs_gather_bytes(&s->gather), s->gather.len);

	if (class_) {
		if (!pfs_gather_emit(&s->gather, &d->budget, class_, out))
			return false;
		pfs_counter_add(&d->messages, 1);
	} else {
		pfs_emit_lost(out, "malformed", 1);
		pfs_counter_add(&d->skipped, s->gather.len);
		pfs_gather_drop(&s->gather, &d->budget);
	}
	s->ready = false;
	s->have = 0;
	return true;
}

/* What is gathered will not be complete. */
static void drop(struct dns *d, struct side *s, const char *reason, struct pfs_emitter *out)
{
	if (s->gather.active || s->have)
		pfs_emit_lost(out, reason, 1);
	pfs_gather_drop(&s->gather, &d->budget);
	s->ready = false;
	s->have = 0;
}

static bool found_again(const uint8_t *p, uint32_t n)
{
	uint32_t len = n >= 2 ? be16_load(p) : 0;

	return len >= MESSAGE_MIN && len + 2 <= n && class_of(p + 2, len);
}

/* One step on; false: no room now. */
static bool step(struct dns *d, struct side *s, const struct pfs_ref *ref, const uint8_t *p,
		 struct pfs_emitter *out)
{
	uint32_t left = ref->len - d->at, len, some;
	struct pfs_ref rest = *ref;

	if (s->have < 2) {
		s->prefix[s->have++] = p[d->at++];
		return true;
	}
	len = be16_load(s->prefix);
	if (len == 0) {
		s->have = 0;
		return true;
	}
	if (!s->gather.active && left >= len) {
		if (!emit_here(d, ref, p, len, out))
			return false;
		s->have = 0;
		return true;
	}
	if (!s->gather.active) {
		pfs_ref_narrow(&rest, d->at, left);
		if (pfs_gather_begin(&s->gather, &d->budget, out, &rest) < 0)
			goto full;
	}
	some = (uint32_t)pfs_min(left, len - s->gather.len);
	if (pfs_gather_add(&s->gather, &d->budget, p + d->at, some) < 0)
		goto full;
	d->at += some;
	s->ready = s->gather.len == len;
	return true;
full:
	drop(d, s, "memory", out);
	s->lost = true;
	return true;
}

/* False: no room now. */
static bool take_bytes(struct dns *d, struct side *s, const struct pfs_ref *ref, const uint8_t *p,
		       struct pfs_emitter *out)
{
	for (;;) {
		if (s->ready && !emit_gathered(d, s, out))
			return false;
		if (d->at >= ref->len)
			return true;
		if (s->lost || s->foreign)
			skip(d, ref->len);
		else if (!step(d, s, ref, p, out))
			return false;
	}
}

/* False: no room now. */
static bool take_record(struct dns *d, const struct pfs_ref *ref, struct pfs_emitter *out)
{
	bool again = d->begun && d->pos == ref->pos && d->ring == ref->ring;
	const uint8_t *p = pfs_bytes(out, ref);
	struct pfs_meta meta;
	struct side *s;

	pfs_meta(out, ref, &meta);
	s = side_of(pfs_streams_get(&d->sides, meta.stream));
	if (!s) {
		pfs_emit_lost(out, "memory", 1);
		return true;
	}
	if (!again) {
		d->at = 0;
		if (!s->looked)
			s->foreign = is_foreign(out, ref);
		s->looked = true;
		if (ref->flags & PFS_REF_GAP) {
			drop(d, s, "gap", out);
			s->lost = true;
		}
		s->lost = s->lost && !found_again(p, ref->len);
	}
	d->begun = true;
	d->pos = ref->pos;
	d->ring = ref->ring;
	return take_bytes(d, s, ref, p, out);
}

static size_t dns_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		       uint64_t *ret_wait)
{
	struct dns *d = state;
	size_t i;

	(void)ret_wait;
	for (i = 0; i < n; i++) {
		if (!take_record(d, &in[i], out))
			break;
		d->begun = false;
	}
	return i;
}

static bool dns_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			struct pfs_emitter *out)
{
	struct dns *d = state;
	struct side *s;

	while (d->bytes &&
	       (s = side_of(ref->flags & PFS_REF_EOF ? d->sides.oldest
						     : pfs_streams_find(&d->sides, meta->stream)))) {
		drop(d, s, "truncated", out);
		pfs_streams_forget(&d->sides, &s->base);
	}
	return true;
}

/* --- the filter -------------------------------------------------------------------------------------- */

static int dns_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	struct dns *d = state;
	uint64_t flows = 16384;
	int r = pfs_args_number(args, "flows", true, 64, 1 << 20, &flows, diag);

	d->bytes = place->flow & PFS_FLOW_BYTES;
	d->budget.max = MEMORY;
	if (r < 0 || !d->bytes)
		return r;
	return pfs_streams_init(&d->sides, sizeof(struct side), flows, side_release, d);
}

static void dns_fini(void *state)
{
	struct dns *d = state;

	pfs_streams_release(&d->sides);
}

static void dns_stats(void *state, struct pfs_buf *out)
{
	const struct dns *d = state;

	pfs_buf_printf(out, "messages %llu\n", (unsigned long long)pfs_counter_get(&d->messages));
	if (!d->bytes)
		return;
	pfs_buf_printf(out, "flows %llu\n", (unsigned long long)pfs_counter_get(&d->sides.count));
	pfs_buf_printf(out, "evicted %llu\n", (unsigned long long)pfs_counter_get(&d->sides.evicted));
	pfs_buf_printf(out, "skipped %llu\n", (unsigned long long)pfs_counter_get(&d->skipped));
}

static const struct pfs_param dns_params[] = {
	{ "flows", "of byte streams: directions to remember, 64 to 1M; default 16k" },
	{ NULL, NULL },
};

static const struct pkt_describe dns_describe = {
	.json = pkt_dns_json,
	.text = pkt_dns_text,
	.whole = true,
};

const struct pfs_filter pfs_filter_dns = {
	.name = "dns",
	.summary = "DNS messages",
	.in = PFS_FLOW_ANY_PACKET | PFS_FLOW_BYTES,
	.out = PFS_FLOW_SAME,
	.params = dns_params,
	.classes = dns_classes,
	.state_size = sizeof(struct dns),
	.ring_size = RING,
	.init = dns_init,
	.fini = dns_fini,
	.batch = dns_batch,
	.pull = dns_pull,
	.pulls = PFS_FLOW_BYTES,
	.control = dns_control,
	.stats = dns_stats,
	.describe = &dns_describe,
};
