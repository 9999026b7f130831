#include "sink/outflow.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BACKOFF_MIN 100000000ULL  /* ns */
#define BACKOFF_MAX 5000000000ULL /* ns */
#define LEAVE 5000000000ULL	  /* ns that the other side has to close after we have */
#define FULL_PAUSE 1000000000ULL  /* ns until another try to accept, without descriptors */
#define STALL 60000U		  /* ms that a client of tcplisten may hold up all others */
#define HEARD_MAX 16		  /* reads of what nobody wants, at a time */
static_assert(PFS_BATCH <= PKT_POUR_MAX, "a batch goes out at once");

/* --- peers -------------------------------------------------------------------------------- */

static void watch(struct outflow *o, const struct outflow_peer *peer, int op)
{
	struct epoll_event event = {
		.events = (peer->heard_end ? 0u : (uint32_t)EPOLLIN) |
			  (peer->waits ? (uint32_t)EPOLLOUT : 0u),
		.data.fd = peer->pour.fd,
	};

	epoll_ctl(o->epoll_fd, op, peer->pour.fd, &event);
}

static void peer_add(struct outflow *o, int fd)
{
	struct outflow_peer *peer = &o->peer[o->n++];
	unsigned stall = STALL;
	int on = 1;

	*peer = (struct outflow_peer){ 0 };
	pkt_pour_init(&peer->pour, fd, o->pcap, o->link_type);
	if (o->dial.plan.kind == PFS_PORTAL_TCPLISTEN || o->dial.plan.kind == PFS_PORTAL_TCP) {
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	if (o->listener >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof(stall));
	watch(o, peer, EPOLL_CTL_ADD);
	pfs_counter_add(&o->accepted, 1);
	atomic_store_explicit(&o->open, o->n, memory_order_relaxed);
	o->failures = 0;
	o->retry_at = 0;
	o->said = false;
}

static void listen_more(struct outflow *o, bool more)
{
	struct epoll_event event = { .events = more ? EPOLLIN : 0, .data.fd = o->listener };

	if (more == !o->full)
		return;
	o->full = !more;
	epoll_ctl(o->epoll_fd, EPOLL_CTL_MOD, o->listener, &event);
}

static void peer_drop(struct outflow *o, unsigned i)
{
	struct outflow_peer *peer = &o->peer[i];
	char bytes[4096];

	/* Closed with bytes of theirs unread, they might not get the last of ours. */
	for (int k = 0; k < HEARD_MAX; k++)
		if (recv(peer->pour.fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			break;
	close(peer->pour.fd);
	if (o->listener >= 0)
		pfs_sockets_give(&o->purse);
	o->had = pfs_max(o->had, peer->ahead);
	*peer = o->peer[--o->n];
	atomic_store_explicit(&o->open, o->n, memory_order_relaxed);
	if (o->listener >= 0 && !o->ending)
		listen_more(o, true);
}

static void peer_wait(struct outflow *o, struct outflow_peer *peer, bool waits)
{
	if (peer->waits == waits)
		return;
	peer->waits = waits;
	watch(o, peer, EPOLL_CTL_MOD);
}

/* Not until there was an answer again: one sentence. */
static void complain(struct outflow *o, struct pfs_emitter *out, int error, const char *what)
{
	char text[300];

	atomic_store_explicit(&o->error, error, memory_order_relaxed);
	if (o->said)
		return;
	o->said = true;
	snprintf(text, sizeof(text), "%.200s; %s", what,
		 o->patient ? "records wait until it is there again"
			    : "until it is there again records are lost");
	pfs_emit_complain(out, 0, error, text);
}

/* There will be another try, later and later. */
static void down(struct outflow *o, struct pfs_emitter *out, int error, const char *what)
{
	uint64_t pause = BACKOFF_MIN;

	for (unsigned i = 0; i < o->failures && pause < BACKOFF_MAX; i++)
		pause *= 2;
	o->failures++;
	o->retry_at = pfs_clock_mono() + pfs_min64(pause, BACKOFF_MAX);
	complain(o, out, error, what);
}

/* The peer does not take any more. Of clients that is how they go. */
static void peer_failed(struct outflow *o, unsigned i, int error, struct pfs_emitter *out)
{
	bool torn = o->listener < 0 && o->peer[i].pour.part;
	char text[160];

	peer_drop(o, i);
	if (o->listener >= 0)
		return;
	if (torn) /* the rest of that record is of no use to another */
		pfs_emit_lost(out, "connection lost", 1);
	o->skip |= torn;
	snprintf(text, sizeof(text), "the connection has ended: %s", strerrordesc_np(error));
	down(o, out, error, text);
}

/* Takes what it says, which nobody wants. False: it has gone. */
static bool peer_hear(struct outflow *o, unsigned i, struct pfs_emitter *out)
{
	struct outflow_peer *peer = &o->peer[i];
	char bytes[16384];
	ssize_t n = 1;

	for (int k = 0; !peer->heard_end && n > 0 && k < HEARD_MAX; k++)
		n = recv(peer->pour.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (peer->heard_end || n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return true;
	if (n < 0 && o->packets && errno == ECONNREFUSED) {
		/* Nobody was there for a datagram sent before. */
		atomic_store_explicit(&o->error, errno, memory_order_relaxed);
		pfs_emit_lost(out, "refused", 1);
		return true;
	}
	if (n < 0) {
		peer_failed(o, i, errno, out);
		return false;
	}
	if (o->packets && o->dial.plan.kind == PFS_PORTAL_UDP)
		return true; /* an empty datagram */
	/* A client may go on listening when it has said all; who is connected to is taken for gone. */
	if (o->listener < 0 && !o->ending) {
		peer_failed(o, i, EPIPE, out);
		return false;
	}
	peer->heard_end = true;
	watch(o, peer, EPOLL_CTL_MOD);
	return true;
}

/* --- coming and going ------------------------------------------------------------------------ */

static int accept_one(struct outflow *o, int *ret_fd)
{
	int fd, r = pfs_sockets_take(&o->purse, NULL);

	if (r < 0)
		return r;
	/* cppcheck-suppress nullPointer ; its library has it wrong */
	fd = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		r = -errno;
		pfs_sockets_give(&o->purse);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static void accept_all(struct outflow *o)
{
	if (o->full && o->n < o->max && pfs_clock_mono() >= o->retry_at)
		listen_more(o, true);
	while (o->n < o->max && !o->full) {
		int fd = -1, r = accept_one(o, &fd);

		if (r == 0) {
			peer_add(o, fd);
		} else if (r == -EDQUOT || r == -EMFILE || r == -ENFILE || r == -ENOMEM ||
			   r == -ENOBUFS) {
			o->retry_at = pfs_clock_mono() + FULL_PAUSE;
			listen_more(o, false);
		} else if (r != -ECONNABORTED && r != -EINTR) {
			return;
		}
	}
	if (o->n == o->max)
		listen_more(o, false);
}

/* Connects again, if it is time. */
static void dial_again(struct outflow *o, struct pfs_emitter *out)
{
	struct pfs_diag diag = { "" };
	struct epoll_event event = { .events = EPOLLIN };
	int fd, r = 0;

	if (!pfs_dial_busy(&o->dial)) {
		if (pfs_clock_mono() < o->retry_at)
			return;
		/* With the dial its descriptor goes, and with that what epoll has of it. */
		r = pfs_dial_begin(&o->dial, &diag);
		if (r == 0) {
			event.data.fd = pfs_dial_fd(&o->dial);
			epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
	if (r == 0)
		r = pfs_dial_run(&o->dial, &fd, &diag);
	if (r == 0)
		peer_add(o, fd);
	else if (r != -EAGAIN)
		down(o, out, -r, diag.text);
}

/* What has happened to the peers since the last look. */
static void look(struct outflow *o, struct pfs_emitter *out)
{
	struct epoll_event events[32];
	int n = epoll_wait(o->epoll_fd, events, ARRAY_SIZE(events), 0);

	for (int k = 0; k < n; k++) {
		unsigned i = 0;

		while (i < o->n && o->peer[i].pour.fd != events[k].data.fd)
			i++;
		if (i == o->n)
			continue;
		if (!peer_hear(o, i, out))
			continue;
		if (events[k].events & (EPOLLERR | EPOLLHUP) && o->peer[i].heard_end && !o->ending)
			peer_failed(o, i, EPIPE, out);
		else
			peer_wait(o, &o->peer[i], false);
	}
	if (o->listener >= 0 && !o->ending)
		accept_all(o);
}

/* --- records ------------------------------------------------------------------------------------ */

/* One datagram each. As pkt_pour_write(). */
static ssize_t send_packets(struct outflow *o, struct outflow_peer *peer, const struct pfs_ref *in,
			    size_t n, struct pfs_emitter *out, size_t *ret_bytes)
{
	size_t i;

	*ret_bytes = 0;
	for (i = 0; i < n; i++) {
		ssize_t sent = -1;

		/* A first try may be told what became of one before. */
		for (int k = 0; k < 3 && sent < 0 && in[i].len; k++) {
			sent = send(peer->pour.fd, pfs_bytes(out, &in[i]), in[i].len,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
			if (sent < 0 && errno == ECONNREFUSED && o->dial.plan.kind == PFS_PORTAL_UDP)
				pfs_emit_lost(out, "refused", 1);
			else if (sent < 0 && errno != EINTR)
				break;
		}
		if (sent >= 0 || !in[i].len) {
			*ret_bytes += in[i].len;
			continue;
		}
		if (errno == EAGAIN)
			return i ? (ssize_t)i : -EAGAIN;
		atomic_store_explicit(&o->error, errno, memory_order_relaxed);
		if (errno == EMSGSIZE)
			pfs_emit_lost(out, "oversize", 1);
		else if (o->dial.plan.kind == PFS_PORTAL_UDP)
			pfs_emit_lost(out, errno == ECONNREFUSED ? "refused" : "send error", 1);
		else
			return i ? (ssize_t)i : -errno;
	}
	return (ssize_t)i;
}

/* Gives the peer what it has not had yet of in[0..n). False: it has gone. */
static bool give(struct outflow *o, unsigned i, const struct pfs_ref *in, size_t n,
		 struct pfs_emitter *out)
{
	struct outflow_peer *peer = &o->peer[i];

	while (peer->ahead < n && !peer->waits) {
		const struct pfs_ref *refs = in + peer->ahead;
		size_t many = pkt_pour_fit(&peer->pour, out->rings, refs, n - peer->ahead), bytes = 0;
		ssize_t done;

		if (many == 0) {
			if (i == 0) /* once, however many there are */
				pfs_emit_lost(out, "link type", 1);
			peer->ahead++;
			continue;
		}
		done = o->packets ? send_packets(o, peer, refs, many, out, &bytes)
				  : pkt_pour_write(&peer->pour, out->rings, refs, many, &o->room,
						   &bytes);
		if (done < 0 && done != -EAGAIN) {
			peer_failed(o, i, (int)-done, out);
			return false;
		}
		pfs_counter_add(&o->written, bytes);
		peer->ahead += done < 0 ? 0 : (size_t)done;
		if (done < (ssize_t)many)
			peer_wait(o, peer, true);
	}
	return true;
}

/* Gives all what they take. Returns how many of the records all of them have had. */
static size_t give_all(struct outflow *o, const struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t done = n;

	for (unsigned i = o->n; i-- > 0;)
		if (give(o, i, in, n, out))
			done = pfs_min(done, o->peer[i].ahead);
	if (o->n == 0)
		return pfs_min(o->had, n);
	for (unsigned i = 0; i < o->n; i++)
		o->peer[i].ahead -= done;
	return done;
}

/* For how long nothing has to be done here, if no descriptor says something. held: records wait. */
static uint64_t due(const struct outflow *o, bool held)
{
	uint64_t now = pfs_clock_mono(), when = UINT64_MAX;

	if (pfs_dial_busy(&o->dial))
		when = pfs_dial_due(&o->dial);
	else if (o->listener >= 0 ? o->full && o->n < o->max : held && o->n == 0)
		when = o->retry_at;
	if (o->ending)
		when = pfs_min64(when, o->leave_by);
	return when == UINT64_MAX ? when : when > now ? when - now : 1;
}

/* A record that was torn is done with. */
static size_t skip_torn(struct outflow *o, size_t done, size_t n)
{
	if (!o->skip || done == n)
		return done;
	o->skip = false;
	return done + 1;
}

size_t outflow_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		    uint64_t *ret_wait)
{
	struct outflow *o = state;
	size_t done;

	o->had = 0;
	look(o, out);
	done = skip_torn(o, o->n == 0 ? pfs_min(o->had, n) : 0, n);
	o->had = 0;
	if (pfs_dial_busy(&o->dial) || (done < n && o->n == 0 && o->listener < 0))
		dial_again(o, out);
	if (done < n && o->n > 0) {
		done += give_all(o, in + done, n - done, out);
		done = skip_torn(o, done, n);
	}
	if (done < n && o->n == 0 && o->listener < 0 && !o->patient && !pfs_dial_busy(&o->dial)) {
		pfs_emit_lost(out, "not connected", n - done);
		done = n;
	}
	*ret_wait = due(o, done < n);
	return done;
}

/* The end of a generation: all has been given. */
bool outflow_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
		     struct pfs_emitter *out)
{
	struct outflow *o = state;

	(void)meta;
	if (!(ref->flags & PFS_REF_EOF) || o->packets)
		return true;
	if (!o->ending) {
		o->ending = true;
		o->leave_by = pfs_clock_mono() + LEAVE;
		if (o->listener >= 0) /* who comes now gets the next generation */
			listen_more(o, false);
		for (unsigned i = 0; i < o->n; i++) {
			(void)pkt_pour_header(&o->peer[i].pour);
			shutdown(o->peer[i].pour.fd, SHUT_WR);
		}
	}
	look(o, out);
	for (unsigned i = o->n; i-- > 0;)
		if (o->peer[i].heard_end || pfs_clock_mono() >= o->leave_by)
			peer_drop(o, i);
	if (o->n > 0) {
		out->wait = due(o, false);
		return false;
	}
	o->ending = false;
	if (o->listener >= 0)
		listen_more(o, true);
	return true;
}

/* --- making ---------------------------------------------------------------------------------------- */

static int parse_options(const struct pfs_args *args, const struct pfs_place *place, bool *ret_pcap,
			 bool *ret_patient, struct pfs_diag *diag)
{
	const char *as = pfs_args_get(args, "as"), *text = pfs_args_get(args, "down");

	*ret_pcap = as && strcmp(as, "pcap") == 0;
	*ret_patient = text && strcmp(text, "wait") == 0;
	if (as && !*ret_pcap && strcmp(as, "raw") != 0)
		return pfs_diag_set(diag, EINVAL, "as= is raw or pcap, not '%.32s'", as);
	if (*ret_pcap && !(place->flow & PFS_FLOW_ANY_PACKET))
		return pfs_diag_set(diag, EINVAL, "as=pcap: there are no packets here");
	if (text && !*ret_patient && strcmp(text, "lose") != 0)
		return pfs_diag_set(diag, EINVAL, "down= is lose or wait, not '%.32s'", text);
	return 0;
}

static int parse(struct outflow *o, enum pfs_portal_kind kind, bool listen,
		 const struct pfs_args *args, const struct pfs_place *place,
		 struct pfs_portal_plan *plan, struct pfs_diag *diag)
{
	uint64_t max = listen ? OUTFLOW_CLIENTS : 1;
	int r = parse_options(args, place, &o->pcap, &o->patient, diag);

	if (r == 0)
		r = pfs_args_number(args, "clients", false, 1, 1024, &max, diag);
	if (r == 0)
		r = pfs_dial_parse(kind, listen, args->arg, plan, diag);
	if (r == 0 && kind == PFS_PORTAL_UDP && plan->listen)
		r = pfs_diag_set(diag, EINVAL, "datagrams are sent to a host: udp:HOST:PORT");
	if (r < 0)
		return r;
	o->max = listen ? (unsigned)max : 1;
	o->link_type = place->link_type;
	o->peer = pfs_zalloc(o->max, sizeof(*o->peer));
	o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return !o->peer ? -ENOMEM : o->epoll_fd < 0 ? -errno : 0;
}

/* What mkdir has opened. */
static int socket_take(struct outflow *o, int fd, struct pfs_diag *diag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	memcpy(o->address, o->dial.what, sizeof(o->address));
	o->packets = o->dial.type == PFS_PORTAL_PACKETS;
	if (o->dial.type != PFS_PORTAL_LISTENER) {
		peer_add(o, fd);
		if (o->packets && o->pcap)
			return pfs_diag_set(diag, EINVAL, "as=pcap is for streams, not for datagrams");
		return 0;
	}
	o->listener = fd;
	return epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int outflow_init(struct outflow *o, enum pfs_portal_kind kind, bool listen,
		 const struct pfs_args *args, const struct pfs_place *place, struct pfs_diag *diag)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	PFS_CALLER struct pfs_caller caller = { .netns_fd = -1 };
	struct pfs_spawner *spawner;
	int fd, r;

	o->epoll_fd = o->listener = -1;
	o->purse = place->purse;
	r = parse(o, kind, listen, args, place, &plan, diag);
	if (r == 0)
		r = pfs_sockets_take(&o->purse, diag);
	o->paid = r == 0;
	if (r == 0)
		r = place->identify(place, &caller, &spawner, diag);
	if (r == 0) {
		caller.confined = false; /* it opens what he may open himself, and runs nothing */
		pfs_dial_init(&o->dial, spawner, &caller, &plan);
		r = pfs_dial_wait(&o->dial, &fd, diag);
	}
	if (r == 0)
		r = socket_take(o, fd, diag);
	if (r < 0)
		outflow_fini(o);
	return r;
}

void outflow_fini(void *state)
{
	struct outflow *o = state;

	while (o->n)
		peer_drop(o, o->n - 1);
	pfs_closep(&o->listener);
	if (o->paid)
		pfs_sockets_give(&o->purse);
	pfs_dial_release(&o->dial);
	pfs_closep(&o->epoll_fd);
	free(o->peer);
}

int outflow_ready_fd(void *state)
{
	struct outflow *o = state;

	return o->epoll_fd;
}

void outflow_stats(void *state, struct pfs_buf *out)
{
	const struct outflow *o = state;
	int error = atomic_load_explicit(&o->error, memory_order_relaxed);

	pfs_buf_printf(out, "connections %llu\nopen %u\nwritten %llu\n",
		       (unsigned long long)pfs_counter_get(&o->accepted),
		       atomic_load_explicit(&o->open, memory_order_relaxed),
		       (unsigned long long)pfs_counter_get(&o->written));
	pfs_buf_printf(out, "address %s\n", o->address);
	if (error)
		pfs_buf_printf(out, "error %s\n", strerrordesc_np(error));
}

const struct pfs_param outflow_params[] = {
	{ "as", "raw (default): the bytes of packets; pcap: a capture file" },
	{ "down", "lose (default) or wait: records, while the other side is not there" },
	{ "clients", "of tcplisten: at a time, 1 to 1024; default 64" },
	{ NULL, NULL },
};
