/*
 * layer - takes hold of the directory, mounts over it, answers
 */
#include "redir/layer.h"
#include "redir/layer_i.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/mountinfo.h"

#define TIMEOUT 1.0 /* s: nobody tells us what others change */
#define KEPT_MAX 1024
#define FILES_LIKELY 1024 /* that are open at the same time */
#define THREADS_IDLE 4
#define STACK_OVERLAY 0x794c7630
#define STACK_FUSE 0x65735546

/* linux/fuse.h of older headers does not know them. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

/* --- passthrough ---------------------------------------------------------------------- */

int rd_backing_open(struct rd_layer *layer, int fd)
{
	struct backing_map map = { .fd = fd };
	int id = ioctl(fuse_session_fd(layer->se), BACKING_OPEN, &map);

	/* Not allowed, or not with what is below: asking again for each file would be dear. */
	if (id < 0 && (errno == EPERM || errno == ENOTTY || errno == ELOOP || errno == EOPNOTSUPP))
		atomic_store(&layer->passthrough, false);
	return id > 0 ? id : 0;
}

void rd_backing_close(struct rd_layer *layer, int id)
{
	uint32_t number = (uint32_t)id;

	(void)ioctl(fuse_session_fd(layer->se), BACKING_CLOSE, &number);
}

/* --- the kernel says hello ------------------------------------------------------------ */

#ifdef HAVE_FUSE_PASSTHROUGH
static bool want(struct fuse_conn_info *conn, uint64_t flag)
{
	return fuse_set_feature_flag(conn, flag);
}

static void unwant(struct fuse_conn_info *conn, uint64_t flag)
{
	fuse_unset_feature_flag(conn, flag);
}
#else
static bool want(struct fuse_conn_info *conn, unsigned flag)
{
	if (!(conn->capable & flag))
		return false;
	conn->want |= flag;
	return true;
}

static void unwant(struct fuse_conn_info *conn, unsigned flag)
{
	conn->want &= ~flag;
}
#endif

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	struct rd_layer *layer = arg;

	conn->max_write = RD_REQUEST_MAX;
	want(conn, FUSE_CAP_POSIX_ACL);
	want(conn, FUSE_CAP_DONT_MASK);
	want(conn, FUSE_CAP_READDIRPLUS);
	unwant(conn, FUSE_CAP_READDIRPLUS_AUTO);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_CACHE_SYMLINKS);
	want(conn, FUSE_CAP_IOCTL_DIR);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA);
	unwant(conn, FUSE_CAP_WRITEBACK_CACHE);
	unwant(conn, FUSE_CAP_SPLICE_READ);
	unwant(conn, FUSE_CAP_POSIX_LOCKS);
	unwant(conn, FUSE_CAP_FLOCK_LOCKS);
#ifdef HAVE_FUSE_PASSTHROUGH
	layer->killpriv = want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	if (layer->want_passthrough && want(conn, FUSE_CAP_PASSTHROUGH)) {
		conn->max_backing_stack_depth = layer->stacked ? FUSE_BACKING_STACKED_OVER
							       : FUSE_BACKING_STACKED_UNDER;
		atomic_store(&layer->passthrough, true);
	}
#endif
	eventfd_write(layer->ready_fd, 1);
}

static void ops_fill(struct fuse_lowlevel_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
	ops->init = op_init;
	rd_ops_name(ops);
	rd_ops_attr(ops);
	rd_ops_file(ops);
	rd_ops_dir(ops);
}

/* --- taking hold ---------------------------------------------------------------------- */

static int tree_copy(const char *dir)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, dir,
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT);
}

static int submount_note(void *arg, const struct pfs_mountinfo *info)
{
	struct rd_layer *layer = arg;
	size_t n = strlen(layer->dir);
	void *more;

	if (strncmp(info->dir, layer->dir, n) != 0 || info->dir[n] != '/')
		return 0;
	/* One mounted over another at the same place: what is seen is the last. */
	for (size_t i = 0; i < layer->submounts; i++)
		if (!strcmp(layer->submount[i].path, info->dir))
			return 0;
	more = reallocarray(layer->submount, layer->submounts + 1, sizeof(*layer->submount));
	if (!more)
		return -ENOMEM;
	layer->submount = more;
	layer->submount[layer->submounts].path = strdup(info->dir);
	layer->submount[layer->submounts].fd = tree_copy(info->dir);
	layer->submounts++;
	return layer->submount[layer->submounts - 1].path ? 0 : -ENOMEM;
}

