#include "source/intake.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define CHUNK ((size_t)256 << 10)   /* bytes of a record of a stream, at most */
#define DATAGRAM ((size_t)64 << 10) /* bytes of one of UDP; there are none with more */
#define BATCH_BYTES ((size_t)1 << 20)
#define RECEIVE_BUFFER (4 << 20)
#define FULL_PAUSE 1000000000ULL /* ns until another try to accept, without descriptors */

/* One run. */
struct run {
	struct intake *in;	  /* borrowed */
	struct pfs_feed *feed;	  /* borrowed */
	struct pfs_ring *ring;	  /* the graph's */
	uint16_t origin;	  /* the source's */
	struct pollfd *fds;	  /* owned; stop, listener or dial, connections */
	struct sockaddr_in6 peer; /* of the last datagram, whose origin is: */
	uint16_t peer_origin;
	struct pfs_ref batch[PFS_BATCH];
	size_t nbatch, batch_bytes;
};

/* --- making -------------------------------------------------------------------------------- */

static struct intake_connection *connection_add(struct intake *in, int fd, const char *peer)
{
	struct intake_connection *c = &in->connection[in->n++];

	*c = (struct intake_connection){ .fd = fd, .stream = in->next_stream };
	/* Away from those of writers (graph/writer.c), which count from 1. */
	in->next_stream = (in->next_stream + 1) | 0x80000000;
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	atomic_store_explicit(&in->open, in->n, memory_order_relaxed);
	pfs_counter_add(&in->accepted, 1);
	return c;
}

static void connection_drop(struct intake *in, unsigned i)
{
	close(in->connection[i].fd);
	if (in->listener >= 0)
		pfs_sockets_give(&in->purse);
	in->connection[i] = in->connection[--in->n];
	in->full_until = 0; /* there is room for one */
	atomic_store_explicit(&in->open, in->n, memory_order_relaxed);
}

/* What the dial has opened. */
static void socket_take(struct intake *in, int fd)
{
	const char *peer = strchr(in->dial.what, ' ');
	int on = 1, size = RECEIVE_BUFFER;

	if (in->dial.type == PFS_PORTAL_LISTENER) {
		in->listener = fd;
		return;
	}
	in->packets = in->dial.type == PFS_PORTAL_PACKETS;
	if (in->packets) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as much as is allowed */
		setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	}
	in->dropped = 0;
	connection_add(in, fd, peer && !in->packets ? peer + 1 : "");
}

static int parse(struct intake *in, const char *name, enum pfs_portal_kind kind, bool listen,
		 const struct pfs_args *args, struct pfs_portal_plan *plan, struct pfs_diag *diag)
{
	uint64_t max = listen && kind != PFS_PORTAL_UDP ? INTAKE_CLIENTS : 1;
	int r = pfs_args_number(args, "clients", false, 1, 4096, &max, diag);

	if (r == 0)
		r = pfs_dial_parse(kind, listen, args->arg, plan, diag);
	if (r < 0)
		return r;
	in->max = (unsigned)max;
	in->connection = pfs_zalloc(in->max, sizeof(*in->connection));
	if (asprintf(&in->name, "%s:%s", name, args->arg) < 0)
		in->name = NULL;
	return in->connection && in->name ? 0 : -ENOMEM;
}

int intake_init(struct intake *in, const char *name, enum pfs_portal_kind kind, bool listen,
		const struct pfs_args *args, const struct pfs_place *place, struct pfs_diag *diag)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	struct pfs_spawner *spawner;
	int fd, r;

	in->listener = -1;
	in->next_stream = 0x80000000;
	in->purse = place->purse;
	r = parse(in, name, kind, listen, args, &plan, diag);
	if (r == 0)
		r = pfs_sockets_take(&in->purse, diag);
	in->paid = r == 0;
	if (r == 0)
		r = place->identify(place, &caller, &spawner, diag);
	if (r == 0) {
		caller.confined = false; /* it opens what he may open himself, and runs nothing */
		pfs_dial_init(&in->dial, spawner, &caller, &plan);
		r = pfs_dial_wait(&in->dial, &fd, diag);
	}
	if (r == 0) {
		socket_take(in, fd);
		memcpy(in->address, in->dial.what, sizeof(in->address));
	} else {
		intake_fini(in);
	}
	return r;
}

void intake_fini(void *state)
{
	struct intake *in = state;

	while (in->n)
		connection_drop(in, in->n - 1);
	pfs_closep(&in->listener);
	if (in->paid)
		pfs_sockets_give(&in->purse);
	pfs_dial_release(&in->dial);
	free(in->connection);
	free(in->name);
}

