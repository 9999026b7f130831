/*
 * file: what is in the file afterwards, also when there was no room for it
 */
#include "../rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "packet/capture.h"

static char dir[] = "/tmp/pipesfs-test-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* "accept/unpcap/file:%2ftmp%2f…%2fNAME" */
static void sink_path(char *path, size_t size, const char *above, const char *name, const char *params)
{
	PFS_BUF struct pfs_buf full = { 0 }, escaped = { 0 };

	pfs_buf_printf(&full, "%s/%s", dir, name);
	pfs_name_escape(&escaped, full.data, full.len);
	snprintf(path, size, "%s/file:%s%s", above, escaped.data, params);
}

static void file_read(const char *name, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf path = { 0 };
	char part[4096];
	ssize_t n;
	int fd;

	out->len = 0;
	pfs_buf_printf(&path, "%s/%s", dir, name);
	fd = open(path.data, O_RDONLY);
	assert_true(fd >= 0);
	while ((n = read(fd, part, sizeof(part))) > 0)
		pfs_buf_add(out, part, (size_t)n);
	close(fd);
}

static void file_remove(const char *name)
{
	PFS_BUF struct pfs_buf path = { 0 };

	pfs_buf_printf(&path, "%s/%s", dir, name);
	unlink(path.data);
}

/* How many packets a capture file has; fails when it is none. */
static unsigned packets_in(const struct pfs_buf *file)
{
	struct capture_packet packet;
	struct capture capture;
	size_t at = 0, used, need;
	unsigned n = 0;
	int r;

	capture_init(&capture, CAPTURE_ANY);
	while ((r = capture_next(&capture, (const uint8_t *)file->data + at, file->len - at, &used,
				 &packet, &need, NULL)) > 0) {
		at += used;
		n++;
	}
	assert_int_equal(r, 0);
	assert_true(capture_complete(&capture, file->len - at - used));
	capture_release(&capture);
	return n;
}

static void test_bytes_as_they_are(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	char path[512];

	(void)state;
	sink_path(path, sizeof(path), "accept", "x.pcap", "");
	for (int i = 0; i < 2; i++) {
		rig_run(&rig, path, "", "hello world", 11, 3, NULL);
		rig_expect(&rig, "written", 11);
		rig_release(&rig);
		file_read("x.pcap", &out);
		assert_string_equal(out.data, "hello world");
	}
	sink_path(path, sizeof(path), "accept", "x.pcap", ",append=1");
	rig_run(&rig, path, "", " again", 6, 0, NULL);
	rig_expect(&rig, "in", 1);
	rig_release(&rig);
	file_read("x.pcap", &out);
	assert_string_equal(out.data, "hello world again");
	file_remove("x.pcap");
}

static void make_capture(struct pfs_buf *cap, unsigned n)
{
	cap_head(cap, 1);
	for (unsigned i = 0; i < n; i++)
		cap_tcp(cap, 1, 2, i, 0x10, "hello hello hello"); /* 71 bytes */
}

static void test_pcap_is_the_capture_again(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;
	char path[512];

	(void)state;
	make_capture(&cap, 1000);
	sink_path(path, sizeof(path), "accept/unpcap", "x.pcap", "");
	rig_run(&rig, path, "", cap.data, cap.len, 10000, NULL);
	rig_expect(&rig, "in", 1000);
	rig_release(&rig);
	file_read("x.pcap", &out);
	assert_int_equal(out.len, cap.len);
	assert_memory_equal(out.data + 24, cap.data + 24, cap.len - 24); /* but for the snaplen */
	sink_path(path, sizeof(path), "accept/unpcap", "x.pcap", ",append=1");
	rig_run(&rig, path, "", cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "in", 1000);
	rig_release(&rig);
	file_read("x.pcap", &out);
	assert_int_equal(packets_in(&out), 2000);
	file_remove("x.pcap");
}

static void test_pcapng_and_raw(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;
	char path[512];

	(void)state;
	make_capture(&cap, 1000);
	for (int i = 1; i <= 2; i++) {
		sink_path(path, sizeof(path), "accept/unpcap", "x.pcapng", i == 2 ? ",append=1" : "");
		rig_run(&rig, path, "", cap.data, cap.len, 999, NULL);
		rig_expect(&rig, "in", 1000);
		rig_release(&rig);
		file_read("x.pcapng", &out);
		assert_int_equal(packets_in(&out), 1000 * i);
	}
	sink_path(path, sizeof(path), "accept/unpcap", "x.bin", "");
	rig_run(&rig, path, "", cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "in", 1000);
	rig_release(&rig);
	file_read("x.bin", &out);
	assert_int_equal(out.len, 71 * 1000);
	file_remove("x.pcapng");
	file_remove("x.bin");
}

