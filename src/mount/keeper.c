/*
 * keeper - mounts, and keeps (base/keeper.h) the process that serves
 */
#include "mount/mount_i.h"

#include <stdio.h>

/* --- mounting ------------------------------------------------------------------------- */

/* What libfuse said last: the reason why it could not mount. */
static char fuse_said[256];

static void fuse_log_keep(enum fuse_log_level level, const char *fmt, va_list ap)
{
	if (level > FUSE_LOG_ERR)
		return;
	vsnprintf(fuse_said, sizeof(fuse_said), fmt, ap);
	fuse_said[strcspn(fuse_said, "\n")] = '\0';
}

static void fuse_log_say(enum fuse_log_level level, const char *fmt, va_list ap)
{
	fuse_log_keep(level, fmt, ap);
	if (level <= FUSE_LOG_ERR)
		pfs_log("%s", fuse_said);
}

static int session_new(struct pfs_mount *mount, const struct pfs_mount_options *options)
{
	char *argv[] = { (char *)"pipesfs", (char *)"-o", NULL, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	PFS_BUF struct pfs_buf text = { 0 };

	pfs_buf_str(&text, "fsname=pipesfs,subtype=pipesfs,default_permissions");
	if (options->allow_other)
		pfs_buf_str(&text, ",allow_other");
	if (options->kernel.len)
		pfs_buf_printf(&text, ",%s", options->kernel.data);
	if (text.failed)
		return -ENOMEM;
	/* That transport cannot interrupt a read that waits. */
	unsetenv("FUSE_URING_ENABLE");
	argv[2] = text.data;
	mount->se = fuse_session_new(&args, &pfs_mount_ops, sizeof(pfs_mount_ops), mount);
	fuse_opt_free_args(&args);
	return mount->se ? 0 : -EINVAL;
}

static int do_mount(struct pfs_mount *mount, const struct pfs_mount_options *options)
{
	struct pfs_mountinfo info;
	int r;

	struct pfs_diag diag;

	fuse_set_log_func(fuse_log_keep);
	/* While nothing is mounted there: afterwards we would ask ourselves. */
	mount->knows_where = pfs_where_init(&mount->where, options->dir, &diag) == 0;
	r = session_new(mount, options);
	if (r == 0 && fuse_session_mount(mount->se, options->dir) < 0)
		r = -EIO;
	if (r < 0) {
		pfs_log("cannot mount on %s: %s", options->dir,
			fuse_said[0] ? fuse_said : strerror(-r));
		return r;
	}
	r = pfs_mountinfo_at(options->dir, &info);
	if (r < 0) {
		pfs_log("cannot find the mount on %s in /proc/self/mountinfo: %s", options->dir,
			strerror(-r));
		fuse_session_unmount(mount->se);
		return r;
	}
	mount->dev_major = info.major;
	mount->dev_minor = info.minor;
	mount->unique = pfs_mount_unique(options->dir);
	mount->where.has_own = true;
	mount->where.own_major = info.major;
	mount->where.own_minor = info.minor;
	fuse_set_log_func(fuse_log_say);
	return 0;
}

/* --- start ---------------------------------------------------------------------------- */

struct start {
	struct pfs_mount_options *options;
	struct pfs_mount *mount;
};

static int serve(void *arg, int keeper_fd)
{
	const struct start *start = arg;

	start->mount->keeper = getppid();
	return pfs_streams_run(start->options, start->mount, keeper_fd);
}

/* Our copy of /dev/fuse: streams has the only one, so that its end is the end. */
static void leave(void *arg)
{
	const struct start *start = arg;

	fuse_session_destroy(TAKE_PTR(start->mount->se));
}

int pfs_keeper_run(struct pfs_mount_options *options, int ready_fd)
{
	struct pfs_mount mount = { 0 };
	struct start start = { .options = options, .mount = &mount };
	struct pfs_kept kept = {
		.dir = options->dir,
		.stall = options->stall,
		.foreground = options->foreground,
		.lost = "its pipelines are gone: mount again",
		.serve = serve,
		.leave = leave,
		.arg = &start,
	};
	int signal_fd = pfs_keeper_prepare();

	if (signal_fd < 0 || do_mount(&mount, options) < 0)
		return 1;
	kept.dev_major = mount.dev_major;
	kept.dev_minor = mount.dev_minor;
	kept.unique = mount.unique;
	return pfs_keeper_keep(&kept, signal_fd, ready_fd);
}
