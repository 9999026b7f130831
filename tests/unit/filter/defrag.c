/*
 * defrag: whole packets out of fragments in any order, and a reason for each fragment that becomes none
 */
#include "../rig.h"

#include "packet/defrag.h"

#define BASE "accept/unpcap/defrag"
#define SECOND UINT64_C(1000000000)

static uint64_t seed = 1;

static uint32_t below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % n;
}

/* --- datagrams and their fragments ------------------------------------------------------------------------------ */

struct datagram {
	bool six;
	unsigned extensions; /* IPv6: destination options of eight bytes, in front of the fragment header */
	uint32_t id;
	uint8_t tos;
	bool df;
	uint8_t data[65536];
	size_t len;
};

static void fill(struct datagram *g, bool six, uint32_t id, size_t len)
{
	*g = (struct datagram){ .six = six, .id = id, .len = len };
	for (size_t i = 0; i < len; i++)
		g->data[i] = (uint8_t)below(256);
	/* UDP, so that something is there to be dissected. */
	be16_store(g->data, 1000);
	be16_store(g->data + 2, 2000);
	be16_store(g->data + 4, (uint16_t)len);
}

static uint16_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* An Ethernet frame with [at, at + len) of it; whole: no fragment. Returns its length. */
static size_t frame_ip(const struct datagram *g, size_t at, size_t len, bool more, uint8_t *p)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00 };
	uint8_t *ip = p + 14;

	memcpy(p, head, 14);
	memset(ip, 0, 24);
	ip[0] = 0x46; /* one word of options */
	ip[1] = g->tos;
	be16_store(ip + 2, (uint16_t)(24 + len));
	be16_store(ip + 4, (uint16_t)g->id);
	be16_store(ip + 6, (uint16_t)((g->df ? 0x4000u : 0) | (more ? 0x2000u : 0) | at / 8));
	ip[8] = 64;
	ip[9] = 17;
	be32_store(ip + 12, 0x0a000001);
	be32_store(ip + 16, 0x0a000002);
	memset(ip + 20, 1, 4);
	be16_store(ip + 10, sum_of(ip, 24));
	memcpy(ip + 24, g->data + at, len);
	return 38 + len;
}

static size_t frame_ip6(const struct datagram *g, size_t at, size_t len, bool more, bool whole,
			uint8_t *p)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd };
	uint8_t *ip = p + 14, *next = ip + 6, *to = ip + 40;

	memcpy(p, head, 14);
	memset(ip, 0, 40);
	be16_store(ip, (uint16_t)(0x6000 | g->tos << 4));
	ip[7] = 64;
	ip[8] = ip[24] = 0xfd;
	ip[23] = 1;
	ip[39] = 2;
	for (unsigned i = 0; i < g->extensions; i++, to += 8) {
		*next = 60;
		next = to;
		memcpy(to, "\0\0\1\4\0\0\0\0", 8);
	}
	*next = whole ? 17 : 44;
	if (!whole) {
		memset(to, 0, 8);
		to[0] = 17;
		be16_store(to + 2, (uint16_t)(at | more));
		be32_store(to + 4, g->id);
		to += 8;
	}
	memcpy(to, g->data + at, len);
	be16_store(ip + 4, (uint16_t)((size_t)(to - ip) - 40 + len));
	return (size_t)(to - p) + len;
}

static size_t frame_of(const struct datagram *g, size_t at, size_t len, bool more, uint8_t *p)
{
	return g->six ? frame_ip6(g, at, len, more, false, p) : frame_ip(g, at, len, more, p);
}

static void add_at(struct pfs_buf *cap, uint64_t time, const struct datagram *g, size_t at,
		   size_t len, bool more)
{
	static uint8_t frame[70000];

	cap_packet(cap, time, frame, frame_of(g, at, len, more, frame));
}

static void add(struct pfs_buf *cap, const struct datagram *g, size_t at, size_t len, bool more)
{
	add_at(cap, RIG_TIME, g, at, len, more);
}

/* The frame that should come out. */
static void want_whole(struct pfs_buf *want, const struct datagram *g)
{
	static uint8_t frame[70000];
	size_t n = g->six ? frame_ip6(g, 0, g->len, false, true, frame)
			  : frame_ip(g, 0, g->len, false, frame);

	pfs_buf_add(want, frame, n);
}

