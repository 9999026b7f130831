/*
 * tcpstream: which bytes come out, where gaps are, who begins and who ends
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "packet/tcpstream.h"

#define SECOND UINT64_C(1000000000)

enum { A, B };
enum { FIN = TCPS_FIN, SYN = TCPS_SYN, RST = TCPS_RST, ACK = TCPS_ACK };

/* A table, and what came out of it: "a0:abc a3-5 a. " are bytes at 0, a gap of five at 3, the end of side a. */
struct bench {
	struct tcps tcp;
	struct pfs_buf said;
	uint64_t time;
	unsigned port; /* of a */
	uint32_t streams;
	uint32_t snaplen; /* 0: all is captured */
	bool hold;
};

static void bench_init(struct bench *b, const struct tcps_options *options)
{
	static const struct tcps_options usual = { .connections = 1000,
						   .half = 1 << 20,
						   .memory = 4 << 20,
						   .idle = 600 * SECOND,
						   .gap = 30 * SECOND };

	*b = (struct bench){ .time = 1000 * SECOND, .port = 1000 };
	assert_int_equal(tcps_init(&b->tcp, options ? options : &usual), 0);
}

static void bench_release(struct bench *b)
{
	tcps_release(&b->tcp);
	assert_int_equal(b->tcp.counts.held, 0);
	assert_int_equal(b->tcp.counts.connections, 0);
	pfs_buf_release(&b->said);
}

static void say(struct bench *b, const struct tcps_event *ev, const uint8_t *data)
{
	if (ev->conn->stream == 0)
		ev->conn->stream = ++b->streams;
	if (ev->conn->stream > 1)
		pfs_buf_printf(&b->said, "%u", ev->conn->stream);
	pfs_buf_printf(&b->said, "%c", "ab"[ev->side]);
	if (ev->kind == TCPS_END)
		pfs_buf_printf(&b->said, ". ");
	else if (ev->kind == TCPS_GAP)
		pfs_buf_printf(&b->said, "%llu-%u ", (unsigned long long)ev->offset, ev->len);
	else
		pfs_buf_printf(&b->said, "%llu:%.*s ", (unsigned long long)ev->offset, (int)ev->len,
			       data);
}

static void events(struct bench *b)
{
	struct tcps_event ev;

	for (; tcps_peek(&b->tcp, &ev); tcps_pop(&b->tcp)) {
		assert_true(ev.kind == TCPS_HELD || ev.kind == TCPS_GAP || ev.kind == TCPS_END);
		say(b, &ev, ev.data);
	}
}

static void put(struct bench *b, unsigned side, uint8_t flags, uint32_t seq, uint32_t ack,
		const char *data)
{
	static const uint8_t addr[2][4] = { { 10, 0, 0, 1 }, { 10, 0, 0, 2 } };
	size_t len = strlen(data);
	/* Memory of exactly that size, for sanitizers. */
	PFS_FREE uint8_t *p = malloc(len ? len : 1);
	uint16_t ports[2] = { (uint16_t)b->port, 80 };
	struct tcps_segment s = {
		.seq = seq,
		.ack = ack,
		.flags = flags,
		.data = p,
		.len = (uint32_t)(b->snaplen ? pfs_min(len, b->snaplen) : len),
		.full_len = (uint32_t)len,
		.head = (const uint8_t *)"head",
		.head_len = 4,
		.time = b->time,
		.hold = b->hold,
	};
	struct tcps_event ev;

	assert_non_null(p);
	memcpy(p, data, len);
	s.from = tcps_key(addr[side], addr[!side], false, ports[side], ports[!side], &s.key);
	tcps_input(&b->tcp, &s, &ev);
	if (ev.kind == TCPS_HERE) {
		assert_true(!b->hold && ev.from + ev.len <= s.len && ev.len > 0);
		say(b, &ev, p + ev.from);
	} else {
		assert_int_equal(ev.kind, TCPS_NONE);
	}
	events(b);
}

static void said(struct bench *b, const char *want)
{
	pfs_buf_add(&b->said, "", 1);
	assert_string_equal(b->said.data, want);
	b->said.len = 0;
}

