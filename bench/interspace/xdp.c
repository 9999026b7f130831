/*
 * xdp - AF_XDP: frames of a network device in memory of ours, received and sent (copy mode)
 *
 * As with packetring our end of a pair has it, and the far end is a process with a plain packet socket. A program
 * on our device hands each frame to the socket before the stack has seen it. veth has no zero copy: the kernel
 * copies once at each way. Frames of 2 KiB fit; a larger transfer is several, copied together. Few frames are on
 * the way, since veth holds 256 and drops the rest.
 */
#include "wire.h"

#include "bpf_help.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define PIECE 2048u
#define FRAME 4096u
#define ENTRIES 1024u /* of each ring; frames for each direction */

struct ring {
	_Atomic uint32_t *producer, *consumer;
	void *entries;
};

struct xdp {
	struct wire wire;
	int fd, map, program;
	uint8_t *memory; /* frames to receive into, then frames to send from */
	struct ring fill, completion, in, out;
	unsigned lent;	    /* received, not given back */
	uint32_t sent;	    /* frames in flight */
	uint32_t next_sent; /* the frame to send from */
};

static int ring_map(int fd, struct ring *r, const struct xdp_ring_offset *o, size_t entry, off_t at)
{
	uint8_t *p = mmap(NULL, o->desc + ENTRIES * entry, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, fd, at);

	if (p == MAP_FAILED)
		return -errno;
	r->producer = (_Atomic uint32_t *)(void *)(p + o->producer);
	r->consumer = (_Atomic uint32_t *)(void *)(p + o->consumer);
	r->entries = p + o->desc;
	return 0;
}

static int rings(struct xdp *x)
{
	struct xdp_umem_reg memory = { .addr = (uintptr_t)x->memory,
				       .len = 2 * ENTRIES * FRAME,
				       .chunk_size = FRAME };
	static const int options[] = { XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
				       XDP_TX_RING };
	struct xdp_mmap_offsets o;
	socklen_t size = sizeof(o);
	uint32_t n = ENTRIES;
	int r;

	if (setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &memory, sizeof(memory)) < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(x->fd, SOL_XDP, options[i], &n, sizeof(n)) < 0)
			return -errno;
	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &size) < 0)
		return -errno;
	r = ring_map(x->fd, &x->fill, &o.fr, sizeof(uint64_t), (off_t)XDP_UMEM_PGOFF_FILL_RING);
	r = r ? r
	      : ring_map(x->fd, &x->completion, &o.cr, sizeof(uint64_t),
			 (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
	r = r ? r : ring_map(x->fd, &x->in, &o.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	return r ? r : ring_map(x->fd, &x->out, &o.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
}

/* Frames of queue 0 are the socket's; others go on. */
static int load(struct xdp *x, int device)
{
	uint32_t key = 0;

	x->map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "interspace", 4, 4, 1, NULL);
	if (x->map < 0 || bpf_map_update_elem(x->map, &key, &x->fd, 0) < 0)
		return -errno;
	const struct bpf_insn code[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct xdp_md, rx_queue_index), 0),
		MAP(1, x->map),
		MOVI(3, XDP_PASS),
		CALL(BPF_FUNC_redirect_map),
		EXIT(),
	};
	x->program =
		bpf_prog_load(BPF_PROG_TYPE_XDP, "interspace", "GPL", code, ARRAY_SIZE(code), NULL);
	if (x->program < 0)
		return -errno;
	return bpf_xdp_attach(device, x->program, XDP_FLAGS_DRV_MODE, NULL);
}

