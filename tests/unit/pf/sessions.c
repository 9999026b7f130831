/*
 * sessions - MPF's dispatcher: against a plain one that keeps lists, and case by case
 */
#include "help.h"

#include "mpf_plain.h"

/* --- what happens ---------------------------------------------------------------------------- */

struct event {
	uint64_t packet, session; /* session UINT64_MAX: dropped */
	uint64_t accept;	  /* or why */
};

struct events {
	struct event *of; /* owned */
	size_t n, cap;
};

static void note(struct events *e, uint64_t packet, uint64_t session, uint32_t accept)
{
	if (e->n == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 64;
		e->of = reallocarray(e->of, e->cap, sizeof(*e->of));
		assert_non_null(e->of);
	}
	e->of[e->n++] = (struct event){ packet, session, accept };
}

static void on_deliver(void *arg, uint64_t session, uint64_t packet, uint32_t accept)
{
	note(arg, packet, session, accept);
}

static void on_drop(void *arg, uint64_t packet, enum pf_drop why)
{
	note(arg, packet, UINT64_MAX, why);
}

static struct pf_sessions_options options_for(struct events *e)
{
	struct pf_sessions_options options = PF_SESSIONS_OPTIONS_INIT;

	options.deliver = on_deliver;
	options.drop = on_drop;
	options.arg = e;
	return options;
}

/* --- a plain dispatcher ---------------------------------------------------------------------- */

#define PLAIN_MAX 16

struct plain_session {
	uint32_t keys[16];
	uint64_t id, serial;
};

struct plain_datagram {
	uint32_t words[16];
	unsigned n;
	uint64_t serial, until; /* serial 0: not registered */
};

struct plain_waiting {
	uint32_t words[16];
	unsigned n;
	uint64_t packet, until;
	uint32_t accept;
};

struct plain {
	const struct mpf_program *prog;
	unsigned keys;
	size_t max_datagrams, max_waiting;
	struct plain_session session[PLAIN_MAX];
	struct plain_datagram datagram[PLAIN_MAX + 1]; /* by age */
	struct plain_waiting waiting[PLAIN_MAX + 1];   /* by age */
	size_t nsession, ndatagram, nwaiting;
	uint64_t serial;
	struct events events;
};

static struct plain_session *plain_find(struct plain *p, const uint32_t *keys)
{
	for (size_t i = 0; i < p->nsession; i++)
		if (!memcmp(p->session[i].keys, keys, p->keys * sizeof(*keys)))
			return &p->session[i];
	return NULL;
}

static bool plain_has(void *arg, const uint32_t *keys, unsigned n)
{
	(void)n;
	return plain_find(arg, keys);
}

static bool same_words(const uint32_t *a, unsigned na, const uint32_t *b, unsigned nb)
{
	return na == nb && !memcmp(a, b, na * sizeof(*a));
}

static size_t plain_datagram(const struct plain *p, const uint32_t *words, unsigned n)
{
	size_t i = 0;

	while (i < p->ndatagram && !same_words(p->datagram[i].words, p->datagram[i].n, words, n))
		i++;
	return i;
}

static void cut(void *array, size_t *n, size_t size, size_t at)
{
	memmove((char *)array + at * size, (char *)array + (at + 1) * size, (*n - at - 1) * size);
	--*n;
}

/* A datagram that nobody has registered and nobody waits for is none. */
static void plain_tidy(struct plain *p)
{
	for (size_t i = 0; i < p->ndatagram;) {
		const struct plain_datagram *d = &p->datagram[i];
		bool wanted = d->serial;

		for (size_t w = 0; w < p->nwaiting; w++)
			wanted = wanted ||
				 same_words(p->waiting[w].words, p->waiting[w].n, d->words, d->n);
		if (wanted)
			i++;
		else
			cut(p->datagram, &p->ndatagram, sizeof(p->datagram[0]), i);
	}
}

static void plain_drop(struct plain *p, size_t at, enum pf_drop why)
{
	note(&p->events, p->waiting[at].packet, UINT64_MAX, why);
	cut(p->waiting, &p->nwaiting, sizeof(p->waiting[0]), at);
}

