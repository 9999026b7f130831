/*
 * agree - one program, and everybody who can run it: all must say what a plain interpreter of its language says
 *
 * The interpreter of units and native code, with all passes, without any, without each one; the classic BPF that we
 * emit, both kinds, read back; and where the right is there, the eBPF that we emit, in the kernel: by
 * BPF_PROG_TEST_RUN over whole frames, as the filter of a socket over anything.
 */
#ifndef TESTS_PF_AGREE_H
#define TESTS_PF_AGREE_H

#include <dirent.h>
#include <sys/socket.h>

#include "help.h"
#include "packet/capture.h"
#include "source/bpf.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

#define AGREE_PROGS 24

/* A language: compiles a program of it, says it for people. */
struct agree_language {
	int (*compile)(const void *program, const struct pf_options *options,
		       struct pf_prog **ret_prog, struct pf_error *error);
	uint32_t (*plain)(const void *program, const struct pf_packet *packet);
	void (*print)(const void *program);
};

struct agree {
	const struct agree_language *language;
	const void *program;
	struct pf_prog *prog[AGREE_PROGS]; /* owned, each */
	char who[AGREE_PROGS][40];
	unsigned n;
	int tc;	       /* owned; -1: not in the kernel */
	int socket[2]; /* owned */
	uint64_t runs, accepted, kernel;
};

HELP void agree_release(struct agree *a)
{
	for (unsigned i = 0; i < a->n; i++)
		pf_unref(a->prog[i]);
	if (a->tc >= 0)
		close(a->tc);
	if (a->socket[0] >= 0) {
		close(a->socket[0]);
		close(a->socket[1]);
	}
}

HELP void agree_add(struct agree *a, struct pf_prog *prog, const char *who)
{
	assert_true(a->n < AGREE_PROGS);
	snprintf(a->who[a->n], sizeof(a->who[0]), "%s", who);
	a->prog[a->n++] = prog;
}

HELP void agree_compile(struct agree *a, struct pf_options options, uint64_t without,
			enum pf_engine engine, const char *who)
{
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;

	options.without = without;
	options.engine = engine;
	if (a->language->compile(a->program, &options, &prog, &error) < 0) {
		a->language->print(a->program);
		fail_msg("%s: %s", who, error.text);
	}
	agree_add(a, prog, who);
}

/* What was emitted, as a program again. */
HELP void agree_emitted(struct agree *a, unsigned flags, const char *who)
{
	PFS_FREE struct pf_insn *insns = NULL;
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error = { "" };
	struct pf_prog *prog;
	size_t n;
	int r = pf_emit_cbpf(a->prog[0], flags, &insns, &n, &error);

	assert_true(r == 0 || r == -ENOTSUP || r == -E2BIG);
	if (r < 0)
		return;
	options.engine = PF_ENGINE_INTERP;
	assert_int_equal(pf_compile_insns(insns, n, &options, &prog, &error), 0);
	agree_add(a, prog, who);
}

HELP int agree_load(const struct agree *a, unsigned type, struct pfs_diag *diag)
{
	PFS_FREE uint64_t *insns = NULL;
	struct kbpf_prog_spec spec = { .type = type, .name = "pf_agree" };
	int r = pf_emit_ebpf(a->prog[0], &insns, &spec.n, NULL);

	if (r < 0)
		return r;
	spec.insns = (const struct bpf_insn *)insns;
	return kbpf_prog_load(&spec, diag);
}

/* False: there is no right to load programs, or eBPF cannot say it. */
HELP bool agree_kernel(struct agree *a)
{
	struct pfs_diag diag = { "" };
	PFS_CLOSE int filter = -1;

	a->tc = agree_load(a, BPF_PROG_TYPE_SCHED_CLS, &diag);
	if (a->tc < 0) {
		if (a->tc != -EPERM && a->tc != -ENOSYS && a->tc != -ENOTSUP && a->tc != -E2BIG) {
			a->language->print(a->program);
			fail_msg("the kernel refuses it: %s", diag.text);
		}
		a->tc = -1;
		return false;
	}
	filter = agree_load(a, BPF_PROG_TYPE_SOCKET_FILTER, &diag);
	assert_true(filter >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a->socket),
			 0);
	assert_int_equal(setsockopt(a->socket[1], SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)),
			 0);
	return true;
}

/* passes: without each of them, too. */
HELP void agree_init(struct agree *a, const struct agree_language *language, const void *program,
		     const struct pf_options *options, bool passes)
{
	*a = (struct agree){ .language = language, .program = program, .tc = -1, .socket = { -1, -1 } };
	agree_compile(a, *options, 0, PF_ENGINE_BEST, "native code");
	agree_compile(a, *options, 0, PF_ENGINE_INTERP, "the interpreter");
	agree_compile(a, *options, PF_ALL_PASSES, PF_ENGINE_BEST, "native code, no passes");
	agree_compile(a, *options, PF_ALL_PASSES, PF_ENGINE_INTERP, "the interpreter, no passes");
	for (unsigned i = 0; passes && pf_pass_name(i); i++) {
		char who[40];

		snprintf(who, sizeof(who), "without %s", pf_pass_name(i));
		agree_compile(a, *options, UINT64_C(1) << i, PF_ENGINE_INTERP, who);
	}
	agree_emitted(a, 0, "classic BPF");
	agree_emitted(a, PF_CBPF_LINUX, "classic BPF for Linux");
}

HELP void agree_same(const struct agree *a, const struct pf_packet *p, const char *who,
		     uint32_t got, uint32_t want)
{
	PFS_FREE char *text = NULL;

	if (got == want)
		return;
	a->language->print(a->program);
	print_error("%u bytes of %u:", p->caplen, p->len);
	for (uint32_t i = 0; i < p->caplen && i < 128; i++)
		print_error(" %02x", p->data[i]);
	if (pf_dump(a->prog[0], "opt", &text, NULL) == 0)
		print_error("\n%s", text);
	fail_msg("%s: %u, not %u", who, got, want);
}

