#include "source/bpfcapture.h"

#include <sys/mman.h>

#include "source/bpf.h"
#include "source/bpfcapture_i.h"

#define RING_MIN ((size_t)1 << 20)
#define RING_MAX ((size_t)1 << 30)
#define KNOWN_MAX 4096 /* devices of `any`; what others send is decided in the engine */
#define CPUS_MAX 8192  /* NR_CPUS of the largest kernels */

uint32_t kcap_snaplen(const struct kcap *kcap)
{
	/* pfs_ring_max_record() is a quarter; the rest is history, and room for the next. */
	uint64_t fits = kcap->ring_size / 4 - sizeof(struct pfs_record) - KCAP_RING_HEADER -
			sizeof(struct pfs_takers) - PFS_TAKERS_MAX / 8;

	return (uint32_t)pfs_max64(KCAP_SNAPLEN_MIN, pfs_min64(kcap->spec.snaplen, fits));
}

/* What both kinds need, checked by name so that the sentence can say which is missing. */
static int read_btf(struct kcap *kcap, struct pfs_diag *diag)
{
	const struct kbtf *btf = &kcap->btf;
	int r = kbtf_read(&kcap->btf);

	if (r < 0)
		kcap->btf = (struct kbtf){ .skb_ip_summed.offset = -1 };
	if (kcap->spec.kind != KCAP_NETFILTER)
		return 0;
	if (r < 0)
		return pfs_diag_set(diag, EOPNOTSUPP,
				    "netfilter programs need the kernel's type information "
				    "(/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)");
	if (!btf->dynptr_from_skb || btf->nf_ctx_skb.offset < 0 || btf->nf_ctx_state.offset < 0)
		return pfs_diag_set(diag, EOPNOTSUPP,
				    "this kernel has no netfilter programs (Linux 6.4, "
				    "CONFIG_NETFILTER_BPF_LINK); use dev/<iface> instead");
	if (btf->skb_len.offset < 0 || btf->skb_mark.offset < 0 || btf->dev_ifindex.offset < 0 ||
	    btf->nf_state_in.offset < 0 || btf->nf_state_out.offset < 0)
		return pfs_diag_set(diag, EOPNOTSUPP,
				    "the kernel's type information lacks fields of struct sk_buff");
	return 0;
}

/* One ring for each CPU that is online; the others (they may come later) share these. */
static int make_rings(struct kcap *kcap, struct pfs_diag *diag)
{
	struct kbpf_map_spec spec = {
		.type = BPF_MAP_TYPE_RINGBUF,
		.entries = (uint32_t)kcap->ring_size,
		.inner = -1,
		.name = "pfs_ring",
	};

	for (unsigned i = 0; i < kcap->nring; i++) {
		int map = kbpf_map_new(&spec);

		if (map < 0)
			return pfs_diag_set(diag, -map,
					    "the kernel gives no BPF ring of %llu bytes: %s",
					    (unsigned long long)kcap->ring_size, strerror(-map));
		kcap->ring[i].map = map;
	}
	return 0;
}

static int make_ring_table(struct kcap *kcap)
{
	struct kbpf_map_spec spec = {
		.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
		.key_size = 4,
		.value_size = 4,
		.entries = kcap->ncpu,
		.inner = kcap->ring[0].map,
		.name = "pfs_rings",
	};
	PFS_FREE uint32_t *fds = pfs_zalloc(kcap->ncpu, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	kcap->rings = kbpf_map_new(&spec);
	if (kcap->rings < 0)
		return kcap->rings;
	for (uint32_t cpu = 0, next = 0; cpu < kcap->ncpu; cpu++) {
		unsigned use = cpu % kcap->nring;

		if (next < kcap->nring && kcap->ring[next].cpu == cpu)
			use = next++;
		fds[cpu] = (uint32_t)kcap->ring[use].map;
	}
	return kbpf_map_set_all(kcap->rings, fds, kcap->ncpu);
}

static int make_slots(struct kcap *kcap)
{
	struct kbpf_map_spec spec = {
		.type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct kcap_slot),
		.entries = kcap->ncpu,
		.flags = BPF_F_MMAPABLE,
		.inner = -1,
		.name = "pfs_slots",
	};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (kcap->ncpu * sizeof(struct kcap_slot) + page - 1) & ~(page - 1);
	void *p;

	kcap->slots = kbpf_map_new(&spec);
	if (kcap->slots < 0)
		return kcap->slots;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kcap->slots, 0);
	if (p == MAP_FAILED)
		return -errno;
	kcap->slot = p;
	kcap->slot_bytes = bytes;
	for (unsigned cpu = 0; cpu < kcap->ncpu; cpu++)
		atomic_store(&kcap->slot[cpu].wake_at, 1);
	return 0;
}

static int make_known(struct kcap *kcap)
{
	struct kbpf_map_spec spec = {
		.type = BPF_MAP_TYPE_HASH,
		.key_size = 4,
		.value_size = 4,
		.entries = KNOWN_MAX,
		.inner = -1,
		.name = "pfs_known",
	};

	kcap->known = kbpf_map_new(&spec);
	return kcap->known < 0 ? kcap->known : 0;
}