/* The place of the datagram, the oldest gone if need be. */
static size_t plain_make_room(struct plain *p, const uint32_t *words, unsigned n)
{
	size_t at = plain_datagram(p, words, n);

	if (at < p->ndatagram)
		return at;
	if (p->ndatagram == p->max_datagrams) {
		struct plain_datagram oldest = p->datagram[0];

		for (size_t w = 0; w < p->nwaiting;) {
			if (same_words(p->waiting[w].words, p->waiting[w].n, oldest.words, oldest.n))
				plain_drop(p, w, PF_DROP_FULL);
			else
				w++;
		}
		cut(p->datagram, &p->ndatagram, sizeof(p->datagram[0]), 0);
	}
	p->datagram[p->ndatagram] = (struct plain_datagram){ .n = n };
	memcpy(p->datagram[p->ndatagram].words, words, n * sizeof(*words));
	return p->ndatagram++;
}

static void plain_register(struct plain *p, const struct mpf_end *end,
			   const struct plain_session *session, uint64_t time)
{
	size_t at = plain_make_room(p, end->registers, end->nregister);
	struct plain_datagram d = p->datagram[at];

	d.serial = session->serial;
	d.until = time + end->register_ms * UINT64_C(1000000);
	cut(p->datagram, &p->ndatagram, sizeof(p->datagram[0]), at);
	p->datagram[p->ndatagram++] = d;
	for (size_t w = 0; w < p->nwaiting;) {
		const struct plain_waiting *waiting = &p->waiting[w];

		if (!same_words(waiting->words, waiting->n, d.words, d.n)) {
			w++;
		} else if (time > waiting->until) {
			plain_drop(p, w, PF_DROP_TIMEOUT);
		} else {
			note(&p->events, waiting->packet, session->id, waiting->accept);
			cut(p->waiting, &p->nwaiting, sizeof(p->waiting[0]), w);
		}
	}
}

static enum pf_session_verdict plain_by_data(struct plain *p, const struct mpf_end *end,
					     uint64_t time, uint64_t packet)
{
	size_t at = plain_datagram(p, end->words, end->nwords);

	if (at < p->ndatagram && p->datagram[at].serial) {
		for (size_t i = 0; i < p->nsession; i++)
			if (p->session[i].serial == p->datagram[at].serial &&
			    time <= p->datagram[at].until) {
				note(&p->events, packet, p->session[i].id, end->accept);
				return PF_SESSION_DELIVERS;
			}
		p->datagram[at].serial = 0;
		plain_tidy(p);
	}
	if (!end->wait_ms)
		return PF_SESSION_REJECTS;
	if (p->nwaiting == p->max_waiting) {
		plain_drop(p, 0, PF_DROP_FULL);
		plain_tidy(p);
	}
	plain_make_room(p, end->words, end->nwords);
	p->waiting[p->nwaiting] = (struct plain_waiting){
		.n = end->nwords,
		.packet = packet,
		.until = time + end->wait_ms * UINT64_C(1000000),
		.accept = end->accept,
	};
	memcpy(p->waiting[p->nwaiting++].words, end->words, sizeof(end->words));
	return PF_SESSION_WAITS;
}

/* Whose time is up, the soonest first; of those at the same time who came first. */
static void plain_expire(struct plain *p, uint64_t time)
{
	for (;;) {
		size_t first = 0;

		for (size_t w = 1; w < p->nwaiting; w++)
			if (p->waiting[w].until < p->waiting[first].until)
				first = w;
		if (!p->nwaiting || time <= p->waiting[first].until)
			return;
		plain_drop(p, first, PF_DROP_TIMEOUT);
		plain_tidy(p);
	}
}

