#include "portal/trap.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#define X32_BIT 0x40000000U /* __X32_SYSCALL_BIT */
#define NONE (-1)	    /* there is no such call */

/* What can be told of a portal is told by opening it; these ask for something else, or for a new file. */
#define LOOKS_ONLY (O_DIRECTORY | O_PATH)
#define MAKES_NEW (O_CREAT | O_EXCL)

/* Numbers of the calls, for each kind of program that may run here. */
static const struct machine {
	uint32_t arch;
	bool x32; /* the same numbers come with a bit more */
	int open, creat, openat, openat2, io_uring_setup, landlock_restrict_self;
} machines[] = {
#if defined(__x86_64__)
	{ AUDIT_ARCH_X86_64, true, 2, 85, 257, 437, 425, 446 },
	{ AUDIT_ARCH_I386, false, 5, 8, 295, 437, 425, 446 },
#elif defined(__i386__)
	{ AUDIT_ARCH_I386, false, 5, 8, 295, 437, 425, 446 },
#elif defined(__aarch64__)
	{ AUDIT_ARCH_AARCH64, false, NONE, NONE, 56, 437, 425, 446 },
#elif defined(__riscv) && __riscv_xlen == 64
	{ AUDIT_ARCH_RISCV64, false, NONE, NONE, 56, 437, 425, 446 },
#elif defined(__s390x__)
	{ AUDIT_ARCH_S390X, false, 5, 8, 288, 437, 425, 446 },
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	{ AUDIT_ARCH_PPC64LE, false, 5, 8, 286, 437, 425, 446 },
#endif
	{ 0 },
};

/* --- the filter -------------------------------------------------------------------------- */

struct code {
	struct sock_filter *at;
	size_t n;
};

static void emit(struct code *code, uint16_t op, uint8_t jt, uint8_t jf, uint32_t k)
{
	assert(code->n < PFS_TRAP_MAX);
	code->at[code->n++] = (struct sock_filter){ op, jt, jf, k };
}

