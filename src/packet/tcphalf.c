/*
 * tcphalf - one direction of a connection
 *
 * What is held are runs in a tree, by sequence number. As in tcp_data_queue_ofo(): what comes next to an earlier one
 * joins it and is one with it when the two are compared with a third. Which earlier one, where several overlap, depends
 * on the way down the tree: so it is the same tree. (tcp_ooo_try_coalesce() does not always succeed there: that depends
 * on how the driver gave the memory.)
 */
#include "packet/tcpstream_i.h"

#define STRANGE_MAX 16	 /* then they are right, and we are elsewhere */
#define SYN_DATA_SHARE 4 /* data of SYNs may take this part of all memory */

/* --- the queue ------------------------------------------------------------------------------- */

static struct tcps_run *front(const struct tcps_half *h)
{
	return tcps_run_of(pfs_rb_first(&h->runs));
}

static size_t cost(const struct tcps_hold *hold)
{
	return sizeof(*hold) + sizeof(struct tcps_run) + hold->head_len + hold->len;
}

/* Frees the first of the run. */
static void hold_drop(struct tcps *t, struct tcps_half *h, struct tcps_run *run)
{
	struct tcps_hold *hold = run->first;

	run->first = hold->next;
	h->held -= cost(hold);
	t->counts.held -= cost(hold);
	free(hold);
}

/* It is out of the tree. Its bytes are counted in *count. */
static void run_free(struct tcps *t, struct tcps_half *h, struct tcps_run *run, uint64_t *count)
{
	while (run->first) {
		*count += run->first->len;
		hold_drop(t, h, run);
	}
	free(run);
}

static void purge(struct tcps *t, struct tcps_half *h, uint64_t *count)
{
	struct tcps_run *run;

	while ((run = front(h))) {
		pfs_rb_erase(&h->runs, &run->node);
		run_free(t, h, run, count);
	}
}

static struct tcps_hold *hold_new(const struct tcps_segment *s, uint32_t seq, uint32_t len, bool fin)
{
	uint32_t head_len = s->head_len <= TCPS_HEAD_MAX ? s->head_len : 0;
	struct tcps_hold *hold = malloc(sizeof(*hold) + head_len + len);

	if (!hold)
		return NULL;
	*hold = (struct tcps_hold){ .seq = seq,
				    .end = seq + len + fin,
				    .len = len,
				    .cut = len ? s->full_len - len : 0,
				    .tag = s->tag,
				    .head_len = head_len,
				    .fin = fin,
				    .time = s->time };
	if (head_len)
		memcpy(hold->bytes, s->head, head_len);
	if (len)
		memcpy(hold->bytes + head_len, s->data, len);
	return hold;
}

/* The run of this segment alone. NULL: no memory. */
static struct tcps_run *run_new(struct tcps *t, struct tcps_half *h, const struct tcps_segment *s,
				uint32_t seq, uint32_t len, bool fin)
{
	struct tcps_run *run = malloc(sizeof(*run));
	struct tcps_hold *hold = run ? hold_new(s, seq, len, fin) : NULL;

	if (!hold) {
		free(run);
		t->counts.no_memory++;
		return NULL;
	}
	h->held += cost(hold);
	t->counts.held += cost(hold);
	*run = (struct tcps_run){ .seq = seq, .end = hold->end, .first = hold, .last = hold };
	return run;
}

static void join(struct tcps_run *run, struct tcps_run *more)
{
	run->end = more->end;
	run->last->next = more->first;
	run->last = more->last;
	free(more);
}

/* What it covers behind it goes. */
static void merge_right(struct tcps *t, struct tcps_half *h, struct tcps_run *run)
{
	struct tcps_run *next;

	while ((next = tcps_run_of(pfs_rb_next(&run->node))) &&
	       tcps_ahead(run->end, next->seq) > 0 && tcps_ahead(run->end, next->end) >= 0) {
		pfs_rb_erase(&h->runs, &next->node);
		run_free(t, h, next, &t->counts.old);
	}
}

/* As tcp_data_queue_ofo(). Takes the run. */
static void run_put(struct tcps *t, struct tcps_half *h, struct tcps_run *new)
{
	struct tcps_run *last = tcps_run_of(pfs_rb_last(&h->runs)), *run;
	struct pfs_rb **at = &h->runs.root, *parent = NULL;

	if (last && last->end == new->seq) {
		join(last, new);
		return;
	}
	while ((run = tcps_run_of(*at))) {
		parent = *at;
		if (tcps_ahead(new->seq, run->seq) < 0) {
			at = &parent->left;
			continue;
		}
		if (tcps_ahead(new->end, run->end) <= 0) { /* all of it is there */
			run_free(t, h, new, &t->counts.old);
			return;
		}
		if (new->seq == run->seq) { /* it covers that */
			pfs_rb_replace(&h->runs, &run->node, &new->node);
			run_free(t, h, run, &t->counts.old);
			merge_right(t, h, new);
			return;
		}
		if (new->seq == run->end) {
			join(run, new);
			return;
		}
		at = &parent->right;
	}
	pfs_rb_insert(&h->runs, &new->node, parent, at);
	merge_right(t, h, new);
}

