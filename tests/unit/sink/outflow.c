/*
 * outflow - sockets as sinks: real ones, opened by real helpers, on 127.0.0.1
 */
#include "../sockets_help.h"

#include "packet/capture_write.h"
#include "packet/generate.h"

static struct {
	_Atomic unsigned n;
	char last[300];
} said;

static void complain(void *arg, const struct pfs_complaint *complaint)
{
	(void)arg;
	snprintf(said.last, sizeof(said.last), "%s", complaint->text);
	said.n++;
}

static void open_format(struct rig *rig, const char *format, unsigned port)
{
	char path[100];

	snprintf(path, sizeof(path), format, port);
	rig_open(rig, path, "");
}

/* One generation. */
static void write_text(struct rig *rig, const char *text)
{
	struct pfs_writer *writer = rig_writer(rig);

	rig_write(rig, writer, text, strlen(text), 0, NULL);
	pfs_writer_close(writer);
}

/* A generation is a connection, which is closed when all is said. */
static void test_tcp(void **state)
{
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	PFS_BUF struct pfs_buf in = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	open_format(&rig, "accept/tcp:127.0.0.1:%u", port);
	fd = accept_one(listener);
	write_text(&rig, "hello");
	expect_text(fd, "hello");
	expect_end(fd);
	send_text(fd, "what it says is of no interest");
	close(fd);
	for (int i = 0; i < 3; i++) {
		PFS_BUF struct pfs_buf out = { 0 };

		wait_stat(&rig, "connections", (uint64_t)i + 1);
		writer = rig_writer(&rig);
		pattern(&in, (size_t)2 << 20);
		rig_write(&rig, writer, in.data, in.len, 4097, NULL);
		pfs_writer_close(writer);
		fd = accept_one(listener);
		receive(fd, &out, SIZE_MAX);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
		close(fd);
	}
	rig_expect(&rig, "connections", 4);
	rig_expect(&rig, "lost", 0);
	close(listener);
	rig_release(&rig);
}

/* Who writes waits for who takes. */
static void test_back_pressure(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct pfs_writer *writer;
	struct rig rig;
	size_t sent = 0;
	ssize_t n;

	(void)state;
	pattern(&in, 60 << 20);
	open_format(&rig, "accept/tcp:127.0.0.1:%u", port);
	fd = accept_one(listener);
	writer = rig_writer(&rig);
	for (int idle = 0; sent < in.len && idle < 200;) {
		n = pfs_writer_write(writer, in.data + sent, pfs_min(in.len - sent, 65536));
		if (n > 0) {
			sent += (size_t)n;
			idle = 0;
		} else {
			assert_int_equal(n, -EAGAIN);
			idle++;
			usleep(1000);
		}
	}
	assert_true(sent < in.len);
	while (sent < in.len) {
		n = pfs_writer_write(writer, in.data + sent, pfs_min(in.len - sent, 65536));
		if (n > 0)
			sent += (size_t)n;
		else
			receive(fd, &out, pfs_min(out.len + 65536, sent));
	}
	pfs_writer_close(writer);
	receive(fd, &out, SIZE_MAX);
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.data, in.data, in.len);
	rig_expect(&rig, "lost", 0);
	close(fd);
	close(listener);
	rig_release(&rig);
}

/* The other side goes: what comes meanwhile is lost and counted, and it goes on when there is one again. */
static void test_other_side_goes(void **state)
{
	unsigned port, before = said.n;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct pfs_writer *writer;
	struct sockaddr_in a;
	int on = 1;
	struct rig rig;

	(void)state;
	open_format(&rig, "accept/lines/tcp:127.0.0.1:%u", port);
	fd = accept_one(listener);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "one\n", 4, 0, NULL);
	expect_text(fd, "one\n");
	close(listener);
	close(fd);
	WAIT_WHILE(rig_stat(&rig, "open"));
	for (int i = 0; i < 10; i++)
		rig_write(&rig, writer, "lost\n", 5, 0, NULL);
	wait_stat(&rig, "lost.not-connected", 10);
	assert_int_equal(said.n, before + 1);
	assert_non_null(strstr(said.last, "records are lost"));

	a = local(port);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(listener, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 5), 0);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	for (int i = 0; rig_stat(&rig, "connections") < 2 && i < PATIENCE; i++) {
		rig_write(&rig, writer, "again\n", 6, 0, NULL);
		usleep(10000);
	}
	fd = accept_one(listener);
	expect_text(fd, "again\n");
	pfs_writer_close(writer);
	close(fd);
	close(listener);
	rig_release(&rig);
}

