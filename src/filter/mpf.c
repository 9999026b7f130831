/*
 * mpf - dispatch packets among sessions: an MPF program and a table of keys
 *
 * Synopsis:   …/mpf:PROGRAM[,waiting=N][,bytes=N][,max=N]
 *
 * PROGRAM is one for the Mach packet filter (pf-mpf(7)): classic BPF that asks with match_imm or ckmatch_imm
 * whether the words that it has put together are the keys of a session. Its own keys are the first session.
 * Each session is a class, named by its keys in decimal: `53`, `167772161-80`. Another one is made
 * by mkdir, which compiles nothing, and what a packet costs does not depend on how many there are.
 *
 * A packet of a session passes, whole, and is in the class of its session. All others do not pass. Fragments
 * that come before the first one of their datagram, if the program says so (postpone, match_data), are
 * kept; they follow the first one, in the order in which they came. Those that wait in vain
 * are lost: "timeout", "memory" (beyond waiting= or bytes=, the oldest go first; or beyond the share of who made
 * the directory, which pays for them), "incomplete" (at the end of the stream). Time is that of the packets.
 *
 * A program may have 16384 bytes and 8 keys (a name only 255 bytes: write a long one to .params).
 *
 * Stats:      sessions, datagrams (remembered), kept (fragments that wait), kept.bytes, postponed, registered
 * Parameters: program=   the program, instead of the argument; a new one must have as many keys
 *             waiting=N  fragments kept at most, 1 to 65536 (default 256)
 *             bytes=N    of them at most, 1 to 1 GiB (default 16 MiB)
 *             max=N      sessions at most, 1 to 65535 (default 4096)
 * Classes:    the keys of each session: `53`, `167772161-80`
 * Example:    mkdir /p/dev/eth0/mpf:...; mkdir /p/dev/eth0/mpf:.../5353
 *
 * Source:     Yuhara, Bershad, Maeda, Moss, USENIX Winter 1994; Mach's device/bpf.h
 */
#include "graph/classes.h"
#include "graph/filter.h"
#include "packet/expr.h"

#include <pipesfs/pf.h>
#include <stdio.h>

#define RING ((size_t)4 << 20) /* its largest record holds any packet that is kept */
#define TEXT_MAX 16384
#define KEYS_MAX 8
#define DATAGRAMS 4096
#define BYTES ((uint64_t)16 << 20) /* of packets that wait; */
#define BYTES_MAX ((uint64_t)1 << 30)
#define DROPS (PF_DROP_END + 1)

/* A packet that waits, or that has waited and is to be passed on. */
struct held {
	struct held *next;
	uint16_t class_;
	uint8_t *bytes; /* owned; NULL: there was no memory */
	struct pfs_ref ref;
	struct pfs_meta meta;
};

/* A session that there is: its class and its keys. */
struct known {
	bool there;
	uint32_t keys[KEYS_MAX];
};

struct filter {
	struct pfs_classes classes;
	struct pf_sessions *sessions; /* owned; a session's number is its class, a packet's its struct held */
	unsigned keys;
	struct known *known; /* owned; by class - 1, followed of them: what of the classes was followed */
	size_t followed;
	uint64_t changes;   /* of the classes, then */
	struct held *spare; /* owned; the packet in hand has its number */
	struct held *ready; /* owned; behind the packet in hand, in order */
	struct held **last;
	struct pfs_purse purse; /* pays for what is kept */
	uint64_t max_bytes;
	uint16_t current; /* class of the packet in hand, while it is not passed on */
	bool busy; /* the packet in hand was given to the sessions, and what came of it is not done */
	uint64_t pos; /* ... that one */
	uint16_t ring;
	uint64_t lost[DROPS], nomem;
	pfs_counter datagrams; /* these counters' writer is the worker */
	pfs_counter waiting;
	pfs_counter bytes;
	pfs_counter postponed;
	pfs_counter registered;
};

/* --- names of sessions ----------------------------------------------------------------------- */

/* Up to eight numbers of 32 bits in four words of a key; how many there are is in the last. */
static void keys_pack(const uint32_t *keys, unsigned n, struct pkt_key *ret_key)
{
	*ret_key = (struct pkt_key){ .word[PKT_KEY_WORDS - 1] = n };
	for (unsigned i = 0; i < n; i++)
		ret_key->word[i / 2] |= (uint64_t)keys[i] << (i % 2 ? 0 : 32);
}

