#include "source/packetring.h"

#include <linux/if_packet.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "base/bytes.h"
#include "source/packetfilter.h"

#define BLOCK_SIZE (1u << 20)
#define SLOT_SIZE \
	2048u /* a frame of 1,500 bytes and its header; longer ones wait in the socket's queue */
#define BLOCK_NS UINT64_C(1000000) /* the kernel cannot be told less of a block */

/* Where the sender's address stands behind a frame's header. */
#define FRAME_ADDRESS(header) \
	((sizeof(header) + TPACKET_ALIGNMENT - 1) & ~(TPACKET_ALIGNMENT - 1ul))

enum { VLAN_TAG = 4, MACS = 12, ETHERNET_HEADER = 14 };

struct packetring {
	struct packetring_options options;
	int sock; /* borrowed */
	struct packetfilter filter;
	pfs_counter copied, lost; /* writer: the source's thread */
	uint64_t cut; /* of what the socket has counted: frames that it had no room for as a whole */
	bool slots;   /* a slot for each frame (TPACKET_V2), or blocks of many */
	uint8_t *blocks; /* owned; mapped */
	unsigned nblock;
	unsigned next;	       /* block or slot */
	struct pfs_feed *feed; /* borrowed, while running */
	const struct packetring_ops *ops;
	struct pfs_ring *ring; /* borrowed: the graph's */
	size_t n;
	struct pfs_ref batch[PFS_BATCH];
};

int packetring_filter(struct packetring *p, const struct pf_insn *insns, size_t n)
{
	return packetfilter_set(&p->filter, insns, n);
}

void packetring_program(const struct packetring *p, struct pfs_buf *out)
{
	packetfilter_print(&p->filter, out);
}

void packetring_text(const struct packetring *p, struct pfs_buf *out)
{
	pfs_buf_printf(out, "kernel.copied %llu\nkernel.lost %llu\n",
		       (unsigned long long)pfs_counter_get(&p->copied),
		       (unsigned long long)pfs_counter_get(&p->lost));
}

