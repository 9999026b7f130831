/*
 * intake - sockets as sources: real ones, opened by real helpers, on 127.0.0.1
 */
#include "../sockets_help.h"

#include <sys/ioctl.h>

static void open_format(struct rig *rig, const char *view, const char *format, unsigned port)
{
	char path[100];

	snprintf(path, sizeof(path), format, port);
	rig_open(rig, path, view);
}

static void refused(const char *path, int error, const char *part)
{
	struct pfs_diag diag;
	struct rig rig;
	int r = rig_try(&rig, path, &diag);

	if (r != -error || !strstr(diag.text, part))
		fail_msg("%s: %s '%s'", path, strerrorname_np(-r), diag.text);
	rig_release(&rig);
}

static void test_refused(void **state)
{
	unsigned port;
	int fd = bound(SOCK_STREAM, &port), closed;
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "tcplisten:127.0.0.1:%u", port);
	refused(path, EADDRINUSE, "in use");
	closed = bound(SOCK_DGRAM, &port);
	snprintf(path, sizeof(path), "udplisten:127.0.0.1:%u", port);
	refused(path, EADDRINUSE, "in use");
	close(closed);
	close(fd);
	refused("tcp:127.0.0.1:1", ECONNREFUSED, "refused");
	refused("tcp:no.such.host.invalid:80", ENOENT, "no.such.host.invalid");
	refused("tcp:127.0.0.1:no-such-service", EINVAL, "no-such-service");
	refused("tcp:127.0.0.1", EINVAL, "HOST:PORT");
	refused("tcp:127.0.0.1:70000", EINVAL, "70000");
	refused("tcp", ENOENT, "is a filter");
	refused("tcplisten", EINVAL, "argument");
	refused("tcplisten:192.0.2.1:80", EADDRNOTAVAIL, "192.0.2.1");
	refused("tcplisten:ANY:0,clients=0", EINVAL, "clients");
	refused("unix:%2fno%2fsuch", ENOENT, "/no/such");
	refused("unix:relative", EINVAL, "whole path");
	refused("udp:no.such.host.invalid:80", ENOENT, "no.such.host.invalid");
}

/* All that comes, to the end; who comes later gets another connection. */
static void test_tcp(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 };
	unsigned port;
	int listener = bound(SOCK_STREAM, &port);
	struct rig rig;

	(void)state;
	pattern(&in, 3 << 20);
	open_format(&rig, "", "tcp:127.0.0.1:%u", port);
	for (int i = 0; i < 3; i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		int fd;

		if (i == 0) { /* mkdir has connected, and what comes waits */
			fd = accept_one(listener);
			send_text(fd, "early");
			rig_read(&rig, NULL);
		} else {
			rig_read(&rig, NULL);
			fd = accept_one(listener);
		}
		while (out.len < in.len) {
			size_t n = pfs_min(100000, in.len - out.len);

			send_all(fd, in.data + out.len, n);
			rig_wait(&rig, &out, out.len + n + (i == 0 && out.len == 0 ? 5 : 0));
			if (i == 0 && out.len == n + 5) {
				assert_memory_equal(out.data, "early", 5);
				memmove(out.data, out.data + 5, out.len -= 5);
			}
		}
		close(fd);
		rig_finish(&rig, &out);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
		pfs_reader_close(TAKE_PTR(rig.reader));
	}
	rig_expect(&rig, "connections", 3);
	rig_expect(&rig, "received", 3 * in.len + 5);
	rig_expect(&rig, "open", 0);
	close(listener);
	/* Nobody is there now: the end, at once. */
	rig_read(&rig, NULL);
	rig_finish(&rig, &in);
	rig_release(&rig);
}

static void test_reset(void **state)
{
	struct linger none = { .l_onoff = 1 };
	PFS_BUF struct pfs_buf out = { 0 };
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct rig rig;

	(void)state;
	open_format(&rig, NULL, "tcp:127.0.0.1:%u", port);
	fd = accept_one(listener);
	send_text(fd, "half");
	rig_wait(&rig, &out, 4);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
	rig_finish(&rig, &out);
	rig_expect(&rig, "lost.connection-lost", 1);
	close(listener);
	rig_release(&rig);
}