static void keys_unpack(const struct pkt_key *key, uint32_t keys[KEYS_MAX])
{
	for (unsigned i = 0; i < KEYS_MAX; i++)
		keys[i] = (uint32_t)(key->word[i / 2] >> (i % 2 ? 0 : 32));
}

static void session_text(const struct pkt_key *key, bool brief, char text[PKT_FIELD_NAME_SIZE])
{
	uint32_t keys[KEYS_MAX];
	size_t at = 0;

	(void)brief;
	keys_unpack(key, keys);
	for (unsigned i = 0; i < key->word[PKT_KEY_WORDS - 1] && i < KEYS_MAX; i++)
		at += (size_t)snprintf(text + at, PKT_FIELD_NAME_SIZE - at, "%s%u", i ? "-" : "",
				       keys[i]);
}

static bool parse_keys(const char *name, unsigned n, struct pkt_key *ret_key)
{
	uint32_t keys[KEYS_MAX];

	for (unsigned i = 0; i < n; i++) {
		char *end;
		unsigned long long value;

		if (*name < '0' || *name > '9')
			return false;
		value = strtoull(name, &end, 10);
		if (value > UINT32_MAX || *end != (i + 1 < n ? '-' : '\0'))
			return false;
		keys[i] = (uint32_t)value;
		name = end + 1;
	}
	keys_pack(keys, n, ret_key);
	return true;
}

#define SESSION(n)                                                                                  \
	static bool parse_##n(const char *name, struct pkt_key *ret_key)                            \
	{                                                                                           \
		return parse_keys(name, n, ret_key);                                                \
	}                                                                                           \
	static const struct pkt_field session_##n = {                                               \
		.name = "session", .words = PKT_KEY_WORDS, .text = session_text, .parse = parse_##n \
	}

SESSION(1);
SESSION(2);
SESSION(3);
SESSION(4);
SESSION(5);
SESSION(6);
SESSION(7);
SESSION(8);

static const struct pkt_field *const session_fields[KEYS_MAX] = {
	&session_1, &session_2, &session_3, &session_4,
	&session_5, &session_6, &session_7, &session_8,
};

/* --- what the sessions say ------------------------------------------------------------------- */

static void held_free(struct filter *f, struct held *held)
{
	if (held && held->bytes) {
		pfs_bytes_give(&f->purse, held->ref.len);
		pfs_counter_add(&f->bytes, -(uint64_t)held->ref.len);
		free(held->bytes);
	}
	free(held);
}

/* The packet in hand comes first, then those that waited for it. */
static void on_deliver(void *arg, uint64_t session, uint64_t packet, uint32_t accept)
{
	struct filter *f = arg;
	struct held *held = (struct held *)(uintptr_t)packet;

	(void)accept; /* a packet passes whole */
	if (held == f->spare) {
		f->current = (uint16_t)session;
		return;
	}
	held->class_ = (uint16_t)session;
	held->next = NULL;
	*f->last = held;
	f->last = &held->next;
}

static void on_drop(void *arg, uint64_t packet, enum pf_drop why)
{
	struct filter *f = arg;

	f->lost[why]++;
	held_free(f, (struct held *)(uintptr_t)packet);
}

/* --- parameters ------------------------------------------------------------------------------ */

static const struct pfs_param mpf_params[] = {
	{ "program", "TEXT: the program, instead of the argument" },
	{ "waiting", "fragments kept at most, 1 to 65536; default 256" },
	{ "bytes", "of them at most, 1 to 1 GiB; default 16 MiB" },
	{ "max", "sessions at most, 1 to 65535; default 4096" },
	{ 0 },
};

struct settings {
	const char *text;
	uint64_t waiting, bytes, max;
};

static int settings_of(const struct pfs_args *args, struct settings *ret, struct pfs_diag *diag)
{
	int r;

	*ret = (struct settings){ pfs_args_get(args, "program"), 256, BYTES, 4096 };
	if (!ret->text)
		ret->text = args->arg;
	if (!ret->text || !*ret->text)
		return pfs_diag_set(diag, EINVAL, "mpf:PROGRAM needs a program, there or as program=");
	if (strlen(ret->text) > TEXT_MAX)
		return pfs_diag_set(diag, EINVAL, "a program may have %d bytes, this one has %zu",
				    TEXT_MAX, strlen(ret->text));
	r = pfs_args_number(args, "waiting", false, 1, 65536, &ret->waiting, diag);
	if (r == 0)
		r = pfs_args_number(args, "bytes", true, 1, BYTES_MAX, &ret->bytes, diag);
	return r < 0 ? r : pfs_args_number(args, "max", false, 1, PFS_CLASSES_MAX, &ret->max, diag);
}

