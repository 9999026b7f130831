/*
 * redirect - `pipesfs redirect [-f] DIR`: a directory, redirected through filters
 */
#include "cmd/background.h"
#include "cmd/options.h"
#include "redir/process.h"

#include <stdio.h>
#include <sys/stat.h>

#define STALL 10000000000ULL /* ns */

static int keep(void *arg, int ready_fd)
{
	return rd_process_run(arg, ready_fd);
}

static int find_dir(const char *name, char **ret_dir)
{
	PFS_FREE char *dir = realpath(name, NULL);
	struct stat st;

	if (!dir && errno == ENOTCONN)
		return pfs_fail("what is mounted on %s is dead; take it away first: umount -l %s",
				name, name);
	if (!dir || stat(dir, &st) < 0)
		return pfs_fail("%s: %s", name, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return pfs_fail("%s is not a directory", name);
	*ret_dir = TAKE_PTR(dir);
	return 0;
}

static int redirect_run(int argc, char **argv)
{
	struct rd_process_options options = { .stall = STALL };
	PFS_FREE char *dir = NULL;
	int c, r;

	while ((c = pfs_getopt(&pfs_cmd_redirect, argc, argv)) != -1) {
		if (c == 'f')
			options.foreground = true;
		else if (c == 'P')
			options.layer.no_passthrough = true;
		else
			return pfs_usage(&pfs_cmd_redirect, NULL);
	}
	if (optind + 1 != argc)
		return pfs_usage(&pfs_cmd_redirect, "one directory is needed");
	r = find_dir(argv[optind], &dir);
	if (r)
		return r;
	options.layer.dir = dir;
	return options.foreground ? rd_process_run(&options, -1) : pfs_background(keep, &options);
}

static const struct pfs_option redirect_options[] = {
	{ .key = 'f', .letter = true, .help = "stay in the foreground and speak on standard error" },
	{ .key = 'P',
	  .name = "no-passthrough",
	  .help = "all data through this process, as a data filter needs it" },
	{ 0 },
};

const struct pfs_command pfs_cmd_redirect = {
	.name = "redirect",
	.summary = "overmount DIR by itself, so that filters see what is done there",
	.options = redirect_options,
	.operands = "DIR",
	.words = PFS_WORDS_DIR,
	.help = "It returns when the directory is redirected. umount(8) ends it, and so does SIGTERM; the original\n"
		"is seen again then. What was opened in the directory before is not redirected.\n",
	.run = redirect_run,
};
