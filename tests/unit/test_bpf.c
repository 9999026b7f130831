/*
 * bpf - the instruction builder; the capture programs loaded and run over packets of every size; the device and
 * netfilter sources over `lo` of a network namespace of the test's own
 *
 * What needs the right to load programs is skipped without it.
 */
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "source/bpf.h"
#include "source/bpfcapture.h"
#include "source/bpfring.h"
#include "feed.h"

extern const struct pfs_source pfs_source_dev, pfs_source_netfilter_in, pfs_source_netfilter_out;

/* --- the builder ----------------------------------------------------------------------------- */

static void jumps_find_their_labels(void **state)
{
	struct kcode c KCODE_CLEANUP = { 0 };
	unsigned back = kcode_label(&c), ahead = kcode_label(&c);

	(void)state;
	kcode_place(&c, back);
	kcode_mov_imm(&c, R0, 7);
	kcode_jump_imm(&c, BPF_JGT, R0, 9, ahead);
	kcode_jump(&c, back);
	kcode_map(&c, R1, 3);
	kcode_place(&c, ahead);
	kcode_exit(&c);
	assert_int_equal(kcode_finish(&c), 0);
	assert_int_equal(c.n, 6);
	assert_int_equal(c.insn[1].off, 3);
	assert_int_equal(c.insn[2].off, -3);
}

static void a_label_nobody_placed_is_an_error(void **state)
{
	struct kcode c KCODE_CLEANUP = { 0 };

	(void)state;
	kcode_jump(&c, kcode_label(&c));
	assert_int_equal(kcode_finish(&c), -EINVAL);
}

static void too_many_instructions_are_an_error(void **state)
{
	struct kcode c KCODE_CLEANUP = { 0 };

	(void)state;
	for (unsigned i = 0; i <= KCODE_MAX; i++)
		kcode_mov_imm(&c, R0, 0);
	assert_int_equal(kcode_finish(&c), -E2BIG);
}

static void the_listing_reads(void **state)
{
	struct kcode c KCODE_CLEANUP = { 0 };
	struct pfs_buf text PFS_BUF = { 0 };
	unsigned end = kcode_label(&c);

	(void)state;
	kcode_note(&c, "all of them");
	kcode_mov(&c, R6, R1);
	kcode_load(&c, BPF_W, R0, R6, 4);
	kcode_be(&c, R0, 16);
	kcode_alu_imm(&c, BPF_ADD, R0, -2);
	kcode_store(&c, BPF_H, R10, -8, R0);
	kcode_store_imm(&c, BPF_DW, R10, -16, 5);
	kcode_atomic_add(&c, R7, 8, R1);
	kcode_jump_reg(&c, BPF_JLT, R0, R1, end);
	kcode_map(&c, R1, 12);
	kcode_call(&c, BPF_FUNC_ktime_get_ns);
	kcode_kfunc(&c, 77);
	kcode_place(&c, end);
	kcode_exit(&c);
	assert_int_equal(kcode_finish(&c), 0);
	kcode_print(&c, &text);
	assert_string_equal(text.data, "; all of them\n"
				       "    0: r6 = r1\n"
				       "    1: r0 = *(u32 *)(r6 +4)\n"
				       "    2: r0 = be16 r0\n"
				       "    3: r0 += -2\n"
				       "    4: *(u16 *)(r10 -8) = r0\n"
				       "    5: *(u64 *)(r10 -16) = 5\n"
				       "    6: *(u64 *)(r7 +8) += r1\n"
				       "    7: if r0 < r1 goto 12\n"
				       "    8: r1 = map 12\n"
				       "   10: call ktime_get_ns\n"
				       "   11: call kernel function 77\n"
				       "   12: exit\n");
}

/* --- programs in the kernel -------------------------------------------------------------------- */

static struct kcap_spec spec_of(enum kcap_kind kind)
{
	return (struct kcap_spec){
		.kind = kind,
		.snaplen = KCAP_SNAPLEN,
		.directions = PFS_REC_IN | PFS_REC_OUT,
		.flags = PFS_REC_OUT,
		.ring_bytes = 1 << 20,
	};
}

