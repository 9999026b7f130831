/*
 * place - finds or makes a mount
 */
#include "cmd/place.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cmd/cmd.h"
#include "cmd/mounts.h"
#include "mount/mount.h"

#define PREFIX "pipesfs-run."
#define ANSWER_MS 2000

bool place_is_private(const char *point)
{
	const char *slash = strrchr(point, '/');

	return slash && !strncmp(slash + 1, PREFIX, strlen(PREFIX));
}

/* --- what is there ------------------------------------------------------------------------------ */

/* The only one that is for everybody. NULL: none, or several. */
static const struct mounts_entry *only_mount(const struct mounts *mounts, size_t *ret_n)
{
	const struct mounts_entry *found = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < mounts->n; i++) {
		if (place_is_private(mounts->entry[i].point))
			continue;
		found = &mounts->entry[i];
		++*ret_n;
	}
	return *ret_n == 1 ? found : NULL;
}

/* Does it answer, and may we make something in it? */
static bool is_for_us(const struct mounts_entry *entry)
{
	PFS_BUF struct pfs_buf path = { 0 };

	pfs_buf_printf(&path, "%s/.run", entry->point);
	return !path.failed && pfs_mount_answers(entry->point, ANSWER_MS) == 0 &&
	       access(path.data, R_OK | W_OK) == 0;
}

static int take(const char *root, struct place *ret_place)
{
	*ret_place = (struct place){ .root = strdup(root) };
	return ret_place->root ? 0 : pfs_fail("not enough memory");
}

static int find_in(const struct mounts *mounts, const char *dir, struct place *ret_place)
{
	const struct mounts_entry *entry;
	PFS_FREE char *path = NULL;
	struct pfs_diag diag = { "" };
	int r = mounts_find(mounts, dir, &path, &entry, &diag);

	return r < 0 ? pfs_fail("%s", diag.text) : take(entry->point, ret_place);
}

int place_find(const char *dir, struct place *ret_place)
{
	MOUNTS struct mounts mounts = { 0 };
	const struct mounts_entry *entry;
	int r = mounts_read(&mounts);
	size_t n;

	if (r < 0)
		return pfs_fail("/proc/self/mountinfo: %s", strerror(-r));
	if (dir)
		return find_in(&mounts, dir, ret_place);
	entry = only_mount(&mounts, &n);
	return entry && is_for_us(entry) ? take(entry->point, ret_place) : place_private(ret_place);
}

int place_mounted(const char *dir, struct place *ret_place)
{
	MOUNTS struct mounts mounts = { 0 };
	const struct mounts_entry *entry;
	int r = mounts_read(&mounts);
	size_t n;

	if (r < 0)
		return pfs_fail("/proc/self/mountinfo: %s", strerror(-r));
	entry = only_mount(&mounts, &n);
	if (!dir && !entry)
		return n ? pfs_fail("%zu pipesfs are mounted: say which one; `pipesfs ls` names them", n)
			 : pfs_fail("no pipesfs is mounted here; `pipesfs mount DIR` mounts one");
	return find_in(&mounts, dir ? dir : entry->point, ret_place);
}

/* --- a private one --------------------------------------------------------------------------------- */

/* In the child. The parent's end is SIGTERM for us, and the mount's end. */
static void keeper_main(char *dir, int ready_fd, pid_t parent)
{
	struct pfs_mount_options options;
	int status = PFS_EXIT_FAILED;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setsid();
	pfs_mount_options_init(&options);
	options.dir = dir;
	options.allow_other = false;
	if (getppid() == parent)
		status = pfs_keeper_run(&options, ready_fd);
	rmdir(dir);
	_exit(status);
}

/* End of file without a byte: it has died, and has said why. */
static bool is_ready(int fd)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

int place_private(struct place *ret_place)
{
	const char *env = getenv("TMPDIR");
	PFS_FREE char *tmp = realpath(env && *env == '/' ? env : "/tmp", NULL);
	PFS_CLOSE int ready = -1;
	struct place place = { 0 };
	pid_t self = getpid();
	int fds[2];

	if (asprintf(&place.root, "%s/" PREFIX "XXXXXX", tmp ? tmp : "/tmp") < 0)
		return pfs_fail("not enough memory");
	if (!mkdtemp(place.root)) {
		pfs_say("cannot make a directory for a private mount: %s: %s", place.root,
			strerror(errno));
		free(place.root);
		return PFS_EXIT_FAILED;
	}
	fflush(NULL);
	place.keeper = pipe2(fds, O_CLOEXEC) < 0 ? -1 : fork();
	if (place.keeper < 0) {
		pfs_say("no process for a private mount: %s", strerror(errno));
		rmdir(place.root);
		free(place.root);
		return PFS_EXIT_FAILED;
	}
	if (place.keeper == 0) {
		close(fds[0]);
		keeper_main(place.root, fds[1], self);
	}
	close(fds[1]);
	ready = fds[0];
	if (!is_ready(ready)) {
		place_release(&place);
		return pfs_fail(
			"nothing could be mounted privately in %s; `pipesfs doctor` tells what is missing",
			tmp ? tmp : "/tmp");
	}
	*ret_place = place;
	return 0;
}

void place_release(struct place *place)
{
	int status;

	if (place->keeper > 0) {
		kill(place->keeper, SIGTERM);
		while (waitpid(place->keeper, &status, 0) < 0 && errno == EINTR)
			;
		rmdir(place->root); /* in a directory of somebody else's the keeper could not */
	}
	free(place->root);
	*place = (struct place){ 0 };
}
