/*
 * ebpf - our programs in the kernel: the verifier takes them, and their results are libpcap's
 *
 * As traffic control programs by BPF_PROG_TEST_RUN, over whole frames; and as filters of a socket,
 * over anything, an empty packet too. Needs the right to load programs. PF_DIFF_SECONDS as in diff.
 */
#include "help.h"

#include <sys/socket.h>

#include "pf/back/ebpf.h"
#include "pf/front/cbpf.h"
#include "pf/front/pcap.h"
#include "source/bpf.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

/* libpcap's header and the kernel's name different things struct bpf_insn. */
unsigned bpf_filter(const struct bpf_insn *insns, const uint8_t *packet, unsigned len, unsigned caplen);

struct kernel {
	int fd[2];
};

static int load(const struct pf_prog *prog, unsigned type, struct pfs_diag *diag, struct pf_error *error)
{
	PFS_FREE uint64_t *insns = NULL;
	size_t n;
	int r = pf_emit_ebpf(prog, &insns, &n, error);
	struct kbpf_prog_spec spec = { .type = type, .name = "pf_test" };

	if (r < 0)
		return r;
	spec.insns = (const struct bpf_insn *)insns;
	spec.n = n;
	return kbpf_prog_load(&spec, diag);
}

static void differ(const char *name, const struct pf_prog *prog, const struct bytes *b,
		   uint32_t got, uint32_t want)
{
	PFS_FREE char *text = NULL;

	print_error("%s\n%u bytes:", name, b->n);
	for (uint32_t i = 0; i < b->n && i < 100; i++)
		print_error(" %02x", b->data[i]);
	if (pf_dump(prog, "opt", &text, NULL) == 0)
		print_error("\n%s", text);
	free(text);
	text = NULL;
	if (pf_dump(prog, "ebpf", &text, NULL) == 0)
		print_error("\n%s", text);
	fail_msg("the kernel says %u, not %u", got, want);
}

static uint32_t socket_run(const struct kernel *kernel, const struct bytes *b)
{
	uint8_t byte;
	ssize_t n;

	assert_int_equal(send(kernel->fd[0], b->data, b->n, 0), b->n);
	n = recv(kernel->fd[1], &byte, 1, MSG_TRUNC);
	return n < 0 ? 0 : b->n ? (uint32_t)n : 1;
}

/* Fields beside the bytes are others there than here. */
static bool asks(const struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (CB_CLASS(insns[i].code) == CB_LD && CB_MODE(insns[i].code) == CB_ABS &&
		    insns[i].k >= CB_AD_OFF)
			return true;
	return false;
}

/* Frames that are shorter are refused by BPF_PROG_TEST_RUN: it wants what it takes for an IP header. */
static uint32_t test_run_min(const struct bytes *b)
{
	uint16_t type = be16_load(b->data + 12);

	return type == 0x800 ? 34 : type == 0x86dd ? 54 : 14;
}

/* Returns whether it was compared. */
static bool compare(const char *name, const struct pf_prog *prog, const struct pf_insn *insns,
		    size_t n, const struct kernel *kernel, const struct packets *packets,
		    struct dice *dice, unsigned times)
{
	struct pf_error error = { "" };
	struct pfs_diag diag = { "" };
	PFS_CLOSE int tc = -1, filter = -1;

	tc = load(prog, BPF_PROG_TYPE_SCHED_CLS, &diag, &error);
	if (tc == -ENOTSUP || tc == -E2BIG)
		return false;
	if (tc < 0) {
		print_error("%s\n", diag.text);
		differ(name, prog, &(struct bytes){ .n = 0 }, 0, 1);
	}
	filter = load(prog, BPF_PROG_TYPE_SOCKET_FILTER, &diag, &error);
	assert_true(filter >= 0);
	assert_int_equal(
		setsockopt(kernel->fd[1], SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)), 0);
	if (asks(insns, n))
		return true;
	for (unsigned i = 0; i < times; i++) {
		struct bytes b;
		uint32_t want, got;

		packet_for(insns, n, dice, packets, &b);
		if (!roll(dice, 3))
			b.n = roll(dice, b.n + 1);
		want = bpf_filter((const struct bpf_insn *)insns, b.data, b.n, b.n);
		if (b.n >= test_run_min(&b)) {
			assert_int_equal(kbpf_prog_run(tc, b.data, b.n, &got), 0);
			if (got != want)
				differ(name, prog, &b, got, want);
		}
		got = socket_run(kernel, &b);
		want = b.n ? (uint32_t)pfs_min(want, b.n) : want != 0;
		if (got != want)
			differ(name, prog, &b, got, want);
	}
	return true;
}

static void kernel_open(struct kernel *kernel)
{
	struct pf_prog *prog;
	struct pf_error error;
	struct pfs_diag diag;
	PFS_CLOSE int fd = -1;

	assert_int_equal(pf_compile("bpf", "ret #1", 6, NULL, &prog, NULL), 0);
	fd = load(prog, BPF_PROG_TYPE_SCHED_CLS, &diag, &error);
	pf_unref(prog);
	if (fd == -EPERM || fd == -ENOSYS) {
		print_message("no right to load eBPF programs\n");
		skip();
	}
	assert_true(fd >= 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, kernel->fd), 0);
}

