/*
 * run - a mechanism at work: its peer, its warm-up, its clock, and whether what came is what was sent
 */
#include "study.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZES 24 /* powers of two */

struct order {
	enum study_what what;
	size_t len;
	unsigned n; /* 0: it is over */
};

struct running {
	const struct mechanism *m;
	void *state;
	pid_t server; /* of the mechanism, or our peer */
	bool forked;  /* it is our peer */
	int orders, done;
	/* Shared with the peer. The writer of source is who sends, after it was filled by us; of sink the peer. */
	uint8_t *source, *sink;
	uint8_t *into;		  /* what we read into */
	unsigned count[4][SIZES]; /* how many make a measurement long enough; 0: not known yet */
	uint64_t seed;
};

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		bytes[i] = (uint8_t)('0' + x % 75); /* printable */
	}
}

/* The number of a transfer, in printable digits. */
static void stamp(uint8_t *bytes, uint32_t number)
{
	uint64_t digits = 0;

	for (unsigned i = 0; i < 8; i++)
		digits |= (uint64_t)('0' + (number >> (4 * i) & 15)) << (8 * i);
	memcpy(bytes, &digits, sizeof(digits));
}

static void send_all(const struct running *r, int end, size_t len, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!r->m->unstamped)
			stamp(r->source, i);
		r->m->put(r->state, end, r->source, len);
	}
}

static const uint8_t *get_all(const struct running *r, int end, uint8_t *into, size_t len, unsigned n)
{
	const uint8_t *at = into;

	for (unsigned i = 0; i < n; i++) {
		uint8_t number[8];

		at = r->m->get(r->state, end, into, len);
		if (!r->m->peer || r->m->unstamped)
			continue;
		stamp(number, i);
		errno = EBADMSG;
		if (memcmp(at, number, sizeof(number)) != 0)
			study_die("not the transfer whose turn it is");
	}
	return at;
}

static void trip_one(const struct running *r, int end, uint8_t *bytes)
{
	const uint8_t *at;

	if (r->m->trip) {
		r->m->trip(r->state, end);
	} else if (end == 0) {
		r->m->put(r->state, 0, bytes, STUDY_TRIP);
		at = r->m->get(r->state, 0, bytes, STUDY_TRIP);
		if (at != bytes)
			memcpy(bytes, at, STUDY_TRIP);
	} else {
		at = r->m->get(r->state, 1, bytes, STUDY_TRIP);
		if (at != bytes)
			memcpy(bytes, at, STUDY_TRIP);
		r->m->put(r->state, 1, bytes, STUDY_TRIP);
	}
}

/* --- the peer ------------------------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void peer_main(struct running *r, int orders, int done)
{
	struct order o;
	uint8_t byte = 0;

	if (r->m->start)
		r->m->start(r->state);
	study_write_all(done, &byte, 1);
	for (;;) {
		const uint8_t *at = NULL;

		study_read_all(orders, (uint8_t *)&o, sizeof(o));
		if (!o.n)
			_exit(0);
		if (o.what == STUDY_READ)
			send_all(r, 1, o.len, o.n);
		else if (o.what == STUDY_WRITE)
			at = get_all(r, 1, r->into, o.len, o.n);
		else
			for (unsigned i = 0; i < o.n; i++)
				trip_one(r, 1, r->into);
		study_write_all(done, &byte, 1);
		if (at)
			memcpy(r->sink, at, o.len);
		study_write_all(done, &byte, 1);
	}
}

static void await(const struct running *r)
{
	uint8_t byte;

	if (r->forked)
		study_read_all(r->done, &byte, 1);
}

static int peer_start(struct running *r)
{
	int orders[2], done[2];
	pid_t pid;

	if (pipe(orders) < 0 || pipe(done) < 0)
		return -errno;
	pid = study_fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		peer_main(r, orders[0], done[1]);
	close(orders[0]);
	close(done[1]);
	r->orders = orders[1];
	r->done = done[0];
	r->server = pid;
	r->forked = true;
	await(r);
	return 0;
}

/* --- what is running -------------------------------------------------------------------------------------------- */

static pid_t said_server;

void study_server(pid_t pid)
{
	said_server = pid;
}

struct running *running_new(const struct mechanism *m)
{
	struct running *r;
	void *state;

	said_server = 0;
	state = m->open(m);
	if (!state)
		return NULL;
	r = pfs_zalloc(1, sizeof(*r));
	if (!r)
		study_die("memory");
	r->m = m;
	r->state = state;
	r->server = said_server;
	r->source = m->source ? m->source(state) : study_shared(STUDY_MAX);
	r->sink = study_shared(STUDY_MAX);
	r->into = study_shared(STUDY_MAX);
	if (m->peer && peer_start(r) < 0)
		study_die("a process for the other end");
	return r;
}

