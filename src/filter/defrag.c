/*
 * defrag - put fragmented IP packets together
 *
 * Synopsis:   …/defrag
 *
 * Fragments of IPv4 and IPv6 are kept until their packet is complete; then the whole packet goes on, with
 * the first fragment's headers, right lengths and checksum, the time of the fragment that completed
 * it. Every other packet passes at once and is not copied.
 *
 * Fragments are put together as Linux does it: one that is there already is ignored, one that overlaps
 * others ends its packet. What does not become a packet is lost, counted in fragments: "timeout"
 * (incomplete after timeout=), "overlap", "malformed" (lengths, ends or ECN that contradict each
 * other), "truncated" (not captured to the end), "oversize" (more than 65,535 bytes), "memory" (beyond
 * memory=, the oldest go first), "incomplete" (at the end of the stream).
 *
 * Packets are told apart by addresses, identification, protocol, VLAN and interface. Time is that of
 * the packets, not of the clock.
 *
 * Stats:      pending (packets not complete yet), memory (bytes they take), reassembled, duplicates
 * Parameters: timeout=N  seconds to wait for the rest of a packet, 1 to 3600 (default 30)
 *             memory=N   bytes for fragments, 128k to 1G (default 16M)
 * Classes:    none
 * Example:    mkdir -p '/p/dev/eth0/defrag/match:udp port 53'
 *
 * Source:     RFC 791, RFC 815, RFC 5722, RFC 6946, RFC 8200 section 4.5
 */
#include "graph/proto.h"
#include "packet/defrag.h"

#define RING ((size_t)4 << 20) /* its largest record holds any datagram */
#define NS_PER_S UINT64_C(1000000000)

struct filter {
	struct defrag defrag;
	struct defrag_datagram *ready; /* owned; complete, and no room for it yet */
	struct pfs_ref last;	       /* the fragment that completed it, while there is one */
	pfs_counter waiting;	       /* these counters' writer is the worker */
	pfs_counter memory;
	pfs_counter reassembled;
	pfs_counter duplicates;
};

static int options_of(const struct pfs_args *args, struct defrag_options *ret_options,
		      struct pfs_diag *diag)
{
	uint64_t timeout = 30, memory = UINT64_C(16) << 20;
	int r;

	r = pfs_args_number(args, "timeout", false, 1, 3600, &timeout, diag);
	if (r == 0)
		r = pfs_args_number(args, "memory", true, DEFRAG_MEMORY_MIN, UINT64_C(1) << 30,
				    &memory, diag);
	if (r < 0)
		return r;
	*ret_options = (struct defrag_options){ .memory = memory, .timeout = timeout * NS_PER_S };
	return 0;
}

static int filter_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	struct filter *f = state;
	struct defrag_options options;
	int r = options_of(args, &options, diag);

	(void)place;
	return r < 0 ? r : defrag_init(&f->defrag, &options);
}

/* Less memory than is in use is reached with the next fragments. */
static int filter_reconfigure(void *state, const struct pfs_args *args,
			      const struct pfs_place *place, struct pfs_diag *diag)
{
	struct filter *f = state;

	(void)place;
	return options_of(args, &f->defrag.options, diag);
}

static void filter_fini(void *state)
{
	struct filter *f = state;

	defrag_free(&f->defrag, f->ready);
	defrag_release(&f->defrag);
}

static void count(struct filter *f, struct pfs_emitter *out)
{
	for (size_t i = 0; i < DEFRAG_LOSSES_; i++) {
		if (f->defrag.lost[i])
			pfs_emit_lost(out, defrag_reasons[i], f->defrag.lost[i]);
		f->defrag.lost[i] = 0;
	}
	atomic_store_explicit(&f->waiting, f->defrag.waiting, memory_order_relaxed);
	atomic_store_explicit(&f->memory, f->defrag.memory, memory_order_relaxed);
	atomic_store_explicit(&f->duplicates, f->defrag.duplicates, memory_order_relaxed);
}

