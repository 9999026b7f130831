/*
 * stress - threads that do anything at any time, beside readers that must see every number once and in order
 *
 *	unit-graph-stress			a few seconds from a seed that it prints
 *	SEED=n SECONDS=n unit-graph-stress	the same again, for as long as one likes (threads still differ)
 */
#include "help.h"

#include <time.h>

#include "base/bytes.h"
#include "fakes.h"

enum { MESS = 3, ORDERLY = 5, NUMBER = 16 };

/* Places below `clean` that pass all numbers, and what is moved among them, by names that nobody else knows. */
static const char *const places[] = { "accept:clean", "accept:clean/head:1000000003",
				      "accept:clean/head:1000000004/relay",
				      "accept:clean/head:1000000004/relay/copy",
				      "accept:clean/head:1000000005/copy" };
#define WANDERER "head:1000000006"

static struct {
	struct pfs_graph *graph;
	struct pfs_node *top;	/* accept */
	struct pfs_node *clean; /* accept:clean, into which only numbers are written */
	struct pfs_node *deep;	/* below it; what leads there has names that nobody knows */
	_Atomic bool stop;
	_Atomic uint64_t written;
	_Atomic uint64_t operations;
	_Atomic uint64_t moves;
	uint64_t seed;
} all;

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13; /* Marsaglia's xorshift64 */
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static unsigned below(uint64_t *seed, unsigned n)
{
	return (unsigned)(random_next(seed) >> 33) % n;
}

/* --- the orderly ones ------------------------------------------------------------------------------ */

static void *write_numbers(void *arg)
{
	uint64_t seed = all.seed | 1;
	struct pfs_writer *writer = open_writer(all.clean);
	uint8_t record[2048] = { 0 };
	struct signal s;

	signal_init(&s);
	for (uint64_t number = 0; !all.stop;) {
		size_t n = NUMBER + (below(&seed, 8) ? below(&seed, 64) : below(&seed, 2000));

		le64_store(record, number);
		le64_store(record + 8, n);
		ssize_t r = pfs_writer_write(writer, record, n);

		if (r == -EAGAIN) {
			if (pfs_writer_park(writer, &s.waiter, n))
				CHECK(signal_wait(&s));
			continue;
		}
		CHECK(r == (ssize_t)n);
		all.written = ++number;
		if (below(&seed, 64) == 0)
			usleep(below(&seed, 200));
	}
	pfs_writer_close(writer);
	return NULL;
}

/* Where it may have been lost, before the test fails. */
static void show_lost(void)
{
	PFS_BUF struct pfs_buf text = { 0 };

	if (pfs_graph_show(pfs_graph_root(all.graph), PFS_SHOW_METRICS, &me, &text) == 0)
		for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
			if (strstr(line, "lost") && strstr(line, "clean") && !strstr(line, "} 0"))
				fprintf(stderr, "%s\n", line);
}

struct orderly {
	pthread_t thread;
	struct pfs_reader *reader;
	uint64_t seen;
	uint64_t seed;
	bool reliable;
};

/* Pieces of any size: the numbers are put together again. */
static void *read_numbers(void *arg)
{
	struct orderly *o = arg;
	static _Thread_local uint8_t buf[1 << 16];
	size_t have = 0;
	uint64_t next = 0;

	for (;;) {
		size_t room = sizeof(buf) - have, at = 0;
		ssize_t n =
			read_wait(o->reader, buf + have, 1 + below(&o->seed, (unsigned)room), false);

		CHECK(n >= 0);
		if (n == 0)
			break;
		have += (size_t)n;
		while (have - at >= NUMBER && have - at >= le64_load(buf + at + 8)) {
			uint64_t number = le64_load(buf + at);

			if (o->reliable && number != next)
				show_lost();
			CHECK(o->reliable ? number == next : number >= next);
			CHECK(le64_load(buf + at + 8) <= 2048);
			next = number + 1;
			o->seen++;
			at += le64_load(buf + at + 8);
		}
		memmove(buf, buf + at, have - at);
		have -= at;
		if (below(&o->seed, 32) == 0)
			usleep(below(&o->seed, o->reliable ? 300 : 20000));
	}
	CHECK(have == 0);
	return NULL;
}