/* Blocks, which the kernel hands over when they are full or so old. */
static int make_blocks(struct packetring *p)
{
	struct tpacket_req3 req = {
		.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = p->nblock,
		.tp_frame_size = SLOT_SIZE,
		.tp_frame_nr = p->nblock * (BLOCK_SIZE / SLOT_SIZE),
		.tp_retire_blk_tov = (unsigned)(p->options.latency / BLOCK_NS),
	};
	int version = TPACKET_V3;

	if (setsockopt(p->sock, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(p->sock, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -errno;
	return 0;
}

/* Slots, which are handed over one by one. What is longer than a slot is kept as a whole in the socket's queue. */
static int make_slots(struct packetring *p)
{
	struct tpacket_req req = {
		.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = p->nblock,
		.tp_frame_size = SLOT_SIZE,
		.tp_frame_nr = p->nblock * (BLOCK_SIZE / SLOT_SIZE),
	};
	int version = TPACKET_V2, yes = 1;
	int room = (int)pfs_min(p->options.bytes, INT32_MAX / 2);

	if (setsockopt(p->sock, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(p->sock, SOL_PACKET, PACKET_COPY_THRESH, &yes, sizeof(yes)) < 0 ||
	    setsockopt(p->sock, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -errno;
	/* Without the right to exceed it as much as the system gives. */
	if (setsockopt(p->sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(p->sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	return 0;
}

int packetring_new(int sock, const struct packetring_options *options, struct packetring **ret_ring)
{
	struct packetring *p = pfs_zalloc(1, sizeof(*p));
	void *m;
	int r;

	if (!p)
		return -ENOMEM;
	p->options = *options;
	p->options.snaplen = (uint32_t)pfs_min(options->snaplen, PACKETRING_SNAPLEN);
	p->sock = sock;
	p->nblock = (unsigned)pfs_max(4, options->bytes / BLOCK_SIZE);
	p->slots = options->latency < BLOCK_NS;
	p->filter = (struct packetfilter){ .sock = sock,
					   .snaplen = p->options.snaplen,
					   .any = options->any };
	r = packetfilter_snaplen(&p->filter);
	if (r == 0)
		r = p->slots ? make_slots(p) : make_blocks(p);
	if (r < 0) {
		packetfilter_release(&p->filter);
		free(p);
		return r;
	}
	m = mmap(NULL, (size_t)p->nblock * BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, sock, 0);
	if (m == MAP_FAILED) {
		r = -errno;
		packetfilter_release(&p->filter);
		free(p);
		return r;
	}
	p->blocks = m;
	*ret_ring = p;
	return 0;
}

void packetring_free(struct packetring *p)
{
	if (!p)
		return;
	munmap(p->blocks, (size_t)p->nblock * BLOCK_SIZE);
	packetfilter_release(&p->filter);
	free(p);
}

static int flush(struct packetring *p)
{
	size_t n = p->n;

	p->n = 0;
	return n ? pfs_feed_push(p->feed, p->batch, n) : 0;
}

static bool is_wanted(const struct packetring *p, const struct sockaddr_ll *from)
{
	bool out = from->sll_pkttype == PACKET_OUTGOING;
	bool in_wanted = (p->options.directions & PFS_REC_IN) != 0;

	if (out && in_wanted && p->options.loopback &&
	    (uint32_t)from->sll_ifindex == p->options.loopback)
		return false;
	return (p->options.directions & (out ? PFS_REC_OUT : PFS_REC_IN)) != 0;
}

/* A frame in the ring, of either version. */
struct frame {
	const struct sockaddr_ll *from;
	const uint8_t *bytes;
	uint32_t status, len, wire_len, sec, nsec; /* len: in the ring */
	uint16_t tci, tpid;
};

/* Copies a frame, with the VLAN tag that the adapter took off put back. */
static void copy_frame(uint8_t *to, const uint8_t *frame, size_t len, const uint8_t *tag)
{
	if (!tag) {
		memcpy(to, frame, len);
		return;
	}
	memcpy(to, frame, MACS);
	memcpy(to + MACS, tag, VLAN_TAG);
	memcpy(to + MACS + VLAN_TAG, frame + MACS, len - MACS - VLAN_TAG);
}

/* The same of the first one in the socket's queue, which is the longer form of the slot at hand. len 0: it goes. */
static int receive_frame(struct packetring *p, uint8_t *to, size_t len, const uint8_t *tag)
{
	size_t before = tag ? MACS : 0, after = before + (tag ? VLAN_TAG : 0);
	struct iovec v[2] = { { to, pfs_min(before, len) }, { to + after, len ? len - after : 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n = recvmsg(p->sock, &m, MSG_DONTWAIT);

	if (tag && len)
		memcpy(to + MACS, tag, VLAN_TAG);
	if (n < 0)
		return -errno;
	return (size_t)n == v[0].iov_len + v[1].iov_len ? 0 : -EIO;
}

static int take(struct packetring *p, const struct frame *f)
{
	bool queued = (f->status & TP_STATUS_COPY) != 0;
	uint32_t whole = queued ? f->wire_len : f->len;
	bool tagged = (f->status & TP_STATUS_VLAN_VALID) && whole >= ETHERNET_HEADER;
	size_t len = whole + (tagged ? VLAN_TAG : 0u);
	struct pfs_record *rec;
	struct pfs_ref ref;
	uint16_t origin;
	uint8_t tag[VLAN_TAG];
	int r;

	if (!is_wanted(p, f->from))
		return queued ? receive_frame(p, NULL, 0, NULL) : 0;
	if (whole < pfs_min(f->wire_len,
			    p->options.snaplen)) { /* the queue had no room: there is no half a frame */
		p->cut++;
		return 0;
	}
	be16_store(tag, f->status & TP_STATUS_VLAN_TPID_VALID ? f->tpid : 0x8100);
	be16_store(tag + 2, f->tci);
	len = pfs_min(len, pfs_max(p->options.snaplen, ETHERNET_HEADER + VLAN_TAG));
	r = pfs_feed_reserve(p->feed, p->ring, len, &rec);
	if (r < 0) {
		if (queued)
			receive_frame(p, NULL, 0, NULL);
		if (r == -EMSGSIZE)
			pfs_feed_lost(p->feed, "oversize", 1);
		return r == -EMSGSIZE ? 0 : r;
	}
	if (!queued)
		copy_frame((uint8_t *)(rec + 1), f->bytes, len, tagged ? tag : NULL);
	else if ((r = receive_frame(p, (uint8_t *)(rec + 1), len, tagged ? tag : NULL)) < 0)
		return r;
	rec->time = (uint64_t)f->sec * 1000000000 + f->nsec;
	rec->wire_len = f->wire_len + (tagged ? VLAN_TAG : 0u);
	rec->ifindex = (uint32_t)f->from->sll_ifindex;
	rec->flags = f->from->sll_pkttype == PACKET_OUTGOING ? PFS_REC_OUT : PFS_REC_IN;
	if (f->status & TP_STATUS_CSUMNOTREADY)
		rec->flags |= PFS_REC_CSUM;
	r = p->ops->origin(p->ops->arg, rec, &origin);
	rec->origin = r < 0 ? 0 : origin;
	pfs_ring_commit(p->ring, rec);
	if (r < 0) {
		pfs_feed_lost(p->feed, "unknown device", 1);
		return 0;
	}
	ref = pfs_ref_of_record(p->ring, rec, pfs_ring_pos(p->ring, rec, atomic_load(&p->ring->head)));
	ref.len = (uint32_t)pfs_min(len, p->options.snaplen);
	p->batch[p->n++] = ref;
	return p->n == PFS_BATCH ? flush(p) : 0;
}

static void tell_lost(struct packetring *p)
{
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);
	uint64_t lost;

	/* Reading resets them. */
	if (getsockopt(p->sock, SOL_PACKET, PACKET_STATISTICS, &stats, &size) < 0)
		return;
	/* The kernel's first number has those in it that it dropped. */
	lost = stats.tp_drops + p->cut;
	pfs_counter_add(&p->copied, stats.tp_packets - lost);
	pfs_counter_add(&p->lost, lost);
	if (lost)
		pfs_feed_lost(p->feed, "ring full", lost);
	p->cut = 0;
}

static int take_in_block(struct packetring *p, const struct tpacket3_hdr *h)
{
	struct frame f = {
		.from = (const void *)((const uint8_t *)h + FRAME_ADDRESS(*h)),
		.bytes = (const uint8_t *)h + h->tp_mac,
		.status = h->tp_status & ~(uint32_t)TP_STATUS_COPY,
		.len = h->tp_snaplen,
		.wire_len = h->tp_len,
		.sec = h->tp_sec,
		.nsec = h->tp_nsec,
		.tci = (uint16_t)h->hv1.tp_vlan_tci,
		.tpid = h->hv1.tp_vlan_tpid,
	};

	return take(p, &f);
}

/* Takes the blocks that are ours now and gives them back. */
static int drain_blocks(struct packetring *p)
{
	for (;;) {
		uint8_t *block = p->blocks + (size_t)p->next * BLOCK_SIZE;
		struct tpacket_hdr_v1 *bh = &((struct tpacket_block_desc *)(void *)block)->hdr.bh1;
		_Atomic uint32_t *status = (_Atomic uint32_t *)&bh->block_status;
		uint8_t *at;
		int r = 0;

		/* Twin: the kernel's store of the status after the block is filled. */
		if (!(atomic_load_explicit(status, memory_order_acquire) & TP_STATUS_USER))
			return 0;
		at = block + bh->offset_to_first_pkt;
		for (uint32_t i = 0; i < bh->num_pkts && r == 0; i++) {
			const struct tpacket3_hdr *h = (const void *)at;

			r = take_in_block(p, h);
			at += h->tp_next_offset;
		}
		if (r == 0)
			r = flush(p);
		atomic_store_explicit(status, TP_STATUS_KERNEL, memory_order_release);
		p->next = (p->next + 1) % p->nblock;
		if (r < 0)
			return r;
	}
}

/* The same with slots. Who reads is told after a batch, and when there is nothing more. */
static int drain_slots(struct packetring *p)
{
	int r = 0;

	while (r == 0) {
		struct tpacket2_hdr *h = (void *)(p->blocks + (size_t)p->next * SLOT_SIZE);
		_Atomic uint32_t *status = (_Atomic uint32_t *)&h->tp_status;
		struct frame f;

		/* Twin: the kernel's store of the status after the slot is filled. */
		f.status = atomic_load_explicit(status, memory_order_acquire);
		if (!(f.status & TP_STATUS_USER))
			return flush(p);
		f = (struct frame){
			.from = (const void *)((const uint8_t *)h + FRAME_ADDRESS(*h)),
			.bytes = (const uint8_t *)h + h->tp_mac,
			.status = f.status,
			.len = h->tp_snaplen,
			.wire_len = h->tp_len,
			.sec = h->tp_sec,
			.nsec = h->tp_nsec,
			.tci = h->tp_vlan_tci,
			.tpid = h->tp_vlan_tpid,
		};
		r = take(p, &f);
		atomic_store_explicit(status, TP_STATUS_KERNEL, memory_order_release);
		p->next = (p->next + 1) % (p->nblock * (BLOCK_SIZE / SLOT_SIZE));
	}
	return r;
}

static int drain(struct packetring *p)
{
	return p->slots ? drain_slots(p) : drain_blocks(p);
}

/* 0: look again; 1: over; -EINTR: the source is being stopped. */
static int wait(struct packetring *p)
{
	struct pollfd fds[2] = {
		{ .fd = p->sock, .events = POLLIN },
		{ .fd = pfs_feed_stop_fd(p->feed), .events = POLLIN },
	};
	uint64_t ns = p->ops->timeout(p->ops->arg);
	int n = poll(fds, 2, ns == UINT64_MAX ? -1 : (int)(ns / 1000000));

	if (pfs_feed_stopping(p->feed))
		return -EINTR;
	if (n < 0 && errno != EINTR)
		return -errno;
	if ((n == 0 || (fds[0].revents & (POLLERR | POLLHUP))) &&
	    !p->ops->event(p->ops->arg, n ? (uint32_t)fds[0].revents : 0))
		return 1;
	return 0;
}

int packetring_run(struct packetring *p, struct pfs_feed *feed, const struct packetring_ops *ops)
{
	int r;

	p->feed = feed;
	p->ops = ops;
	r = pfs_feed_ring(feed, 0, &p->ring);
	while (r == 0) {
		r = drain(p);
		if (r < 0)
			break;
		tell_lost(p);
		r = wait(p);
	}
	if (r == 1)
		drain(p);
	return r == -EINTR ? 0 : r;
}
