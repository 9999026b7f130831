/* Shared objects: which are loaded, what the demonstrations do, and that they go when nobody is in them. */
#include "files.h"

#include <sys/stat.h>

#include "redir/inproc.h"

static char dir[] = "/tmp/redir-inproc-XXXXXX";
static char file[64];

static const char *module_path(const char *name)
{
	static char path[512];
	const char *build = getenv("BUILDDIR");

	snprintf(path, sizeof(path), "%s/src/%s.so", build ? build : ".", name);
	return path;
}

static int setup(void **state)
{
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/f", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir);
}

static struct rd_module *load(struct rd_config *config, const char *name, int argc, char **argv)
{
	struct pfs_diag diag = { "" };
	struct rd_module *module;

	if (rd_module_load(config, module_path(name), geteuid(), argc, argv, &module, &diag) < 0)
		fail_msg("%s", diag.text);
	return module;
}

static void test_scramble(void **state)
{
	char *argv[] = { (char *)"scrambleflt", dir, NULL };
	struct rd_config *config;
	struct rd_module *module;
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(rd_config_new(&config), 0);
	module = load(config, "scrambleflt", 2, argv);
	file_scrambles(config, file, fd, 300);
	assert_int_equal(file_op(config, file, RD_COPY_FILE_RANGE), -EXDEV);
	assert_int_equal(file_op(config, "/elsewhere", RD_COPY_FILE_RANGE), 0);
	/* The same name twice is refused, and the first one stays. */
	{
		struct pfs_diag diag = { "" };
		struct rd_module *again;

		assert_int_equal(rd_module_load(config, module_path("scrambleflt"), geteuid(), 2,
						argv, &again, &diag),
				 -EEXIST);
		assert_string_equal(diag.text, "there is a filter scrambleflt already");
	}
	rd_module_unload(module);
	assert_int_equal(file_op(config, file, RD_COPY_FILE_RANGE), 0);
	rd_config_free(config);
	close(fd);
}

