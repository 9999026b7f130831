/* .graph.json read into memory, its rates, and the rows of a table. */
#include "cmd/picture.h"
#include "cmd/top_i.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NODE(id, parent, path, name, kind, state, in, rest)                             \
	"{\"id\":" #id ",\"parent\":" #parent ",\"path\":\"" path "\",\"name\":\"" name \
	"\",\"kind\":\"" kind "\",\"flow\":\"packets\",\"state\":\"" state              \
	"\",\"shape\":\"inline\",\"in\":" #in rest "}"

static const char head[] = "{\"version\":1,\"clock\":5000000000,\"interval\":2.5,"
			   "\"limits\":{\"nodes\":20000,\"memory\":2147483648},"
			   "\"used\":{\"nodes\":7,\"memory\":1048576},\"hidden\":1,\"nodes\":[\n";
static const char *const nodes[] = {
	NODE(2, 1, "/dev", "dev", "folder", "", 0, ",\"flow\":\"\""),
	NODE(3, 2, "/dev/eth0", "eth0", "source", "idle", 0, ""),
	NODE(4, 1, "/netfilter_in", "netfilter_in", "source", "running", 100,
	     ",\"out\":100,\"kernel\":true,\"rate\":{\"in\":40,\"out\":40,\"lost\":0,\"bytes\":1e6}"),
	NODE(5, 4, "/netfilter_in/tcp", "tcp", "filter", "running", 100,
	     ",\"out\":60,\"lost\":3,\"readers\":2,\"lag\":7,"
	     "\"rate\":{\"in\":40,\"out\":24,\"lost\":1.5,\"bytes\":5e5}"),
	NODE(6, 5, "/netfilter_in/tcp/head:3", "head:3", "filter", "idle", 0, ",\"into\":8"),
	NODE(7, 5, "/netfilter_in/tcp/a\\u001b[1m\\u00e4", "a\\u001b[1m\\u00e4", "filter", "idle",
	     0, ""),
	NODE(8, 1, "/accept:x", "accept:x", "source", "idle", 0, ""),
	NODE(9, 8, "/accept:x/http", "http", "filter", "idle", 0, ""),
	NODE(10, 9, "/accept:x/http/get", "get", "class", "idle", 0, ""),
};

static void read_sample(struct picture *picture)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pfs_diag diag;

	pfs_buf_str(&text, head);
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		pfs_buf_printf(&text, "%s%s\n", nodes[i], i + 1 < ARRAY_SIZE(nodes) ? "," : "");
	pfs_buf_str(&text, "]}\n");
	if (picture_parse(text.data, text.len, picture, &diag) == -ENOSYS)
		skip();
	assert_int_equal(picture->n, ARRAY_SIZE(nodes));
}

static void what_is_in_it(void **state)
{
	PICTURE struct picture picture = { 0 };

	(void)state;
	read_sample(&picture);
	assert_int_equal(picture.clock, 5000000000);
	assert_true(picture.interval > 2.4 && picture.interval < 2.6);
	assert_int_equal(picture.nodes, 7);
	assert_int_equal(picture.nodes_max, 20000);
	assert_int_equal(picture.hidden, 1);
	assert_int_equal(picture.node[0].up, SIZE_MAX);
	assert_int_equal(picture.node[1].up, 0);
	assert_int_equal(picture.node[5].up, 3);
	assert_string_equal(picture.node[3].path, "/netfilter_in/tcp");
	assert_true(picture.node[2].kernel);
	assert_false(picture.node[3].kernel);
	assert_int_equal(picture.node[3].lag, 7);
	assert_int_equal(picture.node[3].readers, 2);
	assert_int_equal(picture_find(&picture, picture.node[4].into), 6);
	assert_int_equal(picture_find(&picture, 99), SIZE_MAX);
}

