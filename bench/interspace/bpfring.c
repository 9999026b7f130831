/*
 * bpfring - the ways from BPF programs to processes: ring buffer and perf buffer
 *
 * The kernel's end is a program of ours, run by BPF_PROG_TEST_RUN: a system call for each transfer, which a packet
 * or an event would not need; it is counted. The program copies from a map's value, which is mapped, so that the
 * frame can fill it. A process at the far end has the kernel send; we look at the records in the mapped memory
 * (one copy) and sleep in epoll(7) where there are none. Round trips are two such ways. Where there is no room the
 * program says so and is run again. A record of the ring may be of any size. A perf record is of less than 64 KiB
 * and may be broken by the end of the buffer: larger transfers are several, and what is not in one piece is copied
 * once more.
 */
#include "study.h"

#include "bpf_help.h"

#include <bpf/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ROOM (8u << 20)
#define PERF_ROOM (4u << 20)
#define PERF_CHUNK (32u << 10)
#define BUSY (UINT32_C(1) << 31)

struct perf_ring {
	struct perf_event_mmap_page *head;
	const uint8_t *bytes;
	int fd;
};

struct way {
	int map, program, epoll;
	/* ring buffer */
	_Atomic uint64_t *taken, *written;
	const uint8_t *bytes;
	uint64_t lent;
	/* perf buffer: of our CPU and of the other */
	struct perf_ring perf[2];
};

struct bpfring {
	int source;	/* a map of one value */
	uint8_t *bytes; /* it, mapped */
	struct way to[2];
};

/* send(args): args[0] is the length, args[1] where in the source. */
static int load_program(int source, int map, bool perf)
{
	const struct bpf_insn ring[] = {
		LOAD(6, 1, 0),
		LOAD(7, 1, 8),
		MOVI(0, -1),
		JGTI(6, STUDY_MAX, 9),
		JGTI(7, STUDY_MAX, 8),
		VALUE(2, source),
		ADD(2, 7),
		MAP(1, map),
		MOV(3, 6),
		MOVI(4, 0),
		CALL(BPF_FUNC_ringbuf_output),
		EXIT(),
	};
	const struct bpf_insn event[] = {
		LOAD(6, 1, 0),
		LOAD(7, 1, 8),
		MOVI(0, -1),
		JGTI(6, PERF_CHUNK, 9),
		JGTI(7, STUDY_MAX, 8),
		VALUE(4, source),
		ADD(4, 7),
		MAP(2, map),
		INSN(BPF_ALU | BPF_MOV | BPF_K, 3, 0, 0, -1),
		MOV(5, 6),
		CALL(BPF_FUNC_perf_event_output),
		EXIT(),
	};

	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "interspace", "GPL", perf ? event : ring,
			     perf ? ARRAY_SIZE(event) : ARRAY_SIZE(ring), NULL);
}

static int ring_map(struct way *w)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *taken, *rest;

	w->map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "interspace", 0, 0, ROOM, NULL);
	if (w->map < 0)
		return -errno;
	taken = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, w->map, 0);
	rest = mmap(NULL, page + 2 * ROOM, PROT_READ, MAP_SHARED, w->map, (off_t)page);
	if (taken == MAP_FAILED || rest == MAP_FAILED)
		return -errno;
	w->taken = taken;
	w->written = rest;
	w->bytes = (uint8_t *)rest + page;
	return 0;
}

static int perf_open(struct perf_ring *p, int cpu)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_BPF_OUTPUT,
					.sample_type = PERF_SAMPLE_RAW,
					.sample_period = 1,
					.wakeup_events = 1 };

	p->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return p->fd < 0 || ioctl(p->fd, PERF_EVENT_IOC_ENABLE, 0) < 0 ? -errno : 0;
}

/* In the process that reads: a fork does not have it. */
static int perf_mmap(struct perf_ring *p)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *head;

	if (p->fd <= 0)
		return 0;
	head = mmap(NULL, page + PERF_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (head == MAP_FAILED)
		return -errno;
	p->head = head;
	p->bytes = (const uint8_t *)head + page;
	return 0;
}

