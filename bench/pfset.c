/*
 * pfset - what sets of endpoint filters cost a packet, and what one more costs
 *
 *	pfset FAMILY ROUNDS		FAMILY: port, host, tuple
 *
 * For 1, 10, ... 10,000 filters, nanoseconds a packet: the set in native code, in the interpreter and as a program
 * of the kernel (BPF_PROG_TEST_RUN; where that is allowed), one filter by itself, and libpcap's interpreter, which
 * runs one program after the other. All of them take the same packets, of which one in ten is for a random member.
 * In each round everything runs once, in an order shuffled anew. A line each has median, least and most of the
 * rounds:
 *
 *	ns KIND FILTERS ...		a packet
 *	of-one KIND FILTERS ...		times what the same engine takes for a set of one
 *	of-alone native FILTERS ...	times what a filter takes that is in no set
 *	of-ours libpcap FILTERS ...	times what our native code takes
 *	us add 10000 ...		pf_set_add() of a filter that is compiled
 *	us compile 10000 ...		pf_compile() of it
 */
#include <stdio.h>
#include <time.h>

#include <bpf/bpf.h>
#include <pipesfs/pf.h>

#include "base/bytes.h"
#include "pf/back/ebpf.h"
#include "pf/merge/merge.h"
#include "pf/merge/set.h"
#include "source/bpf.h"
#include "source/bpftables.h"

#define PACKETS 512u
#define BATCH 64u
#define FRAME 60u
#define SIZES 5u
#define KINDS 5u
#define ROUNDS_MAX 101u
#define MOST 10000u
#define ROUND_NS 1000000.0

enum kind { NATIVE, INTERP, KERNEL, ALONE, LIBPCAP };
static const char *const names[KINDS] = { "native", "interp", "kernel", "alone", "libpcap" };

static uint64_t state = 1;

static uint32_t roll(uint32_t sides)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((state >> 33) * sides >> 31);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "pfset: %s\n", what);
	exit(1);
}

/* --- filters and packets --------------------------------------------------------------------- */

static uint32_t address_of(uint32_t i)
{
	return 0x0a000001 + i * 7;
}

static uint16_t port_of(uint32_t i)
{
	return (uint16_t)(1000 + i * 3);
}

static void filter_text(const char *family, uint32_t i, char *text, size_t size)
{
	uint32_t a = address_of(i), b = address_of(i + 5000);
	char host[20], peer[20];

	snprintf(host, sizeof(host), "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	snprintf(peer, sizeof(peer), "%u.%u.%u.%u", b >> 24, b >> 16 & 255, b >> 8 & 255, b & 255);
	if (strcmp(family, "port") == 0)
		snprintf(text, size, "tcp dst port %u", port_of(i));
	else if (strcmp(family, "host") == 0)
		snprintf(text, size, "host %s and port %u", host, port_of(i));
	else
		snprintf(text, size,
			 "tcp and src host %s and dst host %s and src port %u and dst port %u",
			 peer, host, port_of(i + 1), port_of(i));
}

struct traffic {
	uint8_t bytes[PACKETS][64]; /* a frame from byte 2 on: its IP header is aligned */
	struct pf_packet of[PACKETS];
};

/* One in ten for a member of the first n. */
static void make_traffic(struct traffic *t, uint32_t n)
{
	state = 7;
	for (uint32_t i = 0; i < PACKETS; i++) {
		uint8_t *p = t->bytes[i] + 2;
		bool hit = roll(10) == 0;
		uint32_t m = roll(n);

		memset(p, 0, FRAME);
		be16_store(p + 12, 0x800);
		p[14] = 0x45;
		be16_store(p + 16, FRAME - 14);
		p[23] = hit || roll(4) ? 6 : 17;
		be32_store(p + 26, hit ? address_of(m + 5000) : 0xc0a80000 + roll(65536));
		be32_store(p + 30, hit ? address_of(m) : 0xac100000 + roll(65536));
		be16_store(p + 34, hit ? port_of(m + 1) : (uint16_t)roll(1000));
		be16_store(p + 36, hit ? port_of(m) : (uint16_t)(32000 + roll(32000)));
		t->of[i] = (struct pf_packet){ p, FRAME, FRAME, NULL };
	}
}

/* --- in the kernel --------------------------------------------------------------------------- */

/* The tables stay what they are, so the maps need not follow; the program holds them. Negative: not allowed. */
static int kernel_program(struct pf_set *set)
{
	KCODE_CLEANUP struct kcode c = { 0 };
	struct kbpf_tables tables;
	struct kbpf_prog_spec prog = { .type = BPF_PROG_TYPE_SCHED_CLS, .name = "pfset" };
	struct pfs_diag diag = { "" };
	struct pf_unit u;
	int fd;

	if (pf_set_unit(set, &u) < 0 || pf_merge_any(&u) < 0)
		die("no merged program");
	fd = kbpf_tables_make(&tables, &u, 2 * MOST);
	if (fd == 0) {
		if (pf_ebpf_program_with(&u, -1, kbpf_tables_where, &tables, &c) < 0)
			die("no eBPF");
		prog.insns = c.insn;
		prog.n = c.n;
		fd = kbpf_prog_load(&prog, &diag);
		kbpf_tables_release(&tables);
	}
	if (fd < 0)
		fprintf(stderr, "pfset: no program in the kernel: %s\n", diag.text);
	pf_unit_release(&u);
	return fd;
}

/* What the kernel itself says a run takes, of a few packets. */
static double kernel_ns(int fd, const struct traffic *t)
{
	double sum = 0;

	for (unsigned i = 0; i < PACKETS; i += 8) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = t->of[i].data,
			    .data_size_in = FRAME, .repeat = 500);

		if (bpf_prog_test_run_opts(fd, &opts) < 0)
			die("the kernel does not run it");
		sum += opts.duration;
	}
	return sum / (PACKETS / 8.0);
}