/* A consumer that goes takes nothing with it that it has not got. */
static void test_readers_come_and_go(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct rig rig;

	(void)state;
	open_format(&rig, NULL, "tcp:127.0.0.1:%u", port);
	fd = accept_one(listener);
	for (int i = 0; i < 20; i++) {
		send_text(fd, "0123456789");
		rig_wait(&rig, &out, (size_t)(2 * i + 1) * 10);
		pfs_reader_close(TAKE_PTR(rig.reader));
		send_text(fd, "abcdefghij");
		rig_read(&rig, NULL);
		rig_wait(&rig, &out, (size_t)(2 * i + 2) * 10);
	}
	rig_expect(&rig, "connections", 1);
	close(fd);
	rig_finish(&rig, &out);
	assert_int_equal(out.len, 400);
	close(listener);
	rig_release(&rig);
}

/* Each client is a stream: lines are never mixed, and what one leaves without a newline is its last. */
static void test_clients(void **state)
{
	enum { CLIENTS = 40, LINES = 50 };
	static const char want[] = "0123456789\n";
	PFS_BUF struct pfs_buf out = { 0 };
	int fd[CLIENTS];
	struct rig rig;
	unsigned port;

	(void)state;
	rig_open(&rig, "tcplisten:127.0.0.1:0,clients=30/lines", NULL);
	port = port_of(rig.top);
	for (int i = 0; i < CLIENTS; i++) /* ten of them wait in the queue */
		fd[i] = connect_to(SOCK_STREAM, port);
	for (int line = 0; line < LINES; line++)
		for (size_t at = 0; at < 11; at++)
			for (int i = 0; i < 30; i++)
				send_all(fd[i], want + at, 1);
	rig_wait(&rig, &out, (size_t)30 * LINES * 11);
	assert_int_equal(node_stat(rig.top, "open"), 30);
	for (int i = 0; i < CLIENTS; i++) {
		send_text(fd[i], "012345678");
		close(fd[i]);
	}
	rig_wait(&rig, &out, (size_t)30 * LINES * 11 + CLIENTS * 9);
	for (size_t at = 0; at < (size_t)30 * LINES * 11; at += 11)
		assert_memory_equal(out.data + at, want, 11);
	for (size_t at = (size_t)30 * LINES * 11; at < out.len; at += 9)
		assert_memory_equal(out.data + at, "012345678", 9);
	assert_int_equal(node_stat(rig.top, "connections"), CLIENTS);
	assert_int_equal(rig_drain(&rig, &out), -EAGAIN); /* it has no end */
	rig_release(&rig);
}

/* Who sends waits for who reads. */
static void test_back_pressure(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	size_t sent = 0;
	struct rig rig;
	ssize_t n;
	int fd;

	(void)state;
	pattern(&in, 60 << 20);
	rig_open(&rig, "tcplisten:127.0.0.1:0", NULL);
	fd = connect_to(SOCK_STREAM, port_of(rig.top));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int idle = 0; sent < in.len && idle < 200;) {
		n = send(fd, in.data + sent, in.len - sent, 0);
		if (n > 0) {
			sent += (size_t)n;
			idle = 0;
		} else {
			idle++;
			usleep(1000);
		}
	}
	assert_true(sent < in.len); /* held up: the ring has 16 MiB, the sockets some more */
	fcntl(fd, F_SETFL, 0);
	while (sent < in.len) {
		n = send(fd, in.data + sent, pfs_min(in.len - sent, 65536), MSG_DONTWAIT);
		if (n > 0)
			sent += (size_t)n;
		rig_drain(&rig, &out);
	}
	rig_wait(&rig, &out, in.len);
	assert_memory_equal(out.data, in.data, in.len);
	rig_expect(&rig, "lost", 0);
	close(fd);
	rig_release(&rig);
}

static ssize_t read_record(struct rig *rig, void *to, size_t size)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	ssize_t n = -EAGAIN;
	unsigned niov;

	for (int i = 0; n == -EAGAIN && i < PATIENCE; i++) {
		n = pfs_reader_get(rig->reader, size, true, false, gather, iov, &niov);
		if (n == -EAGAIN)
			usleep(1000);
	}
	assert_true(n > 0);
	memcpy(to, iov[0].iov_base, iov[0].iov_len);
	pfs_reader_done(rig->reader, true);
	return n;
}

