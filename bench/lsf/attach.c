/*
 * What it costs to give a socket a filter, by the length of the filter: `SIZE HOW ROUND NS`
 *
 * A filter of n instructions tests n / 3 bytes one after the other. "attach": setsockopt(SO_ATTACH_FILTER) of it
 * as it stands. "compile": what we do to it before (verify, optimise, emit). "load": the same as eBPF, by bpf(2).
 * "attach eBPF": setsockopt(SO_ATTACH_BPF).
 */
#include <linux/filter.h>
#include <pipesfs/pf.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lsf.h"
#include "source/bpf.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

static size_t make_filter(struct sock_filter *insns, size_t n)
{
	size_t at = 0;

	for (uint32_t k = 1; at + 4 <= n; k++) {
		insns[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, k * 3 % 1000);
		insns[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k % 200, 0, 1);
		insns[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, k);
	}
	insns[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return at;
}

static void tell(size_t n, const char *how, unsigned round, uint64_t begin)
{
	printf("%zu\t%s\t%u\t%llu\n", n, how, round, (unsigned long long)(now_ns() - begin));
}

static void attach_classic(int fd, struct sock_filter *insns, size_t n, unsigned round)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = insns };
	uint64_t begin = now_ns();

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER");
	tell(n, "attach", round, begin);
}

static void attach_ours(int fd, const struct sock_filter *insns, size_t n, unsigned round)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct kbpf_prog_spec spec = { .type = BPF_PROG_TYPE_SOCKET_FILTER, .name = "pf_bench" };
	struct pf_error error;
	struct pfs_diag diag;
	struct pf_prog *prog;
	uint64_t *ebpf, begin = now_ns();
	struct pf_insn *classic;
	size_t nclassic;
	int loaded;

	options.engine = PF_ENGINE_INTERP;
	if (pf_compile_insns((const struct pf_insn *)(const void *)insns, n, &options, &prog,
			     &error) < 0 ||
	    pf_emit_cbpf(prog, PF_CBPF_LINUX, &classic, &nclassic, &error) < 0)
		die(error.text);
	tell(n, "compile", round, begin);
	if (pf_emit_ebpf(prog, &ebpf, &spec.n, &error) < 0)
		die(error.text);
	spec.insns = (const struct bpf_insn *)(const void *)ebpf;
	begin = now_ns();
	loaded = kbpf_prog_load(&spec, &diag);
	if (loaded < 0)
		die(diag.text);
	tell(n, "load", round, begin);
	begin = now_ns();
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &loaded, sizeof(loaded)) < 0)
		die("SO_ATTACH_BPF");
	tell(n, "attach eBPF", round, begin);
	close(loaded);
	free(ebpf);
	free(classic);
	pf_unref(prog);
}

int lsf_attach(unsigned rounds)
{
	static const size_t sizes[] = { 1, 4, 16, 64, 256, 512 };
	static struct sock_filter insns[1024];

	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t n = make_filter(insns, sizes[i]);
			int a = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			int b = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

			attach_classic(a, insns, n, round);
			attach_ours(b, insns, n, round);
			close(a);
			close(b);
		}
	return 0;
}
