/*
 * srcport dstport port host proto flow: who is in which class, in what order
 */
#include "../rig.h"

#include "packet/generate.h"

#define MANY 700 /* more than two batches */

/* Both directions of a connection between hosts 1 and 2, and between 1 and 3, numbered by `seq`. */
static void conversation(struct pfs_buf *cap)
{
	cap_head(cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < MANY; i++) {
		unsigned other = i % 5 ? 2 : 3;

		cap_tcp(cap, i % 3 ? 1 : other, i % 3 ? other : 1, i, 0x10, "x");
	}
}

/* Sequence numbers of what comes out of `path` are those that want() says yes to, in order. */
static void assert_seen(const char *path, bool (*want)(uint32_t seq))
{
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	size_t at = 0;

	conversation(&cap);
	rig_run(&rig, path, NULL, cap.data, cap.len, 0, &out);
	for (uint32_t i = 0; i < MANY; i++) {
		if (!want(i))
			continue;
		assert_true(at + 55 <= out.len);
		assert_int_equal(be32_load((uint8_t *)out.data + at + 38), i);
		at += 55;
	}
	assert_int_equal(at, out.len);
	rig_release(&rig);
}

static bool all(uint32_t seq)
{
	(void)seq;
	return true;
}

static bool none(uint32_t seq)
{
	(void)seq;
	return false;
}

static bool with_three(uint32_t seq)
{
	return seq % 5 == 0;
}

static bool with_two(uint32_t seq)
{
	return seq % 5 != 0;
}

static bool from_one(uint32_t seq)
{
	return seq % 3 != 0;
}

static bool to_one(uint32_t seq)
{
	return seq % 3 == 0;
}

static bool with_three_from_one(uint32_t seq)
{
	return with_three(seq) && from_one(seq);
}

static void test_classes_keep_the_order(void **state)
{
	(void)state;
	assert_seen("accept/unpcap/port", all);
	assert_seen("accept/unpcap/port/1001", all);
	assert_seen("accept/unpcap/port/1002", with_two);
	assert_seen("accept/unpcap/port/1003", with_three);
	assert_seen("accept/unpcap/port/1004", none);
	assert_seen("accept/unpcap/host/10.0.0.1", all);
	assert_seen("accept/unpcap/host/10.0.0.3", with_three);
	assert_seen("accept/unpcap/host/::1", none);
}

static void test_each_side(void **state)
{
	(void)state;
	assert_seen("accept/unpcap/srcport/1001", from_one);
	assert_seen("accept/unpcap/sourceport/1001", from_one);
	assert_seen("accept/unpcap/dstport/1001", to_one);
	assert_seen("accept/unpcap/dstport", all);
	assert_seen("accept/unpcap/proto/tcp", all);
	assert_seen("accept/unpcap/proto/udp", none);
	assert_seen("accept/unpcap/flow/10.0.0.1:1001-10.0.0.2:1002", with_two);
	assert_seen("accept/unpcap/flow/10.0.0.1:1001-10.0.0.3:1003", with_three);
	assert_seen("accept/unpcap/flow/10.0.0.1:1001-10.0.0.3:1003-tcp", with_three);
}

static void test_classifiers_stack(void **state)
{
	(void)state;
	assert_seen("accept/unpcap/host/10.0.0.1/port/1001/proto/tcp/flow", all);
	assert_seen("accept/unpcap/host/10.0.0.3/srcport/1001/count", with_three_from_one);
	assert_seen("accept/unpcap/proto/tcp/tcp/port/1003", with_three);
}

/* Many classes are read at once; each gets its own. */
static void test_many_readers_of_classes(void **state)
{
	enum { PORTS = 300 };
	struct pfs_reader_options options = { .policy = -1, .cred = rig_cred() };
	static struct pfs_reader *readers[PORTS];
	PFS_BUF struct pfs_buf cap = { 0 };
	struct pfs_node *parent, *node;
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	cap_head(&cap, PFS_LINK_ETHERNET);
	for (uint32_t i = 0; i < 20 * PORTS; i++)
		cap_tcp(&cap, 500, 1000 + i * 7 % PORTS, i, 0x10, "");
	rig_open(&rig, "accept/unpcap/dstport", "");
	parent = rig.node;
	for (unsigned p = 0; p < PORTS; p++) {
		struct pfs_cred cred = rig_cred();
		struct pfs_diag diag;
		char name[8];

		snprintf(name, sizeof(name), "%u", 2000 + p);
		assert_int_equal(pfs_node_make(parent, name, &cred, 0755, &node, &diag), 0);
		assert_int_equal(pfs_reader_open(node, &options, &readers[p], &diag), 0);
		pfs_node_unref(node);
	}
	writer = rig_writer(&rig);
	rig_write(&rig, writer, cap.data, cap.len, 100000, NULL);
	pfs_writer_close(writer);
	for (unsigned p = 0; p < PORTS; p++) {
		PFS_BUF struct pfs_buf out = { 0 };

		rig.reader = readers[p];
		rig_finish(&rig, &out);
		assert_int_equal(out.len, 20 * 54);
		for (size_t at = 0; at < out.len; at += 54)
			assert_int_equal(be16_load((uint8_t *)out.data + at + 36), 2000 + p);
		pfs_reader_close(readers[p]);
	}
	rig.reader = NULL;
	rig_release(&rig);
}

/* --- against what the generator knows -------------------------------------------------------------- */

static uint64_t class_in(const struct rig *rig, const char *name)
{
	struct pfs_node *node;
	uint64_t n;

	if (pfs_node_lookup(rig->node, name, &node) < 0)
		return 0;
	n = node_stat(node, "in");
	pfs_node_unref(node);
	return n;
}

static void test_generated_traffic(void **state)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf cap = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	struct generate_counts counts;
	struct rig rig;

	(void)state;
	options.packets = 4000;
	options.vlan = 30;
	options.ip6 = 50;
	options.body_max = 2000;
	assert_int_equal(capture_generate_buf(&options, &cap, &counts), 0);
	rig_run(&rig, "accept/unpcap/proto", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(class_in(&rig, "tcp"), counts.of[GENERATE_TCP]);
	assert_int_equal(class_in(&rig, "udp"), counts.of[GENERATE_UDP]);
	assert_int_equal(class_in(&rig, "icmp"), counts.of[GENERATE_ICMP]);
	assert_int_equal(class_in(&rig, "icmp6"), counts.of[GENERATE_ICMP6]);
	assert_int_equal(rig_stat(&rig, "unclassed.other"), counts.of[GENERATE_ARP]);
	assert_int_equal(rig_stat(&rig, "in"), counts.packets);
	assert_int_equal(rig_stat(&rig, "out"), counts.packets);
	rig_release(&rig);

	pfs_buf_release(&out);
	rig_run(&rig, "accept/unpcap/udp/port", NULL, cap.data, cap.len, 0, &out);
	assert_int_equal(rig_stat(&rig, "unclassed.other"), 0);
	assert_true(rig_stat(&rig, "unclassed.fragment") > 0);
	assert_true(rig_stat(&rig, "unclassed.fragment") < counts.of[GENERATE_FRAGMENT]);
	assert_true(class_in(&rig, "53") >=
		    counts.of[GENERATE_DNS_QUERY] + counts.of[GENERATE_DNS_RESPONSE]);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes_keep_the_order),
		cmocka_unit_test(test_each_side),
		cmocka_unit_test(test_classifiers_stack),
		cmocka_unit_test(test_many_readers_of_classes),
		cmocka_unit_test(test_generated_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
