/*
 * servers - the processes behind a mount that does not answer, or may not be asked
 */
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

int pfs_mount_signal(unsigned minor, int number)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int r = -ESRCH;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !serves(entry->d_name, minor))
			continue;
		if (kill((pid_t)strtol(entry->d_name, NULL, 10), number) == 0)
			r = 0;
		parent_continue(entry->d_name);
	}
	closedir(proc);
	return r;
}
