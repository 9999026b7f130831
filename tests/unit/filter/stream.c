/*
 * stream: through the graph; what it does with segments is tested in tests/unit/packet/tcpstream.c
 */
#include "../rig.h"

#include "packet/generate.h"

#define BASE "accept/unpcap/stream"
#define ACK 0x10
#define FIN_ACK 0x11
#define SYN 0x02

/* a is host 1. Its first bytes come too late, b's second are missing. */
static void talk(struct pfs_buf *cap)
{
	cap_head(cap, 1);
	cap_tcp(cap, 1, 2, 99, SYN, "");
	cap_tcp(cap, 2, 1, 499, SYN | ACK, "");
	cap_tcp(cap, 1, 2, 103, ACK, "lo ");
	cap_tcp(cap, 1, 2, 100, ACK, "hel");
	cap_tcp(cap, 2, 1, 500, ACK, "one ");
	cap_tcp(cap, 1, 2, 106, FIN_ACK, "b\n");
	cap_tcp(cap, 2, 1, 509, FIN_ACK, "\xffthree");
}

static void expect(const struct pfs_buf *cap, const char *path, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	rig_run(&rig, path, NULL, cap->data, cap->len, 0, &out);
	pfs_buf_add(&out, "", 1);
	assert_string_equal(out.data, want);
	rig_release(&rig);
}

static void test_bytes(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	talk(&cap);
	expect(&cap, BASE "/a", "hello b\n");
	expect(&cap, BASE "/b", "one \xffthree");
	expect(&cap, BASE "/a/snap:2", "helob\n"); /* of "hel", "lo ", "b\n" */
	expect(&cap, BASE "/head:3", "hello one ");
	expect(&cap, "accept/unpcap/udp/stream", "");
}

static void test_json(void **state)
{
	static const char *const want[] = {
		"\"src\":\"10.0.0.1\",\"sport\":1001,\"dst\":\"10.0.0.2\",\"dport\":1002,\"stream\":",
		"\"side\":\"a\",\"offset\":0,\"len\":3,\"data\":\"hel\"}\n",
		"\"side\":\"a\",\"offset\":3,\"len\":3,\"data\":\"lo \"}\n",
		"\"side\":\"a\",\"offset\":6,\"len\":2,\"data\":\"b\\u000a\"}\n",
		"\"src\":\"10.0.0.2\",\"sport\":1002,\"dst\":\"10.0.0.1\",\"dport\":1001,\"stream\":",
		"\"side\":\"b\",\"offset\":0,\"len\":4,\"data\":\"one \"}\n",
		"\"side\":\"b\",\"offset\":4,\"len\":0,\"gap\":5}\n",
		"\"side\":\"b\",\"offset\":9,\"len\":6,\"data\":\"\\u00ffthree\"}\n",
	};
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	talk(&cap);
	rig_run(&rig, BASE, "json", cap.data, cap.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_non_null(strstr(out.data, want[i]));
	rig_expect(&rig, "gaps", 1);
	rig_expect(&rig, "missing", 5);
	rig_expect(&rig, "out", 6);
	rig_expect(&rig, "connections", 0);
	rig_expect(&rig, "held", 0);
	rig_release(&rig);
}

static void test_text(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	talk(&cap);
	rig_run(&rig, BASE, "txt", cap.data, cap.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	assert_non_null(strstr(out.data, "10.0.0.1.1001 > 10.0.0.2.1002: stream "));
	assert_non_null(strstr(out.data, " b offset 4 gap 5\n"));
	assert_non_null(strstr(out.data, " b offset 9 len 6\n        0x0000:  ff74 6872 6565"));
	rig_release(&rig);
}

/* A capture file sent through TCP, out of order, is a capture file again; with a part missing it ends there. */
static void test_a_capture_in_a_connection(void **state)
{
	PFS_BUF struct pfs_buf inner = { 0 }, cap = { 0 }, out = { 0 }, bare = { 0 };
	struct rig rig;
	char piece[101];

	(void)state;
	cap_head(&inner, 1);
	for (uint32_t i = 1; i < 200; i++)
		cap_tcp(&inner, 1, 2, 0x01010101 * i, ACK, "payload");
	for (int lossy = 0; lossy < 2; lossy++) {
		cap.len = out.len = bare.len = 0;
		cap_head(&cap, 1);
		cap_tcp(&cap, 1, 2, 0, SYN, "");
		for (size_t at = 0; at < inner.len; at += 100) {
			size_t back = at / 100 % 2 ? at - 100 : pfs_min(at + 100, inner.len), n;
			uint8_t frame[2048];
			PFS_BUF struct pfs_buf one = { 0 };

			if (back >= inner.len)
				back = at;
			n = pfs_min(inner.len - back, 100);
			memset(piece, 'x', n);
			piece[n] = '\0';
			cap_tcp(&one, 1, 2, (uint32_t)(1 + back), ACK, piece);
			assert_true(one.len == 16 + 54 + n);
			memcpy(frame, one.data + 16, 54 + n);
			memcpy(frame + 54, inner.data + back, n);
			if (!lossy || back != 5000)
				cap_packet(&cap, RIG_TIME, frame, 54 + n);
		}
		rig_run(&rig, BASE "/unpcap", NULL, cap.data, cap.len, 0, &out);
		rig_bare_packets(&inner, &bare);
		if (!lossy) {
			assert_int_equal(out.len, bare.len);
			assert_memory_equal(out.data, bare.data, bare.len);
			rig_expect(&rig, "lost", 0);
		} else {
			assert_true(out.len > 3000 && out.len < 5000);
			assert_memory_equal(out.data, bare.data, out.len);
			rig_expect(&rig, "lost.gap", 1);
		}
		rig_release(&rig);
	}
}

static void test_what_is_lost(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	uint8_t *ip;
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "abcdefgh");
	cap_tcp(&cap, 1, 2, 9, ACK, "abcdefgh");
	ip = (uint8_t *)cap.data + cap.len - 62 + 14;
	ip[6] = 0x20; /* the first fragment */
	cap_tcp(&cap, 1, 2, 17, ACK, "abcdefgh");
	ip = (uint8_t *)cap.data + cap.len - 62 + 14;
	ip[32] = 0x10; /* a header of sixteen bytes */
	rig_run(&rig, BASE, NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(out.len, 8);
	rig_expect(&rig, "lost.fragment", 1);
	rig_expect(&rig, "lost.malformed", 1);
	rig_release(&rig);
}

/* Behind a filter that narrowed packets the headers have to be copied; nothing else changes. */
static void test_truncated_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "abcdefgh");
	cap_tcp(&cap, 1, 2, 9, ACK, "ABCDEFGH");
	expect(&cap, "accept/unpcap/snap:58/stream", "abcdABCD");
	expect(&cap, "accept/unpcap/snap:50/stream", "");
}