static void flush(struct bench *b)
{
	tcps_flush(&b->tcp);
	events(b);
}

/* a's next byte is 101, b's 501. */
static void shake(struct bench *b)
{
	put(b, A, SYN, 100, 0, "");
	put(b, B, SYN | ACK, 500, 101, "");
	put(b, A, ACK, 101, 501, "");
}

/* --- order ------------------------------------------------------------------------------------------------------- */

static void test_order(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 101, 501, "abc");
	put(&b, B, ACK, 501, 104, "xyz");
	put(&b, A, ACK, 107, 504, "ghi");
	put(&b, A, ACK, 110, 504, "jkl");
	said(&b, "a0:abc b0:xyz ");
	put(&b, A, ACK, 104, 504, "def");
	said(&b, "a3:def a6:ghi a9:jkl ");
	put(&b, A, ACK, 101, 504, "abcdefghijklmn"); /* all again, and two more */
	put(&b, A, ACK, 112, 504, "l");
	put(&b, A, ACK, 114, 504, "x"); /* a keep-alive: one byte before what is next */
	said(&b, "a12:mn ");
	put(&b, A, ACK | FIN, 115, 504, "");
	put(&b, B, ACK | FIN, 504, 116, "w");
	said(&b, "a. b3:w b. ");
	put(&b, A, ACK, 116, 506, "");
	put(&b, A, ACK | FIN, 115, 506, "");
	put(&b, A, ACK, 101, 504, "abc");
	said(&b, "");
	assert_int_equal(b.tcp.counts.late, 3);
	bench_release(&b);
}

static void test_sequence_numbers_wrap(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	put(&b, A, SYN, 0xfffffffc, 0, "");
	put(&b, B, SYN | ACK, 0xffffffff, 0xfffffffd, "");
	put(&b, B, ACK, 0, 0xfffffffd, "xyz");
	put(&b, A, ACK, 3, 3, "ghi");
	put(&b, A, ACK, 0, 3, "def");
	put(&b, A, ACK, 0xfffffffd, 3, "abcd");
	said(&b, "b0:xyz a0:abcd a4:ef a6:ghi ");
	bench_release(&b);
}

/* What Linux does; each case was checked against it (tests/e2e/t036). '|' ends a segment of a, at its number. */
static void test_overlaps_as_linux(void **state)
{
	static const struct {
		struct {
			uint32_t seq;
			const char *data;
		} in[6];
		const char *out;
	} cases[] = {
		/* delivered stays */
		{ { { 0, "abc" }, { 1, "XYZ" } }, "a0:abc a3:Z " },
		/* the next one wins over what waits */
		{ { { 3, "def" }, { 0, "ABCDE" } }, "a0:ABCDE a5:f " },
		{ { { 3, "def" }, { 0, "ABCDEFG" } }, "a0:ABCDEFG " },
		/* of two that wait the one that begins earlier */
		{ { { 2, "cde" }, { 4, "EFG" }, { 0, "ab" } }, "a0:ab a2:cde a5:FG " },
		{ { { 4, "efg" }, { 2, "CDE" }, { 0, "ab" } }, "a0:ab a2:CDE a5:fg " },
		/* inside: dropped */
		{ { { 2, "cdef" }, { 3, "DE" }, { 0, "ab" } }, "a0:ab a2:cdef " },
		{ { { 2, "cdef" }, { 2, "CDE" }, { 0, "ab" } }, "a0:ab a2:cdef " },
		{ { { 2, "cdef" }, { 2, "CDEF" }, { 0, "ab" } }, "a0:ab a2:cdef " },
		{ { { 2, "cdef" }, { 4, "EF" }, { 0, "ab" } }, "a0:ab a2:cdef " },
		/* covers: replaces */
		{ { { 3, "de" }, { 2, "CDEF" }, { 0, "ab" } }, "a0:ab a2:CDEF " },
		{ { { 2, "cd" }, { 2, "CDEF" }, { 0, "ab" } }, "a0:ab a2:CDEF " },
		{ { { 4, "ef" }, { 2, "CDEF" }, { 0, "ab" } }, "a0:ab a2:CDEF " },
		{ { { 3, "d" }, { 5, "f" }, { 7, "hi" }, { 2, "CDEFGH" }, { 0, "ab" } },
		  "a0:ab a2:CDEFGH a8:i " },
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bench_init(&b, NULL);
		shake(&b);
		for (size_t j = 0; cases[i].in[j].data; j++)
			put(&b, A, ACK, 101 + cases[i].in[j].seq, 501, cases[i].in[j].data);
		said(&b, cases[i].out);
		bench_release(&b);
	}
}

