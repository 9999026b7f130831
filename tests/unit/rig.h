/*
 * rig - runs filters, views, sinks and sources through the public graph
 *
 * What is written into /accept flows through a path to one reader; packets are built here, byte by byte,
 * so that nothing under test makes its own input.
 */
#ifndef UNIT_RIG_H
#define UNIT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "graph/graph.h"
#include "until.h"

#define UNUSED __attribute__((unused))

struct rig {
	struct pfs_graph *graph;
	struct pfs_node *node; /* the last of the path */
	struct pfs_node *top;  /* the first */
	struct pfs_reader *reader;
};

/* What the graphs are made with. */
/* Each thread does what it has made possible: what has been put can be got. */
static UNUSED struct pfs_graph_options rig_options = { .patience = 60 * UINT64_C(1000000000) };

static struct pfs_cred rig_cred(void)
{
	return (struct pfs_cred){ .uid = geteuid(), .gid = getegid(), .pid = getpid() };
}

/* mkdir -p below the root; 0 or what the first refused mkdir said. References go to the rig. */
static UNUSED int rig_try(struct rig *rig, const char *path, struct pfs_diag *diag)
{
	struct pfs_node *dir, *next;
	PFS_FREE char *copy = strdup(path);
	char *save = NULL;
	int r = 0;

	*rig = (struct rig){ 0 };
	diag->text[0] = '\0';
	assert_int_equal(pfs_graph_new(&rig_options, &rig->graph), 0);
	dir = pfs_node_ref(pfs_graph_root(rig->graph));
	for (char *name = strtok_r(copy, "/", &save); name && r == 0;
	     name = strtok_r(NULL, "/", &save)) {
		struct pfs_cred cred = rig_cred();

		r = pfs_node_lookup(dir, name, &next);
		if (r == -ENOENT)
			r = pfs_node_make(dir, name, &cred, 0755, &next, diag);
		if (r < 0)
			break;
		if (!rig->top)
			rig->top = pfs_node_ref(next);
		pfs_node_unref(dir);
		dir = next;
	}
	rig->node = dir;
	return r;
}

static UNUSED void rig_release(struct rig *rig)
{
	if (rig->reader)
		pfs_reader_close(rig->reader);
	pfs_node_unref(rig->node);
	pfs_node_unref(rig->top);
	pfs_graph_free(rig->graph);
	*rig = (struct rig){ 0 };
}

static UNUSED void rig_read(struct rig *rig, const char *view)
{
	struct pfs_reader_options options = { .view = view, .policy = -1, .cred = rig_cred() };
	struct pfs_diag diag = { "" };
	int r = pfs_reader_open(rig->node, &options, &rig->reader, &diag);

	if (r < 0)
		print_error("open: %s\n", diag.text);
	assert_int_equal(r, 0);
}

/* view "": no reader. */
static UNUSED void rig_open(struct rig *rig, const char *path, const char *view)
{
	struct pfs_diag diag;
	int r = rig_try(rig, path, &diag);

	if (r < 0)
		print_error("%s: %s\n", path, diag.text);
	assert_int_equal(r, 0);
	if (!view || view[0])
		rig_read(rig, view);
}

/* Everything that is there, appended. Returns what the last get said: -EAGAIN or 0. */
static UNUSED int rig_drain(struct rig *rig, struct pfs_buf *out)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;
	ssize_t n;

	while ((n = pfs_reader_get(rig->reader, 1 << 20, false, false, gather, iov, &niov)) > 0) {
		for (unsigned i = 0; i < niov; i++)
			pfs_buf_add(out, iov[i].iov_base, iov[i].iov_len);
		pfs_reader_done(rig->reader, true);
	}
	return (int)n;
}

/* The same up to the end of the generation: another thread may be at it still. */
static UNUSED void rig_finish(struct rig *rig, struct pfs_buf *out)
{
	int r;

	WAIT_WHILE((r = rig_drain(rig, out)) == -EAGAIN);
	assert_int_equal(r, 0);
}

/* The same until len bytes are there in all. */
static UNUSED void rig_wait(struct rig *rig, struct pfs_buf *out, size_t len)
{
	WAIT_WHILE(rig_drain(rig, out) == -EAGAIN && out->len < len);
	assert_int_equal(out->len, len);
}

static UNUSED struct pfs_writer *rig_writer(struct rig *rig)
{
	struct pfs_cred cred = rig_cred();
	struct pfs_writer *writer;
	struct pfs_diag diag;

	assert_int_equal(pfs_writer_open(rig->top, &cred, &writer, &diag), 0);
	return writer;
}

