/*
 * users: what one may have, and how far one may disturb another
 */
#include "help.h"
#include "fakes.h"

static const struct pfs_cred alice = { .uid = 1001, .gid = 1001 }, bob = { .uid = 1002, .gid = 1002 };

/* mkdir of one name; 0 or -errno, with the sentence. */
static int make_as(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		   struct pfs_node **ret_node, struct pfs_diag *diag)
{
	struct pfs_node *node;
	int r = pfs_node_make(dir, name, cred, mode, &node, diag);

	if (r == 0 && ret_node)
		*ret_node = node;
	else if (r == 0)
		pfs_node_unref(node);
	return r;
}

static int open_as(struct pfs_node *node, const struct pfs_cred *cred, int policy,
		   struct pfs_reader **ret_reader, struct pfs_diag *diag)
{
	struct pfs_reader_options options = { .policy = policy, .cred = *cred };

	return pfs_reader_open(node, &options, ret_reader, diag);
}

static unsigned make_many(struct pfs_node *dir, const struct pfs_cred *cred, int *ret_error,
			  struct pfs_diag *diag)
{
	char name[32];
	unsigned n;

	for (n = 0; n < 1000; n++) {
		snprintf(name, sizeof(name), "accept:%u-%u", (unsigned)cred->uid, n);
		*ret_error = make_as(dir, name, cred, 0700, NULL, diag);
		if (*ret_error < 0)
			break;
	}
	return n;
}

/* Each user has his share, and what all of them have leaves something to root. */
static void test_nodes(void **state)
{
	struct pfs_graph *graph =
		graph_of((struct pfs_graph_options){ .nodes_max = 80, .user_nodes = 50 });
	struct pfs_node *root = pfs_graph_root(graph);
	struct pfs_diag diag;
	int r;

	assert_int_equal(make_many(root, &alice, &r, &diag), 50);
	assert_int_equal(r, -EDQUOT);
	assert_non_null(strstr(diag.text, "user_nodes="));
	/* 80 less an eighth for root, less the roots of the tree and of the runs */
	assert_int_equal(make_many(root, &bob, &r, &diag), 70 - 50 - 2);
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(diag.text, "nodes="));
	assert_int_equal(make_many(root, &me, &r, &diag), 10);
	assert_int_equal(r, -ENOSPC);
	/* What is removed can be had again, by anybody. */
	for (unsigned i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "accept:1001-%u", i);
		assert_int_equal(pfs_node_remove(root, name, &alice, &diag), 0);
	}
	assert_int_equal(make_many(root, &alice, &r, &diag), 10);
	assert_int_equal(r, -ENOSPC);
	pfs_graph_free(graph);
}

static void test_memory(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){
		.ring_size = 4 << 20, .memory_max = 64 << 20, .user_memory = 10 << 20 });
	struct pfs_node *root = pfs_graph_root(graph), *node[4];
	struct pfs_writer *writer[4] = { NULL };
	char name[32];
	struct pfs_diag diag;

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "accept:%d", i);
		assert_int_equal(make_as(root, name, i < 3 ? &alice : &bob, 0700, &node[i], &diag), 0);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pfs_writer_open(node[i], &alice, &writer[i], &diag), 0);
	assert_int_equal(pfs_writer_open(node[2], &alice, &writer[2], &diag), -EDQUOT);
	assert_non_null(strstr(diag.text, "user_memory="));
	/* Who opens it does not matter: its maker pays. */
	assert_int_equal(pfs_writer_open(node[2], &me, &writer[2], &diag), -EDQUOT);
	assert_int_equal(pfs_writer_open(node[3], &me, &writer[3], &diag), 0);
	for (int i = 0; i < 4; i++) {
		pfs_writer_close(writer[i]);
		pfs_node_unref(node[i]);
	}
	pfs_graph_free(graph);
}

static void test_opens(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .user_opens = 3 });
	struct pfs_node *node = NULL;
	struct pfs_reader *reader[3], *more;
	struct pfs_writer *writer;
	struct pfs_diag diag;

	assert_int_equal(make_as(pfs_graph_root(graph), "accept", &alice, 0777, &node, &diag), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(open_as(node, &alice, -1, &reader[i], &diag), 0);
	assert_int_equal(open_as(node, &alice, -1, &more, &diag), -EDQUOT);
	assert_non_null(strstr(diag.text, "user_opens="));
	assert_int_equal(pfs_writer_open(node, &alice, &writer, &diag), -EDQUOT);
	assert_int_equal(pfs_writer_open(node, &bob, &writer, &diag), 0);
	pfs_writer_close(writer);
	pfs_reader_close(reader[0]);
	assert_int_equal(open_as(node, &alice, -1, &reader[0], &diag), 0);
	for (int i = 0; i < 3; i++)
		pfs_reader_close(reader[i]);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(open_as(node, &me, -1, &reader[0], &diag), 0);
		pfs_reader_close(reader[0]);
	}
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static bool is_reliable(struct pfs_node *node)
{
	PFS_BUF struct pfs_buf text = { 0 };

	assert_int_equal(pfs_node_text(node, PFS_TEXT_READERS, &text), 0);
	assert_non_null(text.data);
	return strstr(text.data, "policy=reliable") != NULL;
}