static int sessions_new(struct filter *f, const struct settings *settings, struct pf_sessions **ret,
			struct pfs_diag *diag)
{
	struct pf_sessions_options options = PF_SESSIONS_OPTIONS_INIT;
	struct pf_error error = { "" };
	int r;

	options.sessions = (uint32_t)settings->max;
	options.datagrams = DATAGRAMS;
	options.waiting = (uint32_t)settings->waiting;
	options.deliver = on_deliver;
	options.drop = on_drop;
	options.arg = f;
	r = pf_sessions_new(settings->text, strlen(settings->text), NULL, &options, ret, &error);
	return r < 0 ? pkt_expr_refuse(-r, &error, diag) : 0;
}

/* The program's own keys are a class like any other. */
static int add_own(struct filter *f, const struct pf_sessions *s, struct pfs_diag *diag)
{
	char name[PKT_FIELD_NAME_SIZE];
	uint32_t keys[KEYS_MAX];
	struct pkt_key key;
	uint16_t class_;

	pf_sessions_own_keys(s, keys);
	keys_pack(keys, f->keys, &key);
	session_text(&key, false, name);
	return pfs_classes_find(&f->classes, name, true, &class_, diag);
}

static int mpf_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	struct filter *f = state;
	struct settings settings;
	int r = settings_of(args, &settings, diag);

	f->last = &f->ready;
	f->purse = place->purse;
	f->max_bytes = settings.bytes;
	if (r == 0)
		r = sessions_new(f, &settings, &f->sessions, diag);
	if (r < 0)
		return r;
	f->keys = pf_sessions_keys(f->sessions);
	if (f->keys > KEYS_MAX)
		r = pfs_diag_set(diag, EINVAL, "%u keys; the name of a class has room for %d",
				 f->keys, KEYS_MAX);
	else
		r = pfs_classes_init(&f->classes, session_fields[f->keys - 1], settings.max, 0);
	if (r == 0)
		r = add_own(f, f->sessions, diag);
	if (r < 0) {
		pf_sessions_free(f->sessions);
		pfs_classes_release(&f->classes);
	}
	return r;
}

static int mpf_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			   struct pfs_diag *diag)
{
	struct filter *f = state;
	struct pf_sessions *fresh = NULL;
	struct settings settings;
	int r = settings_of(args, &settings, diag);

	(void)place;
	if (r == 0)
		r = sessions_new(f, &settings, &fresh, diag);
	if (r == 0 && pf_sessions_keys(fresh) != f->keys)
		r = pfs_diag_set(diag, EINVAL, "a program of %u keys; here sessions have %u",
				 pf_sessions_keys(fresh), f->keys);
	if (r == 0)
		r = pfs_classes_set(&f->classes, settings.max, 0, diag);
	if (r == 0)
		r = add_own(f, fresh, diag);
	if (r < 0) {
		pf_sessions_free(fresh);
		return r;
	}
	/* What waits has waited in vain; the books are told with the next records. */
	pf_sessions_flush(f->sessions);
	pf_sessions_free(f->sessions);
	f->sessions = fresh;
	f->max_bytes = settings.bytes;
	memset(f->known, 0, f->followed * sizeof(*f->known));
	f->changes = 0;
	return 0;
}

static void mpf_fini(void *state)
{
	struct filter *f = state;

	pf_sessions_flush(f->sessions);
	pf_sessions_free(f->sessions);
	while (f->ready) {
		struct held *next = f->ready->next;

		held_free(f, f->ready);
		f->ready = next;
	}
	held_free(f, f->spare);
	free(f->known);
	pfs_classes_release(&f->classes);
}

/* --- sessions are the classes that there are -------------------------------------------------- */

/* Room for what is known of this class. */
static bool known_fit(struct filter *f, size_t class_)
{
	size_t n = pfs_max(f->followed, 64);
	void *p;

	if (class_ <= f->followed)
		return true;
	while (n < class_)
		n *= 2;
	p = reallocarray(f->known, n, sizeof(*f->known));
	if (!p)
		return false;
	f->known = p;
	memset(f->known + f->followed, 0, (n - f->followed) * sizeof(*f->known));
	f->followed = n;
	return true;
}

