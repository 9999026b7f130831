/*
 * classes - open sets: numbers, names, bounds, forgetting; and their directories in a running graph
 */
#include "help.h"

#include "fakes.h"

/* --- the set ------------------------------------------------------------------------------------- */

static struct pkt_key number_key(uint64_t number)
{
	return (struct pkt_key){ { number } };
}

static uint16_t class_of(struct pfs_classes *set, uint64_t value)
{
	struct pkt_key key = number_key(value);
	uint16_t class_;

	pfs_classes_lock(set);
	class_ = pfs_classes_of(set, &key, 10, pfs_clock_mono());
	pfs_classes_unlock(set);
	return class_;
}

static struct pfs_classes set_of(const struct pkt_field *field, size_t max)
{
	struct pfs_classes set;

	assert_int_equal(pfs_classes_init(&set, field, max, 0), 0);
	return set;
}

static void test_equal_keys_have_one_number(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_port, PFS_CLASSES_MAX);
	static uint16_t seen[PFS_CLASSES_MAX + 1];
	uint64_t packets, bytes;

	(void)state;
	for (unsigned i = 0; i < PFS_CLASSES_MAX; i++) {
		uint16_t class_ = class_of(&set, i);

		assert_true(class_ > 0 && !seen[class_]);
		seen[class_] = 1;
	}
	assert_int_equal(class_of(&set, PFS_CLASSES_MAX), 0);
	assert_int_equal(class_of(&set, 443), class_of(&set, 443));
	assert_int_equal(pfs_counter_get(&set.n), PFS_CLASSES_MAX);
	assert_int_equal(pfs_counter_get(&set.full), 1);
	pfs_classes_count(&set, class_of(&set, 443), &packets, &bytes);
	assert_int_equal(packets, 4);
	assert_int_equal(bytes, 40);
	pfs_classes_release(&set);
}

static void test_numbers_are_used_again(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_port, 3);
	uint16_t two;

	(void)state;
	class_of(&set, 1);
	two = class_of(&set, 2);
	class_of(&set, 3);
	assert_int_equal(class_of(&set, 4), 0);
	pfs_classes_forget(&set, two, false);
	assert_int_equal(class_of(&set, 4), two);
	assert_int_equal(class_of(&set, 2), 0);
	assert_int_not_equal(class_of(&set, 1), two);
	pfs_classes_release(&set);
}

static void test_each_value_has_one_name(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_port, 10);
	char name[PKT_FIELD_NAME_SIZE];
	struct pfs_diag diag = { "" };
	uint16_t made, found;

	(void)state;
	assert_int_equal(pfs_classes_find(&set, "443", false, &found, &diag), -ENOENT);
	assert_int_equal(pfs_classes_find(&set, "443", true, &made, &diag), 0);
	assert_int_equal(pfs_classes_find(&set, "443", false, &found, &diag), 0);
	assert_int_equal(made, found);
	assert_int_equal(class_of(&set, 443), made);
	assert_int_equal(pfs_classes_name(&set, made, name), 0);
	assert_string_equal(name, "443");
	assert_int_equal(pfs_classes_find(&set, "0443", true, &found, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "'443'"));
	assert_int_equal(pfs_classes_find(&set, "65536", true, &found, &diag), -ENOENT);
	assert_int_equal(pfs_classes_find(&set, "x", true, &found, &diag), -ENOENT);
	assert_int_equal(pfs_classes_find(&set, "", true, &found, &diag), -ENOENT);
	assert_int_equal(pfs_classes_name(&set, 9, name), -ENOENT);
	assert_int_equal(pfs_counter_get(&set.n), 1);
	pfs_classes_release(&set);
}

static void test_a_full_set_makes_none_by_hand(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_port, 1);
	struct pfs_diag diag = { "" };
	uint16_t found;

	(void)state;
	class_of(&set, 5);
	assert_int_equal(pfs_classes_find(&set, "6", true, &found, &diag), -ENOSPC);
	assert_non_null(strstr(diag.text, "max="));
	pfs_classes_release(&set);
}