/* The reader sleeps until what has to be copied fills its ring: all waits, nothing is lost, all comes in order. */
static void test_a_full_ring(void **state)
{
	enum { PAIRS = 12000, LEN = 1000 };
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	static char text[LEN + 1];
	size_t at = 0;
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 0, SYN, "");
	for (uint32_t i = 0; i < PAIRS; i++) { /* each second one comes first */
		for (uint32_t j = 0; j < 2; j++) {
			uint32_t n = 2 * i + !j;

			memset(text, 'a' + (int)(n % 26), LEN);
			cap_tcp(&cap, 1, 2, 1 + n * LEN, ACK, text);
		}
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
	assert_int_equal(out.len, 2 * PAIRS * LEN);
	for (size_t i = 0; i < out.len; i++)
		assert_int_equal(out.data[i], 'a' + (int)(i / LEN % 26));
	rig_expect(&rig, "lost", 0);
	rig_expect(&rig, "gaps", 0);
	rig_release(&rig);
}

/* All of a generated capture with disorder and loss: each side's offsets go on where the last record ended. */
static void test_generated_traffic(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct generate_options options = GENERATE_DEFAULTS;
	uint64_t next[4096] = { 0 };
	struct rig rig;
	unsigned lines = 0;

	(void)state;
	options.packets = 20000;
	options.mix = GENERATE_TALK_HTTP | GENERATE_TALK_TLS;
	options.disorder = 100;
	options.lost = 10;
	assert_int_equal(capture_generate_buf(&options, &cap, NULL), 0);
	rig_run(&rig, BASE, "json", cap.data, cap.len, 0, &out);
	pfs_buf_add(&out, "", 1);
	for (char *line = out.data; *line; line = strchr(line, '\n') + 1) {
		char *stream = strstr(line, "\"stream\":"), *rest;
		unsigned long id = strtoul(stream + 9, &rest, 10);
		unsigned long offset, len;
		char side;

		assert_int_equal(sscanf(rest, ",\"side\":\"%c\",\"offset\":%lu,\"len\":%lu", &side,
					&offset, &len),
				 3);
		id = (id + (side == 'b')) % ARRAY_SIZE(next);
		assert_int_equal(offset, next[id]);
		if (len == 0)
			assert_int_equal(sscanf(strstr(rest, "\"gap\""), "\"gap\":%lu", &len), 1);
		next[id] += len;
		lines++;
	}
	rig_expect(&rig, "out", lines);
	rig_expect(&rig, "held", 0);
	assert_true(rig_stat(&rig, "gaps") > 10);
	rig_release(&rig);
}

static void test_parameters(void **state)
{
	static const char *const wrong[] = { "flows=63",  "hold=1", "memory=0",
					     "timeout=0", "gap=-1", "gap=x" };
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag;
	struct rig rig;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(path, sizeof(path), BASE ",%s", wrong[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_non_null(strstr(diag.text, "takes a number from"));
		rig_release(&rig);
	}
	assert_int_equal(rig_try(&rig, "accept/stream", &diag), -EINVAL);
	rig_release(&rig);
	rig_open(&rig, BASE ",flows=100,hold=64k,memory=1M,timeout=10,gap=0", NULL);
	assert_int_equal(pfs_node_params_set(rig.node, "gap=5\n", 6, &cred, &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, "gap=no\n", 7, &cred, &diag), -EINVAL);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_a_capture_in_a_connection),
		cmocka_unit_test(test_what_is_lost),
		cmocka_unit_test(test_truncated_packets),
		cmocka_unit_test(test_a_full_ring),
		cmocka_unit_test(test_generated_traffic),
		cmocka_unit_test(test_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
