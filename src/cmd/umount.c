/*
 * umount - `pipesfs umount DIR`: ends all streams, then the mount
 *
 * Readers get EOF first, which umount(8) cannot do: it says that the mount is busy. A mount that is
 * dead or does not answer is detached all the same.
 */
#include "cmd/cmd.h"
#include "cmd/mounts.h"
#include "mount/mount.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#define ASK_TIME 2000  /* ms */
#define GONE_TIME 3000 /* ms from the answer until both processes have ended */

/* Is that process ours? Its number may come from another process namespace. */
static bool is_pipesfs(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	return !strncmp(name, "pipesfs", 7);
}

static void wait_gone(pid_t pid, uint64_t end)
{
	PFS_CLOSE int fd = is_pipesfs(pid) ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t now = pfs_clock_mono();

	if (fd >= 0 && now < end)
		poll(&poll_fd, 1, (int)((end - now) / 1000000) + 1);
}

static int force(const struct pfs_mountinfo *info, const char *why)
{
	int r = pfs_mount_detach(info->major, info->minor, true);

	if (r < 0 && r != -ENOENT)
		return pfs_fail("%s %s and cannot be detached: %s", info->dir, why, strerror(-r));
	pfs_say("%s %s; it was detached", info->dir, why);
	return 0;
}

/* Until it has gone, and both processes. */
static int wait_end(const struct pfs_mountinfo *info, pid_t keeper, pid_t server)
{
	uint64_t end = pfs_clock_mono() + GONE_TIME * 1000000ULL;
	struct pfs_mountinfo now;

	while (pfs_mountinfo_dev(info->major, info->minor, &now) == 0 && pfs_clock_mono() < end)
		usleep(2000);
	wait_gone(server, end);
	wait_gone(keeper, end);
	if (pfs_mountinfo_dev(info->major, info->minor, &now) == 0)
		return force(info, "did not end in time");
	return 0;
}

/* A redirected tree has no files of its own to be told by. */
static int end_redirected(const struct pfs_mountinfo *info)
{
	int r = pfs_mount_signal(info->minor, SIGTERM);

	if (r == -ESRCH)
		return force(info, "is dead");
	if (r < 0)
		return pfs_fail("cannot end %s: %s", info->dir, strerror(-r));
	return wait_end(info, 0, 0);
}

static int end_mount(const struct pfs_mountinfo *info)
{
	pid_t keeper = 0, streams = 0;
	int r = pfs_mount_end(info->dir, ASK_TIME, &keeper, &streams);

	if (r == -ETIMEDOUT)
		return force(info, "does not answer");
	if (r == -ENOTCONN || r == -ECONNABORTED)
		return force(info, "is dead");
	/*
	 * Root cannot enter the mount of an ordinary user, and nobody can write into one that is read
	 * only; but its process can be told.
	 */
	if ((r == -EACCES && geteuid() == 0) || r == -EROFS) {
		r = pfs_mount_signal(info->minor, SIGTERM);
		if (r < 0 && is_pipesfs(streams))
			r = kill(streams, SIGTERM);
		if (r < 0)
			return force(info, "does not let itself be told");
	}
	if (r < 0)
		return pfs_fail("cannot end %s: %s", info->dir, strerror(-r));
	return wait_end(info, keeper, streams);
}

static int umount_run(int argc, char **argv)
{
	struct pfs_mountinfo info;
	int r = mounts_target(&pfs_cmd_umount, argc, argv, &info);

	if (r)
		return r;
	return strcmp(info.type, PFS_REDIRECT_TYPE) != 0 ? end_mount(&info) : end_redirected(&info);
}

const struct pfs_command pfs_cmd_umount = {
	.name = "umount",
	.summary = "end the streams of the mount on DIR, and the mount; or a redirected tree",
	.operands = "DIR",
	.words = PFS_WORDS_MOUNT,
	.help = "Readers get end of file, writers that wait an error, then the mount is detached. umount(8)\n"
		"does it too when nobody has a file open. A dead mount, or one that does not answer, is\n"
		"detached all the same.\n",
	.run = umount_run,
};
