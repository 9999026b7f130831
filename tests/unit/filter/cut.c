/*
 * lines, chunks: the same bytes in other records, whatever they came in
 */
#include "../rig.h"

#define STREAMS 5

/* What comes out of path, record by record: each behind its length. */
static void records(struct rig *rig, struct pfs_buf *out)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;
	ssize_t n;

	while ((n = pfs_reader_get(rig->reader, 2 << 20, true, false, gather, iov, &niov)) > 0) {
		uint8_t len[4];

		le32_store(len, (uint32_t)n);
		pfs_buf_add(out, len, sizeof(len));
		for (unsigned i = 0; i < niov; i++)
			pfs_buf_add(out, iov[i].iov_base, iov[i].iov_len);
		pfs_reader_done(rig->reader, true);
	}
}

/* Writes in pieces of `chunk` bytes and reads records all along. */
static void pour(struct rig *rig, const char *path, const void *bytes, size_t n, size_t chunk,
		 struct pfs_buf *out)
{
	const uint8_t *p = bytes;
	struct pfs_writer *writer;

	rig_open(rig, path, NULL);
	writer = rig_writer(rig);
	while (n > 0) {
		ssize_t r = pfs_writer_write(writer, p, pfs_min(n, chunk));

		if (r > 0) {
			p += r;
			n -= (size_t)r;
		} else {
			assert_int_equal(r, -EAGAIN);
		}
		records(rig, out);
	}
	pfs_writer_close(writer);
	records(rig, out);
}

/* Are these the records? Separated by '|'. */
static void assert_cut(const char *path, const char *bytes, size_t chunk, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	struct rig rig;

	pour(&rig, path, bytes, strlen(bytes), chunk, &out);
	for (size_t at = 0; at < out.len;) {
		uint32_t len = le32_load((uint8_t *)out.data + at);

		if (at)
			pfs_buf_str(&text, "|");
		pfs_buf_add(&text, out.data + at + 4, len);
		at += 4 + len;
	}
	if (strcmp(text.data ? text.data : "", want) != 0)
		print_error("%s %s by %zu: %s\n", path, bytes, chunk, text.data);
	assert_string_equal(text.data ? text.data : "", want);
	assert_int_equal(rig_stat(&rig, "lost"), 0);
	assert_int_equal(rig_stat(&rig, "streams"), 0);
	rig_release(&rig);
}

static void test_lines(void **state)
{
	(void)state;
	for (size_t chunk = 1; chunk < 20; chunk++) {
		assert_cut("accept/lines", "a\nbb\nccc\n", chunk, "a\n|bb\n|ccc\n");
		assert_cut("accept/lines", "a\nbb", chunk, "a\n|bb");
		assert_cut("accept/lines", "\n\n\na", chunk, "\n|\n|\n|a");
		assert_cut("accept/lines", "no end", chunk, "no end");
		assert_cut("accept/lines", "", chunk, "");
		assert_cut("accept/lines,max=4", "12345678901\n2\n", chunk, "1234|5678|901\n|2\n");
		assert_cut("accept/lines,max=4", "123\n1234\n", chunk, "123\n|1234|\n");
		assert_cut("accept/lines,max=1", "ab\n", chunk, "a|b|\n");
		assert_cut("accept/lines/lines", "a\nbb\nccc", chunk, "a\n|bb\n|ccc");
		assert_cut("accept/lines/head:2", "a\nbb\nccc\n", chunk, "a\n|bb\n");
	}
}

static void test_chunks(void **state)
{
	(void)state;
	for (size_t chunk = 1; chunk < 20; chunk++) {
		assert_cut("accept/chunks:4", "abcdefghij", chunk, "abcd|efgh|ij");
		assert_cut("accept/chunks:5", "abcdefghij", chunk, "abcde|fghij");
		assert_cut("accept/chunks:1", "abc", chunk, "a|b|c");
		assert_cut("accept/chunks:100", "abc", chunk, "abc");
		assert_cut("accept/chunks:4", "", chunk, "");
		assert_cut("accept/chunks:4/chunks:3", "abcdefgh", chunk, "abc|def|gh");
		assert_cut("accept/lines/chunks:2", "abc\nd\n", chunk, "ab|c\n|d\n");
	}
}

/* Not copied but where records were cut; counted where they do not end. */
static void test_what_is_copied_and_counted(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	pour(&rig, "accept/lines", "a\nbb\nc", 6, 6, &out);
	assert_int_equal(rig_stat(&rig, "stitched"), 1); /* "c", kept until the end */
	assert_int_equal(rig_stat(&rig, "split"), 0);
	rig_release(&rig);
	pour(&rig, "accept/lines", "a\nbb\nc\n", 7, 4, &out);
	assert_int_equal(rig_stat(&rig, "stitched"), 1);
	rig_release(&rig);
	pour(&rig, "accept/lines,max=2", "aaaa\nb\n", 7, 7, &out);
	assert_int_equal(rig_stat(&rig, "stitched"), 0);
	assert_int_equal(rig_stat(&rig, "split"), 2);
	rig_release(&rig);
	pour(&rig, "accept/chunks:2", "abcd", 4, 4, &out);
	assert_int_equal(rig_stat(&rig, "stitched"), 0);
	assert_int_equal(rig_stat(&rig, "out"), 2);
	rig_release(&rig);
}

