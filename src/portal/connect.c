/*
 * connect - tcp and udp
 *
 * Addresses are tried one after the other, as a name gives them. Of several failures the most telling is reported:
 * one that the other side or the way to it has sent says more than one of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "portal/portals_i.h"

#define RESERVED_FIRST 1023
#define RESERVED_LAST 512

/* Larger: more telling. */
static int weight(int error)
{
	switch (error) {
	case EAFNOSUPPORT:
	case EADDRNOTAVAIL:
		return 1;
	case ENETUNREACH:
		return 2;
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return 3;
	case ECONNREFUSED:
	case ECONNRESET:
		return 4;
	default:
		return 5;
	}
}

static void what_set(struct pfs_portal_work *work)
{
	struct sockaddr_in6 local = { 0 }, peer = { 0 };
	socklen_t local_size = sizeof(local), peer_size = sizeof(peer);
	char a[60] = "?", b[60] = "*";

	if (work->opening->terse)
		return;
	if (getsockname(work->fd, (void *)&local, &local_size) == 0)
		pfs_address_text(&local, a, sizeof(a));
	if (getpeername(work->fd, (void *)&peer, &peer_size) == 0)
		pfs_address_text(&peer, b, sizeof(b));
	snprintf(work->res.what, sizeof(work->res.what), "%s %s", a, b);
}

/* Non-blocking was for us. */
static void connected(struct pfs_portal_work *work, enum pfs_portal_type type)
{
	int off = 0;

	if (!(work->opening->flags & O_NONBLOCK))
		ioctl(work->fd, FIONBIO, &off);
	work->res.type = type;
	what_set(work);
	pfs_work_done(work, 0);
}

/* From a port that only root may take: what rresvport(3) did. */
static int reserved_bind(int fd, sa_family_t family, int *port)
{
	for (; *port >= RESERVED_LAST; (*port)--) {
		struct sockaddr_in6 any = { .sin6_family = family,
					    .sin6_port = htons((uint16_t)*port) };

		if (bind(fd, (void *)&any, pfs_address_size(&any)) == 0)
			return 0;
		if (errno != EADDRINUSE)
			return -errno;
	}
	return -EADDRINUSE;
}

/* On this machine, the other side has answered before connect(2) returns; asked once more, it says so. */
static int connect_now(int fd, const struct sockaddr_in6 *to)
{
	socklen_t size = pfs_address_size(to);
	int r = connect(fd, (const void *)to, size) < 0 ? -errno : 0;

	if (r != -EINPROGRESS)
		return r;
	r = connect(fd, (const void *)to, size) < 0 ? -errno : 0;
	return r == -EALREADY ? -EINPROGRESS : r == -EISCONN ? 0 : r;
}

static int attempt(struct pfs_portal_work *work, const struct sockaddr_in6 *to)
{
	int port = RESERVED_FIRST, r;

	do {
		pfs_work_close(work);
		work->fd = socket(to->sin6_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (work->fd < 0)
			return -errno;
		r = work->opening->plan->priv ? reserved_bind(work->fd, to->sin6_family, &port) : 0;
		if (r < 0)
			return r;
		r = connect_now(work->fd, to);
		/* Somebody's connection to there from this port is not quite over. */
	} while (r == -EADDRNOTAVAIL && work->opening->plan->priv && port-- > RESERVED_LAST);
	return r;
}

static void try_next(struct pfs_portal_work *work);

static void failed(struct pfs_portal_work *work, int error)
{
	if (!work->worst || weight(error) >= weight(work->worst))
		work->worst = error;
	pfs_work_unwatch(work);
	try_next(work);
}

static void connect_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_portal_work *work = CONTAINER_OF(watch, struct pfs_portal_work, watch);
	int error = 0;
	socklen_t size = sizeof(error);

	(void)events;
	if (getsockopt(work->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error)
		failed(work, error);
	else
		connected(work, PFS_PORTAL_STREAM);
}

static void try_next(struct pfs_portal_work *work)
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	const struct sockaddr_in6 *to = &work->addresses.at[work->next_address];
	char text[60];
	int r;

	if (work->next_address == work->addresses.n) {
		pfs_address_text(to - 1, text, sizeof(text));
		pfs_work_fail(work, work->worst, "cannot connect to %.100s port %.40s (%s): %s",
			      plan->host, plan->port, text, strerror(work->worst));
		return;
	}
	work->next_address++;
	r = attempt(work, to);
	if (r == 0)
		connected(work, PFS_PORTAL_STREAM);
	else if (r == -EINPROGRESS)
		pfs_work_watch(work, EPOLLOUT, connect_ready);
	else
		failed(work, -r);
}

void pfs_tcp_begin(struct pfs_portal_work *work)
{
	if (work->opening->plan->priv && geteuid() != 0)
		pfs_work_fail(work, EPERM, "/priv, a port below 1024, is for root");
	else
		pfs_work_resolve(work, SOCK_STREAM, false, try_next);
}

/* --- udp ------------------------------------------------------------------------------------- */

static void udp_resolved(struct pfs_portal_work *work)
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	bool any = !plan->host, bound = any || plan->listen;
	int error = EAFNOSUPPORT;

	for (unsigned i = 0; i < work->addresses.n; i++) {
		const struct sockaddr_in6 *to = &work->addresses.at[i];
		int r, off = 0;

		pfs_work_close(work);
		work->fd = socket(to->sin6_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (work->fd < 0) {
			error = errno;
			continue;
		}
		if (any && to->sin6_family == AF_INET6)
			setsockopt(work->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		r = bound ? bind(work->fd, (const void *)to, pfs_address_size(to))
			  : connect(work->fd, (const void *)to, pfs_address_size(to));
		if (r == 0) {
			connected(work, PFS_PORTAL_PACKETS);
			return;
		}
		error = errno;
	}
	pfs_work_fail(work, error, "udp %.100s port %.40s: %s", any ? "ANY" : plan->host,
		      plan->port, strerror(error));
}

void pfs_udp_begin(struct pfs_portal_work *work)
{
	const struct pfs_portal_plan *plan = work->opening->plan;

	pfs_work_resolve(work, SOCK_DGRAM, !plan->host || plan->listen, udp_resolved);
}
