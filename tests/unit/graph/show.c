/*
 * show: what the listings of the whole graph tell, and to whom
 *
 * That they are valid JSON, dot and OpenMetrics is asked of others' parsers, end to end.
 */
#include "help.h"
#include "fakes.h"

static const struct pfs_cred alice = { .uid = 1001, .gid = 1001 }, bob = { .uid = 1002, .gid = 1002 };

static const enum pfs_show all_shows[] = { PFS_SHOW_GRAPH, PFS_SHOW_DOT, PFS_SHOW_JSON,
					   PFS_SHOW_METRICS };

static void show(struct pfs_node *top, enum pfs_show which, const struct pfs_cred *cred,
		 struct pfs_buf *out)
{
	out->len = 0;
	assert_int_equal(pfs_graph_show(top, which, cred, out), 0);
	assert_false(out->failed);
}

static bool shows(struct pfs_graph *graph, enum pfs_show which, const struct pfs_cred *cred,
		  const char *part)
{
	PFS_BUF struct pfs_buf out = { 0 };

	show(pfs_graph_root(graph), which, cred, &out);
	return strstr(out.data, part) != NULL;
}

static struct pfs_node *make_as(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
				mode_t mode)
{
	struct pfs_node *node = NULL;
	struct pfs_diag diag;

	assert_int_equal(pfs_node_make(dir, name, cred, mode, &node, &diag), 0);
	return node;
}

/* Only what one may enter and read; names of what is below it neither. */
static void test_whose(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *hers = make_as(pfs_graph_root(graph), "accept:hers", &alice, 0700);
	struct pfs_node *deep = make_as(hers, "head:4711", &alice, 0755);
	struct pfs_node *his = make_as(pfs_graph_root(graph), "accept:his", &bob, 0700);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all_shows); i++) {
		enum pfs_show which = all_shows[i];

		pfs_node_chmod(hers, 0700);
		assert_true(shows(graph, which, &alice, "head:4711"));
		assert_true(shows(graph, which, &me, "head:4711"));
		assert_true(shows(graph, which, &bob, "accept:his"));
		assert_false(shows(graph, which, &bob, "head:4711"));
		assert_false(shows(graph, which, &bob, "accept:hers"));
		/* Searched, but not read: what can be reached there is shown, with its path. */
		pfs_node_chmod(hers, 0711);
		assert_true(shows(graph, which, &bob, "head:4711"));
		pfs_node_chmod(deep, 0700);
		assert_false(shows(graph, which, &bob, "head:4711"));
		pfs_node_chmod(deep, 0755);
		pfs_node_chmod(hers, 0744);
		assert_false(shows(graph, which, &bob, "4711"));
	}
	pfs_node_chmod(hers, 0711);
	assert_true(shows(graph, PFS_SHOW_JSON, &bob, "\"path\":\"/accept:hers/head:4711\""));
	assert_true(shows(graph, PFS_SHOW_METRICS, &bob, "path=\"/accept:hers/head:4711\""));
	/* What others have of the mount is not told either. */
	assert_true(shows(graph, PFS_SHOW_METRICS, &bob, "pipesfs_nodes{uid=\"1002\"} 1\n"));
	assert_false(shows(graph, PFS_SHOW_METRICS, &bob, "1001"));
	assert_true(shows(graph, PFS_SHOW_METRICS, &me, "pipesfs_nodes{uid=\"1001\"} 2\n"));
	assert_true(shows(graph, PFS_SHOW_JSON, &bob, "\"hidden\":1,"));
	pfs_node_unref(deep);
	pfs_node_unref(hers);
	pfs_node_unref(his);
	pfs_graph_free(graph);
}

