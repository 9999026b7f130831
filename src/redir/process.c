/*
 * process - what the keeper and the server of a redirected tree do
 */
#include "redir/process.h"
#include "redir/process_i.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/detach.h"
#include "base/log.h"
#include "base/mountinfo.h"

#define LINGER 500 /* ms for those that have files open */

static const struct rd_chains chains = {
	.find = rd_chain_find,
	.ref = rd_chain_ref,
	.unref = rd_chain_unref,
	.serial = rd_config_serial,
	.wants = rd_chain_wants,
	.wants_data = rd_chain_wants_data,
	.own = rd_chain_own,
	.run = rd_call_run,
	.data_get = rd_data_get,
	.data_put = rd_data_put,
	.slots_release = rd_slots_release,
};

/* --- filters -------------------------------------------------------------------------- */

int rd_process_args(char *copy, char **argv, struct pfs_diag *diag)
{
	char *rest = copy;
	int argc = 0;

	while (rest && argc < RD_MODULE_ARGS - 1)
		argv[argc++] = strsep(&rest, ",");
	argv[argc] = NULL;
	return rest ? pfs_diag_set(diag, E2BIG, "there are more than %d arguments", argc - 1) : argc;
}

/* "FILE.so,argument,..." */
static int load(struct rd_process *process, const char *text, struct pfs_diag *diag)
{
	PFS_FREE char *copy = strdup(text);
	char *argv[RD_MODULE_ARGS + 1];
	int argc = copy ? rd_process_args(copy, argv, diag) : -ENOMEM;

	return argc < 0 ? argc
			: rd_module_load(process->config, argv[0], geteuid(), argc, argv,
					 &process->modules[process->n_modules], diag);
}

/* Once the tree is served: a shared object, or what it needs, may lie there. */
static int filters_start(struct rd_process *process, struct pfs_diag *diag)
{
	const struct rd_process_options *options = process->options;
	int r = 0;

	if (!process->config)
		return 0;
	process->modules = pfs_zalloc(options->n_load + 1, sizeof(struct rd_module *));
	if (!process->modules)
		return pfs_diag_set(diag, ENOMEM, "out of memory");
	while (r == 0 && process->n_modules < options->n_load) {
		r = load(process, options->load[process->n_modules], diag);
		if (r == 0)
			process->n_modules++;
	}
	if (r == 0 && options->listen)
		r = rd_server_new(process->config, options->listen, &process->server, diag);
	if (r < 0 && !diag->text[0])
		pfs_diag_set(diag, -r, "%s", strerror(-r));
	return r;
}

/* The layer has gone: nobody keeps anything of theirs. */
static void filters_free(struct rd_process *process)
{
	rd_process_link_release(process);
	while (process->n_modules > 0)
		rd_module_unload(process->modules[--process->n_modules]);
	free(TAKE_PTR(process->modules));
	rd_config_free(TAKE_PTR(process->config));
}

/* --- the server ----------------------------------------------------------------------- */

static int signals_prepare(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

/* SIGHUP from somebody is no reason to end. */
static bool signal_ends(int signal_fd)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo != SIGHUP ||
	       info.ssi_code > 0;
}

/* Until there is a reason to end. True: the mount has gone by itself. */
static bool wait_for_end(struct rd_process *process, int signal_fd, int keeper_fd)
{
	enum { SIGNAL, KEEPER, ENDED, READY, LINK, COUNT };
	struct pollfd fds[COUNT] = {
		[SIGNAL] = { .fd = signal_fd, .events = POLLIN },
		[KEEPER] = { .fd = keeper_fd, .events = POLLIN },
		[ENDED] = { .fd = rd_layer_ended_fd(process->layer), .events = POLLIN },
		[READY] = { .fd = rd_layer_ready_fd(process->layer), .events = POLLIN },
		[LINK] = { .fd = process->link_fd }, /* its end */
	};

	for (;;) {
		if (poll(fds, COUNT, -1) < 0 && errno != EINTR)
			return false;
		if (fds[ENDED].revents)
			return true;
		if (fds[SIGNAL].revents && signal_ends(signal_fd))
			return false;
		/* The keeper says nothing: it has died. */
		if (fds[KEEPER].revents || fds[LINK].revents)
			return false;
		if (fds[READY].revents) {
			fds[READY].fd = -1;
			if (!process->options->foreground)
				pfs_log_to_syslog();
			send(keeper_fd, PFS_KEEPER_READY, sizeof(PFS_KEEPER_READY), MSG_NOSIGNAL);
		}
	}
}