/* --- records ----------------------------------------------------------------------------------- */

static int batch_push(struct run *run)
{
	size_t n = run->nbatch;
	int r = n ? pfs_feed_push(run->feed, run->batch, n) : 0;

	run->nbatch = run->batch_bytes = 0;
	if (r == -EINTR) /* it was taken from the socket already */
		pfs_feed_lost(run->feed, "no reader", n);
	return r;
}

static int record_end(struct run *run, struct pfs_record *rec, size_t len)
{
	pfs_ring_shrink(run->ring, rec, len);
	rec->wire_len = (uint32_t)pfs_max(rec->wire_len, len);
	pfs_ring_commit(run->ring, rec);
	if (len == 0)
		return 0;
	pfs_counter_add(&run->in->bytes, len);
	run->batch[run->nbatch++] = pfs_ref_of_record(
		run->ring, rec, pfs_ring_pos(run->ring, rec, atomic_load(&run->ring->head)));
	run->batch_bytes += len;
	return run->nbatch == PFS_BATCH || run->batch_bytes >= BATCH_BYTES ? batch_push(run) : 0;
}

/* The origin of this peer; that of the source when there are too many. */
static uint16_t origin_of(const struct run *run, const char *peer)
{
	struct pfs_origin origin = { .link_type = PFS_LINK_BYTES };
	uint16_t id;

	snprintf(origin.name, sizeof(origin.name), "%s", peer);
	return pfs_feed_origin(run->feed, &origin, &id) < 0 ? run->origin : id;
}

static void address_text(const struct sockaddr_in6 *a, char *text, size_t size)
{
	const struct sockaddr_in *four = (const void *)a;
	char host[INET6_ADDRSTRLEN] = "?";
	uint16_t port = ntohs(a->sin6_port);

	if (a->sin6_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, port);
	} else if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) {
		inet_ntop(AF_INET, a->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, port);
	} else {
		inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, port);
	}
}

/* --- streams ------------------------------------------------------------------------------------- */

/* 1: something came; 0: nothing is there; -EPIPE: its end; else the error that ended it. -EINTR: to stop. */
static int stream_read(struct run *run, struct intake_connection *c)
{
	struct pfs_record *rec;
	ssize_t n;
	int r = pfs_feed_reserve(run->feed, run->ring,
				 pfs_min(CHUNK, pfs_ring_max_record(run->ring)), &rec);

	if (r < 0)
		return r;
	if (!c->has_origin && c->peer[0]) {
		c->origin = origin_of(run, c->peer);
		c->has_origin = true;
	}
	n = recv(c->fd, rec + 1, rec->len, MSG_DONTWAIT);
	r = n < 0 ? -errno : n > 0 ? 1 : -EPIPE;
	rec->time = pfs_clock_real();
	rec->stream = c->stream;
	rec->origin = c->has_origin ? c->origin : run->origin;
	if (record_end(run, rec, n > 0 ? (size_t)n : 0) < 0 || batch_push(run) < 0)
		return -EINTR;
	return r == -EAGAIN || r == -EINTR ? 0 : r;
}

/* It has ended: those below are told. -EINTR: to stop. */
static int stream_end(struct run *run, unsigned i, int error)
{
	struct intake *in = run->in;
	/* A control ref has no bytes; its length is the number of the stream. */
	struct pfs_ref end = {
		.flags = PFS_REF_STREAM_END,
		.len = in->connection[i].stream,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
	};

	if (error != -EPIPE) {
		atomic_store_explicit(&in->error, -error, memory_order_relaxed);
		pfs_feed_lost(run->feed, "connection lost", 1);
	}
	connection_drop(in, i);
	return pfs_feed_push(run->feed, &end, 1);
}

/* --- datagrams ----------------------------------------------------------------------------------- */

static void ancillary(struct run *run, struct msghdr *message, struct pfs_record *rec)
{
	struct intake *in = run->in;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct timespec ts;
		uint32_t dropped;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			rec->time = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&dropped, CMSG_DATA(c), sizeof(dropped));
			if (dropped != in->dropped)
				pfs_feed_lost(run->feed, "socket buffer full", dropped - in->dropped);
			in->dropped = dropped;
		}
	}
}

