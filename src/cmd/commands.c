/*
 * commands - all of them, in the order of `pipesfs help`
 */
#include "cmd/cmd.h"

const struct pfs_command *const pfs_commands[] = {
	/* clang-format off */
	&pfs_cmd_mount,
	&pfs_cmd_umount,
	&pfs_cmd_abort,
	&pfs_cmd_run,
	&pfs_cmd_portal,
	&pfs_cmd_redirect,
	&pfs_cmd_ls,
	&pfs_cmd_stat,
	&pfs_cmd_graph,
	&pfs_cmd_top,
	&pfs_cmd_filter,
	&pfs_cmd_redirctl,
	&pfs_cmd_save,
	&pfs_cmd_restore,
	&pfs_cmd_doctor,
	&pfs_cmd_demo,
	&pfs_cmd_bench,
	&pfs_cmd_complete,
	NULL,
	/* clang-format on */
};

const struct pfs_command *pfs_command_find(const char *name)
{
	for (size_t i = 0; pfs_commands[i]; i++)
		if (!strcmp(pfs_commands[i]->name, name))
			return pfs_commands[i];
	return NULL;
}