/* Writes all of it, `chunk` bytes at a time (0: at once), draining into out when there is a reader. */
static UNUSED void rig_write(struct rig *rig, struct pfs_writer *writer, const void *bytes,
			     size_t n, size_t chunk, struct pfs_buf *out)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		size_t some = pfs_min(n, pfs_min(chunk ? chunk : n, 1 << 20));
		ssize_t r = pfs_writer_write(writer, p, some);

		if (r > 0) {
			p += r;
			n -= (size_t)r;
		} else {
			assert_int_equal(r, -EAGAIN);
		}
		if (rig->reader)
			rig_drain(rig, out);
	}
}

/* The whole way: bytes into /accept, what comes out of path to its end. The rig stays for its stats. */
static UNUSED void rig_run(struct rig *rig, const char *path, const char *view, const void *bytes,
			   size_t n, size_t chunk, struct pfs_buf *out)
{
	struct pfs_writer *writer;

	rig_open(rig, path, view);
	writer = rig_writer(rig);
	rig_write(rig, writer, bytes, n, chunk, out);
	pfs_writer_close(writer);
	if (rig->reader)
		rig_finish(rig, out);
	assert_false(out && out->failed);
}

/* A number of .stats, 0 when it is not there (yet). */
static UNUSED uint64_t node_stat(struct pfs_node *node, const char *name)
{
	PFS_BUF struct pfs_buf text = { 0 };
	size_t len = strlen(name);

	assert_int_equal(pfs_node_text(node, PFS_TEXT_STATS, &text), 0);
	for (char *line = text.data; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

static UNUSED uint64_t rig_stat(struct rig *rig, const char *name)
{
	return node_stat(rig->node, name);
}

/* The number is, or becomes, that. */
static UNUSED void node_expect(struct pfs_node *node, const char *name, uint64_t want)
{
	WAIT_WHILE(node_stat(node, name) != want);
	assert_int_equal(node_stat(node, name), want);
}

static UNUSED void rig_expect(struct rig *rig, const char *name, uint64_t want)
{
	node_expect(rig->node, name, want);
}

/* --- captures -------------------------------------------------------------------------------- */

#define RIG_TIME UINT64_C(1700000000123456789)

/* The head of a pcap file with nanoseconds, little-endian. */
static UNUSED void cap_head(struct pfs_buf *cap, uint16_t link_type)
{
	uint8_t head[24] = { 0 };

	le32_store(head, 0xa1b23c4d);
	le16_store(head + 4, 2);
	le16_store(head + 6, 4);
	le32_store(head + 16, 262144);
	le32_store(head + 20, link_type);
	pfs_buf_add(cap, head, sizeof(head));
}

static UNUSED void cap_packet(struct pfs_buf *cap, uint64_t time, const void *bytes, size_t n)
{
	uint8_t head[16];

	le32_store(head, (uint32_t)(time / 1000000000));
	le32_store(head + 4, (uint32_t)(time % 1000000000));
	le32_store(head + 8, (uint32_t)n);
	le32_store(head + 12, (uint32_t)n);
	pfs_buf_add(cap, head, sizeof(head));
	pfs_buf_add(cap, bytes, n);
}

/* Ethernet, IPv4, TCP. from < to are host numbers of 10.0.0.0/24, ports 1000 + number. */
static UNUSED void cap_tcp(struct pfs_buf *cap, unsigned from, unsigned to, uint32_t seq,
			   uint8_t flags, const char *payload)
{
	uint8_t p[2048] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00 };
	size_t n = strlen(payload);
	uint8_t *ip = p + 14, *tcp = ip + 20;

	assert_true(n <= sizeof(p) - 54);
	ip[0] = 0x45;
	be16_store(ip + 2, (uint16_t)(40 + n));
	ip[8] = 64;
	ip[9] = 6;
	be32_store(ip + 12, 0x0a000000 + from);
	be32_store(ip + 16, 0x0a000000 + to);
	be16_store(tcp, (uint16_t)(1000 + from));
	be16_store(tcp + 2, (uint16_t)(1000 + to));
	be32_store(tcp + 4, seq);
	tcp[12] = 0x50;
	tcp[13] = flags;
	memcpy(tcp + 20, payload, n);
	cap_packet(cap, RIG_TIME, p, 54 + n);
}

/* The packets' bytes one after the other, as a little-endian pcap file has them. */
static UNUSED void rig_bare_packets(const struct pfs_buf *capture, struct pfs_buf *out)
{
	const uint8_t *p = (const uint8_t *)capture->data;

	for (size_t at = 24; at < capture->len;) {
		uint32_t len = le32_load(p + at + 8);

		pfs_buf_add(out, p + at + 16, len);
		at += 16 + len;
	}
}

#endif
