/*
 * helper_main - a helper's side: opens what it is asked for
 *
 * It has become its user before this begins. When the socket is closed, what it has opened is ended: commands that were
 * read at once, those that were written to have LEAVE_GRACE to finish with what they got.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "portal/helper.h"
#include "portal/portals_i.h"
#include "portal/wire_i.h"

#define IDLE_MAX 10000		  /* ms */
#define LEAVE_GRACE 3000000000ULL /* ns until commands are told to end */
#define LEAVE_LAST 6000000000ULL  /* ns until we go in any case */

/* One opening; its strings follow. */
struct served {
	struct pfs_portal_opening opening;
	struct pfs_portal_plan plan;
	struct helper *helper;
	uint32_t id;
	bool ended; /* the client wants no more of it */
	struct served *next;
	struct pfs_wire_request request;
	char text[];
};

struct helper {
	int fd;
	bool lost; /* the client does not hear us */
	struct pfs_portals *portals;
	struct served *first;
};

/* --- what is told -------------------------------------------------------------------------- */

static void tell(struct served *served, struct pfs_wire_answer answer, const char *text, size_t len,
		 int fd)
{
	char message[sizeof(answer) + PFS_WIRE_TEXT_MAX];

	answer.id = served->id;
	len = pfs_min(len, PFS_WIRE_TEXT_MAX);
	memcpy(message, &answer, sizeof(answer));
	memcpy(message + sizeof(answer), text, len);
	pfs_errand_answer(served->helper->fd, message, sizeof(answer) + len, fd);
}

static void on_done(struct pfs_portal_opening *opening, int result,
		    const struct pfs_portal_result *res, const struct pfs_diag *diag)
{
	struct served *served = CONTAINER_OF(opening, struct served, opening);
	struct pfs_wire_answer answer = { .type = PFS_WIRE_DONE, .value = result };

	if (result < 0) {
		tell(served, answer, diag->text, strlen(diag->text), -1);
		return;
	}
	answer.fd_type = res->type;
	answer.pid = res->pid;
	tell(served, answer, res->what, strlen(res->what), res->fd);
	close(res->fd);
}

static void on_waits(struct pfs_portal_opening *opening, const char *where)
{
	tell(CONTAINER_OF(opening, struct served, opening),
	     (struct pfs_wire_answer){ .type = PFS_WIRE_WAITS }, where, strlen(where), -1);
}

static void on_said(struct pfs_portal_opening *opening, const char *line, size_t len)
{
	tell(CONTAINER_OF(opening, struct served, opening),
	     (struct pfs_wire_answer){ .type = PFS_WIRE_SAID }, line, len, -1);
}

static void on_ended(struct pfs_portal_opening *opening, int status)
{
	tell(CONTAINER_OF(opening, struct served, opening),
	     (struct pfs_wire_answer){ .type = PFS_WIRE_ENDED, .value = status }, "", 0, -1);
}

/* --- what is asked ------------------------------------------------------------------------------ */

