/*
 * mount - not there yet
 */
#include "cmd/cmd.h"

static int mount_run(int argc, char **argv)
{
	(void)argc;
	return pfs_fail("%s is not there yet", argv[0]);
}

const struct pfs_command pfs_cmd_mount = {
	.name = "mount",
	.summary = "not there yet",
	.usage = "DIR",
	.run = mount_run,
};