/* down=wait: nothing is lost but what was on its way. */
static void test_wait(void **state)
{
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	open_format(&rig, "accept/lines/tcp:127.0.0.1:%u,down=wait", port);
	fd = accept_one(listener);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "one\n", 4, 0, NULL);
	expect_text(fd, "one\n");
	close(fd);
	WAIT_WHILE(rig_stat(&rig, "open"));
	rig_write(&rig, writer, "two\nthree\n", 10, 0, NULL);
	fd = accept_one(listener);
	expect_text(fd, "two\nthree\n");
	rig_expect(&rig, "lost", 0);
	pfs_writer_close(writer);
	expect_end(fd);
	close(fd);
	close(listener);
	rig_release(&rig);
}

static void test_clients(void **state)
{
	enum { CLIENTS = 10 };
	struct pfs_writer *writer;
	int fd[CLIENTS];
	struct rig rig;
	unsigned port;

	(void)state;
	rig_open(&rig, "accept/lines/tcplisten:127.0.0.1:0", "");
	port = port_of(rig.node);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "for the first\n", 14, 0, NULL);
	rig_expect(&rig, "written", 0); /* waits for him */
	fd[0] = connect_to(SOCK_STREAM, port);
	expect_text(fd[0], "for the first\n");
	for (int i = 1; i < CLIENTS; i++)
		fd[i] = connect_to(SOCK_STREAM, port);
	wait_stat(&rig, "open", CLIENTS);
	rig_write(&rig, writer, "for all\n", 8, 0, NULL);
	for (int i = 0; i < CLIENTS; i++)
		expect_text(fd[i], "for all\n");
	/* One may go, one may have said all that it had to say. */
	close(fd[0]);
	shutdown(fd[1], SHUT_WR);
	rig_write(&rig, writer, "still\n", 6, 0, NULL);
	for (int i = 1; i < CLIENTS; i++)
		expect_text(fd[i], "still\n");
	pfs_writer_close(writer);
	for (int i = 1; i < CLIENTS; i++) {
		expect_end(fd[i]);
		close(fd[i]);
	}
	WAIT_WHILE(rig_stat(&rig, "open"));
	/* The next generation. */
	fd[0] = connect_to(SOCK_STREAM, port);
	write_text(&rig, "second");
	expect_text(fd[0], "second");
	expect_end(fd[0]);
	close(fd[0]);
	rig_expect(&rig, "lost", 0);
	rig_release(&rig);
}

static void take_some(int fd, struct pfs_buf *out, size_t most)
{
	char bytes[65536];
	ssize_t n = recv(fd, bytes, most, MSG_DONTWAIT);

	if (n > 0)
		pfs_buf_add(out, bytes, (size_t)n);
}

/* A slow client holds up the others, but nobody loses anything. */
static void test_slow_client(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, quick = { 0 }, slow = { 0 };
	struct pfs_writer *writer;
	struct rig rig;
	size_t sent = 0;
	int fd[2];

	(void)state;
	pattern(&in, 20 << 20);
	rig_open(&rig, "accept/tcplisten:127.0.0.1:0", "");
	for (int i = 0; i < 2; i++)
		fd[i] = connect_to(SOCK_STREAM, port_of(rig.node));
	wait_stat(&rig, "open", 2);
	writer = rig_writer(&rig);
	while (quick.len < in.len || slow.len < in.len) {
		ssize_t n = -EAGAIN;

		if (sent < in.len)
			n = pfs_writer_write(writer, in.data + sent, pfs_min(in.len - sent, 50000));
		sent += n > 0 ? (size_t)n : 0;
		if (sent == in.len && writer)
			pfs_writer_close(TAKE_PTR(writer));
		take_some(fd[0], &quick, 65536);
		if (n < 0) /* only when nothing else moves */
			take_some(fd[1], &slow, 5000);
	}
	expect_end(fd[0]);
	expect_end(fd[1]);
	assert_memory_equal(quick.data, in.data, in.len);
	assert_memory_equal(slow.data, in.data, in.len);
	close(fd[0]);
	close(fd[1]);
	rig_release(&rig);
}

