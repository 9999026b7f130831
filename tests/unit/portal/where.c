/*
 * where - does a path lead below the prefix? With real directories, links and processes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "portal/where.h"

static char top[PATH_MAX];

/* --- text ------------------------------------------------------------------------------------- */

static void test_clean(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *rest; /* or what is left after climbing out */
	} cases[] = {
		{ "/tcp/h/80", 1, "tcp/h/80" },
		{ "tcp/h/80", 1, "tcp/h/80" },
		{ "//tcp///h/./80", 1, "tcp/h/80" },
		{ "/tcp/h/../g/80", 1, "tcp/g/80" },
		{ "/tcp/../fs/etc", 1, "fs/etc" },
		{ "/tcp/h/80/", 0, NULL },
		{ "/tcp/h/80/.", 0, NULL },
		{ "", 1, "" },
		{ "/", 1, "" },
		{ "/.", 1, "" },
		{ "/tcp/..", 1, "" },
		{ "/tcp/h/..", 0, NULL },
		{ "/..", -1, "" },
		{ "/../p/tcp/h/1", -1, "/p/tcp/h/1" },
		{ "/tcp/../../etc", -1, "/etc" },
		{ "/...", 1, "..." },
		{ "/..a/.b", 1, "..a/.b" },
		/* URLs keep what makes them one. */
		{ "/ftp://host/x", 1, "ftp://host/x" },
		{ "/fetch/http:///x//y", 1, "fetch/http:///x/y" },
		/* Behind a blank there are arguments, which are left alone. */
		{ "/pipe/bin/ls -l ../foo//bar/", 1, "pipe/bin/ls -l ../foo//bar/" },
		{ "/pipe/bin/curl http://h/a/../b", 1, "pipe/bin/curl http://h/a/../b" },
		{ "/pipe/./bin/../bin/ls\t..", 1, "pipe/bin/ls\t.." },
		{ "/pipe/bin/a\n/..", 1, "pipe/bin/a\n/.." },
		{ "/pipe/.. /x", 1, "pipe/.. /x" },
	};
	char rest[PATH_MAX];
	const char *out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = pfs_where_clean(cases[i].text, rest, &out);

		if (r != cases[i].result)
			print_error("%s\n", cases[i].text);
		assert_int_equal(r, cases[i].result);
		if (r != 0)
			assert_string_equal(r > 0 ? rest : out, cases[i].rest);
	}
}

static void test_clean_long(void **state)
{
	char text[PATH_MAX + 10], rest[PATH_MAX];
	const char *out;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[PATH_MAX] = '\0';
	assert_int_equal(pfs_where_clean(text, rest, &out), 1);
	assert_int_equal(strlen(rest), PATH_MAX - 1);
	text[PATH_MAX] = 'a';
	text[PATH_MAX + 1] = '\0';
	assert_int_equal(pfs_where_clean(text, rest, &out), 0);
}

/* --- the walk ------------------------------------------------------------------------------------ */

/*
 *	top/p		the prefix, if it is there
 *	top/dir/sub/
 *	top/file
 *	top/view	-> top/p/tcp/h/80
 *	top/dir/rel	-> ../p/tcp/h/80
 *	top/dir/host	-> top/p/tcp/h
 *	top/dir/top	-> ..
 *	top/dir/chain	-> rel
 *	top/dir/loop	-> loop
 *	top/dir/file	-> ../file
 *	top/dir/gone	-> nothing
 *	top/dir/cmd	-> top/p/pipe/bin/ls -l
 *	top/dir/dead/x	dead -> nothing
 */