static char *string_next(char **at, char *end)
{
	char *s = *at, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static bool plan_read(struct served *served, size_t len)
{
	const struct pfs_wire_request *q = &served->request;
	struct pfs_portal_plan *plan = &served->plan;
	char *at = served->text, *end = served->text + len;

	plan->kind = (enum pfs_portal_kind)q->kind;
	plan->linger = q->linger;
	plan->priv = q->priv;
	plan->listen = q->listen;
	if ((q->has_path && !(plan->path = string_next(&at, end))) ||
	    (q->has_host && !(plan->host = string_next(&at, end))) ||
	    (q->has_port && !(plan->port = string_next(&at, end))))
		return false;
	plan->argv.v = pfs_zalloc(q->words + 1, sizeof(char *));
	for (; plan->argv.v && plan->argv.n < q->words; plan->argv.n++)
		if (!(plan->argv.v[plan->argv.n] = string_next(&at, end)))
			return false;
	return plan->argv.v;
}

static void served_free(struct served *served)
{
	struct served **at = &served->helper->first;

	while (*at && *at != served)
		at = &(*at)->next;
	if (*at)
		*at = served->next;
	free(served->plan.argv.v);
	free(served);
}

static void do_open(struct helper *helper, const char *message, size_t n)
{
	size_t len = n - sizeof(struct pfs_wire_request);
	struct served *served = pfs_zalloc(1, sizeof(*served) + len);

	if (!served) {
		helper->lost = true;
		return;
	}
	memcpy(&served->request, message, sizeof(served->request));
	memcpy(served->text, message + sizeof(served->request), len);
	served->helper = helper;
	served->id = served->request.id;
	served->opening = (struct pfs_portal_opening){
		.plan = &served->plan,
		.flags = served->request.flags,
		.umask = served->request.umask,
		.limits = served->request.has_limits ? served->request.limits : NULL,
		.done = on_done,
		.waits = on_waits,
		.said = on_said,
		.ended = on_ended,
	};
	served->next = helper->first;
	helper->first = served;
	if (!plan_read(served, len) || pfs_portal_open(helper->portals, &served->opening) < 0) {
		on_done(&served->opening, -ENOMEM, NULL, &(struct pfs_diag){ "out of memory" });
		served_free(served);
	}
}

static void served_end(struct served *served)
{
	pfs_portal_end(served->helper->portals, &served->opening);
	served_free(served);
}

static void do_end(struct helper *helper, uint32_t id)
{
	for (struct served *served = helper->first; served; served = served->next)
		if (served->id == id) {
			served_end(served);
			return;
		}
}

/* False: there is nothing to be read now. */
static bool serve(struct helper *helper)
{
	static char message[PFS_WIRE_MAX];
	ssize_t n = recv(helper->fd, message, sizeof(message), MSG_DONTWAIT);
	struct pfs_wire_request request;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < (ssize_t)sizeof(request)) {
		helper->lost = true;
		return false;
	}
	memcpy(&request, message, sizeof(request));
	if (request.type == PFS_WIRE_OPEN)
		do_open(helper, message, (size_t)n);
	else
		do_end(helper, request.id);
	return true;
}

static void leave(struct helper *helper)
{
	uint64_t now = pfs_clock_mono(), first = now + LEAVE_GRACE, last = now + LEAVE_LAST;
	bool told = false;

	pfs_closep(&helper->fd);
	helper->fd = -1;
	while (helper->first)
		served_end(helper->first);
	pfs_listeners_free(helper->portals);
	while (!pfs_portals_idle(helper->portals) && now < last) {
		struct pollfd fd = { .fd = pfs_portals_fd(helper->portals), .events = POLLIN };

		poll(&fd, 1, (int)(((told ? last : first) - now) / 1000000 + 1));
		pfs_portals_run(helper->portals);
		now = pfs_clock_mono();
		if (!told && now >= first) {
			pfs_portals_terminate(helper->portals);
			told = true;
		}
	}
}

int pfs_helper_main(int fd)
{
	const struct pfs_wire_answer idle = { .type = PFS_WIRE_IDLE };
	struct helper helper = { .fd = fd };

	signal(SIGPIPE, SIG_IGN);
	if (pfs_portals_new(&helper.portals) < 0)
		return 1;
	while (!helper.lost) {
		struct pollfd fds[] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = pfs_portals_fd(helper.portals), .events = POLLIN },
		};
		int n = poll(fds, ARRAY_SIZE(fds), pfs_portals_idle(helper.portals) ? IDLE_MAX : -1);

		/* The client closes the socket, unless it is about to ask for something. */
		if (n == 0)
			send(fd, &idle, sizeof(idle), MSG_NOSIGNAL);
		if (n > 0 && fds[0].revents)
			while (serve(&helper))
				;
		if (n > 0 && fds[1].revents)
			pfs_portals_run(helper.portals);
	}
	leave(&helper);
	pfs_portals_free(helper.portals);
	return 0;
}
