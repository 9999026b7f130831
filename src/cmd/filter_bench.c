/*
 * filter_bench - how long a packet takes: our engines, and libpcap's interpreter on our code and on its own
 *
 * The packets fit the second-level cache. In each round every engine takes all of them so often that a millisecond or
 * two goes by; the order of the engines turns round each time. Of the rounds' times the median is told, with the
 * least and the greatest.
 */
#include "cmd/cmd.h"
#include "cmd/filter_i.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <time.h>

#include "base/bytes.h"
#include "packet/generate.h"

#define ROUNDS 31
#define ENGINES_MAX 4
#define BYTES_MAX ((size_t)192 << 10)
#define PACKETS_MAX 1024
#define ROUND_NS 2000000u

struct packets {
	uint8_t *bytes; /* owned */
	size_t used;
	struct pf_packet of[PACKETS_MAX];
	size_t n;
};

struct engine {
	const char *name;
	const struct pf_prog *prog;   /* borrowed; NULL: libpcap's interpreter runs */
	const struct bpf_insn *insns; /* borrowed: this */
	uint64_t matched;	      /* of all packets, once */
	double ns[ROUNDS];	      /* a packet */
	unsigned rounds;
};

static bool packets_add(struct packets *packets, const uint8_t *data, uint32_t caplen, uint32_t len)
{
	if (packets->n == PACKETS_MAX || packets->used + caplen > BYTES_MAX)
		return false;
	/* Where a network card puts them: the IP header behind an Ethernet header is aligned. */
	memcpy(packets->bytes + packets->used + 2, data, caplen);
	packets->of[packets->n++] =
		(struct pf_packet){ packets->bytes + packets->used + 2, caplen, len, NULL };
	packets->used = (packets->used + 2 + caplen + 15) & ~(size_t)15;
	return true;
}

static int packets_from_file(struct packets *packets, const char *path, struct filter_source *source)
{
	FILTER_FILE struct filter_file file = { 0 };
	struct filter_packet p;
	struct pfs_diag diag;
	uint64_t others = 0;
	bool room = true;
	int r = filter_file_open(path, &file);

	if (r < 0)
		return pfs_fail("%s: %s", path, strerror(-r));
	while (room && (r = filter_file_next(&file, &p, &diag)) > 0) {
		if (!packets->n && !source->forced) {
			source->options.link_type = p.link_type;
			source->options.big_endian = p.big_endian;
		}
		if (p.link_type == source->options.link_type || source->forced)
			room = packets_add(packets, p.data, p.caplen, p.len);
		else
			others++;
	}
	if (r < 0)
		return pfs_fail("%s: %s", path, diag.text);
	if (!packets->n)
		return pfs_fail("%s has no packet that is small enough", path);
	if (others)
		pfs_say("%llu packets of other link types are left out", (unsigned long long)others);
	return 0;
}

static int packets_generate(struct packets *packets)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf file = { 0 };
	const uint8_t *p;

	options.packets = PACKETS_MAX;
	options.body_max = 2000;
	if (capture_generate_buf(&options, &file, NULL) < 0)
		return pfs_fail("not enough memory");
	p = (const uint8_t *)file.data;
	/* A little-endian pcap file: 24 bytes, then 16 in front of each packet. */
	for (size_t at = 24; at + 16 <= file.len;) {
		uint32_t caplen = le32_load(p + at + 8), len = le32_load(p + at + 12);

		if (!packets_add(packets, p + at + 16, caplen, len))
			break;
		at += 16 + caplen;
	}
	return 0;
}

/* --- running --------------------------------------------------------------------------------- */

