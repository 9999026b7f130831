#include "packet/tcpstream.h"

#include "packet/tcpstream_i.h"

#define BUCKETS_MIN 16u
#define SECOND_CHANCES 8	      /* connections looked at before one that is in use goes */
#define REUSE_AWAY (INT32_C(1) << 20) /* numbers this far apart are of two connections */

/* --- keys and the table ---------------------------------------------------------------------- */

unsigned tcps_key(const uint8_t *src, const uint8_t *dst, bool six, uint16_t src_port,
		  uint16_t dst_port, struct tcps_key *ret_key)
{
	size_t len = six ? 16 : 4;
	int order = memcmp(src, dst, len);
	unsigned low = order > 0 || (order == 0 && src_port > dst_port);
	uint64_t low_port = low ? dst_port : src_port, high_port = low ? src_port : dst_port;

	*ret_key = (struct tcps_key){ 0 };
	memcpy(ret_key->addr[low], src, len);
	memcpy(ret_key->addr[!low], dst, len);
	ret_key->ports = low_port << 32 | high_port << 16 | (six ? 6 : 4);
	return low;
}

static struct tcps_conn_i **bucket_of(const struct tcps *t, const struct tcps_key *key)
{
	uint64_t words[5] = { key->addr[0][0], key->addr[0][1], key->addr[1][0], key->addr[1][1],
			      key->ports };

	return &t->bucket[pfs_hash_words(&t->seed, words, 5) & (t->nbuckets - 1)];
}

static struct tcps_conn_i *find(const struct tcps *t, const struct tcps_key *key)
{
	struct tcps_conn_i *conn = *bucket_of(t, key);

	while (conn && memcmp(&conn->key, key, sizeof(*key)) != 0)
		conn = conn->next_in_bucket;
	return conn;
}

/* Twice as many buckets, when there are as many connections. Without memory the chains grow. */
static void table_grow(struct tcps *t)
{
	struct tcps_conn_i **old = t->bucket, **bucket;
	size_t n = t->nbuckets;

	bucket = t->in_table >= n ? pfs_zalloc(2 * n, sizeof(struct tcps_conn_i *)) : NULL;
	if (!bucket)
		return;
	t->bucket = bucket;
	t->nbuckets = 2 * n;
	for (size_t i = 0; i < n; i++) {
		for (struct tcps_conn_i *c = old[i], *next; c; c = next) {
			next = c->next_in_bucket;
			c->next_in_bucket = *bucket_of(t, &c->key);
			*bucket_of(t, &c->key) = c;
		}
	}
	free(old);
}

/* --- lists ------------------------------------------------------------------------------------- */

static void list_remove(struct tcps *t, struct tcps_conn_i *c)
{
	struct tcps_list *list = &t->lists[c->list];

	*(c->prev ? &c->prev->next : &list->first) = c->next;
	*(c->next ? &c->next->prev : &list->last) = c->prev;
}

static void list_add(struct tcps *t, struct tcps_conn_i *c, uint8_t which, uint64_t time)
{
	struct tcps_list *list = &t->lists[which];

	c->list = which;
	c->queued = time;
	c->prev = list->last;
	c->next = NULL;
	*(list->last ? &list->last->next : &list->first) = c;
	list->last = c;
}

static void list_move(struct tcps *t, struct tcps_conn_i *c, uint8_t which, uint64_t time)
{
	list_remove(t, c);
	list_add(t, c, which, time);
}

static void pend(struct tcps *t, struct tcps_conn_i *c)
{
	if (c->pending)
		return;
	c->pending = true;
	c->next_pending = NULL;
	*(t->pending.last ? &t->pending.last->next_pending : &t->pending.first) = c;
	t->pending.last = c;
}

/* --- connections --------------------------------------------------------------------------------- */

static void conn_free(struct tcps *t, struct tcps_conn_i *c)
{
	tcps_half_release(t, &c->half[0]);
	tcps_half_release(t, &c->half[1]);
	t->counts.connections--;
	free(c);
}

static void close_halves(struct tcps *t, struct tcps_conn_i *c)
{
	for (int side = 0; side < 2; side++)
		c->half[side].closing = true;
	pend(t, c);
}

