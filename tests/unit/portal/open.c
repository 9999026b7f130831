/*
 * open - portals opened in this process: sockets, files, commands; errors, giving up, no leaks
 *
 * As root in a network namespace of its own; else on loopback with ports that the kernel chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "portal/portal.h"

#define PATIENCE 20000 /* ms: not until a test should pass, but until it has failed */

static struct pfs_portals *portals;
static struct pfs_portal_rules *rules;
static char dir[] = "/tmp/pfs-open-XXXXXX";

struct probe {
	struct pfs_portal_opening opening;
	struct pfs_portal_plan plan;
	bool done, ended;
	int result, status;
	int fd;
	enum pfs_portal_type type;
	char what[128], why[256], where[64];
	unsigned lines;
	char line[4][100];
};

static struct probe *probe_of(struct pfs_portal_opening *opening)
{
	return CONTAINER_OF(opening, struct probe, opening);
}

static void on_done(struct pfs_portal_opening *opening, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct probe *probe = probe_of(opening);

	assert_false(probe->done);
	probe->done = true;
	probe->result = result;
	memcpy(probe->why, diag->text, sizeof(probe->why));
	assert_int_equal(!res, result < 0);
	if (!res)
		return;
	probe->fd = res->fd;
	probe->type = res->type;
	memcpy(probe->what, res->what, sizeof(probe->what));
}

static void on_waits(struct pfs_portal_opening *opening, const char *where)
{
	snprintf(probe_of(opening)->where, sizeof(probe_of(opening)->where), "%s", where);
}

static void on_said(struct pfs_portal_opening *opening, const char *line, size_t len)
{
	struct probe *probe = probe_of(opening);

	assert_true(probe->done);
	snprintf(probe->line[probe->lines++ % 4], 100, "%.*s", (int)len, line);
}

static void on_ended(struct pfs_portal_opening *opening, int status)
{
	assert_true(probe_of(opening)->done);
	probe_of(opening)->ended = true;
	probe_of(opening)->status = status;
}

static void begin(struct probe *probe, const char *path, int flags)
{
	struct pfs_diag diag = { "" };

	*probe = (struct probe){ .fd = -1 };
	if (pfs_portal_parse(rules, path, false, flags & O_ACCMODE, &probe->plan, &diag) < 0)
		fail_msg("%s: %s", path, diag.text);
	probe->opening = (struct pfs_portal_opening){
		.plan = &probe->plan,
		.flags = flags,
		.umask = 027,
		.done = on_done,
		.waits = on_waits,
		.said = on_said,
		.ended = on_ended,
	};
	assert_int_equal(pfs_portal_open(portals, &probe->opening), 0);
	assert_false(probe->done);
}

static void turn(void)
{
	struct pollfd fd = { .fd = pfs_portals_fd(portals), .events = POLLIN };

	assert_int_equal(poll(&fd, 1, PATIENCE), 1);
	pfs_portals_run(portals);
}

static int wait_done(struct probe *probe)
{
	while (!probe->done)
		turn();
	return probe->result;
}

static int open_now(struct probe *probe, const char *path, int flags)
{
	begin(probe, path, flags);
	return wait_done(probe);
}

static void end(struct probe *probe)
{
	pfs_closep(&probe->fd);
	pfs_portal_end(portals, &probe->opening);
	pfs_portal_plan_release(&probe->plan);
}

static void wait_idle(void)
{
	while (!pfs_portals_idle(portals))
		turn();
}

/* All that is there: a short answer, then the end. */
static void read_all(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	out[len] = '\0';
}

