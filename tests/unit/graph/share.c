/*
 * share - a reader whose client maps: the client of the library with the graph in one process, so that what they do at
 * once is watched. What writers bring is taken in order, slept for without a time limit, and lost only by the lossy,
 * who know how much; the client, its reader and the directory may go at any moment.
 */
#include "help.h"

#include "client/client_i.h"

#define MANY 100000
#define WORDS 64	/* of a record, which all say its number */
#define RING (4u << 20) /* the least that there is */
#define LAP (RING / (sizeof(struct pfs_record) + WORDS * sizeof(uint64_t)) + 100)

struct process {
	struct pfs_reader *reader;
	struct pfs_client *client;
	uint64_t next; /* the least number that a record may have */
	uint64_t got;
};

static struct pfs_reader *reader_for_client(struct pfs_node *node, int policy)
{
	struct pfs_reader_options options = { .policy = policy, .client = true, .cred = me };
	struct pfs_reader *reader;
	struct pfs_diag diag;

	CHECK(pfs_reader_open(node, &options, &reader, &diag) == 0);
	return reader;
}

static void process_open(struct process *p, struct pfs_node *node, int policy, bool in_place)
{
	struct pfs_diag diag;
	struct pfs_given given;

	*p = (struct process){ .reader = reader_for_client(node, policy) };
	CHECK(pfs_reader_share(p->reader, &given, &diag) == 0);
	p->client = pfs_zalloc(1, sizeof(*p->client));
	CHECK(p->client);
	p->client->file = p->client->socket = -1;
	p->client->nudge_fd = dup(given.fds[PFS_GIVEN_NUDGE]);
	p->client->in_place = in_place;
	p->client->hello = given.hello;
	CHECK(pfs_client_map(p->client, given.fds) == 0);
}

static void process_close(struct process *p)
{
	pfs_reader_mute(p->reader);
	pfs_close(p->client);
	pfs_reader_close(p->reader);
}

/* What there is; false: the end. */
static bool take(struct process *p)
{
	struct pfs_rec recs[100];
	int n = pfs_next(p->client, recs, 100);

	for (int i = 0; i < n; i++) {
		uint64_t words[WORDS];

		if (recs[i].flags & PFS_STREAM_END)
			continue;
		CHECK(recs[i].len == sizeof(words));
		memcpy(words, recs[i].data, sizeof(words));
		if (!p->client->in_place) {
			CHECK(words[0] >= p->next && words[0] == words[WORDS - 1]);
			p->next = words[0] + 1;
		}
		p->got++;
	}
	p->got -= (uint64_t)pfs_release(p->client);
	if (n > 0)
		pfs_reader_on(p->reader); /* as PFS_IOC_ON does */
	if (n == -EAGAIN)
		CHECK(pfs_wait(p->client, 60000) == 1);
	else
		CHECK(n >= 0);
	return n != 0;
}

static void *write_many(void *arg)
{
	struct pfs_writer *writer = open_writer(arg);

	for (uint64_t n = 0; n < MANY; n++) {
		uint64_t words[WORDS];
		struct signal s;
		ssize_t r;

		for (size_t i = 0; i < WORDS; i++)
			words[i] = n;
		while ((r = pfs_writer_write(writer, words, sizeof(words))) == -EAGAIN) {
			signal_init(&s);
			if (pfs_writer_park(writer, &s.waiter, sizeof(words)))
				CHECK(signal_wait(&s));
		}
		CHECK(r == sizeof(words));
	}
	pfs_writer_close(writer);
	return NULL;
}

static void *take_all(void *arg)
{
	while (take(arg))
		;
	return NULL;
}

/* Every now and then the writer goes round the ring first. */
static void take_late(struct process *p)
{
	_Atomic uint64_t *head = &p->client->queue->head;

	for (unsigned turn = 1; take(p); turn++)
		while (turn % 8 == 0 && atomic_load(head) < MANY &&
		       atomic_load(head) - p->client->next < LAP)
			sched_yield();
}

/* --- tests ------------------------------------------------------------------------------------------ */

