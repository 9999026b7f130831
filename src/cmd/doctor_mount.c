/*
 * doctor_mount - checks: can a pipesfs be mounted, and what will its files be able to do
 */
#include "cmd/doctor_i.h"

#include "config.h"
#include "mount/mount.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define ANSWER_MS 1000

static void look_device(struct finding *f)
{
	PFS_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int err = errno;
	struct stat st = { 0 };

	if (fd >= 0) {
		finding_set(f, VERDICT_YES, "/dev/fuse opens");
		return;
	}
	stat("/dev/fuse", &st);
	if (err == EACCES)
		finding_set(f, VERDICT_NO, "/dev/fuse is closed to you (mode %04o, owner %u)",
			    st.st_mode & 07777, st.st_uid);
	else
		finding_set(f, VERDICT_NO, "/dev/fuse: %s", strerror(err));
	if (err == EACCES)
		finding_remedy(
			f, "As root: chmod 0666 /dev/fuse (what udev does elsewhere), or use pipesfs as root");
	else if (err == ENOENT || err == ENODEV || err == ENXIO)
		finding_remedy(
			f, "As root: modprobe fuse; in a container: start it with --device /dev/fuse");
	else
		finding_remedy(
			f, "In a container: start it with --device /dev/fuse and allow that device");
}

static bool no_new_privs(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	bool set = false;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "NoNewPrivs:\t1", 13))
			set = true;
	if (file)
		fclose(file);
	return set;
}

static void look_mount(struct finding *f)
{
	char path[256];
	struct stat st;

	if (doctor_capable(CAP_SYS_ADMIN)) {
		finding_set(f, VERDICT_YES, "directly, by CAP_SYS_ADMIN");
		return;
	}
	if (!doctor_program("fusermount3", path, sizeof(path)) || stat(path, &st) < 0) {
		finding_set(f, VERDICT_NO, "there is no fusermount3, and you are not root");
		finding_remedy(f, "Install the package fuse3 (or run `make`, which does)");
		return;
	}
	if (!(st.st_mode & S_ISUID) || st.st_uid) {
		finding_set(f, VERDICT_NO, "%s is not set-uid root", path);
		finding_remedy(f, "As root: chown root %s; chmod 4755 %s", path, path);
		return;
	}
	if (no_new_privs()) {
		finding_set(f, VERDICT_NO, "%s is there, but this process may not gain privileges",
			    path);
		finding_remedy(
			f, "Start it outside of what set no_new_privs (a container, a hardened service)");
		return;
	}
	finding_set(f, VERDICT_YES, "through %s", path);
}

static void look_others(struct finding *f)
{
	FILE *file;
	char line[256];
	bool allowed = false;

	if (doctor_capable(CAP_SYS_ADMIN)) {
		finding_set(f, VERDICT_YES, "root's mounts may be open to all users");
		return;
	}
	file = fopen("/etc/fuse.conf", "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "user_allow_other", 16))
			allowed = true;
	if (file)
		fclose(file);
	if (allowed) {
		finding_set(f, VERDICT_YES, "user_allow_other is in /etc/fuse.conf");
		return;
	}
	finding_set(f, VERDICT_PART, "user_allow_other is not in /etc/fuse.conf");
	finding_remedy(f, "As root: echo user_allow_other >>/etc/fuse.conf");
}

static void look_libfuse(struct finding *f)
{
#ifdef HAVE_FUSE_PASSTHROUGH
	finding_set(f, VERDICT_YES, "%s", PIPESFS_FUSE);
#else
	finding_set(f, VERDICT_PART, "%s", PIPESFS_FUSE);
	finding_remedy(
		f, "Build again where tools/fetch-fuse can fetch libfuse 3.18.3, or with a system libfuse >= 3.17");
#endif
}

/* Only a mount can prove it; the kernel's own symbol says whether the code is there. */
static bool has_symbol(const char *name)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512], symbol[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*s %255s", symbol) == 1 && !strcmp(symbol, name);
	if (file)
		fclose(file);
	return found;
}

static void look_passthrough(struct finding *f)
{
	if (!doctor_kernel(6, 9)) {
		finding_set(f, VERDICT_NO, "needs Linux 6.9");
	} else if (!has_symbol("fuse_backing_open")) {
		finding_set(f, VERDICT_NO, "this kernel was built without CONFIG_FUSE_PASSTHROUGH");
	} else if (!doctor_capable(CAP_SYS_ADMIN)) {
		finding_set(f, VERDICT_NO, "the kernel has it for CAP_SYS_ADMIN only");
		finding_remedy(f, "Mount as root where it is needed");
	} else {
#ifdef HAVE_FUSE_PASSTHROUGH
		finding_set(f, VERDICT_YES, "kernel, library and rights are there");
#else
		finding_set(f, VERDICT_NO, "libfuse %s has no passthrough", PIPESFS_FUSE);
#endif
	}
}

