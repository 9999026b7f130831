/*
 * match - keep packets that match an expression
 *
 * Synopsis:   …/match:EXPR
 *
 * EXPR is an expression of pcap-filter(7): `tcp dst port 443`, `host 10.0.0.1 and not icmp`. What
 * passes is what `tcpdump -r FILE EXPR` would print. A slash in it is written %2f. Host names are
 * not looked up (give the address); names of ports and protocols are known. `inbound` and
 * `outbound` work wherever the direction is known, and keep nothing elsewhere.
 * So below a device, too: tcpdump on the device itself does not see a VLAN tag there (the kernel has put it
 * aside), and its `tcp` takes tagged packets; `match:tcp` does not, `match:vlan and tcp` does.
 *
 * An expression that cannot be true for the packets of this place is refused by mkdir with
 * the compiler's sentence. Where captures of many link types may come (below unpcap), it is
 * refused when it fits none of them; packets of a link type that it does not fit are counted as
 * lost, "link type".
 *
 * An expression may have 1024 bytes (a name only 255: make the directory, then write the long one to .params).
 * It runs as native code on x86-64, else by an interpreter; `pipesfs filter --explain EXPR` shows what
 * becomes of it.
 *
 * Stats:      programs (compiled, one a link type), tests (branches of the first one)
 * Parameters: none; writing arg=EXPR to .params changes the expression, or nothing if it is bad
 * Classes:    none
 * Example:    mkdir -p '/p/dev/eth0/match:tcp dst port 443'
 *
 * Threads:    programs are immutable. The table of them grows in batch() alone, when a link type is seen
 *             for the first time; that waits for nothing but another compilation, because an expression
 *             with names to look up never gets here.
 */
#include "graph/filter.h"
#include "packet/expr.h"

#include <time.h>

#define TEXT_MAX 1024 /* bytes; the compiler's time grows with the square, and others wait for it */
#define TRY_NS (UINT64_C(250) * 1000 * 1000)
#define PROGRAMS_MAX 64 /* link types in one place; more are lost, and nobody has them */

struct program {
	uint16_t link_type;
	bool big_endian;
	struct pkt_expr *expr; /* owned; NULL: the expression does not fit this link type */
};

struct match {
	char *text; /* owned */
	struct program programs[PROGRAMS_MAX];
	_Atomic uint64_t nprograms; /* writer: the worker */
	_Atomic uint64_t tests;	    /* of the first program */
};

/* Link types to try where any may come: what captures are made of. */
static const uint16_t common_link_types[] = {
	1 /* Ethernet */,
	101 /* RAW */,
	113 /* SLL */,
	276 /* SLL2 */,
	0 /* NULL */,
	108 /* LOOP */,
	9 /* PPP */,
	105 /* 802.11 */,
	127 /* radiotap */,
	119 /* Prism */,
	163 /* AVS */,
	107 /* frame relay */,
	104 /* C-HDLC */,
	100 /* ATM RFC 1483 */,
	123 /* SunATM */,
	141 /* MTP2 with pseudo-header */,
	140 /* MTP2 */,
	139 /* MTP2 with pseudo-header */,
	117 /* PFLOG */,
	6 /* token ring */,
	10 /* FDDI */,
	7 /* ARCNET */,
	129 /* ARCNET of Linux */,
	122 /* IP over FC */,
	8 /* SLIP */,
	51 /* PPPoE */,
	228 /* IPv4 */,
	229 /* IPv6 */,
};

static void match_release(struct match *m)
{
	size_t n = atomic_load_explicit(&m->nprograms, memory_order_relaxed);

	for (size_t i = 0; i < n; i++)
		pkt_expr_free(m->programs[i].expr);
	atomic_store_explicit(&m->nprograms, 0, memory_order_relaxed);
	free(m->text);
	m->text = NULL;
}

static struct program *match_add(struct match *m, uint16_t link_type, bool big_endian,
				 struct pkt_expr *expr)
{
	uint64_t n = atomic_load_explicit(&m->nprograms, memory_order_relaxed);