/* --- one size -------------------------------------------------------------------------------- */

struct sized {
	uint32_t n;
	struct pf_set *set[2]; /* native, interp */
	struct pf_set_reader *reader[2];
	struct pf_prog **prog; /* all of them */
	struct pf_insn **insns;
	int fd;
	struct traffic *traffic;
	double ns[KINDS][ROUNDS_MAX];
	unsigned matched[KINDS];
};

static void size_init(struct sized *s, const char *family, uint32_t n)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error;
	uint32_t id;

	*s = (struct sized){ .n = n, .fd = -1 };
	s->prog = pfs_zalloc(n, sizeof(struct pf_prog *));
	s->insns = pfs_zalloc(n, sizeof(struct pf_insn *));
	s->traffic = pfs_zalloc(1, sizeof(*s->traffic));
	for (unsigned e = 0; e < 2; e++) {
		options.engine = e ? PF_ENGINE_INTERP : PF_ENGINE_BEST;
		if (pf_set_new(&options, &s->set[e], &error) < 0 ||
		    pf_set_reader_new(s->set[e], &s->reader[e]) < 0)
			die("no set");
	}
	options.engine = PF_ENGINE_BEST;
	for (uint32_t i = 0; i < n; i++) {
		char text[200];
		size_t ninsns;

		filter_text(family, i, text, sizeof(text));
		if (pf_compile("pcap", text, strlen(text), &options, &s->prog[i], &error) < 0 ||
		    pf_emit_cbpf(s->prog[i], 0, &s->insns[i], &ninsns, &error) < 0)
			die(error.text);
		for (unsigned e = 0; e < 2; e++)
			if (pf_set_add(s->set[e], s->prog[i], NULL, &id, &error) < 0)
				die(error.text);
	}
	make_traffic(s->traffic, n);
	s->fd = kernel_program(s->set[0]);
}

static unsigned run_set(struct pf_set_reader *reader, const struct traffic *t)
{
	struct pf_match match[4];
	unsigned matched = 0;

	for (unsigned i = 0; i < PACKETS; i += BATCH) {
		pf_set_enter(reader);
		for (unsigned k = i; k < i + BATCH; k++)
			matched += pf_set_run(reader, &t->of[k], match, 4) != 0;
		pf_set_leave(reader);
	}
	return matched;
}

/* libpcap's header and the kernel's name different things struct bpf_insn. */
unsigned bpf_filter(const struct pf_insn *insns, const uint8_t *packet, unsigned len, unsigned caplen);

/* Each packet through all programs; of many programs only some packets, since it takes so long. */
static unsigned run_libpcap(const struct sized *s, unsigned step)
{
	unsigned matched = 0;

	for (unsigned i = 0; i < PACKETS; i += step) {
		bool any = false;

		for (uint32_t k = 0; k < s->n; k++)
			any |= bpf_filter(s->insns[k], s->traffic->of[i].data, FRAME, FRAME) != 0;
		matched += any;
	}
	return matched;
}

static unsigned run_alone(const struct sized *s)
{
	unsigned matched = 0;

	for (unsigned i = 0; i < PACKETS; i++)
		matched += pf_run(s->prog[0], &s->traffic->of[i]) != 0;
	return matched;
}

