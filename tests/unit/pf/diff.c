/*
 * diff - the same verdict from everybody
 *
 * Every expression of the corpus and programs made at random, over generated and made-up packets
 * cut at many lengths: the evaluator of the intermediate form, each back end, and the classic BPF
 * that we emit, against libpcap's interpreter and against the kernel's own. PF_DIFF_SECONDS=60
 * makes random programs for a minute; PFS_PCAPS=DIR and PF_DIFF_FULL=1 take every packet of every
 * capture there, cut at each length up to 128.
 */
#include "help.h"

#include <dirent.h>
#include <pcap/pcap.h>
#include <sys/socket.h>

#include "pf/front/cbpf.h"
#include "pf/front/pcap.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"

struct sock_filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct sock_fprog {
	unsigned short len;
	struct sock_filter *filter;
};

/* --- the kernel ------------------------------------------------------------------------------ */

/* A pair of datagram sockets: what the filter of one keeps of what is sent into the other. */
struct kernel {
	int fd[2];
	bool off; /* the kernel refuses filters */
};

static void kernel_open(struct kernel *kernel)
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, kernel->fd), 0);
}

static void kernel_close(struct kernel *kernel)
{
	close(kernel->fd[0]);
	close(kernel->fd[1]);
}

static int kernel_attach(const struct kernel *kernel, const struct pf_insn *insns, size_t n)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = (struct sock_filter *)insns };

	return setsockopt(kernel->fd[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0
		       ? -errno
		       : 0;
}

/* How many bytes it kept; an empty packet tells only whether it was kept. */
static uint32_t kernel_run(const struct kernel *kernel, const struct pf_packet *p)
{
	uint8_t byte;
	ssize_t n;

	assert_int_equal(send(kernel->fd[0], p->data, p->caplen, 0), p->caplen);
	n = recv(kernel->fd[1], &byte, 1, MSG_TRUNC);
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	return n < 0 ? 0 : p->caplen ? (uint32_t)n : 1;
}

/* --- one program ----------------------------------------------------------------------------- */

struct subject {
	const char *name;
	const struct pf_insn *insns; /* the original */
	size_t n;
	struct pf_prog *prog; /* native code, where there is any */
	struct pf_prog *interp;
	struct pf_unit ir;
	struct eval eval;
	struct pf_insn *emitted, *for_linux;
	size_t nemitted, nlinux;
};

static void subject_release(struct subject *s)
{
	eval_release(&s->eval);
	pf_unit_release(&s->ir);
	pf_unref(s->prog);
	pf_unref(s->interp);
	free(s->emitted);
	free(s->for_linux);
}

static void show_insns(const struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print_error("{ 0x%x, %u, %u, 0x%08x },\n", insns[i].code, insns[i].jt, insns[i].jf,
			    insns[i].k);
}

static void show(const struct subject *s, const struct pf_packet *p)
{
	PFS_FREE char *text = NULL;

	print_error("%s\n%u bytes of %u:", s->name, p->caplen, p->len);
	for (uint32_t i = 0; i < p->caplen && i < 100; i++)
		print_error(" %02x", p->data[i]);
	print_error("\n");
	show_insns(s->insns, s->n);
	if (pf_dump(s->prog, "opt", &text, NULL) == 0)
		print_error("\n%s", text);
	free(text);
	text = NULL;
	if (pf_dump(s->prog, "cbpf", &text, NULL) == 0)
		print_error("\n%s", text);
}

static void same(const struct subject *s, const struct pf_packet *p, const char *who, uint32_t got,
		 uint32_t want)
{
	if (got == want)
		return;
	show(s, p);
	fail_msg("%s says %u, not %u", who, got, want);
}

static struct pf_prog *make_prog(const struct subject *s, const char *expression,
				 const struct pf_options *options, enum pf_engine engine)
{
	struct pf_options own = options ? *options : (struct pf_options)PF_OPTIONS_INIT;
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;
	int r;

	own.engine = engine;
	r = expression ? pf_compile("pcap", expression, strlen(expression), &own, &prog, &error)
		       : pf_compile_insns(s->insns, s->n, &own, &prog, &error);
	if (r < 0)
		fail_msg("%s: %s", s->name, error.text);
	return prog;
}

static void subject_init(struct subject *s, const char *name, const struct pf_insn *insns, size_t n,
			 unsigned flags, const char *expression, const struct pf_options *options)
{
	struct pf_error error = { "" };
	int r;

	*s = (struct subject){ .name = name, .insns = insns, .n = n };
	pf_unit_init(&s->ir);
	assert_int_equal(pf_front_cbpf(&s->ir, insns, n, flags, &error), 0);
	eval_init(&s->eval, &s->ir);
	s->prog = make_prog(s, expression, options, PF_ENGINE_BEST);
	s->interp = make_prog(s, expression, options, PF_ENGINE_INTERP);
	r = pf_emit_cbpf(s->prog, 0, &s->emitted, &s->nemitted, &error);
	assert_true(r == 0 || r == -ENOTSUP || r == -E2BIG);
	r = pf_emit_cbpf(s->prog, PF_CBPF_LINUX, &s->for_linux, &s->nlinux, &error);
	assert_true(r == 0 || r == -ENOTSUP || r == -E2BIG);
}

static void run_one(struct subject *s, const struct pf_packet *p)
{
	uint32_t want = bpf_filter((const struct bpf_insn *)s->insns, p->data, p->len, p->caplen);
	uint32_t results[2];

	same(s, p, "the evaluator", eval_run(&s->eval, p), want);
	same(s, p, "the interpreter", pf_run(s->interp, p), want);
	same(s, p, "native code", pf_run(s->prog, p), want);
	/* Twice, so that the second comes round. */
	pf_run_batch(s->prog, (const struct pf_packet[]){ *p, *p }, 2, results);
	same(s, p, "a batch", results[0], want);
	same(s, p, "a batch, again", results[1], want);
	if (s->emitted)
		same(s, p, "emitted classic BPF",
		     bpf_filter((const struct bpf_insn *)s->emitted, p->data, p->len, p->caplen),
		     want);
	if (s->for_linux)
		same(s, p, "classic BPF for Linux",
		     bpf_filter((const struct bpf_insn *)s->for_linux, p->data, p->len, p->caplen),
		     want);
}

/* Cut at a length; what is behind it must not be looked at, so the bytes stand at the end of what may be read. */
static void run_cut(struct subject *s, const struct bytes *b, uint32_t caplen, uint32_t len)
{
	uint8_t *exact = malloc(caplen ? caplen : 1);
	struct pf_packet p = { .data = exact, .caplen = caplen, .len = len };

	memcpy(exact, b->data, caplen);
	run_one(s, &p);
	free(exact);
}

/* The kernel runs our code, and where it means the same as libpcap does, the original. */
static void run_kernel(struct subject *s, const struct kernel *kernel,
		       const struct packets *packets, struct dice *dice, unsigned times)
{
	if (kernel->off || !s->for_linux)
		return;
	/* Of these datagrams it knows other things than we do. */
	for (size_t i = 0; i < s->n; i++)
		if (CB_CLASS(s->insns[i].code) == CB_LD && s->insns[i].k >= CB_AD_OFF &&
		    CB_MODE(s->insns[i].code) == CB_ABS)
			return;
	if (kernel_attach(kernel, s->for_linux, s->nlinux) < 0) {
		show_insns(s->for_linux, s->nlinux);
		show(s, &(struct pf_packet){ 0 });
		fail_msg("the kernel refuses what we emit");
	}
	for (unsigned i = 0; i < times; i++) {
		struct bytes b;
		struct pf_packet p;
		uint32_t want;

		packet_for(s->insns, s->n, dice, packets, &b);
		p = (struct pf_packet){ .data = b.data, .caplen = b.n, .len = b.n };
		if (!roll(dice, 3))
			p.caplen = p.len = roll(dice, b.n + 1);
		want = bpf_filter((const struct bpf_insn *)s->insns, p.data, p.len, p.caplen);
		want = p.caplen ? (uint32_t)pfs_min(want, p.caplen) : want != 0;
		same(s, &p, "the kernel", kernel_run(kernel, &p), want);
	}
}

/* --- the corpus ------------------------------------------------------------------------------ */

static void test_corpus(void **state)
{
	struct dice dice = { 1 };
	struct packets packets = { 0 }, none = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus), accepted = 0, all = 0;
	struct kernel kernel = { 0 };
	static const struct pf_insn all_bytes = { .code = CB_RET | CB_K, .k = UINT32_MAX };

	(void)state;
	kernel_open(&kernel);
	kernel.off = kernel_attach(&kernel, &all_bytes, 1) < 0;
	packets_generate(&packets, 7, 120);
	for (size_t i = 0; i < n; i++) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		struct subject s;
		bool matched = false;
		size_t ninsns;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		subject_init(&s, corpus[i].text, insns, ninsns, CBPF_LOOPS, corpus[i].text, &options);
		for (unsigned k = 0; k < 24; k++) {
			struct bytes b;

			packet_for(insns, ninsns, &dice, k % 3 ? &packets : &none, &b);
			run_cut(&s, &b, b.n, b.n);
			run_cut(&s, &b, (uint32_t)pfs_min(b.n, roll(&dice, 100)), b.n);
			run_cut(&s, &b, b.n, roll_number(&dice));
			matched = matched ||
				  eval_run(&s.eval, &(struct pf_packet){ b.data, b.n, b.n, NULL });
		}
		if (corpus[i].link_type == 1 && i % 7 == 0)
			for (uint32_t cut = 0; cut <= 128; cut++)
				run_cut(&s, &packets.of[i % packets.n],
					(uint32_t)pfs_min(cut, packets.of[i % packets.n].n), 1500);
		run_kernel(&s, &kernel, &packets, &dice, 6);
		accepted += matched;
		all++;
		subject_release(&s);
		free(insns);
	}
	/* Packets are made for the programs: most find one. */
	print_message("%zu of %zu expressions matched something%s\n", accepted, all,
		      kernel.off ? "; the kernel refuses filters" : "");
	assert_true(accepted * 10 > all * 7);
	kernel_close(&kernel);
	packets_release(&packets);
	corpus_release(corpus, n);
}

