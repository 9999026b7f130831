/*
 * seccomp - user notification: a process whose getppid(2), of all calls, is answered by us
 *
 * The far end is the process with the filter: each of its calls of SYS_getppid stops it, comes to us, and goes on
 * with our answer. Bytes are not part of a notification; as supervisors do, we read (write) the memory that its
 * arguments name with process_vm_readv(2) (writev): one copy. "read" is what it wants to write. The trip counts
 * from one answer to the next call.
 */
#include "study.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

struct notified {
	_Atomic int pid,
		listener; /* writer: the far end, before it begins; the listener's number there */
	int fd;		  /* ours; -1: not taken yet */
};

static void *notify_open(const struct mechanism *m)
{
	struct seccomp_notif_sizes sizes;
	struct notified *s;

	(void)m;
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return study_why(errno, "seccomp notifications (Linux 5.0)");
	if (sizes.seccomp_notif > sizeof(struct seccomp_notif) ||
	    sizes.seccomp_notif_resp > sizeof(struct seccomp_notif_resp))
		return study_why(0, "this kernel's notifications are larger than its headers said");
	s = (struct notified *)(void *)study_shared(sizeof(*s));
	s->fd = -1;
	return s;
}

/* The far end: from now on getppid() is ours to answer. */
static void notify_start(void *state)
{
	struct notified *s = state;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		study_die("no new privileges");
	s->pid = getpid();
	s->listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				   SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (s->listener < 0)
		study_die("a seccomp filter with a listener");
}

static void notify_close(void *state)
{
	struct notified *s = state;

	if (s->fd >= 0)
		close(s->fd);
}

static void take_listener(struct notified *s)
{
	PFS_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);

	s->fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, s->listener, 0);
	if (s->fd < 0)
		study_die("the listener of the other process");
}

static void receive(struct notified *s, struct seccomp_notif *n)
{
	if (s->fd < 0)
		take_listener(s);
	memset(n, 0, sizeof(*n));
	if (ioctl(s->fd, SECCOMP_IOCTL_NOTIF_RECV, n) < 0)
		study_die("receiving a notification");
}

static void answer(struct notified *s, const struct seccomp_notif *n, size_t value)
{
	struct seccomp_notif_resp a = { .id = n->id, .val = (int64_t)value };

	if (ioctl(s->fd, SECCOMP_IOCTL_NOTIF_SEND, &a) < 0)
		study_die("answering a notification");
}

/* What the far end asks for: `arg` and `len` are read by whoever answers. */
static void call(const uint8_t *arg, size_t len)
{
	if (syscall(SYS_getppid, arg, len) != (long)len)
		study_die("the answered call");
}

static const uint8_t *notify_get(void *state, int end, uint8_t *into, size_t len)
{
	struct seccomp_notif n;
	struct iovec here = { into, len }, there;

	if (end == 1) {
		call(into, len);
		return into;
	}
	receive(state, &n);
	there = (struct iovec){ (void *)(uintptr_t)n.data.args[0], n.data.args[1] };
	if (process_vm_readv((pid_t)n.pid, &here, 1, &there, 1, 0) != (ssize_t)len)
		study_die("process_vm_readv");
	answer(state, &n, len);
	return into;
}

static void notify_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct seccomp_notif n;
	struct iovec here = { (void *)(uintptr_t)from, len }, there;

	if (end == 1) {
		call(from, len);
		return;
	}
	receive(state, &n);
	there = (struct iovec){ (void *)(uintptr_t)n.data.args[0], n.data.args[1] };
	if (process_vm_writev((pid_t)n.pid, &here, 1, &there, 1, 0) != (ssize_t)len)
		study_die("process_vm_writev");
	answer(state, &n, len);
}

static void notify_trip(void *state, int end)
{
	struct seccomp_notif n;
	static size_t turn;

	if (end == 1) {
		call(NULL, ++turn);
		return;
	}
	receive(state, &n);
	answer(state, &n, n.data.args[1]);
}

const struct mechanism mechanism_seccomp = {
	.name = "seccomp notify",
	.stands_for = "getppid() of another process, answered through SECCOMP_RET_USER_NOTIF; its "
		      "bytes with process_vm_readv and "
		      "writev (one copy); each transfer is a trip",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = notify_open,
	.start = notify_start,
	.close = notify_close,
	.get = notify_get,
	.put = notify_put,
	.trip = notify_trip,
};
