/*
 * plan - portal paths and portal.conf: shapes, plans, refusals
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "portal/portal.h"

static struct pfs_portal_rules *rules_of(const char *text)
{
	struct pfs_portal_rules *rules = NULL;
	struct pfs_diag diag = { "" };
	int r = text ? pfs_portal_rules_parse("test", text, strlen(text), &rules, NULL, &diag)
		     : pfs_portal_rules_default(&rules);

	if (r < 0)
		fail_msg("%s", diag.text);
	return rules;
}

/* "tcp host=h port=80 priv", "file /etc/motd", "command [/bin/ls][-l]": or the refusal's errno. */
static void plan_text(const struct pfs_portal_plan *plan, struct pfs_buf *out)
{
	static const char *const kinds[] = { "file", "tcp", "tcplisten", "udp", "unix", "command" };

	pfs_buf_str(out, kinds[plan->kind]);
	if (plan->path)
		pfs_buf_printf(out, " %s", plan->path);
	if (plan->port)
		pfs_buf_printf(out, " %s %s", plan->host ? plan->host : "ANY", plan->port);
	if (plan->priv)
		pfs_buf_str(out, " priv");
	if (plan->kind == PFS_PORTAL_TCPLISTEN)
		pfs_buf_printf(out, " %g", (double)plan->linger / 1e9);
	for (size_t i = 0; i < plan->argv.n; i++)
		pfs_buf_printf(out, "[%s]", plan->argv.v[i]);
	if (plan->kind == PFS_PORTAL_COMMAND)
		assert_null(plan->argv.v[plan->argv.n]);
}

struct row {
	const char *path;
	const char *want; /* NULL: refused with -r */
	int r;
	int access;
};

static void rows_check(const struct pfs_portal_rules *rules, bool collapsed, const struct row *rows,
		       size_t n)
{
	for (size_t i = 0; i < n; i++) {
		PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
		PFS_BUF struct pfs_buf got = { 0 };
		struct pfs_diag diag = { "" };
		int r = pfs_portal_parse(rules, rows[i].path, collapsed, rows[i].access, &plan, &diag);

		if (r != rows[i].r)
			print_error("%s: %d %s\n", rows[i].path, r, diag.text);
		assert_int_equal(r, rows[i].r);
		if (r < 0) {
			assert_true(diag.text[0]);
			continue;
		}
		plan_text(&plan, &got);
		assert_string_equal(got.data, rows[i].want);
	}
}