/* Of one directory, two at once: one that is waited for and one that is not. */
static void two_at_once(const char *path, bool in_place)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = RING });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, path);
	struct process reliable, lossy;
	pthread_t threads[2];

	process_open(&reliable, dir, 1, false);
	process_open(&lossy, dir, 0, in_place);
	assert_int_equal(pthread_create(&threads[0], NULL, write_many, accept), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, take_all, &lossy), 0);
	take_all(&reliable);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(reliable.got, MANY);
	assert_int_equal(reliable.next, MANY);
	assert_int_equal(pfs_lost(reliable.client), 0);
	assert_int_equal(lossy.got + pfs_lost(lossy.client), MANY);
	assert_int_equal(number_of(dir, PFS_TEXT_READERS, "reliable delivered"), MANY);
	assert_int_equal(number_of(dir, PFS_TEXT_READERS, "lossy delivered"), lossy.got);
	process_close(&reliable);
	process_close(&lossy);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_where_it_is_written(void **state)
{
	two_at_once("accept", false);
	two_at_once("accept", true);
}

static void test_copy(void **state)
{
	two_at_once("accept/snap:512", false);
	two_at_once("accept/snap:512", true);
}

/* Nobody is waited for: what it is given is whole, though the writer comes by all the time. */
static void overtaken(const char *path, bool in_place)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = RING });
	struct pfs_node *accept = make_path(graph, "accept"), *dir = make_path(graph, path);
	struct process p;
	pthread_t thread;

	process_open(&p, dir, 0, in_place);
	assert_int_equal(pthread_create(&thread, NULL, write_many, accept), 0);
	take_late(&p);
	pthread_join(thread, NULL);
	assert_int_equal(p.got + pfs_lost(p.client), MANY);
	assert_int_equal(number_of(dir, PFS_TEXT_READERS, "lossy delivered"), p.got);
	process_close(&p);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

static void test_overtaken(void **state)
{
	overtaken("accept", false);
	overtaken("accept", true);
	overtaken("accept/snap:512", false);
	overtaken("accept/snap:512", true);
}

/* It comes and goes while others write and read; what is written is not held up by who has gone. */
static void test_goes_at_any_moment(void **state)
{
	static const char *const paths[] = { "accept", "accept/snap:512" };

	for (size_t k = 0; k < ARRAY_SIZE(paths); k++) {
		struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .ring_size = RING });
		struct pfs_node *accept = make_path(graph, "accept"),
				*dir = make_path(graph, paths[k]);
		struct pfs_reader *other = open_reader(accept, NULL, 0);
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, write_many, accept), 0);
		for (unsigned i = 0; i < 500; i++) {
			struct process p;

			process_open(&p, dir, i % 2 ? 1 : 0, i % 4 == 0);
			if (i % 3 == 0)
				(void)pfs_wait(p.client, 0);
			process_close(&p);
		}
		pthread_join(thread, NULL);
		pfs_reader_close(other);
		pfs_node_unref(dir);
		pfs_node_unref(accept);
		pfs_graph_free(graph);
	}
}

/* Once; not of a reader that was opened for read(2); not of a capture file, which each client would begin elsewhere. */
static void test_refused(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept");
	struct pfs_reader *plain = open_reader(accept, NULL, -1);
	struct pfs_given given;
	struct pfs_diag diag;
	struct process p;

	assert_int_equal(pfs_reader_share(plain, &given, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "all,client"));
	process_open(&p, accept, 1, false);
	assert_int_equal(pfs_reader_share(p.reader, &given, &diag), -EBUSY);
	assert_non_null(strstr(diag.text, "already"));
	process_close(&p);
	pfs_reader_close(plain);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* The directory is removed below a client that waits: it is the end of it, not for ever. */
static void test_removed(void **state)
{
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ 0 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*dir = make_path(graph, "accept/snap:512");
	struct pfs_diag diag;
	struct process p;

	process_open(&p, dir, 1, false);
	assert_int_equal(pfs_wait(p.client, 0), 0);
	assert_int_equal(pfs_node_remove(accept, "snap:512", &me, &diag), 0);
	while (take(&p))
		;
	process_close(&p);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_it_is_written),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_goes_at_any_moment),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
