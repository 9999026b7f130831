/*
 * stream - TCP connections back into byte streams
 *
 * Synopsis:   …/stream
 *
 * Gives the bytes of each TCP connection in order, each direction as a stream of its own: what came
 * twice is left out, what came too early waits for what was before it, and of what overlaps with other
 * bytes that is taken which Linux gives to its programs. A record is what one segment brought; it
 * is not copied unless it had to wait. Filters below (httpplus, dns, grep, lines, unpcap, ...) keep the
 * streams apart.
 *
 * Bytes that are not there are a gap: a record without bytes, which all.json and all.txt show. What is
 * missing is waited for until the other side acknowledges it, for gap= seconds without that, as long
 * as no more than hold= bytes wait behind it, and memory= bytes in all.
 *
 * A stream ends with FIN, with a RST that its receiver would take, after timeout= seconds without
 * a packet, when its ports are used again, when there are more than flows= connections (the one unused
 * for longest goes), and with the source. Time is that of the packets. Connections that began before
 * the capture are taken from where they are.
 *
 * Fragments are lost here, "fragment": put defrag before. Packets that are not TCP are dropped.
 *
 * all.json:   time src sport dst dport, stream (number of the connection), side (a, b), offset (in
 *             that side's stream, modulo 2^32), len, data; or gap (bytes that are missing)
 * Stats:      connections (now, for a minute also those that are over), opened (so far), evicted (too
 *             many), held (bytes that wait now), gaps, missing (bytes in them), old (bytes that had come
 *             already), late (bytes behind the end), ignored (SYN and RST that no receiver takes)
 * Parameters: flows=N    connections at a time, 64 to 4M (default 64k)
 *             hold=N     bytes of one direction that may wait, 4k to 256M (default 4M)
 *             memory=N   ... of all, 64k to 4G (default 64M)
 *             timeout=N  seconds without a packet, 1 to 1M (default 600)
 *             gap=N      seconds that missing bytes are waited for which nobody acknowledges, 0 to 1M
 *                        (default 30)
 * Classes:    a (from who began the connection), b (to him)
 * Example:    mkdir -p /p/dev/eth0/stream/httpplus; cat /p/dev/eth0/stream/httpplus/get/all
 *
 * Source:     RFC 9293, RFC 5961; net/ipv4/tcp_input.c of Linux
 */
#include "base/bytes.h"
#include "graph/proto.h"
#include "packet/defrag.h"
#include "packet/tcpstream.h"

#define NS_PER_S UINT64_C(1000000000)
#define RING ((size_t)8 << 20)

static const char *const stream_classes[] = { "a", "b", NULL };

struct stream {
	struct tcps tcp;
	bool begun; /* the first ref of the next pull is done but for what follows from it */
	struct pfs_ref last;  /* that ref */
	pfs_counter shown[9]; /* copies of its counts; writer: the worker */
};

/* --- packets -------------------------------------------------------------------------------------- */

/* Bytes that the segment had on the wire, of which `len` at `off` were captured. */
static uint32_t full_length(const uint8_t *p, const struct pfs_ref *ref, size_t off, size_t len)
{
	size_t end = 0;

	if (ref->ethertype == PFS_ETHER_IP && be16_load(p + ref->l3 + 2))
		end = (size_t)ref->l3 + be16_load(p + ref->l3 + 2);
	else if (ref->ethertype == PFS_ETHER_IP6 && be16_load(p + ref->l3 + 4))
		end = (size_t)ref->l3 + 40 + be16_load(p + ref->l3 + 4);
	return (uint32_t)pfs_max(len, end > off ? end - off : 0);
}

/* False: it is not TCP, or cannot be used; *ret_reason then says what was lost, NULL: nothing. */
static bool segment_of(const uint8_t *p, const struct pfs_ref *ref, struct tcps_segment *s,
		       const char **ret_reason)
{
	struct defrag_fragment fragment;
	const uint8_t *tcp = p + ref->l4;
	bool six = ref->ethertype == PFS_ETHER_IP6;
	size_t off, len, src = ref->l3 + (six ? 8u : 12u);

	*ret_reason = NULL;
	if (!pfs_is_ip(ref) || ref->proto != PFS_PROTO_TCP)
		return false;
	if (defrag_look(p, ref->len, ref, &fragment) != DEFRAG_WHOLE) {
		*ret_reason = "fragment";
		return false;
	}
	if (ref->l4 == PFS_LAYER_NONE || !pkt_payload(p, ref->len, ref, &off, &len)) {
		*ret_reason = "malformed";
		return false;
	}
	s->from = tcps_key(p + src, p + src + (six ? 16 : 4), six, be16_load(tcp),
			   be16_load(tcp + 2), &s->key);
	s->seq = be32_load(tcp + 4);
	s->ack = be32_load(tcp + 8);
	s->flags = tcp[13];
	s->data = p + off;
	s->len = (uint32_t)len;
	s->full_len = full_length(p, ref, off, len);
	s->head = p;
	s->head_len = (uint32_t)off;
	return true;
}

