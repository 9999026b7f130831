/*
 * dial - what the arguments of tcp: and its like mean
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "portal/dial.h"

static const struct {
	enum pfs_portal_kind kind;
	bool listen;
	const char *text;
	int result;
	const char *host, *port, *path; /* NULL: none */
} cases[] = {
	{ PFS_PORTAL_TCP, false, "localhost:80", 0, "localhost", "80", NULL },
	{ PFS_PORTAL_TCP, false, "localhost 80", 0, "localhost", "80", NULL },
	{ PFS_PORTAL_TCP, false, "localhost  http", 0, "localhost", "http", NULL },
	{ PFS_PORTAL_TCP, false, "[::1]:80", 0, "::1", "80", NULL },
	{ PFS_PORTAL_TCP, false, "[fe80::1%eth0]:80", 0, "fe80::1%eth0", "80", NULL },
	{ PFS_PORTAL_TCP, false, "::1 80", 0, "::1", "80", NULL },
	{ PFS_PORTAL_TCP, false, "ANY:80", 0, "ANY", "80", NULL },
	{ PFS_PORTAL_TCP, false, "::1:80", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "[::1]", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "[::1", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "localhost", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "localhost:", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "localhost ", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, ":80", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "80", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "a:80/priv", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCP, false, "a 80 x", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "ANY:5140", 0, NULL, "5140", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "ANY 5140", 0, NULL, "5140", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "5140", 0, NULL, "5140", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, ":5140", 0, NULL, "5140", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "[::]:5140", 0, "::", "5140", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "127.0.0.1:0", 0, "127.0.0.1", "0", NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_TCPLISTEN, true, "[::1]", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_UDP, false, "ANY:514", 0, NULL, "514", NULL },
	{ PFS_PORTAL_UDP, false, "ANYWHERE:514", 0, "ANYWHERE", "514", NULL },
	{ PFS_PORTAL_UDP, true, "127.0.0.1:514", 0, "127.0.0.1", "514", NULL },
	{ PFS_PORTAL_UNIX, false, "/run/x", 0, NULL, NULL, "/run/x" },
	{ PFS_PORTAL_UNIX, false, "@name", 0, NULL, NULL, "@name" },
	{ PFS_PORTAL_UNIX, false, "x", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_UNIX, false, "/", -EINVAL, NULL, NULL, NULL },
	{ PFS_PORTAL_UNIX, false, "", -EINVAL, NULL, NULL, NULL },
};

static void same(const char *text, const char *got, const char *want)
{
	if (!got != !want || (got && strcmp(got, want) != 0))
		fail_msg("'%s': '%s', not '%s'", text, got ? got : "(none)", want ? want : "(none)");
}

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
		struct pfs_diag diag = { "" };
		int r = pfs_dial_parse(cases[i].kind, cases[i].listen, cases[i].text, &plan, &diag);

		if (r != cases[i].result)
			fail_msg("'%s': %d, not %d (%s)", cases[i].text, r, cases[i].result, diag.text);
		assert_int_equal(r < 0, diag.text[0] != '\0');
		same(cases[i].text, plan.host, cases[i].host);
		same(cases[i].text, plan.port, cases[i].port);
		same(cases[i].text, plan.path, cases[i].path);
		if (r == 0)
			assert_int_equal(plan.listen,
					 cases[i].listen || !strncmp(cases[i].text, "ANY:514", 7));
	}
}

static void test_long(void **state)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	char text[400];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 300, ":80", 4);
	assert_int_equal(pfs_dial_parse(PFS_PORTAL_TCP, false, text, &plan, NULL), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
