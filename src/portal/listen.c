/*
 * listen - tcplisten: one connection per open, from a listener that stays
 *
 * A shell's loop opens, serves, closes and opens again. Between two opens nobody would listen, and clients would be
 * refused. So the listener belongs to the path: it is made by the first open and stays while a connection that it
 * accepted is open, and `linger` longer; who connects meanwhile waits in its queue. Opens of the same path take
 * turns. Port 0 is another port each time, so nobody could come back to it: there the listener goes with the first
 * connection.
 *
 * A plan that asks to listen gets the listener itself, for itself alone: directories accept by themselves
 * (portal/dial.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "portal/portals_i.h"

struct pfs_listener {
	struct pfs_portals *portals;
	struct pfs_watch watch; /* of the socket, which it owns */
	char *host, *port;	/* as in the path; host NULL: ANY */
	bool once;		/* port 0 */
	struct pfs_portal_work *waiting, **last;
	unsigned open; /* connections that it has accepted and that are in use */
	uint64_t linger;
	uint64_t stay_until; /* ns, monotonic; since the last connection was closed */
	struct pfs_listener *next;
};

static void listener_free(struct pfs_listener *listener)
{
	struct pfs_listener **at = &listener->portals->listeners;

	while (*at != listener)
		at = &(*at)->next;
	*at = listener->next;
	if (listener->watch.fd >= 0) {
		pfs_watch_remove(listener->portals, &listener->watch);
		close(listener->watch.fd);
	}
	free(listener->host);
	free(listener->port);
	free(listener);
}

/* No connection and nobody waiting: how long will it stay? */
static void listener_look(struct pfs_listener *listener)
{
	if (listener->waiting || listener->open)
		return;
	if (listener->once || listener->stay_until <= pfs_clock_mono())
		listener_free(listener);
	else
		pfs_portals_hurry(listener->portals);
}

uint64_t pfs_listeners_tick(struct pfs_portals *portals, uint64_t now)
{
	uint64_t soonest = UINT64_MAX;

	for (struct pfs_listener *listener = portals->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (listener->waiting || listener->open)
			continue;
		if (listener->stay_until <= now)
			listener_free(listener);
		else
			soonest = pfs_min64(soonest, listener->stay_until);
	}
	return soonest;
}

void pfs_listeners_free(struct pfs_portals *portals)
{
	while (portals->listeners)
		listener_free(portals->listeners);
}

/* --- accepting ------------------------------------------------------------------------------ */

static struct pfs_portal_work *waiting_take(struct pfs_listener *listener, struct pfs_portal_work *work)
{
	for (struct pfs_portal_work **at = &listener->waiting; *at; at = &(*at)->next_waiting)
		if (*at == work) {
			*at = work->next_waiting;
			if (listener->last == &work->next_waiting)
				listener->last = at;
			/* What is not accepted waits in the kernel. */
			if (!listener->waiting)
				pfs_watch_change(listener->portals, &listener->watch, 0);
			return work;
		}
	return NULL;
}

static void accepted(struct pfs_portal_work *work, int fd, const struct sockaddr_in6 *peer)
{
	struct sockaddr_in6 local = { 0 };
	socklen_t size = sizeof(local);
	char a[60] = "?", b[60];

	if (getsockname(fd, (void *)&local, &size) == 0)
		pfs_address_text(&local, a, sizeof(a));
	pfs_address_text(peer, b, sizeof(b));
	snprintf(work->res.what, sizeof(work->res.what), "%s %s", a, b);
	work->fd = fd;
	work->accepted = true;
	work->res.type = PFS_PORTAL_STREAM;
	work->listener->open++;
	pfs_work_done(work, 0);
}

static void listener_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_listener *listener = CONTAINER_OF(watch, struct pfs_listener, watch);
	struct pfs_portal_work *work = listener->waiting;
	struct sockaddr_in6 peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd;

	(void)events;
	if (!work)
		return;
	fd = accept4(watch->fd, (void *)&peer, &size,
		     SOCK_CLOEXEC | (work->opening->flags & O_NONBLOCK ? SOCK_NONBLOCK : 0));
	if (fd >= 0) {
		accepted(waiting_take(listener, work), fd, &peer);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		int error = errno;

		pfs_work_fail(waiting_take(listener, work), error, "accept: %s", strerror(error));
	}
	/* All else: that connection is gone before we took it. */
}

