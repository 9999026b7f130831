/*
 * resolve - names and ports -> addresses
 *
 * Numbers are worked out here. A name may take a name server's time, so a child asks; when the opening is given up,
 * the child is killed.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "portal/portals_i.h"

socklen_t pfs_address_size(const struct sockaddr_in6 *address)
{
	return address->sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(*address);
}

void pfs_address_text(const struct sockaddr_in6 *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN + 20] = "?", port[8] = "?";
	bool six = address->sin6_family == AF_INET6;

	getnameinfo((const void *)address, pfs_address_size(address), host, sizeof(host), port,
		    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, size, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
}

struct question {
	const char *host; /* NULL: any */
	const char *port;
	int socktype;
	bool passive;
	bool numeric; /* no name may be looked up */
};

/* Base 0, as portalfs: 80, 0x50, 0120. -1: it is a name. */
static long port_number(const char *port)
{
	char *end;
	unsigned long n = strtoul(port, &end, 0);

	return *port >= '0' && *port <= '9' && *end == '\0' && n <= 65535 ? (long)n : -1;
}

static void fail(struct pfs_addresses *out, int error, const char *what, const char *why)
{
	out->n = 0;
	out->error = -error;
	snprintf(out->why, sizeof(out->why), "%.60s: %s", what, why);
}

static long port_of(const struct question *q, struct pfs_addresses *out)
{
	long port = port_number(q->port);
	struct servent *service = NULL;

	if (port < 0 && !q->numeric)
		service = getservbyname(q->port, q->socktype == SOCK_DGRAM ? "udp" : "tcp");
	if (service)
		port = ntohs((uint16_t)service->s_port);
	if (port < 0)
		fail(out, EINVAL, q->port, "no such port or service");
	else if (port == 0 && !q->passive)
		fail(out, EINVAL, q->port, "nobody listens on port 0");
	else
		return port;
	return -1;
}

/* [::] takes IPv4 too; where there is no IPv6, 0.0.0.0. */
static void any_address(uint16_t port, struct pfs_addresses *out)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	out->at[0] = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memcpy(&out->at[1], &four, sizeof(four));
	out->n = 2;
}

/* A host that is none is told from one that nobody could be asked about. */
static void fail_name(struct pfs_addresses *out, int eai, const char *host)
{
	switch (eai) {
	case EAI_MEMORY:
		fail(out, ENOMEM, host, gai_strerror(eai));
		break;
	case EAI_SYSTEM:
		fail(out, errno, host, strerror(errno));
		break;
	case EAI_AGAIN:
	case EAI_FAIL:
		fail(out, EHOSTUNREACH, host, "no name server could tell");
		break;
	default:
		fail(out, ENOENT, host, gai_strerror(eai));
	}
}

static void addresses_find(const struct question *q, struct pfs_addresses *out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = q->socktype,
		.ai_flags = q->numeric ? AI_NUMERICHOST : 0,
	};
	struct addrinfo *list = NULL;
	long port = port_of(q, out);
	int r;

	if (port < 0)
		return;
	if (!q->host) {
		any_address((uint16_t)port, out);
		return;
	}
	r = getaddrinfo(q->host, NULL, &hints, &list);
	if (r) {
		fail_name(out, r, q->host);
		return;
	}
	for (struct addrinfo *info = list; info && out->n < PFS_ADDRESSES_MAX; info = info->ai_next) {
		struct sockaddr_in6 *to = &out->at[out->n];

		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		memcpy(to, info->ai_addr, pfs_min(info->ai_addrlen, sizeof(*to)));
		/* The same place in both. */
		to->sin6_port = htons((uint16_t)port);
		out->n++;
	}
	freeaddrinfo(list);
	if (!out->n)
		fail(out, ENOENT, q->host, "no address of a kind that we know");
}

static void run(const void *arg, int sock)
{
	struct pfs_addresses out = { 0 };

	addresses_find(arg, &out);
	pfs_errand_answer(sock, &out, sizeof(out), -1);
}

static void found(struct pfs_portal_work *work)
{
	if (work->addresses.n)
		work->resolved(work);
	else
		pfs_work_fail(work, work->addresses.error ? -work->addresses.error : ENOENT, "%s",
			      work->addresses.why[0] ? work->addresses.why : "no such host");
}

static void answered(struct pfs_errand *errand, int result, const void *bytes, size_t n, int fd)
{
	struct pfs_portal_work *work = CONTAINER_OF(errand, struct pfs_portal_work, errand);

	pfs_closep(&fd);
	if (result < 0 || n != sizeof(work->addresses)) {
		pfs_work_fail(work, EIO, "the process that asked for the name has died");
		return;
	}
	memcpy(&work->addresses, bytes, n);
	found(work);
}

static_assert(sizeof(struct pfs_addresses) <= PFS_ERRAND_MAX, "an answer is one message");

void pfs_work_resolve(struct pfs_portal_work *work, int socktype, bool passive,
		      void (*resolved)(struct pfs_portal_work *work))
{
	const struct pfs_portal_plan *plan = work->opening->plan;
	struct question q = { plan->host, plan->port, socktype, passive, .numeric = true };
	int r;

	work->resolved = resolved;
	addresses_find(&q, &work->addresses);
	if (work->addresses.n || (port_number(q.port) >= 0 && work->addresses.error == -EINVAL)) {
		found(work);
		return;
	}
	q.numeric = false;
	work->errand.answered = answered;
	r = pfs_errand_begin(work->portals, &work->errand, run, &q);
	if (r < 0)
		pfs_work_fail(work, -r, "cannot start a process to ask for a name: %s", strerror(-r));
}
