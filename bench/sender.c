/*
 * sender - UDP packets into a device, as fast as it takes them or at a fixed rate
 *
 *	sender -i IFACE [-n NETNS] [-s BYTES] [-p PORTS] [-r PPS] [-t SECONDS] [-c CPU] [-b BATCH]
 *	       [-S IP] [-D IP] [-m MAC] [-q]
 *
 *	-i  device to send on                    -n  network namespace of it (/run/netns/NAME)
 *	-s  bytes of each frame (default 60)     -p  destination ports 20000.. (default 64)
 *	-r  packets per second (default 0: closed loop, as fast as sendmmsg returns)
 *	-t  seconds (default 2)                  -c  CPU to run on (default 0, -1: any)
 *	-b  packets a call (default 64)          -S -D  addresses (default 10.99.0.1, 10.99.0.2)
 *	-m  destination MAC (default: broadcast) -q  through the qdisc (default: PACKET_QDISC_BYPASS)
 *
 * IP checksums are right: a receiver that drops wrong ones early flatters the figures. The identification
 * field counts up, so that a receiver can tell what is missing. Prints one JSON object: packets, seconds,
 * pps, errors, and the tenth percentile and the median of what one packet took in sendmmsg (ns): on a machine
 * that others use too these say more than pps.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_MAX = 1024, FRAME_MAX = 65535, HEADERS = 14 + 20 + 8, COST_MAX = 20000 };

struct options {
	const char *iface;
	const char *netns;
	size_t size;
	unsigned ports;
	double rate;
	double seconds;
	int cpu;
	unsigned batch;
	const char *from;
	const char *to;
	const char *mac;
	bool qdisc;
};

static void die(const char *what)
{
	fprintf(stderr, "sender: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void store16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned ip_sum(const uint8_t *p)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void number(uint8_t *frame, unsigned id, unsigned port)
{
	store16(frame + 14 + 4, id);
	store16(frame + 14 + 10, 0);
	store16(frame + 14 + 10, ip_sum(frame + 14));
	store16(frame + 14 + 20 + 2, port);
}

static void build(uint8_t *frame, const struct options *o, const uint8_t *own_mac)
{
	uint8_t *ip = frame + 14, *udp = ip + 20;
	unsigned mac[6] = { 255, 255, 255, 255, 255, 255 };

	if (o->mac)
		sscanf(o->mac, "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
		       &mac[5]);
	for (int i = 0; i < 6; i++)
		frame[i] = (uint8_t)mac[i];
	memcpy(frame + 6, own_mac, 6);
	store16(frame + 12, 0x0800);
	ip[0] = 0x45;
	store16(ip + 2, (unsigned)o->size - 14);
	ip[8] = 64;
	ip[9] = 17;
	inet_pton(AF_INET, o->from, ip + 12);
	inet_pton(AF_INET, o->to, ip + 16);
	store16(udp, 10000);
	store16(udp + 4, (unsigned)o->size - 14 - 20);
}

static int open_device(const struct options *o, uint8_t *ret_mac)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	struct ifreq ifr = { 0 };
	char path[300];
	int s, on = 1;

	if (o->netns) {
		snprintf(path, sizeof(path), "/run/netns/%s", o->netns);
		s = open(path, O_RDONLY | O_CLOEXEC);
		if (s < 0 || setns(s, CLONE_NEWNET) < 0)
			die(path);
		close(s);
	}
	s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s < 0)
		die("packet socket");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", o->iface);
	if (ioctl(s, SIOCGIFHWADDR, &ifr) < 0)
		die(o->iface);
	memcpy(ret_mac, ifr.ifr_hwaddr.sa_data, 6);
	if (ioctl(s, SIOCGIFINDEX, &ifr) < 0)
		die(o->iface);
	to.sll_ifindex = ifr.ifr_ifindex;
	if (!o->qdisc && setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		die("PACKET_QDISC_BYPASS");
	if (bind(s, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(o->iface);
	return s;
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* Until then nothing is to be sent, at a fixed rate: sleeps if it is far, spins if it is near. */
static void pace(double due)
{
	for (;;) {
		double left = due - now();

		if (left <= 0)
			return;
		if (left > 200e-6)
			usleep((unsigned)((left - 100e-6) * 1e6));
	}
}