static void test_parse(void **state)
{
	static const struct row rows[] = {
		{ "tcp/mx1.freebsd.org/smtp", "tcp mx1.freebsd.org smtp", 0, O_RDONLY },
		{ "tcp/::1/80/priv", "tcp ::1 80 priv", 0, O_RDWR },
		{ "tcp/[::1]/80", "tcp ::1 80", 0, O_RDWR },
		{ "udp/[fe80::1%eth0]/53", "udp fe80::1%eth0 53", 0, O_RDWR },
		{ "tcplisten/[::]/0", "tcplisten :: 0 5", 0, O_RDWR },
		{ "tcp/[]/80", NULL, -EINVAL, O_RDWR },
		{ "tcp/[::1/80", "tcp [::1 80", 0, O_RDWR },
		{ "//tcp//h///0x50", "tcp h 0x50", 0, O_RDWR },
		{ "tcp%2fh%2f80", NULL, -ENOENT, O_RDWR },
		{ "tcp/h%2f80", "tcp h 80", 0, O_RDWR },
		{ "tcp/h/80/other", NULL, -EINVAL, O_RDWR },
		{ "tcp/h/80/priv/x", NULL, -EINVAL, O_RDWR },
		{ "tcp/h", NULL, -EISDIR, O_RDWR },
		{ "tcp/h/", NULL, -EISDIR, O_RDWR },
		{ "tcp", NULL, -ENOENT, O_RDWR },
		{ "tcp/ANY/80", "tcp ANY 80", 0, O_RDWR },
		{ "tcplisten/ANY/echo", "tcplisten ANY echo 5", 0, O_RDWR },
		{ "tcplisten/localhost/0,linger=1.5", "tcplisten localhost 0 1.5", 0, O_RDWR },
		{ "tcplisten/ANY/7,linger=x", NULL, -EINVAL, O_RDWR },
		{ "tcplisten/ANY/7,longer=1", NULL, -EINVAL, O_RDWR },
		{ "tcplisten/ANY/7/priv", NULL, -EINVAL, O_RDWR },
		{ "udp/h/53", "udp h 53", 0, O_RDWR },
		{ "udp/ANY/53", "udp ANY 53", 0, O_RDWR },
		{ "unix/run/x.sock", "unix /run/x.sock", 0, O_RDWR },
		{ "unix/@hidden", "unix @hidden", 0, O_RDWR },
		{ "unix/", NULL, -ENOENT, O_RDWR },
		{ "fs/etc/motd", "file /etc/motd", 0, O_RDONLY },
		{ "fs/etc//motd", "file /etc//motd", 0, O_RDONLY },
		{ "fs/a%2fb%2e%2e%41%252f%25%2525", "file /a/b..%41%2f%25%25", 0, O_RDONLY },
		{ "pipe/bin/ls", "command[/bin/ls]", 0, O_RDONLY },
		{ "pipe/bin/date +%F %T", "command[/bin/date][+%F][%T]", 0, O_RDONLY },
		{ "pipe/usr/bin/tee /tmp/a", "command[/usr/bin/tee][/tmp/a]", 0, O_WRONLY },
		{ "pipe/bin/ls", NULL, -EINVAL, O_RDWR },
		{ "pipe/", NULL, -ENOENT, O_RDONLY },
		{ "pipe/ ", NULL, -ENOENT, O_RDONLY },
		{ "pipe/''", NULL, -ENOENT, O_RDONLY },
		{ "pipe/bin/echo 'a", NULL, -EINVAL, O_RDONLY },
		{ "pipe/'a b/c' \"d e\"", "command[/a b/c][d e]", 0, O_RDONLY },
		{ "pipe/bin/sh -c 'echo %2f'", "command[/bin/sh][-c][echo /]", 0, O_RDONLY },
		{ "pipe/usr/bin/fetch -o - \\ ftp://h/x",
		  "command[/usr/bin/fetch][-o][-][ftp://h/x]", 0, O_RDONLY },
		{ "pipe/usr/bin/rsync h:/x", "command[/usr/bin/rsync][h:/x]", 0, O_RDONLY },
		{ "pipefs/x", NULL, -ENOENT, O_RDONLY },
		{ "", NULL, -ENOENT, O_RDONLY },
	};
	struct pfs_portal_rules *rules = rules_of(NULL);

	(void)state;
	rows_check(rules, false, rows, ARRAY_SIZE(rows));
	pfs_portal_rules_unref(rules);
}

/* What the kernel has made of two slashes. */
static void test_collapsed(void **state)
{
	static const struct row rows[] = {
		{ "pipe/bin/curl -s http:/h/a", "command[/bin/curl][-s][http://h/a]", 0, O_RDONLY },
		{ "pipe/bin/curl HTTPS:/h/a/ftp:/h", "command[/bin/curl][HTTPS://h/a/ftp://h]", 0,
		  O_RDONLY },
		{ "pipe/bin/curl --url='ftp:/h/a'", "command[/bin/curl][--url=ftp://h/a]", 0, O_RDONLY },
		{ "pipe/bin/curl file:/etc/motd", "command[/bin/curl][file:///etc/motd]", 0, O_RDONLY },
		{ "pipe/bin/curl http:%2f%2fh%2fa", "command[/bin/curl][http://h/a]", 0, O_RDONLY },
		{ "pipe/bin/rsync host:/dir x.http:/h", "command[/bin/rsync][host:/dir][x.http:/h]",
		  0, O_RDONLY },
		{ "pipe/bin/x :/y", "command[/bin/x][:/y]", 0, O_RDONLY },
		{ "fs/http:/h", "file /http://h", 0, O_RDONLY },
	};
	struct pfs_portal_rules *rules = rules_of(NULL);

	(void)state;
	rows_check(rules, true, rows, ARRAY_SIZE(rows));
	pfs_portal_rules_unref(rules);
}

static const char own_text[] = "# views\n"
			       "gz/      rfilter gz/ gzip -dc   # unpacks\n"
			       "\n"
			       "echo/    rfilter echo/ echo %s\n"
			       "rot/     wfilter rot/ /bin/tr 'a b' %%%s%p.x\n"
			       "http://  rfilter nil curl -s -- %s\n"
			       "^v[0-9]+/ file v\n"
			       "slow/    tcplisten slow/ linger=2ms\n"
			       "gz/etc/  file gz/\n"
			       "fs/      file fs/\n";

