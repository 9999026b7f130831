/*
 * fuzz_messages - any bytes through httpplus, dns and grep on byte streams, whole and in pieces
 *
 * The first byte says which filter, the second how long the pieces are. Filters that put messages together give the
 * same bytes however these came, unless something was skipped: where messages are looked for depends on where records
 * begin. all.json is objects and newlines.
 */
#include "graph/graph.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

static const char *const filters[] = { "httpplus", "dns", "grep:ab", "grep:%2fa[bc]+d%2f,i=yes" };

static void drain(struct pfs_reader *reader, struct pfs_buf *out)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;

	while (pfs_reader_get(reader, 1 << 20, false, false, gather, iov, &niov) > 0) {
		for (unsigned i = 0; i < niov; i++)
			pfs_buf_add(out, iov[i].iov_base, iov[i].iov_len);
		pfs_reader_done(reader, true);
	}
}

/* True: nothing was skipped. */
static bool run(const char *filter, const char *view, const uint8_t *p, size_t n, size_t piece,
		struct pfs_buf *out)
{
	struct pfs_graph_options options = { 0 };
	struct pfs_reader_options how = { .view = view, .policy = -1 };
	struct pfs_cred cred = { 0 };
	struct pfs_node *accept, *node;
	struct pfs_reader *reader;
	struct pfs_writer *writer;
	PFS_BUF struct pfs_buf stats = { 0 };
	struct pfs_graph *graph;
	bool clean;

	CHECK(pfs_graph_new(&options, &graph) == 0);
	CHECK(pfs_node_lookup(pfs_graph_root(graph), "accept", &accept) == 0 ||
	      pfs_node_make(pfs_graph_root(graph), "accept", &cred, 0755, &accept, NULL) == 0);
	CHECK(pfs_node_make(accept, filter, &cred, 0755, &node, NULL) == 0);
	CHECK(pfs_reader_open(node, &how, &reader, NULL) == 0);
	CHECK(pfs_writer_open(accept, &cred, &writer, NULL) == 0);
	for (size_t at = 0; at < n; at += piece) {
		CHECK(pfs_writer_write(writer, p + at, pfs_min(piece, n - at)) > 0);
		drain(reader, out);
	}
	pfs_writer_close(writer);
	drain(reader, out);
	CHECK(pfs_node_text(node, PFS_TEXT_STATS, &stats) == 0);
	clean = !strstr(stats.data, "\nskipped ") || strstr(stats.data, "\nskipped 0\n");
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
	return clean;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_BUF struct pfs_buf whole = { 0 }, pieces = { 0 }, json = { 0 };
	unsigned which;
	bool clean;

	if (size < 3 || size > 4096)
		return 0;
	which = data[0] % ARRAY_SIZE(filters);
	clean = run(filters[which], NULL, data + 2, size - 2, size, &whole);
	clean &= run(filters[which], NULL, data + 2, size - 2, 1u + data[1], &pieces);
	if (which < 2 && clean)
		CHECK(whole.len == pieces.len &&
		      (!whole.len || memcmp(whole.data, pieces.data, whole.len) == 0));
	run(filters[which], "json", data + 2, size - 2, 1u + data[1], &json);
	CHECK(json.len == 0 || (json.data[0] == '{' && json.data[json.len - 1] == '\n'));
	for (size_t i = 0; i < json.len; i++)
		CHECK((unsigned char)json.data[i] >= 0x20 || json.data[i] == '\n');
	return 0;
}
