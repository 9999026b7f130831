#include "pf/front/pcap.h"

#include <pcap/pcap.h>
#include <pthread.h>
#include <stdio.h>

#include "base/bytes.h"
#include "pf/error.h"
#include "pf/classic.h"
#include "pf/front/cbpf.h"
#include "pf/front/front.h"

static_assert(sizeof(struct pf_insn) == sizeof(struct bpf_insn) &&
		      offsetof(struct pf_insn, jt) == offsetof(struct bpf_insn, jt) &&
		      offsetof(struct pf_insn, k) == offsetof(struct bpf_insn, k),
	      "instructions are copied as they are");

/*
 * libpcap walks its graph by recursion, as deep as it has tests (50,000 for 800 ports), and takes the cube of that in
 * time. This much fits the stack of a thread and ends within a minute at the worst.
 */
#define TEXT_MAX ((size_t)4 << 10)

/* libpcap's name functions use static memory. */
static pthread_mutex_t compiler = PTHREAD_MUTEX_INITIALIZER;

/*
 * An open capture of that link type. libpcap itself maps LINKTYPE_ values of files to its own DLT_ ones, so it is
 * given a file; and LINKTYPE_NULL needs the file's byte order.
 */
static int capture_open(const struct pf_options *options, pcap_t **ret_capture, struct pf_error *error)
{
	char said[PCAP_ERRBUF_SIZE] = "";
	uint8_t header[24] = { 0 };
	FILE *file;
	pcap_t *p;

	/* Version 2.4, snaplen and link type. */
	if (options->big_endian) {
		be32_store(header, 0xa1b2c3d4);
		be32_store(header + 4, 2 << 16 | 4);
		be32_store(header + 16, options->snaplen);
		be32_store(header + 20, options->link_type);
	} else {
		le32_store(header, 0xa1b2c3d4);
		le32_store(header + 4, 4 << 16 | 2);
		le32_store(header + 16, options->snaplen);
		le32_store(header + 20, options->link_type);
	}
	file = fmemopen(header, sizeof(header), "r");
	if (!file)
		return pf_fail(error, ENOMEM, "no memory for the compiler of expressions");
	p = pcap_fopen_offline(file, said);
	if (!p) {
		fclose(file);
		return pf_fail(error, EINVAL, "link type %u: %.200s", options->link_type, said);
	}
	*ret_capture = p;
	return 0;
}

/*
 * What libpcap makes reads words that not all ways have written ("geneve or arp": where the inner packet begins,
 * though there is none). Such words are 0; its interpreter has whatever was there. Insns may move.
 */
static int begin_words(struct pf_insn **insns, size_t *n)
{
	uint32_t words = 0;
	struct pf_insn *all;
	size_t at = 0, set;

	if (pf_cbpf_check(*insns, *n, CBPF_LOOPS, NULL) != -EINVAL)
		return 0;
	for (size_t i = 0; i < *n; i++) {
		const struct pf_insn *insn = &(*insns)[i];

		if (CB_CLASS(insn->code) <= CB_LDX && CB_MODE(insn->code) == CB_MEM &&
		    insn->k < CB_WORDS)
			words |= UINT32_C(1) << insn->k;
	}
	set = (size_t)__builtin_popcount(words);
	all = set ? pfs_zalloc(1 + set + *n, sizeof(*all)) : NULL;
	if (!all)
		return set ? -ENOMEM : 0;
	all[at++].code = CB_LD | CB_W | CB_IMM;
	for (; words; words &= words - 1)
		all[at++] = (struct pf_insn){ .code = CB_ST, .k = (uint32_t)__builtin_ctz(words) };
	memcpy(all + at, *insns, *n * sizeof(*all));
	free(*insns);
	*insns = all;
	*n += at;
	return 0;
}

static int parse(pcap_t *p, const char *text, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	struct bpf_program program;
	size_t n;

	/* Netmask 0, as tcpdump has it when it reads a file. */
	if (pcap_compile(p, &program, text, 0, 0) != 0)
		return pf_fail(error, EINVAL, "%.250s", pcap_geterr(p));
	n = program.bf_len;
	insns = pfs_zalloc(n, sizeof(*insns));
	if (insns)
		memcpy(insns, program.bf_insns, n * sizeof(*insns));
	pcap_freecode(&program);
	if (!insns || begin_words(&insns, &n) < 0)
		return pf_fail(error, ENOMEM, "no memory for an expression");
	*ret_insns = TAKE_PTR(insns);
	*ret_n = n;
	return 0;
}

static int parse_locked(const char *text, const struct pf_options *options,
			struct pf_insn **ret_insns, size_t *ret_n, struct pf_error *error)
{
	pcap_t *file = NULL, *device;
	int r = capture_open(options, &file, error);

	if (r < 0)
		return r;
	r = parse(file, text, ret_insns, ret_n, error);
	/* The sentence of the first attempt is the one that tcpdump says. */
	if (r == -EINVAL) {
		device = pcap_open_dead(pcap_datalink(file), (int)options->snaplen);
		if (device) {
			r = parse(device, text, ret_insns, ret_n, NULL);
			pcap_close(device);
		}
	}
	pcap_close(file);
	return r;
}

int pf_pcap_parse(const char *text, const struct pf_options *options, struct pf_insn **ret_insns,
		  size_t *ret_n, struct pf_error *error)
{
	int r = pf_pcap_names(text, error);

	if (r < 0)
		return r;
	/* packet/expr.c comes here directly. */
	if (strlen(text) > TEXT_MAX)
		return pf_fail(error, E2BIG, "an expression of more than %zu bytes", TEXT_MAX);
	if (options->snaplen - 1 >= INT32_MAX)
		return pf_fail(error, EINVAL, "a snapshot of %u bytes", options->snaplen);
	pthread_mutex_lock(&compiler);
	r = parse_locked(text, options, ret_insns, ret_n, error);
	pthread_mutex_unlock(&compiler);
	return r;
}

static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n = 0;
	int r;

	if (memchr(text, 0, len))
		return pf_fail(error, EINVAL, "an expression with a NUL byte in it");
	r = pf_pcap_parse(text, options, &insns, &n, error);
	if (r == 0)
		r = pf_front_cbpf(u, insns, n, CBPF_LOOPS, error);
	if (r == 0)
		*ret_said = pf_said_insns(TAKE_PTR(insns), n);
	return r;
}

const struct pf_front pf_front_pcap = {
	.name = "pcap",
	.max = TEXT_MAX,
	.make = make,
};