/* --- the others -------------------------------------------------------------------------------------- */

static const char *const names[] = { "count",	"copy",	   "relay", "head:50", "label",
				     "7",	"150",	   "huge",  "unpcap",  "count,x=1",
				     "label/3", "no such", "copy" };
static const char *const views[] = { NULL, NULL, "txt", "json" };

struct mess {
	pthread_t thread;
	uint64_t seed;
	struct pfs_node *node[8];
	struct pfs_reader *reader[4];
	struct pfs_writer *writer[4];
	struct signal parked[4];
	bool is_parked[4];
};

static struct pfs_node *some_node(struct mess *m)
{
	struct pfs_node *node = m->node[below(&m->seed, 8)];

	if (node)
		return node;
	return below(&m->seed, 2) ? all.top : below(&m->seed, 2) ? all.clean : all.deep;
}

/* Keeps a node that was looked up or made, in place of another. */
static void keep(struct mess *m, struct pfs_node *node)
{
	unsigned i = below(&m->seed, 8);

	pfs_node_unref(m->node[i]);
	m->node[i] = node;
}

static void make_or_remove(struct mess *m)
{
	static const char *const sources[] = { "numbers", "flood", "accept:x", "accept" };
	const char *name = names[below(&m->seed, ARRAY_SIZE(names))];
	struct pfs_node *dir = some_node(m), *node;
	struct pfs_diag diag;

	if (below(&m->seed, 8) == 0) {
		dir = pfs_graph_root(all.graph);
		name = sources[below(&m->seed, ARRAY_SIZE(sources))];
	}
	switch (below(&m->seed, 5)) {
	case 0:
		if (pfs_node_make(dir, name, &me, 0755, &node, &diag) == 0)
			keep(m, node);
		break;
	case 1:
		if (pfs_node_lookup(dir, name, &node) == 0)
			keep(m, node);
		break;
	case 2:
	case 3:
		if (pfs_node_move(dir, name, some_node(m), name, &me, &diag) == 0)
			all.moves++;
		break;
	default:
		(void)pfs_node_remove(dir, name, &me, &diag);
	}
}

static void reader_drop(struct mess *m, unsigned i)
{
	if (m->is_parked[i] && !pfs_reader_unpark(m->reader[i], &m->parked[i].waiter))
		CHECK(signal_wait(&m->parked[i]));
	m->is_parked[i] = false;
	pfs_reader_close(m->reader[i]);
	m->reader[i] = NULL;
}

static void read_something(struct mess *m)
{
	static _Thread_local uint8_t gather[PFS_GATHER_MAX];
	unsigned i = below(&m->seed, 4), niov;
	struct iovec iov[PFS_IOV_MAX];
	struct pfs_reader_options options = { .policy = (int)below(&m->seed, 3) - 1, .cred = me };

	if (!m->reader[i]) {
		options.view = views[below(&m->seed, ARRAY_SIZE(views))];
		(void)pfs_reader_open(some_node(m), &options, &m->reader[i], NULL);
		return;
	}
	if (m->is_parked[i]) {
		if (pfs_reader_unpark(m->reader[i], &m->parked[i].waiter) == false)
			CHECK(signal_wait(&m->parked[i]));
		m->is_parked[i] = false;
	}
	for (unsigned n = below(&m->seed, 40); n; n--) {
		ssize_t r = pfs_reader_get(m->reader[i], 1 + below(&m->seed, 100000),
					   below(&m->seed, 4) == 0, below(&m->seed, 2), gather, iov,
					   &niov);

		if (r <= 0)
			break;
		pfs_reader_done(m->reader[i], below(&m->seed, 8) != 0);
	}
	if (below(&m->seed, 4) == 0)
		m->is_parked[i] = pfs_reader_park(m->reader[i], &m->parked[i].waiter);
	else if (below(&m->seed, 6) == 0)
		reader_drop(m, i);
}