static enum pf_session_verdict plain_run(struct plain *p, const struct pf_packet *packet,
					 uint64_t time, uint64_t number)
{
	const struct plain_session *session;
	struct mpf_end end;

	plain_expire(p, time);
	end = mpf_run(p->prog, packet, plain_has, p);
	if (!end.accept)
		return PF_SESSION_REJECTS;
	if (end.by_data)
		return plain_by_data(p, &end, time, number);
	session = plain_find(p, end.keys);
	note(&p->events, number, session->id, end.accept);
	if (end.register_ms)
		plain_register(p, &end, session, time);
	return PF_SESSION_DELIVERS;
}

/* --- both, at random ------------------------------------------------------------------------- */

static void same_events(const struct events *a, const struct events *b)
{
	assert_int_equal(a->n, b->n);
	if (a->n)
		assert_memory_equal(a->of, b->of, a->n * sizeof(*a->of));
}

/* Sessions come and go. */
static void change_sessions(struct dice *dice, struct plain *plain, struct pf_sessions *s,
			    const uint32_t *keys)
{
	size_t at = plain->nsession ? roll(dice, (uint32_t)plain->nsession) : 0;
	uint64_t id = roll(dice, 1000);
	bool there = plain_find(plain, keys);
	int r;

	if (plain->nsession && !roll(dice, 4)) {
		struct plain_session gone = plain->session[at];

		assert_int_equal(pf_sessions_remove(s, gone.keys, plain->keys), 0);
		assert_int_equal(pf_sessions_remove(s, gone.keys, plain->keys), -ENOENT);
		cut(plain->session, &plain->nsession, sizeof(gone), at);
		return;
	}
	r = pf_sessions_add(s, keys, plain->keys, id, NULL);
	assert_int_equal(r, there ? -EEXIST : plain->nsession == PLAIN_MAX ? -ENOSPC : 0);
	if (r < 0)
		return;
	plain->session[plain->nsession] =
		(struct plain_session){ .id = id, .serial = ++plain->serial };
	memcpy(plain->session[plain->nsession++].keys, keys, plain->keys * sizeof(*keys));
}

static unsigned kinds[4]; /* delivered at once, later, dropped for two reasons */

static void count_events(const struct events *e)
{
	for (size_t i = 0; i < e->n; i++)
		kinds[e->of[i].session == UINT64_MAX ? 2 + e->of[i].accept % 2
						     : i && e->of[i].packet < e->of[i - 1].packet]++;
}

static void run_random(struct dice *dice, const struct packets *packets, enum pf_engine engine)
{
	const struct bytes *some[6];
	struct pf_options compile = PF_OPTIONS_INIT;
	struct events events = { 0 };
	struct pf_sessions_options options = options_for(&events);
	struct pf_sessions_counters c = { .size = sizeof(c) };
	struct mpf_program prog;
	struct plain plain = { .prog = &prog };
	struct pf_sessions *s;
	struct pf_error error = { "" };
	uint64_t time = UINT64_C(1000000000000);

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		some[i] = &packets->of[roll(dice, (uint32_t)packets->n)];
	mpf_random(dice, some[0], &prog);
	compile.engine = engine;
	options.sessions = PLAIN_MAX;
	options.datagrams = 1 + roll(dice, 5);
	options.waiting = 1 + roll(dice, 6);
	plain.max_datagrams = options.datagrams;
	plain.max_waiting = options.waiting;
	if (pf_sessions_new((const char *)prog.insn, prog.n * sizeof(prog.insn[0]), &compile,
			    &options, &s, &error) < 0)
		fail_msg("%s", error.text);
	plain.keys = pf_sessions_keys(s);
	for (uint64_t number = 0; number < 120; number++) {
		const struct bytes *b = some[roll(dice, ARRAY_SIZE(some))];
		uint32_t caplen = roll(dice, 6) ? b->n : roll(dice, b->n), keys[16] = { 0 };
		struct pf_packet p = { .data = b->data, .caplen = caplen, .len = b->n };

		time += roll(dice, 8000000);
		mpf_run(&prog, &p, mpf_note_keys, keys);
		if (!roll(dice, 6))
			change_sessions(dice, &plain, s, keys);
		assert_int_equal(pf_sessions_run(s, &p, time, number),
				 plain_run(&plain, &p, time, number));
		same_events(&events, &plain.events);
	}
	assert_int_equal(pf_sessions_count(s, &c), 0);
	assert_int_equal(c.waiting, plain.nwaiting);
	assert_int_equal(c.datagrams, plain.ndatagram);
	assert_int_equal(c.sessions, plain.nsession);
	assert_int_equal(c.packets, 120);
	assert_int_equal(c.packets,
			 c.delivered + c.rejected + c.waiting + c.timeouts + c.full + c.ended);
	pf_sessions_flush(s);
	pf_sessions_count(s, &c);
	assert_true(c.waiting == 0 && c.ended == plain.nwaiting);
	count_events(&events);
	pf_sessions_free(s);
	free(events.of);
	free(plain.events.of);
}

