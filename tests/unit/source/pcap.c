/*
 * pcap: the packets of a file, from the beginning at each run; faults; pace
 */
#include "../rig.h"

#include <fcntl.h>

#include "packet/generate.h"

static char file[] = "/tmp/pipesfs-test-XXXXXX";
static char path[64]; /* "pcap:%2ftmp%2f…" */
static struct pfs_buf capture;
static struct generate_counts counts;

static void file_write(const void *bytes, size_t n)
{
	int fd = open(file, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static int setup(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf escaped = { 0 };

	(void)state;
	close(mkstemp(file));
	pfs_name_escape(&escaped, file, strlen(file));
	snprintf(path, sizeof(path), "pcap:%s", escaped.data);
	options.packets = 20000; /* several blocks */
	return capture_generate_buf(&options, &capture, &counts);
}

static int teardown(void **state)
{
	(void)state;
	pfs_buf_release(&capture);
	return unlink(file);
}

/* Reads to the end of the generation: the source has a thread of its own. */
static void read_to_end(struct rig *rig, struct pfs_buf *out)
{
	int r;

	WAIT_WHILE((r = rig_drain(rig, out)) != 0);
	assert_int_equal(r, 0);
}

static void test_every_run_is_the_whole_file(void **state)
{
	PFS_BUF struct pfs_buf want = { 0 };
	struct rig rig;

	(void)state;
	assert_true(capture.len > 3 << 20);
	rig_bare_packets(&capture, &want);
	file_write(capture.data, capture.len);
	rig_open(&rig, path, "");
	for (int run = 0; run < 3; run++) {
		PFS_BUF struct pfs_buf out = { 0 };

		rig_read(&rig, NULL);
		read_to_end(&rig, &out);
		pfs_reader_close(TAKE_PTR(rig.reader));
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.data, want.data, want.len);
	}
	rig_expect(&rig, "packets", 3 * counts.packets);
	rig_expect(&rig, "lost", 0);
	rig_release(&rig);
}

static void test_a_reader_that_leaves_stops_it(void **state)
{
	struct rig rig;

	(void)state;
	file_write(capture.data, capture.len);
	for (int i = 0; i < 20; i++) {
		PFS_BUF struct pfs_buf out = { 0 };

		rig_open(&rig, path, NULL);
		while (out.len == 0)
			rig_drain(&rig, &out);
		rig_release(&rig);
	}
}

static void expect_end(size_t n, uint64_t packets, const char *lost)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	rig_open(&rig, path, NULL);
	read_to_end(&rig, &out);
	rig_expect(&rig, "packets", packets);
	rig_expect(&rig, "read", n);
	rig_expect(&rig, lost ? lost : "lost", lost ? 1 : 0);
	rig_release(&rig);
}

static void test_faults(void **state)
{
	PFS_BUF struct pfs_buf bad = { 0 };

	(void)state;
	file_write(capture.data, 24);
	expect_end(24, 0, NULL);
	file_write(capture.data, capture.len - 1);
	expect_end(capture.len - 1, counts.packets - 1, "lost.truncated");
	file_write(capture.data, 20);
	expect_end(20, 0, "lost.truncated");
	pfs_buf_add(&bad, capture.data, 24 + 16 + le32_load((const uint8_t *)capture.data + 32));
	pfs_buf_add(&bad, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	file_write(bad.data, bad.len);
	expect_end(bad.len, 1, "lost.malformed");
	file_write("", 0);
	expect_end(0, 0, NULL);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *path;
		int error;
		const char *words;
	} cases[] = {
		{ "pcap:%2fnonexistent", -ENOENT, "" },
		{ "pcap:%2fdev%2fnull", -EINVAL, "not a regular file" },
		{ "pcap:%2ftmp", -EINVAL, "" },
		{ "pcap:%2fetc%2fpasswd", -EINVAL, "neither pcap nor pcapng" },
		{ "pcap:", -EINVAL, "needs a file" },
		{ "pcap:%2fdev%2fnull,speed=2x", -EINVAL, "max or 1x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pfs_diag diag;
		struct rig rig;
		int r = rig_try(&rig, cases[i].path, &diag);

		if (r != cases[i].error || !strstr(diag.text, cases[i].words))
			print_error("%s: %d %s\n", cases[i].path, r, diag.text);
		assert_int_equal(r, cases[i].error);
		assert_non_null(strstr(diag.text, cases[i].words));
		rig_release(&rig);
	}
}

static void test_the_pace_of_the_capture(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	uint64_t start;
	struct rig rig;
	char paced[96];

	(void)state;
	cap_head(&cap, 1);
	cap_packet(&cap, RIG_TIME, "a", 1);
	cap_packet(&cap, RIG_TIME + 150000000, "b", 1);
	cap_packet(&cap, RIG_TIME + 100000000, "c", 1); /* back in time: at once */
	file_write(cap.data, cap.len);
	snprintf(paced, sizeof(paced), "%s,speed=1x", path);
	start = pfs_clock_mono();
	rig_open(&rig, paced, NULL);
	while (out.len < 1)
		rig_drain(&rig, &out);
	assert_int_equal(out.len, 1);
	read_to_end(&rig, &out);
	assert_in_range(pfs_clock_mono() - start, 150000000, 2000000000);
	assert_memory_equal(out.data, "abc", 3);
	rig_release(&rig);
	/* and a wait is left at once when nobody wants the rest */
	le32_store((uint8_t *)cap.data + 24 + 17, UINT32_MAX);
	file_write(cap.data, cap.len);
	start = pfs_clock_mono();
	rig_open(&rig, paced, NULL);
	while (out.len < 4)
		rig_drain(&rig, &out);
	rig_release(&rig);
	assert_in_range(pfs_clock_mono() - start, 0, 2000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_run_is_the_whole_file),
		cmocka_unit_test(test_a_reader_that_leaves_stops_it),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_the_pace_of_the_capture),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