static void test_datagrams(void **state)
{
	unsigned port;
	int fd = bound(SOCK_DGRAM, &port);
	struct pfs_writer *writer;
	static char big[70000];
	char got[100];
	struct rig rig;

	(void)state;
	open_format(&rig, "accept/lines,max=128k/udp:127.0.0.1:%u", port);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "one\ntwo two\n", 12, 0, NULL);
	rig_write(&rig, writer, big, sizeof(big), 0, NULL);
	rig_write(&rig, writer, "last\n", 5, 0, NULL);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 4);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 8);
	assert_memory_equal(got, "two two\n", 8);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 5);
	rig_expect(&rig, "lost.oversize", 1);
	close(fd);
	/* Nobody is there: the kernel is told, and counts it to what was sent before. */
	for (int i = 0; rig_stat(&rig, "lost.refused") < 5 && i < PATIENCE; i++) {
		rig_write(&rig, writer, "refused\n", 8, 0, NULL);
		usleep(1000);
	}
	assert_true(rig_stat(&rig, "lost.refused") >= 5);
	pfs_writer_close(writer);
	rig_release(&rig);
}

/* Packets as a capture file are what was written, but for the header's units. */
static void test_capture(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf capture = { 0 }, bare = { 0 }, out = { 0 };
	struct generate_counts counts;
	unsigned port;
	int listener = bound(SOCK_STREAM, &port), fd;
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	options.packets = 500;
	assert_int_equal(capture_generate_buf(&options, &capture, &counts), 0);
	rig_bare_packets(&capture, &bare);
	open_format(&rig, "accept/unpcap/tcp:127.0.0.1:%u,as=pcap", port);
	fd = accept_one(listener);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, capture.data, capture.len, 0, NULL);
	pfs_writer_close(writer);
	receive(fd, &out, SIZE_MAX);
	assert_int_equal(out.len, PCAP_FILE_HEADER + counts.packets * PCAP_PACKET_HEADER + bare.len);
	assert_memory_equal(out.data + PCAP_FILE_HEADER + PCAP_PACKET_HEADER, bare.data, 14);
	close(fd);
	close(listener);
	rig_release(&rig);
}

static void refused(const char *path, int error)
{
	struct pfs_diag diag;
	struct rig rig;
	int r = rig_try(&rig, path, &diag);

	if (r != -error || !diag.text[0])
		fail_msg("%s: %s '%s'", path, strerrorname_np(-r), diag.text);
	rig_release(&rig);
}

static void test_refused(void **state)
{
	(void)state;
	refused("accept/tcp:127.0.0.1:1", ECONNREFUSED);
	refused("accept/tcp:no.such.host.invalid:1", ENOENT);
	refused("accept/tcp:127.0.0.1", EINVAL);
	refused("accept/tcp:127.0.0.1:1,as=pcap", EINVAL);
	refused("accept/tcp:127.0.0.1:1,down=later", EINVAL);
	refused("accept/udp:ANY:514", EINVAL);
	refused("accept/unpcap/udp:127.0.0.1:514,as=pcap", EINVAL);
	refused("accept/unix:%2fno%2fsuch", ENOENT);
	refused("accept/tcplisten:192.0.2.1:80", EADDRNOTAVAIL);
}

/* A filter and a sink of one name. */
static void test_names(void **state)
{
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	assert_int_equal(rig_try(&rig, "accept/unpcap/tcp", &diag), 0);
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/unpcap/tcp,tunnel=yes", &diag), 0);
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/unpcap/tcp:", &diag), 0);
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/tcp", &diag), -EINVAL); /* no packets there */
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/unpcap/udp/udp:127.0.0.1:9", &diag), 0);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_other_side_goes),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};
	int failed;

	if (sockets_setup() < 0)
		return 1;
	rig_options.complain = complain;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pfs_spawner_free(sockets_spawner);
	return failed;
}
