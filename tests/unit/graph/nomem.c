/*
 * nomem - every allocation fails once: nothing breaks, leaks or hangs, and afterwards all works
 */
#include "help.h"

#include "fakes.h"
#include "tests/unit/nomem.h"

/* Whatever can be opened and made; every error is fine. */
struct all {
	struct pfs_graph *graph;
	struct pfs_node *node[6];
	struct pfs_reader *reader[6];
	struct pfs_writer *writer[2];
};

static void build(struct all *all)
{
	static const char *const names[] = { "accept", "count", "label", "7", "copy", "head:3" };
	struct pfs_node *dir = pfs_graph_root(all->graph);

	for (unsigned i = 0; i < ARRAY_SIZE(names) && dir; i++) {
		if (pfs_node_lookup(dir, names[i], &all->node[i]) < 0 &&
		    pfs_node_make(dir, names[i], &me, 0755, &all->node[i], NULL) < 0)
			all->node[i] = NULL;
		dir = all->node[i];
	}
}

static void use(struct all *all)
{
	static const char *const views[] = { NULL, "txt", NULL, "json", NULL, "txt" };
	static _Thread_local uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;

	for (unsigned i = 0; i < 2; i++)
		if (all->node[i])
			(void)pfs_writer_open(all->node[i], &me, &all->writer[i], NULL);
	for (unsigned i = 0; i < 6; i++) {
		struct pfs_reader_options options = { .view = views[i], .policy = i % 2, .cred = me };

		if (all->node[i])
			(void)pfs_reader_open(all->node[i], &options, &all->reader[i], NULL);
	}
	for (unsigned n = 0; n < 5; n++)
		for (unsigned i = 0; i < 2; i++)
			if (all->writer[i])
				(void)pfs_writer_write(all->writer[i], "seven", 6);
	for (unsigned i = 0; i < 6; i++)
		while (all->reader[i] &&
		       pfs_reader_get(all->reader[i], 4, false, false, gather, iov, &niov) > 0)
			pfs_reader_done(all->reader[i], true);
	for (unsigned i = 0; i < 6; i++) {
		PFS_BUF struct pfs_buf text = { 0 };

		if (all->node[i])
			(void)pfs_node_text(all->node[i], (enum pfs_text)i, &text);
	}
	for (int i = 0; i <= PFS_SHOW_METRICS; i++) {
		PFS_BUF struct pfs_buf text = { 0 };

		(void)pfs_graph_show(pfs_graph_root(all->graph), (enum pfs_show)i, &me, &text);
	}
	if (all->node[5])
		(void)pfs_node_params_set(all->node[5], "arg=9\n", 6, &me, NULL);
}

/* Within the source, to another one and back, while its readers have not read all. */
static void move_about(struct all *all)
{
	struct pfs_node *other = NULL;

	if (!all->node[4])
		return;
	(void)pfs_node_move(all->node[3], "copy", all->node[0], "copy", &me, NULL);
	(void)pfs_node_make(pfs_graph_root(all->graph), "accept:other", &me, 0755, &other, NULL);
	for (unsigned i = 0; i < 2; i++)
		if (all->writer[i])
			(void)pfs_writer_write(all->writer[i], "seven", 6);
	if (other)
		(void)pfs_node_move(all->node[0], "copy", other, "copy", &me, NULL);
	if (other)
		(void)pfs_node_move(other, "copy", all->node[3], "copy", &me, NULL);
	(void)pfs_node_move(all->node[0], "copy", all->node[3], "copy", &me, NULL);
	pfs_node_unref(other);
}

/* In the middle of it: readers go, directories go, readers of those go. */
static void tear_down(struct all *all)
{
	for (unsigned i = 0; i < 6; i += 2) {
		pfs_reader_close(all->reader[i]);
		all->reader[i] = NULL;
	}
	if (all->node[4])
		(void)pfs_node_remove(all->node[4], "head:3", &me, NULL);
	if (all->node[3])
		(void)pfs_node_remove(all->node[3], "copy", &me, NULL);
	for (unsigned i = 0; i < 2; i++) {
		pfs_writer_close(all->writer[i]);
		all->writer[i] = NULL;
	}
	for (unsigned i = 0; i < 6; i++)
		pfs_reader_close(all->reader[i]);
	if (all->node[0])
		(void)pfs_node_remove(all->node[0], "count", &me, NULL);
}

static void check_it_works(struct pfs_graph *graph)
{
	struct pfs_node *accept = make_path(graph, "accept/count");
	struct pfs_writer *writer;
	struct pfs_reader *reader = open_reader(accept, NULL, -1);

	read_some(reader, (char[64]){ 0 }, 64, false); /* what was early */
	writer = open_writer(accept);
	read_some(reader, (char[64]){ 0 }, 64, false);
	assert_int_equal(pfs_writer_write(writer, "works", 5), 5);
	assert_true(read_some(reader, (char[64]){ 0 }, 64, false) >= 5);
	pfs_writer_close(writer);
	pfs_reader_close(reader);
	pfs_node_unref(accept);
}

static void test_each_allocation_fails_once(void **state)
{
	struct pfs_graph_options options = { .ring_size = (size_t)4 << 20 };
	bool failed = true;

	(void)state;
	if (!INTERPOSED)
		return;
	for (unsigned n = 0; failed; n++) {
		struct all all = { 0 };
		long before = live;

		left = n;
		if (pfs_graph_new(&options, &all.graph) == 0) {
			build(&all);
			use(&all);
			move_about(&all);
			tear_down(&all);
			failed = n == 0 || left == 0;
			left = 0;
			for (unsigned i = 0; i < 6; i++)
				pfs_node_unref(all.node[i]);
			check_it_works(all.graph);
			pfs_graph_free(all.graph);
		}
		left = 0;
		if (n > 0) /* the first is not armed: it makes what the C library keeps */
			assert_int_equal(live, before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