/* Out of the table; what is left to say of it is said. */
static void conn_end(struct tcps *t, struct tcps_conn_i *c)
{
	struct tcps_conn_i **at = bucket_of(t, &c->key);

	while (*at != c)
		at = &(*at)->next_in_bucket;
	*at = c->next_in_bucket;
	t->in_table--;
	list_remove(t, c);
	c->dying = true;
	close_halves(t, c);
}

/* One that lingers, else one half open, else one that was not used since it came to its place. */
static void make_room(struct tcps *t)
{
	static const uint8_t order[] = { TCPS_OVER, TCPS_EMBRYONIC, TCPS_OPEN };
	struct tcps_conn_i *c = NULL;

	if (t->in_table < t->options.connections)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(order) && !c; i++) {
		c = t->lists[order[i]].first;
		for (int n = 0;
		     c && order[i] == TCPS_OPEN && c->last > c->queued && n < SECOND_CHANCES; n++) {
			list_move(t, c, TCPS_OPEN, c->last);
			c = t->lists[TCPS_OPEN].first;
		}
	}
	if (!c)
		return;
	t->counts.evicted += c->list == TCPS_OPEN;
	conn_end(t, c);
}

/* from: who is side a. NULL: no memory. */
static struct tcps_conn_i *conn_new(struct tcps *t, const struct tcps_key *key, unsigned a)
{
	struct tcps_conn_i *c;

	make_room(t);
	table_grow(t);
	c = pfs_zalloc(1, sizeof(*c));
	if (!c) {
		t->counts.no_memory++;
		return NULL;
	}
	c->key = *key;
	c->a = (uint8_t)a;
	c->half[0].conn = c->half[1].conn = c;
	c->last = t->now;
	c->next_in_bucket = *bucket_of(t, key);
	*bucket_of(t, key) = c;
	t->in_table++;
	t->counts.connections++;
	t->counts.opened++;
	list_add(t, c, TCPS_EMBRYONIC, t->now);
	return c;
}

/* Both ends were given: it stays for a while, to know late packets by. */
static void conn_over(struct tcps *t, struct tcps_conn_i *c)
{
	if (!c->dying && c->list != TCPS_OVER)
		list_move(t, c, TCPS_OVER, t->now);
}

static void expire_list(struct tcps *t, uint8_t which, uint64_t patience)
{
	struct tcps_conn_i *c;

	while ((c = t->lists[which].first)) {
		if (c->queued > t->now) /* time ran back: it is not waited for longer than from now on */
			c->queued = t->now;
		if (c->last > t->now)
			c->last = t->now;
		if (t->now - c->queued <= patience)
			return;
		if (which == TCPS_OPEN && t->now - c->last <= patience)
			list_move(t, c, which, c->last);
		else
			conn_end(t, c);
	}
}

static void expire(struct tcps *t)
{
	struct tcps_half *half;

	expire_list(t, TCPS_OVER, TCPS_LINGER);
	expire_list(t, TCPS_EMBRYONIC, TCPS_HALF_OPEN);
	expire_list(t, TCPS_OPEN, t->options.idle);
	while ((half = tcps_hole_due(t)))
		pend(t, half->conn);
}

/* --- who begins ------------------------------------------------------------------------------------ */

static bool is_far(uint32_t a, uint32_t b)
{
	return tcps_ahead(a, b) > REUSE_AWAY || tcps_ahead(a, b) < -REUSE_AWAY;
}

static void half_syn(struct tcps_half *half, uint32_t isn)
{
	half->syn = true;
	half->isn = isn;
	tcps_half_start(half, isn + 1);
}

/* With a SYN alone, or one that answers a SYN that was not seen. */
static struct tcps_conn_i *begin(struct tcps *t, struct tcps_conn_i *old, const struct tcps_segment *s)
{
	bool answer = s->flags & TCPS_ACK;
	struct tcps_conn_i *c;

