/*
 * netlink - a message to the kernel's NETLINK_ROUTE that it does not understand, which it sends back
 *
 * The thesis had a family of its own in a module. Without one, rtnetlink is asked for a type that does not exist:
 * the error says EOPNOTSUPP and brings the whole request back, so bytes go in and come out (NETLINK_CAP_ACK
 * unset), or go in and only a header comes out (set). So "read" pays for the way in, too: at most half of what it
 * could be. The kernel copies into a buffer of the message's size at each way, which it takes and gives back, and
 * copies the request into the answer. Messages are of at most 32 KiB, larger buffers would be mapped page by page.
 */
#include "study.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CHUNK (32u << 10)
#define NO_SUCH_TYPE 4000
#define MESSAGE(len) (NLMSG_HDRLEN + (len))

struct netlink {
	int echo, brief; /* what comes back: all, the header */
	const uint8_t *request;
	uint8_t answer[2 * NLMSG_HDRLEN + CHUNK + 64];
};

static int netlink_socket(int brief)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), room = 4 << 20;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (brief && setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &brief, sizeof(brief)) < 0)
		return -1;
	return fd;
}

static void *netlink_open(const struct mechanism *m)
{
	static struct netlink n;

	(void)m;
	n.echo = netlink_socket(0);
	n.brief = netlink_socket(1);
	return n.echo < 0 || n.brief < 0 ? study_why(errno, "NETLINK_ROUTE") : &n;
}

static void netlink_close(void *state)
{
	struct netlink *n = state;

	close(n->echo);
	close(n->brief);
}

static void ask(int fd, const uint8_t *from, size_t len)
{
	struct nlmsghdr head = { .nlmsg_len = (uint32_t)MESSAGE(len),
				 .nlmsg_type = NO_SUCH_TYPE,
				 .nlmsg_flags = NLM_F_REQUEST };
	struct iovec v[2] = { { &head, sizeof(head) }, { (void *)(uintptr_t)from, len } };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = v, .msg_iovlen = 2 };

	if (sendmsg(fd, &m, 0) < 0)
		study_die("sendmsg");
}

/* The answer: an error with the header of the request behind it, then `len` bytes go to `into`. */
static void answer(int fd, uint8_t *into, size_t len)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} a = { 0 };
	struct iovec v[2] = { { &a, sizeof(a) }, { into, len } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n = recvmsg(fd, &m, 0);

	if (n < 0)
		study_die("recvmsg");
	errno = EBADMSG;
	if ((size_t)n != sizeof(a) + len || a.head.nlmsg_type != NLMSG_ERROR ||
	    a.error.error != -EOPNOTSUPP || (m.msg_flags & MSG_TRUNC))
		study_die("the kernel's answer");
}

static const uint8_t *netlink_get(void *state, int end, uint8_t *into, size_t len)
{
	struct netlink *n = state;

	(void)end;
	for (size_t at = 0; at < len; at += CHUNK) {
		ask(n->echo, n->request + at, pfs_min(CHUNK, len - at));
		answer(n->echo, into + at, pfs_min(CHUNK, len - at));
	}
	return into;
}

static void netlink_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct netlink *n = state;

	(void)end;
	n->request = from;
	for (size_t at = 0; at < len; at += CHUNK) {
		ask(n->brief, from + at, pfs_min(CHUNK, len - at));
		answer(n->brief, NULL, 0);
	}
}

static void netlink_trip(void *state, int end)
{
	struct netlink *n = state;

	(void)end;
	ask(n->echo, n->answer, STUDY_TRIP);
	answer(n->echo, n->answer, STUDY_TRIP);
}

static const uint8_t *netlink_load(void *state, const uint8_t *pattern, size_t len)
{
	struct netlink *n = state;

	(void)len;
	n->request = pattern;
	return pattern;
}

/* The same bytes again, with an answer that brings them back. */
static void netlink_fetch(void *state, uint8_t *into, size_t len)
{
	netlink_get(state, 0, into, len);
}

const struct mechanism mechanism_netlink = {
	.name = "netlink",
	.stands_for = "NETLINK_ROUTE, a request of a type that does not exist, in messages of at "
		      "most 32 KiB: the error "
		      "brings it back (read: there and back) or its header (write)",
	.thesis = true,
	.read = true,
	.write = true,
	.trips = true,
	.open = netlink_open,
	.close = netlink_close,
	.get = netlink_get,
	.put = netlink_put,
	.trip = netlink_trip,
	.load = netlink_load,
	.fetch = netlink_fetch,
};