/* Skips the test where programs cannot be loaded. */
static struct kcap *capture_new(const struct kcap_spec *spec)
{
	struct pfs_diag diag = { 0 };
	struct kcap *kcap;
	int r = kcap_new(spec, &kcap, &diag);

	if (r == -EPERM || r == -ENOSYS || r == -EOPNOTSUPP) {
		print_message("%s\n", diag.text);
		skip();
	}
	if (r < 0)
		fail_msg("%s", diag.text);
	return kcap;
}

static void programs_pass_the_verifier(void **state)
{
	(void)state;
	for (int kind = KCAP_PACKET; kind <= KCAP_NETFILTER; kind++) {
		for (unsigned bits = 0; bits < 8; bits++) {
			struct kcap_spec spec = spec_of((enum kcap_kind)kind);
			struct kcap *kcap;

			if (bits & 1)
				spec.directions = PFS_REC_IN;
			spec.loopback = bits & 2 ? 1 : 0;
			if (bits & 4)
				spec.snaplen = 1;
			spec.flags = bits & 1 ? PFS_REC_IN : PFS_REC_OUT;
			kcap = capture_new(&spec);
			assert_int_equal(kcap->generation, 1);
			assert_int_equal(kcap_prepare(kcap, NULL, NULL), 0);
			assert_int_equal(kcap->generation, 1);
			assert_int_equal(kcap_commit(kcap), 0);
			assert_int_equal(kcap->generation, 2);
			kcap_free(kcap);
		}
	}
}

static struct pfs_feed *test_feed; /* of the test that runs */

static int one_origin(void *arg, const struct pfs_record *rec, uint16_t *ret_origin)
{
	struct pfs_origin origin = { .link_type = PFS_LINK_RAW };

	(void)arg;
	(void)rec;
	return pfs_feed_origin(test_feed, &origin, ret_origin);
}

/* Runs the consumer until n records have come. */
static void consume(struct bpfring *b, struct pfs_feed *feed, size_t n)
{
	struct bpfring_ops ops = { .origin = one_origin, .fd = -1 };

	test_feed = feed;
	feed->stop_after = n;
	if (atomic_load(&feed->n) >= n)
		return;
	assert_int_equal(bpfring_run(b, &ops), 0);
	assert_true(atomic_load(&feed->n) >= n);
}

/* A socket filter run by hand sees what follows the Ethernet header. */
static void run_packet(const struct kcap *kcap, const uint8_t *frame, size_t n)
{
	uint32_t value = 99;

	assert_int_equal(kbpf_prog_run(kcap->stub, frame, n, &value), 0);
	assert_int_equal(value, 0);
}

static void fill(uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + seed);
	p[12] = 0x88;
	p[13] = 0xb5;
}

static void every_size_is_copied_whole(void **state)
{
	struct kcap_spec spec = spec_of(KCAP_PACKET);
	struct kcap *kcap = capture_new(&spec);
	struct pfs_feed *feed = feed_new();
	uint8_t frame[3000];
	struct bpfring *b;
	size_t n = 0;

	(void)state;
	assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
	for (size_t len = 15; len < sizeof(frame); len += len < 700 ? 1 : 13) {
		fill(frame, len, (unsigned)len);
		run_packet(kcap, frame, len);
		n++;
	}
	consume(b, feed, n);
	assert_int_equal(feed->n, n);
	n = 0;
	for (size_t len = 15; len < sizeof(frame); len += len < 700 ? 1 : 13, n++) {
		fill(frame, len, (unsigned)len);
		assert_int_equal(feed->kept[n].len, len - 14);
		assert_int_equal(feed->kept[n].meta.wire_len, len - 14);
		assert_memory_equal(feed->kept[n].bytes, frame + 14, len - 14);
		assert_true(n == 0 || feed->kept[n].meta.time >= feed->kept[n - 1].meta.time);
	}
	bpfring_free(b);
	kcap_free(kcap);
	feed_free(feed);
}