bool running_can(const struct running *r, enum study_what what)
{
	if (what == STUDY_READ)
		return r->m->read;
	if (what == STUDY_WRITE)
		return r->m->write;
	return r->m->trips && (what == STUDY_OTHER || r->server);
}

static void pin(const struct running *r, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (r->server && sched_setaffinity(r->server, sizeof(set), &set) < 0)
		study_die("pinning the other process");
}

static uint64_t excluded, paused_at;

void study_pause(void)
{
	paused_at = study_now();
}

void study_resume(void)
{
	excluded += study_now() - paused_at;
}

static void order(const struct running *r, enum study_what what, size_t len, unsigned n)
{
	struct order o = { .what = what, .len = len, .n = n };

	if (r->forked)
		study_write_all(r->orders, (const uint8_t *)&o, sizeof(o));
}

static void flush(const struct running *r)
{
	if (r->m->flush)
		r->m->flush(r->state, 0);
}

static void same(const uint8_t *got, const uint8_t *sent, size_t len)
{
	errno = EBADMSG;
	if (memcmp(got, sent, len) != 0)
		study_die("what came is not what was sent");
}

/* ns of n transfers, after some to warm up. */
static double timed_read(struct running *r, size_t len, unsigned warm, unsigned n)
{
	const uint8_t *want = r->source, *at;
	uint64_t begin;

	if (!r->m->peer)
		want = r->m->load(r->state, r->source, len);
	memset(r->into, 0xaa, len);
	order(r, STUDY_READ, len, warm);
	get_all(r, 0, r->into, len, warm);
	flush(r);
	await(r);
	await(r);
	excluded = 0;
	begin = study_now();
	order(r, STUDY_READ, len, n); /* nothing was sent before: else a ring that is full would flatter */
	at = get_all(r, 0, r->into, len, n);
	flush(r);
	begin = study_now() - begin - excluded;
	await(r);
	await(r);
	if (want)
		same(at, want, len);
	return (double)begin;
}

static double timed_write(struct running *r, size_t len, unsigned warm, unsigned n)
{
	uint64_t begin;

	order(r, STUDY_WRITE, len, warm);
	send_all(r, 0, len, warm);
	flush(r);
	await(r);
	await(r);
	excluded = 0;
	begin = study_now();
	order(r, STUDY_WRITE, len, n);
	send_all(r, 0, len, n);
	flush(r);
	await(r);
	begin = study_now() - begin - excluded;
	await(r);
	if (!r->m->peer && !r->m->unchecked_write) {
		memset(r->sink, 0xaa, len);
		r->m->fetch(r->state, r->sink, len);
	}
	if (!r->m->unchecked_write)
		same(r->sink, r->source, len);
	return (double)begin;
}

static double timed_trip(struct running *r, enum study_what what, unsigned warm, unsigned n)
{
	uint64_t begin;

	memcpy(r->into, r->source, STUDY_TRIP);
	order(r, what, STUDY_TRIP, warm + n);
	for (unsigned i = 0; i < warm; i++)
		trip_one(r, 0, r->into);
	excluded = 0;
	begin = study_now();
	for (unsigned i = 0; i < n; i++)
		trip_one(r, 0, r->into);
	begin = study_now() - begin - excluded;
	await(r);
	await(r);
	if (!r->m->trip) /* it was sent there and back all the time */
		same(r->into, r->source, STUDY_TRIP);
	return (double)begin;
}

static double timed(struct running *r, enum study_what what, size_t len, unsigned n)
{
	unsigned warm = n / 8 + 1;

	alarm(30); /* nothing takes that long: study.c says who did */
	fill(r->source, len, ++r->seed);
	if (what == STUDY_READ)
		return timed_read(r, len, warm, n);
	if (what == STUDY_WRITE)
		return timed_write(r, len, warm, n);
	return timed_trip(r, what, warm, n);
}

double running_measure(struct running *r, enum study_what what, size_t len, double ms)
{
	unsigned *count = &r->count[what][(unsigned)__builtin_ctzl(len) % SIZES];
	double ns;

	pin(r, study_cpu(what == STUDY_SAME ? 0 : 1));
	if (!*count) {
		unsigned n = ms > 0 ? 4 : 2;

		ns = timed(r, what, len, n);
		while (ms > 0 && ns < ms * 1e6 / 8 && n < 1u << 24) {
			n *= 4;
			ns = timed(r, what, len, n);
		}
		if (ns < ms * 1e6)
			n = (unsigned)((double)n * ms * 1e6 / (ns > 1 ? ns : 1));
		*count = n;
	}
	ns = timed(r, what, len, *count) / *count;
	alarm(0);
	return ns;
}

void running_free(struct running *r)
{
	if (!r)
		return;
	if (r->forked) {
		order(r, STUDY_READ, 0, 0);
		waitpid(r->server, NULL, 0);
	}
	if (r->m->close)
		r->m->close(r->state);
	free(r);
}
