#include "client/ticket.h"

#include <stdio.h>
#include <sys/un.h>

#include "base/socket.h"

#define ANSWER 5 /* s that the mount has to answer a token */

static int connect_to(const char *name, bool abstract)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name), at = abstract ? 1 : 0;
	PFS_CLOSE int fd = -1;

	if (len == 0 || at + len >= sizeof(address.sun_path))
		return -ENOTCONN;
	memcpy(address.sun_path + at, name, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + at + len)) < 0)
		return errno == ECONNREFUSED || errno == ENOENT ? -ENOTCONN : -errno;
	return TAKE_FD(fd);
}

/*
 * The file first: its directory is root's, while in another network namespace the name may be anybody's. Whatever is
 * wrong with it for us, the name may do.
 */
static int connect_any(const struct pfs_ticket *ticket, char *why, size_t why_size)
{
	int fd = connect_to(ticket->path, false);

	if (fd < 0)
		fd = connect_to(ticket->name, true);
	if (fd == -ENOTCONN && ticket->path[0])
		snprintf(why, why_size,
			 "the mount is in another network namespace, or has ended, and its socket %s cannot be reached",
			 ticket->path);
	else if (fd == -ENOTCONN)
		snprintf(why, why_size,
			 "the mount is in another network namespace, or has ended, and could make no socket for those");
	return fd;
}

int pfs_ticket_redeem(const struct pfs_ticket *ticket, struct pfs_shared_head *hello, size_t size,
		      int *fds, size_t nfds, int *ret_socket, char *why, size_t why_size)
{
	struct timeval answer = { .tv_sec = ANSWER };
	struct pfs_shared_word word = { .version = PFS_SHARED_VERSION };
	struct iovec iov = { &word, sizeof(word) };
	PFS_CLOSE int socket = -1;
	ssize_t n;

	for (size_t i = 0; i < nfds; i++)
		fds[i] = -1;
	if (ticket->version != PFS_SHARED_VERSION)
		return -EPROTO;
	socket = connect_any(ticket, why, why_size);
	if (socket < 0)
		return socket;
	memcpy(word.token, ticket->token, sizeof(word.token));
	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &answer, sizeof(answer));
	n = pfs_socket_send(socket, &iov, 1, 0, NULL, 0);
	if (n >= 0)
		n = pfs_socket_receive(socket, hello, size, 0, fds, nfds);
	if (n < (ssize_t)sizeof(*hello))
		return n == -EAGAIN ? -ETIMEDOUT : n < 0 ? (int)n : -ENOTCONN;
	hello->why[sizeof(hello->why) - 1] = '\0';
	if (hello->error) {
		snprintf(why, why_size, "%s", hello->why);
		return hello->error > 0 && hello->error < 4096 ? -hello->error : -EPROTO;
	}
	if (n != (ssize_t)size)
		return -EPROTO;
	*ret_socket = TAKE_FD(socket);
	return 0;
}