/* FIN is a byte of its own: it goes and stays with its segment. */
static void test_fin_in_waiting(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK | FIN, 104, 501, "def");
	put(&b, A, ACK, 107, 501, "behind the end");
	put(&b, A, ACK, 101, 501, "abc");
	said(&b, "a0:abc a3:def a. ");
	put(&b, A, ACK, 108, 501, "behind the end");
	said(&b, "");
	bench_release(&b);

	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK | FIN, 104, 501, "def");
	put(&b, A, ACK, 104, 501, "DEFGHI"); /* covers it with its FIN */
	put(&b, A, ACK, 101, 501, "abc");
	said(&b, "a0:abc a3:DEFGHI ");
	put(&b, A, FIN, 110, 0, "");
	said(&b, "a. ");
	bench_release(&b);
}

/* --- holes ------------------------------------------------------------------------------------------------------- */

static void test_an_acknowledged_hole_is_given_up(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 104, 501, "def");
	put(&b, B, ACK, 501, 107, "");
	for (unsigned i = 0; i < TCPS_REORDER_PACKETS; i++) {
		said(&b, "");
		put(&b, A, ACK, 107 + i, 501, "g");
	}
	said(&b, "a0-3 a3:def a6:g a7:g a8:g a9:g a10:g a11:g a12:g a13:g a14:g a15:g a16:g a17:g a18:g a19:g "
		 "a20:g a21:g ");
	assert_int_equal(b.tcp.counts.missing, 3);
	put(&b, A, ACK, 101, 501, "abc"); /* too late */
	said(&b, "");
	bench_release(&b);
}

/* ... but not at once: it may only have been overtaken by the acknowledgement. */
static void test_an_acknowledgement_may_come_first(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 104, 501, "def");
	put(&b, B, ACK, 501, 107, "");
	put(&b, A, ACK, 101, 501, "abc");
	said(&b, "a0:abc a3:def ");
	/* Without anything behind the hole there is no hole. */
	put(&b, B, ACK, 501, 110, "");
	b.time += 10 * SECOND;
	put(&b, B, ACK, 501, 110, "");
	put(&b, A, ACK, 107, 501, "ghi");
	said(&b, "a6:ghi ");
	bench_release(&b);
}

static void test_holes_by_time(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 104, 501, "def");
	b.time += 30 * SECOND;
	put(&b, A, ACK, 110, 501, "jkl");
	said(&b, "");
	b.time += SECOND; /* nobody has acknowledged it: half a minute */
	put(&b, B, ACK, 501, 101, "");
	said(&b, "a0-3 a3:def ");
	put(&b, B, ACK, 501, 113, "");
	b.time += TCPS_REORDER_TIME + 1;
	b.port++; /* a packet of another connection does */
	put(&b, A, SYN, 1, 0, "");
	said(&b, "a6-3 a9:jkl ");
	/* A time from the future holds nothing up for ever. */
	b.port--;
	b.time += 1000000 * SECOND;
	put(&b, A, SYN, 100, 0, "");
	bench_release(&b);
}

static void test_a_hole_from_the_future(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	b.time += 400 * SECOND;
	put(&b, A, ACK, 104, 501, "def");
	b.time -= 400 * SECOND;
	put(&b, B, ACK, 501, 101, "");
	b.time += 31 * SECOND;
	put(&b, B, ACK, 501, 101, "");
	said(&b, "a0-3 a3:def ");
	bench_release(&b);
}

