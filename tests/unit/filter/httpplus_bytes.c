/*
 * httpplus on byte streams: one record a message, however its bytes come
 */
#include "../rig.h"

#define ACK 0x10
#define FIN_ACK 0x11
#define SYN 0x02

/* The records that come out, with a bar behind each. */
static void drain_records(struct rig *rig, struct pfs_buf *out)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;
	ssize_t n;

	while ((n = pfs_reader_get(rig->reader, 2 << 20, true, false, gather, iov, &niov)) > 0) {
		for (unsigned i = 0; i < niov; i++)
			pfs_buf_add(out, iov[i].iov_base, iov[i].iov_len);
		pfs_buf_add(out, "|", 1);
		pfs_reader_done(rig->reader, true);
	}
}

static void run(struct rig *rig, const char *path, const void *bytes, size_t n, size_t chunk,
		struct pfs_buf *out)
{
	struct pfs_writer *writer;
	const uint8_t *p = bytes;

	rig_open(rig, path, NULL);
	writer = rig_writer(rig);
	while (n > 0) {
		size_t some = chunk ? pfs_min(chunk, n) : pfs_min(n, 1 << 20);
		ssize_t r = pfs_writer_write(writer, p, some);

		if (r > 0) {
			p += r;
			n -= (size_t)r;
		}
		drain_records(rig, out);
	}
	pfs_writer_close(writer);
	for (int i = 0; i < 3; i++)
		drain_records(rig, out);
	pfs_buf_add(out, "", 1);
}

/* However it is cut, the same comes out. */
static void expect(const char *path, const char *in, const char *want)
{
	static const size_t chunks[] = { 0, 1, 2, 3, 7, 50 };

	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;

		run(&rig, path, in, strlen(in), chunks[i], &out);
		assert_string_equal(out.data, want);
		rig_release(&rig);
	}
}

#define BASE "accept/httpplus"
#define GET "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST "POST /f HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
#define OK10 "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
#define CHUNKED \
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nab\r\n\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n"

static void test_messages(void **state)
{
	(void)state;
	expect(BASE, GET, GET "|");
	expect(BASE, GET GET POST GET, GET "|" GET "|" POST "|" GET "|");
	expect(BASE, OK10 CHUNKED OK10, OK10 "|" CHUNKED "|" OK10 "|");
	expect(BASE "/get", GET POST GET, GET "|" GET "|");
	expect(BASE "/post", GET POST GET, POST "|");
	expect(BASE "/response", CHUNKED OK10, CHUNKED "|" OK10 "|");
	expect("accept/http", POST "\r\n\r\n" POST, POST "|" POST "|");
	expect(BASE, "PURGE /x HTTP/1.1\r\n\r\n" GET, "PURGE /x HTTP/1.1\r\n\r\n|" GET "|");
	expect(BASE, "GET / HTTP/1.0\n\n" GET, "GET / HTTP/1.0\n\n|" GET "|");
	expect(BASE, "PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" GET,
	       "PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n|" GET "|");
}

static void test_without_a_body(void **state)
{
#define R204 "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
#define R304 "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"
#define R100 "HTTP/1.1 100 Continue\r\n\r\n"

	(void)state;
	expect(BASE, R204 R304 R100 OK10, R204 "|" R304 "|" R100 "|" OK10 "|");
}

static void test_to_the_end(void **state)
{
#define OLD "HTTP/1.0 200 OK\r\n\r\nall of the rest\r\n" GET
#define GZIP "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabcdef"

	(void)state;
	expect(BASE, OK10 OLD, OK10 "|" OLD "|");
	expect(BASE, GZIP, GZIP "|");
	expect(BASE, "", "");
	/* not complete when it ends */
	expect(BASE, "GET /a HTTP/1.1\r\nHos", "GET /a HTTP/1.1\r\nHos|");
	expect(BASE "/get", "GET /a HTTP/1.1\r\nHos", "GET /a HTTP/1.1\r\nHos|");
	expect(BASE, "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
	       "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc|");
}