static int start(struct xdp *x)
{
	struct sockaddr_xdp at = { .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY };
	int r;

	at.sxdp_ifindex = if_nametoindex("isxdp");
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	r = rings(x);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < ENTRIES; i++)
		((uint64_t *)x->fill.entries)[i] = (uint64_t)i * FRAME;
	atomic_store(x->fill.producer, ENTRIES);
	if (bind(x->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	return load(x, (int)at.sxdp_ifindex);
}

static void *xdp_open(const struct mechanism *m)
{
	static struct xdp x = { .wire = { .piece = PIECE, .window = 128 } };
	int r;

	(void)m;
	if (!wire_open(&x.wire, "isxdp", "isxdp1", 3000))
		return NULL;
	x.memory = study_shared(2 * ENTRIES * FRAME);
	r = start(&x);
	return r < 0 ? study_why(-r, "AF_XDP on veth") : &x;
}

static void xdp_close(void *state)
{
	struct xdp *x = state;

	close(x->fd);
	close(x->program);
	close(x->map);
	wire_close(&x->wire, "isxdp");
}

static void give_back(struct xdp *x)
{
	uint32_t at = atomic_load_explicit(x->in.consumer, memory_order_relaxed);
	uint32_t fill = atomic_load_explicit(x->fill.producer, memory_order_relaxed);

	for (; x->lent; x->lent--, at++, fill++) {
		const struct xdp_desc *d = (const struct xdp_desc *)x->in.entries + at % ENTRIES;

		((uint64_t *)x->fill.entries)[fill % ENTRIES] = d->addr / FRAME * FRAME;
	}
	atomic_store_explicit(x->fill.producer, fill, memory_order_release);
	atomic_store_explicit(x->in.consumer, at, memory_order_release);
}

static const uint8_t *next_frame(struct xdp *x, size_t want)
{
	struct pollfd wait = { .fd = x->fd, .events = POLLIN };
	const struct xdp_desc *d;
	uint32_t at;

	if (x->lent)
		give_back(x);
	at = atomic_load_explicit(x->in.consumer, memory_order_relaxed);
	while (atomic_load_explicit(x->in.producer, memory_order_acquire) == at)
		if (poll(&wait, 1, -1) < 0)
			study_die("poll");
	d = (const struct xdp_desc *)x->in.entries + at % ENTRIES;
	x->lent = 1;
	errno = EBADMSG;
	if (d->len != want + WIRE_HEADER)
		study_die("a frame of another length");
	return x->memory + d->addr + WIRE_HEADER;
}

static const uint8_t *xdp_get(void *state, int end, uint8_t *into, size_t len)
{
	struct xdp *x = state;
	const uint8_t *frame = into;

	if (end == 1)
		return wire_far_get(&x->wire, into, len);
	for (size_t at = 0; at < len; at += PIECE) {
		size_t want = pfs_min(PIECE, len - at);

		frame = next_frame(x, want);
		wire_taken(&x->wire, 0);
		if (len > PIECE)
			memcpy(into + at, frame, want);
	}
	return len > PIECE ? into : frame;
}

static void kick(const struct xdp *x)
{
	if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
	    errno != EBUSY && errno != ENOBUFS)
		study_die("sending the ring");
}

static void complete(struct xdp *x)
{
	uint32_t done = atomic_load_explicit(x->completion.producer, memory_order_acquire);
	uint32_t seen = atomic_load_explicit(x->completion.consumer, memory_order_relaxed);

	x->sent -= done - seen;
	atomic_store_explicit(x->completion.consumer, done, memory_order_release);
}

static void xdp_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct xdp *x = state;

	if (end == 1) {
		wire_far_put(&x->wire, from, len);
		return;
	}
	for (size_t at = 0; at < len; at += PIECE) {
		uint32_t slot = atomic_load_explicit(x->out.producer, memory_order_relaxed);
		struct xdp_desc *d = (struct xdp_desc *)x->out.entries + slot % ENTRIES;
		size_t n = pfs_min(PIECE, len - at);

		wire_sending(&x->wire, 0);
		for (complete(x); x->sent >= ENTRIES; complete(x))
			kick(x);
		*d = (struct xdp_desc){ .addr = (uint64_t)(ENTRIES + x->next_sent++ % ENTRIES) * FRAME,
					.len = (uint32_t)(n + WIRE_HEADER) };
		wire_header(x->memory + d->addr);
		memcpy(x->memory + d->addr + WIRE_HEADER, from + at, n);
		atomic_store_explicit(x->out.producer, slot + 1, memory_order_release);
		x->sent++;
		if (at / PIECE % 32 == 31)
			kick(x);
	}
	/* A system call sends a limited number. */
	while (atomic_load_explicit(x->out.consumer, memory_order_acquire) !=
	       atomic_load_explicit(x->out.producer, memory_order_relaxed))
		kick(x);
}

const struct mechanism mechanism_xdp = {
	.name = "AF_XDP",
	.stands_for = "an XDP socket on veth in copy mode (the only one there), frames of 2 KiB, "
		      "at most 128 on the way; the far end has a "
		      "plain packet socket",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = xdp_open,
	.close = xdp_close,
	.get = xdp_get,
	.put = xdp_put,
};
