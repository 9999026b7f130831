/*
 * What it costs to get a packet that waits, by its length: `SIZE HOW ROUND NS`
 *
 * "recvfrom": one call a packet; "recvmmsg": 64 packets a call; "ring": the bytes are copied out of a TPACKET_V3
 * block as one that wants to keep them would; there is no call.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lsf.h"

#define COUNT 256u
#define BLOCK (256u << 10)
#define BLOCKS 64u
#define PATIENCE UINT64_C(1000000000) /* ns */

static uint8_t frame[FRAME_MAX], taken[COUNT][FRAME_MAX];

static void send_all(int out, size_t size)
{
	make_frame(frame, size);
	for (unsigned i = 0; i < COUNT; i++)
		if (send(out, frame, size, 0) < 0)
			die("send");
}

static uint64_t by_recvfrom(int in)
{
	struct sockaddr_ll from;
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < COUNT; i++) {
		socklen_t n = sizeof(from);

		if (recvfrom(in, taken[i], FRAME_MAX, MSG_DONTWAIT, (struct sockaddr *)&from, &n) < 0)
			die("recvfrom");
	}
	return now_ns() - begin;
}

static uint64_t by_recvmmsg(int in)
{
	static struct iovec iov[64];
	static struct mmsghdr msg[64];
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < COUNT; i += 64) {
		for (unsigned k = 0; k < 64; k++) {
			iov[k] = (struct iovec){ taken[i + k], FRAME_MAX };
			msg[k].msg_hdr = (struct msghdr){ .msg_iov = &iov[k], .msg_iovlen = 1 };
		}
		if (recvmmsg(in, msg, 64, MSG_DONTWAIT, NULL) != 64)
			die("recvmmsg");
	}
	return now_ns() - begin;
}

/* Copies out of all blocks until all packets have been seen. 0: not all come, sending took longer than blocks wait. */
static uint64_t by_ring(uint8_t *blocks, unsigned nblock, int in)
{
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);
	uint64_t took = 0, start = now_ns();
	unsigned seen = 0;

	getsockopt(in, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
	for (unsigned b = 0; seen < COUNT; b = (b + 1) % nblock) {
		struct tpacket_block_desc *block = (void *)(blocks + (size_t)b * BLOCK);
		struct tpacket_hdr_v1 *head = &block->hdr.bh1;
		uint64_t begin;
		uint8_t *at;

		while (!(__atomic_load_n(&head->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			if (now_ns() - start > PATIENCE) /* the kernel hands it over a ms later */
				return 0;
		begin = now_ns();
		at = (uint8_t *)head - offsetof(struct tpacket_block_desc, hdr) +
		     head->offset_to_first_pkt;
		for (uint32_t i = 0; i < head->num_pkts && seen < COUNT; i++) {
			const struct tpacket3_hdr *h = (const void *)at;

			memcpy(taken[seen++], at + h->tp_mac, h->tp_snaplen);
			at += h->tp_next_offset;
		}
		__atomic_store_n(&head->block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		took += now_ns() - begin;
	}
	return took;
}

static uint64_t ring_try(int out, size_t size)
{
	struct tpacket_req3 req = { .tp_block_size = BLOCK,
				    .tp_frame_size = 2048,
				    .tp_retire_blk_tov = 1 };
	int in = packet_socket(ETH_P_ALL), version = TPACKET_V3;
	uint8_t *blocks;
	uint64_t took;

	req.tp_block_nr = BLOCKS;
	req.tp_frame_nr = req.tp_block_nr * (BLOCK / req.tp_frame_size);
	if (setsockopt(in, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(in, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		die("TPACKET_V3");
	blocks = mmap(NULL, (size_t)req.tp_block_nr * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, in, 0);
	if (blocks == MAP_FAILED)
		die("mmap");
	send_all(out, size);
	took = by_ring(blocks, req.tp_block_nr, in);
	munmap(blocks, (size_t)req.tp_block_nr * BLOCK);
	close(in);
	return took;
}

static uint64_t ring_round(int out, size_t size)
{
	uint64_t took = 0;

	for (int i = 0; i < 5 && !took; i++)
		took = ring_try(out, size);
	if (!took)
		die("TPACKET_V3: not all packets came");
	return took;
}

static uint64_t queue_round(int out, size_t size, bool many)
{
	int in = packet_socket(ETH_P_ALL), big = 64 << 20;
	uint64_t took;

	setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	send_all(out, size);
	took = many ? by_recvmmsg(in) : by_recvfrom(in);
	close(in);
	return took;
}

int lsf_deliver(unsigned rounds)
{
	static const size_t sizes[] = { 64, 128, 256, 512, 1024, 2048, 4096, 8192 };
	int out = packet_socket(0);

	memset(taken, 1, sizeof(taken));
	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t n = sizes[i];

			printf("%zu\trecvfrom\t%u\t%.1f\n", n, round,
			       (double)queue_round(out, n, false) / COUNT);
			printf("%zu\trecvmmsg\t%u\t%.1f\n", n, round,
			       (double)queue_round(out, n, true) / COUNT);
			printf("%zu\t%s\t%u\t%.1f\n", n, "ring", round,
			       (double)ring_round(out, n) / COUNT);
		}
	close(out);
	return 0;
}
