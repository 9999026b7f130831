#include "graph/cut.h"

#define HEADERS_MAX 256 /* in front of a piece of a reassembled connection */

struct cut_stream {
	struct cut_stream *next;
	uint32_t stream;
	bool complete;	     /* the tail is a piece, and found no room yet */
	struct pfs_ref like; /* to the tail's first byte */
	uint64_t time;	     /* of that */
	uint8_t *tail;	     /* owned: headers, then what came of the piece */
	size_t head;	     /* bytes of headers; 0: there are none */
	size_t len;	     /* bytes of the piece */
	size_t cap;
};

/* --- streams --------------------------------------------------------------------------------------- */

static void stream_free(struct cut *c, struct cut_stream *s)
{
	c->tails -= s->cap;
	c->nstreams--;
	free(s->tail);
	free(s);
}

/* Made when there is none yet; first in the list then. NULL: there are too many. */
static struct cut_stream *stream_get(struct cut *c, uint32_t stream)
{
	struct cut_stream **at, *s;

	for (at = &c->streams; *at && (*at)->stream != stream; at = &(*at)->next)
		;
	s = *at;
	if (s) {
		*at = s->next;
	} else {
		s = c->nstreams < CUT_STREAMS ? pfs_zalloc(1, sizeof(*s)) : NULL;
		if (!s)
			return NULL;
		s->stream = stream;
		c->nstreams++;
	}
	s->next = c->streams;
	c->streams = s;
	atomic_store_explicit(&c->open, c->nstreams, memory_order_relaxed);
	return s;
}

static bool tail_fits(struct cut *c, struct cut_stream *s, size_t n)
{
	size_t cap = pfs_max(s->cap, 256);
	uint8_t *tail;

	while (cap < s->head + s->len + n)
		cap *= 2;
	if (cap == s->cap)
		return true;
	if (c->tails + (cap - s->cap) > CUT_TAILS)
		return false;
	tail = realloc(s->tail, cap);
	if (!tail)
		return false;
	c->tails += cap - s->cap;
	s->tail = tail;
	s->cap = cap;
	return true;
}

/* Long ones are rare: their memory is not kept. */
static void tail_drop(struct cut *c, struct cut_stream *s)
{
	s->len = s->head = 0;
	s->complete = false;
	if (s->cap > 65536) {
		c->tails -= s->cap;
		free(TAKE_PTR(s->tail));
		s->cap = 0;
	}
}

/* --- pieces ------------------------------------------------------------------------------------------ */

/* False: no room now. */
static bool emit_tail(struct cut *c, struct cut_stream *s, struct pfs_emitter *out)
{
	struct pfs_record *rec;
	void *p;

	s->complete = true;
	p = out->room ? pfs_emit_new(out, s->head + s->len, &rec) : NULL;
	if (!p)
		return false;
	memcpy(p, s->tail, s->head + s->len);
	rec->time = pfs_record_time(pfs_origin_get(out->rings, s->like.origin), s->time);
	rec->origin = s->like.origin;
	if (s->like.flags & PFS_REF_IN_STREAM) {
		s->like.off = (uint32_t)s->head;
		s->like.len = (uint32_t)s->len;
		pfs_emit_commit_as(out, rec, &s->like);
	} else {
		rec->stream = s->stream;
		pfs_emit_commit(out, rec);
	}
	pfs_counter_add(&c->stitched, 1);
	tail_drop(c, s);
	return true;
}

static void emit_part(const struct pfs_ref *ref, size_t at, size_t len, struct pfs_emitter *out)
{
	struct pfs_ref part = *ref;

	pfs_ref_narrow(&part, (uint32_t)at, (uint32_t)len);
	pfs_emit(out, &part);
}

/* Adds to the piece in the tail as much as belongs to it. False: no room now. */
static bool cut_stitch(struct cut *c, struct cut_stream *s, const uint8_t *p, size_t n,
		       struct pfs_emitter *out)
{
	size_t left = c->max - s->len, take = c->end(s->len, c->max, p, n);
	bool whole = take > 0 && take <= left;

	if (!whole)
		take = pfs_min(n, left);
	if (!tail_fits(c, s, take)) {
		pfs_counter_add(&c->split, 1);
		return emit_tail(c, s, out);
	}
	memcpy(s->tail + s->head + s->len, p, take);
	s->len += take;
	c->at += take;
	if (!whole && s->len < c->max)
		return true;
	if (!whole)
		pfs_counter_add(&c->split, 1);
	return emit_tail(c, s, out);
}

/* Keeps the rest of the record for later; there is no end in it, and it is shorter than a piece may be. */
static bool cut_keep(struct cut *c, struct cut_stream *s, const struct pfs_ref *ref,
		     const uint8_t *p, size_t n, const struct pfs_meta *meta, struct pfs_emitter *out)
{
	s->head = ref->flags & PFS_REF_IN_STREAM ? pfs_min(ref->off, HEADERS_MAX) : 0;
	if (!tail_fits(c, s, n)) {
		s->head = 0;
		if (out->room == 0)
			return false;
		pfs_counter_add(&c->split, 1);
		emit_part(ref, c->at, n, out);
	} else {
		memcpy(s->tail, p - c->at - ref->off, s->head);
		memcpy(s->tail + s->head, p, n);
		s->len = n;
		s->time = meta->time;
		s->like = *ref;
		pfs_ref_narrow(&s->like, (uint32_t)c->at, (uint32_t)n);
	}
	c->at += n;
	return true;
}

