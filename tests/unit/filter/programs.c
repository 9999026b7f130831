/*
 * programs - filters that are programs of the packet-filter compiler: cspf, bpf
 */
#include "../rig.h"

static void kept(const char *path, const char *params, uint64_t out)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag = { "" };
	PFS_BUF struct pfs_buf got = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	cap_head(&cap, 1);
	cap_tcp(&cap, 1000, 80, 1, 0x10, "x");
	cap_tcp(&cap, 1000, 53, 1, 0x10, "y");
	rig_open(&rig, path, NULL);
	if (params && pfs_node_params_set(rig.node, params, strlen(params), &cred, &diag) < 0)
		fail_msg("%s: %s", params, diag.text);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, cap.data, cap.len, 0, &got);
	pfs_writer_close(writer);
	rig_finish(&rig, &got);
	rig_expect(&rig, "out", out);
	rig_expect(&rig, "programs", 1);
	rig_release(&rig);
}

static void test_programs(void **state)
{
	(void)state;
	kept("accept/unpcap/cspf:PUSHWORD+6, PUSHLIT|EQ, 0x0800", NULL, 2);
	kept("accept/unpcap/cspf:PUSHWORD+18 PUSHLIT|EQ 1080", NULL, 1);
	kept("accept/unpcap/cspf,program=PUSHWORD+18 PUSHLIT|EQ 443", NULL, 0);
	kept("accept/unpcap/bpf:ldh [36]%0ajeq #1053, y, n%0ay: ret #1%0an: ret #0", NULL, 1);
	kept("accept/unpcap/bpf:4,40 0 0 36,21 0 1 1053,6 0 0 1,6 0 0 0,", NULL, 1);
}

static void test_params(void **state)
{
	(void)state;
	kept("accept/unpcap/cspf:PUSHZERO", "arg=PUSHWORD+18%0aPUSHLIT|EQ 1053", 1);
	kept("accept/unpcap/cspf:PUSHZERO", "program=PUSHWORD+6, PUSHLIT|EQ, 0x800", 2);
	kept("accept/unpcap/bpf:ret #0", "program=ldh [12]%0aret a", 2);
}

static void refused(const char *path, const char *words)
{
	struct pfs_diag diag = { "" };
	struct rig rig;

	assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
	if (!strstr(diag.text, words))
		fail_msg("%s: %s", path, diag.text);
	rig_release(&rig);
}

static void test_what_is_refused(void **state)
{
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag = { "" };
	PFS_BUF struct pfs_buf text = { 0 };
	struct rig rig;

	(void)state;
	refused("accept/unpcap/cspf", "needs a program");
	refused("accept/unpcap/cspf:", "needs a program");
	refused("accept/unpcap/cspf:PUSHWARD", "there is no 'PUSHWARD'");
	refused("accept/unpcap/bpf:ldh", "what should be loaded");
	refused("accept/unpcap/bpf:ld vlan_tci%0aret a", "not in the packet");
	refused("accept/cspf:PUSHZERO", "does not fit");
	/* Nothing has changed by what was refused. */
	rig_open(&rig, "accept/unpcap/cspf:PUSHZERO", NULL);
	assert_int_equal(pfs_node_params_set(rig.node, "program=PUSH", 12, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_text(rig.node, PFS_TEXT_PARAMS, &text), 0);
	assert_string_equal(text.data, "arg=PUSHZERO\n");
	rig_release(&rig);
}

static void test_the_code_is_shown(void **state)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap/cspf:PUSHWORD+6, PUSHLIT|EQ, 0x0800", NULL);
	assert_int_equal(pfs_node_text(rig.node, PFS_TEXT_PROGRAM, &text), 0);
	assert_non_null(strstr(text.data, "if load16[12] == 0x800"));
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_the_code_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
