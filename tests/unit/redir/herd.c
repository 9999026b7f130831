/*
 * herd - redirect processes: what a change makes of them, and what is left when they die
 *
 * The processes are real ones, on the real link; this program is theirs, too (main()). In place of a layer each
 * mounts an empty directory over its tree, in a mount namespace of the test's own: what the herd has to do with
 * mounts is the same.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#include "base/mountinfo.h"
#include "base/spawn.h"
#include "redir/herd.h"
#include "redir/linked.h"
#include "../until.h"

/* --- a redirect process ------------------------------------------------------------------------------ */

struct tree {
	const char *path;
	bool mounted, ended;
	unsigned pres;
};

/* A filter's name says what it does to us. */
static int on_configure(void *arg, const struct rd_link_config *config, struct pfs_diag *diag)
{
	struct tree *tree = arg;
	PFS_BUF struct pfs_buf names = { 0 };
	char path[128];
	FILE *f;

	assert(!strcmp(config->tree, tree->path));
	for (size_t i = 0; i < config->n; i++) {
		const char *name = config->filter[i].desc.name;
		bool active = config->filter[i].desc.active;

		if (active && !strcmp(name, "refuses"))
			return pfs_diag_set(diag, EACCES, "not so");
		if (active && !strcmp(name, "hangs"))
			pause();
		if (active && !strcmp(name, "dies"))
			_exit(3);
		pfs_buf_printf(&names, "%s%s", active ? "+" : "-", name);
	}
	if (!tree->mounted && mount("herd", tree->path, "tmpfs", 0, NULL) < 0)
		return -errno;
	tree->mounted = true;
	snprintf(path, sizeof(path), "%s/filters", tree->path);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs(names.data ? names.data : "", f);
	fclose(f);
	return 0;
}

static int on_end(void *arg)
{
	struct tree *tree = arg;

	tree->ended = true;
	return !tree->mounted || umount2(tree->path, MNT_DETACH) == 0 ? 0 : -errno;
}

static bool on_number(void *arg, size_t index, struct rd_link_number *ret_number)
{
	snprintf(ret_number->name, sizeof(ret_number->name), "one");
	ret_number->pres = 2;
	(void)arg;
	return index == 0;
}

static int process_main(const char *path)
{
	static const struct rd_linked_ops ops = { .configure = on_configure,
						  .end = on_end,
						  .number = on_number };
	struct tree tree = { .path = path };
	struct rd_linked linked = { .fd = 0, .ops = &ops, .arg = &tree };
	struct pollfd fd = { .fd = 0, .events = POLLIN };
	int r = 1;

	signal(SIGTERM, SIG_IGN); /* the link says when */
	while (r == 1 && !tree.ended) {
		poll(&fd, 1, -1);
		r = rd_linked_handle(&linked);
	}
	if (!tree.ended)
		on_end(&tree);
	return r < 0;
}

/* --- the herd of a test --------------------------------------------------------------------------------- */

static char dir[64];
static struct pfs_spawner *spawner;
static _Atomic unsigned said, detached;

static void on_detach(void *arg, unsigned major, unsigned minor)
{
	struct pfs_mountinfo *info = malloc(sizeof(*info));

	(void)arg;
	while (pfs_mountinfo_dev(major, minor, info) == 0)
		assert(umount2(info->dir, MNT_DETACH) == 0);
	free(info);
	detached++;
}

static void on_say(void *arg, const char *sentence)
{
	(void)arg;
	assert(strstr(sentence, "has ended"));
	said++;
}

static struct rd_herd *herd_new(void)
{
	static const char *const program[] = { "/proc/self/exe", NULL };
	struct rd_herd_options options = { .spawner = spawner,
					   .program = program,
					   .detach = on_detach,
					   .say = on_say,
					   .patience = 1500 };
	struct rd_herd *herd;

	assert_int_equal(rd_herd_new(&options, &herd), 0);
	said = detached = 0;
	return herd;
}

struct edit {
	const char *name; /* "+name": active, "-name": not, "name": with one more path, "!name": goes */
	const char *tree;
};

static int do_edit(void *arg, struct rd_registry *next, struct pfs_diag *diag)
{
	const struct edit *edit = arg;
	const char *name = edit->name + strspn(edit->name, "+-!");
	char priority[16], path[128];
	struct rd_registering what = {
		.name = name, .priority = priority, .object = "/f.so", .modifier = true
	};
	struct rd_rule_new rule = { { path, true, true }, path };
	int r;

	snprintf(priority, sizeof(priority), "%zu", next->n);
	snprintf(path, sizeof(path), "%s/%s", dir, edit->tree ? edit->tree : "");
	if (edit->name[0] == '!')
		return rd_registry_remove(next, name, diag);
	if (edit->name[0] == '+' || edit->name[0] == '-')
		return rd_registry_set(next, name, RD_SETTING_ACTIVE,
				       edit->name[0] == '+' ? "1" : "0", diag);
	r = rd_registry_find(next, name) ? 0 : rd_registry_add(next, &what, diag);
	return r < 0 ? r : rd_registry_rule_add(next, name, &rule, diag);
}

static int change(struct rd_herd *herd, const char *name, const char *tree, struct pfs_diag *diag)
{
	struct edit edit = { name, tree };

	diag->text[0] = '\0';
	return rd_herd_change(herd, do_edit, &edit, diag);
}

static void must(struct rd_herd *herd, const char *name, const char *tree)
{
	struct pfs_diag diag;

	if (change(herd, name, tree, &diag) < 0)
		fail_msg("%s: %s", name, diag.text);
}