/* --- what comes out ---------------------------------------------------------------------------------- */

static uint32_t tag_of(const struct pfs_ref *ref)
{
	return (uint32_t)ref->origin << 16 | (ref->flags & PFS_REC_FLAGS);
}

/* The ref of the event's bytes, but for where they are. */
static struct pfs_ref piece_of(const struct tcps_event *ev)
{
	return (struct pfs_ref){
		.len = ev->len,
		.class_ = (uint16_t)(1 + ev->side),
		.flags = PFS_REF_IN_STREAM,
		.stream = ev->conn->stream + ev->side,
		.offset = (uint32_t)ev->offset,
	};
}

static void name_stream(const struct tcps_event *ev, struct pfs_emitter *out)
{
	if (ev->conn->stream == 0)
		ev->conn->stream = pfs_emit_streams(out);
}

/* In order: a part of the packet as it lies. */
static void emit_here(const struct pfs_ref *ref, const struct tcps_segment *s,
		      const struct tcps_event *ev, struct pfs_emitter *out)
{
	struct pfs_ref piece;

	name_stream(ev, out);
	piece = piece_of(ev);
	piece.pos = ref->pos;
	piece.ring = ref->ring;
	piece.origin = ref->origin;
	piece.hdr = ref->hdr;
	piece.flags |= ref->flags & PFS_REC_FLAGS;
	piece.off = ref->off + s->head_len + ev->from;
	pfs_emit(out, &piece);
}

/* What was held, or a gap: a record of its own, behind the packet's headers. False: no room now. */
static bool emit_new(const struct tcps_event *ev, struct pfs_emitter *out)
{
	bool gap = ev->kind == TCPS_GAP;
	uint32_t len = gap ? 0 : ev->len;
	uint16_t origin = (uint16_t)(ev->tag >> 16), flags = ev->tag & PFS_REC_FLAGS;
	struct pfs_record *rec;
	struct pfs_ref piece;
	uint8_t *p = pfs_emit_new(out, ev->head_len + len, &rec);

	if (!p)
		return false;
	name_stream(ev, out);
	if (ev->head_len)
		memcpy(p, ev->head, ev->head_len);
	if (len)
		memcpy(p + ev->head_len, ev->data, len);
	piece = piece_of(ev);
	piece.off = ev->head_len;
	piece.len = len;
	piece.flags |= (uint8_t)(flags | (gap ? PFS_REF_GAP : 0));
	rec->time = pfs_record_time(pfs_origin_get(out->rings, origin), ev->time);
	rec->stream = piece.stream;
	rec->origin = origin;
	rec->flags = flags;
	if (gap)
		rec->wire_len = ev->len;
	pfs_emit_commit_as(out, rec, &piece);
	return true;
}

/* Everything that follows from what went in. False: no room now. */
static bool emit_events(struct stream *s, struct pfs_emitter *out)
{
	struct tcps_event ev;

	for (; tcps_peek(&s->tcp, &ev); tcps_pop(&s->tcp)) {
		if (out->room == 0)
			return false;
		if (ev.kind == TCPS_END)
			pfs_emit_stream_end(out, ev.conn->stream + ev.side);
		else if (!emit_new(&ev, out))
			return false;
	}
	return true;
}

/* --- the filter --------------------------------------------------------------------------------------- */

static void count(struct stream *s)
{
	const struct tcps_counts *c = &s->tcp.counts;
	const uint64_t now[] = { c->connections, c->opened, c->evicted, c->held,   c->gaps,
				 c->missing,	 c->old,    c->late,	c->ignored };

	static_assert(ARRAY_SIZE(now) == ARRAY_SIZE(s->shown), "a counter for each");
	for (size_t i = 0; i < ARRAY_SIZE(now); i++)
		atomic_store_explicit(&s->shown[i], now[i], memory_order_relaxed);
}