static uint16_t peer_origin(struct run *run, const struct sockaddr_in6 *peer)
{
	char text[60];

	if (peer->sin6_family != AF_INET && peer->sin6_family != AF_INET6)
		return run->origin;
	if (memcmp(peer, &run->peer, sizeof(*peer)) != 0) {
		address_text(peer, text, sizeof(text));
		run->peer = *peer;
		run->peer_origin = origin_of(run, text);
	}
	return run->peer_origin;
}

/* As stream_read(). */
static int datagram_read(struct run *run, struct intake_connection *c)
{
	char control[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t))];
	union {
		struct sockaddr_storage any; /* of Unix sockets, too */
		struct sockaddr_in6 in;
	} peer = { 0 };
	struct pfs_record *rec;
	struct iovec iov;
	struct msghdr message = {
		.msg_name = &peer,
		.msg_namelen = sizeof(peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	bool udp = run->in->dial.plan.kind == PFS_PORTAL_UDP;
	size_t room = pfs_min(udp ? DATAGRAM : CHUNK, pfs_ring_max_record(run->ring));
	int r = pfs_feed_reserve(run->feed, run->ring, room, &rec);

	if (r < 0)
		return r;
	iov = (struct iovec){ rec + 1, rec->len };
	n = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_TRUNC);
	r = n < 0 ? -errno : 1;
	if (n >= 0) {
		rec->time = pfs_clock_real();
		rec->stream = c->stream;
		ancillary(run, &message, rec);
		rec->origin = message.msg_namelen ? peer_origin(run, &peer.in) : run->origin;
		rec->wire_len = (uint32_t)n;
	}
	if (n > 0 && (size_t)n > room)
		pfs_feed_lost(run->feed, "truncated", 1);
	if (n == 0 && udp) /* there are no records of no bytes: readers would take them for the end */
		pfs_feed_lost(run->feed, "empty", 1);
	if (record_end(run, rec, n > 0 ? pfs_min((size_t)n, room) : 0) < 0)
		return -EINTR;
	return r;
}

static bool has_boundaries_and_end(int fd)
{
	int type = SOCK_DGRAM;
	socklen_t size = sizeof(type);

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	return type == SOCK_SEQPACKET;
}

/* All that are there. */
static int datagrams_read(struct run *run, struct intake_connection *c, short events)
{
	uint64_t before = pfs_counter_get(&run->in->bytes);
	int r = 1;

	for (int i = 0; r == 1 && i < 4 * PFS_BATCH; i++)
		r = datagram_read(run, c);
	if (batch_push(run) < 0)
		return -EINTR;
	/* Nobody listens there: it is said of a datagram sent before, and is no end. */
	if (r == -ECONNREFUSED || r == -EAGAIN)
		r = 0;
	/* A socket of packets that has been closed at the other end is ready for ever. */
	if ((events & POLLHUP) && pfs_counter_get(&run->in->bytes) == before &&
	    has_boundaries_and_end(c->fd))
		return -EPIPE;
	return r;
}

/* --- connections -------------------------------------------------------------------------------- */

/* Who it is: of a Unix socket's clients the kernel says which process. */
static void peer_text(int fd, const struct sockaddr_in6 *peer, char *text, size_t size)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	if (peer->sin6_family != AF_UNIX)
		address_text(peer, text, size);
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		snprintf(text, size, "pid %ld uid %lu", (long)who.pid, (unsigned long)who.uid);
	else
		snprintf(text, size, "?");
}