static void look_request_size(struct finding *f)
{
	long long pages = doctor_number("/proc/sys/fs/fuse/max_pages_limit");
	long long page = sysconf(_SC_PAGESIZE);

	if (pages < 0)
		finding_set(f, VERDICT_YES, "1 MiB a request (the kernel's fixed limit)");
	else if (pages * page >= 1 << 20)
		finding_set(f, VERDICT_YES, "1 MiB a request");
	else {
		finding_set(f, VERDICT_PART, "fs.fuse.max_pages_limit allows %lld KiB",
			    pages * page / 1024);
		finding_remedy(f, "As root, before mounting: sysctl fs.fuse.max_pages_limit=256");
	}
}

static void look_timeout(struct finding *f)
{
	long long max = doctor_number("/proc/sys/fs/fuse/max_request_timeout");
	long long standard = doctor_number("/proc/sys/fs/fuse/default_request_timeout");

	if (max <= 0 && standard <= 0) {
		finding_set(f, VERDICT_YES,
			    max < 0 ? "this kernel has no request timeout" : "none is set");
		return;
	}
	finding_set(f, VERDICT_NO, "requests are timed out after %lld s (fs.fuse.%s_request_timeout)",
		    max > 0 ? max : standard, max > 0 ? "max" : "default");
	finding_remedy(
		f, "As root: sysctl fs.fuse.max_request_timeout=0 fs.fuse.default_request_timeout=0");
}

static void look_abort(struct finding *f)
{
	struct stat conns = { 0 }, fuse = { 0 };

	if (stat("/sys/fs/fuse", &fuse) < 0) {
		finding_set(f, VERDICT_NO, "/sys/fs/fuse is not there");
		finding_remedy(f, "As root: mount -t sysfs none /sys");
	} else if (!stat("/sys/fs/fuse/connections", &conns) && conns.st_dev != fuse.st_dev) {
		finding_set(f, VERDICT_YES, "/sys/fs/fuse/connections is mounted");
	} else if (doctor_capable(CAP_SYS_ADMIN)) {
		finding_set(f, VERDICT_YES,
			    "/sys/fs/fuse/connections is not mounted, but can be when needed");
	} else {
		finding_set(f, VERDICT_PART, "/sys/fs/fuse/connections is not mounted");
		finding_remedy(f, "As root: mount -t fusectl none /sys/fs/fuse/connections");
	}
}

struct dead {
	unsigned n;
	char first[120]; /* where */
};

static int count_dead(void *arg, const struct pfs_mountinfo *info)
{
	struct dead *dead = arg;
	int r;

	if (strcmp(info->type, PFS_MOUNT_TYPE) != 0 && strcmp(info->type, PFS_REDIRECT_TYPE) != 0)
		return 0;
	r = pfs_mount_answers(info->dir, ANSWER_MS);
	if (r != -ENOTCONN && r != -ECONNABORTED)
		return 0;
	if (dead->n++ == 0)
		snprintf(dead->first, sizeof(dead->first), "%.119s", info->dir);
	return 0;
}

static void look_dead(struct finding *f)
{
	struct dead dead = { 0 };

	if (pfs_mountinfo_each(count_dead, &dead) < 0 || dead.n == 0) {
		finding_set(f, VERDICT_YES, "none is left of a process that was killed");
		return;
	}
	finding_set(f, VERDICT_NO, "%u, on %s%s", dead.n, dead.first, dead.n > 1 ? " and others" : "");
	finding_remedy(f, "pipesfs umount %s; mounting or redirecting it again does that, too",
		       dead.first);
}

const struct check doctor_mount_checks[] = {
	{ "fuse device", "Nothing can be mounted.", true, look_device },
	{ "may mount", "Nothing can be mounted.", true, look_mount },
	{ "other users", "Only you can see what you mount.", false, look_others },
	{ "libfuse", "No passthrough: pipes are read, rings cannot be mapped.", false, look_libfuse },
	{ "passthrough", "A reader cannot map a pipe's ring; read(2) works as always.", false,
	  look_passthrough },
	{ "request size", "Large reads and writes are split, which costs speed.", false,
	  look_request_size },
	{ "no timeout", "The kernel ends the whole mount when a reader waits longer than that.",
	  false, look_timeout },
	{ "abort", "A mount whose process hangs cannot be cut off by `pipesfs abort`.", false,
	  look_abort },
	{ "dead mounts", "What lies at and below such a directory cannot be reached.", false,
	  look_dead },
	{ 0 },
};