/* Behind the snaplen there is nothing to wait for. */
static void test_a_snaplen_makes_gaps(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	b.snaplen = 2;
	shake(&b);
	put(&b, A, ACK, 101, 501, "abcd");
	put(&b, A, ACK, 101, 501, "abcd");
	put(&b, A, ACK | FIN, 109, 501, "ijkl");
	put(&b, A, ACK, 105, 501, "efgh");
	said(&b, "a0:ab a2-2 a4:ef a6-2 a8:ij a10-2 a. ");
	bench_release(&b);
}

static void test_memory_of_a_direction(void **state)
{
	static const struct tcps_options little = { .connections = 100,
						    .half = 4096,
						    .memory = 1 << 20,
						    .idle = 600 * SECOND,
						    .gap = 30 * SECOND };
	struct bench b;

	(void)state;
	bench_init(&b, &little);
	shake(&b);
	for (uint32_t i = 0; i < 100000; i++) {
		put(&b, A, ACK, 102 + 2 * i, 501, "x");
		assert_true(b.tcp.counts.held < 4096 + 128);
	}
	assert_true(b.tcp.counts.gaps > 90000);
	b.said.len = 0;
	flush(&b);
	bench_release(&b);
}

static void test_memory_of_all(void **state)
{
	static const struct tcps_options little = { .connections = 100000,
						    .half = 65536,
						    .memory = 65536,
						    .idle = 600 * SECOND,
						    .gap = 30 * SECOND };
	static char much[8192];
	struct bench b;

	(void)state;
	memset(much, 'x', sizeof(much) - 1);
	bench_init(&b, &little);
	for (uint32_t i = 0; i < 2000; i++) {
		b.port = 1000 + i;
		shake(&b);
		put(&b, A, ACK, 102, 501, i % 100 == 99 ? much : "y");
		assert_true(b.tcp.counts.held <= 65536);
	}
	for (uint32_t i = 0; i < 2000; i++) { /* data with a SYN waits too */
		b.port = 5000 + i;
		put(&b, A, SYN, 100, 0, much);
		assert_true(b.tcp.counts.held <= 65536);
	}
	assert_true(b.tcp.counts.no_memory > 1900);
	b.said.len = 0;
	flush(&b);
	assert_int_equal(b.tcp.counts.held, 0);
	bench_release(&b);
}

/* The capture missed more than can be told from a retransmission. */
static void test_a_jump(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 101, 501, "abc");
	for (uint32_t i = 0; i < 15; i++)
		put(&b, A, ACK, 0xc0000000u + i, 501, "x");
	said(&b, "a0:abc ");
	put(&b, A, ACK, 0xc000000fu, 501, "def");
	put(&b, A, ACK, 0xc0000012u, 501, "ghi");
	said(&b, "a3-3221225383 a3221225386:def a3221225389:ghi ");
	bench_release(&b);
}

/* --- beginnings -------------------------------------------------------------------------------------------------- */

static void test_in_the_middle(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	put(&b, B, ACK, 900, 100, "");
	put(&b, B, ACK | FIN, 900, 100, "");
	put(&b, B, RST, 900, 100, "");
	assert_int_equal(b.tcp.counts.opened, 0);
	put(&b, B, ACK, 900, 100, "xyz");
	put(&b, A, ACK, 100, 903, "abc");
	put(&b, B, ACK, 903, 103, "w");
	put(&b, A, ACK, 97, 903, "not seen in time");
	said(&b, "a0:xyz b0:abc a3:w b3:en in time ");
	bench_release(&b);
}

static void test_the_answer_is_seen_first(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	put(&b, B, SYN | ACK, 500, 101, "");
	put(&b, B, ACK, 501, 101, "xyz");
	put(&b, A, ACK, 104, 504, "def");
	put(&b, A, ACK, 101, 501, "abc");
	said(&b, "b0:xyz a0:abc a3:def ");
	bench_release(&b);
}

static void test_both_at_once(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	put(&b, B, SYN, 500, 0, "");
	put(&b, A, SYN, 100, 0, "");
	put(&b, B, SYN | ACK, 500, 101, "");
	put(&b, A, SYN | ACK, 100, 501, "");
	put(&b, A, ACK, 101, 501, "abc");
	put(&b, B, ACK, 501, 104, "xyz");
	said(&b, "b0:abc a0:xyz ");
	bench_release(&b);
}

