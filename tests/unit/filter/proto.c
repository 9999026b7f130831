/*
 * ip ip6 tcp udp icmp arp vlan, count, snap, head: what they let through
 */
#include "../rig.h"

#include "packet/generate.h"

struct fixture {
	struct pfs_buf capture;
	struct generate_counts counts;
};

static int setup(void **state)
{
	struct fixture *f = pfs_zalloc(1, sizeof(*f));
	struct generate_options options = GENERATE_DEFAULTS;

	options.packets = 4000;
	options.vlan = 30;
	options.ip6 = 50;
	options.body_max = 2000; /* more of everything else */
	*state = f;
	return capture_generate_buf(&options, &f->capture, &f->counts);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pfs_buf_release(&f->capture);
	free(f);
	return 0;
}

static uint64_t kept(struct fixture *f, const char *path)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	uint64_t n;

	rig_run(&rig, path, NULL, f->capture.data, f->capture.len, 10000, &out);
	n = rig_stat(&rig, "records");
	rig_release(&rig);
	return n;
}

static void test_each_protocol_is_kept_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	const uint64_t *of = f->counts.of;

	assert_int_equal(kept(f, "accept/unpcap/count"), f->counts.packets);
	assert_int_equal(kept(f, "accept/unpcap/ip/count"), of[GENERATE_IP]);
	assert_int_equal(kept(f, "accept/unpcap/ip6/count"), of[GENERATE_IP6]);
	assert_int_equal(kept(f, "accept/unpcap/arp/count"), of[GENERATE_ARP]);
	assert_int_equal(kept(f, "accept/unpcap/tcp/count"), of[GENERATE_TCP]);
	assert_int_equal(kept(f, "accept/unpcap/udp/count"), of[GENERATE_UDP]);
	assert_int_equal(kept(f, "accept/unpcap/icmp/count"), of[GENERATE_ICMP]);
	assert_int_equal(kept(f, "accept/unpcap/vlan/count"), of[GENERATE_VLAN]);
	assert_true(of[GENERATE_VLAN] > 0 && of[GENERATE_ICMP6] > 0);
}

static void test_filters_stack(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(kept(f, "accept/unpcap/ip/tcp/count") + kept(f, "accept/unpcap/ip6/tcp/count"),
			 f->counts.of[GENERATE_TCP]);
	assert_int_equal(kept(f, "accept/unpcap/ip/ip6/count"), 0);
	assert_int_equal(kept(f, "accept/unpcap/tcp/ip6/tcp/count"),
			 kept(f, "accept/unpcap/ip6/tcp/count"));
}

static void test_vlan_takes_one_id(void **state)
{
	struct fixture *f = *state;
	uint64_t sum = 0;
	char path[64];

	for (unsigned id = 0; id < 4096 && sum < f->counts.of[GENERATE_VLAN]; id++) {
		snprintf(path, sizeof(path), "accept/unpcap/vlan/vlan:%u/count", id);
		sum += kept(f, path);
	}
	assert_int_equal(sum, f->counts.of[GENERATE_VLAN]);
}

static void test_vlan_refuses_what_is_no_id(void **state)
{
	static const char *const bad[] = { "vlan:4096", "vlan:x", "vlan:-1" };
	struct pfs_diag diag;
	struct rig rig;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "accept/unpcap/%s", bad[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_non_null(strstr(diag.text, "0 to 4095"));
		rig_release(&rig);
	}
}

static void test_count_counts_records_and_bytes(void **state)
{
	struct fixture *f = *state;
	struct rig rig;

	rig_run(&rig, "accept/count", "", f->capture.data, f->capture.len, 1000, NULL);
	rig_expect(&rig, "records", (f->capture.len + 999) / 1000);
	rig_expect(&rig, "bytes", f->capture.len);
	rig_release(&rig);
}

static void test_snap_narrows(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept/snap:3", NULL, "abcdefghij", 10, 4, &out);
	assert_int_equal(out.len, 8); /* abc efg ij */
	assert_memory_equal(out.data, "abcefgij", 8);
	rig_release(&rig);
}

static void test_snap_takes_a_new_argument(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_cred cred = rig_cred();
	struct pfs_writer *writer;
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/snap:3", NULL);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "abcdef", 6, 0, &out);
	rig_wait(&rig, &out, 3);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=0", 5, &cred, &diag), -EINVAL);
	rig_write(&rig, writer, "abcdef", 6, 0, &out);
	rig_wait(&rig, &out, 6);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=5", 5, &cred, &diag), 0);
	rig_write(&rig, writer, "abcdef", 6, 0, &out);
	rig_wait(&rig, &out, 11);
	assert_memory_equal(out.data, "abcabcabcde", 11);
	pfs_writer_close(writer);
	rig_release(&rig);
}

static void test_layers_behind_the_cut_are_gone(void **state)
{
	struct fixture *f = *state;

	/* 20 bytes of an Ethernet frame: the ethertype is there, the protocol is not */
	assert_int_equal(kept(f, "accept/unpcap/snap:20/tcp/count"), 0);
	assert_int_equal(kept(f, "accept/unpcap/snap:20/arp/count"), f->counts.of[GENERATE_ARP]);
	/* whoever has seen it whole */
	assert_int_equal(kept(f, "accept/unpcap/tcp/snap:20/tcp/count"), 0);
	assert_int_equal(kept(f, "accept/unpcap/ip/snap:20/ip/count"),
			 kept(f, "accept/unpcap/snap:20/ip/count"));
	assert_int_equal(kept(f, "accept/unpcap/tcp/snap:10/ip/count"), 0);
}

static void test_head_ends_the_stream(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/head:3", NULL);
	writer = rig_writer(&rig);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pfs_writer_write(writer, &"abcde"[i], 1), 1);
	rig_finish(&rig, &out);
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.data, "abc", 3);
	rig_expect(&rig, "left", 0);
	pfs_reader_close(TAKE_PTR(rig.reader));
	/* A new session begins with the next reader. */
	rig_read(&rig, NULL);
	rig_expect(&rig, "left", 3);
	rig_write(&rig, writer, "fghij", 5, 0, &out);
	rig_wait(&rig, &out, 8);
	assert_memory_equal(out.data, "abcfghij", 8);
	rig_expect(&rig, "left", 2);
	pfs_writer_close(writer);
	rig_release(&rig);
}

static void test_numbers_are_checked(void **state)
{
	static const char *const bad[] = { "head:0",  "head:x", "head:",   "snap:0",
					   "snap:-5", "snap:",	"snap:1.5" };
	struct pfs_diag diag;
	struct rig rig;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "accept/%s", bad[i]);
		assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
		assert_true(diag.text[0] != '\0');
		rig_release(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_protocol_is_kept_and_nothing_else),
		cmocka_unit_test(test_filters_stack),
		cmocka_unit_test(test_vlan_takes_one_id),
		cmocka_unit_test(test_vlan_refuses_what_is_no_id),
		cmocka_unit_test(test_count_counts_records_and_bytes),
		cmocka_unit_test(test_snap_narrows),
		cmocka_unit_test(test_snap_takes_a_new_argument),
		cmocka_unit_test(test_layers_behind_the_cut_are_gone),
		cmocka_unit_test(test_head_ends_the_stream),
		cmocka_unit_test(test_numbers_are_checked),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