static int setup(void **state)
{
	char text[PATH_MAX + 64];

	(void)state;
	snprintf(top, sizeof(top), "/tmp/pfs-where-XXXXXX");
	if (!mkdtemp(top) || chdir(top) < 0 || mkdir("dir", 0755) < 0 || mkdir("dir/sub", 0755) < 0)
		return -1;
	close(open("file", O_CREAT | O_WRONLY, 0644));
#define LINK(name, ...)                                    \
	do {                                               \
		snprintf(text, sizeof(text), __VA_ARGS__); \
		if (symlink(text, name) < 0)               \
			return -1;                         \
	} while (0)
	LINK("view", "%s/p/tcp/h/80", top);
	LINK("dir/rel", "../p/tcp/h/80");
	LINK("dir/host", "%s/p/tcp/h", top);
	LINK("dir/top", "..");
	LINK("dir/chain", "rel");
	LINK("dir/loop", "loop");
	LINK("dir/file", "../file");
	LINK("dir/gone", "nothing");
	LINK("dir/cmd", "%s/p/pipe/bin/ls -l", top);
#undef LINK
	return 0;
}

static int teardown(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	if (chdir("/") < 0)
		return -1;
	snprintf(command, sizeof(command), "rm -r '%s'", top);
	return system(command);
}

static void init(struct pfs_where *where)
{
	struct pfs_diag diag = { "" };
	char prefix[PATH_MAX + 8];
	int r;

	snprintf(prefix, sizeof(prefix), "%s/p", top);
	r = pfs_where_init(where, prefix, &diag);
	if (r < 0)
		print_error("%s\n", diag.text);
	assert_int_equal(r, 0);
}

/* T stands for the top. NULL: elsewhere. */
static void expect(const struct pfs_where *where, pid_t tid, int dirfd, const char *pattern,
		   unsigned flags, const char *want)
{
	char path[2 * PATH_MAX] = "", rest[PATH_MAX] = "?";
	const char *mark = strstr(pattern, "TOP");
	int r;

	if (mark)
		snprintf(path, sizeof(path), "%.*s%s%s", (int)(mark - pattern), pattern, top, mark + 3);
	else
		snprintf(path, sizeof(path), "%s", pattern);
	r = pfs_where_find(where, tid, dirfd, path, flags, rest);
	if (r != (want != NULL) || (want && strcmp(rest, want) != 0))
		fail_msg("%s: %d %s, not %s", pattern, r, rest, want ? want : "elsewhere");
}

static const struct {
	const char *path;
	const char *want;
} from_dir[] = {
	{ "TOP/p/tcp/h/80", "tcp/h/80" },
	{ "/TOP/p/tcp/h/80", "tcp/h/80" },
	{ "TOP/p/../p/tcp/h/80", "tcp/h/80" },
	{ "TOP/p/tcp/../../p/tcp/h/80", "tcp/h/80" },
	{ "TOP/dir/../p/tcp/h/80", "tcp/h/80" },
	{ "TOP/nothing/../p/tcp/h/80", NULL }, /* as the kernel would */
	{ "TOP/file/../p/tcp/h/80", NULL },
	{ "TOP/p/../file", NULL },
	{ "TOP/p", NULL },
	{ "TOP/p/", NULL },
	{ "TOP/p/tcp/..", NULL },
	{ "TOP/px/tcp/h/80", NULL },
	{ "TOP/view", "tcp/h/80" },
	{ "TOP/view/more", "tcp/h/80/more" },
	{ "TOP/dir/rel", "tcp/h/80" },
	{ "TOP/dir/chain", "tcp/h/80" },
	{ "TOP/dir/host/80", "tcp/h/80" },
	{ "TOP/dir/host/../g/80", "tcp/g/80" },
	{ "TOP/dir/top/dir/top/p/tcp/h/80", "tcp/h/80" },
	{ "TOP/dir/cmd", "pipe/bin/ls -l" },
	{ "TOP/dir/loop", NULL },
	{ "TOP/dir/file", NULL },
	{ "TOP/dir/gone", NULL },
	{ "TOP/dir/gone/x", NULL },
	{ "TOP/dir/nothing", NULL },
	{ "TOP/dir/nothing/x", NULL },
	{ "/proc/self/rootTOP/p/tcp/h/80", "tcp/h/80" },
	{ "/proc/thread-self/rootTOP/p/tcp/h/80", "tcp/h/80" },
	{ "/proc/self/cwd/../p/tcp/h/80", "tcp/h/80" },
	{ "/proc/self/cwd/rel", "tcp/h/80" },
	{ "/proc/self/maps", NULL },
	{ "/dev/fd/nothing", NULL },
	{ "/", NULL },
	{ "/..", NULL },
	{ "", NULL },
	/* relative, from TOP/dir */
	{ "rel", "tcp/h/80" },
	{ "./chain", "tcp/h/80" },
	{ "host/80", "tcp/h/80" },
	{ "../p/tcp/h/80", "tcp/h/80" },
	{ "../view", "tcp/h/80" },
	{ "sub/../../p/fs/etc", "fs/etc" },
	{ "file", NULL },
	{ "nothing", NULL },
	{ "..", NULL },
	{ ".", NULL },
};