/* In fragments of random lengths, in random order, some of them twice. */
static void add_cut(struct pfs_buf *cap, const struct datagram *g, uint32_t largest)
{
	struct {
		size_t at, len;
	} cuts[9000];
	size_t n = 0;

	for (size_t at = 0; at < g->len; at += cuts[n++].len) {
		cuts[n].at = at;
		cuts[n].len = pfs_min((1 + below(largest / 8)) * 8, g->len - at);
		if (cuts[n].len == g->len) /* that would be no fragment */
			cuts[n].len = 8;
	}
	for (size_t i = n; i > 1; i--) {
		size_t other = below((uint32_t)i), at = cuts[other].at, len = cuts[other].len;

		cuts[other] = cuts[i - 1];
		cuts[i - 1].at = at;
		cuts[i - 1].len = len;
	}
	for (size_t i = 0; i < n; i++) {
		add(cap, g, cuts[i].at, cuts[i].len, cuts[i].at + cuts[i].len < g->len);
		if (i > 0 && i < n - 1 && below(4) == 0) {
			size_t j = below((uint32_t)i);

			add(cap, g, cuts[j].at, cuts[j].len, cuts[j].at + cuts[j].len < g->len);
		}
	}
}

static void expect(const struct pfs_buf *cap, const char *path, const struct pfs_buf *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	rig_run(&rig, path, NULL, cap->data, cap->len, 0, &out);
	assert_int_equal(out.len, want->len);
	if (out.len)
		assert_memory_equal(out.data, want->data, want->len);
	rig_release(&rig);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_any_order(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, want = { 0 };

	(void)state;
	cap_head(&cap, 1);
	for (uint32_t i = 0; i < 200; i++) {
		/* With its IPv4 header, or IPv6's extension headers, a datagram has 65,535 bytes at most. */
		fill(&g, i % 2, i, i % 40 == 38 ? 65511 : 64 + below(i % 10 == 0 ? 60000 : 4000));
		g.extensions = i % 3;
		g.len = pfs_min(g.len, 65511);
		add_cut(&cap, &g, i % 7 ? 1480 : 64);
		want_whole(&want, &g);
	}
	expect(&cap, BASE, &want);
	expect(&cap, BASE "/udp", &want);
}

static void test_what_is_whole_passes_between(void **state)
{
	static struct datagram g, other;
	PFS_BUF struct pfs_buf cap = { 0 }, want = { 0 };
	uint8_t frame[256];

	(void)state;
	fill(&g, false, 7, 1600);
	fill(&other, true, 7, 100);
	cap_head(&cap, 1);
	add(&cap, &g, 0, 800, true);
	cap_tcp(&cap, 1, 2, 1, 0x10, "one");
	pfs_buf_add(&want, cap.data + cap.len - 57, 57);
	add(&cap, &g, 800, 800, false);
	want_whole(&want, &g);
	add(&cap, &other, 0, 100, false); /* all in one: an atomic fragment stays what it is */
	pfs_buf_add(&want, frame, frame_of(&other, 0, 100, false, frame));
	cap_packet(&cap, RIG_TIME, "no IP at all, but a frame", 25);
	pfs_buf_add(&want, "no IP at all, but a frame", 25);
	expect(&cap, BASE, &want);
}

static void test_the_time_is_that_of_the_last(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	fill(&g, false, 7, 1600);
	cap_head(&cap, 1);
	add_at(&cap, RIG_TIME, &g, 800, 800, false);
	add_at(&cap, RIG_TIME + SECOND, &g, 0, 800, true);
	rig_run(&rig, BASE, "json", cap.data, cap.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	assert_non_null(strstr(out.data, "{\"time\":\"2023-11-14T22:13:21.123456789Z\",\"len\":1638,\"caplen\":1638,"
					 "\"proto\":\"udp\""));
	rig_release(&rig);
}

/* A case ends with these counts. */
struct counts {
	uint64_t out, lost;
	const char *reason;
	uint64_t n, duplicates;
};

static void expect_counts(const struct pfs_buf *cap, const char *path, const struct counts *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	char name[64];

	rig_run(&rig, path, NULL, cap->data, cap->len, 0, &out);
	rig_expect(&rig, "out", want->out);
	rig_expect(&rig, "lost", want->lost);
	rig_expect(&rig, "duplicates", want->duplicates);
	rig_expect(&rig, "pending", 0);
	rig_expect(&rig, "memory", 0);
	if (want->reason) {
		snprintf(name, sizeof(name), "lost.%s", want->reason);
		rig_expect(&rig, name, want->n);
	}
	rig_release(&rig);
}

/* As Linux: what lies in one run is a duplicate, all else that meets what is there ends the datagram. */
static void test_overlaps(void **state)
{
	static struct datagram g;
	static const struct {
		struct {
			size_t at, len;
			bool more;
		} f[5];
		struct counts want;
	} cases[] = {
		{ { { 0, 16, true }, { 8, 16, true }, { 16, 16, false } }, { 0, 3, "overlap", 2, 0 } },
		{ { { 0, 16, true }, { 0, 16, true }, { 16, 16, false } }, { 1, 0, NULL, 0, 1 } },
		{ { { 0, 16, true }, { 8, 8, true }, { 16, 16, false } }, { 1, 0, NULL, 0, 1 } },
		/* in order: a run; [8, 24) lies in it */
		{ { { 0, 16, true }, { 16, 16, true }, { 8, 16, true }, { 32, 8, false } },
		  { 1, 0, NULL, 0, 1 } },
		/* not in order: two */
		{ { { 16, 16, true }, { 0, 16, true }, { 8, 16, true }, { 32, 8, false } },
		  { 0, 4, "overlap", 3, 0 } },
		{ { { 16, 16, false }, { 0, 24, true } }, { 0, 2, "overlap", 2, 0 } },
		/* two ends, data behind the end, no data */
		{ { { 16, 16, false }, { 16, 24, false } }, { 0, 2, "malformed", 2, 0 } },
		{ { { 16, 16, false }, { 40, 8, true } }, { 0, 2, "malformed", 2, 0 } },
		{ { { 40, 8, true }, { 16, 16, false } }, { 0, 2, "malformed", 2, 0 } },
		{ { { 16, 16, false }, { 16, 16, false }, { 0, 16, true } }, { 1, 0, NULL, 0, 1 } },
	};

	(void)state;
	for (int six = 0; six < 2; six++) {
		fill(&g, six, 9, 64);
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			PFS_BUF struct pfs_buf cap = { 0 };

			cap_head(&cap, 1);
			for (size_t j = 0; cases[i].f[j].len; j++)
				add(&cap, &g, cases[i].f[j].at, cases[i].f[j].len, cases[i].f[j].more);
			expect_counts(&cap, BASE, &cases[i].want);
		}
	}
}

static void test_wrong_lengths(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 };
	uint8_t frame[256];
	size_t n;

	(void)state;
	fill(&g, false, 9, 128);
	cap_head(&cap, 1);
	n = frame_ip(&g, 0, 64, true, frame);
	cap_packet(&cap, RIG_TIME, frame, n - 1); /* cut off */
	be16_store(frame + 16, 24);		  /* as long as its header */
	cap_packet(&cap, RIG_TIME, frame, n);
	g.id++;
	n = frame_ip6(&g, 64, 60, true, false, frame); /* no multiple of eight, and not the last */
	cap_packet(&cap, RIG_TIME, frame, n);
	expect_counts(&cap, BASE, &(struct counts){ 0, 3, "malformed", 2, 0 });
	expect_counts(&cap, BASE, &(struct counts){ 0, 3, "truncated", 1, 0 });
}

