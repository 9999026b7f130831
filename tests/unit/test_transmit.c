/*
 * transmit - frames sent over `lo` of a network namespace of the test's own, and seen there byte for byte
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "graph/filter.h"

extern const struct pfs_filter pfs_filter_transmit;

static const struct pfs_filter *const transmit = &pfs_filter_transmit;

/* --- an emitter without a graph ----------------------------------------------------------------- */

static struct {
	uint64_t n;
	char reason[40];
} lost;

void pfs_emit_lost(struct pfs_emitter *out, const char *reason, uint64_t n)
{
	(void)out;
	lost.n += n;
	snprintf(lost.reason, sizeof(lost.reason), "%s", reason);
}

static uint64_t no_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	(void)owner;
	(void)ring;
	return want;
}

struct bench {
	struct pfs_rings *rings;
	struct pfs_ring *ring;
	struct pfs_origins origins;
	uint16_t ethernet, raw; /* origins */
	struct pfs_emitter out;
	void *state;
	int seen; /* a packet socket on lo */
};

static bool have_namespace;

static int enter_namespace(void **state)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	PFS_CLOSE int s = -1;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	have_namespace = s >= 0 && ioctl(s, SIOCSIFFLAGS, &ifr) == 0;
	return 0;
}

static void lo_up(bool up)
{
	PFS_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0 };

	assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
}

static int open_seen(void)
{
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = 1 };
	int size = 4 << 20;

	assert_true(s >= 0);
	at.sll_protocol = htons(ETH_P_ALL);
	assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return s;
}

static int init(struct bench *b, const char *name, unsigned flow, struct pfs_diag *diag)
{
	struct pfs_args args PFS_CLEANUP(pfs_args_release) = { 0 };
	struct pfs_place place = { .flow = (enum pfs_flow)flow, .uid = geteuid() };

	memset(b->state, 0, transmit->state_size);
	assert_int_equal(pfs_args_parse(name, transmit->params, &args, diag), 0);
	return transmit->init(b->state, &args, &place, diag);
}

static void bench_open(struct bench *b, const char *name)
{
	struct pfs_origin ethernet = { .link_type = PFS_LINK_ETHERNET },
			  raw = { .link_type = PFS_LINK_RAW };
	struct pfs_diag diag = { 0 };

	if (!have_namespace) {
		print_message("no right to make a network namespace\n");
		skip();
	}
	memset(&lost, 0, sizeof(lost));
	*b = (struct bench){ .state = calloc(1, transmit->state_size) };
	assert_int_equal(pfs_rings_new(&b->rings), 0);
	assert_int_equal(pfs_ring_new(b->rings, 4 << 20, no_limit, NULL, &b->ring), 0);
	assert_int_equal(pfs_origin_use(b->rings, &b->origins, &ethernet, &b->ethernet), 0);
	assert_int_equal(pfs_origin_use(b->rings, &b->origins, &raw, &b->raw), 0);
	b->out.rings = b->rings;
	b->seen = open_seen();
	if (init(b, name, PFS_FLOW_PACKETS, &diag) < 0)
		fail_msg("%s", diag.text);
}

static void bench_close(struct bench *b)
{
	transmit->fini(b->state);
	free(b->state);
	pfs_ring_free(b->ring);
	pfs_origins_release(b->rings, &b->origins);
	pfs_rings_free(b->rings);
	close(b->seen);
}

/* An Ethernet frame that nobody answers. */
static struct pfs_ref frame(struct bench *b, size_t len, unsigned seed, uint64_t time)
{
	struct pfs_record *rec;
	uint8_t *p;

	assert_int_equal(pfs_ring_reserve(b->ring, len, &rec), 0);
	p = (uint8_t *)(rec + 1);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i + seed);
	p[12] = 0x88;
	p[13] = 0xb5;
	rec->origin = b->ethernet;
	rec->time = time;
	pfs_ring_commit(b->ring, rec);
	return pfs_ref_of_record(b->ring, rec,
				 pfs_ring_pos(b->ring, rec, atomic_load(&b->ring->head)));
}

/* The next frame that went out. */
static void expect(struct bench *b, size_t len, unsigned seed)
{
	static uint8_t got[70000];
	struct sockaddr_ll from = { 0 };
	socklen_t size;
	ssize_t n;

	do {
		struct pollfd fd = { .fd = b->seen, .events = POLLIN };

		assert_int_equal(poll(&fd, 1, 5000), 1);
		size = sizeof(from);
		n = recvfrom(b->seen, got, sizeof(got), 0, (struct sockaddr *)&from, &size);
	} while (from.sll_pkttype != PACKET_OUTGOING);
	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++)
		if (i != 12 && i != 13)
			assert_int_equal(got[i], (uint8_t)(i + seed));
}

/* --- tests -------------------------------------------------------------------------------------- */

static void frames_leave_as_they_are(void **state)
{
	struct pfs_ref refs[PFS_BATCH];
	struct bench b;
	uint64_t wait = 0;

	(void)state;
	bench_open(&b, "transmit:lo");
	for (unsigned i = 0; i < 200; i++)
		refs[i] = frame(&b, 14 + i * 70, i, 0);
	assert_int_equal(transmit->pull(b.state, refs, 200, &b.out, &wait), 200);
	for (unsigned i = 0; i < 200; i++)
		expect(&b, 14 + i * 70, i);
	assert_int_equal(lost.n, 0);
	bench_close(&b);
}