static void emit_load(struct code *code, size_t offset)
{
	emit(code, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void emit_return(struct code *code, uint32_t action)
{
	emit(code, BPF_RET | BPF_K, 0, 0, action);
}

/* The lower half of an argument: flags are no longer than that. */
static size_t argument(unsigned i)
{
	size_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;

	return offsetof(struct seccomp_data, args) + i * sizeof(uint64_t) + low;
}

/* If the number in the accumulator is this one, the answer is `action`. */
static void emit_call(struct code *code, int number, uint32_t action)
{
	if (number == NONE)
		return;
	emit(code, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)number);
	emit_return(code, action);
}

/* The same, by the flags that stand in argument i. */
static void emit_open(struct code *code, int number, unsigned i)
{
	if (number == NONE)
		return;
	emit(code, BPF_JMP | BPF_JEQ | BPF_K, 0, 6, (uint32_t)number);
	emit_load(code, argument(i));
	emit(code, BPF_JMP | BPF_JSET | BPF_K, 3, 0, LOOKS_ONLY);
	emit(code, BPF_ALU | BPF_AND | BPF_K, 0, 0, MAKES_NEW);
	emit(code, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, MAKES_NEW);
	emit_return(code, SECCOMP_RET_USER_NOTIF);
	emit_return(code, SECCOMP_RET_ALLOW);
}

static void emit_machine(struct code *code, const struct machine *m)
{
	emit_load(code, offsetof(struct seccomp_data, nr));
	if (m->x32)
		emit(code, BPF_ALU | BPF_AND | BPF_K, 0, 0, ~X32_BIT);
	emit_open(code, m->openat, 2);
	emit_open(code, m->open, 1);
	emit_call(code, m->openat2, SECCOMP_RET_USER_NOTIF);
	emit_call(code, m->creat, SECCOMP_RET_USER_NOTIF);
	emit_call(code, m->landlock_restrict_self, SECCOMP_RET_USER_NOTIF);
	emit_call(code, m->io_uring_setup, SECCOMP_RET_ERRNO | ENOSYS);
	emit_return(code, SECCOMP_RET_ALLOW);
}

size_t pfs_trap_program(struct sock_filter *ret_program)
{
	struct code code = { .at = ret_program };

	if (!machines[0].arch)
		return 0;
	for (const struct machine *m = machines; m->arch; m++) {
		size_t jump;

		emit_load(&code, offsetof(struct seccomp_data, arch));
		jump = code.n;
		emit(&code, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, m->arch);
		emit_machine(&code, m);
		ret_program[jump].jf = (uint8_t)(code.n - jump - 1);
	}
	emit_return(&code, SECCOMP_RET_ALLOW);
	return code.n;
}

bool pfs_trap_wants(int flags)
{
	return !(flags & LOOKS_ONLY) && (flags & MAKES_NEW) != MAKES_NEW;
}

/* --- what was trapped ---------------------------------------------------------------------- */

int pfs_trap_decode(const struct seccomp_data *data, struct pfs_trap_call *ret_call)
{
	struct pfs_trap_call call = { .kind = PFS_TRAP_OPEN, .dirfd = AT_FDCWD };
	const struct machine *m = machines;
	int nr;

	while (m->arch && m->arch != data->arch)
		m++;
	if (!m->arch)
		return -EINVAL;
	nr = m->x32 ? (int)((unsigned)data->nr & ~X32_BIT) : data->nr;
	if (nr == NONE)
		return -EINVAL;
	if (nr == m->open) {
		call.path = data->args[0];
		call.flags = (int)data->args[1];
		call.mode = (mode_t)data->args[2];
	} else if (nr == m->creat) {
		call.path = data->args[0];
		call.flags = O_CREAT | O_WRONLY | O_TRUNC;
		call.mode = (mode_t)data->args[1];
	} else if (nr == m->openat) {
		call.dirfd = (int)data->args[0];
		call.path = data->args[1];
		call.flags = (int)data->args[2];
		call.mode = (mode_t)data->args[3];
	} else if (nr == m->openat2) {
		call.kind = PFS_TRAP_OPENAT2;
		call.dirfd = (int)data->args[0];
		call.path = data->args[1];
		call.how = data->args[2];
		call.how_size = data->args[3];
	} else if (nr == m->landlock_restrict_self) {
		call.kind = PFS_TRAP_CONFINE;
	} else {
		return -EINVAL;
	}
	*ret_call = call;
	return 0;
}

/* --- the listener ---------------------------------------------------------------------------- */

static int refused(int err, struct pfs_diag *diag)
{
	switch (err) {
	case EBUSY:
		return pfs_diag_set(
			diag, err,
			"somebody answers system calls of this process already (another `pipesfs portal`, or "
			"a container's manager), and Linux allows one for each process: run it outside");
	case EACCES:
		return pfs_diag_set(diag, err, "seccomp needs no_new_privs or CAP_SYS_ADMIN");
	case EPERM:
		return pfs_diag_set(diag, err, "seccomp is forbidden here, by the container perhaps");
	case EINVAL:
	case ENOSYS:
		return pfs_diag_set(
			diag, err,
			"this kernel has no seccomp notification (Linux 5.14 has what is needed)");
	default:
		return pfs_diag_set(diag, err, "seccomp: %s", strerror(err));
	}
}

int pfs_trap_set(int *ret_listener, struct pfs_diag *diag)
{
	struct sock_filter filter[PFS_TRAP_MAX];
	struct sock_fprog program = { .filter = filter };
	long fd;

	program.len = (unsigned short)pfs_trap_program(filter);
	if (!program.len)
		return pfs_diag_set(diag, ENOSYS,
				    "portals by descriptor do not know this kind of machine");
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0)
		return refused(errno, diag);
	*ret_listener = (int)fd;
	return 0;
}
