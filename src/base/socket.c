#include "base/socket.h"

union control {
	char bytes[CMSG_SPACE(PFS_SOCKET_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

ssize_t pfs_socket_send(int fd, const struct iovec *iov, size_t niov, int flags, const int *fds,
			size_t nfds)
{
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = niov };
	ssize_t n;

	assert(nfds <= PFS_SOCKET_FDS_MAX);
	if (nfds) {
		struct cmsghdr *head;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(head), fds, nfds * sizeof(int));
	}
	do {
		n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What there is no room for is closed. */
static void fds_take(struct cmsghdr *head, int *fds, size_t nfds)
{
	size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
		if (i < nfds && fds[i] < 0)
			fds[i] = fd;
		else
			close(fd);
	}
}

ssize_t pfs_socket_receive(int fd, void *buf, size_t size, int flags, int *fds, size_t nfds)
{
	union control control;
	struct iovec iov = { buf, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	for (size_t i = 0; i < nfds; i++)
		fds[i] = -1;
	do {
		n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&msg); head; head = CMSG_NXTHDR(&msg, head))
		if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
			fds_take(head, fds, nfds);
	return n;
}
