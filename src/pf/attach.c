/* Filters of sockets. */
#include <pipesfs/pf.h>

#include <linux/filter.h>
#include <sys/socket.h>

#include "base/base.h"
#include "pf/error.h"

static_assert(sizeof(struct pf_insn) == sizeof(struct sock_filter), "they are the same");

static int attach(int fd, const struct pf_insn *insns, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n,
				      .filter = (struct sock_filter *)(uintptr_t)insns };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static int refused(int r, size_t n, struct pf_error *error)
{
	switch (r) {
	case -EPERM:
		return pf_fail(error, EPERM,
			       "the socket's filter is locked: it can be neither changed nor removed");
	case -ENOMEM:
		return pf_fail(error, ENOMEM,
			       "the kernel has no room for a filter of %zu instructions on this socket; "
			       "raise net.core.optmem_max (sysctl), or say less",
			       n);
	case -ENOTSOCK:
		return pf_fail(error, ENOTSOCK, "that descriptor is no socket");
	case -EBADF:
		return pf_fail(error, EBADF, "that descriptor is not open");
	default:
		return pf_fail(error, -r, "the kernel does not take the filter: %s", strerror(-r));
	}
}

/* Messages that wait, behind at most one error that does. Everything new is rejected, so this ends. */
static void drain(int fd, int type)
{
	unsigned errors = 0;
	char byte;

	for (;;) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || ++errors > 1))
			return;
		if (n == 0 && type == SOCK_SEQPACKET)
			return; /* the peer has gone, and will have gone for ever */
	}
}

/* What came before the filter: nothing is let in while it is thrown away. */
static int forget(int fd, int type, const struct pf_insn *insns, size_t n)
{
	static const struct pf_insn nothing = { .code = BPF_RET | BPF_K };
	int r = attach(fd, &nothing, 1);

	if (r < 0)
		return r;
	drain(fd, type);
	r = attach(fd, insns, n);
	if (r < 0)
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
	return r;
}

int pf_attach(int fd, const struct pf_prog *prog, unsigned flags, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	socklen_t size = sizeof(int);
	int type = 0, r;
	size_t n;

	if (flags & ~(PF_ATTACH_KEEP | PF_ATTACH_LOCK))
		return pf_fail(error, EINVAL, "there is no flag 0x%x",
			       flags & ~(PF_ATTACH_KEEP | PF_ATTACH_LOCK));
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return refused(-errno, 0, error);
	r = pf_emit_cbpf(prog, PF_CBPF_LINUX, &insns, &n, error);
	if (r < 0)
		return r;
	/* At once, so that who cannot have it keeps what he has. */
	r = attach(fd, insns, n);
	if (r == 0 && type != SOCK_STREAM && !(flags & PF_ATTACH_KEEP))
		r = forget(fd, type, insns, n);
	if (r == 0 && (flags & PF_ATTACH_LOCK) &&
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){ 1 }, sizeof(int)) < 0)
		r = -errno;
	return r < 0 ? refused(r, n, error) : 0;
}