static void test_dummy(void **state)
{
	char out[80], line[256], want[256];
	char *argv[] = { (char *)"udummyflt", (char *)"-o", out, dir, NULL };
	struct rd_config *config;
	struct rd_module *module;
	FILE *f;

	snprintf(out, sizeof(out), "%s/log", dir);
	assert_int_equal(rd_config_new(&config), 0);
	module = load(config, "udummyflt", 4, argv);
	assert_int_equal(file_op(config, file, RD_OPEN), 0);
	f = fopen(out, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	snprintf(want, sizeof(want), "pre REG_FOP_OPEN pid=0 uid=1000 %s\n", file);
	assert_string_equal(line, want);
	assert_non_null(fgets(line, sizeof(line), f));
	snprintf(want, sizeof(want), "post REG_FOP_OPEN pid=0 uid=1000 %s = 0\n", file);
	assert_string_equal(line, want);
	fclose(f);
	unlink(out);
	rd_module_unload(module);
	rd_config_free(config);
}

static struct rd_module *adopt(struct rd_config *config, const char *as, const char *name, int argc,
			       char **argv)
{
	struct pfs_diag diag = { "" };
	struct rd_module *module;

	if (rd_module_adopt(config, as, module_path(name), geteuid(), argc, argv, &module, &diag) < 0)
		fail_msg("%s", diag.text);
	return module;
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/*
 * Whoever has named and ordered filters gives each its shared object: one file for two filters, which know nothing of
 * each other. Who is in a new configuration no more is asked no more, also by calls that are on their way to it.
 */
static void test_adopt(void **state)
{
	const struct rd_rule_desc rule = { dir, true, true };
	struct rd_filter_desc desc[2] = {
		{ .name = "first", .priority = 1, .active = true, .rules = &rule, .n_rules = 1 },
		{ .name = "second", .priority = 2, .active = true, .rules = &rule, .n_rules = 1 },
	};
	struct rd_module *first, *second, *third;
	struct rd_filter_stat stat;
	struct rd_config *config;
	struct pfs_diag diag = { "" };
	char out[2][80];
	char *argv[2][5] = { { (char *)"udummyflt", (char *)"-o", out[0], (char *)"/elsewhere", NULL },
			     { (char *)"udummyflt", (char *)"-o", out[1], NULL } };
	const struct rd_chain *chain;
	union rfs_mod mod = { .id = RFS_DEACTIVATE };
	off_t size;

	snprintf(out[0], sizeof(out[0]), "%s/log1", dir);
	snprintf(out[1], sizeof(out[1]), "%s/log2", dir);
	assert_int_equal(rd_config_new(&config), 0);
	assert_int_equal(rd_config_replace(config, desc, 2, &diag), 0);
	first = adopt(config, "first", "udummyflt", 4, argv[0]);
	second = adopt(config, "second", "udummyflt", 3, argv[1]);
	assert_int_equal(rd_module_adopt(config, "second", module_path("udummyflt"), geteuid(), 3,
					 argv[1], &third, &diag),
			 -EBUSY);
	assert_int_equal(rd_module_adopt(config, "none", module_path("udummyflt"), geteuid(), 3,
					 argv[1], &third, &diag),
			 -ENOENT);
	assert_int_equal(file_op(config, file, RD_OPEN), 0);
	assert_true(size_of(out[0]) > 0);
	assert_int_equal(size_of(out[0]), size_of(out[1]));
	/* Its paths and its activity are not its own. */
	assert_int_equal(file_op(config, "/elsewhere", RD_OPEN), 0);
	assert_int_equal(size_of(out[0]), size_of(out[1]));
	assert_int_equal(rd_module_modify(first, "first", &mod), 0);
	assert_int_equal(rd_config_stat(config, "first", &stat), 0);
	assert_true(stat.active && stat.hooked);
	/* It goes while a chain has it. */
	size = size_of(out[0]);
	chain = rd_chain_find(config, file);
	assert_int_equal(rd_config_replace(config, desc + 1, 1, &diag), 0);
	rd_module_unload(first);
	{
		struct file_call fc = { .call = { .op = RD_OPEN, .type = S_IFREG, .path = file } };

		fc.call.chain = chain;
		assert_int_equal(file_call(&fc), 0);
	}
	rd_chain_unref(chain);
	assert_int_equal(size_of(out[0]), size);
	assert_true(size_of(out[1]) > size);
	/* What it was from has gone: it fails by its policy. */
	rd_module_unload(second);
	assert_int_equal(file_op(config, file, RD_OPEN), -EIO);
	unlink(out[0]);
	unlink(out[1]);
	rd_config_free(config);
}

/* What this process itself does in the tree is not asked about. */
static void test_own(void **state)
{
	struct file_call fc = { .call = { .op = RD_COPY_FILE_RANGE, .type = S_IFREG, .path = file } };
	char *argv[] = { (char *)"scrambleflt", dir, NULL };
	struct rd_config *config;
	struct rd_module *module;

	assert_int_equal(rd_config_new(&config), 0);
	module = load(config, "scrambleflt", 2, argv);
	fc.call.chain = rd_chain_find(config, file);
	assert_int_equal(file_call(&fc), -EXDEV);
	fc.call.caller.pid = getpid();
	assert_int_equal(file_call(&fc), 0);
	rd_chain_unref(fc.call.chain);
	rd_module_unload(module);
	rd_config_free(config);
}

static void copy(const char *from, const char *to)
{
	PFS_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC),
		      out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char buf[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
}

static void refuse(struct rd_config *config, const char *path, int want, const char *part)
{
	struct pfs_diag diag = { "" };
	struct rd_module *module = NULL;
	char *argv[] = { (char *)"x", NULL };

	assert_int_equal(rd_module_load(config, path, geteuid(), 1, argv, &module, &diag), want);
	if (!strstr(diag.text, part))
		fail_msg("%s: %s", path, diag.text);
}

static void test_untrusted(void **state)
{
	struct rd_config *config;
	char path[64];

	snprintf(path, sizeof(path), "%s/m.so", dir);
	assert_int_equal(rd_config_new(&config), 0);
	copy(module_path("scrambleflt"), path);
	assert_int_equal(chmod(path, 0620), 0);
	refuse(config, path, -EACCES, "may be written by others");
	assert_int_equal(chmod(path, 0602), 0);
	refuse(config, path, -EACCES, "may be written by others");
	assert_int_equal(chmod(path, 0600), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		refuse(config, path, -EACCES, "belongs to user 12345");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	copy("/proc/self/exe", path);
	refuse(config, path, -ENOEXEC, "m.so");
	assert_int_equal(truncate(path, 100), 0);
	refuse(config, path, -ENOEXEC, "m.so");
	copy(module_path("scrambleflt"), path);
	assert_int_equal(truncate(path, 5000), 0);
	refuse(config, path, -ENOEXEC, "m.so");
	unlink(path);
	refuse(config, path, -ENOENT, "m.so");
	refuse(config, dir, -EACCES, "is not a file");
	rd_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scramble),  cmocka_unit_test(test_dummy),
		cmocka_unit_test(test_adopt),	  cmocka_unit_test(test_own),
		cmocka_unit_test(test_untrusted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