static void test_numbers(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 4 << 20 });
	struct pfs_node *source = make_path(graph, "accept:a"), *node;
	struct pfs_reader *reader = open_reader(source, NULL, -1);
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	char buf[100];

	(void)state;
	pfs_node_unref(make_path(graph, "accept:x"));
	node = make_path(graph, "accept:a/into:accept:x");
	writer = open_writer(source);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pfs_writer_write(writer, "1234567", 7), 7);
	for (int i = 0; i < 2; i++)
		assert_int_equal(read_some(reader, buf, sizeof(buf), true), 7);
	show(source, PFS_SHOW_JSON, &me, &out);
	assert_non_null(strstr(out.data, "\"path\":\"/accept:a\",\"name\":\"accept:a\","
					 "\"kind\":\"source\",\"type\":\"accept\","
					 "\"flow\":\"bytes\""));
	assert_non_null(strstr(out.data, "\"in\":5,\"out\":5,\"dropped\":0,\"lost\":0,\"bytes\":35,"));
	assert_non_null(strstr(out.data, "\"readers\":1,\"writers\":1,\"lag\":3,"));
	assert_non_null(strstr(out.data, "\"kind\":\"sink\",\"type\":\"into\""));
	assert_non_null(strstr(out.data, "\"stats\":{\"joined\":5,\"target\":\"/accept:x\"}"));
	assert_non_null(strstr(out.data, "\"into\":"));
	assert_null(strstr(out.data, "\"/accept:x\",\"name\"")); /* only what is below */

	show(pfs_graph_root(graph), PFS_SHOW_GRAPH, &me, &out);
	assert_non_null(strstr(out.data, "\n    into:accept:x  sink running in=5 "));
	assert_non_null(strstr(out.data, " -> /accept:x\n"));
	show(pfs_graph_root(graph), PFS_SHOW_METRICS, &me, &out);
	assert_non_null(strstr(out.data, "path=\"/accept:a\"} 5\n"));
	assert_string_equal(out.data + out.len - 6, "# EOF\n");
	/* What readers got stays counted when they leave. */
	pfs_reader_close(reader);
	show(source, PFS_SHOW_METRICS, &me, &out);
	assert_non_null(strstr(strstr(out.data, "pipesfs_reader_delivered_total{"),
			       "path=\"/accept:a\"} 2\n"));
	pfs_writer_close(writer);
	pfs_node_unref(node);
	pfs_node_unref(source);
	pfs_graph_free(graph);
}

/* Whatever a name holds: no control character gets out, no line or label is broken. */
static void test_names(void **state)
{
	static const char name[] = "accept:\"\\\n\t\x1b[2J\x9f\xc2\x9b\xff\xe2\x82\xac$(id){}";
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	PFS_BUF struct pfs_buf out = { 0 };

	(void)state;
	pfs_node_unref(make_as(pfs_graph_root(graph), name, &me, 0755));
	for (size_t i = 0; i < ARRAY_SIZE(all_shows); i++) {
		show(pfs_graph_root(graph), all_shows[i], &me, &out);
		for (size_t j = 0; j < out.len; j++) {
			unsigned char c = (unsigned char)out.data[j];

			assert_true(c >= 0x20 || c == '\n' || c == '\t');
			assert_true(c != 0x7f);
			if (c == 0xc2)
				assert_true((unsigned char)out.data[j + 1] >= 0xa0);
		}
	}
	show(pfs_graph_root(graph), PFS_SHOW_METRICS, &me, &out);
	assert_non_null(strstr(
		out.data,
		"path=\"/accept:\\\"\\\\\\n\\\\x09\\\\x1b[2J\\\\x9f\\\\x9b\\\\xff\xe2\x82\xac$(id){}\"}"));
	pfs_graph_free(graph);
}

/* Many directories with long paths: the page stays within what is promised, and every path within its limit. */
static void test_many(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_node *dir = pfs_node_ref(pfs_graph_root(graph)), *next;
	char name[256];
	unsigned n = 1;

	(void)state;
	memset(name, '\x01', sizeof(name));
	memcpy(name, "accept:", 7);
	name[255] = '\0';
	next = make_as(dir, name, &me, 0755);
	pfs_node_unref(dir);
	dir = next;
	for (int depth = 0; depth < 40; depth++) {
		for (int i = 0; i < 250; i++, n++) {
			snprintf(name, sizeof(name), "head:%0200d", i + 1);
			pfs_node_unref(make_as(dir, name, &me, 0755));
		}
		assert_int_equal(pfs_node_lookup(dir, name, &next), 0);
		pfs_node_unref(dir);
		dir = next;
	}
	pfs_node_unref(dir);
	show(pfs_graph_root(graph), PFS_SHOW_METRICS, &me, &out);
	print_message("%u directories: .metrics has %zu bytes\n", n, out.len);
	assert_true(out.len < (size_t)48 << 20);
	/* Line by line: a sanitizer looks at all that follows each time. */
	for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n")) {
		const char *at = strstr(line, "path=\"");

		if (at)
			assert_true(strcspn(at + 6, "\"") <= 200 + 3);
	}
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whose),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