static void snaplen_cuts(void **state)
{
	static const uint32_t lens[] = { 1, 20, 63, 64, 65, 500 };
	uint8_t frame[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct kcap_spec spec = spec_of(KCAP_PACKET);
		struct pfs_feed *feed = feed_new();
		struct kcap *kcap;
		struct bpfring *b;

		spec.snaplen = lens[i];
		kcap = capture_new(&spec);
		assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
		fill(frame, sizeof(frame), 3);
		run_packet(kcap, frame, sizeof(frame));
		consume(b, feed, 1);
		assert_int_equal(feed->kept[0].len, pfs_min(lens[i], sizeof(frame) - 14));
		assert_int_equal(feed->kept[0].meta.wire_len, sizeof(frame) - 14);
		bpfring_free(b);
		kcap_free(kcap);
		feed_free(feed);
	}
}

/* Filter 0 accepts everything, filter 1 packets of an even length; those that filter `wanted` accepts are copied. */
static void even_body(struct kcap_body *body, unsigned wanted, uint32_t generation)
{
	struct pf_unit *u = &body->unit;
	pf_blk first, even, end;
	pf_val odd;

	*body = (struct kcap_body){ .words = 2, .plain = true, .generation = generation };
	pf_unit_init(u);
	u->nresult = 65;
	end = pf_block(u);
	even = pf_block(u);
	first = pf_block(u);
	pf_block_stop(u, end);
	pf_block_result(u, even, 1, pf_const(u, 1));
	pf_block_jump(u, even, end);
	pf_block_result(u, first, 0, pf_const(u, 1));
	odd = pf_binary(u, PF_OP_AND, pf_value(u, PF_OP_LEN, 0, 0, 0), pf_const(u, 1));
	pf_block_branch(u, first, odd, end, even);
	u->entry = first;
	assert_int_equal(u->err, 0);
	body->wanted[0] = 1u << wanted;
	body->counted[0] = 3u ^ body->wanted[0];
}

static void swap(struct kcap *kcap, unsigned wanted, uint32_t generation)
{
	struct kcap_body body;
	struct pfs_diag diag = { "" };

	even_body(&body, wanted, generation);
	if (kcap_prepare(kcap, &body, &diag) < 0)
		fail_msg("%s", diag.text);
	assert_int_equal(kcap_commit(kcap), 0);
}

static void a_body_decides_and_an_empty_slot_passes_on(void **state)
{
	struct kcap_spec spec = spec_of(KCAP_PACKET);
	struct kcap *kcap = capture_new(&spec);
	struct pfs_feed *feed = feed_new();
	struct bpfring_stats stats;
	struct pfs_tally tally;
	struct bpfring *b;
	uint8_t frame[200];

	(void)state;
	assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
	swap(kcap, 1, 1);
	for (size_t len = 100; len < 200; len++) {
		fill(frame, len, 0);
		run_packet(kcap, frame, len);
	}
	assert_int_equal(kbpf_map_unset(kcap->array, &(uint32_t){ 0 }), 0);
	run_packet(kcap, frame, 100);
	consume(b, feed, 50);
	assert_int_equal(feed->n, 50);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(feed->kept[i].len % 2, 0);
	/* What nobody wants is counted for who accepts it. */
	kcap_passed(kcap, 0, &tally);
	assert_int_equal(tally.records, 50);
	assert_int_equal(tally.bytes, 50 * (101 + 199) / 2 - 50 * 14);
	kcap_passed(kcap, 1, &tally);
	assert_int_equal(tally.records, 0);
	bpfring_stats(b, &stats);
	assert_int_equal(stats.seen, 100);
	assert_int_equal(stats.copied, 50);
	bpfring_free(b);
	kcap_free(kcap);
	feed_free(feed);
}

static void move_to_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void cpus_merge_in_order_of_time(void **state)
{
	struct kcap_spec spec = spec_of(KCAP_PACKET);
	struct kcap *kcap = capture_new(&spec);
	struct pfs_feed *feed = feed_new();
	struct bpfring_stats stats;
	struct bpfring *b;
	uint8_t frame[60];
	cpu_set_t before;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned cpu = kcap->ring[i / 7 % kcap->nring].cpu;

		if (i % 7 == 0 && CPU_ISSET(cpu, &before))
			move_to_cpu(cpu);
		fill(frame, sizeof(frame), 0);
		be32_store(frame + 20, i);
		run_packet(kcap, frame, sizeof(frame));
	}
	consume(b, feed, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(be32_load(feed->kept[i].bytes + 6), i);
	bpfring_stats(b, &stats);
	assert_int_equal(stats.seen, 1000);
	assert_int_equal(stats.reordered, 0);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	bpfring_free(b);
	kcap_free(kcap);
	feed_free(feed);
}