static void test_own(void **state)
{
	static const struct row rows[] = {
		{ "gz/etc/x y.gz", "command[gzip][-dc][/etc/x y.gz]", 0, O_RDONLY },
		{ "gz/-rf; $(id)`", "command[gzip][-dc][/-rf; $(id)`]", 0, O_RDONLY },
		{ "gz/x", NULL, -EACCES, O_WRONLY },
		{ "gz/x", NULL, -EINVAL, O_RDWR },
		{ "gz/", NULL, -ENOENT, O_RDONLY },
		{ "echo/a b 'c", "command[echo][a b 'c]", 0, O_RDONLY },
		{ "echo/-n", NULL, -EINVAL, O_RDONLY },
		{ "rot/a", "command[/bin/tr][a b][%a/a.x]", 0, O_WRONLY },
		{ "rot/a", NULL, -EACCES, O_RDONLY },
		{ "http:/h/a", "command[curl][-s][--][http://h/a]", 0, O_RDONLY },
		{ "v12/etc", "file /12/etc", 0, O_RDONLY },
		{ "vx/etc", NULL, -ENOENT, O_RDONLY },
		{ "slow/ANY/7", "tcplisten ANY 7 0.002", 0, O_RDWR },
		{ "tcp/h/80", NULL, -ENOENT, O_RDWR },
	};
	struct pfs_portal_rules *rules = rules_of(own_text);

	(void)state;
	rows_check(rules, true, rows, ARRAY_SIZE(rows));
	pfs_portal_rules_unref(rules);
}

static void test_shape(void **state)
{
	static const struct {
		const char *path;
		enum pfs_portal_shape own, usual;
	} rows[] = {
		{ "tcp", PFS_SHAPE_NONE, PFS_SHAPE_DIR },
		{ "tcp/h", PFS_SHAPE_NONE, PFS_SHAPE_DIR },
		{ "tcp/h/80", PFS_SHAPE_NONE, PFS_SHAPE_EITHER },
		{ "tcp/h%2f80", PFS_SHAPE_NONE, PFS_SHAPE_EITHER },
		{ "tcp/h/80/", PFS_SHAPE_NONE, PFS_SHAPE_EITHER },
		{ "tcp/h/80/priv", PFS_SHAPE_NONE, PFS_SHAPE_FILE },
		{ "udp/h/80", PFS_SHAPE_NONE, PFS_SHAPE_FILE },
		{ "fs", PFS_SHAPE_DIR, PFS_SHAPE_DIR },
		{ "fs//etc", PFS_SHAPE_OPEN, PFS_SHAPE_OPEN },
		{ "f", PFS_SHAPE_NONE, PFS_SHAPE_NONE },
		{ "fsx", PFS_SHAPE_NONE, PFS_SHAPE_NONE },
		{ "", PFS_SHAPE_NONE, PFS_SHAPE_NONE },
		{ "gz", PFS_SHAPE_DIR, PFS_SHAPE_NONE },
		{ "gz/a", PFS_SHAPE_OPEN, PFS_SHAPE_NONE },
		{ "http:", PFS_SHAPE_DIR, PFS_SHAPE_NONE },
		{ "http:/h", PFS_SHAPE_OPEN, PFS_SHAPE_NONE },
		{ "v1", PFS_SHAPE_DIR, PFS_SHAPE_NONE },
		{ "v", PFS_SHAPE_NONE, PFS_SHAPE_NONE },
		{ "v1/x", PFS_SHAPE_OPEN, PFS_SHAPE_NONE },
	};
	struct pfs_portal_rules *own = rules_of(own_text), *usual = rules_of(NULL);
	struct stat st = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum pfs_portal_shape a = pfs_portal_shape(own, rows[i].path);
		enum pfs_portal_shape b = pfs_portal_shape(usual, rows[i].path);

		if (a != rows[i].own || b != rows[i].usual)
			print_error("%s\n", rows[i].path);
		assert_int_equal(a, rows[i].own);
		assert_int_equal(b, rows[i].usual);
	}
	pfs_portal_rules_unref(own);
	pfs_portal_rules_unref(usual);
	pfs_portal_stat(false, &st);
	assert_int_equal(st.st_mode, S_IFREG | 0666);
	assert_int_equal(st.st_size, 0);
	pfs_portal_stat(true, &st);
	assert_int_equal(st.st_mode, S_IFDIR | 0555);
}

