/*
 * packetcount bytecount top: numbers that are right, and within their bounds
 */
#include "../rig.h"

#include "packet/generate.h"

#define PORTS 3000

/* The last line of what a numbers directory gives. */
static const char *last_line(const struct pfs_buf *out)
{
	const char *at = out->data + out->len - 1;

	assert_true(out->len > 0 && *at == '\n');
	while (at > out->data && at[-1] != '\n')
		at--;
	return at;
}

static uint64_t number_in(const char *line, const char *key)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(line, quoted);
	assert_non_null(at);
	return strtoull(at + strlen(quoted), NULL, 10);
}

static void generated(struct pfs_buf *cap, struct generate_counts *counts)
{
	struct generate_options options = GENERATE_DEFAULTS;

	options.packets = 4000;
	options.snaplen = 90;
	assert_int_equal(capture_generate_buf(&options, cap, counts), 0);
}

static void test_packets_and_bytes(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct generate_counts counts;
	uint64_t wire = 0, captured = 0;
	struct rig rig;

	(void)state;
	generated(&cap, &counts);
	for (size_t at = 24; at < cap.len; at += 16 + le32_load((uint8_t *)cap.data + at + 8)) {
		captured += le32_load((uint8_t *)cap.data + at + 8);
		wire += le32_load((uint8_t *)cap.data + at + 12);
	}
	assert_true(wire > captured);

	rig_run(&rig, "accept/unpcap/packetcount", NULL, cap.data, cap.len, 7777, &out);
	assert_int_equal(number_in(last_line(&out), "packets"), counts.packets);
	assert_int_equal(rig_stat(&rig, "packets"), counts.packets);
	assert_int_equal(rig_stat(&rig, "in"), counts.packets);
	assert_int_equal(rig_stat(&rig, "lost"), 0);
	rig_release(&rig);

	rig_run(&rig, "accept/unpcap/snap:60/bytecount", "json", cap.data, cap.len, 7777, &out);
	assert_int_equal(number_in(last_line(&out), "bytes"), wire);
	assert_true(number_in(last_line(&out), "captured") <= counts.packets * 60);
	rig_expect(&rig, "wire", wire);
	rig_release(&rig);

	rig_run(&rig, "accept/bytecount", "txt", cap.data, cap.len, 7777, &out);
	assert_int_equal(number_in(last_line(&out), "bytes"), cap.len);
	assert_int_equal(number_in(last_line(&out), "captured"), cap.len);
	rig_release(&rig);
}

/* Without a reader; who comes later is told at once, in every view. */
static void test_counting_needs_no_reader(void **state)
{
	static const char *const views[] = { NULL, "json", "txt" };
	PFS_BUF struct pfs_buf cap = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < 500; i++)
		cap_tcp(&cap, 1, 2, i, 0x10, "x");
	rig_run(&rig, "accept/unpcap/packetcount", "", cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "packets", 500);
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		PFS_BUF struct pfs_buf out = { 0 };

		rig_read(&rig, views[i]);
		rig_drain(&rig, &out);
		assert_true(out.len > 0 && strchr(out.data, '\n') == out.data + out.len - 1);
		assert_memory_equal(out.data, "{\"time\":\"20", 11);
		assert_int_equal(number_in(out.data, "packets"), 500);
		pfs_reader_close(TAKE_PTR(rig.reader));
	}
	rig_release(&rig);
}

/* A line at once, then one in a second, though nothing comes any more; none after that. */
static void test_lines_come_in_time(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;
	unsigned lines = 0;
	uint64_t since = pfs_clock_mono();

	(void)state;
	rig_open(&rig, "accept/bytecount", NULL);
	writer = rig_writer(&rig);
	assert_int_equal(pfs_writer_write(writer, "abc", 3), 3);
	assert_int_equal(pfs_writer_write(writer, "de", 2), 2);
	rig_drain(&rig, &out);
	assert_int_equal(number_in(last_line(&out), "bytes"), 3);
	for (int i = 0; number_in(last_line(&out), "bytes") == 3 && i < PATIENCE; i++) {
		usleep(1000);
		rig_drain(&rig, &out);
	}
	assert_true(pfs_clock_mono() - since >= UINT64_C(900000000));
	assert_int_equal(number_in(last_line(&out), "bytes"), 5);
	usleep(1300000); /* nothing is new: nothing is told */
	rig_drain(&rig, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, 3); /* one for who came, two of what was counted */
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	rig_release(&rig);
}

