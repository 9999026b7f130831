/*
 * process - what the keeper and the server of a redirected tree do
 */
#include "redir/process.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/detach.h"
#include "base/keeper.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "redir/inproc.h"
#include "redir/serve.h"

#define LINGER 500 /* ms for those that have files open */

struct process {
	const struct rd_process_options *options;
	struct rd_layer *layer;
	struct rd_config *config; /* NULL: no filters */
	struct rd_module **modules;
	size_t n_modules;
	struct rd_server *server;
	struct pfs_kept kept;
};

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

#define ARGS_MAX 64

/* "FILE.so,argument,..." */
static int load(struct process *process, const char *text, struct pfs_diag *diag)
{
	PFS_FREE char *copy = strdup(text);
	char *argv[ARGS_MAX + 1] = { NULL }, *rest = copy;
	int argc = 0;

	if (!copy)
		return -ENOMEM;
	while (rest && argc < ARGS_MAX)
		argv[argc++] = strsep(&rest, ",");
	if (rest)
		return pfs_diag_set(diag, E2BIG, "%.120s: more than %d arguments", argv[0],
				    ARGS_MAX - 1);
	return rd_module_load(process->config, argv[0], geteuid(), argc, argv,
			      &process->modules[process->n_modules], diag);
}

/* Once the tree is served: a shared object, or what it needs, may lie there. */
static int filters_start(struct process *process, struct pfs_diag *diag)
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
static void filters_free(struct process *process)
{
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
static bool wait_for_end(struct process *process, int signal_fd, int keeper_fd)
{
	enum { SIGNAL, KEEPER, ENDED, READY, COUNT };
	struct pollfd fds[COUNT] = {
		[SIGNAL] = { .fd = signal_fd, .events = POLLIN },
		[KEEPER] = { .fd = keeper_fd, .events = POLLIN },
		[ENDED] = { .fd = rd_layer_ended_fd(process->layer), .events = POLLIN },
		[READY] = { .fd = rd_layer_ready_fd(process->layer), .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, COUNT, -1) < 0 && errno != EINTR)
			return false;
		if (fds[ENDED].revents)
			return true;
		if (fds[SIGNAL].revents && signal_ends(signal_fd))
			return false;
		/* The keeper says nothing: it has died. */
		if (fds[KEEPER].revents)
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
	struct process *process = arg;
	const struct pfs_kept *kept = &process->kept;
	int signal_fd = signals_prepare(), r;
	struct pfs_diag diag = { "" };
	bool by_itself;

	prctl(PR_SET_NAME, "pipesfs-redir");
	r = signal_fd < 0 ? -errno : rd_layer_start(process->layer, getppid());
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
	if (r == 0) {
		rd_layer_free(process->layer);
		filters_free(process);
	}
	return 0;
}

static void leave(void *arg)
{
	struct process *process = arg;

	rd_layer_leave(process->layer);
}

static void ready(void *arg)
{
	struct process *process = arg;

	rd_layer_submounts(process->layer);
	rd_layer_free(TAKE_PTR(process->layer));
}

int rd_process_run(const struct rd_process_options *options, int ready_fd)
{
	struct rd_layer_options layer = options->layer;
	struct process process = {
		.options = options,
		.kept = {
			.dir = options->layer.dir,
			.stall = options->stall,
			.foreground = options->foreground,
			.lost = "the original is there again",
			.serve = serve,
			.leave = leave,
			.ready = ready,
		},
	};
	int signal_fd = pfs_keeper_prepare();
	struct pfs_mountinfo info;
	struct pfs_diag diag;
	int r;

	if (signal_fd < 0)
		return 1;
	if (options->n_load > 0 || options->listen) {
		r = rd_config_new(&process.config);
		if (r < 0) {
			pfs_log("%s", strerror(-r));
			return 1;
		}
		layer.chains = &chains;
		layer.config = process.config;
	}
	r = rd_layer_new(&layer, &process.layer, &diag);
	if (r < 0) {
		pfs_log("%s", diag.text);
		rd_config_free(process.config);
		return 1;
	}
	r = pfs_mountinfo_at(options->layer.dir, &info);
	if (r < 0) {
		pfs_log("cannot find the mount on %s in /proc/self/mountinfo: %s",
			options->layer.dir, strerror(-r));
		rd_layer_free(process.layer);
		rd_config_free(process.config);
		return 1;
	}
	process.kept.dev_major = info.major;
	process.kept.dev_minor = info.minor;
	process.kept.unique = pfs_mount_unique(options->layer.dir);
	process.kept.arg = &process;
	r = pfs_keeper_keep(&process.kept, signal_fd, ready_fd);
	rd_config_free(process.config);
	return r;
}
