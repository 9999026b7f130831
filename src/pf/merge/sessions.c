/*
 * sessions - the stateful half of MPF: keys, what first fragments have registered, and packets that wait for it
 *
 * A datagram is a tuple of registered words: it is there while it is registered or packets wait for it. Datagrams are
 * in a list by age, and so are waiting packets: who needs room takes the oldest's. Which of them has waited long enough
 * first is another question, since a program may say how long for each: they are a heap as well.
 */
#include <pipesfs/pf.h>

#include "base/base.h"
#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/error.h"
#include "pf/front/cbpf.h"
#include "pf/front/mpf.h"
#include "pf/ir/print.h"
#include "pf/merge/tuples.h"
#include "pf/opt/opt.h"

#define NS_PER_MS UINT64_C(1000000)
#define MAX_ENTRIES (1u << 24)

static_assert(TUPLE_WORDS >= CB_WORDS, "a tuple has room for all keys");

/* An immutable program with many results. */
struct code {
	struct pf_native *native; /* owned; NULL: the interpreter runs it */
	struct pf_interp *interp; /* owned */
};

struct session {
	uint64_t id;
	uint64_t serial; /* no other session ever has it */
};

struct link {
	uint32_t older, newer;
};

struct datagram {
	uint32_t session; /* 0: nothing is registered */
	uint64_t serial;  /* of the session */
	uint64_t until;
	uint32_t first, last; /* that wait for it */
	struct link age;
};

struct waiting {
	uint64_t number; /* the caller's */
	uint64_t until;
	uint32_t accept;
	uint32_t datagram; /* 0: this place is free */
	uint32_t next;	   /* of the same datagram, or free */
	uint32_t before;   /* of the same datagram */
	struct link age;
	uint64_t arrival;
	uint32_t due; /* its place in the heap */
};

struct list {
	uint32_t oldest, newest;
};

struct pf_sessions {
	struct pf_sessions_options options;
	struct pf_insn *insns; /* owned; the program */
	size_t n;
	unsigned keys;
	bool checks;	  /* by CKMATCH_IMM: there is a miss */
	uint64_t without; /* passes */
	struct code hit, miss;
	struct tuples names;	 /* keys; session[] goes with it */
	struct session *session; /* owned */
	uint32_t nsession;
	uint64_t serial;
	struct tuples words;	   /* registered data; datagram[] goes with it */
	struct datagram *datagram; /* owned; options.datagrams of them */
	struct list datagrams;
	struct waiting *waiting; /* owned; options.waiting of them */
	struct list waitings;
	uint32_t *due; /* owned; numbers of those that wait, as a heap: whose time is up first is the first */
	uint32_t used, free;
	struct pf_sessions_counters count;
};

/* --- programs -------------------------------------------------------------------------------- */

static void code_release(struct code *code)
{
	pf_native_free(code->native);
	pf_interp_free(code->interp);
}

/* Into an empty unit, behind the passes. */
static int unit_make(struct pf_unit *u, const struct pf_sessions *s, unsigned flags,
		     uint64_t without, struct pf_error *error)
{
	int r = pf_front_cbpf(u, s->insns, s->n, CBPF_MPF | flags, error);

	return r < 0 ? r : pf_optimise(u, without, NULL, NULL, error);
}

static int code_make(struct code *code, const struct pf_sessions *s, unsigned flags,
		     const struct pf_options *options, struct pf_error *error)
{
	PFS_CLEANUP(pf_unit_release) struct pf_unit u;
	int r;

	pf_unit_init(&u);
	u.share = false;
	r = unit_make(&u, s, flags, options->without, error);
	if (r == 0 && options->engine != PF_ENGINE_INTERP)
		r = pf_native_make(&u, &code->native);
	if (r < 0 && options->engine == PF_ENGINE_NATIVE)
		return pf_fail(error, -r,
			       "there is no back end for this machine, or no executable memory");
	if (!code->native)
		r = pf_interp_make(&u, &code->interp);
	return r < 0 ? pf_fail(error, -r, "%s",
			       r == -ENOMEM ? "no memory for the filter" : "the filter is too large")
		     : 0;
}

/* results has room for all, MPF_RESULTS. */
static void code_run(const struct code *code, const struct pf_packet *packet, uint32_t *results)
{
	struct pf_hit hits[MPF_RESULTS];
	uint32_t n = code->native ? pf_native_run(code->native, packet, hits)
				  : pf_interp_run(code->interp, packet, hits);

	memset(results, 0, MPF_RESULTS * sizeof(*results));
	for (uint32_t i = 0; i < n; i++)
		results[hits[i].id] = hits[i].value;
}

