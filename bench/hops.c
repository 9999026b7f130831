/*
 * hops - how long a tree takes for a capture that lies in memory
 *
 *	hops FILE SHAPE K FILTER		SHAPE: chain, fan
 *
 * chain: accept/unpcap/FILTER/FILTER/.../count, K of them. fan: K directories FILTER below unpcap, a count below each.
 * K 0: accept/unpcap/count. FILE is poured in again and again. Prints how many packets came to the last count, and ns
 * of CPU for one of them through the whole tree. All in this process: no kernel, no FUSE.
 */
#include <inttypes.h>
#include <stdio.h>

#include "graph/graph.h"

#define BLOCK ((size_t)256 << 10)
#define AT_LEAST UINT64_C(300000000) /* ns */

static struct pfs_cred me;

/* Of all our threads: what others do on the machine is not counted. */
static uint64_t cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what, int r)
{
	fprintf(stderr, "hops: %s: %s\n", what, strerror(-r));
	exit(1);
}

static struct pfs_node *make(struct pfs_node *dir, const char *name)
{
	struct pfs_diag diag = { "" };
	struct pfs_node *node;
	int r = pfs_node_make(dir, name, &me, 0755, &node, &diag);

	if (r < 0)
		fail(diag.text[0] ? diag.text : name, r);
	return node;
}

/* The i-th name of the filter that keeps everything it gets here. No two are equal, so that siblings can be made. */
static void name_of(const char *filter, unsigned i, char *name, size_t size)
{
	static const char *const classifiers[] = { "srcport", "dstport", "port",
						   "host",    "proto",	 "flow" };
	static const char *const protocols[] = { "ip", "tcp" };
	size_t n;

	for (size_t c = 0; c < ARRAY_SIZE(classifiers); c++) {
		if (strcmp(filter, classifiers[c]) == 0) {
			snprintf(name, size, "%s,max=%u", filter, 10000 + i);
			return;
		}
	}
	for (size_t p = 0; p < ARRAY_SIZE(protocols); p++) {
		if (strcmp(filter, protocols[p]) != 0)
			continue;
		/* "no" four times, written in one of 256 ways */
		n = (size_t)snprintf(name, size, "%s,tunnel=", filter);
		for (unsigned bit = 0; bit < 8; bit++)
			n += (size_t)snprintf(
				name + n, size - n, "%s%s", bit % 2 == 0 && bit ? "+" : "",
				i >> bit & 1 ? (bit % 2 ? "%6f" : "%6e") : (bit % 2 ? "o" : "n"));
		return;
	}
	if (strcmp(filter, "match") == 0)
		snprintf(name, size, "match:len < %u", 100000 + i);
	else
		snprintf(name, size, "%s:%u", filter, 1000000 + i); /* head, snap, dedup */
}

static struct pfs_node *chain(struct pfs_node *dir, unsigned k, const char *filter)
{
	char name[64];

	for (unsigned i = 0; i < k; i++) {
		name_of(filter, i, name, sizeof(name));
		dir = make(dir, name);
	}
	return make(dir, "count");
}

static struct pfs_node *fan(struct pfs_node *dir, unsigned k, const char *filter)
{
	struct pfs_node *last = NULL;
	char name[64];

	for (unsigned i = 0; i < k; i++) {
		name_of(filter, i, name, sizeof(name));
		last = make(make(dir, name), "count");
	}
	return last ? last : make(dir, "count");
}

static uint64_t records_of(struct pfs_node *node)
{
	PFS_BUF struct pfs_buf text = { 0 };
	const char *at;

	pfs_node_text(node, PFS_TEXT_STATS, &text);
	at = text.data ? strstr(text.data, "\nrecords ") : NULL;
	return at ? strtoull(at + 9, NULL, 10) : 0;
}

static void pour(struct pfs_node *accept, const char *data, size_t size)
{
	struct pfs_writer *writer;
	struct pfs_diag diag = { "" };
	int r = pfs_writer_open(accept, &me, &writer, &diag);

	if (r < 0)
		fail(diag.text, r);
	for (size_t at = 0; at < size;) {
		size_t some = size - at < BLOCK ? size - at : BLOCK;
		ssize_t n = pfs_writer_write(writer, data + at, some);

		if (n > 0)
			at += (size_t)n;
		else if (n != -EAGAIN)
			fail("write", (int)n);
	}
	pfs_writer_close(writer);
}

static void *read_all(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "re");
	char *data;
	long size = 0;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0)
		fail(path, -errno);
	rewind(f);
	data = malloc((size_t)size);
	if (!data || fread(data, 1, (size_t)size, f) != (size_t)size)
		fail(path, -EIO);
	fclose(f);
	*ret_size = (size_t)size;
	return data;
}

int main(int argc, char **argv)
{
	struct pfs_graph_options options = { 0 };
	struct pfs_node *accept, *last;
	struct pfs_graph *graph;
	uint64_t start, took, before, packets;
	size_t size;
	char *data;
	int r;

	if (argc != 5 || (strcmp(argv[2], "chain") != 0 && strcmp(argv[2], "fan") != 0)) {
		fprintf(stderr, "usage: hops FILE chain|fan K FILTER\n");
		return 2;
	}
	data = read_all(argv[1], &size);
	r = pfs_graph_new(&options, &graph);
	if (r < 0)
		fail("graph", r);
	accept = make(pfs_graph_root(graph), "accept");
	last = make(accept, "unpcap");
	last = argv[2][0] == 'c' ? chain(last, (unsigned)strtoul(argv[3], NULL, 10), argv[4])
				 : fan(last, (unsigned)strtoul(argv[3], NULL, 10), argv[4]);
	pour(accept, data, size); /* memory is touched, classes are there */
	before = records_of(last);
	start = cpu_time();
	do {
		pour(accept, data, size);
		took = cpu_time() - start;
	} while (took < AT_LEAST);
	packets = records_of(last) - before;
	printf("%" PRIu64 " %.2f\n", packets, packets ? (double)took / (double)packets : 0.0);
	/* The tree goes with the process. */
	free(data);
	return 0;
}