/* --- top --------------------------------------------------------------------------------------------- */

/* Port 2000 + i comes as often as PORTS / (i + 1), all of them mixed. */
static uint64_t zipf(struct pfs_buf *cap, uint64_t *counts)
{
	uint64_t total = 0;
	uint32_t seq = 0;

	cap_head(cap, PFS_LINK_ETHERNET);
	for (unsigned round = 1; round <= PORTS; round++)
		for (unsigned i = 0; i < PORTS && (i + 1) * round <= PORTS; i++) {
			cap_tcp(cap, 500, 1000 + i, seq++, 0x10, i % 2 ? "" : "xxxxxxxxxx");
			counts[i]++;
			total++;
		}
	return total;
}

struct told {
	uint64_t count, error;
};

/* What the line says of each port; 0: nothing. */
static size_t told_of(const char *line, const char *by, struct told *told)
{
	const char *at = strstr(line, "\"top\":[");
	size_t n = 0;
	uint64_t before = UINT64_MAX;

	assert_non_null(at);
	while ((at = strstr(at, "{\"dstport\":\""))) {
		unsigned port = (unsigned)strtoul(at + 12, NULL, 10);

		assert_in_range(port, 2000, 2000 + PORTS - 1);
		told[port - 2000].count = number_in(at, by);
		told[port - 2000].error = number_in(at, "error");
		assert_true(told[port - 2000].count <= before);
		before = told[port - 2000].count;
		at++;
		n++;
	}
	return n;
}

static void test_top_is_exact_while_there_is_room(void **state)
{
	static uint64_t counts[PORTS];
	static struct told told[PORTS];
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	uint64_t total = zipf(&cap, counts);
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept/unpcap/top:dstport,keep=3000,n=1000", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(number_in(last_line(&out), "total"), total);
	assert_int_equal(number_in(last_line(&out), "error"), 0);
	assert_int_equal(told_of(last_line(&out), "packets", told), 1000);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(told[i].count, counts[i]);
		assert_int_equal(told[i].error, 0);
	}
	assert_int_equal(rig_stat(&rig, "keys"), PORTS);
	assert_int_equal(rig_stat(&rig, "top.2000"), counts[0]);
	assert_int_equal(rig_stat(&rig, "top.2001"), counts[1]);
	rig_release(&rig);
}

/* What the manual promises of the errors. */
static void test_top_keeps_its_bounds(void **state)
{
	static const unsigned keeps[] = { 1, 2, 10, 50, 200, 1000 };
	static uint64_t counts[PORTS];
	PFS_BUF struct pfs_buf cap = { 0 };
	uint64_t total = zipf(&cap, counts);

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(keeps); k++) {
		static struct told told[PORTS];
		PFS_BUF struct pfs_buf out = { 0 };
		const char *line;
		struct rig rig;
		char path[80];

		memset(told, 0, sizeof(told));
		snprintf(path, sizeof(path), "accept/unpcap/top:dstport,keep=%u,n=%u", keeps[k],
			 keeps[k]);
		rig_run(&rig, path, NULL, cap.data, cap.len, 0, &out);
		line = last_line(&out);
		assert_int_equal(told_of(line, "packets", told), keeps[k]);
		assert_int_equal(number_in(line, "total"), total);
		assert_true(number_in(line, "error") <= total / keeps[k]);
		for (unsigned i = 0; i < PORTS; i++) {
			if (!told[i].count) {
				assert_true(counts[i] <= total / keeps[k]);
				assert_true(counts[i] <= number_in(line, "error"));
				continue;
			}
			assert_true(told[i].count >= counts[i]);
			assert_true(told[i].count <= counts[i] + told[i].error);
			assert_true(told[i].error <= total / keeps[k]);
			assert_true(told[i].error <= number_in(line, "error"));
		}
		rig_release(&rig);
	}
}