/* --- random programs ------------------------------------------------------------------------- */

#define RANDOM_MAX 60

static void run_random(struct dice *dice, const struct kernel *kernel, const struct packets *packets)
{
	struct pf_insn insns[RANDOM_MAX];
	struct subject s;
	char name[40];
	uint64_t seed = dice->state;
	size_t n = random_program(dice, insns, RANDOM_MAX);

	if (pf_cbpf_check(insns, n, 0, NULL) < 0)
		return; /* a word that may not have been written */
	snprintf(name, sizeof(name), "random program %llx", (unsigned long long)seed);
	if (getenv("PF_DIFF_TRACE"))
		show_insns(insns, n);
	subject_init(&s, name, insns, n, 0, NULL, NULL);
	for (unsigned k = 0; k < 12; k++) {
		struct bytes b;

		packet_for(insns, n, dice, packets, &b);
		run_cut(&s, &b, roll(dice, 4) ? b.n : roll(dice, b.n + 1),
			roll(dice, 3) ? b.n : roll_number(dice));
	}
	run_kernel(&s, kernel, packets, dice, 3);
	subject_release(&s);
}

static void test_random(void **state)
{
	const char *seconds = getenv("PF_DIFF_SECONDS");
	uint64_t end = pfs_clock_mono() + (seconds ? strtoull(seconds, NULL, 10) : 0) * 1000000000;
	static const struct pf_insn all_bytes = { .code = CB_RET | CB_K, .k = UINT32_MAX };
	const char *seed = getenv("PF_DIFF_SEED");
	struct dice dice = { seed ? strtoull(seed, NULL, 16) : seconds ? pfs_clock_real() : 42 };
	struct packets packets = { 0 };
	struct kernel kernel = { 0 };
	unsigned n = 0;

	(void)state;
	kernel_open(&kernel);
	kernel.off = kernel_attach(&kernel, &all_bytes, 1) < 0;
	packets_generate(&packets, 3, 60);
	do {
		if (getenv("PF_DIFF_TRACE"))
			print_message("%llx\n", (unsigned long long)dice.state);
		run_random(&dice, &kernel, &packets);
		n++;
	} while (n < 1500 || pfs_clock_mono() < end);
	print_message("%u random programs\n", n);
	kernel_close(&kernel);
	packets_release(&packets);
}

