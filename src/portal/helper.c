/*
 * helper - the client's side: which helper does what, and what it answers
 *
 * Locks: `starting` is held while a process is started, `lock` for everything else; callbacks are made with neither. A
 * call is known by its id: what comes for one that has ended is dropped, and its descriptor closed.
 */
#include "portal/helper.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/mountinfo.h"
#include "base/socket.h"
#include "portal/wire_i.h"

struct helper {
	int fd;
	struct pfs_caller caller;
	unsigned calls, commands; /* lock */
	bool closed;		  /* lock: it takes no more calls */
	bool gone;		  /* lock: and answers none */
	struct helper *next;
};

struct pfs_helper_call {
	uint32_t id;
	struct helper *helper; /* lock */
	struct pfs_portal_opening *opening;
	bool done; /* lock: done() was called, or will be by the thread that runs */
	bool command, ended;
	struct pfs_helper_call *next; /* lock */
};

struct pfs_helpers {
	struct pfs_spawner *spawner;
	struct pfs_helpers_options options;
	int epoll_fd;
	pthread_mutex_t starting;
	pthread_mutex_t lock;
	pthread_cond_t called;
	struct helper *first;		 /* lock */
	struct pfs_helper_call *calls;	 /* lock */
	struct pfs_helper_call *calling; /* lock: its callback runs */
	pthread_t runner;		 /* lock: the thread that it runs on */
	uint32_t next_id;		 /* lock */
};

int pfs_helpers_new(struct pfs_spawner *spawner, const struct pfs_helpers_options *options,
		    struct pfs_helpers **ret_helpers)
{
	struct pfs_helpers *helpers = pfs_zalloc(1, sizeof(*helpers));

	if (!helpers)
		return -ENOMEM;
	helpers->spawner = spawner;
	helpers->options = *options;
	helpers->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (helpers->epoll_fd < 0) {
		int r = -errno;

		free(helpers);
		return r;
	}
	pthread_mutex_init(&helpers->starting, NULL);
	pthread_mutex_init(&helpers->lock, NULL);
	pthread_cond_init(&helpers->called, NULL);
	*ret_helpers = helpers;
	return 0;
}

/* Lock held. Nobody has a call with it. */
static void helper_drop(struct pfs_helpers *helpers, struct helper *helper)
{
	for (struct helper **at = &helpers->first; *at; at = &(*at)->next)
		if (*at == helper) {
			*at = helper->next;
			break;
		}
	close(helper->fd);
	pfs_caller_release(&helper->caller);
	free(helper);
}

void pfs_helpers_free(struct pfs_helpers *helpers)
{
	if (!helpers)
		return;
	assert(!helpers->calls);
	while (helpers->first)
		helper_drop(helpers, helpers->first);
	close(helpers->epoll_fd);
	pthread_mutex_destroy(&helpers->starting);
	pthread_mutex_destroy(&helpers->lock);
	pthread_cond_destroy(&helpers->called);
	free(helpers);
}

int pfs_helpers_fd(const struct pfs_helpers *helpers)
{
	return helpers->epoll_fd;
}

/* --- what helpers answer --------------------------------------------------------------------- */

/* Lock held. */
static struct pfs_helper_call *call_find(struct pfs_helpers *helpers, const struct helper *helper,
					 uint32_t id)
{
	struct pfs_helper_call *call = helpers->calls;

	while (call && (call->id != id || call->helper != helper))
		call = call->next;
	return call;
}

