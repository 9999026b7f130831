/*
 * sysfs - a device's ifalias, and the kernel's type information, /sys/kernel/btf/vmlinux
 *
 * sysfs gives and takes at most a page in one call, by way of a page of its own, as it did in the thesis. Read is
 * the only large attribute that each kernel has: vmlinux's BTF, with a call for each 4 KiB (nothing is written
 * into it: the far text is its own, compared with a second way to it, bpf(2)). What keeps bytes that are written
 * is a network device's ifalias: text of at most 255 bytes. So a write of more is many writes, each with a buffer
 * taken and given back, and the lock of all network devices: that lock, not sysfs, is most of its price.
 */
#include "study.h"

#include <bpf/bpf.h>
#include <fcntl.h>

#define PAGE 4096u
#define ALIAS 255u

struct sysfs {
	int btf, alias;
	uint8_t *far;	     /* the BTF as bpf(2) says it */
	const uint8_t *from; /* of the last put() */
};

/* The kernel's own, whose number is the smallest: 1. -errno */
static int btf_by_call(uint8_t *into, size_t len)
{
	PFS_CLOSE int fd = bpf_btf_get_fd_by_id(1);
	struct bpf_btf_info info = { .btf = (uintptr_t)into, .btf_size = (uint32_t)len };
	uint32_t size = sizeof(info);

	if (fd < 0)
		return -errno;
	/* It copies as much as there is room for, and says ENOSPC then. */
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0 && errno != ENOSPC)
		return -errno;
	return info.btf_size >= len ? 0 : -ENODATA;
}

static void *sysfs_open(const struct mechanism *m)
{
	static struct sysfs s;
	int r;

	(void)m;
	if (!study_root())
		return study_why(0, "root is needed for a network device of our own");
	r = study_veth("isalias", "isalias1", 1500);
	if (r < 0)
		return study_why(-r, "a network device (ip link add)");
	s.alias = open("/sys/class/net/isalias/ifalias", O_RDWR | O_CLOEXEC);
	if (s.alias < 0)
		return study_why(errno, "ifalias");
	s.btf = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	if (s.btf < 0)
		return study_why(errno, "/sys/kernel/btf/vmlinux");
	s.far = study_shared(STUDY_MAX);
	r = btf_by_call(s.far, STUDY_MAX);
	return r < 0 ? study_why(-r, "the kernel's BTF by bpf(2)") : &s;
}

static void sysfs_close(void *state)
{
	struct sysfs *s = state;
	const char *const gone[] = { "ip", "link", "del", "isalias", NULL };

	close(s->alias);
	close(s->btf);
	study_run(gone);
}

static const uint8_t *sysfs_get(void *state, int end, uint8_t *into, size_t len)
{
	struct sysfs *s = state;

	(void)end;
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(s->btf, into + at, len - at, (off_t)at);

		if (n <= 0)
			study_die("pread");
		at += (size_t)n;
	}
	return into;
}

static void sysfs_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct sysfs *s = state;

	(void)end;
	s->from = from;
	for (size_t at = 0; at < len; at += ALIAS)
		if (pwrite(s->alias, from + at, pfs_min(ALIAS, len - at), 0) !=
		    (ssize_t)pfs_min(ALIAS, len - at))
			study_die("ifalias");
}

static void alias_read(const struct sysfs *s, uint8_t *into, size_t len)
{
	uint8_t got[ALIAS + 1]; /* a newline stands behind it */

	if (pread(s->alias, got, sizeof(got), 0) != (ssize_t)len + 1)
		study_die("ifalias");
	memcpy(into, got, len);
}

/* The last piece is there; all others are written again, and each is read back. */
static void sysfs_fetch(void *state, uint8_t *into, size_t len)
{
	struct sysfs *s = state;
	size_t last = (len - 1) / ALIAS * ALIAS;

	alias_read(s, into + last, len - last);
	for (size_t at = 0; at < last; at += ALIAS) {
		if (pwrite(s->alias, s->from + at, ALIAS, 0) != ALIAS)
			study_die("ifalias");
		alias_read(s, into + at, ALIAS);
	}
}

static void sysfs_trip(void *state, int end)
{
	struct sysfs *s = state;
	static const uint8_t name[] =
		"a round trip of 64 bytes, as the thesis measured it, and its end";
	uint8_t got[STUDY_TRIP];

	(void)end;
	if (pwrite(s->alias, name, STUDY_TRIP, 0) != STUDY_TRIP)
		study_die("ifalias");
	alias_read(s, got, STUDY_TRIP);
	errno = EBADMSG;
	if (memcmp(got, name, STUDY_TRIP) != 0)
		study_die("ifalias: what was read is not what was written");
}

static const uint8_t *sysfs_load(void *state, const uint8_t *pattern, size_t len)
{
	(void)pattern;
	(void)len;
	return ((struct sysfs *)state)->far;
}

const struct mechanism mechanism_sysfs = {
	.name = "sysfs",
	.stands_for = "read: /sys/kernel/btf/vmlinux, a page at a time; write and trip: a network "
		      "device's ifalias, at most 255 "
		      "bytes a call, under the lock of all network devices",
	.thesis = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = sysfs_open,
	.close = sysfs_close,
	.get = sysfs_get,
	.put = sysfs_put,
	.trip = sysfs_trip,
	.load = sysfs_load,
	.fetch = sysfs_fetch,
};
