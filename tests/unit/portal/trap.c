/*
 * trap - the seccomp filter: what it says of each call, and what arrives when the kernel runs it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../until.h"
#include "portal/notify_i.h"
#include "portal/trap.h"

/* --- the program by itself ------------------------------------------------------------------ */

/* What seccomp runs of classic BPF, as far as the filter uses it. */
static uint32_t run(const struct sock_filter *program, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &program[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k + 4 <= sizeof(*data) && f->k % 4 == 0);
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("instruction %zu: %#x", pc, f->code);
		}
	}
	fail_msg("the program has no end");
	return 0;
}

static uint32_t verdict(uint32_t arch, int nr, uint64_t arg1, uint64_t arg2)
{
	struct sock_filter program[PFS_TRAP_MAX];
	size_t n = pfs_trap_program(program);
	struct seccomp_data data = { .nr = nr, .arch = arch, .args = { 0, arg1, arg2 } };

	assert_in_range(n, 1, PFS_TRAP_MAX);
	return run(program, n, &data);
}

#define ASK SECCOMP_RET_USER_NOTIF
#define GO SECCOMP_RET_ALLOW

static void test_verdicts(void **state)
{
	static const struct {
		int flags;
		uint32_t verdict;
	} flags[] = {
		{ O_RDONLY, ASK },
		{ O_RDWR | O_CLOEXEC | O_NONBLOCK, ASK },
		{ O_WRONLY | O_CREAT | O_TRUNC, ASK },
		{ O_WRONLY | O_EXCL, ASK }, /* without O_CREAT it is of block devices */
		{ O_WRONLY | O_CREAT | O_EXCL, GO },
		{ O_RDONLY | O_DIRECTORY, GO },
		{ O_RDWR | O_TMPFILE, GO },
		{ O_PATH, GO },
		{ O_PATH | O_NOFOLLOW, GO },
		{ -1, GO },
	};

	(void)state;
#if defined(__x86_64__)
	static const struct {
		uint32_t arch, bit;
		int open, creat, openat;
	} programs[] = {
		{ AUDIT_ARCH_X86_64, 0, 2, 85, 257 },
		{ AUDIT_ARCH_X86_64, 0x40000000, 2, 85, 257 }, /* x32 */
		{ AUDIT_ARCH_I386, 0, 5, 8, 295 },
	};

	for (size_t p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
		uint32_t arch = programs[p].arch, bit = programs[p].bit;

		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			uint64_t high = 0xdeadbeef00000000; /* what is above an int means nothing */

			assert_int_equal(verdict(arch, (int)(bit | (unsigned)programs[p].open),
						 high | (unsigned)flags[i].flags, O_PATH),
					 flags[i].verdict);
			assert_int_equal(verdict(arch, (int)(bit | (unsigned)programs[p].openat),
						 O_PATH, high | (unsigned)flags[i].flags),
					 flags[i].verdict);
			assert_true(pfs_trap_wants(flags[i].flags) == (flags[i].verdict == ASK));
		}
		assert_int_equal(verdict(arch, (int)(bit | (unsigned)programs[p].creat), 0, 0), ASK);
		assert_int_equal(verdict(arch, (int)(bit | 437), 0, O_PATH), ASK);
		assert_int_equal(verdict(arch, (int)(bit | 446), 0, 0), ASK);
		assert_int_equal(verdict(arch, (int)(bit | 425), 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
		assert_int_equal(verdict(arch, (int)(bit | 0), 0, 0), GO);
	}
	/* The numbers of one kind of program mean nothing in another. */
	assert_int_equal(verdict(AUDIT_ARCH_X86_64, 5, 0, 0), GO);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 257, 0, 0), GO);
	assert_int_equal(verdict(AUDIT_ARCH_I386, 2, 0, 0), GO);
#else
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		assert_true(pfs_trap_wants(flags[i].flags) == (flags[i].verdict == ASK));
#endif
	assert_int_equal(verdict(AUDIT_ARCH_M68K, 5, 0, 0), GO);
}

