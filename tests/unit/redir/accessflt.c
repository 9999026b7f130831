/*
 * accessflt - the filter itself, in process: what each operation asks of the rules, and new rules while it runs
 */
#include "files.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include "../until.h"
#include "redir/inproc.h"

static char dir[] = "/tmp/accessflt-XXXXXX", rules[64];
static struct rd_config *config;
static struct rd_module *module;

static void write_rules(const char *text)
{
	char path[80];
	FILE *f;

	snprintf(path, sizeof(path), "%s.new", rules);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(path, rules), 0);
}

static int load(const char *text, struct pfs_diag *diag)
{
	char *argv[] = { (char *)"accessflt", (char *)"-r", rules, (char *)"/srv", NULL };
	const char *build = getenv("BUILDDIR");
	char path[512];

	write_rules(text);
	snprintf(path, sizeof(path), "%s/src/accessflt.so", build ? build : ".");
	return rd_module_load(config, path, geteuid(), 4, argv, &module, diag);
}

static int64_t op(struct file_call *fc, const char *path)
{
	int64_t r;

	fc->call.type = fc->call.type ? fc->call.type : S_IFREG;
	fc->call.path = (char *)(uintptr_t)path;
	fc->call.caller.uid = 1000;
	fc->call.chain = rd_chain_find(config, path);
	r = file_call(fc);
	rd_chain_unref(fc->call.chain);
	return r;
}

#define CALL(...) (&(struct file_call){ .call = { __VA_ARGS__ } })

static void test_operations(void **state)
{
	struct pfs_diag diag = { "" };

	(void)state;
	assert_int_equal(load("deny=ENOSPC op=write path=/srv/w\ndeny=EPERM op=read path=/srv/r\n"
			      "deny=EACCES op=exec path=/srv/x\ndeny=EROFS op=create path=/srv/c\n"
			      "deny=EBUSY op=remove path=/srv/d\ndeny=ENOTTY op=attr path=/srv/a\n"
			      "deny=ENOTDIR op=list path=/srv/l\n",
			      &diag),
			 0);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_WRONLY), "/srv/w"), -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDWR), "/srv/w"), -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDONLY), "/srv/w"), 0);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDONLY | O_TRUNC), "/srv/w"),
			 -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_SETATTR, .arg.attr.valid = 8), "/srv/w"), -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_SETATTR, .arg.attr.valid = 1), "/srv/w"), 0);
	assert_int_equal(op(CALL(.op = RD_FALLOCATE), "/srv/w"), -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_COPY_FILE_RANGE, .path2 = (char *)"/srv/w"), "/srv/r"),
			 -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDONLY), "/srv/r"), -EPERM);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_WRONLY), "/srv/r"), 0);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDWR), "/srv/r"), -EPERM);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = 040), "/srv/x"), -EACCES);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDONLY), "/srv/x"), 0);
	assert_int_equal(op(CALL(.op = RD_CREATE, .type = S_IFDIR), "/srv/c"), -EROFS);
	assert_int_equal(op(CALL(.op = RD_CREATE, .type = S_IFDIR, .arg.open.flags = O_WRONLY),
			    "/srv/w"),
			 -ENOSPC);
	assert_int_equal(op(CALL(.op = RD_MKDIR, .type = S_IFDIR), "/srv/c"), -EROFS);
	assert_int_equal(op(CALL(.op = RD_MKNOD, .type = S_IFDIR), "/srv/c"), -EROFS);
	assert_int_equal(op(CALL(.op = RD_SYMLINK, .type = S_IFDIR), "/srv/c"), -EROFS);
	assert_int_equal(op(CALL(.op = RD_LINK, .type = S_IFDIR, .path2 = (char *)"/srv/c"), "/srv/r"),
			 -EROFS);
	assert_int_equal(
		op(CALL(.op = RD_LINK, .type = S_IFDIR, .path2 = (char *)"/srv/r"), "/srv/c"), 0);
	assert_int_equal(op(CALL(.op = RD_RENAME, .type = S_IFDIR, .path2 = (char *)"/srv/c"), "/srv/r"),
			 -EROFS);
	assert_int_equal(op(CALL(.op = RD_RENAME, .type = S_IFDIR, .path2 = (char *)"/srv/r"), "/srv/d"),
			 -EBUSY);
	assert_int_equal(
		op(CALL(.op = RD_RENAME, .type = S_IFDIR, .path2 = (char *)"/srv/d"), "/srv/r"), 0);
	assert_int_equal(op(CALL(.op = RD_RENAME, .type = S_IFDIR, .path2 = (char *)"/srv/d",
				 .arg.rename.flags = 2),
			    "/srv/r"),
			 -EBUSY);
	assert_int_equal(op(CALL(.op = RD_UNLINK, .type = S_IFDIR), "/srv/d"), -EBUSY);
	assert_int_equal(op(CALL(.op = RD_RMDIR, .type = S_IFDIR), "/srv/d"), -EBUSY);
	assert_int_equal(op(CALL(.op = RD_SETATTR, .arg.attr.valid = 1), "/srv/a"), -ENOTTY);
	assert_int_equal(op(CALL(.op = RD_SETXATTR, .arg.xattr.name = "user.x"), "/srv/a"), -ENOTTY);
	assert_int_equal(op(CALL(.op = RD_REMOVEXATTR, .arg.xattr.name = "user.x"), "/srv/a"), -ENOTTY);
	assert_int_equal(op(CALL(.op = RD_OPENDIR, .type = S_IFDIR), "/srv/l"), -ENOTDIR);
	/* What it does not judge, and where it is not. */
	assert_int_equal(op(CALL(.op = RD_GETATTR), "/srv/r"), 0);
	assert_int_equal(op(CALL(.op = RD_OPEN, .arg.open.flags = O_WRONLY), "/elsewhere/w"), 0);
	rd_module_unload(module);
}

static int64_t read_a(void)
{
	return op(CALL(.op = RD_OPEN, .arg.open.flags = O_RDONLY), "/srv/a");
}

/* A new file is taken as a whole; one that is wrong, or has gone, leaves the rules as they are. */
static void test_reload(void **state)
{
	struct pfs_diag diag = { "" };
	char event[sizeof(struct inotify_event) + 256];
	int watch;

	(void)state;
	assert_int_equal(load("deny=EPERM path=/srv/a\n", &diag), 0);
	assert_int_equal(read_a(), -EPERM);
	write_rules("deny=EROFS path=/srv/a\n");
	WAIT_WHILE(read_a() == -EPERM);
	assert_int_equal(read_a(), -EROFS);
	/* All but the last line is right. */
	write_rules("allow\nallow op=wrong\n");
	watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(inotify_add_watch(watch, rules, IN_CLOSE_NOWRITE) >= 0);
	WAIT_WHILE(read_a() == -EROFS && read(watch, event, sizeof(event)) < 0);
	close(watch);
	assert_int_equal(read_a(), -EROFS);
	assert_int_equal(unlink(rules), 0);
	assert_int_equal(read_a(), -EROFS);
	write_rules("allow\n");
	WAIT_WHILE(read_a() == -EROFS);
	assert_int_equal(read_a(), 0);
	rd_module_unload(module);
}

/* Without rules that are right it does not begin. */
static void test_begin(void **state)
{
	struct pfs_diag diag = { "" };

	(void)state;
	assert_int_equal(load("allow op=wrong\n", &diag), -EINVAL);
	assert_int_equal(read_a(), 0);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(rules, sizeof(rules), "%s/rules", dir);
	return rd_config_new(&config);
}

static int teardown(void **state)
{
	(void)state;
	rd_config_free(config);
	unlink(rules);
	return rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_begin),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