static void listener_wait(struct pfs_listener *listener, struct pfs_portal_work *work)
{
	struct sockaddr_in6 local = { 0 };
	socklen_t size = sizeof(local);
	char text[60];

	if (work->opening->waits && getsockname(listener->watch.fd, (void *)&local, &size) == 0) {
		pfs_address_text(&local, text, sizeof(text));
		work->opening->waits(work->opening, text);
	}
	work->listener = listener;
	work->next_waiting = NULL;
	if (!listener->waiting)
		listener->last = &listener->waiting;
	*listener->last = work;
	listener->last = &work->next_waiting;
	pfs_watch_change(listener->portals, &listener->watch, EPOLLIN);
}

/* --- making one -------------------------------------------------------------------------------- */

static int listen_on(const struct sockaddr_in6 *address, bool any)
{
	PFS_CLOSE int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, only = !any;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->sin6_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (bind(fd, (const void *)address, pfs_address_size(address)) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int listener_new(struct pfs_portal_work *work, int fd)
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	struct pfs_listener *listener = pfs_zalloc(1, sizeof(*listener));
	int r;

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->portals = work->portals;
	listener->watch = (struct pfs_watch){ .fd = fd, .ready = listener_ready };
	listener->host = plan->host ? strdup(plan->host) : NULL;
	listener->port = strdup(plan->port);
	listener->linger = plan->linger;
	listener->once = strtoul(plan->port, NULL, 0) == 0 && plan->port[0] == '0';
	r = !listener->port || (plan->host && !listener->host)
		    ? -ENOMEM
		    : pfs_watch_add(work->portals, &listener->watch, 0);
	listener->next = work->portals->listeners;
	work->portals->listeners = listener;
	if (r < 0)
		listener_free(listener);
	else
		listener_wait(listener, work);
	return r;
}

static struct pfs_listener *listener_find(struct pfs_portals *portals,
					  const struct pfs_portal_plan *plan)
{
	for (struct pfs_listener *l = portals->listeners; l; l = l->next)
		if (!l->once && !strcmp(l->port, plan->port) && !l->host == !plan->host &&
		    (!l->host || !strcmp(l->host, plan->host)))
			return l;
	return NULL;
}

static void listener_give(struct pfs_portal_work *work, int fd)
{
	struct sockaddr_in6 local = { 0 };
	socklen_t size = sizeof(local);

	if (getsockname(fd, (void *)&local, &size) == 0)
		pfs_address_text(&local, work->res.what, sizeof(work->res.what));
	work->fd = fd;
	work->res.type = PFS_PORTAL_LISTENER;
	pfs_work_done(work, 0);
}

static void resolved(struct pfs_portal_work *work)
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	/* Another open of the same path may have been quicker. */
	struct pfs_listener *listener = plan->listen ? NULL : listener_find(work->portals, plan);
	int r = -EAFNOSUPPORT;

	if (listener) {
		listener_wait(listener, work);
		return;
	}
	for (unsigned i = 0; r < 0 && i < work->addresses.n; i++)
		r = listen_on(&work->addresses.at[i], !plan->host);
	if (r >= 0 && plan->listen) {
		listener_give(work, r);
		return;
	}
	if (r >= 0)
		r = listener_new(work, r);
	if (r < 0)
		pfs_work_fail(work, -r, "cannot listen on %.100s port %.40s: %s",
			      plan->host ? plan->host : "ANY", plan->port, strerror(-r));
}

void pfs_listen_begin(struct pfs_portal_work *work)
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	struct pfs_listener *listener = plan->listen ? NULL : listener_find(work->portals, plan);

	if (listener) {
		listener->linger = plan->linger;
		listener_wait(listener, work);
	} else {
		pfs_work_resolve(work, SOCK_STREAM, true, resolved);
	}
}

void pfs_listen_end(struct pfs_portal_work *work)
{
	struct pfs_listener *listener = TAKE_PTR(work->listener);

	if (work->accepted) {
		listener->open--;
		listener->stay_until = pfs_clock_mono() + listener->linger;
	} else {
		waiting_take(listener, work);
	}
	listener_look(listener);
}
