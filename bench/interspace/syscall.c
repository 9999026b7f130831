/*
 * syscall - the plain system call: one copy between a kernel buffer and a process, and a call that does nothing
 *
 * The thesis had a call of its own, sys_test(). The nearest without touching the kernel is pread(2) and pwrite(2)
 * of a memory file: a kernel buffer, copied once. What it costs besides: the file's lock, and finding its page for
 * each 4 KiB.
 */
#include "study.h"

#include <sys/syscall.h>

static void *syscall_open(const struct mechanism *m)
{
	static int fd;

	(void)m;
	fd = study_memfd("interspace", STUDY_MAX);
	return &fd;
}

static void syscall_close(void *state)
{
	close(*(int *)state);
}

static const uint8_t *syscall_get(void *state, int end, uint8_t *into, size_t len)
{
	(void)end;
	if (pread(*(int *)state, into, len, 0) != (ssize_t)len)
		study_die("pread");
	return into;
}

static void syscall_put(void *state, int end, const uint8_t *from, size_t len)
{
	(void)end;
	if (pwrite(*(int *)state, from, len, 0) != (ssize_t)len)
		study_die("pwrite");
}

static void syscall_trip(void *state, int end)
{
	(void)state;
	(void)end;
	syscall(SYS_getppid);
}

static const uint8_t *syscall_load(void *state, const uint8_t *pattern, size_t len)
{
	syscall_put(state, 0, pattern, len);
	return pattern;
}

static void syscall_fetch(void *state, uint8_t *into, size_t len)
{
	syscall_get(state, 0, into, len);
}

const struct mechanism mechanism_syscall = {
	.name = "syscall",
	.stands_for = "pread and pwrite of a memory file, for a call of one's own; the trip is getppid(); besides: the "
		      "file's lock, a page looked up for each 4 KiB",
	.thesis = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = syscall_open,
	.close = syscall_close,
	.get = syscall_get,
	.put = syscall_put,
	.trip = syscall_trip,
	.load = syscall_load,
	.fetch = syscall_fetch,
};