static void what_cannot_be_sent_is_lost_with_its_reason(void **state)
{
	struct pfs_ref refs[3];
	struct bench b;
	uint64_t wait = 0;

	(void)state;
	bench_open(&b, "transmit:lo");
	refs[0] = frame(&b, 100, 1, 0);
	refs[1] = frame(&b, 66000, 2, 0);
	refs[2] = frame(&b, 100, 3, 0);
	assert_int_equal(transmit->pull(b.state, refs, 3, &b.out, &wait), 3);
	assert_int_equal(lost.n, 1);
	assert_string_equal(lost.reason, "too long");
	expect(&b, 100, 1);
	expect(&b, 100, 3);
	refs[1] = frame(&b, 100, 2, 0);
	refs[1].origin = b.raw;
	assert_int_equal(transmit->pull(b.state, refs, 3, &b.out, &wait), 3);
	assert_int_equal(lost.n, 2);
	assert_string_equal(lost.reason, "link type");
	lo_up(false);
	assert_int_equal(transmit->pull(b.state, refs, 1, &b.out, &wait), 1);
	lo_up(true);
	assert_int_equal(lost.n, 3);
	assert_string_equal(lost.reason, "network is down");
	bench_close(&b);
}

static void speed_keeps_the_spacing(void **state)
{
	const uint64_t ms = 1000000, first = 1700000000 * UINT64_C(1000000000);
	struct pfs_ref refs[3];
	struct bench b;
	uint64_t wait = 0, start = pfs_clock_mono();

	(void)state;
	bench_open(&b, "transmit:lo,speed=2x");
	refs[0] = frame(&b, 60, 0, first);
	refs[1] = frame(&b, 60, 1, first + 100 * ms);
	refs[2] = frame(&b, 60, 2, first - 5 * ms); /* out of order: at once */
	assert_int_equal(transmit->pull(b.state, refs, 3, &b.out, &wait), 1);
	assert_in_range(wait, 1, 50 * ms);
	while (transmit->pull(b.state, refs + 1, 2, &b.out, &wait) != 2)
		usleep((useconds_t)(wait / 1000) + 1);
	assert_true(pfs_clock_mono() - start >= 50 * ms);
	for (unsigned i = 0; i < 3; i++)
		expect(&b, 60, i);
	/* Another trace: its own first frame counts. */
	assert_true(transmit->control(b.state, &refs[0], NULL, &b.out));
	assert_int_equal(transmit->pull(b.state, refs + 1, 1, &b.out, &wait), 1);
	bench_close(&b);
}

static void a_rate_is_kept(void **state)
{
	struct pfs_ref refs[PFS_BATCH];
	uint64_t wait, start, took;
	size_t done = 0;
	struct bench b;

	(void)state;
	bench_open(&b, "transmit:lo,speed=1kpps");
	for (unsigned i = 0; i < 101; i++)
		refs[i] = frame(&b, 60, i, 0);
	start = pfs_clock_mono();
	while (done < 101) {
		wait = 0;
		done += transmit->pull(b.state, refs + done, 101 - done, &b.out, &wait);
		assert_true(done == 101 || wait <= 1000000);
		usleep(200);
	}
	took = pfs_clock_mono() - start;
	assert_in_range(took, 100000000, 2000000000);
	bench_close(&b);
}

static void refusals_say_why(void **state)
{
	struct bench b = { .state = calloc(1, transmit->state_size) };
	struct pfs_diag diag = { 0 };

	(void)state;
	assert_int_equal(init(&b, "transmit:lo,speed=fast", PFS_FLOW_PACKETS, &diag), -EINVAL);
	assert_int_equal(init(&b, "transmit:lo,speed=0x", PFS_FLOW_PACKETS, &diag), -EINVAL);
	assert_int_equal(init(&b, "transmit:lo,speed=nanx", PFS_FLOW_PACKETS, &diag), -EINVAL);
	assert_int_equal(init(&b, "transmit:waytoolongadevicename", PFS_FLOW_PACKETS, &diag), -ENODEV);
	if (have_namespace) {
		assert_int_equal(init(&b, "transmit:nosuch", PFS_FLOW_PACKETS, &diag), -ENODEV);
		assert_int_equal(init(&b, "transmit:lo", PFS_FLOW_IP, &diag), -EINVAL);
		assert_int_equal(init(&b, "transmit", PFS_FLOW_PACKETS, &diag), -ENODEV);
		assert_non_null(strstr(diag.text, "default route"));
	}
	free(b.state);
}

static void a_stranger_may_not_send(void **state)
{
	struct pfs_args args PFS_CLEANUP(pfs_args_release) = { 0 };
	struct pfs_place place = { .flow = PFS_FLOW_PACKETS, .uid = geteuid() + 12345 };
	PFS_FREE void *own = calloc(1, transmit->state_size);
	struct pfs_diag diag = { 0 };

	(void)state;
	assert_int_equal(pfs_args_parse("transmit:lo", transmit->params, &args, &diag), 0);
	assert_int_equal(transmit->init(own, &args, &place, &diag), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_leave_as_they_are),
		cmocka_unit_test(what_cannot_be_sent_is_lost_with_its_reason),
		cmocka_unit_test(speed_keeps_the_spacing),
		cmocka_unit_test(a_rate_is_kept),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(a_stranger_may_not_send),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