static void kernel_close(struct kernel *kernel)
{
	close(kernel->fd[0]);
	close(kernel->fd[1]);
}

static void test_corpus(void **state)
{
	const char *full = getenv("PF_DIFF_FULL");
	struct dice dice = { 3 };
	struct packets packets = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus), compared = 0, tried = 0;
	struct kernel kernel;

	(void)state;
	kernel_open(&kernel);
	packets_generate(&packets, 7, 120);
	for (size_t i = 0; i < n; i += full ? 1 : 3) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		struct pf_prog *prog;
		size_t ninsns;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		assert_int_equal(pf_compile("pcap", corpus[i].text, strlen(corpus[i].text),
					    &options, &prog, NULL),
				 0);
		compared += compare(corpus[i].text, prog, insns, ninsns, &kernel, &packets, &dice, 10);
		tried++;
		pf_unref(prog);
		free(insns);
	}
	print_message("%zu of %zu expressions ran in the kernel\n", compared, tried);
	assert_true(compared + 5 > tried);
	kernel_close(&kernel);
	packets_release(&packets);
	corpus_release(corpus, n);
}

static void test_random(void **state)
{
	const char *seconds = getenv("PF_DIFF_SECONDS");
	uint64_t end = pfs_clock_mono() + (seconds ? strtoull(seconds, NULL, 10) : 0) * 1000000000;
	struct dice dice = { seconds ? pfs_clock_real() : 17 };
	struct packets packets = { 0 };
	unsigned n = 0, compared = 0;
	struct kernel kernel;

	(void)state;
	kernel_open(&kernel);
	packets_generate(&packets, 5, 60);
	do {
		struct pf_insn insns[60];
		struct pf_prog *prog;
		char name[40];
		uint64_t seed = dice.state;
		size_t ninsns = random_program(&dice, insns, ARRAY_SIZE(insns));

		if (pf_cbpf_check(insns, ninsns, 0, NULL) < 0)
			continue;
		snprintf(name, sizeof(name), "random program %llx", (unsigned long long)seed);
		assert_int_equal(pf_compile_insns(insns, ninsns, NULL, &prog, NULL), 0);
		compared += compare(name, prog, insns, ninsns, &kernel, &packets, &dice, 6);
		pf_unref(prog);
		n++;
	} while (n < 400 || pfs_clock_mono() < end);
	print_message("%u of %u random programs\n", compared, n);
	assert_true(compared * 10 > n * 9);
	kernel_close(&kernel);
	packets_release(&packets);
}

/* The fields that the kernel knows beside the bytes. */
static void test_fields(void **state)
{
	static const struct {
		const char *text;
		uint32_t want;
	} cases[] = {
		{ "ld proto\nret a", 0x800 },	  { "ld type\njeq #3, y\nret #0\ny: ret #5", 5 },
		{ "ld mark\nadd #7\nret a", 7 },  { "ld vlan_avail\nadd #3\nret a", 3 },
		{ "ld queue\nadd #9\nret a", 9 }, { "ld rand\nor #1\nand #1\nret a", 1 },
		{ "ld len\nret a", 60 },	  { "ld cpu\nrsh #16\nadd #2\nret a", 2 },
	};
	uint8_t frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
	struct kernel kernel;

	(void)state;
	kernel_open(&kernel);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pf_error error = { "" };
		struct pfs_diag diag = { "" };
		struct pf_prog *prog;
		PFS_CLOSE int fd = -1;
		uint32_t got = 0;

		assert_int_equal(pf_compile("bpf", cases[i].text, strlen(cases[i].text), NULL,
					    &prog, &error),
				 0);
		fd = load(prog, BPF_PROG_TYPE_SCHED_CLS, &diag, &error);
		if (fd < 0)
			fail_msg("%s: %s%s", cases[i].text, error.text, diag.text);
		assert_int_equal(kbpf_prog_run(fd, frame, sizeof(frame), &got), 0);
		if (got != cases[i].want)
			fail_msg("%s: %u", cases[i].text, got);
		pf_unref(prog);
	}
	kernel_close(&kernel);
}

static void test_what_ebpf_cannot_say(void **state)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;
	uint64_t *insns;
	size_t n;

	(void)state;
	assert_int_equal(pf_compile("xpf", ".memory 1\nld P[0]\nret a", 23, NULL, &prog, NULL), 0);
	assert_int_equal(pf_emit_ebpf(prog, &insns, &n, &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "map"));
	pf_unref(prog);
	assert_int_equal(pf_compile("bpf", "ld hatype\nret a", 15, NULL, &prog, NULL), 0);
	assert_int_equal(pf_emit_ebpf(prog, &insns, &n, &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "eBPF"));
	pf_unref(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_what_ebpf_cannot_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