/* IPv4: what is beyond a multiple of eight does not count, as in Linux. */
static void test_an_odd_fragment_is_cut(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, want = { 0 };

	(void)state;
	fill(&g, false, 9, 128);
	cap_head(&cap, 1);
	add(&cap, &g, 0, 67, true);
	add(&cap, &g, 64, 64, false);
	want_whole(&want, &g);
	expect(&cap, BASE, &want);
}

static void test_too_large(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	fill(&g, false, 9, 65535);
	cap_head(&cap, 1);
	add(&cap, &g, 0, 32768, true);
	add(&cap, &g, 32768, 32760, false); /* with its header more than 65,535 */
	expect_counts(&cap, BASE, &(struct counts){ 0, 2, "oversize", 2, 0 });
	add(&cap, &g, 65528, 8, true);
	expect_counts(&cap, BASE, &(struct counts){ 0, 3, "oversize", 3, 0 });
}

static void test_ecn_and_df(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, want = { 0 };

	(void)state;
	for (int six = 0; six < 2; six++) {
		fill(&g, six, 9, 128);
		cap_head(&cap, 1);
		g.tos = 2; /* ECN-capable(0) */
		add(&cap, &g, 0, 64, true);
		g.tos = 3; /* and congestion on the way */
		add(&cap, &g, 64, 64, false);
		want_whole(&want, &g);
		g.id++;
		g.tos = 0;
		g.df = true;
		add(&cap, &g, 0, 72, true);
		g.df = false;
		add(&cap, &g, 72, 56, false);
		g.df = true;
		want_whole(&want, &g);
		g.id++;
		add(&cap, &g, 0, 56, true);
		g.df = false;
		add(&cap, &g, 56, 72, false);
		want_whole(&want, &g);
		expect(&cap, BASE, &want);
		cap.len = want.len = 0;
	}
	cap_head(&cap, 1);
	g.tos = 0;
	add(&cap, &g, 0, 64, true);
	g.tos = 3;
	add(&cap, &g, 64, 64, false);
	expect_counts(&cap, BASE, &(struct counts){ 0, 2, "malformed", 2, 0 });
}

