/*
 * portals - the loop in which openings are worked on
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/socket.h"
#include "portal/portals_i.h"

#define KILL_GRACE 2000000000ULL /* ns from SIGTERM to SIGKILL */
#define EVENTS_MAX 64		 /* of one run: then the caller looks at its other descriptors */

/* --- watches --------------------------------------------------------------------------- */

int pfs_watch_add(struct pfs_portals *portals, struct pfs_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	return epoll_ctl(portals->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void pfs_watch_change(struct pfs_portals *portals, struct pfs_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	epoll_ctl(portals->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void pfs_watch_remove(struct pfs_portals *portals, struct pfs_watch *watch)
{
	epoll_ctl(portals->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

/* --- processes --------------------------------------------------------------------------- */

static void process_free(struct pfs_process *process)
{
	struct pfs_portals *portals = process->portals;

	pfs_watch_remove(portals, &process->watch);
	close(process->watch.fd);
	if (process->next)
		process->next->prev = process->prev;
	if (process->prev)
		process->prev->next = process->next;
	else
		portals->processes = process->next;
	free(process);
}

static void process_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_process *process = CONTAINER_OF(watch, struct pfs_process, watch);
	void (*ended)(void *arg, int status) = process->ended;
	void *arg = process->arg;
	siginfo_t info = { 0 };
	int status = 0;

	(void)events;
	/* Its number, and its group's, is its own until it was waited for. */
	if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid == 0)
		return;
	if (process->group && process->kill_at)
		kill(-process->pid, SIGKILL);
	waitpid(process->pid, &status, 0);
	process_free(process);
	if (ended)
		ended(arg, status);
}

int pfs_process_new(struct pfs_portals *portals, pid_t pid, bool group, struct pfs_process **ret_process)
{
	struct pfs_process *process = pfs_zalloc(1, sizeof(*process));
	int r = process ? 0 : -ENOMEM;

	if (r == 0) {
		*process = (struct pfs_process){ .portals = portals, .pid = pid, .group = group };
		process->watch.ready = process_ready;
		process->watch.fd = (int)syscall(SYS_pidfd_open, pid, 0);
		r = process->watch.fd < 0 ? -errno : pfs_watch_add(portals, &process->watch, EPOLLIN);
	}
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (process)
			pfs_closep(&process->watch.fd);
		free(process);
		return r;
	}
	process->next = portals->processes;
	if (process->next)
		process->next->prev = process;
	portals->processes = process;
	*ret_process = process;
	return 0;
}

void pfs_process_leave(struct pfs_process *process, bool patient)
{
	pid_t to = process->group ? -process->pid : process->pid;

	process->ended = NULL;
	kill(to, patient ? SIGTERM : SIGKILL);
	process->kill_at = pfs_clock_mono() + KILL_GRACE;
	pfs_portals_hurry(process->portals);
}

/* SIGKILL for who was told to end long ago; returns when the next is due. */
static uint64_t processes_tick(struct pfs_portals *portals, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (struct pfs_process *process = portals->processes; process; process = process->next) {
		if (!process->kill_at)
			continue;
		if (process->kill_at <= now) {
			kill(process->group ? -process->pid : process->pid, SIGKILL);
			process->kill_at = now + KILL_GRACE;
		}
		next = pfs_min64(next, process->kill_at);
	}
	return next;
}

/* --- errands -------------------------------------------------------------------------------- */

void pfs_errand_answer(int sock, const void *bytes, size_t n, int fd)
{
	struct iovec iov = { (void *)bytes, n };

	pfs_socket_send(sock, &iov, 1, 0, &fd, fd >= 0);
}

static void errand_close(struct pfs_errand *errand)
{
	pfs_watch_remove(errand->portals, &errand->watch);
	pfs_closep(&errand->watch.fd);
	errand->watch.fd = -1;
}

/* What it has answered is still in the socket. */
static void errand_ended(void *arg, int status)
{
	struct pfs_errand *errand = arg;

	(void)status;
	errand->process = NULL;
}

static void errand_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_errand *errand = CONTAINER_OF(watch, struct pfs_errand, watch);
	char bytes[PFS_ERRAND_MAX];
	int fd = -1;
	ssize_t n = pfs_socket_receive(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT, &fd, 1);

	(void)events;
	if (n == -EAGAIN)
		return;
	errand_close(errand);
	/* It exits by itself, and is waited for when it has. */
	if (errand->process)
		TAKE_PTR(errand->process)->ended = NULL;
	errand->answered(errand, n > 0 ? 0 : -EIO, bytes, n > 0 ? (size_t)n : 0, fd);
}

int pfs_errand_begin(struct pfs_portals *portals, struct pfs_errand *errand,
		     void (*run)(const void *arg, int sock), const void *arg)
{
	int pair[2], r;
	pid_t pid;

	errand->portals = portals;
	errand->watch = (struct pfs_watch){ .fd = -1, .ready = errand_ready };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		/* It may wait for long, and must hold nothing of ours. */
		if (pair[1] == 3 || dup3(pair[1], 3, O_CLOEXEC) == 3) {
			close_range(4, ~0U, 0);
			run(arg, 3);
		}
		_exit(0);
	}
	r = pid < 0 ? -errno : pfs_process_new(portals, pid, false, &errand->process);
	close(pair[1]);
	errand->watch.fd = pair[0];
	if (r == 0) {
		errand->process->ended = errand_ended;
		errand->process->arg = errand;
		r = pfs_watch_add(portals, &errand->watch, EPOLLIN);
		if (r < 0)
			pfs_process_leave(TAKE_PTR(errand->process), false);
	}
	if (r < 0) {
		close(pair[0]);
		errand->watch.fd = -1;
	}
	return r;
}

void pfs_errand_cancel(struct pfs_errand *errand)
{
	if (errand->watch.fd < 0)
		return;
	errand_close(errand);
	if (errand->process)
		pfs_process_leave(TAKE_PTR(errand->process), false);
}

/* --- time ------------------------------------------------------------------------------------ */

static void timer_set(struct pfs_portals *portals, uint64_t at)
{
	struct itimerspec spec = { 0 };

	if (at != UINT64_MAX) {
		spec.it_value.tv_sec = (time_t)(at / 1000000000ULL);
		spec.it_value.tv_nsec = (long)(at % 1000000000ULL);
	}
	timerfd_settime(portals->time.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void time_ready(struct pfs_watch *watch, uint32_t events)
{
	struct pfs_portals *portals = CONTAINER_OF(watch, struct pfs_portals, time);
	uint64_t now = pfs_clock_mono(), count, next;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	next = processes_tick(portals, now);
	timer_set(portals, pfs_min64(next, pfs_listeners_tick(portals, now)));
}

void pfs_portals_hurry(struct pfs_portals *portals)
{
	/* The tick itself finds out when it is wanted. */
	timer_set(portals, 1);
}

/* --- works --------------------------------------------------------------------------------------- */

void pfs_work_unwatch(struct pfs_portal_work *work)
{
	if (work->watched)
		pfs_watch_remove(work->portals, &work->watch);
	work->watched = false;
}

void pfs_work_watch(struct pfs_portal_work *work, uint32_t events,
		    void (*ready)(struct pfs_watch *watch, uint32_t events))
{
	int r;

	pfs_work_unwatch(work);
	work->watch = (struct pfs_watch){ .fd = work->fd, .ready = ready };
	r = pfs_watch_add(work->portals, &work->watch, events);
	work->watched = r == 0;
	if (r < 0)
		pfs_work_fail(work, -r, "cannot wait for a descriptor: %s", strerror(-r));
}

void pfs_work_close(struct pfs_portal_work *work)
{
	pfs_work_unwatch(work);
	pfs_closep(&work->fd);
	work->fd = -1;
}

void pfs_work_done(struct pfs_portal_work *work, int result)
{
	struct pfs_portals *portals = work->portals;

	assert(!work->told);
	pfs_work_unwatch(work);
	work->told = work->queued = true;
	work->result = result;
	work->next_told = portals->told;
	portals->told = work;
	/* done() comes from the loop, which must turn, unless it is about to. */
	if (!portals->turning)
		pfs_portals_hurry(portals);
}

int pfs_work_fail(struct pfs_portal_work *work, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(work->diag.text, sizeof(work->diag.text), fmt, ap);
	va_end(ap);
	pfs_work_done(work, -error);
	return -error;
}

static void work_free(struct pfs_portal_work *work)
{
	struct pfs_portals *portals = work->portals;

	for (struct pfs_portal_work **at = &portals->told; work->queued && *at; at = &(*at)->next_told)
		if (*at == work) {
			*at = work->next_told;
			break;
		}
	if (work->next)
		work->next->prev = work->prev;
	if (work->prev)
		work->prev->next = work->next;
	else
		portals->first = work->next;
	if (portals->telling == work)
		portals->telling = NULL;
	pfs_work_close(work);
	free(work);
}

/* Those that are done hear of it: also what comes up meanwhile. */
static void tell(struct pfs_portals *portals)
{
	struct pfs_portal_work *work;

	while ((work = portals->told)) {
		struct pfs_portal_opening *opening = work->opening;

		portals->told = work->next_told;
		work->queued = false;
		if (work->result == 0)
			work->res.fd = TAKE_FD(work->fd);
		portals->telling = work;
		opening->done(opening, work->result, work->result == 0 ? &work->res : NULL,
			      &work->diag);
		/* Unless that has ended it. */
		if (portals->telling && work->command)
			pfs_command_told(work);
		portals->telling = NULL;
	}
}

int pfs_portal_open(struct pfs_portals *portals, struct pfs_portal_opening *opening)
{
	static void (*const begin[])(struct pfs_portal_work * work) = {
		[PFS_PORTAL_FILE] = pfs_file_begin,	   [PFS_PORTAL_TCP] = pfs_tcp_begin,
		[PFS_PORTAL_TCPLISTEN] = pfs_listen_begin, [PFS_PORTAL_UDP] = pfs_udp_begin,
		[PFS_PORTAL_UNIX] = pfs_unix_begin,	   [PFS_PORTAL_COMMAND] = pfs_command_begin,
	};
	struct pfs_portal_work *work = pfs_zalloc(1, sizeof(*work));

	opening->work = work;
	if (!work)
		return -ENOMEM;
	*work = (struct pfs_portal_work){
		.portals = portals, .opening = opening, .fd = -1, .next = portals->first
	};
	work->errand.watch.fd = -1;
	if (work->next)
		work->next->prev = work;
	portals->first = work;
	begin[opening->plan->kind](work);
	return 0;
}

void pfs_portal_end(struct pfs_portals *portals, struct pfs_portal_opening *opening)
{
	struct pfs_portal_work *work = TAKE_PTR(opening->work);

	if (!work)
		return;
	pfs_errand_cancel(&work->errand);
	if (work->listener)
		pfs_listen_end(work);
	if (work->command)
		pfs_command_end(work);
	work_free(work);
}

/* --- the loop ---------------------------------------------------------------------------------- */

int pfs_portals_new(struct pfs_portals **ret_portals)
{
	struct pfs_portals *portals = pfs_zalloc(1, sizeof(*portals));
	int r;

	if (!portals)
		return -ENOMEM;
	portals->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	portals->time = (struct pfs_watch){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.ready = time_ready,
	};
	r = portals->epoll_fd < 0 || portals->time.fd < 0 ? -errno : 0;
	if (r == 0)
		r = pfs_watch_add(portals, &portals->time, EPOLLIN);
	if (r == 0)
		r = pfs_child_environment(geteuid(), &portals->env);
	if (r < 0) {
		pfs_portals_free(portals);
		return r;
	}
	*ret_portals = portals;
	return 0;
}

void pfs_portals_free(struct pfs_portals *portals)
{
	if (!portals)
		return;
	assert(!portals->first);
	pfs_listeners_free(portals);
	while (portals->processes) {
		struct pfs_process *process = portals->processes;

		/* One that cannot even be killed now is whoever's who inherits it. */
		kill(process->group ? -process->pid : process->pid, SIGKILL);
		waitpid(process->pid, NULL, WNOHANG);
		process_free(process);
	}
	pfs_argv_release(&portals->env);
	pfs_closep(&portals->time.fd);
	pfs_closep(&portals->epoll_fd);
	free(portals);
}

int pfs_portals_fd(const struct pfs_portals *portals)
{
	return portals->epoll_fd;
}

void pfs_portals_run(struct pfs_portals *portals)
{
	portals->turning = true;
	tell(portals);
	for (int i = 0; i < EVENTS_MAX; i++) {
		struct epoll_event event;
		struct pfs_watch *watch;

		/* One at a time: what is done about one may free another. */
		if (epoll_wait(portals->epoll_fd, &event, 1, 0) != 1)
			break;
		watch = event.data.ptr;
		watch->ready(watch, event.events);
		tell(portals);
	}
	portals->turning = false;
}

bool pfs_portals_idle(const struct pfs_portals *portals)
{
	return !portals->first && !portals->processes && !portals->listeners;
}

void pfs_portals_terminate(struct pfs_portals *portals)
{
	pfs_listeners_tick(portals, UINT64_MAX);
	for (struct pfs_process *process = portals->processes; process; process = process->next)
		if (!process->kill_at)
			pfs_process_leave(process, process->group);
}