static void test_limits_can_change(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_port, 2);
	struct pfs_diag diag = { "" };
	uint16_t one, two;

	(void)state;
	one = class_of(&set, 1);
	two = class_of(&set, 2);
	assert_int_equal(pfs_classes_set(&set, 1, 0, &diag), -EBUSY);
	assert_int_equal(pfs_classes_set(&set, 1000, 5, &diag), 0);
	assert_int_equal(class_of(&set, 1), one);
	assert_int_equal(class_of(&set, 2), two);
	for (unsigned i = 3; i <= 1000; i++)
		assert_int_equal(class_of(&set, i), i);
	assert_int_equal(class_of(&set, 1001), 0);
	pfs_classes_release(&set);
}

/* --- names that leave something out: flows --------------------------------------------------------- */

static uint16_t flow_number(struct pfs_classes *set, const char *name)
{
	struct pkt_key key = { 0 };
	uint16_t class_;

	assert_true(pkt_field_flow.parse(name, &key));
	pfs_classes_lock(set);
	class_ = pfs_classes_of(set, &key, 10, pfs_clock_mono());
	pfs_classes_unlock(set);
	return class_;
}

static void assert_name(struct pfs_classes *set, uint16_t class_, const char *want)
{
	char name[PKT_FIELD_NAME_SIZE];

	assert_int_equal(pfs_classes_name(set, class_, name), 0);
	assert_string_equal(name, want);
}

#define ENDS "10.0.0.1:5000-10.0.0.2:53"

static void test_the_first_has_the_short_name(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_flow, 10);
	struct pfs_diag diag = { "" };
	uint16_t udp = flow_number(&set, ENDS "-udp"), tcp = flow_number(&set, ENDS "-tcp"), found;

	(void)state;
	assert_int_not_equal(udp, tcp);
	assert_name(&set, udp, ENDS);
	assert_name(&set, tcp, ENDS "-tcp");
	assert_int_equal(flow_number(&set, ENDS "-udp"), udp);
	assert_int_equal(flow_number(&set, ENDS "-tcp"), tcp);
	assert_int_equal(pfs_classes_find(&set, ENDS, true, &found, &diag), 0);
	assert_int_equal(found, udp);
	assert_int_equal(pfs_classes_find(&set, ENDS "-tcp", true, &found, &diag), 0);
	assert_int_equal(found, tcp);
	assert_int_equal(pfs_classes_find(&set, ENDS "-udp", false, &found, &diag), -ENOENT);
	assert_int_equal(pfs_classes_find(&set, ENDS "-udp", true, &found, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "'" ENDS "'"));
	pfs_classes_forget(&set, udp, false);
	assert_name(&set, flow_number(&set, ENDS "-sctp"), ENDS);
	pfs_classes_release(&set);
}

static void test_a_short_name_by_hand_is_the_first_ones(void **state)
{
	struct pfs_classes set = set_of(&pkt_field_flow, 10);
	uint16_t made, full;

	(void)state;
	assert_int_equal(pfs_classes_find(&set, ENDS, true, &made, NULL), 0);
	assert_int_equal(pfs_classes_find(&set, ENDS "-udp", true, &full, NULL), 0);
	assert_int_equal(flow_number(&set, ENDS "-udp"), full);
	assert_int_equal(flow_number(&set, ENDS "-tcp"), made);
	assert_name(&set, made, ENDS);
	assert_name(&set, full, ENDS "-udp");
	assert_name(&set, flow_number(&set, ENDS "-sctp"), ENDS "-sctp");
	assert_int_equal(flow_number(&set, ENDS "-tcp"), made);
	pfs_classes_release(&set);
}

/* Somebody who counts beside the worker, one class and one reason. */
struct beside {
	uint64_t packets, unfit; /* in class 1, and without a class */
	bool left;
};

static void beside_enter(void *arg, uint32_t number, const struct pkt_key *key)
{
	assert_int_equal(number, 1);
}

static void beside_count(void *arg, uint32_t number, struct pfs_class_tally *ret_tally)
{
	const struct beside *b = arg;
	uint64_t n = number == 1				     ? b->packets
		     : number == PFS_CLASSES_UNFIT + PKT_UNFIT_OTHER ? b->unfit
								     : 0;

	*ret_tally = (struct pfs_class_tally){ .packets = n, .bytes = 10 * n };
}

static void beside_restart(void *arg)
{
	struct beside *b = arg;

	b->packets = b->unfit = 0;
}

static void beside_left(void *arg)
{
	((struct beside *)arg)->left = true;
}