	m->programs[n] = (struct program){
		.link_type = link_type,
		.big_endian = big_endian,
		.expr = expr,
	};
	if (n == 0)
		atomic_store_explicit(&m->tests, expr ? pkt_expr_tests(expr) : 0, memory_order_relaxed);
	atomic_store_explicit(&m->nprograms, n + 1, memory_order_relaxed);
	return &m->programs[n];
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/*
 * The place's own link type first: its sentence is the one to say. The others are tried as long as that does not take
 * too long: a large expression with a fault at its end would be compiled again and again.
 */
static int match_compile(struct match *m, const struct pfs_place *place, struct pfs_diag *diag)
{
	uint16_t link_type = place->link_type;
	struct pkt_expr *expr = NULL;
	uint64_t end = cpu_ns() + TRY_NS;
	int r = pkt_expr_compile(m->text, link_type, false, &expr, diag);

	if (r == -EINVAL && place->flow != PFS_FLOW_IP) {
		for (size_t i = 0; r < 0 && i < ARRAY_SIZE(common_link_types) && cpu_ns() < end; i++) {
			link_type = common_link_types[i];
			r = pkt_expr_compile(m->text, link_type, false, &expr, NULL);
		}
	}
	if (r < 0)
		return r;
	match_add(m, link_type, false, expr);
	return 0;
}

static int match_setup(struct match *m, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	int r;

	if (!args->arg || args->arg_len == 0)
		return pfs_diag_set(diag, EINVAL, "match:EXPR needs an expression, as in match:tcp");
	if (args->arg_len > TEXT_MAX)
		return pfs_diag_set(diag, EINVAL,
				    "an expression may have %d bytes, this one has %zu: make several "
				    "directories of it",
				    TEXT_MAX, args->arg_len);
	m->text = strdup(args->arg);
	if (!m->text)
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	r = match_compile(m, place, diag);
	if (r < 0)
		match_release(m);
	return r;
}

static int match_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	return match_setup(state, args, place, diag);
}

static int match_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag)
{
	struct match *m = state, fresh = { 0 };
	int r = match_setup(&fresh, args, place, diag);

	if (r < 0)
		return r;
	/* Stats may be asked for at any time: what they read is replaced with atomic stores. */
	match_release(m);
	m->text = fresh.text;
	memcpy(m->programs, fresh.programs, sizeof(m->programs));
	atomic_store_explicit(&m->tests, fresh.tests, memory_order_relaxed);
	atomic_store_explicit(&m->nprograms, fresh.nprograms, memory_order_relaxed);
	return 0;
}

/* What cannot match the packets there is refused, as by mkdir. Programs are by link type: those for others stay. */
static int match_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	struct match *m = state, fresh = { .text = strdup(m->text) };
	int r = fresh.text ? match_compile(&fresh, place, diag) : -ENOMEM;

	match_release(&fresh);
	return r;
}

static void match_fini(void *state)
{
	match_release(state);
}

/* NULL: there are too many. */
static const struct program *match_program(struct match *m, const struct pfs_origin *origin)
{
	size_t n = atomic_load_explicit(&m->nprograms, memory_order_relaxed);
	struct pkt_expr *expr = NULL;
	bool big = origin->big_endian && origin->link_type == 0; /* nothing else depends on it */

	for (size_t i = 0; i < n; i++)
		if (m->programs[i].link_type == origin->link_type && m->programs[i].big_endian == big)
			return &m->programs[i];
	if (n == PROGRAMS_MAX)
		return NULL;
	if (pkt_expr_compile(m->text, origin->link_type, big, &expr, NULL) < 0)
		expr = NULL;
	return match_add(m, origin->link_type, big, expr);
}

static void match_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct match *m = state;
	const struct program *program = NULL;
	struct pfs_meta meta;
	uint64_t unfit = 0;

	for (size_t i = 0; i < n; i++) {
		const struct pfs_ref *ref = &in[i];

		if (i == 0 || ref->origin != in[i - 1].origin)
			program = match_program(m, pfs_origin_get(out->rings, ref->origin));
		if (!program || !program->expr) {
			unfit++;
			continue;
		}
		pfs_meta(out, ref, &meta);
		if (pkt_expr_match(program->expr, pfs_bytes(out, ref), ref->len, meta.wire_len,
				   ref->flags))
			pfs_emit(out, ref);
	}
	if (unfit)
		pfs_emit_lost(out, "link type", unfit);
}

static int match_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	const struct match *m = state;

	return pkt_expr_keeps_in("pcap", m->text, link_type, ret_unit);
}

static void match_stats(void *state, struct pfs_buf *out)
{
	struct match *m = state;

	pfs_buf_printf(out, "programs %llu\n",
		       (unsigned long long)atomic_load_explicit(&m->nprograms, memory_order_relaxed));
	pfs_buf_printf(out, "tests %llu\n",
		       (unsigned long long)atomic_load_explicit(&m->tests, memory_order_relaxed));
}

const struct pfs_filter pfs_filter_match = {
	.name = "match",
	.summary = "keep packets that match an expression of pcap-filter(7)",
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.state_size = sizeof(struct match),
	.init = match_init,
	.reconfigure = match_reconfigure,
	.moved = match_moved,
	.fini = match_fini,
	.batch = match_batch,
	.keeps = match_keeps,
	.stats = match_stats,
};
