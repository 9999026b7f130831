/*
 * httpplus_bytes - HTTP/1.x messages out of byte streams
 *
 * Each stream (side) is idle, in a head, in a body, or in a tunnel. A message that lies in one record is a part of it;
 * one that goes on beyond is gathered. What is complete, or has to go before it is (`due`), goes out before anything
 * else is looked at, so that a lack of room can be waited out at any point.
 */
#include "filter/httpplus_i.h"

#include "packet/httpbody.h"

#define HEAD_MAX 65536u
#define ASKED_MAX 64u

enum state { IDLE, HEAD, BODY, TUNNEL };

/* What is to go out. */
enum due {
	NOTHING,
	MESSAGE, /* it ends here */
	PART,	 /* it goes on */
};

struct side {
	struct pfs_stream base;
	struct pfs_gather gather;
	struct httpbody body;
	uint8_t state; /* enum state */
	uint8_t due;   /* enum due */
	bool known;    /* there was a message */
	bool lost;     /* a start line is looked for in every line */
	bool line_ok;  /* of this message */
	bool tunnel;   /* behind this message one begins */
	bool paired;   /* the other direction is stream ^ 1 */
	bool ended;
	uint16_t class_;
	uint32_t start;	  /* without a gather: where the message begins in this record */
	uint32_t scanned; /* of the head */
	/* Requests of this side that are not answered yet, the first at bit 0. */
	uint8_t asked;
	uint64_t asked_head, asked_connect;
};

/* The record that is looked at. */
struct record {
	const struct pfs_ref *ref;
	const uint8_t *p;
	uint32_t n;
};

static struct side *side_of(struct pfs_stream *stream)
{
	return stream ? CONTAINER_OF(stream, struct side, base) : NULL;
}

static struct side *peer_of(struct http_bytes *h, const struct side *s)
{
	return s->paired ? side_of(pfs_streams_find(&h->sides, s->base.stream ^ 1)) : NULL;
}

/* --- requests and their answers ----------------------------------------------------------------- */

static void ask(struct side *s, const struct pkt_http_head *head)
{
	const char *method = head->method ? head->method : "";

	if (s->asked == ASKED_MAX) /* nobody pipelines so many: the answers were not captured */
		s->asked = 0;
	if (s->asked == 0)
		s->asked_head = s->asked_connect = 0;
	s->asked_head |= (uint64_t)(strcmp(method, "HEAD") == 0) << s->asked;
	s->asked_connect |= (uint64_t)(strcmp(method, "CONNECT") == 0) << s->asked;
	s->asked++;
}

/* What this response answers; an interim one leaves the request open. */
static enum httpbody_request answer(struct side *peer, const struct pkt_http_head *head)
{
	enum httpbody_request request;

	if (!peer || peer->asked == 0 || (head->status / 100 == 1 && head->status != 101))
		return HTTPBODY_OTHER;
	request = peer->asked_head & 1	    ? HTTPBODY_HEAD
		  : peer->asked_connect & 1 ? HTTPBODY_CONNECT
					    : HTTPBODY_OTHER;
	peer->asked--;
	peer->asked_head >>= 1;
	peer->asked_connect >>= 1;
	return request;
}

/* --- heads ----------------------------------------------------------------------------------------- */

