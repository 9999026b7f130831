/*
 * help - what the tests of the graph share: trees, opens, reads that park
 */
#ifndef TESTS_GRAPH_HELP_H
#define TESTS_GRAPH_HELP_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "../until.h"
#include "graph/graph.h"
#include "graph/tables.h"

#define HELP __attribute__((unused)) static

static const struct pfs_cred me = { .uid = 0, .gid = 0, .pid = 0 };

/* For threads other than the test's own, which cmocka cannot stop. */
#define CHECK(condition)                                                                    \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                            \
		}                                                                           \
	} while (0)

/* mkdir -p; a reference to the last. */
HELP struct pfs_node *make_path(struct pfs_graph *graph, const char *path)
{
	struct pfs_node *dir = pfs_node_ref(pfs_graph_root(graph)), *next;
	char *copy = strdup(path), *save = NULL;
	struct pfs_diag diag;

	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		int r = pfs_node_lookup(dir, name, &next);

		if (r == -ENOENT)
			r = pfs_node_make(dir, name, &me, 0755, &next, &diag);
		if (r < 0)
			print_error("%s: %s\n", name, diag.text);
		assert_int_equal(r, 0);
		pfs_node_unref(dir);
		dir = next;
	}
	free(copy);
	return dir;
}

HELP struct pfs_graph *graph_of(struct pfs_graph_options options)
{
	struct pfs_graph *graph;

	/* Each thread does what it has made possible: what has been put can be got. */
	options.patience = 60 * UINT64_C(1000000000);
	assert_int_equal(pfs_graph_new(&options, &graph), 0);
	return graph;
}

HELP struct pfs_reader *open_reader(struct pfs_node *node, const char *view, int policy)
{
	struct pfs_reader_options options = { .view = view, .policy = policy, .cred = me };
	struct pfs_reader *reader;
	struct pfs_diag diag;
	int r = pfs_reader_open(node, &options, &reader, &diag);

	if (r < 0)
		print_error("open: %s\n", diag.text);
	assert_int_equal(r, 0);
	return reader;
}

HELP struct pfs_writer *open_writer(struct pfs_node *node)
{
	struct pfs_writer *writer;
	struct pfs_diag diag;

	assert_int_equal(pfs_writer_open(node, &me, &writer, &diag), 0);
	return writer;
}

/* One get, copied out. */
HELP ssize_t read_some(struct pfs_reader *reader, void *to, size_t size, bool record)
{
	static _Thread_local uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;
	ssize_t n = pfs_reader_get(reader, size, record, false, gather, iov, &niov);
	size_t at = 0;

	if (n <= 0)
		return n;
	for (unsigned i = 0; i < niov; i++) {
		memcpy((uint8_t *)to + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	CHECK(at == (size_t)n);
	pfs_reader_done(reader, true);
	return n;
}

/* --- parking ----------------------------------------------------------------------------------- */

struct signal {
	struct pfs_waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken;
};

HELP void signal_wake(struct pfs_waiter *waiter)
{
	struct signal *s = CONTAINER_OF(waiter, struct signal, waiter);

	pthread_mutex_lock(&s->lock);
	s->woken = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

HELP void signal_init(struct signal *s)
{
	*s = (struct signal){ .waiter = { .wake = signal_wake } };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
}

/* False: not woken in a minute. */
HELP bool signal_wait(struct signal *s)
{
	struct timespec until;
	bool woken;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&s->lock);
	while (!s->woken && pthread_cond_timedwait(&s->cond, &s->lock, &until) == 0)
		;
	woken = s->woken;
	s->woken = false;
	pthread_mutex_unlock(&s->lock);
	return woken;
}

/* As read_some(), but waits. -ETIMEDOUT: nothing came in a minute. */
HELP ssize_t read_wait(struct pfs_reader *reader, void *to, size_t size, bool record)
{
	struct signal s;
	ssize_t n;

	signal_init(&s);
	while ((n = read_some(reader, to, size, record)) == -EAGAIN) {
		if (!pfs_reader_park(reader, &s.waiter) || signal_wait(&s))
			continue;
		if (pfs_reader_unpark(reader, &s.waiter))
			return -ETIMEDOUT;
		signal_wait(&s);
	}
	return n;
}

/* Everything up to the end; the number of bytes. */
HELP ssize_t read_all(struct pfs_reader *reader)
{
	static _Thread_local uint8_t buf[65536];
	ssize_t n, all = 0;

	while ((n = read_wait(reader, buf, sizeof(buf), false)) > 0)
		all += n;
	return n < 0 ? n : all;
}

/* The number behind `name` in one of the hidden files; 0 when it is not there. */
HELP unsigned long long number_of(struct pfs_node *node, enum pfs_text which, const char *name)
{
	PFS_BUF struct pfs_buf text = { 0 };
	unsigned long long value = 0;
	const char *at;

	assert_int_equal(pfs_node_text(node, which, &text), 0);
	at = text.data ? strstr(text.data, name) : NULL;
	if (at)
		sscanf(at + strlen(name), "%*[ =]%llu", &value);
	return value;
}

#endif
