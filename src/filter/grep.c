/*
 * grep - records in which a string or a regular expression is found
 *
 * Synopsis:   …/grep:STRING
 *             …/grep:%2fREGEX%2f
 *             …/stream/grep:STRING
 *
 * Of packets: passes those whose payload holds it: what TCP or UDP carries; of other packets what is
 * from the innermost header on that is known. Of text: passes the records that hold it.
 *
 * Of byte streams, best below stream: finds it across the borders of records too. Passes the record in
 * which a match ends; when the match began in an earlier one, a record with the bytes before it
 * comes first: as many as the longest match can have, and no more than 4096. Where bytes are
 * missing nothing is found across them.
 *
 * A regular expression stands between slashes, which are written %2f in a name. It is one of
 * Vectorscan (Hyperscan): Perl's without references back, looking around and what matches
 * nothing; ^ and $ match at lines. Without that library strings are found, and regular expressions are refused.
 *
 * Stats:      matches (records that hold it); of byte streams flows (in the table), evicted (pushed out)
 * Parameters: i=yes    letters in either case
 *             v=yes    passes the records in which no match ends, instead
 *             flows=N  of byte streams: streams to remember, 64 to 1M (default 16k)
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/stream/grep:password,i=yes; cat /p/dev/eth0/stream/grep:password,i=yes/all.txt
 *
 * Source:     https://intel.github.io/hyperscan/dev-reference/
 */
#include "graph/proto.h"
#include "graph/streams.h"
#include "packet/match.h"

#define RING ((size_t)1 << 20)
#define MEMORY ((size_t)256 << 20)
#define KEEP_MAX 4096u

struct side {
	struct pfs_stream base;
	struct pkt_match_stream *match; /* owned */
	struct pfs_gather tail;		/* the last bytes */
	uint32_t next;			/* offset behind them, below stream */
};

struct grep {
	struct pkt_match *match; /* owned */
	bool bytes;
	bool invert;
	bool begun;    /* the record at pos was searched: */
	bool tail_due; /* ... what is before it is to go out */
	bool ref_due;  /* ... it is */
	uint16_t ring;
	uint64_t pos;
	uint32_t keep;
	struct pfs_streams sides;
	struct pfs_budget budget;
	pfs_counter matches; /* writer: the worker */
};

/* --- packets and text ---------------------------------------------------------------------------- */

static void payload_of(struct pfs_ref *ref, const struct pfs_emitter *out, const uint8_t *p,
		       size_t *ret_off, size_t *ret_len)
{
	size_t off = 0;

	if (pfs_link_type(out, ref) != PFS_LINK_BYTES) {
		pfs_layers(out, ref);
		if (pkt_payload(p, ref->len, ref, ret_off, ret_len))
			return;
		off = ref->l4 != PFS_LAYER_NONE ? ref->l4 : ref->l3 != PFS_LAYER_NONE ? ref->l3 : 0;
	}
	*ret_off = off;
	*ret_len = ref->len - off;
}

static void grep_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct grep *g = state;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = pfs_bytes(out, &in[i]);
		size_t off, len;
		bool found;

		payload_of(&in[i], out, p, &off, &len);
		found = pkt_match_first(g->match, p + off, len) != PKT_MATCH_NONE;
		pfs_counter_add(&g->matches, found);
		if (found != g->invert)
			pfs_emit(out, &in[i]);
	}
}

/* --- byte streams --------------------------------------------------------------------------------- */

static struct side *side_of(struct pfs_stream *stream)
{
	return stream ? CONTAINER_OF(stream, struct side, base) : NULL;
}

static void side_release(void *owner, struct pfs_stream *stream)
{
	struct grep *g = owner;
	struct side *s = side_of(stream);

	pfs_gather_drop(&s->tail, &g->budget);
	g->budget.used -= s->tail.cap;
	free(s->tail.data);
	pkt_match_stream_free(g->match, s->match);
}

/* Nothing that comes belongs to what was. */
static void reset(struct grep *g, struct side *s)
{
	pkt_match_stream_reset(g->match, s->match);
	pfs_gather_drop(&s->tail, &g->budget);
}

/* Searches the record: what is to go out for it? */
static void search(struct grep *g, struct side *s, const struct pfs_ref *ref, const uint8_t *p)
{
	uint64_t end = pkt_match_next(g->match, s->match, p, ref->len);
	bool found = end != PKT_MATCH_NONE;

	pfs_counter_add(&g->matches, found);
	g->ref_due = found != g->invert && ref->len > 0;
	/* A match that ends before any that is in this record alone began before it. */
	g->tail_due = found && !g->invert && s->tail.active && s->tail.len > 0 &&
		      end < pkt_match_first(g->match, p, ref->len);
}

/* The last bytes so far. Without memory for them they are not shown before a match. */
static void keep(struct grep *g, struct side *s, const struct pfs_ref *ref, const uint8_t *p,
		 const struct pfs_emitter *out)
{
	uint32_t some = (uint32_t)pfs_min(ref->len, g->keep);
	struct pfs_ref last = *ref;
	struct pfs_gather *tail = &s->tail;

	if (some == 0)
		return;
	if (!tail->active || ref->len >= g->keep) {
		pfs_ref_narrow(&last, ref->len - some, some);
		if (pfs_gather_begin(tail, &g->budget, out, &last) < 0) {
			pfs_gather_drop(tail, &g->budget);
			return;
		}
	} else if (tail->len + some > g->keep) {
		size_t cut = tail->len + some - g->keep;
		uint8_t *bytes = tail->data + tail->head_len;

		memmove(bytes, bytes + cut, tail->len - cut);
		tail->len -= cut;
		tail->ref.offset += (uint32_t)(tail->ref.flags & PFS_REF_IN_STREAM ? cut : 0);
	}
	if (pfs_gather_add(tail, &g->budget, p + ref->len - some, some) < 0)
		pfs_gather_drop(tail, &g->budget);
}