static void test_names(void **state)
{
	static const char *const want[] = { "gz", "echo", "rot", "http:", "slow", "fs" };
	struct pfs_portal_rules *rules = rules_of(own_text);
	PFS_BUF struct pfs_buf text = { 0 };

	(void)state;
	assert_int_equal(pfs_portal_rules_names(rules), ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(pfs_portal_rules_name(rules, i), want[i]);
	pfs_portal_rules_print(rules, &text);
	assert_non_null(strstr(text.data, "prefix gz/ rfilter strip 'gz/' [gzip] [-dc]\n"));
	assert_non_null(strstr(text.data, "regex  ^v[0-9]+/ file strip 'v'\n"));
	assert_non_null(strstr(text.data, "linger=0.002s"));
	pfs_portal_rules_unref(rules);
}

static void test_bad_conf(void **state)
{
	static const struct {
		const char *text, *sentence;
		int r;
	} rows[] = {
		{ "", "no rule", -ENODATA },
		{ "# nothing\n\n  \n", "no rule", -ENODATA },
		{ "tcp/\n", "conf:1: a rule is", -EINVAL },
		{ "\n\ntcp/ tpc tcp/\n", "conf:3: there is no provider 'tpc'", -EINVAL },
		{ "^(a file a\n", "conf:1: '^(a' is no regular expression", -EINVAL },
		{ "a/ rfilter a/\n", "needs a command", -EINVAL },
		{ "a/ rfilter a/ x %d\n", "must be %s", -EINVAL },
		{ "a/ rfilter a/ x 50%\n", "must be %s", -EINVAL },
		{ "a/ tcp a/ linger=1\n", "takes no 'linger=1'", -EINVAL },
		{ "a/ tcplisten a/ linger=2d\n", "no time", -EINVAL },
		{ "a/ tcplisten a/ linger=90000\n", "no time", -EINVAL },
		{ "/a tcp a/\n", "begins with a slash", -EINVAL },
		{ "a/ file 'a\n", "quote", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pfs_portal_rules *rules = NULL;
		PFS_BUF struct pfs_buf all = { 0 };
		struct pfs_diag diag = { "" };
		int r = pfs_portal_rules_parse("conf", rows[i].text, strlen(rows[i].text), &rules,
					       &all, &diag);

		assert_int_equal(r, rows[i].r);
		if (!strstr(diag.text, rows[i].sentence))
			print_error("%s\n", diag.text);
		assert_non_null(strstr(diag.text, rows[i].sentence));
		assert_null(rules);
	}
	assert_int_equal(pfs_portal_rules_parse("conf", "a\0b", 3,
						&(struct pfs_portal_rules *){ NULL }, NULL, NULL),
			 -EINVAL);
}

/* All complaints, and what is only doubtful. */
static void test_check(void **state)
{
	static const char text[] = "a/ file a/\nx y z\na/b file a/\ndev/ file dev/\nz\n";
	struct pfs_portal_rules *rules = NULL;
	PFS_BUF struct pfs_buf all = { 0 };
	struct pfs_diag diag = { "" };

	(void)state;
	assert_int_equal(pfs_portal_rules_parse("c", text, strlen(text), &rules, &all, &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "c:2:"));
	assert_non_null(strstr(all.data, "c:2: there is no provider 'y'"));
	assert_non_null(strstr(all.data, "c:3: 'a/b' has no effect: an earlier rule"));
	assert_non_null(strstr(all.data, "c:4: 'dev/' has no effect: this name"));
	assert_non_null(strstr(all.data, "c:5: a rule is"));
	assert_int_equal(pfs_portal_rules_load("/no/such", &rules, NULL, &diag), -ENOENT);
	assert_int_equal(pfs_portal_rules_load("/etc", &rules, NULL, &diag), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_collapsed),
		cmocka_unit_test(test_own),   cmocka_unit_test(test_shape),
		cmocka_unit_test(test_names), cmocka_unit_test(test_bad_conf),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