static void what_is_none(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "{}", "{\"nodes\":1}", "{\"nodes\":[}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct picture picture = { 0 };
		struct pfs_diag diag = { "" };
		int r = picture_parse(bad[i], strlen(bad[i]), &picture, &diag);

		if (r == -ENOSYS)
			skip();
		assert_int_equal(r, -EINVAL);
		assert_true(diag.text[0]);
	}
}

/* Members of the wrong kind, and parents that are not there, or come later. */
static void strange_ones(void **state)
{
	static const char text[] = "{\"nodes\":[{\"id\":-4,\"parent\":\"x\",\"in\":1e300,\"name\":7},3,"
				   "{\"id\":5,\"parent\":6},{\"id\":6,\"parent\":6}]}";
	PFS_CLEANUP(picture_rows_release) struct picture_rows rows = { 0 };
	struct picture_view view = { .all = true };
	PICTURE struct picture picture = { 0 };
	struct pfs_diag diag;
	int r = picture_parse(text, strlen(text), &picture, &diag);

	(void)state;
	if (r == -ENOSYS)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(picture.n, 4);
	for (size_t i = 0; i < picture.n; i++)
		assert_int_equal(picture.node[i].up, SIZE_MAX);
	assert_int_equal(picture_rows(&picture, &view, &rows), 0);
	assert_int_equal(rows.n, 4);
}

static void rates_of_two_readings(void **state)
{
	PICTURE struct picture before = { 0 }, now = { 0 };

	(void)state;
	read_sample(&before);
	read_sample(&now);
	now.clock += 2000000000;
	now.node[2].in += 500;
	now.node[3].in += 30;
	now.node[3].lost += 4;
	before.node[7].id = 1000; /* was not there before */
	now.node[7].in = 10;
	now.node[8].in = 3; /* and this one was made anew: it counts from nothing */
	before.node[8].in = 50;
	picture_rates(&now, &before);
	assert_true(now.interval > 1.99 && now.interval < 2.01);
	assert_true(now.node[2].rate.in > 249 && now.node[2].rate.in < 251);
	assert_true(now.node[3].rate.in > 14 && now.node[3].rate.in < 16);
	assert_true(now.node[3].rate.lost > 1.9 && now.node[3].rate.lost < 2.1);
	assert_true(now.node[7].rate.in > 4.9 && now.node[7].rate.in < 5.1);
	assert_true(now.node[8].rate.in < 0.1);
	assert_true(now.node[0].rate.in < 0.1);
}

static void expect_rows(const struct picture *picture, struct picture_view view, const char *want,
			size_t hidden)
{
	PFS_CLEANUP(picture_rows_release) struct picture_rows rows = { 0 };
	PFS_BUF struct pfs_buf got = { 0 };

	assert_int_equal(picture_rows(picture, &view, &rows), 0);
	for (size_t i = 0; i < rows.n; i++)
		pfs_buf_printf(&got, "%s\n", rows.row[i].label.data);
	assert_string_equal(got.data ? got.data : "", want);
	assert_int_equal(rows.hidden, hidden);
}

static void rows_of_a_tree(void **state)
{
	PICTURE struct picture picture = { 0 };

	(void)state;
	read_sample(&picture);
	expect_rows(&picture, (struct picture_view){ 0 },
		    "netfilter_in\n`-- tcp\n    |-- head:3\n    `-- a\\x1b[1m\\xc3\\xa4\naccept:x\n`-- http\n",
		    3);
	expect_rows(&picture, (struct picture_view){ .all = true, .utf8 = true },
		    "dev\n└── eth0\nnetfilter_in\n└── tcp\n    ├── head:3\n    └── a\\x1b[1m\\xc3\\xa4\n"
		    "accept:x\n└── http\n    └── get\n",
		    0);
	expect_rows(&picture, (struct picture_view){ .filter = "head" },
		    "netfilter_in\n`-- tcp\n    `-- head:3\n", 0);
	expect_rows(&picture, (struct picture_view){ .filter = "nothing like it" }, "", 0);
	picture_cut(&picture, "/netfilter_in/tcp");
	expect_rows(&picture, (struct picture_view){ 0 },
		    "tcp\n|-- head:3\n`-- a\\x1b[1m\\xc3\\xa4\n", 0);
}

