/*
 * userring - the BPF user ring: from a process into the kernel without a system call for each record
 *
 * Written in mapped memory (a copy); then a program, run by BPF_PROG_TEST_RUN, has the kernel drain the ring, and
 * copies each record into a map's value (the second). It is run when 256 KiB wait, and at the end. The trip is one
 * record there, drained at once, and the answer through a ring buffer, in one process that never sleeps.
 */
#include "study.h"

#include "bpf_help.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <sys/mman.h>

#define ROOM (8u << 20)
#define ENOUGH (256u << 10)

struct userring {
	int user, back, value, program;
	uint8_t *bytes; /* the value, mapped */
	_Atomic uint64_t *taken, *written;
	uint8_t *ring;
	_Atomic uint64_t *answer_taken, *answer_written;
	const uint8_t *answers;
	size_t len, waiting;
};

/* Type information: a program with a callback needs it. Returns the descriptor or -errno. */
static int describe(struct bpf_func_info *info, uint32_t callback_at)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), pointer = btf__add_ptr(btf, 0),
	    main_type, back_type, fd;
	LIBBPF_OPTS(bpf_btf_load_opts, opts);
	const void *raw;
	uint32_t size;

	main_type = btf__add_func_proto(btf, number);
	btf__add_func_param(btf, "ctx", pointer);
	back_type = btf__add_func_proto(btf, number);
	btf__add_func_param(btf, "dynptr", pointer);
	btf__add_func_param(btf, "ctx", pointer);
	info[0].insn_off = 0;
	info[0].type_id = (uint32_t)btf__add_func(btf, "drain", BTF_FUNC_GLOBAL, main_type);
	info[1].insn_off = callback_at;
	info[1].type_id = (uint32_t)btf__add_func(btf, "take", BTF_FUNC_STATIC, back_type);
	raw = btf__raw_data(btf, &size);
	fd = raw ? bpf_btf_load(raw, size, &opts) : -1;
	if (fd < 0)
		fd = -errno;
	btf__free(btf);
	return fd;
}

/*
 * drain(args): args[0] is the length of a record, args[1]: answer with one of 64 bytes; take() is called for each.
 * r0 of take(): go on. What bpf_dynptr_read() cannot read would show when the value is compared.
 */
static int load_program(const struct userring *u)
{
	const struct bpf_insn code[] = {
		LOAD(6, 1, 8),
		LOAD(7, 1, 0),
		STORE(10, -8, 7),
		MAP(1, u->user),
		FUNCTION(2, 14),
		MOV(3, 10),
		ADDI(3, -8),
		MOVI(4, 1), /* BPF_RB_NO_WAKEUP */
		CALL(BPF_FUNC_user_ringbuf_drain),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 7, 0),
		MAP(1, u->back),
		VALUE(2, u->value),
		MOVI(3, STUDY_TRIP),
		MOVI(4, 0),
		CALL(BPF_FUNC_ringbuf_output),
		EXIT(),
		/* take(dynptr, &length) */
		MOV(3, 1),
		LOAD(2, 2, 0),
		MOVI(0, 0),
		JGTI(2, STUDY_MAX, 6),
		VALUE(1, u->value),
		MOVI(4, 0),
		MOVI(5, 0),
		CALL(BPF_FUNC_dynptr_read),
		MOVI(0, 0),
		EXIT(),
	};
	struct bpf_func_info info[2];
	PFS_CLOSE int btf = describe(info, 20);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_btf_fd = (uint32_t)btf, .func_info = info,
		    .func_info_cnt = 2, .func_info_rec_size = sizeof(info[0]));

	if (btf < 0)
		return btf;
	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "interspace", "GPL", code,
			     ARRAY_SIZE(code), &opts);
}

static void *map_at(int fd, size_t len, int prot, off_t at)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED, fd, at);

	if (p == MAP_FAILED)
		study_die("mapping a BPF map");
	return p;
}