static void test_garbage(void **state)
{
	(void)state;
	expect(BASE, "SSH-2.0-x\r\n", "");
	expect(BASE, "\x16\x03\x01\x02", "");
	/* Between messages it is stepped over, line by line. */
	expect(BASE, GET "some words\r\nand more\r\n" GET, GET "|" GET "|");
	expect(BASE, OK10 "left over\n" OK10, OK10 "|" OK10 "|");
	/* What cannot be followed ends there. */
	expect(BASE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" GET,
	       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|" GET "|");
	expect(BASE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n" GET,
	       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab|" GET "|");
	expect(BASE, "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!\r\n" GET,
	       "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n|" GET "|");
	expect(BASE, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nhello!\r\n" GET,
	       "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n|" GET "|");
	expect(BASE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" GET,
	       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff|" GET "|");
}

static void test_counters(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	static const char in[] = GET
		"12345\n" POST "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" GET;
	struct rig rig;

	(void)state;
	run(&rig, BASE, in, sizeof(in) - 1, 10, &out);
	rig_expect(&rig, "messages", 4);
	rig_expect(&rig, "incomplete", 1);
	rig_expect(&rig, "skipped", 6 + 5);
	rig_expect(&rig, "flows", 0);
	rig_expect(&rig, "out", 4);
	rig_release(&rig);
}

/* A head without an end, a message longer than a record may be, and no memory. */
static void test_bounds(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	pfs_buf_str(&in, "GET / HTTP/1.1\r\n");
	while (in.len < 70000)
		pfs_buf_str(&in,
			    "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	pfs_buf_str(&in, GET);
	run(&rig, BASE, in.data, in.len, 1000, &out);
	assert_true(strncmp(out.data, in.data, 65536) == 0 && out.data[65536] == '|');
	assert_string_equal(out.data + 65537, GET "|");
	rig_expect(&rig, "incomplete", 1);
	rig_release(&rig);

	in.len = out.len = 0;
	pfs_buf_str(&in, "PUT / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n");
	for (size_t i = 0; i < 300000; i++)
		pfs_buf_add(&in, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
	pfs_buf_str(&in, GET);
	run(&rig, BASE ",message=100k/put", in.data, in.len, 1000, &out);
	assert_int_equal(out.data[102400], '|');
	assert_int_equal(out.data[2 * 102401 - 1], '|');
	assert_int_equal(out.len, 300000 + 42 + 3 + 1);
	rig_release(&rig);
}

static void test_json(void **state)
{
	static const char in[] = GET POST "HTTP/1.0 404 No\r\n\r\n\"\x01\xff";
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, BASE, "json", in, sizeof(in) - 1, 20, &out);
	pfs_buf_add(&out, "", 1);
	assert_non_null(strstr(out.data, "\"len\":28,\"http\":\"request\",\"method\":\"GET\","
					 "\"host\":\"x\",\"path\":\"/a\","
					 "\"version\":\"1.1\",\"head\":28,\"body\":0}\n"));
	assert_non_null(strstr(out.data, "\"method\":\"POST\",\"path\":\"/f\",\"content_length\":5,\"version\":\"1.1\","
					 "\"head\":39,\"body\":5}\n"));
	assert_non_null(strstr(
		out.data,
		"\"http\":\"response\",\"status\":404,\"version\":\"1.0\",\"head\":19,\"body\":3}"));
	rig_release(&rig);
}

/* --- below stream ------------------------------------------------------------------------ */

struct talk {
	struct pfs_buf cap;
	uint32_t seq[3]; /* by host */
};

static void say(struct talk *t, unsigned from, uint8_t flags, const char *text)
{
	cap_tcp(&t->cap, from, 3 - from, t->seq[from], flags, text);
	t->seq[from] += (uint32_t)strlen(text) + (flags & 1) + (flags & SYN ? 1 : 0);
}

static void talk_begin(struct talk *t)
{
	*t = (struct talk){ .seq = { 0, 100, 500 } };
	cap_head(&t->cap, 1);
	say(t, 1, SYN, "");
	say(t, 2, SYN | ACK, "");
}

static void talk_expect(struct talk *t, const char *path, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	run(&rig, path, t->cap.data, t->cap.len, 0, &out);
	assert_string_equal(out.data, want);
	rig_release(&rig);
}

#define STREAM "accept/unpcap/stream/http"
#define HEAD_ "HEAD /h HTTP/1.1\r\n\r\n"
#define HEAD_OK "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

static void test_a_response_knows_its_request(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t);
	say(&t, 1, ACK, GET HEAD_ "HEAD /2 HT");
	say(&t, 1, FIN_ACK, "TP/1.1\r\n\r\n" POST);
	say(&t, 2, ACK, OK10 "HTTP/1.1 103 Early\r\n\r\n" HEAD_OK HEAD_OK);
	say(&t, 2, FIN_ACK, OK10);
	talk_expect(&t, STREAM "/response",
		    OK10 "|HTTP/1.1 103 Early\r\n\r\n|" HEAD_OK "|" HEAD_OK "|" OK10 "|");
	talk_expect(&t, STREAM "/head", HEAD_ "|HEAD /2 HTTP/1.1\r\n\r\n|");
	pfs_buf_release(&t.cap);
}

static void test_tunnels(void **state)
{
#define CONNECT "CONNECT h:443 HTTP/1.1\r\n\r\n"
#define UPGRADE "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	struct talk t;

	(void)state;
	talk_begin(&t);
	say(&t, 1, ACK, CONNECT);
	say(&t, 2, ACK, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
	say(&t, 1, ACK, CONNECT);
	say(&t, 2, ACK, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" OK10);
	say(&t, 1, ACK, GET);
	say(&t, 2, ACK, OK10);
	talk_expect(&t, STREAM,
		    CONNECT "|HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno|" CONNECT
			    "|HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n|");
	pfs_buf_release(&t.cap);

	talk_begin(&t);
	say(&t, 1, ACK, UPGRADE);
	say(&t, 2, ACK, SWITCH GET);
	say(&t, 1, ACK, GET);
	talk_expect(&t, STREAM, UPGRADE "|" SWITCH "|");
	pfs_buf_release(&t.cap);
}

static void test_messages_across_segments(void **state)
{
	struct talk t;

	(void)state;
	talk_begin(&t);
	say(&t, 1, ACK, "GET /a HTTP/1.1\r\nHo");
	say(&t, 1, ACK, "st: x\r\n\r");
	say(&t, 1, ACK, "\n" GET "GE");
	say(&t, 1, ACK, "T /a HTTP/1.1\r\nHost: x\r\n\r\n");
	say(&t, 2, ACK, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
	say(&t, 2, ACK, "01234");
	t.seq[2] += 5;
	say(&t, 2, ACK, OK10); /* overtaken */
	t.seq[2] -= 5 + (uint32_t)strlen(OK10);
	say(&t, 2, ACK, "56789");
	t.seq[2] += (uint32_t)strlen(OK10);
	say(&t, 2, FIN_ACK, "HTTP/1.1 200 OK\r\n\r\nto the end");
	talk_expect(&t, STREAM "/get", GET "|" GET "|" GET "|");
	talk_expect(&t, STREAM "/response", OK10 "|" OK10 "|HTTP/1.1 200 OK\r\n\r\nto the end|");
	pfs_buf_release(&t.cap);
}

static void test_gaps(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	struct talk t;

	(void)state;
	talk_begin(&t);
	say(&t, 2, ACK, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01");
	t.seq[2] += 4; /* in the body: it goes on */
	say(&t, 2, ACK, "6789" OK10);
	t.seq[2] += 7; /* between messages */
	say(&t, 2, ACK, "half of a line\n" OK10 "HTTP/1.1 200 OK\r\nContent-Le");
	t.seq[2] += 7; /* in a head */
	say(&t, 2, ACK, "0\r\n\r\n" OK10 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n01");
	t.seq[2] += 70; /* to the next message */
	say(&t, 2, ACK, "rest\r\n" OK10);
	run(&rig, STREAM "/response", t.cap.data, t.cap.len, 0, &out);
	assert_string_equal(out.data, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01|6789|" OK10
				      "|" OK10 "|HTTP/1.1 200 OK\r\nContent-Le|" OK10
				      "|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n01|" OK10 "|");
	rig_release(&rig);
	out.len = 0;
	rig_run(&rig, STREAM, "json", t.cap.data, t.cap.len, 0, &out);
	rig_expect(&rig, "incomplete", 3);
	rig_expect(&rig, "messages", 6);
	pfs_buf_add(&out, "", 1);
	assert_non_null(strstr(
		out.data, "\"src\":\"10.0.0.2\",\"sport\":1002,\"dst\":\"10.0.0.1\",\"dport\":1001,"));
	assert_non_null(
		strstr(out.data, "\"side\":\"b\",\"offset\":45,\"len\":4,\"http\":\"part\"}\n"));
	rig_release(&rig);
	pfs_buf_release(&t.cap);
}

/* Many connections with half a message each: the table and the memory hold. */
static void test_memory(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	static char body[1400];
	struct rig rig;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	cap_head(&cap, 1);
	for (unsigned i = 0; i < 300; i++) {
		cap_tcp(&cap, i, i + 1, 1, ACK, "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
		for (unsigned j = 0; j < 10; j++)
			cap_tcp(&cap, i, i + 1, 44 + j * 1399, ACK, body);
	}
	run(&rig, STREAM ",memory=1M/post", cap.data, cap.len, 0, &out);
	assert_true(out.len > 300 * 14033);
	rig_release(&rig);
	out.len = 0;
	run(&rig, STREAM ",flows=64", cap.data, cap.len, 0, &out);
	rig_expect(&rig, "evicted", 300 - 64);
	rig_expect(&rig, "lost.evicted", 300 - 64);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_without_a_body),
		cmocka_unit_test(test_to_the_end),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_a_response_knows_its_request),
		cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_messages_across_segments),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
