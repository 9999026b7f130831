/*
 * abort - not there yet
 */
#include "cmd/cmd.h"

static int abort_run(int argc, char **argv)
{
	(void)argc;
	return pfs_fail("%s is not there yet", argv[0]);
}

const struct pfs_command pfs_cmd_abort = {
	.name = "abort",
	.summary = "not there yet",
	.usage = "DIR",
	.run = abort_run,
};