/* A file of a pipesfs must not be read for it: that could be waited for, for ever. The kernel is not asked to ask. */
static bool fd_fits(int fd, uint32_t type)
{
	struct statx st;

	if (fd < 0 || type > PFS_PORTAL_SEEKABLE ||
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
		return false;
	if (S_ISSOCK(st.stx_mode))
		return type == PFS_PORTAL_STREAM || type == PFS_PORTAL_PACKETS ||
		       type == PFS_PORTAL_LISTENER;
	if (S_ISFIFO(st.stx_mode))
		return type == PFS_PORTAL_PIPE;
	return (type == PFS_PORTAL_PIPE || type == PFS_PORTAL_SEEKABLE) && !S_ISDIR(st.stx_mode) &&
	       !pfs_in_pipesfs_device(makedev(st.stx_dev_major, st.stx_dev_minor));
}

/* Lock held, given up during the callback; answer and text are copies. */
static void call_answer(struct pfs_helpers *helpers, struct pfs_helper_call *call,
			const struct pfs_wire_answer *answer, char *text, size_t len, int *fd)
{
	struct pfs_portal_opening *opening = call->opening;
	struct pfs_portal_result res = { .fd = -1, .pid = answer->pid };
	struct pfs_diag diag = { "" };
	int result = answer->value;

	if ((answer->type == PFS_WIRE_DONE) == call->done || call->ended)
		return; /* out of order */
	if (answer->type == PFS_WIRE_DONE)
		call->done = true;
	if (answer->type == PFS_WIRE_ENDED)
		call->ended = true;
	helpers->calling = call;
	helpers->runner = pthread_self();
	pthread_mutex_unlock(&helpers->lock);
	if (answer->type == PFS_WIRE_DONE && result == 0 && !fd_fits(*fd, answer->fd_type)) {
		result = -EIO;
		len = (size_t)snprintf(text, PFS_WIRE_TEXT_MAX,
				       "the helper process has answered nonsense");
	}
	switch (answer->type) {
	case PFS_WIRE_DONE:
		snprintf(diag.text, sizeof(diag.text), "%.*s", (int)len, text);
		snprintf(res.what, sizeof(res.what), "%.*s", (int)len, text);
		res.type = (enum pfs_portal_type)answer->fd_type;
		if (result == 0)
			res.fd = TAKE_FD(*fd);
		opening->done(opening, result < -4095 || result > 0 ? -EIO : result,
			      result == 0 ? &res : NULL, &diag);
		break;
	case PFS_WIRE_SAID:
		if (opening->said)
			opening->said(opening, text, len);
		break;
	case PFS_WIRE_ENDED:
		if (opening->ended)
			opening->ended(opening, answer->value);
		break;
	default:
		break;
	}
	pthread_mutex_lock(&helpers->lock);
	helpers->calling = NULL;
	pthread_cond_broadcast(&helpers->called);
}

/* Lock held, given up during the callback. */
static void call_waits(struct pfs_helpers *helpers, struct pfs_helper_call *call, const char *where)
{
	struct pfs_portal_opening *opening = call->opening;

	if (call->done || !opening->waits)
		return;
	helpers->calling = call;
	helpers->runner = pthread_self();
	pthread_mutex_unlock(&helpers->lock);
	opening->waits(opening, where);
	pthread_mutex_lock(&helpers->lock);
	helpers->calling = NULL;
	pthread_cond_broadcast(&helpers->called);
}

/* Lock held. Its calls fail, or end as if killed. */
static void helper_died(struct pfs_helpers *helpers, struct helper *helper)
{
	static const struct pfs_wire_answer failed = { .type = PFS_WIRE_DONE, .value = -EIO },
					    killed = { .type = PFS_WIRE_ENDED, .value = SIGKILL };
	struct pfs_helper_call *call;
	int none = -1;

	epoll_ctl(helpers->epoll_fd, EPOLL_CTL_DEL, helper->fd, NULL);
	helper->closed = helper->gone = true;
	helper->calls++; /* it stays while we speak */
	do {
		char text[PFS_WIRE_TEXT_MAX] = "the process that opens portals for this user has died";

		for (call = helpers->calls; call; call = call->next)
			if (call->helper == helper && (!call->done || (call->command && !call->ended)))
				break;
		if (call)
			call_answer(helpers, call, call->done ? &killed : &failed, text,
				    strlen(text), &none);
	} while (call);
	if (!--helper->calls)
		helper_drop(helpers, helper);
}

static void helper_heard(struct pfs_helpers *helpers, struct helper *helper, char *message,
			 size_t n, int *fd)
{
	struct pfs_wire_answer answer;
	struct pfs_helper_call *call;
	char *text = message + sizeof(answer);
	size_t len = n - sizeof(answer);

	memcpy(&answer, message, sizeof(answer));
	text[len] = '\0';
	if (answer.type == PFS_WIRE_IDLE) {
		if (!helper->calls)
			helper_drop(helpers, helper);
		return;
	}
	call = call_find(helpers, helper, answer.id);
	if (!call)
		return;
	if (answer.type == PFS_WIRE_WAITS)
		call_waits(helpers, call, text);
	else
		call_answer(helpers, call, &answer, text, len, fd);
}

/* Lock held. False: no message, or the helper is gone. */
static bool helper_read(struct pfs_helpers *helpers, struct helper *helper)
{
	char message[sizeof(struct pfs_wire_answer) + PFS_WIRE_TEXT_MAX + 1];
	PFS_CLOSE int fd = -1;
	ssize_t n = pfs_socket_receive(helper->fd, message, sizeof(message) - 1, MSG_DONTWAIT, &fd, 1);

	if (n == -EAGAIN)
		return false;
	if (n < (ssize_t)sizeof(struct pfs_wire_answer)) {
		helper_died(helpers, helper);
		return false;
	}
	helper_heard(helpers, helper, message, (size_t)n, &fd);
	return true;
}

/* Lock held. */
static bool helper_there(struct pfs_helpers *helpers, const struct helper *helper)
{
	const struct helper *h = helpers->first;

	while (h && h != helper)
		h = h->next;
	return h && !h->gone;
}

void pfs_helpers_run(struct pfs_helpers *helpers)
{
	struct epoll_event events[16];
	int n = epoll_wait(helpers->epoll_fd, events, ARRAY_SIZE(events), 0);

	pthread_mutex_lock(&helpers->lock);
	for (int i = 0; i < n; i++) {
		struct helper *helper = events[i].data.ptr;

		/* What was done about one may have been the end of another. */
		for (int j = 0;
		     j < 32 && helper_there(helpers, helper) && helper_read(helpers, helper); j++)
			;
	}
	pthread_mutex_unlock(&helpers->lock);
}

/* --- what helpers are asked --------------------------------------------------------------------- */

static void string_add(struct pfs_buf *out, const char *s)
{
	if (s)
		pfs_buf_add(out, s, strlen(s) + 1);
}

static int request_make(uint32_t id, const struct pfs_portal_opening *opening, struct pfs_buf *out)
{
	const struct pfs_portal_plan *plan = opening->plan;
	struct pfs_wire_request request = {
		.type = PFS_WIRE_OPEN,
		.id = id,
		.flags = opening->flags,
		.umask = opening->umask,
		.kind = plan->kind,
		.words = (uint32_t)plan->argv.n,
		.linger = plan->linger,
		.priv = plan->priv,
		.listen = plan->listen,
		.has_path = plan->path,
		.has_host = plan->host,
		.has_port = plan->port,
		.has_limits = opening->limits,
	};

	if (opening->limits)
		memcpy(request.limits, opening->limits, sizeof(request.limits));
	pfs_buf_add(out, &request, sizeof(request));
	string_add(out, plan->path);
	string_add(out, plan->host);
	string_add(out, plan->port);
	for (size_t i = 0; i < plan->argv.n; i++)
		string_add(out, plan->argv.v[i]);
	if (out->failed)
		return -ENOMEM;
	return out->len > PFS_WIRE_MAX ? -ENAMETOOLONG : 0;
}

/* Lock held. */
static struct helper *helper_find(struct pfs_helpers *helpers, const struct pfs_caller *caller)
{
	struct helper *helper = helpers->first;

	while (helper && (helper->closed || !pfs_caller_same(&helper->caller, caller)))
		helper = helper->next;
	return helper;
}

/* `starting` held, lock not. */
static int helper_start(struct pfs_helpers *helpers, const struct pfs_caller *caller)
{
	struct helper *helper = pfs_zalloc(1, sizeof(*helper));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = helper };
	int r = helper ? pfs_caller_copy(caller, &helper->caller) : -ENOMEM;

	if (r < 0) {
		free(helper);
		return r;
	}
	r = pfs_helper_start(helpers->spawner, caller, &helper->fd);
	if (r == 0 && epoll_ctl(helpers->epoll_fd, EPOLL_CTL_ADD, helper->fd, &event) < 0) {
		r = -errno;
		close(helper->fd);
	}
	if (r < 0) {
		pfs_caller_release(&helper->caller);
		free(helper);
		return r;
	}
	pthread_mutex_lock(&helpers->lock);
	helper->next = helpers->first;
	helpers->first = helper;
	pthread_mutex_unlock(&helpers->lock);
	return 0;
}