static int read_options(const struct pf_sessions_options *given,
			struct pf_sessions_options *ret_options, struct pf_error *error)
{
	if (!given || given->size != sizeof(*given))
		return pf_fail(error, EINVAL, "options made for another release");
	if (!given->deliver)
		return pf_fail(error, EINVAL, "nobody takes what is delivered");
	if (!given->sessions || !given->datagrams || !given->waiting || given->sessions > MAX_ENTRIES ||
	    given->datagrams > MAX_ENTRIES || given->waiting > MAX_ENTRIES)
		return pf_fail(error, EINVAL,
			       "1 to %u sessions, datagrams and packets that wait can be",
			       MAX_ENTRIES);
	*ret_options = *given;
	return 0;
}

static int sessions_init(struct pf_sessions *s, const char *program, size_t len,
			 const struct pf_options *options, struct pf_error *error)
{
	size_t match;
	int r = pf_mpf_parse(program, len, &s->insns, &s->n, error);

	if (r < 0)
		return r;
	r = pf_cbpf_check(s->insns, s->n, CBPF_MPF, error);
	if (r < 0)
		return r;
	match = pf_mpf_match(s->insns, s->n);
	if (match == s->n)
		return pf_fail(error, EINVAL,
			       "the program asks for no session: match_imm or ckmatch_imm does");
	s->keys = pf_mpf_keys(&s->insns[match]);
	s->without = options->without;
	s->checks = s->insns[match].code == (CB_JMP | CB_CKMATCH_IMM);
	s->datagram = pfs_zalloc(s->options.datagrams, sizeof(*s->datagram));
	s->waiting = pfs_zalloc(s->options.waiting, sizeof(*s->waiting));
	s->due = pfs_zalloc(s->options.waiting, sizeof(*s->due));
	if (!s->datagram || !s->waiting || !s->due)
		return pf_fail(error, ENOMEM, "no memory for so many datagrams");
	r = code_make(&s->hit, s, CBPF_MPF_HIT, options, error);
	if (r == 0 && s->checks)
		r = code_make(&s->miss, s, CBPF_MPF_MISS, options, error);
	return r;
}

int pf_sessions_new(const char *program, size_t len, const struct pf_options *options,
		    const struct pf_sessions_options *sessions, struct pf_sessions **ret_sessions,
		    struct pf_error *error)
{
	static const struct pf_options by_default = PF_OPTIONS_INIT;
	struct pf_sessions_options known = { 0 };
	struct pf_sessions *s;
	int r = read_options(sessions, &known, error);

	if (r < 0)
		return r;
	if (options && options->size != sizeof(*options))
		return pf_fail(error, EINVAL, "options made for another release");
	s = pfs_zalloc(1, sizeof(*s));
	if (!s)
		return pf_fail(error, ENOMEM, "no memory for sessions");
	s->options = known;
	tuples_init(&s->names, known.sessions);
	tuples_init(&s->words, known.datagrams);
	r = sessions_init(s, program, len, options ? options : &by_default, error);
	if (r < 0)
		pf_sessions_free(s);
	else
		*ret_sessions = s;
	return r;
}

void pf_sessions_free(struct pf_sessions *s)
{
	if (!s)
		return;
	code_release(&s->hit);
	code_release(&s->miss);
	tuples_release(&s->names);
	tuples_release(&s->words);
	free(s->session);
	free(s->datagram);
	free(s->waiting);
	free(s->due);
	free(s->insns);
	free(s);
}

/* --- sessions -------------------------------------------------------------------------------- */

unsigned pf_sessions_keys(const struct pf_sessions *s)
{
	return s->keys;
}

void pf_sessions_own_keys(const struct pf_sessions *s, uint32_t *ret_keys)
{
	size_t match = pf_mpf_match(s->insns, s->n);

	for (unsigned i = 0; i < s->keys; i++)
		ret_keys[i] = s->insns[match + 1 + i].k;
}

/* The results that the units set are numbered as in pf/front/mpf.h. */
static int dump(const struct pf_sessions *s, unsigned flags, const char *title, struct pfs_buf *out)
{
	PFS_CLEANUP(pf_unit_release) struct pf_unit u;
	int r;

	pf_unit_init(&u);
	u.share = false;
	r = unit_make(&u, s, flags, s->without, NULL);
	pfs_buf_str(out, title);
	return r < 0 ? r : pf_print(&u, out);
}

