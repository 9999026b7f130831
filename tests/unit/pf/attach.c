/*
 * attach - filters of sockets: of each kind, what they are shown and what is dropped
 *
 * Everything in a network namespace of its own, over `lo`; root.
 */
#include "help.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "source/packetring.h"

#define PATIENCE 20000 /* ms: not until a test should pass, but until it has failed */

static bool have_net;

static int enter_net(void **state)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	PFS_CLOSE int sock = -1;

	(void)state;
	have_net = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	if (!have_net)
		return 0;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(sock, SIOCSIFFLAGS, &lo);
}

static void need_net(void)
{
	if (!have_net) {
		print_message("root is needed\n");
		skip();
	}
}

static struct pf_prog *program(const char *language, const char *text)
{
	struct pf_error error;
	struct pf_prog *prog;

	if (pf_compile(language, text, strlen(text), NULL, &prog, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return prog;
}

static void attach(int fd, const char *language, const char *text, unsigned flags)
{
	struct pf_prog *prog = program(language, text);
	struct pf_error error;

	if (pf_attach(fd, prog, flags, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	pf_unref(prog);
}

static bool is_waiting(int fd)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1;
}

/* The next message is this one. */
static void expect(int fd, const char *want)
{
	char got[256] = "";

	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE), 1);
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), strlen(want));
	assert_memory_equal(got, want, strlen(want));
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* First byte 'y'. */
static const char yes[] = "ldb [0]\njneq #121, no\nret #262144\nno: ret #0\n";

static void test_unix(void **state)
{
	static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int fd[2];

		assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fd), 0);
		say(fd[0], "y before");
		attach(fd[1], "bpf", yes, 0);
		/* What was there is gone, whatever the filter would have said. */
		assert_false(is_waiting(fd[1]));
		say(fd[0], "no");
		say(fd[0], "yes");
		say(fd[0], "");
		expect(fd[1], "yes");
		assert_false(is_waiting(fd[1]));
		say(fd[0], "y kept");
		attach(fd[1], "bpf", "ret #0\n", PF_ATTACH_KEEP);
		say(fd[0], "yes");
		expect(fd[1], "y kept");
		assert_false(is_waiting(fd[1]));
		/* Cut by its result. */
		attach(fd[1], "bpf", "ret #3\n", 0);
		say(fd[0], "abcdef");
		expect(fd[1], "abc");
		/* A peer that has gone does not keep it for ever. */
		close(fd[0]);
		attach(fd[1], "bpf", yes, 0);
		close(fd[1]);
	}
}

static int udp_socket(struct sockaddr_in *ret_name)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret_name, &size), 0);
	return fd;
}

/* It is shown the UDP header and what follows. */
static void test_udp(void **state)
{
	struct sockaddr_in name, other;
	PFS_CLOSE int in = -1, out = -1;
	char text[80];

	(void)state;
	need_net();
	in = udp_socket(&name);
	out = udp_socket(&other);
	assert_int_equal(connect(out, (struct sockaddr *)&name, sizeof(name)), 0);
	say(out, "y before");
	snprintf(text, sizeof(text),
		 "ldh [0]\njneq #%u, no\nldb [8]\njneq #121, no\nret #262144\nno: ret #0\n",
		 ntohs(other.sin_port));
	attach(in, "bpf", text, 0);
	say(out, "no");
	say(out, "yes");
	expect(in, "yes");
	assert_false(is_waiting(in));
}

/* A stream loses nothing: neither what waits nor what the filter held up. */
static void test_tcp(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(name);
	PFS_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), out = -1, in = -1;

	(void)state;
	need_net();
	assert_int_equal(bind(listener, (struct sockaddr *)&name, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
	out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(out, (struct sockaddr *)&name, size), 0);
	in = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(in >= 0);
	say(out, "before");
	assert_int_equal(poll(&(struct pollfd){ .fd = in, .events = POLLIN }, 1, PATIENCE), 1);
	attach(in, "bpf", "ret #0\n", 0);
	expect(in, "before");
	say(out, "held up");
	assert_false(is_waiting(in));
	/* To its own port: the header begins at 0. */
	{
		char text[80];

		snprintf(text, sizeof(text), "ldh [2]\njneq #%u, no\nret #262144\nno: ret #0\n",
			 ntohs(name.sin_port));
		attach(in, "bpf", text, 0);
	}
	expect(in, "held up");
}

static int packet_socket(int type)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex("lo") };
	int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&lo, sizeof(lo)), 0);
	return fd;
}

