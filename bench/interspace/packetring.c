/*
 * packetring - the rings of a packet socket: frames of a network device, received with TPACKET_V3 or V2, sent from a
 * TX ring
 *
 * Our end of a pair of devices has the rings, the far end is another process with a plain packet socket. Read:
 * frames are sent there with sendmsg(2), go through the stack and are copied into our ring, where we look at them.
 * Write: we put them into the ring and call send(2) once for each transfer; the far end receives with recvmsg(2).
 * So each pays for the network and for one plain end. Of V3 a block is ours when it is full or 1 ms old (the least
 * that can be said), which is what a round trip waits for; of V2 each frame has a slot, and is ours at once. Frames of
 * 8 KiB: a larger transfer is several, copied together.
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
#define IN_SLOTS (BLOCK / SLOT * BLOCKS) /* as many bytes as V3 has */

struct packetring {
	struct wire wire;
	int version; /* of the ring that receives */
	const char *device, *far;
	int in, out;
	uint8_t *blocks, *slots;
	unsigned block, frames,
		slot; /* the block (V2: slot) at hand, what is left in it, the next slot to send from */
	bool held;	/* what is at hand is ours */
	uint8_t *frame; /* the next one in it */
};

static int rings(struct packetring *p)
{
	int v2 = TPACKET_V2, yes = 1;
	struct tpacket_req in2 = { .tp_block_size = BLOCK,
				   .tp_block_nr = BLOCKS,
				   .tp_frame_size = SLOT,
				   .tp_frame_nr = IN_SLOTS };
	struct tpacket_req3 in = { .tp_block_size = BLOCK,
				   .tp_block_nr = BLOCKS,
				   .tp_frame_size = 2048,
				   .tp_frame_nr = BLOCK / 2048 * BLOCKS,
				   .tp_retire_blk_tov = 1 };
	struct tpacket_req out = { .tp_block_size = BLOCK,
				   .tp_block_nr = SLOTS * SLOT / BLOCK,
				   .tp_frame_size = SLOT,
				   .tp_frame_nr = SLOTS };

	p->in = wire_socket(p->device, true);
	p->out = wire_socket(p->device, false);
	if (p->in < 0 || p->out < 0 ||
	    setsockopt(p->in, SOL_PACKET, PACKET_VERSION, &p->version, sizeof(p->version)) < 0 ||
	    setsockopt(p->in, SOL_PACKET, PACKET_RX_RING,
		       p->version == TPACKET_V2 ? (void *)&in2 : (void *)&in,
		       p->version == TPACKET_V2 ? sizeof(in2) : sizeof(in)) < 0 ||
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
	static struct packetring both[2]; /* they run at once */
	struct packetring *p = &both[m->variant == TPACKET_V2];
	int r;

	*p = (struct packetring){ .wire = { .piece = PIECE, .window = 1024 },
				  .version = m->variant,
				  .device = m->variant == TPACKET_V2 ? "ispkt2" : "ispkt",
				  .far = m->variant == TPACKET_V2 ? "ispkt3" : "ispkt1" };
	if (!wire_open(&p->wire, p->device, p->far, 9000))
		return NULL;
	r = rings(p);
	return r < 0 ? study_why(-r, "the rings of a packet socket") : p;
}

static void packetring_close(void *state)
{
	struct packetring *p = state;

	munmap(p->blocks, BLOCK * BLOCKS);
	munmap(p->slots, SLOT * SLOTS);
	close(p->in);
	close(p->out);
	wire_close(&p->wire, p->device);
}

static struct tpacket_block_desc *block_at(const struct packetring *p)
{
	return (struct tpacket_block_desc *)(void *)(p->blocks + (size_t)p->block * BLOCK);
}

/* Of V2. */
static const uint8_t *next_slot(struct packetring *p, size_t *ret_len)
{
	struct tpacket2_hdr *h = (struct tpacket2_hdr *)(void *)(p->blocks + (size_t)p->block * SLOT);
	struct pollfd wait = { .fd = p->in, .events = POLLIN };

	if (p->held) {
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		p->block = (p->block + 1) % IN_SLOTS;
		h = (struct tpacket2_hdr *)(void *)(p->blocks + (size_t)p->block * SLOT);
	}
	while (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		if (poll(&wait, 1, -1) < 0)
			study_die("poll");
	p->held = true;
	*ret_len = h->tp_snaplen;
	return (const uint8_t *)h + h->tp_mac;
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

		frame = p->version == TPACKET_V2 ? next_slot(p, &got) : next_frame(p, &got);
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
	.variant = TPACKET_V3,
	.open = packetring_open,
	.close = packetring_close,
	.get = packetring_get,
	.put = packetring_put,
};

const struct mechanism mechanism_packetring2 = {
	.name = "AF_PACKET ring v2",
	.stands_for =
		"TPACKET_V2 received: a slot of 16 KiB for each frame, ours at once; else the same",
	.peer = true,
	.read = true,
	.trips = true,
	.variant = TPACKET_V2,
	.open = packetring_open,
	.close = packetring_close,
	.get = packetring_get,
	.put = packetring_put,
};
