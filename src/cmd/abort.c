/*
 * abort - `pipesfs abort DIR`: ends a mount that hangs
 *
 * Nothing is asked and nothing is waited for: the connection is aborted in the kernel, so that
 * everybody who waits for an answer gets ECONNABORTED, even those whom kill -9 does not end, and
 * the mount is detached.
 */
#include "cmd/cmd.h"
#include "cmd/mounts.h"
#include "mount/mount.h"

#include <signal.h>
#include <stdio.h>

static int abort_run(int argc, char **argv)
{
	struct pfs_mountinfo info;
	int r = mounts_target(&pfs_cmd_abort, argc, argv, &info);

	if (r)
		return r;
	/* A stopped process does not notice the abort. */
	pfs_mount_signal(info.minor, SIGKILL);
	r = pfs_mount_abort(info.minor);
	if (r < 0 && geteuid() != 0)
		pfs_say("the connection cannot be aborted (%s): who waits may go on waiting; root "
			"can do it: mount -t fusectl none /sys/fs/fuse/connections",
			strerror(-r));
	r = pfs_mount_detach(info.major, info.minor, true);
	if (r < 0 && r != -ENOENT)
		return pfs_fail("cannot detach %s: %s", info.dir, strerror(-r));
	return 0;
}

const struct pfs_command pfs_cmd_abort = {
	.name = "abort",
	.summary = "end the mount on DIR that hangs: whoever waits gets an error",
	.operands = "DIR",
	.words = PFS_WORDS_MOUNT,
	.help = "For a mount that hangs: its processes are killed, the connection is aborted in the kernel and\n"
		"the mount detached, without asking anybody. Whoever waits gets ECONNABORTED, also those\n"
		"whom kill -9 does not end.\n",
	.run = abort_run,
};