/* Data with the SYN counts if the other side says so. */
static void test_data_with_the_syn(void **state)
{
	static const struct {
		uint32_t acked;
		const char *then;
		uint32_t seq;
		const char *out;
	} cases[] = {
		{ 104, "def", 104, "a0:abc a3:def " }, /* taken */
		{ 101, "ABCdef", 101, "a0:ABCdef " }, /* not taken, and sent again with other bytes */
		{ 0, "def", 104, "a0:abc a3:def " }, /* no answer was seen: it goes on behind it */
		{ 0, "ABCdef", 101, "a0:ABCdef " },  /* ... or begins again */
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bench_init(&b, NULL);
		put(&b, A, SYN, 100, 0, "abc");
		said(&b, "");
		put(&b, A, SYN, 100, 0, "abc");
		if (cases[i].acked)
			put(&b, B, SYN | ACK, 500, cases[i].acked, "");
		put(&b, A, ACK, cases[i].seq, 501, cases[i].then);
		said(&b, cases[i].out);
		bench_release(&b);
	}
	bench_init(&b, NULL);
	put(&b, A, SYN, 100, 0, "abc");
	flush(&b);
	said(&b, "a0:abc a. b. ");
	bench_release(&b);
}

/* --- ends and reuse ---------------------------------------------------------------------------------------------- */

static void test_reset(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 101, 501, "abc");
	put(&b, A, RST, 4711, 0, "");	   /* from somewhere else */
	put(&b, B, RST | ACK, 502, 0, ""); /* close, but not it */
	put(&b, A, ACK, 107, 501, "ghi");
	assert_int_equal(b.tcp.counts.ignored, 2);
	put(&b, B, RST, 501, 0, "");
	said(&b, "a0:abc a3-3 a6:ghi a. b. ");
	put(&b, A, ACK, 104, 501, "def");
	said(&b, "");
	bench_release(&b);

	bench_init(&b, NULL); /* refused */
	put(&b, A, SYN, 100, 0, "abc");
	put(&b, B, RST | ACK, 0, 101, "");
	said(&b, "a0:abc a. b. ");
	bench_release(&b);
}

static void test_ports_are_used_again(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK | FIN, 101, 501, "old");
	put(&b, B, ACK | FIN, 501, 105, "old");
	said(&b, "a0:old a. b0:old b. ");
	put(&b, B, SYN, 9000, 0, ""); /* the other way round now */
	put(&b, A, SYN | ACK, 200000, 9001, "");
	put(&b, B, ACK, 9001, 200001, "new");
	put(&b, A, ACK, 200001, 9004, "NEW");
	said(&b, "2a0:new 2b0:NEW ");
	/* Its end was not captured; the SYN alone proves nothing, its answer does. */
	put(&b, A, SYN, 300000, 0, "");
	put(&b, B, ACK, 9004, 200004, "go on");
	said(&b, "2a3:go on ");
	put(&b, B, SYN | ACK, 800000, 300001, "");
	put(&b, A, ACK, 300001, 800001, "third");
	put(&b, B, ACK, 800001, 300006, "answer");
	said(&b, "2a. 2b. 3a0:third 3b0:answer ");
	/* One direction only, and far away. */
	put(&b, A, SYN, 90000000, 0, "");
	put(&b, A, ACK, 90000001, 1, "fourth");
	said(&b, "4a0:fourth 3a. 3b. ");
	/* The beginning was not captured at all. */
	put(&b, A, RST, 90000007, 0, "");
	put(&b, A, ACK, 600000000, 1, "fifth");
	said(&b, "4a. 4b. 5a0:fifth ");
	bench_release(&b);
}

static void test_idle(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 101, 501, "abc");
	b.time += 599 * SECOND;
	put(&b, A, ACK, 104, 501, "def");
	b.time += 599 * SECOND;
	put(&b, A, ACK, 107, 501, "ghi");
	said(&b, "a0:abc a3:def a6:ghi ");
	b.time += 601 * SECOND;
	put(&b, A, ACK, 110, 501, "jkl");
	said(&b, "2a0:jkl a. b. ");
	b.port++;
	put(&b, A, SYN, 1, 0, ""); /* half open */
	assert_int_equal(b.tcp.counts.connections, 2);
	b.time += 61 * SECOND;
	b.port--;
	put(&b, B, ACK, 501, 113, "");
	assert_int_equal(b.tcp.counts.connections, 1);
	bench_release(&b);
}