/* --- captures -------------------------------------------------------------------------------- */

static void load_captures(const char *dir, struct packets *packets)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		char path[4096], said[PCAP_ERRBUF_SIZE];
		struct pcap_pkthdr *header;
		const u_char *data;
		pcap_t *p;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		p = entry->d_name[0] == '.' ? NULL : pcap_open_offline(path, said);
		while (p && pcap_next_ex(p, &header, &data) == 1)
			packets_add(packets, data, header->caplen);
		if (p)
			pcap_close(p);
	}
	closedir(d);
}

static void test_captures(void **state)
{
	const char *dir = getenv("PFS_PCAPS"), *full = getenv("PF_DIFF_FULL");
	struct packets packets = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus), runs = 0;
	uint32_t step;

	(void)state;
	if (!dir) {
		print_message("PFS_PCAPS names no directory of captures\n");
		corpus_release(corpus, n);
		skip();
	}
	load_captures(dir, &packets);
	/* In short: each packet with some of the expressions, cut at some lengths. */
	step = full ? 1 : 61;
	for (size_t i = 0; i < n; i++) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		struct subject s;
		size_t ninsns;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		subject_init(&s, corpus[i].text, insns, ninsns, CBPF_LOOPS, corpus[i].text, &options);
		for (size_t k = i % step; k < packets.n; k += step) {
			const struct bytes *b = &packets.of[k];

			run_cut(&s, b, b->n, b->n);
			for (uint32_t cut = full ? 0 : (uint32_t)(k % 23); cut < b->n && cut <= 128;
			     cut += full ? 1 : 23)
				run_cut(&s, b, cut, b->n);
			runs++;
		}
		subject_release(&s);
		free(insns);
	}
	print_message("%zu packets, %zu runs\n", packets.n, runs);
	packets_release(&packets);
	corpus_release(corpus, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_captures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