static void *userring_open(const struct mechanism *m)
{
	static struct userring u;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p;

	(void)m;
	if (!study_root())
		return study_why(0, "root is needed for BPF");
	u.user = bpf_map_create(BPF_MAP_TYPE_USER_RINGBUF, "interspace", 0, 0, ROOM, NULL);
	if (u.user < 0)
		return study_why(errno, "a BPF user ring (Linux 6.1)");
	u.back = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "interspace", 0, 0, 64 << 10, NULL);
	u.value = bpf_map_create(BPF_MAP_TYPE_ARRAY, "interspace", 4, STUDY_MAX, 1, &opts);
	if (u.back < 0 || u.value < 0)
		return study_why(errno, "a BPF map");
	u.program = load_program(&u);
	if (u.program < 0)
		return study_why(errno, "a BPF program that drains a user ring");
	u.bytes = map_at(u.value, STUDY_MAX, PROT_READ | PROT_WRITE, 0);
	u.taken = map_at(u.user, page, PROT_READ, 0);
	p = map_at(u.user, page + 2 * ROOM, PROT_READ | PROT_WRITE, (off_t)page);
	u.written = (_Atomic uint64_t *)(void *)p;
	u.ring = p + page;
	u.answer_taken = map_at(u.back, page, PROT_READ | PROT_WRITE, 0);
	p = map_at(u.back, page + (128 << 10), PROT_READ, (off_t)page);
	u.answer_written = (_Atomic uint64_t *)(void *)p;
	u.answers = p + page;
	return &u;
}

static void userring_close(void *state)
{
	struct userring *u = state;

	close(u->program);
	close(u->user);
	close(u->back);
	close(u->value);
}

static void drain(struct userring *u, uint64_t answer)
{
	uint64_t args[2] = { u->len, answer };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(u->program, &opts) < 0)
		study_die("BPF_PROG_TEST_RUN");
	u->waiting = 0;
	errno = EBADMSG;
	if (atomic_load(u->taken) != atomic_load(u->written))
		study_die("the kernel has not taken everything");
}

static void userring_flush(void *state, int end)
{
	struct userring *u = state;

	(void)end;
	if (u->waiting)
		drain(u, 0);
}

static void add(struct userring *u, const uint8_t *from, size_t len)
{
	uint64_t at = atomic_load_explicit(u->written, memory_order_relaxed);
	uint8_t *record = u->ring + at % ROOM;

	u->len = len;
	memcpy(record + 8, from, len);
	memcpy(record, &(uint64_t){ len }, 8);
	atomic_store_explicit(u->written, at + pfs_align8(8 + len), memory_order_release);
	u->waiting += len + 8;
}

static void userring_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct userring *u = state;

	(void)end;
	add(u, from, len);
	if (u->waiting >= ENOUGH)
		drain(u, 0);
}

static void userring_trip(void *state, int end)
{
	static uint8_t asked[STUDY_TRIP];
	struct userring *u = state;
	uint64_t at = atomic_load_explicit(u->answer_taken, memory_order_relaxed);
	const uint8_t *answer = u->answers + at % (64 << 10) + 8;

	(void)end;
	asked[0]++;
	add(u, asked, sizeof(asked));
	drain(u, 1);
	errno = EBADMSG;
	if (atomic_load_explicit(u->answer_written, memory_order_acquire) != at + STUDY_TRIP + 8 ||
	    memcmp(answer, asked, sizeof(asked)) != 0)
		study_die("the answer");
	atomic_store_explicit(u->answer_taken, at + STUDY_TRIP + 8, memory_order_release);
}

static void userring_fetch(void *state, uint8_t *into, size_t len)
{
	memcpy(into, ((struct userring *)state)->bytes, len);
}

const struct mechanism mechanism_userring = {
	.name = "BPF user ring",
	.stands_for = "BPF_MAP_TYPE_USER_RINGBUF of 8 MiB, drained by a program run by "
		      "BPF_PROG_TEST_RUN for each 256 KiB (two "
		      "copies); the trip is answered through a ring buffer, nobody sleeps",
	.write = true,
	.trips = true,
	.open = userring_open,
	.close = userring_close,
	.put = userring_put,
	.trip = userring_trip,
	.flush = userring_flush,
	.fetch = userring_fetch,
};