/* A socket that listens on 127.0.0.1, and its port. */
static int server(int type, int *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (void *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (void *)&at, &size), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static int client(int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (void *)&to, sizeof(to)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* --- sockets ---------------------------------------------------------------------------- */

static void test_tcp(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost" };
	struct probe probe;
	char path[100], buf[10];
	int port, listener = server(SOCK_STREAM, &port), peer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		snprintf(path, sizeof(path), "tcp/%s/%d", hosts[i], port);
		assert_int_equal(open_now(&probe, path, O_RDWR), 0);
		assert_int_equal(probe.type, PFS_PORTAL_STREAM);
		assert_false(fcntl(probe.fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(probe.fd, F_GETFD) & FD_CLOEXEC);
		snprintf(path, sizeof(path), " 127.0.0.1:%d", port);
		assert_non_null(strstr(probe.what, path));
		peer = accept(listener, NULL, NULL);
		assert_int_equal(write(probe.fd, "hello", 5), 5);
		assert_int_equal(read(peer, buf, sizeof(buf)), 5);
		close(peer);
		end(&probe);
	}
	close(listener);
	snprintf(path, sizeof(path), "tcp/127.0.0.1/%d", port);
	assert_int_equal(open_now(&probe, path, O_RDWR), -ECONNREFUSED);
	assert_non_null(strstr(probe.why, "refused"));
	end(&probe);
	wait_idle();
}

static void test_tcp_refused(void **state)
{
	static const struct {
		const char *path;
		int r;
	} rows[] = {
		{ "tcp/127.0.0.1/no-such-service", -EINVAL },
		{ "tcp/127.0.0.1/65536", -EINVAL },
		{ "tcp/127.0.0.1/0", -EINVAL },
		{ "tcp/127.0.0.1/80x", -EINVAL },
		{ "tcp/no such host/80", -ENOENT }, /* known without a name server; with one, t071 */
		{ "tcp/255.255.255.255/80", -ENETUNREACH },
	};
	struct probe probe;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = open_now(&probe, rows[i].path, O_RDWR);

		if (r != rows[i].r && !(r == -EACCES && rows[i].r == -ENETUNREACH))
			fail_msg("%s: %d %s", rows[i].path, r, probe.why);
		assert_true(probe.why[0]);
		end(&probe);
	}
	wait_idle();
}

static void test_priv(void **state)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	struct probe probe;
	char path[100];
	int port, listener = server(SOCK_STREAM, &port), peer;

	(void)state;
	snprintf(path, sizeof(path), "tcp/127.0.0.1/%d/priv", port);
	if (geteuid() != 0) {
		assert_int_equal(open_now(&probe, path, O_RDWR), -EPERM);
		end(&probe);
	}
	for (int i = 0; geteuid() == 0 && i < 3; i++) {
		assert_int_equal(open_now(&probe, path, O_RDWR), 0);
		peer = accept(listener, (void *)&from, &size);
		assert_in_range(ntohs(from.sin_port), 512, 1023);
		close(peer);
		end(&probe);
	}
	close(listener);
	wait_idle();
}

static int where_port(const struct probe *probe)
{
	const char *colon = strrchr(probe->where, ':');

	assert_non_null(colon);
	return atoi(colon + 1);
}

static int free_port(void)
{
	int port, fd = server(SOCK_STREAM, &port);

	close(fd);
	return port;
}

/* Accepts one by one; between two opens and while nobody waits, clients queue up and nobody is refused. */
static void test_listen(void **state)
{
	struct probe probe, other;
	char path[100], buf[10];
	int port = free_port(), fd[4];

	(void)state;
	snprintf(path, sizeof(path), "tcplisten/ANY/%d,linger=0.2", port);
	begin(&probe, path, O_RDWR);
	assert_int_equal(where_port(&probe), port);
	for (int i = 0; i < 4; i++) {
		fd[i] = client(port);
		assert_true(fd[i] >= 0);
		assert_int_equal(write(fd[i], &"abcd"[i], 1), 1);
	}
	for (int i = 0; i < 4; i++) {
		if (i)
			begin(&probe, path, O_RDWR);
		assert_int_equal(wait_done(&probe), 0);
		assert_int_equal(probe.type, PFS_PORTAL_STREAM);
		assert_int_equal(read(probe.fd, buf, 1), 1);
		assert_int_equal(buf[0], "abcd"[i]);
		close(fd[i]);
		end(&probe);
	}
	/* Two at once take turns; one that gives up takes none. */
	begin(&probe, path, O_RDWR);
	begin(&other, path, O_RDWR);
	end(&probe);
	fd[0] = client(port);
	assert_int_equal(wait_done(&other), 0);
	/* While a connection is open the listener stays, however long. */
	fd[1] = client(port);
	assert_true(fd[1] >= 0);
	close(fd[0]);
	close(fd[1]);
	end(&other);
	wait_idle();
	assert_int_equal(client(port), -ECONNREFUSED);
}