int pf_sessions_dump(const struct pf_sessions *s, char **ret_text, struct pf_error *error)
{
	PFS_BUF struct pfs_buf out = { 0 };
	int r;

	pfs_buf_printf(&out,
		       "# results: 0 bytes, 1 how (1 checked, 2 keys, 3 data), 2 a session was asked for,\n"
		       "# 3 ms to register for, 4 ms to wait, %d and %d how many words;\n"
		       "# from %d keys, from %d words to register, from %d words to look up\n",
		       MPF_REGISTER_WORDS, MPF_DATA_WORDS, MPF_KEYS, MPF_REGISTERS, MPF_DATA);
	r = dump(s, CBPF_MPF_HIT, s->checks ? "# with a session\n" : "", &out);
	if (r == 0 && s->checks)
		r = dump(s, CBPF_MPF_MISS, "# without one\n", &out);
	if (r < 0 || out.failed)
		return pf_fail(error, ENOMEM, "no memory for the listing");
	*ret_text = TAKE_PTR(out.data);
	return 0;
}

int pf_sessions_add(struct pf_sessions *s, const uint32_t *keys, unsigned n, uint64_t session,
		    struct pf_error *error)
{
	uint32_t number;
	int r;

	if (n != s->keys)
		return pf_fail(error, EINVAL, "%u keys; the program has %u", n, s->keys);
	if (tuples_find(&s->names, keys, n))
		return pf_fail(error, EEXIST, "there is a session with these keys");
	r = tuples_add(&s->names, keys, n, &number);
	if (r == 0 && s->nsession < s->names.cap) {
		void *p = reallocarray(s->session, s->names.cap, sizeof(*s->session));

		if (p) {
			s->session = p;
			s->nsession = s->names.cap;
		} else {
			tuples_remove(&s->names, number);
			r = -ENOMEM;
		}
	}
	if (r < 0)
		return pf_fail(error, -r, "%s",
			       r == -ENOSPC ? "there are as many sessions as there may be"
					    : "no memory for another session");
	s->session[number - 1] = (struct session){ session, ++s->serial };
	return 0;
}

int pf_sessions_add_program(struct pf_sessions *s, const char *program, size_t len,
			    uint64_t session, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	uint32_t keys[CB_WORDS] = { 0 };
	unsigned nkeys = 0;
	size_t n = 0;
	int r = pf_mpf_parse(program, len, &insns, &n, error);

	if (r < 0)
		return r;
	if (n != s->n)
		return pf_fail(error, EINVAL, "%zu instructions, not %zu: it is another program", n,
			       s->n);
	for (size_t i = 0; i < n; i++) {
		bool key = s->insns[i].code == (CB_MISC | CB_KEY);

		if (insns[i].code != s->insns[i].code || insns[i].jt != s->insns[i].jt ||
		    insns[i].jf != s->insns[i].jf || (!key && insns[i].k != s->insns[i].k))
			return pf_fail(error, EINVAL,
				       "instruction %zu is not the same, and is no key", i);
		if (key)
			keys[nkeys++] = insns[i].k;
	}
	return pf_sessions_add(s, keys, nkeys, session, error);
}

int pf_sessions_remove(struct pf_sessions *s, const uint32_t *keys, unsigned n)
{
	uint32_t number = n == s->keys ? tuples_find(&s->names, keys, n) : 0;

	if (!number)
		return -ENOENT;
	/* What it has registered knows its serial number, which nobody has any more. */
	s->session[number - 1] = (struct session){ 0 };
	tuples_remove(&s->names, number);
	return 0;
}

/* --- lists by age: entries numbered from 1 --------------------------------------------------- */

static struct link *datagram_age(struct pf_sessions *s, uint32_t number)
{
	return &s->datagram[number - 1].age;
}

static struct link *waiting_age(struct pf_sessions *s, uint32_t number)
{
	return &s->waiting[number - 1].age;
}

typedef struct link *(*age_fn)(struct pf_sessions *s, uint32_t number);

static void list_add(struct pf_sessions *s, struct list *list, age_fn age, uint32_t number)
{
	*age(s, number) = (struct link){ list->newest, 0 };
	if (list->newest)
		age(s, list->newest)->newer = number;
	else
		list->oldest = number;
	list->newest = number;
}

static void list_remove(struct pf_sessions *s, struct list *list, age_fn age, uint32_t number)
{
	struct link *link = age(s, number);

	if (link->older)
		age(s, link->older)->newer = link->newer;
	else
		list->oldest = link->newer;
	if (link->newer)
		age(s, link->newer)->older = link->older;
	else
		list->newest = link->older;
}

/* --- datagrams and who waits for them -------------------------------------------------------- */

/* One for which nobody waits. */
static void datagram_remove(struct pf_sessions *s, uint32_t number)
{
	list_remove(s, &s->datagrams, datagram_age, number);
	tuples_remove(&s->words, number);
	s->datagram[number - 1] = (struct datagram){ 0 };
}