static void test_random(void **state)
{
	const char *seconds = getenv("PF_AGREE_SECONDS");
	uint64_t end = pfs_clock_mono() + (seconds ? strtoull(seconds, NULL, 10) : 1) * 1000000000;
	struct packets packets = { 0 };
	struct dice dice = { seconds ? pfs_clock_real() : 5 };
	unsigned n = 0;

	(void)state;
	packets_generate(&packets, 5, 100);
	do {
		run_random(&dice, &packets, n % 2 ? PF_ENGINE_BEST : PF_ENGINE_INTERP);
		n++;
	} while (n < 200 || pfs_clock_mono() < end);
	print_message("%u random programs; %u delivered at once, %u later, %u timeouts, %u dropped for want of room\n",
		      n, kinds[0], kinds[1], kinds[2], kinds[3]);
	assert_true(kinds[0] > 1000 && kinds[1] > 10 && kinds[2] > 10 && kinds[3] > 10);
	packets_release(&packets);
}

/* --- UDP and its fragments ------------------------------------------------------------------- */

static const char udp[] = "	ldh [12]\n"
			  "	jne #0x800, fail\n"
			  "	ldb [23]\n"
			  "	jne #17, fail\n"
			  "	ldh [20]\n"
			  "	jset #0x1fff, later\n"
			  "	ldxb 4*([14]&0xf)\n"
			  "	ldh [x+16]\n"
			  "	st M[0]\n"
			  "	ckmatch_imm #1, found, fail\n"
			  "	key #53\n"
			  "found:	ldh [20]\n"
			  "	jset #0x2000, first, whole\n"
			  "first:	ld [26]\n"
			  "	st M[0]\n"
			  "	ldh [18]\n"
			  "	st M[1]\n"
			  "	reg_data #30000, 2\n"
			  "whole:	ret #262144\n"
			  "later:	ld [26]\n"
			  "	st M[0]\n"
			  "	ldh [18]\n"
			  "	st M[1]\n"
			  "	postpone #5000\n"
			  "	match_data #262144, 2\n"
			  "fail:	ret #0\n";

#define MS UINT64_C(1000000)

/* Fragment `at` (in units of 8 bytes) of datagram `id` from `from`; more: others follow. Returns what was said. */
static enum pf_session_verdict send(struct pf_sessions *s, uint32_t from, uint16_t id, uint16_t at,
				    bool more, uint16_t port, uint64_t time, uint64_t number)
{
	uint8_t p[60] = { [12] = 8, [14] = 0x45, [23] = 17 };

	be16_store(p + 18, id);
	be16_store(p + 20, (uint16_t)(at | (more ? 0x2000 : 0)));
	be32_store(p + 26, from);
	if (!at)
		be16_store(p + 36, port);
	return pf_sessions_run(s,
			       &(struct pf_packet){ .data = p, .caplen = sizeof(p), .len = sizeof(p) },
			       time, number);
}

static struct pf_sessions *make_udp(struct events *e, uint32_t datagrams, uint32_t waiting)
{
	struct pf_sessions_options options = options_for(e);
	struct pf_error error = { "" };
	struct pf_sessions *s;