/* False: no room now. */
static bool take_record(struct grep *g, const struct pfs_ref *ref, struct pfs_emitter *out)
{
	bool again = g->begun && g->pos == ref->pos && g->ring == ref->ring;
	bool in_stream = ref->flags & PFS_REF_IN_STREAM;
	const uint8_t *p = pfs_bytes(out, ref);
	struct pfs_meta meta;
	struct side *s;

	pfs_meta(out, ref, &meta);
	s = side_of(pfs_streams_get(&g->sides, meta.stream));
	if (s && !s->match)
		s->match = pkt_match_stream_new(g->match);
	if (!s || !s->match) {
		pfs_emit_lost(out, "memory", 1);
		return true;
	}
	if (!again) {
		if ((ref->flags & PFS_REF_GAP) || (in_stream && ref->offset != s->next))
			reset(g, s);
		search(g, s, ref, p);
	}
	g->begun = true;
	g->pos = ref->pos;
	g->ring = ref->ring;
	if (g->tail_due && !pfs_gather_emit(&s->tail, &g->budget, ref->class_, out))
		return false;
	g->tail_due = false;
	if (g->ref_due && out->room == 0)
		return false;
	if (g->ref_due)
		pfs_emit(out, ref);
	keep(g, s, ref, p, out);
	if (in_stream)
		s->next = ref->offset + (ref->flags & PFS_REF_GAP ? meta.wire_len : ref->len);
	return true;
}

static size_t grep_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct grep *g = state;
	size_t i;

	(void)ret_wait;
	for (i = 0; i < n; i++) {
		if (!take_record(g, &in[i], out))
			break;
		g->begun = false;
	}
	return i;
}

static bool grep_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	struct grep *g = state;

	(void)out;
	if (!g->bytes)
		return true;
	if (!(ref->flags & PFS_REF_EOF))
		pfs_streams_forget(&g->sides, pfs_streams_find(&g->sides, meta->stream));
	while ((ref->flags & PFS_REF_EOF) && g->sides.oldest)
		pfs_streams_forget(&g->sides, g->sides.oldest);
	return true;
}

/* --- the filter -------------------------------------------------------------------------------------- */

static int yes_of(const struct pfs_args *args, const char *key, bool *ret_yes, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, key);

	*ret_yes = text && strcmp(text, "yes") == 0;
	if (text && !*ret_yes && strcmp(text, "no") != 0)
		return pfs_diag_set(diag, EINVAL, "%s= is yes or no, not '%.32s'", key, text);
	return 0;
}

static int grep_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	const char *arg = args->arg ? args->arg : "";
	size_t len = strlen(arg);
	bool regex = len >= 2 && arg[0] == '/' && arg[len - 1] == '/', nocase;
	uint64_t flows = 16384;
	struct grep *g = state;
	int r;

	r = yes_of(args, "i", &nocase, diag);
	if (r == 0)
		r = yes_of(args, "v", &g->invert, diag);
	if (r == 0)
		r = pfs_args_number(args, "flows", true, 64, 1 << 20, &flows, diag);
	if (r == 0)
		r = pkt_match_new(regex ? arg + 1 : arg, regex ? len - 2 : len, regex, nocase,
				  &g->match, diag);
	if (r < 0)
		return r;
	g->bytes = place->flow & PFS_FLOW_BYTES;
	if (!g->bytes)
		return 0;
	g->budget.max = MEMORY;
	g->keep = (uint32_t)pfs_min(pkt_match_longest(g->match) - 1, KEEP_MAX);
	r = pfs_streams_init(&g->sides, sizeof(struct side), flows, side_release, g);
	if (r < 0)
		pkt_match_free(TAKE_PTR(g->match));
	return r;
}

static void grep_fini(void *state)
{
	struct grep *g = state;

	pfs_streams_release(&g->sides);
	pkt_match_free(g->match);
}

static void grep_stats(void *state, struct pfs_buf *out)
{
	const struct grep *g = state;

	pfs_buf_printf(out, "matches %llu\n", (unsigned long long)pfs_counter_get(&g->matches));
	if (!g->bytes)
		return;
	pfs_buf_printf(out, "flows %llu\n", (unsigned long long)pfs_counter_get(&g->sides.count));
	pfs_buf_printf(out, "evicted %llu\n", (unsigned long long)pfs_counter_get(&g->sides.evicted));
}

static const struct pfs_param grep_params[] = {
	{ "i", "yes: letters in either case; default no" },
	{ "v", "yes: the records in which no match ends; default no" },
	{ "flows", "of byte streams: streams to remember, 64 to 1M; default 16k" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_grep = {
	.name = "grep",
	.summary = "records in which a string or a regular expression is found",
	.in = PFS_FLOW_ANY_PACKET | PFS_FLOW_BYTES | PFS_FLOW_TEXT,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = grep_params,
	.state_size = sizeof(struct grep),
	.ring_size = RING,
	.init = grep_init,
	.fini = grep_fini,
	.batch = grep_batch,
	.pull = grep_pull,
	.pulls = PFS_FLOW_BYTES,
	.control = grep_control,
	.stats = grep_stats,
};