static void what_does_not_fit_is_counted(void **state)
{
	struct kcap_spec spec = spec_of(KCAP_PACKET);
	struct kcap *kcap = capture_new(&spec);
	struct pfs_feed *feed = feed_new();
	struct bpfring_stats stats;
	struct bpfring *b;
	uint8_t frame[3000];
	cpu_set_t before;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (unsigned i = kcap->nring; i-- > 0;)
		if (CPU_ISSET(kcap->ring[i].cpu, &before))
			move_to_cpu(kcap->ring[i].cpu);
	assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
	fill(frame, sizeof(frame), 0);
	for (unsigned i = 0; i < 1000; i++)
		run_packet(kcap, frame, sizeof(frame));
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	bpfring_stats(b, &stats);
	assert_int_equal(stats.seen, 1000);
	assert_in_range(stats.lost, 600, 700); /* a MiB holds 3,1xx bytes 337 times */
	consume(b, feed, 1000 - stats.lost);
	assert_int_equal(feed->n + feed->lost, 1000);
	bpfring_free(b);
	kcap_free(kcap);
	feed_free(feed);
}

/* --- sources, over lo of a namespace of our own ---------------------------------------------------- */

static int enter_namespace(void **state)
{
	PFS_CLOSE int s = -1;
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0; /* the tests will say why they cannot */
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return s >= 0 && ioctl(s, SIOCSIFFLAGS, &ifr) == 0 ? 0 : -1;
}