/* The keys that the name of the class says. False: there is no such class. */
static bool class_keys(struct filter *f, uint16_t class_, uint32_t keys[KEYS_MAX])
{
	char name[PKT_FIELD_NAME_SIZE];
	struct pkt_key key;

	if (pfs_classes_name(&f->classes, class_, name) < 0 || !parse_keys(name, f->keys, &key))
		return false;
	keys_unpack(&key, keys);
	return true;
}

/* Sessions whose class has gone, or is another now. */
static void forget_gone(struct filter *f)
{
	uint32_t keys[KEYS_MAX];

	for (size_t i = 0; i < f->followed; i++) {
		struct known *known = &f->known[i];

		if (!known->there || (class_keys(f, (uint16_t)(i + 1), keys) &&
				      !memcmp(known->keys, keys, f->keys * sizeof(*keys))))
			continue;
		pf_sessions_remove(f->sessions, known->keys, f->keys);
		known->there = false;
	}
}

/* False: no memory. */
static bool add_class(struct filter *f, uint16_t class_)
{
	struct known *known;

	if (!known_fit(f, class_))
		return false;
	known = &f->known[class_ - 1];
	if (known->there || !class_keys(f, class_, known->keys))
		return true;
	known->there = pf_sessions_add(f->sessions, known->keys, f->keys, class_, NULL) == 0;
	return known->there;
}

static void follow_classes(struct filter *f)
{
	uint64_t changes = pfs_counter_get(&f->classes.changes);
	uint16_t list[256], after = 0;
	size_t n;

	if (changes == f->changes)
		return;
	forget_gone(f);
	do {
		n = pfs_classes_list(&f->classes, after, false, list, ARRAY_SIZE(list));
		for (size_t i = 0; i < n; i++)
			if (!add_class(f, list[i]))
				return; /* again with the next packets */
		after = n ? list[n - 1] : after;
	} while (n == ARRAY_SIZE(list));
	f->changes = changes;
}

/* --- packets --------------------------------------------------------------------------------- */

/*
 * The packet in hand waits: a copy of it stays, if there is room; without one it waits as well, so that it is lost in
 * its turn, and counted then.
 */
static void keep(struct filter *f, const struct pfs_ref *ref, const struct pfs_meta *meta,
		 const struct pfs_emitter *out)
{
	struct held *held = f->spare;

	f->spare = NULL;
	held->ref = *ref;
	held->meta = *meta;
	if (ref->len > f->max_bytes || pfs_bytes_take(&f->purse, ref->len) < 0)
		return;
	held->bytes = malloc(ref->len ? ref->len : 1);
	if (!held->bytes) {
		pfs_bytes_give(&f->purse, ref->len);
		return;
	}
	memcpy(held->bytes, pfs_bytes(out, ref), ref->len);
	pfs_counter_add(&f->bytes, ref->len);
	/* It is the youngest, and fits alone. */
	while (pfs_counter_get(&f->bytes) > f->max_bytes && pf_sessions_shed(f->sessions) == 0)
		;
}

static void look(struct filter *f, const struct pfs_ref *ref, const struct pfs_emitter *out)
{
	struct pfs_meta meta;
	struct pf_packet packet;

	if (!f->spare)
		f->spare = pfs_zalloc(1, sizeof(*f->spare));
	if (!f->spare) {
		f->nomem++;
		return;
	}
	pfs_meta(out, ref, &meta);
	packet = (struct pf_packet){ .data = pfs_bytes(out, ref),
				     .caplen = ref->len,
				     .len = meta.wire_len };
	f->busy = true;
	f->pos = ref->pos;
	f->ring = ref->ring;
	if (pf_sessions_run(f->sessions, &packet, meta.time, (uintptr_t)f->spare) == PF_SESSION_WAITS)
		keep(f, ref, &meta, out);
}

/* False: no room now. */
static bool emit_held(struct filter *f, struct held *held, struct pfs_emitter *out)
{
	const struct pfs_ref *was = &held->ref;
	struct pfs_record *rec;
	struct pfs_ref like = *was;
	void *p;

	if (!held->bytes) {
		f->nomem++;
		return true;
	}
	p = pfs_emit_new(out, was->len, &rec);
	if (!p)
		return false;
	memcpy(p, held->bytes, was->len);
	rec->time = pfs_record_time(pfs_origin_get(out->rings, was->origin), held->meta.time);
	rec->wire_len = held->meta.wire_len;
	rec->stream = held->meta.stream;
	rec->mark = held->meta.mark;
	rec->origin = was->origin;
	rec->flags = was->flags & PFS_REC_FLAGS;
	like.off = 0;
	like.class_ = held->class_;
	pfs_classes_took(&f->classes, held->class_, was->len, pfs_clock_mono());
	pfs_emit_commit_as(out, rec, &like);
	return true;
}