static void test_time_and_the_end(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	fill(&g, false, 9, 128);
	cap_head(&cap, 1);
	add_at(&cap, RIG_TIME, &g, 0, 64, true);
	add_at(&cap, RIG_TIME + 5 * SECOND, &g, 64, 64, false);
	expect_counts(&cap, BASE, &(struct counts){ 1, 0, NULL, 0, 0 });
	expect_counts(&cap, BASE ",timeout=5", &(struct counts){ 1, 0, NULL, 0, 0 });
	expect_counts(&cap, BASE ",timeout=4", &(struct counts){ 0, 2, "timeout", 1, 0 });
	expect_counts(&cap, BASE ",timeout=4", &(struct counts){ 0, 2, "incomplete", 1, 0 });
	/* A time from the far future holds nothing up for ever. */
	cap.len = 0;
	cap_head(&cap, 1);
	add_at(&cap, RIG_TIME + 1000000 * SECOND, &g, 0, 64, true);
	g.id++;
	for (uint64_t i = 0; i < 100; i++)
		add_at(&cap, RIG_TIME + i * SECOND, &g, 0, 64, true);
	expect_counts(&cap, BASE, &(struct counts){ 0, 5, "timeout", 4, 96 });
}

/* A flood of beginnings takes no more than its share, and what is complete still comes through. */
static void test_memory_is_bounded(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	for (uint32_t i = 0; i < 1000; i++) {
		fill(&g, i & 1, i, 128);
		add(&cap, &g, 64 + 8 * (i % 8), 8, true);
	}
	fill(&g, true, 5000, 3000);
	add_cut(&cap, &g, 1000);
	rig_run(&rig, BASE ",memory=128k", NULL, cap.data, cap.len, 0, &out);
	rig_expect(&rig, "out", 1);
	rig_expect(&rig, "lost", 1000);
	assert_true(rig_stat(&rig, "lost.memory") > 900);
	rig_release(&rig);
}

/* The reader sleeps until the ring of whole packets is full: everything waits, nothing is lost or comes twice. */
static void test_a_full_ring(void **state)
{
	static struct datagram g;
	PFS_BUF struct pfs_buf cap = { 0 }, want = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	size_t at = 0;
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	for (uint32_t i = 0; i < 800; i++) {
		fill(&g, false, i, 30000 + below(30000));
		add_cut(&cap, &g, 32000);
		want_whole(&want, &g);
	}
	rig_open(&rig, BASE, NULL);
	writer = rig_writer(&rig);
	for (ssize_t r; at < cap.len && (r = pfs_writer_write(writer, cap.data + at,
							      pfs_min(cap.len - at, 65536))) > 0;)
		at += (size_t)r;
	assert_true(at < cap.len);
	rig_write(&rig, writer, cap.data + at, cap.len - at, 65536, &out);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);
	rig_expect(&rig, "lost", 0);
	rig_release(&rig);
}

static void test_parameters(void **state)
{
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	assert_int_equal(rig_try(&rig, BASE ",timeout=0", &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "timeout= takes a number from 1 to 3600"));
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, BASE ",memory=64k", &diag), -EINVAL);
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/defrag", &diag), -EINVAL);
	rig_release(&rig);
	rig_open(&rig, BASE, NULL);
	assert_int_equal(pfs_node_params_set(rig.node, "timeout=7\n", 10, &cred, &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, "timeout=x\n", 10, &cred, &diag), -EINVAL);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_what_is_whole_passes_between),
		cmocka_unit_test(test_the_time_is_that_of_the_last),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_an_odd_fragment_is_cut),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_ecn_and_df),
		cmocka_unit_test(test_time_and_the_end),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_a_full_ring),
		cmocka_unit_test(test_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
