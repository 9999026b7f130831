/*
 * What one who captures costs the sender of a frame, by how much of it is kept: `SNAPLEN KIND ROUND NS`
 *
 * Frames of 9000 bytes. KIND: "none"; "reject": a packet socket whose filter rejects all; "queue": one with a
 * filter that keeps SNAPLEN bytes, read by recv(2); "ring": the same with TPACKET_V3; "pipesfs": our eBPF
 * program, which copies into a BPF ring. What has been captured is thrown away between the rounds, which is not
 * counted. NS: of a send().
 *
 * lsf_filter: what a filter costs that rejects, `EXPRESSION KIND ROUND NS`: many sockets with the same one. KIND:
 * "empty": `ret #0`; "libpcap": its optimiser's code; "pf classic", "pf eBPF": ours. NS: of a send() of made-up
 * traffic.
 */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pipesfs/pf.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lsf.h"
#include "packet/generate.h"
#include "source/bpf.h"
#include "source/bpfcapture.h"
#include "source/packetring.h"

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

#define FRAMES 300 /* a round */
#define SOCKETS 8  /* with the same filter */

int lsf_libpcap(const char *text, struct pf_insn *insns, size_t max);

struct taker {
	int fd;
	struct packetring *ring;
	struct kcap *kcap;
};

static void attach_return(int fd, uint32_t bytes)
{
	struct sock_filter insn = BPF_STMT(BPF_RET | BPF_K, bytes);
	struct sock_fprog program = { .len = 1, .filter = &insn };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER");
}

static void attach_ebpf(int fd, int prog)
{
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)) < 0)
		die("SO_ATTACH_BPF");
}

static struct taker taker_open(const char *kind, uint32_t snaplen)
{
	struct packetring_options ring = {
		.snaplen = snaplen, .directions = PFS_REC_OUT, .latency = 1000000, .bytes = 16 << 20
	};
	struct kcap_spec spec = { .kind = KCAP_PACKET,
				  .directions = PFS_REC_OUT,
				  .ring_bytes = 32 << 20 };
	struct taker t = { .fd = -1 };
	int big = 64 << 20;
	struct pfs_diag diag;

	if (strcmp(kind, "none") == 0)
		return t;
	t.fd = packet_socket(ETH_P_ALL);
	setsockopt(t.fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (strcmp(kind, "reject") == 0) {
		attach_return(t.fd, 0);
	} else if (strcmp(kind, "queue") == 0) {
		attach_return(t.fd, snaplen);
	} else if (strcmp(kind, "ring") == 0) {
		if (packetring_new(t.fd, &ring, &t.ring) < 0)
			die("TPACKET_V3");
	} else {
		spec.snaplen = snaplen;
		if (kcap_new(&spec, &t.kcap, &diag) < 0 || kcap_prepare(t.kcap, NULL, &diag) < 0 ||
		    kcap_commit(t.kcap) < 0)
			die(diag.text);
		attach_ebpf(t.fd, t.kcap->stub);
	}
	return t;
}

static void taker_close(struct taker *t)
{
	if (t->fd >= 0)
		close(t->fd);
	packetring_free(t->ring);
	kcap_free(t->kcap);
}

/* Once each: the caller opens another one for the next round. */
static double measure_send(int out, const uint8_t *frame, size_t len)
{
	uint64_t begin;

	for (int i = 0; i < 20; i++)
		send(out, frame, len, 0);
	begin = now_ns();
	for (int i = 0; i < FRAMES; i++)
		if (send(out, frame, len, 0) < 0)
			die("send");
	return (double)(now_ns() - begin) / FRAMES;
}

int lsf_packet(unsigned rounds)
{
	static const char *const kinds[] = { "none", "reject", "queue", "ring", "pipesfs" };
	static const uint32_t snaplens[] = { 64, 128, 256, 512, 1024, 2048, 4096, 8192 };
	static uint8_t frame[FRAME_MAX];
	int out = packet_socket(0);

	make_frame(frame, sizeof(frame));
	for (unsigned round = 0; round < rounds; round++)
		for (size_t s = 0; s < sizeof(snaplens) / sizeof(snaplens[0]); s++)
			for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
				size_t turned = round % 2 ? sizeof(kinds) / sizeof(kinds[0]) - 1 - k
							  : k;
				struct taker t = taker_open(kinds[turned], snaplens[s]);

				printf("%u\t%s\t%u\t%.1f\n", snaplens[s], kinds[turned], round,
				       measure_send(out, frame, sizeof(frame)));
				taker_close(&t);
			}
	close(out);
	return 0;
}

