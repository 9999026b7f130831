/*
 * abort - `pipesfs abort DIR`: ends a mount that hangs
 *
 * Nothing is asked and nothing is waited for: the connection is aborted in the kernel, so that
 * everybody who waits for an answer gets ECONNABORTED, even those whom kill -9 does not end, and
 * the mount is detached.
 */
#include "cmd/cmd.h"
#include "mount/mount.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>

/* Does this process hold the other end of the connection? The kernel says so from Linux 6.18 on. */
static bool serves(const char *pid, unsigned connection)
{
	char path[PATH_MAX], line[256];
	struct dirent *entry;
	unsigned number;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, entry->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "fuse_connection: %u", &number) == 1)
				found = number == connection;
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Its parent is the keeper, which sees it end, unless it is stopped as well. */
static void parent_continue(const char *pid)
{
	char path[64], line[256];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	if (f)
		fclose(f);
	if (parent > 1)
		kill(parent, SIGCONT);
}

/* A stopped process does not notice the abort: it is killed, where it can be found. */
static void kill_servers(unsigned connection)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    serves(entry->d_name, connection)) {
			kill((pid_t)atoi(entry->d_name), SIGKILL);
			parent_continue(entry->d_name);
		}
	if (proc)
		closedir(proc);
}

static int abort_run(int argc, char **argv)
{
	struct pfs_mountinfo info;
	PFS_FREE char *dir = NULL;
	int r;

	if (argc != 2 || argv[1][0] == '-')
		return pfs_usage(&pfs_cmd_abort, "one directory is needed");
	dir = realpath(argv[1], NULL);
	if (!dir)
		return pfs_fail("%s: %s", argv[1], strerror(errno));
	if (pfs_mountinfo_at(dir, &info) < 0 || strcmp(info.type, PFS_MOUNT_TYPE) != 0)
		return pfs_fail("no pipesfs is mounted on %s; `mount -t fuse.pipesfs` lists them",
				argv[1]);
	kill_servers(info.minor);
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
	.usage = "DIR",
	.run = abort_run,
};