/* Frames that are shorter are refused by BPF_PROG_TEST_RUN: it wants what it takes for an IP header. */
HELP uint32_t agree_frame_min(const struct pf_packet *p)
{
	uint16_t type = p->caplen < 14 ? 0 : be16_load(p->data + 12);

	return type == 0x800 ? 34 : type == 0x86dd ? 54 : 14;
}

HELP void agree_run_kernel(struct agree *a, struct pf_packet p)
{
	uint32_t want, got = 0;
	uint8_t byte;
	ssize_t n;

	p.len = p.caplen;
	want = a->language->plain(a->program, &p);
	if (p.caplen >= agree_frame_min(&p)) {
		assert_int_equal(kbpf_prog_run(a->tc, p.data, p.caplen, &got), 0);
		agree_same(a, &p, "the kernel", got, want);
	}
	assert_int_equal(send(a->socket[0], p.data, p.caplen, 0), p.caplen);
	n = recv(a->socket[1], &byte, 1, MSG_TRUNC);
	got = n < 0 ? 0 : p.caplen ? (uint32_t)n : 1;
	want = p.caplen ? (uint32_t)pfs_min(want, p.caplen) : want != 0;
	agree_same(a, &p, "the kernel's socket", got, want);
	a->kernel++;
}

/* Cut at caplen; what is behind must not be looked at, so the bytes stand at the end of what may be read. */
HELP void agree_run(struct agree *a, const struct bytes *b, uint32_t caplen, uint32_t len)
{
	uint8_t *exact = malloc(caplen ? caplen : 1);
	struct pf_packet p = { .data = exact, .caplen = caplen, .len = len };
	uint32_t want;

	assert_non_null(exact);
	memcpy(exact, b->data, caplen);
	want = a->language->plain(a->program, &p);
	for (unsigned i = 0; i < a->n; i++)
		agree_same(a, &p, a->who[i], pf_run(a->prog[i], &p), want);
	if (a->tc >= 0)
		agree_run_kernel(a, p);
	a->runs++;
	a->accepted += want != 0;
	free(exact);
}

/* Whole, and cut at each step-th length up to 128. */
HELP void agree_cuts(struct agree *a, const struct bytes *b, uint32_t first, uint32_t step)
{
	agree_run(a, b, b->n, b->n);
	for (uint32_t cut = first; cut < b->n && cut <= 128; cut += step)
		agree_run(a, b, cut, b->n);
}

/* --- captures -------------------------------------------------------------------------------- */

HELP void agree_load_capture(const char *path, struct packets *packets)
{
	PFS_BUF struct pfs_buf file = { 0 };
	struct capture capture;
	struct capture_packet packet;
	size_t used, need, n, at = 0;
	char block[4096];
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		pfs_buf_add(&file, block, n);
	fclose(f);
	capture_init(&capture, CAPTURE_ANY);
	while (file.len && capture_next(&capture, (uint8_t *)file.data + at, file.len - at, &used,
					&packet, &need, NULL) > 0) {
		packets_add(packets, file.data + at + packet.header + pfs_hdr_size(packet.hdr),
			    capture_snapped(&capture, &packet));
		at += used;
	}
	capture_release(&capture);
}

/* Those of PFS_PCAPS, if that is set, and generated ones. */
HELP void agree_captures(struct packets *packets)
{
	const char *dir = getenv("PFS_PCAPS");
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *entry;

	packets_generate(packets, 11, 200);
	while (d && (entry = readdir(d))) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] != '.')
			agree_load_capture(path, packets);
	}
	if (d)
		closedir(d);
}

/*
 * Random programs over random packets, as long as agree_end() says. make: one for which that packet was looked at, into
 * `program`. Of the runs one in `share` accepts, or nothing would be shown.
 */
HELP void agree_random(const struct agree_language *language, const struct pf_options *options,
		       void (*make)(struct dice *dice, const struct bytes *b, void *ret_program),
		       void *program, unsigned share)
{
	struct packets packets = { 0 };
	struct dice dice = { agree_seed() };
	uint64_t end = agree_end(), runs = 0, accepted = 0, kernel = 0;
	unsigned n = 0, both = 0;

	packets_generate(&packets, 5, 100);
	do {
		const struct bytes *b = &packets.of[roll(&dice, (uint32_t)packets.n)];
		struct agree a;

		make(&dice, b, program);
		agree_init(&a, language, program, options, n % 4 == 0);
		if (n % 8 == 0)
			agree_kernel(&a);
		agree_run(&a, b, b->n, b->n);
		for (unsigned k = 0; k < 12; k++) {
			const struct bytes *other =
				k % 2 ? b : &packets.of[roll(&dice, (uint32_t)packets.n)];

			agree_run(&a, other, roll(&dice, (uint32_t)pfs_min(other->n, 128) + 1),
				  roll_number(&dice));
			agree_run(&a, other, other->n, other->n);
		}
		runs += a.runs;
		accepted += a.accepted;
		both += a.accepted && a.accepted < a.runs;
		kernel += a.kernel;
		agree_release(&a);
		n++;
	} while (n < 200 || pfs_clock_mono() < end);
	print_message("%u random programs, %llu runs, %llu accepted, %llu in the kernel; %u say both\n",
		      n, (unsigned long long)runs, (unsigned long long)accepted,
		      (unsigned long long)kernel, both);
	assert_true(accepted * share > runs && both * 5 > n);
	packets_release(&packets);
}

#endif