	*e = (struct events){ 0 };
	options.datagrams = datagrams;
	options.waiting = waiting;
	if (pf_sessions_new(udp, strlen(udp), NULL, &options, &s, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(pf_sessions_add(s, &(uint32_t){ 53 }, 1, 1053, NULL), 0);
	assert_int_equal(pf_sessions_add(s, &(uint32_t){ 80 }, 1, 1080, NULL), 0);
	return s;
}

static void expect_event(const struct events *e, size_t at, uint64_t packet, uint64_t session)
{
	assert_true(at < e->n);
	assert_int_equal(e->of[at].packet, packet);
	assert_int_equal(e->of[at].session, session);
}

static void test_first_fragment_first_and_last(void **state)
{
	struct events e;
	struct pf_sessions *s = make_udp(&e, 64, 64);

	(void)state;
	assert_int_equal(send(s, 1, 7, 0, true, 53, 0, 1), PF_SESSION_DELIVERS);
	assert_int_equal(send(s, 1, 7, 1, true, 0, MS, 2), PF_SESSION_DELIVERS);
	assert_int_equal(send(s, 1, 7, 2, false, 0, 2 * MS, 3), PF_SESSION_DELIVERS);
	/* The other way round, in order of arrival behind the first. */
	assert_int_equal(send(s, 2, 7, 2, false, 0, 3 * MS, 4), PF_SESSION_WAITS);
	assert_int_equal(send(s, 2, 7, 1, true, 0, 4 * MS, 5), PF_SESSION_WAITS);
	assert_int_equal(e.n, 3);
	assert_int_equal(send(s, 2, 7, 0, true, 80, 5 * MS, 6), PF_SESSION_DELIVERS);
	/* Overlapping and repeated ones are the same datagram's: whoever puts it together judges them. */
	assert_int_equal(send(s, 2, 7, 1, true, 0, 6 * MS, 7), PF_SESSION_DELIVERS);
	assert_int_equal(send(s, 2, 7, 0, true, 80, 6 * MS, 8), PF_SESSION_DELIVERS);
	for (uint64_t i = 0; i < 3; i++)
		expect_event(&e, i, i + 1, 1053);
	expect_event(&e, 3, 6, 1080);
	expect_event(&e, 4, 4, 1080);
	expect_event(&e, 5, 5, 1080);
	expect_event(&e, 6, 7, 1080);
	/* To a port where nobody is: nothing is registered, what waits waits in vain. */
	assert_int_equal(send(s, 3, 9, 1, false, 0, 7 * MS, 9), PF_SESSION_WAITS);
	assert_int_equal(send(s, 3, 9, 0, true, 99, 8 * MS, 10), PF_SESSION_REJECTS);
	pf_sessions_expire(s, 5007 * MS);
	assert_int_equal(e.n, 8);
	pf_sessions_expire(s, 5007 * MS + 1);
	expect_event(&e, 8, 9, UINT64_MAX);
	assert_int_equal(e.of[8].accept, PF_DROP_TIMEOUT);
	pf_sessions_free(s);
	free(e.of);
}

static void test_lost_first_fragments_and_time(void **state)
{
	struct events e;
	struct pf_sessions *s = make_udp(&e, 64, 64);
	struct pf_sessions_counters c = { .size = sizeof(c) };

	(void)state;
	send(s, 1, 1, 0, true, 53, 0, 0);
	assert_int_equal(send(s, 1, 1, 1, false, 0, 30000 * MS, 1), PF_SESSION_DELIVERS);
	assert_int_equal(send(s, 1, 1, 1, false, 0, 30000 * MS + 1, 2), PF_SESSION_WAITS);
	/* It comes too late for that one; what came in time is delivered. */
	assert_int_equal(send(s, 1, 1, 2, false, 0, 34000 * MS, 3), PF_SESSION_WAITS);
	assert_int_equal(send(s, 1, 1, 0, true, 53, 36000 * MS, 4), PF_SESSION_DELIVERS);
	expect_event(&e, 2, 2, UINT64_MAX);
	expect_event(&e, 3, 4, 1053);
	expect_event(&e, 4, 3, 1053);
	/* Time that goes back harms nobody. */
	assert_int_equal(send(s, 1, 1, 3, false, 0, 0, 5), PF_SESSION_DELIVERS);
	/* A session that goes takes what it has registered along; another with the same keys has not registered it. */
	assert_int_equal(pf_sessions_remove(s, &(uint32_t){ 53 }, 1), 0);
	assert_int_equal(send(s, 1, 1, 4, false, 0, 36000 * MS, 6), PF_SESSION_WAITS);
	assert_int_equal(pf_sessions_add(s, &(uint32_t){ 53 }, 1, 2053, NULL), 0);
	assert_int_equal(send(s, 1, 1, 4, false, 0, 36000 * MS, 7), PF_SESSION_WAITS);
	assert_int_equal(send(s, 1, 1, 0, true, 53, 36000 * MS, 8), PF_SESSION_DELIVERS);
	expect_event(&e, e.n - 2, 6, 2053);
	expect_event(&e, e.n - 1, 7, 2053);
	pf_sessions_count(s, &c);
	assert_int_equal(c.timeouts, 1);
	assert_int_equal(c.registered, 3);
	assert_int_equal(c.postponed, 4);
	c.size = sizeof(c) + 8;
	assert_int_equal(pf_sessions_count(s, &c), -EINVAL);
	pf_sessions_free(s);
	free(e.of);
}

/* Many datagrams, their fragments in any order: each gets its own, in order. */
/* Who came later may have less time: it goes when that is over, whoever came before it. */
static void test_each_has_its_time(void **state)
{
	static const char text[] =
		"	ldh [20]\n	jset #0x1fff, later\n"
		"	ldh [36]\n	st M[0]\n	ckmatch_imm #1, yes, no\n	key #53\n"
		"yes:	ret #1\nno:	ret #0\n"
		"later:	ldh [18]\n	st M[0]\n	jset #1, short, long\n"
		"short:	postpone #10\n	match_data #1, 1\n"
		"long:	postpone #5000\n	match_data #1, 1\n";
	struct events e = { 0 };
	struct pf_sessions_options options = options_for(&e);
	struct pf_sessions_counters c = { .size = sizeof(c) };
	struct pf_error error = { "" };
	struct pf_sessions *s;

	(void)state;
	if (pf_sessions_new(text, strlen(text), NULL, &options, &s, &error) < 0)
		fail_msg("%s", error.text);
	for (uint16_t id = 2; id < 12; id++)
		assert_int_equal(send(s, 1, id, 1, false, 53, id * MS, id), PF_SESSION_WAITS);
	pf_sessions_expire(s, 18 * MS);
	pf_sessions_count(s, &c);
	/* 3, 5 and 7 had until 13, 15 and 17. */
	assert_true(c.timeouts == 3 && c.waiting == 7);
	for (size_t i = 0; i < 3; i++)
		expect_event(&e, i, 3 + 2 * i, UINT64_MAX);
	/* The oldest is another. */
	assert_int_equal(pf_sessions_shed(s), 0);
	expect_event(&e, 3, 2, UINT64_MAX);
	pf_sessions_expire(s, 100 * MS);
	pf_sessions_count(s, &c);
	assert_true(c.timeouts == 5 && c.full == 1 && c.waiting == 4);
	pf_sessions_flush(s);
	assert_int_equal(pf_sessions_shed(s), -ENOENT);
	pf_sessions_free(s);
}

static void test_interleaved(void **state)
{
	enum { N = 500, PARTS = 4 };
	static uint8_t sent[N];
	struct events e;
	struct pf_sessions *s = make_udp(&e, N, N * PARTS);
	struct dice dice = { 9 };
	static uint64_t last[N];

	(void)state;
	memset(sent, 0, sizeof(sent));
	for (unsigned left = N * PARTS; left > 0;) {
		uint32_t d = roll(&dice, N), part = roll(&dice, PARTS);

		if (sent[d] >> part & 1)
			continue;
		sent[d] |= (uint8_t)(1u << part);
		send(s, 0x0a000000 + d % 7, (uint16_t)d, (uint16_t)part, part + 1 < PARTS,
		     d % 2 ? 53 : 80, left, (uint64_t)d << 32 | (N * PARTS - left));
		left--;
	}
	assert_int_equal(e.n, N * PARTS);
	for (size_t i = 0; i < e.n; i++)
		assert_int_equal(e.of[i].session, e.of[i].packet >> 32 & 1 ? 1053 : 1080);
	/* Those that waited come in the order of arrival, behind the first fragment, which may be younger. */
	memset(last, 0, sizeof(last));
	for (size_t i = 0; i < e.n; i++) {
		uint64_t d = e.of[i].packet >> 32, when = (e.of[i].packet & UINT32_MAX) + 1;
		bool later = i + 1 < e.n && e.of[i + 1].packet >> 32 == d &&
			     when > (e.of[i + 1].packet & UINT32_MAX);

		assert_true(when > last[d] || later || last[d] > when);
		last[d] = when;
	}
	pf_sessions_free(s);
	free(e.of);
}

/* Fragments without end, of datagrams without a beginning: memory stays what it is, and who came last stays. */
static void test_flood(void **state)
{
	struct events e;
	struct pf_sessions *s = make_udp(&e, 64, 16);
	struct pf_sessions_counters c = { .size = sizeof(c) };

	(void)state;
	send(s, 0xdead0000, 5, 0, true, 53, 0, 0);
	for (uint32_t i = 1; i <= 100000; i++)
		assert_int_equal(send(s, i, (uint16_t)i, 1, true, 0, i, i), PF_SESSION_WAITS);
	pf_sessions_count(s, &c);
	assert_int_equal(c.waiting, 16);
	assert_int_equal(c.datagrams, 17);
	assert_int_equal(c.full, 100000 - 16);
	/* What was registered before is still there: those who only wait cannot push it out. */
	assert_int_equal(send(s, 0xdead0000, 5, 1, false, 0, 100001, 100001), PF_SESSION_DELIVERS);
	assert_int_equal(send(s, 100000, (uint16_t)100000, 0, true, 80, 100002, 100002),
			 PF_SESSION_DELIVERS);
	expect_event(&e, e.n - 1, 100000, 1080);
	/* First fragments without end. */
	for (uint32_t i = 1; i <= 100000; i++)
		assert_int_equal(send(s, i, 9, 0, true, 53, 200000 + i, i), PF_SESSION_DELIVERS);
	pf_sessions_count(s, &c);
	assert_int_equal(c.datagrams, 64);
	assert_true(c.forgotten >= 100000 - 64);
	assert_int_equal(c.packets,
			 c.delivered + c.rejected + c.waiting + c.timeouts + c.full + c.ended);
	pf_sessions_flush(s);
	pf_sessions_count(s, &c);
	assert_int_equal(c.waiting, 0);
	pf_sessions_free(s);
	free(e.of);
}

/* --- keys ------------------------------------------------------------------------------------ */

static const char tcp[] = "ld [26]\nst M[0]\nldh [34]\nst M[1]\nldh [36]\nst M[2]\n"
			  "match_imm #96, 3\nkey #1\nkey #2\nkey #3\n";

static uint32_t best_ns(struct pf_sessions *s, struct events *e, uint32_t sessions)
{
	uint64_t best = UINT64_MAX;
	uint8_t p[60] = { 0 };

	for (unsigned round = 0; round < 9; round++) {
		uint64_t begin = pfs_clock_mono(), took;

		for (uint32_t i = 0; i < 2000; i++) {
			uint32_t of = i * 2654435761u % sessions;

			be32_store(p + 26, of);
			be16_store(p + 34, (uint16_t)of);
			e->n = 0;
			pf_sessions_run(s, &(struct pf_packet){ .data = p, .caplen = 60, .len = 60 },
					0, i);
			assert_true(e->n == 1 && e->of[0].session == of && e->of[0].accept == 96);
		}
		took = pfs_clock_mono() - begin;
		best = took < best ? took : best;
	}
	return (uint32_t)(best / 2000);
}

static void add_many(struct pf_sessions *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		assert_int_equal(pf_sessions_add(s, (uint32_t[3]){ i, i & 0xffff, 0 }, 3, i, NULL), 0);
}

static void test_many_sessions_cost_what_ten_do(void **state)
{
	struct events e = { 0 };
	struct pf_sessions_options options = options_for(&e);
	struct pf_sessions *s;
	uint32_t few, many;
	uint64_t begin;

	(void)state;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, NULL), 0);
	add_many(s, 0, 10);
	few = best_ns(s, &e, 10);
	begin = pfs_clock_mono();
	add_many(s, 10, 10000);
	begin = pfs_clock_mono() - begin;
	many = best_ns(s, &e, 10000);
	print_message("%u ns with 10 sessions, %u ns with 10000; %llu ns to add one\n", few, many,
		      (unsigned long long)begin / 9990);
	/* Memory costs something; a list would cost a thousand times as much. */
	assert_true(many < few * 8 + 200);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(pf_sessions_remove(s, (uint32_t[3]){ i, i & 0xffff, 0 }, 3), 0);
	assert_int_equal(
		pf_sessions_run(s, &(struct pf_packet){ .data = (uint8_t[60]){ 0 }, .caplen = 60 },
				0, 0),
		PF_SESSION_REJECTS);
	pf_sessions_free(s);
	free(e.of);
}