static void take(struct stream *s, struct pfs_ref *ref, struct pfs_emitter *out)
{
	struct tcps_segment segment = { .tag = tag_of(ref), .hold = ref->off > 0 };
	uint64_t no_memory = s->tcp.counts.no_memory;
	struct tcps_event ev;
	struct pfs_meta meta;
	const char *reason;

	pfs_layers(out, ref);
	if (!segment_of(pfs_bytes(out, ref), ref, &segment, &reason)) {
		if (reason)
			pfs_emit_lost(out, reason, 1);
		return;
	}
	pfs_meta(out, ref, &meta);
	segment.time = meta.time;
	tcps_input(&s->tcp, &segment, &ev);
	if (ev.kind == TCPS_HERE)
		emit_here(ref, &segment, &ev, out);
	no_memory = s->tcp.counts.no_memory - no_memory;
	if (no_memory)
		pfs_emit_lost(out, "memory", no_memory);
}

static size_t stream_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			  uint64_t *ret_wait)
{
	struct stream *s = state;
	size_t i = 0;

	(void)ret_wait;
	if (!emit_events(s, out))
		return 0;
	/* Unless it was overwritten meanwhile, the ref that those came from is here once more. */
	if (s->begun && in->pos == s->last.pos && in->ring == s->last.ring)
		i = 1;
	s->begun = false;
	for (; i < n && out->room > 0; i++) {
		take(s, &in[i], out);
		if (!emit_events(s, out)) {
			s->begun = true;
			s->last = in[i];
			break;
		}
	}
	count(s);
	return i;
}

static bool stream_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			   struct pfs_emitter *out)
{
	struct stream *s = state;
	bool done;

	(void)meta;
	if (!(ref->flags & PFS_REF_EOF))
		return true;
	tcps_flush(&s->tcp);
	done = emit_events(s, out);
	count(s);
	return done;
}

static int options_of(const struct pfs_args *args, struct tcps_options *ret_options,
		      struct pfs_diag *diag)
{
	uint64_t flows = 65536, hold = 4 << 20, memory = 64 << 20, timeout = 600, gap = 30;
	int r;

	r = pfs_args_number(args, "flows", true, 64, 4 << 20, &flows, diag);
	if (r == 0)
		r = pfs_args_number(args, "hold", true, 4096, 256 << 20, &hold, diag);
	if (r == 0)
		r = pfs_args_number(args, "memory", true, 65536, UINT64_C(4) << 30, &memory, diag);
	if (r == 0)
		r = pfs_args_number(args, "timeout", false, 1, 1000000, &timeout, diag);
	if (r == 0)
		r = pfs_args_number(args, "gap", false, 0, 1000000, &gap, diag);
	if (r < 0)
		return r;
	*ret_options = (struct tcps_options){
		.connections = (unsigned)flows,
		.half = hold,
		.memory = memory,
		.idle = timeout * NS_PER_S,
		.gap = gap * NS_PER_S,
	};
	return 0;
}

static int stream_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	struct stream *s = state;
	struct tcps_options options;
	int r = options_of(args, &options, diag);

	(void)place;
	return r < 0 ? r : tcps_init(&s->tcp, &options);
}

/* Smaller limits are reached with what comes next. */
static int stream_reconfigure(void *state, const struct pfs_args *args,
			      const struct pfs_place *place, struct pfs_diag *diag)
{
	struct stream *s = state;

	(void)place;
	return options_of(args, &s->tcp.options, diag);
}

static void stream_fini(void *state)
{
	struct stream *s = state;

	tcps_release(&s->tcp);
}

static void stream_stats(void *state, struct pfs_buf *out)
{
	static const char *const names[] = { "connections", "opened", "evicted", "held",   "gaps",
					     "missing",	    "old",    "late",	 "ignored" };
	const struct stream *s = state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		pfs_buf_printf(out, "%s %llu\n", names[i],
			       (unsigned long long)pfs_counter_get(&s->shown[i]));
}

static const struct pfs_param stream_params[] = {
	{ "flows", "connections at a time, 64 to 4M; default 64k" },
	{ "hold", "bytes of one direction that may wait for others, 4k to 256M; default 4M" },
	{ "memory", "the same of all, 64k to 4G; default 64M" },
	{ "timeout", "seconds without a packet that end a connection, 1 to 1M; default 600" },
	{ "gap",
	  "seconds that missing bytes are waited for which nobody acknowledges, 0 to 1M; default 30" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_stream = {
	.name = "stream",
	.summary = "TCP connections back into byte streams",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_BYTES,
	.params = stream_params,
	.classes = stream_classes,
	.state_size = sizeof(struct stream),
	.ring_size = RING,
	.init = stream_init,
	.reconfigure = stream_reconfigure,
	.fini = stream_fini,
	.pull = stream_pull,
	.control = stream_control,
	.stats = stream_stats,
};