/* A UDP datagram to a port that somebody (we) has open, so that nothing answers. */
static void send_datagrams(unsigned n, size_t len)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	PFS_CLOSE int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	PFS_CLOSE int out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(to);
	uint8_t bytes[2000];

	assert_int_equal(bind(in, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(in, (struct sockaddr *)&to, &size), 0);
	for (unsigned i = 0; i < n; i++) {
		memset(bytes, (int)i, len);
		assert_int_equal(sendto(out, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
	}
}

struct running {
	const struct pfs_source *source;
	void *state;
	struct pfs_feed *feed;
	pthread_t thread;
};

static void *run_source(void *arg)
{
	struct running *run = arg;

	return (void *)(intptr_t)run->source->run(run->state, run->feed);
}

/* Starts it, sends n datagrams, waits for n records, stops it. */
static struct pfs_feed *capture(const struct pfs_source *source, const char *name, unsigned n,
				size_t len, struct pfs_buf *ret_program)
{
	struct running run = { .source = source, .feed = feed_new() };
	struct pfs_args args PFS_CLEANUP(pfs_args_release) = { 0 };
	struct pfs_place place = { 0 };
	struct pfs_diag diag = { 0 };
	void *result;
	int r;

	run.state = calloc(1, source->state_size);
	assert_int_equal(pfs_args_parse(name, source->params, &args, &diag), 0);
	assert_int_equal(source->init(run.state, source->name, &args, &place, &diag), 0);
	r = source->start(run.state, run.feed, &diag);
	if (r < 0) {
		source->fini(run.state);
		free(run.state);
		feed_free(run.feed);
		if (r != -EPERM && r != -EOPNOTSUPP)
			fail_msg("%s", diag.text);
		print_message("%s\n", diag.text);
		skip();
	}
	run.feed->stop_after = n;
	assert_int_equal(pthread_create(&run.thread, NULL, run_source, &run), 0);
	send_datagrams(n, len);
	for (int i = 0; i < 500 && atomic_load(&run.feed->n) < n; i++)
		usleep(10000);
	if (ret_program)
		source->program(run.state, ret_program);
	feed_stop(run.feed);
	assert_int_equal(pthread_join(run.thread, &result), 0);
	assert_null(result);
	source->stop(run.state);
	source->fini(run.state);
	free(run.state);
	assert_int_equal(run.feed->n, n);
	assert_int_equal(run.feed->lost, 0);
	return run.feed;
}

static void check_frames(const struct pfs_feed *feed, unsigned n, size_t header, size_t len,
			 unsigned direction)
{
	uint64_t now = pfs_clock_real();

	for (unsigned i = 0; i < n; i++) {
		const struct kept *kept = &feed->kept[i];

		assert_int_equal(kept->len, header + 28 + len);
		assert_int_equal(kept->meta.wire_len, kept->len);
		assert_int_equal(kept->bytes[header], 0x45);
		for (size_t b = 0; b < len; b++)
			assert_int_equal(kept->bytes[header + 28 + b], (uint8_t)i);
		assert_int_equal(kept->flags & (PFS_REC_IN | PFS_REC_OUT), direction);
		assert_true(kept->meta.time <= now && now - kept->meta.time < 60000000000);
	}
}

static void lo_shows_each_packet_once(void **state)
{
	struct pfs_buf program PFS_BUF = { 0 };
	struct pfs_feed *feed = capture(&pfs_source_dev, "dev:lo", 100, 200, &program);

	(void)state;
	check_frames(feed, 100, 14, 200, PFS_REC_IN);
	assert_int_equal(feed->kept[0].link_type, PFS_LINK_ETHERNET);
	assert_string_equal(feed->kept[0].name, "lo");
	assert_true(feed->kept[0].flags & PFS_REC_CSUM); /* lo never fills them in */
	assert_non_null(strstr(program.data, "call ringbuf_submit"));
	feed_free(feed);
}

static void lo_shows_what_goes_out_when_asked(void **state)
{
	struct pfs_feed *feed = capture(&pfs_source_dev, "dev:lo,direction=out", 50, 10, NULL);

	(void)state;
	check_frames(feed, 50, 14, 10, PFS_REC_OUT);
	feed_free(feed);
}

static void any_names_the_device(void **state)
{
	struct pfs_feed *feed = capture(&pfs_source_dev, "dev:any", 20, 10, NULL);

	(void)state;
	check_frames(feed, 20, 14, 10, PFS_REC_IN);
	assert_string_equal(feed->kept[0].name, "lo");
	feed_free(feed);
}

static void lo_without_ebpf(void **state)
{
	struct pfs_buf program PFS_BUF = { 0 };
	struct pfs_feed *feed;

	(void)state;
	setenv("PIPESFS_NO_EBPF", "1", 1);
	feed = capture(&pfs_source_dev, "dev:lo", 100, 200, &program);
	unsetenv("PIPESFS_NO_EBPF");
	check_frames(feed, 100, 14, 200, PFS_REC_IN);
	assert_true(feed->kept[0].flags & PFS_REC_CSUM);
	assert_non_null(strstr(program.data, "no eBPF"));
	feed_free(feed);
}

static void hooks_show_ip_packets(void **state)
{
	struct pfs_feed *feed;

	(void)state;
	feed = capture(&pfs_source_netfilter_in, "netfilter_in", 100, 1500, NULL);
	check_frames(feed, 100, 0, 1500, PFS_REC_IN);
	assert_int_equal(feed->kept[0].link_type, PFS_LINK_RAW);
	feed_free(feed);
	feed = capture(&pfs_source_netfilter_out, "netfilter_out", 100, 30, NULL);
	check_frames(feed, 100, 0, 30, PFS_REC_OUT);
	assert_string_equal(feed->kept[0].name, "netfilter_out");
	feed_free(feed);
}

static void refused(const struct pfs_source *source, const char *name, int err, const char *word)
{
	struct pfs_args args PFS_CLEANUP(pfs_args_release) = { 0 };
	PFS_FREE void *state = calloc(1, source->state_size);
	struct pfs_place place = { 0 };
	struct pfs_diag diag = { 0 };
	struct pfs_feed *feed = feed_new();
	int r;

	assert_int_equal(pfs_args_parse(name, source->params, &args, &diag), 0);
	r = source->init(state, source->name, &args, &place, &diag);
	if (r == 0) {
		r = source->start(state, feed, &diag);
		assert_true(r < 0);
		source->fini(state);
	}
	feed_free(feed);
	if (r == -EPERM && err != EPERM) {
		print_message("%s\n", diag.text);
		skip();
	}
	assert_int_equal(r, -err);
	assert_non_null(strstr(diag.text, word));
}

static void refusals_say_why(void **state)
{
	(void)state;
	refused(&pfs_source_dev, "dev:lo,direction=up", EINVAL, "direction=up");
	refused(&pfs_source_dev, "dev:lo,promisc=maybe", EINVAL, "promisc=maybe");
	refused(&pfs_source_dev, "dev:lo,snaplen=0", EINVAL, "snaplen=0");
	refused(&pfs_source_dev, "dev:alongerdevicename", EINVAL, "name of a device");
	refused(&pfs_source_netfilter_in, "netfilter_in,prio=first", EINVAL, "prio=first");
	refused(&pfs_source_dev, "dev:nosuchdev", ENODEV, "nosuchdev");
	refused(&pfs_source_dev, "dev:lo,netns=no-such-namespace", ENOENT, "no-such-namespace");
	refused(&pfs_source_dev, "dev:lo,netns=%2e%2e", EINVAL, "name of a namespace");
}

struct numbered {
	const struct kcap *kcap;
	unsigned n;
};

static void *run_numbered(void *arg)
{
	struct numbered *job = arg;
	uint8_t frame[60];
	uint32_t value;

	for (unsigned i = 0; i < job->n; i++) {
		fill(frame, sizeof(frame), 0);
		be32_store(frame + 20, i);
		if (kbpf_prog_run(job->kcap->stub, frame, sizeof(frame), &value) < 0)
			return job;
	}
	return NULL;
}

/* Packets pass while programs are exchanged: each is seen by exactly one. */
static void a_swap_loses_and_repeats_nothing(void **state)
{
	struct kcap_spec spec = spec_of(KCAP_PACKET);
	struct kcap *kcap = capture_new(&spec);
	struct numbered job = { .kcap = kcap, .n = RECORDS_MAX };
	struct pfs_feed *feed = feed_new();
	struct bpfring *b;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(bpfring_new(kcap, feed, 1000000, &b), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_numbered, &job), 0);
	for (uint32_t generation = 1; generation < 20; generation++)
		swap(kcap, 0, generation);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	consume(b, feed, RECORDS_MAX);
	for (unsigned i = 0; i < RECORDS_MAX; i++)
		assert_int_equal(be32_load(feed->kept[i].bytes + 6), i);
	bpfring_free(b);
	kcap_free(kcap);
	feed_free(feed);
}

static void nothing_is_left(void **state)
{
	(void)state;
	for (int kind = KCAP_PACKET; kind <= KCAP_NETFILTER; kind++) {
		struct kcap_spec spec = spec_of((enum kcap_kind)kind);
		struct kcap *kcap = capture_new(&spec);
		uint32_t stub = kbpf_prog_id(kcap->stub), program = kbpf_prog_id(kcap->now.fd);

		assert_true(kbpf_prog_lives(stub) && kbpf_prog_lives(program));
		kcap_free(kcap);
		/* They go after a grace period. */
		for (int i = 0; i < 500 && (kbpf_prog_lives(stub) || kbpf_prog_lives(program)); i++)
			usleep(10000);
		assert_false(kbpf_prog_lives(stub) || kbpf_prog_lives(program));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_find_their_labels),
		cmocka_unit_test(a_label_nobody_placed_is_an_error),
		cmocka_unit_test(too_many_instructions_are_an_error),
		cmocka_unit_test(the_listing_reads),
		cmocka_unit_test(programs_pass_the_verifier),
		cmocka_unit_test(every_size_is_copied_whole),
		cmocka_unit_test(snaplen_cuts),
		cmocka_unit_test(a_body_decides_and_an_empty_slot_passes_on),
		cmocka_unit_test(cpus_merge_in_order_of_time),
		cmocka_unit_test(what_does_not_fit_is_counted),
		cmocka_unit_test(lo_shows_each_packet_once),
		cmocka_unit_test(lo_shows_what_goes_out_when_asked),
		cmocka_unit_test(any_names_the_device),
		cmocka_unit_test(lo_without_ebpf),
		cmocka_unit_test(hooks_show_ip_packets),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(a_swap_loses_and_repeats_nothing),
		cmocka_unit_test(nothing_is_left),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