static void test_decode(void **state)
{
	struct seccomp_data data = { .arch = AUDIT_ARCH_X86_64 };
	struct pfs_trap_call call;

	(void)state;
#if defined(__x86_64__)
	data = (struct seccomp_data){ .nr = 2,
				      .arch = AUDIT_ARCH_X86_64,
				      .args = { 0x7000, O_RDWR | O_CREAT, 0640 } };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.kind, PFS_TRAP_OPEN);
	assert_int_equal(call.dirfd, AT_FDCWD);
	assert_int_equal(call.path, 0x7000);
	assert_int_equal(call.flags, O_RDWR | O_CREAT);
	assert_int_equal(call.mode, 0640);
	data = (struct seccomp_data){ .nr = 8, .arch = AUDIT_ARCH_I386, .args = { 0x7000, 0600 } };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.flags, O_CREAT | O_WRONLY | O_TRUNC);
	assert_int_equal(call.mode, 0600);
	data = (struct seccomp_data){ .nr = 0x40000000 + 257,
				      .arch = AUDIT_ARCH_X86_64,
				      .args = { 0xffffffff00000005, 0x7000, O_RDONLY } };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.dirfd, 5);
	data = (struct seccomp_data){ .nr = 295,
				      .arch = AUDIT_ARCH_I386,
				      .args = { 0xffffff9c, 0x7000, O_RDONLY } };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.dirfd, AT_FDCWD);
	data = (struct seccomp_data){ .nr = 437,
				      .arch = AUDIT_ARCH_X86_64,
				      .args = { 3, 0x7000, 0x8000, 24 } };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.kind, PFS_TRAP_OPENAT2);
	assert_int_equal(call.how, 0x8000);
	assert_int_equal(call.how_size, 24);
	data = (struct seccomp_data){ .nr = 446, .arch = AUDIT_ARCH_X86_64 };
	assert_int_equal(pfs_trap_decode(&data, &call), 0);
	assert_int_equal(call.kind, PFS_TRAP_CONFINE);
#endif
	data.nr = 0;
	assert_int_equal(pfs_trap_decode(&data, &call), -EINVAL);
	data.nr = -1;
	assert_int_equal(pfs_trap_decode(&data, &call), -EINVAL);
	data.arch = 0;
	assert_int_equal(pfs_trap_decode(&data, &call), -EINVAL);
}

/* --- in the kernel --------------------------------------------------------------------------- */

/* A thread under the filter makes calls; this one answers them. */
struct trapped {
	pthread_t thread;
	int listener;
	atomic_int ready;
	long (*call)(void);
	long result;
	int again; /* what a second filter said */
	struct pfs_diag diag;
};

static void *trapped_run(void *arg)
{
	struct trapped *t = arg;
	int fd = -1, r;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	r = pfs_trap_set(&fd, &t->diag);
	t->listener = r < 0 ? r : fd;
	if (r == 0)
		t->again = pfs_trap_set(&fd, &t->diag);
	atomic_store(&t->ready, 1);
	if (r == 0)
		t->result = t->call();
	return NULL;
}

static void trapped_start(struct trapped *t, long (*call)(void))
{
	*t = (struct trapped){ .call = call, .listener = -1 };
	assert_int_equal(pthread_create(&t->thread, NULL, trapped_run, t), 0);
	WAIT_WHILE(!atomic_load(&t->ready));
	if (t->listener == -EBUSY || t->listener == -EPERM || t->listener == -ENOSYS) {
		print_message("%s\n", t->diag.text);
		pthread_join(t->thread, NULL);
		skip();
	}
	assert_true(t->listener >= 0);
	assert_int_equal(t->again, -EBUSY);
	assert_non_null(strstr(t->diag.text, "pipesfs portal"));
}

/* The next call, decoded; then it goes on. */
static void trapped_expect(struct trapped *t, struct pfs_trap_call *ret_call, char path[PATH_MAX])
{
	struct seccomp_notif n = { 0 };
	struct seccomp_notif_resp response = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	assert_int_equal(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &n), 0);
	assert_int_equal(pfs_trap_decode(&n.data, ret_call), 0);
	assert_true(pfs_decider_read_path((pid_t)n.pid, ret_call->path, path) >= 0);
	response.id = n.id;
	assert_int_equal(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, &response), 0);
}