/* Index behind the blank line, looked for from `from` on; 0: it is not there. */
static size_t head_end(const uint8_t *p, size_t n, size_t from)
{
	for (size_t at = from > 2 ? from - 2 : 0; at < n;) {
		const uint8_t *line = memchr(p + at, '\n', n - at);

		if (!line)
			return 0;
		at = (size_t)(line - p) + 1;
		if (at < n && p[at] == '\n')
			return at + 1;
		if (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')
			return at + 2;
	}
	return 0;
}

/* May more of it make it a start line? There is no end of a line in it. */
static bool may_start(const uint8_t *p, size_t n)
{
	static const char version[] = "HTTP/1.";
	size_t at = 0;

	if (memcmp(p, version, pfs_min(n, sizeof(version) - 1)) == 0)
		return n < 16;
	while (at < n && ((p[at] >= 'A' && p[at] <= 'Z') || p[at] == '-' || p[at] == '_'))
		at++;
	if (at == 0 || at > 24 || (at < n && p[at] != ' '))
		return false;
	while (at < n && p[at] >= 0x20 && p[at] != 0x7f)
		at++;
	return at == n || (at == n - 1 && p[at] == '\r');
}

static bool starts(const uint8_t *p, size_t n)
{
	struct pkt_http_head head;

	pkt_http(p, pfs_min(n, HEAD_MAX), &head);
	if (head.kind != PKT_HTTP_NONE)
		return true;
	return n < HEAD_MAX && may_start(p, n);
}

/* --- steps: each goes on from h->at -------------------------------------------------------------------- */

static void skip(struct http_bytes *h, struct side *s, const struct record *r)
{
	const uint8_t *line = s->lost ? memchr(r->p + h->at, '\n', r->n - h->at) : NULL;
	uint32_t to = line ? (uint32_t)(line - r->p) + 1 : r->n;

	pfs_counter_add(&h->skipped, to - h->at);
	h->at = to;
}

static void step_idle(struct http_bytes *h, struct side *s, const struct record *r)
{
	while (h->at < r->n && (r->p[h->at] == '\r' || r->p[h->at] == '\n'))
		h->at++;
	if (h->at == r->n)
		return;
	if (!starts(r->p + h->at, r->n - h->at)) {
		s->lost |= s->known;
		skip(h, s, r);
		return;
	}
	s->state = HEAD;
	s->start = h->at;
	s->scanned = 0;
	s->line_ok = false;
	s->class_ = 0;
}

/* What was taken for a message is none. */
static void give_up(struct http_bytes *h, struct side *s, size_t len)
{
	pfs_counter_add(&h->skipped, len);
	pfs_gather_drop(&s->gather, &h->budget);
	s->state = IDLE;
	s->lost = s->known;
}

/* It cannot be followed to its end. */
static void cut(struct http_bytes *h, struct side *s)
{
	pfs_counter_add(&h->incomplete, 1);
	s->due = MESSAGE;
	s->lost = true;
}

static void take_head(struct http_bytes *h, struct side *s, const struct pkt_http_head *head)
{
	enum httpbody_request request = HTTPBODY_OTHER;
	struct side *peer = peer_of(h, s);

	s->known = true;
	s->lost = false;
	s->class_ = http_class(head);
	s->state = BODY;
	pfs_counter_add(&h->messages, 1);
	if (head->kind == PKT_HTTP_RESPONSE)
		request = answer(peer, head);
	else
		ask(s, head);
	if (httpbody_begin(&s->body, head, request) < 0) {
		cut(h, s);
		return;
	}
	if (!httpbody_tunnel(head, request))
		return;
	s->tunnel = true;
	if (peer && peer->state == IDLE)
		peer->state = TUNNEL;
	else if (peer)
		peer->tunnel = true;
}

/* The head so far is the m bytes at p. True: nothing is left to do before more of it comes. */
static bool parse_head(struct http_bytes *h, struct side *s, const uint8_t *p, size_t m, size_t *ret_end)
{
	struct pkt_http_head head;
	size_t end = head_end(p, m, s->scanned);

	*ret_end = 0;
	s->scanned = (uint32_t)m;
	if (!end && s->line_ok && m < HEAD_MAX)
		return true;
	pkt_http(p, end ? end : m, &head);
	s->line_ok = head.kind != PKT_HTTP_NONE;
	if (!s->line_ok && (end || !may_start(p, m) || m >= HEAD_MAX)) {
		const uint8_t *line = memchr(p, '\n', m);

		*ret_end = line ? (size_t)(line - p) + 1 : m;
		give_up(h, s, *ret_end);
		return false;
	}
	if (end) {
		*ret_end = end;
		take_head(h, s, &head);
		return false;
	}
	if (m >= HEAD_MAX) {
		s->class_ = http_class(&head);
		*ret_end = m;
		cut(h, s);
		return false;
	}
	return true;
}

static void step_head(struct http_bytes *h, struct side *s, const struct record *r)
{
	uint32_t some = r->n - h->at;
	size_t end;

	if (!s->gather.active) {
		if (parse_head(h, s, r->p + s->start, r->n - s->start, &end))
			h->at = r->n;
		else
			h->at = s->start + (uint32_t)end;
		return;
	}
	some = (uint32_t)pfs_min(some, HEAD_MAX - s->gather.len);
	if (pfs_gather_add(&s->gather, &h->budget, r->p + h->at, some) < 0) {
		cut(h, s);
		return;
	}
	h->at += some;
	if (parse_head(h, s, pfs_gather_bytes(&s->gather), s->gather.len, &end))
		return;
	/* What is behind the head was taken too early. */
	if (s->state == IDLE) { /* given up: its gather is empty already */
		h->at -= (uint32_t)(s->scanned - end);
		return;
	}
	h->at -= (uint32_t)(s->gather.len - end);
	s->gather.len = end;
}

static void step_body(struct http_bytes *h, struct side *s, const struct record *r)
{
	uint32_t some = r->n - h->at;
	struct httpbody before = s->body;
	enum httpbody_end end;
	size_t taken;

	if (s->gather.active) {
		if (s->gather.len >= h->message) {
			s->due = PART;
			return;
		}
		some = (uint32_t)pfs_min(some, h->message - s->gather.len);
	}
	taken = httpbody_take(&s->body, r->p + h->at, some, &end);
	if (s->gather.active && pfs_gather_add(&s->gather, &h->budget, r->p + h->at, taken) < 0) {
		s->body = before;
		s->due = PART;
		return;
	}
	h->at += (uint32_t)taken;
	if (end == HTTPBODY_DONE)
		s->due = MESSAGE;
	else if (end == HTTPBODY_WRONG)
		cut(h, s);
}

/* --- out -------------------------------------------------------------------------------------------------- */

/* After what was due. */
static void go_on(struct http_bytes *h, struct side *s)
{
	bool whole = s->due == MESSAGE;

	s->due = NOTHING;
	s->start = h->at;
	if (!whole)
		return;
	s->state = s->tunnel ? TUNNEL : IDLE;
	s->tunnel = false;
}

/* r NULL: no record is looked at. False: no room now. */
static bool emit_due(struct http_bytes *h, struct side *s, const struct record *r,
		     struct pfs_emitter *out)
{
	if (s->gather.active) {
		if (s->gather.len == 0)
			pfs_gather_drop(&s->gather, &h->budget);
		else if (!pfs_gather_emit(&s->gather, &h->budget, s->class_, out))
			return false;
	} else if (r && h->at > s->start) {
		struct pfs_ref piece = *r->ref;

		if (out->room == 0)
			return false;
		pfs_ref_narrow(&piece, s->start, h->at - s->start);
		piece.class_ = s->class_;
		pfs_emit(out, &piece);
	}
	go_on(h, s);
	return true;
}

/* The record ends and its message does not: what is there of it is kept. */
static void keep(struct http_bytes *h, struct side *s, const struct record *r,
		 const struct pfs_emitter *out)
{
	struct pfs_ref rest = *r->ref;

	if ((s->state != HEAD && s->state != BODY) || s->gather.active || s->start >= r->n)
		return;
	pfs_ref_narrow(&rest, s->start, r->n - s->start);
	if (pfs_gather_begin(&s->gather, &h->budget, out, &rest) < 0 ||
	    pfs_gather_add(&s->gather, &h->budget, r->p + s->start, rest.len) < 0) {
		pfs_gather_drop(&s->gather, &h->budget);
		if (s->state == HEAD)
			cut(h, s);
		else
			s->due = PART;
	}
}

/* False: no room now. */
static bool take_bytes(struct http_bytes *h, struct side *s, const struct record *r,
		       struct pfs_emitter *out)
{
	for (;;) {
		if (s->due && !emit_due(h, s, r, out))
			return false;
		if (h->at >= r->n && !(s->state == BODY && s->body.mode == HTTPBODY_NONE)) {
			keep(h, s, r, out);
			if (!s->due)
				return true;
			continue;
		}
		switch ((enum state)s->state) {
		case IDLE:
			step_idle(h, s, r);
			break;
		case HEAD:
			step_head(h, s, r);
			break;
		case BODY:
			step_body(h, s, r);
			break;
		case TUNNEL:
			h->at = r->n;
			break;
		}
	}
}

/* Of a head that will not be complete, as far as its first line tells. */
static void name_class(struct side *s)
{
	struct pkt_http_head head;

	pkt_http(pfs_gather_bytes(&s->gather), s->gather.active ? s->gather.len : 0, &head);
	s->class_ = http_class(&head);
}

/* n bytes are missing. */
static void take_gap(struct http_bytes *h, struct side *s, uint64_t n)
{
	enum httpbody_end end;

	s->asked = 0; /* requests may be missing: which one an answer is for is not known */
	if (s->state == HEAD) {
		name_class(s);
		cut(h, s);
	} else if (s->state == BODY) {
		end = httpbody_skip(&s->body, n);
		pfs_counter_add(&h->incomplete, end != HTTPBODY_WRONG);
		if (end == HTTPBODY_DONE)
			s->due = MESSAGE;
		else if (end == HTTPBODY_WRONG)
			cut(h, s);
		else if (s->gather.active) /* what comes behind the gap has another offset */
			s->due = PART;
	}
	s->lost |= s->state == IDLE && s->known;
}

/* False: no room now. */
static bool take_record(struct http_bytes *h, const struct pfs_ref *ref, struct pfs_emitter *out)
{
	struct record r = { .ref = ref, .p = pfs_bytes(out, ref), .n = ref->len };
	bool again = h->begun && h->pos == ref->pos && h->ring == ref->ring;
	struct pfs_meta meta;
	struct side *s;

	pfs_meta(out, ref, &meta);
	s = side_of(pfs_streams_get(&h->sides, meta.stream));
	if (!s) {
		pfs_emit_lost(out, "no memory", 1);
		return true;
	}
	if (!again) {
		h->at = 0;
		s->start = 0;
		s->paired = ref->flags & PFS_REF_IN_STREAM;
		if (ref->flags & PFS_REF_GAP)
			take_gap(h, s, meta.wire_len);
	}
	h->begun = true;
	h->pos = ref->pos;
	h->ring = ref->ring;
	return take_bytes(h, s, &r, out);
}

size_t http_bytes_pull(struct http_bytes *h, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!take_record(h, &in[i], out))
			break;
		h->begun = false;
	}
	if (h->dropped)
		pfs_emit_lost(out, "evicted", h->dropped);
	h->dropped = 0;
	return i;
}

