/*
 * procfs - /proc/self/mem: read and write of our own memory through a procfs file; the trip is a write and a read
 * of comm
 *
 * As in the thesis the file's own code copies twice: between the process and a page of the kernel's, and between
 * that page and what is behind the file (there the module's buffer, here other memory of ours). Besides: the
 * memory's pages are looked up and held, one by one. The trip is "between the start of write and the end of read",
 * as there.
 */
#include "study.h"

#include <fcntl.h>

struct procfs {
	int mem, comm;
	uint8_t *far;
};

static void *procfs_open(const struct mechanism *m)
{
	static struct procfs p;

	(void)m;
	p.mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (p.mem < 0)
		return study_why(errno, "/proc/self/mem");
	p.comm = open("/proc/self/comm", O_RDWR | O_CLOEXEC);
	if (p.comm < 0)
		return study_why(errno, "/proc/self/comm");
	p.far = study_shared(STUDY_MAX);
	if (pwrite(p.mem, "x", 1, (off_t)(uintptr_t)p.far) != 1)
		return study_why(errno, "writing /proc/self/mem");
	return &p;
}

static void procfs_close(void *state)
{
	struct procfs *p = state;

	close(p->mem);
	if (write(p->comm, "bench-interspace", 15) < 0) /* what the trips have made of it */
		study_die("comm");
	close(p->comm);
}

static const uint8_t *procfs_get(void *state, int end, uint8_t *into, size_t len)
{
	const struct procfs *p = state;

	(void)end;
	if (pread(p->mem, into, len, (off_t)(uintptr_t)p->far) != (ssize_t)len)
		study_die("pread");
	return into;
}

static void procfs_put(void *state, int end, const uint8_t *from, size_t len)
{
	const struct procfs *p = state;

	(void)end;
	if (pwrite(p->mem, from, len, (off_t)(uintptr_t)p->far) != (ssize_t)len)
		study_die("pwrite");
}

static void procfs_trip(void *state, int end)
{
	const struct procfs *p = state;
	static unsigned turn;
	char name[16], got[17];

	(void)end;
	for (unsigned i = 0; i < 15; i++)
		name[i] = (char)('a' + (turn + i) % 26);
	turn++;
	if (write(p->comm, name, 15) != 15 || pread(p->comm, got, 16, 0) != 16)
		study_die("comm");
	if (memcmp(name, got, 15) != 0)
		study_die("comm: what was read is not what was written");
}

static const uint8_t *procfs_load(void *state, const uint8_t *pattern, size_t len)
{
	struct procfs *p = state;

	memcpy(p->far, pattern, len);
	return pattern;
}

static void procfs_fetch(void *state, uint8_t *into, size_t len)
{
	struct procfs *p = state;

	memcpy(into, p->far, len);
}

const struct mechanism mechanism_procfs = {
	.name = "procfs",
	.stands_for = "/proc/self/mem, by way of a page of the kernel's (two copies); the trip "
		      "writes and reads 15 bytes of "
		      "/proc/self/comm; besides: pages looked up one by one",
	.thesis = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = procfs_open,
	.close = procfs_close,
	.get = procfs_get,
	.put = procfs_put,
	.trip = procfs_trip,
	.load = procfs_load,
	.fetch = procfs_fetch,
};