static void rows_in_order(void **state)
{
	PICTURE struct picture picture = { 0 };

	(void)state;
	read_sample(&picture);
	expect_rows(&picture, (struct picture_view){ .sort = PICTURE_OUT, .filter = "net" },
		    "/netfilter_in\n/netfilter_in/tcp\n/netfilter_in/tcp/head:3\n"
		    "/netfilter_in/tcp/a\\x1b[1m\\xc3\\xa4\n",
		    0);
	expect_rows(&picture, (struct picture_view){ .sort = PICTURE_LAG, .filter = "tcp" },
		    "/netfilter_in/tcp\n/netfilter_in/tcp/head:3\n/netfilter_in/tcp/a\\x1b[1m\\xc3\\xa4\n",
		    0);
}

/* A hundred thousand directories are drawn in no time. */
static void large_ones(void **state)
{
	enum { N = 100000 };
	PFS_CLEANUP(picture_rows_release) struct picture_rows rows = { 0 };
	struct picture_view view = { 0 };
	struct picture picture = { .n = N, .node = pfs_zalloc(N, sizeof(*picture.node)) };
	char empty[] = "", name[] = "x:1", kind[] = "filter";
	uint64_t start = pfs_clock_mono();

	(void)state;
	for (size_t i = 0; i < N; i++)
		picture.node[i] = (struct picture_node){
			.id = i + 2,
			.up = i % 10 ? i - 1 : SIZE_MAX,
			.name = name,
			.path = empty,
			.kind = kind,
			.state = empty,
			.flow = empty,
		};
	assert_int_equal(picture_rows(&picture, &view, &rows), 0);
	assert_int_equal(rows.n, N);
	picture_rates(&picture, &picture);
	assert_true(pfs_clock_mono() - start < UINT64_C(20000000000));
	free(picture.node);
}

/* --- what stands in a line ------------------------------------------------------------------------------ */

static void lines_of_top(void **state)
{
	struct top top = { .mount = "/p", .path = "", .interval = 1, .root = -1 };
	PFS_BUF struct pfs_buf line = { 0 };

	(void)state;
	read_sample(&top.now);
	top.view.utf8 = true;
	assert_int_equal(top_arrange(&top), 0);
	top_titles(&top, 80, &line);
	assert_string_equal(
		line.data,
		"directory                         in/s   out/s bytes/s  lost/s    lost    lag rd");
	assert_int_equal(line.len, 80);
	line.len = 0;
	top_row(&top, 0, 80, &line);
	assert_string_equal(
		line.data,
		"netfilter_in                        40      40   1000k       -       0      0  0");
	line.len = 0;
	top_row(&top, 1, 80, &line);
	assert_string_equal(
		line.data,
		"└── tcp                             40      24    500k     1.5       3      7  2");
	line.len = 0;
	top_row(&top, 3, 62, &line); /* narrower than it can be: the label goes first */
	assert_string_equal(line.data,
			    "    └── a\\x~       -       -       -       -       0      0  0");
	line.len = 0;
	top_row(&top, 0, 0, &line);
	assert_non_null(strstr(line.data, "netfilter_in"));
	line.len = 0;
	top_summary(&top, &line);
	assert_non_null(strstr(
		line.data, " /p: 7 of 20000 directories, 1.0M of 2048.0M, 2 readers, 1.5 lost/s"));
	top_release(&top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_it),  cmocka_unit_test(what_is_none),
		cmocka_unit_test(strange_ones),	  cmocka_unit_test(rates_of_two_readings),
		cmocka_unit_test(rows_of_a_tree), cmocka_unit_test(rows_in_order),
		cmocka_unit_test(large_ones),	  cmocka_unit_test(lines_of_top),
	};

	return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