/* Lock held. What this user has already. */
static int limits_check(struct pfs_helpers *helpers, uid_t uid, bool command, struct pfs_diag *diag)
{
	unsigned calls = 0, commands = 0;

	for (struct helper *helper = helpers->first; helper; helper = helper->next)
		if (helper->caller.uid == uid) {
			calls += helper->calls;
			commands += helper->commands;
		}
	if (calls >= helpers->options.portals_max)
		return pfs_diag_set(diag, EMFILE,
				    "this user has %u portals open: mount option portals_max=", calls);
	if (command && commands >= helpers->options.commands_max)
		return pfs_diag_set(
			diag, EAGAIN,
			"this user has %u commands running: mount option commands_max=", commands);
	return 0;
}

/* Lock held. -EPIPE: the helper has just gone. */
static int call_begin(struct pfs_helpers *helpers, struct helper *helper, struct pfs_helper_call *call)
{
	PFS_BUF struct pfs_buf message = { 0 };
	int r;

	call->id = ++helpers->next_id;
	r = request_make(call->id, call->opening, &message);
	if (r < 0)
		return r;
	/* It may be stopped: then it is not waited for. */
	if (send(helper->fd, message.data, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	call->helper = helper;
	call->next = helpers->calls;
	helpers->calls = call;
	helper->calls++;
	helper->commands += call->command;
	return 0;
}

static int call_try(struct pfs_helpers *helpers, const struct pfs_caller *caller,
		    struct pfs_helper_call *call, struct pfs_diag *diag)
{
	struct helper *helper;
	int r;

	pthread_mutex_lock(&helpers->lock);
	r = limits_check(helpers, caller->uid, call->command, diag);
	helper = helper_find(helpers, caller);
	if (r == 0)
		r = helper ? call_begin(helpers, helper, call) : -EPIPE;
	if (r == -EPIPE && helper)
		helper->closed = true; /* the thread that runs will see that it is gone */
	pthread_mutex_unlock(&helpers->lock);
	return r;
}

int pfs_helper_open(struct pfs_helpers *helpers, const struct pfs_caller *caller,
		    struct pfs_portal_opening *opening, struct pfs_diag *diag)
{
	struct pfs_helper_call *call = pfs_zalloc(1, sizeof(*call));
	int r;

	opening->call = NULL;
	if (!call)
		return -ENOMEM;
	call->opening = opening;
	call->command = opening->plan->kind == PFS_PORTAL_COMMAND;
	/* Before it is sent: done() may come at once. */
	opening->call = call;
	r = call_try(helpers, caller, call, diag);
	for (int i = 0; r == -EPIPE && i < 3; i++) {
		pthread_mutex_lock(&helpers->starting);
		/* Somebody else may have started it meanwhile. */
		r = call_try(helpers, caller, call, diag);
		if (r == -EPIPE && (r = helper_start(helpers, caller)) == 0)
			r = call_try(helpers, caller, call, diag);
		pthread_mutex_unlock(&helpers->starting);
	}
	if (r == 0)
		return 0;
	opening->call = NULL;
	free(call);
	if (diag && !diag->text[0])
		pfs_diag_set(diag, -r, "no process to open it: %s", strerror(-r));
	return r == -EPIPE ? -EIO : r;
}

void pfs_helper_end(struct pfs_helpers *helpers, struct pfs_portal_opening *opening)
{
	struct pfs_helper_call *call = TAKE_PTR(opening->call);
	struct pfs_wire_request request = { .type = PFS_WIRE_END };
	struct helper *helper;

	if (!call)
		return;
	pthread_mutex_lock(&helpers->lock);
	while (helpers->calling == call && !pthread_equal(helpers->runner, pthread_self()))
		pthread_cond_wait(&helpers->called, &helpers->lock);
	for (struct pfs_helper_call **at = &helpers->calls; *at; at = &(*at)->next)
		if (*at == call) {
			*at = call->next;
			break;
		}
	helper = call->helper;
	helper->calls--;
	helper->commands -= call->command;
	request.id = call->id;
	if (helper->gone) {
		if (!helper->calls)
			helper_drop(helpers, helper);
	} else if (send(helper->fd, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* Stopped, perhaps: it would keep what nobody wants any more. */
		shutdown(helper->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&helpers->lock);
	free(call);
}
