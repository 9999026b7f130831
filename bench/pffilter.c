/*
 * bench-pffilter - cycles a packet of each engine: pipesfs's, libpcap's interpreter, C by hand
 *
 *	bench-pffilter ROUNDS [EXPRESSION...]
 *
 * Prints `NAME ENGINE ROUND CYCLES` for each measurement: cycles of the time stamp counter, of one packet. All
 * engines of one expression run in each round, in an order that is shuffled anew. The packets (made-up traffic of
 * all kinds) fit the second-level cache. Each engine is called through a pointer, once for each packet: "native"
 * and "interp" are pf_run(), "direct" is the code of pf_get_code(), which C by hand is called like; "batch" is
 * pf_run_batch(). Before that, all must give the same answers.
 */
#include <assert.h>
#include <pcap/pcap.h>
#include <pipesfs/pf.h>
#include <stdio.h>
#include <x86intrin.h>

#include "base/bytes.h"
#include "packet/generate.h"
#include "pffilter.h"

#define PACKETS_MAX 2048u
#define BYTES_MAX ((size_t)1 << 20)
#define ROUND_CYCLES 3000000u

static uint8_t bytes[BYTES_MAX + 64];
static struct pf_packet packets[PACKETS_MAX];
static uint32_t result[PACKETS_MAX], expected[PACKETS_MAX];
static unsigned npackets;

struct engine {
	const char *name;
	/* One of them. */
	uint32_t (*run)(const struct pf_prog *prog, const struct pf_packet *packet);
	void (*batch)(const struct pf_prog *prog, const struct pf_packet *packets, size_t n,
		      uint32_t *results);
	u_int (*interpret)(const struct bpf_insn *insns, const u_char *data, u_int len, u_int caplen);
	pf_code_fn *code;
	const void *self;
	const struct pf_prog *prog;
	const struct bpf_insn *insns;
};

static void make_packets(void)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf file = { 0 };
	size_t used = 0;

	options.packets = PACKETS_MAX;
	options.body_max = 4000;
	options.snaplen = 256; /* filters look at headers; more packets have room */
	if (capture_generate_buf(&options, &file, NULL) < 0)
		abort();
	/* A little-endian pcap file: 24 bytes, then 16 in front of each packet. */
	for (size_t at = 24; at + 16 <= file.len && npackets < PACKETS_MAX;) {
		uint32_t caplen = le32_load((uint8_t *)file.data + at + 8);
		uint32_t len = le32_load((uint8_t *)file.data + at + 12);

		if (used + 2 + caplen > BYTES_MAX)
			break;
		/* Where a network card puts them: the IP header behind an Ethernet header is aligned. */
		memcpy(bytes + used + 2, file.data + at + 16, caplen);
		packets[npackets++] = (struct pf_packet){ bytes + used + 2, caplen, len, NULL };
		used = (used + 2 + caplen + 15) & ~(size_t)15;
		at += 16 + caplen;
	}
}

static void run_all(const struct engine *e)
{
	/* The compiler is not to know whom it calls. */
	const struct engine *volatile hidden = e;

	e = hidden;
	if (e->batch)
		e->batch(e->prog, packets, npackets, result);
	else if (e->run)
		for (unsigned i = 0; i < npackets; i++)
			result[i] = e->run(e->prog, &packets[i]);
	else if (e->code)
		for (unsigned i = 0; i < npackets; i++)
			result[i] = e->code(&packets[i], e->self);
	else
		for (unsigned i = 0; i < npackets; i++)
			result[i] = e->interpret(e->insns, packets[i].data, packets[i].len,
						 packets[i].caplen);
}

static double measure(const struct engine *e)
{
	uint64_t begin = __rdtsc(), took;
	unsigned times = 0;

	do {
		run_all(e);
		times++;
		took = __rdtsc() - begin;
	} while (took < ROUND_CYCLES);
	return (double)took / times / npackets;
}

/* Whoever is wrong is not measured. */
static bool check(const char *name, const struct engine *engines, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		run_all(&engines[i]);
		if (!i)
			memcpy(expected, result, sizeof(expected));
		for (unsigned k = 0; k < npackets; k++)
			if (!result[k] != !expected[k]) {
				fprintf(stderr, "%s: %s and %s differ about packet %u\n", name,
					engines[0].name, engines[i].name, k);
				return false;
			}
	}
	return true;
}

static void shuffle(unsigned *order, unsigned n)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)random() % i, t = order[k];

		order[k] = order[i - 1];
		order[i - 1] = t;
	}
}

static struct pf_prog *compile(const char *text, enum pf_engine engine)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error;
	struct pf_prog *prog;

	options.engine = engine;
	if (pf_compile("pcap", text, strlen(text), &options, &prog, &error) == 0)
		return prog;
	fprintf(stderr, "%s: %s\n", text, error.text);
	exit(1);
}

static bool bench(const char *name, const char *text, byhand_fn *byhand, unsigned rounds)
{
	struct pf_prog *native = compile(text, PF_ENGINE_NATIVE),
		       *interp = compile(text, PF_ENGINE_INTERP);
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 262144);
	struct bpf_program theirs;
	struct engine engines[6] = { 0 };
	unsigned n = 0, order[6];
	bool ok;

	if (pcap_compile(dead, &theirs, text, 1, 0) < 0) {
		fprintf(stderr, "%s: %s\n", text, pcap_geterr(dead));
		return false;
	}
	engines[n++] =
		(struct engine){ .name = "libpcap", .interpret = bpf_filter, .insns = theirs.bf_insns };
	engines[n++] = (struct engine){ .name = "native", .run = pf_run, .prog = native };
	engines[n].name = "direct";
	engines[n].code = pf_get_code(native, &engines[n].self);
	n++;
	engines[n++] = (struct engine){ .name = "batch", .batch = pf_run_batch, .prog = native };
	engines[n++] = (struct engine){ .name = "interp", .run = pf_run, .prog = interp };
	if (byhand)
		engines[n++] = (struct engine){ .name = "C", .code = byhand };
	ok = check(name, engines, n);
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned round = 0; round < rounds && ok; round++) {
		shuffle(order, n);
		for (unsigned i = 0; i < n; i++)
			printf("%s\t%s\t%u\t%.3f\n", name, engines[order[i]].name, round,
			       measure(&engines[order[i]]));
	}
	pcap_freecode(&theirs);
	pcap_close(dead);
	pf_unref(native);
	pf_unref(interp);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 31;
	bool ok = true;

	make_packets();
	fprintf(stderr, "%u packets\n", npackets);
	if (argc > 2)
		for (int i = 2; i < argc; i++)
			ok = bench(argv[i], argv[i], NULL, rounds) && ok;
	else
		for (unsigned i = 0; byhand_filters[i].name; i++)
			ok = bench(byhand_filters[i].name, byhand_filters[i].text,
				   byhand_filters[i].run, rounds) &&
			     ok;
	return !ok;
}