static int perf_map(struct way *w)
{
	int r = 0, cpu;

	w->map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "interspace", 4, 4,
				(uint32_t)study_cpu(1) + 1, NULL);
	if (w->map < 0)
		return -errno;
	for (int i = 0; i < (study_cpu(0) == study_cpu(1) ? 1 : 2) && !r; i++) {
		cpu = study_cpu(i);
		r = perf_open(&w->perf[i], cpu);
		if (!r && bpf_map_update_elem(w->map, &cpu, &w->perf[i].fd, 0) < 0)
			r = -errno;
	}
	return r;
}

static int way_open(struct bpfring *b, struct way *w, bool perf)
{
	int r = perf ? perf_map(w) : ring_map(w);

	if (r < 0)
		return r;
	w->program = load_program(b->source, w->map, perf);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->program < 0 || w->epoll < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		struct epoll_event e = { .events = EPOLLIN };

		if (perf ? w->perf[i].fd <= 0 : i > 0)
			continue;
		if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, perf ? w->perf[i].fd : w->map, &e) < 0)
			return -errno;
	}
	return 0;
}

static void *bpfring_open(const struct mechanism *m)
{
	static struct bpfring both[2];
	struct bpfring *b = &both[m->variant];
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	void *bytes;
	int r = 0;

	if (!study_root())
		return study_why(0, "root is needed for BPF");
	b->source = bpf_map_create(BPF_MAP_TYPE_ARRAY, "interspace", 4, 2 * STUDY_MAX, 1, &opts);
	if (b->source < 0)
		return study_why(errno, "a BPF map");
	bytes = mmap(NULL, 2 * STUDY_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, b->source, 0);
	if (bytes == MAP_FAILED)
		return study_why(errno, "mapping a BPF map");
	b->bytes = bytes;
	for (int i = 0; i < 2 && !r; i++)
		r = way_open(b, &b->to[i], m->variant == 1);
	for (int i = 0; i < 2 && !r; i++)
		r = perf_mmap(&b->to[0].perf[i]);
	return r ? study_why(-r, m->variant ? "a perf buffer" : "a BPF ring buffer") : b;
}

static void perf_start(void *state)
{
	struct bpfring *b = state;

	for (int i = 0; i < 2; i++)
		if (perf_mmap(&b->to[1].perf[i]) < 0)
			study_die("mapping a perf buffer");
}

static void bpfring_close(void *state)
{
	struct bpfring *b = state;

	for (int i = 0; i < 2; i++) {
		close(b->to[i].program);
		close(b->to[i].epoll);
		close(b->to[i].map);
		for (int p = 0; p < 2; p++)
			if (b->to[i].perf[p].fd > 0)
				close(b->to[i].perf[p].fd);
	}
	close(b->source);
}

static uint8_t *bpfring_source(void *state)
{
	return ((struct bpfring *)state)->bytes;
}

static void send(const struct way *w, size_t at, size_t len)
{
	uint64_t args[2] = { len, at };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	for (;;) {
		if (bpf_prog_test_run_opts(w->program, &opts) < 0)
			study_die("BPF_PROG_TEST_RUN");
		if (!opts.retval)
			return;
		errno = -(int)opts.retval;
		if (errno != EAGAIN && errno != ENOSPC)
			study_die("the BPF program");
		sched_yield(); /* no room */
	}
}

static void ring_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct bpfring *b = state;

	if (from != b->bytes)
		memcpy(b->bytes, from, len);
	send(&b->to[!end], 0, len);
}

static void perf_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct bpfring *b = state;

	if (from != b->bytes)
		memcpy(b->bytes, from, len);
	for (size_t at = 0; at < len; at += PERF_CHUNK)
		send(&b->to[!end], at, pfs_min(PERF_CHUNK, len - at));
}

static void doze(const struct way *w)
{
	struct epoll_event e;

	if (epoll_wait(w->epoll, &e, 1, -1) < 0)
		study_die("epoll_wait");
}