static void test_what_is_refused(void **state)
{
	static const char same[] = "ld [26]\nst M[0]\nldh [34]\nst M[1]\nldh [36]\nst M[2]\n"
				   "match_imm #96, 3\nkey #9\nkey #8\nkey #7\n";
	static const char other[] = "ld [26]\nst M[0]\nldh [34]\nst M[1]\nldh [38]\nst M[2]\n"
				    "match_imm #96, 3\nkey #9\nkey #8\nkey #7\n";
	struct events e = { 0 };
	struct pf_sessions_options options = options_for(&e);
	struct pf_error error = { "" };
	struct pf_sessions *s;

	(void)state;
	assert_int_equal(pf_sessions_new("ret #1", 6, NULL, &options, &s, &error), -EINVAL);
	assert_non_null(strstr(error.text, "asks for no session"));
	assert_int_equal(pf_sessions_new("nonsense", 8, NULL, &options, &s, &error), -EINVAL);
	options.size--;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, &error), -EINVAL);
	options.size++;
	options.waiting = 0;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, &error), -EINVAL);
	options.waiting = UINT32_MAX;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, &error), -EINVAL);
	options.waiting = 10;
	options.sessions = 2;
	options.deliver = NULL;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, &error), -EINVAL);
	options.deliver = on_deliver;
	assert_int_equal(pf_sessions_new(tcp, strlen(tcp), NULL, &options, &s, &error), 0);
	assert_int_equal(pf_sessions_keys(s), 3);
	assert_int_equal(pf_sessions_add_program(s, tcp, strlen(tcp), 1, &error), 0);
	assert_int_equal(pf_sessions_add_program(s, tcp, strlen(tcp), 2, &error), -EEXIST);
	assert_int_equal(pf_sessions_add_program(s, other, strlen(other), 2, &error), -EINVAL);
	assert_non_null(strstr(error.text, "instruction 4"));
	assert_int_equal(pf_sessions_add_program(s, "ret #0", 6, 2, &error), -EINVAL);
	assert_int_equal(pf_sessions_add(s, (uint32_t[2]){ 1, 2 }, 2, 2, &error), -EINVAL);
	assert_int_equal(pf_sessions_add_program(s, same, strlen(same), 2, &error), 0);
	assert_int_equal(pf_sessions_add(s, (uint32_t[3]){ 5, 5, 5 }, 3, 3, &error), -ENOSPC);
	assert_int_equal(pf_sessions_remove(s, (uint32_t[3]){ 5, 5, 5 }, 3), -ENOENT);
	pf_sessions_free(s);
	pf_sessions_free(NULL);
	free(e.of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_first_fragment_first_and_last),
		cmocka_unit_test(test_lost_first_fragments_and_time),
		cmocka_unit_test(test_each_has_its_time),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_many_sessions_cost_what_ten_do),
		cmocka_unit_test(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