static void check_all(const struct pfs_where *where, pid_t tid)
{
	for (size_t i = 0; i < ARRAY_SIZE(from_dir); i++)
		expect(where, tid, AT_FDCWD, from_dir[i].path, 0, from_dir[i].want);
}

/* A process that stands in TOP/dir, with the top open as descriptor 77, until it is killed. */
static pid_t stranger(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(".", O_RDONLY | O_DIRECTORY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(fd, 77) < 0 || chdir("dir") < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_find(void **state)
{
	struct pfs_where where;
	pid_t pid = stranger();

	(void)state;
	/* The prefix is not there, then it is: an empty directory. */
	for (int there = 0; there < 2; there++) {
		if (there)
			assert_int_equal(mkdir("p", 0755), 0);
		init(&where);
		check_all(&where, pid);
		expect(&where, pid, 77, "p/tcp/h/80", 0, "tcp/h/80");
		expect(&where, pid, 77, "dir/rel", 0, "tcp/h/80");
		expect(&where, pid, 77, "file", 0, NULL);
		expect(&where, pid, 78, "p/tcp/h/80", 0, NULL);
		/* ... but with a whole path a descriptor means nothing. */
		expect(&where, pid, 78, "TOP/p/tcp/h/80", 0, "tcp/h/80");
		pfs_where_release(&where);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Whoever has gone asks for nothing. */
	init(&where);
	expect(&where, pid, AT_FDCWD, "rel", 0, NULL);
	pfs_where_release(&where);
	assert_int_equal(rmdir("p"), 0);
}

static void test_links_unwanted(void **state)
{
	struct pfs_where where;

	(void)state;
	init(&where);
	expect(&where, getpid(), AT_FDCWD, "TOP/view", PFS_WHERE_NOFOLLOW, NULL);
	expect(&where, getpid(), AT_FDCWD, "TOP/dir/host/80", PFS_WHERE_NOFOLLOW, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "TOP/dir/host/80", PFS_WHERE_NOLINKS, NULL);
	expect(&where, getpid(), AT_FDCWD, "TOP/dir/../p/tcp/h/80", PFS_WHERE_NOLINKS, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "TOP/p/tcp/h/80", PFS_WHERE_NOFOLLOW | PFS_WHERE_NOLINKS,
	       "tcp/h/80");
	pfs_where_release(&where);
}

/* The working directory is inside: as in a mount. */
static void test_inside(void **state)
{
	struct pfs_where where;

	(void)state;
	assert_int_equal(mkdir("p", 0755), 0);
	assert_int_equal(mkdir("p/tcp", 0755), 0);
	init(&where);
	assert_int_equal(chdir("p"), 0);
	expect(&where, getpid(), AT_FDCWD, "tcp/h/80", 0, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "../file", 0, NULL);
	expect(&where, getpid(), AT_FDCWD, "../view", 0, "tcp/h/80");
	assert_int_equal(chdir("tcp"), 0);
	expect(&where, getpid(), AT_FDCWD, "h/80", 0, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "../pipe/bin/ls ../x", 0, "pipe/bin/ls ../x");
	assert_int_equal(chdir(top), 0);
	pfs_where_release(&where);
	rmdir("p/tcp");
	rmdir("p");
}

/* Links that lead to links that lead ... and paths that do not fit. */
static void test_limits(void **state)
{
	char name[16], before[16], path[PATH_MAX + 200], rest[PATH_MAX];
	struct pfs_where where;

	(void)state;
	init(&where);
	assert_int_equal(symlink("view", "l0"), 0);
	for (int i = 1; i < 45; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(before, sizeof(before), "l%d", i - 1);
		assert_int_equal(symlink(before, name), 0);
	}
	expect(&where, getpid(), AT_FDCWD, "l38", 0,
	       "tcp/h/80"); /* 40 with the view itself, as in the kernel */
	expect(&where, getpid(), AT_FDCWD, "l39", 0, NULL);
	expect(&where, getpid(), AT_FDCWD, "l44", 0, NULL);

	/* A command of any length up to PATH_MAX, components longer than a name may be. */
	snprintf(path, sizeof(path), "%s/p/pipe/bin/echo ", top);
	memset(path + strlen(path), 'x', PATH_MAX);
	path[PATH_MAX - 1] = '\0';
	assert_int_equal(pfs_where_find(&where, getpid(), AT_FDCWD, path, 0, rest), 1);
	assert_int_equal(strlen(rest), PATH_MAX - 1 - strlen(top) - 3);
	/* Elsewhere names that are too long are nothing. */
	memset(path, 'x', PATH_MAX);
	path[0] = '/';
	assert_int_equal(pfs_where_find(&where, getpid(), AT_FDCWD, path, 0, rest), 0);
	for (int i = 1; i < PATH_MAX - 2; i += 2)
		memcpy(path + i, "./", 2);
	assert_int_equal(pfs_where_find(&where, getpid(), AT_FDCWD, path + 1, 0, rest), 0);
	pfs_where_release(&where);
}

static void test_prefixes(void **state)
{
	static const char *const wrong[] = { "p", "", "/", "//", "/..", "/./" };
	struct pfs_diag diag;
	struct pfs_where where;
	char path[PATH_MAX + 32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		diag.text[0] = '\0';
		assert_int_equal(pfs_where_init(&where, wrong[i], &diag), -EINVAL);
		assert_true(diag.text[0]);
		pfs_where_release(&where);
	}
	/* What is a link is what it leads to. */
	snprintf(path, sizeof(path), "%s/dir/top/dir/sub//", top);
	assert_int_equal(pfs_where_init(&where, path, &diag), 0);
	snprintf(path, sizeof(path), "%s/dir/sub", top);
	assert_string_equal(where.prefix, path);
	expect(&where, getpid(), AT_FDCWD, "TOP/dir/top/dir/sub/tcp/h/80", 0, "tcp/h/80");
	pfs_where_release(&where);
	/* What is not there is taken as it is written. */
	assert_int_equal(pfs_where_init(&where, "/nowhere//./at/all/", &diag), 0);
	assert_string_equal(where.prefix, "/nowhere/at/all");
	expect(&where, getpid(), AT_FDCWD, "/nowhere/at/all/tcp/h/80", 0, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "/nowhere/../nowhere/at/./all//tcp/h/80", 0, "tcp/h/80");
	expect(&where, getpid(), AT_FDCWD, "/nowhere/at", 0, NULL);
	pfs_where_release(&where);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),	 cmocka_unit_test(test_clean_long),
		cmocka_unit_test(test_find),	 cmocka_unit_test(test_links_unwanted),
		cmocka_unit_test(test_inside),	 cmocka_unit_test(test_limits),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
