/*
 * What one who captures costs the sender of a frame, by how much of it is kept: `SNAPLEN KIND ROUND NS`
 *
 * Frames of 9000 bytes. KIND: "none"; "reject": a packet socket whose filter rejects all; "queue": one with a
 * filter that keeps SNAPLEN bytes, read by recv(2); "ring": the same with TPACKET_V3; "pipesfs": our eBPF
 * program, which copies into a BPF ring. What has been captured is thrown away between the rounds, which is not
 * counted. NS: of a send().
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