/* What the process of a tree was told; NULL: it is not redirected. */
static void expect(const char *tree, const char *filters)
{
	char path[128], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/filters", dir, tree);
	f = fopen(path, "re");
	assert_int_equal(f != NULL, filters != NULL);
	if (!f)
		return;
	if (fgets(text, sizeof(text), f))
		assert_string_equal(text, filters);
	else
		assert_string_equal("", filters);
	fclose(f);
}

static size_t lines(struct rd_herd *herd, pid_t *ret_first)
{
	PFS_BUF struct pfs_buf list = { 0 };
	size_t n = 0;

	rd_herd_list(herd, &list);
	for (const char *p = list.data; p && (p = strchr(p, '\n')); p++)
		n++;
	if (ret_first && n)
		*ret_first = (pid_t)strtol(strchr(list.data, ' '), NULL, 10);
	return n;
}

static int count_mount(void *arg, const struct pfs_mountinfo *info)
{
	*(unsigned *)arg += strncmp(info->dir, dir, strlen(dir)) == 0;
	return 0;
}

static unsigned mounts(void)
{
	unsigned n = 0;

	assert_int_equal(pfs_mountinfo_each(count_mount, &n), 0);
	return n;
}

/* --- tests --------------------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
	struct rd_herd *herd = herd_new();
	struct rd_link_number number;

	(void)state;
	must(herd, "one", "a");
	expect("a", NULL);
	assert_int_equal(lines(herd, NULL), 0);
	must(herd, "+one", NULL);
	expect("a", "+one");
	must(herd, "two", "a/b"); /* inside: the same process, told of it */
	expect("a", "+one-two");
	must(herd, "+two", NULL);
	expect("a", "+one+two");
	must(herd, "one", "c");
	expect("c", "+one");
	assert_int_equal(mounts(), 2);
	assert_int_equal(rd_herd_numbers(herd, "one", &number), 0);
	assert_int_equal(number.pres, 4); /* of two processes */
	assert_int_equal(rd_herd_numbers(herd, "none", &number), -ENODEV);
	/* The outer tree goes, and the inner one is one by itself; and the other way round. */
	must(herd, "-one", NULL);
	expect("a", NULL);
	expect("a/b", "+two");
	expect("c", NULL);
	must(herd, "+one", NULL);
	expect("a", "+one+two");
	must(herd, "!one", NULL);
	must(herd, "!two", NULL);
	assert_int_equal(mounts(), 0);
	assert_int_equal(said, 0);
	rd_herd_free(herd);
}

/* Whoever refuses makes the whole change fail, and what was is there again. */
static void test_refused(void **state)
{
	static const struct {
		const char *name;
		int error;
		const char *says;
	} rows[] = {
		{ "refuses", EACCES, "not so" },
		{ "dies", EIO, "has ended" },
		{ "hangs", ETIMEDOUT, "does not answer" },
	};
	struct pfs_diag diag;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rd_herd *herd = herd_new();
		char active[32];

		must(herd, "one", "a");
		must(herd, "+one", NULL);
		must(herd, rows[i].name, "a");
		must(herd, rows[i].name, "c");
		snprintf(active, sizeof(active), "+%s", rows[i].name);
		assert_int_equal(change(herd, active, NULL, &diag), -rows[i].error);
		assert_non_null(strstr(diag.text, rows[i].says));
		expect("c", NULL);
		assert_int_equal(mounts(), 1);
		must(herd, "two", "a");
		rd_herd_free(herd);
		assert_int_equal(mounts(), 0);
	}
}

/* A process that is killed: nothing of it is left, the originals are there, and the next change begins it again. */
static void test_killed(void **state)
{
	const char *times = getenv("HERD_KILLS");
	struct rd_herd *herd = herd_new();
	unsigned n = times ? (unsigned)atoi(times) : 100;
	pid_t pid = 0;

	(void)state;
	must(herd, "one", "a");
	must(herd, "+one", NULL);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(lines(herd, &pid), 1);
		assert_int_equal(kill(pid, SIGKILL), 0);
		WAIT_WHILE(said <= i);
		assert_int_equal(mounts(), 0);
		expect("a", NULL);
		must(herd, i % 2 ? "!two" : "two", "a");
		expect("a", i % 2 ? "+one" : "+one-two");
	}
	assert_int_equal(said, n);
	assert_int_equal(detached, n);
	rd_herd_free(herd);
	assert_int_equal(mounts(), 0);
	WAIT_WHILE(kill(pid, 0) == 0);
}

/* After the end nothing begins any more. */
static void test_end(void **state)
{
	struct rd_herd *herd = herd_new();
	struct pfs_diag diag;

	(void)state;
	must(herd, "one", "a");
	must(herd, "+one", NULL);
	rd_herd_end(herd);
	assert_int_equal(mounts(), 0);
	assert_int_equal(change(herd, "one", "a", &diag), -ESHUTDOWN);
	rd_herd_free(herd);
}

static int setup(void **state)
{
	char path[128];

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	snprintf(dir, sizeof(dir), "/tmp/redir-herd-XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (const char *const *name = (const char *const[]){ "a", "a/b", "c", NULL }; *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	if (pfs_spawner_new(NULL, NULL, NULL, &spawner) < 0)
		return -1;
	return pfs_spawner_start(spawner);
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	pfs_spawner_free(spawner);
	for (const char *const *name = (const char *const[]){ "a/b", "a", "c", "", NULL }; *name;
	     name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		assert_int_equal(rmdir(path), 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_end),
	};

	if (argc == 4 && !strcmp(argv[1], "--link"))
		return process_main(argv[3]);
	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