static int make_maps(struct kcap *kcap, struct pfs_diag *diag)
{
	struct kbpf_map_spec array = {
		.type = BPF_MAP_TYPE_PROG_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.entries = 1,
		.inner = -1,
		.name = "pfs_program",
	};
	int r;

	kcap->array = kbpf_map_new(&array);
	if (kcap->array == -EPERM)
		return pfs_diag_set(
			diag, EPERM,
			"this process may not use eBPF (it needs CAP_BPF and CAP_NET_ADMIN)");
	if (kcap->array < 0)
		return pfs_diag_set(diag, -kcap->array, "no eBPF in this kernel: %s",
				    strerror(-kcap->array));
	r = make_rings(kcap, diag);
	if (r < 0)
		return r;
	r = make_ring_table(kcap);
	if (r == 0)
		r = make_slots(kcap);
	if (r == 0 && kcap->spec.any)
		r = make_known(kcap);
	return r < 0 ? pfs_diag_set(diag, -r, "cannot make the maps of a capture: %s", strerror(-r))
		     : 0;
}

static int load(const struct kcap *kcap, const struct kcode *c, const char *name, struct pfs_diag *diag)
{
	bool netfilter = kcap->spec.kind == KCAP_NETFILTER;
	struct kbpf_prog_spec spec = {
		.type = netfilter ? KBPF_PROG_NETFILTER : BPF_PROG_TYPE_SOCKET_FILTER,
		.attach_type = netfilter ? KBPF_ATTACH_NETFILTER : 0,
		.insns = c->insn,
		.n = c->n,
		.name = name,
	};

	return kbpf_prog_load(&spec, diag);
}

static int make_stub(struct kcap *kcap, struct pfs_diag *diag)
{
	struct kcode c KCODE_CLEANUP = { 0 };
	int r;

	kcap_stub_emit(kcap, &c);
	r = kcode_finish(&c);
	if (r < 0)
		return r;
	kcap->stub = load(kcap, &c, "pfs_stub", diag);
	return kcap->stub < 0 ? kcap->stub : 0;
}

void kcap_body_release(struct kcap_body *body)
{
	if (body->words)
		pf_unit_release(&body->unit);
	for (unsigned i = 0; i < body->nsort; i++)
		pf_unit_release(&body->sort[i].unit);
	free(body->class_);
	*body = (struct kcap_body){ 0 };
}

void kcap_program_release(struct kcap_program *program)
{
	if (program->fd >= 0)
		close(program->fd);
	kcode_release(&program->listing);
	kcap_body_release(&program->body);
	*program = (struct kcap_program){ .fd = -1 };
}

/* With whatever parameters are in the spec. */
static int program_make(const struct kcap *kcap, const struct kcap_body *body,
			struct kcap_program *ret_program, struct pfs_diag *diag)
{
	struct kcode c KCODE_CLEANUP = { 0 };
	int r = kcap_program_emit(kcap, body, &c), fd;

	if (r == 0)
		r = kcode_finish(&c);
	if (r < 0)
		return pfs_diag_set(diag, -r, "no program for the kernel: %s", strerror(-r));
	fd = load(kcap, &c, "pfs_capture", diag);
	if (fd < 0)
		return fd;
	*ret_program = (struct kcap_program){ .fd = fd, .listing = c };
	c = (struct kcode){ 0 };
	return 0;
}

int kcap_make(const struct kcap *kcap, struct kcap_body *body, struct kcap_program *ret_program,
	      struct pfs_diag *diag)
{
	int r = program_make(kcap, body, ret_program, diag);

	if (r == 0 && body) {
		ret_program->body = *body;
		*body = (struct kcap_body){ 0 };
	}
	return r;
}

void kcap_take(struct kcap *kcap, struct kcap_program *program)
{
	kcap_program_release(&kcap->next);
	kcap->next = *program;
	*program = (struct kcap_program){ .fd = -1 };
}

int kcap_prepare(struct kcap *kcap, struct kcap_body *body, struct pfs_diag *diag)
{
	struct kcap_program program;
	int r = kcap_make(kcap, body, &program, diag);

	if (r == 0)
		kcap_take(kcap, &program);
	return r;
}

void kcap_cancel(struct kcap *kcap)
{
	kcap_program_release(&kcap->next);
}

int kcap_commit(struct kcap *kcap)
{
	uint32_t slot = 0, fd = (uint32_t)kcap->next.fd;
	int r;

	if (kcap->next.fd < 0)
		return 0;
	ksort_enter(&kcap->next.body);
	r = kbpf_map_set(kcap->array, &slot, &fd);
	if (r < 0) {
		ksort_leave(&kcap->next.body, &kcap->now.body);
		ksort_enter(&kcap->now.body);
		return r;
	}
	ksort_leave(&kcap->now.body, &kcap->next.body);
	kcap_program_release(&kcap->now);
	kcap->now = kcap->next;
	kcap->next = (struct kcap_program){ .fd = -1 };
	kcap->generation++;
	ksort_prune(kcap);
	knth_prune(kcap);
	return 0;
}

