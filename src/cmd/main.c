/*
 * main - finds the subcommand and runs it
 *
 * Called as mount.fuse.pipesfs (by mount(8), fstab) or as `pipesfs SOURCE DIR -o ...` (by
 * mount.fuse(8)) it is `pipesfs mount`, whose argument SOURCE is dropped: there is nothing below to
 * be mounted. Called as redirctl it is `pipesfs redirctl`.
 */
#include "cmd/cmd.h"
#include "cmd/options.h"

#include "config.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>

static void list(FILE *to)
{
	fputs("usage: pipesfs COMMAND [ARGUMENT...]\n"
	      "A directory is a running filter, a path a pipeline, a pipe file its live stream.\n\n",
	      to);
	for (size_t i = 0; pfs_commands[i]; i++)
		fprintf(to, "  %-8s %s\n", pfs_commands[i]->name, pfs_commands[i]->summary);
	fputs("  help     [COMMAND] say what a command does\n", to);
}

static int help(int argc, char **argv)
{
	const struct pfs_command *cmd = argc > 1 ? pfs_command_find(argv[1]) : NULL;
	PFS_BUF struct pfs_buf text = { 0 };

	if (argc > 1 && !cmd)
		return pfs_fail("there is no command '%s'; `pipesfs help` lists them", argv[1]);
	if (!cmd) {
		list(stdout);
		return 0;
	}
	pfs_buf_printf(&text, "usage: pipesfs %s ", cmd->name);
	pfs_options_usage(cmd, &text);
	pfs_buf_printf(&text, "\n%s.\n", cmd->summary);
	if (pfs_options_count(cmd))
		pfs_buf_str(&text, "\n");
	pfs_options_help(cmd, &text);
	if (cmd->help)
		pfs_buf_printf(&text, "%s%s", pfs_options_count(cmd) ? "" : "\n", cmd->help);
	if (cmd->more_help) {
		pfs_buf_str(&text, "\n");
		cmd->more_help(&text);
	}
	fputs(text.data ? text.data : "", stdout);
	return 0;
}

/* mount(8) and mount.fuse(8) put a source first, which mount does not take. */
static int mount_helper(int argc, char **argv)
{
	if (argc < 3)
		return pfs_usage(&pfs_cmd_mount, "called as %s it needs SOURCE and DIR", argv[0]);
	argv[1] = (char *)"mount";
	return pfs_cmd_mount.run(argc - 1, argv + 1);
}

/*
 * Whoever closed the first three wants nothing there; files that we open are no place for what others say. Programs
 * that we start see them closed, as they were.
 */
static void standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *name = argc ? basename(argv[0]) : "pipesfs";

	standard_files();
	if (!strncmp(name, "mount.", 6))
		return mount_helper(argc, argv);
	if (!strcmp(name, "redirctl"))
		return pfs_cmd_redirctl.run(argc, argv);
	if (argc < 2) {
		list(stderr);
		return PFS_EXIT_USAGE;
	}

	const struct pfs_command *cmd = pfs_command_find(argv[1]);

	if (cmd && argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h")))
		return help(2, argv);
	if (cmd)
		return cmd->run(argc - 1, argv + 1);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("pipesfs %s, libfuse %s\n", PIPESFS_VERSION, PIPESFS_FUSE);
		return 0;
	}
	if (argc >= 4 && !strcmp(argv[3], "-o"))
		return mount_helper(argc, argv);
	pfs_say("there is no command '%s'; `pipesfs help` lists them", argv[1]);
	return PFS_EXIT_USAGE;
}
