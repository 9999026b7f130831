/*
 * What a filter costs in the kernel, and in user space: `FILTER KIND ROUND NS`
 *
 * A send() of made-up traffic on a device with FILTERS filters (cls_bpf, at egress), which the kernel asks one after
 * the other as long as they say no; so all say no, where they would accept, too. KIND: "empty": each is `ret #0`;
 * "libpcap": the code of libpcap's optimiser, "pf classic": our classic BPF, which the kernel turns into machine code
 * as for SO_ATTACH_FILTER; "pf eBPF": what our eBPF back end makes. Each filter is loaded by itself, so that there
 * is as much machine code of one kind as of another. NS: of a send(), by the number of filters. "native": our machine
 * code in user space (pf_get_code()) on the same bytes; NS: of a packet.
 */
#include <pipesfs/pf.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lsf.h"
#include "packet/generate.h"
#include "pffilter.h"
#include "source/bpf.h"

#define FILTERS 64
#define PACKETS 500
#define INSNS_MAX 4096
#define NATIVE_TIMES 40 /* the packets, in one measurement */

static_assert(sizeof(struct pf_insn) == sizeof(struct sock_filter), "they are the same");

struct traffic {
	struct pfs_buf file;
	struct pf_packet packets[PACKETS];
	unsigned n;
};

int lsf_libpcap(const char *text, struct pf_insn *insns, size_t max);

static void make_traffic(struct traffic *t)
{
	struct generate_options options = GENERATE_DEFAULTS;

	options.packets = PACKETS;
	options.snaplen = 256;
	if (capture_generate_buf(&options, &t->file, NULL) < 0)
		die("traffic");
	for (size_t at = 24; at + 16 <= t->file.len && t->n < PACKETS;) {
		const uint8_t *record = (const uint8_t *)t->file.data + at;
		uint32_t len = le32_load(record + 8);

		t->packets[t->n++] = (struct pf_packet){ record + 16, len, len, NULL };
		at += 16 + len;
	}
}

static struct pf_prog *compile(const char *text, enum pf_engine engine)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_prog *prog;
	struct pf_error error;

	options.engine = engine;
	if (pf_compile("pcap", text, strlen(text), &options, &prog, &error) < 0)
		die(error.text);
	return prog;
}

/* --- filters of the device ------------------------------------------------------------------- */

static void use_classic(struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (BPF_CLASS(insns[i].code) == BPF_RET)
			insns[i] = (struct pf_insn){ .code = BPF_RET | BPF_K };
	tc_classic((const struct sock_filter *)(const void *)insns, n, FILTERS);
}

static void use_libpcap(const char *text)
{
	static struct pf_insn insns[INSNS_MAX];
	int n = lsf_libpcap(text, insns, INSNS_MAX);

	if (n < 0)
		die("libpcap");
	use_classic(insns, (size_t)n);
}

static void use_ours(const char *text)
{
	struct pf_prog *prog = compile(text, PF_ENGINE_INTERP);
	struct pf_error error;
	struct pf_insn *insns;
	size_t n;

	if (pf_emit_cbpf(prog, PF_CBPF_LINUX, &insns, &n, &error) < 0)
		die(error.text);
	use_classic(insns, n);
	free(insns);
	pf_unref(prog);
}

static void use_ebpf(const char *text)
{
	struct kbpf_prog_spec spec = { .type = BPF_PROG_TYPE_SCHED_CLS, .name = "pf_bench" };
	struct pf_prog *prog = compile(text, PF_ENGINE_INTERP);
	struct pf_error error;
	struct pfs_diag diag;
	struct bpf_insn *insns;
	uint64_t *words;
	int fd[FILTERS];

	if (pf_emit_ebpf(prog, &words, &spec.n, &error) < 0)
		die(error.text);
	insns = (struct bpf_insn *)(void *)words;
	/* The result is a number that R0 gets somewhere: none is accepted. */
	for (size_t i = 0; i < spec.n; i++)
		if ((insns[i].code == (BPF_ALU | BPF_MOV | BPF_K) ||
		     insns[i].code == (BPF_ALU64 | BPF_MOV | BPF_K)) &&
		    insns[i].dst_reg == 0 && insns[i].imm == 262144)
			insns[i].imm = 0;
	spec.insns = insns;
	for (unsigned i = 0; i < FILTERS; i++) {
		fd[i] = kbpf_prog_load(&spec, &diag);
		if (fd[i] < 0)
			die(diag.text);
	}
	tc_ebpf(fd, FILTERS);
	for (unsigned i = 0; i < FILTERS; i++)
		close(fd[i]);
	free(words);
	pf_unref(prog);
}

/* --- measuring ------------------------------------------------------------------------------- */

static double send_traffic(int out, const struct traffic *t)
{
	uint64_t begin = now_ns();
	unsigned n = 0;

	for (unsigned i = 0; i < t->n; i++)
		n += send(out, t->packets[i].data, t->packets[i].caplen, 0) >= 0;
	return n ? (double)(now_ns() - begin) / n / FILTERS : 0;
}

static double run_native(const struct traffic *t, pf_code_fn *code, const void *self)
{
	uint64_t begin = now_ns();
	uint32_t any = 0;

	for (unsigned times = 0; times < NATIVE_TIMES; times++)
		for (unsigned i = 0; i < t->n; i++)
			any |= code(&t->packets[i], self);
	/* Somebody wants to know. */
	__asm__ volatile("" : : "r"(any));
	return (double)(now_ns() - begin) / NATIVE_TIMES / t->n;
}

/* The quickest of a few times: what else the machine does meanwhile is not of interest here. */
static double best_of(int out, const struct traffic *t, pf_code_fn *code, const void *self)
{
	double best = 0;

	for (int i = 0; i < 7; i++) {
		double ns = code ? run_native(t, code, self) : send_traffic(out, t);

		if (!i || ns < best)
			best = ns;
	}
	return best;
}

static double measure_native(const struct traffic *t, const char *text)
{
	struct pf_prog *prog = compile(text, PF_ENGINE_NATIVE);
	const void *self;
	pf_code_fn *code = pf_get_code(prog, &self);
	double ns = best_of(-1, t, code, self);

	pf_unref(prog);
	return ns;
}

static double measure(int out, const struct traffic *t, const char *kind, const char *text)
{
	struct pf_insn nothing = { .code = BPF_RET | BPF_K };

	if (strcmp(kind, "native") == 0)
		return measure_native(t, text);
	if (strcmp(kind, "empty") == 0)
		use_classic(&nothing, 1);
	else if (strcmp(kind, "libpcap") == 0)
		use_libpcap(text);
	else if (strcmp(kind, "pf classic") == 0)
		use_ours(text);
	else
		use_ebpf(text);
	return best_of(out, t, NULL, NULL);
}

int lsf_filter(unsigned rounds)
{
	static const char *const kinds[] = { "empty", "libpcap", "pf classic", "pf eBPF", "native" };
	static struct traffic traffic;
	const unsigned nkinds = sizeof(kinds) / sizeof(kinds[0]);
	int out = packet_socket(0);

	make_traffic(&traffic);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; byhand_filters[i].name; i++)
			for (unsigned k = 0; k < nkinds; k++) {
				const char *kind = kinds[(k + round) % nkinds];

				printf("%s\t%s\t%u\t%.2f\n", byhand_filters[i].name, kind, round,
				       measure(out, &traffic, kind, byhand_filters[i].text));
			}
	tc_none();
	close(out);
	pfs_buf_release(&traffic.file);
	return 0;
}