static void test_datagrams(void **state)
{
	static char big[65507], got[70000];
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, "udplisten:127.0.0.1:0", NULL);
	fd = connect_to(SOCK_DGRAM, port_of(rig.node));
	memset(big, 'x', sizeof(big));
	send_text(fd, "one");
	send(fd, "", 0, 0);
	send_all(fd, big, sizeof(big));
	send_text(fd, "four\n");
	assert_int_equal(read_record(&rig, got, sizeof(got)), 3);
	assert_int_equal(read_record(&rig, got, sizeof(got)), sizeof(big));
	assert_memory_equal(got, big, sizeof(big));
	assert_int_equal(read_record(&rig, got, sizeof(got)), 5);
	assert_memory_equal(got, "four\n", 5);
	rig_expect(&rig, "lost.empty", 1);
	close(fd);
	rig_release(&rig);
}

/* While nobody reads they wait in the socket, as many as it takes; the rest is counted. */
static void test_datagrams_lost(void **state)
{
	static char bytes[1000], got[2000];
	enum { MANY = 20000 };
	uint64_t n = 0;
	struct rig rig;
	int fd;

	(void)state;
	rig_open(&rig, "udplisten:127.0.0.1:0", "");
	fd = connect_to(SOCK_DGRAM, port_of(rig.node));
	for (int i = 0; i < MANY; i++)
		send_all(fd, bytes, sizeof(bytes));
	rig_read(&rig, NULL);
	read_record(&rig, got, sizeof(got));
	n++;
	/* The count of what was lost comes with the next that is not. */
	for (int i = 0; !rig_stat(&rig, "lost.socket-buffer-full") && i < PATIENCE; i++) {
		PFS_BUF struct pfs_buf out = { 0 };

		rig_drain(&rig, &out);
		n += out.len / sizeof(bytes);
		send_text(fd, "!");
		usleep(1000);
	}
	assert_true(rig_stat(&rig, "lost.socket-buffer-full") > 0);
	assert_int_equal(rig_stat(&rig, "lost.socket-buffer-full") + rig_stat(&rig, "in") >= MANY, 1);
	close(fd);
	rig_release(&rig);
}

static int unix_listen(int type, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void test_unix(void **state)
{
	char path[100], name[200], got[100];
	PFS_BUF struct pfs_buf escaped = { 0 };
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	(void)state;
	snprintf(path, sizeof(path), "/tmp/pipesfs-test-unix-%d", getpid());
	pfs_name_escape(&escaped, path, strlen(path));
	snprintf(name, sizeof(name), "unix:%s", escaped.data);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		int listener = unix_listen(types[i], path), fd;
		struct rig rig;

		rig_open(&rig, name, NULL);
		fd = accept_one(listener);
		send_text(fd, "some");
		send_text(fd, "more");
		if (types[i] == SOCK_SEQPACKET)
			assert_int_equal(read_record(&rig, got, sizeof(got)), 4);
		rig_wait(&rig, &out, types[i] == SOCK_SEQPACKET ? 4 : 8);
		close(fd);
		rig_finish(&rig, &out);
		rig_release(&rig);
		close(listener);
		unlink(path);
	}
}

/* The end of the directory is the end of all connections, and of the port. */
static void test_end(void **state)
{
	struct rig rig;
	unsigned port;
	int fd, again;

	(void)state;
	rig_open(&rig, "tcplisten:127.0.0.1:0", NULL);
	port = port_of(rig.node);
	fd = connect_to(SOCK_STREAM, port);
	wait_stat(&rig, "open", 1);
	rig_release(&rig);
	expect_end(fd);
	close(fd);
	open_format(&rig, "", "tcplisten:127.0.0.1:%u", port);
	again = connect_to(SOCK_STREAM, port);
	close(again);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_reset),	  cmocka_unit_test(test_readers_come_and_go),
		cmocka_unit_test(test_clients),	  cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_datagrams), cmocka_unit_test(test_datagrams_lost),
		cmocka_unit_test(test_unix),	  cmocka_unit_test(test_end),
	};
	int failed;

	if (sockets_setup() < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pfs_spawner_free(sockets_spawner);
	return failed;
}