	if (old)
		conn_end(t, old);
	c = conn_new(t, &s->key, answer ? !s->from : s->from);
	if (!c)
		return NULL;
	half_syn(&c->half[answer], s->seq);
	if (answer)
		tcps_half_start(&c->half[0], s->ack);
	return c;
}

static struct tcps_conn_i *ignore(struct tcps *t)
{
	t->counts.ignored++;
	return NULL;
}

/* A SYN that another connection would begin with: only when the other end agrees is the old one over. */
static struct tcps_conn_i *input_syn_alone(struct tcps *t, struct tcps_conn_i *c, unsigned side,
					   const struct tcps_segment *s)
{
	struct tcps_half *half = &c->half[side], *other = &c->half[!side];

	if (!half->synced && other->syn) { /* both at once */
		half_syn(half, s->seq);
		return c;
	}
	if (!half->synced)
		return begin(t, c, s);
	c->candidate = true;
	c->candidate_side = (uint8_t)side;
	c->candidate_isn = s->seq;
	return ignore(t);
}

/* The old connection is over, the candidate is the new one, and this is the answer. */
static struct tcps_conn_i *begin_candidate(struct tcps *t, struct tcps_conn_i *c,
					   const struct tcps_segment *s)
{
	uint32_t isn = c->candidate_isn;

	c = begin(t, c, s);
	if (c && (s->flags & TCPS_SYN))
		half_syn(&c->half[0], isn);
	return c;
}

static struct tcps_conn_i *input_syn_answer(struct tcps *t, struct tcps_conn_i *c, unsigned side,
					    const struct tcps_segment *s)
{
	struct tcps_half *half = &c->half[side], *other = &c->half[!side];

	if (c->candidate && c->candidate_side != side && s->ack == c->candidate_isn + 1)
		return begin_candidate(t, c, s);
	if (!half->synced) {
		if (other->syn && tcps_ahead(s->ack, other->isn + 1) < 0)
			return ignore(t);
		half_syn(half, s->seq);
		return c;
	}
	return is_far(s->ack, other->next) ? begin(t, c, s) : ignore(t);
}

static struct tcps_conn_i *input_syn(struct tcps *t, struct tcps_conn_i *c,
				     const struct tcps_segment *s)
{
	unsigned side;

	if (!c)
		return begin(t, NULL, s);
	side = s->from != c->a;
	if (c->half[side].syn && c->half[side].isn == s->seq)
		return c; /* again */
	if (c->list == TCPS_OVER)
		return begin(t, c, s);
	return s->flags & TCPS_ACK ? input_syn_answer(t, c, side, s) : input_syn_alone(t, c, side, s);
}

/* Data of another connection with the same ports, whose beginning was not captured? */
static bool is_reused(const struct tcps_conn_i *c, unsigned side, const struct tcps_segment *s)
{
	const struct tcps_half *half = &c->half[side];

	if (s->full_len == 0 || !half->synced || !is_far(s->seq, half->next))
		return false;
	return c->list == TCPS_OVER ||
	       (c->candidate && c->candidate_side == side && s->seq == c->candidate_isn + 1);
}

/* Without SYN: a connection from its middle on, if there is data. */
static struct tcps_conn_i *input_other(struct tcps *t, struct tcps_conn_i *c,
				       const struct tcps_segment *s)
{
	if (!c) {
		if (s->full_len == 0 || (s->flags & TCPS_RST))
			return NULL;
		return conn_new(t, &s->key, s->from);
	}
	if (!is_reused(c, s->from != c->a, s))
		return c;
	conn_end(t, c);
	return conn_new(t, &s->key, s->from);
}

/* --- segments ------------------------------------------------------------------------------------------ */

/* RFC 5961: only at the number that is next, by what the receiver has said or by what was seen. */
static bool rst_counts(const struct tcps_half *half, const struct tcps_half *other,
		       const struct tcps_segment *s)
{
	if (!half->synced)
		return other->synced && (s->flags & TCPS_ACK) && !is_far(s->ack, other->next);
	if (s->seq == half->next || (half->has_acked && s->seq == half->acked))
		return true;
	return half->runs.root && s->seq == tcps_run_of(pfs_rb_last(&half->runs))->end;
}