/* Calls by what a packet took in them, in ns; the last is "more". */
static uint64_t cost[COST_MAX];

static unsigned cost_at(double part)
{
	uint64_t all = 0, below = 0;
	unsigned i;

	for (i = 0; i < COST_MAX; i++)
		all += cost[i];
	for (i = 0; i < COST_MAX - 1; i++) {
		below += cost[i];
		if ((double)below >= part * (double)all)
			break;
	}
	return i;
}

static void cost_add(double seconds, int packets)
{
	double ns = seconds * 1e9 / packets;

	cost[ns < COST_MAX ? (unsigned)ns : COST_MAX - 1]++;
}

static void run(const struct options *o, int s, const uint8_t *own_mac)
{
	static struct mmsghdr msgs[BATCH_MAX];
	static struct iovec iov[BATCH_MAX];
	uint8_t *frames = calloc(o->batch, o->size);
	uint64_t sent = 0, errors = 0;
	double start, end;

	if (!frames)
		die("memory");
	for (unsigned i = 0; i < o->batch; i++) {
		build(frames + i * o->size, o, own_mac);
		iov[i] = (struct iovec){ frames + i * o->size, o->size };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	start = now();
	end = start + o->seconds;
	while (now() < end) {
		double before;
		int n;

		if (o->rate > 0)
			pace(start + (double)sent / o->rate);
		for (unsigned i = 0; i < o->batch; i++)
			number(iov[i].iov_base, (unsigned)(sent + i),
			       20000 + (unsigned)((sent + i) % o->ports));
		before = now();
		n = sendmmsg(s, msgs, o->batch, 0);
		if (n > 0) {
			sent += (unsigned)n;
			cost_add(now() - before, n);
		} else if (++errors > 1000000) {
			die("sendmmsg");
		}
	}
	end = now();
	printf("{\"packets\":%llu,\"seconds\":%.6f,\"pps\":%.0f,\"size\":%zu,\"errors\":%llu,"
	       "\"ns_p10\":%u,\"ns_p50\":%u}\n",
	       (unsigned long long)sent, end - start, (double)sent / (end - start), o->size,
	       (unsigned long long)errors, cost_at(0.1), cost_at(0.5));
	free(frames);
}

static int usage(void)
{
	fputs("usage: sender -i IFACE [-n NETNS] [-s BYTES] [-p PORTS] [-r PPS] [-t SECONDS]\n"
	      "              [-c CPU] [-b BATCH] [-S IP] [-D IP] [-m MAC] [-q]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = {
		.size = 60, .ports = 64, .seconds = 2, .batch = 64, .from = "10.99.0.1", .to = "10.99.0.2"
	};
	uint8_t own_mac[6];
	int c, s;

	while ((c = getopt(argc, argv, "i:n:s:p:r:t:c:b:S:D:m:q")) != -1) {
		switch (c) {
		case 'i':
			o.iface = optarg;
			break;
		case 'n':
			o.netns = optarg;
			break;
		case 's':
			o.size = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			o.ports = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			o.rate = strtod(optarg, NULL);
			break;
		case 't':
			o.seconds = strtod(optarg, NULL);
			break;
		case 'c':
			o.cpu = (int)strtol(optarg, NULL, 10);
			break;
		case 'b':
			o.batch = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'S':
			o.from = optarg;
			break;
		case 'D':
			o.to = optarg;
			break;
		case 'm':
			o.mac = optarg;
			break;
		case 'q':
			o.qdisc = true;
			break;
		default:
			return usage();
		}
	}
	if (!o.iface || optind != argc || o.size < HEADERS || o.size > FRAME_MAX || o.ports < 1 ||
	    o.ports > 40000 || o.batch < 1 || o.batch > BATCH_MAX)
		return usage();
	pin(o.cpu);
	s = open_device(&o, own_mac);
	run(&o, s, own_mac);
	close(s);
	return 0;
}