static const uint8_t *ring_get(void *state, int end, uint8_t *into, size_t len)
{
	struct way *w = &((struct bpfring *)state)->to[end];
	uint64_t at = atomic_load_explicit(w->taken, memory_order_relaxed) + w->lent;
	const uint8_t *record;
	uint32_t head;

	(void)into;
	if (w->lent)
		/* Twin: the kernel looks whether the consumer has caught up, after it has committed. */
		atomic_store_explicit(w->taken, at, memory_order_seq_cst);
	while (atomic_load_explicit(w->written, memory_order_seq_cst) == at)
		doze(w);
	record = w->bytes + at % ROOM;
	while ((head = atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)record,
					    memory_order_acquire)) &
	       BUSY)
		doze(w);
	errno = EBADMSG;
	if (head != len)
		study_die("a record of another length");
	w->lent = pfs_align8(8 + len);
	return record + 8;
}

/* One perf record of `want` bytes; `copy` it into `into`, or say where it lies. NULL: there is none. */
static const uint8_t *perf_take(struct perf_ring *p, uint8_t *into, size_t want, bool copy,
				uint64_t *lent)
{
	uint64_t head = __atomic_load_n(&p->head->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = p->head->data_tail + *lent, at, first;
	struct perf_event_header h;
	uint32_t size;

	__atomic_store_n(&p->head->data_tail, tail, __ATOMIC_RELEASE);
	*lent = 0;
	for (;; tail += h.size) { /* what was lost was sent again */
		if (tail == head)
			break;
		memcpy(&h, p->bytes + tail % PERF_ROOM, sizeof(h)); /* all are multiples of 8 */
		if (h.type == PERF_RECORD_SAMPLE)
			break;
	}
	__atomic_store_n(&p->head->data_tail, tail, __ATOMIC_RELEASE);
	if (tail == head)
		return NULL;
	memcpy(&size, p->bytes + (tail + sizeof(h)) % PERF_ROOM, sizeof(size));
	errno = EBADMSG;
	if (size < want)
		study_die("a record of another length");
	at = (tail + sizeof(h) + sizeof(size)) % PERF_ROOM;
	first = pfs_min64(want, PERF_ROOM - at);
	*lent = h.size;
	if (!copy && first == want)
		return p->bytes + at;
	memcpy(into, p->bytes + at, first);
	memcpy(into + first, p->bytes, want - first);
	return into;
}

static const uint8_t *perf_get(void *state, int end, uint8_t *into, size_t len)
{
	static uint64_t lent[2][2];
	static int from[2];
	struct way *w = &((struct bpfring *)state)->to[end];
	const uint8_t *got = NULL;

	for (size_t at = 0; at < len; at += PERF_CHUNK) {
		for (unsigned tried = 0;; tried++) {
			int i = from[end];

			if (w->perf[i].head)
				got = perf_take(&w->perf[i], into + at, pfs_min(PERF_CHUNK, len - at),
						len > PERF_CHUNK, &lent[end][i]);
			if (got)
				break;
			from[end] = !i;
			if (tried % 2)
				doze(w);
		}
		if (len > PERF_CHUNK)
			got = into;
	}
	return got;
}

const struct mechanism mechanism_bpfring = {
	.name = "BPF ring buffer",
	.stands_for = "BPF_MAP_TYPE_RINGBUF of 8 MiB, filled by a program that BPF_PROG_TEST_RUN "
		      "runs (a call for each transfer), read "
		      "where it lies (one copy); epoll",
	.peer = true,
	.read = true,
	.trips = true,
	.open = bpfring_open,
	.close = bpfring_close,
	.source = bpfring_source,
	.get = ring_get,
	.put = ring_put,
};

const struct mechanism mechanism_perfbuf = {
	.name = "perf buffer",
	.stands_for = "BPF_MAP_TYPE_PERF_EVENT_ARRAY of 4 MiB a CPU, the same way; records of at "
		      "most 32 KiB, so more is copied twice",
	.peer = true,
	.variant = 1,
	.read = true,
	.trips = true,
	.open = bpfring_open,
	.start = perf_start,
	.close = bpfring_close,
	.source = bpfring_source,
	.get = perf_get,
	.put = perf_put,
};