static void expect_counts(struct pfs_classes *set, uint64_t packets, uint64_t unfit)
{
	uint64_t got, bytes;

	pfs_classes_count(set, 1, &got, &bytes);
	assert_int_equal(got, packets);
	assert_int_equal(bytes, 10 * packets);
	assert_int_equal(pfs_classes_unfit(set, PKT_UNFIT_OTHER), unfit);
}

static void test_who_is_not_heeded_counts_for_nobody(void **state)
{
	static const struct pfs_classes_beside says = { beside_enter, beside_enter, beside_count,
							beside_restart, beside_left };
	struct pfs_classes set = set_of(&pkt_field_port, 3);
	struct beside b = { 0 };

	(void)state;
	assert_int_equal(class_of(&set, 443), 1);
	pfs_classes_follow(&set, &says, &b);
	b = (struct beside){ .packets = 5, .unfit = 2 };
	expect_counts(&set, 6, 2);
	pfs_classes_heed(&set, false);
	b = (struct beside){ .packets = 7, .unfit = 3 };
	expect_counts(&set, 6, 2);
	pfs_classes_heed(&set, false);
	assert_int_equal(class_of(&set, 443), 1);
	expect_counts(&set, 7, 2);
	pfs_classes_heed(&set, true);
	expect_counts(&set, 7, 2);
	b = (struct beside){ .packets = 1, .unfit = 1 };
	pfs_classes_heed(&set, true);
	expect_counts(&set, 8, 3);
	/* What he has counted when he leaves stays, if it was heeded. */
	pfs_classes_follow(&set, NULL, NULL);
	assert_true(b.left);
	expect_counts(&set, 8, 3);
	pfs_classes_heed(&set, false);
	b = (struct beside){ .packets = 9 };
	pfs_classes_follow(&set, &says, &b);
	pfs_classes_follow(&set, NULL, NULL);
	expect_counts(&set, 8, 3);
	pfs_classes_release(&set);
}

/* --- in the graph ---------------------------------------------------------------------------------- */

struct place {
	struct pfs_graph *graph;
	struct pfs_node *accept;
	struct pfs_node *label;
	struct pfs_writer *writer;
	struct pfs_reader *reader; /* of label: so that it runs */
};

static struct place place_of(const char *name)
{
	struct place p = { .graph = graph_of((struct pfs_graph_options){ 0 }) };
	char path[64];

	snprintf(path, sizeof(path), "accept/%s", name);
	p.accept = make_path(p.graph, "accept");
	p.label = make_path(p.graph, path);
	p.writer = open_writer(p.accept);
	p.reader = open_reader(p.label, NULL, 0);
	return p;
}

static void place_release(struct place *p)
{
	pfs_reader_close(p->reader);
	pfs_writer_close(p->writer);
	pfs_node_unref(p->label);
	pfs_node_unref(p->accept);
	pfs_graph_free(p->graph);
}

/* A record of that length, its class therefore. */
static void put(struct place *p, size_t len)
{
	static const char bytes[4096];

	assert_int_equal(pfs_writer_write(p->writer, bytes, len), len);
}

static int add_name(void *arg, const char *name, const struct pfs_node_info *info)
{
	struct pfs_buf *names = arg;

	(void)info;
	pfs_buf_printf(names, "%s ", name);
	return 0;
}

static void assert_listed(struct place *p, const char *want)
{
	PFS_BUF struct pfs_buf names = { 0 };

	assert_int_equal(pfs_node_list(p->label, add_name, &names), 0);
	assert_string_equal(names.data ? names.data : "", want);
}

static void test_classes_appear_with_traffic(void **state)
{
	struct place p = place_of("label");
	struct pfs_node *node;

	(void)state;
	assert_listed(&p, "");
	assert_int_equal(pfs_node_lookup(p.label, "7", &node), -ENOENT);
	put(&p, 7);
	put(&p, 300);
	put(&p, 7);
	assert_listed(&p, "7 300 ");
	assert_int_equal(pfs_node_make(p.label, "7", &me, 0755, &node, NULL), -EEXIST);
	assert_int_equal(pfs_node_lookup(p.label, "8", &node), -ENOENT);
	assert_int_equal(pfs_node_lookup(p.label, "7", &node), 0);
	assert_int_equal(number_of(node, PFS_TEXT_STATS, "in"), 2);
	assert_int_equal(number_of(node, PFS_TEXT_STATS, "bytes"), 14);
	assert_listed(&p, "7 300 ");
	pfs_node_unref(node);
	assert_int_equal(number_of(p.label, PFS_TEXT_STATS, "classes"), 2);
	place_release(&p);
}