static bool is_due_before(const struct pf_sessions *s, uint32_t a, uint32_t b)
{
	const struct waiting *x = &s->waiting[a - 1], *y = &s->waiting[b - 1];

	return x->until != y->until ? x->until < y->until : x->arrival < y->arrival;
}

static void due_put(struct pf_sessions *s, uint64_t at, uint32_t number)
{
	s->due[at] = number;
	s->waiting[number - 1].due = (uint32_t)at;
}

/* To its place in a heap of n, from a place that is free. */
static void due_settle(struct pf_sessions *s, uint64_t at, uint64_t n, uint32_t number)
{
	uint64_t child;

	while (at && is_due_before(s, number, s->due[(at - 1) / 2])) {
		due_put(s, at, s->due[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	while ((child = 2 * at + 1) < n) {
		child += child + 1 < n && is_due_before(s, s->due[child + 1], s->due[child]);
		if (!is_due_before(s, s->due[child], number))
			break;
		due_put(s, at, s->due[child]);
		at = child;
	}
	due_put(s, at, number);
}

/* Off all lists. The datagram stays. */
static void waiting_remove(struct pf_sessions *s, uint32_t number)
{
	struct waiting *w = &s->waiting[number - 1];
	struct datagram *d = &s->datagram[w->datagram - 1];

	if (w->before)
		s->waiting[w->before - 1].next = w->next;
	else
		d->first = w->next;
	if (w->next)
		s->waiting[w->next - 1].before = w->before;
	else
		d->last = w->before;
	list_remove(s, &s->waitings, waiting_age, number);
	s->count.waiting--;
	if (w->due < s->count.waiting)
		due_settle(s, w->due, s->count.waiting, s->due[s->count.waiting]);
	*w = (struct waiting){ .next = s->free };
	s->free = number;
}

static void drop(struct pf_sessions *s, uint32_t number, enum pf_drop why)
{
	uint64_t packet = s->waiting[number - 1].number;
	uint64_t *count = why == PF_DROP_TIMEOUT ? &s->count.timeouts
			  : why == PF_DROP_FULL	 ? &s->count.full
						 : &s->count.ended;

	waiting_remove(s, number);
	++*count;
	if (s->options.drop)
		s->options.drop(s->options.arg, packet, why);
}

/* The same, and its datagram goes if it was only there for that. */
static void give_up(struct pf_sessions *s, uint32_t number, enum pf_drop why)
{
	uint32_t datagram = s->waiting[number - 1].datagram;

	drop(s, number, why);
	if (!s->datagram[datagram - 1].first && !s->datagram[datagram - 1].session)
		datagram_remove(s, datagram);
}

/* The words' datagram; made, and then the oldest goes if need be. 0: no memory. */
static uint32_t datagram_of(struct pf_sessions *s, const uint32_t *words, uint32_t n)
{
	uint32_t number = tuples_find(&s->words, words, n);

	if (number)
		return number;
	if (s->words.n == s->words.max) {
		uint32_t oldest = s->datagrams.oldest;
		struct datagram *d = &s->datagram[oldest - 1];

		while (d->first)
			drop(s, d->first, PF_DROP_FULL);
		s->count.forgotten += d->session != 0;
		datagram_remove(s, oldest);
	}
	if (tuples_add(&s->words, words, n, &number) < 0)
		return 0;
	list_add(s, &s->datagrams, datagram_age, number);
	return number;
}

/* The session that has registered it, or NULL: none, or no longer. */
static const struct session *registered(struct pf_sessions *s, uint32_t number, uint64_t time)
{
	struct datagram *d = &s->datagram[number - 1];

	if (!d->session)
		return NULL;
	if (time <= d->until && s->session[d->session - 1].serial == d->serial)
		return &s->session[d->session - 1];
	d->session = 0;
	if (!d->first)
		datagram_remove(s, number);
	return NULL;
}

static void deliver(struct pf_sessions *s, uint64_t session, uint64_t packet, uint32_t accept)
{
	s->count.delivered++;
	s->options.deliver(s->options.arg, session, packet, accept);
}

/* A first fragment has said whose the words are: all that waits for that is delivered, in order of arrival. */
static void register_data(struct pf_sessions *s, const uint32_t *results, uint32_t session,
			  uint64_t time)
{
	uint32_t number = datagram_of(s, results + MPF_REGISTERS, results[MPF_REGISTER_WORDS]);
	struct datagram *d = number ? &s->datagram[number - 1] : NULL;

	if (!d)
		return;
	s->count.registered++;
	d->session = session;
	d->serial = s->session[session - 1].serial;
	d->until = time + results[MPF_REGISTER] * NS_PER_MS;
	/* Its time begins now. */
	list_remove(s, &s->datagrams, datagram_age, number);
	list_add(s, &s->datagrams, datagram_age, number);
	while (d->first) {
		struct waiting w = s->waiting[d->first - 1];

		if (time > w.until) {
			drop(s, d->first, PF_DROP_TIMEOUT);
		} else {
			waiting_remove(s, d->first);
			deliver(s, s->session[session - 1].id, w.number, w.accept);
		}
	}
}

static enum pf_session_verdict reject(struct pf_sessions *s)
{
	s->count.rejected++;
	return PF_SESSION_REJECTS;
}

static enum pf_session_verdict wait_for(struct pf_sessions *s, const uint32_t *results,
					uint64_t time, uint64_t packet)
{
	uint32_t datagram, number;
	struct datagram *d;

	if (s->count.waiting == s->options.waiting)
		give_up(s, s->waitings.oldest, PF_DROP_FULL);
	datagram = datagram_of(s, results + MPF_DATA, results[MPF_DATA_WORDS]);
	if (!datagram)
		return reject(s);
	number = s->free;
	if (number)
		s->free = s->waiting[number - 1].next;
	else
		number = ++s->used;
	d = &s->datagram[datagram - 1];
	s->waiting[number - 1] = (struct waiting){
		.number = packet,
		.until = time + results[MPF_WAIT] * NS_PER_MS,
		.accept = results[MPF_ACCEPT],
		.datagram = datagram,
		.before = d->last,
		.arrival = s->count.postponed,
	};
	if (d->last)
		s->waiting[d->last - 1].next = number;
	else
		d->first = number;
	d->last = number;
	list_add(s, &s->waitings, waiting_age, number);
	s->count.waiting++;
	due_settle(s, s->count.waiting - 1, s->count.waiting, number);
	s->count.postponed++;
	return PF_SESSION_WAITS;
}

/* For whom is it that has registered these words? */
static enum pf_session_verdict by_data(struct pf_sessions *s, const uint32_t *results,
				       uint64_t time, uint64_t packet)
{
	uint32_t number = tuples_find(&s->words, results + MPF_DATA, results[MPF_DATA_WORDS]);
	const struct session *session = number ? registered(s, number, time) : NULL;

	if (session) {
		deliver(s, session->id, packet, results[MPF_ACCEPT]);
		return PF_SESSION_DELIVERS;
	}
	return results[MPF_WAIT] ? wait_for(s, results, time, packet) : reject(s);
}

enum pf_session_verdict pf_sessions_run(struct pf_sessions *s, const struct pf_packet *packet,
					uint64_t time, uint64_t number)
{
	uint32_t results[MPF_RESULTS], session = 0;

	s->count.packets++;
	pf_sessions_expire(s, time);
	code_run(&s->hit, packet, results);
	if (results[MPF_CHECKED] || results[MPF_KIND] == MPF_BY_KEYS)
		session = tuples_find(&s->names, results + MPF_KEYS, s->keys);
	if (results[MPF_CHECKED] && !session)
		code_run(&s->miss, packet, results);
	if (!results[MPF_ACCEPT])
		return reject(s);
	if (results[MPF_KIND] == MPF_BY_DATA)
		return by_data(s, results, time, number);
	if (!session)
		return reject(s);
	deliver(s, s->session[session - 1].id, number, results[MPF_ACCEPT]);
	if (results[MPF_REGISTER])
		register_data(s, results, session, time);
	return PF_SESSION_DELIVERS;
}

void pf_sessions_expire(struct pf_sessions *s, uint64_t time)
{
	while (s->count.waiting && time > s->waiting[s->due[0] - 1].until)
		give_up(s, s->due[0], PF_DROP_TIMEOUT);
}

int pf_sessions_shed(struct pf_sessions *s)
{
	if (!s->waitings.oldest)
		return -ENOENT;
	give_up(s, s->waitings.oldest, PF_DROP_FULL);
	return 0;
}

void pf_sessions_flush(struct pf_sessions *s)
{
	while (s->waitings.oldest)
		give_up(s, s->waitings.oldest, PF_DROP_END);
}

int pf_sessions_count(const struct pf_sessions *s, struct pf_sessions_counters *counters)
{
	struct pf_sessions_counters all = s->count;

	if (counters->size < sizeof(counters->size) || counters->size > sizeof(all))
		return -EINVAL;
	all.size = counters->size;
	all.sessions = s->names.n;
	all.datagrams = s->words.n;
	memcpy(counters, &all, counters->size);
	return 0;
}
