/*
 * mount - `pipesfs mount [-f] [-o OPTION,...] DIR`
 *
 * Returns when the mount can be used. A dead pipesfs at DIR, left by a machine that lost its
 * processes, is taken away first.
 */
#include "cmd/background.h"
#include "cmd/mounts.h"
#include "cmd/options.h"
#include "cmd/pipelines.h"
#include "mount/mount.h"
#include "portal/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What of ours lies at DIR and lives stays. */
static int old_mount(const char *dir)
{
	struct pfs_mountinfo info;

	if (pfs_mountinfo_at(dir, &info) < 0 || strcmp(info.type, PFS_MOUNT_TYPE) != 0)
		return 0;
	return pfs_fail("a pipesfs is mounted on %s already; `pipesfs umount %s` ends it", dir, dir);
}

static int find_dir(struct pfs_mount_options *options, const char *name)
{
	struct stat st;
	int r = mounts_clear(name);

	if (r)
		return r;
	options->dir = realpath(name, NULL);
	if (!options->dir && errno == ENOENT)
		return pfs_fail("there is no directory %s; make it first: mkdir -p %s", name, name);
	if (!options->dir)
		return pfs_fail("%s: %s", name, strerror(errno));
	r = old_mount(options->dir);
	if (r)
		return r;
	if (stat(options->dir, &st) < 0)
		return pfs_fail("%s: %s", name, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return pfs_fail("%s is not a directory", name);
	return 0;
}

static int keep(void *arg, int ready_fd)
{
	return pfs_keeper_run(arg, ready_fd);
}

/* What `portals=FILE` would mean: the rules, and every complaint. */
static int check_config(const char *file)
{
	PFS_BUF struct pfs_buf all = { 0 }, text = { 0 };
	struct pfs_portal_rules *rules = NULL;
	struct pfs_diag diag = { "" };
	int r = pfs_portal_rules_load(file, &rules, &all, &diag);

	if (all.len)
		fputs(all.data, stderr);
	else if (r < 0)
		pfs_say("%s", diag.text[0] ? diag.text : strerror(-r));
	if (r < 0)
		return PFS_EXIT_FAILED;
	pfs_portal_rules_print(rules, &text);
	pfs_portal_rules_unref(rules);
	fputs(text.data ? text.data : "", stdout);
	return PFS_EXIT_OK;
}

/* What cannot be made is said, and does not stop the mount. */
static void start_pipelines(const struct pfs_mount_options *options)
{
	const char *folder = options->pipelines;

	if (folder ? *folder : geteuid() == 0)
		pipelines_make(options->dir, folder ? folder : PIPELINES_DIR, !folder);
	folder = options->redirections;
	if (folder ? *folder : geteuid() == 0)
		redirections_make(options->dir, folder ? folder : REDIRECTIONS_DIR, !folder);
}

/* The keeper in this process; a process of its own, nobody's child, waits for it and makes the pipelines. */
static int in_foreground(struct pfs_mount_options *options)
{
	int fds[2], status;
	pid_t pid;
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return pfs_fail("no pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		if (fork() == 0 && read(fds[0], &byte, 1) == 1)
			start_pipelines(options);
		_exit(0);
	}
	close(fds[0]);
	if (pid < 0)
		return pfs_fail("no process: %s", strerror(errno));
	waitpid(pid, &status, 0);
	return pfs_keeper_run(options, fds[1]);
}

static int mount_run(int argc, char **argv)
{
	struct pfs_mount_options options;
	struct pfs_diag diag = { "" };
	int c, r = 0;

	pfs_mount_options_init(&options);
	while ((c = pfs_getopt(&pfs_cmd_mount, argc, argv)) != -1) {
		if (c == 'C') {
			pfs_mount_options_release(&options);
			return check_config(optarg);
		}
		if (c == 'f')
			options.foreground = true;
		else if (c == 'o' && (r = pfs_mount_options_parse(&options, optarg, &diag)) < 0)
			return pfs_usage(&pfs_cmd_mount, "%s",
					 r == -ENOMEM ? "out of memory" : diag.text);
		else if (c == 'r' && (r = pfs_mount_options_parse(&options, "ro", &diag)) < 0)
			return pfs_fail("out of memory");
		else if (c == '?')
			return pfs_usage(&pfs_cmd_mount, NULL);
	}
	if (optind + 1 != argc)
		return pfs_usage(&pfs_cmd_mount, "one directory is needed");
	r = find_dir(&options, argv[optind]);
	if (r == 0)
		r = options.foreground ? in_foreground(&options) : pfs_background(keep, &options);
	if (r == 0 && !options.foreground)
		start_pipelines(&options);
	pfs_mount_options_release(&options);
	return r;
}

/* The last four are what mount(8) hands to its helpers. */
static const struct pfs_option mount_options[] = {
	{ .key = 'f', .letter = true, .help = "stay in the foreground and speak on standard error" },
	{ .key = 'o', .letter = true, .value = "OPTION,...", .words = PFS_WORDS_OPTIONS, .help = "see below" },
	{ .key = 'r', .letter = true, .help = "as -o ro" },
	{ .key = 'n', .letter = true },
	{ .key = 'w', .letter = true },
	{ .key = 's', .letter = true },
	{ .key = 'v', .letter = true },
	{ .key = 'C',
	  .name = "check-config",
	  .value = "FILE",
	  .help = "mount nothing: say how portal.conf (-o portals=FILE) is understood",
	  .words = PFS_WORDS_FILE },
	{ 0 },
};

const struct pfs_command pfs_cmd_mount = {
	.name = "mount",
	.summary = "mount the tree of running filters on DIR",
	.options = mount_options,
	.operands = "DIR",
	.words = PFS_WORDS_DIR,
	.help = "It returns when the mount can be used. An ordinary user needs fusermount3 and may write\n"
		"to DIR; nobody else can enter his mount.\n",
	.more_help = pfs_mount_options_help,
	.run = mount_run,
};