static void test_too_many(void **state)
{
	static const struct tcps_options few = { .connections = 16,
						 .half = 1 << 20,
						 .memory = 4 << 20,
						 .idle = 600 * SECOND,
						 .gap = 30 * SECOND };
	struct bench b;

	(void)state;
	bench_init(&b, &few);
	for (unsigned i = 0; i < 16; i++) {
		b.port = 1000 + i;
		shake(&b);
		put(&b, A, ACK, 101, 501, "x");
	}
	for (unsigned i = 0; i < 1000;
	     i++) { /* a flood takes the place of one of them, and then of itself */
		b.port = 10000 + i;
		put(&b, A, SYN, 100, 0, "");
		assert_true(b.tcp.counts.connections <= 16);
	}
	assert_int_equal(b.tcp.counts.evicted, 1);
	b.said.len = 0;
	b.time += SECOND;
	b.port = 1001;
	put(&b, A, ACK, 102, 501, "used");
	b.port = 2000;
	put(&b, A, ACK, 101, 501, "new");
	b.port = 2001;
	put(&b, A, ACK, 101, 501, "newer");
	said(&b, "2a1:used 17a0:new 18a0:newer 3a. 3b. ");
	bench_release(&b);
}

static void test_the_end(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	shake(&b);
	put(&b, A, ACK, 104, 501, "def");
	put(&b, B, ACK, 501, 101, "xyz");
	said(&b, "b0:xyz ");
	put(&b, A, ACK, 107, 514, ""); /* b's last bytes were not captured */
	flush(&b);
	said(&b, "a0-3 a3:def a. b3-10 b. ");
	assert_int_equal(b.tcp.counts.connections, 0);
	put(&b, A, ACK, 107, 501, "more");
	said(&b, "2a0:more ");
	bench_release(&b);
}

/* --- at random ------------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % n;
}

#define TALK 3000
#define ARRIVALS 2000

/* One direction: what is sent, in which pieces it comes, which of those the capture misses. */
struct way {
	char text[TALK + 1];
	uint32_t isn;
	struct {
		uint32_t at, len;
		bool missed;
	} come[ARRIVALS];
	unsigned n, at;
	bool there[TALK]; /* at the receiver */
	bool captured[TALK];
	bool missed[TALK]; /* before a copy of it was captured: that one may come too late */
	uint32_t acked;
	char out[TALK + 1];
	uint32_t out_len;
	bool ended;
};

static void swap_come(struct way *w, unsigned i, unsigned j)
{
	uint32_t at = w->come[i].at, len = w->come[i].len;

	w->come[i].at = w->come[j].at;
	w->come[i].len = w->come[j].len;
	w->come[j].at = at;
	w->come[j].len = len;
}

static void way_make(struct way *w, bool lossy)
{
	*w = (struct way){ .isn = 0xffffffffu - below(2 * TALK) };
	for (uint32_t i = 0; i < TALK; i++)
		w->text[i] = (char)('a' + below(26));
	for (uint32_t at = 0; at < TALK;) {
		uint32_t len = (uint32_t)pfs_min(1 + below(60), TALK - at);

		w->come[w->n].at = at;
		w->come[w->n++].len = len;
		if (below(5) == 0) { /* a part of what was sent a moment ago, perhaps with what is new */
			uint32_t back = below(100), from = at > back ? at - back : 0;

			w->come[w->n].at = from;
			w->come[w->n++].len = (uint32_t)pfs_min(1 + below(100), at + len - from);
		}
		at += len;
	}
	for (unsigned i = 0; i + 4 < w->n; i++)
		if (below(4) == 0)
			swap_come(w, i, i + below(4));
	for (unsigned i = 0; i < w->n; i++)
		w->come[i].missed = lossy && below(20) == 0;
}