static unsigned run_once(struct sized *s, enum kind kind, unsigned step)
{
	switch (kind) {
	case NATIVE:
	case INTERP:
		return run_set(s->reader[kind], s->traffic);
	case ALONE:
		return run_alone(s);
	default:
		return run_libpcap(s, step);
	}
}

static void measure(struct sized *s, enum kind kind, unsigned round)
{
	unsigned step = kind == LIBPCAP && s->n > 100 ? 32 : 1, times = 0;
	double begin = now_ns(), took;

	if (kind == KERNEL) {
		s->ns[kind][round] = s->fd < 0 ? 0 : kernel_ns(s->fd, s->traffic);
		return;
	}
	do {
		s->matched[kind] = run_once(s, kind, step);
		took = now_ns() - begin;
		times++;
	} while (took < ROUND_NS);
	s->ns[kind][round] = took / times / (PACKETS / step);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell_sorted(const char *what, const char *kind, uint32_t n, double *x, unsigned rounds)
{
	qsort(x, rounds, sizeof(*x), by_size);
	if (x[rounds / 2] > 0)
		printf("%s %s %u %.2f %.2f %.2f\n", what, kind, n, x[rounds / 2], x[0], x[rounds - 1]);
}

/* Round by round: what both have suffered alike goes out. */
static void tell_ratio(const struct sized *s, enum kind kind, const struct sized *to,
		       enum kind to_kind, const char *what, unsigned rounds)
{
	double ratio[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		ratio[i] = to->ns[to_kind][i] > 0 ? s->ns[kind][i] / to->ns[to_kind][i] : 0;
	tell_sorted(what, names[kind], s->n, ratio, rounds);
}

static void tell(struct sized *s, unsigned rounds)
{
	for (unsigned i = 0; i < SIZES; i++) {
		if (s[i].matched[NATIVE] != s[i].matched[INTERP] ||
		    (s[i].n <= 100 && s[i].matched[NATIVE] != s[i].matched[LIBPCAP]))
			die("engines differ");
		for (unsigned kind = NATIVE; kind <= KERNEL; kind++)
			tell_ratio(&s[i], kind, &s[0], kind, "of-one", rounds);
		tell_ratio(&s[i], NATIVE, &s[0], ALONE, "of-alone", rounds);
		tell_ratio(&s[i], LIBPCAP, &s[i], NATIVE, "of-ours", rounds);
	}
	for (unsigned i = 0; i < SIZES; i++)
		for (unsigned kind = 0; kind < KINDS; kind++)
			tell_sorted("ns", names[kind], s[i].n, s[i].ns[kind], rounds);
}

/* --- one more -------------------------------------------------------------------------------- */

#define ADDED 1000u

static void tell_adding(struct sized *s, const char *family)
{
	static double add[ADDED], compile[ADDED];
	struct pf_error error;

	for (unsigned i = 0; i < ADDED; i++) {
		struct pf_prog *prog;
		char text[200];
		double begin = now_ns();
		uint32_t id;

		filter_text(family, MOST + i, text, sizeof(text));
		if (pf_compile("pcap", text, strlen(text), NULL, &prog, &error) < 0)
			die(error.text);
		compile[i] = (now_ns() - begin) / 1000;
		begin = now_ns();
		if (pf_set_add(s->set[0], prog, NULL, &id, &error) < 0)
			die(error.text);
		add[i] = (now_ns() - begin) / 1000;
		pf_unref(prog);
	}
	tell_sorted("us", "add", s->n, add, ADDED);
	tell_sorted("us", "compile", s->n, compile, ADDED);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[SIZES] = { 1, 10, 100, 1000, MOST };
	static struct sized s[SIZES];
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 31, order[SIZES * KINDS];

	if (argc < 2 || !rounds || rounds > ROUNDS_MAX)
		die("pfset port|host|tuple ROUNDS");
	for (unsigned i = 0; i < SIZES; i++)
		size_init(&s[i], argv[1], sizes[i]);
	for (unsigned i = 0; i < SIZES * KINDS; i++)
		order[i] = i;
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = SIZES * KINDS - 1; i > 0; i--) {
			unsigned k = roll(i + 1), x = order[i];

			order[i] = order[k];
			order[k] = x;
		}
		for (unsigned i = 0; i < SIZES * KINDS; i++)
			measure(&s[order[i] / KINDS], (enum kind)(order[i] % KINDS), round);
	}
	tell(s, rounds);
	tell_adding(&s[SIZES - 1], argv[1]);
	return 0;
}
