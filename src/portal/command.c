/*
 * command - pipe: a command whose output is read or whose input is written
 *
 * The other two of its three standard files are /dev/null and a pipe of ours, for stderr, which is read line by
 * line. A command that was read ends when nobody reads it any more; one that was written to runs on to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/child.h"
#include "portal/portals_i.h"

#define LINE_MAX_KEPT 1000
#define LINES_MAX 100 /* of one command: a flood is counted, not kept */
#define PIPE_LARGE (256 << 10)
#define COMMANDS_LARGE \
	64 /* with more of them pipes keep their size: a user may have 64 MiB of them */

struct pfs_command_state {
	struct pfs_portals *portals;
	struct pfs_portal_work *work; /* NULL: its owner has gone */
	struct pfs_process *process;
	struct pfs_watch report; /* whether it runs; owned; -1: it has said so */
	struct pfs_watch errors; /* its stderr; owned */
	bool reads;		 /* its output is read */
	bool ended;
	int status;
	unsigned lines, unkept;
	size_t len;
	char line[LINE_MAX_KEPT];
};

static void watch_close(struct pfs_portals *portals, struct pfs_watch *watch)
{
	if (watch->fd < 0)
		return;
	pfs_watch_remove(portals, watch);
	close(watch->fd);
	watch->fd = -1;
}

static void state_free(struct pfs_command_state *state)
{
	watch_close(state->portals, &state->report);
	watch_close(state->portals, &state->errors);
	if (state->process)
		state->process->ended = NULL;
	state->portals->commands--;
	free(state);
}

/* --- what it says ------------------------------------------------------------------------------ */

static void say(struct pfs_command_state *state, const char *line, size_t len)
{
	struct pfs_portal_opening *opening = state->work ? state->work->opening : NULL;

	if (opening && opening->said)
		opening->said(opening, line, len);
}

static void line_end(struct pfs_command_state *state)
{
	if (state->lines++ < LINES_MAX)
		say(state, state->line, state->len);
	else
		state->unkept++;
	state->len = 0;
}

static void hear(struct pfs_command_state *state, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n')
			line_end(state);
		else if (state->len < sizeof(state->line))
			state->line[state->len++] = bytes[i];
	}
}

/* False: there is no more, now or for ever. */
static bool errors_read(struct pfs_command_state *state)
{
	char bytes[4096];
	ssize_t n = read(state->errors.fd, bytes, sizeof(bytes));

	if (n > 0)
		hear(state, bytes, (size_t)n);
	else if (n == 0)
		watch_close(state->portals, &state->errors);
	return n > 0;
}

static void errors_ready(struct pfs_watch *watch, uint32_t events)
{
	(void)events;
	errors_read(CONTAINER_OF(watch, struct pfs_command_state, errors));
}

static void errors_finish(struct pfs_command_state *state)
{
	char text[80];

	/* What a child of its own still writes later is not waited for. */
	for (int i = 0; i < 256 && state->errors.fd >= 0 && errors_read(state); i++)
		;
	if (state->len)
		line_end(state);
	if (state->unkept) {
		snprintf(text, sizeof(text), "(%u more lines)", state->unkept);
		say(state, text, strlen(text));
	}
}

/* --- its life ------------------------------------------------------------------------------------- */

static void command_over(struct pfs_command_state *state)
{
	struct pfs_portal_work *work = state->work;

	errors_finish(state);
	if (work) {
		work->command = NULL;
		if (work->opening->ended)
			work->opening->ended(work->opening, state->status);
	}
	state_free(state);
}

static void process_ended(void *arg, int status)
{
	struct pfs_command_state *state = arg;

	state->process = NULL;
	state->ended = true;
	state->status = status;
	/* Whether it ever ran is told first. */
	if (state->report.fd < 0)
		command_over(state);
}

static void report_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_command_state *state = CONTAINER_OF(watch, struct pfs_command_state, report);
	struct pfs_portal_work *work = state->work;
	int r;

	(void)events;
	pfs_watch_remove(state->portals, watch);
	r = pfs_child_result(watch->fd);
	watch->fd = -1;
	if (r < 0) {
		if (work) {
			work->command = NULL;
			pfs_work_close(work);
			pfs_work_fail(work, -r, "%.150s: %s", work->opening->plan->argv.v[0],
				      strerror(-r));
		}
		state_free(state);
		return;
	}
	/* What it says comes after that it runs. */
	if (pfs_watch_add(state->portals, &state->errors, EPOLLIN) < 0)
		watch_close(state->portals, &state->errors);
	if (work)
		pfs_work_done(work, 0);
}

