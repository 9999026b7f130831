#include "graph/unpack.h"

#define ORIGIN_UNKNOWN UINT32_MAX

struct unpack_stream {
	struct unpack_stream *next;
	uint32_t stream;
	bool broken;
	struct capture capture;

	/* What of the file is not parsed yet, because the rest of it is to come in the next record. */
	uint8_t *tail; /* owned */
	size_t tail_len;
	size_t tail_cap;
	size_t need; /* bytes of tail that the parser waits for */

	/* A packet in tail that found no room yet. */
	bool ready;
	struct capture_packet packet;
	size_t packet_used;

	uint32_t *origins; /* owned: ids by interface of this generation, ORIGIN_UNKNOWN: not asked yet */
	unsigned norigins;   /* allocated */
	unsigned generation; /* of origins */
};

/* --- streams ---------------------------------------------------------------------------------- */

static void stream_free(struct unpack *u, struct unpack_stream *s)
{
	u->tails -= s->tail_cap;
	u->nstreams--;
	capture_release(&s->capture);
	free(s->tail);
	free(s->origins);
	free(s);
}

static void stream_break(struct unpack *u, struct unpack_stream *s, const char *reason,
			 struct pfs_emitter *out)
{
	pfs_emit_lost(out, reason, 1);
	pfs_counter_add(&u->discarded, s->tail_len);
	u->tails -= s->tail_cap;
	free(TAKE_PTR(s->tail));
	s->tail_len = s->tail_cap = 0;
	s->ready = false;
	s->broken = true;
}

/* The writer is gone. What it left unfinished is a loss. */
static void stream_end(struct unpack *u, struct unpack_stream *s, struct pfs_emitter *out)
{
	if (!s->broken && !capture_complete(&s->capture, s->tail_len))
		pfs_emit_lost(out, "truncated", 1);
	stream_free(u, s);
}

/* The stream's parser, made when there is none yet; first in the list then. NULL: there are too many. */
static struct unpack_stream *stream_get(struct unpack *u, uint32_t stream)
{
	struct unpack_stream **at, *s;

	for (at = &u->streams; *at && (*at)->stream != stream; at = &(*at)->next)
		;
	s = *at;
	if (s) {
		*at = s->next;
	} else {
		s = u->nstreams < UNPACK_STREAMS ? pfs_zalloc(1, sizeof(*s)) : NULL;
		if (!s)
			return NULL;
		s->stream = stream;
		capture_init(&s->capture, u->format);
		u->nstreams++;
	}
	s->next = u->streams;
	u->streams = s;
	atomic_store_explicit(&u->open, u->nstreams, memory_order_relaxed);
	return s;
}

/* --- the tail ----------------------------------------------------------------------------------- */

static bool tail_add(struct unpack *u, struct unpack_stream *s, const uint8_t *p, size_t n)
{
	size_t cap = pfs_max(s->tail_cap, 256);
	uint8_t *tail = s->tail;

	while (cap < s->tail_len + n)
		cap *= 2;
	if (cap != s->tail_cap) {
		if (u->tails + (cap - s->tail_cap) > UNPACK_TAILS)
			return false;
		tail = realloc(tail, cap);
		if (!tail)
			return false;
		u->tails += cap - s->tail_cap;
		s->tail = tail;
		s->tail_cap = cap;
	}
	memcpy(tail + s->tail_len, p, n);
	s->tail_len += n;
	return true;
}

/* Big blocks are rare: their memory is not kept for the next header. */
static void tail_drop(struct unpack *u, struct unpack_stream *s, size_t n)
{
	memmove(s->tail, s->tail + n, s->tail_len - n);
	s->tail_len -= n;
	if (s->tail_len == 0 && s->tail_cap > 65536) {
		u->tails -= s->tail_cap;
		free(TAKE_PTR(s->tail));
		s->tail_cap = 0;
	}
}

/* --- packets -------------------------------------------------------------------------------------- */