static void accept_all(struct run *run)
{
	struct intake *in = run->in;
	int on = 1;

	while (in->n < in->max) {
		struct sockaddr_in6 peer = { 0 };
		socklen_t size = sizeof(peer);
		int fd = -1, r = pfs_sockets_take(&in->purse, NULL);
		char text[60];

		if (r == 0)
			fd = accept4(in->listener, (void *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (r == 0) {
				r = -errno;
				pfs_sockets_give(&in->purse);
			}
			if (r == -EDQUOT || r == -EMFILE || r == -ENFILE || r == -ENOMEM ||
			    r == -ENOBUFS)
				in->full_until = pfs_clock_mono() + FULL_PAUSE;
			if (r != -ECONNABORTED && r != -EINTR)
				return;
			continue;
		}
		/* Who has gone without a word is noticed some time. */
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		peer_text(fd, &peer, text, sizeof(text));
		connection_add(in, fd, text);
	}
}

/* Nobody came back from the way to the other side: this generation has ended before it began. */
static int dial_again(struct run *run)
{
	struct intake *in = run->in;
	struct pfs_diag diag = { "" };
	int fd, r = pfs_dial_busy(&in->dial) ? 0 : pfs_dial_begin(&in->dial, &diag);

	if (r == 0)
		r = pfs_dial_run(&in->dial, &fd, &diag);
	if (r == 0)
		socket_take(in, fd);
	else if (r != -EAGAIN)
		atomic_store_explicit(&in->error, -r, memory_order_relaxed);
	return r;
}

/* Until something has happened. -EINTR: to stop. */
static int wait(struct run *run)
{
	struct intake *in = run->in;
	struct pollfd *fds = run->fds;
	bool busy = pfs_dial_busy(&in->dial);
	uint64_t now = pfs_clock_mono(), due = UINT64_MAX;
	bool listens = in->listener >= 0 && in->n < in->max && in->full_until <= now;

	if (busy)
		due = pfs_dial_due(&in->dial);
	else if (in->listener >= 0 && in->full_until > now)
		due = in->full_until;
	fds[0] = (struct pollfd){ .fd = pfs_feed_stop_fd(run->feed), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = busy	  ? pfs_dial_fd(&in->dial)
					: listens ? in->listener
						  : -1,
				  .events = POLLIN };
	for (unsigned i = 0; i < in->n; i++)
		fds[2 + i] = (struct pollfd){ .fd = in->connection[i].fd, .events = POLLIN };
	if (poll(fds, 2 + in->n,
		 due == UINT64_MAX ? -1
		 : due > now	   ? (int)pfs_min64((due - now) / 1000000 + 1, 60000)
				   : 0) < 0)
		for (unsigned i = 0; i < 2 + in->n; i++)
			fds[i].revents = 0;
	return pfs_feed_stopping(run->feed) ? -EINTR : 0;
}

/* One look at all that poll has told of. 1: it was the last connection. */
static int serve(struct run *run)
{
	struct intake *in = run->in;
	int r = 0;

	/* From the last one on: what is dropped is replaced by one that was looked at. */
	for (unsigned i = in->n; i-- > 0 && r >= 0;) {
		struct intake_connection *c = &in->connection[i];
		short events = run->fds[2 + i].revents;

		if (!events)
			continue;
		r = in->packets ? datagrams_read(run, c, events) : stream_read(run, c);
		if (r == -EINTR)
			return r;
		if (r < 0)
			r = stream_end(run, i, r);
	}
	if (r >= 0 && in->listener >= 0 && run->fds[1].revents)
		accept_all(run);
	if (r < 0)
		return r;
	return in->n == 0 && in->listener < 0;
}

static int run_all(struct run *run)
{
	struct intake *in = run->in;
	int r = 0;

	while (in->n == 0 && in->listener < 0) {
		r = dial_again(run);
		if (r == 0)
			break;
		if (r != -EAGAIN)
			return 1;
		r = wait(run);
		if (r < 0)
			return r;
	}
	do {
		r = wait(run);
		if (r == 0)
			r = serve(run);
	} while (r == 0);
	return r;
}

int intake_run(void *state, struct pfs_feed *feed)
{
	struct intake *in = state;
	struct run *run = pfs_zalloc(1, sizeof(*run));
	int r = run ? pfs_feed_ring(feed, 0, &run->ring) : -ENOMEM;

	if (r == 0) {
		run->in = in;
		run->feed = feed;
		run->fds = pfs_zalloc(in->max + 2, sizeof(*run->fds));
		run->origin = origin_of(run, in->name);
		r = run->fds ? run_all(run) : -ENOMEM;
	}
	pfs_dial_cancel(&in->dial);
	for (unsigned i = 0; i < in->n; i++)
		in->connection[i].has_origin = false;
	if (r != -EINTR) {
		if (r < 0)
			pfs_feed_lost(feed, "no memory", 1);
		r = pfs_feed_eof(feed);
	}
	if (run)
		free(run->fds);
	free(run);
	return r;
}

void intake_stats(void *state, struct pfs_buf *out)
{
	const struct intake *in = state;
	int error = atomic_load_explicit(&in->error, memory_order_relaxed);

	pfs_buf_printf(out, "connections %llu\nopen %u\nreceived %llu\n",
		       (unsigned long long)pfs_counter_get(&in->accepted),
		       atomic_load_explicit(&in->open, memory_order_relaxed),
		       (unsigned long long)pfs_counter_get(&in->bytes));
	pfs_buf_printf(out, "address %s\n", in->address);
	if (error)
		pfs_buf_printf(out, "error %s\n", strerrordesc_np(error));
}

const struct pfs_param intake_listen_params[] = {
	{ "clients", "connections at a time, 1 to 4096; default 256" },
	{ NULL, NULL },
};
