/*
 * main - finds the subcommand and runs it
 *
 * Called as mount.fuse.pipesfs (by mount(8), fstab) or as `pipesfs SOURCE DIR -o ...` (by
 * mount.fuse(8)) it is `pipesfs mount`, whose argument SOURCE is dropped: there is nothing below to
 * be mounted.
 */
#include "cmd/cmd.h"

#include "config.h"

#include <libgen.h>
#include <stdio.h>

static const struct pfs_command *const commands[] = {
	&pfs_cmd_mount, &pfs_cmd_umount, &pfs_cmd_abort, &pfs_cmd_portal, &pfs_cmd_ls,
	&pfs_cmd_stat,	&pfs_cmd_doctor, &pfs_cmd_demo,	 NULL,
};

static const struct pfs_command *find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void list(FILE *to)
{
	fputs("usage: pipesfs COMMAND [ARGUMENT...]\n"
	      "A directory is a running filter, a path a pipeline, a pipe file its live stream.\n\n",
	      to);
	for (size_t i = 0; commands[i]; i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("  help     [COMMAND] say what a command does\n", to);
}

static int help(int argc, char **argv)
{
	const struct pfs_command *cmd = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 1 && !cmd)
		return pfs_fail("there is no command '%s'; `pipesfs help` lists them", argv[1]);
	if (!cmd) {
		list(stdout);
		return 0;
	}
	printf("usage: pipesfs %s %s\n%s.\n", cmd->name, cmd->usage, cmd->summary);
	if (cmd->help)
		printf("\n%s", cmd->help);
	if (cmd->more_help) {
		PFS_BUF struct pfs_buf text = { 0 };

		cmd->more_help(&text);
		printf("\n%s", text.data ? text.data : "");
	}
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

int main(int argc, char **argv)
{
	const char *name = argc ? basename(argv[0]) : "pipesfs";

	if (!strncmp(name, "mount.", 6))
		return mount_helper(argc, argv);
	if (argc < 2) {
		list(stderr);
		return PFS_EXIT_USAGE;
	}

	const struct pfs_command *cmd = find(argv[1]);

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