static void test_a_class_is_read_before_traffic(void **state)
{
	struct place p = place_of("label");
	struct pfs_node *node = make_path(p.graph, "accept/label/12"), *again;
	struct pfs_reader *reader = open_reader(node, NULL, 0);
	uint8_t buf[64];

	(void)state;
	assert_listed(&p, "12 ");
	assert_int_equal(pfs_node_make(p.label, "12", &me, 0755, &again, NULL), -EEXIST);
	put(&p, 5);
	put(&p, 12);
	put(&p, 6);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 12);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), -EAGAIN);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	place_release(&p);
}

static void test_the_name_of_a_class_is_no_filter(void **state)
{
	struct place p = place_of("label");
	struct pfs_diag diag = { "" };
	struct pfs_node *node;

	(void)state;
	assert_int_equal(pfs_node_make(p.label, "007", &me, 0755, &node, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "'7'"));
	assert_int_equal(pfs_node_lookup(p.label, "007", &node), -ENOENT);
	assert_int_equal(pfs_node_make(p.label, "7x", &me, 0755, &node, &diag), -ENOENT);
	assert_int_equal(pfs_node_make(p.label, "count:", &me, 0755, &node, &diag), 0);
	pfs_node_unref(node);
	assert_listed(&p, "count: ");
	place_release(&p);
}

static void test_what_is_beyond_the_bound_is_counted(void **state)
{
	struct place p = place_of("label,max=2");
	uint8_t buf[64];
	ssize_t n, all = 0;

	(void)state;
	for (size_t len = 1; len <= 4; len++)
		put(&p, len);
	put(&p, 1);
	assert_listed(&p, "1 2 ");
	assert_int_equal(number_of(p.label, PFS_TEXT_STATS, "unclassed.full"), 2);
	assert_int_equal(number_of(p.label, PFS_TEXT_STATS, "out"), 5);
	assert_int_equal(number_of(p.label, PFS_TEXT_STATS, "lost"), 0);
	while ((n = read_some(p.reader, buf, sizeof(buf), false)) > 0)
		all += n;
	assert_int_equal(all, 1 + 2 + 3 + 4 + 1);
	place_release(&p);
}

static void test_a_removed_class_drains_and_comes_again(void **state)
{
	struct place p = place_of("label");
	struct pfs_node *node = make_path(p.graph, "accept/label/3"), *again;
	struct pfs_reader *reader = open_reader(node, NULL, -1);
	uint8_t buf[64];

	(void)state;
	put(&p, 3);
	assert_int_equal(pfs_node_remove(p.label, "3", &me, NULL), 0);
	assert_listed(&p, "");
	put(&p, 4); /* has the number that 3 had */
	put(&p, 3);
	assert_listed(&p, "4 3 ");
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 3);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 0);
	assert_int_equal(pfs_node_lookup(p.label, "3", &again), 0);
	assert_true(again != node);
	assert_int_equal(number_of(again, PFS_TEXT_STATS, "in"), 1);
	pfs_reader_close(reader);
	pfs_node_unref(again);
	pfs_node_unref(node);
	place_release(&p);
}

static void test_a_directory_goes_with_its_classes(void **state)
{
	struct place p = place_of("label");
	struct pfs_node *read = make_path(p.graph, "accept/label/3"), *looked, *node;
	struct pfs_reader *reader = open_reader(read, NULL, -1);
	uint8_t buf[64];

	(void)state;
	put(&p, 3);
	put(&p, 4);
	assert_int_equal(pfs_node_lookup(p.label, "4", &looked), 0);
	node = make_path(p.graph, "accept/label/4/count");
	assert_int_equal(pfs_node_remove(p.accept, "label", &me, NULL), -ENOTEMPTY);
	assert_int_equal(pfs_node_remove(looked, "count", &me, NULL), 0);
	assert_int_equal(pfs_node_remove(p.accept, "label", &me, NULL), 0);
	assert_int_equal(pfs_node_lookup(looked, "x", &node), -ENOENT);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 3);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 0);
	pfs_reader_close(reader);
	pfs_node_unref(node);
	pfs_node_unref(looked);
	pfs_node_unref(read);
	place_release(&p);
}