static void hold_put(struct tcps *t, struct tcps_half *h, const struct tcps_segment *s,
		     uint32_t seq, uint32_t len, bool fin)
{
	struct tcps_run *run = run_new(t, h, s, seq, len, fin);

	if (run)
		run_put(t, h, run);
}

/* --- holes ------------------------------------------------------------------------------------- */

static void hole_unlink(struct tcps *t, struct tcps_half *h)
{
	struct tcps_holes *list;

	if (!h->hole_list)
		return;
	list = &t->holes[h->hole_list - 1];
	*(h->hole_prev ? &h->hole_prev->hole_next : &list->first) = h->hole_next;
	*(h->hole_next ? &h->hole_next->hole_prev : &list->last) = h->hole_prev;
	h->hole_list = 0;
}

static void hole_link(struct tcps *t, struct tcps_half *h, uint8_t which)
{
	struct tcps_holes *list = &t->holes[which - 1];

	h->hole_prev = list->last;
	h->hole_next = NULL;
	*(list->last ? &list->last->hole_next : &list->first) = h;
	list->last = h;
	h->hole_list = which;
	h->hole_time = t->now;
	h->hole_at = h->next;
	h->hole_packets = 0;
}

/* Is it in front of a hole that is to be waited for, and has the other side seen what was in that? */
static uint8_t hole_kind(const struct tcps_half *h)
{
	if (!h->runs.root || h->closing || h->blocked || h->finished || h->ended ||
	    tcps_ahead(front(h)->seq, h->next) <= 0)
		return 0;
	return h->has_acked && tcps_ahead(h->acked, h->next) > 0 ? 2 : 1;
}

static void hole_update(struct tcps *t, struct tcps_half *h)
{
	uint8_t kind = hole_kind(h);

	if (kind == h->hole_list && (!kind || h->hole_at == h->next))
		return;
	hole_unlink(t, h);
	if (kind)
		hole_link(t, h, kind);
}

static void give_up_to(struct tcps_half *h, uint32_t seq)
{
	if (tcps_ahead(seq, h->give_to) > 0)
		h->give_to = seq;
}

static uint32_t last_end(const struct tcps_half *h)
{
	return tcps_run_of(pfs_rb_last(&h->runs))->end;
}

/* What was acknowledged, and what is there proves it, was not captured. Without that: the first hole. */
static void hole_give_up(struct tcps *t, struct tcps_half *h)
{
	uint32_t last = last_end(h);

	if (h->hole_list == 2)
		give_up_to(h, tcps_ahead(h->acked, last) < 0 ? h->acked : last);
	else
		give_up_to(h, front(h)->seq);
	hole_unlink(t, h);
}

bool tcps_half_count(struct tcps *t, struct tcps_half *half)
{
	if (half->hole_list != 2 || ++half->hole_packets <= TCPS_REORDER_PACKETS)
		return false;
	hole_give_up(t, half);
	return true;
}

struct tcps_half *tcps_hole_due(struct tcps *t)
{
	for (int i = 0; i < 2; i++) {
		uint64_t patience = i ? TCPS_REORDER_TIME : t->options.gap;
		struct tcps_half *h = t->holes[i].first;

		if (!h)
			continue;
		if (h->hole_time > t->now) /* time ran back */
			h->hole_time = t->now;
		if (t->now - h->hole_time <= patience)
			continue;
		hole_give_up(t, h);
		return h;
	}
	return NULL;
}

struct tcps_half *tcps_hole_for_memory(struct tcps *t, size_t *freed)
{
	struct tcps_half *a = t->holes[0].first, *b = t->holes[1].first;
	struct tcps_half *h = !a ? b : !b || a->hole_time < b->hole_time ? a : b;

	if (!h || t->counts.held <= t->options.memory + *freed)
		return NULL;
	*freed += h->held;
	give_up_to(h, last_end(h));
	hole_unlink(t, h);
	return h;
}

/* More than one direction may hold: from the front, as much as it takes. */
static void limit_half(const struct tcps *t, struct tcps_half *h)
{
	size_t freed = 0;

	for (const struct tcps_run *run = front(h); run && h->held - freed > t->options.half;
	     run = tcps_run_of(pfs_rb_next(&run->node))) {
		give_up_to(h, run->seq);
		for (const struct tcps_hold *hold = run->first; hold; hold = hold->next)
			freed += cost(hold);
	}
}