static void test_a_pcap_file_has_one_link_type(void **state)
{
	PFS_BUF struct pfs_buf a = { 0 }, b = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;
	char path[512];

	(void)state;
	make_capture(&a, 5);
	cap_head(&b, 101);
	cap_packet(&b, RIG_TIME, "raw", 3);
	sink_path(path, sizeof(path), "accept/unpcap", "x.pcap", "");
	rig_open(&rig, path, "");
	writer = rig_writer(&rig);
	rig_write(&rig, writer, a.data, a.len, 0, NULL);
	pfs_writer_close(writer);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, b.data, b.len, 0, NULL);
	pfs_writer_close(writer);
	rig_expect(&rig, "lost.link-type", 1);
	rig_release(&rig);
	file_read("x.pcap", &out);
	assert_int_equal(packets_in(&out), 5);
	file_remove("x.pcap");
}

/* A limit of the file's size stands in for a full disk. */
static void test_what_does_not_fit_is_lost_and_the_file_stays_valid(void **state)
{
	static const char *const names[] = { "x.pcap", "x.pcapng" };
	struct rlimit old, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
		struct pfs_writer *writer;
		struct rig rig;
		char path[512];
		unsigned n;

		make_capture(&cap, 1000);
		small = (struct rlimit){ .rlim_cur = 20000, .rlim_max = old.rlim_max };
		sink_path(path, sizeof(path), "accept/unpcap", names[i], "");
		rig_open(&rig, path, "");
		writer = rig_writer(&rig);
		/* Rings are files too: they are made before the limit is set. */
		rig_write(&rig, writer, cap.data, 2000, 1000, NULL);
		rig_expect(&rig, "in", (2000 - 24) / (16 + 71));
		setrlimit(RLIMIT_FSIZE, &small);
		rig_write(&rig, writer, cap.data + 2000, cap.len - 2000, 10000, NULL);
		rig_expect(&rig, "in", 1000);
		setrlimit(RLIMIT_FSIZE, &old);
		pfs_writer_close(writer);
		file_read(names[i], &out);
		n = packets_in(&out);
		assert_in_range(n, 150, 250);
		rig_expect(&rig, "lost.too-large", 1000 - n);
		rig_expect(&rig, "written", out.len);
		assert_true(rig_stat(&rig, "errors") > 0);
		rig_release(&rig);
		file_remove(names[i]);
	}
}

static void test_an_empty_stream_is_a_valid_file(void **state)
{
	static const char *const names[] = { "x.pcap", "x.pcapng" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;
		char path[512];

		sink_path(path, sizeof(path), "accept/unpcap", names[i], "");
		rig_open(&rig, path, "");
		rig_release(&rig);
		file_read(names[i], &out);
		assert_true(out.len >= 24);
		assert_int_equal(packets_in(&out), 0);
		file_remove(names[i]);
	}
}

/* Packets in NAME.0.EXT and so on; the largest of the files must be no larger than max. */
static unsigned packets_in_ring(const char *ending, unsigned keep, size_t max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < keep; i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		char name[32];

		snprintf(name, sizeof(name), "x.%0*u.%s", keep > 10 ? 2 : 1, i, ending);
		file_read(name, &out);
		assert_true(out.len <= max);
		n += out.len ? packets_in(&out) : 0;
		file_remove(name);
	}
	return n;
}