static int serve(void *arg, int keeper_fd)
{
	struct rd_process *process = arg;
	const struct pfs_kept *kept = &process->kept;
	int signal_fd = signals_prepare(), r;
	struct pfs_diag diag = { "" };
	bool by_itself;

	pfs_closep(&process->begun_fd);
	prctl(PR_SET_NAME, "pipesfs-redir");
	r = signal_fd < 0 ? -errno : rd_layer_start(process->layer, getppid());
	if (r == 0 && process->link_fd >= 0)
		r = rd_process_link_start(process);
	if (r < 0) {
		pfs_log("cannot start: %s", strerror(-r));
		return 1;
	}
	if (filters_start(process, &diag) < 0) {
		char text[sizeof(diag.text) + 16];
		int n = snprintf(text, sizeof(text), "cannot start: %.230s", diag.text);

		rd_server_free(process->server);
		send(keeper_fd, text, (size_t)n, MSG_NOSIGNAL);
		return 1;
	}
	by_itself = wait_for_end(process, signal_fd, keeper_fd);
	/* Once unmounted, our device number may be that of another mount. */
	if (!by_itself || !pfs_mount_is_gone(kept->unique))
		pfs_mount_detach(kept->dev_major, kept->dev_minor, false);
	/* Who still has files open gets errors from here on, when this process ends. */
	r = rd_layer_stop(process->layer, LINGER);
	/* What filters in other processes still have ends here. */
	rd_server_free(process->server);
	if (r == 0 && (process->link_fd < 0 || rd_process_link_join(process, LINGER))) {
		rd_layer_free(process->layer);
		filters_free(process);
	}
	return 0;
}

static void leave(void *arg)
{
	struct rd_process *process = arg;

	rd_layer_leave(process->layer);
	pfs_closep(&process->link_fd);
	pfs_closep(&process->begin_fd);
}

static void ready(void *arg)
{
	struct rd_process *process = arg;

	rd_layer_submounts(process->layer);
	rd_layer_free(TAKE_PTR(process->layer));
}

/* Takes hold of the tree, and mounts. */
static int hold(struct rd_process *process, struct pfs_diag *diag)
{
	const struct rd_process_options *options = process->options;
	struct rd_layer_options layer = options->layer;
	struct pfs_mountinfo info;
	int r;

	if (options->n_load > 0 || options->listen || options->link_fd >= 0) {
		r = rd_config_new(&process->config);
		if (r < 0)
			return pfs_diag_set(diag, -r, "%s", strerror(-r));
		layer.chains = &chains;
		layer.config = process->config;
	}
	r = rd_layer_new(&layer, &process->layer, diag);
	if (r < 0)
		return r;
	r = pfs_mountinfo_at(layer.dir, &info);
	if (r < 0) {
		rd_layer_free(TAKE_PTR(process->layer));
		return pfs_diag_set(diag, -r,
				    "cannot find the mount on %s in /proc/self/mountinfo: %s",
				    layer.dir, strerror(-r));
	}
	process->kept.dev_major = info.major;
	process->kept.dev_minor = info.minor;
	process->kept.unique = pfs_mount_unique(layer.dir);
	return 0;
}

/* What begin_fd is the other end of; it is the keeper who writes. */
static int begin_prepare(struct rd_process *process, int *ret_ready_fd)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	process->begin_fd = fds[0];
	process->begun_fd = *ret_ready_fd = fds[1];
	return 0;
}

int rd_process_run(const struct rd_process_options *options, int ready_fd)
{
	struct rd_process process = {
		.options = options,
		.link_fd = options->link_fd,
		.begin_fd = -1,
		.begun_fd = -1,
		.empty_fd = -1,
		.kept = {
			.dir = options->layer.dir,
			.stall = options->stall,
			.foreground = options->foreground,
			.lost = "the original is there again",
			.serve = serve,
			.leave = leave,
			.ready = ready,
			.arg = &process,
		},
	};
	int signal_fd = pfs_keeper_prepare(), r;

	if (signal_fd < 0)
		return 1;
	if (process.link_fd >= 0 && !rd_process_link_wait(&process))
		return 0;
	r = hold(&process, &process.failure);
	if (r == 0 && process.link_fd >= 0)
		r = begin_prepare(&process, &ready_fd);
	if (r == 0) {
		r = pfs_keeper_keep(&process.kept, signal_fd, ready_fd);
	} else {
		pfs_log("%s", process.failure.text);
		if (process.link_fd >= 0)
			rd_process_link_serve(&process);
		r = 1;
	}
	rd_config_free(process.config);
	return r;
}