/* Does the input go on where the tail ends? */
static bool cut_joins(struct cut *c, const struct cut_stream *s, const struct pfs_ref *ref)
{
	bool joins = !(ref->flags & PFS_REF_GAP);

	if (s->len == 0 || s->complete || c->at > 0)
		return true;
	if (ref->flags & PFS_REF_IN_STREAM)
		joins &= ref->offset == s->like.offset + (uint32_t)s->len;
	if (!joins)
		pfs_counter_add(&c->split, 1);
	return joins;
}

static bool cut_record(struct cut *c, struct cut_stream *s, const struct pfs_ref *ref,
		       const struct pfs_meta *meta, struct pfs_emitter *out)
{
	const uint8_t *p = pfs_bytes(out, ref);

	if (!cut_joins(c, s, ref))
		s->complete = true;
	if (s->complete && !emit_tail(c, s, out))
		return false;
	if (ref->flags & PFS_REF_GAP) {
		if (out->room == 0)
			return false;
		pfs_emit(out, ref);
		return true;
	}
	while (c->at < ref->len) {
		size_t n = ref->len - c->at, take;

		if (s->len > 0) {
			if (!cut_stitch(c, s, p + c->at, n, out))
				return false;
			continue;
		}
		take = c->end(0, c->max, p + c->at, n);
		if (take == 0 && n < c->max) {
			if (!cut_keep(c, s, ref, p + c->at, n, meta, out))
				return false;
			continue;
		}
		if (out->room == 0)
			return false;
		if (take == 0 || take > c->max) {
			take = c->max;
			pfs_counter_add(&c->split, 1);
		}
		emit_part(ref, c->at, take, out);
		c->at += take;
	}
	return true;
}

/* --- the filter -------------------------------------------------------------------------------------- */

void cut_init(struct cut *cut, cut_end_fn end, size_t max)
{
	assert(max >= 1 && max <= CUT_MAX);
	cut->end = end;
	cut->max = max;
}

void cut_release(struct cut *cut)
{
	while (cut->streams) {
		struct cut_stream *s = cut->streams;

		cut->streams = s->next;
		stream_free(cut, s);
	}
}

/* What every stream holds goes out as it is. False: no room now. */
static bool cut_gap(struct cut *c, struct pfs_emitter *out)
{
	uint64_t lost = pfs_emit_source_lost(out);

	c->gap |= lost != c->lost;
	c->lost = lost;
	for (struct cut_stream *s = c->streams; c->gap && s; s = s->next) {
		if (s->len == 0 || (s->like.flags & PFS_REF_IN_STREAM))
			continue; /* of those the offsets tell, each by itself */
		if (!s->complete)
			pfs_counter_add(&c->split, 1);
		if (!emit_tail(c, s, out))
			return false;
	}
	c->gap = false;
	return true;
}

size_t cut_pull(struct cut *cut, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t i;

	if (!cut_gap(cut, out))
		return 0;
	for (i = 0; i < n; i++) {
		struct cut_stream *s;
		struct pfs_meta meta;

		/* The rest of the record that was begun, unless that was lost meanwhile. */
		if (!cut->begun || cut->part.pos != in[i].pos || cut->part.off != in[i].off ||
		    cut->part.ring != in[i].ring)
			cut->at = 0;
		cut->begun = true;
		cut->part = in[i];
		pfs_meta(out, &in[i], &meta);
		s = stream_get(cut, meta.stream);
		if (!s)
			pfs_emit_lost(out, "too many streams", 1);
		else if (!cut_record(cut, s, &in[i], &meta, out))
			break;
		cut->begun = false;
	}
	return i;
}

bool cut_control(struct cut *cut, const struct pfs_ref *ref, const struct pfs_meta *meta,
		 struct pfs_emitter *out)
{
	bool all = ref->flags & PFS_REF_EOF;

	for (struct cut_stream **at = &cut->streams; *at;) {
		struct cut_stream *s = *at;

		if (!all && s->stream != meta->stream) {
			at = &s->next;
			continue;
		}
		if (s->len > 0 && !emit_tail(cut, s, out))
			return false;
		*at = s->next;
		stream_free(cut, s);
	}
	atomic_store_explicit(&cut->open, cut->nstreams, memory_order_relaxed);
	return true;
}

void cut_stats(const struct cut *cut, struct pfs_buf *out)
{
	pfs_buf_printf(out, "streams %llu\n", (unsigned long long)pfs_counter_get(&cut->open));
	pfs_buf_printf(out, "stitched %llu\n", (unsigned long long)pfs_counter_get(&cut->stitched));
	pfs_buf_printf(out, "split %llu\n", (unsigned long long)pfs_counter_get(&cut->split));
}
