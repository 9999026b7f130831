/*
 * doctor_process - checks: rights and limits of whoever asks, and programs beside us
 */
#include "cmd/doctor_i.h"
#include "portal/trap.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void look_capabilities(struct finding *f)
{
	static const struct {
		unsigned number;
		const char *name;
	} wanted[] = {
		{ CAP_NET_RAW, "NET_RAW" }, { CAP_NET_ADMIN, "NET_ADMIN" }, { CAP_BPF, "BPF" },
		{ CAP_PERFMON, "PERFMON" }, { CAP_SYS_ADMIN, "SYS_ADMIN" },
	};
	char have[96] = "", lack[96] = "";
	size_t missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		bool there = doctor_capable(wanted[i].number);
		char *list = there ? have : lack;
		size_t len = strlen(list);

		snprintf(list + len, sizeof(have) - len, "%s%s", len ? " " : "", wanted[i].name);
		missing += !there;
	}
	if (!missing)
		finding_set(f, VERDICT_YES, "%s", have);
	else if (missing < ARRAY_SIZE(wanted))
		finding_set(f, VERDICT_PART, "%s; not %s", have, lack);
	else
		finding_set(f, VERDICT_NO, "none of %s", lack);
	if (missing)
		finding_remedy(f, "Mount as root for packets from the kernel");
}

static int try_netns(void)
{
	return unshare(CLONE_NEWNET) ? errno : 0;
}

static int try_userns(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) ? errno : 0;
}

static void look_namespaces(struct finding *f)
{
	int net = doctor_apart(try_netns), user = doctor_apart(try_userns);

	if (!net) {
		finding_set(f, VERDICT_YES, "network namespaces can be made%s",
			    user ? "" : ", users' own too");
	} else if (!user) {
		finding_set(f, VERDICT_PART,
			    "only inside a user namespace of one's own (unshare -Urnm)");
	} else {
		finding_set(f, VERDICT_NO, "%s", strerror(net));
		finding_remedy(
			f, "As root: sysctl user.max_net_namespaces; in a container ask for CAP_SYS_ADMIN");
	}
}

static int try_trap(void)
{
	int fd, r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : pfs_trap_set(&fd, NULL);

	return -r;
}

static void look_portal(struct finding *f)
{
	int error = doctor_apart(try_trap);

	if (error == EBUSY) {
		finding_set(f, VERDICT_NO, "somebody answers system calls of this process already");
		finding_remedy(f, "Run it outside of the other `pipesfs portal`, or of the container");
	} else if (error) {
		finding_set(f, VERDICT_NO, "seccomp: %s", strerror(error));
		finding_remedy(f, "In a container, ask for one that allows seccomp(2)");
	} else if (doctor_number("/proc/sys/kernel/yama/ptrace_scope") > 1) {
		finding_set(f, VERDICT_NO, "no process may read the memory of another");
		finding_remedy(f, "As root: sysctl kernel.yama.ptrace_scope=1");
	} else if (!doctor_kernel(6, 6)) {
		finding_set(f, VERDICT_PART, "seccomp notification; slower than since Linux 6.6");
	} else {
		finding_set(f, VERDICT_YES, "seccomp notification");
	}
}

static void look_memory(struct finding *f)
{
	PFS_CLOSE int fd = memfd_create("pipesfs-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0) {
		finding_set(f, VERDICT_NO, "memfd_create: %s", strerror(errno));
	} else if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) < 0) {
		finding_set(f, VERDICT_PART, "memory for rings, but it cannot be sealed: %s",
			    strerror(errno));
		finding_remedy(f, "Linux 5.1 or later has F_SEAL_FUTURE_WRITE");
	} else {
		finding_set(f, VERDICT_YES, "sealed memory for rings");
	}
}

static void look_nofile(struct finding *f)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		finding_set(f, VERDICT_PART, "%s", strerror(errno));
	} else if (limit.rlim_max >= 4096) {
		finding_set(f, VERDICT_YES, "%llu (at most %llu)",
			    (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	} else {
		finding_set(f, VERDICT_PART, "at most %llu", (unsigned long long)limit.rlim_max);
		finding_remedy(f, "Run ulimit -Hn 20000 before mounting (as root, or in limits.conf)");
	}
}

static void look_memlock(struct finding *f)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		finding_set(f, VERDICT_PART, "%s", strerror(errno));
	else if (limit.rlim_max == RLIM_INFINITY)
		finding_set(f, VERDICT_YES, "unlimited");
	else if (doctor_kernel(5, 11))
		finding_set(f, VERDICT_YES, "%llu KiB; does not count for BPF since Linux 5.11",
			    (unsigned long long)limit.rlim_max / 1024);
	else {
		finding_set(f, VERDICT_PART, "%llu KiB", (unsigned long long)limit.rlim_max / 1024);
		finding_remedy(f, "Run ulimit -l unlimited before mounting, as root");
	}
}

static void look_tools(struct finding *f)
{
	static const char *const wanted[] = { "tcpdump", "tshark", "capinfos" };
	char path[256], have[64] = "", lack[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char *list = doctor_program(wanted[i], path, sizeof(path)) ? have : lack;
		size_t len = strlen(list);

		snprintf(list + len, sizeof(have) - len, "%s%s", len ? " " : "", wanted[i]);
	}
	finding_set(f,
		    !*lack  ? VERDICT_YES
		    : *have ? VERDICT_PART
			    : VERDICT_NO,
		    "%s%s%s", have, *have && *lack ? "; not " : "",
		    *lack && !*have ? "none of tcpdump, tshark, capinfos" : lack);
	if (*lack)
		finding_remedy(f, "Install the packages tcpdump and tshark");
}

const struct check doctor_process_checks[] = {
	{ "capabilities",
	  "Capture files, accept and everything else that asks nothing of the kernel still works.",
	  false, look_capabilities },
	{ "namespaces", "No netns= and no `pipesfs demo --live`.", false, look_namespaces },
	{ "portals, seccomp", "No `pipesfs portal`.", false, look_portal },
	{ "ring memory", "Readers in other processes would have to be trusted not to write.", false,
	  look_memory },
	{ "open files", "Fewer rings, devices and readers at a time.", false, look_nofile },
	{ "locked memory", "BPF rings may be refused.", false, look_memlock },
	{ "tools", "Nothing of ours; all.pcapng waits for a program that reads it.", false, look_tools },
	{ 0 },
};