/* Where numbers are expected, nobody else writes. */
static bool below_clean(struct pfs_node *node)
{
	PFS_BUF struct pfs_buf path = { 0 };

	if (node == all.clean)
		return true;
	pfs_node_path(node, &path);
	return !path.data || strncmp(path.data, "/accept:clean", 13) == 0;
}

static void write_something(struct mess *m)
{
	static char block[20000];
	unsigned i = below(&m->seed, 4);
	struct pfs_node *node = some_node(m);

	if (!m->writer[i]) {
		if (!below_clean(node))
			(void)pfs_writer_open(node, &me, &m->writer[i], NULL);
		return;
	}
	for (unsigned n = below(&m->seed, 40); n; n--)
		if (pfs_writer_write(m->writer[i], block,
				     1 + below(&m->seed, below(&m->seed, 32) ? 50 : sizeof(block))) < 0)
			break;
	if (below(&m->seed, 6) == 0) {
		pfs_writer_close(m->writer[i]);
		m->writer[i] = NULL;
	}
}

static void look(struct mess *m)
{
	static const char *const params[] = { "arg=20\n", "x=y\n", "" };
	const char *text = params[below(&m->seed, 3)];
	PFS_BUF struct pfs_buf buf = { 0 };
	struct pfs_node *node = some_node(m);
	struct pfs_node_info info;
	struct pfs_diag diag;

	switch (below(&m->seed, 4)) {
	case 0:
		if (below(&m->seed, 2))
			pfs_node_text(node, (enum pfs_text)below(&m->seed, PFS_TEXT_MANUAL + 1), &buf);
		else
			pfs_graph_show(node, (enum pfs_show)below(&m->seed, PFS_SHOW_METRICS + 1),
				       &me, &buf);
		break;
	case 1:
		pfs_node_params_set(node, text, strlen(text), &me, &diag);
		break;
	case 2:
		pfs_node_info(node, &info);
		break;
	default:
		pfs_node_path(node, &buf);
	}
}