void pfs_command_told(struct pfs_portal_work *work)
{
	if (work->command->ended)
		command_over(work->command);
}

void pfs_command_end(struct pfs_portal_work *work)
{
	struct pfs_command_state *state = TAKE_PTR(work->command);

	state->work = NULL;
	/* Not running yet, or read: nobody wants it any more. */
	if (state->process && (state->reads || !work->told || work->queued))
		pfs_process_leave(TAKE_PTR(state->process), true);
	else if (state->process)
		return; /* it is freed with the process */
	state_free(state);
}

/* --- its start ----------------------------------------------------------------------------------- */

struct pipes {
	int data[2], errors[2];
};

static void pipes_close(struct pipes *pipes)
{
	for (int i = 0; i < 2; i++) {
		pfs_closep(&pipes->data[i]);
		pfs_closep(&pipes->errors[i]);
	}
}

static int start(struct pfs_portal_work *work, struct pipes *pipes, struct pfs_command_state *state)
{
	const struct pfs_portal_opening *opening = work->opening;
	struct pfs_child_options options = {
		.argv = opening->plan->argv.v,
		.env = work->portals->env.v,
		.fd = { -1, -1, pipes->errors[1] },
		.limits = opening->limits,
		.umask = opening->umask,
		.dies_with = getpid(),
	};
	pid_t pid;
	int r;

	state->reads = (opening->flags & O_ACCMODE) == O_RDONLY;
	options.fd[state->reads ? 1 : 0] = pipes->data[state->reads ? 1 : 0];
	r = pfs_child_start(&options, &pid, &state->report.fd);
	if (r == 0)
		r = pfs_process_new(work->portals, pid, true, &state->process);
	if (r < 0)
		return r;
	state->process->ended = process_ended;
	state->process->arg = state;
	work->fd = TAKE_FD(pipes->data[state->reads ? 0 : 1]);
	state->errors.fd = TAKE_FD(pipes->errors[0]);
	work->res = (struct pfs_portal_result){ .type = PFS_PORTAL_PIPE, .pid = pid };
	snprintf(work->res.what, sizeof(work->res.what), "pid %ld %.100s", (long)pid,
		 opening->plan->argv.v[0]);
	if (opening->flags & O_NONBLOCK)
		fcntl(work->fd, F_SETFL, fcntl(work->fd, F_GETFL) | O_NONBLOCK);
	if (work->portals->commands < COMMANDS_LARGE)
		fcntl(work->fd, F_SETPIPE_SZ, PIPE_LARGE);
	return 0;
}

static int watch(struct pfs_command_state *state)
{
	state->report.ready = report_ready;
	state->errors.ready = errors_ready;
	fcntl(state->errors.fd, F_SETFL, O_NONBLOCK);
	return pfs_watch_add(state->portals, &state->report, EPOLLIN);
}

void pfs_command_begin(struct pfs_portal_work *work)
{
	struct pfs_command_state *state = pfs_zalloc(1, sizeof(*state));
	PFS_CLEANUP(pipes_close) struct pipes pipes = { { -1, -1 }, { -1, -1 } };
	int r = state ? 0 : -ENOMEM;

	if (r == 0) {
		*state = (struct pfs_command_state){ .portals = work->portals, .work = work };
		state->report.fd = state->errors.fd = -1;
		work->portals->commands++;
		if (pipe2(pipes.data, O_CLOEXEC) < 0 || pipe2(pipes.errors, O_CLOEXEC) < 0)
			r = -errno;
	}
	if (r == 0)
		r = start(work, &pipes, state);
	if (r == 0)
		r = watch(state);
	if (r == 0) {
		work->command = state;
		return;
	}
	if (state && state->process)
		pfs_process_leave(TAKE_PTR(state->process), false);
	if (state)
		state_free(state);
	pfs_work_close(work);
	pfs_work_fail(work, -r, "cannot start %.150s: %s", work->opening->plan->argv.v[0],
		      strerror(-r));
}