static void test_listen_corners(void **state)
{
	struct probe probe, other;
	char path[100];
	int port, fd, taken = server(SOCK_STREAM, &port);

	(void)state;
	snprintf(path, sizeof(path), "tcplisten/127.0.0.1/%d", port);
	assert_int_equal(open_now(&probe, path, O_RDWR), -EADDRINUSE);
	end(&probe);
	close(taken);
	/* Given up before anybody came: it does not linger. */
	begin(&probe, path, O_RDWR);
	end(&probe);
	wait_idle();
	/* Port 0 is another one each time. */
	begin(&probe, "tcplisten/127.0.0.1/0", O_RDWR);
	begin(&other, "tcplisten/127.0.0.1/0", O_RDWR);
	assert_int_not_equal(where_port(&probe), where_port(&other));
	fd = client(where_port(&other));
	assert_int_equal(wait_done(&other), 0);
	assert_false(probe.done);
	close(fd);
	end(&probe);
	end(&other);
	wait_idle();
}

static void test_udp(void **state)
{
	struct probe probe;
	struct sockaddr_in from,
		to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(from);
	char path[100], buf[10];
	int port, fd = server(SOCK_DGRAM, &port);

	(void)state;
	snprintf(path, sizeof(path), "udp/127.0.0.1/%d", port);
	assert_int_equal(open_now(&probe, path, O_RDWR), 0);
	assert_int_equal(probe.type, PFS_PORTAL_PACKETS);
	assert_int_equal(write(probe.fd, "hello", 5), 5);
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &size), 5);
	assert_int_equal(sendto(fd, "you", 3, 0, (void *)&from, size), 3);
	assert_int_equal(read(probe.fd, buf, sizeof(buf)), 3);
	close(fd);
	end(&probe);

	snprintf(path, sizeof(path), "udp/ANY/%d", port);
	assert_int_equal(open_now(&probe, path, O_RDONLY), 0);
	to.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(fd, "any", 3, 0, (void *)&to, sizeof(to)), 3);
	assert_int_equal(read(probe.fd, buf, sizeof(buf)), 3);
	close(fd);
	end(&probe);
	wait_idle();
}

static void test_unix(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct probe probe;
	char path[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };
		PFS_CLOSE int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

		snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", dir);
		unlink(at.sun_path);
		assert_int_equal(bind(fd, (void *)&at, sizeof(at)), 0);
		if (types[i] != SOCK_DGRAM)
			assert_int_equal(listen(fd, 10), 0);
		snprintf(path, sizeof(path), "unix/%s", at.sun_path);
		assert_int_equal(open_now(&probe, path, O_RDWR), 0);
		assert_int_equal(probe.type,
				 types[i] == SOCK_STREAM ? PFS_PORTAL_STREAM : PFS_PORTAL_PACKETS);
		end(&probe);
	}
	snprintf(path, sizeof(path), "unix/%s/s", dir);
	assert_int_equal(open_now(&probe, path, O_RDWR), -ECONNREFUSED);
	end(&probe);
	snprintf(path, sizeof(path), "unix/%s/none", dir);
	assert_int_equal(open_now(&probe, path, O_RDWR), -ENOENT);
	end(&probe);
	assert_int_equal(open_now(&probe, "unix/etc/passwd", O_RDWR), -ECONNREFUSED);
	end(&probe);
	assert_int_equal(open_now(&probe, "unix/@no-such-name", O_RDWR), -ECONNREFUSED);
	end(&probe);
	wait_idle();
}

/* --- files ------------------------------------------------------------------------------- */

