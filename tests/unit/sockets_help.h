/*
 * sockets_help - the other side of sources and sinks that are sockets, on 127.0.0.1
 */
#ifndef UNIT_SOCKETS_HELP_H
#define UNIT_SOCKETS_HELP_H

#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "portal/helper.h"

static struct pfs_home sockets_home;
static struct pfs_spawner *sockets_spawner;

/* Before the tests: graphs are made with a spawner of helpers. */
static int sockets_setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (pfs_home_get(&sockets_home) < 0 ||
	    pfs_spawner_new(pfs_helper_main, NULL, NULL, &sockets_spawner) < 0 ||
	    pfs_spawner_start(sockets_spawner) < 0)
		return -1;
	rig_options.spawner = sockets_spawner;
	rig_options.home = &sockets_home;
	return 0;
}

static struct sockaddr_in local(unsigned port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* A socket of a port that the kernel chooses; of streams it listens. */
static UNUSED int bound(int type, unsigned *ret_port)
{
	struct sockaddr_in a = local(0);
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	if (type == SOCK_STREAM) /* so that the port can be had again */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 50), 0);
	assert_int_equal(getsockname(fd, (void *)&a, &size), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static UNUSED int connect_to(int type, unsigned port)
{
	struct sockaddr_in a = local(port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

static UNUSED int accept_one(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd;

	assert_int_equal(poll(&p, 1, PATIENCE), 1);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

static UNUSED void send_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		assert_true(sent > 0);
		p += sent;
		n -= (size_t)sent;
	}
}

static UNUSED void send_text(int fd, const char *text)
{
	send_all(fd, text, strlen(text));
}

/* Up to the end, or until len bytes are there. */
static UNUSED void receive(int fd, struct pfs_buf *out, size_t len)
{
	char bytes[65536];

	while (out->len < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, PATIENCE), 1);
		n = recv(fd, bytes, pfs_min(sizeof(bytes), len - out->len), 0);
		assert_true(n >= 0);
		if (n == 0)
			return;
		pfs_buf_add(out, bytes, (size_t)n);
	}
}

static UNUSED void expect_text(int fd, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };

	receive(fd, &out, strlen(want));
	pfs_buf_add(&out, "", 1);
	assert_string_equal(out.data, want);
}

static UNUSED void expect_end(int fd)
{
	PFS_BUF struct pfs_buf out = { 0 };

	receive(fd, &out, 1);
	assert_int_equal(out.len, 0);
}

/* Where the node listens, of its .stats. */
static UNUSED unsigned port_of(struct pfs_node *node)
{
	PFS_BUF struct pfs_buf text = { 0 };
	char *line, *end;

	assert_int_equal(pfs_node_text(node, PFS_TEXT_STATS, &text), 0);
	line = strstr(text.data, "\naddress ");
	assert_non_null(line);
	end = strchr(line + 1, '\n');
	assert_non_null(end);
	*end = '\0';
	return (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
}

/* Until the number in .stats of the last directory is at least that. */
static UNUSED void wait_stat(struct rig *rig, const char *name, uint64_t least)
{
	WAIT_WHILE(rig_stat(rig, name) < least);
	assert_true(rig_stat(rig, name) >= least);
}

static UNUSED void pattern(struct pfs_buf *out, size_t size)
{
	uint32_t x = 1;

	while (out->len < size) {
		x = x * 1664525 + 1013904223;
		pfs_buf_add(out, &x, sizeof(x));
	}
}

#endif