/* The table of ids fits the section's interfaces; those of an earlier section are forgotten. */
static bool origins_fit(struct unpack_stream *s)
{
	unsigned n = s->capture.ninterfaces;
	uint32_t *origins = s->origins;

	if (s->generation != s->capture.generation) {
		for (unsigned i = 0; i < s->norigins; i++)
			origins[i] = ORIGIN_UNKNOWN;
		s->generation = s->capture.generation;
	}
	if (n <= s->norigins)
		return true;
	n = n < 4 ? 4 : n * 2;
	origins = reallocarray(origins, n, sizeof(*origins));
	if (!origins)
		return false;
	for (unsigned i = s->norigins; i < n; i++)
		origins[i] = ORIGIN_UNKNOWN;
	s->origins = origins;
	s->norigins = n;
	return true;
}

static int origin_ask(struct unpack_stream *s, unsigned interface, struct pfs_emitter *out,
		      uint16_t *ret_origin)
{
	uint16_t id;
	int r;

	if (!origins_fit(s))
		return -ENOMEM;
	r = pfs_emit_origin(out, &s->capture.interfaces[interface].origin, &id);
	if (r < 0)
		return r;
	s->origins[interface] = id;
	*ret_origin = id;
	return 0;
}

static int origin_of(struct unpack_stream *s, unsigned interface, struct pfs_emitter *out,
		     uint16_t *ret_origin)
{
	if (s->generation == s->capture.generation && interface < s->norigins &&
	    s->origins[interface] != ORIGIN_UNKNOWN) {
		*ret_origin = (uint16_t)s->origins[interface];
		return 0;
	}
	return origin_ask(s, interface, out, ret_origin);
}

static void emit_in_place(struct unpack_stream *s, const struct capture_packet *packet,
			  uint64_t pos, uint16_t ring, struct pfs_emitter *out)
{
	struct pfs_ref ref = {
		.pos = pos + packet->header,
		.len = capture_snapped(&s->capture, packet),
		.ring = ring,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
		.flags = packet->flags,
		.hdr = (uint8_t)packet->hdr,
	};

	if (origin_of(s, packet->interface, out, &ref.origin) < 0)
		pfs_emit_lost(out, "origins", 1);
	else
		pfs_emit(out, &ref);
}

/* The packet that is ready in the tail gets a record of its own. False: no room now. */
static bool emit_stitched(struct unpack *u, struct unpack_stream *s, struct pfs_emitter *out)
{
	const struct capture_packet *packet = &s->packet;
	const struct pfs_origin *origin = &s->capture.interfaces[packet->interface].origin;
	uint32_t len = capture_snapped(&s->capture, packet);
	struct pfs_record *rec;
	uint16_t id;
	void *p;

	if (origin_of(s, packet->interface, out, &id) < 0) {
		pfs_emit_lost(out, "origins", 1);
	} else {
		p = out->room ? pfs_emit_new(out, len, &rec) : NULL;
		if (!p)
			return false;
		memcpy(p, s->tail + packet->header + pfs_hdr_size(packet->hdr), len);
		rec->time = pfs_record_time(origin, packet->time);
		rec->wire_len = packet->wire_len;
		rec->stream = s->stream;
		rec->origin = id;
		rec->flags = packet->flags;
		pfs_emit_commit(out, rec);
		pfs_counter_add(&u->stitched, 1);
	}
	s->ready = false;
	tail_drop(u, s, s->packet_used);
	return true;
}

/*
 * Goes on with what was cut: takes as many bytes of the record as the parser waits for, and no more, so the tail is
 * empty again after them. False: no room now.
 */
static bool stream_stitch(struct unpack *u, struct unpack_stream *s, const uint8_t *p, size_t n,
			  struct pfs_emitter *out)
{
	size_t used, take;
	int r;

	if (s->ready)
		return emit_stitched(u, s, out);
	take = pfs_min(s->need - pfs_min(s->need, s->tail_len), n - u->at);
	if (!tail_add(u, s, p + u->at, take)) {
		stream_break(u, s, "no memory", out);
		return true;
	}
	u->at += take;
	if (s->tail_len < s->need)
		return true;
	r = capture_next(&s->capture, s->tail, s->tail_len, &used, &s->packet, &s->need, NULL);
	if (r < 0) {
		stream_break(u, s, r == -ENOMEM ? "no memory" : "malformed", out);
		return true;
	}
	if (r == 0) {
		tail_drop(u, s, used);
		return true;
	}
	s->packet_used = used;
	s->ready = true;
	return emit_stitched(u, s, out);
}

