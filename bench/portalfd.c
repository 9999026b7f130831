/*
 * portalfd - opens, for bench/portalfd
 *
 *	bench-portalfd connect PORT N		N times socket, connect, first byte: ns each, one a line
 *	bench-portalfd portal PATH N		the same by open(PATH)
 *	bench-portalfd open PATH N		N times open and close (or fail): ns for one
 *	bench-portalfd serve			says its port, greets everybody with a byte
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static int direct(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (void *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int connections(const char *path, uint16_t port, long n)
{
	for (long i = 0; i < n; i++) {
		uint64_t start = now();
		int fd = path ? open(path, O_RDWR | O_CLOEXEC) : direct(port);
		char byte;

		if (fd < 0 || read(fd, &byte, 1) != 1)
			return die(path ? path : "connect");
		printf("%llu\n", (unsigned long long)(now() - start));
		close(fd);
	}
	return 0;
}

static int opens(const char *path, long n)
{
	uint64_t start = now();

	for (long i = 0; i < n; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			close(fd);
	}
	printf("%llu\n", (unsigned long long)((now() - start) / (uint64_t)n));
	return 0;
}

static int serve(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, (void *)&at, sizeof(at)) < 0 ||
	    listen(listener, 128) < 0 || getsockname(listener, (void *)&at, &size) < 0)
		return die("listen");
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char byte;

		if (fd < 0)
			return die("accept");
		if (write(fd, "x", 1) == 1 && read(fd, &byte, 1) < 0)
			die("read");
		close(fd);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "serve"))
		return serve();
	if (argc != 4) {
		fprintf(stderr,
			"usage: bench-portalfd connect PORT N | portal PATH N | open PATH N | serve\n");
		return 2;
	}
	if (!strcmp(what, "connect"))
		return connections(NULL, (uint16_t)atoi(argv[2]), atol(argv[3]));
	if (!strcmp(what, "portal"))
		return connections(argv[2], 0, atol(argv[3]));
	return opens(argv[2], atol(argv[3]));
}