/* --- expire= ----------------------------------------------------------------------------------------- */

static void assert_gone(struct place *p, const char *name)
{
	struct pfs_node *node;
	int i;

	for (i = 0; pfs_node_lookup(p->label, name, &node) == 0 && i < 20000; i++) {
		pfs_node_unref(node);
		usleep(1000);
	}
	assert_true(i < 20000);
}

static void test_idle_classes_go(void **state)
{
	struct place p = place_of("label,expire=1");
	struct pfs_node *kept = make_path(p.graph, "accept/label,expire=1/10"), *looked, *read, *built;
	struct pfs_reader *reader;
	uint8_t buf[64];

	(void)state;
	for (size_t len = 1; len <= 4; len++)
		put(&p, len);
	assert_int_equal(pfs_node_lookup(p.label, "2", &looked), 0);
	assert_int_equal(pfs_node_lookup(p.label, "3", &read), 0);
	reader = open_reader(read, NULL, 0);
	built = make_path(p.graph, "accept/label,expire=1/4/count");
	assert_listed(&p, "10 3 4 1 2 ");
	assert_gone(&p, "1");
	assert_gone(&p, "2");
	assert_listed(&p, "10 3 4 ");
	assert_int_equal(pfs_node_make(looked, "count", &me, 0755, NULL, NULL), -ENOENT);

	/* What takes their numbers gets nothing of theirs, and they nothing of its. */
	put(&p, 5);
	put(&p, 3);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), 3);
	assert_int_equal(read_some(reader, buf, sizeof(buf), false), -EAGAIN);
	assert_listed(&p, "10 3 4 5 ");

	pfs_reader_close(reader);
	assert_gone(&p, "3");
	assert_gone(&p, "5");
	assert_listed(&p, "10 4 ");
	pfs_node_unref(built);
	pfs_node_unref(read);
	pfs_node_unref(looked);
	pfs_node_unref(kept);
	place_release(&p);
}

static void test_expire_can_be_set_later(void **state)
{
	struct place p = place_of("label");
	struct pfs_diag diag = { "" };

	(void)state;
	put(&p, 9);
	assert_int_equal(pfs_node_params_set(p.label, "expire=x", 8, &me, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(p.label, "max=0", 5, &me, &diag), -EINVAL);
	assert_listed(&p, "9 ");
	assert_int_equal(pfs_node_params_set(p.label, "expire=1", 8, &me, &diag), 0);
	assert_gone(&p, "9");
	assert_listed(&p, "");
	place_release(&p);
}

static void test_bad_limits_are_refused(void **state)
{
	static const char *const bad[] = { "label,max=0", "label,max=65536", "label,max=x",
					   "label,expire=-1", "label,expire=1h" };
	struct place p = place_of("label");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pfs_diag diag = { "" };

		assert_int_equal(pfs_node_make(p.accept, bad[i], &me, 0755, NULL, &diag), -EINVAL);
		assert_true(strstr(diag.text, "max=") || strstr(diag.text, "expire="));
	}
	place_release(&p);
}

/* Looking at thousands is quick, and does not use up the nodes that mkdir may make. */
static void test_many_are_looked_at(void **state)
{
	enum { MANY = 4000 };
	struct pfs_graph *graph = graph_of((struct pfs_graph_options){ .nodes_max = 100 });
	struct pfs_node *accept = make_path(graph, "accept"),
			*dir = make_path(graph, "accept/label"), *node;
	struct pfs_reader *reader = open_reader(dir, NULL, 0);
	struct pfs_writer *writer = open_writer(accept);
	static const char bytes[MANY];
	char name[16];

	(void)state;
	for (size_t i = 1; i <= MANY; i++)
		assert_int_equal(pfs_writer_write(writer, bytes, i), i);
	for (unsigned i = 1; i <= MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(pfs_node_lookup(dir, name, &node), 0);
		pfs_node_unref(node);
	}
	assert_int_equal(pfs_node_make(dir, "count", &me, 0755, NULL, NULL), 0);
	for (unsigned i = 0; i < 200; i++) {
		int r;

		snprintf(name, sizeof(name), "%u", MANY + 1 + i);
		r = pfs_node_make(dir, name, &me, 0755, NULL, NULL);
		assert_int_equal(r, i < 90 ? 0 : r);
		assert_true(r == 0 || r == -ENOSPC);
		if (i == 199)
			assert_int_equal(r, -ENOSPC);
	}
	pfs_reader_close(reader);
	pfs_writer_close(writer);
	pfs_node_unref(dir);
	pfs_node_unref(accept);
	pfs_graph_free(graph);
}