/* --- input ---------------------------------------------------------------------------------------- */

void tcps_half_start(struct tcps_half *half, uint32_t next)
{
	half->synced = true;
	half->next = half->give_to = next;
	half->has_acked = false;
}

void tcps_half_release(struct tcps *t, struct tcps_half *half)
{
	uint64_t count = 0;

	hole_unlink(t, half);
	purge(t, half, &count);
	free(half->head);
	half->head = NULL;
}

static void advance(struct tcps_half *h, uint32_t to)
{
	h->offset += to - h->next;
	h->next = to;
	if (tcps_ahead(h->give_to, to) < 0)
		h->give_to = to;
	if (tcps_ahead(h->acked, to) < -TCPS_FAR) /* not to be ahead again some day */
		h->acked = to - (uint32_t)TCPS_FAR;
}

/* The headers that later gaps are shown with. */
static void keep_head(struct tcps_half *h, const struct tcps_segment *s)
{
	uint32_t len = s->head_len <= TCPS_HEAD_MAX ? s->head_len : 0;

	if (h->head)
		return;
	h->head = malloc(sizeof(*h->head) + len);
	if (!h->head)
		return;
	h->head->tag = s->tag;
	h->head->len = len;
	if (len)
		memcpy(h->head->bytes, s->head, len);
}

/* The segment's data begins at next or before it, and something of it is new. */
static void take_here(struct tcps *t, struct tcps_half *h, const struct tcps_segment *s,
		      uint32_t seq, struct tcps_event *ev)
{
	uint32_t skip = h->next - seq;

	if (skip >= s->len)
		return;
	t->counts.old += skip;
	*ev = (struct tcps_event){
		.kind = TCPS_HERE,
		.conn = &h->conn->pub,
		.side = h == &h->conn->half[1],
		.offset = h->offset,
		.from = skip,
		.len = s->len - skip,
	};
	advance(h, seq + s->len);
}

/* Is the segment where a window could be? When many in a row are not, it is us who are elsewhere. */
static bool is_near(struct tcps_half *h, uint32_t seq, uint32_t end)
{
	if (tcps_ahead(seq, h->next) < TCPS_FAR && tcps_ahead(end, h->next) > -(TCPS_FAR / 4)) {
		h->strange = 0;
		return true;
	}
	if (++h->strange < STRANGE_MAX)
		return false;
	h->strange = 0;
	return true;
}

/* More than 2^30 bytes are missing: nothing that is held has a place any more. */
static void jump(struct tcps *t, struct tcps_half *h, uint32_t seq)
{
	if (tcps_ahead(seq, h->next) < TCPS_FAR && tcps_ahead(seq, h->next) > -(TCPS_FAR / 4))
		return;
	purge(t, h, &t->counts.old);
	h->jumped = seq - h->next;
	h->next = h->give_to = seq;
	h->has_acked = false;
}

static bool here_or_held(struct tcps *t, struct tcps_half *h, const struct tcps_segment *s,
			 uint32_t seq, struct tcps_event *ev)
{
	bool fin = s->flags & TCPS_FIN, cut = s->len < s->full_len;

	if (tcps_ahead(seq, h->next) <= 0 && !s->hold && !h->jumped) {
		h->blocked = false; /* what came with the SYN comes again, or goes on */
		take_here(t, h, s, seq, ev);
		h->finished = fin && !cut;
		give_up_to(h, seq + s->full_len);
	} else {
		if (h->blocked && !(s->flags & TCPS_SYN))
			h->blocked = false; /* it goes on behind it: it was taken */
		hold_put(t, h, s, seq, s->len, fin && !cut);
	}
	if (cut && fin)
		hold_put(t, h, s, seq + s->full_len, 0, true);
	limit_half(t, h);
	hole_update(t, h);
	return h->finished || h->runs.root || h->give_to != h->next;
}

bool tcps_half_input(struct tcps *t, struct tcps_half *half, const struct tcps_segment *s,
		     struct tcps_event *ret_event)
{
	uint32_t seq = s->seq + !!(s->flags & TCPS_SYN), end = seq + s->full_len;
	bool fin = s->flags & TCPS_FIN;

	if (s->full_len == 0 && !fin)
		return false;
	if (!half->synced)
		tcps_half_start(half, seq);
	keep_head(half, s);
	if (half->finished || half->ended) {
		t->counts.late += s->full_len;
		return false;
	}
	if (!is_near(half, seq, end)) {
		t->counts.ignored++;
		return false;
	}
	jump(t, half, seq);
	if (tcps_ahead(end + fin, half->next) <= 0) {
		t->counts.old += s->full_len;
		return false;
	}
	if (!(s->flags & TCPS_SYN))
		return here_or_held(t, half, s, seq, ret_event);
	/* With the SYN: data only if the other side takes it. */
	if (t->counts.held > t->options.memory / SYN_DATA_SHARE) {
		t->counts.no_memory++;
		return false;
	}
	half->blocked = true;
	hold_put(t, half, s, seq, s->len, false);
	return false;
}