static void trapped_end(struct trapped *t)
{
	pthread_join(t->thread, NULL);
	close(t->listener);
}

/* The whole family; those that go by themselves would leave the thread waiting if they did not. */
static long call_all(void)
{
	struct open_how how = { .flags = O_RDONLY };
	long fd[6];

	close(open("/", O_RDONLY | O_DIRECTORY));
	close(open("/dev/null", O_PATH));
	fd[0] = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
	fd[1] = syscall(SYS_openat2, AT_FDCWD, "/dev/zero", &how, sizeof(how));
	fd[2] = open("/nonexistent/and/new", O_CREAT | O_EXCL | O_WRONLY, 0600);
	close((int)fd[0]);
	close((int)fd[1]);
	return fd[0] >= 0 && fd[1] >= 0 && fd[2] < 0 && syscall(SYS_io_uring_setup, 1, NULL) < 0 &&
	       errno == ENOSYS;
}

static void test_kernel(void **state)
{
	struct pfs_trap_call call;
	char path[PATH_MAX];
	struct trapped t;

	(void)state;
	trapped_start(&t, call_all);
	trapped_expect(&t, &call, path);
	assert_string_equal(path, "/dev/null");
	assert_int_equal(call.flags, O_RDWR);
	trapped_expect(&t, &call, path);
	assert_string_equal(path, "/dev/zero");
	assert_int_equal(call.kind, PFS_TRAP_OPENAT2);
	trapped_end(&t);
	assert_int_equal(t.result, 1);
}

#if defined(__x86_64__) && !defined(__ILP32__)
/* open(2) as a 32-bit program calls it. */
static long call_i386(void)
{
	char *path = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long result;

	if (path == MAP_FAILED)
		return -ENOMEM;
	memcpy(path, "/dev/full", 10);
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(5), "b"(path), "c"(O_WRONLY), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	munmap(path, 4096);
	return result;
}

static void test_i386(void **state)
{
	struct pfs_trap_call call;
	char path[PATH_MAX];
	struct trapped t;
	int status;
	pid_t pid = fork();

	(void)state;
	/* A kernel without such programs kills who tries, or does not know the call. */
	if (pid == 0)
		_exit(call_i386() >= 0 ? 0 : 1);
	waitpid(pid, &status, 0);
	if (status != 0)
		skip();
	trapped_start(&t, call_i386);
	trapped_expect(&t, &call, path);
	assert_string_equal(path, "/dev/full");
	assert_int_equal(call.flags, O_WRONLY);
	trapped_end(&t);
	assert_true(t.result >= 0);
	close((int)t.result);
}
#endif

/* --- reading paths ------------------------------------------------------------------------------ */

static void test_read_path(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char path[PATH_MAX];
	char *map = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + 2 * page, 2 * page, PROT_NONE), 0);
	/* Up to the last byte that can be read, and across a page. */
	memset(map, 'x', 2 * page);
	map[2 * page - 1] = '\0';
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page - 1, path), 0);
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page - 6, path), 5);
	assert_string_equal(path, "xxxxx");
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + page - 10, path),
			 (long)pfs_min(page + 9, PATH_MAX) == PATH_MAX ? -ENAMETOOLONG
								       : (long)page + 9);
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page - 4096, path), 4095);
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page - 4097, path),
			 -ENAMETOOLONG);
	/* No end before memory that is not there. */
	map[2 * page - 1] = 'x';
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page - 100, path),
			 -EFAULT);
	assert_int_equal(pfs_decider_read_path(getpid(), (uintptr_t)map + 2 * page, path), -EFAULT);
	assert_int_equal(pfs_decider_read_path(getpid(), 0, path), -EFAULT);
	assert_int_equal(pfs_decider_read_path(getpid(), UINT64_MAX, path), -EFAULT);
	assert_int_equal(pfs_decider_read_path(getpid(), 1ULL << 63, path), -EFAULT);
	assert_int_equal(pfs_decider_read_path(0, (uintptr_t)map, path), -ESRCH);
	munmap(map, 4 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_kernel),
#if defined(__x86_64__) && !defined(__ILP32__)
		cmocka_unit_test(test_i386),
#endif
		cmocka_unit_test(test_read_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