/* The packet that is ready gets a record. False: no room now. */
static bool emit_ready(struct filter *f, struct pfs_emitter *out)
{
	const struct pfs_ref *last = &f->last;
	struct pfs_record *rec;
	struct pfs_meta meta;
	void *p = pfs_emit_new(out, defrag_size(f->ready), &rec);

	if (!p)
		return false;
	defrag_write(f->ready, p);
	pfs_meta(out, last, &meta);
	rec->time = pfs_record_time(pfs_origin_get(out->rings, last->origin), meta.time);
	rec->stream = meta.stream;
	rec->mark = meta.mark;
	rec->origin = last->origin;
	rec->flags = last->flags & PFS_REC_FLAGS;
	pfs_emit_commit(out, rec);
	pfs_counter_add(&f->reassembled, 1);
	defrag_free(&f->defrag, TAKE_PTR(f->ready));
	return true;
}

static void add(struct filter *f, const struct pfs_ref *ref, const struct defrag_fragment *fragment,
		struct pfs_emitter *out)
{
	const uint8_t *p = pfs_bytes(out, ref);
	struct pfs_meta meta;

	pfs_meta(out, ref, &meta);
	f->ready = defrag_add(&f->defrag, p, fragment, ref->origin,
			      pkt_vlan(p, ref->len, pfs_link_type(out, ref)), meta.time);
	f->last = *ref;
}

/* False: no room now. */
static bool take(struct filter *f, struct pfs_ref *ref, struct pfs_emitter *out)
{
	struct defrag_fragment fragment;

	/* The one that completed a packet comes again until there was room for that. */
	if (f->ready)
		return emit_ready(f, out);
	pfs_layers(out, ref);
	switch (defrag_look(pfs_bytes(out, ref), ref->len, ref, &fragment)) {
	case DEFRAG_WHOLE:
		if (out->room == 0)
			return false;
		pfs_emit(out, ref);
		return true;
	case DEFRAG_FRAGMENT:
		add(f, ref, &fragment, out);
		return !f->ready || emit_ready(f, out);
	case DEFRAG_WRONG:
		f->defrag.lost[DEFRAG_MALFORMED]++;
		return true;
	case DEFRAG_CUT:
		f->defrag.lost[DEFRAG_TRUNCATED]++;
		return true;
	}
	return true;
}

static size_t filter_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			  uint64_t *ret_wait)
{
	struct filter *f = state;
	size_t i;

	(void)ret_wait;
	/* Lapped: the last fragment is gone with its place in the stream; its packet is not sent in another's. */
	if (f->ready && (f->last.pos != in->pos || f->last.ring != in->ring)) {
		pfs_emit_lost(out, "overrun", 1);
		defrag_free(&f->defrag, TAKE_PTR(f->ready));
	}
	for (i = 0; i < n; i++)
		if (!take(f, &in[i], out))
			break;
	count(f, out);
	return i;
}

static bool filter_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			   struct pfs_emitter *out)
{
	struct filter *f = state;

	(void)meta;
	if (ref->flags & PFS_REF_EOF)
		defrag_flush(&f->defrag);
	count(f, out);
	return true;
}

static void filter_stats(void *state, struct pfs_buf *out)
{
	const struct filter *f = state;

	pfs_buf_printf(out, "pending %llu\n", (unsigned long long)pfs_counter_get(&f->waiting));
	pfs_buf_printf(out, "memory %llu\n", (unsigned long long)pfs_counter_get(&f->memory));
	pfs_buf_printf(out, "reassembled %llu\n",
		       (unsigned long long)pfs_counter_get(&f->reassembled));
	pfs_buf_printf(out, "duplicates %llu\n", (unsigned long long)pfs_counter_get(&f->duplicates));
}

static const struct pfs_param filter_params[] = {
	{ "timeout", "seconds to wait for the rest of a packet, 1 to 3600; default 30" },
	{ "memory", "bytes for fragments, 128k to 1G; default 16M" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_defrag = {
	.name = "defrag",
	.summary = "put fragmented IP packets together",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.params = filter_params,
	.state_size = sizeof(struct filter),
	.ring_size = RING,
	.init = filter_init,
	.reconfigure = filter_reconfigure,
	.fini = filter_fini,
	.pull = filter_pull,
	.control = filter_control,
	.stats = filter_stats,
};
