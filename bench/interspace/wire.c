#include "wire.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/uio.h>

int wire_socket(const char *device, bool receives)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(WIRE_TYPE),
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), room = 64 << 20, yes = 1;

	if (!receives)
		at.sll_protocol = 0;
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
			setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0 ||
			setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
			bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

struct wire *wire_open(struct wire *w, const char *near_end, const char *far_end, unsigned mtu)
{
	int r;

	if (!study_root())
		return study_why(0, "root is needed for network devices of our own");
	r = study_veth(near_end, far_end, mtu);
	if (r < 0)
		return study_why(-r, "a pair of network devices (ip link add)");
	w->far = wire_socket(far_end, true);
	if (w->far < 0)
		return study_why(errno, "a packet socket");
	for (int i = 0; i < 2; i++)
		w->to[i] = (struct wire_count *)(void *)study_shared(sizeof(struct wire_count));
	return w;
}

void wire_close(struct wire *w, const char *near_end)
{
	const char *const gone[] = { "ip", "link", "del", near_end, NULL };

	close(w->far);
	study_run(gone);
}

void wire_sending(struct wire *w, int end)
{
	struct wire_count *c = w->to[!end];
	uint64_t sent = atomic_load_explicit(&c->sent, memory_order_relaxed);

	while (sent - atomic_load_explicit(&c->taken, memory_order_acquire) >= w->window)
		sched_yield();
	atomic_store_explicit(&c->sent, sent + 1, memory_order_relaxed);
}

void wire_taken(struct wire *w, int end)
{
	struct wire_count *c = w->to[end];

	atomic_store_explicit(&c->taken, atomic_load_explicit(&c->taken, memory_order_relaxed) + 1,
			      memory_order_release);
}

void wire_header(uint8_t *frame)
{
	memset(frame, 0xff, 6);
	memset(frame + 6, 2, 6);
	frame[12] = WIRE_TYPE >> 8;
	frame[13] = WIRE_TYPE & 255;
}

void wire_far_put(struct wire *w, const uint8_t *from, size_t len)
{
	uint8_t header[WIRE_HEADER];
	struct iovec v[2] = { { header, sizeof(header) }, { 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	wire_header(header);
	for (size_t at = 0; at < len; at += w->piece) {
		v[1] = (struct iovec){ (void *)(uintptr_t)(from + at), pfs_min(w->piece, len - at) };
		wire_sending(w, 1);
		if (sendmsg(w->far, &m, 0) < 0)
			study_die("sending a frame");
	}
}

const uint8_t *wire_far_get(struct wire *w, uint8_t *into, size_t len)
{
	uint8_t header[WIRE_HEADER];
	struct iovec v[2] = { { header, sizeof(header) }, { 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

	for (size_t at = 0; at < len; at += w->piece) {
		v[1] = (struct iovec){ into + at, pfs_min(w->piece, len - at) };
		if (recvmsg(w->far, &m, 0) != (ssize_t)(WIRE_HEADER + v[1].iov_len))
			study_die("receiving a frame");
		wire_taken(w, 1);
	}
	return into;
}
