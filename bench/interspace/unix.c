/*
 * unix - Unix sockets between two processes: a stream, and packets in order (two copies, memory taken for each)
 *
 * Packets are of at most 64 KiB here: larger ones need memory in one piece, which the kernel may not find.
 */
#include "study.h"

#include <sys/socket.h>

#define PACKET (64u << 10)

struct pair {
	int fd[2];
};

static void *unix_open(const struct mechanism *m)
{
	static struct pair both[2];
	struct pair *p = &both[m->variant];
	int room = 1 << 20;

	if (socketpair(AF_UNIX, (m->variant ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0,
		       p->fd) < 0)
		return study_why(errno, "socketpair");
	for (int i = 0; i < 2; i++)
		if (setsockopt(p->fd[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
			return study_why(errno, "SO_SNDBUF");
	return p;
}

static void unix_close(void *state)
{
	struct pair *p = state;

	close(p->fd[0]);
	close(p->fd[1]);
}

static const uint8_t *unix_get(void *state, int end, uint8_t *into, size_t len)
{
	study_read_all(((struct pair *)state)->fd[end], into, len);
	return into;
}

static void unix_put(void *state, int end, const uint8_t *from, size_t len)
{
	study_write_all(((struct pair *)state)->fd[end], from, len);
}

static void packet_put(void *state, int end, const uint8_t *from, size_t len)
{
	for (size_t at = 0; at < len; at += PACKET)
		study_write_all(((struct pair *)state)->fd[end], from + at, pfs_min(PACKET, len - at));
}

const struct mechanism mechanism_unix_stream = {
	.name = "unix stream",
	.stands_for = "socketpair(AF_UNIX, SOCK_STREAM) with 1 MiB SO_SNDBUF (as far as wmem_max lets it) between two "
		      "processes (two copies)",
	.peer = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = unix_open,
	.close = unix_close,
	.get = unix_get,
	.put = unix_put,
};

const struct mechanism mechanism_unix_seqpacket = {
	.name = "unix seqpacket",
	.stands_for = "socketpair(AF_UNIX, SOCK_SEQPACKET), packets of at most 64 KiB (two copies)",
	.peer = true,
	.variant = 1,
	.read = true,
	.write = true,
	.trips = true,
	.open = unix_open,
	.close = unix_close,
	.get = unix_get,
	.put = packet_put,
};