static void test_a_ring_of_files_by_size(void **state)
{
	static const char *const endings[] = { "pcap", "pcapng" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		PFS_BUF struct pfs_buf cap = { 0 };
		struct rig rig;
		char path[512], name[16];
		uint64_t rotated;

		make_capture(&cap, 1000); /* 87,000 bytes as pcap */
		snprintf(name, sizeof(name), "x.%s", endings[i]);
		sink_path(path, sizeof(path), "accept/unpcap", name, ",rotate=4k,keep=64");
		rig_run(&rig, path, "", cap.data, cap.len, 1000, NULL);
		rig_expect(&rig, "in", 1000);
		rotated = rig_stat(&rig, "rotated");
		assert_in_range(rotated, 20, 60);
		rig_expect(&rig, "current", rotated);
		rig_release(&rig);
		assert_int_equal(packets_in_ring(endings[i], 64, 4096), 1000);

		/* The oldest are gone, the newest are there. */
		sink_path(path, sizeof(path), "accept/unpcap", name, ",rotate=4k,keep=3");
		rig_run(&rig, path, "", cap.data, cap.len, 1000, NULL);
		rig_expect(&rig, "rotated", rotated);
		rig_expect(&rig, "current", rotated % 3);
		rig_release(&rig);
		assert_in_range(packets_in_ring(endings[i], 3, 4096), 2 * 20, 3 * 50);
	}
}

static void test_a_ring_of_files_by_time(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct rig rig;
	char path[512];

	(void)state;
	cap_head(&cap, 1);
	for (unsigned i = 0; i < 100; i++)
		cap_packet(&cap, (1000 + i) * UINT64_C(1000000000), "an odd frame of bytes", 21);
	sink_path(path, sizeof(path), "accept/unpcap", "x.pcap", ",rotate=1m");
	rig_run(&rig, path, "", cap.data, cap.len, 0, NULL);
	rig_expect(&rig, "in", 100);
	rig_expect(&rig, "rotated", 1);
	rig_release(&rig);
	assert_int_equal(packets_in_ring("pcap", 10, 24 + 60 * (16 + 21)), 100);
}

/* Bytes: a record is never cut, not even one that is larger than a file should be. */
static void test_a_ring_of_bytes(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	char path[512];

	(void)state;
	sink_path(path, sizeof(path), "accept", "log", ",rotate=10,keep=2");
	rig_run(&rig, path, "", "123456789012345abcde", 20, 15, NULL);
	rig_expect(&rig, "rotated", 1);
	rig_release(&rig);
	file_read("log.0", &out);
	assert_string_equal(out.data, "123456789012345");
	file_read("log.1", &out);
	assert_string_equal(out.data, "abcde");
	file_remove("log.0");
	file_remove("log.1");
}

static void expect_refused(const char *path, int error, const char *words)
{
	struct pfs_diag diag;
	struct rig rig;

	assert_int_equal(rig_try(&rig, path, &diag), error);
	if (!strstr(diag.text, words))
		print_error("%s: %s\n", path, diag.text);
	assert_non_null(strstr(diag.text, words));
	rig_release(&rig);
}

static void test_refusals(void **state)
{
	char path[512], fifo[256];

	(void)state;
	expect_refused("accept/file:%2fnonexistent%2fx", -ENOENT, "");
	expect_refused("accept/file:%2fdev%2fnull", -EINVAL, "not a regular file");
	expect_refused("accept/file:", -EINVAL, "needs a path");
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	sink_path(path, sizeof(path), "accept", "fifo", ",append=1");
	expect_refused(path, -EINVAL, "not a regular file");
	sink_path(path, sizeof(path), "accept", "x", ",append=2");
	expect_refused(path, -EINVAL, "append=");
	file_remove("fifo");
	sink_path(path, sizeof(path), "accept", "x", ",keep=3");
	expect_refused(path, -EINVAL, "with rotate=");
	sink_path(path, sizeof(path), "accept", "x", ",rotate=1M,keep=65");
	expect_refused(path, -EINVAL, "keep=");
	sink_path(path, sizeof(path), "accept", "x", ",rotate=1M,append=1");
	expect_refused(path, -EINVAL, "do not go together");
	sink_path(path, sizeof(path), "accept", "x", ",rotate=soon");
	expect_refused(path, -EINVAL, "'soon'");
	sink_path(path, sizeof(path), "accept", "x", ",rotate=0s");
	expect_refused(path, -EINVAL, "'0s'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_as_they_are),
		cmocka_unit_test(test_pcap_is_the_capture_again),
		cmocka_unit_test(test_pcapng_and_raw),
		cmocka_unit_test(test_a_pcap_file_has_one_link_type),
		cmocka_unit_test(test_what_does_not_fit_is_lost_and_the_file_stays_valid),
		cmocka_unit_test(test_an_empty_stream_is_a_valid_file),
		cmocka_unit_test(test_a_ring_of_files_by_size),
		cmocka_unit_test(test_a_ring_of_files_by_time),
		cmocka_unit_test(test_a_ring_of_bytes),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