static void input_rst(struct tcps *t, struct tcps_conn_i *c, unsigned side,
		      const struct tcps_segment *s)
{
	if (rst_counts(&c->half[side], &c->half[!side], s))
		close_halves(t, c);
	else
		t->counts.ignored++;
}

static void input_conn(struct tcps *t, struct tcps_conn_i *c, const struct tcps_segment *s,
		       struct tcps_event *ev)
{
	unsigned side = s->from != c->a;
	struct tcps_half *half = &c->half[side];
	size_t freed = 0;

	if (c->list == TCPS_OVER) {
		t->counts.late += s->full_len;
		return;
	}
	c->last = t->now;
	if (c->list == TCPS_EMBRYONIC && !(s->flags & TCPS_SYN))
		list_move(t, c, TCPS_OPEN, t->now);
	if ((s->flags & TCPS_ACK) && tcps_half_acked(t, &c->half[!side], s->ack, s->flags & TCPS_SYN))
		pend(t, c);
	if (s->flags & TCPS_RST) {
		input_rst(t, c, side, s);
		return;
	}
	if (tcps_half_input(t, half, s, ev))
		pend(t, c);
	for (int i = 0; i < 2; i++)
		if (tcps_half_count(t, &c->half[i]))
			pend(t, c);
	while (t->counts.held > t->options.memory && (half = tcps_hole_for_memory(t, &freed)))
		pend(t, half->conn);
}

void tcps_input(struct tcps *t, const struct tcps_segment *segment, struct tcps_event *ret_event)
{
	struct tcps_conn_i *c;

	*ret_event = (struct tcps_event){ .kind = TCPS_NONE };
	t->now = segment->time;
	expire(t);
	c = find(t, &segment->key);
	c = segment->flags & TCPS_SYN ? input_syn(t, c, segment) : input_other(t, c, segment);
	if (c)
		input_conn(t, c, segment, ret_event);
}

/* --- events --------------------------------------------------------------------------------------------- */

/* Ends of connections that nobody heard of are not told. */
static bool peek_half(struct tcps *t, struct tcps_half *half, struct tcps_event *ev)
{
	while (tcps_half_peek(t, half, ev)) {
		if (ev->kind != TCPS_END || half->conn->pub.stream != 0)
			return true;
		tcps_half_pop(t, half, ev);
	}
	return false;
}

bool tcps_peek(struct tcps *t, struct tcps_event *ret_event)
{
	struct tcps_conn_i *c;

	while ((c = t->pending.first)) {
		if (peek_half(t, &c->half[0], ret_event) || peek_half(t, &c->half[1], ret_event))
			return true;
		t->pending.first = c->next_pending;
		if (!t->pending.first)
			t->pending.last = NULL;
		c->pending = false;
		if (c->dying)
			conn_free(t, c);
		else if (c->half[0].ended && c->half[1].ended)
			conn_over(t, c);
	}
	return false;
}

void tcps_pop(struct tcps *t)
{
	struct tcps_event event;

	if (tcps_peek(t, &event)) {
		struct tcps_conn_i *c = CONTAINER_OF(event.conn, struct tcps_conn_i, pub);

		tcps_half_pop(t, &c->half[event.side], &event);
	}
}

void tcps_flush(struct tcps *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(t->lists); i++)
		while (t->lists[i].first)
			conn_end(t, t->lists[i].first);
}

int tcps_init(struct tcps *t, const struct tcps_options *options)
{
	*t = (struct tcps){ .options = *options, .nbuckets = BUCKETS_MIN };
	t->bucket = pfs_zalloc(t->nbuckets, sizeof(struct tcps_conn_i *));
	if (!t->bucket)
		return -ENOMEM;
	pfs_seed_init(&t->seed);
	return 0;
}

void tcps_release(struct tcps *t)
{
	struct tcps_conn_i *c;

	if (!t->bucket)
		return;
	tcps_flush(t);
	while ((c = t->pending.first)) {
		t->pending.first = c->next_pending;
		conn_free(t, c);
	}
	free(t->bucket);
	t->bucket = NULL;
}