int kcap_retune(struct kcap *kcap, uint32_t snaplen, unsigned directions, struct pfs_diag *diag)
{
	uint32_t old_snaplen = atomic_load(&kcap->spec.snaplen);
	unsigned old_directions = kcap->spec.directions;
	struct kcap_program program;
	int r;

	kcap->tuned++;
	atomic_store(&kcap->spec.snaplen, snaplen);
	kcap->spec.directions = directions;
	r = program_make(kcap, &kcap->now.body, &program, diag);
	if (r == 0) {
		kcap_program_release(&kcap->next);
		kcap->next = program;
		kcap->next.body = kcap->now.body;
		kcap->now.body = (struct kcap_body){ 0 };
		r = kcap_commit(kcap); /* cells say what they said */
		if (r < 0) {
			kcap->now.body = kcap->next.body;
			kcap->next.body = (struct kcap_body){ 0 };
			ksort_enter(&kcap->now.body);
			kcap_program_release(&kcap->next);
			pfs_diag_set(diag, -r, "cannot put the program in place: %s", strerror(-r));
		}
	}
	if (r < 0) {
		atomic_store(&kcap->spec.snaplen, old_snaplen);
		kcap->spec.directions = old_directions;
	}
	return r;
}

int kcap_know(struct kcap *kcap, uint32_t ifindex)
{
	uint32_t yes = 1;

	return kbpf_map_set(kcap->known, &ifindex, &yes);
}

void kcap_passed(const struct kcap *kcap, unsigned bit, struct pfs_tally *ret_tally)
{
	struct pfs_tally sum = { 0 };

	for (unsigned cpu = 0; cpu < kcap->ncpu; cpu++) {
		const struct kcap_slot *slot = &kcap->slot[cpu];

		sum.records += atomic_load_explicit(&slot->passed[bit].records, memory_order_relaxed);
		sum.bytes += atomic_load_explicit(&slot->passed[bit].bytes, memory_order_relaxed);
		sum.wire += atomic_load_explicit(&slot->passed[bit].wire, memory_order_relaxed);
	}
	*ret_tally = sum;
}

static struct kcap *kcap_alloc(const struct kcap_spec *spec)
{
	struct kcap *kcap = pfs_zalloc(1, sizeof(*kcap));
	PFS_FREE uint8_t *online = pfs_zalloc(CPUS_MAX, 1);
	unsigned possible;

	if (!kcap || !online) {
		free(kcap);
		return NULL;
	}
	kcap->spec = *spec;
	atomic_init(&kcap->refs, 1);
	kcap->slots = kcap->rings = kcap->array = kcap->stub = kcap->known = -1;
	kcap->now.fd = kcap->next.fd = -1;
	possible = kbpf_cpus("possible", online, CPUS_MAX);
	kcap->ncpu = (unsigned)pfs_max(possible, kbpf_cpus("online", online, CPUS_MAX));
	kcap->ring = pfs_zalloc(kcap->ncpu, sizeof(*kcap->ring));
	if (!kcap->ring) {
		free(kcap);
		return NULL;
	}
	for (unsigned cpu = 0; cpu < kcap->ncpu && cpu < CPUS_MAX; cpu++)
		if (online[cpu])
			kcap->ring[kcap->nring++] = (struct kcap_ring){ .map = -1, .cpu = cpu };
	kcap->ring_size = RING_MIN;
	while (kcap->ring_size * 2 <= spec->ring_bytes / kcap->nring && kcap->ring_size * 2 <= RING_MAX)
		kcap->ring_size *= 2;
	return kcap;
}

int kcap_new(const struct kcap_spec *spec, struct kcap **ret_kcap, struct pfs_diag *diag)
{
	struct kcap *kcap = kcap_alloc(spec);
	int r;

	if (!kcap)
		return -ENOMEM;
	r = read_btf(kcap, diag);
	if (r == 0)
		r = make_maps(kcap, diag);
	if (r == 0)
		r = make_stub(kcap, diag);
	if (r == 0)
		r = kcap_prepare(kcap, NULL, diag);
	if (r == 0)
		r = kcap_commit(kcap);
	if (r < 0) {
		kcap_free(kcap);
		return r;
	}
	*ret_kcap = kcap;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct kcap *kcap_ref(struct kcap *kcap)
{
	atomic_fetch_add_explicit(&kcap->refs, 1, memory_order_relaxed);
	return kcap;
}

void kcap_free(struct kcap *kcap)
{
	if (!kcap || atomic_fetch_sub_explicit(&kcap->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (kcap->slot)
		munmap(kcap->slot, kcap->slot_bytes);
	for (unsigned i = 0; i < kcap->nring; i++)
		close_fd(kcap->ring[i].map);
	close_fd(kcap->slots);
	close_fd(kcap->rings);
	/* With its last descriptor the kernel empties the array: no circle of programs and arrays stays. */
	close_fd(kcap->array);
	close_fd(kcap->stub);
	close_fd(kcap->known);
	kcap_program_release(&kcap->now);
	kcap_program_release(&kcap->next);
	ksort_free_all(kcap);
	knth_free_all(kcap->nths);
	free(kcap->ring);
	free(kcap);
}