/* Parses the record's bytes in place. False: no room now. */
static bool stream_parse(struct unpack *u, struct unpack_stream *s, const struct pfs_ref *ref,
			 const uint8_t *p, struct pfs_emitter *out)
{
	/* Ring position of the first byte. */
	uint64_t pos = ref->pos + pfs_hdr_size((enum pfs_hdr)ref->hdr) + ref->off;
	struct capture_packet packet;
	size_t used;
	int r;

	while (u->at < ref->len) {
		if (out->room == 0)
			return false;
		r = capture_next(&s->capture, p + u->at, ref->len - u->at, &used, &packet, &s->need,
				 NULL);
		if (r < 0) {
			stream_break(u, s, r == -ENOMEM ? "no memory" : "malformed", out);
			return true;
		}
		if (r > 0)
			emit_in_place(s, &packet, pos + u->at, ref->ring, out);
		u->at += used;
		if (r == 0 && u->at < ref->len) {
			if (!tail_add(u, s, p + u->at, ref->len - u->at))
				stream_break(u, s, "no memory", out);
			u->at = ref->len;
		}
	}
	return true;
}

static bool unpack_record(struct unpack *u, const struct pfs_ref *ref, struct pfs_emitter *out)
{
	const uint8_t *p = pfs_bytes(out, ref);
	struct unpack_stream *s;
	struct pfs_meta meta;
	bool room = true;

	pfs_meta(out, ref, &meta);
	s = stream_get(u, meta.stream);
	if (!s) {
		pfs_emit_lost(out, "too many streams", 1);
		return true;
	}
	if ((ref->flags & PFS_REF_GAP) && !s->broken)
		stream_break(u, s, "gap", out);
	while (room && (u->at < ref->len || s->ready)) {
		if (s->broken) {
			pfs_counter_add(&u->discarded, ref->len - u->at);
			u->at = ref->len;
		} else if (s->tail_len > 0) {
			room = stream_stitch(u, s, p, ref->len, out);
		} else {
			room = stream_parse(u, s, ref, p, out);
		}
	}
	return room;
}

/* --- the filter --------------------------------------------------------------------------------------- */

void unpack_init(struct unpack *unpack, enum capture_format format)
{
	unpack->format = format;
}

void unpack_release(struct unpack *unpack)
{
	while (unpack->streams) {
		struct unpack_stream *s = unpack->streams;

		unpack->streams = s->next;
		stream_free(unpack, s);
	}
}

size_t unpack_pull(struct unpack *unpack, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		/* The rest of the record that was begun, unless that was lost meanwhile. */
		if (!unpack->begun || unpack->pos != in[i].pos || unpack->ring != in[i].ring)
			unpack->at = 0;
		unpack->begun = true;
		unpack->pos = in[i].pos;
		unpack->ring = in[i].ring;
		if (!unpack_record(unpack, &in[i], out))
			break;
		unpack->begun = false;
	}
	return i;
}

bool unpack_control(struct unpack *unpack, const struct pfs_ref *ref, const struct pfs_meta *meta,
		    struct pfs_emitter *out)
{
	bool all = ref->flags & PFS_REF_EOF;

	for (struct unpack_stream **at = &unpack->streams; *at;) {
		struct unpack_stream *s = *at;

		if (!all && s->stream != meta->stream) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		stream_end(unpack, s, out);
	}
	atomic_store_explicit(&unpack->open, unpack->nstreams, memory_order_relaxed);
	return true;
}

void unpack_stats(const struct unpack *unpack, struct pfs_buf *out)
{
	pfs_buf_printf(out, "streams %llu\n", (unsigned long long)pfs_counter_get(&unpack->open));
	pfs_buf_printf(out, "stitched %llu\n", (unsigned long long)pfs_counter_get(&unpack->stitched));
	pfs_buf_printf(out, "discarded %llu\n",
		       (unsigned long long)pfs_counter_get(&unpack->discarded));
}