static uint64_t run_all(const struct engine *e, const struct packets *packets)
{
	uint64_t matched = 0;

	if (e->prog)
		for (size_t i = 0; i < packets->n; i++)
			matched += pf_run(e->prog, &packets->of[i]) != 0;
	else
		for (size_t i = 0; i < packets->n; i++)
			matched += bpf_filter(e->insns, packets->of[i].data, packets->of[i].len,
					      packets->of[i].caplen) != 0;
	return matched;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_round(struct engine *e, const struct packets *packets, unsigned times)
{
	double begin = now_ns();
	uint64_t matched = 0;

	assert(times > 0);
	for (unsigned i = 0; i < times; i++)
		matched += run_all(e, packets);
	e->ns[e->rounds++] = (now_ns() - begin) / (double)times / (double)packets->n;
	e->matched = matched / times;
}

static unsigned times_for(const struct engine *e, const struct packets *packets)
{
	double begin = now_ns(), took;

	run_all(e, packets);
	took = now_ns() - begin;
	return 1 + (took > ROUND_NS ? 0 : (unsigned)(ROUND_NS / (took + 1)));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_results(struct engine *engines, unsigned n, const struct packets *packets)
{
	double peer = 0;

	for (unsigned i = 0; i < n; i++) {
		qsort(engines[i].ns, ROUNDS, sizeof(double), by_size);
		if (!engines[i].prog)
			peer = engines[i].ns[ROUNDS / 2]; /* the last: libpcap's own, if it has one */
	}
	printf("%zu packets, %zu bytes, %d rounds; nanoseconds a packet\n", packets->n,
	       packets->used, ROUNDS);
	printf("%-34s %8s %8s %8s %8s %9s\n", "", "median", "least", "most", "libpcap=", "matched");
	for (unsigned i = 0; i < n; i++) {
		const struct engine *e = &engines[i];
		double median = e->ns[ROUNDS / 2];

		printf("%-34s %8.1f %8.1f %8.1f", e->name, median, e->ns[0], e->ns[ROUNDS - 1]);
		if (peer > 0)
			printf(" %7.2fx", peer / median);
		else
			printf(" %8s", "");
		printf(" %9llu\n", (unsigned long long)e->matched);
	}
}

static void measure(struct engine *engines, unsigned n, const struct packets *packets)
{
	unsigned times[ENGINES_MAX];

	for (unsigned i = 0; i < n; i++)
		times[i] = times_for(&engines[i], packets);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned k = 0; k < n; k++) {
			unsigned i = round % 2 ? n - 1 - k : k;

			run_round(&engines[i], packets, times[i]);
		}
	print_results(engines, n, packets);
}

static int bench(const struct filter_source *source, const struct packets *packets)
{
	FILTER_PROG struct pf_prog *native = NULL, *interp = NULL;
	struct bpf_program *peer = filter_peer(source);
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_options options = source->options;
	struct engine engines[ENGINES_MAX] = { 0 };
	unsigned n = 0;
	size_t ninsns;
	int r;

	options.engine = PF_ENGINE_INTERP;
	r = filter_compile(source, &options, &interp);
	if (r) {
		filter_peer_free(peer);
		return r;
	}
	options.engine = PF_ENGINE_NATIVE;
	if (pf_compile(source->language, source->text, source->len, &options, &native, NULL) == 0)
		engines[n++] = (struct engine){ .name = "native code", .prog = native };
	engines[n++] = (struct engine){ .name = "interpreter", .prog = interp };
	if (pf_emit_cbpf(interp, 0, &insns, &ninsns, NULL) == 0)
		engines[n++] = (struct engine){ .name = "libpcap's interpreter, our code",
						.insns = (const struct bpf_insn *)insns };
	if (peer)
		engines[n++] = (struct engine){ .name = "libpcap's interpreter, its code",
						.insns = peer->bf_insns };
	measure(engines, n, packets);
	filter_peer_free(peer);
	return 0;
}

int filter_bench(const struct filter_source *source, const char *path)
{
	struct packets *packets;
	struct filter_source own = *source;
	int r;

	if (!path && source->options.link_type != 1)
		return pfs_fail("made-up traffic is Ethernet; give a capture with --run");
	packets = pfs_zalloc(1, sizeof(*packets));
	if (!packets)
		return pfs_fail("not enough memory");
	packets->bytes = pfs_zalloc(1, BYTES_MAX + 32);
	if (!packets->bytes)
		r = pfs_fail("not enough memory");
	else
		r = path ? packets_from_file(packets, path, &own) : packets_generate(packets);
	if (!r)
		r = bench(&own, packets);
	free(packets->bytes);
	free(packets);
	return r;
}