/* --- no class gets another's, whatever is made, removed and expires meanwhile ---------------------------- */

#define LENGTHS 40

static struct {
	struct place place;
	_Atomic bool over;
	_Atomic uint64_t written;
} storm;

static void *storm_write(void *arg)
{
	static uint8_t bytes[LENGTHS + 1];
	unsigned seed = 1;

	while (!storm.over) {
		size_t len = 1 + (unsigned)rand_r(&seed) % LENGTHS;

		memset(bytes, (int)len, len);
		CHECK(pfs_writer_write(storm.place.writer, bytes, len) > 0);
		storm.written++;
	}
	return arg;
}

/* Makes a class, reads it for a while, removes it or leaves it to time. */
static void storm_class(unsigned *seed)
{
	struct pfs_reader_options options = { .policy = 0, .cred = me };
	struct pfs_reader *reader = NULL;
	struct pfs_node *node;
	uint8_t buf[256];
	char name[8];
	unsigned len = 1 + (unsigned)rand_r(seed) % LENGTHS;
	ssize_t n;

	snprintf(name, sizeof(name), "%u", len);
	if (pfs_node_lookup(storm.place.label, name, &node) < 0 &&
	    pfs_node_make(storm.place.label, name, &me, 0755, &node, NULL) < 0)
		return;
	(void)pfs_reader_open(node, &options, &reader, NULL);
	if (rand_r(seed) % 4)
		(void)pfs_node_remove(storm.place.label, name, &me, NULL);
	for (int i = 0; reader && i < 200; i++) {
		n = read_some(reader, buf, sizeof(buf), true);
		if (n == 0)
			break;
		CHECK(n == -EAGAIN || n == (ssize_t)len);
		for (ssize_t b = 0; b < n; b++)
			CHECK(buf[b] == len);
	}
	pfs_reader_close(reader);
	pfs_node_unref(node);
}

static void *storm_change(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 1500; i++)
		storm_class(&seed);
	return NULL;
}

static void test_no_class_gets_what_is_anothers(void **state)
{
	pthread_t writer, changers[2];

	(void)state;
	storm.place = place_of("label,max=25,expire=1");
	pthread_create(&writer, NULL, storm_write, NULL);
	for (uintptr_t i = 0; i < ARRAY_SIZE(changers); i++)
		pthread_create(&changers[i], NULL, storm_change, (void *)(i + 2));
	for (size_t i = 0; i < ARRAY_SIZE(changers); i++)
		pthread_join(changers[i], NULL);
	storm.over = true;
	pthread_join(writer, NULL);
	assert_true(storm.written > 100);
	assert_true(number_of(storm.place.label, PFS_TEXT_STATS, "classes") <= 25);
	assert_int_equal(number_of(storm.place.label, PFS_TEXT_STATS, "out"), storm.written);
	place_release(&storm.place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_keys_have_one_number),
		cmocka_unit_test(test_numbers_are_used_again),
		cmocka_unit_test(test_each_value_has_one_name),
		cmocka_unit_test(test_a_full_set_makes_none_by_hand),
		cmocka_unit_test(test_limits_can_change),
		cmocka_unit_test(test_the_first_has_the_short_name),
		cmocka_unit_test(test_a_short_name_by_hand_is_the_first_ones),
		cmocka_unit_test(test_who_is_not_heeded_counts_for_nobody),
		cmocka_unit_test(test_classes_appear_with_traffic),
		cmocka_unit_test(test_a_class_is_read_before_traffic),
		cmocka_unit_test(test_the_name_of_a_class_is_no_filter),
		cmocka_unit_test(test_what_is_beyond_the_bound_is_counted),
		cmocka_unit_test(test_a_removed_class_drains_and_comes_again),
		cmocka_unit_test(test_a_directory_goes_with_its_classes),
		cmocka_unit_test(test_idle_classes_go),
		cmocka_unit_test(test_expire_can_be_set_later),
		cmocka_unit_test(test_bad_limits_are_refused),
		cmocka_unit_test(test_many_are_looked_at),
		cmocka_unit_test(test_no_class_gets_what_is_anothers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