/* --- filters --------------------------------------------------------------------------------- */

static void attach_insns(int fd, const struct pf_insn *insns, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n,
				      .filter = (struct sock_filter *)(uintptr_t)insns };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		die("SO_ATTACH_FILTER");
}

/* Accepted packets would be queued, which costs more than any filter: who accepts returns 0, too. */
static void reject_all(struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (BPF_CLASS(insns[i].code) == BPF_RET)
			insns[i] = (struct pf_insn){ .code = BPF_RET | BPF_K };
}

static int load_ebpf(const struct pf_prog *prog)
{
	struct kbpf_prog_spec spec = { .type = BPF_PROG_TYPE_SOCKET_FILTER, .name = "pf_bench" };
	struct pf_error error;
	struct pfs_diag diag;
	struct bpf_insn *insns;
	uint64_t *words;
	int fd;

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
	fd = kbpf_prog_load(&spec, &diag);
	if (fd < 0)
		die(diag.text);
	free(words);
	return fd;
}

static void attach_kind(int fd, const char *kind, const char *text)
{
	static struct pf_insn theirs[4096];
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_insn *ours;
	struct pf_prog *prog;
	struct pf_error error;
	size_t n;
	int ebpf;

	if (strcmp(kind, "empty") == 0) {
		attach_return(fd, 0);
		return;
	}
	if (strcmp(kind, "libpcap") == 0) {
		int m = lsf_libpcap(text, theirs, 4096);

		if (m < 0)
			die("libpcap");
		reject_all(theirs, (size_t)m);
		attach_insns(fd, theirs, (size_t)m);
		return;
	}
	options.engine = PF_ENGINE_INTERP;
	if (pf_compile("pcap", text, strlen(text), &options, &prog, &error) < 0)
		die(error.text);
	if (strcmp(kind, "pf classic") == 0) {
		if (pf_emit_cbpf(prog, PF_CBPF_LINUX, &ours, &n, &error) < 0)
			die(error.text);
		reject_all(ours, n);
		attach_insns(fd, ours, n);
		free(ours);
	} else {
		ebpf = load_ebpf(prog);
		attach_ebpf(fd, ebpf);
		close(ebpf);
	}
	pf_unref(prog);
}

static double send_traffic(int out, const struct pfs_buf *file)
{
	uint64_t begin = now_ns();
	unsigned n = 0;

	for (size_t at = 24; at + 16 <= file->len;) {
		uint32_t len = le32_load((const uint8_t *)file->data + at + 8);

		n += send(out, file->data + at + 16, len, 0) >= 0;
		at += 16 + len;
	}
	return n ? (double)(now_ns() - begin) / n : 0;
}

/* The quickest of a few times: what else the machine does meanwhile is not of interest here. */
static double send_best(int out, const struct pfs_buf *file)
{
	double best = 0;

	for (int i = 0; i < 5; i++) {
		double ns = send_traffic(out, file);

		if (!i || ns < best)
			best = ns;
	}
	return best;
}

static void filter_round(int out, const int *fds, const struct pfs_buf *file, const char *text,
			 unsigned round)
{
	static const char *const kinds[] = { "empty", "libpcap", "pf classic", "pf eBPF" };

	for (size_t k = 0; k < 4; k++) {
		const char *kind = kinds[round % 2 ? 3 - k : k];

		for (int i = 0; i < SOCKETS; i++)
			attach_kind(fds[i], kind, text);
		printf("%s\t%s\t%u\t%.2f\n", text, kind, round, send_best(out, file) / SOCKETS);
	}
}

int lsf_filter(unsigned rounds)
{
	static const char *const texts[] = {
		"tcp port 80",
		"udp port 53",
		"ip host 192.0.2.11 and tcp port 80",
		"tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
		("host 192.0.2.10 or host 192.0.2.11 or host 192.0.2.12 or host 192.0.2.13 or host 192.0.2.14 or "
		 "host 198.51.100.20 or host 198.51.100.23 or host 198.51.100.26 or host 10.0.1.1 or host 10.0.1.8"),
	};
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf file = { 0 };
	int out = packet_socket(0), fds[SOCKETS];

	for (int i = 0; i < SOCKETS; i++)
		fds[i] = packet_socket(ETH_P_ALL);
	options.packets = 500;
	options.snaplen = 256;
	if (capture_generate_buf(&options, &file, NULL) < 0)
		die("traffic");
	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			filter_round(out, fds, &file, texts[i], round);
	for (int i = 0; i < SOCKETS; i++)
		close(fds[i]);
	close(out);
	return 0;
}