bool tcps_half_acked(struct tcps *t, struct tcps_half *half, uint32_t ack, bool with_syn)
{
	if (!half->synced || tcps_ahead(ack, half->next) >= TCPS_FAR)
		return false;
	if (!half->has_acked || tcps_ahead(ack, half->acked) > 0)
		half->acked = ack;
	half->has_acked = true;
	if (half->blocked && tcps_ahead(half->acked, half->next) > 0) {
		half->blocked = false;
		return true;
	}
	if (half->blocked && with_syn) { /* not taken: it will come again, perhaps other */
		purge(t, half, &t->counts.old);
		half->blocked = false;
	}
	hole_update(t, half);
	return false;
}

/* --- events --------------------------------------------------------------------------------------------- */

/* What lies before next; the front then has something new in its first segment. */
static void drop_old(struct tcps *t, struct tcps_half *h)
{
	struct tcps_run *run;

	while ((run = front(h))) {
		while (run->first && tcps_ahead(run->first->end, h->next) <= 0) {
			give_up_to(h, run->first->end + run->first->cut);
			hold_drop(t, h, run);
		}
		if (run->first)
			return;
		pfs_rb_erase(&h->runs, &run->node);
		free(run);
	}
}

static void event_at(const struct tcps *t, const struct tcps_half *h, enum tcps_kind kind,
		     uint32_t len, struct tcps_event *ev)
{
	*ev = (struct tcps_event){
		.kind = kind,
		.conn = &h->conn->pub,
		.side = h == &h->conn->half[1],
		.offset = h->offset,
		.len = len,
		.time = t->now,
	};
	if (kind == TCPS_GAP && h->head) {
		ev->head = h->head->bytes;
		ev->head_len = h->head->len;
		ev->tag = h->head->tag;
	}
}

static bool peek_held(const struct tcps *t, const struct tcps_half *h, const struct tcps_hold *hold,
		      struct tcps_event *ev)
{
	uint32_t skip = h->next - hold->seq;

	if (skip >= hold->len) { /* nothing but the FIN is new */
		event_at(t, h, TCPS_END, 0, ev);
		return true;
	}
	event_at(t, h, TCPS_HELD, hold->len - skip, ev);
	ev->data = hold->bytes + hold->head_len + skip;
	ev->head = hold->bytes;
	ev->head_len = hold->head_len;
	ev->time = hold->time;
	ev->tag = hold->tag;
	return true;
}

/* How far there is nothing and nothing is waited for. */
static uint32_t gap_of(const struct tcps_half *h, const struct tcps_run *run)
{
	uint32_t to = h->give_to;

	if (h->closing && h->has_acked && tcps_ahead(h->acked, to) > 1) /* one: most likely an unseen FIN */
		to = h->acked;
	if (run && (h->closing || tcps_ahead(to, run->first->seq) > 0))
		to = run->first->seq;
	return to - h->next;
}

bool tcps_half_peek(struct tcps *t, struct tcps_half *half, struct tcps_event *ret_event)
{
	const struct tcps_run *run;
	uint32_t gap;

	if (half->ended || (half->blocked && !half->closing))
		return false;
	if (half->finished || (half->closing && !half->synced)) {
		event_at(t, half, TCPS_END, 0, ret_event);
		return true;
	}
	if (!half->synced)
		return false;
	if (half->jumped) {
		event_at(t, half, TCPS_GAP, half->jumped, ret_event);
		return true;
	}
	drop_old(t, half);
	run = front(half);
	if (run && tcps_ahead(run->first->seq, half->next) <= 0)
		return peek_held(t, half, run->first, ret_event);
	gap = gap_of(half, run);
	if (gap > 0) {
		event_at(t, half, TCPS_GAP, gap, ret_event);
		return true;
	}
	if (!half->closing)
		return false;
	event_at(t, half, TCPS_END, 0, ret_event);
	return true;
}

void tcps_half_pop(struct tcps *t, struct tcps_half *half, const struct tcps_event *event)
{
	switch (event->kind) {
	case TCPS_GAP:
		t->counts.gaps++;
		t->counts.missing += event->len;
		if (half->jumped)
			half->offset += half->jumped;
		else
			advance(half, half->next + event->len);
		half->jumped = 0;
		break;
	case TCPS_HELD:
		advance(half, half->next + event->len);
		break;
	case TCPS_END:
		purge(t, half, &t->counts.late);
		half->ended = true;
		break;
	case TCPS_HERE:
	case TCPS_NONE:
		break;
	}
	hole_update(t, half);
}