/* May files be found by handle? Tried with the directory itself. */
static void handles_probe(struct rd_layer *layer)
{
	union {
		struct file_handle h;
		unsigned char room[sizeof(struct file_handle) + RD_HANDLE_MAX];
	} u = { .h = { .handle_bytes = RD_HANDLE_MAX } };
	int mount, fd = -1, mount_fd = openat(layer->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (mount_fd >= 0 && name_to_handle_at(mount_fd, "", &u.h, &mount, AT_EMPTY_PATH) == 0)
		fd = open_by_handle_at(mount_fd, &u.h, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		layer->mount_fd = TAKE_FD(mount_fd);
	pfs_closep(&fd);
	pfs_closep(&mount_fd);
}

static int take_hold(struct rd_layer *layer, struct pfs_diag *diag)
{
	struct statfs st;

	layer->root_fd = tree_copy(layer->dir);
	if (layer->root_fd < 0)
		layer->root_fd = open(layer->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	else if (pfs_mountinfo_each(submount_note, layer) < 0)
		return pfs_diag_set(diag, ENOMEM, "out of memory");
	if (layer->root_fd < 0)
		return pfs_diag_set(diag, errno, "cannot open %s: %s", layer->dir, strerror(errno));
	layer->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (layer->proc_fd < 0)
		return pfs_diag_set(diag, errno, "/proc/self/fd is not there: mount /proc");
	if (fstatfs(layer->root_fd, &st) == 0)
		layer->stacked = st.f_type == STACK_OVERLAY || st.f_type == STACK_FUSE;
	handles_probe(layer);
	return 0;
}

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

/* As the filesystem below is mounted, so are we. */
static void mount_options(const struct rd_layer *layer, bool allow_other, struct pfs_buf *text)
{
	static const struct {
		unsigned long flag;
		const char *set, *clear;
	} flags[] = {
		{ ST_RDONLY, ",ro", "" },	{ ST_NOSUID, ",nosuid", ",suid" },
		{ ST_NODEV, ",nodev", ",dev" }, { ST_NOEXEC, ",noexec", "" },
		{ ST_NOATIME, ",noatime", "" },
	};
	struct statvfs st;

	pfs_buf_str(text, "fsname=redirfs,subtype=redirfs,default_permissions");
	if (allow_other || layer->privileged)
		pfs_buf_str(text, ",allow_other");
	if (fstatvfs(layer->root_fd, &st) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (layer->privileged || i == 0)
			pfs_buf_str(text, st.f_flag & flags[i].flag ? flags[i].set : flags[i].clear);
}

static int session_new(struct rd_layer *layer, bool allow_other, struct pfs_diag *diag)
{
	char *argv[] = { (char *)"pipesfs", (char *)"-o", NULL, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	PFS_BUF struct pfs_buf text = { 0 };
	struct fuse_lowlevel_ops ops;

	mount_options(layer, allow_other, &text);
	if (text.failed)
		return pfs_diag_set(diag, ENOMEM, "out of memory");
	unsetenv("FUSE_URING_ENABLE");
	argv[2] = text.data;
	ops_fill(&ops);
	fuse_set_log_func(fuse_log_keep);
	layer->se = fuse_session_new(&args, &ops, sizeof(ops), layer);
	fuse_opt_free_args(&args);
	if (!layer->se || fuse_session_mount(layer->se, layer->dir) < 0)
		return pfs_diag_set(diag, EIO, "cannot mount on %s: %s", layer->dir,
				    fuse_said[0] ? fuse_said : "no reason was given");
	return 0;
}

void rd_layer_submounts(struct rd_layer *layer)
{
	for (size_t i = 0; i < layer->submounts; i++)
		if (layer->submount[i].fd >= 0) {
			(void)syscall(SYS_move_mount, layer->submount[i].fd, "", AT_FDCWD,
				      layer->submount[i].path, MOVE_MOUNT_F_EMPTY_PATH);
			close(TAKE_FD(layer->submount[i].fd));
		}
}

/* --- life ----------------------------------------------------------------------------- */

static void limits_prepare(struct rd_layer *layer)
{
	struct rlimit limit;

	layer->kept.max = KEPT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	layer->kept.max = (unsigned)pfs_min64(KEPT_MAX, limit.rlim_cur / 4);
}

int rd_layer_new(const struct rd_layer_options *options, struct rd_layer **ret_layer,
		 struct pfs_diag *diag)
{
	struct rd_layer *layer = pfs_zalloc(1, sizeof(*layer));
	int r;

	if (!layer)
		return pfs_diag_set(diag, ENOMEM, "out of memory");
	layer->root_fd = layer->mount_fd = layer->proc_fd = layer->ready_fd = layer->ended_fd = -1;
	layer->chains = options->chains;
	layer->config = options->config;
	layer->timeout = TIMEOUT;
	pthread_mutex_init(&layer->calls.lock, NULL);
	layer->calls.end = &layer->calls.first;
	layer->dir = strdup(options->dir);
	limits_prepare(layer);
	rd_caller_prepare(layer);
	layer->want_passthrough = !options->no_passthrough && geteuid() == 0;
	layer->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	layer->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!layer->dir || layer->ready_fd < 0 || layer->ended_fd < 0)
		r = pfs_diag_set(diag, ENOMEM, "out of memory or descriptors");
	else
		r = take_hold(layer, diag);
	if (r == 0) {
		r = rd_objects_init(layer);
		if (r < 0)
			pfs_diag_set(diag, -r, "cannot look at %s: %s", layer->dir, strerror(-r));
	}
	if (r == 0)
		r = session_new(layer, options->allow_other, diag);
	if (r < 0) {
		rd_layer_free(layer);
		return r;
	}
	*ret_layer = layer;
	return 0;
}

static void *layer_thread(void *arg)
{
	struct rd_layer *layer = arg;
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, RD_THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE);
	fuse_session_loop_mt(layer->se, config);
	fuse_loop_cfg_destroy(config);
	eventfd_write(layer->ended_fd, 1);
	return NULL;
}

/*
 * The kernel enlarges the table of descriptors by doubling it, and when there are threads each time makes whoever opens
 * something wait until no CPU can still look at the old one: 15 ms, in which a caller waits. So it gets its size now.
 * fork(2) would make it small again.
 */
static void descriptors_reserve(const struct rd_layer *layer)
{
	struct rlimit limit;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	fd = (int)pfs_min64(layer->kept.max + FILES_LIKELY, limit.rlim_cur) - 1;
	fd = fcntl(layer->root_fd, F_DUPFD_CLOEXEC, fd);
	if (fd >= 0)
		close(fd);
}

int rd_layer_start(struct rd_layer *layer, pid_t keeper)
{
	int r;

	layer->keeper = keeper;
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* The keeper mounts them; with ours they would stay busy. */
	for (size_t i = 0; i < layer->submounts; i++)
		if (layer->submount[i].fd >= 0)
			close(TAKE_FD(layer->submount[i].fd));
	descriptors_reserve(layer);
	layer->running = true;
	r = -pthread_create(&layer->thread, NULL, layer_thread, layer);
	if (r < 0)
		layer->running = false;
	return r;
}

int rd_layer_ready_fd(const struct rd_layer *layer)
{
	return layer->ready_fd;
}

int rd_layer_ended_fd(const struct rd_layer *layer)
{
	return layer->ended_fd;
}

int rd_layer_stop(struct rd_layer *layer, unsigned milliseconds)
{
	struct pollfd fd = { .fd = layer->ended_fd, .events = POLLIN };

	if (!layer->running)
		return 0;
	fuse_session_exit(layer->se);
	if (poll(&fd, 1, (int)milliseconds) <= 0)
		return -ETIMEDOUT;
	pthread_join(layer->thread, NULL);
	layer->running = false;
	return 0;
}

void rd_layer_leave(struct rd_layer *layer)
{
	fuse_session_destroy(TAKE_PTR(layer->se));
}

void rd_layer_free(struct rd_layer *layer)
{
	if (!layer)
		return;
	if (layer->root)
		rd_objects_release(layer);
	if (layer->se)
		fuse_session_destroy(layer->se);
	for (size_t i = 0; i < layer->submounts; i++) {
		pfs_closep(&layer->submount[i].fd);
		free(layer->submount[i].path);
	}
	free(layer->submount);
	pthread_mutex_destroy(&layer->calls.lock);
	pfs_closep(&layer->root_fd);
	pfs_closep(&layer->mount_fd);
	pfs_closep(&layer->proc_fd);
	pfs_closep(&layer->ready_fd);
	pfs_closep(&layer->ended_fd);
	free(layer->dir);
	free(layer);
}

void rd_layer_numbers(struct rd_layer *layer, struct rd_layer_numbers *ret_numbers)
{
	*ret_numbers = (struct rd_layer_numbers){
		.requests = atomic_load(&layer->requests),
		.asked = atomic_load(&layer->asked),
		.objects = atomic_load(&layer->objects),
		.passthrough_opens = atomic_load(&layer->passed_opens),
		.other_opens = atomic_load(&layer->other_opens),
	};
}