static void test_top_by_bytes(void **state)
{
	static uint64_t counts[PORTS];
	static struct told told[PORTS];
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	zipf(&cap, counts);
	rig_run(&rig, "accept/unpcap/snap:50/top:dstport,by=bytes,keep=64k,n=1000", NULL, cap.data,
		cap.len, 0, &out);
	rig_release(&rig);
	rig_run(&rig, "accept/unpcap/snap:50/top:dstport,by=bytes,keep=5000,n=1000", NULL, cap.data,
		cap.len, 0, &out);
	told_of(last_line(&out), "bytes", told);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(told[i].count, counts[i] * (i % 2 ? 54 : 64));
	rig_release(&rig);
}

static void test_top_of_every_field(void **state)
{
	static const struct {
		const char *field, *first;
		uint64_t total, count;
	} fields[] = {
		{ "host", "10.0.0.1", 20, 10 },
		{ "srcip", "10.0.0.1", 10, 10 },
		{ "dstip", "10.0.0.2", 10, 10 },
		{ "port", "1001", 20, 10 },
		{ "srcport", "1001", 10, 10 },
		{ "dstport", "1002", 10, 10 },
		{ "proto", "tcp", 10, 10 },
		{ "flow", "10.0.0.1:1001-10.0.0.2:1002-tcp", 10, 10 },
		{ "len", "57", 10, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		PFS_BUF struct pfs_buf cap = { 0 };
		PFS_BUF struct pfs_buf out = { 0 };
		char text[128];
		struct rig rig;

		cap_head(&cap, PFS_LINK_ETHERNET);
		for (uint32_t n = 0; n < 10; n++)
			cap_tcp(&cap, 1, 2, n, 0x10, "abc");
		cap_packet(&cap, RIG_TIME, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5", 14);
		snprintf(text, sizeof(text), "accept/unpcap/top:%s", fields[i].field);
		rig_run(&rig, text, NULL, cap.data, cap.len, 0, &out);
		snprintf(text, sizeof(text), "\"top\":[{\"%s\":\"%s\",\"packets\":10,\"error\":0}",
			 fields[i].field, fields[i].first);
		assert_non_null(strstr(last_line(&out), text));
		assert_int_equal(rig_stat(&rig, "unfit"), strcmp(fields[i].field, "len") ? 1 : 0);
		assert_int_equal(number_in(last_line(&out), "total"),
				 fields[i].total + !strcmp(fields[i].field, "len"));
		rig_release(&rig);
	}
}

static void test_bad_arguments_are_refused(void **state)
{
	static const char *const bad[] = { "top",
					   "top:",
					   "top:x",
					   "top:port,by=x",
					   "top:port,n=0",
					   "top:port,n=1001",
					   "top:port,keep=0",
					   "top:port,keep=1M",
					   "top:port,keep=5,n=6",
					   "top:port,every=0",
					   "packetcount:5",
					   "packetcount,every=x" };
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag;
	struct rig rig;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "accept/unpcap/%s", bad[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_true(diag.text[0] != '\0');
		rig_release(&rig);
	}
	assert_int_equal(rig_try(&rig, "accept/packetcount", &diag), -EINVAL); /* bytes are no packets */
	rig_release(&rig);
	assert_int_equal(rig_try(&rig, "accept/unpcap/top:port", &diag), 0);
	assert_int_equal(pfs_node_params_set(rig.node, "keep=5", 6, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=host", 8, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(rig.node, "n=5\nevery=9", 11, &cred, &diag), 0);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_and_bytes),
		cmocka_unit_test(test_counting_needs_no_reader),
		cmocka_unit_test(test_lines_come_in_time),
		cmocka_unit_test(test_top_is_exact_while_there_is_room),
		cmocka_unit_test(test_top_keeps_its_bounds),
		cmocka_unit_test(test_top_by_bytes),
		cmocka_unit_test(test_top_of_every_field),
		cmocka_unit_test(test_bad_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