/* What came of the packet in hand goes on. False: no room now. */
static bool finish(struct filter *f, struct pfs_ref *ref, struct pfs_emitter *out)
{
	if (f->current && out->room == 0)
		return false;
	if (f->current) {
		ref->class_ = f->current;
		pfs_classes_took(&f->classes, f->current, ref->len, pfs_clock_mono());
		pfs_emit(out, ref);
		f->current = 0;
	}
	while (f->ready) {
		struct held *held = f->ready;

		if (!emit_held(f, held, out))
			return false;
		f->ready = held->next;
		held_free(f, held);
	}
	f->last = &f->ready;
	f->busy = false;
	return true;
}

static void count(struct filter *f, struct pfs_emitter *out)
{
	static const char *const reasons[DROPS] = {
		[PF_DROP_TIMEOUT] = "timeout", [PF_DROP_FULL] = "memory", [PF_DROP_END] = "incomplete"
	};
	struct pf_sessions_counters c = { .size = sizeof(c) };

	for (size_t i = 0; i < DROPS; i++) {
		if (f->lost[i])
			pfs_emit_lost(out, reasons[i], f->lost[i]);
		f->lost[i] = 0;
	}
	if (f->nomem)
		pfs_emit_lost(out, "memory", f->nomem);
	f->nomem = 0;
	pf_sessions_count(f->sessions, &c);
	atomic_store_explicit(&f->datagrams, c.datagrams, memory_order_relaxed);
	atomic_store_explicit(&f->waiting, c.waiting, memory_order_relaxed);
	atomic_store_explicit(&f->postponed, c.postponed, memory_order_relaxed);
	atomic_store_explicit(&f->registered, c.registered, memory_order_relaxed);
}

static size_t mpf_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		       uint64_t *ret_wait)
{
	struct filter *f = state;
	size_t i;

	(void)ret_wait;
	/* Lapped: the packet in hand is gone; what waited for it is there. */
	if (f->busy && (f->pos != in->pos || f->ring != in->ring)) {
		if (f->current)
			pfs_emit_lost(out, "overrun", 1);
		f->current = 0;
		if (!finish(f, in, out))
			return 0;
	}
	follow_classes(f);
	for (i = 0; i < n; i++) {
		if (!f->busy)
			look(f, &in[i], out);
		if (f->busy && !finish(f, &in[i], out))
			break;
	}
	count(f, out);
	return i;
}

static bool mpf_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			struct pfs_emitter *out)
{
	struct filter *f = state;

	(void)meta;
	if (ref->flags & PFS_REF_EOF)
		pf_sessions_flush(f->sessions);
	count(f, out);
	return true;
}

static void mpf_stats(void *state, struct pfs_buf *out)
{
	const struct filter *f = state;

	pfs_buf_printf(out, "sessions %llu\n", (unsigned long long)pfs_counter_get(&f->classes.n));
	pfs_buf_printf(out, "datagrams %llu\n", (unsigned long long)pfs_counter_get(&f->datagrams));
	pfs_buf_printf(out, "kept %llu\n", (unsigned long long)pfs_counter_get(&f->waiting));
	pfs_buf_printf(out, "kept.bytes %llu\n", (unsigned long long)pfs_counter_get(&f->bytes));
	pfs_buf_printf(out, "postponed %llu\n", (unsigned long long)pfs_counter_get(&f->postponed));
	pfs_buf_printf(out, "registered %llu\n", (unsigned long long)pfs_counter_get(&f->registered));
}

static void mpf_program(void *state, struct pfs_buf *out)
{
	const struct filter *f = state;
	char *text;

	if (pf_sessions_dump(f->sessions, &text, NULL) < 0)
		return;
	pfs_buf_str(out, text);
	free(text);
}

static struct pfs_classes *mpf_classes(void *state)
{
	struct filter *f = state;

	return &f->classes;
}

const struct pfs_filter pfs_filter_mpf = {
	.name = "mpf",
	.summary = "dispatch packets among sessions, by an MPF program and their keys",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = mpf_params,
	.state_size = sizeof(struct filter),
	.ring_size = RING,
	.init = mpf_init,
	.reconfigure = mpf_reconfigure,
	.fini = mpf_fini,
	.pull = mpf_pull,
	.control = mpf_control,
	.stats = mpf_stats,
	.program = mpf_program,
	.open_classes = mpf_classes,
};