/* --- ends --------------------------------------------------------------------------------------------------- */

/* False: no room now. */
static bool end_side(struct http_bytes *h, struct side *s, struct pfs_emitter *out)
{
	if (!s->due && (s->state == HEAD || s->state == BODY)) {
		if (s->state == HEAD)
			name_class(s);
		if (s->state == BODY && s->body.mode == HTTPBODY_CLOSE)
			s->due = MESSAGE;
		else
			cut(h, s);
	}
	if (s->due && !emit_due(h, s, NULL, out))
		return false;
	s->state = TUNNEL; /* nothing more is looked at */
	return true;
}

bool http_bytes_control(struct http_bytes *h, const struct pfs_ref *ref,
			const struct pfs_meta *meta, struct pfs_emitter *out)
{
	struct side *s, *peer;

	if (ref->flags & PFS_REF_EOF) {
		while ((s = side_of(h->sides.oldest))) {
			if (!end_side(h, s, out))
				return false;
			pfs_streams_forget(&h->sides, &s->base);
		}
		return true;
	}
	s = side_of(pfs_streams_find(&h->sides, meta->stream));
	peer = side_of(pfs_streams_find(&h->sides, meta->stream ^ 1));
	if (s && !end_side(h, s, out))
		return false;
	if (peer && !(peer->paired && peer->ended))
		peer = NULL;
	if (peer)
		pfs_streams_forget(&h->sides, &peer->base);
	if (s && s->asked && !peer)
		s->ended = true; /* answers still to come need to know the questions */
	else if (s)
		pfs_streams_forget(&h->sides, &s->base);
	return true;
}