static void *make_a_mess(void *arg)
{
	struct mess *m = arg;

	for (unsigned i = 0; i < 4; i++)
		signal_init(&m->parked[i]);
	while (!all.stop) {
		all.operations++;
		switch (below(&m->seed, 8)) {
		case 0:
		case 1:
			make_or_remove(m);
			break;
		case 2:
		case 3:
		case 4:
			read_something(m);
			break;
		case 5:
		case 6:
			write_something(m);
			break;
		default:
			look(m);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		if (m->reader[i])
			reader_drop(m, i);
	for (unsigned i = 0; i < 4; i++)
		pfs_writer_close(m->writer[i]);
	for (unsigned i = 0; i < 8; i++)
		pfs_node_unref(m->node[i]);
	return NULL;
}

/* Moves what two of the orderly ones read from place to place. */
static void *wander(void *arg)
{
	struct pfs_node *place[ARRAY_SIZE(places)];
	uint64_t seed = all.seed | 1;
	struct pfs_diag diag;
	unsigned at = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		place[i] = make_path(all.graph, places[i]);
	while (!all.stop) {
		unsigned to = below(&seed, ARRAY_SIZE(places));
		int r = pfs_node_move(place[at], WANDERER, place[to], WANDERER, &me, &diag);

		CHECK(r == 0 || r == -ENOMEM || r == -EBUSY);
		all.moves += r == 0;
		at = r == 0 ? to : at;
		usleep(below(&seed, 3000));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		pfs_node_unref(place[i]);
	return NULL;
}

/*
 * A filter whose ring cannot be had for want of memory loses what comes, and counts it. Here memory is short on
 * purpose, so each place gets its ring before, and keeps it for a reader who reads nothing.
 */
static void keep_places(struct pfs_reader *kept[])
{
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		struct pfs_node *place = make_path(all.graph, places[i]);

		kept[i] = open_reader(place, NULL, 0);
		WAIT_WHILE(number_of(place, PFS_TEXT_STATS, "out") == 0);
		pfs_node_unref(place);
	}
}

/* Takes away what is there, so that there is always room for the new. */
static void *tidy(void *arg)
{
	struct pfs_diag diag;

	while (!all.stop) {
		usleep(3000);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			(void)pfs_node_remove(all.top, names[i], &me, &diag);
			(void)pfs_node_remove(all.clean, names[i], &me, &diag);
			(void)pfs_node_remove(all.deep, names[i], &me, &diag);
		}
	}
	return NULL;
}

/* --- together -------------------------------------------------------------------------------------------- */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_anything_at_any_time(void **state)
{
	struct orderly orderly[ORDERLY] = { 0 };
	struct mess mess[MESS] = { 0 };
	struct pfs_reader *kept[ARRAY_SIZE(places)];
	struct pfs_node *moved[2];
	pthread_t writer, tidier, wanderer;
	uint64_t seconds = from_environment("SECONDS", 4);

	all.seed = from_environment("SEED", pfs_clock_real() / 1000 % 1000000);
	print_message("SEED=%llu\n", (unsigned long long)all.seed);
	all.graph = graph_of((struct pfs_graph_options){
		.ring_size = (size_t)4 << 20, .memory_max = (size_t)200 << 20, .nodes_max = 300 });
	fake.count = 2000;
	fake.linger = 100;
	all.top = make_path(all.graph, "accept");
	all.clean = make_path(all.graph, "accept:clean");
	all.deep = make_path(all.graph, "accept:clean/head:1000000000/copy");
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		pfs_node_unref(make_path(all.graph, places[i]));
	moved[0] = make_path(all.graph, "accept:clean/" WANDERER);
	moved[1] = make_path(all.graph, "accept:clean/" WANDERER "/copy/head:1000000007");
	for (unsigned i = 0; i < ORDERLY; i++) {
		struct pfs_node *where[ORDERLY] = { all.clean, all.deep, moved[0], moved[1],
						    all.clean };

		orderly[i].reliable = i < ORDERLY - 1;
		orderly[i].seed = all.seed * 31 + i + 1;
		orderly[i].reader = open_reader(where[i], NULL, orderly[i].reliable);
		pthread_create(&orderly[i].thread, NULL, read_numbers, &orderly[i]);
	}
	pthread_create(&writer, NULL, write_numbers, NULL);
	keep_places(kept);
	pthread_create(&tidier, NULL, tidy, NULL);
	pthread_create(&wanderer, NULL, wander, NULL);
	for (unsigned i = 0; i < MESS; i++) {
		mess[i].seed = all.seed * 7 + i + 1;
		pthread_create(&mess[i].thread, NULL, make_a_mess, &mess[i]);
	}
	sleep((unsigned)seconds);
	all.stop = true;
	for (unsigned i = 0; i < MESS; i++)
		pthread_join(mess[i].thread, NULL);
	pthread_join(tidier, NULL);
	pthread_join(wanderer, NULL);
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < ORDERLY; i++) {
		pthread_join(orderly[i].thread, NULL);
		if (orderly[i].reliable)
			assert_int_equal(orderly[i].seen, all.written);
		pfs_reader_close(orderly[i].reader);
	}
	print_message("%llu operations, %llu moves, %llu numbers, the lossy reader saw %llu\n",
		      (unsigned long long)all.operations, (unsigned long long)all.moves,
		      (unsigned long long)all.written, (unsigned long long)orderly[ORDERLY - 1].seen);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		pfs_reader_close(kept[i]);
	pfs_node_unref(moved[0]);
	pfs_node_unref(moved[1]);
	pfs_node_unref(all.deep);
	pfs_node_unref(all.top);
	pfs_node_unref(all.clean);
	pfs_graph_free(all.graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anything_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