static void arrive(struct bench *b, struct way *ways, unsigned side)
{
	struct way *w = &ways[side], *other = &ways[!side];
	unsigned i = w->at++;
	char data[128];

	memset(w->there + w->come[i].at, true, w->come[i].len);
	while (w->acked < TALK && w->there[w->acked])
		w->acked++;
	if (w->come[i].missed) {
		for (uint32_t at = w->come[i].at; at < w->come[i].at + w->come[i].len; at++)
			w->missed[at] |= !w->captured[at];
		return;
	}
	memset(w->captured + w->come[i].at, true, w->come[i].len);
	snprintf(data, sizeof(data), "%.*s", (int)w->come[i].len, w->text + w->come[i].at);
	b->hold = below(10) == 0;
	b->time += below(1000);
	put(b, side, ACK, w->isn + 1 + w->come[i].at, other->isn + 1 + other->acked, data);
}

/* "a12:abc b7-3 a. " into the two ways' out; gaps as '?'. */
static void read_said(struct bench *b, struct way *ways)
{
	char *at = b->said.data, *end;

	pfs_buf_add(&b->said, "", 1);
	while (at && *at) {
		struct way *w = &ways[*at++ == 'b'];
		unsigned long long offset;
		size_t n;

		assert_false(w->ended);
		if (*at == '.') {
			w->ended = true;
			at += 2;
			continue;
		}
		offset = strtoull(at, &end, 10);
		assert_int_equal(offset, w->out_len);
		at = strchr(end, ' ');
		n = *end == '-' ? strtoull(end + 1, NULL, 10) : (size_t)(at - end - 1);
		assert_true(w->out_len + n <= TALK);
		if (*end == '-')
			memset(w->out + w->out_len, '?', n);
		else
			memcpy(w->out + w->out_len, end + 1, n);
		w->out_len += (uint32_t)n;
		at++;
	}
}

static void check_way(const struct way *w)
{
	assert_true(w->ended);
	assert_int_equal(w->out_len, TALK);
	for (uint32_t i = 0; i < TALK; i++) {
		if (w->out[i] == '?')
			assert_true(w->missed[i]);
		else
			assert_int_equal(w->out[i], w->text[i]);
	}
}

static void test_at_random(void **state)
{
	static struct way ways[2];

	(void)state;
	for (uint64_t round = 0; round < 300; round++) {
		struct bench b;

		seed = round;
		way_make(&ways[A], round & 1);
		way_make(&ways[B], round & 1);
		bench_init(&b, NULL);
		put(&b, A, SYN, ways[A].isn, 0, "");
		put(&b, B, SYN | ACK, ways[B].isn, ways[A].isn + 1, "");
		while (ways[A].at < ways[A].n || ways[B].at < ways[B].n) {
			unsigned side = ways[A].at == ways[A].n	  ? B
					: ways[B].at == ways[B].n ? A
								  : below(2);

			arrive(&b, ways, side);
		}
		b.hold = false;
		put(&b, A, ACK | FIN, ways[A].isn + 1 + TALK, ways[B].isn + 1 + TALK, "");
		put(&b, B, ACK | FIN, ways[B].isn + 1 + TALK, ways[A].isn + 2 + TALK, "");
		flush(&b);
		read_said(&b, ways);
		check_way(&ways[B]);
		bench_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_sequence_numbers_wrap),
		cmocka_unit_test(test_overlaps_as_linux),
		cmocka_unit_test(test_fin_in_waiting),
		cmocka_unit_test(test_an_acknowledged_hole_is_given_up),
		cmocka_unit_test(test_an_acknowledgement_may_come_first),
		cmocka_unit_test(test_holes_by_time),
		cmocka_unit_test(test_a_hole_from_the_future),
		cmocka_unit_test(test_a_snaplen_makes_gaps),
		cmocka_unit_test(test_memory_of_a_direction),
		cmocka_unit_test(test_memory_of_all),
		cmocka_unit_test(test_a_jump),
		cmocka_unit_test(test_in_the_middle),
		cmocka_unit_test(test_the_answer_is_seen_first),
		cmocka_unit_test(test_both_at_once),
		cmocka_unit_test(test_data_with_the_syn),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_ports_are_used_again),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_the_end),
		cmocka_unit_test(test_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