static void side_release(void *owner, struct pfs_stream *stream)
{
	struct http_bytes *h = owner;
	struct side *s = side_of(stream);

	h->dropped += s->gather.active;
	pfs_gather_drop(&s->gather, &h->budget);
	h->budget.used -= s->gather.cap;
	free(s->gather.data);
}

int http_bytes_init(struct http_bytes *h, size_t flows, size_t message, size_t memory)
{
	*h = (struct http_bytes){ .message = message, .budget = { .max = memory } };
	return pfs_streams_init(&h->sides, sizeof(struct side), flows, side_release, h);
}

void http_bytes_release(struct http_bytes *h)
{
	pfs_streams_release(&h->sides);
}

void http_bytes_stats(const struct http_bytes *h, struct pfs_buf *out)
{
	pfs_buf_printf(out, "messages %llu\n", (unsigned long long)pfs_counter_get(&h->messages));
	pfs_buf_printf(out, "flows %llu\n", (unsigned long long)pfs_counter_get(&h->sides.count));
	pfs_buf_printf(out, "evicted %llu\n", (unsigned long long)pfs_counter_get(&h->sides.evicted));
	pfs_buf_printf(out, "incomplete %llu\n", (unsigned long long)pfs_counter_get(&h->incomplete));
	pfs_buf_printf(out, "skipped %llu\n", (unsigned long long)pfs_counter_get(&h->skipped));
}

const struct pkt_describe http_describe = {
	.json = pkt_http_json,
	.text = pkt_http_text,
	.whole = true,
};