/* Random bytes in random pieces: nothing lost, nothing added, every record as it should be. */
static void test_big_and_random(void **state)
{
	enum { SIZE = 5 << 20 };
	static const char *const paths[] = { "accept/lines",	    "accept/lines,max=1000",
					     "accept/lines,max=1M", "accept/chunks:4k",
					     "accept/chunks:1M",    "accept/chunks:7" };
	uint8_t *bytes = malloc(SIZE);
	unsigned seed = 1;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < SIZE; i++) /* lines of all lengths, some of them very long */
		bytes[i] = rand_r(&seed) % (i & 0x100000 ? 50000 : 50) ? (uint8_t)('a' + i % 26)
								       : '\n';
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;
		size_t done = 0;

		pour(&rig, paths[i], bytes, SIZE, i % 2 ? 65536 : 99991, &out);
		for (size_t at = 0; at < out.len;) {
			uint32_t len = le32_load((uint8_t *)out.data + at);
			const uint8_t *p = (uint8_t *)out.data + at + 4;
			const uint8_t *newline = memchr(p, '\n', len);

			assert_memory_equal(p, bytes + done, len);
			done += len;
			at += 4 + len;
			if (strstr(paths[i], "lines"))
				assert_true(!newline || newline == p + len - 1);
			if (strstr(paths[i], "chunks:7") && done < SIZE)
				assert_int_equal(len, 7);
			if (strstr(paths[i], "4k"))
				assert_int_equal(len, 4096);
			if (strstr(paths[i], "1M"))
				assert_true(len <= 1 << 20);
		}
		assert_int_equal(done, SIZE);
		rig_release(&rig);
	}
	free(bytes);
}

/* Each writer has its own line, however the pieces come. */
static void test_writers_are_not_mixed(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writers[STREAMS];
	unsigned seed = 7, lines[STREAMS] = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/lines", NULL);
	for (int i = 0; i < STREAMS; i++)
		writers[i] = rig_writer(&rig);
	for (int n = 0; n < 20000; n++) {
		unsigned i = (unsigned)rand_r(&seed) % STREAMS;
		char piece[4] = { (char)('a' + i), (char)('a' + i), '\n', 0 };
		size_t len = 1 + (unsigned)rand_r(&seed) % 3;

		lines[i] += len == 3;
		while (pfs_writer_write(writers[i], piece, len) == -EAGAIN)
			records(&rig, &out);
	}
	rig_expect(&rig, "streams", STREAMS);
	for (int i = 0; i < STREAMS; i++) {
		assert_int_equal(pfs_writer_write(writers[i], "\n", 1), 1);
		lines[i]++;
		pfs_writer_close(writers[i]);
	}
	records(&rig, &out);
	rig_expect(&rig, "streams", 0);
	for (size_t at = 0; at < out.len;) {
		uint32_t len = le32_load((uint8_t *)out.data + at);
		const char *p = out.data + at + 4;

		for (uint32_t i = 0; i + 1 < len; i++)
			assert_int_equal(p[i], p[0]);
		assert_int_equal(p[len - 1], '\n');
		if (len > 1)
			lines[p[0] - 'a']--;
		else
			assert_true(len == 1); /* whose it was is not told */
		at += 4 + len;
	}
	for (int i = 0; i < STREAMS; i++)
		assert_true(lines[i] <= 1);
	rig_release(&rig);
}

static void test_a_stream_that_ends_is_flushed(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *one, *two;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/lines", NULL);
	one = rig_writer(&rig);
	two = rig_writer(&rig);
	assert_int_equal(pfs_writer_write(one, "half", 4), 4);
	assert_int_equal(pfs_writer_write(two, "other", 5), 5);
	records(&rig, &out);
	assert_int_equal(out.len, 0);
	pfs_writer_close(one); /* the generation goes on */
	records(&rig, &out);
	assert_int_equal(out.len, 4 + 4);
	assert_memory_equal(out.data + 4, "half", 4);
	assert_int_equal(pfs_writer_write(two, "\n", 1), 1);
	records(&rig, &out);
	assert_int_equal(out.len, 8 + 4 + 6);
	assert_memory_equal(out.data + 12, "other\n", 6);
	pfs_writer_close(two);
	rig_release(&rig);
}

static void test_json_of_lines(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept/lines", "json", "a\nb\"c\nend", 9, 4, &out);
	assert_non_null(strstr(out.data, "\"data\":\"a\\u000a\"}\n"));
	assert_non_null(strstr(out.data, "\"data\":\"b\\\"c\\u000a\"}\n"));
	assert_non_null(strstr(out.data, "\"data\":\"end\"}\n"));
	assert_null(strstr(out.data, "1970")); /* what was put together has a time too */
	rig_release(&rig);
}

static void test_bad_arguments_are_refused(void **state)
{
	static const char *const bad[] = { "chunks",	  "chunks:",	  "chunks:0",
					   "chunks:2M",	  "chunks:x",	  "lines:5",
					   "lines,max=0", "lines,max=2M", "unpcap/lines" };
	struct pfs_diag diag;
	struct rig rig;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "accept/%s", bad[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_true(diag.text[0] != '\0');
		rig_release(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_what_is_copied_and_counted),
		cmocka_unit_test(test_big_and_random),
		cmocka_unit_test(test_writers_are_not_mixed),
		cmocka_unit_test(test_a_stream_that_ends_is_flushed),
		cmocka_unit_test(test_json_of_lines),
		cmocka_unit_test(test_bad_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