/* Who was only given to read is not waited for. */
static void test_who_may_hold(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 4 << 20 });
	const struct pfs_cred friend = { .uid = 1003, .gid = 1001 };
	struct {
		mode_t mode;
		const struct pfs_cred *cred;
		bool may;
	} rows[] = {
		{ 0755, &alice, true },	  { 0755, &me, true },	    { 0755, &bob, false },
		{ 0755, &friend, false }, { 0775, &friend, true },  { 0775, &bob, false },
		{ 0777, &bob, true },	  { 0757, &friend, false },
	};
	struct pfs_reader *reader;
	struct pfs_diag diag;
	struct pfs_node *node = NULL;

	assert_int_equal(make_as(pfs_graph_root(graph), "accept", &alice, 0700, &node, &diag), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pfs_node_chmod(node, rows[i].mode);
		assert_int_equal(open_as(node, rows[i].cred, -1, &reader, &diag), 0);
		assert_int_equal(is_reliable(node), rows[i].may);
		pfs_reader_close(reader);
		if (rows[i].may) {
			assert_int_equal(open_as(node, rows[i].cred, 1, &reader, &diag), 0);
			pfs_reader_close(reader);
		} else {
			assert_int_equal(open_as(node, rows[i].cred, 1, &reader, &diag), -EACCES);
			assert_non_null(strstr(diag.text, "make the writers wait"));
		}
	}
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

/* A stranger who reads nothing of what he opened, plain and through a view: the writer goes on. */
static void test_stranger_stalls_nobody(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = 4 << 20 });
	struct pfs_reader_options view = { .view = "json", .policy = -1, .cred = bob };
	static char block[256 << 10];
	struct pfs_reader *plain, *json, *own;
	struct pfs_writer *writer;
	struct pfs_node *node = NULL;
	struct pfs_diag diag;
	ssize_t got = 0;

	assert_int_equal(make_as(pfs_graph_root(graph), "accept", &alice, 0700, &node, &diag), 0);
	pfs_node_chmod(node, 0755);
	assert_int_equal(open_as(node, &alice, -1, &own, &diag), 0);
	assert_int_equal(open_as(node, &bob, -1, &plain, &diag), 0);
	assert_int_equal(pfs_reader_open(node, &view, &json, &diag), 0);
	assert_int_equal(pfs_writer_open(node, &alice, &writer, &diag), 0);
	for (int i = 0; i < 64; i++) { /* four rings of it */
		assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
		got += read_some(own, block, sizeof(block), false);
	}
	assert_int_equal(got, 64 * sizeof(block));
	assert_true(read_some(plain, block, 1, false) > 0);
	assert_true(number_of(node, PFS_TEXT_READERS, "policy=lossy delivered=0 lost") > 0);
	pfs_writer_close(writer);
	pfs_reader_close(json);
	pfs_reader_close(plain);
	pfs_reader_close(own);
	pfs_node_unref(node);
	pfs_graph_free(graph);
}

static void test_sockets(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .user_sockets = 3 });
	const struct pfs_purse hers = { graph, alice.uid }, his = { graph, bob.uid },
			       mine = { graph, me.uid };
	const struct pfs_purse none = { NULL, alice.uid };
	struct pfs_diag diag = { "" };

	for (int i = 0; i < 3; i++)
		assert_int_equal(pfs_sockets_take(&hers, &diag), 0);
	assert_int_equal(pfs_sockets_take(&hers, &diag), -EDQUOT);
	assert_non_null(strstr(diag.text, "user_sockets="));
	assert_int_equal(pfs_sockets_take(&hers, NULL), -EDQUOT);
	assert_int_equal(pfs_sockets_take(&his, &diag), 0);
	pfs_sockets_give(&his);
	pfs_sockets_give(&hers);
	assert_int_equal(pfs_sockets_take(&hers, &diag), 0);
	for (int i = 0; i < 3; i++)
		pfs_sockets_give(&hers);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pfs_sockets_take(&mine, &diag), 0);
	for (int i = 0; i < 10; i++)
		pfs_sockets_give(&mine);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pfs_sockets_take(&none, &diag), 0);
	pfs_graph_free(graph);
}

/* What a filter keeps beyond its ring is of the same share. */
static void test_bytes(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .user_memory = 1000 });
	const struct pfs_purse purse = { graph, alice.uid }, free_of_charge = { 0 };

	assert_int_equal(pfs_bytes_take(&purse, 600), 0);
	assert_int_equal(pfs_bytes_take(&purse, 600), -EDQUOT);
	assert_int_equal(pfs_bytes_take(&purse, 400), 0);
	pfs_bytes_give(&purse, 600);
	assert_int_equal(pfs_bytes_take(&purse, 600), 0);
	pfs_bytes_give(&purse, 1000);
	assert_int_equal(pfs_bytes_take(&purse, 1000), 0);
	pfs_bytes_give(&purse, 1000);
	assert_int_equal(pfs_bytes_take(&free_of_charge, SIZE_MAX), 0);
	pfs_bytes_give(&free_of_charge, SIZE_MAX);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_who_may_hold),
		cmocka_unit_test(test_stranger_stalls_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