static void test_file(void **state)
{
	struct probe probe;
	struct stat st;
	char path[200], text[1000];

	(void)state;
	snprintf(path, sizeof(path), "fs/%s/new file", dir);
	assert_int_equal(open_now(&probe, path, O_WRONLY), -ENOENT);
	end(&probe);
	assert_int_equal(open_now(&probe, path, O_WRONLY | O_CREAT | O_TRUNC), 0);
	assert_int_equal(probe.type, PFS_PORTAL_SEEKABLE);
	assert_int_equal(write(probe.fd, "one", 3), 3);
	assert_int_equal(fstat(probe.fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	end(&probe);
	assert_int_equal(open_now(&probe, path, O_WRONLY | O_APPEND), 0);
	assert_int_equal(write(probe.fd, "two", 3), 3);
	end(&probe);
	assert_int_equal(open_now(&probe, path, O_RDONLY), 0);
	read_all(probe.fd, text, sizeof(text));
	assert_string_equal(text, "onetwo");
	end(&probe);
	assert_int_equal(open_now(&probe, path, O_WRONLY | O_CREAT | O_EXCL), -EEXIST);
	end(&probe);
	snprintf(text, sizeof(text), "%s/link", dir);
	assert_int_equal(symlink("new file", text), 0);
	snprintf(path, sizeof(path), "fs/%s/link", dir);
	assert_int_equal(open_now(&probe, path, O_RDONLY | O_NOFOLLOW), -ELOOP);
	end(&probe);
	assert_int_equal(open_now(&probe, "fs/etc", O_RDONLY), -EISDIR);
	end(&probe);
	assert_int_equal(open_now(&probe, "fs/etc/passwd/x", O_RDONLY), -ENOTDIR);
	end(&probe);
	assert_int_equal(open_now(&probe, "fs/dev/null", O_RDWR), 0);
	assert_int_equal(probe.type, PFS_PORTAL_PIPE);
	end(&probe);
	wait_idle();
}

/* A FIFO waits for its other end: in a child, which can be given up. */
static void test_fifo(void **state)
{
	struct probe reader, writer, third;
	char path[200], text[10];

	(void)state;
	snprintf(path, sizeof(path), "fs/%s/fifo", dir);
	assert_int_equal(mkfifo(path + 3, 0600), 0);
	begin(&third, path, O_RDONLY);
	end(&third);
	wait_idle();
	begin(&reader, path, O_RDONLY);
	begin(&writer, path, O_WRONLY);
	assert_int_equal(wait_done(&writer), 0);
	assert_int_equal(wait_done(&reader), 0);
	assert_int_equal(reader.type, PFS_PORTAL_PIPE);
	assert_int_equal(write(writer.fd, "x", 1), 1);
	end(&writer);
	read_all(reader.fd, text, sizeof(text));
	assert_string_equal(text, "x");
	end(&reader);
	wait_idle();
}

/* --- commands ------------------------------------------------------------------------------ */

static void wait_ended(struct probe *probe)
{
	while (!probe->ended)
		turn();
}

static void test_command(void **state)
{
	struct probe probe;
	char path[300], text[1000];

	(void)state;
	assert_int_equal(open_now(&probe, "pipe/bin/echo one 'two  three' \"'\"", O_RDONLY), 0);
	assert_int_equal(probe.type, PFS_PORTAL_PIPE);
	read_all(probe.fd, text, sizeof(text));
	assert_string_equal(text, "one two  three '\n");
	wait_ended(&probe);
	assert_int_equal(probe.status, 0);
	end(&probe);

	snprintf(path, sizeof(path), "pipe/bin/sh -c 'umask; cat >%s/out; echo late >&2; exit 3'", dir);
	assert_int_equal(open_now(&probe, path, O_WRONLY), 0);
	assert_int_equal(write(probe.fd, "in\n", 3), 3);
	close(TAKE_FD(probe.fd));
	wait_ended(&probe);
	assert_int_equal(WEXITSTATUS(probe.status), 3);
	assert_int_equal(probe.lines, 1);
	assert_string_equal(probe.line[0], "late");
	end(&probe);

	assert_int_equal(open_now(&probe, "pipe/no/such", O_RDONLY), -ENOENT);
	assert_non_null(strstr(probe.why, "/no/such: No such file"));
	end(&probe);
	assert_int_equal(open_now(&probe, "pipe/etc/passwd", O_RDONLY), -EACCES);
	end(&probe);
	wait_idle();
}

static void test_stderr(void **state)
{
	struct probe probe;
	char text[1000];

	(void)state;
	assert_int_equal(
		open_now(&probe, "pipe/bin/sh -c 'printf \"a\\nb\" >&2; echo out'", O_RDONLY), 0);
	read_all(probe.fd, text, sizeof(text));
	assert_string_equal(text, "out\n");
	wait_ended(&probe);
	assert_int_equal(probe.lines, 2);
	assert_string_equal(probe.line[0], "a");
	assert_string_equal(probe.line[1], "b");
	end(&probe);
	/* A flood is counted; a line without end is cut. */
	assert_int_equal(open_now(&probe, "pipe/bin/sh -c 'seq 1 5000 >&2'", O_RDONLY), 0);
	wait_ended(&probe);
	assert_int_equal(probe.lines, 101);
	assert_string_equal(probe.line[100 % 4], "(4900 more lines)");
	end(&probe);
	wait_idle();
}

/* Nobody reads any more: it is ended, whatever it does; a writer's command goes on. */
static void test_command_left(void **state)
{
	static const char *const commands[] = {
		"pipe/bin/sleep 1000",
		"pipe/usr/bin/yes",
		"pipe/bin/sh -c 'sleep 1000 & sleep 1000'",
		"pipe/bin/sh -c 'trap \"\" TERM; while :; do sleep 1000; done'",
	};
	struct probe probe;
	char path[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		assert_int_equal(open_now(&probe, commands[i], O_RDONLY), 0);
		end(&probe);
		wait_idle();
	}
	begin(&probe, "pipe/bin/sleep 1000", O_RDONLY);
	end(&probe);
	wait_idle();
	snprintf(path, sizeof(path), "pipe/bin/sh -c 'cat; echo whole >%s/left'", dir);
	assert_int_equal(open_now(&probe, path, O_WRONLY), 0);
	end(&probe);
	wait_idle();
	snprintf(path, sizeof(path), "%s/left", dir);
	assert_int_equal(access(path, F_OK), 0);
}

/* --- all together ------------------------------------------------------------------------------ */

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Many of all kinds, given up at any point: nothing is left behind. */
static void test_no_leaks(void **state)
{
	static const char *const paths[] = {
		"tcp/127.0.0.1/1", "tcp/localhost/1", "tcplisten/127.0.0.1/0",
		"udp/127.0.0.1/9", "fs/etc/passwd",   "pipe/bin/cat /dev/zero",
		"pipe/no/such",	   "unix/no/such",    "pipe/bin/true",
		"fs/no/such",
	};
	static struct probe probe[60];
	unsigned before = descriptors();

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(probe); i++)
			begin(&probe[i], paths[i % ARRAY_SIZE(paths)], O_RDONLY);
		for (unsigned i = 0; i < round * 20; i++)
			pfs_portals_run(portals);
		for (size_t i = 0; i < ARRAY_SIZE(probe); i++)
			end(&probe[i]);
	}
	wait_idle();
	assert_int_equal(descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* As root: no packet leaves for anywhere. */
static void own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	lo.ifr_flags = IFF_UP;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		abort();
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	own_network();
	if (!mkdtemp(dir) || pfs_portal_rules_default(&rules) < 0)
		return -1;
	return pfs_portals_new(&portals);
}

static int teardown(void **state)
{
	char line[100];

	(void)state;
	pfs_portals_free(portals);
	pfs_portal_rules_unref(rules);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_refused),
		cmocka_unit_test(test_priv),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listen_corners),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_fifo),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_command_left),
		cmocka_unit_test(test_no_leaks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
