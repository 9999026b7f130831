/*
 * packetring - the rings of a packet socket: frames of a network device, received with TPACKET_V3, sent from a TX
 * ring
 *
 * Our end of a pair of devices has the rings, the far end is another process with a plain packet socket. Read:
 * frames are sent there with sendmsg(2), go through the stack and are copied into our ring, where we look at them.
 * Write: we put them into the ring and call send(2) once for each transfer; the far end receives with recvmsg(2).
 * So each pays for the network and for one plain end. A block of the ring is ours when it is full or 1 ms old (the
 * least that can be said), which is what a round trip waits for. Frames of 8 KiB: a larger transfer is several,
 * copied together.
 */
#include "wire.h"

#include <linux/if_packet.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PIECE 8192u
#define BLOCK (64u << 10)
#define BLOCKS 512u
#define SLOT 16384u
#define SLOTS 512u

struct packetring {
	struct wire wire;
	int in, out;
	uint8_t *blocks, *slots;
	unsigned block, frames,
		slot;	/* the block at hand, what is left in it, the next slot to send from */
	bool held;	/* the block at hand is ours */
	uint8_t *frame; /* the next one in it */
};

static int rings(struct packetring *p)
{
	int v3 = TPACKET_V3, v2 = TPACKET_V2, yes = 1;
	struct tpacket_req3 in = { .tp_block_size = BLOCK,
				   .tp_block_nr = BLOCKS,
				   .tp_frame_size = 2048,
				   .tp_frame_nr = BLOCK / 2048 * BLOCKS,
				   .tp_retire_blk_tov = 1 };
	struct tpacket_req out = { .tp_block_size = BLOCK,
				   .tp_block_nr = SLOTS * SLOT / BLOCK,
				   .tp_frame_size = SLOT,
				   .tp_frame_nr = SLOTS };

	p->in = wire_socket("ispkt", true);
	p->out = wire_socket("ispkt", false);
	if (p->in < 0 || p->out < 0 ||
	    setsockopt(p->in, SOL_PACKET, PACKET_VERSION, &v3, sizeof(v3)) < 0 ||
	    setsockopt(p->in, SOL_PACKET, PACKET_RX_RING, &in, sizeof(in)) < 0 ||
	    setsockopt(p->out, SOL_PACKET, PACKET_VERSION, &v2, sizeof(v2)) < 0 ||
	    setsockopt(p->out, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes)) < 0 ||
	    setsockopt(p->out, SOL_PACKET, PACKET_TX_RING, &out, sizeof(out)) < 0)
		return -errno;
	p->blocks = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, p->in, 0);
	p->slots = mmap(NULL, SLOT * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, p->out, 0);
	return p->blocks == MAP_FAILED || p->slots == MAP_FAILED ? -errno : 0;
}

static void *packetring_open(const struct mechanism *m)
{
	static struct packetring p = { .wire = { .piece = PIECE, .window = 1024 } };
	int r;

	(void)m;
	if (!wire_open(&p.wire, "ispkt", "ispkt1", 9000))
		return NULL;
	r = rings(&p);
	return r < 0 ? study_why(-r, "the rings of a packet socket") : &p;
}

static void packetring_close(void *state)
{
	struct packetring *p = state;

	close(p->in);
	close(p->out);
	wire_close(&p->wire, "ispkt");
}

static struct tpacket_block_desc *block_at(const struct packetring *p)
{
	return (struct tpacket_block_desc *)(void *)(p->blocks + (size_t)p->block * BLOCK);
}

/* The next frame, which is ours until the one after it is asked for. */
static const uint8_t *next_frame(struct packetring *p, size_t *ret_len)
{
	struct tpacket_block_desc *b = block_at(p);
	const struct tpacket3_hdr *h;

	while (!p->frames) {
		struct pollfd wait = { .fd = p->in, .events = POLLIN };

		if (p->held) {
			__atomic_store_n(&b->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
			p->held = false;
			p->block = (p->block + 1) % BLOCKS;
			b = block_at(p);
		}
		if (__atomic_load_n(&b->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) {
			p->held = true;
			p->frames = b->hdr.bh1.num_pkts;
			p->frame = (uint8_t *)b + b->hdr.bh1.offset_to_first_pkt;
		} else if (poll(&wait, 1, -1) < 0) {
			study_die("poll");
		}
	}
	h = (const struct tpacket3_hdr *)(const void *)p->frame;
	p->frames--;
	p->frame += h->tp_next_offset;
	*ret_len = h->tp_snaplen;
	return (const uint8_t *)h + h->tp_mac;
}

static const uint8_t *packetring_get(void *state, int end, uint8_t *into, size_t len)
{
	struct packetring *p = state;
	const uint8_t *frame = into;

	if (end == 1)
		return wire_far_get(&p->wire, into, len);
	for (size_t at = 0; at < len; at += PIECE) {
		size_t got = 0, want = pfs_min(PIECE, len - at);

		frame = next_frame(p, &got);
		wire_taken(&p->wire, 0);
		errno = EBADMSG;
		if (got != want + WIRE_HEADER)
			study_die("a frame of another length");
		if (len > PIECE)
			memcpy(into + at, frame + WIRE_HEADER, want);
	}
	return len > PIECE ? into : frame + WIRE_HEADER;
}

static void packetring_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct packetring *p = state;
	size_t before = (sizeof(struct tpacket2_hdr) + TPACKET_ALIGNMENT - 1) &
			~(size_t)(TPACKET_ALIGNMENT - 1);

	if (end == 1) {
		wire_far_put(&p->wire, from, len);
		return;
	}
	for (size_t at = 0; at < len; at += PIECE) {
		struct tpacket2_hdr *h =
			(struct tpacket2_hdr *)(void *)(p->slots + (size_t)p->slot * SLOT);
		size_t n = pfs_min(PIECE, len - at);

		wire_sending(&p->wire, 0);
		while (__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE)
			if (send(p->out, NULL, 0, 0) < 0)
				study_die("sending the ring");
		wire_header((uint8_t *)h + before);
		memcpy((uint8_t *)h + before + WIRE_HEADER, from + at, n);
		h->tp_len = (uint32_t)(WIRE_HEADER + n);
		__atomic_store_n(&h->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
		p->slot = (p->slot + 1) % SLOTS;
		/* The far end must have something to take while we wait for it. */
		if (at / PIECE % 32 == 31 && send(p->out, NULL, 0, MSG_DONTWAIT) < 0)
			study_die("sending the ring");
	}
	if (send(p->out, NULL, 0, MSG_DONTWAIT) < 0)
		study_die("sending the ring");
}

const struct mechanism mechanism_packetring = {
	.name = "AF_PACKET ring",
	.stands_for = "TPACKET_V3 received, a TX ring sent (one send for a transfer), on veth, "
		      "frames of 8 KiB; the far end has a plain "
		      "packet socket; a block is ours after 1 ms",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = packetring_open,
	.close = packetring_close,
	.get = packetring_get,
	.put = packetring_put,
};