static unsigned count(int fd)
{
	unsigned n = 0;
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

static void test_packet(void **state)
{
	struct sockaddr_in name, other;
	PFS_CLOSE int in = -1, out = -1, fd = -1;
	char text[80];

	(void)state;
	need_net();
	in = udp_socket(&name);
	out = udp_socket(&other);
	fd = packet_socket(SOCK_RAW);
	sendto(out, "x", 1, 0, (struct sockaddr *)&name, sizeof(name));
	snprintf(text, sizeof(text), "udp dst port %u", ntohs(name.sin_port));
	attach(fd, "pcap", text, 0);
	assert_int_equal(count(fd), 0);
	for (int i = 0; i < 3; i++) {
		sendto(out, "x", 1, 0, (struct sockaddr *)&name, sizeof(name));
		sendto(out, "x", 1, 0, (struct sockaddr *)&other, sizeof(other));
	}
	/* On `lo` each goes out and comes in. */
	assert_int_equal(count(fd), 6);
}

static void test_netlink(void **state)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof(to);
	PFS_CLOSE int in = -1, out = -1;

	(void)state;
	need_net();
	in = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	out = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	assert_int_equal(bind(in, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(in, (struct sockaddr *)&to, &size), 0);
	assert_int_equal(connect(out, (struct sockaddr *)&to, size), 0);
	say(out, "y before");
	attach(in, "bpf", yes, 0);
	send(out, "no", 2, 0);
	say(out, "yes");
	expect(in, "yes");
	assert_false(is_waiting(in));
}

static void test_locked(void **state)
{
	struct pf_prog *prog = program("bpf", yes);
	struct pf_error error;
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(pf_attach(fd[1], prog, PF_ATTACH_LOCK, &error), 0);
	assert_int_equal(pf_attach(fd[1], prog, 0, &error), -EPERM);
	assert_non_null(strstr(error.text, "locked"));
	say(fd[0], "no");
	say(fd[0], "yes");
	expect(fd[1], "yes");
	close(fd[0]);
	close(fd[1]);
	pf_unref(prog);
}

/* Comparisons of different bytes in a row. */
static struct pf_prog *long_program(unsigned n)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_prog *prog;

	for (unsigned i = 0; i < n; i++)
		pfs_buf_printf(&text, "ldb [%u]\njeq #%u, go%u\nret #%u\ngo%u: ", i * 3,
			       i % 250 + 1, i, i + 1, i);
	pfs_buf_str(&text, "ret #0\n");
	prog = program("bpf", text.data);
	return prog;
}

static void test_refused(void **state)
{
	struct pf_prog *prog = program("bpf", yes), *large = long_program(2000),
		       *room = long_program(1000);
	struct pf_error error;
	int fd[2], file = open("/dev/null", O_RDWR | O_CLOEXEC), r;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(pf_attach(file, prog, 0, &error), -ENOTSOCK);
	assert_non_null(strstr(error.text, "no socket"));
	assert_int_equal(pf_attach(-1, prog, 0, &error), -EBADF);
	assert_int_equal(pf_attach(fd[1], prog, 64, &error), -EINVAL);
	/* More than the kernel's 4096 instructions. */
	attach(fd[1], "bpf", yes, 0);
	assert_int_equal(pf_attach(fd[1], large, 0, &error), -E2BIG);
	assert_true(error.text[0]);
	/* So many that are made of them there that there may be no memory: it depends on a sysctl. */
	r = pf_attach(fd[1], room, 0, &error);
	if (r < 0) {
		assert_int_equal(r, -ENOMEM);
		assert_non_null(strstr(error.text, "net.core.optmem_max"));
		/* It has the old one still. */
		say(fd[0], "no");
		say(fd[0], "yes");
		expect(fd[1], "yes");
	}
	print_message("a filter that needs much memory: %s\n", r < 0 ? error.text : "taken");
	close(file);
	close(fd[0]);
	close(fd[1]);
	pf_unref(prog);
	pf_unref(large);
	pf_unref(room);
}

/* --- the ring of a packet socket ------------------------------------------------------------- */

/* Frames that the filter of the ring has let in since it was last asked. */
static unsigned ring_count(int fd)
{
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);

	assert_int_equal(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size), 0);
	return stats.tp_packets;
}

static void send_all(int out, const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	for (int i = 0; i < 5; i++) {
		sendto(out, "x", 1, 0, (const struct sockaddr *)a, sizeof(*a));
		sendto(out, "x", 1, 0, (const struct sockaddr *)b, sizeof(*b));
	}
}

static void test_packetring(void **state)
{
	struct packetring_options options = { .snaplen = 100,
					      .directions = PFS_REC_IN | PFS_REC_OUT,
					      .latency = 1000000,
					      .bytes = 4 << 20 };
	struct pf_insn a = { .code = 0x16 };
	struct sockaddr_in name, other;
	PFS_CLOSE int in = -1, out = -1, fd = -1;
	struct packetring *ring;
	struct pf_insn *insns;
	struct pf_prog *prog;
	char text[80];
	size_t n;

	(void)state;
	need_net();
	in = udp_socket(&name);
	out = udp_socket(&other);
	fd = packet_socket(SOCK_RAW);
	assert_int_equal(packetring_new(fd, &options, &ring), 0);
	ring_count(fd);
	send_all(out, &name, &other);
	assert_int_equal(ring_count(fd), 20);
	snprintf(text, sizeof(text), "udp dst port %u", ntohs(name.sin_port));
	prog = program("pcap", text);
	assert_int_equal(pf_emit_cbpf(prog, PF_CBPF_LINUX, &insns, &n, NULL), 0);
	assert_int_equal(packetring_filter(ring, insns, n), 0);
	send_all(out, &name, &other);
	assert_int_equal(ring_count(fd), 10);
	/* What it cannot have it leaves as it was. */
	assert_int_equal(packetring_filter(ring, &a, 1), -EINVAL);
	assert_int_equal(packetring_filter(ring, insns, 4096), -E2BIG);
	send_all(out, &name, &other);
	assert_int_equal(ring_count(fd), 10);
	assert_int_equal(packetring_filter(ring, NULL, 0), 0);
	send_all(out, &name, &other);
	assert_int_equal(ring_count(fd), 20);
	free(insns);
	pf_unref(prog);
	packetring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix),	cmocka_unit_test(test_udp),
		cmocka_unit_test(test_tcp),	cmocka_unit_test(test_packet),
		cmocka_unit_test(test_netlink), cmocka_unit_test(test_locked),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_packetring),
	};

	return cmocka_run_group_tests(tests, enter_net, NULL);
}
